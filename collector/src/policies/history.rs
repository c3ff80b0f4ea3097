//! The policies of a group as people see them: how far each has come, and what devices report.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;
use watchpost_proto::Digest;

use crate::derive::DeriveError;
use crate::log_store::{Published, RolloutFacts};

/// One policy.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Version {
    /// The group.
    pub group: String,
    /// Its number.
    pub version: u64,
    /// Digest of its header, hexadecimal.
    pub policy: String,
    /// `halted at ring …`, `ring 2/3`, `complete` or `replaced`.
    pub state: String,
    /// Devices that report it last: in force, and refused.
    pub applied: u64,
    /// See above.
    pub refused: u64,
    /// Why the latest refusal was.
    pub refused_because: String,
    /// Signatures it has.
    pub signatures: usize,
    /// Ids of the keys that may sign the next one.
    pub signers: Vec<String>,
    /// How many of them it takes.
    pub signers_needed: usize,
    /// When it was published, milliseconds since 1970.
    pub published_ms: i64,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
    /// What has changed, as its author says.
    pub note: String,
}

impl Version {
    /// A published policy.
    ///
    /// # Errors
    /// The database.
    pub fn of(published: &Published, rollouts: &[RolloutFacts], derived: &Connection) -> Result<Self, DeriveError> {
        let Published { header, entry, .. } = published;
        let (applied, refused, refused_because) = reported(derived, &header.digest)?;
        Ok(Self {
            group: header.said.group.clone(),
            version: header.said.version,
            policy: header.digest.to_string(),
            state: state(rollouts, &header.digest),
            applied,
            refused,
            refused_because,
            signatures: header.signatures.len(),
            signers: header.signers.keys().iter().map(|key| key.0.to_string()).collect(),
            signers_needed: header.signers.needed(),
            published_ms: entry.at_ms,
            by: entry.by.clone(),
            reason: entry.reason.clone(),
            note: header.said.note.clone(),
        })
    }
}

fn state(rollouts: &[RolloutFacts], policy: &Digest) -> String {
    let Some(rollout) = rollouts.iter().find(|rollout| rollout.policy == *policy) else { return "replaced".into() };
    let ring = format!("ring {}/{}", rollout.ring + 1, rollout.rings.len());
    match (rollout.halted, rollout.is_complete()) {
        (true, _) => format!("halted at {ring}"),
        (false, true) => "complete".into(),
        (false, false) => ring,
    }
}

fn reported(db: &Connection, policy: &Digest) -> Result<(u64, u64, String), DeriveError> {
    let mut select = db.prepare_cached(
        "SELECT count(*) FILTER (WHERE applied = 1), count(*) FILTER (WHERE applied = 0),
             coalesce((SELECT reason FROM policy_report WHERE policy = ?1 AND applied = 0 ORDER BY received_ms DESC LIMIT 1), '')
         FROM policy_report WHERE policy = ?1",
    )?;
    Ok(select.query_row([&policy.0[..]], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
}
