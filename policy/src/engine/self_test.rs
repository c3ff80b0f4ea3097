//! The tests written in a pack, run on the engine itself.

use std::sync::Arc;

use super::{CompileError, Engine, Scratch};
use crate::explain::ExplainedRule;
use crate::message::{Action, Corp, Extras, FileInfo, Message, Side, Text, is_event_type};
use crate::rules::{Chat, Pack, Rule, RuleTest};

/// What a test gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestOutcome {
    /// Rule id.
    pub rule: Arc<str>,
    /// The test.
    pub test: RuleTest,
    /// Whether the rule held.
    pub hit: bool,
}

impl TestOutcome {
    /// Whether the rule did what its author expects.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.hit == self.test.hit
    }
}

/// Runs the tests written in the rules of a pack, each on a message made for it. Account labels play no part.
///
/// # Errors
/// When the pack does not compile, which [`Pack::parse`] rules out except for the size of the automaton.
pub fn run_tests(pack: &Pack) -> Result<Vec<TestOutcome>, CompileError> {
    let engine = Engine::compile(vec![pack.clone()], None)?;
    Ok(pack.rules.iter().flat_map(|rule| rule.tests.iter().map(|test| run_test(&engine, rule, test))).collect())
}

/// Why the rule of a test holds for the test's message or does not; `engine` is of the rule's pack.
#[must_use]
pub fn explain_test(engine: &Engine, rule: &Rule, test: &RuleTest) -> Option<ExplainedRule> {
    let explanation = engine.explain(&Corp::new("test"), &message_of(test), &|_, other| other.id == rule.id);
    explanation.rules.into_iter().next()
}

fn run_test(engine: &Engine, rule: &Rule, test: &RuleTest) -> TestOutcome {
    let message = message_of(test);
    // Of a rule with a window a test says which messages it is about.
    let findings = engine.holding(&Corp::new("test"), &message, &mut std::iter::empty(), &mut Scratch::default());
    TestOutcome {
        rule: rule.id.clone(),
        test: test.clone(),
        hit: findings.iter().any(|finding| finding.rule == rule.id),
    }
}

/// The message a test is about.
#[must_use]
pub fn message_of(test: &RuleTest) -> Message {
    let id = |side: Side, name: &str| match side {
        Side::External => "wmTESTTESTTESTTESTTESTTESTTEST00".to_owned(),
        Side::Robot => "wbTESTTESTTESTTESTTESTTESTTEST00".to_owned(),
        Side::Employee | Side::Unknown => name.to_owned(),
    };
    Message {
        msgid: Some("test".to_owned()),
        action: if test.msgtype == "revoke" { Action::Recall } else { Action::Send },
        from: id(test.from, "sender"),
        to: vec![id(test.to, "receiver")],
        room: (test.chat == Chat::Group).then(|| "wrTESTTESTTESTTESTTESTTESTTEST00".to_owned()),
        msgtime: test.time,
        msgtype: test.msgtype.clone(),
        texts: texts(test),
        body: None,
        unread_parties: false,
        extras: Extras {
            texts: Vec::new(),
            names: names(test),
            files: test.file.iter().map(|file| FileInfo::new(&file.name, "", file.size)).collect(),
            amount: test.amount,
            record: None,
        },
    }
}

/// The texts of the test, under the paths they have in a message of the type.
fn texts(test: &RuleTest) -> Vec<Text> {
    let key = match test.msgtype.as_str() {
        "file" | "qydiskfile" => "filename",
        "link" | "weapp" | "docmsg" | "location" | "calendar" => "title",
        "redpacket" | "external_redpacket" => "wish",
        event if is_event_type(event) => "detail",
        _ => "content",
    };
    let text = |key: &str, text: &str| Text { field: format!("{}.{key}", test.msgtype).into(), text: text.to_owned() };
    let content = Some(test.text.as_str()).filter(|text| !text.is_empty()).map(|content| text(key, content));
    let file = test.file.as_ref().map(|file| text("filename", &file.name));
    let link = test.link.as_ref().map(|link| text("link_url", link));
    [content, file, link].into_iter().flatten().collect()
}

fn names(test: &RuleTest) -> Vec<Text> {
    let name =
        |field: &str, name: &Option<String>| name.as_ref().map(|text| Text { field: field.into(), text: text.clone() });
    name("room.name", &test.room_name).into_iter().chain(name("sender.name", &test.sender_name)).collect()
}
