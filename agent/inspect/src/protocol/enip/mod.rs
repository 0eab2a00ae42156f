//! `EtherNet/IP` encapsulation over TCP and UDP. Each message is a transaction of its own, over at once.

pub(crate) mod cip;

use super::annotation::{RecordFrames, RecordNames};
use super::ber::Missing;
use super::frames::BothFrames;
use super::{Buffer, Field, Parser, Probe, Stage, Status, Transactions};
use crate::flow::Direction;

/// Command, length, session, status, context and options.
const HEADER: usize = 24;
/// Bytes of a message that are looked at.
const MAX_MESSAGE: usize = 2 << 10;
/// Events that rules may name. That of too many transactions is known, but cannot happen: each is
/// over with its message.
pub const EVENTS: &[&str] = &[INVALID, "enip.too_many_transactions"];
const INVALID: &str = "enip.invalid_pdu";

/// The commands of the encapsulation protocol.
const COMMANDS: &[u16] = &[0x00, 0x04, 0x63, 0x64, 0x65, 0x66, 0x6f, 0x70, 0x72, 0x73];

fn word(data: &[u8], at: usize) -> Option<u16> {
    let bytes = data.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_le_bytes(*bytes))
}

fn length(data: &[u8]) -> Result<u64, Missing> {
    let length = word(data, 2).ok_or(Missing::More)?;
    Ok(HEADER as u64 + u64::from(length))
}

/// Whether data begins as an encapsulated message does.
#[must_use]
pub fn probe(_direction: Direction, data: &[u8]) -> Probe {
    let Some(command) = word(data, 0) else {
        return Probe::NeedMore;
    };
    if !COMMANDS.contains(&command) {
        return Probe::No;
    }
    let Some(status) = data.get(8..12) else {
        return Probe::NeedMore;
    };
    match (data.get(20..HEADER), status) {
        (None, _) => Probe::NeedMore,
        // Options are zero, and few statuses are in use.
        (Some([0, 0, 0, 0]), [_, 0, 0, 0]) => Probe::Yes,
        _ => Probe::No,
    }
}

/// The frames of a record.
const RECORD: RecordNames = RecordNames {
    pdu: Buffer::FrameEnipPdu,
    header: Buffer::FrameEnipHdr,
    data: Buffer::FrameEnipData,
};

/// Follows one flow.
#[derive(Debug, Default)]
pub struct Enip {
    frames: BothFrames,
}

impl Enip {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Parser for Enip {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        let frames = self.frames.of(direction);
        let mut data = data;
        loop {
            let record = match frames.next(&mut data, MAX_MESSAGE, length) {
                Ok(Some(record)) => record,
                Ok(None) => return Status::Ok,
                Err(_) => return Status::Failed,
            };
            RecordFrames::new(direction, RECORD, out).whole(&record, HEADER);
            let id = out.begin();
            let command = word(&record, 0).unwrap_or_default();
            if let Some(transaction) = out.get(id) {
                transaction.number(direction, Field::EnipCommand, command.into());
                if let Some(status) = record.get(8..).and_then(|it| it.first_chunk::<4>()) {
                    let status = u32::from_le_bytes(*status);
                    transaction.number(direction, Field::EnipStatus, status.into());
                }
            }
            let body = record.get(HEADER..).unwrap_or_default();
            let read = cip::push(command, body, direction, id, out);
            if let Some(transaction) = out.get(id) {
                if read.is_none() {
                    transaction.event(direction, INVALID);
                }
                transaction.advance(Direction::ToServer, Stage::Complete);
                transaction.advance(Direction::ToClient, Stage::Complete);
            }
        }
    }

    fn gap(&mut self, direction: Direction, length: u64, _out: &mut Transactions) -> Status {
        self.frames.gap(direction, length)
    }

    fn end(&mut self, _direction: Direction, _out: &mut Transactions) {}

    fn footprint(&self) -> usize {
        size_of::<Self>() + self.frames.footprint()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::Limits;

    #[test]
    fn each_message_has_its_command() {
        let mut two = [0; 52];
        two[0] = 0x63;
        two[0] = 0x64;
        two[2] = 2;
        two[26] = 0x66;
        assert_eq!(probe(Direction::ToServer, &two), Probe::Yes);
        let mut out = Transactions::new(Limits::default());
        let mut enip = Enip::new();
        for byte in two {
            enip.data(Direction::ToServer, &[byte], &mut out);
        }
        let commands: Vec<u64> = out
            .iter_mut()
            .flat_map(|it| {
                it.numbers()
                    .iter()
                    .step_by(2)
                    .map(|it| it.2)
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(commands, [0x64, 0x66]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..128)) {
            let mut out = Transactions::new(Limits::default());
            let _ = probe(Direction::ToServer, &data);
            Enip::new().data(Direction::ToServer, &data, &mut out);
        }
    }
}
