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
use verify::Verdict;

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
    /// Round in which each rule was last decided to be a candidate or not.
    seen: Vec<u32>,
    round: u32,
    /// Evaluations that were given up after too many steps.
    pub steps_exceeded: u64,
    /// Rules that were found in part and for which there was no room: instead of being remembered
    /// they are found again, by searching the whole window.
    pub pending_dropped: u64,
}

/// What is kept of one flow direction between evaluations. Empty without allocation.
#[derive(Clone, Debug, Default)]
pub struct FlowMatches {
    /// Rules that have matched on the stream: each does so once for a direction, unless it has a
    /// threshold to count for.
    done: Vec<u32>,
    /// Rules whose fast pattern was seen while the rest was still to come.
    pending: Vec<Pending>,
    /// There were more of those than are remembered: the next search begins at the window's start.
    rescan: bool,
    /// A `pass` rule has matched on the stream: it silences what follows in this direction.
    passed: bool,
}

/// A rule that was found in part.
#[derive(Clone, Copy, Debug)]
struct Pending {
    rule: u32,
    /// Index of a content without which it need not be tried again.
    awaits: Option<usize>,
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

    /// Hands every rule that matches to `found`. A matching `pass` rule silences all others: for the
    /// packet, or on a stream for the rest of the direction. A stream rule without a threshold is
    /// found once in a direction.
    pub fn inspect(
        &self,
        inspection: &Inspection<'_>,
        matches: &mut FlowMatches,
        scratch: &mut Scratch,
        found: &mut dyn FnMut(&Arc<Rule>),
    ) {
        scratch.begin(self.compiled.rules.len());
        if inspection.unit == Unit::Packet {
            self.compiled.candidates(inspection, 0, scratch);
            self.verify(inspection, scratch, None);
        } else if !matches.passed {
            let fresh = if matches.rescan { 0 } else { inspection.fresh };
            self.retry(inspection, matches, scratch);
            self.compiled.candidates(inspection, fresh, scratch);
            self.verify(inspection, scratch, Some(matches));
        }
        let rules = || scratch.matched.iter().filter_map(|index| self.rule(*index));
        if rules().any(|rule| rule.action == Action::Pass) {
            matches.passed |= inspection.unit == Unit::Stream;
        } else {
            rules().for_each(found);
        }
    }

    /// Makes candidates of the pending rules for which something has arrived; the others stay, and
    /// are no candidates in this round.
    fn retry(&self, inspection: &Inspection<'_>, matches: &mut FlowMatches, scratch: &mut Scratch) {
        matches.rescan = false;
        matches.pending.retain(|pending| {
            let arrived = match (pending.awaits, self.rule(pending.rule)) {
                (Some(content), Some(rule)) => verify::arrived(rule, content, inspection),
                _ => true,
            };
            if scratch.mark(pending.rule) && arrived {
                scratch.candidates.push(pending.rule);
            }
            !arrived
        });
    }

    /// Tries the candidates. `matches` is what is kept of a stream.
    fn verify(
        &self,
        inspection: &Inspection<'_>,
        scratch: &mut Scratch,
        mut matches: Option<&mut FlowMatches>,
    ) {
        for index in &scratch.candidates {
            let Some(rule) = self.rule(*index) else {
                continue;
            };
            if matches
                .as_ref()
                .is_some_and(|kept| kept.done.contains(index))
            {
                continue;
            }
            let verdict = verify::rule(rule, inspection, &mut scratch.steps_exceeded);
            if verdict == Verdict::Match {
                scratch.matched.push(*index);
            }
            match (&mut matches, verdict) {
                (Some(matches), Verdict::Match) if rule.threshold.is_none() => {
                    matches.done.push(*index);
                }
                (Some(matches), Verdict::NotYet(awaits)) => {
                    // Data that does not follow what was evaluated before, such as bytes aside from
                    // the stream, says nothing about what the stream has.
                    let awaits = awaits.filter(|_| inspection.fresh > 0);
                    let pending = Pending {
                        rule: *index,
                        awaits,
                    };
                    matches.remember(pending, &mut scratch.pending_dropped);
                }
                _ => {}
            }
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
        if self.mark(rule) {
            self.candidates.push(rule);
        }
    }

    /// Whether this is the first time in this round.
    fn mark(&mut self, rule: u32) -> bool {
        let slot = usize::try_from(rule).ok();
        slot.and_then(|slot| self.seen.get_mut(slot))
            .is_some_and(|seen| core::mem::replace(seen, self.round) != self.round)
    }
}

impl FlowMatches {
    fn remember(&mut self, pending: Pending, dropped: &mut u64) {
        if self.pending.len() < MAX_PENDING {
            self.pending.push(pending);
        } else {
            self.rescan = true;
            *dropped += 1;
        }
    }
}
