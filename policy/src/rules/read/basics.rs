//! The generic pieces every mapping of a document is read with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Fields, ID_BYTES_MAX, Reader};
use crate::hint::did_you_mean;
use crate::rules::Mistake;
use crate::yaml::{Node, Place, Yaml};

impl<'a> Reader<'a> {
    pub(super) fn wrong(&mut self, at: Place, text: impl Into<String>) {
        self.wrong_in(self.file, at, text);
    }

    pub(super) fn wrong_in(&mut self, file: &str, at: Place, text: impl Into<String>) {
        self.mistakes.push(Mistake { file: file.to_owned(), line: at.line, column: at.column, text: text.into() });
    }

    /// A mapping with known keys only; with none known, any key goes.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<Fields<'n>> {
        let Yaml::Map(entries) = &node.value else {
            self.wrong(node.at, format!("{what} must be a mapping (`key: value`), not {}", node.value.kind()));
            return None;
        };
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            let name = key.name.as_str();
            if !known.is_empty() && !known.contains(&name) {
                let hint = did_you_mean(name, known);
                let hint = if hint.is_empty() { format!("; known are: {}", known.join(", ")) } else { hint };
                self.wrong(key.at, format!("{what} has no key `{name}`{hint}"));
            } else if map.insert(name, value).is_some() {
                self.wrong(key.at, format!("`{name}` stands twice in {what}; remove one"));
            }
        }
        Some(Fields { at: node.at, map })
    }

    pub(super) fn required<'n>(&mut self, fields: &Fields<'n>, key: &str, what: &str) -> Option<&'n Node> {
        let node = fields.get(key);
        if node.is_none() {
            self.wrong(fields.at, format!("{what} has no `{key}`; add it"));
        }
        node
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Yaml::Text(text) if !text.trim().is_empty() => Some(text),
            Yaml::Text(_) | Yaml::Null => {
                self.wrong(node.at, format!("{what} is empty; write a text"));
                None
            }
            Yaml::Bool(_) | Yaml::Int(_) | Yaml::Number(_) => {
                self.wrong(node.at, format!("{what} must be a text; put it in quotes"));
                None
            }
            other => {
                self.wrong(node.at, format!("{what} must be a text, not {}", other.kind()));
                None
            }
        }
    }

    pub(super) fn number(&mut self, node: &Node, what: &str, min: i64, max: i64) -> Option<i64> {
        match node.value {
            Yaml::Int(number) if (min..=max).contains(&number) => Some(number),
            _ => {
                self.wrong(node.at, format!("{what} must be a whole number from {min} to {max}"));
                None
            }
        }
    }

    pub(super) fn flag(&mut self, node: &Node, what: &str) -> Option<bool> {
        match node.value {
            Yaml::Bool(flag) => Some(flag),
            _ => {
                self.wrong(node.at, format!("{what} must be `true` or `false`"));
                None
            }
        }
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        match &node.value {
            Yaml::List(items) if !items.is_empty() => Some(items),
            Yaml::List(_) => {
                self.wrong(node.at, format!("{what} is an empty list; fill it or remove it"));
                None
            }
            other => {
                self.wrong(node.at, format!("{what} must be a list, not {}", other.kind()));
                None
            }
        }
    }

    /// One text or a list of texts.
    pub(super) fn texts<'n>(&mut self, node: &'n Node, what: &str) -> Vec<(&'n str, Place)> {
        let items = match &node.value {
            Yaml::List(_) => self.list(node, what).unwrap_or_default(),
            _ => std::slice::from_ref(node),
        };
        items.iter().filter_map(|item| Some((self.text(item, what)?, item.at))).collect()
    }

    pub(super) fn id(&mut self, node: &Node, what: &str) -> Option<Arc<str>> {
        let id = self.text(node, what)?;
        let good = is_id(id);
        if !good {
            self.wrong(
                node.at,
                format!("{what} `{id}` must begin with a letter and have only a-z 0-9 . _ - (at most {ID_BYTES_MAX})"),
            );
        }
        good.then(|| Arc::from(id))
    }

    pub(super) fn choice<T: Copy>(&mut self, node: &Node, what: &str, choices: &[(&str, T)]) -> Option<T> {
        let name = self.text(node, what)?;
        let found = choices.iter().find(|choice| choice.0 == name).map(|choice| choice.1);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|choice| choice.0).collect();
            let hint = did_you_mean(name, &names);
            self.wrong(node.at, format!("{what} `{name}` is unknown{hint} (one of: {})", names.join(", ")));
        }
        found
    }

    pub(super) fn optional<T>(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        default: T,
        read: impl FnOnce(&mut Self, &Node) -> Option<T>,
    ) -> Option<T> {
        match fields.get(key) {
            Some(node) => read(self, node),
            None => Some(default),
        }
    }

    /// `30m`, `24h`, `2d`.
    pub(super) fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let duration = if let Yaml::Text(text) = &node.value { duration(text) } else { None };
        if duration.is_none() {
            self.wrong(
                node.at,
                format!("{what} must be a number from 1 to 1000 and a unit, like `30m`, `24h`, `2d` or `90s`"),
            );
        }
        duration
    }

    /// Yuan, as cents.
    pub(super) fn yuan(&mut self, node: &Node, what: &str) -> Option<u64> {
        let cents = match node.value {
            Yaml::Int(yuan) => u64::try_from(yuan).ok().and_then(|yuan| yuan.checked_mul(100)),
            Yaml::Number(yuan) if (0.0..=1e12).contains(&yuan) => Some((yuan * 100.0).round() as u64),
            _ => None,
        };
        if cents.is_none() {
            self.wrong(node.at, format!("{what} must be an amount in yuan, like `200` or `88.80`"));
        }
        cents
    }

    /// `500KB`, `1MB`, `2GB`, or a number of bytes.
    pub(super) fn size(&mut self, node: &Node, what: &str) -> Option<u64> {
        let size = match &node.value {
            Yaml::Int(bytes) => u64::try_from(*bytes).ok(),
            Yaml::Text(text) => size(text),
            _ => None,
        };
        if size.is_none() {
            self.wrong(node.at, format!("{what} must be a size, like `500KB`, `1MB` or a number of bytes"));
        }
        size
    }

    /// `09:00`, as minutes of the day; `24:00` is its end.
    pub(super) fn minute(&mut self, node: &Node, what: &str) -> Option<u16> {
        let minute = if let Yaml::Text(text) = &node.value { minute(text) } else { None };
        if minute.is_none() {
            self.wrong(node.at, format!("{what} must be a time of day in quotes, like `\"09:00\"`"));
        }
        minute
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let number: u32 = number.parse().ok().filter(|number| (1..=1_000).contains(number))?;
    Some(Duration::from_secs(u64::from(number) * seconds))
}

fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let bytes = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" => 1 << 10,
        "M" | "MB" => 1 << 20,
        "G" | "GB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(bytes)
}

/// Minutes of the day of `09:00`.
pub(super) fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(hour) || minute.len() != 2 || !digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (minute < 60 && hour * 60 + minute <= 24 * 60).then_some(hour * 60 + minute)
}

/// Whether a text can be the id of a pack or rule.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() <= ID_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}
