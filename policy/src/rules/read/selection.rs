//! One selection: its one kind, and the options that go with it.

use std::sync::Arc;

use regex::RegexBuilder;

use super::{Draft, DraftNear, Fields, Reader, WITHIN_MAX};
use crate::hint::did_you_mean;
use crate::matcher::WordOptions;
use crate::message::{EVENT_TYPES, known_types};
use crate::normalise::Normalisation;
use crate::rules::selection::NAME_FIELDS;
use crate::rules::{Kind, Order, Pattern, Selection, Validated, Words};
use crate::validators::{self, Validator};
use crate::yaml::{Node, Place};

/// Bytes one compiled pattern may take; a usual one takes some thousand.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Patterns of a selection.
const PATTERNS_MAX: usize = 100;
/// Most a selection may ask for with `min`.
const MIN_MAX: i64 = 1_000;

/// What a selection looks for, by the key that says so.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KindName {
    Words,
    Regex,
    Validator,
    File,
    Amount,
    Host,
    Type,
    Chat,
    Time,
    Side,
}

const KINDS: [(&str, KindName); 12] = [
    ("words", KindName::Words),
    ("words_file", KindName::Words),
    ("regex", KindName::Regex),
    ("validator", KindName::Validator),
    ("file", KindName::File),
    ("amount", KindName::Amount),
    ("host", KindName::Host),
    ("not_host", KindName::Host),
    ("type", KindName::Type),
    ("chat", KindName::Chat),
    ("time", KindName::Time),
    ("side", KindName::Side),
];

/// Options of every selection with places.
const PLACE_OPTIONS: [&str; 7] = ["near", "before", "after", "within", "min", "fields", "quoted"];

/// Options of one kind.
const OWN_OPTIONS: [(&str, KindName); 11] = [
    ("allow", KindName::Words),
    ("normalise", KindName::Words),
    ("boundary", KindName::Words),
    ("aliases", KindName::Words),
    ("split", KindName::Words),
    ("pinyin", KindName::Words),
    ("confidential", KindName::Words),
    ("ignore_case", KindName::Regex),
    ("except", KindName::Validator),
    ("except_file", KindName::Validator),
    ("calendar", KindName::Time),
];

impl KindName {
    fn has_places(self) -> bool {
        matches!(self, Self::Words | Self::Regex | Self::Validator)
    }
}

impl Reader<'_> {
    pub(super) fn selection<'n>(&mut self, name: &str, at: Place, node: &'n Node) -> Option<Draft<'n>> {
        let what = format!("the selection `{name}`");
        let keys: Vec<&str> = KINDS
            .iter()
            .map(|kind| kind.0)
            .chain(PLACE_OPTIONS)
            .chain(OWN_OPTIONS.iter().map(|option| option.0))
            .collect();
        let fields = self.fields(node, &what, &keys)?;
        let kind = self.kind_name(&fields, &what, node.at)?;
        self.misplaced(&fields, kind, &what);
        let near = self.near(&fields, &what);
        let min = self.optional(&fields, "min", 1, |this, node| {
            this.number(node, "`min`", 1, MIN_MAX).and_then(|min| u32::try_from(min).ok())
        });
        let quoted = self.optional(&fields, "quoted", false, |this, node| this.flag(node, "`quoted`"));
        let paths = fields.get("fields").map_or(Vec::new(), |node| self.paths(node));
        let kind = match kind {
            KindName::Words => self.words_kind(&fields).map(Kind::Words),
            KindName::Regex => fields.get("regex").and_then(|node| self.regex(node, &fields)).map(Kind::Regex),
            KindName::Validator => {
                fields.get("validator").and_then(|node| self.validated(node, &fields)).map(Kind::Validator)
            }
            KindName::File => fields.get("file").and_then(|node| self.file_fact(node)).map(Kind::Fact),
            KindName::Amount => fields.get("amount").and_then(|node| self.amount_fact(node)).map(Kind::Fact),
            KindName::Host => self.host_fact(&fields).map(Kind::Fact),
            KindName::Type => fields.get("type").and_then(|node| self.type_fact(node)).map(Kind::Fact),
            KindName::Chat => fields.get("chat").and_then(|node| self.chat_fact(node)).map(Kind::Fact),
            KindName::Time => fields.get("time").and_then(|node| self.time_fact(node, &fields)).map(Kind::Fact),
            KindName::Side => fields.get("side").and_then(|node| self.side_fact(node)).map(Kind::Fact),
        };
        Some(Draft {
            selection: Selection {
                name: Arc::from(name),
                kind: kind?,
                fields: paths,
                quoted: quoted?,
                near: None,
                min: min?,
            },
            near: near?,
            at,
        })
    }

    fn kind_name(&mut self, fields: &Fields<'_>, what: &str, at: Place) -> Option<KindName> {
        let mut found = KINDS.iter().filter(|(key, _)| fields.get(key).is_some());
        let Some((key, kind)) = found.next() else {
            let text = format!(
                "{what} has no words and looks for nothing else; add `words: [...]`, `regex`, `validator`, `type` or another kind"
            );
            self.wrong(at, text);
            return None;
        };
        if let Some((other, _)) = found.find(|(_, other)| other != kind) {
            self.wrong(
                at,
                format!("{what} has both `{key}` and `{other}`; make two selections and join them in the condition"),
            );
            return None;
        }
        Some(*kind)
    }

    /// Refuses options that mean nothing for the kind.
    fn misplaced(&mut self, fields: &Fields<'_>, kind: KindName, what: &str) {
        let own = OWN_OPTIONS.iter().filter(|option| option.1 != kind).map(|option| option.0);
        let places = PLACE_OPTIONS.into_iter().filter(|_| !kind.has_places());
        let key = KINDS.iter().find(|(key, name)| *name == kind && fields.get(key).is_some()).map_or("", |kind| kind.0);
        for option in own.chain(places) {
            if let Some(node) = fields.get(option) {
                self.wrong(node.at, format!("`{option}` means nothing beside `{key}` in {what}; remove it"));
            }
        }
    }

    fn words_kind(&mut self, fields: &Fields<'_>) -> Option<Words> {
        let normalisation = self.optional(fields, "normalise", Normalisation::default(), Self::normalisation);
        let options = self.word_options(fields);
        let (normalisation, options) = (normalisation?, options?);
        let folding = (normalisation, options);
        let mut words = fields.get("words").map_or(Vec::new(), |node| self.words(node, "`words`", folding));
        if let Some(node) = fields.get("words_file") {
            words.extend(self.words_file(node, folding));
        }
        let allow = fields
            .get("allow")
            .map_or(Vec::new(), |node| self.words(node, "`allow`", (normalisation, Words::allow_options())));
        let confidential = self.optional(fields, "confidential", false, |this, node| this.flag(node, "`confidential`"));
        Some(Words { words, allow, normalisation, options, confidential: confidential? })
    }

    fn word_options(&mut self, fields: &Fields<'_>) -> Option<WordOptions> {
        let usual = WordOptions::default();
        let mut flag = |key: &str, usual: bool| {
            self.optional(fields, key, usual, |this, node| this.flag(node, &format!("`{key}`")))
        };
        let (boundary, aliases) = (flag("boundary", usual.boundary), flag("aliases", usual.aliases));
        let (split, pinyin) = (flag("split", usual.split), flag("pinyin", usual.pinyin));
        Some(WordOptions { boundary: boundary?, aliases: aliases?, split: split?, pinyin: pinyin? })
    }

    fn normalisation(&mut self, node: &Node) -> Option<Normalisation> {
        let fields = self.fields(
            node,
            "`normalise`",
            &["width", "case", "script", "variants", "zero_width", "noise", "repeats"],
        )?;
        let mut flag = |key: &str| self.optional(&fields, key, true, |this, node| this.flag(node, &format!("`{key}`")));
        let (width, case, script, variants) = (flag("width"), flag("case"), flag("script"), flag("variants"));
        let (zero_width, noise, repeats) = (flag("zero_width"), flag("noise"), flag("repeats"));
        Some(Normalisation {
            width: width?,
            case: case?,
            script: script?,
            variants: variants?,
            zero_width: zero_width?,
            noise: noise?,
            repeats: repeats?,
        })
    }

    fn regex(&mut self, node: &Node, fields: &Fields<'_>) -> Option<Vec<Pattern>> {
        let ignore_case = self.optional(fields, "ignore_case", false, |this, node| this.flag(node, "`ignore_case`"))?;
        let sources = self.texts(node, "`regex`");
        if sources.len() > PATTERNS_MAX {
            self.wrong(node.at, format!("`regex` has more than {PATTERNS_MAX} patterns; split the rule"));
            return None;
        }
        let patterns: Vec<_> = sources.iter().map(|(source, at)| self.pattern(source, *at, ignore_case)).collect();
        patterns.into_iter().collect()
    }

    fn pattern(&mut self, source: &str, at: Place, ignore_case: bool) -> Option<Pattern> {
        let built = RegexBuilder::new(source).case_insensitive(ignore_case).size_limit(REGEX_BYTES_MAX).build();
        match built {
            Ok(regex) if regex.is_match("") => {
                self.wrong(
                    at,
                    format!("the pattern `{source}` matches where nothing stands; let it ask for something"),
                );
                None
            }
            Ok(regex) => Some(Pattern { source: Arc::from(source), regex }),
            Err(error) => {
                self.wrong(at, format!("the pattern `{source}` cannot be used: {}", explained(&error)));
                None
            }
        }
    }

    fn validated(&mut self, node: &Node, fields: &Fields<'_>) -> Option<Validated> {
        let names = Validator::ALL.map(|validator| (validator.as_str(), validator));
        let items = match &node.value {
            crate::yaml::Yaml::List(_) => self.list(node, "`validator`")?,
            _ => std::slice::from_ref(node),
        };
        let chosen: Vec<_> = items.iter().map(|item| self.choice(item, "the validator", &names)).collect();
        let mut values: Vec<String> = Vec::new();
        if let Some(node) = fields.get("except") {
            values.extend(self.excepted(node));
        }
        if let Some(node) = fields.get("except_file") {
            let lines = self.lines_of_file(node, "`except_file`");
            values.extend(lines.into_iter().map(|(line, _)| line.to_owned()));
        }
        let mut except: Vec<Box<str>> = values
            .iter()
            .flat_map(|value| [validators::value(value).into(), validators::narrow(value).into()])
            .collect();
        except.sort_unstable();
        except.dedup();
        Some(Validated { validators: chosen.into_iter().collect::<Option<_>>()?, except })
    }

    /// Values are often numbers, which YAML may give as such.
    fn excepted(&mut self, node: &Node) -> Vec<String> {
        let items = self.list(node, "`except`").unwrap_or_default();
        let mut values = Vec::new();
        for item in items {
            match &item.value {
                crate::yaml::Yaml::Int(number) => values.push(number.to_string()),
                _ => values.extend(self.text(item, "a value of `except`").map(str::to_owned)),
            }
        }
        values
    }

    /// The outer `None` is a mistake, the inner one no nearness.
    fn near<'n>(&mut self, fields: &Fields<'n>, what: &str) -> Option<Option<DraftNear<'n>>> {
        let orders = [("near", Order::Either), ("before", Order::Before), ("after", Order::After)];
        let mut given = orders.iter().filter_map(|(key, order)| Some((*key, *order, fields.get(key)?)));
        let (first, second) = (given.next(), given.next());
        if let (Some((one, ..)), Some((two, _, node))) = (first, second) {
            self.wrong(node.at, format!("{what} has both `{one}` and `{two}`; keep one"));
            return None;
        }
        match (first, fields.get("within")) {
            (None, None) => Some(None),
            (Some((key, order, near)), Some(within)) => {
                let name = self.text(near, &format!("`{key}`"));
                let within = self.number(within, "`within`", 0, WITHIN_MAX);
                Some(Some(DraftNear { name: name?, at: near.at, within: u32::try_from(within?).ok()?, order }))
            }
            (Some((key, _, near)), None) => {
                self.wrong(
                    near.at,
                    format!("{what} has `{key}` but no `within`; add `within: 8`, the most characters between the two"),
                );
                None
            }
            (None, Some(within)) => {
                self.wrong(
                    within.at,
                    format!("{what} has `within` but no `near`; add `near:` with the name of a selection"),
                );
                None
            }
        }
    }

    /// Paths begin with a message type or are those of a name.
    fn paths(&mut self, node: &Node) -> Vec<Arc<str>> {
        let texts = self.texts(node, "a field");
        for (path, at) in &texts {
            let front = path.split(['.', '[']).next().unwrap_or_default();
            let mut names: Vec<&str> = known_types().collect();
            names.extend(["room", "sender"]);
            let of_event =
                |name: &str| path.strip_prefix(name).is_some_and(|key| key.is_empty() || key.starts_with('.'));
            if NAME_FIELDS.contains(path)
                || known_types().any(|name| name == front)
                || EVENT_TYPES.into_iter().any(of_event)
            {
                continue;
            }
            names.extend(EVENT_TYPES);
            names.extend(NAME_FIELDS);
            let near = did_you_mean(path, &names);
            let hint = if near.is_empty() { did_you_mean(front, &names) } else { near };
            let example = "; write a message type and a key, like `file.filename`, or `room.name` or `sender.name`";
            self.wrong(*at, format!("there is no field `{path}`{}", if hint.is_empty() { example } else { &hint }));
        }
        texts.into_iter().map(|(path, _)| Arc::from(path)).collect()
    }
}

/// The last line of the library's answer says what is wrong; the lines before it draw the pattern.
fn explained(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "it becomes too large; make its repetitions smaller".to_owned(),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default().trim();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
    }
}
