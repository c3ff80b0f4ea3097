//! A furnished collector to look at: `cargo run -p watchpost-tests --bin furnish -- DIR`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use watchpost_collector::clock::now_ms;
use watchpost_tests::furnish::{Size, furnish};
use watchpost_tests::lab::{Lab, binaries};

const HELP: &str = "\
Makes a collector with a month of invented work behind it, and lets it run until Ctrl-C.

Usage: cargo run -p watchpost-tests --bin furnish -- DIR [--findings N] [--hostile]

  DIR           a new or empty folder, which stays
  --findings N  so many findings; 600 without it
  --hostile     names and texts carry what would run if a page let it
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("furnish: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let Some((dir, size)) = options()? else {
        print!("{HELP}");
        return Ok(());
    };
    let mut lab = Lab::in_folder(binaries()?, &dir, 0)?;
    let console = lab.collector.open_console()?;
    let furnished = furnish(&lab.collector, size)?;
    let address = lab.collector.start()?;
    println!("collector  {address}, configuration {}", lab.collector.config().display());
    println!("console    http://{console}/");
    for login in &furnished.logins {
        let otpauth = login.otpauth("demo").unwrap_or_default();
        println!("  {:<11} {:<14} \"{}\" {otpauth}", login.name, login.role.as_str(), login.password);
    }
    let administrator = furnished.login("admin").clone();
    let _connected = furnished.connect(address)?;
    let code = move || {
        println!("  one-time code of {}: {} (Enter for another)", administrator.name, administrator.code(now_ms()));
    };
    code();
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).for_each(|_| code()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::signal::ctrl_c())?;
    lab.collector.stop().map(drop)
}

fn options() -> anyhow::Result<Option<(PathBuf, Size)>> {
    let (mut dir, mut size) = (None, Size::default());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-h" | "--help" => return Ok(None),
            "--hostile" => size.is_hostile = true,
            "--findings" => size.findings = arguments.next().context("--findings needs a number")?.parse()?,
            other if other.starts_with('-') || dir.is_some() => bail!("unknown argument {other}\n\n{HELP}"),
            path => dir = Some(std::path::absolute(path)?),
        }
    }
    Ok(dir.map(|dir| (dir, size)))
}
