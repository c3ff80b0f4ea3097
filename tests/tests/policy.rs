//! Signed policies from the key on a stick to the finding on a desk, with real programs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde_json::{Value, json};
use watchpost_tests::lab::{Agent, Finished, Lab};
use watchpost_tests::outcome;

const PATIENCE: Duration = Duration::from_secs(120);
/// Nobody writes this by chance.
const WORD: &str = "青石板路";

fn export(name: &str, texts: &[String]) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let line = |(number, text): (usize, &String)| {
        let message = json!({
            "msgid": format!("{name}-{number}"), "action": "send", "from": "staff0001",
            "tolist": ["wmInVeNtEd000001customerAAAAAAAA"], "roomid": "", "msgtime": now - 60_000, "msgtype": "text",
            "text": { "content": text }
        });
        format!("{message}\n")
    };
    texts.iter().enumerate().map(line).collect::<String>().into_bytes()
}

fn pack(dir: &Path, word: &str, version: u64) -> PathBuf {
    let path = dir.join(format!("pack-{version}.yaml"));
    let text = format!(
        "pack: lab\nversion: {version}\ntitle: {{ zh: 例, en: Example }}\nrules:\n  - {{ id: lab.word, title: {{ zh: 例, en: Example }}, \
         category: lab, level: high, disclose: none, detection: {{ word: {{ words: [{word}] }}, condition: word }} }}\n"
    );
    fs::write(&path, text).unwrap();
    path
}

/// A place with a policy key beside a lab.
struct Desk {
    dir: PathBuf,
    pin: String,
}

impl Desk {
    fn new(lab: &Lab) -> anyhow::Result<Self> {
        let dir = lab.dir().join("desk");
        fs::create_dir(&dir)?;
        let pin = key(lab, &dir.join("policy.key"))?;
        Ok(Self { dir, pin })
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// Signs a pack that looks for one word, after the last policy the collector has published.
    fn sign(&self, lab: &Lab, word: &str, version: u64, more: &[&str]) -> anyhow::Result<Finished> {
        let pack = pack(&self.dir, word, version).display().to_string();
        let (key, out) = (self.path("policy.key"), self.path(&format!("{version}.policy")));
        lab.collector.command(&[&["policy", "sign", &pack, "--key", &key, "--out", &out], more].concat())
    }

    fn publish(&self, lab: &Lab, version: u64, more: &[&str]) -> anyhow::Result<Finished> {
        let policy = self.path(&format!("{version}.policy"));
        lab.collector.command(&[&["policy", "publish", &policy, "--by", "compliance", "--soak", "0"], more].concat())
    }
}

fn key(lab: &Lab, path: &Path) -> anyhow::Result<String> {
    let path = path.to_str().context("path")?;
    Ok(lab.collector.command_bare(&["policy", "key", "--out", path])?.ok()?.trim().to_owned())
}

fn history(lab: &Lab) -> anyhow::Result<Vec<Value>> {
    lab.collector.json(&["policy", "history"])
}

/// How a version stands, and how many devices have it.
fn stands(lab: &Lab, version: u64) -> anyhow::Result<(String, u64, u64)> {
    let all = history(lab)?;
    let found = all.iter().find(|it| it["version"] == json!(version)).context("no such version")?;
    let number = |name: &str| found[name].as_u64().unwrap_or_default();
    Ok((found["state"].as_str().unwrap_or_default().to_owned(), number("applied"), number("refused")))
}

fn version_on(agent: &Agent) -> anyhow::Result<u64> {
    let status = agent.command_configured(&["status", "--json"])?.json_lines()?.remove(0);
    Ok(status["policy"]["version"].as_u64().unwrap_or_default())
}

#[test]
fn a_policy_goes_from_its_key_to_its_group_and_is_taken_back_under_a_new_number() -> anyhow::Result<()> {
    let mut lab = Lab::new(0)?;
    lab.collector.start()?;
    let desk = Desk::new(&lab)?;
    desk.sign(&lab, WORD, 1, &["--group", "sales"])?.ok()?;
    desk.publish(&lab, 1, &["--group", "sales"])?.ok()?;
    // Whoever enrols after that is pinned to its key by the token alone.
    let token = lab.collector.command(&["token", "create", "--group", "sales", "--ttl", "1h"])?.ok()?;
    let agent = lab.add_stranger()?;
    let file = agent.dir().join("token.txt");
    fs::write(&file, token)?;
    agent.command_configured(&["enroll", "--token-file", file.to_str().context("path")?])?.ok()?;
    agent.start()?;
    lab.wait_until("the first version is in force", PATIENCE, || Ok(stands(&lab, 1)?.1 == 1))?;
    assert_eq!(version_on(&lab.agents[0])?, 1);
    let said = |name: &str| export(name, &[format!("我们沿着{WORD}走回去")]);
    lab.agents[0].drop_export("one.jsonl", &said("one"))?;
    lab.wait_until("its rule holds", PATIENCE, || Ok(outcome::findings(&lab.collector)?.len() == 1))?;

    desk.sign(&lab, "没有这样的词", 2, &["--group", "sales"])?.ok()?;
    desk.publish(&lab, 2, &[])?.ok()?;
    lab.wait_until("the second version is in force", PATIENCE, || Ok(stands(&lab, 2)?.1 == 1))?;
    lab.agents[0].drop_export("two.jsonl", &said("two"))?;
    lab.wait_until("the second export is read", PATIENCE, || {
        let files = lab.collector.json(&["file", "list"])?;
        Ok(files.iter().filter(|file| file["state"] == json!("done")).count() == 2)
    })?;
    assert_eq!(outcome::findings(&lab.collector)?.len(), 1, "the rule is gone");

    // One that somebody else has signed, or that was signed before, is not even published.
    let other = desk.path("other.key");
    key(&lab, Path::new(&other))?;
    let pack = pack(&desk.dir, WORD, 9).display().to_string();
    let forged = desk.path("forged.policy");
    lab.collector.command(&["policy", "sign", &pack, "--group", "sales", "--key", &other, "--out", &forged])?.ok()?;
    let refused = lab.collector.command(&["policy", "publish", &forged])?;
    assert!(!refused.status.success() && refused.stderr.contains("not signed"), "{refused:?}");
    let refused = desk.publish(&lab, 1, &[])?;
    assert!(!refused.status.success() && refused.stderr.contains("next version"), "{refused:?}");

    let key = desk.path("policy.key");
    let back = ["policy", "rollback", "--group", "sales", "--to", "1", "--key", &key, "--reason", "the word is back"];
    lab.collector.command(&back)?.ok()?;
    lab.wait_until("the old content is in force again", PATIENCE, || Ok(stands(&lab, 3)?.1 == 1))?;
    lab.agents[0].kill()?;
    lab.agents[0].start()?;
    assert_eq!(version_on(&lab.agents[0])?, 3, "what is in force outlives the process");
    lab.agents[0].drop_export("three.jsonl", &said("three"))?;
    lab.wait_until("its rule holds again", PATIENCE, || Ok(outcome::findings(&lab.collector)?.len() == 2))?;
    lab.collector.command(&["log", "verify"])?.ok()?;
    lab.collector.kill()?;
    lab.collector.start()?;
    assert_eq!(stands(&lab, 3)?.0, "complete");
    Ok(())
}

/// Devices with certificates from elsewhere are pinned by their configuration.
fn fleet(devices: usize, extra: &str) -> anyhow::Result<(Lab, Desk)> {
    let mut lab = Lab::new(devices)?;
    let address = lab.collector.start()?;
    let desk = Desk::new(&lab)?;
    for agent in &mut lab.agents {
        agent.configure(address, &format!("[policy]\nkey = \"{}\"\n{extra}", desk.pin))?;
        let benign: Vec<String> = (0..200).map(|number| format!("第{number}位客人已经到了{WORD}")).collect();
        let name = agent.device().to_string();
        agent.drop_export("calm.jsonl", &export(&name, &benign))?;
        agent.start()?;
    }
    Ok((lab, desk))
}

#[test]
fn a_rollout_goes_ring_by_ring_and_one_that_would_flood_people_halts_itself_and_goes_back() -> anyhow::Result<()> {
    let (lab, desk) = fleet(5, "")?;
    desk.sign(&lab, "没有这样的词", 1, &[])?.ok()?;
    desk.publish(&lab, 1, &["--ring", "canary:60%,100%"])?.ok()?;
    lab.wait_until("everybody has the first version", PATIENCE, || {
        Ok(stands(&lab, 1)? == ("complete".to_owned(), 5, 0))
    })?;
    desk.sign(&lab, WORD, 2, &[])?.ok()?;
    desk.publish(&lab, 2, &["--ring", "canary:90%,100%", "--on-halt", "fallback"])?.ok()?;
    lab.wait_until("it halts", PATIENCE, || Ok(stands(&lab, 2)?.0.starts_with("halted")))?;
    lab.wait_until("whoever had it is back", PATIENCE, || {
        let versions = lab.agents.iter().map(version_on).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(versions == [1; 5])
    })?;
    lab.collector.command(&["log", "verify"])?.ok()?;
    Ok(())
}

/// How many of a device's sealed segments are encrypted, and how many there are.
fn encrypted(agent: &Agent) -> anyhow::Result<(usize, usize)> {
    let segments = agent.command_configured(&["outbox", "inspect", "--json"])?.json_lines()?;
    Ok((segments.iter().filter(|segment| segment["encrypted"] == json!(true)).count(), segments.len()))
}

#[test]
fn a_policy_says_to_whom_devices_encrypt_and_that_they_do_not() -> anyhow::Result<()> {
    let (mut lab, desk) = fleet(1, "")?;
    let made = lab.collector.json(&["key", "encryption", "new"])?.remove(0);
    let recipient = made["recipient"].as_str().context("recipient")?;
    let slip = desk.sign(&lab, WORD, 1, &["--recipient", &recipient[..30]])?;
    assert!(slip.stderr.contains("copy it whole"), "{slip:?}");
    desk.sign(&lab, WORD, 1, &["--recipient", recipient])?.ok()?;
    desk.publish(&lab, 1, &[])?.ok()?;
    lab.wait_until("the policy is in force", PATIENCE, || Ok(version_on(&lab.agents[0])? == 1))?;
    lab.agents[0].drop_export("one.jsonl", &export("one", &[WORD.to_owned()]))?;
    lab.wait_until("what is encrypted arrives", PATIENCE, || Ok(outcome::findings(&lab.collector)?.len() == 1))?;
    let (before, _) = encrypted(&lab.agents[0])?;
    assert!(before > 0);
    // What is in force outlives the process.
    lab.agents[0].kill()?;
    lab.agents[0].start()?;
    lab.agents[0].drop_export("two.jsonl", &export("two", &[WORD.to_owned()]))?;
    lab.wait_until("so does the next", PATIENCE, || Ok(outcome::findings(&lab.collector)?.len() == 2))?;
    let (between, _) = encrypted(&lab.agents[0])?;
    assert!(between > before);
    desk.sign(&lab, WORD, 2, &["--recipient", "none"])?.ok()?;
    desk.publish(&lab, 2, &[])?.ok()?;
    lab.wait_until("the next policy is in force", PATIENCE, || Ok(stands(&lab, 2)?.1 == 1))?;
    outcome::wait_until_drained(&lab, PATIENCE)?;
    let (then, all) = encrypted(&lab.agents[0])?;
    lab.agents[0].drop_export("three.jsonl", &export("three", &[WORD.to_owned()]))?;
    lab.wait_until("what is not encrypted arrives", PATIENCE, || Ok(outcome::findings(&lab.collector)?.len() == 3))?;
    let (after, more) = encrypted(&lab.agents[0])?;
    assert!(after == then && more > all, "{then} of {all}, then {after} of {more}");
    lab.collector.command(&["log", "verify"])?.ok()?;
    Ok(())
}

#[test]
fn a_policy_that_devices_refuse_halts_and_the_one_before_stays() -> anyhow::Result<()> {
    let (lab, desk) = fleet(1, "bytes_max = \"64KiB\"\n")?;
    desk.sign(&lab, WORD, 1, &[])?.ok()?;
    desk.publish(&lab, 1, &[])?.ok()?;
    lab.wait_until("the first version is in force", PATIENCE, || Ok(stands(&lab, 1)?.1 == 1))?;
    let words: String = (0..20_000).map(|number| format!("某某{number}号\n")).collect();
    fs::write(desk.dir.join("words.txt"), words)?;
    let pack = pack(&desk.dir, WORD, 2);
    let text = fs::read_to_string(&pack)?.replace(&format!("words: [{WORD}]"), "words_file: words.txt");
    fs::write(&pack, text)?;
    let (pack, key, out) = (pack.display().to_string(), desk.path("policy.key"), desk.path("2.policy"));
    lab.collector.command(&["policy", "sign", &pack, "--key", &key, "--out", &out])?.ok()?;
    desk.publish(&lab, 2, &[])?.ok()?;
    lab.wait_until("it halts", PATIENCE, || Ok(stands(&lab, 2)? == ("halted at ring 1/1".to_owned(), 0, 1)))?;
    let reason = history(&lab)?.iter().find(|it| it["version"] == json!(2)).context("2")?["refused_because"].clone();
    assert_eq!(reason, json!("ceiling"));
    assert_eq!(version_on(&lab.agents[0])?, 1);
    Ok(())
}

#[test]
fn where_two_people_sign_one_alone_publishes_nothing() -> anyhow::Result<()> {
    let mut lab = Lab::new(0)?;
    lab.collector.start()?;
    let desk = Desk::new(&lab)?;
    let second = desk.path("second.key");
    let id = key(&lab, Path::new(&second))?;
    desk.sign(&lab, WORD, 1, &["--signer", &desk.pin, "--signer", &id, "--needed", "2"])?.ok()?;
    let refused = desk.publish(&lab, 1, &[])?;
    assert!(!refused.status.success() && refused.stderr.contains("sign"), "{refused:?}");
    lab.collector.command_bare(&["policy", "cosign", &desk.path("1.policy"), "--key", &second])?.ok()?;
    desk.publish(&lab, 1, &[])?.ok()?;
    desk.sign(&lab, WORD, 2, &[])?.ok()?;
    assert!(!desk.publish(&lab, 2, &[])?.status.success(), "the keys of the version before still count");
    Ok(())
}
