//! `agent.toml`, checked whole: every mistake is reported at once, with its line and what to do about it.

mod read;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use watchpost_policy::engine::SELF_CHECK_CORP;
use watchpost_policy::message::Corp;
use watchpost_policy::rules::Disclose;
use watchpost_proto::Digest;
use watchpost_proto::encryption::Recipient;
use watchpost_proto::keys::KeyId;
use watchpost_proto::roster::ONLY_MAX;

use crate::carrier::{Limits, Names};
use crate::device::DeviceFiles;
use crate::expectation::Expectation;
use crate::my_data::{MyDataConfig, SOCKET, account_of};
use crate::policies::PolicyConfig;
use crate::rosters::RosterConfig;
use crate::uplink::UplinkConfig;

use read::Reader;

/// Largest configuration file, in bytes. Anything larger is not one.
pub const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// One mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

/// A folder of sanctioned exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// The corporation its exports belong to.
    pub corp: Corp,
    /// When exports are expected in it.
    pub expect: Option<Expectation>,
    /// What the columns of its tables are called, beside the usual names.
    pub columns: Names,
}

impl Folder {
    /// A folder in which nothing is expected and columns have usual names.
    pub fn new(path: impl Into<PathBuf>, corp: Corp) -> Self {
        Self { path: path.into(), corp, expect: None, columns: Names::default() }
    }
}

/// How exports are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Size and time must be stable this long.
    pub settle: Duration,
    /// Between two listings when nothing is heard.
    pub rescan: Duration,
    /// Between two listings of folders that tell nothing, such as network shares.
    pub poll: Duration,
    /// Bytes of export per transaction.
    pub batch_bytes: usize,
    /// What an export may come to.
    pub limits: Limits,
    /// Days a message is remembered.
    pub horizon_days: i64,
    /// Below this many free bytes on the state folder's disk reading rests, so that what is found can still be sent and
    /// receipted.
    pub disk_free_min: u64,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            settle: Duration::from_secs(2),
            rescan: Duration::from_secs(60),
            poll: Duration::from_secs(10),
            batch_bytes: 8 * 1024 * 1024,
            limits: Limits::default(),
            horizon_days: 45,
            disk_free_min: 32 * 1024 * 1024,
        }
    }
}

/// How much may wait on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxConfig {
    /// Unreceipted bytes of both lanes at which the source rests.
    pub bytes_max: u64,
}

impl OutboxConfig {
    /// Part of the outbox that tallies and file reports may fill; the rest is for findings and losses.
    const BULK_SHARE: u64 = 8;

    /// Bytes of tallies and file reports at which further ones wait where they are.
    pub fn bulk_bytes_max(&self) -> u64 {
        self.bytes_max / Self::BULK_SHARE
    }

    /// Bytes of findings and losses at which reading rests.
    pub fn urgent_bytes_max(&self) -> u64 {
        self.bytes_max - self.bulk_bytes_max()
    }
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self { bytes_max: 256 * 1024 * 1024 }
    }
}

/// How the device enrols where it has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnrolmentConfig {
    /// Holds the token; put there by device management, say.
    pub token_file: Option<PathBuf>,
    /// What the device calls itself in the list of assets; its serial number where this is absent.
    pub asset: Option<String>,
}

/// Everything `agent.toml` says, checked, with paths made absolute against its folder.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the database lies.
    pub state_dir: PathBuf,
    /// Certificate, key, roots, tenant key.
    pub identity: DeviceFiles,
    /// How the device enrols where it has not.
    pub enrolment: EnrolmentConfig,
    /// The folders watched.
    pub folders: Vec<Folder>,
    /// Who is managed at most, and who signs rosters.
    pub roster: RosterConfig,
    /// Packs in force until there is a signed policy, and what such a one is allowed.
    pub policy: PolicyConfig,
    /// How exports are taken.
    pub source: SourceConfig,
    /// How much may wait.
    pub outbox: OutboxConfig,
    /// To whom segments are encrypted, if to anybody.
    pub encryption: Option<Recipient>,
    /// Where to, and how patiently.
    pub uplink: UplinkConfig,
    /// What employees are told.
    pub notice: NoticeConfig,
    /// Which of them may ask for which accounts.
    pub my_data: MyDataConfig,
}

/// What employees are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeConfig {
    /// The text of the notice, and the number of its version.
    pub text: Option<(PathBuf, u64)>,
    /// Who can see what is sent, a line each.
    pub who: Vec<String>,
}

impl Config {
    /// Reads and checks a file. The mistakes are sentences for a person, each with the file's name.
    pub fn load(path: &Path) -> Result<Self, Vec<String>> {
        let told = |text: String| vec![format!("{}: {text}", path.display())];
        let length =
            std::fs::metadata(path).map_err(|error| told(format!("{error}; name the file with --config")))?.len();
        if length > CONFIG_BYTES_MAX {
            return Err(told("this is too large to be a configuration".into()));
        }
        let bytes = std::fs::read(path).map_err(|error| told(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| told("the file is not UTF-8; save it as UTF-8".into()))?;
        let base = std::path::absolute(path).map_err(|error| told(error.to_string()))?;
        Self::parse(&text, base.parent().unwrap_or(Path::new("."))).map_err(|mistakes| {
            mistakes.iter().map(|mistake| format!("{}:{}: {}", path.display(), mistake.line, mistake.text)).collect()
        })
    }

    /// Fills in what enrolment told where the file does not say it.
    ///
    /// # Errors
    /// Nobody has said where the collector is.
    pub fn find_collectors(&mut self) -> Result<(), String> {
        if self.uplink.collectors.is_empty() {
            self.uplink.collectors = self.identity.membership().collectors;
        }
        if self.uplink.collectors.is_empty() {
            return Err(
                "nobody has said where the collector is: write collector = \"host:port\" into the configuration, \
                        or enrol with a token"
                    .into(),
            );
        }
        Ok(())
    }

    /// Checks a configuration whose relative paths belong to `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self, Vec<Mistake>> {
        let mut reader = Reader::new(text, base);
        let config = read_config(&mut reader);
        let mistakes = reader.into_mistakes();
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(mistakes),
        }
    }
}

fn read_config(reader: &mut Reader<'_>) -> Option<Config> {
    let root = reader.root()?;
    reader.known(
        &root,
        &[
            "collector",
            "enrolment",
            "state_dir",
            "identity",
            "folder",
            "columns",
            "accounts",
            "roster",
            "policy",
            "source",
            "outbox",
            "encryption",
            "uplink",
            "notice",
            "my_data",
        ],
    );
    let collectors = reader.addresses(&root, "collector");
    let state_dir = reader.path(&root, "state_dir");
    let identity = read_identity(reader, &root, state_dir.as_deref().unwrap_or(Path::new("")));
    let enrolment = read_enrolment(reader, &root);
    let folders = read_folders(reader, &root);
    let roster = read_roster(reader, &root);
    let policy = read_policy(reader, &root);
    let source = read_source(reader, &root);
    let outbox = read_outbox(reader, &root);
    let encryption = read_encryption(reader, &root);
    let (notice, my_data) = (read_notice(reader, &root), read_my_data(reader, &root));
    let uplink = read_uplink(reader, &root, collectors);
    Some(Config {
        state_dir: state_dir?,
        identity,
        enrolment,
        folders,
        roster,
        policy,
        source,
        outbox,
        encryption,
        uplink,
        notice,
        my_data,
    })
}

/// Where enrolment puts the device's files, unless they are named.
fn read_identity<'i>(reader: &mut Reader<'i>, root: &read::Table<'i>, state_dir: &Path) -> DeviceFiles {
    let folder = state_dir.join("identity");
    let mut files = DeviceFiles {
        certificate: folder.join("device.crt"),
        key: folder.join("device.key"),
        root: folder.join("root.crt"),
        tenant_key: folder.join("tenant.key"),
        membership: folder.join("membership.json"),
    };
    let Some(table) = reader.optional_table(root, "identity") else { return files };
    reader.known(&table, &["certificate", "key", "root", "tenant_key"]);
    for (name, place) in [
        ("certificate", &mut files.certificate),
        ("key", &mut files.key),
        ("root", &mut files.root),
        ("tenant_key", &mut files.tenant_key),
    ] {
        if let Some(path) = reader.optional_path(&table, name) {
            *place = path;
        }
    }
    files
}

fn read_enrolment<'i>(reader: &mut Reader<'i>, root: &read::Table<'i>) -> EnrolmentConfig {
    let mut enrolment = EnrolmentConfig::default();
    let Some(table) = reader.optional_table(root, "enrolment") else { return enrolment };
    reader.known(&table, &["token_file", "asset"]);
    enrolment.token_file = reader.optional_path(&table, "token_file");
    enrolment.asset = reader.optional_word(&table, "asset");
    enrolment
}

fn read_folders<'i>(reader: &mut Reader<'i>, root: &read::Table<'i>) -> Vec<Folder> {
    let profiles = read_profiles(reader, root);
    let mut folders: Vec<Folder> = Vec::new();
    for table in reader.tables(root, "folder") {
        reader.known(&table, &["path", "corp", "expect", "columns"]);
        let (path, corp) = (reader.path(&table, "path"), reader.word(&table, "corp"));
        if corp.as_deref() == Some(SELF_CHECK_CORP) {
            reader.mistake(
                table.at,
                format!("corp {SELF_CHECK_CORP} belongs to the agent's own self-check; write the corporation's id"),
            );
        }
        let expect = reader.parsed(&table, "expect", str::parse::<Expectation>);
        let columns = reader.parsed(&table, "columns", |name| {
            profiles.get(name).cloned().ok_or("names no [[columns]] of this file; write its name as it stands there")
        });
        let (Some(path), Some(corp)) = (path, corp) else { continue };
        let nested = folders.iter().any(|other| other.path.starts_with(&path) || path.starts_with(&other.path));
        if nested {
            reader.mistake(
                table.at,
                format!("{} lies in, or is, another watched folder; name each once", path.display()),
            );
        }
        folders.push(Folder { path, corp: Corp::new(corp), expect, columns: columns.unwrap_or_default() });
    }
    folders
}

/// Names of columns, by the names of the profiles.
fn read_profiles<'i>(reader: &mut Reader<'i>, root: &read::Table<'i>) -> BTreeMap<String, Names> {
    let mut profiles = BTreeMap::new();
    for table in reader.optional_tables(root, "columns") {
        let words = Names::words();
        reader.known(&table, &[&["name"][..], &words[..]].concat());
        let name = reader.word(&table, "name");
        let headers: Vec<(&str, String)> = words
            .into_iter()
            .flat_map(|word| reader.words(&table, word).into_iter().map(move |text| (word, text)))
            .collect();
        match (name, Names::of(headers.iter().map(|(word, header)| (*word, header.as_str())))) {
            (_, Err(mistake)) => reader.mistake(table.at, mistake),
            (Some(name), Ok(names)) => {
                if profiles.insert(name.clone(), names).is_some() {
                    reader.mistake(table.at, format!("two [[columns]] are named {name}; rename one"));
                }
            }
            (None, Ok(_)) => {}
        }
    }
    profiles
}

fn read_roster<'i>(reader: &mut Reader<'i>, root: &read::Table<'i>) -> RosterConfig {
    let mut roster = RosterConfig::default();
    if let Some(table) = reader.optional_table(root, "accounts") {
        reader.known(&table, &["file", "only"]);
        roster.list = reader.optional_path(&table, "file");
        roster.only = reader.words(&table, "only").iter().filter_map(|account| account_of(account)).collect();
        if roster.only.len() != reader.words(&table, "only").len() || roster.only.len() > ONLY_MAX {
            reader.mistake(table.at, format!("only names at most {ONLY_MAX} accounts, each like \"ww1234/li.na\""));
        }
        if roster.list.is_none() && roster.only.is_empty() {
            reader.mistake(table.at, "[accounts] names a file, or the only accounts to manage");
        }
    }
    if let Some(table) = reader.optional_table(root, "roster") {
        reader.known(&table, &["key"]);
        roster.key = reader.parsed(&table, "key", |id| {
            Digest::from_hex(id)
                .map(KeyId)
                .ok_or("is not the id of a key: 64 hexadecimal characters, as people key prints them")
        });
    }
    roster
}

fn read_policy<'i>(reader: &mut Reader<'i>, root: &read::Table<'i>) -> PolicyConfig {
    let mut policy = PolicyConfig::default();
    let Some(table) = reader.optional_table(root, "policy") else { return policy };
    reader.known(&table, &["packs", "disclose", "key", "bytes_max"]);
    policy.packs = reader.policy_files(&table, "packs");
    if let Some(disclose) = reader.choice(&table, "disclose", &Disclose::ALL.map(|it| (it.as_str(), it))) {
        policy.disclose = disclose;
    }
    policy.key = reader.parsed(&table, "key", |id| {
        Digest::from_hex(id)
            .map(KeyId)
            .ok_or("is not the id of a key: 64 hexadecimal characters, as policy key prints them")
    });
    if let Some(bytes) = reader.size(&table, "bytes_max", 64 * 1024) {
        policy.bytes_max = bytes;
    }
    policy
}

fn read_source<'i>(reader: &mut Reader<'i>, root: &read::Table<'i>) -> SourceConfig {
    let mut source = SourceConfig::default();
    let Some(table) = reader.optional_table(root, "source") else { return source };
    reader.known(
        &table,
        &[
            "settle",
            "rescan",
            "poll",
            "batch_bytes",
            "file_bytes_max",
            "line_bytes_max",
            "workbook_texts_max",
            "unpacked_bytes_max",
            "unpacked_ratio_max",
            "members_max",
            "horizon_days",
            "disk_free_min",
        ],
    );
    for (name, place, least) in [
        ("settle", &mut source.settle, Duration::ZERO),
        ("rescan", &mut source.rescan, Duration::from_millis(100)),
        ("poll", &mut source.poll, Duration::from_millis(100)),
    ] {
        if let Some(duration) = reader.duration(&table, name, least) {
            *place = duration;
        }
    }
    if let Some(bytes) = reader.size(&table, "batch_bytes", 64 * 1024) {
        source.batch_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(bytes) = reader.size(&table, "line_bytes_max", 64 * 1024) {
        source.limits.record_bytes_max = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(bytes) = reader.size(&table, "file_bytes_max", 1024 * 1024) {
        source.limits.file_bytes_max = bytes;
    }
    if let Some(bytes) = reader.size(&table, "workbook_texts_max", 1024 * 1024) {
        source.limits.shared_bytes_max = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(bytes) = reader.size(&table, "unpacked_bytes_max", 1024 * 1024) {
        source.limits.unpacked_bytes_max = bytes;
    }
    if let Some(ratio) = reader.number(&table, "unpacked_ratio_max", 10..=1_000_000) {
        source.limits.ratio_max = ratio.unsigned_abs();
    }
    if let Some(members) = reader.number(&table, "members_max", 1..=1_000_000) {
        source.limits.members_max = usize::try_from(members).unwrap_or(usize::MAX);
    }
    if let Some(days) = reader.number(&table, "horizon_days", 1..=366) {
        source.horizon_days = days;
    }
    if let Some(bytes) = reader.size(&table, "disk_free_min", 0) {
        source.disk_free_min = bytes;
    }
    source
}

fn read_outbox<'i>(reader: &mut Reader<'i>, root: &read::Table<'i>) -> OutboxConfig {
    let mut outbox = OutboxConfig::default();
    let Some(table) = reader.optional_table(root, "outbox") else { return outbox };
    reader.known(&table, &["bytes_max"]);
    if let Some(bytes) = reader.size(&table, "bytes_max", 1024 * 1024) {
        outbox.bytes_max = bytes;
    }
    outbox
}

fn read_encryption<'i>(reader: &mut Reader<'i>, root: &read::Table<'i>) -> Option<Recipient> {
    let table = reader.optional_table(root, "encryption")?;
    reader.known(&table, &["recipient"]);
    reader.word(&table, "recipient")?;
    reader.parsed(&table, "recipient", |text| {
        Recipient::parse(text).ok_or("must be what watchpost-collector key encryption list prints; copy it whole")
    })
}

fn read_uplink<'i>(reader: &mut Reader<'i>, root: &read::Table<'i>, collectors: Vec<String>) -> UplinkConfig {
    let mut uplink =
        UplinkConfig { collectors, heartbeat: Duration::from_secs(60), retry_max: Duration::from_secs(60) };
    let Some(table) = reader.optional_table(root, "uplink") else { return uplink };
    reader.known(&table, &["heartbeat", "retry_max"]);
    if let Some(heartbeat) = reader.duration(&table, "heartbeat", Duration::from_millis(100)) {
        uplink.heartbeat = heartbeat;
    }
    if let Some(retry_max) = reader.duration(&table, "retry_max", Duration::from_millis(100)) {
        uplink.retry_max = retry_max;
    }
    uplink
}

fn read_notice<'i>(reader: &mut Reader<'i>, root: &read::Table<'i>) -> NoticeConfig {
    let Some(table) = reader.optional_table(root, "notice") else { return NoticeConfig::default() };
    reader.known(&table, &["file", "version", "who"]);
    let file = reader.has(&table, "file").then(|| reader.path(&table, "file")).flatten();
    let version = reader.number(&table, "version", 1..=i64::from(u32::MAX)).map(i64::unsigned_abs);
    if file.is_some() && !reader.has(&table, "version") {
        reader.mistake(
            table.at,
            "version is missing; number the notice, and raise the number with every change of its text",
        );
    }
    NoticeConfig { text: file.zip(version), who: reader.words(&table, "who") }
}

fn read_my_data<'i>(reader: &mut Reader<'i>, root: &read::Table<'i>) -> MyDataConfig {
    let Some(table) = reader.optional_table(root, "my_data") else { return MyDataConfig::default() };
    reader.known(&table, &["socket", "users", "excerpts"]);
    let excerpts = reader.choice(&table, "excerpts", &[("keep", false), ("drop", true)]);
    let socket = if reader.has(&table, "socket") { reader.path(&table, "socket") } else { Some(SOCKET.into()) };
    let mut users = BTreeMap::new();
    if let Some(table) = reader.optional_table(&table, "users") {
        for user in table.keys() {
            let accounts = reader.words(&table, &user);
            if let Some(wrong) = accounts.iter().find(|account| account_of(account).is_none()) {
                reader.mistake(table.at, format!("{user} = {wrong:?} is no account; write \"corp/userid\""));
            }
            users.insert(user, accounts.iter().filter_map(|account| account_of(account)).collect());
        }
    }
    MyDataConfig { socket, users, without_excerpts: excerpts.unwrap_or(false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = r#"
collector = "127.0.0.1:7443"
state_dir = "state"
[identity]
certificate = "device.crt"
key = "device.key"
root = "root.crt"
tenant_key = "tenant.key"
[[folder]]
path = "exports"
corp = "wwEXAMPLE0001"
"#;

    fn mistakes(text: &str) -> Vec<String> {
        Config::parse(text, Path::new("/etc/watchpost"))
            .map(|_| Vec::new())
            .unwrap_or_else(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
    }

    #[test]
    fn a_sound_file_has_defaults_and_absolute_paths() {
        let config = Config::parse(SOUND, Path::new("/etc/watchpost")).unwrap();
        assert_eq!(config.state_dir, Path::new("/etc/watchpost/state"));
        assert_eq!(config.folders[0].path, Path::new("/etc/watchpost/exports"));
        assert_eq!(config.source, SourceConfig::default());
        assert_eq!(config.uplink.heartbeat, Duration::from_secs(60));
    }

    #[test]
    fn built_in_packs_are_no_paths() {
        let text = SOUND.to_owned() + "[policy]\npacks = [\"builtin\", \"builtin:message-flow\", \"own.yaml\"]\n";
        let packs = Config::parse(&text, Path::new("/etc/watchpost")).unwrap().policy.packs;
        assert_eq!(packs, ["builtin", "builtin:message-flow", "/etc/watchpost/own.yaml"].map(PathBuf::from));
    }

    #[test]
    fn a_byte_order_mark_is_tolerated() {
        assert_eq!(mistakes(&format!("\u{feff}{SOUND}")), Vec::<String>::new());
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_line() {
        let text = "collector = 7443\nstate_dri = \"state\"\n[identity]\ncertificate = \"a\"\nkey = \"\"\n\
                    [[folder]]\npath = \"C:\\new\\exports\"\ncorp = \"ww1\"\n[source]\nsettle = \"2 parsecs\"\n";
        let told = mistakes(text);
        let expected = [
            "line 1: collector must be text in quotes, not an integer",
            "line 2: unknown key state_dri; did you mean `state_dir`?",
            "line 1: state_dir is missing",
            "line 5: key is empty",
            "line 7: path holds a control character; write Windows paths in 'single quotes'",
            "line 10: settle must be a time such as \"500ms\", \"2s\", \"5m\" or \"1h\"",
        ];
        for expected in expected {
            assert!(told.iter().any(|told| told.starts_with(expected)), "{expected}\nnot in {told:#?}");
        }
        assert_eq!(told.len(), expected.len(), "{told:#?}");
    }

    #[test]
    fn a_file_that_is_no_toml_says_where() {
        let told = mistakes("collector = \"a:1\"\nstate_dir = \n");
        assert!(told[0].starts_with("line 2: "), "{told:?}");
    }

    #[test]
    fn folders_are_needed_and_may_not_overlap() {
        let without = SOUND.split("[[folder]]").next().unwrap();
        assert_eq!(mistakes(without), ["line 1: folder is missing; add [[folder]] with path and corp"]);
        let told = mistakes(&format!("{SOUND}[[folder]]\npath = \"exports/sub\"\ncorp = \"ww1\"\n"));
        assert!(told[0].contains("lies in, or is, another watched folder"), "{told:?}");
    }

    #[test]
    fn a_folder_says_what_is_expected_and_what_columns_are_called() {
        let folder = "expect = \"daily by 09:00\"\ncolumns = \"crm\"\n";
        let profile = "[[columns]]\nname = \"crm\"\nfrom = [\"坐席\", \"客服\"]\nbody = \"话术\"\n";
        let config = Config::parse(&format!("{SOUND}{folder}{profile}"), Path::new("/")).unwrap();
        assert_eq!(config.folders[0].expect, Some(Expectation::Daily { by: 540, work_days: false }));
        assert_eq!(
            config.folders[0].columns,
            Names::of([("from", "坐席"), ("from", "客服"), ("body", "话术")]).unwrap()
        );
        for (text, expected) in [
            (SOUND.to_owned() + "expect = \"daily\"\n", "line 12: expect must be such as \"daily by 09:00\""),
            (SOUND.to_owned() + "columns = \"crm\"\n", "line 12: columns names no [[columns]] of this file"),
            (SOUND.to_owned() + "[[columns]]\nname = \"crm\"\nsender = \"坐席\"\n", "line 14: unknown key sender"),
            (
                SOUND.to_owned() + "[[columns]]\nname = \"crm\"\nfrom = \"a\"\nto = \"A\"\n",
                "line 12: the column `A` is to be two things",
            ),
            (format!("{SOUND}{profile}{profile}"), "line 16: two [[columns]] are named crm"),
        ] {
            let told = mistakes(&text);
            assert!(told.iter().any(|told| told.starts_with(expected)), "{expected}\nnot in {told:#?}");
        }
    }

    #[test]
    fn a_recipient_that_is_not_copied_whole_is_a_mistake() {
        let key = watchpost_proto::encryption::RecipientSecret::generate([1; 32]).unwrap().0.recipient().clone();
        let with = |recipient: &str| format!("{SOUND}[encryption]\nrecipient = \"{recipient}\"\n");
        let config = Config::parse(&with(&key.to_string()), Path::new("/")).unwrap();
        assert_eq!(config.encryption, Some(key.clone()));
        let told = mistakes(&with(&key.to_string()[..20]));
        assert!(told[0].starts_with("line 13: recipient must be what watchpost-collector key"), "{told:?}");
        assert_eq!(mistakes(&format!("{SOUND}[encryption]\n")), ["line 12: recipient is missing"]);
    }

    #[test]
    fn an_address_needs_a_port() {
        let told = mistakes(&SOUND.replace("127.0.0.1:7443", "127.0.0.1"));
        assert_eq!(told, ["line 2: collector must be host:port, such as \"collector.example:7443\""]);
    }
}
