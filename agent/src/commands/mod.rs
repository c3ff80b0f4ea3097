//! One file per command. Exit codes: 0 ok, 1 failed, 2 usage, 3 found something (only with `--exit-code`).

mod enroll;
mod goodbye;
mod lookup;
mod my_data;
mod outbox;
mod policy;
mod rescan;
mod run;
mod scan;
mod split;
mod status;
mod terminal;

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
    Split(split::SplitArgs),
    Enroll(enroll::EnrollArgs),
    Run(run::RunArgs),
    Status(status::StatusArgs),
    Goodbye(goodbye::GoodbyeArgs),
    Lookup(lookup::LookupArgs),
    MyData(my_data::MyDataArgs),
    Rescan(rescan::RescanArgs),
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
        Command::Split(args) => split::run(&args),
        Command::Enroll(args) => enroll::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Goodbye(args) => goodbye::run(&args),
        Command::Lookup(args) => lookup::run(&args),
        Command::MyData(args) => my_data::run(&args),
        Command::Rescan(args) => rescan::run(&args),
        Command::Outbox(args) => outbox::run(&args),
        Command::Policy(args) => policy::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        if broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        eprintln!("watchpost-agent: {}", terminal::clean_lines(&format!("{error:#}")));
        ExitCode::FAILURE
    })
}

/// Whoever reads our output, such as `head`, has seen enough.
fn broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// One JSON value on a line of its own. Characters that act on a terminal or hide stand as escapes.
fn print_json(out: &mut impl std::io::Write, value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, Escaping);
    value.serialize(&mut serializer).map_err(std::io::Error::from)?;
    out.write_all(b"\n").context("cannot write")
}

struct Escaping;

impl serde_json::ser::Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + std::io::Write>(&mut self, out: &mut W, text: &str) -> std::io::Result<()> {
        let mut plain = 0;
        for (at, c) in text.char_indices().filter(|(_, c)| terminal::escaped_in_json(*c)) {
            out.write_all(&text.as_bytes()[plain..at])?;
            c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))?;
            plain = at + c.len_utf8();
        }
        out.write_all(&text.as_bytes()[plain..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_harmless_on_a_terminal_and_says_the_same() {
        let text = "a\u{1B}[31m\u{9B}1m\u{202E}飞\u{200B}单\u{7F}\u{E0041}\u{2028}\n\"é🎉";
        let mut out = Vec::new();
        print_json(&mut out, &serde_json::json!({ text: [text, 1, null] })).unwrap();
        let printed = String::from_utf8(out).unwrap();
        assert_eq!(printed.trim_end_matches('\n').chars().find(|c| terminal::escaped_in_json(*c)), None, "{printed:?}");
        assert!(printed.contains("飞\\u200b单\\u007f\\udb40\\udc41\\u2028\\n\\\"é🎉"), "{printed}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&printed).unwrap(),
            serde_json::json!({ text: [text, 1, null] })
        );
    }
}
