//! Shapes of lines: what stands between the values.
//!
//! One program writes all lines of an export, so nearly all of them have the same bytes between their values: key order, spaces, even the type of the
//! message. A shape says those bytes and what each value is; reading a line by it is comparing, not parsing.
//! All shapes of a file stand in one tree, so that the common front is compared once and the types part where they differ.

use super::values::{id_end, number, plain_end, string_end};
use crate::message::Message;
use crate::parse::milliseconds;

/// What a value of a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The message id, a plain string.
    Msgid,
    /// The sender, an id.
    From,
    /// The receivers, at least one: ids with commas between them, and space behind those.
    Receivers,
    /// The room, a plain string.
    Room,
    /// The time, in seconds or milliseconds.
    Time,
    /// A string that is read for words.
    Text,
    /// A string that is read for words, inside JSON that is a string itself.
    NestedText,
    /// A string nobody reads.
    Unread,
    /// A whole number nobody reads.
    Number,
    /// No value: the line is over, and is a message of this kind, by number.
    End(usize),
}

/// What all lines of a shape have in common.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kind {
    /// The message type.
    pub(super) msgtype: Box<str>,
    /// The message without its values, and with one empty text for each that is read; `None` where values beside those of the envelope and the
    /// texts make up the message.
    pub(super) model: Option<Message>,
}

/// Bytes and the value behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) literal: Box<[u8]>,
    pub(super) slot: Slot,
}

/// From and behind the last byte of a value, in the chunk.
pub(super) type Span = (u32, u32);

/// The values of a line's envelope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) msgid: Span,
    pub(super) from: Span,
    pub(super) room: Span,
    /// Which of the reader's receivers.
    pub(super) to: Span,
    /// Milliseconds.
    pub(super) msgtime: i64,
    /// Number of the kind.
    pub(super) kind: usize,
}

/// Reads the texts of a line.
pub(super) trait Texts {
    /// Takes the JSON string behind the quote before `at` and says where its closing quote is; `None` when the line must go the slow way.
    fn take(&mut self, bytes: &[u8], at: usize) -> Option<usize>;
    /// The same for a string in JSON that is a string itself, and ends before `\"`.
    fn take_nested(&mut self, bytes: &[u8], at: usize) -> Option<usize>;
}

/// Steps of all shapes: a shape that goes beyond is not learned.
const NODES_MAX: usize = 1_000;

/// All shapes learned from a file.
#[derive(Default)]
pub(super) struct Shapes {
    nodes: Vec<Node>,
    first: Vec<usize>,
    /// Kinds of messages, by number.
    kinds: Vec<Kind>,
}

struct Node {
    step: Step,
    next: Vec<usize>,
}

impl Shapes {
    /// Adds a shape. Its last step must be an end.
    pub(super) fn add(&mut self, steps: Vec<Step>) {
        if self.nodes.len() + steps.len() > NODES_MAX {
            return;
        }
        let mut parent = None;
        for step in steps {
            let node = match self.next(parent).iter().copied().find(|node| self.step(*node) == Some(&step)) {
                Some(node) => node,
                None => self.append(parent, step),
            };
            parent = Some(node);
        }
    }

    /// The number of a kind of messages.
    pub(super) fn kind_number(&mut self, kind: Kind) -> usize {
        let known = self.kinds.iter().position(|known| *known == kind);
        known.unwrap_or_else(|| {
            self.kinds.push(kind);
            self.kinds.len() - 1
        })
    }

    /// The kinds of messages, by number.
    pub(super) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Reads the line that begins at `at`, and says where it ends: its line feed or the end of the bytes. `None` when it has no known shape,
    /// or a value that must go the slow way. The receivers are added to `receivers`.
    #[inline(always)]
    pub(super) fn read(
        &self,
        bytes: &[u8],
        mut at: usize,
        receivers: &mut Vec<Span>,
        texts: &mut impl Texts,
    ) -> Option<(Values, usize)> {
        let mut values = Values::default();
        let mut next = &self.first;
        loop {
            let node = next.iter().filter_map(|node| self.nodes.get(*node)).find(|node| node.stands_at(bytes, at))?;
            at += node.step.literal.len();
            match &node.step.slot {
                Slot::Msgid => (values.msgid, at) = trimmed(bytes, at).filter(|(span, _)| span.0 < span.1)?,
                Slot::From => (values.from, at) = id(bytes, at)?,
                Slot::Receivers => (values.to, at) = ids(bytes, at, receivers)?,
                Slot::Room => (values.room, at) = trimmed(bytes, at)?,
                Slot::Time => {
                    let (time, end) = number(bytes, at)?;
                    (values.msgtime, at) = (milliseconds(time).ok()?, end);
                }
                Slot::Text => at = texts.take(bytes, at)?,
                Slot::NestedText => at = texts.take_nested(bytes, at)?,
                Slot::Unread => at = plain_end(bytes, at).or_else(|| string_end(bytes, at))?,
                Slot::Number => at = number(bytes, at)?.1,
                Slot::End(kind) => {
                    values.kind = *kind;
                    return Some((values, line_end(bytes, at)?));
                }
            }
            next = &node.next;
        }
    }

    fn next(&self, parent: Option<usize>) -> &[usize] {
        parent.map_or(&self.first, |parent| self.nodes.get(parent).map_or(&self.first, |node| &node.next))
    }

    fn step(&self, node: usize) -> Option<&Step> {
        self.nodes.get(node).map(|node| &node.step)
    }

    fn append(&mut self, parent: Option<usize>, step: Step) -> usize {
        let node = self.nodes.len();
        let length = |nodes: &[Node], node: usize| nodes.get(node).map_or(0, |node| node.step.literal.len());
        let long = step.literal.len();
        self.nodes.push(Node { step, next: Vec::new() });
        // Longer ones first: a literal may be the front of another.
        let mut siblings = self.next(parent).to_vec();
        let at = siblings.partition_point(|sibling| length(&self.nodes, *sibling) >= long);
        siblings.insert(at, node);
        match parent.and_then(|parent| self.nodes.get_mut(parent)) {
            Some(parent) => parent.next = siblings,
            None => self.first = siblings,
        }
        node
    }
}

impl Node {
    #[inline(always)]
    fn stands_at(&self, bytes: &[u8], at: usize) -> bool {
        let literal = &*self.step.literal;
        bytes.get(at..at + literal.len()).is_some_and(|bytes| same(bytes, literal))
    }
}

/// Whether two stretches of one length are the same, by blocks, the last of which overlaps the one before: they are short, and calling somebody for it
/// takes longer.
#[inline(always)]
fn same(one: &[u8], other: &[u8]) -> bool {
    if let (Some(last), Some(other_last)) = (one.last_chunk::<16>(), other.last_chunk::<16>()) {
        let mut blocks = one.as_chunks::<16>().0.iter().zip(other.as_chunks::<16>().0);
        return blocks.all(|(one, other)| one == other) && last == other_last;
    }
    if let (Some(last), Some(other_last)) = (one.last_chunk::<8>(), other.last_chunk::<8>()) {
        return one.first_chunk::<8>() == other.first_chunk::<8>() && last == other_last;
    }
    one.iter().zip(other).all(|(one, other)| one == other)
}

/// A place in a chunk; chunks are far shorter than 4 GiB, and the caller sees to it.
#[inline(always)]
fn span(begin: usize, end: usize) -> Span {
    (begin as u32, end as u32)
}

#[inline(always)]
fn id(bytes: &[u8], at: usize) -> Option<(Span, usize)> {
    let end = id_end(bytes, at)?;
    Some((span(at, end), end))
}

/// A plain string without space around it.
#[inline(always)]
fn trimmed(bytes: &[u8], at: usize) -> Option<(Span, usize)> {
    let end = plain_end(bytes, at)?;
    let value = bytes.get(at..end)?;
    let padded = value.first() == Some(&b' ') || value.last() == Some(&b' ');
    (!padded).then_some((span(at, end), end))
}

#[inline(always)]
fn ids(bytes: &[u8], mut at: usize, receivers: &mut Vec<Span>) -> Option<(Span, usize)> {
    let first = receivers.len();
    loop {
        let (receiver, end) = id(bytes, at)?;
        receivers.push(receiver);
        if bytes.get(end + 1) != Some(&b',') {
            return Some((span(first, receivers.len()), end));
        }
        let space = bytes.get(end + 2..)?.iter().take_while(|byte| **byte == b' ').count();
        at = end + 2 + space;
        if bytes.get(at) != Some(&b'"') {
            return None;
        }
        at += 1;
    }
}

/// The end of a line whose value ends at `at`.
#[inline(always)]
fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at..at + 2).or_else(|| bytes.get(at..)) {
        Some([b'\n', ..] | []) => Some(at),
        Some([b'\r', b'\n'] | [b'\r']) => Some(at + 1),
        _ => None,
    }
}
