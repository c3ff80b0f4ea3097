//! Files that are wholly there or not there, also after a power cut: keys and certificates.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::store::sync_folder;

/// Replaces the file at `path` durably and in one step. A `secret` is for the owner alone.
///
/// # Errors
/// What the system said, with the path in front; the old file is then untouched.
pub fn write(path: &Path, bytes: &[u8], secret: bool) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let replaced = fill(&temporary, bytes, secret).and_then(|()| rename(&temporary, path));
    replaced.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    })
}

/// Renames a file within its folder, durably.
///
/// # Errors
/// What the system said.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(to.parent().unwrap_or(Path::new(".")));
    Ok(())
}

/// Makes a folder for the owner alone, with those above it.
///
/// # Errors
/// What the system said.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn fill(path: &Path, bytes: &[u8], secret: bool) -> io::Result<()> {
    // Left over from a crash.
    let _ = fs::remove_file(path);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // The mode is given at creation: a key is never readable by others, not even for a moment.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if secret { 0o600 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = secret;
    let mut file = options.open(path)?;
    #[cfg(unix)]
    give_to_owner_of_folder(&file, path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What an administrator writes into the agent's folder is the agent's to read. Nobody else can give anything away.
#[cfg(unix)]
fn give_to_owner_of_folder(file: &fs::File, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (own, its) = (file.metadata()?, fs::metadata(folder)?);
    if own.uid() == 0 && its.uid() != 0 {
        fchown(file, Some(its.uid()), Some(its.gid()))?;
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, chown};

    use super::*;

    #[test]
    fn what_an_administrator_writes_belongs_to_whom_the_folder_belongs() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let (other, group) = (64_123, 64_124);
        // Only an administrator can make such a folder.
        if chown(folder.path(), Some(other), Some(group)).is_err() {
            return Ok(());
        }
        let path = folder.path().join("rescan.json");
        for bytes in [b"one", b"two"] {
            write(&path, bytes, true)?;
            let file = fs::metadata(&path)?;
            assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (other, group, 0o600));
        }
        Ok(())
    }
}
