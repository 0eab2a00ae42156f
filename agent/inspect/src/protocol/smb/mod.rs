//! SMB 1 (MS-CIFS) and SMB 2 and 3 (MS-SMB2) over NetBIOS sessions (RFC 1002) and plain TCP.
//!
//! A transaction per request and its response; one per file and way; one per call on a named pipe.

mod frame;
mod ntlmssp;
mod state;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use super::record::{Feed, Measure, Piece};
use super::{Parser, Probe, Status, Transactions};
use crate::flow::Direction;
use state::State;

/// Events that are raised.
pub const EVENTS: &[&str] = &[
    MALFORMED_DATA,
    RECORD_OVERFLOW,
    MALFORMED_NTLMSSP,
    DUPLICATE_NEGOTIATE,
    MALFORMED_DIALECTS,
    FILE_OVERLAP,
    REQUEST_TO_CLIENT,
    RESPONSE_TO_SERVER,
];

const MALFORMED_DATA: &str = "smb.malformed_data";
const RECORD_OVERFLOW: &str = "smb.record_overflow";
const MALFORMED_NTLMSSP: &str = "smb.malformed_ntlmssp_request";
const DUPLICATE_NEGOTIATE: &str = "smb.duplicate_negotiate";
const MALFORMED_DIALECTS: &str = "smb.negotiate_malformed_dialects";
const FILE_OVERLAP: &str = "smb.file_overlap";
const REQUEST_TO_CLIENT: &str = "smb.request_to_client";
const RESPONSE_TO_SERVER: &str = "smb.response_to_server";

/// Bytes of the header of a NetBIOS session.
const FRAME: usize = 4;
const SESSION_REQUEST: u8 = 0x81;

/// Where the rest of a record too long to be held goes.
#[derive(Clone, Copy, Debug)]
struct Sink {
    handle: [u8; 16],
    tree: u64,
    version: u64,
    offset: u64,
    left: usize,
}

#[derive(Debug, Default)]
struct Side {
    feed: Feed,
    sink: Option<Sink>,
    /// The next record is to be searched for.
    lost: bool,
}

/// Follows one connection.
#[derive(Debug, Default)]
pub struct Smb {
    sides: [Side; 2],
    state: State,
}

impl Smb {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn record(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        missing: usize,
        out: &mut Transactions,
    ) -> Option<Sink> {
        let message = bytes.get(FRAME..).unwrap_or_default();
        match message.first_chunk::<4>() {
            Some(b"\xffSMB") => v1::message(&mut self.state, direction, message, missing, out),
            Some(b"\xfeSMB") => v2::message(&mut self.state, direction, message, missing, out),
            // Encrypted, compressed, and what is no SMB.
            _ => None,
        }
    }

    /// What has come of a record does not go on: it is all that its frames have.
    fn cut(&self, direction: Direction, out: &mut Transactions) {
        let Some(Side { feed, lost, .. }) = self.sides.get(direction.index()) else {
            return;
        };
        let held = feed.waiting();
        if let Measure::Record(length) = measure(held, *lost) {
            let missing = length.saturating_sub(held.len());
            frame::record(direction, held, missing, out);
        }
        frame::cut(direction, out);
    }

    fn pour(
        &mut self,
        direction: Direction,
        sink: &mut Option<Sink>,
        bytes: &[u8],
        out: &mut Transactions,
    ) {
        if let Some(sink) = sink {
            let bytes = bytes.get(..sink.left).unwrap_or(bytes);
            let place = state::Place {
                handle: sink.handle,
                tree: sink.tree,
                version: sink.version,
                offset: sink.offset,
            };
            self.state.content(direction, &place, bytes, out);
            sink.offset = sink.offset.saturating_add(bytes.len() as u64);
            sink.left -= bytes.len();
        }
    }
}

impl Parser for Smb {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        let Some(mut side_state) = self.sides.get_mut(direction.index()).map(core::mem::take)
        else {
            return Status::Failed;
        };
        let Side { feed, sink, lost } = &mut side_state;
        feed.push(data);
        let most = out.limits().partial;
        loop {
            let searching = *lost;
            let Some(piece) = feed.next(most, |bytes| measure(bytes, searching)) else {
                break;
            };
            match piece {
                Piece::Record { bytes, missing } => {
                    *lost = false;
                    frame::record(direction, bytes, missing, out);
                    *sink = self.record(direction, bytes, missing, out);
                }
                Piece::Rest { bytes, missing } => {
                    frame::more(direction, bytes, missing, out);
                    self.pour(direction, sink, bytes, out);
                    if missing == 0 {
                        *sink = None;
                    }
                }
                Piece::Skipped => *lost = true,
            }
        }
        feed.compact();
        if let Some(slot) = self.sides.get_mut(direction.index()) {
            *slot = side_state;
        }
        Status::Ok
    }

    fn gap(&mut self, direction: Direction, length: u64, out: &mut Transactions) -> Status {
        self.cut(direction, out);
        if let Some(Side { feed, sink, lost }) = self.sides.get_mut(direction.index()) {
            match feed.gap(length) {
                Some(inside) => {
                    if let Some(sink) = sink {
                        sink.offset = sink.offset.saturating_add(inside as u64);
                        sink.left = sink.left.saturating_sub(inside);
                    }
                }
                None => {
                    *lost = true;
                    *sink = None;
                }
            }
        }
        Status::Ok
    }

    fn end(&mut self, direction: Direction, out: &mut Transactions) {
        self.cut(direction, out);
        self.state.end(direction, out);
    }

    fn footprint(&self) -> usize {
        let feeds: usize = self.sides.iter().map(|side| side.feed.footprint()).sum();
        size_of::<Self>() + feeds + self.state.footprint()
    }
}

fn is_magic(bytes: &[u8]) -> bool {
    matches!(bytes, [0xfc..=0xff, b'S', b'M', b'B', ..])
}

/// Where the frame at the front ends, or where the next may begin.
fn measure(bytes: &[u8], searching: bool) -> Measure {
    let Some(&[kind, high, middle, low]) = bytes.first_chunk::<FRAME>() else {
        return Measure::More;
    };
    let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    let known = kind == 0 || (0x81..=0x85).contains(&kind);
    if known && !searching {
        return Measure::Record(FRAME + length);
    }
    if kind == 0 && bytes.get(FRAME..).is_some_and(is_magic) {
        return Measure::Record(FRAME + length);
    }
    let window = FRAME + 4;
    let found = bytes
        .windows(window)
        .skip(1)
        .position(|at| at.first() == Some(&0) && at.get(FRAME..).is_some_and(is_magic));
    match found {
        Some(at) => Measure::Skip(at + 1),
        None if bytes.len() < window => Measure::More,
        None => Measure::Skip(bytes.len() + 1 - window),
    }
}

/// Whether a stream begins with an SMB message or the request of a NetBIOS session.
#[must_use]
pub fn probe(_: Direction, data: &[u8]) -> Probe {
    match data {
        [] => Probe::NeedMore,
        // The names of a session request are encoded in 32 letters each.
        [SESSION_REQUEST, 0, 0, 0x44..=0xff, 0x20, ..] => Probe::Yes,
        [SESSION_REQUEST, rest @ ..] if rest.len() < 4 => Probe::NeedMore,
        [0, rest @ ..] => match rest.get(3..) {
            None | Some([]) => Probe::NeedMore,
            Some(message) if is_magic(message) => Probe::Yes,
            Some(message) => {
                let starts = message.first().is_some_and(|byte| *byte >= 0xfc)
                    && b"SMB".starts_with(message.get(1..).unwrap_or_default());
                if starts && message.len() < 4 {
                    Probe::NeedMore
                } else {
                    Probe::No
                }
            }
        },
        _ => Probe::No,
    }
}
