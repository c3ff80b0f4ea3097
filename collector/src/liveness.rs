//! Which devices are heard from, and what their heartbeats say. In memory, and every few seconds in `data/live.json`, so that commands beside the
//! server can read it: a cache and no log. Where it is absent, or nobody writes it any more, nothing is known.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::warn;
use watchpost_proto::DeviceId;
use watchpost_proto::v1::Heartbeat;

use crate::clock::now_ms;
use crate::config::Config;

/// Between two writings of the cache. Where one takes long, as for a large fleet, twenty times as long as that.
const WRITE_EVERY: Duration = Duration::from_secs(2);
const WRITE_SHARE: u32 = 20;
/// It is written so often even when nothing is new, so that a reader can tell that somebody writes.
const WRITE_ANYWAY: Duration = Duration::from_secs(20);
/// What was written longer ago is of a server that does not run any more, milliseconds.
const STALE_MS: i64 = 90 * 1000;
/// Largest cache read, in bytes.
const BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Longest word for why a device rests.
const RESTING_MAX: usize = 64;

/// What is known of all devices by being connected to them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// When the server began to listen, milliseconds since 1970.
    pub since_ms: i64,
    /// When this was written.
    pub written_ms: i64,
    /// By UUID.
    pub devices: BTreeMap<String, LiveDevice>,
}

/// What is known of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveDevice {
    /// Whether a stream is open.
    pub connected: bool,
    /// When anything came from it last, milliseconds since 1970.
    pub heard_ms: i64,
    /// The policy it said it has, hexadecimal, and since when it says so.
    pub policy: String,
    /// See `policy`.
    pub policy_since_ms: i64,
    /// Records it holds without a receipt.
    pub backlog_records: u64,
    /// Bytes of them.
    pub backlog_bytes: u64,
    /// Why it does not read; empty where it does.
    pub resting: String,
    /// Exports it has not read.
    pub files_waiting: u64,
    /// Milliseconds between its heartbeats; 0 where it does not say.
    pub every_ms: u64,
    /// How long the oldest record has waited for its receipt, milliseconds.
    pub record_waits_ms: u64,
    /// How long an export has waited to be read, milliseconds.
    pub export_waits_ms: u64,
}

impl LiveDevice {
    fn says_policy(&mut self, policy: &[u8], now_ms: i64) {
        let policy = hex::encode(policy.get(..32).unwrap_or_default());
        if self.policy != policy {
            (self.policy, self.policy_since_ms) = (policy, now_ms);
        }
    }
}

/// The liveness of all devices, kept by the server.
#[derive(Debug, Default)]
pub struct Liveness(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    live: Live,
    /// Streams that are open, by device; for a moment there may be two.
    open: HashMap<DeviceId, u32>,
    /// Something is not written yet.
    is_new: bool,
}

/// An open stream of a device; it counts until it is dropped.
#[derive(Debug)]
pub struct Connection {
    liveness: Arc<Liveness>,
    device: DeviceId,
}

impl Liveness {
    /// Begins with what an earlier server has heard; nobody is connected.
    pub fn begin(config: &Config) -> Self {
        let mut live = read(&path(config)).unwrap_or_default();
        live.devices.values_mut().for_each(|device| device.connected = false);
        live.since_ms = now_ms();
        Self(Mutex::new(Known { live, open: HashMap::new(), is_new: true }))
    }

    /// A device has a stream and says which policy it has.
    pub fn connect(self: &Arc<Self>, device: DeviceId, policy: &[u8]) -> Connection {
        let mut known = self.lock();
        *known.open.entry(device).or_default() += 1;
        known.change(&device, |live, now_ms| {
            live.says_policy(policy, now_ms);
            live.connected = true;
        });
        Connection { liveness: Arc::clone(self), device }
    }

    /// The devices that have a stream now.
    pub fn connected(&self) -> Vec<DeviceId> {
        self.lock().open.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known now, if any of it is new or `anyway`.
    fn take(&self, anyway: bool) -> Option<Live> {
        let mut known = self.lock();
        (std::mem::take(&mut known.is_new) || anyway).then(|| Live { written_ms: now_ms(), ..known.live.clone() })
    }
}

/// Longest time between heartbeats that is believed.
const EVERY_MS_MAX: u64 = 60 * 60 * 1000;

impl Known {
    /// Whatever is said of a device, it is heard from.
    fn change(&mut self, device: &DeviceId, act: impl FnOnce(&mut LiveDevice, i64)) {
        let (live, now_ms) = (self.live.devices.entry(device.to_string()).or_default(), now_ms());
        live.heard_ms = now_ms;
        act(live, now_ms);
        self.is_new = true;
    }
}

impl Connection {
    /// Something has come from the device.
    pub fn heard(&self) {
        self.liveness.lock().change(&self.device, |_, _| ());
    }

    /// A heartbeat has come from the device.
    pub fn beat(&self, beat: &Heartbeat) {
        self.liveness.lock().change(&self.device, |live, now_ms| {
            if !beat.policy.is_empty() {
                live.says_policy(&beat.policy, now_ms);
            }
            live.backlog_records = beat.backlog_records;
            live.backlog_bytes = beat.backlog_bytes;
            live.resting = beat.resting.chars().filter(char::is_ascii_graphic).take(RESTING_MAX).collect();
            live.files_waiting = beat.files_waiting;
            // A device does not say how long it may be silent.
            live.every_ms = beat.every_ms.min(EVERY_MS_MAX);
            live.record_waits_ms = beat.record_waits_ms;
            live.export_waits_ms = beat.export_waits_ms;
        });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut known = self.liveness.lock();
        let open = known.open.get(&self.device).copied().unwrap_or(1);
        if open > 1 {
            known.open.insert(self.device, open - 1);
            return;
        }
        known.open.remove(&self.device);
        let name = self.device.to_string();
        if let Some(device) = known.live.devices.get_mut(&name) {
            device.connected = false;
        }
        known.is_new = true;
    }
}

/// Writes the cache until the collector stops, and what was heard last then.
pub async fn keep(liveness: Arc<Liveness>, path: PathBuf, mut stopping: watch::Receiver<bool>) {
    let (mut written, mut told, mut stopped) = (None::<Instant>, false, false);
    while !stopped {
        let mut pause = WRITE_EVERY;
        if let Some(live) = liveness.take(written.is_none_or(|written| written.elapsed() >= WRITE_ANYWAY)) {
            let (path, began) = (path.clone(), Instant::now());
            let outcome = tokio::task::spawn_blocking(move || write(&path, &live)).await;
            if let Ok(Err(error)) = outcome
                && !std::mem::replace(&mut told, true)
            {
                warn!(%error, "live.json is not written; health shows no liveness");
            }
            written = Some(Instant::now());
            pause = WRITE_EVERY.max(began.elapsed() * WRITE_SHARE);
        }
        stopped = tokio::time::timeout(pause, stopping.wait_for(|stop| *stop)).await.is_ok();
    }
    if let Some(live) = liveness.take(false) {
        // As good as it goes: the process ends.
        let _ = write(&path, &live);
    }
}

/// What the running server wrote last; `None` where no server runs.
pub fn look(config: &Config, now_ms: i64) -> Option<Live> {
    let live = read(&path(config))?;
    (now_ms.saturating_sub(live.written_ms) <= STALE_MS).then_some(live)
}

/// Where the cache lies.
pub fn path(config: &Config) -> PathBuf {
    config.data_dir.join("live.json")
}

/// In one step, and not synced: after a power cut it is worth nothing.
fn write(path: &Path, live: &Live) -> io::Result<()> {
    let temporary = path.with_extension("json.tmp");
    fs::write(&temporary, serde_json::to_vec(live)?)?;
    fs::rename(&temporary, path)
}

fn read(path: &Path) -> Option<Live> {
    if fs::metadata(path).ok()?.len() > BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_kept_over_a_restart_and_nobody_is_connected_then() {
        let folder = tempfile::tempdir().unwrap();
        let (path, device) = (folder.path().join("live.json"), DeviceId([1; 16]));
        let liveness = Arc::new(Liveness::default());
        let first = liveness.connect(device, &[9; 32]);
        let second = liveness.connect(device, &[9; 32]);
        drop(first);
        second.beat(&Heartbeat { resting: "outbox_full\n\u{1b}[31m".into(), ..Heartbeat::default() });
        write(&path, &liveness.take(false).unwrap()).unwrap();
        assert_eq!(liveness.take(false), None);
        let live = read(&path).unwrap();
        let known = &live.devices[&device.to_string()];
        assert!(known.connected && known.heard_ms > 0 && known.policy == "09".repeat(32));
        assert_eq!(known.resting, "outbox_full[31m", "nothing a device says steers a terminal");
        drop(second);
        assert!(!liveness.take(false).unwrap().devices[&device.to_string()].connected);
        assert_eq!(read(&folder.path().join("none")), None);
        fs::write(&path, "{").unwrap();
        assert_eq!(read(&path), None, "half of one is none");
    }
}
