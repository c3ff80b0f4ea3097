//! What must hold once the dust has settled: every finding there once, chains and log whole, nobody held back without
//! cause. The same checks end every fault test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::lab::{Agent, Collector, FindingName, Lab, finding_names};

/// Names the environment variable that repeats a run.
const SEED: &str = "WATCHPOST_SEED";

/// The seed from `WATCHPOST_SEED`, else one of this moment; printed, so that a failure can be repeated.
///
/// # Errors
/// The variable holds no number.
pub fn seed() -> anyhow::Result<u64> {
    let seed = match std::env::var(SEED) {
        Ok(text) => text.trim().parse().with_context(|| format!("{SEED} is no number: {text:?}"))?,
        Err(_) => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos() as u64 % 1_000_000_007,
    };
    eprintln!("{SEED}={seed}");
    Ok(seed)
}

/// Runs a test's body and shows the seed with its failure.
///
/// # Errors
/// Those of `body`.
pub fn seeded<T>(body: impl FnOnce(u64) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let seed = seed()?;
    body(seed).with_context(|| format!("repeat with {SEED}={seed}"))
}

/// An agent's `status --json`.
///
/// # Errors
/// The command fails, as it does before the first start.
pub fn status(agent: &Agent) -> anyhow::Result<Value> {
    let mut lines = agent.command_configured(&["status", "--json"])?.json_lines()?;
    lines.pop().context("status printed nothing")
}

/// Whether an agent has read every export that is there and everything it made of them is receipted, tallies and file
/// reports too.
///
/// # Errors
/// Those of [`status`].
pub fn is_drained(agent: &Agent) -> anyhow::Result<bool> {
    // In this order: what is told only afterwards is new.
    if !is_told(agent)? {
        return Ok(false);
    }
    let status = status(agent)?;
    let listed = files(&status)?;
    let read =
        listed.iter().all(|file| file["gone"] == true || file["state"] == "done" || file["state"] == "set_aside");
    let known: BTreeSet<&str> = listed.iter().filter_map(|file| file["path"].as_str()).collect();
    let present = std::fs::read_dir(agent.exports())?.collect::<Result<Vec<_>, _>>()?;
    let seen = present.iter().filter(|entry| entry.path().is_file()).all(|entry| {
        let path = entry.path().display().to_string();
        path.ends_with(".tmp") || known.contains(path.as_str())
    });
    Ok(read && seen && to_send(&status) == Some(0))
}

/// Whether every tally and file report is at least in the outbox.
fn is_told(agent: &Agent) -> anyhow::Result<bool> {
    let untold = "SELECT (SELECT count(*) FROM file WHERE reported < revision)
                       + (SELECT count(*) FROM tally WHERE reported < revision)";
    let untold: i64 = read_only(&agent.state().join("agent.db"))?.query_row(untold, [], |row| row.get(0))?;
    Ok(untold == 0)
}

/// Records without a receipt in a status, both lanes.
pub fn to_send(status: &Value) -> Option<u64> {
    Some(status["backlog"]["urgent"].as_u64()? + status["backlog"]["bulk"].as_u64()?)
}

/// The exports in a status.
///
/// # Errors
/// There is no list of them.
pub fn files(status: &Value) -> anyhow::Result<&Vec<Value>> {
    status["files"].as_array().context("no files in the status")
}

/// The export of this file name in an agent's status, if it is known.
///
/// # Errors
/// Those of [`status`].
pub fn file(agent: &Agent, name: &str) -> anyhow::Result<Option<Value>> {
    let path = agent.exports().join(name).display().to_string();
    Ok(files(&status(agent)?)?.iter().find(|file| file["path"] == path.as_str()).cloned())
}

/// The findings people can see at the collector; an error if one is there twice.
///
/// # Errors
/// Those of the command, or a doubled finding.
pub fn findings(collector: &Collector) -> anyhow::Result<BTreeSet<FindingName>> {
    finding_names(&collector.json(&["finding", "list"])?)
}

/// Waits until the collector shows exactly `expected`; says what is missing or too much when it does not.
///
/// # Errors
/// After `timeout`, or when a finding is there that is not expected: that cannot heal.
pub fn wait_for_findings(lab: &Lab, expected: &BTreeSet<FindingName>, timeout: Duration) -> anyhow::Result<()> {
    let mut last = BTreeSet::new();
    let waited = lab.wait_until("the collector shows every finding", timeout, || {
        last = match findings(&lab.collector) {
            Ok(found) => found,
            // Nothing is derived yet, or the command met the moment between two commits of a start.
            Err(error)
                if ["does not exist", "no such table"].iter().any(|not_yet| format!("{error:#}").contains(not_yet)) =>
            {
                BTreeSet::new()
            }
            Err(error) => return Err(error),
        };
        let extra: Vec<_> = last.difference(expected).take(5).collect();
        ensure!(extra.is_empty(), "findings that nobody expects: {extra:?}");
        Ok(last.len() == expected.len())
    });
    waited.with_context(|| {
        let missing: Vec<_> = expected.difference(&last).take(5).collect();
        format!("{} of {} findings; missing, among others: {missing:?}", last.len(), expected.len())
    })
}

/// Waits until every agent has read everything and is receipted.
///
/// # Errors
/// After `timeout`, with what is left.
pub fn wait_until_drained(lab: &Lab, timeout: Duration) -> anyhow::Result<()> {
    for agent in &lab.agents {
        let waited = lab.wait_until("the agent has read and sent everything", timeout, || is_drained(agent));
        waited.with_context(|| status(agent).map_or_else(|error| format!("{error:#}"), |status| unread(&status)))?;
    }
    Ok(())
}

fn unread(status: &Value) -> String {
    let files = status["files"].as_array().map(Vec::as_slice).unwrap_or_default();
    let left = files.iter().filter(|file| file["state"] != "done").take(10).collect::<Vec<_>>();
    format!("backlog {}, lanes {}, left: {left:?}", status["backlog"], status["lanes"])
}

/// Chains and log hold, sequences are contiguous. The agents and the collector may be running.
///
/// # Errors
/// Whatever does not hold.
pub fn check_chains(lab: &Lab) -> anyhow::Result<()> {
    for agent in &lab.agents {
        let verdict = agent.command_configured(&["outbox", "verify", "--json"])?;
        ensure!(verdict.status.success(), "outbox verify: {}{}", verdict.stdout, verdict.stderr);
    }
    let verdict = lab.collector.command(&["log", "verify", "--json"])?;
    ensure!(verdict.status.success(), "log verify: {}{}", verdict.stdout, verdict.stderr);
    check_sequences(&lab.collector)
}

/// Every lane's statements are numbered without a gap from 0 to its head.
fn check_sequences(collector: &Collector) -> anyhow::Result<()> {
    let db = read_only(&collector.dir().join("data/log.db"))?;
    let mut lanes = db.prepare(
        "SELECT lane.id, lane.next_sequence, count(sequence), coalesce(min(sequence), 0), coalesce(max(sequence), -1)
         FROM lane LEFT JOIN statement ON lane_id = lane.id GROUP BY lane.id",
    )?;
    let mut rows = lanes.query([])?;
    while let Some(row) = rows.next()? {
        let [id, next, count, first, last]: [i64; 5] =
            [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
        ensure!(
            count == next && first == 0 && last == next - 1,
            "lane {id} has {count} statements from {first} to {last}, and expects {next}"
        );
    }
    Ok(())
}

/// How each device stands at the collector: `active`, `quarantined` or `revoked`.
///
/// # Errors
/// Those of the command.
pub fn standings(collector: &Collector) -> anyhow::Result<BTreeMap<String, String>> {
    let devices = collector.json(&["device", "list"])?;
    let named = devices.iter().map(|device| {
        let text = |key: &str| device[key].as_str().map(str::to_owned).with_context(|| format!("no {key} in {device}"));
        Ok((text("device")?, text("state")?))
    });
    named.collect()
}

/// Nobody is held back, and no fork was kept.
///
/// # Errors
/// A device that is, or a fork.
pub fn check_nobody_quarantined(collector: &Collector) -> anyhow::Result<()> {
    let held: Vec<_> = standings(collector)?.into_iter().filter(|(_, state)| state != "active").collect();
    if !held.is_empty() {
        bail!("held back: {held:?}\n{:?}", collector.json(&["device", "list"])?);
    }
    let forks: i64 =
        read_only(&collector.dir().join("data/log.db"))?
            .query_row("SELECT count(*) FROM fork", [], |row| row.get(0))?;
    ensure!(forks == 0, "{forks} forks");
    Ok(())
}

/// Counts of one account and hour: sent, received, flagged.
pub type Counts = (u64, u64, u64);

/// The tallies derived from one device's records, by account (`corp/userid`) and hour since 1970.
///
/// # Errors
/// What SQLite said.
pub fn tallies(collector: &Collector, device: &[u8]) -> anyhow::Result<BTreeMap<(String, u64), Counts>> {
    let db = read_only(&collector.dir().join("data/derived.db"))?;
    let mut select = db.prepare(
        "SELECT account, hour, sent, received, flagged FROM tally
         JOIN device ON device.id = tally.device WHERE device.device = ?1",
    )?;
    let rows =
        select.query_map([device], |row| Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?, row.get(4)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Opens a database of a process that may be running.
///
/// # Errors
/// What SQLite said.
pub fn read_only(path: &Path) -> anyhow::Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| path.display().to_string())?;
    db.busy_timeout(Duration::from_secs(10))?;
    Ok(db)
}
