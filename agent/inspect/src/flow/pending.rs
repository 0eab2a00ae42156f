//! Segments that wait for an earlier one, with the overlap policy of Linux.

/// What one waiting segment costs beside its bytes.
const OVERHEAD: usize = 64;

/// A segment and its place in the stream.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Place of the first byte.
    pub(super) start: i64,
    /// The bytes; never empty.
    pub(super) data: Vec<u8>,
}

impl Waiting {
    pub(super) fn end(&self) -> i64 {
        self.start + signed(self.data.len())
    }
}

/// The out-of-order queue of one direction.
///
/// Overlaps are decided as `tcp_data_queue_ofo` and `tcp_ofo_queue` of Linux do for buffers that
/// were not merged: a segment inside another is dropped, one that covers others replaces them,
/// and where two overlap in part the one that starts first wins. Hence starts and ends both grow
/// strictly along the queue.
#[derive(Debug, Default)]
pub(super) struct Pending {
    queue: Vec<Waiting>,
    bytes: usize,
}

impl Pending {
    /// Bytes held, with what keeping them costs.
    pub(super) const fn footprint(&self) -> usize {
        self.bytes
    }

    /// Place of the first waiting byte.
    pub(super) fn first(&self) -> Option<i64> {
        self.queue.first().map(|waiting| waiting.start)
    }

    /// Queues a segment. `conflict` is called with each waiting segment whose bytes differ from
    /// the new one's where both have some.
    pub(super) fn insert(&mut self, start: i64, data: &[u8], mut conflict: impl FnMut(&Waiting)) {
        let end = start + signed(data.len());
        let at = self.queue.partition_point(|other| other.start <= start);
        let mut covered_from = at;
        let before = at.checked_sub(1).and_then(|index| self.queue.get(index));
        if let Some(other) = before {
            if differs(start, data, other.start, &other.data) {
                conflict(other);
            }
            if end <= other.end() {
                return;
            }
            if other.start == start {
                covered_from -= 1;
            }
        }
        let mut covered_to = at;
        while let Some(other) = self.queue.get(covered_to).filter(|other| other.start < end) {
            if differs(start, data, other.start, &other.data) {
                conflict(other);
            }
            if other.end() > end {
                break;
            }
            covered_to += 1;
        }
        let waiting = Waiting {
            start,
            data: data.to_vec(),
        };
        self.bytes += cost(&waiting);
        for covered in self.queue.splice(covered_from..covered_to, [waiting]) {
            self.bytes -= cost(&covered);
        }
    }

    /// Takes the segments that continue a stream which has come to `position`.
    pub(super) fn take_ready(&mut self, mut position: i64) -> std::vec::Drain<'_, Waiting> {
        let mut ready = 0;
        for waiting in &self.queue {
            if waiting.start > position {
                break;
            }
            position = position.max(waiting.end());
            self.bytes -= cost(waiting);
            ready += 1;
        }
        self.queue.drain(..ready)
    }

    /// Calls `conflict` with each waiting segment whose bytes differ from `data` at `start`.
    pub(super) fn compare(&self, start: i64, data: &[u8], mut conflict: impl FnMut(&Waiting)) {
        let end = start + signed(data.len());
        for other in self.queue.iter().take_while(|other| other.start < end) {
            if differs(start, data, other.start, &other.data) {
                conflict(other);
            }
        }
    }
}

const fn cost(waiting: &Waiting) -> usize {
    waiting.data.len() + OVERHEAD
}

/// Whether two runs of bytes differ where they overlap.
pub(super) fn differs(start: i64, data: &[u8], other_start: i64, other: &[u8]) -> bool {
    let from = start.max(other_start);
    let to = (start + signed(data.len())).min(other_start + signed(other.len()));
    let part = |begin: i64, bytes: &[u8]| -> Option<(usize, usize)> {
        let first = usize::try_from(from - begin).ok()?;
        let last = usize::try_from(to - begin).ok()?;
        (first < last && last <= bytes.len()).then_some((first, last))
    };
    match (part(start, data), part(other_start, other)) {
        (Some((a, b)), Some((c, d))) => data.get(a..b) != other.get(c..d),
        _ => false,
    }
}

/// A length as a distance; slices are never longer than `isize::MAX`.
pub(super) fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
