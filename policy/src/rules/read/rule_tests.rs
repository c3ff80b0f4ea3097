//! The tests written in a rule.

use super::scope::{CHATS, SIDES};
use super::{Fields, Reader};
use crate::calendar::Day;
use crate::message::Side;
use crate::rules::{Chat, RuleTest, Scope, TestFile};
use crate::yaml::{Node, Yaml};

const TEST_KEYS: [&str; 12] =
    ["text", "hit", "from", "to", "type", "chat", "time", "file", "amount", "link", "room_name", "sender_name"];

impl Reader<'_> {
    pub(super) fn tests(&mut self, node: &Node, scope: Option<&Scope>) -> Option<Vec<RuleTest>> {
        let fallback = Scope::default();
        let scope = scope.unwrap_or(&fallback);
        let items = self.list(node, "`tests`")?;
        let tests: Vec<Option<RuleTest>> = items.iter().map(|item| self.test(item, scope)).collect();
        tests.into_iter().collect()
    }

    fn test(&mut self, node: &Node, scope: &Scope) -> Option<RuleTest> {
        let fields = self.fields(node, "the test", &TEST_KEYS)?;
        let text = self.test_text(&fields);
        let hit = self.required(&fields, "hit", "the test").and_then(|node| self.flag(node, "`hit`"));
        let from = scope.from.first().copied().unwrap_or(Side::Employee);
        let to = scope.to.first().copied().unwrap_or(Side::External);
        let from = self.optional(&fields, "from", from, |this, node| this.choice(node, "`from`", &SIDES));
        let to = self.optional(&fields, "to", to, |this, node| this.choice(node, "`to`", &SIDES));
        let chat = scope.chat.unwrap_or(Chat::Single);
        let chat = self.optional(&fields, "chat", chat, |this, node| this.choice(node, "`chat`", &CHATS));
        let time = self.optional(&fields, "time", None, |this, node| this.moment(node).map(Some));
        let file = self.optional(&fields, "file", None, |this, node| this.test_file(node).map(Some));
        let amount = self.optional(&fields, "amount", None, |this, node| this.yuan(node, "`amount`").map(Some));
        let link = self.line_of_test(&fields, "link");
        let room_name = self.line_of_test(&fields, "room_name");
        let sender_name = self.line_of_test(&fields, "sender_name");
        let msgtype = usual_type(&fields, scope);
        let msgtype = self.optional(&fields, "type", msgtype, |this, node| {
            let name = this.text(node, "`type`")?;
            this.known_type(name, node.at);
            Some(name.to_owned())
        });
        Some(RuleTest {
            text: text?,
            hit: hit?,
            from: from?,
            to: to?,
            msgtype: msgtype?,
            chat: chat?,
            time: time?,
            file: file?,
            amount: amount?,
            link: link?,
            room_name: room_name?,
            sender_name: sender_name?,
            line: node.at.line,
        })
    }

    /// The text may be missing where something else makes the message.
    fn test_text(&mut self, fields: &Fields<'_>) -> Option<String> {
        let others = ["type", "file", "amount", "link", "room_name", "sender_name", "time"];
        if fields.get("text").is_none() && others.iter().any(|key| fields.get(key).is_some()) {
            return Some(String::new());
        }
        let node = self.required(fields, "text", "the test")?;
        self.text(node, "the text of the test").map(str::to_owned)
    }

    /// The outer `None` is a mistake, the inner one a key that is not there.
    fn line_of_test(&mut self, fields: &Fields<'_>, key: &str) -> Option<Option<String>> {
        self.optional(fields, key, None, |this, node| {
            this.text(node, &format!("`{key}`")).map(|text| Some(text.to_owned()))
        })
    }

    fn test_file(&mut self, node: &Node) -> Option<TestFile> {
        let fields = self.fields(node, "`file` of the test", &["name", "size"])?;
        let name = self.required(&fields, "name", "`file` of the test").and_then(|node| self.text(node, "`name`"));
        let size = self.optional(&fields, "size", None, |this, node| this.size(node, "`size`").map(Some));
        Some(TestFile { name: name?.to_owned(), size: size? })
    }

    /// `2026-05-01 22:30` in Beijing, as milliseconds since the Unix epoch, UTC.
    fn moment(&mut self, node: &Node) -> Option<i64> {
        let moment = match &node.value {
            Yaml::Text(text) => text.trim().split_once(' ').and_then(|(day, minute)| {
                let minute = super::basics::minute(minute)?;
                Some(Day::parse(day)?.start_ms() + (i64::from(minute) - 8 * 60) * 60_000)
            }),
            _ => None,
        };
        if moment.is_none() {
            self.wrong(node.at, "`time` must be a day and a time in Beijing, like `2026-05-01 22:30`");
        }
        moment
    }
}

/// The type of message that carries what the test gives; else the first the rule looks at.
fn usual_type(fields: &Fields<'_>, scope: &Scope) -> String {
    let carried = [("file", "file"), ("amount", "redpacket"), ("link", "link")];
    match carried.iter().find(|(key, _)| fields.get(key).is_some()) {
        Some((_, msgtype)) => (*msgtype).to_owned(),
        None => scope.types.first().map_or("text".to_owned(), Clone::clone),
    }
}
