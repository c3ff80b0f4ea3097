use super::*;
use crate::engine::{Engine, Scratch};
use crate::packs;
use crate::parse::parse_line;

const CUSTOMER: &str = "wmExAmPlEAAA0001customerAAAAAAAA";
const ROOM: &str = "wrExAmPlEAAA0004groupAAAAAAAAAAA";
const RECORD_BYTES_MAX: usize = 16 << 10;

fn message(text: &str) -> Message {
    let line = serde_json::json!({
        "msgid": "m1", "action": "send", "from": "Li.Na", "tolist": ["zhou", CUSTOMER, "wbExAmPlEAAA0005robotAAAAAAAAAAA"],
        "roomid": ROOM, "msgtime": 1_772_416_861_007_i64, "msgtype": "text", "text": { "content": text },
    });
    parse_line(line.to_string().as_bytes()).message.unwrap()
}

fn summary_of(message: &Message, ceiling: Disclose) -> FindingSummary {
    let corp = Corp::new("ww1");
    let engine = Engine::compile(packs::builtin().unwrap(), None).unwrap();
    let finding = engine.evaluate(&corp, message, &mut Scratch::default()).remove(0);
    let key = TenantKey([7; 32]);
    summarise(&finding, message, &SummaryContext { tenant: "demo", corp: &corp, key: &key, ceiling, accounts: None })
}

#[test]
fn employees_in_clear_all_others_as_pseudonyms() {
    let summary = summary_of(&message("王总，加我私人微信13800001234"), Disclose::Context);
    assert_eq!(summary.from, "ww1/li.na");
    assert_eq!(summary.person.as_deref(), Some("ww1/li.na"));
    assert_eq!(summary.to[0], "ww1/zhou");
    assert!(summary.to[1..].iter().all(|id| id.starts_with("p_") && id.len() == 26), "{:?}", summary.to);
    assert!(summary.room.as_deref().unwrap().starts_with("p_"));
    let encoded = serde_json::to_string(&summary).unwrap();
    for secret in [CUSTOMER, ROOM, "王总", "1380000"] {
        assert!(!encoded.contains(secret), "{secret} in {encoded}");
    }
}

#[test]
fn the_ceiling_of_the_device_holds() {
    let message = message("王总，加我私人微信13800001234");
    let masked = summary_of(&message, Disclose::Context);
    assert_eq!((masked.disclosed, masked.excerpt.as_deref()), (Disclose::Masked, Some("＊，加我私人微信＊")));
    assert!(masked.hits.iter().any(|hit| hit.word.as_deref() == Some("加我私人微信")), "{:?}", masked.hits);
    let none = summary_of(&message, Disclose::None);
    assert_eq!((none.disclosed, none.excerpt.as_deref(), none.hits[0].word.as_deref()), (Disclose::None, None, None));
    assert!(!serde_json::to_string(&none).unwrap().contains("微信"));
}

#[test]
fn the_id_does_not_depend_on_who_looks() {
    let message = message("加我私人微信");
    assert_eq!(summary_of(&message, Disclose::None).finding_id, summary_of(&message, Disclose::Context).finding_id);
}

#[test]
fn the_record_stays_small_whatever_the_message() {
    let mut message = message(&"加我私人微信，".repeat(2_000));
    message.msgid = Some("号".repeat(10_000));
    message.msgtype = "text".to_owned();
    message.from = "名".repeat(10_000);
    message.to = (0..5_000).map(|at| format!("{}{at}", "户".repeat(5_000))).chain([CUSTOMER.to_owned()]).collect();
    message.texts[0].field = format!("chatrecord{}", ".item[123456]".repeat(500)).into();
    let summary = summary_of(&message, Disclose::Context);
    assert_eq!((summary.to.len(), summary.to_total), (TO_MAX, 5_001));
    assert_eq!((summary.hits.len(), summary.hits_total, summary.hits_capped), (SUMMARY_HITS_MAX, 64, true));
    let encoded = serde_json::to_vec(&summary).unwrap().len();
    assert!(encoded < RECORD_BYTES_MAX, "{encoded}");
}

#[test]
fn strings_are_cut_at_characters() {
    for text in ["", "abc", &"a".repeat(128), &"a".repeat(129), &"保".repeat(43), &"🎉".repeat(100)] {
        let cut = bounded(text);
        assert!(cut.len() <= STRING_BYTES_MAX, "{text}");
        assert_eq!(cut == *text, text.len() <= STRING_BYTES_MAX);
        assert!(text.starts_with(cut.trim_end_matches('…')));
    }
}

#[test]
fn what_does_not_look_like_an_account_or_is_not_in_the_roster_is_nobodys_account() {
    let corp = Corp::new("ww1");
    let roster = Accounts::parse(b"corp,userid\nww1,li.na\n").unwrap();
    let key = TenantKey([7; 32]);
    for (id, roster, clear) in [
        ("Li.Na", None, true),
        ("张三(客户)", None, false),
        ("WMEXAMPLEAAA0001CUSTOMERAAAAAAAA", None, false),
        ("li.na", Some(&roster), true),
        ("zhou", Some(&roster), false),
    ] {
        let context =
            SummaryContext { tenant: "demo", corp: &corp, key: &key, ceiling: Disclose::Context, accounts: roster };
        assert_eq!(party(id, &context).starts_with("ww1/"), clear, "{id}");
    }
}

/// A pack with one rule that discloses as much as it may.
fn telling_engine(detection: &str) -> Engine {
    let yaml = format!(
        "pack: p\nversion: 1\ntitle: {{ zh: 包, en: P }}\nrules:\n  - id: r\n    title: {{ zh: 则, en: R }}\n    category: c\n    level: high\n    disclose: context\n    detection: {detection}\n"
    );
    let pack = crate::rules::Pack::parse("p", yaml.as_bytes(), &std::collections::BTreeMap::new()).unwrap();
    Engine::compile(vec![pack], None).unwrap()
}

proptest::proptest! {
    /// Whatever stands around a number, whoever hits, and however much may be disclosed, the number does not leave whole.
    #[test]
    fn a_number_found_by_a_validator_never_leaves_whole(
        before in "[保本加我微信，。a-z0-9 ]{0,30}", number in "1[3-9][0-9]{9}", after in "[保本加我微信，。a-z ]{0,30}", masked: bool,
    ) {
        let text = format!("{before}，{number}，保本{after}");
        let ceiling = if masked { Disclose::Masked } else { Disclose::Context };
        let key = TenantKey([7; 32]);
        let corp = Corp::new("ww1");
        for detection in [
            "{ a: { validator: mobile }, condition: a }",
            "{ a: { validator: [bank_card, mobile] }, b: { words: [保本] }, condition: a and b }",
            "{ a: { words: [保本], near: b, within: 1000 }, b: { validator: mobile }, condition: a }",
        ] {
            let engine = telling_engine(detection);
            let message = message(&text);
            for finding in engine.evaluate(&corp, &message, &mut Scratch::default()) {
                let context = SummaryContext { tenant: "t", corp: &corp, key: &key, ceiling, accounts: None };
                let summary = serde_json::to_string(&summarise(&finding, &message, &context)).unwrap();
                proptest::prop_assert!(!summary.contains(&number), "{}", summary);
                proptest::prop_assert!(!summary.contains(&number[3..9]), "{}", summary);
            }
        }
    }
}
