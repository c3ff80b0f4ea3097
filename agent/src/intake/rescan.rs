//! `rescan --since`: whoever came under management later is looked at from an earlier moment on, as far as the exports still lie in their folders.
//!
//! The wish is a file in the state folder, so that it outlives a crash and may be made while no agent runs. It is carried out one export a round,
//! beside everything else; done twice it changes nothing, so a crash in the middle begins it again.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Intake, Round};
use crate::durable;
use crate::pipeline::Outcome;
use crate::source::open_export;
use crate::store::{FileKey, StoreError, Tx};

const WISH: &str = "rescan.json";
/// Where the store keeps what came of the last one.
const RESCAN: &str = "rescan";
/// Exports read from the store at once.
const PAGE: usize = 1_000;

/// What is wished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Wish {
    since_ms: i64,
    /// When it was wished, so that a later wish is told from it.
    asked_ms: i64,
}

/// What came of looking back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescanned {
    /// From when on.
    pub since_ms: i64,
    /// When it was done.
    pub done_ms: i64,
    /// Exports read again.
    pub exports: u64,
    /// Exports that could not be read again: they are gone, or cannot be opened.
    pub unread: u64,
    /// Messages looked at for the first time.
    pub messages: u64,
    /// What was found in them.
    pub findings: u64,
}

/// Looking back, under way.
pub(super) struct Rescan {
    wish: Wish,
    exports: VecDeque<FileKey>,
    so_far: Rescanned,
}

/// Wishes that messages later than this are looked at again by the agent that runs here, or will.
///
/// # Errors
/// What the system said.
pub fn wish(state_dir: &Path, since_ms: i64, asked_ms: i64) -> io::Result<()> {
    // An earlier one that is not done yet reaches further back.
    let earlier = read_wish(state_dir).ok().flatten();
    let since_ms = earlier.map_or(since_ms, |earlier| earlier.since_ms.min(since_ms));
    let bytes = serde_json::to_vec(&Wish { since_ms, asked_ms }).map_err(io::Error::other)?;
    durable::write(&state_dir.join(WISH), &bytes, true)
}

/// Whether one is wished for, or under way; and what came of the last.
pub fn rescanned(state_dir: &Path, tx: &Tx<'_>) -> Result<(bool, Option<Rescanned>), StoreError> {
    let last = tx.seen(RESCAN)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Ok((!matches!(read_wish(state_dir), Ok(None)), last))
}

fn read_wish(state_dir: &Path) -> io::Result<Option<Wish>> {
    match fs::read(state_dir.join(WISH)) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Intake {
    /// Looks back in one export, if that is wished for.
    pub(super) fn look_back(
        &mut self,
        stop: &AtomicBool,
        committed: &dyn Fn(),
        round: &mut Round,
    ) -> Result<(), StoreError> {
        let state_dir = self.pipeline.store.path().parent().map(Path::to_owned).unwrap_or_default();
        let Some(wish) = self.wished(&state_dir) else { return Ok(()) };
        if !round.resting.is_empty() {
            return Ok(());
        }
        let mut rescan = match self.rescan.take().filter(|rescan| rescan.wish == wish) {
            Some(rescan) => rescan,
            None => self.plan(wish)?,
        };
        let Some(key) = rescan.exports.front().cloned() else { return self.end(&state_dir, rescan) };
        let outcome = self.look_back_in(&key, &mut rescan, stop, committed)?;
        match outcome {
            Outcome::OutboxFull => {
                round.resting = "outbox_full";
                super::sooner(&mut round.wait, super::OUTBOX_FULL_PAUSE);
            }
            Outcome::Stopped => {}
            Outcome::Done | Outcome::Aside(_) => {
                rescan.exports.pop_front();
                round.wait = Some(Duration::ZERO);
            }
        }
        round.appended = true;
        self.untold = true;
        self.rescan = Some(rescan);
        Ok(())
    }

    /// What is wished for. One that cannot be read is told of once.
    fn wished(&mut self, state_dir: &Path) -> Option<Wish> {
        let read = read_wish(state_dir);
        if let Err(error) = &read
            && !self.wish_unread
        {
            let path = state_dir.join(WISH);
            tracing::error!(path = %path.display(), %error, "nobody looks back: the wish cannot be read; run rescan again as the agent's user");
        }
        self.wish_unread = read.is_err();
        read.ok().flatten()
    }

    /// Which exports were read, and may hold messages later than that.
    fn plan(&self, wish: Wish) -> Result<Rescan, StoreError> {
        let (mut exports, mut after) = (VecDeque::new(), 0);
        loop {
            let page = self.pipeline.store.read(|tx| tx.files_there(after, PAGE))?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            let is_meant = |folder: &PathBuf| self.folders.iter().any(|known| known.path == *folder);
            let rows = page.into_iter().map(|(_, row)| row).filter(|row| row.offset > 0 && is_meant(&row.key.folder));
            exports.extend(
                rows.filter(|row| row.counts.last_ms == 0 || row.counts.last_ms >= wish.since_ms).map(|row| row.key),
            );
        }
        tracing::info!(exports = exports.len(), "looking back");
        Ok(Rescan { wish, exports, so_far: Rescanned { since_ms: wish.since_ms, ..Rescanned::default() } })
    }

    fn look_back_in(
        &mut self,
        key: &FileKey,
        rescan: &mut Rescan,
        stop: &AtomicBool,
        committed: &dyn Fn(),
    ) -> Result<Outcome, StoreError> {
        let row = self.pipeline.store.read(|tx| tx.file(key))?;
        let (Some(row), Ok(export)) = (row, open_export(key)) else {
            rescan.so_far.unread += 1;
            return Ok(Outcome::Done);
        };
        let (outcome, looked) = self.pipeline.look_back(&row, export, rescan.wish.since_ms, stop, committed)?;
        rescan.so_far.messages += looked.messages;
        rescan.so_far.findings += looked.findings;
        match outcome {
            Outcome::Done => rescan.so_far.exports += 1,
            Outcome::Aside(_) => rescan.so_far.unread += 1,
            Outcome::OutboxFull | Outcome::Stopped => {}
        }
        Ok(outcome)
    }

    fn end(&mut self, state_dir: &Path, rescan: Rescan) -> Result<(), StoreError> {
        let done = Rescanned { done_ms: self.pipeline.now_ms()?, ..rescan.so_far };
        tracing::info!(exports = done.exports, messages = done.messages, findings = done.findings, "looked back");
        let bytes = serde_json::to_vec(&done).unwrap_or_default();
        self.pipeline.store.transaction(|tx| tx.put_seen(RESCAN, &bytes))?;
        // One that was wished for meanwhile is another.
        if matches!(read_wish(state_dir), Ok(Some(wish)) if wish == rescan.wish) {
            let _ = fs::remove_file(state_dir.join(WISH));
        }
        Ok(())
    }
}
