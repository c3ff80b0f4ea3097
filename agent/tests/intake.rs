//! Rounds over real folders: whatever exports do between two listings, each is read once, and what could not be read leaves a loss.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use support::{CORP, hit, pipeline, store, urgent};
use watchpost_agent::config::Folder;
use watchpost_agent::intake::{Intake, Round};
use watchpost_agent::store::Store;
use watchpost_policy::message::Corp;
use watchpost_proto::v1::summary::Kind;

struct Host {
    dir: tempfile::TempDir,
    store: Arc<Store>,
    intake: Intake,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("exports")).unwrap();
        fs::create_dir(dir.path().join("away")).unwrap();
        fs::create_dir(dir.path().join("state")).unwrap();
        let store = store(&dir.path().join("state"));
        let intake = intake(&dir, &store, Duration::ZERO);
        Self { dir, store, intake }
    }

    /// With another process, for which exports settle so fast.
    fn restarted(self, settle: Duration) -> Self {
        let Self { dir, store, intake } = self;
        drop(intake);
        let intake = self::intake(&dir, &store, settle);
        Self { dir, store, intake }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("exports").join(name)
    }

    fn write(&self, name: &str, content: &str, seconds: u64) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
        self.touch(name, seconds);
    }

    fn touch(&self, name: &str, seconds: u64) {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000 + seconds);
        File::options().write(true).open(self.path(name)).unwrap().set_modified(at).unwrap();
    }

    fn rename(&self, from: &Path, to: &Path) {
        fs::rename(from, to).unwrap();
    }

    fn away(&self, name: &str) -> PathBuf {
        self.dir.path().join("away").join(name)
    }

    fn round(&mut self) -> Round {
        self.intake.round(&AtomicBool::new(false), &|| ()).unwrap()
    }

    /// Message ids found, and reasons of losses, since the beginning.
    fn told(&self) -> (Vec<String>, Vec<String>) {
        let (mut found, mut lost) = (Vec::new(), Vec::new());
        for kind in urgent(&self.store) {
            match kind {
                Kind::Finding(finding) => found.push(finding.msgid),
                Kind::Loss(loss) => lost.push(loss.reason),
                _ => {}
            }
        }
        found.sort();
        (found, lost)
    }

    fn states(&self) -> Vec<(String, &'static str, bool)> {
        let rows = self.store.read(|tx| tx.files()).unwrap();
        rows.iter().map(|row| (row.key.name.display().to_string(), row.state.as_str(), row.gone_ms.is_some())).collect()
    }
}

fn intake(dir: &tempfile::TempDir, store: &Arc<Store>, settle: Duration) -> Intake {
    let mut pipeline = pipeline(store);
    pipeline.config.settle = settle;
    pipeline.config.disk_free_min = 0;
    Intake::new(pipeline, vec![Folder::new(dir.path().join("exports"), Corp::new(CORP))], u64::MAX).unwrap()
}

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn an_export_is_read_once_whatever_rounds_and_restarts_come() {
    let mut host = Host::new();
    host.write("a.jsonl", &hit("m1"), 1);
    host.write("deep/b.jsonl", &hit("m2"), 2);
    host.round();
    host.write("a.jsonl", &(hit("m1") + &hit("m3")), 3);
    host.round();
    let mut host = host.restarted(Duration::ZERO);
    host.round();
    let round = host.round();
    assert_eq!((round.waiting, round.appended), (0, false), "{round:?}");
    host.rename(&host.path("a.jsonl"), &host.path("c.jsonl"));
    host.round();
    host.rename(&host.path("c.jsonl"), &host.away("c.jsonl"));
    host.round();
    host.rename(&host.away("c.jsonl"), &host.path("c.jsonl"));
    host.round();
    host.round();
    assert_eq!(host.told(), (vec!["m1".into(), "m2".into(), "m3".into()], vec![]));
    let states = host.states();
    assert!(
        states.contains(&("c.jsonl".into(), "done", false)) && states.contains(&("a.jsonl".into(), "done", true)),
        "{states:?}"
    );
}

#[cfg(unix)]
#[test]
fn a_link_in_place_of_an_export_nobody_has_read_is_a_loss() {
    let mut host = Host::new().restarted(LONG);
    host.write("a.jsonl", &hit("m1"), 1);
    host.round();
    fs::remove_file(host.path("a.jsonl")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", host.path("a.jsonl")).unwrap();
    host.round();
    host.round();
    assert_eq!(host.told(), (vec![], vec!["file_replaced".into()]));
    assert_eq!(host.states(), [("a.jsonl".into(), "set_aside", false)]);
}

#[test]
fn what_came_back_and_grew_and_vanished_is_a_loss() {
    let mut host = Host::new();
    host.write("a.jsonl", &hit("m1"), 1);
    host.round();
    host.rename(&host.path("a.jsonl"), &host.away("a.jsonl"));
    host.round();
    let mut host = host.restarted(LONG);
    host.rename(&host.away("a.jsonl"), &host.path("a.jsonl"));
    host.round();
    host.write("a.jsonl", &(hit("m1") + &hit("m2")), 2);
    host.round();
    fs::remove_file(host.path("a.jsonl")).unwrap();
    host.round();
    assert_eq!(host.told(), (vec!["m1".into()], vec!["file_vanished".into()]));
}

#[test]
fn one_that_comes_back_hides_no_other_that_vanishes() {
    let mut host = Host::new();
    host.write("a.jsonl", &hit("m1"), 1);
    host.round();
    let mut host = host.restarted(LONG);
    host.write("w.jsonl", &hit("m2"), 2);
    host.round();
    for _ in 0..2 {
        host.rename(&host.path("a.jsonl"), &host.away("a.jsonl"));
        host.round();
        host.rename(&host.away("a.jsonl"), &host.path("a.jsonl"));
        host.round();
    }
    host.rename(&host.path("a.jsonl"), &host.away("a.jsonl"));
    host.round();
    host.rename(&host.away("a.jsonl"), &host.path("a.jsonl"));
    fs::remove_file(host.path("w.jsonl")).unwrap();
    host.round();
    assert_eq!(host.told(), (vec!["m1".into()], vec!["file_vanished".into()]));
}

/// What cannot be listed is not gone, and is looked for again only when something has changed.
#[cfg(unix)]
#[test]
fn a_folder_that_is_away_is_no_loss() {
    let mut host = Host::new().restarted(LONG);
    host.write("a.jsonl", &hit("m1"), 1);
    host.round();
    host.rename(&host.path(""), &host.away("exports"));
    host.round();
    host.round();
    host.rename(&host.away("exports"), &host.path(""));
    let mut host = host.restarted(Duration::ZERO);
    host.round();
    assert_eq!(host.told(), (vec!["m1".into()], vec![]));
}
