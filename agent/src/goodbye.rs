//! The agent's last word: a signed record that it ends, and why, so that a device that falls silent can be told from one that was switched off. After
//! a crash there is none. The next start says that it is over.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use watchpost_proto::v1::{self, GoodbyeCause, Lane, summary::Kind};

use crate::clock::Clock;
use crate::device::Device;
use crate::in_force::InForce;
use crate::seal::Sealer;
use crate::store::{Store, StoreError, Tx};
use crate::summary::MadeUnder;

/// Where the store keeps that a goodbye was said.
const GOODBYE: &str = "goodbye";
/// How long the system may take to say whether it goes down.
const ASK: Duration = Duration::from_millis(300);
const LOOK: Duration = Duration::from_millis(10);

/// Appends a goodbye, and seals everything that waits, so that it may be sent.
pub fn say(
    store: &Arc<Store>,
    device: &Arc<Device>,
    clock: &Arc<dyn Clock>,
    in_force: &InForce,
    cause: GoodbyeCause,
) -> Result<(), StoreError> {
    let made = MadeUnder::new(in_force, clock.wall_ms());
    store.transaction(|tx| append(tx, &made, cause))?;
    Sealer::new(store.clone(), device.clone(), clock.clone()).seal_all()
}

/// Says that the goodbye before is over, where there was one.
pub fn over(store: &Store, made: &MadeUnder) -> Result<(), StoreError> {
    if store.read(|tx| tx.seen(GOODBYE))?.is_none_or(|cause| cause.is_empty()) {
        return Ok(());
    }
    store.transaction(|tx| append(tx, made, GoodbyeCause::Over))
}

fn append(tx: &Tx<'_>, made: &MadeUnder, cause: GoodbyeCause) -> Result<(), StoreError> {
    let goodbye = Kind::Goodbye(v1::Goodbye { cause: cause.into(), at_ms: made.at_ms });
    tx.append(Lane::Urgent, &made.record(goodbye)?)?;
    let said: &[u8] = if cause == GoodbyeCause::Over { &[] } else { cause.as_str_name().as_bytes() };
    tx.put_seen(GOODBYE, said)
}

/// Waits until what is urgent is receipted, or the deadline has come.
pub fn wait_until_receipted(store: &Store, deadline: Instant) -> bool {
    loop {
        if store.read(|tx| tx.backlog()).is_ok_and(|backlog| backlog.urgent.records == 0) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(LOOK);
    }
}

/// Why the agent is asked to stop, as far as the system tells: it goes down, or somebody stops the agent alone.
pub fn cause_of_stop() -> GoodbyeCause {
    cause_by(Path::new("/run/systemd/system").exists(), &ask)
}

fn cause_by(is_systemd: bool, ask: &dyn Fn(&str, &[&str]) -> Option<String>) -> GoodbyeCause {
    let goes_down = if is_systemd {
        ask("systemctl", &["is-system-running"]).is_some_and(|state| state.trim() == "stopping")
    } else {
        // The previous and the present run level; 0 halts and 6 restarts.
        ask("runlevel", &[]).is_some_and(|levels| matches!(levels.split_whitespace().last(), Some("0" | "6")))
    };
    if goes_down { GoodbyeCause::Shutdown } else { GoodbyeCause::Stopped }
}

/// What a program of the system prints, if it does so at once.
pub(crate) fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let deadline = Instant::now() + ASK;
    while child.try_wait().ok()?.is_none() {
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(LOOK);
    }
    let output = child.wait_with_output().ok()?;
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_that_goes_down_is_told_from_a_service_that_stops() {
        for (is_systemd, said, expected) in [
            (true, Some("stopping\n"), GoodbyeCause::Shutdown),
            (true, Some("running\n"), GoodbyeCause::Stopped),
            (true, Some("degraded\n"), GoodbyeCause::Stopped),
            (true, None, GoodbyeCause::Stopped),
            (false, Some("5 6\n"), GoodbyeCause::Shutdown),
            (false, Some("N 0"), GoodbyeCause::Shutdown),
            (false, Some("N 5\n"), GoodbyeCause::Stopped),
            (false, Some("unknown\n"), GoodbyeCause::Stopped),
            (false, Some(""), GoodbyeCause::Stopped),
        ] {
            let program = std::cell::RefCell::new(String::new());
            let ask = |name: &str, _: &[&str]| {
                *program.borrow_mut() = name.to_owned();
                said.map(str::to_owned)
            };
            assert_eq!(cause_by(is_systemd, &ask), expected, "{said:?}");
            assert_eq!(*program.borrow(), if is_systemd { "systemctl" } else { "runlevel" });
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_does_not_answer_is_not_waited_for() {
        let began = Instant::now();
        assert_eq!(ask("sleep", &["60"]), None);
        assert!(began.elapsed() < Duration::from_secs(20));
        assert_eq!(ask("echo", &["stopping"]).as_deref(), Some("stopping\n"));
        assert_eq!(ask("no-such-program-anywhere", &[]), None);
    }
}
