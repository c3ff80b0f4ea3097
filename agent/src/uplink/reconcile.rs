//! What Welcome means for this device: whom it trusts, whether both sides still tell the same story, and from where to
//! send.

use std::fmt;

use watchpost_proto::keys::PublicKey;
use watchpost_proto::note::{self, Checkpoint};
use watchpost_proto::v1::{EpochCause, Lane, LaneHead, LaneWelcome, LogKey, Receipt, Welcome};
use watchpost_proto::{DeviceId, Digest, EpochId, merkle, receipt};

use crate::device::Device;
use crate::random;
use crate::seal::SERVER_TIME;
use crate::store::{LaneState, Store, StoreError, Tx};
use crate::summary::{self, MadeUnder};

/// Where the store keeps the last checkpoint, as its note.
const CHECKPOINT: &str = "checkpoint";
/// Where the store keeps the public key of the log that checkpoint is of.
const LOG_KEY: &str = "log_key";
/// Where the store keeps the checkpoint of a log that the collector's present log does not extend.
const PARTED_CHECKPOINT: &str = "parted_checkpoint";

/// Why the other side is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A message that makes no sense at this point.
    OutOfTurn,
    /// The signer of receipts is no collector of this tenant under the pinned root.
    Signer,
    /// The log key or checkpoint is not signed as it should be.
    Checkpoint,
    /// A receipt that is not signed by the signer, or not about this device's own statement.
    Receipt,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfTurn => "it sent a message out of turn",
            Self::Signer => "its receipts are not signed by a collector under the pinned root",
            Self::Checkpoint => "its checkpoint is not signed by its log",
            Self::Receipt => "it sent a receipt that is not for what this device sealed",
        })
    }
}

/// From where to send in which epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The epoch both sides go on in.
    pub epoch: EpochId,
    /// Per lane: next sequence to send, and how many may be under way.
    pub next: Vec<(Lane, u64, u64)>,
}

/// Acts on Welcome in one transaction: checks and keeps the checkpoint, takes receipts, and opens a new epoch if the
/// collector holds something this device does not remember.
pub fn reconcile(
    store: &Store,
    tenant: &str,
    signer: &PublicKey,
    welcome: &Welcome,
    made: &MadeUnder,
) -> Result<Result<Agreed, Trouble>, StoreError> {
    store.transaction(|tx| {
        if let Err(trouble) = take_checkpoint(tx, tenant, signer, welcome)? {
            return Ok(Err(trouble));
        }
        tx.put_seen(SERVER_TIME, &welcome.server_ms.to_be_bytes())?;
        if let Some(cause) = parted(tx, welcome)? {
            tracing::warn!(?cause, "the collector holds what this device does not remember; a new epoch begins");
            take_back_receipts(tx, welcome, made)?;
            note_held_epochs(tx, welcome, made.at_ms)?;
            tx.open_epoch(EpochId(random::bytes()), cause, made.at_ms)?;
        } else {
            take_receipts(tx, signer, welcome, made.at_ms)?;
        }
        Ok(Ok(agree(tx.lanes()?, welcome)))
    })
}

/// Opens a new epoch because this device and the collector have used the same places differently.
pub(super) fn part_ways(store: &Store, now_ms: i64) -> Result<(), StoreError> {
    store.transaction(|tx| tx.open_epoch(EpochId(random::bytes()), EpochCause::Diverged, now_ms))
}

/// The last checkpoint as its note; empty where there is none.
pub(super) fn last_checkpoint(tx: &Tx<'_>) -> Result<String, StoreError> {
    Ok(tx.seen(CHECKPOINT)?.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default())
}

/// Keeps a later checkpoint of the log already known; anything else in a receipt is passed over.
pub(super) fn remember_checkpoint(tx: &Tx<'_>, note: &str) -> Result<(), StoreError> {
    let Some(key) = tx.seen(LOG_KEY)?.and_then(|key| <[u8; 32]>::try_from(key).ok()) else { return Ok(()) };
    let Some(later) = note::open(note, &key) else { return Ok(()) };
    let known = note::read_unverified(&last_checkpoint(tx)?);
    if known.is_some_and(|known| known.origin == later.origin && known.size < later.size) {
        tx.put_seen(CHECKPOINT, note.as_bytes())?;
    }
    Ok(())
}

/// Epoch, lane and sequence of a receipt, if it is about this device.
pub(super) fn place(receipt: &Receipt, device: &Device) -> Option<(EpochId, Lane, u64)> {
    let own = receipt.tenant == device.tenant && DeviceId::from_slice(&receipt.device) == Some(device.id);
    let lane = Lane::try_from(receipt.lane).ok()?;
    own.then_some((EpochId::from_slice(&receipt.epoch)?, lane, receipt.through_sequence))
}

fn take_checkpoint(
    tx: &Tx<'_>,
    tenant: &str,
    signer: &PublicKey,
    welcome: &Welcome,
) -> Result<Result<(), Trouble>, StoreError> {
    let Some((key, shown)) = shown_checkpoint(tenant, signer, welcome) else {
        return Ok(Err(Trouble::Checkpoint));
    };
    let known_note = last_checkpoint(tx)?;
    if let Some(known) = note::read_unverified(&known_note)
        && !extends(&known, &shown, welcome)
    {
        // Both heads are kept: they are the evidence. The device goes on, for it must not be lost over this.
        tracing::error!(known = known.origin, shown = shown.origin, "the collector's log does not extend the one seen");
        tx.put_seen(PARTED_CHECKPOINT, known_note.as_bytes())?;
    }
    tx.put_seen(LOG_KEY, &key)?;
    tx.put_seen(CHECKPOINT, welcome.checkpoint.as_bytes())?;
    Ok(Ok(()))
}

/// The log's key and the checkpoint shown, if the one is introduced by the signer and signs the other.
fn shown_checkpoint(tenant: &str, signer: &PublicKey, welcome: &Welcome) -> Option<([u8; 32], Checkpoint)> {
    let log_key: LogKey = receipt::open_log_key(welcome.log_key.as_ref()?, signer)?;
    let key: [u8; 32] = log_key.ed25519.as_slice().try_into().ok()?;
    let shown = note::open(&welcome.checkpoint, &key)?;
    (log_key.tenant == tenant && log_key.origin == shown.origin && log_key.log_id == welcome.log_id)
        .then_some((key, shown))
}

fn extends(known: &Checkpoint, shown: &Checkpoint, welcome: &Welcome) -> bool {
    let proof: Option<Vec<Digest>> = welcome.consistency.iter().map(|hash| Digest::from_slice(hash)).collect();
    let Some(proof) = proof else { return false };
    known.origin == shown.origin && merkle::verify_consistency(known.size, &known.root, shown.size, &shown.root, &proof)
}

/// Why this chain cannot go on with this collector: it holds something that the device does not remember having sealed,
/// or lacks something that the device has not kept.
fn parted(tx: &Tx<'_>, welcome: &Welcome) -> Result<Option<EpochCause>, StoreError> {
    for state in tx.lanes()? {
        if is_foreign(tx, welcome, &state)? {
            return Ok(Some(EpochCause::Restored));
        }
        let held = held(welcome, state.lane).filter(|held| held.epoch == state.head.epoch.0);
        let next = held.map_or(0, |held| held.next_sequence);
        if next > state.head.next {
            return Ok(Some(EpochCause::Restored));
        }
        let own = match next.checked_sub(1) {
            Some(last) => tx.statement_digest(state.head.epoch, state.lane, last)?,
            None => None,
        };
        let same = held.is_none_or(|held| own.is_none() || own == Digest::from_slice(&held.head));
        let kept = next == state.head.next || tx.segment(state.head.epoch, state.lane, next)?.is_some();
        if !(same && kept) {
            return Ok(Some(EpochCause::Diverged));
        }
    }
    Ok(None)
}

/// Whether the collector holds an epoch of this lane that the device does not remember: its own future, before its disk
/// was restored.
fn is_foreign(tx: &Tx<'_>, welcome: &Welcome, state: &LaneState) -> Result<bool, StoreError> {
    let epoch = held(welcome, state.lane).and_then(|held| EpochId::from_slice(&held.epoch));
    match epoch {
        Some(epoch) if epoch != state.head.epoch => Ok(!tx.is_past_epoch(epoch)?),
        _ => Ok(false),
    }
}

/// What the collector holds of this device from elsewhere is known from now on, or each connection would begin another
/// epoch until something is durable in one.
fn note_held_epochs(tx: &Tx<'_>, welcome: &Welcome, now_ms: i64) -> Result<(), StoreError> {
    let held = welcome.lanes.iter().filter_map(|lane| lane.held.as_ref());
    held.filter_map(|held| EpochId::from_slice(&held.epoch)).try_for_each(|epoch| tx.note_past_epoch(epoch, now_ms))
}

/// A collector that resumes below what it had receipted lost it: what is kept here is sent again, and what is not is
/// recorded.
fn take_back_receipts(tx: &Tx<'_>, welcome: &Welcome, made: &MadeUnder) -> Result<(), StoreError> {
    for state in tx.lanes()? {
        let held = held(welcome, state.lane).filter(|held| held.epoch == state.head.epoch.0);
        let next = held.map_or(0, |held| held.next_sequence);
        if next >= state.head.next || is_foreign(tx, welcome, &state)? {
            continue;
        }
        let lost = tx.take_receipts_back(state.head.epoch, state.lane, next)?;
        if lost > 0 {
            let loss = summary::loss("receipted_not_kept", next, lost, "segments");
            tx.append(Lane::Urgent, &made.record(loss)?)?;
        }
    }
    Ok(())
}

/// Receipts in Welcome that are not for this device's own statements are passed over: it may have been restored.
fn take_receipts(tx: &Tx<'_>, signer: &PublicKey, welcome: &Welcome, now_ms: i64) -> Result<(), StoreError> {
    for signed in welcome.lanes.iter().filter_map(|lane| lane.receipt.as_ref()) {
        let Some(receipt) = receipt::open_receipt(signed, signer) else { continue };
        let (Some(epoch), Ok(lane), Some(digest)) = (
            EpochId::from_slice(&receipt.epoch),
            Lane::try_from(receipt.lane),
            Digest::from_slice(&receipt.statement_digest),
        ) else {
            continue;
        };
        tx.receipted((epoch, lane, receipt.through_sequence), digest, signed, now_ms)?;
    }
    Ok(())
}

fn agree(lanes: Vec<LaneState>, welcome: &Welcome) -> Agreed {
    let epoch = lanes.first().map_or(EpochId([0; 16]), |state| state.head.epoch);
    let next = lanes
        .iter()
        .map(|state| {
            let held = held(welcome, state.lane).filter(|held| held.epoch == epoch.0);
            (state.lane, held.map_or(0, |held| held.next_sequence), credit(welcome, state.lane))
        })
        .collect();
    Agreed { epoch, next }
}

fn lane_welcome(welcome: &Welcome, lane: Lane) -> Option<&LaneWelcome> {
    welcome.lanes.iter().find(|told| told.held.as_ref().is_some_and(|held| held.lane() == lane))
}

fn held(welcome: &Welcome, lane: Lane) -> Option<&LaneHead> {
    lane_welcome(welcome, lane)?.held.as_ref()
}

fn credit(welcome: &Welcome, lane: Lane) -> u64 {
    lane_welcome(welcome, lane).map_or(1, |told| u64::from(told.credit.max(1)))
}
