//! What operators set.

use rusqlite::Connection;
use watchpost_proto::Message as _;
use watchpost_proto::v1::SettingEntry;

use crate::log_store::Entry;

pub(super) const TABLES: &str = "
    CREATE TABLE setting (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL,
        by TEXT NOT NULL,
        reason TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        log_index INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// The latest value counts. Returns the name of the setting.
pub(super) fn setting(db: &Connection, entry: &Entry) -> rusqlite::Result<String> {
    let Ok(said) = SettingEntry::decode(&entry.header[..]) else { return Ok(String::new()) };
    if said.value.is_empty() {
        db.execute("DELETE FROM setting WHERE name = ?1", [&said.name])?;
        return Ok(said.name);
    }
    db.prepare_cached("INSERT OR REPLACE INTO setting VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute((
        &said.name,
        &said.value,
        &said.by,
        &said.reason,
        said.at_ms,
        entry.log_index,
    ))?;
    Ok(said.name)
}
