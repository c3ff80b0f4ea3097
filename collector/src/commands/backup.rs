//! `watchpost-collector backup` and `restore`: everything a collector cannot make anew, and back.

use std::fs;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::output::Output;
use crate::backup::{self, Manifest, Progress};
use crate::config::Config;

/// Writes a backup into a new folder, and checks what was written. Works while serve runs. 备份采集端。
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  watchpost-collector backup --out /mnt/backup/2026-11-22 --config ./collector/collector.toml\n\n\
    The folder holds the log, its key, the configuration, certificates and the keys that issue them: whoever has it can act as this \
    collector and read what people may see. Encrypt it and keep it apart. The root's key is never in it.\n\
    Everything people look at is derived from the log again after a restore."
)]
pub struct BackupArgs {
    /// The folder to write; must not exist, or be empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Makes a collector's folder of a backup. 从备份恢复采集端。
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  watchpost-collector restore /mnt/backup/2026-11-22 --into /srv/collector\n  \
    watchpost-collector serve --config /srv/collector/collector.toml\n\n\
    What came after the backup is not in it. Therefore the log ends where the backup was made, and the next start opens another that \
    names it; devices follow, show their receipts and send again what they still have. docs/restores.md tells what to expect.\n\
    The collector that was backed up must not run any more.")]
pub struct RestoreArgs {
    /// The backup.
    backup: PathBuf,
    /// The folder to make; must not exist, or be empty.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// A note of the log that was kept elsewhere, later than the backup; more may be given.
    #[arg(long, value_name = "NOTE")]
    checkpoint: Vec<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs `backup`.
///
/// # Errors
/// What kept the backup from being whole.
pub fn run(args: &BackupArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    let manifest = backup::make(&args.config, &config, &args.out, &Bar::default())?;
    let mut out = Output::new();
    if args.json {
        out.json(&told(&manifest))?;
        return out.finish();
    }
    out.row(&[&format!(
        "{}: {} files, {} entries of the log, checked",
        args.out.display(),
        manifest.files.len(),
        manifest.size
    )])?;
    out.row(&["secret 机密", &secrets(&manifest).join(", ")])?;
    out.row(&["not in it 不含", "the root's key, derived.db 根密钥、派生数据"])?;
    out.finish()
}

/// Runs `restore`.
///
/// # Errors
/// A backup that does not hold, or a folder that cannot be made.
pub fn run_restore(args: &RestoreArgs) -> anyhow::Result<()> {
    let read = |path: &PathBuf| fs::read_to_string(path).with_context(|| path.display().to_string());
    let known = args.checkpoint.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let restored = backup::restore(&args.backup, &args.into, &known, &Bar::default())?;
    let mut out = Output::new();
    if args.json {
        out.json(&told(&restored.manifest))?;
        return out.finish();
    }
    let manifest = &restored.manifest;
    out.row(&[&format!("{}: {} entries of the log, checked", args.into.display(), manifest.size)])?;
    for (from, to) in &restored.moved {
        out.row(&[from, &format!("now {to}")])?;
    }
    if let Some(file) = restored.config.keys.passphrase.file().filter(|file| !file.exists()) {
        out.row(&[&format!("{} 口令文件", file.display()), "the passphrase is never in a backup: put it there"])?;
    }
    let config = args.into.join("collector.toml");
    out.row(&[&format!(
        "the next start opens another log that names this one: watchpost-collector serve --config {}",
        config.display()
    )])?;
    out.row(&["下次启动将开启新日志并注明旧日志；各设备会自动跟随并补报"])?;
    out.finish()
}

fn secrets(manifest: &Manifest) -> Vec<&str> {
    manifest.files.iter().filter(|(_, file)| file.secret).map(|(place, _)| place.as_str()).collect()
}

fn told(manifest: &Manifest) -> serde_json::Value {
    json!({
        "origin": manifest.origin, "size": manifest.size, "root": manifest.root, "made_ms": manifest.made_ms,
        "files": manifest.files.len(), "bytes": manifest.files.values().map(|file| file.bytes).sum::<u64>(),
        "secret": secrets(manifest),
    })
}

/// On a terminal only.
struct Bar(ProgressBar);

impl Default for Bar {
    fn default() -> Self {
        let shown = std::io::stderr().is_terminal();
        Self(if shown { ProgressBar::new(0) } else { ProgressBar::hidden() })
    }
}

impl Progress for Bar {
    fn begin(&self, stage: &'static str, of: u64) {
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}") {
            self.0.set_style(style);
        }
        self.0.set_message(stage);
        self.0.set_length(of);
        self.0.set_position(0);
    }

    fn at(&self, done: u64) {
        self.0.set_position(done);
    }
}
