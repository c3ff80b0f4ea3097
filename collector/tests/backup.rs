//! A backup and what is made of it, file by file: whatever interrupts a restore, nothing starts that is not whole.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use support::finding;
use support::offline::Log;
use watchpost_collector::backup::{self, Progress};
use watchpost_collector::config::Config;
use watchpost_proto::v1::Lane;

/// Nobody looks.
struct Unseen;

impl Progress for Unseen {
    fn begin(&self, _: &'static str, _: u64) {}
    fn at(&self, _: u64) {}
}

/// A log of three entries, and its backup.
fn backed_up() -> (Log, PathBuf) {
    let mut log = Log::new();
    let mut device = log.lab.device();
    log.append(&mut device, Lane::Urgent, &[finding(1)]);
    let out = log.lab.dir().join("backup");
    make(&log, &out).unwrap();
    (log, out)
}

fn config_file(log: &Log) -> PathBuf {
    log.lab.dir().join("collector/collector.toml")
}

fn make(log: &Log, out: &Path) -> anyhow::Result<()> {
    let file = config_file(log);
    backup::make(&file, &Config::load(&file)?, out, &Unseen).map(drop)
}

/// Damages the copy of the log when it is looked at for the second time.
struct Damaging {
    log: PathBuf,
    looked: Cell<u32>,
}

impl Progress for Damaging {
    fn begin(&self, stage: &'static str, _: u64) {
        self.looked.set(self.looked.get() + u32::from(stage == "verify"));
        if self.looked.get() == 2 {
            assert!(!self.log.with_file_name("../collector.toml").exists(), "it could be started already");
            Connection::open(&self.log).unwrap().execute("UPDATE entry SET header = x'00'", []).unwrap();
        }
    }
    fn at(&self, _: u64) {}
}

#[test]
fn a_restore_that_fails_when_it_looks_at_what_it_wrote_leaves_nothing_to_start() {
    let (log, backup) = backed_up();
    let into = log.lab.dir().join("restored");
    let damaging = Damaging { log: into.join("data/log.db"), looked: Cell::new(0) };
    let error = backup::restore(&backup, &into, &[], &damaging).unwrap_err();
    assert!(error.to_string().contains("does not hold"), "{error:#}");
    assert_eq!(damaging.looked.get(), 2);
    assert!(!into.join("collector.toml").exists() && into.join("data/succession.json").exists());
}
