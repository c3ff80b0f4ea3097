//! A collector's log while no collector runs: what has happened is written straight into it, at any moment of the past.

use std::path::Path;

use anyhow::{Context as _, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;
use watchpost_collector::chain::{self, NewKey, Verdict, Verified};
use watchpost_collector::clock::Clock;
use watchpost_collector::config::Config;
use watchpost_collector::credentials::Credentials;
use watchpost_collector::enrolment::desk::DeskError;
use watchpost_collector::log_store::{Appender, LogStore};
use watchpost_collector::operators::secret::{self, Kind};
use watchpost_collector::operators::totp::{self, SEED_BYTES};
use watchpost_collector::operators::{Deed, Grant, Role, Scope, deed, password};
use watchpost_collector::pki::{DEVICE_LIFE, DeviceCa};
use watchpost_collector::registry::Effects;
use watchpost_collector::server;
use watchpost_proto::keys::{SigningKey as _, SoftwareKey};
use watchpost_proto::segment::{Head, Seal, read_statement, seal};
use watchpost_proto::v1::{Clocks, EpochStart, Lane, Summary};
use watchpost_proto::{DeviceId, EpochId, record};

pub use watchpost_collector::enrolment::desk::Act;

use crate::corpus::Random;

/// The log of a collector that does not run.
#[derive(Debug)]
pub struct Log {
    /// The collector's configuration.
    pub config: Config,
    store: LogStore,
}

impl Log {
    /// Opens it, or makes it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(config: &Path) -> anyhow::Result<Self> {
        let config = Config::load(config)?;
        let credentials = Credentials::load(&config, &Clock::default())?;
        let store = server::open_log(&config, &credentials, &Clock::default())?.store;
        Ok(Self { config, store })
    }

    /// Does something as one commit.
    ///
    /// # Errors
    /// What was refused, or the log.
    pub fn work<T>(&mut self, work: impl FnOnce(&mut Appender<'_>) -> Result<T, DeskError>) -> anyhow::Result<T> {
        let mut appender = self.store.begin()?;
        let done = work(&mut appender)?;
        appender.commit()?;
        Ok(done)
    }

    /// Takes a segment of a device as it arrives at a moment.
    ///
    /// # Errors
    /// It is not taken.
    pub fn take(&mut self, device: &mut Device, lane: Lane, told: &[Summary], at_ms: i64) -> anyhow::Result<()> {
        let verified = device.seal(&self.config.tenant, lane, told, at_ms)?;
        let mut appender = self.store.begin()?;
        let answer = chain::take_segment(&mut appender, &verified, &mut Effects::default())?;
        ensure!(matches!(answer.verdict, Verdict::Durable(_)), "{answer:?}");
        Ok(appender.commit()?)
    }

    /// Lets somebody in, with a password and, where they have one, a seed of one-time codes.
    ///
    /// # Errors
    /// As [`Log::work`].
    pub fn employ(&mut self, login: &Login, grant: Grant, kept: &Kept, at_ms: i64) -> anyhow::Result<()> {
        let (_, secret) = secret::make(Kind::Invitation)?;
        let (operator, secret) = (login.name.clone(), secret.to_string());
        let expires_ms = at_ms.saturating_add(60_000);
        let totp = login.seed.map(hex::encode).unwrap_or_default();
        let invited = Deed::Invite { operator: operator.clone(), grant, secret: secret.clone(), expires_ms };
        let accepted = Deed::Accept { operator, secret, password: kept.0.clone(), totp };
        let by_hand = Act { by: "init", reason: "", at_ms };
        let oneself = Act { by: &login.name, reason: "", at_ms };
        self.work(|log| deed::perform(log, &invited, &by_hand))?;
        self.work(|log| deed::perform(log, &accepted, &oneself)).map(drop)
    }
}

/// What is kept of a password; made once, for that is slow by intent.
#[derive(Clone, Debug)]
pub struct Kept(String);

impl Kept {
    /// Of this password.
    ///
    /// # Errors
    /// It is too short, or there are no random numbers.
    pub fn of(text: &str) -> anyhow::Result<Self> {
        Ok(Self(hex::encode(password::hash(text)?)))
    }
}

/// How somebody comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Login name.
    pub name: String,
    /// What they are here for.
    pub role: Role,
    /// Their password.
    pub password: String,
    /// The seed of their one-time codes.
    pub seed: Option<[u8; SEED_BYTES]>,
}

impl Login {
    fn new(name: &str, role: Role, password: &str) -> anyhow::Result<Self> {
        let mut seed = [0; SEED_BYTES];
        getrandom::fill(&mut seed).context("no random numbers from the system")?;
        let seed = role.needs_totp().then_some(seed);
        Ok(Self { name: name.to_owned(), role, password: password.to_owned(), seed })
    }

    /// The one-time code of a moment; empty without a seed.
    #[must_use]
    pub fn code(&self, at_ms: i64) -> String {
        self.seed.map(|seed| totp::code(&seed, totp::step_of(at_ms))).unwrap_or_default()
    }

    /// What an authenticator reads, where there is a seed.
    #[must_use]
    pub fn otpauth(&self, tenant: &str) -> Option<String> {
        self.seed.map(|seed| totp::address(tenant, &self.name, &seed))
    }
}

/// One login of each role, with what it may do. The supervisor sees persons of these departments and sites.
///
/// # Errors
/// No random numbers.
pub fn one_of_each(password: &str, scopes: &[(&str, &str)]) -> anyhow::Result<Vec<(Login, Grant)>> {
    let scope = |(department, site): &(&str, &str)| Scope { department: (*department).into(), site: (*site).into() };
    let named = |role: Role| match role {
        Role::Administrator => "admin",
        Role::PolicyAuthor => "author",
        Role::Supervisor => "supervisor",
        Role::Reviewer => "reviewer",
        Role::Auditor => "auditor",
    };
    let made = Role::ALL.into_iter().map(|role| {
        let grant = Grant { export: role == Role::Reviewer, ..Grant::of(role) };
        let scopes = if role == Role::Supervisor { scopes.iter().map(scope).collect() } else { Vec::new() };
        Ok((Login::new(named(role), role, password)?, Grant { scopes, ..grant }))
    });
    made.collect()
}

/// A device with its key, and where its chains stand.
#[derive(Debug)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Its key.
    pub key: SoftwareKey,
    /// The same as it stands in a file.
    pub key_der: PrivateKeyDer<'static>,
    /// Its certificate, and what leads to the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its unbroken run.
    pub epoch: EpochId,
    heads: [Head; 2],
    random: Random,
}

impl Device {
    /// One with a certificate from the authority in the collector's folder, made at a moment.
    ///
    /// # Errors
    /// The authority.
    pub fn mint(config: &Config, number: u64, at_ms: i64) -> anyhow::Result<Self> {
        let folder = config.enrolment.authority.as_ref().context("the collector has no authority")?;
        let read = |name: &str| std::fs::read_to_string(folder.join(name));
        let authority = DeviceCa::from_pem(&read("devices.crt")?, &read("devices.key")?)?;
        let mut random = Random::new(number << 32);
        let id = DeviceId(bytes(&mut random));
        let at = OffsetDateTime::from_unix_timestamp(at_ms / 1_000)?;
        let leaf = authority.issue_with_key(&config.tenant, &id, DEVICE_LIFE, at)?;
        let key_der = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes())?;
        let chain = CertificateDer::pem_slice_iter(leaf.chain.as_bytes()).collect::<Result<_, _>>()?;
        let epoch = EpochId(bytes(&mut random));
        let key = SoftwareKey::from_pkcs8(key_der.secret_der())?;
        Ok(Self { id, key, key_der, chain, epoch, heads: [Head::start(epoch); 2], random })
    }

    /// Where a lane stands.
    #[must_use]
    pub fn head(&self, lane: Lane) -> &Head {
        let [urgent, bulk] = &self.heads;
        if lane == Lane::Bulk { bulk } else { urgent }
    }

    fn seal(&mut self, tenant: &str, lane: Lane, told: &[Summary], at_ms: i64) -> anyhow::Result<Verified> {
        let mut records = Vec::with_capacity(told.len());
        for summary in told {
            records.push(record::encode(summary, bytes(&mut self.random))?);
        }
        let head = *self.head(lane);
        let what = Seal {
            tenant,
            device: self.id,
            lane,
            head,
            epoch_start: (head.next == 0).then(EpochStart::default),
            clocks: Clocks { wall_ms: at_ms, ..Clocks::default() },
            agent_version: env!("CARGO_PKG_VERSION"),
        };
        let sealed = seal(&what, &records, &self.key)?;
        let [urgent, bulk] = &mut self.heads;
        *(if lane == Lane::Bulk { bulk } else { urgent }) = sealed.head;
        let chain = self.chain.iter().map(|certificate| certificate.to_vec()).collect();
        Ok(Verified {
            read: read_statement(&sealed.segment.statement)?,
            segment: sealed.segment,
            received_at_ms: at_ms,
            new_key: Some(NewKey { key: self.key.public().clone(), chain }),
        })
    }
}

/// Bytes that look random, the same for the same seed.
pub fn bytes<const N: usize>(random: &mut Random) -> [u8; N] {
    let mut bytes = [0; N];
    for part in bytes.chunks_mut(8) {
        let next = random.next().to_be_bytes();
        part.copy_from_slice(&next[..part.len()]);
    }
    bytes
}
