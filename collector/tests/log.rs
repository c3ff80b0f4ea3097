//! The log: what `log verify` must see, and what an appender must not do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use rusqlite::{Connection, OptionalExtension as _};
use support::finding;
use support::offline::Log;
use watchpost_collector::log_store::check::{Fault, Sound, check};
use watchpost_collector::log_store::{LogReader, LogStore, StoreError};
use watchpost_collector::trust::Trust;
use watchpost_collector::{credentials, log_key};
use watchpost_proto::log::{entry_digest, entry_leaf};
use watchpost_proto::merkle::{Frontier, node_hash};
use watchpost_proto::note::{Checkpoint, LogSigner};
use watchpost_proto::segment::Head;
use watchpost_proto::v1::{DeviceAction, DeviceVerb, EntryKind, Lane};
use watchpost_proto::{Digest, Message as _};

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
    verify_with(log, &[])
}

/// With checkpoints that were kept elsewhere.
fn verify_with(log: &Log, kept: &[String]) -> Result<Sound, Fault> {
    let config = &log.lab.config;
    let trust = Trust::new(&credentials::trusted(&config.root).unwrap(), &config.tenant).unwrap();
    check(&LogReader::open(&config.log_db()).unwrap(), &trust, kept, |_| ())
}

/// The entry a fault names, with what it says of it.
fn named(result: Result<Sound, Fault>) -> (u64, String) {
    match result {
        Err(Fault::Entry { log_index, reason }) => (log_index, reason),
        other => panic!("no entry is named: {other:?}"),
    }
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
        "UPDATE device SET latest_epoch = zeroblob(16)",
        "INSERT INTO device (device) VALUES (zeroblob(16))",
        "INSERT INTO erased VALUES (2, 0, 9)",
        "UPDATE head SET origin = origin || 'x'",
        "UPDATE head SET log_id = zeroblob(16)",
    ] {
        let log = sample();
        let db = Connection::open(log.lab.config.log_db()).unwrap();
        assert!(db.execute(change, []).unwrap() > 0, "{change}");
        assert!(verify(&log).is_err(), "{change}");
    }
}

#[test]
fn no_number_in_an_index_can_be_changed_unseen() {
    let log = sample();
    let db = Connection::open(log.lab.config.log_db()).unwrap();
    for (table, column) in [
        ("lane", "next_sequence"),
        ("lane", "head_log_index"),
        ("lane", "received_at_ms"),
        ("statement", "log_index"),
        ("fork", "log_index"),
        ("key", "log_index"),
        ("device", "revoked"),
        ("device", "quarantined"),
        ("head", "size"),
    ] {
        db.execute(&format!("UPDATE {table} SET {column} = {column} + 1"), []).unwrap();
        assert!(verify(&log).is_err(), "{table}.{column}");
        db.execute(&format!("UPDATE {table} SET {column} = {column} - 1"), []).unwrap();
    }
    verify(&log).unwrap();
}

/// A row rewritten with all that hangs on it: its digest, its leaf, and the nodes up to a level.
fn rewrite(db: &Connection, log_index: u64, header: &[u8], up_to: u32) {
    let (kind, salt): (i32, Vec<u8>) = db
        .query_row("SELECT kind, salt FROM entry WHERE log_index = ?1", [log_index], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let digest = entry_digest(EntryKind::try_from(kind).unwrap(), &salt, header);
    db.execute("UPDATE entry SET header = ?1, digest = ?2 WHERE log_index = ?3", (header, &digest.0[..], log_index))
        .unwrap();
    let (mut hash, mut index) = (entry_leaf(&digest), log_index);
    for level in 0..=up_to {
        let set = "UPDATE node SET hash = ?1 WHERE level = ?2 AND idx = ?3";
        if db.execute(set, (&hash.0[..], level, index)).unwrap() == 0 {
            return;
        }
        let sibling: Option<Vec<u8>> = db
            .query_row("SELECT hash FROM node WHERE level = ?1 AND idx = ?2", (level, index ^ 1), |row| row.get(0))
            .optional()
            .unwrap();
        let Some(sibling) = sibling.as_deref().and_then(Digest::from_slice) else { return };
        hash = if index & 1 == 0 { node_hash(&hash, &sibling) } else { node_hash(&sibling, &hash) };
        index >>= 1;
    }
}

/// Another header that decodes: of a device action, by somebody else.
fn other_action(db: &Connection, log_index: u64) -> Vec<u8> {
    let header: Vec<u8> =
        db.query_row("SELECT header FROM entry WHERE log_index = ?1", [log_index], |row| row.get(0)).unwrap();
    DeviceAction { by: "somebody else".into(), ..DeviceAction::decode(&header[..]).unwrap() }.encode_to_vec()
}

/// Makes the head follow the entries as they are, as somebody who may write the file would.
fn recompute_head(db: &Connection) {
    let leaves: Vec<Digest> = db
        .prepare("SELECT digest FROM entry ORDER BY log_index")
        .unwrap()
        .query_map([], |row| row.get::<_, Vec<u8>>(0))
        .unwrap()
        .map(|digest| entry_leaf(&Digest::from_slice(&digest.unwrap()).unwrap()))
        .collect();
    db.execute("DELETE FROM node", []).unwrap();
    let mut tree = Frontier::default();
    for leaf in &leaves {
        tree.append(*leaf, |level, index, hash| {
            db.execute("INSERT INTO node VALUES (?1, ?2, ?3)", (level, index, &hash.0[..])).unwrap();
        });
    }
    db.execute("UPDATE head SET size = ?1, root = ?2", (tree.size(), &tree.root().0[..])).unwrap();
}

#[test]
fn a_rewritten_row_is_named_however_much_is_rewritten_with_it() {
    // Entry 8 is the quarantine for the fork.
    for up_to in 0..4 {
        let log = sample();
        let db = Connection::open(log.lab.config.log_db()).unwrap();
        let at = action_at(&db);
        rewrite(&db, at, &other_action(&db, at), up_to);
        let result = verify(&log);
        match up_to {
            // Nothing above the leaf fits: what the node covers is named.
            0..3 => {
                let (log_index, reason) = named(result);
                let covered = at >> (up_to + 1) << (up_to + 1);
                assert_eq!(log_index, covered + (1 << (up_to + 1)) - 1, "{reason}");
                assert!(reason.contains(&format!("entries {covered} to {log_index}")), "{reason}");
            }
            _ => assert!(matches!(&result, Err(Fault::Log(reason)) if reason.contains("head")), "{result:?}"),
        }
    }
}

/// The first device action of [`sample`].
fn action_at(db: &Connection) -> u64 {
    db.query_row("SELECT min(log_index) FROM entry WHERE kind = 5", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_dropped_row_is_named() {
    for dropped in 0..11 {
        let log = sample();
        let db = Connection::open(log.lab.config.log_db()).unwrap();
        db.execute("DELETE FROM entry WHERE log_index = ?1", [dropped]).unwrap();
        assert_eq!(named(verify(&log)), (dropped, "it is missing".to_owned()));
        // And with the rest moved up into its place.
        for later in dropped + 1..11 {
            db.execute("UPDATE entry SET log_index = log_index - 1 WHERE log_index = ?1", [later]).unwrap();
            db.execute("DELETE FROM payload WHERE log_index = ?1", [later - 1]).unwrap();
            db.execute("UPDATE payload SET log_index = log_index - 1 WHERE log_index = ?1", [later]).unwrap();
        }
        assert_eq!(named(verify(&log)).0, dropped, "moved up");
    }
}

#[test]
fn rows_in_another_order_are_named() {
    for (first, second) in [(1, 2), (2, 5), (8, 9), (9, 10), (1, 10)] {
        let log = sample();
        let db = Connection::open(log.lab.config.log_db()).unwrap();
        for table in ["entry", "payload"] {
            for (from, to) in [(first, -1), (second, first), (-1, second)] {
                let text = format!("UPDATE {table} SET log_index = ?1 WHERE log_index = ?2");
                db.execute(&text, (to, from)).unwrap();
            }
        }
        assert_eq!(named(verify(&log)).0, first as u64, "{first} and {second}");
    }
}

#[test]
fn a_row_put_in_between_is_named() {
    let log = sample();
    let db = Connection::open(log.lab.config.log_db()).unwrap();
    for later in (3..11).rev() {
        for table in ["entry", "payload"] {
            let text = format!("UPDATE {table} SET log_index = log_index + 1 WHERE log_index = ?1");
            db.execute(&text, [later]).unwrap();
        }
    }
    db.execute("INSERT INTO entry SELECT 3, kind, salt, header, digest FROM entry WHERE log_index = 1", []).unwrap();
    assert_eq!(named(verify(&log)).0, 3);
}

/// Whoever may write the file can make another log that is whole in itself. Only what was kept elsewhere tells.
#[test]
fn a_log_made_anew_is_seen_by_a_checkpoint_that_was_kept() {
    let log = sample();
    let db = Connection::open(log.lab.config.log_db()).unwrap();
    let signer = log_key::load_or_make(&log.lab.config).unwrap();
    let whole = log.store.checkpoint();
    let kept = signer.sign(&whole);
    let early = signer.sign(&head_at(&log, 5));
    let sound = verify_with(&log, &[kept.clone(), early.clone()]).unwrap();
    assert_eq!(sound.size, whole.size);

    let at = action_at(&db);
    let header = other_action(&db, at);
    rewrite(&db, at, &header, 0);
    recompute_head(&db);
    verify(&log).unwrap();
    let (log_index, reason) = named(verify_with(&log, &[kept.clone(), early.clone()]));
    assert_eq!(log_index, 5, "the earlier checkpoint says that it is not one of the first five: {reason}");
    assert_eq!(named(verify_with(&log, std::slice::from_ref(&kept))).0, 0);
    verify_with(&log, std::slice::from_ref(&early)).unwrap();

    // The newest action taken back, with everything that followed from it.
    let log = sample();
    let signer = log_key::load_or_make(&log.lab.config).unwrap();
    let kept = signer.sign(&log.store.checkpoint());
    let db = Connection::open(log.lab.config.log_db()).unwrap();
    db.execute("DELETE FROM entry WHERE log_index = 10", []).unwrap();
    db.execute("UPDATE device SET revoked = 0", []).unwrap();
    recompute_head(&db);
    verify(&log).unwrap();
    let (log_index, reason) = named(verify_with(&log, &[kept]));
    assert_eq!((log_index, reason.contains("11 entries")), (10, true), "{reason}");
}

fn head_at(log: &Log, size: u64) -> Checkpoint {
    let reader = log.reader();
    let tree = Frontier::load(size, |level, index| reader.node(level, index)).unwrap();
    Checkpoint { size, root: tree.root(), ..log.store.checkpoint() }
}

#[test]
fn a_checkpoint_of_another_log_or_key_proves_nothing() {
    let log = sample();
    let head = log.store.checkpoint();
    let signer = log_key::load_or_make(&log.lab.config).unwrap();
    let (stranger, _) = LogSigner::generate().unwrap();
    let elsewhere = Checkpoint { origin: head.origin.clone() + "x", ..head.clone() };
    for note in [stranger.sign(&head), signer.sign(&elsewhere), "no note".into()] {
        let (log_index, reason) = named(verify_with(&log, &[note]));
        assert_eq!((log_index, reason.contains("was kept")), (0, true), "{reason}");
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

#[test]
fn a_log_from_before_records_could_be_erased_is_taken_over() {
    let log = sample();
    let path = log.lab.config.log_db();
    let db = Connection::open(&path).unwrap();
    db.execute_batch(
        "DROP TABLE erased; DROP TABLE token; DROP TABLE enrolment; DROP TABLE expected; DROP TABLE certificate;
         DROP TABLE roster; DROP TABLE roster_row; DROP TABLE roster_leaves;
         DROP INDEX key_by_id; PRAGMA user_version = 1",
    )
    .unwrap();
    let error = LogReader::open(&path).unwrap_err();
    assert!(error.to_string().contains("run serve once"), "{error}");
    let store = LogStore::open(&path, support::TENANT, |_| Err(StoreError::Unfit("no log".into()))).unwrap();
    assert_eq!(store.checkpoint(), log.store.checkpoint());
    verify(&log).unwrap();
    db.execute_batch("PRAGMA user_version = 99").unwrap();
    let error = LogReader::open(&path).unwrap_err();
    assert!(error.to_string().contains("version 99"), "{error}");
}
