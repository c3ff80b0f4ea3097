//! The rules in force for somebody: as the policies say that are in force on the devices which see their messages.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;
use watchpost_policy::bundle;
use watchpost_policy::my_data::{Category, categories_of, titled_in};
use watchpost_policy::rules::{Disclose, Pack};
use watchpost_proto::Digest;

use crate::derive::DeriveError;
use crate::log_store::{self, LogReader, StoreError};
use crate::rulebook::role_of;

/// Policies that are kept read.
const KEPT_MAX: usize = 8;

/// The rules of one policy, as an employee may know them.
#[derive(Debug)]
pub struct Rules {
    /// The version of the policy.
    pub version: u64,
    /// By category. Of a confidential word list only the category and how many words it has.
    pub categories: Vec<Category>,
    packs: Vec<Pack>,
}

impl Rules {
    /// What a rule is called; empty where its word list is confidential. Nothing for one that is not in this policy.
    #[must_use]
    pub fn title(&self, pack: &str, rule: &str) -> Option<(String, String)> {
        titled_in(&self.packs, pack, rule).map(|(title, _)| title)
    }
}

/// Policies read, by digest.
#[derive(Debug, Default)]
pub struct Shelf {
    kept: HashMap<Digest, Arc<Rules>>,
}

impl Shelf {
    /// The rules of these policies, as far as the log holds them.
    ///
    /// # Errors
    /// The log.
    pub fn rules(&mut self, log: &LogReader, policies: &[Digest]) -> Result<Vec<Arc<Rules>>, StoreError> {
        let mut all = Vec::new();
        for digest in policies {
            if let Some(known) = self.kept.get(digest) {
                all.push(Arc::clone(known));
                continue;
            }
            let Some(rules) = read(log, digest)? else { continue };
            if self.kept.len() >= KEPT_MAX {
                self.kept.clear();
            }
            let rules = Arc::new(rules);
            self.kept.insert(*digest, Arc::clone(&rules));
            all.push(rules);
        }
        Ok(all)
    }
}

fn read(log: &LogReader, digest: &Digest) -> Result<Option<Rules>, StoreError> {
    let Some(policy) = log_store::policy(log.connection(), digest)? else { return Ok(None) };
    let files = policy.files().map(|(file, bytes)| (role_of(file.role()), file.name.as_str(), bytes));
    // It was checked before it was published; if it cannot be read all the same, nothing is said of its rules.
    let Ok((packs, _)) = bundle::read(files) else { return Ok(None) };
    // No device discloses more than its policy says.
    let ceiling = match policy.header.settings().disclose {
        1 => Disclose::None,
        2 => Disclose::Masked,
        _ => Disclose::Context,
    };
    let (version, categories) = (policy.header.said.version, categories_of(&packs, ceiling));
    Ok(Some(Rules { version, categories, packs }))
}

/// The policies in force on the devices that have counted messages of these accounts.
///
/// # Errors
/// The database.
pub fn in_force(db: &Connection, accounts: &[String]) -> Result<Vec<Digest>, DeriveError> {
    // One that was refused is told last all the same: then the one under which the device has checked itself is in force.
    let mut select = db.prepare_cached(
        "SELECT DISTINCT coalesce(
             (SELECT policy FROM policy_report WHERE policy_report.device = device.id AND applied),
             (SELECT passed_policy FROM self_check WHERE self_check.device = device.id))
         FROM device
         WHERE NOT quarantined
           AND EXISTS (SELECT 1 FROM tally WHERE tally.device = device.id AND tally.account = ?1) ORDER BY 1",
    )?;
    let mut found = Vec::new();
    for account in accounts {
        let rows = select.query_map([account], |row| row.get::<_, Option<Vec<u8>>>(0))?;
        for row in rows {
            if let Some(digest) = Digest::from_slice(&row?.unwrap_or_default()).filter(|digest| !found.contains(digest))
            {
                found.push(digest);
            }
        }
    }
    Ok(found)
}
