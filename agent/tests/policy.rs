//! `policy` as its users run it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A pack with this detection and these tests in one rule `r`, whose detection stands in line 10.
fn pack(detection: &str, tests: &str) -> String {
    format!(
        "pack: p\nversion: 1\ntitle: {{ zh: 包, en: P }}\nrules:\n  - id: r\n    title: {{ zh: 规则, en: Rule }}\n    category: c\n    \
         level: high\n    detection:\n{detection}\n    tests: [{tests}]\n"
    )
}

const SOUND_TESTS: &str = "{ text: 保本保收益, hit: true }, { text: 你好, hit: false }";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

fn policy(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost-agent"));
    let command = command.current_dir(dir).arg("policy").args(arguments).stdin(Stdio::null());
    command.env_remove("NO_COLOR").env("LANG", "C").env("LC_ALL", "C").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn rows(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn check_shows_every_mistake_with_its_line_and_a_caret() {
    let bad = pack("      a: { words: [保本保收益, 单], word_file: x.txt }\n      condition: b", SOUND_TESTS);
    let dir = folder(&[
        ("bad.yaml", &bad),
        ("good.yaml", &pack("      a: { words: [保本] }\n      condition: a", SOUND_TESTS)),
    ]);
    let output = policy(dir.path(), &["check", "bad.yaml", "good.yaml", "missing.yaml"]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    for part in [
        "error: word `单`: a single character",
        " --> bad.yaml:10:27\n   |\n10 |       a: { words: [保本保收益, 单], word_file: x.txt }\n   |                                ^^\n",
        "error: the selection `a` has no key `word_file`\n",
        "= help: did you mean `words_file`?",
        "error: there is no selection `b`",
        "p version 1: 1 rules, digest ",
        "error: No such file or directory",
        "mistakes, 0 warnings",
    ] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    let json = rows(&policy(dir.path(), &["check", "bad.yaml", "--json"]));
    let known = json.iter().find(|row| row["suggestion"] == "words_file").unwrap();
    assert_eq!((&known["line"], &known["severity"], &known["file"]), (&10.into(), &"error".into(), &"bad.yaml".into()));
}

#[test]
fn check_warns_of_what_works_but_perhaps_not_as_meant() {
    let nested =
        pack("      a: { words: [保本, 保本保收益] }\n      condition: a and not a", "{ text: 一, hit: false }");
    let dir = folder(&[("warn.yaml", &nested)]);
    let output = policy(dir.path(), &["check", "warn.yaml"]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "a warning is no mistake: {shown}");
    for part in ["holds the word `保本`", "can never hold", "has no test that must hit", "0 mistakes, 3 warnings"] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
}

#[test]
fn hostile_packs_are_harmless_on_a_terminal() {
    let hostile = pack(
        "      a: { words: [\"\\e[31m\\u202E单\"] }\n      \u{202E}bé: 1\n      condition: \"\\e[2J\"",
        SOUND_TESTS,
    );
    let dir = folder(&[("h.yaml", &hostile)]);
    for arguments in [&["check", "h.yaml"][..], &["check", "h.yaml", "--json"], &["test", "h.yaml"]] {
        let output = policy(dir.path(), arguments);
        let all = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(all.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202E}'), None, "{all:?}");
        assert_eq!(output.status.code(), Some(1));
    }
}
