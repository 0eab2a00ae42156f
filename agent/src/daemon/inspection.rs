//! One inspection thread: a ring, an inspector, nothing shared but the rules and its own figures.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::SyncSender,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use hydrophone_common::record::Record;
use hydrophone_inspect::{
    EventTypes, FlowDirective, Inspector, InspectorLimits, InspectorStats, Signal, SignalSink,
    engine::Engine,
};

use super::correlation::Message;
use crate::{
    intake,
    probe::{Clock, RingReader, Wake},
    telemetry::Figures,
};

/// Records between two looks at everything else.
const BATCH: usize = 512;
/// Longest time between two ticks.
const TICK: Duration = Duration::from_millis(500);

/// What a thread tells about itself.
#[derive(Debug, Default)]
pub(super) struct Shared {
    stats: Mutex<InspectorStats>,
    signals_lost: AtomicU64,
    records_refused: AtomicU64,
}

impl Shared {
    /// The inspector's counters, as of its last tick.
    pub(super) fn stats(&self) -> InspectorStats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what the inspector itself cannot count.
    pub(super) fn add_to(&self, figures: &mut Figures) {
        for (name, counter) in [
            ("signals_lost", &self.signals_lost),
            ("records_refused", &self.records_refused),
        ] {
            *figures.entry(name).or_default() += counter.load(Ordering::Relaxed);
        }
    }
}

/// The thread, before it runs.
pub(super) struct Stage {
    ring: RingReader,
    rules: Arc<ArcSwap<Engine>>,
    engine: Arc<Engine>,
    inspector: Inspector,
    outbox: Outbox,
    /// What is not over at the end is told.
    conclude: bool,
    shared: Arc<Shared>,
}

impl Stage {
    pub(super) fn new(
        ring: RingReader,
        rules: Arc<ArcSwap<Engine>>,
        limits: InspectorLimits,
        queue: SyncSender<Vec<Message>>,
        shared: Arc<Shared>,
    ) -> Self {
        let engine = rules.load_full();
        let inspector = Inspector::new(Arc::clone(&engine), limits);
        Self {
            ring,
            rules,
            engine,
            inspector,
            outbox: Outbox {
                queue,
                messages: Vec::new(),
            },
            conclude: limits.events != EventTypes::NONE,
            shared,
        }
    }

    pub(super) fn spawn(mut self, index: usize) -> io::Result<JoinHandle<()>> {
        thread::Builder::new()
            .name(format!("inspect-{index}"))
            .spawn(move || self.run())
    }

    fn run(&mut self) {
        let mut ticked = Instant::now();
        let mut clock = Clock::now();
        loop {
            let wake = match self.ring.wait(TICK) {
                Ok(wake) => wake,
                Err(error) => {
                    tracing::error!(%error, "an inspection thread ends");
                    return;
                }
            };
            while self.batch(clock) {
                self.outbox.flush(&self.shared);
                if ticked.elapsed() >= TICK {
                    ticked = Instant::now();
                    clock = self.tick();
                }
            }
            self.outbox.flush(&self.shared);
            if ticked.elapsed() >= TICK || wake == Wake::Shutdown {
                ticked = Instant::now();
                clock = self.tick();
            }
            if wake == Wake::Shutdown {
                if self.conclude {
                    self.inspector.finish(&mut self.outbox);
                }
                self.outbox.flush(&self.shared);
                return;
            }
        }
    }

    /// Takes in at most [`BATCH`] records; whether there may be more.
    fn batch(&mut self, clock: Clock) -> bool {
        let Self {
            ring,
            inspector,
            outbox,
            shared,
            ..
        } = self;
        for _ in 0..BATCH {
            let taken = ring.next(|raw| match Record::decode(raw) {
                Ok(record) => inspector.packet(&intake::kernel::packet(&record, clock), outbox),
                Err(_) => {
                    shared.records_refused.fetch_add(1, Ordering::Relaxed);
                }
            });
            if !taken {
                return false;
            }
        }
        true
    }

    /// Ages flows, takes up new rules, publishes figures.
    fn tick(&mut self) -> Clock {
        self.inspector.tick(Clock::wall_now(), &mut self.outbox);
        let current = self.rules.load();
        if !Arc::ptr_eq(&current, &self.engine) {
            self.engine = Arc::clone(&current);
            self.inspector.replace_engine(Arc::clone(&current));
        }
        // Whoever reads holds it for a copy only; if it is held now, the next tick publishes.
        if let Ok(mut stats) = self.shared.stats.try_lock() {
            *stats = self.inspector.stats();
        }
        Clock::now()
    }
}

/// Signals of one batch, sent together.
struct Outbox {
    queue: SyncSender<Vec<Message>>,
    messages: Vec<Message>,
}

impl Outbox {
    /// Never blocks: what the correlator cannot take is lost and counted.
    fn flush(&mut self, shared: &Shared) {
        if self.messages.is_empty() {
            return;
        }
        let messages = core::mem::take(&mut self.messages);
        let count = messages.len() as u64;
        if self.queue.try_send(messages).is_err() {
            shared.signals_lost.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl SignalSink for Outbox {
    fn signal(&mut self, signal: Signal) {
        self.messages.push(Message::Signal(signal));
    }

    fn directive(&mut self, directive: FlowDirective) {
        self.messages.push(Message::Directive(directive));
    }
}
