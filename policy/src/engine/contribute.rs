//! What a message adds to the windows of rules.

use super::judge::{Case, judge};
use super::view::View;
use super::{AllowHits, Engine, Finding, HITS_MAX, Hit, Parties, RawHit, RuleAt, Scratch, Standing};
use super::{finding_of, of_rule, plan};
use crate::identity::{Parts, TenantKey, mid, value_digest};
use crate::matcher::Told;
use crate::message::{Account, Action, Corp, Extras, FileInfo, Message, Side, Text, is_event_type, lower};
use crate::rules::{Chat, Pack, Rule};
use crate::windows::{ANSWER, ASK, By, Contribution, Distinct, GroupKey, Held, JOINED_FIELD, Kind, ShortMid, Window};

/// What a message adds to one group of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contributed {
    /// The rule.
    pub rule: RuleAt,
    /// The group.
    pub group: GroupKey,
    /// What is added.
    pub contribution: Contribution,
}

/// What a message comes to.
#[derive(Clone, Debug, Default)]
pub struct Evaluated {
    /// The rules that hold for the message by itself.
    pub findings: Vec<Finding>,
    /// What it adds to windows; of one message.
    pub contributions: Vec<Contributed>,
    /// The person concerned where it adds something; see [`Finding::person`].
    pub person: Option<Account>,
}

/// Receivers, or other different values, of one message that contribute. The largest rooms have some hundred members.
const KEYS_MAX: usize = 512;
/// Characters of a message that may be a part of a word. Longer ones say something by themselves.
const PIECE_CHARS_MAX: usize = 16;

impl Engine {
    /// The rules that hold for a message by itself, and what it adds to the windows of others. `key` is the tenant's, for the identity of
    /// the message and of its groups.
    pub fn look(&self, corp: &Corp, message: &Message, key: &TenantKey, scratch: &mut Scratch) -> Evaluated {
        self.look_told(corp, message, key, &mut std::iter::empty(), scratch)
    }

    /// As [`Engine::look`], where the sieve has told of the message's texts before.
    pub(crate) fn look_told(
        &self,
        corp: &Corp,
        message: &Message,
        key: &TenantKey,
        told: &mut dyn Iterator<Item = Told<'_>>,
        scratch: &mut Scratch,
    ) -> Evaluated {
        if self.standing(corp, message) != Standing::Evaluate {
            return Evaluated::default();
        }
        let mut findings = self.holding(corp, message, told, scratch);
        let evaluated = if self.every.is_empty() && findings.iter().all(|finding| self.window(finding.at).is_none()) {
            Evaluated { findings, ..Evaluated::default() }
        } else {
            let parties = Parties::of(self, corp, message);
            let hits = &scratch.hits;
            let contributing = Contributing { engine: self, corp, key, message, parties: &parties, hits };
            let contributions = contributing.contributions(&mut findings);
            let person = parties.person.filter(|_| !contributions.is_empty());
            Evaluated { findings, contributions, person }
        };
        scratch.release();
        evaluated
    }

    /// The rules that have a window.
    pub fn window_rules(&self) -> impl Iterator<Item = (RuleAt, &Pack, &Rule)> {
        let rules = plan::rules(&self.packs).filter(|(_, rule)| rule.window.is_some());
        rules.filter_map(|(at, rule)| Some((at, self.packs.get(at.pack as usize)?, rule)))
    }

    /// A rule.
    #[must_use]
    pub fn rule(&self, at: RuleAt) -> Option<&Rule> {
        self.packs.get(at.pack as usize)?.rules.get(at.rule as usize)
    }

    /// The window of a rule.
    #[must_use]
    pub fn window(&self, at: RuleAt) -> Option<&Window> {
        self.rule(at)?.window.as_ref()
    }

    /// What a rule's findings say of a window that holds: without a message, with the level of the hits in what messages make together, and with what
    /// filters set at this time.
    #[must_use]
    pub fn finding_of(&self, at: RuleAt, held: &Held) -> Option<Finding> {
        let rule = self.rule(at)?;
        let hits = held.joined.as_ref().map(|joined| joined.hits.clone()).unwrap_or_default();
        let level = rule.level_by(hits.iter().map(|hit| hit.channel));
        let finding = Finding { level, hits, ..finding_of(self.packs.get(at.pack as usize)?, rule, at) };
        Some(self.tuning.set_at(at, Some(held.last_ms)).applied(finding))
    }

    /// The hits a rule reports for a text, whoever wrote it; none when it does not hold. Filters count as they do at this time.
    #[must_use]
    pub fn joined_hits(&self, at: RuleAt, text: &str, at_ms: i64) -> Vec<Hit> {
        let (Some(pack), Some(rule)) = (self.packs.get(at.pack as usize), self.rule(at)) else { return Vec::new() };
        let corp = Corp::new("");
        let message = text_message(text);
        let mut scratch = Scratch::default();
        self.collect(&message, &mut std::iter::empty(), &mut scratch);
        scratch.order();
        let parties = Parties::of(self, &corp, &message);
        let view = View::new(&message, &parties);
        let allowed = AllowHits::new(&self.allow, &message);
        let hits = of_rule(&scratch.hits, at);
        let phrases = self.tuning.phrases_for_all(at, at_ms);
        let verdict = judge(&Case { pack, rule, at, view: &view, hits, allowed: &allowed, phrases: &phrases });
        let hits = verdict.map(|verdict| verdict.reported).unwrap_or_default();
        let hits = hits.into_iter().take(HITS_MAX).filter_map(|hit| hit.describe(rule, &message));
        hits.map(|hit| Hit { field: JOINED_FIELD.into(), ..hit }).collect()
    }

    /// Whether a rule holds for a message by itself: it has no window, or one that looks for what no message says by itself.
    pub(super) fn is_single(&self, at: RuleAt) -> bool {
        self.window(at).is_none_or(|window| window.kind == Kind::Join)
    }
}

/// A text message without parties.
fn text_message(text: &str) -> Message {
    Message {
        msgid: None,
        action: Action::Send,
        from: String::new(),
        to: Vec::new(),
        room: None,
        msgtime: None,
        msgtype: "text".to_owned(),
        texts: vec![Text { field: "text.content".into(), text: text.to_owned() }],
        body: None,
        unread_parties: false,
        extras: Extras::default(),
    }
}

/// One message on its way into windows.
struct Contributing<'a> {
    engine: &'a Engine,
    corp: &'a Corp,
    key: &'a TenantKey,
    message: &'a Message,
    parties: &'a Parties<'a>,
    /// All hits of the message.
    hits: &'a [RawHit],
}

impl Contributing<'_> {
    /// Takes out of the findings those of rules with a window, which contribute instead. A `join` keeps them: it looks for what no message
    /// says by itself.
    fn contributions(&self, findings: &mut Vec<Finding>) -> Vec<Contributed> {
        let Some(at_ms) = self.message.msgtime else {
            findings.retain(|finding| self.engine.is_single(finding.at));
            return Vec::new();
        };
        let blank = Contribution { at_ms, mid: ShortMid([0; 16]), key: 0, value: 0, text: String::new() };
        let mut out = Vec::new();
        for rule in &self.engine.every {
            let finding = findings.iter().find(|finding| finding.at == *rule);
            if let Some(contribution) = self.between(*rule, finding.is_some(), &blank) {
                self.to_groups(*rule, contribution, &mut out);
            }
        }
        findings.retain(|finding| {
            let Some(window) = self.engine.window(finding.at) else { return true };
            if !window.needs_every_message() {
                for contribution in self.measured(window, finding, &blank) {
                    self.to_groups(finding.at, contribution, &mut out);
                }
            }
            window.kind == Kind::Join
        });
        if !out.is_empty() {
            let mid = short(&mid(self.key, self.corp, self.message).0);
            out.iter_mut().for_each(|contributed| contributed.contribution.mid = mid);
        }
        out
    }

    /// What a message for which the condition holds adds to what is measured.
    fn measured(&self, window: &Window, finding: &Finding, blank: &Contribution) -> Vec<Contribution> {
        let with_keys = |mut keys: Vec<u64>| {
            keys.sort_unstable();
            keys.dedup();
            keys.truncate(KEYS_MAX);
            keys.into_iter().map(|key| Contribution { key, ..blank.clone() }).collect()
        };
        match &window.kind {
            Kind::Count { .. } => vec![blank.clone()],
            Kind::Distinct { what, .. } => with_keys(self.different(*what, finding)),
            Kind::Sum { .. } => {
                let fen = self.message.extras.amount.and_then(|fen| i64::try_from(fen).ok()).filter(|fen| *fen > 0);
                fen.map(|value| Contribution { value, ..blank.clone() }).into_iter().collect()
            }
            Kind::All(_) => with_keys(finding.holding.iter().map(|selection| *selection as u64).collect()),
            Kind::Join | Kind::Reply { .. } => Vec::new(),
        }
    }

    fn different(&self, what: Distinct, finding: &Finding) -> Vec<u64> {
        let digest = |value: &str| value_digest(self.key, &lower(value));
        match what {
            Distinct::To => self.message.to.iter().map(|id| digest(id)).collect(),
            Distinct::Room => self.message.room.iter().map(|id| digest(id)).collect(),
            Distinct::File => {
                let name = |file: &FileInfo| digest(&format!("{}/{}", file.name, file.size.unwrap_or_default()));
                self.message.extras.files.iter().map(name).collect()
            }
            Distinct::Word => finding.hits.iter().map(|hit| digest(&hit.word)).collect(),
        }
    }

    /// What any message adds to a rule that looks at what stands between, or answers.
    fn between(&self, at: RuleAt, holds: bool, blank: &Contribution) -> Option<Contribution> {
        let rule = self.engine.rule(at)?;
        match &rule.window.as_ref()?.kind {
            Kind::Join => {
                let text = if holds { "" } else { self.piece() };
                let looked_at = self.parties.within(&rule.scope, self.message) && !self.left_out(at);
                looked_at.then(|| Contribution { text: text.to_owned(), ..blank.clone() })
            }
            Kind::Reply { closing, .. } => match self.parties.from {
                Side::External => {
                    let asks = holds
                        && says_something(&self.message.msgtype)
                        && !closing.is_some_and(|closing| self.only_closes(at, closing));
                    asks.then(|| Contribution { key: ASK, ..blank.clone() })
                }
                // An answer goes where questions may come from.
                Side::Employee if self.parties.to.contains(&Side::External) => {
                    let where_asked = rule.scope.chat.is_none_or(|chat| chat == Chat::of(self.message));
                    (where_asked && says_something(&self.message.msgtype))
                        .then(|| Contribution { key: ANSWER, ..blank.clone() })
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a filter leaves the message out for a rule.
    fn left_out(&self, at: RuleAt) -> bool {
        !self.engine.tuning.tuned(at, &View::new(self.message, self.parties)).left_out.is_empty()
    }

    /// The text of a message that may be a part of a word, or nothing.
    fn piece(&self) -> &str {
        let [text] = self.message.texts.as_slice() else { return "" };
        let short = text.text.chars().take(PIECE_CHARS_MAX + 1).count() <= PIECE_CHARS_MAX;
        if short && self.message.msgtype == "text" { text.text.trim() } else { "" }
    }

    /// Whether a message says nothing beside the words of a selection.
    fn only_closes(&self, at: RuleAt, closing: usize) -> bool {
        let of_selection =
            |hit: &&RawHit| (hit.pack, hit.rule) == (at.pack, at.rule) && usize::try_from(hit.selection) == Ok(closing);
        let hits: Vec<&RawHit> = self.hits.iter().filter(of_selection).collect();
        let covered =
            |text: u32, place: u32| hits.iter().any(|hit| hit.text == text && (hit.start..hit.end).contains(&place));
        !hits.is_empty()
            && self.message.texts.iter().zip(0_u32..).all(|(text, number)| {
                text.text.chars().zip(0_u32..).all(|(c, place)| !c.is_alphanumeric() || covered(number, place))
            })
    }

    fn to_groups(&self, rule: RuleAt, contribution: Contribution, out: &mut Vec<Contributed>) {
        let Some(window) = self.engine.window(rule) else { return };
        let mut groups: Vec<GroupKey> = if window.by.contains(&By::To) {
            self.message.to.iter().take(KEYS_MAX).filter_map(|receiver| self.group(window, receiver)).collect()
        } else {
            self.group(window, "").into_iter().collect()
        };
        groups.sort_unstable();
        groups.dedup();
        out.extend(groups.into_iter().map(|group| Contributed { rule, group, contribution: contribution.clone() }));
    }

    /// The group of a message, with one of its receivers; none where it lacks what the rule groups by.
    fn group(&self, window: &Window, receiver: &str) -> Option<GroupKey> {
        let mut parts = Parts::new("watchpost/window-group").str(self.corp.as_str());
        for by in &window.by {
            parts = match by {
                By::From => parts.str("from").str(&lower(&self.message.from)),
                By::To => parts.str("to").str(&lower(receiver)),
                By::Room => parts.str("room").str(self.message.room.as_deref()?),
                By::Chat => self.chat(parts),
            };
        }
        Some(GroupKey(short(&parts.hmac(self.key)).0))
    }

    fn chat(&self, parts: Parts) -> Parts {
        if let Some(room) = &self.message.room {
            return parts.str("room").str(room);
        }
        let mut all: Vec<_> = self.message.parties().map(lower).collect();
        all.sort_unstable();
        all.dedup();
        all.iter().fold(parts.str("parties"), |parts, id| parts.str(id))
    }
}

/// Whether a message of this type asks or answers: to take one back, or to agree to being archived, does neither.
fn says_something(msgtype: &str) -> bool {
    !matches!(msgtype, "revoke" | "agree" | "disagree") && !is_event_type(msgtype)
}

fn short(digest: &[u8; 32]) -> ShortMid {
    let mut mid = [0; 16];
    mid.copy_from_slice(&digest[..16]);
    ShortMid(mid)
}

impl Rule {
    /// Whether a message is evaluated for this rule although nothing in it hits.
    pub(super) fn needs_every_message(&self) -> bool {
        self.window.as_ref().is_some_and(Window::needs_every_message)
    }

    /// The selections of which the window wants to know whether they hold.
    pub(super) fn windowed_selections(&self) -> &[usize] {
        match self.window.as_ref().map(|window| &window.kind) {
            Some(Kind::All(selections)) => selections,
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests;
