//! Prints findings: for people like a search tool, for programs as one JSON object per finding.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::sync::Arc;

use anyhow::Context;
use indicatif::ProgressBar;
use watchpost_policy::engine::{Engine, Finding, Hit};
use watchpost_policy::identity::Mid;
use watchpost_policy::matcher::Channel;
use watchpost_policy::message::Message;
use watchpost_policy::rules::{Rule, Status};
use watchpost_policy::scan::ScanRow;

use super::super::print_json;
use super::super::terminal::{Ink, Lang, Paint, china_time, clean, cut, pad, snippets, stdout_columns};
use super::read::Evaluated;
use super::totals::Totals;
use super::walk::Export;
use super::{Format, ScanArgs};

/// Columns of an id of a party or a room.
const ID_COLUMNS: usize = 40;
/// Receivers named.
const TO_MAX: usize = 3;
/// Columns before the text of a line.
const INDENT: usize = 8;
/// Columns where standard output is no terminal: nobody wraps there.
const COLUMNS_MAX: usize = 2_000;

/// Where findings go.
pub(super) struct Teller<'a, W: Write> {
    pub(super) engine: &'a Engine,
    pub(super) format: Format,
    context: usize,
    /// Columns for text.
    columns: usize,
    pub(super) paint: Paint,
    pub(super) lang: Lang,
    progress: &'a ProgressBar,
    /// Findings told already: the same message in two exports is one.
    told: HashSet<(Mid, Arc<str>, Arc<str>)>,
    /// The export whose heading stands.
    heading: Option<String>,
    pub(super) out: BufWriter<W>,
}

impl<'a, W: Write> Teller<'a, W> {
    pub(super) fn new(args: &ScanArgs, engine: &'a Engine, progress: &'a ProgressBar, out: BufWriter<W>) -> Self {
        let columns = stdout_columns().map_or(COLUMNS_MAX, |columns| columns.saturating_sub(INDENT));
        Self {
            engine,
            format: args.format,
            context: args.context,
            columns,
            paint: args.look.stdout(),
            lang: args.look.lang(),
            progress,
            told: HashSet::new(),
            heading: None,
            out,
        }
    }

    /// Tells what of a message has not been told yet.
    pub(super) fn tell(&mut self, export: &Export, seen: Box<Evaluated>, totals: &mut Totals) -> anyhow::Result<()> {
        let Evaluated { line, mid, message, findings, .. } = *seen;
        let told = &mut self.told;
        let new = |finding: &Finding| told.insert((mid, finding.pack.clone(), finding.rule.clone()));
        let findings: Vec<Finding> = findings.into_iter().filter(new).collect();
        findings.iter().for_each(|finding| totals.finding(finding));
        if findings.is_empty() {
            return Ok(());
        }
        match self.format {
            Format::Jsonl => findings.iter().try_for_each(|finding| {
                print_json(&mut self.out, &ScanRow::new(finding, &message, &export.name, line))
            }),
            Format::Table => {
                self.aside(|this| this.message(&export.name, line, &message, &findings)).context("cannot write")
            }
        }
    }

    /// Prints while the bar steps aside for what is printed on the same terminal.
    pub(super) fn aside(&mut self, print: impl FnOnce(&mut Self) -> std::io::Result<()>) -> std::io::Result<()> {
        let (progress, hidden) = (self.progress, self.progress.is_hidden());
        progress.suspend(|| {
            print(self)?;
            if hidden { Ok(()) } else { self.out.flush() }
        })
    }

    pub(super) fn message(
        &mut self,
        export: &str,
        line: u64,
        message: &Message,
        findings: &[Finding],
    ) -> std::io::Result<()> {
        let Self { paint, lang, .. } = *self;
        if self.heading.as_deref() != Some(export) {
            let gap = if self.heading.is_some() { "\n" } else { "" };
            writeln!(self.out, "{gap}{}", paint.ink(Ink::File, clean(export)))?;
            self.heading = Some(export.to_owned());
        }
        writeln!(self.out, "{:>6}  {}", paint.ink(Ink::Line, line), about(message, lang))?;
        for finding in findings {
            let rule = rule_of(self.engine, finding);
            let level = paint.ink(Ink::Level(finding.level), finding.level.as_str());
            let gap = " ".repeat(9_usize.saturating_sub(finding.level.as_str().len()));
            let title = rule.map_or(String::new(), |rule| clean(lang.title(&rule.title)));
            writeln!(
                self.out,
                "        {level}{gap}{}  {title}{}",
                finding.rule,
                paint.ink(Ink::Dim, marks(finding, lang))
            )?;
        }
        self.texts(message, findings)
    }

    /// The texts with hits, each with what is around them.
    fn texts(&mut self, message: &Message, findings: &[Finding]) -> std::io::Result<()> {
        let paint = self.paint;
        let mut by_field: BTreeMap<&str, Vec<Range<usize>>> = BTreeMap::new();
        for hit in findings.iter().flat_map(|finding| &finding.hits) {
            by_field.entry(&hit.field).or_default().push(range(hit));
        }
        for text in message.all_texts() {
            let Some(hits) = by_field.remove(&*text.field) else { continue };
            let name = if *text.field == *"text.content" {
                String::new()
            } else {
                format!("{}: ", cut(&text.field, ID_COLUMNS))
            };
            let room = self.columns.saturating_sub(name.chars().count());
            let (pieces, more) = snippets(&text.text, &hits, self.context, room);
            for piece in pieces {
                writeln!(self.out, "        {}{}", paint.ink(Ink::Dim, &name), piece.painted(paint))?;
            }
            if more > 0 {
                let more = format!("{}{more}{}", self.lang.of("… 另有 ", "… "), self.lang.of(" 处", " more places"));
                writeln!(self.out, "        {}", paint.ink(Ink::Dim, more))?;
            }
        }
        Ok(())
    }
}

/// What a reviewer should know of how a finding came about: weak channels, hidden characters, a rule on trial.
fn marks(finding: &Finding, lang: Lang) -> String {
    let mut marks: Vec<&str> = Vec::new();
    for channel in finding.hits.iter().map(|hit| hit.channel).filter(|channel| *channel > Channel::Folded) {
        marks.push(channel.as_str());
    }
    marks.sort_unstable();
    marks.dedup();
    if finding.hits.iter().any(|hit| hit.obfuscated) {
        marks.push(lang.of("夹有隐藏字符", "hidden characters"));
    }
    if finding.status == Status::Shadow {
        marks.push(lang.of("试运行", "shadow"));
    }
    if marks.is_empty() { String::new() } else { format!("  [{}]", marks.join(", ")) }
}

fn range(hit: &Hit) -> Range<usize> {
    hit.start as usize..hit.end as usize
}

fn rule_of<'a>(engine: &'a Engine, finding: &Finding) -> Option<&'a Rule> {
    let pack = engine.packs().iter().find(|pack| pack.id == finding.pack)?;
    pack.rules.iter().find(|rule| rule.id == finding.rule)
}

/// When, from whom, to whom.
pub(in crate::commands) fn about(message: &Message, lang: Lang) -> String {
    let id = |id: &str| if id.is_empty() { "?".to_owned() } else { cut(id, ID_COLUMNS) };
    let time = message.msgtime.and_then(china_time).unwrap_or_else(|| lang.of("时间不明", "no time").to_owned());
    let mut to: Vec<String> = message.to.iter().take(TO_MAX).map(|to| id(to)).collect();
    let more = message.to.len().saturating_sub(TO_MAX);
    to.extend((more > 0).then(|| format!("+{more}")));
    let to = if to.is_empty() { "?".to_owned() } else { to.join(", ") };
    let room =
        message.room.as_deref().map_or(String::new(), |room| format!("  {} {}", lang.of("群", "room"), id(room)));
    format!("{}  {} → {to}{room}", pad(&time, 19), id(&message.from))
}
