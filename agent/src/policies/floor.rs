//! The highest policy that was ever accepted, in the database: what happens to files on the disk takes nothing back.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use watchpost_proto::Digest;
use watchpost_proto::document::Signers;
use watchpost_proto::keys::KeyId;
use watchpost_proto::policy::{Anchor, Highest};

use crate::store::{StoreError, Tx};

/// Where the store keeps it.
const FLOOR: &str = "policy_floor";

/// As it is kept; digests and ids in hexadecimal.
#[derive(Serialize, Deserialize)]
struct Floor {
    tenant: String,
    group: String,
    version: u64,
    digest: String,
    fallback: Option<String>,
    keys: Vec<String>,
    needed: usize,
}

/// Keeps what an anchor knows.
pub(super) fn keep(tx: &Tx<'_>, anchor: &Anchor) -> Result<(), StoreError> {
    let Some(highest) = anchor.highest else { return Ok(()) };
    let floor = Floor {
        tenant: anchor.tenant.clone(),
        group: anchor.group.clone(),
        version: highest.version,
        digest: highest.digest.to_string(),
        fallback: highest.fallback.map(|digest| digest.to_string()),
        keys: anchor.signers.keys().iter().map(|key| key.0.to_string()).collect(),
        needed: anchor.signers.needed(),
    };
    let bytes = serde_json::to_vec(&floor).map_err(|_| StoreError::Malformed("policy floor"))?;
    tx.put_seen(FLOOR, &bytes)
}

/// What was kept for this tenant and group: a device that was put into another group begins anew.
pub(super) fn read(tx: &Tx<'_>, tenant: &str, group: &str) -> Result<Option<Anchor>, StoreError> {
    let Some(bytes) = tx.seen(FLOOR)? else { return Ok(None) };
    let floor: Floor = serde_json::from_slice(&bytes).map_err(|_| StoreError::Malformed("policy floor"))?;
    if (floor.tenant.as_str(), floor.group.as_str()) != (tenant, group) {
        return Ok(None);
    }
    let malformed = StoreError::Malformed("policy floor");
    Ok(Some(anchor(floor).ok_or(malformed)?))
}

fn anchor(floor: Floor) -> Option<Anchor> {
    let ids = floor.keys.iter().map(|id| Digest::from_hex(id).map(KeyId)).collect::<Option<BTreeSet<_>>>()?;
    let fallback = match &floor.fallback {
        Some(text) => Some(Digest::from_hex(text)?),
        None => None,
    };
    let highest = Highest { version: floor.version, digest: Digest::from_hex(&floor.digest)?, fallback };
    let signers = Signers::new(ids, floor.needed)?;
    Some(Anchor { tenant: floor.tenant, group: floor.group, signers, highest: Some(highest) })
}
