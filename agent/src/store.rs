//! The device's one SQLite database: file progress, remembered messages, tallies, the ledger and the outbox commit
//! together, so that none of them can run ahead of another.
//!
//! A crash leaves exactly what the last commit held. An I/O error is fatal: after a failed sync the kernel may have
//! dropped pages, so the process ends and the next start verifies the chains. A full disk is not: the transaction
//! rolls back and the caller rests.

mod acknowledgements;
mod files;
mod ledger;
mod memory;
mod outbox;
mod private;
mod taken_back;
mod tallies;
mod unknown;
mod windows;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use watchpost_proto::keys::KeyError;
use watchpost_proto::segment::SealError;

pub use files::{FileCounts, FileKey, FileRow, FileState};
pub use ledger::{Disclosure, LedgerRow};
pub use memory::{Remembered, Seen};
pub use outbox::{Backlog, LaneState, MARK_BYTES, OutboxFault, Outgoing, SegmentRow, lane_name, mark, verify_chains};
pub use taken_back::TakenBack;
pub use tallies::{TallyDelta, TallyRow};
pub use unknown::UnknownRow;
pub use windows::{FolderId, RuleId, WindowGroup};

/// File name of the database inside the state folder.
pub const FILE_NAME: &str = "agent.db";
/// The bundled SQLite must be at least this one: earlier ones can corrupt a WAL that two connections checkpoint.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// How long a command waits for the daemon's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// The WAL is cut back to this size after a checkpoint, in bytes.
const WAL_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// What each version of the schema added, the first one first.
const SCHEMAS: [&[&str]; 6] = [
    &[files::SCHEMA, ledger::SCHEMA, outbox::SCHEMA, tallies::SCHEMA],
    &[windows::SCHEMA],
    &[files::SCHEMA_DONE],
    &[ledger::SCHEMA_MORE, acknowledgements::SCHEMA],
    &[taken_back::SCHEMA],
    &[unknown::SCHEMA],
];
/// Version of the schema, kept in `user_version`.
const SCHEMA: i32 = SCHEMAS.len() as i32;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full. Nothing was changed; rest and try again.
    #[error("the disk is full")]
    Full,
    /// The database was made by a later version of the agent.
    #[error("the database has schema {0}, which this version does not know; install the newer agent again")]
    Schema(i32),
    /// SQLite would not take a setting the promises rest on.
    #[error("SQLite did not take the setting {0}")]
    Setting(&'static str),
    /// The key did not sign. Nothing was changed; try again.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Others on this machine may read what only the agent may, and it cannot be changed from here.
    #[error(
        "{} can be read by other users of this machine and is not the agent's own; run chown on it for the agent's user, \
         and chmod {}", .0.display(), if .0.is_dir() { "700" } else { "600" }
    )]
    Exposed(PathBuf),
    /// Stored bytes do not have the shape they were written with.
    #[error("the database holds a malformed {0}")]
    Malformed(&'static str),
    /// Anything else from SQLite. The process must end.
    #[error("the database failed: {0}")]
    Database(rusqlite::Error),
}

impl StoreError {
    /// Whether the file itself is damaged, as opposed to a disk or a system that does not serve it now.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Malformed(_) => true,
            Self::Database(error) => {
                matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
            }
            _ => false,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            _ => Self::Database(error),
        }
    }
}

impl From<SealError> for StoreError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Key(error) => Self::Key(error),
            SealError::Size => Self::Malformed("record"),
            SealError::Recipient => Self::Setting("a key to encrypt to"),
        }
    }
}

/// The database, opened by the one process that writes it or read-only beside it.
pub struct Store {
    db: Mutex<Connection>,
    path: PathBuf,
    without_excerpts: AtomicBool,
}

/// One transaction. Everything done through it commits together or not at all.
pub struct Tx<'a>(Transaction<'a>, Excerpts);

/// Whether the ledger keeps what was sent of the text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Excerpts {
    Kept,
    Dropped,
}

impl Store {
    /// Opens or creates the database in a state folder.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE_NAME);
        private::keep(dir, FILE_NAME)?;
        let mut db = Connection::open(&path)?;
        prepare(&mut db)?;
        sync_folder(dir);
        Ok(Self { db: Mutex::new(db), path, without_excerpts: AtomicBool::new(false) })
    }

    /// Opens an existing database to look at it, while the agent may be running.
    pub fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE_NAME);
        let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        check_schema(&db)?;
        Ok(Self { db: Mutex::new(db), path, without_excerpts: AtomicBool::new(false) })
    }

    /// From now on the ledger goes without excerpts, and those that are there are let go of.
    pub fn go_without_excerpts(&self) -> Result<(), StoreError> {
        self.without_excerpts.store(true, Ordering::Relaxed);
        self.transaction(|tx| tx.forget_excerpts())
    }

    /// Where the database lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `act` in one transaction and commits it, durably, before returning.
    pub fn transaction<T>(&self, act: impl FnOnce(&Tx<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut db = self.lock();
        let tx = Tx(db.transaction_with_behavior(TransactionBehavior::Immediate)?, self.excerpts());
        let value = act(&tx)?;
        tx.0.commit()?;
        Ok(value)
    }

    /// Runs `look` on one consistent view of the database.
    pub fn read<T>(&self, look: impl FnOnce(&Tx<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut db = self.lock();
        let tx = Tx(db.transaction_with_behavior(TransactionBehavior::Deferred)?, self.excerpts());
        look(&tx)
    }

    /// Reads through the structure of every table; an error says that the file is damaged.
    pub fn check_structure(&self) -> Result<(), StoreError> {
        let verdict: String = self.lock().query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict == "ok" { Ok(()) } else { Err(StoreError::Malformed("table")) }
    }

    /// Moves the WAL into the database and cuts it back; for quiet moments. False where somebody reads and it cannot be.
    pub fn checkpoint(&self) -> Result<bool, StoreError> {
        let busy: bool = self.lock().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        Ok(!busy)
    }

    fn excerpts(&self) -> Excerpts {
        if self.without_excerpts.load(Ordering::Relaxed) { Excerpts::Dropped } else { Excerpts::Kept }
    }

    /// A panic while the lock was held rolled its transaction back, so the connection is sound.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tx<'_> {
    fn keeps_excerpts(&self) -> bool {
        self.1 == Excerpts::Kept
    }
}

fn prepare(db: &mut Connection) -> Result<(), StoreError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(StoreError::Setting("version 3.51.3 or later"));
    }
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(64);
    for (name, value) in [
        ("journal_mode", "wal"),
        ("synchronous", "full"),
        ("fullfsync", "1"),
        ("checkpoint_fullfsync", "1"),
        ("foreign_keys", "1"),
        ("trusted_schema", "0"),
        ("mmap_size", "0"),
        ("cache_size", "-2048"),
        // What is forgotten must not stay readable in free pages.
        ("secure_delete", "1"),
    ] {
        db.pragma_update(None, name, value)?;
    }
    db.pragma_update(None, "journal_size_limit", WAL_BYTES_MAX)?;
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    let synchronous: i32 = db.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Setting("journal_mode=WAL"));
    }
    if synchronous != 2 {
        return Err(StoreError::Setting("synchronous=FULL"));
    }
    create_schema(db)
}

fn check_schema(db: &Connection) -> Result<i32, StoreError> {
    let schema: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if schema > SCHEMA { Err(StoreError::Schema(schema)) } else { Ok(schema) }
}

fn create_schema(db: &mut Connection) -> Result<(), StoreError> {
    let present = check_schema(db)?;
    if present == SCHEMA {
        return Ok(());
    }
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for part in SCHEMAS.iter().skip(usize::try_from(present).unwrap_or(0)).copied().flatten() {
        tx.execute_batch(part)?;
    }
    tx.pragma_update(None, "user_version", SCHEMA)?;
    tx.commit()?;
    Ok(())
}

/// Whether a damaged database was ever set aside here.
pub fn was_set_aside(dir: &Path) -> bool {
    std::fs::read_dir(dir.join("set-aside")).is_ok_and(|mut entries| entries.next().is_some())
}

/// Makes the name of a new file in a folder durable. Best effort: some systems cannot sync a folder.
pub fn sync_folder(dir: &Path) {
    if let Ok(folder) = std::fs::File::open(dir) {
        let _ = folder.sync_all();
    }
}

/// Moves a damaged database, with its WAL, to a folder of its own beside it. Nothing is deleted.
pub fn set_aside(dir: &Path, at_ms: i64) -> std::io::Result<PathBuf> {
    let quarantine = dir.join("set-aside").join(at_ms.to_string());
    std::fs::create_dir_all(&quarantine)?;
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("{FILE_NAME}{suffix}");
        match std::fs::rename(dir.join(&name), quarantine.join(&name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    sync_folder(&quarantine);
    sync_folder(dir);
    Ok(quarantine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_fails_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let failed: Result<(), StoreError> = store.transaction(|tx| {
            tx.append(watchpost_proto::v1::Lane::Urgent, &[0; 20])?;
            Err(StoreError::Full)
        });
        assert!(matches!(failed, Err(StoreError::Full)));
        assert_eq!(store.read(|tx| tx.backlog()).unwrap().records(), 0);
    }

    #[test]
    fn a_database_of_an_earlier_version_gains_what_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let db = Connection::open(dir.path().join(FILE_NAME)).unwrap();
        SCHEMAS[0].iter().for_each(|part| db.execute_batch(part).unwrap());
        db.execute("INSERT INTO tally VALUES ('ww/li', 7, 1, 1, 0, 1, 0)", []).unwrap();
        db.pragma_update(None, "user_version", 1).unwrap();
        drop(db);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.read(|tx| tx.tallies_unreported(9)).unwrap().len(), 1);
        assert_eq!(store.read(|tx| tx.furthest_watermark()).unwrap(), 0);
        assert_eq!(check_schema(&store.lock()).unwrap(), SCHEMA);
    }

    #[test]
    fn a_database_of_a_later_version_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        Connection::open(dir.path().join(FILE_NAME)).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(Store::open(dir.path()), Err(StoreError::Schema(99))));
    }
}
