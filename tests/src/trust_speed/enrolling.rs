//! Enrolments with one token: a full handshake, a certificate request, a certificate, and both durable in the log.
//!
//! The collector bounds how often it is asked: 5 a second from one address and 200 in all, after 100 and 1,000 at once. What
//! is measured stays within what it allows at once, from many addresses of the loopback network; a refusal fails it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{bail, ensure};
use watchpost_proto::identity::ENROL_NAME;
use watchpost_proto::keys::SoftwareKey;
use watchpost_proto::request::certificate_request;
use watchpost_proto::token::Token;
use watchpost_proto::v1::enrolment_client::EnrolmentClient;
use watchpost_proto::v1::{EnrolRequest, enrol_answer};

use super::connecting::{channel, client, connector, many};
use crate::lab::Lab;

/// What the collector allows at once, from one address and in all.
const AT_ONCE_MAX: (usize, usize) = (100, 1_000);

pub(super) async fn report(lab: &Lab, collector: SocketAddr, count: usize) -> anyhow::Result<()> {
    ensure!(count < AT_ONCE_MAX.1, "at most {} enrolments are allowed at once", AT_ONCE_MAX.1 - 1);
    let uses = count.to_string();
    let token = lab.collector.command(&["token", "create", "--ttl", "1h", "--uses", &uses])?.ok()?;
    let token = Token::parse(token.trim())?;
    // Keys are made on devices, each its own: not counted here.
    let questions = (0..count).map(|_| question(&token)).collect::<anyhow::Result<Vec<_>>>()?;
    let questions = Arc::new(questions);
    let root = lab.collector.dir().join("pki/root.crt");
    let tls = connector(client(&root)?.with_no_client_auth());
    let addresses = count / (AT_ONCE_MAX.0 / 2) + 1;
    let rate = many(count, move |number| {
        let (tls, questions) = (tls.clone(), Arc::clone(&questions));
        // The whole network is the loopback device's.
        let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2 + (number % addresses) as u8), 0));
        async move {
            let mut client = EnrolmentClient::new(channel(&tls, ENROL_NAME, collector, from).await?);
            let Some(question) = questions.get(number) else { return Ok(()) };
            match client.enrol(question.clone()).await?.into_inner().kind {
                Some(enrol_answer::Kind::Enrolled(_)) => Ok(()),
                other => bail!("not enrolled but {other:?}"),
            }
        }
    })
    .await?;
    println!(
        "enrolments: {rate:.0}/s of {count} from {addresses} addresses, each with a handshake and durable in the log; beyond \
         what it allows at once the collector takes 200/s in all and 5/s from one address"
    );
    Ok(())
}

fn question(token: &Token) -> anyhow::Result<EnrolRequest> {
    let (key, _) = SoftwareKey::generate()?;
    Ok(EnrolRequest {
        protocol: 1,
        credential: token.credential.to_vec(),
        request: certificate_request(&key)?,
        agent_version: "bench".into(),
        hostname: String::new(),
        asset: String::new(),
    })
}
