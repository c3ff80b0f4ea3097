//! `log verify`: walks the whole log and believes nothing that can be computed.

use std::collections::HashMap;

use rustls::pki_types::CertificateDer;
use watchpost_proto::identity::{self, Role};
use watchpost_proto::keys::{KeyId, PublicKey};
use watchpost_proto::log::{SALT_BYTES, entry_digest, entry_leaf};
use watchpost_proto::merkle::Frontier;
use watchpost_proto::note::Checkpoint;
use watchpost_proto::record::Kept;
use watchpost_proto::segment::{Head, Link, ReadStatement, link, open_kept, read_statement, verify_signature};
use watchpost_proto::v1::{
    AccessEntry, AcknowledgementsEntry, AlertEntry, CaseEntry, DeviceAction, DeviceVerb, EntryKind, Erasure, Hold,
    KeyEvent, NamesEntry, NotificationEntry, SegmentEntry, SettingEntry, Shortfall, SuppressionEntry, WordsEntry,
};
use watchpost_proto::{DeviceId, Digest, EpochId, Message as _};

use super::{DeviceFacts, Entry, LogReader, PastLog, Place, StoreError, members, read};
use crate::chain::after;
use crate::trust::Trust;

mod indexes;
mod rosters;
mod succession;

/// What was found in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// Entries checked, through all logs of the store.
    pub entries: u64,
    /// Entries of the present log.
    pub size: u64,
    /// Root of the tree, computed from the entries.
    pub root: Digest,
    /// Records that were erased: their leaf hashes prove the others, and their payloads' digests cannot be computed.
    pub erased: u64,
    /// Payloads whose digest cannot be computed for that.
    pub erased_in: u64,
    /// Payloads that were sent encrypted: their digest is of what was sent, and cannot be computed from what is kept.
    pub encrypted: u64,
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
/// Merkle root; then the head and the indexes. `kept` are notes of this log that were kept elsewhere: the log must lead
/// through each of them. `progress` is told the number of entries checked.
///
/// # Errors
/// The first [`Fault`].
pub fn check(log: &LogReader, trust: &Trust, kept: &[String], mut progress: impl FnMut(u64)) -> Result<Sound, Fault> {
    let mut walk = Walk::new(log, trust, kept.to_vec())?;
    // Entries never change, so this long part need not hold one read transaction, which would keep the write-ahead log
    // from being reset. What came meanwhile, and what concerns the whole, is then looked at in one.
    walk.to(log.count()?, &mut progress)?;
    log.connection().execute_batch("BEGIN")?;
    let sound = walk.end(&mut progress);
    log.connection().execute_batch("ROLLBACK")?;
    sound
}

struct Walk<'a> {
    log: &'a LogReader,
    trust: &'a Trust,
    /// The tree of the log the walk is in, its number, that of its first entry, and its key.
    tree: Frontier,
    number: u32,
    first: u64,
    public: [u8; 32],
    past: Vec<PastLog>,
    keys: HashMap<(DeviceId, KeyId), (PublicKey, u64)>,
    lanes: HashMap<Place, LastStatement>,
    devices: HashMap<DeviceId, SeenDevice>,
    /// What the entries so far say about members, derived once more.
    members: rusqlite::Connection,
    /// Notes kept elsewhere, until the first entry of their log tells the key they must be signed with.
    notes: Vec<String>,
    /// What those of this log say, the smallest last.
    kept: Vec<Checkpoint>,
    last_roster: Option<rosters::LastRoster>,
    /// The size at which the log was last seen to agree with one of them.
    agreed: u64,
    counts: Counts,
}

/// The last statement of a lane, as the indexes must have it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct LastStatement {
    head: Head,
    log_index: u64,
    received_at_ms: i64,
}

/// What the entries say of a device.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct SeenDevice {
    facts: DeviceFacts,
    latest_epoch: Option<EpochId>,
}

#[derive(Default)]
struct Counts {
    payloads: u64,
    encrypted: u64,
    statements: u64,
    forks: u64,
    erased: u64,
    erased_in: u64,
    /// Records that erasures name.
    named: u64,
}

fn wrong(reason: impl Into<String>) -> Fault {
    Fault::Log(reason.into())
}

impl<'a> Walk<'a> {
    fn new(log: &'a LogReader, trust: &'a Trust, notes: Vec<String>) -> Result<Self, Fault> {
        let members = rusqlite::Connection::open_in_memory()?;
        members::create_empty(&members)?;
        super::rosters::create_empty(&members)?;
        Ok(Self {
            log,
            trust,
            tree: Frontier::default(),
            number: 0,
            first: 0,
            public: [0; 32],
            past: log.past()?,
            keys: HashMap::new(),
            lanes: HashMap::new(),
            devices: HashMap::new(),
            members,
            notes,
            kept: Vec::new(),
            last_roster: None,
            agreed: 0,
            counts: Counts::default(),
        })
    }

    fn to(&mut self, size: u64, progress: &mut impl FnMut(u64)) -> Result<(), Fault> {
        let log = self.log;
        while self.next() < size {
            let (from, until) = (self.next(), size.min(self.next() + 1000));
            log.entries(from, |entry| {
                if entry.log_index >= until {
                    return Ok::<_, Fault>(false);
                }
                let expected = self.next();
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
            if self.next() < until {
                return Err(Fault::Entry { log_index: self.next(), reason: "it is missing".into() });
            }
            progress(until);
        }
        Ok(())
    }

    /// The rest of the log, its head and its indexes, in the read transaction of the caller.
    fn end(&mut self, progress: &mut impl FnMut(u64)) -> Result<Sound, Fault> {
        let (head, entries) = (self.log.checkpoint()?, self.log.count()?);
        self.to(entries, progress)?;
        if (self.tree.size(), self.tree.root()) != (head.size, head.root) {
            return Err(Fault::Log("the entries do not lead to the head".into()));
        }
        self.none_missing()?;
        if !self.notes.is_empty() {
            let reason = "a checkpoint that was kept is not of a log that is here, and this is where they begin".into();
            return Err(Fault::Entry { log_index: 0, reason });
        }
        self.indexes()?;
        let Counts { erased, erased_in, encrypted, .. } = self.counts;
        Ok(Sound { entries, size: head.size, root: head.root, erased, erased_in, encrypted })
    }

    /// Number of the next entry in the store.
    fn next(&self) -> u64 {
        self.first + self.tree.size()
    }

    /// The log that ends here reaches as far as every checkpoint that was kept of it.
    fn none_missing(&self) -> Result<(), Fault> {
        match self.kept.last() {
            Some(kept) => {
                let reason = format!("it is missing: the checkpoint that was kept has {} entries", kept.size);
                Err(Fault::Entry { log_index: self.next(), reason })
            }
            None => Ok(()),
        }
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
        let opens = entry.kind() == EntryKind::LogOpened && entry.log_index > 0;
        if opens {
            self.end_log(&entry)?;
        }
        self.grow(&digest)?;
        members::apply(&self.members, entry.log_index, entry.kind(), &entry.header)
            .map_err(|_| wrong("it is malformed"))?;
        let is_first = entry.log_index == 0;
        let malformed = |_| wrong("it is malformed");
        match entry.kind() {
            EntryKind::LogOpened => self.opened(&entry)?,
            _ if is_first => return Err(wrong("the log does not begin with its key")),
            EntryKind::KeyEvent => self.key(&entry)?,
            EntryKind::Segment | EntryKind::Fork => self.segment(&entry)?,
            EntryKind::DeviceAction => self.action(&entry)?,
            // What they say is in the indexes, which are compared at the end.
            EntryKind::Token
            | EntryKind::Enrolment
            | EntryKind::Expected
            | EntryKind::Authority
            | EntryKind::Policy
            | EntryKind::Operator => {}
            EntryKind::Roster => self.roster(&entry)?,
            EntryKind::Acknowledgements => {
                AcknowledgementsEntry::decode(&entry.header[..]).map(drop).map_err(|_| wrong("it is malformed"))?;
            }
            EntryKind::Erasure => self.erasure(&entry)?,
            EntryKind::Hold => Hold::decode(&entry.header[..]).map(|_| ()).map_err(|_| wrong("it is malformed"))?,
            EntryKind::LogShown => self.shown(&entry)?,
            EntryKind::Shortfall => {
                Shortfall::decode(&entry.header[..]).map(drop).map_err(|_| wrong("it is malformed"))?;
            }
            EntryKind::Setting => SettingEntry::decode(&entry.header[..]).map(drop).map_err(malformed)?,
            EntryKind::Access => AccessEntry::decode(&entry.header[..]).map(drop).map_err(malformed)?,
            EntryKind::Alert => AlertEntry::decode(&entry.header[..]).map(drop).map_err(malformed)?,
            EntryKind::Suppression => SuppressionEntry::decode(&entry.header[..]).map(drop).map_err(malformed)?,
            EntryKind::Case => CaseEntry::decode(&entry.header[..]).map(drop).map_err(malformed)?,
            EntryKind::Notification => NotificationEntry::decode(&entry.header[..]).map(drop).map_err(malformed)?,
            EntryKind::Words => WordsEntry::decode(&entry.header[..]).map(drop).map_err(malformed)?,
            EntryKind::Names => NamesEntry::decode(&entry.header[..]).map(drop).map_err(malformed)?,
            EntryKind::Unspecified => return Err(wrong("its kind has no place here")),
        }
        self.compare()
    }

    /// Appends the leaf, and compares every subtree it completes with the stored one.
    fn grow(&mut self, entry: &Digest) -> Result<(), Fault> {
        let mut completed = Vec::with_capacity(2);
        self.tree.append(entry_leaf(entry), |level, index, hash| completed.push((level, index, hash)));
        for (level, index, hash) in completed {
            if read::node(self.log.connection(), self.number, level, index).ok() == Some(hash) {
                continue;
            }
            let (first, last) = (self.first + (index << level), self.first + ((index + 1) << level) - 1);
            return Err(if level == 0 {
                wrong("it is not the one the tree was built from")
            } else {
                wrong(format!("the tree node {level}/{index} over the entries {first} to {last} is not theirs"))
            });
        }
        Ok(())
    }

    /// Compares the tree with what was kept of it elsewhere, where it has just reached that size.
    fn compare(&mut self) -> Result<(), Fault> {
        while let Some(kept) = self.kept.pop_if(|kept| kept.size <= self.tree.size()) {
            if kept.size > 0 && kept.root != self.tree.root() {
                return Err(Fault::Entry {
                    log_index: self.first + self.agreed,
                    reason: format!(
                        "it or one after it, before entry {}, is not what it was when the checkpoint that was kept \
                         was signed",
                        self.first + kept.size
                    ),
                });
            }
            self.agreed = kept.size;
        }
        Ok(())
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
        // A renewal for the same key introduces nothing.
        self.keys.entry((device, id)).or_insert((identity.key, entry.log_index));
        Ok(())
    }

    fn segment(&mut self, entry: &Entry) -> Result<(), Fault> {
        let header = SegmentEntry::decode(&entry.header[..]).map_err(|_| wrong("it is malformed"))?;
        let read = read_statement(&header.statement).map_err(|error| wrong(error.to_string()))?;
        if read.statement.tenant != self.trust.tenant() {
            return Err(wrong("it is of another tenant"));
        }
        let (key, _) =
            self.keys.get(&(read.device, read.key_id)).ok_or_else(|| wrong("no entry before it has its key"))?;
        verify_signature(&header.statement, &header.signature, key).map_err(|error| wrong(error.to_string()))?;
        self.records(entry, &read)?;
        let place = Place::of(&read);
        let head = self.lanes.get(&place).map_or(Head::start(read.epoch), |last| last.head);
        match (entry.kind(), link(&head, &read)) {
            (EntryKind::Segment, Link::Next) => self.advance(place, &read, entry.log_index, header.received_at_ms),
            (EntryKind::Fork, Link::Past | Link::Fork) => self.fork(&read, entry.log_index),
            _ => Err(wrong("it does not continue its chain")),
        }
    }

    /// Every record is the one that was signed, or gone because an erasure says so.
    fn records(&mut self, entry: &Entry, read: &ReadStatement) -> Result<(), Fault> {
        let payload = entry.payload.as_deref().ok_or_else(|| wrong("its records are missing"))?;
        let records = open_kept(&read.statement, payload).map_err(|error| wrong(error.to_string()))?;
        self.counts.payloads += 1;
        self.counts.encrypted += u64::from(read.statement.encryption_suite != 0);
        let gone: Vec<u32> =
            (0..).zip(&records).filter(|(_, kept)| matches!(kept, Kept::Erased(_))).map(|(place, _)| place).collect();
        if self.erased_from(entry.log_index)? != gone {
            return Err(wrong("the records that are gone are not those that were erased"));
        }
        self.counts.erased += gone.len() as u64;
        self.counts.erased_in += u64::from(!gone.is_empty());
        Ok(())
    }

    fn advance(
        &mut self,
        place: Place,
        read: &ReadStatement,
        log_index: u64,
        received_at_ms: i64,
    ) -> Result<(), Fault> {
        let head = Head { epoch: read.epoch, next: read.statement.sequence + 1, digest: Some(read.digest) };
        self.lanes.insert(place, LastStatement { head, log_index, received_at_ms });
        self.devices.entry(read.device).or_default().latest_epoch = Some(read.epoch);
        self.counts.statements += 1;
        self.indexed_statement(&place, read, log_index)
    }

    fn fork(&mut self, read: &ReadStatement, log_index: u64) -> Result<(), Fault> {
        self.counts.forks += 1;
        self.indexed_fork(read, log_index)
    }

    fn action(&mut self, entry: &Entry) -> Result<(), Fault> {
        let action = DeviceAction::decode(&entry.header[..]).map_err(|_| wrong("it is malformed"))?;
        let device = DeviceId::from_slice(&action.device).ok_or_else(|| wrong("it names no device"))?;
        if action.verb() == DeviceVerb::Unspecified {
            return Err(wrong("it does nothing this version knows"));
        }
        let seen = self.devices.entry(device).or_default();
        seen.facts = after(seen.facts, action.verb());
        Ok(())
    }

    /// What an erasure names is gone, and by this erasure.
    fn erasure(&mut self, entry: &Entry) -> Result<(), Fault> {
        let erasure = Erasure::decode(&entry.header[..]).map_err(|_| wrong("it is malformed"))?;
        // Ascending, so that nothing is named twice: the number of names is compared with the number of erased records.
        if !erasure.records.is_sorted_by(|one, next| one.log_index < next.log_index) {
            return Err(wrong("it names an entry twice or out of order"));
        }
        for records in &erasure.records {
            if records.log_index >= entry.log_index {
                return Err(wrong("it erases what comes after it"));
            }
            if !records.places.is_sorted_by(|one, next| one < next) {
                return Err(wrong("it names a record twice or out of order"));
            }
            self.counts.named += records.places.len() as u64;
            self.indexed_erasure(records, entry.log_index)?;
        }
        Ok(())
    }
}

fn chain(ders: &[Vec<u8>]) -> Vec<CertificateDer<'_>> {
    ders.iter().map(|der| CertificateDer::from(der.as_slice())).collect()
}
