//! `run`: the daemon in the foreground.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use tracing_subscriber::EnvFilter;
use watchpost_agent::daemon::Daemon;
use watchpost_agent::enrolling;
use watchpost_proto::v1::GoodbyeCause;

use super::ConfigArg;

/// Watch the configured folders and report to the collector until stopped.
///
/// 按配置监视导出文件夹并上报，直到停止。
#[derive(Args)]
#[command(after_help = "Example:\n  watchpost-agent run --config /etc/watchpost/agent.toml\n\n\
    WATCHPOST_LOG=debug shows more; the log never holds message text.")]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_env("WATCHPOST_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    let config = args.config.load()?;
    let folders = config.folders.len();
    let signals = Signals::new()?;
    lower_priority();
    enrolling::until_enrolled(&config, &|| false)?;
    let (daemon, stopper) = Daemon::start(config).map_err(|error| anyhow!("{error}"))?;
    println!("watching {folders} folder{}", if folders == 1 { "" } else { "s" });
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let cause = signals.wait();
            stopper.stop(cause);
        })
        .context("cannot start a thread")?;
    daemon.wait().map_err(|error| anyhow!("{error}"))?;
    Ok(ExitCode::SUCCESS)
}

/// The employee's own work comes first. Best effort.
fn lower_priority() {
    #[cfg(unix)]
    let _ = rustix::process::nice(10);
}

/// Waits for the signals that ask a process to end.
struct Signals(tokio::runtime::Runtime);

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self(runtime))
    }

    /// Waits for one, and says why the agent is to end where the signal itself tells.
    fn wait(&self) -> Option<GoodbyeCause> {
        self.0.block_on(async {
            #[cfg(unix)]
            {
                use tokio::signal::unix::{SignalKind, signal};
                if let Ok(mut terminate) = signal(SignalKind::terminate()) {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = tokio::signal::ctrl_c() => {}
                    }
                    return None;
                }
            }
            #[cfg(windows)]
            {
                use tokio::signal::windows::{ctrl_close, ctrl_shutdown};
                if let (Ok(mut shutdown), Ok(mut close)) = (ctrl_shutdown(), ctrl_close()) {
                    return tokio::select! {
                        _ = shutdown.recv() => Some(GoodbyeCause::Shutdown),
                        _ = close.recv() => Some(GoodbyeCause::Stopped),
                        _ = tokio::signal::ctrl_c() => Some(GoodbyeCause::Stopped),
                    };
                }
            }
            let _ = tokio::signal::ctrl_c().await;
            None
        })
    }
}
