//! Invented devices: enrolled, in every state of health, telling of themselves; and the streams of those that are connected.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use watchpost_collector::chain::{self, Deed};
use watchpost_collector::config::Config;
use watchpost_collector::enrolment::desk::{self, NewToken};
use watchpost_collector::registry::Effects;
use watchpost_proto::identity::{ALPN, UPLINK_NAME};
use watchpost_proto::keys::SigningKey as _;
use watchpost_proto::v1::summary::Kind;
use watchpost_proto::v1::uplink_client::UplinkClient;
use watchpost_proto::v1::{
    AgentMessage, Clocks, DeviceVerb, EnrolmentEntry, EnrolmentVerb, EntryKind, ExpectedDevice, Feed, FileReport,
    FileState, FolderCheck, Goodbye, GoodbyeCause, Heartbeat, Hello, Lane, LaneHead, Loss, NoticeAcknowledgement,
    PolicyReport, Posture, Ready, RosterReport, SelfCheck, Summary, Tally, TokenTerms, UnknownAccount, UnknownAccounts,
    agent_message, collector_message,
};
use watchpost_proto::{Digest, Message as _};

use super::policies::{GROUPS, InForce};
use super::{CORP, DAY_MS, HOUR_MS, MINUTE_MS, Month, SITES, Step};
use crate::corpus::Random;
use crate::offline::{Act, Device, Log, bytes};

/// How an invented device stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Well,
    /// Finds nothing.
    Quiet,
    Parted(GoodbyeCause),
    /// Says nothing any more.
    Silent,
    /// The self-check does not come through.
    Blind,
    /// A folder cannot be read.
    Unreadable,
    Starved,
    /// Rests, and what it has waits.
    Behind,
    Quarantined,
    Revoked,
}

impl Stands {
    fn is_connected(self) -> bool {
        !matches!(self, Self::Parted(_) | Self::Silent | Self::Revoked)
    }

    fn finds(self) -> bool {
        !matches!(self, Self::Quiet | Self::Revoked)
    }
}

const STANDS: [Stands; 12] = [
    Stands::Well,
    Stands::Well,
    Stands::Starved,
    Stands::Quiet,
    Stands::Parted(GoodbyeCause::Shutdown),
    Stands::Well,
    Stands::Blind,
    Stands::Behind,
    Stands::Well,
    Stands::Silent,
    Stands::Unreadable,
    Stands::Parted(GoodbyeCause::Uninstalled),
];
const PER_SITE: usize = 7;
/// Between two heartbeats.
const EVERY: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Member {
    device: Device,
    site: usize,
    stands: Stands,
    /// Version and digest of the policy it has in force.
    policy: (u64, Vec<u8>),
}

/// All of them.
#[derive(Debug)]
pub(super) struct Fleet {
    members: Vec<Member>,
    root: CertificateDer<'static>,
    tenant: String,
}

/// The streams of a fleet; they end when this is dropped.
#[derive(Debug)]
pub struct Connected(#[expect(dead_code, reason = "held until it is dropped")] tokio::runtime::Runtime);

impl Fleet {
    pub(super) fn invent(config: &Config, month: &mut Month, in_force: &InForce) -> anyhow::Result<Self> {
        let root = CertificateDer::from_pem_file(&config.root)?;
        let token = Digest([77; 32]);
        token_made(month, token);
        let mut members = Vec::new();
        for number in 0..SITES.len() * PER_SITE {
            let (site, place) = (number % SITES.len(), number / SITES.len());
            let stands = match (site, place) {
                (_, 0) => [Stands::Well, Stands::Well, Stands::Starved, Stands::Well, Stands::Behind][site],
                (0, 6) => Stands::Quarantined,
                (3, 6) => Stands::Revoked,
                _ => STANDS[(number * 5 + site) % STANDS.len()],
            };
            let enrolled_ms = month.now_ms - (33 * DAY_MS) + number as i64 * 17 * MINUTE_MS;
            let device = Device::mint(config, number as u64 + 1, month.now_ms)?;
            let hostname = hostname(site, place, month.hostile);
            enrol(month, token, &device, (number, site, &hostname), enrolled_ms);
            let policy = in_force.get(GROUPS[usize::from(site != 0)]).cloned().unwrap_or_default();
            let member = Member { device, site, stands, policy };
            tells(month, number, &member, enrolled_ms);
            members.push(member);
        }
        strangers(month, token);
        Ok(Self { members, root, tenant: month.tenant.clone() })
    }

    /// A device of a site that finds something; mostly the archive host.
    pub(super) fn of_site(&self, site: usize, random: u64) -> usize {
        let of_site =
            self.members.iter().enumerate().filter(|(_, member)| member.site == site && member.stands.finds());
        let all: Vec<usize> = of_site.map(|(number, _)| number).collect();
        let place = if random.is_multiple_of(3) { random as usize / 3 % all.len() } else { 0 };
        all.get(place).copied().unwrap_or_default()
    }

    pub(super) fn tell(
        &mut self,
        log: &mut Log,
        device: usize,
        lane: Lane,
        told: &[Summary],
        at_ms: i64,
    ) -> anyhow::Result<()> {
        let member = self.members.get_mut(device).context("no such device")?;
        log.take(&mut member.device, lane, told, at_ms)
    }

    pub(super) fn connect(self, collector: SocketAddr) -> anyhow::Result<Connected> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        for member in self.members.into_iter().filter(|member| member.stands.is_connected()) {
            let (root, tenant) = (self.root.clone(), self.tenant.clone());
            runtime.spawn(async move {
                // A collector that stops ends the stream; when it is back the device is, too.
                loop {
                    let _ = member.stay(&root, &tenant, collector).await;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
        }
        Ok(Connected(runtime))
    }
}

fn hostname(site: usize, place: usize, hostile: &str) -> String {
    let prefix = ["sh", "hz", "cd", "sz", "sg"][site];
    match place {
        0 => format!("{prefix}-archive-01"),
        1 => format!("{prefix}-branch-share"),
        6 => format!("{prefix}-备用机{hostile}"),
        _ => format!("{prefix}-desk-{:02}", place * 3),
    }
}

fn token_made(month: &mut Month, token: Digest) {
    let at_ms = month.now_ms - 34 * DAY_MS;
    let expires_ms = month.now_ms + 20 * DAY_MS;
    let listed = (0..40).map(|number| ExpectedDevice {
        asset: asset(number),
        group: GROUPS[usize::from(number % SITES.len() != 0)].into(),
        site: SITES[number % SITES.len()].into(),
    });
    let listed: Vec<ExpectedDevice> = listed.collect();
    month.write(at_ms, move |log| {
        let act = Act { by: "admin", reason: "first roll-out", at_ms };
        let new = NewToken {
            token,
            group: GROUPS[0].into(),
            site: SITES[0].into(),
            expires_ms,
            uses_max: 60,
            terms: TokenTerms::Listed,
        };
        log.work(|log| desk::create_token(log, &new, &act))?;
        log.work(|log| desk::expect(log, &listed, &act)).map(drop)
    });
}

fn asset(number: usize) -> String {
    format!("WP-{:05}", 20_100 + number)
}

fn enrol(
    month: &mut Month,
    token: Digest,
    device: &Device,
    (number, site, hostname): (usize, usize, &str),
    at_ms: i64,
) {
    let entry = EnrolmentEntry {
        verb: EnrolmentVerb::Enrolled.into(),
        token: token.to_vec(),
        key_id: device.key.public().id().to_vec(),
        device: device.id.to_vec(),
        group: GROUPS[usize::from(site != 0)].into(),
        site: SITES[site].into(),
        hostname: hostname.to_owned(),
        asset: asset(number),
        agent_version: env!("CARGO_PKG_VERSION").into(),
        address: format!("10.{}.0.{}", 20 + site, 10 + number),
        by: "collector".into(),
        at_ms,
        ..EnrolmentEntry::default()
    };
    month.write(at_ms, move |log| {
        log.work(|log| Ok(log.append(EntryKind::Enrolment, &entry.encode_to_vec())?)).map(drop)
    });
}

/// Some ask, and one was sent away.
fn strangers(month: &mut Month, token: Digest) {
    for (number, verb) in [EnrolmentVerb::Asked, EnrolmentVerb::Asked, EnrolmentVerb::Rejected].into_iter().enumerate()
    {
        let at_ms = month.now_ms - (number as i64 * 7 + 1) * HOUR_MS;
        let entry = EnrolmentEntry {
            verb: verb.into(),
            token: token.to_vec(),
            key_id: bytes::<32>(&mut Random::new(900 + number as u64)).to_vec(),
            group: GROUPS[1].into(),
            site: SITES[1].into(),
            hostname: format!("hz-new-{number:02}{}", month.hostile),
            asset: format!("WP-9000{number}"),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            address: format!("10.21.0.{}", 90 + number),
            by: if verb == EnrolmentVerb::Asked { "collector".into() } else { "admin".into() },
            at_ms,
            ..EnrolmentEntry::default()
        };
        month.write(at_ms, move |log| {
            log.work(|log| Ok(log.append(EntryKind::Enrolment, &entry.encode_to_vec())?)).map(drop)
        });
    }
}

/// What a device tells of itself in the month.
fn tells(month: &mut Month, number: usize, member: &Member, enrolled_ms: i64) {
    let mut random = Random::new(400 + number as u64);
    let (now_ms, (version, digest)) = (month.now_ms, member.policy.clone());
    let gone_ms = match member.stands {
        Stands::Parted(_) | Stands::Silent => now_ms - (2 + number as i64 % 5) * DAY_MS,
        Stands::Revoked => now_ms - 9 * DAY_MS,
        _ => now_ms,
    };
    let mut say = |at_ms: i64, lane: Lane, kinds: Vec<Kind>| {
        let told = kinds.into_iter().map(|kind| Summary {
            made_at_ms: at_ms,
            policy: digest.clone(),
            roster_version: 1,
            kind: Some(kind),
            ..Summary::default()
        });
        month.then(at_ms, Step::Tell { device: number, lane, told: told.collect(), at_ms });
    };
    let folder = bytes::<32>(&mut random).to_vec();
    say(
        enrolled_ms + MINUTE_MS,
        Lane::Bulk,
        vec![
            posture(&mut random),
            Kind::RosterReport(RosterReport {
                version: 1,
                in_force: 1,
                managed: 40,
                never: 2,
                ..RosterReport::default()
            }),
        ],
    );
    for ago in (0..30).rev() {
        let at_ms = gone_ms - ago * DAY_MS - (2 * HOUR_MS) - number as i64 * MINUTE_MS;
        if at_ms < enrolled_ms + HOUR_MS {
            continue;
        }
        say(at_ms, Lane::Urgent, vec![self_check(30 - ago as u64, at_ms, &folder, member.stands, ago == 0)]);
        say(at_ms + HOUR_MS, Lane::Bulk, vec![file(number, ago, at_ms, &mut random)]);
    }
    let refused = number.is_multiple_of(16) && member.site != 0;
    let report = PolicyReport {
        policy: digest.clone(),
        version: version + u64::from(refused),
        group: GROUPS[usize::from(member.site != 0)].into(),
        applied: !refused,
        reason: if refused { "ceiling".into() } else { String::new() },
        detail: if refused { "2621440 bytes, and this device takes 1048576".into() } else { String::new() },
        compile_ms: 40 + random.below(300),
        rules: 96,
        tried: 2_000,
        flagged_before: 11,
        flagged_after: 14,
    };
    say(gone_ms - 5 * DAY_MS, Lane::Urgent, vec![Kind::PolicyReport(report)]);
    let last_ms = gone_ms - 25 * MINUTE_MS;
    let feed = |starved_ms: i64| {
        let (corp, expected) = (CORP.into(), "daily by 09:00".into());
        Kind::Feed(Feed {
            folder: folder.clone(),
            corp,
            expected,
            starved_ms,
            last_export_ms: last_ms - DAY_MS,
            gone_from_ms: 0,
        })
    };
    say(enrolled_ms + 3 * MINUTE_MS, Lane::Bulk, vec![feed(0)]);
    match member.stands {
        Stands::Parted(cause) => {
            say(gone_ms, Lane::Urgent, vec![Kind::Goodbye(Goodbye { cause: cause.into(), at_ms: gone_ms })]);
        }
        Stands::Starved => say(last_ms, Lane::Bulk, vec![feed(last_ms - 30 * HOUR_MS)]),
        Stands::Behind => say(last_ms, Lane::Urgent, vec![loss("file_vanished", "lines", 1_204)]),
        _ => {}
    }
    if number.is_multiple_of(11) {
        say(last_ms - 6 * DAY_MS, Lane::Urgent, vec![loss("outbox_damaged", "records", 3)]);
    }
    if member.stands.finds() && number < SITES.len() {
        say(now_ms - 20 * HOUR_MS, Lane::Bulk, vec![unknown(number, now_ms, &mut random)]);
        let counted = tallies(month, member.site, &mut random);
        for (at_ms, told) in counted {
            month.then(at_ms, Step::Tell { device: number, lane: Lane::Bulk, told, at_ms });
        }
        acknowledgements(month, number, member.site);
    }
    let verb = match member.stands {
        Stands::Quarantined => DeviceVerb::Quarantine,
        Stands::Revoked => DeviceVerb::Revoke,
        _ => return,
    };
    let (device, at_ms) = (member.device.id, gone_ms - HOUR_MS);
    month.write(at_ms, move |log| {
        let deed =
            Deed { device, verb, by: "admin".into(), reason: "设备遗失，待核实 / reported lost".into(), at_ms };
        log.work(|log| Ok(chain::act(log, &deed, &mut Effects::default())?)).map(drop)
    });
}

fn posture(random: &mut Random) -> Kind {
    Kind::Posture(Posture {
        agent_version: env!("CARGO_PKG_VERSION").into(),
        os: ["Windows 11 23H2", "Windows Server 2022", "Ubuntu 22.04"][random.below(3) as usize].into(),
        memory_bytes: 8 << 20,
        disk_free_bytes: 40 << 30,
        backlog_records: 0,
    })
}

fn self_check(number: u64, at_ms: i64, folder: &[u8], stands: Stands, is_last: bool) -> Kind {
    let unreadable = stands == Stands::Unreadable && is_last;
    let failed = stands == Stands::Blind && is_last;
    let check = FolderCheck {
        folder: folder.to_vec(),
        corp: CORP.into(),
        unreadable: if unreadable { "permission".into() } else { String::new() },
        exports: number,
        expected: "daily by 09:00".into(),
        starved_ms: 0,
    };
    Kind::SelfCheck(SelfCheck {
        number,
        written_ms: at_ms - 900,
        found_ms: if failed { 0 } else { at_ms },
        failed,
        reason: if failed { "not_found".into() } else { String::new() },
        folders: vec![check],
        folders_total: 1,
        folders_unreadable: u32::from(unreadable),
    })
}

fn file(number: usize, day: i64, at_ms: i64, random: &mut Random) -> Kind {
    let (state, reason) = match (number as i64 + day) % 19 {
        3 => (FileState::SetAside, "too_large"),
        7 => (FileState::SetAside, "old_office"),
        11 if day < 3 => (FileState::Reading, ""),
        _ => (FileState::Done, ""),
    };
    let messages = 400 + random.below(9_000);
    Kind::FileReport(FileReport {
        file: bytes::<32>(random).to_vec(),
        corp: CORP.into(),
        state: state.into(),
        reason: reason.into(),
        revision: 1,
        bytes: messages * 310,
        messages,
        out_of_scope: messages / 9,
        repeats: messages / 40,
        findings: random.below(8),
        types: [
            ("text".to_owned(), messages * 7 / 10),
            ("image".to_owned(), messages / 5),
            ("voice".to_owned(), messages / 10),
        ]
        .into(),
        first_ms: at_ms - DAY_MS,
        last_ms: at_ms - HOUR_MS,
        carrier: "lines".into(),
        ..FileReport::default()
    })
}

fn loss(reason: &str, unit: &str, count: u64) -> Kind {
    Kind::Loss(Loss { reason: reason.into(), from: 17, count, unit: unit.into(), ..Loss::default() })
}

fn unknown(number: usize, now_ms: i64, random: &mut Random) -> Kind {
    let day = (now_ms / DAY_MS) as i32;
    let accounts = (0..3).map(|_| UnknownAccount {
        corp: CORP.into(),
        pseudonym: format!("p_{}", hex::encode(bytes::<12>(random))),
        messages: 12 + random.below(400),
        first_day: day - 9,
        last_day: day - number as i32,
    });
    Kind::UnknownAccounts(UnknownAccounts { accounts: accounts.collect(), total: 3 })
}

/// Counts of a site's people over two weeks of work.
fn tallies(month: &Month, site: usize, random: &mut Random) -> Vec<(i64, Vec<Summary>)> {
    let mut all = Vec::new();
    for day in 1..15 {
        let at_ms = month.now_ms - day * DAY_MS;
        let mut told = Vec::new();
        for person in month.people.iter().filter(|person| person.site == site) {
            for hour in [2, 6] {
                let sent = 10 + random.below(180);
                let hour = u32::try_from(at_ms / DAY_MS * 24 + hour).unwrap_or_default();
                let tally = Tally {
                    account: person.account(),
                    hour,
                    revision: 1,
                    sent,
                    received: sent * 2 / 3,
                    flagged: random.below(3),
                };
                told.push(Summary {
                    made_at_ms: at_ms,
                    roster_version: 1,
                    kind: Some(Kind::Tally(tally)),
                    ..Summary::default()
                });
            }
        }
        all.push((at_ms, told));
    }
    all
}

fn acknowledgements(month: &mut Month, device: usize, site: usize) {
    let at_ms = month.now_ms - 11 * DAY_MS;
    let of_site =
        month.people.iter().filter(|person| person.site == site).enumerate().filter(|(number, _)| number % 3 != 2);
    let told = of_site.map(|(_, person)| {
        let said = NoticeAcknowledgement { account: person.account(), notice_version: 3, at_ms, notice: vec![3; 32] };
        Summary {
            made_at_ms: at_ms,
            roster_version: 1,
            kind: Some(Kind::NoticeAcknowledgement(said)),
            ..Summary::default()
        }
    });
    let told = told.collect();
    month.then(at_ms, Step::Tell { device, lane: Lane::Urgent, told, at_ms });
}

impl Member {
    /// Connects, and sends heartbeats until the stream ends.
    async fn stay(&self, root: &CertificateDer<'static>, tenant: &str, collector: SocketAddr) -> anyhow::Result<()> {
        let tls = TlsConnector::from(Arc::new(self.tls(root)?));
        let name = ServerName::try_from(UPLINK_NAME)?;
        let connector = tower::service_fn(move |_: tonic::transport::Uri| {
            let (tls, name) = (tls.clone(), name.clone());
            async move {
                let tcp = TcpStream::connect(collector).await?;
                Ok::<_, std::io::Error>(TokioIo::new(tls.connect(name, tcp).await?))
            }
        });
        let channel =
            Endpoint::from_static("http://uplink.watchpost.internal").connect_with_connector(connector).await?;
        let (send, outgoing) = tokio::sync::mpsc::channel(4);
        let say = async |kind| send.send(AgentMessage { kind: Some(kind) }).await;
        say(agent_message::Kind::Hello(self.hello(tenant))).await?;
        let mut incoming = UplinkClient::new(channel).sync(ReceiverStream::new(outgoing)).await?.into_inner();
        let welcome = incoming.message().await?.and_then(|message| message.kind);
        let Some(collector_message::Kind::Welcome(welcome)) = welcome else { anyhow::bail!("no welcome") };
        say(agent_message::Kind::Ready(Ready { nonce: welcome.nonce })).await?;
        let mut beat = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                _ = beat.tick() => say(agent_message::Kind::Heartbeat(self.heartbeat())).await?,
                said = incoming.message() => if said?.is_none() { return Ok(()) },
            }
        }
    }

    fn tls(&self, root: &CertificateDer<'static>) -> anyhow::Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(self.device.chain.clone(), self.device.key_der.clone_key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }

    fn hello(&self, tenant: &str) -> Hello {
        let lanes = [Lane::Urgent, Lane::Bulk].map(|lane| {
            let head = self.device.head(lane);
            LaneHead {
                lane: lane.into(),
                epoch: head.epoch.to_vec(),
                next_sequence: head.next,
                head: head.digest.map(|digest| digest.to_vec()).unwrap_or_default(),
            }
        });
        Hello {
            protocol: 1,
            tenant: tenant.to_owned(),
            device: self.device.id.to_vec(),
            instance: self.device.id.to_vec(),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            epoch: self.device.epoch.to_vec(),
            lanes: lanes.to_vec(),
            clocks: Some(Clocks::default()),
            policy: self.policy.1.clone(),
            ..Hello::default()
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        let is_behind = self.stands == Stands::Behind;
        Heartbeat {
            backlog_records: if is_behind { 1_840 } else { 0 },
            backlog_bytes: if is_behind { 61 << 20 } else { 0 },
            resting: if is_behind && self.site == 4 { "disk_full".into() } else { String::new() },
            files_waiting: u64::from(is_behind) * 3,
            every_ms: u64::try_from(EVERY.as_millis()).unwrap_or_default(),
            policy: self.policy.1.clone(),
            record_waits_ms: u64::from(is_behind) * 47 * 60_000,
            ..Heartbeat::default()
        }
    }
}
