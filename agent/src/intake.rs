//! The round an agent makes again and again: list the folders, note what is new or gone, read what is due, and tell of
//! tallies and files when there is room.

mod changes;
mod feeds;
mod index;
mod telling;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use watchpost_proto::Digest;
use watchpost_proto::digest::sha256;

use crate::clock::Clock;
use crate::config::Folder;
use crate::pipeline::{Outcome, Pipeline};
use crate::posture::free_on_disk_of;
use crate::source::{Aside, Due, Listed, Settling, Stamp, open_export};
use crate::store::{FileRow, FileState, Store, StoreError};

use changes::Found;
use index::Index;

pub use feeds::fed_of;

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
    /// Something was appended to the outbox.
    pub appended: bool,
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
    unseen: (usize, Vec<(PathBuf, String)>),
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
            unseen: (0, Vec::new()),
            again,
            arrivals: arrivals.into_iter().collect(),
            pending: HashSet::new(),
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

    fn try_round(&mut self, stop: &AtomicBool, committed: &dyn Fn()) -> Result<Round, StoreError> {
        // First, so that a full disk regains what need not be kept.
        let told = self.forget_old()?;
        let found = self.look_around()?;
        self.tell_unlisted(&found.unreadable);
        let mut round = Round { appended: found.lost | told, waiting: found.more, ..Round::default() };
        let floor = self.pipeline.config.disk_free_min;
        if free_on_disk_of(self.pipeline.store.path()).is_some_and(|free| free < floor) {
            (round.resting, round.wait) = ("disk_full", Some(DISK_FULL_PAUSE));
        }
        for listed in &found.due {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            self.look_at(listed, stop, committed, &mut round)?;
        }
        if found.more > 0 && round.resting.is_empty() {
            round.wait = Some(Duration::ZERO);
        }
        self.note_pending(&found);
        if found.more == 0 && round.resting.is_empty() && !stop.load(Ordering::Relaxed) {
            self.note_reading()?;
        }
        round.appended |= self.tell_feeds()?;
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

    fn note_pending(&mut self, found: &Found) {
        self.pending.clear();
        if found.more > 0 {
            self.pending.extend(self.folders.iter().map(|folder| folder.path.clone()));
        }
        for listed in found.due.iter().filter(|listed| listed.stamp.is_ok()) {
            if self.index.see(listed) != Some(true) {
                self.pending.insert(listed.key.folder.clone());
            }
        }
    }

    fn look_at(
        &mut self,
        listed: &Listed,
        stop: &AtomicBool,
        committed: &dyn Fn(),
        round: &mut Round,
    ) -> Result<(), StoreError> {
        let Ok(stamp) = listed.stamp else { return Ok(()) };
        let Some(row) = self.pipeline.store.read(|tx| tx.file(&listed.key))? else { return Ok(()) };
        let now = self.clock().monotonic();
        match self.settling.due(&listed.key, stamp, &row, now, self.pipeline.config.settle) {
            Due::In(wait) => {
                round.waiting += 1;
                sooner(&mut round.wait, wait);
                return Ok(());
            }
            // One that nothing is to be done with is here to be looked at again.
            Due::Now | Due::No => {}
        }
        if !round.resting.is_empty() {
            round.waiting += 1;
            return Ok(());
        }
        match self.read(row, stamp, stop, committed)? {
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
        before: FileRow,
        stamp: Stamp,
        stop: &AtomicBool,
        committed: &dyn Fn(),
    ) -> Result<Outcome, StoreError> {
        self.untold = true;
        let mut row = before.clone();
        let outcome = match open_export(&row.key) {
            Ok(export) => self.pipeline.take(&mut row, export, stop, committed)?,
            Err(error) => {
                let aside = Aside::of(&error);
                // The next listing finds it gone and records what was lost, or finds it back.
                if aside == Aside::Vanished {
                    return Ok(Outcome::Aside(aside));
                }
                (row.size, row.mtime_ns) = (stamp.size, stamp.mtime_ns);
                put_aside(&self.pipeline.store, &before, &mut row, aside)?;
                Outcome::Aside(aside)
            }
        };
        self.index.remove(&before);
        self.index.add(&row, is_settled(&row));
        if let Some(came_ms) = row.came_ms() {
            let newest = self.arrivals.entry(row.key.folder.clone()).or_insert(came_ms);
            *newest = came_ms.max(*newest);
        }
        tracing::info!(
            bytes = row.offset,
            messages = row.counts.messages,
            findings = row.counts.findings,
            ?outcome,
            "export"
        );
        Ok(outcome)
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
            index.add(row, is_settled(row) && !is_again);
        }
    }
}

/// Whether nothing is to be done with an export while it is as it is.
fn is_settled(row: &FileRow) -> bool {
    let is_read = match row.state {
        FileState::Waiting | FileState::Reading => false,
        FileState::Done => true,
        // Neither size nor time tells that it may be read now.
        FileState::SetAside => !Aside::may_pass(&row.reason),
    };
    is_read && row.gone_ms.is_none()
}

/// Sets an export aside, writing only if that is news.
fn put_aside(store: &Store, before: &FileRow, row: &mut FileRow, aside: Aside) -> Result<(), StoreError> {
    *row = changes::aside_row(row.clone(), aside);
    if row.tells_the_same(before) { Ok(()) } else { store.transaction(|tx| tx.put_file(row)) }
}
