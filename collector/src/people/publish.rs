//! Into the log: a roster that follows the one before, whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use watchpost_proto::roster::{self, Head, ReadHeader, follow};
use watchpost_proto::v1::{EntryKind, Roster, RosterEntry};
use watchpost_proto::{Digest, Message as _};

use crate::config::Config;
use crate::enrolment::desk::{Act, DeskError};
use crate::log_store::{self, Appender};

/// Largest roster as a file, in bytes: a million rows.
const ROSTER_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// A roster whose rows are those that were signed. Whether it may follow the one in the log is asked when it is published.
#[derive(Clone, Debug)]
pub struct Brought {
    /// The roster.
    pub roster: Roster,
    /// Its header.
    pub header: ReadHeader,
}

impl Brought {
    /// Checks a roster by itself.
    ///
    /// # Errors
    /// A sentence: what does not fit.
    pub fn check(roster: Roster, tenant: &str) -> anyhow::Result<Self> {
        let header = roster::check_roster(&roster, tenant)?;
        Ok(Self { roster, header })
    }

    /// Reads a roster from a file.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn read(path: &Path, tenant: &str) -> anyhow::Result<Self> {
        let told = || path.display().to_string();
        let length = fs::metadata(path).with_context(told)?.len();
        ensure!(length <= ROSTER_BYTES_MAX, "{} is too large to be a roster", path.display());
        let roster = Roster::decode(&fs::read(path).with_context(told)?[..]).with_context(told)?;
        Self::check(roster, tenant).with_context(told)
    }
}

/// Where a roster lies while it is handed over to a running collector.
pub fn handed_over(config: &Config, digest: &Digest) -> PathBuf {
    config.data_dir.join("requests").join(format!("{digest}.roster"))
}

/// Appends a roster that may follow the latest. `None` where it is the latest.
///
/// # Errors
/// It may not follow, or the log.
pub fn publish(appender: &mut Appender<'_>, brought: &Brought, act: &Act<'_>) -> Result<Option<u64>, DeskError> {
    let told = |error: roster::RosterError| DeskError::Told(error.to_string());
    let db = appender.connection();
    let header = &brought.header;
    let chain = [header.signed.clone()];
    match log_store::latest_roster(db)? {
        Some(latest) if latest.head.digest == header.digest => return Ok(None),
        Some(latest) => {
            let Head { version, digest } = &latest.head;
            follow(Some(&latest.head), &latest.next, &chain, &header.header.tenant).map_err(told)?;
            if header.header.version != version + 1 || header.header.previous[..] != digest.0[..] {
                return Err(DeskError::Told(format!(
                    "it was made to follow another roster than version {version}, which is the latest; make it again from that"
                )));
            }
        }
        // Whoever publishes the first says whose key it is.
        None if header.header.version == 1 => {}
        None => return Err(DeskError::Told("the first roster has version 1; make it without --previous".into())),
    }
    log_store::keep_rows(db, &header.digest, &brought.roster.records)?;
    let entry = RosterEntry {
        roster: Some(header.signed.clone()),
        by: act.by.into(),
        reason: act.reason.into(),
        at_ms: act.at_ms,
    };
    Ok(Some(appender.append(EntryKind::Roster, &entry.encode_to_vec())?))
}
