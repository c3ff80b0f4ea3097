//! A collector put back to an earlier state, with a word and without: nothing is merged silently, nothing people have seen
//! is lost as long as a device still has it, and nothing is there twice. Real processes, ended with SIGKILL.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use rusqlite::Connection;
use serde_json::{Value, json};
use watchpost_tests::lab::{Lab, copy_folder};
use watchpost_tests::outcome;
use watchpost_tests::proxy::Proxy;

const PATIENCE: Duration = Duration::from_secs(120);

/// An export of one message that makes one finding.
fn export(msgid: &str) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let message = json!({
        "msgid": msgid, "action": "send", "from": "staff0001", "tolist": ["wmInVeNtEd000001customerAAAAAAAA"],
        "roomid": "", "msgtime": now - 60_000, "msgtype": "text",
        "text": { "content": "您好，这款理财产品保本保收益，您看什么时候方便" }
    });
    format!("{message}\n").into_bytes()
}

/// A collector and agents, each behind its own proxy.
struct World {
    lab: Lab,
    proxies: Vec<Proxy>,
    expected: BTreeSet<String>,
}

impl World {
    fn new(agents: usize) -> anyhow::Result<Self> {
        let mut lab = Lab::new(agents)?;
        let address = lab.collector.start()?;
        let proxies = (0..agents).map(|_| Proxy::start(address)).collect::<Result<Vec<_>, _>>()?;
        for (agent, proxy) in lab.agents.iter_mut().zip(&proxies) {
            agent.configure(proxy.address(), "")?;
            agent.start()?;
        }
        Ok(Self { lab, proxies, expected: BTreeSet::new() })
    }

    fn drop(&mut self, agent: usize, msgid: &str) -> anyhow::Result<()> {
        self.expected.insert(msgid.to_owned());
        self.lab.agents[agent].drop_export(&format!("{msgid}.jsonl"), &export(msgid)).map(drop)
    }

    /// Waits until exactly what was dropped is shown and receipted.
    fn settle(&self) -> anyhow::Result<()> {
        self.shown(&self.expected)?;
        for agent in &self.lab.agents {
            self.lab.wait_until("the agent is drained", PATIENCE, || outcome::is_drained(agent))?;
        }
        Ok(())
    }

    fn shown(&self, expected: &BTreeSet<String>) -> anyhow::Result<()> {
        let mut found = BTreeSet::new();
        let waited = self.lab.wait_until("exactly the expected findings are shown", PATIENCE, || {
            // Everything is derived anew after a restore.
            found = outcome::findings(&self.lab.collector)
                .map(|found| found.into_iter().map(|(_, _, msgid)| msgid).collect())
                .unwrap_or_default();
            Ok(found == *expected)
        });
        waited.with_context(|| format!("found {found:?}, expected {expected:?}"))
    }

    /// Cuts an agent off, or gives it its line back.
    fn cut(&self, agent: usize, off: bool) {
        self.proxies[agent].set_refuse(off);
        if off {
            self.proxies[agent].reset();
        }
    }

    fn collector(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.lab.collector.command(arguments)?.ok()
    }

    fn logs(&self) -> anyhow::Result<Vec<Value>> {
        self.lab.collector.json(&["log", "list"])
    }

    fn backup(&self, name: &str) -> anyhow::Result<PathBuf> {
        let out = self.lab.dir().join(name);
        self.collector(&["backup", "--out", path(&out)])?;
        Ok(out)
    }

    /// Puts what was restored in the place of the collector's folder.
    fn put_in_place(&self, folder: &Path) -> anyhow::Result<()> {
        let dir = self.lab.collector.dir();
        fs::rename(dir, self.lab.dir().join("gone"))?;
        Ok(fs::rename(folder, dir)?)
    }

    fn restore(&self, backup: &Path) -> anyhow::Result<()> {
        let into = self.lab.dir().join("restored");
        self.restore_into(backup, &into)?;
        self.put_in_place(&into)
    }

    fn restore_into(&self, backup: &Path, into: &Path) -> anyhow::Result<()> {
        // It needs no configuration of its own.
        let finished = self.lab.collector.command_bare(&["restore", path(backup), "--into", path(into)])?;
        finished.ok().map(drop)
    }

    fn log_db(&self) -> anyhow::Result<Connection> {
        outcome::read_only(&self.lab.collector.dir().join("data/log.db"))
    }

    fn count(&self, query: &str) -> anyhow::Result<i64> {
        Ok(self.log_db()?.query_row(query, [], |row| row.get(0))?)
    }

    fn check(&self) -> anyhow::Result<()> {
        outcome::check_chains(&self.lab)?;
        outcome::check_nobody_quarantined(&self.lab.collector)
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn alerts(world: &World) -> anyhow::Result<BTreeSet<String>> {
    let alerts = world.lab.collector.json(&["alert", "list"])?;
    let ids: Vec<String> = alerts.iter().map(|alert| alert["alert"].as_str().unwrap().to_owned()).collect();
    let once: BTreeSet<String> = ids.iter().cloned().collect();
    ensure!(once.len() == ids.len(), "an alert is there twice: {ids:?}");
    Ok(once)
}

#[test]
fn last_nights_backup_becomes_a_log_that_names_the_one_before_and_devices_send_again_what_came_since() {
    let mut world = World::new(2).unwrap();
    world.drop(0, "opens-the-alert").unwrap();
    world.settle().unwrap();
    // Under load: exports come while the backup is made.
    for n in 0..20 {
        world.drop(n % 2, &format!("before{n}")).unwrap();
    }
    let backup = world.backup("backup").unwrap();
    for n in 20..30 {
        world.drop(n % 2, &format!("before{n}")).unwrap();
    }
    world.settle().unwrap();
    // The second is away from now on: it has seen less of the log than the first.
    world.cut(1, true);
    for n in 0..5 {
        world.drop(0, &format!("after{n}")).unwrap();
    }
    world.shown(&world.expected.clone()).unwrap();
    let seen = alerts(&world).unwrap();
    let note = world.collector(&["log", "checkpoint"]).unwrap();
    world.lab.collector.kill().unwrap();
    // While it is away more comes in.
    world.drop(0, "meanwhile").unwrap();
    world.restore(&backup).unwrap();
    world.cut(1, false);
    world.lab.collector.start().unwrap();
    world.settle().unwrap();
    let after = alerts(&world).unwrap();
    assert_eq!(after, seen, "an alert is the same alert, and there once");
    world.check().unwrap();
    let logs = world.logs().unwrap();
    assert_eq!(logs.len(), 2, "{logs:?}");
    assert_eq!((&logs[0]["state"], &logs[1]["cause"]), (&json!("ended"), &json!("restored")));
    let told = world.lab.wait_until("the largest head shown is in the log", PATIENCE, || {
        Ok(world.logs()?[0]["lost"].as_u64() > Some(0))
    });
    told.unwrap();
    assert!(world.count("SELECT count(*) FROM shortfall").unwrap() > 0, "what was receipted and lost is recorded");
    for agent in &world.lab.agents {
        assert!(agent.log().contains("goes on with another log"), "it has not followed the successor");
    }
    let old = logs[0]["log"].as_str().unwrap();
    assert!(world.collector(&["log", "prove", "--entry", "1", "--log", old]).unwrap().contains("tlog-proof"));
    let tiles = world.lab.dir().join("tiles");
    world.collector(&["log", "tiles", "--out", path(&tiles), "--log", old]).unwrap();
    // What was kept elsewhere of the old log says that it was cut short.
    let kept = world.lab.dir().join("kept.note");
    fs::write(&kept, note).unwrap();
    let verdict = world.lab.collector.command(&["log", "verify", "--checkpoint", path(&kept)]).unwrap();
    assert!(!verdict.status.success() && verdict.stderr.contains("missing"), "{}", verdict.stderr);
}

#[test]
fn a_collector_that_was_copied_back_learns_it_from_a_device_and_merges_nothing() {
    let mut world = World::new(2).unwrap();
    world.drop(0, "first").unwrap();
    world.drop(1, "second").unwrap();
    world.settle().unwrap();
    world.cut(1, true);
    world.lab.collector.kill().unwrap();
    let copy = world.lab.dir().join("copy");
    copy_folder(world.lab.collector.dir(), &copy).unwrap();
    world.lab.collector.start().unwrap();
    for n in 0..5 {
        world.drop(0, &format!("lost{n}")).unwrap();
    }
    world.shown(&world.expected.clone()).unwrap();
    world.lab.wait_until("drained", PATIENCE, || outcome::is_drained(&world.lab.agents[0])).unwrap();
    world.cut(0, true);
    world.lab.collector.kill().unwrap();
    world.put_in_place(&copy).unwrap();
    world.lab.collector.start().unwrap();
    // The one that has seen no more than what is there goes on with it: nobody can know better yet.
    world.drop(1, "into-the-fork").unwrap();
    world.cut(1, false);
    let fork: BTreeSet<String> = ["first", "second", "into-the-fork"].map(str::to_owned).into();
    world.shown(&fork).unwrap();
    assert_eq!(world.logs().unwrap().len(), 1);
    let process = world.lab.collector.id();
    // The other has seen more.
    world.cut(0, false);
    world.lab.wait_until("another log is opened", PATIENCE, || Ok(world.logs()?.len() == 2)).unwrap();
    world.settle().unwrap();
    assert_eq!(world.lab.collector.id(), process, "it begins again by itself");
    let logs = world.logs().unwrap();
    assert_eq!(logs[1]["cause"], "contradicted");
    assert!(logs[0]["lost"].as_u64() > Some(0), "{logs:?}");
    assert!(world.lab.collector.log().contains("this collector was restored"), "nobody is told");
    world.check().unwrap();
    // And it stays so.
    world.lab.collector.kill().unwrap();
    world.lab.collector.start().unwrap();
    world.drop(1, "later").unwrap();
    world.settle().unwrap();
    assert_eq!(world.logs().unwrap().len(), 2);
}

#[test]
fn what_neither_side_has_any_more_is_a_recorded_loss_on_both() {
    let mut world = World::new(1).unwrap();
    world.drop(0, "first").unwrap();
    world.settle().unwrap();
    let backup = world.backup("backup").unwrap();
    for n in 0..3 {
        world.drop(0, &format!("gone{n}")).unwrap();
        world.settle().unwrap();
    }
    world.lab.collector.kill().unwrap();
    world.lab.agents[0].kill().unwrap();
    // The device has let go of what was receipted.
    let db = Connection::open(world.lab.agents[0].state().join("agent.db")).unwrap();
    db.execute("UPDATE segment SET payload = NULL WHERE receipted_ms IS NOT NULL", []).unwrap();
    drop(db);
    world.restore(&backup).unwrap();
    world.lab.collector.start().unwrap();
    world.lab.agents[0].start().unwrap();
    world.expected = BTreeSet::from(["first".to_owned()]);
    world.drop(0, "later").unwrap();
    world.settle().unwrap();
    let device = &world.lab.collector.json(&["device", "list"]).unwrap()[0];
    assert!(device["losses"].as_u64() > Some(0), "{device}");
    assert!(world.count("SELECT count(*) FROM shortfall").unwrap() > 0);
    world.check().unwrap();
}

#[test]
fn what_people_decided_before_the_backup_holds_after_it() {
    let mut world = World::new(2).unwrap();
    world.drop(0, "first").unwrap();
    world.drop(1, "second").unwrap();
    world.settle().unwrap();
    let [revoked, quarantined] = [0, 1].map(|agent| world.lab.agents[agent].device().to_string());
    world.collector(&["device", "revoke", &revoked, "--reason", "stolen"]).unwrap();
    world.collector(&["device", "quarantine", &quarantined, "--reason", "look"]).unwrap();
    let backup = world.backup("backup").unwrap();
    world.lab.collector.kill().unwrap();
    let used = world.lab.dir().join("used");
    world.restore_into(&backup, &used).unwrap();
    let again = world.restore_into(&backup, &used).unwrap_err();
    assert!(again.to_string().contains("not empty"), "{again:#}");
    world.put_in_place(&used).unwrap();
    // Nothing is done to a log that is about to end.
    let early = world.lab.collector.command(&["device", "release", &revoked]).unwrap();
    assert!(early.stderr.contains("run serve first"), "{}", early.stderr);
    world.lab.collector.start().unwrap();
    world.lab.wait_until("standings", PATIENCE, || Ok(outcome::standings(&world.lab.collector).is_ok())).unwrap();
    let standings = outcome::standings(&world.lab.collector).unwrap();
    assert_eq!((&*standings[&revoked], &*standings[&quarantined]), ("revoked", "quarantined"));
    outcome::check_chains(&world.lab).unwrap();
}

#[test]
fn evidence_of_before_and_after_verifies_and_a_damaged_backup_is_refused() {
    let mut world = World::new(1).unwrap();
    world.drop(0, "first").unwrap();
    world.settle().unwrap();
    let alert = alerts(&world).unwrap().pop_first().unwrap();
    let root = world.lab.collector.dir().join("pki/root.crt");
    let files = ["before.json", "after.json"].map(|name| world.lab.dir().join(name));
    world.collector(&["evidence", "export", &alert, "--out", path(&files[0])]).unwrap();
    let backup = world.backup("backup").unwrap();
    world.lab.collector.kill().unwrap();
    let damaged = world.lab.dir().join("damaged");
    copy_folder(&backup, &damaged).unwrap();
    let db = damaged.join("data/log.db");
    let mut bytes = fs::read(&db).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&db, bytes).unwrap();
    let refused = world.restore_into(&damaged, &world.lab.dir().join("nowhere")).unwrap_err();
    assert!(refused.to_string().contains("is not what was written"), "{refused:#}");
    world.restore(&backup).unwrap();
    world.lab.collector.start().unwrap();
    // The same alert: a record in the log before, and one in this.
    world.drop(0, "second").unwrap();
    world.settle().unwrap();
    assert_eq!(alerts(&world).unwrap(), BTreeSet::from([alert.clone()]));
    world.collector(&["evidence", "export", &alert, "--out", path(&files[1])]).unwrap();
    for file in &files {
        let verdict = world.lab.collector.command_bare(&["verify", path(file), "--root", path(&root)]).unwrap();
        assert!(verdict.status.success(), "{}{}", verdict.stdout, verdict.stderr);
    }
    let text = fs::read_to_string(&files[1]).unwrap();
    assert!(text.contains("\"earlier\""), "it reaches over both logs");
    // Another head for the log before is not believed.
    let mut evidence: Value = serde_json::from_str(&text).unwrap();
    evidence["earlier"][0]["checkpoint"] = evidence["checkpoint"].clone();
    fs::write(&files[1], evidence.to_string()).unwrap();
    let verdict = world.lab.collector.command_bare(&["verify", path(&files[1]), "--root", path(&root)]).unwrap();
    assert!(!verdict.status.success());
}
