//! Checkpoints as C2SP signed notes, signed with Ed25519.
//!
//! ```text
//! watchpost/<tenant>/<log id>     origin
//! 1342                            size
//! <base64 of the root>
//!
//! — <origin> <base64 of key hash and signature>
//! ```

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::digest::{Digest, LogId, sha256};
use crate::keys::KeyError;

/// The algorithm number of Ed25519 in a signed note.
const ALGORITHM_ED25519: u8 = 1;
/// Longest note accepted, in bytes; a signature of the log and cosignatures of eight witnesses are less.
const NOTE_BYTES_MAX: usize = 4 * 1024;

/// The head of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Names the log.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Merkle root over them.
    pub root: Digest,
}

/// The origin of a tenant's log.
pub fn origin(tenant: &str, log: &LogId) -> String {
    format!("watchpost/{tenant}/{log}")
}

/// The Ed25519 key of a log.
pub struct LogSigner {
    pair: Ed25519KeyPair,
}

impl LogSigner {
    /// Makes a key and returns it with its PKCS#8 DER.
    pub fn generate() -> Result<(Self, Vec<u8>), KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::NotAKey)?;
        let der = pair.to_pkcs8().map_err(|_| KeyError::NotAKey)?.as_ref().to_vec();
        Ok((Self { pair }, der))
    }

    /// Reads a PKCS#8 DER key.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Ed25519KeyPair::from_pkcs8(der).map(|pair| Self { pair }).map_err(|_| KeyError::NotAKey)
    }

    /// The 32 bytes of the public key.
    pub fn public(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        bytes
    }

    /// Signs a checkpoint as a note.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let text = body(checkpoint);
        let mut signature = key_hash(&checkpoint.origin, &self.public()).to_vec();
        signature.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n\u{2014} {} {}\n", checkpoint.origin, base64(&signature))
    }
}

impl std::fmt::Debug for LogSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogSigner({})", hex::encode(self.public()))
    }
}

/// The public key of a log as verifiers of signed notes take it, `name+hash+key`.
pub fn vkey(origin: &str, public: &[u8; 32]) -> String {
    let key = [&[ALGORITHM_ED25519][..], public].concat();
    format!("{origin}+{}+{}", hex::encode(key_hash(origin, public)), base64(&key))
}

/// Reads a signed note if this key signed it; `None` for anything else. Lines of other signers are passed over.
pub fn open(note: &str, public: &[u8; 32]) -> Option<Checkpoint> {
    let checkpoint = read_unverified(note)?;
    let text = body(&checkpoint);
    let hash = key_hash(&checkpoint.origin, public);
    let signatures = note.strip_prefix(&text)?.strip_prefix('\n')?;
    let holds = |line: &str| {
        let encoded = line.strip_prefix("\u{2014} ")?.strip_prefix(&checkpoint.origin)?.strip_prefix(' ')?;
        let bytes = unbase64(encoded)?;
        let signature = bytes.strip_prefix(&hash[..])?;
        UnparsedPublicKey::new(&ED25519, public).verify(text.as_bytes(), signature).ok()
    };
    signatures.lines().any(|line| holds(line).is_some()).then_some(checkpoint)
}

/// Reads what a note says without checking who says it.
pub fn read_unverified(note: &str) -> Option<Checkpoint> {
    if note.len() > NOTE_BYTES_MAX {
        return None;
    }
    let mut lines = note.split('\n');
    let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
    // No log is longer, and databases count no further.
    let size = size.parse().ok().filter(|size| i64::try_from(*size).is_ok())?;
    let checkpoint = Checkpoint { origin: origin.to_owned(), size, root: Digest::from_slice(&unbase64(root)?)? };
    let canonical = !origin.is_empty() && !origin.contains([' ', '+']) && note.starts_with(&body(&checkpoint));
    canonical.then_some(checkpoint)
}

/// What of a note is signed.
pub fn body(checkpoint: &Checkpoint) -> String {
    format!("{}\n{}\n{}\n", checkpoint.origin, checkpoint.size, base64(&checkpoint.root.0))
}

fn key_hash(origin: &str, public: &[u8; 32]) -> [u8; 4] {
    let digest = sha256(&[origin.as_bytes(), b"\n", &[ALGORITHM_ED25519], public]).0;
    [digest[0], digest[1], digest[2], digest[3]]
}

/// Base64 as notes write it.
pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Reads [`base64()`].
pub fn unbase64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: origin("default", &LogId([3; 16])), size: 42, root: Digest([9; 32]) }
    }

    #[test]
    fn a_note_opens_with_its_key_only() {
        let (signer, der) = LogSigner::generate().unwrap();
        let note = LogSigner::from_pkcs8(&der).unwrap().sign(&checkpoint());
        assert_eq!(open(&note, &signer.public()), Some(checkpoint()));
        assert_eq!(open(&note, &LogSigner::generate().unwrap().0.public()), None);
        for (from, to) in [("\n42\n", "\n43\n"), ("default", "defaulu"), ("\n42\n", "\n042\n")] {
            assert_eq!(open(&note.replacen(from, to, 1), &signer.public()), None, "{to}");
        }
    }

    #[test]
    fn a_size_that_no_log_has_is_refused() {
        let (signer, _) = LogSigner::generate().unwrap();
        let opens = |size| open(&signer.sign(&Checkpoint { size, ..checkpoint() }), &signer.public()).is_some();
        let most = i64::MAX.unsigned_abs();
        assert_eq!([0, most, most + 1, u64::MAX].map(opens), [true, true, false, false]);
    }

    #[test]
    fn a_cosigners_line_is_passed_over() {
        let (signer, _) = LogSigner::generate().unwrap();
        let note = signer.sign(&checkpoint()) + "\u{2014} witness.example AAAAAAAA\n";
        assert_eq!(open(&note, &signer.public()), Some(checkpoint()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*\n?\\PC*\n?\\PC*") {
            let _ = open(&text, &[0; 32]);
        }
    }
}
