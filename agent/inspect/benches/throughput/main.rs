//! Packets a second on one thread, from bytes to findings: `cargo xtask bench engine`.
//!
//! Over a made-up mix of service traffic, and over the captures under `HYDROPHONE_CORPUS` when that
//! names a directory, with more and more rules. The baseline of each line is the same traffic without
//! rules, in the same run. `--once RULES (SESSIONS|captures)` runs one of them once under the name
//! [`measured`], for callgrind.

#[path = "../../tests/support/frames.rs"]
mod frames;
mod mix;
mod store;
mod tls;

use std::{env, fs, hint::black_box, path::PathBuf, sync::Arc, time::Instant};

use hydrophone_inspect::{
    Inspector, InspectorLimits, Signal, SignalSink, Timestamp,
    engine::Engine,
    rule::{Rule, RuleSet, RuleSetBuilder, STARTER, STARTER_NAME, Variables},
};
use rustix::time::{ClockId, clock_gettime};
use store::Store;

/// Each figure is the best of several runs.
const RUNS: usize = 3;
/// Conversations of the mix, and of the input for callgrind.
const SESSIONS: usize = 12_000;
const SESSIONS_ONCE: usize = 600;
const SECOND: u64 = 1_000_000_000;

#[derive(Default)]
struct Count {
    matches: u64,
}

impl SignalSink for Count {
    fn signal(&mut self, signal: Signal) {
        if matches!(black_box(signal), Signal::Match { .. }) {
            self.matches += 1;
        }
    }
}

fn main() {
    let corpus = env::var_os("HYDROPHONE_CORPUS").map(PathBuf::from);
    let set = rules(corpus.as_ref());
    let arguments: Vec<String> = env::args().collect();
    if let Some(at) = arguments.iter().position(|it| it == "--once") {
        let number = |at: usize| arguments.get(at).and_then(|it| it.parse().ok());
        let engine = Arc::new(Engine::new(&part(
            &set,
            number(at + 1).unwrap_or(usize::MAX),
        )));
        let stores = match (&corpus, arguments.get(at + 2).map(String::as_str)) {
            (Some(corpus), Some("captures")) => {
                let captures = store::captures(corpus).unwrap_or_default();
                captures.into_iter().map(|(_, it)| it).collect()
            }
            _ => vec![mix::mix(number(at + 2).unwrap_or(SESSIONS_ONCE))],
        };
        let packets: usize = stores.iter().map(Store::len).sum();
        let found = measured(&engine, &stores);
        println!("{packets} packets, {found} matches");
        return;
    }
    let mut traffic = vec![("service mix", vec![mix::mix(SESSIONS)])];
    match &corpus {
        None => println!(
            "HYDROPHONE_CORPUS names no directory: no captures, and the starter rules alone"
        ),
        Some(corpus) => match store::captures(corpus) {
            Ok(captures) => {
                traffic.push(("captures", captures.into_iter().map(|(_, it)| it).collect()));
            }
            Err(error) => eprintln!("{}: {error}", corpus.display()),
        },
    }
    println!(
        "{:<14}{:>8}{:>12}{:>9}{:>10}{:>12}{:>11}{:>9}",
        "", "rules", "packets/s", "Gbit/s", "CPU s/GB", "matches", "vs. none", "bytes"
    );
    for (name, stores) in &traffic {
        let mut baseline = None;
        for count in [0, 1_000, 10_000, usize::MAX] {
            let set = part(&set, count);
            if count > 0 && count < usize::MAX && set.rules.len() < count {
                continue;
            }
            report(name, &set, stores, &mut baseline);
        }
    }
}

/// Every rule that the measurement can have.
fn rules(corpus: Option<&PathBuf>) -> RuleSet {
    let mut variables = Variables::default();
    variables.set("EXTERNAL_NET", "any");
    let mut builder = RuleSetBuilder::new(variables);
    builder.add_source(STARTER_NAME, STARTER);
    if let Some(corpus) = corpus {
        let path = corpus.join("rules/et-open.rules");
        match fs::read(&path) {
            Ok(text) => builder.add_source("et-open.rules", &String::from_utf8_lossy(&text)),
            Err(error) => eprintln!("{}: {error}", path.display()),
        }
    }
    builder.build().0
}

/// `count` rules, evenly from all of them.
fn part(set: &RuleSet, count: usize) -> RuleSet {
    let all = set.rules.len();
    let rules: Vec<Arc<Rule>> = (0..all)
        .filter(|at| count >= all || at * count / all != (at + 1) * count / all)
        .filter_map(|at| set.rules.get(at).cloned())
        .collect();
    RuleSet {
        rules,
        ..RuleSet::default()
    }
}

fn report(name: &str, set: &RuleSet, stores: &[Store], baseline: &mut Option<f64>) {
    let engine = Arc::new(Engine::new(set));
    let mut best = (f64::INFINITY, f64::INFINITY);
    let mut matches = 0;
    for _ in 0..RUNS {
        let (start, cpu) = (Instant::now(), cpu_seconds());
        matches = measured(&engine, stores);
        best.0 = best.0.min(start.elapsed().as_secs_f64());
        best.1 = best.1.min(cpu_seconds() - cpu);
    }
    let packets: usize = stores.iter().map(Store::len).sum();
    let bytes: u64 = stores.iter().map(Store::wire_bytes).sum();
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (packets, bytes) = (packets as f64, bytes as f64);
    // By CPU time: what else runs on the machine says nothing about the engine.
    let rate = packets / best.1;
    let none = *baseline.get_or_insert(rate);
    println!(
        "{name:<14}{:>8}{rate:>12.0}{:>9.2}{:>10.2}{matches:>12}{:>11.3}{:>9.0}",
        set.rules.len(),
        bytes * 8.0 / best.1 / 1e9,
        best.1 / bytes * 1e9,
        rate / none,
        bytes / packets,
    );
}

/// Everything that is measured.
#[inline(never)]
fn measured(engine: &Arc<Engine>, stores: &[Store]) -> u64 {
    let mut count = Count::default();
    for store in stores {
        let limits = InspectorLimits::default();
        let mut inspector = Inspector::new(Arc::clone(engine), limits);
        let mut ticked = Timestamp::default();
        for packet in store.packets() {
            inspector.packet(&packet, &mut count);
            if packet.timestamp.since(ticked) >= SECOND {
                ticked = packet.timestamp;
                inspector.tick(ticked, &mut count);
            }
        }
        inspector.finish(&mut count);
    }
    count.matches
}

/// CPU time of this thread so far.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let (seconds, nanoseconds) = (time.tv_sec as f64, time.tv_nsec as f64);
    seconds + nanoseconds / 1e9
}
