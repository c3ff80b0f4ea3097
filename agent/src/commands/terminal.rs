//! What people see: colours, languages, and text of exports made harmless.
//!
//! An export is hostile input. Nothing of it, nor of a file name or a pack, reaches a terminal but through [`clean`] or a
//! [`Cleaner`]: no control character, no direction mark, no pile of combining marks.

mod snippet;

use std::fmt::{self, Display};
use std::io::{self, IsTerminal};

use anstyle::{AnsiColor, Style};
use clap::{Args, ColorChoice, ValueEnum};
use unicode_width::UnicodeWidthChar;
use watchpost_policy::rules::{Level, Title};

pub(super) use snippet::snippets;

/// China keeps one time, eight hours before UTC, all year.
pub(super) fn china_time(ms: i64) -> Option<String> {
    use time::{OffsetDateTime, UtcOffset, macros::format_description};

    let utc = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
    let here = utc.checked_to_offset(UtcOffset::from_hms(8, 0, 0).ok()?)?;
    here.format(format_description!("[year]-[month]-[day] [hour]:[minute]:[second]")).ok()
}

/// How output for people looks.
#[derive(Args)]
pub(super) struct LookArgs {
    /// Colours: on a terminal (unless NO_COLOR is set), always, or never.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto)]
    color: ColorChoice,
    /// Language of titles and headings; `auto` follows LANG.
    #[arg(long, value_enum, default_value_t = LangArg::Auto)]
    lang: LangArg,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LangArg {
    /// 中文.
    Zh,
    /// English.
    En,
    /// As the system says.
    Auto,
}

impl LookArgs {
    /// For standard output.
    pub(super) fn stdout(&self) -> Paint {
        Paint { on: self.painted(&io::stdout()) }
    }

    /// For standard error.
    pub(super) fn stderr(&self) -> Paint {
        Paint { on: self.painted(&io::stderr()) }
    }

    pub(super) fn lang(&self) -> Lang {
        match self.lang {
            LangArg::Zh => Lang::Zh,
            LangArg::En => Lang::En,
            LangArg::Auto => Lang::of_system(),
        }
    }

    fn painted(&self, stream: &impl anstream::stream::RawStream) -> bool {
        let on = match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never,
        };
        if on && stream.is_terminal() {
            // A Windows console draws colours only once it is told to; the wrapper does that and is not needed further.
            let _ = anstream::AutoStream::always_ansi(io::stderr());
        }
        on
    }
}

/// The language of what is printed for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lang {
    Zh,
    En,
}

impl Lang {
    fn of_system() -> Self {
        let name = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
        Self::of_locale(name.into_iter().find(|value| !value.is_empty()).as_deref().unwrap_or_default())
    }

    fn of_locale(locale: &str) -> Self {
        if locale.to_ascii_lowercase().starts_with("zh") { Self::Zh } else { Self::En }
    }

    /// The one of two sentences.
    pub(super) fn of<'a>(self, zh: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }

    /// The title in this language.
    pub(super) fn title(self, title: &Title) -> &str {
        self.of(&title.zh, &title.en)
    }
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    on: bool,
}

/// What a piece of output is, and so its colour.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ink {
    /// The file findings stand in.
    File,
    /// A line number.
    Line,
    /// A hit in the text.
    Hit,
    /// Beside the matter.
    Dim,
    /// A heading.
    Bold,
    /// To be looked at.
    Warn,
    /// Wrong.
    Bad,
    /// How bad a finding is.
    Level(Level),
}

impl Paint {
    /// No colours.
    #[cfg(test)]
    pub(super) const PLAIN: Self = Self { on: false };

    /// The value in its colour.
    pub(super) fn ink<T: Display>(self, ink: Ink, value: T) -> Painted<T> {
        Painted { style: if self.on { ink.style() } else { Style::new() }, value }
    }
}

impl Ink {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::File => colour(AnsiColor::Magenta).bold(),
            Self::Line => colour(AnsiColor::Green),
            Self::Hit | Self::Bad => colour(AnsiColor::Red).bold(),
            Self::Dim => Style::new().dimmed(),
            Self::Bold => Style::new().bold(),
            Self::Warn => colour(AnsiColor::Yellow).bold(),
            Self::Level(Level::Critical) => colour(AnsiColor::Red).bold().invert(),
            Self::Level(Level::High) => colour(AnsiColor::Red).bold(),
            Self::Level(Level::Medium) => colour(AnsiColor::Yellow),
            Self::Level(Level::Low) => colour(AnsiColor::Cyan),
            Self::Level(Level::Info) => Style::new(),
        }
    }
}

/// A value with its colour. Padding applies to the value, not to the codes around it.
pub(super) struct Painted<T> {
    style: Style,
    value: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.style)?;
        self.value.fmt(f)?;
        write!(f, "{:#}", self.style)
    }
}

/// Columns of the terminal behind standard output; `None` when it is no terminal.
pub(super) fn stdout_columns() -> Option<usize> {
    let size = terminal_size::terminal_size_of(io::stdout());
    size.filter(|_| io::stdout().is_terminal()).map(|(width, _)| usize::from(width.0))
}

/// Combining marks shown on one character; more would climb over the lines around it.
const MARKS_MAX: u8 = 2;
/// Stands for a character that must not or cannot be seen.
const HIDDEN: char = '·';
/// Stands for the end of a line inside a text.
const LINE_BREAK: char = '⏎';

/// Makes the characters of one text harmless, one after the other.
#[derive(Default)]
pub(super) struct Cleaner {
    marks: u8,
    symbol: bool,
}

impl Cleaner {
    /// The character to show, if any: what acts on a terminal or cannot be seen becomes a visible sign, so that a reader sees
    /// that something is there.
    pub(super) fn shown(&mut self, c: char) -> Option<char> {
        let marks = std::mem::take(&mut self.marks);
        match c {
            '\t' => Some(' '),
            '\n' | '\r' | '\u{0B}' | '\u{0C}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some(LINE_BREAK),
            c if c.is_control() || is_formatting(c) => self.invisible(c),
            c if c.width() == Some(0) => {
                self.marks = marks.saturating_add(1);
                (marks < MARKS_MAX).then_some(c)
            }
            c => {
                self.symbol = !c.is_alphanumeric() && !c.is_ascii();
                Some(c)
            }
        }
    }

    /// Joiners and selectors belong to the emoji before them and are left out there; anywhere else they hide something.
    fn invisible(&self, c: char) -> Option<char> {
        (!self.symbol || !matches!(c, '\u{200D}' | '\u{FE00}'..='\u{FE0F}')).then_some(HIDDEN)
    }
}

/// Characters without a shape of their own that order, join or hide others.
fn is_formatting(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{600}'..='\u{605}' | '\u{61C}' | '\u{6DD}' | '\u{70F}' | '\u{8E2}' | '\u{115F}' | '\u{1160}'
        | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// A text made harmless, cut at so many columns.
pub(super) fn cut(text: &str, columns_max: usize) -> String {
    let mut cleaner = Cleaner::default();
    let (mut out, mut columns) = (String::new(), 0);
    for c in text.chars().filter_map(|c| cleaner.shown(c)) {
        let width = columns_of(c);
        if columns + width > columns_max {
            // Room for the sign, which takes one column.
            while columns + 1 > columns_max {
                let Some(last) = out.pop() else { break };
                columns -= columns_of(last);
            }
            out.push('…');
            break;
        }
        out.push(c);
        columns += width;
    }
    out
}

/// A text made harmless.
pub(super) fn clean(text: &str) -> String {
    cut(text, usize::MAX)
}

/// Several lines made harmless; the line feeds between them stay.
pub(super) fn clean_lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

/// Columns a character takes on a terminal.
pub(super) fn columns_of(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Columns a harmless text takes on a terminal.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// A harmless text with spaces up to so many columns.
pub(super) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Whether a character must stand as an escape in JSON, which may be looked at on a terminal too.
pub(super) fn escaped_in_json(c: char) -> bool {
    c.is_control() || is_formatting(c) || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_china() {
        assert_eq!(china_time(1_772_416_861_007).as_deref(), Some("2026-03-02 10:01:01"));
        assert_eq!(china_time(-1).as_deref(), Some("1970-01-01 07:59:59"));
        assert_eq!(china_time(i64::MAX), None);
    }

    #[test]
    fn nothing_that_acts_on_a_terminal_is_shown() {
        for (name, text, expected) in [
            ("colour code", "a\u{1B}[31mb", "a·[31mb"),
            ("one-character code", "a\u{9B}31mb", "a·31mb"),
            ("title code", "\u{1B}]0;x\u{7}", "·]0;x·"),
            ("backspaces", "ab\u{8}\u{7F}", "ab··"),
            ("line ends", "a\r\nb\u{2028}c", "a⏎⏎b⏎c"),
            ("tab", "a\tb", "a b"),
            ("direction", "a\u{202E}b\u{2066}c\u{200F}", "a·b·c·"),
            ("zero width", "飞\u{200B}单\u{FEFF}", "飞·单·"),
            ("a joiner in a word", "飞\u{200D}单", "飞·单"),
            ("emoji", "❤\u{FE0F} 👩\u{200D}💻", "❤ 👩💻"),
            ("accents", "e\u{301}o", "e\u{301}o"),
            ("piled marks", "e\u{301}\u{301}\u{301}\u{301}o\u{302}", "e\u{301}\u{301}o\u{302}"),
            ("tags", "a\u{E0041}", "a·"),
            ("fillers", "\u{3164}\u{115F}", "··"),
        ] {
            assert_eq!(clean(text), expected, "{name}");
        }
        assert_eq!(clean_lines("a\u{1B}\nb"), "a·\nb");
    }

    #[test]
    fn texts_are_cut_at_columns() {
        for (text, columns, expected) in [
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abcde…"),
            ("保本保收益", 10, "保本保收益"),
            ("保本保收益", 9, "保本保收…"),
            ("保本保收益", 8, "保本保…"),
            ("a保本", 4, "a保…"),
            ("保", 1, "…"),
        ] {
            let shown = cut(text, columns);
            assert_eq!(shown, expected, "{text} {columns}");
            assert!(width(&shown) <= columns, "{text} {columns}");
        }
        assert_eq!(pad("保本", 6), "保本  ");
        assert_eq!(pad("保本", 2), "保本");
    }

    #[test]
    fn the_system_names_the_language() {
        for (locale, lang) in [
            ("zh_CN.UTF-8", Lang::Zh),
            ("ZH-Hans", Lang::Zh),
            ("en_US.UTF-8", Lang::En),
            ("C", Lang::En),
            ("", Lang::En),
        ] {
            assert_eq!(Lang::of_locale(locale), lang, "{locale}");
        }
    }

    #[test]
    fn colours_stand_around_the_padded_value() {
        let paint = Paint { on: true };
        assert_eq!(paint.ink(Ink::Line, format_args!("{:>3}", 7)).to_string(), "\u{1B}[32m  7\u{1B}[0m");
        assert_eq!(format!("{:<4}|", Paint::PLAIN.ink(Ink::Hit, "a")), "a   |");
    }
}
