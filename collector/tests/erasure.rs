//! What is erased is gone from every file, and everything else is proved as before.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use support::offline::Log;
use support::{Lab, PATIENCE, finding};
use watchpost_collector::admin::{self, What};
use watchpost_collector::alerts;
use watchpost_collector::clock::Clock;
use watchpost_collector::credentials;
use watchpost_collector::derive::{DeriveError, Deriver, open_read_only};
use watchpost_collector::erasure::{self, Deed, Request, Scope};
use watchpost_collector::evidence::{self, Asked, Candidate, Evidence};
use watchpost_collector::log_key::signed_head;
use watchpost_collector::log_store::LogReader;
use watchpost_collector::log_store::check::{Fault, Sound, check};
use watchpost_collector::trust::Trust;
use watchpost_proto::segment::Head;
use watchpost_proto::v1::{Finding, Lane, Summary, Tally, summary};

const SECRET: &str = "绝密保本承诺";

fn with(number: u64, change: impl FnOnce(&mut Finding)) -> Summary {
    let mut summary = finding(number);
    if let Some(summary::Kind::Finding(finding)) = &mut summary.kind {
        change(finding);
    }
    summary
}

/// A finding about somebody, with a text to look for.
fn about(number: u64, person: &str) -> Summary {
    with(number, |finding| {
        finding.person = person.into();
        finding.excerpt = format!("{SECRET} {person}");
    })
}

fn tally(account: &str) -> Summary {
    let tally = Tally { account: account.into(), hour: 7, revision: 1, sent: 5, ..Tally::default() };
    Summary { made_at_ms: 1, kind: Some(summary::Kind::Tally(tally)), ..Summary::default() }
}

fn id_of(number: u64) -> Vec<u8> {
    match finding(number).kind {
        Some(summary::Kind::Finding(finding)) => finding.finding_id,
        _ => Vec::new(),
    }
}

/// Two people's findings side by side in one segment, repeated by another device and kept in a fork.
fn sample() -> Log {
    let mut log = Log::new();
    let (mut a, mut b) = (log.lab.device(), log.lab.device());
    log.append(&mut a, Lane::Urgent, &[about(1, "ww1/zhang"), about(2, "ww1/li"), about(3, "ww1/zhang")]);
    log.append(&mut b, Lane::Urgent, &[about(1, "ww1/zhang")]);
    log.append(&mut a, Lane::Bulk, &[tally("ww1/zhang"), tally("ww1/li")]);
    let fork = b.seal_at(Head::start(b.epoch), Lane::Urgent, &[about(3, "ww1/zhang")]).segment;
    log.take(&b, fork);
    log.append(
        &mut a,
        Lane::Urgent,
        &[with(1, |f| {
            f.withdrawn = true;
            f.excerpt = format!("{SECRET} ww1/zhang");
        })],
    );
    log.deriver().catch_up().unwrap();
    log
}

fn request(deed: Deed) -> Request {
    Request { deed, by: "wang".into(), reason: "asked for it".into() }
}

fn asked(deed: Deed) -> admin::Request {
    let (by, reason) = ("wang".into(), "asked for it".into());
    admin::Request { what: What::Keep { deed }, by, reason, until_ms: 0 }
}

/// Has it done as a command does, while no collector runs.
fn ask(log: Log, deed: Deed) -> (Log, anyhow::Result<Vec<u64>>) {
    let Log { lab, store } = log;
    drop(store);
    let done = admin::have_done(&lab.config, &asked(deed)).map(|done| done.entries);
    (reopened(lab), done)
}

fn reopened(lab: Lab) -> Log {
    let credentials = credentials::Credentials::load(&lab.config, &Clock::default()).unwrap();
    let store = watchpost_collector::server::open_log(&lab.config, &credentials, &Clock::default()).unwrap().store;
    Log { lab, store }
}

fn erased(log: Log, scope: Scope) -> Log {
    let (log, done) = ask(log, Deed::Erase(scope));
    done.unwrap();
    log
}

fn trust(lab: &Lab) -> Trust {
    Trust::new(&credentials::trusted(&lab.config.root).unwrap(), support::TENANT).unwrap()
}

fn verify(log: &Log) -> Result<Sound, Fault> {
    check(&LogReader::open(&log.lab.config.log_db()).unwrap(), &trust(&log.lab), &[], |_| ())
}

fn person(account: &str) -> Scope {
    Scope::Person(account.into())
}

/// Whether any file of the data folder has these bytes.
fn is_anywhere(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        // A file that is replaced just then is looked at again.
        fs::read(path).is_ok_and(|file| file.windows(text.len()).any(|bytes| bytes == text.as_bytes()))
    })
}

fn persons(log: &Log) -> Vec<String> {
    let db = open_read_only(&log.lab.config.derived_db()).unwrap();
    let mut found = Vec::new();
    alerts::list(&db, |alert| {
        found.push(alert.person);
        Ok::<_, DeriveError>(())
    })
    .unwrap();
    found
}

/// Everything derived, as SQLite writes it.
fn dump(lab: &Lab) -> Vec<Vec<String>> {
    let db = open_read_only(&lab.config.derived_db()).unwrap();
    ["alert", "observation", "record", "finding", "tally", "device", "lane", "loss", "file_report"]
        .into_iter()
        .map(|table| {
            let mut rows = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let columns = rows.column_count();
            let row = |row: &rusqlite::Row<'_>| {
                (0..columns).map(|column| row.get::<_, rusqlite::types::Value>(column)).collect::<Result<Vec<_>, _>>()
            };
            rows.query_map([], row).unwrap().map(|row| format!("{:?}", row.unwrap())).collect()
        })
        .collect()
}

fn export(log: &Log, number: u64) -> anyhow::Result<Evidence> {
    let (reader, derived) = (log.reader(), open_read_only(&log.lab.config.derived_db()).unwrap());
    let head = signed_head(&log.lab.config, &reader).unwrap();
    let head = [Candidate { note: head.note, witnesses: Vec::new() }];
    evidence::export(&reader, &derived, &id_of(number), &head, None)
}

#[test]
fn a_persons_records_are_gone_from_every_file_and_all_else_is_proved() {
    let log = sample();
    let data = log.lab.config.data_dir.clone();
    let size = log.store.checkpoint().size;
    let before = export(&log, 2).unwrap();
    assert_eq!(persons(&log), ["ww1/zhang", "ww1/li"]);
    assert!(is_anywhere(&data, &format!("{SECRET} ww1/zhang")));

    let mut log = erased(log, person("ww1/zhang"));
    assert!(!is_anywhere(&data, &format!("{SECRET} ww1/zhang")), "a file still has it");
    assert!(is_anywhere(&data, &format!("{SECRET} ww1/li")));
    assert_eq!(persons(&log), ["ww1/li"]);
    let sound = verify(&log).unwrap();
    // Two and one findings, a tally, the fork's, and the one that was taken back.
    assert_eq!((sound.size, sound.erased, sound.erased_in), (size + 1, 6, 5));
    for file in [before, export(&log, 2).unwrap()] {
        let proved = evidence::verify(&file, &trust(&log.lab), &Asked::default()).unwrap();
        assert_eq!(proved.records.len(), 1);
    }
    assert!(export(&log, 1).unwrap_err().to_string().contains("there is no alert"));
    // The log goes on, and nothing is left to do.
    let mut device = log.lab.device();
    log.append(&mut device, Lane::Urgent, &[about(9, "ww1/li")]);
    assert!(ask(log, Deed::Erase(person("ww1/zhang"))).1.unwrap().is_empty());
}

#[test]
fn what_is_derived_is_the_same_whether_followed_or_made_anew() {
    let log = sample();
    let mut follower = log.deriver();
    follower.catch_up().unwrap();
    let Log { lab, store } = log;
    drop(store);
    // Not by the command, which would make it anew itself.
    let mut log = reopened(lab);
    let plan = erasure::plan(&log.lab.config, &request(Deed::Erase(person("ww1/zhang"))), 1).unwrap();
    let mut appender = log.store.begin().unwrap();
    erasure::append(&mut appender, &plan).unwrap();
    appender.commit().unwrap();
    let mut device = log.lab.device();
    log.append(&mut device, Lane::Urgent, &[about(8, "ww1/li")]);
    follower.catch_up().unwrap();
    assert_eq!(persons(&log), ["ww1/li"]);
    let followed = dump(&log.lab);
    log.append(&mut device, Lane::Urgent, &[Summary::default()]);
    drop(follower);
    log.deriver().catch_up().unwrap();
    fs::remove_file(log.lab.config.derived_db()).unwrap();
    let mut anew = Deriver::open(&log.lab.config.derived_db(), log.reader()).unwrap();
    anew.catch_up().unwrap();
    let rows = |dump: &[Vec<String>]| dump[..5].to_vec();
    assert_eq!(rows(&dump(&log.lab)), rows(&followed));
}

#[test]
fn an_alert_goes_whole_with_all_its_observers_and_no_other_does() {
    let log = erased(sample(), Scope::Alert(hex::encode(id_of(1))));
    assert_eq!(persons(&log), ["ww1/li"]);
    // The tally stays: it is of no alert.
    assert_eq!(verify(&log).unwrap().erased, 5);
    assert!(is_anywhere(&log.lab.config.data_dir, "ww1/zhang"), "the tally still names the account");
}

#[test]
fn of_a_device_alerts_go_whole_or_not_at_all() {
    let mut log = Log::new();
    let (mut a, mut b) = (log.lab.device(), log.lab.device());
    log.append(&mut a, Lane::Urgent, &[about(1, "ww1/zhang"), about(2, "ww1/li")]);
    log.append(&mut a, Lane::Bulk, &[tally("ww1/zhang")]);
    log.append(&mut b, Lane::Urgent, &[about(1, "ww1/zhang")]);
    log.deriver().catch_up().unwrap();
    let device = |before_ms| Scope::Device { device: a.id.to_string(), before_ms };
    let (log, done) = ask(log, Deed::Erase(device(1)));
    assert!(done.unwrap().is_empty(), "nothing had come before 1970");
    let log = erased(log, device(i64::MAX));
    assert_eq!(persons(&log), ["ww1/zhang"], "the other device tells it as well");
    assert_eq!(verify(&log).unwrap().erased, 2);
}

#[test]
fn a_hold_forbids_it_until_it_is_lifted() {
    let refused = |done: anyhow::Result<Vec<u64>>, expected: &str| {
        let error = done.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let alert = || Scope::Alert(hex::encode(id_of(1)));
    for held in [person("ww1/zhang"), alert()] {
        let (log, set) = ask(sample(), Deed::Hold(held.clone()));
        set.unwrap();
        let (log, again) = ask(log, Deed::Hold(held.clone()));
        refused(again, "stands already");
        for scope in [person("ww1/zhang"), alert()] {
            let (next, done) = ask(reopened_of(&log), Deed::Erase(scope));
            refused(done, "a hold forbids it");
            drop(next);
        }
        let sizes = verify(&log).unwrap();
        assert_eq!((sizes.erased, erasure::standing(&log.reader()).unwrap().len()), (0, 1));
        let (log, lifted) = ask(log, Deed::Lift(held.clone()));
        lifted.unwrap();
        let (log, again) = ask(log, Deed::Lift(held));
        refused(again, "no such hold stands");
        let log = erased(log, person("ww1/zhang"));
        assert_eq!(verify(&log).unwrap().erased, 6);
    }
}

#[test]
fn records_that_are_gone_without_an_erasure_are_seen() {
    let log = erased(sample(), person("ww1/zhang"));
    let db = Connection::open(log.lab.config.log_db()).unwrap();
    let named = |expected: &str| match verify(&log) {
        Err(Fault::Entry { log_index, reason }) => {
            assert!(reason.contains(expected), "{reason}");
            log_index
        }
        other => panic!("{other:?}"),
    };
    let (at, payload): (u64, Vec<u8>) = db
        .query_row("SELECT log_index, bytes FROM payload ORDER BY log_index LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let set = |bytes: &[u8]| db.execute("UPDATE payload SET bytes = ?1 WHERE log_index = ?2", (bytes, at)).unwrap();
    // Somebody takes one more out, by hand.
    set(&watchpost_proto::record::erase(&payload, |_| true).unwrap());
    assert_eq!(named("not those that were erased"), at);
    // And writes into the index that it was erased.
    db.execute("INSERT INTO erased SELECT ?1, 1, max(erasure) FROM erased", [at]).unwrap();
    let result = verify(&log);
    assert!(matches!(&result, Err(Fault::Log(reason)) if reason.contains("the table erased")), "{result:?}");
    db.execute("DELETE FROM erased WHERE log_index = ?1 AND place = 1", [at]).unwrap();
    set(&payload);
    verify(&log).unwrap();
    // A leaf or a record that stayed cannot be changed either.
    for byte in 0..payload.len() {
        let mut altered = payload.clone();
        altered[byte] ^= 1;
        set(&altered);
        assert!(verify(&log).is_err(), "byte {byte}");
    }
    set(&payload);
    // What is said to be erased must be.
    db.execute("DELETE FROM erased WHERE log_index = ?1", [at]).unwrap();
    assert_eq!(named("not those that were erased"), at);
}

fn reopened_of(log: &Log) -> Log {
    // The same folder once more: the first handle stays for its temporary folder's life.
    let lab = Lab {
        folder: tempfile::tempdir().unwrap(),
        config: log.lab.config.clone(),
        root: log.lab.root.clone(),
        ..Lab::new()
    };
    reopened(lab)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_collector_erases_and_forgets_on_the_spot() {
    let lab = Lab::new();
    let running = lab.start().await;
    let mut device = lab.device();
    let (mut client, _) = device.connect(running.address()).await;
    let segment = device.seal(Lane::Urgent, &[about(1, "ww1/zhang"), about(2, "ww1/li")]);
    client.segment(&segment).await;
    client.receipt_through(Lane::Urgent, 0).await;
    let size = running.sequencer().published().checkpoint.size;
    let ask = |deed| {
        let (config, ask) = (lab.config.clone(), asked(deed));
        tokio::task::spawn_blocking(move || admin::have_done(&config, &ask).unwrap())
    };
    let done = ask(Deed::Erase(person("ww1/zhang"))).await.unwrap();
    assert_eq!((done.entries, done.error), (vec![size], None));
    let until = std::time::Instant::now() + PATIENCE;
    while is_anywhere(&lab.config.data_dir, &format!("{SECRET} ww1/zhang")) {
        assert!(std::time::Instant::now() < until, "a file still has it");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // The same segment again is known, and does not bring it back.
    let (mut client, _) = device.connect(running.address()).await;
    client.segment(&segment).await;
    client.receipt_through(Lane::Urgent, 0).await;
    running.stop().await;
    assert!(!is_anywhere(&lab.config.data_dir, &format!("{SECRET} ww1/zhang")));
    let sound = check(&LogReader::open(&lab.config.log_db()).unwrap(), &trust(&lab), &[], |_| ()).unwrap();
    assert_eq!((sound.size, sound.erased), (size + 1, 1));
}

#[test]
fn the_commands_ask_for_a_reason_and_say_what_was_done() {
    let Log { lab, store } = sample();
    drop(store);
    let config = lab.dir().join("collector/collector.toml");
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_watchpost-collector"))
            .args(args)
            .arg("--config")
            .arg(&config)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = run(&["erase", "--person", "ww1/zhang"]);
    assert!(code == Some(1) && said.contains("needs a reason"), "{said}");
    assert_eq!(run(&["erase", "--reason", "x"]).0, Some(2));
    assert_eq!(run(&["erase", "--person", "ww1/zhang", "--reason", " "]).0, Some(1));
    let (code, said) = run(&["erase", "--person", "ww1/zhang", "--reason", "x", "--dry-run"]);
    assert!(code == Some(0) && said.contains("6 records to erase"), "{said}");
    assert_eq!(run(&["hold", "add", "--person", "ww1/zhang", "--reason", "case 7", "--by", "wang"]).0, Some(0));
    let (_, said) = run(&["hold", "list"]);
    assert!(said.contains("ww1/zhang") && said.contains("case 7") && said.contains("wang"), "{said}");
    assert_eq!(run(&["erase", "--person", "ww1/zhang", "--reason", "x"]).0, Some(1));
    assert_eq!(run(&["hold", "lift", "--person", "ww1/zhang", "--reason", "closed"]).0, Some(0));
    let (code, said) = run(&["erase", "--person", "ww1/zhang", "--reason", "x", "--json"]);
    assert!(code == Some(0) && said.contains("\"records\":6"), "{said}");
    let (code, said) = run(&["log", "verify"]);
    assert!(code == Some(0) && said.contains("6 records in 5 segments were erased"), "{said}");
}
