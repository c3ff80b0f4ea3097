//! `my-data`: what is looked at, by which rules, who can see it, and what was sent about me.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};
use watchpost_agent::clock::{Clock as _, SystemClock};
use watchpost_agent::config::Config;
use watchpost_agent::my_data::{self, Notice, Sources, account_of};
use watchpost_agent::policies;
use watchpost_agent::store::Store;
use watchpost_policy::my_data::{Lang, MyData, html, text};

use super::terminal::china_time;
use super::{ConfigArg, print_json};

/// Show what is looked at on this device, by which rules, who can see it, and what was sent about your account.
///
/// 我的数据：查看检查什么、按哪些规则、谁能看到，以及关于您的账号上报过什么。
#[derive(Args)]
#[command(
    after_help = "Examples:\n  watchpost-agent my-data\n  watchpost-agent my-data --format html > my-data.html\n  \
    watchpost-agent my-data acknowledge\n  sudo watchpost-agent my-data --account wwEXAMPLE0001/li.na --lang en"
)]
pub(super) struct MyDataArgs {
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    whose: Whose,
    /// Language.
    #[arg(long, value_enum, default_value_t = LangArg::Zh)]
    lang: LangArg,
    /// As text, as a page for a browser, or as one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Subcommand)]
enum Act {
    /// Confirm that you have read the notice that is in force.
    ///
    /// 确认已阅读现行告知书。
    #[command(after_help = "Example:\n  watchpost-agent my-data acknowledge")]
    Acknowledge(Whose),
}

#[derive(Args)]
struct Whose {
    /// The account, `corp/userid`; needed where you have several, or administer this device.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Clone, Copy, ValueEnum)]
enum LangArg {
    Zh,
    En,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Html,
    Json,
}

pub(super) fn run(args: &MyDataArgs) -> anyhow::Result<ExitCode> {
    if let Some(Act::Acknowledge(whose)) = &args.act {
        return acknowledge(whose);
    }
    let data = look(&args.whose)?;
    let lang = match args.lang {
        LangArg::Zh => Lang::Zh,
        LangArg::En => Lang::En,
    };
    let time = |ms| china_time(ms).unwrap_or_default();
    let mut out = io::stdout().lock();
    match args.format {
        Format::Text => out.write_all(text(&data, lang, &time).as_bytes())?,
        Format::Html => out.write_all(html(&data, &time).as_bytes())?,
        Format::Json => print_json(&mut out, &data)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// From the agent that runs, else from its state folder for whoever may read that.
fn look(whose: &Whose) -> anyhow::Result<MyData> {
    let config = whose.config.load();
    #[cfg(unix)]
    if let Some(data) = ask(whose, config.as_ref().ok(), None)? {
        return Ok(data);
    }
    let config = config?;
    let account = whose.account.as_deref().context("name the account with --account 请用 --account 指定账号")?;
    let account = account_of(account).with_context(|| format!("{account:?} is no account; write corp/userid"))?;
    let unread = || "the agent does not run here, or serves nobody ([my_data] in agent.toml, --config), and its state folder is not yours to read 设备端未运行或未开放查询";
    let store = Store::open_read_only(&config.state_dir).with_context(unread)?;
    let in_force = policies::at_start(&config, None).map_err(|mistakes| anyhow!(mistakes.join("\n")))?;
    let notice = Notice::load(&config.notice).map_err(|error| anyhow!(error))?;
    let sources = Sources {
        engine: &in_force.engine,
        store: &store,
        folders: &config.folders,
        ceiling: in_force.ceiling,
        who: &config.notice.who,
        notice: notice.as_ref(),
    };
    Ok(my_data::page(&sources, &account, SystemClock::default().wall_ms())?)
}

#[cfg(unix)]
fn acknowledge(whose: &Whose) -> anyhow::Result<ExitCode> {
    let config = whose.config.load().ok();
    let not_running =
        "the agent does not run here, or serves nobody ([my_data] in agent.toml) 设备端未运行或未开放查询";
    let shown = ask(whose, config.as_ref(), None)?.context(not_running)?;
    let notice = shown.notice.context("there is no notice to acknowledge here 本机没有告知书")?;
    if notice.acknowledged_ms.is_none() {
        ask(whose, config.as_ref(), Some((notice.version, notice.digest.clone())))?.context(not_running)?;
    }
    println!(
        "已确认阅读第 {} 版告知书（{}） acknowledged: version {} of the notice",
        notice.version, shown.account, notice.version
    );
    Ok(ExitCode::SUCCESS)
}

#[cfg(not(unix))]
fn acknowledge(_whose: &Whose) -> anyhow::Result<ExitCode> {
    bail!("this system has no way yet to ask the agent that runs; acknowledge as your company told you 本系统暂不支持")
}

/// `None` where no agent listens.
#[cfg(unix)]
fn ask(whose: &Whose, config: Option<&Config>, acknowledge: Option<(u64, String)>) -> anyhow::Result<Option<MyData>> {
    use watchpost_agent::my_data::socket::{Question, Reply, put_question};

    let question = Question { account: whose.account.clone(), acknowledge };
    match put_question(my_data::socket_of(config), &question) {
        Ok(Reply::Page(data)) => Ok(Some(*data)),
        Ok(Reply::Refused(zh, en)) => bail!("{zh} {en}"),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error).context("the agent does not answer 设备端没有应答"),
    }
}
