//! Bad input, each kind to a real agent on a real folder: every export gets its defect or its reason, the rest of the
//! folder goes on, and the findings of every readable message arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use watchpost_tests::lab::{Agent, Lab};
use watchpost_tests::outcome;

const PATIENCE: Duration = Duration::from_secs(90);
/// Makes exactly one rule of the built-in packs hold.
const PLANTED: &str = "您好，这款理财产品保本保收益，您看什么时候方便";

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A message that makes one finding, as a value to be spoilt.
fn message(msgid: &str) -> Value {
    json!({
        "msgid": msgid, "action": "send", "from": "staff0001", "tolist": ["wmInVeNtEd000001customerAAAAAAAA"],
        "roomid": "", "msgtime": now_ms() - 60_000, "msgtype": "text", "text": { "content": PLANTED }
    })
}

fn line(msgid: &str) -> String {
    format!("{}\n", message(msgid))
}

/// A message with one value replaced.
fn spoilt(msgid: &str, key: &str, value: Value) -> String {
    let mut message = message(msgid);
    message[key] = value;
    format!("{message}\n")
}

/// One export and what must become of it.
struct Case {
    name: &'static str,
    content: Vec<u8>,
    /// Kinds of defect and how often.
    defects: Vec<(&'static str, u64)>,
    torn: bool,
    /// Lines read.
    lines: u64,
    /// Messages with a finding in it.
    found: Vec<&'static str>,
}

fn case(name: &'static str, content: impl Into<Vec<u8>>) -> Case {
    Case { name, content: content.into(), defects: Vec::new(), torn: false, lines: 0, found: Vec::new() }
}

impl Case {
    fn lines(mut self, lines: u64) -> Self {
        self.lines = lines;
        self
    }

    fn defect(mut self, kind: &'static str, count: u64) -> Self {
        self.defects.push((kind, count));
        self
    }

    fn torn(mut self) -> Self {
        self.torn = true;
        self
    }

    fn found(mut self, found: &[&'static str]) -> Self {
        self.found.extend(found);
        self
    }

    fn check(&self, agent: &Agent) -> anyhow::Result<()> {
        let file = outcome::file(agent, self.name)?.context("unknown to the agent")?;
        let counts = &file["counts"];
        let defects: BTreeMap<String, u64> = serde_json::from_value(counts["defects"].clone())?;
        let expected: BTreeMap<String, u64> = self.defects.iter().map(|(kind, n)| ((*kind).to_owned(), *n)).collect();
        ensure!(file["state"] == "done", "{file}");
        ensure!(defects == expected, "defects {defects:?}, expected {expected:?}");
        ensure!(counts["torn"] == self.torn, "torn: {counts}");
        ensure!(counts["lines"] == self.lines, "lines: {counts}");
        ensure!(counts["findings"] == self.found.len() as u64, "findings: {counts}");
        Ok(())
    }
}

/// Everything that a file's content can have wrong with it.
fn cases() -> Vec<Case> {
    let (mut bad_utf8, torn) = (line("utf8-1").into_bytes(), line("torn-2"));
    let at = bad_utf8.windows(3).position(|three| three == "您".as_bytes()).unwrap_or(0);
    bad_utf8[at] = 0xff;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    let deep_body = line("deep-1").replace("\"roomid\":\"\"", &format!("\"extra\":{}", deep("[", "]")));
    let huge_time = line("number-1").replace(&message("x")["msgtime"].to_string()[..6], "99999999999999999999999");
    vec![
        case("good.jsonl", line("good-1") + &line("good-2")).lines(2).found(&["good-1", "good-2"]),
        case("torn.jsonl", line("torn-1") + &torn[..torn.len() / 2]).lines(1).torn().found(&["torn-1"]),
        case("unended.jsonl", line("unended-1").trim_end()).lines(1).found(&["unended-1"]),
        case("utf8.jsonl", [bad_utf8, line("utf8-2").into_bytes()].concat())
            .lines(2)
            .defect("invalid_utf8", 1)
            .found(&["utf8-1", "utf8-2"]),
        case("bom.jsonl", format!("\u{feff}{}", line("bom-1"))).lines(1).found(&["bom-1"]),
        case("crlf.jsonl", (line("crlf-1") + &line("crlf-2")).replace('\n', "\r\n"))
            .lines(2)
            .found(&["crlf-1", "crlf-2"]),
        case("long.jsonl", line(&"x".repeat(50 * 1024 * 1024)) + &line("long-1"))
            .lines(2)
            .defect("record_too_long", 1)
            .found(&["long-1"]),
        case("deep.jsonl", format!("{}\n{}\n{deep_body}{}", deep("[", "]"), deep("{\"a\":", "}"), line("deep-2")))
            .lines(4)
            .defect("too_deep", 3)
            .found(&["deep-2"]),
        case("number.jsonl", huge_time + &spoilt("number-2", "seq", json!(1e300)) + &line("number-3"))
            .lines(3)
            .defect("number_out_of_range", 1)
            .found(&["number-1", "number-2", "number-3"]),
        case("types.jsonl", wrong_types())
            .lines(8)
            .defect("not_an_object", 3)
            .defect("not_a_message", 1)
            .defect("body_wrong_type", 1)
            .defect("to_wrong_type", 1)
            .defect("time_wrong_type", 1)
            // A rule about what is said to customers does not hold where no receiver can be read.
            .found(&["types-3", "types-4"]),
        case("garbage.jsonl", format!("nonsense\n{{\"msgid\":\n}}\n{}", line("garbage-1")))
            .lines(4)
            .defect("not_json", 2)
            .defect("torn", 1)
            .found(&["garbage-1"]),
        case("empty.jsonl", ""),
        case("blank.jsonl", format!("\n\n{}\n", line("blank-1"))).lines(4).found(&["blank-1"]),
    ]
}

fn wrong_types() -> String {
    [
        "[]\n\"text\"\nnull\n{}\n".to_owned(),
        spoilt("types-1", "text", json!(7)),
        spoilt("types-2", "tolist", json!({ "a": [1] })),
        spoilt("types-3", "msgtime", json!([[]])),
        line("types-4"),
    ]
    .concat()
}

/// A lab whose one agent talks straight to the collector.
fn lab(extra: &str) -> anyhow::Result<Lab> {
    let mut lab = Lab::new(1)?;
    let address = lab.collector.start()?;
    lab.agents[0].configure(address, extra)?;
    Ok(lab)
}

fn found_msgids(lab: &Lab) -> anyhow::Result<BTreeSet<String>> {
    Ok(outcome::findings(&lab.collector)?.into_iter().map(|(_, _, msgid)| msgid).collect())
}

/// Waits until the findings of exactly these messages are at the collector.
fn wait_for(lab: &Lab, expected: impl IntoIterator<Item = impl Into<String>>) -> anyhow::Result<()> {
    let expected: BTreeSet<String> = expected.into_iter().map(Into::into).collect();
    let mut found = BTreeSet::new();
    let waited = lab.wait_until("the findings arrive", PATIENCE, || {
        found = found_msgids(lab)?;
        Ok(found.is_superset(&expected))
    });
    waited.with_context(|| format!("missing: {:?}", expected.difference(&found).collect::<Vec<_>>()))?;
    ensure!(found == expected, "too many: {:?}", found.difference(&expected).collect::<Vec<_>>());
    Ok(())
}

fn wait_for_state(lab: &Lab, name: &str, state: &str, reason: &str) -> anyhow::Result<()> {
    let mut last = None;
    let waited = lab.wait_until(&format!("{name} is {state} {reason}"), PATIENCE, || {
        last = outcome::file(&lab.agents[0], name)?;
        Ok(last.as_ref().is_some_and(|file| file["state"] == state && file["reason"] == reason))
    });
    waited.with_context(|| format!("{last:?}"))
}

#[test]
fn every_kind_of_bad_content_gets_its_defect_and_the_rest_goes_on() {
    let mut lab = lab("").unwrap();
    let cases = cases();
    for case in &cases {
        lab.agents[0].drop_export(case.name, &case.content).unwrap();
    }
    lab.agents[0].start().unwrap();
    let found: Vec<&str> = cases.iter().flat_map(|case| case.found.iter().copied()).collect();
    wait_for(&lab, found.iter().copied()).unwrap();
    outcome::wait_until_drained(&lab, PATIENCE).unwrap();
    let wrong = cases.iter().filter_map(|case| case.check(&lab.agents[0]).err().map(|e| format!("{}: {e}", case.name)));
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");

    // The torn line is completed by its writer, and read then.
    let torn = line("torn-2");
    let path = lab.agents[0].exports().join("torn.jsonl");
    let whole = fs::read(&path).unwrap();
    let length = whole.len() - line("torn-1").len();
    OpenOptions::new().append(true).open(path).unwrap().write_all(&torn.as_bytes()[length..]).unwrap();
    wait_for(&lab, found.iter().copied().chain(["torn-2"])).unwrap();
    lab.wait_until("the torn end is healed", PATIENCE, || {
        let file = outcome::file(&lab.agents[0], "torn.jsonl")?.context("unknown")?;
        Ok(file["counts"]["torn"] == false && file["counts"]["lines"] == 2)
    })
    .unwrap();
    outcome::check_chains(&lab).unwrap();
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_set_aside_and_nothing_outside_is_read() {
    use std::os::unix::fs::symlink;

    let mut lab = lab("").unwrap();
    let (exports, outside) = (lab.agents[0].exports(), lab.dir().join("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret.jsonl"), line("outside-1")).unwrap();
    fs::write(exports.join("binary.jsonl"), [b"MZ\x03\x04\0\0", line("binary-1").as_bytes()].concat()).unwrap();
    fs::create_dir_all(exports.join("folder.jsonl")).unwrap();
    fs::write(exports.join("folder.jsonl/inner.jsonl"), line("inner-1")).unwrap();
    symlink(outside.join("secret.jsonl"), exports.join("link.jsonl")).unwrap();
    symlink(&outside, exports.join("linked-folder")).unwrap();
    symlink("folder.jsonl/inner.jsonl", exports.join("link-inside.jsonl")).unwrap();
    let pipe = exports.join("pipe.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    lab.agents[0].start().unwrap();
    for (name, reason) in [
        ("binary.jsonl", "binary"),
        ("link.jsonl", "link"),
        ("linked-folder", "link"),
        ("link-inside.jsonl", "link"),
        ("pipe.jsonl", "not_a_file"),
    ] {
        wait_for_state(&lab, name, "set_aside", reason).unwrap();
    }
    wait_for(&lab, ["inner-1"]).unwrap();
    // A link that becomes a file is read.
    fs::remove_file(exports.join("link.jsonl")).unwrap();
    lab.agents[0].drop_export("link.jsonl", line("real-1").as_bytes()).unwrap();
    wait_for(&lab, ["inner-1", "real-1"]).unwrap();
    // A file that becomes a link is not followed.
    fs::remove_file(exports.join("link.jsonl")).unwrap();
    symlink(outside.join("secret.jsonl"), exports.join("link.jsonl")).unwrap();
    wait_for_state(&lab, "link.jsonl", "set_aside", "link").unwrap();
    lab.agents[0].drop_export("last.jsonl", line("last-1").as_bytes()).unwrap();
    wait_for(&lab, ["inner-1", "real-1", "last-1"]).unwrap();
}

/// Many lines around the planted ones, so that reading takes a while.
fn large(prefix: &str, planted: usize) -> (Vec<u8>, Vec<String>) {
    let filler = json!({
        "msgid": "", "action": "send", "from": "staff0001", "tolist": ["staff0002"], "roomid": "",
        "msgtime": now_ms() - 60_000, "msgtype": "text", "text": { "content": "今天下午三点开会，请准时参加".repeat(20) }
    });
    let (mut text, mut ids) = (String::new(), Vec::new());
    for number in 0..planted {
        for more in 0..20 {
            text += &format!("{filler}\n").replacen(
                "\"msgid\":\"\"",
                &format!("\"msgid\":\"{prefix}-{number}-{more}\""),
                1,
            );
        }
        ids.push(format!("{prefix}-{number}"));
        text += &line(&ids[number]);
    }
    (text.into_bytes(), ids)
}

/// Waits until an export is half read; false if it was read to its end before that was seen.
fn wait_until_reading(lab: &Lab, name: &str) -> anyhow::Result<bool> {
    let mut reading = false;
    lab.wait_until(&format!("{name} is being read"), PATIENCE, || {
        let file = outcome::file(&lab.agents[0], name)?;
        reading = file.as_ref().is_some_and(|file| file["state"] == "reading");
        Ok(reading || file.is_some_and(|file| file["state"] == "done"))
    })?;
    Ok(reading)
}

#[test]
fn an_export_replaced_cut_or_deleted_while_it_is_read_leaves_the_folder_whole() {
    let mut lab = lab("[source]\nbatch_bytes = \"64KiB\"\n").unwrap();
    lab.agents[0].start().unwrap();
    let mut must = BTreeSet::new();
    let mut may = BTreeSet::new();
    let mut caught = 0;
    for (round, kind) in ["replaced", "cut", "deleted", "overwritten"].iter().enumerate() {
        let name = format!("{kind}.jsonl");
        let (before, old) = large(&format!("{kind}-old"), 400);
        let (after, new) = large(&format!("{kind}-new"), 10);
        let path = lab.agents[0].drop_export(&name, &before).unwrap();
        caught += usize::from(wait_until_reading(&lab, &name).unwrap());
        may.extend(old);
        match *kind {
            "replaced" => {
                lab.agents[0].drop_export(&name, &after).unwrap();
                must.extend(new);
            }
            "overwritten" => {
                fs::write(&path, &after).unwrap();
                must.extend(new);
            }
            "cut" => OpenOptions::new().write(true).open(&path).unwrap().set_len(line("x").len() as u64).unwrap(),
            _ => fs::remove_file(&path).unwrap(),
        }
        let good = format!("after-{round}");
        lab.agents[0].drop_export(&format!("{good}.jsonl"), line(&good).as_bytes()).unwrap();
        must.insert(good);
    }
    eprintln!("{caught} of 4 were caught while being read");
    assert!(caught > 0, "nothing was caught while being read; the exports are too small");
    lab.wait_until("what came after is found", PATIENCE, || Ok(found_msgids(&lab)?.is_superset(&must))).unwrap();
    outcome::wait_until_drained(&lab, PATIENCE).unwrap();
    let found = found_msgids(&lab).unwrap();
    let invented: Vec<_> = found.iter().filter(|id| !must.contains(*id) && !may.contains(*id)).collect();
    assert!(invented.is_empty(), "{invented:?}");
    let deleted = outcome::file(&lab.agents[0], "deleted.jsonl").unwrap().unwrap();
    assert_eq!(deleted["gone"], true, "{deleted}");
    for name in ["replaced.jsonl", "overwritten.jsonl", "cut.jsonl"] {
        let file = outcome::file(&lab.agents[0], name).unwrap().unwrap();
        let size = fs::metadata(lab.agents[0].exports().join(name)).unwrap().len();
        assert_eq!((file["state"].as_str(), file["size"].as_u64()), (Some("done"), Some(size)), "{file}");
    }
    outcome::check_chains(&lab).unwrap();
}

#[test]
fn an_export_that_vanishes_unread_leaves_a_loss_record() {
    let mut lab = lab("[source]\nsettle = \"60s\"\n").unwrap();
    lab.agents[0].start().unwrap();
    let path = lab.agents[0].drop_export("gone.jsonl", line("gone-1").as_bytes()).unwrap();
    wait_for_state(&lab, "gone.jsonl", "waiting", "").unwrap();
    fs::remove_file(path).unwrap();
    wait_for_state(&lab, "gone.jsonl", "set_aside", "vanished").unwrap();
    lab.wait_until("the loss is at the collector", PATIENCE, || Ok(losses(&lab)? == ["file_vanished"])).unwrap();
}

#[test]
fn an_export_that_vanishes_while_others_are_read_leaves_a_loss_record() {
    let mut lab = lab("[source]\nbatch_bytes = \"64KiB\"\n").unwrap();
    let (content, _) = large("first", 400);
    lab.agents[0].drop_export("first.jsonl", &content).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    let path = lab.agents[0].drop_export("second.jsonl", line("second-1").as_bytes()).unwrap();
    lab.agents[0].start().unwrap();
    // Both are listed by now; the second one's turn has not come.
    assert!(wait_until_reading(&lab, "first.jsonl").unwrap(), "the first export is too small");
    fs::remove_file(path).unwrap();
    wait_for_state(&lab, "second.jsonl", "set_aside", "vanished").unwrap();
    lab.wait_until("the loss is at the collector", PATIENCE, || Ok(losses(&lab)? == ["file_vanished"])).unwrap();
}

#[test]
fn an_export_that_grew_and_vanishes_before_that_is_read_leaves_a_loss_record() {
    let mut lab = lab("[source]\nsettle = \"5s\"\n").unwrap();
    lab.agents[0].start().unwrap();
    let path = lab.agents[0].drop_export("grown.jsonl", line("grown-1").as_bytes()).unwrap();
    wait_for_state(&lab, "grown.jsonl", "done", "").unwrap();
    OpenOptions::new().append(true).open(&path).unwrap().write_all(line("grown-2").as_bytes()).unwrap();
    wait_for_state(&lab, "grown.jsonl", "waiting", "").unwrap();
    fs::remove_file(path).unwrap();
    lab.wait_until("the loss is at the collector", PATIENCE, || Ok(losses(&lab)? == ["file_vanished"])).unwrap();
    wait_for(&lab, ["grown-1"]).unwrap();
}

fn losses(lab: &Lab) -> anyhow::Result<Vec<String>> {
    let db = outcome::read_only(&lab.collector.dir().join("data/derived.db"))?;
    let mut select = db.prepare("SELECT reason FROM loss")?;
    let reasons = select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(reasons)
}

#[cfg(unix)]
mod as_root {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    use std::process::Command;

    use tempfile::TempDir;
    use watchpost_tests::lab::{Binaries, binaries};

    use super::*;

    /// An id without rights.
    const NOBODY: u32 = 65_534;

    /// Why a test that needs root cannot run here; `None` if it can.
    fn hindrance(program: &str) -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("not running as root".into());
        }
        let there = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
        (!there).then(|| format!("there is no {program}"))
    }

    fn chown_all(path: &Path, id: u32) -> anyhow::Result<()> {
        chown(path, Some(id), Some(id))?;
        if path.is_dir() {
            for entry in fs::read_dir(path)? {
                chown_all(&entry?.path(), id)?;
            }
        }
        Ok(())
    }

    /// A lab whose agent runs without rights, and the folder its program is in.
    fn lab_of_nobody() -> anyhow::Result<(Lab, TempDir)> {
        let folder = TempDir::with_prefix("watchpost-nobody-")?;
        let (real, wrapper) = (folder.path().join("watchpost-agent"), folder.path().join("agent.sh"));
        // By other processes: what this one has open for writing, even for a moment, may not be executed.
        let script = "cp \"$1\" \"$2\" && printf '#!/bin/sh\\nexec setpriv --reuid 65534 --regid 65534 --clear-groups \
                      \"%s\" \"$@\"\\n' \"$2\" > \"$3\" && chmod 755 \"$2\" \"$3\" \"$4\"";
        let arguments = [binaries()?.agent.as_path(), &real, &wrapper, folder.path()];
        let made = Command::new("sh").args(["-c", script, "sh"]).args(arguments).status()?;
        ensure!(made.success(), "no wrapper");
        let binaries = Binaries { agent: wrapper, collector: binaries()?.collector.clone() };
        let mut lab = Lab::with_binaries(&binaries, 1)?;
        let address = lab.collector.start()?;
        lab.agents[0].configure(address, "")?;
        for open in [lab.dir(), &lab.dir().join("devices")] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755))?;
        }
        chown_all(lab.agents[0].dir(), NOBODY)?;
        Ok((lab, folder))
    }

    #[test]
    fn an_export_without_permission_is_set_aside_until_it_may_be_read() {
        if let Some(why) = hindrance("setpriv") {
            eprintln!("skipped: {why}");
            return;
        }
        let (mut lab, _program) = lab_of_nobody().unwrap();
        let exports = lab.agents[0].exports();
        let closed = exports.join("closed.jsonl");
        fs::write(&closed, line("closed-1")).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        fs::create_dir(exports.join("closed")).unwrap();
        fs::write(exports.join("closed/inner.jsonl"), line("inner-1")).unwrap();
        fs::set_permissions(exports.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
        fs::write(exports.join("open.jsonl"), line("open-1")).unwrap();
        lab.agents[0].start().unwrap();
        wait_for_state(&lab, "closed.jsonl", "set_aside", "permission").unwrap();
        wait_for(&lab, ["open-1"]).unwrap();
        // Somebody sees the reason and puts it right. Neither size nor time of the file change by that.
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(exports.join("closed"), fs::Permissions::from_mode(0o755)).unwrap();
        wait_for(&lab, ["open-1", "closed-1", "inner-1"]).unwrap();
        wait_for_state(&lab, "closed.jsonl", "done", "").unwrap();
    }

    /// A small file system of its own, taken away at the end.
    struct Mount(std::path::PathBuf);

    impl Mount {
        fn new(at: &Path, options: &str) -> anyhow::Result<Self> {
            fs::create_dir_all(at)?;
            ensure!(mount(options, at)?, "mount failed");
            Ok(Self(at.to_owned()))
        }
    }

    fn mount(options: &str, at: &Path) -> anyhow::Result<bool> {
        Ok(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).status()?.success())
    }

    impl Drop for Mount {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        }
    }

    #[test]
    fn a_full_disk_lets_reading_rest_and_nothing_is_lost() {
        if let Some(why) = hindrance("mount") {
            eprintln!("skipped: {why}");
            return;
        }
        // No floor, so that the database itself meets the end of the disk.
        let mut lab = lab("[source]\nbatch_bytes = \"64KiB\"\ndisk_free_min = \"0KiB\"\n").unwrap();
        let Ok(small) = Mount::new(&lab.agents[0].state(), "size=3m") else {
            eprintln!("skipped: nothing can be mounted here");
            return;
        };
        let (content, planted): (String, Vec<String>) =
            (0..6000).map(|n| (line(&format!("full-{n}")), format!("full-{n}"))).unzip();
        lab.collector.stop().unwrap();
        lab.agents[0].drop_export("full.jsonl", content.as_bytes()).unwrap();
        lab.agents[0].start().unwrap();
        lab.wait_until("the disk is full", PATIENCE, || Ok(lab.agents[0].log().contains("the disk is full"))).unwrap();
        // It goes on living, and listing: what comes now is seen.
        std::thread::sleep(Duration::from_secs(1));
        assert!(lab.agents[0].is_running().unwrap(), "{}", lab.tails());
        let remounted = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&small.0).status().unwrap();
        assert!(remounted.success());
        lab.collector.start().unwrap();
        wait_for(&lab, planted).unwrap();
        assert!(lab.agents[0].is_running().unwrap(), "{}", lab.tails());
        outcome::wait_until_drained(&lab, PATIENCE).unwrap();
        outcome::check_chains(&lab).unwrap();
        lab.agents[0].kill().unwrap();
    }

    #[test]
    fn a_disk_with_little_room_is_left_to_what_is_sent() {
        if let Some(why) = hindrance("mount") {
            eprintln!("skipped: {why}");
            return;
        }
        let mut lab = lab("").unwrap();
        let Ok(small) = Mount::new(&lab.agents[0].state(), "size=16m") else {
            eprintln!("skipped: nothing can be mounted here");
            return;
        };
        lab.agents[0].drop_export("floor.jsonl", line("floor-1").as_bytes()).unwrap();
        lab.agents[0].start().unwrap();
        lab.wait_until("reading rests", PATIENCE, || Ok(lab.agents[0].log().contains("disk_full"))).unwrap();
        assert!(!lab.agents[0].log().contains("outcome=Done"), "it read below the floor of 32 MiB");
        let remounted = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&small.0).status().unwrap();
        assert!(remounted.success());
        wait_for(&lab, vec!["floor-1".to_owned()]).unwrap();
        lab.agents[0].kill().unwrap();
    }
}
