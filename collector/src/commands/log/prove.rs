//! `watchpost-collector log prove`: that an entry is in the log, and that the log has only grown.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;
use watchpost_proto::merkle::{consistency_proof, inclusion_path};
use watchpost_proto::v1::EntryKind;
use watchpost_proto::witness::add_checkpoint;
use watchpost_proto::{Digest, note};

use crate::commands::output::Output;
use crate::config::Config;
use crate::log_key::{Signed, signed_head};
use crate::log_store::LogReader;

/// Proves that an entry is in the log, or that the log has only grown. 证明日志包含某条目，或日志只增不改。
#[derive(Debug, Args)]
#[command(
    group(clap::ArgGroup::new("what").required(true)),
    after_help = "Example:\n  watchpost-collector log prove --entry 42 --config ./collector/collector.toml > 42.tlog-proof\n  \
                  watchpost-collector log prove --from 1000 --config ./collector/collector.toml\n\n\
                  --entry prints a C2SP tlog-proof, whose extra data are the 32 bytes of the entry.\n\
                  --from prints what a C2SP witness takes: the old size, the consistency proof and the checkpoint."
)]
pub(super) struct ProveArgs {
    /// The entry to prove.
    #[arg(long, value_name = "N", group = "what")]
    entry: Option<u64>,
    /// The size of an earlier checkpoint, to which the log must lead back.
    #[arg(long, value_name = "SIZE", group = "what")]
    from: Option<u64>,
    /// An earlier log of this collector, by the beginning of its id; see log list.
    #[arg(long, value_name = "ID")]
    log: Option<String>,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ProveArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    let log = super::open(&config, args.log.as_deref())?;
    let head = signed_head(&config, &log)?;
    match (args.entry, args.from) {
        (Some(entry), _) => inclusion(&log, &head, entry, args.json),
        (None, from) => consistency(&log, &head, from.unwrap_or(0), args.json),
    }
}

fn inclusion(log: &LogReader, head: &Signed, log_index: u64, json: bool) -> anyhow::Result<()> {
    let size = head.checkpoint.size;
    let path = inclusion_path(log_index, size, &mut |level, index| log.node(level, index))?;
    let path = path.with_context(|| format!("the log has {size} entries, the first is number 0"))?;
    let entry =
        log.entry(log.first() + log_index)?.with_context(|| format!("entry {log_index} is missing; run log verify"))?;
    if !json {
        print!("c2sp.org/tlog-proof@v1\nextra {}\nindex {log_index}\n", note::base64(&entry.digest));
        path.iter().for_each(|hash| println!("{}", note::base64(&hash.0)));
        print!("\n{}", head.note);
        return Ok(());
    }
    let kind = match entry.kind() {
        EntryKind::Unspecified => entry.kind_number.to_string(),
        kind => kind.as_str_name().trim_start_matches("ENTRY_KIND_").to_lowercase(),
    };
    let mut out = Output::new();
    out.json(&json!({
        "entry": log_index, "kind": kind, "kind_number": entry.kind_number, "salt": hex::encode(&entry.salt),
        "header": hex::encode(&entry.header), "digest": hex::encode(&entry.digest), "path": hashes(&path),
        "size": size, "root": head.checkpoint.root.to_string(), "note": head.note, "vkey": head.vkey,
    }))?;
    out.finish()
}

fn consistency(log: &LogReader, head: &Signed, from: u64, json: bool) -> anyhow::Result<()> {
    let size = head.checkpoint.size;
    let proof = consistency_proof(from, size, &mut |level, index| log.node(level, index))?;
    let proof = proof.with_context(|| format!("the log has {size} entries, fewer than {from}"))?;
    ensure!(proof.len() < 64, "the proof is longer than a tree can make it; run log verify");
    if !json {
        print!("{}", add_checkpoint(from, &proof, &head.note));
        return Ok(());
    }
    let mut out = Output::new();
    out.json(&json!({
        "from": from, "proof": hashes(&proof), "size": size, "root": head.checkpoint.root.to_string(),
        "note": head.note, "vkey": head.vkey,
    }))?;
    out.finish()
}

fn hashes(path: &[Digest]) -> Vec<String> {
    path.iter().map(Digest::to_string).collect()
}
