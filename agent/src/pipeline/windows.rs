//! What a batch adds to windows, and what is told of them, inside the batch's transaction.
//!
//! Contributions are merged into what is kept of their buckets; then every bucket they may decide is judged from what is kept and
//! compared with what was told of it. What cannot be told yet is noted with the moment at which the folder's watermark makes
//! it due, and looked at again in the transaction that reads an export of the folder to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use watchpost_policy::engine::{Contributed, Engine, RuleAt};
use watchpost_policy::summary::{FoundWindow, MessageFacts, SummaryContext, summarise_window};
use watchpost_policy::windows::{
    ANSWER, ASK, Contribution, GroupKey, Held, Kind, Seen, Telling, Told, Window, awaited, judge, keep, telling,
};
use watchpost_proto::v1::Lane;

use crate::store::{FileRow, FolderId, RuleId, StoreError, Tx, WindowGroup};
use crate::summary::{self, MadeUnder};

/// What one message adds to windows.
pub(super) struct Added {
    /// What a finding may say of the message.
    pub(super) facts: MessageFacts,
    /// Never empty.
    pub(super) contributions: Vec<Contributed>,
}

/// What windows are judged and told under.
pub(super) struct WindowsUnder<'a> {
    pub(super) engine: &'a Engine,
    pub(super) context: SummaryContext<'a>,
    pub(super) made: MadeUnder,
    /// The corrected present.
    pub(super) now_ms: i64,
    /// From where on messages are remembered.
    pub(super) horizon_ms: i64,
}

/// Applies what the messages of a batch add, and what is due if the batch ends its export. Returns how many windows hold that did not.
pub(super) fn apply<'b>(
    tx: &Tx<'_>,
    under: &WindowsUnder<'_>,
    row: &FileRow,
    added: impl Iterator<Item = &'b Added>,
    ended: bool,
) -> Result<u64, StoreError> {
    if !under.engine.has_windows() {
        return Ok(0);
    }
    let mut groups: BTreeMap<(RuleAt, GroupKey), Vec<&Contribution>> = BTreeMap::new();
    for Added { facts, contributions } in added {
        for Contributed { rule, group, contribution } in contributions {
            tx.put_window_message(contribution.mid, contribution.at_ms, facts)?;
            groups.entry((*rule, *group)).or_default().push(contribution);
        }
    }
    if groups.is_empty() && !ended {
        return Ok(0);
    }
    let rules = rules(tx, under)?;
    let (folder, watermark_ms) = tx.watermark(&row.key.folder)?;
    let watermark_ms = if ended { watermark_ms.max(row.counts.last_ms.min(under.now_ms)) } else { watermark_ms };
    tx.put_watermark(folder, watermark_ms)?;
    let furthest_ms = tx.furthest_watermark()?;
    let mut windows = Windows { tx, under, folder, watermark_ms: furthest_ms, new: 0 };
    for ((at, group), contributions) in groups {
        let Some(rule) = rules.get(&at).and_then(|id| Rule::of(under.engine, at, (*id, group))) else { continue };
        let touched = windows.merge(&rule, &contributions)?;
        windows.reconcile(&rule, &touched, &BTreeSet::new())?;
    }
    if ended {
        let by_id: BTreeMap<RuleId, RuleAt> = rules.iter().map(|(at, id)| (*id, *at)).collect();
        for (group, buckets) in tx.take_windows_due(folder, watermark_ms)? {
            let rule = by_id.get(&group.0).and_then(|at| Rule::of(under.engine, *at, group));
            let Some(rule) = rule else { continue };
            let due: BTreeSet<i64> = buckets.into_iter().collect();
            windows.reconcile(&rule, &due.clone(), &due)?;
        }
    }
    Ok(windows.new)
}

/// The numbers of all rules with a window. A changed one starts afresh, which is told as a loss.
fn rules(tx: &Tx<'_>, under: &WindowsUnder<'_>) -> Result<BTreeMap<RuleAt, RuleId>, StoreError> {
    let mut rules = BTreeMap::new();
    for (at, pack, rule) in under.engine.window_rules() {
        let (id, dropped) = tx.window_rule(&pack.id, &rule.id, rule.digest)?;
        rules.insert(at, id);
        if dropped > 0 {
            tracing::info!(pack = &*pack.id, rule = &*rule.id, dropped, "a changed rule starts its windows afresh");
            let lost = summary::loss("window_restarted", 0, dropped, "contributions");
            tx.append(Lane::Urgent, &under.made.record(lost)?)?;
        }
    }
    Ok(rules)
}

/// One group of one rule.
struct Rule<'a> {
    at: RuleAt,
    window: &'a Window,
    group: WindowGroup,
}

impl<'a> Rule<'a> {
    fn of(engine: &'a Engine, at: RuleAt, group: WindowGroup) -> Option<Self> {
        Some(Self { at, window: engine.window(at)?, group })
    }

    fn is_reply(&self) -> bool {
        matches!(self.window.kind, Kind::Reply { .. })
    }

    /// All moments of some buckets.
    fn moments(&self, buckets: &RangeInclusive<i64>) -> RangeInclusive<i64> {
        self.window.start_ms(*buckets.start())..=self.window.start_ms(buckets.end().saturating_add(1)).saturating_sub(1)
    }
}

struct Windows<'a> {
    tx: &'a Tx<'a>,
    under: &'a WindowsUnder<'a>,
    folder: FolderId,
    /// The furthest of all folders: what was once told of a silence must not be taken back because another folder is behind.
    watermark_ms: i64,
    new: u64,
}

impl Windows<'_> {
    /// Adds contributions to what is kept. Returns the buckets they belong to.
    fn merge(&self, rule: &Rule<'_>, added: &[&Contribution]) -> Result<BTreeSet<i64>, StoreError> {
        let mut by_bucket: BTreeMap<i64, BTreeSet<Contribution>> = BTreeMap::new();
        for contribution in added {
            by_bucket.entry(rule.window.bucket(contribution.at_ms)).or_default().insert((*contribution).clone());
        }
        for (bucket, added) in &by_bucket {
            let before = self.tx.contributions(rule.group, rule.moments(&(*bucket..=*bucket)))?;
            let before: BTreeSet<Contribution> = before.into_iter().collect();
            let mut after: BTreeSet<Contribution> = before.union(added).cloned().collect();
            keep(rule.window, &mut after);
            for gone in before.difference(&after) {
                self.tx.remove_contribution(rule.group, gone)?;
            }
            for new in after.difference(&before) {
                self.tx.add_contribution(rule.group, new, self.under.now_ms)?;
            }
        }
        Ok(by_bucket.into_keys().collect())
    }

    /// Judges every bucket that contributions in `touched` may decide, and tells what is new. Those in `due` were to be looked at now.
    fn reconcile(&mut self, rule: &Rule<'_>, touched: &BTreeSet<i64>, due: &BTreeSet<i64>) -> Result<(), StoreError> {
        for touched in ranges(touched) {
            let (buckets, moments) = if rule.is_reply() {
                self.waits_around(rule, &touched)?
            } else {
                let buckets = Window::decided_by(&touched);
                let moments = rule.moments(&(*buckets.start()..=touched.end().saturating_add(1)));
                (buckets, moments)
            };
            let contributions = self.tx.contributions(rule.group, moments)?;
            let mut hits = |text: &str| self.under.engine.joined_hits(rule.at, text);
            let mut seen = Seen { watermark_ms: self.watermark_ms, hits: &mut hits };
            let held = judge(rule.window, &contributions, buckets.clone(), &mut seen);
            if rule.is_reply()
                && let Some((bucket, due_ms)) = awaited(rule.window, &contributions, buckets.clone(), self.watermark_ms)
            {
                self.tx.put_window_due(self.folder, due_ms, rule.group, bucket)?;
            }
            let told = self.tx.windows_told(rule.group, &buckets)?;
            let all: BTreeSet<i64> = held.keys().chain(told.keys()).copied().collect();
            for bucket in all {
                let told = told.get(&bucket).filter(|told| !self.is_forgotten(rule, told, &contributions));
                let held = held.get(&bucket);
                match telling(rule.window, bucket, told, held, due.contains(&bucket)) {
                    Telling::Nothing => {}
                    Telling::Later(due_ms) => self.tx.put_window_due(self.folder, due_ms, rule.group, bucket)?,
                    Telling::Tell => self.tell(rule, bucket, told, held)?,
                    Telling::Withdraw => self.withdraw(rule, bucket, told)?,
                }
            }
        }
        Ok(())
    }

    /// The buckets whose waits turns in `touched` may begin, end or shift, and all turns that decide these waits.
    fn waits_around(
        &self,
        rule: &Rule<'_>,
        touched: &RangeInclusive<i64>,
    ) -> Result<(RangeInclusive<i64>, RangeInclusive<i64>), StoreError> {
        let (tx, window, group) = (self.tx, rule.window, rule.group);
        let moments = rule.moments(touched);
        // An answer ends the wait that was open before it, and lets the next question begin another.
        let answered = tx.contribution_before(group, *moments.start(), Some(ANSWER))?;
        let open = tx.contribution_from(group, answered.map_or(i64::MIN, |at_ms| at_ms), Some(ASK))?;
        let next = tx.contribution_from(group, moments.end().saturating_add(1), None)?;
        let first = open.map_or(*touched.start(), |at_ms| window.bucket(at_ms).min(*touched.start()));
        let last = next.map_or(*touched.end(), |at_ms| window.bucket(at_ms).max(*touched.end()));
        let moments = rule.moments(&(first..=last));
        let before = tx.contribution_before(group, *moments.start(), None)?.unwrap_or(*moments.start());
        let after = tx.contribution_from(group, moments.end().saturating_add(1), Some(ANSWER))?.unwrap_or(i64::MAX);
        Ok((first..=last, before..=after))
    }

    /// What was told may rest on what is forgotten since; then it stays as it is.
    fn is_forgotten(&self, rule: &Rule<'_>, told: &Told, contributions: &[Contribution]) -> bool {
        let there = || contributions.iter().any(|one| one.mid == told.first && !one.text.is_empty());
        told.first_ms < self.under.horizon_ms || rule.window.kind == Kind::Join && !there()
    }

    fn tell(
        &mut self,
        rule: &Rule<'_>,
        bucket: i64,
        told: Option<&Told>,
        held: Option<&Held>,
    ) -> Result<(), StoreError> {
        let Some((held, now)) = held.and_then(|held| Some((held, Told::of(held)?))) else { return Ok(()) };
        self.append(rule, bucket, held, false)?;
        self.new += u64::from(told.is_none_or(|told| told.withdrawn));
        self.tx.put_window_told(rule.group, bucket, &now)
    }

    fn withdraw(&mut self, rule: &Rule<'_>, bucket: i64, told: Option<&Told>) -> Result<(), StoreError> {
        let Some(told) = told else { return Ok(()) };
        let held = Held {
            first_ms: told.first_ms,
            last_ms: told.last_ms,
            count: told.count,
            value: told.value,
            open: told.open,
            members: vec![told.first],
            joined: None,
        };
        self.append(rule, bucket, &held, true)?;
        self.tx.put_window_told(rule.group, bucket, &Told { withdrawn: true, ..told.clone() })
    }

    fn append(&self, rule: &Rule<'_>, bucket: i64, held: &Held, withdrawn: bool) -> Result<(), StoreError> {
        let under = self.under;
        let Some(finding) = under.engine.finding_of(rule.at, held.last_ms) else { return Ok(()) };
        let members: Result<Vec<MessageFacts>, StoreError> =
            held.members.iter().map(|mid| self.tx.window_message(*mid)).collect();
        let found = FoundWindow {
            finding: &finding,
            window: rule.window,
            group: rule.group.1,
            bucket,
            held,
            members: &members?,
        };
        let told = summarise_window(&found, &under.context);
        let corp = under.context.corp.as_str();
        let kind = if withdrawn { summary::withdrawn(corp, &told) } else { summary::finding(corp, &told) };
        self.tx.append(Lane::Urgent, &under.made.record(kind)?)?;
        if withdrawn { Ok(()) } else { self.tx.disclosed(under.made.at_ms, &summary::disclosure(&told)) }
    }
}

/// Runs of buckets so near that judging them together reads no more than judging each.
fn ranges(buckets: &BTreeSet<i64>) -> Vec<RangeInclusive<i64>> {
    let mut ranges: Vec<RangeInclusive<i64>> = Vec::new();
    for bucket in buckets {
        match ranges.last_mut() {
            Some(last) if *bucket <= last.end().saturating_add(2) => *last = *last.start()..=*bucket,
            _ => ranges.push(*bucket..=*bucket),
        }
    }
    ranges
}
