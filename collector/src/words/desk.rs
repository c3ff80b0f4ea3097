//! Steps with lists and words, each an entry of the log.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchpost_policy::matcher::{WordOptions, check_word};
use watchpost_policy::normalise::Normalisation;
use watchpost_policy::rules::{is_id, is_inside};
use watchpost_proto::v1::{EntryKind, WordRow, WordsEntry, WordsVerb};
use watchpost_proto::{Digest, Message as _};

use super::{Standing, Word, words};
use crate::enrolment::desk::{Act, DeskError};
use crate::log_store::words::lists;
use crate::log_store::{Appender, aside};
use crate::registry::Effects;

/// Characters of the name of a list.
const NAME_CHARS_MAX: usize = 64;
/// Lists there may be.
const LISTS_MAX: usize = 200;
/// Words of one list, those that went among them.
const WORDS_MAX: usize = 50_000;
/// Words of one step.
pub const STEP_WORDS_MAX: usize = 20_000;
/// Words of one entry.
const ENTRY_WORDS_MAX: usize = 4_000;
const NOTE_BYTES_MAX: usize = 512;
const FILE_BYTES_MAX: usize = 256;
/// What addresses below a list's mean already.
const RESERVED: [&str; 1] = ["preview"];

/// A word that is to come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// The word.
    pub word: String,
    /// Why it is to be there.
    #[serde(default)]
    pub note: String,
    /// From when on it no longer counts, milliseconds since 1970; none where that is never.
    #[serde(default)]
    pub expires_ms: Option<i64>,
    /// The word that goes once this one is approved, by its id.
    #[serde(default)]
    pub replaces: Option<String>,
}

/// What is done with a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// It begins.
    Make {
        /// The pack it is for.
        pack: String,
        /// The file, as the pack names it.
        file: String,
    },
    /// Words are to come and others to go, once somebody else approves.
    Change {
        /// Those to come.
        #[serde(default)]
        add: Vec<New>,
        /// Those to go, by their ids.
        #[serde(default)]
        withdraw: Vec<String>,
    },
    /// What somebody else asked for is approved, by the ids of the words.
    Approve(Vec<String>),
    /// What was asked for is not to be.
    Reject(Vec<String>),
    /// Words that belong to no list any more are erased for good.
    Erase(Vec<String>),
}

impl Step {
    /// How many words it is about.
    #[must_use]
    pub fn words(&self) -> usize {
        match self {
            Self::Make { .. } => 0,
            Self::Change { add, withdraw } => add.len() + withdraw.len(),
            Self::Approve(ids) | Self::Reject(ids) | Self::Erase(ids) => ids.len(),
        }
    }
}

/// Does it in the group under way; returns the entries made.
///
/// # Errors
/// What cannot be, in a sentence; then nothing is done. Or the log.
pub fn act(
    appender: &mut Appender<'_>,
    effects: &mut Effects,
    (list, step): (&str, &Step),
    act: &Act<'_>,
) -> Result<Vec<u64>, DeskError> {
    if let Step::Make { pack, file } = step {
        return make(appender, list, (pack, file), act);
    }
    if !lists(appender.connection())?.iter().any(|it| it.list == list) {
        return Err(told(format!("there is no list {list:?}; see words list")));
    }
    let known = words(appender.connection(), list, act.at_ms)?;
    let desk = Desk { list, known: &known, act };
    match step {
        Step::Make { .. } => Ok(Vec::new()),
        Step::Change { add, withdraw } => desk.change(appender, add, withdraw),
        Step::Approve(ids) => desk.settle(appender, WordsVerb::Approve, ids),
        Step::Reject(ids) => desk.settle(appender, WordsVerb::Reject, ids),
        Step::Erase(ids) => {
            let entries = desk.erase(appender, ids)?;
            effects.forget |= !entries.is_empty();
            Ok(entries)
        }
    }
}

fn make(
    appender: &mut Appender<'_>,
    list: &str,
    (pack, file): (&str, &str),
    act: &Act<'_>,
) -> Result<Vec<u64>, DeskError> {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if RESERVED.contains(&list) {
        return Err(told(format!("a list cannot be called {list:?}; choose another name")));
    }
    if list.is_empty() || list.chars().count() > NAME_CHARS_MAX || !list.chars().all(is_name) {
        return Err(told("the name of a list is of letters, digits and - _ . alone, at most 64 of them"));
    }
    if !is_id(pack) {
        return Err(told("name the pack by its id, as its file says after `pack:`"));
    }
    if file.is_empty() || file.len() > FILE_BYTES_MAX || !is_inside(file) {
        return Err(told("name the file as the pack does after `words_file:`, such as words/products.txt"));
    }
    let known = lists(appender.connection())?;
    if known.iter().any(|it| it.list == list) {
        return Err(told(format!("there is a list {list:?} already")));
    }
    if let Some(same) = known.iter().find(|it| it.pack == pack && it.file == file) {
        return Err(told(format!("the list {:?} is for this file already", same.list)));
    }
    if known.len() >= LISTS_MAX {
        return Err(told(format!("there are {LISTS_MAX} lists; that is all there can be")));
    }
    let entry = WordsEntry { pack: pack.into(), file: file.into(), ..said(WordsVerb::Make, list, act) };
    Ok(vec![append(appender, &entry)?])
}

struct Desk<'a> {
    list: &'a str,
    known: &'a [Word],
    act: &'a Act<'a>,
}

impl Desk<'_> {
    fn change(&self, appender: &mut Appender<'_>, add: &[New], withdraw: &[String]) -> Result<Vec<u64>, DeskError> {
        if add.len() + withdraw.len() > STEP_WORDS_MAX {
            return Err(told(format!("a step is about at most {STEP_WORDS_MAX} words; do it in parts")));
        }
        if self.known.len() + add.len() > WORDS_MAX {
            return Err(told(format!("a list has at most {WORDS_MAX} words, those that went among them")));
        }
        self.check_new(add)?;
        let going = self.named(withdraw, |word| word.standing == Standing::Approved, "belongs to the list")?;
        let mut entries = Vec::new();
        for part in add.chunks(ENTRY_WORDS_MAX) {
            let mut entry = said(WordsVerb::Propose, self.list, self.act);
            for new in part {
                let (word, note) = (new.word.trim().to_owned(), new.note.trim().to_owned());
                let row = WordRow { word, note, expires_ms: new.expires_ms.unwrap_or(0) };
                entry.words.push(aside::keep(appender.connection(), &row.encode_to_vec())?.to_vec());
                let replaced = new.replaces.as_deref().and_then(Digest::from_hex);
                entry.replaces.push(replaced.map(|digest| digest.to_vec()).unwrap_or_default());
            }
            entries.push(append(appender, &entry)?);
        }
        entries.extend(self.step(appender, WordsVerb::Withdraw, &going)?);
        Ok(entries)
    }

    fn check_new(&self, add: &[New]) -> Result<(), DeskError> {
        let standing = self.known.iter().filter(|word| word.standing.belongs() || word.standing == Standing::Proposed);
        let mut there: BTreeSet<&str> = standing.filter_map(|word| word.word.as_deref()).collect();
        for new in add {
            let word = new.word.trim();
            let shown: String = word.chars().take(40).collect();
            check(word).map_err(|why| told(format!("{shown:?}: {why}")))?;
            if new.note.len() > NOTE_BYTES_MAX || new.note.chars().any(char::is_control) {
                return Err(told(format!("{shown:?}: a note is one line of at most {NOTE_BYTES_MAX} bytes")));
            }
            if new.expires_ms.is_some_and(|at_ms| at_ms <= self.act.at_ms) {
                return Err(told(format!("{shown:?}: its time would be over at once")));
            }
            let replaced = match &new.replaces {
                None => None,
                Some(id) => {
                    let found = self.known.iter().find(|known| known.id == *id && known.standing.belongs());
                    Some(found.ok_or_else(|| told(format!("{shown:?} is to replace what is not in the list")))?)
                }
            };
            let is_same = replaced.is_some_and(|replaced| replaced.word.as_deref() == Some(word));
            let waits =
                self.known.iter().any(|it| it.standing == Standing::Proposed && it.word.as_deref() == Some(word));
            if !there.insert(word) && (!is_same || waits) {
                return Err(told(format!("{shown:?} is in the list already, or waits to be approved")));
            }
        }
        Ok(())
    }

    fn settle(&self, appender: &mut Appender<'_>, verb: WordsVerb, ids: &[String]) -> Result<Vec<u64>, DeskError> {
        let waiting = self.named(ids, |word| word.standing.waits(), "waits to be approved")?;
        let is_own = |word: &Word| !word.may_be_approved_by(self.act.by) && ids.contains(&word.id);
        if verb == WordsVerb::Approve && self.known.iter().any(is_own) {
            return Err(told(format!("{} asked for some of these: somebody else approves them", self.act.by)));
        }
        self.step(appender, verb, &waiting)
    }

    fn erase(&self, appender: &mut Appender<'_>, ids: &[String]) -> Result<Vec<u64>, DeskError> {
        let is_over =
            |word: &Word| matches!(word.standing, Standing::Withdrawn | Standing::Rejected) && word.word.is_some();
        let gone = self.named(ids, is_over, "was withdrawn or rejected")?;
        for digest in &gone {
            aside::erase(appender.connection(), &digest.0)?;
        }
        self.step(appender, WordsVerb::Erase, &gone)
    }

    /// Those of the list by these ids, all of which must stand so.
    fn named(&self, ids: &[String], stands: impl Fn(&Word) -> bool, so: &str) -> Result<Vec<Digest>, DeskError> {
        if ids.len() > STEP_WORDS_MAX {
            return Err(told(format!("a step is about at most {STEP_WORDS_MAX} words; do it in parts")));
        }
        let standing: BTreeSet<&str> =
            self.known.iter().filter(|word| stands(word)).map(|word| word.id.as_str()).collect();
        let mut named: Vec<Digest> = Vec::new();
        for id in ids {
            let id = id.to_ascii_lowercase();
            let digest = Digest::from_hex(&id).filter(|_| standing.contains(id.as_str()));
            named.push(digest.ok_or_else(|| told(format!("{id:?} is no word that {so}; look at the list again")))?);
        }
        named.sort_unstable_by_key(|digest| digest.0);
        named.dedup();
        Ok(named)
    }

    fn step(&self, appender: &mut Appender<'_>, verb: WordsVerb, words: &[Digest]) -> Result<Vec<u64>, DeskError> {
        let mut entries = Vec::new();
        for part in words.chunks(ENTRY_WORDS_MAX) {
            let words = part.iter().map(|digest| digest.to_vec()).collect();
            entries.push(append(appender, &WordsEntry { words, ..said(verb, self.list, self.act) })?);
        }
        Ok(entries)
    }
}

/// Whether a word can stand in a file of words and be looked for.
///
/// # Errors
/// Why not, in a sentence.
pub fn check(word: &str) -> Result<(), String> {
    if word.chars().any(char::is_control) {
        return Err("a word is one line without control characters".into());
    }
    if word.starts_with('#') {
        return Err("what begins with # is a comment in a file of words".into());
    }
    check_word(word, Normalisation::default(), WordOptions::default()).map_err(|error| error.to_string())
}

fn said(verb: WordsVerb, list: &str, act: &Act<'_>) -> WordsEntry {
    WordsEntry {
        verb: verb.into(),
        list: list.into(),
        by: act.by.into(),
        reason: act.reason.into(),
        at_ms: act.at_ms,
        ..WordsEntry::default()
    }
}

fn append(appender: &mut Appender<'_>, entry: &WordsEntry) -> Result<u64, DeskError> {
    Ok(appender.append(EntryKind::Words, &entry.encode_to_vec())?)
}

fn told(sentence: impl Into<String>) -> DeskError {
    DeskError::Told(sentence.into())
}
