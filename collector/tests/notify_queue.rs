//! What is told of alerts, where much has gathered, clocks are set anew, or the collector stood still.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

#[path = "notify/place.rs"]
mod place;
mod support;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use place::{Act, Place};
use support::offline::Log;
use support::{PATIENCE, finding};
use watchpost_collector::clock::now_ms;
use watchpost_collector::config::Config;
use watchpost_collector::derive::open_read_only;
use watchpost_collector::enrolment::desk::Act as By;
use watchpost_collector::log_store::{LogReader, LogStore};
use watchpost_collector::notify::events;
use watchpost_collector::notify::plan::Event;
use watchpost_collector::notify::queue::{self, Step};
use watchpost_collector::notify::target::{Limits, NotifyConfig, Target};
use watchpost_collector::notify::trouble::troubles;
use watchpost_collector::trail::{self, Filter};
use watchpost_collector::{server, settings};
use watchpost_policy::calendar::Day;
use watchpost_proto::Digest;
use watchpost_proto::v1::{Lane, Level, NotificationVerb, Summary, summary};

const HOUR: i64 = 3_600_000;

fn of_level(number: u64, level: Level) -> Summary {
    let mut summary = finding(number);
    if let Some(summary::Kind::Finding(finding)) = &mut summary.kind {
        finding.rule = format!("sample.rule-{number}");
        finding.level = level.into();
    }
    summary
}

fn overdue(log: &Log, level: Level, now_ms: i64) -> Vec<Event> {
    log.deriver().catch_up().unwrap();
    let db = open_read_only(&log.lab.config.derived_db()).unwrap();
    let mut all = Vec::new();
    let take = |over: Vec<Event>| {
        assert!(over.len() <= events::EVENTS_MAX);
        all.extend(over);
        Ok::<_, rusqlite::Error>(true)
    };
    events::overdue(&db, level as i32, (0, now_ms), take).unwrap();
    all
}

/// Monday, ten o'clock in China.
fn monday() -> i64 {
    Day::parse("2026-03-02").unwrap().start_ms() + 2 * HOUR
}

#[test]
fn thousands_that_are_late_hide_no_other() {
    let mut log = Log::new();
    let mut device = log.lab.device();
    let most = events::EVENTS_MAX as u64;
    let numbers: Vec<u64> = (1..=most + 1).collect();
    for some in numbers.chunks(1_000) {
        let summaries: Vec<Summary> = some.iter().map(|number| of_level(*number, Level::Low)).collect();
        let segment = device.seal(Lane::Urgent, &summaries);
        log.take_at(&device, segment, monday());
    }
    let grave = device.seal(Lane::Urgent, &[of_level(most + 2, Level::High)]);
    log.take_at(&device, grave, monday());
    let later = monday() + 240 * HOUR;
    let all = overdue(&log, Level::Info, later);
    let alerts: HashSet<Digest> = all.iter().map(|event| event.tell.alert).collect();
    assert_eq!(alerts.len() as u64, most + 2, "each of them, however often the first are read");
    assert_eq!(all.len(), alerts.len());
    let high = overdue(&log, Level::High, later);
    assert_eq!(high, all[..1], "the gravest first, and nothing a route does not want");
}

#[test]
fn a_time_that_has_run_out_is_the_same_whatever_calendars_say() {
    let mut log = Log::new();
    let mut device = log.lab.device();
    let segment = device.seal(Lane::Urgent, &[of_level(1, Level::High)]);
    log.take_at(&device, segment, monday());
    let of_taking = overdue(&log, Level::Info, monday() + HOUR);
    let set = |log: &mut Log, name: &str, value: &str| {
        let act = By { by: "li.na", reason: "", at_ms: monday() + HOUR };
        log.operate(|appender| settings::set(appender, name, value, &act)).unwrap();
    };
    set(&mut log, "response", r#"{"high": {"take": "30m", "close": "2h"}}"#);
    let again = overdue(&log, Level::Info, monday() + HOUR);
    assert_ne!(of_taking[0].at_ms, again[0].at_ms);
    assert_eq!(of_taking[0].tell, again[0].tell, "told once");
    assert!(events::further(&of_taking[0].tell).is_some());

    let of_closing = overdue(&log, Level::Info, monday() + 3 * HOUR);
    assert_ne!(of_closing[0].tell, of_taking[0].tell, "another clock");
    // Whoever was told that it was not dealt with in time is not told afterwards that nobody has taken it.
    assert_eq!(events::further(&of_taking[0].tell), Some(of_closing[0].tell));
    assert_eq!(events::further(&of_closing[0].tell), None);
    set(&mut log, "response", r#"{"high": {"take": "20m", "close": "1h"}}"#);
    assert_eq!(overdue(&log, Level::Info, monday() + 3 * HOUR)[0].tell, of_closing[0].tell);
}

/// Plans tests of a target, at a moment, without a collector.
fn plan_tests(store: &mut LogStore, target: &str, count: u8, at_ms: i64) -> Vec<Digest> {
    let mut appender = store.begin().unwrap();
    let plan = |number| {
        let id = Digest([number; 32]);
        let act = By { by: "li.na", reason: "", at_ms };
        queue::plan_test(&mut appender, &id.to_string(), target, &act).unwrap().unwrap();
        id
    };
    let planned = (1..=count).map(plan).collect();
    appender.commit().unwrap();
    planned
}

fn config(log: &Log, targets: Vec<Target>) -> Config {
    let limits = Limits {
        retry_first: Duration::from_millis(20),
        retry_longest: Duration::from_millis(40),
        ..Limits::default()
    };
    Config { notify: NotifyConfig { targets, limits, console_url: None }, ..log.lab.config.clone() }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < give_up, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_planned_long_before_the_collector_came_back_is_sent() {
    let hook = Place::new([Act::status(200)]).await;
    let mut log = Log::new();
    plan_tests(&mut log.store, "hook", 1, now_ms() - 30 * HOUR);
    let config = config(&log, vec![hook.webhook("hook", log.lab.dir())]);
    drop(log.store);
    let running = server::start(&config).await.unwrap();
    until("it is sent", || !hook.got().is_empty()).await;
    running.stop().await;
    assert_eq!(troubles(&config.notify, &LogReader::open(&config.log_db()).unwrap(), now_ms()).unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_keeps_no_other_waiting() {
    let hook = Place::new([Act::status(503)]).await;
    let mut log = Log::new();
    let planned = plan_tests(&mut log.store, "hook", 3, now_ms());
    let config = config(&log, vec![hook.webhook("hook", log.lab.dir())]);
    drop(log.store);
    let running = server::start(&config).await.unwrap();
    until("each is tried", || {
        let tried: HashSet<String> = hook.got().iter().map(place::Got::id).collect();
        tried.len() == planned.len()
    })
    .await;
    running.stop().await;
}

#[test]
fn all_that_was_given_up_is_said_in_health_and_in_the_trail() {
    let mut log = Log::new();
    let planned = plan_tests(&mut log.store, "gone", 3, now_ms());
    let mut appender = log.store.begin().unwrap();
    for (id, reason) in planned.iter().zip(["no_target", "unreachable", "nothing_left"]) {
        let step = Step { reason: reason.into(), ..Step::of(*id, NotificationVerb::GivenUp, 0) };
        queue::note(&mut appender, &step, now_ms()).unwrap();
    }
    appender.commit().unwrap();
    let [trouble] = &troubles(&NotifyConfig::default(), &log.reader(), now_ms()).unwrap()[..] else {
        panic!("no trouble")
    };
    assert_eq!((trouble.target.as_str(), trouble.given_up, trouble.waiting), ("gone", 2, 0));
    assert_eq!(trouble.reason, "unreachable");

    log.deriver().catch_up().unwrap();
    let db = open_read_only(&log.lab.config.derived_db()).unwrap();
    let deeds = trail::list(&db, &Filter { subject: Some("gone".into()), ..Filter::default() }, 10).unwrap();
    let shown: Vec<_> = deeds.iter().map(|it| (it.verb.as_str(), it.by.as_str(), it.reason.as_str())).collect();
    let given_up = |reason| ("notify-give-up", "collector", reason);
    let tested = ("notify-test", "li.na", "");
    assert_eq!(
        shown,
        [given_up("nothing_left"), given_up("unreachable"), given_up("no_target"), tested, tested, tested]
    );
}
