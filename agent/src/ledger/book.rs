//! Differences between snapshots, as records. No files, no clocks.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Facts, Wall,
    record::{GoneReason, Record},
};
use crate::census::Container;

/// What makes a container's life one: the same id with another cgroup is a new one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    id: String,
    cgroup_id: u64,
}

impl Key {
    fn of(container: &Container) -> Self {
        Self {
            id: container.id.clone(),
            cgroup_id: container.cgroup_id,
        }
    }

    fn of_facts(facts: &Facts) -> Self {
        Self {
            id: facts.id.clone(),
            cgroup_id: facts.cgroup_id,
        }
    }
}

/// A container that is open in the ledger.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) number: u64,
    pub(super) since: Wall,
    pub(super) facts: Facts,
    /// As the census had it last.
    source: Option<Arc<Container>>,
}

impl Open {
    pub(super) const fn new(number: u64, since: Wall, facts: Facts) -> Self {
        Self {
            number,
            since,
            facts,
            source: None,
        }
    }

    fn carry(&self) -> Record {
        Record::Carry {
            container: self.number,
            since: self.since,
            facts: self.facts.clone(),
        }
    }
}

/// What is in the ledger and not over.
#[derive(Debug, Default)]
pub(super) struct Book {
    open: HashMap<Key, Open>,
    /// Those that were there in the last snapshot.
    living: Vec<Arc<Container>>,
    /// Those that the census has as gone, latest first, as they were in the last snapshot.
    gone: Vec<Arc<Container>>,
    /// Closed, and still among the gone: more may be told of them.
    closed: HashMap<Key, Open>,
    /// Highest number that was given.
    last: u64,
}

impl Book {
    /// A book that goes on: with what the ledger has as open, and the highest number in it.
    pub(super) fn reopen(open: Vec<Open>, last: u64) -> Self {
        let open = open
            .into_iter()
            .map(|open| (Key::of_facts(&open.facts), open));
        Self {
            open: open.collect(),
            last,
            ..Self::default()
        }
    }

    /// Containers that are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Highest number that was given.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// All that is open, for a new file.
    pub(super) fn carries(&self) -> Vec<Record> {
        let mut all: Vec<_> = self.open.values().collect();
        all.sort_unstable_by_key(|open| open.number);
        all.into_iter().map(Open::carry).collect()
    }

    /// Closes everything: the host has started anew.
    pub(super) fn close_all(&mut self, last_seen: Option<Wall>) -> Vec<Record> {
        let mut all: Vec<_> = self.open.drain().map(|(_, open)| open.number).collect();
        all.sort_unstable();
        all.into_iter()
            .map(|container| Record::Gone {
                container,
                why: GoneReason::HostRestarted,
                last_seen,
            })
            .collect()
    }

    /// Reconciles with the first snapshot after a start: what is not there any more was not seen to
    /// go; what is there is carried over.
    pub(super) fn reconcile(
        &mut self,
        living: &[Arc<Container>],
        last_seen: Option<Wall>,
    ) -> Vec<Record> {
        let there: HashSet<_> = living.iter().map(|container| Key::of(container)).collect();
        let missing: Vec<_> = self
            .open
            .keys()
            .filter(|key| !there.contains(*key))
            .cloned()
            .collect();
        let mut missing: Vec<_> = missing
            .iter()
            .filter_map(|key| self.open.remove(key))
            .collect();
        missing.sort_unstable_by_key(|open| open.number);
        let mut records: Vec<_> = missing
            .into_iter()
            .map(|open| Record::Gone {
                container: open.number,
                why: GoneReason::NotSeenSince,
                last_seen,
            })
            .collect();
        records.extend(self.carries());
        records
    }

    /// What changed since the last snapshot. Who has gone comes before who came, so that nothing
    /// is held twice. `living` and `gone` are a snapshot's, `gone` the latest first.
    pub(super) fn take(
        &mut self,
        living: &[Arc<Container>],
        gone: &[Arc<Container>],
        now: Wall,
    ) -> Vec<Record> {
        let mut records = Vec::new();
        let is_new = !is_same(living, &self.living);
        if is_new {
            self.close_missing(living, &mut records);
        }
        if !is_same(gone, &self.gone) {
            self.note_gone(gone, now, &mut records);
        }
        if is_new {
            for container in living {
                self.note_living(container, now, &mut records);
            }
            self.living = living.to_vec();
        }
        records
    }

    fn close_missing(&mut self, living: &[Arc<Container>], records: &mut Vec<Record>) {
        let there: HashSet<_> = living.iter().map(|container| Key::of(container)).collect();
        let mut missing: Vec<_> = self
            .open
            .keys()
            .filter(|key| !there.contains(*key))
            .cloned()
            .collect();
        missing.sort_unstable_by_key(|key| self.open.get(key).map(|open| open.number));
        for key in missing {
            if let Some(open) = self.open.remove(&key) {
                records.push(Record::Gone {
                    container: open.number,
                    why: GoneReason::Seen,
                    last_seen: None,
                });
                self.closed.insert(key, open);
            }
        }
    }

    /// Those that have gone: more may have been told of them, and one that came and went between
    /// two snapshots is known only here.
    fn note_gone(&mut self, gone: &[Arc<Container>], now: Wall, records: &mut Vec<Record>) {
        // The list grows at its head and shrinks at its end: the rest is in step with the last one.
        let first = self.gone.first().map(|container| Key::of(container));
        let fresh = first.and_then(|first| gone.iter().position(|one| Key::of(one) == first));
        let fresh = fresh.unwrap_or(gone.len());
        let (new, old) = gone.split_at_checked(fresh).unwrap_or((gone, &[]));
        for container in new.iter().rev() {
            self.note_dead(container, now, records);
        }
        let changed: Vec<_> = old
            .iter()
            .zip(&self.gone)
            .filter(|(now, before)| !Arc::ptr_eq(now, before))
            .map(|(now, _)| Arc::clone(now))
            .collect();
        for container in changed {
            self.note_dead(&container, now, records);
        }
        // What has left the list will never be told more of.
        let left = self.gone.len().saturating_sub(old.len());
        if left > 0 {
            let kept: HashSet<_> = gone.iter().map(|container| Key::of(container)).collect();
            self.closed.retain(|key, _| kept.contains(key));
        }
        self.gone = gone.to_vec();
    }

    fn note_dead(&mut self, container: &Arc<Container>, now: Wall, records: &mut Vec<Record>) {
        let key = Key::of(container);
        // It lives again under the same key (v1 hierarchies have no ids).
        if self.open.contains_key(&key) {
            return;
        }
        if let Some(closed) = self.closed.get_mut(&key) {
            change(closed, container, records);
            return;
        }
        let open = self.appear(container, now, records);
        records.push(Record::Gone {
            container: open.number,
            why: GoneReason::Seen,
            last_seen: None,
        });
        self.closed.insert(key, open);
    }

    fn note_living(&mut self, container: &Arc<Container>, now: Wall, records: &mut Vec<Record>) {
        let key = Key::of(container);
        if let Some(open) = self.open.get_mut(&key) {
            change(open, container, records);
            return;
        }
        let open = self.appear(container, now, records);
        self.open.insert(key, open);
    }

    fn appear(&mut self, container: &Arc<Container>, now: Wall, records: &mut Vec<Record>) -> Open {
        self.last += 1;
        let facts = Facts::from(container.as_ref());
        let mut open = Open::new(self.last, now, facts.clone());
        open.source = Some(Arc::clone(container));
        records.push(Record::Appear {
            container: open.number,
            facts,
        });
        open
    }
}

/// Whether these are the very same: a snapshot shares with the one before it what has not changed.
fn is_same(these: &[Arc<Container>], those: &[Arc<Container>]) -> bool {
    these.len() == those.len()
        && these
            .iter()
            .zip(those)
            .all(|(one, other)| Arc::ptr_eq(one, other))
}

fn change(open: &mut Open, container: &Arc<Container>, records: &mut Vec<Record>) {
    let is_same = |source: &Arc<Container>| Arc::ptr_eq(source, container);
    if open.source.as_ref().is_some_and(is_same) {
        return;
    }
    open.source = Some(Arc::clone(container));
    let facts = Facts::from(container.as_ref()).or_known(&open.facts);
    let patch = open.facts.patch(&facts);
    if !patch.is_empty() {
        open.facts = facts;
        records.push(Record::Change {
            container: open.number,
            facts: patch,
        });
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
