//! The built-in packs, used when no policy is given.

use std::collections::BTreeMap;

use crate::rules::{Mistake, Pack};

/// File names and bytes of the built-in packs.
pub const BUILTIN: [(&str, &[u8]); 2] = [
    ("customer-diversion.yaml", include_bytes!("../packs/customer-diversion.yaml")),
    ("finance-conduct.yaml", include_bytes!("../packs/finance-conduct.yaml")),
];

/// The built-in packs: customer diversion (飞单) and investment sales conduct (理财销售).
///
/// # Errors
/// Never in a tested build; a mistake in an embedded pack is found by this crate's tests.
pub fn builtin() -> Result<Vec<Pack>, Vec<Mistake>> {
    BUILTIN.iter().map(|(name, bytes)| Pack::parse(name, bytes, &BTreeMap::new())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::run_tests;
    use crate::engine::{Engine, Scratch};
    use crate::message::Corp;
    use crate::parse::parse_line;

    #[test]
    fn the_packs_are_clean_and_pass_their_own_tests() {
        for pack in builtin().unwrap_or_else(|mistakes| panic!("{mistakes:#?}")) {
            let outcomes = run_tests(&pack).unwrap();
            let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed()).collect();
            assert!(failed.is_empty(), "{failed:#?}");
            for rule in &pack.rules {
                let tests =
                    |hit| outcomes.iter().filter(|outcome| outcome.rule == rule.id && outcome.test.hit == hit).count();
                assert!(tests(true) >= 2 && tests(false) >= 2, "{} needs two hits and two near-misses", rule.id);
            }
        }
    }

    /// One message of every type, all of them everyday business.
    #[test]
    fn everyday_messages_are_left_alone() {
        let engine = Engine::compile(builtin().unwrap(), None).unwrap();
        for line in include_str!("../tests/fixtures/samples.jsonl").lines() {
            let message = parse_line(line.as_bytes()).message.unwrap();
            assert!(engine.evaluate(&Corp::new("ww1"), &message, &mut Scratch::default()).is_empty(), "{line}");
        }
        for text in [
            "明天上午十点开会，请大家带好合同",
            "理财到期了您是转存还是取出",
            "这个基金有风险，投资需谨慎，不承诺保本",
            "您的个人微信收到二维码了吗，我发的是公司对公账户",
            "我周五离职，后面由周强跟进",
            "内部消息通知：食堂周三休息",
            "我不能帮您操作账户，您自己在手机上点一下",
            "The fund may lose value; nothing is guaranteed.",
            "Please pay to the company account only.",
        ] {
            let line = serde_json::json!({
                "msgid": "m", "action": "send", "from": "li.na", "tolist": ["wmExAmPlEAAA0001customerAAAAAAAA"], "msgtime": 1,
                "msgtype": "text", "text": { "content": text },
            });
            let message = parse_line(line.to_string().as_bytes()).message.unwrap();
            let findings = engine.evaluate(&Corp::new("ww1"), &message, &mut Scratch::default());
            assert!(findings.is_empty(), "{text}: {findings:?}");
        }
    }
}
