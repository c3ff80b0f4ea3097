//! Signed policies on a device: taken from whoever brings them, checked, tried, kept, put in force, told of.
//!
//! ```text
//! offer ─► fetch ─► signatures, order ─► ceilings ─► compile ─► trial ─► kept on disk ─► in force ─► report
//!                        └──────────────┴──────────────┴─ refused: the last good one stays, report ─┘
//! ```
//!
//! Whoever brings a policy need not be trusted: its key is pinned by the enrolment token, or by `[policy] key`.

mod floor;
mod held;
mod trial;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use watchpost_policy::engine::Engine;
use watchpost_policy::rules::Disclose;
use watchpost_proto::Digest;
use watchpost_proto::document::Signers;
use watchpost_proto::encryption::Recipient;
use watchpost_proto::keys::KeyId;
use watchpost_proto::policy::{Anchor, GROUP_DEFAULT, Header, Highest, Policy, PolicyError};
use watchpost_proto::v1::{Lane, PolicyReport, PolicyRequest, SignedPolicyHeader, summary::Kind};

use crate::clock::Clock;
use crate::config::{Config, Folder};
use crate::device::{self, Device};
use crate::in_force::{InForce, Switch};
use crate::policy_files;
use crate::rosters;
use crate::store::{Store, StoreError};
use crate::summary::MadeUnder;

use trial::Trial;

/// Where the store keeps what was told last of a policy.
const TOLD: &str = "policy_report";
/// Roots kept at most.
const ROOTS_MAX: usize = 8;
/// Characters of a sentence that is told.
const DETAIL_CHARS_MAX: usize = 500;

/// What a device allows a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyConfig {
    /// Packs and filters in force until there is a signed policy: files, `builtin` or `builtin:ID`; empty means the built-in packs.
    pub packs: Vec<PathBuf>,
    /// The most that any rule may disclose on this device.
    pub disclose: Disclose,
    /// The key that signs the first policy, where no enrolment token has said it.
    pub key: Option<KeyId>,
    /// Bytes of all files of a policy.
    pub bytes_max: u64,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self { packs: Vec::new(), disclose: Disclose::Context, key: None, bytes_max: 8 * 1024 * 1024 }
    }
}

/// Why a policy is not in force here.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// Nobody has said whose policies to believe.
    #[error(
        "no policy key is pinned here; enrol with a token made after the first policy was published, or set [policy] key"
    )]
    NoKey,
    /// Its header or signatures.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Another policy came than was offered.
    #[error("another policy came than was offered")]
    Other,
    /// The device does not allow so much.
    #[error("the policy has {0} bytes, and this device allows {1}; see [policy] bytes_max")]
    Ceiling(u64, u64),
    /// Its rules.
    #[error("{0}")]
    Rules(String),
}

impl Refused {
    /// The documented word.
    fn word(&self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::Policy(error) => error.word(),
            Self::Other => "other",
            Self::Ceiling(..) => "ceiling",
            Self::Rules(_) => "rules",
        }
    }

    /// When it may be asked for again.
    fn again(&self) -> Duration {
        match self {
            Self::Other | Self::Policy(PolicyError::Malformed | PolicyError::File(_)) => AGAIN,
            _ => NEVER,
        }
    }
}

/// What came of putting a policy in force.
enum Failed {
    Refused(Refused),
    /// The folder cannot be written now.
    Kept(std::io::Error),
    Store(StoreError),
}

impl<E: Into<Refused>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// Takes policies that are offered.
pub struct Policies {
    config: PolicyConfig,
    folders: Vec<Folder>,
    reading: crate::carrier::Limits,
    folder: PathBuf,
    device: Arc<Device>,
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
    /// Whose policies are believed; `None` where nobody has said.
    anchor: Option<Anchor>,
    /// Being fetched or tried.
    under_way: Option<Digest>,
    /// What is not asked for again before a moment of the monotonic clock: refused, or not to be kept now.
    put_off: Option<(Digest, Duration)>,
}

/// After what may have gone wrong on the way, or on the disk, it is asked for again; what was refused for itself stays so.
const AGAIN: Duration = Duration::from_secs(600);
const NEVER: Duration = Duration::MAX;

/// What is in force when the agent starts: the policy held, or the last good one before it, or what the device's files say.
///
/// # Errors
/// Mistakes in the device's own files, a sentence each.
pub fn at_start(config: &Config, device: Option<&Device>) -> Result<InForce, Vec<String>> {
    let scope = rosters::at_start(config, device)?;
    let group = group(config);
    let is_ours = |policy: &Policy| {
        let said = &policy.header.said;
        said.group == group && device.is_none_or(|device| device.tenant == said.tenant)
    };
    for policy in held::all(&config.state_dir).filter(is_ours) {
        match of_policy(&policy, &config.policy).map(|in_force| in_force.for_accounts(&scope)) {
            Ok(in_force) => {
                if let Some(device) = device {
                    // Whom to trust and to whom to encrypt is not taken back with the rules.
                    let highest = held::highest(&config.state_dir).filter(is_ours);
                    trust(device, highest.as_ref().unwrap_or(&policy));
                }
                return Ok(in_force);
            }
            Err(error) => {
                tracing::error!(version = policy.header.said.version, %error, "the policy held cannot be put in force");
            }
        }
    }
    let engine = policy_files::load_checked_engine(&config.policy.packs, None)?;
    Ok(InForce::of_files(engine, config.policy.disclose).for_accounts(&scope))
}

/// A certificate that came another way than by enrolment says nothing of a group.
fn group(config: &Config) -> String {
    Some(config.identity.membership().group).filter(|group| !group.is_empty()).unwrap_or_else(|| GROUP_DEFAULT.into())
}

/// The policy in force in a state folder, for whoever asks while the agent runs or not; `None` where the device's files say it.
#[must_use]
pub fn in_force_in(state_dir: &Path) -> Option<Header> {
    held::all(state_dir).next().map(|policy| policy.header)
}

impl Policies {
    /// Begins where the state folder stands.
    ///
    /// # Errors
    /// The database.
    pub fn new(
        config: &Config,
        (device, store, clock, switch): (&Arc<Device>, &Arc<Store>, &Arc<dyn Clock>, &Arc<Switch>),
        appended: Box<dyn Fn() + Send + Sync>,
        failed: Box<dyn Fn(StoreError) + Send + Sync>,
    ) -> Result<Self, StoreError> {
        let membership = config.identity.membership();
        let pinned = config.policy.key.or_else(|| KeyId::from_slice(&hex::decode(&membership.policy_key).ok()?));
        let (tenant, group) = (device.tenant.clone(), group(config));
        let known = store.read(|tx| floor::read(tx, &tenant, &group))?;
        // A database that was lost or put back knows less than the folder.
        let held = held::highest(&config.state_dir).map(|held| held.header);
        let held = held.filter(|held| (&held.said.tenant, &held.said.group) == (&tenant, &group)).filter(|held| {
            known.as_ref().and_then(|known| known.highest).is_none_or(|known| known.version < held.said.version)
        });
        let anchor = match (held, known) {
            (Some(held), _) => {
                let highest = Some(Highest::of(&held));
                Some(Anchor { tenant, group, signers: held.signers, highest })
            }
            (None, Some(known)) => Some(known),
            (None, None) => pinned.map(|key| Anchor { tenant, group, signers: Signers::pinned(key), highest: None }),
        };
        Ok(Self {
            config: config.policy.clone(),
            folders: config.folders.clone(),
            reading: config.source.limits,
            folder: config.state_dir.clone(),
            device: device.clone(),
            store: store.clone(),
            clock: clock.clone(),
            switch: switch.clone(),
            state: Mutex::new(State { anchor, under_way: None, put_off: None }),
            appended,
            failed,
        })
    }

    /// Tells that the policy in force is, where that has not been told: the process may have ended in between.
    ///
    /// # Errors
    /// The database.
    pub fn tell_in_force(&self) -> Result<(), StoreError> {
        let in_force = self.switch.now();
        let told = self.store.read(|tx| tx.seen(TOLD))?;
        if in_force.version == 0 || told.is_some_and(|told| told == remembered(&in_force.policy.0, "")) {
            return Ok(());
        }
        let report = PolicyReport {
            policy: in_force.policy.to_vec(),
            version: in_force.version,
            applied: true,
            rules: rules(&in_force.engine),
            ..PolicyReport::default()
        };
        self.tell(report, &in_force, None)
    }

    /// What to ask for, where this is offered and it is not here yet. Whoever asks ends with [`Policies::take`] or
    /// [`Policies::give_up`].
    pub fn request(&self, offered: &[u8]) -> Option<PolicyRequest> {
        let offered = Digest::from_slice(offered)?;
        let mut state = self.state();
        let now = self.clock.monotonic();
        let idle =
            state.under_way.is_none() && state.put_off.is_none_or(|(digest, until)| digest != offered || now >= until);
        if !idle || self.switch.now().policy == offered {
            return None;
        }
        state.under_way = Some(offered);
        let highest = state.anchor.as_ref().and_then(|anchor| anchor.highest);
        Some(PolicyRequest { policy: offered.to_vec(), known_version: highest.map_or(0, |highest| highest.version) })
    }

    /// It could not be fetched.
    pub fn give_up(&self) {
        self.state().under_way = None;
    }

    /// Puts a policy in force, or refuses it; either is told. Takes as long as its rules take to compile.
    pub fn take(&self, offered: &[u8], leading: &[SignedPolicyHeader], file: &[u8]) {
        let anchor = self.state().anchor.clone();
        let read = Policy::read(file);
        let taken = self.try_take(anchor, offered, leading, &read);
        let mut state = self.state();
        state.under_way = None;
        match taken {
            Ok(anchor) => (state.anchor, state.put_off) = (Some(anchor), None),
            Err(Failed::Refused(refused)) => {
                state.put_off = self.put_off(offered, refused.again());
                drop(state);
                tracing::error!(reason = refused.word(), %refused, "the policy offered is refused; the one before stays");
                let said = read.as_ref().ok().map(|policy| &policy.header.said);
                let report = PolicyReport {
                    policy: offered.to_vec(),
                    version: said.map_or(0, |said| said.version),
                    group: said.map(|said| said.group.clone()).unwrap_or_default(),
                    reason: refused.word().to_owned(),
                    detail: refused.to_string().chars().take(DETAIL_CHARS_MAX).collect(),
                    ..PolicyReport::default()
                };
                let told = self.store.read(|tx| tx.seen(TOLD)).and_then(|told| {
                    let is_news = told.is_none_or(|told| told != remembered(offered, refused.word()));
                    if is_news { self.tell(report, &self.switch.now(), None) } else { Ok(()) }
                });
                self.settle(told);
            }
            Err(Failed::Kept(error)) => {
                state.put_off = self.put_off(offered, AGAIN);
                tracing::error!(%error, "the policy offered cannot be kept now; it is asked for again");
            }
            Err(Failed::Store(error)) => {
                state.put_off = self.put_off(offered, AGAIN);
                drop(state);
                self.settle(Err(error));
            }
        }
    }

    fn try_take(
        &self,
        anchor: Option<Anchor>,
        offered: &[u8],
        leading: &[SignedPolicyHeader],
        read: &Result<Policy, PolicyError>,
    ) -> Result<Anchor, Failed> {
        let policy = read.as_ref().map_err(Clone::clone)?;
        if policy.header.digest.0[..] != *offered {
            return Err(Refused::Other.into());
        }
        let mut anchor = anchor.ok_or(Refused::NoKey)?;
        anchor.follow(leading)?;
        anchor.accept(&policy.header)?;
        let began = Instant::now();
        let before = self.switch.now();
        let next = of_policy(policy, &self.config)?.for_accounts(&before.scope());
        let compile_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Until it is known whose messages are looked at, none is.
        let trial = if before.awaits_roster {
            Trial::default()
        } else {
            trial::run(&self.folders, self.reading, &before.engine, &next.engine)
        };
        let is_way_back = anchor.highest.is_some_and(|highest| highest.version > policy.header.said.version);
        held::keep(&self.folder, policy, is_way_back).map_err(Failed::Kept)?;
        if !is_way_back {
            anchor.highest = Some(Highest::of(&policy.header));
            anchor.signers = policy.header.signers.clone();
        }
        let report = PolicyReport {
            policy: policy.header.digest.to_vec(),
            version: policy.header.said.version,
            group: policy.header.said.group.clone(),
            applied: true,
            compile_ms,
            rules: rules(&next.engine),
            tried: trial.tried,
            flagged_before: trial.before,
            flagged_after: trial.after,
            ..PolicyReport::default()
        };
        // The word that it is in force is encrypted to whom it names: the key before may be lost.
        if !is_way_back {
            trust(&self.device, policy);
        }
        // First what cannot be taken back, with the word that it is so; only then is anything judged by it.
        self.tell(report, &next, Some(&anchor)).map_err(Failed::Store)?;
        // Another roster may have come meanwhile.
        self.switch.turn(|now| next.for_accounts(&now.scope()));
        tracing::info!(version = policy.header.said.version, compile_ms, tried = trial.tried, "a policy is in force");
        // The self-check goes with every policy.
        (self.appended)();
        Ok(anchor)
    }

    fn put_off(&self, offered: &[u8], wait: Duration) -> Option<(Digest, Duration)> {
        Some((Digest::from_slice(offered)?, self.clock.monotonic().saturating_add(wait)))
    }

    fn tell(&self, report: PolicyReport, under: &InForce, anchor: Option<&Anchor>) -> Result<(), StoreError> {
        let made = MadeUnder::new(under, self.clock.wall_ms());
        let told = remembered(&report.policy, &report.reason);
        let record = made.record(Kind::PolicyReport(report))?;
        self.store.transaction(|tx| {
            tx.append(Lane::Urgent, &record)?;
            anchor.map_or(Ok(()), |anchor| floor::keep(tx, anchor))?;
            tx.put_seen(TOLD, &told)
        })?;
        (self.appended)();
        Ok(())
    }

    /// A full disk passes, and the next start tells what is in force; any other failure of the database does not.
    fn settle(&self, told: Result<(), StoreError>) {
        match told {
            Err(StoreError::Full) => tracing::error!("the disk is full; what became of the policy is told later"),
            Err(error) => (self.failed)(error),
            Ok(()) => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A policy and the word for why it was refused, as the store remembers that it was told.
fn remembered(policy: &[u8], reason: &str) -> Vec<u8> {
    [policy, reason.as_bytes()].concat()
}

/// What a policy comes to on this device, whoever is managed.
fn of_policy(policy: &Policy, config: &PolicyConfig) -> Result<InForce, Refused> {
    let bytes = policy.contents().len() as u64;
    if bytes > config.bytes_max {
        return Err(Refused::Ceiling(bytes, config.bytes_max));
    }
    let rules = |mistakes: Vec<String>| Refused::Rules(mistakes.join("\n"));
    let (packs, filters) = policy_files::parts_of(policy).map_err(rules)?;
    let engine = Engine::compile_checked(packs, filters, None).map_err(|error| Refused::Rules(error.to_string()))?;
    let settings = policy.header.settings();
    if settings.recipient.as_ref().is_some_and(|key| Recipient::new(key).is_none()) {
        return Err(Refused::Rules("it encrypts to a key this version cannot encrypt to; update the agent".into()));
    }
    let ceiling = match settings.disclose {
        1 => Disclose::None,
        2 => Disclose::Masked,
        _ => Disclose::Context,
    };
    Ok(InForce {
        engine,
        policy: policy.header.digest,
        version: policy.header.said.version,
        roster_version: 0,
        knows_all: false,
        awaits_roster: false,
        ceiling: ceiling.min(config.disclose),
        report_unknown_accounts: settings.report_unknown_accounts,
    })
}

/// Takes over whom a policy says to trust, and whom not, for the connections from now on; and to whom it says to encrypt.
fn trust(device: &Device, policy: &Policy) {
    let held = device.held();
    let mut roots = held.roots.clone();
    for root in &policy.header.said.roots {
        if !roots.iter().any(|known| known[..] == root[..]) && roots.len() < ROOTS_MAX {
            roots.push(root.clone().into());
        }
    }
    device.encrypt_by_policy(policy.header.settings().recipient.as_ref().and_then(Recipient::new));
    device.hold(device::Held { roots, denied: policy.header.collectors_denied(), ..device::Held::clone(&held) });
}

fn rules(engine: &Engine) -> u32 {
    let rules = engine.packs().iter().map(|pack| pack.rules.len()).sum::<usize>();
    u32::try_from(rules).unwrap_or(u32::MAX)
}
