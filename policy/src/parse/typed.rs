//! The fast path: a plain text message whose keys are exactly the official ones, read without building a tree.
//!
//! It answers only where [`super::parse_any`] would answer the same without a defect; everything else is left to that. Unknown keys and
//! doubled keys are refused, so nothing stands in the line that was not looked at.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};

use super::texts::TEXT_BYTES_MAX;
use super::{RECEIVER_SEPARATORS, may_be_id, milliseconds};
use crate::message::{Action, Extras, Message, Text};

/// The message, or `None` when the line needs the slow path.
pub(super) fn parse(line: &[u8]) -> Option<Message> {
    // Derived structs accept JSON arrays as well.
    if line.first() != Some(&b'{') {
        return None;
    }
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let plain = line.action == "send"
        && line.msgtype == "text"
        && !line.msgid.is_empty()
        && line.msgid.trim().len() == line.msgid.len()
        && id(&line.from)
        && !line.tolist.is_empty()
        && line.tolist.iter().all(id);
    plain.then(|| line.message()).flatten()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    msgid: Cow<'a, str>,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    tolist: Vec<Id<'a>>,
    #[serde(borrow, default)]
    roomid: Cow<'a, str>,
    msgtime: i64,
    #[serde(borrow)]
    msgtype: Cow<'a, str>,
    text: Body,
}

/// `Vec<Cow<str>>` never borrows; this does.
#[derive(Deserialize)]
#[serde(transparent)]
struct Id<'a>(#[serde(borrow)] Cow<'a, str>);

impl AsRef<str> for Id<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Line<'_> {
    fn message(self) -> Option<Message> {
        let room = self.roomid.trim();
        Some(Message {
            msgid: Some(self.msgid.into_owned()),
            action: Action::Send,
            from: self.from.into_owned(),
            to: self.tolist.into_iter().map(|id| id.0.into_owned()).collect(),
            room: (!matches!(room, "" | "0")).then(|| room.to_owned()),
            msgtime: Some(milliseconds(self.msgtime).ok()?),
            msgtype: self.msgtype.into_owned(),
            texts: self.text.texts()?,
            body: None,
            unread_parties: false,
            extras: Extras::default(),
        })
    }
}

/// `{"content":"…"}` and nothing else.
struct Body(String);

impl Body {
    fn texts(self) -> Option<Vec<Text>> {
        (1..=TEXT_BYTES_MAX).contains(&self.0.len()).then(|| vec![Text { field: content(), text: self.0 }])
    }
}

/// The path of nearly all texts.
fn content() -> Arc<str> {
    static CONTENT: LazyLock<Arc<str>> = LazyLock::new(|| "text.content".into());
    CONTENT.clone()
}

/// An id that the slow path would take as it is.
fn id(id: &impl AsRef<str>) -> bool {
    let id = id.as_ref();
    !id.is_empty() && may_be_id(id) && !id.contains(RECEIVER_SEPARATORS)
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one string under `content`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        let mut content = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key != "content" || content.is_some() {
                return Err(de::Error::custom("another key"));
            }
            content = Some(map.next_value::<String>()?);
        }
        content.map(Body).ok_or_else(|| de::Error::missing_field("content"))
    }
}
