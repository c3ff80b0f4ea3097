//! `watchpost-collector case`: alerts of one person that are dealt with together.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};

use super::deed::DeedArgs;
use super::output::Output;
use crate::admin::What;
use crate::alerts::desk::{CaseStep, Outcome};
use crate::alerts::{self, Case};
use crate::clock::minute_in_china;
use crate::config::Config;
use crate::derive;
use crate::log_store::LogReader;

/// Deals with alerts of one person together. 案件。
#[derive(Debug, Args)]
pub struct CaseArgs {
    #[command(subcommand)]
    command: CaseCommand,
}

#[derive(Debug, Subcommand)]
enum CaseCommand {
    /// Opens a case about a person, with alerts of theirs.
    #[command(
        after_help = "Example:\n  watchpost-collector case open --person ww1/li.na --note \"customers moved to a private account\" 3f2a… 91bc… --config ./collector/collector.toml"
    )]
    Open {
        /// The person, corp/userid.
        #[arg(long)]
        person: String,
        /// Ids of their alerts.
        alerts: Vec<String>,
        /// What it is called.
        #[arg(long)]
        note: String,
        #[command(flatten)]
        deed: DeedArgs,
    },
    /// Lists cases.
    #[command(after_help = "Example:\n  watchpost-collector case list --config ./collector/collector.toml")]
    List {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Shows one case with everything that was done.
    #[command(after_help = "Example:\n  watchpost-collector case show 5c0f… --config ./collector/collector.toml")]
    Show {
        /// Its id.
        id: String,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Takes alerts of the same person in.
    #[command(after_help = "Example:\n  watchpost-collector case link 5c0f… 91bc… --config ./collector/collector.toml")]
    Link(LinkArgs),
    /// Takes alerts out.
    #[command(
        after_help = "Example:\n  watchpost-collector case unlink 5c0f… 91bc… --config ./collector/collector.toml"
    )]
    Unlink(LinkArgs),
    /// Writes a note.
    #[command(
        after_help = "Example:\n  watchpost-collector case note 5c0f… --note \"heard on 20 November\" --config ./collector/collector.toml"
    )]
    Note(NoteArgs),
    /// Closes a case with what came of it.
    #[command(
        after_help = "Example:\n  watchpost-collector case close 5c0f… --outcome warning --note \"first time\" --config ./collector/collector.toml"
    )]
    Close {
        /// What came of it for the person.
        #[arg(long, value_enum)]
        outcome: Outcome,
        #[command(flatten)]
        note: NoteArgs,
    },
    /// Opens a closed case again.
    #[command(
        after_help = "Example:\n  watchpost-collector case reopen 5c0f… --note \"it went on\" --config ./collector/collector.toml"
    )]
    Reopen(NoteArgs),
}

#[derive(Debug, Args)]
struct LinkArgs {
    /// Its id.
    id: String,
    /// Ids of alerts.
    #[arg(required = true)]
    alerts: Vec<String>,
    #[command(flatten)]
    deed: DeedArgs,
}

#[derive(Debug, Args)]
struct NoteArgs {
    /// Its id.
    id: String,
    /// What is written. It lies beside the log and can be erased.
    #[arg(long)]
    note: String,
    #[command(flatten)]
    deed: DeedArgs,
}

/// Runs the command.
///
/// # Errors
/// What was asked cannot be, nothing to read, or stdout.
pub fn run(args: CaseArgs) -> anyhow::Result<()> {
    match args.command {
        CaseCommand::Open { person, alerts, note, deed } => {
            deed.run(What::Case { case: String::new(), step: CaseStep::Open { person, alerts }, note })
        }
        CaseCommand::List { config, json } => list(&Config::load(&config)?, json),
        CaseCommand::Show { id, config, json } => show(&Config::load(&config)?, &id, json),
        CaseCommand::Link(args) => link(args, CaseStep::Link),
        CaseCommand::Unlink(args) => link(args, CaseStep::Unlink),
        CaseCommand::Note(args) => step(args, CaseStep::Note),
        CaseCommand::Close { outcome, note } => step(note, CaseStep::Close(outcome)),
        CaseCommand::Reopen(args) => step(args, CaseStep::Reopen),
    }
}

fn link(args: LinkArgs, how: fn(Vec<String>) -> CaseStep) -> anyhow::Result<()> {
    let LinkArgs { id, alerts, deed } = args;
    known(&Config::load(&deed.config)?, &id)?;
    deed.run(What::Case { case: id, step: how(alerts), note: String::new() })
}

fn step(args: NoteArgs, step: CaseStep) -> anyhow::Result<()> {
    let NoteArgs { id, note, deed } = args;
    known(&Config::load(&deed.config)?, &id)?;
    deed.run(What::Case { case: id, step, note })
}

fn known(config: &Config, id: &str) -> anyhow::Result<Case> {
    let bytes = hex::decode(id).ok().filter(|bytes| bytes.len() == 16);
    let bytes = bytes.with_context(|| format!("{id:?} is not the id of a case: 32 hexadecimal characters"))?;
    let found = read(config, Some(&bytes))?.pop();
    found.with_context(|| format!("there is no case {id}; look with case list"))
}

fn read(config: &Config, only: Option<&[u8]>) -> anyhow::Result<Vec<Case>> {
    let (db, log) = (derive::open_read_only(&config.derived_db())?, LogReader::open(&config.log_db())?);
    Ok(alerts::cases(&db, log.connection(), only)?)
}

fn list(config: &Config, json: bool) -> anyhow::Result<()> {
    let mut out = Output::new();
    if !json {
        out.row(&["CASE", "PERSON", "STATE", "OPENED", "ALERTS", "TITLE"])?;
    }
    for case in read(config, None)? {
        if json {
            out.json(&case)?;
            continue;
        }
        let opened = minute_in_china(case.opened_ms).unwrap_or_default();
        let title = case.title.as_deref().unwrap_or("(erased 已删除)");
        out.row(&[&case.case, &case.person, state(&case), &opened, &case.alerts.len().to_string(), title])?;
    }
    out.finish()
}

fn state(case: &Case) -> &'static str {
    if case.is_closed { case.outcome.unwrap_or("closed") } else { "open" }
}

fn show(config: &Config, id: &str, json: bool) -> anyhow::Result<()> {
    let case = known(config, id)?;
    let mut out = Output::new();
    if json {
        out.json(&case)?;
        return out.finish();
    }
    ensure!(!case.case.is_empty(), "there is no case {id}");
    let title = case.title.as_deref().unwrap_or("(erased 已删除)");
    for (name, value) in [("case", &*case.case), ("title", title), ("person", &case.person), ("state", state(&case))] {
        out.row(&[name, value])?;
    }
    for alert in &case.alerts {
        out.row(&["alert", alert])?;
    }
    for it in &case.steps {
        let note = it.note.as_deref().unwrap_or_default();
        out.row(&[&minute_in_china(it.at_ms).unwrap_or_default(), it.what, &it.by, note])?;
    }
    out.finish()
}
