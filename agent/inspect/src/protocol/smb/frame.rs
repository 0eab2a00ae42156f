//! The frames of NetBIOS sessions and of SMB in them.

use super::FRAME;
use crate::flow::Direction;
use crate::protocol::annotation::{RecordFrames, RecordNames};
use crate::protocol::{Buffer, Transactions};

const SESSION: RecordNames = RecordNames {
    pdu: Buffer::FrameNbssPdu,
    header: Buffer::FrameNbssHdr,
    data: Buffer::FrameNbssData,
};

/// How a message begins, how long its header is (MS-CIFS 2.2.3.1, MS-SMB2 2.2.1 and 2.2.41), and its
/// frames.
const MESSAGES: [(&[u8], usize, RecordNames); 3] = [
    (
        b"\xffSMB",
        32,
        RecordNames {
            pdu: Buffer::FrameSmb1Pdu,
            header: Buffer::FrameSmb1Hdr,
            data: Buffer::FrameSmb1Data,
        },
    ),
    (
        b"\xfeSMB",
        64,
        RecordNames {
            pdu: Buffer::FrameSmb2Pdu,
            header: Buffer::FrameSmb2Hdr,
            data: Buffer::FrameSmb2Data,
        },
    ),
    (
        b"\xfdSMB",
        52,
        RecordNames {
            pdu: Buffer::FrameSmb3Pdu,
            header: Buffer::FrameSmb3Hdr,
            data: Buffer::FrameSmb3Data,
        },
    ),
];

/// Hands out the frames of a record, or of its beginning when bytes are missing.
pub(super) fn record(direction: Direction, bytes: &[u8], missing: usize, out: &mut Transactions) {
    let (header, mut message) = bytes.split_at_checked(FRAME).unwrap_or((bytes, &[]));
    let over = missing == 0;
    let mut session = RecordFrames::new(direction, SESSION, out);
    session.header(header);
    session.data(message, over);
    loop {
        let known = MESSAGES
            .iter()
            .find(|(magic, ..)| message.starts_with(magic));
        let Some((_, length, names)) = known else {
            return;
        };
        // Messages of SMB 2 can be chained: each says where the next one begins.
        let next = match (names.pdu, message.get(20..24)) {
            (Buffer::FrameSmb2Pdu, Some(&[a, b, c, d])) => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        };
        let at = usize::try_from(next).ok().filter(|at| at >= length);
        let (this, rest) = at
            .and_then(|at| message.split_at_checked(at))
            .unwrap_or((message, &[]));
        let (header, data) = this.split_at_checked(*length).unwrap_or((this, &[]));
        let mut frames = RecordFrames::new(direction, *names, out);
        frames.header(header);
        frames.data(data, over || !rest.is_empty());
        message = rest;
    }
}

/// More of a record that is too long to be held.
pub(super) fn more(direction: Direction, bytes: &[u8], missing: usize, out: &mut Transactions) {
    for names in core::iter::once(SESSION).chain(MESSAGES.map(|(.., names)| names)) {
        RecordFrames::new(direction, names, out).data(bytes, missing == 0);
    }
}

/// Bytes were lost.
pub(super) fn cut(direction: Direction, out: &mut Transactions) {
    for names in core::iter::once(SESSION).chain(MESSAGES.map(|(.., names)| names)) {
        RecordFrames::new(direction, names, out).cut();
    }
}
