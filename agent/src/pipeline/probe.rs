//! The synthetic export of a self-check, on the way of every other: opened, carried, parsed, scanned, judged, summarised, remembered, committed. Only
//! what it leaves behind is another: no row, no tally, no window, no line in the ledger and no finding, but the word of whoever asked.

use std::io::{Read, Seek};

use watchpost_policy::message::Corp;

use super::{Pipeline, resume};
use crate::source::Stamp;
use crate::store::{FileRow, Seen, StoreError, Tx};

impl Pipeline {
    /// Takes a synthetic export. If its word was found, `found` tells of it in the transaction that remembers its message. Returns whether it was.
    pub fn probe(
        &mut self,
        row: &mut FileRow,
        (export, stamp): (impl Read + Seek, Stamp),
        found: impl FnOnce(&Tx<'_>) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        let Ok(mut lines) = resume::resume(row, export, stamp, &self.reading(row)) else { return Ok(false) };
        let now_ms = self.now_ms()?;
        let (batch, failed) = self.read_batch(&mut lines, &Corp::new(row.corp.as_str()), now_ms);
        if failed.is_some() || !batch.ended {
            return Ok(false);
        }
        self.store.transaction(|tx| {
            let seen = tx.remember(batch.taken.iter().map(|taken| &taken.remembered))?;
            let is_found = batch.taken.iter().zip(seen).any(|(taken, seen)| {
                // One that cannot be known again, or is taken for another, did not come through.
                seen == Seen::New && taken.remembered.is_some() && !taken.summaries.is_empty()
            });
            if is_found {
                found(tx)?;
            }
            Ok(is_found)
        })
    }
}
