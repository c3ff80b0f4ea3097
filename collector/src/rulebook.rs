//! What rules are called and what they say: as the policies have them that were published last, else as the packs that ship.
//! Of word lists that are confidential only the number of words is told.

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use watchpost_policy::bundle::{self, Role};
use watchpost_policy::packs;
use watchpost_policy::rules::{Kind, Pack, Rule, Selection, Title};
use watchpost_proto::Digest;
use watchpost_proto::v1::PolicyRole;

use crate::log_store::{self, LogReader, StoreError};

/// Words of one list that are told.
const WORDS_TOLD: usize = 24;

/// Rules by pack and id.
#[derive(Debug, Default)]
pub(crate) struct Rulebook {
    /// The policies they were read from.
    of: Vec<Digest>,
    rules: HashMap<(String, String), Arc<RuleText>>,
}

/// A text in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Both {
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

impl Both {
    pub(crate) fn of(title: &Title) -> Self {
        Self { zh: title.zh.clone(), en: title.en.clone() }
    }
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RuleText {
    /// What it is called.
    pub title: Both,
    /// What its pack is called.
    pub pack_title: Both,
    /// Version of its pack.
    pub pack_version: u64,
    /// Category.
    pub category: String,
    /// Level.
    pub level: &'static str,
    /// How much text may leave a device: `none`, `masked` or `context`.
    pub disclose: &'static str,
    /// What must hold, by the names of selections.
    pub condition: String,
    /// What it looks for.
    pub selections: Vec<SelectionText>,
    /// Laws and rules of conduct it stands on.
    pub legal_basis: Vec<Both>,
    /// What its author knows about false alarms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Both>,
}

/// What a selection of a rule looks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SelectionText {
    /// Its name in the condition.
    pub name: String,
    /// `words`, `regex`, `validator` or `fact`.
    pub kind: &'static str,
    /// How many words, patterns or validators it has.
    pub count: usize,
    /// The first of them; none of a list that is confidential.
    pub some: Vec<String>,
    /// Only how many words it has is told.
    pub confidential: bool,
}

impl Rulebook {
    /// Reads them again where another policy was published.
    ///
    /// # Errors
    /// The log.
    pub(crate) fn refresh(&mut self, log: &LogReader) -> Result<(), StoreError> {
        let of: Vec<Digest> = log_store::rollouts(log.connection())?.iter().map(|rollout| rollout.policy).collect();
        if !self.rules.is_empty() && self.of == of {
            return Ok(());
        }
        let mut rules = HashMap::new();
        let shipped = packs::ids().filter_map(packs::by_id).filter_map(Result::ok);
        shipped.for_each(|pack| take(&mut rules, &pack));
        for digest in &of {
            let Some(policy) = log_store::policy(log.connection(), digest)? else { continue };
            let files = policy.files().map(|(file, bytes)| (role_of(file.role()), file.name.as_str(), bytes));
            // It was checked before it was published; if it cannot be read all the same, its rules go by their ids.
            let (packs, _) = bundle::read(files).unwrap_or_default();
            packs.iter().for_each(|pack| take(&mut rules, pack));
        }
        (self.of, self.rules) = (of, rules);
        Ok(())
    }

    /// A rule, where it is known.
    #[must_use]
    pub(crate) fn of(&self, pack: &str, rule: &str) -> Option<Arc<RuleText>> {
        self.rules.get(&(pack.to_owned(), rule.to_owned())).cloned()
    }
}

fn take(rules: &mut HashMap<(String, String), Arc<RuleText>>, pack: &Pack) {
    for rule in &pack.rules {
        rules.insert((pack.id.to_string(), rule.id.to_string()), Arc::new(text(pack, rule)));
    }
}

fn text(pack: &Pack, rule: &Rule) -> RuleText {
    RuleText {
        title: Both::of(&rule.title),
        pack_title: Both::of(&pack.title),
        pack_version: pack.version,
        category: rule.category.to_string(),
        level: rule.level.as_str(),
        disclose: rule.disclose.as_str(),
        condition: rule.condition_text(),
        selections: rule.selections.iter().map(selection).collect(),
        legal_basis: rule.legal_basis.iter().map(Both::of).collect(),
        note: rule.note.as_ref().map(Both::of),
    }
}

fn selection(selection: &Selection) -> SelectionText {
    let (kind, all, confidential): (_, Vec<String>, _) = match &selection.kind {
        Kind::Words(words) => ("words", words.words.iter().map(ToString::to_string).collect(), words.confidential),
        Kind::Regex(patterns) => ("regex", patterns.iter().map(|it| it.source.to_string()).collect(), false),
        Kind::Validator(it) => {
            ("validator", it.validators.iter().map(|validator| validator.as_str().to_owned()).collect(), false)
        }
        Kind::Fact(_) => ("fact", Vec::new(), false),
    };
    let count = all.len();
    let told = if confidential { 0 } else { WORDS_TOLD };
    SelectionText {
        name: selection.name.to_string(),
        kind,
        count,
        some: all.into_iter().take(told).collect(),
        confidential,
    }
}

/// What a file of a policy is for.
pub(crate) fn role_of(role: PolicyRole) -> Role {
    match role {
        PolicyRole::Pack => Role::Pack,
        PolicyRole::Filter => Role::Filter,
        PolicyRole::Named | PolicyRole::Unspecified => Role::Named,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn words_of_a_confidential_list_are_only_counted() {
        let pack = "pack: own\nversion: 3\ntitle: { zh: 自有, en: Own }\nrules:\n  - id: own.plan\n    \
            title: { zh: 计划, en: Plan }\n    category: confidentiality\n    level: high\n    status: live\n    \
            detection:\n      code: { words: [蓝鲸计划, 白鲸计划], confidential: true }\n      \
            talk: { words: [泄露] }\n      condition: code and not talk\n    disclose: context\n    tests:\n      \
            - { text: 蓝鲸计划, hit: true }\n      - { text: 天气, hit: false }\n";
        let pack = Pack::parse("own.yaml", pack.as_bytes(), &BTreeMap::new()).unwrap();
        let mut rules = HashMap::new();
        take(&mut rules, &pack);
        let text = &rules[&("own".to_owned(), "own.plan".to_owned())];
        assert_eq!((text.condition.as_str(), text.pack_version), ("code and not talk", 3));
        let told: Vec<_> = text.selections.iter().map(|it| (it.count, it.some.concat())).collect();
        assert_eq!(told, [(2, String::new()), (1, "泄露".to_owned())]);
        assert!(!format!("{text:?}").contains("鲸"));
    }
}
