//! Two machines with one identity, and one machine put back to an earlier state: the first is held back until somebody
//! has looked, the second is not. In both nothing is lost and delivery goes on.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use serde_json::json;
use watchpost_tests::lab::Lab;
use watchpost_tests::outcome;
use watchpost_tests::proxy::Proxy;

const PATIENCE: Duration = Duration::from_secs(120);

/// An export of one message that makes one finding.
fn export(msgid: &str) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let message = json!({
        "msgid": msgid, "action": "send", "from": "staff0001", "tolist": ["wmInVeNtEd000001customerAAAAAAAA"],
        "roomid": "", "msgtime": now - 60_000, "msgtype": "text",
        "text": { "content": "您好，这款理财产品保本保收益，您看什么时候方便" }
    });
    format!("{message}\n").into_bytes()
}

fn msgids(lab: &Lab) -> anyhow::Result<BTreeSet<String>> {
    Ok(outcome::findings(&lab.collector)?.into_iter().map(|(_, _, msgid)| msgid).collect())
}

fn wait_for(lab: &Lab, expected: &[&str]) -> anyhow::Result<()> {
    let expected: BTreeSet<String> = expected.iter().map(|id| (*id).to_owned()).collect();
    let mut found = BTreeSet::new();
    let waited = lab.wait_until("exactly the expected findings are shown", PATIENCE, || {
        found = msgids(lab)?;
        Ok(found == expected)
    });
    waited.with_context(|| format!("found {found:?}, expected {expected:?}"))
}

/// A lab in which the second agent has the first one's identity, each behind its own proxy. The first has sent a
/// finding; both state folders are the same. Neither runs.
struct Twins {
    lab: Lab,
    proxies: [Proxy; 2],
    device: String,
}

impl Twins {
    fn new() -> anyhow::Result<Self> {
        let mut lab = Lab::new(2)?;
        let collector = lab.collector.start()?;
        let proxies = [Proxy::start(collector)?, Proxy::start(collector)?];
        for name in ["device.crt", "device.key", "root.crt", "tenant.key"] {
            fs::copy(lab.agents[0].dir().join(name), lab.agents[1].dir().join(name))?;
        }
        for (agent, proxy) in lab.agents.iter().zip(&proxies) {
            agent.configure(proxy.address(), "")?;
        }
        lab.agents[0].drop_export("first.jsonl", &export("first"))?;
        lab.agents[0].start()?;
        wait_for(&lab, &["first"])?;
        lab.wait_until("the first agent is drained", PATIENCE, || outcome::is_drained(&lab.agents[0]))?;
        lab.agents[0].kill()?;
        let copy = lab.agents[1].state();
        lab.agents[0].save_state(&copy)?;
        let device = lab.agents[0].device().to_string();
        Ok(Self { lab, proxies, device })
    }

    fn state(&self) -> anyhow::Result<String> {
        let standings = outcome::standings(&self.lab.collector)?;
        standings.get(&self.device).cloned().with_context(|| format!("{} is not among {standings:?}", self.device))
    }

    fn wait_for_state(&self, state: &str) -> anyhow::Result<()> {
        self.lab.wait_until(&format!("the device is {state}"), PATIENCE, || Ok(self.state()? == state))
    }

    /// Waits until one agent alone has a line, and has used it to send everything.
    fn only(&self, side: usize) -> anyhow::Result<()> {
        self.proxies[1 - side].set_refuse(true);
        self.proxies[1 - side].reset();
        self.proxies[side].set_refuse(false);
        self.lab.wait_until("one side is connected and drained", PATIENCE, || {
            Ok(self.proxies[side].open() > 0 && outcome::is_drained(&self.lab.agents[side])?)
        })?;
        // Drained may have been true before the connection: it counts when the collector has greeted it.
        let connected = self.connections(side);
        self.lab.wait_until("the collector greets it", Duration::from_secs(30), || {
            Ok(self.connections(side) > connected || self.proxies[side].open() > 0 && self.greeted(side))
        })
    }

    fn connections(&self, side: usize) -> usize {
        self.lab.agents[side].log().matches("connected collector").count()
    }

    /// Whether the agent's latest word about its line is that it is connected.
    fn greeted(&self, side: usize) -> bool {
        let log = self.lab.agents[side].log();
        log.lines()
            .rev()
            .find(|line| line.contains("onnected"))
            .is_some_and(|line| line.contains("connected collector"))
    }

    fn release(&self) -> anyhow::Result<()> {
        let released = self.lab.collector.command(&["device", "release", &self.device, "--reason", "clone removed"])?;
        ensure!(released.status.success(), "{}{}", released.stdout, released.stderr);
        Ok(())
    }
}

#[test]
fn two_living_processes_of_one_device_are_held_back_until_released() {
    let mut twins = Twins::new().unwrap();
    twins.proxies[1].set_refuse(true);
    for side in 0..2 {
        let name = ["of-a", "of-b"][side];
        twins.lab.agents[side].drop_export(&format!("{name}.jsonl"), &export(name)).unwrap();
        twins.lab.agents[side].start().unwrap();
    }
    twins.only(0).unwrap();
    wait_for(&twins.lab, &["first", "of-a"]).unwrap();
    twins.only(1).unwrap();
    // So far this could be one machine that was restored.
    wait_for(&twins.lab, &["first", "of-a", "of-b"]).unwrap();
    assert_eq!(twins.state().unwrap(), "active");
    twins.only(0).unwrap();
    assert_eq!(twins.state().unwrap(), "active");
    twins.only(1).unwrap();
    twins.wait_for_state("quarantined").unwrap();
    wait_for(&twins.lab, &[]).unwrap();
    // Delivery goes on, held out of sight.
    twins.lab.agents[1].drop_export("later.jsonl", &export("later")).unwrap();
    twins
        .lab
        .wait_until("the later finding is receipted", PATIENCE, || outcome::is_drained(&twins.lab.agents[1]))
        .unwrap();
    assert_eq!(msgids(&twins.lab).unwrap(), BTreeSet::new());
    // Quarantine outlives the collector.
    twins.lab.collector.kill().unwrap();
    twins.lab.collector.start().unwrap();
    assert_eq!(twins.state().unwrap(), "quarantined");
    // The clone is found and switched off.
    twins.lab.agents[0].kill().unwrap();
    twins.release().unwrap();
    twins.wait_for_state("active").unwrap();
    wait_for(&twins.lab, &["first", "of-a", "of-b", "later"]).unwrap();
    outcome::check_chains(&twins.lab).unwrap();
    twins.lab.agents[1].drop_export("last.jsonl", &export("last")).unwrap();
    wait_for(&twins.lab, &["first", "of-a", "of-b", "later", "last"]).unwrap();
    assert_eq!(twins.state().unwrap(), "active");
}

#[test]
fn two_statements_for_one_place_are_both_kept_and_the_device_is_held_back() {
    let mut twins = Twins::new().unwrap();
    // The second seals its finding for the next place before it can connect.
    twins.proxies[1].set_refuse(true);
    twins.lab.agents[1].drop_export("of-b.jsonl", &export("of-b")).unwrap();
    twins.lab.agents[1].start().unwrap();
    let sealed = |twins: &Twins, side: usize| -> anyhow::Result<bool> {
        let segments = twins.lab.agents[side].command_configured(&["outbox", "inspect", "--json"])?.json_lines()?;
        Ok(segments.iter().any(|segment| segment["lane"] == "urgent" && segment["sequence"] == 1))
    };
    twins.lab.wait_until("the second has sealed", PATIENCE, || sealed(&twins, 1)).unwrap();
    // The first connects and waits at that place.
    let before = twins.connections(0);
    twins.lab.agents[0].start().unwrap();
    twins.lab.wait_until("the first is connected", PATIENCE, || Ok(twins.connections(0) > before)).unwrap();
    // The second is greeted over a slow line; before it has read its Welcome the first uses the place.
    let hellos = |twins: &Twins| twins.lab.collector.log().matches(" hello device=").count();
    let greeted = hellos(&twins);
    twins.proxies[1].set_delay(Duration::from_millis(800));
    twins.proxies[1].set_refuse(false);
    twins.lab.wait_until("the second is greeted", PATIENCE, || Ok(hellos(&twins) > greeted)).unwrap();
    twins.lab.agents[0].drop_export("of-a.jsonl", &export("of-a")).unwrap();
    twins.wait_for_state("quarantined").unwrap();
    twins.proxies[1].set_delay(Duration::ZERO);
    let device = &twins.lab.collector.json(&["device", "list"]).unwrap()[0];
    assert!(device["reason"].as_str().unwrap().contains("fork"), "{device}");
    let forks: i64 = outcome::read_only(&twins.lab.collector.dir().join("data/log.db"))
        .unwrap()
        .query_row("SELECT count(*) FROM fork JOIN payload USING (log_index)", [], |row| row.get(0))
        .unwrap();
    assert_eq!(forks, 1, "the other statement is kept with its records");
    wait_for(&twins.lab, &[]).unwrap();
    // The second goes on in a new epoch.
    twins.lab.agents[0].kill().unwrap();
    twins.lab.wait_until("the second is drained", PATIENCE, || outcome::is_drained(&twins.lab.agents[1])).unwrap();
    twins.release().unwrap();
    wait_for(&twins.lab, &["first", "of-a", "of-b"]).unwrap();
    outcome::check_chains(&twins.lab).unwrap();
    assert_eq!(twins.state().unwrap(), "active");
}

#[test]
fn a_restored_machine_is_not_held_back() {
    let mut lab = Lab::new(1).unwrap();
    let proxy = Proxy::start(lab.collector.start().unwrap()).unwrap();
    lab.agents[0].configure(proxy.address(), "").unwrap();
    let copy = lab.dir().join("copy");
    let mut expected = Vec::new();
    let names: Vec<String> = (0..8).map(|n| format!("m{n}")).collect();
    for (round, name) in names.iter().enumerate() {
        if round >= 2 {
            lab.agents[0].kill().unwrap();
            lab.agents[0].restore_state(&copy).unwrap();
        }
        // Every second time it seals something new for a used place before it hears of the collector.
        let early = round % 2 == 1;
        proxy.set_refuse(early);
        lab.agents[0].drop_export(&format!("{name}.jsonl"), &export(name)).unwrap();
        lab.agents[0].start().unwrap();
        if early {
            lab.wait_until("something is sealed unsent", PATIENCE, || {
                let segments = lab.agents[0].command_configured(&["outbox", "inspect", "--json"])?.json_lines()?;
                Ok(segments.iter().any(|segment| segment["receipted_ms"].is_null()))
            })
            .unwrap();
            proxy.set_refuse(false);
        }
        expected.push(name.as_str());
        wait_for(&lab, &expected).unwrap();
        if round == 0 {
            lab.agents[0].stop().unwrap();
            lab.agents[0].save_state(&copy).unwrap();
        } else if round == 1 {
            lab.agents[0].stop().unwrap();
        }
        outcome::check_nobody_quarantined(&lab.collector).unwrap();
    }
    outcome::wait_until_drained(&lab, PATIENCE).unwrap();
    outcome::check_chains(&lab).unwrap();
    outcome::check_nobody_quarantined(&lab.collector).unwrap();
}
