//! Opening an export so that no link can lead out of its folder, and its writer may still rename or delete it.

use std::fs::File;
use std::io;
use std::path::{Component, Path};

use super::{Stamp, stamp_of};
use crate::store::FileKey;

/// Opens an export for reading, with the stamp it has at that moment. A link anywhere below the watched folder is an error, and so is anything but a regular
/// file, whatever was there when it was listed.
pub fn open_export(key: &FileKey) -> io::Result<(File, Stamp)> {
    let plain = key.name.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain {
        return Err(io::Error::new(io::ErrorKind::NotFound, "not a path below the folder"));
    }
    let file = open_below(&key.folder, &key.name)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, stamp_of(&metadata))) } else { Err(io::Error::other("not a regular file")) }
}

/// Steps down one name at a time from the folder's own handle, so that a folder swapped for a link is not followed.
#[cfg(unix)]
fn open_below(folder: &Path, name: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, openat};

    let mut here = std::os::fd::OwnedFd::from(File::open(folder)?);
    let mut parts = name.components().peekable();
    while let Some(part) = parts.next() {
        let kind = if parts.peek().is_some() { OFlags::DIRECTORY } else { OFlags::NONBLOCK };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY | kind;
        here = openat(&here, part.as_os_str(), flags, Mode::empty())?;
    }
    Ok(here.into())
}

/// Shares reading, writing and deleting, and refuses what resolves to somewhere else.
#[cfg(windows)]
fn open_below(folder: &Path, name: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;

    const FILE_SHARE_READ_WRITE_DELETE: u32 = 7;
    const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
    let (root, path) = (folder.canonicalize()?, folder.join(name).canonicalize()?);
    if path != root.join(name) {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "a link leads out of the folder"));
    }
    std::fs::OpenOptions::new()
        .read(true)
        .share_mode(FILE_SHARE_READ_WRITE_DELETE)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)
}

/// Whether a folder lies on a file system that does not tell of changes made elsewhere, so that it must be polled.
#[cfg(target_os = "linux")]
pub fn is_network_folder(folder: &Path) -> bool {
    // NFS, SMB, SMB2, CIFS, FUSE, 9P, Ceph, as in statfs(2).
    const NETWORK: [u32; 7] = [0x6969, 0x517b, 0xfe53_4d42, 0xff53_4d42, 0x6573_5546, 0x0102_1997, 0x00c3_6400];
    rustix::fs::statfs(folder).is_ok_and(|stats| NETWORK.contains(&(stats.f_type as u32)))
}

/// Whether a folder lies on a file system that does not tell of changes made elsewhere, so that it must be polled.
#[cfg(not(target_os = "linux"))]
pub fn is_network_folder(folder: &Path) -> bool {
    folder.to_string_lossy().starts_with(r"\\")
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn open(folder: &Path, name: &str) -> io::Result<(File, Stamp)> {
        open_export(&FileKey { folder: folder.to_owned(), name: name.into() })
    }

    #[test]
    fn nothing_outside_the_folder_opens() {
        let dir = tempfile::tempdir().unwrap();
        let exports = dir.path().join("exports");
        std::fs::create_dir_all(exports.join("sub")).unwrap();
        std::fs::write(dir.path().join("secret"), "x").unwrap();
        std::fs::write(exports.join("sub/a"), "x").unwrap();
        symlink(dir.path().join("secret"), exports.join("link")).unwrap();
        symlink(dir.path(), exports.join("up")).unwrap();
        assert!(open(&exports, "sub/a").is_ok());
        for name in ["link", "up/secret", "../secret", "sub/../../secret", "/etc/passwd", "sub"] {
            assert!(open(&exports, name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_pipe_neither_opens_nor_hangs() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(open(dir.path(), "pipe").is_err());
    }
}
