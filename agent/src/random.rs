//! Random bytes from the operating system.

/// Fresh random bytes. The operating system's source does not fail once the machine is up; should it, the process ends,
/// because a guessable salt or identifier would be worse.
#[expect(clippy::expect_used, reason = "there is no way to go on without randomness")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A fraction in `0.0 .. 1.0`, for jitter.
pub fn fraction() -> f64 {
    f64::from(u32::from_be_bytes(bytes())) / (f64::from(u32::MAX) + 1.0)
}
