//! Other lists of addresses and other filters of alerts while the agent runs, beside real containers.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use hydrophone_tests::{Agent, Container, Engine, Options, servers, wait_for};
use rustix::process::Signal;
use serde_json::json;

const RULES: &str = r#"
alert http any any -> any any (msg:"held back later"; http.uri; content:"/etc/hostname"; sid:9000001; rev:1;)
alert http any any -> any any (msg:"asked by a known host"; http.uri; content:"/etc/hosts"; endswith; iprep:src,Known,>,50; sid:9000002; rev:1;)
alert http any any -> any any (msg:"remembered"; http.uri; content:"/etc/issue"; flowbits:set,first; noalert; sid:9000003; rev:1;)
alert http any any -> any any (msg:"second of one connection"; http.uri; content:"/etc/group"; flowbits:isset,first; sid:9000004; rev:1;)
"#;
/// Two requests on one connection: the second when somebody writes to `/tmp/go`.
const TWO_REQUESTS: &str = r#"import http.client, sys
web = http.client.HTTPConnection(sys.argv[1])
def ask(path):
    web.request("GET", path)
    web.getresponse().read()
ask("/etc/issue")
open("/tmp/go").read()
ask("/etc/group")
"#;

struct Lists<'a> {
    threshold: &'a Path,
    reputation: &'a Path,
}

impl Lists<'_> {
    fn write(&self, threshold: &str, reputation: &str) -> Result<()> {
        fs::write(self.threshold, threshold)?;
        Ok(fs::write(self.reputation, reputation)?)
    }
}

fn agent(engine: &Engine, folder: &Path) -> Result<Agent> {
    let path = |name: &str| -> Result<String> {
        let path = folder.join(name);
        Ok(path.to_str().context("the path is not UTF-8")?.to_owned())
    };
    fs::write(path("own.rules")?, RULES)?;
    fs::write(path("categories.txt")?, "1,Known,Known hosts\n")?;
    let options = Options::new(engine)
        .set("rules", "files", vec![path("own.rules")?])
        .set("rules", "no_default_rules", true)
        .set("rules", "threshold", vec![path("threshold.config")?])
        .set(
            "rules",
            "reputation",
            json!({ "categories": path("categories.txt")?, "files": [path("hosts.list")?] }),
        );
    Agent::start(&options)
}

fn count(agent: &Agent, sid: u64) -> usize {
    let alerts = agent.alerts_of(&["asks"]);
    alerts.iter().filter(|event| event.sid() == sid).count()
}

fn ask(from: &Container<'_>, to: &Container<'_>, path: &str) -> Result<()> {
    let url = format!("http://{}{path}", to.ipv4());
    from.exec(&["busybox", "wget", "-q", "-O", "/dev/null", &url])?;
    Ok(())
}

/// Asks until the rule about known hosts alerts: each inspection thread takes new lists up at its next
/// tick. All that goes between these two containers is with one thread.
fn ask_until_known(agent: &Agent, from: &Container<'_>, to: &Container<'_>) -> Result<()> {
    wait_for(
        "the new lists are in force",
        Duration::from_secs(30),
        || {
            ask(from, to, "/etc/hosts")?;
            Ok((count(agent, 9_000_002) > 0).then_some(()))
        },
    )
    .with_context(|| agent.log())
}

#[test]
fn other_lists_are_taken_up_and_damaged_ones_are_not() -> Result<()> {
    let engine = Engine::start()?;
    let folder = tempfile::tempdir()?;
    let lists = Lists {
        threshold: &folder.path().join("threshold.config"),
        reputation: &folder.path().join("hosts.list"),
    };
    lists.write("", "")?;
    let web = servers::nginx(&engine)?;
    let asks = engine.run_idle("asks", &[])?;
    let agent = agent(&engine, folder.path())?;

    ask(&asks, &web, "/etc/hostname")?;
    agent.wait_for("what is not held back yet", |event| {
        event.is_between("asks", "nginx") && event.sid() == 9_000_001
    })?;
    ask(&asks, &web, "/etc/hosts")?;
    agent.settle()?;
    assert_eq!(count(&agent, 9_000_002), 0, "nobody is known yet");
    // This connection lasts over all that follows.
    asks.shell("mkfifo /tmp/go")?;
    let mut lasting = asks.spawn(&["python3", "-c", TWO_REQUESTS, web.ipv4()])?;

    let suppress = "suppress gen_id 1, sig_id 9000001\n";
    let known = format!("{},1,100\n", asks.ipv4());
    lists.write(suppress, &known)?;
    agent.signal(Signal::HUP)?;
    ask_until_known(&agent, &asks, &web)?;
    ask(&asks, &web, "/etc/hostname")?;
    let stats = agent.settle()?;
    assert_eq!(count(&agent, 9_000_001), 1, "held back from now on");
    assert!(stats.number("/stats/inspect/suppressed") > 0, "{stats}");

    // One mistake in each; what they say beside it would undo what is in force.
    lists.write("supress gen_id 1, sig_id 9000001\n", "198.18.0.1,7,100\n")?;
    agent.signal(Signal::HUP)?;
    for place in ["threshold.config:1:1", "hosts.list:1:12"] {
        agent.wait_for_log(place, |line| line.contains(place))?;
    }
    agent.wait_for_log("that the old ones stay", |line| {
        line.contains("stay in force")
    })?;
    let before = count(&agent, 9_000_002);
    ask(&asks, &web, "/etc/hostname")?;
    ask(&asks, &web, "/etc/hosts")?;
    agent.settle()?;
    assert_eq!(count(&agent, 9_000_001), 1, "still held back");
    assert!(count(&agent, 9_000_002) > before, "still known");

    // A file that is gone is no empty one.
    fs::remove_file(lists.reputation)?;
    agent.signal(Signal::HUP)?;
    agent.wait_for_log("the file that is missing", |line| {
        line.contains("cannot read reputation file")
    })?;

    // What a flow remembers from before the first of the three is still there.
    asks.shell("echo > /tmp/go")?;
    assert!(lasting.wait()?.success());
    agent.wait_for("the second request of the connection", |event| {
        event.is_between("asks", "nginx") && event.sid() == 9_000_004
    })?;
    agent.stop()?;
    Ok(())
}
