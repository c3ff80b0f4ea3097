//! What an agent tells beside findings, and what it lets go of.

use std::path::Path;
use std::time::Duration;

use watchpost_proto::v1::Lane;

use super::{Intake, Round};
use crate::posture::posture;
use crate::store::StoreError;
use crate::summary::{self, MadeUnder};

/// Between two tellings of tallies and files while there is more to read.
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// Between two tellings when everything is read.
const REPORT_PAUSE: Duration = Duration::from_secs(10);
/// Bulk records appended in one transaction.
const REPORT_BATCH: u32 = 500;
/// Between two rounds of forgetting.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Receipted payloads are kept this long, and no more than this many bytes of them; statements and the ledger longer.
const PAYLOAD_KEPT_MS: i64 = 7 * DAY_MS;
const PAYLOAD_KEPT_BYTES: u64 = 64 * 1024 * 1024;
const STATEMENT_KEPT_MS: i64 = 90 * DAY_MS;
/// Where the store keeps the day on which unknown accounts were told last, and how many are told of at most.
const UNKNOWN_DAY: &str = "unknown_day";
const UNKNOWN_MAX: u32 = 150;
/// Where the store keeps the day of the last posture told.
const POSTURE_DAY: &str = "posture_day";

/// Where the store keeps the first day of the horizon by which windows were forgotten last.
const WINDOWS_DAY: &str = "windows_day";

/// How one batch of tallies and file reports went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// There was something, and there may be more.
    Some,
    /// Everything is told.
    Nothing,
    /// The bulk lane is full; the rest waits where it is.
    NoRoom,
}

impl Intake {
    /// Appends every tally and file report that is not told yet, as far as the bulk lane has room. Returns whether
    /// there was any.
    pub fn report(&mut self) -> Result<bool, StoreError> {
        let mut any = false;
        let rest = loop {
            match self.report_some()? {
                Told::Some => any = true,
                rest => break rest,
            }
        };
        self.reported = Some(self.clock().monotonic());
        self.untold = rest == Told::NoRoom;
        Ok(any)
    }

    /// How long until tallies and files are to be told; `None` while there is nothing to tell.
    pub(super) fn report_in(&self, round: &Round) -> Option<Duration> {
        let pause = if round.waiting > 0 { REPORT_EVERY } else { REPORT_PAUSE };
        let due = self.reported.map_or(Duration::ZERO, |last| last + pause);
        self.untold.then(|| due.saturating_sub(self.clock().monotonic()))
    }

    fn report_some(&mut self) -> Result<Told, StoreError> {
        let made = MadeUnder::new(&self.pipeline.in_force, self.clock().wall_ms());
        let device = &self.pipeline.device;
        self.pipeline.store.transaction(|tx| {
            if tx.backlog()?.bulk.bytes >= self.bulk_bytes_max {
                return Ok(Told::NoRoom);
            }
            let (tallies, files) = (tx.tallies_unreported(REPORT_BATCH)?, tx.files_unreported(REPORT_BATCH)?);
            for row in &tallies {
                tx.append(Lane::Bulk, &made.record(summary::tally(row))?)?;
                tx.tally_reported(row)?;
            }
            for row in &files {
                tx.append(Lane::Bulk, &made.record(summary::file_report(device, row))?)?;
                tx.file_reported(row)?;
            }
            Ok(if tallies.is_empty() && files.is_empty() { Told::Nothing } else { Told::Some })
        })
    }

    /// Lets go of what need not be kept, about once an hour. Returns whether the day's posture was appended.
    pub(super) fn forget_old(&mut self) -> Result<bool, StoreError> {
        let now = self.clock().monotonic();
        if self.forgotten.is_some_and(|last| now.saturating_sub(last) < FORGET_EVERY) {
            return Ok(false);
        }
        let horizon = self.pipeline.config.horizon_days;
        let now_ms = self.pipeline.now_ms()?;
        // The first day of the horizon, as messages are remembered by whole days: a tally must not go before them.
        let first_day = now_ms.div_euclid(DAY_MS) - horizon;
        let horizon_ms = first_day * DAY_MS;
        self.pipeline.store.transaction(|tx| {
            tx.forget_days(now_ms, horizon)?;
            tx.forget_window_texts(now_ms)?;
            if tx.seen(WINDOWS_DAY)?.as_deref() != Some(&first_day.to_be_bytes()) {
                tx.forget_windows(horizon_ms)?;
                tx.put_seen(WINDOWS_DAY, &first_day.to_be_bytes())?;
            }
            tx.forget_tallies(u32::try_from(first_day * 24).unwrap_or(0))?;
            tx.forget_files(horizon_ms)?;
            tx.forget_disclosures(now_ms - STATEMENT_KEPT_MS)?;
            tx.forget_segments(now_ms - PAYLOAD_KEPT_MS, PAYLOAD_KEPT_BYTES, now_ms - STATEMENT_KEPT_MS)
        })?;
        self.forgotten = Some(now);
        let told = self.tell_unknown(now_ms)?;
        Ok(self.tell_posture(now_ms)? || told)
    }

    /// Accounts that nobody knows, once a day, where the policy asks for them; else nothing of them is kept.
    fn tell_unknown(&mut self, now_ms: i64) -> Result<bool, StoreError> {
        let (in_force, store) = (&self.pipeline.in_force, &self.pipeline.store);
        let today = now_ms.div_euclid(DAY_MS).to_be_bytes();
        let (is_told, (rows, total)) = store
            .read(|tx| Ok((tx.seen(UNKNOWN_DAY)?.as_deref() == Some(&today[..]), tx.unknown_accounts(UNKNOWN_MAX)?)))?;
        let is_asked = in_force.report_unknown_accounts && in_force.knows_all;
        if total == 0 || is_asked && is_told {
            return Ok(false);
        }
        let record = MadeUnder::new(in_force, now_ms).record(summary::unknown_accounts(&rows, total))?;
        store.transaction(|tx| {
            if is_asked {
                tx.append(Lane::Bulk, &record)?;
                tx.put_seen(UNKNOWN_DAY, &today)?;
            }
            tx.forget_unknown()
        })?;
        Ok(is_asked)
    }

    /// Once a day, also across restarts.
    fn tell_posture(&mut self, now_ms: i64) -> Result<bool, StoreError> {
        let today = now_ms.div_euclid(DAY_MS).to_be_bytes();
        let store = &self.pipeline.store;
        if store.read(|tx| tx.seen(POSTURE_DAY))?.as_deref() == Some(&today[..]) {
            return Ok(false);
        }
        let state_dir = store.path().parent().map(Path::to_owned).unwrap_or_default();
        let posture = posture(&state_dir, store.read(|tx| tx.backlog())?.records());
        let record = MadeUnder::new(&self.pipeline.in_force, now_ms).record(posture)?;
        store.transaction(|tx| {
            tx.put_seen(POSTURE_DAY, &today)?;
            tx.append(Lane::Bulk, &record)
        })?;
        Ok(true)
    }
}
