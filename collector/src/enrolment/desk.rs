//! What operators decide about enrolment: tokens, the list of expected assets, who of the queue is admitted.

use std::collections::BTreeSet;

use watchpost_proto::keys::KeyId;
use watchpost_proto::v1::{
    AuthorityEntry, EnrolmentEntry, EnrolmentVerb, EntryKind, ExpectedDevice, ExpectedEntry, TokenEntry, TokenTerms,
    TokenVerb,
};
use watchpost_proto::{Digest, Message as _};

use crate::log_store::{self, Appender, EnrolmentFacts, StoreError};

/// Devices in one entry of the list: an entry stays of a size that is quick to read.
const DEVICES_PER_ENTRY: usize = 1000;

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The log; the whole group must then be dropped.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was asked cannot be done; nothing was appended.
    #[error("{0}")]
    Told(String),
}

/// Who decides, why and when.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// Who.
    pub by: &'a str,
    /// Why.
    pub reason: &'a str,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

/// A name that fits into a list.
pub(crate) fn is_word(text: &str) -> bool {
    text.chars().count() <= 64 && !text.chars().any(char::is_control)
}

/// A token to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Digest of its credential.
    pub token: Digest,
    /// The policy group it enrols into.
    pub group: String,
    /// The site it enrols into.
    pub site: String,
    /// When it ends, milliseconds since 1970.
    pub expires_ms: i64,
    /// How often it may be used.
    pub uses_max: u32,
    /// Who gets a certificate at once.
    pub terms: TokenTerms,
}

/// Makes a token.
///
/// # Errors
/// The log.
pub fn create_token(appender: &mut Appender<'_>, new: &NewToken, act: &Act<'_>) -> Result<u64, DeskError> {
    let entry = TokenEntry {
        token: new.token.to_vec(),
        verb: TokenVerb::Create.into(),
        group: new.group.clone(),
        site: new.site.clone(),
        expires_ms: new.expires_ms,
        uses_max: new.uses_max,
        terms: new.terms.into(),
        by: act.by.into(),
        reason: act.reason.into(),
        at_ms: act.at_ms,
    };
    Ok(appender.append(EntryKind::Token, &entry.encode_to_vec())?)
}

/// Withdraws a token, named by its digest. `None` where it was withdrawn already.
///
/// # Errors
/// No such token, or the log.
pub fn revoke_token(appender: &mut Appender<'_>, token: &Digest, act: &Act<'_>) -> Result<Option<u64>, DeskError> {
    let facts = log_store::token_facts(appender.connection(), token)?;
    if facts.ok_or_else(|| DeskError::Told("there is no such token; see token list".into()))?.revoked {
        return Ok(None);
    }
    let entry = TokenEntry {
        token: token.to_vec(),
        verb: TokenVerb::Revoke.into(),
        by: act.by.into(),
        reason: act.reason.into(),
        at_ms: act.at_ms,
        ..TokenEntry::default()
    };
    Ok(Some(appender.append(EntryKind::Token, &entry.encode_to_vec())?))
}

/// Replaces the list of expected assets.
///
/// # Errors
/// The log.
pub fn expect(appender: &mut Appender<'_>, devices: &[ExpectedDevice], act: &Act<'_>) -> Result<Vec<u64>, DeskError> {
    let mut parts: Vec<&[ExpectedDevice]> = devices.chunks(DEVICES_PER_ENTRY).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let mut entries = Vec::new();
    for (number, part) in parts.into_iter().enumerate() {
        let entry = ExpectedEntry { begins: number == 0, devices: part.to_vec(), by: act.by.into(), at_ms: act.at_ms };
        entries.push(appender.append(EntryKind::Expected, &entry.encode_to_vec())?);
    }
    Ok(entries)
}

/// Notes that certificates of the authority, DER in hexadecimal, were put in place.
///
/// # Errors
/// What is not hexadecimal, or the log.
pub fn note_authority(appender: &mut Appender<'_>, certificates: &[String], act: &Act<'_>) -> Result<u64, DeskError> {
    let told = |_| DeskError::Told("a certificate is not hexadecimal".into());
    let entry = AuthorityEntry {
        certificates: certificates.iter().map(hex::decode).collect::<Result<_, _>>().map_err(told)?,
        by: act.by.into(),
        reason: act.reason.into(),
        at_ms: act.at_ms,
    };
    Ok(appender.append(EntryKind::Authority, &entry.encode_to_vec())?)
}

/// Admits or rejects keys of the queue, each named by the beginning of its id. A key that waits with several tokens is
/// decided for all of them. Deciding once more as before changes nothing.
///
/// # Errors
/// A name that fits none or several keys; then nothing is decided. Or the log.
pub fn decide(
    appender: &mut Appender<'_>,
    names: &[String],
    admit: bool,
    act: &Act<'_>,
) -> Result<Vec<u64>, DeskError> {
    let verb = if admit { EnrolmentVerb::Admitted } else { EnrolmentVerb::Rejected };
    let mut queue: Vec<(Digest, KeyId, EnrolmentFacts)> = Vec::new();
    log_store::waiting(appender.connection(), |token, key, facts| queue.push((token, key, facts)))?;
    let mut keys = BTreeSet::new();
    for name in names {
        keys.insert(named(&queue, name)?);
    }
    let mut entries = Vec::new();
    for (token, key, facts) in queue.iter().filter(|(_, key, facts)| keys.contains(key) && facts.step != verb) {
        let entry = EnrolmentEntry {
            verb: verb.into(),
            token: token.to_vec(),
            key_id: key.to_vec(),
            group: facts.group.clone(),
            site: facts.site.clone(),
            hostname: facts.hostname.clone(),
            asset: facts.asset.clone(),
            by: act.by.into(),
            reason: act.reason.into(),
            at_ms: act.at_ms,
            ..EnrolmentEntry::default()
        };
        entries.push(appender.append(EntryKind::Enrolment, &entry.encode_to_vec())?);
    }
    Ok(entries)
}

/// The one key of the queue whose id begins so.
fn named(queue: &[(Digest, KeyId, EnrolmentFacts)], name: &str) -> Result<KeyId, DeskError> {
    let name = name.to_ascii_lowercase();
    let fitting = queue.iter().map(|(_, key, _)| *key).filter(|key| key.0.to_string().starts_with(&name));
    let fitting: BTreeSet<KeyId> = fitting.collect();
    match (fitting.first(), fitting.len()) {
        (Some(key), 1) => Ok(*key),
        (None, _) => Err(DeskError::Told(format!("nobody of the queue has the code {name}; see device queue"))),
        _ => Err(DeskError::Told(format!("the code {name} fits several devices; write more of it"))),
    }
}
