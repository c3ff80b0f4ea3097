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
    /// Where it stands among all: what is before it has lower numbers.
    #[serde(skip)]
    pub row: u64,
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
    /// Before this row.
    pub before: Option<u64>,
    /// Not what is about these.
    pub without: Hidden,
}

/// What whoever looks must not learn: what was done about themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// Their accounts.
    pub accounts: Vec<String>,
    /// Nobody can tell any more which are theirs: nothing that may be about a person is told.
    pub persons: bool,
}

/// What may be about a person.
const OF_PERSONS: &str = "verb GLOB 'alert-*' OR verb GLOB 'case-*' OR verb GLOB 'suppression-*' OR verb GLOB 'hold*'
     OR verb IN ('erase', 'viewed', 'exported', 'resolved', 'looked-up')";

/// Subjects that are about one of these accounts: their alerts, cases and suppressions.
const ABOUT: &str =
    "SELECT lower(hex(opened_by)) FROM alert WHERE person COLLATE NOCASE IN (SELECT value FROM json_each(?7))
     UNION ALL SELECT lower(hex(case_id)) FROM alert_case
         WHERE person COLLATE NOCASE IN (SELECT value FROM json_each(?7))
     UNION ALL SELECT lower(hex(id)) FROM suppression WHERE person COLLATE NOCASE IN (SELECT value FROM json_each(?7))";

/// What was done, the latest first, at most `limit`.
///
/// # Errors
/// The database.
pub fn list(db: &Connection, filter: &Filter, limit: u32) -> Result<Vec<Deed>, DeriveError> {
    let mut select = db.prepare_cached(&format!(
        "SELECT log_index, at_ms, verb, by, subject, reason, address, count, id FROM trail
         WHERE (?1 IS NULL OR by = ?1) AND (?2 IS NULL OR verb = ?2) AND (?3 IS NULL OR subject = ?3)
           AND at_ms >= coalesce(?4, at_ms) AND id < coalesce(?5, 9223372036854775807)
           AND (?7 IS NULL OR subject NOT IN ({ABOUT}))
           AND (?7 IS NULL OR NOT EXISTS (
               SELECT 1 FROM json_each(?7) WHERE instr(lower(trail.subject), lower(value)) > 0))
           AND NOT (?8 AND ({OF_PERSONS}))
         ORDER BY id DESC LIMIT ?6"
    ))?;
    let Hidden { accounts, persons } = &filter.without;
    let accounts = (!accounts.is_empty()).then(|| serde_json::Value::from(accounts.clone()).to_string());
    let Filter { by, verb, subject, since_ms, before, .. } = filter;
    let values = (by, verb, subject, since_ms, before, limit.min(PAGE_MAX), accounts, persons);
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
            row: row.get(8)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
