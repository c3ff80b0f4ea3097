//! `watchpost-collector setting`, `calendar` and `delegate`: what operators set.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::deed::DeedArgs;
use super::output::Output;
use crate::admin::What;
use crate::alerts::delegate::{DELEGATE, Delegate};
use crate::clock::{day_begins_in_china, minute_in_china};
use crate::clocks::{self, CALENDAR};
use crate::config::Config;
use crate::{derive, settings};

/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Shows and changes settings; every change is in the log. 设置。
#[derive(Debug, Args)]
pub struct SettingArgs {
    #[command(subcommand)]
    command: SettingCommand,
}

#[derive(Debug, Subcommand)]
enum SettingCommand {
    /// Lists settings, or those whose names begin so.
    #[command(
        after_help = "Example:\n  watchpost-collector setting list calendar/ --config ./collector/collector.toml"
    )]
    List {
        /// How names begin.
        #[arg(default_value = "")]
        beginning: String,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Sets one from a JSON file.
    #[command(
        after_help = "Examples:\n  watchpost-collector setting set response --file response.json --reason \"agreed with HR\" --config ./collector/collector.toml\n\n\
        response: {\"high\": {\"take\": \"10m\", \"close\": \"24h\", \"steps\": [{\"zh\": \"…\", \"en\": \"…\"}]}}; times are work time of the site"
    )]
    Set {
        /// Its name.
        name: String,
        /// Its value.
        #[arg(long)]
        file: PathBuf,
        #[command(flatten)]
        deed: DeedArgs,
    },
    /// Removes one: what holds then is what holds where nobody has set it.
    #[command(
        after_help = "Example:\n  watchpost-collector setting remove response --config ./collector/collector.toml"
    )]
    Remove {
        /// Its name.
        name: String,
        #[command(flatten)]
        deed: DeedArgs,
    },
    /// Prints how each level is responded to where nobody has set it, as a file to begin with.
    #[command(after_help = "Example:\n  watchpost-collector setting presets > response.json")]
    Presets,
}

/// Sets when sites work; the clocks of their alerts run then. 工作日历。
#[derive(Debug, Args)]
pub struct CalendarArgs {
    #[command(subcommand)]
    command: CalendarCommand,
}

#[derive(Debug, Subcommand)]
enum CalendarCommand {
    /// Sets the calendar of a site, or of all that have none of their own: site `default`.
    #[command(
        after_help = "Example:\n  watchpost-collector calendar set urumqi --file urumqi.yaml --config ./collector/collector.toml\n\n\
        The file is a calendar as packs have it:\n    base: cn\n    hours: { mon-fri: \"10:00-19:00\" }\n    work_days: [2027-01-30]"
    )]
    Set {
        /// The site as the roster names it, or `default`.
        site: String,
        /// Its calendar.
        #[arg(long)]
        file: PathBuf,
        #[command(flatten)]
        deed: DeedArgs,
    },
    /// Removes the calendar of a site.
    #[command(
        after_help = "Example:\n  watchpost-collector calendar remove urumqi --config ./collector/collector.toml"
    )]
    Remove {
        /// The site.
        site: String,
        #[command(flatten)]
        deed: DeedArgs,
    },
}

/// Says who stands in for an operator who is away. 代理人。
#[derive(Debug, Args)]
pub struct DelegateArgs {
    /// Who is away.
    operator: String,
    /// Who stands in.
    #[arg(long)]
    to: String,
    /// The first day, YYYY-MM-DD at +08:00.
    #[arg(long, value_name = "DAY")]
    from: String,
    /// The day on which they are back.
    #[arg(long, value_name = "DAY")]
    until: String,
    #[command(flatten)]
    deed: DeedArgs,
}

/// Runs the command.
///
/// # Errors
/// What was asked cannot be, nothing to read, or stdout.
pub fn run(args: SettingArgs) -> anyhow::Result<()> {
    match args.command {
        SettingCommand::List { beginning, config, json } => list(&Config::load(&config)?, &beginning, json),
        SettingCommand::Set { name, file, deed } => deed.run(What::Set { name, value: read(&file)? }),
        SettingCommand::Remove { name, deed } => deed.run(What::Set { name, value: String::new() }),
        SettingCommand::Presets => {
            let mut out = Output::new();
            out.json(&clocks::presets())?;
            out.finish()
        }
    }
}

/// Runs `calendar`.
///
/// # Errors
/// As [`run`].
pub fn run_calendar(args: CalendarArgs) -> anyhow::Result<()> {
    match args.command {
        CalendarCommand::Set { site, file, deed } => {
            let value = serde_json::to_string(&read(&file)?)?;
            deed.run(What::Set { name: format!("{CALENDAR}/{site}"), value })
        }
        CalendarCommand::Remove { site, deed } => {
            deed.run(What::Set { name: format!("{CALENDAR}/{site}"), value: String::new() })
        }
    }
}

/// Runs `delegate`.
///
/// # Errors
/// As [`run`].
pub fn run_delegate(args: DelegateArgs) -> anyhow::Result<()> {
    let day =
        |day: &str| day_begins_in_china(day).with_context(|| format!("{day:?} is no day; write it like 2026-11-20"));
    let said = Delegate { to: args.to, from_ms: day(&args.from)?, until_ms: day(&args.until)? };
    args.deed.run(What::Set { name: format!("{DELEGATE}/{}", args.operator), value: serde_json::to_string(&said)? })
}

fn read(file: &PathBuf) -> anyhow::Result<String> {
    let length = fs::metadata(file).with_context(|| file.display().to_string())?.len();
    anyhow::ensure!(length <= FILE_BYTES_MAX, "{}: a setting has at most 64 KiB", file.display());
    fs::read_to_string(file).with_context(|| file.display().to_string())
}

fn list(config: &Config, beginning: &str, json: bool) -> anyhow::Result<()> {
    let mut out = Output::new();
    if !json {
        out.row(&["NAME", "SET", "BY", "REASON", "VALUE"])?;
    }
    for it in settings::list(&derive::open_read_only(&config.derived_db())?, beginning)? {
        if json {
            out.json(&it)?;
        } else {
            out.row(&[&it.name, &minute_in_china(it.at_ms).unwrap_or_default(), &it.by, &it.reason, &it.value])?;
        }
    }
    out.finish()
}
