//! What a listing says of exports: which are new, changed, moved, set aside or gone. The store knows them; the listing is gone through as it comes,
//! and nothing of what is as it was is kept.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::path::PathBuf;

use watchpost_proto::v1::Lane;

use super::index::Standing;
use super::{Intake, standing};
use crate::aside::Aside;
use crate::source::{Listed, Stamp, list_each};
use crate::store::{FileRow, FileState, StoreError};
use crate::summary::{self, MadeUnder};

/// Exports looked up, or noted, in one transaction.
const CHUNK: usize = 1_000;
/// Exports that one round reads; the oldest come first.
const DUE_MAX: usize = 16_384;

/// What a listing leaves to be done.
#[derive(Default)]
pub(super) struct Found {
    /// Exports to look at, the oldest first.
    pub(super) due: Vec<Listed>,
    /// Exports that wait beyond those.
    pub(super) more: u64,
    /// Folders that could not be listed, and what the system said. Their exports are not gone, only unseen.
    pub(super) unreadable: Vec<(PathBuf, String)>,
    /// Whether a loss was recorded.
    pub(super) lost: bool,
}

/// Exports that could not be read for what may pass, and are tried in one round.
const HOPEFUL_MAX: usize = 256;

/// The oldest exports of those to look at.
#[derive(Default)]
struct Oldest {
    /// The youngest on top.
    exports: BinaryHeap<ByAge>,
    more: u64,
    /// Some of those that could not be read: others in each round, so that none holds back another.
    hopeful: Vec<Listed>,
    hopeful_seen: usize,
    /// Makes the choice another one in each round.
    chance: RandomState,
}

/// An export, the older the less.
struct ByAge(Listed);

impl PartialEq for ByAge {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for ByAge {}

impl PartialOrd for ByAge {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByAge {
    fn cmp(&self, other: &Self) -> Ordering {
        let age = |by: &Self| by.0.stamp.map_or(i64::MAX, |stamp| stamp.mtime_ns);
        age(self).cmp(&age(other)).then_with(|| self.0.key.cmp(&other.0.key))
    }
}

impl Oldest {
    fn add(&mut self, listed: Listed) {
        self.exports.push(ByAge(listed));
        if self.exports.len() > DUE_MAX {
            self.exports.pop();
            self.more += 1;
        }
    }

    /// Keeps each of those that could not be read with the same chance.
    fn add_hopeful(&mut self, listed: Listed) {
        self.hopeful_seen += 1;
        if self.hopeful.len() < HOPEFUL_MAX {
            self.hopeful.push(listed);
            return;
        }
        let place = self.chance.hash_one(self.hopeful_seen) % self.hopeful_seen as u64;
        if let Some(kept) = usize::try_from(place).ok().and_then(|place| self.hopeful.get_mut(place)) {
            *kept = listed;
        }
    }

    fn take(&mut self, listed: Listed, standing: Standing) {
        match standing {
            Standing::Settled => {}
            Standing::Open => self.add(listed),
            Standing::Hopeful => self.add_hopeful(listed),
        }
    }
}

impl Intake {
    /// Lists all folders and notes what is new, changed, set aside, back or gone.
    pub(super) fn look_around(&mut self) -> Result<Found, StoreError> {
        self.index.begin();
        let (mut oldest, mut chunk, mut lost) = (Oldest::default(), Vec::new(), false);
        let folders = self.folders.clone();
        let unreadable = list_each(&folders, &mut |listed| {
            match self.index.see(&listed) {
                Some(standing) => oldest.take(listed, standing),
                None => chunk.push(listed),
            }
            if chunk.len() >= CHUNK {
                lost |= self.note(&mut chunk, &mut oldest)?;
            }
            Ok::<_, StoreError>(())
        })?;
        lost |= self.note(&mut chunk, &mut oldest)?;
        lost |= self.note_gone(&unreadable)?;
        let due = oldest.exports.into_sorted_vec().into_iter().map(|ByAge(listed)| listed);
        let due = due.chain(oldest.hopeful).collect();
        Ok(Found { due, more: oldest.more, unreadable, lost })
    }

    /// Writes rows for exports that are not known as they are. Returns whether a loss was recorded.
    fn note(&mut self, chunk: &mut Vec<Listed>, oldest: &mut Oldest) -> Result<bool, StoreError> {
        if chunk.is_empty() {
            return Ok(false);
        }
        let known: Vec<Option<FileRow>> =
            self.pipeline.store.read(|tx| chunk.iter().map(|listed| tx.file(&listed.key)).collect())?;
        let made = MadeUnder::new(&self.pipeline.in_force, self.clock().wall_ms());
        let device = &self.pipeline.device;
        let changed: Vec<Option<FileRow>> =
            chunk.iter().zip(&known).map(|(listed, row)| changed_row(listed, row.as_ref())).collect();
        let lost = self.pipeline.store.transaction(|tx| {
            let mut lost = false;
            for ((listed, row), changed) in chunk.iter().zip(&known).zip(&changed) {
                if let Some(row) = row.as_ref().filter(|row| listed.stamp.is_err() && is_unread(row)) {
                    tx.append(Lane::Urgent, &made.record(summary::unread_loss(device, row, "file_replaced"))?)?;
                    lost = true;
                }
                changed.iter().try_for_each(|row| tx.put_file(row))?;
            }
            Ok(lost)
        })?;
        self.untold |= changed.iter().any(Option::is_some);
        for ((listed, row), changed) in chunk.drain(..).zip(known).zip(changed) {
            if let Some(row) = &row {
                self.index.remove(row);
            }
            if changed.is_some() {
                self.settling.forget(&listed.key);
            }
            let Some(row) = changed.or(row) else { continue };
            let standing = standing(&row);
            self.index.add(&row, standing);
            oldest.take(listed, standing);
        }
        Ok(lost)
    }

    /// Writes rows of exports that are not there any more, and a loss for each that was not read to its end. Returns whether there was one.
    fn note_gone(&mut self, unreadable: &[(PathBuf, String)]) -> Result<bool, StoreError> {
        // Those below folders that cannot be listed are looked for once.
        let unseen = (self.index.unseen(), unreadable.to_vec());
        if unseen == self.unseen {
            return Ok(false);
        }
        let made = MadeUnder::new(&self.pipeline.in_force, self.clock().wall_ms());
        let (now_ms, mut after, mut any_lost) = (self.clock().wall_ms(), 0, false);
        loop {
            let page = self.pipeline.store.read(|tx| tx.files_there(after, CHUNK))?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            let is_gone = |row: &FileRow| {
                let is_seen = unreadable.iter().any(|(path, _)| row.key.path().starts_with(path));
                let is_watched = self.folders.iter().any(|folder| folder.path == row.key.folder);
                is_watched && !is_seen && !self.index.is_seen(row)
            };
            let gone: Vec<FileRow> = page.into_iter().map(|(_, row)| row).filter(is_gone).collect();
            if gone.is_empty() {
                continue;
            }
            let device = &self.pipeline.device;
            any_lost |= self.pipeline.store.transaction(|tx| {
                let mut lost = false;
                for row in &gone {
                    let mut next = FileRow { gone_ms: Some(now_ms), ..row.clone() };
                    if is_unread(row) {
                        tx.append(Lane::Urgent, &made.record(summary::unread_loss(device, &next, "file_vanished"))?)?;
                        next = aside_row(next, Aside::Vanished);
                        lost = true;
                    }
                    tx.put_file(&next)?;
                }
                Ok(lost)
            })?;
            self.untold = true;
            for row in &gone {
                self.settling.forget(&row.key);
                self.index.remove(row);
            }
        }
        self.unseen = (self.index.unseen(), unseen.1);
        Ok(any_lost)
    }
}

/// The row an entry of the listing needs now, if it is not the one it has.
fn changed_row(listed: &Listed, known: Option<&FileRow>) -> Option<FileRow> {
    match (listed.stamp, known) {
        (Ok(stamp), None) => {
            let row = FileRow::new(listed.key.clone(), &listed.corp);
            Some(FileRow { size: stamp.size, mtime_ns: stamp.mtime_ns, ..row })
        }
        (Ok(_), Some(row)) if row.corp != listed.corp => Some(moved(row, &listed.corp)),
        (Ok(stamp), Some(row)) => changed(row, stamp),
        (Err(aside), known) => {
            let same = known.is_some_and(|row| {
                row.state == FileState::SetAside && row.reason == aside.as_str() && row.gone_ms.is_none()
            });
            (!same).then(|| aside_row(FileRow::new(listed.key.clone(), &listed.corp), aside))
        }
    }
}

/// Whether an export held something that was never read and is not gone already. One that was set aside for its own nature is told by its
/// report; one that merely could not be read yet is not.
fn is_unread(row: &FileRow) -> bool {
    row.gone_ms.is_none() && standing(row) != Standing::Settled
}

pub(super) fn aside_row(row: FileRow, aside: Aside) -> FileRow {
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
