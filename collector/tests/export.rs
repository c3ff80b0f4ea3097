//! What leaves as a file: what was asked for and no more, nothing a spreadsheet obeys, and never without a record of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;
use support::finding;
use support::offline::Log;
use watchpost_collector::admin::{self, What};
use watchpost_collector::alerts::desk::{Deed, What as Step};
use watchpost_collector::alerts::work::Ending;
use watchpost_collector::audit::{Access, Did};
use watchpost_collector::config::Config;
use watchpost_collector::derive;
use watchpost_collector::export::{Export, Format, to_file};
use watchpost_collector::search::Indexer;
use watchpost_collector::search::find::{Asked, Finder};
use watchpost_collector::search::query::Query;
use watchpost_collector::search::saved;
use watchpost_proto::v1::{Finding, Lane, Summary, summary};

const NOW: i64 = 1_795_104_000_000;

fn with(number: u64, change: impl FnOnce(&mut Finding)) -> Summary {
    let mut summary = finding(number);
    if let Some(summary::Kind::Finding(finding)) = &mut summary.kind {
        finding.msgtime_ms = NOW + number as i64 * 60_000;
        change(finding);
    }
    summary
}

/// A collector's folder with three findings, each of another person.
fn collector() -> (support::Lab, Config) {
    let mut log = Log::new();
    let mut device = log.lab.device();
    let people = ["ww1/a", "ww1/b", "ww1/c"];
    let summaries: Vec<Summary> = (1..)
        .zip(people)
        .map(|(n, person)| {
            with(n, |f| {
                f.person = person.into();
                f.from = person.into();
                f.to = vec!["p_0011223344556677889900aa".into()];
                f.excerpt = format!("=HYPERLINK(\"秘密{n}\")");
                f.msgid = format!("=cmd|{n}");
            })
        })
        .collect();
    log.append(&mut device, Lane::Urgent, &summaries);
    log.deriver().catch_up().unwrap();
    Indexer::open(&log.lab.config.search_db(), log.reader()).unwrap().catch_up().unwrap();
    let config = log.lab.config.clone();
    (log.lab, config)
}

fn done(config: &Config, what: What) -> anyhow::Result<Vec<u64>> {
    let request = admin::Request { what, by: "wang".into(), reason: "why".into(), until_ms: 0 };
    Ok(admin::have_done(config, &request)?.entries)
}

fn exported(config: &Config, text: &str, format: Format, excerpts: bool, path: &Path) -> u64 {
    let query = Query::parse(text, NOW).unwrap();
    let export = Export { query: &query, format, excerpts };
    to_file(&mut Finder::open(config).unwrap(), &export, path, |rows| {
        let subject = format!("findings: {}", query.told());
        done(config, What::Access { access: Access { did: Did::Exported, subject, address: String::new(), rows } })
            .map(drop)
    })
    .unwrap()
}

#[test]
fn a_table_has_what_was_asked_for_and_no_formula() {
    let (lab, config) = collector();
    let path = lab.dir().join("out.csv");
    assert_eq!(exported(&config, "person:a,b", Format::Csv { mark: false }, false, &path), 2);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 3);
    assert!(text.contains("ww1/b") && text.contains("p_0011223344556677889900aa") && !text.contains("ww1/c"));
    assert!(text.contains(",'=cmd|1,") && !text.contains(",=cmd"), "{text}");
    assert!(!text.contains("秘密"), "excerpts only where they were asked for");
    let with_excerpts = lab.dir().join("with.csv");
    exported(&config, "", Format::Csv { mark: true }, true, &with_excerpts);
    let text = std::fs::read_to_string(&with_excerpts).unwrap();
    assert!(
        text.starts_with('\u{feff}')
            && text.contains("摘录 excerpt")
            && text.contains("\"'=HYPERLINK(\"\"秘密1\"\")\""),
        "{text}"
    );
    let book = lab.dir().join("out.xlsx");
    assert_eq!(exported(&config, "", Format::Xlsx, false, &book), 3);
    assert!(std::fs::read(&book).unwrap().starts_with(b"PK"));
}

#[test]
fn no_file_without_a_record_of_it() {
    let (lab, config) = collector();
    let (path, query) = (lab.dir().join("out.csv"), Query::default());
    let export = Export { query: &query, format: Format::Csv { mark: false }, excerpts: false };
    let mut finder = Finder::open(&config).unwrap();
    let before = std::fs::read_dir(lab.dir()).unwrap().count();
    let refused = to_file(&mut finder, &export, &path, |rows| {
        assert_eq!((rows, path.exists()), (3, false), "told before the file is there");
        anyhow::bail!("the log is full")
    });
    assert!(refused.unwrap_err().to_string().contains("the log is full"));
    assert_eq!(std::fs::read_dir(lab.dir()).unwrap().count(), before, "nothing is left");
    exported(&config, "", Format::Jsonl, false, &path);
    let derived = derive::open_read_only(&config.derived_db()).unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?));
    let noted = derived.query_row("SELECT by, subject, count FROM trail WHERE verb = 'exported'", [], row).unwrap();
    assert_eq!(noted, ("wang".into(), "findings: ".into(), 3));
    let again = to_file(&mut finder, &export, &path, |_| Ok(()));
    assert!(again.unwrap_err().to_string().contains("not overwritten"));
}

#[test]
fn events_have_the_names_a_siem_knows() {
    let (lab, config) = collector();
    done(
        &config,
        What::Set { name: "link".into(), value: "{\"template\":\"https://archive.example/{corp}/{msgid}\"}".into() },
    )
    .unwrap();
    let path = lab.dir().join("out.jsonl");
    exported(&config, "person:a", Format::Jsonl, true, &path);
    let event: Value = serde_json::from_str(std::fs::read_to_string(&path).unwrap().trim()).unwrap();
    for (at, expected) in [
        ("/@timestamp", "2026-11-19T16:01:00Z"),
        ("/event/kind", "alert"),
        ("/event/reference", "https://archive.example/ww1/%3Dcmd%7C1"),
        ("/rule/id", "sample.rule"),
        ("/rule/ruleset", "sample"),
        ("/user/name", "ww1/a"),
        ("/organization/id", "ww1"),
        ("/watchpost/message/to/0", "p_0011223344556677889900aa"),
        ("/watchpost/alert/state", "open"),
        ("/message", "=HYPERLINK(\"秘密1\")"),
    ] {
        assert_eq!(event.pointer(at).and_then(Value::as_str), Some(expected), "{at} of {event}");
    }
    assert_eq!(event["event"]["severity"], 73);
    assert_eq!(event["event"]["id"], hex::encode([&1_u64.to_be_bytes()[..], &[0; 24]].concat()));
    assert!(event["user"].get("full_name").is_none(), "what is not known is not there");
}

#[test]
fn alerts_are_found_by_how_they_stand_and_where_they_belong() {
    let (_lab, config) = collector();
    let found = |text: &str| -> Vec<String> {
        let query = Query::parse(text, NOW).unwrap();
        let page = Finder::open(&config).unwrap().find(&Asked::first(&query)).unwrap();
        page.found.into_iter().map(|found| found.person).collect()
    };
    let alert = |person: &str| {
        let query = Query::parse(&format!("person:{person}"), NOW).unwrap();
        let page = Finder::open(&config).unwrap().find(&Asked::first(&query)).unwrap();
        page.found[0].alert.clone().unwrap()
    };
    let deal = |person: &str, step| {
        let deed = Deed { alerts: vec![alert(person)], step, note: "seen".into() };
        done(&config, What::Alert { deed }).unwrap();
    };
    deal("a", Step::Take);
    deal("b", Step::Close(Ending::FalseAlarm));
    assert_eq!(
        (found("state:open"), found("state:taken"), found("state:closed")),
        (vec!["ww1/c".into()], vec!["ww1/a".into()], vec!["ww1/b".into()])
    );
    assert_eq!((found("-state:closed"), found("state:taken person:b")), (vec!["ww1/c".into(), "ww1/a".into()], vec![]));
    // As a roster with departments has it.
    let derived = Connection::open(config.derived_db()).unwrap();
    derived
        .execute("UPDATE alert SET department = iif(person = 'ww1/a', '总行', '总行/零售'), site = 'hz'", [])
        .unwrap();
    assert_eq!((found("dept:总行/零售"), found("dept:总行 site:HZ")), (vec!["ww1/c".into(), "ww1/b".into()], vec![]));
    assert_eq!((found("dept:总行 site:hz").len(), found("dept:零*").len(), found("dept:总*").len()), (3, 0, 3));
    assert_eq!(found("-dept:总行/零售"), ["ww1/a"]);
}

#[test]
fn a_search_is_kept_under_the_name_of_whoever_keeps_it() {
    let (_lab, config) = collector();
    let keep = |name: &str, value: &str| {
        let request = admin::Request {
            what: What::Set { name: saved::setting("wang", name), value: value.into() },
            by: "wang".into(),
            reason: String::new(),
            until_ms: 0,
        };
        admin::have_done(&config, &request)
    };
    keep("weekly", "{\"query\":\"level:high since:7d\"}").unwrap();
    for wrong in ["{\"query\":\"rul:x\"}", "{}", "level:high"] {
        assert!(keep("other", wrong).is_err(), "{wrong}");
    }
    assert!(keep("a/b", "{\"query\":\"\"}").is_err());
    let list = |by: &str| saved::list(&derive::open_read_only(&config.derived_db()).unwrap(), by).unwrap();
    assert_eq!(
        list("wang").iter().map(|(name, it)| (name.as_str(), it.query.as_str())).collect::<Vec<_>>(),
        [("weekly", "level:high since:7d")]
    );
    assert!(list("wan").is_empty());
    keep("weekly", "").unwrap();
    assert!(list("wang").is_empty());
}
