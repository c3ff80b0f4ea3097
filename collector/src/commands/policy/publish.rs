//! `policy publish`, `rollback`, `halt`, `resume` and `advance`.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::{Args, ValueEnum};
use watchpost_proto::policy::Policy;
use watchpost_proto::v1::{PolicyHeader, PolicySettings};

use super::{PassphraseArgs, as_named, read_policy, sign};
use crate::admin::{PolicyChange, What};
use crate::clock::now_ms;
use crate::commands::deed::DeedArgs;
use crate::commands::token::seconds;
use crate::config::Config;
use crate::log_store::{self, LogReader};
use crate::policies::{self, SOAK_MAX_S, gather, in_force};

/// How a policy goes to the devices of its group.
#[derive(Debug, Args)]
struct RolloutArgs {
    /// Shares of the group's devices, one ring after the other; the last is 100%. A ring may have a name before its share.
    #[arg(long = "ring", value_name = "RINGS", default_value = "100%", value_parser = rings)]
    rings: Rings,
    /// How long a ring has to stand before the next: 30m, 24h. `0` goes on as soon as all that are connected have it.
    #[arg(long, default_value = "1h", value_parser = soak)]
    soak: u64,
    /// What becomes of devices that have it when it halts: they keep it, or go back to the fallback it names.
    #[arg(long, value_enum, default_value_t = OnHalt::Hold)]
    on_halt: OnHalt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnHalt {
    Hold,
    Fallback,
}

/// Publishes a signed policy: devices of the first ring are offered it at once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    watchpost-collector policy publish sales.policy --config collector.toml\n  \
    watchpost-collector policy publish sales.policy --ring canary:5%,25%,100% --soak 24h --on-halt fallback --config collector.toml\n\n\
    A ring halts itself when devices refuse the policy, or when on their recent exports its hit rate is more than three times\n\
    that of the policy before, or less than a third of it. Devices try that before they report.")]
pub(super) struct PublishArgs {
    /// The policy.
    policy: PathBuf,
    /// The group it must be for.
    #[arg(long)]
    group: Option<String>,
    #[command(flatten)]
    rollout: RolloutArgs,
    #[command(flatten)]
    deed: DeedArgs,
}

/// Publishes the content of an earlier version under a new number.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    watchpost-collector policy rollback --group sales --to 3 --key /media/usb/policy.key --reason \"too many hits\" --config collector.toml")]
pub(super) struct RollbackArgs {
    /// The group.
    #[arg(long, default_value = "default")]
    group: String,
    /// The version whose packs, filters and settings come back.
    #[arg(long, value_name = "VERSION")]
    to: u64,
    /// A policy key; may be repeated.
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    rollout: RolloutArgs,
    #[command(flatten)]
    deed: DeedArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Halts the policy of a group: nobody else gets it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  watchpost-collector policy halt --group sales --reason \"too many hits\" --config collector.toml"
)]
pub(super) struct ChangeArgs {
    /// The group.
    #[arg(long, default_value = "default")]
    group: String,
    #[command(flatten)]
    deed: DeedArgs,
}

/// Lets a halted policy go on.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  watchpost-collector policy resume --group sales --config collector.toml")]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    change: ChangeArgs,
}

/// Offers the policy of a group to its next ring now.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  watchpost-collector policy advance --group sales --config collector.toml")]
pub(super) struct AdvanceArgs {
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) fn publish(args: &PublishArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.deed.config)?;
    let policy = read_policy(&args.policy)?;
    let said = &policy.header.said;
    ensure!(
        said.tenant == config.tenant,
        "the policy is for the tenant {:?}, and this collector serves {:?}",
        said.tenant,
        config.tenant
    );
    if let Some(group) = args.group.as_ref().filter(|group| **group != said.group) {
        bail!("the policy is for the group {:?}, not for {group:?}", said.group);
    }
    hand_over(&policy, &args.rollout, &args.deed)
}

fn hand_over(policy: &Policy, rollout: &RolloutArgs, deed: &DeedArgs) -> anyhow::Result<()> {
    gather::compile(as_named(&in_force::files_of(policy))).context("devices would refuse it")?;
    deed.run_quietly(
        What::PublishPolicy {
            policy: BASE64.encode(policy.encode()),
            rings: rollout.rings.0.clone(),
            soak_ms: rollout.soak.saturating_mul(1000),
            fall_back: rollout.on_halt == OnHalt::Fallback,
        },
        &serde_json::json!({
            "policy": policy.header.digest.to_string(),
            "group": policy.header.said.group,
            "version": policy.header.said.version,
        }),
    )
}

pub(super) fn rollback(args: &RollbackArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.deed.config)?;
    let log = LogReader::open(&config.log_db())?;
    let all = log_store::published(log.connection(), Some(&args.group))?;
    let latest = all.last().with_context(|| format!("no policy was published for the group {:?}", args.group))?;
    let old = all.iter().find(|published| published.header.said.version == args.to);
    let old = old.with_context(|| format!("there is no version {}; see policy history", args.to))?;
    let old = log_store::policy(log.connection(), &old.header.digest)?.context("its files are not there")?;
    let (latest, was) = (&latest.header, old.header.settings());
    let said = PolicyHeader {
        version: latest.said.version + 1,
        previous: latest.digest.to_vec(),
        fallback: Vec::new(),
        made_at_ms: now_ms(),
        note: format!("version {} again", args.to),
        // Whom to trust, and to whom segments are encrypted, is not taken back.
        settings: Some(PolicySettings { recipient: latest.settings().recipient, ..was }),
        ..latest.said.clone()
    };
    let policy = sign::signed(said, &in_force::files_of(&old), &args.passphrase.keys(&args.keys)?)?;
    hand_over(&policy, &args.rollout, &args.deed)
}

pub(super) fn halt(args: &ChangeArgs) -> anyhow::Result<()> {
    args.run(PolicyChange::Halt)
}

pub(super) fn resume(args: &ResumeArgs) -> anyhow::Result<()> {
    args.change.run(PolicyChange::Resume)
}

pub(super) fn advance(args: &AdvanceArgs) -> anyhow::Result<()> {
    args.change.run(PolicyChange::Advance)
}

impl ChangeArgs {
    fn run(&self, change: PolicyChange) -> anyhow::Result<()> {
        self.deed.run(What::ChangePolicy { group: self.group.clone(), change })
    }
}

/// Rings in hundredths of a percent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rings(Vec<u32>);

fn rings(text: &str) -> Result<Rings, String> {
    policies::read_rings(text).map(Rings)
}

fn soak(text: &str) -> Result<u64, String> {
    let soak = if text == "0" { 0 } else { seconds(text)? };
    if soak <= SOAK_MAX_S { Ok(soak) } else { Err("a ring stands for at most 90 days".into()) }
}
