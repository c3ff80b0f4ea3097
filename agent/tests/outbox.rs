//! The outbox against a plain model: whatever is appended, sealed, receipted, re-sealed in a new epoch or restarted, no
//! record is lost, doubled or reordered within its lane, and the chains hold.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use support::{TestClock, device, store};
use watchpost_agent::device::Device;
use watchpost_agent::seal::Sealer;
use watchpost_agent::store::{SegmentRow, Store, verify_chains};
use watchpost_proto::encryption::RecipientSecret;
use watchpost_proto::v1::{EpochCause, Lane, SignedReceipt, Summary};
use watchpost_proto::{EpochId, record, segment};

const LANES: [Lane; 2] = [Lane::Urgent, Lane::Bulk];

#[derive(Clone, Debug)]
enum Act {
    Append(usize, u8),
    SealDue,
    SealAll,
    Pass(i64),
    /// The collector receipts this many more segments of a lane.
    Receipt(usize, u64),
    NewEpoch,
    /// Whether segments are encrypted from now on.
    Encrypt(bool),
    Restart,
    Forget,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0usize..2, any::<u8>()).prop_map(|(lane, size)| Act::Append(lane, size)),
        3 => Just(Act::SealDue),
        1 => Just(Act::SealAll),
        2 => (0i64..15_000).prop_map(Act::Pass),
        3 => (0usize..2, 1u64..4).prop_map(|(lane, more)| Act::Receipt(lane, more)),
        1 => Just(Act::NewEpoch),
        1 => any::<bool>().prop_map(Act::Encrypt),
        1 => Just(Act::Restart),
        1 => Just(Act::Forget),
    ]
}

fn a_record(number: i64, size: u8) -> Vec<u8> {
    let summary = Summary { made_at_ms: number, policy: vec![1; usize::from(size) * 60], ..Summary::default() };
    record::encode(&summary, [9; 16]).unwrap()
}

/// Reads what is encrypted; the device cannot.
fn secret() -> &'static RecipientSecret {
    static SECRET: OnceLock<RecipientSecret> = OnceLock::new();
    SECRET.get_or_init(|| RecipientSecret::generate([6; 32]).unwrap().0)
}

struct World {
    dir: tempfile::TempDir,
    store: Arc<Store>,
    device: Arc<Device>,
    clock: Arc<TestClock>,
    sealer: Sealer,
    made: i64,
    epochs: u8,
    /// Numbers of the records of each lane without a receipt, in order.
    model: [Vec<i64>; 2],
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, device, clock) = (store(dir.path()), device(), Arc::new(TestClock::default()));
        let sealer = Sealer::new(store.clone(), device.clone(), clock.clone());
        Self { dir, store, device, clock, sealer, made: 0, epochs: 10, model: [Vec::new(), Vec::new()] }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Append(lane, size) => {
                self.made += 1;
                let record = a_record(self.made, *size);
                self.store.transaction(|tx| tx.append(LANES[*lane], &record)).unwrap();
                self.model[*lane].push(self.made);
            }
            Act::SealDue => drop(self.sealer.seal_due().unwrap()),
            Act::SealAll => self.sealer.seal_all().unwrap(),
            Act::Pass(ms) => drop(self.clock.0.fetch_add(*ms, std::sync::atomic::Ordering::Relaxed)),
            Act::Receipt(lane, more) => self.receipt(*lane, *more),
            Act::NewEpoch => {
                self.epochs += 1;
                let epoch = EpochId([self.epochs; 16]);
                self.store.transaction(|tx| tx.open_epoch(epoch, EpochCause::Restored, 0)).unwrap();
            }
            Act::Encrypt(yes) => self.device.encrypt_to(yes.then(|| secret().recipient().clone())),
            Act::Restart => {
                // The old connection stays open for a moment, as after SIGKILL its lock would not.
                self.store = Arc::new(Store::open(self.dir.path()).unwrap());
                self.sealer = Sealer::new(self.store.clone(), self.device.clone(), self.clock.clone());
            }
            Act::Forget => self.store.transaction(|tx| tx.forget_segments(i64::MAX, 0, 0)).unwrap(),
        }
    }

    fn receipt(&mut self, lane: usize, more: u64) {
        let rows = self.store.read(|tx| tx.segments()).unwrap();
        let open: Vec<_> = rows.iter().filter(|row| row.lane == LANES[lane] && row.receipted_ms.is_none()).collect();
        let Some(through) = open.get((more as usize - 1).min(open.len().saturating_sub(1))) else { return };
        let place = (through.epoch, through.lane, through.sequence);
        let records: u64 = open.iter().filter(|row| row.sequence <= through.sequence).map(|row| row.records).sum();
        let signed = SignedReceipt::default();
        // A receipt for another statement at the same place must change nothing.
        let other = watchpost_proto::digest::sha256(&[b"other"]);
        assert!(!self.store.transaction(|tx| tx.receipted(place, other, &signed, 1)).unwrap());
        assert!(self.store.transaction(|tx| tx.receipted(place, through.digest, &signed, 1)).unwrap());
        self.model[lane].drain(..records as usize);
    }

    /// Numbers of the records of a lane without a receipt, as the outbox holds them once everything is sealed.
    fn outgoing(&self, lane: Lane) -> Vec<i64> {
        let rows = self.store.read(|tx| tx.segments()).unwrap();
        let mut numbers = Vec::new();
        for row in rows.iter().filter(|row| row.lane == lane && row.receipted_ms.is_none()) {
            let segment = self.store.read(|tx| tx.segment(row.epoch, lane, row.sequence)).unwrap().unwrap();
            let read = segment::read_statement(&segment.statement).unwrap();
            let plain = segment::decrypt(&read.statement, segment.payload, |_| Some(secret())).unwrap();
            let records = record::unframe(&plain).unwrap();
            numbers.extend(records.iter().map(|bytes| record::decode(bytes).unwrap().made_at_ms));
        }
        numbers
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_outbox_holds_what_the_model_holds(acts in proptest::collection::vec(act(), 1..60)) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
            let backlog = world.store.read(|tx| tx.backlog()).unwrap();
            prop_assert_eq!(backlog.urgent.records, world.model[0].len() as u64, "after {:?}", act);
            prop_assert_eq!(backlog.bulk.records, world.model[1].len() as u64, "after {:?}", act);
            let verdict = world.store.read(|tx| verify_chains(tx, Some(world.device.held().key.public()))).unwrap();
            prop_assert!(verdict.is_ok(), "after {:?}: {:?}", act, verdict);
        }
        world.sealer.seal_all().unwrap();
        for (lane, expected) in LANES.into_iter().zip(&world.model) {
            prop_assert_eq!(&world.outgoing(lane), expected);
        }
    }
}

#[test]
fn a_quiet_lane_seals_at_once_and_a_busy_one_once_a_pause() {
    let mut world = World::new();
    world.act(&Act::Append(0, 1));
    assert_eq!(world.sealer.seal_due().unwrap(), (true, None));
    world.act(&Act::Append(0, 1));
    let (sealed, wait) = world.sealer.seal_due().unwrap();
    assert!(!sealed && wait.is_some_and(|wait| wait.as_millis() == 1000), "{wait:?}");
    world.act(&Act::Pass(1000));
    assert_eq!(world.sealer.seal_due().unwrap(), (true, None));
}

#[test]
fn a_full_segment_does_not_wait() {
    let mut world = World::new();
    world.act(&Act::Append(0, 1));
    world.act(&Act::SealDue);
    for _ in 0..60 {
        world.act(&Act::Append(0, 250));
    }
    assert!(world.sealer.seal_due().unwrap().0, "more than half a megabyte waits");
}

#[test]
fn a_new_epoch_names_what_a_receipt_covered() {
    let mut world = World::new();
    for _ in 0..3 {
        world.act(&Act::Append(0, 1));
        world.act(&Act::SealAll);
    }
    world.act(&Act::Receipt(0, 2));
    let before = world.store.read(|tx| tx.lane(Lane::Urgent)).unwrap();
    world.act(&Act::NewEpoch);
    let after = world.store.read(|tx| tx.lane(Lane::Urgent)).unwrap();
    assert_eq!((after.start.next_sequence, after.head.next), (2, 0));
    assert_eq!(after.start.previous_epoch, before.head.epoch.0);
    assert!(world.store.read(|tx| tx.is_past_epoch(before.head.epoch)).unwrap());
    world.act(&Act::SealAll);
    let row = world.store.read(|tx| tx.segments()).unwrap().pop().unwrap();
    let segment = world.store.read(|tx| tx.segment(row.epoch, row.lane, row.sequence)).unwrap().unwrap();
    let read = segment::read_statement(&segment.statement).unwrap();
    assert_eq!(read.statement.epoch_start, Some(after.start), "the first statement of an epoch tells it");
}

#[test]
fn what_is_encrypted_is_stated_again_unread_and_in_order() {
    let mut world = World::new();
    for encrypt in [false, true, false] {
        world.act(&Act::Encrypt(encrypt));
        world.act(&Act::Append(0, 1));
        world.act(&Act::SealAll);
    }
    let payloads = |world: &World| -> Vec<Vec<u8>> {
        let rows = world.store.read(|tx| tx.segments()).unwrap();
        let segment = |row: &SegmentRow| world.store.read(|tx| tx.segment(row.epoch, row.lane, row.sequence)).unwrap();
        rows.iter().map(|row| segment(row).unwrap().payload).collect()
    };
    let before = payloads(&world);
    world.act(&Act::NewEpoch);
    world.act(&Act::Append(0, 1));
    // Another one, while those of the first are not stated yet.
    world.act(&Act::NewEpoch);
    assert_eq!(world.store.read(|tx| tx.backlog()).unwrap().urgent.waiting, 4);
    world.act(&Act::Encrypt(true));
    world.act(&Act::SealAll);
    assert_eq!(world.outgoing(Lane::Urgent), [1, 2, 3, 4]);
    let rows = world.store.read(|tx| tx.segments()).unwrap();
    assert!(rows.iter().all(|row| row.encrypted), "what was plain is encrypted where it can be");
    assert_eq!(payloads(&world)[1], before[1], "what was encrypted is as it was");
}

#[test]
fn a_flipped_byte_anywhere_in_a_segment_is_found() {
    a_flipped_byte_is_found(false);
    a_flipped_byte_is_found(true);
}

fn a_flipped_byte_is_found(encrypted: bool) {
    let mut world = World::new();
    world.act(&Act::Encrypt(encrypted));
    for _ in 0..3 {
        world.act(&Act::Append(0, 1));
        world.act(&Act::SealAll);
    }
    for column in ["statement", "payload", "signature", "digest"] {
        let copy = tempfile::tempdir().unwrap();
        world.store.checkpoint().unwrap();
        std::fs::copy(world.store.path(), copy.path().join("agent.db")).unwrap();
        let db = rusqlite::Connection::open(copy.path().join("agent.db")).unwrap();
        let mut bytes: Vec<u8> =
            db.query_row(&format!("SELECT {column} FROM segment WHERE sequence = 1"), [], |row| row.get(0)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        db.execute(&format!("UPDATE segment SET {column} = ?1 WHERE sequence = 1"), [bytes]).unwrap();
        drop(db);
        let store = Store::open(copy.path()).unwrap();
        let fault = store.read(|tx| verify_chains(tx, Some(world.device.held().key.public()))).unwrap().unwrap_err();
        assert_eq!((fault.lane, fault.sequence), (Lane::Urgent, 1), "{column}");
    }
}
