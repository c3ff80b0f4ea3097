//! `certs-dev`: the command line over [`certs_dev::mint`].

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Mints a development certificate authority, a collector folder and device identities. Not for production.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Example:\n  \
        cargo run -p certs-dev -- --out certs-dev/out --devices 2\n  \
        watchpost-collector serve --config certs-dev/out/collector/collector.toml\n\n\
        --force also removes what a collector stored in OUT/collector/data: it belongs to the old certificates."
)]
struct Args {
    /// The folder to mint into.
    #[arg(long, value_name = "DIR", default_value = "certs-dev/out")]
    out: PathBuf,
    /// How many device identities to mint.
    #[arg(long, value_name = "N", default_value_t = 1)]
    devices: usize,
    /// The address and port the collector will listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7443")]
    listen: String,
    /// Replace an earlier development authority in the folder.
    #[arg(long)]
    force: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let minted = certs_dev::mint(&args.out, args.devices, &args.listen, args.force)?;
    println!("collector  {}", minted.collector.display());
    for device in &minted.devices {
        println!("device     {}  {}", device.uuid, device.dir.display());
    }
    Ok(())
}
