//! Hello and Welcome.

use watchpost_proto::keys::{PublicKey, SigningKey as _};
use watchpost_proto::limits::LANE_CREDIT;
use watchpost_proto::note;
use watchpost_proto::refusal::Code;
use watchpost_proto::segment::Head;
use watchpost_proto::v1::{Hello, Lane, LaneHead, LaneWelcome, Pace, Receipt, SignedReceipt, Welcome};
use watchpost_proto::{Digest, EpochId, InstanceId, Message as _, receipt};

use super::Shared;
use crate::log_store::Place;
use crate::peer::Peer;
use crate::sequencer::Viewed;
use crate::serving::Serving;
use crate::standing::{Shown, ShownCheckpoint, ShownHead, ShownReceipt, Shows};

/// The protocol spoken here.
pub(super) const PROTOCOL: u32 = 1;
/// Heads looked at in a Hello.
const LANES_MAX: usize = 8;
/// Receipts looked at in a Hello; an agent shows no more.
const RECEIPTS_MAX: usize = 64;

/// A Hello that makes sense and comes from whom it says.
pub(super) struct Greeted {
    pub(super) instance: InstanceId,
    pub(super) agent_version: String,
    pub(super) shown: Shown,
}

/// Checks a Hello against the connection it came on.
pub(super) fn read(hello: &Hello, peer: &Peer, shared: &Shared, now_ms: i64) -> Result<Greeted, Code> {
    if hello.protocol != PROTOCOL {
        return Err(Code::ProtocolUnsupported);
    }
    if hello.tenant != peer.tenant || hello.tenant != shared.tenant {
        return Err(Code::WrongTenant);
    }
    if hello.device != peer.device.0 {
        return Err(Code::WrongDevice);
    }
    peer.check_dates(now_ms)?;
    if shared.registry.device(&peer.device).revoked {
        return Err(Code::DeviceRevoked);
    }
    let instance = InstanceId::from_slice(&hello.instance).ok_or(Code::Malformed)?;
    if hello.lanes.len() > LANES_MAX {
        return Err(Code::Malformed);
    }
    let lanes = hello.lanes.iter().map(|head| shown_head(head).ok_or(Code::Malformed)).collect::<Result<_, _>>()?;
    let checkpoint = shown_checkpoint(&hello.checkpoint, shared);
    let own = shared.serving.borrow().credentials.key.public().clone();
    let receipts = hello.receipts.iter().take(RECEIPTS_MAX).filter_map(|signed| shown_receipt(signed, peer, &own));
    let shown = Shown { device: peer.device, key: peer.key_id, lanes, checkpoint, receipts: receipts.collect() };
    // Only for a log line: never longer than a version is, and without anything a terminal would obey.
    let agent_version = hello.agent_version.chars().filter(char::is_ascii_graphic).take(32).collect();
    Ok(Greeted { instance, agent_version, shown })
}

/// What Welcome says.
pub(super) fn compose(
    shared: &Shared,
    serving: &Serving,
    viewed: &Viewed,
    receipts: Vec<Option<SignedReceipt>>,
    nonce: [u8; 16],
    renew_now: bool,
    policy_offer: Vec<u8>,
) -> Welcome {
    let Viewed { view, published } = viewed;
    let lanes = view.lanes.iter().zip(receipts).map(|(lane, receipt)| LaneWelcome {
        held: Some(match &lane.held {
            Some(held) => lane_head(lane.lane, &held.head()),
            None => LaneHead { lane: lane.lane.into(), ..LaneHead::default() },
        }),
        standing: lane.standing.into(),
        receipt,
        credit: LANE_CREDIT,
    });
    Welcome {
        server_ms: shared.clock.now_ms(),
        nonce: nonce.to_vec(),
        log_id: shared.log.id.to_vec(),
        lanes: lanes.collect(),
        pace: Some(Pace::default()),
        checkpoint: published.note.clone(),
        consistency: view.consistency.iter().map(|digest| digest.to_vec()).collect(),
        checkpoint_unknown: view.checkpoint != Shows::Less,
        signer_chain: serving.credentials.chain_der(),
        log_key: Some(serving.log_key.clone()),
        policy_offer,
        roster_offer: shared.roster_offer(),
        roots: serving.credentials.roots_der(),
        links: serving.credentials.links_der(),
        renew_now,
        missing: view.missing.iter().map(|missing| lane_head(missing.place.lane, &missing.held)).collect(),
        earlier_logs: serving.earlier_logs.clone(),
    }
}

/// 16 random bytes that only a living process can echo.
pub(super) fn nonce() -> Result<[u8; 16], Code> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Code::StorageFailed)?;
    Ok(bytes)
}

fn shown_head(head: &LaneHead) -> Option<ShownHead> {
    let digest = Digest::from_slice(&head.head);
    // A head without statements has no digest, any other has one.
    let sound = digest.is_some() == (head.next_sequence > 0) && (digest.is_some() || head.head.is_empty());
    let lane = match head.lane() {
        Lane::Unspecified => return None,
        lane => lane,
    };
    sound.then_some(ShownHead { lane, epoch: EpochId::from_slice(&head.epoch)?, next: head.next_sequence, digest })
}

fn shown_checkpoint(text: &str, shared: &Shared) -> ShownCheckpoint {
    if text.is_empty() {
        return ShownCheckpoint::Nothing;
    }
    match note::open(text, &shared.log_public) {
        Some(checkpoint) if checkpoint.origin == shared.log.origin => ShownCheckpoint::Ours(checkpoint),
        _ => shown_of_past(text, shared).unwrap_or(ShownCheckpoint::Foreign),
    }
}

fn shown_of_past(text: &str, shared: &Shared) -> Option<ShownCheckpoint> {
    let origin = note::read_unverified(text)?.origin;
    let past = shared.past_logs.iter().find(|past| past.name.origin == origin)?;
    Some(ShownCheckpoint::Past(Box::new(past.clone()), note::open(text, &past.public)?))
}

/// A receipt for this device. Who has signed it matters only for what the log is told.
fn shown_receipt(signed: &SignedReceipt, peer: &Peer, own: &PublicKey) -> Option<ShownReceipt> {
    let receipt = Receipt::decode(&signed.receipt[..]).ok()?;
    let is_own = receipt::open_receipt(signed, own).is_some_and(|receipt| receipt.tenant == peer.tenant);
    let lane = match receipt.lane() {
        Lane::Unspecified => return None,
        lane => lane,
    };
    let place = Place { device: peer.device, epoch: EpochId::from_slice(&receipt.epoch)?, lane };
    (receipt.device == peer.device.0).then_some(ShownReceipt {
        place,
        through: receipt.through_sequence,
        digest: Digest::from_slice(&receipt.statement_digest)?,
        signed: is_own.then(|| signed.clone()),
    })
}

pub(super) fn lane_head(lane: Lane, head: &Head) -> LaneHead {
    LaneHead {
        lane: lane.into(),
        epoch: head.epoch.to_vec(),
        next_sequence: head.next,
        head: head.digest.map(|digest| digest.to_vec()).unwrap_or_default(),
    }
}
