//! A device, a clock and messages for tests of the library.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use watchpost_agent::clock::Clock;
use watchpost_agent::config::SourceConfig;
use watchpost_agent::device::{Device, Held};
use watchpost_agent::in_force::{InForce, Switch};
use watchpost_agent::pipeline::Pipeline;
use watchpost_agent::policy_files::load_checked_engine;
use watchpost_agent::seal::Sealer;
use watchpost_agent::store::Store;
use watchpost_policy::engine::{Engine, Scratch};
use watchpost_policy::rules::Disclose;
use watchpost_proto::keys::SoftwareKey;
use watchpost_proto::v1::{EpochCause, Lane, Summary, summary::Kind};
use watchpost_proto::{DeviceId, EpochId, record, segment};

/// 2026-11-20 00:00 UTC.
pub(crate) const NOW_MS: i64 = 1_795_132_800_000;
pub(crate) const CORP: &str = "wwEXAMPLE0001";

/// A clock that stands still until it is moved.
#[derive(Default)]
pub(crate) struct TestClock(pub AtomicI64);

impl Clock for TestClock {
    fn wall_ms(&self) -> i64 {
        NOW_MS + self.0.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed).unsigned_abs())
    }
}

pub(crate) fn device() -> Arc<Device> {
    let held = Held {
        key: Arc::new(SoftwareKey::generate().unwrap().0),
        chain: Vec::new(),
        roots: Vec::new(),
        denied: Vec::new(),
    };
    Arc::new(Device::new(DeviceId([1; 16]), "default".into(), [7; 32], held))
}

pub(crate) fn store(dir: &std::path::Path) -> Arc<Store> {
    let store = Store::open(dir).unwrap();
    store.transaction(|tx| tx.ensure_epoch(EpochId([2; 16]), EpochCause::First)).unwrap();
    Arc::new(store)
}

/// What is in force with this engine.
pub(crate) fn switch(engine: Engine) -> Arc<Switch> {
    Arc::new(Switch::new(InForce::of_files(engine, Disclose::Context)))
}

pub(crate) fn pipeline(store: &Arc<Store>) -> Pipeline {
    let switch = switch(load_checked_engine(&[], None).unwrap());
    Pipeline {
        store: store.clone(),
        device: device(),
        in_force: switch.now(),
        switch,
        clock: Arc::new(TestClock::default()),
        config: SourceConfig::default(),
        columns: HashMap::new(),
        urgent_bytes_max: u64::MAX,
        scratch: Scratch::default(),
        resting: false,
    }
}

/// A text message from an employee to a customer.
pub(crate) fn line(msgid: &str, text: &str) -> String {
    format!(
        "{{\"msgid\":\"{msgid}\",\"action\":\"send\",\"from\":\"li.na\",\
         \"tolist\":[\"wmExAmPlEAAA0001customerAAAAAAAA\"],\"roomid\":\"\",\"msgtime\":{NOW_MS},\
         \"msgtype\":\"text\",\"text\":{{\"content\":\"{text}\"}}}}\n"
    )
}

/// A message that makes exactly one finding.
pub(crate) fn hit(msgid: &str) -> String {
    line(msgid, "您加我私人微信吧")
}

/// Seals what waits, and reads every urgent record of the outbox in order of appending.
pub(crate) fn urgent(store: &Arc<Store>) -> Vec<Kind> {
    of_lanes(store, &[Lane::Urgent]).into_iter().filter_map(|summary| summary.kind).collect()
}

/// The records of both lanes.
pub(crate) fn records(store: &Arc<Store>) -> Vec<Summary> {
    of_lanes(store, &[Lane::Urgent, Lane::Bulk])
}

fn of_lanes(store: &Arc<Store>, lanes: &[Lane]) -> Vec<Summary> {
    let mut sealer = Sealer::new(store.clone(), device(), Arc::new(TestClock::default()));
    sealer.seal_all().unwrap();
    let mut records = Vec::new();
    for row in store.read(|tx| tx.segments()).unwrap().iter().filter(|row| lanes.contains(&row.lane)) {
        let segment = store.read(|tx| tx.segment(row.epoch, row.lane, row.sequence)).unwrap().unwrap();
        let read = segment::read_statement(&segment.statement).unwrap();
        for bytes in segment::open_payload(&read.statement, &segment.payload).unwrap() {
            records.push(record::decode(bytes).unwrap());
        }
    }
    records
}
