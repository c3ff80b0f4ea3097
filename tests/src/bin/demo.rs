//! `cargo demo`: a real collector and a real agent on loopback, with development certificates.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;
use watchpost_collector::clock::now_ms;
use watchpost_tests::lab::{CORP, Lab, binaries, finding_names};
use watchpost_tests::offline::{Kept, Log, Login, one_of_each};

const SAMPLES: [(&str, &[u8]); 2] = [
    ("sales.jsonl", include_bytes!("../../samples/sales.jsonl")),
    ("wealth.jsonl", include_bytes!("../../samples/wealth.jsonl")),
];
/// From dropping the samples to their last alert; a busy machine takes a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(500);
const HELP: &str = "\
Starts a collector and an agent on loopback with development certificates, and shows the alerts that arrive.
在本机启动采集端与设备端演示。

Usage: cargo demo [--once] [--exports DIR]

  --once         drop sample exports, print the alerts they cause, and exit
  --exports DIR  watch this folder instead of dropping samples

Examples:
  cargo demo --once
  cargo demo --exports ~/wecom-exports
";

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => match run(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("demo: {error:#}");
                ExitCode::FAILURE
            }
        },
        Ok(None) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("demo: {error:#}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    once: bool,
    exports: Option<PathBuf>,
}

impl Options {
    /// `None` asks for help.
    fn parse(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Option<Self>> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--once" => options.once = true,
                "--exports" => {
                    let folder = arguments.next().context("--exports needs a folder")?;
                    options.exports = Some(std::path::absolute(folder)?);
                }
                "-h" | "--help" => return Ok(None),
                other => bail!("unknown argument {other}"),
            }
        }
        Ok(Some(options))
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    if let Some(folder) = options.exports.as_ref().filter(|folder| !folder.is_dir()) {
        bail!("{} is not a folder", folder.display());
    }
    println!("building …");
    let programs = binaries()?;
    let mut lab = Lab::new(1)?;
    let (console, logins) = (lab.collector.open_console()?, employ(&lab.collector.config())?);
    let address = lab.collector.start()?;
    println!("collector  listening on {address}");
    println!("console    http://{console}/");
    lab.agents[0].configure(address, &agent_settings(options)?)?;
    lab.agents[0].start()?;
    let watched = options.exports.clone().unwrap_or_else(|| lab.agents[0].exports());
    println!("agent      watching {}", watched.display());
    if options.exports.is_none() {
        for (name, bytes) in SAMPLES {
            lab.agents[0].drop_export(name, bytes)?;
        }
        println!("dropped    {} sample exports", SAMPLES.len());
    }
    let mut shown = Shown::default();
    if options.once {
        wait_until_arrived(&lab, &watched, &stop)?;
        return shown.show_new(&lab);
    }
    println!("\nDrop exports into {}\n把导出文件放入上述目录；按 Ctrl-C 结束。\n", watched.display());
    tell(&logins);
    println!(
        "  look yourself:  {} alert list --config {}",
        programs.collector.display(),
        lab.collector.config().display()
    );
    println!("                  {} status --config {}\n", programs.agent.display(), lab.agents[0].config().display());
    loop {
        shown.show_new(&lab)?;
        match stop.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return Ok(()),
        }
    }
}

/// An operator of each role, all with one password that nobody else knows.
fn employ(config: &Path) -> anyhow::Result<Vec<Login>> {
    let mut random = [0; 5];
    getrandom::fill(&mut random).context("no random numbers from the system")?;
    let password = format!("demo-{}", hex::encode(random));
    let (mut log, kept) = (Log::open(config)?, Kept::of(&password)?);
    let mut logins = Vec::new();
    for (login, grant) in one_of_each(&password, &[("", "")])? {
        log.employ(&login, grant, &kept, now_ms())?;
        logins.push(login);
    }
    Ok(logins)
}

/// Says how to come in to the console. A code lasts half a minute, so there is a new one for each press of Enter.
fn tell(logins: &[Login]) {
    println!("  sign in to the console / 登录控制台:");
    for login in logins {
        println!("    {:<11} {}  {}", login.name, login.password, login.role.as_str());
    }
    let Some(administrator) = logins.iter().find(|login| login.seed.is_some()).cloned() else { return };
    let code = move || println!("    {} needs a one-time code: {}", administrator.name, administrator.code(now_ms()));
    code();
    println!("    press Enter for a new one / 按回车显示新的动态码\n");
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).for_each(|_| code()));
}

/// A demonstration is looked at: it takes exports as soon as they have lain still for a moment.
fn agent_settings(options: &Options) -> anyhow::Result<String> {
    let mut settings = "[source]\nsettle = \"300ms\"\n".to_owned();
    if let Some(folder) = &options.exports {
        let path = folder.to_str().context("the folder's name is not Unicode")?;
        let path = toml::Value::String(path.into());
        settings.push_str(&format!("[[folder]]\npath = {path}\ncorp = \"{CORP}\"\n"));
    }
    Ok(settings)
}

fn stop_signal() -> anyhow::Result<Receiver<()>> {
    let (tell, stop) = channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let _ = tokio::signal::ctrl_c().await;
        });
        let _ = tell.send(());
    });
    Ok(stop)
}

/// Waits until the collector shows exactly what `scan` finds in the same folder.
fn wait_until_arrived(lab: &Lab, watched: &Path, stop: &Receiver<()>) -> anyhow::Result<()> {
    let expected = finding_names(&lab.agents[0].scan(&[watched])?)?;
    if expected.is_empty() {
        println!("nothing is to be found in {}", watched.display());
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let arrived = finding_names(&lab.collector.json(&["finding", "list"])?)?;
        if arrived == expected {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{} of {} findings arrived in time\n{}", arrived.len(), expected.len(), lab.tails());
        }
        if !matches!(stop.recv_timeout(LOOK_EVERY), Err(RecvTimeoutError::Timeout)) {
            bail!("stopped");
        }
    }
}

/// Alerts already shown, by id and number of findings.
#[derive(Default)]
struct Shown(std::collections::BTreeMap<String, u64>);

impl Shown {
    fn show_new(&mut self, lab: &Lab) -> anyhow::Result<()> {
        let mut alerts = lab.collector.json(&["alert", "list"])?;
        alerts.retain(|alert| {
            let id = alert["alert"].as_str().unwrap_or_default().to_owned();
            let findings = alert["findings"].as_u64().unwrap_or(0);
            self.0.insert(id, findings) != Some(findings)
        });
        let mut out = std::io::stdout().lock();
        for alert in &alerts {
            write_alert(&mut out, alert)?;
        }
        Ok(out.flush()?)
    }
}

fn write_alert(out: &mut impl Write, alert: &Value) -> std::io::Result<()> {
    let text = |name: &str| alert[name].as_str().unwrap_or("-").to_owned();
    let level = text("level");
    let (on, off) = match (std::io::stdout().is_terminal(), level.as_str()) {
        (true, "critical" | "high") => ("\u{1b}[31m", "\u{1b}[0m"),
        (true, "medium") => ("\u{1b}[33m", "\u{1b}[0m"),
        _ => ("", ""),
    };
    writeln!(
        out,
        "alert  {on}{level:<8}{off}  {:<30} {:<28} {}  {} finding(s)",
        text("rule"),
        text("person"),
        text("day"),
        alert["findings"]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> anyhow::Result<Option<Options>> {
        Options::parse(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn arguments_are_read_or_refused() {
        assert_eq!(parse(&["--once"]).unwrap(), Some(Options { once: true, exports: None }));
        assert_eq!(parse(&["--help"]).unwrap(), None);
        assert!(parse(&["--exports"]).is_err());
        assert!(parse(&["--onec"]).is_err());
    }
}
