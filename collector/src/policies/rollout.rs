//! When a ring is followed by the next, and when it halts itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;
use tracing::{info, warn};
use watchpost_proto::v1::PolicyVerb;
use watchpost_proto::{DeviceId, Digest};

use super::{change, place};
use crate::admin::Desk;
use crate::chain::BY_COLLECTOR;
use crate::derive::{self, DeriveError};
use crate::enrolment::desk::{Act, DeskError};
use crate::liveness::Liveness;
use crate::log_store::RolloutFacts;
use crate::registry::Registry;

/// How long a policy that everybody is offered is still watched.
const WATCHED_MS: i64 = 24 * 60 * 60 * 1000;
/// Messages of one device that count: as many as it tries.
const TRIED_MAX: u64 = 20_000;
/// Between two looks at what devices report.
const LOOK: Duration = Duration::from_secs(2);
/// So many devices must have it for one that refuses it.
const REFUSED_SHARE: u64 = 50;
/// Messages that must have been tried before a hit rate says anything.
const TRIED_MIN: u64 = 500;
/// A hit rate may become so many times what it was, and fall to such a part of it.
const JUMP: u64 = 3;
/// … and one in so many messages more on top: from nothing to a few is no jump.
const JUMP_FLOOR: u64 = 200;
/// Flagged messages that must have been there before their falling away says anything.
const FALL_MIN: u64 = 50;

/// What the devices of a ring have reported of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// Devices that have it in force.
    pub applied: u64,
    /// Devices that refuse it.
    pub refused: u64,
    /// Why the first of them does.
    pub reason: String,
    /// Messages it was tried on.
    pub tried: u64,
    /// Of these, flagged under the policy before.
    pub before: u64,
    /// And under this one.
    pub after: u64,
    /// Devices in the ring, and those of them that are connected and have not reported.
    pub devices: u64,
    /// See above.
    pub awaited: u64,
}

/// What follows from the reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing yet.
    Wait,
    /// The next ring.
    Advance,
    /// Nobody else gets it; why, in a sentence.
    Halt(String),
}

/// Decides about a rollout that is not halted.
#[must_use]
pub fn decide(rollout: &RolloutFacts, reports: &Reports, now_ms: i64) -> Next {
    let stood_ms = now_ms.saturating_sub(rollout.since_ms);
    if rollout.is_complete() && stood_ms > WATCHED_MS {
        return Next::Wait;
    }
    let Reports { applied, refused, tried, before, after, .. } = *reports;
    let reported = applied + refused;
    if refused > 0 && refused * REFUSED_SHARE >= applied {
        return Next::Halt(format!("{refused} of {reported} devices refuse it ({})", reports.reason));
    }
    let rate = |flagged: u64| format!("{:.2} %", flagged as f64 * 100.0 / tried.max(1) as f64);
    let told = || format!("on {tried} messages the hit rate goes from {} to {}", rate(before), rate(after));
    let jumps = after > before.saturating_mul(JUMP).saturating_add(tried / JUMP_FLOOR);
    let falls = before >= FALL_MIN && after.saturating_mul(JUMP) < before;
    if tried >= TRIED_MIN && (jumps || falls) {
        return Next::Halt(told());
    }
    let soaked = stood_ms >= i64::try_from(rollout.soak_ms).unwrap_or(i64::MAX);
    // A ring without devices has nothing to wait for; of others somebody must have it, and nobody who is there must lack it.
    let settled = reports.devices == 0 || (applied > 0 && reports.awaited == 0);
    if soaked && settled && !rollout.is_complete() { Next::Advance } else { Next::Wait }
}

/// Looks at what devices report until the collector stops.
pub async fn watch_over(
    desk: Arc<Desk>,
    registry: Arc<Registry>,
    liveness: Arc<Liveness>,
    mut stopping: watch::Receiver<bool>,
) {
    let rollouts = registry.rollouts();
    while tokio::time::timeout(LOOK, stopping.wait_for(|stop| *stop)).await.is_err() {
        let open: Vec<RolloutFacts> = rollouts.borrow().iter().filter(|it| !it.halted).cloned().collect();
        for rollout in open {
            let connected = liveness.connected();
            let (path, group, policy) = (desk.config.derived_db(), rollout.group.clone(), rollout.policy);
            let ring = rollout.rings.get(rollout.ring).copied().unwrap_or_default();
            let since_ms = rollout.since_ms;
            let read = tokio::task::spawn_blocking(move || {
                let db = derive::open_read_only(&path)?;
                Ok::<_, DeriveError>(reports(&db, &group, ring, &policy, &connected, since_ms)?)
            });
            let reports = match read.await {
                Ok(Ok(reports)) => reports,
                Ok(Err(error)) => {
                    warn!(%error, "what devices report of policies cannot be read");
                    continue;
                }
                Err(_) => continue,
            };
            match decide(&rollout, &reports, desk.clock.now_ms()) {
                Next::Wait => {}
                Next::Advance => act(&desk, &rollout, PolicyVerb::Advance, "the ring before has it in force").await,
                Next::Halt(reason) => {
                    warn!(group = rollout.group, version = rollout.version, reason, "a policy is halted");
                    act(&desk, &rollout, PolicyVerb::Halt, &reason).await;
                }
            }
        }
    }
}

async fn act(desk: &Desk, rollout: &RolloutFacts, verb: PolicyVerb, reason: &str) {
    let (seen, reason, at_ms) = (rollout.clone(), reason.to_owned(), desk.clock.now_ms());
    let done = desk.sequencer.run(move |appender, effects| {
        // Somebody may have decided meanwhile.
        let still = crate::log_store::rollouts(appender.connection())?.into_iter().any(|now| now == seen);
        if !still {
            return Ok(Vec::new());
        }
        let act = Act { by: BY_COLLECTOR, reason: &reason, at_ms };
        match change(appender, effects, &seen.group, verb, &act) {
            Err(DeskError::Store(error)) => Err(error),
            Err(DeskError::Told(_)) => Ok(Vec::new()),
            Ok(entries) => Ok(entries),
        }
    });
    if let Ok(entries) = done.await
        && !entries.is_empty()
    {
        info!(group = rollout.group, version = rollout.version, ?verb, "policy rollout");
    }
}

/// What the devices of a ring have reported of a policy. What speaks against it counts from a moment on: somebody may have
/// resumed it knowing the rest.
///
/// # Errors
/// The database.
pub fn reports(
    db: &Connection,
    group: &str,
    ring: u32,
    policy: &Digest,
    connected: &[DeviceId],
    since_ms: i64,
) -> rusqlite::Result<Reports> {
    let ring: HashSet<DeviceId> =
        devices_of(db, group)?.into_iter().filter(|device| place(group, device) < ring).collect();
    let mut reports = Reports { devices: ring.len() as u64, ..Reports::default() };
    let mut told: HashMap<DeviceId, bool> = HashMap::new();
    let mut select = db.prepare(
        "SELECT device.device, applied, policy_report.reason, tried, flagged_before, flagged_after, received_ms
         FROM policy_report JOIN device ON device.id = policy_report.device WHERE policy = ?1 AND revoked = 0 AND quarantined = 0",
    )?;
    let mut rows = select.query([&policy.0[..]])?;
    while let Some(row) = rows.next()? {
        let Some(device) = DeviceId::from_slice(&row.get::<_, Vec<u8>>(0)?) else { continue };
        if !ring.contains(&device) {
            continue;
        }
        let applied: bool = row.get(1)?;
        told.insert(device, applied);
        reports.applied += u64::from(applied);
        if row.get::<_, i64>(6)? < since_ms {
            continue;
        }
        reports.refused += u64::from(!applied);
        if !applied && reports.reason.is_empty() {
            reports.reason = row.get(2)?;
        }
        let count = |at: usize| row.get::<_, u64>(at).map(|count| count.min(TRIED_MAX));
        reports.tried += count(3)?;
        reports.before += count(4)?;
        reports.after += count(5)?;
    }
    let awaited = ring.iter().filter(|device| connected.contains(device) && !told.contains_key(device));
    reports.awaited = awaited.count() as u64;
    Ok(reports)
}

/// The devices of a group that are not shut out.
fn devices_of(db: &Connection, group: &str) -> rusqlite::Result<Vec<DeviceId>> {
    let mut select = db.prepare(
        "SELECT device.device, coalesce((SELECT grp FROM enrolment WHERE enrolment.device = device.device
                         ORDER BY at_ms DESC LIMIT 1), 'default')
         FROM device WHERE revoked = 0",
    )?;
    let rows = select.query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?)))?;
    let mut devices = Vec::new();
    for row in rows {
        let (device, its) = row?;
        if its == group {
            devices.extend(DeviceId::from_slice(&device));
        }
    }
    Ok(devices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_store::EVERYBODY;

    fn rollout(ring: usize) -> RolloutFacts {
        RolloutFacts {
            group: String::new(),
            policy: Digest([1; 32]),
            version: 1,
            base: None,
            fallback: None,
            rings: vec![500, EVERYBODY],
            soak_ms: 1000,
            fall_back: false,
            ring,
            halted: false,
            since_ms: 5000,
        }
    }

    #[test]
    fn a_ring_is_followed_by_the_next_when_it_has_stood_and_nobody_is_awaited() {
        let applied = Reports { applied: 2, devices: 3, ..Reports::default() };
        assert_eq!(decide(&rollout(0), &applied, 5999), Next::Wait);
        assert_eq!(decide(&rollout(0), &applied, 6000), Next::Advance);
        assert_eq!(decide(&rollout(1), &applied, 6000), Next::Wait);
        assert_eq!(decide(&rollout(0), &Reports { awaited: 1, ..applied.clone() }, 6000), Next::Wait);
        assert_eq!(decide(&rollout(0), &Reports { applied: 0, ..applied }, 6000), Next::Wait);
        assert_eq!(decide(&rollout(0), &Reports::default(), 6000), Next::Advance);
    }

    #[test]
    fn a_policy_that_everybody_has_had_for_a_day_is_left_alone() {
        let refused = Reports { applied: 1, refused: 1, devices: 2, ..Reports::default() };
        assert!(matches!(decide(&rollout(1), &refused, 5000 + WATCHED_MS), Next::Halt(_)));
        assert_eq!(decide(&rollout(1), &refused, 5001 + WATCHED_MS), Next::Wait);
        assert!(matches!(decide(&rollout(0), &refused, 5001 + WATCHED_MS), Next::Halt(_)));
    }

    #[test]
    fn a_ring_halts_on_refusals_and_on_a_hit_rate_that_jumps_or_falls() {
        let halts = |reports: Reports| matches!(decide(&rollout(0), &reports, 0), Next::Halt(_));
        let base = Reports { applied: 99, devices: 100, ..Reports::default() };
        assert!(halts(Reports { refused: 2, ..base.clone() }));
        assert!(!halts(Reports { refused: 1, ..base.clone() }));
        assert!(halts(Reports { applied: 0, refused: 1, ..base.clone() }));
        let rates = |tried, before, after| Reports { tried, before, after, ..base.clone() };
        assert!(halts(rates(1000, 2, 12)));
        assert!(!halts(rates(1000, 2, 11)));
        assert!(!halts(rates(499, 2, 400)));
        assert!(halts(rates(1000, 60, 19)));
        assert!(!halts(rates(1000, 60, 20)));
        assert!(!halts(rates(1000, 40, 0)));
    }
}
