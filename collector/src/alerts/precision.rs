//! How often a rule is right: what authors learn from how its alerts ended.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

use crate::derive::DeriveError;

/// How a rule has done.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Precision {
    /// The pack.
    pub pack: String,
    /// The rule.
    pub rule: String,
    /// Alerts that are open or taken.
    pub unclosed: u64,
    /// Alerts that ended so.
    pub confirmed: u64,
    /// Alerts that ended so.
    pub false_alarms: u64,
    /// Alerts that ended as a duplicate, with their rule, or by themselves.
    pub other: u64,
    /// Confirmed among those that were confirmed or false; none where there are neither.
    pub precision: Option<f64>,
    /// Findings of alerts.
    pub findings: u64,
    /// Findings of the rule while nobody is told of it.
    pub shadow: u64,
}

/// Every rule that has found anything, the least precise first. Suppressed alerts do not count.
///
/// # Errors
/// The database.
pub fn precision(db: &Connection, pack: Option<&str>) -> Result<Vec<Precision>, DeriveError> {
    let mut select = db.prepare(
        "SELECT pack, rule, sum(unclosed), sum(confirmed), sum(false_alarm), sum(other), sum(findings), sum(shadow) FROM (
             SELECT pack, rule, state < 2 AS unclosed, ending IS 'confirmed' AND state = 2 AS confirmed,
                 ending IS 'false-alarm' AND state = 2 AS false_alarm,
                 state = 2 AND ending NOT IN ('confirmed', 'false-alarm') AS other, findings, 0 AS shadow
             FROM alert WHERE opened_ms > 0 AND suppressed_by IS NULL
             UNION ALL SELECT pack, rule, 0, 0, 0, 0, 0, findings FROM shadow
         ) WHERE ?1 IS NULL OR pack = ?1 GROUP BY pack, rule ORDER BY pack, rule",
    )?;
    let rows = select.query_map([pack], |row| {
        let (confirmed, false_alarms): (u64, u64) = (row.get(3)?, row.get(4)?);
        let judged = confirmed + false_alarms;
        Ok(Precision {
            pack: row.get(0)?,
            rule: row.get(1)?,
            unclosed: row.get(2)?,
            confirmed,
            false_alarms,
            other: row.get(5)?,
            precision: (judged > 0).then(|| confirmed as f64 / judged as f64),
            findings: row.get(6)?,
            shadow: row.get(7)?,
        })
    })?;
    let mut all = rows.collect::<Result<Vec<_>, _>>()?;
    all.sort_by(|one, other| {
        let of = |it: &Precision| it.precision.unwrap_or(2.0);
        of(one).total_cmp(&of(other))
    });
    Ok(all)
}
