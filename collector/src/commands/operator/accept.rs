//! Setting a password with a one-time secret, on the collector itself.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use zeroize::Zeroizing;

use crate::admin::{self, Request, What};
use crate::commands::output::Output;
use crate::config::Config;
use crate::log_store::LogReader;
use crate::operators::secret::{self, Kind};
use crate::operators::{Deed, find, password, totp};

/// Longest file that holds a secret or a password, in bytes.
const FILE_BYTES_MAX: u64 = 4096;

#[derive(Debug, Args)]
pub(super) struct AcceptArgs {
    /// Login name.
    operator: String,
    /// The file that holds the one-time secret; asked for at the terminal by default.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The file that holds the password; asked for at the terminal by default.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Come in with one-time codes as well; administrators always do.
    #[arg(long)]
    totp: bool,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl AcceptArgs {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let config = Config::load(&self.config)?;
        let operator = find(LogReader::open(&config.log_db())?.connection(), &self.operator)?;
        let needs_totp = operator.is_some_and(|operator| operator.grant.role.needs_totp());
        let shown = said(self.secret_file.as_deref(), "One-time secret 一次性密钥: ")?;
        let chosen = self.password()?;
        if let Some(objection) = password::objection(&chosen, &self.operator) {
            bail!("{objection}");
        }
        let mut seed = [0; totp::SEED_BYTES];
        getrandom::fill(&mut seed).context("no random numbers from the system")?;
        let seed = (self.totp || needs_totp).then_some(seed);
        let deed = Deed::Accept {
            operator: self.operator.clone(),
            secret: secret::digest(Kind::Invitation, &shown).to_string(),
            password: hex::encode(password::hash(&chosen)?),
            totp: seed.map(hex::encode).unwrap_or_default(),
        };
        let by = self.operator.clone();
        let request = Request { what: What::of_operator(deed), by, reason: String::new(), until_ms: 0 };
        if let Some(error) = admin::have_done(&config, &request)?.error {
            bail!("{error}");
        }
        self.tell(seed.map(|seed| totp::address(&config.tenant, &self.operator, &seed)))
    }

    fn tell(&self, otpauth: Option<String>) -> anyhow::Result<()> {
        let mut out = Output::new();
        if self.json {
            out.json(&serde_json::json!({ "operator": self.operator, "otpauth": otpauth }))?;
        } else {
            out.row(&["the password is set; sign in with it 密码已设置，请登录"])?;
            if let Some(otpauth) = otpauth {
                out.row(&["enter this into an authenticator; it is shown only this once 录入动态码应用，仅显示一次:"])?;
                out.row(&[&otpauth])?;
            }
        }
        out.finish()
    }

    fn password(&self) -> anyhow::Result<Zeroizing<String>> {
        let chosen = said(self.password_file.as_deref(), "New password 新密码: ")?;
        if self.password_file.is_none() {
            let again = said(None, "Once more 再次输入: ")?;
            ensure!(*chosen == *again, "the two are not the same; nothing was changed");
        }
        Ok(chosen)
    }
}

/// The first line of a file, or what somebody types.
fn said(file: Option<&Path>, prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    let Some(file) = file else {
        ensure!(std::io::stdin().is_terminal(), "there is no terminal to ask at; name a file");
        return Ok(Zeroizing::new(rpassword::prompt_password(prompt)?));
    };
    let shown = || file.display().to_string();
    ensure!(std::fs::metadata(file).with_context(shown)?.len() <= FILE_BYTES_MAX, "{} is too long", shown());
    let text = Zeroizing::new(std::fs::read_to_string(file).with_context(shown)?);
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}
