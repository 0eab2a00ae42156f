//! The ledger of a real agent on real containers: what it says of the past is what Docker said then.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use hydrophone_tests::{Agent, Container, Engine, Options, run, wait_for};
use rustix::process::Signal;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);
const SLEEP: [&str; 3] = ["busybox", "sleep", "1000000"];

/// The ledger as its user asks it.
struct Ledger {
    directory: PathBuf,
}

impl Ledger {
    /// Exit code and standard output of a command.
    fn ask(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let output = Command::new(Agent::binary()?)
            .args(arguments)
            .env("HYDROPHONE_LEDGER_DIRECTORY", &self.directory)
            .output()?;
        let code = output.status.code().context("killed")?;
        ensure!(code == 0 || code == 6, "{arguments:?}: {output:?}");
        Ok((code, String::from_utf8(output.stdout)?))
    }

    fn who(&self, what: &str, at: &str) -> Result<Value> {
        let (_, text) = self.ask(&["who", what, "--at", at, "--format", "json"])?;
        let answer: Value = serde_json::from_str(&text)?;
        let sound = answer.pointer("/chain/sound");
        ensure!(sound == Some(&true.into()), "{answer}");
        Ok(answer)
    }

    /// Names and certainties of those who answer. Containers of other engines on this machine have
    /// no name here.
    fn names(&self, what: &str, at: &str) -> Result<Vec<(String, String)>> {
        let answer = self.who(what, at)?;
        let answers = answer.pointer("/answers").and_then(Value::as_array);
        let text = |one: &Value, pointer| Some(one.pointer(pointer)?.as_str()?.to_owned());
        Ok(answers
            .into_iter()
            .flatten()
            .filter_map(|one| text(one, "/facts/name").zip(text(one, "/certainty")))
            .collect())
    }

    /// Waits until the ledger names a container as the one that has the address now.
    fn wait_for(&self, address: &str, name: &str) -> Result<()> {
        let known = [(name.to_owned(), "certain".to_owned())];
        wait_for(&format!("{name} has {address}"), PATIENCE, || {
            Ok((self.names(address, "now")? == known).then_some(()))
        })
        .with_context(|| format!("{:?}", self.who(address, "now")))
    }

    fn wait_until_nobody_has(&self, address: &str) -> Result<()> {
        wait_for(&format!("nobody has {address}"), PATIENCE, || {
            Ok(self.names(address, "now")?.is_empty().then_some(()))
        })
    }
}

/// The wall clock as `date` would write it, to the microsecond.
fn now() -> Result<String> {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let seconds = format!("@{}", elapsed.as_secs());
    let text = run("date", &["-u", "-d", &seconds, "+%Y-%m-%dT%H:%M:%S"])?.stdout;
    Ok(format!("{text}.{:06}Z", elapsed.subsec_micros()))
}

/// What Docker says of a container.
struct Truth {
    id: String,
    image: String,
    mac: String,
    link: String,
    cgroup: u64,
}

fn truth(engine: &Engine, container: &Container<'_>) -> Result<Truth> {
    let format = "{{.Image}} {{range .NetworkSettings.Networks}}{{.MacAddress}}{{end}}";
    let known = engine
        .docker(&["inspect", "--format", format, container.id()])?
        .stdout;
    let (image, mac) = known.split_once(' ').context("two words")?;
    Ok(Truth {
        id: container.id().to_owned(),
        image: image.to_owned(),
        mac: mac.to_owned(),
        link: container.link()?,
        cgroup: cgroup_of(container.pid())?,
    })
}

/// Inode of a process's cgroup2 directory.
fn cgroup_of(pid: u32) -> Result<u64> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let root = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let place = words.next()?;
        (words.next()? == "cgroup2").then_some(place)
    });
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let path = Path::new(root.context("cgroup2")?).join(path.context("no cgroup")?);
    Ok(fs::metadata(path)?.ino())
}

fn certain(name: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), "certain".to_owned())]
}

#[test]
fn the_past_is_what_docker_said_then() -> Result<()> {
    let engine = Engine::start()?;
    let directory = engine.folder().join("ledger");
    let options = Options::new(&engine).set("ledger", "directory", directory.display().to_string());
    let ledger = Ledger { directory };
    let agent = Agent::start(&options)?;
    let before = now()?;
    let gateway = engine.gateway();
    let (network, _) = gateway.rsplit_once('.').context("an IPv4 address")?;
    let address = format!("{network}.77");
    let fixed = ["--ip", &address, "--label=com.docker.compose.service=front"];

    let first = engine.run("first", &fixed, &SLEEP)?;
    let known = truth(&engine, &first)?;
    ledger.wait_for(&address, "first")?;
    let while_first = now()?;
    first.remove()?;
    ledger.wait_until_nobody_has(&address)?;
    let between = now()?;
    let second = engine.run("second", &fixed, &SLEEP)?;
    let other = truth(&engine, &second)?;
    ledger.wait_for(&address, "second")?;
    let while_second = now()?;
    // A killed agent speaks for the time up to its last line: one more is needed after that time.
    let witness = engine.run("witness", &[], &SLEEP)?;
    ledger.wait_for(witness.ipv4(), "witness")?;

    // The agent dies; one container goes and another comes while nobody looks.
    agent.signal(Signal::KILL)?;
    let mut agent = agent;
    let _killed = agent.wait()?;
    drop(agent);
    second.remove()?;
    let third = engine.run("third", &fixed, &SLEEP)?;
    let unwatched = now()?;
    let answer = ledger.who(&address, &unwatched)?;
    assert_eq!(answer["answers"][0]["certainty"], "possible", "{answer}");
    let agent = Agent::start(&options)?;
    ledger.wait_for(&address, "third")?;

    let past = Past {
        address: &address,
        held: [
            (&while_first, "first", &known),
            (&while_second, "second", &other),
        ],
        free: [&before, &between],
        unwatched: &unwatched,
    };
    past.check(&ledger)?;
    assert_eq!(ledger.names("third", "now")?, certain("third"));
    drop(third);

    // Nobody writes any more: the files are enough.
    let events = agent.stop()?;
    past.check(&ledger)?;
    let stats = events.iter().rev().find(|event| event.is_stats());
    let head = stats.context("stats")?.at("/stats/ledger/head");
    let anchor = format!("{}:{}", head["seq"], head["hash"].as_str().context("hash")?);
    let (code, text) = ledger.ask(&["ledger", "verify", "--anchor", &anchor])?;
    assert_eq!(code, 0, "{text}");
    let long_ago = ledger.who(&address, "2001-01-01T00:00:00Z")?;
    let unknown = long_ago["unknown"].as_str().unwrap_or_default();
    assert!(unknown.contains("does not reach back so far"), "{long_ago}");
    a_changed_line_is_named(&ledger)
}

/// What the test has noted.
struct Past<'a> {
    address: &'a str,
    /// When who had it.
    held: [(&'a str, &'a str, &'a Truth); 2],
    /// When nobody had it.
    free: [&'a str; 2],
    /// A time at which no agent ran, after the second had gone.
    unwatched: &'a str,
}

impl Past<'_> {
    fn check(&self, ledger: &Ledger) -> Result<()> {
        for (at, name, truth) in self.held {
            let facts = self.facts(ledger, at)?;
            let text = |pointer| facts.pointer(pointer).and_then(Value::as_str);
            assert_eq!(text("/facts/id"), Some(truth.id.as_str()));
            assert_eq!(text("/facts/image_digest"), Some(truth.image.as_str()));
            assert_eq!(text("/facts/owner/compose_service"), Some("front"));
            // By all else that it had then; by what only the other one has, never.
            let cgroup = truth.cgroup.to_string();
            for what in [
                self.address,
                &cgroup,
                &truth.id,
                &truth.mac,
                &truth.link,
                name,
            ] {
                assert_eq!(ledger.names(what, at)?, certain(name), "{what} at {at}");
            }
            for (_, other, of_other) in self.held.iter().filter(|held| held.1 != name) {
                let cgroup = of_other.cgroup.to_string();
                for what in [&cgroup, &of_other.id, &of_other.link, *other] {
                    assert_eq!(ledger.names(what, at)?, [], "{what} at {at}");
                }
            }
        }
        for at in self.free {
            assert_eq!(ledger.names(self.address, at)?, []);
        }
        let unsure = self.facts(ledger, self.unwatched)?;
        let text = |pointer| unsure.pointer(pointer).and_then(Value::as_str);
        assert_eq!(text("/facts/name"), Some("second"));
        assert_eq!(text("/certainty"), Some("possible"), "{unsure}");
        assert_eq!(text("/gone_by"), Some("not_seen_since"), "{unsure}");
        let [(at, ..), _] = self.held;
        let (_, table) = ledger.ask(&["containers", "--at", at])?;
        assert!(
            table.contains("first") && !table.contains("second"),
            "{table}"
        );
        Ok(())
    }

    /// The first answer of who had the address.
    fn facts(&self, ledger: &Ledger, at: &str) -> Result<Value> {
        let answer = ledger.who(self.address, at)?;
        let first = answer.pointer("/answers/0").cloned();
        first.with_context(|| format!("nobody had {} at {at}: {answer}", self.address))
    }
}

fn a_changed_line_is_named(ledger: &Ledger) -> Result<()> {
    let file = ledger.directory.join("ledger-0000000001.jsonl");
    let text = fs::read_to_string(&file)?;
    let line = text
        .lines()
        .position(|line| line.contains("\"first\""))
        .context("first")?
        + 1;
    fs::write(&file, text.replacen("\"first\"", "\"other\"", 1))?;
    let (code, text) = ledger.ask(&["ledger", "verify"])?;
    assert_eq!(code, 6, "{text}");
    let place = format!(
        "{}:{line}: the line is not the one that was sealed",
        file.display()
    );
    assert!(text.contains(&place), "{text}");
    Ok(())
}

/// A container that chose its name, labels and hostname to deceive is one line everywhere.
#[test]
fn a_hostile_identity_stays_one_line_on_a_terminal() -> Result<()> {
    let engine = Engine::start()?;
    let directory = engine.folder().join("ledger");
    let options = Options::new(&engine).set("ledger", "directory", directory.display().to_string());
    let ledger = Ledger { directory };
    let _agent = Agent::start(&options)?;
    let label = format!(
        "--label=app=a\n\u{1b}]0;x\u{7}\u{9b}\u{202e}\"}}{}",
        "x".repeat(60_000)
    );
    let hostile = engine.run("hostile", &[&label], &SLEEP)?;
    ledger.wait_for(hostile.ipv4(), "hostile")?;
    let (_, text) = ledger.ask(&["who", hostile.ipv4()])?;
    let safe =
        |character: char| character == '\n' || !character.is_control() && character != '\u{202e}';
    assert!(text.chars().all(safe), "{text:?}");
    assert!(text.contains("app=a\\u{a}\\u{1b}]0;x"), "{text}");
    let (code, text) = ledger.ask(&["ledger", "verify"])?;
    assert_eq!(code, 0, "{text}");
    Ok(())
}
