//! What a file would change in a list, before anything is proposed.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::desk::{New, Step};
use super::{Standing, Word};

/// The difference between a list and a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    /// Words that would come in.
    pub added: Vec<New>,
    /// Words with another note or another end; each replaces the one that is there.
    pub changed: Vec<New>,
    /// Words of the list that the file lacks, with their ids.
    pub lacking: Vec<(String, String)>,
    /// Words that stay as they are.
    pub same: usize,
    /// Words that wait to be approved already; they are left alone.
    pub waiting: usize,
}

impl Difference {
    /// Compares.
    #[must_use]
    pub fn of(words: &[Word], file: Vec<New>) -> Self {
        let by_text = |stands: fn(Standing) -> bool| -> BTreeMap<&str, &Word> {
            let words = words.iter().filter(|word| stands(word.standing));
            words.filter_map(|word| Some((word.word.as_deref()?, word))).collect()
        };
        let (standing, proposed) = (by_text(Standing::belongs), by_text(|standing| standing == Standing::Proposed));
        let mut difference = Self::default();
        let mut seen = BTreeSet::new();
        for new in file {
            seen.insert(new.word.clone());
            match standing.get(new.word.as_str()) {
                _ if proposed.contains_key(new.word.as_str()) => difference.waiting += 1,
                None => difference.added.push(new),
                Some(word) if word.note == new.note && word.expires_ms == new.expires_ms => difference.same += 1,
                Some(word) => difference.changed.push(New { replaces: Some(word.id.clone()), ..new }),
            }
        }
        let lacking = standing.values().filter(|word| word.standing == Standing::Approved);
        let lacking = lacking.filter_map(|word| Some((word.id.clone(), word.word.clone()?)));
        difference.lacking = lacking.filter(|(_, text)| !seen.contains(text)).collect();
        difference
    }

    /// What proposes it; words the file lacks go only where `is_whole`: the file is the whole list.
    #[must_use]
    pub fn step(&self, is_whole: bool) -> Step {
        let add = self.added.iter().chain(&self.changed).cloned().collect();
        let withdraw = self.lacking.iter().filter(|_| is_whole).map(|(id, _)| id.clone()).collect();
        Step::Change { add, withdraw }
    }

    /// Whether nothing would be proposed.
    #[must_use]
    pub fn is_empty(&self, is_whole: bool) -> bool {
        self.added.is_empty() && self.changed.is_empty() && (self.lacking.is_empty() || !is_whole)
    }
}
