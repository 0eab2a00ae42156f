//! Records cut out of a stream.

/// What the front of a stream turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Too little has come to tell.
    More,
    /// A record of so many bytes, its header included.
    Record(usize),
    /// No record: so many bytes are to be passed over.
    Skip(usize),
}

/// What a stream gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A record, or the beginning of one that is too long to be held back.
    Record {
        /// All of it, or as much as may be held.
        bytes: &'a [u8],
        /// Bytes that follow as [`Piece::Rest`].
        missing: usize,
    },
    /// More of a record that was too long. These come in any size.
    Rest { bytes: &'a [u8], missing: usize },
    /// Bytes that were passed over.
    Skipped,
}

/// Holds back one direction's bytes until a record is whole. Where a record is cut does not depend on
/// the sizes in which the bytes came.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    bytes: Vec<u8>,
    at: usize,
    /// Bytes of an over-long record that are still to come.
    rest: usize,
}

impl Feed {
    pub(crate) fn push(&mut self, data: &[u8]) {
        self.compact();
        self.bytes.extend_from_slice(data);
    }

    /// Lets go of what was read.
    pub(crate) fn compact(&mut self) {
        if self.at >= self.bytes.len() {
            self.bytes.clear();
            // What one burst needed is not kept for the life of a quiet flow.
            self.bytes.shrink_to(4096);
        } else {
            self.bytes.drain(..self.at);
        }
        self.at = 0;
    }

    /// The next piece, if there is one. At most `most` bytes of a record are held back.
    pub(crate) fn next(
        &mut self,
        most: usize,
        measure: impl Fn(&[u8]) -> Measure,
    ) -> Option<Piece<'_>> {
        let waiting = self.bytes.get(self.at..).unwrap_or_default();
        if waiting.is_empty() {
            return None;
        }
        if self.rest > 0 {
            let count = waiting.len().min(self.rest);
            self.rest -= count;
            self.at += count;
            return Some(Piece::Rest {
                bytes: waiting.get(..count).unwrap_or_default(),
                missing: self.rest,
            });
        }
        match measure(waiting) {
            Measure::More => None,
            Measure::Skip(count) => {
                self.at += count.clamp(1, waiting.len());
                Some(Piece::Skipped)
            }
            Measure::Record(length) => {
                let bytes = waiting.get(..length.min(most).max(1))?;
                self.at += bytes.len();
                self.rest = length.saturating_sub(bytes.len());
                Some(Piece::Record {
                    bytes,
                    missing: self.rest,
                })
            }
        }
    }

    /// What is held back of a record that is not whole.
    pub(crate) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Bytes were lost. Gives how many of them belonged to an over-long record that goes on after
    /// them; otherwise the next record is to be searched for.
    pub(crate) fn gap(&mut self, length: u64) -> Option<usize> {
        self.bytes.clear();
        self.at = 0;
        match usize::try_from(length) {
            Ok(length) if self.rest > length => {
                self.rest -= length;
                Some(length)
            }
            _ => {
                self.rest = 0;
                None
            }
        }
    }

    pub(crate) const fn footprint(&self) -> usize {
        self.bytes.capacity()
    }
}
