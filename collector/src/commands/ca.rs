//! `watchpost-collector ca`: the authority, and changing it without touching a device.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use serde_json::json;
use time::OffsetDateTime;
use watchpost_proto::identity::{issuer_name, subject_name, validity_ms};

use super::deed::DeedArgs;
use super::output::Output;
use crate::admin::What;
use crate::authority::change::{self, Installed};
use crate::clock::{minute_in_china, now_ms};
use crate::config::Config;
use crate::credentials::chain_from_pem;
use crate::key_file::{self, Passphrase};
use crate::pki::Root;

/// A certificate that ends sooner is pointed out.
const SOON_MS: i64 = 90 * 24 * 60 * 60 * 1000;

/// Shows the certificate authority, and changes it without touching a device. 查看与更换证书机构。
#[derive(Debug, Args)]
#[command(after_help = "New intermediates, with the root offline:\n  \
    watchpost-collector ca request --out requests --config collector.toml   # keys stay here\n  \
    watchpost-collector ca sign --root /media/root requests                 # where the root is\n  \
    watchpost-collector ca install requests --config collector.toml         # taken over by itself\n\n\
    A new root, which the present one vouches for; devices learn it by themselves:\n  \
    watchpost-collector ca new-root --root /media/root --out /media/root-2\n  \
    watchpost-collector ca install /media/root-2 --config collector.toml\n  \
    … then new intermediates as above, with --root /media/root-2")]
pub struct CaArgs {
    #[command(subcommand)]
    command: CaCommand,
}

#[derive(Debug, Subcommand)]
enum CaCommand {
    /// Shows roots, intermediates and the collector's certificate, and when they end.
    #[command(after_help = "Example:\n  watchpost-collector ca show --config ./collector/collector.toml")]
    Show {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Makes keys for new intermediates and writes their requests (PKCS#10) to a folder. The keys stay here.
    #[command(
        after_help = "Example:\n  watchpost-collector ca request --out requests --config ./collector/collector.toml\n\n\
        A company's own root may answer them, too: devices.csr needs a CA certificate for clientAuth alone,\n\
        collectors.csr one for serverAuth alone."
    )]
    Request {
        /// The folder to write devices.csr and collectors.csr to.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Answers requests with certificates beside them. Done where the root is.
    #[command(after_help = "Example:\n  watchpost-collector ca sign --root /media/root requests")]
    Sign {
        /// The folder of the root: root.crt and root.key.
        #[arg(long, value_name = "DIR")]
        root: PathBuf,
        /// The folder with devices.csr and collectors.csr.
        requests: PathBuf,
    },
    /// Makes a later root, and the certificate by which the present one vouches for it. Done where the root is.
    #[command(after_help = "Example:\n  watchpost-collector ca new-root --root /media/root --out /media/root-2")]
    NewRoot {
        /// The folder of the present root: root.crt and root.key.
        #[arg(long, value_name = "DIR")]
        root: PathBuf,
        /// The folder to make.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Puts in place what a folder holds of root.crt, link.crt, devices.crt and collectors.crt.
    #[command(
        after_help = "Example:\n  watchpost-collector ca install requests --config ./collector/collector.toml\n\n\
        Everything is checked first. A running collector takes it over within seconds, and no stream ends."
    )]
    Install {
        /// The folder.
        from: PathBuf,
        /// A further DNS name or IP address for the collector's certificate; may be repeated.
        #[arg(long = "name", value_name = "EXTRA_DNS")]
        names: Vec<String>,
        #[command(flatten)]
        deed: DeedArgs,
    },
}

/// Runs the command.
///
/// # Errors
/// A file that does not fit, by name, or the disk.
pub fn run(args: CaArgs) -> anyhow::Result<()> {
    let now = OffsetDateTime::now_utc();
    match args.command {
        CaCommand::Show { config, json } => show(&Config::load(&config)?, json),
        CaCommand::Request { out, config } => told(&change::request(&Config::load(&config)?, &out, now)?),
        CaCommand::Sign { root, requests } => told(&change::sign(&load_root(&root)?.0, &requests, now)?),
        CaCommand::NewRoot { root, out } => {
            let (earlier, tenant) = load_root(&root)?;
            change::later_root(&earlier, &tenant, &out, now)?;
            told(&["root.crt", "root.key", "link.crt"].map(|name| out.join(name)))
        }
        CaCommand::Install { from, names, deed } => install(&from, &names, &deed, now),
    }
}

fn told(written: &[PathBuf]) -> anyhow::Result<()> {
    let mut out = Output::new();
    for path in written {
        out.row(&["wrote", &path.display().to_string()])?;
    }
    out.finish()
}

fn install(from: &Path, names: &[String], deed: &DeedArgs, now: OffsetDateTime) -> anyhow::Result<()> {
    let config = Config::load(&deed.config)?;
    let Installed { what, certificates } = change::install(&config, from, names, now)?;
    let certificates = certificates.iter().map(hex::encode).collect();
    // Before its first start a collector has no log to write to.
    let entries =
        if config.log_db().exists() { deed.have_done(&config, What::Authority { certificates })? } else { Vec::new() };
    let mut out = Output::new();
    if deed.json {
        out.json(&json!({ "installed": what, "entries": entries }))?;
    } else {
        out.row(&["installed", &what.join(", ")])?;
    }
    out.finish()
}

/// The root in a folder, and its tenant, which its name says.
fn load_root(folder: &Path) -> anyhow::Result<(Root, String)> {
    let text = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let certificate = text("root.crt")?;
    let der = chain_from_pem(&certificate).context("root.crt holds no certificate")?;
    let name = subject_name(&der[0]).unwrap_or_default();
    let tenant = name.rsplit_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let tenant = tenant.context("root.crt is not a root made by init or ca new-root")?.to_owned();
    let key = key_file::read(&folder.join("root.key"), &Passphrase::default())?;
    Ok((Root::from_pem(&certificate, &key.pem(), &tenant)?, tenant))
}

fn show(config: &Config, json: bool) -> anyhow::Result<()> {
    let mut files = vec![("root", config.root.clone()), ("link", config.links.clone())];
    if let Some(folder) = &config.enrolment.authority {
        files.push(("devices", folder.join("devices.crt")));
        files.push(("collectors", folder.join("collectors.crt")));
    }
    files.push(("collector", config.certificate.clone()));
    let mut out = Output::new();
    if !json {
        out.row(&["WHAT", "NAME", "ISSUED BY", "UNTIL", "NOTE"])?;
    }
    let now = now_ms();
    for (what, path) in files.into_iter().filter(|(what, path)| *what != "link" || path.exists()) {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let chain = chain_from_pem(&text).with_context(|| format!("{} holds no certificate", path.display()))?;
        // Of the collector's chain the leaf; of roots and links every one.
        let count = if matches!(what, "root" | "link") { chain.len() } else { 1 };
        for der in chain.iter().take(count) {
            let (_, ends) = validity_ms(der).context("not a certificate")?;
            let (name, issuer) = (subject_name(der).unwrap_or_default(), issuer_name(der).unwrap_or_default());
            let note = match ends.saturating_sub(now) {
                left if left <= 0 => "ENDED",
                left if left < SOON_MS && what != "collector" => "ends soon: see ca --help",
                _ => "",
            };
            if json {
                out.json(&json!({ "what": what, "name": name, "issuer": issuer, "until_ms": ends, "note": note }))?;
            } else {
                out.row(&[what, &name, &issuer, &minute_in_china(ends).unwrap_or_default(), note])?;
            }
        }
    }
    ensure!(config.certificate.exists(), "there is no certificate of the collector yet");
    out.finish()
}
