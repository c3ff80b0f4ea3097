//! Files that somebody brought and has not decided about: kept in memory for a quarter of an hour, for whoever brought them alone.

use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use watchpost_proto::digest::hash;

const KEPT_MS: i64 = 15 * 60_000;
/// Of everybody together, and of one person.
const FILES_MAX: usize = 16;
const OWN_MAX: usize = 2;
const BYTES_MAX: usize = 128 * 1024 * 1024;

struct Held {
    by: String,
    name: String,
    bytes: Bytes,
    at_ms: i64,
}

/// See the module.
#[derive(Default)]
pub(in crate::web) struct Uploads(Mutex<Vec<Held>>);

impl std::fmt::Debug for Uploads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Uploads")
    }
}

impl Uploads {
    /// Keeps a file; returns what it is asked for by. The oldest make room.
    pub(in crate::web) fn keep(&self, by: &str, bytes: Bytes, now_ms: i64) -> String {
        let name = hash("watchpost/upload", &[by.as_bytes(), &bytes]).to_string();
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|it| now_ms.saturating_sub(it.at_ms) < KEPT_MS && (it.by != by || it.name != name));
        held.push(Held { by: by.to_owned(), name: name.clone(), bytes, at_ms: now_ms });
        let own = held.iter().filter(|it| it.by == by).count();
        if own > OWN_MAX
            && let Some(oldest) = held.iter().position(|it| it.by == by)
        {
            held.remove(oldest);
        }
        while held.len() > FILES_MAX
            || (held.len() > 1 && held.iter().map(|it| it.bytes.len()).sum::<usize>() > BYTES_MAX)
        {
            held.remove(0);
        }
        name
    }

    /// What somebody brought.
    pub(in crate::web) fn find(&self, by: &str, name: &str, now_ms: i64) -> Option<Bytes> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = held.iter().find(|it| it.by == by && it.name == name && now_ms.saturating_sub(it.at_ms) < KEPT_MS);
        found.map(|it| it.bytes.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_for_whoever_brought_it_and_for_a_quarter_of_an_hour() {
        let uploads = Uploads::default();
        let name = uploads.keep("li", Bytes::from_static(b"one"), 0);
        assert_eq!(uploads.find("li", &name, KEPT_MS - 1), Some(Bytes::from_static(b"one")));
        assert_eq!(uploads.find("li", &name, KEPT_MS), None);
        assert_eq!(uploads.find("wu", &name, 0), None);
        uploads.keep("li", Bytes::from_static(b"two"), 1);
        uploads.keep("li", Bytes::from_static(b"three"), 2);
        assert_eq!(uploads.find("li", &name, 3), None, "of one person two are kept");
    }
}
