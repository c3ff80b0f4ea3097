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

/// A wall clock that is further ahead of the last server time than this is not believed.
const AHEAD_MAX_MS: i64 = 60 * 24 * 60 * 60 * 1000;
/// A wall clock may lie behind it by this much: a server's clock may be a little fast.
const BEHIND_MAX_MS: i64 = 24 * 60 * 60 * 1000;

/// The present moment for what must not be undone by a wrong clock: forgetting, and what lies inside the horizon. A
/// clock that cannot be right by the last server time seen (0 for never) gives way to that.
pub fn corrected_ms(wall_ms: i64, server_ms: i64) -> i64 {
    let plausible = server_ms.saturating_sub(BEHIND_MAX_MS)..=server_ms.saturating_add(AHEAD_MAX_MS);
    if server_ms == 0 || plausible.contains(&wall_ms) { wall_ms } else { server_ms }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_cannot_be_right_gives_way_to_the_server() {
        const DAY: i64 = 24 * 60 * 60 * 1000;
        let server = 20_000 * DAY;
        for (wall, expected) in [
            (server + DAY, server + DAY),
            (server - 1000, server - 1000),
            (server + 40 * DAY, server + 40 * DAY),
            (0, server),
            (server + 27_000 * DAY, server),
            (i64::MAX, server),
        ] {
            assert_eq!(corrected_ms(wall, server), expected, "{wall}");
        }
        assert_eq!(corrected_ms(5, 0), 5, "a device that never met a server has no other clock");
    }
}
