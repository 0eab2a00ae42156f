//! `hydrophone run`: wiring and life cycle. No stage's logic is here.
//!
//! Threads: one `inspect-N` for each ring, `correlate`, `alert`, `links` (owns the probe), `nat`, `processes`,
//! one for each sink, and the caller's, which runs the census and waits for signals.

mod correlation;
mod inspection;
mod links;
mod paths;
mod processes;
mod replay;
mod rules;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use hydrophone_inspect::{InspectorLimits, InspectorStats, engine::Engine};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    alert::{self, AlertStage, Naming, Overflow, Sink, SinkFormat, escape::Hostile},
    census::{self, Census, CensusConfig},
    config::Config,
    ledger::{self, Ledger},
    nat::Nat,
    probe::{
        BareDevices, Counters, Instance, LoadOptions, Loaded, Probe, ProbeError, RingReader,
        Shutdown,
    },
    process::HostResolver,
    telemetry::{self, Upstream},
};

pub use replay::replay;
pub use rules::{Rules, load_rules};

/// How long the start may wait for a runtime to tell what is running already.
const RUNTIME_PATIENCE: Duration = Duration::from_secs(3);

/// Why the agent could not start or go on.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// The kernel side.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The rule files cannot be read, or none of their rules is right.
    #[error("{0}")]
    Rules(String),
    /// The operating system.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

fn io_error(what: &'static str) -> impl Fn(io::Error) -> DaemonError {
    move |source| DaemonError::Io { what, source }
}

/// Watches this host until it is told to stop.
///
/// # Errors
/// When something that it needs is missing. Nothing is left attached then.
pub fn run(config: &Config) -> Result<(), DaemonError> {
    let census = Census::new(&CensusConfig::from(&config.census))
        .map(Arc::new)
        .map_err(io_error("cannot look at the containers of this host"))?;
    let _instance = Instance::claim(census.cgroups().root())?;
    let rules = load_rules(&config.rules)?;
    rules.log();
    let engine = Arc::new(ArcSwap::from(Arc::clone(&rules.engine)));
    let shutdown = Shutdown::new()?;
    let Loaded {
        mut probe,
        rings,
        counters,
        budgets,
        processes,
        bare,
    } = load(config, &census, &shutdown)?;
    follow_bare(&census, bare);

    let (follower, process_figures) = processes::prepare(processes, &mut probe);
    let resolver = HostResolver::new(Arc::clone(&census), Arc::clone(&process_figures.processes));
    let (queue, signals) = mpsc::sync_channel(correlation::QUEUE);
    let (inspectors, figures) = inspectors(rings, config, &engine, &queue)?;
    drop(queue);

    let links = links::start(probe, &config.sensor, shutdown.clone())
        .map_err(io_error("cannot follow the links of this host"))?;
    let (nat, nat_thread) = Nat::start(shutdown.clone())
        .map_err(io_error("cannot start the thread for translations"))?;
    let behavior = Arc::new(Mutex::new(telemetry::Figures::new()));
    let ledger = config.ledger.enabled;
    let ledger = ledger.then(|| Ledger::start(config.into(), &census));
    let ledger = ledger
        .transpose()
        .map_err(io_error("cannot start the ledger's thread"))?;
    let sources = Sources {
        counters,
        inspectors: figures,
        census: Arc::clone(&census),
        links: links.figures(),
        nat: nat.clone(),
        behavior: Arc::clone(&behavior),
        processes: process_figures,
    };
    let upstream = upstream(sources, ledger.as_ref().map(Ledger::reporter));
    let sinks = sinks(config).map_err(io_error("cannot open the sinks"))?;
    let stage =
        AlertStage::new(&config.alert, resolver, sinks).naming(Naming::of_host(&config.census));
    let (findings, alerts) = alert::spawn(stage, &config.alert, upstream)
        .map_err(io_error("cannot start the alert thread"))?;
    let followed = processes::start(follower, config, Arc::clone(&census), findings.clone())
        .map_err(io_error("cannot follow the processes of this host"))?;
    let correlator = correlation::start(
        (&config.behavior).into(),
        Arc::clone(&engine),
        config.census.patience.0,
        signals,
        findings,
        paths::HostPaths {
            nat,
            flows: budgets,
        },
        behavior,
    )
    .map_err(io_error("cannot start the correlation thread"))?;

    let served = serve(config, &census, &links, &engine, rules.errors, &alerts);

    // The last `stats` event has the end of the chain.
    if let Some(ledger) = ledger {
        ledger.stop();
    }
    // In the order of the data: no new packets, then what is under way, then what it led to. The links
    // last: to let go of one waits for the kernel (a grace period of RCU), and with hundreds of them
    // a supervisor may lose its patience when all else has long been written.
    shutdown.trigger();
    followed.join();
    nat_thread.join();
    for inspector in inspectors {
        let _ended = inspector.join();
    }
    let _ended = correlator.join();
    let _figures = alerts.join();
    links.join();
    served
}

/// Loads the kernel side and attaches it to the sockets of all cgroups; links come later.
fn load(config: &Config, census: &Census, shutdown: &Shutdown) -> Result<Loaded, DaemonError> {
    let options = LoadOptions {
        host_namespace: census::own_namespace(),
        ..LoadOptions::from(&config.sensor)
    };
    let mut loaded = Probe::load(&options, shutdown)?;
    let root = census.cgroups().root().to_string_lossy();
    loaded.probe.attach_cgroup(&root)?;
    Ok(loaded)
}

/// Has the sockets' hooks inspect what passes no hooked link.
fn follow_bare(census: &Census, bare: BareDevices) {
    let bare = Mutex::new(bare);
    census.listen(Box::new(move |snapshot: &census::Snapshot| {
        let mut bare = bare.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = bare.set(snapshot.bare()) {
            tracing::error!(%error, "packets of some containers without a hooked link are not seen");
        }
    }));
}

/// Inspection threads, and what each counts.
type Inspectors = (Vec<JoinHandle<()>>, Vec<Arc<inspection::Shared>>);

/// Starts one thread for each ring.
fn inspectors(
    rings: Vec<RingReader>,
    config: &Config,
    engine: &Arc<ArcSwap<Engine>>,
    queue: &mpsc::SyncSender<Vec<correlation::Message>>,
) -> Result<Inspectors, DaemonError> {
    let limits = InspectorLimits::from(config);
    let mut threads = Vec::new();
    let mut figures = Vec::new();
    for (index, ring) in rings.into_iter().enumerate() {
        let shared = Arc::new(inspection::Shared::default());
        figures.push(Arc::clone(&shared));
        let stage = inspection::Stage::new(ring, Arc::clone(engine), limits, queue.clone(), shared);
        threads.push(
            stage
                .spawn(index)
                .map_err(io_error("cannot start an inspection thread"))?,
        );
    }
    Ok((threads, figures))
}

/// Runs the census until a signal ends the agent, or nobody reads its output any more.
fn serve(
    config: &Config,
    census: &Arc<Census>,
    links: &links::Links,
    engine: &ArcSwap<Engine>,
    mut left_out: usize,
    alerts: &alert::AlertThread,
) -> Result<(), DaemonError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(io_error("cannot start the control runtime"))?;
    let result = runtime.block_on(async {
        tokio::spawn(Arc::clone(census).run());
        let listen = |kind| signal(kind).map_err(io_error("cannot listen for signals"));
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut terminate = listen(SignalKind::terminate())?;
        let mut hangup = listen(SignalKind::hangup())?;
        announce(census, links).await;
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        loop {
            tokio::select! {
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                _ = hangup.recv() => reload(config, engine, &mut left_out),
                _ = tick.tick() => if alerts.is_finished() { return Ok(()) },
            }
        }
    });
    // A runtime that hangs must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(500));
    result
}

/// Says whom it watches, once the runtimes have been asked.
async fn announce(census: &Census, links: &links::Links) {
    let deadline = Instant::now() + RUNTIME_PATIENCE;
    while !census.is_informed() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let snapshot = census.snapshot();
    let live = snapshot.living();
    for container in live {
        let name = if container.name.is_empty() {
            &container.id
        } else {
            &container.name
        };
        let links: Vec<&str> = container
            .links
            .iter()
            .map(|(_, name)| name.as_str())
            .collect();
        eprintln!(
            "hydrophone:   {} ({}) on {}",
            Hostile(name),
            Hostile(&container.image),
            if links.is_empty() {
                "no link of its own".to_owned()
            } else {
                links.join(", ")
            },
        );
    }
    eprintln!(
        "hydrophone: watching {} containers on {} links",
        live.len(),
        links.attached()
    );
}

/// Reads the rules again. What cannot be read, or leaves out more rules than those in force did
/// (`left_out`), leaves the old ones in place: of a large set some rules are for other engines.
fn reload(config: &Config, engine: &ArcSwap<Engine>, left_out: &mut usize) {
    match load_rules(&config.rules) {
        Ok(mut rules) if rules.errors <= *left_out => {
            rules.log();
            *left_out = rules.errors;
            if let Some(new) = Arc::get_mut(&mut rules.engine) {
                new.adopt(&engine.load());
            }
            engine.store(rules.engine);
        }
        Ok(rules) => {
            rules.log();
            tracing::error!(
                errors = rules.errors,
                errors_in_force = *left_out,
                "rules not reloaded: the old ones stay in force"
            );
        }
        Err(error) => tracing::error!(%error, "rules not reloaded: the old ones stay in force"),
    }
}

fn sinks(config: &Config) -> io::Result<Vec<Sink>> {
    let mut sinks = Sink::syslog(&config.sinks.syslog)?;
    if config.sinks.stdout.enabled {
        let format = SinkFormat::for_stdout(config.alert.format);
        sinks.push(Sink::stdout(&config.sinks.stdout, format, Overflow::Count)?);
    }
    Ok(sinks)
}

/// Where the figures of a `stats` event are from.
struct Sources {
    counters: Counters,
    inspectors: Vec<Arc<inspection::Shared>>,
    census: Arc<Census>,
    links: Arc<links::Figures>,
    nat: Nat,
    behavior: Arc<Mutex<telemetry::Figures>>,
    processes: processes::Figures,
}

/// Gathers the figures of a `stats` event.
fn upstream(
    sources: Sources,
    ledger: Option<impl Fn() -> ledger::Report + Send + 'static>,
) -> impl FnMut() -> Upstream + Send + 'static {
    move || {
        let hooks = match sources.counters.read() {
            Ok(hooks) => telemetry::hooks(&hooks),
            Err(error) => {
                tracing::error!(%error, "the account of packets cannot be read");
                Default::default()
            }
        };
        let threads: Vec<InspectorStats> = sources
            .inspectors
            .iter()
            .map(|shared| shared.stats())
            .collect();
        let mut inspect = telemetry::inspection(&threads);
        for shared in &sources.inspectors {
            shared.add_to(&mut inspect);
        }
        inspect.extend(
            sources
                .behavior
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter(),
        );
        let mut sensor = sources.links.snapshot();
        sensor.extend(sources.nat.figures());
        Upstream {
            hooks,
            inspect,
            census: sources.census.figures().into(),
            sensor,
            ledger: ledger.as_ref().map(|report| report()),
            processes: sources.processes.snapshot(),
        }
    }
}

/// Files that are read again on `SIGHUP`, for the log.
fn shown(files: &[PathBuf]) -> String {
    files
        .iter()
        .map(|file| file.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
