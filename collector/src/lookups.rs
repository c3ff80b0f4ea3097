//! Messages that somebody looked up where the exports are, as the devices tell it.

use rusqlite::Connection;
use serde::Serialize;

use crate::alerts::device_name;
use crate::derive::DeriveError;

/// One look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lookup {
    /// The archive host.
    pub device: String,
    /// The message that was asked for.
    pub msgid: String,
    /// The corporation of the folders looked through; empty where there are several.
    pub corp: String,
    /// Whether it was found.
    pub found: bool,
    /// The user of that host who asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, by the host's clock, milliseconds since 1970.
    pub at_ms: i64,
    /// When the collector heard of it.
    pub received_ms: i64,
}

/// Every look, the latest first, at most so many. A device that is quarantined tells them as well: a record of who looked is never hidden.
///
/// # Errors
/// The database.
pub fn list(derived: &Connection, limit: usize) -> Result<Vec<Lookup>, DeriveError> {
    let mut select = derived.prepare_cached(
        "SELECT device.device, msgid, corp, found, by, lookup.reason, at_ms, received_ms
         FROM lookup JOIN device ON device.id = lookup.device ORDER BY log_index DESC, ordinal DESC LIMIT ?1",
    )?;
    let rows = select.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok(Lookup {
            device: device_name(row.get_ref(0)?.as_blob().unwrap_or_default()),
            msgid: row.get(1)?,
            corp: row.get(2)?,
            found: row.get(3)?,
            by: row.get(4)?,
            reason: row.get(5)?,
            at_ms: row.get(6)?,
            received_ms: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
