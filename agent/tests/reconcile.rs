//! What Welcome makes a device do: go on, take receipts, or part ways in a new epoch without losing a record.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;

use support::{NOW_MS, device, store};
use watchpost_agent::device::Device;
use watchpost_agent::seal::{SERVER_TIME, Sealer};
use watchpost_agent::store::{LaneState, Store};
use watchpost_agent::summary::MadeUnder;
use watchpost_agent::uplink::{Trouble, reconcile, refused_for_its_key};
use watchpost_proto::encryption::{Recipient, RecipientSecret};
use watchpost_proto::keys::{SigningKey, SoftwareKey};
use watchpost_proto::note::{Checkpoint, LogSigner, origin};
use watchpost_proto::v1::{
    EpochCause, Lane, LaneHead, LaneWelcome, LogChange, LogKey, Receipt, SignedLogKey, SignedReceipt, Summary, Welcome,
    summary::Kind,
};
use watchpost_proto::{DeviceId, Digest, EpochId, LogId, Message as _, merkle, receipt, record, segment};

const MADE: MadeUnder = MadeUnder { policy: Digest([8; 32]), roster_version: 0, at_ms: NOW_MS, retro: false };
const LOG: LogId = LogId([5; 16]);

struct World {
    _dir: tempfile::TempDir,
    store: Arc<Store>,
    device: Arc<Device>,
    sealer: Sealer,
    signer: SoftwareKey,
    log: LogSigner,
    made: i64,
}

impl World {
    /// A device with so many sealed segments of one record each.
    fn new(segments: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, device) = (store(dir.path()), device());
        let sealer = Sealer::new(store.clone(), device.clone(), Arc::new(support::TestClock::default()));
        let (signer, log) = (SoftwareKey::generate().unwrap().0, LogSigner::generate().unwrap().0);
        let mut world = Self { _dir: dir, store, device, sealer, signer, log, made: 0 };
        (0..segments).for_each(|_| world.seal_one());
        world
    }

    fn seal_one(&mut self) {
        self.made += 1;
        let summary = Summary { made_at_ms: self.made, ..Summary::default() };
        let bytes = record::encode(&summary, [9; 16]).unwrap();
        self.store.transaction(|tx| tx.append(Lane::Urgent, &bytes)).unwrap();
        self.sealer.seal_all().unwrap();
    }

    fn urgent(&self) -> LaneState {
        self.store.read(|tx| tx.lane(Lane::Urgent)).unwrap()
    }

    fn digest(&self, sequence: u64) -> Digest {
        let epoch = self.urgent().head.epoch;
        self.store.read(|tx| tx.statement_digest(epoch, Lane::Urgent, sequence)).unwrap().unwrap()
    }

    /// A Welcome of a collector that holds the urgent lane up to `next` and says its last statement is `head`.
    fn welcome(&self, epoch: Option<EpochId>, next: u64, head: Option<Digest>) -> Welcome {
        let origin = origin("default", &LOG);
        let log_key = LogKey {
            format: receipt::FORMAT,
            tenant: "default".into(),
            log_id: LOG.to_vec(),
            origin: origin.clone(),
            ed25519: self.log.public().to_vec(),
            ..LogKey::default()
        };
        let checkpoint = Checkpoint { origin, size: 1, root: merkle::root(&[Digest([1; 32])]) };
        let urgent = LaneHead {
            lane: Lane::Urgent.into(),
            epoch: epoch.map(EpochId::to_vec).unwrap_or_default(),
            next_sequence: next,
            head: head.map(Digest::to_vec).unwrap_or_default(),
        };
        let bulk = LaneHead { lane: Lane::Bulk.into(), epoch: urgent.epoch.clone(), ..LaneHead::default() };
        let told = |held: LaneHead| LaneWelcome { held: Some(held), credit: 8, ..LaneWelcome::default() };
        Welcome {
            server_ms: NOW_MS,
            log_id: LOG.to_vec(),
            lanes: vec![told(urgent), told(bulk)],
            checkpoint: self.log.sign(&checkpoint),
            log_key: Some(receipt::sign_log_key(&log_key, &self.signer).unwrap()),
            ..Welcome::default()
        }
    }

    fn meet(&self, welcome: &Welcome) -> Result<Option<u64>, Trouble> {
        let agreed = reconcile(&self.store, &self.device, self.signer.public(), welcome, &MADE).unwrap()?;
        assert_eq!(agreed.epoch, self.urgent().head.epoch);
        Ok(agreed.next.iter().find(|(lane, _, _)| *lane == Lane::Urgent).map(|(_, next, _)| *next))
    }

    /// Takes a receipt through a sequence, as the uplink does.
    fn receipted(&self, through: u64, at_ms: i64) {
        let (epoch, digest, signed) = (self.urgent().head.epoch, self.digest(through), self.receipt(through));
        let own = self.store.transaction(|tx| tx.receipted((epoch, Lane::Urgent, through), digest, &signed, at_ms));
        assert!(own.unwrap());
    }

    fn receipt(&self, through: u64) -> SignedReceipt {
        let receipt = Receipt {
            format: receipt::FORMAT,
            tenant: "default".into(),
            device: self.device.id.to_vec(),
            epoch: self.urgent().head.epoch.to_vec(),
            lane: Lane::Urgent.into(),
            through_sequence: through,
            statement_digest: self.digest(through).to_vec(),
            received_at_ms: NOW_MS,
            checkpoint: String::new(),
            log_id: LOG.to_vec(),
        };
        receipt::sign_receipt(&receipt, &self.signer).unwrap()
    }

    /// What waits to be told of logs.
    fn told(&mut self) -> Vec<LogChange> {
        let waiting = self.waiting().into_iter().map(|summary| summary.kind);
        waiting.filter_map(|kind| if let Some(Kind::LogChange(change)) = kind { Some(change) } else { None }).collect()
    }

    /// Numbers of the records without a receipt, sealed and waiting, and the reasons of losses among them.
    fn outgoing(&mut self) -> (Vec<i64>, Vec<String>) {
        let (mut numbers, mut losses) = (Vec::new(), Vec::new());
        for summary in self.waiting() {
            match summary.kind {
                Some(Kind::Loss(loss)) => losses.push(format!("{} {} {}", loss.reason, loss.from, loss.count)),
                _ => numbers.push(summary.made_at_ms),
            }
        }
        (numbers, losses)
    }

    /// The urgent records without a receipt.
    fn waiting(&mut self) -> Vec<Summary> {
        self.sealer.seal_all().unwrap();
        let (rows, mut waiting) = (self.store.read(|tx| tx.segments()).unwrap(), Vec::new());
        for row in rows.iter().filter(|row| row.lane == Lane::Urgent && row.receipted_ms.is_none()) {
            let segment = self.store.read(|tx| tx.segment(row.epoch, row.lane, row.sequence)).unwrap().unwrap();
            let read = segment::read_statement(&segment.statement).unwrap();
            let records = segment::open_payload(&read.statement, &segment.payload).unwrap();
            waiting.extend(records.into_iter().map(|bytes| record::decode(bytes).unwrap()));
        }
        waiting
    }
}

fn lane_head(epoch: EpochId, next: u64) -> LaneHead {
    LaneHead { lane: Lane::Urgent.into(), epoch: epoch.to_vec(), next_sequence: next, head: Vec::new() }
}

#[test]
fn both_sides_go_on_from_what_the_collector_holds() {
    let mut world = World::new(3);
    let epoch = world.urgent().head.epoch;
    assert_eq!(world.meet(&world.welcome(None, 0, None)), Ok(Some(0)), "a collector that knows nothing yet");
    let mut welcome = world.welcome(Some(epoch), 2, Some(world.digest(1)));
    welcome.lanes[0].receipt = Some(world.receipt(1));
    assert_eq!(world.meet(&welcome), Ok(Some(2)));
    assert_eq!(world.urgent().head.epoch, epoch);
    assert_eq!(world.outgoing().0, [3], "the receipt in Welcome counts");
}

#[test]
fn a_collector_that_holds_more_means_a_restored_device() {
    let mut world = World::new(3);
    let epoch = world.urgent().head.epoch;
    assert_eq!(world.meet(&world.welcome(Some(epoch), 9, Some(Digest([3; 32])))), Ok(Some(0)));
    assert_ne!(world.urgent().head.epoch, epoch);
    assert_eq!(world.urgent().start.cause(), EpochCause::Restored);
    assert_eq!(world.outgoing(), (vec![1, 2, 3], vec![]), "all is sealed anew, in order, and nothing counts as lost");
}

#[test]
fn another_statement_at_the_same_place_means_parted_ways() {
    let mut world = World::new(3);
    let epoch = world.urgent().head.epoch;
    world.meet(&world.welcome(Some(epoch), 2, Some(Digest([3; 32])))).unwrap();
    assert_eq!(world.urgent().start.cause(), EpochCause::Diverged);
    assert_eq!(world.outgoing().0, [1, 2, 3]);
}

#[test]
fn an_epoch_the_device_does_not_know_is_news_only_once() {
    let mut world = World::new(2);
    let foreign = EpochId([0xf0; 16]);
    world.receipted(0, 1);
    world.meet(&world.welcome(Some(foreign), 5, Some(Digest([3; 32])))).unwrap();
    let epoch = world.urgent().head.epoch;
    assert_eq!(world.urgent().start.cause(), EpochCause::Restored);
    world.meet(&world.welcome(Some(foreign), 5, Some(Digest([3; 32])))).unwrap();
    assert_eq!(world.urgent().head.epoch, epoch, "nothing durable yet, and still the same epoch");
    assert_eq!(world.outgoing(), (vec![2], vec![]), "what a receipt covered is not sent again");
}

#[test]
fn a_collector_that_lost_what_it_had_receipted_gets_what_is_kept_and_a_loss_for_the_rest() {
    let mut world = World::new(5);
    let epoch = world.urgent().head.epoch;
    world.receipted(3, 1);
    // The payloads of 0 and 1 are let go of; 2 and 3 are kept, 4 has no receipt.
    let kept = world.store.read(|tx| tx.segments()).unwrap()[2..4].iter().map(|row| row.bytes).sum();
    world.store.transaction(|tx| tx.forget_segments(i64::MIN, kept, 0)).unwrap();
    world.meet(&world.welcome(None, 0, None)).unwrap();
    assert_ne!(world.urgent().head.epoch, epoch, "the chain cannot go on from its beginning");
    assert_eq!(world.outgoing(), (vec![3, 4, 5], vec!["receipted_not_kept 0 2".into()]));
}

#[test]
fn what_a_restored_collector_lost_of_this_epoch_is_sent_again_as_it_was() {
    let mut world = World::new(4);
    let epoch = world.urgent().head.epoch;
    world.receipted(2, 1);
    let mut welcome = world.welcome(Some(epoch), 1, Some(world.digest(0)));
    welcome.missing = vec![lane_head(epoch, 1)];
    assert_eq!(world.meet(&welcome), Ok(Some(1)));
    assert_eq!(world.urgent().head.epoch, epoch, "the chain goes on");
    assert_eq!(world.outgoing(), (vec![2, 3, 4], vec![]), "what was lost counts as not receipted");
}

#[test]
fn what_a_restored_collector_lost_of_earlier_epochs_comes_first_in_a_new_one() {
    let mut world = World::new(3);
    let first = world.urgent().head.epoch;
    world.receipted(2, 1);
    world.store.transaction(|tx| tx.open_epoch(EpochId([0x77; 16]), EpochCause::Diverged, NOW_MS)).unwrap();
    world.seal_one();
    world.receipted(0, 2);
    world.seal_one();
    let shown = world.store.read(|tx| tx.receipts_to_show()).unwrap();
    assert_eq!(shown.len(), 2, "one receipt for each epoch of which something is kept");
    // Of the first epoch it holds one segment, and nothing of the second.
    let mut welcome = world.welcome(Some(first), 1, None);
    welcome.missing = vec![lane_head(first, 1), lane_head(EpochId([0x77; 16]), 0)];
    world.meet(&welcome).unwrap();
    let third = world.urgent().head.epoch;
    assert_eq!(world.outgoing(), (vec![2, 3, 4, 5], vec![]), "in the order they were made");
    world.meet(&welcome).unwrap();
    assert_eq!(world.urgent().head.epoch, third, "once");
}

#[test]
fn receipts_of_earlier_epochs_are_shown_newest_first_and_kept_as_long_as_their_statements() {
    let mut world = World::new(0);
    let through = |world: &World| -> Vec<Vec<u8>> {
        let shown = world.store.read(|tx| tx.receipts_to_show()).unwrap();
        shown.iter().map(|signed| Receipt::decode(&signed.receipt[..]).unwrap().epoch).collect()
    };
    for n in 0..70_u8 {
        world.seal_one();
        world.receipted(0, NOW_MS);
        // The names of later epochs come first in the order of bytes, then last.
        let id = EpochId([if n < 35 { 0x7f - n } else { 0x80 + n }; 16]);
        world.store.transaction(|tx| tx.open_epoch(id, EpochCause::Diverged, NOW_MS + i64::from(n))).unwrap();
    }
    let shown = through(&world);
    assert_eq!(shown.len(), 64);
    // The latest of the lane is of the epoch that ended last; it is kept for that epoch, too.
    let name = |n: u8| vec![if n < 35 { 0x7f - n } else { 0x80 + n }; 16];
    assert!((7..69).all(|n| shown.contains(&name(n))), "the newest are among them");
    assert!(!shown.contains(&name(0)), "the oldest is not");
    // Nothing is held of what they were for; the statements are.
    world.store.transaction(|tx| tx.forget_segments(i64::MAX, 0, 0)).unwrap();
    assert_eq!(through(&world).len(), 64);
    world.store.transaction(|tx| tx.forget_segments(i64::MAX, 0, i64::MAX)).unwrap();
    assert!(through(&world).len() < 3, "with the statements they go");
}

/// The introduction of a log that follows another of this size.
fn successor(world: &World, origin_of: LogId, before: Option<(LogId, &Checkpoint)>) -> SignedLogKey {
    let log_key = LogKey {
        format: receipt::FORMAT,
        tenant: "default".into(),
        log_id: origin_of.to_vec(),
        origin: origin("default", &origin_of),
        ed25519: world.log.public().to_vec(),
        previous_log_id: before.map(|(id, _)| id.to_vec()).unwrap_or_default(),
        previous_size: before.map_or(0, |(_, head)| head.size),
        previous_root: before.map(|(_, head)| head.root.to_vec()).unwrap_or_default(),
        ..LogKey::default()
    };
    receipt::sign_log_key(&log_key, &world.signer).unwrap()
}

#[test]
fn a_successor_is_followed_and_what_was_seen_is_told() {
    let leaves = [Digest([1; 32]), Digest([2; 32])];
    let head = |id: &LogId, leaves: &[Digest]| Checkpoint {
        origin: origin("default", id),
        size: leaves.len() as u64,
        root: merkle::root(leaves),
    };
    let (second, third) = (LogId([0x22; 16]), LogId([0x33; 16]));
    // The first log as it ended, whether the device has seen no more of it, and over how many logs it is introduced.
    for (last, introduced, kept, over) in [
        (head(&LOG, &leaves[..1]), true, true, 1),
        (head(&LOG, &[]), true, false, 1),
        (head(&LOG, &leaves[1..]), true, false, 1),
        (head(&LOG, &leaves[..1]), true, true, 2),
        (head(&LOG, &leaves[..1]), false, false, 0),
    ] {
        let mut world = World::new(1);
        let epoch = world.urgent().head.epoch;
        world.meet(&world.welcome(None, 0, None)).unwrap();
        let present = if over == 2 { third } else { second };
        let shown = head(&present, &leaves[..1]);
        let mut welcome = world.welcome(None, 0, None);
        welcome.log_id = present.to_vec();
        welcome.checkpoint = world.log.sign(&shown);
        welcome.log_key = Some(match over {
            0 => successor(&world, present, None),
            1 => successor(&world, present, Some((LOG, &last))),
            _ => successor(&world, present, Some((second, &shown))),
        });
        if over == 2 {
            welcome.earlier_logs = vec![successor(&world, second, Some((LOG, &last))), successor(&world, LOG, None)];
        }
        for _ in 0..2 {
            assert_eq!(world.meet(&welcome), Ok(Some(0)));
        }
        assert_eq!(world.urgent().head.epoch, epoch, "records go on as before");
        let told = world.told();
        assert_eq!(told.len(), 1, "told once");
        assert_eq!((told[0].introduced, told[0].kept), (introduced, kept), "{last:?} {over}");
        assert!(told[0].known.contains(&LOG.to_string()) && told[0].shown == welcome.checkpoint);
    }
}

#[test]
fn statements_are_forgotten_from_the_beginning_only() {
    let world = World::new(4);
    // The second receipt was stamped by a clock that stood at 1970.
    for (sequence, at_ms) in [(0, NOW_MS), (1, 5), (2, NOW_MS)] {
        world.receipted(sequence, at_ms);
    }
    world.store.transaction(|tx| tx.forget_segments(NOW_MS - 1, i64::MAX as u64, NOW_MS - 1)).unwrap();
    let verdict = world.store.read(|tx| watchpost_agent::store::verify_chains(tx, None)).unwrap();
    assert_eq!(verdict, Ok(4), "no hole in the chain");
    world.store.transaction(|tx| tx.forget_segments(NOW_MS + 1, 0, NOW_MS + 1)).unwrap();
    let verdict = world.store.read(|tx| watchpost_agent::store::verify_chains(tx, None)).unwrap();
    assert_eq!(verdict, Ok(1), "only what has no receipt is left");
}

#[test]
fn what_is_not_signed_as_it_should_be_changes_nothing() {
    let world = World::new(2);
    let epoch = world.urgent().head.epoch;
    let sound = world.welcome(Some(epoch), 9, Some(Digest([3; 32])));
    let (stranger, _) = SoftwareKey::generate().unwrap();
    let cases: [(&str, Welcome); 4] = [
        ("no log key", Welcome { log_key: None, ..sound.clone() }),
        ("another log", Welcome { log_id: vec![6; 16], ..sound.clone() }),
        ("no checkpoint", Welcome { checkpoint: String::new(), ..sound.clone() }),
        (
            "another introducer",
            Welcome {
                log_key: sound.log_key.as_ref().map(|signed| {
                    let log_key = receipt::open_log_key(signed, world.signer.public()).unwrap();
                    receipt::sign_log_key(&log_key, &stranger).unwrap()
                }),
                ..sound.clone()
            },
        ),
    ];
    for (name, welcome) in cases {
        assert_eq!(world.meet(&welcome), Err(Trouble::Checkpoint), "{name}");
        assert_eq!(world.urgent().head.epoch, epoch, "{name}");
    }
}

const HOUR_MS: i64 = 60 * 60 * 1000;

fn recipient(byte: u8) -> Recipient {
    RecipientSecret::generate([byte; 32]).unwrap().0.recipient().clone()
}

/// A device with the same records as `world`, enrolled anew.
fn enrolled_anew(world: &World) -> Arc<Device> {
    let mut held = (*world.device.held()).clone();
    held.key = Arc::new(SoftwareKey::generate().unwrap().0);
    Arc::new(Device::new(DeviceId([0x99; 16]), world.device.tenant.clone(), [7; 32], held))
}

#[test]
fn what_another_device_encrypted_is_told_as_lost_and_the_rest_goes_on() {
    let mut world = World::new(1);
    world.device.encrypt_to(Some(recipient(1)));
    (0..2).for_each(|_| world.seal_one());
    // The same device: what it encrypted goes on as it is.
    world.meet(&world.welcome(Some(world.urgent().head.epoch), 9, Some(Digest([3; 32])))).unwrap();
    assert_eq!(world.store.read(|tx| tx.backlog()).unwrap().urgent.records, 3);
    world.device = enrolled_anew(&world);
    world.sealer = Sealer::new(world.store.clone(), world.device.clone(), Arc::new(support::TestClock::default()));
    world.meet(&world.welcome(Some(world.urgent().head.epoch), 9, Some(Digest([3; 32])))).unwrap();
    assert_eq!(world.outgoing(), (vec![1], vec!["sealed_by_another_device 0 2".into()]));
}

impl World {
    /// A collector that refuses the urgent lane from its beginning for its key, at this hour.
    fn refused_for_its_key(&self, hour: i64) -> bool {
        let server_ms = (NOW_MS + hour * HOUR_MS).to_be_bytes();
        self.store.transaction(|tx| tx.put_seen(SERVER_TIME, &server_ms)).unwrap();
        let sent = [(Lane::Urgent, self.urgent().head.next), (Lane::Bulk, 0)];
        refused_for_its_key(&self.store, &self.device, &MADE, self.urgent().head.epoch, &sent).unwrap()
    }
}

#[test]
fn what_is_encrypted_to_a_lost_key_is_let_go_of_after_a_day_where_another_is_named() {
    let mut world = World::new(0);
    world.device.encrypt_to(Some(recipient(1)));
    (0..2).for_each(|_| world.seal_one());
    world.device.encrypt_to(None);
    world.seal_one();
    for hour in 0..50 {
        world.device.encrypt_to(if hour % 2 == 0 { None } else { Some(recipient(1)) });
        assert!(!world.refused_for_its_key(hour), "nobody has named another key");
    }
    world.device.encrypt_to(Some(recipient(2)));
    assert!(!world.refused_for_its_key(100), "the first time");
    assert!(!world.refused_for_its_key(1000), "a clock that jumps makes no day");
    assert!((1001..1023).all(|hour| !world.refused_for_its_key(hour)), "not within a day");
    let epoch = world.urgent().head.epoch;
    assert!(world.refused_for_its_key(1023));
    assert_ne!(world.urgent().head.epoch, epoch);
    world.device.encrypt_to(None);
    assert_eq!(world.outgoing(), (vec![3], vec!["recipient_lost 0 2".into()]));
    world.device.encrypt_to(Some(recipient(2)));
    assert!(!world.refused_for_its_key(1024), "nothing is left to let go of");
}

#[test]
fn a_key_that_was_only_not_loaded_costs_nothing() {
    let mut world = World::new(0);
    world.device.encrypt_to(Some(recipient(1)));
    (0..2).for_each(|_| world.seal_one());
    world.device.encrypt_to(Some(recipient(2)));
    assert!((0..24).all(|hour| !world.refused_for_its_key(hour)));
    // It is back for one segment, and away again: another one is refused, for which the day begins anew.
    world.receipted(0, 1);
    assert!((24..48).all(|hour| !world.refused_for_its_key(hour)));
    assert_eq!(world.store.read(|tx| tx.backlog()).unwrap().urgent.records, 1);
}
