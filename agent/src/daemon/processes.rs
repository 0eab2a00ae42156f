//! The threads that follow processes.

use std::{io, sync::Arc, thread::JoinHandle};

use crate::{
    alert::FindingQueue,
    census::Census,
    config::Config,
    probe::{Probe, ProcessCounters, ProcessEvents},
    process::{Follower, Processes, Watcher},
    telemetry,
};

/// The running threads.
pub(super) struct Followed {
    follower: JoinHandle<()>,
    watcher: Watcher,
}

/// Looks what this kernel tells. Whatever the probe has attached tells it from now on; nothing is lost
/// until [`start`], but for what the ring has no room for.
pub(super) fn prepare(events: ProcessEvents, probe: &mut Probe) -> (Follower, Figures) {
    let ProcessEvents {
        ring,
        counters,
        extras,
    } = events;
    let processes = Arc::<Processes>::default();
    let mut follower = Follower::new(Arc::clone(&processes), ring);
    let mut unix = extras.unix;
    if unix.is_ok() && !follower.try_paths() {
        probe.detach_unix();
        unix = Err("the paths cannot be read on this kernel".to_owned());
    }
    for (what, extra) in [
        ("executions", extras.executions),
        ("connections of Unix sockets", unix),
    ] {
        if let Err(error) = extra {
            tracing::info!(%error, "this kernel does not tell of {what}");
        }
    }
    let figures = Figures {
        processes,
        counters,
    };
    (follower, figures)
}

/// Starts them.
pub(super) fn start(
    mut follower: Follower,
    config: &Config,
    census: Arc<Census>,
    findings: FindingQueue,
) -> io::Result<Followed> {
    let watcher = follower.watch(config, census, findings)?;
    Ok(Followed {
        follower: follower.spawn()?,
        watcher,
    })
}

impl Followed {
    /// Waits for their end, which comes with the shutdown.
    pub(super) fn join(self) {
        let _ended = self.follower.join();
        self.watcher.join();
    }
}

/// What the `stats` event says of processes.
pub(super) struct Figures {
    pub(super) processes: Arc<Processes>,
    counters: ProcessCounters,
}

impl Figures {
    pub(super) fn snapshot(&self) -> telemetry::Figures {
        let calls = self.counters.read().unwrap_or_else(|error| {
            tracing::error!(%error, "the account of process events cannot be read");
            Default::default()
        });
        calls.into_iter().chain(self.processes.figures()).collect()
    }
}
