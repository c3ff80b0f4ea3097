//! The source: lists export folders, decides what is due, and opens exports without following anything out of them.
//!
//! Notifications are hints; a listing is the truth. Nothing in an export folder is ever changed.

mod open;

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::aside::Aside;
use crate::config::Folder;
use crate::store::{FileKey, FileRow, FileState};

pub use open::{is_network_folder, open_export};

/// Folders below a watched folder are followed this deep.
const DEPTH_MAX: usize = 16;
/// An export that keeps growing is read by complete lines once it has been seen unsettled for this many settle times.
const IMPATIENCE: u32 = 5;

/// Size and modification time: the cheap sign that an export may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime_ns: i64,
}

/// One entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which export.
    pub key: FileKey,
    /// The corporation of its folder.
    pub corp: String,
    /// Its stamp, or why it cannot be one.
    pub stamp: Result<Stamp, Aside>,
}

/// What one listing of all folders found.
#[derive(Debug, Default)]
pub struct Listing {
    /// Exports, by folder and name.
    pub exports: Vec<Listed>,
    /// Folders that could not be listed, and what the system said. Their exports are not gone, only unseen.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Lists every export under the folders.
pub fn list(folders: &[Folder]) -> Listing {
    let mut exports = Vec::new();
    let listed = list_each(folders, &mut |listed| {
        exports.push(listed);
        Ok::<_, Infallible>(())
    });
    let Ok(unreadable) = listed;
    exports.sort_by(|a: &Listed, b| a.key.cmp(&b.key));
    Listing { exports, unreadable }
}

/// Gives every export under the folders to `take` as it comes, and says which folders could not be listed, and why.
///
/// # Errors
/// The first of `take`, which ends the listing.
pub fn list_each<E>(
    folders: &[Folder],
    take: &mut impl FnMut(Listed) -> Result<(), E>,
) -> Result<Vec<(PathBuf, String)>, E> {
    let mut unreadable = Vec::new();
    for folder in folders {
        list_folder(folder, Path::new(""), 0, &mut unreadable, take)?;
    }
    Ok(unreadable)
}

fn list_folder<E>(
    folder: &Folder,
    below: &Path,
    depth: usize,
    unreadable: &mut Vec<(PathBuf, String)>,
    take: &mut impl FnMut(Listed) -> Result<(), E>,
) -> Result<(), E> {
    let path = folder.path.join(below);
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) => {
            unreadable.push((path, error.to_string()));
            return Ok(());
        }
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                // What comes after is unseen, not gone.
                unreadable.push((path, error.to_string()));
                return Ok(());
            }
        };
        let name = below.join(entry.file_name());
        // Of the entry itself, never of what a link points to.
        let Ok(kind) = entry.file_type() else { continue };
        if is_temporary(&name) {
            continue;
        }
        if kind.is_dir() && depth < DEPTH_MAX {
            list_folder(folder, &name, depth + 1, unreadable, take)?;
        } else if kind.is_dir() {
            unreadable.push((folder.path.join(&name), format!("folders are followed {DEPTH_MAX} deep")));
        } else {
            let stamp = stamp(&entry, kind, &name);
            // Deleted a moment ago: as if it had not been listed.
            if stamp == Err(Aside::Vanished) {
                continue;
            }
            take(Listed {
                stamp,
                key: FileKey { folder: folder.path.clone(), name },
                corp: folder.corp.as_str().to_owned(),
            })?;
        }
    }
    Ok(())
}

fn stamp(entry: &std::fs::DirEntry, kind: std::fs::FileType, name: &Path) -> Result<Stamp, Aside> {
    if kind.is_symlink() {
        return Err(Aside::Link);
    }
    if !kind.is_file() {
        return Err(Aside::NotAFile);
    }
    if cfg!(not(unix)) && name.to_str().is_none() {
        return Err(Aside::Name);
    }
    let metadata = entry.metadata().map_err(|error| Aside::of(&error))?;
    Ok(stamp_of(&metadata))
}

/// The stamp of an opened or listed file.
fn stamp_of(metadata: &std::fs::Metadata) -> Stamp {
    let mtime_ns = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0);
    Stamp { size: metadata.len(), mtime_ns }
}

/// Names that writers use until an export is complete. They are passed over; the rename brings them in.
fn is_temporary(name: &Path) -> bool {
    const ENDINGS: [&str; 8] = [".tmp", ".temp", ".part", ".partial", ".crdownload", ".download", ".swp", "~"];
    let Some(name) = name.file_name() else { return false };
    let name = name.to_string_lossy().to_lowercase();
    name.starts_with('.') || name.starts_with("~$") || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// What is to be done with one listed export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing: it is as it was when it was done.
    No,
    /// Not yet settled; look again after this long.
    In(Duration),
    /// Read it now.
    Now,
}

/// Watches stamps until they have been stable long enough.
#[derive(Debug, Default)]
pub struct Settling {
    seen: HashMap<FileKey, Watched>,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    stamp: Stamp,
    /// When this stamp was first seen, and when any was.
    since: Duration,
    first: Duration,
}

impl Settling {
    /// Decides about an export with this stamp at `now`, a monotonic time. `row` is what the store knows of it.
    pub fn due(&mut self, key: &FileKey, stamp: Stamp, row: &FileRow, now: Duration, settle: Duration) -> Due {
        let known = Stamp { size: row.size, mtime_ns: row.mtime_ns };
        let finished = matches!(row.state, FileState::Done | FileState::SetAside) && row.gone_ms.is_none();
        if finished && known == stamp {
            self.seen.remove(key);
            // Tried again at every listing: neither size nor time tells that it may be read now.
            let hopeful = row.state == FileState::SetAside && Aside::may_pass(&row.reason);
            return if hopeful { Due::Now } else { Due::No };
        }
        let watched = self.seen.entry(key.clone()).or_insert(Watched { stamp, since: now, first: now });
        if watched.stamp != stamp {
            *watched = Watched { stamp, since: now, first: watched.first };
        }
        let settled_in = (watched.since + settle).saturating_sub(now);
        let patience = (watched.first + settle * IMPATIENCE).saturating_sub(now);
        match settled_in.min(patience) {
            Duration::ZERO => Due::Now,
            wait => Due::In(wait),
        }
    }

    /// Forgets an export that was read or is gone.
    pub fn forget(&mut self, key: &FileKey) {
        self.seen.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use watchpost_policy::message::Corp;

    use super::*;

    fn folder(path: &Path) -> Folder {
        Folder::new(path, Corp::new("ww1"))
    }

    #[test]
    fn a_listing_finds_files_at_any_depth_and_no_temporary_names() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("2026/11.jsonl")).unwrap();
        for name in ["a.jsonl", "2026/b.csv", "2026/11.jsonl/c", ".hidden", "d.jsonl.part", "~$e", "f.TMP"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let mut names: Vec<_> = list(&[folder(dir.path())]).exports.into_iter().map(|found| found.key.name).collect();
        names.sort();
        assert_eq!(names, ["2026/11.jsonl/c", "2026/b.csv", "a.jsonl"].map(PathBuf::from));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_pipes_are_listed_with_their_reason() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("a")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("b")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("c")).unwrap();
        let reasons: Vec<_> = list(&[folder(dir.path())]).exports.into_iter().map(|found| found.stamp).collect();
        assert_eq!(reasons, [Err(Aside::Link), Err(Aside::Link), Err(Aside::NotAFile)]);
    }

    #[test]
    fn a_folder_that_cannot_be_listed_is_told() {
        let listing = list(&[folder(Path::new("/nowhere/at/all"))]);
        assert_eq!(listing.unreadable.len(), 1);
    }

    #[test]
    fn an_export_is_due_when_stable_or_when_patience_ends() {
        let key = FileKey { folder: "/x".into(), name: "a".into() };
        let row = FileRow::new(key.clone(), "ww1");
        let (settle, s) = (Duration::from_secs(2), Duration::from_secs);
        let stamp = |size| Stamp { size, mtime_ns: 1 };
        let mut settling = Settling::default();
        assert_eq!(settling.due(&key, stamp(1), &row, s(0), settle), Due::In(s(2)));
        assert_eq!(settling.due(&key, stamp(2), &row, s(1), settle), Due::In(s(2)));
        assert_eq!(settling.due(&key, stamp(2), &row, s(3), settle), Due::Now);
        for at in 3..10 {
            assert_ne!(settling.due(&key, stamp(at), &row, s(at), settle), Due::Now, "at {at}");
        }
        assert_eq!(settling.due(&key, stamp(99), &row, s(10), settle), Due::Now, "it never stops growing");
    }

    #[test]
    fn what_is_done_is_due_again_only_when_it_changed() {
        let key = FileKey { folder: "/x".into(), name: "a".into() };
        let mut row = FileRow::new(key.clone(), "ww1");
        (row.state, row.size, row.mtime_ns) = (FileState::Done, 5, 7);
        let mut settling = Settling::default();
        let same = Stamp { size: 5, mtime_ns: 7 };
        assert_eq!(settling.due(&key, same, &row, Duration::ZERO, Duration::ZERO), Due::No);
        let grown = Stamp { size: 6, mtime_ns: 8 };
        assert_eq!(settling.due(&key, grown, &row, Duration::ZERO, Duration::ZERO), Due::Now);
        row.gone_ms = Some(1);
        assert_eq!(settling.due(&key, same, &row, Duration::ZERO, Duration::ZERO), Due::Now, "it came back");
        (row.gone_ms, row.state) = (None, FileState::SetAside);
        for (reason, due) in
            [("permission", Due::Now), ("unreadable", Due::Now), ("binary", Due::No), ("link", Due::No)]
        {
            row.reason = reason.into();
            assert_eq!(settling.due(&key, same, &row, Duration::ZERO, Duration::from_secs(9)), due, "{reason}");
        }
    }
}
