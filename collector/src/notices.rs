//! Who has acknowledged the notice (告知确认): told by devices, or collected elsewhere and imported.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use serde::Serialize;
use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, offset};
use time::{Date, OffsetDateTime, PrimitiveDateTime, Time};
use watchpost_proto::Message as _;
use watchpost_proto::digest::sha256;
use watchpost_proto::v1::{AcknowledgementsEntry, EntryKind, ImportedAcknowledgement};

use crate::alerts::device_name;
use crate::derive::DeriveError;
use crate::enrolment::desk::{Act, DeskError};
use crate::log_store::Appender;

/// Rows of one entry of the log, and of a list.
const ROWS_PER_ENTRY: usize = 1_000;
const ROWS_MAX: usize = 1_000_000;
/// Mistakes told at once; more help nobody.
const MISTAKES_MAX: usize = 100;
const ACCOUNT_BYTES_MAX: usize = 256;
const SOURCE_BYTES_MAX: usize = 256;

/// An acknowledgement as it is imported: account, version, milliseconds since 1970, source.
pub type Row = (String, u64, i64, String);

/// How an account stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Acknowledged {
    /// `corp/userid`.
    pub account: String,
    /// The latest version it has acknowledged.
    pub version: Option<u64>,
    /// When, milliseconds since 1970.
    pub at_ms: Option<i64>,
    /// SHA-256 of the text it was shown, hexadecimal; empty where it was imported.
    pub notice: String,
    /// Device it said so on, or where the acknowledgement is kept.
    pub via: String,
    /// Whether this is the version asked for, or a later one.
    pub done: bool,
}

/// Reads a list: CSV with the columns account, version, at, source.
///
/// # Errors
/// All mistakes, each with its line. With one of them nothing is imported.
pub fn parse(bytes: &[u8], now_ms: i64) -> Result<Vec<Row>, Vec<String>> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| vec!["the list is not UTF-8; save it as CSV in UTF-8".to_owned()])?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| vec![error.to_string()])?.clone();
    let column = |name: &str| headers.iter().position(|header| header.eq_ignore_ascii_case(name));
    let columns = ["account", "version", "at", "source"].map(column);
    let [Some(account), Some(version), Some(at), Some(source)] = columns else {
        return Err(vec!["line 1: the columns are account, version, at, source".into()]);
    };
    let (mut rows, mut mistakes, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for record in reader.records() {
        if mistakes.len() >= MISTAKES_MAX || rows.len() > ROWS_MAX {
            break;
        }
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                mistakes.push(error.to_string());
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        let field = |at: usize| record.get(at).unwrap_or_default();
        match row([account, version, at, source].map(field), now_ms) {
            Ok(row) if !seen.insert((row.0.clone(), row.1)) => {
                mistakes.push(format!("line {line}: {} and version {} are there twice", row.0, row.1));
            }
            Ok(row) => rows.push(row),
            Err(mistake) => mistakes.push(format!("line {line}: {mistake}")),
        }
    }
    if rows.is_empty() && mistakes.is_empty() {
        mistakes.push("the list has no rows".into());
    }
    if rows.len() > ROWS_MAX {
        mistakes.push(format!("the list has more than {ROWS_MAX} rows; import it in parts"));
    }
    if mistakes.is_empty() { Ok(rows) } else { Err(mistakes) }
}

fn row([account, version, at, source]: [&str; 4], now_ms: i64) -> Result<Row, String> {
    let account = account_of(account).ok_or_else(|| format!("{account:?} is no account; write corp/userid"))?;
    let number = version.parse::<u32>().ok().filter(|number| *number > 0);
    let number = number.ok_or_else(|| format!("{version:?} is no version; write its number"))?;
    let at_ms = moment(at).ok_or_else(|| format!("{at:?} is no time; write 2026-11-20 or 2026-11-20 10:30"))?;
    if at_ms > now_ms {
        return Err(format!("{at} has not come yet"));
    }
    if source.is_empty() || source.len() > SOURCE_BYTES_MAX || source.chars().any(char::is_control) {
        return Err("the source must say where the acknowledgement is kept, in at most 256 bytes".into());
    }
    Ok((account, u64::from(number), at_ms, source.to_owned()))
}

/// `corp/userid` as devices name it.
pub(crate) fn account_of(text: &str) -> Option<String> {
    let (corp, userid) = text.split_once('/')?;
    let is_name = |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_control() || c.is_whitespace());
    let is_account = is_name(corp) && is_name(userid) && text.len() <= ACCOUNT_BYTES_MAX;
    is_account.then(|| format!("{corp}/{}", userid.to_ascii_lowercase()))
}

/// A day or a moment in China, or one with its offset.
fn moment(text: &str) -> Option<i64> {
    let in_china = |moment: PrimitiveDateTime| moment.assume_offset(offset!(+8));
    let day = || Date::parse(text, format_description!("[year]-[month]-[day]")).ok();
    let minute = || PrimitiveDateTime::parse(text, format_description!("[year]-[month]-[day] [hour]:[minute]")).ok();
    let moment = day()
        .map(|day| in_china(PrimitiveDateTime::new(day, Time::MIDNIGHT)))
        .or_else(|| minute().map(in_china))
        .or_else(|| OffsetDateTime::parse(text, &Rfc3339).ok())?;
    moment.unix_timestamp().checked_mul(1000).filter(|ms| *ms > 0)
}

/// Appends imported acknowledgements, all of them or, with the group under way, none. The same again changes nothing that is shown.
///
/// # Errors
/// What cannot be an acknowledgement, or the log.
pub fn import(appender: &mut Appender<'_>, rows: &[Row], act: &Act<'_>) -> Result<Vec<u64>, DeskError> {
    let list = sha256(&[&serde_json::to_vec(rows).map_err(|error| DeskError::Told(error.to_string()))?]);
    if let Some((account, ..)) =
        rows.iter().find(|(account, version, ..)| account_of(account).is_none() || *version == 0)
    {
        return Err(DeskError::Told(format!("{account:?} is no acknowledgement")));
    }
    let entry = |part: &[Row]| AcknowledgementsEntry {
        rows: part.iter().cloned().map(imported).collect(),
        list: list.to_vec(),
        by: act.by.into(),
        reason: act.reason.into(),
        at_ms: act.at_ms,
    };
    let entries = rows
        .chunks(ROWS_PER_ENTRY)
        .map(|part| Ok(appender.append(EntryKind::Acknowledgements, &entry(part).encode_to_vec())?));
    entries.collect()
}

fn imported((account, notice_version, at_ms, source): Row) -> ImportedAcknowledgement {
    ImportedAcknowledgement { account, notice_version, at_ms, source }
}

/// Every account that was seen or has acknowledged, in order, and whether it has acknowledged a version; without one the latest that anybody has.
///
/// # Errors
/// The database.
pub fn list(db: &Connection, version: Option<u64>) -> Result<Vec<Acknowledged>, DeriveError> {
    let known = latest(db)?;
    let version = version.or_else(|| known.values().filter_map(|known| known.version).max()).unwrap_or(1);
    let mut seen = db.prepare(
        "SELECT account FROM tally JOIN device ON device.id = tally.device WHERE NOT device.quarantined
         UNION SELECT person FROM alert WHERE person <> '' ORDER BY 1",
    )?;
    let seen = seen.query_map([], |row| row.get(0))?.collect::<Result<BTreeSet<String>, _>>()?;
    let mut all: BTreeMap<String, Acknowledged> =
        seen.into_iter().map(|account| (account.clone(), nothing(account))).collect();
    all.extend(known);
    Ok(all.into_values().map(|it| Acknowledged { done: it.version.is_some_and(|its| its >= version), ..it }).collect())
}

/// The latest version that anybody has acknowledged, with the digest of its text where a device told it.
///
/// # Errors
/// The database.
pub fn newest(db: &Connection) -> Result<Option<(u64, String)>, DeriveError> {
    let known = latest(db)?.into_values();
    Ok(known.filter_map(|it| Some((it.version?, it.notice))).max())
}

fn nothing(account: String) -> Acknowledged {
    Acknowledged { account, version: None, at_ms: None, notice: String::new(), via: String::new(), done: false }
}

/// By account: its latest version, and how it was acknowledged first.
fn latest(db: &Connection) -> Result<BTreeMap<String, Acknowledged>, DeriveError> {
    let mut statement = db.prepare(
        "SELECT account, version, notice, at_ms, device.device, source FROM acknowledgement
         LEFT JOIN device ON device.id = acknowledgement.device
         WHERE coalesce(NOT device.quarantined, 1) ORDER BY account, version, received_ms DESC",
    )?;
    let rows = statement.query_map([], |row| {
        let (notice, device): (Vec<u8>, Option<Vec<u8>>) = (row.get(2)?, row.get(4)?);
        let source: String = row.get(5)?;
        Ok(Acknowledged {
            account: row.get(0)?,
            version: row.get(1)?,
            at_ms: row.get(3)?,
            notice: hex::encode(notice),
            via: device.map_or(source, |device| device_name(&device)),
            done: false,
        })
    })?;
    let mut latest = BTreeMap::new();
    for row in rows {
        let row = row?;
        latest.insert(row.account.clone(), row);
    }
    Ok(latest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_132_800_000;

    #[test]
    fn a_list_is_read_whole_or_not_at_all_and_mistakes_are_told_by_line() {
        let good = "\u{feff}account,version,at,source\nww1/Li.Na,3,2026-11-18,纸质签收 册1\nww1/wang,2,2026-11-18 10:30,\"OA, 第7页\"\n\
            ww1/zhao,3,2026-11-18T10:30:00+08:00,OA\n";
        let rows = parse(good.as_bytes(), NOW_MS).unwrap();
        assert_eq!(rows[0], ("ww1/li.na".into(), 3, 1_794_931_200_000, "纸质签收 册1".into()));
        assert_eq!((rows[1].2, rows[2].2, &*rows[1].3), (1_794_969_000_000, 1_794_969_000_000, "OA, 第7页"));
        let bad = "account,version,at,source\nli.na,3,2026-11-18,a\nww1/a,0,2026-11-18,a\nww1/a,3,yesterday,a\nww1/a,3,2027-11-18,a\n\
            ww1/a,3,2026-11-18,\nww1/b,3,2026-11-18,a\nww1/B,3,2026-11-17,a\n";
        let told = parse(bad.as_bytes(), NOW_MS).unwrap_err();
        let lines: Vec<&str> = told.iter().map(|mistake| mistake.split(':').next().unwrap()).collect();
        assert_eq!(lines, ["line 2", "line 3", "line 4", "line 5", "line 6", "line 8"], "{told:#?}");
        for (text, expected) in
            [("", "columns"), ("account,version\n", "columns"), ("account,version,at,source\n", "no rows")]
        {
            assert!(parse(text.as_bytes(), NOW_MS).unwrap_err()[0].contains(expected), "{text:?}");
        }
        assert!(parse(b"\xff", NOW_MS).unwrap_err()[0].contains("UTF-8"));
    }
}
