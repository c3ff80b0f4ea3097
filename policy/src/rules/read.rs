//! From the loose YAML tree to a checked pack.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Mistake, Order, PACK_BYTES_MAX, Pack, Rule, Selection, digest};
use crate::calendar::Calendar;
use crate::yaml::{self, Node, Place, Yaml};

mod basics;
mod calendars;
mod detection;
mod facts;
mod filter;
mod rule;
mod rule_tests;
mod scope;
mod selection;
mod window;
mod words;

pub(crate) use basics::is_id;
pub(crate) use filter::filter;

/// Bytes of an id (pack, rule, category, selection): a record with all of them stays small.
const ID_BYTES_MAX: usize = 64;
/// Characters of a title.
const TITLE_CHARS_MAX: usize = 200;
/// Widest `within`; a message of usual length is shorter.
const WITHIN_MAX: i64 = 1_000;
/// Rules of a pack.
const RULES_MAX: usize = 1_000;
/// Selections of a rule.
const SELECTIONS_MAX: usize = 64;

/// Reads and checks a pack.
pub(super) fn pack(name: &str, bytes: &[u8], files: &BTreeMap<String, Vec<u8>>) -> Result<Pack, Vec<Mistake>> {
    let mut reader = Reader::new(name, files);
    let pack = reader.root(bytes).and_then(|root| reader.pack(&root, bytes));
    reader.finish(pack)
}

/// Reads a calendar that stands alone.
pub(super) fn calendar(text: &str) -> Result<Calendar, Vec<Mistake>> {
    let files = BTreeMap::new();
    let mut reader = Reader::new("", &files);
    let calendar = reader.calendar_file(text, "the calendar");
    reader.finish(calendar)
}

/// Collects every file in the tree that lies below the pack's folder; the others are refused later and must not be opened.
pub(super) fn collect_files(node: &Node, names: &mut BTreeSet<String>) {
    match &node.value {
        Yaml::List(items) => items.iter().for_each(|item| collect_files(item, names)),
        Yaml::Map(map) => {
            for (key, value) in map {
                match &value.value {
                    Yaml::Text(name) if FILE_KEYS.contains(&key.name.as_str()) => {
                        names.extend(is_inside(name).then(|| name.clone()));
                    }
                    _ => collect_files(value, names),
                }
            }
        }
        _ => {}
    }
}

/// Keys whose text is the name of a file.
const FILE_KEYS: [&str; 3] = ["words_file", "except_file", "file"];

/// Reads one document and the files beside it, and notes every mistake.
struct Reader<'a> {
    file: &'a str,
    files: &'a BTreeMap<String, Vec<u8>>,
    /// Files the pack names.
    used: BTreeMap<&'a str, &'a [u8]>,
    words: usize,
    /// The pack's own calendars.
    calendars: BTreeMap<Arc<str>, Arc<Calendar>>,
    mistakes: Vec<Mistake>,
}

/// The entries of a mapping by key.
struct Fields<'n> {
    at: Place,
    map: BTreeMap<&'n str, &'n Node>,
}

impl<'n> Fields<'n> {
    fn get(&self, key: &str) -> Option<&'n Node> {
        self.map.get(key).copied()
    }
}

/// A selection whose nearness still goes by name.
struct Draft<'n> {
    selection: Selection,
    near: Option<DraftNear<'n>>,
    at: Place,
}

/// Nearness to a selection by its name.
struct DraftNear<'n> {
    name: &'n str,
    at: Place,
    within: u32,
    order: Order,
}

impl<'a> Reader<'a> {
    fn new(file: &'a str, files: &'a BTreeMap<String, Vec<u8>>) -> Self {
        Self { file, files, used: BTreeMap::new(), words: 0, calendars: BTreeMap::new(), mistakes: Vec::new() }
    }

    /// The document, or all mistakes in order.
    fn finish<T>(self, document: Option<T>) -> Result<T, Vec<Mistake>> {
        let mut mistakes = self.mistakes;
        mistakes.sort();
        mistakes.dedup();
        match document {
            Some(document) if mistakes.is_empty() => Ok(document),
            _ => Err(mistakes),
        }
    }

    fn root(&mut self, bytes: &[u8]) -> Option<Node> {
        if bytes.len() > PACK_BYTES_MAX {
            self.wrong(Place::default(), "the pack is larger than 4 MiB; move words into a words_file or split it");
            return None;
        }
        match yaml::read(bytes) {
            Ok(root) => Some(root),
            Err((at, text)) => {
                self.wrong(at, text);
                None
            }
        }
    }

    fn pack(&mut self, root: &Node, bytes: &[u8]) -> Option<Pack> {
        let fields = self.fields(root, "the pack", &["pack", "version", "title", "calendars", "rules"])?;
        let id = self.required(&fields, "pack", "the pack").and_then(|node| self.id(node, "the pack id"));
        let version = self.required(&fields, "version", "the pack");
        let version = version.and_then(|node| self.number(node, "`version`", 1, i64::from(u32::MAX)));
        let title = self.required(&fields, "title", "the pack").and_then(|node| self.title(node, "the pack"));
        if let Some(node) = fields.get("calendars") {
            self.calendars(node);
        }
        let rules =
            self.required(&fields, "rules", "the pack").map(|node| self.rules(node, id.as_deref().unwrap_or_default()));
        let digest = digest(bytes, &self.used);
        let calendars = std::mem::take(&mut self.calendars);
        Some(Pack { id: id?, version: u64::try_from(version?).ok()?, title: title?, rules: rules?, calendars, digest })
    }

    fn rules(&mut self, node: &Node, pack: &str) -> Vec<Rule> {
        let items = self.list(node, "`rules`").unwrap_or_default();
        if items.len() > RULES_MAX {
            self.wrong(node.at, format!("the pack has more than {RULES_MAX} rules; split it"));
        }
        let mut ids = BTreeMap::new();
        let mut rules = Vec::new();
        for item in items.iter().take(RULES_MAX) {
            let Some(rule) = self.rule(item, pack) else { continue };
            if let Some(line) = ids.insert(rule.id.clone(), rule.line) {
                self.wrong(
                    item.at,
                    format!("the rule id `{}` is taken by the rule in line {line}; give this one another", rule.id),
                );
            }
            rules.push(rule);
        }
        rules
    }
}

/// Whether a name is a relative path that stays below its folder, on every system.
pub(crate) fn is_inside(name: &str) -> bool {
    !name.contains(['\\', ':', '\0']) && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests;
