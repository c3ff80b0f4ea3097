//! The roster on a device: taken from whoever brings it, checked, kept, put in force under the device's ceilings, told of.
//!
//! ```text
//! offer ─► fetch ─► signatures, order ─► rows and never list ─► kept on disk ─► in force ─► report
//!                        └──────────────────┴─ refused: the last good one stays, report ─┘
//! ```
//!
//! Whoever brings a roster need not be trusted: its key is pinned by the enrolment token, or by `[roster] key`. A device that manages
//! some accounts alone asks for those alone, and gets them with their proofs; the list of those who are never looked at comes whole.

mod bringing;
mod held;
mod told;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use watchpost_policy::accounts::{Accounts, Ceiling, Period};
use watchpost_proto::Digest;
use watchpost_proto::document::Signers;
use watchpost_proto::keys::KeyId;
use watchpost_proto::roster::{Head, ReadHeader, RosterError, check_all, check_never, check_some, follow};
use watchpost_proto::v1::{
    HeldRoster, Lane, RosterAnswer, RosterReport, RosterRequest, RosterRow, SignedRosterHeader, summary::Kind,
};

use crate::clock::Clock;
use crate::config::Config;
use crate::device::Device;
use crate::in_force::{Scope, Switch};
use crate::policy_files;
use crate::store::{Store, StoreError};
use crate::summary::MadeUnder;

pub use bringing::Bringing;
use held::Floor;

/// The version of the contract spoken here.
const PROTOCOL: u32 = 1;
/// Before one that was refused is asked for again, at first and at most: whoever brought it may have spoilt it, and another may not.
const REFUSED_PAUSE: (Duration, Duration) = (Duration::from_secs(10 * 60), Duration::from_secs(24 * 60 * 60));

/// What a device allows a roster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RosterConfig {
    /// The device's own list: a ceiling over every roster, and who is managed while there is none.
    pub list: Option<PathBuf>,
    /// The only accounts managed here, `corp/userid`; empty where there is no such bound.
    pub only: Vec<String>,
    /// The key that signs the first roster, where no enrolment token has said it.
    pub key: Option<KeyId>,
}

/// Why a roster is not in force here.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// Nobody has said whose rosters to believe.
    #[error(
        "no roster key is pinned here; enrol with a token made after the first roster was published, or set [roster] key"
    )]
    NoKey,
    /// Its signatures, order or rows.
    #[error(transparent)]
    Roster(#[from] RosterError),
}

impl Refused {
    fn word(&self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::Roster(error) => error.code(),
        }
    }
}

/// What came of putting a roster in force.
enum Failed {
    Refused(Refused, Option<u64>),
    /// The folder cannot be written now.
    Kept(std::io::Error),
    Store(StoreError),
}

/// A roster as it was brought, still unchecked.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    /// Headers that lead to it, and its own.
    pub chain: Vec<SignedRosterHeader>,
    /// Who is never looked at.
    pub never: Vec<String>,
    /// All rows, where all were asked for.
    pub rows: Vec<Vec<u8>>,
    /// Else one answer for each account asked for.
    pub answers: Vec<RosterAnswer>,
}

/// Takes rosters that are offered.
pub struct Rosters {
    only: Vec<String>,
    ceiling: Ceiling,
    folder: PathBuf,
    tenant: String,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    switch: Arc<Switch>,
    state: Mutex<State>,
    /// Called when something was appended to the outbox.
    appended: Box<dyn Fn() + Send + Sync>,
    /// Called when the database has failed.
    failed: Box<dyn Fn(StoreError) + Send + Sync>,
}

struct State {
    /// Whose rosters are believed; `None` where nobody has said.
    signers: Option<Signers>,
    /// The highest that was ever in force here.
    head: Option<Head>,
    /// The one in force.
    in_force: Option<Digest>,
    /// Being fetched.
    under_way: Option<Digest>,
    /// Refused last.
    refused: Option<Refusal>,
}

/// One that is not asked for again before its time.
struct Refusal {
    digest: Digest,
    /// By the monotonic clock.
    at: Duration,
    pause: Duration,
}

/// While this lives, none is asked for.
struct UnderWay<'r>(&'r Rosters);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// Who is managed when the agent starts: by the roster held, or by what the device's files say.
///
/// # Errors
/// Mistakes in the device's own list, a sentence each.
pub fn at_start(config: &Config, device: Option<&Device>) -> Result<Scope, Vec<String>> {
    let ceiling = ceiling(&config.roster)?;
    // Without a database nothing is known, and what its file says counts.
    let floor = Store::open_read_only(&config.state_dir).and_then(|store| store.read(held::floor)).ok().flatten();
    let held = held::read(&config.state_dir, device.map(|device| device.tenant.as_str()));
    let knows_signers = held.is_some() || floor.is_some() || pinned(config).is_some();
    if let Some((header, held)) = held.filter(|held| counts(held, floor.as_ref(), &config.roster))
        && let Ok(rows) = rows_of(&header, &held)
    {
        return Ok(scope(&header, &rows, &held, &ceiling));
    }
    let awaits_roster = knows_signers;
    Ok(Scope { accounts: Accounts::of_ceiling(ceiling).map(Arc::new), awaits_roster, ..Scope::default() })
}

/// Whether the roster held is the latest that was in force here, and of those accounts that are asked for now: by another's rows, what
/// these accounts write would be out of scope.
fn counts((header, held): &(ReadHeader, HeldRoster), floor: Option<&Floor>, config: &RosterConfig) -> bool {
    held.only == config.only && floor.is_none_or(|floor| floor.version <= header.header.version)
}

fn ceiling(config: &RosterConfig) -> Result<Ceiling, Vec<String>> {
    let list = config.list.as_deref().map(policy_files::load_accounts).transpose()?;
    Ok(Ceiling { list, only: config.only.clone() })
}

/// Who signs the first roster.
fn pinned(config: &Config) -> Option<KeyId> {
    let of_token = || KeyId::from_slice(&hex::decode(config.identity.membership().roster_key).ok()?);
    config.roster.key.or_else(of_token)
}

/// The rows that were brought, if they are those that were signed.
fn rows_of(header: &ReadHeader, held: &HeldRoster) -> Result<Vec<RosterRow>, RosterError> {
    check_never(header, &held.never)?;
    if held.only.is_empty() {
        check_all(header, held.rows.iter().map(|row| &row[..]))
    } else {
        check_some(header, &held.only, &held.answers)
    }
}

/// Who is managed by a roster, as far as the device allows.
fn scope(header: &ReadHeader, rows: &[RosterRow], held: &HeldRoster, ceiling: &Ceiling) -> Scope {
    let version = header.header.version;
    let mut accounts = Accounts::of_roster(version);
    for row in rows {
        let periods = row.periods.iter().map(|period| Period {
            from_ms: if period.from_ms == 0 { i64::MIN } else { period.from_ms },
            until_ms: if period.until_ms == 0 { i64::MAX } else { period.until_ms },
            labels: period.labels.clone(),
        });
        accounts.add(&row.corp, &row.userid, periods.collect());
    }
    for (corp, userid) in held.never.iter().filter_map(|account| account.split_once('/')) {
        accounts.never_look_at(corp, userid);
    }
    Scope {
        accounts: Some(Arc::new(accounts.under(ceiling))),
        roster_version: version,
        knows_all: held.only.is_empty(),
        awaits_roster: false,
    }
}

impl Rosters {
    /// Begins where the state folder stands.
    ///
    /// # Errors
    /// The database, or a mistake in the device's own list.
    pub fn new(
        config: &Config,
        (device, store, clock, switch): (&Arc<Device>, &Arc<Store>, &Arc<dyn Clock>, &Arc<Switch>),
        appended: Box<dyn Fn() + Send + Sync>,
        failed: Box<dyn Fn(StoreError) + Send + Sync>,
    ) -> Result<Self, StoreError> {
        let ceiling = ceiling(&config.roster).map_err(|_| StoreError::Malformed("accounts file"))?;
        let held = held::read(&config.state_dir, Some(&device.tenant));
        let of_store = store.read(held::floor)?;
        let in_force = held.as_ref().filter(|held| counts(held, of_store.as_ref(), &config.roster));
        let in_force = in_force.map(|(header, _)| header.digest);
        let of_file = held.map(|(header, _)| Floor::of(&header));
        let floor = of_store.into_iter().chain(of_file).max_by_key(|floor| floor.version);
        let signers = floor.as_ref().and_then(Floor::signers).or_else(|| pinned(config).map(Signers::pinned));
        Ok(Self {
            only: config.roster.only.clone(),
            ceiling,
            folder: config.state_dir.clone(),
            tenant: device.tenant.clone(),
            store: store.clone(),
            clock: clock.clone(),
            switch: switch.clone(),
            state: Mutex::new(State {
                signers,
                head: floor.as_ref().and_then(Floor::head),
                in_force,
                under_way: None,
                refused: None,
            }),
            appended,
            failed,
        })
    }

    /// What to ask for, where this is offered and it is not here yet. Whoever asks ends with [`Rosters::take`] or
    /// [`Rosters::give_up`].
    pub fn request(&self, offered: &[u8]) -> Option<RosterRequest> {
        let offered = Digest::from_slice(offered)?;
        let mut state = self.state();
        let now = self.clock.monotonic();
        let rests = |refusal: &Refusal| refusal.digest == offered && now.saturating_sub(refusal.at) < refusal.pause;
        let is_news = state.in_force != Some(offered) && !state.refused.as_ref().is_some_and(rests);
        if !is_news || state.under_way.is_some() {
            return None;
        }
        state.under_way = Some(offered);
        let held = state.head.as_ref().map_or(0, |head| head.version);
        Some(RosterRequest { protocol: PROTOCOL, offer: offered.to_vec(), held, only: self.only.clone() })
    }

    /// It could not be fetched.
    pub fn give_up(&self) {
        self.state().under_way = None;
    }

    /// Puts a roster in force, or refuses it; either is told.
    pub fn take(&self, offered: &[u8], brought: Brought) {
        let _under_way = UnderWay(self);
        let told = match self.try_take(offered, brought) {
            Ok(()) => return,
            Err(Failed::Refused(refused, version)) => {
                self.rest(offered, &refused);
                tracing::error!(reason = refused.word(), %refused, "the roster offered is refused; the one before stays");
                self.tell(offered, version.unwrap_or(0), refused.word())
            }
            Err(Failed::Kept(error)) => {
                return tracing::error!(%error, "the roster offered cannot be kept now; it is asked for again");
            }
            Err(Failed::Store(error)) => Err(error),
        };
        match told {
            Err(StoreError::Full) => tracing::error!("the disk is full; what became of the roster is told later"),
            Err(error) => (self.failed)(error),
            Ok(()) => {}
        }
    }

    /// Does not ask for this one for a while, and longer each time.
    fn rest(&self, offered: &[u8], refused: &Refused) {
        let Some(digest) = Digest::from_slice(offered) else { return };
        let (least, most) = REFUSED_PAUSE;
        let mut state = self.state();
        let before = state.refused.take().filter(|before| before.digest == digest);
        let pause = match refused {
            // The configuration is read at the start alone.
            Refused::NoKey => Duration::MAX,
            Refused::Roster(_) => before.map_or(least, |before| before.pause.saturating_mul(2).min(most)),
        };
        state.refused = Some(Refusal { digest, at: self.clock.monotonic(), pause });
    }

    /// The header of a roster that may be in force here, and is the one that was asked for.
    fn header_of(&self, offered: &[u8], chain: &[SignedRosterHeader]) -> Result<ReadHeader, Failed> {
        let (signers, head) = {
            let state = self.state();
            (state.signers.clone(), state.head.clone())
        };
        let signers = signers.ok_or(Failed::Refused(Refused::NoKey, None))?;
        let refused = |error: RosterError| Failed::Refused(error.into(), None);
        let header = follow(head.as_ref(), &signers, chain, &self.tenant).map_err(refused)?;
        if header.digest.0[..] != *offered {
            return Err(Failed::Refused(RosterError::NotOffered.into(), Some(header.header.version)));
        }
        Ok(header)
    }

    fn try_take(&self, offered: &[u8], brought: Brought) -> Result<(), Failed> {
        let header = self.header_of(offered, &brought.chain)?;
        let version = header.header.version;
        let refused = |error: RosterError| Failed::Refused(error.into(), Some(version));
        // What was not asked for is not kept either.
        if !(if self.only.is_empty() { brought.answers.is_empty() } else { brought.rows.is_empty() }) {
            return Err(refused(RosterError::Rows));
        }
        let held = HeldRoster {
            header: Some(header.signed.clone()),
            only: self.only.clone(),
            never: brought.never,
            rows: brought.rows,
            answers: brought.answers,
        };
        let rows = rows_of(&header, &held).map_err(refused)?;
        let scope = scope(&header, &rows, &held, &self.ceiling);
        held::keep(&self.folder, &held).map_err(Failed::Kept)?;
        self.store.transaction(|tx| Floor::of(&header).keep(tx)).map_err(Failed::Store)?;
        self.switch.turn(|now| now.for_accounts(&scope));
        tracing::info!(version, rows = rows.len(), "a roster is in force");
        {
            let mut state = self.state();
            state.head = Some(Head { version, digest: header.digest });
            state.signers = Some(header.next.clone());
            (state.in_force, state.refused) = (Some(header.digest), None);
        }
        self.tell(offered, version, "").map_err(Failed::Store)
    }

    /// Tells that the roster in force is, where that has not been told: the process may have ended in between.
    ///
    /// # Errors
    /// The database.
    pub fn tell_in_force(&self) -> Result<(), StoreError> {
        let Some(digest) = self.state().in_force else { return Ok(()) };
        self.tell(&digest.0, self.switch.now().roster_version, "")
    }

    fn tell(&self, digest: &[u8], version: u64, refused: &str) -> Result<(), StoreError> {
        let (in_force, now_ms) = (self.switch.now(), self.clock.wall_ms());
        let accounts = in_force.engine.accounts();
        let report = RosterReport {
            version,
            digest: digest.to_vec(),
            refused: refused.to_owned(),
            in_force: in_force.roster_version,
            managed: accounts.map_or(0, |accounts| accounts.managed_at(now_ms) as u64),
            never: accounts.map_or(0, |accounts| accounts.never() as u64),
        };
        let record = MadeUnder::new(&in_force, now_ms).record(Kind::RosterReport(report))?;
        self.store.transaction(|tx| {
            // One that is offered again and again by a collector that cannot do better is told once.
            if told::note(tx, digest, refused)? {
                tx.append(Lane::Urgent, &record)?;
            }
            Ok(())
        })?;
        (self.appended)();
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
