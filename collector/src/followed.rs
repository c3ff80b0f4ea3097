//! What every database that is made from the log has in common: a file that may be thrown away, and a follower that keeps it at
//! the head of the log.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::ErrorCode;
use tokio::sync::watch;
use tracing::{error, info};

use crate::durable_file::{self, Access};
use crate::log_store::{LogReader, StoreError};
use crate::sequencer::Published;

/// Pause after a failure, a full disk most likely. The log goes on meanwhile.
const PAUSE: Duration = Duration::from_secs(5);

/// Something that is made from the log, entry by entry.
pub trait Follower: Sized + Send + 'static {
    /// Why nothing was applied.
    type Error: Display + From<StoreError> + Send + 'static;
    /// What it does, and what then is done, as log lines say it.
    const WORDS: (&'static str, &'static str);

    /// Opens the database at `path`, or makes it.
    ///
    /// # Errors
    /// The log or the database.
    fn open(path: &Path, log: LogReader) -> Result<Self, Self::Error>;

    /// The number of entries applied so far.
    fn position(&self) -> u64;

    /// Applies the next batch of entries. False where there was none.
    ///
    /// # Errors
    /// The log or the database; the batch is then taken back.
    fn step(&mut self) -> Result<bool, Self::Error>;
}

/// Follows the log until its writer has ended, and applies what it wrote last. `told` hears of the entries applied.
pub async fn follow<F: Follower>(
    log: PathBuf,
    own: PathBuf,
    mut published: watch::Receiver<Arc<Published>>,
    told: impl Fn(u64),
) {
    let (doing, done) = F::WORDS;
    let mut follower: Option<F> = None;
    loop {
        // Before reading: what is committed meanwhile wakes the follower again.
        let ended = published.has_changed().is_err();
        published.mark_unchanged();
        let (log, own) = (log.clone(), own.clone());
        let stepped = match tokio::task::spawn_blocking(move || step(follower, &log, &own)).await {
            Ok(stepped) => stepped,
            Err(ended) => {
                // A bug must not end in a collector that receipts and shows nothing; else the runtime is going down.
                if ended.is_panic() {
                    error!("{doing} has panicked; the collector ends");
                    std::process::exit(1);
                }
                return;
            }
        };
        let more;
        (follower, more) = match stepped {
            Ok((follower, more)) => {
                told(follower.position());
                (Some(follower), more)
            }
            Err(failure) => {
                error!(error = %failure, "nothing {done}");
                tokio::time::sleep(PAUSE).await;
                (None, true)
            }
        };
        if ended && !more {
            return;
        }
        if !more {
            // An error says that the writer has ended: one more round takes what it wrote last.
            let _ = published.changed().await;
        }
    }
}

fn step<F: Follower>(follower: Option<F>, log: &Path, own: &Path) -> Result<(F, bool), F::Error> {
    let mut follower = match follower {
        Some(follower) => follower,
        None => {
            let follower = F::open(own, LogReader::open(log)?)?;
            info!(position = follower.position(), "{}", F::WORDS.0);
            follower
        }
    };
    let more = follower.step()?;
    Ok((follower, more))
}

/// Whether a database is not what it was, rather than not served now: a disk or a system that does not serve it is no reason to
/// throw it away.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    // An unreadable shape, such as a missing table or another type in a column, is damage too.
    !matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::CannotOpen
                | ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
        )
    )
}

/// Removes the database at `path`, and makes an empty file that is the owner's alone: texts of messages come into it, or what
/// they can be guessed from.
pub(crate) fn empty_file(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    durable_file::write(path, b"", Access::Secret)
}
