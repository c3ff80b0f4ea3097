//! What becomes of a verified segment or an action: the rules of the chains, inside the one writer.

use watchpost_proto::keys::PublicKey;
use watchpost_proto::refusal::Code;
use watchpost_proto::segment::{Head, Link, ReadStatement, link};
use watchpost_proto::v1::{DeviceAction, DeviceVerb, EntryKind, KeyCause, KeyEvent, Lane, Segment, SegmentEntry};
use watchpost_proto::{DeviceId, Message as _};

use crate::enrolment::rekey;
use crate::log_store::{self, Appender, DeviceFacts, LaneState, Place, StoreError};
use crate::registry::Effects;

/// Who the collector is when it acts by itself.
pub const BY_COLLECTOR: &str = "collector";

/// A segment whose signature, payload and records hold, under a key that belongs to the device.
#[derive(Debug)]
pub struct Verified {
    /// The statement as read.
    pub read: ReadStatement,
    /// The exact bytes of statement and signature, and the payload, plain.
    pub segment: Segment,
    /// When it arrived, milliseconds since 1970.
    pub received_at_ms: i64,
    /// The key, where the log has not introduced it yet.
    pub new_key: Option<NewKey>,
}

/// A device key with the valid chain it was seen with.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The key.
    pub key: PublicKey,
    /// DER certificates, leaf first.
    pub chain: Vec<Vec<u8>>,
}

/// What became of a segment.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The lane it was for.
    pub lane: Lane,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a segment. Nothing may be told to the agent before the commit.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is durable, now or since long: the lane's present head. Boxed, because every stream has room for answers.
    Durable(Box<LaneState>),
    /// Something before it is missing: what is expected in its epoch.
    Gap(Box<Head>),
    /// It was not taken, or only as evidence.
    Refused(Code),
}

/// Something done to a device, by an operator or by the collector itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// The device.
    pub device: DeviceId,
    /// What is done to it.
    pub verb: DeviceVerb,
    /// Who does it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

/// Takes a verified segment into the group under way.
///
/// # Errors
/// [`StoreError`]; the whole group must then be dropped.
pub fn take_segment(
    appender: &mut Appender<'_>,
    verified: &Verified,
    effects: &mut Effects,
) -> Result<Answer, StoreError> {
    let read = &verified.read;
    let answer = |verdict| Ok(Answer { lane: read.lane, verdict });
    let facts = log_store::device_facts(appender.connection(), &read.device)?;
    if facts.revoked {
        return answer(Verdict::Refused(Code::DeviceRevoked));
    }
    let held = log_store::lane_state(appender.connection(), &Place::of(read))?;
    let head = held.as_ref().map_or(Head::start(read.epoch), LaneState::head);
    match (link(&head, read), held) {
        (Link::Next, held) => {
            introduce_key(appender, verified, effects)?;
            let log_index = append_segment(appender, EntryKind::Segment, verified)?;
            let state = appender.advance(held.as_ref(), read, log_index, verified.received_at_ms)?;
            answer(Verdict::Durable(Box::new(state)))
        }
        (Link::Gap, _) => answer(Verdict::Gap(Box::new(head))),
        (Link::Past, Some(held)) if is_held(appender, &held, read)? => answer(Verdict::Durable(Box::new(held))),
        (Link::Past | Link::Fork, _) => {
            keep_fork(appender, verified, facts, effects)?;
            answer(Verdict::Refused(Code::Fork))
        }
    }
}

/// Records a deed and what follows from it. `None` where the device stands so already.
///
/// # Errors
/// [`StoreError`]; the whole group must then be dropped.
pub fn act(appender: &mut Appender<'_>, deed: &Deed, effects: &mut Effects) -> Result<Option<u64>, StoreError> {
    let before = log_store::device_facts(appender.connection(), &deed.device)?;
    let after = after(before, deed.verb);
    let stands = match deed.verb {
        DeviceVerb::Rekey | DeviceVerb::ShutOut | DeviceVerb::Resets => {
            rekey::stands(appender.connection(), &deed.device, deed.verb)?
        }
        _ => before == after,
    };
    if stands {
        return Ok(None);
    }
    let header = DeviceAction {
        device: deed.device.to_vec(),
        verb: deed.verb.into(),
        by: deed.by.clone(),
        reason: deed.reason.clone(),
        at_ms: deed.at_ms,
    };
    let log_index = appender.append(EntryKind::DeviceAction, &header.encode_to_vec())?;
    appender.note_device(&deed.device, after.quarantined, after.revoked)?;
    effects.devices.push((deed.device, after));
    rekey::tell(appender, &deed.device, effects)?;
    Ok(Some(log_index))
}

/// How a device stands after something was done to it.
pub fn after(before: DeviceFacts, verb: DeviceVerb) -> DeviceFacts {
    match verb {
        DeviceVerb::Revoke => DeviceFacts { revoked: true, ..before },
        DeviceVerb::Readmit => DeviceFacts { revoked: false, ..before },
        DeviceVerb::Quarantine => DeviceFacts { quarantined: true, ..before },
        DeviceVerb::Release => DeviceFacts { quarantined: false, ..before },
        DeviceVerb::Rekey | DeviceVerb::ShutOut | DeviceVerb::Resets | DeviceVerb::Unspecified => before,
    }
}

fn is_held(appender: &Appender<'_>, held: &LaneState, read: &ReadStatement) -> Result<bool, StoreError> {
    let stored = log_store::statement_at(appender.connection(), held.id, read.statement.sequence)?;
    match stored {
        Some(digest) => Ok(digest == read.digest),
        None => Err(StoreError::Damaged(format!(
            "the statement {} of a lane that is further is missing",
            read.statement.sequence
        ))),
    }
}

/// Every device key is in the log before its first segment.
fn introduce_key(appender: &mut Appender<'_>, verified: &Verified, effects: &mut Effects) -> Result<(), StoreError> {
    let Some(new) = &verified.new_key else { return Ok(()) };
    let read = &verified.read;
    if log_store::has_key(appender.connection(), &read.device, &read.key_id)? {
        return Ok(());
    }
    let header = KeyEvent {
        device: read.device.to_vec(),
        key_id: read.key_id.to_vec(),
        chain: new.chain.clone(),
        at_ms: verified.received_at_ms,
        cause: KeyCause::Unspecified.into(),
    };
    let log_index = appender.append(EntryKind::KeyEvent, &header.encode_to_vec())?;
    appender.note_key(&read.device, &read.key_id, new.key.spki(), log_index)?;
    effects.keys.push((read.device, new.key.clone()));
    // Of a device that was told to come to a new key this may be the one that counts from now on.
    rekey::tell(appender, &read.device, effects)
}

/// Both statements are kept; the device is held out of what people see until somebody has looked.
fn keep_fork(
    appender: &mut Appender<'_>,
    verified: &Verified,
    facts: DeviceFacts,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    let read = &verified.read;
    if log_store::is_kept_fork(appender.connection(), &read.digest)? {
        return Ok(());
    }
    introduce_key(appender, verified, effects)?;
    let log_index = append_segment(appender, EntryKind::Fork, verified)?;
    appender.note_fork(&read.digest, log_index)?;
    if facts.quarantined {
        return Ok(());
    }
    let reason = format!(
        "fork: two statements at sequence {} of lane {} in epoch {}",
        read.statement.sequence,
        lane_name(read.lane),
        read.epoch
    );
    let deed = Deed {
        device: read.device,
        verb: DeviceVerb::Quarantine,
        by: BY_COLLECTOR.into(),
        reason,
        at_ms: verified.received_at_ms,
    };
    act(appender, &deed, effects)?;
    Ok(())
}

fn append_segment(appender: &mut Appender<'_>, kind: EntryKind, verified: &Verified) -> Result<u64, StoreError> {
    let header = SegmentEntry {
        statement: verified.segment.statement.clone(),
        signature: verified.segment.signature.clone(),
        key_id: verified.read.key_id.to_vec(),
        received_at_ms: verified.received_at_ms,
    };
    let log_index = appender.append(kind, &header.encode_to_vec())?;
    appender.keep_payload(log_index, &verified.segment.payload)?;
    Ok(log_index)
}

/// The word for a lane.
pub fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Urgent => "urgent",
        Lane::Bulk => "bulk",
        Lane::Unspecified => "unspecified",
    }
}
