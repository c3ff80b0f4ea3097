//! Search: `search.db`, what findings are found by, and the questions asked of it.
//!
//! ```text
//! log ─► index (grams, place) ─► search.db ─► find ◄─ query ◄─ text a person types
//!                                              ▲
//!                                 derived.db ──┘ people, alerts
//! ```
//!
//! A file of its own beside `derived.db` with a follower of its own, so that indexing texts never slows deriving. Like it, the
//! file may be deleted at any time while no collector runs, and an erasure makes it anew: what was erased is gone from it at once.
//!
//! A finding has one **place**: the minute of its message (of its arrival, where that is unknown) and its turn in that minute. The
//! newest place is found first. Of several devices that hold a finding the first tells it.

pub mod find;
pub mod grams;
mod index;
mod kinds;
mod people;
mod plan;
pub mod query;
pub mod saved;
mod schema;
mod told;

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use tracing::{info, warn};

use crate::followed::{self, Follower};
use crate::log_store::{LogReader, StoreError};
use index::Index;

/// Bytes of payload after which a batch commits: its terms are kept in memory until then.
const BATCH_BYTES: usize = 16 * 1024 * 1024;
/// Entries after which a batch commits.
const BATCH_ENTRIES: usize = 16 * 1024;

/// Why nothing was found, or could not be looked for.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] StoreError),
    /// The database could not be written or read.
    #[error("search.db: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// What is derived could not be read.
    #[error(transparent)]
    Derived(#[from] crate::derive::DeriveError),
    /// The database could not be removed to be made anew.
    #[error("search.db: {0}")]
    File(#[from] io::Error),
    /// A log entry that cannot be; `log verify` says more.
    #[error("log entry {0} cannot be read; run log verify")]
    Entry(u64),
    /// Everything is being indexed anew, after an erasure or an update.
    #[error("search is being made anew, {done} of {of} entries are done; ask again shortly")]
    Anew {
        /// Entries applied.
        done: u64,
        /// Entries there were when it began.
        of: u64,
    },
    /// There is nothing to look at yet.
    #[error("{} does not exist; run serve first", .0.display())]
    Missing(PathBuf),
    /// What was asked cannot be answered so; the sentence says what to ask.
    #[error("{0}")]
    Told(String),
}

/// Puts a log into a database of its own.
#[derive(Debug)]
pub struct Indexer {
    path: PathBuf,
    log: LogReader,
    index: Index,
}

impl Indexer {
    /// Opens the database at `path`, or makes it. One that was made of another log, by another version of the tables, or of
    /// entries the log no longer has is made anew.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn open(path: &Path, log: LogReader) -> Result<Self, SearchError> {
        let size = log.count()?;
        let db = match schema::fitting(path, &log, size) {
            Ok(Some(db)) => db,
            Ok(None) => schema::make(path, &log)?,
            Err(SearchError::Sqlite(error)) if followed::is_damage(&error) => {
                warn!(%error, "search.db is made anew");
                schema::make(path, &log)?
            }
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), log, index: Index::new(db)? })
    }

    /// The number of entries applied so far.
    pub fn position(&self) -> u64 {
        self.index.position()
    }

    /// Applies the next batch of entries. False where there was none.
    ///
    /// # Errors
    /// [`SearchError`]; the batch is then taken back.
    pub fn step(&mut self) -> Result<bool, SearchError> {
        let Self { index, log, .. } = self;
        let from = index.position();
        let mut batch = index.begin()?;
        let (mut entries, mut bytes, mut undone) = (0, 0, false);
        log.entries(from, |entry| {
            undone = batch.is_undone_by(&entry);
            if undone {
                return Ok(false);
            }
            entries += 1;
            bytes += entry.payload.as_ref().map_or(0, Vec::len);
            batch.apply(&entry, log.connection())?;
            Ok::<_, SearchError>(entries < BATCH_ENTRIES && bytes < BATCH_BYTES)
        })?;
        if undone {
            drop(batch);
            return self.begin_anew();
        }
        if entries > 0 && batch.commit()? {
            index.forget()?;
        }
        Ok(entries > 0)
    }

    fn begin_anew(&mut self) -> Result<bool, SearchError> {
        info!("records were erased: search.db is made anew");
        // The old database is closed before its files are removed.
        self.index = Index::new(Connection::open_in_memory()?)?;
        self.index = Index::new(schema::make(&self.path, &self.log)?)?;
        Ok(true)
    }

    /// Applies everything the log holds.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn catch_up(&mut self) -> Result<(), SearchError> {
        while self.step()? {}
        Ok(())
    }
}

impl Follower for Indexer {
    type Error = SearchError;
    const WORDS: (&'static str, &'static str) = ("indexing", "indexed");

    fn open(path: &Path, log: LogReader) -> Result<Self, SearchError> {
        Self::open(path, log)
    }

    fn position(&self) -> u64 {
        self.position()
    }

    fn step(&mut self) -> Result<bool, SearchError> {
        self.step()
    }
}

/// Opens the database at `path` for reading.
///
/// # Errors
/// [`SearchError`].
pub fn open_read_only(path: &Path) -> Result<Connection, SearchError> {
    if !path.exists() {
        return Err(SearchError::Missing(path.to_owned()));
    }
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.set_prepared_statement_cache_capacity(64);
    let position = schema::read_position(&db)?.ok_or_else(|| SearchError::Missing(path.to_owned()))?;
    // Half of what there is would look like all of it.
    if position.next < position.began {
        return Err(SearchError::Anew { done: position.next, of: position.began });
    }
    Ok(db)
}
