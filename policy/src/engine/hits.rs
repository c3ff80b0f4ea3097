//! Hits by number: what matching finds, before anybody is told.

use super::{Hit, RuleAt};
use crate::matcher::{Channel, WordHit};
use crate::message::Message;
use crate::rules::Rule;
use crate::validators::Found;

/// Which selection a list of the matcher belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ListRef {
    pub(super) pack: u32,
    pub(super) rule: u32,
    pub(super) selection: u32,
}

impl ListRef {
    pub(super) fn rule(self) -> RuleAt {
        RuleAt { pack: self.pack, rule: self.rule }
    }
}

/// A hit with numbers only. The order of the fields is the order hits are reported in, within a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RawHit {
    pub(super) pack: u32,
    pub(super) rule: u32,
    pub(super) text: u32,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) selection: u32,
    pub(super) word: u32,
    pub(super) channel: Channel,
    pub(super) obfuscated: bool,
}

impl RawHit {
    pub(super) fn new(list: ListRef, text: u32, hit: WordHit) -> Self {
        Self {
            pack: list.pack,
            rule: list.rule,
            text,
            start: hit.start,
            end: hit.end,
            selection: list.selection,
            word: hit.word,
            channel: hit.channel,
            obfuscated: hit.obfuscated,
        }
    }

    pub(super) fn list(&self) -> ListRef {
        ListRef { pack: self.pack, rule: self.rule, selection: self.selection }
    }

    /// Everything but how the word was recognised.
    pub(super) fn place(&self) -> (ListRef, u32, u32, u32, u32) {
        (self.list(), self.text, self.start, self.end, self.word)
    }

    /// A hit of a pattern or validator.
    pub(super) fn found(at: RuleAt, selection: u32, word: u32, text: u32, found: Found, channel: Channel) -> Self {
        let Found { start, end } = found;
        Self { pack: at.pack, rule: at.rule, text, start, end, selection, word, channel, obfuscated: false }
    }

    pub(super) fn rule(&self) -> RuleAt {
        RuleAt { pack: self.pack, rule: self.rule }
    }

    pub(super) fn describe(&self, rule: &Rule, message: &Message) -> Option<Hit> {
        let selection = rule.selections.get(self.selection as usize)?;
        Some(Hit {
            word: selection.label(self.word)?,
            word_index: self.word,
            selection: selection.name.clone(),
            field: message.all_texts().nth(self.text as usize)?.field.clone(),
            start: self.start,
            end: self.end,
            channel: self.channel,
            obfuscated: self.obfuscated,
        })
    }
}

/// The hits of one rule, of all hits in order.
pub(super) fn of_rule(hits: &[RawHit], at: RuleAt) -> &[RawHit] {
    let first = hits.partition_point(|hit| hit.rule() < at);
    let rest = hits.get(first..).unwrap_or_default();
    rest.get(..rest.partition_point(|hit| hit.rule() == at)).unwrap_or_default()
}
