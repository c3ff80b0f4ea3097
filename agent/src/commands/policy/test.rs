//! `policy test`: the tests written in the rules.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use watchpost_policy::engine::run_tests;

use super::super::print_json;
use super::PackArgs;

/// Run the tests written in the rules.
///
/// 运行规则包自带的测试。
#[derive(Args)]
#[command(
    after_help = "Examples:\n  watchpost-agent policy test packs/sales.yaml\n  watchpost-agent policy test --json\n\n\
    Without a file, the built-in packs are tested.\n\
    Exit codes: 0 all passed, 1 a test failed or a pack has mistakes."
)]
pub(super) struct TestArgs {
    #[command(flatten)]
    packs: PackArgs,
}

pub(super) fn run(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let args = &args.packs;
    let mut out = io::stdout().lock();
    let (mut run, mut failed) = (0, 0);
    for pack in args.sound()? {
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
