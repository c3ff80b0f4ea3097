//! Readers that carriers are made of.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

/// A reader that several parts of a carrier hold.
pub(crate) struct Shared<R>(Rc<RefCell<R>>);

impl<R> Shared<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self(Rc::new(RefCell::new(inner)))
    }
}

impl<R> Clone for Shared<R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<R: Read> Read for Shared<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(out)
    }
}

impl<R: Seek> Seek for Shared<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.borrow_mut().seek(to)
    }
}

/// A part of a shared reader.
pub(super) struct Section<R> {
    input: Shared<R>,
    at: u64,
    end: u64,
}

impl<R: Read + Seek> Section<R> {
    pub(super) fn new(input: Shared<R>, at: u64, length: u64) -> Self {
        Self { input, at, end: at.saturating_add(length) }
    }
}

impl<R: Read + Seek> Read for Section<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(out.len());
        self.input.seek(SeekFrom::Start(self.at))?;
        let read = self.input.read(out.get_mut(..room).unwrap_or_default())?;
        self.at += read as u64;
        Ok(read)
    }
}

/// A reader whose first bytes are known.
pub(super) struct Peek<R> {
    first: Vec<u8>,
    at: usize,
    /// Whether the first bytes are all there are.
    is_all: bool,
    /// What happened behind the first bytes, to be told when those are read.
    failed: Option<io::Error>,
    inner: R,
}

impl<R: Read> Peek<R> {
    /// Reads so many first bytes, or fewer where there are no more.
    pub(super) fn new(mut inner: R, bytes: usize) -> io::Result<Self> {
        let mut first = Vec::new();
        let failed = inner.by_ref().take(bytes as u64).read_to_end(&mut first).err();
        match failed {
            Some(error) if first.is_empty() => Err(error),
            failed => Ok(Self { is_all: first.len() < bytes, first, at: 0, failed, inner }),
        }
    }

    pub(super) fn first(&self) -> &[u8] {
        &self.first
    }

    pub(super) fn is_all(&self) -> bool {
        self.is_all
    }
}

impl<R: Read> Read for Peek<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let rest = self.first.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            self.first = Vec::new();
            return self.failed.take().map_or_else(|| self.inner.read(out), Err);
        }
        let take = rest.len().min(out.len());
        out[..take].copy_from_slice(&rest[..take]);
        self.at += take;
        Ok(take)
    }
}

/// Counts what is read through it.
pub(super) struct Counted<R> {
    inner: R,
    bytes: Rc<Cell<u64>>,
}

impl<R> Counted<R> {
    pub(super) fn new(inner: R) -> (Self, Rc<Cell<u64>>) {
        let bytes = Rc::new(Cell::new(0));
        (Self { inner, bytes: Rc::clone(&bytes) }, bytes)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.bytes.set(self.bytes.get() + read as u64);
        Ok(read)
    }
}

/// Makes bytes piece by piece.
pub(super) trait Source {
    /// Adds some bytes to `out`; `false` when there are no more.
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<bool>;
}

/// Bytes made ahead that are kept room for.
const KEPT_BYTES: usize = 1 << 20;

/// Reads what a source makes.
pub(super) struct Made<S> {
    source: S,
    made: Vec<u8>,
    at: usize,
}

impl<S: Source> Made<S> {
    pub(super) fn new(source: S) -> Self {
        Self { source, made: Vec::new(), at: 0 }
    }
}

impl<S: Source> Read for Made<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.made.len() {
            self.made.clear();
            self.made.shrink_to(KEPT_BYTES);
            self.at = 0;
            if !self.source.more(&mut self.made)? && self.made.is_empty() {
                return Ok(0);
            }
        }
        let take = (self.made.len() - self.at).min(out.len());
        out[..take].copy_from_slice(&self.made[self.at..self.at + take]);
        self.at += take;
        Ok(take)
    }
}
