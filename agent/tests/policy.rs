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

const DENIED: &str = "      a: { words: [保本, 稳赚不赔] }\n      b: { words: [不是], near: a, within: 3 }\n      condition: a and not b";

#[test]
fn test_says_why_a_test_fails_and_what_no_test_touches() {
    let dir = folder(&[("p.yaml", &pack(DENIED, "{ text: 这个不是保本的, hit: true }, { text: 你好, hit: false }"))]);
    let output = policy(dir.path(), &["test", "p.yaml", "--coverage"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stdout),
        "failed line 13: should hit: 这个不是保本的
✗ p/r  high  Rule
    the condition does not hold, because `b` holds
    a (words): 1 hit
        这个不是保本的
                ^^^^
        text.content:4-6  保本  exact  denied by `b`
    b (words): 1 hit
        这个不是保本的
            ^^^^
        text.content:2-4  不是  exact  counts
    condition: a ✓ and not b ✓

  p/r a: words no test hits 1/2: 稳赚不赔
2 tests, 1 failed
coverage: rules 1/1, selections 2/2, words 2/3
"
    );
    let json = rows(&policy(dir.path(), &["test", "p.yaml", "--json"]));
    assert_eq!((&json[0]["passed"], &json[1]["passed"]), (&false.into(), &true.into()));
    assert_eq!(json[2]["coverage"]["selections"][0]["unhit"], serde_json::json!(["稳赚不赔"]));
}

#[test]
fn test_tells_rules_and_selections_without_tests() {
    let untested = pack(DENIED, "{ text: 保本, hit: true }").replace("    tests: ", "    disclose: none\n    tests: ");
    let none = untested.replace("    tests: [{ text: 保本, hit: true }]\n", "").replace("pack: p", "pack: q");
    let dir = folder(&[("p.yaml", &untested), ("q.yaml", &none)]);
    let output = policy(dir.path(), &["test", "p.yaml", "q.yaml"]);
    assert_eq!(output.status.code(), Some(0));
    let expected = "! p/r b: no test touches it\n! q/r: no tests\n1 tests, 0 failed\ncoverage: rules 1/2, selections 1/4, words 1/6\n";
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn explain_shows_hits_their_fate_and_the_reason() {
    let scoped = pack(DENIED, SOUND_TESTS).replace("    detection:", "    scope: { from: employee }\n    detection:");
    let dir = folder(&[("p.yaml", &scoped)]);
    let output = policy(
        dir.path(),
        &["explain", "--policy", "p.yaml", "--text", "稳\u{200B}赚不赔，不是吗", "--from", "external"],
    );
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        text(&output.stdout),
        "text.content  稳·赚不赔，不是吗
normalised    稳赚不赔不是吗

✗ p/r  high  Rule
    out of scope: from must be employee and is external
    the condition does not hold, because `b` holds
    a (words): 1 hit
        稳·赚不赔，不是吗
        ^^^^^^^^^
        text.content:0-5  稳赚不赔  skipped, hidden characters  denied by `b`
    b (words): 1 hit
        稳·赚不赔，不是吗
                   ^^^^
        text.content:6-8  不是  exact  counts
    condition: a ✓ and not b ✓

"
    );
}

#[test]
fn explain_takes_a_line_of_an_export_and_helps_on() {
    let line =
        r#"{"msgid":"1","from":"li.na","tolist":["zhou"],"msgtime":1,"msgtype":"text","text":{"content":"保本"}}"#;
    let dir = folder(&[("p.yaml", &pack(DENIED, SOUND_TESTS)), ("x.jsonl", &format!("nonsense\n{line}"))]);
    let json = rows(&policy(dir.path(), &["explain", "--policy", "p.yaml", "--line", "x.jsonl:2", "--json"]));
    assert_eq!((&json[0]["rules"][0]["holds"], &json[0]["texts"][0]["text"]), (&true.into(), &"保本".into()));
    assert_eq!(json[0]["rules"][0]["selections"][0]["hits"][0]["fate"], "counted");
    for (arguments, code, part) in [
        (&["--line", "x.jsonl:1"][..], 1, "this line is no message: the line is not JSON"),
        (&["--line", "x.jsonl:9"], 1, "x.jsonl has no line 9"),
        (&["--line", "x.jsonl"], 1, "FILE:N"),
        (&["--text", "x", "--rule", "rr"], 1, "no rule `rr` in the policy; did you mean `r`?"),
        (&[], 2, "--text <TEXT>|--line <FILE:N>"),
    ] {
        let mut all = vec!["explain", "--policy", "p.yaml"];
        all.extend(arguments);
        let output = policy(dir.path(), &all);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(text(&output.stderr).contains(part), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn explain_says_what_a_filter_leaves_out() {
    let filter = "filter: known\npack: p\nrules: [r]\nowner: compliance\nreason: 固定素材\nexpires: 2099-12-31\nexcept: { words: [保本升级] }\n";
    let dir = folder(&[("p.yaml", &pack(DENIED, SOUND_TESTS)), ("f.yaml", filter)]);
    let said = |text: &str| {
        let output = policy(dir.path(), &["explain", "--policy", "p.yaml", "--policy", "f.yaml", "--text", text]);
        self::text(&output.stdout)
    };
    let filtered = said("保本升级");
    assert!(filtered.contains("left out by the filter known") && !filtered.contains("  holds"), "{filtered}");
    assert!(!said("保本").contains("left out"));
}

/// 2,000 messages, of which one in a hundred says 保本 and one in five hundred 稳赚不赔; the first of them stands in both files.
fn exports() -> [(String, String); 2] {
    let line = |at: usize| {
        let text = match at {
            at if at % 500 == 7 => format!("第{at}号稳赚不赔"),
            at if at % 100 == 3 => format!("第{at}号保本"),
            at => format!("第{at}号"),
        };
        let message = serde_json::json!({
            "msgid": at.to_string(), "from": "li.na", "tolist": ["zhou"], "msgtime": 1, "msgtype": "text", "text": { "content": text },
        });
        format!("{message}\n")
    };
    [("a.jsonl".to_owned(), (0..1_000).map(line).collect()), ("b.jsonl".to_owned(), (999..2_000).map(line).collect())]
}

#[test]
fn preview_counts_and_compares_before_a_word_goes_live() {
    let plain = |words: &str| pack(&format!("      a: {{ words: [{words}] }}\n      condition: a"), SOUND_TESTS);
    let dir = folder(&[("new.yaml", &plain("保本, 稳赚不赔")), ("old.yaml", &plain("稳赚不赔, 第1003号"))]);
    std::fs::create_dir(dir.path().join("ex")).unwrap();
    exports().iter().for_each(|(name, content)| std::fs::write(dir.path().join("ex").join(name), content).unwrap());
    let run = |more: &[&str]| {
        let arguments = [&["preview", "ex", "--policy", "new.yaml"][..], more].concat();
        let output = policy(dir.path(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        output
    };
    let json = rows(&run(&["--json", "--against", "old.yaml"])).remove(0);
    // 1003 was found before through another word: it stays.
    for (key, expected) in [("messages", 24), ("of", 2_001), ("new", 19), ("gone", 0)] {
        assert_eq!(json[key], expected, "{key}: {json}");
    }
    let words: Vec<(&str, u64, bool)> = json["words"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| {
            (word["word"].as_str().unwrap(), word["messages"].as_u64().unwrap(), word["common"].as_bool().unwrap())
        })
        .collect();
    assert_eq!(words, [("保本", 20, true), ("稳赚不赔", 4, true)]);
    assert_eq!(rows(&run(&["--json", "--against", "new.yaml"]))[0]["new"], 0);
    let gone = rows(&policy(dir.path(), &["preview", "ex", "--policy", "old.yaml", "--against", "new.yaml", "--json"]));
    assert_eq!((&gone[0]["new"], &gone[0]["gone"]), (&0.into(), &19.into()));
    let shown = text(&run(&["--against", "old.yaml", "--sample", "2"]).stdout);
    for part in [
        "2001 messages, 24 of them hit (1.199 %)",
        "24 messages (1.199 %), new 19, gone 0",
        "保本      a  more than 0.1 %",
        "  + ex/",
    ] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
}

#[test]
fn preview_counts_windows() {
    let windowed = |count: u32| {
        let detection = "      a: { words: [稳赚不赔] }\n      condition: a\n    window: { count: COUNT, within: 1h }";
        pack(&detection.replace("COUNT", &count.to_string()), SOUND_TESTS)
    };
    let dir = folder(&[("new.yaml", &windowed(4)), ("old.yaml", &windowed(5))]);
    exports().iter().for_each(|(name, content)| std::fs::write(dir.path().join(name), content).unwrap());
    let preview = ["preview", "a.jsonl", "b.jsonl", "--policy", "new.yaml", "--against", "old.yaml"];
    let json = rows(&policy(dir.path(), &[&preview[..], &["--json"]].concat())).remove(0);
    assert_eq!((&json["window"], &json["messages"], &json["new"]), (&"count".into(), &1.into(), &1.into()));
    let shown = text(&policy(dir.path(), &preview).stdout);
    assert!(shown.contains("1 windows (0.050 %), new 1, gone 0"), "{shown}");
}

#[test]
fn preview_samples_are_repeatable_and_as_many_as_asked_for() {
    let dir = folder(&[("new.yaml", &pack("      a: { words: [保本] }\n      condition: a", SOUND_TESTS))]);
    exports().iter().for_each(|(name, content)| std::fs::write(dir.path().join(name), content).unwrap());
    let samples = |more: &[&str]| {
        let arguments =
            [&["preview", "a.jsonl", "b.jsonl", "--policy", "new.yaml", "--json", "--sample", "5"][..], more].concat();
        rows(&policy(dir.path(), &arguments))[0]["samples"].clone()
    };
    let first = samples(&["--threads", "1"]);
    assert_eq!(first.as_array().unwrap().len(), 5);
    assert_eq!(samples(&["--threads", "4"]), first);
    assert_ne!(samples(&["--seed", "1"]), first);
    let missing = policy(dir.path(), &["preview", "missing", "--policy", "new.yaml"]);
    assert_eq!(missing.status.code(), Some(1));
    let mistyped = policy(dir.path(), &["preview", "a.jsonl", "--policy", "new.yaml", "--rule", "rr"]);
    assert!(text(&mistyped.stderr).contains("did you mean `r`?"));
}

#[test]
fn check_reads_filters_too() {
    let filter = "filter: f\npack: p\nrules: all\nowner: o\nreason: r\nexpires: 2027-01-01\nset: { status: shadow }\n";
    let dir = folder(&[("f.yaml", filter), ("bad.yaml", &filter.replace("owner", "onwer"))]);
    let output = policy(dir.path(), &["check", "f.yaml", "bad.yaml"]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("filter f for p\n") && shown.contains("did you mean `owner`?"), "{shown}");
    assert!(text(&policy(dir.path(), &["test", "f.yaml"]).stderr).contains("a filter has no tests"));
}

#[test]
fn hostile_packs_are_harmless_on_a_terminal() {
    let hostile = pack(
        "      a: { words: [\"\\e[31m\\u202E单\"] }\n      \u{202E}bé: 1\n      condition: \"\\e[2J\"",
        SOUND_TESTS,
    );
    let dir = folder(&[("h.yaml", &hostile)]);
    for arguments in [
        &["check", "h.yaml"][..],
        &["check", "h.yaml", "--json"],
        &["test", "h.yaml"],
        &["explain", "--text", "\u{1B}[1m", "--policy", "h.yaml"],
    ] {
        let output = policy(dir.path(), arguments);
        let all = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(all.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202E}'), None, "{all:?}");
        assert_eq!(output.status.code(), Some(1));
    }
}
