//! Passwords under argon2id.

use anyhow::{Context as _, anyhow};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use watchpost_proto::Message as _;
use watchpost_proto::v1::OperatorPassword;

/// Shortest password, in characters.
pub const CHARACTERS_MIN: usize = 12;
/// Longest, in bytes.
pub const BYTES_MAX: usize = 256;
/// The cost of a guess: 19 MiB of memory gone through twice.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// The most a kept password may cost to check.
const COST_MAX: (u32, u32, u32) = (256 * 1024, 10, 4);
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Why a password cannot be one; nothing where it can.
#[must_use]
pub fn objection(password: &str, name: &str) -> Option<&'static str> {
    let lower = password.to_lowercase();
    if password.chars().count() < CHARACTERS_MIN {
        Some("a password has at least 12 characters; several words do well")
    } else if password.len() > BYTES_MAX {
        Some("a password has at most 256 bytes")
    } else if lower.contains(name) && lower.chars().count() < name.chars().count() + CHARACTERS_MIN {
        Some("a password is not the name with something beside it")
    } else if lower.chars().all(|c| lower.starts_with(c)) {
        Some("a password is more than one character many times")
    } else {
        None
    }
}

/// What is kept of a password, encoded.
///
/// # Errors
/// No random numbers or no memory.
pub fn hash(password: &str) -> anyhow::Result<Vec<u8>> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).context("no random numbers from the system")?;
    let (memory_kib, passes, lanes) = COST;
    let mut kept = OperatorPassword { salt: salt.to_vec(), hash: Vec::new(), memory_kib, passes, lanes };
    kept.hash = work(password, &kept).context("the password cannot be hashed")?;
    Ok(kept.encode_to_vec())
}

/// Whether this is the password. Where there is none the same work is done for nothing, so that the time an answer takes
/// tells nobody whether a name exists.
#[must_use]
pub fn verify(password: &str, kept: Option<&[u8]>) -> bool {
    let read = kept.and_then(|bytes| OperatorPassword::decode(bytes).ok()).filter(is_sound);
    let (memory_kib, passes, lanes) = COST;
    let nobodys = OperatorPassword { salt: vec![0; SALT_BYTES], hash: vec![0; HASH_BYTES], memory_kib, passes, lanes };
    let against = read.as_ref().unwrap_or(&nobodys);
    let password = if password.len() > BYTES_MAX { "" } else { password };
    let same = work(password, against).is_ok_and(|hash| verify_slices_are_equal(&hash, &against.hash).is_ok());
    same && read.is_some()
}

fn is_sound(kept: &OperatorPassword) -> bool {
    let bounded = kept.memory_kib <= COST_MAX.0 && kept.passes <= COST_MAX.1 && kept.lanes <= COST_MAX.2;
    bounded && kept.hash.len() == HASH_BYTES && kept.salt.len() == SALT_BYTES
}

fn work(password: &str, with: &OperatorPassword) -> anyhow::Result<Vec<u8>> {
    let told = |error: argon2::Error| anyhow!("{error}");
    let params = Params::new(with.memory_kib, with.passes, with.lanes, Some(HASH_BYTES)).map_err(told)?;
    let mut hash = vec![0; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), &with.salt, &mut hash)
        .map_err(told)?;
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_is_the_password() {
        let kept = hash("correct horse battery").unwrap();
        assert!(verify("correct horse battery", Some(&kept)));
        assert!(!verify("correct horse batter", Some(&kept)));
        assert!(!verify("", Some(&kept)));
        assert!(!verify("correct horse battery", None));
        assert_ne!(kept, hash("correct horse battery").unwrap(), "salted");
        assert!(!String::from_utf8_lossy(&kept).contains("horse"));
    }

    #[test]
    fn what_is_kept_and_cannot_be_opens_nothing_and_costs_no_more() {
        let kept = OperatorPassword::decode(&hash("correct horse battery").unwrap()[..]).unwrap();
        let broken = [
            OperatorPassword { memory_kib: u32::MAX, ..kept.clone() },
            OperatorPassword { passes: u32::MAX, ..kept.clone() },
            OperatorPassword { lanes: 0, ..kept.clone() },
            OperatorPassword { hash: Vec::new(), ..kept.clone() },
            OperatorPassword { salt: Vec::new(), ..kept },
        ];
        for broken in broken {
            assert!(!verify("correct horse battery", Some(&broken.encode_to_vec())));
        }
        assert!(!verify("correct horse battery", Some(b"\xff\xff")));
    }

    #[test]
    fn weak_ones_are_told_why() {
        for weak in ["short", "administrator1", "aaaaaaaaaaaaaaaa", &"x1".repeat(129)] {
            assert!(objection(weak, "administrator").is_some(), "{weak}");
        }
        for good in ["correct horse battery", "五个字不够所以要十二个字才行"] {
            assert_eq!(objection(good, "administrator"), None, "{good}");
        }
    }
}
