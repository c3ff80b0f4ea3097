//! People as the roster in force has them, one by one with their accounts, for those who look after them. Who is never looked at is
//! not among them: they are counted.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::derive::DeriveError;
use crate::names::readings::Sought;

const HOUR_MS: i64 = 60 * 60 * 1000;
/// Words of a status that say somebody has left.
const LEFT: [&str; 5] = ["离职", "已离职", "left", "leaver", "resigned"];

/// Where somebody stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stand {
    /// An account of theirs is managed.
    Present,
    /// One will be.
    Coming,
    /// None is any more, or their status says so.
    Left,
}

/// Some days of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Period {
    /// The first moment; none where it is from the beginning.
    pub from_ms: Option<i64>,
    /// The first moment after it; none where it goes on.
    pub until_ms: Option<i64>,
    /// Their department then.
    pub department: String,
    /// Their site.
    pub site: String,
    /// Post and what else the list says of them.
    pub labels: Vec<String>,
    /// As in the list.
    pub status: String,
}

/// An account of somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccountOf {
    /// `corp/userid`.
    pub account: String,
    /// The latest last.
    pub periods: Vec<Period>,
    /// Whether it is managed, will be, or was.
    pub stand: Stand,
    /// The latest version of the notice they have acknowledged with it, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<u64>,
    /// See `notice`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice_ms: Option<i64>,
    /// The hour of the latest message that was read of it, milliseconds since 1970; only where one person is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_ms: Option<i64>,
    /// It was active after the person has left.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub active_after: bool,
}

/// Somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OnePerson {
    /// By which they are asked for: the number of the employee, else the account.
    pub person: String,
    /// Number of the employee; may be empty.
    pub employee: String,
    /// May be empty.
    pub name: String,
    /// Where they stand.
    pub stand: Stand,
    /// Of the latest period.
    pub department: String,
    /// Likewise.
    pub site: String,
    /// Likewise.
    pub labels: Vec<String>,
    /// Likewise.
    pub status: String,
    /// Whether an account that is managed has acknowledged the latest notice that anybody has; none where nobody has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noticed: Option<bool>,
    /// Their accounts, but for those that are never looked at.
    pub accounts: Vec<AccountOf>,
}

/// Which people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this name (or how it is read), number or account.
    pub text: String,
    /// Of this department.
    pub department: String,
    /// Of this site.
    pub site: String,
    /// Who stand so.
    pub stand: Option<Stand>,
    /// Who have acknowledged the notice, or not.
    pub noticed: Option<bool>,
}

impl Filter {
    fn fits(&self, sought: &Sought, person: &OnePerson) -> bool {
        let same = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        let text = self.text.trim().to_lowercase();
        let is_named = text.is_empty()
            || sought.is_in(&person.name)
            || person.employee.to_lowercase() == text
            || person.accounts.iter().any(|it| it.account.to_lowercase().contains(&text));
        is_named
            && same(&self.department, &person.department)
            && same(&self.site, &person.site)
            && self.stand.is_none_or(|stand| stand == person.stand)
            && self.noticed.is_none_or(|noticed| person.noticed == Some(noticed))
    }
}

/// How many there are, of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    /// People whose account is managed.
    pub present: usize,
    /// Who will come.
    pub coming: usize,
    /// Who have left.
    pub left: usize,
    /// Who are managed and have not acknowledged the latest notice.
    pub unnoticed: usize,
    /// Accounts that are never looked at.
    pub never: u64,
}

/// Everybody in the roster in force, ordered by name.
///
/// # Errors
/// The database.
pub fn list(db: &Connection, now_ms: i64) -> Result<Vec<OnePerson>, DeriveError> {
    read(db, None, now_ms)
}

/// One of them, with when their accounts were active.
///
/// # Errors
/// The database.
pub fn find(db: &Connection, person: &str, now_ms: i64) -> Result<Option<OnePerson>, DeriveError> {
    let mut found = read(db, Some(person), now_ms)?.pop();
    for account in found.iter_mut().flat_map(|found| &mut found.accounts) {
        let left_ms = left_at(account);
        account.active_ms = active_ms(db, &account.account)?;
        account.active_after = account.active_ms.zip(left_ms).is_some_and(|(active_ms, left_ms)| active_ms >= left_ms);
    }
    Ok(found)
}

/// Those who fit.
#[must_use]
pub fn pick(all: Vec<OnePerson>, filter: &Filter) -> Vec<OnePerson> {
    let sought = Sought::of(&filter.text);
    all.into_iter().filter(|person| filter.fits(&sought, person)).collect()
}

/// How many there are.
///
/// # Errors
/// The database.
pub fn counts(db: &Connection, all: &[OnePerson]) -> Result<Counts, DeriveError> {
    let of = |stand| all.iter().filter(|person| person.stand == stand).count();
    Ok(Counts {
        present: of(Stand::Present),
        coming: of(Stand::Coming),
        left: of(Stand::Left),
        unnoticed: all.iter().filter(|it| it.stand == Stand::Present && it.noticed == Some(false)).count(),
        never: db.query_row("SELECT count(DISTINCT account) FROM person WHERE never", [], |row| row.get(0))?,
    })
}

fn read(db: &Connection, only: Option<&str>, now_ms: i64) -> Result<Vec<OnePerson>, DeriveError> {
    let newest: Option<u64> = db.query_row("SELECT max(version) FROM acknowledgement", [], |row| row.get(0))?;
    let mut noticed = db.prepare_cached(
        "SELECT version, max(at_ms) FROM acknowledgement WHERE account = ?1 GROUP BY version ORDER BY version DESC",
    )?;
    let mut people: BTreeMap<String, OnePerson> = BTreeMap::new();
    let mut select = db.prepare_cached(
        "SELECT account, from_ms, until_ms, employee, name, department, site, labels, status FROM person
         WHERE NOT never AND (?1 IS NULL OR employee = ?1 OR (account = ?1 AND employee = '')) ORDER BY account, from_ms",
    )?;
    let mut rows = select.query([only])?;
    while let Some(row) = rows.next()? {
        let (account, employee): (String, String) = (row.get(0)?, row.get(3)?);
        let id = if employee.is_empty() { account.clone() } else { employee.clone() };
        let name: String = row.get(4)?;
        let person = people.entry(id.clone()).or_insert_with(|| nobody(id, employee, name));
        let period = period(row)?;
        match person.accounts.last_mut().filter(|last| last.account == account) {
            Some(last) => last.periods.push(period),
            None => {
                let told = noticed.query_row([&account], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
                person.accounts.push(of(account, period, told));
            }
        }
    }
    let mut all: Vec<OnePerson> = people.into_values().map(|person| judged(person, newest, now_ms)).collect();
    all.sort_by(|one, other| (&one.name, &one.person).cmp(&(&other.name, &other.person)));
    Ok(all)
}

fn nobody(person: String, employee: String, name: String) -> OnePerson {
    let (department, site, status) = (String::new(), String::new(), String::new());
    let (labels, accounts) = (Vec::new(), Vec::new());
    OnePerson { person, employee, name, stand: Stand::Left, department, site, labels, status, noticed: None, accounts }
}

fn of(account: String, period: Period, told: Option<(u64, i64)>) -> AccountOf {
    AccountOf {
        account,
        periods: vec![period],
        stand: Stand::Left,
        notice: told.map(|(version, _)| version),
        notice_ms: told.map(|(_, at_ms)| at_ms),
        active_ms: None,
        active_after: false,
    }
}

fn period(row: &Row<'_>) -> rusqlite::Result<Period> {
    let (department, site): (String, String) = (row.get(5)?, row.get(6)?);
    let labels: Vec<String> = serde_json::from_str(&row.get::<_, String>(7)?).unwrap_or_default();
    let some = |ms: i64| Some(ms).filter(|ms| *ms != 0);
    Ok(Period {
        from_ms: some(row.get(1)?),
        until_ms: some(row.get(2)?),
        labels: labels.into_iter().filter(|label| *label != department && *label != site).collect(),
        department,
        site,
        status: row.get(8)?,
    })
}

/// Where somebody and their accounts stand, with what is told in lists taken from the period that counts.
fn judged(mut person: OnePerson, newest: Option<u64>, now_ms: i64) -> OnePerson {
    for account in &mut person.accounts {
        account.stand = stand_of(&account.periods, now_ms);
    }
    let best = person.accounts.iter().min_by_key(|account| account.stand);
    let period = best.and_then(|account| present(&account.periods, now_ms).or(account.periods.last()));
    if let Some(period) = period.cloned() {
        (person.department, person.site, person.labels) = (period.department, period.site, period.labels);
        person.status = period.status;
    }
    person.stand = best.map_or(Stand::Left, |account| account.stand);
    let has_it = |account: &AccountOf| account.notice.zip(newest).is_some_and(|(its, newest)| its >= newest);
    person.noticed = newest.map(|_| person.accounts.iter().any(has_it));
    person
}

fn present(periods: &[Period], now_ms: i64) -> Option<&Period> {
    periods.iter().find(|it| it.from_ms.is_none_or(|ms| ms <= now_ms) && it.until_ms.is_none_or(|ms| now_ms < ms))
}

fn stand_of(periods: &[Period], now_ms: i64) -> Stand {
    match present(periods, now_ms) {
        Some(period) if has_left(&period.status) => Stand::Left,
        Some(_) => Stand::Present,
        None if periods.iter().any(|period| period.from_ms.is_some_and(|ms| ms > now_ms)) => Stand::Coming,
        None => Stand::Left,
    }
}

fn has_left(status: &str) -> bool {
    LEFT.contains(&status.trim().to_lowercase().as_str())
}

/// From when on an account should have been silent, where its person has left.
fn left_at(account: &AccountOf) -> Option<i64> {
    let last = account.periods.last().filter(|_| account.stand == Stand::Left)?;
    if has_left(&last.status) { last.from_ms.or(last.until_ms) } else { last.until_ms }
}

/// The latest hour in which a device has read messages of an account.
fn active_ms(db: &Connection, account: &str) -> Result<Option<i64>, DeriveError> {
    let mut select = db.prepare_cached(
        "SELECT max((SELECT max(hour) FROM tally WHERE tally.device = device.id AND account = ?1 AND sent > 0)) FROM device
         WHERE NOT quarantined",
    )?;
    let hour: Option<i64> = select.query_row([account], |row| row.get(0))?;
    Ok(hour.map(|hour| hour.saturating_mul(HOUR_MS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * HOUR_MS;

    fn period(from: i64, until: i64, status: &str) -> Period {
        let some = |day: i64| Some(day * DAY).filter(|ms| *ms != 0);
        Period {
            from_ms: some(from),
            until_ms: some(until),
            department: "sales".into(),
            site: String::new(),
            labels: Vec::new(),
            status: status.into(),
        }
    }

    #[test]
    fn somebody_is_here_will_come_or_has_left() {
        let cases = [
            (vec![period(0, 0, "")], Stand::Present),
            (vec![period(10, 0, "在职")], Stand::Present),
            (vec![period(10, 0, "离职")], Stand::Left),
            (vec![period(10, 20, "")], Stand::Left),
            (vec![period(40, 0, "")], Stand::Coming),
            (vec![period(10, 20, ""), period(40, 0, "")], Stand::Coming),
            (vec![period(10, 20, ""), period(20, 0, "")], Stand::Present),
        ];
        for (periods, expected) in cases {
            assert_eq!(stand_of(&periods, 30 * DAY), expected, "{periods:?}");
        }
    }

    #[test]
    fn who_has_left_should_be_silent_from_then_on() {
        let left = |periods: Vec<Period>| {
            let account = of("ww1/a".into(), periods[0].clone(), None);
            let stand = stand_of(&periods, 30 * DAY);
            left_at(&AccountOf { periods, stand, ..account })
        };
        assert_eq!(left(vec![period(10, 20, "")]), Some(20 * DAY));
        assert_eq!(
            left(vec![period(10, 20, ""), period(20, 0, "离职")]),
            Some(20 * DAY),
            "still read, to see what goes on"
        );
        assert_eq!(left(vec![period(10, 0, "")]), None);
    }
}
