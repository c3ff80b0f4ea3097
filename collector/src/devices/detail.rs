//! One device closely: its machine, its exports, what it lost, what it said last.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};
use schemars::JsonSchema;
use serde::Serialize;
use watchpost_proto::Message as _;
use watchpost_proto::v1::{FileReport, FileState, Loss, Summary, summary};

use crate::derive::DeriveError;

/// Reports of files that are looked at.
const REPORTS_MAX: u32 = 5_000;
/// Files shown, and losses.
const SHOWN: usize = 50;

/// What more is known of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Detail {
    /// The machine it runs on, as it told last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posture: Option<PostureOf>,
    /// Exports by how they stand: `waiting`, `reading`, `done`, `set-aside`.
    pub exports: BTreeMap<&'static str, u64>,
    /// Those set aside, by the documented reason.
    pub set_aside: BTreeMap<String, u64>,
    /// The latest exports, those set aside first; at most 50.
    pub latest: Vec<ExportOf>,
    /// The latest self-check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckShown>,
    /// What it has said is lost, the latest first; at most 50.
    pub lost: Vec<LossOf>,
    /// When the log it was shown was another than before, the latest first.
    pub log_seen: Vec<LogSeen>,
    /// When it enrolled, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enrolled_ms: Option<i64>,
    /// From which address.
    pub enrolled_from: String,
    /// What of the policy it was offered it has compiled: rules.
    pub rules: u64,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PostureOf {
    /// Its system.
    pub os: String,
    /// Memory the agent holds, bytes.
    pub memory_bytes: u64,
    /// Bytes free where the agent keeps its state.
    pub disk_free_bytes: u64,
    /// When it said so, milliseconds since 1970.
    pub received_ms: i64,
}

/// An export, without its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ExportOf {
    /// The corporation.
    pub corp: String,
    /// `waiting`, `reading`, `done` or `set-aside`.
    pub state: &'static str,
    /// The documented reason where it was set aside.
    pub reason: String,
    /// Its size.
    pub bytes: u64,
    /// Messages in it.
    pub messages: u64,
    /// Lines that could not be read whole.
    pub defects: u64,
    /// Its newest message, milliseconds since 1970; none where nobody knows.
    pub newest_ms: Option<i64>,
    /// When the device said so, by its clock.
    pub told_ms: i64,
}

/// A self-check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckShown {
    /// When it came, milliseconds since 1970.
    pub received_ms: i64,
    /// Whether it did not come through, and where it stopped.
    pub failed: bool,
    /// See `failed`.
    pub reason: String,
    /// When one came through last; none for never.
    pub passed_ms: Option<i64>,
    /// Folders, and how many of them cannot be read.
    pub folders: u32,
    /// See `folders`.
    pub unreadable: u32,
}

/// Something that could not be kept or read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LossOf {
    /// The documented reason.
    pub reason: String,
    /// How much, 0 for unknown, and of what.
    pub count: u64,
    /// See `count`.
    pub unit: String,
    /// When the device said so, by its clock, milliseconds since 1970.
    pub told_ms: i64,
}

/// The log was another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LogSeen {
    /// When it told, milliseconds since 1970.
    pub received_ms: i64,
    /// A collector has introduced the new one.
    pub introduced: bool,
    /// All that the device had seen is in it.
    pub kept: bool,
}

/// What more is known of the device with this id.
///
/// # Errors
/// The database.
pub fn of(db: &Connection, device: &[u8]) -> Result<Detail, DeriveError> {
    let id: Option<i64> =
        db.query_row("SELECT id FROM device WHERE device = ?1", [device], |row| row.get(0)).optional()?;
    let Some(id) = id else { return Ok(Detail::default()) };
    let (enrolled_ms, enrolled_from) = enrolled(db, device)?;
    let (latest, set_aside) = latest(db, id)?;
    Ok(Detail {
        posture: posture(db, id)?,
        exports: counts(db, id)?,
        set_aside,
        latest,
        check: check(db, id)?,
        lost: lost(db, id)?,
        log_seen: log_seen(db, id)?,
        enrolled_ms,
        enrolled_from,
        rules: db
            .query_row("SELECT rules FROM policy_report WHERE device = ?1 AND applied", [id], |row| row.get(0))
            .optional()?
            .unwrap_or(0),
    })
}

fn posture(db: &Connection, id: i64) -> Result<Option<PostureOf>, DeriveError> {
    let mut select =
        db.prepare_cached("SELECT os, memory_bytes, disk_free_bytes, received_ms FROM posture WHERE device = ?1")?;
    let row = select.query_row([id], |row| {
        Ok(PostureOf {
            os: row.get(0)?,
            memory_bytes: row.get(1)?,
            disk_free_bytes: row.get(2)?,
            received_ms: row.get(3)?,
        })
    });
    Ok(row.optional()?)
}

fn state_name(number: i32) -> &'static str {
    match FileState::try_from(number) {
        Ok(FileState::Waiting) => "waiting",
        Ok(FileState::Reading) => "reading",
        Ok(FileState::Done) => "done",
        Ok(FileState::SetAside) => "set-aside",
        _ => "unknown",
    }
}

fn counts(db: &Connection, id: i64) -> Result<BTreeMap<&'static str, u64>, DeriveError> {
    let mut select = db.prepare_cached("SELECT state, count(*) FROM file_report WHERE device = ?1 GROUP BY state")?;
    let rows = select.query_map([id], |row| Ok((state_name(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The latest exports, and how often each reason set one aside.
fn latest(db: &Connection, id: i64) -> Result<(Vec<ExportOf>, BTreeMap<String, u64>), DeriveError> {
    let aside = FileState::SetAside as i32;
    let mut select =
        db.prepare_cached("SELECT summary FROM file_report WHERE device = ?1 ORDER BY state = ?2 DESC LIMIT ?3")?;
    let rows = select.query_map((id, aside, REPORTS_MAX), |row| row.get::<_, Vec<u8>>(0))?;
    let mut all = Vec::new();
    for row in rows {
        all.extend(export_of(&row?));
    }
    let mut reasons = BTreeMap::new();
    for export in all.iter().filter(|export| export.state == "set-aside") {
        *reasons.entry(export.reason.clone()).or_insert(0) += 1;
    }
    all.sort_by_key(|export| (export.state != "set-aside", std::cmp::Reverse(export.told_ms)));
    all.truncate(SHOWN);
    Ok((all, reasons))
}

fn export_of(bytes: &[u8]) -> Option<ExportOf> {
    let summary = Summary::decode(bytes).ok()?;
    let Some(summary::Kind::FileReport(report)) = summary.kind else { return None };
    let FileReport { corp, state, reason, bytes, messages, defects, last_ms, .. } = report;
    Some(ExportOf {
        corp,
        state: state_name(state),
        reason,
        bytes,
        messages,
        defects: defects.values().sum(),
        newest_ms: Some(last_ms).filter(|ms| *ms > 0),
        told_ms: summary.made_at_ms,
    })
}

fn check(db: &Connection, id: i64) -> Result<Option<CheckShown>, DeriveError> {
    let mut select = db.prepare_cached(
        "SELECT received_ms, failed, reason, nullif(passed_ms, 0), summary FROM self_check WHERE device = ?1",
    )?;
    let row = select.query_row([id], |row| {
        let bytes: Vec<u8> = row.get(4)?;
        let told = match Summary::decode(&bytes[..]).map(|summary| summary.kind) {
            Ok(Some(summary::Kind::SelfCheck(told))) => told,
            _ => Default::default(),
        };
        Ok(CheckShown {
            received_ms: row.get(0)?,
            failed: row.get(1)?,
            reason: row.get(2)?,
            passed_ms: row.get(3)?,
            folders: told.folders_total,
            unreadable: told.folders_unreadable,
        })
    });
    Ok(row.optional()?)
}

fn lost(db: &Connection, id: i64) -> Result<Vec<LossOf>, DeriveError> {
    let mut select = db.prepare_cached(
        "SELECT reason, summary FROM loss WHERE device = ?1 ORDER BY log_index DESC, ordinal DESC LIMIT ?2",
    )?;
    let rows = select.query_map((id, SHOWN), |row| {
        let bytes: Vec<u8> = row.get(1)?;
        let summary = Summary::decode(&bytes[..]).unwrap_or_default();
        let told = match summary.kind {
            Some(summary::Kind::Loss(told)) => told,
            _ => Loss::default(),
        };
        Ok(LossOf { reason: row.get(0)?, count: told.count, unit: told.unit, told_ms: summary.made_at_ms })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn log_seen(db: &Connection, id: i64) -> Result<Vec<LogSeen>, DeriveError> {
    let mut select = db.prepare_cached(
        "SELECT received_ms, introduced, kept FROM log_change WHERE device = ?1 ORDER BY log_index DESC LIMIT ?2",
    )?;
    let rows = select.query_map((id, SHOWN), |row| {
        Ok(LogSeen { received_ms: row.get(0)?, introduced: row.get(1)?, kept: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn enrolled(db: &Connection, device: &[u8]) -> Result<(Option<i64>, String), DeriveError> {
    let mut select =
        db.prepare_cached("SELECT at_ms, address FROM enrolment WHERE device = ?1 ORDER BY at_ms DESC LIMIT 1")?;
    let row = select.query_row([device], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(row.map_or((None, String::new()), |(at_ms, address)| (Some(at_ms), address)))
}
