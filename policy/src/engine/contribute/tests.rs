//! From rules and lines of an export to windows that hold.

use std::collections::BTreeMap;

use super::*;
use crate::engine::{Look, Scratch};
use crate::parse::parse_line;
use crate::rules::Pack;
use crate::windows::{Memory, WindowFinding};

const ANNA: &str = "wmExAmPlEAAA0001customerAAAAAAAA";
const BORIS: &str = "wmExAmPlEAAA0002customerAAAAAAAA";
const KEY: TenantKey = TenantKey([7; 32]);

fn engine(window: &str, detection: &str) -> Engine {
    let pack = format!(
        "pack: demo\nversion: 1\ntitle: {{ zh: 例, en: Example }}\nrules:\n  - id: demo.rule\n    title: {{ zh: 例, en: Example }}\n    \
         category: demo\n    level: low\n    window: {window}\n    detection: {detection}\n"
    );
    let pack = Pack::parse("demo.yaml", pack.as_bytes(), &BTreeMap::new()).unwrap();
    Engine::compile(vec![pack], None).unwrap()
}

/// A message of a second, from somebody to somebody.
fn said(second: i64, from: &str, to: &[&str], text: &str) -> Message {
    let line = serde_json::json!({
        "msgid": format!("{second}-{from}"), "action": "send", "from": from, "tolist": to, "roomid": "",
        "msgtime": 1_760_000_000_000 + second * 1000, "msgtype": "text", "text": { "content": text },
    });
    parse_line(line.to_string().as_bytes()).message.unwrap()
}

/// Windows that hold, each with the second of its first message and what it measures; and how many messages hold by themselves.
fn found(engine: &Engine, messages: &[Message]) -> (Vec<(i64, i64)>, usize) {
    let (held, singles) = look(engine, messages);
    (held.iter().map(|found| ((found.held.first_ms - 1_760_000_000_000) / 1000, found.held.value)).collect(), singles)
}

fn look(engine: &Engine, messages: &[Message]) -> (Vec<WindowFinding<Option<String>>>, usize) {
    let corp = Corp::new("ww1");
    let mut memory = Memory::default();
    let mut singles = 0;
    for message in messages {
        let evaluated = engine.look(&corp, message, &KEY, &mut Scratch::default());
        assert_eq!(
            evaluated.findings.len(),
            engine.evaluate(&corp, message, &mut Scratch::default()).len(),
            "both say the same of the message by itself"
        );
        singles += evaluated.findings.len();
        memory.read(message.msgtime);
        memory.add(engine, evaluated.contributions, || message.msgid.clone());
    }
    (memory.finish(engine), singles)
}

const ASKS: &str = "{ a: { words: [加我微信] }, condition: a }";

#[test]
fn a_count_is_by_group_and_no_message_is_a_finding() {
    let engine = engine("{ count: 3, within: 10m, by: [from, to] }", ASKS);
    let ask = |second, to: &str| said(second, "Li.Na", &[to], "加我微信");
    let three = [ask(0, ANNA), ask(60, ANNA), said(90, "li.na", &[ANNA], "你好"), ask(120, ANNA)];
    assert_eq!(found(&engine, &three), (vec![(0, 3)], 0));
    assert_eq!(found(&engine, &[ask(0, ANNA), ask(60, ANNA), ask(120, BORIS)]), (vec![], 0));
    let again = [ask(0, ANNA), ask(60, ANNA), ask(60, ANNA), ask(60, ANNA)];
    assert_eq!(found(&engine, &again), (vec![], 0), "a repeat adds nothing");
    let (held, _) = look(&engine, &three);
    assert_eq!(held[0].first.as_deref(), Some("0-Li.Na"));
    let other = |spelling: &str| said(60, spelling, &[ANNA], "加我微信");
    assert_eq!(found(&engine, &[ask(0, ANNA), other("li.na"), other("LI.NA")]).0.len(), 1, "ids are without case");
}

#[test]
fn different_receivers_and_words_are_counted_once() {
    let to = engine("{ distinct: to, at_least: 3, within: 1h }", ASKS);
    let ask = |second, to: &[&str]| said(second, "li.na", to, "加我微信");
    assert_eq!(found(&to, &[ask(0, &[ANNA, BORIS]), ask(1, &[ANNA]), ask(2, &["wang"])]).0, [(0, 3)]);
    assert_eq!(found(&to, &[ask(0, &[ANNA, BORIS]), ask(1, &[ANNA])]).0, []);
    let word = engine("{ distinct: word, at_least: 2, within: 1h }", "{ a: { words: [回扣, 好处费] }, condition: a }");
    let say = |second, text| said(second, "li.na", &[ANNA], text);
    assert_eq!(found(&word, &[say(0, "回扣"), say(9, "回 扣")]).0, []);
    assert_eq!(found(&word, &[say(0, "回扣"), say(9, "好处费")]).0, [(0, 2)]);
}

#[test]
fn money_is_added_up_in_fen() {
    let engine = engine("{ sum: amount, at_least: 200, within: 1d }", "{ a: { type: [redpacket] }, condition: a }");
    let packet = |second: i64, fen: i64| {
        let line = serde_json::json!({
            "msgid": format!("{second}"), "action": "send", "from": "li.na", "tolist": [ANNA], "roomid": "",
            "msgtime": 1_760_000_000_000 + second * 1000, "msgtype": "redpacket",
            "redpacket": { "type": 1, "wish": "恭喜发财", "totalcnt": 1, "totalamount": fen },
        });
        parse_line(line.to_string().as_bytes()).message.unwrap()
    };
    assert_eq!(found(&engine, &[packet(0, 15_000), packet(600, 4_999)]).0, []);
    assert_eq!(found(&engine, &[packet(0, 15_000), packet(600, 5_000)]).0, [(0, 20_000)]);
}

#[test]
fn all_selections_may_hold_in_different_messages() {
    let detection = "{ a: { words: [盖章] }, b: { words: [合同] }, condition: a or b }";
    let engine = engine("{ all: [a, b], within: 3m, by: [from, chat] }", detection);
    let say = |second, to: &str, text| said(second, "li.na", &[to], text);
    assert_eq!(found(&engine, &[say(0, ANNA, "合同"), say(100, ANNA, "盖章")]), (vec![(0, 2)], 0));
    assert_eq!(found(&engine, &[say(0, ANNA, "合同盖章")]).0, [(0, 2)]);
    assert_eq!(found(&engine, &[say(0, ANNA, "合同"), say(100, BORIS, "盖章")]).0, []);
    assert_eq!(found(&engine, &[say(0, ANNA, "合同"), say(180, ANNA, "盖章")]).0, []);
}

#[test]
fn a_word_broken_over_messages_is_found_and_a_whole_one_stays_a_finding() {
    let engine = engine("{ join: true, within: 90s }", "{ a: { words: [加微信] }, condition: a }");
    assert_eq!(engine.interest().of_type("text"), &Look::Always);
    let say = |second, text| said(second, "li.na", &[ANNA], text);
    assert_eq!(found(&engine, &[say(0, "加"), say(3, "微"), say(5, "信")]), (vec![(0, 1)], 0));
    assert_eq!(found(&engine, &[say(0, "加微信"), say(3, "好的")]), (vec![], 1));
    let between = say(3, "我们下周二下午三点在公司会议室见面详谈吧");
    assert_eq!(found(&engine, &[say(0, "加"), between, say(5, "微信")]).0, []);
    let other = said(3, ANNA, &["li.na"], "嗯");
    assert_eq!(
        found(&engine, &[say(0, "加"), other, say(5, "微信")]).0,
        [(0, 1)],
        "only the sender's own stand between"
    );
    let held = look(&engine, &[say(0, "加"), say(3, "微"), say(5, "信")]).0.remove(0).held;
    assert_eq!((held.joined.unwrap().text.as_str(), held.count, held.members.len()), ("加微信", 3, 3));
}

#[test]
fn a_customer_waits_for_an_answer_but_not_to_a_thank_you() {
    let detection = "{ customer: { side: external }, thanks: { words: [谢谢, 好的] }, condition: customer }";
    let engine = engine("{ reply: 10m, closing: thanks }", detection);
    let asks = |second, text| said(second, ANNA, &["li.na"], text);
    let answers = |second| said(second, "li.na", &[ANNA], "在的");
    let later = said(3600, "wang", &["zhou"], "下班");
    assert_eq!(found(&engine, &[asks(0, "请问"), answers(600)]).0, []);
    assert_eq!(found(&engine, &[asks(0, "请问"), answers(601)]).0, [(0, 601_000)]);
    assert_eq!(found(&engine, &[asks(0, "请问"), asks(500, "请问呢"), answers(601)]).0, [(0, 601_000)]);
    assert_eq!(found(&engine, &[asks(0, "请问")]).0, [], "the watermark has not come that far");
    assert_eq!(found(&engine, &[asks(0, "请问"), later.clone()]).0, [(0, 600_000)]);
    assert_eq!(found(&engine, &[asks(0, "好的，谢谢！"), later.clone()]).0, []);
    assert_eq!(found(&engine, &[asks(0, "谢谢，请问几点"), later.clone()]).0.len(), 1);
    let elsewhere = said(5, "li.na", &[BORIS], "在的");
    assert_eq!(found(&engine, &[asks(0, "请问"), elsewhere, later]).0.len(), 1);
}

#[test]
fn groups_are_named_by_nobody_without_the_key() {
    let engine = engine("{ count: 3, within: 10m, by: [room] }", ASKS);
    let mut message = said(0, "li.na", &[ANNA], "加我微信");
    let look = |message: &Message, key| engine.look(&Corp::new("ww1"), message, key, &mut Scratch::default());
    assert!(look(&message, &KEY).contributions.is_empty(), "there is no room");
    message.room = Some("wrExAmPlEAAA0004groupAAAAAAAAAAA".into());
    let group = |key| look(&message, key).contributions[0].group;
    assert_eq!(group(&KEY), group(&KEY));
    assert_ne!(group(&KEY), group(&TenantKey([8; 32])));
    message.msgtime = None;
    let evaluated = look(&message, &KEY);
    assert!(evaluated.contributions.is_empty() && evaluated.findings.is_empty(), "without a time it is in no window");
}
