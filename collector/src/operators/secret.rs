//! Strings that let somebody in: 256 random bits, of which only a digest is kept.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use watchpost_proto::Digest;
use watchpost_proto::digest::hash;

/// What a string is for, in front of it: so that it is recognised where it must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sets a password, once.
    Invitation,
    /// Stands in an `Authorization` header.
    Token,
    /// Stands in a cookie.
    Session,
    /// Opens what is about an employee, once.
    EmployeeLink,
    /// Stands in the cookie of an employee.
    EmployeeSession,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Invitation => "wpi_",
            Self::Token => "wpt_",
            Self::Session => "wps_",
            Self::EmployeeLink => "wpe_",
            Self::EmployeeSession => "wpv_",
        }
    }
}

/// A new string, and what is kept of it.
///
/// # Errors
/// No random numbers.
pub fn make(kind: Kind) -> anyhow::Result<(String, Digest)> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).context("no random numbers from the system")?;
    let text = format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(bytes));
    let digest = digest(kind, &text);
    Ok((text, digest))
}

/// What is kept of a string. It has 256 random bits: nobody guesses it from its digest.
#[must_use]
pub fn digest(kind: Kind, text: &str) -> Digest {
    hash("watchpost/operator-secret", &[kind.prefix().as_bytes(), text.trim().as_bytes()])
}
