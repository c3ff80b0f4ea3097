//! A preview for people and for programs.

use std::io;

use serde_json::json;

use super::super::super::print_json;
use super::super::super::terminal::{Ink, Lang, Paint, clean, pad, snippets, stdout_columns, width};
use super::{Change, Preview, PreviewArgs, RuleId, RulePreview, Sample, Write};

/// Words shown of one rule.
const WORDS_MAX: usize = 10;
/// Columns where nobody wraps.
const COLUMNS_MAX: usize = 120;
/// Characters around the hit of a sample.
const CONTEXT: usize = 20;

/// What is shown, and how.
pub(super) struct Shown<'a> {
    pub(super) args: &'a PreviewArgs,
    pub(super) preview: &'a Preview,
    pub(super) compared: bool,
}

impl Shown<'_> {
    pub(super) fn json(&self) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        for ((pack, rule), seen) in &self.preview.rules {
            let words = seen.words.iter().map(|((selection, word), messages)| {
                json!({
                    "selection": &**selection, "word": &**word, "messages": messages,
                    "share": self.preview.share(*messages), "common": self.preview.is_common(*messages),
                })
            });
            let samples = seen.samples.iter().map(|((_, change), sample)| {
                json!({ "change": change.as_str(), "file": &*sample.file, "line": sample.line, "msgid": sample.msgid })
            });
            let row = json!({
                "pack": &**pack, "rule": &**rule, "level": seen.level, "window": seen.window, "messages": seen.messages(),
                "share": self.preview.share(seen.messages()), "of": self.preview.messages,
                "new": self.compared.then_some(seen.new), "gone": self.compared.then_some(seen.gone),
                "words": words.collect::<Vec<_>>(), "samples": samples.collect::<Vec<_>>(),
            });
            print_json(&mut out, &row)?;
        }
        self.aside(&mut io::stderr().lock())?;
        Ok(())
    }

    pub(super) fn people(&self) -> anyhow::Result<()> {
        let (paint, lang) = (self.args.look.stdout(), self.args.look.lang());
        let mut out = io::stdout().lock();
        let Preview { messages, hit, .. } = self.preview;
        let (hit, share) = (hit.len(), percent(self.preview.share(hit.len() as u64)));
        match lang {
            Lang::Zh => writeln!(out, "{messages} 条消息，命中 {hit} 条（{share}）\n")?,
            Lang::En => writeln!(out, "{messages} messages, {hit} of them hit ({share})\n")?,
        }
        for (id, rule) in self.worst_first() {
            self.rule(&mut out, id, rule, paint, lang)?;
        }
        let quiet = self.preview.rules.values().filter(|rule| !is_loud(rule)).count();
        if quiet > 0 {
            writeln!(out, "{quiet} {}", lang.of("条规则没有命中", "rules without a finding"))?;
        }
        if self.preview.overflow {
            let text = lang.of("命中太多，比较不完整", "too many findings to compare all of them");
            writeln!(out, "{}", paint.ink(Ink::Warn, text))?;
        }
        self.aside(&mut io::stderr().lock())?;
        Ok(())
    }

    fn worst_first(&self) -> Vec<(&RuleId, &RulePreview)> {
        let mut rules: Vec<_> = self.preview.rules.iter().filter(|(_, rule)| is_loud(rule)).collect();
        rules.sort_by_key(|(_, rule)| std::cmp::Reverse(rule.messages()));
        rules
    }

    fn rule(
        &self,
        out: &mut impl Write,
        (pack, id): &RuleId,
        rule: &RulePreview,
        paint: Paint,
        lang: Lang,
    ) -> io::Result<()> {
        let title = rule.title.as_ref().map_or(String::new(), |title| clean(lang.title(title)));
        let level = rule.level.map(|level| paint.ink(Ink::Level(level), level.as_str()).to_string());
        let name = paint.ink(Ink::Bold, format_args!("{pack}/{id}")).to_string();
        writeln!(out, "{name}  {}  {title}", level.unwrap_or_default())?;
        let (messages, share) = (rule.messages(), percent(self.preview.share(rule.messages())));
        let change = if self.compared {
            format!("{}{}{}{}", lang.of("，新增 ", ", new "), rule.new, lang.of("，消失 ", ", gone "), rule.gone)
        } else {
            String::new()
        };
        let what = match rule.window {
            // A phrase in one message counts there too.
            None | Some("join") => lang.of("条消息", "messages"),
            Some(_) => lang.of("个时间窗口", "windows"),
        };
        writeln!(out, "  {messages} {what} ({share}){change}")?;
        self.words(out, rule, paint, lang)?;
        for ((_, change), sample) in &rule.samples {
            self.sample(out, *change, sample, paint)?;
        }
        writeln!(out)
    }

    fn words(&self, out: &mut impl Write, rule: &RulePreview, paint: Paint, lang: Lang) -> io::Result<()> {
        let mut words: Vec<_> = rule.words.iter().collect();
        words.sort_by_key(|(_, messages)| std::cmp::Reverse(**messages));
        let shown = |text: &str| clean(text);
        let widest = words.iter().take(WORDS_MAX).map(|((_, word), _)| width(&shown(word))).max().unwrap_or(0);
        for ((selection, word), messages) in words.iter().take(WORDS_MAX) {
            let share = percent(self.preview.share(**messages));
            write!(out, "  {messages:>8} {share:>8}  {}  {selection}", pad(&shown(word), widest))?;
            if self.preview.is_common(**messages) {
                let text = lang.of(
                    "超过千分之一的消息：太常见，请加限定（near、更长的词）或放行短语",
                    "more than 0.1 % of messages: too common, narrow it (near, a longer word) or allow phrases",
                );
                write!(out, "  {}", paint.ink(Ink::Warn, text))?;
            }
            writeln!(out)?;
        }
        let more = words.len().saturating_sub(WORDS_MAX);
        if more > 0 {
            writeln!(out, "  … {more} {}", lang.of("个词", "more words"))?;
        }
        Ok(())
    }

    fn sample(&self, out: &mut impl Write, change: Change, sample: &Sample, paint: Paint) -> io::Result<()> {
        let ink = match change {
            Change::Same => Ink::Dim,
            Change::New => Ink::Warn,
            Change::Gone => Ink::Line,
        };
        let place = format!("{}:{}", clean(&sample.file), sample.line);
        writeln!(out, "  {} {}", paint.ink(ink, change.sign()), paint.ink(Ink::File, place))?;
        let columns = stdout_columns().unwrap_or(COLUMNS_MAX).saturating_sub(4);
        let pieces =
            sample.hit.as_ref().map(|hit| snippets(&sample.text, std::slice::from_ref(hit), CONTEXT, columns).0);
        for piece in pieces.into_iter().flatten() {
            writeln!(out, "    {}", piece.painted(paint))?;
        }
        Ok(())
    }

    fn aside(&self, out: &mut impl Write) -> io::Result<()> {
        let lang = self.args.look.lang();
        for aside in &self.preview.aside {
            let head = if aside.failed { lang.of("未能读取", "not read") } else { lang.of("搁置", "set aside") };
            writeln!(out, "{head}  {}: {}", clean(&aside.name), clean(&aside.why))?;
        }
        Ok(())
    }
}

fn is_loud(rule: &RulePreview) -> bool {
    rule.messages() + rule.gone > 0
}

fn percent(share: f64) -> String {
    format!("{:.3} %", share * 100.0)
}

impl Change {
    fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::New => "new",
            Self::Gone => "gone",
        }
    }

    fn sign(self) -> char {
        match self {
            Self::Same => ' ',
            Self::New => '+',
            Self::Gone => '-',
        }
    }
}
