//! Steps with alerts.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::choose::ChooseArgs;
use crate::admin::What;
use crate::alerts::desk::{self, ALERTS_MAX, Deed, What as Step};
use crate::alerts::work::{Ending, State};
use crate::alerts::{self, Filter};
use crate::commands::deed::DeedArgs;
use crate::commands::output::Output;
use crate::config::Config;
use crate::derive;

/// How long a command waits until a running collector shows what was done.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// Which alerts, and what is written beside the step.
#[derive(Debug, Args)]
pub(super) struct StepsArgs {
    /// Ids of alerts; or choose them by what they are about, to step with all of a group at once.
    ids: Vec<String>,
    #[command(flatten)]
    choose: ChooseArgs,
    /// What is written beside it. It lies beside the log and can be erased.
    #[arg(long, default_value = "")]
    note: String,
    #[command(flatten)]
    deed: DeedArgs,
}

#[derive(Debug, Args)]
pub(super) struct AssignArgs {
    /// Who is to deal with them.
    #[arg(long, value_name = "OPERATOR")]
    to: String,
    #[command(flatten)]
    steps: StepsArgs,
}

/// How an alert is closed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum As {
    /// It is as the rule says. 属实
    Confirmed,
    /// It is not. 误报
    FalseAlarm,
    /// The rule was wrong and is gone. 规则已撤回
    RuleWithdrawn,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("how").required(true)))]
pub(super) struct CloseArgs {
    /// How it ended.
    #[arg(long = "as", value_enum, group = "how")]
    ending: Option<As>,
    /// It tells the same as this alert.
    #[arg(long, value_name = "ID", group = "how")]
    duplicate_of: Option<String>,
    #[command(flatten)]
    steps: StepsArgs,
}

#[derive(Debug, Args)]
pub(super) struct StepArgs {
    /// Which step of the playbook, from 1.
    #[arg(long)]
    number: u32,
    #[command(flatten)]
    steps: StepsArgs,
}

#[derive(Debug, Args)]
pub(super) struct AppealArgs {
    /// The objection holds: the alert is closed as a false alarm.
    #[arg(long)]
    grant: bool,
    /// It does not.
    #[arg(long, conflicts_with = "grant")]
    deny: bool,
    #[command(flatten)]
    steps: StepsArgs,
}

impl AssignArgs {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        self.steps.run(Step::Assign(self.to.clone()))
    }
}

impl CloseArgs {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        self.steps.run(match (&self.duplicate_of, self.ending) {
            (Some(of), _) => Step::Duplicate(of.clone()),
            (None, Some(As::FalseAlarm)) => Step::Close(Ending::FalseAlarm),
            (None, Some(As::RuleWithdrawn)) => Step::Close(Ending::RuleWithdrawn),
            (None, _) => Step::Close(Ending::Confirmed),
        })
    }
}

impl StepArgs {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        self.steps.run(Step::Step(self.number))
    }
}

impl AppealArgs {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        self.steps.run(match (self.grant, self.deny) {
            (true, _) => Step::Grant,
            (_, true) => Step::Deny,
            _ => Step::Appeal,
        })
    }
}

#[derive(Serialize)]
struct Told<'a> {
    changed: usize,
    unchanged: &'a [String],
    entries: &'a [u64],
}

impl StepsArgs {
    /// Has it done, and says with which alerts it did not fit.
    pub(super) fn run(&self, step: Step) -> anyhow::Result<()> {
        let config = Config::load(&self.deed.config)?;
        let alerts = self.alerts(&config, &step)?;
        let deed = Deed { alerts: alerts.clone(), step, note: self.note.clone() };
        let entries = self.deed.have_done(&config, What::Alert { deed })?;
        let unchanged = unchanged(&config, &alerts, &entries)?;
        let changed = alerts.len() - unchanged.len();
        let mut out = Output::new();
        if self.deed.json {
            out.json(&Told { changed, unchanged: &unchanged, entries: &entries })?;
        } else {
            out.row(&[&format!("{changed} changed; in the log at {entries:?}")])?;
        }
        out.finish()?;
        match unchanged.first() {
            None => Ok(()),
            Some(first) => bail!(
                "{} stay as they were: the step does not fit how they stand (first: alert show {first})",
                unchanged.len()
            ),
        }
    }

    /// Those that are named, or all of a group that the step could fit.
    fn alerts(&self, config: &Config, step: &Step) -> anyhow::Result<Vec<String>> {
        ensure!(
            self.ids.is_empty() || self.choose.is_any(),
            "name alerts by their ids or choose them by what they are about, not both"
        );
        let db = derive::open_read_only(&config.derived_db())?;
        if !self.ids.is_empty() {
            for id in &self.ids {
                let bytes = hex::decode(id).unwrap_or_default();
                ensure!(alerts::find(&db, &bytes)?.is_some(), "there is no alert {id}; look with alert list");
            }
            return Ok(self.ids.clone());
        }
        ensure!(!self.choose.is_any(), "name alerts by their ids, or choose them (--rule, --person, --day …)");
        let states = match step {
            Step::Reopen => vec![State::Closed],
            Step::Note | Step::Appeal | Step::Grant | Step::Deny => Vec::new(),
            _ => vec![State::Open, State::Taken],
        };
        let found = alerts::pick(&db, &Filter { states, ..self.choose.filter()? }, ALERTS_MAX + 1)?;
        ensure!(!found.is_empty(), "no alert is about that; look with alert list");
        ensure!(found.len() <= ALERTS_MAX, "that is more than {ALERTS_MAX} alerts; choose fewer at once");
        Ok(found.iter().map(hex::encode).collect())
    }
}

/// Waits until the entries show, and asks what they changed.
fn unchanged(config: &Config, alerts: &[String], entries: &[u64]) -> anyhow::Result<Vec<String>> {
    let last = entries.last().copied().unwrap_or_default();
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Ok(db) = derive::open_read_only(&config.derived_db())
            && derive::position(&db)? > last
        {
            return Ok(desk::unchanged(&db, alerts, entries)?);
        }
        if Instant::now() > give_up {
            bail!("it is in the log at {entries:?}, but the collector does not show it yet; look with alert show");
        }
        std::thread::sleep(LOOK);
    }
}
