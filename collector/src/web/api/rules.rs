//! Rules in force: packs of each group, what they look for, and a tester that says of a text why a rule holds for it or does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchpost_policy::message::Side;
use watchpost_policy::rules::{Kind, Pack, Rule, RuleTest, Selection};

use crate::alerts::{self, Precision};
use crate::log_store;
use crate::operators::Act;
use crate::policies::in_force::{self, InForce};
use crate::rulebook::Both;
use crate::web::ask::Ask;
use crate::web::problem::{Kind as Why, Problem};

/// Words of one selection that are told; the rest is counted.
const WORDS_TOLD_MAX: usize = 300;

/// Of which group and policy.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct OfPolicy {
    /// The group; the default one where it is missing.
    #[serde(default)]
    pub(in crate::web) group: String,
    /// The version of its policy; the latest where it is missing.
    #[serde(default)]
    pub(in crate::web) version: Option<u64>,
}

/// Packs of a policy.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Packs {
    /// The group.
    pub(in crate::web) group: String,
    /// The version of the policy; 0 where none is published and the packs that ship are in force.
    pub(in crate::web) version: u64,
    /// Its packs.
    pub(in crate::web) packs: Vec<PackView>,
    /// Filters that tune them, by id.
    pub(in crate::web) filters: Vec<String>,
}

/// A pack.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct PackView {
    /// Its id.
    pub(in crate::web) pack: String,
    /// Its version.
    pub(in crate::web) version: u64,
    /// Its title.
    pub(in crate::web) title: Both,
    /// Its rules.
    pub(in crate::web) rules: Vec<RuleView>,
}

/// A rule.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct RuleView {
    /// Its id.
    pub(in crate::web) rule: String,
    /// Its title.
    pub(in crate::web) title: Both,
    /// Its category.
    pub(in crate::web) category: String,
    /// Its level.
    pub(in crate::web) level: &'static str,
    /// `live`, or `shadow` where nobody is told of it.
    pub(in crate::web) status: &'static str,
    /// Most that may be disclosed: `none`, `masked` or `context`.
    pub(in crate::web) disclose: &'static str,
    /// Work time within which an alert is to be dealt with, seconds.
    pub(in crate::web) sla_s: Option<u64>,
    /// Which messages it looks at: what is asked, and which.
    pub(in crate::web) scope: Vec<(&'static str, Vec<String>)>,
    /// What it measures over many messages; none where it holds for each.
    pub(in crate::web) window: Option<&'static str>,
    /// What must hold.
    pub(in crate::web) condition: String,
    /// What it looks for.
    pub(in crate::web) selections: Vec<SelectionView>,
    /// Laws and rules of conduct it stands on.
    pub(in crate::web) legal_basis: Vec<Both>,
    /// What its author knows about false alarms.
    pub(in crate::web) note: Option<Both>,
    /// Its own tests; none for those who may not see its words.
    pub(in crate::web) tests: Vec<TestView>,
    /// How it has done; none where it has found nothing.
    pub(in crate::web) precision: Option<Precision>,
}

/// What a rule looks for.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct SelectionView {
    /// Its name.
    pub(in crate::web) name: String,
    /// `words`, `regex`, `validator`, or a fact: `file`, `amount`, `host`, `type`, `chat`, `time`, `side`.
    pub(in crate::web) kind: &'static str,
    /// Words, patterns, validators or what the fact asks for; none of a confidential list for those who may not see them.
    pub(in crate::web) of: Vec<String>,
    /// How many there are.
    pub(in crate::web) count: usize,
    /// Phrases in which a word does not count.
    pub(in crate::web) allow: Vec<String>,
    /// Employees are told only that it is there, and how many words it has.
    pub(in crate::web) confidential: bool,
    /// Hits count only near those of this selection, with at most so many characters between.
    pub(in crate::web) near: Option<(String, u32)>,
    /// How many different things must hit.
    pub(in crate::web) min: u32,
}

/// A test written in a rule.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct TestView {
    /// The text.
    pub(in crate::web) text: String,
    /// Whether the rule must hold.
    pub(in crate::web) hit: bool,
}

/// What is in force in a group, or was with an earlier version.
pub(in crate::web) fn in_force(ask: &Ask<'_>, of: &OfPolicy) -> Result<(String, Arc<InForce>), Problem> {
    let group = if of.group.is_empty() { "default" } else { &of.group };
    let (log, kept) = (ask.log().connection(), &ask.site.in_force);
    if !in_force::groups(log, ask.derived()?)?.iter().any(|known| known == group) {
        return Err(Problem::new(Why::NotFound));
    }
    let policy = match of.version {
        Some(version) => {
            let all = log_store::published(log, Some(group))?;
            let found = all.iter().find(|published| published.header.said.version == version);
            kept.of_policy(log, &found.ok_or(Problem::new(Why::NotFound))?.header.digest)?
        }
        None => kept.of_group(log, group)?,
    };
    Ok((group.to_owned(), policy))
}

/// What is in force in each group.
pub(in crate::web) fn everywhere(ask: &Ask<'_>) -> Result<Vec<(String, Arc<InForce>)>, Problem> {
    let log = ask.log().connection();
    let groups = in_force::groups(log, ask.derived()?)?;
    groups.into_iter().map(|group| Ok((group.clone(), ask.site.in_force.of_group(log, &group)?))).collect()
}

/// Whether whoever asks may see words of confidential lists: those who keep words.
pub(in crate::web) fn sees_words(ask: &Ask<'_>) -> bool {
    ask.may(Act::KeepWords, None)
}

pub(in crate::web) fn packs(ask: &Ask<'_>, of: OfPolicy) -> Result<Packs, Problem> {
    let (group, policy) = in_force(ask, &of)?;
    let seer = Seer::of(ask)?;
    Ok(Packs {
        group,
        version: policy.version,
        packs: policy.packs().iter().map(|pack| seer.pack(pack)).collect(),
        filters: policy.engine.filters().iter().map(|filter| filter.id.to_string()).collect(),
    })
}

pub(in crate::web) fn pack(ask: &Ask<'_>, of: OfPolicy) -> Result<PackView, Problem> {
    let (_, policy) = in_force(ask, &of)?;
    let pack = policy.pack(ask.param("pack")?).ok_or(Problem::new(Why::NotFound))?;
    Ok(Seer::of(ask)?.pack(pack))
}

/// Shows rules as far as somebody may see them.
struct Seer {
    sees_words: bool,
    precision: BTreeMap<(String, String), Precision>,
}

impl Seer {
    fn of(ask: &Ask<'_>) -> Result<Self, Problem> {
        let all = alerts::precision(ask.derived()?, None)?.into_iter();
        let precision = all.map(|it| ((it.pack.clone(), it.rule.clone()), it)).collect();
        Ok(Self { sees_words: sees_words(ask), precision })
    }

    fn pack(&self, pack: &Pack) -> PackView {
        PackView {
            pack: pack.id.to_string(),
            version: pack.version,
            title: Both::of(&pack.title),
            rules: pack.rules.iter().map(|rule| self.rule(pack, rule)).collect(),
        }
    }

    fn rule(&self, pack: &Pack, rule: &Rule) -> RuleView {
        let is_secret = rule.selections.iter().any(is_confidential) && !self.sees_words;
        let tests = rule.tests.iter().filter(|_| !is_secret);
        RuleView {
            rule: rule.id.to_string(),
            title: Both::of(&rule.title),
            category: rule.category.to_string(),
            level: rule.level.as_str(),
            status: rule.status.as_str(),
            disclose: rule.disclose.as_str(),
            sla_s: rule.sla.map(|sla| sla.as_secs()),
            scope: scope(rule),
            window: rule.window.as_ref().map(|window| window.kind.as_str()),
            condition: rule.condition_text(),
            selections: rule.selections.iter().map(|it| self.selection(rule, it)).collect(),
            legal_basis: rule.legal_basis.iter().map(Both::of).collect(),
            note: rule.note.as_ref().map(Both::of),
            tests: tests.map(|test: &RuleTest| TestView { text: test.text.clone(), hit: test.hit }).collect(),
            precision: self.precision.get(&(pack.id.to_string(), rule.id.to_string())).cloned(),
        }
    }

    fn selection(&self, rule: &Rule, it: &Selection) -> SelectionView {
        let (kind, of, allow) = described(&it.kind);
        let confidential = is_confidential(it);
        let is_told = !confidential || self.sees_words;
        let near = it.near.and_then(|near| Some((rule.selections.get(near.selection)?.name.to_string(), near.within)));
        SelectionView {
            name: it.name.to_string(),
            kind,
            count: of.len(),
            of: of.into_iter().filter(|_| is_told).take(WORDS_TOLD_MAX).collect(),
            allow: allow.into_iter().filter(|_| is_told).collect(),
            confidential,
            near,
            min: it.min,
        }
    }
}

/// Whether only its number is everybody's.
pub(in crate::web) fn is_confidential(selection: &Selection) -> bool {
    matches!(&selection.kind, Kind::Words(words) if words.confidential)
}

fn scope(rule: &Rule) -> Vec<(&'static str, Vec<String>)> {
    let scope = &rule.scope;
    let sides = |sides: &[Side]| sides.iter().map(|side| side.as_str().to_owned()).collect();
    let chat = scope.chat.map(|chat| chat.as_str().to_owned());
    let parts = [
        ("from", sides(&scope.from)),
        ("to", sides(&scope.to)),
        ("types", scope.types.clone()),
        ("labels", scope.labels.clone()),
        ("chat", chat.into_iter().collect()),
    ];
    parts.into_iter().filter(|(_, asked): &(_, Vec<String>)| !asked.is_empty()).collect()
}

/// What a selection looks for: its kind, of what, and what it allows.
fn described(kind: &Kind) -> (&'static str, Vec<String>, Vec<String>) {
    let texts = |all: &[Arc<str>]| all.iter().map(|text| text.to_string()).collect::<Vec<_>>();
    let (of, allow) = match kind {
        Kind::Words(words) => (texts(&words.words), texts(&words.allow)),
        Kind::Regex(patterns) => (patterns.iter().map(|it| it.source.to_string()).collect(), Vec::new()),
        Kind::Validator(it) => (it.validators.iter().map(|it| it.as_str().to_owned()).collect(), Vec::new()),
        Kind::Fact(fact) => (fact.asked(), Vec::new()),
    };
    (kind.as_str(), of, allow)
}
