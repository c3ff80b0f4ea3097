//! Each state a device may be in, brought about with real processes: quiet, offline, blind, starved, behind. And the last words of an agent.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs::{self, File};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use watchpost_tests::lab::{CORP, Lab};
use watchpost_tests::outcome;
use watchpost_tests::proxy::Proxy;

const PATIENCE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A message that makes one finding.
fn hit(msgid: &str) -> String {
    let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let message = serde_json::json!({
        "msgid": msgid, "action": "send", "from": "li.na", "tolist": ["wmInVeNtEd000001customerAAAAAAAA"], "roomid": "",
        "msgtime": now_ms as u64, "msgtype": "text", "text": { "content": "您加我私人微信吧，这款理财产品保本保收益" },
    });
    format!("{message}\n")
}

/// The health of the one device, as the collector shows it.
fn health(lab: &Lab) -> anyhow::Result<Option<Value>> {
    // Before anything is derived there is nothing to show.
    let Ok(shown) = lab.collector.json(&["health"]) else { return Ok(None) };
    Ok(shown.first().and_then(|fleet| fleet["devices"].get(0)).cloned())
}

/// Every state and reason, the worst first.
fn states(health: &Value) -> Vec<(String, String)> {
    let word = |standing: &Value, key: &str| standing[key].as_str().unwrap_or_default().to_owned();
    let standings = health["standings"].as_array();
    standings.into_iter().flatten().map(|it| (word(it, "state"), word(it, "reason"))).collect()
}

fn wait_for(lab: &Lab, state: &str, reason: &str) -> Value {
    let mut last = None;
    let waited = lab.wait_until(&format!("the device is {state} ({reason})"), PATIENCE, || {
        last = health(lab)?;
        let states = last.as_ref().map(states).unwrap_or_default();
        Ok(states.first().is_some_and(|first| (&*first.0, &*first.1) == (state, reason)))
    });
    waited.map_err(|error| format!("{error:#}\n{last:#?}")).unwrap();
    last.unwrap()
}

#[test]
fn a_device_that_finds_nothing_is_quiet_and_one_that_finds_is_well() {
    let mut lab = Lab::new(1).unwrap();
    lab.start().unwrap();
    wait_for(&lab, "quiet", "nothing_found");
    let status = outcome::status(&lab.agents[0]).unwrap();
    assert_eq!((&status["self_check"]["number"], &status["self_check"]["failed"]), (&1.into(), &"".into()));
    assert!(lab.agents[0].command_configured(&["status"]).unwrap().ok().unwrap().contains("self-check 1 came through"));
    lab.agents[0].drop_export("a.jsonl", hit("m1").as_bytes()).unwrap();
    wait_for(&lab, "well", "found");
    let ended = lab.collector.command(&["health", "--exit-code"]).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    // The self-check is neither a finding nor a file nor a tally anywhere.
    outcome::wait_until_drained(&lab, PATIENCE).unwrap();
    let findings = lab.collector.json(&["finding", "list"]).unwrap();
    assert!(findings.iter().all(|finding| finding["msgid"] == "m1"), "{findings:#?}");
    lab.wait_until("the file is seen", PATIENCE, || Ok(!lab.collector.json(&["file", "list"])?.is_empty())).unwrap();
    let files = lab.collector.json(&["file", "list"]).unwrap();
    assert!(files.iter().all(|file| file["corp"] == CORP) && files.len() == 1, "{files:#?}");
    let days = lab.collector.json(&["coverage"]).unwrap();
    assert!(days.iter().all(|day| day["account"] == format!("{CORP}/li.na")), "{days:#?}");
    let device = lab.agents[0].device().to_string();
    let shown = lab.collector.json(&["device", "show", &device, "--health"]).unwrap();
    assert_eq!(shown[0]["health"]["state"], "well");
    let listed = lab.collector.command(&["device", "list", "--health"]).unwrap().ok().unwrap();
    assert!(listed.lines().next().unwrap().ends_with("HEALTH\tSINCE") && listed.contains("\twell\t"), "{listed}");
    // A restart on the same day under the same policy is no reason for another one.
    lab.agents[0].stop().unwrap();
    lab.agents[0].start().unwrap();
    wait_for(&lab, "well", "found");
    assert_eq!(outcome::status(&lab.agents[0]).unwrap()["self_check"]["number"], 1);
    // Another policy is.
    lab.agents[0].stop().unwrap();
    let packs = "[policy]\npacks = [\"builtin:bribery\"]\n";
    lab.agents[0].configure(lab.collector.address().unwrap(), packs).unwrap();
    lab.agents[0].start().unwrap();
    lab.wait_until("the new policy is checked", PATIENCE, || {
        Ok(outcome::status(&lab.agents[0])?["self_check"]["number"] == 2)
    })
    .unwrap();
}

#[test]
fn a_device_is_offline_with_its_goodbye_or_without() {
    let mut lab = Lab::new(1).unwrap();
    lab.start().unwrap();
    wait_for(&lab, "quiet", "nothing_found");
    // Killed: no last word.
    lab.agents[0].kill().unwrap();
    let gone = wait_for(&lab, "offline", "no_goodbye");
    assert!(gone["standings"][0]["since_ms"].as_u64().is_some_and(|ms| ms > 0));
    let ended = lab.collector.command(&["health", "--exit-code"]).unwrap();
    assert_eq!(ended.status.code(), Some(3), "{}", ended.stderr);
    assert!(ended.stdout.contains("未道别即失联") && ended.stdout.contains("without a goodbye"), "{}", ended.stdout);
    lab.agents[0].start().unwrap();
    wait_for(&lab, "quiet", "nothing_found");
    // Stopped: it says so, and its stop takes no longer than it may.
    let began = Instant::now();
    assert!(lab.agents[0].stop().unwrap().unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    wait_for(&lab, "offline", "stopped");
    // What is said is receipted before the end.
    let status = outcome::status(&lab.agents[0]).unwrap();
    assert_eq!(status["backlog"]["urgent"], 0, "{status:#?}");
    lab.agents[0].start().unwrap();
    wait_for(&lab, "quiet", "nothing_found");
    // The goodbye is over: killed now, it has said none.
    outcome::wait_until_drained(&lab, PATIENCE).unwrap();
    lab.agents[0].kill().unwrap();
    wait_for(&lab, "offline", "no_goodbye");
    lab.agents[0].start().unwrap();
    wait_for(&lab, "quiet", "nothing_found");
    // Removed: while the agent runs nobody can say so for it.
    let busy = lab.agents[0].command_configured(&["goodbye", "--uninstalled"]).unwrap();
    assert!(!busy.status.success() && busy.stderr.contains("another agent is using"), "{}", busy.stderr);
    lab.agents[0].stop().unwrap();
    lab.agents[0].command_configured(&["goodbye", "--uninstalled"]).unwrap().ok().unwrap();
    wait_for(&lab, "offline", "uninstalled");
    lab.agents[0].start().unwrap();
    wait_for(&lab, "quiet", "nothing_found");
    // Of a collector that does not run nobody knows.
    lab.collector.stop().unwrap();
    fs::remove_file(lab.collector.dir().join("data/live.json")).unwrap();
    assert_eq!(states(&health(&lab).unwrap().unwrap()), [("unknown".to_owned(), "no_server".to_owned())]);
}

#[test]
fn a_goodbye_that_cannot_be_sent_delays_nothing_and_is_sent_by_the_next_start() {
    let mut lab = Lab::new(1).unwrap();
    lab.start().unwrap();
    wait_for(&lab, "quiet", "nothing_found");
    lab.collector.stop().unwrap();
    let began = Instant::now();
    assert!(lab.agents[0].stop().unwrap().unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    lab.collector.start().unwrap();
    wait_for(&lab, "offline", "no_goodbye");
    lab.agents[0].start().unwrap();
    outcome::wait_until_drained(&lab, PATIENCE).unwrap();
    wait_for(&lab, "quiet", "nothing_found");
}

#[test]
fn a_device_is_blind_when_a_folder_cannot_be_read_and_sees_when_it_can() {
    let mut lab = Lab::new(1).unwrap();
    lab.start().unwrap();
    wait_for(&lab, "quiet", "nothing_found");
    let (exports, away) = (lab.agents[0].exports(), lab.agents[0].dir().join("away"));
    fs::rename(&exports, &away).unwrap();
    fs::write(&exports, "a file where the folder was").unwrap();
    let blind = wait_for(&lab, "blind", "folder_unreadable");
    assert!(blind["standings"][0]["en"].as_str().unwrap().contains("not_a_folder"), "{blind:#?}");
    let told = lab.agents[0].command_configured(&["status"]).unwrap().ok().unwrap();
    assert!(told.contains("UNREADABLE") && told.contains("not_a_folder"), "{told}");
    fs::remove_file(&exports).unwrap();
    fs::rename(&away, &exports).unwrap();
    wait_for(&lab, "quiet", "nothing_found");
}

#[test]
fn a_device_is_blind_when_its_self_check_does_not_come_through() {
    let mut lab = Lab::new(1).unwrap();
    let address = lab.collector.start().unwrap();
    lab.agents[0].configure(address, "").unwrap();
    fs::create_dir(lab.agents[0].state()).unwrap();
    let own = lab.agents[0].state().join("self-check");
    fs::write(&own, "in the way").unwrap();
    lab.agents[0].start().unwrap();
    wait_for(&lab, "blind", "not_written");
    let status = outcome::status(&lab.agents[0]).unwrap();
    assert_eq!(status["self_check"]["failed"], "not_written");
    let told = lab.agents[0].command_configured(&["status"]).unwrap().ok().unwrap();
    assert!(told.contains("BLIND") && told.contains("could not be written"), "{told}");
    // It goes on reading meanwhile.
    lab.agents[0].drop_export("a.jsonl", hit("m1").as_bytes()).unwrap();
    lab.wait_until("it is found", PATIENCE, || Ok(!lab.collector.json(&["finding", "list"])?.is_empty())).unwrap();
    fs::remove_file(&own).unwrap();
    lab.agents[0].stop().unwrap();
    lab.agents[0].start().unwrap();
    wait_for(&lab, "well", "found");
}

#[test]
fn a_device_is_starved_when_exports_stop_coming() {
    let mut lab = Lab::new(1).unwrap();
    let address = lab.collector.start().unwrap();
    fs::create_dir(lab.agents[0].dir().join("late")).unwrap();
    let extra = "[[folder]]\npath = \"late\"\ncorp = \"ww2\"\nexpect = \"every 2h\"\n";
    lab.agents[0].configure(address, extra).unwrap();
    let old = lab.agents[0].dir().join("late/old.jsonl");
    fs::write(&old, "").unwrap();
    File::options().write(true).open(&old).unwrap().set_modified(SystemTime::now() - 3 * HOUR).unwrap();
    lab.agents[0].start().unwrap();
    let starved = wait_for(&lab, "starved", "no_export");
    assert!(starved["standings"][0]["zh"].as_str().unwrap().contains("ww2"), "{starved:#?}");
    fs::write(lab.agents[0].dir().join("late/new.jsonl"), "").unwrap();
    wait_for(&lab, "quiet", "nothing_found");
}

#[test]
fn a_device_is_behind_when_it_rests_for_want_of_a_line() {
    let mut lab = Lab::new(1).unwrap();
    let address = lab.collector.start().unwrap();
    let proxy = Proxy::start(address).unwrap();
    proxy.set_refuse(true);
    let extra = "[outbox]\nbytes_max = \"1MiB\"\n[uplink]\nheartbeat = \"3s\"\n";
    lab.agents[0].configure(proxy.address(), extra).unwrap();
    lab.agents[0].start().unwrap();
    for file in 0..12 {
        let export: String = (0..1_000).map(|n| hit(&format!("m{file}-{n}"))).collect();
        lab.agents[0].drop_export(&format!("{file}.jsonl"), export.as_bytes()).unwrap();
    }
    lab.wait_until("the outbox is full", PATIENCE, || Ok(outcome::status(&lab.agents[0])?["resting"] == "outbox_full"))
        .unwrap();
    // A line that carries heartbeats, and too little else.
    proxy.set_rate(Some(120_000));
    proxy.set_refuse(false);
    wait_for(&lab, "behind", "outbox_full");
    proxy.set_rate(None);
    wait_for(&lab, "well", "found");
    outcome::wait_until_drained(&lab, 2 * PATIENCE).unwrap();
}
