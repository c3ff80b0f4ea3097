//! `scan` as its users run it: a process, its output and its exit code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const CUSTOMER: &str = "wmExAmPlEAAA0001customerAAAAAAAA";
const PRIVATE: &str = "您好，加我私微吧";

fn line(msgid: &str, text: &str) -> String {
    let message = json!({
        "msgid": msgid, "action": "send", "from": "li.na", "tolist": [CUSTOMER], "roomid": "",
        "msgtime": 1_772_416_861_007_i64, "msgtype": "text", "text": { "content": text },
    });
    format!("{message}\n")
}

fn scan(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost-agent"));
    let command = command.current_dir(dir).arg("scan").args(arguments);
    command.env_remove("NO_COLOR").env("LANG", "C").env("LC_ALL", "C").stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn rows(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A folder with `files`, by name and content.
fn folder(files: &[(&str, String)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}

#[test]
fn people_see_file_line_parties_time_rules_and_the_hit() {
    let both = "公司微信不能用，加我私人微信，定金转我支付宝";
    let dir = folder(&[("ex/a.jsonl", line("1", "早") + &line("2", both)), ("ex/b/c.jsonl", line("3", "绕🎉开公司"))]);
    let output = scan(dir.path(), &["ex", "--context", "4"]);
    assert_eq!(
        text(&output.stdout),
        "ex/a.jsonl
     2  2026-03-02 10:01:01  li.na → wmExAmPlEAAA0001customerAAAAAAAA
        high     diversion.private-contact  Customer asked to use a private contact
        critical diversion.private-payment  Customer asked to pay a private account
        …不能用，加我私人微信，定金转我支付宝

ex/b/c.jsonl
     1  2026-03-02 10:01:01  li.na → wmExAmPlEAAA0001customerAAAAAAAA
        high     diversion.off-book  Deal offered behind the company's back  [skipped]
        绕🎉开公司
"
    );
    assert_eq!(output.status.code(), Some(0));
    let chinese = scan(dir.path(), &["ex", "--lang", "zh", "--color", "always"]);
    assert!(text(&chinese.stdout).contains("引导客户加私人联系方式"));
    assert!(text(&chinese.stdout).contains("\u{1B}[1m\u{1B}[31m加我私人微信\u{1B}[0m"));
    assert!(text(&chinese.stderr).contains("3 条命中"), "{}", text(&chinese.stderr));
}

#[test]
fn programs_get_one_object_a_finding_and_nothing_else() {
    let dir = folder(&[("a.jsonl", line("1", PRIVATE) + "nonsense\n")]);
    let output = scan(dir.path(), &[".", "--format", "jsonl"]);
    let row = json!({
        "rule": "diversion.private-contact", "pack": "customer-diversion", "level": "high", "category": "customer-diversion",
        "file": "./a.jsonl", "line": 1, "msgid": "1", "msgtime": 1_772_416_861_007_i64, "from": "li.na", "to": [CUSTOMER],
        "roomid": null, "msgtype": "text",
        "hits": [
            { "word": "加我私微", "selection": "ask", "field": "text.content", "start": 3, "end": 7, "channel": "exact" }
        ],
    });
    assert_eq!(rows(&output), [row]);
    assert!(text(&output.stderr).contains("1 findings") && text(&output.stderr).contains("defect not_json"));
}

#[test]
fn the_output_is_the_same_whatever_the_threads_and_a_message_is_told_once() {
    let files: Vec<(String, String)> = (0..12)
        .map(|file| {
            let mut content = String::new();
            for at in 0..40 {
                // Every second message stands in all files.
                let id = if at % 2 == 0 { format!("shared-{at}") } else { format!("{file}-{at}") };
                content.push_str(&line(&id, PRIVATE));
            }
            (format!("{file:02}.jsonl"), content)
        })
        .collect();
    let files: Vec<(&str, String)> = files.iter().map(|(name, content)| (name.as_str(), content.clone())).collect();
    let dir = folder(&files);
    let expected = rows(&scan(dir.path(), &[".", "--format", "jsonl", "--threads", "1"]));
    assert_eq!(expected.len(), 20 + 12 * 20);
    assert!(expected[..40].iter().all(|row| row["file"] == "./00.jsonl"), "the first file tells what all have");
    for threads in ["2", "5", "64"] {
        assert_eq!(rows(&scan(dir.path(), &[".", "--format", "jsonl", "--threads", threads])), expected, "{threads}");
    }
}

#[test]
fn hostile_text_never_reaches_the_terminal() {
    let hostile = "\u{1B}]0;x\u{7}\u{1B}[2J加我\u{200B}私人微信\u{202E}\u{9B}31m\u{8}\u{7F}\u{2066}";
    let mut message: Value = serde_json::from_str(&line("1", hostile)).unwrap();
    message["from"] = "li\u{1B}[31m\u{202E}na".into();
    message["roomid"] = "wr\u{1B}[5m".into();
    let dir = folder(&[("a\u{1B}[7m\u{202E}.jsonl", format!("{message}\n")), ("b\u{1B}[7m.jsonl", "x\n".into())]);
    for arguments in [&["."][..], &[".", "--format", "jsonl"], &[".", "--lang", "zh"], &["/nowhere\u{1B}[1m"]] {
        let output = scan(dir.path(), arguments);
        let all = text(&output.stdout) + &text(&output.stderr);
        let raw =
            all.chars().find(|c| (c.is_control() && *c != '\n') || matches!(*c, '\u{200B}' | '\u{202E}' | '\u{2066}'));
        assert_eq!(raw, None, "{arguments:?}: {all:?}");
    }
    assert_eq!(rows(&scan(dir.path(), &[".", "--format", "jsonl"]))[0]["from"], "li\u{1B}[31m\u{202E}na");
}

#[test]
fn what_cannot_be_read_is_reported_and_the_rest_goes_on() {
    let dir = folder(&[("c.csv", "a,b\n1,2\n".into()), ("z.jsonl", line("1", PRIVATE))]);
    std::fs::write(dir.path().join("b.jsonl.gz"), b"\x1f\x8b\x08\x00").unwrap();
    let output = scan(dir.path(), &[".", "--format", "jsonl", "--exit-code"]);
    assert_eq!((rows(&output).len(), output.status.code()), (1, Some(3)));
    let told = text(&output.stderr);
    for part in ["./b.jsonl.gz: its compressed data is damaged", "./c.csv: no message was found"] {
        assert!(told.contains(part), "{told}");
    }
    let missing = scan(dir.path(), &["missing.jsonl", "z.jsonl"]);
    assert_eq!(missing.status.code(), Some(1), "what was named could not be read");
    assert!(text(&missing.stdout).contains("diversion.private-contact"), "the rest goes on");
    assert!(text(&missing.stderr).contains("missing.jsonl: No such file"));
}

#[test]
fn exit_codes() {
    let dir = folder(&[("hit.jsonl", line("1", PRIVATE)), ("none.jsonl", line("2", "早"))]);
    for (arguments, code) in [
        (&["hit.jsonl"][..], 0),
        (&["hit.jsonl", "--exit-code"], 3),
        (&["none.jsonl", "--exit-code"], 0),
        (&["none.jsonl", "missing", "--exit-code"], 1),
        (&["hit.jsonl", "--policy", "missing.yaml"], 1),
        (&[], 2),
    ] {
        assert_eq!(scan(dir.path(), arguments).status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn standard_input_is_an_export_too() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost-agent"));
    let command = command.args(["scan", "-", "--format", "jsonl"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    // Without an end of line, as `printf` writes.
    child.stdin.take().unwrap().write_all(line("1", PRIVATE).trim_end().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(rows(&output)[0]["file"], "-");
}

/// `scan … | head -1` ends quietly, with some exports unread and all threads waiting to tell more.
#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_trouble() {
    let mut content = String::new();
    for at in 0..20_000 {
        write!(content, "{}", line(&at.to_string(), PRIVATE)).unwrap();
    }
    let dir = folder(&[("a.jsonl", content.clone()), ("b.jsonl", content.clone()), ("c.jsonl", content)]);
    let program = env!("CARGO_BIN_EXE_watchpost-agent");
    let script = format!("'{program}' scan . --threads 3 --format jsonl | head -n 1; echo \"${{PIPESTATUS[0]}}\"");
    let output = Command::new("bash").current_dir(dir.path()).args(["-c", &script]).output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout).lines().last(), Some("0"));
}

#[test]
fn windows_are_told_when_everything_is_read() {
    let pack = "pack: p
version: 1
title: { zh: 包, en: Pack }
rules:
  - { id: many, title: { zh: 刷屏, en: Flood }, category: c, level: low, window: { count: 3, within: 10m },
      detection: { a: { words: [转账] }, condition: a } }
  - { id: broken, title: { zh: 拆字, en: Broken }, category: c, level: high, window: { join: true, within: 90s },
      detection: { a: { words: [加微信] }, condition: a } }
";
    let line = |second: i64, msgid: &str, text: &str| {
        line(msgid, text).replace("1772416861007", &(1_772_416_800_000 + second * 1000).to_string())
    };
    let one = line(1, "1", "转账") + &line(2, "2", "加");
    let two = line(3, "3", "微信") + &line(4, "4", "转账") + &line(1, "1", "转账");
    let three = line(61, "5", "快转账");
    let files = [("p.yaml", pack.to_owned()), ("ex/a.jsonl", one), ("ex/b.jsonl", two), ("ex/c.jsonl", three)];
    let dir = folder(&files);
    let found = |arguments: &[&str]| {
        let output = scan(dir.path(), &[&["--policy", "p.yaml", "--format", "jsonl"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        rows(&output)
    };
    let rows = found(&["ex"]);
    let told: Vec<_> =
        rows.iter().map(|row| (row["rule"].as_str(), row["line"].as_u64(), &row["window"]["value"])).collect();
    assert_eq!(told, [(Some("many"), Some(1), &json!(3)), (Some("broken"), Some(2), &json!(1))]);
    assert_eq!(rows[1]["hits"][0]["field"], "joined");
    assert_eq!(found(&["ex/c.jsonl", "ex/a.jsonl", "ex/b.jsonl"]), rows, "the order does not matter");
    assert_eq!(found(&["ex/a.jsonl", "ex/b.jsonl"]).len(), 1, "a repeat counts once");
    let table = text(&scan(dir.path(), &["ex", "--policy", "p.yaml", "--lang", "zh"]).stdout);
    assert!(
        table.contains("60 秒内 3 条") && table.contains("拆成 2 条发送") && table.contains("joined: 加微信"),
        "{table}"
    );
}
