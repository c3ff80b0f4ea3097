//! The certificate authority: one root that can go offline and two intermediates that cannot do each other's work.
//!
//! ```text
//! root ─┬─ devices     (clientAuth) ── device leaf      spiffe://<tenant>/device/<uuid>
//!       └─ collectors  (serverAuth) ── collector leaf   spiffe://<tenant>/collector/<uuid>
//! ```
//!
//! Each intermediate carries only its own extended key usage, and verifiers apply it to the whole chain: whoever
//! steals the key that enrols devices can still not pose as a collector. [`DeviceCa`] and [`CollectorCa`] are
//! separate types for the same reason. All keys are P-256. Nothing here reads a clock or touches a file.

mod request;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
    SubjectPublicKeyInfo,
};
use time::{Duration, OffsetDateTime};
use watchpost_proto::DeviceId;
use watchpost_proto::identity::{self, DEV_CA_OID_ARCS, ENROL_NAME, UPLINK_NAME};
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub use request::{IntermediateRequest, requested_key};

/// DER tag of a UTF8String.
const DER_UTF8_STRING: u8 = 0x0c;

/// How long a root lasts.
pub const ROOT_LIFE: Duration = Duration::days(3653);
/// How long an intermediate lasts.
pub const INTERMEDIATE_LIFE: Duration = Duration::days(1826);
/// How long a collector's certificate lasts.
pub const COLLECTOR_LIFE: Duration = Duration::days(365);
/// How long an enrolled device's certificate lasts.
pub const DEVICE_LIFE: Duration = Duration::days(30);
/// Every certificate is valid from this long before it was made, so that peers whose clock is somewhat behind
/// accept it at once.
pub const BACKDATE: Duration = Duration::hours(1);

/// What goes wrong when certificates are made or loaded.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A tenant name outside `[a-z0-9-]{1,32}`.
    #[error("tenant {0:?} is not 1 to 32 characters of a-z, 0-9 and -")]
    Tenant(String),
    /// An extra name for the collector that no certificate can carry.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    Name(String),
    /// Not a certificate request, or one that is not signed by its own key.
    #[error("this is not a certificate request signed by its own key")]
    Request,
    /// A public key that is not a P-256 SubjectPublicKeyInfo.
    #[error("the public key is not a P-256 key")]
    Key,
    /// A certificate loaded as an authority that cannot act as one, with the reason.
    #[error("the {role} certificate cannot be used: {reason}")]
    Unfit {
        /// `devices` or `collectors`.
        role: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The authority has expired, so nothing it issues now would be accepted.
    #[error("the {0} certificate has expired; make new intermediates from the root")]
    Expired(&'static str),
    /// The authority has not begun: what it issues now would be accepted by nobody.
    #[error("the {0} certificate is not valid yet: this clock is behind, or it was made by one that was ahead")]
    NotBegun(&'static str),
    /// The system gave no random bytes.
    #[error("no random numbers from the system: {0}")]
    Random(#[from] getrandom::Error),
    /// The certificate library refused an input.
    #[error(transparent)]
    Library(#[from] rcgen::Error),
}

/// Whether a tree of certificates is meant to be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Made by `watchpost-collector init`.
    Production,
    /// Made by `certs-dev`: the root carries the marker extension, and packaged builds refuse it.
    Development,
}

/// The root of a tenant's trust. Its key is needed only to make intermediates.
#[derive(Debug)]
pub struct Root {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    tenant: String,
    not_after: OffsetDateTime,
}

/// The intermediate that issues device certificates.
#[derive(Debug)]
pub struct DeviceCa(Intermediate);

/// The intermediate that issues collector certificates.
#[derive(Debug)]
pub struct CollectorCa(Intermediate);

/// A leaf certificate with a key that was made together with it.
pub struct KeyedLeaf {
    /// Leaf and intermediate, PEM, in the order TLS sends them.
    pub chain: String,
    /// The private key, PKCS#8 PEM. A secret.
    pub key: String,
}

impl std::fmt::Debug for KeyedLeaf {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyedLeaf").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Root {
    /// Makes a root with a fresh key, valid [`ROOT_LIFE`] from `now`.
    ///
    /// # Errors
    /// [`PkiError::Tenant`], or no random numbers.
    pub fn create(tenant: &str, purpose: Purpose, now: OffsetDateTime) -> Result<Self, PkiError> {
        check_tenant(tenant)?;
        let not_after = now + ROOT_LIFE;
        let mut params = authority_params(&root_name(tenant, purpose)?, Below::Authorities, now, not_after)?;
        if purpose == Purpose::Development {
            params.custom_extensions.push(development_marker());
        }
        let key = new_key()?;
        Ok(Self {
            certificate: params.self_signed(&key)?.pem(),
            issuer: Issuer::new(params, key),
            tenant: tenant.to_owned(),
            not_after,
        })
    }

    /// The certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The private key, PKCS#8 PEM. A secret, and better kept offline.
    #[must_use]
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Makes the intermediate for devices, valid [`INTERMEDIATE_LIFE`] from `now` and never longer than the root.
    ///
    /// # Errors
    /// [`PkiError::Expired`], or no random numbers.
    pub fn device_ca(&self, now: OffsetDateTime) -> Result<DeviceCa, PkiError> {
        self.intermediate(Role::Devices, now).map(DeviceCa)
    }

    /// Makes the intermediate for collectors, valid [`INTERMEDIATE_LIFE`] from `now` and never longer than the root.
    ///
    /// # Errors
    /// [`PkiError::Expired`], or no random numbers.
    pub fn collector_ca(&self, now: OffsetDateTime) -> Result<CollectorCa, PkiError> {
        self.intermediate(Role::Collectors, now).map(CollectorCa)
    }

    fn intermediate(&self, role: Role, now: OffsetDateTime) -> Result<Intermediate, PkiError> {
        let not_after = end_within("root", now + INTERMEDIATE_LIFE, self.not_after, now)?;
        let mut params = authority_params(&role.title(&self.tenant), Below::Leaves, now, not_after)?;
        params.extended_key_usages = vec![role.usage()];
        let key = new_key()?;
        Ok(Intermediate {
            certificate: params.signed_by(&key, &self.issuer)?.pem(),
            issuer: Issuer::new(params, key),
            role,
            not_before: now - BACKDATE,
            not_after,
        })
    }
}

impl DeviceCa {
    /// Loads the intermediate from its certificate and PKCS#8 key, both PEM.
    ///
    /// # Errors
    /// [`PkiError::Unfit`] when the two do not belong together or the certificate is not a devices authority;
    /// [`PkiError::Library`] when either cannot be read.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, PkiError> {
        Intermediate::from_pem(Role::Devices, certificate, key).map(Self)
    }

    /// The certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.0.certificate
    }

    /// The private key, PKCS#8 PEM. A secret.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.issuer.key().serialize_pem()
    }

    /// Issues a certificate for a key the device holds, given as DER SubjectPublicKeyInfo. Every name comes from the
    /// caller, none from the device. Returns leaf and intermediate as PEM.
    ///
    /// It lasts `life` from `now`, but never longer than the intermediate.
    ///
    /// # Errors
    /// [`PkiError::Key`], [`PkiError::Tenant`], [`PkiError::Expired`].
    pub fn issue(
        &self,
        spki: &[u8],
        tenant: &str,
        device: &DeviceId,
        life: Duration,
        now: OffsetDateTime,
    ) -> Result<String, PkiError> {
        let key = p256_key(spki)?;
        let params = self.0.leaf_params(tenant, device, identity::device_uri, life, now)?;
        self.0.sign_chain(&params, &key)
    }

    /// Makes a key and issues a certificate for it. For development only: the key of a real device is born there.
    ///
    /// # Errors
    /// As [`DeviceCa::issue`].
    pub fn issue_with_key(
        &self,
        tenant: &str,
        device: &DeviceId,
        life: Duration,
        now: OffsetDateTime,
    ) -> Result<KeyedLeaf, PkiError> {
        let key = new_key()?;
        let spki = key.subject_public_key_info();
        Ok(KeyedLeaf { chain: self.issue(&spki, tenant, device, life, now)?, key: key.serialize_pem() })
    }
}

impl CollectorCa {
    /// Loads the intermediate from its certificate and PKCS#8 key, both PEM.
    ///
    /// # Errors
    /// As [`DeviceCa::from_pem`].
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, PkiError> {
        Intermediate::from_pem(Role::Collectors, certificate, key).map(Self)
    }

    /// The certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.0.certificate
    }

    /// The private key, PKCS#8 PEM. A secret.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.issuer.key().serialize_pem()
    }

    /// Makes a collector's key and its certificate, valid [`COLLECTOR_LIFE`] from `now` but never longer than the
    /// intermediate. It carries the fixed uplink and enrolment names, which agents verify whatever address they
    /// dialled, and `extra_names` (DNS names or IP addresses).
    ///
    /// # Errors
    /// [`PkiError::Name`], [`PkiError::Tenant`], [`PkiError::Expired`].
    pub fn issue_with_key(
        &self,
        tenant: &str,
        collector: &DeviceId,
        extra_names: &[String],
        now: OffsetDateTime,
    ) -> Result<KeyedLeaf, PkiError> {
        let key = new_key()?;
        let spki = key.subject_public_key_info();
        let chain = self.issue(&spki, tenant, collector, extra_names, now)?;
        Ok(KeyedLeaf { chain, key: key.serialize_pem() })
    }

    /// Issues a collector's certificate for a key that is there already, given as SubjectPublicKeyInfo. As
    /// [`CollectorCa::issue_with_key`] else.
    ///
    /// # Errors
    /// As there, and [`PkiError::Key`].
    pub fn issue(
        &self,
        spki: &[u8],
        tenant: &str,
        collector: &DeviceId,
        extra_names: &[String],
        now: OffsetDateTime,
    ) -> Result<String, PkiError> {
        let ca = &self.0;
        let mut params = ca.leaf_params(tenant, collector, identity::collector_uri, COLLECTOR_LIFE, now)?;
        for name in [UPLINK_NAME, ENROL_NAME] {
            params.subject_alt_names.push(subject_name(name)?);
        }
        for name in extra_names {
            params.subject_alt_names.push(subject_name(name)?);
        }
        ca.sign_chain(&params, &p256_key(spki)?)
    }
}

/// Whether a PEM certificate carries the development marker. False also for what is not a certificate.
#[must_use]
pub fn is_development(certificate: &str) -> bool {
    let Ok(der) = der_of(certificate) else {
        return false;
    };
    identity::is_development_root(&der)
}

/// What an intermediate may issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Device certificates.
    Devices,
    /// Collector certificates.
    Collectors,
}

impl Role {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Devices, Self::Collectors];

    /// `devices` or `collectors`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Collectors => "collectors",
        }
    }

    fn title(self, tenant: &str) -> String {
        format!("Watchpost {} ({tenant})", self.name())
    }

    fn usage(self) -> ExtendedKeyUsagePurpose {
        match self {
            Self::Devices => ExtendedKeyUsagePurpose::ClientAuth,
            Self::Collectors => ExtendedKeyUsagePurpose::ServerAuth,
        }
    }
}

#[derive(Debug)]
struct Intermediate {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    role: Role,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
}

impl Intermediate {
    fn from_pem(role: Role, certificate: &str, key: &str) -> Result<Self, PkiError> {
        let der = der_of(certificate)?;
        let key = KeyPair::from_pem(key)?;
        let (not_before, not_after) = check_fit(role, &der, &key)?;
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&der.as_slice().into(), key)?,
            certificate: certificate.to_owned(),
            role,
            not_before,
            not_after,
        })
    }

    fn leaf_params(
        &self,
        tenant: &str,
        id: &DeviceId,
        uri: fn(&str, &DeviceId) -> String,
        life: Duration,
        now: OffsetDateTime,
    ) -> Result<CertificateParams, PkiError> {
        check_tenant(tenant)?;
        if now < self.not_before {
            return Err(PkiError::NotBegun(self.role.name()));
        }
        let not_after = end_within(self.role.name(), now + life, self.not_after, now)?;
        let mut params = dated_params(&id.to_string(), now, not_after)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![self.role.usage()];
        params.subject_alt_names = vec![SanType::URI(uri(tenant, id).try_into()?)];
        Ok(params)
    }

    fn sign_chain(&self, params: &CertificateParams, key: &impl PublicKeyData) -> Result<String, PkiError> {
        let leaf = params.signed_by(key, &self.issuer)?.pem();
        Ok(format!("{leaf}{}", self.certificate))
    }
}

/// Checks that a loaded certificate may issue for `role` and belongs to `key`; returns its beginning and end. The library that
/// signs does not look.
fn check_fit(role: Role, der: &[u8], key: &KeyPair) -> Result<(OffsetDateTime, OffsetDateTime), PkiError> {
    let unfit = |reason| PkiError::Unfit { role: role.name(), reason };
    let (_, parsed) = X509Certificate::from_der(der).map_err(|_| unfit("it is not a certificate"))?;
    if !parsed.is_ca() {
        return Err(unfit("it is not a certificate authority"));
    }
    if parsed.public_key().raw != key.subject_public_key_info() {
        return Err(unfit("the key beside it is another certificate's"));
    }
    let usage = parsed.extended_key_usage().ok().flatten();
    let for_role = usage.is_some_and(|usage| match role {
        Role::Devices => usage.value.client_auth && !usage.value.server_auth,
        Role::Collectors => usage.value.server_auth && !usage.value.client_auth,
    });
    if !for_role {
        return Err(unfit("its extended key usage is another role's"));
    }
    Ok((parsed.validity().not_before.to_datetime(), parsed.validity().not_after.to_datetime()))
}

/// What an authority may issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Below {
    Leaves,
    Authorities,
}

fn authority_params(
    name: &str,
    below: Below,
    now: OffsetDateTime,
    not_after: OffsetDateTime,
) -> Result<CertificateParams, PkiError> {
    let mut params = dated_params(name, now, not_after)?;
    params.is_ca = IsCa::Ca(match below {
        Below::Leaves => BasicConstraints::Constrained(0),
        // A root may vouch for a later one, that one for another, and so on.
        Below::Authorities => BasicConstraints::Unconstrained,
    });
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// The extension that tells a development root: not critical, so that every verifier can read past it.
fn development_marker() -> CustomExtension {
    let text = b"development only";
    let mut content = vec![DER_UTF8_STRING, text.len() as u8];
    content.extend_from_slice(text);
    CustomExtension::from_oid_content(&DEV_CA_OID_ARCS, content)
}

/// What every certificate has: a name, a random serial number, dates and the identifier of its issuer's key.
fn dated_params(name: &str, now: OffsetDateTime, not_after: OffsetDateTime) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(random_serial()?);
    params.not_before = now - BACKDATE;
    params.not_after = not_after;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// The end of a certificate, cut to its issuer's: a leaf that outlives its issuer is refused anyway, but at a
/// moment nobody expects.
fn end_within(
    issuer: &'static str,
    wanted: OffsetDateTime,
    issuer_end: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<OffsetDateTime, PkiError> {
    if issuer_end <= now {
        return Err(PkiError::Expired(issuer));
    }
    Ok(wanted.min(issuer_end))
}

/// No two roots have the same name: whoever builds a chain goes by names.
fn root_name(tenant: &str, purpose: Purpose) -> Result<String, PkiError> {
    let mut bytes = [0_u8; 4];
    getrandom::fill(&mut bytes)?;
    let mark = hex::encode(bytes);
    Ok(match purpose {
        Purpose::Production => format!("Watchpost root {mark} ({tenant})"),
        Purpose::Development => format!("Watchpost development root {mark} ({tenant})"),
    })
}

fn new_key() -> Result<KeyPair, PkiError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

fn p256_key(spki: &[u8]) -> Result<SubjectPublicKeyInfo, PkiError> {
    let key = SubjectPublicKeyInfo::from_der(spki).map_err(|_| PkiError::Key)?;
    if key.algorithm() == &PKCS_ECDSA_P256_SHA256 { Ok(key) } else { Err(PkiError::Key) }
}

/// 127 random bits, the top one set so that the encoding is positive and of one length.
fn random_serial() -> Result<SerialNumber, PkiError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn subject_name(name: &str) -> Result<SanType, PkiError> {
    if let Ok(address) = name.parse() {
        return Ok(SanType::IpAddress(address));
    }
    let plain = !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if !plain {
        return Err(PkiError::Name(name.to_owned()));
    }
    Ok(SanType::DnsName(name.to_owned().try_into()?))
}

fn check_tenant(tenant: &str) -> Result<(), PkiError> {
    if identity::tenant_is_valid(tenant) { Ok(()) } else { Err(PkiError::Tenant(tenant.to_owned())) }
}

/// The first certificate of a PEM text, as DER.
fn der_of(certificate: &str) -> Result<Vec<u8>, PkiError> {
    x509_parser::pem::parse_x509_pem(certificate.as_bytes())
        .map(|(_, pem)| pem.contents)
        .map_err(|_| PkiError::Library(rcgen::Error::CouldNotParseCertificate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use time::macros::datetime;
    use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    struct Tree {
        root: Root,
        devices: DeviceCa,
        collectors: CollectorCa,
    }

    fn tree() -> Tree {
        let root = Root::create("demo", Purpose::Production, NOW).unwrap();
        Tree { devices: root.device_ca(NOW).unwrap(), collectors: root.collector_ca(NOW).unwrap(), root }
    }

    impl Tree {
        fn device(&self) -> String {
            let id = &DeviceId([7; 16]);
            let leaf = self.devices.issue_with_key("demo", id, DEVICE_LIFE, NOW);
            leaf.unwrap().chain
        }

        fn collector(&self) -> String {
            let names = ["collector.example".to_owned(), "192.0.2.7".to_owned()];
            let leaf = self.collectors.issue_with_key("demo", &DeviceId([9; 16]), &names, NOW);
            leaf.unwrap().chain
        }
    }

    fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
    }

    /// What a verifier that trusts only `root` says of a chain, leaf first.
    fn verify(chain: &str, root: &str, at: OffsetDateTime, usage: KeyUsage) -> Result<(), Error> {
        let root = certificates(root).remove(0);
        let chain = certificates(chain);
        let at = u64::try_from(at.unix_timestamp()).unwrap();
        EndEntityCert::try_from(&chain[0])
            .unwrap()
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &[anchor_from_trusted_cert(&root).unwrap()],
                &chain[1..],
                UnixTime::since_unix_epoch(std::time::Duration::from_secs(at)),
                usage,
                None,
                None,
            )
            .map(|_| ())
    }

    fn wrong_usage(result: Result<(), Error>) -> bool {
        matches!(result, Err(Error::RequiredEkuNotFoundContext(_)))
    }

    #[test]
    fn each_leaf_verifies_for_its_own_role_only() {
        let tree = tree();
        let root = tree.root.certificate();
        let (device, collector) = (tree.device(), tree.collector());
        verify(&device, root, NOW, KeyUsage::client_auth()).unwrap();
        verify(&collector, root, NOW, KeyUsage::server_auth()).unwrap();
        assert!(wrong_usage(verify(&device, root, NOW, KeyUsage::server_auth())));
        assert!(wrong_usage(verify(&collector, root, NOW, KeyUsage::client_auth())));
    }

    #[test]
    fn another_root_of_the_same_name_is_not_trusted() {
        let (ours, theirs) = (tree(), tree());
        let verdict = verify(&theirs.device(), ours.root.certificate(), NOW, KeyUsage::client_auth());
        assert!(verdict.is_err(), "{verdict:?}");
    }

    /// A leaf for `usage` signed by `issuer` without asking our code.
    fn forged(issuer: &Intermediate, usage: ExtendedKeyUsagePurpose) -> String {
        let mut params = dated_params("forged", NOW, NOW + DEVICE_LIFE).unwrap();
        params.extended_key_usages = vec![usage];
        issuer.sign_chain(&params, &new_key().unwrap()).unwrap()
    }

    #[test]
    fn a_stolen_intermediate_cannot_issue_for_the_other_role() {
        let tree = tree();
        let root = tree.root.certificate();
        let server = forged(&tree.devices.0, ExtendedKeyUsagePurpose::ServerAuth);
        assert!(wrong_usage(verify(&server, root, NOW, KeyUsage::server_auth())));
        let client = forged(&tree.collectors.0, ExtendedKeyUsagePurpose::ClientAuth);
        assert!(wrong_usage(verify(&client, root, NOW, KeyUsage::client_auth())));
    }

    #[test]
    fn an_intermediate_cannot_make_another_intermediate() {
        let tree = tree();
        let key = new_key().unwrap();
        let mut params = authority_params("below", Below::Leaves, NOW, NOW + DEVICE_LIFE).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = tree.devices.0.sign_chain(&params, &key).unwrap();
        let below = Intermediate {
            issuer: Issuer::new(params, key),
            certificate,
            role: Role::Devices,
            not_before: NOW - BACKDATE,
            not_after: NOW + DEVICE_LIFE,
        };
        let leaf = forged(&below, ExtendedKeyUsagePurpose::ClientAuth);
        let verdict = verify(&leaf, tree.root.certificate(), NOW, KeyUsage::client_auth());
        assert_eq!(verdict, Err(Error::PathLenConstraintViolated));
    }

    #[test]
    fn validity_begins_an_hour_early_and_ends_on_time() {
        let tree = tree();
        let root = tree.root.certificate();
        let device = tree.device();
        let at = |time| verify(&device, root, time, KeyUsage::client_auth());
        assert!(matches!(at(NOW - BACKDATE - Duration::SECOND), Err(Error::CertNotValidYet { .. })));
        at(NOW - BACKDATE).unwrap();
        at(NOW + DEVICE_LIFE).unwrap();
        assert!(matches!(at(NOW + DEVICE_LIFE + Duration::SECOND), Err(Error::CertExpired { .. })));
    }

    #[test]
    fn nothing_outlives_its_issuer() {
        let tree = tree();
        let late = NOW + INTERMEDIATE_LIFE - Duration::days(10);
        let leaf = tree.devices.issue_with_key("demo", &DeviceId([1; 16]), DEVICE_LIFE, late).unwrap();
        let end = NOW + INTERMEDIATE_LIFE;
        let der = der_of(&leaf.chain).unwrap();
        let (_, parsed) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(parsed.validity().not_after.to_datetime(), end);
        let expired = tree.devices.issue_with_key("demo", &DeviceId([1; 16]), DEVICE_LIFE, end);
        assert!(matches!(expired, Err(PkiError::Expired("devices"))));
    }

    #[test]
    fn a_collector_answers_to_the_fixed_names_and_its_own() {
        let chain = certificates(&tree().collector());
        let leaf = EndEntityCert::try_from(&chain[0]).unwrap();
        let named = identity::read_certificate(&chain[0]).unwrap();
        assert_eq!(named.role, identity::Role::Collector(DeviceId([9; 16])));
        for name in [UPLINK_NAME, ENROL_NAME, "collector.example", "192.0.2.7"] {
            let name = ServerName::try_from(name).unwrap();
            leaf.verify_is_valid_for_subject_name(&name).unwrap();
        }
        let other = ServerName::try_from("other.example").unwrap();
        assert!(leaf.verify_is_valid_for_subject_name(&other).is_err());
    }

    #[test]
    fn an_issued_device_certificate_carries_the_given_key_and_identity() {
        let tree = tree();
        let spki = new_key().unwrap().subject_public_key_info();
        let device = &DeviceId([42; 16]);
        let chain = tree.devices.issue(&spki, "demo", device, DEVICE_LIFE, NOW).unwrap();
        let der = der_of(&chain).unwrap();
        let (_, parsed) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(parsed.public_key().raw, spki);
        let named = identity::read_certificate(&der).unwrap();
        assert_eq!((named.tenant.as_str(), named.role), ("demo", identity::Role::Device(*device)));
    }

    #[test]
    fn the_marker_is_on_a_development_root_and_nowhere_else() {
        let tree = tree();
        let production = [
            tree.root.certificate().to_owned(),
            tree.devices.certificate().to_owned(),
            tree.device(),
            tree.collector(),
        ];
        assert!(production.iter().all(|pem| !is_development(pem)));
        let root = Root::create("demo", Purpose::Development, NOW).unwrap();
        assert!(is_development(root.certificate()));
        let device = root.device_ca(NOW).unwrap().issue_with_key("demo", &DeviceId([7; 16]), DEVICE_LIFE, NOW).unwrap();
        assert!(!is_development(&device.chain));
        verify(&device.chain, root.certificate(), NOW, KeyUsage::client_auth()).unwrap();
    }

    #[test]
    fn a_loaded_intermediate_issues_like_the_one_that_was_saved() {
        let tree = tree();
        let loaded = DeviceCa::from_pem(tree.devices.certificate(), &tree.devices.key()).unwrap();
        let leaf = loaded.issue_with_key("demo", &DeviceId([3; 16]), DEVICE_LIFE, NOW).unwrap();
        verify(&leaf.chain, tree.root.certificate(), NOW, KeyUsage::client_auth()).unwrap();
    }

    #[test]
    fn an_authority_that_cannot_do_the_work_is_not_loaded() {
        let tree = tree();
        let device = tree.devices.issue_with_key("demo", &DeviceId([3; 16]), DEVICE_LIFE, NOW).unwrap();
        let cases = [
            (tree.devices.certificate(), tree.collectors.key(), "another certificate"),
            (tree.collectors.certificate(), tree.collectors.key(), "another role"),
            (tree.root.certificate(), tree.root.key(), "another role"),
            (&device.chain, device.key.clone(), "not a certificate authority"),
        ];
        for (certificate, key, expected) in cases {
            let error = DeviceCa::from_pem(certificate, &key).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(DeviceCa::from_pem("no PEM", &tree.devices.key()).is_err());
        assert!(DeviceCa::from_pem(tree.devices.certificate(), "no PEM").is_err());
    }

    #[test]
    fn names_and_keys_that_do_not_belong_in_a_certificate_are_refused() {
        let long = "x".repeat(33);
        for tenant in ["", "Demo", "a b", "a/b", "演示", &long] {
            let refused = Root::create(tenant, Purpose::Production, NOW);
            assert!(matches!(refused, Err(PkiError::Tenant(_))), "{tenant:?}");
        }
        let tree = tree();
        for name in ["", "a b", "*.example", "名字.example"] {
            let refused = tree.collectors.issue_with_key("demo", &DeviceId([1; 16]), &[name.to_owned()], NOW);
            assert!(matches!(refused, Err(PkiError::Name(_))), "{name:?}");
        }
        let other_curve = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        for spki in [other_curve.subject_public_key_info(), b"no key".to_vec()] {
            let refused = tree.devices.issue(&spki, "demo", &DeviceId([1; 16]), DEVICE_LIFE, NOW);
            assert!(matches!(refused, Err(PkiError::Key)));
        }
    }

    #[test]
    fn serial_numbers_differ() {
        let serials: std::collections::BTreeSet<Vec<u8>> =
            (0..100).map(|_| random_serial().unwrap().to_bytes()).collect();
        assert_eq!(serials.len(), 100);
        assert!(serials.iter().all(|serial| serial[0] < 0x80));
    }
}
