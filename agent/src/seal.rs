//! Sealing: turns waiting records into segments as they become due.
//!
//! A full segment is sealed at once. The first record of a quiet lane is sealed at once too, so that a finding is on its
//! way without delay; while records keep coming, at most one part-filled segment a second is made, which bounds how
//! often a slow key signs.

use std::sync::Arc;
use std::time::Duration;

use watchpost_proto::segment::{Seal, seal};
use watchpost_proto::v1::Lane;

use crate::clock::Clock;
use crate::device::Device;
use crate::store::{Store, StoreError, Tx};

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
}

impl Sealer {
    /// A sealer that has sealed nothing yet.
    pub fn new(store: Arc<Store>, device: Arc<Device>, clock: Arc<dyn Clock>) -> Self {
        Self { store, device, clock, last_partial: [None; 2] }
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
        Ok((sealed, next))
    }

    /// Seals everything that waits, due or not.
    pub fn seal_all(&mut self) -> Result<(), StoreError> {
        for lane in [Lane::Urgent, Lane::Bulk] {
            while self.seal_one(lane, true)? {}
        }
        Ok(())
    }

    fn waiting(&self, lane: Lane) -> Result<bool, StoreError> {
        let backlog = self.store.read(|tx| tx.backlog())?;
        Ok(if lane == Lane::Urgent { backlog.urgent.waiting } else { backlog.bulk.waiting } > 0)
    }

    fn seal_one(&self, lane: Lane, partial: bool) -> Result<bool, StoreError> {
        let now_ms = self.clock.wall_ms();
        // One key for all of a segment, though another may be taken over meanwhile.
        let key = self.device.held().key.clone();
        self.store.transaction(|tx| {
            let server_ms = last_server_time(tx)?;
            tx.seal(lane, partial, now_ms, |state, records| {
                let what = Seal {
                    tenant: &self.device.tenant,
                    device: self.device.id,
                    lane,
                    head: state.head,
                    epoch_start: (state.head.next == 0).then(|| state.start.clone()),
                    clocks: self.clock.clocks(server_ms),
                    agent_version: env!("CARGO_PKG_VERSION"),
                };
                Ok(seal(&what, records, &*key)?)
            })
        })
    }
}

/// Where the store keeps the last server time.
pub const SERVER_TIME: &str = "server_time";

/// The last time a collector told, milliseconds; 0 never.
pub fn last_server_time(tx: &Tx<'_>) -> Result<i64, StoreError> {
    let stored = tx.seen(SERVER_TIME)?;
    Ok(stored.and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes))
}
