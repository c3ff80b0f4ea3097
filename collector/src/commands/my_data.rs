//! `watchpost-collector my-data`: the page an employee sees, for accounts without a device of their own, and the link by which they
//! see it themselves.

mod link;

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use watchpost_policy::my_data::{Lang, html, text};

use super::output::Output;
use crate::clock::{minute_in_china, now_ms};
use crate::config::Config;
use crate::{derive, my_data};

/// Shows what was sent about an account, as its owner may see it. 某账号的“我的数据”页面。
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    watchpost-collector my-data wwEXAMPLE0001/li.na --format html --who \"Compliance: all records\" \\\n    \
    --config ./collector/collector.toml > li.na.html\n\n\
    For accounts whose exports are looked at on an archive host. Hand it to that person and nobody else.")]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct MyDataArgs {
    #[command(subcommand)]
    command: Option<link::LinkCommand>,
    #[command(flatten)]
    shown: Option<ShowArgs>,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The account, `corp/userid`.
    account: String,
    /// Who can see what is sent, a line each.
    #[arg(long, value_name = "LINE")]
    who: Vec<String>,
    /// Language of the text.
    #[arg(long, value_enum, default_value_t = LangArg::Zh)]
    lang: LangArg,
    /// As text, as a page for a browser, or as one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LangArg {
    Zh,
    En,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Html,
    Json,
}

/// Runs the command.
///
/// # Errors
/// Nothing to read, or stdout.
pub fn run(args: MyDataArgs) -> anyhow::Result<()> {
    match (args.command, args.shown) {
        (Some(command), _) => link::run(command),
        (None, Some(shown)) => show(shown),
        (None, None) => anyhow::bail!("name an account, corp/userid"),
    }
}

fn show(args: ShowArgs) -> anyhow::Result<()> {
    let db = derive::open_read_only(&Config::load(&args.config)?.derived_db())?;
    // Devices name accounts without ASCII case of the userid.
    let account = match args.account.split_once('/') {
        Some((corp, userid)) => format!("{corp}/{}", userid.to_ascii_lowercase()),
        None => anyhow::bail!("{:?} is no account; write corp/userid", args.account),
    };
    let data = my_data::page(&db, &account, args.who, now_ms())?;
    let time = |ms| minute_in_china(ms).unwrap_or_default();
    let lang = match args.lang {
        LangArg::Zh => Lang::Zh,
        LangArg::En => Lang::En,
    };
    let mut out = io::stdout().lock();
    match args.format {
        Format::Text => out.write_all(text(&data, lang, &time).as_bytes())?,
        Format::Html => out.write_all(html(&data, &time).as_bytes())?,
        Format::Json => {
            drop(out);
            let mut out = Output::new();
            out.json(&data)?;
            return out.finish();
        }
    }
    Ok(out.flush()?)
}
