//! YAML as a loose tree in which every key and value knows its line, so that all mistakes can be found, not only the first.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Location, Spanned};

/// A place in a file; both count from 1. Zero means unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Yaml,
    pub(crate) at: Place,
}

#[derive(Clone, Debug)]
pub(crate) enum Yaml {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that is no i64, as near as an f64 comes.
    Number(f64),
    Text(String),
    List(Vec<Node>),
    /// In file order; keys may be doubled.
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) at: Place,
}

/// Reads one document. The error carries the place, as far as known, and one sentence.
pub(crate) fn read(bytes: &[u8]) -> Result<Node, (Place, String)> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| (line_of(bytes, error.valid_up_to()), NOT_UTF8.to_owned()))?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let options = serde_saphyr::options! {
        strict_booleans: true,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        with_snippet: false,
        emit_comments: false,
    };
    let spanned: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(|error| explain(&error))?;
    Ok(node(spanned))
}

impl Yaml {
    /// What it is, for sentences.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

const NOT_UTF8: &str = "the file is not UTF-8 from here on; save it as UTF-8";

fn explain(error: &serde_saphyr::Error) -> (Place, String) {
    let at = error.location().map(place).unwrap_or_default();
    let text = error.without_snippet().to_string();
    // The library repeats the place at the end of its sentence.
    let first = text.lines().next().unwrap_or("cannot be read");
    let first = first.split(" at line ").next().unwrap_or(first).trim();
    (at, format!("this is not valid YAML: {first}"))
}

fn line_of(bytes: &[u8], offset: usize) -> Place {
    let breaks = bytes.iter().take(offset).filter(|&&b| b == b'\n').count() as u64;
    Place { line: breaks + 1, column: 0 }
}

fn place(location: Location) -> Place {
    Place { line: location.line(), column: location.column() }
}

fn node(spanned: Spanned<Raw>) -> Node {
    Node { at: place(spanned.referenced), value: spanned.value.0 }
}

struct Raw(Yaml);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor).map(Raw)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
        Ok(i64::try_from(value).map_or(Yaml::Number(value as f64), Yaml::Int))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Yaml, E> {
        Ok(Yaml::Number(value as f64))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Yaml, E> {
        Ok(Yaml::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Yaml, E> {
        Ok(Yaml::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Raw>>()? {
            list.push(node(item));
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Yaml, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Spanned<String>, Spanned<Raw>>()? {
            map.push((Key { at: place(key.referenced), name: key.value }, node(value)));
        }
        Ok(Yaml::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_value_knows_its_line() {
        let root = read("a: 1\nb:\n  - x\n  - { c: yes, a: true }\na: ~\n".as_bytes()).unwrap();
        let Yaml::Map(map) = root.value else { panic!("{root:?}") };
        let keys: Vec<_> = map.iter().map(|(key, _)| (key.name.as_str(), key.at.line)).collect();
        assert_eq!(keys, [("a", 1), ("b", 2), ("a", 5)], "a doubled key is kept");
        let Yaml::List(items) = &map[1].1.value else { panic!("{map:?}") };
        assert_eq!(items[0].at, Place { line: 3, column: 5 });
        let Yaml::Map(inner) = &items[1].value else { panic!("{items:?}") };
        assert!(matches!(&inner[0].1.value, Yaml::Text(text) if text == "yes"), "yes is a text");
        assert!(matches!(inner[1].1.value, Yaml::Bool(true)));
    }

    #[test]
    fn broken_yaml_names_its_line() {
        for (yaml, line) in [("ok: 1\na: [1,\nb: 2", 2), ("a: 1\n  b: 2\n", 2), ("ok: 1\n\"x", 2)] {
            let (at, text) = read(yaml.as_bytes()).unwrap_err();
            assert!(at.line >= line && !text.contains('\n'), "{yaml:?} {at:?} {text}");
        }
        assert_eq!(read(b"a: 1\nb: \xff\n").unwrap_err().0.line, 2);
    }

    #[test]
    fn bombs_are_refused() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(deep.as_bytes()).is_err());
        let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let alias = format!("*a{},", level - 1).repeat(10);
            laughs.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
        }
        assert!(read(laughs.as_bytes()).is_err());
    }
}
