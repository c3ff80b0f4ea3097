//! `watchpost-collector key`: how private keys are kept, and the keys that open encrypted segments.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::json;
use watchpost_proto::encryption::{ENTROPY_BYTES, RecipientSecret};

use super::output::Output;
use crate::config::Config;
use crate::durable_file::{self, Access};
use crate::key_file::{self, KeyFileError, Passphrase, PrivateKey};
use crate::secrets;

/// Letters of the key id that a file of an encryption key is named by.
const NAME_DIGITS: usize = 16;

/// Puts private keys under a passphrase, and makes the keys that open encrypted segments. 私钥口令与数据加密密钥。
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    watchpost-collector key encrypt --config ./collector/collector.toml\n\n\
    Where the passphrase is looked for, in this order: [keys] passphrase_file in collector.toml, systemd's credential\n\
    watchpost-passphrase, the environment variable WATCHPOST_PASSPHRASE, the terminal.")]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Lists the private keys of a collector, and which of them are encrypted. 列出私钥。
    #[command(after_help = "Example:\n  watchpost-collector key list --config ./collector/collector.toml")]
    List {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Puts private keys under a passphrase: every key of a collector, or the files named. 用口令加密私钥。
    #[command(after_help = "Example:\n  \
        watchpost-collector key encrypt --config ./collector/collector.toml\n  \
        watchpost-collector key encrypt /media/offline/root.key\n\n\
        The files are PKCS#8 (PBES2 with scrypt, AES-256-CBC): `openssl pkey -in FILE` reads them, too.\n\
        Interrupted, it is simply done again. A running collector goes on; at its next start it needs the passphrase.")]
    Encrypt(Files),
    /// Takes private keys out from under their passphrase. 解除私钥口令。
    #[command(after_help = "Example:\n  watchpost-collector key decrypt --config ./collector/collector.toml")]
    Decrypt(Files),
    /// Puts encrypted private keys under another passphrase. 更换口令。
    #[command(after_help = "Example:\n  \
        watchpost-collector key change-passphrase --new-passphrase-file new.txt --config ./collector/collector.toml\n\n\
        Afterwards put the new passphrase where the old one was. Interrupted, it is simply done again.")]
    ChangePassphrase {
        /// The file whose first line is the new passphrase; asked for at a terminal without it.
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
        #[command(flatten)]
        files: Files,
    },
    /// The keys that open encrypted segments. 数据段加密密钥。
    Encryption {
        #[command(subcommand)]
        command: EncryptionCommand,
    },
}

#[derive(Debug, Subcommand)]
enum EncryptionCommand {
    /// Makes a key, and prints what goes into the configuration of devices. 新建加密密钥。
    #[command(after_help = "Example:\n  \
        watchpost-collector key encryption new --config ./collector/collector.toml\n\n\
        Keep a copy of the file: what devices have encrypted to it nobody else can read. A running collector takes it\n\
        over within seconds. Earlier keys stay, and open what is still on its way to them.")]
    New(ConfigAndJson),
    /// Lists the keys, and what goes into the configuration of devices. 列出加密密钥。
    #[command(after_help = "Example:\n  watchpost-collector key encryption list --config ./collector/collector.toml")]
    List(ConfigAndJson),
}

#[derive(Debug, Args)]
struct ConfigAndJson {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

/// Which keys, and under what.
#[derive(Debug, Args)]
struct Files {
    /// Key files; without any, every key of the collector.
    files: Vec<PathBuf>,
    /// The configuration file.
    #[arg(long, value_name = "FILE", required_unless_present = "files", conflicts_with = "files")]
    config: Option<PathBuf>,
    /// The file whose first line is the passphrase; looked for elsewhere without it.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Files {
    fn read(self) -> anyhow::Result<(Vec<PathBuf>, Passphrase)> {
        let named = self.passphrase_file.map(|file| Passphrase::new(Some(file)));
        let Some(config) = self.config else { return Ok((self.files, named.unwrap_or_default())) };
        let config = Config::load(&config)?;
        let files = secrets::files(&config);
        ensure!(!files.is_empty(), "this collector has no keys yet");
        Ok((files, named.unwrap_or(config.keys.passphrase)))
    }
}

/// Runs the command.
///
/// # Errors
/// A file that is no key or opens under another passphrase, by name; nothing was changed then.
pub fn run(args: KeyArgs) -> anyhow::Result<()> {
    match args.command {
        KeyCommand::List { config, json } => list(&Config::load(&config)?, json),
        KeyCommand::Encrypt(files) => {
            let (files, passphrase) = files.read()?;
            encrypt(&files, &passphrase)
        }
        KeyCommand::Decrypt(files) => {
            let (files, passphrase) = files.read()?;
            rewrite(&files, &[&passphrase], None)
        }
        KeyCommand::ChangePassphrase { new_passphrase_file, files } => {
            let (files, old) = files.read()?;
            change(&files, &old, new_passphrase_file)
        }
        KeyCommand::Encryption { command: EncryptionCommand::New(args) } => {
            new_encryption(&Config::load(&args.config)?, args.json)
        }
        KeyCommand::Encryption { command: EncryptionCommand::List(args) } => {
            list_encryption(&Config::load(&args.config)?, args.json)
        }
    }
}

fn list(config: &Config, json: bool) -> anyhow::Result<()> {
    let mut out = Output::new();
    if !json {
        out.row(&["FILE", "KEPT", "NOTE"])?;
    }
    for path in secrets::files(config) {
        let (kept, note) = match key_file::is_encrypted(&path) {
            Ok(true) => ("encrypted", String::new()),
            Ok(false) => ("plain", String::new()),
            Err(error) => ("unusable", error.to_string()),
        };
        let path = path.display().to_string();
        if json {
            out.json(&json!({ "file": path, "kept": kept, "note": note }))?;
        } else {
            out.row(&[&path, kept, &note])?;
        }
    }
    out.finish()
}

fn encrypt(files: &[PathBuf], passphrase: &Passphrase) -> anyhow::Result<()> {
    // Those that are encrypted already say whether the passphrase is theirs, before it is chosen for the others.
    for path in files {
        if key_file::is_encrypted(path)? {
            key_file::read(path, passphrase)?;
        }
    }
    let chosen = passphrase.choose()?;
    let mut out = Output::new();
    for path in files {
        let shown = path.display().to_string();
        if key_file::is_encrypted(path)? {
            out.row(&["was encrypted", &shown])?;
        } else {
            key_file::rewrite(path, &key_file::read(path, passphrase)?, Some(&chosen))?;
            out.row(&["encrypted", &shown])?;
        }
    }
    out.finish()
}

fn change(files: &[PathBuf], old: &Passphrase, new_file: Option<PathBuf>) -> anyhow::Result<()> {
    let files: Vec<PathBuf> = files
        .iter()
        .filter_map(|path| match key_file::is_encrypted(path) {
            Ok(true) => Some(Ok(path.clone())),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        })
        .collect::<Result<_, _>>()?;
    ensure!(!files.is_empty(), "none of these keys is encrypted; run key encrypt");
    // Without a file it is asked for, whatever the environment says: that is where the old one is.
    let new = match new_file {
        Some(file) => Passphrase::new(Some(file)),
        None => Passphrase::to_be_typed(),
    };
    // What an interrupted change has done already opens under the new one.
    rewrite(&files, &[old, &new], Some(&new))
}

/// Everything is opened before anything is written.
fn rewrite(files: &[PathBuf], opened_by: &[&Passphrase], under: Option<&Passphrase>) -> anyhow::Result<()> {
    let opened = files.iter().map(|path| open(path, opened_by)).collect::<Result<Vec<PrivateKey>, _>>()?;
    let chosen = under.map(Passphrase::choose).transpose()?;
    let mut out = Output::new();
    for (path, key) in files.iter().zip(&opened) {
        key_file::rewrite(path, key, chosen.as_deref().map(String::as_str))?;
        out.row(&[if chosen.is_some() { "encrypted" } else { "plain" }, &path.display().to_string()])?;
    }
    out.finish()
}

fn open(path: &Path, passphrases: &[&Passphrase]) -> Result<PrivateKey, KeyFileError> {
    let mut first = None;
    for passphrase in passphrases {
        match key_file::read(path, passphrase) {
            Err(error @ (KeyFileError::WrongPassphrase { .. } | KeyFileError::NoPassphrase(_))) => {
                first = first.or(Some(error));
            }
            other => return other,
        }
    }
    Err(first.unwrap_or_else(|| KeyFileError::NoPassphrase(path.to_owned())))
}

fn new_encryption(config: &Config, json: bool) -> anyhow::Result<()> {
    let mut entropy = [0; ENTROPY_BYTES];
    getrandom::fill(&mut entropy).context("no random numbers from the system")?;
    let (secret, der) = RecipientSecret::generate(entropy).context("the key cannot be used")?;
    let name = &secret.recipient().id().0.to_string()[..NAME_DIGITS];
    durable_file::create_folder(&config.keys.encryption, Access::Secret)?;
    let path = config.keys.encryption.join(format!("{name}.key"));
    secrets::write_new(config, &path, &PrivateKey::from_pkcs8(&der))?;
    let mut out = Output::new();
    if json {
        out.json(&told(&path, &secret))?;
    } else {
        out.row(&["wrote", &path.display().to_string()])?;
        out.row(&[
            "keep a copy of it before a device uses it, and back it up anew: a collector restored from an earlier backup does not have \
             it, and without it what is encrypted to it is lost. 启用前请先备份：旧备份中没有此密钥，丢失后数据无法解密。",
        ])?;
        out.row(&["into agent.toml of the devices 写入设备端 agent.toml:"])?;
        out.row(&[""])?;
        out.row(&["[encryption]"])?;
        out.row(&[&format!("recipient = \"{}\"", secret.recipient())])?;
    }
    out.finish()
}

fn list_encryption(config: &Config, json: bool) -> anyhow::Result<()> {
    let mut out = Output::new();
    if !json {
        out.row(&["FILE", "KEY ID", "RECIPIENT"])?;
    }
    for path in secrets::encryption_files(config) {
        let key = key_file::read(&path, &config.keys.passphrase)?;
        let Some(secret) = RecipientSecret::from_pkcs8(key.der()) else {
            bail!("{} is not an X25519 key for encryption", path.display());
        };
        if json {
            out.json(&told(&path, &secret))?;
        } else {
            let (id, recipient) = (secret.recipient().id().0.to_string(), secret.recipient().to_string());
            out.row(&[&path.display().to_string(), &id, &recipient])?;
        }
    }
    out.finish()
}

fn told(path: &Path, secret: &RecipientSecret) -> serde_json::Value {
    let recipient = secret.recipient();
    json!({ "file": path.display().to_string(), "key_id": recipient.id().0.to_string(), "recipient": recipient.to_string() })
}
