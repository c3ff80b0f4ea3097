//! Which alerts a command is about.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::alerts::work::State;
use crate::alerts::{self, Alert, Filter, Order};
use crate::clock::{day_begins_in_china, minute_in_china, now_ms};
use crate::commands::output::Output;
use crate::config::Config;
use crate::derive;

/// Alerts of one page.
const PAGE: usize = 500;

/// What alerts are about. What is left out means any.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ChooseArgs {
    /// At least this level: info, low, medium, high, critical.
    #[arg(long)]
    level: Option<String>,
    /// The pack.
    #[arg(long)]
    pack: Option<String>,
    /// The rule.
    #[arg(long)]
    rule: Option<String>,
    /// The category.
    #[arg(long)]
    category: Option<String>,
    /// The account concerned, corp/userid.
    #[arg(long)]
    person: Option<String>,
    /// Their department by the roster.
    #[arg(long)]
    department: Option<String>,
    /// Their site by the roster, else that of the device.
    #[arg(long)]
    site: Option<String>,
    /// Day of the messages, YYYY-MM-DD at +08:00.
    #[arg(long)]
    day: Option<String>,
    /// Of this case.
    #[arg(long, value_name = "ID")]
    case: Option<String>,
}

impl ChooseArgs {
    pub(super) fn is_any(&self) -> bool {
        let Self { level, pack, rule, category, person, department, site, day, case } = self;
        [level, pack, rule, category, person, department, site, day, case].iter().all(|it| it.is_none())
    }

    pub(super) fn filter(&self) -> anyhow::Result<Filter> {
        let level = match &self.level {
            Some(name) => alerts::level_number(name)
                .with_context(|| format!("{name:?} is no level; they are info, low, medium, high and critical"))?,
            None => 0,
        };
        let case = match &self.case {
            Some(id) => Some(hex::decode(id).ok().with_context(|| format!("{id:?} is not the id of a case"))?),
            None => None,
        };
        Ok(Filter {
            level,
            pack: self.pack.clone(),
            rule: self.rule.clone(),
            category: self.category.clone(),
            persons: self.person.iter().cloned().collect(),
            departments: self.department.iter().cloned().collect(),
            sites: self.site.iter().cloned().collect(),
            day: self.day.clone(),
            case,
            ..Filter::default()
        })
    }
}

/// How alerts stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stands {
    /// Nobody deals with it yet.
    Open,
    /// Somebody does.
    Taken,
    /// It is dealt with.
    Closed,
    /// Any of these.
    All,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    choose: ChooseArgs,
    /// How they stand; open and taken by default.
    #[arg(long, value_enum)]
    state: Vec<Stands>,
    /// Who is to deal with them, or whom they stand in for while they are away; "" for nobody.
    #[arg(long)]
    assignee: Option<String>,
    /// Only what is late.
    #[arg(long)]
    overdue: bool,
    /// Only with an objection that is not decided.
    #[arg(long)]
    appealed: bool,
    /// Suppressed ones, instead of those that are not.
    #[arg(long)]
    suppressed: bool,
    /// Opened on this day or later, YYYY-MM-DD at +08:00.
    #[arg(long, value_name = "DAY")]
    since: Option<String>,
    /// Opened before this day.
    #[arg(long, value_name = "DAY")]
    until: Option<String>,
    /// The newest first, instead of the most urgent.
    #[arg(long)]
    newest: bool,
    /// At most so many.
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

impl ListArgs {
    fn states(&self) -> Vec<State> {
        let one = |stands: &Stands| match stands {
            Stands::Open => vec![State::Open],
            Stands::Taken => vec![State::Taken],
            Stands::Closed => vec![State::Closed],
            Stands::All => vec![State::Open, State::Taken, State::Closed],
        };
        match self.state.as_slice() {
            [] => vec![State::Open, State::Taken],
            some => some.iter().flat_map(one).collect(),
        }
    }
}

/// An alert in a list.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    alert: Alert,
    /// `take` or `close`, where that is late.
    overdue: Option<&'static str>,
}

pub(super) fn list(args: &ListArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    let db = derive::open_read_only(&config.derived_db())?;
    let now_ms = now_ms();
    let assignees = match &args.assignee {
        Some(name) => alerts::delegate::stands_in_for(&db, name, now_ms)?,
        None => Vec::new(),
    };
    let filter = Filter {
        states: args.states(),
        assignees,
        overdue_at_ms: args.overdue.then_some(now_ms),
        appealed: args.appealed,
        suppressed: args.suppressed,
        since_ms: moment(args.since.as_deref())?,
        until_ms: moment(args.until.as_deref())?,
        ..args.choose.filter()?
    };
    let order = if args.newest { Order::Newest } else { Order::Due };
    let mut out = Output::new();
    if !args.json {
        out.row(&["ALERT", "LEVEL", "RULE", "PERSON", "DAY", "STATE", "ASSIGNEE", "DUE", "FINDINGS", "DEVICES"])?;
    }
    let (mut after, mut left) = (None, args.limit);
    while left > 0 {
        let page = alerts::page(&db, &filter, order, after, left.min(PAGE))?;
        let Some((_, last)) = page.last() else { break };
        after = Some(*last);
        left -= page.len();
        for (alert, _) in page {
            let overdue = alert.overdue(now_ms);
            if args.json { out.json(&Listed { alert, overdue })? } else { row(&mut out, &alert, overdue)? }
        }
    }
    out.finish()
}

fn row(out: &mut Output, alert: &Alert, overdue: Option<&str>) -> anyhow::Result<()> {
    let rule = format!("{}/{}", alert.pack, alert.rule);
    let (findings, devices) = (alert.findings.to_string(), alert.devices.len().to_string());
    let by = if alert.taken_ms.is_none() { alert.take_by_ms } else { alert.close_by_ms };
    let by = by.and_then(minute_in_china).unwrap_or_default();
    let due = match (alert.state, overdue) {
        ("closed", _) => String::new(),
        (_, Some(_)) => format!("{by} OVERDUE 超时"),
        (_, None) => by,
    };
    let state = alert.ending.unwrap_or(alert.state);
    out.row(&[
        &alert.alert,
        alert.level,
        &rule,
        &alert.person,
        &alert.day,
        state,
        &alert.assignee,
        &due,
        &findings,
        &devices,
    ])
}

/// The first moment of a day in China.
pub(super) fn moment(day: Option<&str>) -> anyhow::Result<Option<i64>> {
    match day.map(|day| (day, day_begins_in_china(day))) {
        None => Ok(None),
        Some((_, Some(ms))) => Ok(Some(ms)),
        Some((day, None)) => bail!("{day:?} is no day; write it like 2026-11-20"),
    }
}
