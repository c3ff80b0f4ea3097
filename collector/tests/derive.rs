//! What people look at is a pure function of the log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use rusqlite::Connection;
use support::finding;
use support::offline::{Log, dump};
use watchpost_collector::alerts::{self, Alert, VisibleFinding};
use watchpost_collector::coverage;
use watchpost_collector::derive::{DeriveError, Deriver, open_read_only};
use watchpost_collector::devices::{self, Device};
use watchpost_collector::enrolment::desk::Act;
use watchpost_collector::health;
use watchpost_collector::notices;
use watchpost_proto::segment::Head;
use watchpost_proto::v1::{
    Channel, DeviceVerb, Feed, FileReport, FileState, Finding, Goodbye, GoodbyeCause, Hit, Lane, Loss,
    NoticeAcknowledgement, RuleStatus, SelfCheck, Summary, Tally, Window, summary,
};

fn changed(number: u64, change: impl FnOnce(&mut Finding)) -> Summary {
    let mut summary = finding(number);
    if let Some(summary::Kind::Finding(finding)) = &mut summary.kind {
        change(finding);
    }
    summary
}

fn of(kind: summary::Kind) -> Summary {
    Summary { made_at_ms: 1, kind: Some(kind), ..Summary::default() }
}

fn tally(revision: u64, sent: u64) -> Summary {
    of(summary::Kind::Tally(Tally { account: "ww1/zhang".into(), hour: 7, revision, sent, ..Tally::default() }))
}

fn report(file: u8, state: FileState) -> Summary {
    of(summary::Kind::FileReport(FileReport { file: vec![file; 32], state: state.into(), ..FileReport::default() }))
}

fn checked(number: u64, reason: &str) -> Summary {
    let check = SelfCheck { number, failed: !reason.is_empty(), reason: reason.into(), ..SelfCheck::default() };
    of(summary::Kind::SelfCheck(check))
}

fn goodbye(cause: GoodbyeCause) -> Summary {
    of(summary::Kind::Goodbye(Goodbye { cause: cause.into(), at_ms: 5 }))
}

fn acknowledged(account: &str, version: u64) -> Summary {
    of(summary::Kind::NoticeAcknowledgement(NoticeAcknowledgement {
        account: account.into(),
        notice_version: version,
        at_ms: 6,
        notice: vec![9; 32],
    }))
}

struct View {
    db: Connection,
}

impl View {
    fn of(log: &Log) -> Self {
        log.deriver().catch_up().unwrap();
        Self { db: open_read_only(&log.lab.config.derived_db()).unwrap() }
    }

    fn alerts(&self) -> Vec<Alert> {
        let mut found = Vec::new();
        alerts::list(&self.db, |alert| {
            found.push(alert);
            Ok::<_, DeriveError>(())
        })
        .unwrap();
        found
    }

    fn findings(&self) -> Vec<VisibleFinding> {
        let mut found = Vec::new();
        alerts::findings(&self.db, |finding| {
            found.push(finding);
            Ok::<_, DeriveError>(())
        })
        .unwrap();
        found
    }

    fn msgids(&self) -> Vec<String> {
        self.findings().into_iter().map(|finding| finding.msgid).collect()
    }

    fn devices(&self) -> Vec<Device> {
        devices::list(&self.db, None).unwrap()
    }

    fn count(&self, query: &str) -> i64 {
        self.db.query_row(query, [], |row| row.get(0)).unwrap()
    }
}

fn derived(log: &Log) -> Connection {
    open_read_only(&log.lab.config.derived_db()).unwrap()
}

#[test]
fn a_rebuild_and_any_batching_give_what_following_gave() {
    let mut log = Log::new();
    let (mut a, mut b) = (log.lab.device(), log.lab.device());
    let mut deriver = log.deriver();
    let step = |deriver: &mut Deriver| deriver.catch_up().unwrap();
    log.append(&mut a, Lane::Urgent, &[finding(1), finding(2)]);
    step(&mut deriver);
    log.append(&mut b, Lane::Urgent, &[finding(2), finding(3)]);
    log.append(&mut a, Lane::Bulk, &[tally(1, 5), report(1, FileState::Reading)]);
    step(&mut deriver);
    log.append(&mut a, Lane::Bulk, &[tally(2, 6), report(1, FileState::Done), report(2, FileState::SetAside)]);
    log.append(&mut a, Lane::Urgent, &[changed(1, |f| f.withdrawn = true)]);
    log.act(&b, DeviceVerb::Quarantine);
    step(&mut deriver);
    let fork = a.seal_at(Head::start(a.epoch), Lane::Urgent, &[finding(9)]).segment;
    log.take(&a, fork);
    log.act(&a, DeviceVerb::Release);
    step(&mut deriver);
    log.append(&mut a, Lane::Urgent, &[checked(1, ""), goodbye(GoodbyeCause::Stopped), acknowledged("ww1/li", 3)]);
    step(&mut deriver);
    log.append(
        &mut a,
        Lane::Urgent,
        &[goodbye(GoodbyeCause::Over), checked(2, "not_found"), acknowledged("ww1/li", 3)],
    );
    log.append(&mut b, Lane::Urgent, &[goodbye(GoodbyeCause::Shutdown)]);
    let row = |account: &str| (account.to_owned(), 3, 7, "OA".to_owned());
    let act = Act { by: "hr", reason: "forms", at_ms: 8 };
    let mut appender = log.store.begin().unwrap();
    assert_eq!(notices::import(&mut appender, &[row("ww1/li"), row("ww1/wang")], &act).unwrap().len(), 1);
    appender.commit().unwrap();
    step(&mut deriver);
    assert_eq!(deriver.position(), log.store.checkpoint().size);
    drop(deriver);

    let followed = dump(&derived(&log));
    let config = &log.lab.config;
    std::fs::remove_file(config.derived_db()).unwrap();
    step(&mut log.deriver());
    assert_eq!(dump(&derived(&log)), followed);
    std::fs::write(config.derived_db(), "not a database at all, whatever it once was").unwrap();
    step(&mut log.deriver());
    assert_eq!(dump(&derived(&log)), followed);
}

#[test]
fn quarantine_hides_and_release_shows() {
    let mut log = Log::new();
    let (mut a, mut b) = (log.lab.device(), log.lab.device());
    log.append(&mut a, Lane::Urgent, &[finding(1), finding(2)]);
    log.append(&mut b, Lane::Urgent, &[finding(2)]);
    assert_eq!(View::of(&log).alerts()[0].findings, 2);
    log.act(&a, DeviceVerb::Quarantine);
    let view = View::of(&log);
    assert_eq!(view.msgids(), ["m2"], "the other device still holds it");
    assert_eq!((view.alerts()[0].findings, view.alerts()[0].devices.clone()), (1, vec![b.id.to_string()]));
    // What comes while it is quarantined is kept, and held back too.
    log.append(&mut a, Lane::Urgent, &[finding(3)]);
    assert_eq!(View::of(&log).msgids(), ["m2"]);
    log.act(&b, DeviceVerb::Quarantine);
    assert!(View::of(&log).alerts().is_empty());
    log.act(&a, DeviceVerb::Release);
    let view = View::of(&log);
    assert_eq!(view.msgids(), ["m1", "m2", "m3"]);
    assert_eq!(view.alerts()[0].alert, hex::encode(id_of(1)), "the alert is the same one");
    let states: Vec<_> = view.devices().into_iter().map(|device| (device.device, device.state)).collect();
    assert!(states.contains(&(a.id.to_string(), "active")) && states.contains(&(b.id.to_string(), "quarantined")));
}

fn id_of(number: u64) -> Vec<u8> {
    match finding(number).kind {
        Some(summary::Kind::Finding(finding)) => finding.finding_id,
        _ => Vec::new(),
    }
}

#[test]
fn alerts_group_by_rule_person_and_day_and_know_no_shadow() {
    let mut log = Log::new();
    let mut device = log.lab.device();
    let day = 86_400_000;
    log.append(
        &mut device,
        Lane::Urgent,
        &[
            finding(1),
            changed(2, |f| {
                f.msgtime_ms += 1000;
                let skipped =
                    Hit { word: "保本".into(), channel: Channel::Skipped.into(), obfuscated: true, ..Hit::default() };
                f.hits = vec![skipped, Hit { word: "零风险".into(), ..Hit::default() }];
            }),
            changed(3, |f| f.msgtime_ms += day),
            changed(4, |f| f.person = "ww1/li".into()),
            changed(5, |f| f.rule = "sample.other".into()),
            changed(6, |f| f.status = RuleStatus::Shadow.into()),
            changed(7, |f| f.msgtime_ms = 0),
        ],
    );
    let view = View::of(&log);
    let alerts = view.alerts();
    let sizes: Vec<u64> = alerts.iter().map(|alert| alert.findings).collect();
    assert_eq!(sizes, [2, 1, 1, 1, 1]);
    assert_eq!(alerts[0].alert, hex::encode(id_of(1)));
    assert_eq!((alerts[0].first_msgtime, alerts[0].last_msgtime), (Some(1_700_000_000_000), Some(1_700_000_001_000)));
    assert_eq!((alerts[4].day.as_str(), alerts[4].first_msgtime), ("unknown", None));
    assert_eq!(view.findings().len(), 7, "shadow findings are findings");
    let items = alerts::items(&view.db, &id_of(1)).unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!((items[1].msgid.as_str(), items[1].excerpt.as_str()), ("m2", "保本"));
    let how: Vec<_> = items[1].hits.iter().map(|hit| (hit.word.as_str(), hit.channel, hit.obfuscated)).collect();
    assert_eq!(how, [("保本", "skipped", true), ("零风险", "unknown", false)]);
    assert_eq!(alerts::find(&view.db, &id_of(1)).unwrap().as_ref(), Some(&alerts[0]));
    assert_eq!(alerts::find(&view.db, &[0; 32]).unwrap(), None);
}

#[test]
fn the_latest_record_of_a_device_replaces_its_earlier_one() {
    let mut log = Log::new();
    let (mut a, mut b) = (log.lab.device(), log.lab.device());
    log.append(&mut a, Lane::Urgent, &[finding(1)]);
    log.append(&mut b, Lane::Urgent, &[finding(1), finding(2)]);
    log.append(&mut a, Lane::Urgent, &[changed(1, |f| f.withdrawn = true), finding(1), finding(1)]);
    let held = |view: &View, id: &str| view.devices().into_iter().find(|d| d.device == id).unwrap().findings.unwrap();
    let view = View::of(&log);
    assert_eq!((held(&view, &a.id.to_string()), held(&view, &b.id.to_string())), (1, 2));
    log.append(&mut a, Lane::Urgent, &[changed(1, |f| f.withdrawn = true), changed(1, |f| f.withdrawn = true)]);
    let view = View::of(&log);
    assert_eq!(held(&view, &a.id.to_string()), 0);
    assert_eq!(view.findings()[0].devices, [b.id.to_string()], "the other observer holds it");
    log.append(&mut b, Lane::Urgent, &[changed(1, |f| f.withdrawn = true)]);
    assert_eq!(View::of(&log).msgids(), ["m2"]);
    // Told again for another person: it moves to an alert of its own.
    log.append(&mut b, Lane::Urgent, &[changed(1, |f| f.person = "ww1/li".into())]);
    let alerts = View::of(&log).alerts();
    assert_eq!(alerts.len(), 2);
    assert_ne!(alerts[0].alert, alerts[1].alert, "ids stay unique");
}

fn window_of(number: u64, value: i64) -> Summary {
    changed(number, |finding| {
        let first_ms = finding.msgtime_ms;
        finding.window = Some(Window {
            kind: "count".into(),
            within_ms: 60_000,
            first_ms,
            last_ms: first_ms + 42_000,
            count: 9,
            value,
            msgids: vec![finding.msgid.clone()],
            open: false,
        });
    })
}

fn taken_back(summary: Summary) -> Summary {
    match summary.kind {
        Some(summary::Kind::Finding(finding)) => of(summary::Kind::Finding(Finding { withdrawn: true, ..finding })),
        _ => summary,
    }
}

#[test]
fn a_window_is_revised_and_taken_back_by_each_observer_for_itself() {
    let mut log = Log::new();
    let (mut a, mut b) = (log.lab.device(), log.lab.device());
    // A burst across the edge of a bucket: two findings, one alert.
    log.append(&mut a, Lane::Urgent, &[window_of(1, 20), window_of(2, 21)]);
    log.append(&mut b, Lane::Urgent, &[window_of(1, 20), window_of(1, 57)]);
    let view = View::of(&log);
    assert_eq!((view.alerts().len(), view.alerts()[0].findings), (1, 2));
    let items = alerts::items(&view.db, &id_of(1)).unwrap();
    let window = items[0].window.as_ref().unwrap();
    assert_eq!((window.value, window.in_short().as_str()), (20, "20 messages in 42 s"));
    log.append(&mut a, Lane::Urgent, &[window_of(1, 40)]);
    let value = |view: &View| view.findings()[0].window.as_ref().unwrap().value;
    assert_eq!(value(&View::of(&log)), 40, "a revision replaces what the device told before");
    log.append(&mut a, Lane::Urgent, &[taken_back(window_of(1, 40))]);
    let view = View::of(&log);
    assert_eq!((value(&view), view.alerts()[0].findings), (57, 2), "the other observer still holds it");
    log.append(&mut b, Lane::Urgent, &[taken_back(window_of(1, 57))]);
    assert_eq!(View::of(&log).msgids(), ["m2"]);
    log.append(&mut a, Lane::Urgent, &[window_of(1, 41)]);
    assert_eq!(value(&View::of(&log)), 41, "what was taken back may hold again");
}

#[test]
fn tallies_and_file_reports_are_snapshots() {
    let mut log = Log::new();
    let mut device = log.lab.device();
    log.append(&mut device, Lane::Bulk, &[tally(2, 20), tally(3, 30), tally(1, 31)]);
    log.append(&mut device, Lane::Bulk, &[report(1, FileState::Reading), report(2, FileState::Done)]);
    log.append(&mut device, Lane::Bulk, &[report(1, FileState::Done)]);
    log.append(&mut device, Lane::Urgent, &[of(summary::Kind::Loss(Loss { reason: "x".into(), ..Loss::default() }))]);
    let view = View::of(&log);
    assert_eq!(view.count("SELECT sent FROM tally"), 31);
    assert_eq!(view.count("SELECT count(*) FROM tally"), 1);
    assert_eq!(view.count("SELECT min(state) FROM file_report"), FileState::Done as i64);
    let device = view.devices().pop().unwrap();
    assert_eq!((device.files, device.losses, device.lanes.len()), (2, 1, 2));
    assert_eq!(device.lanes.iter().map(|lane| lane.next_seq).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn what_is_not_understood_is_passed_over() {
    let mut log = Log::new();
    let mut device = log.lab.device();
    log.append(
        &mut device,
        Lane::Urgent,
        &[
            Summary::default(),
            of(summary::Kind::SelfCheck(SelfCheck { number: 1, ..SelfCheck::default() })),
            changed(1, |f| f.finding_id = vec![1; 31]),
            changed(2, |f| {
                f.level = 99;
                f.msgtime_ms = i64::MIN;
                f.person = "a\0b'\";--".into();
            }),
        ],
    );
    let huge = Tally { account: "x".into(), revision: u64::MAX, sent: u64::MAX, ..Tally::default() };
    let second = Tally { hour: 1, ..huge.clone() };
    log.append(&mut device, Lane::Bulk, &[of(summary::Kind::Tally(huge)), of(summary::Kind::Tally(second))]);
    let folder = |length: usize| Feed { folder: vec![1; length], expected: "daily by 09:00".into(), ..Feed::default() };
    let ended = Feed { expected: String::new(), ..folder(32) };
    log.append(&mut device, Lane::Urgent, &[folder(31), folder(32), ended].map(|feed| of(summary::Kind::Feed(feed))));
    let records = [[7; 16].to_vec(), [&[7; 16][..], &[0xff; 30]].concat()];
    let segment = sealed_raw(&device, &records);
    log.take(&device, segment);
    log.append(&mut device, Lane::Bulk, &[tally(1, 1)]);
    let view = View::of(&log);
    assert_eq!(view.msgids(), ["m2"]);
    assert_eq!(view.alerts()[0].level, "unknown");
    assert_eq!(view.count("SELECT count(*) FROM tally"), 3);
    assert_eq!(view.count("SELECT count(*) FROM feed"), 0);
    // What one device says overflows nothing that is said of all.
    assert_eq!(coverage::accounts(&view.db, None, 0).unwrap()[0].day, "1970-01-01");
}

fn sealed_raw(device: &support::Device, records: &[Vec<u8>]) -> watchpost_proto::v1::Segment {
    use watchpost_proto::segment::{Seal, seal};
    use watchpost_proto::v1::Clocks;
    let what = Seal {
        tenant: support::TENANT,
        device: device.id,
        lane: Lane::Urgent,
        head: device.heads[0],
        epoch_start: None,
        clocks: Clocks::default(),
        agent_version: "later",
    };
    seal(&what, records, &device.key).unwrap().segment
}

#[test]
fn the_latest_self_check_and_goodbye_count_and_what_is_over_is_over() {
    let mut log = Log::new();
    let mut a = log.lab.device();
    log.append(&mut a, Lane::Urgent, &[checked(1, ""), goodbye(GoodbyeCause::Stopped)]);
    let facts = |log: &Log| health::facts(&View::of(log).db, None).unwrap().remove(0);
    let before = facts(&log);
    assert_eq!(before.goodbye.unwrap().cause, GoodbyeCause::Stopped);
    let passed_ms = before.check.unwrap().passed_ms;
    assert!(passed_ms > 0 && before.last_finding_ms.is_none() && before.first_entry_ms.is_some());
    log.append(&mut a, Lane::Urgent, &[goodbye(GoodbyeCause::Over), checked(2, "not_found"), finding(1)]);
    let after = facts(&log);
    let check = after.check.unwrap();
    assert_eq!((check.failed, &*check.reason, check.passed_ms, after.goodbye), (true, "not_found", passed_ms, None));
    assert!(after.last_finding_ms.is_some());
    // A device says no more of others than it may: only the accounts of its own word, and no monsters.
    log.append(
        &mut a,
        Lane::Urgent,
        &[acknowledged("", 1), acknowledged(&"x".repeat(600), 1), acknowledged("ww1/li", 1)],
    );
    assert_eq!(View::of(&log).count("SELECT count(*) FROM acknowledgement"), 1);
    assert_eq!(notices::list(&View::of(&log).db, Some(1)).unwrap().iter().filter(|it| it.done).count(), 1);
    log.act(&a, DeviceVerb::Quarantine);
    assert_eq!(notices::list(&View::of(&log).db, Some(1)).unwrap().iter().filter(|it| it.done).count(), 0);
}
