//! The round an agent makes again and again: list the folders, note what is new or gone, read what is due, and tell of
//! tallies and files when there is room.

mod changes;
mod feeds;
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
use crate::source::{Aside, Due, Listed, Listing, Settling, Stamp, list, open_export};
use crate::store::{FileKey, FileRow, FileState, Store, StoreError};

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
    rows: HashMap<FileKey, FileRow>,
    /// Exports set aside that are to be looked at again, while there are any since the way of reading has changed.
    again: Option<HashSet<FileKey>>,
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
        let (rows, read_as) = pipeline.store.read(|tx| Ok((tx.files()?, tx.seen(READING)?)))?;
        let is_new = read_as.as_deref() != Some(&reading(&pipeline).0[..]);
        let again = rows.iter().filter(|row| is_new && row.state == FileState::SetAside && Aside::is_read(&row.reason));
        let again = Some(again.map(|row| row.key.clone()).collect()).filter(|_| is_new);
        let rows = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
        Ok(Self {
            pipeline,
            folders,
            bulk_bytes_max,
            rows,
            again,
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
        let listing = list(&self.folders);
        self.tell_unlisted(&listing);
        let mut round = Round { appended: self.note_changes(&listing)? | told, ..Round::default() };
        let floor = self.pipeline.config.disk_free_min;
        if free_on_disk_of(self.pipeline.store.path()).is_some_and(|free| free < floor) {
            (round.resting, round.wait) = ("disk_full", Some(DISK_FULL_PAUSE));
        }
        for listed in &listing.exports {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            self.look_at(listed, stop, committed, &mut round)?;
        }
        self.note_reading(&listing)?;
        round.appended |= self.tell_feeds()?;
        match self.report_in(&round) {
            Some(Duration::ZERO) => round.appended |= self.report()?,
            Some(wait) => sooner(&mut round.wait, wait),
            None => {}
        }
        Ok(round)
    }

    /// Keeps how exports are read, once all that was to be looked at again has been.
    fn note_reading(&mut self, listing: &Listing) -> Result<(), StoreError> {
        let Some(again) = &mut self.again else { return Ok(()) };
        if !again.is_empty() {
            let listed: HashSet<&FileKey> = listing.exports.iter().map(|listed| &listed.key).collect();
            again.retain(|key| listed.contains(key));
        }
        if again.is_empty() {
            self.again = None;
            let digest = reading(&self.pipeline);
            self.pipeline.store.transaction(|tx| tx.put_seen(READING, &digest.0))?;
        }
        Ok(())
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
        let again = self.again.as_ref().is_some_and(|again| again.contains(&listed.key));
        match self.settling.due(&listed.key, stamp, row, now, self.pipeline.config.settle) {
            Due::No if again => {}
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
            Outcome::Done | Outcome::Aside(_) => {
                self.settling.forget(&listed.key);
                self.again.iter_mut().for_each(|again| _ = again.remove(&listed.key));
            }
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

    fn tell_unlisted(&mut self, listing: &Listing) {
        for (path, error) in &listing.unreadable {
            if self.unlisted.insert(path.clone()) {
                tracing::warn!(path = %path.display(), error, "a folder cannot be listed");
            }
        }
        self.unlisted.retain(|path| listing.unreadable.iter().any(|(unreadable, _)| unreadable == path));
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

/// Sets an export aside, writing only if that is news. Returns whether it was.
fn put_aside(store: &Store, row: &mut FileRow, aside: Aside) -> Result<bool, StoreError> {
    let news = row.state != FileState::SetAside || row.reason != aside.as_str();
    if news {
        let next = changes::aside_row(row.clone(), aside);
        store.transaction(|tx| tx.put_file(&next))?;
        *row = next;
    }
    Ok(news)
}
