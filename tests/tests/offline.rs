//! Offline: findings are made while no collector has ever answered, everything restarts, and all of them arrive once.
//! And back-pressure: a small outbox lets the source rest, drops nothing, and goes on when the collector comes.
//!
//! The long run makes 200,000 findings:
//! `cargo test --release -p watchpost-tests --test offline -- --ignored --nocapture`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use watchpost_tests::corpus::{Corpus, Settings};
use watchpost_tests::lab::{Lab, finding_names};
use watchpost_tests::outcome;
use watchpost_tests::proxy::Proxy;

const HOUR_MS: u64 = 60 * 60 * 1000;

/// Messages that each make a finding, from the last hours.
fn corpus(seed: u64, messages: u64) -> anyhow::Result<Corpus> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    Ok(Corpus::new(Settings {
        seed,
        messages,
        planted_one_in: 1,
        first_msgtime_ms: now - 10 * HOUR_MS,
        step_ms: 9 * HOUR_MS / messages,
        ..Settings::default()
    }))
}

/// A lab whose agent dials a proxy with nobody behind it, and the corpus in its folder, in ten overlapping exports.
fn offline(corpus: &Corpus, extra: &str) -> anyhow::Result<(Lab, Proxy)> {
    let lab = Lab::new(1)?;
    let proxy = Proxy::start("127.0.0.1:1".parse()?)?;
    lab.agents[0].configure(proxy.address(), extra)?;
    corpus.write_overlapping(&lab.agents[0].exports(), 10, corpus.settings().messages / 50)?;
    Ok((lab, proxy))
}

#[test]
fn findings_made_offline_arrive_once_after_restarts() {
    outcome::seeded(|seed| made_offline(seed, 20_000, Duration::from_secs(120))).unwrap();
}

#[test]
#[ignore = "takes minutes; see the head of this file"]
fn two_hundred_thousand_findings_made_offline_arrive_once_after_restarts() {
    outcome::seeded(|seed| made_offline(seed, 200_000, Duration::from_secs(900))).unwrap();
}

fn made_offline(seed: u64, findings: u64, patience: Duration) -> anyhow::Result<()> {
    let corpus = corpus(seed, findings)?;
    let (mut lab, proxy) = offline(&corpus, "[outbox]\nbytes_max = \"2GiB\"\n")?;
    let expected = finding_names(&lab.agents[0].scan(&[&lab.agents[0].exports()])?)?;
    ensure!(expected.len() as u64 >= findings, "{} findings", expected.len());
    lab.agents[0].start()?;
    lab.wait_until("everything is read", patience, || {
        let status = outcome::status(&lab.agents[0])?;
        let files = outcome::files(&status)?;
        Ok(files.len() == 10 && files.iter().all(|file| file["state"] == "done"))
    })?;
    let waiting = outcome::status(&lab.agents[0])?["backlog"]["urgent"].as_u64();
    // And the self-check of its start.
    ensure!(waiting == Some(expected.len() as u64 + 1), "{waiting:?} wait, {} were made", expected.len());

    // One is killed, the other restarts in good order.
    lab.agents[0].kill()?;
    lab.collector.start()?;
    lab.collector.stop()?;
    lab.agents[0].start()?;
    proxy.set_upstream(lab.collector.start()?);
    outcome::wait_for_findings(&lab, &expected, patience)?;
    outcome::wait_until_drained(&lab, patience)?;
    outcome::check_chains(&lab)?;
    outcome::check_nobody_quarantined(&lab.collector)
}

#[test]
fn a_full_outbox_lets_the_source_rest_and_drops_nothing() {
    outcome::seeded(|seed| {
        let corpus = corpus(seed, 10_000)?;
        let (mut lab, proxy) = offline(&corpus, "[outbox]\nbytes_max = \"1MiB\"\n[source]\nbatch_bytes = \"64KiB\"\n")?;
        let expected = finding_names(&lab.agents[0].scan(&[&lab.agents[0].exports()])?)?;
        lab.agents[0].start()?;
        let patience = Duration::from_secs(120);
        lab.wait_until("the source rests", patience, || Ok(lab.agents[0].log().contains("OutboxFull")))?;
        let rested = outcome::status(&lab.agents[0])?;
        // It goes on listing.
        lab.agents[0].drop_export("late.jsonl", corpus.text(0..10).as_bytes())?;
        lab.wait_until("the late export waits", patience, || {
            Ok(outcome::file(&lab.agents[0], "late.jsonl")?.is_some_and(|file| file["state"] == "waiting"))
        })?;
        // Killed while it rests, it rests again.
        lab.agents[0].kill()?;
        lab.agents[0].start()?;
        std::thread::sleep(Duration::from_secs(2));
        let later = outcome::status(&lab.agents[0])?;
        ensure!(later["resting"] == "outbox_full", "{later}");
        let urgent = |status: &serde_json::Value| status["backlog"]["urgent"].clone();
        ensure!(urgent(&later) == urgent(&rested), "{} then {}", rested["backlog"], later["backlog"]);
        let bytes = later["backlog"]["bytes"].as_u64().context("no bytes")?;
        // One batch of 64 KiB of lines may go over the edge, and findings of it are larger than its lines.
        ensure!((900_000..1_500_000).contains(&bytes), "{bytes} bytes wait");
        let unread = outcome::files(&later)?.iter().filter(|file| file["state"] != "done").count();
        ensure!(unread >= 5, "only {unread} exports wait: {later}");

        proxy.set_upstream(lab.collector.start()?);
        outcome::wait_for_findings(&lab, &expected, patience)?;
        outcome::wait_until_drained(&lab, patience)?;
        ensure!(outcome::status(&lab.agents[0])?["resting"] == "", "it still rests");
        outcome::check_chains(&lab)
    })
    .unwrap();
}
