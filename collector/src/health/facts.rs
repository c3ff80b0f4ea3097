//! What is derived of a device and bears on its health.

use rusqlite::Connection;
use watchpost_proto::Message as _;
use watchpost_proto::v1::{GoodbyeCause, SelfCheck, Summary, summary};

use crate::alerts::device_name;
use crate::derive::DeriveError;

/// What is derived of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// UUID.
    pub device: String,
    /// Whether it is shut out.
    pub revoked: bool,
    /// When its first and its most recent segment arrived, milliseconds since 1970.
    pub first_entry_ms: Option<i64>,
    /// See `first_entry_ms`.
    pub last_entry_ms: Option<i64>,
    /// When a finding came from it last.
    pub last_finding_ms: Option<i64>,
    /// Its latest self-check.
    pub check: Option<CheckOf>,
    /// Its goodbye, until it is over.
    pub goodbye: Option<GoodbyeOf>,
    /// Its folders to which exports do not come.
    pub starved: Vec<StarvedOf>,
    /// The device as which its asset has enrolled since.
    pub enrols_as: Option<String>,
}

/// A self-check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckOf {
    /// When it arrived, milliseconds since 1970.
    pub received_ms: i64,
    /// Whether the synthetic export did not come through, and where it stopped.
    pub failed: bool,
    /// See `failed`.
    pub reason: String,
    /// Folders that cannot be read, and the words for why.
    pub unreadable: u32,
    /// See `unreadable`.
    pub why: Vec<String>,
    /// When one arrived last that came through, 0 for never, and under which policy, hexadecimal.
    pub passed_ms: i64,
    /// See `passed_ms`.
    pub passed_policy: String,
}

/// A device's last word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoodbyeOf {
    /// Why it ended.
    pub cause: GoodbyeCause,
    /// When, by its own clock, milliseconds since 1970.
    pub at_ms: i64,
}

/// A folder to which exports do not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StarvedOf {
    /// Its corporation.
    pub corp: String,
    /// What is expected.
    pub expected: String,
    /// Since when an export is missing, milliseconds since 1970.
    pub since_ms: i64,
}

/// The facts of all devices, ordered by id; only of the one with the id where one is given.
///
/// # Errors
/// The database.
pub fn facts(db: &Connection, only: Option<&[u8]>) -> Result<Vec<Facts>, DeriveError> {
    let mut statement = db.prepare(
        "SELECT device.id, device.device, revoked, nullif(first_entry_ms, 0), nullif(last_entry_ms, 0),
                nullif(last_finding_ms, 0), self_check.received_ms, self_check.failed, self_check.reason,
                self_check.summary, self_check.passed_ms, self_check.passed_policy, goodbye.cause, goodbye.at_ms,
                (SELECT other.device FROM enrolment JOIN enrolment AS other ON other.asset = enrolment.asset
                 WHERE enrolment.device = device.device AND other.asset <> '' AND other.device <> device.device
                     AND other.at_ms > enrolment.at_ms ORDER BY other.at_ms DESC LIMIT 1)
         FROM device LEFT JOIN self_check ON self_check.device = device.id
                     LEFT JOIN goodbye ON goodbye.device = device.id
         WHERE ?1 IS NULL OR device.device = ?1 ORDER BY device.device",
    )?;
    let mut rows = statement.query([only])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let bytes: Vec<u8> = row.get(1)?;
        found.push(Facts {
            device: device_name(&bytes),
            revoked: row.get(2)?,
            first_entry_ms: row.get(3)?,
            last_entry_ms: row.get(4)?,
            last_finding_ms: row.get(5)?,
            check: check(row)?,
            goodbye: goodbye(row.get(12)?, row.get(13)?),
            starved: starved(db, row.get(0)?)?,
            enrols_as: row.get::<_, Option<Vec<u8>>>(14)?.map(|id| device_name(&id)),
        });
    }
    Ok(found)
}

fn check(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<CheckOf>> {
    let Some(received_ms) = row.get(6)? else { return Ok(None) };
    let (bytes, policy): (Vec<u8>, Vec<u8>) = (row.get(9)?, row.get(11)?);
    let told = match Summary::decode(&bytes[..]) {
        Ok(Summary { kind: Some(summary::Kind::SelfCheck(told)), .. }) => told,
        _ => SelfCheck::default(),
    };
    let mut why: Vec<String> =
        told.folders.into_iter().map(|folder| folder.unreadable).filter(|word| !word.is_empty()).collect();
    why.sort();
    why.dedup();
    Ok(Some(CheckOf {
        received_ms,
        failed: row.get(7)?,
        reason: row.get(8)?,
        unreadable: told.folders_unreadable,
        why,
        passed_ms: row.get(10)?,
        passed_policy: hex::encode(policy),
    }))
}

fn goodbye(cause: Option<i32>, at_ms: Option<i64>) -> Option<GoodbyeOf> {
    let cause = GoodbyeCause::try_from(cause?).unwrap_or(GoodbyeCause::Unspecified);
    Some(GoodbyeOf { cause, at_ms: at_ms? })
}

fn starved(db: &Connection, device: i64) -> rusqlite::Result<Vec<StarvedOf>> {
    let mut statement = db.prepare_cached(
        "SELECT corp, expected, starved_ms FROM feed WHERE device = ?1 AND starved_ms <> 0 ORDER BY starved_ms, folder",
    )?;
    let rows = statement
        .query_map([device], |row| Ok(StarvedOf { corp: row.get(0)?, expected: row.get(1)?, since_ms: row.get(2)? }))?;
    rows.collect()
}
