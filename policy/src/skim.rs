//! Skims an export: goes over its bytes and tells the lines that must be looked at from those in which nothing can be found.
//!
//! Parsing a line and evaluating its message is right and takes two microseconds. Most lines of an export are written alike, have no defect and no word of
//! any list in them; for those the answer is known without either. The skim reads such a line by its **shape** (the bytes between its values,
//! learned from the file), takes its texts through the sieve of the matcher, and says [`Skimmed::Clean`]. Everything else is
//! [`Skimmed::Look`]: the line is parsed and evaluated as if there were no skim.
//!
//! ```text
//! chunk ─► shape ─► envelope (byte ranges)
//!             └───► texts ─► classes ─► gate ─► trie ─► Clean | Look
//! ```
//!
//! What clean means, and tests hold it to that: [`parse_line`](crate::parse::parse_line) gives a message without a defect and with the same envelope, and
//! [`Engine::evaluate`] gives nothing for it.
//!
//! ```
//! use watchpost_policy::engine::{Engine, Scratch, Standing};
//! use watchpost_policy::identity::TenantKey;
//! use watchpost_policy::message::Corp;
//! use watchpost_policy::skim::{Skim, Skimmed};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::compile(watchpost_policy::packs::builtin().unwrap_or_default(), None)?;
//! let corp = Corp::new("ww1");
//! let key = TenantKey([0; 32]);
//! let (mut scratch, mut messages, mut findings) = (Scratch::default(), 0, 0);
//! let mut skim = Skim::new(&engine, &corp);
//! let chunk = b"{\"msgid\":\"1\"}\nwhole lines only\n";
//! skim.lines(chunk, &mut |line| {
//!     match line {
//!         Skimmed::Clean(clean) => messages += usize::from(clean.standing() == Standing::Evaluate),
//!         Skimmed::Look(line) => {
//!             let looked = line.look(&engine, &corp, &key, &mut scratch);
//!             messages += usize::from(looked.standing == Some(Standing::Evaluate));
//!             findings += looked.evaluated.findings.len();
//!         }
//!     }
//!     Ok::<(), std::io::Error>(())
//! })?;
//! # Ok(())
//! # }
//! ```

use std::ops::ControlFlow;

use crate::engine::{Engine, Standing};
use crate::matcher::{Buffer, Decoded, Found, Sieve, written};
use crate::message::Corp;

mod learn;
mod line;
mod shape;
mod values;
mod watch;

pub use line::{Clean, Look, Looked, Skimmed};
use line::{Place, Read};
use shape::{Shapes, Span, Texts, Values};
pub(crate) use watch::Watch;
use watch::{Glance, OfType};

/// Classes gathered before the gate goes over them: enough that its loop runs long, few enough to stay in the first-level cache.
const BATCH: usize = 8 * 1024;
/// Lines gathered at most: a file of pictures has no classes.
const LINES: usize = 1024;
/// Patterns remembered of a batch. Ordinary text has some hundred; beyond these every line is looked at.
const FOUND_MAX: usize = 16 * 1024;
/// Bytes of one text; a longer one is looked at. Far less than parsing reads of a message, so that is never too much.
const TEXT_BYTES_MAX: usize = 48 * 1024;
/// Lines of no known shape that are learned from before the skim gives up on them…
const PATIENCE: u32 = 1024;
/// … and how many lines it takes to try one more: an export may change its spelling in the middle.
const LINES_PER_TRY: u32 = 64;

/// Goes over the chunks of one export. What it has learned of their spelling stays; a new export may as well have a new skim.
pub struct Skim<'e> {
    engine: &'e Engine,
    watch: &'e Watch,
    corp: Corp,
    shapes: Shapes,
    /// By number of the kind.
    of_kinds: Vec<OfType>,
    /// Lines that may still be learned from.
    patience: u32,
    seen: u32,
    batch: Batch,
}

/// Lines that wait for the gate.
struct Batch {
    lines: Vec<Line>,
    receivers: Vec<Span>,
    texts: Vec<Place>,
    classes: Buffer,
    found: Vec<Found>,
}

/// A line that waits, in order.
struct Line {
    span: Span,
    /// Where its classes end.
    classes_end: u32,
    /// Where its texts end.
    texts_end: u32,
    /// Whether it must be looked at whatever the gate says.
    look: bool,
    /// Whether the sieve does not tell all of it.
    untold: bool,
    /// What was read of it.
    values: Option<Values>,
}

impl std::fmt::Debug for Skim<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Skim").field("corp", &self.corp).finish_non_exhaustive()
    }
}

impl<'e> Skim<'e> {
    /// A skim for one export of a corp.
    #[must_use]
    pub fn new(engine: &'e Engine, corp: &Corp) -> Self {
        let batch = Batch {
            lines: Vec::with_capacity(LINES),
            receivers: Vec::with_capacity(LINES),
            texts: Vec::with_capacity(LINES),
            classes: Buffer::new(BATCH + TEXT_BYTES_MAX),
            found: Vec::new(),
        };
        Self {
            engine,
            watch: engine.watch(),
            corp: corp.clone(),
            shapes: Shapes::default(),
            of_kinds: Vec::new(),
            patience: PATIENCE,
            seen: 0,
            batch,
        }
    }

    /// Goes over whole lines and calls `sink` for each, in order. Only the last line of an export may be without its line feed. Chunks of some hundred
    /// KiB are best: they stay in the cache between the readers.
    ///
    /// # Errors
    /// The first error of `sink`, which ends the work.
    pub fn lines<E>(&mut self, chunk: &[u8], sink: &mut impl FnMut(Skimmed<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut at = 0;
        while at < chunk.len() {
            at = self.line(chunk, at) + 1;
            if self.batch.classes.len() >= BATCH || self.batch.lines.len() >= LINES {
                self.flush(chunk, sink)?;
            }
        }
        self.flush(chunk, sink)
    }

    /// Takes one line into the batch and says where it ends.
    #[inline(always)]
    fn line(&mut self, chunk: &[u8], at: usize) -> usize {
        let batch = &mut self.batch;
        let (classes, receivers, texts) = (batch.classes.len(), batch.receivers.len(), batch.texts.len());
        let mut sieved = Sieved {
            sieve: self.engine.sieve(),
            glance: self.watch.glance.as_ref(),
            classes: &mut batch.classes,
            texts: &mut batch.texts,
            glanced: false,
            untold: false,
        };
        let read = self.shapes.read(chunk, at, &mut batch.receivers, &mut sieved);
        let (glanced, untold) = (sieved.glanced, sieved.untold);
        self.seen += 1;
        let (values, look, end) = match read {
            Some((values, end)) => {
                let look = match self.of_kinds.get(values.kind) {
                    Some(OfType::Never) => false,
                    Some(OfType::Glanced) => glanced,
                    Some(OfType::Always) | None => true,
                };
                (Some(values), look, end)
            }
            None => {
                batch.classes.truncate(classes);
                batch.receivers.truncate(receivers);
                batch.texts.truncate(texts);
                (None, true, self.unread(chunk, at))
            }
        };
        let batch = &mut self.batch;
        batch.lines.push(Line {
            span: (at as u32, end as u32),
            classes_end: batch.classes.len() as u32,
            texts_end: batch.texts.len() as u32,
            look,
            untold,
            values,
        });
        end
    }

    /// A line that could not be read by its shape: where it ends. Learns from it if that may help.
    #[cold]
    fn unread(&mut self, chunk: &[u8], at: usize) -> usize {
        let rest = chunk.get(at..).unwrap_or_default();
        let end = at + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.patience = (self.patience + self.seen / LINES_PER_TRY).min(PATIENCE);
        self.seen %= LINES_PER_TRY;
        if self.patience > 0 {
            self.patience -= 1;
            let line = chunk.get(at..end).unwrap_or_default();
            learn::learn(&mut self.shapes, line.strip_suffix(b"\r").unwrap_or(line));
            let new = self.shapes.kinds().iter().skip(self.of_kinds.len());
            self.of_kinds.extend(new.map(|kind| self.watch.of_type(&kind.msgtype)));
        }
        end
    }

    /// Lets the gate go over the batch and hands its lines over.
    fn flush<E>(&mut self, chunk: &[u8], sink: &mut impl FnMut(Skimmed<'_>) -> Result<(), E>) -> Result<(), E> {
        let batch = &mut self.batch;
        let told_end = batch.sieve(self.engine.sieve());
        let mut rest = &batch.found[..];
        let mut texts_begin = 0;
        let mut result = Ok(());
        for line in &batch.lines {
            let found;
            (found, rest) = rest.split_at(rest.iter().take_while(|found| found.place() < line.classes_end).count());
            let found = (line.classes_end <= told_end && !line.untold).then_some(found);
            let has_reason = found.is_none_or(|found| found.iter().any(|found| self.watch.words.has(found.number())));
            let texts = batch.texts.get(texts_begin..line.texts_end as usize).unwrap_or_default();
            texts_begin = line.texts_end as usize;
            let read =
                line.values.as_ref().and_then(|values| Read::new(chunk, values, &batch.receivers, texts, &self.shapes));
            let standing = read.map(|read| self.engine.standing_among(&self.corp, read.msgtime(), read.parties()));
            // Out of scope nothing is found, whatever the gate says.
            let look = line.look || has_reason && standing == Some(Standing::Evaluate);
            result = match (read, standing) {
                (Some(read), Some(standing)) if !look => sink(Skimmed::Clean(Clean::new(read, standing))),
                _ => {
                    let bytes = chunk.get(line.span.0 as usize..line.span.1 as usize).unwrap_or_default();
                    sink(Skimmed::Look(Look::new(bytes, read, found)))
                }
            };
            if result.is_err() {
                break;
            }
        }
        batch.lines.clear();
        batch.receivers.clear();
        batch.texts.clear();
        batch.classes.truncate(0);
        result
    }
}

impl Batch {
    /// Finds all patterns, and says up to where those are all.
    fn sieve(&mut self, sieve: &Sieve) -> u32 {
        self.found.clear();
        let mut end = u32::MAX;
        let _ = sieve.patterns(&mut self.classes, |found| {
            if self.found.len() < FOUND_MAX {
                self.found.push(found);
                return ControlFlow::Continue(());
            }
            end = found.place();
            ControlFlow::Break(())
        });
        end
    }
}

/// Texts go through the sieve, and are glanced at.
struct Sieved<'a> {
    sieve: &'a Sieve,
    glance: Option<&'a Glance>,
    classes: &'a mut Buffer,
    texts: &'a mut Vec<Place>,
    /// Whether the glance stopped at one.
    glanced: bool,
    /// Whether there is one of which the sieve tells nothing.
    untold: bool,
}

impl Sieved<'_> {
    #[inline(always)]
    fn text<const WRITTEN: u8>(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let bytes = bytes.get(..at + TEXT_BYTES_MAX).unwrap_or(bytes);
        let classes = self.classes.len() as u32;
        let Decoded { end, runs } = match self.sieve.json::<WRITTEN>(bytes, at, self.classes) {
            Some(decoded) => decoded,
            None => self.untold::<WRITTEN>(bytes, at, classes)?,
        };
        let nested = WRITTEN == written::NESTED;
        self.texts.push(Place { span: (at as u32, end as u32), nested, classes, runs });
        // What is escaped twice is not glanced at.
        let stops = |glance: &Glance| {
            nested && bytes.get(at..end).is_none_or(|text| text.contains(&b'\\')) || glance.stops_at(bytes, at, end)
        };
        self.glanced = self.glanced || self.glance.is_some_and(stops);
        Some(end)
    }
}

impl Sieved<'_> {
    /// A text that the sieve cannot tell may still be well-formed. What it has written of it is taken back.
    #[cold]
    fn untold<const WRITTEN: u8>(&mut self, bytes: &[u8], at: usize, classes: u32) -> Option<Decoded> {
        self.classes.truncate(classes as usize);
        self.untold = true;
        let end = if WRITTEN == written::JSON { values::string_end(bytes, at)? } else { return None };
        Some(Decoded { end, runs: false })
    }
}

impl Texts for Sieved<'_> {
    #[inline(always)]
    fn take(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        self.text::<{ written::JSON }>(bytes, at)
    }

    fn take_nested(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        self.text::<{ written::NESTED }>(bytes, at)
    }
}

#[cfg(test)]
mod tests;
