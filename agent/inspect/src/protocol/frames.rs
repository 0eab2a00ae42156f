//! Records out of a stream that comes in pieces.

use super::{Status, ber::Missing};
use crate::flow::Direction;

/// Holds the beginning of a record until the rest has come.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    held: Vec<u8>,
    /// Bytes of `held` that were taken.
    taken: usize,
    /// Bytes of a longer record that are passed over.
    skip: u64,
}

impl Frames {
    /// Takes the next record, or the first `most` bytes of a longer one. `length` gives the whole
    /// length of the record that begins; with [`Missing::Never`] the stream makes no sense.
    pub(crate) fn next(
        &mut self,
        input: &mut &[u8],
        most: usize,
        length: impl Fn(&[u8]) -> Result<u64, Missing>,
    ) -> Result<Option<Vec<u8>>, Missing> {
        let skipped = usize::try_from(self.skip)
            .unwrap_or(usize::MAX)
            .min(input.len());
        self.skip -= skipped as u64;
        *input = input.get(skipped..).unwrap_or_default();
        if self.skip > 0 {
            return Ok(None);
        }
        loop {
            let record = self.held.get(self.taken..).unwrap_or_default();
            let total = match length(record) {
                // Every record has a byte: an empty one would not end.
                Ok(total) => total.max(1),
                Err(Missing::More) if record.len() < most => most as u64,
                Err(_) => return Err(Missing::Never),
            };
            let wanted = usize::try_from(total).unwrap_or(usize::MAX).min(most);
            if let Some(record) = record.get(..wanted) {
                let record = record.to_vec();
                self.taken += wanted;
                self.skip = total - wanted as u64;
                return Ok(Some(record));
            }
            if input.is_empty() {
                return Ok(None);
            }
            // Only what is not enough is moved, so that many short records cost no more than one long.
            let room = most.saturating_sub(record.len()).min(input.len());
            self.held.drain(..self.taken.min(self.held.len()));
            self.taken = 0;
            let (front, rest) = input.split_at_checked(room).unwrap_or((input, &[]));
            self.held.extend_from_slice(front);
            *input = rest;
        }
    }

    /// Bytes that were not captured. Whether the next record begins where it is expected.
    fn gap(&mut self, length: u64) -> bool {
        let within = self.taken >= self.held.len() && self.skip >= length;
        self.skip = self.skip.saturating_sub(length);
        within
    }

    fn footprint(&self) -> usize {
        self.held.capacity()
    }
}

/// The records of both directions.
#[derive(Debug, Default)]
pub(crate) struct BothFrames([Frames; 2]);

impl BothFrames {
    pub(crate) const fn of(&mut self, direction: Direction) -> &mut Frames {
        let [to_server, to_client] = &mut self.0;
        match direction {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        }
    }

    /// Bytes that were not captured: where they end inside a record, its end is not known.
    pub(crate) fn gap(&mut self, direction: Direction, length: u64) -> Status {
        if self.of(direction).gap(length) {
            Status::Ok
        } else {
            Status::Failed
        }
    }

    pub(crate) fn footprint(&self) -> usize {
        self.0.iter().map(Frames::footprint).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn length(record: &[u8]) -> Result<u64, Missing> {
        record
            .first()
            .map(|byte| u64::from(*byte))
            .ok_or(Missing::More)
    }

    fn run<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
        let mut frames = Frames::default();
        let mut all = Vec::new();
        for mut piece in pieces {
            while let Some(record) = frames.next(&mut piece, 8, length).unwrap() {
                all.push(record);
            }
        }
        all
    }

    proptest! {
        #[test]
        fn where_input_is_cut_makes_no_difference(data in proptest::collection::vec(0_u8..12, 0..64)) {
            prop_assert_eq!(run(core::iter::once(data.as_slice())), run(data.chunks(1)));
        }
    }
}
