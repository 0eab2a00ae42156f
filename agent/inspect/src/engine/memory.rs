//! What the engine keeps between evaluations: of a thread, a flow direction, a transaction.

use super::{FlowState, Inspection, hints::Hints, matcher::Noted};

/// Rules of one flow direction that were found in part and are tried again when more arrives.
pub(super) const MAX_PENDING: usize = 64;
/// Rules of one flow direction that are remembered to have matched.
const MAX_DONE: usize = 256;

/// What one thread needs while it matches; kept between calls so that nothing is allocated.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) candidates: Vec<u32>,
    /// Candidates on a packet, where a segment was searched for it and its stream.
    pub(super) on_packet: Vec<u32>,
    pub(super) matched: Vec<u32>,
    /// Rules on transactions whose pattern is in the payload.
    pub(super) hints: Vec<u32>,
    /// Round in which each rule was last decided to be a candidate or not.
    pub(super) seen: Vec<u32>,
    pub(super) round: u32,
    pub(super) noted: Noted,
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
    pub(super) done: Vec<(u32, u64)>,
    /// Rules whose fast pattern was seen while the rest was still to come.
    pub(super) pending: Vec<Pending>,
    /// There were more of those than are remembered: the next search begins at the window's start.
    pub(super) rescan: bool,
    /// A `pass` rule has matched on the stream: it silences what follows in this direction.
    pub(super) passed: bool,
    pub(super) hints: Hints,
}

/// What is kept of one transaction between evaluations.
#[derive(Debug, Default)]
pub(crate) struct TransactionState {
    /// Rules that could match, in order.
    pub(super) candidates: Vec<u32>,
    /// Rules that have, each with whether to the server: once in each direction.
    pub(super) done: Vec<(u32, bool)>,
    /// The rules without a pattern are candidates, by direction.
    pub(super) begun: [bool; 2],
    /// Hints that were looked at, by direction.
    pub(super) hinted: [u64; 2],
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
pub(super) struct Pending {
    pub(super) rule: u32,
    /// Index of a content without which it need not be tried again.
    pub(super) awaits: Option<usize>,
}

impl Scratch {
    pub(super) fn begin(&mut self, rules: usize) {
        self.candidates.clear();
        self.on_packet.clear();
        self.round = self.round.wrapping_add(1);
        if self.seen.len() != rules || self.round == 0 {
            self.seen.clear();
            self.seen.resize(rules, 0);
            self.round = 1;
        }
    }

    /// Makes a rule a candidate, once a round.
    pub(super) fn candidate(&mut self, rule: u32) {
        if self.mark(rule) {
            self.candidates.push(rule);
        }
    }

    /// Whether this is the first time in this round.
    pub(super) fn mark(&mut self, rule: u32) -> bool {
        let slot = usize::try_from(rule).ok();
        slot.and_then(|slot| self.seen.get_mut(slot))
            .is_some_and(|seen| core::mem::replace(seen, self.round) != self.round)
    }
}

impl FlowMatches {
    /// Up to where in the data a rule has matched already; 0 if it has not.
    pub(super) fn seen(&self, rule: u32, inspection: &Inspection<'_>) -> usize {
        let done = self.done.iter().find(|(done, _)| *done == rule);
        let place = done.map_or(0, |(_, place)| *place);
        usize::try_from(place.saturating_sub(inspection.data_start)).unwrap_or(usize::MAX)
    }

    /// Notes that a rule has matched in what has come up to this place.
    pub(super) fn finish(&mut self, rule: u32, place: u64) {
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

    pub(super) fn remember(&mut self, pending: Pending, dropped: &mut u64) {
        if self.pending.len() < MAX_PENDING {
            self.pending.push(pending);
        } else {
            self.rescan = true;
            *dropped += 1;
        }
    }
}
