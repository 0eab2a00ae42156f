//! Many patterns at once.

use daachorse::DoubleArrayAhoCorasick;

/// Finds which of many patterns occur. ASCII case does not count: the verification that follows
/// decides. Behind it any multi-pattern matcher can stand.
pub(super) struct Matcher {
    automaton: Option<DoubleArrayAhoCorasick<u32>>,
    /// Rules of each pattern.
    rules: Vec<Vec<u32>>,
    longest: usize,
}

impl core::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Matcher")
            .field("patterns", &self.rules.len())
            .finish_non_exhaustive()
    }
}

impl Matcher {
    /// Compiles pairs of pattern and rule.
    pub(super) fn new(patterns: impl IntoIterator<Item = (Vec<u8>, u32)>) -> Self {
        let mut by_pattern = std::collections::BTreeMap::<Vec<u8>, Vec<u32>>::new();
        for (pattern, rule) in patterns {
            by_pattern
                .entry(pattern.to_ascii_lowercase())
                .or_default()
                .push(rule);
        }
        let longest = by_pattern.keys().map(Vec::len).max().unwrap_or(0);
        let mut rules = Vec::with_capacity(by_pattern.len());
        let mut patterns = Vec::with_capacity(by_pattern.len());
        for (index, (pattern, of)) in (0_u32..).zip(by_pattern) {
            patterns.push((pattern, index));
            rules.push(of);
        }
        // An automaton without patterns would still walk all data. Otherwise building fails only for
        // an empty pattern or one given twice: the map has neither.
        let automaton = (!patterns.is_empty())
            .then(|| DoubleArrayAhoCorasick::with_values(patterns).ok())
            .flatten();
        Self {
            automaton,
            rules,
            longest,
        }
    }

    /// Hands each rule of which a pattern ends after `fresh` to `candidate`, as often as it occurs.
    pub(super) fn find(&self, data: &[u8], fresh: usize, mut candidate: impl FnMut(u32)) {
        let Some(automaton) = &self.automaton else {
            return;
        };
        // A pattern that ends in fresh bytes begins at most its length before them.
        let start = fresh.saturating_sub(self.longest.saturating_sub(1));
        let bytes = data
            .get(start..)
            .unwrap_or_default()
            .iter()
            .map(u8::to_ascii_lowercase);
        for found in automaton.find_overlapping_iter_from_iter(bytes) {
            if start + found.end() <= fresh {
                continue;
            }
            let rules = usize::try_from(found.value())
                .ok()
                .and_then(|index| self.rules.get(index));
            rules
                .into_iter()
                .flatten()
                .for_each(|rule| candidate(*rule));
        }
    }
}
