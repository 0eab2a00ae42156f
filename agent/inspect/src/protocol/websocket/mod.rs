//! WebSocket, after the upgrade (RFC 6455). Each frame is a transaction of its own, over at once.

use super::annotation::{RecordFrames, RecordNames};
use super::ber::Missing;
use super::frames::BothFrames;
use super::{Buffer, Field, Parser, Probe, Stage, Status, Transactions};
use crate::flow::Direction;

/// A frame's first bytes.
#[derive(Clone, Copy, Debug)]
struct Header {
    flags: u8,
    opcode: u8,
    mask: Option<[u8; 4]>,
    start: usize,
    payload: u64,
}

/// RFC 6455, 5.2.
fn header(data: &[u8]) -> Result<Header, Missing> {
    let [first, second, rest @ ..] = data else {
        return Err(Missing::More);
    };
    let (payload, after) = match second & 0x7f {
        126 => {
            let bytes = rest.first_chunk::<2>().ok_or(Missing::More)?;
            (u64::from(u16::from_be_bytes(*bytes)), 4)
        }
        127 => {
            let bytes = rest.first_chunk::<8>().ok_or(Missing::More)?;
            (u64::from_be_bytes(*bytes), 10)
        }
        short => (u64::from(short), 2),
    };
    if payload >> 63 != 0 {
        return Err(Missing::Never);
    }
    let masked = second & 0x80 != 0;
    let mask = if masked {
        let bytes = data.get(after..).and_then(|rest| rest.first_chunk::<4>());
        Some(*bytes.ok_or(Missing::More)?)
    } else {
        None
    };
    Ok(Header {
        flags: first & 0xf0,
        opcode: first & 0x0f,
        mask,
        start: if masked { after + 4 } else { after },
        payload,
    })
}

fn length(data: &[u8]) -> Result<u64, Missing> {
    header(data).map(|header| header.start as u64 + header.payload)
}

/// Whether data may be a frame. Nothing tells for certain: flows are known by their upgrade.
#[must_use]
pub fn probe(_direction: Direction, data: &[u8]) -> Probe {
    match header(data) {
        Err(Missing::More) => Probe::NeedMore,
        Ok(header) if header.flags & 0x30 == 0 && matches!(header.opcode, 0..=2 | 8..=10) => {
            Probe::Yes
        }
        _ => Probe::No,
    }
}

/// The frames of a record.
const RECORD: RecordNames = RecordNames {
    pdu: Buffer::FrameWebsocketPdu,
    header: Buffer::FrameWebsocketHeader,
    data: Buffer::FrameWebsocketData,
};

/// Follows one connection.
#[derive(Debug, Default)]
pub struct Websocket {
    frames: BothFrames,
}

impl Websocket {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

fn push(direction: Direction, record: &[u8], out: &mut Transactions) {
    let header = header(record);
    if let Ok(header) = &header {
        RecordFrames::new(direction, RECORD, out).whole(record, header.start);
    }
    let id = out.begin();
    let (Some(transaction), Ok(header)) = (out.get(id), header) else {
        return;
    };
    transaction.number(direction, Field::WebsocketOpcode, header.opcode.into());
    transaction.number(direction, Field::WebsocketFlags, header.flags.into());
    let payload = record.get(header.start..).unwrap_or_default();
    match header.mask {
        Some(mask) => {
            let number = u32::from_be_bytes(mask);
            transaction.number(direction, Field::WebsocketMask, number.into());
            let pairs = payload.iter().zip(mask.iter().cycle());
            let plain: Vec<u8> = pairs.map(|(byte, mask)| byte ^ mask).collect();
            transaction.push(direction, Buffer::WebsocketPayload, &plain);
        }
        None => transaction.push(direction, Buffer::WebsocketPayload, payload),
    }
    transaction.advance(Direction::ToServer, Stage::Complete);
    transaction.advance(Direction::ToClient, Stage::Complete);
}

impl Parser for Websocket {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        let frames = self.frames.of(direction);
        let mut data = data;
        let most = out.limits().partial;
        loop {
            match frames.next(&mut data, most, length) {
                Ok(Some(record)) => push(direction, &record, out),
                Ok(None) => return Status::Ok,
                Err(_) => return Status::Failed,
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
    fn payloads_are_unmasked() {
        let frames = [0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2, 0x89, 0];
        let mut out = Transactions::new(Limits::default());
        let mut websocket = Websocket::new();
        for byte in frames {
            websocket.data(Direction::ToServer, &[byte], &mut out);
        }
        assert_eq!(out.len(), 2);
        let first = out.get(0).unwrap();
        let payload = first.first(Direction::ToServer, Buffer::WebsocketPayload);
        assert_eq!(payload, Some(&b"hi"[..]));
        let values: Vec<u64> = first.numbers().iter().map(|it| it.2).collect();
        assert_eq!(values, [1, 0x80, 0x0102_0304]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..128)) {
            let mut out = Transactions::new(Limits { partial: 16, ..Limits::default() });
            let _ = probe(Direction::ToServer, &data);
            Websocket::new().data(Direction::ToServer, &data, &mut out);
        }
    }
}
