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
use target::{Opened, Target};

/// What planning and sending have in common.
#[derive(Clone, Debug)]
struct Office {
    config: Arc<Config>,
    sequencer: Sequencer,
    clock: Clock,
}

/// The targets of a configuration, with their addresses and secrets.
#[derive(Debug)]
pub struct Targets(Vec<(Target, Opened)>);

/// Reads addresses and secrets of all targets.
///
/// # Errors
/// One of them cannot be read, and what to do.
pub fn open(config: &Config) -> anyhow::Result<Targets> {
    let open = |target: &Target| {
        let opened = target.open().with_context(|| format!("the notification target {:?}", target.name))?;
        Ok((target.clone(), opened))
    };
    Ok(Targets(config.notify.targets.iter().map(open).collect::<anyhow::Result<_>>()?))
}

/// Starts planning and sending, until the collector stops. `derived` tells how far deriving has come. Without a target nothing
/// is started.
pub fn start(
    targets: Targets,
    config: &Config,
    (sequencer, clock): (&Sequencer, &Clock),
    derived: watch::Receiver<u64>,
    stopping: &watch::Receiver<bool>,
) {
    if targets.0.is_empty() {
        return;
    }
    let office = Office { config: Arc::new(config.clone()), sequencer: sequencer.clone(), clock: clock.clone() };
    let (woken, wake) = watch::channel(0);
    for (target, opened) in targets.0 {
        let courier = Courier::new(office.clone(), target, opened);
        tokio::spawn(until(stopping.clone(), courier.run(wake.clone())));
    }
    tokio::spawn(until(stopping.clone(), Planner::new(office).run(derived, woken)));
}

async fn until(mut stopping: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}
