//! `watchpost-collector policy`: from packs to what is in force on the devices of a group.

mod history;
mod publish;
mod sign;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use watchpost_policy::bundle::{File, Role};
use watchpost_proto::keys::{SigningKey as _, SoftwareKey};
use watchpost_proto::policy::{POLICY_BYTES_MAX, Policy};

use super::output::Output;
use crate::key_file::{self, Passphrase};
use crate::policies::gather;

/// Signs policies, brings them to devices ring by ring, halts and takes them back. 策略的签发、分批发布、暂停与回退。
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    watchpost-collector policy key --out /media/usb/policy.key\n  \
    watchpost-collector policy sign builtin sales.yaml --group sales --key /media/usb/policy.key --config collector.toml --out sales.policy\n  \
    watchpost-collector policy publish sales.policy --ring canary:5%,25%,100% --config collector.toml\n  \
    watchpost-collector policy history --group sales --config collector.toml\n\n\
    The policy key stays away from the collector: whoever takes over a collector can still give no device a rule.")]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Makes a policy key. Keep it away from the collector.
    #[command(after_help = "Example:\n  watchpost-collector policy key --out /media/usb/policy.key --encrypt\n\n\
        Its id goes into enrolment tokens by itself once a first policy is published, or into agent.toml as [policy] key.")]
    Key {
        /// Where to.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Under a passphrase, which is asked for.
        #[arg(long)]
        encrypt: bool,
        #[command(flatten)]
        passphrase: PassphraseArgs,
    },
    /// Reads packs and filters and tells every mistake.
    #[command(after_help = "Example:\n  watchpost-collector policy check builtin sales.yaml")]
    Check {
        #[command(flatten)]
        packs: PacksArgs,
    },
    /// Runs the tests that the rules carry.
    #[command(after_help = "Example:\n  watchpost-collector policy test sales.yaml")]
    Test {
        #[command(flatten)]
        packs: PacksArgs,
    },
    Sign(sign::SignArgs),
    Cosign(sign::CosignArgs),
    Publish(publish::PublishArgs),
    Rollback(publish::RollbackArgs),
    Halt(publish::ChangeArgs),
    Resume(publish::ResumeArgs),
    Advance(publish::AdvanceArgs),
    History(history::HistoryArgs),
    Show(history::ShowArgs),
}

/// Which packs and filters.
#[derive(Debug, Args)]
struct PacksArgs {
    /// Files of packs and filters, `builtin` for all packs that ship, `builtin:ID` for one.
    #[arg(value_name = "PACK", required = true)]
    packs: Vec<PathBuf>,
}

/// Where the passphrase of a key is.
#[derive(Clone, Debug, Args)]
struct PassphraseArgs {
    /// A file with the passphrase of an encrypted key; the environment or the terminal otherwise.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// What kept it from being done.
pub fn run(args: PolicyArgs) -> anyhow::Result<()> {
    match args.command {
        PolicyCommand::Key { out, encrypt, passphrase } => key(&out, encrypt, &passphrase),
        PolicyCommand::Check { packs } => packs.check(),
        PolicyCommand::Test { packs } => packs.test(),
        PolicyCommand::Sign(args) => sign::sign(&args),
        PolicyCommand::Cosign(args) => sign::cosign(&args),
        PolicyCommand::Publish(args) => publish::publish(&args),
        PolicyCommand::Rollback(args) => publish::rollback(&args),
        PolicyCommand::Halt(args) => publish::halt(&args),
        PolicyCommand::Resume(args) => publish::resume(&args),
        PolicyCommand::Advance(args) => publish::advance(&args),
        PolicyCommand::History(args) => history::history(&args),
        PolicyCommand::Show(args) => history::show(&args),
    }
}

fn key(out: &Path, encrypt: bool, passphrase: &PassphraseArgs) -> anyhow::Result<()> {
    let (key, der) = SoftwareKey::generate()?;
    let chosen = encrypt.then(|| passphrase.passphrase().choose()).transpose()?;
    key_file::write_new(out, &der, chosen.as_ref().map(|chosen| chosen.as_str()))?;
    let mut told = Output::new();
    told.row(&[&key.public().id().0.to_string()])?;
    told.finish()
}

impl PassphraseArgs {
    fn passphrase(&self) -> Passphrase {
        Passphrase::new(self.passphrase_file.clone())
    }

    fn keys(&self, paths: &[PathBuf]) -> anyhow::Result<Vec<SoftwareKey>> {
        let passphrase = self.passphrase();
        let read = |path: &PathBuf| -> anyhow::Result<SoftwareKey> {
            key_file::read(path, &passphrase)?.signing().with_context(|| path.display().to_string())
        };
        paths.iter().map(read).collect()
    }
}

impl PacksArgs {
    fn files(&self) -> anyhow::Result<Vec<File>> {
        gather::gather(&self.packs)
    }

    fn check(&self) -> anyhow::Result<()> {
        let files = self.files()?;
        let (packs, engine) = gather::compile(as_named(&files))?;
        let mut out = Output::new();
        for pack in &packs {
            out.row(&[&pack.id, &format!("version {}", pack.version), &format!("{} rules", pack.rules.len())])?;
        }
        out.row(&[&format!("digest {}", engine.digest())])?;
        out.finish()
    }

    fn test(&self) -> anyhow::Result<()> {
        let files = self.files()?;
        let tests = gather::test(&gather::compile(as_named(&files))?.0)?;
        let mut out = Output::new();
        out.row(&[&format!("{tests} 项测试全部通过 all {tests} tests pass")])?;
        out.finish()
    }
}

fn as_named(files: &[File]) -> impl Iterator<Item = (Role, &str, &[u8])> {
    files.iter().map(|file| (file.role, file.name.as_str(), &file.bytes[..]))
}

fn read_policy(path: &Path) -> anyhow::Result<Policy> {
    let shown = path.display();
    let length = std::fs::metadata(path).with_context(|| shown.to_string())?.len();
    anyhow::ensure!(length <= POLICY_BYTES_MAX as u64, "{shown} is too large to be a policy");
    Policy::read(&std::fs::read(path).with_context(|| shown.to_string())?).with_context(|| shown.to_string())
}
