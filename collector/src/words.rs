//! Words 词表 that compliance officers keep for packs: proposed by one person, approved by another, in force once a published policy
//! holds them.
//!
//! ```text
//! propose ─► proposed ─► approve (somebody else) ─► approved ─► export ─► policy sign ─► publish ─► in force
//!                └► reject                             └► withdraw ─► leaving ─► approve (somebody else) ─► withdrawn
//! ```
//!
//! A list stands for one file that a pack names (`words_file`). The words themselves lie beside the log and an entry has only salted
//! digests, as of names. The key that signs policies is not here: an approved word waits for whoever has it.

pub mod desk;
pub mod difference;
pub mod file;
pub mod preview;

use std::collections::BTreeMap;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;
use watchpost_proto::Message as _;
use watchpost_proto::v1::WordRow;

use crate::log_store::words::{self as kept, WordFacts};
use crate::log_store::{StoreError, WordState, aside};
use crate::policies::in_force::InForce;

/// A list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct List {
    /// Its name.
    pub list: String,
    /// The pack it is for.
    pub pack: String,
    /// The file, as the pack names it.
    pub file: String,
    /// Who has begun it.
    pub by: String,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Words that belong to it.
    pub approved: usize,
    /// Words that wait for a second person, to come or to go.
    pub waiting: usize,
    /// Words that belong to it and count no longer: their time is over.
    pub expired: usize,
}

/// How a word stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It waits for a second person.
    Proposed,
    /// It belongs to the list.
    Approved,
    /// It belongs to the list until a second person agrees that it goes.
    Leaving,
    /// It belonged to the list.
    Withdrawn,
    /// It never did.
    Rejected,
}

/// A word of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Word {
    /// What names it in the log, hexadecimal.
    pub id: String,
    /// The word; none where it was erased.
    pub word: Option<String>,
    /// Why it is there.
    pub note: String,
    /// From when on it does not count, milliseconds since 1970; none where that is never.
    pub expires_ms: Option<i64>,
    /// Its time is over.
    pub expired: bool,
    /// How it stands.
    pub standing: Standing,
    /// The word that goes once this one is approved, by its id.
    pub replaces: Option<String>,
    /// Who proposed it.
    pub owner: String,
    /// When.
    pub added_ms: i64,
    /// Who asked for what is to be approved, and when.
    pub asked_by: String,
    /// See above.
    pub asked_ms: i64,
    /// Who said the last word about it; empty where nobody has.
    pub settled_by: String,
    /// When.
    pub settled_ms: Option<i64>,
    /// Groups whose published policy holds it.
    pub in_force: Vec<String>,
}

impl Standing {
    /// All of them, those that somebody has to look at first.
    pub const ALL: [Self; 5] = [Self::Proposed, Self::Leaving, Self::Approved, Self::Withdrawn, Self::Rejected];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Leaving => "leaving",
            Self::Withdrawn => "withdrawn",
            Self::Rejected => "rejected",
        }
    }

    /// Whether a second person is awaited.
    #[must_use]
    pub fn waits(self) -> bool {
        matches!(self, Self::Proposed | Self::Leaving)
    }

    /// Whether the word belongs to its list.
    #[must_use]
    pub fn belongs(self) -> bool {
        matches!(self, Self::Approved | Self::Leaving)
    }

    fn of(state: WordState) -> Self {
        match state {
            WordState::Proposed => Self::Proposed,
            WordState::Approved => Self::Approved,
            WordState::Leaving => Self::Leaving,
            WordState::Withdrawn => Self::Withdrawn,
            WordState::Rejected => Self::Rejected,
        }
    }
}

impl Word {
    /// Whether it belongs to the list and counts.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.standing.belongs() && !self.expired
    }

    /// Whether somebody may approve what is asked for: never who asked.
    #[must_use]
    pub fn may_be_approved_by(&self, who: &str) -> bool {
        self.standing.waits() && !self.asked_by.eq_ignore_ascii_case(who)
    }

    fn of(db: &Connection, facts: WordFacts, now_ms: i64) -> Result<Self, StoreError> {
        let row = aside::read(db, &facts.digest)?.and_then(|bytes| WordRow::decode(&bytes[..]).ok());
        let expires_ms = row.as_ref().map(|row| row.expires_ms).filter(|at_ms| *at_ms != 0);
        let (word, note) = row.map_or((None, String::new()), |row| (Some(row.word), row.note));
        Ok(Self {
            id: facts.digest.to_string(),
            word,
            note,
            expires_ms,
            expired: expires_ms.is_some_and(|at_ms| at_ms <= now_ms),
            standing: Standing::of(facts.state),
            replaces: facts.replaces.map(|digest| digest.to_string()),
            owner: facts.owner,
            added_ms: facts.added_ms,
            asked_by: facts.asked_by,
            asked_ms: facts.asked_ms,
            settled_by: facts.settled_by,
            settled_ms: Some(facts.settled_ms).filter(|at_ms| *at_ms != 0),
            in_force: Vec::new(),
        })
    }
}

/// Every list, by name.
///
/// # Errors
/// The log.
pub fn lists(log: &Connection, now_ms: i64) -> Result<Vec<List>, StoreError> {
    kept::lists(log)?.into_iter().map(|facts| counted(log, facts, now_ms)).collect()
}

/// The list of this name.
///
/// # Errors
/// The log.
pub fn list(log: &Connection, name: &str, now_ms: i64) -> Result<Option<List>, StoreError> {
    let found = kept::lists(log)?.into_iter().find(|facts| facts.list == name);
    found.map(|facts| counted(log, facts, now_ms)).transpose()
}

fn counted(log: &Connection, facts: kept::WordListFacts, now_ms: i64) -> Result<List, StoreError> {
    let words = words(log, &facts.list, now_ms)?;
    let count = |is: fn(&Word) -> bool| words.iter().filter(|word| is(word)).count();
    Ok(List {
        approved: count(|word| word.standing.belongs()),
        waiting: count(|word| word.standing.waits()),
        expired: count(|word| word.standing.belongs() && word.expired),
        list: facts.list,
        pack: facts.pack,
        file: facts.file,
        by: facts.by,
        at_ms: facts.at_ms,
    })
}

/// The words of a list: what waits for somebody first, then the latest.
///
/// # Errors
/// The log.
pub fn words(log: &Connection, list: &str, now_ms: i64) -> Result<Vec<Word>, StoreError> {
    let found = kept::words(log, list)?.into_iter().map(|facts| Word::of(log, facts, now_ms));
    let mut words = found.collect::<Result<Vec<_>, _>>()?;
    words.sort_by_key(|word| Standing::ALL.iter().position(|standing| *standing == word.standing));
    Ok(words)
}

/// Says of each word in which groups' published policies it stands, in the file its list is for.
pub fn mark_in_force(words: &mut [Word], list: &List, policies: &[(String, std::sync::Arc<InForce>)]) {
    let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (group, policy) in policies {
        for word in policy.words_of(&list.pack, &list.file) {
            groups.entry(word).or_default().push(group.clone());
        }
    }
    for word in words {
        word.in_force = word.word.as_deref().and_then(|text| groups.get(text)).cloned().unwrap_or_default();
    }
}
