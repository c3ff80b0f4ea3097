//! Making the string that lets devices enrol. The collector keeps only the digest of what is secret in it.

use anyhow::{Context as _, bail, ensure};
use rustls::pki_types::CertificateDer;
use watchpost_proto::digest::sha256;
use watchpost_proto::identity::{issuer_name, subject_name};
use watchpost_proto::keys::KeyId;
use watchpost_proto::token::{ADDRESSES_MAX, CREDENTIAL_BYTES, Token, credential_digest};

use super::desk::is_word;
use crate::admin::{Terms, What};
use crate::config::{Config, is_address};
use crate::credentials;
use crate::log_store::{self, LogReader};

/// A token that anybody may use at once does not last longer than this.
const OPEN_TTL_MAX_S: u64 = 7 * 24 * 3600;
/// No token lasts longer than this.
const TTL_MAX_S: u64 = 90 * 24 * 3600;
/// Most devices of one token.
pub const USES_MAX: u32 = 1_000_000;

/// What a token is to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The policy group devices enrol into.
    pub group: String,
    /// The site they enrol into; may be empty.
    pub site: String,
    /// How long it may be used, seconds.
    pub ttl_s: u64,
    /// How many devices may use it.
    pub uses: u32,
    /// Who gets a certificate at once.
    pub terms: Terms,
    /// Where devices are sent; where the configuration says, if empty.
    pub addresses: Vec<String>,
}

/// A token that is not in the log yet.
#[derive(Debug)]
pub struct Minted {
    /// What devices are given: a secret.
    pub text: String,
    /// Digest of its credential, hexadecimal.
    pub id: String,
    /// When it ends, milliseconds since 1970.
    pub expires_ms: i64,
    /// What notes it in the log; before that nobody can use it.
    pub what: What,
}

/// Makes a token.
///
/// # Errors
/// A sentence: what it cannot be, or what is missing for it.
pub fn mint(config: &Config, wanted: &Wanted, now_ms: i64) -> anyhow::Result<Minted> {
    ensure!(
        config.enrolment.authority.is_some(),
        "this collector issues no certificates: set [enrolment] authority in collector.toml"
    );
    ensure!(wanted.ttl_s <= TTL_MAX_S, "a token lasts at most 90 days");
    let is_open = wanted.terms == Terms::Open;
    ensure!(
        !is_open || wanted.ttl_s <= OPEN_TTL_MAX_S,
        "a token that anybody may use lasts at most 7 days; for longer, bind it to the list of expected assets (listed) or to approval"
    );
    ensure!(is_word(&wanted.group) && !wanted.group.is_empty(), "the group is a word of at most 64 characters");
    ensure!(is_word(&wanted.site), "the site is a word of at most 64 characters");
    ensure!((1..=USES_MAX).contains(&wanted.uses), "a token is used by 1 to {USES_MAX} devices");
    let mut credential = [0; CREDENTIAL_BYTES];
    getrandom::fill(&mut credential).context("no random numbers from the system")?;
    let roots = credentials::trusted(&config.root)?;
    let token = Token {
        tenant: config.tenant.clone(),
        addresses: addresses(wanted, config)?,
        root_pin: sha256(&[issuing_root(config, &roots)?]),
        credential,
        expires_ms: now_ms.saturating_add(i64::try_from(wanted.ttl_s)?.saturating_mul(1000)),
        policy_pin: policy_pin(config, &wanted.group)?,
        roster_pin: roster_pin(config)?,
    };
    let id = credential_digest(&credential).to_string();
    let what = What::CreateToken {
        token: id.clone(),
        group: wanted.group.clone(),
        site: wanted.site.clone(),
        expires_ms: token.expires_ms,
        uses_max: wanted.uses,
        terms: wanted.terms,
    };
    Ok(Minted { text: token.encode(), id, expires_ms: token.expires_ms, what })
}

/// Who signs the next roster, for devices that have seen none.
fn roster_pin(config: &Config) -> anyhow::Result<Option<KeyId>> {
    if !config.log_db().exists() {
        return Ok(None);
    }
    let log = LogReader::open(&config.log_db())?;
    let latest = log_store::latest_roster(log.connection())?;
    Ok(latest.map(|latest| latest.next.pin()))
}

/// Who signs the next policy of a group, for devices that have seen none.
fn policy_pin(config: &Config, group: &str) -> anyhow::Result<Option<KeyId>> {
    if !config.log_db().exists() {
        return Ok(None);
    }
    let log = LogReader::open(&config.log_db())?;
    let latest = log_store::latest(log.connection(), group)?;
    Ok(latest.map(|latest| latest.header.signers.pin()))
}

/// The root under which the collector's present certificate stands: a further one may be there already, and not in use yet.
fn issuing_root<'a>(config: &Config, roots: &'a [CertificateDer<'static>]) -> anyhow::Result<&'a [u8]> {
    let chain = credentials::certificates(&config.certificate)?;
    let issuer = chain.last().and_then(|intermediate| issuer_name(intermediate));
    let root = roots.iter().find(|root| issuer.is_some() && subject_name(root) == issuer);
    let root =
        root.with_context(|| format!("{} stands under no trusted root; see ca show", config.certificate.display()))?;
    Ok(root)
}

fn addresses(wanted: &Wanted, config: &Config) -> anyhow::Result<Vec<String>> {
    let configured = || match &config.enrolment.addresses[..] {
        [] if config.listen.ip().is_unspecified() => Vec::new(),
        [] => vec![config.listen.to_string()],
        addresses => addresses.to_vec(),
    };
    let addresses = if wanted.addresses.is_empty() { configured() } else { wanted.addresses.clone() };
    ensure!(
        (1..=ADDRESSES_MAX).contains(&addresses.len()),
        "say where devices reach this collector: HOST:PORT with the token (--address), or [enrolment] addresses in collector.toml (at most {ADDRESSES_MAX})"
    );
    if let Some(wrong) = addresses.iter().find(|address| !is_address(address)) {
        bail!("{wrong:?} is not like collector.example:7443");
    }
    Ok(addresses)
}
