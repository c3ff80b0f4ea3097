//! `watchpost-collector words`: lists of words that compliance officers keep.

mod show;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::json;

use super::deed::DeedArgs;
use crate::admin::What;
use crate::clock::now_ms;
use crate::config::Config;
use crate::log_store::LogReader;
use crate::words::desk::{New, Step};
use crate::words::difference::Difference;
use crate::words::{self, Word, file};

/// Keeps words for packs: proposed by one person, approved by another. 词表。
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    watchpost-collector words make products --pack sales --file words/products.txt --config collector.toml\n  \
    watchpost-collector words add products 保本理财 --note \"new product\" --by li.na --config collector.toml\n  \
    watchpost-collector words approve products --all --by wang.fang --config collector.toml\n  \
    watchpost-collector words export products --out packs/words/products.txt --config collector.toml\n\n\
    An approved word is in force once a policy that holds it is signed (policy sign) and published. The key for that is not here.")]
pub struct WordsArgs {
    #[command(subcommand)]
    command: WordsCommand,
}

#[derive(Debug, Subcommand)]
enum WordsCommand {
    /// Begins a list for a file that a pack names.
    #[command(
        after_help = "Example:\n  watchpost-collector words make products --pack sales --file words/products.txt --config collector.toml"
    )]
    Make {
        /// Its name.
        list: String,
        /// The pack it is for, by its id.
        #[arg(long)]
        pack: String,
        /// The file, as the pack names it after `words_file:`.
        #[arg(long)]
        file: String,
        #[command(flatten)]
        deed: DeedArgs,
    },
    List(show::ListArgs),
    Show(show::ShowArgs),
    /// Proposes a word; somebody else approves it.
    #[command(
        after_help = "Example:\n  watchpost-collector words add products 保本理财 --note \"new product\" --until 2027-06-30 --config collector.toml"
    )]
    Add {
        /// The list.
        list: String,
        /// The words.
        #[arg(required = true)]
        words: Vec<String>,
        /// Why they are to be there.
        #[arg(long, default_value = "")]
        note: String,
        /// The first day on which they no longer count, YYYY-MM-DD at +08:00.
        #[arg(long, value_name = "DAY", value_parser = file::expiry)]
        until: Option<i64>,
        /// They are there already and get this note and end.
        #[arg(long)]
        change: bool,
        #[command(flatten)]
        deed: DeedArgs,
    },
    /// Asks that words go; somebody else approves that.
    #[command(after_help = "Example:\n  watchpost-collector words withdraw products 保本理财 --config collector.toml")]
    Withdraw {
        #[command(flatten)]
        which: WhichArgs,
    },
    /// Approves what somebody else asked for.
    #[command(
        after_help = "Example:\n  watchpost-collector words approve products --all --by wang.fang --config collector.toml"
    )]
    Approve {
        #[command(flatten)]
        which: WhichArgs,
        /// Everything that somebody else asked for.
        #[arg(long, conflicts_with = "words")]
        all: bool,
    },
    /// Refuses what was asked for, or takes it back.
    #[command(
        after_help = "Example:\n  watchpost-collector words reject products 保本理财 --reason \"too common\" --config collector.toml"
    )]
    Reject {
        #[command(flatten)]
        which: WhichArgs,
    },
    /// Erases words for good that were withdrawn or rejected. 彻底删除。
    #[command(
        after_help = "Example:\n  watchpost-collector words erase products 某某项目 --reason \"names a person\" --config collector.toml"
    )]
    Erase {
        #[command(flatten)]
        which: WhichArgs,
    },
    /// Proposes what a workbook, a CSV or a plain file would change. Columns: word, note, expires.
    #[command(
        after_help = "Examples:\n  watchpost-collector words import products products.xlsx --dry-run --config collector.toml\n  \
        watchpost-collector words import products products.xlsx --whole --config collector.toml"
    )]
    Import {
        /// The list.
        list: String,
        /// The file.
        file: PathBuf,
        /// The file is the whole list: words it lacks are to go.
        #[arg(long)]
        whole: bool,
        /// Only tell what would change.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        deed: DeedArgs,
    },
    Export(show::ExportArgs),
    Preview(show::PreviewArgs),
}

/// Which words.
#[derive(Debug, Args)]
struct WhichArgs {
    /// The list.
    list: String,
    /// The words, or their ids.
    words: Vec<String>,
    #[command(flatten)]
    deed: DeedArgs,
}

/// Runs the command.
///
/// # Errors
/// What cannot be, nothing of that name, or what kept it from being done.
pub fn run(args: WordsArgs) -> anyhow::Result<()> {
    match args.command {
        WordsCommand::Make { list, pack, file, deed } => {
            deed.run(What::Words { list, step: Step::Make { pack, file } })
        }
        WordsCommand::List(args) => show::list(&args),
        WordsCommand::Show(args) => show::show(&args),
        WordsCommand::Add { list, words, note, until, change, deed } => {
            let known = if change { known(&Config::load(&deed.config)?, &list)? } else { Vec::new() };
            let add = words.into_iter().map(|word| {
                let is_it = |it: &&Word| it.standing.belongs() && it.word.as_deref() == Some(word.trim());
                let replaces = known.iter().find(is_it).map(|it| it.id.clone());
                New { word, note: note.clone(), expires_ms: until, replaces }
            });
            let step = Step::Change { add: add.collect(), withdraw: Vec::new() };
            run_step(&deed, list, step)
        }
        WordsCommand::Withdraw { which } => which.run(
            |word| word.standing == words::Standing::Approved,
            |withdraw| Step::Change { add: Vec::new(), withdraw },
        ),
        WordsCommand::Approve { which, all } => which.approve(all),
        WordsCommand::Reject { which } => which.run(|word| word.standing.waits(), Step::Reject),
        WordsCommand::Erase { which } => {
            which.run(|word| !word.standing.belongs() && !word.standing.waits(), Step::Erase)
        }
        WordsCommand::Import { list, file, whole, dry_run, deed } => import(list, &file, (whole, dry_run), &deed),
        WordsCommand::Export(args) => show::export(&args),
        WordsCommand::Preview(args) => show::preview(&args),
    }
}

impl WhichArgs {
    fn run(self, stands: fn(&Word) -> bool, step: fn(Vec<String>) -> Step) -> anyhow::Result<()> {
        ensure!(!self.words.is_empty(), "name at least one word");
        let known = known(&Config::load(&self.deed.config)?, &self.list)?;
        let ids = self.words.iter().map(|word| id_of(&known, word, stands)).collect::<anyhow::Result<_>>()?;
        run_step(&self.deed, self.list, step(ids))
    }

    fn approve(self, all: bool) -> anyhow::Result<()> {
        if !all {
            return self.run(|word| word.standing.waits(), Step::Approve);
        }
        let who = self.deed.who();
        let known = known(&Config::load(&self.deed.config)?, &self.list)?;
        let ids: Vec<String> =
            known.into_iter().filter(|word| word.may_be_approved_by(&who)).map(|word| word.id).collect();
        ensure!(!ids.is_empty(), "nothing waits that somebody else than {who} has asked for");
        run_step(&self.deed, self.list, Step::Approve(ids))
    }
}

/// The id of a word that stands so, by the word or the beginning of its id.
fn id_of(known: &[Word], named: &str, stands: fn(&Word) -> bool) -> anyhow::Result<String> {
    let found: Vec<&Word> = known
        .iter()
        .filter(|word| stands(word))
        .filter(|word| word.word.as_deref() == Some(named.trim()) || (named.len() >= 8 && word.id.starts_with(named)))
        .collect();
    match found[..] {
        [one] => Ok(one.id.clone()),
        [] => bail!("{named:?} does not stand so that this could be done; see words show"),
        _ => bail!("{named:?} stands there more than once; name it by its id (words show --json)"),
    }
}

fn known(config: &Config, list: &str) -> anyhow::Result<Vec<Word>> {
    let log = LogReader::open(&config.log_db())?;
    let there = words::list(log.connection(), list, now_ms())?;
    there.with_context(|| format!("there is no list {list:?}; see words list"))?;
    Ok(words::words(log.connection(), list, now_ms())?)
}

/// The words of a step are not said again: they may be confidential, and many.
fn run_step(deed: &DeedArgs, list: String, step: Step) -> anyhow::Result<()> {
    let told = json!({ "list": list, "words": step.words() });
    deed.run_quietly(What::Words { list, step }, &told)
}

fn import(list: String, path: &Path, (whole, dry_run): (bool, bool), deed: &DeedArgs) -> anyhow::Result<()> {
    let config = Config::load(&deed.config)?;
    let shown = path.display();
    let length = fs::metadata(path).with_context(|| shown.to_string())?.len();
    ensure!(length <= file::FILE_BYTES_MAX as u64, "{shown} is too large");
    let new = file::read(&fs::read(path).with_context(|| shown.to_string())?)
        .map_err(|mistakes| anyhow::anyhow!(mistakes.join("\n")))?;
    let difference = Difference::of(&known(&config, &list)?, new);
    if dry_run {
        return show::difference(&difference, whole, deed.json);
    }
    if difference.is_empty(whole) {
        return deed.say(&json!({ "list": list, "words": 0 }), &[]);
    }
    run_step(deed, list, difference.step(whole))
}
