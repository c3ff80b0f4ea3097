//! Alerts: findings of live rules, grouped for a person to deal with by rule, person concerned and day.
//!
//! An alert's id is the finding that opened it, the first in log order; it never changes. An alert is seen while
//! any of its findings is, and a finding is seen while a device holds it that is not quarantined; one that somebody has
//! touched stays when devices take its findings back. What becomes of it: [`work`]. Until when: [`crate::clocks`].

use rusqlite::{Connection, OptionalExtension as _};
use schemars::JsonSchema;
use serde::Serialize;
use watchpost_proto::v1::{Channel, Disclose, Finding, Hit, Level, RuleStatus, Summary, summary};
use watchpost_proto::{DeviceId, Message as _};

use crate::derive::DeriveError;
use crate::derive::work::read_work;

mod cases;
mod counts;
pub mod delegate;
pub mod desk;
mod history;
mod marks;
mod precision;
mod queue;
mod window;
pub mod work;

pub use cases::{Case, CaseHappened, Suppression, cases, suppressions};
pub use counts::{Arrived, Named, Unclosed, arrived, unclosed};
pub use history::{Happened, history};
pub use marks::{marks, pieces};
pub use precision::{Precision, precision};
pub use queue::{Cursor, Filter, Group, Order, Standing, groups, page, pick, standing};
pub use window::WindowView;

/// An alert as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
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
    /// Their department by the roster; empty where it knows none.
    pub department: String,
    /// Their site by the roster, else that of the device.
    pub site: String,
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
    /// `open`, `taken` or `closed`.
    pub state: &'static str,
    /// Who is to deal with it; may be empty.
    pub assignee: String,
    /// How it ended: `confirmed`, `false-alarm`, `duplicate`, `rule-withdrawn`, `withdrawn`.
    pub ending: Option<&'static str>,
    /// The alert it is a duplicate of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<String>,
    /// When its first finding arrived that is seen, milliseconds since 1970.
    pub opened_ms: i64,
    /// From the message to that moment, milliseconds; none where the message has no time.
    pub age_ms: Option<i64>,
    /// Why it came late, where it did: `site-offline` or `export-late`.
    pub late: Option<&'static str>,
    /// From when its clocks run.
    pub clock_ms: i64,
    /// Until when somebody has to take it; none where no clock runs.
    pub take_by_ms: Option<i64>,
    /// Until when it has to be dealt with.
    pub close_by_ms: Option<i64>,
    /// When somebody took it.
    pub taken_ms: Option<i64>,
    /// When it was closed.
    pub closed_ms: Option<i64>,
    /// Who closed it last.
    pub closed_by: String,
    /// How often it was opened again.
    pub reopened: u32,
    /// Findings that came after it was closed.
    pub fresh: u64,
    /// An objection of the person concerned: `open`, `granted`, `denied`.
    pub appeal: Option<&'static str>,
    /// Steps of the playbook that are done, from 1.
    pub steps_done: Vec<u32>,
    /// When it went to whoever stands above.
    pub escalated_ms: Option<i64>,
    /// The suppression that keeps it out of the queue.
    pub suppressed_by: Option<String>,
    /// The case it is part of.
    pub case: Option<String>,
}

impl Alert {
    /// What is late at a moment: `take` or `close`; nothing once it is closed.
    #[must_use]
    pub fn overdue(&self, now_ms: i64) -> Option<&'static str> {
        let is_past = |by: Option<i64>| by.is_some_and(|by| by < now_ms);
        match self.state {
            "closed" => None,
            _ if is_past(self.close_by_ms) => Some("close"),
            _ if self.taken_ms.is_none() && is_past(self.take_by_ms) => Some("take"),
            _ => None,
        }
    }
}

/// One finding of an alert, as the first of its devices tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
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
    /// How far that was: `none`, `masked` or `context`.
    pub disclose: &'static str,
    /// The device that tells it.
    pub device: String,
    /// What was found in it and how, as many as the record lists.
    pub hits: Vec<ItemHit>,
    /// The window it is about, where it is about one; message, time, sender and room are then those of its first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowView>,
}

/// One hit of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
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

/// Columns of an alert, as [`read_alert`] reads them.
const ALERTS: &str = "
    SELECT opened_by, pack, rule, category, alert.person, day, level, findings, first_msgtime_ms, last_msgtime_ms,
           (SELECT group_concat(DISTINCT hex(device.device)) FROM observation JOIN device ON device.id = observation.device
            WHERE observation.alert = alert.id AND NOT device.quarantined),
           department, site, opened_ms, sealed_ms, opened_msgtime_ms, take_by_ms, close_by_ms, suppressed_by,
           (SELECT alert_case.case_id FROM alert_case WHERE alert_case.id = alert.case_id), duplicate_of,
           state, assignee, ending, closed_by, closed_ms, clock_ms, taken_ms, touched, reopened, fresh, appeal, steps,
           escalated_ms
    FROM alert WHERE (findings > 0 OR (touched AND hidden = 0))";

/// A device that sealed it this long before it came was without a line.
const OFFLINE_MS: i64 = 10 * 60_000;
/// A message this old when it came was exported late.
const LATE_MS: i64 = 60 * 60_000;

/// Hands every alert that can be seen to `take`, in the order they were opened.
///
/// # Errors
/// The database, or what `take` returned.
pub fn list<E: From<DeriveError>>(db: &Connection, mut take: impl FnMut(Alert) -> Result<(), E>) -> Result<(), E> {
    let mut statement = db.prepare(&format!("{ALERTS} ORDER BY alert.id")).map_err(DeriveError::from)?;
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
    Ok(db.prepare_cached(&format!("{ALERTS} AND alert.opened_by = ?1"))?.query_row([id], read_alert).optional()?)
}

/// The name of whoever an account belonged to at a moment, by the roster; empty where it knows none.
///
/// # Errors
/// The database.
pub fn name_of(db: &Connection, account: &str, at_ms: i64) -> Result<String, DeriveError> {
    let text = "SELECT name FROM person WHERE account = ?1
        ORDER BY from_ms > ?2, iif(from_ms > ?2, from_ms, -from_ms) LIMIT 1";
    Ok(db.prepare_cached(text)?.query_row((account, at_ms), |row| row.get(0)).optional()?.unwrap_or_default())
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
    let hex_of = |at: usize| row.get::<_, Option<Vec<u8>>>(at).map(|bytes| bytes.map(hex::encode));
    let time = |at: usize| row.get::<_, i64>(at).map(|ms| Some(ms).filter(|ms| *ms != 0));
    let (opened_ms, sealed_ms): (i64, i64) = (row.get(13)?, row.get(14)?);
    let age_ms = time(15)?.map(|msgtime_ms| opened_ms.saturating_sub(msgtime_ms).max(0));
    let late = match age_ms {
        _ if sealed_ms != 0 && opened_ms.saturating_sub(sealed_ms) > OFFLINE_MS => Some("site-offline"),
        Some(age_ms) if age_ms > LATE_MS => Some("export-late"),
        _ => None,
    };
    let work = read_work(row, 21)?;
    let is_closed = work.state == work::State::Closed;
    Ok(Alert {
        alert: hex_of(0)?.unwrap_or_default(),
        pack: row.get(1)?,
        rule: row.get(2)?,
        category: row.get(3)?,
        person: row.get(4)?,
        day: row.get(5)?,
        level: level_name(row.get(6)?),
        findings: row.get(7)?,
        first_msgtime: time(8)?,
        last_msgtime: time(9)?,
        devices: row.get::<_, Option<String>>(10)?.as_deref().map(device_names).unwrap_or_default(),
        department: row.get(11)?,
        site: row.get(12)?,
        state: work.state.as_str(),
        ending: work.ending.filter(|_| is_closed).map(work::Ending::as_str),
        duplicate_of: hex_of(20)?.filter(|_| work.ending == Some(work::Ending::Duplicate) && is_closed),
        opened_ms,
        age_ms,
        late,
        clock_ms: work.clock_ms,
        take_by_ms: row.get(16)?,
        close_by_ms: row.get(17)?,
        taken_ms: work.taken_ms,
        closed_ms: work.closed_ms,
        closed_by: work.closed_by,
        reopened: work.reopened,
        fresh: work.fresh,
        appeal: work.appeal.map(work::Appeal::as_str),
        steps_done: (1..=work::STEPS_MAX).filter(|step| work.steps & (1 << (step - 1)) != 0).collect(),
        escalated_ms: work.escalated_ms,
        assignee: work.assignee,
        suppressed_by: hex_of(18)?,
        case: hex_of(19)?,
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
        disclose: disclosed(finding.disclose),
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

fn disclosed(degree: i32) -> &'static str {
    match Disclose::try_from(degree) {
        Ok(Disclose::Context) => "context",
        Ok(Disclose::Masked) => "masked",
        Ok(Disclose::None | Disclose::Unspecified) | Err(_) => "none",
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

/// The number of a level.
#[must_use]
pub fn level_number(name: &str) -> Option<i32> {
    (Level::Info as i32..=Level::Critical as i32).find(|level| level_name(*level) == name)
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
