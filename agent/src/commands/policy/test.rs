//! `policy test`: the tests written in the rules, why they fail, and what no test touches.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use watchpost_policy::engine::{Engine, explain_test, run_tests};
use watchpost_policy::explain::{ExplainedRule, ExplainedText};
use watchpost_policy::rules::{Pack, Rule};

use super::super::print_json;
use super::super::terminal::{Ink, Lang, clean, cut};
use super::PackArgs;
use super::why::Why;

/// Columns where nobody wraps.
const COLUMNS_MAX: usize = 120;

/// Run the tests written in the rules.
///
/// 运行规则包自带的测试，说明失败原因，并列出未被测试覆盖的部分。
#[derive(Args)]
#[command(after_help = "Examples:\n  watchpost-agent policy test packs/sales.yaml\n  \
    watchpost-agent policy test packs/sales.yaml --coverage\n  watchpost-agent policy test --json\n\n\
    Without a file, the built-in packs are tested.\n\
    Exit codes: 0 all passed, 1 a test failed or a pack has mistakes.")]
pub(super) struct TestArgs {
    #[command(flatten)]
    packs: PackArgs,
    /// List every word that no test hits.
    #[arg(long)]
    coverage: bool,
}

pub(super) fn run(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let columns = super::super::terminal::stdout_columns().unwrap_or(COLUMNS_MAX);
    let why = Why { paint: args.packs.look.stdout(), lang: args.packs.look.lang(), columns };
    let mut run = Run { out: io::stdout().lock(), args, why, tests: 0, failed: 0, rules: Vec::new() };
    for pack in args.packs.sound()? {
        run.pack(&pack)?;
    }
    if !args.packs.json {
        run.totals()?;
    }
    Ok(if run.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Run<'a, W> {
    out: W,
    args: &'a TestArgs,
    why: Why,
    tests: usize,
    failed: usize,
    rules: Vec<Touched>,
}

/// What the tests of a rule touch.
struct Touched {
    name: String,
    tests: usize,
    selections: Vec<TouchedSelection>,
}

struct TouchedSelection {
    name: String,
    /// Whether any test hits it or makes it true.
    hit: bool,
    words: usize,
    /// Words no test hits.
    unhit: Vec<String>,
}

impl<W: Write> Run<'_, W> {
    fn pack(&mut self, pack: &Pack) -> anyhow::Result<()> {
        for outcome in run_tests(pack)? {
            self.tests += 1;
            let passed = outcome.passed();
            self.failed += usize::from(!passed);
            if self.args.packs.json {
                let line = json!({
                    "pack": &*pack.id, "rule": &*outcome.rule, "text": outcome.test.text,
                    "expected": outcome.test.hit, "hit": outcome.hit, "passed": passed,
                });
                print_json(&mut self.out, &line)?;
            }
        }
        let engine = Engine::compile(vec![pack.clone()], None)?;
        for rule in &pack.rules {
            let mut touched = Touched::none(pack, rule);
            for test in &rule.tests {
                let Some(explained) = explain_test(&engine, rule, test) else { continue };
                touched.add(&explained);
                if explained.holds != test.hit && !self.args.packs.json {
                    self.failure(&explained, test)?;
                }
            }
            if self.args.packs.json {
                print_json(&mut self.out, &touched.as_json(pack, rule))?;
            }
            self.rules.push(touched);
        }
        Ok(())
    }

    fn failure(&mut self, explained: &ExplainedRule, test: &watchpost_policy::rules::RuleTest) -> anyhow::Result<()> {
        let Why { paint, lang, .. } = self.why;
        let expected =
            if test.hit { lang.of("应当命中", "should hit") } else { lang.of("不应命中", "should not hit") };
        let head = paint.ink(Ink::Bad, lang.of("失败", "failed"));
        writeln!(self.out, "{head} {} {}: {expected}: {}", lang.of("第", "line"), test.line, clean(&test.text))?;
        let text = |field: String| ExplainedText { field, text: test.text.clone(), normalised: String::new() };
        let fields: BTreeSet<&String> =
            explained.selections.iter().flat_map(|selection| selection.hits.iter().map(|hit| &hit.field)).collect();
        let texts: Vec<ExplainedText> = fields.into_iter().cloned().map(text).collect();
        writeln!(self.out, "{}", self.why.rule(explained, &texts))?;
        Ok(())
    }

    fn totals(&mut self) -> anyhow::Result<()> {
        let Why { paint, lang, columns } = self.why;
        for rule in &self.rules {
            if rule.tests == 0 {
                writeln!(self.out, "{} {}: {}", paint.ink(Ink::Warn, '!'), rule.name, lang.of("没有测试", "no tests"))?;
                continue;
            }
            for selection in &rule.selections {
                let name = format!("{} {}", rule.name, selection.name);
                if !selection.hit {
                    let text = lang.of("没有测试触及", "no test touches it");
                    writeln!(self.out, "{} {name}: {text}", paint.ink(Ink::Warn, '!'))?;
                } else if self.args.coverage && !selection.unhit.is_empty() {
                    let words = cut(&selection.unhit.join("、"), columns.max(40));
                    let (unhit, all) = (selection.unhit.len(), selection.words);
                    writeln!(
                        self.out,
                        "  {name}: {} {unhit}/{all}: {words}",
                        lang.of("未测试的词", "words no test hits")
                    )?;
                }
            }
        }
        let tested = self.rules.iter().filter(|rule| rule.tests > 0).count();
        let selections: Vec<&TouchedSelection> = self.rules.iter().flat_map(|rule| &rule.selections).collect();
        let touched = selections.iter().filter(|selection| selection.hit).count();
        let words: usize = selections.iter().map(|selection| selection.words).sum();
        let hit = words - selections.iter().map(|selection| selection.unhit.len()).sum::<usize>();
        let (tests, failed, rules, all) = (self.tests, self.failed, self.rules.len(), selections.len());
        match lang {
            Lang::Zh => {
                writeln!(self.out, "{tests} 个测试，{failed} 个失败")?;
                writeln!(self.out, "覆盖：规则 {tested}/{rules}，选择项 {touched}/{all}，词 {hit}/{words}")?;
            }
            Lang::En => {
                writeln!(self.out, "{tests} tests, {failed} failed")?;
                writeln!(
                    self.out,
                    "coverage: rules {tested}/{rules}, selections {touched}/{all}, words {hit}/{words}"
                )?;
            }
        }
        Ok(())
    }
}

impl Touched {
    fn none(pack: &Pack, rule: &Rule) -> Self {
        let selections = rule.selections.iter().map(|selection| TouchedSelection {
            name: selection.name.to_string(),
            hit: false,
            words: selection.words().len(),
            unhit: selection.words().iter().map(|word| word.to_string()).collect(),
        });
        Self { name: format!("{}/{}", pack.id, rule.id), tests: rule.tests.len(), selections: selections.collect() }
    }

    fn add(&mut self, explained: &ExplainedRule) {
        for (selection, seen) in self.selections.iter_mut().zip(&explained.selections) {
            selection.hit |= seen.holds || !seen.hits.is_empty();
            selection.unhit.retain(|word| !seen.hits.iter().any(|hit| hit.word == *word));
        }
    }

    fn as_json(&self, pack: &Pack, rule: &Rule) -> serde_json::Value {
        let selections = self.selections.iter().map(|selection| {
            json!({ "name": selection.name, "hit": selection.hit, "words": selection.words, "unhit": selection.unhit })
        });
        json!({
            "pack": &*pack.id, "rule": &*rule.id,
            "coverage": { "tests": self.tests, "selections": selections.collect::<Vec<_>>() },
        })
    }
}
