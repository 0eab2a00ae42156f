//! One pass over the data for many patterns: grams first, then short patterns.

use std::collections::BTreeMap;

use super::{Pattern, grams::Grams, shorts::Shorts};

/// The bit that tells upper from lower case.
pub(super) const CASE: u8 = 0x20;

/// Patterns without bounds.
#[derive(Debug, Default)]
pub(super) struct Filter {
    grams: Grams,
    shorts: Shorts,
    /// Bytes from where a pattern is noticed to its end, at most.
    reach: usize,
    /// All patterns in lower case, one behind the other.
    bytes: Vec<u8>,
    patterns: Vec<Entry>,
    /// The rules of all patterns, one behind the other.
    rules: Vec<u32>,
}

/// A pattern: where its bytes and its rules are.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    length: u32,
    rules: u32,
    rules_end: u32,
}

impl Filter {
    pub(super) fn new(patterns: Vec<Pattern>) -> Self {
        let mut by_pattern = BTreeMap::<Vec<u8>, Vec<u32>>::new();
        for Pattern { bytes, rule, .. } in patterns {
            let rules = by_pattern.entry(bytes.to_ascii_lowercase()).or_default();
            rules.push(rule);
        }
        by_pattern.remove(&[][..]);
        let texts: Vec<&[u8]> = by_pattern.keys().map(Vec::as_slice).collect();
        let grams = Grams::new(&texts);
        let shorts = Shorts::new(&texts);
        let mut filter = Self {
            reach: grams.reach().max(shorts.reach()),
            grams,
            shorts,
            ..Self::default()
        };
        for (bytes, rules) in &by_pattern {
            let start = small(filter.bytes.len());
            let first = small(filter.rules.len());
            filter.bytes.extend_from_slice(bytes);
            filter.rules.extend_from_slice(rules);
            filter.patterns.push(Entry {
                start,
                length: small(bytes.len()),
                rules: first,
                rules_end: small(filter.rules.len()),
            });
        }
        filter
    }

    /// Hands each rule of which a pattern ends after `fresh` to `candidate`.
    pub(super) fn find(&self, data: &[u8], fresh: usize, candidate: &mut impl FnMut(u32)) {
        if self.patterns.is_empty() {
            return;
        }
        // What ends in fresh bytes is noticed at most its reach before them.
        let from = fresh.saturating_sub(self.reach.saturating_sub(1));
        let mut hit = |pattern: u32, at: usize| self.confirm(pattern, data, at, fresh, candidate);
        self.grams.find(data, from, &mut hit);
        self.shorts.find(data, from, &mut hit);
    }

    /// Whether the pattern is at `at`, and ends after `fresh`.
    fn confirm(
        &self,
        pattern: u32,
        data: &[u8],
        at: usize,
        fresh: usize,
        candidate: &mut impl FnMut(u32),
    ) {
        let Some(entry) = self.patterns.get(wide(pattern)) else {
            return;
        };
        let (start, length) = (wide(entry.start), wide(entry.length));
        let (Some(bytes), Some(there)) = (
            self.bytes.get(start..start + length),
            data.get(at..at + length),
        ) else {
            return;
        };
        if at + length > fresh && there.eq_ignore_ascii_case(bytes) {
            let rules = self.rules.get(wide(entry.rules)..wide(entry.rules_end));
            rules
                .into_iter()
                .flatten()
                .for_each(|rule| candidate(*rule));
        }
    }
}

/// Numbers of patterns and rules: there are fewer than 2^32.
pub(super) fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) const fn wide(number: u32) -> usize {
    number as usize
}
