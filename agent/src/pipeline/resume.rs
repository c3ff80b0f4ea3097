//! Going on with an export where its row stands, or from its beginning if it is not the same any more.

use std::io::{self, Read, Seek, SeekFrom};

use watchpost_proto::digest::Running;

use crate::carrier::{self, Reading, Shared};
use crate::lines::Lines;
use crate::source::Stamp;
use crate::store::{FileRow, FileState};

/// The lines of an opened export, whatever carries them.
pub(super) type ExportLines<'a> = Lines<Box<dyn Read + 'a>>;

/// Stands an opened export at the end of what is committed of it. The committed lines are read again and compared by
/// digest; if they are others, the export was replaced or cut and is read from its beginning.
pub(super) fn resume<'a, R: Read + Seek + 'a>(
    row: &mut FileRow,
    export: R,
    stamp: Stamp,
    reading: &Reading,
) -> io::Result<ExportLines<'a>> {
    // The stamp from before reading: what is added meanwhile makes the export due again.
    (row.size, row.mtime_ns, row.gone_ms) = (stamp.size, stamp.mtime_ns, None);
    let mut export = Shared::new(export);
    let mut carried = carrier::open(export.clone(), reading)?;
    let mut digest = prefix(&mut carried.lines, row.offset)?;
    if digest.digest().0 != row.prefix {
        row.restart();
        digest = Running::default();
        export.seek(SeekFrom::Start(0))?;
        carried = carrier::open(export, reading)?;
    }
    row.carrier = carried.carrier;
    row.state = FileState::Reading;
    row.reason.clear();
    Ok(Lines::new(carried.lines, reading.limits.record_bytes_max, row.offset, Some(digest)))
}

fn prefix(lines: &mut impl Read, length: u64) -> io::Result<Running> {
    let mut digest = Running::default();
    let mut input = lines.take(length);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(digest),
            read => digest.update(&buffer[..read]),
        }
    }
}
