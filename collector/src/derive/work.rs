//! What arrives in alerts and what people do with them, as [`crate::alerts::work`] says it.
//!
//! Counts are kept with each alert, so that a queue is read without a look at its findings. What follows from an entry is
//! done at its end, never at the end of a batch: batches are cut otherwise when everything is derived anew.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row};
use watchpost_proto::Message as _;
use watchpost_proto::v1::{AlertEntry, AlertVerb};

use super::suppression::{Happening, Suppression};
use super::{DeriveError, people};
use crate::alerts::work::{Appeal, Ending, State, Step, Work};
use crate::clocks::{Clocks, Due};
use crate::log_store::Entry;

pub(super) const TABLES: &str = "
    CREATE TABLE alert (
        id INTEGER PRIMARY KEY,
        -- The finding that came first in log order; its id is the alert's.
        opened_by BLOB NOT NULL UNIQUE,
        pack TEXT NOT NULL,
        rule TEXT NOT NULL,
        category TEXT NOT NULL,
        person TEXT NOT NULL,
        -- Of msgtime at +08:00, YYYY-MM-DD; 'unknown' without a msgtime.
        day TEXT NOT NULL,
        -- Of the person concerned, by the roster; the site of the device where the roster knows none.
        department TEXT NOT NULL,
        site TEXT NOT NULL,
        -- Findings that are seen, and those that a quarantine hides.
        findings INTEGER NOT NULL DEFAULT 0,
        hidden INTEGER NOT NULL DEFAULT 0,
        level INTEGER NOT NULL DEFAULT 0,
        -- 0 where no message has a time.
        first_msgtime_ms INTEGER NOT NULL DEFAULT 0,
        last_msgtime_ms INTEGER NOT NULL DEFAULT 0,
        -- When the first finding that is seen arrived, when its device had sealed it, and how old its message was.
        opened_ms INTEGER NOT NULL DEFAULT 0,
        sealed_ms INTEGER NOT NULL DEFAULT 0,
        opened_msgtime_ms INTEGER NOT NULL DEFAULT 0,
        arrived_ms INTEGER NOT NULL DEFAULT 0,
        -- When its level rose last.
        raised_ms INTEGER NOT NULL DEFAULT 0,
        -- The shortest a rule says, seconds; 0 where none does.
        sla_s INTEGER NOT NULL DEFAULT 0,
        take_by_ms INTEGER,
        close_by_ms INTEGER,
        state INTEGER NOT NULL DEFAULT 0,
        assignee TEXT NOT NULL DEFAULT '',
        ending TEXT,
        duplicate_of BLOB,
        closed_by TEXT NOT NULL DEFAULT '',
        closed_ms INTEGER,
        clock_ms INTEGER NOT NULL DEFAULT 0,
        taken_ms INTEGER,
        touched INTEGER NOT NULL DEFAULT 0,
        reopened INTEGER NOT NULL DEFAULT 0,
        fresh INTEGER NOT NULL DEFAULT 0,
        appeal TEXT,
        steps INTEGER NOT NULL DEFAULT 0,
        escalated_ms INTEGER,
        suppressed_by BLOB,
        -- The case it is part of.
        case_id INTEGER,
        -- Where the record is that opened it.
        log_index INTEGER NOT NULL,
        place INTEGER NOT NULL,
        UNIQUE (pack, rule, person, day)
    ) STRICT;
    CREATE INDEX observation_alert ON observation (alert) WHERE alert IS NOT NULL;
    CREATE INDEX alert_person ON alert (person);
    -- The queue.
    CREATE INDEX alert_unclosed ON alert (state, level) WHERE state < 2;
    CREATE INDEX alert_opened ON alert (opened_ms);
    -- What became of alerts, in the order of the log.
    CREATE TABLE alert_event (
        id INTEGER PRIMARY KEY,
        alert INTEGER NOT NULL,
        log_index INTEGER NOT NULL,
        verb TEXT NOT NULL,
        -- Empty where nobody did it.
        by TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        assignee TEXT NOT NULL,
        -- How it ended, where it did.
        ending TEXT,
        -- The alert it is a duplicate of.
        duplicate_of BLOB,
        step INTEGER NOT NULL,
        -- Digest of what was written, which lies beside the log.
        note BLOB
    ) STRICT;
    CREATE INDEX alert_event_alert ON alert_event (alert);
    CREATE INDEX alert_event_entry ON alert_event (log_index);
    -- Findings of rules nobody is told of.
    CREATE TABLE shadow (
        pack TEXT NOT NULL,
        rule TEXT NOT NULL,
        findings INTEGER NOT NULL,
        PRIMARY KEY (pack, rule)
    ) STRICT, WITHOUT ROWID;
";

/// What an entry brings to one alert.
#[derive(Clone, Copy, Debug, Default)]
struct Arrival {
    /// Findings people see in it for the first time.
    new: u64,
    level: i32,
    first_ms: i64,
    last_ms: i64,
    sla_s: i64,
    /// What there was has changed: everything is counted again.
    recount: bool,
}

/// What an entry brings to alerts.
#[derive(Debug, Default)]
pub(super) struct Arrivals(BTreeMap<i64, Arrival>);

impl Arrivals {
    /// A finding that was not there before.
    pub(super) fn new_finding(&mut self, alert: i64, level: i32, msgtime_ms: i64, sla_s: i64) {
        let arrival = self.0.entry(alert).or_default();
        arrival.new += 1;
        arrival.level = arrival.level.max(level);
        arrival.first_ms = earliest(arrival.first_ms, msgtime_ms);
        arrival.last_ms = arrival.last_ms.max(msgtime_ms);
        arrival.sla_s = earliest(arrival.sla_s, sla_s);
    }

    /// Findings that were there, and are seen in it for the first time.
    pub(super) fn fresh(&mut self, alert: i64, count: u64) {
        let arrival = self.0.entry(alert).or_default();
        (arrival.new, arrival.recount) = (arrival.new + count, true);
    }

    /// Something else about its findings has changed.
    pub(super) fn changed(&mut self, alert: i64) {
        self.0.entry(alert).or_default().recount = true;
    }
}

/// The smaller of two, of which 0 is none.
fn earliest(one: i64, other: i64) -> i64 {
    match (one, other) {
        (0, other) => other,
        (one, 0) => one,
        (one, other) => one.min(other),
    }
}

/// When and whence an entry came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whence<'a> {
    pub(super) log_index: u64,
    pub(super) at_ms: i64,
    /// When the device had sealed it.
    pub(super) sealed_ms: i64,
    /// The device's id, and its row.
    pub(super) device: (&'a [u8], i64),
}

/// By what alerts are judged.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) clocks: Clocks,
    pub(super) suppressions: Vec<Suppression>,
}

/// An alert as it stands in its row.
struct Standing {
    id: i64,
    pack: String,
    rule: String,
    person: String,
    department: String,
    site: String,
    findings: u64,
    hidden: u64,
    level: i32,
    first_ms: i64,
    last_ms: i64,
    opened_ms: i64,
    sla_s: i64,
    raised_ms: i64,
    due: Due,
    suppressed_by: Option<Vec<u8>>,
    work: Work,
}

/// Brings what an entry holds to its alerts.
pub(super) fn arrive(
    db: &Connection,
    arrivals: &Arrivals,
    whence: Whence<'_>,
    rules: &Rules,
) -> Result<(), DeriveError> {
    for (alert, arrival) in &arrivals.0 {
        if arrival.recount || !add(db, *alert, arrival, whence.at_ms)? {
            take_in(db, *alert, arrival, whence, rules)?;
        }
    }
    Ok(())
}

/// The way of nearly all: one more of what is in the queue already. False where more follows from it.
fn add(db: &Connection, alert: i64, arrival: &Arrival, at_ms: i64) -> rusqlite::Result<bool> {
    let added = db
        .prepare_cached(
            "UPDATE alert SET findings = findings + ?2, arrived_ms = max(arrived_ms, ?3),
                 first_msgtime_ms = iif(first_msgtime_ms = 0 OR (?4 <> 0 AND ?4 < first_msgtime_ms), ?4, first_msgtime_ms),
                 last_msgtime_ms = max(last_msgtime_ms, ?5)
             WHERE id = ?1 AND findings > 0 AND state < 2 AND ending IS NULL AND suppressed_by IS NULL AND level >= ?6
                 AND (?7 = 0 OR (sla_s <> 0 AND sla_s <= ?7))",
        )?
        .execute((
            alert,
            arrival.new,
            at_ms,
            arrival.first_ms,
            arrival.last_ms,
            arrival.level,
            arrival.sla_s,
        ))?;
    Ok(added == 1)
}

fn take_in(
    db: &Connection,
    alert: i64,
    arrival: &Arrival,
    whence: Whence<'_>,
    rules: &Rules,
) -> Result<(), DeriveError> {
    let mut now = read(db, alert)?;
    let before = (now.findings, now.level);
    if arrival.recount {
        recount(db, &mut now, arrival)?;
    } else {
        // Of what is gone nothing is counted on.
        if now.findings == 0 {
            (now.level, now.first_ms, now.last_ms, now.sla_s) = (0, 0, 0, 0);
        }
        now.findings += arrival.new;
        now.level = now.level.max(arrival.level);
        now.first_ms = earliest(now.first_ms, arrival.first_ms);
        now.last_ms = now.last_ms.max(arrival.last_ms);
        now.sla_s = earliest(now.sla_s, arrival.sla_s);
    }
    let verb = if now.opened_ms == 0 {
        open(db, &mut now, arrival, whence, rules)?
    } else {
        follow(&mut now, before, arrival, whence, rules)
    };
    if verb == Some("reopened") {
        // The person may be somewhere else by now.
        let (msgtime_ms, device) = opening(db, alert)?;
        settle(db, &mut now, msgtime_ms, &device)?;
        now.raised_ms = 0;
        now.due = due(&now, &rules.clocks, whence.at_ms);
    }
    write(db, &now)?;
    db.prepare_cached("UPDATE alert SET arrived_ms = max(arrived_ms, ?2) WHERE id = ?1 AND ?3 > 0")?.execute((
        alert,
        whence.at_ms,
        arrival.new,
    ))?;
    match verb {
        Some(verb) => event(db, alert, whence.log_index, &Told { verb, at_ms: whence.at_ms, ..Told::default() }),
        None => Ok(()),
    }
}

/// Its first finding that is seen.
fn open(
    db: &Connection,
    now: &mut Standing,
    arrival: &Arrival,
    whence: Whence<'_>,
    rules: &Rules,
) -> Result<Option<&'static str>, DeriveError> {
    if now.findings == 0 {
        return Ok(None);
    }
    let msgtime_ms = if arrival.first_ms == 0 { now.first_ms } else { arrival.first_ms };
    (now.opened_ms, now.work.clock_ms) = (whence.at_ms, whence.at_ms);
    settle(db, now, msgtime_ms, whence.device.0)?;
    db.prepare_cached("UPDATE alert SET sealed_ms = ?2, opened_msgtime_ms = ?3 WHERE id = ?1")?.execute((
        now.id,
        whence.sealed_ms,
        msgtime_ms,
    ))?;
    now.suppressed_by = suppressed(now, whence, rules);
    // Nobody is to deal with what is suppressed.
    now.due = if now.suppressed_by.is_some() { Due::default() } else { due(now, &rules.clocks, whence.at_ms) };
    Ok(Some(if now.suppressed_by.is_some() { "suppressed" } else { "opened" }))
}

/// Department and site of the person concerned, as far as anybody knows them.
fn settle(db: &Connection, now: &mut Standing, at_ms: i64, device: &[u8]) -> Result<(), DeriveError> {
    (now.department, now.site) = people::place(db, &now.person, at_ms)?;
    if now.site.is_empty() && !device.is_empty() {
        let site: Option<String> = db
            .prepare_cached("SELECT site FROM enrolment WHERE device = ?1 ORDER BY at_ms DESC LIMIT 1")?
            .query_row([device], |row| row.get(0))
            .optional()?;
        now.site = site.unwrap_or_default();
    }
    Ok(())
}

fn due(now: &Standing, clocks: &Clocks, from_ms: i64) -> Due {
    clocks.due(&now.site, now.level, now.sla_s, from_ms)
}

fn suppressed(now: &Standing, whence: Whence<'_>, rules: &Rules) -> Option<Vec<u8>> {
    let happening = Happening {
        pack: &now.pack,
        rule: &now.rule,
        person: &now.person,
        department: &now.department,
        site: &now.site,
        device: whence.device.0,
        at_ms: whence.at_ms,
    };
    rules.suppressions.iter().find(|it| it.covers(&happening)).map(|it| it.id.clone())
}

/// What follows for an alert that was seen before.
fn follow(
    now: &mut Standing,
    (findings, level): (u64, i32),
    arrival: &Arrival,
    whence: Whence<'_>,
    rules: &Rules,
) -> Option<&'static str> {
    if now.suppressed_by.is_some() {
        if arrival.new == 0 || suppressed(now, whence, rules).is_some() {
            return None;
        }
        (now.suppressed_by, now.work.clock_ms) = (None, whence.at_ms);
        now.due = due(now, &rules.clocks, whence.at_ms);
        return Some("opened");
    }
    let is_closed = now.work.state == State::Closed;
    let is_back = now.findings > 0 && now.work.ending == Some(Ending::Withdrawn);
    if is_closed
        && (arrival.new > 0 || is_back)
        && let Some(suppression) = suppressed(now, whence, rules)
    {
        if now.work.come_back(whence.at_ms) {
            (now.suppressed_by, now.due) = (Some(suppression), Due::default());
            return Some("suppressed");
        }
        now.work.fresh = now.work.fresh.saturating_add(arrival.new);
        return None;
    }
    let mut verb = None;
    if now.findings == 0 && now.hidden == 0 {
        verb = now.work.withdrawn(whence.at_ms).then_some("withdrawn");
    } else if now.findings > 0 {
        let is_open_again =
            (arrival.new > 0 && now.work.arrived(whence.at_ms, arrival.new)) || now.work.come_back(whence.at_ms);
        verb = is_open_again.then_some("reopened");
    }
    if verb.is_some() || now.work.state == State::Closed {
        return verb;
    }
    let due_now = due(now, &rules.clocks, whence.at_ms);
    if findings == 0 && now.findings > 0 && now.work.state == State::Open {
        // What nobody could see had nobody's clock running.
        (now.work.clock_ms, now.due) = (whence.at_ms, due_now);
    } else if now.level > level {
        (now.raised_ms, verb) = (whence.at_ms, Some("raised"));
        let Due { take_ms, close_ms } = now.due;
        now.due = Due { take_ms: sooner(take_ms, due_now.take_ms), close_ms: sooner(close_ms, due_now.close_ms) };
    } else if now.level < level {
        now.due = due(now, &rules.clocks, since(now));
    } else if now.sla_s != 0 {
        now.due.close_ms = sooner(now.due.close_ms, due(now, &rules.clocks, since(now)).close_ms);
    }
    verb
}

/// From when the clocks of its present level run.
fn since(now: &Standing) -> i64 {
    now.work.clock_ms.max(now.raised_ms)
}

fn sooner(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}

/// Counts what is seen of an alert, and what a quarantine hides.
fn recount(db: &Connection, now: &mut Standing, arrival: &Arrival) -> rusqlite::Result<()> {
    let (findings, all): (u64, u64);
    (findings, all, now.level, now.first_ms, now.last_ms, now.sla_s) = db
        .prepare_cached(
            "SELECT count(DISTINCT iif(device.quarantined, NULL, finding)), count(DISTINCT finding),
                 coalesce(max(iif(device.quarantined, NULL, level)), ?2),
                 coalesce(min(iif(device.quarantined, NULL, nullif(msgtime_ms, 0))), 0),
                 coalesce(max(iif(device.quarantined, NULL, msgtime_ms)), 0),
                 coalesce(min(iif(device.quarantined, NULL, nullif(sla_s, 0))), 0)
             FROM observation JOIN device ON device.id = observation.device WHERE alert = ?1",
        )?
        .query_row((now.id, now.level.max(arrival.level)), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })?;
    (now.findings, now.hidden) = (findings, all.saturating_sub(findings));
    Ok(())
}

/// A device is held out of what people see, or seen again.
pub(super) fn device_hidden(
    db: &Connection,
    is_hidden: bool,
    whence: Whence<'_>,
    rules: &Rules,
) -> Result<(), DeriveError> {
    let mut arrivals = Arrivals::default();
    let mut select = db.prepare("SELECT DISTINCT alert FROM observation WHERE device = ?1 AND alert IS NOT NULL")?;
    let mut rows = select.query([whence.device.1])?;
    while let Some(row) = rows.next()? {
        arrivals.changed(row.get(0)?);
    }
    if !is_hidden {
        let mut select = db.prepare(
            "SELECT alert, count(*) FROM observation AS own WHERE device = ?1 AND alert IS NOT NULL AND NOT EXISTS (
                 SELECT 1 FROM observation AS any WHERE any.finding = own.finding AND any.seen_in = own.alert)
             GROUP BY alert",
        )?;
        let mut rows = select.query([whence.device.1])?;
        while let Some(row) = rows.next()? {
            arrivals.fresh(row.get(0)?, row.get(1)?);
        }
        db.execute(
            "UPDATE observation SET seen_in = alert WHERE device = ?1 AND alert IS NOT NULL",
            [whence.device.1],
        )?;
    }
    arrive(db, &arrivals, whence, rules)
}

/// The roster says something else of these accounts: their alerts that are not closed move with them.
pub(super) fn moved(db: &Connection, accounts: &[String], rules: &Rules) -> Result<(), DeriveError> {
    for account in accounts {
        let mut select = db.prepare_cached("SELECT id FROM alert WHERE person = ?1 AND state < 2 AND opened_ms > 0")?;
        let ids = select.query_map([account], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        for id in ids {
            let mut now = read(db, id)?;
            let before = (now.department.clone(), now.site.clone());
            let (msgtime_ms, device) = opening(db, id)?;
            settle(db, &mut now, msgtime_ms, &device)?;
            if before != (now.department.clone(), now.site.clone()) {
                if now.suppressed_by.is_none() {
                    now.due = due(&now, &rules.clocks, since(&now));
                }
                write(db, &now)?;
            }
        }
    }
    Ok(())
}

/// Time of the message that opened an alert, and the first device that tells of it.
fn opening(db: &Connection, alert: i64) -> rusqlite::Result<(i64, Vec<u8>)> {
    db.prepare_cached(
        "SELECT opened_msgtime_ms, coalesce((SELECT device.device FROM observation JOIN device ON device.id = observation.device
             WHERE observation.alert = alert.id ORDER BY finding, device.id LIMIT 1), x'') FROM alert WHERE id = ?1",
    )?
    .query_row([alert], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Calendars or times have changed: so have the clocks of what is not closed.
pub(super) fn reset_clocks(db: &Connection, rules: &Rules) -> Result<(), DeriveError> {
    let mut select = db.prepare("SELECT id FROM alert WHERE state < 2 AND opened_ms > 0 AND suppressed_by IS NULL")?;
    for id in select.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()? {
        let mut now = read(db, id)?;
        now.due = due(&now, &rules.clocks, since(&now));
        write(db, &now)?;
    }
    Ok(())
}

/// What a person does with alerts.
pub(super) fn act(db: &Connection, entry: &Entry, rules: &Rules) -> Result<(), DeriveError> {
    let Ok(said) = AlertEntry::decode(&entry.header[..]) else { return Ok(()) };
    let ending = Ending::of(said.resolution());
    let step =
        Step { verb: said.verb(), by: &said.by, at_ms: said.at_ms, assignee: &said.assignee, ending, step: said.step };
    for id in &said.alerts {
        let Some(alert) = find(db, id)? else { continue };
        let mut now = read(db, alert)?;
        // What nobody has seen yet nobody deals with.
        let was = now.work.state;
        if now.opened_ms == 0 || !now.work.act(&step) {
            continue;
        }
        let is_reopened = matches!(step.verb, AlertVerb::Reopen | AlertVerb::Appeal) && was == State::Closed;
        if is_reopened {
            let (msgtime_ms, device) = opening(db, alert)?;
            settle(db, &mut now, msgtime_ms, &device)?;
        }
        // Whoever touches it has it in the queue, with clocks that begin then.
        let is_let_in = now.suppressed_by.take().is_some() && now.work.state != State::Closed;
        if is_let_in {
            now.work.clock_ms = said.at_ms;
        }
        if is_reopened || is_let_in {
            now.raised_ms = 0;
            now.due = due(&now, &rules.clocks, said.at_ms);
        }
        write(db, &now)?;
        let duplicate_of = (ending == Some(Ending::Duplicate)).then_some(&said.duplicate_of[..]);
        if step.verb == AlertVerb::Close {
            db.prepare_cached("UPDATE alert SET duplicate_of = ?2 WHERE id = ?1")?.execute((alert, duplicate_of))?;
        }
        let told = Told {
            verb: verb_name(step.verb),
            by: &said.by,
            at_ms: said.at_ms,
            assignee: &said.assignee,
            ending: ending.map(Ending::as_str),
            duplicate_of,
            step: said.step,
            note: (!said.note.is_empty()).then_some(&said.note[..]),
        };
        event(db, alert, entry.log_index, &told)?;
    }
    Ok(())
}

/// The word for a step that was taken.
pub(crate) fn verb_name(verb: AlertVerb) -> &'static str {
    match verb {
        AlertVerb::Take => "taken",
        AlertVerb::Assign => "assigned",
        AlertVerb::PutBack => "put-back",
        AlertVerb::Note => "noted",
        AlertVerb::Close => "closed",
        AlertVerb::Reopen => "reopened",
        AlertVerb::Appeal => "appealed",
        AlertVerb::Grant => "granted",
        AlertVerb::Deny => "denied",
        AlertVerb::Step => "step",
        AlertVerb::Escalate => "escalated",
        AlertVerb::Unspecified => "",
    }
}

/// The alert with this id, or that has a finding with it: what an alert is called may change when it is derived anew.
pub(crate) fn find(db: &Connection, id: &[u8]) -> rusqlite::Result<Option<i64>> {
    let own: Option<i64> =
        db.prepare_cached("SELECT id FROM alert WHERE opened_by = ?1")?.query_row([id], |row| row.get(0)).optional()?;
    if own.is_some() {
        return Ok(own);
    }
    db.prepare_cached(
        "SELECT alert FROM finding JOIN observation ON observation.finding = finding.number
         WHERE finding_id = ?1 AND alert IS NOT NULL ORDER BY observation.device LIMIT 1",
    )?
    .query_row([id], |row| row.get(0))
    .optional()
}

/// A row of the table of events.
#[derive(Default)]
struct Told<'a> {
    verb: &'a str,
    by: &'a str,
    at_ms: i64,
    assignee: &'a str,
    ending: Option<&'a str>,
    duplicate_of: Option<&'a [u8]>,
    step: u32,
    note: Option<&'a [u8]>,
}

fn event(db: &Connection, alert: i64, log_index: u64, told: &Told<'_>) -> Result<(), DeriveError> {
    db.prepare_cached(
        "INSERT INTO alert_event (alert, log_index, verb, by, at_ms, assignee, ending, duplicate_of, step, note)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute((
        alert,
        log_index,
        told.verb,
        told.by,
        told.at_ms,
        told.assignee,
        told.ending,
        told.duplicate_of,
        told.step,
        told.note,
    ))?;
    Ok(())
}

/// One more finding of a rule nobody is told of.
pub(super) fn shadow(db: &Connection, pack: &str, rule: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO shadow VALUES (?1, ?2, 1) ON CONFLICT DO UPDATE SET findings = findings + 1")?
        .execute((pack, rule))?;
    Ok(())
}

fn read(db: &Connection, id: i64) -> rusqlite::Result<Standing> {
    db.prepare_cached(
        "SELECT pack, rule, person, department, site, findings, hidden, level, first_msgtime_ms, last_msgtime_ms,
             opened_ms, sla_s, take_by_ms, close_by_ms, suppressed_by, raised_ms, state, assignee, ending, closed_by,
             closed_ms, clock_ms, taken_ms, touched, reopened, fresh, appeal, steps, escalated_ms FROM alert WHERE id = ?1",
    )?
    .query_row([id], |row| {
        Ok(Standing {
            id,
            pack: row.get(0)?,
            rule: row.get(1)?,
            person: row.get(2)?,
            department: row.get(3)?,
            site: row.get(4)?,
            findings: row.get(5)?,
            hidden: row.get(6)?,
            level: row.get(7)?,
            first_ms: row.get(8)?,
            last_ms: row.get(9)?,
            opened_ms: row.get(10)?,
            sla_s: row.get(11)?,
            due: Due { take_ms: row.get(12)?, close_ms: row.get(13)? },
            suppressed_by: row.get(14)?,
            raised_ms: row.get(15)?,
            work: read_work(row, 16)?,
        })
    })
}

/// Reads how an alert stands from the thirteen columns from `at` on.
pub(crate) fn read_work(row: &Row<'_>, at: usize) -> rusqlite::Result<Work> {
    let word = |at: usize| row.get::<_, Option<String>>(at);
    Ok(Work {
        state: match row.get::<_, i64>(at)? {
            0 => State::Open,
            1 => State::Taken,
            _ => State::Closed,
        },
        assignee: row.get(at + 1)?,
        ending: word(at + 2)?.as_deref().and_then(Ending::parse),
        closed_by: row.get(at + 3)?,
        closed_ms: row.get(at + 4)?,
        clock_ms: row.get(at + 5)?,
        taken_ms: row.get(at + 6)?,
        touched: row.get(at + 7)?,
        reopened: row.get(at + 8)?,
        fresh: row.get(at + 9)?,
        appeal: word(at + 10)?.as_deref().and_then(Appeal::parse),
        steps: row.get::<_, i64>(at + 11)?.cast_unsigned(),
        escalated_ms: row.get(at + 12)?,
    })
}

fn write(db: &Connection, now: &Standing) -> rusqlite::Result<()> {
    let Standing { id, department, site, findings, hidden, level, first_ms, last_ms, opened_ms, sla_s, .. } = now;
    db.prepare_cached(
        "UPDATE alert SET department = ?2, site = ?3, findings = ?4, hidden = ?5, level = ?6, first_msgtime_ms = ?7,
             last_msgtime_ms = ?8, opened_ms = ?9, sla_s = ?10, take_by_ms = ?11, close_by_ms = ?12, suppressed_by = ?13,
             raised_ms = ?14
         WHERE id = ?1",
    )?
    .execute((
        id,
        department,
        site,
        findings,
        hidden,
        level,
        first_ms,
        last_ms,
        opened_ms,
        sla_s,
        now.due.take_ms,
        now.due.close_ms,
        &now.suppressed_by,
        now.raised_ms,
    ))?;
    let work = &now.work;
    let state = match work.state {
        State::Open => 0,
        State::Taken => 1,
        State::Closed => 2,
    };
    db.prepare_cached(
        "UPDATE alert SET state = ?2, assignee = ?3, ending = ?4, closed_by = ?5, closed_ms = ?6, clock_ms = ?7,
             taken_ms = ?8, touched = ?9, reopened = ?10, fresh = ?11, appeal = ?12, steps = ?13, escalated_ms = ?14
         WHERE id = ?1",
    )?
    .execute((
        id,
        state,
        &work.assignee,
        work.ending.map(Ending::as_str),
        &work.closed_by,
        work.closed_ms,
        work.clock_ms,
        work.taken_ms,
        work.touched,
        work.reopened,
        work.fresh,
        work.appeal.map(Appeal::as_str),
        work.steps.cast_signed(),
        work.escalated_ms,
    ))?;
    Ok(())
}
