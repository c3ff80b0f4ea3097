//! Which exports are known as they are listed, in some bytes each: a folder may hold a million of them. What else is known of them is in the store.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use crate::aside::Aside;
use crate::source::{Listed, Stamp};
use crate::store::{FileKey, FileRow, FileState};

/// Tells an export as it is from every other, and from itself when it has changed. Keyed, so that nobody can make two alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Print([u8; 12]);

/// What is to be done with an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing while it is as it is.
    Settled,
    /// It is to be read.
    Open,
    /// It could not be read, for what may pass without a sign.
    Hopeful,
}

/// What is known of an export.
#[derive(Clone, Copy)]
struct Known {
    standing: Standing,
    /// Whether the listing that goes on has it.
    is_seen: bool,
}

/// Stands for the stamp of an export that is not read to its end: it is to be looked at whatever its stamp.
const OPEN: &str = "";

/// A set of exports, as far as it must be told from others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unseen {
    count: usize,
    prints: [u8; 12],
}

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

    /// Notes that an export is listed. Says what is to be done with it; `None` when it is not known as it is.
    pub(super) fn see(&mut self, listed: &Listed) -> Option<Standing> {
        let print = self.print(&listed.key, &listed.corp, listed.stamp.map_err(Aside::as_str));
        // One that is to be read is known whatever its stamp, as long as it has one.
        let open = listed.stamp.ok().map(|_| self.print(&listed.key, &listed.corp, Err(OPEN)));
        let print = if self.known.contains_key(&print) { print } else { open? };
        let known = self.known.get_mut(&print)?;
        known.is_seen = true;
        Some(known.standing)
    }

    /// Takes in an export, as it is in the store and in the listing. One that was gone is not known again before it is read.
    pub(super) fn add(&mut self, row: &FileRow, standing: Standing) {
        if row.gone_ms.is_none() {
            let print = self.of_row(row);
            self.known.insert(print, Known { standing, is_seen: true });
        }
    }

    /// Lets go of an export as it was.
    pub(super) fn remove(&mut self, row: &FileRow) {
        let print = self.of_row(row);
        self.known.remove(&print);
    }

    /// Lets go of an export that is listed and not in the store.
    pub(super) fn forget(&mut self, listed: &Listed) {
        for stamp in [listed.stamp.map_err(Aside::as_str), Err(OPEN)] {
            let print = self.print(&listed.key, &listed.corp, stamp);
            self.known.remove(&print);
        }
    }

    /// Whether the listing has an export of the store.
    pub(super) fn is_seen(&self, row: &FileRow) -> bool {
        self.known.get(&self.of_row(row)).is_some_and(|known| known.is_seen)
    }

    /// Which exports the listing does not have: as good as their prints.
    pub(super) fn unseen(&self) -> Unseen {
        let mut unseen = Unseen::default();
        for (Print(print), _) in self.known.iter().filter(|(_, known)| !known.is_seen) {
            unseen.count += 1;
            unseen.prints.iter_mut().zip(print).for_each(|(all, one)| *all ^= one);
        }
        unseen
    }

    fn of_row(&self, row: &FileRow) -> Print {
        let stamp = Stamp { size: row.size, mtime_ns: row.mtime_ns };
        let stamp = match row.state {
            FileState::Waiting | FileState::Reading => Err(OPEN),
            // What could not even be looked at has no stamp.
            FileState::SetAside if stamp == (Stamp { size: 0, mtime_ns: 0 }) => Err(row.reason.as_str()),
            FileState::Done | FileState::SetAside => Ok(stamp),
        };
        self.print(&row.key, &row.corp, stamp)
    }

    fn print(&self, key: &FileKey, corp: &str, stamp: Result<Stamp, &str>) -> Print {
        let stamp = stamp.map(|stamp| (stamp.size, stamp.mtime_ns));
        // Paths by their bytes: what they hash to otherwise does not tell all of them apart.
        let [folder, name] = [&key.folder, &key.name].map(|path| path.as_os_str().as_encoded_bytes());
        let [high, low] = [0, 1].map(|at: usize| self.keys[at].hash_one((folder, name, corp, stamp)));
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
        index.add(&row, Standing::Open);
        assert_eq!((index.see(&listed("a", "ww1", same)), index.unseen()), (Some(Standing::Open), Unseen::default()));
        index.begin();
        assert!(index.unseen() != Unseen::default() && !index.is_seen(&row));
        for other in [
            listed("b", "ww1", same),
            listed("a", "ww2", same),
            listed("a", "ww1", Ok(Stamp { size: 6, mtime_ns: 7 })),
            listed("a", "ww1", Ok(Stamp { size: 5, mtime_ns: 8 })),
            listed("a", "ww1", Err(Aside::Link)),
        ] {
            assert_eq!(index.see(&other), None, "{other:?}");
        }
        index.add(&row, Standing::Settled);
        assert_eq!(index.see(&listed("a", "ww1", same)), Some(Standing::Settled));
        index.remove(&row);
        assert_eq!(index.see(&listed("a", "ww1", same)), None);
        let link = FileRow { state: FileState::SetAside, reason: "link".into(), ..FileRow::new(key("l"), "ww1") };
        index.add(&link, Standing::Settled);
        assert_eq!(index.see(&listed("l", "ww1", Err(Aside::Link))), Some(Standing::Settled));
        assert_eq!(index.see(&listed("l", "ww1", Err(Aside::NotAFile))), None);
        // One that is not read yet is known whatever has become of it, but for something that is no export in its place.
        index.add(&FileRow::new(key("w"), "ww1"), Standing::Open);
        assert_eq!(index.see(&listed("w", "ww1", same)), Some(Standing::Open));
        assert_eq!(index.see(&listed("w", "ww1", Err(Aside::Link))), None);
        // One that was gone must be read before it is known.
        index.add(&FileRow { gone_ms: Some(1), ..row }, Standing::Settled);
        assert_eq!(index.see(&listed("a", "ww1", same)), None);
    }

    #[test]
    fn names_of_the_same_letters_are_others() {
        let key = |name: String| FileKey { folder: "/x".into(), name: name.into() };
        let (a, b) =
            (key(format!("{}/{}/a", "a".repeat(16), "a".repeat(24))), key(format!("{}/aaaa/aaaaa", "a".repeat(32))));
        let mut index = Index::default();
        index.add(&FileRow::new(a, "ww1"), Standing::Open);
        let other = Listed { key: b, corp: "ww1".into(), stamp: Ok(Stamp { size: 0, mtime_ns: 0 }) };
        assert_eq!(index.see(&other), None);
    }
}
