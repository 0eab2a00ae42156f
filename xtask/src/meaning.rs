//! `cargo xtask meaning`: what `rules.meaning` does to a big set of other people's rules.
//!
//! Needs the directory that `HYDROPHONE_CORPUS` names: `rules/et-open.rules`, and `attacks/` with captures
//! and an `index.jsonl` that says which sids the reference engine raised.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use hydrophone_tests::{Agent, Container, Engine, Event, Options, ordinary, servers};
use serde_json::{Value, json};

use crate::command::build_agent;

/// Generator of rules; alerts of behaviours have another.
const RULE_GID: u64 = 1;
/// What is private: RFC 1918, and the range for benchmarks (RFC 2544) that the test's containers are in.
const PRIVATE: &str = "[10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,198.18.0.0/15]";
/// An address that nobody has.
const NOBODY: &str = "255.255.255.254";

const MEANINGS: [&str; 2] = ["classic", "identity"];

/// What one meaning gives.
#[derive(Default)]
struct Measured {
    loaded: u64,
    between: u64,
    /// Expected sids, each in each capture, and those of them that were raised.
    expected: usize,
    raised: usize,
    distinct: BTreeSet<u64>,
    /// Alerts about ordinary traffic, by sid and message.
    ordinary: BTreeMap<(u64, String), usize>,
    /// Packets inspected meanwhile.
    packets: u64,
}

/// Measures both meanings and prints a table.
pub(crate) fn meaning(root: &Path, binary: Option<PathBuf>) -> Result<()> {
    let Some(corpus) = env::var_os("HYDROPHONE_CORPUS").map(PathBuf::from) else {
        bail!(
            "HYDROPHONE_CORPUS names no directory: it is the one with `cases/`, `rules/` and `attacks/`"
        );
    };
    let corpus = corpus.canonicalize().context("HYDROPHONE_CORPUS")?;
    let binary = match binary {
        Some(binary) => std::path::absolute(binary)?,
        None => build_agent(root, "release")?,
    };
    let mut all = Vec::new();
    for meaning in MEANINGS {
        println!("# {meaning}");
        let mut measured = Measured::default();
        headers(&binary, &corpus, meaning, &mut measured)?;
        captures(&binary, &corpus, meaning, &mut measured)?;
        containers(&binary, &corpus, meaning, &mut measured)?;
        all.push(measured);
    }
    table(&all);
    Ok(())
}

fn rules(corpus: &Path) -> PathBuf {
    corpus.join("rules/et-open.rules")
}

/// How many rules can match between two private addresses, by their headers.
fn headers(binary: &Path, corpus: &Path, meaning: &str, measured: &mut Measured) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("meaning.yaml");
    fs::write(
        &config,
        json!({ "rules": { "meaning": meaning } }).to_string(),
    )?;
    let output = Command::new(binary)
        .args(["rules", "check", "--summary", "--config"])
        .arg(&config)
        .arg(rules(corpus))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |behind: &str| {
        text.lines()
            .find(|line| line.contains(behind))
            .and_then(|line| line.split(' ').next()?.parse().ok())
            .with_context(|| format!("no `{behind}` in {text}"))
    };
    measured.loaded = number("rules loaded")?;
    measured.between = number("between two private addresses")?;
    Ok(())
}

/// Replays every attack as if all its addresses were private.
fn captures(binary: &Path, corpus: &Path, meaning: &str, measured: &mut Measured) -> Result<()> {
    let attacks = corpus.join("attacks");
    let index = fs::read_to_string(attacks.join("index.jsonl")).context("attacks/index.jsonl")?;
    for line in index.lines().filter(|line| !line.trim().is_empty()) {
        let entry: Value = serde_json::from_str(line)?;
        let expected: BTreeSet<u64> = entry
            .get("alerts")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(sid, _)| sid.parse().ok())
            .collect();
        let file = entry
            .get("file")
            .and_then(Value::as_str)
            .context("an entry without a file")?;
        if expected.is_empty() {
            continue;
        }
        let seen = replay(binary, corpus, meaning, &attacks.join(file))?;
        measured.expected += expected.len();
        measured.raised += expected.intersection(&seen).count();
        measured.distinct.extend(expected.intersection(&seen));
    }
    Ok(())
}

fn replay(binary: &Path, corpus: &Path, meaning: &str, capture: &Path) -> Result<BTreeSet<u64>> {
    let mut command = Command::new(binary);
    command.arg("replay").arg(capture).arg("--rules");
    command.arg(rules(corpus));
    command.args(["--no-default-rules", "--format", "eve"]);
    command.arg(format!("--set=rules.meaning={meaning}"));
    if meaning == "classic" {
        // Every address is inside, and outside is nobody: as between containers.
        command.arg(
            "--set=rules.variables={\"HOME_NET\":\"any\",\"EXTERNAL_NET\":\"NOBODY\"}"
                .replace("NOBODY", NOBODY),
        );
    }
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "{}: {}",
        capture.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let events = String::from_utf8_lossy(&output.stdout);
    Ok(events
        .lines()
        .filter_map(Event::parse)
        .filter(is_of_a_rule)
        .map(|event| event.sid())
        .collect())
}

fn is_of_a_rule(event: &Event) -> bool {
    event.is_alert() && event.number("/alert/gid") == RULE_GID
}

/// Ordinary traffic between real containers.
fn containers(binary: &Path, corpus: &Path, meaning: &str, measured: &mut Measured) -> Result<()> {
    let engine = Engine::start()?;
    let web = [
        servers::nginx(&engine)?,
        servers::nghttpd(&engine)?,
        servers::etcd(&engine)?,
    ];
    let stores = [servers::redis(&engine)?, servers::postgres(&engine)?];
    let others = [
        servers::dnsmasq(&engine)?,
        servers::smtp(&engine)?,
        servers::ftp(&engine)?,
        servers::samba(&engine)?,
        servers::sshd(&engine)?,
    ];
    let client = engine.run_idle("client", &[])?;
    let mut options = Options::new(&engine)
        .set("rules", "files", vec![rules(corpus).display().to_string()])
        .set("rules", "no_default_rules", true)
        .set("rules", "meaning", meaning);
    if meaning == "classic" {
        let variables = json!({ "HOME_NET": PRIVATE, "EXTERNAL_NET": "!$HOME_NET" });
        options = options.set("rules", "variables", variables);
    }
    options.binary = Some(binary.to_owned());
    let agent = Agent::start(&options)?;
    let servers: Vec<&Container<'_>> = web.iter().chain(&stores).chain(&others).collect();
    let [.., sshd] = &others;
    for lines in [
        ordinary::web(),
        ordinary::downloads(),
        ordinary::data_stores()?,
        ordinary::names_mail_files_and_shells(sshd)?,
    ] {
        ordinary::run(&client, &servers, &lines)?;
    }
    let stats = agent.settle()?;
    measured.packets = stats.handed_over();
    for event in agent.stop()? {
        if is_of_a_rule(&event) {
            let told = (event.sid(), event.signature().to_owned());
            *measured.ordinary.entry(told).or_default() += 1;
        }
    }
    Ok(())
}

fn table(all: &[Measured]) {
    let row = |name: &str, cell: &dyn Fn(&Measured) -> String| {
        let cells: Vec<String> = all.iter().map(cell).collect();
        println!("| {name} | {} |", cells.join(" | "));
    };
    println!(
        "\n| | {} |\n|---|---|---|",
        MEANINGS.map(|name| format!("`{name}`")).join(" | ")
    );
    row("rules loaded", &|of| of.loaded.to_string());
    row("of them can match between two private addresses", &|of| {
        of.between.to_string()
    });
    row(
        "expected alerts of the attack captures, all addresses private",
        &|of| format!("{} of {}", of.raised, of.expected),
    );
    row("distinct rules among them", &|of| {
        of.distinct.len().to_string()
    });
    row("packets of ordinary traffic inspected", &|of| {
        of.packets.to_string()
    });
    row("alerts about it", &|of| {
        of.ordinary.values().sum::<usize>().to_string()
    });
    row("distinct rules among them", &|of| {
        of.ordinary.len().to_string()
    });
    for (meaning, measured) in MEANINGS.iter().zip(all) {
        println!("\nordinary traffic, {meaning}:");
        for ((sid, message), count) in &measured.ordinary {
            println!("{count:>6}  {sid}  {message}");
        }
    }
}
