//! Exports through the policy: several at once, told one after the other.
//!
//! Each export has a channel of its own. The workers take exports in order, the caller empties the channels in order, and a
//! channel holds little: a worker that is ahead waits. So memory is bounded and the result does not depend on the threads.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use watchpost_agent::aside::Aside;
use watchpost_agent::carrier::Reading;
use watchpost_agent::lines::{Line, Lines};
use watchpost_policy::engine::{Contributed, Engine, Finding, Scratch, Standing};
use watchpost_policy::identity::{Mid, TenantKey, mid};
use watchpost_policy::message::{Corp, Message};
use watchpost_policy::parse::Defect;
use watchpost_policy::skim::{Looked, Skim, Skimmed};

use super::walk::{Export, SetAside, unread};

/// Stretches of one export whose pieces wait to be told; each may be as long as the longest line.
const WAITING_MAX: usize = 2;

/// Identities of a run are compared with nobody's.
const NO_KEY: TenantKey = TenantKey([0; 32]);

/// What is done with every line.
pub(in crate::commands) struct Reader<'a> {
    pub(in crate::commands) corp: &'a Corp,
    pub(in crate::commands) engine: &'a Engine,
    pub(in crate::commands) progress: &'a ProgressBar,
    pub(in crate::commands) reading: &'a Reading,
    /// The present moment.
    pub(in crate::commands) now_ms: i64,
}

/// What the reading of an export gives, in order of its lines; the end comes last.
pub(in crate::commands) enum Piece {
    Evaluated(Box<Evaluated>),
    End(End),
}

/// A message with something to tell.
pub(in crate::commands) struct Evaluated {
    /// From 1.
    pub(in crate::commands) line: u64,
    pub(in crate::commands) mid: Mid,
    pub(in crate::commands) message: Message,
    pub(in crate::commands) findings: Vec<Finding>,
    /// What it adds to windows.
    pub(in crate::commands) contributions: Vec<Contributed>,
}

/// What an export held.
#[derive(Default)]
pub(in crate::commands) struct End {
    pub(in crate::commands) bytes: u64,
    pub(in crate::commands) lines: u64,
    /// Messages evaluated.
    pub(in crate::commands) messages: u64,
    pub(in crate::commands) out_of_scope: u64,
    /// The newest msgtime of messages that were looked at.
    pub(in crate::commands) newest_ms: Option<i64>,
    pub(in crate::commands) defects: BTreeMap<&'static str, u64>,
    /// Why it was not read, or not to its end.
    pub(in crate::commands) aside: Option<SetAside>,
}

/// Reads exports, `threads` at once, and gives every piece to `told` in order of exports and lines.
///
/// # Errors
/// The first error of `told`; nothing is read beyond it.
pub(in crate::commands) fn in_order<'e>(
    reader: &Reader<'_>,
    exports: &'e [Export],
    threads: NonZeroUsize,
    mut told: impl FnMut(&'e Export, Piece) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (queue, receivers) = channel();
    let queue = Mutex::new(Queue { next: 0, receivers: queue });
    std::thread::scope(|scope| {
        // Dropped when `told` fails, so that no worker waits for ever on a full channel.
        let receivers = receivers;
        for _ in 0..threads.get().min(exports.len()) {
            scope.spawn(|| {
                while let Some((export, sender)) = take(&queue, exports) {
                    reader.export(export, &sender);
                }
            });
        }
        for export in exports {
            // A worker that fails closes its channel, and the scope passes the failure on.
            let Ok(pieces) = receivers.recv() else { break };
            pieces.into_iter().flatten().try_for_each(|piece| told(export, piece))?;
        }
        Ok(())
    })
}

/// Which export is next. Taking it and handing over its channel is one step, so that channels arrive in order.
struct Queue {
    next: usize,
    receivers: Sender<Receiver<Vec<Piece>>>,
}

fn take<'e>(queue: &Mutex<Queue>, exports: &'e [Export]) -> Option<(&'e Export, SyncSender<Vec<Piece>>)> {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    let export = exports.get(queue.next)?;
    let (sender, receiver) = sync_channel(WAITING_MAX);
    queue.receivers.send(receiver).ok()?;
    queue.next += 1;
    Some((export, sender))
}

/// Nobody wants to hear more.
struct Unheard;

impl Reader<'_> {
    fn export(&self, export: &Export, sender: &SyncSender<Vec<Piece>>) {
        let (scratch, end, pieces) = (Scratch::default(), End::default(), Vec::new());
        let mut sight = Sight { reader: self, scratch, end, pieces, sender };
        match export.open(self.progress, self.reading) {
            Ok(carried) => {
                if sight
                    .lines(Lines::new(carried.lines, self.reading.limits.record_bytes_max, 0, None), &export.name)
                    .is_err()
                {
                    return;
                }
                sight.end.settle(&export.name);
            }
            Err(aside) => sight.end.aside = Some(aside),
        }
        // Nobody to hear the end is nobody to miss it.
        drop(sender.send(vec![Piece::End(sight.end)]));
    }
}

/// One export while it is read.
struct Sight<'a> {
    reader: &'a Reader<'a>,
    scratch: Scratch,
    end: End,
    /// Of one stretch of lines, handed over together: each by itself would take longer than to find it.
    pieces: Vec<Piece>,
    sender: &'a SyncSender<Vec<Piece>>,
}

impl Sight<'_> {
    fn lines<R: io::Read>(&mut self, mut lines: Lines<R>, name: &str) -> Result<(), Unheard> {
        let mut skim = Skim::new(self.reader.engine, self.reader.corp);
        loop {
            let last = match lines.bulk() {
                Ok(None) => break,
                Ok(Some(Line::Whole(lines))) => self.stretch(&mut skim, lines).map(|()| false)?,
                Ok(Some(Line::Unended(line))) => self.stretch(&mut skim, line).map(|()| true)?,
                Ok(Some(Line::TooLong)) => {
                    self.end.lines += 1;
                    self.end.defect("line_too_long");
                    false
                }
                Err(error) => {
                    self.end.aside = Some(unread(name, &error));
                    break;
                }
            };
            if last {
                lines.accept_unended();
                break;
            }
        }
        self.end.bytes = lines.offset();
        Ok(())
    }

    /// Goes over some lines and hands over what came of them.
    fn stretch(&mut self, skim: &mut Skim<'_>, lines: &[u8]) -> Result<(), Unheard> {
        let Ok(()) = skim.lines(lines, &mut |line| {
            self.line(line);
            Ok::<(), Infallible>(())
        });
        if self.pieces.is_empty() {
            return Ok(());
        }
        self.sender.send(std::mem::take(&mut self.pieces)).map_err(|_| Unheard)
    }

    fn line(&mut self, line: Skimmed<'_>) {
        self.end.lines += 1;
        match line {
            Skimmed::Clean(clean) => self.count(clean.standing()),
            Skimmed::Look(line) => {
                let Reader { corp, engine, .. } = self.reader;
                let looked = line.look(engine, corp, &NO_KEY, &mut self.scratch);
                self.looked(looked);
            }
        }
    }

    fn count(&mut self, standing: Standing) {
        match standing {
            Standing::Evaluate => self.end.messages += 1,
            Standing::OutOfScope | Standing::Never => self.end.out_of_scope += 1,
        }
    }

    fn looked(&mut self, looked: Looked) {
        let Looked { parsed, standing, evaluated } = looked;
        parsed.defects.iter().for_each(|defect| self.end.defect(defect.code()));
        standing.into_iter().for_each(|standing| self.count(standing));
        let Some(message) = parsed.message else { return };
        // A message of tomorrow says nothing of how far the export has come, nor does what is told of no message.
        let msgtime = message.msgtime.filter(|msgtime| *msgtime <= self.reader.now_ms && !message.is_record());
        self.end.newest_ms = self.end.newest_ms.max(msgtime);
        // Out of scope there are none.
        let watchpost_policy::engine::Evaluated { findings, contributions, .. } = evaluated;
        if findings.is_empty() && contributions.is_empty() {
            return;
        }
        let mid = mid(&NO_KEY, self.reader.corp, &message);
        let evaluated = Evaluated { line: self.end.lines, mid, message, findings, contributions };
        self.pieces.push(Piece::Evaluated(Box::new(evaluated)));
    }
}

impl End {
    fn defect(&mut self, code: &'static str) {
        *self.defects.entry(code).or_default() += 1;
    }

    /// A file of lines of which none is a message is told: somebody took it for an export.
    fn settle(&mut self, name: &str) {
        if self.aside.is_none() && self.bytes > 0 && self.messages + self.out_of_scope == 0 {
            let sealed = self.defects.contains_key(Defect::Encrypted.code());
            let aside = if sealed { Aside::Sealed } else { Aside::Unrecognised };
            self.aside = Some(SetAside::passed_over(name, aside.sentence()));
        }
    }
}
