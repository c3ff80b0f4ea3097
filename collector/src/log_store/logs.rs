//! The logs of one store, one after another: a collector that was restored ends the log it has and goes on in a successor.
//!
//! Entries are numbered through all of them, so that everything that was decided and every chain of a device goes on. Each
//! log has a tree of its own, whose first leaf is its first entry. The table is a fold over the entries that open logs and
//! those that tell what devices have shown; `log verify` derives it once more.

use rusqlite::{Connection, OptionalExtension as _};
use watchpost_proto::note::{self, Checkpoint};
use watchpost_proto::v1::{LogKey, LogOpened, LogShown};
use watchpost_proto::{LogId, Message as _};

use super::{LogName, StoreError, digest};

/// Levels set aside for the tree of each log in the table `node`: none is as high.
pub(super) const LEVELS: u32 = 64;

pub(super) const TABLE: &str = "
    -- Logs that have ended, from the first on.
    CREATE TABLE IF NOT EXISTS past_log (
        number INTEGER PRIMARY KEY,
        log_id BLOB NOT NULL,
        origin TEXT NOT NULL,
        -- Number of its first entry in the store, and how many it has.
        first INTEGER NOT NULL,
        size INTEGER NOT NULL,
        root BLOB NOT NULL,
        -- Its last head, signed by its own key.
        note TEXT NOT NULL,
        -- Entries of the largest of its heads that anybody has shown.
        highest INTEGER NOT NULL
    ) STRICT;
";

/// A log that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastLog {
    /// Counted from 0; the present log's number is how many there are.
    pub number: u32,
    /// Which log it was.
    pub name: LogName,
    /// Number of its first entry in the store.
    pub first: u64,
    /// Its last head.
    pub head: Checkpoint,
    /// The same, signed by its own key.
    pub note: String,
    /// Entries of the largest of its heads that is known: more than it has where the collector was restored.
    pub highest: u64,
    /// Its public key.
    pub public: [u8; 32],
}

impl PastLog {
    /// Number of the first entry after it.
    pub fn end(&self) -> u64 {
        self.first + self.head.size
    }

    /// Entries that are known to have been in it and are not here.
    pub fn lost(&self) -> u64 {
        self.highest.saturating_sub(self.head.size)
    }
}

/// The logs that have ended, from the first on.
///
/// # Errors
/// [`StoreError`].
pub fn past_logs(db: &Connection) -> Result<Vec<PastLog>, StoreError> {
    let mut statement =
        db.prepare("SELECT number, log_id, origin, first, size, root, note, highest FROM past_log ORDER BY number")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, root): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(5)?);
        let id = LogId::from_slice(&id).ok_or_else(|| StoreError::Damaged("a log id is not one".into()))?;
        let (origin, first): (String, u64) = (row.get(2)?, row.get(3)?);
        let head = Checkpoint { origin: origin.clone(), size: row.get(4)?, root: digest(&root)? };
        let public = log_key_at(db, first)?.ed25519.as_slice().try_into();
        found.push(PastLog {
            number: row.get(0)?,
            name: LogName { id, origin },
            first,
            head,
            note: row.get(6)?,
            highest: row.get(7)?,
            public: public.map_err(|_| StoreError::Damaged("a log key is not one".into()))?,
        });
    }
    Ok(found)
}

/// Number of the present log, and of its first entry.
pub(super) fn present(db: &Connection) -> Result<(u32, u64), StoreError> {
    let last = db
        .query_row("SELECT number + 1, first + size FROM past_log ORDER BY number DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    Ok(last.unwrap_or((0, 0)))
}

/// Number of the present log.
pub(crate) fn present_number(db: &Connection) -> Result<u32, StoreError> {
    Ok(present(db)?.0)
}

/// Number of the present log's first entry.
pub(crate) fn present_first(db: &Connection) -> Result<u64, StoreError> {
    Ok(present(db)?.1)
}

/// The log key that the entry `log_index` introduces. Whether it was signed is for `log verify` to say.
pub(crate) fn log_key_at(db: &Connection, log_index: u64) -> Result<LogKey, StoreError> {
    let damaged = || StoreError::Damaged(format!("entry {log_index} does not introduce a log's key"));
    let header: Option<Vec<u8>> = db
        .prepare_cached("SELECT header FROM entry WHERE log_index = ?1")?
        .query_row([log_index], |row| row.get(0))
        .optional()?;
    let opened = LogOpened::decode(&header.ok_or_else(damaged)?[..]).map_err(|_| damaged())?;
    LogKey::decode(&opened.log_key.ok_or_else(damaged)?.log_key[..]).map_err(|_| damaged())
}

/// A log begins: the one before it has ended.
pub(super) fn opened(db: &Connection, log_index: u64, entry: &LogOpened) -> Result<(), StoreError> {
    if log_index == 0 {
        return Ok(());
    }
    let malformed = || StoreError::Damaged(format!("entry {log_index} is malformed"));
    let signed = entry.log_key.as_ref().ok_or_else(malformed)?;
    let log_key = LogKey::decode(&signed.log_key[..]).map_err(|_| malformed())?;
    let id = LogId::from_slice(&log_key.previous_log_id).ok_or_else(malformed)?;
    let (number, first) = present(db)?;
    let size = log_index.checked_sub(first).ok_or_else(malformed)?;
    let origin = note::origin(&log_key.tenant, &id);
    let highest = note::read_unverified(&entry.highest).filter(|shown| shown.origin == origin);
    db.prepare_cached("INSERT INTO past_log VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute((
        number,
        &log_key.previous_log_id,
        &origin,
        first,
        size,
        &log_key.previous_root,
        &entry.closing,
        highest.map_or(size, |shown| shown.size.max(size)),
    ))?;
    Ok(())
}

/// More of a log was shown than is held of it.
pub(super) fn shown(db: &Connection, entry: &LogShown) -> Result<(), StoreError> {
    if let Some(shown) = note::read_unverified(&entry.checkpoint) {
        db.prepare_cached("UPDATE past_log SET highest = max(highest, ?1) WHERE origin = ?2")?
            .execute((shown.size, &shown.origin))?;
    }
    Ok(())
}
