//! Whoever looks a message up on an archive host leaves a record with the collector, whether an agent runs there or not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::time::{Duration, SystemTime};

use watchpost_collector::config::Config;
use watchpost_collector::derive;
use watchpost_collector::lookups::{self, Lookup};
use watchpost_tests::lab::{CORP, Lab};

const PATIENCE: Duration = Duration::from_secs(60);

fn line(msgid: &str, from: &str, text: &str) -> String {
    let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let message = serde_json::json!({
        "msgid": msgid, "action": "send", "from": from, "tolist": ["wmInVeNtEd000001customerAAAAAAAA"], "roomid": "",
        "msgtime": now_ms as u64, "msgtype": "text", "text": { "content": text },
    });
    format!("{message}\n")
}

fn lab() -> Lab {
    let mut lab = Lab::new(1).unwrap();
    let address = lab.collector.start().unwrap();
    let agent = &lab.agents[0];
    let accounts = format!("corp,userid,name,labels,never\n{CORP},li.na,,,\n{CORP},gong.hui,,,true\n");
    fs::write(agent.dir().join("accounts.csv"), accounts).unwrap();
    agent.configure(address, "[accounts]\nfile = \"accounts.csv\"\n").unwrap();
    let lines = [
        line("m1", "li.na", "早上好\u{1b}[31m"),
        line("m2", "gong.hui", "保密"),
        line("m3", "somebody", "别人的"),
        line("m/4", "li.na", "斜杠"),
    ];
    agent.drop_export("a.jsonl", lines.concat().as_bytes()).unwrap();
    lab
}

fn known(lab: &Lab) -> Vec<Lookup> {
    let config = Config::load(&lab.collector.dir().join("collector.toml")).unwrap();
    derive::open_read_only(&config.derived_db()).map(|db| lookups::list(&db, 100).unwrap()).unwrap_or_default()
}

/// Looks a message up; the exit code, what was shown, and what was said beside it.
fn look(lab: &Lab, msgid: &str) -> (Option<i32>, String, String) {
    let done = lab.agents[0].command_configured(&["lookup", msgid, "--reason", "case 7"]).unwrap();
    (done.status.code(), done.stdout, done.stderr)
}

fn wait_for(lab: &Lab, count: usize) -> Vec<Lookup> {
    lab.wait_until("the collector knows who looked", PATIENCE, || Ok(known(lab).len() >= count)).unwrap();
    known(lab)
}

#[test]
fn a_look_is_recorded_while_the_agent_runs() {
    let mut lab = lab();
    lab.agents[0].start().unwrap();
    let (code, shown, _) = look(&lab, "m1");
    assert_eq!(code, Some(0));
    assert!(shown.contains("早上好") && shown.contains("li.na") && !shown.contains('\u{1b}'), "{shown}");
    assert!(look(&lab, "m/4").1.contains("斜杠"), "an id that JSON may write otherwise");
    for (msgid, secret) in [("m2", "保密"), ("m3", "别人的"), ("nowhere", "早上好")] {
        let (code, shown, said) = look(&lab, msgid);
        assert_eq!((code, shown.as_str()), (Some(1), ""), "{msgid}");
        assert!(said.contains("No message") && !said.contains(secret), "{said}");
    }
    let told = wait_for(&lab, 5);
    let mut told: Vec<_> = told.iter().rev().map(|it| (it.msgid.as_str(), it.found, it.reason.as_str())).collect();
    told.sort_unstable();
    let reason = "case 7";
    let expected = [
        ("m/4", true, reason),
        ("m1", true, reason),
        ("m2", false, reason),
        ("m3", false, reason),
        ("nowhere", false, reason),
    ];
    assert_eq!(told, expected);
    let one = known(&lab).remove(0);
    assert!(!one.by.is_empty() && one.corp == CORP && one.at_ms > 0, "{one:?}");
    assert_eq!(fs::read_dir(lab.agents[0].state().join("lookups")).unwrap().count(), 0, "what was taken is gone");
}

#[test]
fn a_look_is_recorded_while_no_agent_runs_and_told_when_one_does() {
    let mut lab = lab();
    let bare = lab.agents[0].command_configured(&["lookup", "m1"]).unwrap();
    assert_eq!((bare.status.code(), bare.stdout.as_str()), (Some(2), ""), "nobody looks without a reason");
    assert!(look(&lab, "m1").1.contains("早上好"));
    assert!(known(&lab).is_empty());
    lab.agents[0].start().unwrap();
    let told = wait_for(&lab, 1);
    assert_eq!(told.iter().map(|it| (it.msgid.as_str(), it.found)).collect::<Vec<_>>(), [("m1", true)]);
}
