//! Whether exports come as they are expected to, told whenever that changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use watchpost_proto::v1::Lane;

use super::Intake;
use crate::config::Folder;
use crate::expectation::{Expectation, Fed};
use crate::store::{FileRow, FileState, StoreError, Tx};
use crate::summary::{self, MadeUnder};

/// Where the store keeps what was told.
const FEEDS: &str = "feeds";

/// What is known of the folders of which something is expected, by path.
type Feeds = BTreeMap<String, Feed>;

/// A folder, and what was told of it last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Feed {
    corp: String,
    expected: String,
    /// Since when this is expected, milliseconds.
    since_ms: i64,
    /// Whether it was told to be starved; nothing while nothing was told.
    told: Option<bool>,
}

impl Intake {
    /// Looks whether a folder is starved or fed again. Returns whether anything was told.
    pub(super) fn tell_feeds(&mut self) -> Result<bool, StoreError> {
        let known = self.pipeline.store.read(feeds)?;
        if known.is_empty() && self.folders.iter().all(|folder| folder.expect.is_none()) {
            return Ok(false);
        }
        let now_ms = self.pipeline.now_ms()?;
        let (mut next, mut records) = (Feeds::new(), Vec::new());
        let made = MadeUnder::new(&self.pipeline.in_force, self.clock().wall_ms());
        for folder in &self.folders {
            let Some(expectation) = folder.expect else { continue };
            let mut feed = known.get(&name(folder)).cloned().filter(|feed| feed.is_of(folder, expectation));
            let feed = feed.get_or_insert_with(|| Feed::new(folder, expectation, now_ms));
            // An export that nobody has read yet may be the one that is expected.
            if !self.pending.contains(&folder.path) {
                let last_ms = self.arrivals.get(&folder.path).map(|ms| (*ms).min(now_ms));
                let fed = expectation.judge(feed.since_ms, last_ms, now_ms);
                let starved = fed.starved_ms.is_some();
                if feed.told != Some(starved) {
                    records.push(made.record(summary::feed(
                        &self.pipeline.device,
                        (&folder.path, &feed.corp),
                        expectation,
                        fed,
                    ))?);
                    feed.told = Some(starved);
                    log(&folder.path, expectation, starved);
                }
            }
            next.insert(name(folder), feed.clone());
        }
        for path in known.keys().filter(|path| !next.contains_key(*path)) {
            records.push(made.record(summary::feed_ended(&self.pipeline.device, &PathBuf::from(path)))?);
        }
        if next == known {
            return Ok(false);
        }
        let bytes = serde_json::to_vec(&next).map_err(|_| StoreError::Malformed("feeds"))?;
        self.pipeline.store.transaction(|tx| {
            tx.put_seen(FEEDS, &bytes)?;
            records.iter().try_for_each(|record| tx.append(Lane::Urgent, record))
        })?;
        Ok(!records.is_empty())
    }

    /// By name of the folders that were told to be starved: since when.
    pub(super) fn starved(&self) -> Result<BTreeMap<String, i64>, StoreError> {
        let (known, now_ms) = (self.pipeline.store.read(feeds)?, self.pipeline.now_ms()?);
        let since = |folder: &Folder| {
            let expectation = folder.expect?;
            let feed = known.get(&name(folder)).filter(|feed| feed.told == Some(true))?;
            let last_ms = self.arrivals.get(&folder.path).map(|ms| (*ms).min(now_ms));
            Some((name(folder), expectation.judge(feed.since_ms, last_ms, now_ms).starved_ms?))
        };
        Ok(self.folders.iter().filter_map(since).collect())
    }
}

/// How a folder stands by what the store knows, as the daemon tells it; nothing where nothing is expected, or nobody can say yet.
pub fn fed_of(tx: &Tx<'_>, folder: &Folder, rows: &[FileRow], now_ms: i64) -> Result<Option<Fed>, StoreError> {
    let Some(expectation) = folder.expect else { return Ok(None) };
    let mut rows = rows.iter().filter(|row| row.key.folder == folder.path);
    let is_open =
        |row: &&FileRow| matches!(row.state, FileState::Waiting | FileState::Reading) && row.gone_ms.is_none();
    if rows.clone().any(|row| is_open(&row)) {
        return Ok(None);
    }
    let known = feeds(tx)?.remove(&name(folder)).filter(|feed| feed.is_of(folder, expectation));
    let last_ms = rows.by_ref().filter_map(FileRow::came_ms).max().map(|ms| ms.min(now_ms));
    Ok(Some(expectation.judge(known.map_or(now_ms, |feed| feed.since_ms), last_ms, now_ms)))
}

fn feeds(tx: &Tx<'_>) -> Result<Feeds, StoreError> {
    let bytes = tx.seen(FEEDS)?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
}

pub(super) fn name(folder: &Folder) -> String {
    folder.path.display().to_string()
}

fn log(path: &Path, expectation: Expectation, starved: bool) {
    let path = path.display();
    if starved {
        tracing::warn!(%path, %expectation, "no export has come as expected");
    } else {
        tracing::info!(%path, %expectation, "exports come as expected");
    }
}

impl Feed {
    fn new(folder: &Folder, expectation: Expectation, since_ms: i64) -> Self {
        Self { corp: folder.corp.as_str().to_owned(), expected: expectation.to_string(), since_ms, told: None }
    }

    /// Another expectation begins anew.
    fn is_of(&self, folder: &Folder, expectation: Expectation) -> bool {
        self.corp == folder.corp.as_str() && self.expected == expectation.to_string()
    }
}
