//! `watchpost-collector names`: whom and what pseudonyms stand for.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use watchpost_policy::identity::TenantKey;
use watchpost_proto::Message as _;
use watchpost_proto::v1::NamesEntry;

use super::deed::DeedArgs;
use super::output::Output;
use crate::admin::What;
use crate::audit::{self, Access, Did};
use crate::config::Config;
use crate::key_file;
use crate::log_store::LogReader;
use crate::names::list::{Given, read};
use crate::names::{self, Kind, Named};
use crate::people::{LIST_BYTES_MAX, table};
use crate::search::open_read_only;

/// Names rooms and customers: imports lists, shows and removes names. 群聊与客户名称。
#[derive(Debug, Args)]
pub struct NamesArgs {
    #[command(subcommand)]
    command: NamesCommand,
}

#[derive(Debug, Subcommand)]
enum NamesCommand {
    /// Imports a list, CSV or XLSX: name, and pseudonym or id; kind and corp where they differ. Ids become pseudonyms and are not kept.
    #[command(
        after_help = "Example:\n  watchpost-collector names import rooms.xlsx --kind room --corp ww1 --config ./collector/collector.toml"
    )]
    Import {
        /// The list.
        file: PathBuf,
        /// What the names are of, where no column says.
        #[arg(long, value_enum)]
        kind: Option<KindArg>,
        /// The corporation of ids, where no column says.
        #[arg(long)]
        corp: Option<String>,
        #[command(flatten)]
        deed: DeedArgs,
    },
    /// Shows what pseudonyms stand for, these or all. Needs --reason and leaves a record.
    #[command(
        after_help = "Example:\n  watchpost-collector names list p_0011223344556677889900aa --reason \"case 7\" --config ./collector/collector.toml"
    )]
    List {
        /// Pseudonyms; all where none is named.
        pseudonyms: Vec<String>,
        #[command(flatten)]
        deed: DeedArgs,
    },
    /// Writes all names into a file that can be imported again. Needs --reason and leaves a record.
    #[command(
        after_help = "Example:\n  watchpost-collector names export names.csv --reason \"yearly review\" --config ./collector/collector.toml"
    )]
    Export {
        /// The file, CSV.
        file: PathBuf,
        #[command(flatten)]
        deed: DeedArgs,
    },
    /// Erases names for good. 彻底删除名称。
    #[command(
        after_help = "Example:\n  watchpost-collector names remove p_0011223344556677889900aa --reason \"asked for it\" --config ./collector/collector.toml"
    )]
    Remove {
        /// Pseudonyms.
        #[arg(required = true)]
        pseudonyms: Vec<String>,
        #[command(flatten)]
        deed: DeedArgs,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindArg {
    Customer,
    Room,
}

/// Runs the command.
///
/// # Errors
/// A list with mistakes, nothing of that name, or what kept it from being done.
pub fn run(args: NamesArgs) -> anyhow::Result<()> {
    match args.command {
        NamesCommand::Import { file, kind, corp, deed } => {
            let kind = kind.map(|kind| match kind {
                KindArg::Customer => Kind::Customer,
                KindArg::Room => Kind::Room,
            });
            import(&file, kind, corp.as_deref(), &deed)
        }
        NamesCommand::List { pseudonyms, deed } => list(&pseudonyms, &deed),
        NamesCommand::Export { file, deed } => export(&file, &deed),
        NamesCommand::Remove { pseudonyms, deed } => remove(&pseudonyms, &deed),
    }
}

fn import(file: &Path, kind: Option<Kind>, corp: Option<&str>, deed: &DeedArgs) -> anyhow::Result<()> {
    let config = Config::load(&deed.config)?;
    let told = || file.display().to_string();
    ensure!(fs::metadata(file).with_context(told)?.len() <= LIST_BYTES_MAX, "{} is too large", file.display());
    let rows = table::read(&fs::read(file).with_context(told)?).map_err(|it| anyhow::anyhow!(it.join("\n")))?;
    let path = config.enrolment.authority.as_ref().map(|folder| folder.join("tenant.key")).filter(|path| path.exists());
    let key = path.map(|path| key_file::read_tenant(&path, &config.keys.passphrase)).transpose()?.map(TenantKey);
    let given = Given { corp, kind, key: key.as_ref() };
    let list = read(&rows, &given).map_err(|mistakes| anyhow::anyhow!(mistakes.join("\n")))?;
    let names = list.len();
    let entries = deed.have_done(&config, What::Name { added: list, removed: Vec::new() })?;
    let (mut come, mut gone) = (0, 0);
    let log = LogReader::open(&config.log_db())?;
    for index in &entries {
        let header = log.entry(*index)?.map(|entry| entry.header).unwrap_or_default();
        let entry = NamesEntry::decode(&header[..]).unwrap_or_default();
        (come, gone) = (come + entry.added.len(), gone + entry.removed.len());
    }
    let changed = come.min(gone);
    deed.say(&json!({ "names": names, "new": come - changed, "changed": changed }), &entries)
}

fn list(pseudonyms: &[String], deed: &DeedArgs) -> anyhow::Result<()> {
    if let Some(wrong) = pseudonyms.iter().find(|it| !names::is_pseudonym(it)) {
        bail!("{wrong:?} is no pseudonym; write p_ and 24 hexadecimal digits");
    }
    let (config, mut known) = known(deed)?;
    if pseudonyms.is_empty() {
        note(&config, deed, Did::Resolved, "all names".into(), known.len() as u64)?;
    } else {
        known.retain(|named| pseudonyms.contains(&named.pseudonym));
        note_resolved(&config, deed, known.iter().map(|named| named.pseudonym.as_str()))?;
    }
    let mut out = Output::new();
    if !deed.json {
        out.row(&["PSEUDONYM", "KIND", "NAME"])?;
    }
    for named in known {
        if deed.json {
            out.json(&named)?;
        } else {
            out.row(&[&named.pseudonym, named.kind.word(), &named.name])?;
        }
    }
    out.finish()
}

fn export(file: &Path, deed: &DeedArgs) -> anyhow::Result<()> {
    ensure!(!file.exists(), "{} exists already and is not overwritten", file.display());
    let (config, known) = known(deed)?;
    let mut rows = vec![["pseudonym", "kind", "name"].map(str::to_owned)];
    rows.extend(known.iter().map(|it| [it.pseudonym.clone(), it.kind.word().to_owned(), it.name.clone()]));
    note(&config, deed, Did::Exported, "all names".into(), known.len() as u64)?;
    let csv = crate::export::csv::table(&rows)?;
    crate::durable_file::write(file, csv.as_bytes(), crate::durable_file::Access::Secret)?;
    deed.say(&json!({ "names": known.len() }), &[])
}

fn remove(pseudonyms: &[String], deed: &DeedArgs) -> anyhow::Result<()> {
    let config = Config::load(&deed.config)?;
    let told = json!({ "removed": pseudonyms.len() });
    let entries = deed.have_done(&config, What::Name { added: Vec::new(), removed: pseudonyms.to_vec() })?;
    deed.say(&told, &entries)
}

fn known(deed: &DeedArgs) -> anyhow::Result<(Config, Vec<Named>)> {
    ensure!(!deed.reason.trim().is_empty(), "to learn whom pseudonyms stand for needs --reason");
    let config = Config::load(&deed.config)?;
    let known = names::list(&open_read_only(&config.search_db())?)?;
    Ok((config, known))
}

/// Whom somebody is to learn the names of, each of them, in the log before they are told.
pub(super) fn note_resolved<'a>(
    config: &Config,
    deed: &DeedArgs,
    pseudonyms: impl Iterator<Item = &'a str>,
) -> anyhow::Result<()> {
    let subjects = audit::subjects(pseudonyms);
    subjects.into_iter().try_for_each(|(subject, rows)| note(config, deed, Did::Resolved, subject, rows))
}

/// In the log before anything is told.
pub(super) fn note(config: &Config, deed: &DeedArgs, did: Did, subject: String, rows: u64) -> anyhow::Result<()> {
    let access = Access { did, subject, address: String::new(), rows };
    deed.have_done(config, What::Access { access }).map(drop)
}
