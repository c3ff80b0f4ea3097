//! Device and collector keys: ECDSA P-256 with SHA-256. A key is only ever asked to sign, so that it may live in a
//! TPM, a keystore or an enclave.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};

use crate::digest::{Digest, sha256};

/// The number of ECDSA P-256 with SHA-256 in a statement.
pub const ECDSA_P256_SHA256: u32 = 1;

/// A SubjectPublicKeyInfo of a P-256 key is these bytes and the uncompressed point.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT_BYTES: usize = 65;

/// Signing failed, or the key is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a PKCS#8 P-256 key.
    #[error("not a P-256 private key in PKCS#8")]
    NotAKey,
    /// The key would not sign: the hardware is busy, locked or gone.
    #[error("the key did not sign")]
    DidNotSign,
}

/// SHA-256 of a SubjectPublicKeyInfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub Digest);

impl KeyId {
    /// Takes exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Digest::from_slice(bytes).map(Self)
    }

    /// The bytes, for the wire or a database.
    pub fn to_vec(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

/// A P-256 public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    spki: Vec<u8>,
}

impl PublicKey {
    /// Takes a DER SubjectPublicKeyInfo; `None` unless it is an uncompressed P-256 point.
    pub fn from_spki(spki: &[u8]) -> Option<Self> {
        let point = spki.strip_prefix(&SPKI_PREFIX[..])?;
        (point.len() == POINT_BYTES && point.first() == Some(&4)).then(|| Self { spki: spki.to_vec() })
    }

    /// The key's DER SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    pub fn id(&self) -> KeyId {
        KeyId(sha256(&[&self.spki]))
    }

    /// Checks an ASN.1 signature over `message`. High and low `s` are both accepted: identity is never the signature.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let point = &self.spki[SPKI_PREFIX.len()..];
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).is_ok()
    }
}

/// A private key that can only sign.
pub trait SigningKey: Send + Sync {
    /// The public half.
    fn public(&self) -> &PublicKey;

    /// ASN.1 signature over the SHA-256 of `message`. May take a second where a TPM does it.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;
}

/// A key in memory.
pub struct SoftwareKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
    random: SystemRandom,
}

impl SoftwareKey {
    /// Reads a PKCS#8 DER key.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der).map_err(|_| KeyError::NotAKey)?;
        let spki = pair.public_key().as_der().map_err(|_| KeyError::NotAKey)?;
        let public = PublicKey::from_spki(spki.as_ref()).ok_or(KeyError::NotAKey)?;
        Ok(Self { pair, public, random: SystemRandom::new() })
    }

    /// Makes a new key and returns it with its PKCS#8 DER.
    pub fn generate() -> Result<(Self, Vec<u8>), KeyError> {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| KeyError::NotAKey)?;
        Ok((Self::from_pkcs8(der.as_ref())?, der.as_ref().to_vec()))
    }
}

impl SigningKey for SoftwareKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&self.random, message).map_err(|_| KeyError::DidNotSign)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl std::fmt::Debug for SoftwareKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SoftwareKey({})", self.public.id().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_message_and_key_only() {
        let (key, der) = SoftwareKey::generate().unwrap();
        let signature = key.sign(b"message").unwrap();
        assert!(key.public().verify(b"message", &signature));
        assert!(!key.public().verify(b"messagf", &signature));
        assert!(!SoftwareKey::generate().unwrap().0.public().verify(b"message", &signature));
        assert_eq!(SoftwareKey::from_pkcs8(&der).unwrap().public(), key.public());
    }

    #[test]
    fn other_keys_and_points_are_refused() {
        let (key, _) = SoftwareKey::generate().unwrap();
        let mut spki = key.public().spki().to_vec();
        assert!(PublicKey::from_spki(&spki[..spki.len() - 1]).is_none());
        spki[26] = 2;
        assert!(PublicKey::from_spki(&spki).is_none());
        assert!(PublicKey::from_spki(&[]).is_none());
    }
}
