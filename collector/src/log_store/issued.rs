//! From when on the latest certificate of each device is valid: after a restore the certificates that were issued since the
//! backup come back in any order, and of a device that was told to come to a new key only the latest counts.

use rusqlite::{Connection, OptionalExtension as _};
use watchpost_proto::v1::KeyEvent;
use watchpost_proto::{Message as _, identity};

use super::StoreError;

pub(super) const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS issued (
        device BLOB PRIMARY KEY,
        -- First moment of its latest certificate, milliseconds since 1970.
        not_before_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// Notes from when on a certificate is valid that is the latest now.
pub(super) fn note(db: &Connection, event: &KeyEvent) -> Result<(), StoreError> {
    db.prepare_cached("INSERT OR REPLACE INTO issued (device, not_before_ms) VALUES (?1, ?2)")?
        .execute((&event.device, not_before_ms(event)))?;
    Ok(())
}

/// Whether a certificate that was seen is an earlier one than the latest of a device that was told to come to a new key.
pub(super) fn is_outdated(db: &Connection, event: &KeyEvent) -> Result<bool, StoreError> {
    let latest: Option<i64> = db
        .prepare_cached(
            "SELECT not_before_ms FROM issued JOIN rekey USING (device)
             WHERE device = ?1 AND rekey.key_id <> x'' AND NOT resets",
        )?
        .query_row([&event.device], |row| row.get(0))
        .optional()?;
    Ok(latest.is_some_and(|latest| not_before_ms(event) < latest))
}

/// Fills the table for the certificates there are: those of a log from before it was kept.
pub(super) fn fill(db: &Connection) -> Result<(), StoreError> {
    let mut latest = db.prepare("SELECT entry.header FROM certificate JOIN entry USING (log_index)")?;
    let mut rows = latest.query([])?;
    while let Some(row) = rows.next()? {
        let event = KeyEvent::decode(row.get_ref(0)?.as_blob().unwrap_or_default());
        note(db, &event.map_err(|_| StoreError::Damaged("a key event is malformed".into()))?)?;
    }
    Ok(())
}

/// What is no certificate is earlier than any.
fn not_before_ms(event: &KeyEvent) -> i64 {
    let validity = event.chain.first().and_then(|leaf| identity::validity_ms(leaf));
    validity.map_or(i64::MIN, |(not_before, _)| not_before)
}
