//! `policy check`: every mistake with its place, and what looks like one.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use watchpost_agent::policy_files::Document;
use watchpost_policy::filters::Filter;
use watchpost_policy::lint;
use watchpost_policy::rules::{Mistake, Pack};

use super::super::print_json;
use super::super::terminal::Lang;
use super::report::{Reporter, Severity, as_json};
use super::{Loaded, PackArgs};

/// Read packs and tell every mistake with its place.
///
/// 检查规则包，逐条指出错误所在的行列并给出修改建议。
#[derive(Args)]
#[command(after_help = "Examples:\n  watchpost-agent policy check packs/*.yaml\n  \
    watchpost-agent policy check packs/sales.yaml --json\n\n\
    Without a file, the built-in packs are checked. Warnings are no mistakes: the pack works, but perhaps not as meant.\n\
    Exit codes: 0 no mistake, 1 mistakes.")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    packs: PackArgs,
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let mut check =
        Check { out: io::stdout().lock(), args: &args.packs, reporter: args.packs.reporter(), counts: [0; 2] };
    for loaded in args.packs.load() {
        check.pack(&loaded)?;
    }
    let [mistakes, warnings] = check.counts;
    if !args.packs.json && mistakes + warnings > 0 {
        match args.packs.look.lang() {
            Lang::Zh => writeln!(check.out, "{mistakes} 处错误，{warnings} 处警告")?,
            Lang::En => writeln!(check.out, "{mistakes} mistakes, {warnings} warnings")?,
        }
    }
    Ok(if mistakes == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Check<'a, W> {
    out: W,
    args: &'a PackArgs,
    reporter: Reporter,
    /// Mistakes and warnings.
    counts: [usize; 2],
}

impl<W: Write> Check<'_, W> {
    fn pack(&mut self, loaded: &Loaded) -> anyhow::Result<()> {
        match &loaded.document {
            Err(mistakes) => mistakes.iter().try_for_each(|mistake| self.remark(Severity::Error, mistake, loaded)),
            Ok(Document::Pack(pack)) => {
                let warnings = lint::warnings(&loaded.name, &loaded.text, pack);
                warnings.iter().try_for_each(|warning| self.remark(Severity::Warning, warning, loaded))?;
                self.sound_pack(pack)
            }
            Ok(Document::Filter(filter)) => self.sound_filter(filter),
        }
    }

    fn sound_pack(&mut self, pack: &Pack) -> anyhow::Result<()> {
        let (rules, digest) = (pack.rules.len(), pack.digest().to_string());
        if self.args.json {
            let line = json!({ "pack": &*pack.id, "version": pack.version, "rules": rules, "digest": digest });
            return print_json(&mut self.out, &line);
        }
        writeln!(self.out, "{} version {}: {rules} rules, digest {}", pack.id, pack.version, &digest[..16])?;
        Ok(())
    }

    fn sound_filter(&mut self, filter: &Filter) -> anyhow::Result<()> {
        if self.args.json {
            return print_json(&mut self.out, &json!({ "filter": &*filter.id, "pack": &*filter.pack }));
        }
        writeln!(self.out, "filter {} for {}", filter.id, filter.pack)?;
        Ok(())
    }

    fn remark(&mut self, severity: Severity, remark: &Mistake, of: &Loaded) -> anyhow::Result<()> {
        self.counts[usize::from(severity == Severity::Warning)] += 1;
        if self.args.json {
            return print_json(&mut self.out, &as_json(severity, remark));
        }
        writeln!(self.out, "{}", self.reporter.show(severity, remark, of))?;
        Ok(())
    }
}
