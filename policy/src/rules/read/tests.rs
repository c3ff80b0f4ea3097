use super::*;
use crate::engine::{TestOutcome, run_tests};
use crate::matcher::WordOptions;
use crate::message::Side;
use crate::normalise::Normalisation;
use crate::rules::{Disclose, Kind, Level, Near, Scope, Status};
use std::time::Duration;

/// A pack with one rule whose lines 5 and up are given.
fn pack_with(rule: &str) -> String {
    let rule = rule.replace('\n', "\n    ");
    format!("pack: p\nversion: 1\ntitle: {{ zh: 包, en: Pack }}\nrules:\n  - {rule}\n")
}

const HEAD: &str = "id: r\ntitle: { zh: 则, en: Rule }\ncategory: c\nlevel: high\n";

fn parse(yaml: &str) -> Result<Pack, Vec<Mistake>> {
    Pack::parse("p.yaml", yaml.as_bytes(), &BTreeMap::new())
}

fn rule(body: &str) -> Result<Rule, Vec<Mistake>> {
    parse(&pack_with(&format!("{HEAD}{body}"))).map(|pack| pack.rules[0].clone())
}

const DETECTION: &str = "detection:\n  a: { words: [保本] }\n  condition: a\n";

#[test]
fn the_shape_of_the_design_is_read() {
    let yaml = "
pack: finance-conduct
version: 3
title: { zh: 理财销售行为, en: Investment sales conduct }
rules:
  - id: fin.guaranteed-return
    title: { zh: 承诺保本保收益, en: Guaranteed returns promised }
    category: mis-selling
    level: high                      # info | low | medium | high | critical
    status: live                     # shadow = counted, shown to authors only
    scope: { from: employee, to: external, types: [text, mixed, chatrecord, link], labels: [sales] }
    detection:
      promise: { words: [保本保收益, 稳赚不赔, 零风险] }
      product: { words_file: words/products.txt }
      denial:  { words: [不保证, 并非保本], near: promise, within: 8 }
      condition: promise and product and not denial
    disclose: masked                 # none | masked | context
    sla: 24h
    tests:
      - { text: \"这款理财产品保本保收益\", hit: true }
      - { text: \"并非保本的理财产品，不保证零风险\", hit: false }
";
    let words = "\u{FEFF}# products\r\n理财产品\r\n\r\n  基金  \n".as_bytes().to_vec();
    let files = BTreeMap::from([("words/products.txt".to_owned(), words), ("other.txt".to_owned(), vec![0xFF])]);
    let pack = Pack::parse("p.yaml", yaml.as_bytes(), &files).unwrap();
    assert_eq!((&*pack.id, pack.version, pack.title.en.as_str()), ("finance-conduct", 3, "Investment sales conduct"));
    let rule = &pack.rules[0];
    assert_eq!(
        (&*rule.id, &*rule.category, rule.level, rule.status),
        ("fin.guaranteed-return", "mis-selling", Level::High, Status::Live)
    );
    assert_eq!((rule.scope.from.as_slice(), rule.scope.to.as_slice()), (&[Side::Employee][..], &[Side::External][..]));
    assert_eq!(rule.scope.labels, ["sales"]);
    assert_eq!((rule.disclose, rule.sla, rule.line), (Disclose::Masked, Some(Duration::from_secs(86_400)), 6));
    assert_eq!(rule.selections[1].words().iter().map(|word| &**word).collect::<Vec<_>>(), ["理财产品", "基金"]);
    assert_eq!(rule.selections[2].near, Some(Near { selection: 0, within: 8, order: Order::Either }));
    assert!(run_tests(&pack).unwrap().iter().all(TestOutcome::passed));
    assert_eq!(Pack::named_files(yaml.as_bytes()), BTreeSet::from(["words/products.txt".to_owned()]));
}

#[test]
fn defaults_are_the_careful_ones() {
    let rule = rule(DETECTION).unwrap();
    assert_eq!(
        (rule.status, rule.disclose, rule.sla, rule.scope),
        (Status::Live, Disclose::None, None, Scope::default())
    );
    let Kind::Words(words) = &rule.selections[0].kind else { panic!("no words") };
    assert_eq!((words.normalisation, words.options), (Normalisation::default(), WordOptions::default()));
}

#[test]
fn mistakes_in_rules_say_where_and_what_to_do() {
    for (name, body, line, part) in [
        ("unknown key", "levle: low\ndetection:\n  a: { words: [保本] }\n  condition: a", 9, "did you mean `level`?"),
        (
            "unknown selection key",
            "detection:\n  a: { word: [保本], words: [保本] }\n  condition: a",
            10,
            "did you mean `words`?",
        ),
        (
            "unknown level",
            "status: alive\ndetection:\n  a: { words: [保本] }\n  condition: a",
            9,
            "did you mean `live`?",
        ),
        (
            "unknown selection",
            "detection:\n  promise: { words: [保本] }\n  condition: promis",
            11,
            "did you mean `promise`?",
        ),
        (
            "unknown near",
            "detection:\n  a: { words: [保本] }\n  b: { words: [不是], near: aa, within: 3 }\n  condition: a and not b",
            11,
            "did you mean `a`?",
        ),
        ("no detection", "sla: 1h", 5, "has no `detection`"),
        ("no condition", "detection:\n  a: { words: [保本] }", 10, "has no `condition`"),
        ("unused", "detection:\n  a: { words: [保本] }\n  b: { words: [稳赚] }\n  condition: a", 11, "never used"),
        ("only negation", "detection:\n  a: { words: [保本] }\n  condition: not a", 11, "without a single hit"),
        ("near itself", "detection:\n  a: { words: [保本], near: a, within: 1 }\n  condition: a", 10, "near itself"),
        (
            "circle",
            "detection:\n  a: { words: [保本], near: b, within: 1 }\n  b: { words: [稳赚], near: a, within: 1 }\n  condition: a and b",
            10,
            "break the circle",
        ),
        (
            "near alone",
            "detection:\n  a: { words: [保本] }\n  b: { words: [不是], near: a }\n  condition: a and not b",
            11,
            "add `within: 8`",
        ),
        ("within alone", "detection:\n  a: { words: [保本], within: 3 }\n  condition: a", 10, "no `near`"),
        (
            "within too wide",
            "detection:\n  a: { words: [保本] }\n  b: { words: [不是], near: a, within: 5000 }\n  condition: a and not b",
            11,
            "from 0 to 1000",
        ),
        ("no words", "detection:\n  a: {}\n  condition: a", 10, "has no words"),
        (
            "one character",
            "detection:\n  a:\n    words:\n      - 保本\n      - 保\n  condition: a",
            13,
            "single character",
        ),
        ("only symbols", "detection:\n  a: { words: ['!!'] }\n  condition: a", 10, "nothing is left"),
        ("empty word", "detection:\n  a: { words: [''] }\n  condition: a", 10, "is empty"),
        ("number as word", "detection:\n  a: { words: [12315] }\n  condition: a", 10, "put it in quotes"),
        ("reserved name", "detection:\n  and: { words: [保本] }\n  condition: and", 10, "word of conditions"),
        ("missing file", "detection:\n  a: { words_file: x.txt }\n  condition: a", 10, "was not found"),
        ("path upwards", "detection:\n  a: { words_file: ../x.txt }\n  condition: a", 10, "without `..`"),
        (
            "absolute path",
            "detection:\n  a: { words_file: /etc/passwd }\n  condition: a",
            10,
            "below the pack's folder",
        ),
        ("windows path", "detection:\n  a: { words_file: 'C:\\x' }\n  condition: a", 10, "below the pack's folder"),
        (
            "unknown type",
            "scope: { types: [txt] }\ndetection:\n  a: { words: [保本] }\n  condition: a",
            9,
            "did you mean `text`?",
        ),
        (
            "textless type",
            "scope: { types: [image] }\ndetection:\n  a: { words: [保本] }\n  condition: a",
            5,
            "could never hold",
        ),
        (
            "unknown side",
            "scope: { from: customer }\ndetection:\n  a: { words: [保本] }\n  condition: a",
            9,
            "one of: employee, external, robot",
        ),
        ("sla", "sla: 24 hours\ndetection:\n  a: { words: [保本] }\n  condition: a", 9, "like `30m`"),
        ("sla of one wide character", "sla: 天\ndetection:\n  a: { words: [保本] }\n  condition: a", 9, "like `30m`"),
        (
            "disclose",
            "disclose: all\ndetection:\n  a: { words: [保本] }\n  condition: a",
            9,
            "one of: none, masked, context",
        ),
        ("doubled key", "level: low\ndetection:\n  a: { words: [保本] }\n  condition: a", 9, "`level` stands twice"),
        (
            "doubled selection",
            "detection:\n  a: { words: [保本] }\n  a: { words: [稳赚] }\n  condition: a",
            11,
            "`a` stands twice",
        ),
        (
            "test without hit",
            "detection:\n  a: { words: [保本] }\n  condition: a\ntests:\n  - { text: x }",
            13,
            "has no `hit`",
        ),
        (
            "test with a word",
            "detection:\n  a: { words: [保本] }\n  condition: a\ntests:\n  - { text: x, hit: yes }",
            13,
            "`true` or `false`",
        ),
        ("words no list", "detection:\n  a: { words: 保本 }\n  condition: a", 10, "must be a list"),
        (
            "normalise",
            "detection:\n  a: { words: [保本], normalise: { nose: false } }\n  condition: a",
            10,
            "did you mean `noise`?",
        ),
    ] {
        let mistakes = rule(body).unwrap_err();
        assert!(
            mistakes.iter().any(|mistake| mistake.line == line && mistake.text.contains(part)),
            "{name}: expected line {line}: {part}\n{mistakes:#?}"
        );
    }
}

#[test]
fn mistakes_in_the_pack_itself() {
    for (yaml, line, part) in [
        ("", 0, "must be a mapping"),
        ("- x", 1, "must be a mapping"),
        ("pack: P!\nversion: 0\ntitle: x\nrules: []", 1, "must begin with a letter"),
        ("pack: P!\nversion: 0\ntitle: x\nrules: []", 2, "from 1 to"),
        ("pack: P!\nversion: 0\ntitle: x\nrules: []", 3, "must be a mapping"),
        ("pack: P!\nversion: 0\ntitle: x\nrules: []", 4, "empty list"),
        ("pack: p\nversion: 1\ntitle: { zh: 包 }\nrules: [x]", 3, "has no `en`"),
        ("pack: p\nversion: 1\ntitle: { zh: 包 }\nrules: [x]", 4, "the rule must be a mapping"),
        ("rulez: 1", 1, "did you mean `rules`?"),
        ("pack: [", 1, "not valid YAML"),
        ("a: &x 1\nb:\n  <<: *x", 3, "not valid YAML"),
    ] {
        let mistakes = parse(yaml).unwrap_err();
        let found = mistakes.iter().any(|mistake| (line == 0 || mistake.line == line) && mistake.text.contains(part));
        assert!(found, "{yaml:?}: expected line {line}: {part}\n{mistakes:#?}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once_in_order() {
    let yaml = pack_with(
        "id: R\ntitle: { zh: 则, en: Rule }\ncategory: c\nlevel: hihg\nsla: soon\ndetection:\n  a: { regex: x, words: [保] }\n  condition: b",
    );
    let mistakes = parse(&yaml).unwrap_err();
    let lines: Vec<u64> = mistakes.iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines, [5, 8, 9, 11, 12], "{mistakes:#?}");
    assert!(mistakes[0].to_string().starts_with("p.yaml:5:9: the rule id `R`"), "{}", mistakes[0]);
}

#[test]
fn a_rule_id_is_taken_once() {
    let rule = format!("{HEAD}{DETECTION}").replace('\n', "\n    ");
    let yaml = format!("pack: p\nversion: 1\ntitle: {{ zh: 包, en: P }}\nrules:\n  - {rule}\n  - {rule}\n");
    let mistakes = parse(&yaml).unwrap_err();
    assert!(mistakes[0].text.contains("taken by the rule in line 5"), "{mistakes:?}");
}

#[test]
fn mistakes_in_words_files_name_the_file_and_line() {
    let yaml = pack_with(&format!("{HEAD}detection:\n  a: {{ words_file: w.txt }}\n  condition: a"));
    for (bytes, line, part) in [
        ("保本\n\n保\n".as_bytes(), 3, "single character"),
        (b"ok\n\xff\n", 2, "not UTF-8"),
        (b"# nothing\n", 0, "no words"),
    ] {
        let files = BTreeMap::from([("w.txt".to_owned(), bytes.to_vec())]);
        let mistakes = Pack::parse("p.yaml", yaml.as_bytes(), &files).unwrap_err();
        assert!(
            mistakes
                .iter()
                .any(|mistake| mistake.file == "w.txt" && mistake.line == line && mistake.text.contains(part)),
            "{mistakes:?}"
        );
    }
}

#[test]
fn files_outside_the_folder_are_not_even_named() {
    let yaml = "rules: [{ detection: { a: { words_file: ../x }, b: { words_file: /y }, c: { words_file: z/w.txt } } }]";
    assert_eq!(Pack::named_files(yaml.as_bytes()), BTreeSet::from(["z/w.txt".to_owned()]));
}

#[test]
fn the_digest_covers_pack_and_named_files_only() {
    let yaml = pack_with(&format!("{HEAD}detection:\n  a: {{ words_file: w.txt }}\n  condition: a"));
    let digest = |yaml: &str, files: &[(&str, &str)]| {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
        Pack::parse("p.yaml", yaml.as_bytes(), &files).unwrap().digest()
    };
    let base = digest(&yaml, &[("w.txt", "保本")]);
    assert_eq!(base, digest(&yaml, &[("w.txt", "保本"), ("other.txt", "x")]));
    assert_ne!(base, digest(&yaml, &[("w.txt", "稳赚")]));
    assert_ne!(base, digest(&format!("{yaml}\n"), &[("w.txt", "保本")]));
}

#[test]
fn tests_of_rules_respect_scope() {
    let body = format!(
        "scope: {{ from: external, to: employee, types: [link] }}\n{DETECTION}tests:\n  - {{ text: 保本, hit: true }}\n  - {{ text: 保本, from: employee, hit: false }}\n  - {{ text: 保本, type: text, hit: false }}\n  - {{ text: 保本, to: external, hit: true }}"
    );
    let pack = parse(&pack_with(&format!("{HEAD}{body}"))).unwrap();
    let passed: Vec<bool> = run_tests(&pack).unwrap().iter().map(TestOutcome::passed).collect();
    assert_eq!(passed, [true, true, true, false], "the last expectation is wrong on purpose");
}

#[test]
fn too_large_a_pack_is_refused() {
    let yaml = format!("# {}\n", "x".repeat(PACK_BYTES_MAX));
    assert!(parse(&yaml).unwrap_err()[0].text.contains("4 MiB"));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_pack_or_have_mistakes(bytes: Vec<u8>, text in "[\\[\\]{}:,&*a|>'\"# \\n-]{0,60}") {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            if let Err(mistakes) = Pack::parse("p", bytes, &BTreeMap::new()) {
                proptest::prop_assert!(!mistakes.is_empty());
            }
            let _ = Pack::named_files(bytes);
        }
    }

    #[test]
    fn damaged_packs_never_panic(cut in 0..6_000_usize, piece in "[\\[\\]{}:,&*a|>'\"# \\n-]{0,6}") {
        let pack = include_str!("../../../packs/finance-conduct.yaml");
        let at = (0..=cut.min(pack.len())).rev().find(|at| pack.is_char_boundary(*at)).unwrap();
        let damaged = format!("{}{piece}{}", &pack[..at], &pack[at..]);
        if let Err(mistakes) = Pack::parse("p", damaged.as_bytes(), &BTreeMap::new()) {
            proptest::prop_assert!(!mistakes.is_empty());
        }
    }
}
