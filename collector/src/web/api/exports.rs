//! Lists to take along: alerts and findings, as CSV, XLSX or JSON lines. Noted before they go out.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Deserialize;

use super::alerts::{Which, concerning, reason};
use super::{page, search};
use crate::alerts::{self, Alert};
use crate::audit::Did;
use crate::export::csv::Csv;
use crate::export::xlsx::Xlsx;
use crate::export::{self, Format};
use crate::operators::Act;
use crate::web::ask::Ask;
use crate::web::problem::Problem;
use crate::web::route::{Body, CSV};

/// Rows of one list of alerts.
const ROWS_MAX: usize = 50_000;
/// Bytes of one list of findings: it is in memory until it is sent.
const FILE_BYTES_MAX: usize = 64 << 20;
/// Characters of what the trail says was taken along.
const SUBJECT_CHARS_MAX: usize = 256;
pub(in crate::web) const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
pub(in crate::web) const JSONL: &str = "application/x-ndjson";
const COLUMNS: [&str; 13] = [
    "alert",
    "level",
    "pack",
    "rule",
    "category",
    "person",
    "department",
    "site",
    "day",
    "state",
    "assignee",
    "ending",
    "findings",
];

/// Which findings are taken along, and why.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Findings {
    /// As search takes it; all of them where it is empty.
    #[serde(default)]
    pub(in crate::web) query: String,
    /// With excerpts.
    #[serde(default)]
    pub(in crate::web) excerpts: bool,
    /// Why; goes into the audit trail.
    #[serde(default)]
    pub(in crate::web) reason: String,
}

pub(in crate::web) fn alerts_csv(ask: &Ask<'_>, which: Which) -> Result<Body, Problem> {
    alerts(ask, &which, Format::Csv { mark: true })
}

pub(in crate::web) fn alerts_xlsx(ask: &Ask<'_>, which: Which) -> Result<Body, Problem> {
    alerts(ask, &which, Format::Xlsx)
}

pub(in crate::web) fn alerts_jsonl(ask: &Ask<'_>, which: Which) -> Result<Body, Problem> {
    alerts(ask, &which, Format::Jsonl)
}

pub(in crate::web) fn findings_csv(ask: &Ask<'_>, asked: Findings) -> Result<Body, Problem> {
    findings(ask, &asked, Format::Csv { mark: true })
}

pub(in crate::web) fn findings_xlsx(ask: &Ask<'_>, asked: Findings) -> Result<Body, Problem> {
    findings(ask, &asked, Format::Xlsx)
}

pub(in crate::web) fn findings_jsonl(ask: &Ask<'_>, asked: Findings) -> Result<Body, Problem> {
    findings(ask, &asked, Format::Jsonl)
}

/// Alerts, without what was found.
pub(in crate::web) fn alerts(ask: &Ask<'_>, which: &Which, format: Format) -> Result<Body, Problem> {
    let reason = reason(&which.reason)?;
    let rows = alerts::page(ask.derived()?, &which.filter(ask)?, which.order(), None, ROWS_MAX + 1)?;
    if rows.len() > ROWS_MAX {
        return Err(Problem::malformed("that is more than 50,000 alerts; choose a rule or a day"));
    }
    let rows: Vec<Alert> = rows.into_iter().map(|(alert, _)| alert).collect();
    let rows: Vec<&Alert> = rows.iter().filter(|alert| ask.may(Act::SeeAlerts, Some(&concerning(alert)))).collect();
    let bytes = table(&rows, format)?;
    ask.note(ask.by()?, Did::Exported, &subject(which), reason, rows.len() as u64)?;
    Ok(file("alerts", format, bytes))
}

fn file(stem: &str, format: Format, bytes: Vec<u8>) -> Body {
    let (kind, ending) = match format {
        Format::Csv { .. } => (CSV, "csv"),
        Format::Xlsx => (XLSX, "xlsx"),
        Format::Jsonl => (JSONL, "jsonl"),
    };
    Body::file(kind, format!("{stem}.{ending}"), bytes)
}

/// What is taken along, as the audit trail has it. Whom it is about it does not say: entries are for good.
fn subject(which: &Which) -> String {
    let state = which.state.map(|state| state.as_str().to_owned());
    let named = [("state", &state), ("pack", &which.pack), ("rule", &which.rule), ("day", &which.day)];
    let mut parts: Vec<String> =
        named.into_iter().filter_map(|(name, value)| Some(format!("{name}:{}", value.as_ref()?))).collect();
    let told = [
        ("person", which.person.is_some()),
        ("department", which.department.is_some()),
        ("site", which.site.is_some()),
        ("level", which.level.is_some()),
        ("assignee", which.assignee.is_some() || which.mine),
        ("unclosed", which.unclosed),
        ("overdue", which.overdue),
        ("appealed", which.appealed),
        ("suppressed", which.suppressed),
    ];
    parts.extend(told.into_iter().filter(|(_, is_said)| *is_said).map(|(name, _)| name.to_owned()));
    let subject = std::iter::once("alerts".to_owned()).chain(parts).collect::<Vec<_>>().join(" ");
    subject.chars().take(SUBJECT_CHARS_MAX).collect()
}

fn table(rows: &[&Alert], format: Format) -> Result<Vec<u8>, Problem> {
    let header = COLUMNS.map(str::to_owned);
    let mut out = Vec::new();
    match format {
        Format::Csv { mark } => {
            let mut csv = Csv::begin(&mut out, mark)?;
            csv.row(&header)?;
            rows.iter().try_for_each(|alert| csv.row(&cells(alert).map(|cell| page::plain(&cell))))?;
            csv.end()?;
        }
        Format::Xlsx => {
            let mut book = Xlsx::begin(&header)?;
            rows.iter().try_for_each(|alert| book.row(&cells(alert)))?;
            out = book.end()?;
        }
        Format::Jsonl => {
            for alert in rows {
                serde_json::to_writer(&mut out, alert).map_err(|error| Problem::broken(&error))?;
                out.push(b'\n');
            }
        }
    }
    Ok(out)
}

fn cells(alert: &Alert) -> [String; 13] {
    [
        alert.alert.clone(),
        alert.level.to_owned(),
        alert.pack.clone(),
        alert.rule.clone(),
        alert.category.clone(),
        alert.person.clone(),
        alert.department.clone(),
        alert.site.clone(),
        alert.day.clone(),
        alert.state.to_owned(),
        alert.assignee.clone(),
        alert.ending.unwrap_or_default().to_owned(),
        alert.findings.to_string(),
    ]
}

/// What is in memory until it is sent.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > FILE_BYTES_MAX {
            let told = "that is more than 64 MiB; narrow the query, by time for example, or use alert export";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, told));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Findings of alerts that whoever asks may read.
pub(in crate::web) fn findings(ask: &Ask<'_>, asked: &Findings, format: Format) -> Result<Body, Problem> {
    let reason = reason(&asked.reason)?;
    let query = search::parsed(ask, &asked.query)?;
    let mut finder = search::finder(ask)?;
    let mut bytes = Bounded(Vec::new());
    let export = export::Export { query: &query, format, excerpts: asked.excerpts };
    let told = |error: anyhow::Error| Problem::malformed(format!("{error:#}"));
    let rows = export::write(&mut finder, &export, &mut bytes).map_err(told)?;
    let with = if asked.excerpts { " with excerpts" } else { "" };
    let subject: String = format!("findings{with}: {}", query.told()).chars().take(SUBJECT_CHARS_MAX).collect();
    ask.note(ask.by()?, Did::Exported, &subject, reason, rows)?;
    Ok(file("findings", format, bytes.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trail_says_what_was_taken_along_and_not_whom_it_is_about() {
        let which = Which {
            state: Some(crate::alerts::work::State::Open),
            rule: Some("x".into()),
            person: Some("ww1/zhang".into()),
            overdue: true,
            ..Which::default()
        };
        assert_eq!(subject(&which), "alerts state:open rule:x person overdue");
        assert_eq!(subject(&Which::default()), "alerts");
    }
}
