//! Windows as they are written.

use std::collections::BTreeMap;

use super::*;
use crate::rules::{Mistake, Pack, Rule};

const DETECTION: &str =
    "{ a: { words: [保本] }, b: { words: [收益] }, c: { side: external }, condition: (a or b) and c }";

fn rule_with(window: &str, detection: &str) -> Result<Rule, Vec<Mistake>> {
    let head = "pack: p\nversion: 1\ntitle: { zh: 包, en: Pack }\ncalendars: { night: { base: cn } }\n";
    let rule = format!(
        "rules:\n  - id: r\n    title: {{ zh: 则, en: Rule }}\n    category: c\n    level: high\n    window: {window}\n    detection: {detection}\n"
    );
    let pack = format!("{head}{rule}");
    Pack::parse("p.yaml", pack.as_bytes(), &BTreeMap::new()).map(|mut pack| pack.rules.remove(0))
}

fn window(text: &str) -> Window {
    rule_with(text, DETECTION).unwrap().window.unwrap()
}

#[test]
fn the_shapes_of_the_language_are_read() {
    let minute = 60_000;
    let count = window("{ count: 20, within: 10m }");
    assert_eq!(count, Window { kind: Kind::Count { at_least: 20 }, within_ms: 10 * minute, by: vec![By::From] });
    let distinct = window("{ distinct: to, at_least: 5, within: 1h, by: [room, from] }");
    assert_eq!(distinct.kind, Kind::Distinct { what: Distinct::To, at_least: 5 });
    assert_eq!(distinct.by, [By::From, By::Room], "the order does not matter");
    assert_eq!(window("{ sum: amount, at_least: 2000, within: 1d }").kind, Kind::Sum { at_least: 200_000 });
    assert_eq!(window("{ all: [b, a], within: 90s, by: chat }").kind, Kind::All(vec![0, 1]));
    let reply = window("{ reply: 10m, calendar: cn, closing: a }");
    let Kind::Reply { calendar: Some(calendar), closing: Some(0) } = &reply.kind else { panic!("{reply:?}") };
    assert_eq!((reply.within_ms, &reply.by[..], **calendar == Calendar::cn()), (10 * minute, &[By::Chat][..], true));
    let join = rule_with("{ join: true, within: 90s }", "{ a: { words: [保本] }, condition: a }").unwrap().window;
    assert_eq!(join.unwrap(), Window { kind: Kind::Join, within_ms: 90_000, by: vec![By::From, By::Chat] });
}

#[test]
fn a_selection_only_the_window_names_is_used() {
    let detection = "{ c: { side: external }, thanks: { words: [谢谢] }, condition: c }";
    assert!(rule_with("{ reply: 10m, closing: thanks }", detection).is_ok());
    assert!(rule_with("{ reply: 10m }", detection).unwrap_err()[0].text.contains("never used"));
}

#[test]
fn mistakes_say_where_and_what_to_do() {
    for (text, part) in [
        ("{ count: 20 }", "no `within`"),
        ("{ within: 5m }", "exactly one of: count"),
        ("{ count: 3, join: true, within: 5m }", "says with count, join"),
        ("5m", "must be a mapping"),
        ("{ count: 3, within: 5m, form: [to] }", "no key `form`"),
        ("{ count: 3, within: 5m, at_least: 3 }", "no key `at_least`"),
        ("{ count: 3, within: 5m, by: [form] }", "did you mean `from`"),
        ("{ count: 3, within: 5m, by: [] }", "empty list"),
        ("{ count: 1, within: 5m }", "from 2 to 500"),
        ("{ count: 3, within: 8d }", "at most `7d`"),
        ("{ count: 3, within: 5 }", "must be a number and a unit"),
        ("{ join: true, within: 1h }", "at most `10m`"),
        ("{ join: false, within: 90s }", "write `join: true`"),
        ("{ join: true, within: 90s }", "no `c`; say it in `scope`"),
        ("{ distinct: too, at_least: 3, within: 5m }", "did you mean `to`"),
        ("{ distinct: to, within: 5m }", "no `at_least`"),
        ("{ sum: money, at_least: 3, within: 5m }", "(one of: amount)"),
        ("{ all: [a], within: 5m }", "at least two selections"),
        ("{ all: [a, bb], within: 5m }", "there is no selection `bb`"),
        ("{ reply: 10m, calendar: us }", "(one of: night, cn)"),
        ("{ reply: 2d }", "at most `1d`"),
        ("{ reply: 10m, closing: d }", "there is no selection `d`"),
        ("{ reply: 10m, closing: c }", "must name a list of words"),
    ] {
        let mistakes = rule_with(text, DETECTION).unwrap_err();
        let said = mistakes.iter().any(|mistake| mistake.text.contains(part) && (10..=11).contains(&mistake.line));
        assert!(said, "{text}: {mistakes:#?}");
    }
}

#[test]
fn the_digest_is_of_what_decides() {
    let text = "{ count: 20, within: 10m }";
    let digest = |window: &str, detection: &str| rule_with(window, detection).unwrap().digest;
    assert_eq!(digest(text, DETECTION), digest(text, DETECTION));
    assert_ne!(digest(text, DETECTION), digest("{ count: 21, within: 10m }", DETECTION));
    assert_ne!(digest(text, DETECTION), digest(text, &DETECTION.replace("保本", "保息")));
    let pack = |level: &str, file: &str| {
        let text = format!(
            "pack: p\nversion: 1\ntitle: {{ zh: 包, en: Pack }}\nrules:\n  - id: r\n    title: {{ zh: 则, en: R }}\n    category: c\n    \
             level: {level}\n    detection: {{ a: {{ words_file: w.txt }}, condition: a }}\n"
        );
        let files = BTreeMap::from([("w.txt".to_owned(), file.as_bytes().to_vec())]);
        Pack::parse("p.yaml", text.as_bytes(), &files).unwrap().rules.remove(0).digest
    };
    assert_eq!(pack("low", "保本"), pack("high", "保本"), "how bad it is does not decide it");
    assert_ne!(pack("low", "保本"), pack("low", "保息"));
}
