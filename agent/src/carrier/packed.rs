//! Compressed files and archives, unpacked within bounds.

use std::cell::Cell;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;

use watchpost_policy::parse::Defect;
use zip::{CompressionMethod, ZipArchive};

use super::input::{Counted, Made, Peek, Section, Shared, Source};
use super::{Carried, Limits, Reading, SAMPLE_BYTES, mark, open_text, workbook};
use crate::aside::Aside;

/// Bytes of the packed input read at once.
const READ_BYTES: usize = 64 * 1024;
/// Bytes of its own output a zstd stream may refer back to; what real programs write needs 8 MiB at most.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;

/// What first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Magic {
    Gzip,
    Zstd,
    Bzip2,
    Zip,
    /// Something that is never an export, and why.
    Other(Aside),
}

impl Magic {
    pub(super) fn of(first: &[u8]) -> Option<Self> {
        const KNOWN: [(&[u8], Magic); 17] = [
            (b"\x1F\x8B\x08", Magic::Gzip),
            (b"\x28\xB5\x2F\xFD", Magic::Zstd),
            (b"BZh", Magic::Bzip2),
            (b"PK\x03\x04", Magic::Zip),
            (b"PK\x05\x06", Magic::Zip),
            (b"SQLite format 3\0", Magic::Other(Aside::Database)),
            (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", Magic::Other(Aside::OldOffice)),
            (b"%TSD-Header-###%", Magic::Other(Aside::Protected)),
            (b"\x62\x14\x23\x65", Magic::Other(Aside::Protected)),
            (b"7z\xBC\xAF\x27\x1C", Magic::Other(Aside::Archive)),
            (b"Rar!\x1A\x07", Magic::Other(Aside::Archive)),
            (b"\xFD7zXZ\0", Magic::Other(Aside::Archive)),
            (b"%PDF-", Magic::Other(Aside::Media)),
            (b"\xFF\xD8\xFF", Magic::Other(Aside::Media)),
            (b"\x89PNG\r\n", Magic::Other(Aside::Media)),
            (b"GIF8", Magic::Other(Aside::Media)),
            (b"#!AMR", Magic::Other(Aside::Media)),
        ];
        KNOWN.into_iter().find(|(magic, _)| first.starts_with(magic)).map(|(_, magic)| magic)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Zip => "zip",
            Self::Other(aside) => aside.as_str(),
        }
    }
}

/// Unpacks a compressed stream.
pub(super) fn stream<'a>(input: impl Read + 'a, magic: Magic, limits: Limits) -> io::Result<Box<dyn Read + 'a>> {
    let (input, packed) = Counted::new(input);
    let input = BufReader::with_capacity(READ_BYTES, input);
    let inner: Box<dyn Read + 'a> = match magic {
        Magic::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Magic::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Magic::Zstd => Box::new(zstd_decoder(input)?),
        // Its directory stands at the end.
        Magic::Zip => return Err(Aside::Archive.into()),
        Magic::Other(aside) => return Err(aside.into()),
    };
    Ok(Box::new(Bounded { inner, packed, unpacked: 0, limits }))
}

fn zstd_decoder<'a, R: io::BufRead + 'a>(input: R) -> io::Result<zstd::Decoder<'a, R>> {
    let mut decoder = zstd::Decoder::with_buffer(input)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

/// Ends with an error where more comes out than may.
struct Bounded<'a> {
    inner: Box<dyn Read + 'a>,
    packed: Rc<Cell<u64>>,
    unpacked: u64,
    limits: Limits,
}

impl Read for Bounded<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out).map_err(|error| match error {
            error if is_of_system(&error) || error.kind() == io::ErrorKind::Interrupted => error,
            _ => Aside::Corrupt.into(),
        })?;
        self.unpacked += read as u64;
        if self.unpacked > self.limits.unpacked_bytes_max {
            return Err(Aside::TooLarge.into());
        }
        if self.unpacked > self.limits.unpacked_max(self.packed.get()) { Err(Aside::Bomb.into()) } else { Ok(read) }
    }
}

/// The exports in a zip archive, one behind the other in the order of its directory.
pub(super) fn archive<'a, R: Read + Seek + 'a>(mut export: Shared<R>, reading: &Reading) -> io::Result<Carried<'a>> {
    let limits = reading.limits;
    let size = export.seek(SeekFrom::End(0))?;
    let told = files_told(&mut export, size)?;
    if told > limits.members_max {
        return Err(Aside::TooLarge.into());
    }
    let mut directory = ZipArchive::new(BufReader::new(export.clone())).map_err(damaged)?;
    // Of files of one name the directory keeps the last; those that cannot be found are counted as well.
    let mut missing = told.saturating_sub(directory.len());
    let mut members = Vec::with_capacity(directory.len());
    for index in 0..directory.len() {
        let Ok(member) = directory.by_index_raw(index) else {
            missing += 1;
            continue;
        };
        let (is_dir, begin) = (member.is_dir(), member.data_start());
        let name = String::from_utf8_lossy(member.name_raw()).to_lowercase().replace('\\', "/");
        match begin {
            _ if is_dir => {}
            None => missing += 1,
            Some(begin) => members.push((
                name,
                Member {
                    begin,
                    length: member.compressed_size(),
                    unpacked: member.size(),
                    crc: member.crc32(),
                    method: member.compression(),
                    is_encrypted: member.encrypted(),
                },
            )),
        }
    }
    if let Some(parts) = workbook::Parts::of(&members) {
        return workbook::lines(export, size, parts, reading);
    }
    let members: Vec<Member> = members.into_iter().rev().map(|(_, member)| member).collect();
    // Files of an archive may be the same bytes over and over.
    let unpacked_max = limits.unpacked_max(size);
    let members = Members {
        export,
        members,
        reading: reading.clone(),
        unpacked_max,
        total: Rc::new(Cell::new(0)),
        missing,
        open: None,
        aside: Some(Aside::NothingInside),
    };
    // An archive in which no export is found is told at once.
    let lines = Peek::new(Made::new(members), 1)?;
    Ok(Carried { lines: Box::new(lines), carrier: Magic::Zip.name().to_owned() })
}

/// How many files the end of an archive says there are, before anything is made of them.
fn files_told<R: Read + Seek>(export: &mut Shared<R>, size: u64) -> io::Result<usize> {
    const END: &[u8] = b"PK\x05\x06";
    const END_BYTES: u64 = 22 + 65_535;
    export.seek(SeekFrom::Start(size.saturating_sub(END_BYTES)))?;
    let mut tail = Vec::new();
    export.by_ref().take(END_BYTES).read_to_end(&mut tail)?;
    let end = memchr::memmem::rfind(&tail, END).ok_or(Aside::Corrupt)?;
    let count = tail.get(end + 10..end + 12).and_then(|bytes| bytes.try_into().ok()).map(u16::from_le_bytes);
    Ok(usize::from(count.ok_or(Aside::Corrupt)?))
}

/// Whether the system said it of the file itself, and not because it was asked for what cannot be.
fn is_of_system(error: &io::Error) -> bool {
    error.raw_os_error().is_some() && error.kind() != io::ErrorKind::InvalidInput
}

fn damaged(error: zip::result::ZipError) -> io::Error {
    match error {
        zip::result::ZipError::Io(error) if is_of_system(&error) => error,
        _ => Aside::Corrupt.into(),
    }
}

/// A file in an archive.
#[derive(Clone, Copy)]
pub(super) struct Member {
    begin: u64,
    length: u64,
    unpacked: u64,
    crc: u32,
    method: CompressionMethod,
    is_encrypted: bool,
}

/// Unpacks a file in an archive.
pub(super) fn open_member<'a, R: Read + Seek + 'a>(
    export: &Shared<R>,
    member: Member,
    limits: Limits,
) -> io::Result<Box<dyn Read + 'a>> {
    let (input, packed) = Counted::new(Section::new(export.clone(), member.begin, member.length));
    let input = BufReader::with_capacity(READ_BYTES, input);
    let inner: Box<dyn Read + 'a> = match member.method {
        _ if member.is_encrypted => return Err(Aside::Encrypted.into()),
        CompressionMethod::STORE => Box::new(input),
        CompressionMethod::DEFLATE => Box::new(flate2::bufread::DeflateDecoder::new(input)),
        CompressionMethod::BZIP2 => Box::new(bzip2::bufread::BzDecoder::new(input)),
        CompressionMethod::ZSTD => Box::new(zstd_decoder(input)?),
        _ => return Err(Aside::Archive.into()),
    };
    let inner = Box::new(Checked { inner, left: member.unpacked, crc: flate2::Crc::new(), expected: member.crc });
    Ok(Box::new(Bounded { inner, packed, unpacked: 0, limits }))
}

/// Ends with an error where a file in an archive is not what its directory says.
struct Checked<'a> {
    inner: Box<dyn Read + 'a>,
    left: u64,
    crc: flate2::Crc,
    expected: u32,
}

impl Read for Checked<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.crc.update(&out[..read]);
        let is_whole = match self.left.checked_sub(read as u64) {
            Some(left) => {
                self.left = left;
                read > 0 || out.is_empty() || left == 0 && self.crc.sum() == self.expected
            }
            None => false,
        };
        if is_whole { Ok(read) } else { Err(Aside::Corrupt.into()) }
    }
}

/// Counts what is unpacked of all files of an archive together.
struct Totalled<'a> {
    inner: Box<dyn Read + 'a>,
    total: Rc<Cell<u64>>,
    bytes_max: u64,
}

impl Read for Totalled<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.total.set(self.total.get() + read as u64);
        if self.total.get() > self.bytes_max { Err(Aside::TooLarge.into()) } else { Ok(read) }
    }
}

struct Members<'a, R> {
    export: Shared<R>,
    /// Those to come, the next one last.
    members: Vec<Member>,
    reading: Reading,
    /// Bytes that may be unpacked, and have been, of all members together.
    unpacked_max: u64,
    total: Rc<Cell<u64>>,
    /// Files that are in the archive and cannot be found.
    missing: usize,
    open: Option<Box<dyn Read + 'a>>,
    /// Why the archive is set aside if no member turns out to be an export.
    aside: Option<Aside>,
}

impl<'a, R: Read + Seek + 'a> Members<'a, R> {
    /// Opens a member that is an export.
    fn member(&self, member: Member) -> io::Result<Box<dyn Read + 'a>> {
        let inner = open_member(&self.export, member, self.reading.limits)?;
        let input = Totalled { inner, total: Rc::clone(&self.total), bytes_max: self.unpacked_max };
        let peek = Peek::new(input, SAMPLE_BYTES)?;
        match Magic::of(peek.first()) {
            None => Ok(open_text(Box::new(peek), &self.reading)?.lines),
            Some(Magic::Other(aside)) => Err(aside.into()),
            Some(_) => Err(Aside::Nested.into()),
        }
    }
}

impl<'a, R: Read + Seek + 'a> Source for Members<'a, R> {
    fn more(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        if let Some(open) = &mut self.open {
            let begin = out.len();
            out.resize(begin + READ_BYTES, 0);
            let read = open.read(&mut out[begin..]);
            out.truncate(begin + read.as_ref().map_or(0, |read| *read));
            match read {
                Ok(0) => {
                    // The last line of one member must not run into the first of the next.
                    out.push(b'\n');
                    self.open = None;
                }
                Ok(_) => {}
                Err(error) => {
                    self.open = None;
                    self.failed(error, out)?;
                }
            }
            return Ok(true);
        }
        if self.missing > 0 {
            self.missing -= 1;
            mark(Defect::MemberUnreadable, out);
            return Ok(true);
        }
        let Some(member) = self.members.pop() else {
            return self.aside.map_or(Ok(false), |aside| Err(aside.into()));
        };
        match self.member(member) {
            Ok(lines) => {
                (self.open, self.aside) = (Some(lines), None);
                Ok(true)
            }
            Err(error) => {
                self.failed(error, out)?;
                Ok(true)
            }
        }
    }
}

impl<R> Members<'_, R> {
    /// A member that cannot be read loses nobody but itself, unless it is one that must not be read on, or the file failed.
    fn failed(&mut self, error: io::Error, out: &mut Vec<u8>) -> io::Result<()> {
        let aside = Aside::of(&error);
        let defect = match aside {
            Aside::Media | Aside::Binary | Aside::Unrecognised => Defect::MemberNotText,
            Aside::Encrypted | Aside::Protected => Defect::MemberEncrypted,
            Aside::Corrupt | Aside::Nested | Aside::Archive | Aside::Database | Aside::OldOffice => {
                Defect::MemberUnreadable
            }
            _ => return Err(error),
        };
        // That there are pictures says nothing of why there is no export.
        if defect != Defect::MemberNotText {
            self.aside = self.aside.map(|_| aside);
        }
        mark(defect, out);
        Ok(())
    }
}
