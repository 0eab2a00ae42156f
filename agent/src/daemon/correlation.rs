//! The correlation thread: signals of all inspection threads to findings, wishes to budgets.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use hydrophone_common::flow::{FAMILY_IPV4, FAMILY_IPV6, FlowKey};
use hydrophone_inspect::{BehaviorConfig, Correlator, FlowDirective, Signal, engine::Engine};

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

/// Starts the thread. It ends when the last inspection thread has.
pub(super) fn start(
    config: BehaviorConfig,
    engine: Arc<ArcSwap<Engine>>,
    messages: Receiver<Vec<Message>>,
    mut findings: FindingQueue,
    mut budgets: Budgets,
    figures: Arc<Mutex<Figures>>,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("correlate".to_owned())
        .spawn(move || {
            let mut correlator = Correlator::new(config);
            correlator.filter_by(engine.load().filters());
            let mut ticked = Instant::now();
            loop {
                match messages.recv_timeout(TICK) {
                    Ok(batch) => {
                        for message in batch {
                            match message {
                                Message::Signal(signal) => correlator.signal(signal, &mut findings),
                                Message::Directive(directive) => apply(&mut budgets, &directive),
                            }
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                if ticked.elapsed() >= TICK {
                    ticked = Instant::now();
                    correlator.filter_by(engine.load().filters());
                    correlator.tick(Clock::wall_now(), &mut findings);
                    let stats = telemetry::behavior(&correlator.stats());
                    *figures.lock().unwrap_or_else(PoisonError::into_inner) = stats;
                }
            }
            correlator.finish(&mut findings);
        })
}

/// Changes the budget of a flow direction. A flow that the kernel has given up meanwhile starts with
/// a budget anyway.
fn apply(budgets: &mut Budgets, directive: &FlowDirective) {
    let (key, direction) = key(directive);
    if let Err(error) = budgets.set(&key, direction, directive.more.into()) {
        tracing::debug!(%error, "a capture budget was not changed");
    }
}

fn key(directive: &FlowDirective) -> (FlowKey, u8) {
    let words = |address| match address {
        IpAddr::V4(address) => FlowKey::ipv4(address.octets()),
        IpAddr::V6(address) => FlowKey::ipv6(address.octets()),
    };
    let (mut key, direction) = FlowKey::between(
        words(directive.source.address),
        words(directive.destination.address),
        directive.source.port.to_be(),
        directive.destination.port.to_be(),
    );
    key.protocol = directive.protocol;
    key.scope = directive.scope;
    key.family = if directive.source.address.is_ipv4() {
        FAMILY_IPV4
    } else {
        FAMILY_IPV6
    };
    (key, direction)
}
