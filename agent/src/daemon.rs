//! The daemon: three threads around the library, and nothing else.
//!
//! *intake* lists and reads, *seal* signs, *uplink* sends. Each can die only of a failed database or a bug, and then the
//! whole process ends, so that its supervisor starts it again and the chains are verified.

mod lookups;
mod my_data;
mod parting;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use watchpost_policy::engine::Scratch;
use watchpost_proto::EpochId;
use watchpost_proto::v1::{EpochCause, GoodbyeCause, Lane};

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::device::{Device, DeviceError};
use crate::durable::create_private_folder;
use crate::in_force::{InForce, Switch};
use crate::intake::{Intake, Round};
use crate::pipeline::Pipeline;
use crate::policies::Policies;
use crate::rosters::Rosters;
use crate::seal::Sealer;
use crate::store::{self, Store, StoreError, verify_chains};
use crate::summary::{self, MadeUnder};
use crate::uplink::{SourceState, Uplink};
use crate::wake::Wake;
use crate::{goodbye, lookup, policies, random, unreadable, watcher};

pub use lookups::{in_force_here, note_lookup};
use parting::Parting;
pub use parting::say_uninstalled;

/// The intake stops and the goodbye is sent within this time, or the process ends without: everything durable already is.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Why the daemon does not start, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The device's files are not usable.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Packs or accounts hold mistakes, one sentence each.
    #[error("{}", .0.join("\n"))]
    Policy(Vec<String>),
    /// The state folder cannot be made or is in use.
    #[error("{0}")]
    State(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread ended that never should.
    #[error("the {0} thread ended unexpectedly")]
    Thread(&'static str),
}

/// A running agent.
pub struct Daemon {
    ended: mpsc::Receiver<DaemonError>,
    parting: Parting,
    // Held for as long as the process watches.
    _hints: watcher::Hints,
    _lock: std::fs::File,
}

/// Stops a daemon from another thread, such as a signal handler's.
#[derive(Clone)]
pub struct Stopper(mpsc::Sender<DaemonError>, Arc<Shared>);

struct Shared {
    stop: AtomicBool,
    intake: Arc<Wake>,
    seal: Wake,
    sealed: Arc<Notify>,
    /// Why the daemon is to stop, where somebody has said.
    told: Mutex<Option<GoodbyeCause>>,
}

impl Daemon {
    /// Loads everything the configuration names, verifies the chains and starts to watch. Returns how many folders are
    /// watched with the daemon.
    pub fn start(mut config: Config) -> Result<(Self, Stopper), DaemonError> {
        let device = load_device(&config)?;
        config.find_collectors().map_err(DaemonError::State)?;
        let switch = Arc::new(Switch::new(in_force(&config, &device)?));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let lock = lock_state(&config)?;
        let store = Arc::new(open_verified(&config, &device, &switch.now(), &*clock)?);
        goodbye::over(&store, &MadeUnder::new(&switch.now(), clock.wall_ms()))?;
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            intake: Arc::new(Wake::default()),
            seal: Wake::default(),
            sealed: Arc::new(Notify::new()),
            told: Mutex::default(),
        });
        let (failed, ended) = mpsc::channel();
        let (tell, source) = watch::channel(SourceState::default());
        // Where commands leave what is to be recorded.
        create_private_folder(&lookup::folder(&config.state_dir))
            .map_err(|error| DaemonError::State(error.to_string()))?;
        let hints = watcher::watch(&config.folders, &lookup::folder(&config.state_dir), &shared.intake);
        let rescan = if hints.polled { config.source.poll.min(config.source.rescan) } else { config.source.rescan };
        let intake = intake(&config, &store, &device, &switch, &clock)?;
        let sealer = Sealer::new(store.clone(), device.clone(), clock.clone());
        let policies = policies(&config, (&device, &store, &clock, &switch), &shared, &failed)?;
        policies.tell_in_force()?;
        let rosters = rosters(&config, (&device, &store, &clock, &switch), &shared, &failed)?;
        rosters.tell_in_force()?;
        let uplink = uplink(&config, &store, &device, &switch, &clock, &shared, source)
            .offering_to(policies)
            .offering_rosters_to(rosters);
        let connected = uplink.connected();
        let run = shared.clone();
        let intake = spawn("intake", &failed, {
            let clock = clock.clone();
            move || run_intake(intake, &run, rescan, &*clock, &tell)
        })?;
        spawn("seal", &failed, {
            let shared = shared.clone();
            move || run_seal(sealer, &shared)
        })?;
        spawn("uplink", &failed, move || run_uplink(&uplink))?;
        my_data::serve(&config, &switch, &store, &clock, &shared);
        let stopper = Stopper(failed, shared.clone());
        let parting = Parting { store, device, clock, switch, shared, connected, intake };
        Ok((Self { ended, parting, _hints: hints, _lock: lock }, stopper))
    }

    /// Waits until the daemon is told to stop or fails. One that is told to stop says goodbye.
    pub fn wait(self) -> Result<(), DaemonError> {
        let ended = self.ended.recv();
        let parting = self.parting;
        parting.shared.stop.store(true, Ordering::Relaxed);
        parting.shared.intake.wake();
        if let Ok(error) = ended
            && !matches!(error, DaemonError::Thread(STOPPED))
        {
            return Err(error);
        }
        let deadline = Instant::now() + STOP_GRACE;
        let (said, heard) = mpsc::channel();
        // On a thread of its own: neither a slow disk nor a slow line delays the end.
        std::thread::spawn(move || {
            parting.part(deadline);
            let _ = said.send(());
        });
        let _ = heard.recv_timeout(STOP_GRACE);
        Ok(())
    }
}

/// Connects once, so that the collector hears from a device that has just enrolled. A running agent does that by itself.
///
/// # Errors
/// A sentence for a person.
pub async fn prove(config: &Config, patience: Duration) -> Result<(), String> {
    let mut config = config.clone();
    config.find_collectors()?;
    let told = |error: DaemonError| error.to_string();
    let device = load_device(&config).map_err(|error| error.to_string())?;
    let switch = Arc::new(Switch::new(in_force(&config, &device).map_err(told)?));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let _lock = lock_state(&config).map_err(told)?;
    let store = Arc::new(open_verified(&config, &device, &switch.now(), &*clock).map_err(told)?);
    let (_tell, source) = watch::channel(SourceState::default());
    let uplink = Uplink::new(
        config.uplink.clone(),
        device,
        config.identity.clone(),
        store,
        clock,
        switch,
        Arc::new(Notify::new()),
        Box::new(|| ()),
        source,
    );
    uplink.heard(tokio::time::Instant::now() + patience).await.map_err(|ended| ended.to_string())
}

/// What is in force when a process starts.
fn in_force(config: &Config, device: &Device) -> Result<InForce, DaemonError> {
    policies::at_start(config, Some(device)).map_err(DaemonError::Policy)
}

const STOPPED: &str = "stopped";

impl Stopper {
    /// Asks the daemon to stop, for this cause if whoever asks knows it.
    pub fn stop(&self, cause: Option<GoodbyeCause>) {
        *self.1.told.lock().unwrap_or_else(PoisonError::into_inner) = cause;
        self.1.stop.store(true, Ordering::Relaxed);
        let _ = self.0.send(DaemonError::Thread(STOPPED));
    }
}

/// Loads the device, which encrypts to whom the configuration says.
fn load_device(config: &Config) -> Result<Arc<Device>, DeviceError> {
    let device = Device::load(&config.identity)?;
    device.encrypt_to(config.encryption.clone());
    Ok(Arc::new(device))
}

/// Opens the database and verifies it. A damaged one is set aside, never deleted, and its loss is recorded in the new
/// one. A disk that does not serve it now is no damage: the process ends and is started again.
pub fn open_verified(
    config: &Config,
    device: &Device,
    in_force: &InForce,
    clock: &dyn Clock,
) -> Result<Store, DaemonError> {
    let dir = &config.state_dir;
    let store = match open_sound(dir, device)? {
        Ok(store) => store,
        Err(damage) => {
            let aside = store::set_aside(dir, clock.wall_ms()).map_err(|error| {
                DaemonError::State(format!("the database is damaged ({damage}) and cannot be moved aside: {error}"))
            })?;
            tracing::error!(damage, aside = %aside.display(), "the database is damaged and set aside; exports are read again");
            Store::open(dir)?
        }
    };
    begin(&store, dir, device, &MadeUnder::new(in_force, clock.wall_ms()))?;
    if config.my_data.without_excerpts {
        store.go_without_excerpts()?;
    }
    Ok(store)
}

/// A sound database, or what is damaged about it.
fn open_sound(dir: &Path, device: &Device) -> Result<Result<Store, String>, StoreError> {
    let verified = Store::open(dir).and_then(|store| {
        store.check_structure()?;
        let verdict = store.read(|tx| verify_chains(tx, Some(device.held().key.public())))?;
        Ok(verdict.map(|_| store).map_err(|fault| fault.to_string()))
    });
    match verified {
        Err(error) if error.is_damage() => Ok(Err(error.to_string())),
        verified => verified,
    }
}

/// Opens the first epoch of a new database. Where an earlier one was set aside, the loss is recorded with it, so that a
/// crash in between cannot hide it.
fn begin(store: &Store, dir: &Path, device: &Device, made: &MadeUnder) -> Result<(), StoreError> {
    let damaged = store::was_set_aside(dir);
    let cause = if damaged { EpochCause::Damaged } else { EpochCause::First };
    store.transaction(|tx| {
        if !tx.lanes()?.is_empty() {
            // The identity may be another than that of the process before.
            return unreadable::of_another_device(tx, device, made);
        }
        tx.ensure_epoch(EpochId(random::bytes()), cause)?;
        if damaged {
            tx.append(Lane::Urgent, &made.record(summary::loss("outbox_damaged", 0, 0, "records"))?)?;
        }
        Ok(())
    })
}

/// Two agents on one state folder would fork their own chain.
fn lock_state(config: &Config) -> Result<std::fs::File, DaemonError> {
    let told = || format!("{}: another agent is using this folder; stop it first", config.state_dir.display());
    try_lock_state(config)?.ok_or_else(|| DaemonError::State(told()))
}

/// `None` while another agent has it.
fn try_lock_state(config: &Config) -> Result<Option<std::fs::File>, DaemonError> {
    let told = |error: std::io::Error| DaemonError::State(format!("{}: {error}", config.state_dir.display()));
    create_private_folder(&config.state_dir).map_err(told)?;
    let lock = std::fs::File::create(config.state_dir.join("agent.lock")).map_err(told)?;
    Ok(lock.try_lock().is_ok().then_some(lock))
}

fn intake(
    config: &Config,
    store: &Arc<Store>,
    device: &Arc<Device>,
    switch: &Arc<Switch>,
    clock: &Arc<dyn Clock>,
) -> Result<Intake, StoreError> {
    let pipeline = Pipeline {
        store: store.clone(),
        device: device.clone(),
        in_force: switch.now(),
        switch: switch.clone(),
        clock: clock.clone(),
        config: config.source.clone(),
        columns: config.folders.iter().map(|folder| (folder.path.clone(), folder.columns.clone())).collect(),
        urgent_bytes_max: config.outbox.urgent_bytes_max(),
        scratch: Scratch::default(),
        resting: false,
    };
    let intake = Intake::new(pipeline, config.folders.clone(), config.outbox.bulk_bytes_max())?;
    intake.checking_itself_in(config.state_dir.join("self-check"))
}

fn policies(
    config: &Config,
    parts: (&Arc<Device>, &Arc<Store>, &Arc<dyn Clock>, &Arc<Switch>),
    shared: &Arc<Shared>,
    failed: &mpsc::Sender<DaemonError>,
) -> Result<Arc<Policies>, StoreError> {
    let (appended, failed) = (shared.clone(), Mutex::new(failed.clone()));
    Ok(Arc::new(Policies::new(
        config,
        parts,
        Box::new(move || {
            appended.seal.wake();
            // The self-check goes with every policy.
            appended.intake.wake();
        }),
        Box::new(move |error| {
            let _ = failed.lock().unwrap_or_else(PoisonError::into_inner).send(error.into());
        }),
    )?))
}

fn rosters(
    config: &Config,
    parts: (&Arc<Device>, &Arc<Store>, &Arc<dyn Clock>, &Arc<Switch>),
    shared: &Arc<Shared>,
    failed: &mpsc::Sender<DaemonError>,
) -> Result<Arc<Rosters>, StoreError> {
    let (appended, failed) = (shared.clone(), Mutex::new(failed.clone()));
    let appended = move || {
        appended.seal.wake();
        // Reading may have waited for it.
        appended.intake.wake();
    };
    let failed = move |error: StoreError| {
        let _ = failed.lock().unwrap_or_else(PoisonError::into_inner).send(error.into());
    };
    Ok(Arc::new(Rosters::new(config, parts, Box::new(appended), Box::new(failed))?))
}

fn uplink(
    config: &Config,
    store: &Arc<Store>,
    device: &Arc<Device>,
    switch: &Arc<Switch>,
    clock: &Arc<dyn Clock>,
    shared: &Arc<Shared>,
    source: watch::Receiver<SourceState>,
) -> Uplink {
    let freed = shared.clone();
    Uplink::new(
        config.uplink.clone(),
        device.clone(),
        config.identity.clone(),
        store.clone(),
        clock.clone(),
        switch.clone(),
        shared.sealed.clone(),
        Box::new(move || {
            // A new epoch leaves records to be sealed again, and a receipt leaves room to read.
            freed.seal.wake();
            freed.intake.wake_if_resting();
        }),
        source,
    )
}

fn spawn(
    name: &'static str,
    failed: &mpsc::Sender<DaemonError>,
    run: impl FnOnce() -> Option<StoreError> + Send + 'static,
) -> Result<JoinHandle<()>, DaemonError> {
    let failed = failed.clone();
    let body = move || {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        match outcome {
            Ok(None) => {}
            Ok(Some(error)) => drop(failed.send(error.into())),
            Err(_) => drop(failed.send(DaemonError::Thread(name))),
        }
    };
    std::thread::Builder::new().name(name.into()).spawn(body).map_err(|error| DaemonError::State(error.to_string()))
}

fn run_intake(
    mut intake: Intake,
    shared: &Shared,
    rescan: Duration,
    clock: &dyn Clock,
    tell: &watch::Sender<SourceState>,
) -> Option<StoreError> {
    let committed = || shared.seal.wake();
    let mut waiting = None;
    while !shared.stop.load(Ordering::Relaxed) {
        let round = match intake.round(&shared.stop, &committed) {
            Ok(round) => round,
            Err(error) => return Some(error),
        };
        if round.appended {
            shared.seal.wake();
        }
        if tell.borrow().resting != round.resting {
            tracing::warn!(reason = round.resting, "reading rests, or goes on where no reason is named");
        }
        waiting = (round.waiting > 0).then(|| waiting.unwrap_or_else(|| clock.monotonic()));
        tell.send_replace(SourceState {
            resting: round.resting.to_owned(),
            files_waiting: round.waiting,
            waiting_since: waiting.zip(round.waiting_since_ms),
        });
        shared.intake.set_resting(!round.resting.is_empty());
        shared.intake.wait(Some(wait(&round, rescan)));
    }
    None
}

fn wait(round: &Round, rescan: Duration) -> Duration {
    round.wait.map_or(rescan, |wait| wait.min(rescan))
}

fn run_seal(mut sealer: Sealer, shared: &Shared) -> Option<StoreError> {
    /// After a full disk or a key that did not sign.
    const TRY_AGAIN: Duration = Duration::from_secs(5);
    while !shared.stop.load(Ordering::Relaxed) {
        let wait = match sealer.seal_due() {
            Ok((sealed, wait)) => {
                if sealed {
                    shared.sealed.notify_one();
                }
                wait
            }
            Err(error @ (StoreError::Full | StoreError::Key(_))) => {
                tracing::error!(%error, "cannot seal now");
                Some(TRY_AGAIN)
            }
            Err(error) => return Some(error),
        };
        shared.seal.wait(wait);
    }
    None
}

fn run_uplink(uplink: &Uplink) -> Option<StoreError> {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => Some(runtime.block_on(uplink.run())),
        Err(error) => {
            tracing::error!(%error, "the uplink cannot start");
            Some(StoreError::Setting("an event loop"))
        }
    }
}
