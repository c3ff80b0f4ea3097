//! Alerts: findings of live rules, grouped for a person to deal with by rule, person concerned and day.
//!
//! An alert's id is the finding that opened it, the first in log order; it never changes. An alert is seen while
//! any of its findings is, and a finding is seen while a device holds it that is not quarantined.

use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;
use watchpost_proto::v1::{Channel, Finding, Hit, Level, RuleStatus, Summary, summary};
use watchpost_proto::{DeviceId, Message as _};

use crate::derive::DeriveError;

mod window;

pub use window::WindowView;

/// An alert as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// Id: the finding that opened it, hexadecimal.
    pub alert: String,
    /// The pack of the rule.
    pub pack: String,
    /// The rule.
    pub rule: String,
    /// The highest level among its findings.
    pub level: &'static str,
    /// The rule's category.
    pub category: String,
    /// The account concerned.
    pub person: String,
    /// Day at +08:00.
    pub day: String,
    /// Findings seen.
    pub findings: u64,
    /// Time of the oldest message, milliseconds since 1970; none where no message has one.
    pub first_msgtime: Option<i64>,
    /// Time of the newest message.
    pub last_msgtime: Option<i64>,
    /// Devices that hold one of the findings.
    pub devices: Vec<String>,
    /// `open`.
    pub state: &'static str,
}

/// One finding of an alert, as the first of its devices tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Hexadecimal.
    pub finding_id: String,
    /// The archive's message id.
    pub msgid: String,
    /// Milliseconds since 1970; none where unknown.
    pub msgtime: Option<i64>,
    /// Own account or pseudonym.
    pub from: String,
    /// Receivers, at most fifty.
    pub to: Vec<String>,
    /// Pseudonym of the room, or empty.
    pub room: String,
    /// The archive's message type.
    pub msgtype: String,
    /// As far as the rule and the device disclose it.
    pub excerpt: String,
    /// The device that tells it.
    pub device: String,
    /// What was found in it and how, as many as the record lists.
    pub hits: Vec<ItemHit>,
    /// The window it is about, where it is about one; message, time, sender and room are then those of its first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowView>,
}

/// One hit of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ItemHit {
    /// The selection of the rule.
    pub selection: String,
    /// The dictionary word; empty where nothing is disclosed.
    pub word: String,
    /// Where it stands: field and characters, end exclusive.
    pub field: String,
    /// First character.
    pub start: u32,
    /// Behind the last character.
    pub end: u32,
    /// How it was recognised: `exact`, `folded`, `skipped`, `alias`, `split`, `pinyin`; `unknown` in old records.
    pub channel: &'static str,
    /// Whether hidden characters stand inside.
    pub obfuscated: bool,
}

/// A finding people may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VisibleFinding {
    /// Hexadecimal.
    pub finding_id: String,
    /// The pack of the rule.
    pub pack: String,
    /// The rule.
    pub rule: String,
    /// `live` or `shadow`.
    pub status: &'static str,
    /// The archive's message id.
    pub msgid: String,
    /// The window it is about, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowView>,
    /// Devices that hold it and are not quarantined.
    pub devices: Vec<String>,
}

const ALERTS: &str = "
    SELECT alert.opened_by, pack, rule, category, person, day, max(level), count(DISTINCT finding),
           min(nullif(msgtime_ms, 0)), max(nullif(msgtime_ms, 0)), group_concat(DISTINCT hex(device.device))
    FROM observation
    JOIN device ON device.id = observation.device
    JOIN alert ON alert.id = observation.alert
    WHERE observation.alert IS NOT NULL AND NOT device.quarantined";

/// Hands every alert to `take`, in the order they were opened.
///
/// # Errors
/// The database, or what `take` returned.
pub fn list<E: From<DeriveError>>(db: &Connection, mut take: impl FnMut(Alert) -> Result<(), E>) -> Result<(), E> {
    let text = format!("{ALERTS} GROUP BY observation.alert ORDER BY observation.alert");
    let mut statement = db.prepare(&text).map_err(DeriveError::from)?;
    let mut rows = statement.query([]).map_err(DeriveError::from)?;
    while let Some(row) = rows.next().map_err(DeriveError::from)? {
        take(read_alert(row).map_err(DeriveError::from)?)?;
    }
    Ok(())
}

/// The alert with this id, if it can be seen.
///
/// # Errors
/// The database.
pub fn find(db: &Connection, id: &[u8]) -> Result<Option<Alert>, DeriveError> {
    let text = format!("{ALERTS} AND alert.opened_by = ?1 GROUP BY observation.alert");
    Ok(db.query_row(&text, [id], read_alert).optional()?)
}

/// The findings of an alert that can be seen, in the order they were first told.
///
/// # Errors
/// The database.
pub fn items(db: &Connection, id: &[u8]) -> Result<Vec<Item>, DeriveError> {
    let mut statement = db.prepare(
        "SELECT device.device, summary, min(device.id)
         FROM alert
         JOIN observation ON observation.alert = alert.id
         JOIN device ON device.id = observation.device
         JOIN record ON record.id = observation.record
         WHERE alert.opened_by = ?1 AND NOT device.quarantined
         GROUP BY observation.finding ORDER BY observation.finding",
    )?;
    let rows = statement.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.map(|row| Ok(read_item(row?))).collect()
}

/// Hands every finding that can be seen to `take`, in the order they were first told.
///
/// # Errors
/// The database, or what `take` returned.
pub fn findings<E: From<DeriveError>>(
    db: &Connection,
    mut take: impl FnMut(VisibleFinding) -> Result<(), E>,
) -> Result<(), E> {
    let mut statement = db
        .prepare(
            "SELECT group_concat(hex(device.device)), summary, min(device.id)
             FROM observation
             JOIN device ON device.id = observation.device
                 JOIN record ON record.id = observation.record
             WHERE NOT device.quarantined AND NOT withdrawn
             GROUP BY observation.finding ORDER BY observation.finding",
        )
        .map_err(DeriveError::from)?;
    let mut rows = statement.query([]).map_err(DeriveError::from)?;
    while let Some(row) = rows.next().map_err(DeriveError::from)? {
        take(read_visible(row).map_err(DeriveError::from)?)?;
    }
    Ok(())
}

fn read_alert(row: &rusqlite::Row<'_>) -> rusqlite::Result<Alert> {
    let id: Vec<u8> = row.get(0)?;
    Ok(Alert {
        alert: hex::encode(id),
        pack: row.get(1)?,
        rule: row.get(2)?,
        category: row.get(3)?,
        person: row.get(4)?,
        day: row.get(5)?,
        level: level_name(row.get(6)?),
        findings: row.get(7)?,
        first_msgtime: row.get(8)?,
        last_msgtime: row.get(9)?,
        devices: device_names(&row.get::<_, String>(10)?),
        state: "open",
    })
}

fn read_item((device, bytes): (Vec<u8>, Vec<u8>)) -> Item {
    item_of(&device, finding_of(&bytes))
}

/// A finding as the device tells it.
pub(crate) fn item_of(device: &[u8], finding: Finding) -> Item {
    Item {
        finding_id: hex::encode(finding.finding_id),
        msgid: finding.msgid,
        msgtime: Some(finding.msgtime_ms).filter(|at| *at != 0),
        from: finding.from,
        to: finding.to,
        room: finding.room,
        msgtype: finding.msgtype,
        excerpt: finding.excerpt,
        device: device_name(device),
        hits: finding.hits.into_iter().map(read_hit).collect(),
        window: finding.window.map(WindowView::of),
    }
}

fn read_hit(hit: Hit) -> ItemHit {
    ItemHit {
        channel: channel_name(hit.channel),
        selection: hit.selection,
        word: hit.word,
        field: hit.field,
        start: hit.start,
        end: hit.end,
        obfuscated: hit.obfuscated,
    }
}

fn channel_name(channel: i32) -> &'static str {
    match Channel::try_from(channel) {
        Ok(Channel::Exact) => "exact",
        Ok(Channel::Folded) => "folded",
        Ok(Channel::Skipped) => "skipped",
        Ok(Channel::Alias) => "alias",
        Ok(Channel::Split) => "split",
        Ok(Channel::Pinyin) => "pinyin",
        Ok(Channel::Unspecified) | Err(_) => "unknown",
    }
}

fn read_visible(row: &rusqlite::Row<'_>) -> rusqlite::Result<VisibleFinding> {
    let finding = finding_of(row.get_ref(1)?.as_blob().unwrap_or_default());
    Ok(VisibleFinding {
        finding_id: hex::encode(&finding.finding_id),
        status: if finding.status() == RuleStatus::Live { "live" } else { "shadow" },
        pack: finding.pack,
        rule: finding.rule,
        msgid: finding.msgid,
        window: finding.window.map(WindowView::of),
        devices: device_names(&row.get::<_, String>(0)?),
    })
}

/// Only summaries that decoded to a finding are stored as observations.
fn finding_of(summary: &[u8]) -> Finding {
    match Summary::decode(summary).map(|summary| summary.kind) {
        Ok(Some(summary::Kind::Finding(finding))) => finding,
        _ => Finding::default(),
    }
}

fn device_names(joined: &str) -> Vec<String> {
    let mut names: Vec<String> =
        joined.split(',').filter_map(DeviceId::from_hex).map(|device| device.to_string()).collect();
    names.sort_unstable();
    names
}

/// A device's UUID from its bytes.
pub(crate) fn device_name(bytes: &[u8]) -> String {
    DeviceId::from_slice(bytes).map(|device| device.to_string()).unwrap_or_default()
}

/// The word for a level.
pub fn level_name(level: i32) -> &'static str {
    match Level::try_from(level) {
        Ok(Level::Info) => "info",
        Ok(Level::Low) => "low",
        Ok(Level::Medium) => "medium",
        Ok(Level::High) => "high",
        Ok(Level::Critical) => "critical",
        Ok(Level::Unspecified) | Err(_) => "unknown",
    }
}
