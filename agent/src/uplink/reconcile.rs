//! What Welcome means for this device: whom it trusts, whether both sides still tell the same story, and from where to
//! send.

use std::fmt;

use watchpost_proto::keys::PublicKey;
use watchpost_proto::note::{self, Checkpoint};
use watchpost_proto::v1::{EpochCause, Lane, LaneHead, LaneWelcome, LogKey, Receipt, Welcome};
use watchpost_proto::{DeviceId, Digest, EpochId, receipt};

use super::succession;
use crate::device::Device;
use crate::random;
use crate::seal::SERVER_TIME;
use crate::store::{LaneState, Store, StoreError, Tx};
use crate::summary::{self, MadeUnder};
use crate::unreadable;

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
    device: &Device,
    signer: &PublicKey,
    welcome: &Welcome,
    made: &MadeUnder,
) -> Result<Result<Agreed, Trouble>, StoreError> {
    store.transaction(|tx| {
        if let Err(trouble) = take_checkpoint(tx, &device.tenant, signer, welcome, made)? {
            return Ok(Err(trouble));
        }
        tx.put_seen(SERVER_TIME, &welcome.server_ms.to_be_bytes())?;
        let lost = lost_of_earlier_epochs(tx, welcome)?;
        if let Some(cause) = parted(tx, welcome, &lost)? {
            tracing::warn!(?cause, "this device and the collector remember differently; a new epoch begins");
            take_back_earlier(tx, &lost, made)?;
            take_back_receipts(tx, welcome, made)?;
            note_held_epochs(tx, welcome, made.at_ms)?;
            tx.open_epoch(EpochId(random::bytes()), cause, made.at_ms)?;
            unreadable::of_another_device(tx, device, made)?;
        } else {
            take_back_missing(tx, welcome)?;
            take_receipts(tx, signer, welcome, made.at_ms)?;
        }
        Ok(Ok(agree(tx.lanes()?, welcome)))
    })
}

/// Opens a new epoch because this device and the collector have used the same places differently.
pub(super) fn part_ways(store: &Store, device: &Device, made: &MadeUnder) -> Result<(), StoreError> {
    store.transaction(|tx| {
        tx.open_epoch(EpochId(random::bytes()), EpochCause::Diverged, made.at_ms)?;
        unreadable::of_another_device(tx, device, made)
    })
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
    made: &MadeUnder,
) -> Result<Result<(), Trouble>, StoreError> {
    let Some((key, shown)) = shown_checkpoint(tenant, signer, welcome) else {
        return Ok(Err(Trouble::Checkpoint));
    };
    let known_note = last_checkpoint(tx)?;
    if let Some(known) = note::read_unverified(&known_note)
        && let Some(change) = succession::judge(&known, &shown, tenant, signer, welcome)
    {
        // Both heads are kept and told: they are the evidence. The device goes on, for it must not be lost over this.
        change.tell(&known, &shown);
        tx.put_seen(PARTED_CHECKPOINT, known_note.as_bytes())?;
        tx.append(Lane::Urgent, &made.record(change.summary(&known_note, &welcome.checkpoint))?)?;
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

/// Why this chain cannot go on with this collector: it holds something that the device does not remember having sealed,
/// or lacks something that the device has not kept.
fn parted(tx: &Tx<'_>, welcome: &Welcome, lost: &[Lost]) -> Result<Option<EpochCause>, StoreError> {
    if !lost.is_empty() {
        return Ok(Some(EpochCause::Diverged));
    }
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
        let lost = tx.take_receipts_back(state.head.epoch, state.lane, next, state.head.next)?;
        tx.drop_receipts(state.head.epoch, state.lane)?;
        tell_lost(tx, next, lost, made)?;
    }
    Ok(())
}

fn tell_lost(tx: &Tx<'_>, from: u64, lost: u64, made: &MadeUnder) -> Result<(), StoreError> {
    if lost == 0 {
        return Ok(());
    }
    tx.append(Lane::Urgent, &made.record(summary::loss("receipted_not_kept", from, lost, "segments"))?)
}

/// A run of an earlier epoch that a restored collector has receipts for and does not hold.
struct Lost {
    epoch: EpochId,
    lane: Lane,
    /// The first sequence that is missing, and the first after the last receipted.
    from: u64,
    end: u64,
}

/// What of earlier epochs the collector has lost. Everything after it is lost with it, for a log loses its end: it is all
/// sealed again, in its order.
fn lost_of_earlier_epochs(tx: &Tx<'_>, welcome: &Welcome) -> Result<Vec<Lost>, StoreError> {
    let current: Vec<EpochId> = tx.lanes()?.iter().map(|state| state.head.epoch).collect();
    let mut found = Vec::new();
    for head in &welcome.missing {
        let Some(epoch) = EpochId::from_slice(&head.epoch).filter(|epoch| !current.contains(epoch)) else { continue };
        let through = tx.earlier_receipt(epoch, head.lane())?;
        let Some(through) = through.filter(|through| *through >= head.next_sequence) else { continue };
        found.push(Lost { epoch, lane: head.lane(), from: head.next_sequence, end: through + 1 });
    }
    Ok(found)
}

fn take_back_earlier(tx: &Tx<'_>, lost: &[Lost], made: &MadeUnder) -> Result<(), StoreError> {
    for run in lost {
        let gone = tx.take_receipts_back(run.epoch, run.lane, run.from, run.end)?;
        tx.drop_receipts(run.epoch, run.lane)?;
        tell_lost(tx, run.from, gone, made)?;
    }
    Ok(())
}

/// What a restored collector lost of the present epoch is sent again as it was sealed: it counts as not receipted.
fn take_back_missing(tx: &Tx<'_>, welcome: &Welcome) -> Result<(), StoreError> {
    for state in tx.lanes()? {
        let missing = welcome.missing.iter().find(|head| head.lane() == state.lane && head.epoch == state.head.epoch.0);
        if let Some(missing) = missing {
            tracing::warn!(lane = ?state.lane, from = missing.next_sequence, "the collector was restored; it is sent again");
            tx.take_receipts_back(state.head.epoch, state.lane, missing.next_sequence, state.head.next)?;
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
