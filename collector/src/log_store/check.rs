//! `log verify`: walks the whole log and believes nothing that can be computed.

use std::collections::HashMap;

use rustls::pki_types::CertificateDer;
use watchpost_proto::identity::{self, Role};
use watchpost_proto::keys::{KeyId, PublicKey};
use watchpost_proto::log::{SALT_BYTES, entry_digest, entry_leaf};
use watchpost_proto::merkle::Frontier;
use watchpost_proto::segment::{Head, Link, ReadStatement, link, open_payload, read_statement, verify_signature};
use watchpost_proto::v1::{
    AcknowledgementsEntry, DeviceAction, DeviceVerb, EntryKind, KeyEvent, LogOpened, SegmentEntry,
};
use watchpost_proto::{DeviceId, Digest, LogId, Message as _, receipt};

use super::append::{device_facts, is_kept_fork, lane_state, statement_at};
use super::{Entry, LogReader, Place, StoreError, members, read};
use crate::chain::after;
use crate::log_store::DeviceFacts;
use crate::trust::Trust;

/// What was found in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// Entries checked, which is the size of the log.
    pub size: u64,
    /// Root of the tree, computed from the entries.
    pub root: Digest,
}

/// The first thing found wrong.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// An entry, or what hangs on it.
    #[error("entry {log_index}: {reason}")]
    Entry {
        /// Its place in the log.
        log_index: u64,
        /// What is wrong.
        reason: String,
    },
    /// Something beside the entries.
    #[error("{0}")]
    Log(String),
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Checks every entry: digest, leaf, tree nodes; of segments also signature, key history, chain, payload digest and
/// Merkle root; then the head and the indexes. `progress` is told the number of entries checked.
///
/// # Errors
/// The first [`Fault`].
pub fn check(log: &LogReader, trust: &Trust, mut progress: impl FnMut(u64)) -> Result<Sound, Fault> {
    let mut walk = Walk::new(log, trust)?;
    // Entries never change, so this long part need not hold one read transaction, which would keep the write-ahead log
    // from being reset. What came meanwhile, and what concerns the whole, is then looked at in one.
    walk.to(log.checkpoint()?.size, &mut progress)?;
    log.connection().execute_batch("BEGIN")?;
    let sound = walk.end(&mut progress);
    log.connection().execute_batch("ROLLBACK")?;
    sound
}

struct Walk<'a> {
    log: &'a LogReader,
    trust: &'a Trust,
    tree: Frontier,
    keys: HashMap<(DeviceId, KeyId), PublicKey>,
    lanes: HashMap<Place, (Head, u64)>,
    devices: HashMap<DeviceId, DeviceFacts>,
    /// What the entries so far say about members, derived once more.
    members: rusqlite::Connection,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    payloads: u64,
    statements: u64,
    forks: u64,
}

fn wrong(reason: impl Into<String>) -> Fault {
    Fault::Log(reason.into())
}

impl<'a> Walk<'a> {
    fn new(log: &'a LogReader, trust: &'a Trust) -> Result<Self, Fault> {
        let members = rusqlite::Connection::open_in_memory()?;
        members.execute_batch(members::TABLES)?;
        Ok(Self {
            log,
            trust,
            tree: Frontier::default(),
            keys: HashMap::new(),
            lanes: HashMap::new(),
            devices: HashMap::new(),
            members,
            counts: Counts::default(),
        })
    }

    fn to(&mut self, size: u64, progress: &mut impl FnMut(u64)) -> Result<(), Fault> {
        let log = self.log;
        while self.tree.size() < size {
            let (from, until) = (self.tree.size(), size.min(self.tree.size() + 1000));
            log.entries(from, |entry| {
                if entry.log_index >= until {
                    return Ok::<_, Fault>(false);
                }
                let expected = self.tree.size();
                if entry.log_index != expected {
                    return Err(Fault::Entry { log_index: expected, reason: "it is missing".into() });
                }
                let log_index = entry.log_index;
                self.entry(entry).map_err(|error| match error {
                    Fault::Log(reason) => Fault::Entry { log_index, reason },
                    other => other,
                })?;
                Ok(true)
            })?;
            if self.tree.size() < until {
                return Err(Fault::Entry { log_index: self.tree.size(), reason: "it is missing".into() });
            }
            progress(until);
        }
        Ok(())
    }

    /// The rest of the log, its head and its indexes, in the read transaction of the caller.
    fn end(&mut self, progress: &mut impl FnMut(u64)) -> Result<Sound, Fault> {
        let head = self.log.checkpoint()?;
        self.to(head.size, progress)?;
        if self.tree.root() != head.root {
            return Err(Fault::Log("the entries do not lead to the head".into()));
        }
        self.indexes(head.size)?;
        Ok(Sound { size: head.size, root: head.root })
    }

    fn entry(&mut self, entry: Entry) -> Result<(), Fault> {
        if entry.salt.len() != SALT_BYTES {
            return Err(wrong("its salt is not one"));
        }
        let digest = match EntryKind::try_from(entry.kind_number) {
            Ok(kind) => entry_digest(kind, &entry.salt, &entry.header),
            Err(_) => return Err(wrong("it is of a kind this version does not know")),
        };
        if entry.digest != digest.0 {
            return Err(wrong("its content does not have its digest"));
        }
        self.grow(&digest)?;
        members::apply(&self.members, entry.log_index, entry.kind(), &entry.header)
            .map_err(|_| wrong("it is malformed"))?;
        let is_first = entry.log_index == 0;
        match entry.kind() {
            EntryKind::LogOpened if is_first => self.opened(&entry),
            _ if is_first => Err(wrong("the log does not begin with its key")),
            EntryKind::KeyEvent => self.key(&entry),
            EntryKind::Segment | EntryKind::Fork => self.segment(&entry),
            EntryKind::DeviceAction => self.action(&entry),
            // What they say is in the indexes, which are compared at the end.
            EntryKind::Token | EntryKind::Enrolment | EntryKind::Expected | EntryKind::Authority => Ok(()),
            EntryKind::Acknowledgements => {
                AcknowledgementsEntry::decode(&entry.header[..]).map(drop).map_err(|_| wrong("it is malformed"))
            }
            EntryKind::LogOpened | EntryKind::Unspecified => Err(wrong("its kind has no place here")),
        }
    }

    /// Appends the leaf, and compares every subtree it completes with the stored one.
    fn grow(&mut self, entry: &Digest) -> Result<(), Fault> {
        let mut completed = Vec::with_capacity(2);
        self.tree.append(entry_leaf(entry), |level, index, hash| completed.push((level, index, hash)));
        for (level, index, hash) in completed {
            if self.log.node(level, index).ok() != Some(hash) {
                return Err(wrong(format!("the tree node {level}/{index} above it is not the stored one")));
            }
        }
        Ok(())
    }

    fn opened(&mut self, entry: &Entry) -> Result<(), Fault> {
        let opened = LogOpened::decode(&entry.header[..]).map_err(|_| wrong("it is malformed"))?;
        let signed = opened.log_key.ok_or_else(|| wrong("it names no log key"))?;
        let leaf = opened.signer_chain.first().ok_or_else(|| wrong("it has no signer"))?;
        let signer = identity::read_certificate(leaf).map_err(|error| wrong(error.to_string()))?;
        let log_key =
            receipt::open_log_key(&signed, &signer.key).ok_or_else(|| wrong("its signature does not hold"))?;
        self.trust.check_collector(&chain(&opened.signer_chain), log_key.at_ms).map_err(wrong)?;
        let name = self.log.name();
        let same = LogId::from_slice(&log_key.log_id) == Some(name.id) && log_key.origin == name.origin;
        if same { Ok(()) } else { Err(wrong("it opens another log than the head names")) }
    }

    fn key(&mut self, entry: &Entry) -> Result<(), Fault> {
        let event = KeyEvent::decode(&entry.header[..]).map_err(|_| wrong("it is malformed"))?;
        let leaf = event.chain.first().ok_or_else(|| wrong("it has no certificate"))?;
        let identity = identity::read_certificate(leaf).map_err(|error| wrong(error.to_string()))?;
        let device = DeviceId::from_slice(&event.device).ok_or_else(|| wrong("it names no device"))?;
        let id = identity.key.id();
        let same = identity.role == Role::Device(device)
            && identity.tenant == self.trust.tenant()
            && id.to_vec() == event.key_id;
        if !same {
            return Err(wrong("its certificate is not of the device and key it names"));
        }
        self.trust.check_device(&chain(&event.chain), event.at_ms).map_err(wrong)?;
        self.keys.insert((device, id), identity.key);
        Ok(())
    }

    fn segment(&mut self, entry: &Entry) -> Result<(), Fault> {
        let header = SegmentEntry::decode(&entry.header[..]).map_err(|_| wrong("it is malformed"))?;
        let read = read_statement(&header.statement).map_err(|error| wrong(error.to_string()))?;
        if read.statement.tenant != self.trust.tenant() {
            return Err(wrong("it is of another tenant"));
        }
        let key = self.keys.get(&(read.device, read.key_id)).ok_or_else(|| wrong("no entry before it has its key"))?;
        verify_signature(&header.statement, &header.signature, key).map_err(|error| wrong(error.to_string()))?;
        let payload = entry.payload.as_deref().ok_or_else(|| wrong("its records are missing"))?;
        open_payload(&read.statement, payload).map_err(|error| wrong(error.to_string()))?;
        self.counts.payloads += 1;
        let place = Place::of(&read);
        let head = self.lanes.get(&place).map_or(Head::start(read.epoch), |(head, _)| *head);
        match (entry.kind(), link(&head, &read)) {
            (EntryKind::Segment, Link::Next) => self.advance(place, &read, entry.log_index),
            (EntryKind::Fork, Link::Past | Link::Fork) => self.fork(&read),
            _ => Err(wrong("it does not continue its chain")),
        }
    }

    fn advance(&mut self, place: Place, read: &ReadStatement, log_index: u64) -> Result<(), Fault> {
        let next = read.statement.sequence + 1;
        self.lanes.insert(place, (Head { epoch: read.epoch, next, digest: Some(read.digest) }, log_index));
        self.counts.statements += 1;
        let db = self.log.connection();
        let lane = lane_state(db, &place)?.ok_or_else(|| wrong("the index has no such lane"))?;
        let indexed = statement_at(db, lane.id, read.statement.sequence)?;
        if indexed == Some(read.digest) { Ok(()) } else { Err(wrong("the index has another statement in its place")) }
    }

    fn fork(&mut self, read: &ReadStatement) -> Result<(), Fault> {
        self.counts.forks += 1;
        let indexed = is_kept_fork(self.log.connection(), &read.digest)?;
        if indexed { Ok(()) } else { Err(wrong("the index does not have this fork")) }
    }

    fn action(&mut self, entry: &Entry) -> Result<(), Fault> {
        let action = DeviceAction::decode(&entry.header[..]).map_err(|_| wrong("it is malformed"))?;
        let device = DeviceId::from_slice(&action.device).ok_or_else(|| wrong("it names no device"))?;
        if action.verb() == DeviceVerb::Unspecified {
            return Err(wrong("it does nothing this version knows"));
        }
        let facts = self.devices.entry(device).or_default();
        *facts = after(*facts, action.verb());
        Ok(())
    }

    /// The indexes say what the entries say, and there is nothing beside them. A log that has grown since the walk
    /// began may know more than the walk, and is only asked whether it knows less.
    fn indexes(&self, size: u64) -> Result<(), Fault> {
        let db = self.log.connection();
        for (place, (head, _)) in &self.lanes {
            if lane_state(db, place)?.is_none_or(|state| state.head() != *head) {
                return Err(wrong(format!("the index of device {} does not follow its chain", place.device)));
            }
        }
        self.devices_and_keys()?;
        if let Some(table) = members::differing(db, &self.members)? {
            return Err(wrong(format!("the index {table} says what no entry says")));
        }
        self.count("node", 2 * size - u64::from(size.count_ones()))?;
        self.count("entry", size)?;
        self.count("payload", self.counts.payloads)?;
        self.count("statement", self.counts.statements)?;
        self.count("fork", self.counts.forks)?;
        self.count("lane", self.lanes.len() as u64)
    }

    fn devices_and_keys(&self) -> Result<(), Fault> {
        let (db, mut keys, mut foreign) = (self.log.connection(), 0, None);
        for (device, facts) in &self.devices {
            if device_facts(db, device)? != *facts {
                foreign = Some(*device);
            }
        }
        read::keys(db, |device, id, key| {
            keys += 1;
            if self.keys.get(&(device, id)) != Some(&key) {
                foreign = Some(device);
            }
        })?;
        read::devices(db, |device, quarantined, revoked| {
            if self.devices.get(&device).copied().unwrap_or_default() != (DeviceFacts { quarantined, revoked }) {
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

fn chain(ders: &[Vec<u8>]) -> Vec<CertificateDer<'_>> {
    ders.iter().map(|der| CertificateDer::from(der.as_slice())).collect()
}
