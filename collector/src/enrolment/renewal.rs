//! Further certificates for a device that has one.
//!
//! Each renewal brings a new key, and the device connects with it: then the key before is replaced. Whoever comes with
//! a replaced key is a copy of an earlier state of the device, on another machine or after a restore. It is told from the
//! one case that looks alike and is sound: an answer that was lost, so that the new certificate was never used.

use watchpost_proto::DeviceId;
use watchpost_proto::Message as _;
use watchpost_proto::keys::PublicKey;
use watchpost_proto::refusal::Code;
use watchpost_proto::v1::{DeviceVerb, EnrolmentEntry, EnrolmentVerb, EntryKind, KeyCause};

use super::{Issuer, introduce, issue, rekey};
use crate::chain::{self, BY_COLLECTOR, Deed};
use crate::log_store::{self, Appender, CertificateFacts, StoreError};
use crate::registry::Effects;

/// Between two certificates of one device. An answer that was lost is given again at any time.
const PAUSE_MS: i64 = 60 * 60 * 1000;

/// What a device shows: the handshake has proved that it holds the key.
#[derive(Clone, Debug)]
pub struct Presented {
    /// The device.
    pub device: DeviceId,
    /// The key of its present certificate.
    pub key: PublicKey,
    /// That certificate has ended.
    pub expired: bool,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

/// How the key a device comes with stands to its latest certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is that certificate's, or none is known.
    Latest,
    /// A certificate was issued in its place, and never used.
    AnswerLost,
    /// A certificate in its place is in use.
    Replaced,
}

fn standing(facts: Option<&CertificateFacts>, presented: &Presented) -> Standing {
    match facts {
        None => Standing::Latest,
        Some(facts) if facts.key_id == presented.key.id() => Standing::Latest,
        Some(facts) if !facts.proved && facts.replaced == Some(presented.key.id()) => Standing::AnswerLost,
        Some(_) => Standing::Replaced,
    }
}

/// Gives a device a certificate for `key`, or the one it has for it already.
///
/// # Errors
/// [`StoreError`]; the whole group must then be dropped.
pub fn renew(
    appender: &mut Appender<'_>,
    issuer: &Issuer,
    presented: &Presented,
    key: &PublicKey,
    effects: &mut Effects,
) -> Result<Result<Vec<Vec<u8>>, Code>, StoreError> {
    let device = &presented.device;
    if log_store::device_facts(appender.connection(), device)?.revoked {
        return Ok(Err(Code::DeviceRevoked));
    }
    let facts = log_store::certificate_facts(appender.connection(), device)?;
    let latest = facts.map(|facts| log_store::key_event(appender.connection(), facts.log_index)).transpose()?;
    if is_shut_out(appender.connection(), presented)? {
        return Ok(Err(Code::KeyReplaced));
    }
    let resets = rekey::resets(appender.connection(), device)?;
    let pending = match &facts {
        Some(facts) => rekey::is_pending(appender.connection(), device, &facts.key_id)?,
        None => false,
    };
    // Issued after the backup this collector was restored from: nobody knows of another in its place.
    let is_known = log_store::has_key(appender.connection(), device, &presented.key.id())?;
    let mut standing = if is_known { standing(facts.as_ref(), presented) } else { Standing::Latest };
    // A device asks again with the key it asked with before; another key is another device's, or an earlier state's.
    if standing == Standing::AnswerLost && facts.is_some_and(|facts| facts.key_id != key.id()) {
        standing = Standing::Replaced;
    }
    if let (Some(event), Some(facts)) = (latest, facts) {
        let issued_ago = presented.at_ms.saturating_sub(event.at_ms);
        let young = (0..PAUSE_MS).contains(&issued_ago);
        if facts.key_id == key.id() && (standing == Standing::AnswerLost || young) {
            return Ok(Ok(event.chain));
        }
        // Told to come to a new key, or put back at each start, it cannot wait.
        if young && !pending && !resets {
            return Ok(Err(Code::Busy));
        }
    }
    // After a guided re-key only one gets the next certificate; another that asks beside it is a copy.
    let strict = rekey::accepted(appender.connection(), device)?.is_some();
    if standing == Standing::Replaced && strict && !pending {
        return Ok(Err(Code::KeyReplaced));
    }
    let held_against = standing == Standing::Replaced && !resets && !pending;
    let Some(chain) = issue(issuer, key, device, presented.at_ms) else { return Ok(Err(Code::EnrolmentClosed)) };
    let cause = match standing {
        _ if held_against => KeyCause::RenewedReplaced,
        _ if presented.expired => KeyCause::RenewedExpired,
        _ => KeyCause::Renewed,
    };
    if held_against {
        quarantine(appender, presented, effects)?;
    }
    introduce(appender, device, key, &chain, cause, presented.at_ms, effects)?;
    Ok(Ok(chain))
}

/// Takes note that a device has connected with a key. True where the device should renew at once, because its
/// certificate is a replaced one: it is quarantined until somebody has looked.
///
/// # Errors
/// [`StoreError`]; the whole group must then be dropped.
pub fn prove(appender: &mut Appender<'_>, presented: &Presented, effects: &mut Effects) -> Result<bool, StoreError> {
    let db = appender.connection();
    let Some(facts) = log_store::certificate_facts(db, &presented.device)? else { return Ok(false) };
    // A key the log does not know comes with a certificate that was issued elsewhere; its first segment introduces it.
    if !log_store::has_key(db, &presented.device, &presented.key.id())? {
        return Ok(false);
    }
    let pending = rekey::is_pending(db, &presented.device, &facts.key_id)?;
    let resets = rekey::resets(db, &presented.device)?;
    match standing(Some(&facts), presented) {
        Standing::Latest if facts.proved => Ok(pending),
        Standing::Latest => {
            let entry = EnrolmentEntry {
                verb: EnrolmentVerb::Proved.into(),
                device: presented.device.to_vec(),
                key_id: presented.key.id().to_vec(),
                by: BY_COLLECTOR.into(),
                at_ms: presented.at_ms,
                ..EnrolmentEntry::default()
            };
            appender.append(EntryKind::Enrolment, &entry.encode_to_vec())?;
            rekey::tell(appender, &presented.device, effects)?;
            Ok(pending)
        }
        Standing::AnswerLost => Ok(true),
        // Its certificate lasts as long as it lasts: what it is given it forgets.
        Standing::Replaced if resets => Ok(false),
        Standing::Replaced => {
            quarantine(appender, presented, effects)?;
            Ok(true)
        }
    }
}

/// Whether [`prove`] would have anything to do, without writing.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn is_settled(
    db: &rusqlite::Connection,
    device: &DeviceId,
    key: &watchpost_proto::keys::KeyId,
) -> Result<bool, StoreError> {
    let Some(facts) = log_store::certificate_facts(db, device)? else { return Ok(true) };
    Ok(facts.proved && facts.key_id == *key && !rekey::is_pending(db, device, key)?)
}

fn is_shut_out(db: &rusqlite::Connection, presented: &Presented) -> Result<bool, StoreError> {
    let key = presented.key.id();
    let accepted = rekey::accepted(db, &presented.device)?;
    Ok(accepted.is_some_and(|keys| !keys.contains(&key)) && log_store::has_key(db, &presented.device, &key)?)
}

/// Quarantines a device that comes with a replaced key.
///
/// # Errors
/// [`StoreError`]; the whole group must then be dropped.
pub(super) fn notice_replaced(
    appender: &mut Appender<'_>,
    presented: &Presented,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    let facts = log_store::certificate_facts(appender.connection(), &presented.device)?;
    if standing(facts.as_ref(), presented) == Standing::Replaced {
        quarantine(appender, presented, effects)
    } else {
        Ok(())
    }
}

fn quarantine(appender: &mut Appender<'_>, presented: &Presented, effects: &mut Effects) -> Result<(), StoreError> {
    let deed = Deed {
        device: presented.device,
        verb: DeviceVerb::Quarantine,
        by: BY_COLLECTOR.into(),
        reason: "a replaced certificate came back: a clone, or a restored disk".into(),
        at_ms: presented.at_ms,
    };
    chain::act(appender, &deed, effects)?;
    Ok(())
}
