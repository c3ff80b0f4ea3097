//! The outbox: records wait, are sealed into segments, and stay until a receipt says they are durable elsewhere.
//!
//! A segment is committed here before its first byte is sent, so a sequence number can never come again with other
//! content. Nothing is dropped to make room; [`Tx::backlog`] lets the source rest instead.

use rusqlite::{OptionalExtension, Row, params};
use watchpost_proto::digest::hash;
use watchpost_proto::keys::PublicKey;
use watchpost_proto::limits::{SEGMENT_BYTES_MAX, SEGMENT_RECORDS_MAX};
use watchpost_proto::record::{FRAME_BYTES, SALT_BYTES, unframe};
use watchpost_proto::segment::{Head, Sealed, check_payload, read_statement, statement_digest, verify_signature};
use watchpost_proto::v1::{EpochCause, EpochStart, Lane, Segment, SignedReceipt};
use watchpost_proto::{Digest, EpochId, Message};

use super::{StoreError, Tx};

pub(super) const SCHEMA: &str = "
CREATE TABLE pending (
    id      INTEGER PRIMARY KEY,
    lane    INTEGER NOT NULL,
    record  BLOB NOT NULL
) STRICT;
CREATE INDEX pending_lane ON pending (lane, id);
CREATE TABLE lane (
    lane   INTEGER PRIMARY KEY,
    epoch  BLOB NOT NULL,
    next   INTEGER NOT NULL,
    head   BLOB,
    start  BLOB NOT NULL
) STRICT;
CREATE TABLE past_epoch (
    epoch     BLOB PRIMARY KEY,
    ended_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE segment (
    id            INTEGER PRIMARY KEY,
    epoch         BLOB NOT NULL,
    lane          INTEGER NOT NULL,
    sequence      INTEGER NOT NULL,
    digest        BLOB NOT NULL,
    records       INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,
    sealed_ms     INTEGER NOT NULL,
    receipted_ms  INTEGER,
    statement     BLOB NOT NULL,
    signature     BLOB NOT NULL,
    payload       BLOB,
    UNIQUE (epoch, lane, sequence)
) STRICT;
CREATE INDEX segment_unreceipted ON segment (lane, sequence) WHERE receipted_ms IS NULL;
CREATE INDEX segment_receipted ON segment (receipted_ms) WHERE receipted_ms IS NOT NULL;
CREATE TABLE receipt (
    lane       INTEGER PRIMARY KEY,
    receipt    BLOB NOT NULL,
    signature  BLOB NOT NULL,
    key_id     BLOB NOT NULL
) STRICT;
CREATE TABLE seen (
    name   TEXT PRIMARY KEY,
    value  BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Both lanes, the more pressing first.
const LANES: [Lane; 2] = [Lane::Urgent, Lane::Bulk];

/// Where one lane stands.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneState {
    /// Which lane.
    pub lane: Lane,
    /// What its next statement continues.
    pub head: Head,
    /// What came before this epoch.
    pub start: EpochStart,
}

/// What has not been receipted in one lane: sealed segments and records still waiting to be sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// Records.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Records of these that are not sealed yet.
    pub waiting: u64,
}

/// What has not been receipted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Findings and losses.
    pub urgent: Outgoing,
    /// Tallies and file reports.
    pub bulk: Outgoing,
}

impl Backlog {
    /// Records of both lanes.
    pub fn records(&self) -> u64 {
        self.urgent.records + self.bulk.records
    }

    /// Bytes of both lanes.
    pub fn bytes(&self) -> u64 {
        self.urgent.bytes + self.bulk.bytes
    }
}

/// One stored segment without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRow {
    /// Epoch, lane and sequence: its place.
    pub epoch: EpochId,
    /// See `epoch`.
    pub lane: Lane,
    /// See `epoch`.
    pub sequence: u64,
    /// Digest of its statement.
    pub digest: Digest,
    /// Records in it.
    pub records: u64,
    /// Bytes of its payload.
    pub bytes: u64,
    /// When it was sealed, milliseconds.
    pub sealed_ms: i64,
    /// When its receipt came, milliseconds.
    pub receipted_ms: Option<i64>,
    /// Whether its payload is encrypted, so that nobody here can read it.
    pub encrypted: bool,
}

/// Bytes of a [`mark`].
pub const MARK_BYTES: usize = 16;

/// By what a record is known where it cannot be read: of its salt, which would let its content be guessed, only a digest.
pub fn mark(record: &[u8]) -> [u8; MARK_BYTES] {
    let digest = hash("watchpost/mark", &[record.get(..SALT_BYTES).unwrap_or_default()]);
    let mut mark = [0; MARK_BYTES];
    mark.copy_from_slice(&digest.0[..MARK_BYTES]);
    mark
}

/// Where a stored chain does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {} chain does not hold at sequence {sequence}: {what}", lane_name(*lane))]
pub struct OutboxFault {
    /// The lane.
    pub lane: Lane,
    /// The first segment that does not hold.
    pub sequence: u64,
    /// What is wrong with it.
    pub what: &'static str,
}

/// The word shown to people.
pub fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Urgent => "urgent",
        Lane::Bulk => "bulk",
        Lane::Unspecified => "unknown",
    }
}

impl Tx<'_> {
    /// Appends a record, made by `watchpost_proto::record::encode`, to a lane.
    pub fn append(&self, lane: Lane, record: &[u8]) -> Result<(), StoreError> {
        self.0
            .prepare_cached("INSERT INTO pending (lane, record) VALUES (?1, ?2)")?
            .execute(params![lane as i32, record])?;
        Ok(())
    }

    /// What has not been receipted.
    pub fn backlog(&self) -> Result<Backlog, StoreError> {
        let outgoing = |lane: Lane| -> Result<Outgoing, StoreError> {
            let (sealed, sealed_bytes): (u64, u64) = self
                .0
                .prepare_cached(
                    "SELECT coalesce(sum(records), 0), coalesce(sum(bytes), 0) FROM segment
                     WHERE lane = ?1 AND receipted_ms IS NULL",
                )?
                .query_row([lane as i32], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let (waiting, waiting_bytes): (u64, u64) = self
                .0
                .prepare_cached("SELECT count(*), coalesce(sum(length(record)), 0) FROM pending WHERE lane = ?1")?
                .query_row([lane as i32], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let back = self.outgoing_taken_back(lane)?;
            Ok(Outgoing {
                records: sealed + waiting + back.records,
                bytes: sealed_bytes + waiting_bytes + back.bytes,
                waiting: waiting + back.waiting,
            })
        };
        Ok(Backlog { urgent: outgoing(Lane::Urgent)?, bulk: outgoing(Lane::Bulk)? })
    }

    /// Gives the mark of every urgent record without a receipt to `take`.
    pub fn unreceipted(&self, mut take: impl FnMut([u8; MARK_BYTES])) -> Result<(), StoreError> {
        let mut sealed = self.0.prepare_cached(
            "SELECT payload, (SELECT marks FROM segment_mark WHERE segment_mark.segment = segment.id) FROM segment
             WHERE lane = ?1 AND receipted_ms IS NULL AND payload IS NOT NULL
             UNION ALL SELECT payload, marks FROM taken_back WHERE lane = ?1",
        )?;
        let mut rows = sealed.query([Lane::Urgent as i32])?;
        while let Some(row) = rows.next()? {
            let (payload, marks): (Vec<u8>, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?);
            match marks {
                Some(marks) => marks.as_chunks().0.iter().copied().for_each(&mut take),
                None => {
                    let records = unframe(&payload).map_err(|_| StoreError::Malformed("segment"))?;
                    records.into_iter().map(mark).for_each(&mut take);
                }
            }
        }
        let mut waiting = self.0.prepare_cached("SELECT record FROM pending WHERE lane = ?1")?;
        let mut rows = waiting.query([Lane::Urgent as i32])?;
        while let Some(row) = rows.next()? {
            take(mark(&row.get::<_, Vec<u8>>(0)?));
        }
        Ok(())
    }

    /// When the oldest segment without a receipt was sealed, milliseconds.
    pub fn oldest_unreceipted_ms(&self) -> Result<Option<i64>, StoreError> {
        let mut statement = self.0.prepare_cached("SELECT min(sealed_ms) FROM segment WHERE receipted_ms IS NULL")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// Where both lanes stand; empty before the first epoch.
    pub fn lanes(&self) -> Result<Vec<LaneState>, StoreError> {
        let mut statement = self.0.prepare_cached("SELECT lane, epoch, next, head, start FROM lane ORDER BY lane")?;
        let rows = statement.query_map([], |row| {
            Ok((row.get::<_, i32>(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get::<_, Vec<u8>>(4)?))
        })?;
        rows.map(|row| lane_state(row?).ok_or(StoreError::Malformed("lane"))).collect()
    }

    /// Where one lane stands.
    pub fn lane(&self, lane: Lane) -> Result<LaneState, StoreError> {
        self.lanes()?.into_iter().find(|state| state.lane == lane).ok_or(StoreError::Malformed("lane"))
    }

    /// Opens the device's first epoch, unless it has one.
    pub fn ensure_epoch(&self, epoch: EpochId, cause: EpochCause) -> Result<(), StoreError> {
        if self.lanes()?.is_empty() {
            for lane in LANES {
                let start = EpochStart { cause: cause.into(), ..EpochStart::default() };
                self.start_lane(lane, epoch, &start)?;
            }
        }
        Ok(())
    }

    /// Ends the current epoch and opens a new one: everything without a receipt goes back to the front of its lane, in
    /// order, to be sealed again.
    pub fn open_epoch(&self, epoch: EpochId, cause: EpochCause, now_ms: i64) -> Result<(), StoreError> {
        self.keep_receipts()?;
        for state in self.lanes()? {
            let (next, head) = self.last_receipted(&state)?;
            self.take_back(&state)?;
            self.note_past_epoch(state.head.epoch, now_ms)?;
            let start = EpochStart {
                previous_epoch: state.head.epoch.to_vec(),
                next_sequence: next,
                head: head.map(Digest::to_vec).unwrap_or_default(),
                cause: cause.into(),
            };
            self.start_lane(state.lane, epoch, &start)?;
        }
        Ok(())
    }

    /// Takes receipts back from a sequence on: the collector that gave them has not kept what they were for. Returns how
    /// many segments before `end` are not kept here either.
    pub fn take_receipts_back(&self, epoch: EpochId, lane: Lane, from: u64, end: u64) -> Result<u64, StoreError> {
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        self.0.execute(
            "UPDATE segment SET receipted_ms = NULL
             WHERE epoch = ?1 AND lane = ?2 AND sequence >= ?3 AND payload IS NOT NULL",
            params![epoch.as_ref(), lane as i32, from],
        )?;
        let kept: u64 = self.0.query_row(
            "SELECT count(*) FROM segment WHERE epoch = ?1 AND lane = ?2 AND sequence >= ?3 AND payload IS NOT NULL",
            params![epoch.as_ref(), lane as i32, from],
            |row| row.get(0),
        )?;
        Ok(end.saturating_sub(from.unsigned_abs()).saturating_sub(kept))
    }

    /// Remembers an epoch that the collector holds of this device, so that it is not taken for news again.
    pub fn note_past_epoch(&self, epoch: EpochId, now_ms: i64) -> Result<(), StoreError> {
        self.0.execute("INSERT OR IGNORE INTO past_epoch VALUES (?1, ?2)", params![epoch.as_ref(), now_ms])?;
        Ok(())
    }

    /// Whether an epoch is one of this device's earlier ones.
    pub fn is_past_epoch(&self, epoch: EpochId) -> Result<bool, StoreError> {
        Ok(self.0.prepare_cached("SELECT 1 FROM past_epoch WHERE epoch = ?1")?.exists([epoch.as_ref()])?)
    }

    /// Seals the next waiting records of a lane. Unless `partial`, only a full segment is made. Returns whether one was.
    pub fn seal(
        &self,
        lane: Lane,
        partial: bool,
        now_ms: i64,
        make: impl FnOnce(&LaneState, &[Vec<u8>]) -> Result<Sealed, StoreError>,
    ) -> Result<bool, StoreError> {
        let (records, last_id, full) = self.waiting(lane)?;
        if records.is_empty() || !(full || partial) {
            return Ok(false);
        }
        let state = self.lane(lane)?;
        let sealed = make(&state, &records)?;
        let marks = marks(lane, &sealed, &records);
        self.put_segment(&state, &sealed, records.len(), marks, now_ms)?;
        self.0.execute("DELETE FROM pending WHERE lane = ?1 AND id <= ?2", params![lane as i32, last_id])?;
        self.advance(lane, &sealed)?;
        Ok(true)
    }

    /// The next statement of a lane continues this one.
    pub(super) fn advance(&self, lane: Lane, sealed: &Sealed) -> Result<(), StoreError> {
        self.0.execute(
            "UPDATE lane SET next = ?2, head = ?3 WHERE lane = ?1",
            params![lane as i32, sealed.head.next, sealed.head.digest.map(Digest::to_vec)],
        )?;
        Ok(())
    }

    /// The segment at a place, to be sent; `None` if it is not sealed yet or not kept any more.
    pub fn segment(&self, epoch: EpochId, lane: Lane, sequence: u64) -> Result<Option<Segment>, StoreError> {
        let row = self
            .0
            .prepare_cached(
                "SELECT statement, signature, payload FROM segment
                 WHERE epoch = ?1 AND lane = ?2 AND sequence = ?3 AND payload IS NOT NULL",
            )?
            .query_row(params![epoch.as_ref(), lane as i32, sequence], |row| {
                Ok(Segment { statement: row.get(0)?, signature: row.get(1)?, payload: row.get(2)? })
            })
            .optional()?;
        Ok(row)
    }

    /// The statement of a lane's first segment without a receipt, where that is before `end`.
    pub fn first_unreceipted(&self, epoch: EpochId, lane: Lane, end: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let end = i64::try_from(end).unwrap_or(i64::MAX);
        let statement = self
            .0
            .prepare_cached(
                "SELECT statement FROM segment
                 WHERE epoch = ?1 AND lane = ?2 AND sequence < ?3 AND receipted_ms IS NULL ORDER BY sequence LIMIT 1",
            )?
            .query_row(params![epoch.as_ref(), lane as i32, end], |row| row.get(0))
            .optional()?;
        Ok(statement)
    }

    /// Digest of the statement at a place.
    pub fn statement_digest(&self, epoch: EpochId, lane: Lane, sequence: u64) -> Result<Option<Digest>, StoreError> {
        let digest: Option<Vec<u8>> = self
            .0
            .prepare_cached("SELECT digest FROM segment WHERE epoch = ?1 AND lane = ?2 AND sequence = ?3")?
            .query_row(params![epoch.as_ref(), lane as i32, sequence], |row| row.get(0))
            .optional()?;
        digest.map(|digest| Digest::from_slice(&digest).ok_or(StoreError::Malformed("segment"))).transpose()
    }

    /// Takes a verified receipt. Returns false, changing nothing, if it does not name this device's own statement.
    pub fn receipted(
        &self,
        place: (EpochId, Lane, u64),
        digest: Digest,
        signed: &SignedReceipt,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let (epoch, lane, through) = place;
        if through > i64::MAX as u64 || self.statement_digest(epoch, lane, through)? != Some(digest) {
            return Ok(false);
        }
        self.0
            .prepare_cached(
                "UPDATE segment SET receipted_ms = ?4
                 WHERE epoch = ?1 AND lane = ?2 AND sequence <= ?3 AND receipted_ms IS NULL",
            )?
            .execute(params![epoch.as_ref(), lane as i32, through, now_ms])?;
        self.0.prepare_cached("INSERT OR REPLACE INTO receipt VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            lane as i32,
            signed.receipt,
            signed.signature,
            signed.key_id
        ])?;
        Ok(true)
    }

    /// Every stored segment in order of sealing.
    pub fn segments(&self) -> Result<Vec<SegmentRow>, StoreError> {
        let mut statement = self.0.prepare(
            "SELECT epoch, lane, sequence, digest, records, bytes, sealed_ms, receipted_ms, statement FROM segment
             ORDER BY id",
        )?;
        let rows = statement.query_map([], |row| Ok(segment_row(row)))?;
        rows.map(|row| row??.ok_or(StoreError::Malformed("segment"))).collect()
    }

    /// Lets go of receipted payloads older than `payload_before_ms` or beyond `payload_bytes_max`, newest kept, and of
    /// statements older than `statement_before_ms`.
    pub fn forget_segments(
        &self,
        payload_before_ms: i64,
        payload_bytes_max: u64,
        statement_before_ms: i64,
    ) -> Result<(), StoreError> {
        self.0.execute(
            "UPDATE segment SET payload = NULL WHERE payload IS NOT NULL AND id IN (
                 SELECT id FROM (
                     SELECT id, receipted_ms, sum(bytes) OVER (ORDER BY id DESC) AS total FROM segment
                     WHERE receipted_ms IS NOT NULL AND payload IS NOT NULL)
                 WHERE receipted_ms < ?1 OR total > ?2)",
            params![payload_before_ms, payload_bytes_max],
        )?;
        self.forget_statements(statement_before_ms)?;
        self.forget_receipts()
    }

    /// Only from the beginning of each chain, so that what is kept stays one run: receipts are stamped by a clock that
    /// may have jumped.
    fn forget_statements(&self, before_ms: i64) -> Result<(), StoreError> {
        let mut chains = self.0.prepare(
            "SELECT epoch, lane, min(sequence) FILTER (WHERE receipted_ms IS NULL OR receipted_ms >= ?1
                                                            OR payload IS NOT NULL)
             FROM segment GROUP BY epoch, lane",
        )?;
        let chains = chains
            .query_map([before_ms], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<Vec<(Vec<u8>, i32, Option<i64>)>, _>>()?;
        for (epoch, lane, first_kept) in chains {
            self.0.execute(
                "DELETE FROM segment WHERE epoch = ?1 AND lane = ?2 AND sequence < ?3",
                params![epoch, lane, first_kept.unwrap_or(i64::MAX)],
            )?;
        }
        Ok(())
    }

    /// A small fact learned from the collector, such as the last checkpoint.
    pub fn seen(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self
            .0
            .prepare_cached("SELECT value FROM seen WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        Ok(value)
    }

    /// Keeps a small fact learned from the collector.
    pub fn put_seen(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.0.prepare_cached("INSERT OR REPLACE INTO seen VALUES (?1, ?2)")?.execute(params![name, value])?;
        Ok(())
    }

    /// Records that fit into the next segment, the id of the last, and whether they fill it.
    fn waiting(&self, lane: Lane) -> Result<(Vec<Vec<u8>>, i64, bool), StoreError> {
        let mut statement = self.0.prepare_cached("SELECT id, record FROM pending WHERE lane = ?1 ORDER BY id")?;
        let mut rows = statement.query([lane as i32])?;
        let (mut records, mut last_id, mut bytes) = (Vec::new(), 0, 0);
        while let Some(row) = rows.next()? {
            let record: Vec<u8> = row.get(1)?;
            bytes += FRAME_BYTES + record.len();
            if bytes > SEGMENT_BYTES_MAX || records.len() == SEGMENT_RECORDS_MAX {
                return Ok((records, last_id, true));
            }
            last_id = row.get(0)?;
            records.push(record);
        }
        Ok((records, last_id, false))
    }

    pub(super) fn put_segment(
        &self,
        state: &LaneState,
        sealed: &Sealed,
        records: usize,
        marks: Option<Vec<u8>>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let segment = &sealed.segment;
        self.0
            .prepare_cached(
                "INSERT INTO segment (epoch, lane, sequence, digest, records, bytes, sealed_ms, receipted_ms,
                                      statement, signature, payload)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, ?8, ?9, ?10)",
            )?
            .execute(params![
                state.head.epoch.as_ref(),
                state.lane as i32,
                state.head.next,
                statement_digest(&segment.statement).as_ref(),
                records as u64,
                segment.payload.len() as u64,
                now_ms,
                segment.statement,
                segment.signature,
                segment.payload,
            ])?;
        if let Some(marks) = marks {
            let segment = self.0.last_insert_rowid();
            self.0.prepare_cached("INSERT INTO segment_mark VALUES (?1, ?2)")?.execute(params![segment, marks])?;
        }
        Ok(())
    }

    fn start_lane(&self, lane: Lane, epoch: EpochId, start: &EpochStart) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT OR REPLACE INTO lane VALUES (?1, ?2, 0, NULL, ?3)",
            params![lane as i32, epoch.as_ref(), start.encode_to_vec()],
        )?;
        Ok(())
    }

    /// Next sequence and head of the last statement of this epoch that a receipt covers.
    fn last_receipted(&self, state: &LaneState) -> Result<(u64, Option<Digest>), StoreError> {
        let last: Option<(u64, Vec<u8>)> = self
            .0
            .query_row(
                "SELECT sequence, digest FROM segment
                 WHERE epoch = ?1 AND lane = ?2 AND receipted_ms IS NOT NULL ORDER BY sequence DESC LIMIT 1",
                params![state.head.epoch.as_ref(), state.lane as i32],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        Ok(last.map_or((0, None), |(sequence, digest)| (sequence + 1, Digest::from_slice(&digest))))
    }

    /// Moves the records of every unreceipted segment of a lane before those that wait, one segment at a time. Where one
    /// of them is encrypted, or others wait already to be stated again, they stay whole, so that their order stays.
    fn take_back(&self, state: &LaneState) -> Result<(), StoreError> {
        let lane = state.lane as i32;
        let mut statement = self.0.prepare(
            "SELECT id, records, statement FROM segment
             WHERE lane = ?1 AND receipted_ms IS NULL AND payload IS NOT NULL ORDER BY id",
        )?;
        let mut whole = self.has_taken_back(state.lane)?;
        let segments = statement
            .query_map([lane], |row| {
                whole |= is_encrypted(&row.get::<_, Vec<u8>>(2)?);
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<Result<Vec<(i64, i64)>, _>>()?;
        if whole {
            let ids: Vec<i64> = segments.iter().map(|(id, _)| *id).collect();
            self.take_back_whole(state.lane, &ids)?;
            self.0.execute("DELETE FROM segment WHERE lane = ?1 AND receipted_ms IS NULL", [lane])?;
            return Ok(());
        }
        let first: i64 = self.0.query_row("SELECT coalesce(min(id), 1) FROM pending", [], |row| row.get(0))?;
        let mut id = first - segments.iter().map(|(_, records)| records).sum::<i64>();
        let mut insert = self.0.prepare_cached("INSERT INTO pending (id, lane, record) VALUES (?1, ?2, ?3)")?;
        for (segment, _) in &segments {
            let payload: Vec<u8> =
                self.0.query_row("SELECT payload FROM segment WHERE id = ?1", [segment], |row| row.get(0))?;
            for record in unframe(&payload).map_err(|_| StoreError::Malformed("segment"))? {
                insert.execute(params![id, lane, record])?;
                id += 1;
            }
            self.0.execute("DELETE FROM segment WHERE id = ?1", [segment])?;
        }
        self.0.execute("DELETE FROM segment WHERE lane = ?1 AND receipted_ms IS NULL", [lane])?;
        Ok(())
    }
}

/// A lane as it stands in its row.
type LaneColumns = (i32, Vec<u8>, u64, Option<Vec<u8>>, Vec<u8>);

fn lane_state((lane, epoch, next, head, start): LaneColumns) -> Option<LaneState> {
    let digest = match head {
        Some(head) => Some(Digest::from_slice(&head)?),
        None => None,
    };
    Some(LaneState {
        lane: Lane::try_from(lane).ok()?,
        head: Head { epoch: EpochId::from_slice(&epoch)?, next, digest },
        start: EpochStart::decode(&start[..]).ok()?,
    })
}

fn segment_row(row: &Row<'_>) -> Result<Option<SegmentRow>, StoreError> {
    let (epoch, digest): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(3)?);
    let (Some(epoch), Some(digest)) = (EpochId::from_slice(&epoch), Digest::from_slice(&digest)) else {
        return Ok(None);
    };
    let Ok(lane) = Lane::try_from(row.get::<_, i32>(1)?) else { return Ok(None) };
    Ok(Some(SegmentRow {
        epoch,
        lane,
        sequence: row.get(2)?,
        digest,
        records: row.get(4)?,
        bytes: row.get(5)?,
        sealed_ms: row.get(6)?,
        receipted_ms: row.get(7)?,
        encrypted: is_encrypted(&row.get::<_, Vec<u8>>(8)?),
    }))
}

/// The marks of records that were just sealed: only findings are looked for again, and only what is encrypted cannot be
/// looked into.
pub(super) fn marks<R: AsRef<[u8]>>(lane: Lane, sealed: &Sealed, records: &[R]) -> Option<Vec<u8>> {
    let needed = lane == Lane::Urgent && is_encrypted(&sealed.segment.statement);
    needed.then(|| records.iter().flat_map(|record| mark(record.as_ref())).collect())
}

pub(super) fn is_encrypted(statement: &[u8]) -> bool {
    read_statement(statement).is_ok_and(|read| read.statement.encryption_suite != 0)
}

/// Walks the chains of the current epoch as far back as statements are kept: each must be what was signed, continue the
/// one before it, and lead to the head. This, and not a check of SQLite's own structure, is what finds a flipped bit.
pub fn verify_chains(tx: &Tx<'_>, key: Option<&PublicKey>) -> Result<Result<u64, OutboxFault>, StoreError> {
    let mut checked = 0;
    for state in tx.lanes()? {
        match verify_lane(tx, &state, key)? {
            Ok(count) => checked += count,
            Err(fault) => return Ok(Err(fault)),
        }
    }
    Ok(Ok(checked))
}

fn verify_lane(
    tx: &Tx<'_>,
    state: &LaneState,
    key: Option<&PublicKey>,
) -> Result<Result<u64, OutboxFault>, StoreError> {
    let mut statement = tx.0.prepare(
        "SELECT sequence, digest, statement, signature, payload FROM segment
         WHERE epoch = ?1 AND lane = ?2 ORDER BY sequence",
    )?;
    let mut rows = statement.query(params![state.head.epoch.as_ref(), state.lane as i32])?;
    let (mut before, mut count): (Option<(u64, Digest)>, u64) = (None, 0);
    while let Some(row) = rows.next()? {
        let stored = StoredSegment {
            sequence: row.get(0)?,
            digest: row.get(1)?,
            statement: row.get(2)?,
            signature: row.get(3)?,
            payload: row.get(4)?,
        };
        if let Err(what) = stored.check(state, before, key) {
            return Ok(Err(OutboxFault { lane: state.lane, sequence: stored.sequence, what }));
        }
        before = Some((stored.sequence, statement_digest(&stored.statement)));
        count += 1;
    }
    let end = before.map_or((0, None), |(sequence, digest)| (sequence + 1, Some(digest)));
    if before.is_some() && end != (state.head.next, state.head.digest) {
        return Ok(Err(OutboxFault { lane: state.lane, sequence: end.0, what: "the chain does not lead to its head" }));
    }
    Ok(Ok(count))
}

struct StoredSegment {
    sequence: u64,
    digest: Vec<u8>,
    statement: Vec<u8>,
    signature: Vec<u8>,
    payload: Option<Vec<u8>>,
}

impl StoredSegment {
    fn check(
        &self,
        state: &LaneState,
        before: Option<(u64, Digest)>,
        key: Option<&PublicKey>,
    ) -> Result<(), &'static str> {
        let read = read_statement(&self.statement).map_err(|_| "the statement is damaged")?;
        if read.digest.as_ref() != self.digest {
            return Err("the statement is not the one that was stored");
        }
        if (read.epoch, read.lane, read.statement.sequence) != (state.head.epoch, state.lane, self.sequence) {
            return Err("the statement belongs to another place");
        }
        if let Some((sequence, digest)) = before
            && (self.sequence, read.previous) != (sequence + 1, Some(digest))
        {
            return Err("the statement does not continue the one before it");
        }
        if let Some(payload) = &self.payload {
            check_payload(&read.statement, payload).map_err(|_| "the payload is damaged")?;
        }
        // What an earlier key of this device signed is for the collector to verify.
        if let Some(key) = key.filter(|key| key.id() == read.key_id) {
            verify_signature(&self.statement, &self.signature, key).map_err(|_| "the signature does not hold")?;
        }
        Ok(())
    }
}
