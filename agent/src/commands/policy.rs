//! `policy`: check packs, and run the tests written in them.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde_json::json;
use watchpost_agent::policy_files::load_pack;
use watchpost_policy::engine::run_tests;
use watchpost_policy::packs;
use watchpost_policy::rules::Pack;

use super::print_json;

/// Check rule packs and run their own tests.
///
/// 检查规则包并运行其自带的测试。
#[derive(Args)]
#[command(after_help = "Examples:\n  watchpost-agent policy check packs/*.yaml\n  watchpost-agent policy test\n\n\
    Without a file, the built-in packs are taken.")]
pub(super) struct PolicyArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Read packs and tell every mistake with its line.
    Check(PackArgs),
    /// Run the tests written in the rules.
    Test(PackArgs),
}

#[derive(Args)]
struct PackArgs {
    /// Pack files; the built-in packs if none is named.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print one JSON object per pack or test.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &PolicyArgs) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Check(args) => check(args),
        Action::Test(args) => test(args),
    }
}

fn load(files: &[PathBuf]) -> anyhow::Result<Vec<Pack>> {
    if files.is_empty() {
        return packs::builtin().map_err(|mistakes| anyhow!("the built-in packs hold mistakes: {mistakes:?}"));
    }
    let (mut packs, mut mistakes) = (Vec::new(), Vec::new());
    for file in files {
        match load_pack(file) {
            Ok(pack) => packs.push(pack),
            Err(more) => mistakes.extend(more),
        }
    }
    if mistakes.is_empty() { Ok(packs) } else { Err(anyhow!(mistakes.join("\n"))) }
}

fn check(args: &PackArgs) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    for pack in load(&args.files)? {
        let (rules, digest) = (pack.rules.len(), pack.digest().to_string());
        if args.json {
            let line = json!({ "pack": &*pack.id, "version": pack.version, "rules": rules, "digest": digest });
            print_json(&mut out, &line)?;
        } else {
            writeln!(out, "{} version {}: {rules} rules, digest {}", pack.id, pack.version, &digest[..16])?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn test(args: &PackArgs) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let (mut run, mut failed) = (0, 0);
    for pack in load(&args.files)? {
        for outcome in run_tests(&pack)? {
            run += 1;
            let passed = outcome.passed();
            failed += u64::from(!passed);
            if args.json {
                let line = json!({
                    "pack": &*pack.id, "rule": &*outcome.rule, "text": outcome.test.text,
                    "expected": outcome.test.hit, "hit": outcome.hit, "passed": passed,
                });
                print_json(&mut out, &line)?;
            } else if !passed {
                let expected = if outcome.test.hit { "should hit" } else { "should not hit" };
                writeln!(out, "{} {}: {expected}: {}", pack.id, outcome.rule, outcome.test.text)?;
            }
        }
    }
    if !args.json {
        writeln!(out, "{run} tests, {failed} failed")?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
