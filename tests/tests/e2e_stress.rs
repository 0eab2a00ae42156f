//! More than the agent can take: it counts what it loses, stays small and goes on.

use anyhow::{Context as _, Result};
use hydrophone_tests::{Agent, Engine, Event, Options};

const HOOKS: [&str; 4] = [
    "link_ingress",
    "link_egress",
    "socket_egress",
    "socket_ingress",
];

/// seen = inspected + counted + lost, from the figures themselves.
fn assert_account(stats: &Event) {
    for hook in HOOKS {
        let number = |what: &str| stats.number(&format!("/stats/hooks/{hook}/{what}"));
        let sum = |what: &str| -> u64 {
            let reasons = stats.at(&format!("/stats/hooks/{hook}/{what}"));
            reasons
                .as_object()
                .into_iter()
                .flatten()
                .filter_map(|(_, n)| n.as_u64())
                .sum()
        };
        let accounted = number("inspected") + sum("counted") + sum("lost");
        assert_eq!(number("seen"), accounted, "{hook}: {stats}");
    }
}

#[test]
fn a_burst_of_syns_into_a_small_ring_is_accounted_for() -> Result<()> {
    const SYNS: u64 = 200_000;
    let engine = Engine::start()?;
    let web = engine.run(
        "web",
        &[],
        &["busybox", "httpd", "-f", "-h", "/usr/share/doc"],
    )?;
    web.wait_until_listening(80)?;
    let flooder = engine.run(
        "flooder",
        &["--cap-add", "NET_RAW"],
        &["busybox", "sleep", "1000000"],
    )?;
    let options = Options::new(&engine)
        .set("sensor", "rings", 1)
        .set("sensor", "ring_size", "256KiB")
        .set("sensor", "flow_table", 1_024)
        .set("inspect", "flows", 1_024);
    let agent = Agent::start(&options)?;
    let before = agent.memory("VmRSS")?;
    let target = web.ipv4();
    // hping3 ends with 1 when not every probe was answered.
    flooder.shell(&format!(
        "hping3 -q -S -p 80 -i u1 -c {SYNS} {target} || true"
    ))?;

    let flood = agent.wait_for("the flood or scan", |event| {
        event.is_between("flooder", "web") && event.number("/alert/gid") == 7_001
    })?;
    assert!(flood.has_attack("T1499.001"), "{flood}");
    let peak = agent.memory("VmHWM")?;
    println!("memory: {before} KiB before, {peak} KiB at most");
    assert!(
        peak < before + (256 << 10),
        "memory stays bounded: {peak} KiB"
    );

    // It goes on: what comes next is found.
    let url = format!("http://{target}/adduser/copyright");
    let header = "User-Agent: () { :;}; /bin/id";
    flooder.ask(&url, header)?;
    agent.wait_for("the exploit after it", |event| event.sid() == 7_000_001)?;

    let events = agent.stop()?;
    let stats = events
        .iter()
        .rev()
        .find(|event| event.is_stats())
        .context("stats")?;
    assert_account(stats);
    let seen = stats.number("/stats/hooks/link_ingress/seen");
    assert!(seen >= SYNS, "every SYN was seen: {seen}");
    println!(
        "of {seen} packets at link ingress {} were inspected and {} found the ring full",
        stats.number("/stats/hooks/link_ingress/inspected"),
        stats.number("/stats/hooks/link_ingress/lost/ring_full"),
    );
    Ok(())
}
