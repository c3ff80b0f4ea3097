//! Looking back (`rescan --since`): what was read of an export is read once more, under what is in force now.
//!
//! A message that was looked at before is known by its mid and tells nothing again. One that was out of scope then was not remembered; it is looked
//! at now, and what is found is marked. What is known of the export itself stays as it was.

use std::io::{Read, Seek};
use std::sync::atomic::{AtomicBool, Ordering};

use watchpost_policy::message::Corp;

use super::{Batch, Outcome, Pipeline, resume, tell_new, windows};
use crate::aside::Aside;
use crate::source::Stamp;
use crate::store::{FileRow, StoreError};
use crate::summary::MadeUnder;

/// What came of looking back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookedBack {
    /// Messages looked at for the first time.
    pub messages: u64,
    /// What was found in them.
    pub findings: u64,
}

impl Pipeline {
    /// Looks back in an export, as far as it was read before.
    pub fn look_back(
        &mut self,
        row: &FileRow,
        (export, stamp): (impl Read + Seek, Stamp),
        since_ms: i64,
        stop: &AtomicBool,
        committed: &dyn Fn(),
    ) -> Result<(Outcome, LookedBack), StoreError> {
        let mut looked = LookedBack::default();
        let mut again = row.clone();
        again.restart();
        let mut lines = match resume::resume(&mut again, export, stamp, &self.reading(row)) {
            Ok(lines) => lines,
            Err(error) => return Ok((Outcome::Aside(Aside::of(&error)), looked)),
        };
        let (corp, now_ms) = (Corp::new(row.corp.as_str()), self.now_ms()?);
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ok((Outcome::Stopped, looked));
            }
            if !self.has_room()? {
                return Ok((Outcome::OutboxFull, looked));
            }
            self.look_up();
            let made = MadeUnder { retro: true, ..MadeUnder::new(&self.in_force, self.clock.wall_ms()) };
            let mut batch = Batch::new(made, now_ms);
            (batch.since_ms, batch.until) = (Some(since_ms), row.offset);
            let (batch, failed) = self.fill_batch(batch, &mut lines, &corp);
            let found = self.under_windows(&corp, &batch, |under| {
                self.store.transaction(|tx| {
                    let mut counted = row.clone();
                    (counted.counts.messages, counted.counts.findings) = (0, 0);
                    let added = tell_new(tx, &mut counted, &batch)?;
                    let applied = windows::apply(tx, under, row, added.into_iter(), false)?;
                    Ok(LookedBack {
                        messages: counted.counts.messages,
                        findings: counted.counts.findings + applied.new,
                    })
                })
            })?;
            looked.messages += found.messages;
            looked.findings += found.findings;
            committed();
            match failed {
                Some(aside) => return Ok((Outcome::Aside(aside), looked)),
                None if batch.ended => return Ok((Outcome::Done, looked)),
                None => {}
            }
        }
    }
}
