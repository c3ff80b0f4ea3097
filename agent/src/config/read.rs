//! Reading a TOML document without stopping at the first mistake.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use watchpost_policy::hint::did_you_mean;

use super::Mistake;
use crate::policy_files::names_builtin;

/// Longest time a setting may name.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl Table<'_> {
    /// The keys of a table whose keys are names of its author's.
    pub(super) fn keys(&self) -> Vec<String> {
        self.values.keys().map(|key| key.get_ref().to_string()).collect()
    }
}

/// A document being read, and what was found wrong with it so far.
pub(super) struct Reader<'i> {
    text: &'i str,
    base: &'i Path,
    mistakes: Vec<Mistake>,
}

/// A table and where it begins, in bytes.
#[derive(Clone)]
pub(super) struct Table<'i> {
    values: DeTable<'i>,
    pub(super) at: usize,
}

impl<'i> Reader<'i> {
    pub(super) fn new(text: &'i str, base: &'i Path) -> Self {
        Self { text: text.strip_prefix('\u{feff}').unwrap_or(text), base, mistakes: Vec::new() }
    }

    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes
    }

    pub(super) fn mistake(&mut self, at: usize, text: impl Into<String>) {
        let line = 1 + self.text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
        self.mistakes.push(Mistake { line, text: text.into() });
    }

    pub(super) fn root(&mut self) -> Option<Table<'i>> {
        match DeTable::parse(self.text) {
            Ok(table) => Some(Table { values: table.into_inner(), at: 0 }),
            Err(error) => {
                self.mistake(error.span().map_or(0, |span| span.start), error.message().replace('\n', "; "));
                None
            }
        }
    }

    /// Refuses keys that are not in `names`.
    pub(super) fn known(&mut self, table: &Table<'_>, names: &[&str]) {
        for key in table.values.keys().filter(|key| !names.contains(&key.get_ref().as_ref())) {
            let hint = match did_you_mean(key.get_ref(), names) {
                hint if hint.is_empty() => format!("; known here are {}", names.join(", ")),
                hint => hint,
            };
            self.mistake(key.span().start, format!("unknown key {}{hint}", key.get_ref()));
        }
    }

    /// Whether a key is there.
    pub(super) fn has(&self, table: &Table<'_>, name: &str) -> bool {
        table.values.contains_key(name)
    }

    pub(super) fn optional_table(&mut self, parent: &Table<'i>, name: &str) -> Option<Table<'i>> {
        let (value, span) = find(parent, name)?;
        match value {
            DeValue::Table(values) => Some(Table { values: values.clone(), at: span.start }),
            other => {
                self.mistake(span.start, format!("{name} must be a table; write [{name}], not {}", kind(other)));
                None
            }
        }
    }

    /// An array of tables with at least one.
    pub(super) fn tables(&mut self, parent: &Table<'i>, name: &str) -> Vec<Table<'i>> {
        if !parent.values.contains_key(name) {
            self.mistake(parent.at, format!("{name} is missing; add [[{name}]] with path and corp"));
        }
        self.optional_tables(parent, name)
    }

    /// An array of tables; empty where it is absent.
    pub(super) fn optional_tables(&mut self, parent: &Table<'i>, name: &str) -> Vec<Table<'i>> {
        let Some((value, span)) = find(parent, name) else { return Vec::new() };
        let tables: Option<Vec<Table<'i>>> = value.as_array().map(|values| {
            values
                .iter()
                .filter_map(|value| {
                    let values = value.get_ref().as_table()?.clone();
                    Some(Table { values, at: value.span().start })
                })
                .collect()
        });
        match tables {
            Some(tables) if !tables.is_empty() => tables,
            _ => {
                self.mistake(span.start, format!("{name} must be written as [[{name}]]"));
                Vec::new()
            }
        }
    }

    /// Text that must be there and not be empty.
    pub(super) fn word(&mut self, table: &Table<'_>, name: &str) -> Option<String> {
        match find(table, name) {
            None => {
                self.mistake(table.at, format!("{name} is missing"));
                None
            }
            Some((value, span)) => self.text_of(name, value, &span),
        }
    }

    /// What a text that may be absent stands for; the mistake is told behind its name.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        &mut self,
        table: &Table<'_>,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (value, span) = find(table, name)?;
        let text = self.text_of(name, value, &span)?;
        match parse(&text) {
            Ok(parsed) => Some(parsed),
            Err(mistake) => {
                self.mistake(span.start, format!("{name} {mistake}"));
                None
            }
        }
    }

    /// A text or a list of texts; empty where it is absent.
    pub(super) fn words(&mut self, table: &Table<'_>, name: &str) -> Vec<String> {
        let Some((value, span)) = find(table, name) else { return Vec::new() };
        let Some(values) = value.as_array() else { return self.text_of(name, value, &span).into_iter().collect() };
        values.iter().filter_map(|value| self.text_of(name, value.get_ref(), &value.span())).collect()
    }

    /// Each `host:port`; one, a list, or absent.
    pub(super) fn addresses(&mut self, table: &Table<'_>, name: &str) -> Vec<String> {
        let addresses = self.words(table, name);
        let sound = |address: &String| {
            let parts = address.rsplit_once(':');
            parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
        };
        if !addresses.iter().all(sound) {
            let at = find(table, name).map_or(table.at, |(_, span)| span.start);
            self.mistake(at, format!("{name} must be host:port, such as \"collector.example:7443\""));
        }
        addresses
    }

    /// A path, made absolute, where there is one.
    pub(super) fn optional_path(&mut self, table: &Table<'_>, name: &str) -> Option<PathBuf> {
        find(table, name)?;
        self.path(table, name)
    }

    /// A word, where there is one.
    pub(super) fn optional_word(&mut self, table: &Table<'_>, name: &str) -> Option<String> {
        find(table, name)?;
        self.word(table, name)
    }

    /// A path that must be there, made absolute.
    pub(super) fn path(&mut self, table: &Table<'_>, name: &str) -> Option<PathBuf> {
        let word = self.word(table, name)?;
        let at = find(table, name).map_or(table.at, |(_, span)| span.start);
        self.path_of(name, &word, at)
    }

    /// A list of policy files; empty where it is absent. What names built-in packs is no path.
    pub(super) fn policy_files(&mut self, table: &Table<'_>, name: &str) -> Vec<PathBuf> {
        let Some((value, span)) = find(table, name) else { return Vec::new() };
        let Some(values) = value.as_array() else {
            self.mistake(span.start, format!("{name} must be a list such as [\"a\", \"b\"], not {}", kind(value)));
            return Vec::new();
        };
        let values: Vec<_> = values.iter().map(|value| (value.get_ref().clone(), value.span())).collect();
        let mut paths = Vec::new();
        for (value, span) in &values {
            let Some(word) = self.text_of(name, value, span) else { continue };
            let builtin = names_builtin(&word).then(|| PathBuf::from(&word));
            paths.extend(builtin.or_else(|| self.path_of(name, &word, span.start)));
        }
        paths
    }

    /// A time such as `"2s"`; `None` where it is absent or wrong.
    pub(super) fn duration(&mut self, table: &Table<'_>, name: &str, least: Duration) -> Option<Duration> {
        let (value, span) = find(table, name)?;
        match value.as_str().and_then(parse_duration) {
            Some(duration) if (least..=DURATION_MAX).contains(&duration) => Some(duration),
            Some(_) => {
                self.mistake(span.start, format!("{name} must be from {least:?} to 24h"));
                None
            }
            None => {
                self.mistake(span.start, format!("{name} must be a time such as \"500ms\", \"2s\", \"5m\" or \"1h\""));
                None
            }
        }
    }

    /// A size such as `"256MiB"`; `None` where it is absent or wrong.
    pub(super) fn size(&mut self, table: &Table<'_>, name: &str, least: u64) -> Option<u64> {
        let (value, span) = find(table, name)?;
        match value.as_str().and_then(parse_size) {
            Some(size) if size >= least => Some(size),
            Some(_) => {
                self.mistake(span.start, format!("{name} must be at least {least} bytes"));
                None
            }
            None => {
                self.mistake(span.start, format!("{name} must be a size such as \"64KiB\", \"256MiB\" or \"1GiB\""));
                None
            }
        }
    }

    /// A whole number; `None` where it is absent or wrong.
    pub(super) fn number(&mut self, table: &Table<'_>, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let (value, span) = find(table, name)?;
        let number = value.as_integer().and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
        match number {
            Some(number) if range.contains(&number) => Some(number),
            _ => {
                let (least, most) = range.into_inner();
                self.mistake(span.start, format!("{name} must be a whole number from {least} to {most}"));
                None
            }
        }
    }

    /// One of a few words; `None` where it is absent or wrong.
    pub(super) fn choice<T: Copy>(&mut self, table: &Table<'_>, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let (value, span) = find(table, name)?;
        let chosen = value.as_str().and_then(|word| choices.iter().find(|choice| choice.0 == word));
        if chosen.is_none() {
            let words: Vec<&str> = choices.iter().map(|choice| choice.0).collect();
            self.mistake(span.start, format!("{name} must be one of {}", words.join(", ")));
        }
        chosen.map(|choice| choice.1)
    }

    fn text_of(&mut self, name: &str, value: &DeValue<'_>, span: &Range<usize>) -> Option<String> {
        match value.as_str() {
            Some(text) if text.trim().is_empty() => {
                self.mistake(span.start, format!("{name} is empty"));
                None
            }
            Some(text) => Some(text.to_owned()),
            None => {
                self.mistake(span.start, format!("{name} must be text in quotes, not {}", kind(value)));
                None
            }
        }
    }

    fn path_of(&mut self, name: &str, word: &str, at: usize) -> Option<PathBuf> {
        if word.chars().any(char::is_control) {
            let text = format!(
                "{name} holds a control character; write Windows paths in 'single quotes', where a backslash is a backslash"
            );
            self.mistake(at, text);
            return None;
        }
        Some(self.base.join(word))
    }
}

fn find<'t, 'i>(table: &'t Table<'i>, name: &str) -> Option<(&'t DeValue<'i>, Range<usize>)> {
    table.values.get(name).map(|value: &Spanned<DeValue<'i>>| (value.get_ref(), value.span()))
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let shift = match unit {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}
