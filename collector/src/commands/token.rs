//! `watchpost-collector token`: the strings that let devices enrol.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::deed::DeedArgs;
use super::output::Output;
use crate::admin::{Terms, What};
use crate::clock::{minute_in_china, now_ms};
use crate::config::Config;
use crate::enrolment::tokens::{self, Wanted};
use crate::{derive, members};

/// Makes, lists and withdraws enrolment tokens. 管理设备注册码。
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Makes a token and prints it, once: the collector keeps only its digest.
    #[command(after_help = "Examples:\n  \
        watchpost-collector token create --group sales --site shanghai --ttl 24h --uses 50 --config collector.toml > token.txt\n  \
        watchpost-collector token create --group sales --for listed --ttl 21d --uses 3800 --config collector.toml\n\n\
        Hand it over as a file or through device management, never on a command line:\n  \
        watchpost-agent enroll --token-file token.txt\n\n\
        --for listed    devices whose asset number is on the list enrol at once, each once; others wait (device queue)\n\
        --for approval  every device waits until somebody admits it (device admit CODE)")]
    Create(CreateArgs),
    /// Lists all tokens; none can be read back.
    #[command(after_help = "Example:\n  watchpost-collector token list --config ./collector/collector.toml --json")]
    List {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Withdraws a token. Devices that have enrolled with it stay.
    #[command(
        after_help = "Example:\n  watchpost-collector token revoke 3f2a91 --reason \"sent to the wrong people\" \
        --config ./collector/collector.toml"
    )]
    Revoke {
        /// The token's id as `token list` shows it; its beginning will do.
        id: String,
        #[command(flatten)]
        deed: DeedArgs,
    },
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The policy group devices enrol into.
    #[arg(long, default_value = "default")]
    group: String,
    /// The site devices enrol into.
    #[arg(long, default_value = "")]
    site: String,
    /// How long it may be used: 30m, 24h, 21d.
    #[arg(long, default_value = "24h", value_parser = seconds)]
    ttl: u64,
    /// How many devices may use it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    uses: u32,
    /// Who gets a certificate at once: anybody who shows it, assets of the list, or nobody.
    #[arg(long = "for", value_enum, default_value_t = TermsArg::Open)]
    terms: TermsArg,
    /// Where devices are sent, `host:port`; may be repeated. The configuration's addresses by default.
    #[arg(long = "address", value_name = "ADDR")]
    addresses: Vec<String>,
    #[command(flatten)]
    deed: DeedArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TermsArg {
    Open,
    Listed,
    Approval,
}

/// Runs the command.
///
/// # Errors
/// What kept it from being done.
pub fn run(args: TokenArgs) -> anyhow::Result<()> {
    match args.command {
        TokenCommand::Create(args) => create(&args),
        TokenCommand::List { config, json } => list(&Config::load(&config)?, json),
        TokenCommand::Revoke { id, deed } => revoke(&id, &deed),
    }
}

fn create(args: &CreateArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.deed.config)?;
    let wanted = Wanted {
        group: args.group.clone(),
        site: args.site.clone(),
        ttl_s: args.ttl,
        uses: args.uses,
        terms: match args.terms {
            TermsArg::Open => Terms::Open,
            TermsArg::Listed => Terms::Listed,
            TermsArg::Approval => Terms::Approval,
        },
        addresses: args.addresses.clone(),
    };
    let token = tokens::mint(&config, &wanted, now_ms())?;
    let entries = args.deed.have_done(&config, token.what)?;
    let mut out = Output::new();
    if args.deed.json {
        out.json(&json!({
            "token": token.text, "id": token.id, "expires_ms": token.expires_ms, "entries": entries,
        }))?;
    } else {
        out.row(&[&token.text])?;
    }
    out.finish()?;
    if !args.deed.json && std::io::stderr().is_terminal() {
        let until = minute_in_china(token.expires_ms).unwrap_or_default();
        let short = token.id.get(..12).unwrap_or_default();
        let _ = writeln!(
            std::io::stderr(),
            "\n注册码 {short}：可用 {} 次，有效至 {until}。只显示这一次。\n\
             Token {short}: {} uses, until {until}. It is shown only this once.",
            args.uses,
            args.uses
        );
    }
    Ok(())
}

fn list(config: &Config, json: bool) -> anyhow::Result<()> {
    let db = derive::open_read_only(&config.derived_db())?;
    let mut out = Output::new();
    if !json {
        out.row(&["TOKEN", "STATE", "FOR", "GROUP", "SITE", "USES", "UNTIL", "MADE BY"])?;
    }
    for token in members::tokens(&db, now_ms())? {
        if json {
            out.json(&token)?;
            continue;
        }
        let uses = format!("{}/{}", token.uses, token.uses_max);
        let until = minute_in_china(token.expires_ms).unwrap_or_default();
        let short = token.token.get(..12).unwrap_or_default();
        out.row(&[short, token.state, token.terms, &token.group, &token.site, &uses, &until, &token.made_by])?;
    }
    out.finish()
}

fn revoke(id: &str, deed: &DeedArgs) -> anyhow::Result<()> {
    let config = Config::load(&deed.config)?;
    let db = derive::open_read_only(&config.derived_db())?;
    let id = id.to_ascii_lowercase();
    let mut fitting = members::tokens(&db, now_ms())?.into_iter().filter(|token| token.token.starts_with(&id));
    let found = fitting.next().with_context(|| format!("there is no token {id}; see token list"))?;
    ensure!(fitting.next().is_none(), "several tokens begin with {id}; write more of it");
    deed.run(What::RevokeToken { token: found.token })
}

/// A duration in seconds.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a duration like 30m, 24h or 21d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let factor = match unit {
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(wrong()),
    };
    let number: u64 =
        text.get(..text.len() - unit.len_utf8()).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    number.checked_mul(factor).filter(|seconds| *seconds > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(seconds("30m"), Ok(1800));
        assert_eq!(seconds("21d"), Ok(21 * 24 * 3600));
        for wrong in ["", "24", "h", "0h", "-1h", "99999999999999999d", "1 d", "天"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
