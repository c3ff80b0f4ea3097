//! A log ends and another goes on: what `log verify` holds both to, and what a crash in between may leave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use std::fs;

use rusqlite::Connection;
use support::finding;
use support::offline::Log;
use watchpost_collector::clock::Clock;
use watchpost_collector::credentials::{self, Credentials};
use watchpost_collector::log_key;
use watchpost_collector::log_store::LogReader;
use watchpost_collector::log_store::check::{Fault, Sound, check};
use watchpost_collector::publish::publish;
use watchpost_collector::server::{self, OpenLog};
use watchpost_collector::succession::{self, Cause, Mark};
use watchpost_collector::trust::Trust;
use watchpost_proto::Digest;
use watchpost_proto::note::{Checkpoint, LogSigner};
use watchpost_proto::v1::{DeviceVerb, Lane};

fn open(lab: &support::Lab) -> OpenLog {
    let credentials = Credentials::load(&lab.config, &Clock::default()).unwrap();
    server::open_log(&lab.config, &credentials, &Clock::default()).unwrap()
}

fn refused(lab: &support::Lab) -> String {
    let credentials = Credentials::load(&lab.config, &Clock::default()).unwrap();
    format!("{:#}", server::open_log(&lab.config, &credentials, &Clock::default()).unwrap_err())
}

fn store_of(lab: &support::Lab) -> LogReader {
    LogReader::open(&lab.config.log_db()).unwrap()
}

fn signer(lab: &support::Lab) -> LogSigner {
    log_key::load_or_make(&lab.config, &lab.config.log_key()).unwrap()
}

fn verify(log: &Log, kept: &[String]) -> Result<Sound, Fault> {
    let config = &log.lab.config;
    let trust = Trust::new(&credentials::trusted(&config.root).unwrap(), &config.tenant).unwrap();
    check(&log.reader(), &trust, kept, |_| ())
}

/// A log of six entries, and its successor of three: opened, and one segment of each of two devices.
fn succeeded(highest: impl FnOnce(&LogSigner, &Checkpoint) -> String) -> (Log, Checkpoint, LogSigner) {
    let mut log = Log::new();
    let (mut a, mut b) = (log.lab.device(), log.lab.device());
    log.append(&mut a, Lane::Urgent, &[finding(1)]);
    log.append(&mut b, Lane::Urgent, &[finding(2)]);
    log.act(&b, DeviceVerb::Quarantine);
    let (before, old) = (log.store.checkpoint(), signer(&log.lab));
    let mark = Mark {
        log: log.store.name().id.to_string(),
        cause: Cause::Restored,
        highest: highest(&old, &before),
        shown_by: String::new(),
    };
    succession::leave(&log.lab.config, &mark).unwrap();
    let Log { lab, store } = log;
    drop(store);
    let OpenLog { store, .. } = open(&lab);
    let mut log = Log { lab, store };
    log.append(&mut a, Lane::Urgent, &[finding(3)]);
    log.append(&mut b, Lane::Urgent, &[finding(4)]);
    (log, before, old)
}

#[test]
fn both_logs_verify_and_what_was_kept_of_either_is_compared() {
    let (log, before, old) = succeeded(|_, _| String::new());
    assert_eq!(before.size, 6);
    let sound = verify(&log, &[]).unwrap();
    assert_eq!((sound.entries, sound.size), (9, 3));
    assert_ne!(signer(&log.lab).public(), old.public(), "it has a key of its own");
    assert!(succession::found(&log.lab.config).unwrap().is_none(), "the mark was carried out");
    let past = log.reader().past().unwrap().pop().unwrap();
    assert_eq!((&past.head, past.lost()), (&before, 0));
    let now = signer(&log.lab).sign(&log.store.checkpoint());
    verify(&log, &[past.note, now]).unwrap();
    let further = old.sign(&Checkpoint { size: 7, root: Digest([1; 32]), ..before });
    match verify(&log, &[further]) {
        Err(Fault::Entry { log_index: 6, reason }) => assert!(reason.contains("missing"), "{reason}"),
        other => panic!("the log before was cut short: {other:?}"),
    }
    let stranger = LogSigner::generate().unwrap().0;
    let other = Checkpoint { origin: "watchpost/test/ff".into(), size: 1, root: Digest([1; 32]) };
    assert!(verify(&log, &[stranger.sign(&other)]).unwrap_err().to_string().contains("not of a log that is here"));
}

#[test]
fn only_a_head_signed_by_the_logs_own_key_is_named_as_the_highest() {
    let further = |head: &Checkpoint| Checkpoint { size: 20, root: Digest([1; 32]), ..head.clone() };
    let (log, ..) = succeeded(|old, head| old.sign(&further(head)));
    assert_eq!(log.reader().past().unwrap()[0].lost(), 14);
    verify(&log, &[]).unwrap();
    let (log, ..) = succeeded(|_, head| LogSigner::generate().unwrap().0.sign(&further(head)));
    assert_eq!(log.reader().past().unwrap()[0].lost(), 0);
}

#[test]
fn an_index_that_says_otherwise_of_the_log_before_is_seen() {
    for change in [
        "UPDATE past_log SET root = zeroblob(32)",
        "UPDATE past_log SET size = 5",
        "UPDATE past_log SET highest = 99",
        "UPDATE past_log SET note = ''",
        "UPDATE node SET hash = zeroblob(32) WHERE level = 64",
        "DELETE FROM past_log",
    ] {
        let (log, ..) = succeeded(|_, _| String::new());
        Connection::open(log.lab.config.log_db()).unwrap().execute(change, []).unwrap();
        assert!(verify(&log, &[]).is_err(), "{change}");
    }
}

#[test]
fn a_published_folder_goes_on_with_the_successor_and_keeps_what_it_showed() {
    let (log, ..) = succeeded(|_, _| String::new());
    let (reader, folder) = (log.reader(), tempfile::tempdir().unwrap());
    let past = reader.past().unwrap().pop().unwrap();
    let old = reader.open_past(past.clone()).unwrap();
    for _ in 0..2 {
        assert_eq!(publish(folder.path(), &old, &past.note).unwrap().size, 6);
    }
    assert!(!folder.path().join(past.name.id.to_string()).exists(), "it is still the log it shows");
    let now = signer(&log.lab).sign(&log.store.checkpoint());
    assert_eq!(publish(folder.path(), &reader, &now).unwrap().size, 3);
    let apart = folder.path().join(past.name.id.to_string());
    assert_eq!(fs::read_to_string(folder.path().join("checkpoint")).unwrap(), now);
    assert_eq!(fs::read_to_string(apart.join("checkpoint")).unwrap(), past.note);
    assert!(apart.join("tile/entries/000.p/6").exists() && folder.path().join("tile/entries/000.p/3").exists());
}

#[test]
fn a_crash_between_the_commit_and_the_key_is_mended_at_the_next_start() {
    let (log, _, old) = succeeded(|_, _| String::new());
    let data = log.lab.config.data_dir.clone();
    let name = log.store.name().clone();
    let Log { lab, store } = log;
    drop(store);
    // As the crash leaves it: the new key beside, the old one in place, and the mark still there.
    fs::rename(data.join("log.key"), data.join("log.key.next")).unwrap();
    let other = log_key::load_or_make(&lab.config, &data.join("log.key")).unwrap();
    assert_ne!(other.public(), old.public());
    let ended = store_of(&lab).past().unwrap()[0].name.id.to_string();
    let mark = Mark { log: ended, cause: Cause::Restored, highest: String::new(), shown_by: String::new() };
    succession::leave(&lab.config, &mark).unwrap();
    let OpenLog { store, .. } = open(&lab);
    assert_eq!(*store.name(), name, "no further log");
    verify(&Log { lab, store }, &[]).unwrap();
    assert!(!data.join("log.key.next").exists() && !data.join("succession.json").exists());
}

#[test]
fn a_mark_without_its_log_starts_nothing_and_stays() {
    let Log { lab, store } = Log::new();
    let log = store.name().id.to_string();
    drop(store);
    let mark = |log: String| Mark { log, cause: Cause::Restored, highest: String::new(), shown_by: String::new() };
    succession::leave(&lab.config, &mark("00".into())).unwrap();
    assert!(refused(&lab).contains("is not the one that was restored"), "of another log");
    assert!(succession::found(&lab.config).unwrap().is_some());
    succession::leave(&lab.config, &mark(log)).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", lab.config.log_db().display()));
    }
    assert!(refused(&lab).contains("interrupted"), "the log is missing");
    assert!(!lab.config.log_db().exists(), "no log is made");
    // As a start of before may have left it: a database that holds nothing.
    fs::write(lab.config.log_db(), "").unwrap();
    assert!(refused(&lab).contains("interrupted"), "an empty log");
    Connection::open(lab.config.log_db()).unwrap().execute_batch("PRAGMA application_id = 1").unwrap();
    assert!(refused(&lab).contains("restore again"), "a database without a log");
    assert!(succession::found(&lab.config).unwrap().is_some(), "the mark stays");
}
