//! `log.db`: the append-only log, its Merkle tree and the indexes ingest needs.
//!
//! One process appends (it holds the lock file), through one connection. An entry, its payload, its tree nodes and
//! the indexes commit in one transaction with `synchronous=FULL`; nothing is said to anyone before that commit. The
//! appender is fenced: every commit compares and swaps (term, size, root), so that a second appender, however it came
//! to be, cannot fork the tree.
//!
//! A collector that was restored goes on in a successor: `logs` tells how several logs share one store.

mod append;
pub mod aside;
pub mod check;
mod erase;
mod issued;
mod logs;
mod members;
pub(crate) mod named;
pub(crate) mod notifications;
mod operators;
mod policies;
mod read;
mod rekeys;
pub(crate) mod requests;
mod rosters;
mod schema;
mod shortfalls;
pub(crate) mod words;

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior};
use watchpost_proto::merkle::Frontier;
use watchpost_proto::note::{self, Checkpoint};
use watchpost_proto::v1::{EntryKind, LogOpened};
use watchpost_proto::{Digest, LogId, Message as _};

pub use append::{Appender, DeviceFacts, LaneState, Place};
pub(crate) use append::{device_facts, has_key, is_kept_fork, lane_state, latest_epoch, statement_at};
pub use logs::{PastLog, past_logs};
pub(crate) use logs::{log_key_at, present_first, present_number};
pub use members::{CertificateFacts, EnrolmentFacts, TokenFacts};
pub(crate) use members::{
    EXPECTED, asset_is_taken, certificate_facts, device_of_key, enrolment_facts, expected, expected_asset,
    expected_count, groups, has_enrolled, key_event, token_facts, waiting,
};
pub use notifications::NotificationFacts;
pub use operators::{OperatorFacts, OperatorTokenFacts};
pub(crate) use operators::{operator_facts, operator_names, operator_token, operator_tokens};
pub use policies::{EVERYBODY, Published, RINGS_MAX, RolloutFacts};
pub(crate) use policies::{latest, leading, policy, policy_version, published, rollouts};
pub use read::{Entry, LogReader};
pub(crate) use read::{devices, keys, node};
pub(crate) use rekeys::{rekey_facts, rekeyed};
pub use rosters::{LatestRoster, keep_rows, latest_roster, roster_headers, roster_of};
pub(crate) use rosters::{RosterRowAt, blank_person, names_person, roster_change};
pub(crate) use shortfalls::shortfall;
pub use words::WordState;

use crate::durable_file::{self, Access};

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room; nothing was written, and reading goes on.
    #[error("the disk is full")]
    Full,
    /// Another process, such as a tool that looks into the database, has held it for too long; nothing was written.
    #[error("log.db is held by another process")]
    Busy,
    /// SQLite failed. After a failed commit the kernel may have dropped what was not written: nothing may be
    /// acknowledged any more by this process.
    #[error("log.db: {0}")]
    Sqlite(#[source] rusqlite::Error),
    /// A file beside the database could not be written.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// Another process has appended.
    #[error("another process has written to log.db: only one collector may use a data folder")]
    Fenced,
    /// What is stored cannot be.
    #[error("log.db is damaged: {0}")]
    Damaged(String),
    /// The database belongs elsewhere or is of another version.
    #[error("log.db cannot be used: {0}")]
    Unfit(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Sqlite(error),
        }
    }
}

impl StoreError {
    /// Whether the store must not be used any further by this process.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::Full | Self::Busy)
    }
}

/// Which log this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogName {
    /// The log's random id.
    pub id: LogId,
    /// Its name on checkpoints.
    pub origin: String,
}

/// The log, opened for appending.
#[derive(Debug)]
pub struct LogStore {
    db: Connection,
    name: LogName,
    term: i64,
    /// Number of the log, and of its first entry in the store.
    place: (u32, u64),
    frontier: Frontier,
}

impl LogStore {
    /// Opens the log at `path` for appending. Where there is none it is made, and `introduce` gives its first entry
    /// for the new log's name.
    ///
    /// # Errors
    /// [`StoreError`]: a database that does not hold what it should, or the disk.
    pub fn open(
        path: &Path,
        tenant: &str,
        introduce: impl FnOnce(&LogName) -> Result<LogOpened, StoreError>,
    ) -> Result<Self, StoreError> {
        if !path.exists() {
            // SQLite does not make a new database's name durable; an empty file is a sound empty database.
            durable_file::write(path, b"", Access::Secret)?;
        }
        let mut db = Connection::open(path)?;
        schema::prepare(&mut db)?;
        if head_row(&db)?.is_none() {
            create_log(&mut db, tenant, introduce)?;
        }
        Self::take_over(db, tenant)
    }

    /// Which log this is.
    pub fn name(&self) -> &LogName {
        &self.name
    }

    /// The head of the tree as committed.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { origin: self.name.origin.clone(), size: self.frontier.size(), root: self.frontier.root() }
    }

    /// Begins a group of entries that commit together or not at all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin(&mut self) -> Result<Appender<'_>, StoreError> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        Ok(Appender::over(transaction, self.term, self.place, &mut self.frontier))
    }

    /// Ends this log and opens its successor, in one commit; `introduce` gives the first entry for the new log's name.
    ///
    /// # Errors
    /// [`StoreError`]; then this log goes on.
    pub fn succeed(
        self,
        tenant: &str,
        introduce: impl FnOnce(&LogName) -> Result<LogOpened, StoreError>,
    ) -> Result<Self, StoreError> {
        let Self { mut db, term, place: (number, first), frontier, .. } = self;
        let id = LogId(random()?);
        let name = LogName { origin: note::origin(tenant, &id), id };
        let header = introduce(&name)?.encode_to_vec();
        let mut tree = Frontier::default();
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let swapped = transaction.execute(
            "UPDATE head SET log_id = ?1, origin = ?2, size = 0, root = ?3 WHERE term = ?4 AND size = ?5 AND root = ?6",
            (name.id.to_vec(), &name.origin, tree.root().to_vec(), term, frontier.size(), frontier.root().to_vec()),
        )?;
        if swapped != 1 {
            return Err(StoreError::Fenced);
        }
        let place = (number + 1, first + frontier.size());
        let mut appender = Appender::over(transaction, term, place, &mut tree);
        appender.append(EntryKind::LogOpened, &header)?;
        appender.commit()?;
        Self::take_over(db, tenant)
    }

    /// The connection, for reading what was committed.
    pub fn connection(&self) -> &Connection {
        &self.db
    }

    /// Starts a new term and loads the right edge of the tree.
    fn take_over(db: Connection, tenant: &str) -> Result<Self, StoreError> {
        db.execute("UPDATE head SET term = term + 1", [])?;
        let head = head_row(&db)?.ok_or_else(|| StoreError::Damaged("it has no head".into()))?;
        if head.name.origin != note::origin(tenant, &head.name.id) {
            return Err(StoreError::Unfit(format!("it is the log {}, not one of tenant {tenant}", head.name.origin)));
        }
        let place = logs::present(&db)?;
        let frontier = Frontier::load(head.size, |level, index| read::node(&db, place.0, level, index))?;
        if frontier.root() != head.root {
            return Err(StoreError::Damaged("the tree does not lead to the head; run log verify".into()));
        }
        Ok(Self { db, name: head.name, term: head.term, place, frontier })
    }
}

struct HeadRow {
    name: LogName,
    size: u64,
    root: Digest,
    term: i64,
}

fn head_row(db: &Connection) -> Result<Option<HeadRow>, StoreError> {
    let row = db
        .query_row("SELECT log_id, origin, size, root, term FROM head", [], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get(2)?, row.get::<_, Vec<u8>>(3)?, row.get(4)?))
        })
        .optional()?;
    row.map(|(id, origin, size, root, term)| {
        let id = LogId::from_slice(&id).ok_or_else(|| StoreError::Damaged("the log id is not one".into()))?;
        let root = digest(&root)?;
        Ok(HeadRow { name: LogName { id, origin }, size, root, term })
    })
    .transpose()
}

/// Gives the log its id, its first entry and its head, all in one transaction.
fn create_log(
    db: &mut Connection,
    tenant: &str,
    introduce: impl FnOnce(&LogName) -> Result<LogOpened, StoreError>,
) -> Result<(), StoreError> {
    let id = LogId(random()?);
    let name = LogName { origin: note::origin(tenant, &id), id };
    let header = introduce(&name)?.encode_to_vec();
    let mut tree = Frontier::default();
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute(
        "INSERT INTO head (one, log_id, origin, size, root, term) VALUES (1, ?1, ?2, 0, ?3, 0)",
        (name.id.to_vec(), &name.origin, tree.root().to_vec()),
    )?;
    let mut appender = Appender::over(transaction, 0, (0, 0), &mut tree);
    appender.append(EntryKind::LogOpened, &header)?;
    appender.commit()
}

fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes)
}

fn digest(bytes: &[u8]) -> Result<Digest, StoreError> {
    Digest::from_slice(bytes).ok_or_else(|| StoreError::Damaged("a digest is not 32 bytes".into()))
}
