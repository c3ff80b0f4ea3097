//! `watchpost-collector coverage` and `file list`: what was looked at.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::output::Output;
use crate::config::Config;
use crate::{coverage, derive};

/// Shows how many messages of each account were looked at on each day. 查看各账号每日被检查的消息数。
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  watchpost-collector coverage --config ./collector/collector.toml --since 2026-11-01\n  \
    watchpost-collector coverage --config ./collector/collector.toml --account wwEXAMPLE0001/li.na --json"
)]
pub struct CoverageArgs {
    /// Only this account, `corp/userid`.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// From this day on, YYYY-MM-DD in China.
    #[arg(long, value_name = "DAY")]
    since: Option<String>,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

/// Shows exports. 查看导出文件的处理结果。
#[derive(Debug, Args)]
pub struct FileArgs {
    #[command(subcommand)]
    command: FileCommand,
}

#[derive(Debug, Subcommand)]
enum FileCommand {
    /// Lists what became of every export; files have no names here.
    #[command(after_help = "Example:\n  watchpost-collector file list --config ./collector/collector.toml --aside")]
    List {
        /// Only those set aside.
        #[arg(long)]
        aside: bool,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
}

/// Runs `coverage`.
///
/// # Errors
/// Nothing to read, a day that is none, or stdout.
pub fn run(args: CoverageArgs) -> anyhow::Result<()> {
    let since = args
        .since
        .as_deref()
        .map(|day| coverage::parse_day(day).with_context(|| format!("{day:?} is no day; write it like 2026-11-01")));
    let since = since.transpose()?.unwrap_or(0);
    let db = derive::open_read_only(&Config::load(&args.config)?.derived_db())?;
    let mut out = Output::new();
    if !args.json {
        out.row(&["ACCOUNT", "DAY", "SENT", "RECEIVED", "FLAGGED"])?;
    }
    for row in coverage::accounts(&db, args.account.as_deref(), since)? {
        if args.json {
            out.json(&row)?;
        } else {
            let counts = [row.sent, row.received, row.flagged].map(|count| count.to_string());
            out.row(&[&row.account, &row.day, &counts[0], &counts[1], &counts[2]])?;
        }
    }
    out.finish()
}

/// Runs `file`.
///
/// # Errors
/// Nothing to read, or stdout.
pub fn run_file(args: FileArgs) -> anyhow::Result<()> {
    let FileCommand::List { aside, config, json } = args.command;
    let db = derive::open_read_only(&Config::load(&config)?.derived_db())?;
    let mut out = Output::new();
    if !json {
        out.row(&["DEVICE", "FILE", "CORP", "STATE", "REASON", "CARRIER", "MESSAGES", "FINDINGS", "DEFECTS"])?;
    }
    coverage::files(&db, aside, |file| {
        if json {
            return out.json(&file);
        }
        let defects: u64 = file.defects.values().sum();
        let counts = [file.messages, file.findings, defects].map(|count| count.to_string());
        // Enough to tell the files of a device apart.
        let name = file.file.get(..12).unwrap_or(&file.file);
        out.row(&[
            &file.device,
            name,
            &file.corp,
            file.state,
            &file.reason,
            &file.carrier,
            &counts[0],
            &counts[1],
            &counts[2],
        ])
    })?;
    out.finish()
}
