//! Where events go. Each sink has a bounded queue and a thread: a slow or absent receiver costs
//! counted events, never time in the alert stage.

mod stdout;
mod syslog;
mod worker;

#[cfg(test)]
mod tests;

use std::{
    io::{self, IsTerminal as _},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, SyncSender},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use hydrophone_inspect::Timestamp;

use crate::{
    config::{self, Format},
    telemetry::SinkFigures,
};

use worker::{Transport, Worker};

/// How long a sink may take to write what waits in its queue when the agent stops.
const FINISH_TIMEOUT: Duration = Duration::from_secs(3);

/// What a sink is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SinkFormat {
    /// EVE JSON: every event.
    Eve,
    /// A readable line an alert.
    Text {
        /// With ANSI colours.
        color: bool,
    },
}

impl SinkFormat {
    /// What standard output gets: `auto` looks at whether it is a terminal; colours are for
    /// terminals, unless `NO_COLOR` is set (no-color.org).
    #[must_use]
    pub fn for_stdout(format: Format) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let color =
            is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        match format {
            Format::Text => Self::Text { color },
            Format::Auto if is_terminal => Self::Text { color },
            Format::Auto | Format::Eve => Self::Eve,
        }
    }
}

/// What an event is, for receivers that sort by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    /// With the severity of its signature.
    Alert(u8),
    /// What was asked for, by its `event_type`.
    Requested(&'static str),
    Stats,
}

/// One event in a sink's format, without a line end.
#[derive(Clone, Debug)]
pub(super) struct Event {
    line: Bytes,
    kind: EventKind,
    timestamp: Timestamp,
}

impl Event {
    pub(super) fn new(line: &[u8], kind: EventKind, timestamp: Timestamp) -> Self {
        Self {
            line: Bytes::copy_from_slice(line),
            kind,
            timestamp,
        }
    }
}

/// Shared by a sink and its worker.
#[derive(Debug, Default)]
struct Shared {
    written: AtomicU64,
    lost: AtomicU64,
    closed: AtomicBool,
}

/// What happens to an event when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It is lost and counted: for live traffic, which does not wait.
    Count,
    /// The stage waits: for capture files, which do.
    Wait,
}

/// A place that events go to.
pub struct Sink {
    name: String,
    format: SinkFormat,
    overflow: Overflow,
    queue: SyncSender<Event>,
    /// Dropped to tell the worker to stop waiting for a receiver.
    stop: mpsc::Sender<()>,
    /// Disconnects when the worker has ended.
    done: mpsc::Receiver<()>,
    shared: Arc<Shared>,
}

impl Sink {
    /// Standard output.
    ///
    /// # Errors
    /// When the operating system has no thread to give.
    pub fn stdout(
        config: &config::Stdout,
        format: SinkFormat,
        overflow: Overflow,
    ) -> io::Result<Self> {
        let transport = stdout::Stdout::new(io::stdout());
        let sink = Self::spawn("stdout".to_owned(), format, config.queue, transport)?;
        Ok(Self { overflow, ..sink })
    }

    /// One sink for each target.
    ///
    /// # Errors
    /// When the operating system has no thread to give.
    pub fn syslog(config: &config::Syslog) -> io::Result<Vec<Self>> {
        config
            .targets
            .iter()
            .map(|target| {
                let transport = syslog::Syslog::new(target, config.facility);
                Self::spawn(target.to_string(), SinkFormat::Eve, config.queue, transport)
            })
            .collect()
    }

    fn spawn(
        name: String,
        format: SinkFormat,
        queue: u32,
        transport: impl Transport + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(usize::try_from(queue).unwrap_or(usize::MAX));
        let (stop, stopped) = mpsc::channel();
        let (done_sender, done) = mpsc::channel();
        let shared = Arc::new(Shared::default());
        let worker = Worker {
            name: name.clone(),
            transport,
            queue: receiver,
            stopped,
            shared: Arc::clone(&shared),
        };
        thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || {
                worker.run();
                drop(done_sender);
            })?;
        Ok(Self {
            name,
            format,
            overflow: Overflow::Count,
            queue: sender,
            stop,
            done,
            shared,
        })
    }

    /// `stdout`, or the target as configured.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is given.
    #[must_use]
    pub const fn format(&self) -> SinkFormat {
        self.format
    }

    /// Counters up to now.
    #[must_use]
    pub fn figures(&self) -> SinkFigures {
        SinkFigures {
            written: self.shared.written.load(Ordering::Relaxed),
            lost: self.shared.lost.load(Ordering::Relaxed),
        }
    }

    /// Whether nothing can be written there any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Relaxed)
    }

    /// Queues an event. See [`Overflow`] for when the queue is full.
    pub(super) fn send(&mut self, event: Event) {
        let is_queued = match self.overflow {
            Overflow::Count => self.queue.try_send(event).is_ok(),
            Overflow::Wait => self.queue.send(event).is_ok(),
        };
        if !is_queued {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets the worker write what waits, and gives up on it after [`FINISH_TIMEOUT`] unless events
    /// may not be lost: a reader that has stopped reading must not keep the agent from ending.
    pub(super) fn finish(self) -> SinkFigures {
        let Self {
            queue,
            stop,
            done,
            shared,
            overflow,
            ..
        } = self;
        drop(queue);
        drop(stop);
        // Both return with an error: nothing is ever sent.
        let _ended_or_late = match overflow {
            Overflow::Count => done.recv_timeout(FINISH_TIMEOUT).is_ok(),
            Overflow::Wait => done.recv().is_ok(),
        };
        SinkFigures {
            written: shared.written.load(Ordering::Relaxed),
            lost: shared.lost.load(Ordering::Relaxed),
        }
    }
}
