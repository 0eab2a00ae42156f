//! Pieces of a file put in order.

use std::collections::BTreeMap;

/// Pieces held for what comes before them.
const MAX_HELD: usize = 128;

/// Puts pieces that come with offsets into order. What waits for a hole to be filled is bounded; past
/// the bound the hole is given up.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    next: u64,
    held: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
}

impl Chunks {
    /// Takes a piece and gives `sink` what is in order now. Says whether the piece overlapped what came
    /// before; what came first is kept.
    pub(crate) fn put(
        &mut self,
        offset: u64,
        data: &[u8],
        most: usize,
        sink: &mut dyn FnMut(&[u8]),
    ) -> bool {
        if data.is_empty() {
            return false;
        }
        if offset > self.next {
            self.hold(offset, data);
            while self.bytes > most || self.held.len() > MAX_HELD {
                self.give_up_hole(sink);
            }
            return false;
        }
        let overlaps = offset < self.next;
        let known = usize::try_from(self.next - offset).unwrap_or(usize::MAX);
        if let Some(new) = data.get(known..)
            && !new.is_empty()
        {
            sink(new);
            self.next = self.next.saturating_add(new.len() as u64);
            self.drain(sink);
        }
        overlaps
    }

    fn hold(&mut self, offset: u64, data: &[u8]) {
        self.bytes += data.len();
        if let Some((start, before)) = self.held.range_mut(..offset).next_back()
            && start.saturating_add(before.len() as u64) == offset
        {
            before.extend_from_slice(data);
            return;
        }
        let held = self.held.entry(offset).or_default();
        self.bytes -= held.len();
        held.clear();
        held.extend_from_slice(data);
    }

    fn drain(&mut self, sink: &mut dyn FnMut(&[u8])) {
        while let Some(entry) = self.held.first_entry() {
            if *entry.key() > self.next {
                return;
            }
            let (offset, data) = entry.remove_entry();
            self.bytes -= data.len();
            let known = usize::try_from(self.next - offset).unwrap_or(usize::MAX);
            if let Some(new) = data.get(known..) {
                sink(new);
                self.next = self.next.saturating_add(new.len() as u64);
            }
        }
    }

    fn give_up_hole(&mut self, sink: &mut dyn FnMut(&[u8])) {
        if let Some((offset, _)) = self.held.first_key_value() {
            self.next = self.next.max(*offset);
        }
        self.drain(sink);
    }

    /// Gives what is left, holes or not.
    pub(crate) fn finish(&mut self, sink: &mut dyn FnMut(&[u8])) {
        while !self.held.is_empty() {
            self.give_up_hole(sink);
        }
    }

    /// How far it came without a hole.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    pub(crate) const fn footprint(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(pieces: &[(u64, &[u8])], most: usize) -> (Vec<u8>, bool) {
        let mut chunks = Chunks::default();
        let mut all = Vec::new();
        let mut overlap = false;
        for (offset, data) in pieces {
            overlap |= chunks.put(*offset, data, most, &mut |data| all.extend_from_slice(data));
        }
        chunks.finish(&mut |data| all.extend_from_slice(data));
        assert_eq!(chunks.footprint(), 0);
        (all, overlap)
    }

    #[test]
    fn pieces_are_put_in_order() {
        let pieces: [(u64, &[u8]); 3] = [(4, b"ef"), (2, b"cd"), (0, b"ab")];
        assert_eq!(collect(&pieces, 64), (b"abcdef".to_vec(), false));
    }

    #[test]
    fn what_came_first_is_kept_and_the_overlap_told() {
        let pieces: [(u64, &[u8]); 2] = [(0, b"abc"), (1, b"XYZ")];
        assert_eq!(collect(&pieces, 64), (b"abcZ".to_vec(), true));
    }

    #[test]
    fn a_hole_is_given_up_when_too_much_waits_for_it() {
        let mut chunks = Chunks::default();
        let mut all = Vec::new();
        for at in 1..40_u64 {
            chunks.put(at * 10, &[0; 5], 50, &mut |data| {
                all.extend_from_slice(data);
            });
            assert!(chunks.footprint() <= 50);
        }
        assert!(all.len() > 100);
    }
}
