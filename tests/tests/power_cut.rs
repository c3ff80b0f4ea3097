//! Power cuts: every durable step, failed and persisted as well as failed and not persisted.
//!
//! - One history of an agent and a collector is cut at every commit of either database: the write-ahead logs are kept
//!   whole, so each commit boundary in them is the state a power cut would have left. Both sides are started again on
//!   pairs of such states that can occur together, the earliest and the latest of the collector for each of the agent,
//!   with a torn commit behind, and must come to the same end.
//! - With every fsync slowed down (by `strace`, where it is installed), one side is killed inside a commit, and that
//!   commit kept once and thrown away once. Nothing may have been said to the other side by then.
//! - With the log locked from outside, so that the collector cannot commit, nothing is receipted.
//!
//! That these tests can fail was tried. With the collector answering a segment before the commit of its group, the slowed
//! test goes red (a receipt for what the log does not hold); answering before the group begins, the locked one too. With
//! `synchronous=NORMAL` at the agent the slowed one does (at the collector sooner than two syncs take).
//!
//! All pairs, not a sample: `cargo test --release -p watchpost-tests --test power_cut -- --ignored --nocapture`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use rusqlite::Connection;
use tempfile::TempDir;
use watchpost_proto::note;
use watchpost_tests::corpus::{Corpus, Random, Settings};
use watchpost_tests::lab::{Agent, FindingName, Lab, finding_names};
use watchpost_tests::outcome;

const PATIENCE: Duration = Duration::from_secs(60);
const HOUR_MS: u64 = 60 * 60 * 1000;
/// Messages of one export; every second one makes a finding.
const MESSAGES: u64 = 8;

fn corpus(seed: u64) -> anyhow::Result<Corpus> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let first_msgtime_ms = now - 10 * HOUR_MS;
    Ok(Corpus::new(Settings { seed, messages: 1000, planted_one_in: 2, first_msgtime_ms, ..Settings::default() }))
}

/// Drops the export of this number.
fn drop_export(agent: &Agent, corpus: &Corpus, number: u64) -> anyhow::Result<()> {
    let text = corpus.text(number * MESSAGES..(number + 1) * MESSAGES);
    agent.drop_export(&format!("{number}.jsonl"), text.as_bytes()).map(drop)
}

fn expected(lab: &Lab) -> anyhow::Result<BTreeSet<FindingName>> {
    finding_names(&lab.agents[0].scan(&[&lab.agents[0].exports()])?)
}

/// A lab that runs, with nothing sent yet.
fn running() -> anyhow::Result<Lab> {
    let mut lab = Lab::new(1)?;
    lab.start()?;
    Ok(lab)
}

/// Everything is there once, and everybody believes everybody.
fn check_end(lab: &Lab, expected: &BTreeSet<FindingName>) -> anyhow::Result<()> {
    outcome::wait_for_findings(lab, expected, PATIENCE)?;
    outcome::check_nobody_quarantined(&lab.collector)?;
    outcome::check_chains(lab)
}

// --- every commit of a history -------------------------------------------------------------------------------------

#[test]
fn a_power_cut_at_any_commit_loses_and_doubles_nothing() {
    outcome::seeded(|seed| cut_everywhere(seed, 12)).unwrap();
}

#[test]
#[ignore = "takes minutes; see the head of this file"]
fn a_power_cut_at_every_commit_loses_and_doubles_nothing() {
    outcome::seeded(|seed| cut_everywhere(seed, usize::MAX)).unwrap();
}

fn cut_everywhere(seed: u64, pairs_max: usize) -> anyhow::Result<()> {
    let mut lab = running()?;
    let corpus = corpus(seed)?;
    for number in 0..8 {
        drop_export(&lab.agents[0], &corpus, number)?;
        std::thread::sleep(Duration::from_millis(600));
    }
    let expected = expected(&lab)?;
    check_end(&lab, &expected)?;
    lab.agents[0].kill()?;
    lab.collector.kill()?;

    let agent = History::take(&lab, &lab.agents[0].state(), "agent.db")?;
    let log = History::take(&lab, &lab.collector.dir().join("data"), "log.db")?;
    let derived = History::take(&lab, &lab.collector.dir().join("data"), "derived.db")?;
    let mut random = Random::new(seed);
    let mut pairs = reachable(&agent, &log)?;
    eprintln!(
        "{} agent commits, {} log commits, {} derived commits, {} pairs",
        agent.ends.len(),
        log.ends.len(),
        derived.ends.len(),
        pairs.len()
    );
    ensure!(pairs.len() > 20, "too short a history");
    while pairs.len() > pairs_max {
        pairs.swap_remove(random.below(pairs.len() as u64) as usize);
    }
    for (a, c) in pairs {
        let d = random.below(derived.ends_within(&log, c)? as u64 + 1) as usize;
        agent.put(a, &mut random)?;
        log.put(c, &mut random)?;
        derived.put(d, &mut random)?;
        (|| {
            lab.collector.start()?;
            lab.agents[0].start()?;
            check_end(&lab, &expected)?;
            lab.agents[0].kill()?;
            lab.collector.kill()
        })()
        .with_context(|| format!("cut after commit {a} of the agent, {c} of the log, {d} of the derived database"))?;
    }
    Ok(())
}

/// A database's file and its whole write-ahead log.
struct History {
    folder: PathBuf,
    name: &'static str,
    main: Vec<u8>,
    wal: Vec<u8>,
    /// Where each commit ends in the log. State 0 is before the first, state n after the n-th.
    ends: Vec<usize>,
}

impl History {
    fn take(lab: &Lab, folder: &Path, name: &'static str) -> anyhow::Result<Self> {
        let main = fs::read(folder.join(name))?;
        let wal = fs::read(folder.join(format!("{name}-wal")))?;
        let (page, ends) = commits(&wal)?;
        // A checkpoint would have moved commits out of the log, and nobody could tell when.
        ensure!(main.len() <= page, "{name} was checkpointed\n{}", lab.tails());
        Ok(Self { folder: folder.to_owned(), name, main, wal, ends })
    }

    /// Puts the database back to its state after `commits`, with a part of the next commit behind it half of the time.
    fn put(&self, commits: usize, random: &mut Random) -> anyhow::Result<()> {
        let whole = self.end(commits);
        let next = self.ends.get(commits).copied().unwrap_or(whole);
        let torn = if next > whole && random.below(2) == 0 { random.below((next - whole) as u64) as usize } else { 0 };
        write_state(&self.folder, self.name, &self.main, &self.wal[..whole + torn])
    }

    fn end(&self, commits: usize) -> usize {
        commits.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0)
    }

    /// Looks at the state after `commits`, on a copy.
    fn look<T>(&self, commits: usize, look: impl FnOnce(&Connection) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let copy = TempDir::with_prefix("watchpost-state-")?;
        write_state(copy.path(), self.name, &self.main, &self.wal[..self.end(commits)])?;
        look(&Connection::open(copy.path().join(self.name))?)
    }

    /// How many commits of this derived database can exist beside `commits` of the log.
    fn ends_within(&self, log: &Self, commits: usize) -> anyhow::Result<usize> {
        let size = log.look(commits, |db| Ok(log_size(db)))?;
        let within = |n: &usize| {
            let position = self.look(*n, |db| Ok(number(db, "SELECT coalesce(max(next), 0) FROM position")));
            position.is_ok_and(|position| position <= size)
        };
        Ok((0..=self.ends.len()).rev().find(within).unwrap_or(0))
    }
}

fn write_state(folder: &Path, name: &str, main: &[u8], wal: &[u8]) -> anyhow::Result<()> {
    fs::write(folder.join(name), main)?;
    fs::write(folder.join(format!("{name}-wal")), wal)?;
    match fs::remove_file(folder.join(format!("{name}-shm"))) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// The page size, and where each commit ends in a write-ahead log: after a frame that names the size of the database.
fn commits(wal: &[u8]) -> anyhow::Result<(usize, Vec<usize>)> {
    let word = |at: usize| -> anyhow::Result<u32> {
        let bytes = wal.get(at..at + 4).context("the log ends early")?;
        Ok(u32::from_be_bytes(bytes.try_into()?))
    };
    let (page, salt) = (word(8)? as usize, (word(16)?, word(20)?));
    ensure!(page.is_power_of_two(), "page size {page}");
    let mut ends = Vec::new();
    let mut at = 32;
    while at + 24 + page <= wal.len() && (word(at + 8)?, word(at + 12)?) == salt {
        let is_commit = word(at + 4)? != 0;
        at += 24 + page;
        if is_commit {
            ends.push(at);
        }
    }
    Ok((page, ends))
}

/// A number, or 0 where there is no such table yet.
fn number(db: &Connection, sql: &str) -> u64 {
    db.query_row(sql, [], |row| row.get(0)).unwrap_or(0)
}

fn log_size(db: &Connection) -> u64 {
    number(db, "SELECT size FROM head")
}

/// Digests that a statement yields; none where there is no such table yet.
fn digests(db: &Connection, sql: &str) -> anyhow::Result<BTreeSet<Vec<u8>>> {
    let Ok(mut select) = db.prepare(sql) else { return Ok(BTreeSet::new()) };
    Ok(select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

const SEALED: &str = "SELECT digest FROM segment";
const RECEIPTED: &str = "SELECT digest FROM segment WHERE receipted_ms IS NOT NULL";
const HELD: &str = "SELECT digest FROM statement";
const HELD_URGENT: &str = "SELECT digest FROM statement JOIN lane ON lane.id = lane_id WHERE lane.lane = 1";

/// For each state of the agent the earliest and the latest state of the log that can exist beside it: whatever the
/// agent has a receipt or checkpoint for is durable there, and whatever is there was sealed here before.
fn reachable(agent: &History, log: &History) -> anyhow::Result<Vec<(usize, usize)>> {
    let logs = (0..=log.ends.len())
        .map(|c| log.look(c, |db| Ok((log_size(db), digests(db, HELD)?))))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut pairs = BTreeSet::new();
    for a in 0..=agent.ends.len() {
        let (sealed, receipted, seen) = agent.look(a, |db| {
            let note: Vec<u8> = db
                .query_row("SELECT value FROM seen WHERE name = 'checkpoint'", [], |row| row.get(0))
                .unwrap_or_default();
            let seen = note::read_unverified(&String::from_utf8(note)?).map_or(0, |checkpoint| checkpoint.size);
            Ok((digests(db, SEALED)?, digests(db, RECEIPTED)?, seen))
        })?;
        let earliest = logs.iter().position(|(size, held)| *size >= seen && held.is_superset(&receipted));
        let latest = logs.iter().rposition(|(_, held)| held.is_subset(&sealed));
        let (Some(earliest), Some(latest)) = (earliest, latest) else { bail!("no log state fits agent commit {a}") };
        ensure!(earliest <= latest, "agent commit {a}: the log had to be at {earliest} and could only be at {latest}");
        pairs.extend([(a, earliest), (a, latest)]);
    }
    Ok(pairs.into_iter().collect())
}

// --- inside one commit ---------------------------------------------------------------------------------------------

/// How long every fsync takes while a process is slowed.
const SYNC: Duration = Duration::from_millis(400);

/// Slows every fsync of a process for as long as it lives.
struct Slowed(Child);

impl Slowed {
    /// `None`, with the reason printed, where that is not possible.
    fn new(id: u32) -> Option<Self> {
        let inject = format!("inject=fdatasync,fsync:delay_enter={}", SYNC.as_micros());
        let spawned = Command::new("strace")
            .args(["-f", "-qq", "-e", "trace=fdatasync,fsync", "-e", &inject, "-o", "/dev/null", "-p", &id.to_string()])
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = spawned else {
            eprintln!("skipped: there is no strace");
            return None;
        };
        std::thread::sleep(Duration::from_millis(500));
        if child.try_wait().is_ok_and(|ended| ended.is_some()) {
            eprintln!("skipped: strace may not attach");
            return None;
        }
        Some(Self(child))
    }
}

impl Drop for Slowed {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

fn agent_db(lab: &Lab) -> PathBuf {
    lab.agents[0].state().join("agent.db")
}

fn log_db(lab: &Lab) -> PathBuf {
    lab.collector.dir().join("data/log.db")
}

/// What another process sees, which is what has been synced.
fn visible(path: &Path, sql: &str) -> anyhow::Result<BTreeSet<Vec<u8>>> {
    digests(&outcome::read_only(path)?, sql)
}

/// Nothing is receipted that the log does not hold, and the log holds nothing that was not sealed. The follower is read
/// after the leader: both only grow.
fn check_order(lab: &Lab) -> anyhow::Result<()> {
    let receipted = visible(&agent_db(lab), RECEIPTED)?;
    let held = visible(&log_db(lab), HELD)?;
    ensure!(receipted.is_subset(&held), "a receipt for what the log does not hold");
    let sealed = visible(&agent_db(lab), SEALED)?;
    ensure!(held.is_subset(&sealed), "the log holds what the agent had not made durable");
    Ok(())
}

/// The length of a write-ahead log up to the last commit that others see, from its index alone: to open the database
/// would bring back what was written and not synced.
fn visible_end(path: &Path) -> anyhow::Result<u64> {
    let mut index = path.as_os_str().to_owned();
    index.push("-shm");
    let index = fs::read(PathBuf::from(index))?;
    // Page size and last valid frame, in the byte order of this machine.
    let page = u64::from(u16::from_ne_bytes(index.get(14..16).context("no index")?.try_into()?));
    let frames = u64::from(u32::from_ne_bytes(index.get(16..20).context("no index")?.try_into()?));
    Ok(if frames == 0 { 0 } else { 32 + frames * (24 + page) })
}

/// Throws away what no commit has made durable, as a power cut may. Returns whether there was any.
fn forget_unsynced(path: &Path, end: u64) -> anyhow::Result<bool> {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let wal = fs::OpenOptions::new().write(true).open(PathBuf::from(wal))?;
    let length = wal.metadata()?.len();
    wal.set_len(end.min(length))?;
    Ok(end < length)
}

/// Kills inside a commit, with the commit kept and thrown away, several times.
fn cut_inside_commits(seed: u64, collector: bool) -> anyhow::Result<()> {
    let mut lab = running()?;
    let corpus = corpus(seed)?;
    drop_export(&lab.agents[0], &corpus, 0)?;
    check_end(&lab, &expected(&lab)?)?;
    let mut random = Random::new(seed);
    let mut thrown_away = 0;
    for round in 1..=9 {
        let id = if collector { lab.collector.id() } else { lab.agents[0].id() };
        let Some(slowed) = Slowed::new(id.context("not running")?) else { return Ok(()) };
        let database = if collector { log_db(&lab) } else { agent_db(&lab) };
        let before = visible(&log_db(&lab), HELD_URGENT)?;
        let start = Instant::now();
        drop_export(&lab.agents[0], &corpus, round)?;
        // Some rounds go through, others are cut at any time on the way.
        let cut = (round % 3 != 0).then(|| Duration::from_millis(100 + random.below(900)));
        lab.wait_until("a slow commit is over, or cut", PATIENCE, || {
            check_order(&lab)?;
            let arrived = visible(&log_db(&lab), HELD_URGENT)?.len() > before.len();
            // An agent syncs what it has read, then what it has sealed; a collector what it has taken.
            let syncs = if collector { 1 } else { 2 };
            ensure!(!arrived || start.elapsed() >= SYNC * syncs, "durable sooner than it can be synced");
            Ok(arrived || cut.is_some_and(|cut| start.elapsed() >= cut))
        })?;
        if cut.is_some() {
            if collector {
                lab.collector.kill()?;
            } else {
                lab.agents[0].kill()?;
            }
            // Before anything opens it again.
            let end = visible_end(&database)?;
            if round % 2 == 0 {
                thrown_away += u32::from(forget_unsynced(&database, end)?);
            }
        }
        drop(slowed);
        check_order(&lab)?;
        if cut.is_some() {
            if collector { lab.collector.start().map(drop)? } else { lab.agents[0].start()? }
        }
        check_end(&lab, &expected(&lab)?).with_context(|| format!("round {round}, cut {cut:?}"))?;
        check_order(&lab)?;
    }
    eprintln!("{thrown_away} commits thrown away");
    Ok(())
}

#[test]
fn a_collector_cut_inside_a_commit_has_not_receipted_it() {
    outcome::seeded(|seed| cut_inside_commits(seed, true)).unwrap();
}

#[test]
fn an_agent_cut_inside_a_commit_has_not_sent_it() {
    outcome::seeded(|seed| cut_inside_commits(seed, false)).unwrap();
}

#[test]
fn a_collector_that_cannot_commit_receipts_nothing() {
    outcome::seeded(|seed| {
        let mut lab = running()?;
        let corpus = corpus(seed)?;
        drop_export(&lab.agents[0], &corpus, 0)?;
        check_end(&lab, &expected(&lab)?)?;
        let gate = Connection::open(log_db(&lab))?;
        gate.busy_timeout(PATIENCE)?;
        gate.execute_batch("BEGIN IMMEDIATE")?;
        drop_export(&lab.agents[0], &corpus, 1)?;
        let waiting = |lab: &Lab| -> anyhow::Result<usize> {
            let sealed = visible(&agent_db(lab), SEALED)?;
            Ok(sealed.difference(&visible(&agent_db(lab), RECEIPTED)?).count())
        };
        lab.wait_until("a segment is sealed", PATIENCE, || Ok(waiting(&lab)? > 0))?;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            check_order(&lab)?;
            ensure!(waiting(&lab)? > 0, "receipted while nothing could be committed");
            std::thread::sleep(Duration::from_millis(20));
        }
        // The collector never got to commit.
        lab.collector.kill()?;
        gate.execute_batch("ROLLBACK")?;
        drop(gate);
        lab.collector.start()?;
        check_end(&lab, &expected(&lab)?)
    })
    .unwrap();
}

#[test]
fn a_derived_database_that_is_lost_or_from_another_day_is_made_anew() {
    outcome::seeded(|seed| {
        let mut lab = running()?;
        let corpus = corpus(seed)?;
        drop_export(&lab.agents[0], &corpus, 0)?;
        check_end(&lab, &expected(&lab)?)?;
        lab.collector.kill()?;
        let data = lab.collector.dir().join("data");
        let files = ["derived.db", "derived.db-wal", "derived.db-shm"];
        let old: BTreeMap<&str, Vec<u8>> =
            files.into_iter().filter_map(|name| Some((name, fs::read(data.join(name)).ok()?))).collect();
        for kind in ["lost", "old", "garbage"] {
            lab.collector.start()?;
            drop_export(&lab.agents[0], &corpus, kind.len() as u64)?;
            check_end(&lab, &expected(&lab)?).context(kind)?;
            lab.collector.kill()?;
            files.iter().for_each(|name| drop(fs::remove_file(data.join(name))));
            match kind {
                "old" => old.iter().try_for_each(|(name, content)| fs::write(data.join(name), content))?,
                "garbage" => fs::write(data.join("derived.db"), vec![7; 9000])?,
                _ => {}
            }
        }
        lab.collector.start()?;
        check_end(&lab, &expected(&lab)?)
    })
    .unwrap();
}
