//! `watchpost-collector operator`: who may come in, and what they may do.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::deed::DeedArgs;
use super::output::Output;
use super::token::seconds;
use crate::admin::What;
use crate::clock::{minute_in_china, now_ms};
use crate::config::Config;
use crate::log_store::LogReader;
use crate::operators::secret::{self, Kind};
use crate::operators::{self, Deed, Grant, Operator, Role, Sample, Scope};

mod accept;
mod tokens;

/// Invites operators and says what they may do. 管理操作员。
#[derive(Debug, Args)]
pub struct OperatorArgs {
    #[command(subcommand)]
    command: OperatorCommand,
}

#[derive(Debug, Subcommand)]
enum OperatorCommand {
    /// Lets somebody set a password with a one-time secret, which is printed once. 邀请操作员。
    #[command(after_help = "Examples:\n  \
        watchpost-collector operator invite li.na --role supervisor --scope sales/shanghai --config collector.toml\n  \
        watchpost-collector operator invite wang --role auditor --sample-per-cent 5 --sample-for 30d --config collector.toml\n\n\
        --scope is DEPARTMENT/SITE as in the roster; `sales/` is that department everywhere, `/shanghai` everybody there.\n\
        --account is an account of their own (corp/userid): alerts about it are never shown to them.")]
    Invite(InviteArgs),
    /// Lists all operators. 操作员列表。
    #[command(after_help = "Example:\n  watchpost-collector operator list --config ./collector/collector.toml --json")]
    List(LookArgs),
    /// Shows one operator with their tokens. 操作员详情。
    #[command(after_help = "Example:\n  watchpost-collector operator show li.na --config ./collector/collector.toml")]
    Show {
        /// Login name.
        operator: String,
        #[command(flatten)]
        look: LookArgs,
    },
    /// Replaces all that somebody may do; their sessions end. 变更权限。
    #[command(
        after_help = "Example:\n  watchpost-collector operator grant li.na --role reviewer --export --config collector.toml"
    )]
    Grant(GrantedArgs),
    /// Keeps somebody out at once. 停用操作员。
    #[command(
        after_help = "Example:\n  watchpost-collector operator disable li.na --reason left --config collector.toml"
    )]
    Disable(OneArgs),
    /// Lets them in again. 启用操作员。
    #[command(after_help = "Example:\n  watchpost-collector operator enable li.na --config ./collector/collector.toml")]
    Enable(OneArgs),
    /// Takes away password, one-time codes and tokens, and prints a one-time secret to set them anew. 重置凭据。
    #[command(after_help = "Example:\n  watchpost-collector operator reset li.na --config ./collector/collector.toml")]
    Reset(ResetArgs),
    /// Sets password and one-time codes with a one-time secret, at this terminal. 凭一次性密钥设置密码。
    #[command(
        after_help = "Example:\n  watchpost-collector operator accept administrator --config ./collector/collector.toml"
    )]
    Accept(accept::AcceptArgs),
    /// API tokens for scripts. API 令牌。
    Token(tokens::TokensArgs),
}

/// Where to look.
#[derive(Debug, Args)]
struct LookArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct InviteArgs {
    #[command(flatten)]
    granted: GrantedArgs,
    /// How long the one-time secret lasts: 30m, 24h, 3d.
    #[arg(long, default_value = "3d", value_parser = seconds)]
    ttl: u64,
}

#[derive(Debug, Args)]
struct ResetArgs {
    #[command(flatten)]
    one: OneArgs,
    /// How long the one-time secret lasts: 30m, 24h, 3d.
    #[arg(long, default_value = "3d", value_parser = seconds)]
    ttl: u64,
}

#[derive(Debug, Args)]
struct OneArgs {
    /// Login name.
    operator: String,
    #[command(flatten)]
    deed: DeedArgs,
}

#[derive(Debug, Args)]
struct GrantedArgs {
    #[command(flatten)]
    one: OneArgs,
    /// What they are here for.
    #[arg(long, value_enum)]
    role: RoleArg,
    /// Of a supervisor: DEPARTMENT/SITE; may be repeated.
    #[arg(long = "scope", value_name = "DEPARTMENT/SITE", value_parser = scope)]
    scopes: Vec<Scope>,
    /// May take lists out.
    #[arg(long)]
    export: bool,
    /// An account of their own, corp/userid; may be repeated.
    #[arg(long = "account", value_name = "CORP/USERID")]
    accounts: Vec<String>,
    /// Of an auditor: how many of a hundred closed alerts they may read.
    #[arg(long, requires = "sample_for", value_parser = clap::value_parser!(u32).range(1..=100))]
    sample_per_cent: Option<u32>,
    /// For how long: 24h, 30d.
    #[arg(long, requires = "sample_per_cent", value_parser = seconds)]
    sample_for: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleArg {
    Administrator,
    PolicyAuthor,
    Supervisor,
    Reviewer,
    Auditor,
}

/// Runs the command.
///
/// # Errors
/// What kept it from being done.
pub fn run(args: OperatorArgs) -> anyhow::Result<()> {
    match args.command {
        OperatorCommand::Invite(args) => args.run(),
        OperatorCommand::List(look) => list(&look),
        OperatorCommand::Show { operator, look } => show(&operator, &look),
        OperatorCommand::Grant(args) => {
            let deed = Deed::Grant { operator: args.one.operator.clone(), grant: args.grant()? };
            args.one.deed.run(What::of_operator(deed))
        }
        OperatorCommand::Disable(OneArgs { operator, deed }) => deed.run(What::of_operator(Deed::Disable { operator })),
        OperatorCommand::Enable(OneArgs { operator, deed }) => deed.run(What::of_operator(Deed::Enable { operator })),
        OperatorCommand::Reset(args) => args.run(),
        OperatorCommand::Accept(args) => args.run(),
        OperatorCommand::Token(args) => args.run(),
    }
}

impl GrantedArgs {
    fn grant(&self) -> anyhow::Result<Grant> {
        let sample = match (self.sample_per_cent, self.sample_for) {
            (Some(per_cent), Some(seconds)) => Some(Sample { per_cent, until_ms: ends_ms(seconds)? }),
            _ => None,
        };
        let role = match self.role {
            RoleArg::Administrator => Role::Administrator,
            RoleArg::PolicyAuthor => Role::PolicyAuthor,
            RoleArg::Supervisor => Role::Supervisor,
            RoleArg::Reviewer => Role::Reviewer,
            RoleArg::Auditor => Role::Auditor,
        };
        let (scopes, accounts) = (self.scopes.clone(), self.accounts.clone());
        Ok(Grant { role, scopes, export: self.export, accounts, sample })
    }
}

impl InviteArgs {
    fn run(&self) -> anyhow::Result<()> {
        let (OneArgs { operator, deed: how }, grant) = (&self.granted.one, self.granted.grant()?);
        let (text, digest) = secret::make(Kind::Invitation)?;
        let expires_ms = ends_ms(self.ttl)?;
        let operator = operator.clone();
        let deed = Deed::Invite { operator: operator.clone(), grant, secret: digest.to_string(), expires_ms };
        let entries = how.have_done(&Config::load(&how.config)?, What::of_operator(deed))?;
        tell(how, &operator, &text, expires_ms, &entries)
    }
}

impl ResetArgs {
    fn run(&self) -> anyhow::Result<()> {
        let OneArgs { operator, deed: how } = &self.one;
        let (text, digest) = secret::make(Kind::Invitation)?;
        let expires_ms = ends_ms(self.ttl)?;
        let deed = Deed::Reset { operator: operator.clone(), secret: digest.to_string(), expires_ms };
        let entries = how.have_done(&Config::load(&how.config)?, What::of_operator(deed))?;
        tell(how, operator, &text, expires_ms, &entries)
    }
}

/// Prints a one-time secret, once.
fn tell(how: &DeedArgs, operator: &str, secret: &str, expires_ms: i64, entries: &[u64]) -> anyhow::Result<()> {
    let mut out = Output::new();
    if how.json {
        let said = json!({ "operator": operator, "secret": secret, "expires_ms": expires_ms, "entries": entries });
        out.json(&said)?;
        return out.finish();
    }
    out.row(&[secret])?;
    out.finish()?;
    let until = minute_in_china(expires_ms).unwrap_or_default();
    eprintln!(
        "{operator} 凭此一次性密钥设置密码，有效至 {until}；只显示这一次，请当面或经可信渠道交付。\n\
         {operator} sets a password with this one-time secret until {until}. It is shown only this once; hand it over in person."
    );
    Ok(())
}

/// The moment so many seconds from now, milliseconds since 1970.
fn ends_ms(seconds: u64) -> anyhow::Result<i64> {
    let ms = i64::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(1000));
    Ok(now_ms().saturating_add(ms.context("that is too long")?))
}

fn scope(text: &str) -> Result<Scope, String> {
    let (department, site) = text.rsplit_once('/').ok_or("a scope is DEPARTMENT/SITE, either of them may be empty")?;
    Ok(Scope { department: department.to_owned(), site: site.to_owned() })
}

fn list(look: &LookArgs) -> anyhow::Result<()> {
    let log = LogReader::open(&Config::load(&look.config)?.log_db())?;
    let mut out = Output::new();
    if !look.json {
        out.row(&["OPERATOR", "STATE", "ROLE", "SCOPE", "EXPORT", "CODES", "CAME IN"])?;
    }
    for operator in operators::list(log.connection())? {
        if look.json {
            out.json(&operator)?;
            continue;
        }
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        let came_in = operator.signed_in_ms.and_then(minute_in_china).unwrap_or_default();
        let Grant { role, export, .. } = &operator.grant;
        let scopes = scopes_of(&operator);
        out.row(&[
            &operator.operator,
            operator.state,
            role.as_str(),
            &scopes,
            yes(*export),
            yes(operator.totp),
            &came_in,
        ])?;
    }
    out.finish()
}

fn scopes_of(operator: &Operator) -> String {
    let scopes = operator.grant.scopes.iter().map(|scope| format!("{}/{}", scope.department, scope.site));
    scopes.collect::<Vec<_>>().join(", ")
}

fn show(name: &str, look: &LookArgs) -> anyhow::Result<()> {
    let log = LogReader::open(&Config::load(&look.config)?.log_db())?;
    let operator = operators::find(log.connection(), name)?;
    let operator = operator.with_context(|| format!("there is no operator {name}; see operator list"))?;
    let mut out = Output::new();
    if look.json {
        out.json(&operator)?;
        return out.finish();
    }
    let grant = &operator.grant;
    let (scopes, accounts) = (scopes_of(&operator), grant.accounts.join(", "));
    let sample = grant
        .sample
        .map(|sample| format!("{} % until {}", sample.per_cent, minute_in_china(sample.until_ms).unwrap_or_default()));
    for (what, value) in [
        ("operator", name),
        ("state", operator.state),
        ("role", grant.role.as_str()),
        ("scope", &scopes),
        ("own accounts", &accounts),
        ("sample", sample.as_deref().unwrap_or_default()),
        ("export", if grant.export { "yes" } else { "no" }),
        ("one-time codes", if operator.totp { "yes" } else { "no" }),
    ] {
        out.row(&[what, value])?;
    }
    tokens::print(&mut out, log.connection(), name)?;
    out.finish()
}

/// The tokens of an operator that exists.
fn existing(log: &LogReader, operator: &str) -> anyhow::Result<()> {
    let found = operators::find(log.connection(), operator)?.is_some();
    ensure!(found, "there is no operator {operator}; see operator list");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_department_and_a_site() {
        let of = |department: &str, site: &str| Scope { department: department.into(), site: site.into() };
        assert_eq!(scope("sales/shanghai"), Ok(of("sales", "shanghai")));
        assert_eq!(scope("sales/"), Ok(of("sales", "")));
        assert_eq!(scope("/上海"), Ok(of("", "上海")));
        assert_eq!(scope("sales/east/shanghai"), Ok(of("sales/east", "shanghai")));
        assert!(scope("sales").is_err());
    }
}
