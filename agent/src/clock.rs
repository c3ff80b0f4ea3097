//! Clocks, passed in: a phone app or a test brings its own.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use watchpost_proto::v1::Clocks;

/// What a device can tell about time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970 by the wall clock, right or wrong.
    fn wall_ms(&self) -> i64;

    /// Time since an arbitrary moment before the process; never runs backwards.
    fn monotonic(&self) -> Duration;

    /// 16 bytes that are new at each boot; empty where the system offers none.
    fn boot_id(&self) -> Vec<u8> {
        Vec::new()
    }

    /// All clocks, as a statement carries them. `server_ms` is the last server time seen.
    fn clocks(&self, server_ms: i64) -> Clocks {
        Clocks {
            wall_ms: self.wall_ms(),
            monotonic_ms: u64::try_from(self.monotonic().as_millis()).unwrap_or(u64::MAX),
            boot_id: self.boot_id(),
            server_ms,
        }
    }
}

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    boot_id: Vec<u8>,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started: Instant::now(), boot_id: read_boot_id().unwrap_or_default() }
    }
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn boot_id(&self) -> Vec<u8> {
        self.boot_id.clone()
    }
}

fn read_boot_id() -> Option<Vec<u8>> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    hex::decode(text.trim().replace('-', "")).ok().filter(|id| id.len() == 16)
}
