//! `watchpost-collector`: the command line over the library.

use clap::{Parser, Subcommand};
use watchpost_collector::commands::init;

/// Collects what Watchpost's agents find. 哨所收集端。
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::InitArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Init(args) => init::run(args),
    }
}
