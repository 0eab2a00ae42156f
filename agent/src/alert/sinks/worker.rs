//! The thread of one sink.

use std::{
    io,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::Duration,
};

use super::{Event, Shared};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// How events leave the process.
pub(super) trait Transport: Send {
    /// Writes one event; it may stay in a buffer until [`Transport::flush`].
    fn write(&mut self, event: &Event) -> Result<(), Failure>;

    /// Called whenever nothing waits in the queue.
    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Why an event was not written.
pub(super) enum Failure {
    /// The receiver is away: the same event is tried again later, while others wait in the queue.
    Retry(io::Error),
    /// This event is lost; the next may do.
    Lost(io::Error),
    /// Nothing will be written any more.
    Closed,
}

/// Takes events from the queue until it is closed.
pub(super) struct Worker<T> {
    pub(super) name: String,
    pub(super) transport: T,
    pub(super) queue: Receiver<Event>,
    /// Disconnects when the agent stops.
    pub(super) stopped: Receiver<()>,
    pub(super) shared: Arc<Shared>,
}

impl<T: Transport> Worker<T> {
    pub(super) fn run(mut self) {
        let mut healthy = true;
        while let Some(event) = self.next(&mut healthy) {
            match self.deliver(&event, &mut healthy) {
                Ok(()) => {
                    healthy = true;
                    self.shared.written.fetch_add(1, Ordering::Relaxed);
                }
                Err(Failure::Closed) => {
                    self.shared.closed.store(true, Ordering::Relaxed);
                    self.count_lost();
                    break;
                }
                Err(Failure::Lost(error) | Failure::Retry(error)) => {
                    self.report(&mut healthy, &error);
                    self.count_lost();
                }
            }
        }
        // What is still queued, and what is sent until the sink is dropped.
        while self.queue.recv().is_ok() {
            self.count_lost();
        }
    }

    fn count_lost(&self) {
        self.shared.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// The next event; flushes before it waits.
    fn next(&mut self, healthy: &mut bool) -> Option<Event> {
        match self.queue.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Disconnected) => {
                self.flush(healthy);
                None
            }
            Err(TryRecvError::Empty) => {
                self.flush(healthy);
                if self.shared.closed.load(Ordering::Relaxed) {
                    return None;
                }
                self.queue.recv().ok()
            }
        }
    }

    fn flush(&mut self, healthy: &mut bool) {
        match self.transport.flush() {
            Ok(()) => {}
            Err(Failure::Closed) => self.shared.closed.store(true, Ordering::Relaxed),
            Err(Failure::Lost(error) | Failure::Retry(error)) => self.report(healthy, &error),
        }
    }

    /// Tries until the event is written, lost, or the agent stops.
    fn deliver(&mut self, event: &Event, healthy: &mut bool) -> Result<(), Failure> {
        let mut backoff = BACKOFF_MIN;
        loop {
            match self.transport.write(event) {
                Err(Failure::Retry(error)) => {
                    self.report(healthy, &error);
                    match self.stopped.recv_timeout(backoff) {
                        Err(RecvTimeoutError::Disconnected) => return Err(Failure::Lost(error)),
                        Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                    }
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
                outcome => return outcome,
            }
        }
    }

    /// Once for each time that a sink goes bad, not for each event.
    fn report(&self, healthy: &mut bool, error: &io::Error) {
        if core::mem::replace(healthy, false) {
            tracing::warn!(sink = self.name, %error, "events cannot be delivered");
        }
    }
}
