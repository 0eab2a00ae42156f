//! Files that are open, by handle, and the names they were looked up by.

use std::collections::VecDeque;

use crate::flow::Direction;
use crate::protocol::record::Transfer;
use crate::protocol::{Field, Transactions};

const MAX_FILES: usize = 128;

#[derive(Debug)]
struct File {
    handle: Vec<u8>,
    name: Vec<u8>,
    transfers: [Option<Transfer>; 2],
}

#[derive(Debug, Default)]
pub(super) struct Files {
    files: VecDeque<File>,
}

impl Files {
    fn find(&mut self, handle: &[u8], out: &mut Transactions) -> Option<&mut File> {
        if !self.files.iter().any(|file| file.handle == handle) {
            if self.files.len() >= MAX_FILES
                && let Some(mut oldest) = self.files.pop_front()
            {
                finish(&mut oldest, out);
            }
            self.files.push_back(File {
                handle: handle.to_vec(),
                name: Vec::new(),
                transfers: [None, None],
            });
        }
        self.files.iter_mut().find(|file| file.handle == handle)
    }

    pub(super) fn name(&mut self, handle: &[u8], name: &[u8], out: &mut Transactions) {
        if let Some(file) = self.find(handle, out) {
            file.name = name.to_vec();
        }
    }

    pub(super) fn content(
        &mut self,
        direction: Direction,
        handle: &[u8],
        offset: u64,
        data: &[u8],
        numbers: &[(Field, u64)],
        out: &mut Transactions,
    ) {
        let Some(file) = self.find(handle, out) else {
            return;
        };
        if let Some(slot) = file.transfers.get_mut(direction.index()) {
            slot.get_or_insert_with(|| Transfer::begin(direction, &file.name, numbers, out))
                .put(offset, data, numbers, out);
        }
    }

    /// Nothing more of this file comes this way.
    pub(super) fn close(&mut self, direction: Direction, handle: &[u8], out: &mut Transactions) {
        let file = self.files.iter_mut().find(|file| file.handle == handle);
        if let Some(slot) = file.and_then(|file| file.transfers.get_mut(direction.index()))
            && let Some(mut transfer) = slot.take()
        {
            transfer.finish(out);
        }
    }

    pub(super) fn end(&mut self, direction: Direction, out: &mut Transactions) {
        for file in &mut self.files {
            if let Some(slot) = file.transfers.get_mut(direction.index())
                && let Some(mut transfer) = slot.take()
            {
                transfer.finish(out);
            }
        }
    }

    pub(super) fn footprint(&self) -> usize {
        self.files
            .iter()
            .map(|file| {
                let transfers: usize = file
                    .transfers
                    .iter()
                    .flatten()
                    .map(Transfer::footprint)
                    .sum();
                size_of::<File>() + file.handle.capacity() + file.name.capacity() + transfers
            })
            .sum()
    }
}

fn finish(file: &mut File, out: &mut Transactions) {
    for transfer in file.transfers.iter_mut().flatten() {
        transfer.finish(out);
    }
}
