//! A group robot of WeCom: markdown of at most 4096 bytes, twenty messages a minute, and an answer with a code of its own.
//!
//! As 群机器人配置说明 (developer.work.weixin.qq.com, 91770) has it: `{"msgtype":"markdown","markdown":{"content":…}}`, UTF-8, at most
//! 4096 bytes; 每个机器人发送的消息不能超过20条/分钟; `<@userid>` in the content notifies a member.

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use super::route::Language;
use super::send::Outcome;
use super::text::{self, Line};
use crate::outgoing::Answer;

/// Longest content, in bytes of UTF-8.
pub const CONTENT_BYTES_MAX: usize = 4096;
/// Its codes for "too often": 接口调用超过限制, and too many at the same time.
const TOO_OFTEN: [i64; 2] = [45009, 45033];
/// 系统繁忙.
const BUSY: i64 = -1;

#[derive(Serialize)]
struct Body<'a> {
    msgtype: &'static str,
    markdown: Content<'a>,
}

#[derive(Serialize)]
struct Content<'a> {
    content: &'a str,
}

#[derive(Deserialize)]
struct Said {
    errcode: i64,
}

/// The body of a request with this content.
#[must_use]
pub fn body(content: &str) -> String {
    serde_json::to_string(&Body { msgtype: "markdown", markdown: Content { content } }).unwrap_or_default()
}

/// The content that tells of alerts, as many as fit.
#[must_use]
pub fn content(language: Language, lines: &[Line], now_ms: i64) -> String {
    let whats: Vec<_> = lines.iter().map(|line| line.event).collect();
    let mixed = whats.iter().any(|what| Some(what) != whats.first());
    let mut content = format!("**{}**", text::headline(language, &whats));
    for (at, line) in lines.iter().enumerate() {
        let told = paragraph(language, line, mixed, now_ms);
        let more = text::and_more(language, lines.len() - at);
        // The room for saying that there is more is kept until the last one fits without it.
        let after = if at + 1 == lines.len() { 0 } else { more.len() + 1 };
        if content.len() + told.len() + after > CONTENT_BYTES_MAX {
            content.push('\n');
            content.push_str(&more);
            break;
        }
        content.push_str(&told);
    }
    content
}

fn paragraph(language: Language, line: &Line, mixed: bool, now_ms: i64) -> String {
    let level = text::level(language, line.level);
    let colour = if matches!(line.level, "high" | "critical") { "warning" } else { "comment" };
    let mut told = format!("\n\n<font color=\"{colour}\">{level}</font> ");
    if mixed {
        told.push_str(&format!("{} ", text::event(language, line.event)));
    }
    told.push_str(&escaped(&line.title));
    if !line.person.is_empty() {
        told.push_str(&format!("\n>{}", escaped(&line.person)));
    }
    told.push_str(&format!("\n>{}", text::facts(language, line, now_ms)));
    if let Some(excerpt) = &line.excerpt {
        told.push_str(&format!("\n>{}", escaped(excerpt)));
    }
    if let Some(url) = &line.url {
        told.push_str(&format!("\n>[{}]({url})", text::both(language, "查看", "open")));
    }
    told
}

/// Text in which a robot sees nothing but text. Its markdown knows no escape: what means something is put in its wide form.
#[must_use]
pub fn escaped(text: &str) -> String {
    let wide = |c: char| match c {
        '<' => '＜',
        '>' => '＞',
        '[' => '［',
        ']' => '］',
        '(' => '（',
        ')' => '）',
        '*' => '＊',
        '`' => '｀',
        '#' => '＃',
        '~' => '～',
        '!' => '！',
        '|' => '｜',
        '\\' => '＼',
        '@' => '＠',
        other => other,
    };
    // A client makes a link of what looks like an address.
    text.chars().map(wide).collect::<String>().replace("://", "：//")
}

/// What an answer means.
#[must_use]
pub fn judge(answer: &Answer) -> Outcome {
    let said: Option<Said> = serde_json::from_slice(&answer.body).ok();
    match (answer.status, said.map(|said| said.errcode)) {
        (StatusCode::OK, Some(0)) => Outcome::Sent,
        (StatusCode::OK, Some(code)) if TOO_OFTEN.contains(&code) => Outcome::TooOften { errcode: code },
        (StatusCode::OK, Some(BUSY)) => Outcome::Busy { reason: "busy", errcode: BUSY },
        (StatusCode::OK, Some(code)) => Outcome::Refused { reason: "refused", errcode: code },
        // Something between here and the robot has answered; nobody knows what became of the message.
        (StatusCode::OK | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT, _) => {
            Outcome::Uncertain { reason: "no_answer" }
        }
        (status, _) => Outcome::of_status(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::plan::What;
    use crate::notify::route::{Disclosure, Route};
    use crate::notify::text::tests::telling;

    fn line(n: usize) -> Line {
        let route = Route { disclosure: Disclosure::Masked, ..Route::to("duty") };
        let mut line = Line::of(telling(), &route, Some("https://console.example"));
        line.person = format!("person {n}");
        line
    }

    #[test]
    fn what_does_not_fit_is_counted_and_never_cut_in_a_character() {
        let one = content(Language::Both, &[line(0)], 1_700_000_300_000);
        assert!(
            one.starts_with(
                "**哨所：1 条新告警 Watchpost: 1 alert new**\n\n<font color=\"warning\">高 high</font> 承诺"
            ),
            "{one}"
        );
        for (count, width) in (1..=16).flat_map(|count| (1..=60).map(move |width| (count, width))).chain([(1000, 9)]) {
            let lines: Vec<Line> = (0..count).map(|n| Line { title: "长".repeat(width), ..line(n) }).collect();
            let content = content(Language::Both, &lines, 0);
            assert!(content.len() <= CONTENT_BYTES_MAX, "{count} of {width}: {}", content.len());
            let told = content.matches("person ").count();
            match content.split_once("… and ") {
                Some((_, rest)) => assert_eq!(rest, format!("{} more", count - told)),
                None => assert_eq!(told, count),
            }
        }
        let long = Line { title: "长".repeat(3000), ..line(0) };
        assert!(content(Language::Zh, &[long], 0).ends_with("…… 另有 1 条"));
    }

    #[test]
    fn nothing_in_a_message_is_markdown_or_calls_anybody() {
        let hostile = "<@all> [x](https://evil.example) **b** `c` <font color=\"info\">d</font> # e";
        let mut line = line(0);
        line.person = hostile.into();
        line.excerpt = Some(hostile.into());
        line.title = hostile.into();
        let content = content(Language::En, &[line], 0);
        let ours =
            content.replace("<font color=\"warning\">high</font>", "").replace("[open](https://console.example", "");
        assert!(
            !ours.contains("<@") && !ours.contains("](") && !ours.contains("<font") && !ours.contains('`'),
            "{ours}"
        );
        assert!(!ours.contains("https://evil"), "{ours}");
        assert_eq!(ours.matches("**").count(), 2, "{ours}");
        let sent: serde_json::Value = serde_json::from_str(&body(&content)).unwrap();
        assert_eq!(sent["markdown"]["content"], content);
    }

    #[test]
    fn several_things_in_one_message_are_told_apart() {
        let lines = [line(0), Line { event: Some(What::Escalated), ..line(1) }];
        let content = content(Language::En, &lines, 0);
        assert!(
            content.starts_with("**Watchpost: 2 alerts changed**") && content.contains("</font> escalated "),
            "{content}"
        );
    }

    #[test]
    fn an_answer_says_what_comes_next() {
        let answer = |status: u16, body: &str| Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: Default::default(),
            body: body.into(),
        };
        let judged = |status, body| judge(&answer(status, body));
        assert_eq!(judged(200, "{\"errcode\":0,\"errmsg\":\"ok\"}"), Outcome::Sent);
        assert_eq!(
            judged(200, "{\"errcode\":45009,\"errmsg\":\"api freq out of limit\"}"),
            Outcome::TooOften { errcode: 45009 }
        );
        assert_eq!(
            judged(200, "{\"errcode\":93000,\"errmsg\":\"invalid webhook url\"}"),
            Outcome::Refused { reason: "refused", errcode: 93000 }
        );
        assert_eq!(judged(200, "<html>"), Outcome::Uncertain { reason: "no_answer" });
        assert_eq!(judged(504, ""), Outcome::Uncertain { reason: "no_answer" });
        assert_eq!(judged(500, ""), Outcome::Busy { reason: "server_error", errcode: 0 });
        assert_eq!(judged(302, ""), Outcome::Refused { reason: "redirect", errcode: 0 });
    }
}
