//! Coming in and going: passwords, one-time codes, one-time secrets.

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchpost_proto::Digest;

use crate::audit::Did;
use crate::log_store::{self, OperatorFacts, aside};
use crate::operators::secret::{self, Kind as Secret};
use crate::operators::throttle::{Who, net_of};
use crate::operators::{Act, Deed, Operator, deed, find, may, password, totp};
use crate::web::ask::Ask;
use crate::web::auth::KNOWN_COOKIE;
use crate::web::held;
use crate::web::problem::{Kind, Problem};
use crate::web::route::Nothing;

/// How long a browser is remembered, seconds.
const REMEMBERED_S: i64 = 180 * 24 * 3600;

/// Who wants in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct SignIn {
    /// Login name.
    pub(in crate::web) name: String,
    /// Password.
    pub(in crate::web) password: String,
    /// One-time code; needed by those who have set one up.
    #[serde(default)]
    pub(in crate::web) code: String,
}

/// Who is signed in.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Me {
    /// How they stand.
    #[serde(flatten)]
    operator: Operator,
    /// What they may do.
    may: Vec<Act>,
}

/// One who was invited or reset.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Accept {
    /// Login name.
    pub(in crate::web) name: String,
    /// The one-time secret.
    pub(in crate::web) secret: String,
    /// The password from now on.
    pub(in crate::web) password: String,
    /// Come in with one-time codes as well; administrators always do.
    #[serde(default)]
    pub(in crate::web) totp: bool,
}

/// What an authenticator is told.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct Set {
    /// Login name.
    pub(in crate::web) operator: String,
    /// For the authenticator, as a link or a square code; shown this once. Missing where no one-time codes are set up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::web) otpauth: Option<String>,
}

/// A new password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct NewPassword {
    /// The present one.
    pub(in crate::web) present: String,
    /// The one from now on.
    pub(in crate::web) new: String,
}

/// A proof that it is oneself.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Proof {
    /// The password.
    pub(in crate::web) password: String,
}

pub(in crate::web) fn me(ask: &Ask<'_>, _: Nothing) -> Result<Me, Problem> {
    Ok(me_of(ask.caller()?.operator.clone(), ask.now_ms))
}

fn me_of(operator: Operator, now_ms: i64) -> Me {
    let may = Act::ALL.into_iter().filter(|act| may(&operator, *act, None, now_ms)).collect();
    Me { operator, may }
}

/// Signs in. Wrong names, wrong passwords and wrong codes cost the same and are told the same.
pub(in crate::web) fn sign_in(ask: &Ask<'_>, asked: SignIn) -> Result<Me, Problem> {
    let name = if deed::is_name(&asked.name) { asked.name.as_str() } else { "" };
    let db = ask.log().connection();
    let facts = log_store::operator_facts(db, name)?;
    let guess = guesses(ask, name);
    wait_out(ask, &guess, facts.as_ref())?;
    let kept = facts.as_ref().and_then(|facts| facts.password.as_ref());
    let kept = kept.map(|named| aside::read(db, named)).transpose()?.flatten();
    let is_theirs = password::verify(&asked.password, kept.as_deref());
    let Some(facts) = facts.filter(|facts| is_theirs && !facts.disabled) else {
        return Err(refuse(ask, known_name(ask, name)?, "password"));
    };
    if !code_fits(ask, &facts, &asked.code)? {
        return Err(refuse(ask, &facts.name, "code"));
    }
    held(&ask.site.throttle).succeeded(&guess);
    ask.note(&facts.name, Did::SignedIn, "", "", 0)?;
    begin(ask, &facts.name, facts.changed)?;
    let known = ask.site.browsers.remember(&facts.name)?;
    ask.set_cookie(ask.site.cookie_of(KNOWN_COOKIE, &known, Some(REMEMBERED_S)));
    let operator = find(db, &facts.name)?.ok_or(Problem::new(Kind::WrongCredentials))?;
    Ok(me_of(operator, ask.now_ms))
}

/// A session always begins with a new cookie; one that came along ends.
fn begin(ask: &Ask<'_>, name: &str, changed: u64) -> Result<(), Problem> {
    let site = ask.site;
    let cookie = ask.sessions(|sessions| {
        if let Some(former) = ask.cookie(site.cookie_name()) {
            sessions.end(former);
        }
        sessions.begin(name, changed, ask.now_ms)
    })?;
    ask.set_cookie(site.cookie_of(site.cookie_name(), &cookie, None));
    Ok(())
}

pub(in crate::web) fn sign_out(ask: &Ask<'_>, _: Nothing) -> Result<Nothing, Problem> {
    let caller = ask.caller()?;
    ask.note(&caller.operator.operator, Did::SignedOut, "", "", 0)?;
    if let Some(cookie) = &caller.cookie {
        ask.sessions(|sessions| sessions.end(cookie));
    }
    ask.set_cookie(ask.site.cookie_of(ask.site.cookie_name(), "", Some(0)));
    Ok(Nothing {})
}

/// Sets the password of one who was invited or reset. It signs nobody in: they come in with what they have set.
pub(in crate::web) fn accept(ask: &Ask<'_>, asked: Accept) -> Result<Set, Problem> {
    let name = if deed::is_name(&asked.name) { asked.name.as_str() } else { "" };
    let db = ask.log().connection();
    let facts = log_store::operator_facts(db, name)?;
    wait_out(ask, &guesses(ask, name), facts.as_ref())?;
    let shown: Digest = secret::digest(Secret::Invitation, &asked.secret);
    let is_open = facts
        .is_some_and(|facts| facts.invitation.is_some_and(|(open, ends_ms)| open == shown && ask.now_ms < ends_ms));
    if !is_open {
        return Err(refuse(ask, known_name(ask, name)?, "one-time secret"));
    }
    if let Some(objection) = password::objection(&asked.password, name) {
        return Err(Problem::malformed(objection));
    }
    let role = find(db, name)?.map(|operator| operator.grant.role);
    let seed = if asked.totp || role.is_some_and(|role| role.needs_totp()) { Some(new_seed()?) } else { None };
    let deed = Deed::Accept {
        operator: name.to_owned(),
        secret: shown.to_string(),
        password: hex::encode(password::hash(&asked.password)?),
        totp: seed.map(hex::encode).unwrap_or_default(),
    };
    ask.have_done_by(name, ask.operating(deed), "")?;
    held(&ask.site.throttle).succeeded(&guesses(ask, name));
    Ok(set(ask, name, seed))
}

pub(in crate::web) fn change_password(ask: &Ask<'_>, asked: NewPassword) -> Result<Me, Problem> {
    let facts = prove(ask, &asked.present)?;
    if let Some(objection) = password::objection(&asked.new, &facts.name) {
        return Err(Problem::malformed(objection));
    }
    let password = hex::encode(password::hash(&asked.new)?);
    let entries = ask.have_done(ask.operating(Deed::ChangePassword { operator: facts.name.clone(), password }), "")?;
    go_on(ask, &facts.name, &entries)?;
    me(ask, Nothing {})
}

pub(in crate::web) fn enrol_totp(ask: &Ask<'_>, asked: Proof) -> Result<Set, Problem> {
    let facts = prove(ask, &asked.password)?;
    let seed = new_seed()?;
    let deed = Deed::EnrolTotp { operator: facts.name.clone(), totp: hex::encode(seed) };
    let entries = ask.have_done(ask.operating(deed), "")?;
    go_on(ask, &facts.name, &entries)?;
    Ok(set(ask, &facts.name, Some(seed)))
}

/// Whoever has just changed how they come in stays; their other sessions end.
fn go_on(ask: &Ask<'_>, name: &str, entries: &[u64]) -> Result<(), Problem> {
    entries.last().map_or(Ok(()), |changed| begin(ask, name, *changed))
}

fn set(ask: &Ask<'_>, name: &str, seed: Option<[u8; totp::SEED_BYTES]>) -> Set {
    let tenant = &ask.site.desk.config.tenant;
    Set { operator: name.to_owned(), otpauth: seed.map(|seed| totp::address(tenant, name, &seed)) }
}

fn new_seed() -> Result<[u8; totp::SEED_BYTES], Problem> {
    let mut seed = [0; totp::SEED_BYTES];
    getrandom::fill(&mut seed).context("no random numbers from the system")?;
    Ok(seed)
}

/// Whether it is the one who is signed in: a browser that was left open changes nobody's password.
fn prove(ask: &Ask<'_>, shown: &str) -> Result<OperatorFacts, Problem> {
    let (name, db) = (ask.by()?, ask.log().connection());
    let facts = log_store::operator_facts(db, name)?.ok_or(Problem::new(Kind::NotSignedIn))?;
    let guess = guesses(ask, name);
    wait_out(ask, &guess, Some(&facts))?;
    let kept = facts.password.as_ref().map(|named| aside::read(db, named)).transpose()?.flatten();
    if !password::verify(shown, kept.as_deref()) {
        return Err(refuse(ask, name, "password"));
    }
    held(&ask.site.throttle).succeeded(&guess);
    Ok(facts)
}

/// Whether a one-time code is of one who has such codes, and was not used. After it nobody comes in with it again, nor
/// with an earlier one. Which one it was is forgotten by a restart; when they came in is not, and then no code counts that
/// may have been the one.
fn code_fits(ask: &Ask<'_>, facts: &OperatorFacts, shown: &str) -> Result<bool, Problem> {
    let Some(named) = &facts.totp else { return Ok(true) };
    let Some(seed) = aside::read(ask.log().connection(), named)? else { return Ok(false) };
    let Some(step) = totp::fitting(&seed, shown, ask.now_ms) else { return Ok(false) };
    let mut codes = held(&ask.site.codes);
    let at_most = (facts.signed_in_ms > 0).then(|| totp::step_of(facts.signed_in_ms).saturating_add(1));
    let last = codes.get(&facts.name).copied().or(at_most);
    let is_new = last.is_none_or(|last| step > last);
    if is_new {
        codes.insert(facts.name.clone(), step);
    }
    Ok(is_new)
}

/// Whom a guess is counted for. An address of this machine is a proxy's, and so everybody's: it is held against nobody.
fn guesses(ask: &Ask<'_>, name: &str) -> Vec<Who> {
    let browser = ask.cookie(KNOWN_COOKIE).and_then(|cookie| ask.site.browsers.known(name, cookie));
    let mut guesses = vec![match browser {
        Some(number) => Who::Browser(name.to_owned(), number),
        None => Who::Name(name.to_owned()),
    }];
    if !net_of(ask.heard.address).is_loopback() {
        guesses.push(Who::Address(net_of(ask.heard.address)));
    }
    guesses
}

fn wait_out(ask: &Ask<'_>, guess: &[Who], facts: Option<&OperatorFacts>) -> Result<(), Problem> {
    let attempted = held(&ask.site.throttle).attempt(guess, ask.now_ms);
    attempted.map_err(|wait_ms| {
        let told = refuse(ask, facts.map_or(NOBODY, |facts| &facts.name), "too many attempts");
        if told.kind == Kind::Broken { told } else { Problem::new(Kind::TooManyAttempts).after_ms(wait_ms) }
    })
}

/// Stands for names that do not exist: somebody may have typed a password there.
const NOBODY: &str = "unknown";

fn known_name<'n>(ask: &Ask<'_>, name: &'n str) -> Result<&'n str, Problem> {
    let known = log_store::operator_facts(ask.log().connection(), name)?.is_some();
    Ok(if known { name } else { NOBODY })
}

/// Notes a refusal, as far as there is room for entries about them.
fn refuse(ask: &Ask<'_>, name: &str, what: &str) -> Problem {
    let entry = held(&ask.site.refusals).count(ask.now_ms);
    let noted = entry.map_or(Ok(()), |of| ask.note(name, Did::Refused, what, "", of));
    noted.err().unwrap_or(Problem::new(Kind::WrongCredentials))
}
