//! Rules against traffic: which rules match what the flow stage hands over.

mod addresses;
mod compile;
mod gate;
mod hints;
mod matcher;
mod memory;
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
pub(crate) use memory::TransactionState;
pub use memory::{FlowMatches, Memory, Scratch};
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
use memory::Pending;
use search::Work;
use state::{Hosts, Subject};
use verify::Verdict;

/// Compiled rules. Immutable: inspection threads share it.
#[derive(Debug)]
pub struct Engine {
    compiled: Compiled,
    filters: Arc<AlertFilters>,
    hosts: Arc<Hosts>,
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
            matches, scratch, ..
        } = memory;
        scratch.begin(self.compiled.rules.len());
        if inspection.unit != Unit::Stream {
            self.compiled.candidates(inspection, 0, scratch);
        } else if !matches.passed {
            let fresh = self.retry(inspection, matches, scratch);
            self.compiled.candidates(inspection, fresh, scratch);
        }
        matches.hints.note(&mut scratch.hints, inspection);
        self.conclude(inspection, memory, found);
    }

    /// Searches a segment that came in its place once for two evaluations: `packet`, by
    /// [`Engine::inspect_packet`], and after it `stream`, the window that it ends, by
    /// [`Engine::inspect_stream`].
    pub fn search_segment(
        &self,
        stream: &Inspection<'_>,
        packet: &Inspection<'_>,
        memory: &mut Memory<'_>,
    ) {
        let Memory {
            matches, scratch, ..
        } = memory;
        scratch.begin(self.compiled.rules.len());
        let fresh = self.retry(stream, matches, scratch);
        self.compiled
            .segment_candidates(stream, packet, fresh, scratch);
        if matches.passed {
            scratch.candidates.clear();
        }
        matches.hints.note(&mut scratch.hints, stream);
        scratch.on_packet.sort_unstable();
        scratch.on_packet.dedup();
    }

    /// The evaluation of a packet whose segment was searched.
    pub fn inspect_packet(
        &self,
        packet: &Inspection<'_>,
        memory: &mut Memory<'_>,
        found: &mut dyn FnMut(&Arc<Rule>),
    ) {
        let swap = |scratch: &mut Scratch| {
            core::mem::swap(&mut scratch.candidates, &mut scratch.on_packet);
        };
        swap(memory.scratch);
        self.conclude(packet, memory, found);
        swap(memory.scratch);
    }

    /// The evaluation of a window whose last segment was searched.
    pub fn inspect_stream(
        &self,
        stream: &Inspection<'_>,
        memory: &mut Memory<'_>,
        found: &mut dyn FnMut(&Arc<Rule>),
    ) {
        self.conclude(stream, memory, found);
    }

    /// Tries the candidates.
    fn conclude(
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
        scratch.matched.clear();
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
            .transaction_candidates(transaction, protocol, direction, scratch);
        matches.hints.give(&mut transaction.matching, direction);
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
            let elsewhere = |wanted| wanted != inspection.flow.to_server;
            if rule.flow.to_server.is_some_and(elsewhere) && !rule.transactional {
                return true;
            }
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
    /// are no candidates in this round. Returns from where on the data are to be searched.
    fn retry(
        &self,
        inspection: &Inspection<'_>,
        matches: &mut FlowMatches,
        scratch: &mut Scratch,
    ) -> usize {
        let rescan = core::mem::take(&mut matches.rescan);
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
        if rescan { 0 } else { inspection.fresh }
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

/// Whether a group of tests passes on these bytes.
#[must_use]
pub(crate) fn group_matches(group: &Group, bytes: &[u8]) -> bool {
    verify::whole(group, bytes, &mut Work::new()) == Verdict::Match
}
