//! Which exports are known as they are listed, in some bytes each: a folder may hold a million of them. What else is known of them is in the store.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use crate::source::{Aside, Listed, Stamp};
use crate::store::{FileKey, FileRow, FileState};

/// Tells an export as it is from every other, and from itself when it has changed. Keyed, so that nobody can make two alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Print([u8; 12]);

/// What is known of an export.
#[derive(Clone, Copy)]
struct Known {
    is_settled: bool,
    /// Whether the listing that goes on has it.
    is_seen: bool,
}

/// Stands for the stamp of an export that is not read to its end: it is to be looked at whatever its stamp.
const OPEN: &str = "";

/// The exports that are known and not gone.
#[derive(Default)]
pub(super) struct Index {
    known: HashMap<Print, Known>,
    keys: [RandomState; 2],
}

impl Index {
    /// A listing begins.
    pub(super) fn begin(&mut self) {
        self.known.values_mut().for_each(|known| known.is_seen = false);
    }

    /// Notes that an export is listed. Says whether nothing is to be done with it; `None` when it is not known as it is.
    pub(super) fn see(&mut self, listed: &Listed) -> Option<bool> {
        let print = self.print(&listed.key, &listed.corp, listed.stamp.map_err(Aside::as_str));
        let open = self.print(&listed.key, &listed.corp, Err(OPEN));
        let print = if self.known.contains_key(&print) { print } else { open };
        let known = self.known.get_mut(&print)?;
        known.is_seen = true;
        Some(known.is_settled)
    }

    /// Takes in an export, as it is in the store and in the listing.
    pub(super) fn add(&mut self, row: &FileRow, is_settled: bool) {
        let print = self.of_row(row);
        self.known.insert(print, Known { is_settled, is_seen: true });
    }

    /// Lets go of an export as it was.
    pub(super) fn remove(&mut self, row: &FileRow) {
        let print = self.of_row(row);
        self.known.remove(&print);
    }

    /// Whether the listing has an export of the store.
    pub(super) fn is_seen(&self, row: &FileRow) -> bool {
        self.known.get(&self.of_row(row)).is_some_and(|known| known.is_seen)
    }

    /// Exports that the listing does not have.
    pub(super) fn unseen(&self) -> usize {
        self.known.values().filter(|known| !known.is_seen).count()
    }

    fn of_row(&self, row: &FileRow) -> Print {
        let stamp = Stamp { size: row.size, mtime_ns: row.mtime_ns };
        let stamp = match row.state {
            FileState::Waiting | FileState::Reading => Err(OPEN),
            _ if row.gone_ms.is_some() => Err(OPEN),
            // What could not even be looked at has no stamp.
            FileState::SetAside if stamp == (Stamp { size: 0, mtime_ns: 0 }) => Err(row.reason.as_str()),
            FileState::Done | FileState::SetAside => Ok(stamp),
        };
        self.print(&row.key, &row.corp, stamp)
    }

    fn print(&self, key: &FileKey, corp: &str, stamp: Result<Stamp, &str>) -> Print {
        let stamp = stamp.map(|stamp| (stamp.size, stamp.mtime_ns));
        let [high, low] = [0, 1].map(|at: usize| self.keys[at].hash_one((key, corp, stamp)));
        let mut print = [0; 12];
        print[..8].copy_from_slice(&high.to_be_bytes());
        print[8..].copy_from_slice(&low.to_be_bytes()[..4]);
        Print(print)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_known_as_it_is_and_no_other() {
        let key = |name: &str| FileKey { folder: "/x".into(), name: name.into() };
        let listed = |name: &str, corp: &str, stamp| Listed { key: key(name), corp: corp.into(), stamp };
        let row = FileRow { state: FileState::Done, size: 5, mtime_ns: 7, ..FileRow::new(key("a"), "ww1") };
        let same = Ok(Stamp { size: 5, mtime_ns: 7 });
        let mut index = Index::default();
        index.add(&row, false);
        assert_eq!((index.see(&listed("a", "ww1", same)), index.unseen()), (Some(false), 0));
        index.begin();
        assert_eq!((index.unseen(), index.is_seen(&row)), (1, false));
        for other in [
            listed("b", "ww1", same),
            listed("a", "ww2", same),
            listed("a", "ww1", Ok(Stamp { size: 6, mtime_ns: 7 })),
            listed("a", "ww1", Ok(Stamp { size: 5, mtime_ns: 8 })),
            listed("a", "ww1", Err(Aside::Link)),
        ] {
            assert_eq!(index.see(&other), None, "{other:?}");
        }
        index.add(&row, true);
        assert_eq!(index.see(&listed("a", "ww1", same)), Some(true));
        index.remove(&row);
        assert_eq!(index.see(&listed("a", "ww1", same)), None);
        let link = FileRow { state: FileState::SetAside, reason: "link".into(), ..FileRow::new(key("l"), "ww1") };
        index.add(&link, true);
        assert_eq!(index.see(&listed("l", "ww1", Err(Aside::Link))), Some(true));
        assert_eq!(index.see(&listed("l", "ww1", Err(Aside::NotAFile))), None);
        // One that is not read yet is known whatever has become of it.
        index.add(&FileRow::new(key("w"), "ww1"), false);
        assert_eq!(index.see(&listed("w", "ww1", same)), Some(false));
    }
}
