//! The `window:` of a rule.

use std::sync::Arc;

use super::{Fields, Reader};
use crate::calendar::Calendar;
use crate::hint::did_you_mean;
use crate::identity::{Parts, RuleDigest};
use crate::rules::{self, Selection};
use crate::windows::{By, Distinct, Kind, Window};
use crate::yaml::{Node, Yaml};

/// A threshold beyond this many messages or values says no more, and costs memory for each.
const AT_LEAST_MAX: i64 = 500;
/// The highest sum, in yuan.
const YUAN_MAX: i64 = 100_000_000;
/// The longest window; contributions of two of them must lie within the horizon.
const WITHIN_MAX_MS: i64 = 7 * DAY_MS;
/// The longest in which a word is broken over messages: their texts are kept meanwhile.
const JOIN_MAX_MS: i64 = 10 * 60 * 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

const KINDS: [&str; 6] = ["count", "distinct", "sum", "all", "join", "reply"];
const BY: [(&str, By); 4] = [("from", By::From), ("to", By::To), ("room", By::Room), ("chat", By::Chat)];
const DISTINCT: [(&str, Distinct); 4] =
    [("to", Distinct::To), ("room", Distinct::Room), ("file", Distinct::File), ("word", Distinct::Word)];
/// Parts of a rule that decide whether it holds. The others may change without its windows starting afresh.
const DECIDING: [&str; 3] = ["scope", "detection", "window"];

impl Reader<'_> {
    /// Reads the window of a rule with these selections.
    pub(super) fn window(&mut self, node: &Node, selections: &[Selection]) -> Option<Window> {
        let Yaml::Map(entries) = &node.value else {
            self.wrong(node.at, "`window` must be a mapping, like `{ count: 20, within: 10m, by: [from] }`");
            return None;
        };
        let kinds: Vec<&str> =
            entries.iter().map(|(key, _)| key.name.as_str()).filter(|key| KINDS.contains(key)).collect();
        let [kind] = kinds.as_slice() else {
            let said = if kinds.is_empty() { "says not".to_owned() } else { format!("says with {}", kinds.join(", ")) };
            self.wrong(
                node.at,
                format!("the window {said} what it measures; give exactly one of: {}", KINDS.join(", ")),
            );
            return None;
        };
        let fields = self.fields(node, "the window", keys_of(kind))?;
        let measured = fields.get(kind)?;
        match *kind {
            "count" => {
                let at_least = self.number(measured, "`count`", 2, AT_LEAST_MAX);
                self.burst(&fields, at_least.map(|at_least| Kind::Count { at_least }))
            }
            "distinct" => {
                let what = self.choice(measured, "`distinct`", &DISTINCT);
                let at_least = self.threshold(&fields, 2, AT_LEAST_MAX);
                self.burst(&fields, what.zip(at_least).map(|(what, at_least)| Kind::Distinct { what, at_least }))
            }
            "sum" => {
                let what = self.choice(measured, "`sum`", &[("amount", ())]);
                let yuan = self.threshold(&fields, 1, YUAN_MAX);
                self.burst(&fields, what.zip(yuan).map(|((), yuan)| Kind::Sum { at_least: yuan * 100 }))
            }
            "all" => {
                let all = self.all_of(measured, selections);
                self.burst(&fields, all.map(Kind::All))
            }
            "join" => self.join(&fields, measured, selections),
            _ => self.reply(&fields, measured, selections),
        }
    }

    /// The selections a window names, so that they count as used.
    pub(super) fn named_by_window(node: Option<&Node>) -> Vec<String> {
        let Some(Node { value: Yaml::Map(entries), .. }) = node else { return Vec::new() };
        let text = |node: &Node| if let Yaml::Text(text) = &node.value { Some(text.clone()) } else { None };
        let named = entries.iter().filter(|(key, _)| matches!(key.name.as_str(), "all" | "closing"));
        named
            .flat_map(|(_, value)| match &value.value {
                Yaml::List(items) => items.iter().filter_map(text).collect(),
                _ => text(value).into_iter().collect::<Vec<_>>(),
            })
            .collect()
    }

    fn burst(&mut self, fields: &Fields<'_>, kind: Option<Kind>) -> Option<Window> {
        let within = self.required(fields, "within", "the window");
        let within_ms = within.and_then(|node| self.span(node, "`within`", WITHIN_MAX_MS));
        let by = match fields.get("by") {
            None => Some(vec![By::From]),
            Some(node) => self.by(node),
        };
        let (kind, by) = (kind?, by?);
        if matches!(kind, Kind::Distinct { what: Distinct::To, .. }) && by.contains(&By::To) {
            let at = fields.get("by").map_or(fields.at, |node| node.at);
            self.wrong(at, "each receiver has one receiver: `distinct: to` cannot be grouped `by: to`");
            return None;
        }
        Some(Window { kind, within_ms: within_ms?, by })
    }

    fn by(&mut self, node: &Node) -> Option<Vec<By>> {
        let items = match &node.value {
            Yaml::List(_) => self.list(node, "`by`")?,
            _ => std::slice::from_ref(node),
        };
        let by: Option<Vec<By>> = items.iter().map(|item| self.choice(item, "`by`", &BY)).collect();
        let mut by = by?;
        // Groups are named by what stands here, in whatever order.
        by.sort_unstable();
        by.dedup();
        Some(by)
    }

    fn join(&mut self, fields: &Fields<'_>, measured: &Node, selections: &[Selection]) -> Option<Window> {
        if let Some(fact) = selections.iter().find(|selection| !selection.has_places()) {
            self.wrong(
                measured.at,
                format!("`join` reads several messages as one text, which has no `{}`; say it in `scope`", fact.name),
            );
        }
        if !matches!(measured.value, Yaml::Bool(true)) {
            self.wrong(measured.at, "write `join: true`, or leave the window out");
        }
        let within = self.required(fields, "within", "the window");
        let within_ms = within.and_then(|node| self.span(node, "`within`", JOIN_MAX_MS))?;
        Some(Window { kind: Kind::Join, within_ms, by: vec![By::From, By::Chat] })
    }

    fn reply(&mut self, fields: &Fields<'_>, measured: &Node, selections: &[Selection]) -> Option<Window> {
        let within_ms = self.span(measured, "`reply`", DAY_MS);
        let calendar = match fields.get("calendar") {
            None => Some(None),
            Some(node) => self.work_calendar(node).map(Some),
        };
        let closing = match fields.get("closing") {
            None => Some(None),
            Some(node) => self.closing(node, selections).map(Some),
        };
        let kind = Kind::Reply { calendar: calendar?, closing: closing? };
        Some(Window { kind, within_ms: within_ms?, by: vec![By::Chat] })
    }

    fn closing(&mut self, node: &Node, selections: &[Selection]) -> Option<usize> {
        let number = self.selection_number(node, "`closing`", selections)?;
        let selection = selections.get(number)?;
        if !matches!(selection.kind, rules::Kind::Words(_)) {
            self.wrong(node.at, format!("`closing` must name a list of words, which `{}` is not", selection.name));
            return None;
        }
        Some(number)
    }

    fn work_calendar(&mut self, node: &Node) -> Option<Arc<Calendar>> {
        let name = self.text(node, "`calendar`")?;
        let calendar = self.calendars.get(name).cloned().or_else(|| Calendar::builtin(name).map(Arc::new));
        if calendar.is_none() {
            let names: Vec<&str> = self.calendars.keys().map(|name| &**name).chain(["cn"]).collect();
            let hint = did_you_mean(name, &names);
            self.wrong(node.at, format!("there is no calendar `{name}`{hint} (one of: {})", names.join(", ")));
        }
        calendar
    }

    fn all_of(&mut self, node: &Node, selections: &[Selection]) -> Option<Vec<usize>> {
        let items = self.list(node, "`all`")?;
        let numbers: Option<Vec<usize>> =
            items.iter().map(|item| self.selection_number(item, "`all`", selections)).collect();
        let mut numbers = numbers?;
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.len() < 2 {
            self.wrong(node.at, "`all` must name at least two selections, each for some message");
            return None;
        }
        Some(numbers)
    }

    fn selection_number(&mut self, node: &Node, what: &str, selections: &[Selection]) -> Option<usize> {
        let name = self.text(node, what)?;
        let found = selections.iter().position(|selection| &*selection.name == name);
        if found.is_none() {
            let names: Vec<&str> = selections.iter().map(|selection| &*selection.name).collect();
            self.wrong(node.at, format!("{what}: there is no selection `{name}`{}", did_you_mean(name, &names)));
        }
        found
    }

    fn threshold(&mut self, fields: &Fields<'_>, min: i64, max: i64) -> Option<i64> {
        let node = self.required(fields, "at_least", "the window")?;
        self.number(node, "`at_least`", min, max)
    }

    /// `90s`, `10m`, `1h`, `2d`, in milliseconds.
    fn span(&mut self, node: &Node, what: &str, max_ms: i64) -> Option<i64> {
        let read = |text: &str| {
            let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
            let unit_ms = match unit {
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => DAY_MS,
                _ => return None,
            };
            let number: u32 = number.parse().ok()?;
            Some(i64::from(number) * unit_ms).filter(|ms| (1_000..=max_ms).contains(ms))
        };
        let span = if let Yaml::Text(text) = &node.value { read(text) } else { None };
        if span.is_none() {
            let longest =
                if max_ms >= DAY_MS { format!("{}d", max_ms / DAY_MS) } else { format!("{}m", max_ms / 60_000) };
            self.wrong(
                node.at,
                format!("{what} must be a number and a unit, like `90s`, `10m`, `1h`, at most `{longest}`"),
            );
        }
        span
    }

    /// Digest of what decides whether a rule holds, with the files it names there.
    pub(super) fn rule_digest(&self, pack: &str, id: &str, rule: &Node) -> RuleDigest {
        let mut parts = Parts::new("watchpost/rule").str(pack).str(id);
        // A pack has few calendars, and whoever changes one means all rules that may use it.
        for (name, calendar) in &self.calendars {
            parts = parts.str(name).str(&format!("{calendar:?}"));
        }
        if let Yaml::Map(entries) = &rule.value {
            for (key, value) in entries.iter().filter(|(key, _)| DECIDING.contains(&key.name.as_str())) {
                parts = self.tree(parts.str(&key.name), value);
            }
        }
        RuleDigest(parts.sha256())
    }

    fn tree(&self, parts: Parts, node: &Node) -> Parts {
        match &node.value {
            Yaml::Text(text) => {
                let file = self.files.get(text).map(Vec::as_slice).unwrap_or_default();
                parts.str("text").str(text).bytes(file)
            }
            Yaml::List(items) => {
                let parts = parts.str("list").bytes(&(items.len() as u64).to_be_bytes());
                items.iter().fold(parts, |parts, item| self.tree(parts, item))
            }
            Yaml::Map(entries) => {
                let parts = parts.str("map").bytes(&(entries.len() as u64).to_be_bytes());
                entries.iter().fold(parts, |parts, (key, value)| self.tree(parts.str(&key.name), value))
            }
            scalar => parts.str("scalar").str(&format!("{scalar:?}")),
        }
    }
}

fn keys_of(kind: &str) -> &'static [&'static str] {
    match kind {
        "count" => &["count", "within", "by"],
        "distinct" => &["distinct", "at_least", "within", "by"],
        "sum" => &["sum", "at_least", "within", "by"],
        "all" => &["all", "within", "by"],
        "join" => &["join", "within"],
        _ => &["reply", "calendar", "closing"],
    }
}

#[cfg(test)]
mod tests;
