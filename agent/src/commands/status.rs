//! `status`: how the agent on this device stands, while it runs or not.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;
use watchpost_agent::aside::Aside;
use watchpost_agent::clock::{Clock as _, SystemClock, corrected_ms};
use watchpost_agent::config::Folder;
use watchpost_agent::expectation::{Expectation, Fed};
use watchpost_agent::in_force::Scope;
use watchpost_agent::intake::{LastCheck, failed_sentence, fed_of, last_check, rescanned};
use watchpost_agent::policies::in_force_in;
use watchpost_agent::rosters;
use watchpost_agent::seal::last_server_time;
use watchpost_agent::store::{FileRow, FileState, Store, lane_name};
use watchpost_agent::uplink::{UplinkReport, uplink_report};
use watchpost_proto::policy::Header;

use super::terminal::china_time;
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

/// A clock that is off by more is told.
const CLOCK_OFF_MS: i64 = 120_000;

pub(super) fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load()?;
    let store = Store::open_read_only(&config.state_dir)
        .with_context(|| format!("no agent has run with {} yet", config.state_dir.display()))?;
    let (files, backlog, lanes, server_ms, check) =
        store.read(|tx| Ok((tx.files()?, tx.backlog()?, tx.lanes()?, last_server_time(tx)?, last_check(tx)?)))?;
    let now_ms = corrected_ms(SystemClock::default().wall_ms(), server_ms);
    let fed = |folder| store.read(|tx| fed_of(tx, folder, &files, now_ms));
    let folders = config.folders.iter().map(|folder| Ok((folder, fed(folder)?))).collect::<anyhow::Result<Vec<_>>>()?;
    // What the daemon goes by, too: where the outbox is full it reads nothing more.
    let resting = if backlog.urgent.bytes >= config.outbox.urgent_bytes_max() { "outbox_full" } else { "" };
    let uplink = store.read(uplink_report)?;
    let roster = rosters::at_start(&config, None).map_err(|mistakes| anyhow!(mistakes.join("\n")))?;
    let managed = roster.accounts.as_ref().map(|accounts| accounts.managed_at(now_ms));
    let (under_way, rescan) = store.read(|tx| rescanned(&config.state_dir, tx))?;
    let policy = in_force_in(&config.state_dir);
    let mut out = io::stdout().lock();
    if args.json {
        let status = json!({
            "folders": folders.iter().map(|(folder, fed)| folder_json(folder, *fed)).collect::<Vec<_>>(),
            "files": files.iter().map(file_json).collect::<Vec<_>>(),
            "backlog": { "urgent": backlog.urgent.records, "bulk": backlog.bulk.records, "bytes": backlog.bytes() },
            "lanes": lanes.iter().map(|lane| json!({
                "lane": lane_name(lane.lane), "epoch": lane.head.epoch.to_string(), "next": lane.head.next,
            })).collect::<Vec<_>>(),
            "resting": resting,
            "self_check": check.as_ref().map(check_json),
            "roster": { "version": roster.roster_version, "managed": managed, "awaited": roster.awaits_roster },
            "rescan": { "under_way": under_way, "last": rescan },
            "uplink": uplink,
            "policy": policy.as_ref().map(policy_json),
            "last_server_time_ms": server_ms,
        });
        print_json(&mut out, &status)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (folder, fed) in &folders {
        writeln!(out, "folder   {}  ({})", folder.path.display(), folder.corp.as_str())?;
        if let (Some(expectation), Some(fed)) = (folder.expect, fed) {
            writeln!(out, "  {}", expected(expectation, *fed))?;
        }
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
    writeln!(out, "{}", ruled_by(policy.as_ref()))?;
    if let Some(check) = &check {
        writeln!(out, "{}", checked(check))?;
    }
    tell_roster(&mut out, &roster, managed)?;
    if under_way {
        writeln!(out, "rescan   under way, or waits for the agent to run")?;
    } else if let Some(it) = &rescan {
        writeln!(
            out,
            "rescan   from {} on: {} exports read again, {} not; {} messages, {} findings",
            time_of(it.since_ms),
            it.exports,
            it.unread,
            it.messages,
            it.findings
        )?;
    }
    tell_uplink(&mut out, uplink.as_ref())?;
    if !resting.is_empty() {
        writeln!(out, "resting  the outbox is full; reading goes on when the collector has taken some of it")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// By what it is known who is managed, and how many are.
fn tell_roster(out: &mut impl Write, roster: &Scope, managed: Option<usize>) -> io::Result<()> {
    match managed {
        _ if roster.awaits_roster => {
            writeln!(
                out,
                "roster   等待花名册，收到前不读取导出文件\n  NOT YET HERE: exports are read when it has come"
            )
        }
        Some(managed) if roster.roster_version > 0 => {
            writeln!(out, "roster   version {}, {managed} accounts managed here", roster.roster_version)
        }
        Some(managed) => writeln!(out, "roster   none; {managed} accounts managed by the device's own list"),
        None => writeln!(out, "roster   none; everybody is managed"),
    }
}

/// Which policy is in force, in a line.
fn ruled_by(policy: Option<&Header>) -> String {
    let Some(policy) = policy else { return "policy   the packs of this device's configuration".into() };
    let (said, digest) = (&policy.said, policy.digest.to_string());
    let short = digest.get(..12).unwrap_or_default();
    format!("policy   {} version {}, signed {} ({short})", said.group, said.version, time_of(said.made_at_ms))
}

fn policy_json(policy: &Header) -> serde_json::Value {
    json!({ "group": policy.said.group, "version": policy.said.version, "digest": policy.digest.to_string() })
}

/// How the last self-check went, in a line.
fn checked(check: &LastCheck) -> String {
    let mut line = if check.failed.is_empty() {
        format!("checked  self-check {} came through {}", check.number, time_of(check.at_ms))
    } else {
        format!(
            "BLIND    self-check {} of {} failed: {}",
            check.number,
            time_of(check.at_ms),
            failed_sentence(&check.failed)
        )
    };
    for (folder, why) in &check.unreadable {
        line.push_str(&format!("\n  UNREADABLE  {folder}  {why}"));
    }
    line
}

fn check_json(check: &LastCheck) -> serde_json::Value {
    json!({
        "number": check.number,
        "at_ms": check.at_ms,
        "failed": check.failed,
        "passed_ms": Some(check.passed_ms).filter(|ms| *ms > 0),
        "unreadable": check.unreadable,
    })
}

/// Connected or why not, in both languages: this is what is read out at the telephone.
fn tell_uplink(out: &mut impl Write, report: Option<&UplinkReport>) -> io::Result<()> {
    let Some(report) = report else { return writeln!(out, "uplink   not tried yet") };
    let since = time_of(report.since_ms);
    if report.connected {
        writeln!(out, "uplink   connected since {since}")?;
    } else {
        writeln!(out, "uplink   NOT CONNECTED since {since}: {}\n  {}\n  {}", report.code, report.zh, report.en)?;
    }
    if report.ahead_ms.abs() >= CLOCK_OFF_MS {
        let (way, zh) = if report.ahead_ms > 0 { ("ahead of", "快") } else { ("behind", "慢") };
        let seconds = report.ahead_ms.abs() / 1000;
        writeln!(
            out,
            "clock    本机时钟比采集端{zh} {seconds} 秒，请校时；上报不受影响。\n  \
             This device's clock is {seconds} s {way} the collector's; set it. Reporting goes on."
        )?;
    }
    Ok(())
}

fn time_of(ms: i64) -> String {
    china_time(ms).unwrap_or_default()
}

/// How a folder stands with what is expected of it, in a line.
fn expected(expectation: Expectation, fed: Fed) -> String {
    let last = fed.last_ms.map_or("never".to_owned(), time_of);
    match (fed.starved_ms, fed.gone_from_ms()) {
        (None, _) => format!("fed      {expectation}; the newest export came {last}"),
        (Some(since), gone) => {
            let gone = gone.map(|gone| {
                format!("; WeCom keeps messages for five days: from {} on they are gone for good", time_of(gone))
            });
            format!(
                "STARVED  {expectation}; missing since {}, the newest export came {last}{}. Look at the archive job",
                time_of(since),
                gone.unwrap_or_default()
            )
        }
    }
}

fn folder_json(folder: &Folder, fed: Option<Fed>) -> serde_json::Value {
    json!({
        "path": folder.path.display().to_string(),
        "corp": folder.corp.as_str(),
        "expected": folder.expect.map(|expectation| expectation.to_string()),
        "starved_ms": fed.and_then(|fed| fed.starved_ms),
        "last_export_ms": fed.and_then(|fed| fed.last_ms),
        "gone_from_ms": fed.and_then(Fed::gone_from_ms),
    })
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
