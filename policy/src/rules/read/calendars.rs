//! The calendars of a pack, written in it or in files beside it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Fields, Reader};
use crate::calendar::{Calendar, Day, Minutes};
use crate::yaml::{self, Node, Yaml};

/// Calendars of a pack.
const CALENDARS_MAX: usize = 100;
/// Longest range of days written as one; a year.
const RANGE_DAYS_MAX: i32 = 366;
/// Days listed in one calendar: a lifetime of holidays.
const DAYS_MAX: usize = 10_000;

const CALENDAR_KEYS: [&str; 6] = ["base", "utc_offset", "hours", "holidays", "work_days", "file"];
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Reader<'_> {
    pub(super) fn calendars(&mut self, node: &Node) {
        let Some(fields) = self.fields(node, "`calendars`", &[]) else { return };
        if fields.map.len() > CALENDARS_MAX {
            self.wrong(node.at, format!("the pack has more than {CALENDARS_MAX} calendars; split it"));
            return;
        }
        for (name, node) in fields.map {
            if name == "account" {
                self.wrong(node.at, "`account` means the calendar of the account; name this one otherwise");
            }
            if let Some(calendar) = self.own_calendar(name, node) {
                self.calendars.insert(Arc::from(name), Arc::new(calendar));
            }
        }
    }

    fn own_calendar(&mut self, name: &str, node: &Node) -> Option<Calendar> {
        let what = format!("the calendar `{name}`");
        let fields = self.fields(node, &what, &CALENDAR_KEYS)?;
        let Some(file) = fields.get("file") else { return self.calendar_fields(&fields, &what) };
        if fields.map.len() > 1 {
            self.wrong(file.at, format!("{what} is in a file; write its other keys there"));
        }
        let (file, text) = self.named_file(file, "`file`")?;
        // Places from here on are places in that file.
        let pack = std::mem::replace(&mut self.file, file);
        let calendar = self.calendar_file(text, &what);
        self.file = pack;
        calendar
    }

    pub(super) fn calendar_file(&mut self, text: &str, what: &str) -> Option<Calendar> {
        match yaml::read(text.as_bytes()) {
            Ok(root) => {
                let fields = self.fields(&root, what, &CALENDAR_KEYS[..5])?;
                self.calendar_fields(&fields, what)
            }
            Err((at, text)) => {
                self.wrong(at, text);
                None
            }
        }
    }

    fn calendar_fields(&mut self, fields: &Fields<'_>, what: &str) -> Option<Calendar> {
        let bases = [("cn", true), ("none", false)];
        let based = self.optional(fields, "base", false, |this, node| this.choice(node, "`base`", &bases))?;
        let mut calendar = Calendar::cn();
        if !based {
            calendar.holidays = BTreeSet::new();
            calendar.work_days = BTreeSet::new();
            self.required(fields, "hours", what)?;
        }
        let offset = calendar.offset_minutes;
        calendar.offset_minutes = self.optional(fields, "utc_offset", offset, Self::offset)?;
        if let Some(node) = fields.get("hours") {
            calendar.week = self.week(node)?;
        }
        let holidays = fields.get("holidays").map_or(Vec::new(), |node| self.days(node, "`holidays`"));
        let work_days = fields.get("work_days").map_or(Vec::new(), |node| self.days(node, "`work_days`"));
        if let Some((day, node)) = work_days.iter().find(|day| holidays.contains(day)).zip(fields.get("work_days")) {
            self.wrong(node.at, format!("{day} is listed under `holidays` and under `work_days`; remove it from one"));
        }
        // What is listed here counts against the base.
        calendar.holidays.retain(|day| !work_days.contains(day));
        calendar.work_days.retain(|day| !holidays.contains(day));
        calendar.holidays.extend(holidays);
        calendar.work_days.extend(work_days);
        Some(calendar)
    }

    /// `+08:00`, as minutes.
    fn offset(&mut self, node: &Node) -> Option<i32> {
        let read = |text: &str| {
            let (sign, rest) =
                text.strip_prefix('-').map(|rest| (-1, rest)).or(text.strip_prefix('+').map(|rest| (1, rest)))?;
            let minutes = super::basics::minute(rest).filter(|minutes| *minutes <= 14 * 60)?;
            Some(sign * i32::from(minutes))
        };
        let offset = if let Yaml::Text(text) = &node.value { read(text.trim()) } else { None };
        if offset.is_none() {
            self.wrong(node.at, "`utc_offset` must be a distance from UTC in quotes, like `\"+08:00\"`");
        }
        offset
    }

    /// `{ mon-fri: "09:00-18:00", sat: ["09:00-12:00"] }`.
    fn week(&mut self, node: &Node) -> Option<[Vec<Minutes>; 7]> {
        let fields = self.fields(node, "`hours`", &[])?;
        let mut week: [Vec<Minutes>; 7] = Default::default();
        let mut good = true;
        for (key, node) in &fields.map {
            let (days, hours) = (weekdays(key), self.hours(node));
            if days.is_none() {
                self.wrong(node.at, format!("`hours`: `{key}` must be a weekday or two, like `sat` or `mon-fri`"));
            }
            let (Some(days), Some(hours)) = (days, hours) else {
                good = false;
                continue;
            };
            for day in week.iter_mut().skip(days.start).take(days.len()) {
                day.clone_from(&hours);
            }
        }
        good.then_some(week)
    }

    fn hours(&mut self, node: &Node) -> Option<Vec<Minutes>> {
        let texts = self.texts(node, "`hours`");
        let mut hours: Vec<Minutes> = Vec::new();
        for (text, at) in &texts {
            let read = text
                .split_once('-')
                .and_then(|(from, to)| Some(super::basics::minute(from)?..super::basics::minute(to)?));
            match read {
                Some(read) if read.start < read.end && hours.last().is_none_or(|last| last.end <= read.start) => {
                    hours.push(read);
                }
                _ => {
                    self.wrong(
                        *at,
                        format!("`{text}` must be hours in quotes, like `\"09:00-18:00\"`, each after those before it"),
                    );
                    return None;
                }
            }
        }
        Some(hours)
    }

    /// `2027-02-05`, or `2027-02-05..2027-02-11` with both ends.
    fn days(&mut self, node: &Node, what: &str) -> Vec<Day> {
        let mut days = Vec::new();
        for (text, at) in self.texts(node, what) {
            let (first, last) = text.split_once("..").unwrap_or((text, text));
            match (Day::parse(first.trim()), Day::parse(last.trim())) {
                (Some(first), Some(last)) if (0..RANGE_DAYS_MAX).contains(&(last.0 - first.0)) => {
                    days.extend((first.0..=last.0).map(Day));
                }
                _ => self.wrong(
                    at,
                    format!("{what}: `{text}` must be a day like `2027-02-05`, or `2027-02-05..2027-02-11`"),
                ),
            }
        }
        if days.len() > DAYS_MAX {
            self.wrong(node.at, format!("{what} has more than {DAYS_MAX} days; shorten it"));
            days.truncate(DAYS_MAX);
        }
        days
    }
}

/// The numbers of `sat` or `mon-fri`.
fn weekdays(key: &str) -> Option<std::ops::Range<usize>> {
    let number = |name: &str| WEEKDAYS.iter().position(|day| *day == name.trim());
    let (first, last) = key.split_once('-').unwrap_or((key, key));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(first..last + 1)
}
