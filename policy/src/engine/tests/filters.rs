//! What filters leave out and change.

use super::*;
use crate::filters::Filter;
use crate::rules::Mistake;

const RULE: &str =
    "detection:\n  a: { words: [保本, 稳赚] }\n  no: { words: [并非], near: a, within: 2 }\n  condition: a and not no";

fn parsed(lines: &str) -> Result<Filter, Vec<Mistake>> {
    let head = "filter: f\npack: p\nrules: [r]\nowner: compliance\nreason: 固定素材\nexpires: 2026-03-31\n";
    Filter::parse("f.yaml", format!("{head}{lines}\n").as_bytes())
}

fn filter(lines: &str) -> Filter {
    parsed(lines).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

fn filtered(filters: Vec<Filter>, rows: Option<&str>) -> Engine {
    Engine::compile_filtered(vec![pack("p", RULE)], filters, rows.map(accounts)).unwrap()
}

/// Beijing, 2026-03-31 23:59:59.999.
const LAST_MS: i64 = 1_774_972_799_999;

fn sent(text: &str) -> Message {
    Message { msgtime: Some(LAST_MS), ..message(&[text]) }
}

#[test]
fn exceptions_leave_messages_out() {
    let linked = |text: &str| sent(text);
    let roomed = Message { room: Some("wr1".to_owned()), ..sent("保本") };
    for (name, lines, rows, message, expected) in [
        ("label", "except: { labels: [market] }", Some("ww1,li.na,,market|上海,"), sent("保本"), 0),
        ("another label", "except: { labels: [market] }", Some("ww1,li.na,,sales,"), sent("保本"), 1),
        ("no labels known", "except: { labels: [market] }", None, sent("保本"), 1),
        ("sender", "except: { from: [Li.Na] }", None, sent("保本"), 0),
        ("another sender", "except: { from: [zhou] }", None, sent("保本"), 1),
        ("room", "except: { rooms: [wr1] }", None, roomed.clone(), 0),
        ("another room", "except: { rooms: [wr2] }", None, roomed, 1),
        ("no room", "except: { rooms: [wr1] }", None, sent("保本"), 1),
        ("host", "except: { hosts: [example.com] }", None, linked("保本 https://a.example.com/x"), 0),
        (
            "one host more",
            "except: { hosts: [example.com] }",
            None,
            linked("保本 https://example.com https://example.org"),
            1,
        ),
        ("no host", "except: { hosts: [example.com] }", None, linked("保本"), 1),
        ("both fit", "except: { from: [li.na], hosts: [example.com] }", None, linked("保本 example.com"), 0),
        ("one of both fits", "except: { from: [zhou], hosts: [example.com] }", None, linked("保本 example.com"), 1),
        ("phrase", "except: { words: [保本升级] }", None, sent("保本升级版"), 0),
        ("the word itself", "except: { words: [保本] }", None, sent("保本"), 0),
        ("outside the phrase", "except: { words: [保本升级] }", None, sent("保本升级版，保本"), 1),
        ("phrase, but another sender", "except: { from: [zhou], words: [保本升级] }", None, sent("保本升级版"), 1),
        ("a phrase is no reason to overhear a denial", "except: { words: [并非] }", None, sent("并非保本"), 0),
        ("disabled", "set: { disable: true }", None, sent("保本"), 0),
        (
            "a millisecond late",
            "set: { disable: true }",
            None,
            Message { msgtime: Some(LAST_MS + 1), ..sent("保本") },
            1,
        ),
        ("no time", "set: { disable: true }", None, Message { msgtime: None, ..sent("保本") }, 1),
    ] {
        let engine = filtered(vec![filter(lines)], rows);
        let findings = evaluate(&engine, &message);
        assert_eq!(findings.len(), expected, "{name}");
        let explained = engine.explain(&Corp::new("ww1"), &message, &|_, _| true).rules.remove(0);
        let blamed = explained.condition_holds && expected == 0;
        assert_eq!((explained.holds, explained.filtered == ["f"]), (expected == 1, blamed), "{name}");
    }
}

#[test]
fn settings_change_findings() {
    let engine = filtered(vec![filter("set: { level: low, status: shadow }")], None);
    let finding = evaluate(&engine, &sent("保本")).remove(0);
    assert_eq!((finding.level, finding.status), (Level::Low, Status::Shadow));
    let late = evaluate(&engine, &Message { msgtime: Some(LAST_MS + 1), ..sent("保本") }).remove(0);
    assert_eq!((late.level, late.status), (Level::High, Status::Live));
}

#[test]
fn filters_are_part_of_the_policy() {
    let one = filter("set: { level: low }");
    let two = Filter { id: "g".into(), ..filter("set: { status: shadow }") };
    let digest = |filters: &[&Filter]| filtered(filters.iter().map(|it| (*it).clone()).collect(), None).digest();
    assert_eq!(digest(&[]), Engine::compile(vec![pack("p", RULE)], None).unwrap().digest());
    assert_ne!(digest(&[]), digest(&[&one]));
    assert_eq!(digest(&[&one, &two]), digest(&[&two, &one]), "order is no difference");
    let compile = |filters| Engine::compile_filtered(vec![pack("p", RULE)], filters, None);
    assert!(matches!(compile(vec![one.clone(), one.clone()]), Err(CompileError::DuplicateFilter(id)) if &*id == "f"));
    for (wrong, part) in [
        (Filter { pack: "q".into(), ..one.clone() }, "did you mean `p`?"),
        (Filter { rules: Some(vec!["rr".into()]), ..one.clone() }, "did you mean `r`?"),
    ] {
        let error = compile(vec![wrong]).unwrap_err().to_string();
        assert!(error.starts_with("f.yaml: ") && error.contains(part), "{error}");
    }
    let all = Filter::parse(
        "f",
        "filter: f\npack: p\nrules: all\nowner: o\nreason: r\nexpires: 2026-03-31\nset: { disable: true }".as_bytes(),
    );
    assert!(evaluate(&filtered(vec![all.unwrap()], None), &sent("保本")).is_empty());
}

#[test]
fn mistakes_say_what_to_do() {
    for (lines, part) in [
        ("", "changes nothing; add `except` or `set`"),
        ("except: {}", "would leave out everything"),
        ("except: { sender: [x] }", "no key `sender`"),
        ("except: { words: [保] }", "single character"),
        ("except: { hosts: ['https://x.cn'] }", "bare host name"),
        ("set: {}", "changes nothing; add `level`"),
        ("set: { disable: false }", "changes nothing; add `level`"),
        ("set: { level: lower }", "did you mean `low`?"),
        ("set: { disable: true }\nexpire: 2027-01-01", "did you mean `expires`?"),
    ] {
        let mistakes = parsed(lines).unwrap_err();
        assert!(mistakes.iter().any(|mistake| mistake.text.contains(part)), "{lines}: {part}\n{mistakes:#?}");
    }
    let mistakes =
        Filter::parse("f", b"filter: f\nrules: []\nowner: ''\nexpires: soon\nset: { disable: true }").unwrap_err();
    for part in ["has no `pack`", "empty list", "`owner` is empty", "has no `reason`", "like `2027-03-31`"] {
        assert!(mistakes.iter().any(|mistake| mistake.text.contains(part)), "{part}\n{mistakes:#?}");
    }
}

#[test]
fn a_filter_is_told_from_a_pack() {
    for (yaml, expected) in [
        ("filter: f\npack: p", true),
        ("pack: p\nversion: 1", false),
        ("pack: p\nversion: 1\nfilter: x", false),
        ("[", false),
    ] {
        assert_eq!(Filter::is_meant(yaml.as_bytes()), expected, "{yaml}");
    }
}

proptest::proptest! {
    /// A filter takes findings away or changes them; it never makes one.
    #[test]
    fn a_filter_never_makes_a_finding(text in "(保本|稳赚|并非|升级|，|x){0,8}", lines in 0..4_usize) {
        let lines = ["except: { words: [并非, 保本升级] }", "except: { from: [li.na] }", "set: { level: low }", "except: { words: [稳赚, 并非保本] }"][lines];
        let plain = evaluate(&filtered(Vec::new(), None), &sent(&text));
        let tuned = evaluate(&filtered(vec![filter(lines)], None), &sent(&text));
        proptest::prop_assert!(tuned.len() <= plain.len());
        for (tuned, plain) in tuned.iter().zip(&plain) {
            proptest::prop_assert!(tuned.hits.iter().all(|hit| plain.hits.contains(hit)));
        }
    }
}

#[test]
fn phrases_count_in_what_messages_say_together() {
    let engine = filtered(vec![filter("except: { words: [保本升级] }")], None);
    let at = RuleAt { pack: 0, rule: 0 };
    assert_eq!(engine.joined_hits(at, "保本升级", LAST_MS).len(), 0);
    assert_eq!(engine.joined_hits(at, "保本吧", LAST_MS).len(), 1);
    assert_eq!(engine.joined_hits(at, "保本升级", LAST_MS + 1).len(), 1, "expired");
    let engine = filtered(vec![filter("except: { from: [li.na], words: [保本升级] }")], None);
    assert_eq!(engine.joined_hits(at, "保本升级", LAST_MS).len(), 1, "of one sender only");
}

/// A selection may ask in one alternative and deny in another.
#[test]
fn phrases_count_for_what_also_denies() {
    let rule = "detection:\n  a: { words: [保本] }\n  b: { words: [稳赚] }\n  condition: a or b and not a";
    let filters = vec![filter("except: { words: [保本升级] }")];
    let engine = Engine::compile_filtered(vec![pack("p", rule)], filters, None).unwrap();
    for (text, expected) in [("保本升级", 0), ("保本", 1), ("稳赚", 1), ("稳赚，保本升级", 1)] {
        assert_eq!(evaluate(&engine, &sent(text)).len(), expected, "{text}");
    }
}
