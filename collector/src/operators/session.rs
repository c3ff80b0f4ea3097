//! Who is signed in, in memory alone: a restart signs everybody out. Also the browsers somebody came in with before.

use std::collections::HashMap;
use std::path::Path;
use std::{fs, io};

use anyhow::Context as _;
use aws_lc_rs::hmac;
use watchpost_proto::Digest;

use super::secret::{self, Kind};
use crate::durable_file::{self, Access};

/// However busy, a session ends after a day's work.
const LIFE_MS: i64 = 8 * 60 * 60 * 1000;
/// One that nobody uses ends sooner.
const IDLE_MS: i64 = 30 * 60 * 1000;
/// Sessions of one operator; the oldest makes room.
const PER_OPERATOR_MAX: usize = 16;
/// Sessions of all; the oldest makes room.
const SESSIONS_MAX: usize = 10_000;

/// One who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Login name.
    pub operator: String,
    /// Since when, milliseconds since 1970.
    pub began_ms: i64,
    /// The entry that said last how the operator stands; the session ends with the next.
    pub changed: u64,
    seen_ms: i64,
}

/// Everyone who is signed in, by the digest of their cookie.
#[derive(Debug, Default)]
pub struct Sessions {
    held: HashMap<Digest, Session>,
}

impl Sessions {
    /// Signs somebody in; returns the cookie, which is always a new one.
    ///
    /// # Errors
    /// No random numbers.
    pub fn begin(&mut self, operator: &str, changed: u64, now_ms: i64) -> anyhow::Result<String> {
        let (cookie, digest) = secret::make(Kind::Session)?;
        self.held.retain(|_, session| session.is_alive(now_ms));
        let own = |session: &Session| session.operator == operator;
        if self.held.values().filter(|session| own(session)).count() >= PER_OPERATOR_MAX {
            self.end_oldest(own);
        }
        if self.held.len() >= SESSIONS_MAX {
            self.end_oldest(|_| true);
        }
        let session = Session { operator: operator.to_owned(), began_ms: now_ms, changed, seen_ms: now_ms };
        self.held.insert(digest, session);
        Ok(cookie)
    }

    /// Whose cookie this is, if it still counts. With `used` it was used by a person, and is idle from now on.
    pub fn of(&mut self, cookie: &str, used: bool, now_ms: i64) -> Option<Session> {
        let digest = secret::digest(Kind::Session, cookie);
        let session = self.held.get_mut(&digest)?;
        if !session.is_alive(now_ms) {
            self.held.remove(&digest);
            return None;
        }
        if used {
            session.seen_ms = now_ms;
        }
        Some(session.clone())
    }

    /// Signs out; says who it was.
    pub fn end(&mut self, cookie: &str) -> Option<Session> {
        self.held.remove(&secret::digest(Kind::Session, cookie))
    }

    fn end_oldest(&mut self, of: impl Fn(&Session) -> bool) {
        let fitting = self.held.iter().filter(|(_, session)| of(session));
        if let Some(oldest) = fitting.min_by_key(|(_, session)| session.seen_ms).map(|(digest, _)| *digest) {
            self.held.remove(&oldest);
        }
    }
}

impl Session {
    fn is_alive(&self, now_ms: i64) -> bool {
        let within = |since_ms: i64, life_ms: i64| (0..life_ms).contains(&now_ms.saturating_sub(since_ms));
        // A clock that was set back by a little ends nothing; one that was set back by much does.
        let now_or_then = |since_ms: i64| now_ms.saturating_add(60_000) >= since_ms && now_ms < since_ms;
        (within(self.began_ms, LIFE_MS) || now_or_then(self.began_ms))
            && (within(self.seen_ms, IDLE_MS) || now_or_then(self.seen_ms))
    }
}

/// Recognises browsers that somebody came in with before.
#[derive(Debug)]
pub struct Browsers {
    key: hmac::Key,
}

impl Browsers {
    /// With the key in this file, which is made where there is none: a restart makes nobody a stranger.
    ///
    /// # Errors
    /// The file, or no random numbers.
    pub fn kept(path: &Path) -> anyhow::Result<Self> {
        let kept = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => <[u8; 32]>::try_from(read.with_context(|| path.display().to_string())?).ok(),
        };
        let key = match kept {
            Some(key) => key,
            None => {
                let mut key = [0_u8; 32];
                getrandom::fill(&mut key).context("no random numbers from the system")?;
                durable_file::write(path, &key, Access::Secret)?;
                key
            }
        };
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key) })
    }

    /// A cookie that says that this operator came in here.
    ///
    /// # Errors
    /// No random numbers.
    pub fn remember(&self, operator: &str) -> anyhow::Result<String> {
        let mut number = [0_u8; 16];
        getrandom::fill(&mut number).context("no random numbers from the system")?;
        let tag = hmac::sign(&self.key, &[&number[..], operator.as_bytes()].concat());
        Ok(format!("{}{}", hex::encode(number), hex::encode(tag)))
    }

    /// The number of the browser, if this operator came in with it.
    #[must_use]
    pub fn known(&self, operator: &str, cookie: &str) -> Option<[u8; 16]> {
        let bytes = hex::decode(cookie).ok()?;
        let (number, tag) = bytes.split_at_checked(16)?;
        hmac::verify(&self.key, &[number, operator.as_bytes()].concat(), tag).ok()?;
        number.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    #[test]
    fn a_session_ends_when_nobody_uses_it_and_at_the_end_of_the_day() {
        let mut sessions = Sessions::default();
        let idle = sessions.begin("li", 1, 0).unwrap();
        assert!(sessions.of(&idle, false, 29 * MINUTE).is_some(), "looked at, not used");
        assert!(sessions.of(&idle, false, 30 * MINUTE).is_none());
        assert!(sessions.of(&idle, false, 0).is_none(), "gone for good");

        let busy = sessions.begin("li", 1, 0).unwrap();
        for minute in 0..(8 * 60) {
            assert!(sessions.of(&busy, true, minute * MINUTE).is_some(), "{minute}");
        }
        assert!(sessions.of(&busy, true, 8 * 60 * MINUTE).is_none());
    }

    #[test]
    fn each_sign_in_has_a_cookie_of_its_own_and_only_digests_are_kept() {
        let mut sessions = Sessions::default();
        let (one, other) = (sessions.begin("li", 1, 0).unwrap(), sessions.begin("li", 1, 0).unwrap());
        assert_ne!(one, other);
        assert!(!format!("{sessions:?}").contains(&one));
        assert_eq!(sessions.end(&one).unwrap().operator, "li");
        assert!(sessions.of(&one, true, 0).is_none());
        assert!(sessions.of(&other, true, 0).is_some());
        assert!(sessions.of("wps_", true, 0).is_none());
    }

    #[test]
    fn one_operator_has_so_many_sessions_and_no_more() {
        let mut sessions = Sessions::default();
        let others = sessions.begin("wang", 1, 0).unwrap();
        let first = sessions.begin("li", 1, 1).unwrap();
        for number in 0..PER_OPERATOR_MAX {
            sessions.begin("li", 1, 2 + number as i64).unwrap();
        }
        assert!(sessions.of(&first, true, 20).is_none());
        assert!(sessions.of(&others, true, 20).is_some());
    }

    #[test]
    fn a_browser_is_known_for_whom_it_was_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let kept = |name: &str| Browsers::kept(&folder.path().join(name)).unwrap();
        let browsers = kept("key");
        let cookie = browsers.remember("li").unwrap();
        assert!(browsers.known("li", &cookie).is_some());
        assert!(browsers.known("wang", &cookie).is_none());
        assert!(kept("key").known("li", &cookie).is_some(), "also after a restart");
        assert!(kept("other").known("li", &cookie).is_none());
        for wrong in ["", "zz", &cookie[..32], &cookie[1..]] {
            assert!(browsers.known("li", wrong).is_none(), "{wrong}");
        }
    }
}
