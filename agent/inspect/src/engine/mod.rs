//! Rules against traffic: which rules match what the flow stage hands over.

mod compile;
mod matcher;
#[cfg(test)]
mod starter_tests;
#[cfg(test)]
mod tests;
mod threshold;
mod verify;
mod view;

use std::sync::Arc;

pub use crate::rule::Rule;
pub use threshold::Thresholds;
pub use view::{FlowView, Inspection, Unit};

use crate::{rule::RuleSet, signature::Action};
use compile::Compiled;

/// Rules of one flow direction that were found in part and are tried again when more arrives.
const MAX_PENDING: usize = 64;

/// Compiled rules. Immutable: inspection threads share it.
#[derive(Debug)]
pub struct Engine {
    compiled: Compiled,
}

/// What one thread needs while it matches; kept between calls so that nothing is allocated.
#[derive(Debug, Default)]
pub struct Scratch {
    candidates: Vec<u32>,
    matched: Vec<u32>,
    /// Round in which each rule was last made a candidate.
    seen: Vec<u32>,
    round: u32,
    /// Evaluations that were given up after too many steps.
    pub steps_exceeded: u64,
    /// Rules that were found in part and could not be remembered.
    pub pending_dropped: u64,
}

/// What is kept of one flow direction between evaluations. Empty without allocation.
#[derive(Clone, Debug, Default)]
pub struct FlowMatches {
    /// Rules that have matched on the stream: each does so once for a direction, unless it has a
    /// threshold to count for.
    done: Vec<u32>,
    /// Rules whose fast pattern was seen while the rest was still to come.
    pending: Vec<u32>,
}

impl Engine {
    /// An engine that looks for nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(&RuleSet::default())
    }

    /// Compiles a rule set.
    #[must_use]
    pub fn new(rules: &RuleSet) -> Self {
        Self {
            compiled: Compiled::new(&rules.rules),
        }
    }

    /// Rules it looks for.
    #[must_use]
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.compiled.rules
    }

    /// Hands every rule that matches to `found`. A matching `pass` rule silences all others for
    /// this evaluation.
    pub fn inspect(
        &self,
        inspection: &Inspection<'_>,
        matches: &mut FlowMatches,
        scratch: &mut Scratch,
        found: &mut dyn FnMut(&Arc<Rule>),
    ) {
        scratch.begin(self.compiled.rules.len());
        self.compiled.candidates(inspection, scratch);
        let stream = inspection.unit == Unit::Stream;
        if stream {
            let pending = core::mem::take(&mut matches.pending);
            for rule in &pending {
                scratch.candidate(*rule);
            }
            matches.pending = pending;
            matches.pending.clear();
        }
        let candidates = core::mem::take(&mut scratch.candidates);
        for index in &candidates {
            if stream && matches.done.contains(index) {
                continue;
            }
            let Some(rule) = self.rule(*index) else {
                continue;
            };
            match verify::rule(rule, inspection, &mut scratch.steps_exceeded) {
                true => scratch.matched.push(*index),
                false if stream => matches.remember(*index, &mut scratch.pending_dropped),
                false => {}
            }
        }
        scratch.candidates = candidates;
        if stream {
            for index in &scratch.matched {
                if self
                    .rule(*index)
                    .is_some_and(|rule| rule.threshold.is_none())
                {
                    matches.done.push(*index);
                }
            }
        }
        self.report(scratch, found);
    }

    fn report(&self, scratch: &Scratch, found: &mut dyn FnMut(&Arc<Rule>)) {
        let rules = || scratch.matched.iter().filter_map(|index| self.rule(*index));
        if !rules().any(|rule| rule.action == Action::Pass) {
            rules().for_each(found);
        }
    }

    fn rule(&self, index: u32) -> Option<&Arc<Rule>> {
        self.compiled.rules.get(usize::try_from(index).ok()?)
    }
}

impl Scratch {
    fn begin(&mut self, rules: usize) {
        self.candidates.clear();
        self.matched.clear();
        self.round = self.round.wrapping_add(1);
        if self.seen.len() != rules || self.round == 0 {
            self.seen.clear();
            self.seen.resize(rules, 0);
            self.round = 1;
        }
    }

    /// Makes a rule a candidate, once a round.
    fn candidate(&mut self, rule: u32) {
        let slot = usize::try_from(rule)
            .ok()
            .and_then(|index| self.seen.get_mut(index));
        if let Some(seen) = slot
            && *seen != self.round
        {
            *seen = self.round;
            self.candidates.push(rule);
        }
    }
}

impl FlowMatches {
    fn remember(&mut self, rule: u32, dropped: &mut u64) {
        if self.pending.len() >= MAX_PENDING {
            self.pending.remove(0);
            *dropped += 1;
        }
        self.pending.push(rule);
    }
}
