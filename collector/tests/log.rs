//! The log: what `log verify` must see, and what an appender must not do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use rusqlite::Connection;
use support::finding;
use support::offline::Log;
use watchpost_collector::credentials;
use watchpost_collector::log_store::check::{Fault, Sound, check};
use watchpost_collector::log_store::{LogReader, LogStore, StoreError};
use watchpost_collector::trust::Trust;
use watchpost_proto::segment::Head;
use watchpost_proto::v1::{DeviceVerb, EntryKind, Lane};

/// A log with an entry of every kind, two devices and two epochs.
fn sample() -> Log {
    let mut log = Log::new();
    let (mut a, mut b) = (log.lab.device(), log.lab.device());
    log.append(&mut a, Lane::Urgent, &[finding(1), finding(2)]);
    log.append(&mut b, Lane::Bulk, &[finding(3)]);
    log.append(&mut a, Lane::Urgent, &[finding(4)]);
    let fork = a.seal_at(Head::start(a.epoch), Lane::Urgent, &[finding(5)]).segment;
    log.take(&a, fork);
    a.new_epoch();
    log.append(&mut a, Lane::Urgent, &[finding(6)]);
    log.act(&a, DeviceVerb::Release);
    log.act(&b, DeviceVerb::Revoke);
    log
}

fn verify(log: &Log) -> Result<Sound, Fault> {
    let config = &log.lab.config;
    let trust = Trust::new(&credentials::trusted(&config.root).unwrap(), &config.tenant).unwrap();
    check(&LogReader::open(&config.log_db()).unwrap(), &trust, |_| ())
}

#[test]
fn a_sound_log_verifies_to_its_head() {
    let log = sample();
    let sound = verify(&log).unwrap();
    assert_eq!(sound.size, log.store.checkpoint().size);
    assert_eq!(sound.root, log.store.checkpoint().root);
    // Opened, two keys, four segments, a fork with its quarantine, a release, a revocation.
    assert_eq!(sound.size, 11);
}

/// Every blob of a table with the statement that names it.
fn blobs(db: &Connection, table: &str, key: &str, column: &str) -> Vec<(i64, usize)> {
    let text = format!("SELECT {key}, length({column}) FROM {table}");
    let mut statement = db.prepare(&text).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Flips one bit, runs `then`, and flips it back.
fn with_flipped(db: &Connection, table: &str, key: &str, column: &str, row: i64, at: usize, then: impl FnOnce()) {
    let select = format!("SELECT {column} FROM {table} WHERE {key} = ?1");
    let sound: Vec<u8> = db.query_row(&select, [row], |row| row.get(0)).unwrap();
    let mut flipped = sound.clone();
    flipped[at] ^= 1;
    let update = format!("UPDATE {table} SET {column} = ?1 WHERE {key} = ?2");
    db.execute(&update, (flipped, row)).unwrap();
    then();
    db.execute(&update, (sound, row)).unwrap();
}

#[test]
fn no_flipped_byte_in_an_entry_or_payload_goes_unseen() {
    let log = sample();
    let db = Connection::open(log.lab.config.log_db()).unwrap();
    for (table, column) in [("entry", "header"), ("entry", "salt"), ("entry", "digest"), ("payload", "bytes")] {
        for (log_index, length) in blobs(&db, table, "log_index", column) {
            for at in [0, length / 3, length / 2, length - 1] {
                with_flipped(&db, table, "log_index", column, log_index, at, || match verify(&log) {
                    Err(Fault::Entry { log_index: named, .. }) => assert_eq!(named as i64, log_index),
                    other => panic!("{table}.{column} of entry {log_index} at {at}: {other:?}"),
                });
            }
        }
    }
    db.execute("UPDATE entry SET kind = 5 WHERE kind = 4", []).unwrap();
    assert!(verify(&log).is_err(), "a changed kind");
}

#[test]
fn no_flipped_byte_in_the_tree_head_or_indexes_goes_unseen() {
    let log = sample();
    let db = Connection::open(log.lab.config.log_db()).unwrap();
    let key = "level * 1000 + idx";
    for (node, _) in blobs(&db, "node", key, "hash") {
        with_flipped(&db, "node", key, "hash", node, 5, || assert!(verify(&log).is_err(), "node {node}"));
    }
    let cases = [
        ("head", "one", "root"),
        ("lane", "id", "head_digest"),
        ("lane", "id", "epoch"),
        ("statement", "lane_id * 1000 + sequence", "digest"),
        ("fork", "log_index", "digest"),
        ("key", "log_index", "spki"),
        ("key", "log_index", "key_id"),
    ];
    for (table, key, column) in cases {
        for (row, _) in blobs(&db, table, key, column) {
            with_flipped(&db, table, key, column, row, 7, || {
                assert!(verify(&log).is_err(), "{table}.{column} {row}");
            });
        }
    }
    verify(&log).unwrap();
}

#[test]
fn a_removed_or_added_row_is_seen() {
    for change in [
        "DELETE FROM payload WHERE log_index = 2",
        "DELETE FROM node WHERE level = 1 AND idx = 0",
        "DELETE FROM entry WHERE log_index = 10",
        "DELETE FROM entry WHERE log_index = 3",
        "DELETE FROM fork",
        "DELETE FROM device",
        "INSERT INTO payload VALUES (0, x'00')",
        "INSERT INTO node VALUES (9, 9, x'00')",
        "UPDATE device SET revoked = 0",
        "UPDATE device SET quarantined = 1",
        "UPDATE head SET size = size - 1",
    ] {
        let log = sample();
        let db = Connection::open(log.lab.config.log_db()).unwrap();
        assert!(db.execute(change, []).unwrap() > 0, "{change}");
        assert!(verify(&log).is_err(), "{change}");
    }
}

#[test]
fn an_appender_that_was_overtaken_writes_nothing() {
    let mut log = sample();
    let config = &log.lab.config;
    let nothing = |_: &_| Err(StoreError::Unfit("no log".into()));
    let mut newer = LogStore::open(&config.log_db(), &config.tenant, nothing).unwrap();
    let size = newer.checkpoint().size;
    let mut overtaken = log.store.begin().unwrap();
    overtaken.append(EntryKind::DeviceAction, b"late").unwrap();
    assert!(matches!(overtaken.commit(), Err(StoreError::Fenced)));
    let mut appender = newer.begin().unwrap();
    appender.append(EntryKind::DeviceAction, b"on time").unwrap();
    appender.commit().unwrap();
    assert_eq!(newer.checkpoint().size, size + 1);
}

#[test]
fn a_dropped_group_leaves_no_trace() {
    let mut log = sample();
    let before = log.store.checkpoint();
    let mut appender = log.store.begin().unwrap();
    appender.append(EntryKind::DeviceAction, b"never").unwrap();
    drop(appender);
    assert_eq!(log.store.checkpoint(), before);
    verify(&log).unwrap();
}

#[test]
fn another_tenants_or_a_damaged_log_is_not_opened() {
    let log = sample();
    let path = log.lab.config.log_db();
    let nothing = |_: &_| Err(StoreError::Unfit("no log".into()));
    let error = LogStore::open(&path, "other", nothing).unwrap_err();
    assert!(error.to_string().contains("not one of tenant other"), "{error}");
    let db = Connection::open(&path).unwrap();
    db.execute("UPDATE node SET hash = zeroblob(32) WHERE level = 3", []).unwrap();
    let error = LogStore::open(&path, support::TENANT, nothing).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}
