//! Digests with a domain, and the opaque identifiers of the contract.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

macro_rules! opaque {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// Takes exactly as many bytes as the identifier has; `None` for any other length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// Parses lower- or upper-case hexadecimal without separators.
            pub fn from_hex(text: &str) -> Option<Self> {
                let mut bytes = [0; $bytes];
                hex::decode_to_slice(text, &mut bytes).ok()?;
                Some(Self(bytes))
            }

            /// The bytes, for the wire or a database.
            pub fn to_vec(self) -> Vec<u8> {
                self.0.to_vec()
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), hex::encode(self.0))
            }
        }
    };
}

macro_rules! hex_display {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
    )*};
}

opaque!(
    /// A SHA-256 digest.
    Digest,
    32
);
opaque!(
    /// The UUID a device was given at enrolment.
    DeviceId,
    16
);
opaque!(
    /// One unbroken run of a device's chains.
    EpochId,
    16
);
opaque!(
    /// One start of an agent process.
    InstanceId,
    16
);
opaque!(
    /// One log of a collector.
    LogId,
    16
);
hex_display!(Digest, EpochId, InstanceId, LogId);

impl DeviceId {
    /// Parses a UUID with or without hyphens.
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_hex(&text.replace('-', ""))
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = hex::encode(self.0);
        let [a, b, c, d, e] = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
        write!(f, "{a}-{b}-{c}-{d}-{e}")
    }
}

/// SHA-256 over the domain and the parts, each with its length in eight big-endian bytes before it.
pub fn hash(domain: &str, parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in std::iter::once(domain.as_bytes()).chain(parts.iter().copied()) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    finish(context)
}

/// The bytes that are signed: domain and parts, framed as in [`hash`].
pub fn framed(domain: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + domain.len() + parts.iter().map(|part| part.len() + 8).sum::<usize>());
    for part in std::iter::once(domain.as_bytes()).chain(parts.iter().copied()) {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Plain SHA-256, where a standard asks for it.
pub fn sha256(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    finish(context)
}

/// A SHA-256 that can tell its digest at any point and go on.
#[derive(Clone)]
pub struct Running(Context);

impl Default for Running {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Running {
    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything taken so far.
    pub fn digest(&self) -> Digest {
        finish(self.0.clone())
    }
}

fn finish(context: Context) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    Digest(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_between_parts_changes_the_digest() {
        assert_ne!(hash("d", &[b"ab", b"c"]), hash("d", &[b"a", b"bc"]));
        assert_ne!(hash("da", &[b"b"]), hash("d", &[b"ab"]));
        assert_eq!(hash("d", &[b"ab"]), sha256(&[&framed("d", &[b"ab"])]));
    }

    #[test]
    fn a_device_reads_back_from_its_uuid() {
        let device = DeviceId([0x5a; 16]);
        assert_eq!(device.to_string(), "5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a");
        assert_eq!(DeviceId::parse(&device.to_string()), Some(device));
        assert_eq!(DeviceId::parse("5a5a"), None);
    }
}
