//! `watchpost-collector notice`: who has acknowledged the notice, and who has not.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use super::deed::DeedArgs;
use super::output::Output;
use crate::admin::What;
use crate::clock::{minute_in_china, now_ms};
use crate::config::Config;
use crate::{derive, notices};

/// Largest list, in bytes.
const LIST_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Shows who has acknowledged the notice. 查看告知确认情况。
#[derive(Debug, Args)]
pub struct NoticeArgs {
    #[command(subcommand)]
    command: NoticeCommand,
}

#[derive(Debug, Subcommand)]
enum NoticeCommand {
    /// Lists accounts and the version each has acknowledged. 列出各账号的确认版本。
    #[command(after_help = "Example:\n  \
        watchpost-collector notice list --version 3 --missing --config ./collector/collector.toml\n\n\
        Accounts are those that were seen in messages or have acknowledged. Without --version the latest counts that\n\
        anybody has acknowledged.")]
    List {
        /// Who has acknowledged this version, or a later one.
        #[arg(long, value_name = "NUMBER")]
        version: Option<u64>,
        /// Only those who have not.
        #[arg(long)]
        missing: bool,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Takes in acknowledgements that were collected elsewhere. 导入其他途径收集的确认。
    #[command(after_help = "Example:\n  \
        watchpost-collector notice import signed.csv --reason \"paper forms of 2026\" --config ./collector/collector.toml\n\n\
        The columns are account (corp/userid), version, at (2026-11-20 or 2026-11-20 10:30, China) and source (where the\n\
        acknowledgement is kept). Mistakes are told by line, and nothing is imported then.")]
    Import {
        /// The list.
        file: PathBuf,
        #[command(flatten)]
        deed: DeedArgs,
    },
}

/// Runs the command.
///
/// # Errors
/// Nothing to read, a list with mistakes, or what kept it from being imported.
pub fn run(args: NoticeArgs) -> anyhow::Result<()> {
    match args.command {
        NoticeCommand::List { version, missing, config, json } => list(&Config::load(&config)?, version, missing, json),
        NoticeCommand::Import { file, deed } => deed.run(What::ImportAcknowledgements { rows: read(&file)? }),
    }
}

fn list(config: &Config, version: Option<u64>, missing: bool, json: bool) -> anyhow::Result<()> {
    let db = derive::open_read_only(&config.derived_db())?;
    let all = notices::list(&db, version)?;
    let mut out = Output::new();
    if !json {
        let done = all.iter().filter(|it| it.done).count();
        out.row(&[&format!("已确认 {done} / {} acknowledged: {done} of {}", all.len(), all.len())])?;
        out.row(&["ACCOUNT", "VERSION", "AT", "DONE", "VIA"])?;
    }
    for it in all.iter().filter(|it| !missing || !it.done) {
        if json {
            out.json(it)?;
            continue;
        }
        let version = it.version.map_or("-".to_owned(), |version| version.to_string());
        let at = it.at_ms.and_then(minute_in_china).unwrap_or_default();
        out.row(&[&it.account, &version, &at, if it.done { "yes" } else { "no" }, &it.via])?;
    }
    out.finish()
}

fn read(file: &Path) -> anyhow::Result<Vec<notices::Row>> {
    let told = || file.display().to_string();
    if std::fs::metadata(file).with_context(told)?.len() > LIST_BYTES_MAX {
        bail!("{} is larger than 16 MiB; import it in parts", file.display());
    }
    let bytes = std::fs::read(file).with_context(told)?;
    notices::parse(&bytes, now_ms()).map_err(|mistakes| anyhow::anyhow!("{}:\n{}", file.display(), mistakes.join("\n")))
}
