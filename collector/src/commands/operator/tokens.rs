//! API tokens.

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use rusqlite::Connection;
use serde_json::json;

use super::{LookArgs, OneArgs, ends_ms, existing};
use crate::admin::What;
use crate::clock::{minute_in_china, now_ms};
use crate::commands::deed::DeedArgs;
use crate::commands::output::Output;
use crate::commands::token::seconds;
use crate::config::Config;
use crate::log_store::{LogReader, OperatorTokenFacts, operator_tokens};
use crate::operators::secret::{self, Kind};
use crate::operators::{Act, Deed};

/// A token lasts at most a year.
const TTL_MAX_S: u64 = 366 * 24 * 3600;

#[derive(Debug, Args)]
pub(super) struct TokensArgs {
    #[command(subcommand)]
    command: TokensCommand,
}

#[derive(Debug, Subcommand)]
enum TokensCommand {
    /// Makes a token and prints it, once: the collector keeps only its digest. 创建令牌。
    #[command(after_help = "Example:\n  \
        watchpost-collector operator token make li.na --label nightly --scope see-alerts --ttl 90d --config collector.toml\n\n\
        A token may do what its scopes name and its owner may, no more.")]
    Make {
        #[command(flatten)]
        one: OneArgs,
        /// What it is for.
        #[arg(long)]
        label: String,
        /// What it may do, such as see-alerts; may be repeated.
        #[arg(long = "scope", required = true, value_parser = act)]
        scopes: Vec<Act>,
        /// How long it lasts: 24h, 90d.
        #[arg(long, default_value = "90d", value_parser = seconds)]
        ttl: u64,
    },
    /// Lists the tokens of an operator. 令牌列表。
    #[command(
        after_help = "Example:\n  watchpost-collector operator token list li.na --config ./collector/collector.toml"
    )]
    List {
        /// Login name.
        operator: String,
        #[command(flatten)]
        look: LookArgs,
    },
    /// Withdraws a token. 撤销令牌。
    #[command(
        after_help = "Example:\n  watchpost-collector operator token withdraw 3f2a91 --config ./collector/collector.toml"
    )]
    Withdraw {
        /// The token's id as `token list` shows it; its beginning will do.
        id: String,
        #[command(flatten)]
        deed: DeedArgs,
    },
}

impl TokensArgs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.command {
            TokensCommand::Make { one, label, scopes, ttl } => make(&one, label, scopes, ttl),
            TokensCommand::List { operator, look } => list(&operator, &look),
            TokensCommand::Withdraw { id, deed } => withdraw(&id, &deed),
        }
    }
}

fn act(word: &str) -> Result<Act, String> {
    let words = Act::ALL.into_iter().filter(|act| act.is_for_tokens()).map(Act::as_str).collect::<Vec<_>>().join(", ");
    Act::parse(word).filter(|act| act.is_for_tokens()).ok_or_else(|| format!("a token may be given {words}"))
}

fn make(one: &OneArgs, label: String, scopes: Vec<Act>, ttl: u64) -> anyhow::Result<()> {
    ensure!(ttl <= TTL_MAX_S, "a token lasts at most 366 days");
    let OneArgs { operator, deed: how } = one;
    let (text, digest) = secret::make(Kind::Token)?;
    let expires_ms = ends_ms(ttl)?;
    let deed = Deed::MakeToken { operator: operator.clone(), token: digest.to_string(), label, scopes, expires_ms };
    let entries = how.have_done(&Config::load(&how.config)?, What::of_operator(deed))?;
    let mut out = Output::new();
    if how.json {
        let id = digest.to_string();
        out.json(&json!({ "token": text, "id": id, "expires_ms": expires_ms, "entries": entries }))?;
    } else {
        out.row(&[&text])?;
    }
    out.finish()
}

fn list(operator: &str, look: &LookArgs) -> anyhow::Result<()> {
    let log = LogReader::open(&Config::load(&look.config)?.log_db())?;
    existing(&log, operator)?;
    let mut out = Output::new();
    if !look.json {
        print(&mut out, log.connection(), operator)?;
        return out.finish();
    }
    for token in operator_tokens(log.connection(), Some(operator))? {
        out.json(&json!({
            "id": token.token.to_string(), "operator": token.operator, "label": token.label, "scopes": token.scopes,
            "state": state(&token), "made_ms": token.made_ms, "made_by": token.made_by, "expires_ms": token.expires_ms,
        }))?;
    }
    out.finish()
}

/// A table of an operator's tokens.
pub(super) fn print(out: &mut Output, log: &Connection, operator: &str) -> anyhow::Result<()> {
    let tokens = operator_tokens(log, Some(operator))?;
    if tokens.is_empty() {
        return Ok(());
    }
    out.row(&["TOKEN", "STATE", "LABEL", "MAY", "UNTIL", "MADE BY"])?;
    for token in tokens {
        let (id, until) = (token.token.to_string(), minute_in_china(token.expires_ms).unwrap_or_default());
        let short = id.get(..16).unwrap_or_default();
        out.row(&[short, state(&token), &token.label, &token.scopes.join(" "), &until, &token.made_by])?;
    }
    Ok(())
}

fn state(token: &OperatorTokenFacts) -> &'static str {
    match (token.withdrawn, now_ms() < token.expires_ms) {
        (true, _) => "withdrawn",
        (false, false) => "ended",
        (false, true) => "active",
    }
}

fn withdraw(id: &str, deed: &DeedArgs) -> anyhow::Result<()> {
    let log = LogReader::open(&Config::load(&deed.config)?.log_db())?;
    let id = id.to_ascii_lowercase();
    let tokens = operator_tokens(log.connection(), None)?;
    let mut fitting = tokens.iter().filter(|token| token.token.to_string().starts_with(&id));
    let found = fitting.next().with_context(|| format!("there is no token {id}; see operator token list"))?;
    ensure!(fitting.next().is_none(), "several tokens begin with {id}; write more of it");
    deed.run(What::of_operator(Deed::WithdrawToken { token: found.token.to_string() }))
}
