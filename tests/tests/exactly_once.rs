//! Exactly once, whatever dies: two agents that share part of their exports, and a collector, are killed at random
//! moments, their lines broken, their files deleted and dropped again, their state folders put back to earlier copies.
//! In the end the collector shows exactly what a plain `scan` of the same files finds.
//!
//! The short run belongs to `cargo test`. The long one, with 200 kills and 100,000 messages:
//! `cargo test --release -p watchpost-tests --test exactly_once -- --ignored --nocapture`.
//! Both print their seed; `WATCHPOST_SEED=…` repeats the same schedule (not the same timing).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use watchpost_tests::corpus::{Corpus, Random, Settings};
use watchpost_tests::lab::{CORP, Lab, finding_names};
use watchpost_tests::outcome::{self, Counts};
use watchpost_tests::proxy::Proxy;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const HOUR_MS: u64 = 60 * 60 * 1000;

/// How much is done.
struct Size {
    messages: u64,
    /// One message in this many is planted.
    planted_one_in: u64,
    files: u64,
    kills: u32,
    /// For everything to arrive at the end.
    drain: Duration,
}

#[test]
fn every_finding_arrives_once_through_kills_and_cuts_and_restored_disks() {
    let size = Size { messages: 20_000, planted_one_in: 20, files: 40, kills: 25, drain: Duration::from_secs(180) };
    outcome::seeded(|seed| run(&size, seed)).unwrap();
}

#[test]
#[ignore = "takes minutes; see the head of this file"]
fn every_finding_arrives_once_the_long_run() {
    let size = Size { messages: 100_000, planted_one_in: 20, files: 200, kills: 220, drain: Duration::from_secs(600) };
    outcome::seeded(|seed| run(&size, seed)).unwrap();
}

fn run(size: &Size, seed: u64) -> anyhow::Result<()> {
    let mut world = World::new(size, seed)?;
    let rows = world.expected(size)?;
    let expected = finding_names(&rows)?;
    world.lab.collector.start()?;
    for side in 0..2 {
        world.configure(side)?;
        world.lab.agents[side].start()?;
    }
    while world.kills < size.kills {
        world.turn(size)?;
    }
    world.settle()?;
    eprintln!("{} kills, {} restored, {} dropped again, settling", world.kills, world.restored, world.dropped_again);
    outcome::wait_until_drained(&world.lab, size.drain)?;
    outcome::wait_for_findings(&world.lab, &expected, size.drain)?;
    outcome::check_chains(&world.lab)?;
    outcome::check_nobody_quarantined(&world.lab.collector)?;
    // What many messages come to together flags none of them.
    let single = rows.iter().filter(|row| row["window"].is_null());
    let flagged: BTreeSet<String> = single.filter_map(|row| row["msgid"].as_str().map(str::to_owned)).collect();
    (0..2).try_for_each(|side| world.check_tallies(side, &flagged, size.drain))
}

/// One agent's side of the world.
struct Side {
    proxy: Proxy,
    /// Exports not dropped yet, in order.
    to_drop: Vec<PathBuf>,
    /// Exports of which only a part is there: name, and how many bytes are.
    growing: Vec<(String, PathBuf, usize)>,
    /// Exports in the folder, whole: name there, and the master copy.
    there: Vec<(String, PathBuf)>,
    /// Exports that were deleted after they were done.
    deleted: Vec<(String, PathBuf)>,
    /// An earlier copy of the state folder.
    saved: Option<PathBuf>,
}

struct World {
    lab: Lab,
    sides: [Side; 2],
    random: Random,
    master: PathBuf,
    kills: u32,
    restored: u32,
    dropped_again: u32,
    copies: u32,
}

impl World {
    fn new(size: &Size, seed: u64) -> anyhow::Result<Self> {
        let lab = Lab::new(2)?;
        let master = lab.dir().join("master");
        fs::create_dir(&master)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
        let corpus = Corpus::new(Settings {
            seed,
            messages: size.messages,
            planted_one_in: size.planted_one_in,
            // Within what an agent remembers, spread over a month.
            first_msgtime_ms: now - 31 * DAY_MS,
            step_ms: 30 * DAY_MS / size.messages,
            ..Settings::default()
        });
        let files = corpus.write_overlapping(&master, size.files, size.messages / size.files / 2)?;
        // The middle of the exports goes to both.
        let (first, second) = (files.len() * 2 / 5, files.len() * 3 / 5);
        let upstream = "127.0.0.1:1".parse()?;
        let side = |files: &[PathBuf]| {
            anyhow::Ok(Side {
                proxy: Proxy::start(upstream)?,
                to_drop: files.iter().rev().cloned().collect(),
                growing: Vec::new(),
                there: Vec::new(),
                deleted: Vec::new(),
                saved: None,
            })
        };
        let sides = [side(&files[..second])?, side(&files[first..])?];
        let random = Random::new(seed ^ 0x6661_756c_7473);
        Ok(Self { lab, sides, random, master, kills: 0, restored: 0, dropped_again: 0, copies: 0 })
    }

    fn expected(&self, size: &Size) -> anyhow::Result<Vec<Value>> {
        let expected = self.lab.agents[0].scan(&[&self.master])?;
        ensure!(expected.len() as u64 >= size.messages / size.planted_one_in, "{} findings", expected.len());
        Ok(expected)
    }

    /// The agents reach the collector through their proxies. Small batches, for many commits to die in.
    fn configure(&self, side: usize) -> anyhow::Result<()> {
        let collector = self.lab.collector.address().context("the collector has no address")?;
        self.sides[side].proxy.set_upstream(collector);
        let extra = "[source]\nbatch_bytes = \"64KiB\"\nrescan = \"500ms\"\n";
        self.lab.agents[side].configure(self.sides[side].proxy.address(), extra)
    }

    /// Some files, some trouble, a kill.
    fn turn(&mut self, size: &Size) -> anyhow::Result<()> {
        for side in 0..2 {
            self.drop_due(side, size)?;
        }
        let side = self.random.below(2) as usize;
        match self.random.below(4) {
            0 => self.delete_done(side)?,
            1 => self.drop_again(side)?,
            2 => self.grow(side)?,
            _ => {}
        }
        let disturbed = self.random.below(2) as usize;
        self.disturb(disturbed);
        self.pause(250);
        match self.random.below(10) {
            0..3 => {
                self.lab.collector.kill()?;
                self.pause(100);
                self.lab.collector.start()?;
                self.kills += 1;
            }
            3 => {
                // The whole room loses power.
                self.lab.collector.kill()?;
                self.lab.agents[side].kill()?;
                self.kills += 2;
                self.lab.agents[side].start()?;
                self.pause(100);
                self.lab.collector.start()?;
            }
            _ => self.kill_agent(side)?,
        }
        Ok(())
    }

    /// Kills an agent; while it is down its disk may be copied, or put back to the copy.
    fn kill_agent(&mut self, side: usize) -> anyhow::Result<()> {
        self.copies += 1;
        let copy = self.lab.dir().join(format!("copy-{}", self.copies));
        let agent = &mut self.lab.agents[side];
        agent.kill()?;
        self.kills += 1;
        let chance = self.random.below(8);
        if chance < 2
            && let Some(saved) = &self.sides[side].saved
        {
            agent.restore_state(saved)?;
            self.restored += 1;
            return self.wake_restored(side);
        } else if chance < 6 {
            agent.save_state(&copy)?;
            if let Some(older) = self.sides[side].saved.replace(copy) {
                fs::remove_dir_all(older)?;
            }
        }
        self.pause(50);
        self.lab.agents[side].start()
    }

    /// A restored machine that has something new and no line at first: it seals for places that were used before.
    fn wake_restored(&mut self, side: usize) -> anyhow::Result<()> {
        self.sides[side].proxy.set_refuse(true);
        self.drop_next(side)?;
        self.lab.agents[side].start()?;
        std::thread::sleep(Duration::from_millis(500));
        self.sides[side].proxy.set_refuse(false);
        Ok(())
    }

    /// As many exports as are due by now, so that the last one comes before the last kill.
    fn drop_due(&mut self, side: usize, size: &Size) -> anyhow::Result<()> {
        let total = size.files * 3 / 5;
        let left = total - total * u64::from(self.kills + 2).min(u64::from(size.kills)) / u64::from(size.kills);
        while self.sides[side].to_drop.len() as u64 > left {
            self.drop_next(side)?;
        }
        Ok(())
    }

    fn drop_next(&mut self, side: usize) -> anyhow::Result<()> {
        let Some(master) = self.sides[side].to_drop.pop() else { return Ok(()) };
        let name = name_of(&master)?;
        let content = fs::read(&master)?;
        if self.random.below(3) == 0 {
            // Still being written: it stops in the middle of anything.
            let length = self.random.below(content.len() as u64) as usize;
            fs::write(self.lab.agents[side].exports().join(&name), &content[..length])?;
            self.sides[side].growing.push((name, master, length));
        } else {
            self.lab.agents[side].drop_export(&name, &content)?;
            self.sides[side].there.push((name, master));
        }
        Ok(())
    }

    /// The writer of a growing export goes on.
    fn grow(&mut self, side: usize) -> anyhow::Result<()> {
        let Some((name, master, length)) = self.sides[side].growing.pop() else { return Ok(()) };
        let content = fs::read(&master)?;
        let path = self.lab.agents[side].exports().join(&name);
        let mut file = OpenOptions::new().append(true).open(path)?;
        file.write_all(&content[length..])?;
        self.sides[side].there.push((name, master));
        Ok(())
    }

    /// The archive job clears away what was read.
    fn delete_done(&mut self, side: usize) -> anyhow::Result<()> {
        let agent = &self.lab.agents[side];
        let status = outcome::status(agent)?;
        let done: BTreeSet<&str> = outcome::files(&status)?
            .iter()
            .filter(|file| file["state"] == "done")
            .filter_map(|f| f["path"].as_str())
            .collect();
        for _ in 0..3 {
            let there = &mut self.sides[side].there;
            if there.is_empty() {
                return Ok(());
            }
            let at = self.random.below(there.len() as u64) as usize;
            let path = agent.exports().join(&there[at].0);
            if done.contains(path.display().to_string().as_str()) {
                fs::remove_file(path)?;
                self.sides[side].deleted.push(there.swap_remove(at));
            }
        }
        Ok(())
    }

    /// What was deleted comes again, under its own name or another.
    fn drop_again(&mut self, side: usize) -> anyhow::Result<()> {
        let Some((name, master)) = self.sides[side].deleted.pop() else { return Ok(()) };
        let name = if self.random.below(2) == 0 { name } else { format!("again-{}-{name}", self.dropped_again) };
        self.lab.agents[side].drop_export(&name, &fs::read(&master)?)?;
        self.sides[side].there.push((name, master));
        self.dropped_again += 1;
        Ok(())
    }

    fn disturb(&mut self, side: usize) {
        let kind = self.random.below(9);
        let proxy = &self.sides[side].proxy;
        match kind {
            0 => proxy.cut(),
            1 => proxy.reset(),
            2 => proxy.set_delay(Duration::from_millis(self.random.below(80))),
            3 => proxy.set_rate(Some(20_000 + self.random.below(500_000))),
            4 => proxy.set_silent(true),
            5 => proxy.set_refuse(true),
            _ => heal(proxy),
        }
    }

    fn pause(&mut self, max_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.random.below(max_ms)));
    }

    /// Everything is whole again and everything is there.
    fn settle(&mut self) -> anyhow::Result<()> {
        for side in 0..2 {
            while !self.sides[side].to_drop.is_empty() {
                self.drop_next(side)?;
            }
            while !self.sides[side].growing.is_empty() {
                self.grow(side)?;
            }
            while !self.sides[side].deleted.is_empty() {
                self.drop_again(side)?;
            }
            heal(&self.sides[side].proxy);
            self.sides[side].proxy.reset();
        }
        Ok(())
    }

    /// A device's tallies equal a plain count over its different messages: nothing doubled by repeats or restores.
    fn check_tallies(&self, side: usize, flagged: &BTreeSet<String>, timeout: Duration) -> anyhow::Result<()> {
        let masters: BTreeSet<&Path> = self.sides[side].there.iter().map(|(_, master)| master.as_path()).collect();
        let expected = recount(masters, flagged)?;
        let device = self.lab.agents[side].device();
        let mut found = BTreeMap::new();
        let waited =
            self.lab.wait_until("the tallies are those of a plain count", timeout.min(Duration::from_secs(60)), || {
                found = outcome::tallies(&self.lab.collector, &device.0)?;
                Ok(found == expected)
            });
        waited.with_context(|| {
            let differing = expected.iter().filter(|(key, counts)| found.get(*key) != Some(counts));
            let differing: Vec<_> = differing.map(|(key, counts)| (key, counts, found.get(key))).collect();
            let surplus = found.keys().filter(|key| !expected.contains_key(*key)).count();
            format!(
                "agent {side}: {} differ, {surplus} surplus; {:?}",
                differing.len(),
                &differing[..differing.len().min(5)]
            )
        })
    }
}

fn heal(proxy: &Proxy) {
    proxy.set_delay(Duration::ZERO);
    proxy.set_rate(None);
    proxy.set_silent(false);
    proxy.set_refuse(false);
}

fn name_of(path: &Path) -> anyhow::Result<String> {
    Ok(path.file_name().and_then(|name| name.to_str()).context("no file name")?.to_owned())
}

/// Counts by account and hour, over each msgid once.
fn recount(files: BTreeSet<&Path>, flagged: &BTreeSet<String>) -> anyhow::Result<BTreeMap<(String, u64), Counts>> {
    let (mut seen, mut counts) = (BTreeSet::new(), BTreeMap::<(String, u64), Counts>::new());
    for file in files {
        for line in fs::read_to_string(file)?.lines() {
            let message: Value = serde_json::from_str(line)?;
            let msgid = message["msgid"].as_str().context("no msgid")?;
            if !seen.insert(msgid.to_owned()) {
                continue;
            }
            let hour = message["msgtime"].as_u64().context("no msgtime")? / HOUR_MS;
            let from = message["from"].as_str().into_iter().map(|id| (id, true));
            let to = message["tolist"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|id| (id, false));
            for (id, sender) in from.chain(to).filter(|(id, _)| id.starts_with("staff")) {
                let count = counts.entry((format!("{CORP}/{id}"), hour)).or_default();
                count.0 += u64::from(sender);
                count.1 += u64::from(!sender);
                count.2 += u64::from(flagged.contains(msgid));
            }
        }
    }
    Ok(counts)
}
