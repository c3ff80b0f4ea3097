//! Gathering what proves an alert.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use rusqlite::{Connection, OptionalExtension as _};
use watchpost_proto::keys::KeyId;
use watchpost_proto::merkle::{consistency_proof, inclusion_path};
use watchpost_proto::note::{self, Checkpoint};
use watchpost_proto::record::{Kept, unframe_kept};
use watchpost_proto::segment::read_statement;
use watchpost_proto::v1::SegmentEntry;
use watchpost_proto::{DeviceId, Digest, Message as _, merkle};

use super::{Base64, Consistency, Earlier, Evidence, FORMAT, Proof, Record, Segment, hashes};
use crate::board::Cosigned;
use crate::clock::now_ms;
use crate::config::Config;
use crate::log_key;
use crate::log_store::{Entry, LogName, LogReader};

/// Places of an alert's records in their segment, and whether each is held.
type Places = BTreeMap<u64, bool>;

/// A checkpoint to prove everything to.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The signed note.
    pub note: String,
    /// Witnesses whose cosignatures stand on it, as vkeys.
    pub witnesses: Vec<String>,
}

/// Gathers the evidence of an alert: what people see of it, and the record that opened it. Everything is proved to the
/// first checkpoint that covers it; `kept` is one that the reader has.
///
/// # Errors
/// No such alert, one with a record the checkpoint does not cover, or a log that cannot be read.
pub fn export(
    log: &LogReader,
    derived: &Connection,
    alert: &[u8],
    candidates: &[Candidate],
    kept: Option<&Checkpoint>,
) -> anyhow::Result<Evidence> {
    let places = places(derived, alert)?;
    ensure!(!places.is_empty(), "there is no alert {}", hex::encode(alert));
    let needed: BTreeSet<u64> = places.keys().copied().chain(key_entries(log, &places)?).collect();
    let logs = Logs::of(log, needed.first().copied().unwrap_or(0), places.keys().next_back().copied().unwrap_or(0))?;
    let (last, before) = logs.0.split_last().context("no log")?;
    let closing = last.ended().map(|past| Candidate { note: past.note.clone(), witnesses: Vec::new() });
    let candidates: Vec<Candidate> = candidates.iter().cloned().chain(closing).collect();
    let end = places.keys().next_back().map_or(0, |index| index + 1 - last.first());
    let (Candidate { note, witnesses }, head) = choose(&candidates, end, last.name(), kept)?;
    let earlier = before
        .iter()
        .map(|log| {
            let past = log.ended().context("a log before another has not ended")?;
            let Part { first, keys, segments } = part(log, &past.head, &places, &needed)?;
            Ok(Earlier { checkpoint: past.note.clone(), log: first, keys, segments })
        })
        .collect::<anyhow::Result<_>>()?;
    let Part { first, keys, segments } = part(last, &head, &places, &needed)?;
    let (tenant, _) = head.origin.strip_prefix("watchpost/").and_then(|rest| rest.split_once('/')).context("origin")?;
    Ok(Evidence {
        format: FORMAT.into(),
        tenant: tenant.to_owned(),
        alert: hex::encode(alert),
        exported_ms: now_ms(),
        checkpoint: note.clone(),
        witnesses: witnesses.clone(),
        earlier,
        log: first,
        keys,
        segments,
        consistency: kept.map(|kept| consistency(last, kept, &head)).transpose()?,
    })
}

/// The newest checkpoint that witnesses have seen, and the newest of all.
///
/// # Errors
/// No log key, or not the one of this log.
pub fn candidates(config: &Config, log: &LogReader) -> anyhow::Result<Vec<Candidate>> {
    let head = log_key::signed_head(config, log)?;
    let public = log_key::opened_with(log)?.ed25519;
    let cosigned = public.as_slice().try_into().ok().and_then(|public| Cosigned::load(config, public));
    let cosigned = cosigned.map(|cosigned| Candidate {
        note: cosigned.note,
        witnesses: cosigned.witnesses.iter().map(ToString::to_string).collect(),
    });
    Ok(cosigned.into_iter().chain([Candidate { note: head.note, witnesses: Vec::new() }]).collect())
}

/// The logs that hold what is needed, one after another.
struct Logs(Vec<LogReader>);

impl Logs {
    /// From the one with the entry `from` to the one with the entry `to`.
    fn of(log: &LogReader, from: u64, to: u64) -> anyhow::Result<Self> {
        let mut found = Vec::new();
        for past in log.past()?.into_iter().filter(|past| past.end() > from && past.first <= to) {
            found.push(log.open_past(past)?);
        }
        if to >= log.first() {
            found.push(log.open_present()?);
        }
        Ok(Self(found))
    }
}

/// What of an alert is in one log.
struct Part {
    first: Proof,
    keys: Vec<Proof>,
    segments: Vec<Segment>,
}

fn part(
    log: &LogReader,
    head: &Checkpoint,
    places: &BTreeMap<u64, Places>,
    needed: &BTreeSet<u64>,
) -> anyhow::Result<Part> {
    let range = log.first()..log.first() + head.size;
    let mut part =
        Part { first: prove(log, entry_at(log, log.first())?, head)?, keys: Vec::new(), segments: Vec::new() };
    for key in needed.range(range.clone()).filter(|index| !places.contains_key(index)) {
        part.keys.push(prove(log, entry_at(log, *key)?, head)?);
    }
    for (log_index, places) in places.range(range) {
        let entry = entry(log, *log_index)?;
        part.segments.push(Segment { records: records(&entry, places)?, proof: prove(log, entry, head)? });
    }
    Ok(part)
}

/// The entries that introduce the keys of the segments' devices.
fn key_entries(log: &LogReader, places: &BTreeMap<u64, Places>) -> anyhow::Result<BTreeSet<u64>> {
    let of = |log_index: &u64| {
        let (device, key_id) = signer(&entry(log, *log_index)?)?;
        key_entry(log, &device, &key_id)
    };
    places.keys().map(of).collect()
}

fn choose<'a>(
    candidates: &'a [Candidate],
    end: u64,
    log: &LogName,
    kept: Option<&Checkpoint>,
) -> anyhow::Result<(&'a Candidate, Checkpoint)> {
    let needed = end.max(kept.map_or(0, |kept| kept.size));
    candidates
        .iter()
        .filter_map(|candidate| Some((candidate, note::read_unverified(&candidate.note)?)))
        .find(|(_, head)| head.size >= needed && head.origin == log.origin)
        .with_context(|| format!("no checkpoint covers the {needed} entries that are asked for; try again in a moment"))
}

/// Where an alert's records are: those that can be seen, and the one that opened it.
fn places(derived: &Connection, alert: &[u8]) -> anyhow::Result<BTreeMap<u64, Places>> {
    let mut places: BTreeMap<u64, Places> = BTreeMap::new();
    let mut held = derived.prepare(
        "SELECT record.log_index, record.place
         FROM alert
         JOIN observation ON observation.alert = alert.id
         JOIN device ON device.id = observation.device
         JOIN record ON record.id = observation.record
         WHERE alert.opened_by = ?1 AND NOT device.quarantined",
    )?;
    let mut rows = held.query([alert])?;
    while let Some(row) = rows.next()? {
        places.entry(row.get(0)?).or_default().insert(row.get(1)?, true);
    }
    let opened: Option<(u64, u64)> = derived
        .query_row("SELECT log_index, place FROM alert WHERE opened_by = ?1", [alert], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    if let Some((log_index, place)) = opened.filter(|_| !places.is_empty()) {
        places.entry(log_index).or_default().entry(place).or_insert(false);
    }
    Ok(places)
}

fn entry(log: &LogReader, log_index: u64) -> anyhow::Result<Entry> {
    log.entry(log_index)?.with_context(|| format!("entry {log_index} is missing; run log verify"))
}

fn entry_at(log: &LogReader, log_index: u64) -> anyhow::Result<Entry> {
    Ok(Entry { payload: None, ..entry(log, log_index)? })
}

fn signer(entry: &Entry) -> anyhow::Result<(DeviceId, KeyId)> {
    let header = SegmentEntry::decode(&entry.header[..])?;
    let read = read_statement(&header.statement)?;
    Ok((read.device, read.key_id))
}

fn key_entry(log: &LogReader, device: &DeviceId, key: &KeyId) -> anyhow::Result<u64> {
    let text = "SELECT log_index FROM key WHERE device = ?1 AND key_id = ?2";
    let found = log.connection().query_row(text, (&device.0[..], key.to_vec()), |row| row.get(0)).optional()?;
    found.with_context(|| format!("no entry introduces the key of device {device}; run log verify"))
}

fn prove(log: &LogReader, entry: Entry, head: &Checkpoint) -> anyhow::Result<Proof> {
    let index = entry.log_index - log.first();
    let path = inclusion_path(index, head.size, &mut |level, index| log.node(level, index))?;
    let path = path.with_context(|| {
        format!("entry {index} came after the checkpoint of {} entries; try again in a moment", head.size)
    })?;
    Ok(Proof {
        entry: index,
        kind: entry.kind_number,
        salt: Base64(entry.salt),
        header: Base64(entry.header),
        path: hashes(path),
    })
}

fn records(entry: &Entry, places: &Places) -> anyhow::Result<Vec<Record>> {
    let kept = unframe_kept(entry.payload.as_deref().unwrap_or_default())?;
    let leaves: Vec<Digest> = kept.iter().map(Kept::leaf).collect();
    let mut nodes = BTreeMap::new();
    let mut tree = merkle::Frontier::default();
    for leaf in &leaves {
        tree.append(*leaf, |level, index, hash| {
            nodes.insert((level, index), hash);
        });
    }
    let mut node = |level, index| nodes.get(&(level, index)).copied().context("a record is not there");
    let mut found = Vec::new();
    for (place, held) in places {
        let Some(Kept::Record(bytes)) = usize::try_from(*place).ok().and_then(|place| kept.get(place)) else {
            // Erased since: its leaf is in the others' paths.
            continue;
        };
        let path = inclusion_path(*place, leaves.len() as u64, &mut node)?.context("a record is not there")?;
        found.push(Record { place: *place, bytes: Base64(bytes.to_vec()), path: hashes(path), held: *held });
    }
    Ok(found)
}

fn consistency(log: &LogReader, kept: &Checkpoint, head: &Checkpoint) -> anyhow::Result<Consistency> {
    ensure!(kept.origin == head.origin, "the checkpoint that was kept is of another log, {}", kept.origin);
    let proof = consistency_proof(kept.size, head.size, &mut |level, index| log.node(level, index))?;
    let proof = proof.with_context(|| {
        format!("the checkpoint that was kept has {} entries and this one {}", kept.size, head.size)
    })?;
    Ok(Consistency { from: kept.size, proof: hashes(proof) })
}
