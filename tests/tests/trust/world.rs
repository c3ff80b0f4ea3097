//! A collector, its machines, and what is known of them beside the collector's own word.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::{Connection, OptionalExtension as _};
use tempfile::TempDir;
use time::OffsetDateTime;
use watchpost_agent::uplink::{Ended, Who, enrol};
use watchpost_collector::authority::{self, change};
use watchpost_collector::chain::Deed;
use watchpost_collector::clock::Clock as CollectorClock;
use watchpost_collector::commands::init::{self, Plan};
use watchpost_collector::config::Config;
use watchpost_collector::enrolment::desk::{self, Act, DeskError, NewToken};
use watchpost_collector::enrolment::{self, Presented};
use watchpost_collector::log_store::{Appender, StoreError};
use watchpost_collector::pki::{Purpose, Root};
use watchpost_collector::registry::Effects;
use watchpost_collector::server::{self, Running};
use watchpost_proto::keys::{KeyId, SigningKey as _};
use watchpost_proto::token::{Token, credential_digest};
use watchpost_proto::v1::{DeviceVerb, TokenTerms};
use watchpost_proto::{DeviceId, digest};

use crate::machine::{Machine, MachineClock, sync};
use crate::put_back::Kept;
use crate::signed::Drawer;
use crate::{DAY, GROUP, HOUR, MACHINES_MAX, PACK, TENANT, der_of};

/// What is known of a device beside the collector's own word.
#[derive(Clone, Default)]
pub(crate) struct Story {
    pub(crate) revoked: bool,
    /// It was cloned or restored: it may be noticed, and it may have to be looked at.
    pub(crate) doubtful: bool,
    /// Keys it has connected with, and the last of them.
    proved: BTreeSet<KeyId>,
    last: Option<KeyId>,
    /// The key a token made the latest again.
    enrolled: Option<KeyId>,
    /// Its disk is put back at each start, and an operator has said so.
    pub(crate) resets: bool,
    /// It was told to come to a new key: an earlier image of it is shut out.
    pub(crate) rekeyed: bool,
}

pub(crate) struct World {
    dir: TempDir,
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) config: Config,
    pub(crate) clock: CollectorClock,
    pub(crate) passed_ms: Arc<AtomicI64>,
    /// By how much the collector's clock is wrong, and whether it ever was: then devices may have to wait, but not for ever.
    pub(crate) skew_ms: i64,
    was_skewed: bool,
    pub(crate) running: Option<Running>,
    /// Folders of the roots, the latest last, and how many of them the collector has.
    pub(crate) roots: Vec<PathBuf>,
    pub(crate) roots_here: usize,
    pub(crate) machines: Vec<Machine>,
    pub(crate) stories: BTreeMap<DeviceId, Story>,
    /// Whom an operator has revoked, whatever the collector remembers of it.
    pub(crate) decided: BTreeSet<DeviceId>,
    /// Findings whose receipts nothing has taken back.
    pub(crate) durable: BTreeSet<String>,
    pub(crate) drawer: Drawer,
    /// What may be put in the collector's place.
    pub(crate) backup: Option<Kept>,
    pub(crate) image: Option<Kept>,
    folders: usize,
    findings: usize,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let collector = dir.path().join("collector");
        let plan =
            Plan { tenant: TENANT, listen: "127.0.0.1:0".parse().unwrap(), names: &[], purpose: Purpose::Development };
        init::lay_out(&collector, &plan, OffsetDateTime::now_utc()).unwrap();
        // Nowhere near the collector.
        let root = dir.path().join("root");
        fs::rename(collector.join("root"), &root).unwrap();
        fs::write(dir.path().join("pack.yaml"), PACK).unwrap();
        let config = Config::load(&collector.join("collector.toml")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut world = Self {
            roots: vec![root],
            roots_here: 1,
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
            decided: BTreeSet::new(),
            durable: BTreeSet::new(),
            drawer: Drawer::new(),
            backup: None,
            image: None,
            folders: 0,
            findings: 0,
        };
        world.start();
        for _ in 0..2 {
            let machine = Machine::new(world.new_folder(), &world.settings());
            world.machines.push(machine);
        }
        world
    }

    /// What every machine's configuration says: small rules of its own until a policy comes.
    fn settings(&self) -> String {
        format!("[policy]\npacks = [{:?}]\n", self.dir.path().join("pack.yaml").display().to_string())
    }

    pub(crate) fn home(&self) -> &Path {
        self.config.data_dir.parent().unwrap()
    }

    pub(crate) fn start(&mut self) {
        let started = self.runtime.block_on(server::start_at(&self.config, self.clock.clone()));
        self.running = Some(started.unwrap());
    }

    pub(crate) fn stop(&mut self) {
        let running = self.running.take().unwrap();
        self.runtime.block_on(running.stop());
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start();
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) fn new_folder(&mut self) -> PathBuf {
        self.folders += 1;
        self.dir.path().join(format!("folder-{}", self.folders))
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.clock.now_ms() / 1000).unwrap()
    }

    pub(crate) fn pass(&mut self, ms: i64) {
        let passed = self.passed_ms.fetch_add(ms, Ordering::Relaxed) + ms;
        self.clock.set_ahead(passed + self.skew_ms);
        // Time does not jump for a collector that runs: it looks after itself all the while.
        self.running().take_over_certificates();
    }

    pub(crate) fn skew_collector(&mut self, ms: i64) {
        self.skew_ms = ms;
        self.was_skewed |= ms != 0;
        self.pass(0);
    }

    pub(crate) fn log_db(&self) -> Connection {
        Connection::open(self.config.log_db()).unwrap()
    }

    pub(crate) fn is_quarantined(&self, device: &DeviceId) -> bool {
        let found: Option<bool> = self
            .log_db()
            .query_row("SELECT quarantined FROM device WHERE device = ?1", [device.to_vec()], |row| row.get(0))
            .optional()
            .unwrap();
        found.unwrap_or(false)
    }

    /// The key of the latest certificate, once its device has connected with it.
    pub(crate) fn proved_key(&self, device: &DeviceId) -> Option<KeyId> {
        let found: Option<Vec<u8>> = self
            .log_db()
            .query_row("SELECT key_id FROM certificate WHERE device = ?1 AND proved", [device.to_vec()], |row| {
                row.get(0)
            })
            .optional()
            .unwrap();
        found.and_then(|bytes| KeyId::from_slice(&bytes))
    }

    fn knows(&self, device: &DeviceId) -> bool {
        let text = "SELECT 1 FROM certificate WHERE device = ?1";
        self.log_db().prepare(text).unwrap().exists([device.to_vec()]).unwrap()
    }

    /// Has the running collector do what an operator asks for.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Appender<'_>, &mut Effects, &Act<'_>) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<T, String> {
        let at_ms = self.clock.now_ms();
        let work = move |appender: &mut Appender<'_>, effects: &mut Effects| {
            let act = Act { by: "test", reason: "", at_ms };
            match work(appender, effects, &act) {
                Ok(done) => Ok(Ok(done)),
                Err(DeskError::Told(sentence)) => Ok(Err(sentence)),
                Err(DeskError::Store(error)) => Err::<_, StoreError>(error),
            }
        };
        self.runtime.block_on(self.running().sequencer().run(work)).unwrap()
    }

    pub(crate) fn act(&self, device: DeviceId, verb: DeviceVerb) {
        let deed = Deed { device, verb, by: "test".into(), reason: String::new(), at_ms: self.clock.now_ms() };
        self.runtime.block_on(self.running().sequencer().act(deed)).unwrap();
    }

    fn token(&self) -> Token {
        let mut credential = [0; 32];
        getrandom::fill(&mut credential).unwrap();
        let expires_ms = self.clock.now_ms() + DAY;
        let new = NewToken {
            token: credential_digest(&credential),
            group: GROUP.into(),
            site: "s".into(),
            expires_ms,
            uses_max: 1,
            terms: TokenTerms::Open,
        };
        self.ask(move |appender, _, act| desk::create_token(appender, &new, act)).unwrap();
        // What the collector itself believes.
        let root = fs::read(self.roots[self.roots_here - 1].join("root.crt")).unwrap();
        let (policy_pin, roster_pin) = self.drawer.pins();
        Token {
            tenant: TENANT.into(),
            addresses: vec![self.running().address().to_string()],
            root_pin: digest::sha256(&[&der_of(&root)]),
            credential,
            expires_ms,
            policy_pin: Some(policy_pin),
            roster_pin: Some(roster_pin),
        }
    }

    pub(crate) fn enrol(&mut self, at: usize) {
        let token = self.token();
        let machine = &self.machines[at];
        let clock = self.machine_clock(machine);
        let (files, who) = (machine.files(), Who::default());
        match self.runtime.block_on(enrol(&token, &files, &who, watchpost_agent::clock::Clock::wall_ms(&*clock))) {
            Ok(member) => {
                let story = self.stories.entry(member.device).or_default();
                assert!(!story.revoked, "a revoked device got a certificate");
                let before = self.machines[at].device.replace(member.device);
                if let Some(before) = before.filter(|before| *before != member.device) {
                    // A collector that was put back may never have heard of it, and gives it another name.
                    assert!(!self.knows(&before), "the same key is the same device");
                    self.machines[at].earlier.push(before);
                }
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

    pub(crate) fn machine_clock(&self, machine: &Machine) -> Arc<MachineClock> {
        machine.clock(&self.passed_ms)
    }

    /// Connects once, with one finding more.
    pub(crate) fn meet(&mut self, at: usize) -> Result<(), Ended> {
        let met = self.meet_once(at);
        // Whoever shows more than is here ends the log; the collector begins again by itself, and people hear of it.
        if met.is_err() && self.begins_again() { self.meet_once(at) } else { met }
    }

    fn meet_once(&mut self, at: usize) -> Result<(), Ended> {
        let machine = &mut self.machines[at];
        let Some(id) = machine.device else { return Ok(()) };
        self.findings += 1;
        let name = format!("f{}", self.findings);
        machine.disk.findings.push(name.clone());
        machine.disk.waiting.push(name.clone());
        let machine = &self.machines[at];
        let device = Arc::new(machine.load().unwrap());
        assert_eq!(device.id, id);
        let (before, clock) = (device.held().key.public().id(), self.machine_clock(machine));
        let in_force = |machine: &Machine| (machine.in_force().policy, machine.in_force().roster_version);
        let was = in_force(machine);
        let address = self.running().address().to_string();
        // Whoever enrolled under a root the collector has forgotten does not believe it until somebody looks.
        let may_wait = self.skew_ms != 0 || self.is_behind();
        let met = self.runtime.block_on(sync(machine, device, clock, address, may_wait, &name));
        let (after, is) = (machine.key(), in_force(machine));
        assert!(!self.stories[&id].revoked || was == is, "a revoked device got a policy or a roster");
        if met.is_ok() {
            self.durable.extend(self.machines[at].disk.waiting.drain(..));
        }
        let is_ending = met.is_err() && self.is_contradicted();
        if !is_ending {
            self.judge(&id, before, after, &met);
        }
        met
    }

    /// Whether the collector has forgotten a root.
    pub(crate) fn is_behind(&self) -> bool {
        self.roots_here < self.roots.len()
    }

    fn judge(&mut self, id: &DeviceId, before: KeyId, after: Option<KeyId>, met: &Result<(), Ended>) {
        let quarantined = self.is_quarantined(id);
        let proved = self.proved_key(id);
        let is_behind = self.is_behind();
        let story = self.stories.get_mut(id).unwrap();
        if story.revoked {
            match met {
                Err(Ended::Refused { code, .. }) => assert_eq!(code, "device_revoked"),
                // It may trust a root alone that the collector has forgotten.
                Err(_) if is_behind => {}
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
        if !story.doubtful && !self.was_skewed && !is_behind {
            assert!(met.is_ok(), "a good device was not let in: {met:?}");
        }
        if let Some(key) = proved {
            story.proved.insert(key);
            story.last = Some(key);
        }
    }

    /// It asks for its next certificate, and the line breaks before the answer.
    pub(crate) fn lose_answer(&mut self, at: usize) {
        let Some(id) = self.machines[at].device else { return };
        let files = self.machines[at].files();
        let key = files.key_to_renew_with().unwrap().public().clone();
        let held = self.machines[at].load().unwrap().held();
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

    /// An operator revokes the device of a machine, or releases and readmits it.
    pub(crate) fn set_revoked(&mut self, at: usize, revoked: bool) {
        let Some(device) = self.machines[at].device else { return };
        if revoked {
            self.decided.insert(device);
        } else {
            self.decided.remove(&device);
        }
        self.decide(device);
    }

    /// The collector learns what was decided about a device.
    pub(crate) fn decide(&mut self, device: DeviceId) {
        let revoked = self.decided.contains(&device);
        let verbs: &[DeviceVerb] =
            if revoked { &[DeviceVerb::Revoke] } else { &[DeviceVerb::Release, DeviceVerb::Readmit] };
        verbs.iter().for_each(|verb| self.act(device, *verb));
        self.stories.entry(device).or_default().revoked = revoked;
    }

    /// As the guide says: the right machine connects first, then its device is told to come to a new key, then it connects
    /// again, before any copy does.
    pub(crate) fn rekey(&mut self, at: usize) {
        let Some(device) = self.machines[at].device else { return };
        let owner = self.machines.iter().position(|machine| machine.device == Some(device)).unwrap();
        if self.stories[&device].revoked || self.meet(owner).is_err() {
            return;
        }
        let before = self.machines[owner].key();
        if self.proved_key(&device) != before {
            return;
        }
        for verb in [DeviceVerb::Release, DeviceVerb::Readmit, DeviceVerb::Rekey] {
            self.act(device, verb);
        }
        let story = self.stories.get_mut(&device).unwrap();
        (story.rekeyed, story.resets) = (true, false);
        let met = self.meet(owner);
        if self.skew_ms == 0 && !self.is_behind() {
            assert!(met.is_ok(), "the right machine is shut out: {met:?}");
            assert_ne!(self.machines[owner].key(), before, "it has come to no new key");
        }
    }

    pub(crate) fn clone_machine(&mut self, at: usize) {
        let Some(device) = self.machines[at].device else { return };
        if self.machines.len() == MACHINES_MAX {
            return;
        }
        let dir = self.new_folder();
        let copy = self.machines[at].copy_to(dir, &self.settings());
        self.machines.push(copy);
        self.stories.get_mut(&device).unwrap().doubtful = true;
    }

    pub(crate) fn save(&mut self, at: usize) {
        let to = self.new_folder();
        self.machines[at].save(to);
    }

    pub(crate) fn restore(&mut self, at: usize) {
        if self.machines[at].restore() {
            self.stories.get_mut(&self.machines[at].device.unwrap()).unwrap().doubtful = true;
        }
    }

    fn root(&self) -> Root {
        let folder = self.roots.last().unwrap();
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        Root::from_pem(&text("root.crt"), &text("root.key"), TENANT).unwrap()
    }

    pub(crate) fn new_intermediates(&mut self) {
        self.install_roots();
        let requests = self.new_folder();
        change::request(&self.config, &requests, self.now()).unwrap();
        change::sign(&self.root(), &requests, self.now()).unwrap();
        change::install(&self.config, &requests, &[], self.now()).unwrap();
        self.running().take_over_certificates();
    }

    pub(crate) fn new_root(&mut self) {
        let folder = self.new_folder();
        change::later_root(&self.root(), TENANT, &folder, self.now()).unwrap();
        self.roots.push(folder);
        self.new_intermediates();
    }

    /// Those the collector does not know, or has forgotten.
    fn install_roots(&mut self) {
        for folder in &self.roots[self.roots_here..] {
            change::install(&self.config, folder, &[], self.now()).unwrap();
        }
        self.roots_here = self.roots.len();
    }

    /// Whatever happened: clocks are set, clones are thrown away, an operator has looked and has signed papers put in place
    /// again. Nobody touches a device.
    pub(crate) fn everybody_gets_back_in(&mut self) {
        let mut seen = BTreeSet::new();
        self.machines.retain(|machine| machine.device.is_some_and(|device| seen.insert(device)));
        self.skew_collector(0);
        self.somebody_looks();
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
        self.go_on();
        for at in 0..self.machines.len() {
            self.set_revoked(at, false);
            let met = self.meet_at_last(at);
            assert!(met.is_ok(), "machine {at} stays outside: {met:?}");
            let device = self.machines[at].device.unwrap();
            assert!(!self.is_quarantined(&device), "machine {at} is held back again, though it is alone");
            self.check_in_force(at);
        }
        let roots: BTreeSet<usize> =
            self.machines.iter().map(|machine| machine.load().unwrap().held().roots.len()).collect();
        assert!(roots.iter().all(|count| *count >= 1));
    }

    /// Whoever was shut out by a re-key of its device, with a copy before it, is sent a token.
    fn meet_at_last(&mut self, at: usize) -> Result<(), Ended> {
        let met = self.meet(at);
        let story = &self.stories[&self.machines[at].device.unwrap()];
        match &met {
            Err(Ended::Refused { code, .. }) if code == "key_replaced" && story.rekeyed && story.doubtful => {
                self.enrol(at);
                self.set_revoked(at, false);
                self.meet(at)
            }
            _ => met,
        }
    }

    fn check_in_force(&self, at: usize) {
        let in_force = self.machines[at].in_force();
        if let Some(latest) = self.drawer.policies.last() {
            let (digest, version) = (latest.header.digest, latest.header.said.version);
            assert_eq!((in_force.policy, in_force.version), (digest, version), "machine {at}: not the newest policy");
        }
        if let Some(latest) = self.drawer.rosters.last() {
            let version = latest.header.header.version;
            assert_eq!(in_force.roster_version, version, "machine {at}: not the newest roster");
        }
    }
}
