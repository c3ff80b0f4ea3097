//! `watchpost-collector suppress`: what opens no alert for people for a time.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::deed::DeedArgs;
use super::output::Output;
use crate::admin::What;
use crate::alerts;
use crate::alerts::desk::Suppress;
use crate::clock::{day_begins_in_china, minute_in_china, now_ms};
use crate::config::Config;
use crate::derive;

/// Suppresses alerts for a time, with owner, reason and end. 抑制告警。
#[derive(Debug, Args)]
pub struct SuppressArgs {
    #[command(subcommand)]
    command: SuppressCommand,
}

#[derive(Debug, Subcommand)]
enum SuppressCommand {
    /// Begins one. What arrives while it holds is counted and kept, and opens no alert in the queue.
    #[command(
        after_help = "Examples:\n  watchpost-collector suppress add --rule fin.guaranteed-return --department training --until 2026-12-01 \
        --reason \"course with sample texts\" --config ./collector/collector.toml\n  \
        watchpost-collector suppress add --site hangzhou --from 2026-12-05 --until 2026-12-06 --maintenance --reason \"migration\" --config ./collector/collector.toml\n\n\
        Alerts that are in the queue already stay there. When it ends, the next finding brings its alert into the queue."
    )]
    Add(Box<AddArgs>),
    /// Lists all of them, the latest first.
    #[command(after_help = "Example:\n  watchpost-collector suppress list --config ./collector/collector.toml")]
    List {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Ends one before its time.
    #[command(
        after_help = "Example:\n  watchpost-collector suppress end 5c0f… --reason \"course is over\" --config ./collector/collector.toml"
    )]
    End {
        /// Its id.
        id: String,
        #[command(flatten)]
        deed: DeedArgs,
    },
}

#[derive(Debug, Args)]
struct AddArgs {
    /// The pack.
    #[arg(long, default_value = "")]
    pack: String,
    /// The rule.
    #[arg(long, default_value = "")]
    rule: String,
    /// The account concerned, corp/userid.
    #[arg(long, default_value = "")]
    person: String,
    /// Their department.
    #[arg(long, default_value = "")]
    department: String,
    /// Their site.
    #[arg(long, default_value = "")]
    site: String,
    /// The device that tells it, by its UUID.
    #[arg(long, default_value = "")]
    device: String,
    /// The first day, YYYY-MM-DD at +08:00; from now on by default.
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The first day on which it does not hold any more.
    #[arg(long, value_name = "DAY")]
    until: String,
    /// Something is being worked on, rather than that the matter is known.
    #[arg(long)]
    maintenance: bool,
    #[command(flatten)]
    deed: DeedArgs,
}

/// Runs the command.
///
/// # Errors
/// What was asked cannot be, nothing to read, or stdout.
pub fn run(args: SuppressArgs) -> anyhow::Result<()> {
    match args.command {
        SuppressCommand::Add(args) => add(*args),
        SuppressCommand::List { config, json } => list(&Config::load(&config)?, json),
        SuppressCommand::End { id, deed } => deed.run(What::EndSuppression { suppression: id }),
    }
}

fn add(args: AddArgs) -> anyhow::Result<()> {
    let day =
        |day: &str| day_begins_in_china(day).with_context(|| format!("{day:?} is no day; write it like 2026-11-20"));
    let what = Suppress {
        is_maintenance: args.maintenance,
        from_ms: args.from.as_deref().map_or_else(|| Ok(now_ms()), day)?,
        until_ms: day(&args.until)?,
        pack: args.pack,
        rule: args.rule,
        person: args.person,
        department: args.department,
        site: args.site,
        device: args.device,
    };
    args.deed.run(What::Suppress { what })
}

fn list(config: &Config, json: bool) -> anyhow::Result<()> {
    let mut out = Output::new();
    if !json {
        out.row(&["SUPPRESSION", "STATE", "WHAT", "FROM", "UNTIL", "ALERTS", "OWNER", "REASON"])?;
    }
    for it in alerts::suppressions(&derive::open_read_only(&config.derived_db())?, now_ms())? {
        if json {
            out.json(&it)?;
            continue;
        }
        let what = [&it.pack, &it.rule, &it.person, &it.department, &it.site, &it.device];
        let what = what.into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" ");
        let time = |ms| minute_in_china(ms).unwrap_or_default();
        out.row(&[
            &it.suppression,
            it.state,
            &what,
            &time(it.from_ms),
            &time(it.until_ms),
            &it.alerts.to_string(),
            &it.by,
            &it.reason,
        ])?;
    }
    out.finish()
}
