//! `goodbye`: the last word of an agent that is removed.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use watchpost_agent::daemon;

use super::ConfigArg;

/// Tell the collector that the agent is being removed from this device; for the removal script of a package.
///
/// 告知采集端：本机的设备端即将卸载（供卸载脚本调用）。
#[derive(Args)]
#[command(after_help = "Example, after the service was stopped:\n  \
    watchpost-agent goodbye --uninstalled --config /etc/watchpost/agent.toml\n\n\
    Waits at most ten seconds for the collector; exit code 1 means that the word is signed and kept, but not sent.")]
pub(super) struct GoodbyeArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The agent is being removed.
    #[arg(long, required = true)]
    uninstalled: bool,
}

/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(args: &GoodbyeArgs) -> anyhow::Result<ExitCode> {
    debug_assert!(args.uninstalled, "the one cause there is");
    let config = args.config.load()?;
    let sent = daemon::say_uninstalled(&config, PATIENCE).map_err(|error| anyhow!("{error}"))?;
    if sent {
        println!("the collector knows that this agent is removed");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "watchpost-agent: the collector could not be told; it will show this device as offline without a goodbye"
    );
    Ok(ExitCode::FAILURE)
}
