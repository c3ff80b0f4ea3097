//! How long whoever guesses has to wait. Pure: the time is passed in.
//!
//! Guesses are counted for the name they are made for and for the address they come from. Whoever came in before with
//! the same browser is counted apart from all others of that name, so that a stranger who guesses without end keeps
//! out only strangers. An attempt is counted before the password is looked at: many at once are no way around.

use std::collections::HashMap;
use std::net::IpAddr;

/// Whoever may have to wait.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Strangers who say a name.
    Name(String),
    /// A browser that somebody of this name came in with before.
    Browser(String, [u8; 16]),
    /// Everybody behind an address.
    Address(IpAddr),
}

/// Whom attempts from an address are counted for: of IPv6 everybody has a network of their own, of 64 bits.
#[must_use]
pub fn net_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) if !six.is_loopback() => {
            let [a, b, c, d, ..] = six.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        other => other,
    }
}

/// How many attempts are free, and the longest wait, milliseconds.
impl Who {
    fn bounds(&self) -> (u32, i64) {
        match self {
            // Short, for the one whom it keeps out as well.
            Self::Name(_) => (5, 60_000),
            Self::Browser(..) => (5, 15 * 60_000),
            // Many people may be behind one.
            Self::Address(_) => (30, 15 * 60_000),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Attempts {
    count: u32,
    last_ms: i64,
}

/// Attempts that did not succeed.
#[derive(Debug)]
pub struct Throttle {
    attempts: HashMap<Who, Attempts>,
    room: usize,
}

/// After so long without an attempt nothing is held against anybody.
const FORGIVEN_MS: i64 = 24 * 60 * 60 * 1000;
/// Names and addresses that are remembered.
const REMEMBERED_MAX: usize = 10_000;

impl Default for Throttle {
    fn default() -> Self {
        Self::with_room(REMEMBERED_MAX)
    }
}

impl Throttle {
    /// One that remembers so many.
    #[must_use]
    pub fn with_room(room: usize) -> Self {
        Self { attempts: HashMap::new(), room: room.max(1) }
    }

    /// Counts an attempt; or says how long to wait, and counts nothing.
    ///
    /// # Errors
    /// Milliseconds to wait.
    pub fn attempt(&mut self, of: &[Who], now_ms: i64) -> Result<(), i64> {
        let wait_ms = of.iter().map(|who| self.wait_ms(who, now_ms)).max().unwrap_or(0);
        if wait_ms > 0 {
            return Err(wait_ms);
        }
        for who in of {
            self.make_room(now_ms);
            let attempts = self.attempts.entry(who.clone()).or_insert(Attempts { count: 0, last_ms: now_ms });
            attempts.count = attempts.count.saturating_add(1);
            attempts.last_ms = now_ms;
        }
        Ok(())
    }

    /// The attempt counted last has succeeded.
    pub fn succeeded(&mut self, of: &[Who]) {
        for who in of {
            if matches!(who, Who::Address(_)) {
                // Of an address only this one is forgiven: whoever has a login of their own guesses no more often for it.
                if let Some(attempts) = self.attempts.get_mut(who) {
                    attempts.count = attempts.count.saturating_sub(1);
                }
            } else {
                self.attempts.remove(who);
            }
        }
    }

    fn wait_ms(&self, who: &Who, now_ms: i64) -> i64 {
        let Some(attempts) = self.attempts.get(who) else { return 0 };
        let (free, longest_ms) = who.bounds();
        let Some(over) = attempts.count.checked_sub(free) else { return 0 };
        let wait_ms = 1_000_i64.saturating_mul(1 << over.min(20)).min(longest_ms);
        // A clock that was set back makes nobody wait for longer.
        let since_ms = now_ms.saturating_sub(attempts.last_ms).max(0);
        if since_ms > FORGIVEN_MS { 0 } else { (wait_ms - since_ms).max(0) }
    }

    fn make_room(&mut self, now_ms: i64) {
        if self.attempts.len() < self.room {
            return;
        }
        self.attempts.retain(|_, attempts| now_ms.saturating_sub(attempts.last_ms) <= FORGIVEN_MS);
        // Whoever floods it with names pushes out names with as few attempts, not the one that is guessed at.
        while self.attempts.len() >= self.room {
            let least = self.attempts.iter().min_by_key(|(_, attempts)| (attempts.count, attempts.last_ms));
            let Some(least) = least.map(|(who, _)| who.clone()) else { return };
            self.attempts.remove(&least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Who {
        Who::Name("li".into())
    }

    /// Attempts that come through within a day, of one who never stops trying.
    fn within_a_day(of: &[Who]) -> usize {
        let (mut throttle, mut now_ms, mut through) = (Throttle::default(), 0, 0);
        while now_ms < 24 * 60 * 60 * 1000 {
            match throttle.attempt(of, now_ms) {
                Ok(()) => through += 1,
                Err(wait_ms) => now_ms += wait_ms,
            }
        }
        through
    }

    #[test]
    fn a_network_of_the_new_kind_is_one_address_and_a_mapped_one_is_the_old() {
        let net = |text: &str| net_of(text.parse().unwrap()).to_string();
        assert_eq!(net("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(net("2001:db8:1:2:ffff::"), net("2001:db8:1:2::9"));
        assert_ne!(net("2001:db8:1:3::9"), net("2001:db8:1:2::9"));
        assert_eq!(net("::ffff:192.0.2.7"), "192.0.2.7");
        assert!(
            net_of("::ffff:127.0.0.1".parse().unwrap()).is_loopback() && net_of("::1".parse().unwrap()).is_loopback()
        );
    }

    #[test]
    fn waits_grow_and_have_an_end() {
        let mut throttle = Throttle::default();
        let mut waits = Vec::new();
        let mut now_ms = 0;
        while waits.len() < 9 {
            if let Err(wait_ms) = throttle.attempt(&[name()], now_ms) {
                waits.push(wait_ms / 1000);
                now_ms += wait_ms;
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn few_guesses_come_through_in_a_day() {
        assert!(within_a_day(&[name()]) < 1_500, "{}", within_a_day(&[name()]));
        let address = Who::Address([192, 0, 2, 1].into());
        assert!(within_a_day(&[name(), address]) < 150);
    }

    #[test]
    fn a_stranger_who_guesses_keeps_out_no_browser_that_is_known() {
        let mut throttle = Throttle::default();
        let mut now_ms = 0;
        for _ in 0..50 {
            now_ms += throttle.attempt(&[name()], now_ms).err().unwrap_or(0);
        }
        let known = Who::Browser("li".into(), [1; 16]);
        assert_eq!(throttle.attempt(std::slice::from_ref(&known), now_ms), Ok(()));
        throttle.succeeded(&[known]);
        while throttle.attempt(&[name()], now_ms).is_ok() {}
        assert!(throttle.attempt(&[name()], now_ms).is_err(), "the stranger still waits");
    }

    #[test]
    fn who_comes_in_with_a_login_of_their_own_guesses_no_more_often() {
        let (mut throttle, address) = (Throttle::default(), Who::Address([192, 0, 2, 1].into()));
        let mut guesses = 0;
        for _ in 0..1000 {
            let guess = [Who::Name(format!("victim{guesses}")), address.clone()];
            guesses += usize::from(throttle.attempt(&guess, 0).is_ok());
            let own = [Who::Name("own".into()), address.clone()];
            if throttle.attempt(&own, 0).is_ok() {
                throttle.succeeded(&own);
            }
        }
        assert!(guesses <= 31, "{guesses}");
    }

    #[test]
    fn a_flood_of_names_does_not_wash_away_what_is_held_against_one() {
        let mut throttle = Throttle::with_room(100);
        for _ in 0..7 {
            let _ = throttle.attempt(&[name()], 0);
        }
        for number in 0..1_000 {
            let _ = throttle.attempt(&[Who::Name(number.to_string())], 0);
        }
        assert!(throttle.attempt(&[name()], 0).is_err());
        assert!(throttle.attempts.len() <= 100);
    }
}
