//! The ids that make "once" true: message ids, finding ids, body digests and pseudonyms.
//!
//! Every part is written as its length (u64, big-endian) and its bytes, so no two lists of parts give the same input.
//! The values are pinned by `tests/golden/identity.json` and never change.

use std::borrow::Cow;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac as _};
use serde::{Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::message::{Corp, Message, RecordFacts, lower};

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

digest_type!(
    /// Identity of a message. Shown as 64 hex characters.
    Mid
);
digest_type!(
    /// Identity of a finding, the same on every device that sees it. Shown as 64 hex characters.
    FindingId
);
digest_type!(
    /// Digest of the decoded type and texts of a message: tells a reused msgid with another body. Shown as 64 hex characters.
    BodyDigest
);
digest_type!(
    /// SHA-256 of a pack with the files it names. Shown as 64 hex characters.
    PackDigest
);
digest_type!(
    /// SHA-256 of a filter. Shown as 64 hex characters.
    FilterDigest
);
digest_type!(
    /// Digest over the digests of packs and filters of an engine. Shown as 64 hex characters.
    PolicyDigest
);
digest_type!(
    /// Digest of what decides whether a rule holds: its scope, detection and window with the files they name. Shown as 64 hex characters.
    RuleDigest
);

/// The tenant's secret key K. Never printed.
#[derive(Clone)]
pub struct TenantKey(pub [u8; 32]);

/// What a finding is about.
#[derive(Clone, Copy, Debug)]
pub enum FindingKey<'a> {
    /// One message.
    Message(Mid),
    /// A window of messages: its group key and the bucket number ⌊msgtime / duration⌋.
    Window {
        /// Group key, for example an account.
        group: &'a str,
        /// Bucket number.
        bucket: i64,
    },
}

impl fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TenantKey(…)")
    }
}

impl TenantKey {
    /// Reads 64 hex characters; white space around them is ignored. `None` for anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).ok()?;
        Some(Self(key))
    }
}

/// Identity of a message: from corp and msgid, or, when it has no msgid, keyed from sender, room, second, type and texts; of a record of another
/// interface keyed from type, second, parties and marks.
#[must_use]
pub fn mid(key: &TenantKey, corp: &Corp, message: &Message) -> Mid {
    match message.msgid.as_deref() {
        Some(msgid) => Mid(Parts::new("watchpost/mid").str(corp.as_str()).str(msgid).sha256()),
        None => Mid(match &message.extras.record {
            Some(record) => record_mid(corp, message, record).hmac(key),
            None => keyed_mid(corp, message).hmac(key),
        }),
    }
}

/// Digest of what a message says: type and texts, or for a type whose text is not read the body with sorted keys.
#[must_use]
pub fn body_digest(message: &Message) -> BodyDigest {
    let mut parts = Parts::new("watchpost/body").str(&message.msgtype).texts(message);
    if let Some(body) = &message.body {
        parts = parts.str(&canonical(body));
    }
    BodyDigest(parts.sha256())
}

/// Digest of the body and of who is said to have received it: a known message with another one is looked at again. An export that has one row for
/// each receiver may be read before its last row is written.
#[must_use]
pub fn content_digest(message: &Message) -> BodyDigest {
    let parts = Parts::new("watchpost/content").bytes(&body_digest(message).0);
    BodyDigest(id_set(&message.to).iter().fold(parts, |parts, id| parts.str(id)).sha256())
}

/// Identity of a finding. No device, epoch or version goes in, so every observer computes the same.
#[must_use]
pub fn finding_id(tenant: &str, corp: &Corp, pack: &str, rule: &str, key: FindingKey<'_>) -> FindingId {
    let parts = Parts::new("watchpost/finding").str(tenant).str(corp.as_str()).str(pack).str(rule);
    let parts = match key {
        FindingKey::Message(mid) => parts.bytes(&mid.0),
        FindingKey::Window { group, bucket } => parts.str(group).bytes(&bucket.to_be_bytes()),
    };
    FindingId(parts.sha256())
}

/// Keyed pseudonym of a customer or room: `p_` and 24 hex characters (96 bits). The id is taken without ASCII case.
#[must_use]
pub fn pseudonym(key: &TenantKey, corp: &Corp, id: &str) -> String {
    let digest = Parts::new("watchpost/pseudonym").str(corp.as_str()).str(&lower(id)).hmac(key);
    format!("p_{}", hex::encode(&digest[..12]))
}

/// A list of length-prefixed parts.
pub(crate) struct Parts(Vec<u8>);

impl Parts {
    pub(crate) fn new(domain: &str) -> Self {
        Self(Vec::with_capacity(128)).str(domain)
    }

    pub(crate) fn str(self, part: &str) -> Self {
        self.bytes(part.as_bytes())
    }

    pub(crate) fn bytes(mut self, part: &[u8]) -> Self {
        self.0.extend_from_slice(&(part.len() as u64).to_be_bytes());
        self.0.extend_from_slice(part);
        self
    }

    fn texts(self, message: &Message) -> Self {
        message.texts.iter().fold(self, |parts, text| parts.str(&text.field).str(&text.text))
    }

    pub(crate) fn sha256(self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    pub(crate) fn hmac(self, key: &TenantKey) -> [u8; 32] {
        // HMAC pads a key shorter than the block with zeros; doing it here makes the construction infallible.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&key.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(&self.0);
        mac.finalize().into_bytes().into()
    }
}

/// A short digest that tells the values of one group of messages apart: keyed, so that nobody finds out an id by trying all.
pub(crate) fn value_digest(key: &TenantKey, value: &str) -> u64 {
    let digest = Parts::new("watchpost/window-value").str(value).hmac(key);
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn keyed_mid(corp: &Corp, message: &Message) -> Parts {
    let seconds = message.msgtime.map(|ms| ms.div_euclid(1000).to_be_bytes());
    Parts::new("watchpost/mid-keyed")
        .str(corp.as_str())
        .str(&lower(&message.from))
        .str(message.room.as_deref().unwrap_or(""))
        .bytes(seconds.as_ref().map_or(&[], |bytes| bytes.as_slice()))
        .str(&message.msgtype)
        .texts(message)
}

/// A record of another interface is told more than once, in whatever order and by whatever carrier.
fn record_mid(corp: &Corp, message: &Message, record: &RecordFacts) -> Parts {
    let list = |parts: Parts, all: &[Cow<'_, str>]| {
        all.iter().fold(parts.bytes(&(all.len() as u64).to_be_bytes()), |parts, one| parts.str(one))
    };
    let marks: Vec<Cow<'_, str>> = record.marks.iter().map(Cow::from).collect();
    let seconds = message.msgtime.map(|ms| ms.div_euclid(1000).to_be_bytes());
    let parts = Parts::new("watchpost/mid-record")
        .str(corp.as_str())
        .str(&message.msgtype)
        .bytes(seconds.as_ref().map_or(&[], |bytes| bytes.as_slice()))
        .str(&lower(&message.from))
        .str(message.room.as_deref().unwrap_or(""));
    [id_set(&message.to), id_set(&record.others), marks].iter().fold(parts, |parts, all| list(parts, all))
}

/// Ids as they are compared, in whatever order and however often they were told.
fn id_set(ids: &[String]) -> Vec<Cow<'_, str>> {
    let mut all: Vec<_> = ids.iter().map(|id| lower(id)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// JSON with sorted keys and no white space. Recursion is bounded by the parser's own depth limit.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut members: Vec<(&String, &Value)> = map.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            let members: Vec<String> = members
                .into_iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        scalar => scalar.to_string(),
    }
}
