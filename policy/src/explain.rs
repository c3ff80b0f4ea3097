//! Why a rule holds for a message or does not: everything the engine's judgement rests on, as values to be shown.
//!
//! [`crate::engine::Engine::explain`] makes it with the engine's own judging; nothing here decides anything.

use serde::Serialize;

use crate::condition::Condition;
use crate::matcher::Channel;
use crate::rules::{Level, Title};

/// A message as rules see it.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Whether the message is evaluated at all; the rules are explained either way.
    pub evaluated: bool,
    /// Its texts.
    pub texts: Vec<ExplainedText>,
    /// The rules asked for, in order of pack and rule.
    pub rules: Vec<ExplainedRule>,
}

/// One text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedText {
    /// Path of the text inside the body.
    pub field: String,
    /// As in the export.
    pub text: String,
    /// Normalised, with everything folded that lists fold by default.
    pub normalised: String,
}

/// One rule.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainedRule {
    /// Id of the pack.
    pub pack: String,
    /// Id of the rule.
    pub rule: String,
    /// Title.
    pub title: Title,
    /// Level, as weak channels and filters leave it.
    pub level: Level,
    /// Whether it holds: the message is in scope, no filter leaves it out and the condition holds. A rule with a window then still needs other messages.
    pub holds: bool,
    /// Whether the rule has a window, so that a message that holds only contributes to a finding.
    pub windowed: bool,
    /// What of its scope the message does not meet.
    pub outside: Vec<Outside>,
    /// Ids of the filters that leave the message out, or inside phrases of which hits do not count, so that the rule does not hold.
    pub filtered: Vec<String>,
    /// Whether the condition holds, scope and filters aside.
    pub condition_holds: bool,
    /// The condition in pieces, each selection with its truth where it stands.
    pub condition: Vec<ConditionPart>,
    /// The selections that decide the condition, as it came out.
    pub because: Vec<Reason>,
    /// The selections.
    pub selections: Vec<ExplainedSelection>,
}

/// A part of a scope that a message does not meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outside {
    /// `from`, `to`, `types`, `labels` or `chat`.
    pub part: ScopePart,
    /// What the rule asks for.
    pub asked: Vec<String>,
    /// What the message has.
    pub found: Vec<String>,
}

/// A part of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopePart {
    /// Side of the sender.
    From,
    /// Sides of the receivers.
    To,
    /// Message type.
    Types,
    /// Labels of the account of the person concerned.
    Labels,
    /// Kind of chat.
    Chat,
}

/// A piece of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConditionPart {
    /// A selection's name, or what stands between.
    pub text: String,
    /// Whether the selection holds where it stands; `None` for what is no selection.
    pub holds: Option<bool>,
}

/// A selection that decides the condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Its name.
    pub selection: String,
    /// Whether it holds where it stands.
    pub holds: bool,
}

/// A selection.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainedSelection {
    /// Its name.
    pub name: String,
    /// What it looks for: `words`, `regex`, `validator`, or a fact's name.
    pub kind: &'static str,
    /// Whether it holds where no `not` stands before it.
    pub holds: bool,
    /// Its hits, also those that do not count.
    pub hits: Vec<ExplainedHit>,
}

/// A hit and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainedHit {
    /// The word or pattern as its author wrote it, or the name of the validator.
    pub word: String,
    /// Field of the text.
    pub field: String,
    /// First character in the original text.
    pub start: u32,
    /// Behind the last character in the original text.
    pub end: u32,
    /// How it was recognised.
    pub channel: Channel,
    /// Whether hidden characters stand inside.
    pub obfuscated: bool,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What became of a hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// It counts.
    Counted,
    /// It stands in a field the selection does not look in, or in the quoted part of a reply.
    Elsewhere,
    /// It stands inside a phrase the selection allows.
    Allowed,
    /// No counted hit of another selection is near enough.
    NotNear {
        /// The other selection.
        to: String,
    },
    /// A negated selection hits near it.
    Denied {
        /// The negated selection.
        by: String,
    },
}

impl ExplainedRule {
    /// Whether anything hits. Words that are something only beside others, such as 请勿, are no reason to show a rule.
    #[must_use]
    pub fn has_hits(&self) -> bool {
        let mut hits = self.selections.iter().flat_map(|selection| &selection.hits);
        hits.any(|hit| !matches!(hit.fate, Fate::NotNear { .. }))
    }
}

impl ScopePart {
    /// All parts.
    pub(crate) const ALL: [Self; 5] = [Self::From, Self::To, Self::Types, Self::Labels, Self::Chat];

    /// Name as in packs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::To => "to",
            Self::Types => "types",
            Self::Labels => "labels",
            Self::Chat => "chat",
        }
    }
}

/// The condition in pieces. `holds` says whether a selection holds, and under an odd number of `not`s.
pub(crate) fn parts(
    condition: &Condition,
    names: &[String],
    holds: &dyn Fn(usize, bool) -> bool,
) -> Vec<ConditionPart> {
    let mut writer = Writer { names, holds, parts: Vec::new() };
    writer.write(condition, false, Tight::No);
    writer.parts
}

/// The selections that decide the condition as it came out.
pub(crate) fn because(condition: &Condition, names: &[String], holds: &dyn Fn(usize, bool) -> bool) -> Vec<Reason> {
    let mut reasons = Vec::new();
    decide(condition, false, holds, &mut reasons);
    reasons.sort_unstable();
    reasons.dedup();
    let named = |(selection, holds): (usize, bool)| Some(Reason { selection: names.get(selection)?.clone(), holds });
    reasons.into_iter().filter_map(named).collect()
}

/// What stands around a part of a condition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Tight {
    No,
    And,
    Not,
}

struct Writer<'a> {
    names: &'a [String],
    holds: &'a dyn Fn(usize, bool) -> bool,
    parts: Vec<ConditionPart>,
}

impl Writer<'_> {
    fn write(&mut self, condition: &Condition, negated: bool, around: Tight) {
        match condition {
            Condition::Selection(selection) => self.selection(*selection, negated),
            Condition::Not(inner) => {
                self.text("not ");
                self.write(inner, !negated, Tight::Not);
            }
            Condition::And(all) => self.chain(all, " and ", negated, around > Tight::And, Tight::And),
            Condition::Or(any) => self.chain(any, " or ", negated, around > Tight::No, Tight::No),
            Condition::Of(least, set) => {
                self.text(&format!("{least} of ("));
                for (at, selection) in set.iter().enumerate() {
                    self.text(if at > 0 { ", " } else { "" });
                    self.selection(*selection, negated);
                }
                self.text(")");
            }
        }
    }

    fn chain(&mut self, all: &[Condition], word: &str, negated: bool, wrapped: bool, inside: Tight) {
        self.text(if wrapped { "(" } else { "" });
        for (at, part) in all.iter().enumerate() {
            self.text(if at > 0 { word } else { "" });
            self.write(part, negated, inside);
        }
        self.text(if wrapped { ")" } else { "" });
    }

    fn selection(&mut self, selection: usize, negated: bool) {
        let text = self.names.get(selection).cloned().unwrap_or_default();
        self.parts.push(ConditionPart { text, holds: Some((self.holds)(selection, negated)) });
    }

    fn text(&mut self, text: &str) {
        match self.parts.last_mut().filter(|part| part.holds.is_none()) {
            Some(part) => part.text.push_str(text),
            None if text.is_empty() => {}
            None => self.parts.push(ConditionPart { text: text.to_owned(), holds: None }),
        }
    }
}

/// Collects the selections that make a condition come out as it does: of what is joined by `and`, those that fail or all; of
/// `or`, those that hold or all.
fn decide(condition: &Condition, negated: bool, holds: &dyn Fn(usize, bool) -> bool, out: &mut Vec<(usize, bool)>) {
    match condition {
        Condition::Selection(selection) => out.push((*selection, holds(*selection, negated))),
        Condition::Not(inner) => decide(inner, !negated, holds, out),
        Condition::And(parts) | Condition::Or(parts) => {
            let came_out = condition.eval_at(holds, negated);
            let same = parts.iter().filter(|part| part.eval_at(holds, negated) == came_out);
            same.for_each(|part| decide(part, negated, holds, out));
        }
        Condition::Of(_, set) => {
            let came_out = condition.eval_at(holds, negated);
            let selections = set.iter().map(|selection| (*selection, holds(*selection, negated)));
            out.extend(selections.filter(|(_, holds)| *holds == came_out));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::parse;

    /// The condition with `+` and `-` behind each selection, and what decides it.
    fn shown(text: &str, holding: &[&str]) -> (String, Vec<String>) {
        let names = ["a", "b", "c"];
        let condition = parse(text, &names).unwrap();
        let arcs = names.map(str::to_owned);
        let holds = |selection: usize, _| holding.contains(&names[selection]);
        let sign = |holds: bool| if holds { "+" } else { "-" };
        let written = parts(&condition, &arcs, &holds)
            .into_iter()
            .map(|part| format!("{}{}", part.text, part.holds.map_or("", sign)));
        let because = because(&condition, &arcs, &holds);
        let because = because.into_iter().map(|reason| format!("{}{}", reason.selection, sign(reason.holds)));
        (written.collect(), because.collect())
    }

    #[test]
    fn conditions_are_shown_with_their_truth_and_what_decides_them() {
        for (text, holding, written, because) in [
            ("a", &[][..], "a-", &["a-"][..]),
            ("a and b and not c", &["a", "c"], "a+ and b- and not c+", &["b-", "c+"]),
            ("a and b and not c", &["a", "b"], "a+ and b+ and not c-", &["a+", "b+", "c-"]),
            ("(a or b) and c", &["b", "c"], "(a- or b+) and c+", &["b+", "c+"]),
            ("a and b or c", &["a"], "a+ and b- or c-", &["b-", "c-"]),
            ("not (a or b)", &["b"], "not (a- or b+)", &["b+"]),
            ("not (a and b)", &["b"], "not (a- and b+)", &["a-"]),
            ("2 of (a, b, c)", &["b"], "2 of (a-, b+, c-)", &["a-", "c-"]),
        ] {
            let (shown, reasons) = shown(text, holding);
            assert_eq!(
                (shown.as_str(), reasons.iter().map(String::as_str).collect::<Vec<_>>()),
                (written, because.to_vec())
            );
        }
    }
}
