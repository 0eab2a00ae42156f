//! One ring, read by one thread.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    thread,
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::{Errno, write},
};

use super::ProbeError;

/// Wakes every reader for good.
#[derive(Clone, Debug)]
pub struct Shutdown {
    event: Arc<OwnedFd>,
}

impl Shutdown {
    /// Not yet triggered.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> Result<Self, ProbeError> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|source| ProbeError::io("eventfd", source))?;
        Ok(Self {
            event: Arc::new(event),
        })
    }

    /// Blocks until `source` can be read, `timeout` has passed, or this was triggered.
    ///
    /// # Errors
    /// When `poll` fails.
    pub fn wait(&self, source: &impl AsFd, timeout: Duration) -> Result<Wake, ProbeError> {
        let mut fds = [
            PollFd::new(source, PollFlags::IN),
            PollFd::new(&self.event, PollFlags::IN),
        ];
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => Ok(Wake::TimedOut),
            Ok(_) if !fds[1].revents().is_empty() => Ok(Wake::Shutdown),
            Ok(_) => Ok(Wake::Ready),
            Err(source) => Err(ProbeError::io("poll", source)),
        }
    }

    /// Wakes all readers, now and from now on.
    pub fn trigger(&self) {
        // Fails only when the counter is about to overflow, that is when it was triggered before.
        let _ = write(&self.event, &1_u64.to_ne_bytes());
    }
}

impl AsFd for Shutdown {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Why a wait returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There may be records.
    Ready,
    /// The time has passed.
    TimedOut,
    /// The agent is going down.
    Shutdown,
}

/// How long a reader lets records gather. The kernel wakes a reader only for a record that finds the
/// ring empty: without the pause that is nearly each one, at the expense of the process that sends. A
/// pause of 1 ms makes it 1,000 a second at the most, and a ring of 8 MiB takes 8 GB/s meanwhile.
const GATHER: Duration = Duration::from_millis(1);

/// Reads one ring.
pub struct RingReader {
    ring: RingBuf<MapData>,
    shutdown: Shutdown,
    gather: Duration,
}

impl RingReader {
    pub(super) const fn new(ring: RingBuf<MapData>, shutdown: Shutdown) -> Self {
        Self {
            ring,
            shutdown,
            gather: GATHER,
        }
    }

    /// One whose records are few and must not wait.
    pub(super) const fn at_once(ring: RingBuf<MapData>, shutdown: Shutdown) -> Self {
        Self {
            ring,
            shutdown,
            gather: Duration::ZERO,
        }
    }

    /// Blocks until there are records, `timeout` has passed, or the agent goes down. Packets come
    /// late by `GATHER`, so that many are taken at once.
    ///
    /// # Errors
    /// When `poll` fails.
    pub fn wait(&self, timeout: Duration) -> Result<Wake, ProbeError> {
        let wake = self.shutdown.wait(&self.ring, timeout)?;
        if wake == Wake::Ready && !self.gather.is_zero() {
            thread::sleep(self.gather);
        }
        Ok(wake)
    }

    /// Hands the next record to `take`; false when there is none.
    pub fn next(&mut self, take: impl FnOnce(&[u8])) -> bool {
        match self.ring.next() {
            Some(item) => {
                take(&item);
                true
            }
            None => false,
        }
    }
}
