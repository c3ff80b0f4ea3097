//! Documents that a collector hands on and cannot make: policies and rosters.
//!
//! A document is a header, whatever the header names by digest, and signatures over the exact bytes of the header. The header says who may
//! sign the document after it, so that keys can be replaced without touching a device; who may sign the first is pinned by the enrolment token.
//! A document counts if enough of the keys of the one before have signed it, and enough of its own: nobody can lock themselves out.

use std::collections::BTreeSet;

use crate::digest::{Digest, framed, hash};
use crate::keys::{KeyError, KeyId, PublicKey, SigningKey};
use crate::v1::{DocumentKeys, DocumentSignature};

/// Keys a header may name, and signatures a document may carry.
pub const SIGNERS_MAX: usize = 16;

/// What a document is. Signatures and digests of one kind mean nothing for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Packs, settings and scope in force for a group.
    Policy,
    /// Who is employed, with which accounts.
    Roster,
}

impl Kind {
    const fn domain(self) -> &'static str {
        match self {
            Self::Policy => "watchpost/policy",
            Self::Roster => "watchpost/roster",
        }
    }

    /// What a document is called by: the digest of its header.
    pub fn digest(self, header: &[u8]) -> Digest {
        hash(self.domain(), &[header])
    }

    /// Signs a header.
    ///
    /// # Errors
    /// The key did not sign.
    pub fn sign(self, header: &[u8], key: &dyn SigningKey) -> Result<DocumentSignature, KeyError> {
        let signature = key.sign(&framed(self.domain(), &[header]))?;
        Ok(DocumentSignature { spki: key.public().spki().to_vec(), signature })
    }

    /// The keys whose signatures hold, each once.
    pub fn signers(self, header: &[u8], signatures: &[DocumentSignature]) -> BTreeSet<KeyId> {
        let message = framed(self.domain(), &[header]);
        let holds = |signature: &DocumentSignature| {
            let key = PublicKey::from_spki(&signature.spki)?;
            key.verify(&message, &signature.signature).then(|| key.id())
        };
        signatures.iter().take(SIGNERS_MAX).filter_map(holds).collect()
    }
}

/// Who may sign, and how many it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signers {
    keys: BTreeSet<KeyId>,
    needed: usize,
}

impl Signers {
    /// One key alone: what an enrolment token pins.
    pub fn pinned(key: KeyId) -> Self {
        Self { keys: BTreeSet::from([key]), needed: 1 }
    }

    /// `None` where nobody could ever sign: fewer keys than are needed, none needed, or too many.
    pub fn new(keys: BTreeSet<KeyId>, needed: usize) -> Option<Self> {
        ((1..=keys.len()).contains(&needed) && keys.len() <= SIGNERS_MAX).then_some(Self { keys, needed })
    }

    /// As a header says it.
    pub fn read(keys: &DocumentKeys) -> Option<Self> {
        let ids = keys.key_ids.iter().map(|id| KeyId::from_slice(id)).collect::<Option<BTreeSet<KeyId>>>()?;
        Self::new(ids, usize::try_from(keys.needed).ok()?)
    }

    /// For a header.
    pub fn write(&self) -> DocumentKeys {
        DocumentKeys {
            key_ids: self.keys.iter().map(|id| id.to_vec()).collect(),
            needed: u32::try_from(self.needed).unwrap_or(u32::MAX),
        }
    }

    /// The keys.
    pub fn keys(&self) -> &BTreeSet<KeyId> {
        &self.keys
    }

    /// How many of them it takes.
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// What they are pinned by: the id of the one key, or a digest of them all.
    pub fn pin(&self) -> KeyId {
        match (self.keys.first(), self.keys.len()) {
            (Some(key), 1) => *key,
            _ => {
                let needed = (self.needed as u64).to_be_bytes();
                let ids = self.keys.iter().map(|id| &id.0.0[..]);
                let parts: Vec<&[u8]> = std::iter::once(&needed[..]).chain(ids).collect();
                KeyId(hash("watchpost/document-keys", &parts))
            }
        }
    }

    /// Whether a header that names `own` for the next, and was signed by `signed`, counts for whoever believes these keys. Who is
    /// pinned to several keys knows them by their digest alone, and believes the header that names them.
    pub fn accept(&self, own: &Self, signed: &BTreeSet<KeyId>) -> bool {
        let is_pinned = *self == Self::pinned(own.pin()) && own.suffice(signed);
        is_pinned || self.suffice(signed)
    }

    /// Whether enough of these keys are among those that signed.
    pub fn suffice(&self, signed: &BTreeSet<KeyId>) -> bool {
        self.keys.intersection(signed).count() >= self.needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SoftwareKey;

    fn key() -> SoftwareKey {
        SoftwareKey::generate().unwrap().0
    }

    #[test]
    fn a_signature_holds_for_its_kind_and_header_only() {
        let key = key();
        let signed = [Kind::Policy.sign(b"header", &key).unwrap()];
        let own = BTreeSet::from([key.public().id()]);
        assert_eq!(Kind::Policy.signers(b"header", &signed), own);
        assert!(Kind::Policy.signers(b"headex", &signed).is_empty());
        assert!(Kind::Roster.signers(b"header", &signed).is_empty());
        assert_ne!(Kind::Policy.digest(b"header"), Kind::Roster.digest(b"header"));
    }

    #[test]
    fn it_takes_as_many_different_keys_as_are_needed() {
        let (one, two, other) = (key(), key(), key());
        let both = Signers::new([one.public().id(), two.public().id()].into(), 2).unwrap();
        let sign = |keys: &[&SoftwareKey]| {
            let signatures: Vec<_> = keys.iter().map(|key| Kind::Policy.sign(b"h", *key).unwrap()).collect();
            Kind::Policy.signers(b"h", &signatures)
        };
        assert!(both.suffice(&sign(&[&one, &two])));
        assert!(!both.suffice(&sign(&[&one, &one])));
        assert!(!both.suffice(&sign(&[&one, &other])));
        assert!(Signers::pinned(two.public().id()).suffice(&sign(&[&other, &two])));
    }

    #[test]
    fn several_keys_are_pinned_by_their_digest() {
        let (one, two, three) = (key(), key(), key());
        let ids = [&one, &two, &three].map(|key| key.public().id());
        let two_of_three = Signers::new(ids.into(), 2).unwrap();
        let pinned = Signers::pinned(two_of_three.pin());
        let signed = |keys: &[KeyId]| keys.iter().copied().collect::<BTreeSet<_>>();
        assert!(pinned.accept(&two_of_three, &signed(&ids[1..])));
        assert!(!pinned.accept(&two_of_three, &signed(&ids[..1])));
        assert!(!pinned.accept(&Signers::new(ids.into(), 1).unwrap(), &signed(&ids)));
        let alone = Signers::pinned(ids[0]);
        assert_eq!(alone.pin(), ids[0]);
        assert!(alone.accept(&two_of_three, &signed(&ids[..1])));
        assert!(!alone.accept(&two_of_three, &signed(&ids[1..])));
    }

    #[test]
    fn keys_that_could_never_sign_are_no_signers() {
        let id = key().public().id();
        assert_eq!(Signers::new([id].into(), 0), None);
        assert_eq!(Signers::new([id].into(), 2), None);
        let signers = Signers::pinned(id);
        assert_eq!(Signers::read(&signers.write()), Some(signers));
        let twice = DocumentKeys { key_ids: vec![id.to_vec(), id.to_vec()], needed: 2 };
        assert_eq!(Signers::read(&twice), None);
        assert_eq!(Signers::read(&DocumentKeys { key_ids: vec![vec![1; 31]], needed: 1 }), None);
    }
}
