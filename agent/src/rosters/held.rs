//! The roster on the device's disk, and the highest version that was ever in force here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use watchpost_proto::document::Signers;
use watchpost_proto::keys::KeyId;
use watchpost_proto::roster::{Head, ReadHeader, read_header};
use watchpost_proto::v1::{HeldRoster, RosterHeader};
use watchpost_proto::{Digest, Message as _};

use crate::durable;
use crate::store::{StoreError, Tx};

/// Where the store keeps the highest version.
const FLOOR: &str = "roster_floor";
/// Bytes of a roster on the disk: a million rows.
const HELD_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Keeps a roster that is to be in force, durably.
pub(super) fn keep(state_dir: &Path, held: &HeldRoster) -> io::Result<()> {
    let path = path(state_dir);
    durable::create_private_folder(path.parent().unwrap_or(state_dir))?;
    durable::write(&path, &held.encode_to_vec(), true)
}

/// The roster held. One that was damaged on the disk is none.
pub(super) fn read(state_dir: &Path, tenant: Option<&str>) -> Option<(ReadHeader, HeldRoster)> {
    let path = path(state_dir);
    let length = fs::metadata(&path).ok()?.len();
    let bytes = if length <= HELD_BYTES_MAX { fs::read(&path).ok()? } else { return None };
    let read = || {
        let held = HeldRoster::decode(&bytes[..]).ok()?;
        let signed = held.header.clone()?;
        let said = RosterHeader::decode(&signed.header[..]).ok()?;
        let header = read_header(&signed, tenant.unwrap_or(&said.tenant)).ok()?;
        super::rows_of(&header, &held).ok()?;
        Some((header, held))
    };
    let sound = read();
    if sound.is_none() {
        tracing::error!(path = %path.display(), "the roster held is damaged; it is asked for again");
    }
    sound
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("roster").join("held.roster")
}

/// Below this no roster is taken, also where the file is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Floor {
    pub(super) version: u64,
    digest: String,
    keys: Vec<String>,
    needed: usize,
}

impl Floor {
    pub(super) fn of(header: &ReadHeader) -> Self {
        Self {
            version: header.header.version,
            digest: header.digest.to_string(),
            keys: header.next.keys().iter().map(|key| key.0.to_string()).collect(),
            needed: header.next.needed(),
        }
    }

    pub(super) fn head(&self) -> Option<Head> {
        Some(Head { version: self.version, digest: Digest::from_hex(&self.digest)? })
    }

    pub(super) fn signers(&self) -> Option<Signers> {
        let keys = self.keys.iter().map(|key| Digest::from_hex(key).map(KeyId)).collect::<Option<_>>()?;
        Signers::new(keys, self.needed)
    }

    pub(super) fn keep(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(self).map_err(|_| StoreError::Malformed("roster floor"))?;
        tx.put_seen(FLOOR, &bytes)
    }
}

/// The highest version that was ever in force here.
pub(super) fn floor(tx: &Tx<'_>) -> Result<Option<Floor>, StoreError> {
    Ok(tx.seen(FLOOR)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}
