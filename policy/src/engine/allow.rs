//! Phrases in which a word does not count. They are looked for only in messages in which such a word hit.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::judge::Places;
use super::{RawHit, RuleAt, plan};
use crate::filters::Filter;
use crate::matcher::{MatchScratch, Matcher, MatcherError, PlainMatcher, WordList};
use crate::message::Message;
use crate::normalise::Normalisation;
use crate::rules::{Kind, Pack, Words};

/// Hits of allowed phrases looked at in one message.
const ALLOWED_HITS_MAX: usize = 50_000;

/// The allowed phrases of all selections.
#[derive(Debug)]
pub(super) struct Allow {
    matcher: PlainMatcher,
    /// By list of the matcher: what it belongs to.
    lists: Vec<Owner>,
    owners: BTreeSet<Owner>,
}

/// Whose phrases they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Selection(RuleAt, u32),
    /// A filter by its number.
    Filter(u32),
}

impl Allow {
    pub(super) fn compile(packs: &[Pack], filters: &[Filter]) -> Result<Self, MatcherError> {
        let mut lists = Vec::new();
        let mut words: Vec<WordList<'_>> = Vec::new();
        for (filter, number) in filters.iter().zip(0..) {
            if let Some(except) = filter.except.as_ref().filter(|except| !except.words.is_empty()) {
                lists.push(Owner::Filter(number));
                words.push(phrases(Normalisation::default(), &except.words));
            }
        }
        for (at, rule) in plan::rules(packs) {
            for (selection, number) in rule.selections.iter().zip(0..) {
                let Kind::Words(list) = &selection.kind else { continue };
                if !list.allow.is_empty() {
                    lists.push(Owner::Selection(at, number));
                    words.push(phrases(list.normalisation, &list.allow));
                }
            }
        }
        Ok(Self { matcher: PlainMatcher::compile(&words)?, owners: lists.iter().copied().collect(), lists })
    }
}

fn phrases(normalisation: Normalisation, phrases: &[Arc<str>]) -> WordList<'_> {
    WordList { normalisation, options: Words::allow_options(), words: phrases.iter().map(|phrase| &**phrase).collect() }
}

/// The allowed phrases in one message.
pub(super) struct AllowHits<'a> {
    allow: &'a Allow,
    message: &'a Message,
    hits: OnceCell<Vec<AllowHit>>,
}

#[derive(Clone, Copy)]
struct AllowHit {
    list: u32,
    text: u32,
    start: u32,
    end: u32,
}

impl<'a> AllowHits<'a> {
    pub(super) fn new(allow: &'a Allow, message: &'a Message) -> Self {
        Self { allow, message, hits: OnceCell::new() }
    }

    /// Drops hits of a selection that lie inside one of its allowed phrases, or inside a phrase of these filters.
    pub(super) fn drop_allowed(&self, rule: RuleAt, selection: u32, filters: &[u32], hits: &mut Vec<RawHit>) {
        let selection = [Owner::Selection(rule, selection)];
        let owners = selection.into_iter().chain(filters.iter().map(|filter| Owner::Filter(*filter)));
        let owners: Vec<Owner> = owners.filter(|owner| self.allow.owners.contains(owner)).collect();
        if hits.is_empty() || owners.is_empty() {
            return;
        }
        let own = |allowed: &&AllowHit| {
            self.allow.lists.get(allowed.list as usize).is_some_and(|owner| owners.contains(owner))
        };
        let allowed = self.hits.get_or_init(|| self.find()).iter().filter(own);
        let allowed = Places::of(allowed.map(|phrase| (phrase.text, phrase.start, phrase.end)));
        hits.retain(|hit| !allowed.cover(hit));
    }

    fn find(&self) -> Vec<AllowHit> {
        let mut hits = Vec::new();
        let mut scratch = MatchScratch::default();
        for (text, index) in self.message.all_texts().zip(0..) {
            self.allow.matcher.find(&text.text, &mut scratch, &mut |hit| {
                hits.push(AllowHit { list: hit.list, text: index, start: hit.start, end: hit.end });
                if hits.len() < ALLOWED_HITS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
        }
        hits
    }
}
