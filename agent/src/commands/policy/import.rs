//! `policy import`: WeCom's own sensitive words as a pack.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use watchpost_policy::import::intercept_rules;
use watchpost_policy::rules::{Mistake, Pack};

use super::super::terminal::clean;

/// Largest file of rules, in bytes. Anything larger is none.
const BYTES_MAX: u64 = 64 << 20;

/// Make a pack of the sensitive-word rules set up in WeCom.
///
/// 把企业微信管理后台的敏感词规则（get_intercept_rule 的返回）转成规则包。
#[derive(Args)]
#[command(after_help = "Examples:\n  watchpost-agent policy import intercept-rules.json --out packs/wecom.yaml\n  \
    watchpost-agent policy import - < intercept-rules.jsonl\n\n\
    Reads what get_intercept_rule answers, what add_intercept_rule is given, and keyword rules of the data zone: one object, an array,\n\
    or one a line. What cannot be taken over is told on standard error.\n\
    Exit codes: 0 ok, 1 nothing could be imported.")]
pub(super) struct ImportArgs {
    /// The rules, as JSON; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where to write the pack, which must not be there yet; standard output without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Id of the pack.
    #[arg(long, value_name = "ID", default_value = "wecom-sensitive-words")]
    pack: String,
}

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let name = args.file.display();
    let text = read(args).with_context(|| format!("cannot read {name}"))?;
    let imported = intercept_rules(&text, &args.pack).map_err(|error| anyhow!("{name}: {error}"))?;
    if let Err(mistakes) = Pack::parse(&args.pack, imported.yaml.as_bytes(), &Default::default()) {
        bail!("{}", mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n"));
    }
    match &args.out {
        Some(out) => {
            let file = OpenOptions::new().write(true).create_new(true).open(out);
            let mut file = file.with_context(|| format!("cannot make {}", out.display()))?;
            file.write_all(imported.yaml.as_bytes())?;
            eprintln!("{} rules written to {}; look through it and try it:", imported.rules, out.display());
            eprintln!(
                "  watchpost-agent policy test {0}\n  watchpost-agent policy preview {0} exports/",
                out.display()
            );
        }
        None => io::stdout().lock().write_all(imported.yaml.as_bytes())?,
    }
    imported.left_out.iter().for_each(|sentence| eprintln!("  left out  {}", clean(sentence)));
    Ok(ExitCode::SUCCESS)
}

fn read(args: &ImportArgs) -> io::Result<String> {
    let input: Box<dyn io::Read> =
        if args.file.as_os_str() == "-" { Box::new(io::stdin()) } else { Box::new(File::open(&args.file)?) };
    let mut text = String::new();
    input.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
