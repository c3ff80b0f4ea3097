//! The tests written in a pack, run on the engine itself.

use std::sync::Arc;

use super::{CompileError, Engine, Scratch};
use crate::message::{Action, Corp, Message, Side, Text};
use crate::rules::{Pack, Rule, RuleTest};

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

fn run_test(engine: &Engine, rule: &Rule, test: &RuleTest) -> TestOutcome {
    let message = test_message(test);
    let findings = engine.evaluate(&Corp::new("test"), &message, &mut Scratch::default());
    TestOutcome {
        rule: rule.id.clone(),
        test: test.clone(),
        hit: findings.iter().any(|finding| finding.rule == rule.id),
    }
}

fn test_message(test: &RuleTest) -> Message {
    let id = |side: Side, name: &str| match side {
        Side::External => "wmTESTTESTTESTTESTTESTTESTTEST00".to_owned(),
        Side::Robot => "wbTESTTESTTESTTESTTESTTESTTEST00".to_owned(),
        Side::Employee | Side::Unknown => name.to_owned(),
    };
    Message {
        msgid: Some("test".to_owned()),
        action: Action::Send,
        from: id(test.from, "sender"),
        to: vec![id(test.to, "receiver")],
        room: None,
        msgtime: None,
        msgtype: test.msgtype.clone(),
        texts: vec![Text { field: format!("{}.content", test.msgtype), text: test.text.clone() }],
        body: None,
        unread_parties: false,
    }
}
