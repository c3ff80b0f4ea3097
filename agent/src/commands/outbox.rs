//! `outbox`: what waits to be sent, and whether its chains hold.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use watchpost_agent::device::Device;
use watchpost_agent::store::{SegmentRow, Store, lane_name, verify_chains};

use super::{ConfigArg, print_json};

/// Look into the outbox.
///
/// 查看发件箱。
#[derive(Args)]
#[command(after_help = "Examples:\n  watchpost-agent outbox inspect --json\n  watchpost-agent outbox verify")]
pub(super) struct OutboxArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List sealed segments: place, size, and whether a receipt has come.
    Inspect(OutboxOptions),
    /// Check every digest, chain and signature that is stored.
    Verify(OutboxOptions),
}

#[derive(Args)]
struct OutboxOptions {
    #[command(flatten)]
    config: ConfigArg,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &OutboxArgs) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Inspect(options) => inspect(options),
        Action::Verify(options) => verify(options),
    }
}

fn open(options: &OutboxOptions) -> anyhow::Result<Store> {
    let config = options.config.load()?;
    Store::open_read_only(&config.state_dir)
        .with_context(|| format!("no agent has run with {} yet", config.state_dir.display()))
}

fn inspect(options: &OutboxOptions) -> anyhow::Result<ExitCode> {
    let store = open(options)?;
    let (segments, backlog) = store.read(|tx| Ok((tx.segments()?, tx.backlog()?)))?;
    let mut out = io::stdout().lock();
    if options.json {
        for segment in &segments {
            print_json(&mut out, &segment_json(segment))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    for segment in &segments {
        let state = if segment.receipted_ms.is_some() { "receipted" } else { "waiting" };
        let encrypted = if segment.encrypted { "  encrypted" } else { "" };
        let epoch = segment.epoch.to_string();
        writeln!(
            out,
            "{}  {:<6} {:>8}  {:>6} records {:>8} bytes  {state}{encrypted}",
            &epoch[..8],
            lane_name(segment.lane),
            segment.sequence,
            segment.records,
            segment.bytes
        )?;
    }
    writeln!(out, "{} records wait to be sealed", backlog.urgent.waiting + backlog.bulk.waiting)?;
    Ok(ExitCode::SUCCESS)
}

fn segment_json(segment: &SegmentRow) -> serde_json::Value {
    json!({
        "epoch": segment.epoch.to_string(),
        "lane": lane_name(segment.lane),
        "sequence": segment.sequence,
        "digest": segment.digest.to_string(),
        "records": segment.records,
        "bytes": segment.bytes,
        "sealed_ms": segment.sealed_ms,
        "receipted_ms": segment.receipted_ms,
        "encrypted": segment.encrypted,
    })
}

fn verify(options: &OutboxOptions) -> anyhow::Result<ExitCode> {
    let device = Device::load(&options.config.load()?.identity)?;
    let store = open(options)?;
    let verdict = store.read(|tx| verify_chains(tx, Some(device.held().key.public())))?;
    let mut out = io::stdout().lock();
    let (ok, checked, fault) = match verdict {
        Ok(checked) => (true, checked, None),
        Err(fault) => (false, 0, Some(fault.to_string())),
    };
    if options.json {
        print_json(&mut out, &json!({ "ok": ok, "segments_checked": checked, "fault": fault }))?;
    } else if let Some(fault) = &fault {
        writeln!(out, "{fault}\nthe agent sets a damaged outbox aside by itself when it next starts")?;
    } else {
        writeln!(out, "{checked} segments hold")?;
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
