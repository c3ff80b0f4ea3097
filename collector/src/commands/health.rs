//! `watchpost-collector health`: whether devices that say nothing are well.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use rusqlite::Connection;
use serde::Serialize;

use super::output::{Found, Output};
use crate::clock::{minute_in_china, now_ms};
use crate::config::Config;
use crate::derive::{self, DeriveError};
use crate::health::{Bounds, Health, State, facts, judge};
use crate::log_store::{LogReader, PastLog};
use crate::notify::trouble::{Trouble, troubles};
use crate::{liveness, log_key};

/// Shows which devices are offline, blind, starved or behind, and why. 查看设备健康状况。
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  watchpost-collector health --config ./collector/collector.toml\n  \
    watchpost-collector health --config ./collector/collector.toml --exit-code || notify-the-help-desk\n\n\
    Devices that are well or quiet are only counted. What each state means and what to do: docs/health.md.")]
pub struct HealthArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object, with every device.
    #[arg(long)]
    json: bool,
    /// Exit with 3 when a device needs a look.
    #[arg(long)]
    exit_code: bool,
}

/// All devices that are not revoked.
#[derive(Debug, Serialize)]
struct Fleet {
    /// Whether a collector runs and hears devices.
    live: bool,
    counts: BTreeMap<&'static str, usize>,
    /// How the log of this collector came to be another, where it was restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    restored: Option<Restored>,
    /// Targets of notifications that have not taken anything for long.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notifications: Vec<Trouble>,
    devices: Vec<Health>,
}

/// The collector was restored.
#[derive(Debug, Serialize)]
struct Restored {
    /// Logs that have ended so.
    logs: usize,
    /// When the last did, milliseconds since 1970.
    at_ms: i64,
    /// Entries of them that are known to have been there and are not here.
    lost: u64,
}

impl Restored {
    fn look(config: &Config) -> anyhow::Result<Option<Self>> {
        let log = LogReader::open(&config.log_db())?;
        let past = log.past()?;
        if past.is_empty() {
            return Ok(None);
        }
        let lost = past.iter().map(PastLog::lost).sum();
        Ok(Some(Self { logs: past.len(), at_ms: log_key::opened_with(&log)?.at_ms, lost }))
    }
}

/// Runs the command.
///
/// # Errors
/// Nothing to read, stdout, or [`Found`] where it is asked for.
pub fn run(args: &HealthArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    let db = derive::open_read_only(&config.derived_db())?;
    let now_ms = now_ms();
    let devices = of_devices(&db, &config, None, now_ms)?;
    let counts = State::ALL.map(|state| (state.as_str(), devices.iter().filter(|it| it.state == state).count()));
    let fleet = Fleet {
        live: liveness::look(&config, now_ms).is_some(),
        counts: counts.into(),
        devices,
        restored: Restored::look(&config)?,
        notifications: troubles(&config.notify, &LogReader::open(&config.log_db())?, now_ms)?,
    };
    let mut out = Output::new();
    if args.json {
        out.json(&fleet)?;
    } else {
        print(&mut out, &fleet)?;
    }
    out.finish()?;
    let needs_a_look =
        !fleet.notifications.is_empty() || fleet.devices.iter().any(|device| device.state.needs_a_look());
    if args.exit_code && needs_a_look { Err(Found.into()) } else { Ok(()) }
}

/// The health of all devices that are not revoked; only of the one with the id where one is given.
pub(crate) fn of_devices(
    db: &Connection,
    config: &Config,
    only: Option<&[u8]>,
    now_ms: i64,
) -> Result<Vec<Health>, DeriveError> {
    let (live, bounds) = (liveness::look(config, now_ms), Bounds::default());
    let known = facts(db, only)?.into_iter().filter(|facts| !facts.revoked);
    Ok(known.map(|facts| judge(&facts, live.as_ref(), now_ms, &bounds)).collect())
}

fn print(out: &mut Output, fleet: &Fleet) -> anyhow::Result<()> {
    if !fleet.live {
        out.row(&["no collector runs on this data folder: nobody is heard from 采集端未运行，设备是否在线未知"])?;
    }
    if let Some(Restored { logs, at_ms, lost }) = &fleet.restored {
        let at = minute_in_china(*at_ms).unwrap_or_default();
        out.row(&[&format!(
            "this collector was restored ({logs} logs have ended, the last at {at}); {lost} entries of them are not here; see log \
             list 采集端曾从备份恢复，旧日志缺失 {lost} 条"
        )])?;
    }
    for Trouble { target, since_ms, waiting, given_up, reason } in &fleet.notifications {
        let since = since_ms.and_then(minute_in_china).unwrap_or_default();
        out.row(&[&format!(
            "notifications do not reach {target} ({reason}): {waiting} wait since {since}, {given_up} were given up; see notify list \
             通知无法送达 {target}：{waiting} 条待发，{given_up} 条已放弃"
        )])?;
    }
    let count = |state: State| fleet.counts.get(state.as_str()).copied().unwrap_or(0);
    for state in State::ALL.into_iter().filter(|state| count(*state) > 0 || *state != State::Unknown) {
        out.row(&[state.as_str(), state.zh(), &count(state).to_string()])?;
    }
    for device in fleet.devices.iter().filter(|device| device.state.needs_a_look()) {
        print_one(out, device)?;
    }
    Ok(())
}

/// A device with everything that is the matter with it.
pub(super) fn print_one(out: &mut Output, device: &Health) -> anyhow::Result<()> {
    for standing in &device.standings {
        let since = standing.since_ms.and_then(minute_in_china).unwrap_or_default();
        out.row(&[&device.device, standing.state.as_str(), &since, &standing.reason, &standing.zh, &standing.en])?;
    }
    Ok(())
}
