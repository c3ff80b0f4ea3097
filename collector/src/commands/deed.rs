//! What every command that changes something has in common: who, why, and that it is in the log before it is said.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::output::Output;
use crate::admin::{self, Request, What};
use crate::config::Config;

/// Who does it, why, and where.
#[derive(Debug, Args)]
pub struct DeedArgs {
    /// Why; goes into the log.
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Who does it; goes into the log. The system's user by default.
    #[arg(long)]
    pub by: Option<String>,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    what: &'a serde_json::Value,
    entries: &'a [u64],
}

impl DeedArgs {
    /// Has it done; returns the log indexes of the entries made.
    ///
    /// # Errors
    /// Nothing was done, or nobody knows: the sentence says which.
    pub fn have_done(&self, config: &Config, what: What) -> anyhow::Result<Vec<u64>> {
        let request = Request { what, by: self.who(), reason: self.reason.clone(), until_ms: 0 };
        let done = admin::have_done(config, &request)?;
        match done.error {
            Some(error) => bail!("{error}"),
            None => Ok(done.entries),
        }
    }

    /// Has it done and says so.
    ///
    /// # Errors
    /// As [`DeedArgs::have_done`], or stdout.
    pub fn run(&self, what: What) -> anyhow::Result<()> {
        let told = serde_json::to_value(&what)?;
        self.run_quietly(what, &told)
    }

    /// The same for what is too long to be said again: `told` stands for it.
    ///
    /// # Errors
    /// As [`DeedArgs::have_done`], or stdout.
    pub fn run_quietly(&self, what: What, told: &serde_json::Value) -> anyhow::Result<()> {
        let entries = self.have_done(&Config::load(&self.config)?, what)?;
        self.say(told, &entries)
    }

    /// Who does it.
    pub fn who(&self) -> String {
        self.by.clone().unwrap_or_else(system_user)
    }

    /// Says what was done.
    ///
    /// # Errors
    /// Stdout.
    pub fn say(&self, told: &serde_json::Value, entries: &[u64]) -> anyhow::Result<()> {
        let mut out = Output::new();
        if self.json {
            out.json(&Told { what: told, entries })?;
        } else if entries.is_empty() {
            out.row(&["nothing to do: it stands so already"])?;
        } else {
            out.row(&["done; in the log at", &format!("{entries:?}")])?;
        }
        out.finish()
    }
}

/// The system's user.
pub(super) fn system_user() -> String {
    ["USER", "LOGNAME", "USERNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| "operator".into())
}
