//! Segments taken back from an epoch that is over. What is encrypted cannot be read here any more, so its content is
//! stated again as it is, in order, before anything newer is sealed.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, params};
use watchpost_proto::record::unframe;
use watchpost_proto::segment::{Sealed, read_statement};
use watchpost_proto::v1::{Lane, Statement};

use super::outbox::{LaneState, MARK_BYTES, Outgoing, is_encrypted, marks as new_marks};
use super::{StoreError, Tx};

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS taken_back (
    id         INTEGER PRIMARY KEY,
    lane       INTEGER NOT NULL,
    records    INTEGER NOT NULL,
    statement  BLOB NOT NULL,
    payload    BLOB NOT NULL,
    marks      BLOB
) STRICT;
CREATE INDEX IF NOT EXISTS taken_back_lane ON taken_back (lane, id);
CREATE TABLE IF NOT EXISTS segment_mark (
    segment  INTEGER PRIMARY KEY REFERENCES segment (id) ON DELETE CASCADE,
    marks    BLOB NOT NULL
) STRICT;
";

/// A segment to be stated again.
#[derive(Debug)]
pub struct TakenBack {
    /// What was stated of it.
    pub statement: Statement,
    /// Its payload as it was to be sent.
    pub payload: Vec<u8>,
}

impl Tx<'_> {
    /// States the next of the segments that were taken back in a lane. Returns whether there was one.
    pub fn restate(
        &self,
        lane: Lane,
        now_ms: i64,
        make: impl FnOnce(&LaneState, TakenBack) -> Result<Sealed, StoreError>,
    ) -> Result<bool, StoreError> {
        let next = self
            .0
            .prepare_cached(
                "SELECT id, records, statement, payload, marks FROM taken_back WHERE lane = ?1 ORDER BY id LIMIT 1",
            )?
            .query_row([lane as i32], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get::<_, Option<Vec<u8>>>(4)?))
            })
            .optional()?;
        let Some((id, records, statement, payload, marks)): Option<(i64, usize, Vec<u8>, Vec<u8>, _)> = next else {
            return Ok(false);
        };
        let statement = read_statement(&statement).map_err(|_| StoreError::Malformed("segment"))?.statement;
        let state = self.lane(lane)?;
        let plain = if statement.encryption_suite == 0 { payload.clone() } else { Vec::new() };
        let sealed = make(&state, TakenBack { statement, payload })?;
        // What was plain until now may be encrypted from now on.
        let marks = match marks {
            None if is_encrypted(&sealed.segment.statement) => {
                let records = unframe(&plain).map_err(|_| StoreError::Malformed("segment"))?;
                new_marks(lane, &sealed, &records)
            }
            marks => marks,
        };
        self.put_segment(&state, &sealed, records, marks, now_ms)?;
        self.0.prepare_cached("DELETE FROM taken_back WHERE id = ?1")?.execute([id])?;
        self.advance(lane, &sealed)?;
        Ok(true)
    }

    /// Whether any is still to be stated again in a lane.
    pub(super) fn has_taken_back(&self, lane: Lane) -> Result<bool, StoreError> {
        Ok(self.0.prepare_cached("SELECT 1 FROM taken_back WHERE lane = ?1")?.exists([lane as i32])?)
    }

    /// Lets go of what was taken back, is encrypted and is as `lost` says of its lane and statement; the ledger does not tell
    /// any more whether it has arrived. Returns how many records that were.
    pub fn let_go_of_encrypted(&self, lost: impl Fn(Lane, &Statement) -> bool) -> Result<u64, StoreError> {
        let mut taken_back = self.0.prepare("SELECT id, lane, records, statement, marks FROM taken_back")?;
        let rows = taken_back.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, Vec<u8>>(3)?, row.get::<_, Option<Vec<u8>>>(4)?))
        })?;
        let (mut gone, mut records, mut unknown) = (Vec::<i64>::new(), 0, HashSet::new());
        for row in rows {
            let (id, lane, count, statement, marks): (i64, i32, u64, _, _) = row?;
            let statement = read_statement(&statement).map_err(|_| StoreError::Malformed("segment"))?.statement;
            let lane = Lane::try_from(lane).map_err(|_| StoreError::Malformed("lane"))?;
            if statement.encryption_suite != 0 && lost(lane, &statement) {
                gone.push(id);
                records += count;
                unknown.extend(marks.unwrap_or_default().as_chunks::<MARK_BYTES>().0.iter().copied());
            }
        }
        for id in gone {
            self.0.execute("DELETE FROM taken_back WHERE id = ?1", [id])?;
        }
        self.forget_marks(&unknown)?;
        Ok(records)
    }

    /// What of a lane is still to be stated again.
    pub(super) fn outgoing_taken_back(&self, lane: Lane) -> Result<Outgoing, StoreError> {
        let (records, bytes) = self
            .0
            .prepare_cached(
                "SELECT coalesce(sum(records), 0), coalesce(sum(length(payload)), 0) FROM taken_back WHERE lane = ?1",
            )?
            .query_row([lane as i32], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Outgoing { records, bytes, waiting: records })
    }

    /// Takes segments of a lane back whole, before those that are there already.
    pub(super) fn take_back_whole(&self, lane: Lane, segments: &[i64]) -> Result<(), StoreError> {
        let first: i64 = self.0.query_row("SELECT coalesce(min(id), 1) FROM taken_back", [], |row| row.get(0))?;
        let from = first - i64::try_from(segments.len()).unwrap_or(i64::MAX);
        for (id, segment) in (from..).zip(segments) {
            self.0.execute(
                "INSERT INTO taken_back (id, lane, records, statement, payload, marks)
                 SELECT ?1, ?2, records, statement, payload,
                        (SELECT marks FROM segment_mark WHERE segment_mark.segment = segment.id)
                 FROM segment WHERE id = ?3",
                params![id, lane as i32, segment],
            )?;
            self.0.execute("DELETE FROM segment WHERE id = ?1", [segment])?;
        }
        Ok(())
    }
}
