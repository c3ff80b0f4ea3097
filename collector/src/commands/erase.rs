//! `watchpost-collector erase` and `hold`: what is no longer kept, and what must be.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;
use watchpost_proto::Message as _;
use watchpost_proto::v1::{EntryKind, Erasure};

use super::deed::DeedArgs;
use super::output::Output;
use crate::admin::What;
use crate::clock::{day_begins_in_china, minute_in_china, now_ms};
use crate::config::Config;
use crate::erasure::{self, Deed, Plan, Request, Scope};
use crate::log_store::LogReader;

/// Erases records for good; the log keeps that it was done, by whom and why. 彻底删除记录，日志留痕。
#[derive(Debug, Args)]
#[command(
    group(clap::ArgGroup::new("what").required(true)),
    after_help = "Example:\n  watchpost-collector erase --alert 3f2a… --reason \"court order 7\" --config ./collector/collector.toml\n  \
                  watchpost-collector erase --device UUID --before 2026-01-01 --reason retention --config ./collector/collector.toml\n  \
                  watchpost-collector erase --person ww1/zhang --reason \"left, asked for it\" --config ./collector/collector.toml\n\n\
                  Every proof of what stays is as good as before. Of a device, alerts that other devices tell as well \
                  or that go on after the day stay whole. Backups and evidence files that were handed out are not touched."
)]
pub struct EraseArgs {
    /// All findings of this alert.
    #[arg(long, value_name = "ID", group = "what")]
    alert: Option<String>,
    /// What this device has sent before a day.
    #[arg(long, value_name = "UUID", group = "what", requires = "before")]
    device: Option<String>,
    /// The first day that stays, YYYY-MM-DD at +08:00.
    #[arg(long, value_name = "DAY", requires = "device")]
    before: Option<String>,
    /// Findings, counts and acknowledgements of this account, corp/userid.
    #[arg(long, value_name = "ACCOUNT", group = "what")]
    person: Option<String>,
    /// Only say how much it would be.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    deed: DeedArgs,
}

/// Forbids erasure while a matter is open. 法律保全：在案期间禁止删除。
#[derive(Debug, Args)]
pub struct HoldArgs {
    #[command(subcommand)]
    command: HoldCommand,
}

#[derive(Debug, Subcommand)]
enum HoldCommand {
    /// Sets a hold on an alert or a person.
    #[command(
        after_help = "Example:\n  watchpost-collector hold add --person ww1/zhang --reason \"case 7\" --config ./collector/collector.toml"
    )]
    Add(HoldDeedArgs),
    /// Lists the holds that stand.
    #[command(after_help = "Example:\n  watchpost-collector hold list --config ./collector/collector.toml")]
    List {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Ends a hold.
    #[command(
        after_help = "Example:\n  watchpost-collector hold lift --person ww1/zhang --reason \"case 7 closed\" --config ./collector/collector.toml"
    )]
    Lift(HoldDeedArgs),
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
struct HoldDeedArgs {
    /// The alert's id.
    #[arg(long, value_name = "ID", group = "what")]
    alert: Option<String>,
    /// The account, corp/userid.
    #[arg(long, value_name = "ACCOUNT", group = "what")]
    person: Option<String>,
    #[command(flatten)]
    deed: DeedArgs,
}

/// Runs `erase`.
///
/// # Errors
/// Nothing of that name, a hold that forbids it, or what kept it from being done.
pub fn run(args: EraseArgs) -> anyhow::Result<()> {
    let scope = match (args.alert, args.device, args.person) {
        (Some(alert), ..) => Scope::Alert(alert.to_lowercase()),
        (None, Some(device), _) => {
            let day = args.before.unwrap_or_default();
            let before_ms = day_begins_in_china(&day).with_context(|| format!("{day:?} is not a day, YYYY-MM-DD"))?;
            Scope::Device { device, before_ms }
        }
        (None, None, person) => Scope::Person(person.unwrap_or_default()),
    };
    let (config, json) = (Config::load(&args.deed.config)?, args.deed.json);
    let deed = Deed::Erase(scope);
    if args.dry_run {
        let (by, reason) = (String::new(), args.deed.reason.clone());
        let request = Request { deed, by, reason };
        let records = match erasure::plan(&config, &request, now_ms())? {
            Plan::Erase { entries, .. } => entries.iter().map(count).sum(),
            Plan::Hold(_) => 0,
        };
        return say(records, &[], json);
    }
    let entries = args.deed.have_done(&config, What::Keep { deed })?;
    let mut records = 0;
    LogReader::open(&config.log_db())?.headers(EntryKind::Erasure, |entry, header| {
        if let (true, Ok(erasure)) = (entries.contains(&entry), Erasure::decode(header)) {
            records += count(&erasure);
        }
    })?;
    say(records, &entries, json)
}

/// Runs `hold`.
///
/// # Errors
/// Nothing of that name, or what kept it from being done.
pub fn run_hold(args: HoldArgs) -> anyhow::Result<()> {
    let (args, lift) = match args.command {
        HoldCommand::List { config, json } => return list(&Config::load(&config)?, json),
        HoldCommand::Add(args) => (args, false),
        HoldCommand::Lift(args) => (args, true),
    };
    let scope = match (args.alert, args.person) {
        (Some(alert), _) => Scope::Alert(alert.to_lowercase()),
        (None, person) => Scope::Person(person.unwrap_or_default()),
    };
    let (config, json) = (Config::load(&args.deed.config)?, args.deed.json);
    let deed = if lift { Deed::Lift(scope) } else { Deed::Hold(scope) };
    let entries = args.deed.have_done(&config, What::Keep { deed })?;
    let mut out = Output::new();
    if json {
        out.json(&json!({ "entries": entries }))?;
    } else {
        out.row(&["done; in the log at", &format!("{entries:?}")])?;
    }
    out.finish()
}

fn count(erasure: &Erasure) -> usize {
    erasure.records.iter().map(|records| records.places.len()).sum()
}

fn say(records: usize, entries: &[u64], json: bool) -> anyhow::Result<()> {
    let mut out = Output::new();
    if json {
        out.json(&json!({ "records": records, "entries": entries }))?;
    } else if entries.is_empty() {
        out.row(&[&format!("nothing was erased; there are {records} records to erase")])?;
    } else {
        out.row(&[&format!("{records} records erased; in the log at {entries:?}")])?;
    }
    out.finish()
}

fn list(config: &Config, json: bool) -> anyhow::Result<()> {
    let holds = erasure::standing(&LogReader::open(&config.log_db())?)?;
    let mut out = Output::new();
    if !json {
        out.row(&["HOLD", "ON", "SINCE", "BY", "REASON"])?;
    }
    for hold in holds {
        if json {
            out.json(&hold)?;
            continue;
        }
        let (kind, of) = match &hold.scope {
            Scope::Alert(id) => ("alert", id.as_str()),
            Scope::Person(person) => ("person", person.as_str()),
            Scope::Device { device, .. } => ("device", device.as_str()),
        };
        out.row(&[kind, of, &minute_in_china(hold.at_ms).unwrap_or_default(), &hold.by, &hold.reason])?;
    }
    out.finish()
}
