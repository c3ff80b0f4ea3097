//! Erasure of records, and the holds that forbid it: both are entries of the log.
//!
//! What is erased is replaced by its leaf hash in the commit of the entry that says so, so every proof of everything
//! else stays as it was. What was derived from it is gone as soon as the follower reaches that entry.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};
use watchpost_proto::digest::hash;
use watchpost_proto::record::{self, Kept};
use watchpost_proto::segment::read_statement;
use watchpost_proto::v1::{
    AlertEntry, CaseEntry, DeviceRecords, EntryKind, ErasedRecords, Erasure, Hold, SegmentEntry, Summary, erasure,
    hold, summary,
};
use watchpost_proto::{DeviceId, Digest, Message as _};

use crate::config::Config;
use crate::derive;
use crate::derive::grouping::AlertKey;
use crate::log_store::{self, Appender, Entry, LogReader, StoreError};
use crate::notices::account_of;

/// How long an erasure waits until all of the log is derived.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);
/// Records that one entry names; an erasure of more goes on in the next, in the same commit.
const RECORDS_PER_ENTRY: usize = 16 * 1024;

/// A request of an operator about what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub deed: Deed,
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What to do, and with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deed {
    /// Take the records out of the store.
    Erase(Scope),
    /// Forbid that.
    Hold(Scope),
    /// Allow it again.
    Lift(Scope),
}

/// Which records.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// All findings of the alert with this id, hexadecimal.
    Alert(String),
    /// What came from a device before a moment, milliseconds since 1970. Of alerts that other devices tell as well, or
    /// that go on after it, nothing is taken.
    Device {
        /// The device's UUID.
        device: String,
        /// The moment.
        before_ms: i64,
    },
    /// Findings, tallies and acknowledgements of an account, `corp/userid`.
    Person(String),
}

impl Deed {
    /// With accounts spelled as devices spell them: a hold on another spelling would protect nothing.
    fn spelled(&self) -> anyhow::Result<Self> {
        let scope = |scope: &Scope| match scope {
            Scope::Person(person) => {
                let account = account_of(person);
                account.map(Scope::Person).with_context(|| format!("{person:?} is not an account, corp/userid"))
            }
            other => Ok(other.clone()),
        };
        Ok(match self {
            Self::Erase(of) => Self::Erase(scope(of)?),
            Self::Hold(of) => Self::Hold(scope(of)?),
            Self::Lift(of) => Self::Lift(scope(of)?),
        })
    }
}

/// What a request comes to: entries ready to be appended.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// One entry for each, and what they name is erased.
    Erase {
        /// The entries.
        entries: Vec<Erasure>,
        /// What people wrote beside alerts and cases that are gone with them, by digest.
        texts: Vec<Vec<u8>>,
    },
    /// A hold begins or ends.
    Hold(Hold),
}

/// A hold that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// What it covers.
    #[serde(flatten)]
    pub scope: Scope,
    /// Who set it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Its entry in the log.
    pub entry: u64,
}

/// Works out what a request comes to. Reads the whole log, and writes nothing.
///
/// # Errors
/// A request that names nothing, one that a hold forbids, or a log that cannot be read.
pub fn plan(config: &Config, request: &Request, at_ms: i64) -> anyhow::Result<Plan> {
    ensure!(!request.reason.trim().is_empty(), "an erasure or hold needs a reason");
    let log = LogReader::open(&config.log_db())?;
    let derived = derived_whole(config, &log)?;
    let holds = standing(&log)?;
    let deed = request.deed.spelled()?;
    let (scope, lifted) = match &deed {
        Deed::Erase(scope) => return plan_erasure(&log, &derived, (scope, &holds), request, at_ms),
        Deed::Hold(scope) => (scope, false),
        Deed::Lift(scope) => (scope, true),
    };
    let stands = holds.iter().any(|hold| hold.scope == *scope);
    ensure!(!lifted || stands, "no such hold stands; look with hold list");
    ensure!(lifted || !stands, "this hold stands already");
    let scope = match scope {
        Scope::Alert(id) => {
            // What an alert is called may change when it is derived anew; a hold on it can be lifted all the same.
            if !lifted {
                key_of(&derived, id)?;
            }
            hold::Scope::Alert(alert_id(id)?)
        }
        Scope::Person(person) => hold::Scope::Person(person.clone()),
        Scope::Device { .. } => bail!("a hold is on an alert or a person"),
    };
    let (by, reason) = (request.by.clone(), request.reason.clone());
    Ok(Plan::Hold(Hold { scope: Some(scope), lifted, by, reason, at_ms }))
}

/// What was derived, once it is all the log holds: what is not derived yet would be passed over.
fn derived_whole(config: &Config, log: &LogReader) -> anyhow::Result<Connection> {
    let (give_up, wanted) = (Instant::now() + PATIENCE, log.count()?);
    loop {
        let derived = derive::open_read_only(&config.derived_db())?;
        if derive::position(&derived)? >= wanted {
            return Ok(derived);
        }
        ensure!(Instant::now() < give_up, "what the log holds is still being derived; ask again in a while");
        std::thread::sleep(LOOK);
    }
}

/// Appends what a request has come to, and takes the records out in the same commit. Returns the entries.
///
/// # Errors
/// [`StoreError`]; the whole group must then be dropped.
pub fn append(appender: &mut Appender<'_>, plan: &Plan) -> Result<Vec<u64>, StoreError> {
    let (erasures, texts) = match plan {
        Plan::Hold(hold) => return Ok(vec![appender.append(EntryKind::Hold, &hold.encode_to_vec())?]),
        Plan::Erase { entries, texts } => (entries, texts),
    };
    let mut entries = Vec::with_capacity(erasures.len());
    for erasure in erasures {
        let log_index = appender.append(EntryKind::Erasure, &erasure.encode_to_vec())?;
        for records in &erasure.records {
            appender.erase(records, log_index)?;
        }
        if let Some(erasure::Scope::Person(person)) = &erasure.scope {
            log_store::blank_person(appender.connection(), person)?;
        }
        entries.push(log_index);
    }
    for text in texts {
        log_store::aside::erase(appender.connection(), text)?;
    }
    Ok(entries)
}

/// The holds that stand, in the order they were set.
///
/// # Errors
/// [`StoreError`].
pub fn standing(log: &LogReader) -> Result<Vec<Standing>, StoreError> {
    let mut holds: Vec<Standing> = Vec::new();
    log.headers(EntryKind::Hold, |entry, header| {
        let Ok(hold) = Hold::decode(header) else { return };
        let scope = match hold.scope {
            Some(hold::Scope::Alert(id)) => Scope::Alert(hex::encode(id)),
            Some(hold::Scope::Person(person)) => Scope::Person(person),
            None => return,
        };
        holds.retain(|standing| standing.scope != scope);
        if !hold.lifted {
            holds.push(Standing { scope, by: hold.by, reason: hold.reason, at_ms: hold.at_ms, entry });
        }
    })?;
    Ok(holds)
}

fn plan_erasure(
    log: &LogReader,
    derived: &Connection,
    (scope, holds): (&Scope, &[Standing]),
    request: &Request,
    at_ms: i64,
) -> anyhow::Result<Plan> {
    let mut search =
        Search { wanted: Wanted::of(derived, scope)?, held: Held::of(derived, holds)?, ..Search::default() };
    read_all(log, |entry| search.entry(entry))?;
    let is_held = matches!(scope, Scope::Person(person) if search.held.persons.contains(person));
    let found = search.end()?;
    let texts = texts(log, derived, scope, &found)?;
    let found = found.records;
    // Name and number in the roster go with the records of a person, and also where there are none.
    let is_named = match scope {
        Scope::Person(person) => log_store::names_person(log.connection(), person)?,
        _ => false,
    };
    ensure!(
        !(is_held && (is_named || !texts.is_empty())),
        "a hold forbids it for the name in the roster and what was written about the person; hold list shows it, hold lift ends it"
    );
    let mut portions = portions(found);
    if (is_named || !texts.is_empty()) && portions.is_empty() {
        portions.push(Vec::new());
    }
    let scope = match scope {
        Scope::Alert(id) => erasure::Scope::Alert(alert_id(id)?),
        Scope::Device { device, before_ms } => {
            erasure::Scope::Device(DeviceRecords { device: device_id(device)?.to_vec(), before_ms: *before_ms })
        }
        Scope::Person(person) => erasure::Scope::Person(person.clone()),
    };
    let erasure = |records| Erasure {
        scope: Some(scope.clone()),
        by: request.by.clone(),
        reason: request.reason.clone(),
        at_ms,
        records,
    };
    Ok(Plan::Erase { entries: portions.into_iter().map(erasure).collect(), texts })
}

/// What people wrote beside alerts of which nothing stays, and beside cases about a person; also beside steps that changed
/// nothing. What was written about several alerts at once goes with the last of them.
fn texts(log: &LogReader, derived: &Connection, scope: &Scope, gone: &Gone) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut rows_gone = HashSet::new();
    let mut select = derived.prepare("SELECT id, pack, rule, person, day FROM alert")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (pack, rule, person): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let key = AlertKey { pack: &pack, rule: &rule, person: &person, day: row.get(4)? };
        if gone.alerts.contains(&key_digest(&key)) {
            rows_gone.insert(row.get::<_, i64>(0)?);
        }
    }
    let (mut texts, mut failed) = (Vec::new(), None);
    log.headers(EntryKind::Alert, |_, header| {
        let Ok(entry) = AlertEntry::decode(header) else { return };
        let rows = entry.alerts.iter().map(|id| derive::work::find(derived, id));
        match rows.collect::<Result<Vec<_>, _>>() {
            Ok(rows) if !entry.note.is_empty() && rows.iter().flatten().all(|row| rows_gone.contains(row)) => {
                texts.push(entry.note);
            }
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let mut about_person = HashSet::new();
    log.headers(EntryKind::Case, |_, header| {
        let Ok(entry) = CaseEntry::decode(header) else { return };
        if matches!(scope, Scope::Person(person) if *person == entry.person) {
            about_person.insert(entry.id.clone());
        }
        if about_person.contains(&entry.id) && !entry.note.is_empty() {
            texts.push(entry.note);
        }
    })?;
    Ok(texts)
}

/// Entries read in one go: a long read would keep the write-ahead log from being reset.
const READ_AT_ONCE: u64 = 1000;

fn read_all(log: &LogReader, mut take: impl FnMut(&Entry) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (mut next, size) = (0, log.count()?);
    while next < size {
        let until = size.min(next + READ_AT_ONCE);
        log.entries(next, |entry| {
            let within = entry.log_index < until;
            if within {
                take(&entry)?;
            }
            Ok::<_, anyhow::Error>(within)
        })?;
        next = until;
    }
    Ok(())
}

/// Records by entry, in portions that fit into an entry of the log.
fn portions(found: Vec<Found>) -> Vec<Vec<ErasedRecords>> {
    let by_entry = |portion: &[Found]| {
        portion
            .chunk_by(|a, b| a.log_index == b.log_index)
            .filter_map(|of_one| {
                let log_index = of_one.first()?.log_index;
                Some(ErasedRecords { log_index, places: of_one.iter().map(|found| found.place).collect() })
            })
            .collect()
    };
    found.chunks(RECORDS_PER_ENTRY).map(by_entry).collect()
}

/// What a record must be to be erased.
#[derive(Default)]
enum Wanted {
    #[default]
    Nothing,
    Alert(Digest),
    Device(DeviceId, i64),
    Person(String),
}

impl Wanted {
    fn of(derived: &Connection, scope: &Scope) -> anyhow::Result<Self> {
        Ok(match scope {
            Scope::Alert(id) => Self::Alert(key_of(derived, id)?),
            Scope::Device { device, before_ms } => Self::Device(device_id(device)?, *before_ms),
            Scope::Person(person) => Self::Person(person.clone()),
        })
    }
}

/// What holds cover.
#[derive(Default)]
struct Held {
    alerts: HashSet<Digest>,
    persons: HashSet<String>,
}

impl Held {
    fn of(derived: &Connection, holds: &[Standing]) -> anyhow::Result<Self> {
        let mut held = Self::default();
        for hold in holds {
            match &hold.scope {
                Scope::Alert(id) => {
                    let key = key_of(derived, id).with_context(|| format!("the hold of entry {}", hold.entry))?;
                    held.alerts.insert(key);
                }
                Scope::Person(person) => {
                    held.persons.insert(account_of(person).unwrap_or_else(|| person.clone()));
                }
                Scope::Device { .. } => {}
            }
        }
        Ok(held)
    }
}

/// A record to be erased.
struct Found {
    log_index: u64,
    place: u32,
    /// Of the alert it belongs to, where it is a finding.
    alert: Option<Digest>,
}

#[derive(Default)]
struct Search {
    wanted: Wanted,
    held: Held,
    found: Vec<Found>,
    /// Alerts with a record that stays.
    staying: HashSet<Digest>,
    /// Records that would be erased but for a hold.
    forbidden: u64,
}

impl Search {
    fn entry(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let (EntryKind::Segment | EntryKind::Fork, Some(payload)) = (entry.kind(), &entry.payload) else {
            return Ok(());
        };
        let unreadable = || format!("entry {} cannot be read; run log verify", entry.log_index);
        let header = SegmentEntry::decode(&entry.header[..]).with_context(unreadable)?;
        let device = read_statement(&header.statement).with_context(unreadable)?.device;
        for (place, kept) in (0..).zip(record::unframe_kept(payload).with_context(unreadable)?) {
            let Kept::Record(bytes) = kept else { continue };
            // What this version cannot read has no person and no alert, but a device and a time.
            let summary = record::decode(bytes).unwrap_or_default();
            self.record(
                Found { log_index: entry.log_index, place, alert: alert_of(&summary) },
                &summary,
                (device, header.received_at_ms),
            );
        }
        Ok(())
    }

    fn record(&mut self, found: Found, summary: &Summary, (device, received_ms): (DeviceId, i64)) {
        let person = person_of(summary);
        let is_wanted = match &self.wanted {
            Wanted::Nothing => false,
            Wanted::Alert(alert) => found.alert == Some(*alert),
            Wanted::Device(of, before_ms) => device == *of && received_ms < *before_ms,
            Wanted::Person(of) => person == Some(of.as_str()),
        };
        let is_held = found.alert.is_some_and(|alert| self.held.alerts.contains(&alert))
            || person.is_some_and(|person| self.held.persons.contains(person));
        if is_wanted && !is_held {
            self.found.push(found);
            return;
        }
        self.forbidden += u64::from(is_wanted);
        self.staying.extend(found.alert);
    }

    /// Of what a device has sent, alerts go whole or not at all: an alert is known by the finding that opened it.
    fn end(mut self) -> anyhow::Result<Gone> {
        if let Wanted::Device(..) = self.wanted {
            self.found.retain(|found| found.alert.is_none_or(|alert| !self.staying.contains(&alert)));
        } else if self.forbidden > 0 {
            bail!("a hold forbids it for {} records; hold list shows it, hold lift ends it", self.forbidden);
        }
        let alerts = self.found.iter().filter_map(|found| found.alert);
        let alerts = alerts.filter(|alert| !self.staying.contains(alert)).collect();
        Ok(Gone { alerts, records: self.found })
    }
}

/// What is erased.
struct Gone {
    records: Vec<Found>,
    /// Alerts of which nothing stays.
    alerts: HashSet<Digest>,
}

fn person_of(summary: &Summary) -> Option<&str> {
    match summary.kind.as_ref()? {
        summary::Kind::Finding(finding) => Some(&finding.person),
        summary::Kind::Tally(tally) => Some(&tally.account),
        summary::Kind::NoticeAcknowledgement(acknowledgement) => Some(&acknowledgement.account),
        _ => None,
    }
}

fn alert_of(summary: &Summary) -> Option<Digest> {
    match &summary.kind {
        Some(summary::Kind::Finding(finding)) => Some(key_digest(&AlertKey::of(finding))),
        _ => None,
    }
}

/// Short and of one size, so that many are remembered.
fn key_digest(key: &AlertKey<'_>) -> Digest {
    hash("watchpost/alert-key", &[key.joined().as_bytes()])
}

/// The key of an alert, which all its findings have.
fn key_of(derived: &Connection, id: &str) -> anyhow::Result<Digest> {
    let text = "SELECT pack, rule, person, day FROM alert WHERE opened_by = ?1";
    let found: Option<(String, String, String, String)> = derived
        .query_row(text, [alert_id(id)?], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let (pack, rule, person, day) = found.with_context(|| format!("there is no alert {id}"))?;
    Ok(key_digest(&AlertKey { pack: &pack, rule: &rule, person: &person, day }))
}

fn alert_id(id: &str) -> anyhow::Result<Vec<u8>> {
    let bytes = hex::decode(id).ok().filter(|bytes| bytes.len() == 32);
    bytes.with_context(|| format!("{id:?} is not an alert's id: 64 hexadecimal characters"))
}

fn device_id(device: &str) -> anyhow::Result<DeviceId> {
    DeviceId::parse(device).with_context(|| format!("{device:?} is not a device's UUID"))
}
