//! One-time codes as RFC 6238 has them: six digits, thirty seconds, SHA-1, which is what every authenticator knows.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

/// Bytes of a seed.
pub const SEED_BYTES: usize = 20;
const STEP_MS: i64 = 30_000;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The step a moment is in.
#[must_use]
pub fn step_of(now_ms: i64) -> i64 {
    now_ms.div_euclid(STEP_MS)
}

/// The code of a step.
#[must_use]
pub fn code(seed: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, seed);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = usize::from(bytes.last().copied().unwrap_or(0) & 0x0f);
    let word = bytes.iter().skip(offset).take(4).fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

/// The step a code is of: the present one, the one before or the one after.
#[must_use]
pub fn fitting(seed: &[u8], shown: &str, now_ms: i64) -> Option<i64> {
    let now = step_of(now_ms);
    let shown: String = shown.chars().filter(|c| !c.is_whitespace()).collect();
    let fits = |step: &i64| verify_slices_are_equal(code(seed, *step).as_bytes(), shown.as_bytes()).is_ok();
    // All three, so that the time it takes says nothing.
    [now - 1, now, now + 1].into_iter().filter(fits).max()
}

/// What an authenticator reads, as a link or a square code.
#[must_use]
pub fn address(tenant: &str, operator: &str, seed: &[u8]) -> String {
    format!("otpauth://totp/Watchpost%20{tenant}:{operator}?secret={}&issuer=Watchpost%20{tenant}", base32(seed))
}

/// Base32 without padding.
fn base32(bytes: &[u8]) -> String {
    let (mut text, mut held, mut bits) = (String::new(), 0_u32, 0_u32);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(letter(held >> bits));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(letter(held << (5 - bits)));
    }
    text
}

fn letter(five_bits: u32) -> char {
    ALPHABET.get((five_bits & 31) as usize).map_or('A', |letter| char::from(*letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, the last six of its eight digits.
        let cases = [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(code(b"12345678901234567890", step_of(seconds * 1000)), expected, "{seconds}");
        }
    }

    #[test]
    fn a_code_fits_its_step_and_those_beside_it() {
        let (seed, now) = ([7; SEED_BYTES], 1_795_053_600_000);
        let step = step_of(now);
        for (of, expected) in [(-2, None), (-1, Some(-1)), (0, Some(0)), (1, Some(1)), (2, None)] {
            let shown = code(&seed, step + of);
            assert_eq!(fitting(&seed, &shown, now), expected.map(|of: i64| step + of), "{of}");
        }
        let shown = code(&seed, step);
        assert_eq!(fitting(&seed, &format!("{} {}", &shown[..3], &shown[3..]), now), Some(step));
        for wrong in ["", "000", "abcdef", "一二三四五六"] {
            assert_eq!(fitting(&seed, wrong, now), None, "{wrong}");
        }
    }

    #[test]
    fn base32_is_that_of_the_standard() {
        // RFC 4648, section 10, without padding.
        let cases =
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("foobar", "MZXW6YTBOI")];
        for (bytes, expected) in cases {
            assert_eq!(base32(bytes.as_bytes()), expected);
        }
    }
}
