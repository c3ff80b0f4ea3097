//! A key that the collectors have lost. What was encrypted to it is refused whenever it is sent, and holds up everything
//! after it. It is let go of only where two agree: somebody trusted names another key by now, in a signed policy or in the
//! device's own file, and collectors have refused the very same segment for a day. A key that is merely not loaded yet
//! costs nothing.

use watchpost_proto::encryption::Recipient;
use watchpost_proto::keys::KeyId;
use watchpost_proto::segment::read_statement;
use watchpost_proto::v1::{EpochCause, Lane};
use watchpost_proto::{Digest, EpochId};

use crate::device::Device;
use crate::seal::last_server_time;
use crate::store::{Store, StoreError, Tx};
use crate::summary::MadeUnder;
use crate::{random, unreadable};

/// Where the store keeps what is refused for its key, and for how long it has been.
const REFUSED: &str = "recipient_refused";
/// How long a segment is refused before it is let go of, by the collectors' time.
const PATIENCE_MS: i64 = 24 * 60 * 60 * 1000;
/// Counts at most between two refusals: neither an absence nor a clock that jumps makes a day of two of them.
const STEP_MAX_MS: i64 = 60 * 60 * 1000;

/// Acts on a refusal for the key a segment was encrypted to; `sent` is up to where each lane was sent, the first lane
/// first. Returns whether a new epoch was opened without what nobody can open.
///
/// # Errors
/// The store's.
pub fn refused_for_its_key(
    store: &Store,
    device: &Device,
    made: &MadeUnder,
    epoch: EpochId,
    sent: &[(Lane, u64)],
) -> Result<bool, StoreError> {
    let Some(present) = device.recipient() else { return Ok(false) };
    store.transaction(|tx| {
        let Some((segment, key)) = refused_segment(tx, &present, epoch, sent)? else { return Ok(false) };
        let now_ms = last_server_time(tx)?;
        let before = tx.seen(REFUSED)?.and_then(|bytes| Refused::read(&bytes));
        let refused = match before.filter(|before| before.segment == segment) {
            Some(before) => before.again(now_ms),
            None => Refused { segment, last_ms: now_ms, for_ms: 0 },
        };
        tx.put_seen(REFUSED, &refused.bytes())?;
        if refused.for_ms < PATIENCE_MS {
            return Ok(false);
        }
        tx.open_epoch(EpochId(random::bytes()), EpochCause::Diverged, made.at_ms)?;
        unreadable::to_lost_key(tx, &key, made)?;
        unreadable::of_another_device(tx, device, made)?;
        Ok(true)
    })
}

/// The segment that a refusal is about, and the key it is encrypted to: the first of a lane without a receipt. One that was
/// taken has its receipt by the next connection, and so is never refused for a day.
fn refused_segment(
    tx: &Tx<'_>,
    present: &Recipient,
    epoch: EpochId,
    sent: &[(Lane, u64)],
) -> Result<Option<(Digest, KeyId)>, StoreError> {
    for (lane, end) in sent {
        let Some(statement) = tx.first_unreceipted(epoch, *lane, *end)? else { continue };
        let read = read_statement(&statement).map_err(|_| StoreError::Malformed("segment"))?;
        let key = KeyId::from_slice(&read.statement.encryption_key_id).filter(|key| *key != present.id());
        if let Some(key) = key {
            return Ok(Some((read.digest, key)));
        }
    }
    Ok(None)
}

/// A segment that is refused for its key.
struct Refused {
    /// Digest of its statement.
    segment: Digest,
    /// When it was refused last, and for how long it has been, by the collectors' time.
    last_ms: i64,
    for_ms: i64,
}

impl Refused {
    fn again(self, now_ms: i64) -> Self {
        let step = now_ms.saturating_sub(self.last_ms).clamp(0, STEP_MAX_MS);
        Self { last_ms: now_ms, for_ms: self.for_ms.saturating_add(step), ..self }
    }

    fn bytes(&self) -> Vec<u8> {
        [self.segment.as_ref(), &self.last_ms.to_be_bytes(), &self.for_ms.to_be_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (segment, times) = bytes.split_at_checked(32)?;
        let (last, long) = times.split_at_checked(8)?;
        Some(Self {
            segment: Digest::from_slice(segment)?,
            last_ms: i64::from_be_bytes(last.try_into().ok()?),
            for_ms: i64::from_be_bytes(long.try_into().ok()?),
        })
    }
}
