//! Which device gets a certificate: the rules of enrolment and renewal, inside the one writer.
//!
//! Every answer follows from the log alone, so asking again after a lost answer gives the same: the same token and key
//! get the same certificate and no second use is counted.

mod adoption;
pub mod desk;
pub(crate) mod rekey;
mod renewal;
mod service;
pub mod tokens;

use time::{Duration, OffsetDateTime};
use tracing::error;
use watchpost_proto::keys::{KeyId, PublicKey};
use watchpost_proto::refusal::Code;
use watchpost_proto::v1::{EnrolmentEntry, EnrolmentVerb, EntryKind, KeyCause, KeyEvent, TokenTerms};
use watchpost_proto::{DeviceId, Digest, Message as _, identity};

use crate::chain::BY_COLLECTOR;
use crate::credentials::chain_from_pem;
use crate::log_store::{self, Appender, EnrolmentFacts, StoreError, TokenFacts};
use crate::pki::{DeviceCa, PkiError};
use crate::registry::Effects;

pub(crate) use adoption::adopt;
pub(crate) use renewal::is_settled;
pub use renewal::{Presented, prove, renew};
pub use service::Enrolments;
pub(crate) use service::requested_key;

/// Issues device certificates.
#[derive(Debug)]
pub struct Issuer {
    /// The intermediate.
    pub ca: DeviceCa,
    /// The tenant of every certificate.
    pub tenant: String,
    /// How long a certificate lasts.
    pub life: Duration,
}

impl Issuer {
    /// DER certificates, leaf first.
    fn issue(&self, key: &PublicKey, device: &DeviceId, now_ms: i64) -> Result<Vec<Vec<u8>>, PkiError> {
        let now =
            OffsetDateTime::from_unix_timestamp_nanos(i128::from(now_ms) * 1_000_000).map_err(|_| PkiError::Key)?;
        let pem = self.ca.issue(key.spki(), &self.tenant, device, self.life, now)?;
        chain_from_pem(&pem).ok_or(PkiError::Key)
    }
}

/// What a device asks for with a token, well-formed.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Digest of the credential it showed.
    pub token: Digest,
    /// The key it wants certified; it has proved to hold it.
    pub key: PublicKey,
    /// What it says of itself.
    pub hostname: String,
    /// What it says of itself.
    pub asset: String,
    /// Its program.
    pub agent_version: String,
    /// Where it asks from.
    pub address: String,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

/// A device with its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it was given.
    pub device: DeviceId,
    /// DER certificates, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// Its group.
    pub group: String,
    /// Its site.
    pub site: String,
}

/// What is known about who asks.
struct Known {
    token: Option<TokenFacts>,
    enrolment: Option<EnrolmentFacts>,
    /// The device this key belongs to.
    device: Option<DeviceId>,
    revoked: bool,
    /// Group and site of its asset, where that is on the list.
    expected: Option<(String, String)>,
    /// Another device has enrolled as this asset.
    asset_is_taken: bool,
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Decision {
    /// It has a certificate already.
    Again {
        device: DeviceId,
        group: String,
        site: String,
    },
    /// It gets one; `device` where its key has enrolled before.
    Enrol {
        device: Option<DeviceId>,
        group: String,
        site: String,
    },
    /// Somebody has to look.
    Queue {
        group: String,
        site: String,
    },
    Refuse(Code),
}

/// Answers a device that shows a token.
///
/// # Errors
/// [`StoreError`]; the whole group must then be dropped.
pub fn ask(
    appender: &mut Appender<'_>,
    issuer: &Issuer,
    asked: &Asked,
    effects: &mut Effects,
) -> Result<Result<Member, Code>, StoreError> {
    match decide(look_up(appender, asked)?, asked.at_ms) {
        Decision::Refuse(code) => Ok(Err(code)),
        Decision::Queue { group, site } => {
            step(appender, asked, EnrolmentVerb::Asked, None, (&group, &site))?;
            Ok(Err(Code::ApprovalPending))
        }
        Decision::Again { device, group, site } => {
            let chain = certificate_again(appender, issuer, asked, &device, effects)?;
            Ok(chain.map(|chain| Member { device, chain, group, site }))
        }
        Decision::Enrol { device, group, site } => {
            if let Some(device) = device {
                let presented = Presented { device, key: asked.key.clone(), expired: false, at_ms: asked.at_ms };
                renewal::notice_replaced(appender, &presented, effects)?;
            }
            let device = device.map_or_else(new_device, Ok)?;
            let Some(chain) = issue(issuer, &asked.key, &device, asked.at_ms) else {
                return Ok(Err(Code::EnrolmentClosed));
            };
            step(appender, asked, EnrolmentVerb::Enrolled, Some(&device), (&group, &site))?;
            introduce(appender, &device, &asked.key, &chain, KeyCause::Enrolled, asked.at_ms, effects)?;
            effects.groups.push((device, group.clone()));
            Ok(Ok(Member { device, chain, group, site }))
        }
    }
}

fn look_up(appender: &Appender<'_>, asked: &Asked) -> Result<Known, StoreError> {
    let (db, key) = (appender.connection(), asked.key.id());
    let device = log_store::device_of_key(db, &key)?;
    let listed = !asked.asset.is_empty();
    Ok(Known {
        token: log_store::token_facts(db, &asked.token)?,
        enrolment: log_store::enrolment_facts(db, &asked.token, &key)?,
        revoked: device.map(|device| log_store::device_facts(db, &device)).transpose()?.is_some_and(|it| it.revoked),
        device,
        expected: if listed { log_store::expected_asset(db, &asked.asset)? } else { None },
        asset_is_taken: listed && log_store::asset_is_taken(db, &asked.asset, device.as_ref())?,
    })
}

fn decide(known: Known, now_ms: i64) -> Decision {
    let Some(token) = known.token else { return Decision::Refuse(Code::TokenUnknown) };
    if known.revoked {
        return Decision::Refuse(Code::DeviceRevoked);
    }
    if let Some(EnrolmentFacts { step, device, group, site, .. }) = known.enrolment {
        return match (step, device) {
            (EnrolmentVerb::Enrolled, Some(device)) => Decision::Again { device, group, site },
            (EnrolmentVerb::Admitted, _) => Decision::Enrol { device: known.device, group, site },
            (EnrolmentVerb::Rejected, _) => Decision::Refuse(Code::ApprovalRejected),
            _ => Decision::Refuse(Code::ApprovalPending),
        };
    }
    if token.revoked {
        return Decision::Refuse(Code::TokenRevoked);
    }
    if token.expires_ms <= now_ms {
        return Decision::Refuse(Code::TokenExpired);
    }
    if token.uses >= token.uses_max {
        return Decision::Refuse(Code::TokenUsedUp);
    }
    let is_listed = known.expected.is_some() && !known.asset_is_taken;
    let (group, site) = known.expected.unwrap_or((token.group, token.site));
    match token.terms {
        TokenTerms::Open => Decision::Enrol { device: known.device, group, site },
        TokenTerms::Listed if is_listed => Decision::Enrol { device: known.device, group, site },
        _ => Decision::Queue { group, site },
    }
}

/// The certificate a key has already; a new one where that has ended or a later key has taken its place.
fn certificate_again(
    appender: &mut Appender<'_>,
    issuer: &Issuer,
    asked: &Asked,
    device: &DeviceId,
    effects: &mut Effects,
) -> Result<Result<Vec<Vec<u8>>, Code>, StoreError> {
    let facts = log_store::certificate_facts(appender.connection(), device)?;
    let latest = facts.map(|facts| log_store::key_event(appender.connection(), facts.log_index)).transpose()?;
    if let Some(event) = latest
        && event.key_id == asked.key.id().to_vec()
        && !has_ended(&event.chain, asked.at_ms)
    {
        return Ok(Ok(event.chain));
    }
    let presented = Presented { device: *device, key: asked.key.clone(), expired: false, at_ms: asked.at_ms };
    renew(appender, issuer, &presented, &asked.key, effects)
}

fn has_ended(chain: &[Vec<u8>], now_ms: i64) -> bool {
    chain.first().and_then(|leaf| identity::validity_ms(leaf)).is_none_or(|(_, not_after)| not_after <= now_ms)
}

fn issue(issuer: &Issuer, key: &PublicKey, device: &DeviceId, now_ms: i64) -> Option<Vec<Vec<u8>>> {
    match issuer.issue(key, device, now_ms) {
        Ok(chain) => Some(chain),
        Err(reason) => {
            error!(%reason, "no certificate issued");
            None
        }
    }
}

/// Logs one step of a key towards its certificate.
fn step(
    appender: &mut Appender<'_>,
    asked: &Asked,
    verb: EnrolmentVerb,
    device: Option<&DeviceId>,
    (group, site): (&str, &str),
) -> Result<u64, StoreError> {
    let entry = EnrolmentEntry {
        verb: verb.into(),
        token: asked.token.to_vec(),
        key_id: asked.key.id().to_vec(),
        device: device.map(|device| device.to_vec()).unwrap_or_default(),
        group: group.into(),
        site: site.into(),
        hostname: asked.hostname.clone(),
        asset: asked.asset.clone(),
        agent_version: asked.agent_version.clone(),
        address: asked.address.clone(),
        by: BY_COLLECTOR.into(),
        reason: String::new(),
        at_ms: asked.at_ms,
    };
    appender.append(EntryKind::Enrolment, &entry.encode_to_vec())
}

/// Logs a certificate that was issued, and its key with it.
fn introduce(
    appender: &mut Appender<'_>,
    device: &DeviceId,
    key: &PublicKey,
    chain: &[Vec<u8>],
    cause: KeyCause,
    at_ms: i64,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    let id: KeyId = key.id();
    let event =
        KeyEvent { device: device.to_vec(), key_id: id.to_vec(), chain: chain.to_vec(), at_ms, cause: cause.into() };
    let log_index = appender.append(EntryKind::KeyEvent, &event.encode_to_vec())?;
    if !log_store::has_key(appender.connection(), device, &id)? {
        appender.note_key(device, &id, key.spki(), log_index)?;
        effects.keys.push((*device, key.clone()));
    }
    rekey::tell(appender, device, effects)
}

/// A random UUID, version 4.
fn new_device() -> Result<DeviceId, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(DeviceId(uuid::Builder::from_random_bytes(bytes).into_uuid().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(terms: TokenTerms) -> TokenFacts {
        TokenFacts {
            group: "g".into(),
            site: "s".into(),
            expires_ms: 1000,
            uses_max: 2,
            uses: 1,
            terms,
            revoked: false,
        }
    }

    fn known(terms: TokenTerms) -> Known {
        Known {
            token: Some(token(terms)),
            enrolment: None,
            device: None,
            revoked: false,
            expected: None,
            asset_is_taken: false,
        }
    }

    fn at(step: EnrolmentVerb, device: Option<DeviceId>) -> EnrolmentFacts {
        EnrolmentFacts {
            step,
            device,
            group: "eg".into(),
            site: "es".into(),
            hostname: String::new(),
            asset: String::new(),
        }
    }

    fn enrol(device: Option<DeviceId>, group: &str, site: &str) -> Decision {
        Decision::Enrol { device, group: group.into(), site: site.into() }
    }

    #[test]
    fn a_token_holds_until_it_is_over_used_up_or_withdrawn() {
        let refused = |change: fn(&mut TokenFacts)| {
            let mut token = token(TokenTerms::Open);
            change(&mut token);
            decide(Known { token: Some(token), ..known(TokenTerms::Open) }, 999)
        };
        assert_eq!(refused(|_| ()), enrol(None, "g", "s"));
        assert_eq!(refused(|token| token.expires_ms = 999), Decision::Refuse(Code::TokenExpired));
        assert_eq!(refused(|token| token.uses = 2), Decision::Refuse(Code::TokenUsedUp));
        assert_eq!(refused(|token| token.revoked = true), Decision::Refuse(Code::TokenRevoked));
        let none = Known { token: None, ..known(TokenTerms::Open) };
        assert_eq!(decide(none, 0), Decision::Refuse(Code::TokenUnknown));
    }

    #[test]
    fn what_was_decided_once_holds_although_the_token_is_over() {
        let device = DeviceId([1; 16]);
        let later = |step, of| decide(Known { enrolment: Some(at(step, of)), ..known(TokenTerms::Open) }, 5000);
        let again = Decision::Again { device, group: "eg".into(), site: "es".into() };
        assert_eq!(later(EnrolmentVerb::Enrolled, Some(device)), again);
        assert_eq!(later(EnrolmentVerb::Admitted, None), enrol(None, "eg", "es"));
        assert_eq!(later(EnrolmentVerb::Asked, None), Decision::Refuse(Code::ApprovalPending));
        assert_eq!(later(EnrolmentVerb::Rejected, None), Decision::Refuse(Code::ApprovalRejected));
    }

    #[test]
    fn a_revoked_device_gets_nothing_with_any_token() {
        let enrolled = Some(at(EnrolmentVerb::Enrolled, Some(DeviceId([1; 16]))));
        for enrolment in [None, enrolled] {
            let known = Known { revoked: true, enrolment, ..known(TokenTerms::Open) };
            assert_eq!(decide(known, 0), Decision::Refuse(Code::DeviceRevoked));
        }
    }

    #[test]
    fn only_assets_of_the_list_go_past_the_queue_and_each_once() {
        let queue = |group: &str| Decision::Queue { group: group.into(), site: group.replace('g', "s") };
        assert_eq!(decide(known(TokenTerms::Listed), 0), queue("g"));
        assert_eq!(decide(known(TokenTerms::Approval), 0), queue("g"));
        let expected = Some(("lg".to_owned(), "ls".to_owned()));
        let listed = || Known { expected: expected.clone(), ..known(TokenTerms::Listed) };
        assert_eq!(decide(listed(), 0), enrol(None, "lg", "ls"));
        assert_eq!(decide(Known { asset_is_taken: true, ..listed() }, 0), queue("lg"));
        let approval = Known { expected, ..known(TokenTerms::Approval) };
        assert_eq!(decide(approval, 0), queue("lg"));
    }
}
