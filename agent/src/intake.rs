//! The round an agent makes again and again: list the folders, note what is new or gone, read what is due, and tell of
//! tallies and files when there is room.

mod changes;
mod feeds;
mod index;
mod rescan;
mod self_check;
mod telling;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use watchpost_proto::Digest;
use watchpost_proto::digest::sha256;

use crate::aside::Aside;
use crate::clock::Clock;
use crate::config::Folder;
use crate::lookup;
use crate::pipeline::{Outcome, Pipeline};
use crate::posture::free_on_disk_of;
use crate::source::{Due, Listed, Settling, Stamp, open_export};
use crate::store::{FileRow, FileState, Store, StoreError};

use index::{Index, Standing, Unseen};

pub use feeds::fed_of;
pub use rescan::{Rescanned, rescanned, wish};
pub use self_check::{LastCheck, failed_sentence, last_check};

/// After a full disk, before trying again.
const DISK_FULL_PAUSE: Duration = Duration::from_secs(10);
/// When the outbox is full, before looking again even if nobody tells of room.
const OUTBOX_FULL_PAUSE: Duration = Duration::from_secs(10);

/// How a round left things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Look again after this long, unless woken.
    pub wait: Option<Duration>,
    /// Why reading rests; empty while it does not.
    pub resting: &'static str,
    /// Exports that are listed and not read to their end.
    pub waiting: u64,
    /// When the oldest of them was last written, milliseconds; `None` while none waits.
    pub waiting_since_ms: Option<i64>,
    /// Something was appended to the outbox.
    pub appended: bool,
}

impl Round {
    fn waits(&mut self, stamp: Stamp) {
        let written_ms = stamp.mtime_ns / 1_000_000;
        self.waiting += 1;
        self.waiting_since_ms = Some(self.waiting_since_ms.map_or(written_ms, |oldest| oldest.min(written_ms)));
    }
}

/// Makes the rounds. One per process.
pub struct Intake {
    pipeline: Pipeline,
    folders: Vec<Folder>,
    /// Bulk bytes without a receipt at which tallies and file reports wait where they are.
    bulk_bytes_max: u64,
    /// Which exports are known as they are.
    index: Index,
    /// Exports that the last listing did not have, and the folders it could not list.
    unseen: (Unseen, Vec<(PathBuf, String)>),
    /// Whether exports that were set aside are to be looked at again, since the way of reading has changed.
    again: bool,
    /// By folder: when its newest export had come.
    arrivals: HashMap<PathBuf, i64>,
    /// Folders with exports that nobody has read yet.
    pending: HashSet<PathBuf>,
    settling: Settling,
    reported: Option<Duration>,
    forgotten: Option<Duration>,
    /// Something may have changed that no tally or file report has told yet.
    untold: bool,
    unlisted: HashSet<PathBuf>,
    /// Where self-checks are made.
    self_check: Option<self_check::SelfCheck>,
    /// A look back that is under way.
    rescan: Option<rescan::Rescan>,
    /// A wish to look back could not be read, and that was told.
    wish_unread: bool,
}

impl Intake {
    /// Begins where the store stands.
    pub fn new(pipeline: Pipeline, folders: Vec<Folder>, bulk_bytes_max: u64) -> Result<Self, StoreError> {
        let (arrivals, read_as) = pipeline.store.read(|tx| Ok((tx.arrivals()?, tx.seen(READING)?)))?;
        let again = read_as.as_deref() != Some(&reading(&pipeline).0[..]);
        let index = indexed(&pipeline.store, &folders, again)?;
        Ok(Self {
            pipeline,
            folders,
            bulk_bytes_max,
            index,
            unseen: (Unseen::default(), Vec::new()),
            again,
            arrivals: arrivals.into_iter().collect(),
            pending: HashSet::new(),
            settling: Settling::default(),
            reported: None,
            forgotten: None,
            untold: true,
            unlisted: HashSet::new(),
            self_check: None,
            rescan: None,
            wish_unread: false,
        })
    }

    /// One round. A full disk ends it early and is told; any other failure of the database is the caller's to die of.
    pub fn round(&mut self, stop: &AtomicBool, committed: &dyn Fn()) -> Result<Round, StoreError> {
        match self.try_round(stop, committed) {
            Err(StoreError::Full) => {
                tracing::error!("the disk is full; reading rests until there is room");
                // What was appended before must not wait for the room.
                Ok(Round { wait: Some(DISK_FULL_PAUSE), resting: "disk_full", appended: true, ..Round::default() })
            }
            round => round,
        }
    }

    fn try_round(&mut self, stop: &AtomicBool, committed: &dyn Fn()) -> Result<Round, StoreError> {
        self.pipeline.look_up();
        // First, so that a full disk regains what need not be kept.
        let told = self.forget_old()?;
        let found = self.look_around()?;
        self.tell_unlisted(&found.unreadable);
        let told = told | lookup::take(&self.pipeline.store, &self.pipeline.in_force)?;
        let mut round = Round { appended: found.lost | told, waiting: found.more, ..Round::default() };
        round.appended |= self.check_itself(&found.unreadable)?;
        let floor = self.pipeline.config.disk_free_min;
        if free_on_disk_of(self.pipeline.store.path()).is_some_and(|free| free < floor) {
            (round.resting, round.wait) = ("disk_full", Some(DISK_FULL_PAUSE));
        }
        if self.pipeline.in_force.awaits_roster {
            round.resting = "roster_awaited";
        }
        self.pending.clear();
        let mut is_read = false;
        for listed in &found.due {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            is_read |= self.look_at(listed, stop, committed, &mut round)?;
            if self.is_check_overdue() {
                round.appended |= self.check_itself(&found.unreadable)?;
            }
        }
        if found.more > 0 {
            self.pending.extend(self.folders.iter().map(|folder| folder.path.clone()));
        }
        if found.more > 0 && is_read && round.resting.is_empty() {
            round.wait = Some(Duration::ZERO);
        }
        if !stop.load(Ordering::Relaxed) {
            self.look_back(stop, committed, &mut round)?;
            if found.more == 0 && round.resting.is_empty() {
                self.note_reading()?;
            }
            round.appended |= self.tell_feeds()?;
        }
        match self.report_in(&round) {
            Some(Duration::ZERO) => round.appended |= self.report()?,
            Some(wait) => sooner(&mut round.wait, wait),
            None => {}
        }
        Ok(round)
    }

    /// Keeps how exports are read, now that all that was to be looked at again has been.
    fn note_reading(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.again) {
            let digest = reading(&self.pipeline);
            self.pipeline.store.transaction(|tx| tx.put_seen(READING, &digest.0))?;
        }
        Ok(())
    }

    /// Reads an export if it is time to. Says whether there was news of it.
    fn look_at(
        &mut self,
        listed: &Listed,
        stop: &AtomicBool,
        committed: &dyn Fn(),
        round: &mut Round,
    ) -> Result<bool, StoreError> {
        let Ok(stamp) = listed.stamp else { return Ok(false) };
        let Some(row) = self.pipeline.store.read(|tx| tx.file(&listed.key))? else {
            self.index.forget(listed);
            return Ok(false);
        };
        let is_hopeful = standing(&row) == Standing::Hopeful;
        let now = self.clock().monotonic();
        let due = self.settling.due(&listed.key, stamp, &row, now, self.pipeline.config.settle);
        if let Due::In(wait) = due {
            sooner(&mut round.wait, wait);
        }
        // One that nothing is to be done with is here to be looked at again.
        if matches!(due, Due::In(_)) || !round.resting.is_empty() {
            round.waits(stamp);
            self.waits(listed, is_hopeful);
            return Ok(false);
        }
        let (outcome, is_news) = self.read(row, stamp, stop, committed)?;
        match outcome {
            Outcome::OutboxFull => {
                round.resting = "outbox_full";
                sooner(&mut round.wait, OUTBOX_FULL_PAUSE);
            }
            Outcome::Stopped => {}
            Outcome::Done | Outcome::Aside(_) => self.settling.forget(&listed.key),
        }
        if matches!(outcome, Outcome::OutboxFull | Outcome::Stopped) {
            round.waits(stamp);
            self.waits(listed, is_hopeful);
        }
        round.appended |= is_news;
        Ok(is_news)
    }

    /// Nobody can say yet what its folder was fed with. One that could not be read has not come.
    fn waits(&mut self, listed: &Listed, is_hopeful: bool) {
        if !is_hopeful {
            self.pending.insert(listed.key.folder.clone());
        }
    }

    /// Reads an export as far as it goes. Says whether there is news of it.
    fn read(
        &mut self,
        before: FileRow,
        stamp: Stamp,
        stop: &AtomicBool,
        committed: &dyn Fn(),
    ) -> Result<(Outcome, bool), StoreError> {
        let mut row = before.clone();
        let outcome = self.try_read(&before, &mut row, stamp, stop, committed);
        // As the store has it, also where reading failed in the middle.
        self.index.remove(&before);
        match &outcome {
            Ok(_) => self.index.add(&row, standing(&row)),
            Err(_) => {
                if let Ok(Some(row)) = self.pipeline.store.read(|tx| tx.file(&before.key)) {
                    self.index.add(&row, standing(&row));
                }
            }
        }
        let outcome = outcome?;
        if let Some(came_ms) = row.came_ms() {
            let newest = self.arrivals.entry(row.key.folder.clone()).or_insert(came_ms);
            *newest = came_ms.max(*newest);
        }
        let is_news = !row.tells_the_same(&before);
        self.untold |= is_news;
        if is_news {
            tracing::info!(
                bytes = row.offset,
                messages = row.counts.messages,
                findings = row.counts.findings,
                ?outcome,
                "export"
            );
        }
        Ok((outcome, is_news))
    }

    fn try_read(
        &mut self,
        before: &FileRow,
        row: &mut FileRow,
        stamp: Stamp,
        stop: &AtomicBool,
        committed: &dyn Fn(),
    ) -> Result<Outcome, StoreError> {
        let aside = match open_export(&row.key) {
            Ok(export) => return self.pipeline.take(row, export, stop, committed),
            Err(error) => Aside::of(&error),
        };
        // Of one that vanished the next listing says whether it is gone, and records what was lost.
        if aside != Aside::Vanished {
            (row.size, row.mtime_ns) = (stamp.size, stamp.mtime_ns);
            *row = changes::aside_row(row.clone(), aside);
            if !row.tells_the_same(before) {
                self.pipeline.store.transaction(|tx| tx.put_file(row))?;
            }
        }
        Ok(Outcome::Aside(aside))
    }

    fn tell_unlisted(&mut self, unreadable: &[(PathBuf, String)]) {
        for (path, error) in unreadable {
            if self.unlisted.insert(path.clone()) {
                tracing::warn!(path = %path.display(), error, "a folder cannot be listed");
            }
        }
        self.unlisted.retain(|path| unreadable.iter().any(|(unreadable, _)| unreadable == path));
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        &self.pipeline.clock
    }
}

/// Where the store keeps how exports were read last.
const READING: &str = "reading";

/// How exports are read: what was set aside is looked at again when it would be read in another way, by another version, within other bounds, under
/// other names.
fn reading(pipeline: &Pipeline) -> Digest {
    let columns: BTreeMap<_, _> = pipeline.columns.iter().collect();
    let reading = format!("{} {:?} {columns:?}", env!("CARGO_PKG_VERSION"), pipeline.config.limits);
    sha256(&[reading.as_bytes()])
}

fn sooner(wait: &mut Option<Duration>, other: Duration) {
    *wait = Some(wait.map_or(other, |wait| wait.min(other)));
}

/// The exports of the store that are there, in folders that are watched.
fn indexed(store: &Store, folders: &[Folder], again: bool) -> Result<Index, StoreError> {
    const PAGE: usize = 1_000;
    let (mut index, mut after) = (Index::default(), 0);
    loop {
        let page = store.read(|tx| tx.files_there(after, PAGE))?;
        let Some((last, _)) = page.last() else { return Ok(index) };
        after = *last;
        for (_, row) in page.iter().filter(|(_, row)| folders.iter().any(|folder| folder.path == row.key.folder)) {
            let is_again = again && row.state == FileState::SetAside && Aside::is_read(&row.reason);
            index.add(row, if is_again { Standing::Open } else { standing(row) });
        }
    }
}

/// What is to be done with an export that is in the store as it is listed.
fn standing(row: &FileRow) -> Standing {
    match row.state {
        _ if row.gone_ms.is_some() => Standing::Open,
        FileState::Waiting | FileState::Reading => Standing::Open,
        // Neither size nor time tells that it may be read now.
        FileState::SetAside if Aside::may_pass(&row.reason) => Standing::Hopeful,
        FileState::Done | FileState::SetAside => Standing::Settled,
    }
}
