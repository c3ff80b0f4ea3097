//! What the log costs: appending, proving, checking and publishing, at a given size.
//!
//! Entries are as small as headers can be, so that a tree of ten million fits on any disk; the tree and its proofs are
//! the same whatever the entries hold. Durable appends go in groups as the sequencer makes them under load.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use watchpost_collector::log_store::{LogReader, LogStore};
use watchpost_collector::publish::publish;
use watchpost_proto::keys::{SigningKey as _, SoftwareKey};
use watchpost_proto::log::entry_leaf;
use watchpost_proto::merkle::{consistency_proof, inclusion_path, verify_consistency, verify_inclusion};
use watchpost_proto::note::{self, LogSigner};
use watchpost_proto::segment::{Head, Seal, seal, verify_signature};
use watchpost_proto::v1::{Clocks, EntryKind, EpochStart, Lane, LogOpened, Summary};
use watchpost_proto::{DeviceId, Digest, EpochId, merkle, record};

/// Entries in one commit.
const GROUP: u64 = 256;
/// Bytes of an entry's header.
const HEADER: [u8; 64] = [7; 64];
/// Proofs that are made and checked.
const PROOFS: u64 = 20_000;

/// Makes a log of `entries` entries in a temporary folder and prints what everything about it takes.
///
/// # Errors
/// The disk, or a proof that does not hold.
pub fn report(entries: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log.db");
    append(&path, entries)?;
    let log = LogReader::open(&path)?;
    prove(&log)?;
    check_signatures()?;
    publish_all(&log, folder.path())
}

fn append(path: &Path, entries: u64) -> anyhow::Result<()> {
    let mut store = LogStore::open(path, "bench", |_| Ok(LogOpened::default()))?;
    let start = Instant::now();
    while store.checkpoint().size < entries {
        let group = GROUP.min(entries - store.checkpoint().size);
        let mut appender = store.begin()?;
        for _ in 0..group {
            appender.append(EntryKind::Authority, &HEADER)?;
        }
        appender.commit()?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(path)?.len();
    println!(
        "append: {entries} entries in {seconds:.1} s, {:.0}/s, durable in groups of {GROUP}; log.db {:.0} bytes an entry",
        entries as f64 / seconds,
        bytes as f64 / entries as f64,
    );
    Ok(())
}

/// Places that look like chance and are the same in every run.
fn places(size: u64) -> impl Iterator<Item = u64> {
    let step = |state: &u64| state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    std::iter::successors(Some(1), move |state| Some(step(state))).map(move |state| (state >> 11) % size)
}

fn prove(log: &LogReader) -> anyhow::Result<()> {
    let head = log.checkpoint()?;
    let (mut made, mut times) = (Vec::new(), Vec::new());
    for index in places(head.size).take(PROOFS as usize) {
        let start = Instant::now();
        let path = inclusion_path(index, head.size, &mut |level, index| log.node(level, index))?;
        times.push(start.elapsed().as_secs_f64());
        made.push((index, path.context("no such entry")?));
    }
    let hashes = made.iter().map(|(_, path)| path.len()).max().unwrap_or(0);
    println!(
        "inclusion: at most {hashes} hashes, {} bytes; made in {:.0} µs, p99 {:.0} µs",
        hashes * 32,
        at(&mut times, 0.5) * 1e6,
        at(&mut times, 0.99) * 1e6
    );
    let leaves = made.iter().map(|(index, _)| log.node(0, *index)).collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    for ((index, path), leaf) in made.iter().zip(&leaves) {
        ensure!(verify_inclusion(*leaf, *index, head.size, path, &head.root), "entry {index} is not proved");
    }
    println!("inclusion: {:.0} checked/s", made.len() as f64 / start.elapsed().as_secs_f64());

    let (mut made, mut times) = (Vec::new(), Vec::new());
    for old in places(head.size).take(PROOFS as usize / 10) {
        let old_root = merkle::Frontier::load(old, |level, index| log.node(level, index))?.root();
        let start = Instant::now();
        let proof = consistency_proof(old, head.size, &mut |level, index| log.node(level, index))?;
        times.push(start.elapsed().as_secs_f64());
        made.push((old, old_root, proof.context("no such size")?));
    }
    let hashes = made.iter().map(|(.., proof)| proof.len()).max().unwrap_or(0);
    let start = Instant::now();
    for (old, old_root, proof) in &made {
        ensure!(verify_consistency(*old, old_root, head.size, &head.root, proof), "{old} entries are not proved");
    }
    println!(
        "consistency: at most {hashes} hashes; made in {:.0} µs; {:.0} checked/s",
        at(&mut times, 0.5) * 1e6,
        made.len() as f64 / start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// What a verifier of evidence does for each segment, and for each checkpoint.
fn check_signatures() -> anyhow::Result<()> {
    let (key, _) = SoftwareKey::generate()?;
    let epoch = EpochId([1; 16]);
    let what = Seal {
        tenant: "bench",
        device: DeviceId([2; 16]),
        lane: Lane::Urgent,
        head: Head::start(epoch),
        epoch_start: Some(EpochStart::default()),
        clocks: Clocks::default(),
        agent_version: "0.1.0",
    };
    let sealed = seal(&what, &[record::encode(&Summary::default(), [3; 16])?], &key)?.segment;
    let rounds = 20_000;
    let start = Instant::now();
    for _ in 0..rounds {
        verify_signature(black_box(&sealed.statement), &sealed.signature, key.public())?;
    }
    let statements = f64::from(rounds) / start.elapsed().as_secs_f64();
    let (signer, _) = LogSigner::generate()?;
    let root = entry_leaf(&Digest([4; 32]));
    let signed = signer.sign(&note::Checkpoint { origin: "watchpost/bench/x".into(), size: 1, root });
    let start = Instant::now();
    for _ in 0..rounds {
        ensure!(note::open(black_box(&signed), &signer.public()).is_some(), "the note does not open");
    }
    let notes = f64::from(rounds) / start.elapsed().as_secs_f64();
    println!("signatures: {statements:.0} statements/s, {notes:.0} checkpoints/s checked on one core");
    Ok(())
}

fn publish_all(log: &LogReader, folder: &Path) -> anyhow::Result<()> {
    let (signer, _) = LogSigner::generate()?;
    let signed = signer.sign(&log.checkpoint()?);
    let start = Instant::now();
    let written = publish(&folder.join("www"), log, &signed)?;
    println!("publish: {} entries as {} files in {:.1} s", written.size, written.files, start.elapsed().as_secs_f64());
    Ok(())
}

fn at(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default()
}
