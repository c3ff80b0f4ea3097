//! Lines of an export, with bounded memory whatever the file holds.

use std::io::{self, Read};

use watchpost_proto::digest::{Digest, Running};

/// Bytes asked of the system at once.
const READ_BYTES: usize = 256 * 1024;
/// A line buffer that grew beyond this is given back once the long line is over.
const KEEP_BYTES: usize = 1024 * 1024;

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Ended by a line feed.
    Whole(&'a [u8]),
    /// The last line, without an end: complete, or still being written.
    Unended(&'a [u8]),
    /// Longer than allowed; passed over.
    TooLong,
}

/// Splits a reader into lines and keeps the digest of all whole lines so far.
pub struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    /// Where the next line begins in `buffer`.
    start: usize,
    /// How far `buffer` has been searched for a line feed.
    searched: usize,
    ended: bool,
    line_bytes_max: usize,
    /// Bytes of the input up to the end of the last whole line given.
    offset: u64,
    digest: Option<Running>,
}

impl<R: Read> Lines<R> {
    /// Reads from `input`, which stands at `offset`; `digest` covers what lies before.
    pub fn new(input: R, line_bytes_max: usize, offset: u64, digest: Option<Running>) -> Self {
        Self { input, buffer: Vec::new(), start: 0, searched: 0, ended: false, line_bytes_max, offset, digest }
    }

    /// Bytes up to the end of the last whole line given.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Digest of those bytes, if one is kept.
    pub fn digest(&self) -> Option<Digest> {
        self.digest.as_ref().map(Running::digest)
    }

    /// The next line; `None` at the end.
    #[expect(clippy::should_implement_trait, reason = "lines borrow from the reader, which an iterator cannot")]
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            if let Some(at) = find_line_feed(&self.buffer[self.searched..]) {
                let end = self.searched + at;
                let line = self.start..end;
                self.consume(end + 1);
                let whole = line.len() <= self.line_bytes_max;
                return Ok(Some(if whole { Line::Whole(&self.buffer[line]) } else { Line::TooLong }));
            }
            self.searched = self.buffer.len();
            if self.ended {
                return Ok(self.unended());
            }
            if self.buffer.len() - self.start > self.line_bytes_max {
                return self.pass_over();
            }
            self.fill()?;
        }
    }

    /// As [`Lines::next`] for readers that take lines in bulk: what is whole are one or many lines, each with its line feed.
    pub fn bulk(&mut self) -> io::Result<Option<Line<'_>>> {
        let rest = &self.buffer[self.start..];
        let mut len = memchr::memrchr(b'\n', rest).map_or(0, |at| at + 1);
        // Where there is none, more must be read, and one of these could be too long.
        if len == 0 || len > self.line_bytes_max {
            len = match self.next()? {
                Some(Line::Whole(line)) => line.len() + 1,
                Some(Line::TooLong) => return Ok(Some(Line::TooLong)),
                Some(Line::Unended(_)) | None => return Ok(self.unended()),
            };
        } else {
            self.consume(self.start + len);
        }
        Ok(Some(Line::Whole(&self.buffer[self.start - len..self.start])))
    }

    /// Takes the unended last line as whole: it turned out to be complete.
    pub fn accept_unended(&mut self) {
        if self.ended {
            self.consume(self.buffer.len());
        }
    }

    fn unended(&self) -> Option<Line<'_>> {
        let rest = &self.buffer[self.start..];
        if rest.is_empty() { None } else { Some(Line::Unended(rest)) }
    }

    fn consume(&mut self, end: usize) {
        if let Some(digest) = &mut self.digest {
            digest.update(&self.buffer[self.start..end]);
        }
        self.offset += (end - self.start) as u64;
        self.start = end;
        self.searched = end;
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > KEEP_BYTES {
            self.buffer.shrink_to(READ_BYTES);
        }
        let filled = self.buffer.len();
        self.buffer.resize(filled + READ_BYTES, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(filled + read.as_ref().map_or(0, |read| *read));
        self.ended = read? == 0;
        Ok(())
    }

    /// Skips to the end of a line that is too long, keeping nothing of it.
    fn pass_over(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            self.consume(self.buffer.len());
            self.fill()?;
            if let Some(at) = find_line_feed(&self.buffer) {
                self.consume(at + 1);
                return Ok(Some(Line::TooLong));
            }
            if self.ended {
                return Ok(Some(Line::TooLong));
            }
        }
    }
}

fn find_line_feed(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use watchpost_proto::digest::sha256;

    use super::*;

    /// Gives a few bytes at a time, as a pipe or a slow share does.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let take = self.0.len().min(self.1).min(out.len());
            out[..take].copy_from_slice(&self.0[..take]);
            self.0 = &self.0[take..];
            Ok(take)
        }
    }

    fn all(bytes: &[u8], step: usize, max: usize) -> (Vec<String>, u64) {
        let mut lines = Lines::new(Dribble(bytes, step), max, 0, Some(Running::default()));
        let mut out = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            match line {
                Line::Whole(line) => out.push(String::from_utf8_lossy(line).into_owned()),
                Line::TooLong => out.push("TOO LONG".into()),
                Line::Unended(line) => {
                    out.push(format!("UNENDED {}", String::from_utf8_lossy(line)));
                    break;
                }
            }
        }
        assert_eq!(lines.digest().unwrap(), sha256(&[&bytes[..lines.offset() as usize]]));
        (out, lines.offset())
    }

    #[test]
    fn lines_come_whole_unended_or_too_long() {
        for step in [1, 2, 3, 1000] {
            assert_eq!(all(b"a\nbc\n", step, 10), (vec!["a".into(), "bc".into()], 5));
            assert_eq!(all(b"a\nbc", step, 10), (vec!["a".into(), "UNENDED bc".into()], 2));
            assert_eq!(all(b"aaaa\nbb\n", step, 3), (vec!["TOO LONG".into(), "bb".into()], 8));
            assert_eq!(all(b"b\naaaa", step, 3), (vec!["b".into(), "TOO LONG".into()], 6));
            assert_eq!(all(b"", step, 3), (vec![], 0));
            assert_eq!(all(b"\n\n", step, 3), (vec![String::new(), String::new()], 2));
        }
    }

    /// What `bulk` gives, cut into lines.
    fn all_in_bulk(bytes: &[u8], step: usize, max: usize) -> (Vec<String>, u64) {
        let mut lines = Lines::new(Dribble(bytes, step), max, 0, None);
        let mut out: Vec<String> = Vec::new();
        while let Some(line) = lines.bulk().unwrap() {
            match line {
                Line::Whole(lines) => {
                    let whole = lines.strip_suffix(b"\n").unwrap();
                    out.extend(whole.split(|b| *b == b'\n').map(|line| String::from_utf8_lossy(line).into_owned()));
                }
                Line::TooLong => out.push("TOO LONG".into()),
                Line::Unended(line) => {
                    out.push(format!("UNENDED {}", String::from_utf8_lossy(line)));
                    break;
                }
            }
        }
        (out, lines.offset())
    }

    #[test]
    fn an_unended_line_can_be_accepted() {
        let mut lines = Lines::new(&b"a\nb"[..], 9, 0, None);
        lines.next().unwrap();
        assert_eq!(lines.next().unwrap(), Some(Line::Unended(b"b")));
        lines.accept_unended();
        assert_eq!(lines.offset(), 3);
        assert_eq!(lines.next().unwrap(), None);
    }

    #[test]
    fn a_long_line_does_not_stay_in_memory() {
        let mut text = vec![b'x'; 8 * 1024 * 1024];
        text.extend_from_slice(b"\nnext\n");
        let mut lines = Lines::new(&text[..], 1024, 0, None);
        assert_eq!(lines.next().unwrap(), Some(Line::TooLong));
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"next")));
        assert!(lines.buffer.capacity() < 2 * 1024 * 1024, "{}", lines.buffer.capacity());
    }

    proptest! {
        #[test]
        fn any_bytes_split_the_same_however_they_arrive(bytes in "[ab\n]{0,60}", step in 1usize..9, max in 1usize..9) {
            prop_assert_eq!(all(bytes.as_bytes(), step, max), all(bytes.as_bytes(), 1000, max));
            prop_assert_eq!(all_in_bulk(bytes.as_bytes(), step, max), all(bytes.as_bytes(), 1000, max));
            prop_assert_eq!(all_in_bulk(bytes.as_bytes(), 1000, max), all(bytes.as_bytes(), 1000, max));
        }
    }
}
