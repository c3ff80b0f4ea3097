//! `watchpost-collector log`: the log's head, proofs, its tiles, and whether the whole of it holds.

mod prove;

use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::output::Output;
use crate::config::Config;
use crate::log_key::{Signed, signed_head};
use crate::log_store::LogReader;
use crate::log_store::check::{Fault, Sound, check};
use crate::trust::Trust;
use crate::{credentials, publish};

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
    Prove(prove::ProveArgs),
    /// Writes the log's tree as static files (C2SP tlog-tiles) that anyone may fetch and check. 导出日志默克尔树的静态文件。
    #[command(
        after_help = "Example:\n  watchpost-collector log tiles --out /srv/www/log --config ./collector/collector.toml\n\n\
                            Run again it adds what has come since. The files hold digests, no names and no text."
    )]
    Tiles {
        /// The folder; made where there is none.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Checks every entry, signature, chain and record, and the tree over them. Works while serve runs. 校验整个日志。
    #[command(after_help = "Example:\n  watchpost-collector log verify --config ./collector/collector.toml\n  \
                            watchpost-collector log verify --checkpoint monday.note --config ./collector/collector.toml\n\n\
                            Exit code 1 where anything is wrong; the first bad entry is named.\n\
                            That the log is whole does not say that it is the one seen before: --checkpoint compares it \
                            with notes that were kept elsewhere.")]
    Verify {
        /// A note of this log that was kept elsewhere; more may be given.
        #[arg(long, value_name = "NOTE")]
        checkpoint: Vec<PathBuf>,
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
        LogCommand::Prove(args) => prove::run(&args),
        LogCommand::Tiles { out, config, json } => tiles(&Config::load(&config)?, &out, json),
        LogCommand::Verify { checkpoint, config, json } => verify(&Config::load(&config)?, &checkpoint, json),
    }
}

fn checkpoint(config: &Config, json: bool) -> anyhow::Result<()> {
    let Signed { checkpoint, note, vkey } = signed_head(config, &LogReader::open(&config.log_db())?)?;
    if !json {
        print!("{note}");
        return Ok(());
    }
    let mut out = Output::new();
    let root = checkpoint.root.to_string();
    out.json(&json!({
        "origin": checkpoint.origin, "size": checkpoint.size, "root": root, "note": note, "vkey": vkey,
    }))?;
    out.finish()
}

fn tiles(config: &Config, folder: &Path, json: bool) -> anyhow::Result<()> {
    let log = LogReader::open(&config.log_db())?;
    let head = signed_head(config, &log)?;
    let written = publish::publish(folder, &log, &head.note)?;
    let mut out = Output::new();
    if json {
        out.json(&json!({ "size": written.size, "files": written.files, "vkey": head.vkey }))?;
    } else {
        out.row(&[&format!("{} files added; the folder shows {} entries", written.files, written.size)])?;
        out.row(&["the log's key", &head.vkey])?;
    }
    out.finish()
}

fn verify(config: &Config, kept: &[PathBuf], json: bool) -> anyhow::Result<()> {
    let read = |path: &PathBuf| fs::read_to_string(path).with_context(|| path.display().to_string());
    let kept = kept.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let trust = Trust::new(&credentials::trusted(&config.root)?, &config.tenant)?;
    let log = LogReader::open(&config.log_db())?;
    let bar = progress_bar(log.checkpoint()?.size);
    let checked = check(&log, &trust, &kept, |entries| bar.set_position(entries));
    bar.finish_and_clear();
    let mut out = Output::new();
    match (&checked, json) {
        (Ok(sound), true) => {
            let Sound { size, root, erased, erased_in, encrypted } = sound;
            out.json(&json!({
                "size": size, "root": root.to_string(), "entries_checked": size, "erased_records": erased,
                "payloads_with_erased_records": erased_in, "payloads_sent_encrypted": encrypted, "checkpoints_compared": kept.len(), "ok": true,
            }))?;
        }
        (Ok(sound), false) => say(&mut out, sound, kept.len())?,
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

fn say(out: &mut Output, sound: &Sound, compared: usize) -> anyhow::Result<()> {
    let Sound { size, root, erased, erased_in, encrypted } = sound;
    out.row(&[&format!("the log holds: {size} entries, root {root}")])?;
    if compared > 0 {
        out.row(&[&format!("it leads through the checkpoints that were kept: {compared}")])?;
    }
    if *erased > 0 {
        out.row(&[&format!(
            "{erased} records in {erased_in} segments were erased, as entries of the log say; the payload digests of \
             these segments cannot be computed any more, and every other record still proves under its signature"
        )])?;
    }
    if *encrypted > 0 {
        out.row(&[&format!(
            "{encrypted} segments were sent encrypted and are kept plain: their payload digests are of what was sent, and \
             every record proves under its signature"
        )])?;
    }
    Ok(())
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
