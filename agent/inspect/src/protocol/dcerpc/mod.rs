//! DCE/RPC, connection-oriented over TCP and connectionless over UDP (C706).
//!
//! A transaction per call; a bind is one too. Named pipes of SMB carry the same units.

mod conversation;
mod datagram;
mod pdu;
#[cfg(test)]
mod tests;

pub(crate) use conversation::Conversation;
pub use datagram::{DcerpcUdp, probe as probe_udp};

use super::{Parser, Probe, Status, Transactions};
use crate::flow::Direction;

/// Follows one TCP connection.
#[derive(Debug, Default)]
pub struct Dcerpc {
    conversation: Conversation,
}

impl Dcerpc {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Parser for Dcerpc {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        self.conversation.data(direction, data, out);
        Status::Ok
    }

    fn gap(&mut self, direction: Direction, length: u64, _: &mut Transactions) -> Status {
        self.conversation.gap(direction, length);
        Status::Ok
    }

    fn end(&mut self, direction: Direction, out: &mut Transactions) {
        self.conversation.end(direction, out);
    }

    fn footprint(&self) -> usize {
        self.conversation.footprint()
    }
}

/// Whether a stream begins as the connection-oriented protocol does.
#[must_use]
pub fn probe(_: Direction, data: &[u8]) -> Probe {
    match pdu::plausible(data) {
        None => Probe::NeedMore,
        Some(true) => Probe::Yes,
        Some(false) => Probe::No,
    }
}

/// Whether this is the front of a unit, for carriers that do not know what they carry.
pub(crate) fn is_unit(data: &[u8]) -> bool {
    pdu::plausible(data) == Some(true)
}
