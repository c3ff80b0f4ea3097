//! A text tried on the rules in force: what became of it, what hits and where, what holds and why not. Nothing of it is kept or logged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchpost_policy::engine::message_of;
use watchpost_policy::explain::{ExplainedRule, ExplainedSelection, Fate};
use watchpost_policy::matcher::Channel;
use watchpost_policy::message::{Corp, Side};
use watchpost_policy::normalise::{Became, Normalisation, pieces};
use watchpost_policy::rules::{Chat, RuleTest};

use super::rules::{OfPolicy, in_force, is_confidential, sees_words};
use crate::policies::in_force::InForce;
use crate::rulebook::Both;
use crate::web::ask::Ask;
use crate::web::problem::Problem;

/// Characters of a text.
pub(in crate::web) const TEXT_CHARS_MAX: usize = 20_000;
/// Rules that are told at once, and hits of one selection.
const RULES_MAX: usize = 60;
const HITS_MAX: usize = 100;
/// Message types a text can be tried as.
pub(in crate::web) const TYPES: [&str; 5] = ["text", "markdown", "link", "file", "mixed"];

/// A text to try.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Try {
    /// The text, at most 20,000 characters. It is neither kept nor logged.
    #[serde(default)]
    pub(in crate::web) text: String,
    /// The group whose rules are tried; the default one where it is missing.
    #[serde(default)]
    pub(in crate::web) group: String,
    /// The version of its policy; the latest where it is missing.
    #[serde(default)]
    pub(in crate::web) version: Option<u64>,
    /// Only rules of this pack.
    #[serde(default)]
    pub(in crate::web) pack: String,
    /// Only this rule; it is told whether anything hits or not.
    #[serde(default)]
    pub(in crate::web) rule: String,
    /// Side of the sender: `employee`, `external` or `robot`.
    #[serde(default)]
    pub(in crate::web) from: String,
    /// Side of the receiver.
    #[serde(default)]
    pub(in crate::web) to: String,
    /// Message type: `text`, `markdown`, `link`, `file` or `mixed`.
    #[serde(default, rename = "type")]
    pub(in crate::web) msgtype: String,
    /// Said in a room.
    #[serde(default)]
    pub(in crate::web) in_group: bool,
    /// When, milliseconds since 1970; now where it is missing.
    #[serde(default)]
    pub(in crate::web) at_ms: Option<i64>,
}

/// What the rules say of a text.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Tried {
    /// The group, and the version of its policy; 0 for the packs that ship.
    pub(in crate::web) group: String,
    /// See above.
    pub(in crate::web) version: u64,
    /// The text in stretches, and what is made of each before words are looked for.
    pub(in crate::web) pieces: Vec<Piece>,
    /// Rules with a hit, those that hold first.
    pub(in crate::web) rules: Vec<Verdict>,
    /// Rules without a hit.
    pub(in crate::web) quiet: usize,
    /// Rules with a hit beyond those that are told.
    pub(in crate::web) more: usize,
}

/// A stretch of the text.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Piece {
    /// As it was typed.
    pub(in crate::web) text: String,
    /// What is looked at.
    pub(in crate::web) folded: String,
    /// `kept`, `folded`, `skipped` or `hidden`.
    pub(in crate::web) became: &'static str,
}

/// What one rule says.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Verdict {
    /// The pack.
    pub(in crate::web) pack: String,
    /// The rule.
    pub(in crate::web) rule: String,
    /// Its title.
    pub(in crate::web) title: Both,
    /// The level, as weak channels and filters leave it.
    pub(in crate::web) level: &'static str,
    /// Whether it holds.
    pub(in crate::web) holds: bool,
    /// It has a window: such a message only contributes.
    pub(in crate::web) windowed: bool,
    /// What of its scope the message does not meet: part, what is asked, what is found.
    pub(in crate::web) outside: Vec<(String, Vec<String>, Vec<String>)>,
    /// Filters that leave it out.
    pub(in crate::web) filtered: Vec<String>,
    /// Whether the condition holds, scope and filters aside.
    pub(in crate::web) condition_holds: bool,
    /// The condition in pieces, each selection with whether it holds where it stands.
    pub(in crate::web) condition: Vec<(String, Option<bool>)>,
    /// The selections that decide it.
    pub(in crate::web) because: Vec<String>,
    /// What hits.
    pub(in crate::web) hits: Vec<TriedHit>,
    /// Hits of confidential lists whose words are not for whoever asks: they are counted alone.
    pub(in crate::web) confidential_hits: usize,
}

/// One hit.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct TriedHit {
    /// The selection.
    pub(in crate::web) selection: String,
    /// The word or pattern, or the name of the validator.
    pub(in crate::web) word: String,
    /// First character.
    pub(in crate::web) start: u32,
    /// Behind the last.
    pub(in crate::web) end: u32,
    /// How it was recognised.
    pub(in crate::web) channel: &'static str,
    /// Hidden characters stand inside.
    pub(in crate::web) obfuscated: bool,
    /// `counted`, `elsewhere`, `allowed`, `not-near` or `denied`.
    pub(in crate::web) fate: &'static str,
    /// The selection that decided that.
    pub(in crate::web) by: String,
}

/// What the rules say of a text.
pub(in crate::web) fn test(ask: &Ask<'_>, asked: Try) -> Result<Tried, Problem> {
    if asked.text.chars().count() > TEXT_CHARS_MAX {
        return Err(Problem::malformed("a text has at most 20,000 characters"));
    }
    let of = OfPolicy { group: asked.group.clone(), version: asked.version };
    let (group, policy) = in_force(ask, &of)?;
    let message = message_of(&message(&asked, ask.now_ms)?);
    let explained = policy.engine.explain(&Corp::new("test"), &message, &|pack, rule| {
        let is_it = |asked: &str, id: &str| asked.is_empty() || asked == id;
        is_it(&asked.pack, &pack.id) && is_it(&asked.rule, &rule.id)
    });
    let judged = explained.rules.len();
    let seer = Seer { policy: &policy, sees_words: sees_words(ask) };
    let is_shown = |rule: &&ExplainedRule| !asked.rule.is_empty() || rule.condition_holds || rule.has_hits();
    let mut rules: Vec<Verdict> = explained.rules.iter().filter(is_shown).map(|rule| seer.verdict(rule)).collect();
    let (quiet, more) = (judged - rules.len(), rules.len().saturating_sub(RULES_MAX));
    rules.sort_by_key(|rule| !rule.holds);
    rules.truncate(RULES_MAX);
    let readable = Normalisation { repeats: false, ..Normalisation::default() };
    let pieces = pieces(&asked.text, readable).into_iter().map(|piece| Piece {
        text: piece.text,
        folded: piece.folded,
        became: match piece.became {
            Became::Kept => "kept",
            Became::Folded => "folded",
            Became::Skipped => "skipped",
            Became::Hidden => "hidden",
        },
    });
    Ok(Tried { group, version: policy.version, pieces: pieces.collect(), rules, quiet, more })
}

/// The message a text is tried as.
fn message(asked: &Try, now_ms: i64) -> Result<RuleTest, Problem> {
    let side = |said: &str, otherwise: Side| match said {
        "" => Ok(otherwise),
        "employee" => Ok(Side::Employee),
        "external" => Ok(Side::External),
        "robot" => Ok(Side::Robot),
        _ => Err(Problem::malformed("a side is employee, external or robot")),
    };
    let msgtype = if asked.msgtype.is_empty() { "text" } else { &asked.msgtype };
    if !TYPES.contains(&msgtype) {
        return Err(Problem::malformed("the type is text, markdown, link, file or mixed"));
    }
    Ok(RuleTest {
        text: asked.text.clone(),
        hit: true,
        from: side(&asked.from, Side::Employee)?,
        to: side(&asked.to, Side::External)?,
        msgtype: msgtype.to_owned(),
        chat: if asked.in_group { Chat::Group } else { Chat::Single },
        time: Some(asked.at_ms.unwrap_or(now_ms)),
        file: None,
        amount: None,
        link: None,
        room_name: None,
        sender_name: None,
        line: 0,
    })
}

struct Seer<'a> {
    policy: &'a InForce,
    sees_words: bool,
}

impl Seer<'_> {
    fn verdict(&self, rule: &ExplainedRule) -> Verdict {
        let (told, secret): (Vec<&ExplainedSelection>, Vec<&ExplainedSelection>) =
            rule.selections.iter().partition(|selection| self.is_told(rule, selection));
        Verdict {
            pack: rule.pack.clone(),
            rule: rule.rule.clone(),
            title: Both::of(&rule.title),
            level: rule.level.as_str(),
            holds: rule.holds,
            windowed: rule.windowed,
            outside: rule
                .outside
                .iter()
                .map(|it| (it.part.as_str().to_owned(), it.asked.clone(), it.found.clone()))
                .collect(),
            filtered: rule.filtered.clone(),
            condition_holds: rule.condition_holds,
            condition: rule.condition.iter().map(|part| (part.text.clone(), part.holds)).collect(),
            because: rule.because.iter().map(|reason| reason.selection.clone()).collect(),
            hits: told.into_iter().flat_map(hits).collect(),
            confidential_hits: secret.iter().map(|selection| selection.hits.len()).sum(),
        }
    }

    /// Where a hit stands tells the word as well as the word does.
    fn is_told(&self, rule: &ExplainedRule, selection: &ExplainedSelection) -> bool {
        let mut rules = self.policy.rules();
        let found = rules.find(|(pack, known)| *pack.id == *rule.pack && *known.id == *rule.rule);
        let found = found.and_then(|(_, known)| known.selections.iter().find(|it| *it.name == *selection.name));
        self.sees_words || !found.is_some_and(is_confidential)
    }
}

fn hits(selection: &ExplainedSelection) -> impl Iterator<Item = TriedHit> {
    selection.hits.iter().take(HITS_MAX).map(|hit| {
        let (fate, by) = match &hit.fate {
            Fate::Counted => ("counted", ""),
            Fate::Elsewhere => ("elsewhere", ""),
            Fate::Allowed => ("allowed", ""),
            Fate::NotNear { to } => ("not-near", to.as_str()),
            Fate::Denied { by } => ("denied", by.as_str()),
        };
        TriedHit {
            selection: selection.name.clone(),
            word: hit.word.clone(),
            start: hit.start,
            end: hit.end,
            channel: channel(hit.channel),
            obfuscated: hit.obfuscated,
            fate,
            by: by.to_owned(),
        }
    })
}

fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::Exact => "exact",
        Channel::Folded => "folded",
        Channel::Skipped => "skipped",
        Channel::Alias => "alias",
        Channel::Split => "split",
        Channel::Pinyin => "pinyin",
    }
}
