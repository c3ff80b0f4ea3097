//! Which messages a rule looks at.

use super::{Fields, Reader};
use crate::hint::did_you_mean;
use crate::message::{EVENT_TYPES, Side, known_type, known_types};
use crate::rules::{Chat, Scope};
use crate::yaml::{Node, Place, Yaml};

/// The names of the sides.
pub(super) const SIDES: [(&str, Side); 3] =
    [("employee", Side::Employee), ("external", Side::External), ("robot", Side::Robot)];
/// The names of the kinds of chat.
pub(super) const CHATS: [(&str, Chat); 2] = [("group", Chat::Group), ("single", Chat::Single)];

impl Reader<'_> {
    pub(super) fn scope(&mut self, node: &Node) -> Option<Scope> {
        let fields = self.fields(node, "`scope`", &["from", "to", "types", "labels", "chat"])?;
        let from = fields.get("from").map_or(Vec::new(), |node| self.sides(node, "`from`"));
        let to = fields.get("to").map_or(Vec::new(), |node| self.sides(node, "`to`"));
        let types = fields.get("types").map_or(Vec::new(), |node| self.types(node));
        let labels = fields.get("labels").map_or(Vec::new(), |node| self.texts(node, "a label"));
        let chat = self.chat(&fields)?;
        Some(Scope {
            from,
            to,
            types,
            labels: labels.into_iter().map(|(label, _)| label.trim().to_owned()).collect(),
            chat,
        })
    }

    /// The outer `None` is a mistake, the inner one any chat.
    fn chat(&mut self, fields: &Fields<'_>) -> Option<Option<Chat>> {
        self.optional(fields, "chat", None, |this, node| this.choice(node, "`chat`", &CHATS).map(Some))
    }

    pub(super) fn sides(&mut self, node: &Node, what: &str) -> Vec<Side> {
        let items = match &node.value {
            Yaml::List(_) => self.list(node, what).unwrap_or_default(),
            _ => std::slice::from_ref(node),
        };
        items.iter().filter_map(|item| self.choice(item, what, &SIDES)).collect()
    }

    pub(super) fn types(&mut self, node: &Node) -> Vec<String> {
        let texts = self.texts(node, "a message type");
        for (msgtype, at) in &texts {
            self.known_type(msgtype, *at);
        }
        texts.into_iter().map(|(msgtype, _)| msgtype.to_owned()).collect()
    }

    pub(super) fn known_type(&mut self, msgtype: &str, at: Place) {
        if !known_type(msgtype) && !EVENT_TYPES.contains(&msgtype) {
            let names: Vec<&str> = known_types().chain(EVENT_TYPES).collect();
            let hint = did_you_mean(msgtype, &names);
            let hint = if hint.is_empty() { format!("; known are: {}", names.join(", ")) } else { hint };
            self.wrong(at, format!("there is no message type `{msgtype}`{hint}"));
        }
    }
}
