//! `policy history` and `policy show`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use rusqlite::Connection;
use serde::Serialize;
use watchpost_proto::Digest;

use crate::clock::minute_in_china;
use crate::commands::output::Output;
use crate::config::Config;
use crate::derive;
use crate::durable_file::{self, Access};
use crate::log_store::{self, LogReader, Published, RolloutFacts};

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

/// One policy as people see it.
#[derive(Debug, Serialize)]
struct Version {
    group: String,
    version: u64,
    policy: String,
    /// `halted`, `ring 2/3`, `complete` or `replaced`.
    state: String,
    /// Devices that report it last: in force, and refused.
    applied: u64,
    refused: u64,
    /// Why the latest refusal was.
    refused_because: String,
    signatures: usize,
    signers: Vec<String>,
    signers_needed: usize,
    published_ms: i64,
    by: String,
    reason: String,
    note: String,
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

impl Version {
    fn of(published: &Published, rollouts: &[RolloutFacts], derived: &Connection) -> anyhow::Result<Self> {
        let Published { header, entry, .. } = published;
        let (applied, refused, refused_because) = reported(derived, &header.digest)?;
        Ok(Self {
            group: header.said.group.clone(),
            version: header.said.version,
            policy: header.digest.to_string(),
            state: state(rollouts, &header.digest),
            applied,
            refused,
            refused_because,
            signatures: header.signatures.len(),
            signers: header.signers.keys().iter().map(|key| key.0.to_string()).collect(),
            signers_needed: header.signers.needed(),
            published_ms: entry.at_ms,
            by: entry.by.clone(),
            reason: entry.reason.clone(),
            note: header.said.note.clone(),
        })
    }
}

fn state(rollouts: &[RolloutFacts], policy: &Digest) -> String {
    let Some(rollout) = rollouts.iter().find(|rollout| rollout.policy == *policy) else { return "replaced".into() };
    let ring = format!("ring {}/{}", rollout.ring + 1, rollout.rings.len());
    match (rollout.halted, rollout.is_complete()) {
        (true, _) => format!("halted at {ring}"),
        (false, true) => "complete".into(),
        (false, false) => ring,
    }
}

fn reported(db: &Connection, policy: &Digest) -> anyhow::Result<(u64, u64, String)> {
    let mut select = db.prepare_cached(
        "SELECT count(*) FILTER (WHERE applied = 1), count(*) FILTER (WHERE applied = 0),
             coalesce((SELECT reason FROM policy_report WHERE policy = ?1 AND applied = 0 ORDER BY received_ms DESC LIMIT 1), '')
         FROM policy_report WHERE policy = ?1",
    )?;
    Ok(select.query_row([&policy.0[..]], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
}
