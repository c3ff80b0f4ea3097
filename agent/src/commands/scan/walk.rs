//! Which exports a command reads, in which order, and what it cannot or will not read.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use watchpost_agent::config::Folder;
use watchpost_agent::source::{Aside, list, open_export};
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
        let mut listing = list(&[Folder { path: path.to_owned(), corp: Corp::new("corp") }]);
        listing.exports.sort_by(|a, b| a.key.cmp(&b.key));
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

/// What an export's first bytes say it is.
const PEEK_BYTES: u64 = 8 * 1024;

impl Export {
    /// Opens it and looks at its first bytes.
    pub(in crate::commands) fn open(&self) -> Result<Box<dyn Read>, SetAside> {
        let failed = |error: io::Error| SetAside::failed(&self.name, error.to_string());
        let mut input: Box<dyn Read> = match &self.place {
            Place::File(key) => Box::new(self.file(key)?),
            Place::Input => Box::new(io::stdin().lock()),
        };
        let mut first = Vec::new();
        input.by_ref().take(PEEK_BYTES).read_to_end(&mut first).map_err(failed)?;
        match no_text(&first) {
            Some(why) => Err(SetAside::passed_over(&self.name, why)),
            None => Ok(Box::new(io::Cursor::new(first).chain(input))),
        }
    }

    fn file(&self, key: &FileKey) -> Result<File, SetAside> {
        open_export(key).map(|(file, _)| file).map_err(|error| match Aside::of(&error) {
            aside @ (Aside::Link | Aside::NotAFile) => refused(self.name.clone(), aside),
            _ => SetAside::failed(&self.name, error.to_string()),
        })
    }
}

/// Why these first bytes cannot begin a JSON-lines export.
fn no_text(first: &[u8]) -> Option<&'static str> {
    match first {
        [0x1F, 0x8B, ..] => Some("compressed with gzip; unpack it, or `zcat FILE | watchpost-agent scan -`"),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => {
            Some("compressed with zstd; unpack it, or `zstdcat FILE | watchpost-agent scan -`")
        }
        [b'P', b'K', 3, 4, ..] => Some("a zip archive or an Office document; unpack it"),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some("written in UTF-16; save it as UTF-8"),
        _ => first.contains(&0).then_some("it holds zero bytes: no text export"),
    }
}

#[cfg(test)]
mod tests {
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
        std::fs::write(dir.path().join("outside"), "x").unwrap();
        symlink(dir.path().join("outside"), exports.join("link")).unwrap();
        symlink(dir.path(), exports.join("up")).unwrap();
        let walk = Walk::of(std::slice::from_ref(&exports));
        assert!(walk.exports.is_empty(), "{:?}", names(&walk, dir.path()));
        assert_eq!(walk.aside.iter().map(|aside| aside.failed).collect::<Vec<_>>(), [false, false]);
        let named = Walk::of(&[exports.join("link")]);
        let mut text = String::new();
        named.exports[0].open().unwrap_or_else(|aside| panic!("{aside:?}")).read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }

    #[test]
    fn what_is_no_text_is_named() {
        for (first, part) in [
            (&b"\x1f\x8b\x08"[..], "gzip"),
            (b"PK\x03\x04", "zip"),
            (b"\xff\xfe{\x00", "UTF-16"),
            (b"{}\x00", "zero bytes"),
        ] {
            assert!(no_text(first).is_some_and(|why| why.contains(part)), "{part}");
        }
        assert_eq!(no_text("\u{FEFF}{}".as_bytes()), None);
        assert_eq!(no_text(b""), None);
    }
}
