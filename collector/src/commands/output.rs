//! Printing: one JSON object per line, or a table for a person at a terminal.

use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write as _};

use anyhow::Context as _;
use serde::Serialize;

/// Stdout, buffered. Whoever reads it may stop reading: that ends the command without complaint.
#[derive(Debug)]
pub struct Output {
    out: BufWriter<StdoutLock<'static>>,
}

impl Output {
    /// Stdout.
    #[expect(clippy::new_without_default, reason = "locks stdout; nothing should do that by default")]
    pub fn new() -> Self {
        Self { out: BufWriter::new(io::stdout().lock()) }
    }

    /// One JSON object on a line of its own.
    ///
    /// # Errors
    /// Stdout is closed or full.
    pub fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.out, value).context("stdout")?;
        self.out.write_all(b"\n").context("stdout")
    }

    /// Columns of one row, separated by tabs. Control characters and those that turn text around are shown as `?`:
    /// what comes from messages never steers a terminal.
    ///
    /// # Errors
    /// Stdout is closed or full.
    pub fn row(&mut self, columns: &[&str]) -> anyhow::Result<()> {
        let line = columns.iter().map(|column| harmless(column)).collect::<Vec<_>>().join("\t");
        writeln!(self.out, "{line}").context("stdout")
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// Stdout is closed or full.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.out.flush().context("stdout")
    }
}

/// Something was found that somebody must look at; it was printed already. Exit code 3.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("something was found that needs a look")]
pub struct Found;

/// Whether an error says only that nobody reads any more.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        io.or_else(|| cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind))
    };
    error.chain().any(|cause| kind(cause) == Some(ErrorKind::BrokenPipe))
}

/// Text without characters that a terminal obeys or that reorder what stands around them.
pub fn harmless(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().map(|c| if steers(c) { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_message_steers_a_terminal() {
        assert_eq!(harmless("保本\u{1b}[31m\n\u{202e}x\u{9b}"), "保本?[31m??x?");
    }
}
