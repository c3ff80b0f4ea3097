//! WeCom's own sensitive words (敏感词规则) as a pack: the answers of `get_intercept_rule`, the requests of `add_intercept_rule`, and the keyword
//! rules of the data zone.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::facts::unsigned;
use crate::matcher::{WordOptions, check_word};
use crate::normalise::Normalisation;
use crate::parse::scalar;

/// Rules of one import; WeCom has a hundred.
const RULES_MAX: usize = 1_000;
/// Characters of a title.
const TITLE_CHARS_MAX: usize = 100;
/// Lists that rules stand in.
const LISTS: [&str; 3] = ["rule_list", "rules", "data"];

/// A pack made of rules of WeCom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The pack, as its file.
    pub yaml: String,
    /// Rules in it.
    pub rules: usize,
    /// What could not be taken over, each a sentence.
    pub left_out: Vec<String>,
}

/// Why nothing could be made of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The text is neither JSON nor lines of it.
    #[error("this is not JSON; save the answers of get_intercept_rule, one or many, as they come")]
    NotJson,
    /// Rules are named, but their words are missing.
    #[error(
        "this lists rules without their words; fetch each of them with get_intercept_rule and save the answers in one file"
    )]
    OnlyNames,
    /// No rule in it.
    #[error("no sensitive-word rule is in it: nothing with `rule_name` and `word_list`")]
    NoRules,
    /// More rules than a pack may have.
    #[error("there are more than 1,000 rules; split the file")]
    TooMany,
}

/// Makes a pack with this id of rules of WeCom: an object or an array of JSON, or one a line.
///
/// # Errors
/// When there is no rule with words in it.
pub fn intercept_rules(text: &str, pack: &str) -> Result<Imported, ImportError> {
    let text = text.trim_start_matches('\u{FEFF}');
    let values = serde_json::Deserializer::from_str(text).into_iter::<Value>().collect::<Result<Vec<_>, _>>();
    let values = values.map_err(|_| ImportError::NotJson)?;
    let mut found = Found::default();
    values.iter().for_each(|value| found.look(value, 0));
    if found.rules.is_empty() {
        return Err(if found.names > 0 { ImportError::OnlyNames } else { ImportError::NoRules });
    }
    if found.rules.len() > RULES_MAX {
        return Err(ImportError::TooMany);
    }
    let mut left_out = Vec::new();
    let mut yaml = format!(
        "# Made of sensitive-word rules of WeCom (敏感词规则). Title, level and scope are a beginning: look through them.\npack: {pack}\nversion: 1\ntitle: {{ zh: 企业微信敏感词, en: Sensitive words of WeCom }}\nrules:\n"
    );
    let mut rules = 0;
    let mut ids = HashSet::new();
    for (number, rule) in (1..).zip(&found.rules) {
        let mut rule = Rule::of(number, rule);
        while !ids.insert(rule.id.clone()) {
            rule.id = format!("{}-{number}", rule.id);
        }
        match rule.yaml(&mut left_out) {
            Some(written) => {
                yaml.push_str(&written);
                rules += 1;
            }
            None => left_out.push(format!("{}: nothing is left of it", rule.name)),
        }
    }
    if rules == 0 { Err(ImportError::NoRules) } else { Ok(Imported { yaml, rules, left_out }) }
}

/// Rules among other things.
#[derive(Default)]
struct Found<'v> {
    rules: Vec<&'v Map<String, Value>>,
    /// Rules without words.
    names: usize,
}

impl<'v> Found<'v> {
    fn look(&mut self, value: &'v Value, depth: usize) {
        const DEPTH_MAX: usize = 4;
        match value {
            _ if depth > DEPTH_MAX => {}
            Value::Array(items) => items.iter().for_each(|item| self.look(item, depth + 1)),
            Value::Object(object) => {
                let has = |key: &str| object.contains_key(key);
                if has("word_list") || has("keyword") || has("extra_rule") || has("semantics_list") {
                    self.rules.push(object);
                } else if let Some(rule) = object.get("rule") {
                    self.look(rule, depth + 1);
                } else if has("rule_id") || has("rule_name") {
                    self.names += 1;
                } else {
                    LISTS.iter().filter_map(|key| object.get(*key)).for_each(|list| self.look(list, depth + 1));
                }
            }
            _ => {}
        }
    }
}

/// One rule of WeCom.
struct Rule {
    id: String,
    name: String,
    words: Vec<String>,
    /// What WeCom calls meanings: 1 phone numbers, 2 e-mail addresses, 3 red packets.
    meanings: Vec<u64>,
    /// Whether it holds messages back.
    blocks: bool,
    /// Whom it is for there.
    applied: String,
}

impl Rule {
    fn of(number: usize, rule: &Map<String, Value>) -> Self {
        let text = |key: &str| rule.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
        let name = text("rule_name").or_else(|| text("name")).map_or_else(|| format!("规则 {number}"), cleaned);
        let within = |outer: &str, key: &str| rule.get(outer).and_then(|inner| inner.get(key));
        let words = rule.get("word_list").or_else(|| within("keyword", "word_list"));
        let meanings = rule
            .get("semantics_list")
            .or_else(|| within("extra_rule", "semantics_list"))
            .or_else(|| within("semantics", "semantics_list"));
        let listed = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
        let applied = ["user_list", "department_list"].iter().filter_map(|key| {
            let list = within("applicable_range", key)?.as_array().filter(|list| !list.is_empty())?;
            let names: Vec<String> = list.iter().map(|name| cleaned(name.to_string().trim_matches('"'))).collect();
            Some(format!("{key} {}", names.join(", ")))
        });
        Self {
            id: format!("wecom.rule-{}", rule.get("rule_id").and_then(id).unwrap_or_else(|| number.to_string())),
            name,
            words: listed(words).iter().filter_map(scalar).map(|word| word.trim().to_owned()).collect(),
            meanings: listed(meanings).iter().filter_map(unsigned).collect(),
            blocks: rule.get("intercept_type").and_then(unsigned) == Some(1),
            applied: applied.collect::<Vec<_>>().join("; "),
        }
    }

    /// The rule as a pack has it; `None` when nothing is left of it.
    fn yaml(&self, left_out: &mut Vec<String>) -> Option<String> {
        let mut seen = HashSet::new();
        let mut words = Vec::new();
        for word in self.words.iter().filter(|word| seen.insert(word.as_str())) {
            match check_word(word, Normalisation::default(), WordOptions::default()) {
                Ok(()) => words.push(word.as_str()),
                Err(error) => left_out.push(format!("{}: word `{}`: {error}", self.name, cleaned(word))),
            }
        }
        let mut selections = String::new();
        if !words.is_empty() {
            let list: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            _ = writeln!(selections, "      words: {{ words: [{}] }}", list.join(", "));
        }
        let mut meanings = self.meanings.clone();
        meanings.sort_unstable();
        meanings.dedup();
        for meaning in meanings {
            match meaning {
                1 => selections.push_str("      phone: { validator: mobile }\n"),
                2 => selections.push_str("      mail: { validator: email }\n"),
                3 => selections.push_str("      red-packet: { type: [redpacket, external_redpacket] }\n"),
                other => left_out.push(format!("{}: the meaning {other} is unknown", self.name)),
            }
        }
        if selections.is_empty() {
            return None;
        }
        let title = quoted(&self.name);
        let mut out = String::new();
        if !self.applied.is_empty() {
            _ = writeln!(out, "  # In WeCom for: {}. Here `scope.labels` says for whom.", self.applied);
        }
        _ = writeln!(out, "  - id: {}", self.id);
        _ = writeln!(out, "    title: {{ zh: {title}, en: {title} }}");
        out.push_str("    category: wecom-sensitive-words\n");
        _ = writeln!(out, "    level: {}", if self.blocks { "high" } else { "medium" });
        out.push_str("    scope: { from: employee, to: external }\n    detection:\n");
        out.push_str(&selections);
        out.push_str("      condition: any of them\n    disclose: masked\n    sla: 24h\n");
        if let Some(word) = words.first() {
            _ = writeln!(out, "    tests:\n      - {{ text: {}, hit: true }}", quoted(word));
        }
        Some(out)
    }
}

/// A text as it may stand in YAML whatever is in it: JSON is YAML.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in Value::from(text).to_string().chars() {
        // What YAML does not take as it is.
        if c.is_control() || matches!(c, '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}' | '\u{2028}' | '\u{2029}') {
            _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// The id of a rule as a part of one here.
fn id(value: &Value) -> Option<String> {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let id: String = scalar(value)?.chars().filter(plain).take(40).collect();
    (!id.is_empty()).then(|| id.to_ascii_lowercase())
}

/// A text on one line, of a title's length.
fn cleaned(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TITLE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::{TestOutcome, run_tests};
    use crate::rules::{Level, Pack};

    const RULE: &str = r#"{"rule_name":"飞单防护","word_list":["加我微信","私下转账","加","加我微信"],"semantics_list":[1,2,9],"intercept_type":2,"applicable_range":{"user_list":["li.na"],"department_list":[2]}}"#;

    fn pack(text: &str) -> (Pack, Imported) {
        let imported = intercept_rules(text, "wecom").unwrap();
        let pack = Pack::parse("p.yaml", imported.yaml.as_bytes(), &BTreeMap::new());
        (pack.unwrap_or_else(|mistakes| panic!("{mistakes:#?}\n{}", imported.yaml)), imported)
    }

    #[test]
    fn what_the_interfaces_give_is_a_pack() {
        let got = r#"{"errcode":0,"errmsg":"ok","rule":{"rule_id":1,"rule_name":"红包","word_list":["红包封面"],"extra_rule":{"semantics_list":[3]},"intercept_type":1}}"#;
        let zone = r#"{"rule_list":[{"rule_id":"a","name":"联系方式","keyword":{"word_list":["手机号码"]},"semantics":{"semantics_list":[1]}}]}"#;
        let (pack, imported) = pack(&format!("{RULE}\n{got}\n{zone}"));
        assert_eq!((pack.rules.len(), imported.rules), (3, 3));
        assert_eq!(
            pack.rules.iter().map(|rule| rule.level).collect::<Vec<_>>(),
            [Level::Medium, Level::High, Level::Medium]
        );
        assert_eq!(pack.rules[0].title.zh, "飞单防护");
        let names = |at: usize| pack.rules[at].selections.iter().map(|it| it.name.to_string()).collect::<Vec<_>>();
        assert_eq!(
            (names(0), names(1), names(2)),
            (
                vec!["words".to_owned(), "phone".into(), "mail".into()],
                vec!["words".into(), "red-packet".into()],
                vec!["words".into(), "phone".into()]
            )
        );
        assert!(run_tests(&pack).unwrap().iter().all(TestOutcome::passed));
        assert_eq!(imported.left_out.len(), 2, "{:?}", imported.left_out);
        assert!(
            imported.left_out[0].contains("`加`") && imported.left_out[1].contains("meaning 9"),
            "{:?}",
            imported.left_out
        );
        assert!(imported.yaml.contains("user_list li.na; department_list 2"), "{}", imported.yaml);
    }

    #[test]
    fn scalars_are_read_as_they_are_meant() {
        let rule = r#"{"rule_id":7,"rule_name":"x","word_list":["加我微信",13800000000],"semantics_list":["1","2"],"intercept_type":"1"}"#;
        let (pack, imported) = pack(&format!("{rule}\n{rule}"));
        let rule = &pack.rules[0];
        assert_eq!(
            (&*rule.id, rule.level, rule.selections.len()),
            ("wecom.rule-7", Level::High, 3),
            "{}",
            imported.yaml
        );
        assert_eq!((rule.selections[0].words().len(), imported.left_out.len()), (2, 0), "{:?}", imported.left_out);
        assert_eq!(&*pack.rules[1].id, "wecom.rule-7-2");
    }

    #[test]
    fn whatever_stands_in_a_rule_makes_no_other_yaml() {
        let name = "a: }\n- \"'# \u{202E}";
        let rule = serde_json::json!([{ "rule_name": name, "word_list": ["x: [y]", "'\"\\ 甲乙", "- 丙丁 #", "甲\u{81}乙丙"], "applicable_range": { "user_list": ["\n  - id: x"] } }]);
        let (pack, imported) = pack(&rule.to_string());
        assert_eq!((pack.rules.len(), pack.rules[0].selections[0].words().len()), (1, 4), "{}", imported.yaml);
    }

    #[test]
    fn what_holds_no_rule_says_what_to_do() {
        for (text, error) in [
            ("加我微信\n", ImportError::NotJson),
            ("{}", ImportError::NoRules),
            (r#"{"rule_list":[{"rule_id":1,"rule_name":"飞单"}]}"#, ImportError::OnlyNames),
            (r#"{"word_list":["加"]}"#, ImportError::NoRules),
        ] {
            assert_eq!(intercept_rules(text, "wecom"), Err(error), "{text}");
        }
        let many = format!("[{}]", vec![RULE; 1_001].join(","));
        assert_eq!(intercept_rules(&many, "wecom"), Err(ImportError::TooMany));
    }
}
