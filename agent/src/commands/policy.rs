//! `policy`: rule packs before they go live: their mistakes, their tests, why they hold, and what they would find.

mod check;
mod explain;
mod import;
mod preview;
mod report;
mod test;
mod why;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use watchpost_agent::policy_files::{Document, load_document};
use watchpost_policy::packs;
use watchpost_policy::rules::{Mistake, Pack};

use super::terminal::LookArgs;
use report::Reporter;

/// Check, test, try out and import rule packs.
///
/// 检查、测试、解释、试运行和导入规则包。
#[derive(Args)]
#[command(
    after_help = "Examples:\n  watchpost-agent policy check packs/*.yaml\n  watchpost-agent policy test packs/sales.yaml"
)]
pub(super) struct PolicyArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    Check(check::CheckArgs),
    Test(test::TestArgs),
    Explain(explain::ExplainArgs),
    Preview(preview::PreviewArgs),
    Import(import::ImportArgs),
}

/// Which packs.
#[derive(Args)]
struct PackArgs {
    /// Pack files; the built-in packs if none is named.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    look: LookArgs,
}

pub(super) fn run(args: &PolicyArgs) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Check(args) => check::run(args),
        Action::Test(args) => test::run(args),
        Action::Explain(args) => explain::run(args),
        Action::Preview(args) => preview::run(args),
        Action::Import(args) => import::run(args),
    }
}

/// A pack and where it was read from.
struct Loaded {
    /// As it is named in the output.
    name: String,
    /// Beside which the files it names lie; `None` for a built-in pack.
    path: Option<PathBuf>,
    /// The text of its file, as far as it could be read.
    text: String,
    document: Result<Document, Vec<Mistake>>,
}

impl PackArgs {
    fn reporter(&self) -> Reporter {
        Reporter::new(self.look.stdout(), self.look.lang())
    }

    fn load(&self) -> Vec<Loaded> {
        if self.files.is_empty() {
            let files = packs::builtin_files();
            return packs::BUILTIN.iter().map(|(name, bytes)| Loaded::builtin(name, bytes, &files)).collect();
        }
        self.files.iter().map(|file| Loaded::of(file)).collect()
    }
}

impl PackArgs {
    /// The packs, or all their mistakes.
    fn sound(&self) -> anyhow::Result<Vec<Pack>> {
        let (mut packs, mut mistakes) = (Vec::new(), Vec::new());
        for loaded in self.load() {
            match loaded.document {
                Ok(Document::Pack(pack)) => packs.push(*pack),
                Ok(Document::Filter(_)) => {
                    mistakes.push(format!("{}: a filter has no tests; name packs", loaded.name));
                }
                Err(more) => mistakes.extend(more.iter().map(Mistake::to_string)),
            }
        }
        if mistakes.is_empty() { Ok(packs) } else { Err(anyhow!(mistakes.join("\n"))) }
    }
}

impl Loaded {
    fn builtin(name: &str, bytes: &[u8], files: &BTreeMap<String, Vec<u8>>) -> Self {
        let (text, pack) = (String::from_utf8_lossy(bytes), Pack::parse(name, bytes, files));
        let document = pack.map(|pack| Document::Pack(Box::new(pack)));
        Self { name: name.to_owned(), path: None, text: text.into_owned(), document }
    }

    fn of(file: &Path) -> Self {
        let text = report::read(file).unwrap_or_default();
        Self { name: file.display().to_string(), path: Some(file.to_owned()), text, document: load_document(file) }
    }
}
