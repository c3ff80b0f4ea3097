//! The account at the end: nothing lost without a word, nothing there twice, and the log holds.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use watchpost_collector::alerts;
use watchpost_collector::credentials;
use watchpost_collector::derive::{self, DeriveError, Deriver};
use watchpost_collector::log_store::check::check;
use watchpost_collector::log_store::{LogReader, past_logs};
use watchpost_collector::trust::Trust;
use watchpost_proto::v1::{Summary, summary};
use watchpost_proto::{DeviceId, Message as _};

use crate::TENANT;
use crate::world::World;

impl World {
    /// Stops the collector and looks at what it has.
    pub(crate) fn account(mut self) {
        self.stop();
        let log = || LogReader::open(&self.config.log_db()).unwrap();
        let trust = Trust::new(&credentials::trusted(&self.config.root).unwrap(), TENANT).unwrap();
        check(&log(), &trust, &[], |_| ()).unwrap_or_else(|fault| panic!("the log does not hold: {fault}"));
        Deriver::open(&self.config.derived_db(), log()).unwrap().catch_up().unwrap();
        let derived = derive::open_read_only(&self.config.derived_db()).unwrap();
        let found = self.found(&derived);
        let missing: Vec<&String> = self.durable.difference(&found).collect();
        assert!(missing.is_empty(), "receipted and gone, though nothing was put back: {missing:?}");
        let told = losses(&derived);
        let lost: u64 = past_logs(log().connection()).unwrap().iter().map(|past| past.lost()).sum();
        for machine in &self.machines {
            let missing = machine.disk.findings.iter().filter(|name| !found.contains(*name)).count() as u64;
            let told: u64 = machine.earlier.iter().chain(&machine.device).filter_map(|device| told.get(device)).sum();
            assert!(missing <= told, "{missing} findings are lost without a word, {told} with one ({lost} entries)");
        }
    }

    /// What people see. Each finding opens an alert of its own.
    fn found(&self, derived: &Connection) -> BTreeSet<String> {
        let mut all = Vec::new();
        let take = |finding: alerts::VisibleFinding| {
            all.push(finding.msgid);
            Ok::<_, DeriveError>(())
        };
        alerts::findings(derived, take).unwrap();
        let found: BTreeSet<String> = all.iter().cloned().collect();
        assert_eq!(found.len(), all.len(), "a finding is there twice");
        let mut opened = Vec::new();
        let take = |alert: alerts::Alert| {
            assert_eq!(alert.findings, 1, "an alert counts a finding twice");
            opened.push(alert.person);
            Ok::<_, DeriveError>(())
        };
        alerts::list(derived, take).unwrap();
        assert_eq!(opened.len(), found.len(), "an alert is there twice, or is missing");
        found
    }
}

/// Segments that each device has told to be lost.
fn losses(derived: &Connection) -> BTreeMap<DeviceId, u64> {
    let text = "SELECT device.device, summary FROM loss JOIN device ON device.id = loss.device";
    let (mut select, mut told) = (derived.prepare(text).unwrap(), BTreeMap::new());
    let mut rows = select.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let device = DeviceId::from_slice(&row.get::<_, Vec<u8>>(0).unwrap()).unwrap();
        let summary = Summary::decode(&row.get::<_, Vec<u8>>(1).unwrap()[..]).unwrap();
        if let Some(summary::Kind::Loss(loss)) = summary.kind {
            *told.entry(device).or_default() += loss.count;
        }
    }
    told
}
