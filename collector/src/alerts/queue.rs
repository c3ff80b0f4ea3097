//! The queue: alerts by what they are and how they stand, page by page.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::work::State;
use super::{ALERTS, Alert, read_alert};
use crate::derive::DeriveError;

/// Which alerts. What is empty asks for any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these.
    pub states: Vec<State>,
    /// At least this level, by its number.
    pub level: i32,
    /// The pack.
    pub pack: Option<String>,
    /// The rule.
    pub rule: Option<String>,
    /// The category.
    pub category: Option<String>,
    /// One of these accounts.
    pub persons: Vec<String>,
    /// None of these accounts: alerts about oneself are not shown to anybody.
    pub not_persons: Vec<String>,
    /// One of these departments.
    pub departments: Vec<String>,
    /// One of these sites.
    pub sites: Vec<String>,
    /// One of these departments at its site; an empty name stands for every one. Any, where it is missing.
    pub scopes: Option<Vec<(String, String)>>,
    /// One of these; an empty name stands for nobody.
    pub assignees: Vec<String>,
    /// Day at +08:00, `YYYY-MM-DD`.
    pub day: Option<String>,
    /// Late at this moment.
    pub overdue_at_ms: Option<i64>,
    /// With an objection that is not decided.
    pub appealed: bool,
    /// Suppressed ones, instead of those that are not.
    pub suppressed: bool,
    /// Of this case.
    pub case: Option<Vec<u8>>,
    /// Opened at or after this moment.
    pub since_ms: Option<i64>,
    /// Opened before this moment.
    pub until_ms: Option<i64>,
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// What has to be done first, first.
    #[default]
    Due,
    /// The newest first.
    Newest,
}

/// Behind the last alert of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// What it is ordered by.
    pub key: i64,
    /// Its row.
    pub row: i64,
}

/// What has to be done next is due then; last of all what no clock is set for.
pub(super) const DUE: &str =
    "coalesce(iif(taken_ms IS NULL, min(coalesce(take_by_ms, close_by_ms), coalesce(close_by_ms, take_by_ms)),
    close_by_ms), 9223372036854775807)";

/// Alerts that can be seen.
const SEEN: &str = "WHERE (findings > 0 OR (touched AND hidden = 0))";

impl Filter {
    /// Conditions with their values.
    pub(super) fn conditions(&self) -> (String, Vec<Value>) {
        let mut made = Made::default();
        made.one_of("state", self.states.iter().map(|state| Value::Integer(number(*state))), false);
        let of = |texts: &[String]| texts.iter().cloned().map(Value::Text).collect::<Vec<_>>();
        made.one_of("alert.person", of(&self.persons), false);
        made.one_of("alert.person COLLATE NOCASE", of(&self.not_persons), true);
        made.one_of("department", of(&self.departments), false);
        made.one_of("site", of(&self.sites), false);
        made.one_of("assignee", of(&self.assignees), false);
        if let Some(scopes) = &self.scopes {
            made.within(scopes);
        }
        for (column, wanted) in
            [("pack", &self.pack), ("rule", &self.rule), ("category", &self.category), ("day", &self.day)]
        {
            made.one_of(column, wanted.iter().cloned().map(Value::Text), false);
        }
        if self.level > 0 {
            made.with("level >= ?", Value::Integer(self.level.into()));
        }
        if let Some(at_ms) = self.overdue_at_ms {
            made.with(&format!("state < 2 AND {DUE} < ?"), Value::Integer(at_ms));
        }
        if self.appealed {
            made.text.push_str(" AND appeal = 'open'");
        }
        made.text.push_str(if self.suppressed {
            " AND suppressed_by IS NOT NULL"
        } else {
            " AND suppressed_by IS NULL"
        });
        if let Some(case) = &self.case {
            made.with("case_id = (SELECT id FROM alert_case WHERE case_id = ?)", Value::Blob(case.clone()));
        }
        for (condition, ms) in [("opened_ms >= ?", self.since_ms), ("opened_ms < ?", self.until_ms)] {
            if let Some(ms) = ms {
                made.with(condition, Value::Integer(ms));
            }
        }
        (made.text, made.values)
    }
}

#[derive(Default)]
struct Made {
    text: String,
    values: Vec<Value>,
}

impl Made {
    fn with(&mut self, condition: &str, value: Value) {
        self.text.push_str(" AND ");
        self.text.push_str(condition);
        self.values.push(value);
    }

    fn within(&mut self, scopes: &[(String, String)]) {
        let each = scopes.iter().map(|_| "(? IN ('', department) AND ? IN ('', site))").collect::<Vec<_>>();
        // Of no scope there is nothing.
        self.text.push_str(&format!(" AND ({})", if each.is_empty() { "0".into() } else { each.join(" OR ") }));
        let words = scopes.iter().flat_map(|(department, site)| [department, site]);
        self.values.extend(words.map(|word| Value::Text(word.clone())));
    }

    fn one_of(&mut self, column: &str, values: impl IntoIterator<Item = Value>, is_none_of: bool) {
        let before = self.values.len();
        self.values.extend(values);
        let count = self.values.len() - before;
        if count > 0 {
            let not = if is_none_of { "NOT " } else { "" };
            let marks = vec!["?"; count].join(", ");
            self.text.push_str(&format!(" AND {column} {not}IN ({marks})"));
        }
    }
}

fn number(state: State) -> i64 {
    match state {
        State::Open => 0,
        State::Taken => 1,
        State::Closed => 2,
    }
}

/// A page of alerts, each with the cursor behind it.
///
/// # Errors
/// The database.
pub fn page(
    db: &Connection,
    filter: &Filter,
    order: Order,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Vec<(Alert, Cursor)>, DeriveError> {
    let (conditions, mut values) = filter.conditions();
    let (key, direction, beyond) = match order {
        Order::Due => (DUE, "ASC", ">"),
        Order::Newest => ("opened_ms", "DESC", "<"),
    };
    let mut text = format!("SELECT id, {key} FROM alert {SEEN} {conditions}");
    if let Some(after) = after {
        text.push_str(&format!(" AND ({key}, id) {beyond} (?, ?)"));
        values.extend([Value::Integer(after.key), Value::Integer(after.row)]);
    }
    text.push_str(&format!(" ORDER BY {key} {direction}, id {direction} LIMIT ?"));
    values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    // First which, then all of each: what is not on the page is not read.
    let mut select = db.prepare_cached(&text)?;
    let found = select
        .query_map(rusqlite::params_from_iter(values), |row| Ok(Cursor { row: row.get(0)?, key: row.get(1)? }))?;
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let mut one = db.prepare_cached(&format!("{ALERTS} AND alert.id = ?1"))?;
    found.into_iter().map(|cursor| Ok((one.query_row([cursor.row], read_alert)?, cursor))).collect()
}

/// Ids of the alerts, at most `limit`: what a step for many is to be done with.
///
/// # Errors
/// The database.
pub fn pick(db: &Connection, filter: &Filter, limit: usize) -> Result<Vec<Vec<u8>>, DeriveError> {
    let (conditions, mut values) = filter.conditions();
    let text = format!("SELECT opened_by FROM alert {SEEN} {conditions} ORDER BY id LIMIT ?");
    values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    let mut select = db.prepare(&text)?;
    let rows = select.query_map(rusqlite::params_from_iter(values), |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How much a filter finds: another state of it is another value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Alerts.
    pub alerts: u64,
    /// Their findings.
    pub findings: u64,
    /// The row of the newest.
    pub newest: i64,
}

/// What a filter finds by now.
///
/// # Errors
/// The database.
pub fn standing(db: &Connection, filter: &Filter) -> Result<Standing, DeriveError> {
    let (conditions, values) = filter.conditions();
    let text = format!("SELECT count(*), total(findings), coalesce(max(id), 0) FROM alert {SEEN} {conditions}");
    Ok(db.prepare_cached(&text)?.query_row(rusqlite::params_from_iter(values), |row| {
        let findings: f64 = row.get(1)?;
        Ok(Standing { alerts: row.get(0)?, findings: findings as u64, newest: row.get(2)? })
    })?)
}

/// By what alerts are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The rule, by pack and id.
    Rule,
    /// The person concerned.
    Person,
    /// Their department.
    Department,
    /// Their site.
    Site,
    /// Who is to deal with it.
    Assignee,
}

/// The largest groups of what a filter finds, at most `limit`: pack and rule, or nothing and one name, with how many there are.
///
/// # Errors
/// The database.
pub fn groups(
    db: &Connection,
    filter: &Filter,
    by: Group,
    limit: u32,
) -> Result<Vec<(String, String, u64)>, DeriveError> {
    let (conditions, values) = filter.conditions();
    let columns = match by {
        Group::Rule => "pack, rule",
        Group::Person => "'', person",
        Group::Department => "'', department",
        Group::Site => "'', site",
        Group::Assignee => "'', assignee",
    };
    let text = format!(
        "SELECT {columns}, count(*) AS many FROM alert {SEEN} {conditions} GROUP BY 1, 2 ORDER BY many DESC, 1, 2 LIMIT {limit}"
    );
    let mut select = db.prepare_cached(&text)?;
    let rows =
        select.query_map(rusqlite::params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
