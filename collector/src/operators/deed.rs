//! What becomes of operators: each an entry of the log, refused by the writer itself where it must not be, so that two at
//! once cannot do together what neither may.

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use watchpost_proto::v1::{EntryKind, OperatorEntry, OperatorGrant, OperatorVerb, OwnAccounts};
use watchpost_proto::{Digest, Message as _};

use super::{Act as May, Grant, Role, find};
use crate::enrolment::desk::{Act, DeskError};
use crate::log_store::{self, Appender, OperatorFacts, aside};

/// Scopes of one supervisor, accounts of one operator.
const SCOPES_MAX: usize = 200;
const ACCOUNTS_MAX: usize = 16;
/// Characters of a login name.
const NAME_CHARS_MAX: usize = 32;
/// Characters of a department, a site, an account, the label of a token.
const WORD_CHARS_MAX: usize = 128;
/// Operators, and tokens of one that count.
const OPERATORS_MAX: u64 = 5_000;
const TOKENS_MAX: usize = 20;
/// Bytes of what is kept of a password or a seed.
const KEPT_BYTES_MAX: usize = 1024;
/// Bytes of what draws a sample.
const SEED_BYTES: usize = 32;

/// One step with one operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Deed {
    /// Let somebody set a password with a one-time secret.
    Invite {
        /// Login name.
        operator: String,
        /// What they may do.
        grant: Grant,
        /// Digest of the secret, hexadecimal.
        secret: String,
        /// When it ends, milliseconds since 1970.
        expires_ms: i64,
    },
    /// Change what somebody may do.
    Grant {
        /// Login name.
        operator: String,
        /// What they may do from now on.
        grant: Grant,
    },
    /// Keep somebody out.
    Disable {
        /// Login name.
        operator: String,
    },
    /// Let them in again.
    Enable {
        /// Login name.
        operator: String,
    },
    /// Take away password, one-time codes and tokens, and let them be set anew with a one-time secret.
    Reset {
        /// Login name.
        operator: String,
        /// Digest of the secret, hexadecimal.
        secret: String,
        /// When it ends, milliseconds since 1970.
        expires_ms: i64,
    },
    /// Set a password with a one-time secret.
    Accept {
        /// Login name.
        operator: String,
        /// Digest of the secret, hexadecimal.
        secret: String,
        /// What is kept of the password, hexadecimal.
        password: String,
        /// The seed of one-time codes, hexadecimal; empty without.
        totp: String,
    },
    /// Change one's own password.
    ChangePassword {
        /// Login name.
        operator: String,
        /// What is kept of it, hexadecimal.
        password: String,
    },
    /// Come in with one-time codes from now on.
    EnrolTotp {
        /// Login name.
        operator: String,
        /// The seed, hexadecimal.
        totp: String,
    },
    /// Make an API token.
    MakeToken {
        /// Whose.
        operator: String,
        /// Its digest, hexadecimal.
        token: String,
        /// What it is for.
        label: String,
        /// What it may do of what its owner may.
        scopes: Vec<May>,
        /// When it ends, milliseconds since 1970.
        expires_ms: i64,
    },
    /// Withdraw an API token.
    WithdrawToken {
        /// Its digest, hexadecimal.
        token: String,
    },
}

impl Deed {
    /// Whether something is erased by it that was kept beside the log.
    #[must_use]
    pub fn forgets(&self) -> bool {
        matches!(self, Self::Reset { .. } | Self::Accept { .. } | Self::ChangePassword { .. } | Self::EnrolTotp { .. })
    }
}

/// Does it in the group under way; returns the entries made. What would change nothing makes none.
///
/// # Errors
/// What cannot be, or the log.
pub fn perform(appender: &mut Appender<'_>, deed: &Deed, act: &Act<'_>) -> Result<Vec<u64>, DeskError> {
    perform_from(appender, deed, "", act)
}

/// The same, asked for from an address.
///
/// # Errors
/// As [`perform`].
pub fn perform_from(
    appender: &mut Appender<'_>,
    deed: &Deed,
    address: &str,
    act: &Act<'_>,
) -> Result<Vec<u64>, DeskError> {
    let entry = match deed {
        Deed::Invite { operator, grant, secret, expires_ms } => {
            let secret = digest(secret)?.to_vec();
            let entry = invite(appender.connection(), operator, grant, act)?;
            Some(OperatorEntry { secret, expires_ms: *expires_ms, ..entry })
        }
        Deed::Grant { operator, grant } => regrant(appender.connection(), operator, grant, act)?,
        Deed::Disable { operator } => disable(appender.connection(), operator, act)?,
        Deed::Enable { operator } => {
            let facts = others(appender.connection(), operator, act)?;
            facts.disabled.then(|| entry(OperatorVerb::Enabled, operator))
        }
        Deed::Reset { operator, secret, expires_ms } => {
            let facts = others(appender.connection(), operator, act)?;
            forget(appender.connection(), [facts.password, facts.totp])?;
            let entry = entry(OperatorVerb::Reset, operator);
            Some(OperatorEntry { secret: digest(secret)?.to_vec(), expires_ms: *expires_ms, ..entry })
        }
        Deed::Accept { operator, secret, password, totp } => {
            Some(accept(appender.connection(), operator, &digest(secret)?, password, totp, act)?)
        }
        Deed::ChangePassword { operator, password } => {
            let facts = present(appender.connection(), operator)?;
            forget(appender.connection(), [facts.password, None])?;
            let password = keep(appender.connection(), password)?;
            Some(OperatorEntry { password, ..entry(OperatorVerb::CredentialSet, operator) })
        }
        Deed::EnrolTotp { operator, totp } => {
            let facts = present(appender.connection(), operator)?;
            forget(appender.connection(), [None, facts.totp])?;
            let totp = keep(appender.connection(), totp)?;
            Some(OperatorEntry { totp, ..entry(OperatorVerb::TotpEnrolled, operator) })
        }
        Deed::MakeToken { operator, token, label, scopes, expires_ms } => {
            let entry = make_token(appender.connection(), operator, label, scopes, act)?;
            Some(OperatorEntry { token: digest(token)?.to_vec(), expires_ms: *expires_ms, ..entry })
        }
        Deed::WithdrawToken { token } => withdraw(appender.connection(), &digest(token)?)?,
    };
    let Some(entry) = entry else { return Ok(Vec::new()) };
    let (by, reason, address) = (act.by.into(), act.reason.into(), address.into());
    let entry = OperatorEntry { by, reason, address, at_ms: act.at_ms, ..entry };
    Ok(vec![appender.append(EntryKind::Operator, &entry.encode_to_vec())?])
}

/// Whether this can be a login name: what stands in the log as who did it.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    name.len() <= NAME_CHARS_MAX && name.chars().all(fits) && name.starts_with(|c: char| c.is_ascii_lowercase())
}

fn told(sentence: impl Into<String>) -> DeskError {
    DeskError::Told(sentence.into())
}

fn entry(verb: OperatorVerb, operator: &str) -> OperatorEntry {
    OperatorEntry { verb: verb.into(), operator: operator.to_owned(), ..OperatorEntry::default() }
}

fn invite(db: &Connection, operator: &str, grant: &Grant, act: &Act<'_>) -> Result<OperatorEntry, DeskError> {
    if !is_name(operator) || ["collector", "init", "unknown"].contains(&operator) {
        return Err(told(format!(
            "{operator:?} is not a login name: up to 32 of a-z, 0-9, . _ and -, beginning with a letter"
        )));
    }
    if log_store::operator_facts(db, operator)?.is_some() {
        return Err(told(format!("there is an operator {operator}; change what they may do, or reset their password")));
    }
    if log_store::operator_names(db)?.len() as u64 >= OPERATORS_MAX {
        return Err(told("there are 5000 operators; that is all this collector keeps"));
    }
    check(grant, act.at_ms)?;
    Ok(OperatorEntry { grant: Some(keep_grant(db, grant, &[])?), ..entry(OperatorVerb::Invited, operator) })
}

fn regrant(db: &Connection, operator: &str, grant: &Grant, act: &Act<'_>) -> Result<Option<OperatorEntry>, DeskError> {
    let facts = others(db, operator, act)?;
    check(grant, act.at_ms)?;
    if find(db, operator)?.is_some_and(|stands| stands.grant == *grant && !stands.is_unbound) {
        return Ok(None);
    }
    if grant.role != Role::Administrator {
        keep_an_administrator(db, &facts)?;
    }
    let grant = keep_grant(db, grant, &facts.grant.sample_seed)?;
    Ok(Some(OperatorEntry { grant: Some(grant), ..entry(OperatorVerb::Granted, operator) }))
}

fn disable(db: &Connection, operator: &str, act: &Act<'_>) -> Result<Option<OperatorEntry>, DeskError> {
    let facts = others(db, operator, act)?;
    if facts.disabled {
        return Ok(None);
    }
    keep_an_administrator(db, &facts)?;
    Ok(Some(entry(OperatorVerb::Disabled, operator)))
}

fn accept(
    db: &Connection,
    operator: &str,
    secret: &Digest,
    password: &str,
    totp: &str,
    act: &Act<'_>,
) -> Result<OperatorEntry, DeskError> {
    let refused = || told("this one-time secret is not valid, was used, or has ended; ask for a new one");
    let facts = log_store::operator_facts(db, operator)?.ok_or_else(refused)?;
    let is_open = facts.invitation.is_some_and(|(open, ends_ms)| open == *secret && act.at_ms < ends_ms);
    if !is_open || facts.disabled {
        return Err(refused());
    }
    let needs_totp = find(db, operator)?.is_some_and(|operator| operator.grant.role.needs_totp());
    if needs_totp && totp.is_empty() {
        return Err(told("an administrator comes in with one-time codes: set them together with the password"));
    }
    // Both are looked at before either is kept: nothing is left lying beside the log.
    let (password, totp) = (kept(password)?, if totp.is_empty() { None } else { Some(kept(totp)?) });
    forget(db, [facts.password, facts.totp.filter(|_| totp.is_some())])?;
    let totp = totp.map(|seed| aside::keep(db, &seed)).transpose()?.map(Digest::to_vec).unwrap_or_default();
    Ok(OperatorEntry {
        password: aside::keep(db, &password)?.to_vec(),
        totp,
        ..entry(OperatorVerb::CredentialSet, operator)
    })
}

fn make_token(
    db: &Connection,
    operator: &str,
    label: &str,
    scopes: &[May],
    act: &Act<'_>,
) -> Result<OperatorEntry, DeskError> {
    present(db, operator)?;
    if !is_word(label) || label.is_empty() {
        return Err(told("say in a few words what the token is for"));
    }
    if let Some(wrong) = scopes.iter().find(|scope| !scope.is_for_tokens()) {
        return Err(told(format!("a token is never given {}", wrong.as_str())));
    }
    if scopes.is_empty() || scopes.len() > May::ALL.len() {
        return Err(told("say what the token may do"));
    }
    let tokens = log_store::operator_tokens(db, Some(operator))?;
    if tokens.iter().filter(|token| !token.withdrawn && act.at_ms < token.expires_ms).count() >= TOKENS_MAX {
        return Err(told("there are 20 tokens of this operator; withdraw one first"));
    }
    let token_scopes = scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
    Ok(OperatorEntry { label: label.into(), token_scopes, ..entry(OperatorVerb::TokenMade, operator) })
}

fn withdraw(db: &Connection, token: &Digest) -> Result<Option<OperatorEntry>, DeskError> {
    let facts = log_store::operator_token(db, token)?.ok_or_else(|| told("there is no such token"))?;
    let entry = || OperatorEntry {
        token: token.to_vec(),
        label: facts.label.clone(),
        ..entry(OperatorVerb::TokenWithdrawn, &facts.operator)
    };
    Ok((!facts.withdrawn).then(entry))
}

/// An operator somebody else does something to: nobody grants anything to themselves, or changes how they stand.
fn others(db: &Connection, operator: &str, act: &Act<'_>) -> Result<OperatorFacts, DeskError> {
    if act.by == operator {
        return Err(told("nobody changes what they themselves may do; another administrator has to"));
    }
    log_store::operator_facts(db, operator)?
        .ok_or_else(|| told(format!("there is no operator {operator}; see operator list")))
}

/// One who has come in.
fn present(db: &Connection, operator: &str) -> Result<OperatorFacts, DeskError> {
    log_store::operator_facts(db, operator)?
        .filter(|facts| !facts.disabled && facts.password.is_some())
        .ok_or_else(|| told(format!("there is no operator {operator} with a password; see operator list")))
}

/// Whether somebody is left who can come in and invite others, when this one cannot.
fn keep_an_administrator(db: &Connection, without: &OperatorFacts) -> Result<(), DeskError> {
    let can = |facts: &OperatorFacts| {
        !facts.disabled && facts.password.is_some() && Role::of(facts.grant.role()) == Some(Role::Administrator)
    };
    if !can(without) {
        return Ok(());
    }
    for name in log_store::operator_names(db)?.iter().filter(|name| **name != without.name) {
        if log_store::operator_facts(db, name)?.is_some_and(|facts| can(&facts)) {
            return Ok(());
        }
    }
    Err(told(format!("{} is the last administrator with a password: invite another first", without.name)))
}

fn check(grant: &Grant, at_ms: i64) -> Result<(), DeskError> {
    let is_supervisor = grant.role == Role::Supervisor;
    if is_supervisor == grant.scopes.is_empty() {
        return Err(told("a supervisor has departments and sites, and nobody else has"));
    }
    if grant.scopes.len() > SCOPES_MAX || grant.accounts.len() > ACCOUNTS_MAX {
        return Err(told("at most 200 scopes and 16 accounts of their own"));
    }
    if let Some(scope) = grant.scopes.iter().find(|scope| !is_word(&scope.department) || !is_word(&scope.site)) {
        return Err(told(format!("{}/{} is not a department and a site", scope.department, scope.site)));
    }
    let is_account = |account: &&String| {
        let parts = account.split_once('/');
        is_word(account) && parts.is_some_and(|(corp, user)| !corp.is_empty() && !user.is_empty())
    };
    if let Some(wrong) = grant.accounts.iter().find(|account| !is_account(account)) {
        return Err(told(format!("{wrong:?} is not an account, corp/userid")));
    }
    match grant.sample {
        Some(_) if grant.role != Role::Auditor => Err(told("a sample of closed alerts is for auditors")),
        Some(sample) if !(1..=100).contains(&sample.per_cent) || sample.until_ms <= at_ms => {
            Err(told("a sample is 1 to 100 of a hundred closed alerts, until a moment that is to come"))
        }
        _ => Ok(()),
    }
}

fn is_word(text: &str) -> bool {
    text.chars().count() <= WORD_CHARS_MAX && !text.chars().any(char::is_control)
}

/// A grant as the log has it. A seed that is there stays: whoever grants again and again draws no other sample.
fn keep_grant(db: &Connection, grant: &Grant, seed: &[u8]) -> Result<OperatorGrant, DeskError> {
    let mut seed = seed.to_vec();
    if seed.is_empty() && grant.sample.is_some() {
        seed.resize(SEED_BYTES, 0);
        getrandom::fill(&mut seed).map_err(|_| told("there are no random numbers from the system; try again"))?;
    }
    let own = OwnAccounts { accounts: grant.accounts.clone() };
    let own = (!grant.accounts.is_empty()).then(|| aside::keep(db, &own.encode_to_vec())).transpose()?;
    Ok(grant.encode(own, seed))
}

/// Keeps what is secret beside the log; returns what names it.
fn keep(db: &Connection, hexadecimal: &str) -> Result<Vec<u8>, DeskError> {
    Ok(aside::keep(db, &kept(hexadecimal)?)?.to_vec())
}

/// Erases what no longer counts of a password and a seed: what is gone, nobody can try out.
fn forget(db: &Connection, replaced: [Option<Digest>; 2]) -> Result<(), DeskError> {
    for named in replaced.into_iter().flatten() {
        aside::erase(db, &named.0)?;
    }
    Ok(())
}

fn kept(hexadecimal: &str) -> Result<Vec<u8>, DeskError> {
    let bytes = hex::decode(hexadecimal).ok().filter(|bytes| (1..=KEPT_BYTES_MAX).contains(&bytes.len()));
    bytes.ok_or_else(|| told("what is to be kept of the password is not hexadecimal"))
}

fn digest(text: &str) -> Result<Digest, DeskError> {
    Digest::from_hex(text).ok_or_else(|| told(format!("{text:?} is not a digest")))
}
