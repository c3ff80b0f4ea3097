//! What a scan counted, and the summary of it.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::Instant;

use indicatif::HumanBytes;
use watchpost_policy::engine::{Engine, Finding};
use watchpost_policy::rules::Level;

use super::super::terminal::{Ink, Lang, Paint, clean, pad, width};
use super::read::End;
use super::walk::{Export, SetAside};

/// Counts of all exports.
pub(in crate::commands) struct Totals {
    since: Instant,
    files: u64,
    bytes: u64,
    pub(in crate::commands) messages: u64,
    out_of_scope: u64,
    pub(in crate::commands) findings: u64,
    /// By pack and rule.
    by_rule: BTreeMap<(Arc<str>, Arc<str>), u64>,
    by_level: BTreeMap<Level, u64>,
    defects: BTreeMap<&'static str, u64>,
    /// Messages that windows had no room for.
    pub(in crate::commands) left_out: u64,
    aside: Vec<SetAside>,
}

impl Totals {
    pub(in crate::commands) fn new(aside: Vec<SetAside>) -> Self {
        Self {
            since: Instant::now(),
            files: 0,
            bytes: 0,
            messages: 0,
            out_of_scope: 0,
            findings: 0,
            by_rule: BTreeMap::new(),
            by_level: BTreeMap::new(),
            defects: BTreeMap::new(),
            left_out: 0,
            aside,
        }
    }

    pub(super) fn finding(&mut self, finding: &Finding) {
        self.findings += 1;
        *self.by_level.entry(finding.level).or_default() += 1;
        *self.by_rule.entry((finding.pack.clone(), finding.rule.clone())).or_default() += 1;
    }

    /// An export was read.
    pub(in crate::commands) fn end(&mut self, _: &Export, end: End) {
        self.files += 1;
        self.bytes += end.bytes;
        self.messages += end.messages;
        self.out_of_scope += end.out_of_scope;
        for (defect, count) in end.defects {
            *self.defects.entry(defect).or_default() += count;
        }
        self.aside.extend(end.aside);
    }

    /// Whether something that should have been read was not.
    pub(in crate::commands) fn failed(&self) -> bool {
        self.aside.iter().any(|aside| aside.failed)
    }
}

// The summary.
impl Totals {
    /// For people, on standard error.
    pub(super) fn painted<'a>(&'a self, engine: &'a Engine, paint: Paint, lang: Lang) -> impl Display + 'a {
        fmt::from_fn(move |f| {
            self.rules(f, engine, paint, lang)?;
            self.levels(f, paint, lang)?;
            self.amount(f, lang)?;
            for (code, count) in &self.defects {
                writeln!(
                    f,
                    "  {count:>8}  {}",
                    paint.ink(Ink::Dim, format_args!("{} {code}", lang.of("缺陷", "defect")))
                )?;
            }
            if self.left_out > 0 {
                let why = lang
                    .of("条消息因内存已满未计入窗口规则", "messages are in no window: the memory for windows is full");
                writeln!(f, "  {}", paint.ink(Ink::Warn, format_args!("{} {why}", self.left_out)))?;
            }
            for aside in &self.aside {
                let ink = if aside.failed { Ink::Bad } else { Ink::Warn };
                let head =
                    if aside.failed { lang.of("未能读取", "not read") } else { lang.of("搁置", "set aside") };
                writeln!(f, "  {}  {}: {}", paint.ink(ink, head), clean(&aside.name), clean(&aside.why))?;
            }
            Ok(())
        })
    }

    /// One row a rule, the worst first.
    fn rules(&self, f: &mut fmt::Formatter<'_>, engine: &Engine, paint: Paint, lang: Lang) -> fmt::Result {
        let mut rows = self.rows(engine, lang);
        rows.sort_by_key(|row| (std::cmp::Reverse((row.level, row.count)), row.name.clone()));
        let head = lang.of("规则", "rule");
        let widest = rows.iter().map(|row| width(&row.name)).chain([width(head)]).max().unwrap_or(0);
        if !rows.is_empty() {
            let (level, count) = (lang.of("级别", "level"), lang.of("命中", "findings"));
            let count = format!("{}{count}", " ".repeat(8_usize.saturating_sub(width(count))));
            let title = lang.of("标题", "title");
            let line = format!("{}  {}  {count}  {title}", pad(head, widest), pad(level, LEVEL_COLUMNS));
            writeln!(f, "{}", paint.ink(Ink::Bold, line))?;
        }
        for row in &rows {
            let level = paint.ink(Ink::Level(row.level), row.level.as_str());
            let gap = " ".repeat(LEVEL_COLUMNS.saturating_sub(row.level.as_str().len()));
            writeln!(f, "{}  {level}{gap}  {:>8}  {}", pad(&row.name, widest), row.count, row.title)?;
        }
        Ok(())
    }

    fn rows(&self, engine: &Engine, lang: Lang) -> Vec<Row> {
        let rules = engine.packs().iter().flat_map(|pack| pack.rules.iter().map(move |rule| (pack, rule)));
        let found = rules.filter_map(|(pack, rule)| {
            let count = *self.by_rule.get(&(pack.id.clone(), rule.id.clone()))?;
            let name = format!("{}/{}", pack.id, rule.id);
            Some(Row { name, level: rule.level, count, title: clean(lang.title(&rule.title)) })
        });
        found.collect()
    }

    fn levels(&self, f: &mut fmt::Formatter<'_>, paint: Paint, lang: Lang) -> fmt::Result {
        write!(f, "{} {}", self.findings, lang.of("条命中", "findings"))?;
        for (at, (level, count)) in self.by_level.iter().rev().enumerate() {
            let sign = if at == 0 { ": " } else { ", " };
            write!(f, "{sign}{} {count}", paint.ink(Ink::Level(*level), level.as_str()))?;
        }
        writeln!(f)
    }

    fn amount(&self, f: &mut fmt::Formatter<'_>, lang: Lang) -> fmt::Result {
        let seconds = self.since.elapsed().as_secs_f64().max(1e-3);
        let (files, messages, out) = (self.files, self.messages, self.out_of_scope);
        let (bytes, speed) = (HumanBytes(self.bytes), HumanBytes((self.bytes as f64 / seconds) as u64));
        match lang {
            Lang::Zh => writeln!(
                f,
                "{files} 个导出文件，{bytes}，检查消息 {messages} 条，范围外 {out} 条，用时 {seconds:.1} 秒（{speed}/秒）"
            ),
            Lang::En => writeln!(
                f,
                "{files} exports, {bytes}, {messages} messages evaluated, {out} out of scope, {seconds:.1} s ({speed}/s)"
            ),
        }
    }
}

/// Columns of the longest name of a level.
const LEVEL_COLUMNS: usize = 8;

struct Row {
    name: String,
    level: Level,
    count: u64,
    title: String,
}

#[cfg(test)]
mod tests {
    use watchpost_agent::policy_files::load_engine;

    use super::*;

    #[test]
    fn the_summary_lines_up_in_both_languages() {
        let engine = load_engine(&[], None).unwrap();
        let mut totals = Totals::new(vec![SetAside::failed("b\u{1B}[31m.jsonl", "no right")]);
        totals.by_rule = [("diversion.private-contact", 3), ("diversion.private-payment", 12)]
            .map(|(rule, count)| (("customer-diversion".into(), rule.into()), count))
            .into();
        totals.by_level = [(Level::High, 3), (Level::Critical, 12)].into();
        totals.findings = 15;
        totals.defects = [("not_json", 2)].into();
        let en = totals.painted(&engine, Paint::PLAIN, Lang::En).to_string();
        let zh = totals.painted(&engine, Paint::PLAIN, Lang::Zh).to_string();
        let lines: Vec<&str> = en.lines().collect();
        assert_eq!(
            lines[..4],
            [
                "rule                                          level     findings  title",
                "customer-diversion/diversion.private-payment  critical        12  Customer asked to pay a private account",
                "customer-diversion/diversion.private-contact  high             3  Customer asked to use a private contact",
                "15 findings: critical 12, high 3",
            ]
        );
        assert!(lines[4].starts_with("0 exports, 0 B, 0 messages evaluated, 0 out of scope, "), "{en}");
        assert_eq!(lines[5..], ["         2  defect not_json", "  not read  b·[31m.jsonl: no right"]);
        assert!(zh.contains("规则                                          级别          命中  标题\n"), "{zh}");
        assert!(zh.contains("high             3  引导客户加私人联系方式\n"), "{zh}");
        assert!(totals.failed());
    }
}
