//! `watchpost-collector log list`: the logs of this collector, one after another.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use watchpost_proto::Message as _;
use watchpost_proto::v1::{EntryKind, LogOpened, SuccessionCause};

use crate::commands::output::Output;
use crate::config::Config;
use crate::log_store::LogReader;

/// Lists the logs of this collector: each restore ends one and opens another. 列出本采集端先后的日志。
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  watchpost-collector log list --config ./collector/collector.toml\n\n\
    `lost` are entries that are known to have been in a log and were not restored; devices send again what they still have.")]
pub(super) struct ListArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    log: String,
    origin: String,
    /// `present` or `ended`.
    state: &'static str,
    /// Number of its first entry in the store.
    first: u64,
    entries: u64,
    /// Entries known to have been in it that are not here.
    lost: u64,
    /// Why it was opened: `first`, `restored` or `contradicted`.
    cause: &'static str,
    root: String,
}

pub(super) fn run(args: &ListArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    let log = LogReader::open(&config.log_db())?;
    let mut out = Output::new();
    if !args.json {
        out.row(&["LOG", "STATE", "FIRST", "ENTRIES", "LOST", "OPENED"])?;
    }
    for row in rows(&log)? {
        if args.json {
            out.json(&row)?;
        } else {
            let (first, entries, lost) = (row.first.to_string(), row.entries.to_string(), row.lost.to_string());
            out.row(&[&row.log, row.state, &first, &entries, &lost, row.cause])?;
        }
    }
    out.finish()
}

fn rows(log: &LogReader) -> anyhow::Result<Vec<Row>> {
    let mut causes = Vec::new();
    log.headers(EntryKind::LogOpened, |_, header| {
        let opened = LogOpened::decode(header).unwrap_or_default();
        causes.push(match opened.cause() {
            SuccessionCause::Unspecified => "first",
            SuccessionCause::Restored => "restored",
            SuccessionCause::Contradicted => "contradicted",
        });
    })?;
    let mut causes = causes.into_iter();
    let mut cause = || causes.next().unwrap_or_default();
    let mut rows: Vec<Row> = Vec::new();
    for past in log.past()? {
        rows.push(Row {
            log: past.name.id.to_string(),
            lost: past.lost(),
            state: "ended",
            first: past.first,
            entries: past.head.size,
            cause: cause(),
            root: past.head.root.to_string(),
            origin: past.name.origin,
        });
    }
    let head = log.checkpoint()?;
    rows.push(Row {
        log: log.name().id.to_string(),
        origin: head.origin,
        state: "present",
        first: log.first(),
        entries: head.size,
        lost: 0,
        cause: cause(),
        root: head.root.to_string(),
    });
    Ok(rows)
}
