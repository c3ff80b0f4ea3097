//! One log entry after another, in a transaction per batch.
//!
//! Nothing in an entry can stop the follower: what it does not know, and records that do not decode, are passed over.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension as _, Transaction};
use watchpost_proto::digest::hash;
use watchpost_proto::record::{self, Kept};
use watchpost_proto::segment::read_statement;
use watchpost_proto::v1::{DeviceAction, EntryKind, Finding, Level, RuleStatus, SegmentEntry, summary};
use watchpost_proto::{DeviceId, Message as _};

use super::kinds::{ALL, Kind, Part, number_of};
use super::{SearchError, grams, schema};
use crate::chain::after;
use crate::derive::grouping::AlertKey;
use crate::log_store::{DeviceFacts, Entry};
use crate::names;

/// Findings of one minute that stand in it; more stand in the next that has room.
pub(super) const TURNS: i64 = 1 << 12;
const MINUTE_MS: i64 = 60_000;
/// Bytes of the names whose numbers are remembered; afterwards they are looked up again.
const REMEMBERED_BYTES: usize = 32 << 20;
/// What a name takes beside its text, about.
const BESIDE_BYTES: usize = 64;
/// Bytes of a name. Only what a device makes up is longer, and what is behind is not kept.
const NAME_BYTES_MAX: usize = 256;
/// Moments later than this, in the year 6429, stand there.
const TIME_MS_MAX: i64 = 1 << 47;
/// Bytes of a word that is remembered; no list has longer ones.
const WORD_BYTES_MAX: usize = 256;

/// What a device told of a finding before goes.
pub(super) const GOES: &str =
    "UPDATE found SET device = 0, finding = x'' WHERE finding = ?1 AND device = ?2 AND device <> 0";

#[derive(Debug)]
pub(super) struct Index {
    db: Connection,
    position: u64,
    began: u64,
    displaced: i64,
    known: Known,
    /// A batch was begun and has not committed: what is known may have been taken back.
    doubtful: bool,
}

/// What was looked up before. Only of rows that are committed or belong to the batch under way.
#[derive(Debug, Default)]
struct Known {
    devices: HashMap<DeviceId, i64>,
    numbers: HashMap<(Kind, String), i64>,
    /// What they take, about.
    bytes: usize,
    /// Minutes that are full, and a later one that may have room.
    full: HashMap<i64, i64>,
}

impl Known {
    fn remember(&mut self, key: (Kind, String), number: i64) {
        let bytes = key.1.len() + BESIDE_BYTES;
        if self.bytes + bytes > REMEMBERED_BYTES {
            self.numbers.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.numbers.insert(key, number);
    }
}

impl Index {
    pub(super) fn new(db: Connection) -> Result<Self, SearchError> {
        let found = schema::read_position(&db)?;
        let (position, began, displaced) = found.map_or((0, 0, 0), |it| (it.next, it.began, it.displaced));
        Ok(Self { db, position, began, displaced, known: Known::default(), doubtful: false })
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Overwrites what the write-ahead log still has of names that went. Where a reader is in the way the next checkpoint does it.
    pub(super) fn forget(&self) -> Result<(), SearchError> {
        Ok(self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }

    pub(super) fn begin(&mut self) -> Result<Batch<'_>, SearchError> {
        if std::mem::replace(&mut self.doubtful, true) {
            self.known = Known::default();
        }
        let Self { db, position, began, displaced, known, doubtful } = self;
        let (next, began) = (*position, *began);
        let behind = *displaced;
        let (terms, forget, transaction) = (Vec::new(), false, db.transaction()?);
        Ok(Batch { transaction, next, began, behind, terms, forget, position, displaced, known, doubtful })
    }
}

/// A batch under way; dropping it takes everything back.
pub(super) struct Batch<'a> {
    transaction: Transaction<'a>,
    next: u64,
    began: u64,
    behind: i64,
    /// Places and their terms. They go in last and in order: the index takes them so at once, and each out of order alone.
    terms: Vec<(i64, String)>,
    /// Names went, and what the write-ahead log has of them is to go as well.
    forget: bool,
    position: &'a mut u64,
    displaced: &'a mut i64,
    known: &'a mut Known,
    doubtful: &'a mut bool,
}

/// Where a record is.
struct Record {
    log_index: u64,
    ordinal: usize,
    device: i64,
    received_ms: i64,
}

impl Batch<'_> {
    /// Whether an entry has erased what may have been applied before it was reached.
    pub(super) fn is_undone_by(&self, entry: &Entry) -> bool {
        entry.kind() == EntryKind::Erasure && entry.log_index >= self.began
    }

    pub(super) fn apply(&mut self, entry: &Entry, log: &Connection) -> Result<(), SearchError> {
        if entry.log_index != self.next {
            return Err(SearchError::Entry(self.next));
        }
        match entry.kind() {
            EntryKind::Segment => self.segment(entry)?,
            EntryKind::DeviceAction => self.action(entry)?,
            EntryKind::Names => self.forget |= names::apply(&self.transaction, log, &entry.header)?,
            _ => {}
        }
        self.next += 1;
        Ok(())
    }

    /// True where [`Index::forget`] has to follow.
    pub(super) fn commit(mut self) -> Result<bool, SearchError> {
        self.terms.sort_unstable();
        {
            let mut insert = self.transaction.prepare_cached("INSERT INTO words (rowid, text) VALUES (?1, ?2)")?;
            for (place, terms) in &self.terms {
                insert.execute((place, terms))?;
            }
        }
        self.transaction.execute("UPDATE position SET next = ?1, displaced = ?2", (self.next, self.behind))?;
        self.transaction.commit()?;
        (*self.position, *self.displaced) = (self.next, self.behind);
        *self.doubtful = false;
        Ok(self.forget)
    }

    fn segment(&mut self, entry: &Entry) -> Result<(), SearchError> {
        let malformed = || SearchError::Entry(entry.log_index);
        let header = SegmentEntry::decode(&entry.header[..]).map_err(|_| malformed())?;
        let device = self.device(&read_statement(&header.statement).map_err(|_| malformed())?.device)?;
        let payload = entry.payload.as_deref().unwrap_or_default();
        for (ordinal, kept) in record::unframe_kept(payload).map_err(|_| malformed())?.into_iter().enumerate() {
            let Kept::Record(bytes) = kept else { continue };
            let Ok(summary) = record::decode(bytes) else { continue };
            let Some(summary::Kind::Finding(finding)) = summary.kind else { continue };
            let record = Record { log_index: entry.log_index, ordinal, device, received_ms: header.received_at_ms };
            self.finding(&finding, &record)?;
        }
        Ok(())
    }

    fn action(&mut self, entry: &Entry) -> Result<(), SearchError> {
        let malformed = || SearchError::Entry(entry.log_index);
        let action = DeviceAction::decode(&entry.header[..]).map_err(|_| malformed())?;
        let id = self.device(&DeviceId::from_slice(&action.device).ok_or_else(malformed)?)?;
        let before =
            self.transaction.query_row("SELECT quarantined, revoked FROM device WHERE id = ?1", [id], |row| {
                Ok(DeviceFacts { quarantined: row.get(0)?, revoked: row.get(1)? })
            })?;
        let now = after(before, action.verb());
        self.transaction.execute(
            "UPDATE device SET quarantined = ?1, revoked = ?2 WHERE id = ?3",
            (now.quarantined, now.revoked, id),
        )?;
        Ok(())
    }

    fn finding(&mut self, finding: &Finding, record: &Record) -> Result<(), SearchError> {
        if finding.finding_id.len() != 32 {
            return Ok(());
        }
        let id = finding.finding_id.as_slice();
        self.transaction.prepare_cached(GOES)?.execute((id, record.device))?;
        if finding.withdrawn || finding.status() != RuleStatus::Live {
            return Ok(());
        }
        let msgtime_ms = finding.msgtime_ms;
        let place = self.place(if msgtime_ms == 0 { record.received_ms } else { msgtime_ms })?;
        let mut terms = BTreeSet::from([ALL.to_owned()]);
        let columns = self.columns(finding, record, &mut terms)?;
        self.transaction
            .prepare_cached(
                "INSERT INTO found (place, finding, device, rule, category, level, person, sender, room, msgtype, msgtime_ms,
                     received_ms, msgid, log_index, ordinal)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?
            .execute((
                place,
                id,
                record.device,
                columns.rule,
                columns.category,
                level_of(finding),
                columns.person,
                columns.sender,
                columns.room,
                columns.msgtype,
                msgtime_ms,
                record.received_ms,
                &finding.msgid,
                record.log_index,
                record.ordinal,
            ))?;
        terms.extend(grams::terms(&grams::fold(&finding.excerpt)));
        self.terms.push((place, terms.into_iter().collect::<Vec<_>>().join(" ")));
        Ok(())
    }

    /// The numbers of what a finding names, each a term as well.
    fn columns(
        &mut self,
        finding: &Finding,
        record: &Record,
        terms: &mut BTreeSet<String>,
    ) -> Result<Columns, SearchError> {
        let mut term = |part: Part, number: i64| {
            terms.insert(part.term(number));
            number
        };
        let (pack, level) = (cut(&finding.pack), level_of(finding));
        let rule = format!("{pack}\t{}", cut(&finding.rule));
        let columns = Columns {
            rule: term(Part::Rule, self.number(Kind::Rule, &rule)?),
            category: term(Part::Category, self.number(Kind::Category, cut(&finding.category))?),
            person: term(Part::Person, self.number(Kind::Party, cut(&finding.person))?),
            sender: term(Part::From, self.number(Kind::Party, cut(&finding.from))?),
            room: term(Part::Room, self.number(Kind::Room, cut(&finding.room))?),
            msgtype: term(Part::Type, self.number(Kind::Type, cut(&finding.msgtype))?),
        };
        term(Part::Pack, self.number(Kind::Pack, pack)?);
        term(Part::Level, i64::from(level));
        term(Part::Device, record.device);
        terms.insert(alert_term(&finding.pack, &finding.rule, &finding.person, &AlertKey::of(finding).day));
        for to in &finding.to {
            terms.insert(Part::To.term(self.number(Kind::Party, cut(to))?));
        }
        for hit in finding.hits.iter().filter(|hit| (1..=WORD_BYTES_MAX).contains(&hit.word.len())) {
            terms.insert(Part::Word.term(self.number(Kind::Word, &grams::fold(&hit.word))?));
        }
        Ok(columns)
    }

    fn number(&mut self, kind: Kind, text: &str) -> Result<i64, SearchError> {
        let key = (kind, text.to_owned());
        if let Some(number) = self.known.numbers.get(&key) {
            return Ok(*number);
        }
        let number = match number_of(&self.transaction, kind, text)? {
            Some(number) => number,
            None => self
                .transaction
                .prepare_cached("INSERT INTO term (kind, text) VALUES (?1, ?2)")?
                .insert((kind.number(), text))?,
        };
        self.known.remember(key, number);
        Ok(number)
    }

    fn device(&mut self, device: &DeviceId) -> Result<i64, SearchError> {
        if let Some(id) = self.known.devices.get(device) {
            return Ok(*id);
        }
        self.transaction
            .prepare_cached("INSERT INTO device (device) VALUES (?1) ON CONFLICT DO NOTHING")?
            .execute([&device.0[..]])?;
        let mut select = self.transaction.prepare_cached("SELECT id FROM device WHERE device = ?1")?;
        let id = select.query_row([&device.0[..]], |row| row.get(0))?;
        self.known.devices.insert(*device, id);
        Ok(id)
    }

    /// The next turn in the minute of a moment, or in the next minute that has room.
    fn place(&mut self, at_ms: i64) -> Result<i64, SearchError> {
        let wanted = minute(at_ms);
        let mut at = wanted;
        loop {
            while let Some(later) = self.known.full.get(&at) {
                at = *later;
            }
            let mut last =
                self.transaction.prepare_cached("SELECT max(place) FROM found WHERE place BETWEEN ?1 AND ?2")?;
            let (first, end) = (at * TURNS, at * TURNS + TURNS - 1);
            let last: Option<i64> = last.query_row((first, end), |row| row.get(0)).optional()?.flatten();
            match last {
                Some(last) if last == end => {
                    self.known.full.insert(at, at + 1);
                }
                last => {
                    // Whoever comes next finds its way at once, however many minutes are full.
                    if at > wanted {
                        self.known.full.insert(wanted, at);
                        self.behind = self.behind.max(at - wanted);
                    }
                    return Ok(last.map_or(first, |last| last + 1));
                }
            }
        }
    }
}

/// The term of an alert's findings. Two alerts may share one: whoever asks for it looks at the row as well.
pub(super) fn alert_term(pack: &str, rule: &str, person: &str, day: &str) -> String {
    let key = AlertKey { pack, rule, person, day: day.to_owned() }.joined();
    let digest = hash("watchpost/search-alert", &[key.as_bytes()]);
    format!("_a{}", hex::encode(digest.0.get(..8).unwrap_or_default()))
}

/// The beginning of a name.
fn cut(name: &str) -> &str {
    name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default()
}

/// The level, or the nearest there is: no finding hides behind a number that cannot be asked for.
fn level_of(finding: &Finding) -> i32 {
    finding.level.clamp(Level::Info.into(), Level::Critical.into())
}

/// The minute of a moment; none is before 1970.
pub(super) fn minute(at_ms: i64) -> i64 {
    at_ms.clamp(0, TIME_MS_MAX) / MINUTE_MS
}

struct Columns {
    rule: i64,
    category: i64,
    person: i64,
    sender: i64,
    room: i64,
    msgtype: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_has_an_end_however_long_names_are() {
        let mut known = Known::default();
        for number in 0..100 {
            known.remember((Kind::Party, format!("{number}{}", "a".repeat(1 << 20))), number);
            let held: usize = known.numbers.keys().map(|(_, text)| text.len()).sum();
            assert!(held <= REMEMBERED_BYTES && known.numbers.len() <= 32);
        }
        assert_eq!(cut(&"字".repeat(100)), "字".repeat(85));
    }
}
