use std::collections::BTreeSet;

use proptest::prelude::*;
use watchpost_proto::v1::Level;

use super::*;

/// An alert of rule and person `n`.
pub(in crate::notify) fn alert(n: u8) -> AlertFacts {
    AlertFacts {
        pack: "pack".into(),
        rule: format!("rule-{n}"),
        person: format!("acme/user{n}"),
        level: Level::Critical as i32,
        in_work_time: true,
        ..AlertFacts::default()
    }
}

fn id(n: u8) -> Digest {
    Digest([n; 32])
}

fn opened(n: u8, at_ms: i64) -> Event {
    Event { tell: Tell { alert: id(n), what: What::Opened, mark: 100 + u64::from(n) }, at_ms }
}

fn told(events: &[Event], at_ms: i64) -> Vec<Told> {
    events.iter().map(|event| Told { tell: event.tell, at_ms }).collect()
}

fn route() -> Route {
    Route { group_wait_s: 30, group_interval_s: 300, ..Route::to("duty") }
}

/// Alerts 1, 2, …, each of a rule of its own, or all of rule 0.
fn alerts(count: u8, of_one_rule: bool) -> BTreeMap<Digest, AlertFacts> {
    (1..=count).map(|n| (id(n), alert(if of_one_rule { 0 } else { n }))).collect()
}

fn planned(
    route: &Route,
    pending: &[Event],
    alerts: &BTreeMap<Digest, AlertFacts>,
    told: &[Told],
    now_ms: i64,
) -> (Vec<Vec<u8>>, Option<i64>) {
    let plan = plan(&View { route, pending, alerts, told, now_ms });
    let numbers = |tells: &Vec<Tell>| tells.iter().map(|tell| tell.alert.0[0]).collect();
    (plan.messages.iter().map(numbers).collect(), plan.look_again_ms)
}

#[test]
fn the_first_of_a_group_waits_for_others_and_a_group_is_silent_after_a_message() {
    let (route, alerts) = (route(), alerts(3, true));
    let events = [opened(1, 1_000_000), opened(2, 1_020_000)];
    assert_eq!(planned(&route, &events, &alerts, &[], 1_029_999), (vec![], Some(1_030_000)));
    assert_eq!(planned(&route, &events, &alerts, &[], 1_030_000), (vec![vec![1, 2]], None));
    let before = told(&events, 1_030_000);
    let third = [opened(3, 1_040_000)];
    assert_eq!(planned(&route, &third, &alerts, &before, 1_329_999), (vec![], Some(1_330_000)));
    assert_eq!(planned(&route, &third, &alerts, &before, 1_330_000), (vec![vec![3]], None));
}

#[test]
fn groups_are_made_as_the_route_says() {
    let mut both = alerts(2, false);
    let events = [opened(2, 0), opened(1, 0)];
    let by = |group_by, alerts: &_| planned(&Route { group_by, ..route() }, &events, alerts, &[], 60_000).0;
    assert_eq!(by(GroupBy::Rule, &both), [vec![1], vec![2]]);
    assert_eq!(by(GroupBy::Route, &both), [vec![1, 2]]);
    assert_eq!(by(GroupBy::Person, &both), [vec![1], vec![2]]);
    both.values_mut().for_each(|alert| alert.person = "acme/one".into());
    assert_eq!(by(GroupBy::Person, &both), [vec![1, 2]]);
}

#[test]
fn what_needs_nobody_any_more_is_not_told_and_objections_are() {
    let mut alerts = alerts(2, true);
    alerts.get_mut(&id(1)).unwrap().closed = true;
    let appealed = Event { tell: Tell { what: What::Appealed, ..opened(1, 0).tell }, at_ms: 0 };
    let route = Route { events: [What::Opened, What::Appealed].into(), ..route() };
    assert_eq!(planned(&route, &[opened(1, 0), opened(2, 0)], &alerts, &[], 60_000).0, [vec![2]]);
    assert_eq!(planned(&route, &[appealed], &alerts, &[], 60_000).0, [vec![1]]);
    assert_eq!(planned(&route, &[opened(9, 0)], &alerts, &[], 60_000).0, Vec::<Vec<u8>>::new(), "cannot be seen");
}

#[test]
fn what_comes_at_the_wrong_time_waits_for_the_right_one() {
    let mut alerts = alerts(2, true);
    alerts.get_mut(&id(1)).unwrap().in_work_time = false;
    let events = [opened(1, 0), opened(2, 0)];
    let at = |when| planned(&Route { when, ..route() }, &events, &alerts, &[], 60_000).0;
    assert_eq!((at(When::Always), at(When::Work), at(When::Off)), (vec![vec![1, 2]], vec![vec![2]], vec![vec![1]]));
    let paused = Route { pause_until_ms: 60_001, ..route() };
    assert_eq!(planned(&paused, &events, &alerts, &[], 60_000), (vec![], Some(60_001)));
    assert_eq!(planned(&paused, &events, &alerts, &[], 60_001).0, [vec![1, 2]]);
}

#[test]
fn many_groups_at_once_come_in_one_message_and_then_not_for_a_while() {
    let alerts = alerts(30, false);
    let events: Vec<Event> = (1..=20).map(|n| opened(n, i64::from(n))).collect();
    let (messages, _) = planned(&route(), &events, &alerts, &[], 60_000);
    assert_eq!(messages, [(1..=20).collect::<Vec<u8>>()]);
    let more: Vec<Event> =
        (21..=30).chain(1..=1).map(|n| Event { tell: Tell { mark: 7, ..opened(n, 0).tell }, at_ms: 60_000 }).collect();
    let others: Vec<Event> = (2..=12).map(|n| opened(n + 12, 0)).collect();
    let before = told(&events[..1], 60_000);
    assert_eq!(planned(&route(), &others, &alerts, &before, 100_000), (vec![], Some(360_000)));
    assert_eq!(
        planned(&route(), &more, &alerts, &before, 100_000).0.len(),
        10,
        "the told group is silent, ten others are due"
    );
}

#[test]
fn what_nobody_takes_is_told_again_five_times() {
    let route = Route { repeat_s: 3600, ..route() };
    let mut alerts = alerts(2, true);
    let mut before = told(&[opened(1, 0), opened(2, 0)], 0);
    assert_eq!(planned(&route, &[], &alerts, &before, 3_599_999), (vec![], Some(3_600_000)));
    alerts.get_mut(&id(2)).unwrap().taken = true;
    for round in 1..=6 {
        let now_ms = round * 3_600_000;
        let plan = plan(&View { route: &route, pending: &[], alerts: &alerts, told: &before, now_ms });
        let expected = if round <= 5 {
            vec![vec![Tell { alert: id(1), what: What::Reminded, mark: round as u64 }]]
        } else {
            vec![]
        };
        assert_eq!(plan.messages, expected, "{round}");
        before.extend(plan.messages.iter().flatten().map(|tell| Told { tell: *tell, at_ms: now_ms }));
    }
    assert_eq!(planned(&Route { repeat_s: 0, ..route }, &[], &alerts, &before[..2], i64::MAX).0, Vec::<Vec<u8>>::new());
}

#[test]
fn many_reminders_at_once_come_in_one_message() {
    let route = Route { repeat_s: 3600, ..route() };
    let before = |count| told(&(1..=count).map(|n| opened(n, 0)).collect::<Vec<_>>(), 0);
    let alerts = alerts(20, false);
    assert_eq!(planned(&route, &[], &alerts, &before(10), 3_600_000).0.len(), 10);
    let [mut all] = <[_; 1]>::try_from(planned(&route, &[], &alerts, &before(11), 3_600_000).0).unwrap();
    all.sort_unstable();
    assert_eq!(all, (1..=11).collect::<Vec<u8>>());
}

#[test]
fn a_clock_that_was_ahead_silences_nothing() {
    let alerts = alerts(2, true);
    let before = told(&[opened(1, i64::MAX)], i64::MAX);
    let (messages, again) = planned(&route(), &[opened(2, i64::MAX)], &alerts, &before, 1_000_000);
    assert_eq!((messages, again), (vec![], Some(1_300_000)));
}

fn any_events() -> impl Strategy<Value = Vec<(Event, bool)>> {
    let event = (1_u8..40, 0_i64..2_000_000, any::<bool>(), prop_oneof![Just(What::Opened), Just(What::Reopened)])
        .prop_map(|(n, at_ms, seen, what)| (Event { tell: Tell { what, ..opened(n, 0).tell }, at_ms }, seen));
    proptest::collection::vec(event, 0..60)
}

/// Runs a route until nothing more is to be said; what was told, in the order of messages.
fn run(route: &Route, events: &[Event], alerts: &BTreeMap<Digest, AlertFacts>) -> Vec<(i64, Vec<Tell>)> {
    let (mut now_ms, mut before, mut messages) = (0, Vec::<Told>::new(), Vec::new());
    for _ in 0..10_000 {
        let known: BTreeSet<Tell> = before.iter().map(|told| told.tell).collect();
        let new = events.iter().filter(|event| event.at_ms <= now_ms && !known.contains(&event.tell));
        let mut new: Vec<Event> = new.copied().collect();
        new.sort_by_key(|event| (event.tell, event.at_ms));
        new.dedup_by_key(|event| event.tell);
        let plan = plan(&View { route, pending: &new, alerts, told: &before, now_ms });
        for tells in plan.messages {
            before.extend(tells.iter().map(|tell| Told { tell: *tell, at_ms: now_ms }));
            messages.push((now_ms, tells));
        }
        let next = events.iter().map(|event| event.at_ms).filter(|at| *at > now_ms).min();
        now_ms = match (plan.look_again_ms, next) {
            (None, None) => return messages,
            (again, next) => again.into_iter().chain(next).min().unwrap(),
        };
    }
    panic!("it never ends");
}

proptest! {
    #[test]
    fn everything_is_told_once_and_no_group_is_told_too_often(
        events in any_events(),
        of_one_rule in any::<bool>(),
        wait in 0_u64..120,
        interval in 1_u64..600,
    ) {
        let route = Route { group_wait_s: wait, group_interval_s: interval, ..route() };
        let events: Vec<Event> = events.into_iter().map(|(event, _)| event).collect();
        let alerts = alerts(39, of_one_rule);
        let messages = run(&route, &events, &alerts);
        let mut all: Vec<Tell> = messages.iter().flat_map(|(_, tells)| tells).copied().collect();
        all.sort();
        let expected: Vec<Tell> =
            events.iter().filter(|event| route.events.contains(&event.tell.what)).map(|event| event.tell).collect::<BTreeSet<_>>().into_iter().collect();
        prop_assert_eq!(all, expected);
        let mut last: BTreeMap<&str, i64> = BTreeMap::new();
        for (at_ms, tells) in &messages {
            let rules: BTreeSet<&str> = tells.iter().map(|tell| &*alerts[&tell.alert].rule).collect();
            for rule in rules {
                if let Some(before) = last.insert(rule, *at_ms) {
                    prop_assert!(at_ms - before >= millis(interval), "{rule} at {before} and {at_ms}");
                }
            }
        }
    }

    #[test]
    fn the_order_in_which_events_are_seen_changes_nothing(events in any_events(), now_ms in 0_i64..3_000_000) {
        let alerts = alerts(39, true);
        let (pending, before): (Vec<_>, Vec<_>) = events.into_iter().partition(|(_, seen)| *seen);
        let mut pending: Vec<Event> = pending.into_iter().map(|(event, _)| event).collect();
        let before: Vec<Told> = before.into_iter().map(|(event, _)| Told { tell: event.tell, at_ms: event.at_ms }).collect();
        let first = plan(&View { route: &route(), pending: &pending, alerts: &alerts, told: &before, now_ms });
        prop_assert!(first.look_again_ms.is_none_or(|again| again > now_ms), "never at once");
        pending.reverse();
        prop_assert_eq!(first, plan(&View { route: &route(), pending: &pending, alerts: &alerts, told: &before, now_ms }));
    }
}
