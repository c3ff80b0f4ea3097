//! The log as anybody else reads it: tiles and checkpoints, checked by implementations of the C2SP formats that are not
//! ours.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test helpers")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use signed_note::{Note, StandardVerifier, VerifierList};
use support::offline::Log;
use tlog_tiles::tlog::{Error, Hash, check_record, check_tree, prove_record, prove_tree, record_hash};
use tlog_tiles::{Tile, TileHashReader, TileReader};
use watchpost_collector::log_key;
use watchpost_collector::publish::{Written, publish};
use watchpost_proto::note;
use watchpost_proto::v1::EntryKind;

/// A log with some entries of no meaning: the tree asks for none.
fn grown(log: &mut Log, entries: usize) {
    let mut appender = log.store.begin().unwrap();
    for _ in 0..entries {
        appender.append(EntryKind::Authority, b"x").unwrap();
    }
    appender.commit().unwrap();
}

fn signed(log: &Log) -> (String, String) {
    let signer = log_key::load_or_make(&log.lab.config, &log.lab.config.log_key()).unwrap();
    let head = log.store.checkpoint();
    (signer.sign(&head), note::vkey(&head.origin, &signer.public()))
}

fn published(log: &Log) -> (PathBuf, Written) {
    let folder = log.lab.dir().join("www/log");
    let written = publish(&folder, &log.reader(), &signed(log).0).unwrap();
    (folder, written)
}

/// Reads tiles from the folder by the names of the specification, which this crate writes with the height in them.
struct Files<'a>(&'a Path);

fn name(tile: &Tile) -> String {
    tile.path().replacen("tile/8/", "tile/", 1).replacen("/data/", "/entries/", 1)
}

impl TileReader for Files<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        Ok(tiles.iter().map(|tile| fs::read(self.0.join(name(tile))).unwrap()).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// The checkpoint in the folder, believed only under the log's key.
fn head(folder: &Path, vkey: &str) -> (String, u64, Hash) {
    let text = fs::read(folder.join("checkpoint")).unwrap();
    let verifier = StandardVerifier::new(vkey).unwrap();
    let note = Note::from_bytes(&text).unwrap();
    let (verified, unknown) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!((verified.len(), unknown.len()), (1, 0));
    let head = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    (head.origin().to_owned(), head.size(), *head.hash())
}

/// The entries of a bundle.
fn entries(mut bundle: &[u8]) -> Vec<&[u8]> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at(u16::from_be_bytes(*length).into());
        entries.push(entry);
        bundle = rest;
    }
    entries
}

#[test]
fn tiles_and_checkpoints_are_read_by_an_implementation_that_is_not_ours() {
    let mut log = Log::new();
    let (mut before, mut folder) = (None, PathBuf::new());
    // To a partial first tile, to one full tile exactly, into the second level, and on.
    for size in [3, 256, 257, 600, 70_000] {
        let there = log.store.checkpoint().size as usize;
        grown(&mut log, size - there);
        folder = published(&log).0;
        let (origin, tree, root) = head(&folder, &signed(&log).1);
        assert_eq!((origin, tree), (log.store.name().origin.clone(), size as u64));
        let files = Files(&folder);
        let reader = TileHashReader::new(tree, root, &files);
        for index in [0, tree / 3, tree - 1] {
            let path = prove_record(tree, index, &reader).unwrap();
            let bundle = index / 256;
            let width = (tree - bundle * 256).min(256) as u32;
            let text = fs::read(folder.join(name(&Tile::new(8, 0, bundle, width, true)))).unwrap();
            let leaf = record_hash(entries(&text)[(index % 256) as usize]);
            check_record(&path, tree, root, index, leaf).unwrap();
            assert!(check_record(&path, tree, root, index, record_hash(b"x")).is_err());
        }
        if let Some((old, old_root)) = before {
            let proof = prove_tree(tree, old, &reader).unwrap();
            check_tree(&proof, tree, root, old, old_root).unwrap();
        }
        before = Some((tree, root));
    }
    let (tree, root) = before.unwrap();
    // An altered hash is the sibling of the entry before it.
    let (file, index) = (folder.join("tile/0/017"), 17 * 256);
    let sound = fs::read(&file).unwrap();
    let mut altered = sound.clone();
    altered[40] ^= 1;
    fs::write(&file, &altered).unwrap();
    let files = Files(&folder);
    let bundle = fs::read(folder.join("tile/entries/017")).unwrap();
    let check = || {
        let path = prove_record(tree, index, &TileHashReader::new(tree, root, &files))?;
        check_record(&path, tree, root, index, record_hash(entries(&bundle)[0]))
    };
    assert!(check().is_err());
    fs::write(&file, &sound).unwrap();
    check().unwrap();
}

#[test]
fn publishing_again_writes_nothing_and_what_is_full_never_changes() {
    let mut log = Log::new();
    grown(&mut log, 299);
    let (folder, written) = published(&log);
    assert_eq!(written, Written { size: 300, files: 5 });
    assert_eq!(published(&log).1, Written { size: 300, files: 0 });
    let full = fs::read(folder.join("tile/0/000")).unwrap();
    assert!(folder.join("tile/0/001.p/44").exists() && folder.join("tile/1/000.p/1").exists());
    grown(&mut log, 212);
    published(&log);
    grown(&mut log, 1);
    published(&log);
    assert_eq!(fs::read(folder.join("tile/0/000")).unwrap(), full);
    assert!(folder.join("tile/0/001").exists() && !folder.join("tile/0/001.p").exists(), "the full tile replaces it");
    assert!(folder.join("tile/1/000.p/1").exists() && folder.join("tile/1/000.p/2").exists());
}

#[test]
fn a_folder_that_shows_another_log_is_not_written() {
    let mut log = Log::new();
    grown(&mut log, 20);
    let (folder, _) = published(&log);
    let checkpoint = fs::read_to_string(folder.join("checkpoint")).unwrap();
    let refused = |log: &Log| publish(&folder, &log.reader(), &signed(log).0).unwrap_err().to_string();
    assert!(refused(&Log::new()).contains("another log"));
    let head = log.store.checkpoint();
    let signer = log_key::load_or_make(&log.lab.config, &log.lab.config.log_key()).unwrap();
    for (changed, expected) in [
        (note::Checkpoint { size: head.size + 1, ..head.clone() }, "older copy"),
        (note::Checkpoint { size: 9, ..head.clone() }, "rewritten"),
    ] {
        fs::write(folder.join("checkpoint"), signer.sign(&changed)).unwrap();
        assert!(refused(&log).contains(expected), "{}", refused(&log));
    }
    fs::write(folder.join("checkpoint"), checkpoint).unwrap();
    published(&log);
}

/// The lines of a text up to the empty one, and what comes after it.
fn head_and_note(text: &str) -> (Vec<&str>, &str) {
    let (lines, note) = text.split_once("\n\n").unwrap();
    (lines.lines().collect(), note)
}

#[test]
fn proofs_of_the_command_are_checked_by_an_implementation_that_is_not_ours() {
    let mut log = Log::new();
    grown(&mut log, 41);
    let early = log.store.checkpoint();
    grown(&mut log, 300);
    let config = log.lab.dir().join("collector/collector.toml");
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost-collector"));
        let output = command.args(args).arg("--config").arg(&config).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let json = |args: &[&str]| serde_json::from_str::<Value>(&run(&[args, &["--json"]].concat()).1).unwrap();
    let vkey = json(&["log", "checkpoint"])["vkey"].as_str().unwrap().to_owned();
    let folder = log.lab.dir().join("tiles");
    let written = json(&["log", "tiles", "--out", folder.to_str().unwrap()]);
    assert_eq!((&written["size"], written["vkey"].as_str()), (&342.into(), Some(vkey.as_str())));
    let (_, tree, root) = head(&folder, &vkey);

    let (code, text) = run(&["log", "prove", "--entry", "77"]);
    let (lines, signed) = head_and_note(&text);
    assert_eq!((code, lines[0], lines[2]), (Some(0), "c2sp.org/tlog-proof@v1", "index 77"));
    assert_eq!(signed, fs::read_to_string(folder.join("checkpoint")).unwrap());
    let entry = STANDARD.decode(lines[1].strip_prefix("extra ").unwrap()).unwrap();
    let path = lines[3..].iter().map(|line| Hash::parse_hash(line).unwrap()).collect();
    check_record(&path, tree, root, 77, record_hash(&entry)).unwrap();
    assert!(check_record(&path, tree, root, 78, record_hash(&entry)).is_err());
    let told = json(&["log", "prove", "--entry", "77"]);
    assert_eq!((told["kind"].as_str(), told["path"].as_array().unwrap().len()), (Some("authority"), path.len()));
    assert_eq!(told["digest"].as_str().unwrap(), hex::encode(&entry));

    let (_, text) = run(&["log", "prove", "--from", "42"]);
    let (lines, _) = head_and_note(&text);
    assert_eq!(lines[0], "old 42");
    let proof = lines[1..].iter().map(|line| Hash::parse_hash(line).unwrap()).collect();
    check_tree(&proof, tree, root, early.size, Hash(early.root.0)).unwrap();
    for (args, expected) in [
        (&["log", "prove", "--entry", "342"][..], Some(1)),
        (&["log", "prove", "--from", "343"], Some(1)),
        (&["log", "prove"], Some(2)),
        (&["log", "prove", "--entry", "1", "--from", "2"], Some(2)),
    ] {
        assert_eq!(run(args).0, expected, "{args:?}");
    }
}
