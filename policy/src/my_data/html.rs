//! The page for a browser: one file, both languages, no script, nothing fetched.

use super::text::{confidential, counts, day_of, filled, never, rule_name, standing, state};
use super::words::{self, category_word, disclose_word, level_word};
use super::{Category, Lang, MyData, Notice, Sent};

const STYLE: &str = include_str!("page.css");

/// The page as HTML; `time` says a moment, milliseconds since 1970, in China, its day first. It opens in Chinese; a switch without a script shows the English one.
#[must_use]
pub fn html(data: &MyData, time: &dyn Fn(i64) -> String) -> String {
    let mut out = String::from("<!doctype html>\n<html lang=\"zh-CN\"><head><meta charset=\"utf-8\">");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    // Should anything slip through after all, it is neither run nor fetched.
    out.push_str(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
    );
    out.push_str(&format!("<title>{} My data</title><style>{STYLE}</style></head><body>", Lang::Zh.of(words::TITLE)));
    out.push_str("<input type=\"radio\" name=\"lang\" id=\"zh\" checked><label for=\"zh\">中文</label>");
    out.push_str("<input type=\"radio\" name=\"lang\" id=\"en\"><label for=\"en\">English</label>");
    for (lang, class) in [(Lang::Zh, "zh"), (Lang::En, "en")] {
        let mut page = Page { lang, time, out: &mut out };
        page.raw(&format!("<main class=\"{class}\" lang=\"{class}\">"));
        page.all(data);
        page.raw("</main>");
    }
    out.push_str("</body></html>\n");
    out
}

struct Page<'a> {
    lang: Lang,
    time: &'a dyn Fn(i64) -> String,
    out: &'a mut String,
}

impl Page<'_> {
    /// Markup.
    fn raw(&mut self, markup: &str) {
        self.out.push_str(markup);
    }

    /// An element with text in it: whatever the text, it stays text.
    fn element(&mut self, tag: &str, text: &str) {
        let name = tag.split(' ').next().unwrap_or(tag);
        self.out.push_str(&format!("<{tag}>{}</{name}>", escaped(text)));
    }

    fn words(&mut self, tag: &str, both: words::Both) {
        self.element(tag, self.lang.of(both));
    }

    fn all(&mut self, data: &MyData) {
        let lang = self.lang;
        self.words("h1", words::TITLE);
        self.element("p class=\"meta\"", &format!("{}: {}", lang.of(words::ACCOUNT), data.account));
        self.element("p class=\"meta\"", &format!("{}: {}", lang.of(words::MADE), (self.time)(data.made_ms)));
        self.words("p", words::INTRO);
        self.sent(data);
        self.watched(data);
        self.rules(data);
        self.who(data);
        if let Some(notice) = &data.notice {
            self.notice(notice);
        }
        self.days(data);
    }

    fn watched(&mut self, data: &MyData) {
        self.words("h2", words::WATCHED);
        match &data.watched {
            None => self.words("p", words::WATCHED_ELSEWHERE),
            Some(watched) => {
                self.words("p", words::WATCHED_TEXT);
                self.raw("<ul>");
                watched.folders.iter().for_each(|(folder, corp)| self.element("li", &format!("{folder} ({corp})")));
                self.raw("</ul>");
                self.words("p", standing(watched));
            }
        }
        self.words("h2", words::NEVER_SEEN);
        self.raw("<ul class=\"never\">");
        words::NEVER_SEEN_TEXT.iter().for_each(|line| self.words("li", *line));
        self.raw("</ul>");
        if let Some(never) = never(data) {
            self.element("p", &filled(self.lang.of(words::NEVER_LIST), &[never]));
        }
    }

    fn rules(&mut self, data: &MyData) {
        self.words("h2", words::RULES);
        match &data.rules {
            None => self.words("p", words::RULES_ELSEWHERE),
            Some(categories) => categories.iter().for_each(|category| self.category(category)),
        }
    }

    fn category(&mut self, category: &Category) {
        let lang = self.lang;
        let count = category.rules.len() as u64 + category.confidential;
        self.raw("<details><summary>");
        self.element("b", category_word(lang, &category.name));
        self.element("span class=\"count\"", &count.to_string());
        self.raw("</summary>");
        if !category.rules.is_empty() {
            self.raw("<table>");
            self.header(&[words::RULE, words::LEVEL, words::DISCLOSED]);
            for rule in &category.rules {
                let title = lang.title((&rule.title.0, &rule.title.1));
                let trial = if rule.trial { format!(" ({})", lang.of(words::TRIAL)) } else { String::new() };
                let title = format!("{title}{trial}");
                self.row(&[&title, level_word(lang, &rule.level), disclose_word(lang, &rule.disclose)]);
            }
            self.raw("</table>");
        }
        if category.confidential > 0 {
            self.element("p", &confidential(lang, category));
        }
        self.raw("</details>");
    }

    fn who(&mut self, data: &MyData) {
        self.words("h2", words::WHO);
        if data.who.is_empty() {
            self.words("p", words::WHO_UNKNOWN);
        } else {
            self.raw("<ul>");
            data.who.iter().for_each(|line| self.element("li", line));
            self.raw("</ul>");
        }
        self.words("p", words::WHO_YOU);
    }

    fn notice(&mut self, notice: &Notice) {
        let lang = self.lang;
        self.words("h2", words::NOTICE);
        let version = filled(lang.of(words::NOTICE_VERSION), &[notice.version]);
        self.raw("<p>");
        self.element("span", &version);
        self.element("code", &notice.digest);
        self.raw("</p>");
        match notice.acknowledged_ms {
            Some(ms) => {
                let when = lang.of(words::ACKNOWLEDGED).replacen("{}", &(self.time)(ms), 1);
                self.element("p class=\"good\"", &when);
            }
            None => self.words("p class=\"open\"", words::NOT_ACKNOWLEDGED),
        }
        if !notice.text.is_empty() {
            self.element("pre", &notice.text);
        }
    }

    fn sent(&mut self, data: &MyData) {
        self.words("h2", words::SENT);
        counts(self.lang, data).iter().for_each(|line| self.element("p", line));
        data.sent.iter().for_each(|sent| self.one(sent));
    }

    fn one(&mut self, sent: &Sent) {
        let lang = self.lang;
        self.raw("<article>");
        self.element("h3", &rule_name(lang, sent));
        self.raw("<p class=\"meta\">");
        // Only words known here are ever a class.
        let class = super::level(&sent.level).map_or("info", |level| level.as_str());
        self.element(&format!("span class=\"level {class}\""), level_word(lang, &sent.level));
        self.element("span", &(self.time)(sent.at_ms));
        self.element("span", &state(lang, sent));
        self.raw("</p><dl>");
        if sent.msgtime_ms > 0 {
            self.pair(words::MESSAGE_AT, &(self.time)(sent.msgtime_ms));
        }
        self.pair(words::DISCLOSED, disclose_word(lang, &sent.disclose));
        let excerpt = if sent.excerpt.is_empty() { lang.of(words::NO_EXCERPT) } else { &sent.excerpt };
        self.pair(words::EXCERPT, excerpt);
        self.raw("</dl></article>");
    }

    fn pair(&mut self, name: words::Both, value: &str) {
        self.words("dt", name);
        self.element("dd", value);
    }

    fn days(&mut self, data: &MyData) {
        self.words("h2", words::DAYS);
        self.words("p", words::DAYS_TEXT);
        if data.days.is_empty() {
            return;
        }
        self.raw("<table>");
        self.header(&[words::DAY, words::DAY_SENT, words::DAY_RECEIVED, words::DAY_FLAGGED]);
        for day in &data.days {
            let [sent, received, flagged] = [day.sent, day.received, day.flagged].map(|count| count.to_string());
            self.row(&[day_of(&(self.time)(day.day_ms)), &sent, &received, &flagged]);
        }
        self.raw("</table>");
    }

    fn header(&mut self, names: &[words::Both]) {
        self.raw("<tr>");
        names.iter().for_each(|name| self.words("th", *name));
        self.raw("</tr>");
    }

    fn row(&mut self, cells: &[&str]) {
        self.raw("<tr>");
        cells.iter().for_each(|cell| self.element("td", cell));
        self.raw("</tr>");
    }
}

/// Text as text, and without characters that turn what stands around them.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
