//! Files that are either wholly there or not there, also after a power cut.
//!
//! A plain `write` may leave half a file, and syncing a file does not make its *name* durable: the directory
//! holds the name and is synced separately. Keys, certificates and configuration go through [`write()`].

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Who on this machine may read a file or enter a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whatever the process's umask allows: certificates, configuration.
    Public,
    /// The owner alone (mode 0600, folders 0700): private keys, the pseudonym key.
    /// On systems without Unix modes the file inherits what its folder grants.
    Secret,
}

/// Replaces the file at `path` by `bytes`, durably and in one step: readers and crashes see the old content or
/// the new, nothing between. The folder must exist.
///
/// # Errors
/// What the system said, with the path in front. The old file is then untouched, unless the last step, syncing
/// the folder, failed: then it is unknown which of the two a power cut would leave.
pub fn write(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let temporary = temporary_beside(path).map_err(|error| naming(path, &error))?;
    let replaced = fill(&temporary, bytes, access).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = replaced {
        // Best effort: what failed may also keep us from tidying up, and the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        return Err(naming(path, &error));
    }
    sync_folder(folder_of(path)).map_err(|error| naming(path, &error))
}

/// Replaces the file at `path` in one step, as [`write()`] does, but leaves it to [`sync`] to make it durable: for many
/// files at once that is many times as fast.
///
/// # Errors
/// What the system said, with the path in front.
pub fn place(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let placed = temporary_beside(path).and_then(|temporary| {
        let written = open_new(&temporary, access).and_then(|mut file| file.write_all(bytes));
        written.and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| drop(fs::remove_file(&temporary)))
    });
    placed.map_err(|error| naming(path, &error))
}

/// Makes files and their names durable that [`place`] has written.
///
/// # Errors
/// What the system said, with the path in front.
pub fn sync(paths: &[PathBuf]) -> io::Result<()> {
    for path in paths {
        File::open(path).and_then(|file| file.sync_all()).map_err(|error| naming(path, &error))?;
    }
    let folders: BTreeSet<&Path> = paths.iter().map(|path| folder_of(path)).collect();
    folders.into_iter().try_for_each(|folder| sync_folder(folder).map_err(|error| naming(folder, &error)))
}

/// Makes the folder `path` and any missing folder above it, and makes their names durable. An existing folder
/// is left as it is, its mode too.
///
/// # Errors
/// What the system said, with the path in front.
pub fn create_folder(path: &Path, access: Access) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = folder_of(path);
    create_folder(parent, Access::Public)?;
    make_folder(path, access).and_then(|()| sync_folder(parent)).map_err(|error| naming(path, &error))
}

/// Writes and syncs a file that must not exist yet.
fn fill(temporary: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let mut file = open_new(temporary, access)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A fresh name in the same folder, so that the rename stays within one file system.
fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file"))?;
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", hex::encode(random)));
    Ok(path.with_file_name(temporary))
}

/// The folder a path lies in; `.` for a bare name.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn naming(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(unix)]
fn open_new(path: &Path, access: Access) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // The mode is given at creation: a key is never readable by others, not even for a moment.
    let mode = match access {
        Access::Public => 0o644,
        Access::Secret => 0o600,
    };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

#[cfg(not(unix))]
fn open_new(path: &Path, _access: Access) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(unix)]
fn make_folder(path: &Path, access: Access) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mode = match access {
        Access::Public => 0o755,
        Access::Secret => 0o700,
    };
    fs::DirBuilder::new().mode(mode).create(path)
}

#[cfg(not(unix))]
fn make_folder(path: &Path, _access: Access) -> io::Result<()> {
    fs::DirBuilder::new().create(path)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Without Unix semantics a folder cannot be opened and synced as a file; the file system's journal orders the
/// rename after the synced content.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_shorter_text_replaces_a_longer_one_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, b"a long first text", Access::Public).unwrap();
        write(&path, b"short", Access::Public).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_failed_write_names_the_path_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("occupied");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("child"), "x").unwrap();
        let error = write(&target, b"text", Access::Public).unwrap_err();
        assert!(error.to_string().contains("occupied"), "{error}");
        assert_eq!(names(folder.path()), ["occupied"]);
    }

    #[test]
    fn many_files_are_placed_and_then_made_durable() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = ["a", "b"].map(|name| folder.path().join(name)).to_vec();
        for path in &paths {
            place(path, b"first", Access::Public).unwrap();
            place(path, b"x", Access::Public).unwrap();
        }
        sync(&paths).unwrap();
        assert_eq!((fs::read(&paths[1]).unwrap(), names(folder.path())), (b"x".to_vec(), vec!["a".into(), "b".into()]));
        let missing = folder.path().join("missing");
        assert!(sync(std::slice::from_ref(&missing)).unwrap_err().to_string().contains("missing"));
        assert!(place(&missing.join("c"), b"x", Access::Public).unwrap_err().to_string().contains("missing"));
    }

    #[test]
    fn missing_folders_are_made_and_existing_ones_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        create_folder(&deep, Access::Public).unwrap();
        create_folder(&deep, Access::Public).unwrap();
        assert!(deep.is_dir());
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        // A file that was readable before must not stay so.
        fs::write(&secret, "old").unwrap();
        write(&secret, b"new", Access::Secret).unwrap();
        assert_eq!(mode(&secret), 0o600);
        let vault = folder.path().join("vault");
        create_folder(&vault, Access::Secret).unwrap();
        assert_eq!(mode(&vault), 0o700);
    }
}
