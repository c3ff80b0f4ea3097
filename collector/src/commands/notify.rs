//! `watchpost-collector notify`: what was told of alerts, to whom, and whether it arrived.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use watchpost_proto::Digest;
use watchpost_proto::v1::NotificationVerb;

use super::deed::DeedArgs;
use super::output::Output;
use crate::admin::What;
use crate::clock::minute_in_china;
use crate::config::Config;
use crate::data_lock::DataLock;
use crate::log_store::{LogReader, NotificationFacts, notifications};

/// How long a test waits for its outcome: looking up, connecting and answering, and a little more.
const PATIENCE: Duration = Duration::from_secs(40);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);
/// Messages that are listed where nobody says how many.
const LISTED: u32 = 100;

/// Tests targets of notifications and shows what was sent. 通知：测试目标、查看发送记录。
#[derive(Debug, Args)]
pub struct NotifyArgs {
    #[command(subcommand)]
    command: NotifyCommand,
}

#[derive(Debug, Subcommand)]
enum NotifyCommand {
    /// Sends a text to a target that says it is a test. 发送测试消息。
    #[command(after_help = "Example:\n  watchpost-collector notify test duty --config ./collector/collector.toml\n\n\
        Targets stand in collector.toml, [[notify.target]]; docs/notifications.md. Exit code 1 where it was not taken.")]
    Test {
        /// The target, by name.
        target: String,
        #[command(flatten)]
        deed: DeedArgs,
    },
    /// Lists messages, the newest first: those that wait and those that went. 查看待发与已发的通知。
    #[command(
        after_help = "Example:\n  watchpost-collector notify list --config ./collector/collector.toml --json\n\n\
        STATE is waiting, sending, sent, failed (tried again at NEXT), uncertain (it may have arrived) or given-up."
    )]
    List {
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = LISTED)]
        last: u32,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
}

/// A message as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    target: String,
    /// None for a test.
    route: Option<String>,
    /// Events it tells of.
    tells: u64,
    state: &'static str,
    attempts: u32,
    /// The HTTP status of the last answer.
    status: Option<u32>,
    /// The robot's own code.
    errcode: Option<i64>,
    reason: String,
    planned_ms: i64,
    at_ms: i64,
    /// When it is tried again.
    next_ms: Option<i64>,
}

impl Shown {
    fn of(facts: NotificationFacts) -> Self {
        Self {
            id: facts.id.to_string(),
            state: state(facts.verb),
            next_ms: Some(facts.next_ms).filter(|ms| *ms != 0),
            route: Some(facts.route).filter(|route| !route.is_empty()),
            target: facts.target,
            tells: facts.tells,
            attempts: facts.attempts,
            status: Some(facts.status).filter(|status| *status != 0),
            errcode: Some(facts.errcode).filter(|errcode| *errcode != 0),
            reason: facts.reason,
            planned_ms: facts.planned_ms,
            at_ms: facts.at_ms,
        }
    }
}

fn state(verb: NotificationVerb) -> &'static str {
    match verb {
        NotificationVerb::Planned => "waiting",
        NotificationVerb::Sending => "sending",
        NotificationVerb::Sent => "sent",
        NotificationVerb::Failed => "failed",
        NotificationVerb::Uncertain => "uncertain",
        NotificationVerb::GivenUp => "given-up",
        NotificationVerb::Unspecified => "unknown",
    }
}

/// Runs the command.
///
/// # Errors
/// No such target, a test that was not taken, nothing to read, or stdout.
pub fn run(args: NotifyArgs) -> anyhow::Result<()> {
    match args.command {
        NotifyCommand::Test { target, deed } => test(&target, &deed),
        NotifyCommand::List { last, config, json } => list(&Config::load(&config)?, last, json),
    }
}

fn test(target: &str, deed: &DeedArgs) -> anyhow::Result<()> {
    let config = Config::load(&deed.config)?;
    let names: Vec<&str> = config.notify.targets.iter().map(|target| target.name.as_str()).collect();
    if !names.contains(&target) {
        bail!("the configuration has no target {target:?}; it has: {}", names.join(", "));
    }
    let mut id = [0; 32];
    getrandom::fill(&mut id).context("random bytes")?;
    let id = Digest(id);
    deed.have_done(&config, What::TestNotification { target: target.to_owned(), id: id.to_string() })?;
    if DataLock::take(&config.data_dir)?.is_some() {
        bail!("no collector runs on this data folder: the test is sent when serve runs; see notify list");
    }
    let facts = outcome(&config, &id)?;
    let (taken, shown) = (facts.verb == NotificationVerb::Sent, Shown::of(facts));
    let mut out = Output::new();
    if deed.json {
        out.json(&shown)?;
    } else {
        row(&mut out, &shown)?;
    }
    out.finish()?;
    if taken {
        return Ok(());
    }
    bail!("{target} has not taken the test ({}); see notify list and the log of serve", shown.reason)
}

/// How the first attempt ends.
fn outcome(config: &Config, id: &Digest) -> anyhow::Result<NotificationFacts> {
    let (log, give_up) = (LogReader::open(&config.log_db())?, Instant::now() + PATIENCE);
    loop {
        let facts = notifications::of_id(log.connection(), id)?.context("the test is not in the log")?;
        if !matches!(facts.verb, NotificationVerb::Planned | NotificationVerb::Sending) {
            return Ok(facts);
        }
        if Instant::now() > give_up {
            bail!(
                "nothing was heard of the test yet: {} hangs, or other messages go first; see notify list",
                facts.target
            );
        }
        std::thread::sleep(LOOK);
    }
}

fn list(config: &Config, last: u32, json: bool) -> anyhow::Result<()> {
    let log = LogReader::open(&config.log_db())?;
    let mut out = Output::new();
    if !json {
        out.row(&["PLANNED", "TARGET", "ROUTE", "TELLS", "STATE", "ATTEMPTS", "ANSWER", "REASON", "NEXT", "ID"])?;
    }
    for facts in notifications::latest(log.connection(), last)? {
        let shown = Shown::of(facts);
        if json { out.json(&shown)? } else { row(&mut out, &shown)? }
    }
    out.finish()
}

fn row(out: &mut Output, shown: &Shown) -> anyhow::Result<()> {
    let time = |ms: Option<i64>| ms.and_then(minute_in_china).unwrap_or_default();
    let answer = match (shown.status, shown.errcode) {
        (Some(status), Some(errcode)) => format!("{status}/{errcode}"),
        (Some(status), None) => status.to_string(),
        (None, _) => String::new(),
    };
    out.row(&[
        &time(Some(shown.planned_ms)),
        &shown.target,
        shown.route.as_deref().unwrap_or("(test)"),
        &shown.tells.to_string(),
        shown.state,
        &shown.attempts.to_string(),
        &answer,
        &shown.reason,
        &time(shown.next_ms),
        shown.id.get(..12).unwrap_or_default(),
    ])
}
