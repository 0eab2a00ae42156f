//! The transactions of one flow.

use std::collections::VecDeque;

use super::annotation::{Annotations, FrameSet};
use super::{AppProtocol, LimitCounters, Limits, Transaction};

/// The transactions of one flow that are not over.
#[derive(Debug, Default)]
pub struct Transactions {
    queue: VecDeque<Transaction>,
    next: u64,
    limits: Limits,
    /// The records that rules look at as such.
    pub(crate) frames: Annotations,
    /// The time of the packet that is parsed, in seconds since 1970.
    pub(crate) now: u64,
    /// What limits cut off.
    pub counters: LimitCounters,
}

impl Transactions {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            frames: Annotations::new(&limits),
            ..Self::default()
        }
    }

    /// The limits that parsers keep.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Begins one and returns its number. When there are too many, the oldest is given up and
    /// counted: of those that are complete if there is one, so that a flood of short ones does not
    /// push out what is still coming.
    pub fn begin(&mut self) -> u64 {
        if self.queue.len() >= self.limits.transactions.max(1) {
            let complete = self.queue.iter().position(Transaction::is_complete);
            let dropped = self.queue.remove(complete.unwrap_or(0));
            self.counters.transactions_dropped += 1;
            self.counters.bytes_left_out += dropped.map_or(0, |it| it.truncated());
        }
        let id = self.next;
        self.next += 1;
        self.queue.push_back(Transaction::new(id, &self.limits));
        id
    }

    /// One by its number, if it is not over.
    pub fn get(&mut self, id: u64) -> Option<&mut Transaction> {
        let at = self.queue.binary_search_by_key(&id, |it| it.id).ok()?;
        self.queue.get_mut(at)
    }

    /// The youngest.
    pub fn last(&mut self) -> Option<&mut Transaction> {
        self.queue.back_mut()
    }

    /// The number that the next one gets.
    #[must_use]
    pub const fn next_id(&self) -> u64 {
        self.next
    }

    /// All, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Transaction> {
        self.queue.iter()
    }

    /// The same, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Transaction> {
        self.queue.iter_mut()
    }

    /// All that rules look at: the frames, then the transactions.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Transaction> {
        self.frames.iter_mut().chain(&mut self.queue)
    }

    /// Those that there are belong to `protocol`, whatever is spoken from now on.
    pub(crate) fn settle_protocol(&mut self, protocol: AppProtocol) {
        for transaction in &mut self.queue {
            transaction.protocol.get_or_insert(protocol);
        }
    }

    /// Lets go of all.
    pub(crate) fn clear(&mut self) {
        let left_out: u64 = self.queue.iter().map(Transaction::truncated).sum();
        self.counters.bytes_left_out += left_out;
        self.queue.clear();
        self.frames.clear();
    }

    /// Has all that has come looked at again: there are other rules, which want these frames.
    pub(crate) fn forget_rules(&mut self, frames: FrameSet) {
        self.limits.frames = frames;
        self.frames.forget_rules(frames);
        for transaction in &mut self.queue {
            transaction.forget_rules();
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Lets go of those that are complete in both directions.
    pub fn retire(&mut self) {
        let left_out = &mut self.counters.bytes_left_out;
        self.queue.retain(|transaction| {
            let over = transaction.is_complete();
            *left_out += if over { transaction.truncated() } else { 0 };
            !over
        });
        self.frames.retire(&mut self.counters);
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let queued: usize = self.queue.iter().map(Transaction::footprint).sum();
        queued + self.frames.footprint()
    }
}
