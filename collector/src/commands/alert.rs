//! `watchpost-collector alert`: findings grouped for a person to deal with.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;

mod act;
mod choose;

use act::{AppealArgs, AssignArgs, CloseArgs, StepArgs, StepsArgs};
use choose::ListArgs;

use super::export::{self, ExportArgs};
use super::output::Output;
use crate::alerts::desk::What as Step;
use crate::alerts::{self, Alert, Happened, Item, ItemHit, WindowView};
use crate::clock::{minute_in_china, now_ms};
use crate::clocks::{Clocks, Text};
use crate::config::Config;
use crate::derive;
use crate::log_store::LogReader;

/// Shows alerts, and what is done with them. 查看与处置告警。
#[derive(Debug, Args)]
pub struct AlertArgs {
    #[command(subcommand)]
    command: AlertCommand,
}

#[derive(Debug, Subcommand)]
enum AlertCommand {
    /// Lists alerts that are to be dealt with, the most urgent first. 待处理告警，按时限排序。
    #[command(
        after_help = "Examples:\n  watchpost-collector alert list --config ./collector/collector.toml --json\n  \
        watchpost-collector alert list --department sales --level high --overdue --config ./collector/collector.toml\n  \
        watchpost-collector alert list --state closed --since 2026-11-01 --config ./collector/collector.toml"
    )]
    List(Box<ListArgs>),
    /// Shows one alert with its findings, its clocks and everything that became of it.
    #[command(after_help = "Example:\n  watchpost-collector alert show 3f2a… --config ./collector/collector.toml")]
    Show {
        /// The alert's id, 64 hexadecimal characters.
        id: String,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Deals with alerts oneself from now on. 认领。
    #[command(after_help = "Example:\n  watchpost-collector alert take 3f2a… --config ./collector/collector.toml")]
    Take(Box<StepsArgs>),
    /// Has somebody deal with alerts. 分派。
    #[command(
        after_help = "Example:\n  watchpost-collector alert assign 3f2a… --to li.na --config ./collector/collector.toml"
    )]
    Assign(Box<AssignArgs>),
    /// Puts alerts back into the queue. 退回队列。
    #[command(after_help = "Example:\n  watchpost-collector alert put-back 3f2a… --config ./collector/collector.toml")]
    PutBack(Box<StepsArgs>),
    /// Writes a note beside alerts. 备注。
    #[command(
        after_help = "Example:\n  watchpost-collector alert note 3f2a… --note \"asked the branch\" --config ./collector/collector.toml"
    )]
    Note(Box<StepsArgs>),
    /// Closes alerts. 结案。
    #[command(
        after_help = "Examples:\n  watchpost-collector alert close 3f2a… --as confirmed --config ./collector/collector.toml\n  \
        watchpost-collector alert close --rule fin.guaranteed-return --day 2026-11-20 --as false-alarm --note \"training material\" --config ./collector/collector.toml\n  \
        watchpost-collector alert close 3f2a… --duplicate-of 91bc… --config ./collector/collector.toml"
    )]
    Close(Box<CloseArgs>),
    /// Opens closed alerts again; their clocks begin anew. 重新打开。
    #[command(
        after_help = "Example:\n  watchpost-collector alert reopen 3f2a… --note \"new facts\" --config ./collector/collector.toml"
    )]
    Reopen(Box<StepsArgs>),
    /// Marks a step of the playbook as done. 处置步骤完成。
    #[command(
        after_help = "Example:\n  watchpost-collector alert step 3f2a… --number 2 --config ./collector/collector.toml"
    )]
    Step(Box<StepArgs>),
    /// Hands alerts to whoever stands above. 升级。
    #[command(
        after_help = "Example:\n  watchpost-collector alert escalate 3f2a… --note \"concerns the branch head\" --config ./collector/collector.toml"
    )]
    Escalate(Box<StepsArgs>),
    /// Notes that the person concerned objects, or decides about it. 申诉。
    #[command(
        after_help = "Examples:\n  watchpost-collector alert appeal 3f2a… --note \"it was a quotation\" --config ./collector/collector.toml\n  \
        watchpost-collector alert appeal 3f2a… --grant --note \"so it was\" --config ./collector/collector.toml\n\n\
        Nobody decides about an objection to what they closed themselves."
    )]
    Appeal(Box<AppealArgs>),
    /// How often each rule is right, for its author; the least precise first. 规则准确率。
    #[command(
        after_help = "Example:\n  watchpost-collector alert precision --pack finance-conduct --config ./collector/collector.toml"
    )]
    Precision {
        /// Of this pack alone.
        #[arg(long)]
        pack: Option<String>,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    Export(Box<ExportArgs>),
}

/// Runs the command.
///
/// # Errors
/// Nothing to read, no such alert, a step that does not fit, or stdout.
pub fn run(args: AlertArgs) -> anyhow::Result<()> {
    match args.command {
        AlertCommand::List(args) => choose::list(&args),
        AlertCommand::Export(args) => export::run(&args),
        AlertCommand::Show { id, config, json } => show(&Config::load(&config)?, &id, json),
        AlertCommand::Take(args) => args.run(Step::Take),
        AlertCommand::Assign(args) => args.run(),
        AlertCommand::PutBack(args) => args.run(Step::PutBack),
        AlertCommand::Note(args) => args.run(Step::Note),
        AlertCommand::Close(args) => args.run(),
        AlertCommand::Reopen(args) => args.run(Step::Reopen),
        AlertCommand::Step(args) => args.run(),
        AlertCommand::Escalate(args) => args.run(Step::Escalate),
        AlertCommand::Appeal(args) => args.run(),
        AlertCommand::Precision { pack, config, json } => precision(&Config::load(&config)?, pack.as_deref(), json),
    }
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    alert: Alert,
    overdue: Option<&'static str>,
    playbook: Vec<Text>,
    items: Vec<Item>,
    history: Vec<Happened>,
}

fn show(config: &Config, id: &str, json: bool) -> anyhow::Result<()> {
    let bytes = hex::decode(id).ok().filter(|bytes| bytes.len() == 32);
    let bytes = bytes.with_context(|| format!("{id:?} is not an alert's id: 64 hexadecimal characters"))?;
    let db = derive::open_read_only(&config.derived_db())?;
    let log = LogReader::open(&config.log_db())?;
    let alert = alerts::find(&db, &bytes)?.with_context(|| format!("there is no alert {id}"))?;
    let response = alerts::level_number(alert.level).and_then(|level| Clocks::read(&db).ok()?.response(level).cloned());
    let shown = Shown {
        overdue: alert.overdue(now_ms()),
        playbook: response.map(|response| response.steps).unwrap_or_default(),
        items: alerts::items(&db, &bytes)?,
        history: alerts::history(&db, log.connection(), &bytes)?,
        alert,
    };
    let mut out = Output::new();
    if json {
        out.json(&shown)?;
    } else {
        print(&mut out, &shown)?;
    }
    out.finish()
}

fn print(out: &mut Output, shown: &Shown) -> anyhow::Result<()> {
    let Shown { alert, items, .. } = shown;
    let rule = format!("{}/{}", alert.pack, alert.rule);
    let devices = alert.devices.join(" ");
    let state = [Some(alert.state), alert.ending, shown.overdue.map(|_| "OVERDUE 超时")];
    let state = state.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let time = |ms: Option<i64>| ms.and_then(minute_in_china).unwrap_or_default();
    let (opened, take_by, close_by) = (time(Some(alert.opened_ms)), time(alert.take_by_ms), time(alert.close_by_ms));
    let late = alert.late.unwrap_or_default();
    for (name, value) in [
        ("alert", alert.alert.as_str()),
        ("level", alert.level),
        ("rule", &rule),
        ("category", &alert.category),
        ("person", &alert.person),
        ("department", &alert.department),
        ("site", &alert.site),
        ("day", &alert.day),
        ("state", &state),
        ("assignee", &alert.assignee),
        ("opened", &opened),
        ("late", late),
        ("take by", &take_by),
        ("close by", &close_by),
        ("appeal", alert.appeal.unwrap_or_default()),
        ("suppressed by", alert.suppressed_by.as_deref().unwrap_or_default()),
        ("case", alert.case.as_deref().unwrap_or_default()),
        ("devices", &devices),
    ] {
        if !value.is_empty() {
            out.row(&[name, value])?;
        }
    }
    out.row(&[])?;
    out.row(&["MSGID", "MSGTIME", "FROM", "TO", "TYPE", "HOW", "EXCERPT"])?;
    for item in items {
        let time = item.msgtime.map(|at| at.to_string()).unwrap_or_default();
        let how = item.window.as_ref().map_or_else(|| how(&item.hits), WindowView::in_short);
        out.row(&[&item.msgid, &time, &item.from, &item.to.join(","), &item.msgtype, &how, &item.excerpt])?;
    }
    print_work(out, shown)
}

fn print_work(out: &mut Output, shown: &Shown) -> anyhow::Result<()> {
    out.row(&[])?;
    for (number, step) in (1..).zip(&shown.playbook) {
        let mark = if shown.alert.steps_done.contains(&number) { "[x]" } else { "[ ]" };
        out.row(&[mark, &number.to_string(), &step.en, &step.zh])?;
    }
    out.row(&[])?;
    for it in &shown.history {
        let note = if it.note_erased { "(erased 已删除)" } else { it.note.as_deref().unwrap_or_default() };
        let more = it.ending.as_deref().unwrap_or(&it.assignee);
        out.row(&[&minute_in_china(it.at_ms).unwrap_or_default(), &it.what, &it.by, more, note])?;
    }
    Ok(())
}

/// The ways in which the hits were recognised, each once.
fn how(hits: &[ItemHit]) -> String {
    let ways: BTreeSet<&str> = hits.iter().map(|hit| hit.channel).collect();
    ways.into_iter().collect::<Vec<_>>().join(",")
}

fn precision(config: &Config, pack: Option<&str>, json: bool) -> anyhow::Result<()> {
    let mut out = Output::new();
    if !json {
        out.row(&["RULE", "PRECISION", "CONFIRMED", "FALSE", "OTHER", "UNCLOSED", "FINDINGS", "SHADOW"])?;
    }
    for it in alerts::precision(&derive::open_read_only(&config.derived_db())?, pack)? {
        if json {
            out.json(&it)?;
            continue;
        }
        let precision = it.precision.map_or("-".into(), |precision| format!("{:.0} %", precision * 100.0));
        let numbers = [it.confirmed, it.false_alarms, it.other, it.unclosed, it.findings, it.shadow];
        let numbers = numbers.map(|number| number.to_string());
        let mut row = vec![format!("{}/{}", it.pack, it.rule), precision];
        row.extend(numbers);
        out.row(&row.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    out.finish()
}
