//! Any bytes as a file in an export folder: whatever carries it, its lines are the same however it is read, and no longer than allowed.
#![no_main]

use std::io::{Cursor, Read};

use libfuzzer_sys::fuzz_target;
use watchpost_agent::carrier::{Carried, Limits, Names, Reading, open};

const LIMITS: Limits = Limits { file_bytes_max: 1 << 20, shared_bytes_max: 1 << 20, unpacked_bytes_max: 1 << 22, ratio_max: 500, members_max: 100, record_bytes_max: 1 << 16 };

/// All lines, read so many bytes at a time, and how the reading ended.
fn lines(bytes: &[u8], step: usize) -> (Vec<u8>, Option<String>) {
    let Carried { mut lines, .. } = match open(Cursor::new(bytes), &Reading { limits: LIMITS, names: Names::default() }) {
        Ok(carried) => carried,
        Err(error) => return (Vec::new(), Some(error.to_string())),
    };
    let (mut all, mut buffer) = (Vec::new(), vec![0; step]);
    loop {
        match lines.read(&mut buffer) {
            Ok(0) => return (all, None),
            Ok(read) => all.extend_from_slice(&buffer[..read]),
            Err(error) => return (all, Some(error.to_string())),
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (all, ended) = lines(bytes, 1 << 16);
    let (slowly, ended_slowly) = lines(bytes, 7);
    assert_eq!(ended, ended_slowly);
    // Of damaged data a decoder gives as much as it has made when it finds out.
    let common = all.len().min(slowly.len());
    assert!(all[..common] == slowly[..common] && (all.len() == slowly.len() || ended.is_some()));
    // The lines of what is not packed are about as long as it is.
    assert!(all.len() <= 1 << 23 || bytes.len() > 1 << 20);
});
