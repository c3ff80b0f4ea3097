//! `lookup`: shows one message of the exports, and leaves a record of it.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{anyhow, bail, ensure};
use clap::Args;
use serde_json::json;
use watchpost_agent::clock::{Clock as _, SystemClock};
use watchpost_agent::config::Config;
use watchpost_agent::daemon::{in_force_here, note_lookup};
use watchpost_agent::lookup::{Found, Record, TEXT_BYTES_MAX, look};

use super::terminal::{china_time, clean, clean_lines};
use super::{ConfigArg, print_json};

/// How long the agent that runs may take to write the record.
const PATIENCE: Duration = Duration::from_secs(60);

/// Show one message of the exports on this archive host. The collector gets a record of who looked, and why.
///
/// 在归档主机上查看一条消息的原文；查看人和理由会上报采集端。
#[derive(Args)]
#[command(
    after_help = "Example:\n  watchpost-agent lookup 7362534212512_1795053600 --reason \"case 7\" --config /etc/watchpost/agent.toml\n\n\
    Only messages of managed accounts in the configured folders are shown, and never one with an account of the never list.\n\
    The record is in the outbox before anything is shown, also where nothing is found.\n\
    Exit codes: 0 found, 1 not found, or it could not be recorded."
)]
pub(super) struct LookupArgs {
    /// The message's id, as alerts have it.
    msgid: String,
    /// Why; the collector gets it.
    #[arg(long, value_name = "TEXT", required = true)]
    reason: String,
    #[command(flatten)]
    config: ConfigArg,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &LookupArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load()?;
    let (msgid, reason) = (args.msgid.trim(), args.reason.trim());
    ensure!(!msgid.is_empty() && msgid.len() <= TEXT_BYTES_MAX, "a message's id has 1 to {TEXT_BYTES_MAX} bytes");
    ensure!(!reason.is_empty() && reason.len() <= TEXT_BYTES_MAX, "say why in 1 to {TEXT_BYTES_MAX} bytes: --reason");
    let in_force = in_force_here(&config).map_err(|error| anyhow!("{error}"))?;
    if in_force.awaits_roster {
        bail!(
            "the roster has not come yet, and until then nobody can say whose messages may be shown; try again later"
        );
    }
    let looked = look(&config, &in_force, msgid);
    let record = Record {
        msgid: msgid.to_owned(),
        corp: only_corp(&config),
        found: looked.found.is_some(),
        by: asker(),
        reason: reason.to_owned(),
        at_ms: SystemClock::default().wall_ms(),
    };
    note_lookup(&config, &record, PATIENCE).map_err(|error| anyhow!("{error}"))?;
    for (path, why) in &looked.unread {
        eprintln!("  not read  {}: {}", clean(&path.display().to_string()), clean(why));
    }
    let Some(found) = looked.found else {
        eprintln!(
            "在 {0} 个导出文件中没有找到受管账号的这条消息（已留痕）。\nNo message of a managed account with this id is in the {0} exports that were read; the look is recorded.",
            looked.exports
        );
        return Ok(ExitCode::FAILURE);
    };
    tell(args, &found)?;
    Ok(ExitCode::SUCCESS)
}

fn tell(args: &LookupArgs, found: &Found) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let message = &found.message;
    if args.json {
        let texts: Vec<_> = message.texts.iter().map(|it| json!({ "field": it.field, "text": it.text })).collect();
        let told = json!({
            "corp": found.corp, "msgid": message.msgid, "msgtime": message.msgtime, "msgtype": message.msgtype,
            "from": message.from, "to": message.to, "room": message.room, "texts": texts,
            "export": found.export.display().to_string(),
        });
        return print_json(&mut out, &told);
    }
    let time = message.msgtime.and_then(china_time).unwrap_or_default();
    for (name, value) in [
        ("时间 time", time.as_str()),
        ("类型 type", &message.msgtype),
        ("发送人 from", &message.from),
        ("接收人 to", &message.to.join(" ")),
        ("群 room", message.room.as_deref().unwrap_or_default()),
        ("文件 export", &found.export.display().to_string()),
    ] {
        writeln!(out, "{name}\t{}", clean(value))?;
    }
    for text in &message.texts {
        writeln!(out, "\n{}", clean_lines(&text.text))?;
    }
    Ok(())
}

/// The corporation of the folders, where it is one.
fn only_corp(config: &Config) -> String {
    let corps: BTreeSet<&str> = config.folders.iter().map(|folder| folder.corp.as_str()).collect();
    match (corps.len(), corps.first()) {
        (1, Some(corp)) => (*corp).to_owned(),
        _ => String::new(),
    }
}

/// The system's user, and whoever became that with sudo. What the environment says counts only beside it.
fn asker() -> String {
    let asked = Command::new("id").arg("-nu").stdin(Stdio::null()).stderr(Stdio::null()).output().ok();
    let system = asked.filter(|it| it.status.success()).and_then(|it| String::from_utf8(it.stdout).ok());
    let named = |name: &str| std::env::var(name).ok().filter(|user| !user.is_empty() && user.len() <= 64);
    let user = system.map(|user| user.trim().to_owned()).filter(|user| !user.is_empty());
    let user = user.or_else(|| named("USERNAME")).unwrap_or_else(|| "unknown".into());
    match named("SUDO_USER") {
        Some(before) if before != user => format!("{user} (sudo {before})"),
        _ => user,
    }
}
