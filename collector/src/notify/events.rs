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
/// In the mark of a time that has run out: the time to take, or the time to close. The rest is since when the clock runs, which
/// opening and reopening set, and no calendar. No log index is as high.
const TAKING: u64 = 1 << 61;
const CLOSING: u64 = 1 << 62;
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

/// Alerts of a level and above whose time has run out since a moment: nobody has taken them, or they were not dealt with.
/// They go to `take` by the thousands, the gravest first, until it wants no more: most of them were told before, and those
/// must not stand in the way of the others.
///
/// # Errors
/// The database, or what `take` says.
pub fn overdue<E: From<rusqlite::Error>>(
    db: &Connection,
    level: i32,
    (since_ms, now_ms): (i64, i64),
    mut take: impl FnMut(Vec<Event>) -> Result<bool, E>,
) -> Result<(), E> {
    let mut select = db.prepare_cached(&format!(
        "SELECT opened_by, clock_ms, iif(state = 0 AND take_by_ms > ?1 AND take_by_ms <= ?2, take_by_ms, NULL),
             iif(close_by_ms > ?1 AND close_by_ms <= ?2, close_by_ms, NULL)
         FROM alert WHERE state < 2 AND level >= ?3 AND {SEEN}
             AND ((state = 0 AND take_by_ms > ?1 AND take_by_ms <= ?2) OR (close_by_ms > ?1 AND close_by_ms <= ?2))
         ORDER BY level DESC, id"
    ))?;
    let mut rows = select.query((since_ms, now_ms, level))?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let (alert, clock_ms): (Vec<u8>, i64) = (row.get(0)?, row.get(1)?);
        let (taking, closing): (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
        // Where both have run out at once, it is told once.
        let over = closing.map(|at_ms| (CLOSING, at_ms)).or(taking.map(|at_ms| (TAKING, at_ms)));
        if let (Some(alert), Some((clock, at_ms))) = (Digest::from_slice(&alert), over) {
            let mark = clock | (clock_ms.unsigned_abs() & (TAKING - 1));
            events.push(Event { tell: Tell { alert, what: What::Escalated, mark }, at_ms });
        }
        if events.len() >= EVENTS_MAX && !take(std::mem::take(&mut events))? {
            return Ok(());
        }
    }
    take(events).map(drop)
}

/// What tells more than this does: that the time to close has run out, where this says so of the time to take.
#[must_use]
pub fn further(tell: &Tell) -> Option<Tell> {
    let is_taking = tell.what == What::Escalated && tell.mark & TAKING != 0;
    is_taking.then_some(Tell { mark: tell.mark ^ TAKING | CLOSING, ..*tell })
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
