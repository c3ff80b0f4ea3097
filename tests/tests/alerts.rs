//! Alerts as the people who deal with them see them: from the command line, with a collector running, killed and stopped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

use std::time::Duration;

use serde_json::Value;
use watchpost_tests::lab::Lab;
use watchpost_tests::outcome;

const PATIENCE: Duration = Duration::from_secs(60);

/// A lab in which exports with findings of several rules have arrived.
fn lab() -> Lab {
    let mut lab = Lab::new(1).unwrap();
    lab.start().unwrap();
    let line = |number: u32, text: &str| {
        let message = serde_json::json!({
            "msgid": format!("m{number}"), "action": "send", "from": "li.na", "tolist": ["wmInVeNtEd000001customerAAAAAAAA"], "roomid": "",
            "msgtime": 1_772_416_800_000_u64 + u64::from(number), "msgtype": "text", "text": { "content": text },
        });
        format!("{message}\n")
    };
    let export = line(1, "这款理财产品保本保收益，稳赚不赔")
        + &line(2, "加我私人微信，钱转到我个人账户")
        + &line(3, "保本保收益");
    lab.agents[0].drop_export("day.jsonl", export.as_bytes()).unwrap();
    lab.wait_until("there are alerts", PATIENCE, || Ok(list(&lab, &[]).len() >= 3)).unwrap();
    outcome::wait_until_drained(&lab, PATIENCE).unwrap();
    lab
}

fn list(lab: &Lab, more: &[&str]) -> Vec<Value> {
    lab.collector.json(&[&["alert", "list"], more].concat()).unwrap_or_default()
}

fn show(lab: &Lab, id: &str) -> Value {
    lab.collector.json(&["alert", "show", id]).unwrap().remove(0)
}

/// Runs a command as an operator; the sentence it failed with, where it did.
fn act(lab: &Lab, by: &str, arguments: &[&str]) -> Result<String, String> {
    lab.collector.command(&[arguments, &["--by", by]].concat()).unwrap().ok().map_err(|error| format!("{error:#}"))
}

#[test]
fn alerts_are_dealt_with_from_the_queue_to_the_end() {
    let mut lab = lab();
    let all = list(&lab, &[]);
    let due: Vec<i64> = all.iter().map(|alert| alert["take_by_ms"].as_i64().unwrap_or(i64::MAX)).collect();
    assert!(due.is_sorted(), "the most urgent first: {due:?}");
    let id = all[0]["alert"].as_str().unwrap().to_owned();
    act(&lab, "wang", &["alert", "take", &id]).unwrap();
    let told = act(&lab, "zhao", &["alert", "take", &id]).unwrap_err();
    assert!(told.contains("does not fit"), "{told}");
    act(&lab, "wang", &["alert", "note", &id, "--note", "电话已问过支行"]).unwrap();
    act(&lab, "wang", &["alert", "step", &id, "--number", "1"]).unwrap();
    let told = act(&lab, "wang", &["alert", "close", &id, "--as", "false-alarm"]).unwrap_err();
    assert!(told.contains("write why"), "{told}");

    // What was said is in the log before the command ends.
    lab.collector.kill().unwrap();
    lab.collector.start().unwrap();
    lab.wait_until("it shows", PATIENCE, || Ok(show(&lab, &id)["assignee"] == "wang")).unwrap();
    let shown = show(&lab, &id);
    assert_eq!((&shown["state"], &shown["steps_done"][0]), (&"taken".into(), &1.into()));
    let history: Vec<_> = shown["history"].as_array().unwrap().iter().map(|it| it["what"].as_str().unwrap()).collect();
    assert_eq!(history, ["opened", "taken", "noted", "step"]);
    assert_eq!(shown["history"][2]["note"], "电话已问过支行");
    let text = lab.collector.command(&["alert", "show", &id]).unwrap().ok().unwrap();
    assert!(text.contains("[x]\t1") && text.contains("电话已问过支行") && text.contains("take by"), "{text}");

    // A whole group at once, also while no collector runs.
    lab.collector.stop().unwrap();
    let rule = all[0]["rule"].as_str().unwrap();
    act(&lab, "wang", &["alert", "close", "--rule", rule, "--as", "confirmed"]).unwrap();
    assert!(list(&lab, &["--rule", rule]).is_empty(), "nothing of it is to be done");
    let closed = list(&lab, &["--rule", rule, "--state", "closed"]);
    assert!(closed.iter().all(|alert| alert["ending"] == "confirmed" && alert["closed_by"] == "wang"), "{closed:?}");
    let nothing = act(&lab, "wang", &["alert", "close", "--rule", rule, "--as", "confirmed"]).unwrap_err();
    assert!(nothing.contains("no alert is about that"), "{nothing}");
    let vague = act(&lab, "wang", &["alert", "close", "--as", "confirmed"]).unwrap_err();
    assert!(vague.contains("choose them"), "{vague}");
    lab.collector.start().unwrap();
    act(&lab, "li.na", &["alert", "appeal", &id, "--note", "是引用别人的话"]).unwrap();
    assert_eq!(list(&lab, &["--appealed"]).len(), 1);
    act(&lab, "wang", &["alert", "appeal", &id, "--grant", "--note", "x"]).unwrap_err();
    act(&lab, "boss", &["alert", "appeal", &id, "--grant", "--note", "属实"]).unwrap();
    assert_eq!(show(&lab, &id)["ending"], "false-alarm");
    let precision = lab.collector.json(&["alert", "precision"]).unwrap();
    let of_rule = precision.iter().find(|it| it["rule"] == rule).unwrap();
    assert!(of_rule["false_alarms"].as_u64() >= Some(1), "{of_rule}");
    lab.collector.command(&["log", "verify"]).unwrap().ok().unwrap();
}

#[test]
fn settings_cases_and_suppressions_are_set_by_command() {
    let lab = lab();
    let all = list(&lab, &[]);
    let (id, person) = (all[0]["alert"].as_str().unwrap(), all[0]["person"].as_str().unwrap());
    let presets = lab.collector.command_bare(&["setting", "presets"]).unwrap().ok().unwrap();
    let file = lab.collector.dir().join("response.json");
    std::fs::write(&file, presets.replace("\"take\":\"10m\"", "\"take\":\"9m\"")).unwrap();
    let file = file.to_str().unwrap();
    act(&lab, "boss", &["setting", "set", "response", "--file", file, "--reason", "agreed"]).unwrap();
    let calendar = lab.collector.dir().join("calendar.yaml");
    std::fs::write(&calendar, "base: none\nhours: { mon-sun: \"00:00-24:00\" }\n").unwrap();
    act(&lab, "boss", &["calendar", "set", "default", "--file", calendar.to_str().unwrap()]).unwrap();
    lab.wait_until("clocks run day and night", PATIENCE, || {
        let alert = show(&lab, id);
        let (take_by, clock) = (alert["take_by_ms"].as_i64(), alert["clock_ms"].as_i64());
        let minutes = take_by.zip(clock).map(|(by, from)| (by - from) / 60_000);
        Ok(alert["level"] != "high" || minutes == Some(9))
    })
    .unwrap();
    let told = act(&lab, "boss", &["setting", "set", "nothing", "--file", file]).unwrap_err();
    assert!(told.contains("no setting"), "{told}");
    act(&lab, "boss", &["case", "open", "--person", person, "--note", "客户外流", id]).unwrap();
    lab.wait_until("there is a case", PATIENCE, || Ok(!lab.collector.json(&["case", "list"])?.is_empty())).unwrap();
    let case = lab.collector.json(&["case", "list"]).unwrap().remove(0);
    assert_eq!((&case["title"], &case["alerts"][0]), (&"客户外流".into(), &id.into()));
    let case_id = case["case"].as_str().unwrap();
    act(&lab, "boss", &["case", "close", case_id, "--outcome", "training", "--note", "初犯"]).unwrap();
    lab.wait_until("it is over", PATIENCE, || {
        Ok(lab.collector.json(&["case", "show", case_id])?[0]["outcome"] == "training")
    })
    .unwrap();
    act(&lab, "boss", &["suppress", "add", "--person", person, "--until", "2999-01-01", "--reason", "x"]).unwrap_err();
    let soon = day_in(3);
    act(&lab, "boss", &["suppress", "add", "--person", person, "--until", &soon, "--reason", "course"]).unwrap();
    lab.wait_until("it holds", PATIENCE, || Ok(!lab.collector.json(&["suppress", "list"])?.is_empty())).unwrap();
    let id = lab.collector.json(&["suppress", "list"]).unwrap()[0]["suppression"].as_str().unwrap().to_owned();
    act(&lab, "boss", &["suppress", "end", &id, "--reason", "over"]).unwrap();
    lab.wait_until("it has ended", PATIENCE, || Ok(lab.collector.json(&["suppress", "list"])?[0]["state"] == "ended"))
        .unwrap();
    act(&lab, "boss", &["delegate", "wang", "--to", "zhao", "--from", &day_in(-1), "--until", &soon]).unwrap();
    act(&lab, "wang", &["alert", "take", all[1]["alert"].as_str().unwrap()]).unwrap();
    lab.wait_until("who stands in sees it", PATIENCE, || Ok(list(&lab, &["--assignee", "zhao"]).len() == 1)).unwrap();
    assert_eq!(list(&lab, &["--assignee", "nobody"]).len(), 0);
}

/// The day so many days from now, at +08:00.
fn day_in(days: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    watchpost_collector::clock::day_in_china(now + days * 86_400_000).unwrap()
}
