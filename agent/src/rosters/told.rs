//! What was told of rosters: each refusal once, however often it is offered, and what came into force after anything else.

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
    // What came into force is news wherever something else was told last: the latest word counts at the collector.
    let is_known = if refused.is_empty() { told.0.last() == Some(&outcome) } else { told.0.contains(&outcome) };
    if is_known {
        return Ok(false);
    }
    told.0.retain(|other| *other != outcome);
    told.0.push(outcome);
    let surplus = told.0.len().saturating_sub(KEPT_MAX);
    told.0.drain(..surplus);
    let bytes = serde_json::to_vec(&told).map_err(|_| StoreError::Malformed("roster report"))?;
    tx.put_seen(TOLD, &bytes)?;
    Ok(true)
}
