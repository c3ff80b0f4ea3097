//! What is shown of the roster in force, and of accounts that are in none.

use anyhow::{Context as _, bail};
use serde::Serialize;
use watchpost_proto::roster::account_name;
use watchpost_proto::v1::RosterPeriod;

use super::{latest, persons_of};
use crate::clock::day_in_china;
use crate::commands::output::Output;
use crate::config::Config;
use crate::people::columns;
use crate::people::persons::Person;
use crate::{derive, devices};

/// An account as it is shown.
#[derive(Serialize)]
struct Shown<'a> {
    account: &'a str,
    employee: &'a str,
    name: &'a str,
    never: bool,
    /// All of them; with `--at` the one that holds then.
    periods: Vec<Period<'a>>,
}

#[derive(Serialize)]
struct Period<'a> {
    from_ms: Option<i64>,
    until_ms: Option<i64>,
    labels: &'a [String],
    status: &'a str,
}

pub(super) fn unknown(config: &Config, json: bool) -> anyhow::Result<()> {
    let mut out = Output::new();
    if !json {
        out.row(&["ACCOUNT", "MESSAGES", "FIRST", "LAST"])?;
    }
    for it in devices::unknown(&derive::open_read_only(&config.derived_db())?)? {
        if json {
            out.json(&it)?;
            continue;
        }
        let day = |days: i64| day_in_china(days.saturating_mul(24 * 60 * 60 * 1000)).unwrap_or_default();
        let account = format!("{}/{}", it.corp, it.pseudonym);
        out.row(&[&account, &it.messages.to_string(), &day(it.first_day), &day(it.last_day)])?;
    }
    out.finish()
}

pub(super) fn list(config: &Config, at: Option<&str>, json: bool) -> anyhow::Result<()> {
    let Some(latest) = latest(config)? else { bail!("no roster has been published; see people import --help") };
    let at_ms = match at {
        Some(day) => {
            let day = columns::day_ms(day).ok().flatten();
            // At noon: whoever joins or leaves on that day is there.
            Some(day.context("--at is a day like 2026-06-30")?.0 + 12 * 60 * 60 * 1000)
        }
        None => None,
    };
    let persons = persons_of(&latest)?;
    let mut out = Output::new();
    if !json {
        let header = &latest.header.header;
        let made = day_in_china(header.made_at_ms).unwrap_or_default();
        out.row(&[&format!(
            "花名册 roster {} of {made}: {} accounts, {} never",
            header.version, header.rows, header.never_count
        )])?;
        out.row(&["ACCOUNT", "EMPLOYEE", "NAME", "FROM", "LAST DAY", "STATUS", "LABELS", "NEVER"])?;
    }
    for person in persons.values() {
        let holding = at_ms.map(|at_ms| person.managed_at(at_ms));
        if holding == Some(None) {
            continue;
        }
        let periods: Vec<_> = match holding.flatten() {
            Some(period) => vec![period],
            None => person.row.periods.iter().collect(),
        };
        show(&mut out, person, &periods, json)?;
    }
    out.finish()
}

fn show(out: &mut Output, person: &Person, periods: &[&RosterPeriod], json: bool) -> anyhow::Result<()> {
    let account = account_name(&person.row.corp, &person.row.userid);
    let some = |ms: i64| Some(ms).filter(|ms| *ms != 0);
    if json {
        return out.json(&Shown {
            account: &account,
            employee: &person.details.employee,
            name: &person.details.name,
            never: person.row.never,
            periods: periods
                .iter()
                .map(|it| Period {
                    from_ms: some(it.from_ms),
                    until_ms: some(it.until_ms),
                    labels: &it.labels,
                    status: &it.status,
                })
                .collect(),
        });
    }
    for period in periods {
        let from = some(period.from_ms).and_then(day_in_china).unwrap_or_default();
        let last = some(period.until_ms).and_then(|ms| day_in_china(ms - 1)).unwrap_or_default();
        out.row(&[
            &account,
            &person.details.employee,
            &person.details.name,
            &from,
            &last,
            &period.status,
            &period.labels.join("|"),
            if person.row.never { "never" } else { "" },
        ])?;
    }
    Ok(())
}
