//! Notifications: people are told of alerts where they are, through a group robot of WeCom or a signed webhook.
//!
//! ```text
//! derived.db ─► events ─► plan (route) ─► queue ─► NOTIFICATION entries ─► courier ─► reach ─► robot | webhook
//!                                           ▲                                │
//!                                           └────── what became of it ◄──────┘
//! ```
//!
//! What is told is planned by a pure function and is an entry of the log before it is sent; so is every attempt, and what
//! became of it. Over HTTP nobody can know of every message whether it arrived: what was being sent when the collector or the
//! line ended may have arrived, is called so, and is sent again only where the other side can tell by its id.
//!
//! Each target has a courier of its own, so that one that hangs delays no other, and nothing here delays a receipt. Nothing
//! goes anywhere but to targets of the configuration, at addresses that were looked up and checked.

mod courier;
pub mod events;
pub mod plan;
mod planner;
pub mod queue;
pub mod reach;
pub mod robot;
pub mod route;
pub mod send;
pub mod target;
pub mod text;
mod titles;
pub mod trouble;
pub mod webhook;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::Config;
use crate::sequencer::Sequencer;
use courier::Courier;
use planner::Planner;

/// What planning and sending have in common.
#[derive(Clone, Debug)]
struct Office {
    config: Arc<Config>,
    sequencer: Sequencer,
    clock: Clock,
}

/// Starts planning and sending, until the collector stops. Without a target nothing is started.
///
/// # Errors
/// A target's address or secret cannot be read.
pub fn start(
    config: &Config,
    sequencer: &Sequencer,
    clock: &Clock,
    derived: watch::Receiver<u64>,
    stopping: &watch::Receiver<bool>,
) -> anyhow::Result<()> {
    if config.notify.targets.is_empty() {
        return Ok(());
    }
    let office = Office { config: Arc::new(config.clone()), sequencer: sequencer.clone(), clock: clock.clone() };
    let (woken, wake) = watch::channel(0);
    for target in &config.notify.targets {
        let opened = target.open().with_context(|| format!("the notification target {:?}", target.name))?;
        let courier = Courier::new(office.clone(), target.clone(), opened);
        tokio::spawn(until(stopping.clone(), courier.run(wake.clone())));
    }
    tokio::spawn(until(stopping.clone(), Planner::new(office).run(derived, woken)));
    Ok(())
}

async fn until(mut stopping: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}
