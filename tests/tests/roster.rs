//! The roster, from HR's list to the device and back, with real processes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use certs_dev::TENANT;
use serde_json::Value;
use watchpost_tests::lab::{Agent, CORP, Finished, Lab, finding_names};
use watchpost_tests::outcome;

const PATIENCE: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as i64)
}

/// A day in China, so many days ago.
fn day(ago: i64) -> String {
    let moment = time::OffsetDateTime::from_unix_timestamp((now_ms() - ago * DAY_MS) / 1000).unwrap();
    moment.to_offset(time::UtcOffset::from_hms(8, 0, 0).unwrap()).date().to_string()
}

/// A message with exactly one finding, written so many days ago.
fn hit(msgid: &str, from: &str, to: &str, days_ago: i64) -> String {
    let message = serde_json::json!({
        "msgid": msgid, "action": "send", "from": from, "tolist": [to], "roomid": "",
        "msgtime": now_ms() - days_ago * DAY_MS, "msgtype": "text",
        "text": { "content": "您加我私人微信吧" },
    });
    format!("{message}\n")
}

const CUSTOMER: &str = "wmInVeNtEd000001customerAAAAAAAA";

struct Staff {
    lab: Lab,
    folder: tempfile::TempDir,
    key: String,
}

/// A collector that runs, HR's key, and agents that believe it.
fn staff(agents: usize) -> Staff {
    let mut lab = Lab::new(agents).unwrap();
    lab.collector.start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut staff = Staff { lab, folder, key: String::new() };
    staff.key = staff.make_key("hr.key");
    staff
}

impl Staff {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn make_key(&self, name: &str) -> String {
        // This command knows no configuration.
        let made = self.tool(&["people", "key", "--out", &self.path(name), "--json"]);
        made["key"].as_str().unwrap().to_owned()
    }

    /// Runs the collector's program without its configuration.
    fn tool(&self, arguments: &[&str]) -> Value {
        let program = &watchpost_tests::lab::binaries().unwrap().collector;
        let done = std::process::Command::new(program).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    }

    fn list(&self, rows: &[String]) -> String {
        let path = self.path("staff.csv");
        fs::write(&path, format!("企业,账号,姓名,部门,入职,离职,不监测\n{}\n", rows.join("\n"))).unwrap();
        path
    }

    fn import(&self, rows: &[String], more: &[&str]) -> Result<Value, String> {
        let (list, key) = (self.list(rows), self.path("hr.key"));
        let command =
            [&["people", "import", &list, "--key", &key, "--by", "hr", "--reason", "test", "--json"], more].concat();
        let done = self.lab.collector.command(&command).unwrap();
        if !done.status.success() {
            return Err(done.stderr);
        }
        Ok(done.json_lines().unwrap().pop().unwrap())
    }

    fn start(&mut self, at: usize, more: &str) {
        let address = self.lab.collector.address().unwrap();
        let extra = format!("[roster]\nkey = \"{}\"\n{more}", self.key);
        self.lab.agents[at].configure(address, &extra).unwrap();
        self.lab.agents[at].start().unwrap();
    }

    fn wait_for_version(&self, at: usize, version: u64) {
        let wait = self.lab.wait_until("the roster is in force", PATIENCE, || {
            Ok(status(&self.lab.agents[at])["roster"]["version"] == version)
        });
        wait.unwrap();
    }

    fn findings(&self) -> Vec<String> {
        let listed = self.lab.collector.json(&["finding", "list"]).unwrap();
        finding_names(&listed).unwrap().into_iter().map(|(_, _, msgid)| msgid).collect()
    }

    fn wait_for_findings(&self, expected: &[&str]) {
        let wait = self.lab.wait_until("the findings are there", PATIENCE, || Ok(self.findings() == expected));
        wait.unwrap_or_else(|error| panic!("{:?} and not {expected:?}: {error:#}", self.findings()));
    }
}

fn status(agent: &Agent) -> Value {
    agent.command_configured(&["status", "--json"]).unwrap().json_lines().unwrap().remove(0)
}

fn row(userid: &str, from: &str, until: &str, never: &str) -> String {
    format!("{CORP},{userid},{userid} 姓名,销售部,{from},{until},{never}")
}

fn files(agent: &Agent) -> u64 {
    let done = status(agent)["files"].as_array().unwrap().iter().filter(|file| file["state"] == "done").count();
    done as u64
}

#[test]
fn a_late_joiner_is_found_by_rescan_once_and_nobody_is_doubled() {
    let mut staff = staff(1);
    // Until a roster has come nobody can say who is managed: nothing is read, and nothing is lost.
    staff.start(0, "");
    let lines = [
        hit("m1-li", "li.na", CUSTOMER, 2),
        hit("m2-wang-early", "wang", CUSTOMER, 9),
        hit("m3-wang", "wang", CUSTOMER, 3),
        hit("m4-counsel", "li.na", "counsel", 2),
        hit("m5-left", "zhao", CUSTOMER, 1),
        hit("m6-before-leaving", "zhao", CUSTOMER, 6),
    ];
    staff.lab.agents[0].drop_export("a.jsonl", lines.concat().as_bytes()).unwrap();
    staff
        .lab
        .wait_until("reading waits for the roster", PATIENCE, || {
            Ok(status(&staff.lab.agents[0])["roster"]["awaited"] == true
                && staff.lab.agents[0].log().contains("roster_awaited"))
        })
        .unwrap();
    assert_eq!(files(&staff.lab.agents[0]), 0);
    let zhao = row("zhao", &day(40), &day(4), "");
    let first = [row("li.na", &day(30), "", ""), row("counsel", "", "", "是"), zhao.clone()];
    let imported = staff.import(&first, &[]).unwrap();
    assert_eq!((&imported["version"], imported["difference"]["joined"].as_array().unwrap().len()), (&1.into(), 2));
    staff.wait_for_version(0, 1);
    staff.wait_for_findings(&["m1-li", "m6-before-leaving"]);
    // Wang joined a week ago, and HR says so today.
    let second = [&first[..], &[row("wang", &day(7), "", "")]].concat();
    staff.import(&second, &[]).unwrap();
    staff.wait_for_version(0, 2);
    staff.lab.agents[0].drop_export("b.jsonl", hit("m7-wang", "wang", CUSTOMER, 0).as_bytes()).unwrap();
    staff.wait_for_findings(&["m1-li", "m6-before-leaving", "m7-wang"]);
    let rescan = |since: &str| staff.lab.agents[0].command_configured(&["rescan", "--since", since]).unwrap();
    for _ in 0..2 {
        rescan("20d").ok().unwrap();
        staff
            .lab
            .wait_until("it has looked back", PATIENCE, || {
                let said = status(&staff.lab.agents[0]);
                Ok(said["rescan"]["under_way"] == false && said["rescan"]["last"]["exports"] == 2)
            })
            .unwrap();
    }
    assert_eq!(status(&staff.lab.agents[0])["rescan"]["last"]["messages"], 0, "the second time there is nothing new");
    staff.wait_for_findings(&["m1-li", "m3-wang", "m6-before-leaving", "m7-wang"]);
    outcome::wait_until_drained(&staff.lab, PATIENCE).unwrap();
    assert_eq!(staff.findings().len(), 4);
    let shown = staff.lab.collector.json(&["device", "list"]).unwrap();
    assert_eq!((&shown[0]["roster"]["version"], &shown[0]["roster"]["managed"]), (&2.into(), &2.into()), "{shown:?}");
    let refused = rescan("90d");
    assert!(!refused.status.success() && refused.stderr.contains("45 days"), "{}", refused.stderr);
    staff.lab.collector.command(&["log", "verify"]).unwrap().ok().unwrap();
}

#[test]
fn a_personal_device_gets_one_row_and_the_whole_never_list() {
    let mut staff = staff(1);
    let rows: Vec<String> =
        (0..40).map(|at| row(&format!("user{at:02}"), "", "", if at == 7 { "yes" } else { "" })).collect();
    staff.import(&rows, &[]).unwrap();
    staff.start(0, &format!("[accounts]\nonly = [\"{CORP}/user03\"]\n"));
    staff.wait_for_version(0, 1);
    let held = fs::read(staff.lab.agents[0].state().join("roster/held.roster")).unwrap();
    let has = |text: &str| held.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    let known: Vec<usize> = (0..40).filter(|at| has(&format!("user{at:02}"))).collect();
    assert_eq!(known, [3, 7], "its own row, and who is never looked at");
    assert!(!has("姓名"), "names stay at the collector");
    let lines = [hit("m1", "user03", CUSTOMER, 0), hit("m2", "user04", CUSTOMER, 0), hit("m3", "user03", "user07", 0)];
    staff.lab.agents[0].drop_export("a.jsonl", lines.concat().as_bytes()).unwrap();
    staff.wait_for_findings(&["m1"]);
    let said = status(&staff.lab.agents[0]);
    assert_eq!(said["roster"]["managed"], 1);
}

#[test]
fn a_list_with_one_bad_row_leaves_nothing_and_a_dry_run_shows_what_would_change() {
    let staff = staff(0);
    let refused = staff.import(&[row("li.na", "", "", ""), row("wang", "soon", "", "")], &[]).unwrap_err();
    assert!(refused.contains("line 3") && refused.contains("nothing was imported"), "{refused}");
    let none = staff.lab.collector.command(&["people", "list"]).unwrap();
    assert!(!none.status.success() && none.stderr.contains("no roster"), "{}", none.stderr);
    let tried = staff.import(&[row("li.na", "", "", "")], &["--dry-run"]).unwrap();
    assert_eq!(tried["difference"]["joined"][0]["account"], format!("{CORP}/li.na"));
    assert!(!staff.lab.collector.command(&["people", "list"]).unwrap().status.success());
    staff.import(&[row("li.na", "", "", ""), row("wang", "", "", "")], &[]).unwrap();
    let moved = format!("{CORP},li.na,li.na 姓名,风控部,,,");
    let changed = staff.import(&[moved, row("wang", "", "", "")], &["--effective", &day(-10)]).unwrap();
    assert_eq!(changed["difference"]["changed"][0]["account"], format!("{CORP}/li.na"));
    let listed = |more: &[&str]| staff.lab.collector.json(&[&["people", "list"], more].concat()).unwrap();
    let labels = |at: &str| listed(&["--at", at])[0]["periods"][0]["labels"][0].as_str().unwrap().to_owned();
    assert_eq!((labels(&day(0)), labels(&day(-10))), ("销售部".into(), "风控部".into()));
    // What is personal goes when it is erased, and every proof stays.
    let erase = ["erase", "--person", &format!("{CORP}/li.na"), "--reason", "asked for it", "--by", "dpo"];
    staff.lab.collector.command(&erase).unwrap().ok().unwrap();
    let all = listed(&[]);
    assert_eq!((&all[0]["name"], all[1]["name"].as_str().unwrap()), (&"".into(), "wang 姓名"));
    staff.lab.collector.command(&["log", "verify"]).unwrap().ok().unwrap();
}

#[test]
fn who_may_sign_is_handed_over_and_nobody_else_is_believed() {
    let mut staff = staff(1);
    staff.import(&[row("li.na", "", "", "")], &[]).unwrap();
    staff.start(0, "");
    staff.wait_for_version(0, 1);
    staff.lab.agents[0].stop().unwrap();
    let (new, stranger) = (staff.make_key("new.key"), staff.make_key("stranger.key"));
    let (new_key, stranger_key) = (staff.path("new.key"), staff.path("stranger.key"));
    let two = [row("li.na", "", "", ""), row("wang", "", "", "")];
    // Another key alone, or the old one without the new: refused before anything is in the log.
    let list = staff.list(&two);
    for keys in [vec!["--key", &stranger_key], vec!["--key", &stranger_key, "--next", &stranger]] {
        let command = [&["people", "import", &list], &keys[..]].concat();
        let refused = staff.lab.collector.command(&command).unwrap();
        assert!(!refused.status.success() && refused.stderr.contains("not signed"), "{}", refused.stderr);
    }
    let alone = staff.import(&two, &["--next", &new]).unwrap_err();
    assert!(alone.contains("not signed"), "{alone}");
    staff.import(&two, &["--key", &new_key, "--next", &new]).unwrap();
    // Two steps, where the key is elsewhere.
    let three = staff.list(&[&two[..], &[row("zhao", "", "", "")]].concat());
    let refused = staff.lab.collector.command(&["people", "import", &three, "--key", &staff.path("hr.key")]).unwrap();
    assert!(!refused.status.success(), "the old key signs no more");
    let second = PathBuf::from(staff.path("roster-2.bin"));
    let sign = |previous: Option<&str>, out: &str, key: &str| {
        let mut command = vec!["people", "sign", &three, "--key", key, "--tenant", TENANT, "--out", out, "--json"];
        command.extend(previous.into_iter().flat_map(|path| ["--previous", path]));
        let program = &watchpost_tests::lab::binaries().unwrap().collector;
        std::process::Command::new(program).args(&command).output().unwrap()
    };
    assert!(sign(None, &second.display().to_string(), &new_key).status.success());
    let wrong = staff.lab.collector.command(&["people", "publish", &second.display().to_string()]).unwrap();
    assert!(wrong.stderr.contains("version 2 is held"), "a first roster does not follow the second: {}", wrong.stderr);
    staff.lab.collector.command(&["people", "import", &three, "--key", &new_key]).unwrap().ok().unwrap();
    staff.lab.agents[0].start().unwrap();
    staff.wait_for_version(0, 3);
    assert_eq!(status(&staff.lab.agents[0])["roster"]["managed"], 3);
    staff.lab.collector.command(&["log", "verify"]).unwrap().ok().unwrap();
}

#[test]
fn nobody_leaves_the_never_list_unless_it_is_said_how_many_do() {
    let staff = staff(0);
    let [li, wang] = ["li.na", "wang"].map(|userid| row(userid, "", "", "是"));
    staff.import(&[li, wang], &[]).unwrap();
    let never = || {
        let listed = staff.lab.collector.json(&["people", "list"]).unwrap();
        listed.iter().filter(|it| it["never"] == true).count()
    };
    let without = ["li.na", "wang"].map(|userid| row(userid, "", "", ""));
    for more in [&[][..], &["--remove-never", "1"], &["--remove-never", "3"]] {
        let refused = staff.import(&without, more).unwrap_err();
        assert!(refused.contains("--remove-never 2") && refused.contains(&format!("{CORP}/wang")), "{refused}");
    }
    let tried = staff.import(&without, &["--dry-run"]).unwrap();
    assert_eq!(tried["difference"]["never_removed"].as_array().unwrap().len(), 2, "a dry run shows it");
    staff.import(&without, &["--effective", &day(-10)]).unwrap();
    assert_eq!(never(), 2, "not from a day on either");
    staff.import(&without, &["--remove-never", "2"]).unwrap();
    assert_eq!(never(), 0);
}

/// HR's machine, on which every roster is signed; the collector gets files.
struct Elsewhere<'s> {
    staff: &'s Staff,
    signed: usize,
}

impl Elsewhere<'_> {
    /// Signs a list to follow the one signed last.
    fn sign(&mut self, rows: &[String], more: &[&str]) -> String {
        let file = |number: usize| self.staff.path(&format!("roster-{number}.bin"));
        let (list, key, out, before) =
            (self.staff.list(rows), self.staff.path("hr.key"), file(self.signed + 1), file(self.signed));
        let mut command = vec!["people", "sign", &list, "--key", &key, "--tenant", TENANT, "--out", &out, "--json"];
        if self.signed > 0 {
            command.extend(["--previous", &before]);
        }
        command.extend(more);
        self.staff.tool(&command);
        self.signed += 1;
        out
    }

    fn publish(&self, file: &str, more: &[&str]) -> Finished {
        self.staff.lab.collector.command(&[&["people", "publish", file], more].concat()).unwrap()
    }
}

#[test]
fn a_file_that_was_signed_elsewhere_ends_nobodys_protection_unasked() {
    let staff = staff(0);
    let mut hr = Elsewhere { staff: &staff, signed: 0 };
    let first = hr.sign(&[row("li.na", "", "", "是"), row("wang", "", "", "是")], &[]);
    hr.publish(&first, &[]).ok().unwrap();
    let second = hr.sign(&[row("li.na", "", "", "是"), row("wang", "", "", "")], &["--remove-never", "1"]);
    for more in [&[][..], &["--remove-never", "2"]] {
        let refused = hr.publish(&second, more);
        let said = refused.stderr.contains("--remove-never 1") && refused.stderr.contains(&format!("{CORP}/wang"));
        assert!(!refused.status.success() && said, "{}", refused.stderr);
    }
    let never = || {
        let listed = staff.lab.collector.json(&["people", "list"]).unwrap();
        listed.iter().filter(|it| it["never"] == true).count()
    };
    assert!(hr.publish(&second, &["--dry-run"]).status.success() && never() == 2, "a dry run shows it");
    hr.publish(&second, &["--remove-never", "1"]).ok().unwrap();
    assert_eq!(never(), 1);
    hr.publish(&second, &["--remove-never", "1"]).ok().unwrap();
}

#[test]
fn a_name_that_was_erased_does_not_come_back_with_what_is_signed_elsewhere() {
    let staff = staff(0);
    let mut hr = Elsewhere { staff: &staff, signed: 0 };
    let names = || -> Vec<String> {
        let listed = staff.lab.collector.json(&["people", "list"]).unwrap();
        listed.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    let wang = row("wang", "", "", "");
    let first = hr.sign(&[row("li.na", "", "", ""), wang.clone()], &[]);
    hr.publish(&first, &[]).ok().unwrap();
    assert_eq!(names(), ["li.na 姓名", "wang 姓名"]);
    let erase = ["erase", "--person", &format!("{CORP}/li.na"), "--reason", "asked for it", "--by", "dpo"];
    staff.lab.collector.command(&erase).unwrap().ok().unwrap();
    assert_eq!(names(), ["", "wang 姓名"]);
    // The very same row, and then another with the same name: HR's machine knows nothing of it.
    for li in [row("li.na", "", "", ""), row("li.na", "", &day(3), "")] {
        let next = hr.sign(&[li, wang.clone()], &[]);
        hr.publish(&next, &[]).ok().unwrap();
        assert_eq!(names(), ["", "wang 姓名"]);
        staff.lab.collector.command(&["log", "verify"]).unwrap().ok().unwrap();
    }
    // Whoever leaves the list and comes back is entered anew.
    for rows in [vec![wang.clone()], vec![row("li.na", &day(0), "", ""), wang.clone()]] {
        let next = hr.sign(&rows, &[]);
        hr.publish(&next, &[]).ok().unwrap();
    }
    assert_eq!(names(), ["li.na 姓名", "wang 姓名"]);
}

#[test]
fn a_wish_to_look_back_that_cannot_be_read_is_told_of_and_the_next_is_carried_out() {
    let mut staff = staff(1);
    staff.import(&[row("li.na", "", "", "")], &[]).unwrap();
    staff.start(0, "");
    staff.wait_for_version(0, 1);
    let wish = staff.lab.agents[0].state().join("rescan.json");
    fs::write(&wish, "{").unwrap();
    let told = |staff: &Staff| staff.lab.agents[0].log().matches("the wish cannot be read").count();
    staff.lab.agents[0].drop_export("a.jsonl", hit("m1", "li.na", CUSTOMER, 1).as_bytes()).unwrap();
    staff.lab.wait_until("it is told", PATIENCE, || Ok(told(&staff) == 1)).unwrap();
    staff.wait_for_findings(&["m1"]);
    staff.lab.agents[0].command_configured(&["rescan", "--since", "3d"]).unwrap().ok().unwrap();
    let wait = staff.lab.wait_until("it has looked back", PATIENCE, || {
        let said = status(&staff.lab.agents[0]);
        Ok(said["rescan"]["under_way"] == false && said["rescan"]["last"]["exports"] == 1)
    });
    wait.unwrap();
    assert_eq!(told(&staff), 1, "once is enough");
}
