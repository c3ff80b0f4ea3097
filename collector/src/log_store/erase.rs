//! Taking records out of the store, in the transaction of the entry that says so.

use rusqlite::OptionalExtension as _;
use watchpost_proto::record;
use watchpost_proto::v1::ErasedRecords;

use super::{Appender, LogStore, StoreError};

impl Appender<'_> {
    /// Replaces records by their leaf hashes, because the entry `erasure` says so.
    ///
    /// # Errors
    /// [`StoreError`]; the group must then be dropped.
    pub fn erase(&self, records: &ErasedRecords, erasure: u64) -> Result<(), StoreError> {
        let db = self.connection();
        let payload: Option<Vec<u8>> = db
            .prepare_cached("SELECT bytes FROM payload WHERE log_index = ?1")?
            .query_row([records.log_index], |row| row.get(0))
            .optional()?;
        let damaged = || StoreError::Damaged(format!("the records of entry {} cannot be read", records.log_index));
        let payload = payload.ok_or_else(damaged)?;
        let gone = |place: usize| u32::try_from(place).is_ok_and(|place| records.places.binary_search(&place).is_ok());
        let left = record::erase(&payload, gone).map_err(|_| damaged())?;
        db.prepare_cached("UPDATE payload SET bytes = ?1 WHERE log_index = ?2")?.execute((left, records.log_index))?;
        let mut insert = db.prepare_cached("INSERT INTO erased (log_index, place, erasure) VALUES (?1, ?2, ?3)")?;
        for place in &records.places {
            insert.execute((records.log_index, place, erasure))?;
        }
        Ok(())
    }
}

impl LogStore {
    /// Overwrites what the write-ahead log still has of erased records. Where a reader is in the way the next
    /// checkpoint does it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget(&self) -> Result<(), StoreError> {
        self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}
