//! The page an employee sees, from what is derived: for accounts whose exports are looked at on an archive host, where nobody of them has a device.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use watchpost_policy::my_data::{Day, MyData, Notice, Sent};
use watchpost_proto::Message as _;
use watchpost_proto::v1::{Disclose, Finding, Summary, summary};

use crate::alerts::level_name;
use crate::coverage::{self, parse_day};
use crate::derive::DeriveError;
use crate::notices;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// China is so much before UTC.
const CHINA_MS: i64 = 8 * 60 * 60 * 1000;
/// How far back the page looks.
const SENT_DAYS: i64 = 90;
/// Records listed on a page; more are only counted.
const SENT_MAX: usize = 2_000;

/// The page about an account, `corp/userid`. What devices that are quarantined have told is not on it.
///
/// # Errors
/// The database.
pub fn page(db: &Connection, account: &str, who: Vec<String>, now_ms: i64) -> Result<MyData, DeriveError> {
    let since_ms = now_ms - SENT_DAYS * DAY_MS;
    let (mut sent, mentioned) = records(db, account, since_ms)?;
    sent.sort_by_key(|sent| std::cmp::Reverse(sent.at_ms));
    let sent_total = sent.len() as u64;
    sent.truncate(SENT_MAX);
    let days = coverage::accounts(db, Some(account), since_ms.div_euclid(DAY_MS))?;
    let days = days.into_iter().rev().map(|day| Day {
        day_ms: parse_day(&day.day).unwrap_or_default() * DAY_MS - CHINA_MS,
        sent: day.sent,
        received: day.received,
        flagged: day.flagged,
    });
    Ok(MyData {
        account: account.to_owned(),
        made_ms: now_ms,
        watched: None,
        rules: None,
        who,
        notice: notice(db, account)?,
        sent,
        sent_total,
        mentioned,
        days: days.collect(),
    })
}

/// Records about the account, and how many about others name it. Each finding counts once, as it was told last.
fn records(db: &Connection, account: &str, since_ms: i64) -> Result<(Vec<Sent>, u64), DeriveError> {
    let mut statement = db.prepare(
        "SELECT observation.finding, summary FROM observation JOIN record ON record.id = observation.record
         JOIN device ON device.id = observation.device WHERE NOT device.quarantined",
    )?;
    let (mut found, mut others): (BTreeMap<i64, Sent>, BTreeSet<i64>) = Default::default();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (number, bytes): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let Ok(Summary { made_at_ms, kind: Some(summary::Kind::Finding(finding)), .. }) = Summary::decode(&bytes[..])
        else {
            continue;
        };
        if made_at_ms < since_ms {
            continue;
        }
        if finding.person == account {
            let newer = found.get(&number).is_none_or(|known| known.at_ms < made_at_ms);
            if newer {
                found.insert(number, sent(finding, made_at_ms));
            }
        } else if finding.from == account || finding.to.iter().any(|party| party == account) {
            others.insert(number);
        }
    }
    Ok((found.into_values().collect(), others.len() as u64))
}

fn sent(finding: Finding, at_ms: i64) -> Sent {
    let disclose = match finding.disclose() {
        Disclose::Masked => "masked",
        Disclose::Context => "context",
        Disclose::None | Disclose::Unspecified => "none",
    };
    Sent {
        at_ms,
        msgtime_ms: finding.msgtime_ms,
        // Its name is not known here, and its id may tell what a confidential list is about.
        title: ("规则名称见设备端页面".into(), "the device's page names the rule".into()),
        category: finding.category,
        level: level_name(finding.level).to_owned(),
        disclose: disclose.to_owned(),
        excerpt: finding.excerpt,
        receipted: Some(true),
        withdrawn: finding.withdrawn,
    }
}

/// The latest version that anybody has acknowledged, and whether this account has.
fn notice(db: &Connection, account: &str) -> Result<Option<Notice>, DeriveError> {
    let Some((version, digest)) = notices::newest(db)? else { return Ok(None) };
    let own = notices::list(db, Some(version))?.into_iter().find(|it| it.account == account && it.done);
    Ok(Some(Notice { version, digest, text: String::new(), acknowledged_ms: own.and_then(|own| own.at_ms) }))
}
