//! `cargo xtask bench`: what watching costs the traffic that is watched.
//!
//! Three ways side by side in one run, in turns: agent off, agent on, tcpdump on the same link. Each
//! figure is shown as a ratio to "off" of the same round; the medians are what counts.

mod engine;
mod load;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use hydrophone_tests::{Agent, Container, Options, program, wait_for};
use rustix::{param::clock_ticks_per_second, process::geteuid};
use serde_json::Value;

use crate::{
    command::build_agent,
    setup::{Group, setup},
};
pub(crate) use engine::Engine;
pub(crate) use load::Load;

/// Seconds of each measurement.
const SECONDS: u64 = 3;
const IPERF_PORT: u16 = 5_201;

/// How the link is watched in one measurement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watch {
    Off,
    Agent,
    Tcpdump,
}

const WAYS: [(Watch, &str); 3] = [
    (Watch::Off, "off"),
    (Watch::Agent, "hydrophone"),
    (Watch::Tcpdump, "tcpdump"),
];

/// One measurement.
#[derive(Clone, Copy, Default)]
struct Figures {
    /// Gbit/s of one bulk flow.
    bulk: f64,
    /// Requests a second of 64 bytes over eight connections.
    requests: f64,
    /// CPU seconds of the watcher while the bulk flow ran, and while the requests did.
    cpu: [f64; 2],
}

/// Measures `rounds` times each way and prints the table.
pub(crate) fn bench(root: &Path, rounds: usize) -> Result<()> {
    ensure!(
        geteuid().is_root(),
        "the benchmark starts containers of its own and needs root"
    );
    ensure!(rounds > 0, "at least one round");
    setup(root, Group::Test)?;
    let agent = build_agent(root, "release")?;
    let engine = hydrophone_tests::Engine::start()?;
    let this = std::env::current_exe()?;
    let mount = format!("{}:/bench:ro", this.display());
    let server = engine.run("server", &["-v", &mount], &["/bench", "load", "serve"])?;
    let client = engine.run("client", &["-v", &mount], &["busybox", "sleep", "1000000"])?;
    server.exec(&["iperf3", "--server", "--daemon"])?;
    server.wait_until_listening(IPERF_PORT)?;
    server.wait_until_listening(load::PORT)?;

    let mut options = Options::new(&engine);
    options.binary = Some(agent);
    let mut table: [Vec<Figures>; 3] = Default::default();
    for round in 0..rounds {
        for ((way, name), column) in WAYS.into_iter().zip(&mut table) {
            let figures = measure(way, &options, &server, &client)?;
            println!(
                "round {} {name:<10} {:6.2} Gbit/s {:8.0} requests/s",
                round + 1,
                figures.bulk,
                figures.requests
            );
            column.push(figures);
        }
    }
    print_table(&table);
    Ok(())
}

fn measure(
    way: Watch,
    options: &Options,
    server: &Container<'_>,
    client: &Container<'_>,
) -> Result<Figures> {
    let agent = (way == Watch::Agent)
        .then(|| Agent::start(options))
        .transpose()?;
    let mut tcpdump = (way == Watch::Tcpdump)
        .then(|| start_tcpdump(server))
        .transpose()?;
    let watcher = agent
        .as_ref()
        .map(Agent::pid)
        .or(tcpdump.as_ref().map(Child::id));
    let cpu = || watcher.map_or(Ok(0.0), cpu_seconds);

    let before = cpu()?;
    let seconds = SECONDS.to_string();
    let report = client.exec(&["iperf3", "-J", "-t", &seconds, "-c", server.ipv4()])?;
    let report: Value = serde_json::from_str(&report.stdout).context("iperf3's report")?;
    let bits = report
        .pointer("/end/sum_received/bits_per_second")
        .and_then(Value::as_f64);
    let between = cpu()?;
    let requests = client.exec(&["/bench", "load", "ask", server.ipv4(), &seconds])?;
    let after = cpu()?;

    if let Some(agent) = agent {
        agent.stop()?;
    }
    if let Some(tcpdump) = &mut tcpdump {
        tcpdump.kill()?;
        tcpdump.wait()?;
    }
    Ok(Figures {
        bulk: bits.context("iperf3 reports no throughput")? / 1e9,
        requests: requests.stdout.parse().context("requests a second")?,
        cpu: [between - before, after - between],
    })
}

/// tcpdump as an analyst starts it: whole packets to a file.
fn start_tcpdump(server: &Container<'_>) -> Result<Child> {
    let link = server.link()?;
    let child = Command::new(program("tcpdump")?)
        .args(["-n", "-i", &link, "-w", "/dev/null"])
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start tcpdump")?;
    // It listens once it has its packet socket.
    let sockets = format!("/proc/{}/net/packet", child.id());
    wait_for(
        "tcpdump listens",
        std::time::Duration::from_secs(10),
        || Ok((fs::read_to_string(&sockets)?.lines().count() > 1).then_some(())),
    )?;
    Ok(child)
}

/// User and system time of a process so far.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field, the name, may have blanks; it ends with the last parenthesis.
    let fields = stat
        .rsplit_once(')')
        .map(|(_, fields)| fields)
        .unwrap_or_default();
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().unwrap_or_default())
        .sum();
    let second = u32::try_from(clock_ticks_per_second())?;
    Ok(ticks / f64::from(second))
}

fn print_table(table: &[Vec<Figures>; 3]) {
    let [off, ..] = table;
    println!(
        "\nMedians of {} rounds; in brackets the ratio to \"off\" round by round.\n",
        off.len()
    );
    println!(
        "| | bulk, Gbit/s | small messages, requests/s | CPU s of the watcher, bulk | … small |"
    );
    println!("|---|---|---|---|---|");
    for ((_, name), column) in WAYS.into_iter().zip(table) {
        let show = |of: fn(&Figures) -> f64, precision: usize| {
            let values = column.iter().map(of).collect();
            let ratios = column.iter().zip(off).map(|(a, b)| of(a) / of(b)).collect();
            format!("{:.precision$} ({:.3})", median(values), median(ratios))
        };
        let cpu = |index: usize| {
            let values = column
                .iter()
                .map(|f| f.cpu.get(index).copied().unwrap_or_default());
            format!("{:.2}", median(values.collect()))
        };
        println!(
            "| {name} | {} | {} | {} | {} |",
            show(|f| f.bulk, 2),
            show(|f| f.requests, 0),
            cpu(0),
            cpu(1)
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
