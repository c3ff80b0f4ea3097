//! `policy sign` and `policy cosign`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use watchpost_policy::bundle::{File, Role};
use watchpost_proto::Digest;
use watchpost_proto::document::Signers;
use watchpost_proto::encryption::Recipient;
use watchpost_proto::keys::{KeyId, SigningKey as _, SoftwareKey};
use watchpost_proto::policy::{Header, Policy};
use watchpost_proto::v1::{PolicyHeader, PolicyRole, PolicySettings, RecipientKey};

use super::{PacksArgs, PassphraseArgs, as_named, read_policy};
use crate::clock::now_ms;
use crate::commands::output::Output;
use crate::config::Config;
use crate::durable_file::{self, Access};
use crate::enrolment::desk::is_word;
use crate::log_store::{self, LogReader};
use crate::policies::gather;

/// Makes a policy of packs and filters and signs it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    watchpost-collector policy sign builtin --tenant acme --key policy.key --out first.policy\n  \
    watchpost-collector policy sign builtin sales.yaml --after first.policy --key policy.key --out second.policy\n  \
    watchpost-collector policy sign builtin --config collector.toml --key policy.key --signer PIN1 --signer PIN2 --needed 2 --out next.policy\n\n\
    Whatever is not said stays as in the policy before: the one of --after, or the last one published by the collector of --config.\n\
    With --needed 2 two people sign: the second with policy cosign.")]
pub(super) struct SignArgs {
    #[command(flatten)]
    packs: PacksArgs,
    /// A policy key; may be repeated.
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    /// The last policy of the group, which this one follows.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    after: Option<PathBuf>,
    /// The collector's configuration, to follow the last policy it published.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The tenant; said by the policy before or the configuration otherwise.
    #[arg(long)]
    tenant: Option<String>,
    /// The group of devices it is for.
    #[arg(long, default_value = "default")]
    group: String,
    /// What has changed, for people.
    #[arg(long, default_value = "")]
    note: String,
    /// The most that rules may disclose, under the ceiling of each device.
    #[arg(long, value_enum)]
    disclose: Option<DiscloseArg>,
    /// Whether own accounts that the roster does not know are told of, as pseudonym and count.
    #[arg(long, value_name = "BOOL")]
    report_unknown_accounts: Option<bool>,
    /// To whom devices encrypt segments, as `key encryption list` prints it; `none` for nobody.
    #[arg(long, value_name = "KEY")]
    recipient: Option<String>,
    /// Id of a key that may sign the next policy; may be repeated. Those that sign this one, if nobody has said so before.
    #[arg(long = "signer", value_name = "ID")]
    signers: Vec<String>,
    /// How many of them it takes.
    #[arg(long)]
    needed: Option<usize>,
    /// The earlier policy that the collector may order devices back to. The policy before, otherwise.
    #[arg(long, value_name = "FILE")]
    fallback: Option<PathBuf>,
    /// Name no fallback.
    #[arg(long, conflicts_with = "fallback")]
    no_fallback: bool,
    /// A further root certificate that devices trust, PEM; may be repeated.
    #[arg(long = "root", value_name = "FILE")]
    roots: Vec<PathBuf>,
    /// Id of a collector's key that devices no longer talk to; may be repeated.
    #[arg(long = "deny-collector", value_name = "ID")]
    denied: Vec<String>,
    /// Sign although tests of the rules fail.
    #[arg(long)]
    untested: bool,
    /// Where to.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DiscloseArg {
    /// As the rules say.
    Rules,
    None,
    Masked,
    Context,
}

/// Adds a second person's signature to a policy.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  watchpost-collector policy cosign next.policy --key second.key")]
pub(super) struct CosignArgs {
    /// The policy; the signature is added to it.
    policy: PathBuf,
    /// A policy key; may be repeated.
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(super) fn sign(args: &SignArgs) -> anyhow::Result<()> {
    let files = args.packs.files()?;
    let (packs, _) = gather::compile(as_named(&files))?;
    if !args.untested {
        gather::test(&packs)?;
    }
    let keys = args.passphrase.keys(&args.keys)?;
    let (before, tenant) = args.before()?;
    let said = args.header(before.as_ref(), tenant, &keys)?;
    let policy = signed(said, &files, &keys)?;
    write(&args.out, &policy)?;
    tell(&policy, before.as_ref(), &args.out)
}

pub(super) fn cosign(args: &CosignArgs) -> anyhow::Result<()> {
    let mut policy = read_policy(&args.policy)?;
    for key in args.passphrase.keys(&args.keys)? {
        policy.sign(&key)?;
    }
    write(&args.policy, &policy)?;
    tell(&policy, None, &args.policy)
}

/// A policy of a header and files, signed.
pub(super) fn signed(said: PolicyHeader, files: &[File], keys: &[SoftwareKey]) -> anyhow::Result<Policy> {
    let role = |role| match role {
        Role::Pack => PolicyRole::Pack,
        Role::Filter => PolicyRole::Filter,
        Role::Named => PolicyRole::Named,
    };
    let files: Vec<_> = files.iter().map(|file| (role(file.role), file.name.clone(), file.bytes.clone())).collect();
    let mut policy = Policy::make(said, &files)
        .context("its files come to more than a policy may have, or its header is unsound")?;
    for key in keys {
        policy.sign(key)?;
    }
    Ok(policy)
}

fn write(path: &Path, policy: &Policy) -> anyhow::Result<()> {
    Ok(durable_file::write(path, &policy.encode(), Access::Public)?)
}

fn tell(policy: &Policy, before: Option<&Header>, path: &Path) -> anyhow::Result<()> {
    let header = &policy.header;
    let mut out = Output::new();
    out.row(&["policy", &format!("{} version {}", header.said.group, header.said.version)])?;
    out.row(&["digest", &header.digest.to_string()])?;
    out.row(&["files", &header.said.files.len().to_string()])?;
    let missing = header.signatures_missing();
    let by_before = before.is_none_or(|before| header.check_signed_by(&before.signers).is_ok() || missing > 0);
    let next = match (missing, by_before) {
        (0, true) => format!("已签名，可以发布 signed; publish it with policy publish {}", path.display()),
        (0, false) => "the keys of the policy before have to sign it as well: policy cosign".into(),
        (missing, _) => format!("还差 {missing} 个签名 {missing} more to sign: policy cosign {}", path.display()),
    };
    out.row(&[&next])?;
    out.finish()
}

impl SignArgs {
    /// The header this one follows, and the tenant.
    fn before(&self) -> anyhow::Result<(Option<Header>, String)> {
        let (before, told) = match (&self.after, &self.config) {
            (Some(after), _) => (Some(read_policy(after)?.header), None),
            (None, Some(config)) => {
                let config = Config::load(config)?;
                let log = LogReader::open(&config.log_db())?;
                let latest = log_store::latest(log.connection(), &self.group)?;
                (latest.map(|latest| latest.header), Some(config.tenant))
            }
            (None, None) => (None, None),
        };
        let known = before.as_ref().map(|before| before.said.tenant.clone()).or(told);
        let tenant = known
            .or_else(|| self.tenant.clone())
            .context("name the tenant with --tenant, or the collector with --config")?;
        if let Some(said) = self.tenant.as_ref().filter(|said| **said != tenant) {
            bail!("--tenant says {said:?}, and the policy before or the configuration {tenant:?}");
        }
        if let Some(before) = before.as_ref().filter(|before| before.said.group != self.group) {
            bail!("the policy before is for the group {:?}; name the same with --group", before.said.group);
        }
        Ok((before, tenant))
    }

    fn header(&self, before: Option<&Header>, tenant: String, keys: &[SoftwareKey]) -> anyhow::Result<PolicyHeader> {
        ensure!(is_word(&self.group) && !self.group.is_empty(), "--group is a word of at most 64 characters");
        let digest = before.map(|before| before.digest.to_vec()).unwrap_or_default();
        let last = before.map(|before| before.said.clone()).unwrap_or_default();
        let mut roots = last.roots;
        for root in &self.roots {
            roots.extend(crate::credentials::certificates(root)?.into_iter().map(|der| der.to_vec()));
        }
        let mut denied = last.collectors_denied;
        for id in &self.denied {
            denied.push(key_id(id)?.to_vec());
        }
        Ok(PolicyHeader {
            tenant,
            group: self.group.clone(),
            version: last.version + 1,
            fallback: self.fallback(&digest)?,
            previous: digest,
            keys: Some(self.next_signers(before, keys)?.write()),
            made_at_ms: now_ms(),
            note: self.note.clone(),
            settings: Some(self.settings(last.settings.unwrap_or_default())?),
            roots,
            collectors_denied: denied,
            ..PolicyHeader::default()
        })
    }

    fn fallback(&self, before: &[u8]) -> anyhow::Result<Vec<u8>> {
        match &self.fallback {
            _ if self.no_fallback => Ok(Vec::new()),
            Some(file) => Ok(read_policy(file)?.header.digest.to_vec()),
            None => Ok(before.to_vec()),
        }
    }

    fn next_signers(&self, before: Option<&Header>, keys: &[SoftwareKey]) -> anyhow::Result<Signers> {
        let named = self.signers.iter().map(|id| key_id(id)).collect::<anyhow::Result<BTreeSet<KeyId>>>()?;
        let ids = match before {
            _ if !named.is_empty() => named,
            Some(before) => before.signers.keys().clone(),
            None => keys.iter().map(|key| key.public().id()).collect(),
        };
        let needed = self.needed.or_else(|| before.map(|before| before.signers.needed())).unwrap_or(1);
        Signers::new(ids, needed).context("--needed is at least 1 and at most the number of signers")
    }

    fn settings(&self, last: PolicySettings) -> anyhow::Result<PolicySettings> {
        let recipient = match self.recipient.as_deref() {
            None => last.recipient,
            Some("none") => None,
            Some(text) => Some(recipient(text)?),
        };
        Ok(PolicySettings {
            disclose: self.disclose.map_or(last.disclose, |disclose| disclose as u32),
            report_unknown_accounts: self.report_unknown_accounts.unwrap_or(last.report_unknown_accounts),
            recipient,
        })
    }
}

fn recipient(text: &str) -> anyhow::Result<RecipientKey> {
    let read = Recipient::parse(text).map(|recipient| recipient.key());
    read.with_context(|| format!("{text:?} is not what key encryption list prints; copy it whole"))
}

fn key_id(text: &str) -> anyhow::Result<KeyId> {
    let id = Digest::from_hex(text).map(KeyId);
    id.with_context(|| format!("{text:?} is not the id of a key: 64 hexadecimal characters, as policy key prints them"))
}
