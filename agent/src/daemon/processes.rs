//! The processes thread: takes in what the kernel tells about processes.

use std::{io, sync::Arc, thread::JoinHandle};

use crate::{
    probe::{ProcessCounters, ProcessEvents},
    process::Processes,
    telemetry,
};

/// The running thread.
pub(super) struct Followed {
    pub(super) processes: Arc<Processes>,
    thread: JoinHandle<()>,
}

/// Starts it. What is returned beside it tells its figures.
pub(super) fn start(events: ProcessEvents) -> io::Result<(Followed, Figures)> {
    let ProcessEvents {
        ring,
        counters,
        extras,
    } = events;
    for (what, extra) in [
        ("executions", extras.executions),
        ("connections of Unix sockets", extras.unix),
    ] {
        if let Err(error) = extra {
            tracing::info!(%error, "this kernel does not tell of {what}");
        }
    }
    let processes = Arc::<Processes>::default();
    let thread = processes.follow(ring)?;
    let figures = Figures {
        processes: Arc::clone(&processes),
        counters,
    };
    Ok((Followed { processes, thread }, figures))
}

impl Followed {
    /// Waits for its end, which comes with the shutdown.
    pub(super) fn join(self) {
        let _ended = self.thread.join();
    }
}

/// What the `stats` event says of processes.
pub(super) struct Figures {
    processes: Arc<Processes>,
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
