//! What a listing says of exports the store knows: new, changed, moved, set aside or gone.

use std::collections::HashSet;

use watchpost_proto::v1::Lane;

use super::Intake;
use crate::source::{Aside, Listed, Listing, Stamp};
use crate::store::{FileKey, FileRow, FileState, StoreError};
use crate::summary::{self, MadeUnder};

impl Intake {
    /// Writes rows for what is new, set aside, back or gone, in one transaction. Returns whether a loss was recorded.
    pub(super) fn note_changes(&mut self, listing: &Listing) -> Result<bool, StoreError> {
        let mut changed = Vec::new();
        for listed in &listing.exports {
            changed.extend(self.changed_row(listed));
        }
        let gone = self.gone_rows(listing);
        let replaced = self.replaced_rows(listing);
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
            for row in &replaced {
                tx.append(Lane::Urgent, &made.record(summary::unread_loss(device, row, "file_replaced"))?)?;
                lost = true;
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

    /// Rows of exports that something unreadable, such as a link, has taken the place of before they were read.
    fn replaced_rows(&self, listing: &Listing) -> Vec<FileRow> {
        let usurped = listing.exports.iter().filter(|listed| listed.stamp.is_err());
        let rows = usurped.filter_map(|listed| self.rows.get(&listed.key));
        rows.filter(|row| row.gone_ms.is_none() && is_unread(row)).cloned().collect()
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
            let unread = is_unread(row);
            let row = FileRow { gone_ms: Some(now_ms), ..row.clone() };
            (if unread { aside_row(row, Aside::Vanished) } else { row }, unread)
        })
        .collect()
    }
}

/// Whether an export held something that was never read. One that was set aside for its own nature is told by its
/// report; one that merely could not be read yet is not.
fn is_unread(row: &FileRow) -> bool {
    match row.state {
        FileState::Waiting | FileState::Reading => true,
        FileState::SetAside => Aside::may_pass(&row.reason),
        FileState::Done => false,
    }
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
