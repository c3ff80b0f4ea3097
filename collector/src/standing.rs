//! What Welcome answers to Hello: what is held of a device, and how the heads it shows stand to that.

use rusqlite::Connection;
use watchpost_proto::keys::KeyId;
use watchpost_proto::merkle::{Frontier, consistency_proof};
use watchpost_proto::note::Checkpoint;
use watchpost_proto::v1::{Lane, Standing};
use watchpost_proto::{DeviceId, Digest, EpochId};

use crate::enrolment;
use crate::log_store::{self, DeviceFacts, LaneState, Place, StoreError};

/// Where a device says it stands in one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownHead {
    /// The lane.
    pub lane: Lane,
    /// The device's present epoch.
    pub epoch: EpochId,
    /// The sequence it would use next.
    pub next: u64,
    /// Digest of the statement before; `None` at 0.
    pub digest: Option<Digest>,
}

/// What a device shows in Hello, well-formed.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The device.
    pub device: DeviceId,
    /// The key of the certificate it comes with.
    pub key: KeyId,
    /// At most one head per lane.
    pub lanes: Vec<ShownHead>,
    /// The last checkpoint it has seen, if it was signed by this log's key.
    pub checkpoint: ShownCheckpoint,
}

/// The checkpoint a device shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShownCheckpoint {
    /// None.
    Nothing,
    /// One signed by this log's key.
    Ours(Checkpoint),
    /// Anything else.
    Foreign,
}

/// One lane of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLane {
    /// The lane.
    pub lane: Lane,
    /// What is held of the device's latest epoch.
    pub held: Option<LaneState>,
    /// How the head shown stands to what is held.
    pub standing: Standing,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct View {
    /// How the device stands.
    pub facts: DeviceFacts,
    /// Both lanes.
    pub lanes: Vec<HeldLane>,
    /// Proof from the checkpoint shown to the present head; empty where nothing is to be proved.
    pub consistency: Vec<Digest>,
    /// The checkpoint shown is not one of this log, or the log does not lead to it.
    pub checkpoint_unknown: bool,
    /// Nothing is to be noted about the certificate the device comes with.
    pub certificate_settled: bool,
}

/// Looks everything up. `now` is the present head of the log.
///
/// # Errors
/// [`StoreError`].
pub fn view(db: &Connection, shown: &Shown, now: &Checkpoint) -> Result<View, StoreError> {
    let latest = log_store::latest_epoch(db, &shown.device)?;
    let lanes = [Lane::Urgent, Lane::Bulk]
        .into_iter()
        .map(|lane| {
            let head = shown.lanes.iter().find(|head| head.lane == lane);
            held_lane(db, &shown.device, lane, latest, head)
        })
        .collect::<Result<_, _>>()?;
    let proof = prove(db, &shown.checkpoint, now)?;
    Ok(View {
        facts: log_store::device_facts(db, &shown.device)?,
        certificate_settled: enrolment::is_settled(db, &shown.device, &shown.key)?,
        lanes,
        checkpoint_unknown: proof.is_none(),
        consistency: proof.unwrap_or_default(),
    })
}

fn held_lane(
    db: &Connection,
    device: &DeviceId,
    lane: Lane,
    latest: Option<EpochId>,
    shown: Option<&ShownHead>,
) -> Result<HeldLane, StoreError> {
    let state = |epoch| log_store::lane_state(db, &Place { device: *device, epoch, lane });
    let held = latest.map(state).transpose()?.flatten();
    let standing = match shown {
        None => Standing::Ahead,
        Some(shown) => match state(shown.epoch)? {
            None => Standing::Ahead,
            Some(own) => superseded(compare(db, shown, &own)?, latest == Some(shown.epoch)),
        },
    };
    Ok(HeldLane { lane, held, standing })
}

/// Compares the head shown with what is held of the same epoch.
fn compare(db: &Connection, shown: &ShownHead, held: &LaneState) -> Result<Standing, StoreError> {
    if shown.next > held.next {
        return Ok(Standing::Ahead);
    }
    let there = match shown.next.checked_sub(1) {
        None => None,
        Some(last) => log_store::statement_at(db, held.id, last)?,
    };
    Ok(match (there == shown.digest, shown.next == held.next) {
        (false, _) => Standing::Diverged,
        (true, true) => Standing::Level,
        (true, false) => Standing::Behind,
    })
}

/// A device that shows exactly what is held of an epoch it has since left does not remember the later one: it was
/// restored.
fn superseded(standing: Standing, is_latest: bool) -> Standing {
    if standing == Standing::Level && !is_latest { Standing::Behind } else { standing }
}

/// `None` where the present log does not contain the checkpoint.
fn prove(db: &Connection, shown: &ShownCheckpoint, now: &Checkpoint) -> Result<Option<Vec<Digest>>, StoreError> {
    let old = match shown {
        ShownCheckpoint::Nothing => return Ok(Some(Vec::new())),
        ShownCheckpoint::Foreign => return Ok(None),
        ShownCheckpoint::Ours(old) if old.size > now.size => return Ok(None),
        ShownCheckpoint::Ours(old) => old,
    };
    let mut node = |level, index| log_store::node(db, level, index);
    if Frontier::load(old.size, &mut node)?.root() != old.root {
        return Ok(None);
    }
    consistency_proof(old.size, now.size, &mut node)
}
