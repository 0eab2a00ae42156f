//! Many containers that live for a moment, and many links: everything is attributed, nothing leaks,
//! and what it costs is printed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use hydrophone_tests::{Agent, Engine, Event, Options, bpf_objects, run, wait_for};
use serde_json::{Value, json};

/// Containers that come, and how many are there at a time.
const LIVES: usize = 500;
const SLOTS: usize = 16;

/// What an agent holds.
#[derive(Clone, Debug)]
struct Held {
    memory: u64,
    files: usize,
    threads: usize,
    links: u64,
    covered: usize,
    flows: u64,
}

impl Held {
    fn read(agent: &Agent) -> Result<Self> {
        let events = agent.events();
        let stats = events
            .iter()
            .rev()
            .find(|event| event.is_stats())
            .context("no stats")?;
        let count = |folder: &str| {
            Ok::<_, anyhow::Error>(fs::read_dir(format!("/proc/{}/{folder}", agent.pid()))?.count())
        };
        Ok(Self {
            memory: agent.memory("VmRSS")?,
            files: count("fd")?,
            threads: count("task")?,
            links: stats.number("/stats/sensor/links_hooked"),
            covered: elements(agent, "COVERED")?,
            flows: stats.number("/stats/inspect/flows"),
        })
    }
}

/// Entries of one of the agent's maps.
fn elements(agent: &Agent, name: &str) -> Result<usize> {
    for (_, id) in bpf_objects(agent.pid())?
        .iter()
        .filter(|(kind, _)| *kind == "map")
    {
        let id = id.to_string();
        let shown = run("bpftool", &["--json", "map", "show", "id", &id])?.stdout;
        let shown: Value = serde_json::from_str(&shown)?;
        if shown.pointer("/name").and_then(Value::as_str) == Some(name) {
            let dump = run("bpftool", &["--json", "map", "dump", "id", &id])?.stdout;
            let dump: Value = serde_json::from_str(&dump)?;
            return Ok(dump.as_array().map_or(0, Vec::len));
        }
    }
    anyhow::bail!("the agent has no map {name}")
}

/// CPU time that a thread of the agent has used.
fn cpu(agent: &Agent, thread: &str) -> Result<Duration> {
    let mut ticks = 0;
    for entry in fs::read_dir(format!("/proc/{}/task", agent.pid()))? {
        let folder = entry?.path();
        // A thread that ends meanwhile has no more to tell.
        let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
        let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
        if name.trim() == thread {
            let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            let times = rest.split_whitespace().skip(11).take(2);
            ticks += times
                .filter_map(|ticks| ticks.parse::<u64>().ok())
                .sum::<u64>();
        }
    }
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_millis(ticks * 1_000 / per_second))
}

/// Docker's API without its client, which costs more than the container.
struct Api<'a>(&'a Engine);

impl Api<'_> {
    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let mut stream = UnixStream::connect(self.0.socket())?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        // What is sent and not read resets the connection.
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        write!(
            stream,
            "POST {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        ensure!(status.starts_with('2'), "{path}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        if body.trim().is_empty() {
            Ok(Value::Null)
        } else {
            Ok(serde_json::from_str(body)?)
        }
    }

    /// Runs a container to its end.
    fn run(&self, name: &str, address: &str, line: &str) -> Result<()> {
        let endpoint = json!({ "IPAMConfig": { "IPv4Address": address } });
        let container = json!({
            "Image": Engine::IMAGE,
            "Cmd": ["busybox", "sh", "-c", line],
            "HostConfig": {
                "Binds": ["/usr:/usr:ro", "/etc/alternatives:/etc/alternatives:ro"],
                "NetworkMode": Engine::NETWORK,
            },
            "NetworkingConfig": { "EndpointsConfig": { Engine::NETWORK: endpoint } },
        });
        self.post(&format!("/containers/create?name={name}"), &container)?;
        self.post(&format!("/containers/{name}/start"), &Value::Null)?;
        self.post(&format!("/containers/{name}/wait"), &Value::Null)?;
        Ok(())
    }
}

/// Address of a slot: used again by one container after another.
fn address_of(engine: &Engine, slot: usize) -> String {
    let gateway = engine.gateway();
    let network = gateway.rsplit_once('.').map_or("", |(network, _)| network);
    format!("{network}.{}", 100 + slot)
}

/// Has all containers live, each for 50 ms to 2 s: it makes one connection early or late in its life.
fn live(engine: &Engine, target: &str) -> Result<()> {
    let next = AtomicUsize::new(0);
    let one = |slot: usize| -> Result<()> {
        let address = address_of(engine, slot);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= LIVES {
                return Ok(());
            }
            let life = 50_000 + number * 1_950_000 / LIVES;
            let before = if number.is_multiple_of(2) { 0 } else { life };
            let line = format!(
                "usleep {before}; wget -q -O /dev/null http://{target}/hostname || exit 9; usleep {}",
                life - before
            );
            Api(engine).run(&format!("life{number}"), &address, &line)?;
        }
    };
    thread::scope(|scope| {
        let slots: Vec<_> = (0..SLOTS)
            .map(|slot| scope.spawn(move || one(slot)))
            .collect();
        slots.into_iter().try_for_each(|slot| {
            slot.join()
                .map_err(|_| anyhow::anyhow!("a slot panicked"))?
        })
    })
}

/// By name what Docker says: address, start and exit code.
fn truth(engine: &Engine) -> Result<BTreeMap<String, (String, i64)>> {
    let ids = engine
        .docker(&["ps", "-aq", "--filter", "name=life"])?
        .stdout;
    let format = "{{.Name}} {{.State.StartedAt}} {{.State.ExitCode}}";
    let mut arguments = vec!["inspect", "--format", format];
    arguments.extend(ids.lines());
    let text = engine.docker(&arguments)?.stdout;
    let mut known = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.trim_start_matches('/').split(' ').map(str::to_owned);
        let (name, start) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        known.insert(name, (start, words.next().unwrap_or_default().parse()?));
    }
    Ok(known)
}

/// Seconds since the epoch of a time that Docker or EVE has written.
fn seconds(time: &str) -> Result<f64> {
    Ok(run("date", &["-u", "-d", time, "+%s.%N"])?.stdout.parse()?)
}

#[test]
fn five_hundred_containers_that_live_for_a_moment_are_all_named() -> Result<()> {
    let engine = Engine::start()?;
    let target = engine.run_web("target")?;
    let directory = engine.folder().join("ledger");
    let options = Options::new(&engine)
        .set("ledger", "directory", directory.display().to_string())
        .set("events", "types", json!(["flow"]))
        .set("inspect", "timeout_closed", "1s")
        .set("inspect", "timeout_short", "10s")
        .set("census", "retention", "10s")
        .set("alert", "queue", 65_536);
    let agent = Agent::start(&options)?;
    agent.wait_for("stats", Event::is_stats)?;
    let before = Held::read(&agent)?;
    let start = Instant::now();
    live(&engine, target.ipv4())?;
    let took = start.elapsed();

    let truth = truth(&engine)?;
    assert_eq!(truth.len(), LIVES);
    let failed: Vec<_> = truth.iter().filter(|(_, (_, code))| *code != 0).collect();
    assert!(failed.is_empty(), "connections that failed: {failed:?}");
    let flows = || -> Vec<Event> {
        let mut events = agent.events();
        events.retain(|event| {
            event.text("/event_type") == "flow"
                && event.text("/dest_ip") == target.ipv4()
                && event.number("/dest_port") == 80
        });
        events
    };
    wait_for("all flows have ended", Duration::from_secs(60), || {
        Ok((flows().len() >= LIVES).then_some(()))
    })
    .with_context(|| format!("{} flows", flows().len()))?;

    let flows = flows();
    check_names(&engine, &flows)?;
    let delays = delays(&flows, &truth)?;
    check_ledger(&engine, &directory.display().to_string())?;

    println!("{LIVES} containers in {took:.1?}, {SLOTS} at a time");
    println!("first packet of a container after its start, in ms: {delays}");
    nothing_is_kept(&agent, &before)
}

/// What they held is given back once they are forgotten.
fn nothing_is_kept(agent: &Agent, before: &Held) -> Result<()> {
    // Other engines on this machine may have containers that do not rest.
    let last = || {
        let events = agent.events();
        let last = events.into_iter().rev().find(Event::is_stats);
        last.context("no stats")
    };
    wait_for("they are forgotten", Duration::from_secs(90), || {
        let stats = last()?;
        let rests = stats.number("/stats/census/gone") == 0
            && stats.number("/stats/inspect/flows") <= before.flows + 100;
        Ok(rests.then_some(()))
    })
    .with_context(|| format!("{:?}", Held::read(agent)))?;
    let after = Held::read(agent)?;
    let stats = last()?;
    println!(
        "before: {before:?}\nafter:  {after:?}\npeak memory: {} KiB",
        agent.memory("VmHWM")?
    );
    println!(
        "census: {}\nledger: {}",
        stats.at("/stats/census"),
        stats.at("/stats/ledger")
    );
    for thread in [
        "census",
        "census-cgroups",
        "census-links",
        "links",
        "ledger",
        "alert",
    ] {
        println!("cpu of {thread}: {:?}", cpu(agent, thread)?);
    }
    assert_eq!((after.links, after.covered), (before.links, before.covered));
    assert_eq!(stats.number("/stats/census/dropped"), 0);
    assert_eq!(stats.number("/stats/ledger/queue_lost"), 0);
    assert!(
        after.files <= before.files + 2,
        "descriptors: {before:?} {after:?}"
    );
    assert!(
        after.threads <= before.threads + 1,
        "threads: {before:?} {after:?}"
    );
    assert!(
        after.memory <= before.memory + (48 << 10),
        "memory: {before:?} {after:?}"
    );
    Ok(())
}

/// Each container made one flow; both its ends are named, each address by who had it then.
fn check_names(engine: &Engine, flows: &[Event]) -> Result<()> {
    let mut named = BTreeSet::new();
    let mut wrong = Vec::new();
    let addresses: Vec<_> = (0..SLOTS).map(|slot| address_of(engine, slot)).collect();
    for flow in flows {
        let is_slot = addresses
            .iter()
            .any(|address| address == flow.text("/src_ip"));
        if flow.source().starts_with("life") && flow.destination() == "target" && is_slot {
            named.insert(flow.source().to_owned());
        } else {
            wrong.push(flow.to_string());
        }
    }
    let shown: Vec<_> = wrong.iter().take(5).collect();
    ensure!(
        wrong.is_empty(),
        "{} of {} flows are not named: {shown:#?}",
        wrong.len(),
        flows.len()
    );
    ensure!(
        named.len() == LIVES,
        "{} containers of {LIVES} are named",
        named.len()
    );
    Ok(())
}

/// How long after its container's start each flow began: the least, the median, the most.
fn delays(flows: &[Event], truth: &BTreeMap<String, (String, i64)>) -> Result<String> {
    let mut delays = Vec::new();
    for flow in flows
        .iter()
        .filter(|flow| flow.source().starts_with("life"))
    {
        let number: usize = flow.source().trim_start_matches("life").parse()?;
        // Those that connect at once; some are enough.
        if number.is_multiple_of(10) {
            let (start, _) = truth.get(flow.source()).context("not Docker's")?;
            delays.push((seconds(flow.text("/flow/start"))? - seconds(start)?) * 1e3);
        }
    }
    delays.sort_by(f64::total_cmp);
    let at = |place: usize| delays.get(place).copied().unwrap_or_default();
    Ok(format!(
        "least {:.1}, median {:.1}, most {:.1} ({} flows)",
        at(0),
        at(delays.len() / 2),
        at(delays.len().saturating_sub(1)),
        delays.len()
    ))
}

fn is_life(name: &str) -> bool {
    name.starts_with("life")
}

/// Names of those that came, in all lines of the ledger.
fn names_in(directory: &str) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let text = fs::read_to_string(entry?.path())?;
        for line in text.lines() {
            let line: Value = serde_json::from_str(line)?;
            let name = line.pointer("/facts/name").and_then(Value::as_str);
            names.extend(name.filter(|name| is_life(name)).map(str::to_owned));
        }
    }
    Ok(names)
}

/// The ledger knows every one of them, and the chain is sound. One that ended before its namespace
/// was looked at and before Docker was asked has no address there: its flows are named by its cgroup.
fn check_ledger(engine: &Engine, directory: &str) -> Result<()> {
    let ask = |arguments: &[&str]| -> Result<String> {
        let mut command = Command::new(Agent::binary()?);
        let output = command
            .args(arguments)
            .args(["--ledger", directory])
            .output()?;
        ensure!(output.status.success(), "{arguments:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let mut named = BTreeSet::new();
    let start = Instant::now();
    for slot in 0..SLOTS {
        let address = address_of(engine, slot);
        let text = ask(&["who", &address, "--since", "-1h", "--format", "json"])?;
        let answer: Value = serde_json::from_str(&text)?;
        let answers = answer.pointer("/answers").and_then(Value::as_array);
        for one in answers.into_iter().flatten() {
            let name = one.pointer("/facts/name").and_then(Value::as_str);
            named.extend(name.filter(|name| is_life(name)).map(str::to_owned));
        }
    }
    println!(
        "a question to the ledger: {:?}",
        start.elapsed() / u32::try_from(SLOTS)?
    );
    println!("found by their address: {} of {LIVES}", named.len());
    let known = names_in(directory)?;
    ensure!(
        known.len() == LIVES,
        "the ledger names {} of {LIVES}",
        known.len()
    );
    println!("{}", ask(&["ledger", "verify"])?);
    Ok(())
}

/// Network namespaces that a test has made, each with a link to the host. They go with this.
struct Farm {
    prefix: String,
    count: usize,
}

impl Farm {
    fn batch(lines: &[String], family: &[&str]) -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), lines.join("\n"))?;
        let path = file.path().display().to_string();
        run("ip", &[family, &["-batch", path.as_str()]].concat())?;
        Ok(())
    }

    fn new(count: usize) -> Result<Self> {
        let prefix = format!("hf{}", std::process::id() % 100_000);
        let farm = Self { prefix, count };
        let spaces: Vec<_> = (0..count)
            .map(|n| format!("netns add {}", farm.space(n)))
            .collect();
        Self::batch(&spaces, &[])?;
        Ok(farm)
    }

    fn space(&self, number: usize) -> String {
        format!("{}-{number}", self.prefix)
    }

    /// Adds a veth into each of these namespaces.
    fn link(&self, numbers: std::ops::Range<usize>) -> Result<()> {
        let links: Vec<_> = numbers
            .map(|n| {
                let space = self.space(n);
                format!(
                    "link add {}v{n} up type veth peer name eth0 netns {space}",
                    self.prefix
                )
            })
            .collect();
        Self::batch(&links, &[])
    }

    fn unlink(&self, numbers: std::ops::Range<usize>) -> Result<()> {
        let links: Vec<_> = numbers
            .map(|n| format!("link del {}v{n}", self.prefix))
            .collect();
        Self::batch(&links, &[])
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        let spaces: Vec<_> = (0..self.count)
            .map(|n| format!("netns del {}", self.space(n)))
            .collect();
        if let Err(error) = Self::batch(&spaces, &["-force"]) {
            eprintln!("namespaces of the test: {error:#}");
        }
    }
}

fn hooked(agent: &Agent) -> Option<u64> {
    let events = agent.events();
    let stats = events.iter().rev().find(|event| event.is_stats())?;
    Some(stats.number("/stats/sensor/links_hooked"))
}

fn wait_for_links(agent: &Agent, wanted: u64) -> Result<Duration> {
    let start = Instant::now();
    wait_for(
        &format!("{wanted} links are hooked"),
        Duration::from_secs(300),
        || Ok((hooked(agent) == Some(wanted)).then_some(())),
    )
    .with_context(|| format!("{:?} are", hooked(agent)))?;
    Ok(start.elapsed())
}

#[test]
fn a_thousand_namespaces_are_watched() -> Result<()> {
    const LINKS: usize = 1_000;
    let engine = Engine::start()?;
    // Each attachment to a link waits for a grace period of the kernel (RCU).
    let mut options = Options::new(&engine);
    options.patience = Duration::from_secs(300);
    let start = Instant::now();
    let agent = Agent::start(&options)?;
    let (few_start, few) = (
        start.elapsed(),
        agent.settle().and_then(|_| Held::read(&agent))?,
    );
    agent.stop()?;
    let farm = Farm::new(LINKS)?;
    let start = Instant::now();
    farm.link(0..LINKS)?;
    let making = start.elapsed();

    // Those that are there when it starts.
    let start = Instant::now();
    let agent = Agent::start(&options)?;
    let many_start = start.elapsed();
    let all = few.links + LINKS as u64;
    wait_for_links(&agent, all)?;
    let many = agent.settle().and_then(|_| Held::read(&agent))?;
    println!("{LINKS} links made without an agent in {making:.1?}");
    println!(
        "start: {few_start:.2?} with {} links, {many_start:.2?} with {}",
        few.links, many.links
    );
    println!("few:  {few:?}\nmany: {many:?}");
    let per_link = many.memory.saturating_sub(few.memory) * 1_024 / LINKS as u64;
    println!(
        "{per_link} bytes of memory and {} descriptors a link",
        (many.files - few.files) as f64 / LINKS as f64
    );

    // Some go, and come while it watches.
    let some = 0..LINKS / 4;
    let start = Instant::now();
    farm.unlink(some.clone())?;
    wait_for_links(&agent, all - some.len() as u64)?;
    println!(
        "{} gone and let go of in {:.1?}",
        some.len(),
        start.elapsed()
    );
    let spent = cpu(&agent, "links")?;
    let start = Instant::now();
    farm.link(some)?;
    let made = start.elapsed();
    wait_for_links(&agent, all)?;
    println!(
        "made in {made:.1?}, all hooked in {:.1?}, {:?} of CPU",
        start.elapsed(),
        cpu(&agent, "links")? - spent
    );
    let stats = agent.settle()?;
    println!(
        "sensor: {}\ncensus: {}",
        stats.at("/stats/sensor"),
        stats.at("/stats/census")
    );
    println!(
        "census CPU: {:?}, of its reader of links {:?}",
        cpu(&agent, "census")?,
        cpu(&agent, "census-links")?
    );
    assert_eq!(stats.number("/stats/sensor/links_failed"), 0);
    farm.unlink(0..LINKS)?;
    wait_for_links(&agent, few.links)?;
    let after = agent.settle().and_then(|_| Held::read(&agent))?;
    println!("after: {after:?}");
    assert_eq!((after.links, after.covered), (few.links, few.covered));
    assert!(
        after.files <= few.files + 2,
        "descriptors: {few:?} {after:?}"
    );
    assert!(
        after.memory <= many.memory + (16 << 10),
        "memory: {many:?} {after:?}"
    );
    Ok(())
}
