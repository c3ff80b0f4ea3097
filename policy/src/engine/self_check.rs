//! The rule that every running agent holds beside its policy, so that a synthetic export proves the way that real ones go.
//!
//! It looks at the messages of one corporation that is none, and at no others: no chat can ever hit it, and no other rule looks there. No policy names
//! it and no filter tunes it, so nobody can switch it off; and as it belongs to no policy, it is not in the policy's digest.

use std::collections::BTreeMap;

use super::{CompileError, Engine, RuleAt};
use crate::accounts::Accounts;
use crate::filters::Filter;
use crate::message::Corp;
use crate::rules::Pack;

/// The corporation of the synthetic export. No folder may be of it.
pub const SELF_CHECK_CORP: &str = "self-check";
/// The text of its message: invented, with the one word the rule looks for.
pub const SELF_CHECK_TEXT: &str = "这是一条自检消息，哨所自检口令寅卯辰，不涉及任何人。";
const PACK: &[u8] = include_bytes!("../../packs/self-check.yaml");

impl Engine {
    /// As [`Engine::compile_filtered`], with the rule of the self-check.
    ///
    /// # Errors
    /// As [`Engine::compile_filtered`]; a pack of the policy may not have the id of the self-check's.
    pub fn compile_checked(
        packs: Vec<Pack>,
        filters: Vec<Filter>,
        accounts: Option<Accounts>,
    ) -> Result<Self, CompileError> {
        Self::compile_with(packs, filters, accounts, Some(pack()?))
    }

    /// Whether a message of a corporation may be judged by a rule.
    pub(super) fn looks_at(&self, corp: &Corp, rule: RuleAt) -> bool {
        self.self_check.is_none_or(|own| (rule.pack == own) == is_self_check(corp))
    }

    /// Whether a corporation is the one of the self-check, and the self-check is held.
    pub(super) fn checks_itself_in(&self, corp: &Corp) -> bool {
        self.self_check.is_some() && is_self_check(corp)
    }
}

fn is_self_check(corp: &Corp) -> bool {
    corp.as_str() == SELF_CHECK_CORP
}

fn pack() -> Result<Pack, CompileError> {
    Pack::parse("self-check.yaml", PACK, &BTreeMap::new()).map_err(|_| CompileError::SelfCheck)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Scratch, Standing, TestOutcome, run_tests};
    use crate::message::Message;
    use crate::packs;
    use crate::parse::parse_line;

    fn message() -> Message {
        let line = format!(
            "{{\"msgid\":\"s1\",\"action\":\"send\",\"from\":\"li.na\",\"tolist\":[\"wmExAmPlEAAA0001customerAAAAAAAA\"],\"msgtime\":1795132800000,\
             \"msgtype\":\"text\",\"text\":{{\"content\":\"{SELF_CHECK_TEXT} 您加我私人微信吧\"}}}}"
        );
        parse_line(line.as_bytes()).message.unwrap()
    }

    fn found(engine: &Engine, corp: &str) -> Vec<String> {
        let findings = engine.evaluate(&Corp::new(corp), &message(), &mut Scratch::default());
        findings.iter().map(|finding| finding.pack.to_string()).collect()
    }

    #[test]
    fn the_rule_looks_only_where_nobody_writes_and_no_other_rule_does() {
        let plain = Engine::compile(packs::builtin().unwrap(), None).unwrap();
        let checked = Engine::compile_checked(packs::builtin().unwrap(), Vec::new(), None).unwrap();
        assert_eq!(found(&checked, SELF_CHECK_CORP), ["watchpost-self-check"]);
        assert!(!found(&checked, "ww1").is_empty(), "a chat that says the word hits other rules alone");
        assert_eq!(found(&checked, "ww1"), found(&plain, "ww1"));
        assert_eq!(checked.digest(), plain.digest(), "it belongs to no policy");
        assert!(checked.packs().iter().all(|pack| &*pack.id != "watchpost-self-check"), "and is not shown as one");
    }

    #[test]
    fn no_accounts_and_no_filter_switch_it_off() {
        let accounts = Accounts::parse(b"corp,userid,name,labels,never\nww1,li.na,,,\n").unwrap();
        let engine = Engine::compile_checked(packs::builtin().unwrap(), Vec::new(), Some(accounts)).unwrap();
        assert_eq!(engine.standing(&Corp::new(SELF_CHECK_CORP), &message()), Standing::Evaluate);
        assert_eq!(engine.standing(&Corp::new("ww2"), &message()), Standing::OutOfScope);
        assert_eq!(found(&engine, SELF_CHECK_CORP).len(), 1);
        let filter = "filter: off\npack: watchpost-self-check\nrules: all\nowner: a@example.com\nreason: 停用\nexpires: 2099-03-31\n\
            set: { status: shadow }\n";
        let filter = Filter::parse("off.yaml", filter.as_bytes()).unwrap();
        let refused = Engine::compile_checked(packs::builtin().unwrap(), vec![filter], None);
        assert!(matches!(refused, Err(CompileError::Filter { .. })), "no policy knows it");
        assert!(Engine::compile_checked(vec![pack().unwrap()], Vec::new(), None).is_err(), "its id is taken");
    }

    #[test]
    fn its_own_tests_hold() {
        let pack = pack().unwrap();
        assert!(run_tests(&pack).unwrap().iter().all(TestOutcome::passed));
    }
}
