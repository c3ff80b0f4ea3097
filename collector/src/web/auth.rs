//! Who a request is from: by cookie or by token, and whether a foreign page made the browser send it.

use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use rusqlite::Connection;
use watchpost_proto::Digest;
use watchpost_proto::digest::hash;

use super::ask::Heard;
use super::problem::{Kind, Problem};
use super::route::{HTML, Route};
use super::{Site, held};
use crate::log_store::{self, OperatorFacts};
use crate::operators::secret::{self, Kind as Secret};
use crate::operators::{Act, Operator, may, operator_of};

/// The cookie of a session, over TLS: browsers take it from this host alone.
pub const SESSION_COOKIE: &str = "__Host-watchpost";
/// The same on loopback.
pub const SESSION_COOKIE_PLAIN: &str = "watchpost";
/// The cookie of a browser somebody came in with before.
pub const KNOWN_COOKIE: &str = "watchpost-known";
/// A header that no foreign page can send along.
pub const CSRF_HEADER: &str = "x-watchpost";

/// The field of a form that holds the mark of the session.
pub(in crate::web) const MARK_FIELD: &str = "mark";
/// A header of requests that a page makes by itself.
pub(in crate::web) const QUIET_HEADER: &str = "x-watchpost-quiet";

const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// Nothing but our own files, nothing inline. Without a referrer browsers would hide where a form comes from.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Entries about refusals in a row, and how long until there may be one more, milliseconds.
const REFUSALS_MAX: i64 = 20;
const REFUSAL_EVERY_MS: i64 = 30_000;

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(in crate::web) struct Caller {
    pub(in crate::web) operator: Operator,
    /// Their session; none where they came with a token.
    pub(in crate::web) cookie: Option<String>,
    /// Of a token: what it may.
    scopes: Option<Vec<Act>>,
}

impl Caller {
    /// Whether the way they came in by covers it.
    pub(in crate::web) fn covers(&self, act: Act) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| act.is_for_tokens() && scopes.contains(&act))
    }
}

/// Who it is, if they may come this way at all; nobody where anybody may.
pub(in crate::web) fn admit(
    site: &Site,
    route: &Route,
    heard: &Heard,
    log: &Connection,
    now_ms: i64,
) -> Result<Option<Caller>, Problem> {
    refuse_another_name(site, heard)?;
    let by_token = !route.is_page && heard.parts.headers.contains_key(AUTHORIZATION);
    if !by_token {
        refuse_foreign(site, heard, route)?;
    }
    let Some(act) = route.act else { return Ok(None) };
    let caller = if by_token { by_token_of(site, heard, log, now_ms)? } else { by_cookie(site, heard, log, now_ms)? };
    let caller = caller.ok_or(Problem::new(Kind::NotSignedIn))?;
    if route.is_page && !heard.parts.method.is_safe() {
        refuse_unmarked(heard, &caller)?;
    }
    if !caller.covers(act) {
        return Err(Problem::new(Kind::NotAllowed).because(format!("the token does not cover {}", act.as_str())));
    }
    if !may(&caller.operator, act, None, now_ms) {
        return Err(Problem::new(Kind::NotAllowed).because(what_is_missing(&caller.operator, act)));
    }
    Ok(Some(caller))
}

fn what_is_missing(operator: &Operator, act: Act) -> String {
    if operator.grant.role.needs_totp() && !operator.totp {
        return "an administrator first sets up one-time codes: POST /api/v1/session/totp".into();
    }
    format!("{} does not include {}", operator.grant.role.as_str(), act.as_str())
}

/// Looks once more whether somebody is still signed in, without counting as use.
pub(in crate::web) fn still(
    site: &Site,
    act: Act,
    heard: &Heard,
    log: &Connection,
    now_ms: i64,
) -> Result<bool, Problem> {
    let caller = if heard.parts.headers.contains_key(AUTHORIZATION) {
        by_token_of(site, heard, log, now_ms)?
    } else {
        signed_in(site, heard, log, false, now_ms)?
    };
    Ok(caller.is_some_and(|caller| caller.covers(act) && may(&caller.operator, act, None, now_ms)))
}

fn by_cookie(site: &Site, heard: &Heard, log: &Connection, now_ms: i64) -> Result<Option<Caller>, Problem> {
    // A page that looks for news by itself is nobody who uses it.
    let is_used = !heard.parts.headers.contains_key(QUIET_HEADER);
    signed_in(site, heard, log, is_used, now_ms)
}

/// What forms carry: whoever knows it was sent a page of this session.
pub(in crate::web) fn mark(cookie: &str) -> String {
    hash("watchpost/form", &[cookie.as_bytes()]).to_string()
}

/// A form that does not carry the mark of the session was not made here.
fn refuse_unmarked(heard: &Heard, caller: &Caller) -> Result<(), Problem> {
    refuse_without_mark_of(heard, caller.cookie.as_deref().unwrap_or_default())
}

/// The same, of a session or a visit with this cookie.
pub(in crate::web) fn refuse_without_mark_of(heard: &Heard, cookie: &str) -> Result<(), Problem> {
    let fields: Vec<(String, String)> = serde_html_form::from_bytes(&heard.body).unwrap_or_default();
    let shown = fields.iter().find(|(name, _)| name == MARK_FIELD).map(|(_, shown)| shown.as_bytes());
    let marked = mark(cookie);
    let is_own =
        shown.is_some_and(|shown| aws_lc_rs::constant_time::verify_slices_are_equal(shown, marked.as_bytes()).is_ok());
    let told =
        || Problem::new(Kind::CrossSite).because("the form is not of this session: reload the page and send it again");
    (is_own && !cookie.is_empty()).then_some(()).ok_or_else(told)
}

fn signed_in(site: &Site, heard: &Heard, log: &Connection, used: bool, now_ms: i64) -> Result<Option<Caller>, Problem> {
    let Some(cookie) = cookie(&heard.parts.headers, site.cookie_name()) else { return Ok(None) };
    let Some(session) = held(&site.sessions).of(cookie, used, now_ms) else { return Ok(None) };
    let facts = log_store::operator_facts(log, &session.operator)?;
    let Some(facts) = facts.filter(|facts| facts.changed == session.changed && !facts.disabled) else {
        // What they may do or how they come in has changed: they come in anew.
        held(&site.sessions).end(cookie);
        return Ok(None);
    };
    let operator = operator_of(log, facts)?;
    Ok(Some(Caller { operator, cookie: Some(cookie.to_owned()), scopes: None }))
}

fn by_token_of(site: &Site, heard: &Heard, log: &Connection, now_ms: i64) -> Result<Option<Caller>, Problem> {
    let Some(digest) = token_of(heard) else { return Ok(None) };
    let token = log_store::operator_token(log, &digest)?;
    let Some(token) = token.filter(|token| !token.withdrawn && now_ms < token.expires_ms) else { return Ok(None) };
    let facts: Option<OperatorFacts> = log_store::operator_facts(log, &token.operator)?;
    let Some(facts) = facts else { return Ok(None) };
    let operator = operator_of(log, facts)?;
    site.turns.belongs(digest, &operator.operator);
    let scopes = token.scopes.iter().filter_map(|word| Act::parse(word)).collect();
    Ok(operator.is_active().then_some(Caller { operator, cookie: None, scopes: Some(scopes) }))
}

fn token_of(heard: &Heard) -> Option<Digest> {
    let shown = heard.parts.headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
    Some(secret::digest(Secret::Token, shown))
}

/// Who it seems to be, before anybody looks into the log: whose turn it takes.
pub(in crate::web) fn says(site: &Site, heard: &Heard) -> Option<String> {
    if heard.parts.headers.contains_key(AUTHORIZATION) {
        return token_of(heard).map(|token| site.turns.owner(&token));
    }
    let cookie = cookie(&heard.parts.headers, site.cookie_name())?;
    held(&site.sessions).of(cookie, false, site.now_ms()).map(|session| session.operator)
}

/// Without TLS nothing but the name says that a browser means this machine: a foreign page may have a name of its own lead
/// here.
fn refuse_another_name(site: &Site, heard: &Heard) -> Result<(), Problem> {
    let host = heard.parts.headers.get(HOST).and_then(|value| value.to_str().ok());
    if site.is_secure || host.is_some_and(is_this_machine) {
        return Ok(());
    }
    Err(Problem::new(Kind::CrossSite).because("without TLS the console is at 127.0.0.1, [::1] or localhost alone"))
}

fn is_this_machine(host: &str) -> bool {
    let port = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let name = port.map_or(host, |(name, _)| name);
    ["127.0.0.1", "[::1]", "localhost"].iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// A page of another site can make a browser send a request, but not one with a header of its own choosing, and it cannot
/// hide where the request comes from.
fn refuse_foreign(site: &Site, heard: &Heard, route: &Route) -> Result<(), Problem> {
    let headers = &heard.parts.headers;
    let foreign = |why: &str| Err(Problem::new(Kind::CrossSite).because(why));
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return foreign("Sec-Fetch-Site names another site");
    }
    let scheme = if site.is_secure { "https" } else { "http" };
    let own = text(HOST.as_str()).map(|host| format!("{scheme}://{host}"));
    if text(ORIGIN.as_str()).is_some_and(|origin| own.as_deref() != Some(origin)) {
        return foreign("Origin is not this console");
    }
    if heard.parts.method.is_safe() {
        return Ok(());
    }
    // A form has no header of its own; a browser says where it comes from.
    let says = text(ORIGIN.as_str()).is_some() || text("sec-fetch-site") == Some("same-origin");
    if route.is_page && !says {
        return foreign("the browser does not say which page the form is from");
    }
    if !route.is_page && !headers.contains_key(CSRF_HEADER) {
        return foreign("the header X-Watchpost is missing");
    }
    Ok(())
}

/// The value of a cookie. Where there are several of one name, none counts: somebody may have put one there.
pub(in crate::web) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    values.next().filter(|_| values.next().is_none())
}

impl Site {
    pub(in crate::web) fn cookie_name(&self) -> &'static str {
        if self.is_secure { SESSION_COOKIE } else { SESSION_COOKIE_PLAIN }
    }

    /// A cookie that scripts of a page cannot read and other sites cannot have sent; ended at once where it is empty.
    pub(in crate::web) fn cookie_of(&self, name: &str, value: &str, life_s: Option<i64>) -> String {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let life = life_s.map(|life| format!("; Max-Age={life}")).unwrap_or_default();
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{life}")
    }
}

/// Headers of every answer: nobody keeps it, guesses its type, frames it, or loads anything for it.
pub(in crate::web) fn harden(mut response: Response, is_secure: bool) -> Response {
    let headers = response.headers_mut();
    let is_page = headers.get(CONTENT_TYPE).is_some_and(|kind| kind == HTML);
    let (policy, referrer) = if is_page { (PAGE_POLICY, "same-origin") } else { (POLICY, "no-referrer") };
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", policy),
        ("referrer-policy", referrer),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=(), payment=()"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if is_secure {
        let a_year = HeaderValue::from_static("max-age=31536000");
        headers.insert(HeaderName::from_static("strict-transport-security"), a_year);
    }
    response
}

/// How many refusals become entries: somebody who guesses all day must not fill the log. Each entry says for how many it
/// stands.
#[derive(Debug)]
pub(in crate::web) struct Refusals {
    room: i64,
    since_ms: i64,
    /// Those that have no entry yet.
    pub(in crate::web) untold: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { room: REFUSALS_MAX, since_ms: 0, untold: 0 }
    }
}

impl Refusals {
    /// Counts one; where an entry is to be made, the number it stands for.
    pub(in crate::web) fn count(&mut self, now_ms: i64) -> Option<u64> {
        self.untold = self.untold.saturating_add(1);
        let more = now_ms.saturating_sub(self.since_ms).div_euclid(REFUSAL_EVERY_MS);
        if more != 0 {
            self.room = self.room.saturating_add(more.max(0)).min(REFUSALS_MAX);
            self.since_ms = now_ms;
        }
        if self.room <= 0 {
            return None;
        }
        self.room -= 1;
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_do_not_fill_the_log_and_none_is_left_out() {
        let mut refusals = Refusals::default();
        let (mut entries, mut stood_for) = (0, 0);
        // A day of a hundred guesses a second.
        for second in 0..86_400_i64 {
            for _ in 0..100 {
                if let Some(of) = refusals.count(second * 1000) {
                    entries += 1;
                    stood_for += of;
                }
            }
        }
        assert!(entries <= 20 + 86_400 / 30 + 1, "{entries}");
        assert_eq!(stood_for + refusals.untold, 8_640_000);
    }

    #[test]
    fn of_two_cookies_of_one_name_none_counts() {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_static("a=1; watchpost=x;b=2"));
        assert_eq!(cookie(&headers, "watchpost"), Some("x"));
        headers.append(COOKIE, HeaderValue::from_static("watchpost=y"));
        assert_eq!(cookie(&headers, "watchpost"), None);
        assert_eq!(cookie(&headers, "c"), None);
    }
}
