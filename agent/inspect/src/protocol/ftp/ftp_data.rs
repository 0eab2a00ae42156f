//! The connection that carries one file or listing.

use super::super::{Buffer, Parser, Stage, Status, Transactions};
use crate::flow::Direction;

/// Follows one data connection.
#[derive(Debug)]
pub struct FtpData {
    command: Vec<u8>,
    file_name: Vec<u8>,
    transaction: Option<u64>,
}

impl FtpData {
    /// For the transfer that a command on the control connection asked for.
    #[must_use]
    pub const fn new(command: Vec<u8>, file_name: Vec<u8>) -> Self {
        Self {
            command,
            file_name,
            transaction: None,
        }
    }

    fn begin(&mut self, direction: Direction, out: &mut Transactions) -> u64 {
        if let Some(id) = self.transaction {
            return id;
        }
        let id = out.begin();
        self.transaction = Some(id);
        if let Some(transaction) = out.get(id) {
            transaction.push(direction, Buffer::FtpDataCommand, &self.command);
            // A listing is no file.
            if !self.file_name.is_empty() {
                transaction.file_open(direction, Some(&self.file_name));
            }
            transaction.advance(direction, Stage::Headers);
            // The other direction says nothing.
            transaction.advance(direction.reverse(), Stage::Complete);
        }
        id
    }
}

impl Parser for FtpData {
    /// The direction is that of the bytes: who opened the connection depends on the mode.
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        let id = self.begin(direction, out);
        if !self.file_name.is_empty()
            && let Some(transaction) = out.get(id)
            && transaction.stage(direction) != Stage::Complete
        {
            transaction.file_data(direction, data);
        }
        Status::Ok
    }

    fn gap(&mut self, direction: Direction, _length: u64, out: &mut Transactions) -> Status {
        // What follows is not the content of the file at this place.
        if let Some(transaction) = self.transaction.and_then(|id| out.get(id)) {
            transaction.advance(direction, Stage::Complete);
        }
        Status::Ok
    }

    fn end(&mut self, direction: Direction, out: &mut Transactions) {
        if let Some(transaction) = self.transaction.and_then(|id| out.get(id)) {
            transaction.advance(direction, Stage::Complete);
        }
    }

    fn footprint(&self) -> usize {
        size_of::<Self>() + self.command.capacity() + self.file_name.capacity()
    }
}
