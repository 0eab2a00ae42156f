//! One pass over the data for many patterns: grams first, then short patterns.

use std::collections::BTreeMap;

use super::{Pattern, grams::Grams, shorts::Shorts};

/// The bit that tells upper from lower case.
pub(super) const CASE: u8 = 0x20;

/// Patterns that were confirmed in one pass, so that each is once: kept by who searches, between passes
/// empty. One bit each.
#[derive(Debug, Default)]
pub(in super::super) struct Noted {
    bits: Vec<u64>,
    set: Vec<u32>,
}

impl Noted {
    fn has(&self, pattern: u32) -> bool {
        let word = self.bits.get(wide(pattern >> 6));
        word.is_some_and(|word| word >> (pattern & 63) & 1 != 0)
    }

    fn add(&mut self, pattern: u32) {
        let at = wide(pattern >> 6);
        if at >= self.bits.len() {
            self.bits.resize(at + 1, 0);
        }
        if let Some(word) = self.bits.get_mut(at) {
            *word |= 1 << (pattern & 63);
        }
        self.set.push(pattern);
    }

    fn clear(&mut self) {
        for pattern in self.set.drain(..) {
            if let Some(word) = self.bits.get_mut(wide(pattern >> 6)) {
                *word = 0;
            }
        }
    }
}

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

    /// Hands each rule of which a pattern ends after `fresh` to `candidate`, once for each pattern.
    pub(super) fn find(
        &self,
        data: &[u8],
        fresh: usize,
        noted: &mut Noted,
        candidate: &mut impl FnMut(u32),
    ) {
        if self.patterns.is_empty() {
            return;
        }
        // What ends in fresh bytes is noticed at most its reach before them.
        let from = fresh.saturating_sub(self.reach.saturating_sub(1));
        // Whether the pattern need not be looked for any more.
        let mut hit = |pattern: u32, at: usize| {
            if noted.has(pattern) {
                return true;
            }
            let Some(entry) = self.patterns.get(wide(pattern)) else {
                return true;
            };
            let there = self.is_at(*entry, data, at, fresh);
            if there {
                noted.add(pattern);
                let rules = self.rules.get(wide(entry.rules)..wide(entry.rules_end));
                let rules = rules.unwrap_or_default();
                rules.iter().for_each(|rule| candidate(*rule));
            }
            there
        };
        self.grams.find(data, from, &mut hit);
        self.shorts.find(data, from, &mut hit);
        noted.clear();
    }

    /// Whether the pattern is at `at`, and ends after `fresh`.
    fn is_at(&self, entry: Entry, data: &[u8], at: usize, fresh: usize) -> bool {
        let (start, length) = (wide(entry.start), wide(entry.length));
        let pattern = self.bytes.get(start..start + length);
        let there = data.get(at..at + length);
        at + length > fresh
            && pattern
                .zip(there)
                .is_some_and(|(pattern, there)| there.eq_ignore_ascii_case(pattern))
    }
}

/// Numbers of patterns and rules: there are fewer than 2^32.
pub(super) fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) const fn wide(number: u32) -> usize {
    number as usize
}
