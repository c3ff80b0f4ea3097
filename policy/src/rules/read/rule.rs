//! One rule.

use super::{Fields, Reader, TITLE_CHARS_MAX};
use crate::matcher::Channel;
use crate::message::is_event_type;
use crate::rules::{Disclose, Fact, Kind, Level, Rule, Scope, Status, Title, Weak};
use crate::yaml::Node;

/// Legal bases of one rule; more nobody reads.
const BASES_MAX: usize = 20;

const RULE_KEYS: [&str; 14] = [
    "id",
    "title",
    "category",
    "level",
    "status",
    "scope",
    "detection",
    "disclose",
    "sla",
    "weak",
    "legal_basis",
    "note",
    "window",
    "tests",
];

impl Reader<'_> {
    pub(super) fn rule(&mut self, node: &Node, pack: &str) -> Option<Rule> {
        let fields = self.fields(node, "the rule", &RULE_KEYS)?;
        let id = self.required(&fields, "id", "the rule").and_then(|node| self.id(node, "the rule id"));
        let what = id.as_deref().map_or("the rule".to_owned(), |id| format!("the rule `{id}`"));
        let title = self.required(&fields, "title", &what).and_then(|node| self.title(node, &what));
        let category = self.required(&fields, "category", &what).and_then(|node| self.id(node, "the category"));
        let levels = Level::ALL.map(|level| (level.as_str(), level));
        let level = self.required(&fields, "level", &what).and_then(|node| self.choice(node, "the level", &levels));
        let status =
            self.optional(&fields, "status", Status::Live, |this, node| this.choice(node, "the status", &STATUSES));
        let degrees = Disclose::ALL.map(|degree| (degree.as_str(), degree));
        let disclose =
            self.optional(&fields, "disclose", Disclose::None, |this, node| this.choice(node, "`disclose`", &degrees));
        let sla = self.optional(&fields, "sla", None, |this, node| this.duration(node, "`sla`").map(Some));
        let scope = self.optional(&fields, "scope", Scope::default(), Self::scope);
        let detection =
            self.required(&fields, "detection", &what).and_then(|node| self.detection(node, fields.get("window")));
        let weak = self.optional(&fields, "weak", None, |this, node| this.weak(node).map(Some));
        let legal_basis = fields.get("legal_basis").map_or(Some(Vec::new()), |node| self.legal_basis(node));
        let note = self.note(&fields, &what);
        let tests = fields.get("tests").map_or(Some(Vec::new()), |node| self.tests(node, scope.as_ref()));
        let (selections, condition) = detection?;
        let window = self.optional(&fields, "window", None, |this, node| this.window(node, &selections).map(Some));
        let id = id?;
        let rule = Rule {
            digest: self.rule_digest(pack, &id, node),
            window: window?,
            id,
            title: title?,
            category: category?,
            level: level?,
            status: status?,
            scope: scope?,
            selections,
            condition,
            disclose: disclose?,
            sla: sla?,
            weak: weak?,
            legal_basis: legal_basis?,
            note: note?,
            tests: tests?,
            line: node.at.line,
        };
        self.can_hold(&rule, node);
        self.names_its_events(&rule, node);
        Some(rule)
    }

    pub(super) fn title(&mut self, node: &Node, what: &str) -> Option<Title> {
        self.both_languages(node, &format!("the title of {what}"))
    }

    /// A text in Chinese and English.
    fn both_languages(&mut self, node: &Node, what: &str) -> Option<Title> {
        let fields = self.fields(node, what, &["zh", "en"])?;
        let zh = self.required(&fields, "zh", what).and_then(|node| self.title_text(node, what));
        let en = self.required(&fields, "en", what).and_then(|node| self.title_text(node, what));
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

    fn weak(&mut self, node: &Node) -> Option<Weak> {
        let fields = self.fields(node, "`weak`", &["channels", "level"])?;
        let channels = self.required(&fields, "channels", "`weak`").and_then(|node| self.channels(node));
        let levels = Level::ALL.map(|level| (level.as_str(), level));
        let level = self.required(&fields, "level", "`weak`").and_then(|node| self.choice(node, "the level", &levels));
        Some(Weak { channels: channels?, level: level? })
    }

    fn channels(&mut self, node: &Node) -> Option<Vec<Channel>> {
        let names = Channel::ALL.map(|channel| (channel.as_str(), channel));
        let items = self.list(node, "`channels`")?;
        let channels: Vec<_> = items.iter().map(|item| self.choice(item, "the channel", &names)).collect();
        channels.into_iter().collect()
    }

    fn legal_basis(&mut self, node: &Node) -> Option<Vec<Title>> {
        let items = self.list(node, "`legal_basis`")?;
        if items.len() > BASES_MAX {
            self.wrong(node.at, format!("`legal_basis` has more than {BASES_MAX} entries; keep the ones that matter"));
            return None;
        }
        let bases: Vec<_> = items.iter().map(|item| self.both_languages(item, "a legal basis")).collect();
        bases.into_iter().collect()
    }

    /// The outer `None` is a mistake, the inner one no note.
    fn note(&mut self, fields: &Fields<'_>, what: &str) -> Option<Option<Title>> {
        let what = format!("the note of {what}");
        self.optional(fields, "note", None, |this, node| this.both_languages(node, &what).map(Some))
    }

    /// Events are only looked at by rules whose scope names them, so asking for another one is a mistake.
    fn names_its_events(&mut self, rule: &Rule, node: &Node) {
        let facts = rule.selections.iter().filter_map(|selection| match &selection.kind {
            Kind::Fact(Fact::Type(types)) => Some(types),
            _ => None,
        });
        let is_left_out = |name: &&str| is_event_type(name) && !rule.scope.types.iter().any(|listed| listed == name);
        if let Some(name) = facts.flatten().map(|name| &**name).find(is_left_out) {
            self.wrong(
                node.at,
                format!("rules look at events only where their scope names them; add `{name}` to `types` of the scope"),
            );
        }
    }

    /// A rule that looks for text in messages that have none could never hold.
    fn can_hold(&mut self, rule: &Rule, node: &Node) {
        let textless = |msgtype: &String| crate::message::TEXTLESS_TYPES.contains(&msgtype.as_str());
        if rule.scope.types.is_empty() || !rule.scope.types.iter().all(textless) {
            return;
        }
        let without_body_text = |selection: usize, negated: bool| {
            !negated && rule.selections.get(selection).is_some_and(|it| !it.has_places() || !it.fields.is_empty())
        };
        if !rule.condition.eval(&without_body_text) {
            self.wrong(
                node.at,
                format!(
                    "`{}` messages have no text, so the rule could never hold; add other `types`",
                    rule.scope.types.join("`, `")
                ),
            );
        }
    }
}

/// The names of the statuses.
pub(super) const STATUSES: [(&str, Status); 2] = [("live", Status::Live), ("shadow", Status::Shadow)];
