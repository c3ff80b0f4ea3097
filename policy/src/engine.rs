//! Packs and accounts compiled into one engine: messages go in, findings come out.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Deref};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::accounts::Accounts;
use crate::filters::Filter;
use crate::identity::{PackDigest, Parts, PolicyDigest};
use crate::matcher::{Channel, FastMatcher, MatchScratch, MatcherError, Sieve, Told, WordList};
use crate::message::{Account, Corp, Message, Side};
use crate::rules::{Disclose, Kind, Level, Pack, Rule, Status};
use crate::skim::Watch;
use crate::validators::Validator;

/// A rule that holds for a message. One message with many words of one rule is one finding.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule, in the engine that found it.
    pub at: RuleAt,
    /// Id of the pack.
    pub pack: Arc<str>,
    /// Version of the pack.
    pub pack_version: u64,
    /// Digest of the pack.
    pub pack_digest: PackDigest,
    /// Id of the rule.
    pub rule: Arc<str>,
    /// Category of the rule.
    pub category: Arc<str>,
    /// Level of the rule.
    pub level: Level,
    /// Status of the rule.
    pub status: Status,
    /// Most the rule allows to disclose.
    pub disclose: Disclose,
    /// Work time within which an alert is to be dealt with.
    pub sla: Option<Duration>,
    /// The person concerned: the sender when an employee, else the first managed account among the receivers, else the first employee.
    pub person: Option<Account>,
    /// Hits in order of text, place and selection; at most [`HITS_MAX`].
    pub hits: Vec<Hit>,
    /// Whether there were more hits than are listed.
    pub hits_capped: bool,
    /// What the rule's validators look for is never shown whole, whatever `disclose` says.
    pub secrets: Vec<Validator>,
    /// Numbers of the selections that hold, where the rule's window asks for them.
    pub(crate) holding: Vec<usize>,
}

/// One hit of one word, pattern or validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The word or pattern as its author wrote it, or the name of the validator.
    pub word: Arc<str>,
    /// Number of the word, pattern or validator in its selection.
    pub word_index: u32,
    /// Name of the selection.
    pub selection: Arc<str>,
    /// Field of the text ([`crate::message::Text::field`]).
    pub field: Arc<str>,
    /// First character in the original text.
    pub start: u32,
    /// Behind the last character in the original text.
    pub end: u32,
    /// How the word was recognised.
    pub channel: Channel,
    /// Whether hidden characters stand inside.
    pub obfuscated: bool,
}

/// Whether a message may be evaluated at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// A managed account is among the parties, or there is no accounts file.
    Evaluate,
    /// No managed account is among the parties.
    OutOfScope,
    /// A party is on the *never* list, whatever else; or a party could not be read, so that nobody can tell.
    Never,
}

/// Buffers reused between messages.
#[derive(Debug, Default)]
pub struct Scratch {
    matcher: MatchScratch,
    hits: Vec<RawHit>,
    /// By list: how many hits.
    counts: Vec<u32>,
    rules: Vec<RuleAt>,
}

/// Why an engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Two packs have the same id.
    #[error("the pack `{0}` is given twice; remove one")]
    DuplicatePack(String),
    /// Two filters have the same id.
    #[error("the filter `{0}` is given twice; remove one")]
    DuplicateFilter(String),
    /// A filter tunes what is not there.
    #[error("{file}: {text}")]
    Filter {
        /// File of the filter.
        file: String,
        /// A sentence that says what is missing.
        text: String,
    },
    /// The words do not make a matcher.
    #[error(transparent)]
    Matcher(#[from] MatcherError),
    /// The rule of the self-check is damaged.
    #[error("this program is damaged; install it again")]
    SelfCheck,
}

/// Hits listed in one finding.
pub const HITS_MAX: usize = 64;
/// Hits of all words kept of one message. Beyond this only the first ones of each list are kept, so that a flood of one word hides no other; findings
/// then say `hits_capped`.
pub const MESSAGE_HITS_MAX: usize = 50_000;
/// Hits of one list that are kept whatever the others do.
const LIST_HITS_MIN: u32 = 64;
/// Hits of all words looked at in one message: a bound on the work.
const MESSAGE_HITS_SEEN_MAX: usize = 2_000_000;

/// Compiled packs and accounts. Shared between threads; each thread has its own [`Scratch`].
#[derive(Clone)]
pub struct Engine {
    compiled: Arc<Compiled>,
    accounts: Option<Arc<Accounts>>,
}

/// What is compiled of packs and filters, and may be shared by engines with other accounts.
pub struct Compiled {
    packs: Vec<Pack>,
    matcher: FastMatcher,
    /// By list id of the matcher: the selection it belongs to.
    lists: Vec<ListRef>,
    allow: Allow,
    plan: Plan,
    tuning: Tuning,
    /// Only for whoever skims.
    watch: OnceLock<Watch>,
    /// Rules that look at messages for which they do not hold.
    every: Vec<RuleAt>,
    /// Whether a rule has a window.
    windowed: bool,
    /// Number of the self-check's pack, behind those of the policy.
    self_check: Option<u32>,
    digest: PolicyDigest,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("digest", &self.digest).field("packs", &self.packs.len()).finish_non_exhaustive()
    }
}

impl Deref for Engine {
    type Target = Compiled;

    fn deref(&self) -> &Compiled {
        &self.compiled
    }
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Engine {
    /// Compiles packs. With `accounts` only messages with a managed account are evaluated, without it every message is.
    ///
    /// # Errors
    /// When two packs have the same id, or the words are too many for one automaton.
    pub fn compile(packs: Vec<Pack>, accounts: Option<Accounts>) -> Result<Self, CompileError> {
        Self::compile_filtered(packs, Vec::new(), accounts)
    }

    /// Compiles packs and the filters that tune them.
    ///
    /// # Errors
    /// As [`Engine::compile`], and when two filters have the same id or one names a pack or rule that is not there.
    pub fn compile_filtered(
        packs: Vec<Pack>,
        filters: Vec<Filter>,
        accounts: Option<Accounts>,
    ) -> Result<Self, CompileError> {
        Self::compile_with(packs, filters, accounts, None)
    }

    fn compile_with(
        mut packs: Vec<Pack>,
        filters: Vec<Filter>,
        accounts: Option<Accounts>,
        self_check: Option<Pack>,
    ) -> Result<Self, CompileError> {
        let mut ids = BTreeSet::new();
        if let Some(twice) = packs.iter().chain(&self_check).find(|pack| !ids.insert(pack.id.clone())) {
            return Err(CompileError::DuplicatePack(twice.id.to_string()));
        }
        let tuning = Tuning::of(filters, &packs)?;
        let digest = policy_digest(&packs, tuning.filters());
        let number = self_check.is_some().then(|| u32::try_from(packs.len()).unwrap_or(u32::MAX));
        packs.extend(self_check);
        let lists = list_refs(&packs);
        let words: Vec<WordList<'_>> = lists.iter().filter_map(|list| word_list(&packs, *list)).collect();
        let matcher = FastMatcher::compile(&words)?;
        let allow = Allow::compile(&packs, tuning.filters())?;
        let plan = Plan::of(&packs);
        let every = plan::rules(&packs).filter(|(_, rule)| rule.needs_every_message()).map(|(at, _)| at).collect();
        let windowed = plan::rules(&packs).any(|(_, rule)| rule.window.is_some());
        let watch = OnceLock::new();
        let compiled =
            Compiled { packs, matcher, lists, allow, plan, tuning, watch, every, windowed, self_check: number, digest };
        Ok(Self { compiled: Arc::new(compiled), accounts: accounts.map(Arc::new) })
    }

    /// The same rules over other accounts. Nothing is compiled again.
    #[must_use]
    pub fn with_accounts(&self, accounts: Option<Arc<Accounts>>) -> Self {
        Self { compiled: Arc::clone(&self.compiled), accounts }
    }

    /// The accounts, to be shared with another engine.
    #[must_use]
    pub fn shared_accounts(&self) -> Option<Arc<Accounts>> {
        self.accounts.clone()
    }

    /// The packs of the policy.
    #[must_use]
    pub fn packs(&self) -> &[Pack] {
        let own = self.self_check.map_or(self.packs.len(), |own| own as usize);
        self.packs.get(..own).unwrap_or_default()
    }

    /// The filters, in order of id.
    #[must_use]
    pub fn filters(&self) -> &[Filter] {
        self.tuning.filters()
    }

    /// The accounts, if any were given.
    #[must_use]
    pub fn accounts(&self) -> Option<&Accounts> {
        self.accounts.as_deref()
    }

    /// Digest over the digests of the packs and filters, in order of id.
    #[must_use]
    pub fn digest(&self) -> PolicyDigest {
        self.digest
    }

    /// Whether a message may be evaluated. [`Engine::evaluate`] asks by itself; this is for counting.
    #[must_use]
    pub fn standing(&self, corp: &Corp, message: &Message) -> Standing {
        if self.checks_itself_in(corp) {
            return Standing::Evaluate;
        }
        if message.unread_parties && self.accounts.is_some() {
            return Standing::Never;
        }
        self.standing_among(corp, message.msgtime, message.parties())
    }

    /// The standing of a message of a moment with these parties, all of which could be read.
    pub(crate) fn standing_among<'a>(
        &self,
        corp: &Corp,
        at_ms: Option<i64>,
        parties: impl Iterator<Item = &'a str>,
    ) -> Standing {
        let Some(accounts) = &self.accounts else { return Standing::Evaluate };
        let mut standing = Standing::OutOfScope;
        for entry in parties.filter_map(|id| accounts.get(corp, id)) {
            if entry.never {
                return Standing::Never;
            }
            if entry.managed_at(at_ms).is_some() {
                standing = Standing::Evaluate;
            }
        }
        standing
    }

    /// Which messages need a look, for whoever wants to leave out the others unread.
    #[must_use]
    pub fn interest(&self) -> Interest {
        self.plan.interest(self.lists.iter().map(|list| (list.rule(), list.selection)))
    }

    /// What holds back texts without a hit.
    pub(crate) fn sieve(&self) -> &Sieve {
        self.matcher.sieve()
    }

    /// What a line must be looked at for.
    pub(crate) fn watch(&self) -> &Watch {
        self.watch.get_or_init(|| {
            let interest = self.interest();
            Watch::new(self.matcher.reasons(|list| interest.is_trigger(list)), interest)
        })
    }

    /// The rules that hold for a message by itself, in order of pack and rule; none unless its standing is [`Standing::Evaluate`].
    pub fn evaluate(&self, corp: &Corp, message: &Message, scratch: &mut Scratch) -> Vec<Finding> {
        if self.standing(corp, message) != Standing::Evaluate {
            return Vec::new();
        }
        let mut findings = self.holding(corp, message, &mut std::iter::empty(), scratch);
        if self.windowed {
            findings.retain(|finding| self.is_single(finding.at));
        }
        scratch.release();
        findings
    }

    /// The rules whose condition holds for a message, whoever takes part, those with a window among them. Its hits stay in `scratch`. `told` is what
    /// the sieve has told of its texts, as far as it has.
    fn holding(
        &self,
        corp: &Corp,
        message: &Message,
        told: &mut dyn Iterator<Item = Told<'_>>,
        scratch: &mut Scratch,
    ) -> Vec<Finding> {
        let capped = self.collect(message, told, scratch);
        self.choose(message, scratch);
        scratch.rules.retain(|rule| self.looks_at(corp, *rule));
        if scratch.rules.is_empty() { Vec::new() } else { self.findings(corp, message, scratch, capped) }
    }

    /// Whether an account is managed at a moment: by the accounts where there are any, else by the shape of its id.
    #[must_use]
    pub fn is_managed(&self, corp: &Corp, id: &str, at_ms: Option<i64>) -> bool {
        parties::is_managed(self.accounts.as_deref(), corp, id, at_ms)
    }

    /// Which side an id stands on: an account of the roster is an employee, else the shape of the id decides.
    #[must_use]
    pub fn side(&self, corp: &Corp, id: &str) -> Side {
        side(self.accounts.as_deref(), corp, id)
    }

    /// Finds all words in all texts. Returns whether hits were left out.
    fn collect(&self, message: &Message, told: &mut dyn Iterator<Item = Told<'_>>, scratch: &mut Scratch) -> bool {
        let Scratch { matcher: buffers, hits, counts, .. } = scratch;
        hits.clear();
        let (mut seen, mut capped) = (0, false);
        for (text, index) in message.all_texts().zip(0_u32..) {
            self.matcher.find_in(&text.text, told.next(), buffers, &mut |hit| {
                let Some(list) = self.lists.get(hit.list as usize) else { return ControlFlow::Continue(()) };
                seen += 1;
                if hits.len() < MESSAGE_HITS_MAX {
                    hits.push(RawHit::new(*list, index, hit));
                    return ControlFlow::Continue(());
                }
                if !capped {
                    capped = true;
                    self.count(hits, counts);
                }
                if let Some(count) = counts.get_mut(hit.list as usize).filter(|count| **count < LIST_HITS_MIN) {
                    *count += 1;
                    hits.push(RawHit::new(*list, index, hit));
                }
                if seen < MESSAGE_HITS_SEEN_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
        }
        capped
    }

    /// How many hits each list has.
    #[cold]
    fn count(&self, hits: &[RawHit], counts: &mut Vec<u32>) {
        counts.clear();
        counts.resize(self.lists.len(), 0);
        for hit in hits {
            // Lists are numbered in order of pack, rule and selection.
            let list = self.lists.binary_search(&hit.list());
            if let Some(count) = list.ok().and_then(|list| counts.get_mut(list)) {
                *count += 1;
            }
        }
    }

    /// The rules to judge, in order: those a trigger of which hit, and those that need none.
    fn choose(&self, message: &Message, scratch: &mut Scratch) {
        let Scratch { hits, rules, .. } = scratch;
        rules.clear();
        rules.extend(self.plan.idle(message));
        let triggers = hits.iter().filter(|hit| self.plan.is_trigger(hit.rule(), hit.selection));
        rules.extend(triggers.map(RawHit::rule));
        rules.sort_unstable();
        rules.dedup();
    }

    /// Judges the rules chosen.
    fn findings(&self, corp: &Corp, message: &Message, scratch: &mut Scratch, capped: bool) -> Vec<Finding> {
        scratch.order();
        let parties = Parties::of(self, corp, message);
        let view = View::new(message, &parties);
        view.capped.set(capped);
        let allowed = AllowHits::new(&self.allow, message);
        let judged =
            scratch.rules.iter().filter_map(|at| self.judge(*at, of_rule(&scratch.hits, *at), &view, &allowed));
        judged.collect()
    }

    /// Judges one rule by its hits.
    fn judge(&self, at: RuleAt, hits: &[RawHit], view: &View<'_>, allowed: &AllowHits<'_>) -> Option<Finding> {
        let pack = self.packs.get(at.pack as usize)?;
        let rule = pack.rules.get(at.rule as usize)?;
        if !view.parties.within(&rule.scope, view.message) {
            return None;
        }
        let tuned = self.tuning.tuned(at, view);
        if !tuned.left_out.is_empty() {
            return None;
        }
        let case = judge::Case { pack, rule, at, view, hits, allowed, phrases: &[] };
        let mut verdict = judge::judge(&case)?;
        // Judged twice, so that a filter never makes a finding by taking away what denies one.
        if !tuned.phrases.is_empty() {
            verdict = judge::judge(&judge::Case { phrases: &tuned.phrases, ..case })?;
        }
        Some(tuned.applied(held(finding_of(pack, rule, at), rule, verdict, view)))
    }
}

/// What a rule's findings say whatever the message.
fn finding_of(pack: &Pack, rule: &Rule, at: RuleAt) -> Finding {
    Finding {
        at,
        pack: pack.id.clone(),
        pack_version: pack.version,
        pack_digest: pack.digest(),
        rule: rule.id.clone(),
        category: rule.category.clone(),
        level: rule.level,
        status: rule.status,
        disclose: rule.disclose,
        sla: rule.sla,
        person: None,
        hits: Vec::new(),
        hits_capped: false,
        secrets: rule.validators(),
        holding: Vec::new(),
    }
}

/// The rule holds for the message with these hits.
fn held(finding: Finding, rule: &Rule, verdict: judge::Verdict, view: &View<'_>) -> Finding {
    let judge::Verdict { reported, level, holding } = verdict;
    Finding {
        level,
        person: view.parties.person.clone(),
        hits_capped: view.capped.get() || reported.len() > HITS_MAX,
        hits: reported.into_iter().take(HITS_MAX).filter_map(|hit| hit.describe(rule, view.message)).collect(),
        holding,
        ..finding
    }
}

mod allow;
mod contribute;
mod hits;
mod judge;
mod parties;
mod plan;
mod self_check;
mod self_test;
mod trace;
mod tuning;
mod view;

use allow::{Allow, AllowHits};
pub use contribute::{Contributed, Evaluated};
use hits::{ListRef, RawHit, of_rule};
use parties::Parties;
pub(crate) use parties::{is_own, side};
use plan::Plan;
pub use plan::{Interest, Look};
pub use self_check::{SELF_CHECK_CORP, SELF_CHECK_TEXT};
use tuning::Tuning;
use view::View;

pub use self_test::{TestOutcome, explain_test, message_of, run_tests};

/// Hits a scratch keeps room for.
const KEPT_HITS_MAX: usize = 4_096;

impl Scratch {
    /// Puts hits in order; of those in one place the strongest channel stays.
    fn order(&mut self) {
        self.hits.sort_unstable();
        self.hits.dedup_by(|later, first| later.place() == first.place());
    }

    /// An idle agent must not hold what one huge message needed.
    fn release(&mut self) {
        self.matcher.release();
        if self.hits.capacity() > KEPT_HITS_MAX {
            self.hits = Vec::new();
        }
        self.rules.clear();
    }
}

/// A rule of an engine, by its numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleAt {
    /// Number of the pack.
    pub pack: u32,
    /// Number of the rule in the pack.
    pub rule: u32,
}

fn list_refs(packs: &[Pack]) -> Vec<ListRef> {
    let mut lists = Vec::new();
    for (RuleAt { pack, rule: number }, rule) in plan::rules(packs) {
        let words = rule.selections.iter().zip(0..).filter(|(selection, _)| matches!(selection.kind, Kind::Words(_)));
        lists.extend(words.map(|(_, selection)| ListRef { pack, rule: number, selection }));
    }
    lists
}

fn word_list(packs: &[Pack], list: ListRef) -> Option<WordList<'_>> {
    let rule = packs.get(list.pack as usize)?.rules.get(list.rule as usize)?;
    let Kind::Words(words) = &rule.selections.get(list.selection as usize)?.kind else { return None };
    Some(WordList {
        normalisation: words.normalisation,
        options: words.options,
        words: words.words.iter().map(|word| &**word).collect(),
    })
}

fn policy_digest(packs: &[Pack], filters: &[Filter]) -> PolicyDigest {
    let mut packs: Vec<&Pack> = packs.iter().collect();
    packs.sort_by(|a, b| a.id.cmp(&b.id));
    let parts = Parts::new("watchpost/policy");
    let parts = packs.into_iter().fold(parts, |parts, pack| parts.str(&pack.id).bytes(&pack.digest().0));
    let parts =
        filters.iter().fold(parts, |parts, filter| parts.str("filter").str(&filter.id).bytes(&filter.digest().0));
    PolicyDigest(parts.sha256())
}

#[cfg(test)]
mod tests;
