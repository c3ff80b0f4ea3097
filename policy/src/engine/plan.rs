//! Worked out once when an engine is compiled: which rules a message must be judged by.
//!
//! Most rules cannot hold without a hit of one of a few selections, their **triggers**: in `promise and product and not denial` those of
//! `promise`. A rule whose triggers do not hit need not be judged. Rules without triggers are judged for every message of the types they look at.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::RuleAt;
use crate::condition::Condition;
use crate::message::Message;
use crate::rules::{Fact, Kind, Pack, Rule, Selection};
use crate::validators::Validator;

/// Which messages need a look, for whoever wants to leave out the others without reading them whole.
///
/// A message needs a look when a word of a trigger list stands in it, when its type needs one ([`Interest::of_type`]), or when it carries names
/// ([`Interest::names`]). Every other message has no finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    triggers: Vec<bool>,
    by_type: BTreeMap<String, Look>,
    other_types: Look,
    names: bool,
}

/// Whether messages of a type need a look although no trigger word stands in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// No.
    Never,
    /// Only those in which one of these validators could find something ([`Validator::may_hit`]).
    IfValidated(Vec<Validator>),
    /// All of them.
    Always,
}

impl Interest {
    /// Whether a hit of this list of the matcher is a reason to look.
    #[must_use]
    pub fn is_trigger(&self, list: u32) -> bool {
        self.triggers.get(list as usize).copied().unwrap_or(true)
    }

    /// What messages of a type need.
    #[must_use]
    pub fn of_type(&self, msgtype: &str) -> &Look {
        self.by_type.get(msgtype).unwrap_or(&self.other_types)
    }

    /// Whether a rule looks at names of rooms or senders, so that a message that carries any needs a look.
    #[must_use]
    pub fn names(&self) -> bool {
        self.names
    }
}

/// What is known of the rules of an engine before any message.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Triggers by pack, rule and selection.
    triggers: BTreeSet<(RuleAt, u32)>,
    /// Rules that need no trigger word, by message type.
    by_type: BTreeMap<String, Vec<Idle>>,
    other_types: Vec<Idle>,
    names: bool,
    /// A rule's window looks at messages for which the rule does not hold.
    every: bool,
}

/// A rule that may hold without a word.
#[derive(Clone, Debug)]
struct Idle {
    rule: RuleAt,
    /// Empty: judged for every message.
    validators: Vec<Validator>,
}

impl Plan {
    pub(super) fn of(packs: &[Pack]) -> Self {
        let mut plan = Self::default();
        let mut idle: Vec<(Idle, Option<BTreeSet<String>>)> = Vec::new();
        for (at, rule) in rules(packs) {
            plan.names |= rule.selections.iter().any(|it| !it.fields.is_empty() && it.looks_at_names());
            if rule.needs_every_message() {
                plan.every = true;
            }
            let Some(needed) = needed(&rule.condition, rule) else {
                idle.push((Idle { rule: at, validators: Vec::new() }, types(rule)));
                continue;
            };
            let mut validators: Vec<Validator> = Vec::new();
            for selection in needed {
                match rule.selections.get(selection).map(|selection| &selection.kind) {
                    Some(Kind::Words(_)) => _ = plan.triggers.insert((at, selection as u32)),
                    Some(Kind::Validator(validated)) => validators.extend(&validated.validators),
                    _ => {}
                }
            }
            if !validators.is_empty() {
                idle.push((Idle { rule: at, validators }, types(rule)));
            }
        }
        let named: BTreeSet<String> = idle.iter().filter_map(|(_, types)| types.clone()).flatten().collect();
        for name in named {
            let of_type = idle.iter().filter(|(_, types)| types.as_ref().is_none_or(|types| types.contains(&name)));
            let of_type = of_type.map(|(idle, _)| idle.clone()).collect();
            plan.by_type.insert(name, of_type);
        }
        plan.other_types = idle.into_iter().filter(|(_, types)| types.is_none()).map(|(idle, _)| idle).collect();
        plan
    }

    /// Whether a hit of a selection is a reason to judge its rule.
    pub(super) fn is_trigger(&self, rule: RuleAt, selection: u32) -> bool {
        self.triggers.contains(&(rule, selection))
    }

    /// Rules to judge a message by although no trigger word stands in it.
    pub(super) fn idle(&self, message: &Message) -> impl Iterator<Item = RuleAt> {
        // Many rules ask for the same few validators.
        let asked: [OnceCell<bool>; Validator::ALL.len()] = Default::default();
        let may_hit = move |validator: &Validator| {
            let look = || message.all_texts().any(|text| validator.may_hit(&text.text));
            asked.get(*validator as usize).map_or_else(look, |asked| *asked.get_or_init(look))
        };
        self.of_type(&message.msgtype)
            .iter()
            .filter(move |idle| idle.validators.is_empty() || idle.validators.iter().any(&may_hit))
            .map(|idle| idle.rule)
    }

    fn of_type(&self, msgtype: &str) -> &[Idle] {
        self.by_type.get(msgtype).unwrap_or(&self.other_types)
    }

    pub(super) fn interest(&self, lists: impl Iterator<Item = (RuleAt, u32)>) -> Interest {
        let look = |idle: &Vec<Idle>| if self.every { Look::Always } else { look(idle) };
        Interest {
            triggers: lists.map(|(rule, selection)| self.is_trigger(rule, selection)).collect(),
            by_type: self.by_type.iter().map(|(name, idle)| (name.clone(), look(idle))).collect(),
            other_types: look(&self.other_types),
            names: self.names,
        }
    }
}

fn look(idle: &[Idle]) -> Look {
    if idle.is_empty() {
        return Look::Never;
    }
    if idle.iter().any(|idle| idle.validators.is_empty()) {
        return Look::Always;
    }
    let validators: BTreeSet<Validator> = idle.iter().flat_map(|idle| &idle.validators).copied().collect();
    Look::IfValidated(validators.into_iter().collect())
}

pub(super) fn rules(packs: &[Pack]) -> impl Iterator<Item = (RuleAt, &Rule)> {
    packs.iter().zip(0..).flat_map(|(pack, pack_at)| {
        pack.rules.iter().zip(0..).map(move |(rule, rule_at)| (RuleAt { pack: pack_at, rule: rule_at }, rule))
    })
}

/// Selections of words and validators without a hit of one of which the condition cannot hold; `None` when it may.
fn needed(condition: &Condition, rule: &Rule) -> Option<Vec<usize>> {
    match condition {
        Condition::Selection(selection) => needed_for(*selection, rule),
        Condition::Not(_) => None,
        Condition::And(parts) => cheapest(parts.iter().map(|part| needed(part, rule)), rule),
        Condition::Or(parts) => union(parts.iter().map(|part| needed(part, rule))),
        // Of n selections of which k must hold, any n - k + 1 hold one of those.
        Condition::Of(least, set) => {
            let mut each: Vec<_> = set.iter().filter_map(|selection| needed_for(*selection, rule)).collect();
            each.sort_by(|a, b| cost(a, rule).total_cmp(&cost(b, rule)));
            let enough = (set.len() + 1).checked_sub(*least).filter(|enough| each.len() >= *enough)?;
            union(each.into_iter().take(enough).map(Some))
        }
    }
}

fn needed_for(selection: usize, rule: &Rule) -> Option<Vec<usize>> {
    let it = rule.selections.get(selection)?;
    let own = matches!(it.kind, Kind::Words(_) | Kind::Validator(_)).then(|| vec![selection]);
    // Packs have no circles of nearness.
    let of_near = it.near.and_then(|near| needed_for(near.selection, rule));
    cheapest([own, of_near].into_iter(), rule)
}

fn cheapest(parts: impl Iterator<Item = Option<Vec<usize>>>, rule: &Rule) -> Option<Vec<usize>> {
    parts.flatten().min_by(|a, b| cost(a, rule).total_cmp(&cost(b, rule)))
}

fn union(parts: impl Iterator<Item = Option<Vec<usize>>>) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for part in parts {
        all.extend(part?);
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// How often selections are expected to hit: short words are common words.
fn cost(selections: &[usize], rule: &Rule) -> f64 {
    let of = |selection: &Selection| match &selection.kind {
        Kind::Words(words) => words.words.iter().map(|word| rarity(word)).sum(),
        // Looking for numbers costs more than finding a word.
        _ => 1.0,
    };
    selections.iter().filter_map(|selection| rule.selections.get(*selection)).map(of).sum()
}

fn rarity(word: &str) -> f64 {
    word.chars().fold(1.0, |rarity, c| rarity / if c.is_ascii() { 3.0 } else { 8.0 })
}

/// Message types outside which the rule cannot hold; `None` for any type.
fn types(rule: &Rule) -> Option<BTreeSet<String>> {
    let scope = (!rule.scope.types.is_empty()).then(|| rule.scope.types.iter().cloned().collect());
    both(scope, types_of(&rule.condition, rule))
}

fn types_of(condition: &Condition, rule: &Rule) -> Option<BTreeSet<String>> {
    match condition {
        Condition::Selection(selection) => match rule.selections.get(*selection).map(|it| &it.kind) {
            Some(Kind::Fact(Fact::Type(types))) => Some(types.iter().map(|name| name.to_string()).collect()),
            _ => None,
        },
        Condition::And(parts) => parts.iter().map(|part| types_of(part, rule)).fold(None, both),
        Condition::Or(parts) => {
            let each: Option<Vec<_>> = parts.iter().map(|part| types_of(part, rule)).collect();
            each.map(|each| each.into_iter().flatten().collect())
        }
        Condition::Not(_) | Condition::Of(..) => None,
    }
}

fn both(a: Option<BTreeSet<String>>, b: Option<BTreeSet<String>>) -> Option<BTreeSet<String>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.intersection(&b).cloned().collect()),
        (a, b) => a.or(b),
    }
}
