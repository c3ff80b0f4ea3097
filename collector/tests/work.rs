//! What becomes of alerts: a pure function of the log, whatever people do and however often it is derived anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use proptest::prelude::*;
use rusqlite::Connection;
use support::offline::{Log, dump};
use support::{Device, finding};
use watchpost_collector::alerts::desk::{self, CaseStep, Deed, Outcome, Suppress, What};
use watchpost_collector::alerts::work::Ending;
use watchpost_collector::alerts::{self, Alert, Filter, Order};
use watchpost_collector::derive::open_read_only;
use watchpost_collector::enrolment::desk::{Act, DeskError};
use watchpost_collector::erasure::{self, Scope};
use watchpost_collector::settings;
use watchpost_policy::calendar::Day;
use watchpost_proto::Message as _;
use watchpost_proto::document::Kind;
use watchpost_proto::v1::{
    DeviceVerb, EntryKind, Finding, Lane, Level, RosterDetails, RosterEntry, RosterHeader, RosterPeriod, RosterRecord,
    RosterRow, RuleStatus, SignedRosterHeader, Summary, summary,
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// A moment in China.
fn china(day: &str, hour: i64, minute: i64) -> i64 {
    Day::parse(day).unwrap().start_ms() + (hour - 8) * HOUR + minute * MINUTE
}

fn changed(number: u64, change: impl FnOnce(&mut Finding)) -> Summary {
    let mut summary = finding(number);
    if let Some(summary::Kind::Finding(finding)) = &mut summary.kind {
        change(finding);
    }
    summary
}

fn id_of(number: u64) -> String {
    match finding(number).kind {
        Some(summary::Kind::Finding(finding)) => hex::encode(finding.finding_id),
        _ => String::new(),
    }
}

struct Scene {
    log: Log,
    device: Device,
}

impl Scene {
    fn new() -> Self {
        let log = Log::new();
        let device = log.lab.device();
        Self { log, device }
    }

    /// Findings arrive at a moment.
    fn arrive(&mut self, at_ms: i64, findings: &[Summary]) {
        let segment = self.device.seal(Lane::Urgent, findings);
        self.log.take_at(&self.device, segment, at_ms);
    }

    fn step(&mut self, by: &str, at_ms: i64, number: u64, step: What) -> Result<Vec<u64>, DeskError> {
        self.noted(by, at_ms, number, step, "so it is")
    }

    fn noted(&mut self, by: &str, at_ms: i64, number: u64, step: What, note: &str) -> Result<Vec<u64>, DeskError> {
        let deed = Deed { alerts: vec![id_of(number)], step, note: note.into() };
        self.log.operate(|appender| desk::act(appender, &deed, &Act { by, reason: "", at_ms }))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<u64, DeskError> {
        let act = Act { by: "admin", reason: "agreed", at_ms: 1 };
        self.log.operate(|appender| settings::set(appender, name, value, &act))
    }

    fn suppress(&mut self, what: &Suppress, at_ms: i64) -> Result<u64, DeskError> {
        let act = Act { by: "li.na", reason: "training", at_ms };
        self.log.operate(|appender| desk::suppress(appender, what, &act))
    }

    fn db(&self) -> Connection {
        self.log.deriver().catch_up().unwrap();
        open_read_only(&self.log.lab.config.derived_db()).unwrap()
    }

    fn alert(&self, number: u64) -> Alert {
        alerts::find(&self.db(), &hex::decode(id_of(number)).unwrap()).unwrap().unwrap()
    }

    fn told(&self, number: u64) -> Vec<String> {
        let log = self.log.reader();
        let told = alerts::history(&self.db(), log.connection(), &hex::decode(id_of(number)).unwrap()).unwrap();
        told.into_iter().map(|it| format!("{} {}", it.what, it.by).trim().to_owned()).collect()
    }

    fn queue(&self, filter: &Filter) -> Vec<String> {
        let page = alerts::page(&self.db(), filter, Order::Newest, None, 100).unwrap();
        page.into_iter().map(|(alert, _)| alert.alert).collect()
    }
}

/// Publishes a roster: account, department, site, from when.
fn roster(log: &mut Log, version: u64, rows: &[(&str, &str, &str, i64)]) {
    let records: Vec<RosterRecord> = rows
        .iter()
        .map(|(userid, department, site, from_ms)| {
            let period = RosterPeriod {
                from_ms: *from_ms,
                department: (*department).into(),
                site: (*site).into(),
                ..RosterPeriod::default()
            };
            let row = RosterRow {
                corp: "ww1".into(),
                userid: (*userid).into(),
                periods: vec![period],
                ..RosterRow::default()
            };
            let details = RosterDetails { salt: vec![1; 16], employee: "7".into(), name: "李娜".into() };
            RosterRecord { row: row.encode_to_vec(), details: details.encode_to_vec() }
        })
        .collect();
    let header = RosterHeader { format: 1, version, ..RosterHeader::default() }.encode_to_vec();
    let digest = Kind::Roster.digest(&header);
    let signed = SignedRosterHeader { header, signatures: Vec::new() };
    let entry = RosterEntry { roster: Some(signed), by: "hr".into(), reason: String::new(), at_ms: 1 };
    let keep = |appender: &mut watchpost_collector::log_store::Appender<'_>| {
        watchpost_collector::log_store::keep_rows(appender.connection(), &digest, &records)?;
        Ok(appender.append(EntryKind::Roster, &entry.encode_to_vec())?)
    };
    log.operate(keep).unwrap();
}

#[test]
fn the_first_who_takes_it_has_it_and_only_what_fits_is_done() {
    let mut scene = Scene::new();
    let at = china("2026-03-02", 10, 0);
    scene.arrive(at, &[finding(1)]);
    assert_eq!((scene.alert(1).state, scene.alert(1).opened_ms), ("open", at));
    let first = scene.step("li.na", at + MINUTE, 1, What::Take).unwrap();
    let second = scene.step("wang", at + MINUTE, 1, What::Take).unwrap();
    let alerts = [id_of(1)];
    assert_eq!(desk::unchanged(&scene.db(), &alerts, &first).unwrap(), Vec::<String>::new());
    assert_eq!(desk::unchanged(&scene.db(), &alerts, &second).unwrap(), alerts, "the second learns that it was late");
    assert_eq!((scene.alert(1).assignee.as_str(), scene.alert(1).taken_ms), ("li.na", Some(at + MINUTE)));

    scene.step("li.na", at, 1, What::Step(2)).unwrap();
    scene.step("li.na", at, 1, What::Step(2)).unwrap();
    scene.step("boss", at, 1, What::Assign("wang".into())).unwrap();
    assert_eq!((scene.alert(1).state, scene.alert(1).assignee.as_str()), ("taken", "wang"));
    assert_eq!(scene.alert(1).steps_done, [2]);
    scene.step("wang", at, 1, What::PutBack).unwrap();
    assert_eq!((scene.alert(1).state, scene.alert(1).assignee.as_str()), ("open", ""));
    scene.step("li.na", at, 1, What::Close(Ending::Confirmed)).unwrap();
    assert_eq!((scene.alert(1).state, scene.alert(1).ending), ("closed", Some("confirmed")));
    for late in [What::Take, What::Assign("x".into()), What::Close(Ending::FalseAlarm), What::Escalate, What::Step(1)] {
        let entries = scene.step("li.na", at, 1, late.clone()).unwrap();
        assert_eq!(desk::unchanged(&scene.db(), &alerts, &entries).unwrap(), alerts, "{late:?} after the end");
    }
    assert_eq!(
        scene.told(1),
        ["opened", "taken li.na", "step li.na", "assigned boss", "put-back wang", "closed li.na"]
    );

    for (step, note, part) in [
        (What::Close(Ending::FalseAlarm), "", "write why"),
        (What::Close(Ending::Withdrawn), "x", "devices alone"),
        (What::Duplicate(id_of(1)), "x", "itself"),
        (What::Step(64), "x", "63"),
        (What::Assign(" ".into()), "x", "to whom"),
        (What::Note, &"长".repeat(3_000), "8 KiB"),
    ] {
        let told = scene.noted("li.na", at, 1, step.clone(), note).unwrap_err().to_string();
        assert!(told.contains(part), "{step:?}: {told}");
    }
}

#[test]
fn what_arrives_after_the_end_is_looked_at_again() {
    let mut scene = Scene::new();
    let at = china("2026-03-02", 10, 0);
    scene.arrive(at, &[finding(1)]);
    scene.step("li.na", at, 1, What::Close(Ending::FalseAlarm)).unwrap();
    // The same finding, told by another device or once more, is not a new one.
    scene.arrive(at + HOUR, &[finding(1)]);
    let mut other = scene.log.lab.device();
    scene.log.append(&mut other, Lane::Urgent, &[finding(1)]);
    assert_eq!(scene.alert(1).state, "closed");
    scene.arrive(at + 2 * HOUR, &[finding(2)]);
    let alert = scene.alert(1);
    assert_eq!((alert.state, alert.ending, alert.reopened, alert.findings), ("open", None, 1, 2));
    assert_eq!((alert.clock_ms, alert.closed_by.as_str()), (at + 2 * HOUR, "li.na"), "its clocks begin anew");
    scene.step("li.na", at + 3 * HOUR, 1, What::Close(Ending::RuleWithdrawn)).unwrap();
    scene.arrive(at + 4 * HOUR, &[finding(3)]);
    assert_eq!(
        (scene.alert(1).state, scene.alert(1).fresh),
        ("closed", 1),
        "nobody needs to judge a rule that is gone"
    );
    assert_eq!(scene.told(1), ["opened", "closed li.na", "reopened", "closed li.na"]);
}

#[test]
fn what_a_quarantine_hid_is_new_when_it_is_released() {
    let mut scene = Scene::new();
    let at = china("2026-03-02", 10, 0);
    let mut other = scene.log.lab.device();
    scene.arrive(at, &[finding(1)]);
    let segment = other.seal(Lane::Urgent, &[finding(1)]);
    scene.log.take_at(&other, segment, at);
    scene.step("li.na", at, 1, What::Close(Ending::Confirmed)).unwrap();
    scene.log.act(&other, DeviceVerb::Quarantine);
    assert_eq!(scene.alert(1).state, "closed");
    scene.log.act(&other, DeviceVerb::Release);
    assert_eq!(scene.alert(1).state, "closed", "what was judged is not new");
    scene.log.act(&other, DeviceVerb::Quarantine);
    let hurried = changed(2, |it| it.sla_s = 3_600);
    let segment = other.seal(Lane::Urgent, &[hurried]);
    scene.log.take_at(&other, segment, at + HOUR);
    assert_eq!((scene.alert(1).state, scene.alert(1).findings), ("closed", 1));
    scene.log.act(&other, DeviceVerb::Release);
    let alert = scene.alert(1);
    assert_eq!((alert.state, alert.findings, alert.reopened), ("open", 2, 1));
    // The release is said to be at the first millisecond of 1970; work begins at nine.
    assert_eq!(alert.close_by_ms.map(|by| by - alert.take_by_ms.unwrap()), Some(50 * MINUTE), "the rule's own hour");
}

#[test]
fn what_devices_take_back_closes_by_itself_unless_somebody_has_touched_it() {
    let mut scene = Scene::new();
    let at = china("2026-03-02", 10, 0);
    let other = |number: u64| changed(number, |it| it.rule = "sample.other".into());
    let gone = |summary: Summary| match summary.kind {
        Some(summary::Kind::Finding(mut finding)) => {
            finding.withdrawn = true;
            Summary { kind: Some(summary::Kind::Finding(finding)), ..summary }
        }
        _ => summary,
    };
    scene.arrive(at, &[finding(1), other(2)]);
    scene.step("li.na", at, 2, What::Note).unwrap();
    scene.arrive(at + HOUR, &[gone(finding(1)), gone(other(2))]);
    assert_eq!(scene.told(1), ["opened", "withdrawn"]);
    let db = scene.db();
    assert!(alerts::find(&db, &hex::decode(id_of(1)).unwrap()).unwrap().is_none(), "nobody has to look at it");
    assert_eq!((scene.alert(2).state, scene.alert(2).findings), ("open", 0), "somebody has begun");
    scene.arrive(at + 2 * HOUR, &[finding(1)]);
    assert_eq!((scene.alert(1).state, scene.alert(1).clock_ms), ("open", at + 2 * HOUR));
}

#[test]
fn an_objection_is_decided_by_somebody_else() {
    let mut scene = Scene::new();
    let at = china("2026-03-02", 10, 0);
    scene.arrive(at, &[finding(1)]);
    scene.step("li.na", at, 1, What::Close(Ending::Confirmed)).unwrap();
    scene.step("zhang", at + HOUR, 1, What::Appeal).unwrap();
    let alert = scene.alert(1);
    assert_eq!((alert.state, alert.appeal, alert.clock_ms), ("open", Some("open"), at + HOUR));
    for step in [What::Grant, What::Deny, What::Close(Ending::Confirmed)] {
        scene.step("li.na", at, 1, step.clone()).unwrap();
        assert_eq!(scene.alert(1).appeal, Some("open"), "{step:?} by who had closed it");
    }
    scene.step("boss", at + 2 * HOUR, 1, What::Deny).unwrap();
    let alert = scene.alert(1);
    assert_eq!((alert.state, alert.ending, alert.appeal), ("closed", Some("confirmed"), Some("denied")));
    scene.step("zhang", at + 3 * HOUR, 1, What::Appeal).unwrap();
    scene.step("li.na", at + 3 * HOUR, 1, What::Grant).unwrap();
    assert_eq!((scene.alert(1).ending, scene.alert(1).appeal), (Some("false-alarm"), Some("granted")));
    scene.step("li.na", at + 4 * HOUR, 1, What::Reopen).unwrap();
    scene.step("li.na", at + 4 * HOUR, 1, What::Close(Ending::Confirmed)).unwrap();
    scene.step("zhang", at + 5 * HOUR, 1, What::Appeal).unwrap();
    scene.arrive(at + 5 * HOUR, &[finding(2)]);
    scene.step("boss", at + 6 * HOUR, 1, What::Deny).unwrap();
    assert_eq!(
        (scene.alert(1).state, scene.alert(1).appeal),
        ("open", Some("denied")),
        "nobody has judged what came since"
    );
}

#[test]
fn clocks_run_while_the_site_works() {
    let mut scene = Scene::new();
    roster(&mut scene.log, 1, &[("zhang", "sales", "hangzhou", 0), ("li", "sales", "urumqi", 0)]);
    scene
        .set("calendar/urumqi", &serde_json::to_string("base: cn\nhours: { mon-sat: \"10:00-19:00\" }\n").unwrap())
        .unwrap();
    let about = |number: u64, person: &str, level: Level| {
        changed(number, |it| (it.person, it.level) = (person.into(), level.into()))
    };
    // A Friday before the Spring Festival, a quarter to six; the Saturday after it is a make-up day.
    let friday = china("2026-02-13", 17, 55);
    scene.arrive(friday, &[about(1, "ww1/zhang", Level::High), about(2, "ww1/li", Level::High)]);
    let due = |scene: &Scene, number: u64| {
        let alert = scene.alert(number);
        (alert.take_by_ms.unwrap(), alert.close_by_ms.unwrap())
    };
    // Ten minutes: five on Friday, five on the make-up Saturday. 24 hours: 0:05 + 9:00 on Saturday, then the 24th and 25th.
    assert_eq!(due(&scene, 1), (china("2026-02-14", 9, 5), china("2026-02-25", 14, 55)));
    assert_eq!((scene.alert(1).department.as_str(), scene.alert(1).site.as_str()), ("sales", "hangzhou"));
    assert_eq!(due(&scene, 2).0, china("2026-02-13", 18, 5), "this site works until seven");
    // Saturday makes up for the weekday, so it has the hours of a weekday; then eight days off.
    assert_eq!(due(&scene, 2).1, china("2026-02-25", 14, 55) + HOUR - 5 * MINUTE - 55 * MINUTE);
    // An hour in the evening of a holiday.
    scene.arrive(china("2026-02-17", 22, 0), &[about(3, "ww1/wang", Level::Critical)]);
    assert_eq!(due(&scene, 3).0, china("2026-02-24", 9, 5));
    assert_eq!(scene.alert(3).overdue(china("2026-02-24", 9, 5)), None);
    assert_eq!(scene.alert(3).overdue(china("2026-02-24", 9, 6)), Some("take"));
    scene.step("li.na", china("2026-02-24", 9, 7), 3, What::Take).unwrap();
    assert_eq!(scene.alert(3).overdue(china("2026-02-24", 9, 8)), None);
    assert_eq!(scene.alert(3).overdue(china("2026-02-24", 14, 0)), Some("close"));
    let late = |at_ms| scene.queue(&Filter { overdue_at_ms: Some(at_ms), ..Filter::default() });
    assert_eq!(late(china("2026-02-24", 8, 0)), [id_of(2), id_of(1)]);
    assert_eq!(late(china("2026-02-24", 15, 0)), [id_of(3), id_of(2), id_of(1)]);
}

#[test]
fn clocks_follow_what_is_agreed_and_where_people_are() {
    let mut scene = Scene::new();
    let monday = china("2026-03-02", 10, 0);
    let sla = |number: u64, seconds: u64| changed(number, |it| it.sla_s = seconds);
    scene.arrive(monday, &[finding(1)]);
    assert_eq!(scene.alert(1).take_by_ms, Some(monday + 10 * MINUTE));
    scene.set("response", r#"{"high": {"take": "30m", "close": "2h"}}"#).unwrap();
    let alert = scene.alert(1);
    assert_eq!((alert.take_by_ms, alert.close_by_ms), (Some(monday + 30 * MINUTE), Some(monday + 2 * HOUR)));
    // A rule's own time goes before it, and a level that rises may make it sooner.
    scene.arrive(monday + MINUTE, &[sla(2, 3_600)]);
    assert_eq!(scene.alert(1).close_by_ms, Some(monday + HOUR));
    scene.arrive(monday + 2 * MINUTE, &[changed(3, |it| it.level = Level::Critical.into())]);
    assert_eq!((scene.alert(1).level, scene.alert(1).take_by_ms), ("critical", Some(monday + 7 * MINUTE)));
    // They turn out to be where it is not yet ten o'clock.
    scene
        .set("calendar/urumqi", &serde_json::to_string("base: cn\nhours: { mon-fri: \"11:00-19:00\" }\n").unwrap())
        .unwrap();
    roster(&mut scene.log, 1, &[("zhang", "sales", "urumqi", 0)]);
    assert_eq!((scene.alert(1).site.as_str(), scene.alert(1).take_by_ms), ("urumqi", Some(monday + HOUR + 5 * MINUTE)));
    roster(&mut scene.log, 2, &[("zhang", "risk", "urumqi", 0)]);
    assert_eq!(scene.alert(1).department, "risk");
    // What is closed stays as it was.
    scene.step("li.na", monday, 1, What::Close(Ending::Confirmed)).unwrap();
    scene.set("calendar/urumqi", "").unwrap();
    roster(&mut scene.log, 3, &[("zhang", "sales", "beijing", 0)]);
    assert_eq!(
        (scene.alert(1).department.as_str(), scene.alert(1).take_by_ms),
        ("risk", Some(monday + HOUR + 5 * MINUTE))
    );
    for (name, value) in [
        ("response", r#"{"info": {"take": "1m", "close": "1m"}}"#),
        ("response", r#"{"high": {"take": "2h", "close": "1m"}}"#),
        ("response", r#"{"high": {"take": "2d", "close": "9h"}}"#),
        ("calendar/x", "\"base: mars\""),
        ("calendar/x", "7"),
        ("calendar/", "\"base: cn\""),
        ("nothing", "1"),
        ("delegate/li", r#"{"to": "li", "from_ms": 1, "until_ms": 2}"#),
    ] {
        assert!(scene.set(name, value).is_err(), "{name} {value}");
    }
}

#[test]
fn a_late_line_and_a_late_export_are_told_apart() {
    let mut scene = Scene::new();
    let sealed = watchpost_collector::clock::now_ms();
    let at = |number: u64, rule: &str, msgtime_ms: i64| {
        changed(number, |it| (it.rule, it.msgtime_ms) = (rule.into(), msgtime_ms))
    };
    scene.device.wall_ms = sealed;
    scene.arrive(sealed + HOUR, &[at(1, "a", sealed)]);
    scene.arrive(sealed + MINUTE, &[at(2, "b", sealed - 2 * HOUR), at(3, "c", sealed)]);
    // A clock that stands in 1970 says nothing of the line.
    scene.device.wall_ms = 1;
    scene.arrive(sealed + HOUR, &[at(4, "d", sealed + HOUR)]);
    let late = [1, 2, 3, 4].map(|number| scene.alert(number).late);
    assert_eq!(late, [Some("site-offline"), Some("export-late"), None, None]);
    assert_eq!(scene.alert(2).age_ms, Some(2 * HOUR + MINUTE));
}

#[test]
fn what_is_suppressed_is_kept_and_comes_into_the_queue_when_that_is_over() {
    let mut scene = Scene::new();
    let at = china("2026-03-02", 10, 0);
    roster(&mut scene.log, 1, &[("zhang", "training", "hangzhou", 0), ("li", "sales", "hangzhou", 0)]);
    let of = |number: u64, person: &str, day: i64| {
        changed(number, |it| (it.person, it.msgtime_ms) = (person.into(), at + day * 24 * HOUR))
    };
    scene.arrive(at - HOUR, &[of(1, "ww1/zhang", 0)]);
    let what = Suppress {
        rule: "sample.rule".into(),
        department: "training".into(),
        from_ms: at,
        until_ms: at + 48 * HOUR,
        ..Suppress::default()
    };
    scene.suppress(&what, at).unwrap();
    scene.arrive(at + HOUR, &[of(2, "ww1/zhang", 1), of(3, "ww1/li", 1), of(4, "ww1/zhang", 0)]);
    assert_eq!(
        scene.queue(&Filter::default()),
        [id_of(3), id_of(1)],
        "what was in the queue stays, and others are not meant"
    );
    assert_eq!(scene.queue(&Filter { suppressed: true, ..Filter::default() }), [id_of(2)]);
    assert_eq!((scene.alert(2).take_by_ms, scene.alert(2).close_by_ms), (None, None), "nobody is to deal with it");
    scene.step("li.na", at + HOUR, 1, What::Close(Ending::FalseAlarm)).unwrap();
    scene.arrive(at + HOUR, &[of(40, "ww1/zhang", 0)]);
    assert_eq!((scene.alert(1).state, scene.alert(1).fresh), ("closed", 1), "nor does it come back while that holds");
    scene.step("li.na", at + HOUR, 1, What::Reopen).unwrap();
    scene.arrive(at + 2 * HOUR, &[of(5, "ww1/zhang", 1)]);
    assert_eq!(scene.queue(&Filter::default()).len(), 2);
    // The first finding after its end.
    scene.arrive(at + 48 * HOUR, &[of(6, "ww1/zhang", 1)]);
    let alert = scene.alert(2);
    assert_eq!((alert.suppressed_by, alert.findings, alert.clock_ms), (None, 3, at + 48 * HOUR));
    assert_eq!(scene.told(2), ["suppressed", "opened"]);

    // One that is ended, and one that somebody looks into all the same.
    scene.suppress(&Suppress { until_ms: at + 300 * HOUR, ..what.clone() }, at + 50 * HOUR).unwrap();
    scene.arrive(at + 51 * HOUR, &[of(7, "ww1/zhang", 2)]);
    scene.step("li.na", at + 52 * HOUR, 7, What::Note).unwrap();
    assert_eq!(scene.alert(7).clock_ms, at + 52 * HOUR);
    assert!(scene.queue(&Filter::default()).contains(&id_of(7)));
    let standing = alerts::suppressions(&scene.db(), at + 53 * HOUR).unwrap();
    assert_eq!(standing.iter().map(|it| it.state).collect::<Vec<_>>(), ["holds", "over"]);
    let id = standing[0].suppression.clone();
    let act = Act { by: "li.na", reason: "over", at_ms: at + 53 * HOUR };
    scene.log.operate(|appender| desk::end_suppression(appender, &id, &act)).unwrap();
    scene.arrive(at + 54 * HOUR, &[of(8, "ww1/zhang", 3)]);
    assert!(scene.queue(&Filter::default()).contains(&id_of(8)));

    for wrong in [
        Suppress { rule: String::new(), department: String::new(), ..what.clone() },
        Suppress { until_ms: at, ..what.clone() },
        Suppress { until_ms: at + 367 * 24 * HOUR, ..what.clone() },
        Suppress { device: "x".into(), ..what },
    ] {
        assert!(scene.suppress(&wrong, at).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_case_holds_alerts_of_one_person() {
    let mut scene = Scene::new();
    let at = china("2026-03-02", 10, 0);
    let of =
        |number: u64, person: &str| changed(number, |it| (it.person, it.rule) = (person.into(), format!("r{number}")));
    scene.arrive(at, &[of(1, "ww1/zhang"), of(2, "ww1/zhang"), of(3, "ww1/li")]);
    let mut case = |id: &str, step: CaseStep, note: &str| {
        let act = Act { by: "li.na", reason: "", at_ms: at };
        scene.log.operate(|appender| desk::case(appender, id, &step, note, &act))
    };
    let alerts = vec![id_of(1), id_of(3)];
    assert!(case("", CaseStep::Open { person: "ww1/zhang".into(), alerts: alerts.clone() }, " ").is_err());
    case("", CaseStep::Open { person: "ww1/zhang".into(), alerts }, "customers moved").unwrap();
    let cases = |scene: &Scene| alerts::cases(&scene.db(), scene.log.reader().connection(), None).unwrap();
    let one = cases(&scene).remove(0);
    assert_eq!((one.title.as_deref(), &one.alerts[..]), (Some("customers moved"), &[id_of(1)][..]), "of nobody else");
    let mut case = |step: CaseStep| {
        let act = Act { by: "li.na", reason: "", at_ms: at };
        scene.log.operate(|appender| desk::case(appender, &one.case, &step, "grounds", &act)).unwrap();
    };
    case(CaseStep::Link(vec![id_of(2)]));
    case(CaseStep::Unlink(vec![id_of(1)]));
    case(CaseStep::Close(Outcome::Warning));
    case(CaseStep::Link(vec![id_of(1)]));
    let found = cases(&scene).remove(0);
    assert_eq!(
        (found.outcome, &found.alerts[..]),
        (Some("warning"), &[id_of(2)][..]),
        "nothing goes into what is over"
    );
    assert_eq!(found.steps.iter().map(|it| it.what).collect::<Vec<_>>(), ["opened", "linked", "unlinked", "closed"]);
    assert_eq!(scene.alert(2).case, Some(found.case));
}

#[test]
fn what_was_written_goes_with_what_is_erased() {
    let mut scene = Scene::new();
    let at = china("2026-03-02", 10, 0);
    scene.arrive(at, &[finding(1), changed(2, |it| it.person = "ww1/li".into())]);
    scene.noted("li.na", at, 1, What::Note, "the secret of zhang").unwrap();
    scene.noted("li.na", at, 2, What::Note, "the secret of li").unwrap();
    scene.noted("li.na", at, 1, What::Reopen, "a step that does not fit").unwrap();
    let both = Deed { alerts: vec![id_of(1), id_of(2)], step: What::Note, note: "of both".into() };
    let who = Act { by: "li.na", reason: "", at_ms: at };
    scene.log.operate(|appender| desk::act(appender, &both, &who)).unwrap();
    let open = CaseStep::Open { person: "ww1/Zhang".into(), alerts: Vec::new() };
    let act = Act { by: "li.na", reason: "", at_ms: at };
    scene.log.operate(|appender| desk::case(appender, "", &open, "zhang's case", &act)).unwrap();
    drop(scene.db());
    let request = erasure::Request {
        deed: erasure::Deed::Erase(Scope::Person("ww1/zhang".into())),
        by: "dpo".into(),
        reason: "asked for it".into(),
    };
    let plan = erasure::plan(&scene.log.lab.config, &request, at).unwrap();
    scene.log.operate(|appender| Ok(erasure::append(appender, &plan)?)).unwrap();
    let texts = |scene: &Scene| {
        let log = scene.log.reader();
        let mut select = log.connection().prepare("SELECT bytes FROM aside ORDER BY bytes").unwrap();
        let texts = select
            .query_map([], |row| row.get::<_, Vec<u8>>(0))
            .unwrap()
            .map(|it| String::from_utf8(it.unwrap()).unwrap());
        texts.collect::<Vec<_>>()
    };
    assert_eq!(texts(&scene), ["of both", "the secret of li"]);
    let case = alerts::cases(&scene.db(), scene.log.reader().connection(), None).unwrap().remove(0);
    assert_eq!(case.title, None);
    assert_eq!(scene.told(2), ["opened", "noted li.na", "noted li.na"]);
}

#[test]
fn a_rule_learns_how_often_it_was_right() {
    let mut scene = Scene::new();
    let at = china("2026-03-02", 10, 0);
    let of = |number: u64, rule: &str, day: i64| {
        changed(number, |it| (it.rule, it.msgtime_ms) = (rule.into(), at + day * 24 * HOUR))
    };
    let shadow = changed(9, |it| it.status = RuleStatus::Shadow.into());
    scene.arrive(
        at,
        &[of(1, "a", 0), of(2, "a", 1), of(3, "a", 2), of(4, "a", 3), of(5, "b", 0), shadow.clone(), shadow],
    );
    for (number, ending) in
        [(1, Ending::Confirmed), (2, Ending::FalseAlarm), (3, Ending::FalseAlarm), (5, Ending::Confirmed)]
    {
        scene.step("li.na", at, number, What::Close(ending)).unwrap();
    }
    let found = alerts::precision(&scene.db(), None).unwrap();
    let said: Vec<_> = found.iter().map(|it| (it.rule.as_str(), it.precision, it.unclosed, it.shadow)).collect();
    assert_eq!(said, [("a", Some(1.0 / 3.0), 1, 0), ("b", Some(1.0), 0, 0), ("sample.rule", None, 0, 1)]);
}

#[test]
fn pages_follow_each_other_without_gaps() {
    let mut scene = Scene::new();
    let at = china("2026-03-02", 10, 0);
    let many: Vec<Summary> = (1..=57)
        .map(|number| {
            changed(number, |it| {
                it.rule = format!("r{number}");
                it.level = 1 + (number % 5) as i32;
            })
        })
        .collect();
    scene.arrive(at, &many[..30]);
    scene.arrive(at, &many[30..]);
    let db = scene.db();
    for order in [Order::Due, Order::Newest] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = alerts::page(&db, &Filter::default(), order, after, 10).unwrap();
            let Some((_, last)) = page.last() else { break };
            after = Some(*last);
            seen.extend(page.into_iter().map(|(alert, _)| alert));
        }
        assert_eq!(seen.len(), 57);
        assert!(order != Order::Due || seen.is_sorted_by_key(|it| it.take_by_ms.unwrap_or(i64::MAX)));
        let ids: std::collections::BTreeSet<_> = seen.iter().map(|it| &it.alert).collect();
        assert_eq!(ids.len(), 57, "{order:?}");
    }
}

/// How many runs; `WATCHPOST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("WATCHPOST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

/// Anything that can happen.
#[derive(Clone, Debug)]
enum Event {
    Arrive(usize, Vec<(u64, u8, bool)>),
    Step(u8, u64, u8),
    Hide(usize, bool),
    Suppress(u8, u8),
    EndSuppression,
    Roster(u8),
    Calendar(u8),
    Case(u8, u64),
    CatchUp,
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0_usize..2, prop::collection::vec((1_u64..9, 0_u8..12, any::<bool>()), 1..5))
            .prop_map(|(device, findings)| Event::Arrive(device, findings)),
        8 => (0_u8..3, 1_u64..9, 0_u8..14).prop_map(|(by, alert, step)| Event::Step(by, alert, step)),
        1 => (0_usize..2, any::<bool>()).prop_map(|(device, hide)| Event::Hide(device, hide)),
        1 => (0_u8..4, 1_u8..50).prop_map(|(what, hours)| Event::Suppress(what, hours)),
        1 => Just(Event::EndSuppression),
        1 => (0_u8..4).prop_map(Event::Roster),
        1 => (0_u8..3).prop_map(Event::Calendar),
        1 => (0_u8..4, 1_u64..9).prop_map(|(step, alert)| Event::Case(step, alert)),
        3 => Just(Event::CatchUp),
        1 => Just(Event::Restart),
    ]
}

/// What is counted on the way is what a count of everything gives, and no alert stands as none can.
fn is_sound(db: &Connection) {
    let counted = "
        SELECT count(*) FROM alert LEFT JOIN (
            SELECT alert AS id, count(DISTINCT finding) AS findings, max(level) AS level, min(nullif(msgtime_ms, 0)) AS first,
                max(msgtime_ms) AS last
            FROM observation JOIN device ON device.id = observation.device WHERE NOT quarantined AND alert IS NOT NULL GROUP BY alert
        ) AS seen ON seen.id = alert.id
        WHERE alert.findings <> coalesce(seen.findings, 0)
           OR (seen.findings > 0 AND (alert.level <> seen.level OR first_msgtime_ms <> seen.first OR last_msgtime_ms <> seen.last))";
    let impossible = "
        SELECT count(*) FROM alert WHERE (state = 1 AND assignee = '') OR (state = 2) <> (closed_ms IS NOT NULL)
           OR (state = 2 AND ending IS NULL) OR (findings > 0 AND opened_ms = 0) OR (touched AND suppressed_by IS NOT NULL)
           OR (ending = 'withdrawn' AND state = 2 AND findings > 0)";
    for query in [counted, impossible] {
        let wrong: i64 = db.query_row(query, [], |row| row.get(0)).unwrap();
        assert_eq!(wrong, 0, "{query}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever people do, whatever arrives, however it is cut into batches, restarted or made anew: the same comes of it.
    #[test]
    fn the_log_alone_says_how_alerts_stand(events in prop::collection::vec(event(), 1..60)) {
        let mut log = Log::new();
        let mut devices = [log.lab.device(), log.lab.device()];
        let mut at_ms = china("2026-02-12", 16, 0);
        let mut deriver = Some(log.deriver());
        let mut version = 0;
        for event in &events {
            at_ms += 37 * MINUTE;
            match event {
                Event::Arrive(which, findings) => {
                    let findings: Vec<Summary> = findings.iter().map(|(number, shape, withdrawn)| changed(*number, |it| {
                        it.rule = format!("r{}", number % 3);
                        it.person = ["ww1/zhang", "ww1/li"][usize::from(*shape % 2)].into();
                        it.level = 1 + i32::from(*shape % 5);
                        it.sla_s = u64::from(*shape % 3) * 1_800;
                        it.status = if *shape == 11 { RuleStatus::Shadow } else { RuleStatus::Live }.into();
                        it.msgtime_ms = at_ms - i64::from(*shape) * HOUR;
                        it.withdrawn = *withdrawn && *shape > 6;
                    })).collect();
                    let device = &mut devices[*which];
                    let segment = device.seal(Lane::Urgent, &findings);
                    log.take_at(device, segment, at_ms);
                }
                Event::Step(by, number, step) => {
                    let by = ["li.na", "wang", "boss"][usize::from(*by)];
                    let other = id_of(number % 8 + 1);
                    let step = match step {
                        0 => What::Take,
                        1 => What::Assign(["li.na", "wang"][(number % 2) as usize].into()),
                        2 => What::PutBack,
                        3 => What::Note,
                        4 => What::Close(Ending::Confirmed),
                        5 => What::Close(Ending::FalseAlarm),
                        6 => What::Close(Ending::RuleWithdrawn),
                        7 => What::Duplicate(other),
                        8 => What::Reopen,
                        9 => What::Appeal,
                        10 => What::Grant,
                        11 => What::Deny,
                        12 => What::Step(3),
                        _ => What::Escalate,
                    };
                    let deed = Deed { alerts: vec![id_of(*number)], step, note: "why".into() };
                    log.operate(|appender| desk::act(appender, &deed, &Act { by, reason: "", at_ms })).unwrap();
                }
                Event::Hide(which, hide) => {
                    let verb = if *hide { DeviceVerb::Quarantine } else { DeviceVerb::Release };
                    log.act(&devices[*which], verb);
                }
                Event::Suppress(what, hours) => {
                    let mut asked = Suppress { until_ms: at_ms + i64::from(*hours) * HOUR, from_ms: at_ms, ..Suppress::default() };
                    match what {
                        0 => asked.rule = "r1".into(),
                        1 => asked.person = "ww1/zhang".into(),
                        2 => asked.site = "urumqi".into(),
                        _ => asked.pack = "sample".into(),
                    }
                    log.operate(|appender| desk::suppress(appender, &asked, &Act { by: "boss", reason: "known", at_ms })).unwrap();
                }
                Event::EndSuppression | Event::Case(..) => {
                    deriver.get_or_insert_with(|| log.deriver()).catch_up().unwrap();
                    let db = open_read_only(&log.lab.config.derived_db()).unwrap();
                    let act = Act { by: "boss", reason: "over", at_ms };
                    if let Event::Case(step, number) = event {
                        let open = alerts::cases(&db, log.reader().connection(), None).unwrap().pop();
                        let id = open.map(|case| case.case).unwrap_or_default();
                        let alerts = vec![id_of(*number)];
                        let step = match step {
                            _ if id.is_empty() => CaseStep::Open { person: "ww1/zhang".into(), alerts },
                            0 => CaseStep::Link(alerts),
                            1 => CaseStep::Unlink(alerts),
                            2 => CaseStep::Close(Outcome::Talk),
                            _ => CaseStep::Reopen,
                        };
                        log.operate(|appender| desk::case(appender, &id, &step, "why", &act)).unwrap();
                    } else if let Some(one) = alerts::suppressions(&db, at_ms).unwrap().first() {
                        log.operate(|appender| desk::end_suppression(appender, &one.suppression, &act)).unwrap();
                    }
                }
                Event::Roster(shape) => {
                    version += 1;
                    let site = ["hangzhou", "urumqi"][usize::from(shape % 2)];
                    let department = ["sales", "risk"][usize::from(shape / 2)];
                    roster(&mut log, version, &[("zhang", "sales", site, 0), ("li", department, "hangzhou", 0)]);
                }
                Event::Calendar(shape) => {
                    let value = match shape {
                        0 => String::new(),
                        1 => "\"base: cn\\nhours: { mon-sat: \\\"10:00-19:00\\\" }\"".to_owned(),
                        _ => "\"base: none\\nhours: { sun: \\\"01:00-02:00\\\" }\"".to_owned(),
                    };
                    let act = Act { by: "boss", reason: "", at_ms };
                    log.operate(|appender| settings::set(appender, "calendar/urumqi", &value, &act)).unwrap();
                }
                Event::CatchUp => deriver.get_or_insert_with(|| log.deriver()).catch_up().unwrap(),
                Event::Restart => deriver = None,
            }
        }
        drop(deriver);
        log.deriver().catch_up().unwrap();
        let path = log.lab.config.derived_db();
        let db = open_read_only(&path).unwrap();
        is_sound(&db);
        let followed = dump(&db);
        drop(db);
        std::fs::remove_file(&path).unwrap();
        log.deriver().catch_up().unwrap();
        prop_assert_eq!(dump(&open_read_only(&path).unwrap()), followed);
        prop_assert!(log.reader().checkpoint().unwrap().size > 0);
    }
}
