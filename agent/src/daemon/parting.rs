//! How an agent ends: with a goodbye, if there is time for one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use watchpost_proto::v1::GoodbyeCause;

use super::{DaemonError, STOP_GRACE, Shared, in_force, load_device, lock_state, open_verified};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::device::Device;
use crate::goodbye;
use crate::in_force::Switch;
use crate::seal::Sealer;
use crate::store::Store;
use crate::uplink::{SourceState, Uplink};

/// What a daemon needs to say goodbye.
pub(super) struct Parting {
    pub(super) store: Arc<Store>,
    pub(super) device: Arc<Device>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) switch: Arc<Switch>,
    pub(super) shared: Arc<Shared>,
    pub(super) connected: Arc<AtomicBool>,
    pub(super) intake: JoinHandle<()>,
}

impl Parting {
    /// Lets the transaction under way commit, says goodbye, and waits for its receipt as long as there may be one.
    pub(super) fn part(self, deadline: Instant) {
        let told = self.shared.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        let cause = told.unwrap_or_else(goodbye::cause_of_stop);
        let finish = deadline - STOP_GRACE / 2;
        while !self.intake.is_finished() && Instant::now() < finish {
            std::thread::sleep(Duration::from_millis(10));
        }
        if let Err(error) = goodbye::say(&self.store, &self.device, &self.clock, &self.switch.now(), cause) {
            tracing::warn!(%error, "no goodbye is said");
            return;
        }
        self.shared.sealed.notify_one();
        if self.connected.load(Ordering::Relaxed) {
            goodbye::wait_until_receipted(&self.store, deadline);
        }
    }
}

/// Says goodbye for good, as the agent is being removed, and waits for the collector as long as `patience`. Returns whether it knows. The agent must
/// not run.
pub fn say_uninstalled(config: &Config, patience: Duration) -> Result<bool, DaemonError> {
    let mut config = config.clone();
    config.find_collectors().map_err(DaemonError::State)?;
    let _lock = lock_state(&config)?;
    let device = load_device(&config)?;
    let switch = Arc::new(Switch::new(in_force(&config, &device)?));
    let clock = Arc::new(SystemClock::default()) as Arc<dyn Clock>;
    let store = Arc::new(open_verified(&config, &device, &switch.now(), &*clock)?);
    goodbye::say(&store, &device, &clock, &switch.now(), GoodbyeCause::Uninstalled)?;
    let (sealing, keeping, ticking) = (device.clone(), store.clone(), clock.clone());
    let uplink = Uplink::new(
        config.uplink.clone(),
        device,
        config.identity.clone(),
        store,
        clock,
        switch,
        Arc::new(Notify::new()),
        Box::new(move || {
            // What cannot be sealed now is not sent now.
            let _ = Sealer::new(keeping.clone(), sealing.clone(), ticking.clone()).seal_all();
        }),
        watch::channel(SourceState::default()).1,
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| DaemonError::State(error.to_string()))?;
    let sent = runtime.block_on(async { uplink.sync_until(tokio::time::Instant::now() + patience).await });
    Ok(sent.is_ok_and(|sent| sent))
}
