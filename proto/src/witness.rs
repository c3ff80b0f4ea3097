//! Witnesses: whoever has seen that a log only grows says so with a line on its checkpoint. C2SP tlog-cosignature
//! (Ed25519) and the request of tlog-witness.

use std::fmt;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

use crate::digest::{Digest, sha256};
use crate::note::{base64, body, read_unverified, unbase64};

/// The algorithm number of an Ed25519 cosignature in a signed note.
const ALGORITHM_COSIGNATURE: u8 = 4;
/// Key hash, time and signature.
const COSIGNATURE_BYTES: usize = 4 + 8 + 64;
/// Longest name of a witness.
const NAME_BYTES_MAX: usize = 128;

/// The public key of a witness, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    public: [u8; 32],
}

impl WitnessKey {
    /// A key from its parts; `None` for a name that cannot stand in a note.
    pub fn new(name: &str, public: [u8; 32]) -> Option<Self> {
        let sound = !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && !name.chars().any(|c| c == '+' || c.is_whitespace() || c.is_control());
        sound.then(|| Self { name: name.to_owned(), public })
    }

    /// Reads a vkey, `name+hash+key`; `None` for one that is malformed or not of a cosigner.
    pub fn parse(vkey: &str) -> Option<Self> {
        let mut parts = vkey.splitn(3, '+');
        let (name, hash, key) = (parts.next()?, parts.next()?, unbase64(parts.next()?)?);
        let (algorithm, public) = key.split_first()?;
        let key = Self::new(name, public.try_into().ok()?)?;
        (*algorithm == ALGORITHM_COSIGNATURE && hash == hex::encode(key.hash())).then_some(key)
    }

    /// Its name on notes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks a signature line of a note; the moment it tells, seconds since 1970.
    pub fn check(&self, note: &str, line: &str) -> Option<u64> {
        let text = body(&read_unverified(note)?);
        let encoded = line.strip_prefix("\u{2014} ")?.strip_prefix(&self.name)?.strip_prefix(' ')?;
        let bytes = unbase64(encoded).filter(|bytes| bytes.len() == COSIGNATURE_BYTES)?;
        let (time, signature) = bytes.strip_prefix(&self.hash()[..])?.split_first_chunk::<8>()?;
        let at_s = u64::from_be_bytes(*time);
        let message = cosigned_text(&text, at_s);
        UnparsedPublicKey::new(&ED25519, self.public).verify(message.as_bytes(), signature).ok()?;
        Some(at_s)
    }

    /// Looks for its line on a note; the moment it tells, seconds since 1970.
    pub fn cosigned(&self, note: &str) -> Option<u64> {
        note.lines().find_map(|line| self.check(note, line))
    }

    fn hash(&self) -> [u8; 4] {
        let digest = sha256(&[self.name.as_bytes(), b"\n", &[ALGORITHM_COSIGNATURE], &self.public]).0;
        [digest[0], digest[1], digest[2], digest[3]]
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ALGORITHM_COSIGNATURE][..], &self.public].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.hash()), base64(&key))
    }
}

/// What a witness signs.
pub fn cosigned_text(note_body: &str, at_s: u64) -> String {
    format!("cosignature/v1\ntime {at_s}\n{note_body}")
}

/// The request to a witness that has last seen `old` entries: consistency proof and note.
pub fn add_checkpoint(old: u64, consistency: &[Digest], note: &str) -> String {
    let proof: String = consistency.iter().map(|hash| base64(&hash.0) + "\n").collect();
    format!("old {old}\n{proof}\n{note}")
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use proptest::prelude::*;

    use super::*;
    use crate::digest::LogId;
    use crate::note::{Checkpoint, LogSigner, origin};

    /// The example of the specification, whose key is not known: shape only.
    const LINE_OF_SPECIFICATION: &str = "\u{2014} witness.example.com/w1 \
        jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==";

    fn note() -> String {
        let (signer, _) = LogSigner::generate().unwrap();
        signer.sign(&Checkpoint { origin: origin("acme", &LogId([3; 16])), size: 42, root: Digest([9; 32]) })
    }

    fn cosign(pair: &Ed25519KeyPair, key: &WitnessKey, note: &str, at_s: u64) -> String {
        let text = cosigned_text(&body(&read_unverified(note).unwrap()), at_s);
        let bytes = [&key.hash()[..], &at_s.to_be_bytes(), pair.sign(text.as_bytes()).as_ref()].concat();
        format!("\u{2014} {} {}\n", key.name(), base64(&bytes))
    }

    #[test]
    fn a_cosignature_holds_for_its_note_key_and_time_only() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = WitnessKey::new("witness.example/w1", pair.public_key().as_ref().try_into().unwrap()).unwrap();
        let other = WitnessKey::new("witness.example/w2", key.public).unwrap();
        let note = note();
        let cosigned = format!("{note}{}", cosign(&pair, &key, &note, 1_795_053_600));
        assert_eq!(key.cosigned(&cosigned), Some(1_795_053_600));
        assert_eq!(key.cosigned(&note), None);
        assert_eq!(other.cosigned(&cosigned), None);
        assert_eq!(key.cosigned(&cosigned.replacen("\n42\n", "\n43\n", 1)), None);
        let line = cosigned.lines().last().unwrap();
        let mut bytes = unbase64(line.rsplit(' ').next().unwrap()).unwrap();
        assert_eq!(bytes.len(), unbase64(LINE_OF_SPECIFICATION.rsplit(' ').next().unwrap()).unwrap().len());
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let altered = format!("{note}\u{2014} {} {}\n", key.name(), base64(&bytes));
            assert_eq!(key.cosigned(&altered), None, "byte {at}");
            bytes[at] ^= 1;
        }
    }

    #[test]
    fn a_vkey_reads_back_and_a_wrong_one_does_not() {
        let key = WitnessKey::new("witness.example/w1", [7; 32]).unwrap();
        let vkey = key.to_string();
        assert_eq!(WitnessKey::parse(&vkey), Some(key));
        let log_key = vkey.replace("+BA", "+AQ");
        assert_ne!(log_key, vkey);
        for wrong in [&log_key, &vkey.replace("w1", "w2"), &vkey[..vkey.len() - 4], "", "a", "a+b", "a+b+c"] {
            assert_eq!(WitnessKey::parse(wrong), None, "{wrong}");
        }
        for name in ["", "a b", "a+b", "a\n", &"x".repeat(129)] {
            assert_eq!(WitnessKey::new(name, [7; 32]), None, "{name:?}");
        }
    }

    #[test]
    fn a_request_is_written_as_the_specification_says() {
        let text = add_checkpoint(7, &[Digest([0; 32])], "note\n");
        assert_eq!(text, "old 7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nnote\n");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(vkey in "\\PC*", line in "\u{2014} [a-z]{0,3} ?\\PC*") {
            let _ = WitnessKey::parse(&vkey);
            let key = WitnessKey::new("a", [7; 32]).unwrap();
            let _ = key.check(&note(), &line);
        }
    }
}
