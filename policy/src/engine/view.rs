//! One message as rules look at it. What costs something is worked out when a rule first asks.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;

use super::{Parties, RawHit, RuleAt};
use crate::calendar::Calendar;
use crate::matcher::Channel;
use crate::message::{Message, Text};
use crate::quotes::{may_quote, quoted_chars};
use crate::rules::{
    CalendarOf, Chat, Fact, HostFact, Pack, Pattern, Selection, TimeFact, Validated, When, is_name_field,
};
use crate::validators::{Found, Validator, host_of, host_suffixes, is_excepted};

/// Bytes of one text a regular expression looks at; a chat message has some thousand.
const REGEX_TEXT_BYTES_MAX: usize = 256 << 10;
/// Hits of one selection of patterns or validators in one message.
const FOUND_HITS_MAX: usize = 20_000;

pub(super) struct View<'a> {
    pub(super) message: &'a Message,
    pub(super) parties: &'a Parties<'a>,
    texts: Vec<&'a Text>,
    /// By text: characters of its quoted part.
    quoted: OnceCell<Vec<u32>>,
    /// By validator and text.
    found: [OnceCell<Vec<Vec<Found>>>; Validator::ALL.len()],
    hosts: OnceCell<Vec<String>>,
    /// Whether a bound was reached, so that hits may be missing.
    pub(super) capped: Cell<bool>,
}

impl<'a> View<'a> {
    pub(super) fn new(message: &'a Message, parties: &'a Parties<'a>) -> Self {
        Self {
            message,
            parties,
            texts: message.all_texts().collect(),
            quoted: OnceCell::new(),
            found: Default::default(),
            hosts: OnceCell::new(),
            capped: Cell::new(false),
        }
    }

    /// Whether a selection looks at the place of a hit.
    pub(super) fn looks_at(&self, selection: &Selection, hit: &RawHit) -> bool {
        let Some(text) = self.texts.get(hit.text as usize) else { return false };
        selection.looks_in(&text.field) && (selection.quoted || hit.start >= self.quoted(hit.text))
    }

    fn quoted(&self, text: u32) -> u32 {
        if !self.texts.get(text as usize).is_some_and(|text| may_quote(&text.text)) {
            return 0;
        }
        let quoted = self.quoted.get_or_init(|| self.texts.iter().map(|text| quoted_chars(&text.text)).collect());
        quoted.get(text as usize).copied().unwrap_or_default()
    }

    /// The original characters of a hit.
    pub(super) fn slice(&self, hit: &RawHit) -> String {
        let text = self.texts.get(hit.text as usize).map_or("", |text| text.text.as_str());
        text.chars().skip(hit.start as usize).take((hit.end.saturating_sub(hit.start)) as usize).collect()
    }

    /// Hits of patterns.
    pub(super) fn matched(&self, at: RuleAt, number: u32, selection: &Selection, patterns: &[Pattern]) -> Vec<RawHit> {
        let mut hits = Vec::new();
        for (index, text) in self.looked_in(selection) {
            let looked_at = &text.text[..text.text.floor_char_boundary(REGEX_TEXT_BYTES_MAX)];
            self.note_cap(looked_at.len() < text.text.len());
            for (word, pattern) in (0..).zip(patterns) {
                let mut places = CharPlaces::new(looked_at);
                for found in pattern.regex.find_iter(looked_at).filter(|found| !found.is_empty()) {
                    let (start, end) = (places.chars_before(found.start()), places.chars_before(found.end()));
                    let hit = RawHit::found(at, number, word, index, Found { start, end }, Channel::Exact);
                    hits.extend(Some(hit).filter(|hit| self.looks_at(selection, hit)));
                    if hits.len() >= FOUND_HITS_MAX {
                        self.note_cap(true);
                        return hits;
                    }
                }
            }
        }
        hits
    }

    /// Hits of validators, without the values that are excepted.
    pub(super) fn validated(
        &self,
        at: RuleAt,
        number: u32,
        selection: &Selection,
        validated: &Validated,
    ) -> Vec<RawHit> {
        let mut hits = Vec::new();
        for (index, text) in self.looked_in(selection) {
            for (word, validator) in (0..).zip(&validated.validators) {
                let mut slices = Slices::new(&text.text);
                for found in self.found(*validator, index) {
                    let mut hit = RawHit::found(at, number, word, index, *found, Channel::Exact);
                    let written = slices.next(*found);
                    if !self.looks_at(selection, &hit) || is_excepted(*validator, written, &validated.except) {
                        continue;
                    }
                    hit.channel = if written.is_ascii() { Channel::Exact } else { Channel::Folded };
                    hits.push(hit);
                    if hits.len() >= FOUND_HITS_MAX {
                        self.note_cap(true);
                        return hits;
                    }
                }
            }
        }
        hits
    }

    fn looked_in<'s>(&'s self, selection: &'s Selection) -> impl Iterator<Item = (u32, &'a Text)> + 's {
        (0..).zip(self.texts.iter().copied()).filter(|(_, text)| selection.looks_in(&text.field))
    }

    fn found(&self, validator: Validator, text: u32) -> &[Found] {
        let Some(cell) = self.found.get(validator as usize) else { return &[] };
        let found = cell.get_or_init(|| self.texts.iter().map(|text| validator.find(&text.text)).collect());
        found.get(text as usize).map(Vec::as_slice).unwrap_or_default()
    }

    fn note_cap(&self, reached: bool) {
        self.capped.set(self.capped.get() || reached);
    }

    /// Whether a fact is so.
    pub(super) fn holds(&self, fact: &Fact, pack: &Pack) -> bool {
        match fact {
            Fact::File(file) => self.message.extras.files.iter().any(|info| {
                let ext = file.ext.is_empty() || file.ext.iter().any(|ext| info.ext.iter().any(|own| **own == **ext));
                ext && file.size.contains(info.size)
            }),
            Fact::Amount(bounds) => self.message.extras.amount.is_some_and(|amount| bounds.contains(Some(amount))),
            Fact::Host(fact) => self.leads(fact),
            Fact::Type(types) => types.iter().any(|name| **name == *self.message.msgtype),
            Fact::Chat(chat) => *chat == Chat::of(self.message),
            Fact::Time(time) => self.is_time(time, pack),
            Fact::Side(sides) => sides.contains(&self.parties.from),
        }
    }

    fn leads(&self, fact: &HostFact) -> bool {
        let listed =
            |host: &String, list: &[Box<str>]| host_suffixes(host).any(|host| list.iter().any(|it| **it == *host));
        let hosts = self.hosts();
        hosts.iter().any(|host| listed(host, &fact.host))
            || (!fact.not_host.is_empty() && hosts.iter().any(|host| !listed(host, &fact.not_host)))
    }

    /// Hosts the links of the message and the addresses in its texts lead to.
    pub(super) fn hosts(&self) -> &[String] {
        self.hosts.get_or_init(|| {
            let mut hosts = Vec::new();
            for (index, text) in (0..).zip(&self.texts) {
                if is_name_field(&text.field) {
                    continue;
                }
                if text.field.ends_with(".link_url") || text.field.ends_with(".url") {
                    hosts.extend(host_of(&text.text));
                    continue;
                }
                let mut slices = Slices::new(&text.text);
                // What is quoted somebody else has said.
                let own = self.found(Validator::Url, index).iter().filter(|found| found.start >= self.quoted(index));
                hosts.extend(own.filter_map(|found| host_of(slices.next(*found))));
            }
            hosts.sort_unstable();
            hosts.dedup();
            hosts
        })
    }

    fn is_time(&self, fact: &TimeFact, pack: &Pack) -> bool {
        let Some(ms) = self.message.msgtime else { return false };
        let calendar = self.calendar(&fact.calendar, pack);
        match fact.when {
            When::WorkHours => calendar.is_work_time(ms),
            When::OffHours => !calendar.is_work_time(ms),
            When::Holiday => calendar.is_holiday(ms),
            When::WorkDay => calendar.is_work_day(ms),
            When::Between(from, to) => calendar.is_between(from, to, ms),
        }
    }

    fn calendar(&self, of: &CalendarOf, pack: &Pack) -> Arc<Calendar> {
        match of {
            CalendarOf::Named(calendar) => calendar.clone(),
            CalendarOf::Account(otherwise) => {
                let names = self.parties.labels().iter().filter_map(|label| label.strip_prefix("calendar:"));
                names.into_iter().find_map(|name| pack.calendar(name)).unwrap_or_else(|| otherwise.clone())
            }
        }
    }
}

/// Cuts places out of a text, each behind the one before, going through the text once.
struct Slices<'t> {
    rest: &'t str,
    chars: u32,
}

impl<'t> Slices<'t> {
    fn new(text: &'t str) -> Self {
        Self { rest: text, chars: 0 }
    }

    fn next(&mut self, place: Found) -> &'t str {
        self.skip(place.start);
        let begin = self.rest;
        self.skip(place.end);
        &begin[..begin.len() - self.rest.len()]
    }

    fn skip(&mut self, to: u32) {
        let mut chars = self.rest.chars();
        while self.chars < to && chars.next().is_some() {
            self.chars += 1;
        }
        self.rest = chars.as_str();
    }
}

/// Turns rising byte offsets into counts of characters, going through the text once.
struct CharPlaces<'t> {
    text: &'t str,
    bytes: usize,
    chars: u32,
}

impl<'t> CharPlaces<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, bytes: 0, chars: 0 }
    }

    fn chars_before(&mut self, byte: usize) -> u32 {
        let passed = self.text.get(self.bytes..byte).map_or(0, |passed| passed.chars().count());
        self.chars += passed as u32;
        self.bytes = byte;
        self.chars
    }
}
