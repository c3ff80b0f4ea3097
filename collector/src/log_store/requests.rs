//! Requests that were done, by their names: whoever asks again after a crash is told what was done and nothing is done twice.

use rusqlite::{Connection, OptionalExtension as _};

use super::StoreError;

/// Beside the log.
pub(super) const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS request (
        name TEXT PRIMARY KEY,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";
/// Longer than anybody waits for an answer.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// The entries that were made for a request; `None` where it was not done.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn done(db: &Connection, name: &str) -> Result<Option<Vec<u64>>, StoreError> {
    let found: Option<(u64, u64)> = db
        .prepare_cached("SELECT first, last FROM request WHERE name = ?1")?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.map(|(first, last)| (first..=last).collect()))
}

/// Notes in the group of these entries that a request was done.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn note(db: &Connection, name: &str, entries: &[u64], at_ms: i64) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
    db.prepare_cached("DELETE FROM request WHERE at_ms < ?1")?.execute([at_ms.saturating_sub(KEPT_MS)])?;
    db.prepare_cached("INSERT INTO request (name, first, last, at_ms) VALUES (?1, ?2, ?3, ?4)")?
        .execute((name, first, last, at_ms))?;
    Ok(())
}
