//! `rescan`: look again at what was out of scope when it was read.

use std::io;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, offset};
use time::{Date, OffsetDateTime, PrimitiveDateTime};
use watchpost_agent::clock::{Clock as _, SystemClock, corrected_ms};
use watchpost_agent::intake::wish;
use watchpost_agent::seal::last_server_time;
use watchpost_agent::store::Store;

use super::terminal::china_time;
use super::{ConfigArg, print_json};

/// Look again at messages later than a moment, under the present roster and policy: for whoever came under management later.
///
/// 按当前花名册与策略，重新检查某时间之后的消息（补查新入职人员）。
#[derive(Args)]
#[command(after_help = "Examples:\n  watchpost-agent rescan --since 2026-11-01 --config agent.toml\n  \
    watchpost-agent rescan --since \"2026-11-01 09:00\"\n  watchpost-agent rescan --since 14d\n\n\
    The running agent reads the exports that still lie in its folders once more, or the next one that starts. Messages that\n\
    were looked at before tell nothing again; what is found now is marked. status shows what came of it.")]
pub(super) struct RescanArgs {
    /// From when on: a day or moment in China, a moment with its offset, or days and hours back (14d, 6h).
    #[arg(long, value_name = "T")]
    since: String,
    #[command(flatten)]
    config: ConfigArg,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;

pub(super) fn run(args: &RescanArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.load()?;
    let store = Store::open_read_only(&config.state_dir)
        .with_context(|| format!("no agent has run with {} yet", config.state_dir.display()))?;
    let now_ms = corrected_ms(SystemClock::default().wall_ms(), store.read(last_server_time)?);
    let since_ms = moment(&args.since, now_ms)
        .with_context(|| format!("{:?} is no moment; write 2026-11-01, \"2026-11-01 09:00\" or 14d", args.since))?;
    ensure!(since_ms < now_ms, "{} has not come yet", args.since);
    let days = config.source.horizon_days;
    if since_ms < (now_ms.div_euclid(DAY_MS) - days) * DAY_MS {
        bail!(
            "messages are remembered for {days} days: earlier ones could not be told from those that were looked at; \
             say a later moment, or raise [source] horizon_days before the time comes"
        );
    }
    wish(&config.state_dir, since_ms, now_ms).with_context(|| config.state_dir.display().to_string())?;
    let mut out = io::stdout().lock();
    if args.json {
        print_json(&mut out, &json!({ "since_ms": since_ms }))?;
    } else {
        use std::io::Write as _;
        let since = china_time(since_ms).unwrap_or_default();
        writeln!(
            out,
            "将补查 {since} 之后的消息，结果见 status。\nMessages from {since} on are looked at again; see status for what comes of it."
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn moment(text: &str, now_ms: i64) -> Option<i64> {
    let back = |unit: char, ms: i64| {
        text.strip_suffix(unit)?.parse::<u32>().ok().map(|number| now_ms - i64::from(number) * ms)
    };
    if let Some(since_ms) = back('d', DAY_MS).or_else(|| back('h', HOUR_MS)) {
        return Some(since_ms);
    }
    let in_china = |moment: PrimitiveDateTime| moment.assume_offset(offset!(+8));
    let day = || Date::parse(text, format_description!("[year]-[month]-[day]")).ok().map(Date::midnight);
    let minute = || PrimitiveDateTime::parse(text, format_description!("[year]-[month]-[day] [hour]:[minute]")).ok();
    let moment = day().or_else(minute).map(in_china).or_else(|| OffsetDateTime::parse(text, &Rfc3339).ok())?;
    moment.unix_timestamp().checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_day_a_minute_or_so_long_ago() {
        let day = 1_795_104_000_000;
        assert_eq!(moment("2026-11-20", 0), Some(day));
        assert_eq!(moment("2026-11-20 00:30", 0), Some(day + HOUR_MS / 2));
        assert_eq!(moment("2026-11-19T16:00:00Z", 0), Some(day));
        assert_eq!((moment("2d", day), moment("6h", day)), (Some(day - 2 * DAY_MS), Some(day - 6 * HOUR_MS)));
        for wrong in ["", "d", "-1d", "yesterday", "20.11.2026", "99999999999d"] {
            assert_eq!(moment(wrong, day), None, "{wrong}");
        }
    }
}
