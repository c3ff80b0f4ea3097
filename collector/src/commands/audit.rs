//! `watchpost-collector audit`: what operators did and looked at.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::output::Output;
use super::token::seconds;
use crate::clock::{day_begins_in_china, minute_in_china, now_ms};
use crate::config::Config;
use crate::derive;
use crate::trail::{self, Filter};

/// Shows what operators did and looked at. 审计记录。
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Lists it, the latest first. 审计列表。
    #[command(after_help = "Examples:\n  \
        watchpost-collector audit list --verb viewed --since 7d --config ./collector/collector.toml\n  \
        watchpost-collector audit list --by li.na --since 2026-11-01 --json --config ./collector/collector.toml\n\n\
        Verbs: signed-in, refused, signed-out, viewed, exported, resolved, looked-up, operator-invite, operator-grant,\n\
        operator-disable, alert-close, setting, device-revoke, policy-publish, erase … Every row is an entry of the log.")]
    List(ListArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// By whom.
    #[arg(long)]
    by: Option<String>,
    /// What.
    #[arg(long)]
    verb: Option<String>,
    /// With what: an alert, a device, an operator.
    #[arg(long)]
    subject: Option<String>,
    /// From a day on (2026-11-01), or the last 24h, 7d.
    #[arg(long)]
    since: Option<String>,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Nothing to read, or stdout.
pub fn run(args: AuditArgs) -> anyhow::Result<()> {
    let AuditCommand::List(args) = args.command;
    let db = derive::open_read_only(&Config::load(&args.config)?.derived_db())?;
    let since_ms = args.since.as_deref().map(moment).transpose()?;
    let mut filter = Filter { by: args.by, verb: args.verb, subject: args.subject, since_ms, ..Filter::default() };
    let mut out = Output::new();
    if !args.json {
        out.row(&["ENTRY", "WHEN", "WHO", "WHAT", "WITH", "COUNT", "FROM", "WHY"])?;
    }
    loop {
        let page = trail::list(&db, &filter, trail::PAGE_MAX)?;
        for deed in &page {
            if args.json {
                out.json(deed)?;
                continue;
            }
            let (entry, when) = (deed.log_index.to_string(), minute_in_china(deed.at_ms).unwrap_or_default());
            let count = deed.count.to_string();
            out.row(&[&entry, &when, &deed.by, &deed.verb, &deed.subject, &count, &deed.address, &deed.reason])?;
        }
        let Some(last) = page.last() else { return out.finish() };
        filter.before = Some(last.row);
    }
}

fn moment(text: &str) -> anyhow::Result<i64> {
    let ago = seconds(text).ok().and_then(|seconds| i64::try_from(seconds).ok()?.checked_mul(1000));
    let moment = ago.map(|ms| now_ms().saturating_sub(ms)).or_else(|| day_begins_in_china(text));
    moment.with_context(|| format!("{text:?} is neither a day like 2026-11-01 nor a time like 24h"))
}
