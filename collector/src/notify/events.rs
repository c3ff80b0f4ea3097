//! What `derived.db` tells of alerts: what happened to them, how they stand, and what a text may need.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _};
use watchpost_proto::v1::{Disclose, Finding, Summary, summary};
use watchpost_proto::{Digest, Message as _};

use super::plan::{AlertFacts, Event, Tell, What};
use super::text::Telling;
use crate::alerts::level_name;
use crate::clocks::Clocks;
use crate::derive::DeriveError;

/// Events that are read in one go; the rest come in the next.
pub const EVENTS_MAX: usize = 5_000;
/// Records of an alert that are looked through for an excerpt.
const RECORDS_MAX: u32 = 20;
/// Alerts people are to deal with: some finding of them is seen, and no suppression keeps them out of the queue.
const SEEN: &str = "alert.findings > 0 AND alert.suppressed_by IS NULL";

/// What happened from an entry on, and from which entry on to read next. Never part of an entry.
///
/// # Errors
/// The database.
pub fn happened(db: &Connection, from: u64, from_ms: i64) -> Result<(Vec<Event>, u64), DeriveError> {
    let end: u64 = db.query_row("SELECT next FROM position", [], |row| row.get(0))?;
    let mut select = db.prepare_cached(
        "SELECT alert.opened_by, alert_event.verb, alert_event.log_index, alert_event.at_ms
         FROM alert_event JOIN alert ON alert.id = alert_event.alert
         WHERE alert_event.log_index >= ?1 AND alert_event.at_ms >= ?2 ORDER BY alert_event.log_index",
    )?;
    let mut rows = select.query((from, from_ms))?;
    let mut events: Vec<Event> = Vec::new();
    let mut last = None;
    while let Some(row) = rows.next()? {
        let mark: u64 = row.get(2)?;
        if events.len() >= EVENTS_MAX && last != Some(mark) {
            return Ok((events, mark));
        }
        last = Some(mark);
        let (alert, verb): (Vec<u8>, String) = (row.get(0)?, row.get(1)?);
        if let (Some(alert), Some(what)) = (Digest::from_slice(&alert), what_of(&verb)) {
            events.push(Event { tell: Tell { alert, what, mark }, at_ms: row.get(3)? });
        }
    }
    Ok((events, end.max(from)))
}

/// An alert that was raised to a higher level is told where it was not told before.
fn what_of(verb: &str) -> Option<What> {
    match verb {
        "opened" | "raised" => Some(What::Opened),
        "escalated" => Some(What::Escalated),
        "reopened" => Some(What::Reopened),
        "assigned" => Some(What::Assigned),
        "appealed" => Some(What::Appealed),
        _ => None,
    }
}

/// Alerts whose time has run out since a moment: nobody has taken them, or they were not dealt with.
///
/// # Errors
/// The database.
pub fn overdue(db: &Connection, since_ms: i64, now_ms: i64) -> Result<Vec<Event>, DeriveError> {
    let mut select = db.prepare_cached(&format!(
        "SELECT opened_by, iif(state = 0 AND take_by_ms > ?1 AND take_by_ms <= ?2, take_by_ms, NULL),
             iif(close_by_ms > ?1 AND close_by_ms <= ?2, close_by_ms, NULL)
         FROM alert WHERE state < 2 AND {SEEN}
             AND ((state = 0 AND take_by_ms > ?1 AND take_by_ms <= ?2) OR (close_by_ms > ?1 AND close_by_ms <= ?2))
         LIMIT ?3"
    ))?;
    let mut rows = select.query((since_ms, now_ms, EVENTS_MAX))?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let (alert, moments): (Vec<u8>, [Option<i64>; 2]) = (row.get(0)?, [row.get(1)?, row.get(2)?]);
        let Some(alert) = Digest::from_slice(&alert) else { continue };
        // Where both have run out at once, it is told once.
        if let Some(at_ms) = moments.into_iter().flatten().max() {
            let tell = Tell { alert, what: What::Escalated, mark: at_ms.unsigned_abs() };
            events.push(Event { tell, at_ms });
        }
    }
    Ok(events)
}

/// How alerts stand now; those that cannot be seen are left out.
///
/// # Errors
/// The database.
pub fn facts(db: &Connection, of: &BTreeSet<Digest>, now_ms: i64) -> Result<BTreeMap<Digest, AlertFacts>, DeriveError> {
    let clocks = Clocks::read(db)?;
    let mut select = db.prepare_cached(&format!(
        "SELECT pack, rule, person, level, category, department, site, state FROM alert WHERE opened_by = ?1 AND {SEEN}"
    ))?;
    let mut facts = BTreeMap::new();
    for id in of {
        let found = select.query_row([&id.0[..]], |row| {
            let (site, state): (String, i64) = (row.get(6)?, row.get(7)?);
            Ok(AlertFacts {
                pack: row.get(0)?,
                rule: row.get(1)?,
                person: row.get(2)?,
                level: row.get(3)?,
                category: row.get(4)?,
                department: row.get(5)?,
                in_work_time: clocks.calendar(&site).is_work_time(now_ms),
                site,
                taken: state == 1,
                closed: state == 2,
            })
        });
        if let Some(found) = found.optional()? {
            facts.insert(*id, found);
        }
    }
    Ok(facts)
}

/// All that may be told of an alert; `None` where it cannot be seen any more.
///
/// # Errors
/// The database.
pub fn telling(db: &Connection, tell: &Tell) -> Result<Option<Telling>, DeriveError> {
    let mut select = db.prepare_cached(&format!(
        "SELECT id, pack, rule, category, person, level, findings, opened_ms,
                iif(state = 0, take_by_ms, NULL), department, site,
                coalesce((SELECT name FROM person AS p WHERE p.account = alert.person ORDER BY from_ms DESC LIMIT 1), '')
         FROM alert WHERE opened_by = ?1 AND {SEEN}"
    ))?;
    let found = select.query_row([&tell.alert.0[..]], |row| {
        let told = Telling {
            alert: tell.alert.to_string(),
            what: Some(tell.what),
            pack: row.get(1)?,
            rule: row.get(2)?,
            category: row.get(3)?,
            account: row.get(4)?,
            rank: row.get(5)?,
            level: level_name(row.get(5)?),
            findings: row.get(6)?,
            opened_ms: row.get(7)?,
            respond_by_ms: row.get(8)?,
            department: row.get(9)?,
            site: row.get(10)?,
            name: row.get(11)?,
            title: None,
            masked_excerpt: None,
        };
        Ok((row.get::<_, i64>(0)?, told))
    });
    let Some((id, mut told)) = found.optional()? else { return Ok(None) };
    told.masked_excerpt = masked_excerpt(db, id)?;
    Ok(Some(told))
}

/// The newest excerpt of an alert that its device has masked. One with its surroundings readable never leaves this way.
fn masked_excerpt(db: &Connection, alert: i64) -> Result<Option<String>, DeriveError> {
    let mut select = db.prepare_cached(
        "SELECT summary FROM observation JOIN device ON device.id = observation.device
             JOIN record ON record.id = observation.record
         WHERE observation.alert = ?1 AND NOT device.quarantined AND NOT observation.withdrawn
         ORDER BY observation.finding DESC LIMIT ?2",
    )?;
    let mut rows = select.query((alert, RECORDS_MAX))?;
    while let Some(row) = rows.next()? {
        let finding = finding_of(row.get_ref(0)?.as_blob().unwrap_or_default());
        if finding.disclose() == Disclose::Masked && !finding.excerpt.is_empty() {
            return Ok(Some(finding.excerpt));
        }
    }
    Ok(None)
}

fn finding_of(summary: &[u8]) -> Finding {
    match Summary::decode(summary).map(|summary| summary.kind) {
        Ok(Some(summary::Kind::Finding(finding))) => finding,
        _ => Finding::default(),
    }
}
