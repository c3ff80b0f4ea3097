//! What Welcome answers to Hello: what is held of a device, and how the heads it shows stand to that.

use rusqlite::Connection;
use watchpost_proto::keys::KeyId;
use watchpost_proto::merkle::{Frontier, consistency_proof};
use watchpost_proto::note::Checkpoint;
use watchpost_proto::segment::Head;
use watchpost_proto::v1::{Lane, MissingRun, SignedReceipt, Standing};
use watchpost_proto::{DeviceId, Digest, EpochId};

use crate::enrolment;
use crate::log_store::{self, DeviceFacts, LaneState, PastLog, Place, StoreError};

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
    /// The receipts it has.
    pub receipts: Vec<ShownReceipt>,
}

/// A receipt that a device shows.
#[derive(Clone, Debug)]
pub struct ShownReceipt {
    /// Where its statement belongs.
    pub place: Place,
    /// Sequence of the statement.
    pub through: u64,
    /// Its digest.
    pub digest: Digest,
    /// The receipt, where this collector's key has signed it.
    pub signed: Option<SignedReceipt>,
}

/// What a device has a receipt for and is not held.
#[derive(Clone, Debug)]
pub struct Missing {
    /// The lane and epoch.
    pub place: Place,
    /// What is held of it.
    pub held: Head,
    /// What the log is to be told.
    pub note: Option<MissingRun>,
}

/// The checkpoint a device shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShownCheckpoint {
    /// None.
    Nothing,
    /// One signed by this log's key.
    Ours(Checkpoint),
    /// One signed by the key of an earlier log.
    Past(Box<PastLog>, Checkpoint),
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
    /// How the checkpoint shown stands to the log.
    pub checkpoint: Shows,
    /// What the device has receipts for and is not held.
    pub missing: Vec<Missing>,
    /// Nothing is to be noted about the certificate the device comes with.
    pub certificate_settled: bool,
}

/// How the checkpoint shown stands to what is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// This log, or the earlier one it is of, extends it.
    Less,
    /// It is signed by the key of this log, which does not extend it.
    More,
    /// It is signed by the key of an earlier log, which did not extend it.
    MoreOfEarlier,
    /// Neither this log's nor an earlier one's key has signed it.
    Foreign,
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
    let (checkpoint, proof) = prove(db, &shown.checkpoint, now)?;
    Ok(View {
        facts: log_store::device_facts(db, &shown.device)?,
        certificate_settled: enrolment::is_settled(db, &shown.device, &shown.key)?,
        lanes,
        checkpoint,
        missing: missing(db, &shown.receipts)?,
        consistency: proof,
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

/// Proof from the checkpoint shown to the head of its log.
fn prove(db: &Connection, shown: &ShownCheckpoint, now: &Checkpoint) -> Result<(Shows, Vec<Digest>), StoreError> {
    let ((log, head), old, more) = match shown {
        ShownCheckpoint::Nothing => return Ok((Shows::Less, Vec::new())),
        ShownCheckpoint::Foreign => return Ok((Shows::Foreign, Vec::new())),
        ShownCheckpoint::Ours(old) => ((log_store::present_number(db)?, now), old, Shows::More),
        ShownCheckpoint::Past(past, old) => ((past.number, &past.head), old, Shows::MoreOfEarlier),
    };
    let mut node = |level, index| log_store::node(db, log, level, index);
    if old.size > head.size || Frontier::load(old.size, &mut node)?.root() != old.root {
        return Ok((more, Vec::new()));
    }
    Ok(match consistency_proof(old.size, head.size, &mut node)? {
        Some(proof) => (Shows::Less, proof),
        None => (more, Vec::new()),
    })
}

fn missing(db: &Connection, receipts: &[ShownReceipt]) -> Result<Vec<Missing>, StoreError> {
    let mut found = Vec::new();
    for shown in receipts {
        let held = log_store::lane_state(db, &shown.place)?;
        let head = held.as_ref().map_or(Head::start(shown.place.epoch), LaneState::head);
        // What is held instead is told by the standing of the lane.
        if head.next > shown.through {
            continue;
        }
        let is_news = log_store::shortfall(db, &shown.place)?.is_none_or(|known| known < shown.through);
        let run = |signed: &SignedReceipt| MissingRun { receipt: Some(signed.clone()), from_sequence: head.next };
        let note = shown.signed.as_ref().filter(|_| is_news).map(run);
        found.push(Missing { place: shown.place, held: head, note });
    }
    Ok(found)
}
