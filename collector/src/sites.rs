//! Sites 站点: days on which one is planned to be offline, and when its devices had no line.
//!
//! Setting `site/NAME`: `{"offline": [{"from": "2026-12-30", "until": "2027-01-02", "reason": "搬迁"}]}`, both days included, at +08:00.

use std::collections::BTreeMap;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alerts::device_name;
use crate::clock::{day_begins_in_china, day_in_china};
use crate::derive::DeriveError;
use crate::health::State;
use crate::settings;

/// Before the name of a site among settings.
pub const SETTING: &str = "site";
/// Stretches of one site.
const PLANNED_MAX: usize = 100;
/// Longest stretch: a year.
const PLANNED_MS_MAX: i64 = 366 * 24 * 60 * 60 * 1000;
const REASON_CHARS_MAX: usize = 200;
/// Devices that lose the line within this are one outage of their site, milliseconds.
const TOGETHER_MS: i64 = 30 * 60 * 1000;

/// What is set of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// When it is planned to be offline.
    pub offline: Vec<Planned>,
}

/// Days on which a site is planned to be offline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// The first of them, `2026-12-30`.
    pub from: String,
    /// The last of them.
    pub until: String,
    /// Why.
    pub reason: String,
}

/// Whether a value can be what is set of a site.
///
/// # Errors
/// What is wrong with it.
pub fn check(value: &str) -> Result<(), String> {
    let plan: Plan = serde_json::from_str(value).map_err(|error| format!("the plan of a site: {error}"))?;
    if plan.offline.len() > PLANNED_MAX {
        return Err(format!("a site has at most {PLANNED_MAX} stretches of planned days; remove those that are over"));
    }
    plan.offline.iter().try_for_each(check_planned)
}

fn check_planned(planned: &Planned) -> Result<(), String> {
    let Planned { from, until, reason } = planned;
    let day =
        |text: &str| day_begins_in_china(text).ok_or_else(|| format!("{text:?} is no day; write it like 2026-12-30"));
    let length = day(until)?.saturating_sub(day(from)?);
    if !(0..PLANNED_MS_MAX).contains(&length) {
        return Err(format!("from {from} until {until} is no stretch of days, or longer than a year"));
    }
    if reason.trim().is_empty() || reason.chars().count() > REASON_CHARS_MAX || reason.chars().any(char::is_control) {
        return Err(format!("say in at most {REASON_CHARS_MAX} characters why it is offline then"));
    }
    Ok(())
}

/// What is planned, by site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plans(BTreeMap<String, Plan>);

impl Plans {
    /// Reads the settings.
    ///
    /// # Errors
    /// The database.
    pub fn read(db: &Connection) -> Result<Self, DeriveError> {
        let beginning = format!("{SETTING}/");
        let all = settings::list(db, &beginning)?.into_iter().filter_map(|setting| {
            let plan = serde_json::from_str(&setting.value).ok()?;
            Some((setting.name.strip_prefix(&beginning)?.to_owned(), plan))
        });
        Ok(Self(all.collect()))
    }

    /// Whether nothing is planned anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is set of a site.
    #[must_use]
    pub fn of(&self, site: &str) -> &[Planned] {
        self.0.get(site).map_or(&[], |plan| &plan.offline)
    }

    /// Sites of which something is set.
    pub fn sites(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What is planned for a site at a moment.
    #[must_use]
    pub fn planned(&self, site: &str, at_ms: i64) -> Option<&Planned> {
        let day = day_in_china(at_ms)?;
        self.of(site).iter().find(|planned| planned.from <= day && day <= planned.until)
    }

    /// Whether a device of a site that stands so is as it was planned: nobody has to look.
    #[must_use]
    pub fn excuses(&self, site: &str, state: State, at_ms: i64) -> Option<&Planned> {
        self.planned(site, at_ms).filter(|_| matches!(state, State::Offline | State::Starved))
    }
}

/// A time in which devices of a site had no line: something urgent was sealed there and had not come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Outage {
    /// The site.
    pub site: String,
    /// When the first of it was sealed, milliseconds since 1970, by clocks of devices.
    pub from_ms: i64,
    /// When the last of it came, by the collector's clock.
    pub until_ms: i64,
    /// Devices that tell of it.
    pub devices: Vec<String>,
}

/// Outages that ended after a moment, of one site or all, the latest first.
///
/// # Errors
/// The database.
pub fn outages(db: &Connection, site: Option<&str>, since_ms: i64) -> Result<Vec<Outage>, DeriveError> {
    let mut select = db.prepare_cached(
        "SELECT coalesce(enrolment.site, ''), from_ms, until_ms, device.device FROM outage
         JOIN device ON device.id = outage.device
         LEFT JOIN enrolment ON enrolment.device = device.device AND enrolment.at_ms = (
             SELECT max(other.at_ms) FROM enrolment AS other WHERE other.device = device.device)
         WHERE until_ms > ?2 AND (?1 IS NULL OR coalesce(enrolment.site, '') = ?1) ORDER BY 1, 2",
    )?;
    let rows = select.query_map((site, since_ms), |row| {
        let device: Vec<u8> = row.get(3)?;
        Ok(Outage {
            site: row.get(0)?,
            from_ms: row.get(1)?,
            until_ms: row.get(2)?,
            devices: vec![device_name(&device)],
        })
    })?;
    let mut all = together(rows.collect::<Result<_, _>>()?);
    all.sort_by_key(|outage| std::cmp::Reverse(outage.until_ms));
    Ok(all)
}

/// Those of one site that overlap, or nearly, are one. They come by site and beginning.
fn together(single: Vec<Outage>) -> Vec<Outage> {
    let mut all: Vec<Outage> = Vec::new();
    for one in single {
        match all.last_mut() {
            Some(last) if last.site == one.site && one.from_ms <= last.until_ms.saturating_add(TOGETHER_MS) => {
                last.until_ms = last.until_ms.max(one.until_ms);
                last.devices.extend(one.devices);
            }
            _ => all.push(one),
        }
    }
    for outage in &mut all {
        outage.devices.sort_unstable();
        outage.devices.dedup();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn plans() -> Plans {
        let planned = Planned { from: "2026-12-30".into(), until: "2027-01-02".into(), reason: "搬迁".into() };
        Plans([("shanghai".to_owned(), Plan { offline: vec![planned] })].into())
    }

    #[test]
    fn planned_days_excuse_silence_and_nothing_else() {
        let (plans, first) = (plans(), day_begins_in_china("2026-12-30").unwrap());
        for (at_ms, expected) in
            [(first - 1, false), (first, true), (first + 4 * DAY - 1, true), (first + 4 * DAY, false)]
        {
            assert_eq!(plans.excuses("shanghai", State::Offline, at_ms).is_some(), expected, "{at_ms}");
        }
        assert!(plans.excuses("shanghai", State::Starved, first).is_some());
        for state in [State::Blind, State::Behind, State::Well, State::Quiet, State::Unknown] {
            assert!(plans.excuses("shanghai", state, first).is_none(), "{state:?}");
        }
        assert!(plans.excuses("beijing", State::Offline, first).is_none());
    }

    #[test]
    fn a_plan_has_days_and_a_reason() {
        let plan = |from: &str, until: &str, reason: &str| {
            let offline = vec![Planned { from: from.into(), until: until.into(), reason: reason.into() }];
            check(&serde_json::to_string(&Plan { offline }).unwrap())
        };
        assert_eq!(plan("2026-12-30", "2026-12-30", "停电"), Ok(()));
        for (from, until, reason) in [
            ("2026-12-30", "2026-12-29", "x"),
            ("2026-02-30", "2026-03-01", "x"),
            ("tomorrow", "2026-03-01", "x"),
            ("2026-01-01", "2028-01-01", "x"),
            ("2026-01-01", "2026-01-02", " "),
            ("2026-01-01", "2026-01-02", "a\u{7}"),
        ] {
            assert!(plan(from, until, reason).is_err(), "{from} {until} {reason:?}");
        }
        assert!(check("{\"other\": 1}").is_err());
    }

    #[test]
    fn devices_that_lose_the_line_together_are_one_outage() {
        let one = |site: &str, from_ms, until_ms, device: &str| Outage {
            site: site.into(),
            from_ms: from_ms * TOGETHER_MS,
            until_ms: until_ms * TOGETHER_MS,
            devices: vec![device.into()],
        };
        let all = together(vec![
            one("a", 0, 10, "1"),
            one("a", 4, 5, "2"),
            one("a", 11, 12, "1"),
            one("a", 20, 21, "1"),
            one("b", 20, 22, "3"),
        ]);
        let told: Vec<_> = all
            .iter()
            .map(|it| (&*it.site, it.from_ms / TOGETHER_MS, it.until_ms / TOGETHER_MS, it.devices.len()))
            .collect();
        assert_eq!(told, [("a", 0, 12, 2), ("a", 20, 21, 1), ("b", 20, 22, 1)]);
    }
}
