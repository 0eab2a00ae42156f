//! Start, end and neighbours of an agent: what it must leave as it was.

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::programs::{SchedClassifier, TcAttachType};
use hydrophone_tests::{
    Agent, Container, Engine, HostState, Options, bpf_objects, run, wait_until_gone,
};
use rustix::process::Signal;

#[test]
fn every_end_leaves_the_host_as_it_was() -> Result<()> {
    let engine = Engine::start()?;
    let _web = engine.run_web("web")?;
    let before = HostState::read(&engine)?;
    for (signal, clsact) in [
        (Signal::INT, false),
        (Signal::TERM, false),
        (Signal::KILL, false),
        (Signal::INT, true),
        (Signal::TERM, true),
    ] {
        let options = Options::new(&engine).set("sensor", "force_clsact", clsact);
        let mut agent = Agent::start(&options)?;
        let objects = bpf_objects(agent.pid())?;
        let count = |kind| objects.iter().filter(|(of, _)| *of == kind).count();
        let links = if clsact { 6 } else { 8 };
        assert!(
            count("prog") >= 4 && count("link") >= links,
            "nothing attached? {objects:?}"
        );
        let filters = before.difference(&HostState::read(&engine)?);
        assert_eq!(filters.contains("hydro_link_in"), clsact, "{filters}");

        agent.signal(signal)?;
        let status = agent.wait()?;
        assert_eq!(
            status.success(),
            signal != Signal::KILL,
            "{signal:?}: {status}"
        );
        wait_until_gone(&objects)?;
        before
            .wait_until_again(&engine)
            .with_context(|| format!("after {signal:?}, clsact: {clsact}"))?;
    }
    Ok(())
}

#[test]
fn second_agent_is_refused_and_the_first_goes_on() -> Result<()> {
    let engine = Engine::start()?;
    let first = Agent::start(&Options::new(&engine))?;
    let mut second = Agent::spawn(&Options::new(&engine))?;

    let status = second.wait()?;
    assert_eq!(status.code(), Some(5));
    let message = second.log();
    assert!(message.contains("already"), "{message}");
    assert!(message.contains(&first.pid().to_string()), "{message}");
    first.settle()?;
    first.stop()?;
    Ok(())
}

/// Somebody else's filter on a link: it drops every IPv4 ICMP packet that the container sends.
struct Filter {
    link: String,
}

impl Filter {
    /// Classic BPF on the Ethernet frame: protocol 1 is dropped (2), all else goes on (-1).
    const PROGRAM: &str = "4,48 0 0 23,21 0 1 1,6 0 0 2,6 0 0 4294967295";

    fn new(container: &Container<'_>) -> Result<Self> {
        let link = container.link()?;
        run("tc", &["qdisc", "add", "dev", &link, "clsact"])?;
        let place = ["filter", "add", "dev", &link, "ingress", "protocol", "ip"];
        let filter = ["bpf", "bytecode", Self::PROGRAM, "direct-action"];
        run("tc", &[&place[..], &filter].concat())?;
        Ok(Self { link })
    }

    /// Packets that have passed the chain that it is in.
    fn packets(&self) -> Result<u64> {
        let text = run("tc", &["-s", "qdisc", "show", "dev", &self.link, "clsact"])?.stdout;
        let mut words = text.split_whitespace().skip_while(|word| *word != "bytes");
        let packets = words.nth(1).context("no packet count")?;
        Ok(packets.parse()?)
    }

    /// Whether it does what it is there for, and lets through what it should.
    fn works(&self, sender: &Container<'_>, receiver: &Container<'_>) -> Result<()> {
        let before = self.packets()?;
        let ping = sender.exec(&["busybox", "ping", "-c1", "-W1", receiver.ipv4()]);
        ensure!(
            ping.is_err(),
            "a packet came through that the filter should have dropped"
        );
        let url = format!("http://{}/hostname", receiver.ipv4());
        sender.exec(&["busybox", "wget", "-q", "-O", "/dev/null", &url])?;
        let after = self.packets()?;
        ensure!(after > before, "the filter saw nothing: {before}, {after}");
        Ok(())
    }
}

#[test]
fn filters_of_others_work_before_during_and_after() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run_web("web")?;
    let client = engine.run_idle("client", &[])?;
    client.exec(&["busybox", "ping", "-c1", "-W5", web.ipv4()])?;
    let filter = Filter::new(&client)?;
    filter.works(&client, &web).context("before")?;

    for clsact in [false, true] {
        let options = Options::new(&engine).set("sensor", "force_clsact", clsact);
        let agent = Agent::start(&options)?;
        filter
            .works(&client, &web)
            .with_context(|| format!("during, clsact: {clsact}"))?;
        let stats = agent.settle()?;
        assert!(stats.handed_over() > 0, "{stats}");
        agent.stop()?;
        filter
            .works(&client, &web)
            .with_context(|| format!("after, clsact: {clsact}"))?;
    }
    Ok(())
}

fn veths() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir("/sys/class/net")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("veth") {
            names.insert(name);
        }
    }
    Ok(names)
}

/// Time from the appearance of each new link to both hooks, until told to stop.
fn watch(stop: &AtomicBool) -> Result<Vec<Duration>> {
    let (mut known, mut waiting, mut delays) = (veths()?, Vec::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        for name in veths()? {
            if known.insert(name.clone()) {
                waiting.push((name, Instant::now()));
            }
        }
        waiting.retain(|(name, since)| {
            let hooked = |place| {
                let programs = SchedClassifier::query_tcx(name, place);
                programs.is_ok_and(|(_, programs)| !programs.is_empty())
            };
            if !(hooked(TcAttachType::Ingress) && hooked(TcAttachType::Egress)) {
                return true;
            }
            delays.push(since.elapsed());
            false
        });
        thread::yield_now();
    }
    Ok(delays)
}

#[test]
fn new_links_are_hooked_before_the_container_runs() -> Result<()> {
    const CONTAINERS: usize = 10;
    let engine = Engine::start()?;
    let web = engine.run_web("web")?;
    let agent = Agent::start(&Options::new(&engine))?;
    let stop = AtomicBool::new(false);
    let url = format!("http://{}/hostname", web.ipv4());
    let header = "User-Agent: () { :;}; /bin/id";
    // Its first packets are those of its very first act.
    let act = [
        "busybox",
        "wget",
        "-q",
        "-O",
        "/dev/null",
        "--header",
        header,
        &url,
    ];
    let attack = |number: usize| -> Result<()> {
        let name = format!("short-{number}");
        let _container = engine.run(&name, &[], &act)?;
        agent.wait_for(&name, |event| {
            event.is_between(&name, "web") && event.signature().contains("Shellshock")
        })?;
        Ok(())
    };
    let (attacks, delays) = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&stop));
        let attacks = (0..CONTAINERS).try_for_each(attack);
        stop.store(true, Ordering::Relaxed);
        (attacks, watcher.join())
    });
    attacks?;
    let mut delays = delays.map_err(|_| anyhow::anyhow!("the watcher panicked"))??;
    delays.sort();
    println!(
        "from Docker making a link to both hooks: median {:?}, worst {:?} of {}",
        delays[delays.len() / 2],
        delays[delays.len() - 1],
        delays.len()
    );
    let stats = agent.settle()?;
    println!(
        "from its announcement, by the agent: {}",
        stats.at("/stats/sensor")
    );
    agent.stop()?;
    Ok(())
}
