//! Windows against a definition so plain that it needs no test.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::engine::Hit;

const D: i64 = 100;

fn window(kind: Kind) -> Window {
    Window { kind, within_ms: D, by: vec![By::From] }
}

fn at(at_ms: i64, mid: u8) -> Contribution {
    Contribution { at_ms, mid: ShortMid([mid; 16]), key: 0, value: 0, text: String::new() }
}

fn count(at_least: i64) -> Window {
    window(Kind::Count { at_least })
}

fn reply() -> Window {
    window(Kind::Reply { calendar: None, closing: None })
}

/// Hits of the one word `abc`.
fn abc(text: &str, _: i64) -> Vec<Hit> {
    let hit = |start: usize| Hit {
        word: "abc".into(),
        word_index: 0,
        selection: "s".into(),
        field: JOINED_FIELD.into(),
        start: u32::try_from(start).unwrap(),
        end: u32::try_from(start + 3).unwrap(),
        channel: crate::matcher::Channel::Exact,
        obfuscated: false,
    };
    text.match_indices("abc").map(|(start, _)| hit(start)).collect()
}

fn judged(window: &Window, contributions: &BTreeSet<Contribution>, watermark_ms: i64) -> BTreeMap<i64, Held> {
    let sorted: Vec<Contribution> = contributions.iter().cloned().collect();
    judge(window, &sorted, i64::MIN..=i64::MAX, &mut Seen { watermark_ms, hits: &mut abc })
}

fn kept(window: &Window, contributions: impl IntoIterator<Item = Contribution>) -> BTreeSet<Contribution> {
    let mut buckets: BTreeMap<i64, BTreeSet<Contribution>> = BTreeMap::new();
    for contribution in contributions {
        buckets.entry(window.bucket(contribution.at_ms)).or_default().insert(contribution);
    }
    buckets.values_mut().for_each(|bucket| keep(window, bucket));
    buckets.into_values().flatten().collect()
}

/// What the definition says: by bucket the most that any interval from one of its contributions measures.
fn defined(window: &Window, all: &BTreeSet<Contribution>) -> BTreeMap<i64, i64> {
    let mut most = BTreeMap::new();
    for first in all {
        let inside = || all.iter().filter(|one| (first.at_ms..first.at_ms + D).contains(&one.at_ms));
        let (value, at_least) = match &window.kind {
            Kind::Count { at_least } => (inside().map(|one| one.mid).collect::<BTreeSet<_>>().len() as i64, *at_least),
            Kind::Distinct { at_least, .. } => {
                (inside().map(|one| one.key).collect::<BTreeSet<_>>().len() as i64, *at_least)
            }
            Kind::Sum { at_least } => (inside().map(|one| one.value).sum(), *at_least),
            Kind::All(names) => (inside().map(|one| one.key).collect::<BTreeSet<_>>().len() as i64, names.len() as i64),
            Kind::Join | Kind::Reply { .. } => unreachable!(),
        };
        if value >= at_least {
            let entry = most.entry(first.at_ms.div_euclid(D)).or_insert(value);
            *entry = value.max(*entry);
        }
    }
    most
}

/// By bucket whether a customer's message waits too long in it.
fn defined_waits(turns: &BTreeSet<Contribution>, watermark_ms: i64) -> BTreeSet<i64> {
    let turns: Vec<&Contribution> = turns.iter().collect();
    let too_long = |(number, ask): (usize, &&Contribution)| {
        let first = number == 0 || turns[number - 1].key == ANSWER;
        let end = turns[number..].iter().find(|turn| turn.key == ANSWER).map_or(watermark_ms, |turn| turn.at_ms);
        (ask.key == ASK && first && end - ask.at_ms > D).then(|| ask.at_ms.div_euclid(D))
    };
    turns.iter().enumerate().filter_map(too_long).collect()
}

#[test]
fn an_interval_may_reach_over_the_edge_of_its_bucket() {
    let burst = |times: [i64; 3]| judged(&count(3), &times.into_iter().zip(1..).map(|(t, m)| at(t, m)).collect(), 0);
    assert_eq!(burst([90, 95, 189]).keys().collect::<Vec<_>>(), [&0]);
    assert!(burst([90, 95, 190]).is_empty(), "the interval is half open");
    assert!(burst([-1, 50, 98]).contains_key(&-1), "a bucket before 1970 is one like any other");
    let held = &burst([90, 95, 189])[&0];
    assert_eq!((held.first_ms, held.last_ms, held.count, held.value), (90, 189, 3, 3));
    assert_eq!(held.members, [ShortMid([1; 16]), ShortMid([2; 16]), ShortMid([3; 16])]);
}

#[test]
fn a_long_burst_is_a_finding_in_each_of_its_buckets() {
    let all = (0..20_u8).map(|n| at(i64::from(n) * 20, n)).collect();
    let found = judged(&count(5), &all, 0);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn a_wait_pauses_outside_work_hours() {
    // Friday 2025-10-17 17:55 at +08:00: five minutes of work, then Monday 09:00.
    let friday = 1_760_694_900_000;
    let minute = 60_000;
    let calendar = Some(std::sync::Arc::new(crate::calendar::Calendar::cn()));
    let window = Window { kind: Kind::Reply { calendar, closing: None }, within_ms: 10 * minute, by: vec![By::Chat] };
    let monday = friday + 5 * minute + (2 * 24 + 15) * 60 * minute;
    let late = |answer: i64| {
        let turns = BTreeSet::from([at(friday, 1), Contribution { key: ANSWER, ..at(answer, 2) }]);
        !judged(&window, &turns, answer).is_empty()
    };
    assert!(!late(monday + 5 * minute));
    assert!(late(monday + 5 * minute + 1));
    assert_eq!(window.due_ms(friday), Some(monday + 5 * minute + 1));
    assert!(judged(&window, &BTreeSet::from([at(friday, 1)]), monday + 5 * minute).is_empty());
    let open = judged(&window, &BTreeSet::from([at(friday, 1)]), monday + 5 * minute + 1);
    let held = open.values().next().unwrap();
    assert_eq!((held.open, held.value, held.first_ms, held.last_ms), (true, 10 * minute, friday, friday));
}

#[test]
fn a_word_broken_over_messages_is_one_finding_where_it_begins() {
    let say = |texts: &[(i64, &str)]| {
        let pieces = texts.iter().zip(1..).map(|((t, text), m)| Contribution { text: (*text).into(), ..at(*t, m) });
        judged(&window(Kind::Join), &pieces.collect(), 0)
    };
    let found = say(&[(80, "x"), (90, "a"), (110, "b"), (120, "cd"), (130, "e")]);
    let held = &found[&0];
    assert_eq!((found.len(), held.first_ms, held.last_ms, held.count), (1, 90, 120, 3));
    assert_eq!(held.joined.as_ref().unwrap().text, "abcde");
    assert!(say(&[(0, "abc"), (1, "x")]).is_empty(), "what one message says is no broken word");
    assert!(say(&[(0, "ab"), (50, ""), (60, "c")]).is_empty(), "something stands between");
    assert!(say(&[(0, "ab"), (100, "c")]).is_empty(), "too late");
    assert!(say(&[(0, "ab"), (99, "c")]).contains_key(&0));
}

#[test]
fn telling_is_sparing() {
    let window = count(3);
    let held = |value: i64| Held { value, members: vec![ShortMid([1; 16])], ..Held::default() };
    let tell = |told: Option<&Told>, held: Option<&Held>, due| telling(&window, 7, told, held, due);
    let told = Told::of(&held(3)).unwrap();
    assert_eq!(tell(None, None, true), Telling::Nothing);
    assert_eq!(tell(None, Some(&held(3)), false), Telling::Tell);
    assert_eq!(tell(Some(&told), Some(&held(3)), true), Telling::Nothing);
    assert_eq!(tell(Some(&told), Some(&held(5)), false), Telling::Later(900));
    assert_eq!(tell(Some(&told), Some(&held(5)), true), Telling::Tell);
    assert_eq!(tell(Some(&told), Some(&held(6)), false), Telling::Tell);
    assert_eq!(tell(Some(&told), None, false), Telling::Withdraw);
    let withdrawn = Told { withdrawn: true, ..told };
    assert_eq!(tell(Some(&withdrawn), None, false), Telling::Nothing);
    assert_eq!(tell(Some(&withdrawn), Some(&held(3)), false), Telling::Tell);
}

#[test]
fn silence_is_told_when_it_is_due_and_answered_at_once() {
    let open = Held { open: true, value: D, members: vec![ShortMid([1; 16])], ..Held::default() };
    let tell = |told: Option<&Held>, held: Option<&Held>, due| {
        telling(&reply(), 0, told.and_then(Told::of).as_ref(), held, due)
    };
    assert_eq!(tell(None, Some(&open), false), Telling::Later(D + 1));
    assert_eq!(tell(None, Some(&open), true), Telling::Tell);
    let answered = Held { open: false, value: 9 * D, ..open.clone() };
    assert_eq!(tell(Some(&open), Some(&answered), false), Telling::Tell);
    assert_eq!(tell(Some(&open), None, false), Telling::Withdraw);
    let longer = Held { value: 90 * D, ..answered.clone() };
    assert!(matches!(tell(Some(&answered), Some(&longer), false), Telling::Later(_)), "a wait does not double");
}

fn contributions(max: usize) -> impl Strategy<Value = Vec<Contribution>> {
    // Few moments, messages and values, so that they meet.
    let one = (-3 * D..6 * D, 0_u8..40, 0_u64..6, 0_i64..50).prop_map(|(at_ms, mid, key, value)| Contribution {
        key,
        value,
        ..at(at_ms / 5 * 5, mid)
    });
    proptest::collection::vec(one, 0..max)
}

fn bursts() -> impl Strategy<Value = Window> {
    prop_oneof![
        (1_i64..8).prop_map(count),
        (1_i64..6).prop_map(|at_least| window(Kind::Distinct { what: Distinct::To, at_least })),
        (1_i64..200).prop_map(|at_least| window(Kind::Sum { at_least })),
        Just(window(Kind::All((0..6).collect()))),
    ]
}

proptest! {
    #[test]
    fn a_burst_is_what_the_definition_says(window in bursts(), all in contributions(60)) {
        let whole: BTreeSet<Contribution> = all.iter().cloned().collect();
        let found = judged(&window, &kept(&window, all), 0);
        let values: BTreeMap<i64, i64> = found.iter().map(|(bucket, held)| (*bucket, held.value)).collect();
        prop_assert_eq!(values, defined(&window, &whole));
        for held in found.values() {
            prop_assert!(whole.iter().any(|one| one.at_ms == held.first_ms && one.mid == held.members[0]));
            prop_assert!(held.last_ms < held.first_ms + D);
        }
    }

    #[test]
    fn a_wait_is_what_the_definition_says(all in contributions(40), watermark_ms in 0..9 * D) {
        let turns: BTreeSet<Contribution> =
            all.into_iter().map(|turn| Contribution { key: turn.key % 2, value: 0, ..turn }).collect();
        let found = judged(&reply(), &turns, watermark_ms);
        prop_assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), defined_waits(&turns, watermark_ms));
    }

    /// Forgetting on the way ends where forgetting at the end does, in whatever order and portions messages come.
    #[test]
    fn what_is_kept_depends_on_the_set_alone(
        window in bursts(),
        (all, shuffled) in contributions(60).prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        portion in 1_usize..20,
    ) {
        let mut state = BTreeSet::new();
        for some in shuffled.chunks(portion) {
            state = kept(&window, state.into_iter().chain(some.iter().cloned()));
        }
        prop_assert_eq!(state, kept(&window, all));
    }

    /// A bucket is judged the same from what decides it as from everything.
    #[test]
    fn the_neighbour_is_enough(window in bursts(), all in contributions(60), bucket in -3_i64..6) {
        let all = kept(&window, all);
        let near: Vec<Contribution> = all
            .range(at(window.start_ms(bucket), 0)..at(window.close_ms(bucket), 0))
            .cloned()
            .collect();
        let mut seen = Seen { watermark_ms: 0, hits: &mut abc };
        let found = judge(&window, &near, bucket..=bucket, &mut seen);
        let whole = judged(&window, &all, 0);
        prop_assert_eq!(found.get(&bucket), whole.get(&bucket));
    }
}

/// Two more places are for answers.
const KEPT_OF_QUESTIONS: usize = keep::KEPT_MAX - 2;

/// Whoever asks a thousand times and is answered was answered; whoever asks once more was not.
#[test]
fn a_flood_of_questions_hides_no_answer() {
    let turn = |at_ms: i64, key| Contribution { key, ..at(at_ms, at_ms as u8) };
    let flood: Vec<Contribution> = (0..5_000).map(|n| turn(n * D / 10_000, ASK)).collect();
    let answered = kept(&reply(), flood.iter().cloned().chain([turn(D / 2 + 1, ANSWER)]));
    assert!(answered.len() <= keep::KEPT_MAX);
    assert!(judged(&reply(), &answered, 9 * D).is_empty());
    let asked_again = kept(&reply(), flood.into_iter().chain([turn(D / 2 + 1, ANSWER), turn(D / 2 + 2, ASK)]));
    assert_eq!(judged(&reply(), &asked_again, 9 * D)[&0].first_ms, D / 2 + 2);
}

#[test]
fn what_is_kept_of_a_flood_is_bounded_and_still_holds() {
    let flood = |n: i64| Contribution { mid: ShortMid(u128::from(n as u64).to_be_bytes()), ..at(n % D, 0) };
    for (window, key) in [(count(500), 0), (window(Kind::Sum { at_least: 500 }), 0), (reply(), 0)] {
        let all = (0..5_000).map(|n| Contribution { key, value: 1, ..flood(n) });
        let left = kept(&window, all);
        let wanted = if matches!(window.kind, Kind::Reply { .. }) { KEPT_OF_QUESTIONS } else { keep::KEPT_MAX };
        assert_eq!(left.len(), wanted);
        assert!(judged(&window, &left, 9 * D).contains_key(&0));
    }
    let distinct = window(Kind::Distinct { what: Distinct::To, at_least: 500 });
    let left = kept(&distinct, (0..5_000).map(|n| Contribution { key: n as u64, ..flood(n) }));
    assert!(left.len() <= keep::KEPT_MAX && judged(&distinct, &left, 0).contains_key(&0));
}
