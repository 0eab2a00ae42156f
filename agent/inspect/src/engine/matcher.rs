//! Many patterns at once.
//!
//! A filter over hashed four-byte grams: of each pattern the rarest grams are kept in a bit map; at
//! every second place of the data one bit is looked up, and only where it is set are the patterns of
//! that gram compared. Its speed hardly depends on how many patterns there are, which is where
//! automata, whose tables are larger than the caches, slow down. Patterns of one and two bytes take a
//! pass of their own.

mod filter;
mod grams;
mod shorts;

use filter::Filter;
pub(super) use filter::Noted;
use shorts::Shorts;

/// Where a pattern can be that is bounded by `depth`: such patterns are looked for in the first bytes
/// alone. In bytes from the start; what may be further on counts as unbounded.
const HEAD: usize = 128;

/// One pattern of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) bytes: Vec<u8>,
    /// Where it must end at the latest, in bytes from the start of the data or stream.
    pub(super) bound: usize,
    pub(super) rule: u32,
}

impl Pattern {
    /// Whether looking for it takes a pass over the data, which longer patterns share.
    pub(super) const fn takes_a_pass(&self) -> bool {
        self.bytes.len() <= Shorts::LONGEST && !self.is_in_head()
    }

    const fn is_in_head(&self) -> bool {
        self.bound <= HEAD
    }
}

/// Finds which of many patterns occur. ASCII case does not count: the verification that follows
/// decides.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    /// What must be in the first [`HEAD`] bytes.
    head: Filter,
    anywhere: Filter,
}

impl Matcher {
    /// Compiles patterns.
    pub(super) fn new(patterns: Vec<Pattern>) -> Self {
        let (head, anywhere) = patterns.into_iter().partition(Pattern::is_in_head);
        Self {
            head: Filter::new(head),
            anywhere: Filter::new(anywhere),
        }
    }

    /// Compiles those that can be anywhere, and leaves out the others.
    pub(super) fn anywhere(mut patterns: Vec<Pattern>) -> Self {
        patterns.retain(|pattern| !pattern.is_in_head());
        Self::new(patterns)
    }

    /// Hands each rule of which a pattern ends after `fresh` to `candidate`, once for each pattern.
    /// `start` is the place of the first byte in the stream.
    pub(super) fn find(
        &self,
        data: &[u8],
        start: u64,
        fresh: usize,
        noted: &mut Noted,
        mut candidate: impl FnMut(u32),
    ) {
        self.find_head(data, start, fresh, noted, &mut candidate);
        self.anywhere.find(data, fresh, noted, &mut candidate);
    }

    /// The same of what must be at the beginning.
    pub(super) fn find_head(
        &self,
        data: &[u8],
        start: u64,
        fresh: usize,
        noted: &mut Noted,
        candidate: &mut impl FnMut(u32),
    ) {
        let passed = usize::try_from(start).unwrap_or(usize::MAX);
        let head = HEAD.saturating_sub(passed).min(data.len());
        if fresh < head {
            let data = data.get(..head).unwrap_or_default();
            self.head.find(data, fresh, noted, candidate);
        }
    }
}

#[cfg(test)]
mod tests;
