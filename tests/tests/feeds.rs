//! Exports that stop coming, and exports nobody could read until they were told how: both are seen on the device and at the collector.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use watchpost_tests::lab::Lab;
use watchpost_tests::outcome;

const PATIENCE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn lab(extra: &str) -> anyhow::Result<Lab> {
    let mut lab = Lab::new(1)?;
    let address = lab.collector.start()?;
    fs::create_dir(lab.agents[0].dir().join("late"))?;
    lab.agents[0].configure(address, extra)?;
    Ok(lab)
}

/// How the device's folder with an expectation stands, as the collector shows it.
fn feed(lab: &Lab) -> anyhow::Result<Option<Value>> {
    let device = lab.agents[0].device().to_string();
    // Before anything has come from it, there is no such device.
    let Ok(shown) = lab.collector.json(&["device", "show", &device]) else { return Ok(None) };
    Ok(shown.first().map(|device| device["feeds"][0].clone()).filter(|feed| !feed.is_null()))
}

fn folder_of_status(lab: &Lab) -> anyhow::Result<Value> {
    let status = lab.agents[0].command_configured(&["status", "--json"])?.json_lines()?;
    Ok(status[0]["folders"][1].clone())
}

#[test]
fn a_folder_whose_exports_stop_coming_is_starved_until_one_comes() {
    let expected = "[[folder]]\npath = \"late\"\ncorp = \"ww2\"\nexpect = \"every 2h\"\n";
    let mut lab = lab(expected).unwrap();
    let old = lab.agents[0].dir().join("late/old.jsonl");
    fs::write(&old, "").unwrap();
    let came = SystemTime::now() - 3 * HOUR;
    File::options().write(true).open(&old).unwrap().set_modified(came).unwrap();
    lab.agents[0].start().unwrap();
    lab.wait_until("it is starved at the collector", PATIENCE, || {
        Ok(feed(&lab)?.is_some_and(|feed| feed["state"] == "starved"))
    })
    .unwrap();
    let shown = feed(&lab).unwrap().unwrap();
    let came_ms = came.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
    assert_eq!((shown["corp"].as_str(), shown["expected"].as_str()), (Some("ww2"), Some("every 2h")));
    assert_eq!(shown["last_export_ms"], came_ms);
    assert_eq!(shown["starved_ms"], came_ms + 2 * 3_600_000);
    assert_eq!(shown["gone_from_ms"], came_ms + 5 * 24 * 3_600_000);
    let status = folder_of_status(&lab).unwrap();
    assert_eq!((&status["starved_ms"], &status["gone_from_ms"]), (&shown["starved_ms"], &shown["gone_from_ms"]));
    let told = lab.agents[0].command_configured(&["status"]).unwrap().ok().unwrap();
    assert!(told.contains("STARVED  every 2h") && told.contains("gone for good"), "{told}");
    // One that cannot be read has not come.
    fs::write(lab.agents[0].dir().join("late/new.jsonl"), "no export").unwrap();
    wait_for(&lab, "new.jsonl", "unrecognised").unwrap();
    assert_eq!(feed(&lab).unwrap().unwrap()["state"], "starved");
    fs::write(lab.agents[0].dir().join("late/good.jsonl"), "").unwrap();
    lab.wait_until("it is fed", PATIENCE, || Ok(feed(&lab)?.is_some_and(|feed| feed["state"] == "fed"))).unwrap();
    assert!(folder_of_status(&lab).unwrap()["starved_ms"].is_null());
    // Nothing comes after it was read, whatever its writer's clock says.
    let ahead = lab.agents[0].dir().join("late/ahead.jsonl");
    fs::write(&ahead, "\n").unwrap();
    File::options().write(true).open(&ahead).unwrap().set_modified(SystemTime::now() + 9000 * HOUR).unwrap();
    wait_for(&lab, "ahead.jsonl", "done").unwrap();
    let last_ms = || folder_of_status(&lab).unwrap()["last_export_ms"].as_u64().unwrap();
    let first = last_ms();
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(last_ms(), first, "it does not come again with every look");
    // What was told is not told again by another start.
    lab.agents[0].stop().unwrap();
    lab.agents[0].start().unwrap();
    outcome::wait_until_drained(&lab, PATIENCE).unwrap();
    assert_eq!(feed(&lab).unwrap().unwrap()["state"], "fed");
    // Nothing is expected any more.
    lab.agents[0].stop().unwrap();
    lab.agents[0].configure(lab.collector.address().unwrap(), &expected.replace("expect", "# expect")).unwrap();
    lab.agents[0].start().unwrap();
    lab.wait_until("it is let go of", PATIENCE, || Ok(feed(&lab)?.is_none())).unwrap();
}

fn wait_for(lab: &Lab, name: &str, word: &str) -> anyhow::Result<()> {
    lab.wait_until(&format!("{name} is {word}"), PATIENCE, || {
        let status = outcome::status(&lab.agents[0])?;
        let file =
            outcome::files(&status)?.iter().find(|file| file["path"].as_str().is_some_and(|path| path.ends_with(name)));
        Ok(file.is_some_and(|file| file["state"] == word || file["reason"] == word))
    })
}

#[test]
fn a_table_with_names_of_its_own_is_read_once_they_are_told() {
    let folder = |columns: &str| format!("[[folder]]\npath = \"late\"\ncorp = \"ww2\"\n{columns}");
    let mut lab = lab(&folder("")).unwrap();
    let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let table = format!(
        "流水,坐席,对象,何时,说了什么\nt1,li.na,wmInVeNtEd000001customerAAAAAAAA,{now_ms},您好，这款理财产品保本保收益\n"
    );
    fs::write(lab.agents[0].dir().join("late/crm.csv"), table).unwrap();
    lab.agents[0].start().unwrap();
    wait_for(&lab, "crm.csv", "unrecognised").unwrap();
    // What was set aside may be removed: nobody has lost anything.
    let picture = lab.agents[0].dir().join("late/a.jpg");
    fs::write(&picture, b"\xFF\xD8\xFFpicture").unwrap();
    wait_for(&lab, "a.jpg", "media").unwrap();
    lab.agents[0].stop().unwrap();
    fs::remove_file(picture).unwrap();
    let told = "[[columns]]\nname = \"crm\"\nmsgid = \"流水\"\nfrom = [\"坐席\", \"客服\"]\nto = \"对象\"\ntime = \"何时\"\nbody = \"说了什么\"\n";
    let address = lab.collector.address().unwrap();
    lab.agents[0].configure(address, &format!("{}{told}", folder("columns = \"crm\"\n"))).unwrap();
    lab.agents[0].start().unwrap();
    wait_for(&lab, "crm.csv", "done").unwrap();
    let found = || lab.collector.json(&["finding", "list"]);
    lab.wait_until("what it says is found", PATIENCE, || Ok(found()?.iter().any(|finding| finding["msgid"] == "t1")))
        .unwrap();
    outcome::wait_until_drained(&lab, PATIENCE).unwrap();
    lab.wait_until("its fate and what it covers are seen", PATIENCE, || {
        let files = lab.collector.json(&["file", "list"])?;
        let days = lab.collector.json(&["coverage", "--account", "ww2/li.na"])?;
        let file = |file: &Value| file["carrier"] == "csv" && file["state"] == "done" && file["messages"] == 1;
        Ok(files.iter().any(file) && days.len() == 1 && days[0]["sent"] == 1 && days[0]["flagged"] == 1)
    })
    .unwrap();
    let aside = lab.collector.json(&["file", "list", "--aside"]).unwrap();
    assert_eq!(aside.iter().map(|file| file["reason"].clone()).collect::<Vec<_>>(), [json!("media")]);
    let device = lab.agents[0].device().to_string();
    assert_eq!(lab.collector.json(&["device", "show", &device]).unwrap()[0]["losses"], 0);
    assert!(lab.collector.json(&["coverage", "--since", "2999-01-01"]).unwrap().is_empty());
    let arguments = [
        "scan",
        "late/crm.csv",
        "--format",
        "jsonl",
        "--column",
        "msgid=流水",
        "--column",
        "from=坐席",
        "--column",
        "to=对象",
        "--column",
        "time=何时",
        "--column",
        "body=说了什么",
    ];
    let dir = lab.agents[0].dir().display().to_string();
    let arguments = arguments.map(|argument| argument.replace("late/", &format!("{dir}/late/")));
    let scanned = lab.agents[0].command(&arguments.each_ref().map(String::as_str)).unwrap().json_lines().unwrap();
    assert_eq!(scanned.iter().map(|row| row["msgid"].clone()).collect::<Vec<_>>(), [json!("t1")]);
}
