//! Enrolment as devices see it: one question, one answer, never more than some kilobytes, and not too often.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use tonic::{Request, Response, Status};
use tracing::info;
use watchpost_proto::keys::PublicKey;
use watchpost_proto::refusal::Code;
use watchpost_proto::token::{CREDENTIAL_BYTES, credential_digest};
use watchpost_proto::v1::enrolment_server::Enrolment;
use watchpost_proto::v1::{EnrolAnswer, EnrolRequest, Enrolled, enrol_answer};

use super::{Asked, Member, ask};
use crate::acceptor::Link;
use crate::ingest::Shared;
use crate::log_store::Appender;
use crate::pki;
use crate::registry::Effects;

/// The version of the contract spoken here.
const PROTOCOL: u32 = 1;
/// Questions a second from one address, and at once. An address may be a whole branch on its first day.
const PER_ADDRESS: (NonZeroU32, NonZeroU32) = (NonZeroU32::new(5).unwrap(), NonZeroU32::new(100).unwrap());
/// Questions a second from all addresses, and at once.
const IN_ALL: (NonZeroU32, NonZeroU32) = (NonZeroU32::new(200).unwrap(), NonZeroU32::new(1000).unwrap());
/// Addresses remembered before those that have been silent are forgotten.
const ADDRESSES_MAX: usize = 10_000;
/// Longest word taken over from a device.
const WORD_CHARS_MAX: usize = 128;

/// The service.
#[derive(Debug)]
pub struct Enrolments {
    shared: Arc<Shared>,
    per_address: DefaultKeyedRateLimiter<IpAddr>,
    in_all: DefaultDirectRateLimiter,
}

impl Enrolments {
    /// Serves with what all services share.
    pub fn new(shared: Arc<Shared>) -> Self {
        let quota = |(rate, burst): (NonZeroU32, NonZeroU32)| Quota::per_second(rate).allow_burst(burst);
        Self { shared, per_address: RateLimiter::keyed(quota(PER_ADDRESS)), in_all: RateLimiter::direct(quota(IN_ALL)) }
    }

    fn check_rate(&self, address: IpAddr) -> Result<(), Code> {
        if self.per_address.len() > ADDRESSES_MAX {
            self.per_address.retain_recent();
        }
        let within = self.per_address.check_key(&network(address)).is_ok() && self.in_all.check().is_ok();
        if within { Ok(()) } else { Err(Code::Busy) }
    }

    async fn answer(&self, request: &EnrolRequest, address: IpAddr) -> Result<Enrolled, Code> {
        self.check_rate(address)?;
        let asked = self.read(request, address)?;
        let serving = Arc::clone(&self.shared.serving.borrow());
        let enrolling = serving.enrolling.as_ref().ok_or(Code::EnrolmentClosed)?;
        let issuer = Arc::clone(&enrolling.issuer);
        let shown = asked.clone();
        let work = move |appender: &mut Appender<'_>, effects: &mut Effects| ask(appender, &issuer, &asked, effects);
        let answered = self.shared.sequencer.run(work).await.map_err(|_| Code::StorageFailed)?;
        match &answered {
            Ok(member) => info!(device = %member.device, %address, group = member.group, "device enrolled"),
            Err(code) => info!(
                key = %shown.key.id().0, token = %shown.token, %address, code = code.as_str(), "not enrolled"
            ),
        }
        let Member { device, chain, group, site } = answered?;
        Ok(Enrolled {
            device: device.to_vec(),
            chain,
            roots: serving.credentials.roots_der(),
            tenant_key: enrolling.tenant_key.to_vec(),
            group,
            site,
        })
    }

    fn read(&self, request: &EnrolRequest, address: IpAddr) -> Result<Asked, Code> {
        if request.protocol != PROTOCOL {
            return Err(Code::ProtocolUnsupported);
        }
        if request.credential.len() != CREDENTIAL_BYTES {
            return Err(Code::TokenUnknown);
        }
        Ok(Asked {
            token: credential_digest(&request.credential),
            key: requested_key(&request.request)?,
            hostname: word(&request.hostname),
            asset: word(&request.asset),
            agent_version: word(&request.agent_version),
            address: address.to_string(),
            at_ms: self.shared.clock.now_ms(),
        })
    }
}

/// Who is counted as one: of IPv6 the whole network, since a host has as many addresses as it likes.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => four.into(),
            None => Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX)).into(),
        },
    }
}

/// The key a request is for; it has signed the request.
pub(crate) fn requested_key(request: &[u8]) -> Result<PublicKey, Code> {
    let spki = pki::requested_key(request).map_err(|_| Code::RequestInvalid)?;
    PublicKey::from_spki(&spki).ok_or(Code::RequestInvalid)
}

/// What a device says of itself: of bounded length and without anything a terminal would obey or a list would hide.
fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric() || c.is_ascii_graphic() || *c == ' ').take(WORD_CHARS_MAX).collect()
}

#[tonic::async_trait]
impl Enrolment for Enrolments {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolAnswer>, Status> {
        let link = request.extensions().get::<Link>().ok_or_else(|| Status::unauthenticated("no connection"))?;
        let _open = link.open();
        let address = link.address().ip();
        // A connection may call only the service its handshake was for.
        let answered = match link.peer() {
            None => self.answer(request.get_ref(), address).await,
            Some(_) => Err(Code::WrongService),
        };
        let kind = match answered {
            Ok(enrolled) => enrol_answer::Kind::Enrolled(enrolled),
            Err(code) => enrol_answer::Kind::Refusal(code.refusal()),
        };
        Ok(Response::new(EnrolAnswer { server_ms: self.shared.clock.now_ms(), kind: Some(kind) }))
    }
}
