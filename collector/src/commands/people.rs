//! `watchpost-collector people`: the roster 花名册, from a list of HR's to the devices.

mod show;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::json;
use watchpost_proto::document::{SIGNERS_MAX, Signers};
use watchpost_proto::keys::{KeyId, SigningKey as _, SoftwareKey};
use watchpost_proto::roster::{self, Head, Making};
use watchpost_proto::v1::Roster;
use watchpost_proto::{Digest, Message as _};

use super::deed::DeedArgs;
use super::output::Output;
use crate::admin::What;
use crate::clock::now_ms;
use crate::config::Config;
use crate::durable_file::{self, Access};
use crate::key_file::{self, Passphrase};
use crate::log_store::{self, LogReader};
use crate::people::difference::{Difference, Named};
use crate::people::persons::{self, Person, Persons};
use crate::people::publish::{Brought, handed_over};
use crate::people::{LIST_BYTES_MAX, columns, table};

/// Names shown of each part of a difference.
const NAMES_SHOWN: usize = 50;

/// Makes, publishes and shows the roster. 管理花名册。
#[derive(Debug, Args)]
pub struct PeopleArgs {
    #[command(subcommand)]
    command: PeopleCommand,
}

#[derive(Debug, Subcommand)]
enum PeopleCommand {
    /// Makes the key that signs rosters. It is HR's, and does not stay on the collector. 生成花名册签名密钥。
    #[command(after_help = "Example:\n  watchpost-collector people key --out hr.key")]
    Key {
        /// Where to write it; the file must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Encrypt it under a passphrase, which is asked for.
        #[arg(long)]
        passphrase: bool,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Signs a list and publishes it. 导入、签名并发布花名册。
    #[command(after_help = "Examples:\n  \
        watchpost-collector people import staff.xlsx --key hr.key --dry-run --config collector.toml\n  \
        watchpost-collector people import staff.xlsx --key hr.key --reason \"November\" --config collector.toml\n  \
        watchpost-collector people import moves.csv --key hr.key --effective 2026-12-01 --config collector.toml\n\n\
        Columns: 工号/employee, 企业/corp, 账号/userid, 姓名/name, 部门/department, 岗位/post, 地点/site, 标签/labels,\n\
        状态/status, 入职/from, 离职/leave, 不监测/never. The list is the whole truth; with --effective it holds from that\n\
        day on, and what was published before holds until then. One bad row, and nothing is imported. Accounts leave the\n\
        never list only where --remove-never says how many, and never with --effective.")]
    Import {
        #[command(flatten)]
        list: ListArgs,
        /// Show what would change, and publish nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        deed: DeedArgs,
    },
    /// Signs a list where the key is, into a file to be published elsewhere. 离线签名花名册。
    #[command(after_help = "Example:\n  \
        watchpost-collector people sign staff.xlsx --key hr.key --tenant default --previous roster-7.bin --out roster-8.bin\n\n\
        --previous is the roster signed last; without it this is the first.")]
    Sign {
        #[command(flatten)]
        list: ListArgs,
        /// The tenant of the collector.
        #[arg(long)]
        tenant: String,
        /// The roster signed last.
        #[arg(long, value_name = "FILE")]
        previous: Option<PathBuf>,
        /// Where to write the signed roster.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Publishes a roster that was signed elsewhere. 发布已签名的花名册。
    #[command(after_help = "Example:\n  \
        watchpost-collector people publish roster-8.bin --reason \"November\" --config collector.toml\n\n\
        Accounts leave the never list only where --remove-never says how many, as when it was signed.")]
    Publish {
        /// The signed roster.
        file: PathBuf,
        /// How many accounts leave the never list; if others do, nothing is published.
        #[arg(long, value_name = "N", default_value_t = 0)]
        remove_never: usize,
        /// Show what would change, and publish nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        deed: DeedArgs,
    },
    /// Lists accounts that look like the company's own and are in no roster, by pseudonym. 列出花名册之外的疑似内部账号。
    #[command(
        after_help = "Example:\n  watchpost-collector people unknown --json --config ./collector/collector.toml\n\n\
        Devices tell of them where the policy says so, and never by their ids."
    )]
    Unknown {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Lists the accounts of the roster in force. 列出花名册。
    #[command(after_help = "Examples:\n  \
        watchpost-collector people list --config ./collector/collector.toml\n  \
        watchpost-collector people list --at 2026-06-30 --json --config ./collector/collector.toml")]
    List {
        /// Only accounts that are managed on this day, as they stood then.
        #[arg(long, value_name = "DAY")]
        at: Option<String>,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
}

/// A list, and who signs it.
#[derive(Debug, Args)]
struct ListArgs {
    /// CSV or XLSX.
    file: PathBuf,
    /// A key that signs; several where several must.
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
    /// Who may sign the next: id of a key, hexadecimal; may be repeated. As before, if nothing is said; the first time, whoever signs.
    #[arg(long = "next", value_name = "ID")]
    next: Vec<String>,
    /// How many of those it takes.
    #[arg(long, default_value_t = 1, requires = "next")]
    needed: usize,
    /// The corporation of rows that name none.
    #[arg(long)]
    corp: Option<String>,
    /// The list holds from this day on, and what was published before holds until then.
    #[arg(long, value_name = "DAY")]
    effective: Option<String>,
    /// How many accounts leave the never list; if others do, nothing is signed.
    #[arg(long, value_name = "N", default_value_t = 0)]
    remove_never: usize,
}

/// Runs the command.
///
/// # Errors
/// A list with mistakes, or what kept it from being done.
pub fn run(args: PeopleArgs) -> anyhow::Result<()> {
    match args.command {
        PeopleCommand::Key { out, passphrase, json } => make_key(&out, passphrase, json),
        PeopleCommand::Import { list, dry_run, deed } => {
            let config = Config::load(&deed.config)?;
            let before = latest(&config)?;
            let made = sign(&list, before.as_ref(), &config.tenant)?;
            if !dry_run {
                check_removed(list.remove_never, "signed", &made, before.as_ref())?;
            }
            publish(&config, made, before.as_ref(), dry_run, &deed)
        }
        PeopleCommand::Sign { list, tenant, previous, out, json } => {
            sign_offline(&list, &tenant, previous.as_deref(), &out, json)
        }
        PeopleCommand::Publish { file, remove_never, dry_run, deed } => {
            let config = Config::load(&deed.config)?;
            let (before, made) = (latest(&config)?, Brought::read(&file, &config.tenant)?);
            let is_news = before.as_ref().is_none_or(|before| before.header.digest != made.header.digest);
            if is_news && !dry_run {
                check_removed(remove_never, "published", &made, before.as_ref())?;
            }
            publish(&config, made, before.as_ref(), dry_run, &deed)
        }
        PeopleCommand::Unknown { config, json } => show::unknown(&Config::load(&config)?, json),
        PeopleCommand::List { at, config, json } => show::list(&Config::load(&config)?, at.as_deref(), json),
    }
}

/// The roster published last; `None` before the first.
fn latest(config: &Config) -> anyhow::Result<Option<Brought>> {
    let log = LogReader::open(&config.log_db())?;
    let Some(latest) = log_store::latest_roster(log.connection())? else { return Ok(None) };
    let roster = log_store::roster_of(log.connection(), &latest.signed)?;
    Ok(Some(Brought::check(roster, &config.tenant)?))
}

fn make_key(out: &Path, passphrase: bool, json: bool) -> anyhow::Result<()> {
    let (key, der) = SoftwareKey::generate()?;
    key_file::write_new(
        out,
        &der,
        passphrase.then(|| Passphrase::new(None).choose()).transpose()?.as_ref().map(|it| it.as_str()),
    )?;
    let id = key.public().id().0.to_string();
    let mut said = Output::new();
    if json {
        said.json(&json!({ "key": id }))?;
    } else {
        said.row(&["key", &id])?;
    }
    said.finish()
}

fn read_key(path: &Path) -> anyhow::Result<SoftwareKey> {
    Ok(key_file::read(path, &Passphrase::new(None))?.signing()?)
}

/// Makes a roster of a list, to follow the one before.
fn sign(args: &ListArgs, before: Option<&Brought>, tenant: &str) -> anyhow::Result<Brought> {
    let keys = args.keys.iter().map(|path| read_key(path)).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(keys.len() <= SIGNERS_MAX, "at most {SIGNERS_MAX} keys sign");
    let mut now = read_list(args)?;
    if let Some(before) = before {
        let known = persons_of(before)?;
        if let Some(day) = &args.effective {
            let day = columns::day_ms(day).ok().flatten();
            let (from_ms, _) = day.with_context(|| "--effective is a day like 2026-12-01".to_owned())?;
            now = persons::from_a_day_on(now, &known, from_ms);
        }
        persons::keep_salts(&mut now, &known);
    } else {
        ensure!(
            args.effective.is_none(),
            "--effective changes what was published before, and nothing was; write a column 入职 or from"
        );
    }
    let next = next_signers(args, before, &keys)?;
    let head = before.map(|before| Head { version: before.header.header.version, digest: before.header.digest });
    let making = Making { tenant, previous: head.as_ref(), next: &next, at_ms: now_ms() };
    let rows = now.into_values().map(|Person { row, details }| (row, details)).collect();
    let (header, records) = roster::make(rows, &making)?;
    let keys: Vec<_> = keys.iter().map(|key| key as &dyn watchpost_proto::keys::SigningKey).collect();
    let signed = roster::sign(&header, &keys)?;
    if let Some(before) = before {
        let held = Head { version: before.header.header.version, digest: before.header.digest };
        roster::follow(Some(&held), &before.header.next, std::slice::from_ref(&signed), tenant)
            .context("with --key, name the key that signed the roster before, and the new one where it changes")?;
    }
    Brought::check(Roster { header: Some(signed), records }, tenant)
}

/// A never column that is missing or misspelt must not end anybody's protection unseen.
fn check_removed(said: usize, done: &str, made: &Brought, before: Option<&Brought>) -> anyhow::Result<()> {
    let removed = difference(made, before)?.never_removed;
    if removed.len() == said {
        return Ok(());
    }
    let mut told: Vec<&str> = removed.iter().take(NAMES_SHOWN).map(|named| named.account.as_str()).collect();
    if removed.len() > told.len() {
        told.push("…");
    }
    bail!(
        "nothing was {done}: {} accounts would leave the never list 不监测名单, and --remove-never says {said}\n{}\n\
         If that is meant, say --remove-never {}; else see that the list has a column 不监测 or never with them in it.",
        removed.len(),
        told.join("\n"),
        removed.len()
    )
}

fn read_list(args: &ListArgs) -> anyhow::Result<Persons> {
    let told = || args.file.display().to_string();
    let length = std::fs::metadata(&args.file).with_context(told)?.len();
    ensure!(
        length <= LIST_BYTES_MAX,
        "{} is larger than 128 MiB; leave out columns that are not needed",
        args.file.display()
    );
    let bytes = std::fs::read(&args.file).with_context(told)?;
    let read = table::read(&bytes).and_then(|rows| columns::lines(&rows, args.corp.as_deref()));
    // Without random numbers nothing is signed.
    let mut failed = None;
    let salt = || {
        let mut salt = vec![0; 16];
        failed = getrandom::fill(&mut salt).err().or(failed);
        salt
    };
    let persons = read.and_then(|lines| persons::of_lines(&lines, salt));
    let persons =
        persons.map_err(|mistakes| anyhow::anyhow!("{}: nothing was imported\n{}", told(), mistakes.join("\n")))?;
    match failed {
        Some(error) => Err(error).context("no random numbers from the system"),
        None => Ok(persons),
    }
}

fn persons_of(brought: &Brought) -> anyhow::Result<Persons> {
    persons::of_roster(&brought.roster).map_err(anyhow::Error::msg)
}

fn next_signers(args: &ListArgs, before: Option<&Brought>, keys: &[SoftwareKey]) -> anyhow::Result<Signers> {
    let impossible = "nobody could sign the next roster: --needed is more than there are keys, or there are too many";
    if !args.next.is_empty() {
        let ids = args.next.iter().map(|id| {
            Digest::from_hex(id)
                .map(KeyId)
                .with_context(|| format!("{id:?} is not the id of a key; people key prints it"))
        });
        return Signers::new(ids.collect::<anyhow::Result<_>>()?, args.needed).context(impossible);
    }
    match before {
        Some(before) => Ok(before.header.next.clone()),
        None => Signers::new(keys.iter().map(|key| key.public().id()).collect(), 1).context(impossible),
    }
}

fn sign_offline(list: &ListArgs, tenant: &str, previous: Option<&Path>, out: &Path, json: bool) -> anyhow::Result<()> {
    let before = previous.map(|path| Brought::read(path, tenant)).transpose()?;
    let made = sign(list, before.as_ref(), tenant)?;
    check_removed(list.remove_never, "signed", &made, before.as_ref())?;
    durable_file::write(out, &made.roster.encode_to_vec(), Access::Secret)?;
    let mut said = Output::new();
    show_difference(&mut said, &made, before.as_ref(), json)?;
    said.finish()
}

fn publish(
    config: &Config,
    made: Brought,
    before: Option<&Brought>,
    dry_run: bool,
    deed: &DeedArgs,
) -> anyhow::Result<()> {
    let mut said = Output::new();
    if before.is_some_and(|before| before.header.digest == made.header.digest) {
        said.row(&["nothing to do: this roster is published already"])?;
        return said.finish();
    }
    if !deed.json || dry_run {
        show_difference(&mut said, &made, before, deed.json)?;
    }
    if dry_run {
        if !deed.json {
            said.row(&["试运行，未发布 dry run: nothing was published"])?;
        }
        return said.finish();
    }
    let path = handed_over(config, &made.header.digest);
    if let Some(folder) = path.parent() {
        durable_file::create_folder(folder, Access::Secret)?;
    }
    durable_file::write(&path, &made.roster.encode_to_vec(), Access::Secret)?;
    let done = deed.have_done(config, What::PublishRoster { roster: made.header.digest.to_string() });
    // It has names in it, and is in the log or of no use.
    let _ = std::fs::remove_file(&path);
    let entries = done?;
    let version = made.header.header.version;
    if deed.json {
        said.json(&json!({ "version": version, "digest": made.header.digest.to_string(), "entries": entries,
            "difference": difference(&made, before)? }))?;
    } else {
        said.row(&[&format!("已发布 version {version} is published; in the log at {entries:?}")])?;
    }
    said.finish()
}

fn difference(made: &Brought, before: Option<&Brought>) -> anyhow::Result<Difference> {
    let known = before.map(persons_of).transpose()?.unwrap_or_default();
    Ok(Difference::between(&known, &persons_of(made)?))
}

fn show_difference(said: &mut Output, made: &Brought, before: Option<&Brought>, json: bool) -> anyhow::Result<()> {
    let difference = difference(made, before)?;
    let version = made.header.header.version;
    if json {
        return said
            .json(&json!({ "version": version, "accounts": made.header.header.rows, "difference": difference }));
    }
    said.row(&[&format!(
        "花名册 roster {version}: {} accounts, {} never",
        made.header.header.rows, made.header.header.never_count
    )])?;
    for (title, named) in difference.parts() {
        said.row(&[title, &named.len().to_string()])?;
        for Named { account, name } in named.iter().take(NAMES_SHOWN) {
            said.row(&["", account, name])?;
        }
        if named.len() > NAMES_SHOWN {
            said.row(&["", &format!("… {} more; --json shows all", named.len() - NAMES_SHOWN)])?;
        }
    }
    Ok(())
}
