//! Sealing: turns waiting records into segments as they become due.
//!
//! A full segment is sealed at once. The first record of a quiet lane is sealed at once too, so that a finding is on its
//! way without delay; while records keep coming, at most one part-filled segment a second is made, which bounds how
//! often a slow key signs.

use std::sync::Arc;
use std::time::Duration;

use watchpost_proto::encryption::Recipient;
use watchpost_proto::record::unframe;
use watchpost_proto::segment::{Encryption, Seal, restate, seal_to};
use watchpost_proto::v1::Lane;

use crate::clock::Clock;
use crate::device::Device;
use crate::random;
use crate::store::{LaneState, Store, StoreError, Tx};

/// Between two part-filled segments of the urgent lane.
const URGENT_PAUSE: Duration = Duration::from_secs(1);
/// Between two part-filled segments of the bulk lane.
const BULK_PAUSE: Duration = Duration::from_secs(10);

/// Makes segments. One per process.
pub struct Sealer {
    store: Arc<Store>,
    device: Arc<Device>,
    clock: Arc<dyn Clock>,
    last_partial: [Option<Duration>; 2],
    /// Whether records lie plain in the write-ahead log that were encrypted since.
    uncovered: bool,
}

impl Sealer {
    /// A sealer that has sealed nothing yet.
    pub fn new(store: Arc<Store>, device: Arc<Device>, clock: Arc<dyn Clock>) -> Self {
        Self { store, device, clock, last_partial: [None; 2], uncovered: false }
    }

    /// Seals what is due. Returns whether anything was sealed, and how long to wait before part-filled segments that
    /// are held back become due.
    pub fn seal_due(&mut self) -> Result<(bool, Option<Duration>), StoreError> {
        let (mut sealed, mut next) = (false, None::<Duration>);
        for (slot, lane, pause) in [(0, Lane::Urgent, URGENT_PAUSE), (1, Lane::Bulk, BULK_PAUSE)] {
            while self.seal_one(lane, false)? {
                sealed = true;
            }
            let now = self.clock.monotonic();
            let wait = self.last_partial[slot].map_or(Duration::ZERO, |last| (last + pause).saturating_sub(now));
            if wait.is_zero() {
                if self.seal_one(lane, true)? {
                    sealed = true;
                    self.last_partial[slot] = Some(now);
                }
            } else if self.waiting(lane)? {
                next = Some(next.map_or(wait, |earlier| earlier.min(wait)));
            }
        }
        self.uncovered |= sealed && self.device.recipient().is_some();
        if self.uncovered && next.is_none() {
            self.cover()?;
        }
        Ok((sealed, next))
    }

    /// Pages are wiped when a record leaves them, but the write-ahead log still has them as they were.
    fn cover(&mut self) -> Result<(), StoreError> {
        // Where somebody is reading it is tried again with the next segment.
        self.uncovered = !self.store.checkpoint()?;
        Ok(())
    }

    /// Seals everything that waits, due or not.
    pub fn seal_all(&mut self) -> Result<(), StoreError> {
        for lane in [Lane::Urgent, Lane::Bulk] {
            while self.seal_one(lane, true)? {}
        }
        if self.device.recipient().is_some() { self.cover() } else { Ok(()) }
    }

    fn waiting(&self, lane: Lane) -> Result<bool, StoreError> {
        let backlog = self.store.read(|tx| tx.backlog())?;
        Ok(if lane == Lane::Urgent { backlog.urgent.waiting } else { backlog.bulk.waiting } > 0)
    }

    fn seal_one(&self, lane: Lane, partial: bool) -> Result<bool, StoreError> {
        let now_ms = self.clock.wall_ms();
        // One key for all of a segment, though another may be taken over meanwhile.
        let (key, recipient) = (self.device.held().key.clone(), self.device.recipient());
        self.store.transaction(|tx| {
            let server_ms = last_server_time(tx)?;
            // What an earlier epoch could not bring away goes first.
            let stated = tx.restate(lane, now_ms, |state, back| {
                let what = self.place(lane, state, server_ms);
                if back.statement.encryption_suite != 0 || recipient.is_none() {
                    return Ok(restate(&what, &back.statement, back.payload, &*key)?);
                }
                let records = unframe(&back.payload).map_err(|_| StoreError::Malformed("segment"))?;
                Ok(seal_to(&what, &records, &*key, recipient.as_ref().map(encryption))?)
            })?;
            if stated {
                return Ok(true);
            }
            tx.seal(lane, partial, now_ms, |state, records| {
                let what = self.place(lane, state, server_ms);
                Ok(seal_to(&what, records, &*key, recipient.as_ref().map(encryption))?)
            })
        })
    }

    fn place(&self, lane: Lane, state: &LaneState, server_ms: i64) -> Seal<'_> {
        Seal {
            tenant: &self.device.tenant,
            device: self.device.id,
            lane,
            head: state.head,
            epoch_start: (state.head.next == 0).then(|| state.start.clone()),
            clocks: self.clock.clocks(server_ms),
            agent_version: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn encryption(recipient: &Recipient) -> Encryption<'_> {
    Encryption { recipient, entropy: random::bytes() }
}

/// Where the store keeps the last server time.
pub const SERVER_TIME: &str = "server_time";

/// The last time a collector told, milliseconds; 0 never.
pub fn last_server_time(tx: &Tx<'_>) -> Result<i64, StoreError> {
    let stored = tx.seen(SERVER_TIME)?;
    Ok(stored.and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes))
}
