//! What was told of rosters: each digest once with each outcome, however often it is offered.

use serde::{Deserialize, Serialize};

use crate::store::{StoreError, Tx};

/// Where the store keeps it.
const TOLD: &str = "roster_report";
/// Kept at most; the oldest goes first.
const KEPT_MAX: usize = 32;

/// Digests, each with why it was refused; empty where it came into force.
#[derive(Default, Serialize, Deserialize)]
struct Told(Vec<(String, String)>);

/// Notes that this is told; `false` where it was told before.
pub(super) fn note(tx: &Tx<'_>, digest: &[u8], refused: &str) -> Result<bool, StoreError> {
    let mut told: Told = tx.seen(TOLD)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let outcome = (hex::encode(digest), refused.to_owned());
    if told.0.contains(&outcome) {
        return Ok(false);
    }
    told.0.push(outcome);
    let surplus = told.0.len().saturating_sub(KEPT_MAX);
    told.0.drain(..surplus);
    let bytes = serde_json::to_vec(&told).map_err(|_| StoreError::Malformed("roster report"))?;
    tx.put_seen(TOLD, &bytes)?;
    Ok(true)
}
