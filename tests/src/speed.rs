//! How fast messages are looked through, in one process, beside what else could have been used.
//!
//! All contestants get the same bytes in memory and the same words, take turns, and the best of several rounds counts: on a shared machine the best is
//! nearest to what the code costs. **Whole job** means: every line read, its envelope and texts decoded, text folded, all hits, the rules, and a message with
//! findings kept. The automata alone do less: they go over raw bytes, find words in ids too, and neither decode nor fold.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write as _;
use std::process::Command;
use std::time::Instant;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use anyhow::{Context as _, anyhow};
use daachorse::{CharwiseDoubleArrayAhoCorasick, CharwiseDoubleArrayAhoCorasickBuilder};
use serde::Deserialize;
use tempfile::NamedTempFile;
use watchpost_policy::engine::{Engine, Finding, Scratch};
use watchpost_policy::identity::TenantKey;
use watchpost_policy::matcher::{FastMatcher, WordList, WordOptions};
use watchpost_policy::message::{Corp, Message};
use watchpost_policy::normalise::{Folded, Normalisation};
use watchpost_policy::parse::parse_line;
use watchpost_policy::rules::Pack;
use watchpost_policy::skim::{Skim, Skimmed};

use crate::corpus::{Corpus, Mix, Settings, Spelling};

/// Rounds of which the best counts.
const ROUNDS: usize = 5;
/// As the agent reads its exports.
const CHUNK_BYTES: usize = 256 * 1024;

/// Lines in memory.
struct Lines {
    name: &'static str,
    bytes: Vec<u8>,
    messages: usize,
    /// Characters of their texts.
    characters: usize,
}

impl Lines {
    fn new(name: &'static str, bytes: Vec<u8>) -> Self {
        let messages: Vec<Message> = bytes.split(|b| *b == b'\n').filter_map(|line| parse_line(line).message).collect();
        let characters = messages.iter().flat_map(Message::all_texts).map(|text| text.text.chars().count()).sum();
        Self { name, messages: messages.len(), characters, bytes }
    }

    fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split(|b| *b == b'\n')
    }
}

/// What one contestant took.
struct Took {
    seconds: f64,
    hits: usize,
}

impl Took {
    /// The best of one more round.
    fn again(best: Option<Self>, run: &mut dyn FnMut() -> usize) -> Self {
        let start = Instant::now();
        let hits = black_box(run());
        let seconds = start.elapsed().as_secs_f64();
        Self { seconds: best.map_or(seconds, |best| best.seconds.min(seconds)), hits }
    }
}

/// Prints the tables.
///
/// # Errors
/// Words that make no automaton.
pub fn report(messages: u64) -> anyhow::Result<()> {
    let corpus = |spelling, mix| Corpus::new(Settings { messages, spelling, mix, ..Settings::default() });
    let chat = corpus(Spelling::Regular, Mix::Chat);
    let lines = |name, corpus: &Corpus| Lines::new(name, corpus.text(0..messages).into_bytes());
    let regular = lines("chat", &chat);
    println!("in one process but for grep, best of {ROUNDS}; the rows of one table take turns");
    for count in [100, 1_000, 10_000, 65_000] {
        let words = chat.words(count);
        compiled(&words)?;
        table(&regular, &words, true)?;
    }
    // Words as long as those of real lists: the short ones of a drawn list stand in every third message of a drawn text.
    let long: Vec<String> =
        chat.words(110_000).into_iter().filter(|word| word.chars().count() > 2).take(65_000).collect();
    println!("\nof three characters and more:");
    table(&regular, &long, true)?;
    drop(regular);
    let office = lines("office", &corpus(Spelling::Regular, Mix::Office));
    println!();
    table(&office, &chat.words(10_000), true)?;
    table(&office, &long, true)?;
    drop(office);
    let words = chat.words(10_000);
    table(&lines("irregular", &corpus(Spelling::Irregular, Mix::Chat)), &words, false)?;
    table(&all_hits(&words, messages / 10), &words, false)
}

/// Messages that say nothing but words.
fn all_hits(words: &[String], messages: u64) -> Lines {
    let corpus = Corpus::new(Settings { messages, ..Settings::default() });
    let text =
        |number: u64| words.iter().cycle().skip(number as usize * 8 % words.len()).take(8).cloned().collect::<String>();
    let line = |number: u64| {
        format!(
            "{{\"msgid\":\"{}\",\"action\":\"send\",\"from\":\"staff0001\",\"tolist\":[\"staff0002\"],\"roomid\":\"\",\"msgtime\":{},\
             \"msgtype\":\"text\",\"text\":{{\"content\":\"{}\"}}}}\n",
            corpus.msgid(number),
            corpus.msgtime(number),
            text(number)
        )
    };
    Lines::new("nothing but words", (0..messages).map(line).collect::<String>().into_bytes())
}

fn compiled(words: &[String]) -> anyhow::Result<()> {
    let list = [WordList {
        normalisation: Normalisation::default(),
        options: WordOptions::default(),
        words: words.iter().map(String::as_str).collect(),
    }];
    let mut best = f64::MAX;
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        bytes = FastMatcher::compile(&list)?.bytes();
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("\n{} words: compiled in {:.1} ms, {:.2} MB", words.len(), best * 1e3, bytes as f64 / 1e6);
    Ok(())
}

/// A contestant, how it is run, and its best round.
type Row<'a> = (&'static str, &'a mut dyn FnMut() -> usize, Option<Took>);

fn table(lines: &Lines, words: &[String], automata: bool) -> anyhow::Result<()> {
    let engine = engine(words)?;
    let folded: Vec<String> =
        words.iter().map(|word| Folded::of(word, Normalisation::default()).text().to_owned()).collect();
    let plain = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(words)?;
    let charwise = charwise(words)?;
    let charwise_folded = charwise_of(folded)?;
    let mut skim = || whole_job(&engine, lines);
    let mut parse = || every_line(&engine, lines);
    let mut typed = || typed(&charwise_folded, lines);
    let mut ac = || plain.find_overlapping_iter(&lines.bytes).count();
    let mut da = || std::str::from_utf8(&lines.bytes).map_or(0, |text| charwise.find_overlapping_iter(text).count());
    let mut rows: Vec<Row<'_>> = vec![
        ("whole job (skim)", &mut skim, None),
        ("whole job, every line parsed", &mut parse, None),
        ("serde typed + fold + daachorse", &mut typed, None),
    ];
    let grepped = automata.then(|| Grepped::new(lines, words)).transpose()?;
    let mut grep = || grepped.as_ref().and_then(|grepped| grepped.run().ok()).unwrap_or_default();
    if automata {
        rows.push(("daachorse charwise, raw bytes", &mut da, None));
        rows.push(("aho-corasick, raw bytes", &mut ac, None));
        rows.push(("grep -F -c -f, raw file", &mut grep, None));
    }
    for _ in 0..ROUNDS {
        for (_, run, best) in &mut rows {
            *best = Some(Took::again(best.take(), run));
        }
    }
    println!(
        "{} lines, {} words: {} messages of {} bytes",
        lines.name,
        words.len(),
        lines.messages,
        lines.bytes.len() / lines.messages.max(1)
    );
    println!("  {:<32} {:>8} {:>11} {:>9} {:>8} {:>9}", "", "MB/s", "ns/message", "ns/char", "ratio", "hits");
    let first = rows.first().and_then(|row| row.2.as_ref()).map_or(0.0, |took| took.seconds);
    for (name, _, took) in &rows {
        let Some(took) = took else { continue };
        let per = |count: usize| took.seconds * 1e9 / count.max(1) as f64;
        println!(
            "  {name:<32} {:>8.0} {:>11.0} {:>9.2} {:>8.2} {:>9}",
            lines.bytes.len() as f64 / 1e6 / took.seconds,
            per(lines.messages),
            per(lines.characters),
            took.seconds / first,
            took.hits
        );
    }
    Ok(())
}

/// The same lines and words as files.
struct Grepped {
    words: NamedTempFile,
    lines: NamedTempFile,
}

impl Grepped {
    fn new(lines: &Lines, words: &[String]) -> anyhow::Result<Self> {
        let (mut file, mut list) = (NamedTempFile::new()?, NamedTempFile::new()?);
        file.write_all(&lines.bytes)?;
        list.write_all((words.join("\n") + "\n").as_bytes())?;
        let grepped = Self { words: list, lines: file };
        // One that cannot be run must not be timed.
        grepped.run().context("grep")?;
        Ok(grepped)
    }

    /// The lines with a word.
    fn run(&self) -> anyhow::Result<usize> {
        let mut grep = Command::new("grep");
        grep.args(["-F", "-c", "-f"]).arg(self.words.path()).arg(self.lines.path()).env("LC_ALL", "C.UTF-8");
        Ok(String::from_utf8(grep.output()?.stdout)?.trim().parse()?)
    }
}

/// Nothing keyed is kept.
const NO_KEY: TenantKey = TenantKey([0; 32]);

fn engine(words: &[String]) -> anyhow::Result<Engine> {
    let pack = crate::words_pack("words.txt");
    let files = BTreeMap::from([("words.txt".to_owned(), (words.join("\n") + "\n").into_bytes())]);
    let pack = Pack::parse("bench.yaml", pack.as_bytes(), &files)
        .map_err(|mistakes| anyhow!("{}", mistakes.first().map(ToString::to_string).unwrap_or_default()))?;
    Ok(Engine::compile(vec![pack], None)?)
}

/// As `scan` does it, without a file and without printing. Gives the number of findings.
fn whole_job(engine: &Engine, lines: &Lines) -> usize {
    let corp = Corp::new("ww1");
    let mut skim = Skim::new(engine, &corp);
    let (mut kept, mut scratch) = (Kept::default(), Scratch::default());
    let mut rest = &lines.bytes[..];
    while !rest.is_empty() {
        let room = &rest[..rest.len().min(CHUNK_BYTES)];
        let end = room.iter().rposition(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let chunk;
        (chunk, rest) = rest.split_at(end);
        let Ok(()) = skim.lines(chunk, &mut |line| {
            match line {
                Skimmed::Clean(clean) => _ = black_box(clean.standing()),
                Skimmed::Look(line) => {
                    let looked = line.look(engine, &corp, &NO_KEY, &mut scratch);
                    kept.keep(looked.parsed.message, looked.evaluated.findings);
                }
            }
            Ok::<(), std::convert::Infallible>(())
        });
    }
    kept.findings
}

fn every_line(engine: &Engine, lines: &Lines) -> usize {
    let corp = Corp::new("ww1");
    let (mut kept, mut scratch) = (Kept::default(), Scratch::default());
    for message in lines.each().filter_map(|line| parse_line(line).message) {
        let findings = engine.evaluate(&corp, &message, &mut scratch);
        kept.keep(Some(message), findings);
    }
    kept.findings
}

/// Keeps what is found.
#[derive(Default)]
struct Kept {
    last: Option<(Message, Vec<Finding>)>,
    findings: usize,
}

impl Kept {
    fn keep(&mut self, message: Option<Message>, findings: Vec<Finding>) {
        if !findings.is_empty() {
            self.findings += findings.len();
            self.last = black_box(message.map(|message| (message, findings)));
        }
    }
}

/// What most would write: derived structs that borrow, our folding, a good automaton. No rules, and only messages of text.
fn typed(automaton: &CharwiseDoubleArrayAhoCorasick<u32>, lines: &Lines) -> usize {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        msgid: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        from: std::borrow::Cow<'a, str>,
        tolist: Vec<std::borrow::Cow<'a, str>>,
        msgtime: i64,
        #[serde(borrow)]
        text: Option<Body<'a>>,
    }
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        content: std::borrow::Cow<'a, str>,
    }
    let mut folded = Folded::default();
    let mut hits = 0;
    for line in lines.each() {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else { continue };
        black_box((&line.msgid, &line.from, &line.tolist, line.msgtime));
        if let Some(body) = line.text {
            folded.fold(&body.content, Normalisation::default(), &[]);
            hits += automaton.find_overlapping_iter(folded.text()).count();
        }
    }
    hits
}

fn charwise(words: &[String]) -> anyhow::Result<CharwiseDoubleArrayAhoCorasick<u32>> {
    charwise_of(words.to_vec())
}

fn charwise_of(mut words: Vec<String>) -> anyhow::Result<CharwiseDoubleArrayAhoCorasick<u32>> {
    words.sort_unstable();
    words.dedup();
    CharwiseDoubleArrayAhoCorasickBuilder::new().build(words).map_err(|error| anyhow!("{error}")).context("daachorse")
}
