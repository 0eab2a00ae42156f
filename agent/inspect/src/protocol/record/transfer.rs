//! A file that goes over the wire in pieces.

use super::Chunks;
use crate::flow::Direction;
use crate::protocol::{Field, Stage, Transactions};

/// One file going one way, as a transaction of its own.
#[derive(Debug)]
pub(crate) struct Transfer {
    transaction: u64,
    direction: Direction,
    name: Vec<u8>,
    chunks: Chunks,
}

impl Transfer {
    /// Begins the transaction. `numbers` are what rules may ask of it besides the file.
    pub(crate) fn begin(
        direction: Direction,
        name: &[u8],
        numbers: &[(Field, u64)],
        out: &mut Transactions,
    ) -> Self {
        let mut transfer = Self {
            transaction: 0,
            direction,
            name: name.to_vec(),
            chunks: Chunks::default(),
        };
        transfer.open(numbers, out);
        transfer
    }

    fn open(&mut self, numbers: &[(Field, u64)], out: &mut Transactions) {
        self.transaction = out.begin();
        if let Some(transaction) = out.get(self.transaction) {
            for side in [Direction::ToServer, Direction::ToClient] {
                for (field, value) in numbers {
                    transaction.number(side, *field, *value);
                }
                transaction.advance(side, Stage::Headers);
            }
            let name = (!self.name.is_empty()).then_some(self.name.as_slice());
            transaction.file_open(self.direction, name);
        }
    }

    /// A piece of the file. Says whether it overlapped what came before.
    pub(crate) fn put(
        &mut self,
        offset: u64,
        data: &[u8],
        numbers: &[(Field, u64)],
        out: &mut Transactions,
    ) -> bool {
        // A long transfer may outlive its transaction among many small ones; it goes on in a new one.
        if out.get(self.transaction).is_none() {
            self.open(numbers, out);
        }
        let most = out.limits().partial;
        let direction = self.direction;
        let Some(transaction) = out.get(self.transaction) else {
            return false;
        };
        self.chunks.put(offset, data, most, &mut |data| {
            transaction.file_data(direction, data);
        })
    }

    /// An event of the file's transaction.
    pub(crate) fn event(&self, event: &'static str, out: &mut Transactions) {
        if let Some(transaction) = out.get(self.transaction) {
            transaction.event(self.direction, event);
        }
    }

    /// Nothing more comes.
    pub(crate) fn finish(&mut self, out: &mut Transactions) {
        let direction = self.direction;
        if let Some(transaction) = out.get(self.transaction) {
            self.chunks.finish(&mut |data| {
                transaction.file_data(direction, data);
            });
            transaction.file_close(direction);
            for side in [Direction::ToServer, Direction::ToClient] {
                transaction.advance(side, Stage::Complete);
            }
        }
    }

    /// How far it came without a hole.
    pub(crate) const fn reached(&self) -> u64 {
        self.chunks.next()
    }

    pub(crate) fn footprint(&self) -> usize {
        size_of::<Self>() + self.name.capacity() + self.chunks.footprint()
    }
}
