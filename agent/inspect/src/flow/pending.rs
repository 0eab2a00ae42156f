//! Segments that wait for an earlier one, and which of them wins where they overlap.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;

use super::overlap::{Claim, Claims, OverlapPolicy};

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

/// A segment of which parts wait.
#[derive(Debug)]
struct Received {
    segment: Waiting,
    /// Whether it was reported as differing: once is enough, in however many parts it lies.
    told: AtomicBool,
}

/// The out-of-order queue of one direction.
#[derive(Debug, Default)]
pub(super) struct Pending {
    policy: OverlapPolicy,
    /// With the policy of Linux: segments whole, since it never has to cut one. Overlaps are
    /// decided as `tcp_data_queue_ofo` and `tcp_ofo_queue` of Linux do for buffers that were not
    /// merged: a segment inside another is dropped, one that covers others replaces them, and
    /// where two overlap in part the one that starts first wins. Hence starts and ends both grow
    /// strictly along the queue.
    queue: Vec<Waiting>,
    /// With any other policy: who owns which bytes.
    claims: Claims<Arc<Received>>,
    bytes: usize,
}

impl Pending {
    pub(super) fn new(policy: OverlapPolicy) -> Self {
        Self {
            policy,
            ..Self::default()
        }
    }

    pub(super) const fn policy(&self) -> OverlapPolicy {
        self.policy
    }

    /// Whether a segment that continues the stream may lose to those that wait: then it has to
    /// be inserted first. With the policy of Linux it starts earlier and so wins.
    pub(super) fn may_win(&self, end: i64) -> bool {
        self.policy != OverlapPolicy::Linux && self.first().is_some_and(|first| first < end)
    }

    /// Bytes held, with what keeping them costs.
    pub(super) const fn footprint(&self) -> usize {
        self.bytes
    }

    /// Place of the first waiting byte.
    pub(super) fn first(&self) -> Option<i64> {
        let segment = self.queue.first().map(|waiting| waiting.start);
        segment.or_else(|| self.claims.as_slice().first().map(|claim| claim.from))
    }

    /// Queues a segment. `conflict` is called for each waiting segment whose bytes differ from
    /// the new one's where both have some, with the segment unless that was told before.
    pub(super) fn insert(
        &mut self,
        start: i64,
        data: &[u8],
        mut conflict: impl FnMut(Option<&Waiting>),
    ) {
        if self.policy == OverlapPolicy::Linux {
            return self.insert_whole(start, data, |other| conflict(Some(other)));
        }
        self.compare_claims(start, data, &mut conflict);
        let received = Arc::new(Received {
            segment: Waiting {
                start,
                data: data.to_vec(),
            },
            told: AtomicBool::new(false),
        });
        self.bytes += data.len();
        let (favour, extent) = (self.policy.of_segments(), (start, received.segment.end()));
        let before = self.claims.as_slice().len();
        let owner = Arc::clone(&received);
        let replaced = self.claims.insert(favour, extent, owner, |_| {});
        self.bytes += self.claims.as_slice().len() * OVERHEAD;
        self.bytes -= before * OVERHEAD;
        for claim in replaced {
            self.bytes -= freed(claim.owner);
        }
        self.bytes -= freed(received);
    }

    fn insert_whole(&mut self, start: i64, data: &[u8], mut conflict: impl FnMut(&Waiting)) {
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

    /// Hands to `deliver`, with their places, the bytes that continue a stream which has come to
    /// `position`.
    pub(super) fn take_ready(&mut self, position: i64, mut deliver: impl FnMut(i64, &[u8])) {
        let runs = self.queue.iter().map(|other| (other.start, other.end()));
        let ready = ready(position, runs);
        for waiting in self.queue.drain(..ready) {
            self.bytes -= cost(&waiting);
            deliver(waiting.start, &waiting.data);
        }
        let claims = self.claims.as_slice().iter();
        let ready = self::ready(position, claims.map(|claim| (claim.from, claim.to)));
        for claim in self.claims.take(ready) {
            deliver(claim.from, bytes_of(&claim));
            self.bytes -= OVERHEAD + freed(claim.owner);
        }
    }

    /// Calls `conflict` as [`Self::insert`] does for `data` at `start`, which are not queued.
    pub(super) fn compare(
        &self,
        start: i64,
        data: &[u8],
        mut conflict: impl FnMut(Option<&Waiting>),
    ) {
        let end = start + signed(data.len());
        for other in self.queue.iter().take_while(|other| other.start < end) {
            if differs(start, data, other.start, &other.data) {
                conflict(Some(other));
            }
        }
        self.compare_claims(start, data, &mut conflict);
    }

    fn compare_claims(&self, start: i64, data: &[u8], conflict: &mut dyn FnMut(Option<&Waiting>)) {
        let extent = (start, start + signed(data.len()));
        for claim in self.claims.overlapping(extent) {
            if differs(start, data, claim.from, bytes_of(claim)) {
                let told = claim.owner.told.swap(true, Relaxed);
                conflict((!told).then_some(&claim.owner.segment));
            }
        }
    }
}

/// How many of `runs`, from the first, continue a stream which has come to `position`.
fn ready(mut position: i64, runs: impl Iterator<Item = (i64, i64)>) -> usize {
    runs.take_while(|&(from, to)| {
        let continues = from <= position;
        position = position.max(to);
        continues
    })
    .count()
}

/// Bytes that go with one owner of a segment: all of them with the last.
fn freed(owner: Arc<Received>) -> usize {
    Arc::into_inner(owner).map_or(0, |received| received.segment.data.len())
}

fn bytes_of(claim: &Claim<Arc<Received>>) -> &[u8] {
    let segment = &claim.owner.segment;
    let place = |at: i64| usize::try_from(at - segment.start).unwrap_or(usize::MAX);
    let range = place(claim.from)..place(claim.to);
    segment.data.get(range).unwrap_or_default()
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
