//! `policy explain`: why rules hold for one message, or do not.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use watchpost_agent::carrier::Limits;
use watchpost_agent::clock::{Clock as _, SystemClock};
use watchpost_agent::lines::{Line, Lines};
use watchpost_policy::explain::{ExplainedRule, Explanation};
use watchpost_policy::message::{Corp, Message};
use watchpost_policy::parse::parse_line;

use super::super::print_json;
use super::super::scan::WhoseArgs;
use super::super::terminal::{LookArgs, clean, pad, stdout_columns, width};
use super::why::Why;

/// Columns where nobody wraps.
const COLUMNS_MAX: usize = 120;

/// Say why rules hold for a message or do not.
///
/// 解释规则为何命中、为何不命中。
#[derive(Args)]
#[command(after_help = "Examples:\n  watchpost-agent policy explain --text \"您加我私人微信吧\"\n  \
    watchpost-agent policy explain --text \"保本保收益\" --policy packs/sales.yaml --rule sales.promise --from external --to employee\n  \
    watchpost-agent policy explain --line exports/chat.jsonl:120 --json\n\n\
    Without --rule, the rules with a hit are shown.")]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    what: What,
    /// A pack or filter, `builtin` or `builtin:ID`; may be given several times. Without a pack the built-in ones are used.
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// Only this rule, with hits or without.
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Side of the sender of --text.
    #[arg(long, value_enum, default_value_t = Side::Employee, conflicts_with = "line")]
    from: Side,
    /// Side of the receiver of --text.
    #[arg(long, value_enum, default_value_t = Side::External, conflicts_with = "line")]
    to: Side,
    /// Message type of --text.
    #[arg(long = "type", value_enum, default_value_t = Type::Text, conflicts_with = "line")]
    msgtype: Type,
    #[command(flatten)]
    whose: WhoseArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    look: LookArgs,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct What {
    /// A text, as if somebody sent it.
    #[arg(long)]
    text: Option<String>,
    /// A line of an export, counting from 1.
    #[arg(long, value_name = "FILE:N")]
    line: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Side {
    Employee,
    External,
    Robot,
}

#[derive(Clone, Copy, ValueEnum)]
enum Type {
    Text,
    Markdown,
    Link,
    File,
}

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let engine = args.whose.engine(&args.policy)?;
    let is_meant = |rule: &str| args.rule.as_deref().is_none_or(|id| id == rule);
    let mut ids = engine.packs().iter().flat_map(|pack| pack.rules.iter().map(|rule| &*rule.id));
    if !ids.any(is_meant) {
        let known: Vec<&str> = engine.packs().iter().flat_map(|pack| pack.rules.iter().map(|rule| &*rule.id)).collect();
        let hint = watchpost_policy::hint::did_you_mean(args.rule.as_deref().unwrap_or_default(), &known);
        bail!("there is no rule `{}` in the policy{hint}", args.rule.as_deref().unwrap_or_default());
    }
    let message = args.message()?;
    let corp = Corp::new(args.whose.corp.as_str());
    let explanation = engine.explain(&corp, &message, &|_, rule| is_meant(&rule.id));
    if args.json {
        print_json(&mut io::stdout().lock(), &explanation)?;
    } else {
        args.show(&explanation)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl ExplainArgs {
    fn message(&self) -> anyhow::Result<Message> {
        let line = match (&self.what.text, &self.what.line) {
            (Some(text), _) => self.written(text).to_string().into_bytes(),
            (None, Some(place)) => line_of(place)?,
            (None, None) => bail!("give --text or --line"),
        };
        let parsed = parse_line(&line);
        let defects: Vec<&str> = parsed.defects.iter().map(|defect| defect.sentence()).collect();
        parsed.message.ok_or_else(|| anyhow!("this line is no message: {}", defects.join("; ")))
    }

    /// The text as an export would hold it, sent now: filters and work calendars ask for the time.
    fn written(&self, text: &str) -> Value {
        let (msgtype, body) = match self.msgtype {
            Type::Text => ("text", json!({ "content": text })),
            Type::Markdown => ("markdown", json!({ "content": text })),
            Type::Link => ("link", json!({ "title": text })),
            Type::File => ("file", json!({ "filename": text })),
        };
        json!({
            "msgid": "explain", "action": "send", "from": self.from.id("sender"), "tolist": [self.to.id("receiver")],
            "roomid": "", "msgtime": SystemClock::default().wall_ms(), "msgtype": msgtype, msgtype: body,
        })
    }

    fn show(&self, explanation: &Explanation) -> anyhow::Result<()> {
        let columns = stdout_columns().unwrap_or(COLUMNS_MAX);
        let why = Why { paint: self.look.stdout(), lang: self.look.lang(), columns };
        let mut out = io::stdout().lock();
        for text in &explanation.texts {
            let (field, normalised) = (clean(&text.field), why.lang.of("归一化", "normalised"));
            let names = width(&field).max(width(normalised));
            writeln!(out, "{}  {}", pad(&field, names), clean(&text.text))?;
            writeln!(out, "{}  {}\n", pad(normalised, names), clean(&text.normalised))?;
        }
        if !explanation.evaluated {
            let text = why.lang.of(
                "此消息不会被检查：没有受管账号参与，或有账号在免检名单上",
                "this message is never evaluated: no managed account takes part, or one on the never list does",
            );
            writeln!(out, "{text}\n")?;
        }
        let shown = |rule: &&ExplainedRule| self.rule.is_some() || rule.condition_holds || rule.has_hits();
        for rule in explanation.rules.iter().filter(shown) {
            writeln!(out, "{}", why.rule(rule, &explanation.texts))?;
        }
        let quiet = explanation.rules.iter().filter(|rule| !shown(rule)).count();
        if quiet > 0 {
            writeln!(out, "{quiet} {}", why.lang.of("条规则没有命中", "rules without a hit"))?;
        }
        Ok(())
    }
}

impl Side {
    /// An id of the shape such parties have.
    fn id(self, name: &str) -> String {
        match self {
            Self::Employee => name.to_owned(),
            Self::External => "wmEXPLAINEXPLAINEXPLAINEXPLAIN00".to_owned(),
            Self::Robot => "wbEXPLAINEXPLAINEXPLAINEXPLAIN00".to_owned(),
        }
    }
}

/// Reads the line of `FILE:N`.
fn line_of(place: &str) -> anyhow::Result<Vec<u8>> {
    let (file, number) = place.rsplit_once(':').context("--line wants FILE:N, a file and the number of a line")?;
    let number: u64 = number.parse().with_context(|| format!("`{number}` is no line number; write FILE:N"))?;
    let input = std::fs::File::open(Path::new(file)).with_context(|| format!("cannot read {file}"))?;
    let mut lines = Lines::new(input, Limits::default().record_bytes_max, 0, None);
    for at in 1.. {
        match lines.next().with_context(|| format!("cannot read {file}"))? {
            Some(Line::Whole(line) | Line::Unended(line)) if at == number => return Ok(line.to_vec()),
            Some(Line::TooLong) if at == number => {
                bail!("line {number} of {file} is longer than any line that is read")
            }
            Some(Line::Unended(_)) | None => break,
            Some(_) => {}
        }
    }
    bail!("{file} has no line {number}")
}
