//! Cases 案件 and suppressions 抑制 as people see them.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;
use watchpost_proto::v1::{CaseVerb, SuppressionKind};

use super::desk::outcome_name;
use super::device_name;
use crate::derive::DeriveError;
use crate::log_store::aside;

/// Alerts of one person that are dealt with together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Case {
    /// Its id, hexadecimal.
    pub case: String,
    /// `corp/userid`.
    pub person: String,
    /// What it is called; none where that was erased.
    pub title: Option<String>,
    /// Whether it is over.
    pub is_closed: bool,
    /// What came of it.
    pub outcome: Option<&'static str>,
    /// When it was opened, milliseconds since 1970.
    pub opened_ms: i64,
    /// Who opened it.
    pub opened_by: String,
    /// When it was closed.
    pub closed_ms: Option<i64>,
    /// Who closed it.
    pub closed_by: Option<String>,
    /// Ids of its alerts.
    pub alerts: Vec<String>,
    /// What was done, in order.
    pub steps: Vec<CaseHappened>,
}

/// A step with a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CaseHappened {
    /// Its entry in the log.
    pub entry: u64,
    /// `opened`, `linked`, `unlinked`, `noted`, `closed`, `reopened`.
    pub what: &'static str,
    /// Who did it.
    pub by: String,
    /// When.
    pub at_ms: i64,
    /// What was written.
    pub note: Option<String>,
}

/// All cases in the order they were opened, or one.
///
/// # Errors
/// Either database.
pub fn cases(db: &Connection, log: &Connection, only: Option<&[u8]>) -> Result<Vec<Case>, DeriveError> {
    let mut select = db.prepare(
        "SELECT id, case_id, person, title, outcome, opened_ms, opened_by, closed_ms, closed_by FROM alert_case
         WHERE ?1 IS NULL OR case_id = ?1 ORDER BY id",
    )?;
    let mut rows = select.query([only])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let (number, id): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let title: Option<Vec<u8>> = row.get(3)?;
        let closed_ms: Option<i64> = row.get(7)?;
        all.push(Case {
            case: hex::encode(id),
            person: row.get(2)?,
            title: title.as_deref().map(|named| aside::text(log, named)).transpose()?.flatten(),
            is_closed: closed_ms.is_some(),
            outcome: outcome_name(row.get(4)?),
            opened_ms: row.get(5)?,
            opened_by: row.get(6)?,
            closed_ms,
            closed_by: row.get(8)?,
            alerts: alerts_of(db, number)?,
            steps: steps_of(db, log, number)?,
        });
    }
    Ok(all)
}

fn alerts_of(db: &Connection, case: i64) -> Result<Vec<String>, DeriveError> {
    let mut select = db.prepare_cached("SELECT opened_by FROM alert WHERE case_id = ?1 ORDER BY id")?;
    let rows = select.query_map([case], |row| row.get::<_, Vec<u8>>(0).map(hex::encode))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn steps_of(db: &Connection, log: &Connection, case: i64) -> Result<Vec<CaseHappened>, DeriveError> {
    let mut select =
        db.prepare_cached("SELECT log_index, verb, by, at_ms, note FROM case_event WHERE case_id = ?1 ORDER BY id")?;
    let mut rows = select.query([case])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let named: Option<Vec<u8>> = row.get(4)?;
        all.push(CaseHappened {
            entry: row.get(0)?,
            what: match CaseVerb::try_from(row.get::<_, i32>(1)?) {
                Ok(CaseVerb::Open) => "opened",
                Ok(CaseVerb::Link) => "linked",
                Ok(CaseVerb::Unlink) => "unlinked",
                Ok(CaseVerb::Note) => "noted",
                Ok(CaseVerb::Close) => "closed",
                Ok(CaseVerb::Reopen) => "reopened",
                Ok(CaseVerb::Unspecified) | Err(_) => "",
            },
            by: row.get(2)?,
            at_ms: row.get(3)?,
            note: named.as_deref().map(|named| aside::text(log, named)).transpose()?.flatten(),
        });
    }
    Ok(all)
}

/// A suppression as it stands. What is empty covers any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Suppression {
    /// Its id, hexadecimal.
    pub suppression: String,
    /// `known` or `maintenance`.
    pub kind: &'static str,
    /// `coming`, `holds`, `over` or `ended`.
    pub state: &'static str,
    /// The pack.
    pub pack: String,
    /// The rule.
    pub rule: String,
    /// The account concerned.
    pub person: String,
    /// Their department.
    pub department: String,
    /// Their site.
    pub site: String,
    /// The device's UUID.
    pub device: String,
    /// When it begins, milliseconds since 1970.
    pub from_ms: i64,
    /// When it ends.
    pub until_ms: i64,
    /// Its owner.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Alerts it keeps out of the queue.
    pub alerts: u64,
}

/// All suppressions, the latest first.
///
/// # Errors
/// The database.
pub fn suppressions(db: &Connection, now_ms: i64) -> Result<Vec<Suppression>, DeriveError> {
    let mut select = db.prepare(
        "SELECT id, kind, pack, rule, person, department, site, device, from_ms, until_ms, by, reason, ended_ms,
             (SELECT count(*) FROM alert WHERE suppressed_by = suppression.id) FROM suppression ORDER BY at_ms DESC, id",
    )?;
    let rows = select.query_map([], |row| {
        let (from_ms, until_ms): (i64, i64) = (row.get(8)?, row.get(9)?);
        Ok(Suppression {
            suppression: hex::encode(row.get::<_, Vec<u8>>(0)?),
            kind: if row.get::<_, i32>(1)? == SuppressionKind::Maintenance as i32 { "maintenance" } else { "known" },
            state: match row.get::<_, Option<i64>>(12)? {
                Some(_) => "ended",
                None if now_ms < from_ms => "coming",
                None if now_ms < until_ms => "holds",
                None => "over",
            },
            pack: row.get(2)?,
            rule: row.get(3)?,
            person: row.get(4)?,
            department: row.get(5)?,
            site: row.get(6)?,
            device: device_name(&row.get::<_, Vec<u8>>(7)?),
            from_ms,
            until_ms,
            by: row.get(10)?,
            reason: row.get(11)?,
            alerts: row.get(13)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
