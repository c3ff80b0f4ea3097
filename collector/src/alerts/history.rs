//! What became of an alert, step by step.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

use crate::derive::DeriveError;
use crate::log_store::aside;

/// Something that became of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Happened {
    /// Its entry in the log.
    pub entry: u64,
    /// `opened`, `suppressed`, `raised`, `withdrawn`, `reopened` by itself; `taken`, `assigned`, `put-back`, `noted`, `closed`,
    /// `reopened`, `appealed`, `granted`, `denied`, `step`, `escalated` by somebody.
    pub what: String,
    /// Who did it; empty where nobody did.
    pub by: String,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Who is to deal with it, where that was said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub assignee: String,
    /// How it ended, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<String>,
    /// The step of the playbook, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// What was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Something was written, and has been erased.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub note_erased: bool,
}

/// All of it in order. `log` is a connection to the log, beside which texts lie.
///
/// # Errors
/// Either database.
pub fn history(db: &Connection, log: &Connection, alert: &[u8]) -> Result<Vec<Happened>, DeriveError> {
    let mut select = db.prepare_cached(
        "SELECT alert_event.log_index, verb, by, at_ms, alert_event.assignee, alert_event.ending, step, note
         FROM alert_event JOIN alert ON alert.id = alert_event.alert WHERE opened_by = ?1 ORDER BY alert_event.id",
    )?;
    let mut rows = select.query([alert])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let named: Option<Vec<u8>> = row.get(7)?;
        let note = named.as_deref().map(|named| aside::text(log, named)).transpose()?.flatten();
        all.push(Happened {
            entry: row.get(0)?,
            what: row.get(1)?,
            by: row.get(2)?,
            at_ms: row.get(3)?,
            assignee: row.get(4)?,
            ending: row.get(5)?,
            step: Some(row.get(6)?).filter(|step| *step != 0),
            note_erased: named.is_some() && note.is_none(),
            note,
        });
    }
    Ok(all)
}
