use std::collections::BTreeMap;

use watchpost_proto::v1::GoodbyeCause;

use super::*;

const NOW_MS: i64 = 1_795_132_800_000;
const DEVICE: &str = "11111111-1111-4111-8111-111111111111";

/// A device of which nothing is the matter.
fn facts() -> Facts {
    Facts {
        device: DEVICE.into(),
        revoked: false,
        first_entry_ms: Some(NOW_MS - 100 * DAY_MS),
        last_entry_ms: Some(NOW_MS - HOUR_MS),
        last_finding_ms: Some(NOW_MS - DAY_MS),
        check: Some(CheckOf {
            received_ms: NOW_MS - HOUR_MS,
            passed_ms: NOW_MS - HOUR_MS,
            passed_policy: "aa".into(),
            ..CheckOf::default()
        }),
        goodbye: None,
        starved: Vec::new(),
        enrols_as: None,
    }
}

fn device() -> LiveDevice {
    LiveDevice {
        connected: true,
        heard_ms: NOW_MS - 30_000,
        policy: "aa".into(),
        policy_since_ms: NOW_MS - 2 * DAY_MS,
        every_ms: 60_000,
        ..LiveDevice::default()
    }
}

fn live(device: LiveDevice) -> Live {
    let devices = BTreeMap::from([(DEVICE.to_owned(), device)]);
    Live { since_ms: NOW_MS - 30 * DAY_MS, written_ms: NOW_MS, devices }
}

/// What comes of a change, as words.
fn states(facts: &Facts, live: Option<&Live>) -> Vec<(&'static str, String)> {
    let health = judge(facts, live, NOW_MS, &Bounds::default());
    assert_eq!(Some(health.state), health.standings.first().map(|standing| standing.state));
    for standing in &health.standings {
        assert!(!standing.zh.is_empty() && !standing.en.is_empty());
    }
    health.standings.iter().map(|standing| (standing.state.as_str(), standing.reason.clone())).collect()
}

fn of_device(change: impl FnOnce(&mut LiveDevice)) -> Vec<(&'static str, String)> {
    let mut device = device();
    change(&mut device);
    states(&facts(), Some(&live(device)))
}

fn of_facts(change: impl FnOnce(&mut Facts)) -> Vec<(&'static str, String)> {
    let mut facts = facts();
    change(&mut facts);
    states(&facts, Some(&live(device())))
}

fn one(state: &'static str, reason: &str) -> Vec<(&'static str, String)> {
    vec![(state, reason.to_owned())]
}

#[test]
fn well_and_quiet_are_told_apart_by_findings() {
    assert_eq!(of_facts(|_| ()), one("well", "found"));
    assert_eq!(of_facts(|facts| facts.last_finding_ms = Some(NOW_MS - 8 * DAY_MS)), one("quiet", "nothing_found"));
    assert_eq!(of_facts(|facts| facts.last_finding_ms = None), one("quiet", "nothing_found"));
}

#[test]
fn silence_is_measured_by_the_devices_own_heartbeat() {
    let silent_since = |ms: i64, every_ms: u64| {
        let mut facts = facts();
        facts.last_entry_ms = Some(NOW_MS - 2 * HOUR_MS);
        let device = LiveDevice { heard_ms: NOW_MS - ms, every_ms, connected: false, ..device() };
        states(&facts, Some(&live(device))).remove(0).0
    };
    for (ms, every_ms, expected) in [
        (3 * MINUTE_MS, 60_000, "well"),
        (3 * MINUTE_MS + 1, 60_000, "offline"),
        (3 * MINUTE_MS + 1, 120_000, "well"),
        (5 * MINUTE_MS, 0, "well"),
        (5 * MINUTE_MS + 1, 0, "offline"),
        (4_000, 1_000, "well"),
        (6_000, 1_000, "offline"),
    ] {
        assert_eq!(silent_since(ms, every_ms), expected, "{ms} {every_ms}");
    }
}

#[test]
fn a_goodbye_says_why_at_once_and_only_while_the_device_is_away() {
    for (cause, reason) in [
        (GoodbyeCause::Stopped, "stopped"),
        (GoodbyeCause::Shutdown, "shutdown"),
        (GoodbyeCause::Uninstalled, "uninstalled"),
    ] {
        let said = Facts { goodbye: Some(GoodbyeOf { cause, at_ms: NOW_MS - 1000 }), ..facts() };
        let away = live(LiveDevice { connected: false, ..device() });
        assert_eq!(states(&said, Some(&away)), one("offline", reason));
        assert_eq!(states(&said, Some(&live(device()))), one("well", "found"), "it is back, and its word on the way");
    }
}

#[test]
fn a_collector_that_has_just_started_calls_nobody_offline() {
    let mut silent = live(LiveDevice { heard_ms: NOW_MS - DAY_MS, connected: false, ..device() });
    assert_eq!(states(&facts(), Some(&silent))[0].0, "offline");
    silent.since_ms = NOW_MS - 10_000;
    assert_eq!(states(&facts(), Some(&silent)), one("well", "found"));
    assert_eq!(states(&facts(), None), one("unknown", "no_server"));
    // A device of which only records are known is measured by them.
    let nobody = Live { since_ms: NOW_MS - DAY_MS, written_ms: NOW_MS, devices: BTreeMap::new() };
    assert_eq!(states(&facts(), Some(&nobody))[0].0, "offline");
}

#[test]
fn blind_is_who_is_heard_from_and_does_not_see() {
    let check = |change: fn(&mut CheckOf)| of_facts(|facts| facts.check.iter_mut().for_each(change));
    assert_eq!(check(|check| (check.failed, check.reason) = (true, "not_found".into())), one("blind", "not_found"));
    assert_eq!(check(|check| check.unreadable = 1), one("blind", "folder_unreadable"));
    assert_eq!(check(|check| check.passed_ms = NOW_MS - 25 * HOUR_MS), one("well", "found"));
    assert_eq!(check(|check| check.passed_ms = NOW_MS - 27 * HOUR_MS), one("blind", "unchecked"));
    assert_eq!(of_facts(|facts| facts.check = None), one("blind", "unchecked"), "an agent that makes none");
    let new = of_facts(|facts| (facts.check, facts.first_entry_ms) = (None, Some(NOW_MS - HOUR_MS)));
    assert_eq!(new, one("well", "found"), "it has a day for its first");
    // Of another policy a self-check says nothing, but the new one has a day.
    assert_eq!(of_device(|device| device.policy = "bb".into()), one("blind", "unchecked"));
    let fresh = |device: &mut LiveDevice| (device.policy, device.policy_since_ms) = ("bb".into(), NOW_MS - HOUR_MS);
    assert_eq!(of_device(fresh), one("well", "found"));
    // Who is away for days is offline and not blind.
    let mut away = facts();
    away.last_entry_ms = Some(NOW_MS - 3 * DAY_MS);
    away.check.iter_mut().for_each(|check| check.passed_ms = NOW_MS - 3 * DAY_MS - HOUR_MS);
    let silent = LiveDevice { connected: false, heard_ms: NOW_MS - 3 * DAY_MS, ..device() };
    assert_eq!(states(&away, Some(&live(silent))), one("offline", "no_goodbye"));
}

#[test]
fn behind_is_who_rests_or_lets_things_wait() {
    assert_eq!(of_device(|device| device.resting = "outbox_full".into()), one("behind", "outbox_full"));
    assert_eq!(of_device(|device| device.resting = "disk_full".into()), one("behind", "disk_full"));
    assert_eq!(of_device(|device| device.record_waits_ms = 15 * 60_000), one("well", "found"));
    assert_eq!(of_device(|device| device.record_waits_ms = 15 * 60_000 + 1), one("behind", "records_wait"));
    assert_eq!(of_device(|device| device.export_waits_ms = 16 * 60_000), one("behind", "exports_wait"));
    assert_eq!(of_device(|device| device.record_waits_ms = u64::MAX), one("behind", "records_wait"));
}

#[test]
fn a_device_may_be_several_and_the_worst_leads() {
    let mut facts = facts();
    facts.starved = vec![StarvedOf { corp: "ww1".into(), expected: "every 2h".into(), since_ms: NOW_MS - HOUR_MS }];
    facts.check.iter_mut().for_each(|check| check.failed = true);
    let device = LiveDevice { resting: "outbox_full".into(), ..device() };
    let all: Vec<_> = states(&facts, Some(&live(device.clone()))).into_iter().map(|(state, _)| state).collect();
    assert_eq!(all, ["blind", "starved", "behind"]);
    let silent = LiveDevice { heard_ms: NOW_MS - DAY_MS, connected: false, ..device };
    facts.last_entry_ms = Some(NOW_MS - DAY_MS);
    assert_eq!(states(&facts, Some(&live(silent)))[0].0, "offline");
}

#[test]
fn no_clock_makes_it_panic() {
    for ms in [i64::MIN, -1, 0, i64::MAX] {
        let facts = Facts {
            first_entry_ms: Some(ms),
            last_entry_ms: Some(ms),
            last_finding_ms: Some(ms),
            check: Some(CheckOf { received_ms: ms, passed_ms: ms, ..CheckOf::default() }),
            ..facts()
        };
        let live =
            Live { since_ms: ms, written_ms: ms, ..live(LiveDevice { heard_ms: ms, policy_since_ms: ms, ..device() }) };
        for now_ms in [i64::MIN, 0, NOW_MS, i64::MAX] {
            assert!(!judge(&facts, Some(&live), now_ms, &Bounds::default()).standings.is_empty());
        }
    }
}
