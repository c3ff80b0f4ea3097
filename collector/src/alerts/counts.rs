//! How many alerts there are, of what, and how late: what a page shows before anybody looks at one.

use rusqlite::Connection;
use rusqlite::types::Value;
use schemars::JsonSchema;
use serde::Serialize;

use super::level_name;
use super::queue::{DUE, Filter};
use crate::derive::DeriveError;

/// Names of a ranking.
const TOP: u32 = 8;
/// What falls due within so long is due soon.
const SOON_MS: i64 = 2 * 60 * 60 * 1000;

/// Alerts that nobody has closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Unclosed {
    /// The level, the highest first.
    pub level: &'static str,
    /// Nobody has taken them.
    pub open: u64,
    /// Somebody has.
    pub taken: u64,
    /// A clock of theirs has run out.
    pub late: u64,
    /// One will within two hours.
    pub soon: u64,
}

/// So many of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Named {
    /// The name; empty for what has none.
    pub name: String,
    /// How many.
    pub count: u64,
}

/// What arrived since a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Arrived {
    /// By day at +08:00, the oldest first; days without any are there.
    pub days: Vec<Named>,
    /// Most frequent rules, as `pack/rule`.
    pub rules: Vec<Named>,
    /// Most frequent departments.
    pub departments: Vec<Named>,
}

/// Alerts that nobody has closed, by level.
///
/// # Errors
/// The database.
pub fn unclosed(db: &Connection, filter: &Filter, now_ms: i64) -> Result<Vec<Unclosed>, DeriveError> {
    let (conditions, values) = filter.conditions();
    let text = format!(
        "SELECT level, sum(state = 0), sum(state = 1), sum({DUE} < ?), sum({DUE} BETWEEN ? AND ?) FROM alert
         WHERE state < 2 AND (findings > 0 OR (touched AND hidden = 0)) {conditions} GROUP BY level ORDER BY level DESC"
    );
    let soon_ms = now_ms.saturating_add(SOON_MS);
    let values = [now_ms, now_ms, soon_ms].map(Value::Integer).into_iter().chain(values);
    let mut select = db.prepare_cached(&text)?;
    let rows = select.query_map(rusqlite::params_from_iter(values), |row| {
        let level = level_name(row.get(0)?);
        Ok(Unclosed { level, open: row.get(1)?, taken: row.get(2)?, late: row.get(3)?, soon: row.get(4)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What arrived in the last `days` days.
///
/// # Errors
/// The database.
pub fn arrived(db: &Connection, filter: &Filter, days: u32, now_ms: i64) -> Result<Arrived, DeriveError> {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    const CHINA_MS: i64 = 8 * 60 * 60 * 1000;
    let today = now_ms.saturating_add(CHINA_MS).div_euclid(DAY_MS);
    let first = today.saturating_sub(i64::from(days.max(1)) - 1);
    let filter = Filter { since_ms: Some(first.saturating_mul(DAY_MS).saturating_sub(CHINA_MS)), ..filter.clone() };
    let of_day = format!("(opened_ms + {CHINA_MS}) / {DAY_MS}");
    let counted = grouped(db, &filter, &of_day, "1", i64::MAX)?;
    let count = |day: i64| counted.iter().find(|named| named.name == day.to_string()).map_or(0, |named| named.count);
    let days = (first..=today).map(|day| Named { name: crate::coverage::day_name(day), count: count(day) });
    Ok(Arrived {
        days: days.collect(),
        rules: grouped(db, &filter, "pack || '/' || rule", "2 DESC, 1", i64::from(TOP))?,
        departments: grouped(db, &filter, "department", "2 DESC, 1", i64::from(TOP))?,
    })
}

fn grouped(db: &Connection, filter: &Filter, by: &str, order: &str, most: i64) -> Result<Vec<Named>, DeriveError> {
    let (conditions, mut values) = filter.conditions();
    let text = format!(
        "SELECT CAST({by} AS TEXT), count(*) FROM alert WHERE (findings > 0 OR (touched AND hidden = 0)) {conditions}
         GROUP BY 1 ORDER BY {order} LIMIT ?"
    );
    values.push(Value::Integer(most));
    let mut select = db.prepare_cached(&text)?;
    let rows = select
        .query_map(rusqlite::params_from_iter(values), |row| Ok(Named { name: row.get(0)?, count: row.get(1)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
