//! Judges a message by every rule and keeps what the judgement rests on.

use super::judge::{self, Case};
use super::{AllowHits, Engine, Hit, Parties, RuleAt, Scratch, Standing, View, of_rule};
use crate::explain::{
    ExplainedHit, ExplainedRule, ExplainedSelection, ExplainedText, Explanation, Fate, Outside, ScopePart, because,
    parts,
};
use crate::message::{Corp, Message};
use crate::normalise::{Folded, Normalisation};
use crate::rules::{Chat, Pack, Rule, Scope};

impl Engine {
    /// Why each of the rules `wanted` holds for a message or does not.
    #[must_use]
    pub fn explain(&self, corp: &Corp, message: &Message, wanted: &dyn Fn(&Pack, &Rule) -> bool) -> Explanation {
        let mut scratch = Scratch::default();
        self.collect(message, &mut std::iter::empty(), &mut scratch);
        scratch.order();
        let parties = Parties::of(self, corp, message);
        let view = View::new(message, &parties);
        let allowed = AllowHits::new(&self.allow, message);
        let mut rules = Vec::new();
        for (pack, pack_at) in self.packs.iter().zip(0..) {
            for (rule, rule_at) in pack.rules.iter().zip(0..).filter(|(rule, _)| wanted(pack, rule)) {
                let at = RuleAt { pack: pack_at, rule: rule_at };
                let hits = of_rule(&scratch.hits, at);
                let case = Case { pack, rule, at, view: &view, hits, allowed: &allowed, phrases: &[] };
                rules.push(self.tuned(explained(&case), &case));
            }
        }
        let evaluated = self.standing(corp, message) == Standing::Evaluate;
        Explanation { evaluated, texts: message.all_texts().map(explained_text).collect(), rules }
    }

    /// What filters leave of it.
    fn tuned(&self, explained: ExplainedRule, case: &Case<'_>) -> ExplainedRule {
        let tuned = self.tuning.tuned(case.at, case.view);
        let within = |phrases: &[u32]| judge::judge(&Case { phrases, ..*case }).is_some();
        let filters = if !tuned.left_out.is_empty() {
            tuned.left_out.as_slice()
        } else if !tuned.phrases.is_empty() && explained.condition_holds && !within(&tuned.phrases) {
            tuned.phrases.as_slice()
        } else {
            &[]
        };
        let id = |number: &u32| Some(self.filters().get(*number as usize)?.id.to_string());
        ExplainedRule {
            level: tuned.level(explained.level),
            holds: explained.holds && filters.is_empty(),
            filtered: filters.iter().filter_map(id).collect(),
            ..explained
        }
    }
}

fn explained_text(text: &crate::message::Text) -> ExplainedText {
    // Runs are made one only to be matched; people read what is there.
    let readable = Normalisation { repeats: false, ..Normalisation::default() };
    let normalised = Folded::of(&text.text, readable).text().to_owned();
    ExplainedText { field: text.field.to_string(), text: text.text.clone(), normalised }
}

fn explained(case: &Case<'_>) -> ExplainedRule {
    let Case { pack, rule, view, .. } = case;
    let trace = judge::trace(case);
    let names: Vec<String> = rule.selections.iter().map(|selection| selection.name.to_string()).collect();
    let name = |selection: usize| names.get(selection).cloned().unwrap_or_default();
    let holds = |selection: usize, negated: bool| {
        let seen = trace.selections.get(selection);
        seen.is_some_and(|seen| if negated { seen.holds_negated } else { seen.holds })
    };
    let fate = |fate: judge::Fate| match fate {
        judge::Fate::Counted => Fate::Counted,
        judge::Fate::Elsewhere => Fate::Elsewhere,
        judge::Fate::Allowed => Fate::Allowed,
        judge::Fate::NotNear(selection) => Fate::NotNear { to: name(selection) },
        judge::Fate::Denied(selection) => Fate::Denied { by: selection.map(name).unwrap_or_default() },
    };
    let selections = rule.selections.iter().zip(&trace.selections).map(|(selection, seen)| {
        let hits = seen
            .hits
            .iter()
            .filter_map(|(hit, became)| Some(explained_hit(hit.describe(rule, view.message)?, fate(*became))));
        ExplainedSelection {
            name: selection.name.to_string(),
            kind: selection.kind.as_str(),
            holds: seen.holds,
            hits: hits.collect(),
        }
    });
    let outside = outside(view.parties, &rule.scope, view.message);
    ExplainedRule {
        pack: pack.id.to_string(),
        rule: rule.id.to_string(),
        title: rule.title.clone(),
        level: trace.level,
        holds: trace.holds && outside.is_empty(),
        windowed: rule.window.is_some(),
        outside,
        filtered: Vec::new(),
        condition_holds: trace.holds,
        condition: parts(&rule.condition, &names, &holds),
        because: because(&rule.condition, &names, &holds),
        selections: selections.collect(),
    }
}

fn explained_hit(hit: Hit, fate: Fate) -> ExplainedHit {
    let Hit { word, field, start, end, channel, obfuscated, .. } = hit;
    ExplainedHit { word: word.to_string(), field: field.to_string(), start, end, channel, obfuscated, fate }
}

/// What of the scope a message does not meet.
fn outside(parties: &Parties<'_>, scope: &Scope, message: &Message) -> Vec<Outside> {
    let unmet = ScopePart::ALL.into_iter().filter(|part| !parties.meets(*part, scope, message));
    unmet.map(|part| Outside { part, asked: asked(part, scope), found: found(part, parties, message) }).collect()
}

fn asked(part: ScopePart, scope: &Scope) -> Vec<String> {
    match part {
        ScopePart::From => scope.from.iter().map(|side| side.as_str().to_owned()).collect(),
        ScopePart::To => scope.to.iter().map(|side| side.as_str().to_owned()).collect(),
        ScopePart::Types => scope.types.clone(),
        ScopePart::Labels => scope.labels.clone(),
        ScopePart::Chat => scope.chat.into_iter().map(chat_name).collect(),
    }
}

fn found(part: ScopePart, parties: &Parties<'_>, message: &Message) -> Vec<String> {
    match part {
        ScopePart::From => vec![parties.from.as_str().to_owned()],
        ScopePart::To => {
            let mut sides: Vec<String> = parties.to.iter().map(|side| side.as_str().to_owned()).collect();
            sides.sort();
            sides.dedup();
            sides
        }
        ScopePart::Types => vec![message.msgtype.clone()],
        ScopePart::Labels => parties.labels().to_vec(),
        ScopePart::Chat => vec![chat_name(Chat::of(message))],
    }
}

fn chat_name(chat: Chat) -> String {
    chat.as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::parse::parse_line;

    const RULE: &str = "pack: p
version: 1
title: { zh: 包, en: P }
rules:
  - id: r
    title: { zh: 则, en: R }
    category: c
    level: high
    scope: { from: employee, to: external, types: [text] }
    detection:
      promise: { words: [零风险, 保本], allow: [保本行] }
      product: { words: [理财], near: promise, within: 4 }
      denial: { words: [不是], near: promise, within: 2 }
      card: { validator: mobile }
      condition: promise and (product or card) and not denial
";

    fn engine() -> Engine {
        let pack =
            Pack::parse("p.yaml", RULE.as_bytes(), &BTreeMap::new()).unwrap_or_else(|error| panic!("{error:#?}"));
        Engine::compile(vec![pack], None).unwrap()
    }

    fn message(text: &str) -> Message {
        let line = serde_json::json!({
            "msgid": "m", "action": "send", "from": "li.na", "tolist": ["wmExAmPlEAAA0001customerAAAAAAAA"], "msgtime": 1,
            "msgtype": "text", "text": { "content": text },
        });
        parse_line(line.to_string().as_bytes()).message.unwrap()
    }

    fn rule(text: &str) -> ExplainedRule {
        engine().explain(&Corp::new("ww1"), &message(text), &|_, _| true).rules.remove(0)
    }

    /// Word and fate of all hits.
    fn fates(rule: &ExplainedRule) -> Vec<(String, Fate)> {
        let hits = rule.selections.iter().flat_map(|selection| &selection.hits);
        hits.map(|hit| (hit.word.clone(), hit.fate.clone())).collect()
    }

    #[test]
    fn every_hit_has_a_fate() {
        let near = |to: &str| Fate::NotNear { to: to.into() };
        let denied = || Fate::Denied { by: "denial".into() };
        for (text, holds, expected) in [
            ("理财零风险", true, &[("零风险", Fate::Counted), ("理财", Fate::Counted)][..]),
            ("理财一二三四五零风险", false, &[("零风险", Fate::Counted), ("理财", near("promise"))]),
            ("理财不是零风险", false, &[("零风险", denied()), ("理财", Fate::Counted), ("不是", Fate::Counted)]),
            ("在保本行开会", false, &[("保本", Fate::Allowed)]),
            ("零风险 13800138000", true, &[("零风险", Fate::Counted), ("mobile", Fate::Counted)]),
            (
                "这是一条引用/回复消息：\n\"李娜：\n理财零风险\"\n------\n收到",
                false,
                &[("零风险", Fate::Elsewhere), ("理财", Fate::Elsewhere)],
            ),
        ] {
            let rule = rule(text);
            let expected: Vec<(String, Fate)> =
                expected.iter().map(|(word, fate)| ((*word).to_owned(), fate.clone())).collect();
            assert_eq!((rule.holds, fates(&rule)), (holds, expected), "{text}");
        }
    }

    #[test]
    fn it_says_what_decides_and_what_is_out_of_scope() {
        let denied = rule("理财不是零风险");
        let text: String = denied.condition.iter().map(|part| part.text.as_str()).collect();
        assert_eq!(text, "promise and (product or card) and not denial");
        assert_eq!(denied.because, [crate::explain::Reason { selection: "denial".into(), holds: true }]);
        let mut inward = message("理财零风险");
        inward.from = "wmExAmPlEAAA0001customerAAAAAAAA".into();
        inward.to = vec!["li.na".into(), "zhou".into()];
        let rule = engine().explain(&Corp::new("ww1"), &inward, &|_, _| true).rules.remove(0);
        assert!(!rule.holds && rule.condition_holds);
        let outside: Vec<_> =
            rule.outside.iter().map(|it| (it.part.as_str(), it.asked.join(","), it.found.join(","))).collect();
        let pair = |part, asked: &str, found: &str| (part, asked.to_owned(), found.to_owned());
        assert_eq!(outside, [pair("from", "employee", "external"), pair("to", "external", "employee")]);
    }

    #[test]
    fn texts_are_shown_normalised() {
        let explanation = engine().explain(&Corp::new("ww1"), &message("保-本 Ａ"), &|_, _| true);
        assert_eq!(explanation.texts[0].normalised, "保本a");
        assert!(explanation.evaluated);
    }

    proptest::proptest! {
        /// The explanation and the engine say the same, whatever the text.
        #[test]
        fn it_agrees_with_the_engine(text in "(理财|零风险|保本|保本行|不是|13800138000|一|，|\n){0,12}") {
            let (engine, message) = (engine(), message(&text));
            let found = !engine.evaluate(&Corp::new("ww1"), &message, &mut Scratch::default()).is_empty();
            proptest::prop_assert_eq!(engine.explain(&Corp::new("ww1"), &message, &|_, _| true).rules[0].holds, found);
        }
    }
}
