//! Policies on their way to devices: published by whoever has signed them, offered ring by ring, halted by what devices report.
//!
//! The collector cannot make one: devices believe signatures by keys that are not here. What it decides is who is offered what, and
//! every such decision is an entry of the log.

pub mod difference;
pub mod gather;
pub mod handing;
pub mod history;
pub mod in_force;
pub mod rollout;

use rusqlite::Connection;
use watchpost_proto::digest::hash;
use watchpost_proto::policy::{Anchor, Highest, Policy};
use watchpost_proto::v1::{EntryKind, PolicyEntry, PolicyVerb, Rollout};
use watchpost_proto::{DeviceId, Digest, Message as _};

use crate::enrolment::desk::{Act, DeskError};
use crate::log_store::{self, Appender, EVERYBODY, Published, RINGS_MAX, RolloutFacts, StoreError};
use crate::registry::Effects;

/// Longest time that a ring stands before the next, seconds.
pub const SOAK_MAX_S: u64 = 90 * 24 * 3600;

/// Publishes a policy, to its first ring.
///
/// # Errors
/// It is not signed by whom the one before names, or does not follow it; or the log.
pub fn publish(
    appender: &mut Appender<'_>,
    effects: &mut Effects,
    policy: &Policy,
    rollout: &Rollout,
    act: &Act<'_>,
) -> Result<Vec<u64>, DeskError> {
    let header = &policy.header;
    let before = log_store::latest(appender.connection(), &header.said.group)?;
    if before.as_ref().is_some_and(|before| before.header.digest == header.digest) {
        return Ok(Vec::new());
    }
    check(appender.connection(), policy, before.as_ref())?;
    check_rings(&rollout.rings)?;
    if rollout.fall_back && header.said.fallback.is_empty() {
        return Err(told(
            "the policy names no fallback to go back to; sign it with --fallback, or publish it with --on-halt hold",
        ));
    }
    let entry = PolicyEntry {
        verb: PolicyVerb::Publish.into(),
        policy: header.digest.to_vec(),
        header: header.bytes.clone(),
        signatures: header.signatures.clone(),
        rollout: Some(rollout.clone()),
        ..said(act)
    };
    appender.keep_policy(policy)?;
    append(appender, effects, &entry)
}

/// Why a policy cannot be published now, whatever its rings; none where it can, and where it is already.
///
/// # Errors
/// The log.
pub fn why_refused(db: &Connection, policy: &Policy) -> Result<Option<String>, StoreError> {
    let before = log_store::latest(db, &policy.header.said.group)?;
    if before.as_ref().is_some_and(|before| before.header.digest == policy.header.digest) {
        return Ok(None);
    }
    match check(db, policy, before.as_ref()) {
        Ok(()) => Ok(None),
        Err(DeskError::Told(why)) => Ok(Some(why)),
        Err(DeskError::Store(error)) => Err(error),
    }
}

/// Whether it is signed by whom the one before names and follows it.
fn check(db: &Connection, policy: &Policy, before: Option<&Published>) -> Result<(), DeskError> {
    let header = &policy.header;
    let version = before.map_or(1, |before| before.header.said.version + 1);
    if header.said.version != version {
        return Err(told(format!(
            "the next version of this group is {version}, and this is {}; sign it with --after the last one (policy show)",
            header.said.version
        )));
    }
    let anchor = Anchor {
        // Whoever asks has compared it with the collector's own.
        tenant: header.said.tenant.clone(),
        group: header.said.group.clone(),
        // Nobody is pinned here: whom devices believe is between them and whoever signs.
        signers: before.map_or_else(|| header.signers.clone(), |before| before.header.signers.clone()),
        highest: before.map(|before| Highest::of(&before.header)),
    };
    anchor.accept(header).map_err(|error| told(error.to_string()))?;
    if let Some(fallback) = Digest::from_slice(&header.said.fallback)
        && log_store::policy(db, &fallback)?.is_none()
    {
        return Err(told("the fallback it names was never published here"));
    }
    let rollouts = log_store::rollouts(db)?;
    let halted = rollouts.iter().find(|rollout| rollout.group == header.said.group && rollout.halted);
    if halted.is_some_and(|halted| header.said.fallback == halted.policy.0) {
        return Err(told(
            "the fallback it names is the policy that was halted; sign it with --fallback and an earlier one, or --no-fallback",
        ));
    }
    Ok(())
}

/// Halts, resumes or advances the policy of a group. What stands so already makes no entry.
///
/// # Errors
/// There is none, or nothing to advance to; or the log.
pub fn change(
    appender: &mut Appender<'_>,
    effects: &mut Effects,
    group: &str,
    verb: PolicyVerb,
    act: &Act<'_>,
) -> Result<Vec<u64>, DeskError> {
    let rollouts = log_store::rollouts(appender.connection())?;
    let found = rollouts.iter().find(|rollout| rollout.group == group);
    let rollout = found.ok_or_else(|| told(format!("no policy was published for the group {group:?}")))?;
    let ring = match verb {
        PolicyVerb::Advance if rollout.halted => return Err(told("it is halted; see policy resume")),
        PolicyVerb::Advance if rollout.is_complete() => return Ok(Vec::new()),
        PolicyVerb::Advance => u32::try_from(rollout.ring + 1).unwrap_or(u32::MAX),
        PolicyVerb::Halt if rollout.halted => return Ok(Vec::new()),
        PolicyVerb::Resume if !rollout.halted => return Ok(Vec::new()),
        _ => 0,
    };
    let entry = PolicyEntry { verb: verb.into(), policy: rollout.policy.to_vec(), ring, ..said(act) };
    append(appender, effects, &entry)
}

fn append(appender: &mut Appender<'_>, effects: &mut Effects, entry: &PolicyEntry) -> Result<Vec<u64>, DeskError> {
    let entry = appender.append(EntryKind::Policy, &entry.encode_to_vec())?;
    effects.rollouts = Some(log_store::rollouts(appender.connection())?);
    Ok(vec![entry])
}

fn said(act: &Act<'_>) -> PolicyEntry {
    PolicyEntry { by: act.by.into(), reason: act.reason.into(), at_ms: act.at_ms, ..PolicyEntry::default() }
}

fn check_rings(rings: &[u32]) -> Result<(), DeskError> {
    let rises = rings.windows(2).all(|pair| pair[0] < pair[1]);
    let sound = (1..=RINGS_MAX).contains(&rings.len()) && rises && rings[0] > 0 && rings.last() == Some(&EVERYBODY);
    if sound { Ok(()) } else { Err(told("rings rise, and the last is 100%: --ring canary:5%,25%,100%")) }
}

/// Reads rings, in hundredths of a percent: `canary:5%,25%,100%`.
///
/// # Errors
/// A sentence that says what to write.
pub fn read_rings(text: &str) -> Result<Vec<u32>, String> {
    let wrong = || format!("{text:?} is not like canary:5%,25%,100%, with shares that rise to 100%");
    let mut shares = Vec::new();
    for ring in text.split(',') {
        let share = ring.rsplit_once(':').map_or(ring, |(_, share)| share).trim();
        let percent: f64 = share.strip_suffix('%').and_then(|number| number.trim().parse().ok()).ok_or_else(wrong)?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(wrong());
        }
        shares.push((percent * 100.0).round() as u32);
    }
    check_rings(&shares).map(|()| shares).map_err(|_| wrong())
}

fn told(sentence: impl Into<String>) -> DeskError {
    DeskError::Told(sentence.into())
}

/// Where a device stands in its group, in hundredths of a percent. The same for every policy: those that go first know it.
#[must_use]
pub fn place(group: &str, device: &DeviceId) -> u32 {
    let digest = hash("watchpost/ring", &[group.as_bytes(), &device.0]).0;
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % EVERYBODY
}

/// What a device should have in force, given what it says it has; `None` where it is offered nothing.
#[must_use]
pub fn offer(rollouts: &[RolloutFacts], group: &str, device: &DeviceId, has: &[u8]) -> Option<Digest> {
    let rollout = rollouts.iter().find(|rollout| rollout.group == group)?;
    let has_it = has == rollout.policy.0;
    if rollout.halted {
        return match (rollout.fallback, has_it) {
            (Some(fallback), true) if rollout.fall_back => Some(fallback),
            (_, true) => Some(rollout.policy),
            (fallback, false) => way_back(rollout, fallback, has),
        };
    }
    let in_ring = rollout.rings.get(rollout.ring).is_some_and(|ring| place(group, device) < *ring);
    if in_ring || has_it { Some(rollout.policy) } else { way_back(rollout, None, has) }
}

/// What everybody had before, but for a device that has gone back already.
fn way_back(rollout: &RolloutFacts, fallback: Option<Digest>, has: &[u8]) -> Option<Digest> {
    if rollout.fall_back && fallback.is_some_and(|fallback| fallback.0 == has) {
        return fallback;
    }
    rollout.base
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Digest = Digest([1; 32]);
    const NEW: Digest = Digest([2; 32]);

    fn rollout() -> RolloutFacts {
        RolloutFacts {
            group: "g".into(),
            policy: NEW,
            version: 2,
            base: Some(OLD),
            fallback: Some(OLD),
            rings: vec![500, 2500, EVERYBODY],
            soak_ms: 0,
            fall_back: true,
            ring: 0,
            halted: false,
            since_ms: 0,
        }
    }

    fn device(number: u32) -> DeviceId {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        DeviceId(id)
    }

    #[test]
    fn rings_rise_to_everybody_and_may_be_named() {
        assert_eq!(read_rings("canary:5%,25%,100%"), Ok(vec![500, 2500, 10_000]));
        assert_eq!(read_rings("0.5 %, rest:100%"), Ok(vec![50, 10_000]));
        for wrong in ["", "5%", "25%,5%,100%", "0%,100%", "5,100", "5%,101%", "NaN%,100%", "100%,100%"] {
            assert!(read_rings(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_ring_holds_its_share_and_those_before_it() {
        let rollouts = |ring| [RolloutFacts { ring, ..rollout() }];
        let offered = |ring: usize| -> Vec<u32> {
            (0..10_000).filter(|n| offer(&rollouts(ring), "g", &device(*n), &OLD.0) == Some(NEW)).collect()
        };
        let (first, second, last) = (offered(0), offered(1), offered(2));
        assert!((350..650).contains(&first.len()), "{}", first.len());
        assert!((2200..2800).contains(&second.len()), "{}", second.len());
        assert_eq!(last.len(), 10_000);
        assert!(first.iter().all(|device| second.contains(device)));
        assert_eq!(offer(&rollouts(2), "other", &device(1), &[]), None);
    }

    #[test]
    fn a_halt_stops_where_it_is_or_goes_back() {
        let everybody = RolloutFacts { ring: 2, halted: true, ..rollout() };
        let back = [everybody.clone()];
        assert_eq!(offer(&back, "g", &device(1), &NEW.0), Some(OLD));
        assert_eq!(offer(&back, "g", &device(1), &OLD.0), Some(OLD));
        let held = [RolloutFacts { fall_back: false, ..everybody }];
        assert_eq!(offer(&held, "g", &device(1), &NEW.0), Some(NEW));
        assert_eq!(offer(&held, "g", &device(1), &OLD.0), Some(OLD));
    }
}
