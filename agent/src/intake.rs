//! The round an agent makes again and again: list the folders, note what is new or gone, read what is due, and tell of
//! tallies and files when there is room.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use watchpost_proto::v1::Lane;

use crate::clock::Clock;
use crate::config::Folder;
use crate::device::Device;
use crate::pipeline::{Outcome, Pipeline};
use crate::posture::posture;
use crate::source::{Aside, Due, Listed, Listing, Settling, Stamp, list, open_export};
use crate::store::{FileKey, FileRow, FileState, Store, StoreError};
use crate::summary::{self, MadeUnder};

/// Between two tellings of tallies and files while there is more to read.
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// Between two tellings when everything is read.
const REPORT_PAUSE: Duration = Duration::from_secs(10);
/// Bulk records appended in one transaction.
const REPORT_BATCH: u32 = 500;
/// Between two rounds of forgetting.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
/// After a full disk, before trying again.
const DISK_FULL_PAUSE: Duration = Duration::from_secs(10);
/// When the outbox is full, before looking again even if nobody tells of room.
const OUTBOX_FULL_PAUSE: Duration = Duration::from_secs(10);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Receipted payloads are kept this long, and no more than this many bytes of them; statements and the ledger longer.
const PAYLOAD_KEPT_MS: i64 = 7 * DAY_MS;
const PAYLOAD_KEPT_BYTES: u64 = 64 * 1024 * 1024;
const STATEMENT_KEPT_MS: i64 = 90 * DAY_MS;

/// Where the store keeps the day of the last posture told.
const POSTURE_DAY: &str = "posture_day";

/// How a round left things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Look again after this long, unless woken.
    pub wait: Option<Duration>,
    /// Why reading rests; empty while it does not.
    pub resting: &'static str,
    /// Exports that are listed and not read to their end.
    pub waiting: u64,
    /// Something was appended to the outbox.
    pub appended: bool,
}

/// Makes the rounds. One per process.
pub struct Intake {
    pipeline: Pipeline,
    folders: Vec<Folder>,
    /// Bulk bytes without a receipt at which tallies and file reports wait where they are.
    bulk_bytes_max: u64,
    rows: HashMap<FileKey, FileRow>,
    settling: Settling,
    reported: Option<Duration>,
    forgotten: Option<Duration>,
    /// Something may have changed that no tally or file report has told yet.
    untold: bool,
    unlisted: HashSet<PathBuf>,
}

impl Intake {
    /// Begins where the store stands.
    pub fn new(pipeline: Pipeline, folders: Vec<Folder>, bulk_bytes_max: u64) -> Result<Self, StoreError> {
        let rows = pipeline.store.read(|tx| tx.files())?;
        let rows = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
        Ok(Self {
            pipeline,
            folders,
            bulk_bytes_max,
            rows,
            settling: Settling::default(),
            reported: None,
            forgotten: None,
            untold: true,
            unlisted: HashSet::new(),
        })
    }

    /// One round. A full disk ends it early and is told; any other failure of the database is the caller's to die of.
    pub fn round(&mut self, stop: &AtomicBool, committed: &dyn Fn()) -> Result<Round, StoreError> {
        match self.try_round(stop, committed) {
            Err(StoreError::Full) => {
                tracing::error!("the disk is full; reading rests until there is room");
                Ok(Round { wait: Some(DISK_FULL_PAUSE), resting: "disk_full", ..Round::default() })
            }
            round => round,
        }
    }

    /// Appends every tally and file report that is not told yet, as far as the bulk lane has room. Returns whether
    /// there was any.
    pub fn report(&mut self) -> Result<bool, StoreError> {
        let mut any = false;
        while self.report_some()? {
            any = true;
        }
        self.reported = Some(self.clock().monotonic());
        self.untold = false;
        Ok(any)
    }

    fn try_round(&mut self, stop: &AtomicBool, committed: &dyn Fn()) -> Result<Round, StoreError> {
        let listing = list(&self.folders);
        self.tell_unlisted(&listing);
        let mut round = Round { appended: self.note_changes(&listing)?, ..Round::default() };
        for listed in &listing.exports {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            self.look_at(listed, stop, committed, &mut round)?;
        }
        match self.report_in(&round) {
            Some(Duration::ZERO) => round.appended |= self.report()?,
            Some(wait) => sooner(&mut round.wait, wait),
            None => {}
        }
        self.forget_old()?;
        Ok(round)
    }

    fn look_at(
        &mut self,
        listed: &Listed,
        stop: &AtomicBool,
        committed: &dyn Fn(),
        round: &mut Round,
    ) -> Result<(), StoreError> {
        let (Ok(stamp), Some(row)) = (listed.stamp, self.rows.get(&listed.key)) else { return Ok(()) };
        let now = self.clock().monotonic();
        match self.settling.due(&listed.key, stamp, row, now, self.pipeline.config.settle) {
            Due::No => return Ok(()),
            Due::In(wait) => {
                round.waiting += 1;
                sooner(&mut round.wait, wait);
                return Ok(());
            }
            Due::Now => {}
        }
        if !round.resting.is_empty() {
            round.waiting += 1;
            return Ok(());
        }
        match self.read(&listed.key, stamp, stop, committed)? {
            Outcome::OutboxFull => {
                round.resting = "outbox_full";
                round.waiting += 1;
                sooner(&mut round.wait, OUTBOX_FULL_PAUSE);
            }
            Outcome::Stopped => round.waiting += 1,
            Outcome::Done | Outcome::Aside(_) => self.settling.forget(&listed.key),
        }
        round.appended = true;
        Ok(())
    }

    fn read(
        &mut self,
        key: &FileKey,
        stamp: Stamp,
        stop: &AtomicBool,
        committed: &dyn Fn(),
    ) -> Result<Outcome, StoreError> {
        self.untold = true;
        let Some(row) = self.rows.get_mut(key) else { return Ok(Outcome::Stopped) };
        let outcome = match open_export(key) {
            Ok(export) => self.pipeline.take(row, export, stop, committed)?,
            Err(error) => {
                let aside = Aside::of(&error);
                // The next listing finds it gone and records what was lost, or finds it back.
                if aside == Aside::Vanished {
                    return Ok(Outcome::Aside(aside));
                }
                (row.size, row.mtime_ns) = (stamp.size, stamp.mtime_ns);
                if !put_aside(&self.pipeline.store, row, aside)? {
                    return Ok(Outcome::Aside(aside));
                }
                Outcome::Aside(aside)
            }
        };
        tracing::info!(
            bytes = row.offset,
            messages = row.counts.messages,
            findings = row.counts.findings,
            ?outcome,
            "export"
        );
        Ok(outcome)
    }

    /// Writes rows for what is new, set aside, back or gone, in one transaction. Returns whether a loss was recorded.
    fn note_changes(&mut self, listing: &Listing) -> Result<bool, StoreError> {
        let mut changed = Vec::new();
        for listed in &listing.exports {
            changed.extend(self.changed_row(listed));
        }
        let gone = self.gone_rows(listing);
        if changed.is_empty() && gone.is_empty() {
            return Ok(false);
        }
        self.untold = true;
        let made = MadeUnder::new(&self.pipeline.engine, self.clock().wall_ms());
        let device = &self.pipeline.device;
        let lost = self.pipeline.store.transaction(|tx| {
            let mut lost = false;
            for row in &changed {
                tx.put_file(row)?;
            }
            for (row, unread) in &gone {
                if *unread {
                    tx.append(Lane::Urgent, &made.record(summary::unread_loss(device, row, "file_vanished"))?)?;
                    lost = true;
                }
                tx.put_file(row)?;
            }
            Ok(lost)
        })?;
        for row in changed.into_iter().chain(gone.into_iter().map(|(row, _)| row)) {
            self.settling.forget(&row.key);
            self.rows.insert(row.key.clone(), row);
        }
        Ok(lost)
    }

    /// The row an entry of the listing needs now, if it is not the one it has.
    fn changed_row(&self, listed: &Listed) -> Option<FileRow> {
        let known = self.rows.get(&listed.key);
        match listed.stamp {
            Ok(stamp) if known.is_none() => {
                let row = FileRow::new(listed.key.clone(), &listed.corp);
                Some(FileRow { size: stamp.size, mtime_ns: stamp.mtime_ns, ..row })
            }
            Ok(stamp) => known.and_then(|row| match row.corp == listed.corp {
                false => Some(moved(row, &listed.corp)),
                true => changed(row, stamp),
            }),
            Err(aside) => {
                let same = known.is_some_and(|row| row.state == FileState::SetAside && row.reason == aside.as_str());
                (!same).then(|| aside_row(FileRow::new(listed.key.clone(), &listed.corp), aside))
            }
        }
    }

    /// Rows of exports that are not there any more, and whether each was not read to its end.
    fn gone_rows(&self, listing: &Listing) -> Vec<(FileRow, bool)> {
        let present: HashSet<&FileKey> = listing.exports.iter().map(|listed| &listed.key).collect();
        let seen = |key: &FileKey| !listing.unreadable.iter().any(|(path, _)| key.path().starts_with(path));
        let watched = |key: &FileKey| self.folders.iter().any(|folder| folder.path == key.folder);
        let now_ms = self.clock().wall_ms();
        let gone = self
            .rows
            .values()
            .filter(|row| row.gone_ms.is_none() && !present.contains(&row.key) && seen(&row.key) && watched(&row.key));
        gone.map(|row| {
            let unread = matches!(row.state, FileState::Waiting | FileState::Reading);
            let row = FileRow { gone_ms: Some(now_ms), ..row.clone() };
            (if unread { aside_row(row, Aside::Vanished) } else { row }, unread)
        })
        .collect()
    }

    fn tell_unlisted(&mut self, listing: &Listing) {
        for (path, error) in &listing.unreadable {
            if self.unlisted.insert(path.clone()) {
                tracing::warn!(path = %path.display(), error, "a folder cannot be listed");
            }
        }
        self.unlisted.retain(|path| listing.unreadable.iter().any(|(unreadable, _)| unreadable == path));
    }

    /// How long until tallies and files are to be told; `None` while there is nothing to tell.
    fn report_in(&self, round: &Round) -> Option<Duration> {
        let pause = if round.waiting > 0 { REPORT_EVERY } else { REPORT_PAUSE };
        let due = self.reported.map_or(Duration::ZERO, |last| last + pause);
        self.untold.then(|| due.saturating_sub(self.clock().monotonic()))
    }

    fn report_some(&mut self) -> Result<bool, StoreError> {
        let made = MadeUnder::new(&self.pipeline.engine, self.clock().wall_ms());
        let device = &self.pipeline.device;
        self.pipeline.store.transaction(|tx| {
            if tx.backlog()?.bulk.bytes >= self.bulk_bytes_max {
                return Ok(false);
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
            Ok(!(tallies.is_empty() && files.is_empty()))
        })
    }

    fn forget_old(&mut self) -> Result<(), StoreError> {
        let now = self.clock().monotonic();
        if self.forgotten.is_some_and(|last| now.saturating_sub(last) < FORGET_EVERY) {
            return Ok(());
        }
        let (now_ms, horizon) = (self.clock().wall_ms(), self.pipeline.config.horizon_days);
        let horizon_ms = now_ms - horizon * DAY_MS;
        self.pipeline.store.transaction(|tx| {
            tx.forget_days(now_ms, horizon)?;
            tx.forget_tallies(u32::try_from(horizon_ms / (60 * 60 * 1000)).unwrap_or(0))?;
            tx.forget_files(horizon_ms)?;
            tx.forget_disclosures(now_ms - STATEMENT_KEPT_MS)?;
            tx.forget_segments(now_ms - PAYLOAD_KEPT_MS, PAYLOAD_KEPT_BYTES, now_ms - STATEMENT_KEPT_MS)
        })?;
        self.tell_posture(now_ms)?;
        self.rows.retain(|_, row| row.gone_ms.is_none_or(|gone_ms| gone_ms >= horizon_ms));
        self.forgotten = Some(now);
        Ok(())
    }

    /// Once a day, also across restarts.
    fn tell_posture(&mut self, now_ms: i64) -> Result<(), StoreError> {
        let today = now_ms.div_euclid(DAY_MS).to_be_bytes();
        let store = &self.pipeline.store;
        if store.read(|tx| tx.seen(POSTURE_DAY))?.as_deref() == Some(&today[..]) {
            return Ok(());
        }
        let state_dir = store.path().parent().map(Path::to_owned).unwrap_or_default();
        let posture = posture(&state_dir, store.read(|tx| tx.backlog())?.records());
        let record = MadeUnder::new(&self.pipeline.engine, now_ms).record(posture)?;
        store.transaction(|tx| {
            tx.put_seen(POSTURE_DAY, &today)?;
            tx.append(Lane::Bulk, &record)
        })
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        &self.pipeline.clock
    }

    /// The device this intake works for.
    pub fn device(&self) -> &Arc<Device> {
        &self.pipeline.device
    }
}

fn sooner(wait: &mut Option<Duration>, other: Duration) {
    *wait = Some(wait.map_or(other, |wait| wait.min(other)));
}

fn aside_row(row: FileRow, aside: Aside) -> FileRow {
    FileRow { state: FileState::SetAside, reason: aside.as_str().to_owned(), ..row }
}

/// The same export under another corporation: its messages are others, so it is read again.
fn moved(row: &FileRow, corp: &str) -> FileRow {
    let mut row = FileRow { corp: corp.to_owned(), state: FileState::Waiting, ..row.clone() };
    row.restart();
    row
}

/// An export that was finished and is another now: it waits, so that its vanishing before it is read counts as a loss.
fn changed(row: &FileRow, stamp: Stamp) -> Option<FileRow> {
    let finished = matches!(row.state, FileState::Done | FileState::SetAside);
    let same = Stamp { size: row.size, mtime_ns: row.mtime_ns } == stamp;
    let (size, mtime_ns) = (stamp.size, stamp.mtime_ns);
    (finished && !same).then(|| FileRow {
        state: FileState::Waiting,
        reason: String::new(),
        size,
        mtime_ns,
        gone_ms: None,
        ..row.clone()
    })
}

/// Sets an export aside, writing only if that is news. Returns whether it was.
fn put_aside(store: &Store, row: &mut FileRow, aside: Aside) -> Result<bool, StoreError> {
    let news = row.state != FileState::SetAside || row.reason != aside.as_str();
    if news {
        *row = aside_row(row.clone(), aside);
        store.transaction(|tx| tx.put_file(row))?;
    }
    Ok(news)
}
