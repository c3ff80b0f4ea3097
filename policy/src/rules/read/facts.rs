//! Selections that hold or not, without a place.

use std::sync::Arc;

use super::scope::CHATS;
use super::{Fields, Reader};
use crate::calendar::Calendar;
use crate::hint::did_you_mean;
use crate::rules::{Bounds, CalendarOf, Fact, FileFact, HostFact, TimeFact, When};
use crate::yaml::{Node, Place, Yaml};

/// Extensions or hosts in one selection.
const LIST_MAX: usize = 10_000;

/// Names of times.
const TIMES: [(&str, When); 4] = [
    ("work_hours", When::WorkHours),
    ("off_hours", When::OffHours),
    ("holiday", When::Holiday),
    ("work_day", When::WorkDay),
];

impl Reader<'_> {
    pub(super) fn file_fact(&mut self, node: &Node) -> Option<Fact> {
        let fields = self.fields(node, "`file`", &["ext", "size_min", "size_max"])?;
        let ext = fields.get("ext").map_or(Vec::new(), |node| self.texts(node, "an extension"));
        let min = self.optional(&fields, "size_min", None, |this, node| this.size(node, "`size_min`").map(Some));
        let max = self.optional(&fields, "size_max", None, |this, node| this.size(node, "`size_max`").map(Some));
        let size = Bounds { min: min?, max: max? };
        self.bounds_in_order(size, node);
        let ext = ext.into_iter().map(|(text, at)| self.extension(text, at)).collect();
        Some(Fact::File(FileFact { ext, size }))
    }

    /// Files go by what stands behind the last dot of their names.
    fn extension(&mut self, text: &str, at: Place) -> Box<str> {
        let ext = text.trim().trim_start_matches('.').to_lowercase();
        if let Some((_, last)) = ext.rsplit_once('.') {
            self.wrong(
                at,
                format!("`ext`: only what stands behind the last dot counts; write `{last}` instead of `{text}`"),
            );
        }
        ext.into_boxed_str()
    }

    pub(super) fn amount_fact(&mut self, node: &Node) -> Option<Fact> {
        let fields = self.fields(node, "`amount`", &["min", "max"])?;
        let min = self.optional(&fields, "min", None, |this, node| this.yuan(node, "`min`").map(Some));
        let max = self.optional(&fields, "max", None, |this, node| this.yuan(node, "`max`").map(Some));
        let bounds = Bounds { min: min?, max: max? };
        self.bounds_in_order(bounds, node);
        if bounds.is_open() {
            self.wrong(node.at, "`amount` bounds nothing; add `min` or `max` in yuan");
            return None;
        }
        Some(Fact::Amount(bounds))
    }

    fn bounds_in_order(&mut self, bounds: Bounds, node: &Node) {
        if let (Some(min), Some(max)) = (bounds.min, bounds.max)
            && min > max
        {
            self.wrong(node.at, "the least is more than the most, so nothing lies between; swap them");
        }
    }

    pub(super) fn host_fact(&mut self, fields: &Fields<'_>) -> Option<Fact> {
        let host = fields.get("host").map_or(Vec::new(), |node| self.hosts(node, "`host`"));
        let not_host = fields.get("not_host").map_or(Vec::new(), |node| self.hosts(node, "`not_host`"));
        Some(Fact::Host(HostFact { host, not_host }))
    }

    pub(super) fn hosts(&mut self, node: &Node, what: &str) -> Vec<Box<str>> {
        let texts = self.texts(node, what);
        if texts.len() > LIST_MAX {
            self.wrong(node.at, format!("{what} has more than {LIST_MAX} entries; shorten it"));
        }
        let mut hosts = Vec::with_capacity(texts.len());
        for (text, at) in texts {
            let host = text.trim().trim_start_matches("*.").to_lowercase();
            if host.contains(['/', ':', '*', ' ', '@']) || !host.contains('.') {
                self.wrong(at, format!("{what}: `{text}` must be a bare host name, like `example.com`"));
            }
            hosts.push(host.into_boxed_str());
        }
        hosts
    }

    pub(super) fn type_fact(&mut self, node: &Node) -> Option<Fact> {
        let types = self.types(node);
        (!types.is_empty()).then(|| Fact::Type(types.into_iter().map(String::into_boxed_str).collect()))
    }

    pub(super) fn chat_fact(&mut self, node: &Node) -> Option<Fact> {
        self.choice(node, "`chat`", &CHATS).map(Fact::Chat)
    }

    pub(super) fn side_fact(&mut self, node: &Node) -> Option<Fact> {
        let sides = self.sides(node, "`side`");
        (!sides.is_empty()).then_some(Fact::Side(sides))
    }

    pub(super) fn time_fact(&mut self, node: &Node, fields: &Fields<'_>) -> Option<Fact> {
        let when = match &node.value {
            Yaml::Map(_) => self.between(node),
            _ => self.choice(node, "`time`", &TIMES),
        };
        let calendar = match fields.get("calendar") {
            Some(node) => self.calendar_of(node),
            None => Some(CalendarOf::Named(self.calendar("cn")?)),
        };
        Some(Fact::Time(TimeFact { when: when?, calendar: calendar? }))
    }

    fn between(&mut self, node: &Node) -> Option<When> {
        let fields = self.fields(node, "`time`", &["from", "to"])?;
        let from = self.required(&fields, "from", "`time`").and_then(|node| self.minute(node, "`from`"));
        let to = self.required(&fields, "to", "`time`").and_then(|node| self.minute(node, "`to`"));
        let (from, to) = (from?, to?);
        if from == to {
            self.wrong(node.at, "`from` and `to` are the same, so no time lies between; change one");
            return None;
        }
        Some(When::Between(from, to))
    }

    /// A calendar of the pack, a built-in one, or the account's own.
    pub(super) fn calendar_of(&mut self, node: &Node) -> Option<CalendarOf> {
        let name = self.text(node, "`calendar`")?;
        if name == "account" {
            return Some(CalendarOf::Account(Arc::new(Calendar::cn())));
        }
        let found = self.calendar(name);
        if found.is_none() {
            let own: Vec<String> = self.calendars.keys().map(ToString::to_string).collect();
            let mut names: Vec<&str> = own.iter().map(String::as_str).collect();
            names.extend(["cn", "account"]);
            let hint = did_you_mean(name, &names);
            self.wrong(
                node.at,
                format!("there is no calendar `{name}`{hint}; write it under `calendars:` of the pack, or take `cn` or `account`"),
            );
        }
        found.map(CalendarOf::Named)
    }

    fn calendar(&self, name: &str) -> Option<Arc<Calendar>> {
        self.calendars.get(name).cloned().or_else(|| Calendar::builtin(name).map(Arc::new))
    }
}
