//! The correlation thread: signals of all inspection threads to findings, wishes to budgets.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use hydrophone_inspect::{
    BehaviorConfig, Correlator, FlowDirective, Signal, Timestamp, Views, engine::Engine,
};

use super::paths::{HostPaths, flow_key};
use crate::{
    alert::FindingQueue,
    probe::{Budgets, Clock},
    telemetry::{self, Figures},
};

/// Batches of messages that wait for the thread; one batch is at most what 512 packets led to.
pub(super) const QUEUE: usize = 1_024;
const TICK: Duration = Duration::from_millis(250);

/// What an inspection thread sends.
#[expect(
    clippy::large_enum_variant,
    reason = "most are signals: a box would be an allocation for each"
)]
pub(super) enum Message {
    Signal(Signal),
    Directive(FlowDirective),
}

/// Starts the thread. It ends when the last inspection thread has. `patience` is for how long what
/// one view of a translated connection tells waits for the other.
pub(super) fn start(
    config: BehaviorConfig,
    engine: Arc<ArcSwap<Engine>>,
    patience: Duration,
    messages: Receiver<Vec<Message>>,
    findings: FindingQueue,
    paths: HostPaths,
    figures: Arc<Mutex<Figures>>,
) -> io::Result<JoinHandle<()>> {
    let patience = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
    let mut stage = Stage {
        engine,
        correlator: Correlator::new(config),
        views: Views::new(patience),
        findings,
        paths,
        figures,
        ticked: Instant::now(),
    };
    thread::Builder::new()
        .name("correlate".to_owned())
        .spawn(move || stage.run(&messages))
}

struct Stage {
    engine: Arc<ArcSwap<Engine>>,
    correlator: Correlator,
    views: Views,
    findings: FindingQueue,
    paths: HostPaths,
    figures: Arc<Mutex<Figures>>,
    ticked: Instant,
}

impl Stage {
    fn run(&mut self, messages: &Receiver<Vec<Message>>) {
        self.correlator.filter_by(self.engine.load().filters());
        loop {
            match messages.recv_timeout(self.until_due()) {
                Ok(batch) => self.batch(batch),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.release(Clock::wall_now());
            if self.ticked.elapsed() >= TICK {
                self.tick();
            }
        }
        self.release(Timestamp(u64::MAX));
        self.correlator.finish(&mut self.findings);
    }

    /// How long there is nothing to do but wait for messages.
    fn until_due(&self) -> Duration {
        let due = self.views.next_due();
        let left = due.map(|due| Duration::from_nanos(due.since(Clock::wall_now())));
        left.map_or(TICK, |left| left.min(TICK))
    }

    fn batch(&mut self, batch: Vec<Message>) {
        // What the kernel told before it let these packets pass is known now.
        self.paths.nat.refresh();
        let now = Clock::wall_now();
        for message in batch {
            match message {
                Message::Signal(signal) => {
                    let (correlator, findings) = (&mut self.correlator, &mut self.findings);
                    let tell = &mut |signal| correlator.signal(signal, findings);
                    self.views.signal(signal, now, &mut self.paths, tell);
                }
                Message::Directive(directive) => apply(&mut self.paths.flows, &directive),
            }
        }
    }

    fn release(&mut self, now: Timestamp) {
        if self.views.next_due().is_some_and(|due| due <= now) {
            self.paths.nat.refresh();
            let (correlator, findings) = (&mut self.correlator, &mut self.findings);
            let tell = &mut |signal| correlator.signal(signal, findings);
            self.views.release(now, &mut self.paths, tell);
        }
    }

    fn tick(&mut self) {
        self.ticked = Instant::now();
        self.correlator.filter_by(self.engine.load().filters());
        self.correlator.tick(Clock::wall_now(), &mut self.findings);
        let mut stats = telemetry::behavior(&self.correlator.stats());
        stats.extend(telemetry::views(&self.views.stats()));
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }
}

/// Changes the budget of a flow direction. A flow that the kernel has given up meanwhile starts with
/// a budget anyway.
fn apply(budgets: &mut Budgets, directive: &FlowDirective) {
    let (key, direction) = flow_key(
        directive.source,
        directive.destination,
        directive.protocol,
        directive.scope,
    );
    if let Err(error) = budgets.set(&key, direction, directive.more.into()) {
        tracing::debug!(%error, "a capture budget was not changed");
    }
}
