//! Mistakes and warnings as a compiler shows them: the place, the line of the file, a caret.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use watchpost_policy::rules::Mistake;

use super::super::terminal::{Ink, Lang, Paint, clean, cut, snippets, stdout_columns};
use super::Loaded;

/// How bad a remark is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Error,
    Warning,
}

/// Columns where nobody wraps.
const COLUMNS_MAX: usize = 160;
/// Bytes read of a file to show its lines; the longest file a pack may name.
const SOURCE_BYTES_MAX: u64 = 16 << 20;

/// Shows remarks with the lines they are about.
pub(super) struct Reporter {
    paint: Paint,
    lang: Lang,
    columns: usize,
    sources: HashMap<PathBuf, Option<String>>,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }

    fn word(self, lang: Lang) -> &'static str {
        match self {
            Self::Error => lang.of("错误", "error"),
            Self::Warning => lang.of("警告", "warning"),
        }
    }
}

impl Reporter {
    pub(super) fn new(paint: Paint, lang: Lang) -> Self {
        let columns = stdout_columns().unwrap_or(COLUMNS_MAX).min(COLUMNS_MAX);
        Self { paint, lang, columns, sources: HashMap::new() }
    }

    /// One remark for people.
    pub(super) fn show(&mut self, severity: Severity, remark: &Mistake, of: &Loaded) -> String {
        let (paint, lang) = (self.paint, self.lang);
        let ink = if severity == Severity::Error { Ink::Bad } else { Ink::Warn };
        let (text, suggestion) = split(&remark.text);
        let mut out = format!("{}: {}\n", paint.ink(ink, severity.word(lang)), paint.ink(Ink::Bold, clean(text)));
        let place = match (remark.line, remark.column) {
            (0, _) => clean(&remark.file),
            (line, 0) => format!("{}:{line}", clean(&remark.file)),
            (line, column) => format!("{}:{line}:{column}", clean(&remark.file)),
        };
        let margin = " ".repeat(remark.line.to_string().len());
        out.push_str(&format!("{margin}{} {place}\n", paint.ink(Ink::Line, "-->")));
        if let Some(line) = self.source(remark, of) {
            out.push_str(&source_line(remark, &line, self.columns, paint).to_string());
        }
        if let Some(suggestion) = suggestion {
            let help = lang.of("建议", "help");
            let text = lang.of("是否想写", "did you mean");
            let suggestion = clean(suggestion);
            out.push_str(&format!(
                "{margin} {} {}: {text} `{suggestion}`?\n",
                paint.ink(Ink::Line, '='),
                paint.ink(Ink::Bold, help)
            ));
        }
        out
    }

    /// The line of the file a remark is about.
    fn source(&mut self, remark: &Mistake, of: &Loaded) -> Option<String> {
        let line = usize::try_from(remark.line.checked_sub(1)?).ok()?;
        if remark.file == of.name {
            return of.text.lines().nth(line).map(str::to_owned);
        }
        // A file the pack names is told by the name the pack gives it.
        let path = of.path.as_ref()?.parent()?.join(&remark.file);
        let text = self.sources.entry(path).or_insert_with_key(|path| read(path)).as_deref()?;
        text.lines().nth(line).map(str::to_owned)
    }
}

/// One remark for programs.
pub(super) fn as_json(severity: Severity, remark: &Mistake) -> Value {
    let (text, suggestion) = split(&remark.text);
    json!({
        "severity": severity.as_str(), "file": remark.file, "line": remark.line, "column": remark.column, "text": text,
        "suggestion": suggestion,
    })
}

/// A sentence and what was probably meant.
fn split(text: &str) -> (&str, Option<&str>) {
    let found = text.split_once("; did you mean `").and_then(|(text, rest)| Some((text, rest.split_once("`?")?.0)));
    found.map_or((text, None), |(text, meant)| (text, Some(meant)))
}

/// The text of a file, as far as lines of it are shown.
pub(super) fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(SOURCE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The line with its number, and a caret under the place.
fn source_line(remark: &Mistake, line: &str, columns: usize, paint: Paint) -> impl Display {
    let number = remark.line.to_string();
    let margin = " ".repeat(number.len());
    let bar = paint.ink(Ink::Line, '|').to_string();
    let number = paint.ink(Ink::Line, number).to_string();
    let room = columns.saturating_sub(margin.len() + 3);
    let start = usize::try_from(remark.column).ok().and_then(|column| column.checked_sub(1));
    let within = start.filter(|start| *start < line.chars().count());
    let place = within.map(|start| start..start + token(line, start));
    let piece = place.and_then(|place| snippets(line, std::slice::from_ref(&place), columns, room).0.pop());
    let line = cut(line, room);
    fmt::from_fn(move |f| match &piece {
        Some(piece) => {
            writeln!(f, "{margin} {bar}\n{number} {bar} {}", piece.painted(paint))?;
            writeln!(f, "{margin} {bar} {}", paint.ink(Ink::Bad, piece.carets()))
        }
        None => writeln!(f, "{margin} {bar}\n{number} {bar} {line}"),
    })
}

/// Characters of the word that begins at a place.
fn token(line: &str, start: usize) -> usize {
    let mut rest = line.chars().skip(start).peekable();
    let quote = rest.peek().copied().filter(|c| matches!(c, '"' | '\''));
    let length = match quote {
        Some(quote) => rest.skip(1).position(|c| c == quote).map_or(1, |at| at + 2),
        None => rest.take_while(|c| !matches!(c, ',' | ']' | '}' | ':' | '#') && !c.is_whitespace()).count(),
    };
    length.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(line: u64, column: u64, text: &str) -> Mistake {
        Mistake { file: "p.yaml".into(), line, column, text: text.into() }
    }

    #[test]
    fn the_caret_stands_under_the_place_also_behind_wide_characters() {
        for (name, line, column, expected) in [
            ("a key", "    levle: high", 5, "   |\n12 |     levle: high\n   |     ^^^^^\n"),
            (
                "a wide word",
                "  words: [保本, 单, 稳赚]",
                15,
                "   |\n12 |   words: [保本, 单, 稳赚]\n   |                 ^^\n",
            ),
            ("a quoted text", "a: \"b c\" # d", 4, "   |\n12 | a: \"b c\" # d\n   |    ^^^^^\n"),
            ("no column", "a: b", 0, "   |\n12 | a: b\n"),
            ("behind the end", "ab", 9, "   |\n12 | ab\n"),
            ("escapes", "\u{1B}[31m: x", 1, "   |\n12 | ·[31m: x\n   | ^^^^^\n"),
        ] {
            assert_eq!(source_line(&mistake(12, column, ""), line, 60, Paint::PLAIN).to_string(), expected, "{name}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line = format!("  words: [{}, 单, {}]", "前前前, ".repeat(40), "后后后, ".repeat(40));
        let column = line.chars().position(|c| c == '单').unwrap() as u64 + 1;
        let shown = source_line(&mistake(7, column, ""), &line, 40, Paint::PLAIN).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        let at = |line: &str, c| line.split(c).next().map(super::super::super::terminal::width);
        assert_eq!(at(lines[1], '单'), at(lines[2], '^'), "{shown}");
        assert!(lines.iter().all(|line| super::super::super::terminal::width(line) <= 40), "{shown}");
    }

    #[test]
    fn what_was_meant_is_apart() {
        assert_eq!(split("no key `levle`; did you mean `level`?"), ("no key `levle`", Some("level")));
        assert_eq!(split("no key"), ("no key", None));
        let json = as_json(Severity::Error, &mistake(1, 2, "no key `levle`; did you mean `level`?"));
        assert_eq!(
            json,
            json!({ "severity": "error", "file": "p.yaml", "line": 1, "column": 2, "text": "no key `levle`", "suggestion": "level" })
        );
    }
}
