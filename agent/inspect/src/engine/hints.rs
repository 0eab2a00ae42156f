//! Rules on transactions whose pattern is in the payload, for as long as it is in view.
//!
//! Many rules name a buffer that has one of few values, such as the method of a request, and a telling
//! text somewhere in the stream. They are looked for by that text while the stream is searched, and
//! tried on the transactions that the flow has then.

use super::{Inspection, Unit, memory::TransactionState};
use crate::flow::Direction;

const TCP: u8 = 6;

/// What was found in one direction of a flow; each rule once, so there are never more than rules.
#[derive(Clone, Debug, Default)]
pub(super) struct Hints {
    list: Vec<Hint>,
    /// Hints so far.
    count: u64,
}

#[derive(Clone, Copy, Debug)]
struct Hint {
    rule: u32,
    /// Its place among all hints of the direction, from 1 on.
    number: u64,
    /// Where the data ended in which the pattern was.
    end: u64,
}

impl Hints {
    /// Notes the rules found, and forgets those whose pattern is behind the data that is in view.
    pub(super) fn note(&mut self, found: &mut Vec<u32>, inspection: &Inspection<'_>) {
        let start = inspection.data_start;
        match inspection.unit {
            Unit::Stream => self.list.retain(|hint| hint.end > start),
            // A datagram is in view alone; a segment is a part of its stream.
            Unit::Packet if inspection.headers.protocol != TCP => self.list.clear(),
            _ => return,
        }
        let end = start.saturating_add(inspection.data.len() as u64);
        for rule in found.drain(..) {
            self.count += 1;
            let hint = Hint {
                rule,
                number: self.count,
                end,
            };
            match self.list.iter_mut().find(|known| known.rule == rule) {
                Some(known) => *known = hint,
                None => self.list.push(hint),
            }
        }
    }

    /// Makes candidates of the rules that this transaction has not been given.
    pub(super) fn give(&self, state: &mut TransactionState, direction: Direction) {
        let side = usize::from(direction == Direction::ToServer);
        let Some(given) = state.hinted.get_mut(side).filter(|it| **it < self.count) else {
            return;
        };
        for hint in self.list.iter().filter(|hint| hint.number > *given) {
            if let Err(at) = state.candidates.binary_search(&hint.rule) {
                state.candidates.insert(at, hint.rule);
            }
        }
        *given = self.count;
    }
}
