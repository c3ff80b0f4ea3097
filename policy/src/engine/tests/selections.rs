//! What selections of every kind find, and when rules with them hold.

use super::*;
use crate::message::FileInfo;

/// The words, patterns or validators reported, with the slices they stand for; nothing when the rule does not hold.
fn reported(engine: &Engine, message: &Message) -> Vec<String> {
    let findings = evaluate(engine, message);
    let slice = |hit: &Hit| {
        let text = message.text_of(&hit.field).unwrap();
        text.text.chars().skip(hit.start as usize).take((hit.end - hit.start) as usize).collect::<String>()
    };
    findings.iter().flat_map(|finding| &finding.hits).map(|hit| format!("{}={}", hit.word, slice(hit))).collect()
}

fn holds(engine: &Engine, message: &Message) -> bool {
    !evaluate(engine, message).is_empty()
}

fn detection(lines: &str) -> Engine {
    engine(&format!("detection:\n  {}", lines.replace('\n', "\n  ")))
}

#[test]
fn sides_of_nearness() {
    for (name, detection_lines, text, expected) in [
        (
            "before",
            "a: { words: [加我], before: b, within: 2 }\nb: { words: [微信] }\ncondition: a",
            "加我的微信",
            true,
        ),
        (
            "before, too far",
            "a: { words: [加我], before: b, within: 2 }\nb: { words: [微信] }\ncondition: a",
            "加我的那个微信",
            false,
        ),
        (
            "before, but it stands behind",
            "a: { words: [加我], before: b, within: 2 }\nb: { words: [微信] }\ncondition: a",
            "微信加我",
            false,
        ),
        (
            "before and touching",
            "a: { words: [加我], before: b, within: 0 }\nb: { words: [微信] }\ncondition: a",
            "加我微信",
            true,
        ),
        (
            "before does not overlap",
            "a: { words: [加我微], before: b, within: 2 }\nb: { words: [微信] }\ncondition: a",
            "加我微信",
            false,
        ),
        (
            "before, of several the next",
            "a: { words: [加我], before: b, within: 1 }\nb: { words: [微信] }\ncondition: a",
            "微信，加我微信",
            true,
        ),
        ("after", "a: { words: [转账], after: b, within: 2 }\nb: { words: [私人] }\ncondition: a", "私人卡转账", true),
        (
            "after, too far",
            "a: { words: [转账], after: b, within: 2 }\nb: { words: [私人] }\ncondition: a",
            "私人一二三转账",
            false,
        ),
        (
            "after, but it stands before",
            "a: { words: [转账], after: b, within: 2 }\nb: { words: [私人] }\ncondition: a",
            "转账私人",
            false,
        ),
        (
            "after, of several the last",
            "a: { words: [转账], after: b, within: 0 }\nb: { words: [私人] }\ncondition: a",
            "私人一二三四私人转账",
            true,
        ),
        (
            "denied from before",
            "a: { words: [零风险] }\nno: { words: [不是], before: a, within: 1 }\ncondition: a and not no",
            "不是零风险",
            false,
        ),
        (
            "a denial behind denies nothing",
            "a: { words: [零风险] }\nno: { words: [不是], before: a, within: 1 }\ncondition: a and not no",
            "零风险不是",
            true,
        ),
        (
            "denied from behind",
            "a: { words: [零风险] }\nno: { words: [才怪], after: a, within: 1 }\ncondition: a and not no",
            "零风险才怪",
            false,
        ),
        (
            "one denied, one not",
            "a: { words: [零风险] }\nno: { words: [不是], before: a, within: 0 }\ncondition: a and not no",
            "零风险，不是零风险",
            true,
        ),
    ] {
        assert_eq!(holds(&detection(detection_lines), &message(&[text])), expected, "{name}");
    }
}

#[test]
fn a_denied_hit_is_not_reported() {
    let engine =
        detection("a: { words: [零风险] }\nno: { words: [不是], before: a, within: 0 }\ncondition: a and not no");
    let findings = evaluate(&engine, &message(&["零风险，不是零风险"]));
    assert_eq!(places(&findings[0]), [("零风险", "f0", 0, 3)]);
}

#[test]
fn allowed_phrases_beat_words_inside_them() {
    let engine = detection("a: { words: [铁口交, 大麻], allow: [地铁口交易, 大麻烦, 芝麻大麻] }\ncondition: a");
    for (text, expected) in [
        ("在地铁口交易", &[][..]),
        ("大麻烦了", &[]),
        ("卖大麻，大麻烦", &["大麻=大麻"]),
        ("地 铁 口 交 易", &[]),
        // The phrase must hold the whole word.
        ("大麻大麻烦", &["大麻=大麻"]),
        ("铁口交易", &["铁口交=铁口交"]),
    ] {
        assert_eq!(reported(&engine, &message(&[text])), expected, "{text}");
    }
    let two = detection("a: { words: [大麻], allow: [大麻烦] }\nb: { words: [大麻] }\ncondition: a or b");
    assert_eq!(reported(&two, &message(&["大麻烦"])), ["大麻=大麻"], "another selection allows nothing");
    let texts = detection("a: { words: [大麻], allow: [大麻烦] }\ncondition: a");
    assert!(holds(&texts, &message(&["大麻烦", "大麻"])), "a phrase in another text");
}

#[test]
fn of_nested_words_the_longest_is_reported_and_all_count() {
    let engine = detection("a: { words: [保本, 保本保收益, 收益] }\nb: { words: [保本] }\ncondition: a and b");
    assert_eq!(
        reported(&engine, &message(&["保本保收益"])),
        ["保本=保本", "保本保收益=保本保收益"],
        "one for each selection"
    );
    let near = detection(
        "a: { words: [保本, 保本保收益] }\nno: { words: [收益], near: a, within: 0 }\ncondition: a and not no",
    );
    assert!(!holds(&near, &message(&["保本保收益"])), "the short word is denied with the phrase it stands in");
    let overlap = detection("a: { words: [甲乙丙, 乙丙丁] }\ncondition: a");
    assert_eq!(reported(&overlap, &message(&["甲乙丙丁"])).len(), 2, "neither holds the other");
}

#[test]
fn min_counts_different_things() {
    let words = detection("a: { words: [保本, 保息, 保本保息], min: 2 }\ncondition: a");
    for (text, expected) in
        [("保本", false), ("保本又保本", false), ("保本也保息", true), ("保本保息", false), ("保本保息，保本", true)]
    {
        assert_eq!(holds(&words, &message(&[text])), expected, "{text}");
    }
    let numbers = detection("a: { validator: mobile, min: 2 }\ncondition: a");
    for (text, expected) in
        [("13800001234", false), ("13800001234 138-0000-1234", false), ("13800001234，13900001234", true)]
    {
        assert_eq!(holds(&numbers, &message(&[text])), expected, "{text}");
    }
    assert!(holds(&numbers, &message(&["13800001234", "13900001234"])), "in different texts");
    let patterns = detection("a: { regex: '[0-9]+元', min: 2 }\ncondition: a");
    assert!(!holds(&patterns, &message(&["5元，5元"])) && holds(&patterns, &message(&["5元，6元"])));
}

#[test]
fn too_few_left_after_denial_is_not_enough() {
    let engine = detection(
        "a: { words: [保本, 保息], min: 2 }\nno: { words: [并非], before: a, within: 0 }\ncondition: a and not no",
    );
    assert!(holds(&engine, &message(&["保本保息"])));
    assert!(!holds(&engine, &message(&["并非保本，保息"])), "one of the two is denied");
}

#[test]
fn fields_choose_texts_by_the_front_of_their_path() {
    let text =
        |field: &str| Message { texts: vec![Text { field: field.into(), text: "合同".to_owned() }], ..message(&[]) };
    for (fields, field, expected) in [
        ("[file.filename]", "file.filename", true),
        ("[file]", "file.filename", true),
        ("[file.filename]", "link.title", false),
        ("[file.file]", "file.filename", false),
        ("[chatrecord]", "chatrecord.item[0].filename", true),
        ("[link, file]", "link.title", true),
    ] {
        let engine = detection(&format!("a: {{ words: [合同], fields: {fields} }}\ncondition: a"));
        assert_eq!(holds(&engine, &text(field)), expected, "{fields} {field}");
    }
}

#[test]
fn names_are_looked_at_only_when_asked() {
    let named = Message {
        extras: Extras {
            names: vec![Text { field: "room.name".into(), text: "内部荐股群".to_owned() }],
            ..Extras::default()
        },
        ..message(&["你好"])
    };
    let body = detection("a: { words: [荐股] }\ncondition: a");
    let name = detection("a: { words: [荐股], fields: [room.name] }\ncondition: a");
    assert!(!holds(&body, &named));
    assert_eq!(reported(&name, &named), ["荐股=荐股"]);
    assert!(!holds(&name, &message(&["荐股"])));
    assert!(name.interest().names() && !body.interest().names());
}

#[test]
fn what_is_quoted_does_not_count_for_the_sender() {
    let quote = "这是一条引用/回复消息：\n\"李娜：\n保本 13800001234\"\n------\n真的吗";
    for (kind, both) in [("words: [保本]", "保本"), ("regex: 保本", "保本"), ("validator: mobile", "13900001234")]
    {
        let engine = detection(&format!("a: {{ {kind} }}\ncondition: a"));
        assert!(!holds(&engine, &message(&[quote])), "{kind}");
        assert_eq!(
            evaluate(&engine, &message(&[&format!("{quote}{both}")]))[0].hits.len(),
            1,
            "{kind}: only what was said"
        );
        let quoted = detection(&format!("a: {{ {kind}, quoted: true }}\ncondition: a"));
        assert!(holds(&quoted, &message(&[quote])), "{kind}");
    }
}

#[test]
fn patterns_match_the_original_text() {
    for (name, lines, text, expected) in [
        ("a pattern", "a: { regex: '[0-9]+%\\s*年化' }", "给您8%年化", &["[0-9]+%\\s*年化=8%年化"][..]),
        ("several", "a: { regex: ['A[0-9]', 'B[0-9]'] }", "B1 A2", &["B[0-9]=B1", "A[0-9]=A2"]),
        ("with case", "a: { regex: 'vip' }", "VIP", &[]),
        ("without case", "a: { regex: 'vip', ignore_case: true }", "VIP", &["vip=VIP"]),
        ("not folded", "a: { regex: '[0-9]+' }", "１２", &[]),
        ("behind wide characters", "a: { regex: 'x+' }", "保🎉xx本x", &["x+=xx", "x+=x"]),
    ] {
        let engine = detection(&format!("{lines}\ncondition: a"));
        assert_eq!(reported(&engine, &message(&[text])), expected, "{name}");
    }
    let engine = detection("a: { regex: '甲' }\ncondition: a");
    let findings = evaluate(&engine, &message(&[&"甲".repeat(5_000)]));
    assert_eq!((findings[0].hits.len(), findings[0].hits_capped), (HITS_MAX, true));
}

#[test]
fn validators_leave_out_what_is_excepted() {
    let engine = detection("a: { validator: [mobile, email], except: [13800001234, '@example.com'] }\ncondition: a");
    for (text, expected) in [
        ("138-0000-1234", &[][..]),
        ("a@example.com", &[]),
        ("13800001235", &["mobile=13800001235"]),
        ("a@example.org，１３９００００１２３４", &["email=a@example.org", "mobile=１３９００００１２３４"]),
    ] {
        assert_eq!(reported(&engine, &message(&[text])), expected, "{text}");
    }
    let hits = &evaluate(&engine, &message(&["a@example.org，１３９００００１２３４"]))[0].hits;
    assert_eq!([hits[0].channel, hits[1].channel], [Channel::Exact, Channel::Folded]);
}

#[test]
fn near_mixes_kinds() {
    let engine = detection("ask: { words: [加我] }\nid: { validator: mobile, near: ask, within: 5 }\ncondition: id");
    assert!(holds(&engine, &message(&["加我13800001234"])));
    assert!(!holds(&engine, &message(&["加我一下，我的电话是13800001234"])));
    assert!(!holds(&engine, &message(&["加我", "13800001234"])), "in another text");
}

fn typed(msgtype: &str, extras: Extras) -> Message {
    Message { msgtype: msgtype.to_owned(), extras, ..message(&[]) }
}

#[test]
fn facts() {
    let file = |name: &str, size: u64| {
        typed("file", Extras { files: vec![FileInfo::new(name, "", Some(size))], ..Extras::default() })
    };
    let amount = |cents: u64| typed("redpacket", Extras { amount: Some(cents), ..Extras::default() });
    let link = |url: &str| Message {
        texts: vec![Text { field: "link.link_url".into(), text: url.to_owned() }],
        ..typed("link", Extras::default())
    };
    // Beijing, a Saturday that is worked, and the holiday after it.
    let at = |ms: i64| Message { msgtime: Some(ms), ..message(&["在"]) };
    let (saturday_10, saturday_20, festival_10) = (1_771_034_400_000, 1_771_070_400_000, 1_771_293_600_000);
    let group = Message { room: Some("wr1".to_owned()), ..message(&["在"]) };
    let sizeless = typed("file", Extras { files: vec![FileInfo::new("a.xlsx", "", None)], ..Extras::default() });
    for (name, fact, message, expected) in [
        ("extension", "file: { ext: [xls, XLSX] }", file("报价.xlsx", 1), true),
        ("extension in capitals", "file: { ext: [.xlsx] }", file("报价.XLSX", 1), true),
        ("another extension", "file: { ext: [xlsx] }", file("报价.pdf", 1), false),
        ("no file", "file: { ext: [xlsx] }", message(&["报价.xlsx"]), false),
        ("any file", "file: {}", file("a", 1), true),
        ("size", "file: { size_min: 1MB }", file("a.zip", 1 << 20), true),
        ("size, a byte less", "file: { size_min: 1MB }", file("a.zip", (1 << 20) - 1), false),
        ("size within", "file: { size_min: 1KB, size_max: 2KB }", file("a.zip", 1_500), true),
        ("size beyond", "file: { size_max: 2KB }", file("a.zip", 2_049), false),
        ("size unknown", "file: { size_max: 2KB }", sizeless.clone(), false),
        ("size unknown, only the extension", "file: { ext: [xlsx] }", sizeless, true),
        ("amount", "amount: { min: 200 }", amount(20_000), true),
        ("amount, a cent less", "amount: { min: 200 }", amount(19_999), false),
        ("amount with cents", "amount: { max: 88.8 }", amount(8_880), true),
        ("no amount", "amount: { max: 88.8 }", message(&["在"]), false),
        ("type", "type: [card, location]", typed("card", Extras::default()), true),
        ("another type", "type: card", typed("location", Extras::default()), false),
        ("host", "host: [example.com]", link("https://example.com/a"), true),
        ("subdomain", "host: [example.com]", link("https://a.Example.com/a"), true),
        ("a host that ends alike", "host: [example.com]", link("https://notexample.com/a"), false),
        ("host in a text", "host: [example.com]", message(&["看 https://example.com/a"]), true),
        ("not the company's", "not_host: [example.com]", link("https://example.org"), true),
        ("the company's", "not_host: [example.com]", link("https://a.example.com"), false),
        ("no link at all", "not_host: [example.com]", message(&["在"]), false),
        ("group", "chat: group", group.clone(), true),
        ("no group", "chat: group", message(&["在"]), false),
        ("single", "chat: single", message(&["在"]), true),
        ("side", "side: employee", message(&["在"]), true),
        ("another side", "side: [external, robot]", message(&["在"]), false),
        ("work hours", "time: work_hours", at(saturday_10), true),
        ("evening", "time: work_hours", at(saturday_20), false),
        ("off hours", "time: off_hours", at(saturday_20), true),
        ("holiday", "time: holiday", at(festival_10), true),
        ("no holiday", "time: holiday", at(saturday_10), false),
        ("work day", "time: work_day", at(saturday_20), true),
        ("no work day", "time: work_day", at(festival_10), false),
        ("between", "time: { from: '19:00', to: '08:00' }", at(saturday_20), true),
        ("not between", "time: { from: '19:00', to: '08:00' }", at(saturday_10), false),
        ("time unknown", "time: off_hours", Message { msgtime: None, ..message(&["在"]) }, false),
        ("time unknown, work hours", "time: work_hours", Message { msgtime: None, ..message(&["在"]) }, false),
    ] {
        let engine = detection(&format!("a: {{ {fact} }}\ncondition: a"));
        let findings = evaluate(&engine, &message);
        assert_eq!(!findings.is_empty(), expected, "{name}");
        assert!(findings.iter().all(|finding| finding.hits.is_empty()), "{name}: a fact has no place");
    }
}

#[test]
fn calendars_of_packs_and_accounts() {
    let yaml = "pack: p
version: 1
title: { zh: 包, en: P }
calendars:
  night: { utc_offset: '+08:00', hours: { mon-sun: '20:00-24:00' } }
  own: { base: cn, holidays: [2026-03-02], work_days: [2026-03-07, 2026-02-17] }
rules:
  - id: r
    title: { zh: 则, en: R }
    category: c
    level: high
    detection: { a: { time: work_hours, calendar: CALENDAR }, condition: a }
";
    // Beijing: Monday 2026-03-02 10:00 and 21:00, Saturday 2026-03-07 10:00.
    let times = [1_772_416_800_000_i64, 1_772_456_400_000, 1_772_848_800_000];
    for (calendar, rows, expected) in [
        ("cn", None, [true, false, false]),
        ("night", None, [false, true, false]),
        ("own", None, [false, false, true]),
        ("account", None, [true, false, false]),
        ("account", Some("ww1,li.na,,calendar:night,"), [false, true, false]),
        ("account", Some("ww1,li.na,,calendar:unknown,"), [true, false, false]),
    ] {
        let pack = Pack::parse("p", yaml.replace("CALENDAR", calendar).as_bytes(), &BTreeMap::new()).unwrap();
        let engine = Engine::compile(vec![pack], rows.map(accounts)).unwrap();
        let held = times.map(|ms| holds(&engine, &Message { msgtime: Some(ms), ..message(&["在"]) }));
        assert_eq!(held, expected, "{calendar} {rows:?}");
    }
}

#[test]
fn a_day_worked_is_no_holiday() {
    let yaml = |days: &str| {
        format!(
            "pack: p\nversion: 1\ntitle: {{ zh: 包, en: P }}\ncalendars:\n  own: {{ base: cn, {days} }}\nrules:\n  - id: r\n    \
             title: {{ zh: 则, en: R }}\n    category: c\n    level: high\n    detection: {{ a: {{ time: holiday, calendar: own }}, condition: a }}\n"
        )
    };
    // New Year's Day of 2026 at noon in Beijing.
    let new_year = Message { msgtime: Some(1_771_300_800_000), ..message(&["在"]) };
    for (days, expected) in [("utc_offset: '+08:00'", true), ("work_days: [2026-02-17]", false)] {
        let pack = Pack::parse("p", yaml(days).as_bytes(), &BTreeMap::new()).unwrap();
        assert_eq!(holds(&Engine::compile(vec![pack], None).unwrap(), &new_year), expected, "{days}");
    }
    let both = yaml("holidays: [2026-03-02..2026-03-04], work_days: [2026-03-03]");
    let mistakes = Pack::parse("p", both.as_bytes(), &BTreeMap::new()).unwrap_err();
    assert!(
        mistakes[0].to_string().contains("2026-03-03 is listed under `holidays` and under `work_days`"),
        "{mistakes:?}"
    );
}

#[test]
fn weak_channels_lower_the_level() {
    let engine = engine(
        "weak: { channels: [pinyin, split], level: low }\ndetection:\n  a: { words: [加我私人微信], pinyin: true }\n  condition: a",
    );
    for (text, level) in [("加我私人微信", Level::High), ("jia wo si ren wei xin", Level::Low)] {
        assert_eq!(evaluate(&engine, &message(&[text]))[0].level, level, "{text}");
    }
    assert_eq!(
        evaluate(&engine, &message(&["加我私人微信 jia wo si ren wei xin"]))[0].level,
        Level::High,
        "one is strong"
    );
    let nested = self::engine(
        "weak: { channels: [pinyin], level: low }\ndetection:\n  a: { words: [加我私人微信], pinyin: true }\n  b: { words: [私人微信] }\n  \
         condition: a or b",
    );
    let found = evaluate(&nested, &message(&["jia我私人微信"]));
    assert_eq!(found[0].level, Level::High, "a strong one stands in a weak one");
    let fact =
        self::engine("weak: { channels: [exact], level: low }\ndetection:\n  a: { side: employee }\n  condition: a");
    assert_eq!(evaluate(&fact, &message(&["在"]))[0].level, Level::High, "no hits are not weak hits");
}

#[test]
fn counts_of_selections() {
    let engine = detection(
        "a1: { words: [甲甲] }\na2: { words: [乙乙] }\nb: { words: [丙丙] }\ncondition: 2 of (a*, b) and not all of them",
    );
    for (text, expected) in [("甲甲", false), ("甲甲乙乙", true), ("乙乙丙丙", true), ("甲甲乙乙丙丙", false)]
    {
        assert_eq!(holds(&engine, &message(&[text])), expected, "{text}");
    }
}

#[test]
fn only_messages_that_may_hold_need_a_look() {
    use crate::validators::Validator;
    let text = |engine: &Engine| engine.interest().of_type("text").clone();
    for (lines, triggers, look) in [
        (
            "a: { words: [保本保收益] }\nb: { words: [基金] }\nno: { words: [不是], near: a, within: 2 }\ncondition: a and b and not no",
            &[true, false, false][..],
            Look::Never,
        ),
        ("a: { words: [甲甲] }\nb: { words: [乙乙] }\ncondition: a or b", &[true, true], Look::Never),
        ("a: { words: [甲甲] }\nb: { regex: 'x' }\ncondition: a and b", &[true], Look::Never),
        ("a: { words: [甲甲] }\nb: { regex: 'x' }\ncondition: a or b", &[false], Look::Always),
        ("a: { regex: 'x', near: b, within: 3 }\nb: { words: [甲甲] }\ncondition: a", &[true], Look::Never),
        (
            "a: { validator: mobile }\nb: { side: employee }\ncondition: a and b",
            &[],
            Look::IfValidated(vec![Validator::Mobile]),
        ),
        ("a: { words: [甲甲甲甲] }\nb: { validator: mobile }\ncondition: a and b", &[true], Look::Never),
        (
            "a: { words: [甲甲] }\nb: { validator: email }\ncondition: a or b",
            &[true],
            Look::IfValidated(vec![Validator::Email]),
        ),
        ("a: { type: card }\ncondition: a", &[], Look::Never),
        ("a: { time: off_hours }\ncondition: a", &[], Look::Always),
        (
            "a: { words: [甲甲甲甲] }\nb: { words: [乙乙乙] }\nc: { words: [丙丙] }\ncondition: 2 of them",
            &[true, true, false],
            Look::Never,
        ),
        (
            "a: { words: [甲甲] }\nb: { words: [乙乙] }\nc: { words: [丙丙] }\ncondition: any of them",
            &[true, true, true],
            Look::Never,
        ),
        (
            "a: { words: [甲甲甲] }\nb: { words: [乙乙] }\nc: { words: [丙丙] }\ncondition: all of them",
            &[true, false, false],
            Look::Never,
        ),
    ] {
        let engine = detection(lines);
        let interest = engine.interest();
        let marked: Vec<bool> = (0..triggers.len() as u32).map(|list| interest.is_trigger(list)).collect();
        assert_eq!((marked.as_slice(), text(&engine)), (triggers, look), "{lines}");
    }
    let card = detection("a: { type: card }\ncondition: a");
    assert_eq!(card.interest().of_type("card"), &Look::Always);
    let scoped = engine("scope: { types: [file] }\ndetection:\n  a: { time: off_hours }\n  condition: a");
    assert_eq!((text(&scoped), scoped.interest().of_type("file")), (Look::Never, &Look::Always));
}

#[test]
fn costly_selections_wait_for_the_cheap_ones() {
    // Were the pattern looked for first, its cap would be noted.
    let engine = detection("a: { words: [甲甲] }\nb: { regex: '乙' }\nc: { words: [丙丙] }\ncondition: (a and b) or c");
    let findings = evaluate(&engine, &message(&[&format!("丙丙{}", "乙".repeat(5_000))]));
    assert!(!findings.is_empty());
    let engine = detection("a: { words: [甲甲] }\nb: { regex: '乙' }\ncondition: a and b");
    assert!(!holds(&engine, &message(&[&"乙".repeat(5_000)])));
}

#[test]
fn what_asks_for_more_denies_nothing_with_less() {
    let engine = engine(
        "detection:\n  a: { words: [保本] }\n  no: { words: [不是, 并非], near: a, within: 4, min: 2 }\n  condition: a and not no",
    );
    assert_eq!(evaluate(&engine, &message(&["并非保本"]))[0].hits.len(), 1);
    assert!(evaluate(&engine, &message(&["不是，并非保本"])).is_empty());
}

#[test]
fn exceptions_do_not_use_up_what_is_looked_for() {
    let engine = engine("detection:\n  a: { validator: mobile, except: ['13800001234'] }\n  condition: a");
    let own = "13800001234 ".repeat(3_000);
    assert!(evaluate(&engine, &message(&[&own])).is_empty());
    assert_eq!(evaluate(&engine, &message(&[&(own + "，13900001234")])).len(), 1);
}

#[test]
fn hosts_are_those_of_what_is_said_oneself() {
    let engine = engine("detection:\n  a: { not_host: [example.com] }\n  condition: a");
    let quoted = "这是一条引用/回复消息：\n\"王芳：https://evil.org\"\n------\n";
    assert!(evaluate(&engine, &message(&[&format!("{quoted}收到")])).is_empty());
    assert_eq!(evaluate(&engine, &message(&[&format!("{quoted}看 https://evil.org")])).len(), 1);
    assert_eq!(evaluate(&engine, &message(&["https://example.com@evil.org/"])).len(), 1);
    assert_eq!(evaluate(&engine, &message(&["https://\u{435}xample.com/"])).len(), 1, "another letter e");
    assert!(evaluate(&engine, &message(&["https://user@example.com/"])).is_empty());
}
