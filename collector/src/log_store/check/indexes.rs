//! The indexes say what the entries say, and there is nothing beside them.

use rusqlite::OptionalExtension as _;
use watchpost_proto::segment::ReadStatement;
use watchpost_proto::v1::ErasedRecords;

use super::{Fault, LastStatement, SeenDevice, Walk, wrong};
use crate::log_store::append::{device_facts, lane_state, latest_epoch};
use crate::log_store::{Place, members, policies, read};

impl Walk<'_> {
    pub(super) fn indexed_statement(&self, place: &Place, read: &ReadStatement, log_index: u64) -> Result<(), Fault> {
        let db = self.log.connection();
        let lane = lane_state(db, place)?.ok_or_else(|| wrong("the index has no such lane"))?;
        let indexed: Option<(Vec<u8>, u64)> = db
            .prepare_cached("SELECT digest, log_index FROM statement WHERE lane_id = ?1 AND sequence = ?2")?
            .query_row((lane.id, read.statement.sequence), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if indexed == Some((read.digest.to_vec(), log_index)) {
            Ok(())
        } else {
            Err(wrong("the index has another statement in its place"))
        }
    }

    pub(super) fn indexed_fork(&self, read: &ReadStatement, log_index: u64) -> Result<(), Fault> {
        let indexed: Option<u64> = self
            .log
            .connection()
            .prepare_cached("SELECT log_index FROM fork WHERE digest = ?1")?
            .query_row([&read.digest.0[..]], |row| row.get(0))
            .optional()?;
        if indexed == Some(log_index) { Ok(()) } else { Err(wrong("the index does not have this fork")) }
    }

    /// The places in an entry that the index says were erased.
    pub(super) fn erased_from(&self, log_index: u64) -> Result<Vec<u32>, Fault> {
        let mut select =
            self.log.connection().prepare_cached("SELECT place FROM erased WHERE log_index = ?1 ORDER BY place")?;
        let places = select.query_map([log_index], |row| row.get(0))?;
        Ok(places.collect::<Result<_, _>>()?)
    }

    pub(super) fn indexed_erasure(&self, records: &ErasedRecords, erasure: u64) -> Result<(), Fault> {
        let mut select = self
            .log
            .connection()
            .prepare_cached("SELECT 1 FROM erased WHERE log_index = ?1 AND place = ?2 AND erasure = ?3")?;
        for place in &records.places {
            if !select.exists((records.log_index, place, erasure))? {
                return Err(wrong(format!("record {place} of entry {}, which it erased, is there", records.log_index)));
            }
        }
        Ok(())
    }

    /// What concerns the whole. In the caller's read transaction, at the head the walk has reached.
    pub(super) fn indexes(&self) -> Result<(), Fault> {
        let db = self.log.connection();
        for (place, last) in &self.lanes {
            let indexed = lane_state(db, place)?.map(|state| LastStatement {
                head: state.head(),
                log_index: state.log_index,
                received_at_ms: state.received_at_ms,
            });
            if indexed != Some(*last) {
                return Err(wrong(format!("the index of device {} does not follow its chain", place.device)));
            }
        }
        self.devices_and_keys()?;
        if let Some(table) = members::differing(db, &self.members)? {
            return Err(wrong(format!("the index {table} says what no entry says")));
        }
        if let Some(entry) = policies::check_contents(db)? {
            return Err(Fault::Entry {
                log_index: entry,
                reason: "the files of its policy are not there as it names them".into(),
            });
        }
        let nodes = |size: u64| 2 * size - u64::from(size.count_ones());
        let of_past: u64 = self.past.iter().map(|past| nodes(past.head.size)).sum();
        self.count("node", of_past + nodes(self.tree.size()))?;
        self.count("entry", self.next())?;
        self.count("payload", self.counts.payloads)?;
        self.count("statement", self.counts.statements)?;
        self.count("fork", self.counts.forks)?;
        self.count("erased", self.counts.named)?;
        self.count("device", self.devices.len() as u64)?;
        self.count("lane", self.lanes.len() as u64)
    }

    fn devices_and_keys(&self) -> Result<(), Fault> {
        let (db, mut keys, mut foreign) = (self.log.connection(), 0, None);
        for (device, seen) in &self.devices {
            let indexed = SeenDevice { facts: device_facts(db, device)?, latest_epoch: latest_epoch(db, device)? };
            if indexed != *seen {
                foreign = Some(*device);
            }
        }
        read::keys(db, |device, id, key, log_index| {
            keys += 1;
            if self.keys.get(&(device, id)) != Some(&(key, log_index)) {
                foreign = Some(device);
            }
        })?;
        match foreign {
            Some(device) => Err(wrong(format!("the index of device {device} says what no entry says"))),
            None if keys != self.keys.len() => Err(wrong("the index lacks a device key")),
            None => Ok(()),
        }
    }

    fn count(&self, table: &str, expected: u64) -> Result<(), Fault> {
        let text = format!("SELECT count(*) FROM {table}");
        let rows: u64 = self.log.connection().query_row(&text, [], |row| row.get(0))?;
        if rows == expected {
            Ok(())
        } else {
            Err(wrong(format!("the table {table} has {rows} rows in place of {expected}")))
        }
    }
}
