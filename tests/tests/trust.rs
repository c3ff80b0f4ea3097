//! Certificates over years, in simulated time: any order of enrolling, renewing, expiring, revoking, cloning, restoring,
//! lost answers, wrong clocks, restarts and new authorities. Real TLS, real files, real databases; only time is not.
//!
//! Two things must hold in every order. Nobody gets in who should not: a revoked device is refused from that moment on, and
//! a replaced certificate that comes back is noticed. And nobody is left outside: whatever happened, a device gets back in
//! without anybody touching it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rusqlite::{Connection, OptionalExtension as _};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use watchpost_agent::clock::{Clock, SystemClock};
use watchpost_agent::device::{Device, DeviceFiles, Held};
use watchpost_agent::in_force::{InForce, Switch};
use watchpost_agent::seal::Sealer;
use watchpost_agent::store::Store;
use watchpost_agent::uplink::{Ended, SourceState, Uplink, UplinkConfig, Who, enrol, uplink_report};
use watchpost_collector::authority::{self, change};
use watchpost_collector::chain::Deed;
use watchpost_collector::clock::Clock as CollectorClock;
use watchpost_collector::commands::init::{self, Plan};
use watchpost_collector::config::Config;
use watchpost_collector::enrolment::desk::{self, Act, NewToken};
use watchpost_collector::enrolment::{self, Presented};
use watchpost_collector::pki::{Purpose, Root};
use watchpost_collector::server::{self, Running};
use watchpost_policy::engine::Engine;
use watchpost_policy::rules::Disclose;
use watchpost_proto::keys::{KeyId, SigningKey as _};
use watchpost_proto::token::{Token, credential_digest};
use watchpost_proto::v1::{DeviceVerb, EntryKind, EpochCause, KeyCause, KeyEvent, Lane, Summary, TokenTerms};
use watchpost_proto::{DeviceId, EpochId, Message as _, digest, identity, record};

const TENANT: &str = "sim";
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const PATIENCE: Duration = Duration::from_secs(10);

/// What may happen. Machines are numbers, taken modulo how many there are.
#[derive(Clone, Debug)]
enum Step {
    /// A machine that has not enrolled does so; an enrolled one does so again.
    Enrol(usize),
    /// It connects and sends what it has.
    Meet(usize),
    /// It asks for its next certificate, and the line breaks before the answer.
    LoseAnswer(usize),
    Days(i64),
    /// Its clock goes wrong by so many days.
    Skew(usize, i64),
    Revoke(usize),
    Release(usize),
    /// Another machine is a copy of it.
    Clone(usize),
    Save(usize),
    /// It is put back to what was saved last.
    Restore(usize),
    RestartCollector,
    NewIntermediates,
    NewRoot,
    /// The collector's clock goes wrong by so many days.
    SkewCollector(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let machine = 0..4_usize;
    prop_oneof![
        3 => machine.clone().prop_map(Step::Enrol),
        8 => machine.clone().prop_map(Step::Meet),
        2 => machine.clone().prop_map(Step::LoseAnswer),
        5 => prop_oneof![0..3_i64, 15..40_i64, Just(200)].prop_map(Step::Days),
        2 => (machine.clone(), prop_oneof![Just(0), Just(-20_000), Just(20_000), -400..400_i64])
            .prop_map(|(machine, days)| Step::Skew(machine, days)),
        2 => machine.clone().prop_map(Step::Revoke),
        2 => machine.clone().prop_map(Step::Release),
        1 => machine.clone().prop_map(Step::Clone),
        1 => machine.clone().prop_map(Step::Save),
        1 => machine.clone().prop_map(Step::Restore),
        1 => Just(Step::RestartCollector),
        1 => Just(Step::NewIntermediates),
        1 => Just(Step::NewRoot),
        1 => prop_oneof![Just(0_i64), 1..100_i64, -100..0_i64].prop_map(Step::SkewCollector),
    ]
}

/// A machine's clocks: all share the days that have passed, each is wrong in its own way.
struct MachineClock {
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

struct Machine {
    dir: PathBuf,
    skew_ms: Arc<AtomicI64>,
    saved: Option<PathBuf>,
    device: Option<DeviceId>,
}

impl Machine {
    fn files(&self) -> DeviceFiles {
        let identity = self.dir.join("identity");
        DeviceFiles {
            certificate: identity.join("device.crt"),
            key: identity.join("device.key"),
            root: identity.join("root.crt"),
            tenant_key: identity.join("tenant.key"),
            membership: identity.join("membership.json"),
        }
    }

    fn key(&self) -> Option<KeyId> {
        Some(Device::load(&self.files()).ok()?.held().key.public().id())
    }
}

/// What is known of a device beside the collector's own word.
#[derive(Default)]
struct Story {
    revoked: bool,
    /// It was cloned or restored: it may be noticed, and it may have to be looked at.
    doubtful: bool,
    /// Keys it has connected with, and the last of them.
    proved: BTreeSet<KeyId>,
    last: Option<KeyId>,
    /// The key a token made the latest again.
    enrolled: Option<KeyId>,
    /// Its disk is put back at each start, and an operator has said so.
    resets: bool,
}

struct World {
    dir: TempDir,
    runtime: tokio::runtime::Runtime,
    config: Config,
    clock: CollectorClock,
    passed_ms: Arc<AtomicI64>,
    /// By how much the collector's clock is wrong, and whether it ever was: then devices may have to wait, but not for ever.
    skew_ms: i64,
    was_skewed: bool,
    running: Option<Running>,
    /// Folders of the roots, the latest last.
    roots: Vec<PathBuf>,
    machines: Vec<Machine>,
    stories: BTreeMap<DeviceId, Story>,
    folders: usize,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let collector = dir.path().join("collector");
        let plan =
            Plan { tenant: TENANT, listen: "127.0.0.1:0".parse().unwrap(), names: &[], purpose: Purpose::Development };
        init::lay_out(&collector, &plan, OffsetDateTime::now_utc()).unwrap();
        let config = Config::load(&collector.join("collector.toml")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut world = Self {
            roots: vec![collector.join("root")],
            dir,
            runtime,
            config,
            clock: CollectorClock::default(),
            passed_ms: Arc::default(),
            skew_ms: 0,
            was_skewed: false,
            running: None,
            machines: Vec::new(),
            stories: BTreeMap::new(),
            folders: 0,
        };
        world.start();
        for _ in 0..2 {
            world.add_machine();
        }
        world
    }

    fn start(&mut self) {
        let started = self.runtime.block_on(server::start_at(&self.config, self.clock.clone()));
        self.running = Some(started.unwrap());
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    fn new_folder(&mut self) -> PathBuf {
        self.folders += 1;
        self.dir.path().join(format!("folder-{}", self.folders))
    }

    fn add_machine(&mut self) {
        let dir = self.new_folder();
        fs::create_dir_all(&dir).unwrap();
        self.machines.push(Machine { dir, skew_ms: Arc::default(), saved: None, device: None });
    }

    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.clock.now_ms() / 1000).unwrap()
    }

    fn pass(&mut self, ms: i64) {
        let passed = self.passed_ms.fetch_add(ms, Ordering::Relaxed) + ms;
        self.clock.set_ahead(passed + self.skew_ms);
        // Time does not jump for a collector that runs: it looks after itself all the while.
        self.running().take_over_certificates();
    }

    fn skew_collector(&mut self, ms: i64) {
        self.skew_ms = ms;
        self.was_skewed |= ms != 0;
        self.pass(0);
    }

    fn log_db(&self) -> Connection {
        Connection::open(self.config.log_db()).unwrap()
    }

    fn is_quarantined(&self, device: &DeviceId) -> bool {
        let found: Option<bool> = self
            .log_db()
            .query_row("SELECT quarantined FROM device WHERE device = ?1", [device.to_vec()], |row| row.get(0))
            .optional()
            .unwrap();
        found.unwrap_or(false)
    }

    /// The key of the latest certificate, once its device has connected with it.
    fn proved_key(&self, device: &DeviceId) -> Option<KeyId> {
        let found: Option<Vec<u8>> = self
            .log_db()
            .query_row("SELECT key_id FROM certificate WHERE device = ?1 AND proved", [device.to_vec()], |row| {
                row.get(0)
            })
            .optional()
            .unwrap();
        found.and_then(|bytes| KeyId::from_slice(&bytes))
    }

    fn act(&self, device: DeviceId, verb: DeviceVerb) {
        let deed = Deed { device, verb, by: "test".into(), reason: String::new(), at_ms: self.clock.now_ms() };
        self.runtime.block_on(self.running().sequencer().act(deed)).unwrap();
    }

    fn token(&self) -> Token {
        let mut credential = [0; 32];
        getrandom::fill(&mut credential).unwrap();
        let expires_ms = self.clock.now_ms() + DAY;
        let new = NewToken {
            token: credential_digest(&credential),
            group: "g".into(),
            site: "s".into(),
            expires_ms,
            uses_max: 1,
            terms: TokenTerms::Open,
        };
        let at_ms = self.clock.now_ms();
        let made = self.running().sequencer().run(move |appender, _: &mut _| {
            let act = Act { by: "test", reason: "", at_ms };
            desk::create_token(appender, &new, &act).map_err(|error| panic!("{error}"))
        });
        self.runtime.block_on(made).unwrap();
        let root = fs::read(self.roots.last().unwrap().join("root.crt")).unwrap();
        let der = der_of(&root);
        let address = self.running().address().to_string();
        Token {
            tenant: TENANT.into(),
            addresses: vec![address],
            root_pin: digest::sha256(&[&der]),
            credential,
            expires_ms,
            policy_pin: None,
            roster_pin: None,
        }
    }

    fn enrol(&mut self, at: usize) {
        let token = self.token();
        let machine = &self.machines[at];
        let clock = self.machine_clock(machine);
        let (files, who) = (machine.files(), Who::default());
        match self.runtime.block_on(enrol(&token, &files, &who, clock.wall_ms())) {
            Ok(member) => {
                let story = self.stories.entry(member.device).or_default();
                assert!(!story.revoked, "a revoked device got a certificate");
                let before = self.machines[at].device.replace(member.device);
                assert!(before.is_none_or(|before| before == member.device), "the same key is the same device");
                // A token makes a replaced key the latest again, but never unnoticed.
                let (key, quarantined) = (self.machines[at].key(), self.is_quarantined(&member.device));
                let story = self.stories.get_mut(&member.device).unwrap();
                let came_back = key.is_some_and(|key| story.proved.contains(&key)) && story.last != key;
                assert!(!came_back || quarantined, "a replaced key enrolled again unnoticed");
                story.enrolled = key;
            }
            Err(Ended::Refused { code, .. }) => {
                let story = machine.device.and_then(|device| self.stories.get(&device));
                let expected = match code.as_str() {
                    "device_revoked" => story.is_some_and(|story| story.revoked),
                    // A key that was replaced asks again within the hour.
                    "busy" => story.is_some(),
                    _ => false,
                };
                assert!(expected || self.skew_ms != 0, "{code}");
            }
            Err(ended) => assert!(self.was_skewed, "{ended}"),
        }
    }

    fn machine_clock(&self, machine: &Machine) -> Arc<MachineClock> {
        Arc::new(MachineClock {
            system: SystemClock::default(),
            passed_ms: Arc::clone(&self.passed_ms),
            skew_ms: Arc::clone(&machine.skew_ms),
        })
    }

    /// Connects once and sends one record more.
    fn meet(&mut self, at: usize) -> Result<(), Ended> {
        let machine = &self.machines[at];
        let Some(id) = machine.device else { return Ok(()) };
        let device = Arc::new(Device::load(&machine.files()).unwrap());
        assert_eq!(device.id, id);
        let (before, clock) = (device.held().key.public().id(), self.machine_clock(machine));
        let met = self.runtime.block_on(sync(
            machine,
            device,
            clock,
            self.running().address().to_string(),
            self.skew_ms != 0,
        ));
        let after = self.machines[at].key();
        self.judge(&id, before, after, &met);
        met
    }

    fn judge(&mut self, id: &DeviceId, before: KeyId, after: Option<KeyId>, met: &Result<(), Ended>) {
        let quarantined = self.is_quarantined(id);
        let proved = self.proved_key(id);
        let story = self.stories.get_mut(id).unwrap();
        if story.revoked {
            match met {
                Err(Ended::Refused { code, .. }) => assert_eq!(code, "device_revoked"),
                other => panic!("a revoked device was not refused: {other:?}"),
            }
            assert_eq!(after, Some(before), "a revoked device got a certificate");
            return;
        }
        let came_back = story.proved.contains(&before) && ![story.last, story.enrolled].contains(&Some(before));
        assert!(
            !came_back || story.resets || quarantined || met.is_err(),
            "a replaced certificate came back unnoticed"
        );
        assert!(!quarantined || story.doubtful, "a device nobody copied is held back");
        if !story.doubtful && !self.was_skewed {
            assert!(met.is_ok(), "a good device was not let in: {met:?}");
        }
        if let Some(key) = proved {
            story.proved.insert(key);
            story.last = Some(key);
        }
    }

    /// It asks for its next certificate, and the line breaks before the answer.
    fn lose_answer(&mut self, at: usize) {
        let Some(id) = self.machines[at].device else { return };
        let files = self.machines[at].files();
        let key = files.key_to_renew_with().unwrap().public().clone();
        let held = Device::load(&files).unwrap().held();
        let at_ms = self.clock.now_ms();
        let presented = Presented { device: id, key: held.key.public().clone(), expired: false, at_ms };
        let issuer = authority::load(&self.config).unwrap().unwrap().issuer;
        let asked = self
            .running()
            .sequencer()
            .run(move |appender, effects: &mut _| enrolment::renew(appender, &issuer, &presented, &key, effects));
        let answered = self.runtime.block_on(asked).unwrap();
        assert!(!self.stories[&id].revoked || answered.is_err(), "a revoked device got a certificate");
    }

    fn take(&mut self, step: &Step) {
        let machine = |at: &usize| *at % self.machines.len();
        match step {
            Step::Enrol(at) => self.enrol(machine(at)),
            Step::Meet(at) => drop(self.meet(machine(at))),
            Step::LoseAnswer(at) => self.lose_answer(machine(at)),
            Step::Days(days) => self.pass(days * DAY + HOUR),
            Step::Skew(at, days) => self.machines[machine(at)].skew_ms.store(days * DAY, Ordering::Relaxed),
            Step::Revoke(at) => self.set_revoked(machine(at), true),
            Step::Release(at) => self.set_revoked(machine(at), false),
            Step::Clone(at) => self.clone_machine(machine(at)),
            Step::Save(at) => self.save(machine(at)),
            Step::Restore(at) => self.restore(machine(at)),
            // Nobody does these with a wrong clock without being told.
            Step::RestartCollector | Step::NewIntermediates | Step::NewRoot if self.skew_ms != 0 => {}
            Step::RestartCollector => self.restart(),
            Step::NewIntermediates => self.new_intermediates(),
            Step::NewRoot => self.new_root(),
            Step::SkewCollector(days) => self.skew_collector(days * DAY),
        }
    }

    fn set_revoked(&mut self, at: usize, revoked: bool) {
        let Some(device) = self.machines[at].device else { return };
        if revoked {
            self.act(device, DeviceVerb::Revoke);
        } else {
            self.act(device, DeviceVerb::Release);
            self.act(device, DeviceVerb::Readmit);
        }
        self.stories.get_mut(&device).unwrap().revoked = revoked;
    }

    fn clone_machine(&mut self, at: usize) {
        let Some(device) = self.machines[at].device else { return };
        if self.machines.len() == 5 {
            return;
        }
        let dir = self.new_folder();
        copy(&self.machines[at].dir, &dir);
        self.machines.push(Machine { dir, skew_ms: Arc::default(), saved: None, device: Some(device) });
        self.stories.get_mut(&device).unwrap().doubtful = true;
    }

    fn save(&mut self, at: usize) {
        let to = self.new_folder();
        copy(&self.machines[at].dir, &to);
        self.machines[at].saved = self.machines[at].device.map(|_| to);
    }

    fn restore(&mut self, at: usize) {
        let Some(saved) = self.machines[at].saved.clone() else { return };
        let machine = &self.machines[at];
        fs::remove_dir_all(&machine.dir).unwrap();
        copy(&saved, &machine.dir);
        self.stories.get_mut(&machine.device.unwrap()).unwrap().doubtful = true;
    }

    fn restart(&mut self) {
        let running = self.running.take().unwrap();
        self.runtime.block_on(running.stop());
        self.start();
    }

    fn root(&self) -> Root {
        let folder = self.roots.last().unwrap();
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        Root::from_pem(&text("root.crt"), &text("root.key"), TENANT).unwrap()
    }

    fn new_intermediates(&mut self) {
        let requests = self.new_folder();
        change::request(&self.config, &requests, self.now()).unwrap();
        change::sign(&self.root(), &requests, self.now()).unwrap();
        change::install(&self.config, &requests, &[], self.now()).unwrap();
        self.running().take_over_certificates();
    }

    fn new_root(&mut self) {
        let folder = self.new_folder();
        change::later_root(&self.root(), TENANT, &folder, self.now()).unwrap();
        change::install(&self.config, &folder, &[], self.now()).unwrap();
        self.roots.push(folder);
        self.new_intermediates();
    }

    /// Whatever happened: clocks are set, clones are thrown away, an operator has looked. Nobody touches a device.
    fn everybody_gets_back_in(&mut self) {
        let mut seen = BTreeSet::new();
        self.machines.retain(|machine| machine.device.is_some_and(|device| seen.insert(device)));
        self.skew_collector(0);
        for at in 0..self.machines.len() {
            self.machines[at].skew_ms.store(0, Ordering::Relaxed);
            self.set_revoked(at, false);
        }
        for _ in 0..3 {
            self.pass(2 * HOUR);
            for at in 0..self.machines.len() {
                let _ = self.meet(at);
            }
        }
        for at in 0..self.machines.len() {
            self.set_revoked(at, false);
            let met = self.meet(at);
            assert!(met.is_ok(), "machine {at} stays outside: {met:?}");
            let device = self.machines[at].device.unwrap();
            assert!(!self.is_quarantined(&device), "machine {at} is held back again, though it is alone");
        }
        let roots: BTreeSet<usize> =
            self.machines.iter().map(|machine| Device::load(&machine.files()).unwrap().held().roots.len()).collect();
        assert!(roots.iter().all(|count| *count >= 1));
    }
}

/// One record more, sealed and sent; everything that waits is receipted.
async fn sync(
    machine: &Machine,
    device: Arc<Device>,
    clock: Arc<MachineClock>,
    collector: String,
    may_wait: bool,
) -> Result<(), Ended> {
    let state = machine.dir.join("state");
    fs::create_dir_all(&state).unwrap();
    let store = Arc::new(Store::open(&state).unwrap());
    let mut epoch = [0; 16];
    getrandom::fill(&mut epoch).unwrap();
    store
        .transaction(|tx| {
            tx.ensure_epoch(EpochId(epoch), EpochCause::First)?;
            let summary = Summary { made_at_ms: clock.wall_ms(), ..Summary::default() };
            tx.append(Lane::Urgent, &record::encode(&summary, epoch).unwrap())
        })
        .unwrap();
    let clock: Arc<dyn Clock> = clock;
    let sealer = Arc::new(Mutex::new(Sealer::new(store.clone(), device.clone(), clock.clone())));
    sealer.lock().unwrap().seal_all().unwrap();
    let config =
        UplinkConfig { collectors: vec![collector], heartbeat: PATIENCE, retry_max: Duration::from_millis(50) };
    let (_tell, source) = watch::channel(SourceState::default());
    let freed = Box::new(move || sealer.lock().unwrap().seal_all().unwrap());
    let sealed = Arc::new(Notify::new());
    let told = store.clone();
    let nothing = Engine::compile(Vec::new(), None).unwrap();
    let switch = Arc::new(Switch::new(InForce::of_files(nothing, Disclose::None)));
    let uplink = Uplink::new(config, device, machine.files(), store, clock, switch, sealed, freed, source);
    let mut forks = 0;
    loop {
        // While a clock is wrong, failing is soon enough.
        let patience = if may_wait { Duration::from_millis(300) } else { PATIENCE };
        match uplink.sync_until(tokio::time::Instant::now() + patience).await {
            // It parts ways by itself and sends everything again.
            Err(Ended::Refused { code, .. }) if code == "fork" && forks < 3 => forks += 1,
            Err(ended) => return Err(ended),
            Ok(false) if may_wait => return Err(Ended::Connection("not in time".into())),
            Ok(drained) => {
                let report = told.read(uplink_report).unwrap();
                assert!(drained, "not everything was receipted in time: {report:?}");
                return Ok(());
            }
        }
    }
}

fn der_of(pem: &[u8]) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject as _;
    rustls::pki_types::CertificateDer::from_pem_slice(pem).unwrap().to_vec()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Few by default; `WATCHPOST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("WATCHPOST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(16)
}

fn play(steps: &[Step]) {
    let mut world = World::new();
    world.enrol(0);
    for step in steps {
        world.take(step);
    }
    world.everybody_gets_back_in();
    stop(world);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_gets_in_who_should_not_and_nobody_is_left_outside(steps in prop::collection::vec(step(), 1..24)) {
        play(&steps);
    }
}

fn stop(mut world: World) {
    let running = world.running.take().unwrap();
    world.runtime.block_on(running.stop());
}

#[test]
fn a_device_that_never_met_its_collector_may_have_a_clock_that_is_years_off() {
    for days in [-20_000, 20_000] {
        play(&[Step::Enrol(1), Step::Skew(1, days), Step::Meet(1)]);
    }
}

#[test]
fn a_device_that_was_away_for_years_comes_back_by_itself_over_two_later_roots() {
    let years = [Step::Days(400), Step::NewRoot, Step::Days(400), Step::NewRoot, Step::Days(400)];
    play(&[&[Step::Meet(0)], &years[..], &[Step::Meet(0)]].concat());
}

#[test]
fn a_collector_that_a_policy_has_called_off_is_sent_nothing() {
    let mut world = World::new();
    world.enrol(0);
    let machine = &world.machines[0];
    let leaf = der_of(&fs::read(&world.config.certificate).unwrap());
    let meet = |denied: Vec<KeyId>, may_wait: bool| {
        let device = Arc::new(Device::load(&machine.files()).unwrap());
        device.hold(Held { denied, ..Held::clone(&device.held()) });
        let address = world.running().address().to_string();
        world.runtime.block_on(sync(machine, device, world.machine_clock(machine), address, may_wait))
    };
    let report = loop {
        let met = meet(vec![identity::read_certificate(&leaf).unwrap().key.id()], true);
        assert!(met.is_err(), "it was met");
        let store = Store::open(&machine.dir.join("state")).unwrap();
        if let Some(report) = store.read(uplink_report).unwrap() {
            break format!("{report:?}");
        }
    };
    assert!(report.contains("Revoked"), "it is refused in the handshake already: {report}");
    meet(Vec::new(), false).unwrap();
    stop(world);
}

#[test]
fn another_key_is_no_lost_answer() {
    let mut world = World::new();
    world.enrol(0);
    let lost = [Step::Meet(0), Step::Days(24), Step::Clone(0), Step::LoseAnswer(0), Step::Days(0)];
    lost.iter().for_each(|step| world.take(step));
    let device = world.machines[0].device.unwrap();
    assert!(!world.is_quarantined(&device), "an answer that was lost is nothing to look at");
    world.take(&Step::Meet(2));
    assert!(world.is_quarantined(&device), "the copy asked for a key of its own");
    // Its outbox is a copy, too, and would give it away in the end: this is about the key.
    let (db, mut noticed) = (world.log_db(), false);
    let mut select = db.prepare("SELECT header FROM entry WHERE kind = ?1").unwrap();
    let mut rows = select.query([EntryKind::KeyEvent as i32]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let event = KeyEvent::decode(&row.get::<_, Vec<u8>>(0).unwrap()[..]).unwrap();
        noticed |= event.cause() == KeyCause::RenewedReplaced;
    }
    assert!(noticed, "the key of the copy passed for a lost answer");
    drop(rows);
    drop(select);
    stop(world);
}

/// The code a device was refused with; empty where it was let in.
fn refusal(met: &Result<(), Ended>) -> &str {
    match met {
        Err(Ended::Refused { code, .. }) => code,
        Err(other) => panic!("{other}"),
        Ok(()) => "",
    }
}

#[test]
fn after_a_guided_rekey_no_earlier_image_gets_in_or_has_its_owner_quarantined() {
    let mut world = World::new();
    world.enrol(0);
    // An image is taken, the owner renews, the image comes.
    [Step::Meet(0), Step::Clone(0), Step::Days(24), Step::Meet(0), Step::Meet(2)]
        .iter()
        .for_each(|step| world.take(step));
    let device = world.machines[0].device.unwrap();
    assert!(world.is_quarantined(&device), "a replaced certificate came back");
    // A plain release would only wait for the next time.
    let before = world.machines[0].key();
    world.pass(2 * HOUR);
    world.act(device, DeviceVerb::Release);
    world.act(device, DeviceVerb::Rekey);
    let image_before = world.machines[2].key();
    for _ in 0..2 {
        assert_eq!(refusal(&world.meet(2)), "key_replaced", "the image comes first");
        assert!(!world.is_quarantined(&device));
    }
    assert_eq!(world.machines[2].key(), image_before, "it gets no certificate");
    // Another, as fresh as the owner.
    world.take(&Step::Clone(0));
    assert_eq!(refusal(&world.meet(0)), "");
    let after = world.machines[0].key();
    assert_ne!(after, before, "the owner has come to a new key");
    assert_eq!(refusal(&world.meet(3)), "key_replaced", "what held the same key is shut out by the first to come");
    for _ in 0..4 {
        world.pass(24 * DAY);
        assert_eq!(refusal(&world.meet(0)), "", "ordinary renewals go on");
        // Ended or not, the image gets nothing.
        assert_eq!(refusal(&world.meet(2)), "key_replaced");
        assert!(!world.is_quarantined(&device), "the owner is held back for an image again");
    }
    let told: i64 = world
        .log_db()
        .query_row("SELECT count(*) FROM entry WHERE kind = ?1", [EntryKind::DeviceAction as i32], |row| row.get(0))
        .unwrap();
    assert_eq!(told, 4, "quarantined, released, told to come to a new key, and once that a copy was shut out");
    // Whoever was shut out by mistake comes back with a token.
    world.enrol(3);
    assert_eq!(refusal(&world.meet(3)), "");
    stop(world);
}

#[test]
fn a_disk_that_is_put_back_at_each_start_is_looked_at_once() {
    let mut world = World::new();
    world.enrol(0);
    [Step::Meet(0), Step::Save(0)].iter().for_each(|step| world.take(step));
    let device = world.machines[0].device.unwrap();
    let boot = |world: &mut World, days: i64| {
        world.take(&Step::Days(days));
        world.restore(0);
        world.meet(0)
    };
    // Each start begins an epoch of its own; nothing is held against it while its certificate is the latest.
    for _ in 0..3 {
        assert_eq!(refusal(&boot(&mut world, 1)), "");
        assert!(!world.is_quarantined(&device));
    }
    // It renews, forgets, and comes with the earlier key.
    let _ = boot(&mut world, 22);
    let _ = boot(&mut world, 1);
    assert!(world.is_quarantined(&device), "as a clone would look");
    world.act(device, DeviceVerb::Release);
    world.act(device, DeviceVerb::Resets);
    world.stories.get_mut(&device).unwrap().resets = true;
    for days in [0, 0, 1, 1, 40, 0, 200, 1] {
        assert_eq!(refusal(&boot(&mut world, days)), "", "after {days} days");
        assert!(!world.is_quarantined(&device), "held back again after {days} days");
    }
    let epochs: i64 = world
        .log_db()
        .query_row("SELECT count(DISTINCT epoch) FROM lane WHERE device = ?1", [device.to_vec()], |row| row.get(0))
        .unwrap();
    assert!(epochs >= 12, "{epochs} epochs: each start is one");
    stop(world);
}
