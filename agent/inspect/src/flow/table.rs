//! Flows by key, bounded, with the idlest at hand.

use core::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};

use super::{flow::Flow, key::FlowKey};
use crate::packet::Timestamp;

const NIL: u32 = u32::MAX;

/// How long a flow may be idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// TCP after RST, or FIN of both sides.
    Closed = 0,
    /// All but TCP, and TCP that is not established.
    Short = 1,
    /// Established TCP.
    Established = 2,
}

/// Lists of the flows that hold stream memory, beside the three of [`Lifetime`]: those that are
/// over, and the others.
const CLOSED_HOLDERS: usize = 3;
const HOLDERS: usize = 4;
const LISTS: usize = 5;

/// A doubly linked list through the slots: longest untouched first.
#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    list: Option<usize>,
    previous: u32,
    next: u32,
}

const UNLINKED: Link = Link {
    list: None,
    previous: NIL,
    next: NIL,
};

#[derive(Debug)]
struct Slot {
    flow: Option<Flow>,
    hash: u64,
    /// Membership in a [`Lifetime`] list, and among the holders of memory.
    links: [Link; 2],
}

const AGE: usize = 0;
const MEMORY: usize = 1;

/// Where a flow is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowIndex(u32);

/// The flows of one inspector. Slots are reused, so a full table allocates no more.
#[derive(Debug)]
pub(crate) struct FlowTable {
    slots: Vec<Slot>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: RandomState,
    lists: [Ends; LISTS],
}

impl FlowTable {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
            lists: [Ends {
                first: NIL,
                last: NIL,
            }; LISTS],
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn find(&self, key: &FlowKey) -> Option<FlowIndex> {
        let hash = self.hasher.hash_one(key);
        self.index
            .find(hash, |&at| self.key_at(at) == Some(key))
            .map(|&at| FlowIndex(at))
    }

    pub(crate) fn get_mut(&mut self, index: FlowIndex) -> Option<&mut Flow> {
        self.slots.get_mut(index.0 as usize)?.flow.as_mut()
    }

    pub(crate) fn for_each(&mut self, change: impl FnMut(&mut Flow)) {
        self.slots
            .iter_mut()
            .filter_map(|slot| slot.flow.as_mut())
            .for_each(change);
    }

    /// Adds a flow whose key is not in the table.
    pub(crate) fn insert(&mut self, flow: Flow) -> FlowIndex {
        let hash = self.hasher.hash_one(flow.key);
        let key = flow.key;
        let slot = Slot {
            flow: Some(flow),
            hash,
            links: [UNLINKED; 2],
        };
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(place) = self.slots.get_mut(at as usize) {
                    *place = slot;
                }
                at
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).unwrap_or(NIL)
            }
        };
        let Self { slots, index, .. } = self;
        let equal = |&other: &u32| {
            slots
                .get(other as usize)
                .and_then(|slot| slot.flow.as_ref())
                .is_some_and(|flow| flow.key == key)
        };
        let rehash = |&other: &u32| slots.get(other as usize).map_or(0, |slot| slot.hash);
        match index.entry(hash, equal, rehash) {
            Entry::Occupied(mut entry) => *entry.get_mut() = at,
            Entry::Vacant(entry) => {
                entry.insert(at);
            }
        }
        self.push(AGE, Lifetime::Short as usize, at);
        FlowIndex(at)
    }

    /// Moves a flow to the young end of its lists.
    pub(crate) fn touch(&mut self, index: FlowIndex, lifetime: Lifetime, holds_memory: bool) {
        self.push(AGE, lifetime as usize, index.0);
        match (holds_memory, lifetime) {
            (true, Lifetime::Closed) => self.push(MEMORY, CLOSED_HOLDERS, index.0),
            (true, _) => self.push(MEMORY, HOLDERS, index.0),
            (false, _) => self.unlink(MEMORY, index.0),
        }
    }

    /// Says that a flow gave its stream memory back.
    pub(crate) fn released(&mut self, index: FlowIndex) {
        self.unlink(MEMORY, index.0);
    }

    pub(crate) fn remove(&mut self, index: FlowIndex) -> Option<Flow> {
        let at = index.0;
        self.unlink(AGE, at);
        self.unlink(MEMORY, at);
        let slot = self.slots.get_mut(at as usize)?;
        let flow = slot.flow.take()?;
        if let Ok(entry) = self.index.find_entry(slot.hash, |&other| other == at) {
            entry.remove();
        }
        self.free.push(at);
        Some(flow)
    }

    /// The idlest flow of a lifetime, and when it was last seen.
    pub(crate) fn idlest(&self, lifetime: Lifetime) -> Option<(FlowIndex, Timestamp)> {
        let at = self.lists.get(lifetime as usize)?.first;
        let flow = self.slots.get(at as usize)?.flow.as_ref()?;
        Some((FlowIndex(at), flow.last_seen))
    }

    /// The flow to take stream memory from: the idlest of those that are over, else of all.
    pub(crate) fn idlest_holder(&self) -> Option<FlowIndex> {
        [CLOSED_HOLDERS, HOLDERS]
            .into_iter()
            .filter_map(|list| self.lists.get(list))
            .find(|ends| ends.first != NIL)
            .map(|ends| FlowIndex(ends.first))
    }

    /// The flow to give up when the table is full: one that is over before one that has not begun
    /// (so a flood of SYN does not push out connections), and the idlest of those.
    pub(crate) fn victim(&self) -> Option<FlowIndex> {
        [Lifetime::Closed, Lifetime::Short, Lifetime::Established]
            .into_iter()
            .find_map(|lifetime| self.idlest(lifetime))
            .map(|(index, _)| index)
    }

    fn key_at(&self, at: u32) -> Option<&FlowKey> {
        let slot = self.slots.get(at as usize)?;
        slot.flow.as_ref().map(|flow| &flow.key)
    }

    fn link_mut(&mut self, kind: usize, at: u32) -> Option<&mut Link> {
        self.slots.get_mut(at as usize)?.links.get_mut(kind)
    }

    fn push(&mut self, kind: usize, list: usize, at: u32) {
        if self.lists.get(list).is_some_and(|ends| ends.last == at) {
            return;
        }
        self.unlink(kind, at);
        let Some(ends) = self.lists.get_mut(list) else {
            return;
        };
        let previous = ends.last;
        ends.last = at;
        if ends.first == NIL {
            ends.first = at;
        }
        if let Some(link) = self.link_mut(kind, previous) {
            link.next = at;
        }
        if let Some(link) = self.link_mut(kind, at) {
            *link = Link {
                list: Some(list),
                previous,
                next: NIL,
            };
        }
    }

    fn unlink(&mut self, kind: usize, at: u32) {
        let Some(link) = self.link_mut(kind, at) else {
            return;
        };
        let Link {
            list: Some(list),
            previous,
            next,
        } = *link
        else {
            return;
        };
        *link = UNLINKED;
        if let Some(link) = self.link_mut(kind, previous) {
            link.next = next;
        }
        if let Some(link) = self.link_mut(kind, next) {
            link.previous = previous;
        }
        if let Some(ends) = self.lists.get_mut(list) {
            if ends.first == at {
                ends.first = next;
            }
            if ends.last == at {
                ends.last = previous;
            }
        }
    }
}

#[cfg(test)]
mod tests;
