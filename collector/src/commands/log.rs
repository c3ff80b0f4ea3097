//! `watchpost-collector log`: the log's head, and whether the whole of it holds.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::output::Output;
use crate::config::Config;
use crate::credentials;
use crate::log_key;
use crate::log_store::LogReader;
use crate::log_store::check::{Fault, Sound, check};
use crate::trust::Trust;

/// Shows and checks the log. 查看与校验日志。
#[derive(Debug, Args)]
pub struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Prints the log's head as a signed note.
    #[command(after_help = "Example:\n  watchpost-collector log checkpoint --config ./collector/collector.toml")]
    Checkpoint {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object with the note in it.
        #[arg(long)]
        json: bool,
    },
    /// Checks every entry, signature, chain and record, and the tree over them. Works while serve runs.
    #[command(after_help = "Example:\n  watchpost-collector log verify --config ./collector/collector.toml\n\n\
                            Exit code 1 where anything is wrong; the first bad entry is named.\n\
                            That the log is whole does not say that it is the one seen before: compare its checkpoint \
                            with a note that was kept elsewhere.")]
    Verify {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// No log, or one that does not hold.
pub fn run(args: LogArgs) -> anyhow::Result<()> {
    match args.command {
        LogCommand::Checkpoint { config, json } => checkpoint(&Config::load(&config)?, json),
        LogCommand::Verify { config, json } => verify(&Config::load(&config)?, json),
    }
}

fn checkpoint(config: &Config, json: bool) -> anyhow::Result<()> {
    let log = LogReader::open(&config.log_db())?;
    let path = config.data_dir.join("log.key");
    ensure!(path.exists(), "{} does not exist", path.display());
    let signer = log_key::load_or_make(&path)?;
    let opened = log_key::opened_with(&log)?;
    ensure!(opened.ed25519 == signer.public(), "{} is not the key of this log", path.display());
    let checkpoint = log.checkpoint()?;
    let note = signer.sign(&checkpoint);
    if !json {
        print!("{note}");
        return Ok(());
    }
    let mut out = Output::new();
    let root = checkpoint.root.to_string();
    out.json(&json!({ "origin": checkpoint.origin, "size": checkpoint.size, "root": root, "note": note }))?;
    out.finish()
}

fn verify(config: &Config, json: bool) -> anyhow::Result<()> {
    let trust = Trust::new(&credentials::trusted(&config.root)?, &config.tenant)?;
    let log = LogReader::open(&config.log_db())?;
    let bar = progress_bar(log.checkpoint()?.size);
    let checked = check(&log, &trust, |entries| bar.set_position(entries));
    bar.finish_and_clear();
    let mut out = Output::new();
    match (&checked, json) {
        (Ok(Sound { size, root }), true) => {
            let root = root.to_string();
            out.json(&json!({ "size": size, "root": root, "entries_checked": size, "ok": true }))?;
        }
        (Ok(Sound { size, root }), false) => {
            out.row(&[&format!("the log holds: {size} entries, root {root}")])?;
        }
        (Err(fault), true) => {
            let head = log.checkpoint()?;
            let (at, reason) = place(fault);
            out.json(&json!({
                "size": head.size, "root": head.root.to_string(), "entries_checked": bar.position(), "ok": false,
                "entry": at, "reason": reason,
            }))?;
        }
        (Err(_), false) => {}
    }
    out.finish()?;
    match checked {
        Ok(_) => Ok(()),
        Err(fault) => bail!("the log does not hold: {fault}"),
    }
}

fn place(fault: &Fault) -> (Option<u64>, String) {
    match fault {
        Fault::Entry { log_index, reason } => (Some(*log_index), reason.clone()),
        other => (None, other.to_string()),
    }
}

/// On a terminal only.
fn progress_bar(size: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {eta}").context("progress");
    let bar = ProgressBar::new(size);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
