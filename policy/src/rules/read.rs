//! From the loose YAML tree to a checked pack.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{
    Disclose, Level, Mistake, Near, PACK_BYTES_MAX, PACK_WORDS_MAX, Pack, Rule, RuleTest, Scope, Selection, Status,
    Title, digest,
};
use crate::condition::{self, Condition};
use crate::hint::did_you_mean;
use crate::matcher::{WordOptions, check_word};
use crate::message::{READ_TYPES, Side, known_type};
use crate::normalise::Normalisation;
use crate::yaml::{self, Node, Place, Yaml};

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

/// Keys of section "rules" that packs will have one day.
const LATER_RULE_KEYS: [&str; 4] = ["window", "windows", "allow", "suppress"];
const LATER_SCOPE_KEYS: [&str; 3] = ["time", "rooms", "chat"];
const LATER_SELECTION_KEYS: [&str; 18] = [
    "regex",
    "validator",
    "type",
    "types",
    "field",
    "fields",
    "file",
    "amount",
    "host",
    "direction",
    "time",
    "count",
    "distinct",
    "sum",
    "window",
    "by",
    "unless_near",
    "min",
];

/// Reads and checks a pack.
pub(super) fn pack(name: &str, bytes: &[u8], files: &BTreeMap<String, Vec<u8>>) -> Result<Pack, Vec<Mistake>> {
    let mut reader = Reader { file: name, files, used: BTreeMap::new(), words: 0, mistakes: Vec::new() };
    let pack = reader.file(bytes);
    let mut mistakes = reader.mistakes;
    mistakes.sort();
    mistakes.dedup();
    match pack {
        Some(pack) if mistakes.is_empty() => Ok(pack),
        _ => Err(mistakes),
    }
}

/// Collects every `words_file` in the tree that lies below the pack's folder; the others are refused later and must not be opened.
pub(super) fn collect_files(node: &Node, names: &mut BTreeSet<String>) {
    match &node.value {
        Yaml::List(items) => items.iter().for_each(|item| collect_files(item, names)),
        Yaml::Map(map) => {
            for (key, value) in map {
                match &value.value {
                    Yaml::Text(name) if key.name == "words_file" => names.extend(is_inside(name).then(|| name.clone())),
                    _ => collect_files(value, names),
                }
            }
        }
        _ => {}
    }
}

struct Reader<'a> {
    file: &'a str,
    files: &'a BTreeMap<String, Vec<u8>>,
    /// Files the pack names.
    used: BTreeMap<&'a str, &'a [u8]>,
    words: usize,
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

/// A selection whose `near` still is a name.
struct Draft<'n> {
    selection: Selection,
    near: Option<(&'n str, Place, u32)>,
    at: Place,
}

// Generic pieces.
impl<'a> Reader<'a> {
    fn wrong(&mut self, at: Place, text: impl Into<String>) {
        self.wrong_in(self.file, at, text);
    }

    fn wrong_in(&mut self, file: &str, at: Place, text: impl Into<String>) {
        self.mistakes.push(Mistake { file: file.to_owned(), line: at.line, column: at.column, text: text.into() });
    }

    /// A mapping with known keys only. `later` are keys that will be known one day.
    fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str], later: &[&str]) -> Option<Fields<'n>> {
        let Yaml::Map(entries) = &node.value else {
            self.wrong(node.at, format!("{what} must be a mapping (`key: value`), not {}", node.value.kind()));
            return None;
        };
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            let name = key.name.as_str();
            if later.contains(&name) {
                self.wrong(key.at, format!("`{name}` in {what} is not supported yet; remove it"));
            } else if !known.is_empty() && !known.contains(&name) {
                let hint = did_you_mean(name, known);
                let hint = if hint.is_empty() { format!("; known are: {}", known.join(", ")) } else { hint };
                self.wrong(key.at, format!("{what} has no key `{name}`{hint}"));
            } else if map.insert(name, value).is_some() {
                self.wrong(key.at, format!("`{name}` stands twice in {what}; remove one"));
            }
        }
        Some(Fields { at: node.at, map })
    }

    fn required<'n>(&mut self, fields: &Fields<'n>, key: &str, what: &str) -> Option<&'n Node> {
        let node = fields.get(key);
        if node.is_none() {
            self.wrong(fields.at, format!("{what} has no `{key}`; add it"));
        }
        node
    }

    fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Yaml::Text(text) if !text.trim().is_empty() => Some(text),
            Yaml::Text(_) | Yaml::Null => {
                self.wrong(node.at, format!("{what} is empty; write a text"));
                None
            }
            Yaml::Bool(_) | Yaml::Int(_) | Yaml::Number => {
                self.wrong(node.at, format!("{what} must be a text; put it in quotes"));
                None
            }
            other => {
                self.wrong(node.at, format!("{what} must be a text, not {}", other.kind()));
                None
            }
        }
    }

    fn number(&mut self, node: &Node, what: &str, min: i64, max: i64) -> Option<i64> {
        match node.value {
            Yaml::Int(number) if (min..=max).contains(&number) => Some(number),
            _ => {
                self.wrong(node.at, format!("{what} must be a whole number from {min} to {max}"));
                None
            }
        }
    }

    fn flag(&mut self, node: &Node, what: &str) -> Option<bool> {
        match node.value {
            Yaml::Bool(flag) => Some(flag),
            _ => {
                self.wrong(node.at, format!("{what} must be `true` or `false`"));
                None
            }
        }
    }

    fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
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
    fn texts<'n>(&mut self, node: &'n Node, what: &str) -> Vec<(&'n str, Place)> {
        let items = match &node.value {
            Yaml::List(_) => self.list(node, what).unwrap_or_default(),
            _ => std::slice::from_ref(node),
        };
        items.iter().filter_map(|item| Some((self.text(item, what)?, item.at))).collect()
    }

    fn id(&mut self, node: &Node, what: &str) -> Option<Arc<str>> {
        let id = self.text(node, what)?;
        let good = id.len() <= ID_BYTES_MAX
            && id.starts_with(|c: char| c.is_ascii_lowercase())
            && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
        if !good {
            self.wrong(
                node.at,
                format!("{what} `{id}` must begin with a letter and have only a-z 0-9 . _ - (at most {ID_BYTES_MAX})"),
            );
        }
        good.then(|| Arc::from(id))
    }

    fn choice<T: Copy>(&mut self, node: &Node, what: &str, choices: &[(&str, T)]) -> Option<T> {
        let name = self.text(node, what)?;
        let found = choices.iter().find(|choice| choice.0 == name).map(|choice| choice.1);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|choice| choice.0).collect();
            let hint = did_you_mean(name, &names);
            self.wrong(node.at, format!("{what} `{name}` is unknown{hint} (one of: {})", names.join(", ")));
        }
        found
    }
}

// The parts of a pack.
impl<'a> Reader<'a> {
    fn file(&mut self, bytes: &[u8]) -> Option<Pack> {
        if bytes.len() > PACK_BYTES_MAX {
            self.wrong(Place::default(), "the pack is larger than 4 MiB; move words into a words_file or split it");
            return None;
        }
        match yaml::read(bytes) {
            Ok(root) => self.pack(&root, bytes),
            Err((at, text)) => {
                self.wrong(at, text);
                None
            }
        }
    }

    fn pack(&mut self, root: &Node, bytes: &[u8]) -> Option<Pack> {
        let fields = self.fields(root, "the pack", &["pack", "version", "title", "rules"], &[])?;
        let id = self.required(&fields, "pack", "the pack").and_then(|node| self.id(node, "the pack id"));
        let version = self.required(&fields, "version", "the pack");
        let version = version.and_then(|node| self.number(node, "`version`", 1, i64::from(u32::MAX)));
        let title = self.required(&fields, "title", "the pack").and_then(|node| self.title(node, "the pack"));
        let rules = self.required(&fields, "rules", "the pack").map(|node| self.rules(node));
        let digest = digest(bytes, &self.used);
        Some(Pack { id: id?, version: u64::try_from(version?).ok()?, title: title?, rules: rules?, digest })
    }

    fn title(&mut self, node: &Node, what: &str) -> Option<Title> {
        let what = format!("the title of {what}");
        let fields = self.fields(node, &what, &["zh", "en"], &[])?;
        let zh = self.required(&fields, "zh", &what).and_then(|node| self.title_text(node, &what));
        let en = self.required(&fields, "en", &what).and_then(|node| self.title_text(node, &what));
        Some(Title { zh: zh?, en: en? })
    }

    fn title_text(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.text(node, what)?;
        if text.chars().count() > TITLE_CHARS_MAX {
            self.wrong(node.at, format!("{what} is longer than {TITLE_CHARS_MAX} characters; shorten it"));
            return None;
        }
        Some(text.to_owned())
    }

    fn rules(&mut self, node: &Node) -> Vec<Rule> {
        let items = self.list(node, "`rules`").unwrap_or_default();
        if items.len() > RULES_MAX {
            self.wrong(node.at, format!("the pack has more than {RULES_MAX} rules; split it"));
        }
        let mut ids = BTreeMap::new();
        let mut rules = Vec::new();
        for item in items.iter().take(RULES_MAX) {
            let Some(rule) = self.rule(item) else { continue };
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

    fn rule(&mut self, node: &Node) -> Option<Rule> {
        const KEYS: [&str; 10] =
            ["id", "title", "category", "level", "status", "scope", "detection", "disclose", "sla", "tests"];
        let fields = self.fields(node, "the rule", &KEYS, &LATER_RULE_KEYS)?;
        let id = self.required(&fields, "id", "the rule").and_then(|node| self.id(node, "the rule id"));
        let what = id.as_deref().map_or("the rule".to_owned(), |id| format!("the rule `{id}`"));
        let title = self.required(&fields, "title", &what).and_then(|node| self.title(node, &what));
        let category = self.required(&fields, "category", &what).and_then(|node| self.id(node, "the category"));
        let levels = Level::ALL.map(|level| (level.as_str(), level));
        let level = self.required(&fields, "level", &what).and_then(|node| self.choice(node, "the level", &levels));
        let statuses = [("live", Status::Live), ("shadow", Status::Shadow)];
        let status =
            self.optional(&fields, "status", Status::Live, |this, node| this.choice(node, "the status", &statuses));
        let degrees = Disclose::ALL.map(|degree| (degree.as_str(), degree));
        let disclose =
            self.optional(&fields, "disclose", Disclose::None, |this, node| this.choice(node, "`disclose`", &degrees));
        let sla = self.optional(&fields, "sla", None, |this, node| this.sla(node).map(Some));
        let scope = self.optional(&fields, "scope", Scope::default(), Self::scope);
        let detection = self.required(&fields, "detection", &what).and_then(|node| self.detection(node));
        let tests = fields.get("tests").map_or(Some(Vec::new()), |node| self.tests(node, scope.as_ref()));
        let (selections, condition) = detection?;
        Some(Rule {
            id: id?,
            title: title?,
            category: category?,
            level: level?,
            status: status?,
            scope: scope?,
            selections,
            condition,
            disclose: disclose?,
            sla: sla?,
            tests: tests?,
            line: node.at.line,
        })
    }

    fn optional<T>(
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
    fn sla(&mut self, node: &Node) -> Option<Duration> {
        let read = |text: &str| {
            let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
            let seconds = match unit {
                "m" => 60,
                "h" => 3_600,
                "d" => 86_400,
                _ => return None,
            };
            let number: u32 = number.parse().ok().filter(|number| (1..=1_000).contains(number))?;
            Some(Duration::from_secs(u64::from(number) * seconds))
        };
        let sla = if let Yaml::Text(text) = &node.value { read(text) } else { None };
        if sla.is_none() {
            self.wrong(node.at, "`sla` must be a number from 1 to 1000 and a unit, like `30m`, `24h` or `2d`");
        }
        sla
    }

    fn scope(&mut self, node: &Node) -> Option<Scope> {
        let fields = self.fields(node, "`scope`", &["from", "to", "types", "labels"], &LATER_SCOPE_KEYS)?;
        let from = fields.get("from").map_or(Vec::new(), |node| self.sides(node, "`from`"));
        let to = fields.get("to").map_or(Vec::new(), |node| self.sides(node, "`to`"));
        let types = fields.get("types").map_or(Vec::new(), |node| self.types(node));
        let labels = fields.get("labels").map_or(Vec::new(), |node| self.texts(node, "a label"));
        Some(Scope { from, to, types, labels: labels.into_iter().map(|(label, _)| label.trim().to_owned()).collect() })
    }

    fn sides(&mut self, node: &Node, what: &str) -> Vec<Side> {
        let items = match &node.value {
            Yaml::List(_) => self.list(node, what).unwrap_or_default(),
            _ => std::slice::from_ref(node),
        };
        items.iter().filter_map(|item| self.choice(item, what, &SIDES)).collect()
    }

    fn types(&mut self, node: &Node) -> Vec<String> {
        let texts = self.texts(node, "a message type");
        for (msgtype, at) in &texts {
            if known_type(msgtype) && !READ_TYPES.contains(msgtype) {
                self.wrong(
                    *at,
                    format!(
                        "the text of `{msgtype}` messages is not read yet, so the rule could never hold; remove it"
                    ),
                );
            } else if !known_type(msgtype) {
                self.wrong(*at, format!("there is no message type `{msgtype}`{}", did_you_mean(msgtype, &READ_TYPES)));
            }
        }
        texts.into_iter().map(|(msgtype, _)| msgtype.to_owned()).collect()
    }

    fn tests(&mut self, node: &Node, scope: Option<&Scope>) -> Option<Vec<RuleTest>> {
        let fallback = Scope::default();
        let scope = scope.unwrap_or(&fallback);
        let items = self.list(node, "`tests`")?;
        let tests: Vec<Option<RuleTest>> = items.iter().map(|item| self.test(item, scope)).collect();
        tests.into_iter().collect()
    }

    fn test(&mut self, node: &Node, scope: &Scope) -> Option<RuleTest> {
        let fields = self.fields(node, "the test", &["text", "hit", "from", "to", "type"], &[])?;
        let text = self.required(&fields, "text", "the test").and_then(|node| self.text(node, "the text of the test"));
        let hit = self.required(&fields, "hit", "the test").and_then(|node| self.flag(node, "`hit`"));
        let from = scope.from.first().copied().unwrap_or(Side::Employee);
        let to = scope.to.first().copied().unwrap_or(Side::External);
        let from = self.optional(&fields, "from", from, |this, node| this.choice(node, "`from`", &SIDES));
        let to = self.optional(&fields, "to", to, |this, node| this.choice(node, "`to`", &SIDES));
        let msgtype = scope.types.first().map_or("text".to_owned(), Clone::clone);
        let msgtype =
            self.optional(&fields, "type", msgtype, |this, node| this.text(node, "`type`").map(str::to_owned));
        Some(RuleTest {
            text: text?.to_owned(),
            hit: hit?,
            from: from?,
            to: to?,
            msgtype: msgtype?,
            line: node.at.line,
        })
    }
}

const SIDES: [(&str, Side); 3] = [("employee", Side::Employee), ("external", Side::External), ("robot", Side::Robot)];

// Detection.
impl<'a> Reader<'a> {
    fn detection(&mut self, node: &Node) -> Option<(Vec<Selection>, Condition)> {
        let fields = self.fields(node, "`detection`", &[], &["timeframe"])?;
        let condition = self.required(&fields, "condition", "`detection`");
        let Yaml::Map(entries) = &node.value else { return None };
        let mut drafts: Vec<Draft<'_>> = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for (key, value) in entries.iter().filter(|(key, _)| !matches!(key.name.as_str(), "condition" | "timeframe")) {
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
        let selections = self.resolve(drafts, &names, &condition)?;
        Some((selections, condition))
    }

    fn selection_name(&mut self, name: &str, at: Place) {
        let good = name.len() <= ID_BYTES_MAX
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
        if matches!(name, "and" | "or" | "not" | "of" | "all" | "any" | "near" | "within") {
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

    fn selection<'n>(&mut self, name: &str, at: Place, node: &'n Node) -> Option<Draft<'n>> {
        let what = format!("the selection `{name}`");
        let fields = self.fields(
            node,
            &what,
            &["words", "words_file", "normalise", "boundary", "aliases", "split", "pinyin", "near", "within"],
            &LATER_SELECTION_KEYS,
        )?;
        let normalisation = self.optional(&fields, "normalise", Normalisation::default(), Self::normalisation);
        let options = self.word_options(&fields);
        let near = self.near(&fields, &what);
        let folding = (normalisation?, options?);
        let mut words = fields.get("words").map_or(Vec::new(), |node| self.words(node, folding));
        if let Some(node) = fields.get("words_file") {
            words.extend(self.words_file(node, folding));
        } else if fields.get("words").is_none() {
            self.wrong(node.at, format!("{what} has no words; add `words: [...]` or `words_file: ...`"));
        }
        Some(Draft {
            selection: Selection {
                name: Arc::from(name),
                words,
                normalisation: folding.0,
                options: folding.1,
                near: None,
            },
            near: near?,
            at,
        })
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
            &[],
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

    /// The outer `None` is a mistake, the inner one no `near`.
    fn near<'n>(&mut self, fields: &Fields<'n>, what: &str) -> Option<Option<(&'n str, Place, u32)>> {
        match (fields.get("near"), fields.get("within")) {
            (None, None) => Some(None),
            (Some(near), Some(within)) => {
                let name = self.text(near, "`near`");
                let within = self.number(within, "`within`", 0, WITHIN_MAX);
                Some(Some((name?, near.at, u32::try_from(within?).ok()?)))
            }
            (Some(near), None) => {
                self.wrong(
                    near.at,
                    format!("{what} has `near` but no `within`; add `within: 8`, the most characters between the two"),
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

    fn words(&mut self, node: &Node, folding: (Normalisation, WordOptions)) -> Vec<Arc<str>> {
        let items = self.list(node, "`words`").unwrap_or_default();
        let texts: Vec<(&str, Place)> =
            items.iter().filter_map(|item| Some((self.text(item, "a word")?, item.at))).collect();
        self.checked(self.file, &texts, folding)
    }

    fn words_file(&mut self, node: &Node, folding: (Normalisation, WordOptions)) -> Vec<Arc<str>> {
        let Some(name) = self.text(node, "`words_file`") else { return Vec::new() };
        if !is_inside(name) {
            self.wrong(
                node.at,
                format!("`words_file: {name}` must be a path below the pack's folder, with `/` and without `..`"),
            );
            return Vec::new();
        }
        let files = self.files;
        let Some((name, bytes)) = files.get_key_value(name) else {
            self.wrong(node.at, format!("the file `{name}` was not found beside the pack; add it or correct the name"));
            return Vec::new();
        };
        self.used.insert(name, bytes);
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.strip_prefix('\u{FEFF}').unwrap_or(text),
            Err(error) => {
                let line = bytes.iter().take(error.valid_up_to()).filter(|&&b| b == b'\n').count() as u64 + 1;
                self.wrong_in(name, Place { line, column: 0 }, "the file is not UTF-8 from here on; save it as UTF-8");
                return Vec::new();
            }
        };
        let lines = (1..).zip(text.lines()).map(|(line, word)| (word.trim(), Place { line, column: 0 }));
        let words: Vec<(&str, Place)> = lines.filter(|(word, _)| !word.is_empty() && !word.starts_with('#')).collect();
        if words.is_empty() {
            self.wrong_in(name, Place::default(), "the file has no words; write one per line");
        }
        self.checked(name, &words, folding)
    }

    fn checked(&mut self, file: &str, words: &[(&str, Place)], folding: (Normalisation, WordOptions)) -> Vec<Arc<str>> {
        if self.words <= PACK_WORDS_MAX && self.words + words.len() > PACK_WORDS_MAX {
            self.wrong_in(file, Place::default(), format!("the pack has more than {PACK_WORDS_MAX} words; split it"));
        }
        self.words += words.len();
        for (word, at) in words {
            if let Err(error) = check_word(word, folding.0, folding.1) {
                self.wrong_in(file, *at, format!("word `{}`: {error}", word.chars().take(40).collect::<String>()));
            }
        }
        words.iter().map(|(word, _)| Arc::from(*word)).collect()
    }

    fn unknown_nears(&mut self, drafts: &[Draft<'_>], names: &[&str]) {
        for draft in drafts {
            let Some((near, at, _)) = draft.near else { continue };
            if near == &*draft.selection.name {
                self.wrong(at, format!("the selection `{near}` cannot be near itself; name another one"));
            } else if !names.contains(&near) {
                self.wrong(at, format!("`near`: there is no selection `{near}`{}", did_you_mean(near, names)));
            }
        }
    }

    /// Turns names into numbers, and refuses circles and selections nobody uses.
    fn resolve(&mut self, drafts: Vec<Draft<'_>>, names: &[&str], condition: &Condition) -> Option<Vec<Selection>> {
        let number = |near: &str| names.iter().position(|name| *name == near);
        let nears: Vec<Option<usize>> = drafts.iter().map(|draft| draft.near.and_then(|near| number(near.0))).collect();
        let mut used = condition.selections(false);
        used.extend(condition.selections(true));
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
        let selections = drafts.into_iter().zip(nears).map(|(draft, near)| {
            let near = near.zip(draft.near).map(|(selection, (_, _, within))| Near { selection, within });
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

/// Whether a name is a relative path that stays below its folder, on every system.
fn is_inside(name: &str) -> bool {
    !name.contains(['\\', ':', '\0']) && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests;
