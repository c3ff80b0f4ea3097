use super::*;
use crate::engine::{TestOutcome, run_tests};
use crate::matcher::WordOptions;
use crate::message::Side;
use crate::normalise::Normalisation;
use crate::rules::{Chat, Disclose, Kind, Level, Near, Scope, Status};
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
            "an event the scope does not name",
            "detection:\n  a: { type: [event.screenshot] }\n  condition: a",
            5,
            "add `event.screenshot` to `types` of the scope",
        ),
        (
            "an event there is none of",
            "scope: { types: [event.contact_deleted] }\ndetection:\n  a: { words: [保本] }\n  condition: a",
            9,
            "did you mean `event.contact_delete`?",
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
fn mistakes_in_selections_say_what_to_do() {
    for (selection, part) in [
        ("{ regex: '(' }", "cannot be used: unclosed group"),
        ("{ regex: 'x*' }", "matches where nothing stands"),
        ("{ regex: '(a{1000}){1000}' }", "becomes too large"),
        ("{ regex: '(?=x)x' }", "look-around"),
        ("{ regex: [] }", "empty list"),
        ("{ validator: mobil }", "did you mean `mobile`?"),
        ("{ validator: phone }", "one of: resident_id"),
        ("{ validator: mobile, except: 138 }", "must be a list"),
        ("{ validator: mobile, except_file: x.txt }", "was not found"),
        ("{ words: [保本], validator: mobile }", "has both `words` and `validator`"),
        ("{ type: [card], chat: group }", "has both `type` and `chat`"),
        ("{ words: [保本], ignore_case: true }", "`ignore_case` means nothing beside `words`"),
        ("{ regex: 'x', boundary: false }", "`boundary` means nothing beside `regex`"),
        ("{ type: card, min: 2 }", "`min` means nothing beside `type`"),
        ("{ side: external, fields: [text] }", "`fields` means nothing beside `side`"),
        ("{ words: [保本], min: 0 }", "from 1 to 1000"),
        ("{ words: [保本], quoted: yes }", "`true` or `false`"),
        ("{ words: [保本], fields: [fil.filename] }", "did you mean `file`?"),
        ("{ words: [保本], fields: [room.nam] }", "did you mean `room.name`?"),
        ("{ words: [保本], fields: [whatsoever] }", "write a message type and a key"),
        ("{ words: [保本], allow: [本] }", "single character"),
        ("{ words: [保本], pinyin: true }", "three and more Han characters"),
        ("{ file: { extension: [xls] } }", "known are: ext"),
        ("{ file: { size_min: 1XB } }", "must be a size"),
        ("{ file: { size_min: 2MB, size_max: 1MB } }", "swap them"),
        ("{ amount: {} }", "bounds nothing"),
        ("{ amount: { min: viel } }", "in yuan"),
        ("{ amount: { min: -1 } }", "in yuan"),
        ("{ host: ['https://example.com/a'] }", "bare host name"),
        ("{ host: [localhost] }", "bare host name"),
        ("{ file: { ext: [tar.gz] } }", "write `gz` instead of `tar.gz`"),
        ("{ type: [crad] }", "did you mean `card`?"),
        ("{ chat: both }", "one of: group, single"),
        ("{ time: night }", "one of: work_hours"),
        ("{ time: { from: '22:00' } }", "has no `to`"),
        ("{ time: { from: '25:00', to: '08:00' } }", "time of day"),
        ("{ time: { from: '08:00', to: '08:00' } }", "are the same"),
        ("{ time: off_hours, calendar: cm }", "did you mean `cn`?"),
        ("{ side: customer }", "one of: employee"),
        ("{ near: b }", "looks for nothing else"),
    ] {
        let mistakes = rule(&format!("detection:\n  a: {selection}\n  condition: a")).unwrap_err();
        assert!(
            mistakes.iter().any(|mistake| mistake.line == 10 && mistake.column > 0 && mistake.text.contains(part)),
            "{selection}: expected {part}\n{mistakes:#?}"
        );
    }
    for (body, part) in [
        (
            "detection:\n  a: { words: [保本], near: b, within: 3 }\n  b: { type: text }\n  condition: a and b",
            "nothing can be near it",
        ),
        (
            "detection:\n  a: { words: [保本], near: b, after: b, within: 3 }\n  b: { words: [保息] }\n  condition: a",
            "has both `near` and `after`",
        ),
        (
            "detection:\n  a: { words: [保本], before: b }\n  b: { words: [保息] }\n  condition: a",
            "has `before` but no `within`",
        ),
        (
            "weak: { channels: [sound], level: low }\ndetection:\n  a: { words: [保本] }\n  condition: a",
            "one of: exact",
        ),
        ("weak: { channels: [pinyin] }\ndetection:\n  a: { words: [保本] }\n  condition: a", "has no `level`"),
        ("legal_basis: [广告法]\ndetection:\n  a: { words: [保本] }\n  condition: a", "must be a mapping"),
        ("note: { zh: 误报 }\ndetection:\n  a: { words: [保本] }\n  condition: a", "has no `en`"),
        ("detection:\n  a: { words: [保本] }\n  condition: a\ntests:\n  - { hit: true }", "has no `text`"),
        (
            "detection:\n  a: { words: [保本] }\n  condition: a\ntests:\n  - { text: x, hit: true, time: 2026-05-01 }",
            "like `2026-05-01 22:30`",
        ),
        (
            "detection:\n  a: { words: [保本] }\n  condition: a\ntests:\n  - { text: x, hit: true, type: txt }",
            "did you mean `text`?",
        ),
        (
            "detection:\n  a: { words: [保本] }\n  condition: a\ntests:\n  - { file: { size: 1MB }, hit: true }",
            "has no `name`",
        ),
    ] {
        let mistakes = rule(body).unwrap_err();
        assert!(
            mistakes.iter().any(|mistake| mistake.line > 8 && mistake.text.contains(part)),
            "{part}\n{mistakes:#?}"
        );
    }
}

#[test]
fn mistakes_in_calendars_say_what_to_do() {
    let with = |calendars: &str| {
        pack_with(&format!("{HEAD}{DETECTION}")).replace("rules:", &format!("calendars:\n  {calendars}\nrules:"))
    };
    for (calendars, part) in [
        ("x: {}", "has no `hours`"),
        ("x: { base: de }", "one of: cn, none"),
        ("x: { base: cn, hours: { mon-fry: '09:00-18:00' } }", "must be a weekday or two"),
        ("x: { base: cn, hours: { fri-mon: '09:00-18:00' } }", "must be a weekday or two"),
        ("x: { base: cn, hours: { mon: '18:00-09:00' } }", "must be hours"),
        ("x: { base: cn, hours: { mon: ['09:00-12:00', '11:00-18:00'] } }", "each after those before it"),
        ("x: { base: cn, utc_offset: 8 }", "distance from UTC"),
        ("x: { base: cn, holidays: [2027-02-30] }", "must be a day"),
        ("x: { base: cn, holidays: ['2027-02-05..2027-02-01'] }", "must be a day"),
        ("x: { base: cn, holyday: [] }", "did you mean `holidays`?"),
        ("x: { file: x.yaml }", "was not found"),
        ("x: { file: ../x.yaml }", "without `..`"),
        ("account: { base: cn }", "name this one otherwise"),
    ] {
        let mistakes = parse(&with(calendars)).unwrap_err();
        assert!(
            mistakes.iter().any(|mistake| mistake.line == 5 && mistake.text.contains(part)),
            "{calendars}: expected {part}\n{mistakes:#?}"
        );
    }
}

#[test]
fn a_calendar_may_lie_in_a_file() {
    let yaml = pack_with(&format!("{HEAD}detection:\n  a: {{ time: work_hours, calendar: shop }}\n  condition: a"))
        .replace("rules:", "calendars: { shop: { file: shop.yaml } }\nrules:");
    assert_eq!(Pack::named_files(yaml.as_bytes()), BTreeSet::from(["shop.yaml".to_owned()]));
    let read = |file: &str| {
        Pack::parse("p.yaml", yaml.as_bytes(), &BTreeMap::from([("shop.yaml".to_owned(), file.as_bytes().to_vec())]))
    };
    let pack = read("utc_offset: '+08:00'\nhours: { mon-sat: ['09:30-12:00', '13:00-19:30'], sun: '10:00-16:00' }\nholidays: [2027-02-05..2027-02-11]\n").unwrap();
    let shop = &pack.calendars["shop"];
    assert_eq!((shop.holidays.len(), shop.week[0].len(), shop.week[6].len()), (7, 2, 1));
    let mistakes = read("hours: { mon-sat: '09:30-12:00' }\nfeiertage: [x]\n").unwrap_err();
    assert_eq!((mistakes[0].file.as_str(), mistakes[0].line), ("shop.yaml", 2), "{mistakes:?}");
    let changed = read("hours: { mon-sat: '09:30-12:01' }\n").unwrap();
    assert_ne!(pack.digest(), changed.digest(), "the digest covers the file");
}

#[test]
fn every_option_is_carried() {
    let rule = rule(
        "weak: { channels: [pinyin, alias], level: low }
legal_basis: [{ zh: 广告法第九条, en: Advertising Law art. 9 }]
note: { zh: 引用法规时会误报, en: Quoting the law hits }
scope: { chat: group }
detection:
  a: { words: [加我私人微信], boundary: false, aliases: false, split: true, pinyin: true, confidential: true, allow: [请勿加我私人微信], min: 1, fields: [text], quoted: true, normalise: { script: false } }
  b: { regex: ['v[0-9]+', 'w+x'], ignore_case: true, after: a, within: 20 }
  c: { validator: [mobile, url], except: [13800001234], min: 3 }
  condition: a and any of (b, c)",
    )
    .unwrap();
    let weak = rule.weak.as_ref().unwrap();
    assert_eq!((weak.channels.len(), weak.level), (2, Level::Low));
    assert_eq!((rule.legal_basis.len(), rule.note.as_ref().unwrap().en.as_str()), (1, "Quoting the law hits"));
    assert_eq!(rule.scope.chat, Some(Chat::Group));
    let [a, b, c] = rule.selections.as_slice() else { panic!("three selections") };
    let Kind::Words(words) = &a.kind else { panic!("words") };
    let expected = WordOptions { boundary: false, aliases: false, split: true, pinyin: true };
    assert_eq!((words.options, words.normalisation.script, words.allow.len()), (expected, false, 1));
    assert!(words.confidential);
    assert_eq!((a.min, a.quoted, a.fields.len()), (1, true, 1));
    assert_eq!(b.near, Some(Near { selection: 0, within: 20, order: Order::After }));
    let (Kind::Regex(patterns), Kind::Validator(validated)) = (&b.kind, &c.kind) else { panic!("kinds") };
    assert!(patterns.len() == 2 && patterns[1].regex.is_match("WWX"));
    assert_eq!((validated.validators.len(), validated.except.len(), c.min), (2, 1, 3));
}

#[test]
fn tests_of_rules_make_messages_of_every_kind() {
    let yaml = pack_with(
        "id: r
title: { zh: 则, en: Rule }
category: c
level: high
detection:
  sheet: { file: { ext: [xlsx], size_min: 1MB } }
  money: { amount: { min: 200 } }
  away: { not_host: [example.com] }
  late: { time: off_hours }
  room: { words: [荐股], fields: [room.name] }
  card: { type: card }
  in_group: { chat: group }
  condition: sheet or money or away or (late and in_group) or room or card
tests:
  - { file: { name: 报价.xlsx, size: 2MB }, hit: true }
  - { file: { name: 报价.xlsx, size: 1KB }, hit: false }
  - { file: { name: 报价.pdf, size: 2MB }, hit: false }
  - { amount: 200, hit: true }
  - { amount: 199.99, hit: false }
  - { link: https://example.org/a, hit: true }
  - { link: https://www.example.com/a, hit: false }
  - { text: 在吗, time: 2026-03-02 22:30, chat: group, hit: true }
  - { text: 在吗, time: 2026-03-02 10:30, chat: group, hit: false }
  - { text: 在吗, time: 2026-03-02 22:30, hit: false }
  - { text: 在吗, room_name: 内部荐股群, hit: true }
  - { text: 荐股, hit: false }
  - { type: card, hit: true }",
    );
    let outcomes = run_tests(&parse(&yaml).unwrap()).unwrap();
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed()).collect();
    assert!(failed.is_empty() && outcomes.len() == 13, "{failed:#?}");
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
