//! The data path: one export, batch by batch, from lines to what waits in the outbox.
//!
//! Everything a batch brings about commits in one transaction, so a crash at any point leaves either all of it or none,
//! and reading goes on where the last commit stands. What a batch would do twice is recognised by its message ids.

mod batch;
mod look_back;
mod probe;
mod resume;
mod windows;

use std::collections::HashMap;
use std::io::{self, Read, Seek};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use watchpost_policy::engine::{Scratch, Standing};
use watchpost_policy::identity::TenantKey;
use watchpost_policy::message::Corp;
use watchpost_policy::parse::{Defect, parse_line};
use watchpost_policy::summary::{MessageFacts, SummaryContext, summarise};
use watchpost_proto::v1::Lane;
use watchpost_proto::v1::summary::Kind;

use crate::aside::Aside;
use crate::carrier::{Names, Reading};
use crate::clock::{Clock, corrected_ms};
use crate::config::SourceConfig;
use crate::device::Device;
use crate::in_force::{InForce, Switch};
use crate::lines::{Line, Lines};
use crate::seal::last_server_time;
use crate::source::Stamp;
use crate::store::{FileRow, FileState, Seen, Store, StoreError, Tx};
use crate::summary::{MadeUnder, unread_loss};

use batch::{Batch, Taken};
pub use look_back::LookedBack;
use windows::{Added, WindowsUnder};

/// Reads exports. One per process.
pub struct Pipeline {
    /// Where everything commits.
    pub store: Arc<Store>,
    /// Whose pseudonyms and tenant summaries carry.
    pub device: Arc<Device>,
    /// Where what is in force is looked up.
    pub switch: Arc<Switch>,
    /// What the transaction under way goes by.
    pub in_force: Arc<InForce>,
    /// Says when summaries are made, and where the horizon is.
    pub clock: Arc<dyn Clock>,
    /// Batch and line sizes, horizon.
    pub config: SourceConfig,
    /// What columns of tables are called beside the usual names, by folder.
    pub columns: HashMap<PathBuf, Names>,
    /// Urgent bytes without a receipt at which reading rests.
    pub urgent_bytes_max: u64,
    /// Buffers of the engine.
    pub scratch: Scratch,
    /// Reading rests until the outbox has some room again, not merely a little.
    pub resting: bool,
}

/// How reading an export ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Read to its present end.
    Done,
    /// Set aside for this reason.
    Aside(Aside),
    /// The outbox is full; the rest stays in the export until there is room.
    OutboxFull,
    /// The process is stopping.
    Stopped,
}

impl Pipeline {
    /// Reads an export from where its row stands to its present end. The export is an opened reader with the stamp it
    /// had when it was opened, so an app may hand in what it was given without a path. `committed` is told after each
    /// transaction.
    pub fn take(
        &mut self,
        row: &mut FileRow,
        (export, stamp): (impl Read + Seek, Stamp),
        stop: &AtomicBool,
        committed: impl Fn(),
    ) -> Result<Outcome, StoreError> {
        if !self.has_room()? {
            return Ok(Outcome::OutboxFull);
        }
        // The row itself changes only with what is committed.
        let mut now = row.clone();
        let mut lines = match resume::resume(&mut now, export, stamp, &self.reading(row)) {
            Ok(lines) => lines,
            Err(error) => return self.set_aside(row, now, Aside::of(&error)),
        };
        let replaced_unread = row.state == FileState::Reading && now.offset < row.offset;
        let mut lost = replaced_unread.then(|| unread_loss(&self.device, row, "file_replaced"));
        let corp = Corp::new(row.corp.as_str());
        let now_ms = self.now_ms()?;
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(Outcome::Stopped);
            }
            let (batch, failed) = self.read_batch(&mut lines, &corp, now_ms);
            now.offset = lines.offset();
            now.prefix = lines.digest().map_or(now.prefix, |digest| digest.0);
            let more = self.commit(&mut now, &batch, lost.as_ref())?;
            lost = None;
            *row = now.clone();
            committed();
            // What was read before it failed is kept.
            if let Some(aside) = failed {
                return self.set_aside(row, now, aside);
            }
            if batch.ended {
                return if more { self.look_again(row, &batch, stop, committed) } else { Ok(Outcome::Done) };
            }
            if !self.has_room()? {
                return Ok(Outcome::OutboxFull);
            }
        }
    }

    /// Goes by what is in force now, from the next transaction on.
    pub(crate) fn look_up(&mut self) {
        self.in_force = self.switch.now();
    }

    fn reading(&self, row: &FileRow) -> Reading {
        let names = self.columns.get(&row.key.folder).cloned().unwrap_or_default();
        Reading { limits: self.config.limits, names }
    }

    /// source → messages → hits → findings → summary, for some megabytes of lines, or as far as they could be read.
    fn read_batch(&mut self, lines: &mut Lines<impl Read>, corp: &Corp, now_ms: i64) -> (Batch, Option<Aside>) {
        self.look_up();
        let batch = Batch::new(MadeUnder::new(&self.in_force, self.clock.wall_ms()), now_ms);
        self.fill_batch(batch, lines, corp)
    }

    fn fill_batch(&mut self, mut batch: Batch, lines: &mut Lines<impl Read>, corp: &Corp) -> (Batch, Option<Aside>) {
        let failed = self.fill(&mut batch, lines, corp).err().map(|error| Aside::of(&error));
        (batch, failed)
    }

    fn fill(&mut self, batch: &mut Batch, lines: &mut Lines<impl Read>, corp: &Corp) -> io::Result<()> {
        let start = lines.offset();
        while lines.offset() - start < self.config.batch_bytes as u64 && !batch.is_full() {
            if lines.offset() >= batch.until {
                batch.end(false);
                return Ok(());
            }
            match lines.next()? {
                Some(Line::Whole(line)) => self.read_line(line, corp, batch),
                Some(Line::TooLong) => batch.defect("line_too_long"),
                // Complete, but for its line end; or torn, and read again when the export grows.
                Some(Line::Unended(line)) if is_complete(line) => {
                    self.read_line(line, corp, batch);
                    lines.accept_unended();
                }
                Some(Line::Unended(_)) => {
                    batch.end(true);
                    return Ok(());
                }
                None => {
                    batch.end(false);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn read_line(&mut self, line: &[u8], corp: &Corp, batch: &mut Batch) {
        let parsed = parse_line(line);
        batch.line(&parsed.defects);
        let Some(message) = parsed.message else { return };
        batch.message(&message);
        if batch.passes_over(&message, self.config.horizon_days) {
            return;
        }
        let key = TenantKey(self.device.tenant_key);
        let standing = self.in_force.engine.standing(corp, &message);
        if self.in_force.report_unknown_accounts && self.in_force.knows_all && standing != Standing::Never {
            batch.unknown.count(&self.in_force.engine, &key, corp, &message);
        }
        if standing != Standing::Evaluate {
            batch.out_of_scope += 1;
            return;
        }
        let evaluated = self.in_force.engine.look(corp, &message, &key, &mut self.scratch);
        let context = self.context(corp, &key);
        let summaries = evaluated.findings.iter().map(|finding| summarise(finding, &message, &context)).collect();
        let added = (!evaluated.contributions.is_empty()).then(|| Added {
            facts: MessageFacts::of(&message, evaluated.person.as_ref(), &context),
            contributions: evaluated.contributions,
        });
        let (now_ms, horizon_days) = (batch.now_ms, self.config.horizon_days);
        let mut taken = Taken::new(&self.in_force.engine, &key, corp, &message, summaries, now_ms, horizon_days);
        taken.added = added;
        batch.take(taken);
    }

    /// Looks again at more windows that the end of an export made due. What is left when there is no room, or the process stops, waits for the
    /// next end of an export.
    fn look_again(
        &mut self,
        row: &mut FileRow,
        batch: &Batch,
        stop: &AtomicBool,
        committed: impl Fn(),
    ) -> Result<Outcome, StoreError> {
        let corp = Corp::new(row.corp.as_str());
        while !stop.load(Ordering::Relaxed) && self.has_room()? {
            let mut now = row.clone();
            let more = self.under_windows(&corp, batch, |under| {
                self.store.transaction(|tx| {
                    let applied = windows::apply_due(tx, under, &now)?;
                    now.counts.findings += applied.new;
                    tx.put_file(&now)?;
                    Ok(applied.more)
                })
            })?;
            *row = now;
            committed();
            if !more {
                break;
            }
        }
        Ok(Outcome::Done)
    }

    /// Commits a batch. Says whether more windows are due than it looked at.
    fn commit(&self, row: &mut FileRow, batch: &Batch, lost: Option<&Kind>) -> Result<bool, StoreError> {
        let corp = Corp::new(row.corp.as_str());
        self.under_windows(&corp, batch, |windows| self.store.transaction(|tx| commit(tx, row, batch, lost, windows)))
    }

    /// What windows of a batch are judged and told under.
    fn under_windows<T>(&self, corp: &Corp, batch: &Batch, act: impl FnOnce(&WindowsUnder<'_>) -> T) -> T {
        let key = TenantKey(self.device.tenant_key);
        act(&WindowsUnder {
            engine: &self.in_force.engine,
            context: self.context(corp, &key),
            made: batch.made,
            now_ms: batch.now_ms,
            horizon_ms: horizon_ms(batch.now_ms, self.config.horizon_days),
        })
    }

    fn context<'a>(&'a self, corp: &'a Corp, key: &'a TenantKey) -> SummaryContext<'a> {
        let (tenant, in_force) = (&self.device.tenant, &self.in_force);
        SummaryContext { tenant, corp, key, ceiling: in_force.ceiling, accounts: in_force.engine.accounts() }
    }

    fn set_aside(&self, row: &mut FileRow, mut now: FileRow, aside: Aside) -> Result<Outcome, StoreError> {
        (now.state, now.reason) = (FileState::SetAside, aside.as_str().to_owned());
        // An export that cannot be read is tried again and again; only news is written.
        if !row.tells_the_same(&now) {
            self.store.transaction(|tx| tx.put_file(&now))?;
        }
        *row = now;
        Ok(Outcome::Aside(aside))
    }

    /// Whether findings have room. Once they have not, a fifth must be free before reading goes on.
    fn has_room(&mut self) -> Result<bool, StoreError> {
        let bytes_max = if self.resting { self.urgent_bytes_max / 5 * 4 } else { self.urgent_bytes_max };
        self.resting = self.store.read(|tx| tx.backlog())?.urgent.bytes >= bytes_max;
        Ok(!self.resting)
    }

    /// The present moment, for what a wrong clock must not spoil.
    pub fn now_ms(&self) -> Result<i64, StoreError> {
        let server_ms = self.store.read(last_server_time)?;
        Ok(corrected_ms(self.clock.wall_ms(), server_ms))
    }
}

/// Whether a line that has no end is a whole object, or nothing at all.
fn is_complete(line: &[u8]) -> bool {
    let parsed = parse_line(line);
    let is_object = |defect: &Defect| matches!(defect, Defect::NotAMessage | Defect::Encrypted);
    parsed.message.is_some() || parsed.defects.iter().all(is_object)
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The first moment of the horizon: messages are remembered by whole days.
pub(crate) fn horizon_ms(now_ms: i64, horizon_days: i64) -> i64 {
    (now_ms.div_euclid(DAY_MS) - horizon_days) * DAY_MS
}

/// The one transaction: remembered messages, windows, tallies, findings, ledger and progress, all or nothing.
fn commit(
    tx: &Tx<'_>,
    row: &mut FileRow,
    batch: &Batch,
    lost: Option<&Kind>,
    windows: &WindowsUnder<'_>,
) -> Result<bool, StoreError> {
    if let Some(lost) = lost {
        tx.append(Lane::Urgent, &batch.made.record(lost.clone())?)?;
    }
    let added = tell_new(tx, row, batch)?;
    batch.unknown.write(tx, &row.corp)?;
    batch.add_counts(&mut row.counts);
    if batch.ended {
        row.finish(batch.now_ms);
    }
    let applied = windows::apply(tx, windows, row, added.into_iter(), batch.ended)?;
    row.counts.findings += applied.new;
    tx.put_file(row)?;
    Ok(applied.more)
}

/// Remembers the messages of a batch, and counts and tells those that are new. Returns what they add to windows.
fn tell_new<'b>(tx: &Tx<'_>, row: &mut FileRow, batch: &'b Batch) -> Result<Vec<&'b Added>, StoreError> {
    let seen = tx.remember(batch.taken.iter().map(|taken| &taken.remembered))?;
    let mut tallies = batch::Tallies::default();
    let mut added = Vec::new();
    for (taken, seen) in batch.taken.iter().zip(seen) {
        match seen {
            Seen::Repeat => {
                row.counts.repeats += 1;
                continue;
            }
            Seen::Altered => row.counts.defect("reused_msgid"),
            Seen::New => tallies.count(taken),
        }
        row.counts.messages += 1;
        // A message that cannot be known again would contribute with every repeat.
        added.extend(taken.added.as_ref().filter(|_| taken.remembered.is_some()));
        for summary in &taken.summaries {
            let record = batch.made.record(crate::summary::finding(&row.corp, summary))?;
            tx.append(Lane::Urgent, &record)?;
            tx.disclosed(batch.made.at_ms, &crate::summary::disclosure(&row.corp, summary, false), &record)?;
            row.counts.findings += 1;
        }
    }
    tallies.write(tx)?;
    Ok(added)
}
