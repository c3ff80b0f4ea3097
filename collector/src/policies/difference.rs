//! What a policy would change, before it is published: packs, rules and words that come and go.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use watchpost_policy::rules::{Kind, Pack, Rule};

use super::in_force::InForce;

/// Words told of one rule; the rest is counted.
const WORDS_TOLD_MAX: usize = 40;

/// What would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    /// Packs that come, go or change, by id.
    pub packs: Vec<PackChange>,
    /// Filters that come.
    pub filters_added: Vec<String>,
    /// Filters that go.
    pub filters_removed: Vec<String>,
}

/// A pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PackChange {
    /// Its id.
    pub pack: String,
    /// Its version before; none where it comes.
    pub before: Option<u64>,
    /// Its version afterwards; none where it goes.
    pub after: Option<u64>,
    /// Rules that come, go or change.
    pub rules: Vec<RuleChange>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RuleChange {
    /// Its id.
    pub rule: String,
    /// Its title in Chinese and English.
    pub title: (String, String),
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    /// What is different, such as `level medium → high`.
    pub details: Vec<String>,
    /// Words that come, at most forty.
    pub words_added: Vec<String>,
    /// How many come.
    pub words_added_count: usize,
    /// Words that go, at most forty.
    pub words_removed: Vec<String>,
    /// How many go.
    pub words_removed_count: usize,
}

impl Difference {
    /// Compares what is in force with what would be.
    #[must_use]
    pub fn of(before: &InForce, after: &InForce) -> Self {
        let by_id = |policy: &'_ InForce| -> BTreeMap<String, Pack> {
            policy.packs().iter().map(|pack| (pack.id.to_string(), pack.clone())).collect()
        };
        let (old, new) = (by_id(before), by_id(after));
        let ids: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let packs = ids.into_iter().filter_map(|id| PackChange::of(id, old.get(id), new.get(id))).collect();
        let filters = |policy: &InForce| -> BTreeSet<String> {
            policy.engine.filters().iter().map(|filter| filter.id.to_string()).collect()
        };
        let (had, has) = (filters(before), filters(after));
        Self {
            packs,
            filters_added: has.difference(&had).cloned().collect(),
            filters_removed: had.difference(&has).cloned().collect(),
        }
    }
}

impl PackChange {
    fn of(id: &str, before: Option<&Pack>, after: Option<&Pack>) -> Option<Self> {
        if before.map(Pack::digest) == after.map(Pack::digest) {
            return None;
        }
        let rules = |pack: Option<&Pack>| -> BTreeMap<String, Rule> {
            let rules = pack.map(|pack| pack.rules.as_slice()).unwrap_or_default();
            rules.iter().map(|rule| (rule.id.to_string(), rule.clone())).collect()
        };
        let (old, new) = (rules(before), rules(after));
        let ids: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let rules = ids.into_iter().filter_map(|id| RuleChange::of(id, old.get(id), new.get(id))).collect();
        Some(Self {
            pack: id.to_owned(),
            before: before.map(|pack| pack.version),
            after: after.map(|pack| pack.version),
            rules,
        })
    }
}

impl RuleChange {
    fn of(id: &str, before: Option<&Rule>, after: Option<&Rule>) -> Option<Self> {
        let (had, has) = (words(before), words(after));
        let told = |words: &[&String]| words.iter().take(WORDS_TOLD_MAX).map(|word| (*word).clone()).collect();
        let added: Vec<&String> = has.difference(&had).collect();
        let removed: Vec<&String> = had.difference(&has).collect();
        let details = before.zip(after).map(|(before, after)| details(before, after)).unwrap_or_default();
        let is_same = before.map(|rule| rule.digest) == after.map(|rule| rule.digest);
        if is_same && details.is_empty() {
            return None;
        }
        let title = after.or(before).map(|rule| (rule.title.zh.clone(), rule.title.en.clone())).unwrap_or_default();
        Some(Self {
            rule: id.to_owned(),
            title,
            change: match (before, after) {
                (None, _) => "added",
                (_, None) => "removed",
                _ => "changed",
            },
            details,
            words_added: told(&added),
            words_added_count: added.len(),
            words_removed: told(&removed),
            words_removed_count: removed.len(),
        })
    }
}

/// Every word of a rule, with those it allows apart from those it looks for.
fn words(rule: Option<&Rule>) -> BTreeSet<String> {
    let selections = rule.map(|rule| rule.selections.as_slice()).unwrap_or_default();
    let lists = selections.iter().filter_map(|selection| match &selection.kind {
        Kind::Words(words) => Some(words),
        _ => None,
    });
    lists
        .flat_map(|list| {
            let looked_for = list.words.iter().map(|word| word.to_string());
            looked_for.chain(list.allow.iter().map(|phrase| format!("allow: {phrase}")))
        })
        .collect()
}

fn details(before: &Rule, after: &Rule) -> Vec<String> {
    let pairs = [
        ("level", before.level.as_str().to_owned(), after.level.as_str().to_owned()),
        ("status", before.status.as_str().to_owned(), after.status.as_str().to_owned()),
        ("disclose", before.disclose.as_str().to_owned(), after.disclose.as_str().to_owned()),
        ("category", before.category.to_string(), after.category.to_string()),
        ("condition", before.condition_text(), after.condition_text()),
    ];
    let changed = pairs.into_iter().filter(|(_, before, after)| before != after);
    let mut details: Vec<String> = changed.map(|(what, before, after)| format!("{what}: {before} → {after}")).collect();
    if before.scope != after.scope {
        details.push("scope".into());
    }
    if before.window != after.window {
        details.push("window".into());
    }
    details
}
