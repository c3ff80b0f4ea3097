//! `split`: everybody's exports become each one's own, for devices that must see no more than their employee's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde_json::json;
use watchpost_agent::carrier::Reading;
use watchpost_agent::lines::{Line, Lines};
use watchpost_agent::policy_files::load_accounts;
use watchpost_policy::accounts::Accounts;
use watchpost_policy::engine::{Engine, Standing};
use watchpost_policy::message::{Account, Corp, Message};
use watchpost_policy::parse::parse_line;
use watchpost_proto::digest::sha256;

use super::print_json;
use super::scan::ColumnsArg;
use super::scan::walk::{Export, Walk, unread};

/// Bytes gathered for all accounts before they are written.
const GATHERED_BYTES_MAX: usize = 8 << 20;
/// What a file is called while it is written; watched folders pass such names over.
const UNFINISHED: &str = "part";

/// Write each managed account's messages into exports of its own.
///
/// 按账号拆分：把归档主机上的导出文件拆成每个受管账号各自的导出文件。
#[derive(Args)]
#[command(
    after_help = "Examples:\n  watchpost-agent split exports/ --by account --accounts accounts.csv --corp wwEXAMPLE0001 --out personal/\n\n\
    Writes OUT/ACCOUNT/NAME.jsonl, complete or not at all; the same export gives the same file again.\n\
    Messages with an account of the never list are in none of them.\n\
    Exit codes: 0 ok, 1 something could not be read or written."
)]
pub(super) struct SplitArgs {
    /// Exports, or folders of them with all below.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// What to split by.
    #[arg(long, value_enum)]
    by: By,
    /// Managed accounts as CSV corp,userid,name,labels,never.
    #[arg(long, value_name = "FILE")]
    accounts: PathBuf,
    /// The corporation the exports belong to, as in the accounts file.
    #[arg(long, value_name = "CORP")]
    corp: String,
    /// Where to write; not below what is read.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    columns: ColumnsArg,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// One folder for each managed account.
    Account,
}

/// What came of it.
#[derive(Default)]
struct Counts {
    exports: u64,
    messages: u64,
    written: u64,
    left_out: u64,
    files: u64,
    accounts: BTreeSet<String>,
}

pub(super) fn run(args: &SplitArgs) -> anyhow::Result<ExitCode> {
    let By::Account = args.by;
    let accounts = load_accounts(&args.accounts).map_err(|mistakes| anyhow!(mistakes.join("\n")))?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let out = args.out.canonicalize()?;
    for path in &args.paths {
        if path.canonicalize().is_ok_and(|path| out.starts_with(path)) {
            bail!("{} lies in {}, which is read; name another folder with --out", out.display(), path.display());
        }
    }
    let engine = Engine::compile(Vec::new(), Some(accounts))?;
    let corp = Corp::new(args.corp.as_str());
    let reading = args.columns.reading()?;
    let walk = Walk::of(&args.paths);
    let progress = super::scan::progress(walk.bytes);
    let mut counts = Counts::default();
    let mut failed = walk.aside.iter().any(|aside| aside.failed);
    walk.aside.iter().for_each(|aside| eprintln!("  set aside  {}: {}", aside.name, aside.why));
    for export in &walk.exports {
        let mut split = Split::new(&engine, &corp, &out, &export.name);
        match split.export(export, &progress, &reading, &mut counts) {
            Ok(()) => counts.exports += 1,
            Err(error) => {
                failed = true;
                split.discard();
                progress.suspend(|| eprintln!("  set aside  {}: {error:#}", export.name));
            }
        }
    }
    progress.finish_and_clear();
    tell(args, &counts)?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn tell(args: &SplitArgs, counts: &Counts) -> anyhow::Result<()> {
    let Counts { exports, messages, written, left_out, files, accounts } = counts;
    let mut stdout = std::io::stdout().lock();
    if args.json {
        let told = json!({ "exports": exports, "messages": messages, "written": written, "left_out": left_out, "files": files, "accounts": accounts.len() });
        return print_json(&mut stdout, &told);
    }
    writeln!(
        stdout,
        "{exports} exports, {messages} messages: {written} written into {files} files of {} accounts, {left_out} of nobody managed or of the never list",
        accounts.len()
    )?;
    Ok(())
}

/// One export while it is split.
struct Split<'a> {
    engine: &'a Engine,
    corp: &'a Corp,
    out: &'a Path,
    /// What its parts are called.
    name: String,
    /// By account: what is not written yet.
    gathered: BTreeMap<String, Vec<u8>>,
    bytes: usize,
    /// The files begun, each unfinished.
    begun: BTreeSet<PathBuf>,
}

impl<'a> Split<'a> {
    fn new(engine: &'a Engine, corp: &'a Corp, out: &'a Path, export: &str) -> Self {
        let stem: String = Path::new(export).file_name().map_or("export".into(), |name| plain(&name.to_string_lossy()));
        // Exports of one name in two folders are two.
        let name = format!("{stem}-{}.jsonl", hex::encode(&sha256(&[export.as_bytes()]).0[..4]));
        Self { engine, corp, out, name, gathered: BTreeMap::new(), bytes: 0, begun: BTreeSet::new() }
    }

    fn export(
        &mut self,
        export: &Export,
        progress: &ProgressBar,
        reading: &Reading,
        counts: &mut Counts,
    ) -> anyhow::Result<()> {
        let carried = export.open(progress, reading).map_err(|aside| anyhow!(aside.why))?;
        let mut lines = Lines::new(carried.lines, reading.limits.record_bytes_max, 0, None);
        loop {
            let line = lines.next().map_err(|error| anyhow!(unread(&export.name, &error).why))?;
            let (line, is_last) = match line {
                None => break,
                Some(Line::Whole(line)) => (line, false),
                Some(Line::Unended(line)) => (line, true),
                Some(Line::TooLong) => continue,
            };
            self.line(line, counts)?;
            if is_last {
                break;
            }
        }
        self.write()?;
        self.finish(counts)
    }

    fn line(&mut self, line: &[u8], counts: &mut Counts) -> anyhow::Result<()> {
        let Some(message) = parse_line(line).message else { return Ok(()) };
        counts.messages += 1;
        if self.engine.standing(self.corp, &message) != Standing::Evaluate {
            counts.left_out += 1;
            return Ok(());
        }
        counts.written += 1;
        for account in self.accounts_of(&message) {
            let own = self.gathered.entry(account.clone()).or_default();
            own.extend_from_slice(line);
            own.push(b'\n');
            self.bytes += line.len() + 1;
            counts.accounts.insert(account);
        }
        if self.bytes > GATHERED_BYTES_MAX { self.write() } else { Ok(()) }
    }

    fn accounts_of(&self, message: &Message) -> BTreeSet<String> {
        let managed =
            |id: &&str| self.engine.accounts().is_some_and(|accounts: &Accounts| accounts.get(self.corp, id).is_some());
        message.parties().filter(managed).map(|id| Account::new(self.corp, id).userid().to_owned()).collect()
    }

    /// Adds what is gathered to the unfinished files.
    fn write(&mut self) -> anyhow::Result<()> {
        for (account, bytes) in std::mem::take(&mut self.gathered) {
            let folder = self.out.join(plain(&account));
            let path = folder.join(format!("{}.{UNFINISHED}", self.name));
            let is_new = self.begun.insert(path.clone());
            let written = || {
                std::fs::create_dir_all(&folder)?;
                // What an earlier run left unfinished is begun afresh.
                let mut file =
                    if is_new { File::create(&path)? } else { OpenOptions::new().append(true).open(&path)? };
                file.write_all(&bytes)
            };
            written().with_context(|| format!("cannot write {}", path.display()))?;
        }
        self.bytes = 0;
        Ok(())
    }

    /// Gives the files their names, now that they are complete and on disk.
    fn finish(&mut self, counts: &mut Counts) -> anyhow::Result<()> {
        for path in &self.begun {
            File::open(path)?.sync_all().with_context(|| format!("cannot write {}", path.display()))?;
        }
        while let Some(path) = self.begun.pop_first() {
            std::fs::rename(&path, path.with_extension(""))
                .with_context(|| format!("cannot rename {}", path.display()))?;
            counts.files += 1;
        }
        Ok(())
    }

    /// Leaves nothing of an export that could not be read to its end.
    fn discard(&mut self) {
        self.begun.iter().for_each(|path| _ = std::fs::remove_file(path));
    }
}

/// An id or name as one part of a path, on any system: everything but plain characters as `%XX`.
fn plain(name: &str) -> String {
    const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];
    let lower = name.to_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let is_device = RESERVED.contains(&stem) || stem.len() == 4 && (stem.starts_with("com") || stem.starts_with("lpt"));
    let mut out = String::new();
    for (at, c) in name.chars().enumerate() {
        let is_plain = c.is_alphanumeric() || "-_@".contains(c) || c == '.' && at > 0;
        if is_plain && !(at == 0 && is_device) {
            out.push(c);
        } else {
            c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| out += &format!("%{byte:02X}"));
        }
    }
    // A dot at the end is none on Windows.
    if out.ends_with('.') {
        out.pop();
        out += "%2E";
    }
    out
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn names_are_plain_on_any_system() {
        for (name, expected) in [
            ("li.na", "li.na"),
            ("15000000042", "15000000042"),
            ("李娜@example", "李娜@example"),
            ("../x", "%2E.%2Fx"),
            ("..", "%2E%2E"),
            ("a/b\\c:d", "a%2Fb%5Cc%3Ad"),
            ("con", "%63on"),
            ("com1.txt", "%63om1.txt"),
            ("community", "community"),
            ("", ""),
        ] {
            assert_eq!(plain(name), expected, "{name}");
        }
    }
}
