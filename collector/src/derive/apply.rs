//! One log entry after another, in a transaction per batch.
//!
//! Nothing in an entry can stop the follower: what it does not know, and records that do not decode, are passed over.
//! They stay in the log for a later version.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Transaction};
use watchpost_proto::record::{self, Kept, SALT_BYTES};
use watchpost_proto::segment::{ReadStatement, read_statement};
use watchpost_proto::v1::{
    DeviceAction, EntryKind, Feed, FileReport, Finding, RuleStatus, SegmentEntry, Summary, Tally, summary,
};
use watchpost_proto::{DeviceId, Message as _};

use super::grouping::{self, AlertKey};
use super::work::{Arrivals, Rules, Whence};
use super::{DeriveError, desk, line, lookups, members, people, rosters, schema, suppression, told, trail, work};
use crate::chain::after;
use crate::clocks::{self, Clocks};
use crate::coverage;
use crate::log_store::{DeviceFacts, Entry, LogReader};

/// Alerts remembered by their key; afterwards they are looked up again.
const ALERTS_REMEMBERED: usize = 50_000;

#[derive(Debug)]
pub(super) struct Applier {
    db: Connection,
    position: u64,
    began: u64,
    known: Known,
    /// A batch was begun and has not committed: what is known may have been taken back.
    doubtful: bool,
}

/// Row numbers that were looked up before. Only of rows that are committed or belong to the batch under way.
#[derive(Debug, Default)]
struct Known {
    devices: HashMap<DeviceId, i64>,
    alerts: HashMap<String, i64>,
    /// Clocks and suppressions, until an entry changes them.
    rules: Option<Rules>,
    /// The highest number of a finding.
    last_finding: Option<i64>,
}

impl Applier {
    pub(super) fn new(db: Connection) -> Result<Self, DeriveError> {
        let (position, began) = schema::read_position(&db)?.map_or((0, 0), |position| (position.next, position.began));
        Ok(Self { db, position, began, known: Known::default(), doubtful: false })
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn begin(&mut self) -> Result<Batch<'_>, DeriveError> {
        if std::mem::replace(&mut self.doubtful, true) {
            self.known = Known::default();
        }
        let Self { db, position, began, known, doubtful } = self;
        Ok(Batch { transaction: db.transaction()?, next: *position, position, began: *began, known, doubtful })
    }
}

/// A batch under way; dropping it takes everything back.
pub(super) struct Batch<'a> {
    transaction: Transaction<'a>,
    next: u64,
    position: &'a mut u64,
    began: u64,
    known: &'a mut Known,
    doubtful: &'a mut bool,
}

impl Batch<'_> {
    /// Whether an entry has erased what may have been applied before it was reached.
    pub(super) fn is_undone_by(&self, entry: &Entry) -> bool {
        entry.kind() == EntryKind::Erasure && entry.log_index >= self.began
    }

    pub(super) fn apply(&mut self, entry: &Entry, log: &LogReader) -> Result<(), DeriveError> {
        if entry.log_index != self.next {
            return Err(DeriveError::Entry(self.next));
        }
        trail::apply(&self.transaction, entry)?;
        match entry.kind() {
            EntryKind::Segment => self.segment(entry)?,
            EntryKind::Fork => self.fork(entry)?,
            EntryKind::DeviceAction => self.action(entry)?,
            EntryKind::Token | EntryKind::Enrolment | EntryKind::Expected | EntryKind::KeyEvent => {
                if let Some(device) = members::apply(&self.transaction, entry)? {
                    self.device(&device)?;
                }
            }
            EntryKind::Acknowledgements => told::imported(&self.transaction, &entry.header)?,
            // Kinds of a later version wait for one.
            EntryKind::LogOpened | EntryKind::Authority | EntryKind::Policy | EntryKind::Unspecified => {}
            EntryKind::Roster => {
                let changed = people::apply(&self.transaction, entry, log)?;
                work::moved(&self.transaction, &changed, rules(&self.transaction, self.known)?)?;
            }
            // All of it is in the trail.
            EntryKind::Access => {}
            // Looked up in the log's own indexes.
            EntryKind::LogShown | EntryKind::Shortfall => {}
            EntryKind::Setting => self.setting(entry)?,
            EntryKind::Alert => work::act(&self.transaction, entry, rules(&self.transaction, self.known)?)?,
            EntryKind::Suppression => {
                suppression::apply(&self.transaction, entry)?;
                self.known.rules = None;
            }
            EntryKind::Case => suppression::case(&self.transaction, entry)?,
            EntryKind::Operator | EntryKind::Notification | EntryKind::Names | EntryKind::Words => {}
            // Of a hold nothing is shown; what an erasure means for what was derived is asked before it is applied.
            EntryKind::Erasure | EntryKind::Hold => {}
        }
        self.next += 1;
        Ok(())
    }

    pub(super) fn commit(self) -> Result<(), DeriveError> {
        self.transaction.execute("UPDATE position SET next = ?1", [self.next])?;
        self.transaction.commit()?;
        *self.position = self.next;
        *self.doubtful = false;
        Ok(())
    }

    fn segment(&mut self, entry: &Entry) -> Result<(), DeriveError> {
        let (header, read) = statement_of(entry)?;
        let device = self.device(&read.device)?;
        self.head(device, &header, &read)?;
        let sealed_ms = sealed_ms(&read, header.received_at_ms);
        line::arrived(&self.transaction, device, read.lane, (sealed_ms, header.received_at_ms))?;
        let payload = entry.payload.as_deref().unwrap_or_default();
        let records = record::unframe_kept(payload).map_err(|_| DeriveError::Entry(entry.log_index))?;
        let (mut held, mut found, mut arrivals) = (0, false, Arrivals::default());
        let mut asked = self.transaction.prepare_cached("SELECT quarantined FROM device WHERE id = ?1")?;
        let hidden = asked.query_row([device], |row| row.get(0))?;
        drop(asked);
        for (ordinal, kept) in records.into_iter().enumerate() {
            let Kept::Record(bytes) = kept else { continue };
            let Ok(summary) = record::decode(bytes) else { continue };
            let place =
                Place { log_index: entry.log_index, ordinal, device, hidden, received_ms: header.received_at_ms };
            found |= matches!(&summary.kind, Some(summary::Kind::Finding(finding)) if !finding.withdrawn);
            held += self.summary(&place, &summary, &bytes[SALT_BYTES..], &mut arrivals)?;
        }
        let whence = Whence {
            log_index: entry.log_index,
            at_ms: header.received_at_ms,
            sealed_ms,
            device: (&read.device.0, device),
        };
        work::arrive(&self.transaction, &arrivals, whence, rules(&self.transaction, self.known)?)?;
        if held != 0 || found {
            self.transaction
                .prepare_cached(
                    "UPDATE device SET findings = findings + ?1, last_finding_ms = iif(?3, ?4, last_finding_ms)
                     WHERE id = ?2",
                )?
                .execute((held, device, found, header.received_at_ms))?;
        }
        Ok(())
    }

    /// What a segment says of its device by arriving.
    fn head(&self, device: i64, header: &SegmentEntry, read: &ReadStatement) -> Result<(), DeriveError> {
        self.transaction
            .prepare_cached(
                "UPDATE device SET agent_version = ?1, last_entry_ms = ?2,
                     first_entry_ms = iif(first_entry_ms = 0, ?2, first_entry_ms) WHERE id = ?3",
            )?
            .execute((&read.statement.agent_version, header.received_at_ms, device))?;
        self.transaction
            .prepare_cached("INSERT OR REPLACE INTO lane (device, lane, epoch, next_sequence) VALUES (?1, ?2, ?3, ?4)")?
            .execute((device, read.lane as i32, &read.epoch.0[..], read.statement.sequence + 1))?;
        Ok(())
    }

    fn fork(&mut self, entry: &Entry) -> Result<(), DeriveError> {
        let (_, read) = statement_of(entry)?;
        let device = self.device(&read.device)?;
        self.transaction.execute("UPDATE device SET forks = forks + 1 WHERE id = ?1", [device])?;
        Ok(())
    }

    fn action(&mut self, entry: &Entry) -> Result<(), DeriveError> {
        let malformed = || DeriveError::Entry(entry.log_index);
        let action = DeviceAction::decode(&entry.header[..]).map_err(|_| malformed())?;
        let id = self.device(&DeviceId::from_slice(&action.device).ok_or_else(malformed)?)?;
        let before =
            self.transaction.query_row("SELECT quarantined, revoked FROM device WHERE id = ?1", [id], |row| {
                Ok(DeviceFacts { quarantined: row.get(0)?, revoked: row.get(1)? })
            })?;
        let now = after(before, action.verb());
        self.transaction.execute(
            "UPDATE device SET quarantined = ?1, revoked = ?2, reason = ?3 WHERE id = ?4",
            (now.quarantined, now.revoked, &action.reason, id),
        )?;
        if before.quarantined != now.quarantined {
            let (log_index, at_ms) = (entry.log_index, action.at_ms);
            let whence = Whence { log_index, at_ms, sealed_ms: at_ms, device: (&action.device, id) };
            work::device_hidden(&self.transaction, now.quarantined, whence, rules(&self.transaction, self.known)?)?;
        }
        Ok(())
    }

    fn setting(&mut self, entry: &Entry) -> Result<(), DeriveError> {
        let name = desk::setting(&self.transaction, entry)?;
        let first = name.split('/').next().unwrap_or_default();
        if [clocks::RESPONSE, clocks::CALENDAR].contains(&first) {
            self.known.rules = None;
            work::reset_clocks(&self.transaction, rules(&self.transaction, self.known)?)?;
        }
        Ok(())
    }

    /// Applies one record; returns by how many the findings its device holds have changed.
    fn summary(
        &mut self,
        place: &Place,
        summary: &Summary,
        bytes: &[u8],
        arrivals: &mut Arrivals,
    ) -> Result<i64, DeriveError> {
        match &summary.kind {
            Some(summary::Kind::Finding(finding)) => return self.finding(place, finding, bytes, arrivals),
            Some(summary::Kind::Tally(tally)) => self.tally(place.device, tally)?,
            Some(summary::Kind::FileReport(report)) => self.file_report(place.device, report, bytes)?,
            Some(summary::Kind::Feed(feed)) => self.feed(place.device, feed)?,
            Some(summary::Kind::SelfCheck(check)) => {
                told::self_check(&self.transaction, place.whence(), &summary.policy, check, bytes)?;
            }
            Some(summary::Kind::PolicyReport(said)) => told::policy(&self.transaction, place.whence(), said)?,
            Some(summary::Kind::RosterReport(said)) => rosters::report(&self.transaction, place.whence(), said)?,
            Some(summary::Kind::Posture(said)) => line::posture(&self.transaction, place.whence(), said)?,
            Some(summary::Kind::UnknownAccounts(said)) => rosters::unknown(&self.transaction, place.device, said)?,
            Some(summary::Kind::Goodbye(said)) => told::goodbye(&self.transaction, place.whence(), said)?,
            Some(summary::Kind::NoticeAcknowledgement(said)) => {
                told::acknowledged(&self.transaction, place.whence(), said)?;
            }
            Some(summary::Kind::LogChange(change)) => {
                let at = (place.log_index, place.ordinal, place.device, place.received_ms);
                told::log_change(&self.transaction, at, change)?;
            }
            Some(summary::Kind::Lookup(said)) => {
                let at = (place.log_index, place.ordinal, place.device, place.received_ms);
                lookups::looked_up(&self.transaction, at, said)?;
            }
            Some(summary::Kind::Loss(loss)) => {
                self.transaction
                    .prepare_cached(
                        "INSERT INTO loss (log_index, ordinal, device, reason, summary) VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute((place.log_index, place.ordinal, place.device, &loss.reason, bytes))?;
            }
            None => {}
        }
        Ok(0)
    }

    fn finding(
        &mut self,
        place: &Place,
        finding: &Finding,
        bytes: &[u8],
        arrivals: &mut Arrivals,
    ) -> Result<i64, DeriveError> {
        let device = place.device;
        if finding.finding_id.len() != 32 {
            return Ok(0);
        }
        let (number, is_new) = self.finding_number(&finding.finding_id)?;
        let before = if is_new { None } else { self.observed(number, device)? };
        let shown = !finding.withdrawn && finding.status() == RuleStatus::Live;
        let alert = if shown { Some(self.alert(finding, place)?) } else { None };
        let record = self.keep(before.as_ref().map(|before| before.record), place, bytes)?;
        let told = Told::of(finding, alert);
        let seen_before = before.as_ref().and_then(|before| before.seen_in);
        let is_seen = alert.is_some() && !place.hidden;
        // What people have judged in an alert is not new to it, however often it is told, hidden or taken back.
        let is_fresh = is_seen && (is_new || !self.is_seen_in(number, alert)?);
        self.transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO observation
                     (finding, device, alert, withdrawn, level, msgtime_ms, sla_s, seen_in, record)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute((
                number,
                device,
                alert,
                finding.withdrawn,
                told.level,
                told.msgtime_ms,
                told.sla_s,
                if is_seen { alert } else { seen_before },
                record,
            ))?;
        match alert {
            Some(alert) if is_new && is_fresh => arrivals.new_finding(alert, told.level, told.msgtime_ms, told.sla_s),
            _ if before.as_ref().is_some_and(|before| before.told == told) => {}
            _ => {
                let moved = before.as_ref().and_then(|before| before.told.alert);
                alert.into_iter().chain(moved).for_each(|alert| arrivals.changed(alert));
            }
        }
        if let Some(alert) = alert.filter(|_| is_fresh && !is_new) {
            arrivals.fresh(alert, 1);
        }
        if is_new && !finding.withdrawn && finding.status() == RuleStatus::Shadow {
            work::shadow(&self.transaction, &finding.pack, &finding.rule)?;
        }
        let held = before.is_some_and(|before| !before.withdrawn);
        Ok(i64::from(!finding.withdrawn) - i64::from(held))
    }

    /// Keeps a record in the place of the device's earlier one.
    fn keep(&self, earlier: Option<i64>, place: &Place, bytes: &[u8]) -> Result<i64, DeriveError> {
        let Some(id) = earlier else {
            let mut insert = self
                .transaction
                .prepare_cached("INSERT INTO record (summary, log_index, place) VALUES (?1, ?2, ?3)")?;
            return Ok(insert.insert((bytes, place.log_index, place.ordinal))?);
        };
        self.transaction
            .prepare_cached("UPDATE record SET summary = ?1, log_index = ?2, place = ?3 WHERE id = ?4")?
            .execute((bytes, place.log_index, place.ordinal, id))?;
        Ok(id)
    }

    /// The number of a finding id, and whether it is new.
    fn finding_number(&mut self, id: &[u8]) -> Result<(i64, bool), DeriveError> {
        let last = match self.known.last_finding {
            Some(last) => last,
            None => {
                self.transaction.query_row("SELECT coalesce(max(finding), 0) FROM observation", [], |row| row.get(0))?
            }
        };
        let inserted = self
            .transaction
            .prepare_cached("INSERT INTO finding (finding_id, number) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute((id, last + 1))?;
        self.known.last_finding = Some(last + inserted as i64);
        if inserted == 1 {
            return Ok((last + 1, true));
        }
        let mut select = self.transaction.prepare_cached("SELECT number FROM finding WHERE finding_id = ?1")?;
        Ok((select.query_row([id], |row| row.get(0))?, false))
    }

    fn observed(&self, finding: i64, device: i64) -> Result<Option<Observed>, DeriveError> {
        let mut select = self.transaction.prepare_cached(
            "SELECT withdrawn, record, seen_in, alert, level, msgtime_ms, sla_s FROM observation
                 WHERE finding = ?1 AND device = ?2",
        )?;
        let found = select.query_row((finding, device), |row| {
            let told = Told { alert: row.get(3)?, level: row.get(4)?, msgtime_ms: row.get(5)?, sla_s: row.get(6)? };
            Ok(Observed { withdrawn: row.get(0)?, record: row.get(1)?, seen_in: row.get(2)?, told })
        });
        Ok(found.optional()?)
    }

    /// Whether people could see a finding in this alert before.
    fn is_seen_in(&self, finding: i64, alert: Option<i64>) -> Result<bool, DeriveError> {
        let mut select =
            self.transaction.prepare_cached("SELECT 1 FROM observation WHERE finding = ?1 AND seen_in = ?2")?;
        Ok(select.exists((finding, alert))?)
    }

    /// The alert a finding belongs to; opened by it where there is none.
    fn alert(&mut self, finding: &Finding, place: &Place) -> Result<i64, DeriveError> {
        let key = AlertKey::of(finding);
        let name = key.joined();
        if let Some(id) = self.known.alerts.get(&name) {
            return Ok(*id);
        }
        let found = self
            .transaction
            .prepare_cached("SELECT id FROM alert WHERE pack = ?1 AND rule = ?2 AND person = ?3 AND day = ?4")?
            .query_row((key.pack, key.rule, key.person, &key.day), |row| row.get(0))
            .optional()?;
        let id = match found {
            Some(id) => id,
            None => grouping::open(&self.transaction, &key, finding, (place.log_index, place.ordinal))?,
        };
        if self.known.alerts.len() == ALERTS_REMEMBERED {
            self.known.alerts.clear();
        }
        self.known.alerts.insert(name, id);
        Ok(id)
    }

    /// A tally is a snapshot: a device's latest in log order replaces, also one of a restored disk that counts anew.
    fn tally(&self, device: i64, tally: &Tally) -> Result<(), DeriveError> {
        // So that nobody's counts overflow the sums of all.
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let count = |value: u64| number(value).min(COUNT_MAX);
        self.transaction
            .prepare_cached(
                "INSERT INTO tally (device, account, hour, revision, sent, received, flagged)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT DO UPDATE SET revision = ?4, sent = ?5, received = ?6, flagged = ?7",
            )?
            .execute((
                device,
                &tally.account,
                tally.hour,
                number(tally.revision),
                count(tally.sent),
                count(tally.received),
                count(tally.flagged),
            ))?;
        self.transaction
            .prepare_cached("INSERT OR IGNORE INTO seen (day, account, device) VALUES (?1, ?2, ?3)")?
            .execute((coverage::day_of_hour(i64::from(tally.hour)), &tally.account, device))?;
        Ok(())
    }

    fn file_report(&self, device: i64, report: &FileReport, bytes: &[u8]) -> Result<(), DeriveError> {
        self.transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO file_report (device, file, state, reason, summary)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((device, &report.file, report.state, &report.reason, bytes))?;
        Ok(())
    }

    /// A folder that nothing is expected of any more is let go of.
    fn feed(&self, device: i64, feed: &Feed) -> Result<(), DeriveError> {
        if feed.folder.len() != 32 {
            return Ok(());
        }
        if feed.expected.is_empty() {
            self.transaction
                .prepare_cached("DELETE FROM feed WHERE device = ?1 AND folder = ?2")?
                .execute((device, &feed.folder))?;
            return Ok(());
        }
        let mut others =
            self.transaction.prepare_cached("SELECT count(*) FROM feed WHERE device = ?1 AND folder <> ?2")?;
        if others.query_row((device, &feed.folder), |row| row.get::<_, usize>(0))? >= FEEDS_MAX {
            return Ok(());
        }
        self.transaction.prepare_cached("INSERT OR REPLACE INTO feed VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(
            (device, &feed.folder, &feed.corp, &feed.expected, feed.starved_ms, feed.last_export_ms, feed.gone_from_ms),
        )?;
        Ok(())
    }

    fn device(&mut self, device: &DeviceId) -> Result<i64, DeriveError> {
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
}

/// Messages of an account in an hour that are believed.
const COUNT_MAX: i64 = 1 << 32;
/// Folders of a device that are kept.
const FEEDS_MAX: usize = 1_000;

/// A device's earlier record of a finding.
struct Observed {
    withdrawn: bool,
    record: i64,
    /// The alert in which people could see it last.
    seen_in: Option<i64>,
    told: Told,
}

/// What a device tells of a finding, as far as its alert is counted by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    alert: Option<i64>,
    level: i32,
    msgtime_ms: i64,
    sla_s: i64,
}

impl Told {
    /// No number a device sends is believed to be below nothing.
    fn of(finding: &Finding, alert: Option<i64>) -> Self {
        let sla_s = i64::try_from(finding.sla_s).unwrap_or(i64::MAX);
        Self { alert, level: finding.level.max(0), msgtime_ms: finding.msgtime_ms.max(0), sla_s }
    }
}

/// Where a record is.
struct Place {
    log_index: u64,
    ordinal: usize,
    device: i64,
    /// The device is quarantined.
    hidden: bool,
    received_ms: i64,
}

impl Place {
    /// The device, and when it came.
    fn whence(&self) -> (i64, i64) {
        (self.device, self.received_ms)
    }
}

/// Longest time for which a device is believed to have had no line; its clock was wrong rather.
const LINE_AWAY_MAX_MS: i64 = 400 * 24 * 60 * 60 * 1000;

/// When a device sealed a segment, by its clock or the last time a server told it; 0 where that cannot be.
fn sealed_ms(read: &ReadStatement, received_ms: i64) -> i64 {
    let clocks = read.statement.clocks.clone().unwrap_or_default();
    let sealed_ms = clocks.wall_ms.max(clocks.server_ms);
    if (received_ms.saturating_sub(LINE_AWAY_MAX_MS)..=received_ms).contains(&sealed_ms) { sealed_ms } else { 0 }
}

/// By what alerts are judged now.
fn rules<'a>(db: &Connection, known: &'a mut Known) -> Result<&'a Rules, DeriveError> {
    if known.rules.is_none() {
        known.rules = Some(Rules { clocks: Clocks::read(db)?, suppressions: suppression::standing(db)? });
    }
    known.rules.as_ref().ok_or(DeriveError::Entry(0))
}

fn statement_of(entry: &Entry) -> Result<(SegmentEntry, ReadStatement), DeriveError> {
    let malformed = || DeriveError::Entry(entry.log_index);
    let header = SegmentEntry::decode(&entry.header[..]).map_err(|_| malformed())?;
    let read = read_statement(&header.statement).map_err(|_| malformed())?;
    Ok((header, read))
}
