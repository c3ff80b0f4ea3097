//! Lists of words: what belongs to them, what waits for a second person, and what a word would have stood in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::alerts::{concerning, reason};
use super::operators::Done;
use super::page::{self, Page};
use super::rules::everywhere;
use super::search::problem;
use crate::admin::What;
use crate::alerts;
use crate::audit::Did;
use crate::operators::{Act, may};
use crate::policies::in_force::InForce;
use crate::search::find::Finder;
use crate::web::ask::Ask;
use crate::web::problem::{Kind, Problem};
use crate::web::route::{Body, CSV, Nothing};
use crate::words::desk::Step;
use crate::words::{self, List, Standing, Word, preview};

/// Which words of a list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Which {
    /// How they stand.
    #[serde(default)]
    pub(in crate::web) standing: Option<Standing>,
    /// What stands in them or in their note.
    #[serde(default)]
    pub(in crate::web) find: String,
    /// `next` of the page before.
    #[serde(default)]
    pub(in crate::web) cursor: Option<String>,
    /// Rows of the page, at most 500.
    #[serde(default)]
    pub(in crate::web) limit: Option<u32>,
}

/// A step with a list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Next {
    /// What is done.
    pub(in crate::web) step: Step,
    /// Why; goes into the audit trail.
    #[serde(default)]
    pub(in crate::web) reason: String,
}

/// A new list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct New {
    /// Its name.
    pub(in crate::web) list: String,
    /// The pack it is for.
    pub(in crate::web) pack: String,
    /// The file, as the pack names it.
    pub(in crate::web) file: String,
    /// Why; goes into the audit trail.
    #[serde(default)]
    pub(in crate::web) reason: String,
}

/// A word to try on past findings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct TryWord {
    /// The word.
    pub(in crate::web) word: String,
    /// Days looked back on, at most 365.
    #[serde(default)]
    pub(in crate::web) days: Option<u32>,
    /// Why; goes into the audit trail.
    #[serde(default)]
    pub(in crate::web) reason: String,
}

/// What a list is, as somebody may see it.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::web) struct ListView {
    /// The list.
    #[serde(flatten)]
    pub(in crate::web) list: List,
    /// Words of it that the latest policies hold, by group.
    pub(in crate::web) in_force: Vec<(String, usize)>,
}

pub(in crate::web) fn lists(ask: &Ask<'_>, _: Nothing) -> Result<Vec<ListView>, Problem> {
    let policies = everywhere(ask)?;
    let lists = words::lists(ask.log().connection(), ask.now_ms)?.into_iter();
    Ok(lists
        .map(|list| {
            let count = |policy: &InForce| policy.words_of(&list.pack, &list.file).count();
            let in_force = policies.iter().map(|(group, policy)| (group.clone(), count(policy)));
            ListView { in_force: in_force.filter(|(_, words)| *words > 0).collect(), list }
        })
        .collect())
}

/// The list the address names.
pub(in crate::web) fn named(ask: &Ask<'_>) -> Result<List, Problem> {
    let found = words::list(ask.log().connection(), ask.param("list")?, ask.now_ms)?;
    found.ok_or(Problem::new(Kind::NotFound))
}

/// The words of a list with where they are in force; what they say is for those who keep words.
pub(in crate::web) fn all(ask: &Ask<'_>, list: &List) -> Result<Vec<Word>, Problem> {
    let mut all = words::words(ask.log().connection(), &list.list, ask.now_ms)?;
    words::mark_in_force(&mut all, list, &everywhere(ask)?);
    if !super::rules::sees_words(ask) {
        for word in &mut all {
            (word.word, word.note) = (None, String::new());
        }
    }
    Ok(all)
}

pub(in crate::web) fn show(ask: &Ask<'_>, which: Which) -> Result<Page<Word>, Problem> {
    let limit = page::rows(which.limit);
    let after: Option<String> = page::read("words", which.cursor.as_deref())?;
    let all = all(ask, &named(ask)?)?;
    let wanted = which.find.trim().to_lowercase();
    let says = |word: &Word| {
        let text = word.word.as_deref().unwrap_or_default().to_lowercase();
        wanted.is_empty() || text.contains(&wanted) || word.note.to_lowercase().contains(&wanted)
    };
    let fits =
        all.into_iter().filter(|word| which.standing.is_none_or(|standing| standing == word.standing) && says(word));
    let rest = fits.skip_while(|word| after.as_ref().is_some_and(|after| word.id != *after));
    let rest = rest.skip(usize::from(after.is_some()));
    Ok(page::page("words", rest.take(limit as usize + 1).collect(), limit, |last| last.id.clone()))
}

pub(in crate::web) fn make(ask: &Ask<'_>, new: New) -> Result<Done, Problem> {
    let step = Step::Make { pack: new.pack, file: new.file };
    done(ask, What::Words { list: new.list, step }, &new.reason)
}

pub(in crate::web) fn step(ask: &Ask<'_>, next: Next) -> Result<Done, Problem> {
    let list = named(ask)?.list;
    if let Step::Make { .. } = next.step {
        return Err(Problem::malformed("the list is there already"));
    }
    done(ask, What::Words { list, step: next.step }, &next.reason)
}

fn done(ask: &Ask<'_>, what: What, reason: &str) -> Result<Done, Problem> {
    let entries = ask.have_done(what, reason)?;
    ask.until_shown(&entries)?;
    Ok(Done { entries })
}

/// The whole list to take along, as it can be imported again.
pub(in crate::web) fn export(ask: &Ask<'_>, _: Nothing) -> Result<Body, Problem> {
    let list = named(ask)?;
    let all = all(ask, &list)?;
    let bytes = table(&all)?;
    ask.note(ask.by()?, Did::Exported, &format!("words {}", list.list), "export", all.len() as u64)?;
    Ok(Body::file(CSV, "words.csv", bytes))
}

fn table(words: &[Word]) -> Result<Vec<u8>, Problem> {
    let day = |ms: Option<i64>| ms.and_then(crate::clock::day_in_china).unwrap_or_default();
    let mut rows = vec![["word", "note", "expires", "standing", "owner", "added", "in force"].map(str::to_owned)];
    rows.extend(words.iter().filter(|word| word.word.is_some()).map(|word| {
        [
            word.word.clone().unwrap_or_default(),
            word.note.clone(),
            day(word.expires_ms),
            word.standing.as_str().to_owned(),
            word.owner.clone(),
            day(Some(word.added_ms)),
            word.in_force.join(" "),
        ]
    }));
    // Excel takes what begins otherwise for another encoding.
    Ok(format!("\u{feff}{}", crate::export::csv::table(&rows)?).into_bytes())
}

/// What a word would have stood in. Whoever finds by a word learns what was said: it is noted before it is answered, without
/// the word. Excerpts are for those who may read them; authors of rules learn numbers, and nothing about themselves.
pub(in crate::web) fn preview(ask: &Ask<'_>, asked: TryWord) -> Result<preview::Preview, Problem> {
    let reason = reason(&asked.reason)?.to_owned();
    let (operator, now_ms, derived) = (ask.caller()?.operator.clone(), ask.now_ms, ask.derived_anew()?);
    let reads = ask.may(Act::SeeExcerpts, None);
    let may_count = move |id: &[u8]| {
        let Some(alert) = alerts::find(&derived, id).ok().flatten() else { return false };
        let is_own =
            operator.is_unbound || operator.grant.accounts.iter().any(|own| own.eq_ignore_ascii_case(&alert.person));
        if reads { may(&operator, Act::SeeExcerpts, Some(&concerning(&alert)), now_ms) } else { !is_own }
    };
    let mut finder = Finder::open(&ask.site.desk.config).map_err(problem)?.within(may_count);
    let policies = everywhere(ask)?;
    let policies: Vec<&InForce> = policies.iter().map(|(_, policy)| &**policy).collect();
    let days = asked.days.unwrap_or(preview::DAYS);
    let seen = preview::preview(&mut finder, &policies, asked.word.trim(), (days, now_ms), reads).map_err(problem)?;
    ask.note(ask.by()?, Did::Viewed, preview::SUBJECT, &reason, seen.samples.len() as u64)?;
    Ok(seen)
}
