//! Findings as files for others: CSV and XLSX for people, JSON lines with ECS names for a SIEM.
//!
//! A file is complete only when a record of it is in the log: see [`crate::audit`]. Excerpts go along only where they were asked for.

pub mod csv;
pub mod ecs;
pub mod xlsx;

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use watchpost_proto::v1::Finding;

use crate::alerts;
use crate::clock::minute_in_china;
use crate::link::Link;
use crate::search::find::{Asked, Finder, Found, PAGE_MAX};
use crate::search::query::Query;

/// Findings of one file.
const ROWS_MAX: u64 = 1_000_000;
/// How long one page may take: nobody waits before it.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a file is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For spreadsheets; with a mark in front by which Excel knows UTF-8.
    Csv {
        /// Whether the mark is there.
        mark: bool,
    },
    /// A workbook.
    Xlsx,
    /// One JSON object a line.
    Jsonl,
}

/// What is exported, and how.
#[derive(Clone, Debug)]
pub struct Export<'a> {
    /// Which findings.
    pub query: &'a Query,
    /// As what.
    pub format: Format,
    /// With excerpts.
    pub excerpts: bool,
}

/// One finding with all that is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// As search tells it.
    pub found: Found,
    /// The corporation.
    pub corp: String,
    /// The name of the person concerned, by the roster; empty where it knows none.
    pub name: String,
    /// Receivers, at most fifty.
    pub to: Vec<String>,
    /// Where its message is looked at.
    pub link: Option<String>,
    /// Empty unless it was asked for.
    pub excerpt: String,
}

/// Names of columns, and where excerpts go along one more.
const COLUMNS: [&str; 19] = [
    "时间 time",
    "级别 level",
    "规则包 pack",
    "规则 rule",
    "类别 category",
    "账号 person",
    "姓名 name",
    "部门 department",
    "站点 site",
    "发送人 from",
    "接收人 to",
    "群 room",
    "类型 type",
    "消息 msgid",
    "原文 link",
    "设备 device",
    "告警 alert",
    "状态 state",
    "命中 finding",
];
const EXCERPT: &str = "摘录 excerpt";

impl Exported {
    fn cells(&self, excerpts: bool) -> Vec<String> {
        let found = &self.found;
        let mut cells = vec![
            found.msgtime.and_then(minute_in_china).unwrap_or_default(),
            found.level.to_owned(),
            found.pack.clone(),
            found.rule.clone(),
            found.category.clone(),
            found.person.clone(),
            self.name.clone(),
            found.department.clone(),
            found.site.clone(),
            found.from.clone(),
            self.to.join(" "),
            found.room.clone(),
            found.msgtype.clone(),
            found.msgid.clone(),
            self.link.clone().unwrap_or_default(),
            found.device.clone(),
            found.alert.clone().unwrap_or_default(),
            found.state.to_owned(),
            found.finding_id.clone(),
        ];
        if excerpts {
            cells.push(self.excerpt.clone());
        }
        cells
    }
}

fn header(excerpts: bool) -> Vec<String> {
    COLUMNS.into_iter().chain(excerpts.then_some(EXCERPT)).map(str::to_owned).collect()
}

/// Writes a file of what a query finds; returns how many findings are in it. Before it takes its name `note` is told their number and
/// puts that into the log.
///
/// # Errors
/// Something of that name, a query that is too broad, the disk, or what `note` returned; then there is no file.
pub fn to_file(
    finder: &mut Finder,
    export: &Export<'_>,
    path: &Path,
    note: impl FnOnce(u64) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    ensure!(!path.exists(), "{} exists already and is not overwritten", path.display());
    let name = path.file_name().context("the export needs the name of a file")?.to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.part"));
    let written = fill(finder, export, &beside).and_then(|rows| {
        note(rows)?;
        fs::rename(&beside, path).with_context(|| path.display().to_string())?;
        Ok(rows)
    });
    if written.is_err() {
        // Best effort: the first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn fill(finder: &mut Finder, export: &Export<'_>, path: &Path) -> anyhow::Result<u64> {
    let told = || path.display().to_string();
    crate::durable_file::write(path, b"", crate::durable_file::Access::Secret)?;
    let file = fs::OpenOptions::new().write(true).open(path).with_context(told)?;
    let mut out = BufWriter::new(file);
    let rows = write(finder, export, &mut out)?;
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(told)?;
    file.sync_all().with_context(told)?;
    Ok(rows)
}

/// Writes what a query finds. Whoever calls it puts that into the log before the last byte is handed on.
///
/// # Errors
/// A query that is too broad, or the writer.
pub fn write(finder: &mut Finder, export: &Export<'_>, out: &mut impl Write) -> anyhow::Result<u64> {
    match export.format {
        Format::Csv { mark } => {
            let mut csv = csv::Csv::begin(out, mark)?;
            csv.row(&header(export.excerpts))?;
            let rows = each(finder, export, ROWS_MAX, |row| csv.row(&row.cells(export.excerpts)))?;
            csv.end()?;
            Ok(rows)
        }
        Format::Xlsx => {
            let mut book = xlsx::Xlsx::begin(&header(export.excerpts))?;
            let rows = each(finder, export, xlsx::ROWS_MAX, |row| book.row(&row.cells(export.excerpts)))?;
            out.write_all(&book.end()?)?;
            Ok(rows)
        }
        Format::Jsonl => each(finder, export, ROWS_MAX, |row| {
            serde_json::to_writer(&mut *out, &ecs::event(&row))?;
            Ok(out.write_all(b"\n")?)
        }),
    }
}

fn each(
    finder: &mut Finder,
    export: &Export<'_>,
    rows_max: u64,
    mut take: impl FnMut(Exported) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let link = Link::read(finder.derived())?;
    let (mut rows, mut after): (u64, Option<String>) = (0, None);
    loop {
        let asked = Asked { query: export.query, after: after.as_deref(), limit: PAGE_MAX, patience: PATIENCE };
        let page = finder.find(&asked)?;
        for found in page.found {
            rows += 1;
            if rows > rows_max {
                bail!("there are more than {rows_max} findings; narrow the query, by time for example");
            }
            take(exported(finder, found, link.as_ref(), export.excerpts)?)?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(rows),
        }
    }
}

fn exported(finder: &Finder, found: Found, link: Option<&Link>, excerpts: bool) -> anyhow::Result<Exported> {
    let Finding { corp, to, excerpt, .. } = finder.told(&found)?.unwrap_or_default();
    let at_ms = found.msgtime.unwrap_or(found.received);
    let name = alerts::name_of(finder.derived(), &found.person, at_ms)?;
    let link = link.and_then(|link| link.to(&corp, &found.msgid));
    let excerpt = if excerpts { excerpt } else { String::new() };
    Ok(Exported { found, corp, name, to, link, excerpt })
}
