//! `scan`: what would be found in some exports, without state and without telling anyone.
//!
//! [`walk`] says which exports there are, [`read`] takes them through the policy in parallel, [`tell`] prints what is found in
//! the order of the exports, [`totals`] counts.

pub(super) mod read;
mod tell;
mod totals;
pub(super) mod walk;
pub(super) mod windows;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use watchpost_agent::carrier::{Names, Reading};
use watchpost_agent::clock::{Clock as _, SystemClock};
use watchpost_agent::policy_files::load_engine;
use watchpost_policy::engine::Engine;
use watchpost_policy::message::Corp;

use super::terminal::LookArgs;
use read::{Piece, Reader};
use tell::Teller;
use totals::Totals;
use walk::Walk;
use windows::{First, Windows};

/// Show what would be found in exports; nothing is kept or sent.
///
/// 离线检查导出文件，显示会命中什么；不保存、不上报。
#[derive(Args)]
#[command(after_help = "Examples:\n  watchpost-agent scan exports/\n  \
    watchpost-agent scan exports/2026-11/ --context 60 | less -R\n  \
    watchpost-agent scan chat.jsonl --policy packs/finance-conduct.yaml --format jsonl\n  \
    watchpost-agent scan 会话消息.xlsx chat.csv.gz dump.sql\n  \
    watchpost-agent scan crm.csv --column from=坐席 --column to=客户 --column body=话术\n  \
    watchpost-agent scan exports/ --accounts accounts.csv --exit-code\n\n\
    Findings go to standard output, totals and trouble to standard error. Times are those of China (UTC+8).\n\
    Exit codes: 0 ok, 1 something named or listed could not be read, 3 found something (only with --exit-code).")]
pub(super) struct ScanArgs {
    /// Exports, or folders of them with all below; `-` is standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A pack or filter, a signed policy, `builtin` or `builtin:ID`; may be given several times. Without a pack the built-in ones are used.
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    #[command(flatten)]
    whose: WhoseArgs,
    #[command(flatten)]
    columns: ColumnsArg,
    /// How to print findings.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Characters of text shown on each side of a hit.
    #[arg(long, value_name = "N", default_value_t = 30)]
    context: usize,
    #[command(flatten)]
    threads: ThreadsArg,
    #[command(flatten)]
    look: LookArgs,
    /// Exit with 3 if anything was found.
    #[arg(long)]
    exit_code: bool,
}

/// Whose messages are evaluated.
#[derive(Args)]
pub(super) struct WhoseArgs {
    /// Managed accounts as CSV corp,userid,name,labels,never; without it every message is evaluated.
    #[arg(long, value_name = "FILE")]
    pub(super) accounts: Option<PathBuf>,
    /// The corporation the exports belong to, as in the accounts file.
    #[arg(long, value_name = "CORP", default_value = "corp")]
    pub(super) corp: String,
}

/// What tables in exports look like.
#[derive(Args)]
pub(super) struct ColumnsArg {
    /// What a column of a table is called: msgid, action, from, to, room, time, type, body, room_name or sender_name, and its header.
    /// Usual names are known.
    #[arg(long = "column", value_name = "WORD=HEADER", value_parser = pair)]
    columns: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (word, header) = text.split_once('=').ok_or("write it as WORD=HEADER, like from=坐席")?;
    Ok((word.trim().to_owned(), header.to_owned()))
}

impl ColumnsArg {
    /// How exports are read.
    pub(super) fn reading(&self) -> anyhow::Result<Reading> {
        let names = Names::of(self.columns.iter().map(|(word, header)| (word.as_str(), header.as_str())));
        Ok(Reading { names: names.map_err(|mistake| anyhow!("--column: {mistake}"))?, ..Reading::default() })
    }
}

impl WhoseArgs {
    /// The engine of these packs and filters and of the accounts named.
    pub(super) fn engine(&self, policy: &[PathBuf]) -> anyhow::Result<Engine> {
        load_engine(policy, self.accounts.as_deref()).map_err(|mistakes| anyhow!(mistakes.join("\n")))
    }
}

/// How many exports are read at once.
#[derive(Args)]
pub(super) struct ThreadsArg {
    /// Exports read at once; by default as many as there are cores. The output is the same whatever the number.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

impl ThreadsArg {
    pub(super) fn number(&self) -> NonZeroUsize {
        self.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One JSON object per finding.
    Jsonl,
}

pub(super) fn run(args: &ScanArgs) -> anyhow::Result<ExitCode> {
    let engine = args.whose.engine(&args.policy)?;
    let walk = Walk::of(&args.paths);
    let progress = progress(walk.bytes);
    let totals = scan(args, &engine, walk, &progress)?;
    eprint!("{}", totals.painted(&engine, args.look.stderr(), args.look.lang()));
    Ok(match &totals {
        totals if args.exit_code && totals.findings > 0 => ExitCode::from(3),
        totals if totals.failed() => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

fn scan(args: &ScanArgs, engine: &Engine, walk: Walk, progress: &ProgressBar) -> anyhow::Result<Totals> {
    let corp = Corp::new(args.whose.corp.as_str());
    let reading = args.columns.reading()?;
    let now_ms = SystemClock::default().wall_ms();
    let reader = Reader { corp: &corp, engine, progress, reading: &reading, now_ms };
    let mut totals = Totals::new(walk.aside);
    let mut teller = Teller::new(args, engine, progress, BufWriter::with_capacity(64 * 1024, io::stdout().lock()));
    let mut windows = Windows::default();
    read::in_order(&reader, &walk.exports, args.threads.number(), |export, piece| match piece {
        Piece::Evaluated(mut evaluated) => {
            windows.add(engine, &mut evaluated, |seen| First::of(export, seen));
            teller.tell(export, evaluated, &mut totals)
        }
        Piece::End(end) => {
            windows.read(end.newest_ms);
            totals.end(export, end);
            Ok(())
        }
    })?;
    windows.tell(engine, &mut teller, &mut totals)?;
    teller.out.flush()?;
    progress.finish_and_clear();
    Ok(totals)
}

/// A bar on a terminal, nothing elsewhere.
pub(super) fn progress(bytes: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {percent}% {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
