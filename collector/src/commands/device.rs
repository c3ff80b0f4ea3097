//! `watchpost-collector device`: who sends, and who may.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use rusqlite::Connection;
use serde::Serialize;
use watchpost_proto::DeviceId;

use super::deed::DeedArgs;
use super::health;
use super::output::Output;
use super::queue::{self, DecideArgs, ExpectedArgs, LookArgs};
use crate::admin::What;
use crate::clock::{minute_in_china, now_ms};
use crate::config::Config;
use crate::derive;
use crate::devices::{self, Device};
use crate::health::Health;

/// Shows devices, and shuts them out or lets them in. 查看与管理设备。
#[derive(Debug, Args)]
pub struct DeviceArgs {
    #[command(subcommand)]
    command: DeviceCommand,
}

#[derive(Debug, Subcommand)]
enum DeviceCommand {
    /// Lists all devices.
    #[command(after_help = "Example:\n  watchpost-collector device list --config ./collector/collector.toml --json")]
    List {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
        /// With how each device stands.
        #[arg(long)]
        health: bool,
    },
    /// Shows one device.
    #[command(after_help = "Example:\n  watchpost-collector device show UUID --config ./collector/collector.toml")]
    Show {
        /// The device's UUID.
        device: String,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
        /// With how it stands, and why.
        #[arg(long)]
        health: bool,
    },
    /// Puts a device on the deny-list: nothing it sends is taken any more.
    #[command(
        after_help = "Example:\n  watchpost-collector device revoke UUID --reason \"laptop stolen\" --config ./collector/collector.toml"
    )]
    Revoke(DeviceDeedArgs),
    /// Holds what a device sends out of what people see.
    #[command(
        after_help = "Example:\n  watchpost-collector device quarantine UUID --reason \"under review\" --config ./collector/collector.toml"
    )]
    Quarantine(DeviceDeedArgs),
    /// Lifts quarantine and revocation. 解除隔离或停用。
    #[command(
        after_help = "Examples:\n  watchpost-collector device release UUID --reason \"clone removed\" --config ./collector/collector.toml\n  \
        watchpost-collector device release UUID --rekey --reason \"old image stolen\" --config ./collector/collector.toml\n\n\
        --rekey: the device comes to a new key when it connects next, and every earlier key of it is shut out for good: an old image, \
        wherever it runs, can neither connect nor get a certificate nor have this device quarantined again. Connect the right machine \
        first. docs/restores.md tells which case is which.\n\
        --resets: for machines whose disk is put back at each start; an earlier key that comes back is then not held against them."
    )]
    Release(ReleaseArgs),
    /// Lists devices that wait to be admitted.
    #[command(after_help = "Example:\n  watchpost-collector device queue --config ./collector/collector.toml")]
    Queue {
        /// Also those admitted or rejected that have not come back since.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        look: LookArgs,
    },
    /// Lets devices of the queue enrol; each gets its certificate when it asks next.
    #[command(
        after_help = "Examples:\n  watchpost-collector device admit 3f2a91c0d4e5 --config ./collector/collector.toml\n  \
        watchpost-collector device admit --expected --reason \"first wave\" --config ./collector/collector.toml\n\n\
        Compare the code with what the device shows: that is how you know that it is this one."
    )]
    Admit(DecideArgs),
    /// Does not let devices of the queue enrol.
    #[command(
        after_help = "Example:\n  watchpost-collector device reject 3f2a91c0d4e5 --reason \"not ours\" --config ./collector/collector.toml"
    )]
    Reject(DecideArgs),
    /// The list of assets that are to enrol.
    Expected(ExpectedArgs),
}

/// A device, and why.
#[derive(Debug, Args)]
struct DeviceDeedArgs {
    /// The device's UUID.
    device: String,
    #[command(flatten)]
    deed: DeedArgs,
}

/// A device, and how it goes on.
#[derive(Debug, Args)]
struct ReleaseArgs {
    #[command(flatten)]
    device: DeviceDeedArgs,
    /// It must come to a new key at its next connection; earlier keys are shut out for good.
    #[arg(long)]
    rekey: bool,
    /// Its disk is put back at each start.
    #[arg(long, conflicts_with = "rekey")]
    resets: bool,
}

/// Runs the command.
///
/// # Errors
/// Nothing to read, no such device, or what kept a deed from being done.
pub fn run(args: DeviceArgs) -> anyhow::Result<()> {
    match args.command {
        DeviceCommand::List { config, json, health } => list(&Config::load(&config)?, json, health),
        DeviceCommand::Show { device, config, json, health } => show(&Config::load(&config)?, &device, json, health),
        DeviceCommand::Revoke(args) => deed(|device| What::Revoke { device }, &args),
        DeviceCommand::Quarantine(args) => deed(|device| What::Quarantine { device }, &args),
        DeviceCommand::Release(args) => release(&args),
        DeviceCommand::Queue { all, look } => queue::queue(&look, all),
        DeviceCommand::Admit(args) => queue::decide(args, true),
        DeviceCommand::Reject(args) => queue::decide(args, false),
        DeviceCommand::Expected(args) => queue::expected(args),
    }
}

/// A device, and how it stands where that was asked for and it is not revoked.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    device: Device,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
}

fn shown(db: &Connection, config: &Config, only: Option<&[u8]>, with_health: bool) -> anyhow::Result<Vec<Shown>> {
    let known = if with_health { health::of_devices(db, config, only, now_ms())? } else { Vec::new() };
    let mut known: BTreeMap<String, Health> = known.into_iter().map(|it| (it.device.clone(), it)).collect();
    let devices = devices::list(db, only)?.into_iter();
    Ok(devices.map(|device| Shown { health: known.remove(&device.device), device }).collect())
}

fn list(config: &Config, json: bool, health: bool) -> anyhow::Result<()> {
    let db = derive::open_read_only(&config.derived_db())?;
    let mut out = Output::new();
    if !json {
        let more: &[&str] = if health { &["HEALTH", "SINCE"] } else { &[] };
        let names = ["DEVICE", "STATE", "GROUP", "SITE", "HOSTNAME", "AGENT", "FINDINGS", "FILES", "STARVED", "REASON"];
        out.row(&[&names, more].concat())?;
    }
    for shown in shown(&db, config, None, health)? {
        if json {
            out.json(&shown)?;
            continue;
        }
        let device = &shown.device;
        let (findings, files) = (device.findings.unwrap_or_default().to_string(), device.files.to_string());
        let starved = device.feeds.iter().filter(|feed| feed.starved_ms.is_some()).count().to_string();
        let mut row = vec![
            &*device.device,
            device.state,
            &device.group,
            &device.site,
            &device.hostname,
            &device.agent_version,
            &findings,
            &files,
            &starved,
            &device.reason,
        ];
        let first = shown.health.as_ref().and_then(|health| health.standings.first());
        let since = first.and_then(|first| minute_in_china(first.since_ms?)).unwrap_or_default();
        if health {
            row.extend([first.map_or("-", |first| first.state.as_str()), &since]);
        }
        out.row(&row)?;
    }
    out.finish()
}

fn show(config: &Config, device: &str, json: bool, health: bool) -> anyhow::Result<()> {
    let id = parse(device)?;
    let db = derive::open_read_only(&config.derived_db())?;
    let found = shown(&db, config, Some(&id.0), health)?.pop();
    let found = found.with_context(|| format!("nothing has come from device {id}"))?;
    let mut out = Output::new();
    if json {
        out.json(&found)?;
    } else {
        print(&mut out, &found.device)?;
        found.health.iter().try_for_each(|health| health::print_one(&mut out, health))?;
    }
    out.finish()
}

fn print(out: &mut Output, device: &Device) -> anyhow::Result<()> {
    out.row(&["device", &device.device])?;
    out.row(&["state", device.state])?;
    out.row(&["reason", &device.reason])?;
    for (name, value) in [
        ("group", &device.group),
        ("site", &device.site),
        ("hostname", &device.hostname),
        ("asset", &device.asset),
        ("agent", &device.agent_version),
    ] {
        out.row(&[name, value])?;
    }
    if !device.enrols_as.is_empty() {
        let what =
            format!("{}: a re-imaged machine; revoke this one if it is gone 重装后以新身份注册", device.enrols_as);
        out.row(&["its asset now enrols as", &what])?;
    }
    if device.log_changes > 0 {
        let (changes, losses) = (device.log_changes, device.log_losses);
        out.row(&["log", &format!("was another {changes} times, {losses} times without all that it had seen")])?;
    }
    if let Some(ends) = device.certificate_ends_ms.and_then(minute_in_china) {
        let proved = if device.certificate_proved { "in use" } else { "not used yet" };
        out.row(&["certificate", &format!("until {ends}, {proved}, {} issued", device.certificates)])?;
    }
    out.row(&["findings", &device.findings.unwrap_or_default().to_string()])?;
    out.row(&["files", &device.files.to_string()])?;
    out.row(&["losses", &device.losses.to_string()])?;
    out.row(&["forks", &device.forks.to_string()])?;
    for feed in &device.feeds {
        let said = [
            ("since", feed.starved_ms),
            ("newest export", feed.last_export_ms),
            ("gone for good from", feed.gone_from_ms),
        ];
        let said = said
            .iter()
            .filter_map(|(what, ms)| Some(format!("{what} {}", minute_in_china((*ms)?).unwrap_or_default())))
            .collect::<Vec<_>>();
        out.row(&[feed.state, &feed.corp, &feed.expected, &said.join(", ")])?;
    }
    if let Some(policy) = &device.policy {
        let stands = if policy.applied {
            format!("in force, compiled in {} ms", policy.compile_ms)
        } else {
            format!("REFUSED ({}): {}", policy.reason, policy.detail)
        };
        out.row(&["policy", &policy.version.to_string(), &stands])?;
    }
    if let Some(roster) = &device.roster {
        let refused = if roster.refused.is_empty() {
            String::new()
        } else {
            format!("REFUSED version {}: {}", roster.offered, roster.refused)
        };
        out.row(&["roster", &roster.version.to_string(), &format!("{} accounts managed", roster.managed), &refused])?;
    }
    for lane in &device.lanes {
        out.row(&[lane.lane, &lane.epoch, &lane.next_seq.to_string()])?;
    }
    Ok(())
}

fn deed(what: fn(String) -> What, args: &DeviceDeedArgs) -> anyhow::Result<()> {
    args.deed.run(what(parse(&args.device)?.to_string()))
}

fn release(args: &ReleaseArgs) -> anyhow::Result<()> {
    let ReleaseArgs { device: DeviceDeedArgs { device, deed }, rekey, resets } = args;
    let device = parse(device)?.to_string();
    let issues = Config::load(&deed.config)?.enrolment.authority.is_some();
    ensure!(
        issues || !*rekey,
        "this collector issues no certificates: revoke the device, and give it a new one where they are issued"
    );
    deed.run(What::Release { device, rekey: *rekey, resets: *resets })?;
    if *rekey && !deed.json {
        // On stderr: what was done is on stdout.
        eprintln!(
            "Connect the right machine now and nothing else of this name: with its next connection it comes to a new key \
             (device show says `in use`). From then on no earlier image of it is let in. A machine that was shut out by \
             mistake comes back with a new token (token create).\n\
             请现在只让正确的那台机器联网：下次连接时它会换用新密钥，此后任何旧镜像都无法接入。误伤的机器用新的注册码重新注册即可恢复。"
        );
    }
    Ok(())
}

fn parse(device: &str) -> anyhow::Result<DeviceId> {
    DeviceId::parse(device).with_context(|| format!("{device:?} is not a device's UUID"))
}
