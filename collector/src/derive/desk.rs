//! What operators set, and what they looked at.

use rusqlite::Connection;
use watchpost_proto::Message as _;
use watchpost_proto::v1::{AccessEntry, SettingEntry};

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
    -- Who came in, and who looked at what is not everybody's.
    CREATE TABLE access (
        log_index INTEGER PRIMARY KEY,
        -- An AccessVerb.
        verb INTEGER NOT NULL,
        by TEXT NOT NULL,
        subject TEXT NOT NULL,
        reason TEXT NOT NULL,
        address TEXT NOT NULL,
        rows INTEGER NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX access_by ON access (by);
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

pub(super) fn access(db: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let Ok(said) = AccessEntry::decode(&entry.header[..]) else { return Ok(()) };
    db.prepare_cached("INSERT INTO access VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute((
        entry.log_index,
        said.verb,
        &said.by,
        &said.subject,
        &said.reason,
        &said.address,
        i64::try_from(said.rows).unwrap_or(i64::MAX),
        said.at_ms,
    ))?;
    Ok(())
}
