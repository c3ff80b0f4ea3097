//! Whether exports come as they are expected to, told whenever that changes.

use watchpost_proto::v1::Lane;

use super::Intake;
use crate::config::Folder;
use crate::source::{Expectation, Fed};
use crate::store::{FileRow, FileState, StoreError, Tx};
use crate::summary::{self, MadeUnder};

/// What was told of a folder last.
struct Told {
    /// Since when it is watched with its expectation, milliseconds.
    since_ms: i64,
    starved: bool,
}

impl Intake {
    /// Looks whether a folder is starved or fed again. Returns whether anything was told.
    pub(super) fn tell_feeds(&mut self) -> Result<bool, StoreError> {
        if self.folders.iter().all(|folder| folder.expect.is_none()) {
            return Ok(false);
        }
        let now_ms = self.pipeline.now_ms()?;
        let mut told = false;
        for folder in &self.folders {
            let Some(expectation) = folder.expect else { continue };
            let last = Told::of(&self.pipeline.store.read(|tx| tx.seen(&name(folder, expectation)))?);
            let since_ms = last.as_ref().map_or(now_ms, |last| last.since_ms);
            let fed = fed(expectation, folder, since_ms, self.rows.values(), now_ms);
            let starved = fed.starved_ms.is_some();
            if last.is_some_and(|last| last.starved == starved) {
                continue;
            }
            if starved {
                tracing::warn!(folder = %folder.path.display(), %expectation, "no export has come as expected");
            }
            let made = MadeUnder::new(&self.pipeline.engine, self.clock().wall_ms());
            let record = made.record(summary::feed(&self.pipeline.device, folder, expectation, fed))?;
            self.pipeline.store.transaction(|tx| {
                tx.put_seen(&name(folder, expectation), &Told { since_ms, starved }.bytes())?;
                tx.append(Lane::Urgent, &record)
            })?;
            told = true;
        }
        Ok(told)
    }
}

/// How a folder stands by what the store knows, as the daemon tells it.
pub fn fed_of(tx: &Tx<'_>, folder: &Folder, rows: &[FileRow], now_ms: i64) -> Result<Option<Fed>, StoreError> {
    let Some(expectation) = folder.expect else { return Ok(None) };
    let since_ms = Told::of(&tx.seen(&name(folder, expectation))?).map_or(now_ms, |told| told.since_ms);
    Ok(Some(fed(expectation, folder, since_ms, rows.iter(), now_ms)))
}

/// An export that could not be read, or of which nobody knows yet, has not come.
fn fed<'r>(
    expectation: Expectation,
    folder: &Folder,
    since_ms: i64,
    rows: impl Iterator<Item = &'r FileRow>,
    now_ms: i64,
) -> Fed {
    let came = rows.filter(|row| match row.state {
        _ if row.key.folder != folder.path => false,
        FileState::Done | FileState::Reading => true,
        // It has grown.
        FileState::Waiting => row.offset > 0,
        FileState::SetAside => false,
    });
    let last_ms = came.map(|row| row.mtime_ns / 1_000_000).filter(|ms| *ms > 0).max();
    // A writer's clock may be ahead.
    expectation.judge(since_ms, last_ms.map(|ms| ms.min(now_ms)), now_ms)
}

/// Where the store keeps what was told. Another expectation begins anew.
fn name(folder: &Folder, expectation: Expectation) -> String {
    format!("feed {expectation} {}", folder.path.display())
}

impl Told {
    fn of(bytes: &Option<Vec<u8>>) -> Option<Self> {
        let (starved, since) = bytes.as_deref()?.split_first()?;
        Some(Self { since_ms: i64::from_be_bytes(since.try_into().ok()?), starved: *starved != 0 })
    }

    fn bytes(&self) -> Vec<u8> {
        [&[u8::from(self.starved)][..], &self.since_ms.to_be_bytes()].concat()
    }
}
