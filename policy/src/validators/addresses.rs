//! E-mail and web addresses.

use super::glyphs::Glyphs;
use super::{Found, narrow};

/// Longest part before the `@`, and longest domain, of RFC 5321.
const LOCAL_MAX: usize = 64;
const DOMAIN_MAX: usize = 255;
/// Longest web address that is followed to its end.
const URL_MAX: usize = 2_048;

/// Top-level domains a bare host is believed to be under.
const USUAL_DOMAINS: [&str; 22] = [
    "com", "cn", "net", "org", "top", "xyz", "vip", "cc", "info", "shop", "site", "club", "online", "store", "icu",
    "ltd", "io", "app", "tech", "fun", "link", "hk",
];

pub(super) fn emails(glyphs: &Glyphs) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for at in (0..glyphs.len()).filter(|at| glyphs.c(*at) == '@') {
        let local =
            back(glyphs, at, LOCAL_MAX, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-'));
        let first = (local..at).find(|index| glyphs.c(*index).is_ascii_alphanumeric());
        let end = forth(glyphs, at + 1, DOMAIN_MAX, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
        let (Some(first), Some(end)) = (first, domain_end(glyphs, at + 1, end)) else { continue };
        let place = glyphs.found(first, end);
        found.extend(place.filter(|place| found.last().is_none_or(|last| place.start >= last.end)));
    }
    found
}

/// The end of the longest front of a stretch that is a domain with a top-level domain of letters.
fn domain_end(glyphs: &Glyphs, first: usize, end: usize) -> Option<usize> {
    let text = glyphs.text(first, end);
    let text = text.trim_end_matches(['.', '-']);
    let mut labels = text.split('.');
    let top = text.rsplit('.').next()?;
    let good = text.contains('.')
        && labels.all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
        && (2..=24).contains(&top.len())
        && top.bytes().all(|b| b.is_ascii_alphabetic());
    good.then_some(first + text.len())
}

pub(super) fn urls(glyphs: &Glyphs) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < glyphs.len() {
        match url_at(glyphs, at) {
            Some(end) => {
                found.extend(glyphs.found(at, end));
                at = end;
            }
            None => at += 1,
        }
    }
    found
}

/// The end of a web address that begins here.
fn url_at(glyphs: &Glyphs, at: usize) -> Option<usize> {
    let begins = !matches!(glyphs.before(at), '@' | '.' | '-' | '_') && !glyphs.before(at).is_ascii_alphanumeric();
    if !begins || !glyphs.c(at).is_ascii_alphanumeric() {
        return None;
    }
    let host = ["https://", "http://", "ftp://"]
        .iter()
        .find(|scheme| glyphs.text(at, at + scheme.len()) == **scheme)
        .map_or(at, |scheme| at + scheme.len());
    // Behind a scheme stands whatever is no path: who may come in, and the host behind an `@`.
    let is_host = |c: char| {
        let also = matches!(c, '@' | '_' | '%' | '~' | '!' | '$' | '&' | '+' | '=') && host > at;
        c.is_ascii_alphanumeric() || matches!(c, '.' | '-') || also
    };
    let host_end = forth(glyphs, host, DOMAIN_MAX, is_host);
    let name = glyphs.text(host, host_end);
    let named = if host > at { name.contains('.') } else { name.starts_with("www.") || is_usual(&name) };
    // What looks like a host before an `@` is the beginning of an e-mail address.
    if !named || (host == at && glyphs.c(host_end) == '@') {
        return None;
    }
    let end = forth(glyphs, host_end, URL_MAX, |c| {
        c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
    });
    let end = if host_end < end && !matches!(glyphs.c(host_end), '/' | ':' | '?' | '#') { host_end } else { end };
    // A sentence goes on behind the address.
    let last = (host..end)
        .rev()
        .find(|index| !matches!(glyphs.c(*index), '.' | ',' | ';' | ':' | '!' | '?' | '\'' | ')' | ']' | '-'))?;
    Some(last + 1)
}

/// Whether a bare name is a host under a usual top-level domain.
fn is_usual(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let labels = name.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'));
    labels && name.split_once('.').is_some() && USUAL_DOMAINS.contains(&name.rsplit('.').next().unwrap_or_default())
}

/// The host of a web address, in lower case.
#[must_use]
pub fn host_of(url: &str) -> Option<String> {
    let text = narrow(url.trim());
    let rest = text.split_once("://").map_or(text.as_str(), |parts| parts.1);
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?.trim_end_matches('.');
    let good = host.contains('.') && host.len() <= DOMAIN_MAX && !host.contains(char::is_whitespace);
    good.then(|| host.to_owned())
}

fn back(glyphs: &Glyphs, from: usize, most: usize, is: impl Fn(char) -> bool) -> usize {
    (from.saturating_sub(most)..from).rev().take_while(|index| is(glyphs.c(*index))).last().unwrap_or(from)
}

fn forth(glyphs: &Glyphs, from: usize, most: usize, is: impl Fn(char) -> bool) -> usize {
    (from..glyphs.len().min(from + most)).find(|index| !is(glyphs.c(*index))).unwrap_or(glyphs.len().min(from + most))
}
