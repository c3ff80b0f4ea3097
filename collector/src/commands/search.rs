//! `watchpost-collector search`: finds findings.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow, ensure};
use clap::{Args, Subcommand};

use super::deed::DeedArgs;
use super::output::Output;
use crate::admin::What;
use crate::audit::Did;
use crate::clock::{minute_in_china, now_ms};
use crate::config::Config;
use crate::names;
use crate::search::find::{Asked, Finder, Found, PAGE_MAX, PATIENCE, Page};
use crate::search::query::Query;
use crate::search::saved::{self, Saved};

const HELP: &str = "Examples:
  watchpost-collector search 'level:>=high dept:零售 since:7d 保本' --config ./collector/collector.toml
  watchpost-collector search 'rule:fin.* person:zwj -state:closed' --config ./collector/collector.toml
  watchpost-collector search --saved weekly --config ./collector/collector.toml
  watchpost-collector search save weekly 'level:critical since:7d' --config ./collector/collector.toml

Conditions stand side by side and all must hold; a comma means or, a minus in front means not. Fields: rule, pack, category, level, type,
word, person, employee, dept, site, device, room, from, to, with, state, since, until, day. What has no field is looked for in the excerpts.";

/// Finds findings by who, when, which rule, and what was said. 检索命中。
#[derive(Debug, Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct SearchArgs {
    #[command(subcommand)]
    command: Option<SearchCommand>,
    /// What to look for.
    query: Option<String>,
    /// A search that was saved; what else is asked must hold as well.
    #[arg(long, value_name = "NAME")]
    saved: Option<String>,
    /// How many to show.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Where the page before ended.
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
    /// Show the names of customers and rooms, where there are any; needs --reason and leaves a record.
    #[arg(long)]
    names: bool,
    #[command(flatten)]
    deed: Option<DeedArgs>,
}

#[derive(Debug, Subcommand)]
enum SearchCommand {
    /// Keeps a search under a name.
    #[command(
        after_help = "Example:\n  watchpost-collector search save weekly 'level:critical since:7d' --config ./collector/collector.toml"
    )]
    Save {
        /// Its name, without spaces.
        name: String,
        /// What to look for.
        query: String,
        #[command(flatten)]
        deed: DeedArgs,
    },
    /// Lists the searches that were saved.
    #[command(after_help = "Example:\n  watchpost-collector search list --config ./collector/collector.toml")]
    List {
        /// Whose; the system's user by default.
        #[arg(long)]
        by: Option<String>,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Forgets a search.
    #[command(after_help = "Example:\n  watchpost-collector search forget weekly --config ./collector/collector.toml")]
    Forget {
        /// Its name.
        name: String,
        #[command(flatten)]
        deed: DeedArgs,
    },
}

/// Runs the command.
///
/// # Errors
/// A query that says nothing, nothing to look at, or stdout.
pub fn run(args: SearchArgs) -> anyhow::Result<()> {
    match args.command {
        Some(SearchCommand::Save { name, query, deed }) => {
            Query::parse(&query, now_ms()).map_err(|mistake| anyhow!(mistake))?;
            let value = serde_json::to_string(&Saved { query })?;
            deed.run(What::Set { name: saved::setting(&deed.who(), &name), value })
        }
        Some(SearchCommand::Forget { name, deed }) => {
            deed.run(What::Set { name: saved::setting(&deed.who(), &name), value: String::new() })
        }
        Some(SearchCommand::List { by, config, json }) => list(&Config::load(&config)?, by, json),
        None => find(&args),
    }
}

fn list(config: &Config, by: Option<String>, json: bool) -> anyhow::Result<()> {
    let derived = crate::derive::open_read_only(&config.derived_db())?;
    let by = by.unwrap_or_else(super::deed::system_user);
    let mut out = Output::new();
    if !json {
        out.row(&["NAME", "QUERY"])?;
    }
    for (name, saved) in saved::list(&derived, &by)? {
        if json {
            out.json(&serde_json::json!({ "name": name, "query": saved.query }))?;
        } else {
            out.row(&[&name, &saved.query])?;
        }
    }
    out.finish()
}

fn find(args: &SearchArgs) -> anyhow::Result<()> {
    let deed = args.deed.as_ref().context("say where the collector is: --config FILE")?;
    ensure!(!args.names || !deed.reason.trim().is_empty(), "to learn whom pseudonyms stand for needs --reason");
    let config = Config::load(&deed.config)?;
    let mut finder = Finder::open(&config)?;
    let query = query(&finder, args, deed)?;
    let limit = args.limit.clamp(1, PAGE_MAX);
    let asked = Asked { query: &query, after: args.after.as_deref(), limit, patience: PATIENCE };
    let mut page = finder.find(&asked)?;
    if query.tells_more() {
        super::names::note(&config, deed, Did::Viewed, format!("search: {}", query.told()), page.found.len() as u64)?;
    }
    if args.names {
        name(&finder, &config, deed, &mut page)?;
    }
    let mut out = Output::new();
    if deed.json {
        out.json(&page)?;
    } else {
        table(&mut out, &page)?;
    }
    out.finish()
}

/// What was typed, and what was saved before.
fn query(finder: &Finder, args: &SearchArgs, deed: &DeedArgs) -> anyhow::Result<Query> {
    let mut text = args.query.clone().unwrap_or_default();
    if let Some(name) = &args.saved {
        let saved = saved::list(finder.derived(), &deed.who())?.into_iter().find(|(known, _)| known == name);
        let (_, saved) = saved.with_context(|| format!("there is no saved search {name:?}; search list shows them"))?;
        text = format!("{} {text}", saved.query);
    }
    Query::parse(&text, now_ms()).map_err(|mistake| anyhow!(mistake))
}

/// Puts names in the place of pseudonyms. That somebody learned them is in the log before they do.
fn name(finder: &Finder, config: &Config, deed: &DeedArgs, page: &mut Page) -> anyhow::Result<()> {
    let pseudonyms: BTreeSet<&str> = page
        .found
        .iter()
        .flat_map(|it| [it.from.as_str(), it.room.as_str()])
        .filter(|it| names::is_pseudonym(it))
        .collect();
    let names = names::resolve(finder.connection(), pseudonyms.into_iter())?;
    if names.is_empty() {
        return Ok(());
    }
    super::names::note_resolved(config, deed, names.keys().map(String::as_str))?;
    for it in &mut page.found {
        for part in [&mut it.from, &mut it.room] {
            if let Some(name) = names.get(part.as_str()) {
                part.clone_from(name);
            }
        }
    }
    Ok(())
}

fn table(out: &mut Output, page: &Page) -> anyhow::Result<()> {
    out.row(&["TIME", "LEVEL", "RULE", "PERSON", "FROM", "ROOM", "TYPE", "STATE", "ALERT", "MSGID"])?;
    page.found.iter().try_for_each(|found| row(out, found))?;
    for unknown in &page.unknown {
        eprintln!("no finding has {unknown:?}");
    }
    match &page.next {
        Some(next) if page.stopped => eprintln!("the time was up; more may be found with --after {next}"),
        Some(next) => eprintln!("there may be more: --after {next}"),
        None => {}
    }
    Ok(())
}

fn row(out: &mut Output, found: &Found) -> anyhow::Result<()> {
    let time = found.msgtime.and_then(minute_in_china).unwrap_or_else(|| "unknown".into());
    let rule = format!("{}/{}", found.pack, found.rule);
    let alert = found.alert.as_deref().unwrap_or_default();
    out.row(&[
        &time,
        found.level,
        &rule,
        &found.person,
        &found.from,
        &found.room,
        &found.msgtype,
        found.state,
        alert,
        &found.msgid,
    ])
}
