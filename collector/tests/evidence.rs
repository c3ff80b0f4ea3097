//! Evidence stands on its own: it verifies with the root alone, here and in another language, and not one byte of it that
//! says something can be changed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use support::offline::Log;
use support::{Lab, finding};
use watchpost_collector::credentials;
use watchpost_collector::derive::open_read_only;
use watchpost_collector::evidence::{self, Asked, Candidate, Evidence, Proved, Wrong};
use watchpost_collector::log_key::signed_head;
use watchpost_collector::log_store::check::{Fault, check};
use watchpost_collector::trust::Trust;
use watchpost_proto::v1::{DeviceVerb, Lane, LogOpened, Summary, summary};
use watchpost_proto::witness::WitnessKey;
use watchpost_proto::{Message as _, note};

fn alert() -> Vec<u8> {
    match finding(1).kind {
        Some(summary::Kind::Finding(finding)) => finding.finding_id,
        _ => Vec::new(),
    }
}

fn withdrawn(number: u64) -> Summary {
    let mut summary = finding(number);
    if let Some(summary::Kind::Finding(finding)) = &mut summary.kind {
        finding.withdrawn = true;
    }
    summary
}

/// Two devices that tell one alert, among other things.
fn log() -> Log {
    let mut log = Log::new();
    let (mut a, mut b) = (log.lab.device(), log.lab.device());
    log.append(&mut a, Lane::Bulk, &[Summary::default()]);
    log.append(&mut a, Lane::Urgent, &[Summary::default(), finding(1), finding(2), Summary::default(), finding(3)]);
    log.append(&mut b, Lane::Urgent, &[finding(2)]);
    log.act(&a, DeviceVerb::Quarantine);
    log.act(&a, DeviceVerb::Release);
    log.append(&mut b, Lane::Bulk, &[Summary::default()]);
    log
}

fn export_with(log: &Log, kept: Option<&str>) -> Evidence {
    log.deriver().catch_up().unwrap();
    let derived = open_read_only(&log.lab.config.derived_db()).unwrap();
    let reader = log.reader();
    let head = signed_head(&log.lab.config, &reader).unwrap();
    let kept = kept.map(|note| note::read_unverified(note).unwrap());
    let head = [Candidate { note: head.note, witnesses: Vec::new() }];
    evidence::export(&reader, &derived, &alert(), &head, kept.as_ref()).unwrap()
}

fn export(log: &Log) -> Evidence {
    export_with(log, None)
}

fn trust(lab: &Lab, tenant: &str) -> Trust {
    Trust::new(&credentials::trusted(&lab.config.root).unwrap(), tenant).unwrap()
}

fn verify(log: &Log, evidence: &Evidence) -> Result<Proved, Wrong> {
    evidence::verify(evidence, &trust(&log.lab, support::TENANT), &Asked::default())
}

#[test]
fn an_alert_is_proved_by_its_file_and_the_root() {
    let log = log();
    let proved = verify(&log, &export(&log)).unwrap();
    assert_eq!((proved.rule.as_str(), proved.person.as_str()), ("sample.rule", "ww1/zhang"));
    assert_eq!((proved.devices.len(), proved.records.len()), (2, 4));
    assert!(proved.witnesses.is_empty() && !proved.compared);
    let texts: Vec<_> = proved.records.iter().map(|record| (record.item.msgid.as_str(), record.level)).collect();
    assert_eq!(texts, [("m1", "high"), ("m2", "high"), ("m3", "high"), ("m2", "high")]);
    assert!(proved.records.iter().all(|record| record.held && record.received_ms > 1_700_000_000_000));
}

#[test]
fn an_alert_whose_first_finding_was_taken_back_keeps_its_id() {
    let mut log = Log::new();
    let mut device = log.lab.device();
    log.append(&mut device, Lane::Urgent, &[finding(1), finding(2)]);
    log.append(&mut device, Lane::Urgent, &[withdrawn(1)]);
    let proved = verify(&log, &export(&log)).unwrap();
    let held: Vec<_> = proved.records.iter().map(|record| (record.item.msgid.as_str(), record.held)).collect();
    assert_eq!(held, [("m1", false), ("m2", true)]);
}

/// Every leaf of a JSON value, by its path.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| leaves(value, &format!("{at}/{name}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| leaves(value, &format!("{at}/{n}"), found));
        }
        _ => found.push(at.to_owned()),
    }
}

/// Changed as little as can be: a flipped bit in bytes and texts, one more in numbers.
fn altered(value: &Value, bit: usize) -> Value {
    match value {
        Value::Bool(value) => Value::Bool(!value),
        Value::Number(number) => Value::from(number.as_i64().unwrap() + 1),
        Value::String(text) => {
            let mut bytes = STANDARD.decode(text).unwrap_or_else(|_| text.clone().into_bytes());
            let at = bit % bytes.len();
            bytes[at] ^= 1;
            match STANDARD.decode(text) {
                Ok(_) => Value::String(STANDARD.encode(bytes)),
                Err(_) => Value::String(String::from_utf8_lossy(&bytes).into_owned()),
            }
        }
        other => panic!("{other} is no leaf"),
    }
}

/// What no proof covers, and says so in docs/evidence.md.
fn says_nothing(path: &str) -> bool {
    path == "/exported_ms" || path.ends_with("/held")
}

#[test]
fn no_field_can_be_changed_without_being_named() {
    let log = log();
    let sound = serde_json::to_value(export(&log)).unwrap();
    let mut paths = Vec::new();
    leaves(&sound, "", &mut paths);
    assert!(paths.len() > 60, "{}", paths.len());
    for path in paths.iter().filter(|path| !says_nothing(path)) {
        for bit in [0, 7, 40, 100, 301] {
            let mut changed = sound.clone();
            let leaf = changed.pointer_mut(path).unwrap();
            *leaf = altered(leaf, bit);
            // What does not even read as a file is refused before it is checked.
            let Ok(evidence) = serde_json::from_value::<Evidence>(changed) else { continue };
            let wrong = verify(&log, &evidence).expect_err(path);
            let part = path.trim_start_matches('/').split('/').next().unwrap();
            // A root that is another makes every proof to it wrong, and the first of these is named; an entry that
            // introduces another key is told by what that key should have signed.
            let told = wrong.at.starts_with(part)
                || (part == "checkpoint" && wrong.at == "log")
                || (part == "log" && wrong.at == "checkpoint")
                || (part == "keys" && wrong.at.starts_with("segments"));
            assert!(told, "{path} changed and named as {wrong}");
        }
    }
    let mut unproved = sound.clone();
    *unproved.pointer_mut("/exported_ms").unwrap() = 1.into();
    verify(&log, &serde_json::from_value(unproved).unwrap()).unwrap();
}

#[test]
fn whatever_stands_in_a_field_is_read_without_panic() {
    let log = log();
    let sound = serde_json::to_value(export(&log)).unwrap();
    let mut paths = Vec::new();
    leaves(&sound, "", &mut paths);
    let long = Value::from(STANDARD.encode(vec![0xff; 5000]));
    let deep = Value::from(vec![Value::from(STANDARD.encode([7; 32])); 70]);
    let odd =
        [0.into(), (-1).into(), u64::MAX.into(), i64::MAX.into(), "".into(), "AAAA".into(), Value::Null, long, deep];
    let arrays = paths.iter().filter_map(|path| path.strip_suffix("/path/0").map(|path| format!("{path}/path")));
    for path in paths.iter().cloned().chain(arrays).filter(|path| !says_nothing(path)) {
        for value in &odd {
            let mut changed = sound.clone();
            let leaf = changed.pointer_mut(&path).unwrap();
            if leaf == value {
                continue;
            }
            *leaf = value.clone();
            if let Ok(evidence) = serde_json::from_value::<Evidence>(changed) {
                assert!(verify(&log, &evidence).is_err(), "{path} as {value}");
            }
        }
    }
}

#[test]
fn nothing_can_be_left_out_added_or_moved() {
    let log = log();
    let sound = export(&log);
    type Change = fn(&mut Evidence);
    let cases: [(&str, Change); 14] = [
        ("segments[0]", |e| e.keys.clear()),
        ("segments", |e| e.segments.clear()),
        ("segments", |e| e.segments.iter_mut().for_each(|segment| segment.records.clear())),
        ("alert", |e| drop(e.segments[0].records.remove(0))),
        ("segments[0].records[1]", |e| e.segments[0].records[1] = e.segments[0].records[0].clone()),
        ("segments[2]", |e| e.segments.push(e.segments[0].clone())),
        ("segments[0].records[0]", |e| e.segments[0].records[0].path.clear()),
        ("segments[0].records[0]", |e| e.segments[0].records = e.segments[1].records.clone()),
        ("segments[1]", |e| e.segments[1].proof = e.segments[0].proof.clone()),
        ("keys[0]", |e| e.keys[0] = e.log.clone()),
        ("log", |e| e.log = e.keys[0].clone()),
        ("checkpoint", |e| e.checkpoint = e.checkpoint.lines().take(4).map(|line| line.to_owned() + "\n").collect()),
        ("witnesses[0]", |e| e.witnesses.push(WitnessKey::new("w.example", [7; 32]).unwrap().to_string())),
        ("format", |e| e.format = "watchpost-evidence/2".into()),
    ];
    for (expected, change) in cases {
        let mut changed = sound.clone();
        change(&mut changed);
        assert_eq!(verify(&log, &changed).expect_err(expected).at, expected);
    }
    verify(&log, &sound).unwrap();
}

/// What a collector that wants to may write into its own log; none of it is a device's word.
fn made_up() -> Vec<(&'static str, &'static str, Log)> {
    let of = |make: fn(&mut Log)| {
        let mut log = Log::new();
        make(&mut log);
        log
    };
    vec![
        (
            "segments[0]",
            "signature",
            of(|log| {
                let mut device = log.lab.device();
                let (mut segment, other) =
                    (device.seal(Lane::Urgent, &[finding(1)]), device.seal(Lane::Urgent, &[finding(1)]));
                segment.signature = other.signature;
                log.take(&device, segment);
            }),
        ),
        (
            "keys[0]",
            "under this root",
            of(|log| {
                let mut device = Lab::new().device();
                log.append(&mut device, Lane::Urgent, &[finding(1)]);
            }),
        ),
        (
            "keys[0]",
            "not of the device",
            of(|log| {
                let mut device = log.lab.device();
                device.id = log.lab.device().id;
                log.append(&mut device, Lane::Urgent, &[finding(1)]);
            }),
        ),
        (
            "segments[0]",
            "another tenant",
            of(|log| {
                let mut device = log.lab.device();
                device.tenant = "other".into();
                log.append(&mut device, Lane::Urgent, &[finding(1)]);
            }),
        ),
    ]
}

#[test]
fn what_a_collector_has_made_up_is_no_evidence() {
    for (at, reason, log) in made_up() {
        let evidence = export(&log);
        let wrong = verify(&log, &evidence).expect_err(reason);
        assert!(wrong.at == at && wrong.reason.contains(reason), "{reason}: {wrong}");
        if has("python3") && has("openssl") {
            let file = log.lab.dir().join("evidence.json");
            fs::write(&file, serde_json::to_vec(&evidence).unwrap()).unwrap();
            let output = python(&file, &log.lab.config.root, support::TENANT);
            assert!(!output.status.success(), "{reason}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

#[test]
fn what_a_collector_has_made_up_is_named_in_its_log() {
    for (_, _, log) in made_up() {
        let last = log.store.checkpoint().size - 1;
        let checked = check(&log.reader(), &trust(&log.lab, support::TENANT), &[], |_| ());
        assert!(
            matches!(&checked, Err(Fault::Entry { log_index, .. }) if *log_index >= 1 && *log_index <= last),
            "{checked:?}"
        );
    }
}

#[test]
fn another_companys_root_or_tenant_proves_nothing() {
    let log = log();
    let sound = export(&log);
    let stranger = Lab::new();
    let wrong = evidence::verify(&sound, &trust(&stranger, support::TENANT), &Asked::default()).unwrap_err();
    assert_eq!(wrong.at, "log");
    assert!(wrong.reason.contains("under this root"), "{wrong}");
    let wrong = evidence::verify(&sound, &trust(&log.lab, "other"), &Asked::default()).unwrap_err();
    assert_eq!(wrong.at, "tenant");
    let renamed = Evidence { tenant: "other".into(), ..sound };
    let wrong = evidence::verify(&renamed, &trust(&log.lab, "other"), &Asked::default()).unwrap_err();
    assert_eq!(wrong.at, "log");
}

#[test]
fn a_checkpoint_that_was_kept_must_lead_here() {
    let mut log = log();
    let early = signed_head(&log.lab.config, &log.reader()).unwrap().note;
    let mut device = log.lab.device();
    log.append(&mut device, Lane::Urgent, &[finding(1)]);
    let root = trust(&log.lab, support::TENANT);
    let asked = |note: &str| Asked { checkpoint: Some(note.into()), witnesses: Vec::new() };
    let with = export_with(&log, Some(&early));
    assert!(evidence::verify(&with, &root, &asked(&early)).unwrap().compared);
    assert!(evidence::verify(&with, &root, &asked(&with.checkpoint)).unwrap().compared);
    let without = evidence::verify(&export(&log), &root, &asked(&early)).unwrap_err();
    assert_eq!(without.at, "consistency");
    let mut altered = with.clone();
    altered.consistency.as_mut().unwrap().proof[0].0[0] ^= 1;
    assert_eq!(evidence::verify(&altered, &root, &asked(&early)).unwrap_err().at, "checkpoint");
    let (other, stranger) = (Log::new(), |log: &Log| signed_head(&log.lab.config, &log.reader()).unwrap().note);
    assert_eq!(
        evidence::verify(&with, &root, &asked(&stranger(&other))).unwrap_err().at,
        "the checkpoint that was kept"
    );
}

#[test]
fn a_witness_the_reader_asks_for_must_be_there() {
    let log = log();
    let asked = Asked { checkpoint: None, witnesses: vec![WitnessKey::new("w.example", [7; 32]).unwrap()] };
    let wrong = evidence::verify(&export(&log), &trust(&log.lab, support::TENANT), &asked).unwrap_err();
    assert!(wrong.at == "checkpoint" && wrong.reason.contains("w.example"), "{wrong}");
}

/// A file that was handed out once must verify for as long as anyone keeps it.
///
/// `WATCHPOST_WRITE_GOLDEN=1` writes the sample where there is none; it never overwrites it.
#[test]
fn the_file_that_was_shipped_still_verifies() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let (file, root) = (folder.join("evidence.json"), folder.join("evidence-root.crt"));
    if !file.exists() && std::env::var_os("WATCHPOST_WRITE_GOLDEN").is_some() {
        let log = log();
        fs::create_dir_all(&folder).unwrap();
        fs::write(&file, serde_json::to_string_pretty(&export(&log)).unwrap() + "\n").unwrap();
        fs::copy(&log.lab.config.root, &root).unwrap();
    }
    let text = fs::read_to_string(&file).expect("the golden sample is missing");
    let sample: Evidence = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string_pretty(&sample).unwrap() + "\n", text, "the format has changed");
    let trust = Trust::new(&credentials::trusted(&root).unwrap(), support::TENANT).unwrap();
    let proved = evidence::verify(&sample, &trust, &Asked::default()).unwrap();
    assert_eq!((proved.records.len(), proved.devices.len()), (4, 2));
    if has("python3") && has("openssl") {
        assert!(python(&file, &root, support::TENANT).status.success());
    }
}

/// Whether another program is there; without it a test says that it was passed over.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg(if program == "openssl" { "version" } else { "--version" }).output();
    let there = found.is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("SKIPPED: {program} is not installed, so nothing that is not ours has checked the evidence");
    }
    there
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/verify_evidence.py")
}

fn python(file: &Path, root: &Path, tenant: &str) -> Output {
    Command::new("python3").arg(script()).args([file, root]).arg(tenant).output().unwrap()
}

#[test]
fn a_script_in_another_language_says_the_same() {
    if !has("python3") || !has("openssl") {
        return;
    }
    let log = log();
    let sound = serde_json::to_value(export(&log)).unwrap();
    let file = log.lab.dir().join("evidence.json");
    let run = |value: &Value, root: &Path| {
        fs::write(&file, value.to_string()).unwrap();
        let output = python(&file, root, support::TENANT);
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (holds, said) = run(&sound, &log.lab.config.root);
    assert!(holds && said.contains("the evidence holds: 4 records"), "{said}");
    for path in [
        "/checkpoint",
        "/log/header",
        "/keys/0/header",
        "/keys/1/path/0",
        "/segments/0/proof/header",
        "/segments/0/proof/salt",
        "/segments/0/records/0/bytes",
        "/segments/0/records/0/path/0",
        "/segments/1/proof/path/0",
        "/alert",
    ] {
        let mut changed = sound.clone();
        let leaf = changed.pointer_mut(path).unwrap();
        *leaf = altered(leaf, 40);
        let (holds, said) = run(&changed, &log.lab.config.root);
        assert!(!holds, "{path}: {said}");
    }
    let stranger = Lab::new();
    let (holds, said) = run(&sound, &stranger.config.root);
    assert!(!holds && said.contains("log: its chain"), "{said}");
}

#[test]
fn openssl_believes_the_chains() {
    if !has("openssl") {
        return;
    }
    let log = log();
    let evidence = export(&log);
    let opened = LogOpened::decode(&evidence.log.header.0[..]).unwrap();
    let mut chains = vec![("sslserver", opened.signer_chain)];
    for key in &evidence.keys {
        chains.push(("sslclient", watchpost_proto::v1::KeyEvent::decode(&key.header.0[..]).unwrap().chain));
    }
    let stranger = Lab::new();
    for (purpose, chain) in chains {
        let pem = |ders: &[Vec<u8>]| -> String {
            let one = |der: &Vec<u8>| {
                format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
            };
            ders.iter().map(one).collect()
        };
        let (leaf, rest) = (log.lab.dir().join("leaf.pem"), log.lab.dir().join("rest.pem"));
        fs::write(&leaf, pem(&chain[..1])).unwrap();
        fs::write(&rest, pem(&chain[1..])).unwrap();
        for (root, holds) in [(&log.lab.config.root, true), (&stranger.config.root, false)] {
            let mut verify = Command::new("openssl");
            verify.args(["verify", "-purpose", purpose, "-x509_strict", "-CAfile"]).arg(root);
            let output = verify.arg("-untrusted").args([&rest, &leaf]).output().unwrap();
            assert_eq!(output.status.success(), holds, "{purpose}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

fn collector(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_watchpost-collector")).args(args).output().unwrap()
}

#[test]
fn the_commands_write_and_check_a_file() {
    let log = log();
    log.deriver().catch_up().unwrap();
    let config = log.lab.dir().join("collector/collector.toml").display().to_string();
    let (file, root) =
        (log.lab.dir().join("case.json").display().to_string(), log.lab.config.root.display().to_string());
    let id = hex::encode(alert());
    let made = collector(&["evidence", "export", &id, "--out", &file, "--config", &config]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(String::from_utf8_lossy(&made.stdout).contains("没有见证方"));
    let held = collector(&["verify", &file, "--root", &root]);
    let said = String::from_utf8_lossy(&held.stdout).into_owned();
    assert!(held.status.success(), "{}", String::from_utf8_lossy(&held.stderr));
    for expected in ["证据成立", "The evidence holds", "m2", "无见证方", "none has seen", "Not proved", "未证明"]
    {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let held = collector(&["verify", &file, "--root", &root, "--tenant", "other", "--json"]);
    let said: Value = serde_json::from_slice(&held.stdout).unwrap();
    assert_eq!((held.status.code(), &said["ok"], &said["at"]), (Some(1), &false.into(), &"tenant".into()));
    let none = collector(&["evidence", "export", &"0".repeat(64), "--out", &file, "--config", &config]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("there is no alert"));
}
