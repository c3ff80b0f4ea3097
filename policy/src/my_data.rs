//! The page that tells an employee what is looked at, by which rules, who can see it, and what was sent about them. The same page on a device and at
//! the collector; whoever makes it fills in what it knows. It is for everybody: plain words, Chinese first, nothing that needs a script.

mod html;
mod text;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::rules::{Disclose, Kind, Level, Pack, Rule, Status, Title};

pub use html::html;
pub use text::text;

/// A language of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    /// Chinese.
    #[default]
    Zh,
    /// English.
    En,
}

/// Everything the page tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MyData {
    /// The account it is about, `corp/userid`.
    pub account: String,
    /// When it was made, milliseconds since 1970.
    pub made_ms: i64,
    /// What is looked at; nothing where it was not made on a device.
    pub watched: Option<Watched>,
    /// Rules in force by category; nothing where nobody here knows them.
    pub rules: Option<Vec<Category>>,
    /// Who can see what is sent, as configured, a line each.
    pub who: Vec<String>,
    /// The notice in force.
    pub notice: Option<Notice>,
    /// Records about the account, the newest first.
    pub sent: Vec<Sent>,
    /// All of them; more than are listed where they are very many.
    pub sent_total: u64,
    /// Records about others in which the account is named as one of the parties.
    pub mentioned: u64,
    /// Messages counted by day.
    pub days: Vec<Day>,
}

/// What is looked at on a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Folders and the corporations of their exports.
    pub folders: Vec<(String, String)>,
    /// Whether the account is managed, that is, its messages are looked at at all.
    pub managed: bool,
    /// Accounts that are never looked at; nothing where there is no list of accounts.
    pub never: Option<u64>,
    /// Whether the account is one of them.
    pub is_never: bool,
}

/// Rules of one category.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Category {
    /// As packs name it.
    pub name: String,
    /// Those that are shown.
    pub rules: Vec<RuleShown>,
    /// How many have a confidential word list, and how many words these have.
    pub confidential: u64,
    /// See `confidential`.
    pub words: u64,
}

/// A rule as an employee sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleShown {
    /// Chinese and English title.
    pub title: (String, String),
    /// `info` to `critical`.
    pub level: String,
    /// The most that leaves the device: `none`, `masked` or `context`.
    pub disclose: String,
    /// On trial: what it finds is shown to nobody but its authors.
    pub trial: bool,
}

/// The notice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Number of its version.
    pub version: u64,
    /// SHA-256 of its text, hexadecimal.
    pub digest: String,
    /// Its text; empty where only its version is known.
    pub text: String,
    /// When the account acknowledged this version, milliseconds since 1970.
    pub acknowledged_ms: Option<i64>,
}

/// A record about the account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// When it was made, milliseconds since 1970.
    pub at_ms: i64,
    /// Time of the message; 0 unknown.
    pub msgtime_ms: i64,
    /// Title of the rule; empty where its word list is confidential.
    pub title: (String, String),
    /// Category of the rule.
    pub category: String,
    /// `info` to `critical`.
    pub level: String,
    /// What was disclosed: `none`, `masked` or `context`.
    pub disclose: String,
    /// Exactly what left of the text.
    pub excerpt: String,
    /// Whether the collector has it; nothing where nobody can tell.
    pub receipted: Option<bool>,
    /// It takes an earlier one back.
    pub withdrawn: bool,
}

/// Messages of the account on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// When it began in China, milliseconds since 1970.
    pub day_ms: i64,
    /// Messages sent, received, and among them those with a finding.
    pub sent: u64,
    /// See `sent`.
    pub received: u64,
    /// See `sent`.
    pub flagged: u64,
}

/// The rules in force by category, as far as a device lets them disclose.
#[must_use]
pub fn categories(engine: &Engine, ceiling: Disclose) -> Vec<Category> {
    categories_of(engine.packs(), ceiling)
}

/// The rules of some packs by category, as far as they may disclose.
#[must_use]
pub fn categories_of(packs: &[Pack], ceiling: Disclose) -> Vec<Category> {
    let mut found: BTreeMap<String, Category> = BTreeMap::new();
    for rule in packs.iter().flat_map(|pack| &pack.rules) {
        let name = rule.category.to_string();
        let category = found.entry(name.clone()).or_insert_with(|| Category { name, ..Category::default() });
        match rule.confidential_words() {
            Some(words) => {
                category.confidential += 1;
                category.words += words;
            }
            None => category.rules.push(shown(rule, ceiling)),
        }
    }
    found.into_values().collect()
}

/// What a category is called in Chinese; by its own name where it is none of those that ship.
#[must_use]
pub fn category_zh(name: &str) -> &str {
    words::category_word(Lang::Zh, name)
}

/// The title of a rule in force and its category; the title is empty where its word list is confidential. Nothing for one that is not in force.
#[must_use]
pub fn titled(engine: &Engine, pack: &str, rule: &str) -> Option<((String, String), String)> {
    titled_in(engine.packs(), pack, rule)
}

/// The same of some packs.
#[must_use]
pub fn titled_in(packs: &[Pack], pack: &str, rule: &str) -> Option<((String, String), String)> {
    let pack = packs.iter().find(|known| &*known.id == pack)?;
    let rule = pack.rules.iter().find(|known| &*known.id == rule)?;
    let title = if rule.confidential_words().is_some() { Default::default() } else { both(&rule.title) };
    Some((title, rule.category.to_string()))
}

fn shown(rule: &Rule, ceiling: Disclose) -> RuleShown {
    RuleShown {
        title: both(&rule.title),
        level: rule.level.as_str().to_owned(),
        disclose: rule.disclose.min(ceiling).as_str().to_owned(),
        trial: rule.status == Status::Shadow,
    }
}

fn both(title: &Title) -> (String, String) {
    (title.zh.clone(), title.en.clone())
}

impl Rule {
    /// How many words its confidential lists have; nothing where it has none.
    #[must_use]
    pub fn confidential_words(&self) -> Option<u64> {
        let lists = self.selections.iter().filter_map(|selection| match &selection.kind {
            Kind::Words(words) if words.confidential => Some(words.words.len() as u64),
            _ => None,
        });
        lists.reduce(|all, one| all + one)
    }
}

/// A level by its word.
fn level(word: &str) -> Option<Level> {
    Level::ALL.into_iter().find(|level| level.as_str() == word)
}

#[cfg(test)]
mod tests;
