//! Links by which employees see what is about them on the console, once.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use rusqlite::Connection;
use serde_json::json;

use crate::admin::What;
use crate::clock::{minute_in_china, now_ms};
use crate::commands::deed::DeedArgs;
use crate::commands::output::Output;
use crate::commands::token::seconds;
use crate::config::Config;
use crate::derive;
use crate::my_data::links::{self, Deed, Link};
use crate::operators::secret::{self, Kind};

#[derive(Debug, Subcommand)]
pub(super) enum LinkCommand {
    /// Makes a link that opens once, and prints it this once. It ends the former one. 发放员工查看链接。
    #[command(after_help = "Example:\n  \
        watchpost-collector my-data link wwEXAMPLE0001/li.na --valid 7d --reason \"asked by mail\" --config collector.toml\n\n\
        Hand it to that person and nobody else. They see what was reported about them and by which rules, and may object.")]
    Link {
        /// An account, `corp/userid`, or the number of an employee.
        whom: String,
        /// How long it may wait to be opened: 24h, 7d; at most 31d.
        #[arg(long, default_value = "7d", value_parser = seconds)]
        valid: u64,
        #[command(flatten)]
        deed: DeedArgs,
    },
    /// Withdraws the link of somebody, and ends a visit that came by it. 撤销员工查看链接。
    #[command(
        after_help = "Example:\n  watchpost-collector my-data unlink wwEXAMPLE0001/li.na --config collector.toml"
    )]
    Unlink {
        /// An account, `corp/userid`, or the number of an employee.
        whom: String,
        #[command(flatten)]
        deed: DeedArgs,
    },
}

pub(super) fn run(command: LinkCommand) -> anyhow::Result<()> {
    match command {
        LinkCommand::Link { whom, valid, deed } => make(&whom, valid, &deed),
        LinkCommand::Unlink { whom, deed } => end(&whom, &deed),
    }
}

fn meant(db: &Connection, whom: &str) -> anyhow::Result<Vec<String>> {
    let accounts = links::meant(db, whom)?;
    if accounts.is_empty() {
        bail!("nobody is known by {whom:?}; write an account, corp/userid, or the number of an employee");
    }
    Ok(accounts)
}

fn make(whom: &str, valid: u64, how: &DeedArgs) -> anyhow::Result<()> {
    let config = Config::load(&how.config)?;
    let accounts = meant(&derive::open_read_only(&config.derived_db())?, whom)?;
    let account = accounts.first().context("no account")?;
    let valid_ms =
        i64::try_from(valid).ok().and_then(|seconds| seconds.checked_mul(1000)).context("that is too long")?;
    let (text, digest) = secret::make(Kind::EmployeeLink)?;
    let until_ms = now_ms().saturating_add(valid_ms);
    let link = Link { secret: digest.to_string(), until_ms, opened_ms: None };
    let what = What::EmployeeLink { account: account.clone(), deed: Deed::Make(link) };
    let entries = how.have_done(&config, what)?;
    let console = config.notify.console_url.as_deref().map(|url| url.trim_end_matches('/')).unwrap_or_default();
    let address = format!("{console}{}", links::path(account, &text));
    let mut out = Output::new();
    if how.json {
        out.json(&json!({ "account": account, "link": address, "until_ms": until_ms, "entries": entries }))?;
        return out.finish();
    }
    out.row(&[&address])?;
    out.finish()?;
    let until = minute_in_china(until_ms).unwrap_or_default();
    let below =
        if console.is_empty() { "（接在控制台地址之后 / below the address of the console）" } else { "" };
    eprintln!(
        "{account} 凭此链接查看本人数据，有效至 {until}，只能打开一次；请只交给本人。{below}\n\
         With it {account} sees what is about them until {until}, once. Hand it to that person and nobody else."
    );
    Ok(())
}

fn end(whom: &str, how: &DeedArgs) -> anyhow::Result<()> {
    let config = Config::load(&how.config)?;
    let db = derive::open_read_only(&config.derived_db())?;
    let mut entries = Vec::new();
    for held in links::all(&db, &meant(&db, whom)?)? {
        entries.extend(how.have_done(&config, What::EmployeeLink { account: held.account, deed: Deed::End })?);
    }
    how.say(&json!({ "verb": "employee-link-end", "whom": whom }), &entries)
}
