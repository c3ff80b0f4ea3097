//! Encryption: hides the payload of a segment from whoever carries or steals it. HPKE (RFC 9180) in base mode, once per
//! segment; who sealed it is said by the signature, which covers the encrypted bytes.
//!
//! What is encrypted is bound to what the statement says of its content: tenant, device, lane, number and Merkle root of
//! the records, compression, suite and key. Its place in the chain is left to the signature, so that a segment can be
//! stated again in a new epoch by a device that cannot read it any more.

use std::convert::Infallible;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal_with_rng};
use zeroize::Zeroizing;

use crate::digest::{framed, hash, sha256};
use crate::keys::KeyId;
use crate::v1::{RecipientKey, Statement};

/// The number of DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305 in a statement. 0 is none.
pub const X25519: u32 = 1;
/// Random bytes that encrypting a segment takes.
pub const ENTROPY_BYTES: usize = 32;

const INFO_DOMAIN: &str = "watchpost/encryption";
const CONTENT_DOMAIN: &str = "watchpost/encrypted-content";
const ENTROPY_DOMAIN: &str = "watchpost/encryption-entropy";
const PUBLIC_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// A PKCS#8 X25519 key (RFC 8410) is these bytes and the key.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x04, 0x22, 0x04, 0x20];
/// Hexadecimal digits of the key id behind a key as text: enough to notice a slip of the hand.
const CHECK_DIGITS: usize = 8;

type Secret = <X25519HkdfSha256 as Kem>::PrivateKey;
type Public = <X25519HkdfSha256 as Kem>::PublicKey;
type Encapped = <X25519HkdfSha256 as Kem>::EncappedKey;

/// Bytes by which an encrypted payload is longer; `None` for a suite not known here. Without encryption, none.
pub fn overhead(suite: u32) -> Option<usize> {
    match suite {
        0 => Some(0),
        X25519 => Some(PUBLIC_BYTES + TAG_BYTES),
        _ => None,
    }
}

/// To whom segments are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    public: [u8; PUBLIC_BYTES],
}

impl Recipient {
    /// Takes a key as the contract carries it; `None` for an unknown suite, or a key that nothing can be encrypted to.
    pub fn new(key: &RecipientKey) -> Option<Self> {
        if key.suite != X25519 {
            return None;
        }
        let recipient = Self { public: key.public.as_slice().try_into().ok()? };
        recipient.encrypt("", b"", b"", [1; ENTROPY_BYTES]).map(|_| recipient)
    }

    /// Reads `SUITE:BASE64:CHECK`, as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split(':');
        let (suite, public, check) = (parts.next()?, parts.next()?, parts.next()?);
        let key = RecipientKey { suite: suite.parse().ok()?, public: STANDARD.decode(public).ok()? };
        let recipient = Self::new(&key)?;
        (parts.next().is_none() && recipient.check() == check).then_some(recipient)
    }

    /// As the contract carries it.
    pub fn key(&self) -> RecipientKey {
        RecipientKey { suite: X25519, public: self.public.to_vec() }
    }

    /// The number of its suite.
    pub fn suite(&self) -> u32 {
        X25519
    }

    /// SHA-256 of the public key.
    pub fn id(&self) -> KeyId {
        KeyId(sha256(&[&self.public]))
    }

    fn check(&self) -> String {
        self.id().0.to_string()[..CHECK_DIGITS].to_owned()
    }

    /// The encapsulated key and what is encrypted under it; `None` for a key that nothing can be encrypted to.
    pub(crate) fn encrypt(
        &self,
        tenant: &str,
        content: &[u8],
        plain: &[u8],
        entropy: [u8; ENTROPY_BYTES],
    ) -> Option<Vec<u8>> {
        let public = Public::from_bytes(&self.public).ok()?;
        let info = framed(INFO_DOMAIN, &[tenant.as_bytes()]);
        let mut entropy = Entropy { seed: Zeroizing::new(entropy), drawn: 0 };
        let sealed = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            &info,
            plain,
            content,
            &mut entropy,
        );
        let (encapped, encrypted) = sealed.ok()?;
        let mut payload = Vec::with_capacity(PUBLIC_BYTES + encrypted.len());
        payload.extend_from_slice(&encapped.to_bytes());
        payload.extend_from_slice(&encrypted);
        Some(payload)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{X25519}:{}:{}", STANDARD.encode(self.public), self.check())
    }
}

/// What opens segments that were encrypted to its [`Recipient`].
pub struct RecipientSecret {
    secret: Secret,
    recipient: Recipient,
}

impl RecipientSecret {
    /// Reads a PKCS#8 X25519 key.
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let secret = Secret::from_bytes(der.strip_prefix(&PKCS8_PREFIX)?).ok()?;
        let public = X25519HkdfSha256::sk_to_pk(&secret).to_bytes();
        let recipient = Recipient::new(&RecipientKey { suite: X25519, public: public.to_vec() })?;
        Some(Self { secret, recipient })
    }

    /// Makes a key from random bytes and returns it with its PKCS#8 DER.
    pub fn generate(entropy: [u8; ENTROPY_BYTES]) -> Option<(Self, Zeroizing<Vec<u8>>)> {
        let mut entropy = Entropy { seed: Zeroizing::new(entropy), drawn: 0 };
        let (secret, _) = X25519HkdfSha256::gen_keypair_with_rng(&mut entropy);
        let bytes = Zeroizing::new(<[u8; 32]>::from(secret.to_bytes()));
        let der = Zeroizing::new([&PKCS8_PREFIX[..], &*bytes].concat());
        Some((Self::from_pkcs8(&der)?, der))
    }

    /// The public half.
    pub fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    /// What was encrypted; `None` where a bit of it, or of what it is bound to, is another.
    pub(crate) fn decrypt(&self, tenant: &str, content: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
        let (encapped, encrypted) = payload.split_at_checked(PUBLIC_BYTES)?;
        let encapped = Encapped::from_bytes(encapped).ok()?;
        let info = framed(INFO_DOMAIN, &[tenant.as_bytes()]);
        let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.secret,
            &encapped,
            &info,
            encrypted,
            content,
        );
        opened.ok()
    }
}

impl fmt::Debug for RecipientSecret {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecipientSecret({})", self.recipient.id().0)
    }
}

/// What the encrypted bytes are bound to: everything a statement says of its content, and nothing of its place.
pub(crate) fn content(statement: &Statement) -> Vec<u8> {
    framed(
        CONTENT_DOMAIN,
        &[
            statement.tenant.as_bytes(),
            &statement.device,
            &statement.lane.to_be_bytes(),
            &statement.record_count.to_be_bytes(),
            &statement.merkle_root,
            &statement.compression.to_be_bytes(),
            &statement.encryption_suite.to_be_bytes(),
            &statement.encryption_key_id,
        ],
    )
}

/// Random bytes of the caller's, stretched to as many as are asked for.
struct Entropy {
    seed: Zeroizing<[u8; ENTROPY_BYTES]>,
    drawn: u64,
}

impl TryRng for Entropy {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        for part in into.chunks_mut(32) {
            let block = hash(ENTROPY_DOMAIN, &[&self.seed[..], &self.drawn.to_be_bytes()]);
            self.drawn += 1;
            part.copy_from_slice(&block.0[..part.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Entropy {}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> RecipientSecret {
        RecipientSecret::generate([byte; 32]).unwrap().0
    }

    #[test]
    fn only_its_recipient_reads_a_payload() {
        let payload = secret(1).recipient().encrypt("acme", b"content", b"plain", [9; 32]).unwrap();
        assert_eq!(payload.len(), 5 + overhead(X25519).unwrap());
        assert_eq!(secret(1).decrypt("acme", b"content", &payload).unwrap(), b"plain");
        assert_eq!(secret(2).decrypt("acme", b"content", &payload), None);
        assert_eq!(secret(1).decrypt("other", b"content", &payload), None);
        assert_eq!(secret(1).decrypt("acme", b"contend", &payload), None);
        assert_eq!(secret(1).decrypt("acme", b"content", &payload[..40]), None);
        let other = secret(1).recipient().encrypt("acme", b"content", b"plain", [8; 32]).unwrap();
        assert_ne!(other, payload, "other random bytes");
    }

    #[test]
    fn a_key_reads_back_as_text_and_a_slip_of_the_hand_is_noticed() {
        let recipient = secret(1).recipient().clone();
        let text = recipient.to_string();
        assert_eq!(Recipient::parse(&text), Some(recipient.clone()));
        assert_eq!(Recipient::new(&recipient.key()), Some(recipient));
        for at in 0..text.len() {
            let mut slip = text.clone().into_bytes();
            slip[at] = if slip[at] == b'7' { b'8' } else { b'7' };
            assert_eq!(Recipient::parse(&String::from_utf8(slip).unwrap()), None, "place {at}");
        }
        for wrong in ["", "1", "1:", "1:AAAA:00000000", "2:AAAA:", &format!("{text}:")] {
            assert_eq!(Recipient::parse(wrong), None, "{wrong}");
        }
        // Of small order: everybody could read what is encrypted to it.
        assert_eq!(Recipient::new(&RecipientKey { suite: X25519, public: vec![0; 32] }), None);
    }

    #[test]
    fn a_secret_reads_back_from_pkcs8() {
        let (made, der) = RecipientSecret::generate([3; 32]).unwrap();
        assert_eq!(RecipientSecret::from_pkcs8(&der).unwrap().recipient(), made.recipient());
        assert!(RecipientSecret::from_pkcs8(&der[1..]).is_none());
        assert!(RecipientSecret::from_pkcs8(&der[..47]).is_none());
    }
}
