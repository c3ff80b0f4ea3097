//! `watchpost-collector evidence`: one file that proves one alert.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;
use watchpost_proto::note;

use super::output::Output;
use crate::config::Config;
use crate::durable_file::{self, Access};
use crate::log_store::LogReader;
use crate::{derive, evidence};

/// Exports what proves an alert to anybody. 导出告警证据包。
#[derive(Debug, Args)]
pub struct EvidenceArgs {
    #[command(subcommand)]
    command: EvidenceCommand,
}

#[derive(Debug, Subcommand)]
enum EvidenceCommand {
    /// Writes one file with an alert's records, signatures, certificates and proofs. Works while serve runs. 导出一个告警的证据包文件。
    #[command(
        after_help = "Example:\n  watchpost-collector evidence export 3f2a… --out case-7.json --config ./collector/collector.toml\n\n\
                            The file holds the excerpts the rules disclose: it is written readable by its owner only.\n\
                            watchpost-collector verify checks it on any machine, with the root certificate alone."
    )]
    Export {
        /// The alert's id, 64 hexadecimal characters.
        alert: String,
        /// The file to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// A note of this log that the reader has kept: the file then proves that the log only grew since.
        #[arg(long, value_name = "NOTE")]
        checkpoint: Option<PathBuf>,
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
/// No such alert, a log that cannot be read, or the disk.
pub fn run(args: EvidenceArgs) -> anyhow::Result<()> {
    let EvidenceCommand::Export { alert, out, checkpoint, config, json } = args.command;
    let config = Config::load(&config)?;
    let id = hex::decode(&alert).ok().filter(|bytes| bytes.len() == 32);
    let id = id.with_context(|| format!("{alert:?} is not an alert's id: 64 hexadecimal characters"))?;
    let kept = checkpoint.map(|path| {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        note::read_unverified(&text).with_context(|| format!("{} is not a checkpoint", path.display()))
    });
    let derived = derive::open_read_only(&config.derived_db())?;
    let log = LogReader::open(&config.log_db())?;
    let made =
        evidence::export(&log, &derived, &id, &evidence::candidates(&config, &log)?, kept.transpose()?.as_ref())?;
    let bytes = serde_json::to_vec_pretty(&made)?;
    durable_file::write(&out, &bytes, Access::Secret)?;
    let records: usize = made.segments.iter().map(|segment| segment.records.len()).sum();
    let mut output = Output::new();
    if json {
        output.json(&json!({
            "file": out, "alert": made.alert, "records": records, "segments": made.segments.len(),
            "witnesses": made.witnesses, "bytes": bytes.len(),
        }))?;
    } else {
        output.row(&[&format!("{}: {records} records of alert {}", out.display(), made.alert)])?;
        if made.witnesses.is_empty() {
            output.row(&["no witness has seen the checkpoint 检查点没有见证方"])?;
        }
    }
    output.finish()
}
