//! A bounded map in which newcomers push out newcomers.

use core::hash::Hash;
use std::collections::VecDeque;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::packet::Timestamp;

#[derive(Debug)]
struct Entry<V> {
    value: V,
    touched: Timestamp,
    proven: bool,
    serial: u64,
}

/// Values by key. When full, the oldest that is not proven goes; when all are proven, the one
/// that was not touched for longest (second chance: FIFO, passing over what was touched since).
#[derive(Debug)]
pub(crate) struct Roster<K, V> {
    map: HashMap<K, Entry<V>, RandomState>,
    newcomers: VecDeque<(K, u64)>,
    proven: VecDeque<(K, u64, Timestamp)>,
    capacity: usize,
    next_serial: u64,
}

impl<K: Copy + Eq + Hash, V: Default> Roster<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            map: HashMap::with_hasher(RandomState::default()),
            newcomers: VecDeque::new(),
            proven: VecDeque::new(),
            capacity: capacity.max(1),
            next_serial: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// The value of `key`, made if it is new; and what had to go for it.
    pub(crate) fn entry(&mut self, key: K, now: Timestamp) -> (&mut V, Option<V>) {
        let mut evicted = None;
        if !self.map.contains_key(&key) {
            if self.map.len() >= self.capacity {
                evicted = self.evict();
            }
            self.next_serial += 1;
            self.newcomers.push_back((key, self.next_serial));
            self.compact();
        }
        let serial = self.next_serial;
        let entry = self.map.entry(key).or_insert_with(|| Entry {
            value: V::default(),
            touched: now,
            proven: false,
            serial,
        });
        entry.touched = entry.touched.max(now);
        (&mut entry.value, evicted)
    }

    /// Protects `key` from newcomers.
    pub(crate) fn prove(&mut self, key: K) {
        if let Some(entry) = self.map.get_mut(&key)
            && !entry.proven
        {
            entry.proven = true;
            self.proven.push_back((key, entry.serial, entry.touched));
        }
    }

    /// Removes the one that matters least.
    pub(crate) fn evict(&mut self) -> Option<V> {
        while let Some((key, serial)) = self.newcomers.pop_front() {
            let waits = |entry: &Entry<V>| entry.serial == serial && !entry.proven;
            if self.map.get(&key).is_some_and(waits) {
                return self.map.remove(&key).map(|entry| entry.value);
            }
        }
        while let Some((key, serial, touched)) = self.proven.pop_front() {
            match self.map.get(&key) {
                Some(entry) if entry.serial == serial && entry.touched > touched => {
                    self.proven.push_back((key, serial, entry.touched));
                }
                Some(entry) if entry.serial == serial => {
                    return self.map.remove(&key).map(|entry| entry.value);
                }
                _ => {}
            }
        }
        None
    }

    /// Keeps those for which `keep` holds.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V, Timestamp) -> bool) {
        self.map
            .retain(|key, entry| keep(key, &mut entry.value, entry.touched));
        self.compact();
    }

    /// Drops queue entries whose value has gone, once they are as many as the values can be.
    fn compact(&mut self) {
        let map = &self.map;
        let most = 2 * self.capacity.max(8);
        if self.newcomers.len() > most {
            self.newcomers.retain(|(key, serial)| {
                map.get(key)
                    .is_some_and(|entry| entry.serial == *serial && !entry.proven)
            });
        }
        if self.proven.len() > most {
            self.proven.retain(|(key, serial, _)| {
                map.get(key).is_some_and(|entry| entry.serial == *serial)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcomers_push_out_newcomers() {
        let mut roster: Roster<u32, u32> = Roster::new(100);
        for key in 0..50 {
            *roster.entry(key, Timestamp(1)).0 = 7;
            roster.prove(key);
        }
        let mut evicted = 0;
        for key in 1_000..101_000 {
            evicted += u32::from(roster.entry(key, Timestamp(2)).1.is_some());
            assert!(roster.len() <= 100 && roster.newcomers.len() <= 201);
        }
        assert_eq!(evicted, 99_950);
        for key in 0..50 {
            assert_eq!(
                *roster.entry(key, Timestamp(3)).0,
                7,
                "{key} was pushed out"
            );
        }
    }

    #[test]
    fn among_the_proven_the_idlest_goes() {
        let mut roster: Roster<u32, u32> = Roster::new(3);
        for key in 1..=3 {
            *roster.entry(key, Timestamp(1)).0 = key;
            roster.prove(key);
        }
        roster.entry(1, Timestamp(2));
        assert_eq!(roster.entry(4, Timestamp(3)).1, Some(2));
        roster.retain(|_, _, touched| touched > Timestamp(1));
        assert_eq!(roster.len(), 2);
    }
}
