//! A backup and what is made of it, file by file: whatever interrupts a restore, nothing starts that is not whole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use support::finding;
use support::offline::Log;
use watchpost_collector::backup::{self, Progress};
use watchpost_collector::config::Config;
use watchpost_collector::key_file::{self, Passphrase};
use watchpost_collector::log_key;
use watchpost_proto::Digest;
use watchpost_proto::note::Checkpoint;
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

/// Puts more into the configuration.
fn configure(log: &Log, more: &str) {
    let file = config_file(log);
    fs::write(&file, fs::read_to_string(&file).unwrap() + more).unwrap();
}

#[test]
fn encrypted_keys_are_backed_up_and_restored_without_their_passphrase() {
    let mut log = Log::new();
    let mut device = log.lab.device();
    log.append(&mut device, Lane::Urgent, &[finding(1)]);
    let config = &log.lab.config;
    let signer = log_key::load_or_make(config, &config.log_key()).unwrap();
    let later = Checkpoint { size: 9, root: Digest([1; 32]), ..log.store.checkpoint() };
    for path in watchpost_collector::secrets::files(config) {
        let key = key_file::read(&path, &Passphrase::default()).unwrap();
        key_file::rewrite(&path, &key, Some("correct horse battery")).unwrap();
    }
    configure(&log, "[keys]\npassphrase_file = \"passphrase\"\n");
    let (out, into) = (log.lab.dir().join("backup"), log.lab.dir().join("restored"));
    make(&log, &out).unwrap();
    let note = signer.sign(&later);
    backup::restore(&out, &into, std::slice::from_ref(&note), &Unseen).unwrap();
    let restored = Config::load(&into.join("collector.toml")).unwrap();
    let mark = watchpost_collector::succession::found(&restored).unwrap().unwrap();
    assert_eq!(mark.highest, note, "a note is checked with the public key");
    assert_eq!(fs::read(restored.log_key()).unwrap(), fs::read(config.log_key()).unwrap());
    // Of another log.
    let stranger = watchpost_proto::note::LogSigner::generate().unwrap().0.sign(&later);
    let refused = backup::restore(&out, &log.lab.dir().join("other"), &[stranger], &Unseen).unwrap_err();
    assert!(refused.to_string().contains("not of the log"), "{refused:#}");
}

#[test]
fn only_what_a_collector_works_with_is_in_a_backup() {
    let (log, _) = backed_up();
    let pki = log.lab.dir().join("collector/pki");
    fs::create_dir_all(pki.join("next")).unwrap();
    for name in ["passphrase", "old-root.key", ".devices.key.tmp", "next/notes.txt"] {
        fs::write(pki.join(name), "secret").unwrap();
    }
    fs::write(pki.join("next/devices.key"), "to come").unwrap();
    let out = log.lab.dir().join("second");
    make(&log, &out).unwrap();
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(out.join(folder)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let expected =
        ["collector.crt", "collector.key", "collectors.crt", "collectors.key", "devices.crt", "devices.key", "next"];
    assert_eq!(names("pki"), [&expected[..], &["root.crt", "tenant.key"]].concat());
    assert_eq!(names("pki/next"), ["devices.key"]);
    // Under a name that belongs to a key it is refused.
    fs::create_dir_all(log.lab.dir().join("collector/encryption")).unwrap();
    fs::write(log.lab.dir().join("collector/encryption/p.key"), "secret").unwrap();
    configure(&log, "[keys]\npassphrase_file = \"pki/../encryption/p.key\"\n");
    let refused = make(&log, &log.lab.dir().join("third")).unwrap_err();
    assert!(refused.to_string().contains("is the passphrase file"), "{refused:#}");
}

#[test]
fn what_lies_elsewhere_comes_along_and_what_cannot_is_said_at_once() {
    let (log, _) = backed_up();
    let (collector, away) = (log.lab.dir().join("collector"), log.lab.dir().join("away"));
    fs::rename(collector.join("pki"), &away).unwrap();
    fs::create_dir_all(away.join("next")).unwrap();
    fs::write(away.join("next/devices.key"), "to come").unwrap();
    let keys = log.lab.dir().join("keys");
    fs::create_dir(&keys).unwrap();
    fs::write(keys.join("one.key"), "opens").unwrap();
    let text = fs::read_to_string(config_file(&log)).unwrap().replace("\"pki", &format!("\"{}", away.display()));
    let named = format!("{text}[keys]\nencryption = \"{}\"\n", keys.display());
    fs::write(config_file(&log), &named).unwrap();
    let (out, into) = (log.lab.dir().join("second"), log.lab.dir().join("restored"));
    make(&log, &out).unwrap();
    backup::restore(&out, &into, &[], &Unseen).unwrap();
    let restored = Config::load(&into.join("collector.toml")).unwrap();
    let authority = restored.enrolment.authority.unwrap();
    assert!(authority.starts_with(&into) && restored.key.exists() && restored.root.exists());
    assert!(authority.join("devices.key").exists() && authority.join("next/devices.key").exists());
    assert!(restored.keys.encryption.starts_with(&into) && restored.keys.encryption.join("one.key").exists());
    // Other ways to write the same.
    for (from, to) in [("authority = ".to_owned(), "authority  =  "), (format!("\"{}/", away.display()), "\"../away/")]
    {
        fs::write(config_file(&log), named.replace(&from, to)).unwrap();
        let third = log.lab.dir().join("third");
        let refused = make(&log, &third).unwrap_err();
        assert!(refused.to_string().contains("which is not in the backup"), "{refused:#}");
        fs::remove_dir_all(third).unwrap();
    }
}
