//! A machine in simulated time: real files, the real uplink, policies and rosters, one connection at a time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use watchpost_agent::clock::{Clock, SystemClock, corrected_ms};
use watchpost_agent::config::Config;
use watchpost_agent::device::{Device, DeviceFiles};
use watchpost_agent::in_force::{InForce, Switch};
use watchpost_agent::policies::{self, Policies};
use watchpost_agent::rosters::Rosters;
use watchpost_agent::seal::{Sealer, last_server_time};
use watchpost_agent::store::Store;
use watchpost_agent::uplink::{Ended, SourceState, Uplink, UplinkConfig, uplink_report};
use watchpost_proto::keys::KeyId;
use watchpost_proto::v1::{EpochCause, Finding, Lane, Level, RuleStatus, Summary, summary};
use watchpost_proto::{DeviceId, EpochId, digest, record};
use watchpost_tests::lab::copy_folder;

use crate::{DAY, PATIENCE};

/// Longer than an agent waits for the next part of what it fetches.
const FETCH: Duration = Duration::from_secs(90);

/// Refusals after which a device seals everything once more: two statements for one place, a key that a collector which was
/// put back has forgotten, another name.
const PARTING: [&str; 3] = ["fork", "key_unknown", "wrong_device"];

/// A machine's clocks: all share the days that have passed, each is wrong in its own way.
pub(crate) struct MachineClock {
    system: SystemClock,
    passed_ms: Arc<AtomicI64>,
    skew_ms: Arc<AtomicI64>,
}

impl Clock for MachineClock {
    fn wall_ms(&self) -> i64 {
        let passed = self.passed_ms.load(Ordering::Relaxed);
        // A device whose battery died wakes up in 1970.
        (self.system.wall_ms() + passed + self.skew_ms.load(Ordering::Relaxed)).max(0)
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic() + Duration::from_millis(self.passed_ms.load(Ordering::Relaxed).unsigned_abs())
    }
}

/// What lies on a machine's disk.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    /// The findings that were ever put into its outbox.
    pub(crate) findings: Vec<String>,
    /// Those that have no receipt yet.
    pub(crate) waiting: Vec<String>,
}

pub(crate) struct Machine {
    dir: PathBuf,
    pub(crate) skew_ms: Arc<AtomicI64>,
    pub(crate) device: Option<DeviceId>,
    /// What it was called before.
    pub(crate) earlier: Vec<DeviceId>,
    pub(crate) disk: Disk,
    saved: Option<(PathBuf, Disk, DeviceId)>,
    config: Config,
}

impl Machine {
    /// `settings` are further lines of its configuration.
    pub(crate) fn new(dir: PathBuf, settings: &str) -> Self {
        fs::create_dir_all(dir.join("state")).unwrap();
        let text = format!(
            "collector = \"127.0.0.1:1\"\nstate_dir = \"state\"\n{settings}[[folder]]\npath = \"exports\"\ncorp = \"ww1\"\n"
        );
        let config = Config::parse(&text, &dir).unwrap();
        Self {
            dir,
            skew_ms: Arc::default(),
            device: None,
            earlier: Vec::new(),
            disk: Disk::default(),
            saved: None,
            config,
        }
    }

    /// Another machine with what lies on this one.
    pub(crate) fn copy_to(&self, dir: PathBuf, settings: &str) -> Self {
        copy_folder(&self.dir, &dir).unwrap();
        Self { device: self.device, earlier: self.earlier.clone(), disk: self.disk.clone(), ..Self::new(dir, settings) }
    }

    pub(crate) fn save(&mut self, to: PathBuf) {
        copy_folder(&self.dir, &to).unwrap();
        self.saved = self.device.map(|device| (to, self.disk.clone(), device));
    }

    /// Puts it back to what was saved last; false where nothing was.
    pub(crate) fn restore(&mut self) -> bool {
        let Some((saved, disk, device)) = &self.saved else { return false };
        fs::remove_dir_all(&self.dir).unwrap();
        copy_folder(saved, &self.dir).unwrap();
        self.disk = disk.clone();
        self.earlier.extend(self.device.replace(*device).filter(|other| other != device));
        true
    }

    pub(crate) fn files(&self) -> DeviceFiles {
        self.config.identity.clone()
    }

    pub(crate) fn state(&self) -> &Path {
        &self.config.state_dir
    }

    pub(crate) fn key(&self) -> Option<KeyId> {
        Some(self.load().ok()?.held().key.public().id())
    }

    pub(crate) fn load(&self) -> Result<Device, watchpost_agent::device::DeviceError> {
        Device::load(&self.files())
    }

    /// What is in force when it starts.
    pub(crate) fn in_force(&self) -> InForce {
        policies::at_start(&self.config, Some(&self.load().unwrap())).unwrap()
    }

    pub(crate) fn clock(&self, passed_ms: &Arc<AtomicI64>) -> Arc<MachineClock> {
        Arc::new(MachineClock {
            system: SystemClock::default(),
            passed_ms: Arc::clone(passed_ms),
            skew_ms: Arc::clone(&self.skew_ms),
        })
    }
}

/// A finding that makes an alert of its own.
fn finding(name: &str, made_at_ms: i64) -> Summary {
    let finding = Finding {
        finding_id: digest::hash("trust/finding", &[name.as_bytes()]).to_vec(),
        corp: "ww1".into(),
        pack: "sample".into(),
        pack_version: 1,
        rule: "sample.rule".into(),
        category: "sample".into(),
        level: Level::High.into(),
        status: RuleStatus::Live.into(),
        person: format!("ww1/{name}"),
        msgid: name.to_owned(),
        msgtime_ms: 1_795_132_800_000,
        msgtype: "text".into(),
        from: format!("ww1/{name}"),
        ..Finding::default()
    };
    Summary { made_at_ms, kind: Some(summary::Kind::Finding(finding)), ..Summary::default() }
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// The process of a machine from its start to its end: one finding more, sealed and sent, and whatever the collector offers
/// taken. Everything that waits is receipted.
pub(crate) async fn sync(
    machine: &Machine,
    device: Arc<Device>,
    clock: Arc<MachineClock>,
    collector: String,
    may_wait: bool,
    name: &str,
) -> Result<(), Ended> {
    let store = Arc::new(Store::open(machine.state()).unwrap());
    let appended = store.transaction(|tx| {
        tx.ensure_epoch(EpochId(random()), EpochCause::First)?;
        // As every round of an agent does.
        let now_ms = corrected_ms(clock.wall_ms(), last_server_time(tx)?);
        tx.forget_segments(now_ms - 7 * DAY, 64 << 20, now_ms - 90 * DAY)?;
        tx.append(Lane::Urgent, &record::encode(&finding(name, clock.wall_ms()), random()).unwrap())
    });
    appended.unwrap();
    let clock: Arc<dyn Clock> = clock;
    let (sealer, sealed) = (Sealer::new(store.clone(), device.clone(), clock.clone()), Arc::new(Notify::new()));
    let sealer = Arc::new(Mutex::new(sealer));
    let seal = || {
        let (sealer, sealed) = (sealer.clone(), sealed.clone());
        Box::new(move || {
            sealer.lock().unwrap().seal_all().unwrap();
            sealed.notify_one();
        })
    };
    let switch = Arc::new(Switch::new(policies::at_start(&machine.config, Some(&device)).unwrap()));
    let parts = (&device, &store, &clock, &switch);
    let failed = || Box::new(|error| panic!("the database of a machine: {error}"));
    let policies = Arc::new(Policies::new(&machine.config, parts, seal(), failed()).unwrap());
    let rosters = Arc::new(Rosters::new(&machine.config, parts, seal(), failed()).unwrap());
    policies.tell_in_force().unwrap();
    rosters.tell_in_force().unwrap();
    seal()();
    let config =
        UplinkConfig { collectors: vec![collector], heartbeat: PATIENCE, retry_max: Duration::from_millis(50) };
    let (_tell, source) = watch::channel(SourceState::default());
    let files = machine.files();
    let uplink = Uplink::new(config, device, files, store.clone(), clock, switch, sealed.clone(), seal(), source)
        .offering_to(policies.clone())
        .offering_rosters_to(rosters.clone());
    let mut parted = 0;
    loop {
        // While a clock is wrong, failing is soon enough.
        let patience = if may_wait { Duration::from_millis(300) } else { PATIENCE };
        let synced = uplink.sync_until(tokio::time::Instant::now() + patience).await;
        // What is being fetched holds on to whoever takes it.
        let fetched = async {
            while Arc::strong_count(&policies) > 2 || Arc::strong_count(&rosters) > 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(
            tokio::time::timeout(FETCH, fetched).await.is_ok(),
            "what is fetched does not come, and is not given up"
        );
        let waiting = store.read(|tx| tx.backlog()).unwrap().records();
        match synced {
            // It parts ways by itself and sends everything again.
            Err(Ended::Refused { code, .. }) if PARTING.contains(&&*code) && parted < 3 => parted += 1,
            Err(ended) => return Err(ended),
            Ok(false) if may_wait => return Err(Ended::Connection("not in time".into())),
            // Something was put in force, and is told.
            Ok(true) if waiting > 0 => {}
            Ok(drained) => {
                let report = store.read(uplink_report).unwrap();
                assert!(drained, "not everything was receipted in time: {report:?}");
                return Ok(());
            }
        }
    }
}
