//! `status`: how the agent on this device stands, while it runs or not.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use watchpost_agent::seal::last_server_time;
use watchpost_agent::source::Aside;
use watchpost_agent::store::{FileRow, FileState, Store, lane_name};

use super::{ConfigArg, print_json};

/// Show folders, exports, what waits to be sent, and what the collector has receipted.
///
/// 显示文件夹、导出文件、待发送与已回执的情况。
#[derive(Args)]
#[command(after_help = "Examples:\n  watchpost-agent status --config agent.toml\n  watchpost-agent status --json")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load()?;
    let store = Store::open_read_only(&config.state_dir)
        .with_context(|| format!("no agent has run with {} yet", config.state_dir.display()))?;
    let (files, backlog, lanes, server_ms) =
        store.read(|tx| Ok((tx.files()?, tx.backlog()?, tx.lanes()?, last_server_time(tx)?)))?;
    // What the daemon goes by, too: where the outbox is full it reads nothing more.
    let resting = if backlog.urgent.bytes >= config.outbox.urgent_bytes_max() { "outbox_full" } else { "" };
    let mut out = io::stdout().lock();
    if args.json {
        let status = json!({
            "folders": config.folders.iter().map(|folder| json!({
                "path": folder.path.display().to_string(), "corp": folder.corp.as_str() })).collect::<Vec<_>>(),
            "files": files.iter().map(file_json).collect::<Vec<_>>(),
            "backlog": { "urgent": backlog.urgent.records, "bulk": backlog.bulk.records, "bytes": backlog.bytes() },
            "lanes": lanes.iter().map(|lane| json!({
                "lane": lane_name(lane.lane), "epoch": lane.head.epoch.to_string(), "next": lane.head.next,
            })).collect::<Vec<_>>(),
            "resting": resting,
            "last_server_time_ms": server_ms,
        });
        print_json(&mut out, &status)?;
        return Ok(ExitCode::SUCCESS);
    }
    for folder in &config.folders {
        writeln!(out, "folder   {}  ({})", folder.path.display(), folder.corp.as_str())?;
    }
    for state in [FileState::Waiting, FileState::Reading, FileState::Done, FileState::SetAside] {
        let count = files.iter().filter(|file| file.state == state).count();
        writeln!(out, "{:<9} {count} exports", state.as_str())?;
    }
    for file in files.iter().filter(|file| file.state == FileState::SetAside) {
        let sentence = Aside::of_word(&file.reason).map_or("", Aside::sentence);
        writeln!(out, "  set aside  {}  {}: {sentence}", file.key.path().display(), file.reason)?;
    }
    let findings: u64 = files.iter().map(|file| file.counts.findings).sum();
    let messages: u64 = files.iter().map(|file| file.counts.messages).sum();
    writeln!(out, "read     {messages} messages, {findings} findings")?;
    writeln!(
        out,
        "to send  {} urgent, {} bulk records, {} bytes",
        backlog.urgent.records,
        backlog.bulk.records,
        backlog.bytes()
    )?;
    if !resting.is_empty() {
        writeln!(out, "resting  the outbox is full; reading goes on when the collector has taken some of it")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn file_json(row: &FileRow) -> serde_json::Value {
    json!({
        "path": row.key.path().display().to_string(),
        "corp": row.corp,
        "state": row.state.as_str(),
        "reason": row.reason,
        "carrier": row.carrier,
        "size": row.size,
        "offset": row.offset,
        "gone": row.gone_ms.is_some(),
        "counts": row.counts,
    })
}
