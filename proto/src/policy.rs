//! Policies: made with a key that is not the collector's, checked by whoever puts them in force.
//!
//! ```text
//! header ── names by digest ──► packs, filters, the files they name
//!   │ signed by the keys of the header before, and by enough of its own
//!   └─ previous ─► header of the version before
//! ```
//!
//! A device keeps the highest version it has accepted and goes back for nobody, but to the one fallback that the highest itself names.

use prost::Message as _;

use crate::digest::{Digest, sha256};
use crate::document::{Kind, SIGNERS_MAX, Signers};
use crate::identity::tenant_is_valid;
use crate::keys::{KeyError, KeyId, SigningKey};
use crate::v1::{
    DocumentSignature, PolicyFile, PolicyHeader, PolicyRole, PolicySettings, SignedPolicy, SignedPolicyHeader,
};

/// The format number of headers.
pub const FORMAT: u32 = 1;
/// The group of devices that nobody has put into another.
pub const GROUP_DEFAULT: &str = "default";
/// Longest header in bytes.
pub const HEADER_BYTES_MAX: usize = 256 * 1024;
/// Longest policy in bytes, everything included.
pub const POLICY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Files of one policy.
pub const FILES_MAX: usize = 1000;
/// Longest name of a file or group in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Headers followed from the keys known to those of a policy.
pub const LEADING_MAX: usize = 256;
/// What a file with a signed policy begins with.
const MAGIC: &[u8] = b"watchpost policy\n";

/// Why a policy is not put in force. Each has a word of its own and a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not a policy.
    #[error("this is not a signed policy, or a damaged one; make it with policy sign")]
    Malformed,
    /// Of a later format.
    #[error("the policy is of a format this program does not know; update it")]
    Format,
    /// Of somebody else.
    #[error("the policy is for the tenant {0:?}, not for this one")]
    Tenant(String),
    /// For other devices.
    #[error("the policy is for the group {0:?}, and this device belongs to another")]
    Group(String),
    /// Too few of the keys that may sign it have.
    #[error("the policy is not signed by the keys it has to be signed by; sign it with the policy key")]
    Unsigned,
    /// Too few of the keys it names itself have signed.
    #[error("the policy names keys for the next one that have not signed it; sign it with those as well")]
    OwnKeys,
    /// A version before the one that is known.
    #[error(
        "version {version} is older than {known}, which is known; publish the old content under a new number with policy rollback"
    )]
    Older {
        /// The version.
        version: u64,
        /// The highest that is known.
        known: u64,
    },
    /// Another policy has this number.
    #[error("another policy has the number {0} already; sign it anew after that one")]
    Another(u64),
    /// It does not continue the one before.
    #[error("the policy does not follow the one before it; sign it with --after the last one")]
    Broken,
    /// The files are not those the header names.
    #[error("the file {0} of the policy is damaged; fetch or sign it again")]
    File(String),
}

impl PolicyError {
    /// The documented word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Format => "format",
            Self::Tenant(_) => "tenant",
            Self::Group(_) => "group",
            Self::Unsigned | Self::OwnKeys => "unsigned",
            Self::Older { .. } => "older",
            Self::Another(_) => "another",
            Self::Broken => "broken",
            Self::File(_) => "file",
        }
    }
}

/// A header, read and sound in itself. Nothing is said of its signatures.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// What the policy is called by.
    pub digest: Digest,
    /// Its exact bytes.
    pub bytes: Vec<u8>,
    /// Who has signed it, as far as the signatures hold.
    pub signatures: Vec<DocumentSignature>,
    /// Who may sign the next.
    pub signers: Signers,
    /// What it says.
    pub said: PolicyHeader,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// [`PolicyError::Malformed`] or [`PolicyError::Format`].
    pub fn read(bytes: Vec<u8>, signatures: Vec<DocumentSignature>) -> Result<Self, PolicyError> {
        if bytes.len() > HEADER_BYTES_MAX || signatures.len() > SIGNERS_MAX {
            return Err(PolicyError::Malformed);
        }
        let said = PolicyHeader::decode(&bytes[..]).map_err(|_| PolicyError::Malformed)?;
        if said.format != FORMAT {
            return Err(PolicyError::Format);
        }
        let signers = said.keys.as_ref().and_then(Signers::read).ok_or(PolicyError::Malformed)?;
        let digest_or_none = |bytes: &[u8]| bytes.is_empty() || bytes.len() == 32;
        let sound = tenant_is_valid(&said.tenant)
            && said.group.len() <= NAME_BYTES_MAX
            && said.version > 0
            && said.previous.is_empty() == (said.version == 1)
            && digest_or_none(&said.previous)
            && digest_or_none(&said.fallback)
            && said.files.len() <= FILES_MAX
            && said.files.iter().all(file_is_sound)
            && total(&said.files).is_some();
        if !sound {
            return Err(PolicyError::Malformed);
        }
        Ok(Self { digest: Kind::Policy.digest(&bytes), bytes, signatures, signers, said })
    }

    /// Checks that these keys have signed it, and enough of its own.
    ///
    /// # Errors
    /// [`PolicyError::Unsigned`] or [`PolicyError::OwnKeys`].
    pub fn check_signed_by(&self, signers: &Signers) -> Result<(), PolicyError> {
        let signed = Kind::Policy.signers(&self.bytes, &self.signatures);
        if !signers.accept(&self.signers, &signed) {
            return Err(PolicyError::Unsigned);
        }
        if self.signers.suffice(&signed) { Ok(()) } else { Err(PolicyError::OwnKeys) }
    }

    /// How many further signatures it takes until the keys it names itself suffice.
    #[must_use]
    pub fn signatures_missing(&self) -> usize {
        let signed = Kind::Policy.signers(&self.bytes, &self.signatures);
        self.signers.needed().saturating_sub(self.signers.keys().intersection(&signed).count())
    }

    /// What it asks of devices beside its packs.
    #[must_use]
    pub fn settings(&self) -> PolicySettings {
        self.said.settings.clone().unwrap_or_default()
    }

    /// The collector keys it denies.
    #[must_use]
    pub fn collectors_denied(&self) -> Vec<KeyId> {
        self.said.collectors_denied.iter().filter_map(|id| KeyId::from_slice(id)).collect()
    }

    /// For whoever has to be led from one key to the next.
    #[must_use]
    pub fn signed(&self) -> SignedPolicyHeader {
        SignedPolicyHeader { header: self.bytes.clone(), signatures: self.signatures.clone() }
    }
}

/// A policy: its header, and the files that the header names.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The header.
    pub header: Header,
    contents: Vec<u8>,
}

impl Policy {
    /// Makes the policy of a header and its files; the header's list of files is written here.
    ///
    /// # Errors
    /// [`PolicyError::Malformed`] where it comes to more than a policy may, or is unsound.
    pub fn make(mut said: PolicyHeader, files: &[(PolicyRole, String, Vec<u8>)]) -> Result<Self, PolicyError> {
        said.format = FORMAT;
        said.files = files
            .iter()
            .map(|(role, name, bytes)| PolicyFile {
                role: (*role).into(),
                name: name.clone(),
                sha256: sha256(&[bytes]).to_vec(),
                bytes: bytes.len() as u64,
            })
            .collect();
        let contents: Vec<u8> = files.iter().flat_map(|(_, _, bytes)| bytes).copied().collect();
        let policy = Self { header: Header::read(said.encode_to_vec(), Vec::new())?, contents };
        if policy.encode().len() > POLICY_BYTES_MAX { Err(PolicyError::Malformed) } else { Ok(policy) }
    }

    /// Adds a signature; a second one of the same key changes nothing.
    ///
    /// # Errors
    /// The key did not sign.
    pub fn sign(&mut self, key: &dyn SigningKey) -> Result<(), KeyError> {
        let header = &mut self.header;
        if !Kind::Policy.signers(&header.bytes, &header.signatures).contains(&key.public().id()) {
            header.signatures.push(Kind::Policy.sign(&header.bytes, key)?);
        }
        Ok(())
    }

    /// The bytes of a file with it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let header = &self.header;
        let signed = SignedPolicy {
            header: header.bytes.clone(),
            signatures: header.signatures.clone(),
            contents: self.contents.clone(),
        };
        [MAGIC, &signed.encode_to_vec()].concat()
    }

    /// Whether a file is meant to be a signed policy.
    #[must_use]
    pub fn is_meant(file: &[u8]) -> bool {
        file.starts_with(MAGIC)
    }

    /// Reads a file with a policy and checks its files against its header. Nothing is said of its signatures.
    ///
    /// # Errors
    /// [`PolicyError::Malformed`], [`PolicyError::Format`] or [`PolicyError::File`].
    pub fn read(file: &[u8]) -> Result<Self, PolicyError> {
        let encoded = file.strip_prefix(MAGIC).filter(|_| file.len() <= POLICY_BYTES_MAX);
        let signed = SignedPolicy::decode(encoded.ok_or(PolicyError::Malformed)?);
        let SignedPolicy { header, signatures, contents } = signed.map_err(|_| PolicyError::Malformed)?;
        Self::of(Header::read(header, signatures)?, contents)
    }

    /// A policy of its parts.
    ///
    /// # Errors
    /// [`PolicyError::File`] or [`PolicyError::Malformed`].
    pub fn of(header: Header, contents: Vec<u8>) -> Result<Self, PolicyError> {
        if total(&header.said.files) != Some(contents.len()) {
            return Err(PolicyError::Malformed);
        }
        let policy = Self { header, contents };
        let damaged = policy.files().find(|(file, bytes)| sha256(&[bytes]).to_vec() != file.sha256);
        if let Some((file, _)) = damaged {
            return Err(PolicyError::File(file.name.clone()));
        }
        Ok(policy)
    }

    /// Its files with their bytes, in the header's order.
    pub fn files(&self) -> impl Iterator<Item = (&PolicyFile, &[u8])> {
        let mut at = 0_usize;
        self.header.said.files.iter().map(move |file| {
            let end = at.saturating_add(usize::try_from(file.bytes).unwrap_or(usize::MAX));
            let bytes = self.contents.get(at..end).unwrap_or_default();
            at = end;
            (file, bytes)
        })
    }

    /// The bytes of all files, as a collector keeps them beside the header.
    #[must_use]
    pub fn contents(&self) -> &[u8] {
        &self.contents
    }
}

/// What somebody knows of a group's policies and goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct Anchor {
    /// The tenant.
    pub tenant: String,
    /// The group.
    pub group: String,
    /// Who may sign the next.
    pub signers: Signers,
    /// The highest that was accepted.
    pub highest: Option<Highest>,
}

/// The highest policy that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Highest {
    /// Its version.
    pub version: u64,
    /// What it is called by.
    pub digest: Digest,
    /// What it allows a return to.
    pub fallback: Option<Digest>,
}

impl Highest {
    /// Of a header.
    #[must_use]
    pub fn of(header: &Header) -> Self {
        let fallback = Digest::from_slice(&header.said.fallback);
        Self { version: header.said.version, digest: header.digest, fallback }
    }
}

impl Anchor {
    /// Follows headers in which keys change, as far as they lead on. Those that are known already, or are signed by keys from before
    /// the one that is pinned, lead nowhere and are passed over.
    ///
    /// # Errors
    /// One that is no header.
    pub fn follow(&mut self, leading: &[SignedPolicyHeader]) -> Result<(), PolicyError> {
        let mut known = self.highest.map_or(0, |highest| highest.version);
        for signed in leading.iter().take(LEADING_MAX) {
            let header = Header::read(signed.header.clone(), signed.signatures.clone())?;
            self.check_place(&header)?;
            if header.said.version > known && header.check_signed_by(&self.signers).is_ok() {
                known = header.said.version;
                self.signers = header.signers;
            }
        }
        Ok(())
    }

    /// Checks that a policy may be put in force next.
    ///
    /// # Errors
    /// Why not.
    pub fn accept(&self, header: &Header) -> Result<(), PolicyError> {
        self.check_place(header)?;
        let Some(highest) = self.highest else { return header.check_signed_by(&self.signers) };
        // What was accepted once was signed by whoever had to; so was what it names. A copy without signatures is none.
        if header.digest == highest.digest || Some(header.digest) == highest.fallback {
            return header.check_signed_by(&header.signers);
        }
        let version = header.said.version;
        if version == highest.version {
            return Err(PolicyError::Another(version));
        }
        if version < highest.version {
            return Err(PolicyError::Older { version, known: highest.version });
        }
        header.check_signed_by(&self.signers)?;
        if version == highest.version + 1 && header.said.previous != highest.digest.0 {
            return Err(PolicyError::Broken);
        }
        Ok(())
    }

    fn check_place(&self, header: &Header) -> Result<(), PolicyError> {
        if header.said.tenant != self.tenant {
            return Err(PolicyError::Tenant(header.said.tenant.clone()));
        }
        if header.said.group != self.group {
            return Err(PolicyError::Group(header.said.group.clone()));
        }
        Ok(())
    }
}

fn file_is_sound(file: &PolicyFile) -> bool {
    file.role() != PolicyRole::Unspecified
        && file.sha256.len() == 32
        && !file.name.is_empty()
        && file.name.len() <= NAME_BYTES_MAX
        && !file.name.chars().any(char::is_control)
}

/// Bytes of all files; `None` where that is more than a policy may come to.
fn total(files: &[PolicyFile]) -> Option<usize> {
    let bytes = files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.bytes))?;
    usize::try_from(bytes).ok().filter(|bytes| *bytes <= POLICY_BYTES_MAX)
}

#[cfg(test)]
mod tests;
