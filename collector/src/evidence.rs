//! Evidence: one file that proves one alert without any server. `docs/evidence.md` tells what each part proves.

mod export;
mod verify;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use watchpost_proto::Digest;

pub use export::{Candidate, candidates, export};
pub use verify::{Asked, Device, Proved, ProvedRecord, Witness, Wrong, verify};

/// The format of evidence files.
pub const FORMAT: &str = "watchpost-evidence/1";
/// Longest file that is read, in bytes; an alert of ten thousand records is a tenth of it.
pub const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// An evidence file: JSON, bytes in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// [`FORMAT`].
    pub format: String,
    /// The tenant.
    pub tenant: String,
    /// The alert's id, hexadecimal.
    pub alert: String,
    /// When it was exported, milliseconds since 1970, by the collector's clock; proved by nothing.
    pub exported_ms: i64,
    /// The logs before the one of the checkpoint, where some of it is in them: the collector was restored since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
    /// The head of the log, signed by its key and by witnesses.
    pub checkpoint: String,
    /// The witnesses whose cosignatures the checkpoint carries, as vkeys; none where it was seen by none.
    pub witnesses: Vec<String>,
    /// The first entry of the log, which introduces its key.
    pub log: Proof,
    /// The entries that introduce the devices' keys.
    pub keys: Vec<Proof>,
    /// The segments with the alert's records.
    pub segments: Vec<Segment>,
    /// Where a checkpoint was given that the reader has kept: that the log only grew since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
}

/// What is in a log that has ended; the next one names its last head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// Its last head, signed by its key.
    pub checkpoint: String,
    /// Its first entry, which introduces that key.
    pub log: Proof,
    /// The entries that introduce devices' keys.
    pub keys: Vec<Proof>,
    /// The segments with the alert's records.
    pub segments: Vec<Segment>,
}

/// An entry of the log, with its path to the checkpoint's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Its place in the log.
    pub entry: u64,
    /// The number of its kind.
    pub kind: i32,
    /// Random bytes of its digest.
    pub salt: Base64,
    /// The exact header bytes.
    pub header: Base64,
    /// From the entry's sibling up to the root.
    pub path: Vec<Base64>,
}

/// A segment with those of its records that belong to the alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Its entry, whose header holds statement and signature.
    pub proof: Proof,
    /// Its records.
    pub records: Vec<Record>,
}

/// One record of a segment, with its path to the statement's Merkle root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its place in the segment, from 0.
    pub place: u64,
    /// Salt and summary, exactly as the device made them.
    pub bytes: Base64,
    /// From the record's sibling up to the root.
    pub path: Vec<Base64>,
    /// Whether the collector held it at the export; else it only opened the alert.
    pub held: bool,
}

/// That the log of the checkpoint begins with a smaller one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// Entries of the smaller one.
    pub from: u64,
    /// RFC 6962 consistency proof.
    pub proof: Vec<Base64>,
}

/// Bytes, in JSON as base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

fn hashes(path: Vec<Digest>) -> Vec<Base64> {
    path.into_iter().map(|hash| Base64(hash.to_vec())).collect()
}

fn digests(path: &[Base64]) -> Option<Vec<Digest>> {
    path.iter().map(|hash| Digest::from_slice(&hash.0)).collect()
}
