//! Enrolment: a token and a key become a certificate.

use tonic::transport::Endpoint;
use watchpost_proto::DeviceId;
use watchpost_proto::identity::{Role, read_certificate};
use watchpost_proto::keys::SigningKey;
use watchpost_proto::request::certificate_request;
use watchpost_proto::token::Token;
use watchpost_proto::v1::enrolment_client::EnrolmentClient;
use watchpost_proto::v1::{EnrolRequest, Enrolled, enrol_answer};

use super::tls::Dialler;
use super::{Ended, PROTOCOL, connection, refused};
use crate::device::{DeviceFiles, Membership};

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long an answer may take.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(30);

/// What a device says of itself, for people to recognise it by.
#[derive(Clone, Debug, Default)]
pub struct Who {
    /// The system's name.
    pub hostname: String,
    /// Its asset or serial number.
    pub asset: String,
}

/// A device that has enrolled.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it was given.
    pub device: DeviceId,
    /// Its tenant.
    pub tenant: String,
    /// Where it belongs, and where its collector is.
    pub membership: Membership,
}

/// Enrols with a token, and keeps what comes of it in the device's files. Asking again with the same token and key gets
/// the same certificate, so whatever goes wrong, it may be done again.
///
/// # Errors
/// [`Ended`]: a refusal with its code, or no connection.
pub async fn enrol(token: &Token, files: &DeviceFiles, who: &Who, now_ms: i64) -> Result<Member, Ended> {
    let key = files.first_key().map_err(|error| Ended::Connection(error.to_string()))?;
    let question = EnrolRequest {
        protocol: PROTOCOL,
        credential: token.credential.to_vec(),
        request: certificate_request(&key).map_err(|error| Ended::Connection(error.to_string()))?,
        agent_version: env!("CARGO_PKG_VERSION").into(),
        hostname: who.hostname.clone(),
        asset: who.asset.clone(),
    };
    let mut failed = Ended::Connection("the token names no address".into());
    for address in &token.addresses {
        match ask(token, address, &question, now_ms).await {
            Ok(enrolled) => return keep(token, files, &key, enrolled),
            Err(ended @ Ended::Refused { .. }) => return Err(ended),
            Err(ended) => failed = ended,
        }
    }
    Err(failed)
}

async fn ask(token: &Token, address: &str, question: &EnrolRequest, now_ms: i64) -> Result<Enrolled, Ended> {
    // A device that has never been told the time may be years ahead; the token says until when it was meant to be used.
    let dialler = Dialler::enrolment(token.root_pin, now_ms.min(token.expires_ms))
        .map_err(|error| Ended::Connection(error.to_string()))?;
    let address = address.to_owned();
    let channel = Endpoint::from_static("http://enrol.watchpost.internal")
        .connect_with_connector(tower::service_fn(move |_| dialler.clone().dial(address.clone())))
        .await
        .map_err(|error| connection(&error))?;
    let mut client = EnrolmentClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    let answer = tokio::time::timeout(ANSWER, client.enrol(question.clone()))
        .await
        .map_err(|_| Ended::Connection("no answer in time".into()))?
        .map_err(|status| connection(&status))?
        .into_inner();
    match answer.kind {
        Some(enrol_answer::Kind::Enrolled(enrolled)) => Ok(enrolled),
        Some(enrol_answer::Kind::Refusal(refusal)) => Err(refused(refusal)),
        None => Err(Ended::Connection("an answer of a later version; update the agent".into())),
    }
}

fn keep(token: &Token, files: &DeviceFiles, key: &dyn SigningKey, enrolled: Enrolled) -> Result<Member, Ended> {
    let unfit = || Ended::Connection("the collector's answer does not fit what was asked".into());
    let leaf = enrolled.chain.first().and_then(|leaf| read_certificate(leaf).ok()).ok_or_else(unfit)?;
    let Role::Device(device) = leaf.role else { return Err(unfit()) };
    let tenant_key = <[u8; 32]>::try_from(&enrolled.tenant_key[..]).map_err(|_| unfit())?;
    let fits = leaf.key == *key.public()
        && leaf.tenant == token.tenant
        && DeviceId::from_slice(&enrolled.device) == Some(device);
    // Only what the token pins is believed for its sake alone; further roots are learnt where an earlier one vouches for them.
    let root = enrolled.roots.iter().find(|root| watchpost_proto::digest::sha256(&[root]) == token.root_pin);
    let root = root.filter(|_| fits).ok_or_else(unfit)?.clone();
    let membership = Membership {
        collectors: token.addresses.clone(),
        group: enrolled.group,
        site: enrolled.site,
        policy_key: token.policy_pin.map(|key| key.0.to_string()).unwrap_or_default(),
        roster_key: token.roster_pin.map(|key| key.0.to_string()).unwrap_or_default(),
    };
    let kept = files
        .keep_roots(&[root])
        .and_then(|()| files.keep_tenant_key(&tenant_key))
        .and_then(|()| files.keep_membership(&membership))
        // Last: from here on the device is enrolled.
        .and_then(|()| files.keep_chain(&enrolled.chain));
    kept.map_err(|error| Ended::Connection(error.to_string()))?;
    Ok(Member { device, tenant: leaf.tenant, membership })
}
