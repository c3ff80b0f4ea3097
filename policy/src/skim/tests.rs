//! What the skim calls clean must be clean, for every line it is shown.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::accounts::Accounts;
use crate::engine::Scratch;
use crate::identity::TenantKey;
use crate::parse::parse_line;
use crate::rules::Pack;

const CUSTOMER: &str = "wmExAmPlEAAA0001customerAAAAAAAA";

fn engine(rules: &str, accounts: Option<&str>) -> Engine {
    let pack = format!("pack: p\nversion: 1\ntitle: {{ zh: 规则, en: rules }}\nrules:\n{rules}");
    let pack = Pack::parse("p.yaml", pack.as_bytes(), &BTreeMap::new()).unwrap();
    let accounts =
        accounts.map(|rows| Accounts::parse(format!("corp,userid,name,labels,never\n{rows}").as_bytes()).unwrap());
    Engine::compile(vec![pack], accounts).unwrap()
}

fn rule(id: &str, detection: &str) -> String {
    format!(
        "  - id: p.{id}\n    title: {{ zh: 规则, en: rule }}\n    category: c\n    level: low\n    status: live\n    detection: {detection}\n    \
         disclose: none\n    sla: 24h\n"
    )
}

fn usual() -> Engine {
    engine(
        &(rule("words", "{ a: { words: [飞单, 加我微信, vx, 哈哈, '138'] }, condition: a }")
            + &rule("both", "{ a: { words: [私下转账] }, b: { words: [不要] }, condition: a and not b }")),
        None,
    )
}

/// Goes over the bytes in chunks of about `size` and checks every answer. Gives the number of clean lines and of all.
fn skim(engine: &Engine, bytes: &[u8], size: usize) -> (usize, usize) {
    let corp = Corp::new("ww1");
    let mut skim = Skim::new(engine, &corp);
    let mut scratch = Scratch::default();
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    let mut expected = lines.iter();
    let mut clean_lines = 0;
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.iter().skip(size).position(|byte| *byte == b'\n').map_or(rest.len(), |at| size + at + 1);
        let chunk;
        (chunk, rest) = rest.split_at(end);
        let told = skim.lines(chunk, &mut |line| {
            let bytes = *expected.next().unwrap();
            match line {
                Skimmed::Look(line) => {
                    assert_eq!(line.bytes(), bytes);
                    check_look(engine, &corp, &line, &mut scratch);
                }
                Skimmed::Clean(clean) => {
                    clean_lines += 1;
                    check(engine, &corp, &clean, bytes, &mut scratch);
                }
            }
            Ok::<(), ()>(())
        });
        assert_eq!(told, Ok(()));
    }
    assert_eq!(expected.next(), None);
    (clean_lines, lines.len())
}

fn check_look(engine: &Engine, corp: &Corp, line: &Look<'_>, scratch: &mut Scratch) {
    let shown = String::from_utf8_lossy(line.bytes());
    let key = TenantKey([0; 32]);
    let looked = line.look(engine, corp, &key, scratch);
    assert_eq!(looked.parsed, parse_line(line.bytes()), "{shown}");
    let message = looked.parsed.message.as_ref();
    assert_eq!(looked.standing, message.map(|message| engine.standing(corp, message)), "{shown}");
    let expected = message.map(|message| engine.look(corp, message, &key, scratch)).unwrap_or_default();
    // Findings have no equality, but they show all they are.
    assert_eq!(format!("{:?}", looked.evaluated), format!("{expected:?}"), "{shown}");
}

fn check(engine: &Engine, corp: &Corp, clean: &Clean<'_>, line: &[u8], scratch: &mut Scratch) {
    let shown = String::from_utf8_lossy(line);
    let parsed = parse_line(line);
    assert_eq!(parsed.defects, [], "{shown}");
    let message = parsed.message.unwrap();
    assert_eq!(Some(clean.msgid()), message.msgid.as_deref(), "{shown}");
    assert_eq!(clean.from(), message.from, "{shown}");
    assert!(clean.to().eq(message.to.iter().map(String::as_str)), "{shown}");
    assert_eq!(clean.room(), message.room.as_deref(), "{shown}");
    assert_eq!(Some(clean.msgtime()), message.msgtime, "{shown}");
    assert_eq!(clean.msgtype(), message.msgtype, "{shown}");
    assert_eq!(clean.standing(), engine.standing(corp, &message), "{shown}");
    assert_eq!(engine.evaluate(corp, &message, scratch).len(), 0, "{shown}");
    let looked = engine.look(corp, &message, &TenantKey([0; 32]), scratch);
    assert!(looked.findings.is_empty() && looked.contributions.is_empty(), "{shown}");
}

/// How a program prints its lines.
#[derive(Clone, Copy, Debug)]
struct Spelling {
    sorted: bool,
    spaces: bool,
    ascii: bool,
    end: &'static str,
}

const SPELLINGS: [Spelling; 5] = [
    Spelling { sorted: false, spaces: false, ascii: false, end: "\n" },
    Spelling { sorted: true, spaces: false, ascii: false, end: "\n" },
    Spelling { sorted: false, spaces: true, ascii: false, end: "\n" },
    Spelling { sorted: true, spaces: true, ascii: true, end: "\n" },
    Spelling { sorted: false, spaces: false, ascii: false, end: "\r\n" },
];

impl Spelling {
    fn line(self, members: &[(&str, Value)]) -> String {
        let (comma, colon) = if self.spaces { (", ", ": ") } else { (",", ":") };
        let value = |value: &Value| match value {
            Value::Object(body) => {
                let body: Vec<String> = body.iter().map(|(key, value)| format!("\"{key}\"{colon}{value}")).collect();
                format!("{{{}}}", body.join(comma))
            }
            Value::Array(items) => {
                format!("[{}]", items.iter().map(Value::to_string).collect::<Vec<_>>().join(comma))
            }
            other => other.to_string(),
        };
        let mut members: Vec<_> = members.iter().collect();
        if self.sorted {
            members.sort_by_key(|member| member.0);
        }
        let members: Vec<String> =
            members.iter().map(|(key, body)| format!("\"{key}\"{colon}{}", value(body))).collect();
        let line = format!("{{{}}}{}", members.join(comma), self.end);
        if self.ascii { line.chars().map(escaped).collect() } else { line }
    }
}

pub(super) fn escaped(c: char) -> String {
    let units = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
    if c.is_ascii() { c.to_string() } else { units(c) }
}

fn message(number: usize, msgtype: &str, body: Value) -> Vec<(&'static str, Value)> {
    let key = ["text", "image", "file", "link", "location", "revoke", "mixed", "chatrecord"];
    let key = key.into_iter().find(|key| *key == msgtype);
    let to = if number.is_multiple_of(3) { json!(["li.na", CUSTOMER]) } else { json!([CUSTOMER]) };
    vec![
        ("msgid", json!(format!("91{number:09}_1772416861007_external"))),
        ("action", json!("send")),
        ("from", json!("li.na")),
        ("tolist", to),
        ("roomid", json!(if number.is_multiple_of(5) { "wrExAmPlEAAA0004groupAAAAAAAAAAA" } else { "" })),
        ("msgtime", json!(1_772_416_861_007_u64 + number as u64)),
        ("msgtype", json!(msgtype)),
        (key.unwrap(), body),
    ]
}

const TEXTS: [&str; 14] = [
    "王总您好，报价单稍后发您🙂",
    "这是一条引用/回复消息：\n\"李娜：\n报价单稍后发您\"\n------\n收到，谢谢",
    "做飞单吧",
    "飞-单",
    "加我 微❤",
    "好的OK",
    "价格是12,800元\t含税",
    "哈，好",
    "哈哈",
    "",
    "VX号",
    "\u{200B}",
    "㎏",
    "私下转账，不要",
];

/// Messages of many kinds, each text in one.
fn messages() -> Vec<Vec<(&'static str, Value)>> {
    let mut all = Vec::new();
    for text in TEXTS {
        let at = all.len();
        let nested = json!({ "content": text }).to_string();
        let picture = json!({ "md5sum": "0f1e", "filesize": 9001 }).to_string();
        all.push(message(at, "text", json!({ "content": text })));
        all.push(message(
            at + 1,
            "file",
            json!({ "md5sum": "0f1e", "filename": text, "fileext": "xlsx", "filesize": at, "sdkfileid": "R/V=+" }),
        ));
        all.push(message(
            at + 2,
            "link",
            json!({ "title": text, "description": "看", "link_url": "https://example.com/", "image_url": "" }),
        ));
        all.push(message(at + 3, "image", json!({ "md5sum": "0f1e", "filesize": 48213, "sdkfileid": text })));
        all.push(message(at + 4, "location", json!({ "longitude": 105.5, "address": text, "zoom": 15 })));
        all.push(message(
            at + 5,
            "mixed",
            json!({ "item": [{ "type": "text", "content": nested }, { "type": "image", "content": picture }] }),
        ));
        all.push(message(
            at + 6,
            "chatrecord",
            json!({ "title": "聊天记录", "item": [
                { "type": "ChatRecordText", "msgtime": 1_772_416_861 + at, "content": nested, "from_chatroom": false },
                { "type": "ChatRecordImage", "msgtime": 1_772_416_861, "content": picture, "from_chatroom": true },
                { "type": "ChatRecordText", "msgtime": 1_772_416_862, "content": nested, "from_chatroom": true },
            ] }),
        ));
    }
    all
}

fn export(spelling: Spelling, rounds: usize) -> String {
    (0..rounds).flat_map(|_| messages()).map(|message| spelling.line(&message)).collect()
}

#[test]
fn clean_lines_are_clean_in_every_spelling() {
    let engine = usual();
    for spelling in SPELLINGS {
        let export = export(spelling, 4);
        for size in [0, 700, 1 << 20] {
            let (clean, all) = skim(&engine, export.as_bytes(), size);
            // Learned from the first round; of the kinds, location has fractions, and some texts hit.
            assert!(clean * 5 > all * 2, "{spelling:?}: {clean} of {all}");
            let (without_end, _) = skim(&engine, export.trim_end().as_bytes(), size);
            assert!(without_end + 1 >= clean, "{spelling:?}");
        }
    }
}

#[test]
fn an_export_may_change_its_spelling() {
    let export: String = SPELLINGS.iter().map(|spelling| export(*spelling, 3)).collect();
    let (clean, all) = skim(&usual(), export.as_bytes(), 4096);
    assert!(clean * 3 > all, "{clean} of {all}");
}

#[test]
fn real_lines_and_odd_ones() {
    let engine = usual();
    let samples = include_str!("../../tests/fixtures/samples.jsonl");
    let (clean, all) = skim(&engine, samples.repeat(3).as_bytes(), 1 << 20);
    assert!(clean >= 20, "{clean} of {all}");
    let odd = [
        "",
        "{}",
        "[]",
        "null",
        "{",
        "\"",
        "\u{FEFF}{}",
        "{\"msgid\":\"1\"}",
        " ",
        "\r",
        "\0",
        "{\"action\":\"switch\",\"time\":1,\"user\":\"a\"}",
    ];
    skim(&engine, odd.join("\n").as_bytes(), 1 << 20);
    let deep = format!("{}{}\n", "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(skim(&engine, deep.as_bytes(), 1 << 20), (0, 1));
}

/// Texts in items are strings in strings; what is escaped twice must be read twice.
#[test]
fn texts_in_items_are_read() {
    let engine = usual();
    let line = |text: &str| {
        let inside = format!("{{\"item\":[{{\"type\":\"text\",\"content\":\"{{\\\"content\\\":\\\"{text}\\\"}}\"}}]}}");
        SPELLINGS[0].line(&message(1, "mixed", json!("BODY"))).replace("\"BODY\"", &inside)
    };
    for (text, clean) in [
        ("好的", true),
        ("见附图\\\\n好", true),
        ("\\u597d\\\\u597d", true),
        ("飞\\\\n单", true),
        ("飞单", false),
        ("\\u98de\\\\u5355", false),
        ("飞\\u200b单", false),
        // Left to the parser, whatever they are.
        ("好\\\\\\\"的", false),
        ("\\\\ud83d\\\\ude00", false),
        ("\\\\ud83d\\ude00", false),
        ("好\\n的", false),
        ("好\\u0022的", false),
        ("好\\\\\\\\的", false),
        ("好\"的", false),
    ] {
        let export = line("好") + &line("好") + &line(text);
        assert_eq!(skim(&engine, export.as_bytes(), 1 << 20).0, if clean { 2 } else { 1 }, "{export}");
    }
}

/// What is learned from a line whose texts are alike must not mix them up later, whatever their order.
/// What the sieve tells of a text is about that text: places count from its own beginning, and only where nothing is repeated before.
#[test]
fn what_is_told_is_told_of_the_right_text() {
    let item = |text: &str| json!({ "type": "text", "content": json!({ "content": text }).to_string() });
    let mixed = |one: &str, next: &str| json!({ "item": [item(one), item(next)] });
    // What is learned from the first one the others are read by.
    let texts = [
        ("看", "飞单，加我微信"),
        ("", "做飞单吧"),
        ("飞单", "飞单"),
        ("飞飞，私下转账", "加我加我微信"),
        ("飞一单", ""),
        ("", ""),
        ("哈哈哈，飞单", "飞单飞单"),
        ("转转账，飞单", "私下转账，不要"),
        ("加我飞", "单飞单"),
    ];
    let messages: Vec<_> = texts.iter().map(|(one, next)| message(1, "mixed", mixed(one, next))).collect();
    let mut export = String::new();
    for _ in 0..3 {
        messages.iter().for_each(|message| export.push_str(&SPELLINGS[0].line(message)));
    }
    let (clean, lines) = skim(&usual(), export.as_bytes(), export.len());
    assert_eq!(lines, 3 * texts.len());
    assert!(clean > 0 && clean < lines, "{clean} of {lines}");
}

/// Beyond the patterns that are remembered lines are looked at as if nothing had been told.
#[test]
fn a_flood_of_patterns_hides_nothing() {
    let flood = "vx".repeat(22_000) + "，私下转账";
    let mut export = String::new();
    for (number, text) in ["好的", "做飞单吧", &flood, "私下转账", "好的"].into_iter().enumerate() {
        export.push_str(&SPELLINGS[0].line(&message(number, "text", json!({ "content": text }))));
    }
    let export = export.repeat(2);
    let (clean, lines) = skim(&usual(), export.as_bytes(), export.len());
    assert_eq!(lines, 10);
    assert!(clean >= 2, "{clean}");
}

#[test]
fn texts_keep_their_fields() {
    let engine = usual();
    let link = |title: &str, description: &str, url: &str| {
        let body = format!("{{\"description\":\"{description}\",\"title\":\"{title}\",\"link_url\":\"{url}\"}}");
        SPELLINGS[0].line(&message(1, "link", json!("BODY"))).replace("\"BODY\"", &body)
    };
    let file = |name: &str, ext: &str, size: &str| {
        let body = format!("{{\"filename\":\"{name}\",\"fileext\":\"{ext}\",\"filesize\":\"{size}\"}}");
        SPELLINGS[0].line(&message(1, "file", json!("BODY"))).replace("\"BODY\"", &body)
    };
    let alike = link("看", "看", "看");
    let export = alike.repeat(2)
        + &link("做飞单", "看", "https://example.com/")
        + &link("看", "做飞单", "x")
        + &link("a", "b", "飞单");
    assert_eq!(skim(&engine, export.as_bytes(), 1 << 20), (1, 5));
    let export = file(" ", "", "").repeat(2) + &file("飞单.xlsx", "xlsx", "9");
    assert_eq!(skim(&engine, export.as_bytes(), 1 << 20).1, 3);
}

/// A buffer that is full to the last place hides nothing that waits in it.
#[test]
fn a_full_buffer_hides_nothing() {
    let engine = usual();
    let link = |title: &str, description: &str| {
        SPELLINGS[0].line(&message(1, "link", json!({ "title": title, "description": description, "link_url": "" })))
    };
    let learned = SPELLINGS[0].line(&message(1, "link", json!({ "title": "a", "description": "b", "link_url": "" })));
    for more in [27_339, 27_340, 27_341, 27_342, 27_343] {
        let full = link(&"9".repeat(30_000), &format!("飞单{}", "9".repeat(more - 2)));
        // Each in a chunk of its own.
        assert_eq!(skim(&engine, (learned.repeat(2) + &full).as_bytes(), 0).0, 1, "{more}");
    }
}

/// Each of these differs from a clean line in one thing that the envelope may not have.
#[test]
fn what_is_not_as_it_should_be_is_looked_at() {
    let clean = SPELLINGS[0].line(&message(1, "text", json!({ "content": "好的" })));
    let engine = usual();
    for (from, to) in [
        ("li.na", "li.na,zhou"),
        ("li.na", ""),
        ("li.na", " li.na"),
        ("li.na", "李娜"),
        ("li.na", "li\\u002ena"),
        (CUSTOMER, "a|b"),
        (CUSTOMER, "a;b"),
        ("1772416861008", "0"),
        ("1772416861008", "-1"),
        ("1772416861008", "1772416861008.5"),
        ("1772416861008", "1e12"),
        ("1772416861008", "007"),
        ("1772416861008", "9999999999999999999"),
        ("\"send\"", "\"sent\""),
        ("\"text\":{", "\"body2\":{"),
        ("好的", "好\\ud83d的"),
        ("好的", "好\u{1}的"),
        ("\"roomid\":\"\"", "\"roomid\":1"),
        ("91000000001", " 91000000001"),
        ("\"}}", "\"}} x"),
        ("\"}}", "\"}"),
        ("\"}}", "\",\"content\":\"飞单\"}}"),
        ("\"}}", "\"},\"text\":{\"content\":\"飞单\"}}"),
        ("\"}}", "\"},\"info\":{\"content\":\"飞单\"}}"),
    ] {
        assert!(clean.contains(from), "{from}");
        let other = clean.replacen(from, to, 1);
        // Often enough to be learned, were it learnable.
        let export = clean.repeat(2) + &other.repeat(3);
        assert_eq!(skim(&engine, export.as_bytes(), 1 << 20).0, 1, "{other}");
    }
}

#[test]
fn standing_is_told_of_clean_lines_and_hides_hits() {
    let rules = rule("words", "{ a: { words: [飞单] }, condition: a }");
    let line = |from: &str, text: &str| {
        let mut message = message(1, "text", json!({ "content": text }));
        message[2].1 = json!(from);
        SPELLINGS[0].line(&message)
    };
    let engine = engine(&rules, Some("ww1,li.na,,,\nww1,lawyer,,,true\n"));
    let export = line("li.na", "好")
        + &line("li.na", "好")
        + &line("li.na", "飞单")
        + &line("nobody", "飞单")
        + &line("lawyer", "飞单");
    assert_eq!(skim(&engine, export.as_bytes(), 1 << 20), (3, 5));
}

/// Rules that hold without a word, each with how many of the plain messages below remain clean.
#[test]
fn rules_without_words_get_what_they_need() {
    let plain =
        ["好的", "电话一三八零零一三八零零零", "13800138000", "\u{FF11}3800138000", "a@example.com", "价格12,800"];
    let lines = |round: usize| {
        let texts = plain.iter().map(|text| message(round, "text", json!({ "content": text })));
        let picture = message(round, "image", json!({ "md5sum": "0f1e", "filesize": 48213, "sdkfileid": "R" }));
        let file = message(
            round,
            "file",
            json!({ "md5sum": "0f1e", "filename": "价目表.xlsx", "fileext": "xlsx", "filesize": 9, "sdkfileid": "R" }),
        );
        texts.chain([picture, file]).map(|message| SPELLINGS[round % 4].line(&message)).collect::<String>()
    };
    let export: String = (0..12).map(lines).collect();
    for (detection, clean_each_round) in [
        ("{ a: { words: [好的] }, condition: a }\n    window: { count: 2, within: 10m, by: [from] }", 7),
        ("{ a: { words: [好的, 的价] }, condition: a }\n    window: { join: true, within: 90s }", 0),
        ("{ a: { validator: [mobile] }, condition: a }", 5),
        ("{ a: { validator: [email] }, condition: a }", 7),
        ("{ a: { validator: [mobile, email] }, b: { words: [好的] }, condition: a or b }", 3),
        ("{ a: { validator: [mobile] }, b: { words: [好的] }, condition: a and b }", 7),
        ("{ a: { regex: ['\\d+'] }, condition: a }", 0),
        ("{ a: { type: [image] }, condition: a }", 7),
        ("{ a: { file: { ext: [xlsx] } }, condition: a }", 0),
        ("{ a: { words: [好的] }, b: { type: [text] }, condition: b and not a }", 2),
    ] {
        let engine = engine(&rule("r", detection), None);
        let (clean, all) = skim(&engine, export.as_bytes(), 1 << 20);
        // The first line of each shape is learned from: three in each of four spellings.
        let clean_rounds = all / 8 - 4;
        assert!(clean >= clean_each_round * clean_rounds, "{detection}: {clean} of {all}");
        assert!(clean <= clean_each_round * all / 8, "{detection}: {clean} of {all}");
    }
}

#[test]
fn a_sink_that_fails_ends_the_work() {
    let engine = usual();
    let export = export(SPELLINGS[0], 1);
    let mut calls = 0;
    let result = Skim::new(&engine, &Corp::new("ww1")).lines(export.as_bytes(), &mut |_| {
        calls += 1;
        if calls == 3 { Err("full") } else { Ok(()) }
    });
    assert_eq!((result, calls), (Err("full"), 3));
}

#[test]
fn texts_beyond_the_buffer_are_looked_at() {
    let long = "好的，没问题。".repeat(20_000);
    let export = SPELLINGS[0].line(&message(1, "text", json!({ "content": "好" })))
        + &SPELLINGS[0].line(&message(1, "text", json!({ "content": long })));
    assert_eq!(skim(&usual(), (export.clone() + &export).as_bytes(), 1 << 20), (1, 4));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Bytes changed, inserted, cut and doubled in an otherwise ordinary export.
    #[test]
    fn clean_lines_are_clean_when_bytes_are_changed(
        spelling in prop::sample::select(&SPELLINGS[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), change()), 1..60),
    ) {
        thread_local! {
            static ENGINE: Engine = usual();
        }
        let mut bytes = export(spelling, 1).into_bytes();
        let rest = bytes.clone();
        for (at, change) in changes {
            change.make(&mut bytes, at);
        }
        // Learned from whole lines, then from changed ones, and the other way round.
        ENGINE.with(|engine| {
            skim(engine, &[&rest[..], &bytes].concat(), 2000);
            skim(engine, &[&bytes[..], b"\n", &rest].concat(), 2000);
        });
    }
}

#[derive(Clone, Debug)]
enum Change {
    Set(u8),
    Insert(Vec<u8>),
    Cut(usize),
    Double(usize),
}

impl Change {
    fn make(self, bytes: &mut Vec<u8>, at: prop::sample::Index) {
        if bytes.is_empty() {
            return;
        }
        let at = at.index(bytes.len());
        match self {
            Self::Set(byte) => bytes[at] = byte,
            Self::Insert(insert) => drop(bytes.splice(at..at, insert)),
            Self::Cut(len) => drop(bytes.drain(at..(at + len).min(bytes.len()))),
            Self::Double(len) => {
                let again = bytes[at..(at + len).min(bytes.len())].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let pieces = prop::sample::select(vec![
        "飞单",
        "\\ud83d",
        "\\u0000",
        "\0",
        "\\",
        "\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\n",
        "\r\n",
        " ",
        "|",
        "\"action\":\"send\",",
        "\"text\":{",
        "null",
        "1e5",
        "\u{200B}",
        "0",
    ]);
    prop_oneof![
        3 => any::<u8>().prop_map(Change::Set),
        3 => pieces.prop_map(|piece| Change::Insert(piece.as_bytes().to_vec())),
        1 => prop::collection::vec(any::<u8>(), 1..4).prop_map(Change::Insert),
        2 => (1_usize..40).prop_map(Change::Cut),
        2 => (1_usize..200).prop_map(Change::Double),
    ]
}
