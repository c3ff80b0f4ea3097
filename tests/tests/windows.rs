//! Windows of messages, whatever dies: an agent whose rules look at many messages together is killed at random moments while exports come in another
//! order than they were written. In the end the collector shows the windows that a plain `scan` of the same files finds, with the same values.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use watchpost_tests::corpus::{Corpus, Random, Settings};
use watchpost_tests::lab::Lab;
use watchpost_tests::outcome;

const HOUR_MS: u64 = 60 * 60 * 1000;
const FILES: u64 = 24;
const MESSAGES: u64 = 9_600;
const STEP_MS: u64 = 4_000;
const TIMEOUT: Duration = Duration::from_secs(120);

/// Common enough in the corpus for every kind of window.
const PACK: &str = "pack: windows
version: 1
title: { zh: 时间窗口, en: Windows }
rules:
  - id: many
    title: { zh: 多条, en: many }
    category: c
    level: low
    scope: { from: employee }
    detection: { sent: { type: [text] }, condition: sent }
    window: { count: 5, within: 10m, by: [from] }
    disclose: none
  - id: spread
    title: { zh: 多人, en: to many }
    category: c
    level: low
    scope: { from: employee }
    detection: { sent: { type: [text, image] }, condition: sent }
    window: { distinct: to, at_least: 6, within: 15m, by: [from] }
    disclose: none
  - id: slow
    title: { zh: 无人回复, en: slow }
    category: c
    level: low
    scope: { from: external, to: employee }
    detection: { sent: { type: [text] }, condition: sent }
    window: { reply: 30m }
    disclose: none
";

#[test]
fn windows_hold_as_a_scan_says_through_kills_and_disorder() {
    outcome::seeded(run).unwrap();
}

fn run(seed: u64) -> anyhow::Result<()> {
    let mut random = Random::new(seed);
    let mut lab = Lab::new(1)?;
    let pack = lab.dir().join("windows.yaml");
    fs::write(&pack, PACK)?;
    let master = lab.dir().join("master");
    fs::create_dir(&master)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let corpus = Corpus::new(Settings {
        seed,
        messages: MESSAGES,
        planted_one_in: 0,
        first_msgtime_ms: now - MESSAGES * STEP_MS - HOUR_MS,
        step_ms: STEP_MS,
        employees: 12,
        customers: 30,
        ..Settings::default()
    });
    let mut files = corpus.write_overlapping(&master, FILES, 30)?;
    // What is measured last is told once nothing more can belong to it.
    let end = master.join("zzz-end.jsonl");
    fs::write(&end, later_line(now))?;
    let scanned = lab.agents[0].command(&[
        "scan",
        &master.display().to_string(),
        "--policy",
        &pack.display().to_string(),
        "--corp",
        watchpost_tests::lab::CORP,
        "--format",
        "jsonl",
    ])?;
    let expected = windows(&scanned.json_lines()?)?;
    for rule in ["many", "spread", "slow"] {
        ensure!(expected.iter().any(|window| window.0 == rule), "no window of {rule} in the corpus");
    }
    let collector = lab.collector.start()?;
    let extra =
        format!("[source]\nbatch_bytes = \"64KiB\"\nrescan = \"200ms\"\n[policy]\npacks = [\"{}\"]\n", pack.display());
    lab.agents[0].configure(collector, &extra)?;
    lab.agents[0].start()?;
    while !files.is_empty() {
        let file = files.swap_remove(random.below(files.len() as u64) as usize);
        drop_in(&lab, &file)?;
        std::thread::sleep(Duration::from_millis(random.below(250)));
        lab.agents[0].kill()?;
        lab.agents[0].start()?;
    }
    drop_in(&lab, &end)?;
    outcome::wait_until_drained(&lab, TIMEOUT)?;
    let mut found = BTreeSet::new();
    let waited = lab.wait_until("the collector shows the windows of a scan", TIMEOUT, || {
        found = windows(&lab.collector.json(&["finding", "list"])?)?;
        Ok(found == expected)
    });
    waited.with_context(|| {
        let only = |these: &BTreeSet<Seen>, those: &BTreeSet<Seen>| {
            format!("{:#?}", these.difference(those).take(9).collect::<Vec<_>>())
        };
        format!("only scanned: {}\nonly told: {}", only(&expected, &found), only(&found, &expected))
    })?;
    outcome::check_chains(&lab)?;
    outcome::check_nobody_quarantined(&lab.collector)
}

/// A message between two others, long after all.
fn later_line(now: u64) -> String {
    format!(
        r#"{{"msgid":"end","action":"send","from":"staff9998","tolist":["staff9999"],"roomid":"","msgtime":{},"msgtype":"voice","voice":{{"md5sum":"0f1e","voice_size":9,"play_length":1,"sdkfileid":"R"}}}}"#,
        now - HOUR_MS / 60
    ) + "\n"
}

fn drop_in(lab: &Lab, file: &std::path::Path) -> anyhow::Result<()> {
    let name = file.file_name().and_then(|name| name.to_str()).context("a file without a name")?;
    lab.agents[0].drop_export(name, &fs::read(file)?).map(|_| ())
}

/// Rule, first message, what was measured, from when to when.
type Seen = (String, String, i64, bool, i64, i64);

fn windows(rows: &[Value]) -> anyhow::Result<BTreeSet<Seen>> {
    let seen = |row: &Value| {
        let (text, window) = (|key: &str| row[key].as_str().map(str::to_owned), &row["window"]);
        let number = |key: &str| window[key].as_i64();
        let (value, open) = (number("value")?, window["open"].as_bool()?);
        Some((text("rule")?, text("msgid")?, value, open, number("first_msgtime")?, number("last_msgtime")?))
    };
    rows.iter().map(|row| seen(row).with_context(|| format!("no window in {row}"))).collect()
}
