//! `watchpost-collector route`: which alerts are told to whom.

use std::path::PathBuf;

use anyhow::{anyhow, ensure};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::deed::DeedArgs;
use super::output::Output;
use super::token::seconds;
use crate::admin::What as Deed;
use crate::clock::now_ms;
use crate::config::Config;
use crate::derive;
use crate::notify::plan::What;
use crate::notify::route::{AtLeast, Disclosure, GroupBy, Language, PREFIX, Route, When, check_setting};
use crate::settings::{self, Setting};

/// Says which alerts are told to which target, when and how. 通知路由：哪些告警发给谁。
#[derive(Debug, Args)]
pub struct RouteArgs {
    #[command(subcommand)]
    command: RouteCommand,
}

#[derive(Debug, Subcommand)]
enum RouteCommand {
    /// Makes a route, or replaces it whole. What happened before a route was made is not told on it. 新建或替换路由。
    #[command(
        after_help = "Examples:\n  watchpost-collector route set duty --target duty-robot --level high --repeat 4h --config ./collector/collector.toml\n  \
        watchpost-collector route set night --target hook --level critical --when off --disclose masked --config ./collector/collector.toml\n\n\
        Every route that fits an alert tells it. docs/notifications.md"
    )]
    Set(Box<SetArgs>),
    /// Lists routes. 查看路由。
    #[command(after_help = "Example:\n  watchpost-collector route list --config ./collector/collector.toml --json")]
    List {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Removes a route; what waits on it is given up. 删除路由。
    #[command(after_help = "Example:\n  watchpost-collector route remove duty --config ./collector/collector.toml")]
    Remove {
        /// The route.
        name: String,
        #[command(flatten)]
        deed: DeedArgs,
    },
}

/// What a route is made of.
#[derive(Debug, Args)]
struct SetArgs {
    /// The route.
    name: String,
    /// The target, as collector.toml names it.
    #[arg(long)]
    target: String,
    /// This level and those above: info, low, medium, high, critical.
    #[arg(long, default_value = "high", value_parser = word::<AtLeast>)]
    level: AtLeast,
    /// A category of rules; may be given several times. All without it.
    #[arg(long = "category")]
    categories: Vec<String>,
    /// A department of the person concerned, with those below it; may be given several times. All without it.
    #[arg(long = "department")]
    departments: Vec<String>,
    /// A site of the person concerned; may be given several times. All without it.
    #[arg(long = "site")]
    sites: Vec<String>,
    /// What is told: opened, escalated, reopened, assigned, appealed; may be given several times. The first three without it.
    #[arg(long = "event", value_parser = word::<What>)]
    events: Vec<What>,
    /// When messages may go: always, work (in work time at the person's site), off (outside it).
    #[arg(long, default_value = "always", value_parser = word::<When>)]
    when: When,
    /// What comes in one message: that of one rule, one person, or the whole route.
    #[arg(long, default_value = "rule", value_parser = word::<GroupBy>)]
    group_by: GroupBy,
    /// How long the first of a group waits for others.
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = wait)]
    group_wait: u64,
    /// How long a group is silent after a message.
    #[arg(long, default_value = "5m", value_name = "TIME", value_parser = wait)]
    group_interval: u64,
    /// After which time alerts that nobody has taken are told again, at most five times. Never without it.
    #[arg(long, default_value = "0s", value_name = "TIME", value_parser = wait, hide_default_value = true)]
    repeat: u64,
    /// How much is told: none (the account), masked (the name, and excerpts the device has masked).
    #[arg(long, default_value = "none", value_parser = word::<Disclosure>)]
    disclose: Disclosure,
    /// zh, en or both.
    #[arg(long, default_value = "both", value_parser = word::<Language>)]
    language: Language,
    /// Whether a message that may have arrived is sent again; to a webhook it is and to a robot it is not, without this.
    #[arg(long, value_name = "true|false")]
    resend_uncertain: Option<bool>,
    /// Nothing goes for this time; what comes meanwhile waits.
    #[arg(long, value_name = "TIME", value_parser = wait)]
    pause: Option<u64>,
    #[command(flatten)]
    deed: DeedArgs,
}

/// A route as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    #[serde(flatten)]
    route: Route,
    by: String,
    at_ms: i64,
}

/// Runs the command.
///
/// # Errors
/// A route that cannot be, nothing done, nothing to read, or stdout.
pub fn run(args: RouteArgs) -> anyhow::Result<()> {
    match args.command {
        RouteCommand::Set(args) => set(*args),
        RouteCommand::List { config, json } => list(&Config::load(&config)?, json),
        RouteCommand::Remove { name, deed } => remove(&name, &deed),
    }
}

fn set(args: SetArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.deed.config)?;
    let is_there = config.notify.has(&args.target);
    ensure!(is_there, "the configuration has no target {:?}; write it into collector.toml first", args.target);
    let mut route = Route {
        level: args.level,
        categories: args.categories,
        departments: args.departments,
        sites: args.sites,
        when: args.when,
        group_by: args.group_by,
        group_wait_s: args.group_wait,
        group_interval_s: args.group_interval,
        repeat_s: args.repeat,
        disclosure: args.disclose,
        language: args.language,
        resend_uncertain: args.resend_uncertain,
        pause_until_ms: args.pause.map_or(0, |pause| now_ms().saturating_add(i64::try_from(pause).unwrap_or(0) * 1000)),
        ..Route::to(&args.target)
    };
    if !args.events.is_empty() {
        route.events = args.events.into_iter().collect();
    }
    let (name, value) = (format!("{PREFIX}{}", args.name), serde_json::to_string(&route)?);
    check_setting(&name, &value).map_err(|error| anyhow!(error))?;
    args.deed.run(Deed::Set { name, value })
}

fn remove(name: &str, deed: &DeedArgs) -> anyhow::Result<()> {
    let config = Config::load(&deed.config)?;
    let found = routes(&config)?.iter().any(|setting| setting.name.strip_prefix(PREFIX) == Some(name));
    ensure!(found, "there is no route {name:?}; see route list");
    deed.run(Deed::Set { name: format!("{PREFIX}{name}"), value: String::new() })
}

fn routes(config: &Config) -> anyhow::Result<Vec<Setting>> {
    let db = derive::open_read_only(&config.derived_db())?;
    Ok(settings::list(&db, PREFIX)?)
}

fn list(config: &Config, json: bool) -> anyhow::Result<()> {
    let mut out = Output::new();
    if !json {
        out.row(&["ROUTE", "TARGET", "LEVEL", "EVENTS", "WHEN", "GROUP BY", "REPEAT", "DISCLOSES", "SET BY"])?;
    }
    for setting in routes(config)? {
        let name = setting.name.strip_prefix(PREFIX).unwrap_or_default().to_owned();
        let Ok(route) = Route::parse(&setting.value) else {
            out.row(&[&name, "is of another version; set it again"])?;
            continue;
        };
        let shown = Shown { name, route, by: setting.by, at_ms: setting.at_ms };
        if json { out.json(&shown)? } else { row(&mut out, &shown)? }
    }
    out.finish()
}

fn row(out: &mut Output, shown: &Shown) -> anyhow::Result<()> {
    let route = &shown.route;
    let events: Vec<String> = route.events.iter().map(said).collect();
    let repeat = if route.repeat_s == 0 { "never".to_owned() } else { format!("{}m", route.repeat_s / 60) };
    out.row(&[
        &shown.name,
        &route.target,
        &said(&route.level),
        &events.join(","),
        &said(&route.when),
        &said(&route.group_by),
        &repeat,
        &said(&route.disclosure),
        &shown.by,
    ])
}

/// The word for something that has one.
fn said(it: &impl Serialize) -> String {
    serde_json::to_value(it).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.into())).map_err(|error| error.to_string())
}

/// A duration in seconds, which may be none.
fn wait(text: &str) -> Result<u64, String> {
    match text.strip_suffix('s').map(str::parse) {
        Some(Ok(seconds)) => Ok(seconds),
        Some(Err(_)) => Err(format!("{text:?} is not a duration like 30s, 5m or 4h")),
        None => seconds(text),
    }
}
