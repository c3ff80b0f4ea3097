//! Going on with an export where its row stands, or from its beginning if it is not the same any more.

use std::io::{self, Read, Seek, SeekFrom};

use watchpost_proto::digest::Running;

use crate::lines::Lines;
use crate::source::{Aside, Stamp};
use crate::store::{FileRow, FileState};

/// A zero byte within this many first bytes means the export is no text.
const PEEK_BYTES: usize = 8 * 1024;

/// Stands an opened export at the end of what is committed of it. The committed bytes are read again and compared by
/// digest; if they are others, the export was replaced or cut and is read from its beginning.
pub(super) fn resume<R: Read + Seek>(
    row: &mut FileRow,
    mut export: R,
    stamp: Stamp,
    line_bytes_max: usize,
) -> Result<Lines<R>, Aside> {
    let mut digest = prefix(&mut export, row.offset.min(stamp.size)).map_err(|error| Aside::of(&error))?;
    if digest.digest().0 != row.prefix {
        row.restart();
        digest = Running::default();
        export.seek(SeekFrom::Start(0)).map_err(|error| Aside::of(&error))?;
    }
    if row.offset == 0 && is_binary(&mut export).map_err(|error| Aside::of(&error))? {
        (row.size, row.mtime_ns) = (stamp.size, stamp.mtime_ns);
        return Err(Aside::Binary);
    }
    // The stamp from before reading: what is added meanwhile makes the export due again.
    (row.size, row.mtime_ns, row.gone_ms) = (stamp.size, stamp.mtime_ns, None);
    row.state = FileState::Reading;
    row.reason.clear();
    Ok(Lines::new(export, line_bytes_max, row.offset, Some(digest)))
}

fn prefix(export: &mut impl Read, length: u64) -> io::Result<Running> {
    let mut digest = Running::default();
    let mut input = export.take(length);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(digest),
            read => digest.update(&buffer[..read]),
        }
    }
}

fn is_binary(export: &mut (impl Read + Seek)) -> io::Result<bool> {
    let mut first = Vec::with_capacity(PEEK_BYTES);
    export.by_ref().take(PEEK_BYTES as u64).read_to_end(&mut first)?;
    export.seek(SeekFrom::Start(0))?;
    Ok(first.contains(&0))
}
