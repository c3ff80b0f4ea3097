//! One file per command. Exit codes: 0 ok, 1 failed, 2 usage, 3 found something (only with `--exit-code`).

mod outbox;
mod policy;
mod run;
mod scan;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::{Args, Parser, Subcommand};
use watchpost_agent::config::Config;

/// Watches sanctioned WeCom session-archive exports on this device.
///
/// 哨所设备端：检查企业微信会话存档导出文件，只上报摘要。
#[derive(Parser)]
#[command(name = "watchpost-agent", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Scan(scan::ScanArgs),
    Run(run::RunArgs),
    Status(status::StatusArgs),
    Outbox(outbox::OutboxArgs),
    Policy(policy::PolicyArgs),
}

/// Where the configuration is.
#[derive(Args)]
struct ConfigArg {
    /// The agent's configuration.
    #[arg(long, value_name = "FILE", default_value = "agent.toml")]
    config: PathBuf,
}

impl ConfigArg {
    /// Loads it, with every mistake in one error.
    fn load(&self) -> anyhow::Result<Config> {
        Config::load(&self.config).map_err(|mistakes| anyhow!(mistakes.join("\n")))
    }
}

/// Runs a command to its exit code.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Scan(args) => scan::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Outbox(args) => outbox::run(&args),
        Command::Policy(args) => policy::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        if broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        eprintln!("watchpost-agent: {error:#}");
        ExitCode::FAILURE
    })
}

/// Whoever reads our output, such as `head`, has seen enough.
fn broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

fn print_json(out: &mut impl std::io::Write, value: &impl serde::Serialize) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(std::io::Error::from)?;
    out.write_all(b"\n").context("cannot write")
}
