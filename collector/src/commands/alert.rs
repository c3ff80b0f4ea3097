//! `watchpost-collector alert`: findings grouped for a person to deal with.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::export::{self, ExportArgs};
use super::output::Output;
use crate::alerts::{self, Alert, Item, ItemHit, WindowView};
use crate::config::Config;
use crate::derive;

/// Shows alerts. 查看告警。
#[derive(Debug, Args)]
pub struct AlertArgs {
    #[command(subcommand)]
    command: AlertCommand,
}

#[derive(Debug, Subcommand)]
enum AlertCommand {
    /// Lists all alerts in the order they were opened.
    #[command(after_help = "Example:\n  watchpost-collector alert list --config ./collector/collector.toml --json")]
    List {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Shows one alert with its findings.
    #[command(after_help = "Example:\n  watchpost-collector alert show 3f2a… --config ./collector/collector.toml")]
    Show {
        /// The alert's id, 64 hexadecimal characters.
        id: String,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    Export(ExportArgs),
}

/// Runs the command.
///
/// # Errors
/// Nothing to read, no such alert, or stdout.
pub fn run(args: AlertArgs) -> anyhow::Result<()> {
    match args.command {
        AlertCommand::List { config, json } => list(&Config::load(&config)?, json),
        AlertCommand::Export(args) => export::run(&args),
        AlertCommand::Show { id, config, json } => show(&Config::load(&config)?, &id, json),
    }
}

fn list(config: &Config, json: bool) -> anyhow::Result<()> {
    let db = derive::open_read_only(&config.derived_db())?;
    let mut out = Output::new();
    if !json {
        out.row(&["ALERT", "LEVEL", "RULE", "PERSON", "DAY", "FINDINGS", "DEVICES"])?;
    }
    alerts::list(&db, |alert| if json { out.json(&alert) } else { row(&mut out, &alert) })?;
    out.finish()
}

fn row(out: &mut Output, alert: &Alert) -> anyhow::Result<()> {
    let rule = format!("{}/{}", alert.pack, alert.rule);
    let (findings, devices) = (alert.findings.to_string(), alert.devices.len().to_string());
    out.row(&[&alert.alert, alert.level, &rule, &alert.person, &alert.day, &findings, &devices])
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    alert: Alert,
    items: Vec<Item>,
}

fn show(config: &Config, id: &str, json: bool) -> anyhow::Result<()> {
    let bytes = hex::decode(id).ok().filter(|bytes| bytes.len() == 32);
    let bytes = bytes.with_context(|| format!("{id:?} is not an alert's id: 64 hexadecimal characters"))?;
    let db = derive::open_read_only(&config.derived_db())?;
    let alert = alerts::find(&db, &bytes)?.with_context(|| format!("there is no alert {id}"))?;
    let shown = Shown { items: alerts::items(&db, &bytes)?, alert };
    let mut out = Output::new();
    if json {
        out.json(&shown)?;
    } else {
        print(&mut out, &shown)?;
    }
    out.finish()
}

fn print(out: &mut Output, shown: &Shown) -> anyhow::Result<()> {
    let Shown { alert, items } = shown;
    let rule = format!("{}/{}", alert.pack, alert.rule);
    let devices = alert.devices.join(" ");
    for (name, value) in [
        ("alert", alert.alert.as_str()),
        ("level", alert.level),
        ("rule", &rule),
        ("category", &alert.category),
        ("person", &alert.person),
        ("day", &alert.day),
        ("state", alert.state),
        ("devices", &devices),
    ] {
        out.row(&[name, value])?;
    }
    out.row(&[])?;
    out.row(&["MSGID", "MSGTIME", "FROM", "TO", "TYPE", "HOW", "EXCERPT"])?;
    for item in items {
        let time = item.msgtime.map(|at| at.to_string()).unwrap_or_default();
        let how = item.window.as_ref().map_or_else(|| how(&item.hits), WindowView::in_short);
        out.row(&[&item.msgid, &time, &item.from, &item.to.join(","), &item.msgtype, &how, &item.excerpt])?;
    }
    Ok(())
}

/// The ways in which the hits were recognised, each once.
fn how(hits: &[ItemHit]) -> String {
    let ways: BTreeSet<&str> = hits.iter().map(|hit| hit.channel).collect();
    ways.into_iter().collect::<Vec<_>>().join(",")
}
