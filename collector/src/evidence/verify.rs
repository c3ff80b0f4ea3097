//! Checking an evidence file: every byte that says something, and nothing but the root and what the reader brought is
//! believed. No file, no clock, no network.

use std::collections::{HashMap, HashSet};

use rustls::pki_types::CertificateDer;
use serde::Serialize;
use watchpost_proto::identity::{self, Role};
use watchpost_proto::keys::{KeyId, PublicKey};
use watchpost_proto::log::{SALT_BYTES, entry_digest, entry_leaf};
use watchpost_proto::merkle::{leaf_hash, verify_consistency, verify_inclusion};
use watchpost_proto::note::{self, Checkpoint};
use watchpost_proto::segment::{ReadStatement, read_statement, verify_signature};
use watchpost_proto::v1::{EntryKind, Finding, KeyEvent, LogKey, LogOpened, RuleStatus, SegmentEntry, summary};
use watchpost_proto::witness::WitnessKey;
use watchpost_proto::{DeviceId, Digest, LogId, Message as _, receipt, record};

use super::{Consistency, Evidence, FORMAT, Proof, Record, Segment, digests};
use crate::alerts::{Item, item_of, level_name};
use crate::derive::grouping::{AlertKey, is_alert_of};
use crate::trust::Trust;

/// What the reader brings beside the root.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// A note of the same log that was kept elsewhere.
    pub checkpoint: Option<String>,
    /// Witnesses that must have cosigned.
    pub witnesses: Vec<WitnessKey>,
}

/// The first thing that is wrong, and where in the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {reason}")]
pub struct Wrong {
    /// The field, as in `segments[0].records[2]`.
    pub at: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What a file proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proved {
    /// The tenant whose root it is.
    pub tenant: String,
    /// The alert.
    pub alert: String,
    /// The pack of its rule.
    pub pack: String,
    /// Its rule.
    pub rule: String,
    /// The account concerned.
    pub person: String,
    /// The day at +08:00.
    pub day: String,
    /// The log's name.
    pub origin: String,
    /// Entries of the log at the checkpoint.
    pub size: u64,
    /// Who has seen the checkpoint; none is said too.
    pub witnesses: Vec<Witness>,
    /// Whether it was compared with a checkpoint that was kept elsewhere.
    pub compared: bool,
    /// The devices that signed.
    pub devices: Vec<Device>,
    /// The alert's records.
    pub records: Vec<ProvedRecord>,
}

/// A witness, and when it saw the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Witness {
    /// Its key.
    pub key: String,
    /// Seconds since 1970, by its own clock.
    pub at_s: u64,
    /// Whether the reader brought the key; else it is only the file that names it.
    pub known: bool,
}

/// A device whose signature stands under a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device {
    /// UUID.
    pub device: String,
    /// SHA-256 of its public key.
    pub key_id: String,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProvedRecord {
    /// Its entry in the log.
    pub entry: u64,
    /// When the collector received it, milliseconds since 1970, as the log says.
    pub received_ms: i64,
    /// When the device made it, by the device's clock.
    pub made_ms: i64,
    /// `low`, `high` …
    pub level: &'static str,
    /// Whether the collector held it at the export, as the file says; else it only opened the alert.
    pub held: bool,
    /// What it says.
    #[serde(flatten)]
    pub item: Item,
}

/// Checks everything in a file and tells what it proves.
///
/// # Errors
/// The first thing that is [`Wrong`].
pub fn verify(evidence: &Evidence, trust: &Trust, asked: &Asked) -> Result<Proved, Wrong> {
    if evidence.format != FORMAT {
        return Err(wrong("format", format!("it is {:?}; this program knows {FORMAT}", evidence.format)));
    }
    if evidence.tenant != trust.tenant() {
        return Err(wrong("tenant", format!("it is {:?} and not {:?}", evidence.tenant, trust.tenant())));
    }
    let (mut keys, mut records, mut before) = (Keys::new(), Vec::new(), None);
    for (number, earlier) in evidence.earlier.iter().enumerate() {
        let part = Part {
            at: format!("earlier[{number}]."),
            number,
            checkpoint: &earlier.checkpoint,
            log: &earlier.log,
            keys: &earlier.keys,
            segments: &earlier.segments,
        };
        before = Some(part.open(trust, before.as_ref(), &mut keys, &mut records)?);
    }
    let part = Part {
        at: String::new(),
        number: evidence.earlier.len(),
        checkpoint: &evidence.checkpoint,
        log: &evidence.log,
        keys: &evidence.keys,
        segments: &evidence.segments,
    };
    let Seen { log_key, head } = part.open(trust, before.as_ref(), &mut keys, &mut records)?;
    let public = log_key.ed25519.as_slice().try_into().map_err(|_| wrong("log", "its key is not one"))?;
    let compared = compare(evidence, asked, &public, &head)?;
    let witnesses = witnesses(evidence, asked)?;
    check_alert(evidence, &records)?;
    Ok(tell(evidence, &head, (witnesses, compared), &keys, &records))
}

/// What a file has of one log.
struct Part<'a> {
    /// Where it is in the file.
    at: String,
    number: usize,
    checkpoint: &'a str,
    log: &'a Proof,
    keys: &'a [Proof],
    segments: &'a [Segment],
}

/// A log whose key is believed, and its head.
struct Seen {
    log_key: LogKey,
    head: Checkpoint,
}

impl Part<'_> {
    /// Believes a log's key and head, which its successor must name, and opens what hangs below.
    fn open(
        &self,
        trust: &Trust,
        before: Option<&Seen>,
        known: &mut Keys,
        records: &mut Vec<Opened>,
    ) -> Result<Seen, Wrong> {
        let place = |what: &str| format!("{}{what}", self.at);
        let log_key = log_key(&place("log"), self.log, trust)?;
        if let Some(before) = before {
            let named = log_key.previous_log_id == before.log_key.log_id
                && log_key.previous_size == before.head.size
                && log_key.previous_root == before.head.root.0;
            if !named {
                return Err(wrong(&place("log"), "it does not name the log before it as that ended"));
            }
        }
        let public = log_key.ed25519.as_slice().try_into().map_err(|_| wrong(&place("log"), "its key is not one"))?;
        let head = note::open(self.checkpoint, &public)
            .filter(|head| head.origin == log_key.origin)
            .ok_or_else(|| wrong(&place("checkpoint"), "it is not signed by the key of this log"))?;
        included(&place("log"), self.log, EntryKind::LogOpened, &head)?;
        keys(self, trust, &head, known)?;
        let mut seen = HashSet::new();
        for (number, segment) in self.segments.iter().enumerate() {
            let at = place(&format!("segments[{number}]"));
            if !seen.insert(segment.proof.entry) {
                return Err(wrong(&at, "the segment is there twice"));
            }
            records.extend(open_segment((&at, self.number), segment, trust, known, &head)?);
        }
        Ok(Seen { log_key, head })
    }
}

struct Opened {
    at: String,
    entry: u64,
    header: SegmentEntry,
    read: ReadStatement,
    made_ms: i64,
    finding: Finding,
    held: bool,
}

/// By device and key, with the log and the entry that introduced it.
type Keys = HashMap<(DeviceId, KeyId), (PublicKey, (usize, u64))>;

fn wrong(at: &str, reason: impl Into<String>) -> Wrong {
    Wrong { at: at.to_owned(), reason: reason.into() }
}

/// The log's key, believed because a collector's chain leads to the root.
fn log_key(at: &str, first: &Proof, trust: &Trust) -> Result<LogKey, Wrong> {
    let wrong = |reason: String| wrong(at, reason);
    let opened = LogOpened::decode(&first.header.0[..]).map_err(|_| wrong("its header is malformed".into()))?;
    let signed = opened.log_key.ok_or_else(|| wrong("it names no key".into()))?;
    let leaf = opened.signer_chain.first().ok_or_else(|| wrong("it has no signer".into()))?;
    let signer = identity::read_certificate(leaf).map_err(|error| wrong(error.to_string()))?;
    let log_key =
        receipt::open_log_key(&signed, &signer.key).ok_or_else(|| wrong("its signature does not hold".into()))?;
    trust
        .check_collector(&chain(&opened.signer_chain), log_key.at_ms)
        .map_err(|reason| wrong(format!("its signer is no collector under this root: {reason}")))?;
    let origin = LogId::from_slice(&log_key.log_id).map(|id| note::origin(trust.tenant(), &id));
    let ours = signer.tenant == trust.tenant() && origin.as_ref() == Some(&log_key.origin);
    if ours { Ok(log_key) } else { Err(wrong("it is not a log of this tenant".into())) }
}

/// Compares with the checkpoint the reader has kept.
fn compare(evidence: &Evidence, asked: &Asked, public: &[u8; 32], head: &Checkpoint) -> Result<bool, Wrong> {
    let kept = asked.checkpoint.as_deref().map(|text| {
        let kept = note::open(text, public).filter(|kept| kept.origin == head.origin);
        kept.ok_or_else(|| wrong("the checkpoint that was kept", "it is not one of this log"))
    });
    let Some(kept) = kept.transpose()? else { return Ok(false) };
    let proof = match &evidence.consistency {
        Some(Consistency { from, proof }) if *from == kept.size => digests(proof),
        _ if kept.size == head.size => Some(Vec::new()),
        _ => {
            let reason = format!(
                "the file does not lead from its {} entries to the {} of the checkpoint; have it exported with \
                 --checkpoint and that note",
                kept.size, head.size
            );
            return Err(wrong("consistency", reason));
        }
    };
    let holds = proof.is_some_and(|proof| verify_consistency(kept.size, &kept.root, head.size, &head.root, &proof));
    if holds {
        Ok(true)
    } else {
        Err(wrong("checkpoint", "the log it shows is not the one that the checkpoint that was kept has seen"))
    }
}

fn witnesses(evidence: &Evidence, asked: &Asked) -> Result<Vec<Witness>, Wrong> {
    let mut found = Vec::new();
    for key in &asked.witnesses {
        let at_s = key.cosigned(&evidence.checkpoint);
        let at_s =
            at_s.ok_or_else(|| wrong("checkpoint", format!("the witness {} has not cosigned it", key.name())))?;
        found.push(Witness { key: key.to_string(), at_s, known: true });
    }
    for (number, vkey) in evidence.witnesses.iter().enumerate() {
        let at = format!("witnesses[{number}]");
        let key = WitnessKey::parse(vkey).ok_or_else(|| wrong(&at, "it is not the key of a witness"))?;
        let at_s = key.cosigned(&evidence.checkpoint);
        let at_s = at_s.ok_or_else(|| wrong(&at, format!("{} has not cosigned the checkpoint", key.name())))?;
        if !asked.witnesses.contains(&key) {
            found.push(Witness { key: vkey.clone(), at_s, known: false });
        }
    }
    Ok(found)
}

/// Checks that an entry of a kind is in the log.
fn included(at: &str, proof: &Proof, kind: EntryKind, head: &Checkpoint) -> Result<(), Wrong> {
    if proof.kind != kind as i32 || proof.salt.0.len() != SALT_BYTES {
        return Err(wrong(at, "it is not an entry of the kind that belongs here"));
    }
    let leaf = entry_leaf(&entry_digest(kind, &proof.salt.0, &proof.header.0));
    let holds =
        digests(&proof.path).is_some_and(|path| verify_inclusion(leaf, proof.entry, head.size, &path, &head.root));
    let first = kind == EntryKind::LogOpened;
    if !holds || first != (proof.entry == 0) {
        return Err(wrong(at, format!("entry {} of the log of {} entries is another one", proof.entry, head.size)));
    }
    Ok(())
}

fn keys(part: &Part<'_>, trust: &Trust, head: &Checkpoint, keys: &mut Keys) -> Result<(), Wrong> {
    for (number, proof) in part.keys.iter().enumerate() {
        let at = format!("{}keys[{number}]", part.at);
        included(&at, proof, EntryKind::KeyEvent, head)?;
        let event = KeyEvent::decode(&proof.header.0[..]).map_err(|_| wrong(&at, "its header is malformed"))?;
        let leaf = event.chain.first().ok_or_else(|| wrong(&at, "it has no certificate"))?;
        let identity = identity::read_certificate(leaf).map_err(|error| wrong(&at, error.to_string()))?;
        trust
            .check_device(&chain(&event.chain), event.at_ms)
            .map_err(|reason| wrong(&at, format!("its certificate was no device's under this root: {reason}")))?;
        let device = DeviceId::from_slice(&event.device).filter(|device| identity.role == Role::Device(*device));
        let id = identity.key.id();
        match device {
            Some(device) if identity.tenant == trust.tenant() && id.to_vec() == event.key_id => {
                keys.insert((device, id), (identity.key, (part.number, proof.entry)));
            }
            _ => return Err(wrong(&at, "its certificate is not of the device and key it names")),
        }
    }
    Ok(())
}

fn open_segment(
    (at, log): (&str, usize),
    segment: &Segment,
    trust: &Trust,
    keys: &Keys,
    head: &Checkpoint,
) -> Result<Vec<Opened>, Wrong> {
    let proof = &segment.proof;
    included(at, proof, EntryKind::Segment, head)?;
    let header = SegmentEntry::decode(&proof.header.0[..]).map_err(|_| wrong(at, "its header is malformed"))?;
    let read = read_statement(&header.statement).map_err(|error| wrong(at, error.to_string()))?;
    if read.statement.tenant != trust.tenant() {
        return Err(wrong(at, "it is of another tenant"));
    }
    let key = keys.get(&(read.device, read.key_id)).filter(|(_, introduced)| *introduced < (log, proof.entry));
    let (key, _) = key.ok_or_else(|| wrong(at, "no entry before it introduces its device's key"))?;
    verify_signature(&header.statement, &header.signature, key).map_err(|error| wrong(at, error.to_string()))?;
    let mut opened: Vec<Opened> = Vec::new();
    let mut places = HashSet::new();
    for (number, record) in segment.records.iter().enumerate() {
        let at = format!("{at}.records[{number}]");
        if !places.insert(record.place) {
            return Err(wrong(&at, "the record is there twice"));
        }
        let (made_ms, finding) = open_record(&at, record, &read)?;
        let (entry, header, read) = (proof.entry, header.clone(), read.clone());
        opened.push(Opened { at, entry, header, read, made_ms, finding, held: record.held });
    }
    Ok(opened)
}

fn open_record(at: &str, record: &Record, read: &ReadStatement) -> Result<(i64, Finding), Wrong> {
    let root = Digest::from_slice(&read.statement.merkle_root).unwrap_or(Digest([0; 32]));
    let (leaf, count) = (leaf_hash(&record.bytes.0), u64::from(read.statement.record_count));
    let holds = digests(&record.path).is_some_and(|path| verify_inclusion(leaf, record.place, count, &path, &root));
    if !holds {
        return Err(wrong(at, "it is not a record the device has signed"));
    }
    let summary = record::decode(&record.bytes.0).map_err(|error| wrong(at, error.to_string()))?;
    match summary.kind {
        Some(summary::Kind::Finding(finding)) => Ok((summary.made_at_ms, finding)),
        _ => Err(wrong(at, "it is not a finding")),
    }
}

/// All records are findings of one alert, and one of them has opened it.
fn check_alert(evidence: &Evidence, records: &[Opened]) -> Result<(), Wrong> {
    let first = records.first().ok_or_else(|| wrong("segments", "there is no record in it"))?;
    let key = AlertKey::of(&first.finding);
    for record in records {
        let finding = &record.finding;
        if AlertKey::of(finding) != key {
            return Err(wrong(&record.at, "it is of another rule, person or day than the first"));
        }
        if finding.withdrawn || finding.status() != RuleStatus::Live {
            return Err(wrong(&record.at, "it takes its finding back, or its rule was not live"));
        }
    }
    let id = hex::decode(&evidence.alert).unwrap_or_default();
    if records.iter().any(|record| is_alert_of(&id, &record.finding.finding_id, &key)) {
        Ok(())
    } else {
        Err(wrong("alert", "no record in the file has opened an alert of this id"))
    }
}

fn tell(
    evidence: &Evidence,
    head: &Checkpoint,
    (witnesses, compared): (Vec<Witness>, bool),
    keys: &Keys,
    records: &[Opened],
) -> Proved {
    let told = |opened: &Opened| ProvedRecord {
        entry: opened.entry,
        received_ms: opened.header.received_at_ms,
        made_ms: opened.made_ms,
        level: level_name(opened.finding.level),
        held: opened.held,
        item: item_of(&opened.read.device.0, opened.finding.clone()),
    };
    let mut devices: Vec<Device> = keys
        .keys()
        .filter(|(device, id)| records.iter().any(|record| (record.read.device, record.read.key_id) == (*device, *id)))
        .map(|(device, id)| Device { device: device.to_string(), key_id: id.0.to_string() })
        .collect();
    devices.sort_by(|a, b| (&a.device, &a.key_id).cmp(&(&b.device, &b.key_id)));
    let key = records.first().map(|first| AlertKey::of(&first.finding));
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Proved {
        tenant: evidence.tenant.clone(),
        alert: evidence.alert.clone(),
        pack: text(key.as_ref().map(|key| key.pack)),
        rule: text(key.as_ref().map(|key| key.rule)),
        person: text(key.as_ref().map(|key| key.person)),
        day: text(key.as_ref().map(|key| key.day.as_str())),
        origin: head.origin.clone(),
        size: head.size,
        witnesses,
        compared,
        devices,
        records: records.iter().map(told).collect(),
    }
}

fn chain(ders: &[Vec<u8>]) -> Vec<CertificateDer<'_>> {
    ders.iter().map(|der| CertificateDer::from(der.as_slice())).collect()
}
