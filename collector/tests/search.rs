//! What is asked for is found, all of it and nothing else, and what was erased is in no file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;
use support::finding;
use support::offline::Log;
use watchpost_collector::admin::{self, What};
use watchpost_collector::alerts;
use watchpost_collector::config::Config;
use watchpost_collector::credentials;
use watchpost_collector::erasure::{Deed, Scope};
use watchpost_collector::log_store::LogReader;
use watchpost_collector::log_store::check::check;
use watchpost_collector::names::{self, Kind, Named};
use watchpost_collector::search::find::{Asked, Finder, PATIENCE, Page};
use watchpost_collector::search::grams::{Phrase, fold};
use watchpost_collector::search::query::Query;
use watchpost_collector::search::{Indexer, SearchError};
use watchpost_collector::trust::Trust;
use watchpost_proto::v1::{DeviceVerb, Finding, Hit, Lane, Level, RuleStatus, Summary, summary};

const NOW: i64 = 1_795_104_000_000;
const HOUR: i64 = 3_600_000;
const WANG: &str = "p_0011223344556677889900aa";
const ROOM: &str = "p_ffeeddccbbaa998877665544";

fn with(number: u64, change: impl FnOnce(&mut Finding)) -> Summary {
    let mut summary = finding(number);
    if let Some(summary::Kind::Finding(finding)) = &mut summary.kind {
        finding.msgtime_ms = NOW;
        change(finding);
    }
    summary
}

fn index(log: &Log) {
    log.deriver().catch_up().unwrap();
    Indexer::open(&log.lab.config.search_db(), log.reader()).unwrap().catch_up().unwrap();
}

fn query(text: &str) -> Query {
    Query::parse(text, NOW).unwrap()
}

fn page(config: &Config, text: &str) -> Page {
    Finder::open(config).unwrap().find(&Asked::first(&query(text))).unwrap()
}

/// The messages found, in the order they are told.
fn found(log: &Log, text: &str) -> Vec<String> {
    page(&log.lab.config, text).found.into_iter().map(|found| found.msgid).collect()
}

fn set(log: &Log, text: &str) -> BTreeSet<String> {
    found(log, text).into_iter().collect()
}

fn ids<const N: usize>(ids: [&str; N]) -> BTreeSet<String> {
    ids.into_iter().map(str::to_owned).collect()
}

/// Has something done as a command does, while no collector runs.
fn done(config: &Config, what: What) -> Vec<u64> {
    let request = admin::Request { what, by: "wang".into(), reason: "asked for it".into(), until_ms: 0 };
    admin::have_done(config, &request).unwrap().entries
}

fn sample() -> Log {
    let mut log = Log::new();
    let mut a = log.lab.device();
    log.append(
        &mut a,
        Lane::Urgent,
        &[
            with(1, |f| {
                f.pack = "finance".into();
                f.rule = "fin.guaranteed".into();
                f.category = "mis-selling".into();
                f.excerpt = "这款产品保本保收益，加ＶＸ 聊".into();
                f.hits = vec![Hit { word: "保本保收益".into(), ..Hit::default() }];
                f.room = ROOM.into();
            }),
            with(2, |f| {
                f.pack = "finance".into();
                f.rule = "fin.private".into();
                f.level = Level::Low.into();
                f.person = "wwEXAMPLE1/li.na".into();
                f.from = WANG.into();
                f.to = vec!["wwEXAMPLE1/li.na".into()];
                f.excerpt = "保證收益，本保".into();
                f.msgtime_ms = NOW - 48 * HOUR;
            }),
            with(3, |f| {
                f.pack = "ads".into();
                f.level = Level::Critical.into();
                f.msgtype = "link".into();
                f.msgtime_ms = 0;
                f.excerpt = String::new();
            }),
            with(4, |f| f.status = RuleStatus::Shadow.into()),
        ],
    );
    index(&log);
    log
}

#[test]
fn a_finding_is_found_by_everything_it_is_about() {
    let log = sample();
    for (text, expected) in [
        ("", ids(["m1", "m2", "m3"])),
        ("rule:fin.*", ids(["m1", "m2"])),
        ("rule:finance/fin.guaranteed", ids(["m1"])),
        ("pack:ads,finance -rule:fin.private", ids(["m1", "m3"])),
        ("category:mis-selling", ids(["m1"])),
        ("level:>=high", ids(["m1", "m3"])),
        ("-level:low level:<critical", ids(["m1"])),
        ("type:link", ids(["m3"])),
        ("word:保本保收益", ids(["m1"])),
        ("word:保本", ids([])),
        ("person:wwEXAMPLE1/li.na", ids(["m2"])),
        ("person:wwexample1/Li.Na", ids(["m2"])),
        ("person:LI.NA", ids(["m2"])),
        ("person:WW*/*", ids(["m1", "m2", "m3"])),
        ("person:wwex*/*", ids(["m2"])),
        ("-person:ww*/*", ids([])),
        ("-person:ww*", ids(["m1", "m2", "m3"])),
        ("person:nobody", ids([])),
        ("-person:nobody", ids(["m1", "m2", "m3"])),
        (&format!("room:{ROOM}"), ids(["m1"])),
        (&format!("from:{WANG}"), ids(["m2"])),
        ("to:li.na", ids(["m2"])),
        (&format!("with:li.na -from:{WANG}"), ids([])),
        ("since:24h level:high", ids(["m1"])),
        ("since:2026-11-17 until:2026-11-18", ids(["m2"])),
        ("保本", ids(["m1"])),
        ("保证", ids(["m2"])),
        ("保", ids(["m1", "m2"])),
        ("保本收益", ids([])),
        ("-保本", ids(["m2", "m3"])),
        ("-保本保收", ids(["m2", "m3"])),
        ("vx", ids(["m1"])),
        ("\"vx 聊\" 产品", ids(["m1"])),
        ("state:open", ids(["m1", "m2", "m3"])),
        ("-state:open,taken", ids([])),
        ("state:closed", ids([])),
    ] {
        assert_eq!(set(&log, text), expected, "{text}");
    }
    assert_eq!(page(&log.lab.config, "rule:nothing").unknown, ["nothing"]);
    let wrong = query("state:asleep");
    let told = Finder::open(&log.lab.config).unwrap().find(&Asked::first(&wrong)).unwrap_err();
    assert!(matches!(told, SearchError::Told(told) if told.contains("write open, taken")));
}

#[test]
fn what_is_found_says_which_alert_it_belongs_to() {
    let log = sample();
    let finder = Finder::open(&log.lab.config).unwrap();
    for found in page(&log.lab.config, "").found {
        let id = hex::decode(found.alert.unwrap()).unwrap();
        let alert = alerts::find(finder.derived(), &id).unwrap().unwrap();
        assert_eq!(
            (alert.pack, alert.rule, alert.person, alert.day),
            (found.pack, found.rule, found.person, found.day)
        );
    }
}

#[test]
fn names_of_customers_and_rooms_are_found_and_can_be_erased() {
    let log = sample();
    let config = log.lab.config.clone();
    drop(log.store);
    let name = |pseudonym: &str, kind, name: &str| Named { pseudonym: pseudonym.into(), kind, name: name.into() };
    let added = vec![name(WANG, Kind::Customer, "王芳芳绝密"), name(ROOM, Kind::Room, "理财一群")];
    assert_eq!(done(&config, What::Name { added, removed: Vec::new() }).len(), 1);
    let ask = |text: &str| page(&config, text).found.into_iter().map(|it| it.msgid).collect::<Vec<_>>();
    assert_eq!(
        (ask("from:wff"), ask("with:王芳"), ask("room:lcyq")),
        (vec!["m2".into()], vec!["m2".into()], vec!["m1".into()])
    );
    assert_eq!(ask("room:王芳"), Vec::<String>::new(), "a customer is no room");
    assert!(holds(&config.data_dir, "王芳芳绝密"), "the look for it sees it");
    done(&config, What::Name { added: Vec::new(), removed: vec![WANG.into()] });
    assert_eq!((ask("from:wff"), ask("room:lcyq")), (Vec::new(), vec!["m1".into()]));
    assert!(!holds(&config.data_dir, "王芳芳绝密"));
    let wrong = What::Name { added: vec![name("p_1", Kind::Room, "x")], removed: Vec::new() };
    let request = admin::Request { what: wrong, by: String::new(), reason: String::new(), until_ms: 0 };
    assert!(admin::have_done(&config, &request).is_err());
}

#[test]
fn a_list_that_comes_twice_is_kept_once_and_a_name_goes_with_all_it_was() {
    let log = sample();
    let config = log.lab.config.clone();
    drop(log.store);
    let name = |name: &str| vec![Named { pseudonym: WANG.into(), kind: Kind::Customer, name: name.into() }];
    let changed = |added, removed| {
        let what = What::Name { added, removed };
        let request = admin::Request { what, by: "wang".into(), reason: "list".into(), until_ms: 0 };
        admin::have_done(&config, &request).map(|done| done.entries).map_err(|error| error.to_string())
    };
    let asides = || {
        let db = rusqlite::Connection::open(config.log_db()).unwrap();
        db.query_row("SELECT count(*) FROM aside", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(changed(name("王芳芳绝密"), Vec::new()).unwrap().len(), 1);
    assert_eq!(changed(name("王芳芳绝密"), Vec::new()).unwrap(), [] as [u64; 0], "it stands so already");
    assert_eq!(asides(), 1);
    assert_eq!(changed(name("王方方机密"), Vec::new()).unwrap().len(), 2, "one goes, one comes");
    assert!(asides() == 1 && !holds(&config.data_dir, "王芳芳绝密"));
    assert_eq!(page(&config, "from:王方方").found.len(), 1);
    changed(Vec::new(), vec![WANG.into()]).unwrap();
    assert!(asides() == 0 && !holds(&config.data_dir, "王方方机密"));
    assert!(changed(Vec::new(), vec![WANG.into()]).unwrap_err().contains("has no name"));
    std::fs::remove_file(config.search_db()).unwrap();
    Indexer::open(&config.search_db(), LogReader::open(&config.log_db()).unwrap()).unwrap().catch_up().unwrap();
    assert_eq!(page(&config, "from:王方方").found.len(), 0, "no name comes back");
    assert_eq!(names::list(Finder::open(&config).unwrap().connection()).unwrap(), []);
    let trust = Trust::new(&credentials::trusted(&config.root).unwrap(), support::TENANT).unwrap();
    check(&LogReader::open(&config.log_db()).unwrap(), &trust, &[], |_| ()).unwrap();
}

/// Whether any file of a folder has these bytes.
fn holds(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap().filter_map(|entry| entry.ok().map(|entry| entry.path()));
    files
        .filter(|path| path.is_file())
        .any(|path| std::fs::read(path).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes()))
}

#[test]
fn what_was_erased_is_neither_found_nor_in_the_file() {
    let mut log = sample();
    let mut device = log.lab.device();
    let secret = with(7, |f| {
        f.person = "ww1/erased".into();
        f.excerpt = "qzxsecret".into();
    });
    log.append(&mut device, Lane::Urgent, &[secret]);
    index(&log);
    let config = log.lab.config.clone();
    assert_eq!((set(&log, "qzxsecret"), holds(&config.data_dir, "qzxsecret")), (ids(["m7"]), true));
    drop(log.store);
    done(&config, What::Keep { deed: Deed::Erase(Scope::Person("ww1/erased".into())) });
    assert!(page(&config, "qzxsecret").found.is_empty() && page(&config, "person:erased").found.is_empty());
    assert_eq!(page(&config, "").found.len(), 3);
    assert!(!holds(&config.data_dir, "qzxsecret"));
}

#[test]
fn a_later_record_replaces_and_a_quarantine_hides() {
    let mut log = Log::new();
    let (mut a, mut b) = (log.lab.device(), log.lab.device());
    log.append(&mut a, Lane::Urgent, &[with(1, |_| {}), with(2, |_| {})]);
    log.append(&mut b, Lane::Urgent, &[with(2, |f| f.excerpt = "别处".into()), with(3, |_| {})]);
    index(&log);
    assert_eq!((set(&log, "保本"), set(&log, "别处")), (ids(["m1", "m2", "m3"]), ids([])), "the first tells it");
    let of = |device: &support::Device| format!("device:{}", &device.id.to_string()[..13]);
    assert_eq!((set(&log, &of(&b)), set(&log, &of(&a))), (ids(["m2", "m3"]), ids(["m1", "m2"])));
    log.act(&a, DeviceVerb::Quarantine);
    index(&log);
    assert_eq!((set(&log, "保本"), set(&log, "别处")), (ids(["m3"]), ids(["m2"])), "now the other does");
    log.act(&a, DeviceVerb::Release);
    log.append(&mut a, Lane::Urgent, &[with(2, |f| f.withdrawn = true), with(1, |f| f.excerpt = "改了".into())]);
    index(&log);
    assert_eq!((set(&log, "改了"), set(&log, "保本"), set(&log, "别处")), (ids(["m1"]), ids(["m3"]), ids(["m2"])));
    log.append(&mut b, Lane::Urgent, &[with(2, |f| f.withdrawn = true)]);
    index(&log);
    assert_eq!(set(&log, ""), ids(["m1", "m3"]));
}

#[test]
fn no_number_and_no_length_hides_a_finding() {
    let mut log = Log::new();
    let mut device = log.lab.device();
    let long = format!("ww1/{}", "z".repeat(5_000));
    log.append(
        &mut device,
        Lane::Urgent,
        &[
            with(1, |f| f.msgtime_ms = i64::MAX),
            with(2, |f| f.msgtime_ms = i64::MIN),
            with(3, |f| f.level = 99),
            with(4, |f| f.level = -1),
            with(5, |f| f.person = long.clone()),
        ],
    );
    index(&log);
    assert_eq!(set(&log, ""), ids(["m1", "m2", "m3", "m4", "m5"]));
    assert_eq!(set(&log, "since:2026-01-01 level:>=info"), ids(["m1", "m3", "m4", "m5"]));
    assert_eq!((set(&log, "level:critical"), set(&log, "level:info")), (ids(["m3"]), ids(["m4"])));
    assert_eq!(set(&log, "person:ww1/zzz*"), ids(["m5"]));
    let db = rusqlite::Connection::open(log.lab.config.search_db()).unwrap();
    let longest: i64 = db.query_row("SELECT max(octet_length(text)) FROM term", [], |row| row.get(0)).unwrap();
    assert_eq!(longest, 256);
}

#[test]
fn a_roster_is_looked_through_in_the_time_there_is() {
    let log = sample();
    let db = rusqlite::Connection::open(log.lab.config.derived_db()).unwrap();
    db.execute_batch(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 30000)
         INSERT INTO person (account, from_ms, until_ms, employee, name, department, site, labels, status, never, leaf)
         SELECT 'ww1/' || n, 0, 0, n, '王' || n, '', '', '[]', '', 0, x'' FROM n",
    )
    .unwrap();
    let mut finder = Finder::open(&log.lab.config).unwrap();
    let (query, at_once) = (query("-employee:zzz"), std::time::Duration::ZERO);
    let told = finder.find(&Asked { patience: at_once, ..Asked::first(&query) }).unwrap_err();
    assert!(matches!(told, SearchError::Told(told) if told.contains("too broad")));
    assert_eq!(finder.find(&Asked::first(&query)).unwrap().found.len(), 3);
}

#[test]
fn pages_follow_each_other_newest_first() {
    let mut log = Log::new();
    let mut device = log.lab.device();
    // More of one minute than stand in it, and some before and after.
    let minute = |n: u64| if n < 5_000 { NOW } else { NOW + HOUR * (n as i64 % 7 - 3) };
    let all: Vec<Summary> = (0..5_200).map(|n| with(n, |f| f.msgtime_ms = minute(n))).collect();
    for part in all.chunks(600) {
        log.append(&mut device, Lane::Urgent, part);
        index(&log);
    }
    let mut finder = Finder::open(&log.lab.config).unwrap();
    let text = query("rule:sample.* since:2026-11-20 until:\"2026-11-20 00:01\"");
    let (mut seen, mut after, mut times) = (BTreeSet::new(), None, Vec::new());
    loop {
        let asked = Asked { query: &text, after: after.as_deref(), limit: 333, patience: PATIENCE };
        let page = finder.find(&asked).unwrap();
        for found in page.found {
            assert!(seen.insert(found.finding_id), "twice");
            times.push(found.msgtime.unwrap());
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let expected = (0..5_200).filter(|n| minute(*n) == NOW).count();
    assert_eq!((seen.len(), times.iter().all(|at| *at == NOW)), (expected, true), "one minute, whole");
    let asked = Asked { query: &query(""), after: None, limit: 1_000, patience: PATIENCE };
    let newest: Vec<i64> = finder.find(&asked).unwrap().found.into_iter().filter_map(|it| it.msgtime).collect();
    assert!(newest.is_sorted_by(|a, b| a >= b) && newest[0] == NOW + 3 * HOUR);
    assert!(finder.find(&Asked { query: &query(""), after: Some("x"), limit: 1, patience: PATIENCE }).is_err());
}

#[test]
fn a_file_that_was_deleted_or_is_of_another_log_is_made_anew() {
    let log = sample();
    let path = log.lab.config.search_db();
    let before = page(&log.lab.config, "");
    std::fs::remove_file(&path).unwrap();
    index(&log);
    assert_eq!(page(&log.lab.config, ""), before);
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute("UPDATE position SET log_id = x'00'", []).unwrap();
    drop(db);
    index(&log);
    assert_eq!(page(&log.lab.config, ""), before);
    std::fs::write(&path, "no database").unwrap();
    index(&log);
    assert_eq!(page(&log.lab.config, ""), before);
}

/// A finding as the property knows it.
#[derive(Clone, Debug)]
struct Known {
    rule: String,
    person: String,
    level: i32,
    time: i64,
    excerpt: String,
}

const EXCERPTS: [&str; 6] = ["保本保收益", "保，本", "ＶＸ 加我vx", "", "第一 保證金1", "abc保本a"];
const TEXTS: [&str; 9] = ["保本", "保", "本保收", "vx", "a", "加我vx", "保本a", "第一", "证金"];
const RULES: [&str; 3] = ["fin.a", "fin.b", "ads.a"];
const PEOPLE: [&str; 3] = ["ww1/zhang", "ww1/li", "ww2/li"];

fn known() -> impl Strategy<Value = Known> {
    (0..RULES.len(), 0..PEOPLE.len(), 1..=5_i32, 0..10_i64, 0..EXCERPTS.len()).prop_map(
        |(rule, person, level, hour, excerpt)| Known {
            rule: RULES[rule].into(),
            person: PEOPLE[person].into(),
            level,
            time: NOW - hour * HOUR,
            excerpt: EXCERPTS[excerpt].into(),
        },
    )
}

/// A condition as it is typed, and as it is meant.
#[derive(Clone, Debug)]
enum Meant {
    Text(&'static str),
    Rule(&'static str),
    Person(&'static str),
    AtLeast(i32),
    Since(i64),
}

impl Meant {
    fn typed(&self) -> String {
        match self {
            Self::Text(text) => format!("\"{text}\""),
            Self::Rule(rule) => format!("rule:{rule}"),
            Self::Person(person) => format!("person:{person}"),
            Self::AtLeast(level) => {
                format!("level:>={}", ["info", "low", "medium", "high", "critical"][*level as usize - 1])
            }
            Self::Since(hours) => format!("since:{hours}h"),
        }
    }

    fn holds(&self, known: &Known) -> bool {
        let fits = |pattern: &str, text: &str| match pattern.strip_suffix('*') {
            Some(beginning) => text.starts_with(beginning),
            None => text == pattern || text.split_once('/').is_some_and(|(_, userid)| userid == pattern),
        };
        match self {
            Self::Text(text) => Phrase::of(text).unwrap().is_in(&fold(&known.excerpt)),
            Self::Rule(rule) => fits(rule, &known.rule),
            Self::Person(person) => fits(person, &known.person),
            Self::AtLeast(level) => known.level >= *level,
            Self::Since(hours) => known.time >= NOW - hours * HOUR,
        }
    }
}

fn meant() -> impl Strategy<Value = Meant> {
    prop_oneof![
        proptest::sample::select(&TEXTS[..]).prop_map(Meant::Text),
        proptest::sample::select(&["fin.a", "fin.*", "ads.a", "x"][..]).prop_map(Meant::Rule),
        proptest::sample::select(&["li", "ww1/*", "ww2/li", "nobody"][..]).prop_map(Meant::Person),
        (1..=5_i32).prop_map(Meant::AtLeast),
        (0..12_i64).prop_map(Meant::Since),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_found_is_what_a_plain_look_through_finds(
        all in proptest::collection::vec(known(), 1..40),
        asked in proptest::collection::vec(proptest::collection::vec((meant(), any::<bool>()), 0..4), 12),
    ) {
        let mut log = Log::new();
        let mut device = log.lab.device();
        let summaries: Vec<Summary> = (0..).zip(&all).map(|(n, known)| with(n, |f| {
            f.rule = known.rule.clone();
            f.person = known.person.clone();
            f.level = known.level;
            f.msgtime_ms = known.time;
            f.excerpt = known.excerpt.clone();
        })).collect();
        for part in summaries.chunks(7) {
            log.append(&mut device, Lane::Urgent, part);
            index(&log);
        }
        for terms in asked {
            let minus = |term: &Meant, not: bool| not && !matches!(term, Meant::Since(_));
            let typed: Vec<String> =
                terms.iter().map(|(term, not)| format!("{}{}", if minus(term, *not) { "-" } else { "" }, term.typed())).collect();
            let expected: BTreeSet<String> = (0..).zip(&all)
                .filter(|(_, known)| terms.iter().all(|(term, not)| term.holds(known) != minus(term, *not)))
                .map(|(n, _): (u64, _)| format!("m{n}")).collect();
            prop_assert_eq!(set(&log, &typed.join(" ")), expected, "{:?}", typed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_typed_is_a_query_or_a_mistake(
        text in "([a-z]{0,6}[:：\"“-]{0,2}[保本,，*>=0-9 ]{0,4}){0,6}|\\PC{0,60}",
        now in any::<i64>(),
    ) {
        if let Err(mistake) = Query::parse(&text, now) {
            prop_assert!(!mistake.is_empty());
        }
    }
}
