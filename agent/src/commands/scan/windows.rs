//! Windows over one run: kept in memory, told when everything is read.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::Write;

use anyhow::Context;
use watchpost_policy::engine::Engine;
use watchpost_policy::identity::{BodyDigest, Mid, content_digest};
use watchpost_policy::message::{Extras, Message, Text};
use watchpost_policy::scan::ScanRow;
use watchpost_policy::windows::{Held, JOINED_FIELD, Memory, WindowFinding};

use super::super::print_json;
use super::super::terminal::Ink;
use super::Format;
use super::read::Evaluated;
use super::tell::Teller;
use super::totals::Totals;
use super::walk::Export;

/// What is told of the first message of a window: all but what it says.
pub(super) struct First {
    export: String,
    line: u64,
    message: Message,
}

impl First {
    pub(super) fn of(export: &Export, seen: &Evaluated) -> Self {
        let message = Message { texts: Vec::new(), body: None, extras: Extras::default(), ..seen.message.clone() };
        Self { export: export.name.clone(), line: seen.line, message }
    }
}

/// The windows of a run, each with what `F` says of its first message.
pub(in crate::commands) struct Windows<F> {
    memory: Memory<F>,
    /// The bodies of messages that contributed: the same message in another export adds nothing, whoever else it names.
    bodies: HashMap<Mid, BodyDigest>,
}

impl<F> Default for Windows<F> {
    fn default() -> Self {
        Self { memory: Memory::default(), bodies: HashMap::new() }
    }
}

impl<F> Windows<F> {
    /// Takes what a message adds.
    pub(in crate::commands) fn add(
        &mut self,
        engine: &Engine,
        seen: &mut Evaluated,
        first: impl FnOnce(&Evaluated) -> F,
    ) {
        let contributions = std::mem::take(&mut seen.contributions);
        if contributions.is_empty() {
            return;
        }
        let body = content_digest(&seen.message);
        match self.bodies.entry(seen.mid) {
            Entry::Occupied(known) if *known.get() == body => return,
            Entry::Occupied(_) => {}
            Entry::Vacant(new) => _ = new.insert(body),
        }
        self.memory.add(engine, contributions, || first(seen));
    }

    /// Notes how far an export has come.
    pub(in crate::commands) fn read(&mut self, newest_ms: Option<i64>) {
        self.memory.read(newest_ms);
    }

    /// The windows that hold.
    pub(in crate::commands) fn finish(self, engine: &Engine) -> Vec<WindowFinding<F>> {
        self.memory.finish(engine)
    }
}

impl Windows<First> {
    /// Tells every window that holds.
    pub(super) fn tell<W: Write>(
        self,
        engine: &Engine,
        teller: &mut Teller<'_, W>,
        totals: &mut Totals,
    ) -> anyhow::Result<()> {
        totals.left_out = self.memory.left_out();
        self.finish(engine).iter().try_for_each(|found| teller.window(found, totals))
    }
}

impl<W: Write> Teller<'_, W> {
    fn window(&mut self, found: &WindowFinding<First>, totals: &mut Totals) -> anyhow::Result<()> {
        let Some((finding, window)) =
            self.engine.finding_of(found.rule, &found.held).zip(self.engine.window(found.rule))
        else {
            return Ok(());
        };
        let First { export, line, message } = &*found.first;
        let joined = found.held.joined.as_ref();
        totals.finding(&finding);
        if self.format == Format::Jsonl {
            let row = ScanRow::new(&finding, message, export, *line);
            return print_json(&mut self.out, &row.of_window(window, &found.held));
        }
        let texts = joined.map(|joined| Text { field: JOINED_FIELD.into(), text: joined.text.clone() });
        let message = Message { texts: texts.into_iter().collect(), ..message.clone() };
        let short = self.in_short(window.kind.as_str(), &found.held);
        self.aside(|this| {
            this.message(export, *line, &message, &[finding])?;
            writeln!(this.out, "        {}", this.paint.ink(Ink::Dim, short))
        })
        .context("cannot write")
    }

    /// How much in how long.
    fn in_short(&self, kind: &str, held: &Held) -> String {
        let of = |zh: String, en: String| self.lang.of(&zh, &en).to_owned();
        let seconds = (held.last_ms - held.first_ms) / 1000;
        let (value, minutes) = (held.value, held.value / 60_000);
        match kind {
            "count" => of(format!("{seconds} 秒内 {value} 条"), format!("{value} messages in {seconds} s")),
            "distinct" => of(format!("{seconds} 秒内 {value} 个不同"), format!("{value} different in {seconds} s")),
            "sum" => {
                let yuan = format!("{}.{:02}", value / 100, value % 100);
                of(format!("{seconds} 秒内共 {yuan} 元"), format!("{yuan} yuan in {seconds} s"))
            }
            "join" => of(format!("拆成 {} 条发送", held.count), format!("broken over {} messages", held.count)),
            "reply" if held.open => {
                of(format!("工作时间 {minutes} 分钟内无人回复"), format!("no answer in {minutes} min of work time"))
            }
            "reply" => {
                of(format!("工作时间 {minutes} 分钟后才回复"), format!("answered after {minutes} min of work time"))
            }
            _ => of(format!("{seconds} 秒内凑齐"), format!("together in {seconds} s")),
        }
    }
}
