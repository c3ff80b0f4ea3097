//! Turns: how many requests are looked at at the same time, of all and of one operator, so that one script does not keep
//! the others waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use watchpost_proto::Digest;

use super::held;
use super::problem::{Kind, Problem};

/// Requests that are looked at at the same time; further ones wait.
const AT_ONCE_MAX: usize = 32;
/// Those of one operator.
const OF_ONE_MAX: usize = 4;
/// Passwords that are looked at at the same time: each takes 19 MiB.
const PASSWORDS_AT_ONCE_MAX: usize = 4;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// Operators and tokens that are remembered.
const REMEMBERED_MAX: usize = 10_000;

/// All turns.
#[derive(Debug)]
pub(in crate::web) struct Turns {
    all: Arc<Semaphore>,
    passwords: Arc<Semaphore>,
    own: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Whose a token is, as far as it came in already.
    owners: Mutex<HashMap<Digest, String>>,
}

/// A turn, until what it is for has ended.
#[derive(Debug)]
pub(in crate::web) struct Turn {
    _own: Option<OwnedSemaphorePermit>,
    _all: OwnedSemaphorePermit,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            passwords: Arc::new(Semaphore::new(PASSWORDS_AT_ONCE_MAX)),
            own: Mutex::default(),
            owners: Mutex::default(),
        }
    }
}

impl Turns {
    /// Waits for a turn. Whoever has all of theirs waits before they take one of everybody's.
    pub(in crate::web) async fn take(&self, of: Option<&str>, is_costly: bool) -> Result<Turn, Problem> {
        let all = if is_costly { &self.passwords } else { &self.all };
        let turn = async {
            let own = match of {
                Some(name) => Some(self.own(name).acquire_owned().await.ok()?),
                None => None,
            };
            Some(Turn { _own: own, _all: Arc::clone(all).acquire_owned().await.ok()? })
        };
        let turn = tokio::time::timeout(PATIENCE, turn).await;
        turn.ok().flatten().ok_or(Problem::new(Kind::Busy))
    }

    fn own(&self, name: &str) -> Arc<Semaphore> {
        let mut own = held(&self.own);
        if own.len() >= REMEMBERED_MAX {
            own.retain(|_, turns| Arc::strong_count(turns) > 1);
        }
        Arc::clone(own.entry(name.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(OF_ONE_MAX))))
    }

    /// Whose turns a token takes: its owner's, or as long as nobody knows them its own.
    pub(in crate::web) fn owner(&self, token: &Digest) -> String {
        held(&self.owners).get(token).cloned().unwrap_or_else(|| token.to_string())
    }

    /// From now on this token takes turns of this operator.
    pub(in crate::web) fn belongs(&self, token: Digest, to: &str) {
        let mut owners = held(&self.owners);
        if owners.len() >= REMEMBERED_MAX {
            owners.clear();
        }
        owners.entry(token).or_insert_with(|| to.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A turn that is there at once.
    async fn at_once(turns: &Turns, of: &str) -> Option<Turn> {
        tokio::select! {
            biased;
            turn = turns.take(Some(of), false) => turn.ok(),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn one_operator_does_not_take_the_turns_of_all() {
        let turns = Turns::default();
        let token = Digest([7; 32]);
        turns.belongs(token, "li");
        let mut taken = Vec::new();
        for _ in 0..AT_ONCE_MAX {
            taken.extend(at_once(&turns, "li").await);
            taken.extend(at_once(&turns, &turns.owner(&token)).await);
        }
        assert_eq!(taken.len(), OF_ONE_MAX);
        assert!(at_once(&turns, "wang").await.is_some(), "others have theirs");
        taken.pop();
        assert!(at_once(&turns, "li").await.is_some(), "one has ended");
    }
}
