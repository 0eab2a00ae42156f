//! The translations that are known, by either tuple. Bounded.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use hydrophone_inspect::{Timestamp, Translation, TranslationEvidence, packet::SocketId};

use super::message::Connection;

/// Translations that are kept: about 300 bytes each. Connection tracking itself keeps 262,144
/// connections on a large host, few of which are translated.
pub(super) const CAPACITY: usize = 65_536;
/// How long one that has ended stays known, in nanoseconds: what is told when a flow times out is
/// still about it.
const RETENTION: u64 = 600_000_000_000;

/// A tuple, its ends sorted, and the protocol.
type Key = (u8, SocketId, SocketId);

fn key(protocol: u8, [one, other]: [SocketId; 2]) -> Key {
    (protocol, one.min(other), one.max(other))
}

#[derive(Debug)]
struct Entry {
    /// The kernel's id of the connection.
    id: u32,
    protocol: u8,
    translation: Arc<Translation>,
    ended: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Table {
    capacity: usize,
    /// By serial number, which is also the translation's id.
    entries: HashMap<u64, Entry>,
    by_tuple: HashMap<Key, u64>,
    /// Serial numbers in the order in which they came, and in that in which they ended. Some may
    /// have gone.
    came: VecDeque<u64>,
    ended: VecDeque<u64>,
    serial: u64,
    evicted: u64,
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: HashMap::new(),
            by_tuple: HashMap::new(),
            came: VecDeque::new(),
            ended: VecDeque::new(),
            serial: 0,
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Those that had to go for want of room.
    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// A connection is there. What was known by its tuples is not meant any more.
    pub(super) fn begin(&mut self, connection: &Connection) {
        let &Connection {
            id,
            protocol,
            original,
            translated,
        } = connection;
        let known = self.entry_of(protocol, original);
        let is_known = known.is_some_and(|(_, entry)| {
            entry.id == id && entry.ended.is_none() && entry.translation.translated == translated
        });
        if is_known {
            return;
        }
        self.make_room();
        self.serial += 1;
        let serial = self.serial;
        let translation = Arc::new(Translation {
            original,
            translated,
            by: TranslationEvidence::Conntrack,
            id: serial,
        });
        let entry = Entry {
            id,
            protocol,
            translation,
            ended: None,
        };
        self.entries.insert(serial, entry);
        self.came.push_back(serial);
        for tuple in [original, translated] {
            if let Some(old) = self.by_tuple.insert(key(protocol, tuple), serial) {
                self.forget(old);
            }
        }
    }

    /// The kernel has forgotten a connection.
    pub(super) fn end(&mut self, connection: &Connection, now: Timestamp) {
        let place = key(connection.protocol, connection.original);
        let Some(serial) = self.by_tuple.get(&place).copied() else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(&serial)
            && entry.id == connection.id
            && entry.ended.is_none()
        {
            entry.ended = Some(now);
            self.ended.push_back(serial);
        }
    }

    /// How the connection is translated that has these ends on either side, unless it had ended
    /// before `start`.
    pub(super) fn find(
        &self,
        protocol: u8,
        ends: [SocketId; 2],
        start: Timestamp,
    ) -> Option<Arc<Translation>> {
        let (_, entry) = self.entry_of(protocol, ends)?;
        let is_meant = entry.ended.is_none_or(|ended| ended >= start);
        is_meant.then(|| Arc::clone(&entry.translation))
    }

    /// Forgets what ended long ago.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some(serial) = self.ended.front().copied() {
            let ended = self.entries.get(&serial).and_then(|entry| entry.ended);
            if ended.is_some_and(|ended| now.since(ended) < RETENTION) {
                return;
            }
            self.ended.pop_front();
            self.forget(serial);
        }
    }

    fn entry_of(&self, protocol: u8, ends: [SocketId; 2]) -> Option<(u64, &Entry)> {
        let serial = *self.by_tuple.get(&key(protocol, ends))?;
        Some((serial, self.entries.get(&serial)?))
    }

    /// The one that ended first goes, else the oldest.
    fn make_room(&mut self) {
        while self.entries.len() >= self.capacity {
            let Some(serial) = self.ended.pop_front().or_else(|| self.came.pop_front()) else {
                return;
            };
            self.evicted += u64::from(self.forget(serial));
        }
        // Those that have gone stay in the queues until these are twice as long as they need be.
        let entries = &self.entries;
        for queue in [&mut self.came, &mut self.ended] {
            if queue.len() > 2 * self.capacity {
                queue.retain(|serial| entries.contains_key(serial));
            }
        }
    }

    fn forget(&mut self, serial: u64) -> bool {
        let Some(entry) = self.entries.remove(&serial) else {
            return false;
        };
        for tuple in [entry.translation.original, entry.translation.translated] {
            let place = key(entry.protocol, tuple);
            if self.by_tuple.get(&place) == Some(&serial) {
                self.by_tuple.remove(&place);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::message::tests::{end, published},
        *,
    };

    const START: Timestamp = Timestamp(1_000);

    #[test]
    fn a_connection_is_found_by_either_tuple_in_either_order() {
        let mut table = Table::new(10);
        let connection = published();
        table.begin(&connection);
        for [one, other] in [connection.original, connection.translated] {
            for ends in [[one, other], [other, one]] {
                let found = table.find(6, ends, START).unwrap();
                assert_eq!(
                    (found.original, found.translated),
                    (connection.original, connection.translated)
                );
                assert_eq!(table.find(17, ends, START), None);
            }
        }
        let other = [end("10.0.0.2:4001"), end("10.0.0.1:8080")];
        assert_eq!(table.find(6, other, START), None);
    }

    #[test]
    fn the_same_told_twice_is_one_and_the_next_on_the_same_ports_another() {
        let mut table = Table::new(10);
        let connection = published();
        table.begin(&connection);
        let first = table.find(6, connection.original, START).unwrap().id;
        table.begin(&connection);
        assert_eq!(table.find(6, connection.original, START).unwrap().id, first);
        table.begin(&Connection {
            id: 8,
            ..connection
        });
        assert_ne!(table.find(6, connection.original, START).unwrap().id, first);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn what_has_ended_is_of_earlier_flows_and_goes_in_time() {
        let mut table = Table::new(10);
        let connection = published();
        table.begin(&connection);
        // Another connection's end, which came late.
        table.end(
            &Connection {
                id: 9,
                ..connection
            },
            Timestamp(1),
        );
        assert!(table.find(6, connection.original, START).is_some());
        table.end(&connection, START);
        assert!(table.find(6, connection.translated, START).is_some());
        let later = Timestamp(START.0 + 1);
        assert_eq!(table.find(6, connection.translated, later), None);
        table.expire(later);
        assert_eq!(table.len(), 1);
        table.expire(Timestamp(START.0 + RETENTION));
        assert_eq!((table.len(), table.by_tuple.len()), (0, 0));
    }

    #[test]
    fn a_flood_is_bounded_and_the_ended_go_first() {
        let mut table = Table::new(100);
        let of_port = |port| {
            let mut connection = published();
            connection.id = u32::from(port);
            connection.original[0].port = port;
            connection.translated[0].port = port;
            connection
        };
        for port in 0..100 {
            table.begin(&of_port(port));
        }
        table.end(&of_port(50), START);
        table.begin(&of_port(100));
        assert_eq!(table.find(6, of_port(50).original, START), None);
        assert!(table.find(6, of_port(0).original, START).is_some());
        for port in 101..6_000 {
            table.begin(&of_port(port));
            if port % 3 == 0 {
                table.end(&of_port(port), START);
            }
            assert!(table.len() <= 100 && table.by_tuple.len() <= 200);
        }
        assert!(table.came.len() <= 201 && table.ended.len() <= 201);
        assert_eq!(table.evicted(), 5_900);
    }
}
