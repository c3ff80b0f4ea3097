//! What an employee sees of themselves, from what is derived: for accounts whose exports are looked at on an archive host, where nobody of them has a device.
//!
//! ```text
//! link (HR hands it out, once) ─► session of their own ─► about me: told, rules in force, days ─► page, file
//!                                                             └─► appeal ─► desk (log) ─► alert's history
//! ```

pub mod links;
pub mod rules;

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use watchpost_policy::my_data::{Day, MyData, Notice, Sent};
use watchpost_proto::Message as _;
use watchpost_proto::v1::{Disclose, Finding, Summary, summary};

use crate::alerts::level_name;
use crate::derive::DeriveError;
use crate::notices;

const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// China is so much before UTC.
const CHINA_MS: i64 = 8 * HOUR_MS;
/// How far back the page looks.
pub const SENT_DAYS: i64 = 90;
/// Records listed on a page; more are only counted.
const SENT_MAX: usize = 2_000;
/// What stands for a rule whose name is not known here.
const UNNAMED: (&str, &str) = ("规则名称见设备端页面", "the device's page names the rule");

/// A finding about somebody, as it was told last.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// What was told.
    pub finding: Finding,
    /// When it was made, milliseconds since 1970.
    pub at_ms: i64,
    /// The alert it is part of; nothing where nobody has to deal with it.
    pub alert: Option<String>,
}

/// What was told about somebody.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Findings, the newest first.
    pub told: Vec<Told>,
    /// Findings about others in which they are named as one of the parties.
    pub mentioned: u64,
}

/// The page about an account, `corp/userid`. What devices that are quarantined have told is not on it.
///
/// # Errors
/// The database.
pub fn page(db: &Connection, account: &str, who: Vec<String>, now_ms: i64) -> Result<MyData, DeriveError> {
    let accounts = [account.to_owned()];
    let About { told, mentioned } = about(db, &accounts, now_ms - SENT_DAYS * DAY_MS)?;
    // Its name is not known here, and its id may tell what a confidential list is about.
    let named = |_: &Finding| (UNNAMED.0.to_owned(), UNNAMED.1.to_owned());
    Ok(MyData {
        account: account.to_owned(),
        made_ms: now_ms,
        watched: None,
        rules: None,
        who,
        notice: notice(db, account)?,
        sent_total: told.len() as u64,
        sent: told.into_iter().take(SENT_MAX).map(|told| sent(told, named)).collect(),
        mentioned,
        days: days(db, &accounts, now_ms)?,
    })
}

/// Messages of these accounts by day, the newest first.
///
/// # Errors
/// The database.
pub fn days(db: &Connection, accounts: &[String], now_ms: i64) -> Result<Vec<Day>, DeriveError> {
    let since_hour = (now_ms - SENT_DAYS * DAY_MS).div_euclid(HOUR_MS);
    // By device first: what others sent is not read. Of an hour that several have seen, who has seen most of it counts.
    let mut select = db.prepare_cached(
        "SELECT (hour + ?3) / 24, sum(sent), sum(received), sum(flagged)
         FROM (SELECT hour, max(sent) AS sent, max(received) AS received, max(flagged) AS flagged
               FROM device CROSS JOIN tally ON tally.device = device.id AND tally.account = ?1 AND tally.hour >= ?2
               WHERE NOT device.quarantined GROUP BY hour)
         GROUP BY 1",
    )?;
    let mut days: BTreeMap<i64, Day> = BTreeMap::new();
    for account in accounts {
        let mut rows = select.query((account, since_hour, CHINA_MS / HOUR_MS))?;
        while let Some(row) = rows.next()? {
            let day_ms = row.get::<_, i64>(0)? * DAY_MS - CHINA_MS;
            let day = days.entry(day_ms).or_insert_with(|| Day { day_ms, ..Day::default() });
            day.sent += row.get::<_, u64>(1)?;
            day.received += row.get::<_, u64>(2)?;
            day.flagged += row.get::<_, u64>(3)?;
        }
    }
    Ok(days.into_values().rev().collect())
}

/// What was told about the owner of these accounts since a moment. Each finding counts once, as it was told last. It reads every
/// record there is.
///
/// # Errors
/// The database.
pub fn about(db: &Connection, accounts: &[String], since_ms: i64) -> Result<About, DeriveError> {
    let mut statement = db.prepare(
        "SELECT observation.finding, summary, lower(hex(alert.opened_by))
         FROM observation JOIN record ON record.id = observation.record
         JOIN device ON device.id = observation.device LEFT JOIN alert ON alert.id = observation.alert
         WHERE NOT device.quarantined",
    )?;
    let is_own = |account: &String| accounts.contains(account);
    let (mut found, mut others): (BTreeMap<i64, Told>, BTreeSet<i64>) = Default::default();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        let Ok(Summary { made_at_ms: at_ms, kind: Some(summary::Kind::Finding(finding)), .. }) =
            Summary::decode(row.get_ref(1)?.as_blob().unwrap_or_default())
        else {
            continue;
        };
        if at_ms < since_ms {
            continue;
        }
        if is_own(&finding.person) {
            if found.get(&number).is_none_or(|known| known.at_ms < at_ms) {
                let alert = row.get::<_, Option<String>>(2)?.filter(|alert| !alert.is_empty());
                found.insert(number, Told { finding, at_ms, alert });
            }
        } else if is_own(&finding.from) || finding.to.iter().any(is_own) {
            others.insert(number);
        }
    }
    let mut told: Vec<Told> = found.into_values().collect();
    told.sort_by_key(|told| std::cmp::Reverse(told.at_ms));
    Ok(About { told, mentioned: others.len() as u64 })
}

/// As pages and files tell it. `title` says what the rule is called.
pub fn sent(told: Told, title: impl FnOnce(&Finding) -> (String, String)) -> Sent {
    let Told { finding, at_ms, .. } = told;
    Sent {
        at_ms,
        msgtime_ms: finding.msgtime_ms,
        title: title(&finding),
        level: level_name(finding.level).to_owned(),
        disclose: disclosed(finding.disclose()).to_owned(),
        category: finding.category,
        excerpt: finding.excerpt,
        receipted: Some(true),
        withdrawn: finding.withdrawn,
    }
}

/// The word for what left of the text.
#[must_use]
pub fn disclosed(disclose: Disclose) -> &'static str {
    match disclose {
        Disclose::Masked => "masked",
        Disclose::Context => "context",
        Disclose::None | Disclose::Unspecified => "none",
    }
}

/// The latest version that anybody has acknowledged, and whether this account has.
///
/// # Errors
/// The database.
pub fn notice(db: &Connection, account: &str) -> Result<Option<Notice>, DeriveError> {
    let Some((version, digest)) = notices::newest(db)? else { return Ok(None) };
    let own = notices::list(db, Some(version))?.into_iter().find(|it| it.account == account && it.done);
    Ok(Some(Notice { version, digest, text: String::new(), acknowledged_ms: own.and_then(|own| own.at_ms) }))
}
