//! How things stand, as far as whoever asks may see it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::alerts::bounds;
use super::page::{self, Page};
use crate::alerts::{self, Arrived, Filter, Unclosed};
use crate::commands::health::of_devices;
use crate::coverage::{self, Calendar, Day};
use crate::health::{Health, State};
use crate::log_store;
use crate::operators::Act;
use crate::sites::Plans;
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::Nothing;

/// Days that arrivals are counted by.
const ARRIVAL_DAYS: u32 = 30;
/// Days that coverage is counted by.
const COVERAGE_DAYS: i64 = 28;
/// Devices that are named.
const NAMED_MAX: usize = 8;

/// How things stand.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Overview {
    /// For those who see alerts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::web) alerts: Option<Alerts>,
    /// For those who see devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::web) fleet: Option<Fleet>,
    /// For those who see people: the last four weeks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::web) coverage: Option<Vec<Day>>,
}

/// How alerts stand.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Alerts {
    /// Those that nobody has closed.
    pub(in crate::web) unclosed: Vec<Unclosed>,
    /// Of these, one's own.
    pub(in crate::web) mine: u64,
    /// The last thirty days.
    pub(in crate::web) arrived: Arrived,
}

/// How devices stand.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Fleet {
    /// Devices by state.
    pub(in crate::web) states: BTreeMap<&'static str, u64>,
    /// Devices that are offline or starved as it was planned for their site today; they are in no state.
    pub(in crate::web) planned: u64,
    /// Devices that have enrolled and were not revoked.
    pub(in crate::web) enrolled: u64,
    /// Assets on the list of what is expected; 0 without a list.
    pub(in crate::web) expected: u64,
    /// Of these, assets no device of which has enrolled.
    pub(in crate::web) missing: u64,
    /// Exports that do not come, the longest first.
    pub(in crate::web) starved: Vec<Starved>,
    /// Devices that need a look, the worst first, at most eight.
    pub(in crate::web) worst: Vec<Worst>,
}

/// Exports that do not come.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Starved {
    /// The device.
    pub(in crate::web) device: String,
    /// The corporation.
    pub(in crate::web) corp: String,
    /// What is expected.
    pub(in crate::web) expected: String,
    /// Since when one is missing, milliseconds since 1970.
    pub(in crate::web) since_ms: i64,
}

/// A device that needs a look.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Worst {
    /// The device.
    pub(in crate::web) device: String,
    /// How it stands.
    pub(in crate::web) state: State,
    /// Since when.
    pub(in crate::web) since_ms: Option<i64>,
    /// Why, and what to do, in Chinese.
    pub(in crate::web) zh: String,
    /// The same in English.
    pub(in crate::web) en: String,
}

pub(in crate::web) fn show(ask: &Ask<'_>, _: Nothing) -> Result<Overview, Problem> {
    let today = coverage::day_of(ask.now_ms);
    let days = || coverage::days(ask.derived()?, today.saturating_sub(COVERAGE_DAYS - 1), today).map_err(Problem::from);
    Ok(Overview {
        alerts: ask.may(Act::SeeAlerts, None).then(|| alerts_of(ask)).transpose()?,
        fleet: ask.may(Act::SeeDevices, None).then(|| fleet(ask)).transpose()?,
        coverage: ask.may(Act::SeePeople, None).then(days).transpose()?,
    })
}

fn alerts_of(ask: &Ask<'_>) -> Result<Alerts, Problem> {
    let (db, now_ms) = (ask.derived()?, ask.now_ms);
    let mut filter = bounds(ask, Filter::default())?;
    // Of one whose own accounts nobody knows any more, every alert may be about themselves.
    if ask.caller()?.operator.is_unbound {
        filter.scopes = Some(Vec::new());
    }
    let own = Filter { assignees: vec![ask.by()?.to_owned()], ..filter.clone() };
    let mine = alerts::unclosed(db, &own, now_ms)?.iter().map(|level| level.open.saturating_add(level.taken)).sum();
    Ok(Alerts {
        unclosed: alerts::unclosed(db, &filter, now_ms)?,
        mine,
        arrived: alerts::arrived(db, &filter, ARRIVAL_DAYS, now_ms)?,
    })
}

fn fleet(ask: &Ask<'_>) -> Result<Fleet, Problem> {
    let (db, config) = (ask.derived()?, &ask.site.desk.config);
    let devices = of_devices(db, config, None, ask.now_ms)?;
    let plans = Plans::read(db)?;
    // Where nothing is planned, nobody has to know where devices stand.
    let known = if plans.is_empty() { Vec::new() } else { crate::devices::list(db, None)? };
    let places: BTreeMap<String, String> = known.into_iter().map(|device| (device.device, device.site)).collect();
    let site = |device: &str| places.get(device).map_or("", String::as_str);
    let mut states: BTreeMap<&'static str, u64> = State::ALL.map(|state| (state.as_str(), 0)).into();
    let enrolled = u64::try_from(devices.len()).unwrap_or(u64::MAX);
    // Whoever is away as it was planned is not away.
    let excused = |device: &Health| plans.excuses(site(&device.device), device.state, ask.now_ms).is_some();
    let (excused, devices): (Vec<_>, Vec<_>) = devices.into_iter().partition(excused);
    for device in &devices {
        *states.entry(device.state.as_str()).or_default() += 1;
    }
    let planned = u64::try_from(excused.len()).unwrap_or(u64::MAX);
    let starved = crate::health::facts(db, None)?.into_iter().filter(|facts| !facts.revoked);
    let starved = starved.filter(|facts| plans.planned(site(&facts.device), ask.now_ms).is_none()).flat_map(|facts| {
        let device = facts.device;
        facts.starved.into_iter().map(move |it| Starved {
            device: device.clone(),
            corp: it.corp,
            expected: it.expected,
            since_ms: it.since_ms,
        })
    });
    let mut starved: Vec<Starved> = starved.collect();
    starved.sort_by_key(|it| it.since_ms);
    starved.truncate(NAMED_MAX);
    let (expected, missing) = log_store::expected_count(db)?;
    Ok(Fleet { states, planned, enrolled, expected, missing, starved, worst: worst(devices) })
}

fn worst(devices: Vec<Health>) -> Vec<Worst> {
    let mut bad: Vec<_> = devices.into_iter().filter(|device| device.state.needs_a_look()).collect();
    bad.sort_by_key(|device| device.state);
    let first = |device: Health| {
        let standing = device.standings.into_iter().next()?;
        let (state, since_ms) = (standing.state, standing.since_ms);
        Some(Worst { device: device.device, state, since_ms, zh: standing.zh, en: standing.en })
    };
    bad.into_iter().take(NAMED_MAX).filter_map(first).collect()
}

/// Which days of whom.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Which {
    /// The last of the days at +08:00, `YYYY-MM-DD`; today where it is missing.
    #[serde(default)]
    pub(in crate::web) until: Option<String>,
    /// How many, at most 31; 14 where it is missing.
    pub(in crate::web) days: Option<u32>,
    /// `next` of the page before.
    pub(in crate::web) cursor: Option<String>,
    /// Rows of the page, at most 500.
    pub(in crate::web) limit: Option<u32>,
}

/// Which account-days were seen.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Coverage {
    /// The days, in order.
    pub(in crate::web) days: Vec<Day>,
    /// Accounts, each with as many marks.
    #[serde(flatten)]
    pub(in crate::web) accounts: Page<Calendar>,
}

pub(in crate::web) fn coverage(ask: &Ask<'_>, which: Which) -> Result<Coverage, Problem> {
    let until = which.until.as_deref().map(|day| coverage::parse_day(day).ok_or_else(|| no_day(day))).transpose()?;
    let last = until.unwrap_or_else(|| coverage::day_of(ask.now_ms));
    let first = last.saturating_sub(i64::from(which.days.unwrap_or(14).clamp(1, 31)) - 1);
    let limit = page::rows(which.limit);
    let after: Option<String> = page::read("coverage", which.cursor.as_deref())?;
    let db = ask.derived()?;
    let rows = coverage::calendar(db, (first, last), after.as_deref().unwrap_or_default(), limit + 1)?;
    let own = |account: &str| {
        ask.caller().is_ok_and(|it| it.operator.grant.accounts.iter().any(|own| own.eq_ignore_ascii_case(account)))
    };
    let mut accounts = page::page("coverage", rows, limit, |last| last.account.clone());
    // What was seen of oneself is told on one's own page, not here.
    accounts.items.retain(|row| !own(&row.account));
    Ok(Coverage { days: coverage::days(db, first, last)?, accounts })
}

fn no_day(day: &str) -> Problem {
    Problem::malformed(format!("{day:?} is no day; write it like 2026-11-01"))
}
