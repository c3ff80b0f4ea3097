//! The built-in packs, used when no policy is given.

use std::collections::BTreeMap;

use crate::rules::{Mistake, Pack};

/// File names and bytes of the built-in packs, in order of name.
pub const BUILTIN: [(&str, &[u8]); 13] = [
    ("advertising.yaml", include_bytes!("../packs/advertising.yaml")),
    ("bribery.yaml", include_bytes!("../packs/bribery.yaml")),
    ("collections.yaml", include_bytes!("../packs/collections.yaml")),
    ("complaint-risk.yaml", include_bytes!("../packs/complaint-risk.yaml")),
    ("conduct.yaml", include_bytes!("../packs/conduct.yaml")),
    ("confidentiality.yaml", include_bytes!("../packs/confidentiality.yaml")),
    ("customer-diversion.yaml", include_bytes!("../packs/customer-diversion.yaml")),
    ("finance-conduct.yaml", include_bytes!("../packs/finance-conduct.yaml")),
    ("illegal-content.yaml", include_bytes!("../packs/illegal-content.yaml")),
    ("leaver-risk.yaml", include_bytes!("../packs/leaver-risk.yaml")),
    ("names.yaml", include_bytes!("../packs/names.yaml")),
    ("personal-data.yaml", include_bytes!("../packs/personal-data.yaml")),
    ("sensitive-actions.yaml", include_bytes!("../packs/sensitive-actions.yaml")),
];

/// Ships with the built-in packs and must be asked for: its rules look at every message, which costs a scan most of its speed.
pub const OPTIONAL: [(&str, &[u8]); 1] = [("message-flow.yaml", include_bytes!("../packs/message-flow.yaml"))];

/// Names and bytes of the files the built-in packs name.
const BUILTIN_FILES: [(&str, &[u8]); 2] = [
    ("payees.txt", include_bytes!("../packs/payees.txt")),
    ("words/denials.txt", include_bytes!("../packs/words/denials.txt")),
];

/// The built-in packs. What each is for, and what it does not catch, stands in `docs/packs.md`.
///
/// # Errors
/// Never in a tested build; a mistake in an embedded pack is found by this crate's tests.
pub fn builtin() -> Result<Vec<Pack>, Vec<Mistake>> {
    let files = builtin_files();
    BUILTIN.iter().map(|(name, bytes)| Pack::parse(name, bytes, &files)).collect()
}

/// The ids of all packs that ship, the optional ones last.
pub fn ids() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().chain(&OPTIONAL).filter_map(|(name, _)| name.strip_suffix(".yaml"))
}

/// A pack that ships, by its id.
///
/// # Errors
/// As [`builtin`].
pub fn by_id(id: &str) -> Option<Result<Pack, Vec<Mistake>>> {
    let (name, bytes) = source(id)?;
    Some(Pack::parse(name, bytes, &builtin_files()))
}

/// Name and bytes of the file of a pack that ships.
#[must_use]
pub fn source(id: &str) -> Option<(&'static str, &'static [u8])> {
    BUILTIN.iter().chain(&OPTIONAL).copied().find(|(name, _)| name.strip_suffix(".yaml") == Some(id))
}

/// The files the built-in packs name, as [`Pack::parse`] takes them.
#[must_use]
pub fn builtin_files() -> BTreeMap<String, Vec<u8>> {
    BUILTIN_FILES.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::run_tests;
    use crate::engine::{Engine, Look, Scratch};
    use crate::message::{Corp, Message};
    use crate::parse::parse_line;
    use crate::rules::{Level, Status};

    /// All that ship.
    fn packs() -> Vec<Pack> {
        ids().map(|id| by_id(id).unwrap().unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))).collect()
    }

    #[test]
    fn a_pack_is_named_as_its_file_is() {
        assert!(ids().eq(packs().iter().map(|pack| &*pack.id)));
        assert!(by_id("no-such-pack").is_none());
    }

    #[test]
    fn no_built_in_rule_needs_every_message() {
        let engine = Engine::compile(builtin().unwrap(), None).unwrap();
        assert_ne!(engine.interest().of_type("text"), &Look::Always);
    }

    #[test]
    fn the_packs_pass_their_own_tests() {
        for pack in packs() {
            let outcomes = run_tests(&pack).unwrap();
            let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed()).collect();
            assert!(failed.is_empty(), "{failed:#?}");
        }
    }

    /// A rule nobody has tried against what it must leave alone is a rule nobody can trust.
    #[test]
    fn every_rule_has_hits_and_near_misses() {
        for rule in packs().iter().flat_map(|pack| &pack.rules) {
            let tests = |hit| rule.tests.iter().filter(|test| test.hit == hit).count();
            let enough = if rule.status == Status::Live { 2 } else { 1 };
            assert!(tests(true) >= enough && tests(false) >= enough, "{} needs {enough} of each", rule.id);
        }
    }

    /// What a reviewer and an employee ask first: on what ground, and by when.
    #[test]
    fn every_rule_says_its_ground_and_urgent_ones_their_time() {
        for rule in packs().iter().flat_map(|pack| &pack.rules) {
            assert!(!rule.legal_basis.is_empty(), "{} names no legal basis", rule.id);
            assert!(rule.sla.is_some() || rule.level < Level::Medium, "{} has no time to be dealt with", rule.id);
        }
    }

    #[test]
    fn ids_of_rules_are_unique_across_packs() {
        let mut ids: Vec<_> = packs().iter().flat_map(|pack| &pack.rules).map(|rule| rule.id.clone()).collect();
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }

    /// One message of every type, all of them everyday business.
    #[test]
    fn everyday_messages_are_left_alone() {
        let engine = Engine::compile(builtin().unwrap(), None).unwrap();
        let live = |message: &Message| {
            let mut findings = engine.evaluate(&Corp::new("ww1"), message, &mut Scratch::default());
            findings.retain(|finding| finding.status == Status::Live);
            findings
        };
        for line in include_str!("../tests/fixtures/samples.jsonl").lines() {
            let message = parse_line(line.as_bytes()).message.unwrap();
            assert!(live(&message).is_empty(), "{line}");
        }
        for text in [
            "明天上午十点开会，请大家带好合同",
            "理财到期了您是转存还是取出",
            "这个基金有风险，投资需谨慎，不承诺保本",
            "您的个人微信收到二维码了吗，我发的是公司对公账户",
            "我周五离职，后面由周强跟进",
            "内部消息通知：食堂周三休息",
            "我不能帮您操作账户，您自己在手机上点一下",
            "温馨提示：我司工作人员不会以任何理由要求您向个人账户转账",
            "反诈中心提醒您：凡是让您刷单返利的都是诈骗",
            "最佳食用期是开封后七天",
            "我们努力为您提供最好的服务",
            "国家级非物质文化遗产传承人手工制作",
            "逾期会产生罚息并上报征信，建议您尽快还款",
            "您的意见我会转给投诉部门处理，请放心",
            "客户名单属于公司保密信息，不能外传",
            "年度返利以开票折扣形式给到贵司",
            "验证码不要告诉任何人，包括我",
            "The fund may lose value; nothing is guaranteed.",
            "Please pay to the company account only.",
        ] {
            let line = serde_json::json!({
                "msgid": "m", "action": "send", "from": "li.na", "tolist": ["wmExAmPlEAAA0001customerAAAAAAAA"], "msgtime": 1,
                "msgtype": "text", "text": { "content": text },
            });
            let message = parse_line(line.to_string().as_bytes()).message.unwrap();
            let findings = live(&message);
            assert!(findings.is_empty(), "{text}: {findings:?}");
        }
    }
}
