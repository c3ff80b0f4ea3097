//! `policy history` and `policy show`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::clock::minute_in_china;
use crate::commands::output::Output;
use crate::config::Config;
use crate::derive;
use crate::durable_file::{self, Access};
use crate::log_store::{self, LogReader};
use crate::policies::history::Version;

/// Shows the policies of a group, how far each has come, and what devices report.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    watchpost-collector policy history --config collector.toml\n  \
    watchpost-collector policy history --group sales --config collector.toml --json")]
pub(super) struct HistoryArgs {
    /// Only this group.
    #[arg(long)]
    group: Option<String>,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

/// Writes a published policy to a file, as it was signed: to look at, or to sign the next one after it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  watchpost-collector policy show 3 --group sales --out third.policy --config collector.toml"
)]
pub(super) struct ShowArgs {
    /// The version.
    version: u64,
    /// The group.
    #[arg(long, default_value = "default")]
    group: String,
    /// Where to.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn history(args: &HistoryArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    let log = LogReader::open(&config.log_db())?;
    let rollouts = log_store::rollouts(log.connection())?;
    let derived = derive::open_read_only(&config.derived_db())?;
    let mut out = Output::new();
    if !args.json {
        out.row(&["GROUP", "VERSION", "POLICY", "STATE", "APPLIED", "REFUSED", "SIGNED", "PUBLISHED", "BY", "NOTE"])?;
    }
    for published in log_store::published(log.connection(), args.group.as_deref())? {
        let version = Version::of(&published, &rollouts, &derived)?;
        if args.json {
            out.json(&version)?;
            continue;
        }
        out.row(&[
            &version.group,
            &version.version.to_string(),
            version.policy.get(..12).unwrap_or_default(),
            &version.state,
            &version.applied.to_string(),
            &told(version.refused, &version.refused_because),
            &format!("{}/{}", version.signatures, version.signers_needed),
            &minute_in_china(version.published_ms).unwrap_or_default(),
            &version.by,
            &version.note,
        ])?;
    }
    out.finish()
}

pub(super) fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    let log = LogReader::open(&config.log_db())?;
    let all = log_store::published(log.connection(), Some(&args.group))?;
    let found = all.iter().find(|published| published.header.said.version == args.version);
    let found =
        found.with_context(|| format!("there is no version {} of {}; see policy history", args.version, args.group))?;
    let policy = log_store::policy(log.connection(), &found.header.digest)?.context("its files are not there")?;
    Ok(durable_file::write(&args.out, &policy.encode(), Access::Public)?)
}

fn told(refused: u64, because: &str) -> String {
    if because.is_empty() { refused.to_string() } else { format!("{refused} ({because})") }
}
