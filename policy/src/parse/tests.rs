use super::*;

const CUSTOMER: &str = "wmExAmPlEAAA0001customerAAAAAAAA";

fn line(rest: &str) -> String {
    format!(
        r#"{{"msgid":"m1","action":"send","from":"li.na","tolist":["{CUSTOMER}"],"roomid":"","msgtime":1772416861007,{rest}}}"#
    )
}

fn texts(parsed: &Parsed) -> Vec<(&str, &str)> {
    let texts = parsed.message.iter().flat_map(|message| &message.texts);
    texts.map(|text| (&*text.field, text.text.as_str())).collect()
}

fn codes(parsed: &Parsed) -> Vec<&'static str> {
    parsed.defects.iter().map(|defect| defect.code()).collect()
}

/// Every line that is answered without a defect by one path must be answered the same by the other.
fn parse(line: &[u8]) -> Parsed {
    let parsed = parse_line(line);
    assert_eq!(parsed, if trim(line).is_empty() { Parsed::default() } else { parse_any(trim(line)) });
    parsed
}

fn samples() -> Vec<&'static str> {
    include_str!("../../tests/fixtures/samples.jsonl").lines().collect()
}

#[test]
fn every_sample_is_read_without_a_defect() {
    for sample in samples() {
        let parsed = parse(sample.as_bytes());
        assert_eq!(codes(&parsed), [""; 0], "{sample}");
        let message = parsed.message.unwrap();
        let read = READ_TYPES.contains(&message.msgtype.as_str());
        assert_eq!(read, !message.texts.is_empty(), "{sample}");
        assert_eq!(!read && message.action != Action::Switch, message.body.is_some(), "{sample}");
        assert_eq!(known_type(&message.msgtype), message.msgtype != "brand_new_type", "{sample}");
    }
}

#[test]
fn texts_of_the_samples() {
    for (msgtype, expected) in [
        ("text", vec![("text.content", "王总您好，报价单稍后发您🙂")]),
        ("file", vec![("file.filename", "2026年报价单.xlsx")]),
        (
            "link",
            vec![
                ("link.title", "新品发布"),
                ("link.description", "点击查看详情"),
                ("link.link_url", "https://example.com/p/1"),
            ],
        ),
        (
            "chatrecord",
            vec![
                ("chatrecord.title", "李娜和周强的聊天记录"),
                ("chatrecord.item[0].content", "合同今天签吗"),
                ("chatrecord.item[2].item[0].content", "图文"),
            ],
        ),
        ("mixed", vec![("mixed.item[0].content", "见附图\n")]),
    ] {
        let tag = format!(r#""msgtype":"{msgtype}""#);
        let sample = samples().into_iter().find(|sample| sample.contains(&tag)).unwrap();
        assert_eq!(texts(&parse(sample.as_bytes())), expected, "{msgtype}");
    }
}

#[test]
fn bodies_under_other_keys_are_found() {
    for (msgtype, key) in [
        ("docmsg", "title"),
        ("markdown", "content"),
        ("news", "item"),
        ("voiptext", "callduration"),
        ("qydiskfile", "filename"),
        ("note", "items"),
        ("meeting_notification", "meeting_id"),
        ("external_redpacket", "wish"),
        ("vote", "votetitle"),
        ("todo", "title"),
        ("brand_new_type", "anything"),
        ("collect", "details"),
    ] {
        let tag = format!(r#""msgtype":"{msgtype}""#);
        for sample in samples().into_iter().filter(|sample| sample.contains(&tag)) {
            let body = parse(sample.as_bytes()).message.unwrap().body.unwrap();
            assert!(body.get(key).is_some(), "{msgtype}: {body}");
            assert!(body.get("msgid").is_none(), "{msgtype}: the envelope is no body");
        }
    }
}

#[test]
fn envelope_fields() {
    let sample = samples()[2];
    let message = parse(sample.as_bytes()).message.unwrap();
    assert_eq!(message.msgid.as_deref(), Some("9100000023333333331_1772416983021_external"));
    assert_eq!((message.action, message.from.as_str()), (Action::Send, "li.na"));
    assert_eq!(message.to, ["zhouqiang", "15000000042", CUSTOMER]);
    assert_eq!(message.room.as_deref(), Some("wrExAmPlEAAA0004groupAAAAAAAAAAA"));
    assert_eq!((message.msgtime, message.msgtype.as_str()), (Some(1_772_416_983_021), "text"));
}

#[test]
fn a_switch_has_its_own_shape() {
    let parsed = parse(r#"{"msgid":"1","action":"switch","time":1772417700001,"user":"li.na"}"#.as_bytes());
    let message = parsed.message.clone().unwrap();
    assert_eq!((message.action, message.from.as_str(), message.msgtype.as_str()), (Action::Switch, "li.na", "switch"));
    assert_eq!((message.msgtime, message.to.len()), (Some(1_772_417_700_001), 0));
    assert_eq!(codes(&parsed), [""; 0]);
}

#[test]
fn blank_lines_are_nothing() {
    for blank in ["", "\r\n", "  \t", "\u{FEFF}", "\u{FEFF}\r\n"] {
        assert_eq!(parse_line(blank.as_bytes()), Parsed::default(), "{blank:?}");
    }
}

#[test]
fn bom_line_ends_and_spaces_are_tolerated() {
    for sample in [format!("\u{FEFF}{}", samples()[0]), format!("{}\r\n", samples()[0]), format!("  {} ", samples()[0])]
    {
        let parsed = parse(sample.as_bytes());
        assert_eq!((codes(&parsed), texts(&parsed).len()), (vec![], 1), "{sample:?}");
    }
}

#[test]
fn lines_that_are_no_message() {
    let deep = "[".repeat(100_000);
    let deep_closed = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_message = line(&format!(r#""msgtype":"x","x":{}1{}"#, r#"{"a":"#.repeat(5_000), "}".repeat(5_000)));
    for (name, line, code) in [
        ("binary", "\u{0}\u{1}PK", "not_json"),
        ("text", "hello", "not_json"),
        ("two objects", "{}{}", "not_json"),
        ("torn", r#"{"msgid":"m1","action":"se"#, "torn"),
        ("number", "42", "not_an_object"),
        ("string", r#""x""#, "not_an_object"),
        ("array", "[]", "not_an_object"),
        ("array of the right length", r#"["m","send","a",["b"],"",1,"text",{"content":"x"}]"#, "not_an_object"),
        ("empty object", "{}", "not_a_message"),
        ("other object", r#"{"a":1,"msg":{"b":2}}"#, "not_a_message"),
        ("deep", &deep, "too_deep"),
        ("deep and closed", &deep_closed, "too_deep"),
        ("deep inside", &deep_message, "too_deep"),
        ("number beyond f64", r#"{"msgtype":"x","x":1e999}"#, "number_out_of_range"),
        (
            "envelope",
            r#"{"seq":1,"msgid":"m","publickey_ver":3,"encrypt_random_key":"a","encrypt_chat_msg":"b"}"#,
            "encrypted",
        ),
        ("response", r#"{"errcode":0,"errmsg":"ok","chatdata":[{"seq":1,"encrypt_chat_msg":"b"}]}"#, "encrypted"),
    ] {
        let parsed = parse(line.as_bytes());
        assert_eq!((codes(&parsed), parsed.message), (vec![code], None), "{name}");
    }
}

#[test]
fn defects_leave_the_rest_of_the_message() {
    let text = r#""msgtype":"text","text":{"content":"x"}"#;
    for (name, line, code, texts_read) in [
        (
            "no msgid",
            format!(r#"{{"action":"send","from":"a","tolist":["b"],"msgtime":1,{text}}}"#),
            "msgid_missing",
            1,
        ),
        (
            "msgid object",
            format!(r#"{{"msgid":{{}},"action":"send","from":"a","tolist":["b"],"msgtime":1,{text}}}"#),
            "msgid_wrong_type",
            1,
        ),
        ("no time", format!(r#"{{"msgid":"m","action":"send","from":"a","tolist":["b"],{text}}}"#), "time_missing", 1),
        (
            "zero time",
            format!(r#"{{"msgid":"m","action":"send","from":"a","tolist":["b"],"msgtime":0,{text}}}"#),
            "time_missing",
            1,
        ),
        (
            "word for a date",
            format!(r#"{{"msgid":"m","action":"send","from":"a","tolist":["b"],"msgtime":"yesterday",{text}}}"#),
            "time_wrong_type",
            1,
        ),
        (
            "time list",
            format!(r#"{{"msgid":"m","action":"send","from":"a","tolist":["b"],"msgtime":[1],{text}}}"#),
            "time_wrong_type",
            1,
        ),
        (
            "negative time",
            format!(r#"{{"msgid":"m","action":"send","from":"a","tolist":["b"],"msgtime":-5,{text}}}"#),
            "number_out_of_range",
            1,
        ),
        (
            "huge time",
            format!(
                r#"{{"msgid":"m","action":"send","from":"a","tolist":["b"],"msgtime":18446744073709551615,{text}}}"#
            ),
            "number_out_of_range",
            1,
        ),
        (
            "huge time string",
            format!(
                r#"{{"msgid":"m","action":"send","from":"a","tolist":["b"],"msgtime":"99999999999999999999",{text}}}"#
            ),
            "number_out_of_range",
            1,
        ),
        (
            "fraction",
            format!(r#"{{"msgid":"m","action":"send","from":"a","tolist":["b"],"msgtime":1.5,{text}}}"#),
            "number_out_of_range",
            1,
        ),
        ("no from", format!(r#"{{"msgid":"m","action":"send","tolist":["b"],"msgtime":1,{text}}}"#), "from_missing", 1),
        (
            "from list",
            format!(r#"{{"msgid":"m","action":"send","from":["a"],"tolist":["b"],"msgtime":1,{text}}}"#),
            "from_wrong_type",
            1,
        ),
        (
            "no to",
            format!(r#"{{"msgid":"m","action":"send","from":"a","tolist":[],"msgtime":1,{text}}}"#),
            "to_missing",
            1,
        ),
        (
            "to object",
            format!(r#"{{"msgid":"m","action":"send","from":"a","tolist":{{}},"msgtime":1,{text}}}"#),
            "to_wrong_type",
            1,
        ),
        (
            "to of objects",
            format!(r#"{{"msgid":"m","action":"send","from":"a","tolist":["b",{{}}],"msgtime":1,{text}}}"#),
            "to_wrong_type",
            1,
        ),
        (
            "room object",
            format!(r#"{{"msgid":"m","action":"send","from":"a","tolist":["b"],"roomid":{{}},"msgtime":1,{text}}}"#),
            "room_wrong_type",
            1,
        ),
        (
            "strange action",
            format!(r#"{{"msgid":"m","action":7,"from":"a","tolist":["b"],"msgtime":1,{text}}}"#),
            "action_unknown",
            1,
        ),
        ("no body", line(r#""msgtype":"text""#), "body_missing", 0),
        ("null body", line(r#""msgtype":"text","text":null"#), "body_missing", 0),
        ("list body", line(r#""msgtype":"text","text":["x"]"#), "body_wrong_type", 0),
        ("string body", line(r#""msgtype":"text","text":"x""#), "body_wrong_type", 1),
        ("bracketed string body", line(r#""msgtype":"text","text":"[1]""#), "body_wrong_type", 1),
        ("content list", line(r#""msgtype":"text","text":{"content":["x"]}"#), "body_wrong_type", 0),
        ("no type", line(r#""text":{"content":"x"}"#), "type_missing", 0),
        ("type number", line(r#""msgtype":3,"text":{"content":"x"}"#), "type_wrong_type", 0),
        ("lone surrogate", line(r#""msgtype":"text","text":{"content":"a\ud83d"}"#), "lone_surrogate", 1),
        (
            "lone surrogate in an unknown key",
            line(r#""msgtype":"text","text":{"content":"a"},"x":"\ud83d""#),
            "lone_surrogate",
            1,
        ),
        ("item without content", line(r#""msgtype":"mixed","mixed":{"item":[{"type":"text"}]}"#), "body_missing", 0),
        ("item that is no object", line(r#""msgtype":"mixed","mixed":{"item":[1]}"#), "body_wrong_type", 0),
        ("item list that is none", line(r#""msgtype":"mixed","mixed":{"item":"x"}"#), "body_wrong_type", 0),
        (
            "item content that is no JSON",
            line(r#""msgtype":"mixed","mixed":{"item":[{"type":"text","content":"{x"}]}"#),
            "body_wrong_type",
            1,
        ),
    ] {
        let parsed = parse(line.as_bytes());
        assert_eq!(codes(&parsed), [code], "{name}");
        assert_eq!(texts(&parsed).len(), texts_read, "{name}");
    }
}

#[test]
fn invalid_utf8_is_replaced() {
    let mut bytes = line(r#""msgtype":"text","text":{"content":"保本X"}"#).into_bytes();
    let at = bytes.iter().position(|b| *b == b'X').unwrap();
    bytes[at] = 0xFF;
    let parsed = parse(&bytes);
    assert_eq!((codes(&parsed), texts(&parsed)), (vec!["invalid_utf8"], vec![("text.content", "保本\u{FFFD}")]));
}

#[test]
fn lone_surrogates_keep_the_text_around_them() {
    let parsed = parse(line(r#""msgtype":"text","text":{"content":"保\ud83d本\ud83d\ude42"}"#).as_bytes());
    assert_eq!(texts(&parsed), [("text.content", "保\u{FFFD}本🙂")]);
}

#[test]
fn scalars_of_another_type_are_taken() {
    let line = format!(
        r#"{{"msgid":18446744073709551615,"action":"send","from":15000000042,"tolist":"a, b|{CUSTOMER}","roomid":"0","msgtime":"1772416861007","msgtype":"text","text":"{{\"content\":\"x\"}}"}}"#
    );
    let parsed = parse(line.as_bytes());
    let message = parsed.message.clone().unwrap();
    assert_eq!(codes(&parsed), [""; 0]);
    assert_eq!(message.msgid.as_deref(), Some("18446744073709551615"));
    assert_eq!((message.from.as_str(), message.room), ("15000000042", None));
    assert_eq!(message.to, ["a", "b", CUSTOMER]);
    assert_eq!((message.msgtime, texts(&parsed)), (Some(1_772_416_861_007), vec![("text.content", "x")]));
}

#[test]
fn time_units_are_told_by_magnitude() {
    for (time, expected) in [
        (1, Ok(1_000)),
        (1_772_416_861, Ok(1_772_416_861_000)),
        (99_999_999_999, Ok(99_999_999_999_000)),
        (100_000_000_000, Ok(100_000_000_000)),
        (1_772_416_861_007, Ok(1_772_416_861_007)),
        (0, Err(Defect::TimeMissing)),
        (-1, Err(Defect::NumberOutOfRange)),
        (i64::MAX, Ok(i64::MAX)),
        (i64::MIN, Err(Defect::NumberOutOfRange)),
    ] {
        assert_eq!(milliseconds(time), expected, "{time}");
    }
}

#[test]
fn the_body_is_looked_up_in_order() {
    for (name, rest, expected) in [
        ("type", r#""msgtype":"text","text":{"content":"x"},"info":{"content":"y"}"#, "x"),
        ("info", r#""msgtype":"text","info":{"content":"y"},"content":{"content":"z"}"#, "y"),
        ("content", r#""msgtype":"text","content":{"content":"z"}"#, "z"),
        ("body", r#""msgtype":"text","body":{"content":"z"}"#, "z"),
        ("data", r#""msgtype":"text","data":"{\"content\":\"z\"}""#, "z"),
        ("null keys of other types", r#""msgtype":"text","image":null,"info":null,"text":{"content":"x"}"#, "x"),
    ] {
        let parsed = parse(line(rest).as_bytes());
        assert_eq!((codes(&parsed), texts(&parsed)), (vec![], vec![("text.content", expected)]), "{name}");
    }
}

#[test]
fn a_wrapped_message_is_unwrapped() {
    let inner = line(r#""msgtype":"text","text":{"content":"x"}"#);
    let parsed = parse(format!(r#"{{"seq":7,"publickey_ver":1,"msg":{inner}}}"#).as_bytes());
    assert_eq!((codes(&parsed), texts(&parsed)), (vec![], vec![("text.content", "x")]));
}

/// A forwarded record of the given depth around one text.
fn record(depth: usize) -> String {
    let mut content = serde_json::json!({ "content": "deep" }).to_string();
    let mut kind = "ChatRecordText";
    for _ in 0..depth {
        content = serde_json::json!({ "item": [{ "type": kind, "content": content }] }).to_string();
        kind = "ChatRecord";
    }
    content
}

#[test]
fn nested_records_are_read_to_depth_eight() {
    let at = |depth| parse(line(&format!(r#""msgtype":"chatrecord","chatrecord":{}"#, record(depth))).as_bytes());
    let eight = at(8);
    assert_eq!((codes(&eight), texts(&eight).len()), (vec![], 1));
    assert_eq!(texts(&eight)[0].0, format!("chatrecord{}.content", ".item[0]".repeat(8)));
    let nine = at(9);
    assert_eq!((codes(&nine), texts(&nine).len()), (vec!["too_deep"], 0));
}

#[test]
fn items_may_be_objects_or_twice_wrapped() {
    let twice = serde_json::json!(serde_json::json!({ "content": "x" }).to_string()).to_string();
    let item =
        serde_json::json!([{ "type": "text", "content": twice }, { "type": "text", "content": { "content": "y" } }]);
    let parsed = parse(line(&format!(r#""msgtype":"mixed","mixed":{{"item":{item}}}"#)).as_bytes());
    assert_eq!(
        (codes(&parsed), texts(&parsed)),
        (vec![], vec![("mixed.item[0].content", "x"), ("mixed.item[1].content", "y")])
    );
}

#[test]
fn the_number_of_texts_is_bounded() {
    let items = vec![r#"{"type":"text","content":"{\"content\":\"x\"}"}"#; 10_001].join(",");
    let parsed = parse(line(&format!(r#""msgtype":"mixed","mixed":{{"item":[{items}]}}"#)).as_bytes());
    assert_eq!((codes(&parsed), texts(&parsed).len()), (vec!["too_many_texts"], 10_000));
}

#[test]
fn the_bytes_of_text_are_bounded() {
    let cut = |text: &str| {
        let parsed = parse(line(&format!(r#""msgtype":"text","text":{{"content":"{text}"}}"#)).as_bytes());
        (codes(&parsed), texts(&parsed)[0].1.len())
    };
    let bound = texts::TEXT_BYTES_MAX;
    assert_eq!(cut(&"a".repeat(bound)), (vec![], bound));
    assert_eq!(cut(&"a".repeat(bound + 1)), (vec!["too_many_texts"], bound));
    assert_eq!(cut(&"保".repeat(bound / 3 + 1)), (vec!["too_many_texts"], bound / 3 * 3), "cut at a character");
}

#[test]
fn the_fast_path_takes_plain_messages() {
    assert!(typed::parse(samples()[0].as_bytes()).is_some(), "else nobody is fast");
    for rest in [
        r#""msgtype":"text","text":{"content":"x"},"extra":1"#,
        r#""msgtype":"text","text":{"content":"x","content":"y"}"#,
        r#""msgtype":"text","msgtype":"text","text":{"content":"x"}"#,
        r#""msgtype":"text","text":["x"]"#,
        r#""msgtype":"text","text":{"content":""}"#,
    ] {
        let line = line(rest);
        assert!(typed::parse(line.as_bytes()).is_none(), "{rest}");
        parse(line.as_bytes());
    }
}

#[test]
fn the_fast_path_leaves_odd_envelopes_to_the_slow_one() {
    let plain = samples()[0];
    for (from, to) in [
        (r#"["wmExAmPlEAAA0001customerAAAAAAAA"]"#, r#"[" a ",""]"#),
        (r#"["wmExAmPlEAAA0001customerAAAAAAAA"]"#, "[]"),
        (r#""from":"li.na""#, r#""from":" li.na""#),
        (r#""from":"li.na""#, r#""from":"""#),
        (r#""action":"send""#, r#""action":"recall""#),
        (r#""msgtime":1772416861007"#, r#""msgtime":0"#),
        (r#""msgtype":"text""#, r#""msgtype":"link""#),
        (r#""roomid":"""#, r#""roomid":null"#),
    ] {
        let line = plain.replace(from, to);
        assert_ne!(line, plain);
        assert!(typed::parse(line.as_bytes()).is_none(), "{line}");
        parse(line.as_bytes());
    }
}

#[test]
fn codes_are_unique_and_snake_case() {
    let mut seen = std::collections::BTreeSet::new();
    for defect in Defect::ALL {
        assert!(seen.insert(defect.code()), "{defect:?}");
        assert_eq!(serde_json::to_value(defect).unwrap(), defect.code());
        assert!(!defect.sentence().is_empty());
    }
}

/// A small deterministic generator: the same mutants on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

/// Changes, inserts, cuts and doubles bytes.
fn mutate(line: &[u8], dice: &mut Dice) -> Vec<u8> {
    const PIECES: [&[u8]; 14] = [
        b"\"",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\\",
        b"\\ud83d",
        b"\xFF",
        b"\0",
        b"null",
        b"1e400",
        b"18446744073709551616",
    ];
    let mut line = line.to_vec();
    for _ in 0..=dice.roll(3) {
        let at = dice.roll(line.len().max(1)).min(line.len());
        let end = (at + dice.roll(12)).min(line.len());
        match dice.roll(4) {
            0 => line.truncate(at),
            1 => _ = line.splice(at..at, PIECES[dice.roll(PIECES.len())].iter().copied()),
            2 => _ = line.splice(at..end, []),
            _ => {
                let copy = line[at..end].to_vec();
                let to = dice.roll(line.len() + 1);
                line.splice(to..to, copy);
            }
        }
    }
    line
}

#[test]
fn mutants_of_the_samples_are_answered_alike_by_both_paths() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let (mut fast, mut messages) = (0, 0);
    for _ in 0..300 {
        for sample in samples() {
            let mutant = mutate(sample.as_bytes(), &mut dice);
            let parsed = parse(&mutant);
            fast += usize::from(typed::parse(trim(&mutant)).is_some());
            messages += usize::from(parsed.message.is_some());
            assert!(
                parsed.message.is_some() || !parsed.defects.is_empty() || trim(&mutant).is_empty(),
                "nothing is dropped silently"
            );
        }
    }
    // Otherwise the mutants would not test what they are for.
    assert!(fast > 50 && messages > 1_000 && messages < 300 * 39, "{fast} fast, {messages} messages");
}

proptest::proptest! {
    #[test]
    fn any_bytes_give_an_answer(bytes: Vec<u8>) {
        parse(&bytes);
    }

    #[test]
    fn any_body_gives_an_answer(body in "[\\[\\]{}\",:\\\\a-c0-9保 ]{0,60}", kind in "text|link|file|mixed|chatrecord|x") {
        parse(line(&format!(r#""msgtype":"{kind}","{kind}":{body}"#)).as_bytes());
        let quoted = serde_json::Value::from(body);
        parse(line(&format!(r#""msgtype":"{kind}","{kind}":{quoted}"#)).as_bytes());
        parse(line(&format!(r#""msgtype":"{kind}","{kind}":{{"item":[{{"type":"ChatRecordText","content":{quoted}}}]}}"#)).as_bytes());
    }

    #[test]
    fn text_comes_through_unchanged(text in "\\PC{1,40}|[\\x00-\\x1F\\u{2028}🙂\"\\\\/]{1,10}") {
        let content = serde_json::json!({ "content": text });
        let parsed = parse(line(&format!(r#""msgtype":"text","text":{content}"#)).as_bytes());
        proptest::prop_assert_eq!(texts(&parsed), [("text.content", text.as_str())]);
        let nested = serde_json::json!({ "item": [{ "type": "text", "content": content.to_string() }] });
        let parsed = parse(line(&format!(r#""msgtype":"mixed","mixed":{nested}"#)).as_bytes());
        proptest::prop_assert_eq!(texts(&parsed), [("mixed.item[0].content", text.as_str())]);
    }
}

#[test]
fn joined_receivers_are_told_apart_and_unreadable_ones_are_marked() {
    let of = |tolist: &str| {
        let line = format!(
            r#"{{"msgid":"m","action":"send","from":"a","tolist":{tolist},"msgtime":1772416861007,"msgtype":"text","text":{{"content":"x"}}}}"#
        );
        parse_line(line.as_bytes()).message.unwrap()
    };
    for joined in [r#"["lawyer,li.na"]"#, r#""lawyer|li.na""#, r#"["lawyer、li.na"]"#, r#"["lawyer","，li.na"]"#] {
        assert_eq!(of(joined).to, ["lawyer", "li.na"], "{joined}");
        assert!(!of(joined).unread_parties, "{joined}");
    }
    assert!(of(r#"[{"userid":"lawyer"},"li.na"]"#).unread_parties);
}

/// Type, sender, receivers, room, time in seconds and texts of what a line comes to.
fn event(line: &str) -> (String, String, String, String, i64, String) {
    let parsed = parse(line.as_bytes());
    assert_eq!(codes(&parsed), Vec::<&str>::new(), "{line}");
    let message = parsed.message.unwrap();
    let texts = message.texts.iter().map(|text| format!("{}={}", text.field, text.text)).collect::<Vec<_>>().join(" ");
    let room = message.room.unwrap_or_default();
    (message.msgtype, message.from, message.to.join(","), room, message.msgtime.unwrap_or_default() / 1000, texts)
}

#[test]
fn records_of_other_interfaces_are_events() {
    let callback = |change: &str, more: &str| {
        format!(
            r#"{{"ToUserName":"ww1","FromUserName":"sys","CreateTime":"1772416861","MsgType":"event",{change}{more}}}"#
        )
    };
    let contact = |change: &str, more: &str| {
        callback(
            &format!(
                r#""Event":"change_external_contact","ChangeType":"{change}","UserID":"li.na","ExternalUserID":"wm1""#
            ),
            more,
        )
    };
    let chat = r#"{"SuiteId":"wwS","AuthCorpId":"ww1","InfoType":"change_external_chat","TimeStamp":"1772416861","ChatId":"wr1","ChangeType":"update","UpdateDetail":"del_member","MemChangeList":{"Item":["wm1","wm2"]}}"#;
    let at = 1_772_416_861;
    for (line, msgtype, from, to, room, time, texts) in [
        (contact("add_external_contact", ""), "contact_add", "li.na", "wm1", "", at, ""),
        (contact("add_half_external_contact", ""), "contact_add", "li.na", "wm1", "", at, ""),
        (contact("edit_external_contact", ""), "contact_edit", "li.na", "wm1", "", at, ""),
        (contact("del_external_contact", r#","Source":"DELETE_BY_TRANSFER""#), "contact_delete", "li.na", "wm1", "", at, "detail=DELETE_BY_TRANSFER"),
        (contact("del_follow_user", ""), "contact_lost", "wm1", "li.na", "", at, ""),
        (contact("transfer_fail", r#","FailReason":"customer_refused""#), "contact_transfer", "li.na", "wm1", "", at, "detail=customer_refused"),
        (chat.to_owned(), "group_update", "", "wm1,wm2", "wr1", at, "detail=del_member"),
        (chat.replace(r#"{"Item":["wm1","wm2"]}"#, r#"{"Item":"wm1"}"#), "group_update", "", "wm1", "wr1", at, "detail=del_member"),
        (callback(r#""Event":"change_contact","ChangeType":"delete_user","UserID":"zhou""#, ""), "member_delete", "", "zhou", "", at, ""),
        (callback(r#""Event":"change_external_tag","ChangeType":"create""#, ""), "other", "", "", "", at, "detail=change_external_tag create"),
        (format!(r#"{{"xml":{}}}"#, contact("edit_external_contact", "")), "contact_edit", "li.na", "wm1", "", at, ""),
        (r#"{"time":1772416861,"userid":"li.na","oper_type":11,"detail_type":3,"detail_info":"修改聊天权限","ip":"203.0.113.8"}"#.into(), "admin_log", "li.na", "", "", at, "operation=通讯录与聊天 detail=修改聊天权限"),
        (r#"{"time":1772416861,"userid":"li.na","oper_type":2,"detail_info":"王总","ip":"203.0.113.*"}"#.into(), "member_log", "li.na", "", "", at, "operation=删除外部联系人 detail=王总"),
        (r#"{"time":1772416861,"userid":"li.na","operation":{"type":101,"source":401},"file_info":"客户名单.xlsx","file_size":20480,"file_md5":"0f"}"#.into(), "file_log", "li.na", "", "", at, "filename=客户名单.xlsx"),
        (r#"{"time":1772416861,"userid":"li.na","department_id":1,"screen_shot_type":1,"screen_shot_content":"客户群","system":"Windows"}"#.into(), "screenshot", "li.na", "", "", at, "detail=客户群"),
        (r#"{"transaction_id":"4200","bill_type":0,"trade_state":1,"pay_time":1772416861,"external_userid":"wm1","total_fee":19900,"payee_userid":"li.na","remark":"定金","commodity_list":[{"description":"首期","amount":19900}]}"#.into(), "payment", "wm1", "li.na", "", at, "detail=定金 goods=首期"),
        (r#"{"external_userid":"wm1","status":2,"takeover_time":0}"#.into(), "contact_transfer", "", "wm1", "", 0, "detail=waiting"),
        (r#"{"handover_userid":"zhou","external_userid":"wm1","dimission_time":1772416861}"#.into(), "contact_transfer", "zhou", "wm1", "", at, "detail=unassigned"),
        (r#"{"external_userid":"wm1","errcode":40096}"#.into(), "contact_transfer", "", "wm1", "", 0, "detail=failed"),
        (r#"{"chat_id":"wr1","errcode":90500,"errmsg":"the owner is not resigned"}"#.into(), "group_transfer", "", "", "wr1", 0, "detail=the owner is not resigned"),
    ] {
        let texts = texts.replace("detail=", &format!("event.{msgtype}.detail="));
        let texts = ["operation=", "filename=", "goods="].iter().fold(texts, |texts, key| texts.replace(key, &format!("event.{msgtype}.{key}")));
        let expected = (format!("event.{msgtype}"), from.into(), to.into(), room.into(), time, texts);
        assert_eq!(event(&line), expected, "{line}");
    }
    let payment = parse(br#"{"transaction_id":"1","bill_type":0,"pay_time":1,"total_fee":"19900"}"#).message.unwrap();
    assert_eq!(payment.extras.amount, Some(19_900));
    for (status, msgtype) in [("Agree", "agree"), ("Default_Agree", "agree"), ("Disagree", "disagree")] {
        let line = format!(
            r#"{{"status_change_time":1772416861,"userid":"li.na","exteranalopenid":"wm1","agree_status":"{status}"}}"#
        );
        assert_eq!(event(&line), (msgtype.into(), "wm1".into(), "li.na".into(), String::new(), at, String::new()));
    }
    assert_eq!(event(&contact("msg_audit_approved", "")).0, "agree");
    for line in [
        r#"{"rule_id":1,"rule_name":"飞单","word_list":["x"]}"#,
        r#"{"userid":"li.na","checkin_type":"上班打卡","checkin_time":1}"#,
    ] {
        assert_eq!(codes(&parse(line.as_bytes())), ["not_a_message"], "{line}");
    }
}

#[test]
fn an_event_is_the_same_message_however_often_it_is_told() {
    use crate::identity::{TenantKey, mid};
    use crate::message::Corp;
    let keyed =
        |line: &str, key: u8| mid(&TenantKey([key; 32]), &Corp::new("ww1"), &parse(line.as_bytes()).message.unwrap());
    let same = |a: &str, b: &str| keyed(a, 1) == keyed(b, 1);
    let record = r#"{"time":1772416861,"userid":"li.na","oper_type":2,"detail_info":"王总","ip":"1"}"#;
    let again = r#"{"ip":"2","oper_type":"2","userid":"Li.Na","time":"1772416861","detail_info":" 王总 "}"#;
    assert!(same(record, again));
    // Nobody without the key finds out by trying whom it is about.
    assert_ne!(keyed(record, 1), keyed(record, 2));
    for (known, other) in
        [("1772416861", "1772416862"), ("li.na", "li.nb"), ("王总", "王经理"), (r#""oper_type":2"#, r#""oper_type":3"#)]
    {
        assert!(!same(record, &record.replace(known, other)), "{other}");
    }
    let file = r#"{"time":1,"userid":"li.na","operation":{"type":101,"source":401},"file_info":"a.xlsx","file_size":1,"file_md5":"0f"}"#;
    let bill = r#"{"transaction_id":"4200","bill_type":0,"pay_time":1772416861,"external_userid":"wm1","payee_userid":"li.na"}"#;
    let users =
        r#"{"Event":"change_contact","ChangeType":"update_tag","CreateTime":1,"TagId":1,"AddUserItems":"li.na"}"#;
    let tag = r#"{"Event":"change_external_tag","ChangeType":"create","CreateTime":1,"Id":"t1"}"#;
    for (line, known, other) in [
        (file, r#""file_size":1"#, r#""file_size":2"#),
        (file, "0f", "10"),
        (file, "101", "102"),
        (bill, "4200", "4201"),
        (bill, r#""bill_type":0"#, r#""bill_type":1"#),
        (tag, "t1", "t2"),
        (users, r#""TagId":1"#, r#""TagId":2"#),
        (users, "li.na", "zhou"),
    ] {
        assert!(!same(line, &line.replace(known, other)), "{line} {other}");
    }
}

#[test]
fn a_message_is_a_message_whatever_stands_around_it() {
    let inner = line(r#""msgtype":"text","text":{"content":"x"}"#);
    for around in [
        r#"{"errcode":0,"external_userid":"wm1","data":INNER}"#,
        r#"{"errcode":0,"chat_id":"wr1","msg":INNER}"#,
        r#"{"transaction_id":"t","bill_type":0,"msg":INNER}"#,
        r#"{"Event":"x","message":INNER}"#,
        r#"{"userid":"li.na","oper_type":1,"content":INNER}"#,
    ] {
        let parsed = parse(around.replace("INNER", inner.trim()).as_bytes());
        assert_eq!((codes(&parsed), texts(&parsed)), (vec![], vec![("text.content", "x")]), "{around}");
    }
}

#[test]
fn whoever_a_record_names_takes_part_in_it() {
    let callback = |change: &str, rest: &str| format!(r#"{{"Event":"{change}","CreateTime":1,{rest}}}"#);
    for line in [
        callback("change_external_chat", r#""ChatId":"wr1","ChangeType":"update","MemChangeList":["li.na","wm1|counsel"]"#),
        callback("change_external_chat", r#""ChatId":"wr1","ChangeType":"create","MemChangeList":{"Item":["li.na","counsel"]}"#),
        callback("change_external_contact", r#""ChangeType":"add_external_contact","UserID":"li.na","ExternalUserID":"wm1,counsel""#),
        callback("change_contact", r#""ChangeType":"update_user","UserID":"li.na","NewUserID":"counsel""#),
        callback("update_tag", r#""AddUserItems":"li.na,counsel""#),
        r#"{"transaction_id":"1","bill_type":1,"pay_time":1,"payee_userid":"li.na","refund_list":[{"refund_userid":"counsel"}]}"#.into(),
        r#"{"handover_userid":"li.na","userid":"counsel","external_userid":"wm1","errcode":0}"#.into(),
        r#"{"msgid":"1","open_kfid":"wk1","external_userid":"wm1","servicer_userid":"li.na","origin":3,"tolist":["counsel"],"msgtype":"text","text":{"content":"x"}}"#.into(),
        r#"{"msgid":"1","open_kfid":"wk1","from":"wm1","tolist":["li.na"],"servicer_userid":"counsel","msgtype":"text","text":{"content":"x"}}"#.into(),
        r#"{"msgid":"1","open_kfid":"wk1","external_userid":"wm1","servicer_userid":"li.na","origin":3,"from":"","tolist":"counsel","msgtype":"text","text":{"content":"x"}}"#.into(),
    ] {
        let message = parse(line.as_bytes()).message.unwrap();
        let parties: Vec<&str> = message.parties().collect();
        assert!(parties.contains(&"li.na") && parties.contains(&"counsel"), "{line}: {parties:?}");
    }
    let unreadable = parse(br#"{"time":1,"userid":"li.na","oper_type":2,"more":{"userid":"x y"}}"#).message.unwrap();
    assert!(unreadable.unread_parties);
    let outsider =
        r#"{"time":1,"external_user":{"type":1,"name":"li.na"},"operation":{"type":1},"file_info":"a.xlsx"}"#;
    assert_eq!(event(outsider).1, "", "a name of somebody's own choice is nobody's id");
}

#[test]
fn a_message_is_no_event_whatever_it_says() {
    let parsed = parse(line(r#""msgtype":"event.contact_delete","text":{"content":"保本"}"#).as_bytes());
    assert_eq!(codes(&parsed), ["type_missing"]);
    assert_eq!(parsed.message.unwrap().msgtype, "");
}

#[test]
fn who_is_meant_by_a_record_must_be_readable() {
    let parsed = parse(br#"{"time":1772416861,"userid":{"id":"li.na"},"oper_type":2}"#);
    assert_eq!(codes(&parsed), ["from_wrong_type"]);
    assert!(parsed.message.unwrap().unread_parties);
}

#[test]
fn customer_service_is_read_as_the_archive_would_have_it() {
    let line = |origin: u8, rest: &str| {
        format!(
            r#"{{"msgid":"k1","open_kfid":"wk1","external_userid":"wm1","send_time":1772416861,"origin":{origin},"servicer_userid":"li.na",{rest}}}"#
        )
    };
    let text = r#""msgtype":"text","text":{"content":"您好"}"#;
    let at = 1_772_416_861;
    assert_eq!(
        event(&line(3, text)),
        ("text".into(), "wm1".into(), "li.na".into(), String::new(), at, "text.content=您好".into())
    );
    assert_eq!(event(&line(5, text)).1, "li.na");
    assert_eq!(event(&line(5, text).replace(r#""origin":5"#, r#""origin":"5""#)).1, "li.na");
    let unserved = line(3, text).replace("\"li.na\"", "\"\"");
    assert_eq!(event(&unserved).2, "wk1");
    let link = line(5, r#""msgtype":"link","link":{"title":"t","desc":"d","url":"https://example.com"}"#);
    assert_eq!(event(&link).5, "link.title=t link.description=d link.link_url=https://example.com");
    assert_eq!(event(&line(5, r#""msgtype":"miniprogram","miniprogram":{"title":"t"}"#)).0, "weapp");
}

#[test]
fn what_the_data_zone_keeps_is_encrypted() {
    let zone = br#"{"msgid":"1","sender":{"type":1,"id":"wo1"},"receiver_list":[{"type":2,"id":"wm1"}],"send_time":1,"msgtype":2,"service_encrypt_info":{"public_key_ver":1}}"#;
    assert_eq!(codes(&parse(zone)), ["encrypted"]);
    assert_eq!(codes(&parse(br#"{"ToUserName":"ww1","Encrypt":"abc","AgentID":"1"}"#)), ["encrypted"]);
}
