//! What a collector signs with its own role: receipts, and the introduction of its log key.

use prost::Message;

use crate::digest::framed;
use crate::keys::{KeyError, PublicKey, SigningKey};
use crate::v1::{LogKey, Receipt, SignedLogKey, SignedReceipt};

/// The format number of receipts and log keys.
pub const FORMAT: u32 = 1;
const RECEIPT_DOMAIN: &str = "watchpost/receipt";
const LOG_KEY_DOMAIN: &str = "watchpost/log-key";
/// Longest receipt or log key in bytes; a checkpoint is the largest part.
const SIGNED_BYTES_MAX: usize = 4 * 1024;

/// Signs a receipt.
pub fn sign_receipt(receipt: &Receipt, key: &dyn SigningKey) -> Result<SignedReceipt, KeyError> {
    let (receipt, signature, key_id) = sign(RECEIPT_DOMAIN, receipt.encode_to_vec(), key)?;
    Ok(SignedReceipt { receipt, signature, key_id })
}

/// Reads a receipt if this key signed it; `None` for anything else.
pub fn open_receipt(signed: &SignedReceipt, key: &PublicKey) -> Option<Receipt> {
    verify(RECEIPT_DOMAIN, &signed.receipt, &signed.signature, key)?;
    Receipt::decode(&signed.receipt[..]).ok().filter(|receipt| receipt.format == FORMAT)
}

/// Signs the introduction of a log key.
pub fn sign_log_key(log_key: &LogKey, key: &dyn SigningKey) -> Result<SignedLogKey, KeyError> {
    let (log_key, signature, key_id) = sign(LOG_KEY_DOMAIN, log_key.encode_to_vec(), key)?;
    Ok(SignedLogKey { log_key, signature, key_id })
}

/// Reads the introduction of a log key if this key signed it; `None` for anything else.
pub fn open_log_key(signed: &SignedLogKey, key: &PublicKey) -> Option<LogKey> {
    verify(LOG_KEY_DOMAIN, &signed.log_key, &signed.signature, key)?;
    LogKey::decode(&signed.log_key[..]).ok().filter(|log_key| log_key.format == FORMAT)
}

/// Exact bytes, signature, key id.
type Signed = (Vec<u8>, Vec<u8>, Vec<u8>);

fn sign(domain: &str, bytes: Vec<u8>, key: &dyn SigningKey) -> Result<Signed, KeyError> {
    let signature = key.sign(&framed(domain, &[&bytes]))?;
    Ok((bytes, signature, key.public().id().to_vec()))
}

fn verify(domain: &str, bytes: &[u8], signature: &[u8], key: &PublicKey) -> Option<()> {
    (bytes.len() <= SIGNED_BYTES_MAX && key.verify(&framed(domain, &[bytes]), signature)).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SoftwareKey;

    #[test]
    fn a_receipt_is_no_log_key_and_no_other_keys_receipt() {
        let (key, _) = SoftwareKey::generate().unwrap();
        let (other, _) = SoftwareKey::generate().unwrap();
        let receipt = Receipt { format: FORMAT, through_sequence: 7, ..Receipt::default() };
        let signed = sign_receipt(&receipt, &key).unwrap();
        assert_eq!(open_receipt(&signed, key.public()), Some(receipt));
        assert_eq!(open_receipt(&signed, other.public()), None);
        let as_log_key = SignedLogKey { log_key: signed.receipt, signature: signed.signature, key_id: signed.key_id };
        assert_eq!(open_log_key(&as_log_key, key.public()), None);
    }
}
