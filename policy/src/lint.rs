//! What looks like a slip in a pack that has no mistakes: it works, but perhaps not as its author means.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::matcher::{Channel, MatchScratch, Matcher, PlainMatcher, WordList};
use crate::rules::{Fact, Kind, Mistake, Pack, Rule, Selection};

/// Warnings about the words of one selection; more help nobody.
const WORD_WARNINGS_MAX: usize = 10;
/// Selections of a condition for which every combination is tried.
const TRIED_MAX: usize = 12;

/// Warnings about a pack, in order of line. `file` and `source` are the name and text of its file, for places.
#[must_use]
pub fn warnings(file: &str, source: &str, pack: &Pack) -> Vec<Mistake> {
    let ends = pack.rules.iter().skip(1).map(|rule| rule.line).chain([u64::MAX]);
    let mut warnings = Vec::new();
    for (rule, end) in pack.rules.iter().zip(ends) {
        let mut lint = Lint { file, source, rule, end, warnings: &mut warnings };
        lint.tests();
        lint.condition();
        rule.selections.iter().for_each(|selection| lint.words(selection));
    }
    warnings.sort();
    warnings
}

struct Lint<'a> {
    file: &'a str,
    source: &'a str,
    rule: &'a Rule,
    /// Line of the next rule.
    end: u64,
    warnings: &'a mut Vec<Mistake>,
}

impl Lint<'_> {
    /// Warns at the first place of `part` in the rule, else at the rule.
    fn warn(&mut self, part: &str, text: String) {
        let (line, column) = self.place(part).unwrap_or((self.rule.line, 0));
        self.warnings.push(Mistake { file: self.file.to_owned(), line, column, text });
    }

    fn place(&self, part: &str) -> Option<(u64, u64)> {
        let lines = (1_u64..).zip(self.source.lines()).filter(|(line, _)| (self.rule.line..self.end).contains(line));
        let mut lines = lines.filter(|_| !part.is_empty());
        lines.find_map(|(line, text)| {
            let at = standing(text, part)?;
            Some((line, text.get(..at)?.chars().count() as u64 + 1))
        })
    }

    fn tests(&mut self) {
        let id = &self.rule.id;
        let lacking = |hit: bool| !self.rule.tests.iter().any(|test| test.hit == hit);
        let text = match (lacking(true), lacking(false)) {
            (true, true) => format!("the rule `{id}` has no tests; add texts it must hit and near misses it must not"),
            (true, false) => format!("the rule `{id}` has no test that must hit; add one with `hit: true`"),
            (false, true) => format!("the rule `{id}` has no near miss among its tests; add one with `hit: false`"),
            (false, false) => return,
        };
        self.warn(&self.rule.id.clone(), text);
    }

    fn condition(&mut self) {
        if can_hold(self.rule) == Some(false) {
            let id = &self.rule.id;
            self.warn(
                "condition",
                format!("the rule `{id}` can never hold, whatever the message; correct its condition"),
            );
        }
    }

    /// Where nearness counts, a longer word is no slip: it reaches further.
    fn words(&mut self, selection: &Selection) {
        let number = self.rule.selections.iter().position(|it| std::ptr::eq(it, selection));
        let mut nears = self.rule.selections.iter().filter_map(|it| it.near);
        let measured = selection.near.is_some() || nears.any(|near| Some(near.selection) == number);
        let mut nested = nested(selection);
        nested.retain(|(word, inner)| !measured || word == inner);
        for (word, inner) in nested.iter().take(WORD_WARNINGS_MAX) {
            let name = &selection.name;
            let text = if word == inner {
                format!("the word `{word}` stands twice in `{name}`, perhaps in two spellings; remove one")
            } else {
                format!("the word `{word}` in `{name}` holds the word `{inner}`, which always hits with it; remove one")
            };
            self.warn(word, text);
        }
        if nested.len() > WORD_WARNINGS_MAX {
            let more = nested.len() - WORD_WARNINGS_MAX;
            self.warn(&selection.name, format!("{more} more words of `{}` hold others of its words", selection.name));
        }
    }
}

/// Where a part stands alone in a line, in bytes: not inside a longer word of the list.
fn standing(line: &str, part: &str) -> Option<usize> {
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    line.match_indices(part).map(|(at, _)| at).find(|at| {
        edge(line.get(..*at).and_then(|before| before.chars().next_back()))
            && edge(line.get(at + part.len()..).and_then(|after| after.chars().next()))
    })
}

/// Words with another word of the selection inside, the first of those; and words that are found where an earlier one is.
fn nested(selection: &Selection) -> Vec<(&str, &str)> {
    let Kind::Words(list) = &selection.kind else { return Vec::new() };
    let words: Vec<&str> = list.words.iter().map(|word| &**word).collect();
    let list = WordList { normalisation: list.normalisation, options: list.options, words: words.clone() };
    let Ok(matcher) = PlainMatcher::compile(&[list]) else { return Vec::new() };
    let mut scratch = MatchScratch::default();
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let length = word.chars().count() as u32;
        matcher.find(word, &mut scratch, &mut |hit| {
            let other = hit.word as usize;
            let whole = hit.start == 0 && hit.end == length;
            // Of two that are found alike, the later one is told.
            if hit.channel > Channel::Folded || other == index || (whole && other > index) {
                return ControlFlow::Continue(());
            }
            found.extend(words.get(other).map(|inner| (*word, if whole { *word } else { *inner })));
            ControlFlow::Break(())
        });
    }
    found
}

/// Whether any combination of holding and not holding selections satisfies the condition; `None` when there are too many to try.
fn can_hold(rule: &Rule) -> Option<bool> {
    let mut used: BTreeSet<usize> = rule.condition.selections(false).into_iter().collect();
    used.extend(rule.condition.selections(true));
    let used: Vec<usize> = used.into_iter().collect();
    if used.len() > TRIED_MAX {
        return None;
    }
    let possible: Vec<bool> = rule.selections.iter().map(|selection| is_possible(rule, selection)).collect();
    let holds = |combination: u32| {
        rule.condition.eval(&|selection, _| {
            let chosen =
                used.iter().position(|used| *used == selection).is_some_and(|bit| combination & (1 << bit) != 0);
            chosen && possible.get(selection) == Some(&true)
        })
    };
    Some((0..1_u32 << used.len()).any(holds))
}

/// Whether a selection can hold for a message in the rule's scope.
fn is_possible(rule: &Rule, selection: &Selection) -> bool {
    match &selection.kind {
        Kind::Words(list) => selection.min as usize <= list.words.len(),
        Kind::Fact(Fact::Type(types)) => {
            let scope = &rule.scope.types;
            scope.is_empty() || types.iter().any(|name| scope.iter().any(|other| **other == **name))
        }
        Kind::Fact(Fact::Side(sides)) => {
            rule.scope.from.is_empty() || sides.iter().any(|side| rule.scope.from.contains(side))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn warned(rule: &str) -> Vec<(u64, u64, String)> {
        let head = "pack: p\nversion: 1\ntitle: { zh: 包, en: P }\nrules:\n";
        let rule = rule.replace('\n', "\n    ");
        let source =
            format!("{head}  - id: r\n    title: {{ zh: 则, en: R }}\n    category: c\n    level: high\n    {rule}\n");
        let pack =
            Pack::parse("p.yaml", source.as_bytes(), &BTreeMap::new()).unwrap_or_else(|error| panic!("{error:#?}"));
        let warnings = warnings("p.yaml", &source, &pack);
        warnings.into_iter().map(|warning| (warning.line, warning.column, warning.text)).collect()
    }

    const TESTS: &str = "\ntests: [{ text: 一, hit: true }, { text: 二, hit: false }]";

    fn words(list: &str) -> String {
        format!("detection: {{ a: {{ words: [{list}] }}, condition: a }}{TESTS}")
    }

    #[test]
    fn a_sound_rule_has_no_warnings() {
        assert_eq!(warned(&words("保本, 零风险, vx12, vx123, 本保")), []);
    }

    #[test]
    fn rules_without_tests_are_told() {
        let rule = "detection: { a: { words: [保本] }, condition: a }";
        for (tests, part) in [
            ("", "has no tests"),
            ("\ntests: [{ text: 一, hit: true }]", "no near miss"),
            ("\ntests: [{ text: 一, hit: false }]", "no test that must hit"),
        ] {
            let warnings = warned(&format!("{rule}{tests}"));
            assert!(warnings.len() == 1 && warnings[0].2.contains(part), "{tests}: {warnings:?}");
            assert_eq!((warnings[0].0, warnings[0].1), (5, 9));
        }
    }

    #[test]
    fn words_in_words_are_told_at_the_longer_one() {
        for (list, column, part) in [
            ("保本, 稳赚, 保本保收益", 39, "`保本保收益` in `a` holds the word `保本`"),
            ("保本保收益, 保本", 31, "`保本保收益` in `a` holds the word `保本`"),
            ("WeChat, 保本, wechat", 43, "`wechat` stands twice"),
            ("轉賬, 转账", 35, "`转账` stands twice"),
        ] {
            let warnings = warned(&words(list));
            assert!(warnings.len() == 1 && warnings[0].2.contains(part), "{list}: {warnings:?}");
            assert_eq!((warnings[0].0, warnings[0].1), (9, column), "{list}");
        }
        let many: Vec<String> = (0..30).map(|at| format!("保本{}", char::from_u32(0x4E00 + at).unwrap())).collect();
        assert_eq!(warned(&words(&format!("保本, {}", many.join(", ")))).len(), WORD_WARNINGS_MAX + 1);
    }

    #[test]
    fn conditions_that_contradict_themselves_are_told() {
        for (condition, told) in [
            ("a and not a", true),
            ("(a or b) and not a and not b", true),
            ("a and not b", false),
            ("a or not a and b", false),
        ] {
            let rule = format!(
                "detection: {{ a: {{ words: [保本] }}, b: {{ words: [理财] }}, condition: {condition} }}{TESTS}"
            );
            // A rule must use all it names.
            let rule = if condition.contains('b') { rule } else { rule.replace(", b: { words: [理财] }", "") };
            assert_eq!(!warned(&rule).is_empty(), told, "{condition}");
        }
    }

    #[test]
    fn selections_that_contradict_the_scope_are_told() {
        for (scope, selection, told) in [
            ("types: [text]", "type: [file]", true),
            ("types: [text, file]", "type: [file]", false),
            ("from: employee", "side: external", true),
            ("to: external", "side: external", false),
            ("types: [text]", "words: [理财, 基金], min: 3", true),
            ("types: [text]", "words: [理财, 基金], min: 2", false),
        ] {
            let detection =
                format!("detection: {{ a: {{ words: [保本] }}, b: {{ {selection} }}, condition: a and b }}");
            let warnings = warned(&format!("scope: {{ {scope} }}\n{detection}{TESTS}"));
            assert_eq!(warnings.iter().any(|warning| warning.2.contains("never hold")), told, "{scope} {selection}");
        }
    }
}
