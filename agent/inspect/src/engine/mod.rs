//! Rules against traffic: which rules match what the flow stage hands over.

mod addresses;
mod compile;
mod gate;
mod matcher;
mod number;
mod packet;
mod pattern;
mod search;
mod state;
#[cfg(test)]
mod tests;
mod threshold;
mod verify;
mod view;

use std::sync::Arc;

pub use crate::rule::Rule;
pub use compile::{Plan, PlanUnit};
pub use state::FlowState;
pub use threshold::{Occurrence, Thresholds};
pub use view::{FlowView, Inspection, Unit};

use crate::{
    flow::Direction,
    protocol::{FrameSet, Transaction},
    rule::{AboutFlow, AlertFilters, Group, RuleSet},
    signature::Action,
};
use compile::Compiled;
use search::Work;
use state::{Hosts, Subject};
use verify::Verdict;

/// Rules of one flow direction that were found in part and are tried again when more arrives.
const MAX_PENDING: usize = 64;
/// Rules of one flow direction that are remembered to have matched.
const MAX_DONE: usize = 256;

/// Compiled rules. Immutable: inspection threads share it.
#[derive(Debug)]
pub struct Engine {
    compiled: Compiled,
    filters: Arc<AlertFilters>,
    hosts: Arc<Hosts>,
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
    /// Rules that have matched on the stream, and up to where it was seen then: each matches again
    /// only with what came later.
    done: Vec<(u32, u64)>,
    /// Rules whose fast pattern was seen while the rest was still to come.
    pending: Vec<Pending>,
    /// There were more of those than are remembered: the next search begins at the window's start.
    rescan: bool,
    /// A `pass` rule has matched on the stream: it silences what follows in this direction.
    passed: bool,
}

/// What is kept of one transaction between evaluations.
#[derive(Debug, Default)]
pub(crate) struct TransactionState {
    /// Rules that could match, in order.
    candidates: Vec<u32>,
    /// Rules that have, each with whether to the server: once in each direction.
    done: Vec<(u32, bool)>,
    /// The rules without a pattern are candidates, by direction.
    begun: [bool; 2],
}

/// What an evaluation may read and change beside what it looks at.
#[derive(Debug)]
pub struct Memory<'a> {
    /// What rules have set on the flow.
    pub flow: &'a mut FlowState,
    /// What is kept of the direction.
    pub matches: &'a mut FlowMatches,
    /// What the thread keeps.
    pub scratch: &'a mut Scratch,
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
            filters: Arc::clone(&rules.filters),
            hosts: Arc::default(),
        }
    }

    /// Which alerts are held back.
    #[must_use]
    pub const fn filters(&self) -> &Arc<AlertFilters> {
        &self.filters
    }

    /// Whether a rule asks for the hash of a file or mail.
    #[must_use]
    pub const fn wants_hashes(&self) -> bool {
        self.compiled.hashes
    }

    /// The frames that rules look into.
    #[must_use]
    pub const fn frames(&self) -> FrameSet {
        self.compiled.frames
    }

    /// Goes on with what the rules of `previous` have set on hosts.
    pub fn adopt(&mut self, previous: &Self) {
        self.hosts = Arc::clone(&previous.hosts);
    }

    /// Rules it looks for.
    #[must_use]
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.compiled.rules
    }

    /// How a rule of this kind is tried.
    #[must_use]
    pub fn plan(rule: &Rule) -> Plan<'_> {
        Plan::new(rule)
    }

    /// Hands every rule that matches to `found`. A matching `pass` rule silences all others: for the
    /// packet, or on a stream for the rest of the direction.
    pub fn inspect(
        &self,
        inspection: &Inspection<'_>,
        memory: &mut Memory<'_>,
        found: &mut dyn FnMut(&Arc<Rule>),
    ) {
        let Memory {
            flow,
            matches,
            scratch,
        } = memory;
        scratch.begin(self.compiled.rules.len());
        if inspection.unit != Unit::Stream {
            self.compiled.candidates(inspection, 0, scratch);
        } else if !matches.passed {
            let fresh = if matches.rescan { 0 } else { inspection.fresh };
            self.retry(inspection, matches, scratch);
            self.compiled.candidates(inspection, fresh, scratch);
        }
        scratch.candidates.sort_unstable();
        let mut subject = self.subject(inspection, flow);
        if inspection.unit != Unit::Stream {
            self.verify(inspection, &mut subject, scratch, None);
            self.anchor(inspection, matches, scratch);
        } else {
            self.verify(inspection, &mut subject, scratch, Some(matches));
        }
        let rules = || scratch.matched.iter().filter_map(|index| self.rule(*index));
        if rules().any(|rule| rule.action == Action::Pass) {
            matches.passed |= inspection.unit == Unit::Stream;
        } else {
            rules().filter(|rule| !rule.silent).for_each(found);
        }
    }

    /// Tries the rules that could match what `transaction` has in the direction of `inspection`,
    /// whose `data` is the payload or stream at this time. Each rule is found once in a transaction.
    pub fn inspect_transaction(
        &self,
        inspection: &Inspection<'_>,
        transaction: &mut Transaction,
        memory: &mut Memory<'_>,
        found: &mut dyn FnMut(&Arc<Rule>, &Transaction),
    ) {
        let Memory {
            flow,
            matches,
            scratch,
        } = memory;
        let direction = inspection.flow.direction();
        let protocol = inspection.flow.application;
        self.compiled
            .transaction_candidates(transaction, protocol, direction);
        if matches.passed || transaction.matching.candidates.is_empty() {
            return;
        }
        let mut state = core::mem::take(&mut transaction.matching);
        let seen = &*transaction;
        let stage = seen.stage(direction);
        let inspection = &Inspection {
            transaction: Some(seen),
            ..*inspection
        };
        let mut subject = self.subject(inspection, flow);
        let TransactionState {
            candidates, done, ..
        } = &mut state;
        candidates.retain(|index| {
            let Some(rule) = self.rule(*index).filter(|_| !matches.passed) else {
                return false;
            };
            // Once in each direction; a rule about both directions once.
            let side = (
                *index,
                direction == Direction::ToServer || rule.transactional,
            );
            if done.contains(&side) {
                return true;
            }
            let verdict = verify::rule(rule, inspection, 0, &mut scratch.steps_exceeded);
            if verdict == Verdict::Match && self.settle(*index, &mut subject) {
                done.push(side);
                matches.passed |= rule.action == Action::Pass;
                if !rule.silent && !matches.passed {
                    found(rule, seen);
                }
                return true;
            }
            // Only in its own direction, and not before the handshake that it may ask for.
            let final_word = rule.flow.to_server == Some(inspection.flow.to_server)
                && inspection.flow.established;
            let over = verdict == Verdict::Never || self.compiled.decided(*index, stage);
            !(final_word && over)
        });
        transaction.matching = state;
    }

    /// Has the rules that matched on a packet and are tried on the stream too leave out its bytes
    /// there.
    fn anchor(
        &self,
        inspection: &Inspection<'_>,
        matches: &mut FlowMatches,
        scratch: &mut Scratch,
    ) {
        let [client, server] = inspection.flow.stream;
        let stream = if inspection.flow.to_server {
            client
        } else {
            server
        };
        let end = stream.saturating_add(inspection.data.len() as u64);
        scratch.matched.retain(|rule| {
            let twice = self.compiled.on_stream(*rule);
            if twice && !matches.passed {
                matches.finish(*rule, end);
            }
            !(twice && matches.passed)
        });
    }

    fn subject<'a>(&'a self, inspection: &Inspection<'_>, flow: &'a mut FlowState) -> Subject<'a> {
        Subject {
            flow,
            hosts: &self.hosts,
            source: inspection.headers.source,
            destination: inspection.headers.destination,
            now: inspection.now,
        }
    }

    /// Whether a rule that matches once in a flow has not done so.
    fn anew(&self, index: u32, inspection: &Inspection<'_>, subject: &mut Subject<'_>) -> bool {
        let about = usize::try_from(index)
            .ok()
            .and_then(|index| self.compiled.about_flow.get(index));
        match about.copied().flatten() {
            None => true,
            Some(AboutFlow::Protocol) => subject.flow.first(index, None),
            Some(AboutFlow::Addresses) => {
                subject.flow.first(index, Some(inspection.flow.to_server))
            }
        }
    }

    /// Whether what a rule wants remembered is; if so, what it changes is changed.
    fn settle(&self, index: u32, subject: &mut Subject<'_>) -> bool {
        let states = usize::try_from(index)
            .ok()
            .and_then(|index| self.compiled.states.get(index));
        let Some(states) = states.filter(|states| !states.is_empty()) else {
            return true;
        };
        let holds = states.hold(subject);
        if holds {
            states.apply(subject);
        }
        holds
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
        subject: &mut Subject<'_>,
        scratch: &mut Scratch,
        mut matches: Option<&mut FlowMatches>,
    ) {
        for index in &scratch.candidates {
            let Some(rule) = self.rule(*index) else {
                continue;
            };
            let after = matches
                .as_ref()
                .map_or(0, |kept| kept.seen(*index, inspection));
            let verdict = verify::rule(rule, inspection, after, &mut scratch.steps_exceeded);
            let matched = verdict == Verdict::Match
                && self.anew(*index, inspection, subject)
                && self.settle(*index, subject);
            if matched {
                scratch.matched.push(*index);
            }
            match (&mut matches, verdict) {
                (Some(matches), Verdict::Match) if matched => {
                    matches.finish(*index, inspection.data_start + inspection.data.len() as u64);
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
    /// Up to where in the data a rule has matched already; 0 if it has not.
    fn seen(&self, rule: u32, inspection: &Inspection<'_>) -> usize {
        let done = self.done.iter().find(|(done, _)| *done == rule);
        let place = done.map_or(0, |(_, place)| *place);
        usize::try_from(place.saturating_sub(inspection.data_start)).unwrap_or(usize::MAX)
    }

    /// Notes that a rule has matched in what has come up to this place.
    fn finish(&mut self, rule: u32, place: u64) {
        match self.done.iter_mut().find(|(done, _)| *done == rule) {
            Some((_, seen)) => *seen = place,
            None => {
                if self.done.len() >= MAX_DONE {
                    self.done.remove(0);
                }
                self.done.push((rule, place));
            }
        }
    }

    fn remember(&mut self, pending: Pending, dropped: &mut u64) {
        if self.pending.len() < MAX_PENDING {
            self.pending.push(pending);
        } else {
            self.rescan = true;
            *dropped += 1;
        }
    }
}

/// Whether a group of tests passes on these bytes.
#[must_use]
pub(crate) fn group_matches(group: &Group, bytes: &[u8]) -> bool {
    verify::whole(group, bytes, &mut Work::new()) == Verdict::Match
}
