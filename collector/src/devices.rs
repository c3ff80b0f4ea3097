//! Devices as people see them.

pub mod detail;

use rusqlite::{Connection, OptionalExtension as _};
use schemars::JsonSchema;
use serde::Serialize;
use watchpost_proto::EpochId;
use watchpost_proto::v1::Lane;

use crate::alerts::device_name;
use crate::chain::lane_name;
use crate::derive::DeriveError;

/// A device as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Device {
    /// UUID.
    pub device: String,
    /// `active`, `quarantined` or `revoked`.
    pub state: &'static str,
    /// Why it was last put into or out of a state; empty where nobody ever did.
    pub reason: String,
    /// The policy group it enrolled into; empty where it did not enrol here.
    pub group: String,
    /// The site it enrolled into.
    pub site: String,
    /// As the device said when it enrolled.
    pub hostname: String,
    /// As the device said when it enrolled.
    pub asset: String,
    /// The device as which its asset has enrolled since; empty where none has.
    pub enrols_as: String,
    /// How often the log it was shown was another than the one it had seen, and how often not all of that was kept.
    pub log_changes: u64,
    /// See `log_changes`.
    pub log_losses: u64,
    /// When its latest certificate ends, milliseconds since 1970.
    pub certificate_ends_ms: Option<i64>,
    /// Whether it has connected with that one.
    pub certificate_proved: bool,
    /// Certificates it has had.
    pub certificates: u64,
    /// Of its most recent segment.
    pub agent_version: String,
    /// When its most recent segment arrived, milliseconds since 1970; none where none has.
    pub last_entry_ms: Option<i64>,
    /// Each lane in the epoch of its most recent segment.
    pub lanes: Vec<LaneOf>,
    /// Findings it holds; missing for those who do not look after devices, for one of them may be their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<u64>,
    /// Files it has reported.
    pub files: u64,
    /// Statements kept beside another for the same place.
    pub forks: u64,
    /// Loss records it has sent.
    pub losses: u64,
    /// Its folders of which exports are expected.
    pub feeds: Vec<FeedOf>,
    /// What it has told of the policy it was offered last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyOf>,
    /// What it has told of rosters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roster: Option<RosterOf>,
}

/// How a device stands with the policy it was offered last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PolicyOf {
    /// Its version.
    pub version: u64,
    /// Whether it is in force.
    pub applied: bool,
    /// Why not: the documented word, and a sentence.
    pub reason: String,
    /// See `reason`.
    pub detail: String,
    /// How long its rules took to compile on the device, milliseconds.
    pub compile_ms: u64,
}

/// How a device stands with the roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RosterOf {
    /// The version in force on it; 0 = none.
    pub version: u64,
    /// Accounts it managed when it said so.
    pub managed: u64,
    /// The version it was offered last, and the documented word for why it refused it; empty where it did not.
    pub offered: u64,
    /// See `offered`.
    pub refused: String,
}

/// A folder of a device, and how it stands with what is expected of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FeedOf {
    /// The corporation its exports belong to.
    pub corp: String,
    /// What is expected: `daily by 09:00`.
    pub expected: String,
    /// `fed` or `starved`.
    pub state: &'static str,
    /// Since when an export is missing, milliseconds since 1970.
    pub starved_ms: Option<i64>,
    /// When the newest export had come when the device told of it.
    pub last_export_ms: Option<i64>,
    /// From when on messages that no export has brought are gone from the archive for good.
    pub gone_from_ms: Option<i64>,
}

/// One lane of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LaneOf {
    /// `urgent` or `bulk`.
    pub lane: &'static str,
    /// Hexadecimal.
    pub epoch: String,
    /// Sequence expected next.
    pub next_seq: u64,
}

/// All devices, ordered by id; only the one with the id where one is given.
///
/// # Errors
/// The database.
pub fn list(db: &Connection, only: Option<&[u8]>) -> Result<Vec<Device>, DeriveError> {
    let mut statement = db.prepare(
        "SELECT id, device.device, quarantined, revoked, device.reason, agent_version, nullif(last_entry_ms, 0), findings,
                (SELECT count(*) FROM file_report WHERE file_report.device = device.id), forks,
                (SELECT count(*) FROM loss WHERE loss.device = device.id),
                coalesce(enrolment.grp, ''), coalesce(enrolment.site, ''), coalesce(enrolment.hostname, ''),
                coalesce(enrolment.asset, ''), certificate.not_after_ms, certificate.proved_ms IS NOT NULL,
                coalesce(certificate.issued, 0),
                (SELECT other.device FROM enrolment AS other
                 WHERE other.asset = enrolment.asset AND other.asset <> '' AND other.device <> device.device
                     AND other.at_ms > enrolment.at_ms ORDER BY other.at_ms DESC LIMIT 1),
                (SELECT count(*) FROM log_change WHERE log_change.device = device.id),
                (SELECT count(*) FROM log_change WHERE log_change.device = device.id AND NOT kept)
         FROM device
         LEFT JOIN certificate ON certificate.device = device.device
         LEFT JOIN enrolment ON enrolment.device = device.device AND enrolment.at_ms = (
             SELECT max(other.at_ms) FROM enrolment AS other WHERE other.device = device.device)
         WHERE ?1 IS NULL OR device.device = ?1 GROUP BY device.id ORDER BY device.device",
    )?;
    let mut rows = statement.query([only])?;
    let mut devices = Vec::new();
    while let Some(row) = rows.next()? {
        let bytes: Vec<u8> = row.get(1)?;
        devices.push(Device {
            device: device_name(&bytes),
            state: state(row.get(2)?, row.get(3)?),
            reason: row.get(4)?,
            agent_version: row.get(5)?,
            last_entry_ms: row.get(6)?,
            lanes: lanes(db, row.get(0)?)?,
            findings: row.get(7)?,
            files: row.get(8)?,
            forks: row.get(9)?,
            losses: row.get(10)?,
            feeds: feeds(db, row.get(0)?)?,
            policy: policy(db, row.get(0)?)?,
            roster: roster(db, row.get(0)?)?,
            group: row.get(11)?,
            site: row.get(12)?,
            hostname: row.get(13)?,
            asset: row.get(14)?,
            certificate_ends_ms: row.get(15)?,
            certificate_proved: row.get(16)?,
            certificates: row.get(17)?,
            enrols_as: row.get::<_, Option<Vec<u8>>>(18)?.map(|id| device_name(&id)).unwrap_or_default(),
            log_changes: row.get(19)?,
            log_losses: row.get(20)?,
        });
    }
    Ok(devices)
}

fn lanes(db: &Connection, device: i64) -> Result<Vec<LaneOf>, DeriveError> {
    let mut statement =
        db.prepare_cached("SELECT lane, epoch, next_sequence FROM lane WHERE device = ?1 ORDER BY lane")?;
    let rows = statement.query_map([device], |row| {
        let epoch: Vec<u8> = row.get(1)?;
        Ok(LaneOf {
            lane: lane_name(Lane::try_from(row.get::<_, i32>(0)?).unwrap_or(Lane::Unspecified)),
            epoch: EpochId::from_slice(&epoch).map(|epoch| epoch.to_string()).unwrap_or_default(),
            next_seq: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn policy(db: &Connection, device: i64) -> Result<Option<PolicyOf>, DeriveError> {
    let mut select =
        db.prepare_cached("SELECT version, applied, reason, detail, compile_ms FROM policy_report WHERE device = ?1")?;
    let row = select.query_row([device], |row| {
        Ok(PolicyOf {
            version: row.get(0)?,
            applied: row.get(1)?,
            reason: row.get(2)?,
            detail: row.get(3)?,
            compile_ms: row.get(4)?,
        })
    });
    Ok(row.optional()?)
}

fn roster(db: &Connection, device: i64) -> Result<Option<RosterOf>, DeriveError> {
    let mut statement =
        db.prepare_cached("SELECT in_force, managed, offered, refused FROM roster_report WHERE device = ?1")?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(RosterOf { version: row.get(0)?, managed: row.get(1)?, offered: row.get(2)?, refused: row.get(3)? })
    };
    Ok(statement.query_row([device], read).optional()?)
}

fn feeds(db: &Connection, device: i64) -> Result<Vec<FeedOf>, DeriveError> {
    let mut statement = db.prepare_cached(
        "SELECT corp, expected, nullif(starved_ms, 0), nullif(last_export_ms, 0), nullif(gone_from_ms, 0)
         FROM feed WHERE device = ?1 ORDER BY folder",
    )?;
    let rows = statement.query_map([device], |row| {
        let starved_ms: Option<i64> = row.get(2)?;
        Ok(FeedOf {
            corp: row.get(0)?,
            expected: row.get(1)?,
            state: if starved_ms.is_some() { "starved" } else { "fed" },
            starved_ms,
            last_export_ms: row.get(3)?,
            gone_from_ms: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn state(quarantined: bool, revoked: bool) -> &'static str {
    match (revoked, quarantined) {
        (true, _) => "revoked",
        (false, true) => "quarantined",
        (false, false) => "active",
    }
}

/// An account that looks like the company's own and is in no roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Unknown {
    /// The corporation of the exports.
    pub corp: String,
    /// Whoever it is.
    pub pseudonym: String,
    /// Messages read in which it took part, on the device that read most of them.
    pub messages: u64,
    /// UTC days of the first and the last, days since 1970.
    pub first_day: i64,
    /// See `first_day`.
    pub last_day: i64,
}

/// Accounts that nobody knows, the busiest first.
///
/// # Errors
/// The database.
pub fn unknown(db: &Connection) -> Result<Vec<Unknown>, DeriveError> {
    let mut statement = db.prepare(
        "SELECT corp, pseudonym, max(messages), min(first_day), max(last_day) FROM unknown_account
         JOIN device ON device.id = unknown_account.device WHERE NOT device.quarantined
         GROUP BY corp, pseudonym ORDER BY 3 DESC, pseudonym",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Unknown {
            corp: row.get(0)?,
            pseudonym: row.get(1)?,
            messages: row.get(2)?,
            first_day: row.get(3)?,
            last_day: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
