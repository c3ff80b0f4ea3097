//! Which exports a command reads, in which order, and what it cannot or will not read.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use watchpost_agent::aside::Aside;
use watchpost_agent::carrier::{self, Carried, Reading};
use watchpost_agent::config::Folder;
use watchpost_agent::source::{list, open_export};
use watchpost_agent::store::FileKey;
use watchpost_policy::message::Corp;

/// Everything to read, in the order it is told: as named, and below a folder by name.
#[derive(Default)]
pub(in crate::commands) struct Walk {
    pub(in crate::commands) exports: Vec<Export>,
    pub(in crate::commands) aside: Vec<SetAside>,
    /// Bytes of all exports, as far as known.
    pub(in crate::commands) bytes: u64,
}

/// One export.
pub(in crate::commands) struct Export {
    /// As it is named in the output.
    pub(in crate::commands) name: String,
    place: Place,
}

enum Place {
    File(FileKey),
    Input,
}

/// Something that is not read, or not to its end.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::commands) struct SetAside {
    pub(in crate::commands) name: String,
    pub(in crate::commands) why: String,
    /// Whether somebody expected it to be read, so that what is told may lack something.
    pub(in crate::commands) failed: bool,
}

impl SetAside {
    pub(in crate::commands) fn failed(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), why: why.into(), failed: true }
    }

    pub(in crate::commands) fn passed_over(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), why: why.into(), failed: false }
    }
}

impl Walk {
    /// Folders are listed as the daemon lists them, with all below and without following links; a file named is taken as it is.
    pub(in crate::commands) fn of(paths: &[PathBuf]) -> Self {
        let mut walk = Self::default();
        for path in paths {
            let name = path.display().to_string();
            if path == Path::new("-") {
                walk.exports.push(Export { name: "-".into(), place: Place::Input });
                continue;
            }
            match std::fs::metadata(path) {
                Ok(metadata) if metadata.is_dir() => walk.folder(path),
                Ok(metadata) => walk.file(path, name, metadata.len()),
                Err(error) => walk.aside.push(SetAside::failed(name, error.to_string())),
            }
        }
        walk
    }

    fn folder(&mut self, path: &Path) {
        let listing = list(&[Folder::new(path, Corp::new("corp"))]);
        for listed in listing.exports {
            let name = listed.key.path().display().to_string();
            match listed.stamp {
                Ok(stamp) => {
                    self.bytes += stamp.size;
                    self.exports.push(Export { name, place: Place::File(listed.key) });
                }
                Err(aside) => self.aside.push(refused(name, aside)),
            }
        }
        let unseen = listing.unreadable.into_iter();
        self.aside.extend(unseen.map(|(path, why)| SetAside::failed(path.display().to_string(), why)));
    }

    /// Whoever names a link means what it leads to.
    fn file(&mut self, path: &Path, name: String, bytes: u64) {
        let real = path.canonicalize();
        let key = real
            .as_ref()
            .ok()
            .and_then(|real| Some(FileKey { folder: real.parent()?.to_owned(), name: real.file_name()?.into() }));
        match (key, real) {
            (Some(key), _) => {
                self.bytes += bytes;
                self.exports.push(Export { name, place: Place::File(key) });
            }
            (None, Err(error)) => self.aside.push(SetAside::failed(name, error.to_string())),
            (None, Ok(_)) => self.aside.push(SetAside::failed(name, "this names no file")),
        }
    }
}

/// Why something listed is not opened at all.
fn refused(name: String, aside: Aside) -> SetAside {
    match aside {
        Aside::Link => {
            SetAside::passed_over(name, "a link, which could lead out of the folder; name it to have it read")
        }
        Aside::NotAFile => SetAside::passed_over(name, "not a regular file"),
        other => SetAside::failed(name, other.as_str()),
    }
}

impl Export {
    /// Opens it, whatever it is carried in, and tells the bar of every byte of it.
    pub(in crate::commands) fn open<'a>(
        &self,
        progress: &'a ProgressBar,
        reading: &Reading,
    ) -> Result<Carried<'a>, SetAside> {
        let carried = match &self.place {
            Place::File(key) => carrier::open(progress.wrap_read(self.file(key)?), reading),
            Place::Input => carrier::open_stream(progress.wrap_read(io::stdin().lock()), reading),
        };
        carried.map_err(|error| unread(&self.name, &error))
    }

    fn file(&self, key: &FileKey) -> Result<File, SetAside> {
        open_export(key).map(|(file, _)| file).map_err(|error| match Aside::of(&error) {
            aside @ (Aside::Link | Aside::NotAFile) => refused(self.name.clone(), aside),
            _ => SetAside::failed(&self.name, error.to_string()),
        })
    }
}

/// Why an export cannot be read, or not on.
pub(in crate::commands) fn unread(name: &str, error: &io::Error) -> SetAside {
    match Aside::of(error) {
        // The system knows better.
        Aside::Unreadable | Aside::Permission | Aside::Vanished => SetAside::failed(name, error.to_string()),
        aside => SetAside::passed_over(name, aside.sentence()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn names(walk: &Walk, below: &Path) -> Vec<String> {
        let names = walk.exports.iter().map(|export| export.name.as_str());
        names.map(|name| name.replace(&format!("{}/", below.display()), "")).collect()
    }

    #[test]
    fn folders_are_walked_by_name_and_files_as_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("b/c")).unwrap();
        for name in ["z.jsonl", "a.jsonl", "b/y.jsonl", "b/c/x.jsonl", "b/.hidden", "d.jsonl.part"] {
            std::fs::write(dir.path().join(name), "{}\n").unwrap();
        }
        let walk = Walk::of(&[dir.path().join("z.jsonl"), dir.path().to_owned()]);
        assert_eq!(names(&walk, dir.path()), ["z.jsonl", "a.jsonl", "b/c/x.jsonl", "b/y.jsonl", "z.jsonl"]);
        assert_eq!((walk.bytes, walk.aside), (15, vec![]));
    }

    #[test]
    fn what_is_missing_does_not_stop_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "").unwrap();
        let walk = Walk::of(&["/nowhere/at/all".into(), dir.path().join("a")]);
        assert_eq!(names(&walk, dir.path()), ["a"]);
        assert_eq!((walk.aside.len(), walk.aside[0].failed), (1, true));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_only_when_named() {
        use std::os::unix::fs::symlink;

        let dir = tempfile::tempdir().unwrap();
        let exports = dir.path().join("exports");
        std::fs::create_dir(&exports).unwrap();
        std::fs::write(dir.path().join("outside"), "{}").unwrap();
        symlink(dir.path().join("outside"), exports.join("link")).unwrap();
        symlink(dir.path(), exports.join("up")).unwrap();
        let walk = Walk::of(std::slice::from_ref(&exports));
        assert!(walk.exports.is_empty(), "{:?}", names(&walk, dir.path()));
        assert_eq!(walk.aside.iter().map(|aside| aside.failed).collect::<Vec<_>>(), [false, false]);
        let named = Walk::of(&[exports.join("link")]);
        let mut text = String::new();
        let progress = ProgressBar::hidden();
        let opened = named.exports[0].open(&progress, &Reading::default()).unwrap_or_else(|aside| panic!("{aside:?}"));
        opened.lines.take(9).read_to_string(&mut text).unwrap();
        assert_eq!(text, "{}");
    }
}
