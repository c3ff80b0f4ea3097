//! What lies in the state folder of a device that encrypts: of the text nothing but what the ledger is told to keep.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use support::{CORP, NOW_MS, TestClock, device, hit, pipeline, store};
use watchpost_agent::config::Folder;
use watchpost_agent::device::Device;
use watchpost_agent::intake::Intake;
use watchpost_agent::my_data::{Sources, page};
use watchpost_agent::policy_files::load_checked_engine;
use watchpost_agent::seal::Sealer;
use watchpost_agent::store::Store;
use watchpost_policy::message::Corp;
use watchpost_policy::rules::Disclose;
use watchpost_proto::encryption::RecipientSecret;
use watchpost_proto::v1::{EpochCause, Lane, SignedReceipt, Summary};
use watchpost_proto::{EpochId, record};

/// Of the text that the finding shows.
const EXCERPT: &str = "私人微信";
const LI: &str = "wwEXAMPLE0001/li.na";

struct Host {
    dir: tempfile::TempDir,
    store: Arc<Store>,
    device: Arc<Device>,
    sealer: Sealer,
}

impl Host {
    /// Reads an export with one finding.
    fn new(encrypted: bool, without_excerpts: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (exports, state) = (dir.path().join("exports"), dir.path().join("state"));
        for folder in [&exports, &state] {
            std::fs::create_dir(folder).unwrap();
        }
        let store = store(&state);
        if without_excerpts {
            store.go_without_excerpts().unwrap();
        }
        let device = device();
        device.encrypt_to(encrypted.then(|| RecipientSecret::generate([1; 32]).unwrap().0.recipient().clone()));
        let mut pipeline = pipeline(&store);
        pipeline.config.settle = Duration::ZERO;
        pipeline.config.disk_free_min = 0;
        let mut intake = Intake::new(pipeline, vec![Folder::new(&exports, Corp::new(CORP))], u64::MAX).unwrap();
        std::fs::write(exports.join("a.jsonl"), hit("m1")).unwrap();
        intake.round(&AtomicBool::new(false), &|| ()).unwrap();
        let sealer = Sealer::new(store.clone(), device.clone(), Arc::new(TestClock::default()));
        Self { dir, store, device, sealer }
    }

    fn state_holds(&self, text: &str) -> bool {
        holds(&self.dir.path().join("state"), text)
    }

    /// Whether the employee is told that the finding has arrived, and what of the text is shown.
    fn sent(&self) -> (Option<bool>, String) {
        let engine = load_checked_engine(&[], None).unwrap();
        let sources = Sources {
            engine: &engine,
            store: &self.store,
            folders: &[],
            ceiling: Disclose::Context,
            who: &[],
            notice: None,
        };
        let sent = page(&sources, LI, NOW_MS).unwrap().sent.pop().unwrap();
        (sent.receipted, sent.excerpt)
    }

    fn receipt_all(&self) {
        for row in self.store.read(|tx| tx.segments()).unwrap().iter().filter(|row| row.lane == Lane::Urgent) {
            let place = (row.epoch, row.lane, row.sequence);
            let signed = SignedReceipt::default();
            assert!(self.store.transaction(|tx| tx.receipted(place, row.digest, &signed, 1)).unwrap());
        }
    }
}

fn holds(dir: &Path, text: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        std::fs::read(&path).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes())
    })
}

#[test]
fn once_sealed_the_outbox_holds_nothing_of_the_text() {
    let mut host = Host::new(true, true);
    assert!(host.state_holds(EXCERPT), "a record that waits to be sealed is plain");
    host.sealer.seal_due().unwrap();
    assert!(!host.state_holds(EXCERPT), "neither in the database nor in what lies beside it");
    assert!(host.state_holds(LI), "of whom the ledger tells is there");
    for (encrypted, without_excerpts) in [(false, true), (true, false)] {
        let mut host = Host::new(encrypted, without_excerpts);
        host.sealer.seal_all().unwrap();
        assert!(host.state_holds(EXCERPT), "encrypted {encrypted}, without excerpts {without_excerpts}");
    }
}

#[test]
fn a_ledger_told_to_go_without_excerpts_lets_go_of_those_it_has() {
    let mut host = Host::new(true, false);
    host.sealer.seal_all().unwrap();
    assert!(host.sent().1.contains(EXCERPT));
    host.store.go_without_excerpts().unwrap();
    host.store.checkpoint().unwrap();
    assert!(!host.state_holds(EXCERPT));
    assert!(host.sent().1.contains("not kept on this device"), "{}", host.sent().1);
}

#[test]
fn employees_still_see_whether_what_was_encrypted_has_arrived() {
    for encrypted in [false, true] {
        let mut host = Host::new(encrypted, false);
        assert_eq!(host.sent().0, Some(false), "waits to be sealed");
        host.sealer.seal_all().unwrap();
        assert_eq!(host.sent().0, Some(false), "waits to be sent");
        host.receipt_all();
        assert_eq!(host.sent().0, Some(true));
    }
}

#[test]
fn employees_still_see_it_where_what_was_plain_is_encrypted_when_it_is_stated_again() {
    let mut host = Host::new(false, false);
    host.sealer.seal_all().unwrap();
    host.device.encrypt_to(Some(RecipientSecret::generate([1; 32]).unwrap().0.recipient().clone()));
    let other = record::encode(&Summary::default(), [3; 16]).unwrap();
    host.store.transaction(|tx| tx.append(Lane::Urgent, &other)).unwrap();
    host.sealer.seal_all().unwrap();
    host.store.transaction(|tx| tx.open_epoch(EpochId([7; 16]), EpochCause::Diverged, NOW_MS)).unwrap();
    assert_eq!(host.sent().0, Some(false), "waits to be stated again");
    host.sealer.seal_all().unwrap();
    assert!(host.store.read(|tx| tx.segments()).unwrap().iter().all(|row| row.encrypted));
    assert_eq!(host.sent().0, Some(false), "waits to be sent");
    host.receipt_all();
    assert_eq!(host.sent().0, Some(true));
}
