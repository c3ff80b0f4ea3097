//! A filter: its own document beside packs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rule::STATUSES;
use super::{Fields, Reader, TITLE_CHARS_MAX};
use crate::calendar::Day;
use crate::filters::{Except, Filter, Set};
use crate::identity::{FilterDigest, Parts};
use crate::message::lower;
use crate::normalise::Normalisation;
use crate::rules::{Level, Mistake, Words};
use crate::yaml::{Node, Yaml};

/// Entries of one list of a filter.
const ENTRIES_MAX: usize = 10_000;

const FILTER_KEYS: [&str; 8] = ["filter", "pack", "rules", "owner", "reason", "expires", "except", "set"];

/// Reads and checks a filter.
pub(crate) fn filter(name: &str, bytes: &[u8]) -> Result<Filter, Vec<Mistake>> {
    let files = BTreeMap::new();
    let mut reader = Reader::new(name, &files);
    let filter = reader.root(bytes).and_then(|root| reader.filter(&root, bytes));
    reader.finish(filter)
}

impl Reader<'_> {
    fn filter(&mut self, root: &Node, bytes: &[u8]) -> Option<Filter> {
        let fields = self.fields(root, "the filter", &FILTER_KEYS)?;
        let id = self.required(&fields, "filter", "the filter").and_then(|node| self.id(node, "the filter id"));
        let pack = self.required(&fields, "pack", "the filter").and_then(|node| self.id(node, "the pack id"));
        let rules = self.required(&fields, "rules", "the filter").and_then(|node| self.rules_of_filter(node));
        let owner = self.required(&fields, "owner", "the filter").and_then(|node| self.line(node, "`owner`"));
        let reason = self.required(&fields, "reason", "the filter").and_then(|node| self.line(node, "`reason`"));
        let expires = self.required(&fields, "expires", "the filter").and_then(|node| self.day(node, "`expires`"));
        let except = self.optional(&fields, "except", None, |this, node| this.except(node).map(Some));
        let set = self.optional(&fields, "set", Set::default(), Self::set);
        if fields.get("except").is_none() && fields.get("set").is_none() {
            self.wrong(root.at, "the filter changes nothing; add `except` or `set`");
        }
        Some(Filter {
            id: id?,
            pack: pack?,
            rules: rules?,
            owner: owner?,
            reason: reason?,
            expires: expires?,
            except: except?,
            set: set?,
            file: self.file.to_owned(),
            digest: FilterDigest(Parts::new("watchpost/filter").bytes(bytes).sha256()),
        })
    }

    /// `all`, or a list of ids. The outer `None` is a mistake.
    fn rules_of_filter(&mut self, node: &Node) -> Option<Option<Vec<Arc<str>>>> {
        if matches!(&node.value, Yaml::Text(text) if text == "all") {
            return Some(None);
        }
        let items = self.list(node, "`rules` (or `all`)")?;
        let ids: Vec<_> = items.iter().map(|item| self.id(item, "the rule id")).collect();
        ids.into_iter().collect::<Option<Vec<_>>>().map(Some)
    }

    fn line(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.text(node, what)?.trim();
        if text.chars().count() > TITLE_CHARS_MAX {
            self.wrong(node.at, format!("{what} is longer than {TITLE_CHARS_MAX} characters; shorten it"));
        }
        Some(text.to_owned())
    }

    fn day(&mut self, node: &Node, what: &str) -> Option<Day> {
        let day = if let Yaml::Text(text) = &node.value { Day::parse(text.trim()) } else { None };
        if day.is_none() {
            self.wrong(node.at, format!("{what} must be a day, like `2027-03-31`"));
        }
        day
    }

    fn except(&mut self, node: &Node) -> Option<Except> {
        let fields = self.fields(node, "`except`", &["labels", "from", "words", "hosts", "rooms"])?;
        if fields.map.is_empty() {
            self.wrong(
                node.at,
                "`except` is empty and would leave out everything; name labels, senders, words, hosts or rooms",
            );
            return None;
        }
        let folding = (Normalisation::default(), Words::allow_options());
        Some(Except {
            labels: self.entries(&fields, "labels"),
            from: self.entries(&fields, "from").iter().map(|id| lower(id).into_owned()).collect(),
            hosts: fields.get("hosts").map_or(Vec::new(), |node| self.hosts(node, "`hosts`")),
            rooms: self.entries(&fields, "rooms"),
            words: fields.get("words").map_or(Vec::new(), |node| self.words(node, "`words`", folding)),
        })
    }

    fn entries(&mut self, fields: &Fields<'_>, key: &str) -> Vec<String> {
        let Some(node) = fields.get(key) else { return Vec::new() };
        let texts = self.texts(node, &format!("`{key}`"));
        if texts.len() > ENTRIES_MAX {
            self.wrong(node.at, format!("`{key}` has more than {ENTRIES_MAX} entries; split the filter"));
        }
        texts.into_iter().map(|(text, _)| text.trim().to_owned()).collect()
    }

    fn set(&mut self, node: &Node) -> Option<Set> {
        let fields = self.fields(node, "`set`", &["level", "status", "disable"])?;
        let levels = Level::ALL.map(|level| (level.as_str(), level));
        let level =
            self.optional(&fields, "level", None, |this, node| this.choice(node, "the level", &levels).map(Some));
        let status =
            self.optional(&fields, "status", None, |this, node| this.choice(node, "the status", &STATUSES).map(Some));
        let disable = self.optional(&fields, "disable", false, |this, node| this.flag(node, "`disable`"));
        let set = Set { level: level?, status: status?, disable: disable? };
        if set == Set::default() {
            self.wrong(node.at, "`set` changes nothing; add `level`, `status` or `disable: true`");
        }
        Some(set)
    }
}
