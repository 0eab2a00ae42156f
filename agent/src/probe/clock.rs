//! Kernel time to wall-clock time.

use hydrophone_inspect::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Offset between `CLOCK_MONOTONIC`, which the records carry, and Unix time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    offset: u64,
}

impl Clock {
    /// Reads both clocks. Call again now and then: the wall clock is adjusted.
    #[must_use]
    pub fn now() -> Self {
        let monotonic = nanoseconds(clock_gettime(ClockId::Monotonic));
        let wall = nanoseconds(clock_gettime(ClockId::Realtime));
        Self {
            offset: wall.wrapping_sub(monotonic),
        }
    }

    /// Unix time of a monotonic time in nanoseconds.
    #[must_use]
    pub const fn wall(self, monotonic_ns: u64) -> Timestamp {
        Timestamp(monotonic_ns.wrapping_add(self.offset))
    }

    /// Unix time now.
    #[must_use]
    pub fn wall_now() -> Timestamp {
        Timestamp(nanoseconds(clock_gettime(ClockId::Realtime)))
    }
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}
