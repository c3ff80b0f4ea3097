//! `derived.db`: everything people look at, as a pure function of the log.
//!
//! One follower reads the entries of `log.db` in order and commits its position together with what it derived, so
//! that nothing is ever applied twice or left out. The file may be deleted at any time while no collector runs: it
//! is then derived again. It is never attached to the log's connection.

mod apply;
mod desk;
pub(crate) mod grouping;
mod line;
mod lookups;
mod members;
mod people;
mod rosters;
mod schema;
mod suppression;
mod told;
mod trail;
pub(crate) mod work;

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use tracing::{info, warn};

use crate::followed::{self, Follower};
use crate::log_store::{LogReader, StoreError};
use apply::Applier;

/// Bytes of payload after which a batch commits. Finding ids come in no order, so that each touches another page of
/// their index: in a large batch many share a page, and it is written once. Who is at the head of the log commits
/// small ones.
const BATCH_BYTES: usize = 32 * 1024 * 1024;
/// Entries after which a batch commits.
const BATCH_ENTRIES: usize = 16 * 1024;

/// Why nothing could be derived.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] StoreError),
    /// The derived database could not be written or read.
    #[error("derived.db: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The derived database could not be removed to be made anew.
    #[error("derived.db: {0}")]
    File(#[from] io::Error),
    /// A log entry that cannot be; `log verify` says more.
    #[error("log entry {0} cannot be read; run log verify")]
    Entry(u64),
    /// Everything is being derived anew, after an erasure or an update.
    #[error("everything is being derived anew, {done} of {of} entries are done; ask again shortly")]
    Anew {
        /// Entries applied.
        done: u64,
        /// Entries there were when it began.
        of: u64,
    },
    /// There is nothing to look at yet.
    #[error("{} does not exist; run serve first", .0.display())]
    Missing(PathBuf),
}

/// Derives from a log into a database of its own.
#[derive(Debug)]
pub struct Deriver {
    path: PathBuf,
    log: LogReader,
    applier: Applier,
}

impl Deriver {
    /// Opens the derived database at `path`, or makes it. One that was derived from another log, by another version
    /// of the tables, or from entries the log no longer has is made anew.
    ///
    /// # Errors
    /// [`DeriveError`].
    pub fn open(path: &Path, log: LogReader) -> Result<Self, DeriveError> {
        let size = log.count()?;
        let db = match fitting(path, &log, size) {
            Ok(Some(db)) => db,
            Ok(None) => make(path, &log)?,
            Err(DeriveError::Sqlite(error)) if followed::is_damage(&error) => {
                warn!(%error, "derived.db is made anew");
                make(path, &log)?
            }
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), log, applier: Applier::new(db)? })
    }

    /// The number of entries applied so far.
    pub fn position(&self) -> u64 {
        self.applier.position()
    }

    /// Applies the next batch of entries. False where there was none.
    ///
    /// An erasure takes back what was derived from the records it names, as if they had never come. Only deriving anew
    /// gives exactly that, and the records are gone from the file at once.
    ///
    /// # Errors
    /// [`DeriveError`]; the batch is then taken back.
    pub fn step(&mut self) -> Result<bool, DeriveError> {
        let from = self.applier.position();
        let mut batch = self.applier.begin()?;
        let (mut entries, mut bytes, mut undone) = (0, 0, false);
        self.log.entries(from, |entry| {
            undone = batch.is_undone_by(&entry);
            if undone {
                return Ok(false);
            }
            entries += 1;
            bytes += entry.payload.as_ref().map_or(0, Vec::len);
            batch.apply(&entry, &self.log)?;
            Ok::<_, DeriveError>(entries < BATCH_ENTRIES && bytes < BATCH_BYTES)
        })?;
        if undone {
            drop(batch);
            return self.begin_anew();
        }
        if entries > 0 {
            batch.commit()?;
        }
        Ok(entries > 0)
    }

    fn begin_anew(&mut self) -> Result<bool, DeriveError> {
        info!("records were erased: derived.db is made anew");
        // The old database is closed before its files are removed.
        self.applier = Applier::new(Connection::open_in_memory()?)?;
        self.applier = Applier::new(make(&self.path, &self.log)?)?;
        Ok(true)
    }

    /// Applies everything the log holds.
    ///
    /// # Errors
    /// [`DeriveError`].
    pub fn catch_up(&mut self) -> Result<(), DeriveError> {
        while self.step()? {}
        Ok(())
    }
}

impl Follower for Deriver {
    type Error = DeriveError;
    const WORDS: (&'static str, &'static str) = ("deriving", "derived");

    fn open(path: &Path, log: LogReader) -> Result<Self, DeriveError> {
        Self::open(path, log)
    }

    fn position(&self) -> u64 {
        self.position()
    }

    fn step(&mut self) -> Result<bool, DeriveError> {
        self.step()
    }
}

/// Opens the derived database at `path` for reading.
///
/// # Errors
/// [`DeriveError`].
pub fn open_read_only(path: &Path) -> Result<Connection, DeriveError> {
    if !path.exists() {
        return Err(DeriveError::Missing(path.to_owned()));
    }
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    // The file is there a moment before its tables are.
    let position = schema::read_position(&db)?.ok_or_else(|| DeriveError::Missing(path.to_owned()))?;
    // Half of what there is would look like all of it.
    if position.next < position.began {
        return Err(DeriveError::Anew { done: position.next, of: position.began });
    }
    Ok(db)
}

/// Entries applied so far.
///
/// # Errors
/// [`DeriveError`].
pub fn position(db: &Connection) -> Result<u64, DeriveError> {
    Ok(schema::read_position(db)?.map_or(0, |position| position.next))
}

/// The database at `path`, if it continues to fit the log.
fn fitting(path: &Path, log: &LogReader, size: u64) -> Result<Option<Connection>, DeriveError> {
    if !path.exists() {
        return Ok(None);
    }
    let db = Connection::open(path)?;
    schema::settings(&db)?;
    let fits =
        schema::read_position(&db)?.is_some_and(|position| position.log_id == log.name().id.0 && position.next <= size);
    Ok(fits.then_some(db))
}

/// Removes what is at `path` and makes an empty database for the log.
fn make(path: &Path, log: &LogReader) -> Result<Connection, DeriveError> {
    followed::empty_file(path)?;
    let mut db = Connection::open(path)?;
    schema::settings(&db)?;
    schema::create(&mut db, &log.name().id, log.count()?)?;
    Ok(db)
}
