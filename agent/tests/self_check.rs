//! The self-check: once a day and after each change, whatever clocks do; told when it fails; and it counts as nothing else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{CORP, TestClock, hit, pipeline, store, switch, urgent};
use watchpost_agent::clock::Clock;
use watchpost_agent::config::Folder;
use watchpost_agent::intake::{Intake, last_check};
use watchpost_agent::policy_files::load_checked_engine;
use watchpost_agent::store::Store;
use watchpost_policy::message::Corp;
use watchpost_proto::v1::{SelfCheck, summary::Kind};

const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A clock whose wall and monotonic time go apart.
#[derive(Default)]
struct TwoClocks {
    wall: TestClock,
    monotonic: TestClock,
}

impl Clock for TwoClocks {
    fn wall_ms(&self) -> i64 {
        self.wall.wall_ms()
    }

    fn monotonic(&self) -> Duration {
        self.monotonic.monotonic()
    }
}

struct Host {
    dir: tempfile::TempDir,
    store: Arc<Store>,
    clock: Arc<TwoClocks>,
    intake: Intake,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "state"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let (store, clock) = (store(&dir.path().join("state")), Arc::new(TwoClocks::default()));
        let intake = intake(&dir, &store, &clock, &[]);
        Self { dir, store, clock, intake }
    }

    /// With another process, under these packs.
    fn restart(&mut self, packs: &[PathBuf]) {
        self.intake = intake(&self.dir, &self.store, &self.clock, packs);
    }

    fn round(&mut self) {
        self.intake.round(&AtomicBool::new(false), &|| ()).unwrap();
    }

    fn pass(&mut self, wall_ms: i64, monotonic_ms: i64) {
        self.clock.wall.0.fetch_add(wall_ms, Ordering::Relaxed);
        self.clock.monotonic.0.fetch_add(monotonic_ms, Ordering::Relaxed);
        self.round();
    }

    fn checks(&self) -> Vec<SelfCheck> {
        let told = urgent(&self.store).into_iter();
        told.filter_map(|kind| if let Kind::SelfCheck(check) = kind { Some(check) } else { None }).collect()
    }

    fn own(&self) -> PathBuf {
        self.dir.path().join("state/self-check")
    }
}

fn intake(dir: &tempfile::TempDir, store: &Arc<Store>, clock: &Arc<TwoClocks>, packs: &[PathBuf]) -> Intake {
    let mut pipeline = pipeline(store);
    pipeline.clock = clock.clone();
    pipeline.config.settle = Duration::ZERO;
    pipeline.config.disk_free_min = 0;
    pipeline.switch = switch(load_checked_engine(packs, None).unwrap());
    let folders = ["a", "b"].map(|name| Folder::new(dir.path().join(name), Corp::new(CORP))).to_vec();
    let intake = Intake::new(pipeline, folders, u64::MAX).unwrap();
    intake.checking_itself_in(dir.path().join("state/self-check")).unwrap()
}

#[test]
fn it_comes_through_and_counts_as_nothing_else() {
    let mut host = Host::new();
    fs::write(host.dir.path().join("a/x.jsonl"), hit("m1")).unwrap();
    host.round();
    host.round();
    let told = urgent(&host.store);
    let findings = told.iter().filter(|kind| matches!(kind, Kind::Finding(_))).count();
    assert_eq!((told.len(), findings), (2, 1), "{told:#?}");
    let check = host.checks().remove(0);
    assert!(!check.failed && check.number == 1 && check.written_ms > 0 && check.found_ms >= check.written_ms);
    assert_eq!((check.folders_total, check.folders_unreadable, check.folders.len()), (2, 0, 2));
    assert!(check.folders.iter().all(|folder| folder.corp == CORP && folder.unreadable.is_empty()));
    let (files, tallies) = host.store.read(|tx| Ok((tx.files()?, tx.tallies_unreported(99)?))).unwrap();
    assert_eq!(files.len(), 1, "no row for the synthetic export");
    assert!(tallies.iter().all(|tally| !tally.account.contains("self-check")));
    assert_eq!(fs::read_dir(host.own()).unwrap().count(), 0, "nothing is left of it");
}

#[test]
fn it_comes_once_a_day_whatever_clocks_do() {
    let mut host = Host::new();
    host.round();
    for (what, wall_ms, monotonic_ms, count) in [
        ("an hour", HOUR_MS, HOUR_MS, 1),
        ("a day", DAY_MS, DAY_MS, 2),
        ("a clock that went back a year goes a day", -365 * DAY_MS, DAY_MS, 3),
        ("and is put right at once", 365 * DAY_MS, 1000, 3),
        ("a day asleep, which only the wall clock tells", 25 * HOUR_MS, HOUR_MS, 4),
        ("a clock that leaps again and again", 30 * DAY_MS, 60_000, 4),
        ("in vain", 30 * DAY_MS, 60_000, 4),
        ("until an hour is over", 30 * DAY_MS, HOUR_MS, 5),
    ] {
        host.pass(wall_ms, monotonic_ms);
        host.round();
        assert_eq!(host.checks().len(), count, "{what}");
    }
    host.restart(&[]);
    host.round();
    assert_eq!(host.checks().len(), 5, "another start on the same day");
    host.clock.wall.0.fetch_sub(80 * DAY_MS, Ordering::Relaxed);
    host.restart(&[]);
    host.round();
    assert_eq!(host.checks().len(), 6, "the one before was of the future");
    host.restart(&[]);
    host.round();
    assert_eq!(host.checks().len(), 6);
    host.restart(&[PathBuf::from("builtin:bribery")]);
    host.round();
    assert_eq!(host.checks().len(), 7, "another policy");
    assert!(host.checks().iter().all(|check| !check.failed));
    assert!(host.checks().iter().zip(1..).all(|(check, number)| check.number == number));
}

#[test]
fn one_that_does_not_come_through_is_told_once_and_so_is_its_return() {
    let mut host = Host::new();
    fs::write(host.own(), "in the way").unwrap();
    host.round();
    let told = |host: &Host| host.checks().iter().map(|check| (check.failed, check.reason.clone())).collect::<Vec<_>>();
    assert_eq!(told(&host), [(true, "not_written".to_owned())]);
    for _ in 0..20 {
        host.pass(HOUR_MS, HOUR_MS);
    }
    assert_eq!(told(&host).len(), 1, "it is tried again and told once a day");
    host.pass(5 * HOUR_MS, 5 * HOUR_MS);
    assert_eq!(told(&host).len(), 2);
    assert_eq!(host.store.read(last_check).unwrap().unwrap().passed_ms, 0);
    fs::remove_file(host.own()).unwrap();
    host.pass(60_000, 60_000);
    assert_eq!(told(&host).len(), 2, "not at once");
    host.pass(HOUR_MS, HOUR_MS);
    assert_eq!(told(&host)[2..], [(false, String::new())]);
    assert!(host.store.read(last_check).unwrap().unwrap().passed_ms > 0);
}

#[test]
fn a_folder_that_cannot_be_read_is_told_when_it_stays_so() {
    let mut host = Host::new();
    host.round();
    fs::rename(host.dir.path().join("b"), host.dir.path().join("c")).unwrap();
    host.pass(1000, 1000);
    assert_eq!(host.checks().len(), 1, "it may be back at once");
    host.pass(1000, 1000);
    let check = host.checks().remove(1);
    assert!(!check.failed && check.folders_unreadable == 1);
    assert_eq!(check.folders.iter().map(|folder| &*folder.unreadable).collect::<Vec<_>>(), ["missing", ""]);
    fs::write(host.dir.path().join("b"), "a file").unwrap();
    host.pass(1000, 1000);
    host.pass(1000, 1000);
    assert_eq!(host.checks()[2].folders[0].unreadable, "not_a_folder");
    fs::remove_file(host.dir.path().join("b")).unwrap();
    fs::rename(host.dir.path().join("c"), host.dir.path().join("b")).unwrap();
    host.pass(1000, 1000);
    host.pass(1000, 1000);
    assert_eq!(host.checks()[3].folders_unreadable, 0);
    // One that comes and goes is no storm.
    for _ in 0..10 {
        for (from, to) in [("b", "c"), ("c", "b")] {
            fs::rename(host.dir.path().join(from), host.dir.path().join(to)).unwrap();
            host.pass(1000, 1000);
            host.pass(1000, 1000);
        }
    }
    assert_eq!(host.checks().len(), 5);
}
