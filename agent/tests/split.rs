//! `split` as IT runs it on an archive host: a process, the files it leaves, its exit code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;

const CUSTOMER: &str = "wmExAmPlEAAA0001customerAAAAAAAA";
const ACCOUNTS: &str = "corp,userid,name,labels,never\nww1,Li.Na,李娜,,\nww1,zhouqiang,周强,,\nww1,counsel,,,true\n";

fn line(msgid: &str, from: &str, to: &[&str]) -> String {
    let message = json!({
        "msgid": msgid, "action": "send", "from": from, "tolist": to, "roomid": "",
        "msgtime": 1_772_416_861_007_i64, "msgtype": "text", "text": { "content": "早" },
    });
    format!("{message}\n")
}

fn split(dir: &Path, out: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost-agent"));
    let arguments =
        ["split", "ex", "--by", "account", "--accounts", "accounts.csv", "--corp", "ww1", "--out", out, "--json"];
    command.current_dir(dir).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Files below a folder: message ids by account and name.
fn written(out: &Path) -> BTreeMap<String, Vec<String>> {
    let mut files = BTreeMap::new();
    for folder in std::fs::read_dir(out).unwrap().map(Result::unwrap) {
        for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            let text = std::fs::read_to_string(file.path()).unwrap();
            let msgid = |line: &str| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["msgid"].as_str().unwrap().to_owned()
            };
            let name = format!("{}/{}", folder.file_name().to_string_lossy(), file.file_name().to_string_lossy());
            files.insert(name, text.lines().map(msgid).collect());
        }
    }
    files
}

fn setup() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("ex")).unwrap();
    std::fs::write(dir.path().join("accounts.csv"), ACCOUNTS).unwrap();
    let lines = [
        line("m1", "li.na", &[CUSTOMER]),
        line("m2", "LI.NA", &["zhouqiang", CUSTOMER]),
        line("m3", "somebody", &[CUSTOMER]),
        line("m4", "li.na", &["counsel"]),
        line("m5", CUSTOMER, &["zhouqiang"]),
    ];
    std::fs::write(dir.path().join("ex/a.jsonl"), lines.concat()).unwrap();
    dir
}

#[test]
fn each_account_gets_its_own_messages_and_nobody_gets_those_of_the_never_list() {
    let dir = setup();
    let output = split(dir.path(), "out");
    assert!(output.status.success(), "{output:?}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told, json!({ "exports": 1, "messages": 5, "written": 3, "left_out": 2, "files": 2, "accounts": 2 }));
    let files = written(&dir.path().join("out"));
    let of = |account: &str| files.iter().find(|(name, _)| name.starts_with(account)).map(|(_, ids)| ids.clone());
    assert_eq!(of("li.na/"), Some(vec!["m1".to_owned(), "m2".to_owned()]));
    assert_eq!(of("zhouqiang/"), Some(vec!["m2".to_owned(), "m5".to_owned()]));
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(split(dir.path(), "out").status.success());
    assert_eq!(written(&dir.path().join("out")), files, "the same export gives the same files");
}

#[test]
fn an_export_that_cannot_be_read_to_its_end_leaves_nothing() {
    let dir = setup();
    let packed = {
        let text: String = (0..20_000).map(|at| line(&format!("n{}", at * 7919), "li.na", &[CUSTOMER])).collect();
        zstd::encode_all(text.as_bytes(), 1).unwrap()
    };
    std::fs::write(dir.path().join("ex/b.zst"), &packed[..packed.len() - 9]).unwrap();
    let output = split(dir.path(), "out");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("b.zst"), "{output:?}");
    let files = written(&dir.path().join("out"));
    assert_eq!(files.len(), 2, "only those of the whole one: {files:?}");
}

#[test]
fn the_output_may_not_lie_in_what_is_read() {
    let dir = setup();
    let output = split(dir.path(), "ex/out");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--out"), "{output:?}");
}
