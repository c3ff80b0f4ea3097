//! `watchpost-collector serve`: takes in what agents send until it is told to stop.

use std::io::Write as _;
use std::path::PathBuf;
use std::pin::pin;

use anyhow::{Context as _, bail};
use clap::Args;
use tracing::info;

use crate::config::Config;
use crate::server::{self, Running};

/// Takes in what agents send until it is told to stop. 运行收集端。
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    watchpost-collector serve --config ./collector/collector.toml\n\n\
    Prints `listening on ADDRESS` on stdout when it is ready; log lines go to stderr (RUST_LOG=info,…).\n\
    SIGTERM or Ctrl-C stops it within two seconds.")]
pub struct ServeArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// What keeps it from starting, or a log that cannot be written any more.
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(&config));
    // What is still blocked on the disk must not keep a stopped process alive.
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    served
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    // Before anything listens: a signal that comes early is not lost.
    let mut told_to_stop = pin!(told_to_stop()?);
    let mut running = server::start(config).await?;
    println!("listening on {}", running.address());
    std::io::stdout().flush().context("stdout")?;
    loop {
        tokio::select! {
            signal = &mut told_to_stop => {
                info!(signal, "stopping");
                running.stop().await;
                return Ok(());
            }
            () = running.contradicted() => running = begin_again(config, running).await?,
            reason = running.failed() => return give_up(running, &reason).await,
        }
    }
}

/// A device has shown that this collector was restored: the log ends, and another is opened by the start that follows.
async fn begin_again(config: &Config, running: Running) -> anyhow::Result<Running> {
    // The same port, also where the system has chosen it.
    let config = Config { listen: running.address(), ..config.clone() };
    running.stop().await;
    server::start(&config).await
}

async fn give_up(running: Running, reason: &str) -> anyhow::Result<()> {
    running.stop().await;
    bail!("{reason}; nothing was acknowledged that is not on disk. Check the disk, then start again")
}

#[cfg(unix)]
fn told_to_stop() -> anyhow::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "terminate",
            _ = interrupt.recv() => "interrupt",
        }
    })
}

#[cfg(not(unix))]
fn told_to_stop() -> anyhow::Result<impl Future<Output = &'static str>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
        "interrupt"
    })
}
