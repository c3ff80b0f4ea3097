//! Secrets at rest: keys nobody else can read, keys under a passphrase, and segments that a stolen disk does not give away.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rusqlite::OptionalExtension as _;
use serde_json::Value;
use watchpost_collector::clock::Clock;
use watchpost_collector::config::Config;
use watchpost_collector::serving::renew_own;
use watchpost_tests::lab::Lab;
use watchpost_tests::outcome;

const PATIENCE: Duration = Duration::from_secs(60);
const RIGHT: &str = "correct horse battery";

fn hit(msgid: &str) -> Vec<u8> {
    let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let message = serde_json::json!({
        "msgid": msgid, "action": "send", "from": "li.na", "tolist": ["wmInVeNtEd000001customerAAAAAAAA"], "roomid": "",
        "msgtime": now_ms as u64, "msgtype": "text", "text": { "content": "您加我私人微信吧" },
    });
    format!("{message}\n").into_bytes()
}

fn new_key(lab: &Lab) -> anyhow::Result<(String, PathBuf)> {
    let made = lab.collector.json(&["key", "encryption", "new"])?.remove(0);
    let text = |name: &str| made[name].as_str().map(str::to_owned).context("not told");
    Ok((text("recipient")?, text("file")?.into()))
}

fn encrypting_to(recipient: &str) -> String {
    format!("[encryption]\nrecipient = \"{recipient}\"\n[my_data]\nexcerpts = \"drop\"\n")
}

fn findings(lab: &Lab) -> anyhow::Result<usize> {
    Ok(outcome::findings(&lab.collector)?.len())
}

fn inspected(lab: &Lab) -> anyhow::Result<Vec<Value>> {
    lab.agents[0].command_configured(&["outbox", "inspect", "--json"])?.json_lines()
}

#[test]
fn an_encrypted_finding_is_proved_exported_and_erased_like_any_other() -> anyhow::Result<()> {
    let mut lab = Lab::new(1)?;
    let (recipient, file) = new_key(&lab)?;
    assert_eq!(fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    let address = lab.collector.start()?;
    lab.agents[0].configure(address, &encrypting_to(&recipient))?;
    lab.agents[0].start()?;
    lab.agents[0].drop_export("a.jsonl", &hit("m1-erase-me"))?;
    lab.wait_until("the finding arrives", PATIENCE, || Ok(findings(&lab)? == 1))?;
    assert!(holds(&lab.collector.dir().join("data"), "m1-erase-me")?, "a collector keeps records plain");
    outcome::wait_until_drained(&lab, PATIENCE)?;
    outcome::check_chains(&lab)?;
    let segments = inspected(&lab)?;
    assert!(!segments.is_empty() && segments.iter().all(|segment| segment["encrypted"] == true), "{segments:?}");
    let verified = lab.collector.json(&["log", "verify"])?.remove(0);
    assert_eq!(
        (verified["ok"] == true, verified["payloads_sent_encrypted"].as_u64()),
        (true, Some(segments.len() as u64))
    );
    let said = lab.collector.command(&["log", "verify"])?.ok()?;
    assert!(said.contains("were sent encrypted"), "{said}");

    let alert = lab.collector.json(&["alert", "list"])?.remove(0);
    let alert = alert["id"].as_str().or(alert["alert"].as_str()).context("no alert")?.to_owned();
    let case = lab.dir().join("case.json");
    lab.collector.command(&["evidence", "export", &alert, "--out", case.to_str().context("path")?])?.ok()?;
    let root = lab.collector.dir().join("pki/root.crt");
    let verify = ["verify", case.to_str().context("path")?, "--root", root.to_str().context("path")?];
    lab.agents[0].stop()?;
    let program = &watchpost_tests::lab::binaries()?.collector;
    assert!(Command::new(program).args(verify).output()?.status.success());

    lab.collector.command(&["erase", "--alert", &alert, "--reason", "court order"])?.ok()?;
    let verified = lab.collector.json(&["log", "verify"])?.remove(0);
    assert_eq!((verified["ok"] == true, verified["erased_records"].as_u64()), (true, Some(1)));
    // Nothing is left that a key would open.
    assert!(!holds(&lab.collector.dir().join("data"), "m1-erase-me")?);
    Ok(())
}

#[test]
fn what_is_encrypted_to_a_key_that_is_missing_stays_on_the_device_until_the_key_is_back() -> anyhow::Result<()> {
    let mut lab = Lab::new(1)?;
    let (recipient, file) = new_key(&lab)?;
    let address = lab.collector.start()?;
    lab.agents[0].configure(address, &encrypting_to(&recipient))?;
    let away = lab.dir().join("away.key");
    fs::rename(&file, &away)?;
    lab.wait_until("the key is missed", PATIENCE, || Ok(lab.collector.log().contains("taken over")))?;
    lab.agents[0].start()?;
    lab.agents[0].drop_export("a.jsonl", &hit("m1"))?;
    lab.wait_until("it is refused", PATIENCE, || Ok(lab.agents[0].log().contains("recipient_unknown")))?;
    assert_eq!(findings(&lab)?, 0);
    assert!(outcome::to_send(&outcome::status(&lab.agents[0])?).is_some_and(|waits| waits > 0));
    // An earlier key beside a later one: the device goes on with the one, and what it sealed for the other still opens.
    let (later, _) = new_key(&lab)?;
    lab.agents[0].stop()?;
    lab.agents[0].configure(address, &encrypting_to(&later))?;
    fs::rename(&away, &file)?;
    let taken = lab.collector.log().matches("taken over").count();
    lab.collector.stop()?;
    lab.collector.start()?;
    assert!(taken >= 1);
    lab.agents[0].drop_export("b.jsonl", &hit("m2"))?;
    lab.agents[0].start()?;
    lab.wait_until("both arrive", PATIENCE, || Ok(findings(&lab)? == 2))?;
    outcome::check_nobody_quarantined(&lab.collector)?;
    lab.collector.command(&["log", "verify"])?.ok()?;
    assert_eq!(lab.collector.json(&["key", "encryption", "list"])?.len(), 2);
    Ok(())
}

/// Signs the built-in packs with a recipient and publishes them to everybody.
fn publish_recipient(lab: &Lab, version: u64, recipient: &str) -> anyhow::Result<()> {
    let path = |name: String| lab.dir().join(name).display().to_string();
    let (key, out) = (path("policy.key".into()), path(format!("{version}.policy")));
    let sign = ["policy", "sign", "builtin", "--key", &key, "--recipient", recipient, "--out", &out];
    lab.collector.command(&sign)?.ok()?;
    lab.collector.command(&["policy", "publish", &out, "--by", "compliance", "--soak", "0"])?.ok()?;
    Ok(())
}

#[test]
fn a_policy_that_names_another_key_reaches_a_device_past_what_is_refused_for_the_lost_one() -> anyhow::Result<()> {
    let mut lab = Lab::new(1)?;
    let address = lab.collector.start()?;
    let key = lab.dir().join("policy.key").display().to_string();
    let pin = lab.collector.command_bare(&["policy", "key", "--out", &key])?.ok()?.trim().to_owned();
    let (recipient, file) = new_key_in_use(&lab)?;
    publish_recipient(&lab, 1, &recipient)?;
    lab.agents[0].configure(address, &format!("[policy]\nkey = \"{pin}\"\n"))?;
    lab.agents[0].start()?;
    let version = |lab: &Lab| -> anyhow::Result<u64> {
        let status = lab.agents[0].command_configured(&["status", "--json"])?.json_lines()?.remove(0);
        Ok(status["policy"]["version"].as_u64().unwrap_or_default())
    };
    lab.wait_until("the first policy is in force", PATIENCE, || Ok(version(&lab)? == 1))?;
    lab.agents[0].drop_export("a.jsonl", &hit("m1"))?;
    lab.wait_until("what it encrypts arrives", PATIENCE, || Ok(findings(&lab)? == 1))?;
    outcome::wait_until_drained(&lab, PATIENCE)?;
    // The only copy of the key is gone.
    let taken = lab.collector.log().matches("taken over").count();
    fs::remove_file(&file)?;
    lab.wait_until("it is missed", PATIENCE, || Ok(lab.collector.log().matches("taken over").count() > taken))?;
    lab.collector.stop()?;
    lab.collector.start()?;
    lab.agents[0].drop_export("b.jsonl", &hit("m2"))?;
    lab.wait_until("it is refused", PATIENCE, || Ok(lab.agents[0].log().contains("recipient_unknown")))?;
    let (later, _) = new_key_in_use(&lab)?;
    publish_recipient(&lab, 2, &later)?;
    lab.agents[0].kill()?;
    lab.agents[0].start()?;
    lab.wait_until("the next policy is in force all the same", PATIENCE, || Ok(version(&lab)? == 2))?;
    // It tries again every minute, and at each start.
    lab.agents[0].kill()?;
    lab.agents[0].start()?;
    lab.agents[0].drop_export("c.jsonl", &hit("m3"))?;
    lab.wait_until("it waits behind", PATIENCE, || {
        Ok(outcome::to_send(&outcome::status(&lab.agents[0])?).is_some_and(|waits| waits > 1))
    })?;
    let db = lab.agents[0].state().join("agent.db");
    lab.wait_until("refusals are counted", PATIENCE, || Ok(refused(&db)?.is_some()))?;
    assert_eq!(findings(&lab)?, 1, "nothing is let go of in a hurry");
    lab.agents[0].stop()?;
    a_day_of_refusals(&db)?;
    lab.agents[0].start()?;
    lab.wait_until("the lost key is let go of", PATIENCE, || Ok(lab.agents[0].log().contains("recipient_lost")))?;
    lab.agents[0].kill()?;
    lab.agents[0].start()?;
    lab.wait_until("what came later arrives", PATIENCE, || Ok(findings(&lab)? == 2))?;
    outcome::wait_until_drained(&lab, PATIENCE)?;
    let shown = lab.collector.json(&["finding", "list"])?;
    let arrived: Vec<&str> = shown.iter().filter_map(|it| it["msgid"].as_str()).collect();
    assert_eq!(arrived, ["m1", "m3"]);
    let device = lab.collector.json(&["device", "list"])?.remove(0);
    assert_eq!(device["losses"], 1, "{device}");
    let history = lab.collector.json(&["policy", "history"])?;
    let second = history.iter().find(|it| it["version"] == 2).context("no second version")?;
    assert_eq!(second["applied"], 1, "it is known to be in force: {second}");
    outcome::check_chains(&lab)?;
    outcome::check_nobody_quarantined(&lab.collector)?;
    lab.collector.command(&["log", "verify"])?.ok()?;
    Ok(())
}

/// A new key, once the collector has it: what came before would be refused, and tried again in a minute.
fn new_key_in_use(lab: &Lab) -> anyhow::Result<(String, PathBuf)> {
    let taken = lab.collector.log().matches("taken over").count();
    let key = new_key(lab)?;
    lab.wait_until("the key is in use", PATIENCE, || Ok(lab.collector.log().matches("taken over").count() > taken))?;
    Ok(key)
}

/// As if the segment that was refused had been refused for a day: its digest, when it was last, and for how long.
fn a_day_of_refusals(db: &Path) -> anyhow::Result<()> {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let mut value = refused(db)?.context("nothing was refused")?;
    value.truncate(40);
    value.extend(DAY_MS.to_be_bytes());
    let db = rusqlite::Connection::open(db)?;
    db.execute("UPDATE seen SET value = ?1 WHERE name = 'recipient_refused'", [value])?;
    Ok(())
}

fn refused(db: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let text = "SELECT value FROM seen WHERE name = 'recipient_refused'";
    Ok(rusqlite::Connection::open(db)?.query_row(text, [], |row| row.get(0)).optional()?)
}

#[test]
fn a_stolen_disk_tells_nothing_of_the_text() -> anyhow::Result<()> {
    let mut lab = Lab::new(1)?;
    let (recipient, _) = new_key(&lab)?;
    // Nobody listens there.
    lab.agents[0].configure("127.0.0.1:1".parse()?, &encrypting_to(&recipient))?;
    lab.agents[0].start()?;
    lab.agents[0].drop_export("a.jsonl", &hit("m1"))?;
    let state = lab.agents[0].state();
    lab.wait_until("the ledger tells of it", PATIENCE, || holds(&state, "li.na"))?;
    lab.wait_until("it is sealed and gone", PATIENCE, || Ok(!holds(&state, "私人微信")?))?;
    lab.agents[0].kill()?;
    assert!(!holds(&state, "私人微信")?);
    assert!(holds(&state, "li.na")?, "whom the ledger tells of is there");
    Ok(())
}

fn holds(dir: &Path, text: &str) -> anyhow::Result<bool> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let found = if path.is_dir() {
            holds(&path, text)?
        } else {
            // The write-ahead log may go at any moment.
            fs::read(&path).unwrap_or_default().windows(text.len()).any(|bytes| bytes == text.as_bytes())
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

fn fails_to_start(lab: &mut Lab) -> String {
    format!("{:#}", lab.collector.start().unwrap_err())
}

#[test]
fn keys_and_folders_that_others_may_read_keep_a_collector_from_starting() -> anyhow::Result<()> {
    let mut lab = Lab::new(0)?;
    let (_, encryption) = new_key(&lab)?;
    let dir = lab.collector.dir().to_owned();
    let keys =
        ["pki/collector.key", "pki/devices.key", "pki/collectors.key", "pki/tenant.key"].map(|name| dir.join(name));
    for key in keys.iter().chain([&encryption]) {
        fs::set_permissions(key, Permissions::from_mode(0o640))?;
        let told = fails_to_start(&mut lab);
        assert!(told.contains(&format!("run chmod 600 {}", key.display())), "{told}");
        fs::set_permissions(key, Permissions::from_mode(0o600))?;
    }
    fs::set_permissions(dir.join("data"), Permissions::from_mode(0o750))?;
    let told = fails_to_start(&mut lab);
    assert!(told.contains(&format!("run chmod 700 {}", dir.join("data").display())), "{told}");
    fs::set_permissions(dir.join("data"), Permissions::from_mode(0o700))?;
    lab.collector.start()?;
    Ok(())
}

/// A file with a passphrase, for its owner alone.
fn passphrase_file(lab: &Lab, name: &str, passphrase: &str) -> anyhow::Result<String> {
    let path = lab.dir().join(name);
    fs::write(&path, format!("{passphrase}\n"))?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(path.to_str().context("path")?.to_owned())
}

fn kept(lab: &Lab) -> anyhow::Result<Vec<String>> {
    let listed = lab.collector.json(&["key", "list"])?;
    Ok(listed.iter().map(|it| it["kept"].as_str().unwrap_or_default().to_owned()).collect())
}

#[test]
fn a_collector_keeps_its_keys_under_a_passphrase_and_says_what_it_misses() -> anyhow::Result<()> {
    let mut lab = Lab::new(0)?;
    let (_, encryption) = new_key(&lab)?;
    let (config, dir) = (lab.collector.config(), lab.collector.dir().to_owned());
    lab.collector.start()?;
    lab.collector.stop()?;
    let plain = fs::read(dir.join("pki/tenant.key"))?;
    let file = passphrase_file(&lab, "passphrase", RIGHT)?;
    let short = passphrase_file(&lab, "short", "too short")?;
    let refused = lab.collector.command(&["key", "encrypt", "--passphrase-file", &short])?;
    assert!(refused.stderr.contains("at least 12 characters"), "{refused:?}");
    lab.collector.command(&["key", "encrypt", "--passphrase-file", &file])?.ok()?;
    assert_eq!(kept(&lab)?, ["encrypted"; 6], "collector, log, devices, collectors, tenant, encryption");
    // Done again, it changes nothing and takes no other passphrase.
    let other = passphrase_file(&lab, "other", "staple staple staple")?;
    let refused = lab.collector.command(&["key", "encrypt", "--passphrase-file", &other])?;
    assert!(refused.stderr.contains("does not open"), "{refused:?}");

    let told = fails_to_start(&mut lab);
    assert!(told.contains("is encrypted, and nobody has said the passphrase"), "{told}");
    fs::write(&config, fs::read_to_string(&config)? + &format!("[keys]\npassphrase_file = \"{other}\"\n"))?;
    let told = fails_to_start(&mut lab);
    assert!(told.contains(&format!("the passphrase of {other} does not open")), "{told}");
    fs::copy(&file, &other)?;
    lab.collector.start()?;

    // Whatever is made from now on is encrypted, too.
    lab.collector.command(&["ca", "request", "--out", lab.dir().join("requests").to_str().context("path")?])?.ok()?;
    new_key(&lab)?;
    assert_eq!(kept(&lab)?, ["encrypted"; 9]);
    openssl_reads(&dir.join("pki/devices.key"), &file);
    openssl_reads(&encryption, &file);
    renewed_under_a_passphrase(&lab)?;

    let new = passphrase_file(&lab, "new", "staple staple staple")?;
    lab.collector.command(&["key", "change-passphrase", "--new-passphrase-file", &new])?.ok()?;
    lab.collector.stop()?;
    assert!(fails_to_start(&mut lab).contains("does not open"));
    // Done again, as after an interruption, it finds that it is done.
    let again = ["key", "change-passphrase", "--passphrase-file", &file, "--new-passphrase-file", &new];
    let again = again.into_iter().chain([encryption.to_str().context("path")?]).collect::<Vec<_>>();
    assert!(Command::new(&watchpost_tests::lab::binaries()?.collector).args(again).output()?.status.success());
    fs::copy(&new, &other)?;
    lab.collector.start()?;
    lab.collector.command(&["key", "decrypt"])?.ok()?;
    assert_eq!(kept(&lab)?, ["plain"; 9]);
    assert_eq!(fs::read(dir.join("pki/tenant.key"))?, plain);
    Ok(())
}

#[test]
fn a_passphrase_comes_from_the_environment_or_from_systemd() -> anyhow::Result<()> {
    let lab = Lab::new(0)?;
    let key = lab.collector.dir().join("pki/devices.key");
    fs::write(lab.dir().join("watchpost-passphrase"), RIGHT)?;
    let run = |verb: &str, name: &str, value: &Path| -> anyhow::Result<bool> {
        let mut command = Command::new(&watchpost_tests::lab::binaries()?.collector);
        command.args(["key", verb]).arg(&key).stdin(std::process::Stdio::null());
        Ok(command.env(name, value).output()?.status.success())
    };
    assert!(run("encrypt", "WATCHPOST_PASSPHRASE", Path::new(RIGHT))?);
    assert!(!run("decrypt", "WATCHPOST_PASSPHRASE", Path::new("staple staple staple"))?);
    assert!(!run("decrypt", "CREDENTIALS_DIRECTORY", &lab.dir().join("missing"))?);
    assert!(run("decrypt", "CREDENTIALS_DIRECTORY", lab.dir())?);
    assert!(fs::read_to_string(&key)?.contains("BEGIN PRIVATE KEY"));
    Ok(())
}

/// Not every machine has it.
fn openssl_reads(key: &Path, passphrase: &str) {
    let Ok(done) = Command::new("openssl")
        .args(["pkey", "-noout", "-in"])
        .arg(key)
        .args(["-passin", &format!("file:{passphrase}")])
        .output()
    else {
        return;
    };
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// The collector's own certificate is renewed by itself, and every key stays as it is.
fn renewed_under_a_passphrase(lab: &Lab) -> anyhow::Result<()> {
    let config = Config::load(&lab.collector.config())?;
    let files =
        || -> anyhow::Result<(Vec<u8>, Vec<u8>)> { Ok((fs::read(&config.certificate)?, fs::read(&config.key)?)) };
    let before = files()?;
    let clock = Clock::default();
    clock.set_ahead(300 * 24 * 60 * 60 * 1000);
    renew_own(&config, &clock)?;
    let after = files()?;
    assert_ne!(after.0, before.0, "renewed");
    assert_eq!(after.1, before.1, "the key stays encrypted");
    // As it was: the clock of everything else is not ahead.
    fs::write(&config.certificate, before.0)?;
    Ok(())
}
