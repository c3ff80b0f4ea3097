//! The state folder and the database are nobody's but the agent's: they hold what waits to be sent and the ledger of what
//! was. Whatever the umask, and whatever was done to them between two starts, they are for their owner alone again before
//! the database is opened. On systems without Unix modes they inherit what the folder grants.

use std::path::Path;

use super::StoreError;

/// Makes the folder and the files of the database in it private; the database itself is made if it is not there, so that
/// it is never readable by others, not even for a moment. SQLite gives the files beside it the same rights.
#[cfg(unix)]
pub(super) fn keep(dir: &Path, name: &str) -> Result<(), StoreError> {
    use std::fs::OpenOptions;
    use std::os::unix::fs::OpenOptionsExt as _;

    restrict(dir, 0o700)?;
    let path = dir.join(name);
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    // What keeps it from being made keeps SQLite from opening it, which then says so.
    drop(made);
    for suffix in ["", "-wal", "-shm"] {
        restrict(&dir.join(format!("{name}{suffix}")), 0o600)?;
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn keep(_dir: &Path, _name: &str) -> Result<(), StoreError> {
    Ok(())
}

#[cfg(unix)]
fn restrict(path: &Path, mode: u32) -> Result<(), StoreError> {
    use std::fs::{Permissions, metadata, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    let Ok(present) = metadata(path) else { return Ok(()) };
    if present.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), "others could read this; it is the agent's alone from now on");
    set_permissions(path, Permissions::from_mode(mode)).map_err(|_| StoreError::Exposed(path.to_owned()))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use watchpost_proto::v1::Lane;

    use crate::store::{FILE_NAME, Store};

    fn modes(dir: &Path) -> Vec<u32> {
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let files = ["", "-wal", "-shm"].map(|suffix| dir.join(format!("{FILE_NAME}{suffix}")));
        std::iter::once(mode(dir)).chain(files.iter().map(|path| mode(path))).collect()
    }

    #[test]
    fn folder_database_and_what_lies_beside_it_are_private_again_at_every_start() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("state");
        std::fs::create_dir(&dir).unwrap();
        set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
        let store = Store::open(&dir).unwrap();
        store.transaction(|tx| tx.append(Lane::Urgent, &[0; 20])).unwrap();
        assert_eq!(modes(&dir), [0o700, 0o600, 0o600, 0o600]);
        // As after a crash, which leaves the files beside the database where they are.
        std::mem::forget(store);
        for name in [".", FILE_NAME, "agent.db-wal", "agent.db-shm"] {
            set_permissions(dir.join(name), Permissions::from_mode(0o777)).unwrap();
        }
        let store = Store::open(&dir).unwrap();
        assert_eq!(modes(&dir), [0o700, 0o600, 0o600, 0o600]);
        assert_eq!(store.read(|tx| tx.backlog()).unwrap().records(), 1);
    }
}
