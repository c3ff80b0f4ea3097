//! The certificate request a device sends: PKCS#10 with a key and nothing else, since every name is the collector's.

use crate::keys::{KeyError, SigningKey};

/// Object identifier of ECDSA with SHA-256, as an AlgorithmIdentifier.
const ECDSA_WITH_SHA256: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// Version 0 and a name without parts.
const VERSION_AND_NAME: [u8; 5] = [0x02, 0x01, 0x00, 0x30, 0x00];
/// No attributes.
const NO_ATTRIBUTES: [u8; 2] = [0xa0, 0x00];

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// A request for a certificate of this key, signed by it. DER.
///
/// # Errors
/// [`KeyError::DidNotSign`].
pub fn certificate_request(key: &dyn SigningKey) -> Result<Vec<u8>, KeyError> {
    let info = der(SEQUENCE, &[&VERSION_AND_NAME, key.public().spki(), &NO_ATTRIBUTES]);
    let signature = key.sign(&info)?;
    // A bit string says first how many bits of its last byte are unused.
    let signature = der(BIT_STRING, &[&[0], &signature]);
    Ok(der(SEQUENCE, &[&info, &ECDSA_WITH_SHA256, &signature]))
}

/// A tag, the length of the parts together, and the parts.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content: Vec<u8> = parts.concat();
    let length = content.len();
    let mut bytes = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        Ok(long) => bytes.extend([0x81, long]),
        Err(_) => {
            bytes.push(0x82);
            bytes.extend((length as u16).to_be_bytes());
        }
    }
    bytes.extend(content);
    bytes
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

    use super::*;
    use crate::keys::SoftwareKey;

    #[test]
    fn a_request_reads_as_pkcs10_and_is_signed_by_its_key() {
        let (key, _) = SoftwareKey::generate().unwrap();
        let request = certificate_request(&key).unwrap();
        let (rest, read) = X509CertificationRequest::from_der(&request).unwrap();
        assert!(rest.is_empty());
        let info = &read.certification_request_info;
        assert_eq!(info.subject_pki.raw, key.public().spki());
        assert_eq!(info.subject.iter().count(), 0);
        assert!(key.public().verify(info.raw, &read.signature_value.data));
    }
}
