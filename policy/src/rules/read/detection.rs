//! The detection of a rule: its selections, and the condition over them.

use super::{Draft, ID_BYTES_MAX, Reader, SELECTIONS_MAX};
use crate::condition::{self, Condition};
use crate::hint::did_you_mean;
use crate::rules::{Near, Selection};
use crate::yaml::{Node, Place, Yaml};

/// Words of the language of conditions.
const CONDITION_WORDS: [&str; 12] =
    ["and", "or", "not", "of", "all", "any", "them", "near", "before", "after", "within", "condition"];

impl Reader<'_> {
    pub(super) fn detection(&mut self, node: &Node, window: Option<&Node>) -> Option<(Vec<Selection>, Condition)> {
        let fields = self.fields(node, "`detection`", &[])?;
        let condition = self.required(&fields, "condition", "`detection`");
        let Yaml::Map(entries) = &node.value else { return None };
        let mut drafts: Vec<Draft<'_>> = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for (key, value) in entries.iter().filter(|(key, _)| key.name != "condition") {
            names.push(&key.name);
            self.selection_name(&key.name, key.at);
            drafts.extend(self.selection(&key.name, key.at, value));
        }
        if names.len() > SELECTIONS_MAX {
            self.wrong(node.at, format!("the rule has more than {SELECTIONS_MAX} selections; split it"));
            return None;
        }
        let condition = self.condition(condition?, &names);
        self.unknown_nears(&drafts, &names);
        if drafts.len() != names.len() {
            return None;
        }
        let condition = condition?;
        let selections = self.resolve(drafts, &names, &condition, &Self::named_by_window(window))?;
        Some((selections, condition))
    }

    fn selection_name(&mut self, name: &str, at: Place) {
        let good = name.len() <= ID_BYTES_MAX
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
        if CONDITION_WORDS.contains(&name) {
            self.wrong(at, format!("`{name}` is a word of conditions; name the selection otherwise"));
        } else if !good {
            self.wrong(at, format!("the selection name `{name}` must begin with a letter and have only a-z 0-9 _ -"));
        }
    }

    fn condition(&mut self, node: &Node, names: &[&str]) -> Option<Condition> {
        let text = self.text(node, "the condition")?;
        match condition::parse(text, names) {
            Ok(condition) if condition.eval(&|_, _| false) => {
                self.wrong(
                    node.at,
                    "the condition holds for a message without a single hit; name a selection that must hit",
                );
                None
            }
            Ok(condition) => Some(condition),
            Err(text) => {
                self.wrong(node.at, text);
                None
            }
        }
    }

    fn unknown_nears(&mut self, drafts: &[Draft<'_>], names: &[&str]) {
        for draft in drafts {
            let Some(near) = &draft.near else { continue };
            let (name, own) = (near.name, &*draft.selection.name);
            let placeless = |other: &Draft<'_>| &*other.selection.name == name && !other.selection.has_places();
            if name == own {
                self.wrong(near.at, format!("the selection `{name}` cannot be near itself; name another one"));
            } else if !names.contains(&name) {
                self.wrong(near.at, format!("`near`: there is no selection `{name}`{}", did_you_mean(name, names)));
            } else if drafts.iter().any(placeless) {
                self.wrong(
                    near.at,
                    format!("`{name}` has no place in the text, so nothing can be near it; join them by `and` instead"),
                );
            }
        }
    }

    /// Turns names into numbers, and refuses circles and selections nobody uses.
    fn resolve(
        &mut self,
        drafts: Vec<Draft<'_>>,
        names: &[&str],
        condition: &Condition,
        named_by_window: &[String],
    ) -> Option<Vec<Selection>> {
        let number = |near: &str| names.iter().position(|name| *name == near);
        let nears: Vec<Option<usize>> =
            drafts.iter().map(|draft| draft.near.as_ref().and_then(|near| number(near.name))).collect();
        let mut used = condition.selections(false);
        used.extend(condition.selections(true));
        used.extend(named_by_window.iter().filter_map(|name| number(name)));
        let mut good = true;
        for (index, draft) in drafts.iter().enumerate() {
            if is_circular(index, &nears) {
                self.wrong(
                    draft.at,
                    format!("the selection `{}` is near itself through others; break the circle", draft.selection.name),
                );
                good = false;
            } else if !used.contains(&index) && !nears.contains(&Some(index)) {
                self.wrong(
                    draft.at,
                    format!(
                        "the selection `{}` is never used; name it in the condition or remove it",
                        draft.selection.name
                    ),
                );
                good = false;
            }
        }
        let selections = drafts.into_iter().zip(nears).map(|(draft, target)| {
            let near = target.zip(draft.near);
            let near = near.map(|(selection, near)| Near { selection, within: near.within, order: near.order });
            Selection { near, ..draft.selection }
        });
        good.then(|| selections.collect())
    }
}

fn is_circular(start: usize, nears: &[Option<usize>]) -> bool {
    let mut at = start;
    for _ in 0..nears.len() {
        match nears.get(at).copied().flatten() {
            Some(next) => at = next,
            None => return false,
        }
    }
    true
}
