//! What was looked at: messages of each account and day, and what became of every export.

use std::collections::BTreeMap;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;
use time::{Date, Month};
use watchpost_proto::Message as _;
use watchpost_proto::v1::{FileReport, FileState, Summary, summary};

use crate::alerts::device_name;
use crate::clock::day_in_china;
use crate::derive::DeriveError;

/// China is so many hours before UTC.
const CHINA_HOURS: i64 = 8;
const HOUR_MS: i64 = 60 * 60 * 1000;

/// Messages of one account on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountDay {
    /// `corp/userid`.
    pub account: String,
    /// Day at +08:00, `YYYY-MM-DD`.
    pub day: String,
    /// Messages it sent.
    pub sent: u64,
    /// Messages it received.
    pub received: u64,
    /// Messages among them with a finding.
    pub flagged: u64,
}

/// A day, and how many accounts a device told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Day {
    /// Day at +08:00, `YYYY-MM-DD`.
    pub day: String,
    /// Accounts that were managed on it by the roster, without those of the never list.
    pub managed: u64,
    /// Of these, accounts with messages that were looked at.
    pub seen: u64,
}

/// What became of one export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileOf {
    /// UUID of the device that read it.
    pub device: String,
    /// Tells it from other files of the device without naming it, hexadecimal.
    pub file: String,
    /// The corporation its messages belong to.
    pub corp: String,
    /// `waiting`, `reading`, `done` or `set_aside`.
    pub state: &'static str,
    /// Why it was set aside.
    pub reason: String,
    /// What its messages are carried in: `lines`, `gzip+csv`.
    pub carrier: String,
    /// Bytes of lines read.
    pub bytes: u64,
    /// Messages evaluated.
    pub messages: u64,
    /// Messages without a managed account, or with one of the never list.
    pub out_of_scope: u64,
    /// Messages that were known already.
    pub repeats: u64,
    /// Findings made.
    pub findings: u64,
    /// What could not be read, by kind.
    pub defects: BTreeMap<String, u64>,
    /// Messages by type.
    pub types: BTreeMap<String, u64>,
    /// Time of the oldest message, milliseconds since 1970.
    pub first_ms: Option<i64>,
    /// Time of the newest message.
    pub last_ms: Option<i64>,
}

/// A day at +08:00 as days since 1970, from `YYYY-MM-DD`.
#[must_use]
pub fn parse_day(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-').map(str::parse::<u16>);
    let mut part = || parts.next().and_then(Result::ok);
    let (year, month, day) = (part()?, part()?, part()?);
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()?;
    Some((date - Date::from_ordinal_date(1970, 1).ok()?).whole_days())
}

/// Messages by account and day, from a day on; of an account several devices see, what the one tells that has seen most of each hour. Ordered by
/// account and day.
///
/// # Errors
/// The database.
pub fn accounts(db: &Connection, account: Option<&str>, since_day: i64) -> Result<Vec<AccountDay>, DeriveError> {
    let mut statement = db.prepare(
        "SELECT account, (hour + ?3) / 24 AS day, sum(sent), sum(received), sum(flagged)
         FROM (SELECT account, hour, max(sent) AS sent, max(received) AS received, max(flagged) AS flagged
               FROM tally JOIN device ON device.id = tally.device
               WHERE NOT device.quarantined AND (?1 IS NULL OR account = ?1) AND (hour + ?3) / 24 >= ?2
               GROUP BY account, hour)
         GROUP BY account, day ORDER BY account, day",
    )?;
    let rows = statement.query_map((account, since_day, CHINA_HOURS), |row| {
        Ok(AccountDay {
            account: row.get(0)?,
            day: day_name(row.get(1)?),
            sent: row.get(2)?,
            received: row.get(3)?,
            flagged: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many managed accounts were seen on each of the days; without a roster every account that was ever seen counts.
///
/// # Errors
/// The database.
pub fn days(db: &Connection, first_day: i64, last_day: i64) -> Result<Vec<Day>, DeriveError> {
    const MANAGED: &str = "SELECT DISTINCT account FROM person
        WHERE NOT never AND from_ms < ?2 AND (until_ms = 0 OR until_ms > ?1)";
    const SEEN: &str = "SELECT DISTINCT account FROM seen JOIN device ON device.id = seen.device
        WHERE day = ?1 AND NOT device.quarantined";
    let has_roster: bool = db.query_row("SELECT EXISTS (SELECT 1 FROM person)", [], |row| row.get(0))?;
    let mut managed = db.prepare(&format!("SELECT count(*) FROM ({MANAGED})"))?;
    let mut ever = db.prepare("SELECT count(DISTINCT account) FROM seen")?;
    let mut seen = db.prepare(&format!(
        "SELECT count(*) FROM ({SEEN}) WHERE NOT ?4 OR account IN (SELECT account FROM person
             WHERE NOT never AND from_ms < ?3 AND (until_ms = 0 OR until_ms > ?2))"
    ))?;
    let everybody: u64 = if has_roster { 0 } else { ever.query_row([], |row| row.get(0))? };
    (first_day..=last_day)
        .map(|day| {
            let (from_ms, until_ms) = bounds_of(day);
            let mut of_roster = || managed.query_row((from_ms, until_ms), |row| row.get(0));
            Ok(Day {
                day: day_name(day),
                managed: if has_roster { of_roster()? } else { everybody },
                seen: seen.query_row((day, from_ms, until_ms, has_roster), |row| row.get(0))?,
            })
        })
        .collect()
}

/// One account, and on which of some days it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Calendar {
    /// `corp/userid`.
    pub account: String,
    /// For each day, in order: `seen`, `silent` (managed, nothing was looked at), or `none` (not managed).
    pub days: Vec<&'static str>,
}

/// Which account-days were seen, of managed accounts behind `after` in the order of their names, without those of the never
/// list.
///
/// # Errors
/// The database.
pub fn calendar(
    db: &Connection,
    (first_day, last_day): (i64, i64),
    after: &str,
    limit: u32,
) -> Result<Vec<Calendar>, DeriveError> {
    let (from_ms, _) = bounds_of(first_day);
    let (_, until_ms) = bounds_of(last_day);
    let mut accounts = db.prepare(
        "SELECT DISTINCT account FROM person WHERE account > ?1 AND NOT never AND from_ms < ?3
             AND (until_ms = 0 OR until_ms > ?2) ORDER BY account LIMIT ?4",
    )?;
    let mut periods = db.prepare("SELECT from_ms, until_ms FROM person WHERE account = ?1")?;
    let mut seen = db.prepare(
        "SELECT EXISTS (SELECT 1 FROM seen JOIN device ON device.id = seen.device
             WHERE day = ?1 AND account = ?2 AND NOT device.quarantined)",
    )?;
    let names = accounts.query_map((after, from_ms, until_ms, limit), |row| row.get::<_, String>(0))?;
    let names = names.collect::<Result<Vec<_>, _>>()?;
    names
        .into_iter()
        .map(|account| {
            let periods = periods.query_map([&account], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let periods = periods.collect::<Result<Vec<(i64, i64)>, _>>()?;
            let mut days = Vec::new();
            for day in first_day..=last_day {
                let (from_ms, until_ms) = bounds_of(day);
                let is_managed =
                    periods.iter().any(|(from, until)| *from < until_ms && (*until == 0 || *until > from_ms));
                let is_seen: bool = seen.query_row((day, &account), |row| row.get(0))?;
                days.push(match (is_seen, is_managed) {
                    (true, _) => "seen",
                    (false, true) => "silent",
                    (false, false) => "none",
                });
            }
            Ok(Calendar { account, days })
        })
        .collect()
}

/// The day at +08:00 an hour belongs to, both counted since 1970.
#[must_use]
pub fn day_of_hour(hour: i64) -> i64 {
    hour.saturating_add(CHINA_HOURS).div_euclid(24)
}

/// The day at +08:00 of a moment.
#[must_use]
pub fn day_of(ms: i64) -> i64 {
    day_of_hour(ms.div_euclid(HOUR_MS))
}

/// When a day begins and when the next does.
fn bounds_of(day: i64) -> (i64, i64) {
    let begins = |day: i64| day.saturating_mul(24).saturating_sub(CHINA_HOURS).saturating_mul(HOUR_MS);
    (begins(day), begins(day.saturating_add(1)))
}

/// Every export a device has told of, ordered by device; only those set aside, if so asked.
///
/// # Errors
/// Those of the database and of `take`.
pub fn files<E: From<DeriveError>>(
    db: &Connection,
    only_aside: bool,
    mut take: impl FnMut(FileOf) -> Result<(), E>,
) -> Result<(), E> {
    let mut statement = db
        .prepare(
            "SELECT device.device, summary FROM file_report JOIN device ON device.id = file_report.device
             WHERE NOT ?1 OR state = ?2 ORDER BY device.device, file",
        )
        .map_err(DeriveError::from)?;
    let mut rows = statement.query((only_aside, FileState::SetAside as i32)).map_err(DeriveError::from)?;
    while let Some(row) = rows.next().map_err(DeriveError::from)? {
        let (device, bytes): (Vec<u8>, Vec<u8>) =
            (row.get(0).map_err(DeriveError::from)?, row.get(1).map_err(DeriveError::from)?);
        if let Ok(Summary { kind: Some(summary::Kind::FileReport(report)), .. }) = Summary::decode(&bytes[..]) {
            take(file(&device, report))?;
        }
    }
    Ok(())
}

fn file(device: &[u8], report: FileReport) -> FileOf {
    let state = report.state();
    FileOf {
        device: device_name(device),
        file: hex::encode(&report.file),
        corp: report.corp,
        state: match state {
            FileState::Unspecified => "unknown",
            FileState::Waiting => "waiting",
            FileState::Reading => "reading",
            FileState::Done => "done",
            FileState::SetAside => "set_aside",
        },
        reason: report.reason,
        carrier: report.carrier,
        bytes: report.bytes,
        messages: report.messages,
        out_of_scope: report.out_of_scope,
        repeats: report.repeats,
        findings: report.findings,
        defects: report.defects.into_iter().collect(),
        types: report.types.into_iter().collect(),
        first_ms: Some(report.first_ms).filter(|ms| *ms != 0),
        last_ms: Some(report.last_ms).filter(|ms| *ms != 0),
    }
}

pub(crate) fn day_name(day: i64) -> String {
    const DAY_MS: i64 = 86_400_000;
    day_in_china(day.saturating_mul(DAY_MS)).unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_named_as_they_are_read() {
        for (text, day) in
            [("1970-01-01", Some(0)), ("2026-11-22", Some(20_779)), ("2026-11-31", None), ("today", None), ("", None)]
        {
            assert_eq!(parse_day(text), day, "{text}");
            if let Some(day) = day {
                assert_eq!(day_name(day), text);
            }
        }
        assert_eq!(day_name(i64::MAX / 86_400_000), "unknown");
    }
}
