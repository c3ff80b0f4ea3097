//! The encoding of text: by its mark, else UTF-8 if it is well-formed, else GB18030, which is what Chinese systems write.

use std::io::{self, Read};

use encoding_rs::{Decoder, Encoding, GB18030, UTF_16BE, UTF_16LE};

use super::SAMPLE_BYTES;
use super::input::{Made, Peek, Source};
use crate::aside::Aside;

/// The mark of UTF-8.
pub(super) const BOM: &[u8] = b"\xEF\xBB\xBF";
/// A zero byte within so many first bytes means that something is no text, unless every other byte is one.
const ZERO_BYTES: usize = 8 * 1024;
/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// The text as UTF-8, and the name of its encoding where it is another.
pub(super) fn decoded<'a>(input: Box<dyn Read + 'a>) -> io::Result<(Box<dyn Read + 'a>, Option<&'static str>)> {
    let peek = Peek::new(input, SAMPLE_BYTES)?;
    let first = peek.first();
    if let Some(encoding) = utf16(first) {
        return Ok((Box::new(Made::new(Transcode::new(peek, encoding))), Some("utf-16")));
    }
    if first.iter().take(ZERO_BYTES).any(|byte| *byte == 0) {
        return Err(Aside::Binary.into());
    }
    if first.is_ascii() && !peek.is_all() {
        return Ok((Box::new(Undecided::new(Box::new(peek))), None));
    }
    if is_gb18030(first) {
        return Ok((Box::new(Made::new(Transcode::new(peek, GB18030))), Some("gb18030")));
    }
    Ok((Box::new(peek), None))
}

/// UTF-16 by its mark, or because every other byte is zero where there is little but ASCII.
fn utf16(first: &[u8]) -> Option<&'static Encoding> {
    if let Some((encoding, _)) = Encoding::for_bom(first) {
        return (encoding != encoding_rs::UTF_8).then_some(encoding);
    }
    let zeros = |odd: usize| {
        let bytes = first.iter().take(ZERO_BYTES).skip(odd).step_by(2);
        bytes.fold((0, 0), |(zeros, all), byte| (zeros + usize::from(*byte == 0), all + 1))
    };
    let ((even, all), (odd, _)) = (zeros(0), zeros(1));
    // Envelopes are ASCII, so that at least a quarter of the units is; of other characters few end in a zero byte.
    match (even * 4 >= all, odd * 4 >= all) {
        (false, true) if even * 20 <= odd => Some(UTF_16LE),
        (true, false) if odd * 20 <= even => Some(UTF_16BE),
        _ => None,
    }
}

/// Whether bytes are Chinese text in GB18030 rather than UTF-8 with something broken in it.
fn is_gb18030(bytes: &[u8]) -> bool {
    let (mut good, mut bad) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        good += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    // One may be a character that was cut. Torn lines break characters in either, but of one that is misread next to nothing fits.
    bad > 1 && bad > good && 4 * broken_in_gb18030(bytes) <= bad
}

fn broken_in_gb18030(bytes: &[u8]) -> usize {
    let mut out = String::with_capacity(bytes.len() * 3);
    // Not the last bytes: a character may be cut.
    let _ = GB18030.new_decoder_without_bom_handling().decode_to_string(bytes, &mut out, false);
    out.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count()
}

/// Decodes to UTF-8. What is malformed becomes U+FFFD, as it does in text that is UTF-8.
struct Transcode<R> {
    input: R,
    decoder: Decoder,
    buffer: Vec<u8>,
    ended: bool,
}

impl<R: Read> Transcode<R> {
    fn new(input: R, encoding: &'static Encoding) -> Self {
        Self { input, decoder: encoding.new_decoder_with_bom_removal(), buffer: vec![0; READ_BYTES], ended: false }
    }
}

impl<R: Read> Source for Transcode<R> {
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let read = self.input.read(&mut self.buffer)?;
        self.ended = read == 0;
        let bytes = &self.buffer[..read];
        let begin = out.len();
        out.resize(begin + self.decoder.max_utf8_buffer_length(read).unwrap_or(3 * READ_BYTES + 16), 0);
        let (_, _, written, _) = self.decoder.decode_to_utf8(bytes, &mut out[begin..], self.ended);
        out.truncate(begin + written);
        Ok(true)
    }
}

/// Text that begins with so much ASCII that nothing is known yet: where it ends decides.
struct Undecided<'a> {
    /// Until it is decided.
    input: Option<Box<dyn Read + 'a>>,
    decided: Box<dyn Read + 'a>,
}

impl<'a> Undecided<'a> {
    fn new(input: Box<dyn Read + 'a>) -> Self {
        Self { input: Some(input), decided: Box::new(io::empty()) }
    }
}

impl Read for Undecided<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(mut input) = self.input.take() else { return self.decided.read(out) };
        let read = match input.read(out) {
            Ok(read) => read,
            Err(error) => {
                self.input = Some(input);
                return Err(error);
            }
        };
        let ascii = out[..read].iter().position(|byte| !byte.is_ascii()).unwrap_or(read);
        if ascii == read {
            self.input = Some(input);
            return Ok(read);
        }
        let rest = out[ascii..read].to_vec();
        let peek = Peek::new(io::Cursor::new(rest).chain(input), SAMPLE_BYTES)?;
        self.decided =
            if is_gb18030(peek.first()) { Box::new(Made::new(Transcode::new(peek, GB18030))) } else { Box::new(peek) };
        if ascii == 0 { self.decided.read(out) } else { Ok(ascii) }
    }
}
