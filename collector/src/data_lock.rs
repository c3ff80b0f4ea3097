//! One appender per data folder, whether it serves or carries out a single command.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use anyhow::Context as _;

use crate::durable_file::{self, Access};

/// The right to append to a data folder; given up when dropped, also by a crash.
#[derive(Debug)]
pub struct DataLock(#[expect(dead_code, reason = "held, not read")] File);

impl DataLock {
    /// Takes the lock. `None` where another process holds it.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn take(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        durable_file::create_folder(data_dir, Access::Secret)?;
        let path = data_dir.join("log.lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| path.display().to_string())?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
        }
    }
}
