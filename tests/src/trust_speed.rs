//! What trust costs: sealing and checking segments, plain and encrypted; connecting to the real collector, beside a plain
//! TLS 1.3 handshake of the same libraries in the same run; enrolling.

mod connecting;
mod enrolling;

use std::hint::black_box;
use std::time::Instant;

use anyhow::Context as _;
use watchpost_proto::encryption::{Recipient, RecipientSecret};
use watchpost_proto::keys::{SigningKey as _, SoftwareKey};
use watchpost_proto::segment::{Encryption, Head, Seal, decrypt, read_statement, seal_to, verify_signature};
use watchpost_proto::v1::{Clocks, EpochStart, Finding, Lane, Segment, Summary, summary::Kind};
use watchpost_proto::{DeviceId, EpochId, record};

use crate::lab::Lab;

/// Segments of each size.
const ROUNDS: u32 = 2_000;
/// Records in them: one finding that is sent at once, and what gathers while a line is down.
const RECORDS: [usize; 3] = [1, 100, 1_000];

/// Measures everything and prints it.
///
/// # Errors
/// A program that does not start, or a connection that is refused.
pub fn report(handshakes: usize, enrolments: usize) -> anyhow::Result<()> {
    let secret = RecipientSecret::generate([7; 32]).context("no key")?.0;
    for records in RECORDS {
        sealing(records, &secret)?;
    }
    let mut lab = Lab::new(1)?;
    let address = lab.collector.start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(connecting::report(&lab, address, handshakes))?;
    runtime.block_on(enrolling::report(&lab, address, enrolments))?;
    lab.collector.stop()?;
    Ok(())
}

fn a_record(number: usize) -> anyhow::Result<Vec<u8>> {
    let finding = Finding {
        finding_id: vec![number as u8; 32],
        corp: "wwEXAMPLE0001".into(),
        pack: "customer-diversion".into(),
        pack_digest: vec![1; 32],
        rule: "diversion.private-contact".into(),
        category: "customer-diversion".into(),
        person: "wwEXAMPLE0001/li.na".into(),
        msgid: format!("msg-{number:016}"),
        msgtype: "text".into(),
        from: "wwEXAMPLE0001/li.na".into(),
        to: vec!["p:5f3a91c0d4e57b21".into()],
        excerpt: "您加我私人微信吧".into(),
        ..Finding::default()
    };
    let summary = Summary {
        made_at_ms: number as i64,
        policy: vec![2; 32],
        kind: Some(Kind::Finding(finding)),
        ..Summary::default()
    };
    Ok(record::encode(&summary, [number as u8; 16])?)
}

fn sealing(count: usize, secret: &RecipientSecret) -> anyhow::Result<()> {
    let (key, _) = SoftwareKey::generate()?;
    let records = (0..count).map(a_record).collect::<anyhow::Result<Vec<_>>>()?;
    let rounds = (ROUNDS / u32::try_from(count.div_ceil(100))?).max(200);
    let seal = |recipient: Option<&Recipient>, round: u32| -> anyhow::Result<Segment> {
        let mut entropy = [0; 32];
        entropy[..4].copy_from_slice(&round.to_be_bytes());
        let encryption = recipient.map(|recipient| Encryption { recipient, entropy });
        Ok(seal_to(&first(), black_box(&records), &key, encryption)?.segment)
    };
    let mut told = Vec::new();
    for recipient in [None, Some(secret.recipient())] {
        let start = Instant::now();
        for round in 0..rounds {
            black_box(seal(recipient, round)?);
        }
        let sealed = f64::from(rounds) / start.elapsed().as_secs_f64();
        let segment = seal(recipient, 0)?;
        let start = Instant::now();
        for _ in 0..rounds {
            let read = read_statement(black_box(&segment.statement))?;
            verify_signature(&segment.statement, &segment.signature, key.public())?;
            black_box(decrypt(&read.statement, segment.payload.clone(), |_| Some(secret))?);
        }
        let checked = f64::from(rounds) / start.elapsed().as_secs_f64();
        let bytes = segment.statement.len() + segment.signature.len() + segment.payload.len();
        told.push((sealed, checked, bytes));
    }
    let [(plain, plain_checked, plain_bytes), (hidden, hidden_checked, hidden_bytes)] = told[..] else { return Ok(()) };
    println!(
        "{count:>5} records: sealed {plain:>7.0}/s plain, {hidden:>7.0}/s encrypted; checked {plain_checked:>7.0}/s plain, \
         {hidden_checked:>7.0}/s encrypted; {plain_bytes} bytes, {} more encrypted",
        hidden_bytes - plain_bytes
    );
    Ok(())
}

fn first() -> Seal<'static> {
    Seal {
        tenant: "bench",
        device: DeviceId([2; 16]),
        lane: Lane::Urgent,
        head: Head::start(EpochId([1; 16])),
        epoch_start: Some(EpochStart::default()),
        clocks: Clocks::default(),
        agent_version: "0.1.0",
    }
}
