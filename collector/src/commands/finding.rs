//! `watchpost-collector finding`: findings one by one, for export and comparison with `scan`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::output::Output;
use crate::config::Config;
use crate::{alerts, derive};

/// Shows findings. 查看命中。
#[derive(Debug, Args)]
pub struct FindingArgs {
    #[command(subcommand)]
    command: FindingCommand,
}

#[derive(Debug, Subcommand)]
enum FindingCommand {
    /// Lists every finding that a device which is not quarantined holds.
    #[command(after_help = "Example:\n  watchpost-collector finding list --config ./collector/collector.toml --json")]
    List {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// Nothing to read, or stdout.
pub fn run(args: FindingArgs) -> anyhow::Result<()> {
    let FindingCommand::List { config, json } = args.command;
    let db = derive::open_read_only(&Config::load(&config)?.derived_db())?;
    let mut out = Output::new();
    if !json {
        out.row(&["FINDING", "RULE", "STATUS", "MSGID", "DEVICES"])?;
    }
    alerts::findings(&db, |finding| {
        if json {
            return out.json(&finding);
        }
        let rule = format!("{}/{}", finding.pack, finding.rule);
        let devices = finding.devices.len().to_string();
        out.row(&[&finding.finding_id, &rule, finding.status, &finding.msgid, &devices])
    })?;
    out.finish()
}
