//! The page as plain text.

use super::words::{self, category_word, disclose_word, level_word};
use super::{Lang, MyData, Sent};

/// The page as plain text; `time` says a moment, milliseconds since 1970, in China, its day first. Characters that steer a terminal are left out.
#[must_use]
pub fn text(data: &MyData, lang: Lang, time: &dyn Fn(i64) -> String) -> String {
    let mut page = Page { lang, time, lines: Vec::new() };
    page.head(data);
    page.watched(data);
    page.rules(data);
    page.who(data);
    page.notice(data);
    page.sent(data);
    page.days(data);
    let mut text = page.lines.join("\n");
    text.push('\n');
    text
}

struct Page<'a> {
    lang: Lang,
    time: &'a dyn Fn(i64) -> String,
    lines: Vec<String>,
}

impl Page<'_> {
    fn say(&mut self, line: impl AsRef<str>) {
        self.lines.push(line.as_ref().chars().filter(|c| !steers(*c)).collect());
    }

    fn word(&mut self, both: words::Both) {
        self.say(self.lang.of(both));
    }

    fn section(&mut self, both: words::Both) {
        self.say("");
        self.say(format!("■ {}", self.lang.of(both)));
    }

    fn head(&mut self, data: &MyData) {
        let lang = self.lang;
        self.word(words::TITLE);
        self.say(format!("{}: {}", lang.of(words::ACCOUNT), data.account));
        self.say(format!("{}: {}", lang.of(words::MADE), (self.time)(data.made_ms)));
        self.word(words::INTRO);
    }

    fn watched(&mut self, data: &MyData) {
        self.section(words::WATCHED);
        match &data.watched {
            None => self.word(words::WATCHED_ELSEWHERE),
            Some(watched) => {
                self.word(words::WATCHED_TEXT);
                for (folder, corp) in &watched.folders {
                    self.say(format!("  · {folder}  ({corp})"));
                }
                self.word(standing(watched));
            }
        }
        self.section(words::NEVER_SEEN);
        for line in words::NEVER_SEEN_TEXT {
            self.say(format!("  · {}", self.lang.of(line)));
        }
        if let Some(never) = never(data) {
            self.say(filled(self.lang.of(words::NEVER_LIST), &[never]));
        }
    }

    fn rules(&mut self, data: &MyData) {
        self.section(words::RULES);
        let lang = self.lang;
        let Some(categories) = &data.rules else { return self.word(words::RULES_ELSEWHERE) };
        for category in categories {
            self.say(format!("【{}】", category_word(lang, &category.name)));
            for rule in &category.rules {
                let title = lang.title((&rule.title.0, &rule.title.1));
                let trial = if rule.trial { format!("  [{}]", lang.of(words::TRIAL)) } else { String::new() };
                let (level, disclose) = (level_word(lang, &rule.level), disclose_word(lang, &rule.disclose));
                self.say(format!("  · {title}  {level}  {disclose}{trial}"));
            }
            if category.confidential > 0 {
                self.say(format!("  · {}", confidential(lang, category)));
            }
        }
    }

    fn who(&mut self, data: &MyData) {
        self.section(words::WHO);
        if data.who.is_empty() {
            self.word(words::WHO_UNKNOWN);
        }
        for line in &data.who {
            self.say(format!("  · {line}"));
        }
        self.word(words::WHO_YOU);
    }

    fn notice(&mut self, data: &MyData) {
        let Some(notice) = &data.notice else { return };
        self.section(words::NOTICE);
        let version = filled(self.lang.of(words::NOTICE_VERSION), &[notice.version]);
        self.say(format!("{version} {}", notice.digest));
        match notice.acknowledged_ms {
            Some(ms) => self.say(self.lang.of(words::ACKNOWLEDGED).replacen("{}", &(self.time)(ms), 1)),
            None => self.word(words::NOT_ACKNOWLEDGED),
        }
        for line in notice.text.lines() {
            self.say(format!("  | {line}"));
        }
    }

    fn sent(&mut self, data: &MyData) {
        self.section(words::SENT);
        for line in counts(self.lang, data) {
            self.say(line);
        }
        for sent in &data.sent {
            self.one(sent);
        }
    }

    fn one(&mut self, sent: &Sent) {
        let lang = self.lang;
        self.say("");
        self.say(format!(
            "  {}  {}  {}  [{}]",
            (self.time)(sent.at_ms),
            rule_name(lang, sent),
            level_word(lang, &sent.level),
            state(lang, sent)
        ));
        if sent.msgtime_ms > 0 {
            self.say(format!("    {}: {}", lang.of(words::MESSAGE_AT), (self.time)(sent.msgtime_ms)));
        }
        self.say(format!("    {}: {}", lang.of(words::DISCLOSED), disclose_word(lang, &sent.disclose)));
        let excerpt = if sent.excerpt.is_empty() { lang.of(words::NO_EXCERPT) } else { &sent.excerpt };
        self.say(format!("    {}: {}", lang.of(words::EXCERPT), excerpt.replace(['\n', '\r'], " ")));
    }

    fn days(&mut self, data: &MyData) {
        let lang = self.lang;
        self.section(words::DAYS);
        self.word(words::DAYS_TEXT);
        for day in &data.days {
            let counts =
                [(words::DAY_SENT, day.sent), (words::DAY_RECEIVED, day.received), (words::DAY_FLAGGED, day.flagged)];
            let counts: Vec<String> =
                counts.iter().map(|(word, count)| format!("{} {count}", lang.of(*word))).collect();
            self.say(format!("  {}  {}", day_of(&(self.time)(day.day_ms)), counts.join("  ")));
        }
    }
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// What there is to say of the account itself.
pub(super) fn standing(watched: &super::Watched) -> words::Both {
    match (watched.is_never, watched.managed) {
        (true, _) => words::IS_NEVER,
        (false, true) => words::MANAGED,
        (false, false) => words::NOT_MANAGED,
    }
}

pub(super) fn never(data: &MyData) -> Option<u64> {
    data.watched.as_ref().and_then(|watched| watched.never).filter(|count| *count > 0)
}

pub(super) fn confidential(lang: Lang, category: &super::Category) -> String {
    filled(lang.of(words::CONFIDENTIAL), &[category.confidential, category.words])
}

/// How many records there are, and how many are listed.
pub(super) fn counts(lang: Lang, data: &MyData) -> Vec<String> {
    let mut lines = Vec::new();
    if data.sent_total == 0 {
        lines.push(lang.of(words::SENT_NONE).to_owned());
    } else {
        lines.push(filled(lang.of(words::SENT_COUNT), &[data.sent_total]));
    }
    let listed = data.sent.len() as u64;
    if listed < data.sent_total {
        lines.push(filled(lang.of(words::SENT_MORE), &[listed]));
    }
    if data.mentioned > 0 {
        lines.push(filled(lang.of(words::MENTIONED), &[data.mentioned]));
    }
    lines
}

pub(super) fn rule_name(lang: Lang, sent: &Sent) -> String {
    let category = category_word(lang, &sent.category);
    match lang.title((&sent.title.0, &sent.title.1)) {
        "" => format!("{category} {}", lang.of(words::CONFIDENTIAL_RULE)),
        title => format!("{category} · {title}"),
    }
}

pub(super) fn state(lang: Lang, sent: &Sent) -> String {
    let arrived = match sent.receipted {
        Some(true) | None => words::RECEIPTED,
        Some(false) => words::WAITING,
    };
    let withdrawn = sent.withdrawn.then(|| lang.of(words::WITHDRAWN));
    [Some(lang.of(arrived)), withdrawn].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// A moment begins with its day.
pub(super) fn day_of(moment: &str) -> &str {
    moment.split(' ').next().unwrap_or(moment)
}

pub(super) fn filled(text: &str, counts: &[u64]) -> String {
    counts.iter().fold(text.to_owned(), |text, count| text.replacen("{}", &count.to_string(), 1))
}
