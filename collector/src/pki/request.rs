//! Certificate requests, and roots that vouch for later roots.

use rcgen::{CertificateSigningRequestParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::pki_types::CertificateSigningRequestDer;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{PkiError, Role, Root, authority_params, check_tenant, der_of, end_within, new_key};

/// Longest request read, in bytes; one of a P-256 key has about two hundred.
const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// The key a PKCS#10 request is for, as SubjectPublicKeyInfo. Nothing else in it is looked at.
///
/// # Errors
/// [`PkiError::Request`] where it is not one, or not signed by its own key; [`PkiError::Key`] for another kind of key.
pub fn requested_key(der: &[u8]) -> Result<Vec<u8>, PkiError> {
    if der.len() > REQUEST_BYTES_MAX {
        return Err(PkiError::Request);
    }
    let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
        .map_err(|_| PkiError::Request)?;
    if request.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
        return Err(PkiError::Key);
    }
    Ok(request.public_key.subject_public_key_info())
}

/// A new intermediate's key and the request a root answers with a certificate.
pub struct IntermediateRequest {
    /// PKCS#10, PEM.
    pub request: String,
    /// The private key, PKCS#8 PEM. A secret.
    pub key: String,
}

impl std::fmt::Debug for IntermediateRequest {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntermediateRequest").field("request", &self.request).finish_non_exhaustive()
    }
}

impl IntermediateRequest {
    /// Makes a key and a request for an intermediate of this role.
    ///
    /// # Errors
    /// [`PkiError::Tenant`], or no random numbers.
    pub fn create(role: Role, tenant: &str, now: OffsetDateTime) -> Result<Self, PkiError> {
        check_tenant(tenant)?;
        // Names and usage are for a company's own root to see; ours sets them itself.
        let mut params = authority_params(&role.title(tenant), 0, now, now)?;
        params.extended_key_usages = vec![role.usage()];
        params.serial_number = None;
        params.use_authority_key_identifier_extension = false;
        let key = new_key()?;
        Ok(Self { request: params.serialize_request(&key)?.pem()?, key: key.serialize_pem() })
    }
}

impl Root {
    /// Loads a root from its certificate and PKCS#8 key, both PEM.
    ///
    /// # Errors
    /// [`PkiError::Unfit`] when the two do not belong together or the certificate is no root.
    pub fn from_pem(certificate: &str, key: &str, tenant: &str) -> Result<Self, PkiError> {
        let unfit = |reason| PkiError::Unfit { role: "root", reason };
        let der = der_of(certificate)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| unfit("it is not a certificate"))?;
        let key = KeyPair::from_pem(key)?;
        if !parsed.is_ca() || parsed.subject() != parsed.issuer() {
            return Err(unfit("it is not a root"));
        }
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(unfit("the key beside it is another certificate's"));
        }
        let not_after = parsed.validity().not_after.to_datetime();
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&der.as_slice().into(), key)?,
            certificate: certificate.to_owned(),
            tenant: tenant.to_owned(),
            not_after,
        })
    }

    /// Answers the request for an intermediate of this role; returns its certificate, PEM. Of the request only the key
    /// is used.
    ///
    /// # Errors
    /// As [`requested_key`], and [`PkiError::Expired`].
    pub fn sign_intermediate(&self, role: Role, request: &str, now: OffsetDateTime) -> Result<String, PkiError> {
        let spki = requested_key(&der_of(request)?)?;
        let not_after = end_within("root", now + super::INTERMEDIATE_LIFE, self.not_after, now)?;
        let mut params = authority_params(&role.title(&self.tenant), 0, now, not_after)?;
        params.extended_key_usages = vec![role.usage()];
        Ok(params.signed_by(&super::p256_key(&spki)?, &self.issuer)?.pem())
    }

    /// Vouches for a later root: a certificate for its name and key under this one, so that whoever trusts this root
    /// alone follows what the later one issues.
    ///
    /// # Errors
    /// [`PkiError::Unfit`] for what is no root; [`PkiError::Expired`].
    pub fn vouch_for(&self, later: &str, now: OffsetDateTime) -> Result<String, PkiError> {
        let unfit = |reason| PkiError::Unfit { role: "root", reason };
        let der = der_of(later)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| unfit("it is not a certificate"))?;
        if !parsed.is_ca() || parsed.subject() != parsed.issuer() {
            return Err(unfit("it is not a root"));
        }
        let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let name = name.ok_or_else(|| unfit("it has no name"))?;
        let not_after = end_within("root", parsed.validity().not_after.to_datetime(), self.not_after, now)?;
        let params = authority_params(name, 1, now, not_after)?;
        Ok(params.signed_by(&super::p256_key(parsed.public_key().raw)?, &self.issuer)?.pem())
    }
}
