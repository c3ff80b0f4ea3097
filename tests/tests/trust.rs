//! Certificates over years, in simulated time: any order of enrolling, renewing, expiring, revoking, cloning, restoring,
//! re-keying, lost answers, wrong clocks, restarts and new authorities; policies and rosters that are published, halted and
//! taken back; a collector restored from its backup, or put back without a word. Real TLS, real files, real databases; only
//! time is not.
//!
//! Three things must hold in every order. Nobody gets in who should not: a revoked device is refused from that moment on,
//! and a replaced certificate that comes back is noticed. Nobody is left outside: whatever happened, a device gets back in
//! without anybody touching it, and has the newest policy and roster. And nothing is lost without a word, or there twice.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "trust/account.rs"]
mod account;
#[path = "trust/machine.rs"]
mod machine;
#[path = "trust/put_back.rs"]
mod put_back;
#[path = "trust/signed.rs"]
mod signed;
#[path = "trust/world.rs"]
mod world;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config as Running, RngAlgorithm, TestRng, TestRunner};
use watchpost_agent::device::Held;
use watchpost_agent::store::Store;
use watchpost_agent::uplink::{Ended, uplink_report};
use watchpost_proto::Message as _;
use watchpost_proto::identity;
use watchpost_proto::keys::KeyId;
use watchpost_proto::v1::{DeviceVerb, EntryKind, KeyCause, KeyEvent, PolicyVerb};

use machine::sync;
use world::World;

const TENANT: &str = "sim";
/// The policy group of all machines.
const GROUP: &str = "g";
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const PATIENCE: Duration = Duration::from_secs(10);
/// What fails is made smaller for so long: one that fails by waiting takes its whole patience each time.
const SHRINK_MS: u32 = 180_000;
/// Machines at most, copies among them.
const MACHINES_MAX: usize = 5;
/// What is in force on a machine before any policy.
const PACK: &str = "pack: own\nversion: 1\ntitle: { zh: 例, en: Example }\nrules:\n  - { id: own.word, title: { zh: 例, en: Example }, \
    category: own, level: low, detection: { word: { words: [本机] }, condition: word } }\n";

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
    /// It is told to come to a new key, the right machine first.
    Rekey(usize),
    RestartCollector,
    BackUpCollector,
    /// The collector's disk is lost, and its last backup takes its place.
    RestoreCollector,
    /// An image of the collector's disk.
    ImageCollector,
    /// Somebody puts the image back and tells nobody.
    PutImageBack,
    /// Another policy is published: to everybody at once or not, with a fallback to go back to or not.
    PublishPolicy(bool, bool),
    /// What the first policy said is published once more.
    RollBackPolicy,
    HaltPolicy,
    AdvancePolicy,
    /// A roster of so many accounts.
    PublishRoster(usize),
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
        2 => machine.clone().prop_map(Step::Rekey),
        1 => Just(Step::RestartCollector),
        3 => Just(Step::BackUpCollector),
        3 => Just(Step::RestoreCollector),
        2 => Just(Step::ImageCollector),
        3 => Just(Step::PutImageBack),
        2 => any::<(bool, bool)>().prop_map(|(all, fall_back)| Step::PublishPolicy(all, fall_back)),
        1 => Just(Step::RollBackPolicy),
        1 => Just(Step::HaltPolicy),
        1 => Just(Step::AdvancePolicy),
        1 => (1..4_usize).prop_map(Step::PublishRoster),
        1 => Just(Step::NewIntermediates),
        1 => Just(Step::NewRoot),
        1 => prop_oneof![Just(0_i64), 1..100_i64, -100..0_i64].prop_map(Step::SkewCollector),
    ]
}

impl World {
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
            Step::Rekey(at) => self.rekey(machine(at)),
            Step::BackUpCollector => self.back_up(),
            Step::PublishPolicy(all, fall_back) => self.publish_policy(None, *all, *fall_back),
            Step::RollBackPolicy => self.publish_policy(Some(0), true, false),
            Step::HaltPolicy => self.change_policy(PolicyVerb::Halt),
            Step::AdvancePolicy => self.change_policy(PolicyVerb::Advance),
            Step::PublishRoster(accounts) => self.publish_roster(*accounts),
            Step::SkewCollector(days) => self.skew_collector(days * DAY),
            // Nobody does these with a wrong clock without being told.
            _ if self.skew_ms != 0 => {}
            Step::RestartCollector => self.restart(),
            Step::RestoreCollector => self.restore_backup(),
            Step::ImageCollector => self.image(),
            Step::PutImageBack => self.put_image_back(),
            Step::NewIntermediates => self.new_intermediates(),
            Step::NewRoot => self.new_root(),
        }
    }
}

fn der_of(pem: &[u8]) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject as _;
    rustls::pki_types::CertificateDer::from_pem_slice(pem).unwrap().to_vec()
}

/// Few by default, and always the same; `WATCHPOST_CASES` asks for more, and `WATCHPOST_SEED` for others.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

fn play(steps: &[Step]) {
    let mut world = World::new();
    world.enrol(0);
    for step in steps {
        world.take(step);
    }
    world.everybody_gets_back_in();
    world.account();
}

#[test]
fn nobody_gets_in_who_should_not_and_nobody_is_left_outside() {
    let (cases, seed) = (number("WATCHPOST_CASES", 12), number("WATCHPOST_SEED", 5));
    let bytes: Vec<u8> = seed.to_le_bytes().into_iter().cycle().take(32).collect();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Running {
        cases: cases as u32,
        max_shrink_iters: 400,
        max_shrink_time: SHRINK_MS,
        failure_persistence: None,
        ..Running::default()
    };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let played = runner.run(&prop::collection::vec(step(), 1..32), |steps| {
        play(&steps);
        Ok(())
    });
    played.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
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
        let device = Arc::new(machine.load().unwrap());
        device.hold(Held { denied, ..Held::clone(&device.held()) });
        let address = world.running().address().to_string();
        world.runtime.block_on(sync(machine, device, world.machine_clock(machine), address, may_wait, "sent"))
    };
    let report = loop {
        let met = meet(vec![identity::read_certificate(&leaf).unwrap().key.id()], true);
        assert!(met.is_err(), "it was met");
        let store = Store::open(machine.state()).unwrap();
        if let Some(report) = store.read(uplink_report).unwrap() {
            break format!("{report:?}");
        }
    };
    assert!(report.contains("Revoked"), "it is refused in the handshake already: {report}");
    meet(Vec::new(), false).unwrap();
    world.stop();
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
    world.stop();
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
    world.stop();
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
    world.stop();
}

#[test]
fn who_enrolled_after_the_backup_gets_the_policies_of_its_group() {
    for unsaid in [false, true] {
        let (keep, put_back) = match unsaid {
            false => (Step::BackUpCollector, Step::RestoreCollector),
            true => (Step::ImageCollector, Step::PutImageBack),
        };
        play(&[keep, Step::Enrol(1), Step::Meet(1), put_back, Step::PublishPolicy(true, false)]);
    }
}

#[test]
fn a_certificate_that_a_restored_collector_has_forgotten_is_renewed_like_any_other() {
    // In time, late, and after it has ended.
    for days in [2, 24, 200] {
        let renewed = [Step::Meet(0), Step::BackUpCollector, Step::Days(24), Step::Meet(0)];
        play(&[&renewed[..], &[Step::RestoreCollector, Step::Days(days), Step::Meet(0)]].concat());
    }
}

#[test]
fn who_enrolled_under_a_root_the_collector_has_forgotten_comes_back_when_somebody_looks() {
    for (keep, put_back) in
        [(Step::BackUpCollector, Step::RestoreCollector), (Step::ImageCollector, Step::PutImageBack)]
    {
        // Its clock is wrong when somebody would look, or nobody knows that there is anything to look at.
        let forgotten = [keep, Step::NewRoot, Step::Enrol(1), put_back, Step::Meet(1), Step::Meet(0), Step::Meet(1)];
        play(&forgotten);
    }
}

#[test]
fn what_neither_the_device_nor_a_restored_collector_has_is_lost_with_a_word() {
    for (keep, put_back) in
        [(Step::BackUpCollector, Step::RestoreCollector), (Step::ImageCollector, Step::PutImageBack)]
    {
        // Receipted after the backup, and kept for a week only; one of it in an epoch before the present one.
        let receipted = [Step::Meet(0), keep, Step::Meet(0), Step::Save(0), Step::Meet(0), Step::Restore(0)];
        let forgotten = [Step::Meet(0), Step::Days(10), Step::Meet(0), put_back, Step::Meet(0)];
        play(&[&receipted[..], &forgotten[..]].concat());
    }
}
