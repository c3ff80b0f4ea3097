//! What a batch adds to windows, and what is told of them, inside the batch's transaction.
//!
//! Contributions are merged into what is kept of their buckets; then every bucket they may decide is judged from what is kept and
//! compared with what was told of it. What cannot be told yet is noted with the moment at which the folder's watermark makes
//! it due, and looked at again in the transaction that reads an export of the folder to its end; where very much is due, in some more after it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use watchpost_policy::engine::{Contributed, Engine, RuleAt};
use watchpost_policy::summary::{FoundWindow, MessageFacts, SummaryContext, summarise_window};
use watchpost_policy::windows::{
    Contribution, GroupKey, Held, Kind, Seen, Telling, Told, Window, awaited, judge, keep, telling,
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

/// Buckets looked at again in one transaction.
const DUE_MAX: usize = 4_096;

/// What came of looking at windows.
#[derive(Default)]
pub(super) struct Applied {
    /// How many windows hold that did not.
    pub(super) new: u64,
    /// More is due than was looked at.
    pub(super) more: bool,
}

/// Applies what the messages of a batch add, and what is due if the batch ends its export.
pub(super) fn apply<'b>(
    tx: &Tx<'_>,
    under: &WindowsUnder<'_>,
    row: &FileRow,
    added: impl Iterator<Item = &'b Added>,
    ended: bool,
) -> Result<Applied, StoreError> {
    let rules = rules(tx, under)?;
    let mut groups: BTreeMap<(RuleAt, GroupKey), Vec<&Contribution>> = BTreeMap::new();
    for Added { facts, contributions } in added {
        for Contributed { rule, group, contribution } in contributions {
            if under.engine.window(*rule).is_some_and(|window| contribution.may_be_member(&window.kind)) {
                tx.put_window_message(contribution.mid, contribution.at_ms, facts)?;
            }
            groups.entry((*rule, *group)).or_default().push(contribution);
        }
    }
    if rules.is_empty() || groups.is_empty() && !ended {
        return Ok(Applied::default());
    }
    let mut windows = Windows::of(tx, under, row, ended)?;
    for ((at, group), contributions) in groups {
        let Some(rule) = rules.get(&at).and_then(|id| Rule::of(under.engine, at, (*id, group))) else { continue };
        let touched = windows.merge(&rule, &contributions)?;
        windows.reconcile(&rule, &touched, &BTreeSet::new())?;
    }
    let more = ended && windows.look_again(&rules)?;
    Ok(Applied { new: windows.new, more })
}

/// Looks at more of what is due by the watermark of a folder.
pub(super) fn apply_due(tx: &Tx<'_>, under: &WindowsUnder<'_>, row: &FileRow) -> Result<Applied, StoreError> {
    let rules = rules(tx, under)?;
    let mut windows = Windows::of(tx, under, row, false)?;
    let more = windows.look_again(&rules)?;
    Ok(Applied { new: windows.new, more })
}

/// The numbers of all rules with a window. A changed one starts afresh and one that is gone leaves nothing behind, both of which are told as a
/// loss: what was not read meanwhile would look like silence.
fn rules(tx: &Tx<'_>, under: &WindowsUnder<'_>) -> Result<BTreeMap<RuleAt, RuleId>, StoreError> {
    let lost = |pack: &str, rule: &str, dropped: u64| {
        if dropped == 0 {
            return Ok(());
        }
        tracing::info!(pack, rule, dropped, "a rule that changed or is gone loses what its windows hold");
        let lost = summary::loss("window_restarted", 0, dropped, "contributions");
        tx.append(Lane::Urgent, &under.made.record(lost)?)
    };
    let mut rules = BTreeMap::new();
    for (at, pack, rule) in under.engine.window_rules() {
        let reply = rule.window.as_ref().is_some_and(|window| matches!(window.kind, Kind::Reply { .. }));
        let (id, dropped) = tx.window_rule(&pack.id, &rule.id, rule.digest, reply)?;
        rules.insert(at, id);
        lost(&pack.id, &rule.id, dropped)?;
    }
    let used: BTreeSet<RuleId> = rules.values().copied().collect();
    for (id, pack, rule) in tx.window_rules()?.into_iter().filter(|(id, ..)| !used.contains(id)) {
        lost(&pack, &rule, tx.drop_window_rule(id)?)?;
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
    /// How far this folder has come.
    own_ms: i64,
    /// The furthest of all folders: what was once told of a silence must not be taken back because another folder is behind.
    watermark_ms: i64,
    new: u64,
}

impl<'a> Windows<'a> {
    fn of(tx: &'a Tx<'a>, under: &'a WindowsUnder<'a>, row: &FileRow, ended: bool) -> Result<Self, StoreError> {
        let (folder, before_ms) = tx.watermark(&row.key.folder)?;
        // A clock that was ahead must not leave a watermark that is.
        let before_ms = before_ms.min(under.now_ms);
        let own_ms = if ended { before_ms.max(row.counts.last_ms.min(under.now_ms)) } else { before_ms };
        tx.put_watermark(folder, own_ms)?;
        let watermark_ms = tx.furthest_watermark()?.min(under.now_ms);
        Ok(Self { tx, under, folder, own_ms, watermark_ms, new: 0 })
    }

    /// Looks again at some of what is due. Says whether more may be.
    fn look_again(&mut self, rules: &BTreeMap<RuleAt, RuleId>) -> Result<bool, StoreError> {
        let by_id: BTreeMap<RuleId, RuleAt> = rules.iter().map(|(at, id)| (*id, *at)).collect();
        let due = self.tx.take_windows_due(self.folder, self.own_ms, DUE_MAX)?;
        for (group, due) in &due {
            let rule = by_id.get(&group.0).and_then(|at| Rule::of(self.under.engine, *at, *group));
            rule.map_or(Ok(()), |rule| self.reconcile(&rule, due, due))?;
        }
        Ok(due.values().map(BTreeSet::len).sum::<usize>() >= DUE_MAX)
    }

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
                let read_ms = (rule.window.kind == Kind::Join).then_some(self.under.now_ms);
                self.tx.add_contribution(rule.group, new, read_ms)?;
            }
        }
        Ok(by_bucket.into_keys().collect())
    }

    /// Judges every bucket that contributions in `touched` may decide, and tells what is new. Those in `due` were to be looked at now.
    fn reconcile(&mut self, rule: &Rule<'_>, touched: &BTreeSet<i64>, due: &BTreeSet<i64>) -> Result<(), StoreError> {
        for touched in ranges(touched) {
            let (buckets, contributions) = if rule.is_reply() {
                self.waits_around(rule, &touched)?
            } else {
                let buckets = Window::decided_by(&touched);
                let moments = rule.moments(&(*buckets.start()..=touched.end().saturating_add(1)));
                (buckets, self.tx.contributions(rule.group, moments)?)
            };
            let mut hits = |text: &str, at_ms: i64| self.under.engine.joined_hits(rule.at, text, at_ms);
            let mut seen = Seen { watermark_ms: self.watermark_ms, hits: &mut hits };
            let held = judge(rule.window, &contributions, buckets.clone(), &mut seen);
            // When to look again is found out anew.
            self.tx.clear_windows_due(self.folder, rule.group, &buckets)?;
            if rule.is_reply()
                && let Some((bucket, due_ms)) = awaited(rule.window, &contributions, buckets.clone(), self.watermark_ms)
            {
                self.tx.put_window_due(self.folder, due_ms, rule.group, bucket)?;
            }
            let told = self.tx.windows_told(rule.group, &buckets)?;
            let all: BTreeSet<i64> = held.keys().chain(told.keys()).copied().collect();
            for bucket in all {
                let (told, held) = (told.get(&bucket), held.get(&bucket));
                if told.is_some_and(|told| self.is_forgotten(rule, told, &contributions)) {
                    continue;
                }
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

    /// The buckets whose waits turns in `touched` may begin, end or shift, and the turns that decide these waits. Between those buckets there
    /// are only more questions of the same wait, which need not be read.
    fn waits_around(
        &self,
        rule: &Rule<'_>,
        touched: &RangeInclusive<i64>,
    ) -> Result<(RangeInclusive<i64>, Vec<Contribution>), StoreError> {
        let (tx, window, group) = (self.tx, rule.window, rule.group);
        let moments = rule.moments(touched);
        // An answer ends the wait that was open before it, and lets the next question begin another.
        let answered = tx.answer_before(group, *moments.start())?;
        let open = tx.question_from(group, answered.unwrap_or(i64::MIN))?;
        let next = tx.contribution_from(group, moments.end().saturating_add(1))?;
        let first = open.map_or(*touched.start(), |at_ms| window.bucket(at_ms).min(*touched.start()));
        let last = next.map_or(*touched.end(), |at_ms| window.bucket(at_ms).max(*touched.end()));
        let all = rule.moments(&(first..=last));
        let mut turns = BTreeSet::new();
        for buckets in [first..=first, touched.clone(), last..=last] {
            turns.extend(tx.contributions(group, rule.moments(&buckets))?);
        }
        let before = tx.contribution_before(group, *all.start())?;
        let after = tx.answer_from(group, all.end().saturating_add(1))?;
        for at_ms in before.into_iter().chain(after) {
            turns.extend(tx.contributions(group, at_ms..=at_ms)?);
        }
        Ok((first..=last, turns.into_iter().collect()))
    }

    /// What was told may rest on what is forgotten since; then it stays as it is.
    fn is_forgotten(&self, rule: &Rule<'_>, told: &Told, contributions: &[Contribution]) -> bool {
        let pieces = || {
            let told_of = told.first_ms..=told.last_ms;
            contributions.iter().filter(|one| told_of.contains(&one.at_ms) && !one.text.is_empty()).count() as u64
        };
        told.first_ms < self.under.horizon_ms || rule.window.kind == Kind::Join && pieces() < told.count
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
        let Some(finding) = under.engine.finding_of(rule.at, held) else { return Ok(()) };
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
        let record = under.made.record(kind)?;
        self.tx.append(Lane::Urgent, &record)?;
        self.tx.disclosed(under.made.at_ms, &summary::disclosure(corp, &told, withdrawn), &record)
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
