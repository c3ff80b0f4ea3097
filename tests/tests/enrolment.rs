//! A device from its token to its first finding, as IT does it: one string, real programs, no certificate copied by hand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use watchpost_tests::lab::{Agent, Finished, Lab};
use watchpost_tests::outcome;

const PATIENCE: Duration = Duration::from_secs(120);

fn export(msgid: &str) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let message = json!({
        "msgid": msgid, "action": "send", "from": "staff0001", "tolist": ["wmInVeNtEd000001customerAAAAAAAA"],
        "roomid": "", "msgtime": now - 60_000, "msgtype": "text",
        "text": { "content": "您好，这款理财产品保本保收益，您看什么时候方便" }
    });
    format!("{message}\n").into_bytes()
}

/// A lab with a running collector and no device.
fn lab() -> anyhow::Result<Lab> {
    let mut lab = Lab::new(0)?;
    lab.collector.start()?;
    Ok(lab)
}

fn token(lab: &Lab, arguments: &[&str]) -> anyhow::Result<String> {
    let all = [&["token", "create", "--by", "it"], arguments].concat();
    Ok(lab.collector.command(&all)?.ok()?.trim().to_owned())
}

/// A file with the token, beside the device.
fn token_file(agent: &Agent, token: &str) -> anyhow::Result<PathBuf> {
    let path = agent.dir().join("token.txt");
    fs::write(&path, format!("{token}\n"))?;
    Ok(path)
}

fn enroll(agent: &Agent, token: &str, more: &[&str]) -> anyhow::Result<Finished> {
    let path = token_file(agent, token)?;
    let file = path.to_str().context("path")?;
    agent.command_configured(&[&["enroll", "--token-file", file], more].concat())
}

fn devices(lab: &Lab) -> anyhow::Result<Vec<Value>> {
    lab.collector.json(&["device", "list"])
}

fn refused(finished: &Finished, code: &str) {
    assert!(!finished.status.success(), "{finished:?}");
    assert!(finished.stderr.contains(code), "{finished:?}");
    assert!(finished.stderr.contains('。'), "no Chinese sentence: {finished:?}");
}

#[test]
fn one_string_enrols_a_device_and_its_findings_arrive() -> anyhow::Result<()> {
    let mut lab = lab()?;
    let token = token(&lab, &["--group", "sales", "--site", "shanghai", "--ttl", "1h"])?;
    lab.add_stranger()?;
    let before = lab.agents[0].command_configured(&["run"])?;
    ensure!(!before.status.success() && before.stderr.contains("not enrolled"), "{before:?}");

    let enrolled = enroll(&lab.agents[0], &token, &["--json"])?.json_lines()?.remove(0);
    assert_eq!((&enrolled["group"], &enrolled["proved"]), (&json!("sales"), &json!(true)), "{enrolled}");
    let again = enroll(&lab.agents[0], &token, &["--json"])?.json_lines()?.remove(0);
    assert_eq!(again["device"], enrolled["device"], "the same token and key");
    let tokens = lab.collector.json(&["token", "list"])?;
    assert_eq!((&tokens[0]["uses"], &tokens[0]["state"]), (&json!(1), &json!("used-up")), "no second use");

    lab.agents[0].drop_export("first.jsonl", &export("first"))?;
    lab.agents[0].start()?;
    lab.wait_until("the finding arrives", PATIENCE, || Ok(outcome::findings(&lab.collector)?.len() == 1))?;
    let device = devices(&lab)?.remove(0);
    assert_eq!(device["device"], enrolled["device"]);
    assert_eq!((&device["group"], &device["site"]), (&json!("sales"), &json!("shanghai")));
    assert_eq!(device["certificate_proved"], json!(true));
    lab.collector.command(&["log", "verify"])?.ok()?;

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let identity = lab.agents[0].state().join("identity");
        for name in ["device.key", "tenant.key"] {
            let mode = fs::metadata(identity.join(name))?.permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
    let log = lab.agents[0].log() + &lab.collector.log();
    assert!(!log.contains(&token), "the token stands in a log");
    let credential = watchpost_proto::token::Token::parse(&token)?.credential;
    for file in ["log.db", "log.db-wal", "derived.db", "derived.db-wal"] {
        let bytes = fs::read(lab.collector.dir().join("data").join(file)).unwrap_or_default();
        assert!(!bytes.windows(32).any(|window| window == credential), "{file} holds the credential");
    }
    Ok(())
}

#[test]
fn tokens_that_do_not_hold_are_refused_with_their_code() -> anyhow::Result<()> {
    let mut lab = lab()?;
    let once = token(&lab, &["--ttl", "1h"])?;
    let withdrawn = token(&lab, &["--ttl", "1h"])?;
    let id = lab.collector.json(&["token", "list"])?.into_iter().find(|it| it["uses"] == json!(0)).context("token")?;
    let id = id["token"].as_str().context("id")?.to_owned();
    let parsed = |text: &str| {
        watchpost_proto::token::Token::parse(text)
            .map(|token| watchpost_proto::token::credential_digest(&token.credential).to_string())
    };
    let (once, withdrawn) = if parsed(&once)? == id { (withdrawn, once) } else { (once, withdrawn) };
    lab.collector.command(&["token", "revoke", &id[..10], "--reason", "sent to the wrong people"])?.ok()?;
    for _ in 0..2 {
        lab.add_stranger()?;
    }
    refused(&enroll(&lab.agents[0], &withdrawn, &[])?, "token_revoked");
    enroll(&lab.agents[0], &once, &[])?.ok()?;
    refused(&enroll(&lab.agents[1], &once, &[])?, "token_used_up");

    let mut foreign = watchpost_proto::token::Token::parse(&once)?;
    foreign.credential = [1; 32];
    refused(&enroll(&lab.agents[1], &foreign.encode(), &[])?, "token_unknown");
    foreign.root_pin = watchpost_proto::Digest([1; 32]);
    refused(&enroll(&lab.agents[1], &foreign.encode(), &[])?, "intercepted");
    let damaged = enroll(&lab.agents[1], &once[..once.len() - 3], &[])?;
    assert!(damaged.stderr.contains("damaged"), "{damaged:?}");
    assert_eq!(devices(&lab)?.len(), 1, "nobody else got in");
    Ok(())
}

#[test]
fn a_wave_goes_past_the_queue_by_the_list_of_assets_and_everyone_else_waits() -> anyhow::Result<()> {
    let mut lab = lab()?;
    let list = lab.dir().join("assets.csv");
    fs::write(&list, "asset,group,site\nPF3K01,sales,shanghai\nPF3K02,sales,beijing\nPF3K03,,\n")?;
    lab.collector.command(&["device", "expected", "import", list.to_str().context("path")?])?.ok()?;
    let token = token(&lab, &["--group", "other", "--for", "listed", "--ttl", "21d", "--uses", "10"])?;
    for _ in 0..3 {
        lab.add_stranger()?;
    }
    enroll(&lab.agents[0], &token, &["--asset", "PF3K01"])?.ok()?;
    refused(&enroll(&lab.agents[1], &token, &["--asset", "PF3K99"])?, "approval_pending");
    // An asset enrols once; a second machine that calls itself so has to be looked at.
    let twin = enroll(&lab.agents[2], &token, &["--asset", "PF3K01"])?;
    refused(&twin, "approval_pending");

    let queue = lab.collector.json(&["device", "queue"])?;
    assert_eq!(queue.len(), 2, "{queue:?}");
    let stranger = queue.iter().find(|it| it["asset"] == json!("PF3K99")).context("not in the queue")?;
    let code = stranger["code"].as_str().context("code")?;
    let twin_code = queue.iter().find(|it| it["asset"] == json!("PF3K01")).context("not in the queue")?["code"].clone();
    let twin_code = twin_code.as_str().context("code")?;
    assert!(twin.stderr.contains(twin_code), "the device shows the code of the queue: {}", twin.stderr);
    lab.collector.command(&["device", "reject", twin_code, "--reason", "not ours"])?.ok()?;
    lab.collector.command(&["device", "admit", code, "--reason", "seen on the desk"])?.ok()?;
    enroll(&lab.agents[1], &token, &["--asset", "PF3K99"])?.ok()?;
    refused(&enroll(&lab.agents[2], &token, &["--asset", "PF3K01"])?, "approval_rejected");

    let said = lab.collector.command(&["device", "expected", "list"])?.ok()?;
    assert!(said.contains("enrolled 1 of 3, never seen 2"), "{said}");
    let groups: Vec<_> = devices(&lab)?.into_iter().map(|device| device["group"].clone()).collect();
    assert!(groups.contains(&json!("sales")) && groups.contains(&json!("other")), "{groups:?}");
    lab.collector.command(&["log", "verify"])?.ok()?;
    Ok(())
}

#[test]
fn a_device_that_finds_a_token_enrols_by_itself() -> anyhow::Result<()> {
    let mut lab = lab()?;
    let token = token(&lab, &["--for", "approval", "--ttl", "1h"])?;
    let agent = lab.add_stranger()?;
    token_file(agent, &token)?;
    let text = fs::read_to_string(agent.config())? + "\n[enrolment]\ntoken_file = \"token.txt\"\nasset = \"PF3K07\"\n";
    fs::write(agent.config(), text)?;
    agent.drop_export("first.jsonl", &export("first"))?;
    agent.launch()?;
    lab.wait_until("the device waits", PATIENCE, || Ok(lab.collector.json(&["device", "queue"])?.len() == 1))?;
    lab.collector.command(&["device", "admit", "--by", "it", lab_code(&lab)?.as_str()])?.ok()?;
    // It asks again within a minute; one that was just started asks at once.
    lab.agents[0].kill()?;
    lab.agents[0].launch()?;
    lab.wait_until("the finding arrives", PATIENCE, || Ok(outcome::findings(&lab.collector)?.len() == 1))?;
    Ok(())
}

fn lab_code(lab: &Lab) -> anyhow::Result<String> {
    let queue = lab.collector.json(&["device", "queue"])?;
    Ok(queue[0]["code"].as_str().context("code")?.to_owned())
}

#[test]
fn a_revoked_device_is_cut_off_at_once_and_gets_back_in_when_released() -> anyhow::Result<()> {
    let mut lab = lab()?;
    let token = token(&lab, &["--ttl", "1h", "--uses", "5"])?;
    lab.add_stranger()?;
    enroll(&lab.agents[0], &token, &[])?.ok()?;
    lab.agents[0].start()?;
    let connected = |lab: &Lab| -> anyhow::Result<bool> {
        let status = lab.agents[0].command_configured(&["status", "--json"])?.json_lines()?.remove(0);
        Ok(status["uplink"]["connected"] == json!(true))
    };
    lab.wait_until("the device is connected", PATIENCE, || connected(&lab))?;
    let device = devices(&lab)?.remove(0)["device"].as_str().context("device")?.to_owned();
    lab.collector.command(&["device", "revoke", &device, "--reason", "laptop stolen"])?.ok()?;
    let started = std::time::Instant::now();
    lab.wait_until("the stream is cut", PATIENCE, || Ok(!connected(&lab)?))?;
    eprintln!("cut within {:?} of the command's end", started.elapsed());
    let status = lab.agents[0].command_configured(&["status"])?.ok()?;
    assert!(status.contains("device_revoked") && status.contains("已被停用"), "{status}");
    refused(&enroll(&lab.agents[0], &token, &[])?, "device_revoked");

    lab.agents[0].stop()?;
    lab.collector.command(&["device", "release", &device, "--reason", "found again"])?.ok()?;
    lab.agents[0].start()?;
    lab.wait_until("the device is connected again", PATIENCE, || connected(&lab))?;
    Ok(())
}
