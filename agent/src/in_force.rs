//! What exports are looked at with. It changes between two transactions while the agent runs, and never within one.

use std::sync::{Arc, PoisonError, RwLock};

use watchpost_policy::accounts::Accounts;
use watchpost_policy::engine::Engine;
use watchpost_policy::rules::Disclose;
use watchpost_proto::Digest;

/// Rules, accounts and limits, from one switch to the next.
#[derive(Debug)]
pub struct InForce {
    /// Packs and accounts, compiled.
    pub engine: Engine,
    /// What every record names as its policy: the digest of a signed policy's header, or that of the packs where there is none.
    pub policy: Digest,
    /// The version of the signed policy; 0 where there is none.
    pub version: u64,
    /// The version of the roster; 0 where there is none.
    pub roster_version: u64,
    /// The roster in force has everybody: who is not in it is nobody the company knows.
    pub knows_all: bool,
    /// A roster is to come and has not: until then nobody can say who is managed, and nothing is read.
    pub awaits_roster: bool,
    /// The most that any rule may disclose: as far as the device and the policy both allow.
    pub ceiling: Disclose,
    /// Own accounts that the roster does not know are told of as pseudonym and count.
    pub report_unknown_accounts: bool,
}

impl InForce {
    /// What the device's own files say.
    #[must_use]
    pub fn of_files(engine: Engine, ceiling: Disclose) -> Self {
        let policy = Digest(engine.digest().0);
        Self {
            engine,
            policy,
            version: 0,
            roster_version: 0,
            knows_all: false,
            awaits_roster: false,
            ceiling,
            report_unknown_accounts: false,
        }
    }

    /// The same rules for whoever `accounts` say is managed.
    #[must_use]
    pub fn for_accounts(&self, accounts: &Scope) -> Self {
        Self {
            engine: self.engine.with_accounts(accounts.accounts.clone()),
            policy: self.policy,
            version: self.version,
            roster_version: accounts.roster_version,
            knows_all: accounts.knows_all,
            awaits_roster: accounts.awaits_roster,
            ceiling: self.ceiling,
            report_unknown_accounts: self.report_unknown_accounts,
        }
    }

    /// Who is managed.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope {
            accounts: self.engine.shared_accounts(),
            roster_version: self.roster_version,
            knows_all: self.knows_all,
            awaits_roster: self.awaits_roster,
        }
    }
}

/// Whose messages are looked at, and by what that is known.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// `None` where everybody's are.
    pub accounts: Option<Arc<Accounts>>,
    /// As in [`InForce`].
    pub roster_version: u64,
    /// As in [`InForce`].
    pub knows_all: bool,
    /// As in [`InForce`].
    pub awaits_roster: bool,
}

/// Where everybody looks up what is in force.
#[derive(Debug)]
pub struct Switch(RwLock<Arc<InForce>>);

impl Switch {
    /// Begins with this.
    #[must_use]
    pub fn new(first: InForce) -> Self {
        Self(RwLock::new(Arc::new(first)))
    }

    /// What is in force now. Whoever needs several parts of it to fit asks once.
    #[must_use]
    pub fn now(&self) -> Arc<InForce> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts something else in force, for whatever begins from now on.
    pub fn turn(&self, next: impl FnOnce(&InForce) -> InForce) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *held = Arc::new(next(&held));
    }
}
