//! `watchpost-collector`: the command line over the library.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use watchpost_collector::commands::{
    alert, audit, backup, ca, case, coverage, device, erase, evidence, finding, health, init, key, log, my_data, names,
    notice, notify, operator, output, people, policy, route, search, serve, setting, suppress, token, verify, words,
};

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
    Serve(serve::ServeArgs),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Alert(alert::AlertArgs),
    Case(case::CaseArgs),
    Suppress(suppress::SuppressArgs),
    Setting(setting::SettingArgs),
    Calendar(setting::CalendarArgs),
    #[command(
        after_help = "Example:\n  watchpost-collector delegate li.na --to wang.fang --from 2026-12-01 --until 2026-12-08 --reason leave --config ./collector/collector.toml"
    )]
    Delegate(setting::DelegateArgs),
    Finding(finding::FindingArgs),
    Ca(ca::CaArgs),
    Token(token::TokenArgs),
    Device(device::DeviceArgs),
    Search(search::SearchArgs),
    Names(names::NamesArgs),
    Policy(policy::PolicyArgs),
    Health(health::HealthArgs),
    File(coverage::FileArgs),
    Coverage(coverage::CoverageArgs),
    Notice(notice::NoticeArgs),
    Notify(notify::NotifyArgs),
    Route(route::RouteArgs),
    MyData(my_data::MyDataArgs),
    Key(key::KeyArgs),
    People(people::PeopleArgs),
    Log(log::LogArgs),
    Evidence(evidence::EvidenceArgs),
    Erase(erase::EraseArgs),
    Hold(erase::HoldArgs),
    Operator(operator::OperatorArgs),
    Audit(audit::AuditArgs),
    Verify(verify::VerifyArgs),
    Words(words::WordsArgs),
}

fn main() -> ExitCode {
    log_to_stderr();
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<output::Found>() => ExitCode::from(3),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(args) => init::run(args),
        Command::Serve(args) => serve::run(&args),
        Command::Backup(args) => backup::run(&args),
        Command::Restore(args) => backup::run_restore(&args),
        Command::Alert(args) => alert::run(args),
        Command::Case(args) => case::run(args),
        Command::Suppress(args) => suppress::run(args),
        Command::Setting(args) => setting::run(args),
        Command::Calendar(args) => setting::run_calendar(args),
        Command::Delegate(args) => setting::run_delegate(args),
        Command::Finding(args) => finding::run(args),
        Command::Ca(args) => ca::run(args),
        Command::Token(args) => token::run(args),
        Command::Device(args) => device::run(args),
        Command::Search(args) => search::run(args),
        Command::Names(args) => names::run(args),
        Command::Policy(args) => policy::run(args),
        Command::Health(args) => health::run(&args),
        Command::File(args) => coverage::run_file(args),
        Command::Coverage(args) => coverage::run(args),
        Command::Notice(args) => notice::run(args),
        Command::Notify(args) => notify::run(args),
        Command::Route(args) => route::run(args),
        Command::MyData(args) => my_data::run(args),
        Command::Key(args) => key::run(args),
        Command::People(args) => people::run(args),
        Command::Log(args) => log::run(args),
        Command::Evidence(args) => evidence::run(args),
        Command::Erase(args) => erase::run(args),
        Command::Hold(args) => erase::run_hold(args),
        Command::Operator(args) => operator::run(args),
        Command::Audit(args) => audit::run(args),
        Command::Verify(args) => verify::run(&args),
        Command::Words(args) => words::run(args),
    }
}

/// Log lines go to stderr, stdout is for data. `RUST_LOG` chooses what is logged.
fn log_to_stderr() {
    use std::io::IsTerminal as _;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
