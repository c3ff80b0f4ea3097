//! `scan`: what would be found in some exports, without state and without telling anyone.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use watchpost_agent::config::Folder;
use watchpost_agent::lines::{Line, Lines};
use watchpost_agent::policy_files::load_engine;
use watchpost_agent::source::{list, open_export};
use watchpost_agent::store::FileKey;
use watchpost_policy::engine::{Engine, Finding, Scratch, Standing};
use watchpost_policy::identity::{Mid, TenantKey, mid};
use watchpost_policy::message::{Corp, Message};
use watchpost_policy::parse::parse_line;
use watchpost_policy::scan::ScanRow;

use super::print_json;

/// Longest line read, in bytes, as in the daemon.
const LINE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Show what would be found in exports; nothing is kept or sent.
///
/// 离线检查导出文件，显示会命中什么；不保存、不上报。
#[derive(Args)]
#[command(after_help = "Examples:\n  watchpost-agent scan exports/\n  \
    watchpost-agent scan chat.jsonl --policy packs/finance-conduct.yaml --format jsonl\n  \
    watchpost-agent scan exports/ --accounts accounts.csv --exit-code")]
pub(super) struct ScanArgs {
    /// Exports, or folders of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A pack to use instead of the built-in ones; may be given several times.
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// Managed accounts as CSV corp,userid,name,labels,never; without it every message is evaluated.
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// The corporation the exports belong to, as in the accounts file.
    #[arg(long, value_name = "CORP", default_value = "corp")]
    corp: String,
    /// How to print findings.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Exit with 3 if anything was found.
    #[arg(long)]
    exit_code: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One JSON object per finding.
    Jsonl,
}

pub(super) fn run(args: &ScanArgs) -> anyhow::Result<ExitCode> {
    let engine =
        load_engine(&args.policy, args.accounts.as_deref()).map_err(|mistakes| anyhow!(mistakes.join("\n")))?;
    let exports = exports(&args.paths)?;
    let mut scan = Scan {
        corp: Corp::new(args.corp.as_str()),
        engine: &engine,
        scratch: Scratch::default(),
        told: HashSet::new(),
        totals: Totals::default(),
        format: args.format,
        out: BufWriter::with_capacity(64 * 1024, io::stdout().lock()),
        progress: progress(&exports),
    };
    for export in &exports {
        scan.export(export)?;
    }
    scan.out.flush()?;
    scan.progress.finish_and_clear();
    eprint!("{}", scan.totals);
    let found = args.exit_code && scan.totals.findings > 0;
    Ok(if found { ExitCode::from(3) } else { ExitCode::SUCCESS })
}

/// Files named are taken as they are; folders are listed as the daemon does, in order of name.
fn exports(paths: &[PathBuf]) -> anyhow::Result<Vec<FileKey>> {
    let mut exports = Vec::new();
    for path in paths {
        let metadata = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        if metadata.is_dir() {
            let listing = list(&[Folder { path: path.clone(), corp: Corp::new("corp") }]);
            let mut found: Vec<FileKey> = listing.exports.into_iter().map(|listed| listed.key).collect();
            found.sort();
            exports.extend(found);
        } else {
            let name = path.file_name().with_context(|| format!("{} names no file", path.display()))?;
            let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            exports.push(FileKey { folder: folder.to_owned(), name: name.into() });
        }
    }
    Ok(exports)
}

fn progress(exports: &[FileKey]) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bytes = exports.iter().filter_map(|key| std::fs::metadata(key.path()).ok()).map(|meta| meta.len()).sum();
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

struct Scan<'a, W: Write> {
    corp: Corp,
    engine: &'a Engine,
    scratch: Scratch,
    /// Findings told already: the same message in two exports is one.
    told: HashSet<(Mid, std::sync::Arc<str>, std::sync::Arc<str>)>,
    totals: Totals,
    format: Format,
    out: W,
    progress: ProgressBar,
}

impl<W: Write> Scan<'_, W> {
    fn export(&mut self, key: &FileKey) -> anyhow::Result<()> {
        let name = key.path().display().to_string();
        match open_export(key) {
            Ok((file, _)) => self.lines(file, &name),
            Err(error) => {
                self.totals.aside(&name, &error);
                Ok(())
            }
        }
    }

    fn lines(&mut self, file: File, name: &str) -> anyhow::Result<()> {
        self.totals.files += 1;
        let mut lines = Lines::new(file, LINE_BYTES_MAX, 0, None);
        let (mut number, mut before) = (0, 0);
        loop {
            number += 1;
            let last = match lines.next() {
                Ok(None) => break,
                Ok(Some(Line::Whole(line))) => {
                    self.line(line, name, number)?;
                    false
                }
                Ok(Some(Line::Unended(line))) => {
                    self.line(line, name, number)?;
                    true
                }
                Ok(Some(Line::TooLong)) => {
                    self.totals.defect("line_too_long");
                    false
                }
                Err(error) => {
                    self.totals.aside(name, &error);
                    break;
                }
            };
            if number % 4096 == 0 {
                self.progress.inc(lines.offset() - before);
                before = lines.offset();
            }
            if last {
                break;
            }
        }
        self.totals.bytes += lines.offset();
        self.progress.inc(lines.offset() - before);
        Ok(())
    }

    fn line(&mut self, line: &[u8], name: &str, number: u64) -> anyhow::Result<()> {
        let parsed = parse_line(line);
        for defect in &parsed.defects {
            self.totals.defect(defect.code());
        }
        let Some(message) = parsed.message else { return Ok(()) };
        if self.engine.standing(&self.corp, &message) != Standing::Evaluate {
            self.totals.out_of_scope += 1;
            return Ok(());
        }
        self.totals.messages += 1;
        for finding in self.engine.evaluate(&self.corp, &message, &mut self.scratch) {
            let id = mid(&TenantKey([0; 32]), &self.corp, &message);
            if self.told.insert((id, finding.pack.clone(), finding.rule.clone())) {
                self.tell(&finding, &message, name, number)?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, finding: &Finding, message: &Message, name: &str, number: u64) -> anyhow::Result<()> {
        self.totals.finding(finding);
        let row = ScanRow::new(finding, message, name, number);
        match self.format {
            Format::Jsonl => print_json(&mut self.out, &row),
            Format::Table => {
                let words: Vec<&str> = row.hits.iter().map(|hit| hit.word).collect();
                writeln!(
                    self.out,
                    "{:<8} {:<32} {:<20} {}  {}:{}",
                    finding.level.as_str(),
                    row.rule,
                    printable(row.from, 20),
                    printable(&words.join("、"), 40),
                    printable(name, 80),
                    number
                )
                .context("cannot write")
            }
        }
    }
}

/// What an export says is printed without control characters, which a terminal would act on.
fn printable(text: &str, chars_max: usize) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).take(chars_max).collect()
}

#[derive(Default)]
struct Totals {
    files: u64,
    bytes: u64,
    messages: u64,
    out_of_scope: u64,
    findings: u64,
    by_rule: BTreeMap<String, u64>,
    defects: BTreeMap<String, u64>,
    aside: Vec<String>,
}

impl Totals {
    fn defect(&mut self, kind: &str) {
        match self.defects.get_mut(kind) {
            Some(count) => *count += 1,
            None => drop(self.defects.insert(kind.to_owned(), 1)),
        }
    }

    fn finding(&mut self, finding: &Finding) {
        self.findings += 1;
        *self.by_rule.entry(format!("{} {}", finding.pack, finding.rule)).or_default() += 1;
    }

    fn aside(&mut self, name: &str, error: &io::Error) {
        self.aside.push(format!("{name}: {error}"));
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} exports, {} bytes, {} messages evaluated, {} out of scope",
            self.files, self.bytes, self.messages, self.out_of_scope
        )?;
        writeln!(f, "{} findings", self.findings)?;
        for (rule, count) in &self.by_rule {
            writeln!(f, "  {count:>8}  {rule}")?;
        }
        for (kind, count) in &self.defects {
            writeln!(f, "  {count:>8}  defect {kind}")?;
        }
        for aside in &self.aside {
            writeln!(f, "  set aside  {aside}")?;
        }
        Ok(())
    }
}
