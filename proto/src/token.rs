//! The one string that enrols a device: where to go, whom to believe there, and what to show.
//!
//! ```text
//! wpt1.<base64url of the message and four bytes of its digest>
//! ```
//!
//! The check tells a damaged copy from a token of another collector. It protects nothing: the credential does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message as _;

use crate::digest::{Digest, hash};
use crate::identity::tenant_is_valid;
use crate::keys::KeyId;
use crate::v1::EnrolmentToken;

/// What every token begins with.
const PREFIX: &str = "wpt1.";
const CHECK_DOMAIN: &str = "watchpost/token-check";
const CREDENTIAL_DOMAIN: &str = "watchpost/token";
const CHECK_BYTES: usize = 4;
/// Bytes of a credential.
pub const CREDENTIAL_BYTES: usize = 32;
/// Longest token read, in characters.
pub const TOKEN_CHARS_MAX: usize = 4096;
/// Addresses a token may carry.
pub const ADDRESSES_MAX: usize = 8;

/// Why a text is no token. Each sentence says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Something else altogether.
    #[error("this is not an enrolment token; it begins with {PREFIX}")]
    NotAToken,
    /// Characters are missing or were changed.
    #[error("the token was damaged while it was copied; copy it again, whole and on one line")]
    Damaged,
    /// Made by a later version.
    #[error("the token does not say all that is needed; update the agent, or make a new token")]
    Incomplete,
}

/// A token, read and checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The tenant.
    pub tenant: String,
    /// Each `host:port`, to be tried in turn.
    pub addresses: Vec<String>,
    /// SHA-256 of the root certificate, DER.
    pub root_pin: Digest,
    /// What proves the right to enrol. A secret.
    pub credential: [u8; CREDENTIAL_BYTES],
    /// When it ends, milliseconds since 1970.
    pub expires_ms: i64,
    /// Who signs the first policy, if there is one.
    pub policy_pin: Option<KeyId>,
    /// Who signs the first roster, if there is one.
    pub roster_pin: Option<KeyId>,
}

impl std::fmt::Debug for Token {
    /// Without the credential.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("tenant", &self.tenant)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Token {
    /// The string.
    pub fn encode(&self) -> String {
        let mut bytes = EnrolmentToken {
            tenant: self.tenant.clone(),
            addresses: self.addresses.clone(),
            root_pin: self.root_pin.to_vec(),
            credential: self.credential.to_vec(),
            expires_ms: self.expires_ms,
            policy_pin: self.policy_pin.map(KeyId::to_vec).unwrap_or_default(),
            roster_pin: self.roster_pin.map(KeyId::to_vec).unwrap_or_default(),
        }
        .encode_to_vec();
        let check = check(&bytes);
        bytes.extend_from_slice(&check);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a token. White space in and around it, as mail and terminals put it there, is passed over.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        if text.len() > TOKEN_CHARS_MAX {
            return Err(TokenError::NotAToken);
        }
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let encoded = text.strip_prefix(PREFIX).ok_or(TokenError::NotAToken)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Damaged)?;
        let (message, found) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(TokenError::Damaged)?;
        if check(message) != *found {
            return Err(TokenError::Damaged);
        }
        EnrolmentToken::decode(message).ok().and_then(read).ok_or(TokenError::Incomplete)
    }
}

/// What a collector keeps of a credential, and calls the token by.
pub fn credential_digest(credential: &[u8]) -> Digest {
    hash(CREDENTIAL_DOMAIN, &[credential])
}

fn read(token: EnrolmentToken) -> Option<Token> {
    let sound = tenant_is_valid(&token.tenant) && (1..=ADDRESSES_MAX).contains(&token.addresses.len());
    sound.then_some(())?;
    Some(Token {
        root_pin: Digest::from_slice(&token.root_pin)?,
        credential: token.credential.try_into().ok()?,
        tenant: token.tenant,
        addresses: token.addresses,
        expires_ms: token.expires_ms,
        policy_pin: pin(&token.policy_pin)?,
        roster_pin: pin(&token.roster_pin)?,
    })
}

fn pin(bytes: &[u8]) -> Option<Option<KeyId>> {
    if bytes.is_empty() { Some(None) } else { KeyId::from_slice(bytes).map(Some) }
}

fn check(message: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = hash(CHECK_DOMAIN, &[message]).0;
    [digest[0], digest[1], digest[2], digest[3]]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> Token {
        Token {
            tenant: "acme".into(),
            addresses: vec!["collector.example:7443".into(), "10.0.0.7:7443".into()],
            root_pin: Digest([7; 32]),
            credential: [9; 32],
            expires_ms: 1_800_000_000_000,
            policy_pin: Some(KeyId(Digest([5; 32]))),
            roster_pin: None,
        }
    }

    #[test]
    fn a_token_survives_mail_and_no_other_change() {
        let text = token().encode();
        assert_eq!(Token::parse(&text), Ok(token()));
        let folded = format!("  {}\r\n {}\n", &text[..40], &text[40..]);
        assert_eq!(Token::parse(&folded), Ok(token()));
        assert_eq!(Token::parse(&text[..text.len() - 1]), Err(TokenError::Damaged));
        assert_eq!(Token::parse("hello"), Err(TokenError::NotAToken));
        for at in PREFIX.len()..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(Token::parse(&changed).is_err(), "{at}");
        }
    }

    #[test]
    fn the_credential_is_not_shown() {
        assert!(!format!("{:?}", token()).contains('9'));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(wpt1\\.)?\\PC{0,200}") {
            let _ = Token::parse(&text);
        }
    }
}
