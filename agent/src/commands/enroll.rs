//! `enroll`: a token becomes a certificate, and the device proves itself.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use serde_json::json;
use watchpost_agent::daemon;
use watchpost_agent::enrolling::{self, Token, TokenSource};
use watchpost_agent::uplink::{Ended, Member};

use super::{ConfigArg, print_json};

/// How long the first connection may take.
const PROOF: Duration = Duration::from_secs(30);

/// Enrol this device with a token: the key is made here and never leaves it.
///
/// 用注册码注册本机：密钥在本机生成，绝不外传。
#[derive(Args)]
#[command(
    after_help = "Examples:\n  watchpost-agent enroll --token-file token.txt --config /etc/watchpost/agent.toml\n  \
    some-secret-store read token | watchpost-agent enroll --token-file -\n\n\
    Without --token-file the token comes from the environment variable WATCHPOST_TOKEN, or from the file that\n\
    [enrolment] token_file in the configuration names. `run` enrols by itself where it finds one there.\n\
    It may be repeated: the same token and key get the same certificate."
)]
pub(super) struct EnrollArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// File with the token, or - for standard input.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// What this device is called in the list of assets; its serial number by default.
    #[arg(long)]
    asset: Option<String>,
    /// Wait until an administrator has admitted the device, where the token asks for that.
    #[arg(long)]
    wait: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &EnrollArgs) -> anyhow::Result<ExitCode> {
    let mut config = args.config.load()?;
    if let Some(asset) = &args.asset {
        config.enrolment.asset = Some(asset.clone());
    }
    let token = token(args, &config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = enrolling::code(&config.identity)?;
    let member = loop {
        match runtime.block_on(enrolling::once(&config, &token)) {
            Ok(member) => break member,
            Err(Ended::Refused { code: refusal, sentence, sentence_zh, retry_after })
                if refusal == "approval_pending" && args.wait =>
            {
                tell(&sentence_zh, &sentence, &code);
                std::thread::sleep(retry_after.min(Duration::from_secs(60)));
            }
            Err(Ended::Refused { code: refusal, sentence, sentence_zh, .. }) => {
                bail!("{refusal}\n{sentence_zh}\n{sentence}\n核对码 / code: {code}");
            }
            Err(Ended::Way(way)) => bail!("{}\n{}\n{}", way.code(), way.zh(), way.en()),
            Err(ended) => return Err(anyhow!("{ended}")),
        }
    };
    let proved = runtime.block_on(daemon::prove(&config, PROOF));
    told(args, &member, proved.as_ref().map(|_| ()).map_err(ToString::to_string))?;
    Ok(if proved.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn token(args: &EnrollArgs, config: &watchpost_agent::config::Config) -> anyhow::Result<Token> {
    let text = match &args.token_file {
        Some(path) if path.as_os_str() == "-" => {
            let mut text = String::new();
            std::io::stdin()
                .take(enrolling::TOKEN_FILE_BYTES_MAX)
                .read_to_string(&mut text)
                .context("standard input")?;
            text
        }
        Some(path) => TokenSource::File(path.clone()).read()?,
        None => match TokenSource::find(config) {
            Some(source) => source.read()?,
            None => bail!(
                "no token: name its file with --token-file (- for standard input), or set WATCHPOST_TOKEN, or \
                 [enrolment] token_file in the configuration"
            ),
        },
    };
    Ok(Token::parse(&text)?)
}

fn tell(zh: &str, en: &str, code: &str) {
    let mut out = std::io::stderr();
    let _ = writeln!(out, "{zh}\n{en}\n核对码 / code: {code}");
    if out.is_terminal() {
        let _ = writeln!(out, "(Ctrl-C 可中断，稍后重新执行即可 / Ctrl-C stops; run it again later)");
    }
}

fn told(args: &EnrollArgs, member: &Member, proved: Result<(), String>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        print_json(
            &mut out,
            &json!({
                "device": member.device.to_string(), "tenant": member.tenant, "group": member.membership.group,
                "site": member.membership.site, "collectors": member.membership.collectors,
                "proved": proved.is_ok(), "reason": proved.err(),
            }),
        )?;
        return Ok(());
    }
    writeln!(out, "device   {}  ({})", member.device, member.tenant)?;
    writeln!(out, "group    {}  site {}", member.membership.group, member.membership.site)?;
    writeln!(out, "reports  to {}", member.membership.collectors.join(", "))?;
    match proved {
        Ok(()) => writeln!(out, "proved   已注册，并已与采集端成功通信。 Enrolled, and heard by the collector.")?,
        Err(reason) => writeln!(
            out,
            "proved   NO: 已取得证书，但尚未与采集端通信成功，`run` 会自动重试。\n         \
             The certificate is here, but the collector was not reached yet; `run` tries again. {reason}"
        )?,
    }
    Ok(())
}
