//! What the skim tells of a line.

use super::learn;
use super::shape::{Kind, Shapes, Span, Values};
use crate::engine::{Engine, Evaluated, Scratch, Standing};
use crate::identity::TenantKey;
use crate::matcher::{Found, Told};
use crate::message::{Corp, Extras, Message, Text};
use crate::parse::{Parsed, parse_line};

/// One line of a chunk.
#[derive(Debug)]
pub enum Skimmed<'a> {
    /// A message without a defect and without a finding.
    Clean(Clean<'a>),
    /// A line that must be parsed and evaluated.
    Look(Look<'a>),
}

/// A line that must be parsed and evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    bytes: &'a [u8],
    read: Option<Read<'a>>,
    /// The patterns in its texts, where it was read and the sieve has told all of them.
    found: Option<&'a [Found]>,
}

/// What a line comes to that was looked at.
#[derive(Debug)]
pub struct Looked {
    /// As [`parse_line`] of its bytes.
    pub parsed: Parsed,
    /// The standing of the message, if it is one.
    pub standing: Option<Standing>,
    /// As [`Engine::look`] at the message.
    pub evaluated: Evaluated,
}

/// The envelope of a message in which nothing is found.
#[derive(Debug)]
pub struct Clean<'a> {
    read: Read<'a>,
    standing: Standing,
}

/// A line that was read by its shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read<'a> {
    chunk: &'a [u8],
    values: &'a Values,
    receivers: &'a [Span],
    texts: &'a [Place],
    kind: &'a Kind,
}

/// Where a text stands in the chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) span: Span,
    /// Whether it stands in a string in a string.
    pub(super) nested: bool,
    /// Where its classes begin.
    pub(super) classes: u32,
    /// Whether a character of a word is repeated in it.
    pub(super) runs: bool,
}

impl<'a> Look<'a> {
    pub(super) fn new(bytes: &'a [u8], read: Option<Read<'a>>, found: Option<&'a [Found]>) -> Self {
        Self { bytes, read, found }
    }

    /// The line without its line feed.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Parses and evaluates the line with the engine and for the corp of the skim. What the skim has seen of it is not looked for again.
    pub fn look(&self, engine: &Engine, corp: &Corp, key: &TenantKey, scratch: &mut Scratch) -> Looked {
        let message = self.read.and_then(Read::message);
        // What was told is about the texts of a message that was read by its shape.
        let told = message.as_ref().and(self.read).zip(self.found);
        let mut told = told.into_iter().flat_map(|(read, found)| read.told(found));
        let parsed = match message {
            Some(message) => Parsed { message: Some(message), defects: Vec::new() },
            None => parse_line(self.bytes),
        };
        let standing = parsed.message.as_ref().map(|message| engine.standing(corp, message));
        let evaluated = parsed.message.as_ref().map(|message| engine.look_told(corp, message, key, &mut told, scratch));
        Looked { parsed, standing, evaluated: evaluated.unwrap_or_default() }
    }
}

impl<'a> Read<'a> {
    #[inline(always)]
    pub(super) fn new(
        chunk: &'a [u8],
        values: &'a Values,
        receivers: &'a [Span],
        texts: &'a [Place],
        shapes: &'a Shapes,
    ) -> Option<Self> {
        let receivers = receivers.get(values.to.0 as usize..values.to.1 as usize)?;
        Some(Self { chunk, values, receivers, texts, kind: shapes.kinds().get(values.kind)? })
    }

    /// The whole message, where the shape has all of it.
    fn message(self) -> Option<Message> {
        let model = self.kind.model.as_ref().filter(|model| model.texts.len() == self.texts.len())?;
        let text =
            |(model, place): (&Text, &Place)| Some(Text { field: model.field.clone(), text: self.text(*place)? });
        let texts: Vec<Text> = model.texts.iter().zip(self.texts).map(text).collect::<Option<_>>()?;
        Some(Message {
            msgid: Some(self.part(self.values.msgid).to_owned()),
            action: model.action,
            from: self.from().to_owned(),
            to: self.to().map(str::to_owned).collect(),
            room: self.room().map(str::to_owned),
            msgtime: Some(self.values.msgtime),
            msgtype: model.msgtype.clone(),
            texts: texts.into_iter().filter(|text| !text.text.is_empty()).collect(),
            body: None,
            unread_parties: false,
            extras: Extras::default(),
        })
    }

    /// What patterns found in the texts of the message tell of each.
    fn told(self, found: &'a [Found]) -> impl Iterator<Item = Told<'a>> {
        let places = self.texts.iter();
        let ends = places.clone().skip(1).map(|next| next.classes).chain([u32::MAX]);
        let mut rest = found;
        let told = places.zip(ends).map(move |(place, end)| {
            let found;
            (found, rest) = rest.split_at(rest.partition_point(|found| found.place() < end));
            (place, Told { found, begin: place.classes, runs: place.runs })
        });
        // The message has no empty texts.
        told.filter(|(place, _)| place.span.0 < place.span.1).map(|(_, told)| told)
    }

    fn text(self, place: Place) -> Option<String> {
        let inside = self.chunk.get(place.span.0 as usize..place.span.1 as usize)?;
        let text = learn::unescaped(inside)?;
        if place.nested { learn::unescaped(text.as_bytes()) } else { Some(text) }
    }

    fn from(self) -> &'a str {
        self.part(self.values.from)
    }

    fn to(self) -> impl Iterator<Item = &'a str> {
        self.receivers.iter().map(move |receiver| self.part(*receiver))
    }

    pub(super) fn msgtime(self) -> Option<i64> {
        Some(self.values.msgtime)
    }

    pub(super) fn parties(self) -> impl Iterator<Item = &'a str> {
        std::iter::once_with(move || self.from()).chain(self.to())
    }

    fn room(self) -> Option<&'a str> {
        Some(self.part(self.values.room)).filter(|room| !matches!(*room, "" | "0"))
    }

    fn part(self, span: Span) -> &'a str {
        let bytes = self.chunk.get(span.0 as usize..span.1 as usize).unwrap_or_default();
        // Only ASCII gets here.
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl<'a> Clean<'a> {
    pub(super) fn new(read: Read<'a>, standing: Standing) -> Self {
        Self { read, standing }
    }

    /// Whether the message is one of those that are evaluated.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Id given by WeCom.
    #[must_use]
    pub fn msgid(&self) -> &'a str {
        self.read.part(self.read.values.msgid)
    }

    /// Sender.
    #[must_use]
    pub fn from(&self) -> &'a str {
        self.read.from()
    }

    /// Receivers, in order.
    pub fn to(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.read.to()
    }

    /// Room.
    #[must_use]
    pub fn room(&self) -> Option<&'a str> {
        self.read.room()
    }

    /// Milliseconds since the Unix epoch, UTC.
    #[must_use]
    pub fn msgtime(&self) -> i64 {
        self.read.values.msgtime
    }

    /// Type name as written.
    #[must_use]
    pub fn msgtype(&self) -> &'a str {
        &self.read.kind.msgtype
    }
}
