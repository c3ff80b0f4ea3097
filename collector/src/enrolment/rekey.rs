//! After a guided re-key only the latest key of a device counts: an earlier image of it, wherever it runs, can neither
//! connect nor renew, and so cannot have its owner quarantined again.

use rusqlite::Connection;
use watchpost_proto::DeviceId;
use watchpost_proto::keys::KeyId;
use watchpost_proto::v1::DeviceVerb;

use crate::chain::{self, BY_COLLECTOR, Deed};
use crate::log_store::{self, Appender, StoreError};
use crate::registry::Effects;

/// The keys a device may come with, once it was told to come to a new one; `None` where any of its keys will do.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn accepted(db: &Connection, device: &DeviceId) -> Result<Option<Vec<KeyId>>, StoreError> {
    let Some(rekey) = log_store::rekey_facts(db, device)?.filter(|rekey| !rekey.resets) else { return Ok(None) };
    let Some(latest) = log_store::certificate_facts(db, device)?.filter(|_| rekey.leave.is_some()) else {
        return Ok(None);
    };
    // Until a new certificate was used its answer may have been lost, and the key before must be able to ask again.
    let before = latest.replaced.filter(|_| !latest.proved);
    Ok(Some([Some(latest.key_id), before].into_iter().flatten().collect()))
}

/// Whether the latest certificate of a device is the one it was told to leave.
///
/// # Errors
/// [`StoreError`].
pub(super) fn is_pending(db: &Connection, device: &DeviceId, latest: &KeyId) -> Result<bool, StoreError> {
    Ok(log_store::rekey_facts(db, device)?.is_some_and(|rekey| rekey.leave == Some(*latest)))
}

/// Whether an earlier key of a device that comes back is not held against it.
///
/// # Errors
/// [`StoreError`].
pub(super) fn resets(db: &Connection, device: &DeviceId) -> Result<bool, StoreError> {
    Ok(log_store::rekey_facts(db, device)?.is_some_and(|rekey| rekey.resets))
}

/// What streams must know once the group is durable: which keys of the device count now.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn tell(appender: &Appender<'_>, device: &DeviceId, effects: &mut Effects) -> Result<(), StoreError> {
    if log_store::rekey_facts(appender.connection(), device)?.is_some() {
        effects.accepted.push((*device, accepted(appender.connection(), device)?));
    }
    Ok(())
}

/// Whether a deed about keys has been done already.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn stands(db: &Connection, device: &DeviceId, verb: DeviceVerb) -> Result<bool, StoreError> {
    let rekey = log_store::rekey_facts(db, device)?;
    let latest = log_store::certificate_facts(db, device)?.map(|latest| latest.key_id);
    Ok(match verb {
        DeviceVerb::Rekey => rekey.is_some_and(|rekey| !rekey.resets && !rekey.told && rekey.leave == latest),
        DeviceVerb::Resets => rekey.is_some_and(|rekey| rekey.resets),
        DeviceVerb::ShutOut => rekey.is_none_or(|rekey| rekey.told),
        _ => false,
    })
}

/// The log learns once that a copy with an earlier key was shut out.
///
/// # Errors
/// [`StoreError`]; the whole group must then be dropped.
pub(crate) fn note_shut_out(
    appender: &mut Appender<'_>,
    device: DeviceId,
    address: &str,
    at_ms: i64,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    let reason = format!("a copy with an earlier key came from {address} and was shut out");
    let deed = Deed { device, verb: DeviceVerb::ShutOut, by: BY_COLLECTOR.into(), reason, at_ms };
    chain::act(appender, &deed, effects)?;
    Ok(())
}
