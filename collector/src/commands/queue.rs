//! `watchpost-collector device queue|admit|reject|expected`: who is to enrol, and who has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};

use super::deed::DeedArgs;
use super::output::Output;
use crate::admin::What;
use crate::clock::minute_in_china;
use crate::config::Config;
use crate::enrolment::desk::is_word;
use crate::{derive, members};

/// Assets of one list.
const ASSETS_MAX: usize = 200_000;
/// Bytes of a list.
const LIST_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Where to look.
#[derive(Debug, Args)]
pub struct LookArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

/// Whom to decide about.
#[derive(Debug, Args)]
pub struct DecideArgs {
    /// Codes of the queue, as the devices show them.
    #[arg(value_name = "CODE")]
    codes: Vec<String>,
    /// Everyone who waits and whose asset number is on the list, but for numbers that another uses as well.
    #[arg(long, conflicts_with = "codes")]
    expected: bool,
    #[command(flatten)]
    deed: DeedArgs,
}

/// What to do with the list.
#[derive(Debug, Args)]
pub struct ExpectedArgs {
    #[command(subcommand)]
    command: ExpectedCommand,
}

#[derive(Debug, Subcommand)]
enum ExpectedCommand {
    /// Shows how many devices of the list have enrolled, and which have not.
    #[command(
        after_help = "Example:\n  watchpost-collector device expected list --config ./collector/collector.toml --missing"
    )]
    List {
        /// Only those that have not been seen yet.
        #[arg(long)]
        missing: bool,
        #[command(flatten)]
        look: LookArgs,
    },
    /// Replaces the list by a CSV file with the columns asset, group and site (the last two may be left out).
    #[command(
        after_help = "Example:\n  watchpost-collector device expected import assets.csv --config ./collector/collector.toml\n\n\
        asset is what the device says of itself: its serial number, or what device management sets as its asset number.\n\
        Mistakes are told by line, and nothing is imported then."
    )]
    Import {
        /// The list.
        file: PathBuf,
        #[command(flatten)]
        deed: DeedArgs,
    },
}

/// Shows who waits.
///
/// # Errors
/// Nothing to read, or stdout.
pub fn queue(look: &LookArgs, all: bool) -> anyhow::Result<()> {
    let db = derive::open_read_only(&Config::load(&look.config)?.derived_db())?;
    let mut out = Output::new();
    if !look.json {
        out.row(&["CODE", "STATE", "ASSET", "EXPECTED", "HOSTNAME", "FROM", "GROUP", "SITE", "ASKED"])?;
    }
    for it in members::queue(&db, all)? {
        if look.json {
            out.json(&it)?;
            continue;
        }
        let asked = minute_in_china(it.asked_ms).unwrap_or_default();
        let expected = match (it.expected, it.contested) {
            (_, true) => "TAKEN",
            (true, false) => "yes",
            (false, false) => "no",
        };
        out.row(&[&it.code, it.state, &it.asset, expected, &it.hostname, &it.address, &it.group, &it.site, &asked])?;
    }
    out.finish()
}

/// Admits or rejects.
///
/// # Errors
/// A code that fits nobody, or what kept it from being done.
pub fn decide(args: DecideArgs, admit: bool) -> anyhow::Result<()> {
    let codes = if args.expected { waiting_and_expected(&args.deed.config)? } else { args.codes };
    if codes.is_empty() {
        bail!("name at least one code; see device queue");
    }
    args.deed.run(if admit { What::Admit { codes } } else { What::Reject { codes } })
}

fn waiting_and_expected(config: &Path) -> anyhow::Result<Vec<String>> {
    let db = derive::open_read_only(&Config::load(config)?.derived_db())?;
    let waiting = members::queue(&db, false)?.into_iter().filter(|it| it.expected && !it.contested).map(|it| it.code);
    Ok(waiting.collect::<BTreeSet<_>>().into_iter().collect())
}

/// Runs `device expected`.
///
/// # Errors
/// Nothing to read, mistakes in the list, or what kept it from being done.
pub fn expected(args: ExpectedArgs) -> anyhow::Result<()> {
    match args.command {
        ExpectedCommand::List { missing, look } => list(&look, missing),
        ExpectedCommand::Import { file, deed } => deed.run(What::Expect { devices: read(&file)? }),
    }
}

fn list(look: &LookArgs, missing: bool) -> anyhow::Result<()> {
    let db = derive::open_read_only(&Config::load(&look.config)?.derived_db())?;
    let all = members::expected(&db)?;
    let count = |state: &str| all.iter().filter(|it| it.state == state).count();
    let (seen, enrolled, waiting) = (count("seen"), count("enrolled"), count("waiting"));
    let mut out = Output::new();
    if look.json {
        for it in all.iter().filter(|it| !missing || it.state != "seen") {
            out.json(it)?;
        }
        return out.finish();
    }
    let (total, never) = (all.len(), all.len() - seen);
    out.row(&[&format!("已注册 {} / {total}，从未上线 {never}，等待批准 {waiting}", seen + enrolled)])?;
    out.row(&[&format!(
        "enrolled {} of {total}, never seen {never}, waiting for approval {waiting}",
        seen + enrolled
    )])?;
    out.row(&[])?;
    out.row(&["ASSET", "STATE", "GROUP", "SITE", "DEVICE"])?;
    for it in all.iter().filter(|it| !missing || it.state != "seen") {
        out.row(&[&it.asset, it.state, &it.group, &it.site, it.device.as_deref().unwrap_or_default()])?;
    }
    out.finish()
}

/// Reads a list; every mistake with its line.
fn read(file: &Path) -> anyhow::Result<Vec<(String, String, String)>> {
    let shown = file.display();
    let length = std::fs::metadata(file).with_context(|| shown.to_string())?.len();
    ensure!(length <= LIST_BYTES_MAX, "{shown} has {length} bytes; at most {LIST_BYTES_MAX} are read");
    let bytes = std::fs::read(file).with_context(|| shown.to_string())?;
    let text = String::from_utf8(bytes).ok().with_context(|| format!("{shown} is not UTF-8; save it as UTF-8"))?;
    parse(&text).map_err(|mistakes| anyhow::anyhow!("{shown}: nothing was imported\n{}", mistakes.join("\n")))
}

pub(crate) fn parse(text: &str) -> Result<Vec<(String, String, String)>, Vec<String>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| vec![error.to_string()])?.clone();
    let column = |name: &str| headers.iter().position(|header| header.eq_ignore_ascii_case(name));
    let Some(asset_at) = column("asset") else {
        return Err(vec!["line 1: there is no column `asset`; the columns are asset, group, site".into()]);
    };
    let (group_at, site_at) = (column("group"), column("site"));
    let (mut devices, mut mistakes, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                mistakes.push(error.to_string());
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        let field = |at: Option<usize>| at.and_then(|at| record.get(at)).unwrap_or_default().to_owned();
        let (asset, group, site) = (field(Some(asset_at)), field(group_at), field(site_at));
        let group = if group.is_empty() { "default".to_owned() } else { group };
        if asset.is_empty() {
            mistakes.push(format!("line {line}: the asset is empty"));
        } else if ![&asset, &group, &site].into_iter().all(|word| is_word(word)) {
            mistakes.push(format!("line {line}: a value has more than 64 characters, or control characters"));
        } else if !seen.insert(asset.clone()) {
            mistakes.push(format!("line {line}: {asset} is there twice"));
        } else {
            devices.push((asset, group, site));
        }
    }
    if devices.len() > ASSETS_MAX {
        mistakes.push(format!("the list has {} assets; at most {ASSETS_MAX} are taken", devices.len()));
    }
    if mistakes.is_empty() { Ok(devices) } else { Err(mistakes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_leave_out_group_and_site() {
        let devices = parse("\u{feff}Asset,Site\n PF3K01 , shanghai\nPF3K02,\n").unwrap();
        let expected = [("PF3K01", "default", "shanghai"), ("PF3K02", "default", "")];
        assert_eq!(devices, expected.map(|(a, g, s)| (a.to_owned(), g.to_owned(), s.to_owned())));
    }

    #[test]
    fn every_mistake_is_told_by_line_and_nothing_is_taken() {
        let mistakes = parse("asset,group\nA,g\n,g\nA,g\nB,\u{7}\n").unwrap_err();
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        for (mistake, line) in mistakes.iter().zip(["line 3", "line 4", "line 5"]) {
            assert!(mistake.starts_with(line), "{mistake}");
        }
        assert!(parse("serial\nA\n").unwrap_err()[0].contains("asset"));
    }
}
