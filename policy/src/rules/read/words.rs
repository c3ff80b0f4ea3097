//! Lists of words, in the pack and in files beside it.

use std::sync::Arc;

use super::{Reader, is_inside};
use crate::matcher::{WordOptions, check_word};
use crate::normalise::Normalisation;
use crate::rules::PACK_WORDS_MAX;
use crate::yaml::{Node, Place};

impl<'a> Reader<'a> {
    pub(super) fn words(&mut self, node: &Node, what: &str, folding: (Normalisation, WordOptions)) -> Vec<Arc<str>> {
        let items = self.list(node, what).unwrap_or_default();
        let texts: Vec<(&str, Place)> =
            items.iter().filter_map(|item| Some((self.text(item, "a word")?, item.at))).collect();
        self.checked(self.file, &texts, folding)
    }

    pub(super) fn words_file(&mut self, node: &Node, folding: (Normalisation, WordOptions)) -> Vec<Arc<str>> {
        let words = self.lines_of_file(node, "`words_file`");
        let name = if let crate::yaml::Yaml::Text(name) = &node.value { name.as_str() } else { self.file };
        let name = self.files.get_key_value(name).map_or(self.file, |(name, _)| name);
        self.checked(name, &words, folding)
    }

    /// The lines of a file beside the pack, without empty ones and those that begin with `#`.
    pub(super) fn lines_of_file(&mut self, node: &Node, what: &str) -> Vec<(&'a str, Place)> {
        let Some((name, text)) = self.named_file(node, what) else { return Vec::new() };
        let lines = (1..).zip(text.lines()).map(|(line, word)| (word.trim(), Place { line, column: 0 }));
        let words: Vec<(&str, Place)> = lines.filter(|(word, _)| !word.is_empty() && !word.starts_with('#')).collect();
        if words.is_empty() {
            self.wrong_in(name, Place::default(), "the file has no words; write one per line");
        }
        words
    }

    /// A file beside the pack, as text.
    pub(super) fn named_file(&mut self, node: &Node, what: &str) -> Option<(&'a str, &'a str)> {
        let name = self.text(node, what)?;
        if !is_inside(name) {
            let key = what.trim_matches('`');
            self.wrong(
                node.at,
                format!("`{key}: {name}` must be a path below the pack's folder, with `/` and without `..`"),
            );
            return None;
        }
        let files = self.files;
        let Some((name, bytes)) = files.get_key_value(name) else {
            self.wrong(node.at, format!("the file `{name}` was not found beside the pack; add it or correct the name"));
            return None;
        };
        self.used.insert(name, bytes);
        match std::str::from_utf8(bytes) {
            Ok(text) => Some((name, text.strip_prefix('\u{FEFF}').unwrap_or(text))),
            Err(error) => {
                let line = bytes.iter().take(error.valid_up_to()).filter(|&&b| b == b'\n').count() as u64 + 1;
                self.wrong_in(name, Place { line, column: 0 }, "the file is not UTF-8 from here on; save it as UTF-8");
                None
            }
        }
    }

    fn checked(&mut self, file: &str, words: &[(&str, Place)], folding: (Normalisation, WordOptions)) -> Vec<Arc<str>> {
        if self.words <= PACK_WORDS_MAX && self.words + words.len() > PACK_WORDS_MAX {
            self.wrong_in(file, Place::default(), format!("the pack has more than {PACK_WORDS_MAX} words; split it"));
        }
        self.words += words.len();
        for (word, at) in words {
            if let Err(error) = check_word(word, folding.0, folding.1) {
                self.wrong_in(file, *at, format!("word `{}`: {error}", word.chars().take(40).collect::<String>()));
            }
        }
        words.iter().map(|(word, _)| Arc::from(*word)).collect()
    }
}
