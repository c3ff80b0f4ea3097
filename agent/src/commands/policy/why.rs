//! An explained rule for people.

use std::fmt::{self, Display, Write as _};

use watchpost_policy::explain::{ExplainedHit, ExplainedRule, ExplainedSelection, ExplainedText, Fate, Reason};

use super::super::terminal::{Ink, Lang, Paint, clean, snippets};

/// Hits shown of one selection.
const HITS_MAX: usize = 12;
/// Characters of text around a hit.
const CONTEXT: usize = 20;
/// Columns before a text.
const INDENT: usize = 8;

/// How explanations look.
#[derive(Clone, Copy)]
pub(super) struct Why {
    pub(super) paint: Paint,
    pub(super) lang: Lang,
    pub(super) columns: usize,
}

impl Why {
    /// A rule with its verdict, its selections with their hits, and its condition.
    pub(super) fn rule(self, rule: &ExplainedRule, texts: &[ExplainedText]) -> String {
        let Self { paint, lang, .. } = self;
        let (sign, ink) = if rule.holds { ('✓', Ink::Line) } else { ('✗', Ink::Dim) };
        let mut out = format!(
            "{} {}  {}  {}\n",
            paint.ink(ink, sign),
            paint.ink(Ink::Bold, format_args!("{}/{}", rule.pack, rule.rule)),
            paint.ink(Ink::Level(rule.level), rule.level),
            clean(lang.title(&rule.title)),
        );
        for line in self.verdict(rule) {
            let _ = writeln!(out, "    {line}");
        }
        for selection in &rule.selections {
            out.push_str(&self.selection(selection, texts));
        }
        let _ = writeln!(out, "    {}: {}", lang.of("条件", "condition"), self.condition(rule));
        out
    }

    /// Why it holds or does not, in sentences.
    fn verdict(self, rule: &ExplainedRule) -> Vec<String> {
        let lang = self.lang;
        let mut lines: Vec<String> = Vec::new();
        if rule.holds && rule.windowed {
            let text = lang.of(
                "计入时间窗；单条消息不足以命中",
                "counts towards the rule's window; one message alone is no finding",
            );
            lines.push(text.to_owned());
        } else if rule.holds {
            lines.push(lang.of("成立", "holds").to_owned());
        }
        for outside in &rule.outside {
            let (part, asked, found) = (outside.part.as_str(), outside.asked.join("|"), outside.found.join("|"));
            let (asked, found) = (clean(&asked), clean(if found.is_empty() { "-" } else { &found }));
            lines.push(match lang {
                Lang::Zh => format!("不在范围内：{part} 要求 {asked}，实际是 {found}"),
                Lang::En => format!("out of scope: {part} must be {asked} and is {found}"),
            });
        }
        if !rule.filtered.is_empty() {
            let filters = rule.filtered.iter().map(|id| clean(id)).collect::<Vec<_>>().join(", ");
            lines.push(format!("{} {filters}", lang.of("被过滤器放行：", "left out by the filter")));
        }
        if !rule.condition_holds {
            let reasons: Vec<String> = rule.because.iter().map(|reason| self.reason(reason)).collect();
            let head = lang.of("条件不成立，因为", "the condition does not hold, because");
            lines.push(format!("{head} {}", reasons.join(lang.of("，", ", "))));
        }
        lines
    }

    fn reason(self, reason: &Reason) -> String {
        let what =
            if reason.holds { self.lang.of("成立", "holds") } else { self.lang.of("不成立", "does not hold") };
        format!("`{}` {what}", reason.selection)
    }

    fn condition(self, rule: &ExplainedRule) -> impl Display {
        let paint = self.paint;
        fmt::from_fn(move |f| {
            for part in &rule.condition {
                match part.holds {
                    Some(true) => write!(f, "{}", paint.ink(Ink::Line, format_args!("{} ✓", part.text)))?,
                    Some(false) => write!(f, "{}", paint.ink(Ink::Bad, format_args!("{} ✗", part.text)))?,
                    None => f.write_str(&part.text)?,
                }
            }
            Ok(())
        })
    }

    fn selection(self, selection: &ExplainedSelection, texts: &[ExplainedText]) -> String {
        let Self { paint, lang, .. } = self;
        let fact = !matches!(selection.kind, "words" | "regex" | "validator");
        let state = match (fact, selection.holds, selection.hits.len()) {
            (true, true, _) => lang.of("是", "yes").to_owned(),
            (true, false, _) => lang.of("否", "no").to_owned(),
            (_, _, 0) => lang.of("无命中", "no hit").to_owned(),
            (.., 1) => lang.of("1 处", "1 hit").to_owned(),
            (.., hits) => format!("{hits} {}", lang.of("处", "hits")),
        };
        let kind = paint.ink(Ink::Dim, format_args!("({})", selection.kind)).to_string();
        let mut out = format!("    {} {kind}: {state}\n", selection.name);
        for hit in selection.hits.iter().take(HITS_MAX) {
            out.push_str(&self.hit(hit, texts));
        }
        let more = selection.hits.len().saturating_sub(HITS_MAX);
        if more > 0 {
            let _ = writeln!(out, "        {} {more}", lang.of("… 另有", "… more:"));
        }
        out
    }

    /// The text with a caret under the hit, and what became of it.
    fn hit(self, hit: &ExplainedHit, texts: &[ExplainedText]) -> String {
        let Self { paint, lang, columns } = self;
        let mut out = String::new();
        let text = texts.iter().find(|text| text.field == hit.field).map_or("", |text| text.text.as_str());
        let place = hit.start as usize..hit.end as usize;
        let room = columns.saturating_sub(INDENT);
        let about = format!(
            "{}:{}-{}  {}  {}{}  {}",
            clean(&hit.field),
            hit.start,
            hit.end,
            clean(&hit.word),
            hit.channel,
            if hit.obfuscated { lang.of("，夹有隐藏字符", ", hidden characters") } else { "" },
            self.fate(&hit.fate),
        );
        for piece in snippets(text, std::slice::from_ref(&place), CONTEXT, room).0 {
            let _ = writeln!(out, "        {}", piece.painted(paint));
            let _ = writeln!(out, "        {}", paint.ink(Ink::Bad, piece.carets()));
        }
        let _ = writeln!(out, "        {about}");
        out
    }

    fn fate(self, fate: &Fate) -> String {
        let Self { paint, lang, .. } = self;
        let (ink, text) = match fate {
            Fate::Counted => (Ink::Line, lang.of("计入", "counts").to_owned()),
            Fate::Elsewhere => (
                Ink::Warn,
                lang.of("不计：在引用内容或其他字段中", "does not count: quoted, or in another field").to_owned(),
            ),
            Fate::Allowed => {
                (Ink::Warn, lang.of("不计：在放行短语之中", "does not count: inside an allowed phrase").to_owned())
            }
            Fate::NotNear { to } => {
                (Ink::Warn, format!("{} `{to}`", lang.of("不计：附近没有", "does not count: not near")))
            }
            Fate::Denied { by } => (Ink::Warn, format!("{} `{by}`", lang.of("被否定：附近有", "denied by"))),
        };
        paint.ink(ink, text).to_string()
    }
}
