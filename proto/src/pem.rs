//! Keys and certificates as text.

use base64::Engine as _;

/// Characters of base64 in a line.
const LINE: usize = 64;

/// Blocks of PEM under a label, one for each DER.
pub fn pem<D: AsRef<[u8]>>(label: &str, ders: impl IntoIterator<Item = D>) -> String {
    let mut text = String::new();
    for der in ders {
        let encoded = base64::engine::general_purpose::STANDARD.encode(der);
        text.push_str(&format!("-----BEGIN {label}-----\n"));
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(LINE));
            text.push_str(line);
            text.push('\n');
            rest = after;
        }
        text.push_str(&format!("-----END {label}-----\n"));
    }
    text
}
