//! What operators did and looked at, for whoever audits them.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

use crate::derive::DeriveError;

/// Rows of one page.
pub const PAGE_MAX: u32 = 500;

/// One thing somebody did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Deed {
    /// Its entry in the log.
    pub log_index: u64,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// What: `signed-in`, `viewed`, `operator-grant`, `device-revoke` …
    pub verb: String,
    /// Who: a login name, a user of the collector's machine, or `collector`.
    pub by: String,
    /// With what: an alert, a device, an operator, a file.
    pub subject: String,
    /// Why, in their words.
    pub reason: String,
    /// Where from, where that is known.
    pub address: String,
    /// How many things it was about, or rows that were taken out.
    pub count: u64,
}

/// Which of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// By whom.
    pub by: Option<String>,
    /// Of this kind.
    pub verb: Option<String>,
    /// With this.
    pub subject: Option<String>,
    /// From this moment on, milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Before this entry of the log.
    pub before: Option<u64>,
}

/// What was done, the latest first, at most `limit`.
///
/// # Errors
/// The database.
pub fn list(db: &Connection, filter: &Filter, limit: u32) -> Result<Vec<Deed>, DeriveError> {
    let mut select = db.prepare_cached(
        "SELECT log_index, at_ms, verb, by, subject, reason, address, count FROM trail
         WHERE (?1 IS NULL OR by = ?1) AND (?2 IS NULL OR verb = ?2) AND (?3 IS NULL OR subject = ?3)
           AND at_ms >= coalesce(?4, at_ms) AND log_index < coalesce(?5, 9223372036854775807)
         ORDER BY log_index DESC LIMIT ?6",
    )?;
    let values = (&filter.by, &filter.verb, &filter.subject, filter.since_ms, filter.before, limit.min(PAGE_MAX));
    let rows = select.query_map(values, |row| {
        Ok(Deed {
            log_index: row.get(0)?,
            at_ms: row.get(1)?,
            verb: row.get(2)?,
            by: row.get(3)?,
            subject: row.get(4)?,
            reason: row.get(5)?,
            address: row.get(6)?,
            count: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
