//! A log without a network: segments go straight to the chain.

#![allow(dead_code, unreachable_pub, reason = "shared by test binaries")]

use rusqlite::Connection;
use rusqlite::types::Value;
use watchpost_collector::chain::{self, Answer, Deed, NewKey, Verdict, Verified};
use watchpost_collector::clock::Clock;
use watchpost_collector::credentials::Credentials;
use watchpost_collector::derive::Deriver;
use watchpost_collector::enrolment::desk::DeskError;
use watchpost_collector::log_store::{Appender, LogReader, LogStore};
use watchpost_collector::registry::Effects;
use watchpost_collector::server::{self, OpenLog};
use watchpost_proto::keys::SigningKey as _;
use watchpost_proto::segment::read_statement;
use watchpost_proto::v1::{DeviceVerb, Lane, Segment, Summary};

use super::{Device, Lab};

pub struct Log {
    pub lab: Lab,
    pub store: LogStore,
}

impl Log {
    pub fn new() -> Self {
        let lab = Lab::new();
        let credentials = Credentials::load(&lab.config, &Clock::default()).unwrap();
        let OpenLog { store, .. } = server::open_log(&lab.config, &credentials, &Clock::default()).unwrap();
        Self { lab, store }
    }

    /// Seals and appends; the segment must be taken.
    pub fn append(&mut self, device: &mut Device, lane: Lane, summaries: &[Summary]) {
        let segment = device.seal(lane, summaries);
        let answer = self.take(device, segment);
        assert!(matches!(answer.verdict, Verdict::Durable(_)), "{answer:?}");
    }

    pub fn take(&mut self, device: &Device, segment: Segment) -> Answer {
        self.take_at(device, segment, watchpost_collector::clock::now_ms())
    }

    /// Takes a segment that arrives at a moment.
    pub fn take_at(&mut self, device: &Device, segment: Segment, received_at_ms: i64) -> Answer {
        let chain = device.chain.iter().map(|certificate| certificate.to_vec()).collect();
        let verified = Verified {
            read: read_statement(&segment.statement).unwrap(),
            segment,
            received_at_ms,
            new_key: Some(NewKey { key: device.key.public().clone(), chain }),
        };
        let mut appender = self.store.begin().unwrap();
        let answer = chain::take_segment(&mut appender, &verified, &mut Effects::default()).unwrap();
        appender.commit().unwrap();
        answer
    }

    pub fn act(&mut self, device: &Device, verb: DeviceVerb) {
        let deed = Deed { device: device.id, verb, by: "test".into(), reason: "why".into(), at_ms: 1 };
        let mut appender = self.store.begin().unwrap();
        chain::act(&mut appender, &deed, &mut Effects::default()).unwrap();
        appender.commit().unwrap();
    }

    /// Does what an operator asks, at a moment.
    pub fn operate<T>(&mut self, work: impl FnOnce(&mut Appender<'_>) -> Result<T, DeskError>) -> Result<T, DeskError> {
        let mut appender = self.store.begin().unwrap();
        let done = work(&mut appender)?;
        appender.commit().unwrap();
        Ok(done)
    }

    pub fn reader(&self) -> LogReader {
        LogReader::open(&self.lab.config.log_db()).unwrap()
    }

    pub fn deriver(&self) -> Deriver {
        Deriver::open(&self.lab.config.derived_db(), self.reader()).unwrap()
    }
}

/// Every row of every table, as text. When the file was begun is its own history and not the log's.
pub fn dump(db: &Connection) -> Vec<String> {
    let mut tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
    let names: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut rows = Vec::new();
    for name in names {
        let columns = if name == "position" { "log_id, next" } else { "*" };
        let mut select = db.prepare(&format!("SELECT {columns} FROM {name}")).unwrap();
        let columns = select.column_count();
        let mut found = select.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let values: Vec<Value> = (0..columns).map(|column| row.get(column).unwrap()).collect();
            rows.push(format!("{name} {values:?}"));
        }
    }
    rows
}
