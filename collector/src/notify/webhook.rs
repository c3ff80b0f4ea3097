//! A webhook: JSON, signed with a secret both sides know, with an id that stays the same however often it comes.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha2::Sha256;

use super::send::Outcome;
use super::text::Line;
use crate::outgoing::Answer;

/// The header with the time of sending and the signature.
pub const SIGNATURE: &str = "watchpost-signature";
/// The header with the id; the same with every attempt.
pub const ID: &str = "watchpost-id";
/// Longest body, in bytes.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// What is sent.
#[derive(Clone, Debug, Serialize)]
pub struct Body<'a> {
    /// The same with every attempt, hexadecimal.
    pub id: String,
    /// `alerts` or `test`.
    pub kind: &'static str,
    /// The tenant.
    pub tenant: &'a str,
    /// The target, by name.
    pub target: &'a str,
    /// The route; empty for a test.
    pub route: &'a str,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When it was planned, milliseconds since 1970.
    pub planned_ms: i64,
    /// The alerts.
    pub alerts: &'a [Line],
    /// How many there are beside these.
    pub more: usize,
}

impl Body<'_> {
    /// JSON, with as many alerts as fit.
    #[must_use]
    pub fn json(&self) -> String {
        let (mut fitting, mut bytes) = (0, 1024);
        for line in self.alerts {
            bytes += serde_json::to_string(line).map_or(0, |json| json.len() + 1);
            if bytes > BODY_BYTES_MAX {
                break;
            }
            fitting += 1;
        }
        let (alerts, rest) = self.alerts.split_at(fitting);
        serde_json::to_string(&Body { alerts, more: self.more + rest.len(), ..self.clone() }).unwrap_or_default()
    }
}

/// The signature of a body at a moment, seconds since 1970: `t=…,v1=…`, HMAC-SHA256 over `t.body`.
#[must_use]
pub fn signature(secret: &[u8], at_s: i64, body: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret)
        .map(|mac| mac.chain_update(format!("{at_s}.")).chain_update(body).finalize().into_bytes());
    format!("t={at_s},v1={}", hex::encode(mac.unwrap_or_default()))
}

/// What an answer means.
#[must_use]
pub fn judge(answer: &Answer) -> Outcome {
    if answer.status.is_success() { Outcome::Sent } else { Outcome::of_status(answer.status) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::route::Route;
    use crate::notify::text::tests::telling;

    #[test]
    fn a_signature_is_what_the_documentation_says() {
        // As `printf '%s' '1700000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef` says.
        let expected = "t=1700000000,v1=e4f8e2ecae2295b2ddb2f0b5584c8275e226c0ebe9b3b819e70156bb67122e3e";
        assert_eq!(signature(b"0123456789abcdef", 1_700_000_000, "{}"), expected);
    }

    #[test]
    fn a_body_is_bounded_and_counts_the_rest() {
        let line = Line::of(telling(), &Route::to("duty"), None);
        let alerts: Vec<Line> = std::iter::repeat_n(line, 1_000).collect();
        let body = Body {
            id: "ab".repeat(32),
            kind: "alerts",
            tenant: "acme",
            target: "t",
            route: "r",
            attempt: 1,
            planned_ms: 0,
            alerts: &alerts,
            more: 0,
        };
        let json = body.json();
        assert!(json.len() <= BODY_BYTES_MAX, "{}", json.len());
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        let told = read["alerts"].as_array().unwrap().len();
        assert!(told > 100);
        assert_eq!(read["more"], 1_000 - told);
    }
}
