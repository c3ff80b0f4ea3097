//! Filters tune a pack without editing it: whom a rule leaves out, or another level, status or nothing at all, with an owner, a reason and an
//! end. They are given beside packs and are part of the policy's digest.
//!
//! A filter counts for messages sent until the end of the day `expires` in Beijing, so what is found still depends on the messages alone. A message
//! without a time is filtered by none.

use std::sync::Arc;

use crate::calendar::Day;
use crate::identity::FilterDigest;
use crate::rules::{Level, Mistake, Status, read_filter};
use crate::yaml::{self, Yaml};

/// One filter.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Its id, unique within a policy.
    pub id: Arc<str>,
    /// The pack it tunes.
    pub pack: Arc<str>,
    /// The rules it tunes; `None` for all of the pack.
    pub rules: Option<Vec<Arc<str>>>,
    /// Who answers for it.
    pub owner: String,
    /// Why it is needed.
    pub reason: String,
    /// The last day it counts.
    pub expires: Day,
    /// What is left out.
    pub except: Option<Except>,
    /// What is changed.
    pub set: Set,
    /// Name of its file, for messages.
    pub file: String,
    pub(crate) digest: FilterDigest,
}

/// What a filter leaves out. Of the keys that are given each must fit, by any of its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Except {
    /// Labels of the person concerned.
    pub labels: Vec<String>,
    /// Senders, in lower case.
    pub from: Vec<String>,
    /// Hosts; fits when the message has links and all lead there.
    pub hosts: Vec<Box<str>>,
    /// Room ids.
    pub rooms: Vec<String>,
    /// Phrases: with these only the hits inside such a phrase are left out, without them the whole message.
    pub words: Vec<Arc<str>>,
}

/// What a filter changes in the findings that are left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Another level.
    pub level: Option<Level>,
    /// Another status.
    pub status: Option<Status>,
    /// Whether the rules do not count at all.
    pub disable: bool,
}

/// Beijing is eight hours ahead of UTC.
const BEIJING_MS: i64 = 8 * 3_600_000;

impl Filter {
    /// Reads and checks a filter. `name` is the file name for messages.
    ///
    /// # Errors
    /// All mistakes found, in order of line; never an empty list.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, Vec<Mistake>> {
        read_filter(name, bytes)
    }

    /// Whether a document is meant as a filter, and not as a pack.
    #[must_use]
    pub fn is_meant(bytes: &[u8]) -> bool {
        let Ok(root) = yaml::read(bytes) else { return false };
        let Yaml::Map(entries) = &root.value else { return false };
        let has = |name: &str| entries.iter().any(|(key, _)| key.name == name);
        has("filter") && !has("version")
    }

    /// SHA-256 over the exact bytes of the document.
    #[must_use]
    pub fn digest(&self) -> FilterDigest {
        self.digest
    }

    /// Whether it counts for a message of this time.
    #[must_use]
    pub fn counts_at(&self, msgtime: Option<i64>) -> bool {
        let end = Day(self.expires.0.saturating_add(1)).start_ms() - BEIJING_MS;
        msgtime.is_some_and(|ms| ms < end)
    }
}
