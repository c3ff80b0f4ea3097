//! The windows of one run that keeps no state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Contribution, GroupKey, Held, Seen, ShortMid, Window, judge, keep};
use crate::engine::{Contributed, Engine, RuleAt};

/// Contributions of a run that are kept, some hundred bytes each.
const CONTRIBUTIONS_MAX: usize = 4_000_000;
/// A group of more contributions is looked through for what need not be kept, and again whenever it has doubled.
const SWEEP_FROM: usize = 4_096;

/// Collects what messages contribute and tells at the end which windows hold. `F` is what the caller wants to know of a message again.
#[derive(Debug)]
pub struct Memory<F> {
    groups: BTreeMap<(RuleAt, GroupKey), Group<F>>,
    contributions: usize,
    newest_ms: i64,
    left_out: u64,
}

#[derive(Debug)]
struct Group<F> {
    /// With what the caller knows of each that may be named.
    contributions: BTreeMap<Contribution, Option<Arc<F>>>,
    sweep_at: usize,
}

/// A window of a run that holds.
#[derive(Clone, Debug)]
pub struct WindowFinding<F> {
    /// The rule.
    pub rule: RuleAt,
    /// Its group.
    pub group: GroupKey,
    /// Its bucket.
    pub bucket: i64,
    /// What holds.
    pub held: Held,
    /// What the caller knows of the first message in it.
    pub first: Arc<F>,
}

impl<F> Default for Memory<F> {
    fn default() -> Self {
        Self { groups: BTreeMap::new(), contributions: 0, newest_ms: i64::MIN, left_out: 0 }
    }
}

impl<F> Memory<F> {
    /// Notes that a message of this time was read, whether or not it contributes.
    pub fn read(&mut self, msgtime_ms: Option<i64>) {
        self.newest_ms = self.newest_ms.max(msgtime_ms.unwrap_or(i64::MIN));
    }

    /// Adds what one message contributes; the same message again adds nothing.
    pub fn add(&mut self, engine: &Engine, contributed: Vec<Contributed>, facts: impl FnOnce() -> F) {
        if contributed.is_empty() {
            return;
        }
        if self.contributions >= CONTRIBUTIONS_MAX {
            self.left_out += 1;
            return;
        }
        let mut facts = Some(facts);
        let mut made = None;
        for Contributed { rule, group, contribution } in contributed {
            let Some(window) = engine.window(rule) else { continue };
            let group = self
                .groups
                .entry((rule, group))
                .or_insert_with(|| Group { contributions: BTreeMap::new(), sweep_at: SWEEP_FROM });
            let before = group.contributions.len();
            let named = contribution.may_be_member(&window.kind);
            if named && made.is_none() {
                made = facts.take().map(|facts| Arc::new(facts()));
            }
            group.contributions.entry(contribution).or_insert_with(|| made.clone().filter(|_| named));
            if group.contributions.len() > group.sweep_at {
                group.sweep(window);
            }
            self.contributions = (self.contributions + group.contributions.len()).saturating_sub(before);
        }
    }

    /// Messages whose contributions had no room.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The windows that hold, in order of rule, time and group. The watermark is the newest message of the run.
    #[must_use]
    pub fn finish(self, engine: &Engine) -> Vec<WindowFinding<F>> {
        let mut found = Vec::new();
        for ((rule, key), mut group) in self.groups {
            let Some(window) = engine.window(rule) else { continue };
            group.sweep(window);
            let (contributions, facts): (Vec<Contribution>, Vec<Option<Arc<F>>>) =
                group.contributions.into_iter().unzip();
            let mut hits = |text: &str, at_ms: i64| engine.joined_hits(rule, text, at_ms);
            let mut seen = Seen { watermark_ms: self.newest_ms, hits: &mut hits };
            let held = judge(window, &contributions, i64::MIN..=i64::MAX, &mut seen);
            found.extend(held.into_iter().filter_map(|(bucket, held)| {
                let first = place(&contributions, held.first_ms, *held.members.first()?);
                Some(WindowFinding { rule, group: key, bucket, held, first: facts.get(first)?.clone()? })
            }));
        }
        found.sort_by_key(|finding| (finding.rule, finding.held.first_ms, finding.group));
        found
    }
}

fn place(sorted: &[Contribution], at_ms: i64, mid: ShortMid) -> usize {
    sorted.partition_point(|contribution| (contribution.at_ms, contribution.mid) < (at_ms, mid))
}

impl<F> Group<F> {
    /// Forgets what need not be kept, bucket by bucket.
    fn sweep(&mut self, window: &Window) {
        let mut buckets: BTreeMap<i64, BTreeSet<Contribution>> = BTreeMap::new();
        for contribution in self.contributions.keys() {
            buckets.entry(window.bucket(contribution.at_ms)).or_default().insert(contribution.clone());
        }
        buckets.values_mut().for_each(|bucket| keep(window, bucket));
        let kept = |contribution: &Contribution| {
            buckets.get(&window.bucket(contribution.at_ms)).is_some_and(|bucket| bucket.contains(contribution))
        };
        self.contributions.retain(|contribution, _| kept(contribution));
        self.sweep_at = (self.contributions.len() * 2).max(SWEEP_FROM);
    }
}
