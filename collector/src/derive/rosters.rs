//! What devices tell of rosters, and of accounts that are in none.

use rusqlite::Connection;
use watchpost_proto::v1::{RosterReport, UnknownAccounts};

use super::told::number;

pub(super) const TABLES: &str = "
    -- What became of the roster a device was offered last.
    CREATE TABLE IF NOT EXISTS roster_report (
        device INTEGER PRIMARY KEY,
        offered INTEGER NOT NULL,
        refused TEXT NOT NULL,
        in_force INTEGER NOT NULL,
        managed INTEGER NOT NULL,
        never INTEGER NOT NULL,
        received_ms INTEGER NOT NULL
    ) STRICT;
    -- Accounts that nobody knows, by device.
    CREATE TABLE IF NOT EXISTS unknown_account (
        corp TEXT NOT NULL,
        pseudonym TEXT NOT NULL,
        device INTEGER NOT NULL,
        messages INTEGER NOT NULL,
        first_day INTEGER NOT NULL,
        last_day INTEGER NOT NULL,
        PRIMARY KEY (corp, pseudonym, device)
    ) STRICT, WITHOUT ROWID;
";
/// Unknown accounts of one device that are kept.
const UNKNOWN_MAX: usize = 10_000;
/// Longest corporation and pseudonym that are kept, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// The latest counts.
pub(super) fn report(db: &Connection, (device, received_ms): (i64, i64), said: &RosterReport) -> rusqlite::Result<()> {
    let known = (number(said.version), number(said.in_force), number(said.managed), number(said.never));
    db.prepare_cached("INSERT OR REPLACE INTO roster_report VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute((
        device,
        known.0,
        &said.refused,
        known.1,
        known.2,
        known.3,
        received_ms,
    ))?;
    Ok(())
}

/// Counts add up: each telling is of what was read since the one before.
pub(super) fn unknown(db: &Connection, device: i64, said: &UnknownAccounts) -> rusqlite::Result<()> {
    let mut held = db.prepare_cached("SELECT count(*) FROM unknown_account WHERE device = ?1")?;
    if held.query_row([device], |row| row.get::<_, usize>(0))? >= UNKNOWN_MAX {
        return Ok(());
    }
    let mut insert = db.prepare_cached(
        "INSERT INTO unknown_account VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
         messages = min(messages + ?4, 1000000000000), first_day = min(first_day, ?5), last_day = max(last_day, ?6)",
    )?;
    for it in &said.accounts {
        if it.corp.len() <= NAME_BYTES_MAX && it.pseudonym.len() <= NAME_BYTES_MAX {
            let messages = number(it.messages).min(1_000_000_000_000);
            insert.execute((&it.corp, &it.pseudonym, device, messages, it.first_day, it.last_day))?;
        }
    }
    Ok(())
}
