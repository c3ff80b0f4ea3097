//! Employees who look at what is about them: sessions of their own, in memory alone. They open nothing else, and nothing else opens
//! what is theirs.

use std::collections::HashMap;
use std::sync::Arc;

use watchpost_proto::Digest;

use super::ask::Ask;
use super::auth;
use super::held;
use super::problem::{Kind, Problem};
use crate::admin::What;
use crate::audit::Did;
use crate::my_data::links::{self, Deed, Link, name_of};
use crate::my_data::{About, SENT_DAYS, about};
use crate::notices::account_of;
use crate::operators::secret::{self, Kind as Secret};
use crate::operators::throttle::{Who, net_of};

/// The cookie over TLS, and on loopback.
pub const VISIT_COOKIE: &str = "__Host-watchpost-me";
/// See [`VISIT_COOKIE`].
pub const VISIT_COOKIE_PLAIN: &str = "watchpost-me";

const LIFE_MS: i64 = 2 * 60 * 60 * 1000;
const IDLE_MS: i64 = 30 * 60 * 1000;
/// Visits at the same time; the oldest makes room.
const VISITS_MAX: usize = 1_000;
/// What was told is read again after so long: it takes a look at every record.
const FRESH_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Somebody who looks.
#[derive(Clone, Debug)]
pub(in crate::web) struct Visit {
    /// The account their link was made for.
    pub(in crate::web) account: String,
    /// All accounts of theirs, as the roster says now.
    pub(in crate::web) accounts: Vec<String>,
    /// The cookie; forms carry a mark of it.
    pub(in crate::web) cookie: String,
    /// When it ends at the latest, milliseconds since 1970.
    pub(in crate::web) until_ms: i64,
}

#[derive(Debug)]
struct Held {
    account: String,
    /// Digest of the link it came by, hexadecimal: with the link it ends.
    link: String,
    began_ms: i64,
    seen_ms: i64,
    /// What was told, of which accounts, and when it was read.
    read: Option<(i64, Vec<String>, Arc<About>)>,
}

impl Held {
    fn is_alive(&self, now_ms: i64) -> bool {
        let within = |since_ms: i64, life_ms: i64| now_ms.saturating_sub(since_ms) < life_ms;
        within(self.began_ms, LIFE_MS) && within(self.seen_ms, IDLE_MS)
    }
}

/// All visits, by the digest of the cookie, and links that are being opened.
#[derive(Debug, Default)]
pub(in crate::web) struct Visits {
    held: HashMap<Digest, Held>,
    opened: HashMap<Digest, i64>,
}

impl Visits {
    fn begin(&mut self, held: Held, now_ms: i64) -> anyhow::Result<String> {
        let (cookie, digest) = secret::make(Secret::EmployeeSession)?;
        self.held.retain(|_, held| held.is_alive(now_ms));
        if self.held.len() >= VISITS_MAX {
            let oldest = self.held.iter().min_by_key(|(_, held)| held.seen_ms).map(|(digest, _)| *digest);
            oldest.and_then(|digest| self.held.remove(&digest));
        }
        self.held.insert(digest, held);
        Ok(cookie)
    }

    /// Whether nobody has begun to open this link yet. Two who come at once are one too many.
    fn opens(&mut self, link: Digest, until_ms: i64, now_ms: i64) -> bool {
        self.opened.retain(|_, until_ms| *until_ms > now_ms);
        self.opened.insert(link, until_ms).is_none()
    }
}

fn cookie_name(ask: &Ask<'_>) -> &'static str {
    if ask.site.is_secure { VISIT_COOKIE } else { VISIT_COOKIE_PLAIN }
}

/// Opens a link, once. Wrong accounts, wrong secrets and links that have ended are told the same.
pub(in crate::web) fn open(ask: &Ask<'_>, account: &str, shown: &str) -> Result<(), Problem> {
    let account = account_of(account.trim()).unwrap_or_default();
    let guess = guesses(ask, &account);
    let attempted = held(&ask.site.throttle).attempt(&guess, ask.now_ms);
    attempted.map_err(|wait_ms| {
        let told = refuse(ask, "too many attempts");
        if told.kind == Kind::Broken { told } else { Problem::new(Kind::TooManyAttempts).after_ms(wait_ms) }
    })?;
    let digest = secret::digest(Secret::EmployeeLink, shown);
    let db = ask.derived()?;
    let accounts = links::accounts_with(db, &account)?;
    let known = links::held(db, &accounts)?.filter(|known| known.account == account);
    let fits =
        |link: &Link| link.secret == digest.to_string() && link.opened_ms.is_none() && ask.now_ms < link.until_ms;
    let Some(known) = known.filter(|known| fits(&known.link)) else { return Err(refuse(ask, "employee link")) };
    if !held(&ask.site.visits).opens(digest, known.link.until_ms, ask.now_ms) {
        return Err(refuse(ask, "employee link"));
    }
    held(&ask.site.throttle).succeeded(&guess);
    let by = name_of(&account);
    let what = What::EmployeeLink { account: account.clone(), deed: Deed::Open(known.link) };
    let entries = ask.have_done_by(&by, what, "")?;
    ask.note(&by, Did::SignedIn, &account, "", 0)?;
    ask.until_shown(&entries)?;
    let begun = Held { account, link: digest.to_string(), began_ms: ask.now_ms, seen_ms: ask.now_ms, read: None };
    let cookie = held(&ask.site.visits).begin(begun, ask.now_ms)?;
    ask.set_cookie(ask.site.cookie_of(cookie_name(ask), &cookie, None));
    Ok(())
}

/// Whom a guess is counted for. An address of this machine is a proxy's, and so everybody's.
fn guesses(ask: &Ask<'_>, account: &str) -> Vec<Who> {
    let mut guesses = vec![Who::Name(name_of(account))];
    let net = net_of(ask.heard.address);
    if !net.is_loopback() {
        guesses.push(Who::Address(net));
    }
    guesses
}

/// Notes a refusal, as far as there is room for entries about them. Whom it was tried for is not said: it may be anybody's guess.
fn refuse(ask: &Ask<'_>, what: &str) -> Problem {
    let entry = held(&ask.site.refusals).count(ask.now_ms);
    let noted = entry.map_or(Ok(()), |of| ask.note("unknown", Did::Refused, what, "", of));
    noted.err().unwrap_or(Problem::new(Kind::WrongCredentials))
}

/// Who looks, by their cookie: as long as the link they came by counts.
pub(in crate::web) fn visit(ask: &Ask<'_>) -> Result<Option<Visit>, Problem> {
    let Some(cookie) = ask.cookie(cookie_name(ask)) else { return Ok(None) };
    let digest = secret::digest(Secret::EmployeeSession, cookie);
    let (account, link, began_ms) = {
        let mut visits = held(&ask.site.visits);
        let Some(known) = visits.held.get_mut(&digest) else { return Ok(None) };
        if !known.is_alive(ask.now_ms) {
            visits.held.remove(&digest);
            return Ok(None);
        }
        known.seen_ms = ask.now_ms;
        (known.account.clone(), known.link.clone(), known.began_ms)
    };
    let accounts = links::accounts_with(ask.derived()?, &account)?;
    let counts =
        links::held(ask.derived()?, &accounts)?.is_some_and(|now| now.account == account && now.link.secret == link);
    if !counts {
        held(&ask.site.visits).held.remove(&digest);
        return Ok(None);
    }
    Ok(Some(Visit { account, accounts, cookie: cookie.to_owned(), until_ms: began_ms + LIFE_MS }))
}

/// Somebody leaves.
pub(in crate::web) fn leave(ask: &Ask<'_>, visit: &Visit) -> Result<(), Problem> {
    held(&ask.site.visits).held.remove(&secret::digest(Secret::EmployeeSession, &visit.cookie));
    ask.note(&name_of(&visit.account), Did::SignedOut, &visit.account, "", 0)?;
    ask.set_cookie(ask.site.cookie_of(cookie_name(ask), "", Some(0)));
    Ok(())
}

/// A form that does not carry the mark of this visit was not made here.
pub(in crate::web) fn refuse_unmarked(ask: &Ask<'_>, visit: &Visit) -> Result<(), Problem> {
    auth::refuse_without_mark_of(&ask.heard, &visit.cookie)
}

/// What was told about whoever looks. It is read anew at most once a minute for each of them, and for one of them at a time.
pub(in crate::web) fn told(ask: &Ask<'_>, visit: &Visit) -> Result<Arc<About>, Problem> {
    let digest = secret::digest(Secret::EmployeeSession, &visit.cookie);
    let kept = || {
        let visits = held(&ask.site.visits);
        let (read_ms, of, about) = visits.held.get(&digest)?.read.as_ref()?;
        let is_fresh = *of == visit.accounts && ask.now_ms.saturating_sub(*read_ms) < FRESH_MS;
        is_fresh.then(|| Arc::clone(about))
    };
    if let Some(kept) = kept() {
        return Ok(kept);
    }
    let _turn = held(&ask.site.reading);
    if let Some(kept) = kept() {
        return Ok(kept);
    }
    let read = Arc::new(about(ask.derived()?, &visit.accounts, ask.now_ms - SENT_DAYS * DAY_MS)?);
    if let Some(known) = held(&ask.site.visits).held.get_mut(&digest) {
        known.read = Some((ask.now_ms, visit.accounts.clone(), Arc::clone(&read)));
    }
    Ok(read)
}
