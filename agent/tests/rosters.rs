//! What a device believes of a roster, whoever hands it on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::sync::Arc;

use support::{CORP, NOW_MS, TestClock, device, hit, pipeline, store, urgent};
use watchpost_agent::clock::Clock;
use watchpost_agent::config::Config;
use watchpost_agent::in_force::Switch;
use watchpost_agent::policies;
use watchpost_agent::rosters::{Bringing, Brought, Rosters};
use watchpost_agent::store::Store;
use watchpost_policy::engine::Standing;
use watchpost_policy::message::Corp;
use watchpost_policy::parse::parse_line;
use watchpost_proto::Message as _;
use watchpost_proto::document::Signers;
use watchpost_proto::keys::{SigningKey, SoftwareKey};
use watchpost_proto::roster::{self, Head, Making, Tree, account_name, leaf_of};
use watchpost_proto::v1::summary::Kind;
use watchpost_proto::v1::{
    RosterDetails, RosterPart, RosterPeriod, RosterRecord, RosterReport, RosterRow, SignedRosterHeader, UnknownAccounts,
};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

struct Hr(SoftwareKey);

struct Roster {
    signed: SignedRosterHeader,
    head: Head,
    records: Vec<RosterRecord>,
    never: Vec<String>,
}

impl Hr {
    fn new() -> Self {
        Self(SoftwareKey::generate().unwrap().0)
    }

    fn id(&self) -> String {
        self.0.public().id().0.to_string()
    }

    /// Accounts with the first moment they are managed, and whether they are never looked at.
    fn roster(&self, people: &[(&str, i64, bool)], previous: Option<&Head>) -> Roster {
        let rows = people.iter().map(|(userid, from_ms, never)| {
            let period = RosterPeriod { from_ms: *from_ms, labels: vec!["sales".into()], ..RosterPeriod::default() };
            let row = RosterRow {
                corp: CORP.into(),
                userid: userid.to_string(),
                periods: vec![period],
                never: *never,
                ..RosterRow::default()
            };
            (row, RosterDetails { name: "李娜".into(), ..RosterDetails::default() })
        });
        let next = Signers::pinned(self.0.public().id());
        let making = Making { tenant: "default", previous, next: &next, at_ms: NOW_MS };
        let (header, records) = roster::make(rows.collect(), &making).unwrap();
        let signed = roster::sign(&header, &[&self.0 as &dyn SigningKey]).unwrap();
        let digest = roster::read_header(&signed, "default").unwrap().digest;
        let mut never: Vec<String> =
            people.iter().filter(|(_, _, never)| *never).map(|(userid, ..)| account_name(CORP, userid)).collect();
        never.sort();
        Roster { signed, head: Head { version: header.version, digest }, records, never }
    }
}

impl Roster {
    fn whole(&self) -> Brought {
        Brought {
            chain: vec![self.signed.clone()],
            never: self.never.clone(),
            rows: self.records.iter().map(|record| record.row.clone()).collect(),
            answers: Vec::new(),
        }
    }

    fn part(&self, only: &[&str]) -> Brought {
        let leaf = |record: &RosterRecord| {
            let row = RosterRow::decode(&record.row[..]).unwrap();
            leaf_of(&account_name(&row.corp, &row.userid), &record.row)
        };
        let tree = Tree::of(self.records.iter().map(leaf).collect());
        let row = |place: usize| self.records.get(place).map(|record| &record.row[..]);
        let answers = only.iter().map(|userid| tree.answer(&account_name(CORP, userid), row)).collect();
        Brought { answers, rows: Vec::new(), ..self.whole() }
    }
}

/// A device on a folder that may be left and come back to.
struct OnDevice {
    store: Arc<Store>,
    switch: Arc<Switch>,
    clock: Arc<TestClock>,
    rosters: Rosters,
}

fn config(dir: &Path, extra: &str) -> Config {
    let text = format!(
        "collector = \"c.example:7443\"\nstate_dir = \"{}\"\n[[folder]]\npath = \"exports\"\ncorp = \"{CORP}\"\n{extra}",
        dir.display()
    );
    Config::parse(&text, dir).unwrap()
}

fn on_device(dir: &Path, extra: &str) -> OnDevice {
    on_device_telling(dir, extra, Box::new(|| ()))
}

fn on_device_telling(dir: &Path, extra: &str, appended: Box<dyn Fn() + Send + Sync>) -> OnDevice {
    let config = config(dir, extra);
    let (store, test_clock) = (store(dir), Arc::new(TestClock::default()));
    let clock = test_clock.clone() as Arc<dyn Clock>;
    let switch = Arc::new(Switch::new(policies::at_start(&config, None).unwrap()));
    let rosters =
        Rosters::new(&config, (&device(), &store, &clock, &switch), appended, Box::new(|error| panic!("{error}")));
    OnDevice { store, switch, clock: test_clock, rosters: rosters.unwrap() }
}

impl OnDevice {
    fn take(&self, roster: &Roster, brought: Brought) -> (u64, String) {
        assert!(self.rosters.request(&roster.head.digest.0).is_some(), "it is asked for");
        self.rosters.take(&roster.head.digest.0, brought);
        let told = self.reports().pop().map(|report| report.refused).unwrap_or_default();
        (self.switch.now().roster_version, told)
    }

    fn reports(&self) -> Vec<RosterReport> {
        let report = |kind| match kind {
            Kind::RosterReport(report) => Some(report),
            _ => None,
        };
        urgent(&self.store).into_iter().filter_map(report).collect()
    }

    fn standing(&self, line: &str) -> Standing {
        self.switch.now().engine.standing(&Corp::new(CORP), &parse_line(line.as_bytes()).message.unwrap())
    }
}

const PEOPLE: [(&str, i64, bool); 4] =
    [("li.na", 0, false), ("wang", 0, false), ("gong.hui", 0, true), ("lv.shi", 0, true)];

/// A reason, and how what is brought is spoilt for it.
type Case = (&'static str, fn(&mut Brought));

#[test]
fn a_collector_that_changes_omits_or_shortens_is_refused_and_the_last_good_one_stays() {
    let (dir, hr) = (tempfile::tempdir().unwrap(), Hr::new());
    let it = on_device(dir.path(), &format!("[roster]\nkey = \"{}\"\n", hr.id()));
    assert!(it.switch.now().awaits_roster, "nothing is read before it has come");
    let first = hr.roster(&PEOPLE, None);
    assert_eq!(it.take(&first, first.whole()), (1, String::new()));
    assert!(!it.switch.now().awaits_roster);
    let cases: [Case; 6] = [
        ("rows_altered", |brought| {
            let mut row = RosterRow::decode(&brought.rows[0][..]).unwrap();
            row.periods.clear();
            brought.rows[0] = row.encode_to_vec();
        }),
        ("rows_altered", |brought| drop(brought.rows.remove(1))),
        ("rows_altered", |brought| brought.rows.swap(0, 1)),
        ("never_list_altered", |brought| drop(brought.never.remove(0))),
        ("never_list_altered", |brought| brought.never.clear()),
        ("malformed", |brought| brought.chain.clear()),
    ];
    for (at, (word, change)) in cases.into_iter().enumerate() {
        let more: Vec<(String, i64, bool)> =
            PEOPLE.iter().map(|(userid, from, never)| (userid.to_string(), from + at as i64 + 1, *never)).collect();
        let more: Vec<(&str, i64, bool)> =
            more.iter().map(|(userid, from, never)| (userid.as_str(), *from, *never)).collect();
        let next = hr.roster(&more, Some(&first.head));
        let mut brought = next.whole();
        change(&mut brought);
        assert_eq!(it.take(&next, brought), (1, word.to_owned()), "{at}");
        assert!(it.rosters.request(&next.head.digest.0).is_none(), "it is not asked for again and again");
    }
    // Nothing of it was kept either.
    drop(it);
    let again = on_device(dir.path(), &format!("[roster]\nkey = \"{}\"\n", hr.id()));
    assert_eq!(again.switch.now().roster_version, 1);
}

#[test]
fn older_others_and_strangers_rosters_are_refused() {
    let (dir, hr, stranger) = (tempfile::tempdir().unwrap(), Hr::new(), Hr::new());
    let extra = format!("[roster]\nkey = \"{}\"\n", hr.id());
    let it = on_device(dir.path(), &extra);
    let foreign = stranger.roster(&PEOPLE, None);
    assert_eq!(it.take(&foreign, foreign.whole()), (0, "signature_invalid".into()));
    let first = hr.roster(&PEOPLE, None);
    let second = hr.roster(&PEOPLE[..3], Some(&first.head));
    let other = hr.roster(&PEOPLE[1..], Some(&first.head));
    assert_eq!(it.take(&second, second.whole()), (2, String::new()));
    assert_eq!(it.take(&first, first.whole()), (2, "older".into()));
    assert_eq!(it.take(&other, other.whole()), (2, "two_of_one_version".into()));
    assert!(it.rosters.request(&second.head.digest.0).is_none(), "it is here");
    // Also where the file is gone: the database knows how far it had come.
    drop(it);
    std::fs::remove_dir_all(dir.path().join("roster")).unwrap();
    let again = on_device(dir.path(), &extra);
    assert!(again.switch.now().awaits_roster);
    assert_eq!(again.take(&first, first.whole()).0, 0);
    assert_eq!(again.reports().len(), 4, "which was told before");
    assert_eq!(again.take(&second, second.whole()), (2, String::new()));
    let unpinned = tempfile::tempdir().unwrap();
    let it = on_device(unpinned.path(), "");
    assert!(!it.switch.now().awaits_roster, "without a pin nothing is awaited");
    assert_eq!(it.take(&first, first.whole()), (0, "no_key".into()));
}

#[test]
fn never_beats_everything_and_a_device_lifts_nothing() {
    let (dir, hr) = (tempfile::tempdir().unwrap(), Hr::new());
    let list = dir.path().join("own.csv");
    std::fs::write(&list, format!("corp,userid,name,labels,never\n{CORP},li.na,,,\n{CORP},bao.mi,,,true\n")).unwrap();
    let extra = format!("[accounts]\nfile = \"{}\"\n[roster]\nkey = \"{}\"\n", list.display(), hr.id());
    let it = on_device(dir.path(), &extra);
    let mut people = PEOPLE.to_vec();
    people.push(("bao.mi", 0, false));
    let roster = hr.roster(&people, None);
    assert_eq!(it.take(&roster, roster.whole()).0, 1);
    let to = |from: &str, to: &str| {
        hit("m").replace("\"li.na\"", &format!("\"{from}\"")).replace("wmExAmPlEAAA0001customerAAAAAAAA", to)
    };
    assert_eq!(it.standing(&to("li.na", "wmExAmPlEAAA0001customerAAAAAAAA")), Standing::Evaluate);
    assert_eq!(it.standing(&to("li.na", "Gong.Hui")), Standing::Never, "by the roster");
    assert_eq!(it.standing(&to("li.na", "bao.mi")), Standing::Never, "by the device, whatever the roster says");
    assert_eq!(
        it.standing(&to("wang", "wmExAmPlEAAA0001customerAAAAAAAA")),
        Standing::OutOfScope,
        "not on the device's list"
    );
    let report = it.reports().pop().unwrap();
    assert_eq!((report.managed, report.never), (1, 3));
}

#[test]
fn a_personal_device_holds_one_row_and_cannot_be_told_that_there_is_none() {
    let hr = Hr::new();
    let extra = format!("[accounts]\nonly = [\"{CORP}/Wang\"]\n[roster]\nkey = \"{}\"\n", hr.id());
    let first = hr.roster(&PEOPLE, None);
    let mut short = first.part(&["wang"]);
    short.never.pop();
    // Everybody's rows, another's row, or nobody's: none of them is what was asked for.
    for (brought, word) in [
        (first.whole(), "rows_altered"),
        (first.part(&["li.na"]), "rows_altered"),
        (first.part(&["nobody"]), "rows_altered"),
        (short, "never_list_altered"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(on_device(dir.path(), &extra).take(&first, brought), (0, word.into()));
        assert!(!dir.path().join("roster").exists());
    }
    let dir = tempfile::tempdir().unwrap();
    let again = on_device(dir.path(), &extra);
    let asked = again.rosters.request(&first.head.digest.0).unwrap();
    assert_eq!(asked.only, [format!("{CORP}/wang")]);
    again.rosters.take(&first.head.digest.0, first.part(&["wang"]));
    assert_eq!(again.switch.now().roster_version, 1);
    let held = std::fs::read(dir.path().join("roster/held.roster")).unwrap();
    let has = |text: &str| held.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert_eq!([has("wang"), has("li.na"), has("gong.hui"), has("李娜")], [true, false, true, false]);
    assert_eq!(again.standing(&hit("m").replace("li.na", "wang")), Standing::Evaluate);
    assert_eq!(again.standing(&hit("m")), Standing::OutOfScope);
}

#[test]
fn accounts_that_nobody_knows_are_told_as_pseudonym_and_count_and_only_if_the_policy_says_so() {
    use watchpost_agent::config::Folder;
    use watchpost_agent::in_force::InForce;
    use watchpost_agent::intake::Intake;
    let told = |report: bool, knows_all: bool| {
        let dir = tempfile::tempdir().unwrap();
        let (exports, state) = (dir.path().join("exports"), dir.path().join("state"));
        std::fs::create_dir_all(&exports).unwrap();
        std::fs::create_dir_all(&state).unwrap();
        let hr = Hr::new();
        let it = on_device(&state, &format!("[roster]\nkey = \"{}\"\n", hr.id()));
        let roster = hr.roster(&PEOPLE, None);
        it.take(&roster, roster.whole());
        let mut pipeline = pipeline(&it.store);
        it.switch.turn(|now| InForce { report_unknown_accounts: report, knows_all, ..now.for_accounts(&now.scope()) });
        pipeline.switch = it.switch.clone();
        pipeline.config.settle = std::time::Duration::ZERO;
        let clock = Arc::new(TestClock::default());
        pipeline.clock = clock.clone();
        let lines =
            [hit("a").replace("li.na", "ghost.user"), hit("b").replace("li.na", "ghost.user"), hit("c")].concat();
        std::fs::write(exports.join("a.jsonl"), lines).unwrap();
        let mut intake = Intake::new(pipeline, vec![Folder::new(exports, Corp::new(CORP))], u64::MAX).unwrap();
        for _ in 0..3 {
            clock.0.fetch_add(DAY_MS / 12, std::sync::atomic::Ordering::Relaxed);
            intake.round(&std::sync::atomic::AtomicBool::new(false), &|| ()).unwrap();
        }
        support::records(&it.store)
            .into_iter()
            .filter_map(|summary| match summary.kind {
                Some(Kind::UnknownAccounts(told)) => Some(told),
                _ => None,
            })
            .collect::<Vec<UnknownAccounts>>()
    };
    let said = told(true, true);
    assert_eq!(said.len(), 1);
    let account = &said[0].accounts[0];
    assert_eq!((account.messages, said[0].total, account.corp.as_str()), (2, 1, CORP));
    assert!(account.pseudonym.starts_with("p_") && !format!("{said:?}").contains("ghost"));
    assert_eq!((told(false, true).len(), told(true, false).len()), (0, 0));
}

#[test]
fn other_accounts_in_the_configuration_await_their_rows_and_read_nothing_by_those_of_others() {
    let (dir, hr) = (tempfile::tempdir().unwrap(), Hr::new());
    let extra = |only: &str| format!("[accounts]\nonly = [{only}]\n[roster]\nkey = \"{}\"\n", hr.id());
    let [wang, li] = ["wang", "li.na"].map(|userid| extra(&format!("\"{CORP}/{userid}\"")));
    let first = hr.roster(&PEOPLE, None);
    assert_eq!(on_device(dir.path(), &wang).take(&first, first.part(&["wang"])), (1, String::new()));
    assert!(!on_device(dir.path(), &wang).switch.now().awaits_roster);
    for (other, brought) in
        [(li, first.part(&["li.na"])), (format!("[roster]\nkey = \"{}\"\n", hr.id()), first.whole())]
    {
        let it = on_device(dir.path(), &other);
        assert!(it.switch.now().awaits_roster && it.switch.now().roster_version == 0);
        assert_eq!(it.take(&first, brought), (1, String::new()));
        assert!(!it.switch.now().awaits_roster);
        assert_eq!(it.standing(&hit("m")), Standing::Evaluate);
    }
}

#[test]
fn a_refusal_that_was_mended_is_told_and_none_is_told_twice() {
    let (dir, hr) = (tempfile::tempdir().unwrap(), Hr::new());
    let first = hr.roster(&PEOPLE, None);
    for _ in 0..2 {
        assert_eq!(on_device(dir.path(), "").take(&first, first.whole()), (0, "no_key".into()));
    }
    let it = on_device(dir.path(), &format!("[roster]\nkey = \"{}\"\n", hr.id()));
    assert_eq!(it.take(&first, first.whole()), (1, String::new()));
    it.rosters.tell_in_force().unwrap();
    let told: Vec<String> = it.reports().into_iter().map(|report| report.refused).collect();
    assert_eq!(told, ["no_key", ""]);
}

#[test]
fn one_that_was_brought_badly_is_asked_for_again_after_a_pause_that_grows() {
    let (dir, hr) = (tempfile::tempdir().unwrap(), Hr::new());
    let it = on_device(dir.path(), &format!("[roster]\nkey = \"{}\"\n", hr.id()));
    let first = hr.roster(&PEOPLE, None);
    let asks_after = |ms: i64| {
        it.clock.0.fetch_add(ms, std::sync::atomic::Ordering::Relaxed);
        let asked = it.rosters.request(&first.head.digest.0).is_some();
        it.rosters.give_up();
        asked
    };
    let mut bad = first.whole();
    bad.rows.pop();
    let mut pause_ms = 10 * 60 * 1000;
    for _ in 0..10 {
        it.take(&first, bad.clone());
        assert!(!asks_after(pause_ms - 1), "not before {pause_ms}");
        assert!(asks_after(1), "after {pause_ms}");
        pause_ms = (2 * pause_ms).min(DAY_MS);
    }
    assert_eq!(it.reports().len(), 1, "and it is told once");
    assert_eq!(it.take(&first, first.whole()), (1, String::new()));
}

#[test]
fn no_more_is_taken_in_than_the_signed_header_speaks_of() {
    let (hr, stranger) = (Hr::new(), Hr::new());
    let first = hr.roster(&PEOPLE, None);
    let key = format!("[roster]\nkey = \"{}\"\n", hr.id());
    let only = format!("[accounts]\nonly = [\"{CORP}/wang\"]\n{key}");
    let part = |brought: &Brought| RosterPart {
        chain: brought.chain.clone(),
        never: brought.never.clone(),
        rows: brought.rows.clone(),
        answers: brought.answers.clone(),
        ..RosterPart::default()
    };
    let whole = part(&first.whole());
    let of_stranger = RosterPart { chain: stranger.roster(&PEOPLE, None).whole().chain, ..whole.clone() };
    let rows = RosterPart { rows: vec![b"x".to_vec()], ..RosterPart::default() };
    let long = RosterPart { rows: vec![vec![0; 3_000_000]], ..RosterPart::default() };
    let never = RosterPart { never: vec![String::new(); 3], ..RosterPart::default() };
    let one = part(&first.part(&["wang"]));
    let two = RosterPart { answers: [one.answers.clone(), one.answers.clone()].concat(), ..one.clone() };
    let header = RosterPart { rows: Vec::new(), never: Vec::new(), ..whole.clone() };
    // What is configured, the parts that come for ever, and how many of them are taken.
    for (extra, first_part, next, taken) in [
        (&key, &of_stranger, &rows, 1),
        (&key, &whole, &rows, 2),
        (&key, &header, &long, 2),
        (&key, &header, &never, 2),
        (&only, &one, &rows, 2),
        (&only, &two, &rows, 1),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let it = on_device(dir.path(), extra);
        let mut bringing = Bringing::new(&it.rosters, &first.head.digest.0);
        let mut parts = std::iter::once(first_part).chain(std::iter::repeat_n(next, 9));
        let wanted = 1 + parts.by_ref().take_while(|part| bringing.add((*part).clone())).count();
        assert_eq!(wanted, taken);
        let brought = bringing.brought();
        if taken == 1 && extra == &key {
            assert!(brought.rows.is_empty() && brought.never.is_empty(), "nothing of a stranger's");
        }
        assert_ne!(it.take(&first, brought).1, "", "and it is refused");
    }
    let dir = tempfile::tempdir().unwrap();
    let it = on_device(dir.path(), &key);
    let mut bringing = Bringing::new(&it.rosters, &first.head.digest.0);
    assert!(bringing.add(header));
    assert!(!bringing.add(RosterPart { chain: Vec::new(), last: true, ..whole }));
    assert_eq!(it.take(&first, bringing.brought()), (1, String::new()));
}

#[test]
fn a_roster_can_be_asked_for_after_one_whose_taking_broke_off() {
    let (dir, hr) = (tempfile::tempdir().unwrap(), Hr::new());
    let extra = format!("[roster]\nkey = \"{}\"\n", hr.id());
    let it = on_device_telling(dir.path(), &extra, Box::new(|| panic!("broken off")));
    let first = hr.roster(&PEOPLE, None);
    let second = hr.roster(&PEOPLE[..3], Some(&first.head));
    assert!(it.rosters.request(&first.head.digest.0).is_some());
    assert!(it.rosters.request(&second.head.digest.0).is_none(), "one at a time");
    let take = std::panic::AssertUnwindSafe(|| it.rosters.take(&first.head.digest.0, first.whole()));
    assert!(std::panic::catch_unwind(take).is_err());
    assert!(it.rosters.request(&second.head.digest.0).is_some());
}

#[test]
fn an_older_file_put_back_is_not_taken_at_the_start() {
    let (dir, hr) = (tempfile::tempdir().unwrap(), Hr::new());
    let extra = format!("[roster]\nkey = \"{}\"\n", hr.id());
    let path = dir.path().join("roster/held.roster");
    let first = hr.roster(&PEOPLE, None);
    let second = hr.roster(&PEOPLE[..3], Some(&first.head));
    let it = on_device(dir.path(), &extra);
    it.take(&first, first.whole());
    let older = std::fs::read(&path).unwrap();
    it.take(&second, second.whole());
    drop(it);
    assert_eq!(on_device(dir.path(), &extra).switch.now().roster_version, 2);
    std::fs::write(&path, older).unwrap();
    let it = on_device(dir.path(), &extra);
    assert!(it.switch.now().awaits_roster && it.switch.now().roster_version == 0);
    assert_eq!(it.take(&second, second.whole()), (2, String::new()));
}
