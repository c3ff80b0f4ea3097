//! Pinned identities. A change of any value here would double or lose findings in the field.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use serde_json::Value;
use watchpost_policy::identity::{FindingKey, Mid, TenantKey, body_digest, finding_id, mid, pseudonym};
use watchpost_policy::message::Corp;
use watchpost_policy::parse::parse_line;

fn golden() -> (Value, TenantKey) {
    let golden: Value = serde_json::from_str(include_str!("golden/identity.json")).unwrap();
    let key = TenantKey::from_hex(text(&golden, "key")).unwrap();
    (golden, key)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

#[test]
fn message_ids_and_body_digests() {
    let (golden, key) = golden();
    let cases = golden["messages"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let message = parse_line(text(case, "line").as_bytes()).message.unwrap();
        let corp = Corp::new(text(case, "corp"));
        assert_eq!(mid(&key, &corp, &message).to_string(), text(case, "mid"), "{}", case["name"]);
        assert_eq!(body_digest(&message).to_string(), text(case, "body_digest"), "{}", case["name"]);
    }
}

#[test]
fn finding_ids() {
    let (golden, _) = golden();
    let cases = golden["findings"].as_array().unwrap();
    assert_eq!(cases.len(), 2);
    for case in cases {
        let mut mid = [0; 32];
        let key = match case.get("mid") {
            Some(_) => {
                hex::decode_to_slice(text(case, "mid"), &mut mid).unwrap();
                FindingKey::Message(Mid(mid))
            }
            None => FindingKey::Window { group: text(case, "group"), bucket: case["bucket"].as_i64().unwrap() },
        };
        let id = finding_id(
            text(case, "tenant"),
            &Corp::new(text(case, "corp")),
            text(case, "pack"),
            text(case, "rule"),
            key,
        );
        assert_eq!(id.to_string(), text(case, "finding_id"));
    }
}

#[test]
fn pseudonyms() {
    let (golden, key) = golden();
    for case in golden["pseudonyms"].as_array().unwrap() {
        let corp = Corp::new(text(case, "corp"));
        assert_eq!(pseudonym(&key, &corp, text(case, "id")), text(case, "pseudonym"));
        assert_eq!(
            pseudonym(&key, &corp, &text(case, "id").to_uppercase()),
            text(case, "pseudonym"),
            "ids have no case"
        );
    }
}

/// Without length prefixes `ab` + `c` and `a` + `bc` would be the same finding.
#[test]
fn parts_do_not_run_together() {
    let id =
        |tenant: &str, pack: &str| finding_id(tenant, &Corp::new("c"), pack, "r", FindingKey::Message(Mid([0; 32])));
    assert_ne!(id("ab", "c"), id("a", "bc"));
    assert_ne!(id("a", ""), id("", "a"));
}

/// Two exports of one message differ in bytes, key order and time unit, not in what is said.
#[test]
fn the_same_message_in_other_bytes_is_the_same() {
    let (_, key) = golden();
    let corp = Corp::new("ww1");
    let one = r#"{"action":"send","from":"Li.Na","tolist":["b"],"roomid":"","msgtime":1772416861007,"msgtype":"text","text":{"content":"保本"}}"#;
    let two = r#" {"text":"{\"content\":\"\u4fdd\u672c\"}", "msgtype":"text","msgtime":"1772416861","tolist":"b","from":"li.na","action":"send"}"#;
    let [one, two] = [one, two].map(|line| parse_line(line.as_bytes()).message.unwrap());
    assert_eq!(mid(&key, &corp, &one), mid(&key, &corp, &two));
    assert_eq!(body_digest(&one), body_digest(&two));
    assert_ne!(mid(&key, &corp, &one), mid(&key, &Corp::new("ww2"), &one), "corps do not mix");
}
