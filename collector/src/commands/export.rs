//! `watchpost-collector alert export`: findings as a file for others.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::deed::DeedArgs;
use crate::admin::What;
use crate::audit::{Access, Did};
use crate::clock::now_ms;
use crate::config::Config;
use crate::export::{Export, Format, to_file};
use crate::search::find::Finder;
use crate::search::query::Query;

/// Writes what a query finds into a file, one row for each finding with the alert it belongs to. 导出命中。
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  watchpost-collector alert export --query 'level:>=high since:30d' --format xlsx --out october.xlsx --reason audit --config ./collector/collector.toml\n  \
                  watchpost-collector alert export --query 'since:1d' --format jsonl --out siem.jsonl --config ./collector/collector.toml\n\n\
                  Who exported what, with how many rows, is in the log before the file is there. A file of that name is never overwritten."
)]
pub struct ExportArgs {
    /// What to export, as search takes it; everything where it is empty.
    #[arg(long, default_value = "")]
    query: String,
    /// As what.
    #[arg(long, value_enum)]
    format: FormatArg,
    /// The file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// With excerpts, as far as they were disclosed.
    #[arg(long)]
    excerpts: bool,
    /// A CSV that Excel opens as UTF-8.
    #[arg(long)]
    excel: bool,
    #[command(flatten)]
    deed: DeedArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    Csv,
    Xlsx,
    Jsonl,
}

/// Runs the command.
///
/// # Errors
/// A query that says nothing, a file that cannot be written, or what kept the record from the log.
pub fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.deed.config)?;
    let query = Query::parse(&args.query, now_ms()).map_err(|mistake| anyhow!(mistake))?;
    let format = match args.format {
        FormatArg::Csv => Format::Csv { mark: args.excel },
        FormatArg::Xlsx => Format::Xlsx,
        FormatArg::Jsonl => Format::Jsonl,
    };
    let export = Export { query: &query, format, excerpts: args.excerpts };
    let mut finder = Finder::open(&config)?;
    let mut entries = Vec::new();
    let rows = to_file(&mut finder, &export, &args.out, |rows| {
        let access =
            Access { did: Did::Exported, subject: subject(args.excerpts, &query), address: String::new(), rows };
        entries = args.deed.have_done(&config, What::Access { access })?;
        Ok(())
    })?;
    args.deed.say(&json!({ "rows": rows }), &entries)
}

fn subject(excerpts: bool, query: &Query) -> String {
    let excerpts = if excerpts { " with excerpts" } else { "" };
    format!("findings{excerpts}: {}", query.told())
}
