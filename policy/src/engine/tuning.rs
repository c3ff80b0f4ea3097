//! What filters change for one rule and one message.

use std::collections::{BTreeMap, BTreeSet};

use super::view::View;
use super::{CompileError, Finding, RuleAt};
use crate::filters::{Except, Filter, Set};
use crate::hint::did_you_mean;
use crate::message::lower;
use crate::rules::{Level, Pack};
use crate::validators::host_suffixes;

/// The filters of a policy and the rules they tune.
#[derive(Debug, Default)]
pub(super) struct Tuning {
    /// In order of id, so that it does not matter in which order they are given.
    filters: Vec<Filter>,
    by_rule: BTreeMap<RuleAt, Vec<u32>>,
}

/// What is changed for one rule and one message.
#[derive(Debug, Default)]
pub(super) struct Tuned {
    /// Filters for which the rule does not count for the message.
    pub(super) left_out: Vec<u32>,
    /// Filters inside the phrases of which hits do not count.
    pub(super) phrases: Vec<u32>,
    set: Set,
}

impl Tuning {
    pub(super) fn of(mut filters: Vec<Filter>, packs: &[Pack]) -> Result<Self, CompileError> {
        filters.sort_by(|a, b| a.id.cmp(&b.id));
        let mut ids = BTreeSet::new();
        if let Some(twice) = filters.iter().find(|filter| !ids.insert(filter.id.clone())) {
            return Err(CompileError::DuplicateFilter(twice.id.to_string()));
        }
        let mut by_rule: BTreeMap<RuleAt, Vec<u32>> = BTreeMap::new();
        for (filter, number) in filters.iter().zip(0..) {
            for rule in tuned_rules(filter, packs)? {
                by_rule.entry(rule).or_default().push(number);
            }
        }
        Ok(Self { filters, by_rule })
    }

    pub(super) fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// What the filters that count for the message change.
    pub(super) fn tuned(&self, rule: RuleAt, view: &View<'_>) -> Tuned {
        let mut tuned = self.set_at(rule, view.message.msgtime);
        for (number, filter) in self.counting(rule, view.message.msgtime) {
            let fits = filter.except.as_ref().filter(|except| fits(except, view));
            match fits.map(|except| except.words.is_empty()) {
                Some(true) => tuned.left_out.push(number),
                Some(false) => tuned.phrases.push(number),
                None => {}
            }
        }
        tuned
    }

    /// The filters whose phrases count in any message of this time.
    pub(super) fn phrases_for_all(&self, rule: RuleAt, at_ms: i64) -> Vec<u32> {
        let for_all = |except: &Except| {
            let Except { words, labels, from, rooms, hosts } = except;
            !words.is_empty() && labels.is_empty() && from.is_empty() && rooms.is_empty() && hosts.is_empty()
        };
        let counting = self.counting(rule, Some(at_ms));
        counting.filter(|(_, filter)| filter.except.as_ref().is_some_and(for_all)).map(|(number, _)| number).collect()
    }

    /// What the filters that count at this time change, whatever the message.
    pub(super) fn set_at(&self, rule: RuleAt, msgtime: Option<i64>) -> Tuned {
        let mut tuned = Tuned::default();
        for (number, filter) in self.counting(rule, msgtime) {
            tuned.left_out.extend(filter.set.disable.then_some(number));
            tuned.set.level = filter.set.level.or(tuned.set.level);
            tuned.set.status = filter.set.status.or(tuned.set.status);
        }
        tuned
    }

    fn counting(&self, rule: RuleAt, msgtime: Option<i64>) -> impl Iterator<Item = (u32, &Filter)> {
        let numbers = self.by_rule.get(&rule).into_iter().flatten();
        let filters = numbers.filter_map(|number| Some((*number, self.filters.get(*number as usize)?)));
        filters.filter(move |(_, filter)| filter.counts_at(msgtime))
    }
}

impl Tuned {
    pub(super) fn level(&self, level: Level) -> Level {
        self.set.level.unwrap_or(level)
    }

    /// The finding with the level and status the filters give it.
    pub(super) fn applied(&self, finding: Finding) -> Finding {
        Finding { level: self.level(finding.level), status: self.set.status.unwrap_or(finding.status), ..finding }
    }
}

/// Whether everything the filter names but its phrases fits the message.
fn fits(except: &Except, view: &View<'_>) -> bool {
    let message = view.message;
    let any = |list: &[String], is: &dyn Fn(&String) -> bool| list.is_empty() || list.iter().any(is);
    let hosts = || {
        let own = |host: &String| host_suffixes(host).any(|host| except.hosts.iter().any(|it| **it == *host));
        !view.hosts().is_empty() && view.hosts().iter().all(own)
    };
    any(&except.labels, &|label| view.parties.labels().contains(label))
        && any(&except.from, &|from| *from == *lower(&message.from))
        && any(&except.rooms, &|room| message.room.as_ref() == Some(room))
        && (except.hosts.is_empty() || hosts())
}

fn tuned_rules(filter: &Filter, packs: &[Pack]) -> Result<Vec<RuleAt>, CompileError> {
    let wrong = |text: String| CompileError::Filter { file: filter.file.clone(), text };
    let Some((pack, at)) = packs.iter().zip(0..).find(|(pack, _)| pack.id == filter.pack) else {
        let names: Vec<&str> = packs.iter().map(|pack| &*pack.id).collect();
        let hint = did_you_mean(&filter.pack, &names);
        return Err(wrong(format!(
            "the filter `{}` tunes the pack `{}`, which is not given{hint}",
            filter.id, filter.pack
        )));
    };
    let Some(ids) = &filter.rules else {
        return Ok((0..).take(pack.rules.len()).map(|rule| RuleAt { pack: at, rule }).collect());
    };
    let number = |id: &std::sync::Arc<str>| {
        let found = (0..).zip(&pack.rules).find(|(_, rule)| rule.id == *id);
        found.map(|(rule, _)| RuleAt { pack: at, rule }).ok_or_else(|| {
            let names: Vec<&str> = pack.rules.iter().map(|rule| &*rule.id).collect();
            let hint = did_you_mean(id, &names);
            wrong(format!(
                "the filter `{}` tunes the rule `{id}`, which the pack `{}` has not{hint}",
                filter.id, pack.id
            ))
        })
    };
    ids.iter().map(number).collect()
}
