//! Asks `search.db` and tells what was found, the newest first, page by page.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, params_from_iter};
use schemars::JsonSchema;
use serde::Serialize;
use watchpost_proto::record::{self, Kept};
use watchpost_proto::v1::{Finding, summary};

use super::kinds::{Part, name_of};
use super::plan::{Plan, alert_clause, plan};
use super::query::Query;
use super::{SearchError, grams, open_read_only};
use crate::alerts::{device_name, level_name};
use crate::config::Config;
use crate::derive;
use crate::derive::grouping::AlertKey;
use crate::log_store::LogReader;

/// Findings of one page at most.
pub const PAGE_MAX: usize = 1_000;
/// How long people wait for a page.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Steps of SQLite between looks at the time.
const STEPS: i32 = 20_000;
/// Alerts whose answer is remembered within a page.
const ALERTS_REMEMBERED: usize = 100_000;

/// A finding that was found. What it is about; what was said in it is told by its alert alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Found {
    /// Hexadecimal.
    pub finding_id: String,
    /// Its alert, hexadecimal; none while it is not derived yet.
    pub alert: Option<String>,
    /// How the alert stands: `open`, `taken` or `closed`.
    pub state: &'static str,
    /// The pack of the rule.
    pub pack: String,
    /// The rule.
    pub rule: String,
    /// The rule's category.
    pub category: String,
    /// Its level.
    pub level: &'static str,
    /// The account concerned.
    pub person: String,
    /// Their department and site, as the alert has them.
    pub department: String,
    /// See `department`.
    pub site: String,
    /// Day of the message at +08:00.
    pub day: String,
    /// Milliseconds since 1970; none where unknown.
    pub msgtime: Option<i64>,
    /// When it arrived.
    pub received: i64,
    /// The archive's message type.
    pub msgtype: String,
    /// Own account or pseudonym.
    pub from: String,
    /// Pseudonym of the room, or empty.
    pub room: String,
    /// The archive's message id.
    pub msgid: String,
    /// The device that tells it.
    pub device: String,
    #[serde(skip)]
    log_index: u64,
    #[serde(skip)]
    ordinal: usize,
}

/// Part of what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Page {
    /// The newest first.
    pub found: Vec<Found>,
    /// Where to go on; none at the end.
    pub next: Option<String>,
    /// There may be more on this page: the time was up.
    pub stopped: bool,
    /// Names in the query that no finding has.
    pub unknown: Vec<String>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What to look for.
    pub query: &'a Query,
    /// Where the page before ended.
    pub after: Option<&'a str>,
    /// Findings of the page.
    pub limit: usize,
    /// How long to look.
    pub patience: Duration,
}

impl<'a> Asked<'a> {
    /// The first page of a query.
    #[must_use]
    pub fn first(query: &'a Query) -> Self {
        Self { query, after: None, limit: 50, patience: PATIENCE }
    }
}

/// Whether whoever asks may read what an alert, by its id, is about.
type MayRead = Box<dyn Fn(&[u8]) -> bool>;

/// Looks for findings. One question at a time.
pub struct Finder {
    search: Connection,
    derived: Connection,
    log: LogReader,
    /// The records of the entry that was looked at last: neighbours are often asked for together.
    payload: RefCell<Option<(u64, Vec<u8>)>>,
    /// Nothing where whoever asks may read everything.
    may_read: Option<MayRead>,
}

impl Finder {
    /// Opens what is needed, for reading.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn open(config: &Config) -> Result<Self, SearchError> {
        Ok(Self {
            search: open_read_only(&config.search_db())?,
            derived: derive::open_read_only(&config.derived_db())?,
            log: LogReader::open(&config.log_db())?,
            payload: RefCell::new(None),
            may_read: None,
        })
    }

    /// From now on findings of other alerts are passed over before they are looked at, counted or paged.
    #[must_use]
    pub fn within(self, may_read: impl Fn(&[u8]) -> bool + 'static) -> Self {
        Self { may_read: Some(Box::new(may_read)), ..self }
    }

    /// Names in `search.db`.
    pub fn connection(&self) -> &Connection {
        &self.search
    }

    /// What is derived, alerts among it.
    pub fn derived(&self) -> &Connection {
        &self.derived
    }

    /// One page of what a query finds.
    ///
    /// # Errors
    /// [`SearchError`]; what takes too long says so.
    pub fn find(&mut self, asked: &Asked<'_>) -> Result<Page, SearchError> {
        let give_up = Instant::now() + asked.patience;
        for db in [&mut self.search, &mut self.derived] {
            db.progress_handler(STEPS, Some(move || Instant::now() > give_up))?;
        }
        let looked = self.look(asked, give_up);
        for db in [&mut self.search, &mut self.derived] {
            db.progress_handler(0, None::<fn() -> bool>)?;
        }
        match looked {
            Err(SearchError::Sqlite(error)) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                Err(too_broad())
            }
            looked => looked,
        }
    }

    /// The finding as its device told it; `None` where it was erased meanwhile.
    ///
    /// # Errors
    /// The log.
    pub fn told(&self, found: &Found) -> Result<Option<Finding>, SearchError> {
        self.record(found.log_index, found.ordinal)
    }

    fn look(&self, asked: &Asked<'_>, give_up: Instant) -> Result<Page, SearchError> {
        let plan = plan((&self.search, &self.derived), asked.query, give_up)?;
        let before = match asked.after {
            Some(after) => {
                after.parse().map_err(|_| SearchError::Told(format!("{after:?} is not where a page ended")))?
            }
            None => plan.places.1,
        };
        let mut page = Page { unknown: plan.unknown.clone(), ..Page::default() };
        let sieve = Sieve { finder: self, plan: &plan, alerts: RefCell::default() };
        let mut select = self.search.prepare_cached(if plan.asked.is_empty() { ROWS } else { ASKED })?;
        let range = (plan.places.0, before.min(plan.places.1));
        let mut rows =
            if plan.asked.is_empty() { select.query(range)? } else { select.query((range.0, range.1, &plan.asked))? };
        let mut last = None;
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(page),
                Err(error) => return given_up(error, page, last),
            };
            let seen = Seen::of(row)?;
            let passes = sieve.lets_through(&seen);
            match passes.and_then(|passes| passes.then(|| self.show(&seen)).transpose()) {
                Ok(found) => page.found.extend(found),
                Err(SearchError::Sqlite(error)) => return given_up(error, page, last),
                Err(error) => return Err(error),
            }
            last = Some(seen.place);
            if page.found.len() >= asked.limit.clamp(1, PAGE_MAX) {
                page.next = last.map(|last| last.to_string());
                return Ok(page);
            }
            if Instant::now() > give_up {
                (page.next, page.stopped) = (last.map(|last| last.to_string()), true);
                return Ok(page);
            }
        }
    }

    fn show(&self, seen: &Seen) -> Result<Found, SearchError> {
        let name = |number| name_of(&self.search, number);
        let (pack, rule) = seen.rule(&self.search)?;
        let person = name(seen.person)?;
        let day = seen.day();
        let alert = self.alert(&pack, &rule, &person, &day)?;
        let (alert, state, department, site) = match alert {
            Some(it) => (Some(hex::encode(it.id)), state_name(it.state), it.department, it.site),
            None => (None, state_name(0), String::new(), String::new()),
        };
        Ok(Found {
            finding_id: hex::encode(&seen.finding),
            alert,
            state,
            pack,
            rule,
            category: name(seen.category)?,
            level: level_name(seen.level),
            person,
            department,
            site,
            day,
            msgtime: Some(seen.msgtime_ms).filter(|at| *at != 0),
            received: seen.received_ms,
            msgtype: name(seen.msgtype)?,
            from: name(seen.sender)?,
            room: name(seen.room)?,
            msgid: seen.msgid.clone(),
            device: self.device(seen.device)?,
            log_index: seen.log_index,
            ordinal: seen.ordinal,
        })
    }

    fn device(&self, id: i64) -> Result<String, SearchError> {
        let mut select = self.search.prepare_cached("SELECT device FROM device WHERE id = ?1")?;
        Ok(select.query_row([id], |row| Ok(device_name(row.get_ref(0)?.as_blob().unwrap_or_default())))?)
    }

    fn alert(&self, pack: &str, rule: &str, person: &str, day: &str) -> Result<Option<AlertRow>, SearchError> {
        let mut select = self.derived.prepare_cached(
            "SELECT opened_by, state, department, site FROM alert
             WHERE pack = ?1 AND rule = ?2 AND person = ?3 AND day = ?4",
        )?;
        let read = |row: &Row<'_>| {
            Ok(AlertRow { id: row.get(0)?, state: row.get(1)?, department: row.get(2)?, site: row.get(3)? })
        };
        Ok(select.query_row((pack, rule, person, day), read).optional()?)
    }

    fn record(&self, log_index: u64, ordinal: usize) -> Result<Option<Finding>, SearchError> {
        let mut held = self.payload.borrow_mut();
        if held.as_ref().is_none_or(|(at, _)| *at != log_index) {
            let payload = self.log.entry(log_index)?.and_then(|entry| entry.payload).unwrap_or_default();
            *held = Some((log_index, payload));
        }
        let payload = held.as_ref().map_or(&[][..], |(_, payload)| payload);
        let records = record::unframe_kept(payload).map_err(|_| SearchError::Entry(log_index))?;
        let Some(Kept::Record(bytes)) = records.get(ordinal) else { return Ok(None) };
        Ok(match record::decode(bytes).ok().and_then(|summary| summary.kind) {
            Some(summary::Kind::Finding(finding)) => Some(finding),
            _ => None,
        })
    }
}

const ROWS: &str = "
    SELECT place, finding, found.device, rule, category, level, person, sender, room, msgtype, msgtime_ms, received_ms, msgid,
           log_index, ordinal
    FROM found JOIN device ON device.id = found.device
    WHERE place >= ?1 AND place < ?2 AND NOT quarantined ORDER BY place DESC";

const ASKED: &str = "
    SELECT place, finding, found.device, rule, category, level, person, sender, room, msgtype, msgtime_ms, received_ms, msgid,
           log_index, ordinal
    FROM words CROSS JOIN found ON found.place = words.rowid CROSS JOIN device ON device.id = found.device
    WHERE words MATCH ?3 AND words.rowid >= ?1 AND words.rowid < ?2 AND NOT quarantined ORDER BY words.rowid DESC";

/// The devices before one that hold a finding.
pub(super) const OTHERS: &str = "
    SELECT found.device FROM found JOIN device ON device.id = found.device
    WHERE finding = ?1 AND found.device < ?2 AND found.device <> 0 AND NOT quarantined";

/// What was looked at until the time was up is told; nothing at all is too little.
fn given_up(error: rusqlite::Error, page: Page, last: Option<i64>) -> Result<Page, SearchError> {
    match (error.sqlite_error_code(), last) {
        (Some(ErrorCode::OperationInterrupted), Some(last)) => {
            Ok(Page { next: Some(last.to_string()), stopped: true, ..page })
        }
        _ => Err(error.into()),
    }
}

pub(super) fn too_broad() -> SearchError {
    SearchError::Told("the query is too broad to be answered in time; add a time (since:7d), a person or a rule".into())
}

fn state_name(state: i64) -> &'static str {
    match state {
        1 => "taken",
        2 => "closed",
        _ => "open",
    }
}

struct AlertRow {
    id: Vec<u8>,
    state: i64,
    department: String,
    site: String,
}

/// A row that was looked at.
struct Seen {
    place: i64,
    finding: Vec<u8>,
    device: i64,
    rule: i64,
    category: i64,
    level: i32,
    person: i64,
    sender: i64,
    room: i64,
    msgtype: i64,
    msgtime_ms: i64,
    received_ms: i64,
    msgid: String,
    log_index: u64,
    ordinal: usize,
}

impl Seen {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            place: row.get(0)?,
            finding: row.get(1)?,
            device: row.get(2)?,
            rule: row.get(3)?,
            category: row.get(4)?,
            level: row.get(5)?,
            person: row.get(6)?,
            sender: row.get(7)?,
            room: row.get(8)?,
            msgtype: row.get(9)?,
            msgtime_ms: row.get(10)?,
            received_ms: row.get(11)?,
            msgid: row.get(12)?,
            log_index: row.get(13)?,
            ordinal: row.get(14)?,
        })
    }

    fn rule(&self, db: &Connection) -> rusqlite::Result<(String, String)> {
        let both = name_of(db, self.rule)?;
        let (pack, rule) = both.split_once('\t').unwrap_or((&both, ""));
        Ok((pack.to_owned(), rule.to_owned()))
    }

    fn day(&self) -> String {
        let finding = Finding { msgtime_ms: self.msgtime_ms, ..Finding::default() };
        AlertKey::of(&finding).day
    }

    fn number(&self, part: Part) -> i64 {
        match part {
            Part::Rule => self.rule,
            Part::Category => self.category,
            Part::Person => self.person,
            Part::From => self.sender,
            Part::Room => self.room,
            Part::Type => self.msgtype,
            Part::Level => i64::from(self.level),
            Part::Device => self.device,
            // Of these a finding has several, and they are asked of the index alone.
            Part::Pack | Part::To | Part::Word => 0,
        }
    }
}

/// What the index cannot say, asked of each row.
struct Sieve<'a> {
    finder: &'a Finder,
    plan: &'a Plan,
    /// Whether an alert is meant, by rule, person and day.
    alerts: RefCell<HashMap<(i64, i64, String), bool>>,
}

impl Sieve<'_> {
    fn lets_through(&self, seen: &Seen) -> Result<bool, SearchError> {
        let at_ms = if seen.msgtime_ms == 0 { seen.received_ms } else { seen.msgtime_ms };
        let plain = at_ms >= self.plan.since_ms
            && self.plan.until_ms.is_none_or(|until_ms| at_ms < until_ms)
            && self.plan.filters.iter().all(|it| it.numbers.contains(&seen.number(it.part)) != it.not)
            && self.plan.devices.as_ref().is_none_or(|asked| asked.contains(&seen.device));
        Ok(plain && self.alert_is_meant(seen)? && self.tells_it(seen)? && self.says_it(seen)?)
    }

    fn alert_is_meant(&self, seen: &Seen) -> Result<bool, SearchError> {
        if self.plan.alerts.is_empty() && self.finder.may_read.is_none() {
            return Ok(true);
        }
        let key = (seen.rule, seen.person, seen.day());
        if let Some(known) = self.alerts.borrow().get(&key) {
            return Ok(*known);
        }
        let (clause, mut values) = alert_clause(&self.plan.alerts);
        let clause = if clause.is_empty() { "1" } else { &clause };
        let text =
            format!("SELECT opened_by FROM alert WHERE pack = ? AND rule = ? AND person = ? AND day = ? AND {clause}");
        let (pack, rule) = seen.rule(&self.finder.search)?;
        let person = name_of(&self.finder.search, seen.person)?;
        values.splice(0..0, [pack, rule, person, key.2.clone()]);
        let mut select = self.finder.derived.prepare_cached(&text)?;
        let id: Option<Vec<u8>> = select.query_row(params_from_iter(values), |row| row.get(0)).optional()?;
        let may_read = |id: &[u8]| self.finder.may_read.as_ref().is_none_or(|may_read| may_read(id));
        let meant = id.is_some_and(|id| may_read(&id));
        let mut alerts = self.alerts.borrow_mut();
        if alerts.len() >= ALERTS_REMEMBERED {
            alerts.clear();
        }
        alerts.insert(key, meant);
        Ok(meant)
    }

    /// Of several devices that hold a finding the first tells it, or of those asked for the first.
    fn tells_it(&self, seen: &Seen) -> Result<bool, SearchError> {
        let mut select = self.finder.search.prepare_cached(OTHERS)?;
        let mut others = select.query((&seen.finding, seen.device))?;
        while let Some(row) = others.next()? {
            let other: i64 = row.get(0)?;
            if self.plan.devices.as_ref().is_none_or(|asked: &HashSet<i64>| asked.contains(&other)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn says_it(&self, seen: &Seen) -> Result<bool, SearchError> {
        if self.plan.phrases.is_empty() {
            return Ok(true);
        }
        let finding = self.finder.record(seen.log_index, seen.ordinal)?.unwrap_or_default();
        let folded = grams::fold(&finding.excerpt);
        Ok(self.plan.phrases.iter().all(|(phrase, not)| phrase.is_in(&folded) != *not))
    }
}
