//! Reassembly of one direction of a TCP connection.
//!
//! No captured byte goes uninspected: it is delivered in its place, or equals one that was, or is
//! handed out by itself ([`Event::Aside`]). So neither a wrong guess of what the receiver
//! accepted nor a forged acknowledgement hides anything from content that fits one segment.

use super::{
    memory::{StreamLimits, StreamStats},
    overlap::OverlapPolicy,
    pending::{Pending, differs, signed},
};
use crate::anomaly::Anomaly;

/// How far behind the next byte an acknowledgement may honestly be: the largest window that
/// Linux gives (`tcp_rmem`), with room. What is farther behind comes after a part of the stream
/// that was not captured.
const MAX_BEHIND: i64 = 64 << 20;
/// Holes that are remembered; the oldest two become one.
const MAX_GAPS: usize = 8;

/// The payload of one segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    /// Sequence number of its first byte.
    pub(crate) sequence: u32,
    /// What was captured.
    pub(crate) data: &'a [u8],
    /// Length on the wire.
    pub(crate) wire: u32,
    /// Sequence number behind the receiver's window, when known.
    pub(crate) edge: Option<u32>,
}

/// What reassembly hands out.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// The stream grew: `data[fresh..]` is new and follows what came before without a hole.
    Window {
        data: &'a [u8],
        /// Place of `data[0]` in the stream.
        start: u64,
        fresh: usize,
    },
    /// Bytes that have no place in the stream, to be inspected by themselves.
    Aside {
        data: &'a [u8],
        /// Their place, 0 when it is before the stream's start.
        start: u64,
    },
    /// An event to be raised.
    Anomaly(Anomaly),
}

/// One direction. Places count from the first byte after SYN, or from where it was picked up;
/// what came before a pick-up has negative places.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Sequence number of the byte at `position`.
    next: u32,
    /// Place behind the last byte that was delivered or skipped.
    position: i64,
    /// The bytes before `position`, as far as they are kept.
    buffer: Vec<u8>,
    pending: Pending,
    /// Holes that were skipped, oldest first.
    gaps: Vec<(i64, i64)>,
}

impl Stream {
    pub(crate) fn new(next: u32) -> Self {
        Self {
            next,
            position: 0,
            buffer: Vec::new(),
            pending: Pending::default(),
            gaps: Vec::new(),
        }
    }

    /// Decides about overlaps as this policy does; for a stream that holds nothing yet.
    pub(crate) fn with_overlap(mut self, policy: OverlapPolicy) -> Self {
        self.pending = Pending::new(policy);
        self
    }

    /// Sequence number that the sender is to use next, as far as it was seen in order.
    pub(crate) const fn next_sequence(&self) -> u32 {
        self.next
    }

    /// Bytes that came in their place, with holes between.
    pub(crate) fn length(&self) -> u64 {
        u64::try_from(self.position).unwrap_or(0)
    }

    /// Whether a segment, once taken in, will be handed out at once, alone and whole.
    pub(crate) fn continues_with(&self, segment: Segment<'_>, limits: &StreamLimits) -> bool {
        let length = segment.data.len();
        segment.sequence == self.next
            && self.pending.first().is_none()
            && (1..=limits.window).contains(&length)
            && usize::try_from(segment.wire) == Ok(length)
    }

    /// Whether a part was not seen, so that `next_sequence` may be far behind the sender.
    pub(crate) const fn has_gaps(&self) -> bool {
        !self.gaps.is_empty()
    }

    /// Bytes of memory held.
    pub(crate) fn footprint(&self) -> usize {
        self.buffer.capacity() + self.pending.footprint()
    }

    /// Takes in one segment.
    pub(crate) fn segment(
        &mut self,
        segment: Segment<'_>,
        limits: &StreamLimits,
        stats: &mut StreamStats,
        out: &mut dyn FnMut(Event<'_>),
    ) {
        if segment.wire == 0 {
            return;
        }
        stats.segments += 1;
        let start = self.place(segment.sequence);
        let data = segment.data;
        if start > self.position {
            if self.beyond(segment) {
                stats.out_of_window += 1;
                out(aside(start, data));
            } else {
                stats.out_of_order += 1;
                self.queue(start, data, limits, stats, out);
            }
            return;
        }
        let known = usize::try_from(self.position - start).unwrap_or(usize::MAX);
        let fresh = data.get(known..).unwrap_or_default();
        if known > 0 {
            stats.retransmissions += 1;
            self.compare_delivered(start, data, stats, out);
        }
        self.continue_with(start, data, fresh, limits, stats, out);
        let wire_end = start + i64::from(segment.wire);
        self.drain(limits, out);
        if data.len() < usize::try_from(segment.wire).unwrap_or(usize::MAX) {
            self.skip_to(wire_end, stats);
            self.drain(limits, out);
        }
    }

    /// The receiver has all bytes before `acknowledged`: those that were not seen never come.
    pub(crate) fn acknowledged(
        &mut self,
        acknowledged: u32,
        limits: &StreamLimits,
        stats: &mut StreamStats,
        out: &mut dyn FnMut(Event<'_>),
    ) {
        let mut place = self.place(acknowledged);
        if place < self.position.saturating_sub(MAX_BEHIND) {
            place += 1 << 32;
        }
        while place > self.position {
            let hole_end = self.pending.first().map_or(place, |first| first.min(place));
            if hole_end > self.position {
                out(Event::Anomaly(Anomaly::StreamGap));
            }
            self.skip_to(hole_end, stats);
            self.drain(limits, out);
        }
    }

    /// Delivers what waits, with the holes between stated as gaps, and frees all memory.
    pub(crate) fn release(
        &mut self,
        limits: &StreamLimits,
        stats: &mut StreamStats,
        out: &mut dyn FnMut(Event<'_>),
    ) {
        while let Some(first) = self.pending.first() {
            self.skip_to(first, stats);
            self.drain(limits, out);
        }
        self.buffer = Vec::new();
        self.pending = Pending::new(self.pending.policy());
    }

    /// Place of a sequence number: the one nearest to the next byte's.
    fn place(&self, sequence: u32) -> i64 {
        let distance = sequence.wrapping_sub(self.next).cast_signed();
        self.position + i64::from(distance)
    }

    /// Whether a segment ahead starts behind the receiver's window (`tcp_sequence`). An edge that
    /// is behind the stream itself is stale: the receiver's packets were not seen.
    fn beyond(&self, segment: Segment<'_>) -> bool {
        segment.edge.is_some_and(|edge| {
            let edge = self.place(edge);
            edge >= self.position && self.place(segment.sequence) > edge
        })
    }

    /// Takes in a segment at `start` whose last bytes, `fresh`, continue the stream. What was
    /// delivered stays; what waits is contested.
    fn continue_with(
        &mut self,
        start: i64,
        data: &[u8],
        fresh: &[u8],
        limits: &StreamLimits,
        stats: &mut StreamStats,
        out: &mut dyn FnMut(Event<'_>),
    ) {
        if !fresh.is_empty() && self.pending.may_win(start + signed(data.len())) {
            self.contest(start, data, stats, out);
            return;
        }
        let mut conflicts = 0;
        self.pending.compare(self.position, fresh, |other| {
            conflicts += 1;
            if let Some(other) = other {
                out(aside(other.start, &other.data));
            }
        });
        report(conflicts, stats, out);
        self.append(fresh, limits, out);
    }

    /// Puts a segment among those that wait; if they differ, all are handed out.
    fn contest(
        &mut self,
        start: i64,
        data: &[u8],
        stats: &mut StreamStats,
        out: &mut dyn FnMut(Event<'_>),
    ) {
        let mut conflicts = 0;
        self.pending.insert(start, data, |other| {
            conflicts += 1;
            if let Some(other) = other {
                out(aside(other.start, &other.data));
            }
        });
        if conflicts > 0 {
            out(aside(start, data));
        }
        report(conflicts, stats, out);
    }

    fn queue(
        &mut self,
        start: i64,
        data: &[u8],
        limits: &StreamLimits,
        stats: &mut StreamStats,
        out: &mut dyn FnMut(Event<'_>),
    ) {
        if data.is_empty() {
            return;
        }
        self.contest(start, data, stats, out);
        while self.pending.footprint() > limits.pending {
            let Some(first) = self.pending.first() else {
                return;
            };
            stats.pending_limit += 1;
            self.skip_to(first, stats);
            self.drain(limits, out);
        }
    }

    /// Compares a segment that begins before `position` with what was delivered; if it differs or
    /// cannot be compared, it is handed out.
    fn compare_delivered(
        &self,
        start: i64,
        data: &[u8],
        stats: &mut StreamStats,
        out: &mut dyn FnMut(Event<'_>),
    ) {
        // A keep-alive may carry one byte of garbage before the next (RFC 9293 section 3.8.4).
        if data.is_empty() || (data == [0] && start + 1 == self.position) {
            return;
        }
        let kept_from = self.position - signed(self.buffer.len());
        let end = start + signed(data.len());
        if differs(start, data, kept_from, &self.buffer) {
            report(1, stats, out);
            out(aside(start, data));
        } else if start < kept_from {
            let lost = |&(from, to): &(i64, i64)| start < to && from < end;
            if start < 0 || self.gaps.iter().any(lost) {
                out(Event::Anomaly(Anomaly::StreamLateData));
            }
            out(aside(start, data));
        }
    }

    /// Delivers `fresh` in pieces of at most one window.
    fn append(&mut self, fresh: &[u8], limits: &StreamLimits, out: &mut dyn FnMut(Event<'_>)) {
        let window = limits.window.max(1);
        for piece in fresh.chunks(window) {
            if self.buffer.len() + piece.len() > 2 * window {
                self.buffer
                    .drain(..self.buffer.len() - window.min(self.buffer.len()));
            }
            self.reserve(piece.len(), window);
            self.buffer.extend_from_slice(piece);
            self.position += signed(piece.len());
            self.next = self.next.wrapping_add(truncated(signed(piece.len())));
            let kept = window.min(self.buffer.len() - piece.len());
            let from = self.buffer.len() - piece.len() - kept;
            let data = self.buffer.get(from..).unwrap_or_default();
            let start = self.position - signed(data.len());
            out(Event::Window {
                data,
                start: u64::try_from(start).unwrap_or(0),
                fresh: kept,
            });
        }
    }

    /// Doubles as `Vec` does, but never beyond the two windows that can be in use.
    fn reserve(&mut self, additional: usize, window: usize) {
        let needed = self.buffer.len() + additional;
        if needed > self.buffer.capacity() {
            let capacity = (2 * self.buffer.capacity()).clamp(needed, (2 * window).max(needed));
            self.buffer.reserve_exact(capacity - self.buffer.len());
        }
    }

    /// Delivers what waits for the byte at `position`.
    fn drain(&mut self, limits: &StreamLimits, out: &mut dyn FnMut(Event<'_>)) {
        if self
            .pending
            .first()
            .is_none_or(|first| first > self.position)
        {
            return;
        }
        let mut pending = core::mem::take(&mut self.pending);
        pending.take_ready(self.position, |start, data| {
            let known = usize::try_from(self.position - start).unwrap_or(usize::MAX);
            self.append(data.get(known..).unwrap_or_default(), limits, out);
        });
        self.pending = pending;
    }

    /// States a hole up to `place`: matching starts again after it.
    fn skip_to(&mut self, place: i64, stats: &mut StreamStats) {
        if place <= self.position {
            return;
        }
        stats.gaps += 1;
        stats.gap_bytes += place.abs_diff(self.position);
        if self.gaps.len() >= MAX_GAPS {
            let oldest = self.gaps.remove(0);
            if let Some(second) = self.gaps.first_mut() {
                second.0 = oldest.0;
            }
        }
        self.gaps.push((self.position, place));
        self.next = self.next.wrapping_add(truncated(place - self.position));
        self.position = place;
        self.buffer.clear();
    }
}

fn aside(start: i64, data: &[u8]) -> Event<'_> {
    let start = u64::try_from(start).unwrap_or(0);
    Event::Aside { data, start }
}

fn report(conflicts: u64, stats: &mut StreamStats, out: &mut dyn FnMut(Event<'_>)) {
    if conflicts > 0 {
        stats.conflicts += 1;
        out(Event::Anomaly(Anomaly::StreamOverlapConflict));
    }
}

/// A distance in sequence space (RFC 9293 section 3.4: modulo 2^32).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sequence numbers count modulo 2^32"
)]
const fn truncated(distance: i64) -> u32 {
    distance as u32
}

#[cfg(test)]
mod tests;
