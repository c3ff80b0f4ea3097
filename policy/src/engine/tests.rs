use std::collections::BTreeMap;

use super::*;
use crate::identity::TenantKey;
use crate::message::{Action, Extras, Text};

mod filters;
mod naive;
mod selections;

const CUSTOMER: &str = "wmExAmPlEAAA0001customerAAAAAAAA";
const ROBOT: &str = "wbExAmPlEAAA0005robotAAAAAAAAAAA";

/// A pack `id` with one rule `r`.
fn pack(id: &str, rule: &str) -> Pack {
    let rule = rule.replace('\n', "\n    ");
    let head = "id: r\n    title: { zh: 则, en: R }\n    category: c\n    level: high";
    let yaml = format!("pack: {id}\nversion: 1\ntitle: {{ zh: 包, en: P }}\nrules:\n  - {head}\n    {rule}\n");
    Pack::parse("p.yaml", yaml.as_bytes(), &BTreeMap::new()).unwrap_or_else(|mistakes| panic!("{mistakes:#?}\n{yaml}"))
}

fn engine(rule: &str) -> Engine {
    Engine::compile(vec![pack("p", rule)], None).unwrap()
}

fn message(texts: &[&str]) -> Message {
    Message {
        msgid: Some("m".to_owned()),
        action: Action::Send,
        from: "li.na".to_owned(),
        to: vec![CUSTOMER.to_owned()],
        room: None,
        msgtime: Some(1),
        msgtype: "text".to_owned(),
        texts: texts
            .iter()
            .zip(0..)
            .map(|(text, at)| Text { field: format!("f{at}").into(), text: (*text).to_owned() })
            .collect(),
        body: None,
        unread_parties: false,
        extras: Extras::default(),
    }
}

fn evaluate(engine: &Engine, message: &Message) -> Vec<Finding> {
    engine.evaluate(&corp(), message, &mut Scratch::default())
}

fn corp() -> Corp {
    Corp::new("ww1")
}

fn places(finding: &Finding) -> Vec<(&str, &str, u32, u32)> {
    finding.hits.iter().map(|hit| (&*hit.word, &*hit.field, hit.start, hit.end)).collect()
}

fn accounts(rows: &str) -> Accounts {
    Accounts::parse(format!("corp,userid,name,labels,never\n{rows}").as_bytes()).unwrap()
}

const PROMISE: &str = "detection:
  promise: { words: [零风险, 保本] }
  product: { words: [理财, 基金] }
  denial: { words: [不是, 并非保本, 请勿], near: promise, within: 4 }
  doubt: { words: [哪有], near: promise, within: 0 }
  condition: promise and product and not denial and not doubt";

#[test]
fn negation_nearby_is_judged_per_hit() {
    let engine = engine(PROMISE);
    for (name, texts, expected) in [
        ("promise and product", &["理财零风险"][..], &["理财", "零风险"][..]),
        ("no product", &["零风险"], &[]),
        ("denied", &["理财不是零风险"], &[]),
        ("denied from behind", &["理财零风险的请勿信"], &[]),
        ("denied within", &["理财不是一二三四零风险"], &[]),
        ("too far to deny", &["理财不是一二三四五零风险"], &["理财", "零风险"]),
        ("denial overlaps", &["理财并非保本"], &[]),
        ("one of two denied", &["理财并非保本，实际上完全零风险"], &["理财", "零风险"]),
        ("both denied by the same", &["理财不是保本零风险"], &[]),
        ("each denied by another", &["理财不是保本，一二三四五，哪有零风险"], &[]),
        ("denial in another text", &["理财零风险", "不是"], &["理财", "零风险"]),
        ("words in several texts", &["理财", "零风险"], &["理财", "零风险"]),
        ("denial without promise", &["理财不是"], &[]),
        ("nothing", &["你好"], &[]),
    ] {
        let findings = evaluate(&engine, &message(texts));
        let words: Vec<&str> = findings.iter().flat_map(|finding| &finding.hits).map(|hit| &*hit.word).collect();
        assert_eq!(words, expected, "{name}");
    }
}

#[test]
fn near_restricts_positive_selections() {
    let engine = engine(
        "detection:\n  pay: { words: [转账, 打款], near: private, within: 3 }\n  private: { words: [个人] }\n  condition: pay",
    );
    for (text, expected) in [
        ("转账到我个人卡", 1),
        ("转账一二三个人", 1),
        ("转账一二三四个人", 0),
        ("转账", 0),
        ("个人打款，一二三四五转账", 1),
    ] {
        let hits = evaluate(&engine, &message(&[text])).first().map_or(0, |finding| finding.hits.len());
        assert_eq!(hits, expected, "{text}");
    }
}

#[test]
fn nearness_follows_chains() {
    let engine = engine(
        "detection:\n  a: { words: [甲甲], near: b, within: 1 }\n  b: { words: [乙乙], near: c, within: 1 }\n  c: { words: [丙丙] }\n  condition: a",
    );
    assert_eq!(evaluate(&engine, &message(&["甲甲乙乙丙丙"])).len(), 1);
    assert!(evaluate(&engine, &message(&["甲甲乙乙一一丙丙"])).is_empty(), "乙乙 does not count, so 甲甲 does not");
}

#[test]
fn a_long_place_behind_short_ones_is_still_near() {
    // The place that reaches furthest decides, not the last one that starts before the hit.
    let engine = engine(
        "detection:\n  a: { words: [甲甲], near: b, within: 0 }\n  b: { words: [一二三四五六, 二三] }\n  condition: a",
    );
    assert_eq!(evaluate(&engine, &message(&["一二三四五六甲甲"])).len(), 1);
}

#[test]
fn negation_without_near_is_for_the_whole_message() {
    let engine = engine("detection:\n  a: { words: [保本] }\n  b: { words: [风险提示] }\n  condition: a and not b");
    assert_eq!(evaluate(&engine, &message(&["保本"])).len(), 1);
    assert!(evaluate(&engine, &message(&["保本", "风险提示"])).is_empty());
}

#[test]
fn many_words_of_a_rule_are_one_finding() {
    let engine = engine("detection:\n  a: { words: [保本, 零风险] }\n  condition: a");
    let findings = evaluate(&engine, &message(&["零.风险，保本", "保本"]));
    assert_eq!(findings.len(), 1);
    assert_eq!(places(&findings[0]), [("零风险", "f0", 0, 4), ("保本", "f0", 5, 7), ("保本", "f1", 0, 2)]);
    assert!(!findings[0].hits_capped);
}

#[test]
fn a_place_is_one_hit_through_its_strongest_channel() {
    let engine = engine("detection:\n  a: { words: [加我微信], pinyin: true }\n  condition: a");
    let findings = evaluate(&engine, &message(&["加我微信", "家我微信"]));
    let channels: Vec<Channel> = findings[0].hits.iter().map(|hit| hit.channel).collect();
    assert_eq!(channels, [Channel::Exact, Channel::Pinyin]);
}

#[test]
fn hits_are_capped_and_say_so() {
    let engine = engine("detection:\n  a: { words: [哈啊] }\n  condition: a");
    let findings = evaluate(&engine, &message(&[&"哈啊".repeat(65)]));
    assert_eq!((findings[0].hits.len(), findings[0].hits_capped), (HITS_MAX, true));
    let findings = evaluate(&engine, &message(&[&"哈啊".repeat(64)]));
    assert_eq!((findings[0].hits.len(), findings[0].hits_capped), (HITS_MAX, false));
    let findings = evaluate(&engine, &message(&[&"哈啊".repeat(MESSAGE_HITS_MAX + 10)]));
    assert_eq!((findings.len(), findings[0].hits_capped), (1, true));
}

#[test]
fn a_flood_of_one_word_hides_no_other() {
    let engine = engine(
        "detection:\n  a: { words: [飞单] }\n  b: { words: [哈啊], near: a, within: 4 }\n  condition: a and not b",
    );
    let findings = evaluate(&engine, &message(&[&format!("{}，再说一次，飞单", "哈啊".repeat(MESSAGE_HITS_MAX + 10))]));
    assert_eq!((findings.len(), findings[0].hits.len(), findings[0].hits_capped), (1, 1, true));
}

#[test]
fn scope_decides_by_sides_and_types() {
    let rule = |scope: &str| format!("scope: {scope}\ndetection:\n  a: {{ words: [保本] }}\n  condition: a");
    let other = |from: &str, to: &[&str]| Message {
        from: from.to_owned(),
        to: to.iter().map(|id| (*id).to_owned()).collect(),
        ..message(&["保本"])
    };
    for (name, scope, message, expected) in [
        ("any", "{}", other(CUSTOMER, &["li.na"]), true),
        ("outbound", "{ from: employee, to: external }", other("li.na", &[CUSTOMER]), true),
        ("inbound", "{ from: employee, to: external }", other(CUSTOMER, &["li.na"]), false),
        ("internal", "{ from: employee, to: external }", other("li.na", &["zhou"]), false),
        ("group with one customer", "{ from: employee, to: external }", other("li.na", &["zhou", CUSTOMER]), true),
        ("robot", "{ from: employee }", other(ROBOT, &["li.na"]), false),
        ("several sides", "{ from: [employee, robot] }", other(ROBOT, &["li.na"]), true),
        ("type", "{ types: [link] }", other("li.na", &[CUSTOMER]), false),
        ("types", "{ types: [link, text] }", other("li.na", &[CUSTOMER]), true),
        (
            "receivers lost, msgid says external",
            "{ to: external }",
            Message { msgid: Some("1_2_external".to_owned()), ..other("li.na", &[]) },
            true,
        ),
        ("receivers lost", "{ to: external }", other("li.na", &[]), false),
    ] {
        assert_eq!(!evaluate(&engine(&rule(scope)), &message).is_empty(), expected, "{name}");
    }
}

#[test]
fn events_are_for_rules_that_name_them() {
    let event = Message { msgtype: "event.admin_log".to_owned(), ..message(&["保本"]) };
    let words = "detection:\n  a: { words: [保本] }\n  condition: a";
    for (scope, text, admin_log) in [
        ("", 1, 0),
        ("scope: { types: [event.admin_log] }\n", 0, 1),
        ("scope: { types: [text, event.admin_log] }\n", 1, 1),
        ("scope: { types: [event.member_log] }\n", 0, 0),
    ] {
        let engine = engine(&format!("{scope}{words}"));
        let found = [&message(&["保本"]), &event].map(|message| evaluate(&engine, message).len());
        assert_eq!(found, [text, admin_log], "{scope}");
    }
    // Nobody has answered by deleting a contact.
    let reply = engine(
        "scope: { from: external, to: employee }\nwindow: { reply: 30m, calendar: cn }\ndetection:\n  a: { chat: single }\n  condition: a",
    );
    let key = TenantKey([1; 32]);
    let adds = |message: &Message| reply.look(&corp(), message, &key, &mut Scratch::default()).contributions.len();
    assert_eq!((adds(&message(&["好的"])), adds(&event)), (1, 0));
}

#[test]
fn labels_are_those_of_the_person() {
    let pack = pack("p", "scope: { labels: [sales] }\ndetection:\n  a: { words: [保本] }\n  condition: a");
    let engine = |rows: Option<&str>| Engine::compile(vec![pack.clone()], rows.map(accounts)).unwrap();
    for (name, rows, expected) in [
        ("sender in sales", Some("ww1,li.na,,sales|上海,"), true),
        ("sender elsewhere", Some("ww1,li.na,,hr,"), false),
        ("no label", Some("ww1,li.na,,,"), false),
        ("no accounts file", None, true),
    ] {
        assert_eq!(!evaluate(&engine(rows), &message(&["保本"])).is_empty(), expected, "{name}");
    }
    let inbound = Message { from: CUSTOMER.to_owned(), to: vec!["LI.NA".to_owned()], ..message(&["保本"]) };
    assert_eq!(evaluate(&engine(Some("ww1,li.na,,sales,")), &inbound).len(), 1, "the receiver is the person");
}

#[test]
fn standing() {
    let pack = pack("p", "detection:\n  a: { words: [保本] }\n  condition: a");
    let between = |from: &str, to: &[&str]| Message {
        from: from.to_owned(),
        to: to.iter().map(|id| (*id).to_owned()).collect(),
        ..message(&["保本"])
    };
    let rows = "ww1,li.na,,,\nww1,counsel,,,true\nww2,zhou,,,\n";
    for (name, rows, message, expected) in [
        ("no accounts", None, between("x", &["y"]), Standing::Evaluate),
        ("managed sender", Some(rows), between("Li.Na", &[CUSTOMER]), Standing::Evaluate),
        ("managed receiver", Some(rows), between(CUSTOMER, &["x", "LI.NA"]), Standing::Evaluate),
        ("nobody managed", Some(rows), between("x", &[CUSTOMER]), Standing::OutOfScope),
        ("managed in another corp", Some(rows), between("zhou", &[CUSTOMER]), Standing::OutOfScope),
        ("never as receiver", Some(rows), between("li.na", &["x", "Counsel"]), Standing::Never),
        ("never as sender", Some(rows), between("counsel", &["li.na"]), Standing::Never),
        ("never with space around", Some(rows), between("li.na", &["counsel\u{3000}"]), Standing::Never),
        ("never with unseen characters", Some(rows), between("li.na", &["coun\u{200B}sel"]), Standing::Never),
        (
            "a party nobody could read",
            Some(rows),
            Message { unread_parties: true, ..between("li.na", &["x"]) },
            Standing::Never,
        ),
        ("empty accounts", Some(""), between("li.na", &[CUSTOMER]), Standing::OutOfScope),
    ] {
        let engine = Engine::compile(vec![pack.clone()], rows.map(accounts)).unwrap();
        assert_eq!(engine.standing(&corp(), &message), expected, "{name}");
        // Evaluation keeps to it even when the caller forgets to ask.
        assert_eq!(!evaluate(&engine, &message).is_empty(), expected == Standing::Evaluate, "{name}");
    }
}

#[test]
fn the_person_concerned() {
    let pack = pack("p", "detection:\n  a: { words: [保本] }\n  condition: a");
    for (name, rows, from, to, expected) in [
        ("sender", None, "Li.Na", &[CUSTOMER][..], Some("ww1/li.na")),
        ("receiver by shape", None, CUSTOMER, &[ROBOT, "zhou", "li.na"], Some("ww1/zhou")),
        ("managed receiver first", Some("ww1,li.na,,,"), CUSTOMER, &["zhou", "li.na"], Some("ww1/li.na")),
        ("nobody", None, CUSTOMER, &[ROBOT], None),
        // A roster may know an account whose id looks like a customer's.
        (
            "roster wins over shape",
            Some("ww1,wmExAmPlEAAA0001customerAAAAAAAA,,,"),
            CUSTOMER,
            &["li.na"],
            Some("ww1/wmexampleaaa0001customeraaaaaaaa"),
        ),
    ] {
        let engine = Engine::compile(vec![pack.clone()], rows.map(accounts)).unwrap();
        let message =
            Message {
                from: from.to_owned(), to: to.iter().map(|id| (*id).to_owned()).collect(), ..message(&["保本"])
            };
        let person = evaluate(&engine, &message)[0].person.as_ref().map(ToString::to_string);
        assert_eq!(person.as_deref(), expected, "{name}");
    }
}

#[test]
fn findings_of_several_packs_come_in_order() {
    let rule = "detection:\n  a: { words: [保本] }\n  condition: a";
    let (one, two) = (pack("one", rule), pack("two", rule));
    let engine = Engine::compile(vec![two.clone(), one.clone()], None).unwrap();
    let findings = evaluate(&engine, &message(&["保本"]));
    assert_eq!(findings.iter().map(|finding| &*finding.pack).collect::<Vec<_>>(), ["two", "one"]);
    let same = Engine::compile(vec![one.clone(), two], None).unwrap();
    assert_eq!(engine.digest(), same.digest(), "order of packs is no difference");
    assert_ne!(engine.digest(), Engine::compile(vec![one.clone()], None).unwrap().digest());
    assert!(
        matches!(Engine::compile(vec![one.clone(), one], None), Err(CompileError::DuplicatePack(id)) if id == "one")
    );
}

#[test]
fn scratch_carries_nothing_over() {
    let engine = engine("detection:\n  a: { words: [保本] }\n  condition: a");
    let mut scratch = Scratch::default();
    assert_eq!(engine.evaluate(&corp(), &message(&["保本"]), &mut scratch).len(), 1);
    assert!(engine.evaluate(&corp(), &message(&["你好"]), &mut scratch).is_empty());
    assert!(engine.evaluate(&corp(), &message(&[]), &mut scratch).is_empty());
}

#[test]
fn scratch_gives_back_what_a_huge_message_took() {
    let engine = engine("detection:\n  a: { words: [哈哈] }\n  condition: a");
    let mut scratch = Scratch::default();
    assert_eq!(engine.evaluate(&corp(), &message(&[&"哈".repeat(100_000)]), &mut scratch).len(), 1);
    assert_eq!(scratch.hits.capacity(), 0);
}

#[test]
fn no_packs_no_findings() {
    assert!(evaluate(&Engine::compile(Vec::new(), None).unwrap(), &message(&["保本"])).is_empty());
}

/// Says the meaning of near and denial the slow way, over all pairs of hits.
fn holds_by_pairs(text: &str) -> bool {
    let find = |words: &[&str]| -> Vec<(usize, usize)> {
        let chars: Vec<char> = text.chars().collect();
        let mut places = Vec::new();
        for word in words.iter().map(|word| word.chars().collect::<Vec<_>>()) {
            places
                .extend((0..chars.len()).filter(|at| chars[*at..].starts_with(&word)).map(|at| (at, at + word.len())));
        }
        places
    };
    let gap = |a: (usize, usize), b: (usize, usize)| a.0.saturating_sub(b.1).max(b.0.saturating_sub(a.1));
    let denials = find(&["丙丙", "丙甲"]);
    let promises = find(&["甲甲", "甲乙甲"]);
    promises.iter().any(|promise| denials.iter().all(|denial| gap(*promise, *denial) > 2)) && text.contains("丁丁")
}

/// Compiled once: hundreds of cases look through it.
static BUILTIN: std::sync::LazyLock<Engine> =
    std::sync::LazyLock::new(|| Engine::compile(crate::packs::builtin().unwrap(), None).unwrap());

proptest::proptest! {
    #[test]
    fn negation_agrees_with_all_pairs(text in "[甲甲甲乙丙丙丁丁一二]{0,24}") {
        let engine = engine("detection:
  a: { words: [甲甲, 甲乙甲], normalise: { repeats: false } }
  b: { words: [丙丙, 丙甲], normalise: { repeats: false }, near: a, within: 2 }
  c: { words: [丁丁] }
  condition: a and c and not b");
        proptest::prop_assert_eq!(!evaluate(&engine, &message(&[&text])).is_empty(), holds_by_pairs(&text));
    }

    #[test]
    fn any_message_can_be_evaluated_and_summarised(text: String, from: String, to: Vec<String>, msgid: Option<String>) {
        let message = Message { msgid, from, to, ..message(&[&format!("{text}，加我私人微信{text}"), &text]) };
        let key = crate::identity::TenantKey([1; 32]);
        for finding in evaluate(&BUILTIN, &message) {
            for hit in &finding.hits {
                let text = &message.texts.iter().find(|text| text.field == hit.field).unwrap().text;
                let slice: String = text.chars().skip(hit.start as usize).take((hit.end - hit.start) as usize).collect();
                let fold = |text: &str| crate::normalise::Folded::of(text, crate::normalise::Normalisation::default()).text().to_owned();
                proptest::prop_assert_eq!(fold(&slice), fold(&hit.word));
            }
            for ceiling in Disclose::ALL {
                let corp = corp();
                let context = crate::summary::SummaryContext { tenant: "t", corp: &corp, key: &key, ceiling, accounts: None };
                let summary = crate::summary::summarise(&finding, &message, &context);
                proptest::prop_assert!(summary.excerpt.is_none_or(|excerpt| excerpt.chars().count() <= crate::excerpt::EXCERPT_CHARS_MAX));
            }
        }
    }
}

#[test]
fn a_message_is_judged_by_who_was_managed_when_it_was_written() {
    let pack = pack("p", "scope: { labels: [sales] }\ndetection:\n  a: { words: [保本] }\n  condition: a");
    let period =
        |from_ms, until_ms, label: &str| crate::accounts::Period { from_ms, until_ms, labels: vec![label.into()] };
    let mut accounts = Accounts::of_roster(3);
    accounts.add("ww1", "li.na", vec![period(100, 200, "sales"), period(200, 300, "risk")]);
    accounts.add("ww1", "zhou", vec![period(250, i64::MAX, "sales")]);
    let engine = Engine::compile(vec![pack], Some(accounts)).unwrap();
    let at = |msgtime| Message {
        msgtime: Some(msgtime),
        from: "li.na".into(),
        to: vec!["zhou".into(), CUSTOMER.into()],
        ..message(&["保本"])
    };
    for (msgtime, standing, person) in [
        (99, Standing::OutOfScope, None),
        (100, Standing::Evaluate, Some("ww1/li.na")),
        (200, Standing::Evaluate, None),
        (299, Standing::Evaluate, None),
        // Who has left is not concerned; who is still there is.
        (300, Standing::Evaluate, Some("ww1/zhou")),
    ] {
        let found = evaluate(&engine, &at(msgtime));
        let named = found.first().and_then(|finding| finding.person.as_ref()).map(ToString::to_string);
        assert_eq!((engine.standing(&corp(), &at(msgtime)), named.as_deref()), (standing, person), "{msgtime}");
    }
}
