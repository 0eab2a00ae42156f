//! Bad behaviour between real containers: what spans flows.

use anyhow::Result;
use hydrophone_tests::{Agent, Container, Engine, Options};

/// Generator id of behaviours.
const BEHAVIOR: u64 = 7_001;
const IDLE: [&str; 3] = ["busybox", "sleep", "1000000"];

#[test]
fn a_sweep_and_a_flood_are_told() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run(
        "web",
        &[],
        &["busybox", "httpd", "-f", "-h", "/usr/share/doc"],
    )?;
    web.wait_until_listening(80)?;
    let flooder = engine.run("flooder", &["--cap-add", "NET_RAW"], &IDLE)?;
    let agent = Agent::start(&Options::new(&engine))?;
    let target = web.ipv4();
    // hping3 ends with 1 when not every probe was answered.
    flooder.shell(&format!(
        "hping3 -q -S -p 80 -i u200 -c 5000 {target} || true"
    ))?;
    let alert = agent.wait_for("flood", |event| event.has_attack("T1499.001"))?;
    assert_eq!(
        (alert.source(), alert.destination()),
        ("flooder", "web"),
        "{alert}"
    );
    let mut targets = Vec::new();
    for index in 0..14 {
        targets.push(engine.run(&format!("node{index}"), &[], &IDLE)?);
    }
    let sweeper = engine.run("sweeper", &["--cap-add", "NET_RAW"], &IDLE)?;
    let addresses: Vec<&str> = targets.iter().map(Container::ipv4).collect();
    sweeper.exec(
        &[
            &["nmap", "-n", "-Pn", "-sS", "-p6379"],
            addresses.as_slice(),
        ]
        .concat(),
    )?;
    let alert = agent.wait_for("sweep", |event| {
        event.source() == "sweeper" && event.number("/alert/gid") == BEHAVIOR
    })?;
    assert!(
        alert.has_attack("T1018") || alert.has_attack("T1046"),
        "{alert}"
    );
    agent.stop().map(drop)
}
