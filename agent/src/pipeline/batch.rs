//! What some megabytes of an export came to, before it is known which of its messages are repeats.

use std::collections::HashMap;

use watchpost_policy::engine::Engine;
use watchpost_policy::identity::{TenantKey, content_digest, mid, pseudonym};
use watchpost_policy::message::{Account, Corp, Message, Side};
use watchpost_policy::parse::Defect;
use watchpost_policy::summary::FindingSummary;

use super::windows::Added;
use crate::store::{FileCounts, Remembered, StoreError, TallyDelta, Tx};
use crate::summary::MadeUnder;

/// Messages of one transaction, whatever their size.
const MESSAGES_MAX: usize = 100_000;
/// Findings of one transaction; a few megabytes of records.
const SUMMARIES_MAX: usize = 8_192;
/// Contributions to windows of one transaction; each touches some pages of the database.
const CONTRIBUTIONS_MAX: usize = 50_000;
/// Unknown accounts of one transaction.
const UNKNOWN_MAX: usize = 10_000;
const HOUR_MS: i64 = 60 * 60 * 1000;

/// Messages and counts of one transaction.
pub(super) struct Batch {
    pub(super) made: MadeUnder,
    /// The corrected present, which places the horizon.
    pub(super) now_ms: i64,
    pub(super) taken: Vec<Taken>,
    summaries: usize,
    contributions: usize,
    pub(super) out_of_scope: u64,
    /// Own accounts that nobody knows, by pseudonym.
    pub(super) unknown: Unknowns,
    /// Of a look back: messages before this are passed over.
    pub(super) since_ms: Option<i64>,
    /// Where reading ends, whatever comes behind.
    pub(super) until: u64,
    /// The export ended with this batch.
    pub(super) ended: bool,
    counts: FileCounts,
}

impl Batch {
    pub(super) fn new(made: MadeUnder, now_ms: i64) -> Self {
        Self {
            made,
            now_ms,
            taken: Vec::new(),
            summaries: 0,
            contributions: 0,
            out_of_scope: 0,
            unknown: Unknowns::default(),
            since_ms: None,
            until: u64::MAX,
            ended: false,
            counts: FileCounts::default(),
        }
    }

    /// Whether what it holds in memory, and would add to the outbox, is enough for one transaction.
    pub(super) fn is_full(&self) -> bool {
        self.taken.len() >= MESSAGES_MAX || self.summaries >= SUMMARIES_MAX || self.contributions >= CONTRIBUTIONS_MAX
    }

    pub(super) fn defect(&mut self, kind: &str) {
        self.counts.lines += 1;
        self.counts.defect(kind);
    }

    pub(super) fn line(&mut self, defects: &[Defect]) {
        self.counts.lines += 1;
        for defect in defects {
            self.counts.defect(defect.code());
        }
    }

    pub(super) fn message(&mut self, message: &Message) {
        self.counts.message_type(&message.msgtype);
        // What is told of no message says nothing of how far messages have come.
        if !message.is_record() {
            self.counts.time(message.msgtime.unwrap_or(0));
        }
    }

    /// Whether a look back has nothing to do with a message: it is older, or could not be told from one that was looked at before.
    pub(super) fn passes_over(&self, message: &Message, horizon_days: i64) -> bool {
        let Some(since_ms) = self.since_ms else { return false };
        let first_ms = since_ms.max(super::horizon_ms(self.now_ms, horizon_days));
        message.msgtime.is_none_or(|at_ms| at_ms < first_ms)
    }

    pub(super) fn take(&mut self, taken: Taken) {
        // A look back has nothing to do with what cannot be known again.
        if self.since_ms.is_some() && taken.remembered.is_none() {
            return;
        }
        self.summaries += taken.summaries.len();
        self.contributions += taken.added.as_ref().map_or(0, |added| added.contributions.len());
        self.taken.push(taken);
    }

    pub(super) fn end(&mut self, torn: bool) {
        self.ended = true;
        self.counts.torn = torn;
    }

    /// Adds what does not depend on repeats to the export's counts.
    pub(super) fn add_counts(&self, counts: &mut FileCounts) {
        counts.lines += self.counts.lines;
        counts.out_of_scope += self.out_of_scope;
        counts.torn = self.counts.torn;
        counts.add_defects(&self.counts.defects);
        counts.add_types(&self.counts.types);
        counts.time(self.counts.first_ms);
        counts.time(self.counts.last_ms);
    }
}

/// Own accounts that are on no list, by corp and pseudonym: messages, first and last UTC day.
#[derive(Default)]
pub(super) struct Unknowns(HashMap<String, (u64, i64, i64)>);

impl Unknowns {
    /// Counts a message of everybody in it whom nobody knows.
    pub(super) fn count(&mut self, engine: &Engine, key: &TenantKey, corp: &Corp, message: &Message) {
        let day = message.msgtime.unwrap_or(0).div_euclid(24 * HOUR_MS);
        for id in engine.unknown_own(corp, message) {
            // A hostile export makes up as many as it likes.
            if self.0.len() >= UNKNOWN_MAX {
                return;
            }
            let (messages, first, last) = self.0.entry(pseudonym(key, corp, id)).or_insert((0, day, day));
            *messages += 1;
            (*first, *last) = (day.min(*first), day.max(*last));
        }
    }

    pub(super) fn write(&self, tx: &Tx<'_>, corp: &str) -> Result<(), StoreError> {
        self.0.iter().try_for_each(|(pseudonym, (messages, first, last))| {
            tx.count_unknown(corp, pseudonym, *messages, (*first, *last))
        })
    }
}

/// One message in scope: what is needed to know it again, to count it, and to tell of it.
pub(super) struct Taken {
    pub(super) remembered: Option<Remembered>,
    pub(super) summaries: Vec<FindingSummary>,
    /// What it adds to windows.
    pub(super) added: Option<Added>,
    hour: u32,
    /// Own accounts among the parties, and whether each is the sender.
    parties: Vec<(String, bool)>,
}

impl Taken {
    pub(super) fn new(
        engine: &Engine,
        key: &TenantKey,
        corp: &Corp,
        message: &Message,
        summaries: Vec<FindingSummary>,
        now_ms: i64,
        horizon_days: i64,
    ) -> Self {
        let msgtime = message.msgtime.unwrap_or(i64::MIN);
        let (mid, body) = (mid(key, corp, message), content_digest(message));
        let remembered = Remembered::new(msgtime, now_ms, horizon_days, &mid.0, &body.0);
        // A message that cannot be known again must not be counted: a second export of it would count it twice.
        let is_counted = remembered.is_some() && !message.is_record();
        let parties = if is_counted { own_parties(engine, corp, message) } else { Vec::new() };
        let hour = u32::try_from(msgtime.div_euclid(HOUR_MS)).unwrap_or(0);
        Self { remembered, summaries, added: None, hour, parties }
    }
}

fn own_parties(engine: &Engine, corp: &Corp, message: &Message) -> Vec<(String, bool)> {
    let own = |id: &&str| match engine.accounts() {
        Some(_) => engine.is_managed(corp, id, message.msgtime),
        None => engine.side(corp, id) == Side::Employee,
    };
    let name = |id: &str| Account::new(corp, id).to_string();
    let sender = Some(message.from.as_str()).filter(own).map(|id| (name(id), true));
    let receivers = message.to.iter().map(String::as_str).filter(own).map(|id| (name(id), false));
    sender.into_iter().chain(receivers).collect()
}

/// Counts per account and hour, gathered so that each is written once.
#[derive(Default)]
pub(super) struct Tallies<'a>(HashMap<(&'a str, u32), TallyDelta>);

impl<'a> Tallies<'a> {
    pub(super) fn count(&mut self, taken: &'a Taken) {
        for (account, sender) in &taken.parties {
            let delta = self.0.entry((account, taken.hour)).or_default();
            delta.sent += u64::from(*sender);
            delta.received += u64::from(!*sender);
            delta.flagged += u64::from(!taken.summaries.is_empty());
        }
    }

    pub(super) fn write(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        self.0.iter().try_for_each(|((account, hour), delta)| tx.tally(account, *hour, *delta))
    }
}
