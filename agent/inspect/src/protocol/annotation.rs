//! Frames: the records that a protocol is made of, as bytes that rules look into (Suricata: `frame`).
//!
//! A frame is kept in the form of a transaction with that one piece, so that it is searched, verified
//! and bounded as every other buffer. Only frames that a rule in force asks for are kept.

use std::collections::VecDeque;

use super::{Buffer, LimitCounters, Limits, Stage, Transaction, Transactions};
use crate::flow::Direction;

/// Kinds of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameSet(u128);

impl FrameSet {
    /// None: nothing is kept.
    pub const NONE: Self = Self(0);

    /// Adds one; other buffers are no frames and add nothing.
    #[must_use]
    pub const fn with(self, frame: Buffer) -> Self {
        match frame.frame_index() {
            Some(at) => Self(self.0 | 1 << at),
            None => self,
        }
    }

    /// Whether it has this one.
    #[must_use]
    pub const fn contains(self, frame: Buffer) -> bool {
        match frame.frame_index() {
            Some(at) => self.0 >> at & 1 == 1,
            None => false,
        }
    }
}

/// The frames of one flow that have not been looked at, or are still growing.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    queue: VecDeque<Transaction>,
    wanted: FrameSet,
    limits: Limits,
    next: u64,
    dropped: u64,
}

impl Annotations {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            wanted: limits.frames,
            limits: Limits {
                // A frame is at most as long as a body, whether it comes at once or grows.
                head: limits.body,
                ..*limits
            },
            ..Self::default()
        }
    }

    /// Whether a rule asks for one of these.
    pub(super) fn wants(&self, frames: &[Buffer]) -> bool {
        frames.iter().any(|frame| self.wanted.contains(*frame))
    }

    /// Adds a whole frame.
    pub(super) fn push(&mut self, direction: Direction, frame: Buffer, bytes: &[u8]) {
        if let Some(transaction) = self.begin(frame) {
            transaction.push(direction, frame, bytes);
            complete(transaction, direction);
        }
    }

    /// Adds the next bytes of a frame that comes in pieces. One that has been ended is followed by another.
    pub(super) fn append(&mut self, direction: Direction, frame: Buffer, bytes: &[u8]) {
        if !self.wanted.contains(frame) {
            return;
        }
        if let Some(transaction) = self.open(direction, frame) {
            transaction.append(direction, frame, bytes);
        } else if let Some(transaction) = self.begin(frame) {
            transaction.append(direction, frame, bytes);
        }
    }

    /// Adds bytes to a frame that grows; where there is none, nothing.
    pub(super) fn more(&mut self, direction: Direction, frame: Buffer, bytes: &[u8]) {
        if let Some(transaction) = self.open(direction, frame) {
            transaction.append(direction, frame, bytes);
        }
    }

    /// Ends a frame that came in pieces, if there is one.
    pub(super) fn close(&mut self, direction: Direction, frame: Buffer) {
        if let Some(transaction) = self.open(direction, frame) {
            transaction.close(direction, frame);
            complete(transaction, direction);
        }
    }

    fn begin(&mut self, frame: Buffer) -> Option<&mut Transaction> {
        if !self.wanted.contains(frame) {
            return None;
        }
        if self.queue.len() >= self.limits.transactions.max(1) {
            self.dropped += 1;
            return None;
        }
        let id = self.next;
        self.next += 1;
        self.queue.push_back(Transaction::new(id, &self.limits));
        self.queue.back_mut()
    }

    fn open(&mut self, direction: Direction, frame: Buffer) -> Option<&mut Transaction> {
        // Nothing is searched where no rule asks: most flows have none.
        let mut queue = self.queue.iter_mut().rev();
        queue.find(|transaction| {
            let first = transaction.instances().first();
            !transaction.is_complete()
                && first.is_some_and(|it| it.buffer == frame && it.direction == direction)
        })
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Transaction> {
        self.queue.iter_mut()
    }

    /// Lets go of those that are over, after they were looked at.
    pub(super) fn retire(&mut self, counters: &mut LimitCounters) {
        counters.transactions_dropped += core::mem::take(&mut self.dropped);
        self.queue.retain(|transaction| {
            let over = transaction.is_complete();
            counters.bytes_left_out += if over { transaction.truncated() } else { 0 };
            !over
        });
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }

    pub(super) fn forget_rules(&mut self, wanted: FrameSet) {
        self.wanted = wanted;
        self.queue.iter_mut().for_each(Transaction::forget_rules);
    }

    pub(super) fn footprint(&self) -> usize {
        self.queue.iter().map(Transaction::footprint).sum()
    }
}

/// The frames of one record of a protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordNames {
    pub(super) pdu: Buffer,
    pub(super) header: Buffer,
    pub(super) data: Buffer,
}

/// Takes records of one kind and direction, whose data may come in pieces.
#[derive(Debug)]
pub(super) struct RecordFrames<'a> {
    direction: Direction,
    names: RecordNames,
    frames: &'a mut Annotations,
}

impl<'a> RecordFrames<'a> {
    pub(super) const fn new(
        direction: Direction,
        names: RecordNames,
        out: &'a mut Transactions,
    ) -> Self {
        Self {
            direction,
            names,
            frames: &mut out.frames,
        }
    }

    /// A record begins with this header. One that was not ended is over.
    pub(super) fn header(&mut self, header: &[u8]) {
        let Self {
            direction, names, ..
        } = *self;
        self.cut();
        self.frames.push(direction, names.header, header);
        self.frames.append(direction, names.pdu, header);
        self.frames.append(direction, names.data, &[]);
    }

    /// More of its data, or the end of it. What was never begun, or was cut off, does not go on.
    pub(super) fn data(&mut self, data: &[u8], end: bool) {
        for frame in [self.names.data, self.names.pdu] {
            self.frames.more(self.direction, frame, data);
            if end {
                self.frames.close(self.direction, frame);
            }
        }
    }

    /// Bytes of the record are missing: what has come of it is all.
    pub(super) fn cut(&mut self) {
        self.frames.close(self.direction, self.names.data);
        self.frames.close(self.direction, self.names.pdu);
    }

    /// A whole record, whose header has so many bytes.
    pub(super) fn whole(&mut self, record: &[u8], header: usize) {
        let (header, data) = record.split_at_checked(header).unwrap_or((record, &[]));
        self.frames.push(self.direction, self.names.header, header);
        self.frames.push(self.direction, self.names.data, data);
        self.frames.push(self.direction, self.names.pdu, record);
    }
}

fn complete(transaction: &mut Transaction, direction: Direction) {
    transaction.advance(direction, Stage::Complete);
    transaction.advance(direction.reverse(), Stage::Complete);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Direction = Direction::ToServer;

    fn annotations(limits: Limits) -> Annotations {
        Annotations::new(&Limits {
            frames: FrameSet::NONE.with(Buffer::FrameSipPdu),
            ..limits
        })
    }

    fn bytes(frames: &mut Annotations) -> Vec<Vec<u8>> {
        let first =
            |it: &mut Transaction| it.first(SERVER, Buffer::FrameSipPdu).map(<[u8]>::to_vec);
        frames.iter_mut().filter_map(first).collect()
    }

    #[test]
    fn only_what_a_rule_asks_for_is_kept() {
        let mut frames = annotations(Limits::default());
        frames.push(SERVER, Buffer::FrameSipPdu, b"a");
        frames.push(SERVER, Buffer::FrameTlsPdu, b"b");
        frames.append(SERVER, Buffer::FrameTlsPdu, b"b");
        assert_eq!(bytes(&mut frames), [b"a"]);
        let mut none = Annotations::new(&Limits::default());
        none.push(SERVER, Buffer::FrameSipPdu, b"a");
        assert_eq!((none.iter_mut().count(), none.footprint()), (0, 0));
    }

    #[test]
    fn a_frame_that_grows_stays_until_it_is_over() {
        let mut frames = annotations(Limits::default());
        let mut counters = LimitCounters::default();
        frames.append(SERVER, Buffer::FrameSipPdu, b"ab");
        frames.retire(&mut counters);
        frames.append(SERVER, Buffer::FrameSipPdu, b"c");
        frames.close(SERVER, Buffer::FrameSipPdu);
        frames.append(SERVER, Buffer::FrameSipPdu, b"d");
        assert_eq!(bytes(&mut frames), [&b"abc"[..], b"d"]);
        frames.retire(&mut counters);
        assert_eq!(bytes(&mut frames), [b"d"]);
    }

    #[test]
    fn length_and_number_are_bounded_and_counted() {
        let mut frames = annotations(Limits {
            transactions: 2,
            body: 4,
            ..Limits::default()
        });
        frames.push(SERVER, Buffer::FrameSipPdu, b"123456");
        frames.append(SERVER, Buffer::FrameSipPdu, b"123456");
        frames.append(SERVER, Buffer::FrameSipPdu, b"7");
        frames.close(SERVER, Buffer::FrameSipPdu);
        frames.push(SERVER, Buffer::FrameSipPdu, b"x");
        assert_eq!(bytes(&mut frames), [b"1234", b"1234"]);
        let mut counters = LimitCounters::default();
        frames.retire(&mut counters);
        assert_eq!(
            (counters.transactions_dropped, counters.bytes_left_out),
            (1, 5)
        );
        assert_eq!(frames.iter_mut().count(), 0);
    }
}
