//! `words list`, `show`, `export` and `preview`.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::admin::What;
use crate::audit::{Access, Did};
use crate::clock::{day_in_china, minute_in_china, now_ms};
use crate::commands::deed::DeedArgs;
use crate::commands::output::Output;
use crate::config::Config;
use crate::derive;
use crate::durable_file::{self, Access as Kept};
use crate::log_store::LogReader;
use crate::policies::in_force::{self, InForce};
use crate::search::find::Finder;
use crate::words::difference::Difference;
use crate::words::{self, Standing, file, preview};

/// Shows lists, how many words belong to them and how many wait for somebody.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  watchpost-collector words list --config collector.toml")]
pub(super) struct ListArgs {
    #[command(flatten)]
    where_: WhereArgs,
}

/// Shows the words of a list, what waits for somebody first.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  watchpost-collector words show products --standing proposed --config collector.toml"
)]
pub(super) struct ShowArgs {
    /// The list.
    list: String,
    /// Only those that stand so: proposed, leaving, approved, withdrawn, rejected.
    #[arg(long, value_parser = standing)]
    standing: Option<Standing>,
    #[command(flatten)]
    where_: WhereArgs,
}

/// Writes the words that count into a file for the pack, to be signed with it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  watchpost-collector words export products --out packs/words/products.txt --config collector.toml\n  \
    watchpost-collector policy sign packs/sales.yaml --key policy.key --config collector.toml --out sales.policy"
)]
pub(super) struct ExportArgs {
    /// The list.
    list: String,
    /// Where to; what is there is replaced.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    where_: WhereArgs,
}

/// Says what a word would have stood in: past findings with it in their excerpt. Needs --reason and leaves a record.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  watchpost-collector words preview 保本理财 --days 90 --reason \"is it too common?\" --config collector.toml\n\n\
    Only what devices disclosed is looked at. What is in full texts, an archive host tells:\n  \
    watchpost-agent policy preview exports/ --policy sales.yaml"
)]
pub(super) struct PreviewArgs {
    /// The word.
    word: String,
    /// Days looked back on, at most 365.
    #[arg(long, default_value_t = preview::DAYS)]
    days: u32,
    #[command(flatten)]
    deed: DeedArgs,
}

#[derive(Debug, Args)]
struct WhereArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

fn standing(text: &str) -> Result<Standing, String> {
    let found = Standing::ALL.into_iter().find(|standing| standing.as_str() == text);
    found.ok_or_else(|| format!("{text:?} is none of proposed, leaving, approved, withdrawn, rejected"))
}

pub(super) fn list(args: &ListArgs) -> anyhow::Result<()> {
    let log = LogReader::open(&Config::load(&args.where_.config)?.log_db())?;
    let mut out = Output::new();
    if !args.where_.json {
        out.row(&["LIST", "PACK", "FILE", "APPROVED", "WAITING", "EXPIRED"])?;
    }
    for list in words::lists(log.connection(), now_ms())? {
        if args.where_.json {
            out.json(&list)?;
            continue;
        }
        let count = |number: usize| number.to_string();
        out.row(&[
            &list.list,
            &list.pack,
            &list.file,
            &count(list.approved),
            &count(list.waiting),
            &count(list.expired),
        ])?;
    }
    out.finish()
}

pub(super) fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.where_.config)?;
    let log = LogReader::open(&config.log_db())?;
    let list = words::list(log.connection(), &args.list, now_ms())?;
    let list = list.with_context(|| format!("there is no list {:?}; see words list", args.list))?;
    let mut all = words::words(log.connection(), &args.list, now_ms())?;
    let derived = derive::open_read_only(&config.derived_db())?;
    let kept = in_force::Kept::default();
    let groups = in_force::groups(log.connection(), &derived)?;
    let policies = groups.into_iter().map(|group| Ok((group.clone(), kept.of_group(log.connection(), &group)?)));
    words::mark_in_force(&mut all, &list, &policies.collect::<anyhow::Result<Vec<_>>>()?);
    let mut out = Output::new();
    if !args.where_.json {
        out.row(&["ID", "WORD", "STANDING", "ASKED BY", "ASKED", "EXPIRES", "IN FORCE", "NOTE"])?;
    }
    for word in all.iter().filter(|word| args.standing.is_none_or(|standing| standing == word.standing)) {
        if args.where_.json {
            out.json(word)?;
            continue;
        }
        out.row(&[
            word.id.get(..12).unwrap_or_default(),
            word.word.as_deref().unwrap_or("(erased)"),
            word.standing.as_str(),
            &word.asked_by,
            &minute_in_china(word.asked_ms).unwrap_or_default(),
            &word.expires_ms.and_then(day_in_china).unwrap_or_default(),
            &word.in_force.join(" "),
            &word.note,
        ])?;
    }
    out.finish()
}

pub(super) fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let log = LogReader::open(&Config::load(&args.where_.config)?.log_db())?;
    let list = words::list(log.connection(), &args.list, now_ms())?;
    let list = list.with_context(|| format!("there is no list {:?}; see words list", args.list))?;
    let all = words::words(log.connection(), &args.list, now_ms())?;
    let text = file::plain(&all);
    ensure!(!text.is_empty(), "no word of the list counts, and a file without words is no list; approve some first");
    durable_file::write(&args.out, text.as_bytes(), Kept::Secret)?;
    let mut out = Output::new();
    let words = text.lines().count();
    if args.where_.json {
        out.json(&serde_json::json!({ "list": list.list, "pack": list.pack, "file": list.file, "words": words }))?;
    } else {
        out.row(&[&format!("{words} words for {} of the pack {}", list.file, list.pack)])?;
    }
    out.finish()
}

/// In the log before anything is told; the word is not.
pub(super) fn preview(args: &PreviewArgs) -> anyhow::Result<()> {
    ensure!(!args.deed.reason.trim().is_empty(), "to look a word up in what was said needs --reason");
    let config = Config::load(&args.deed.config)?;
    let log = LogReader::open(&config.log_db())?;
    let mut finder = Finder::open(&config)?;
    let kept = in_force::Kept::default();
    let groups = in_force::groups(log.connection(), finder.derived())?;
    let policies = groups.iter().map(|group| kept.of_group(log.connection(), group));
    let policies = policies.collect::<anyhow::Result<Vec<_>>>()?;
    let policies: Vec<&InForce> = policies.iter().map(|policy| &**policy).collect();
    let seen = preview::preview(&mut finder, &policies, &args.word, (args.days, now_ms()), true)?;
    let access = Access {
        did: Did::Viewed,
        subject: preview::SUBJECT.into(),
        address: String::new(),
        rows: seen.samples.len() as u64,
    };
    args.deed.have_done(&config, What::Access { access })?;
    let mut out = Output::new();
    if args.deed.json {
        out.json(&seen)?;
        return out.finish();
    }
    let row = |out: &mut Output, name: &str, number: usize| out.row(&[name, &number.to_string()]);
    row(&mut out, "findings", seen.findings)?;
    row(&mut out, "alerts", seen.alerts)?;
    row(&mut out, "persons", seen.persons)?;
    row(&mut out, "only inside a longer word", seen.inside_longer)?;
    for rule in &seen.rules {
        row(&mut out, &format!("{}/{}", rule.pack, rule.rule), rule.findings)?;
    }
    for sample in &seen.samples {
        out.row(&[&sample.day, &sample.rule, &sample.excerpt])?;
    }
    if seen.stopped {
        out.row(&["there may be more: the time was up"])?;
    }
    out.finish()
}

pub(super) fn difference(difference: &Difference, whole: bool, json: bool) -> anyhow::Result<()> {
    let mut out = Output::new();
    if json {
        out.json(difference)?;
        return out.finish();
    }
    for new in &difference.added {
        out.row(&["+", &new.word, &new.note])?;
    }
    for new in &difference.changed {
        out.row(&["~", &new.word, &new.note])?;
    }
    for (_, word) in difference.lacking.iter().filter(|_| whole) {
        out.row(&["-", word])?;
    }
    out.row(&[&format!("{} stay, {} wait already", difference.same, difference.waiting)])?;
    out.finish()
}
