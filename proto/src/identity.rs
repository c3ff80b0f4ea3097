//! What certificates say: tenant, role and key. Whether a chain leads to the pinned root is for the TLS side to verify;
//! this module only reads.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::digest::DeviceId;
use crate::keys::PublicKey;
use crate::limits::TENANT_BYTES_MAX;

/// The server name an agent asks for to reach the uplink, whatever address it dials.
pub const UPLINK_NAME: &str = "uplink.watchpost.internal";
/// The server name an agent asks for to enrol.
pub const ENROL_NAME: &str = "enrol.watchpost.internal";
/// The only protocol spoken after the handshake.
pub const ALPN: &[u8] = b"h2";
/// Object identifier of the extension that marks a development root; packages refuse it.
pub const DEV_CA_OID: &str = "2.25.1959324082104638123";
/// [`DEV_CA_OID`] as its arcs.
pub const DEV_CA_OID_ARCS: [u64; 3] = [2, 25, 1_959_324_082_104_638_123];

/// Who holds a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An agent's device.
    Device(DeviceId),
    /// A collector, by its own UUID.
    Collector(DeviceId),
}

/// What an end-entity certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The tenant of the URI.
    pub tenant: String,
    /// Role and id of the URI.
    pub role: Role,
    /// The certified key.
    pub key: PublicKey,
    /// First moment of validity, milliseconds since 1970.
    pub not_before_ms: i64,
    /// Last moment of validity, milliseconds since 1970.
    pub not_after_ms: i64,
}

/// Why a certificate names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not a DER certificate.
    #[error("not a certificate")]
    NotACertificate,
    /// Another kind of key.
    #[error("the certificate's key is not ECDSA P-256")]
    Key,
    /// No URI of the form `spiffe://tenant/device/uuid` or `spiffe://tenant/collector/uuid`, or more than one.
    #[error("the certificate does not name one device or collector")]
    Name,
}

/// Reads an end-entity certificate.
pub fn read_certificate(der: &[u8]) -> Result<Identity, IdentityError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| IdentityError::NotACertificate)?;
    let key = PublicKey::from_spki(certificate.public_key().raw).ok_or(IdentityError::Key)?;
    let (tenant, role) = only_uri(&certificate).and_then(parse_uri).ok_or(IdentityError::Name)?;
    let validity = certificate.validity();
    Ok(Identity {
        tenant,
        role,
        key,
        not_before_ms: validity.not_before.timestamp().saturating_mul(1000),
        not_after_ms: validity.not_after.timestamp().saturating_mul(1000),
    })
}

/// First and last moment of a certificate's validity, milliseconds since 1970; `None` if it is not one.
pub fn validity_ms(der: &[u8]) -> Option<(i64, i64)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    let ms = |seconds: i64| seconds.saturating_mul(1000);
    Some((ms(validity.not_before.timestamp()), ms(validity.not_after.timestamp())))
}

/// Whether a root carries the marker of a development authority. What cannot be read does not.
pub fn is_development_root(der: &[u8]) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| {
        certificate.extensions().iter().any(|extension| extension.oid.to_id_string() == DEV_CA_OID)
    })
}

/// Whether `link` is a certificate by which the root `earlier` vouches for the root `later`: of the same name and key as
/// that one, for an authority, and signed by the earlier one's key. All three are DER; keys other than P-256 vouch for
/// nobody. Dates are for the caller to judge.
pub fn vouches(earlier: &[u8], link: &[u8], later: &[u8]) -> bool {
    let read = |der| X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate);
    let (Some(earlier), Some(link), Some(later)) = (read(earlier), read(link), read(later)) else { return false };
    is_signed_by(&link, &earlier)
        && is_signed_by(&later, &later)
        && link.subject() == later.subject()
        && link.public_key().raw == later.public_key().raw
        && link.is_ca()
        && later.is_ca()
}

fn is_signed_by(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    let key = PublicKey::from_spki(issuer.public_key().raw);
    certificate.issuer() == issuer.subject()
        && key.is_some_and(|key| key.verify(certificate.tbs_certificate.as_ref(), &certificate.signature_value.data))
}

/// The name of a certificate's issuer, for a sentence to a person; `None` for what is no certificate.
pub fn issuer_name(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.issuer().to_string())
}

/// The name a certificate is for, for a sentence to a person; `None` for what is no certificate.
pub fn subject_name(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.subject().to_string())
}

/// The URI of a device.
pub fn device_uri(tenant: &str, device: &DeviceId) -> String {
    format!("spiffe://{tenant}/device/{device}")
}

/// The URI of a collector.
pub fn collector_uri(tenant: &str, collector: &DeviceId) -> String {
    format!("spiffe://{tenant}/collector/{collector}")
}

/// A tenant is 1 to 32 of `a-z`, `0-9` and `-`.
pub fn tenant_is_valid(tenant: &str) -> bool {
    (1..=TENANT_BYTES_MAX).contains(&tenant.len())
        && tenant.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn only_uri<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a str> {
    let names = certificate.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let uri = uris.next()?;
    uris.next().is_none().then_some(uri)
}

fn parse_uri(uri: &str) -> Option<(String, Role)> {
    let mut parts = uri.strip_prefix("spiffe://")?.split('/');
    let (tenant, kind, id) = (parts.next()?, parts.next()?, DeviceId::parse(parts.next()?)?);
    let role = match kind {
        "device" => Role::Device(id),
        "collector" => Role::Collector(id),
        _ => return None,
    };
    (parts.next().is_none() && tenant_is_valid(tenant)).then(|| (tenant.to_owned(), role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_one_tenant_role_and_id() {
        let id = DeviceId([7; 16]);
        assert_eq!(parse_uri(&device_uri("default", &id)), Some(("default".into(), Role::Device(id))));
        assert_eq!(parse_uri(&collector_uri("a-1", &id)), Some(("a-1".into(), Role::Collector(id))));
        for wrong in [
            "",
            "https://default/device/07070707-0707-0707-0707-070707070707",
            "spiffe://default/device/0707",
            "spiffe://default/relay/07070707-0707-0707-0707-070707070707",
            "spiffe://default/device/07070707-0707-0707-0707-070707070707/more",
            "spiffe:///device/07070707-0707-0707-0707-070707070707",
            "spiffe://DEFAULT/device/07070707-0707-0707-0707-070707070707",
        ] {
            assert_eq!(parse_uri(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_oid_and_its_arcs_are_the_same() {
        let arcs: Vec<String> = DEV_CA_OID_ARCS.iter().map(u64::to_string).collect();
        assert_eq!(arcs.join("."), DEV_CA_OID);
    }
}
