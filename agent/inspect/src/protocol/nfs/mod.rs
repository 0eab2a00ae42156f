//! NFS 2, 3 and 4 over ONC RPC, on TCP and UDP.
//!
//! A transaction per call, except that what reads and writes is one per file and way.

mod calls;
mod compound;
mod files;
mod frames;
mod rpc;
#[cfg(test)]
mod tests;

use super::record::{Feed, Measure, Piece};
use super::{Field, Parser, Probe, Status, Transactions};
use crate::flow::Direction;
use calls::Calls;

/// Events that are raised.
pub const EVENTS: &[&str] = &[MALFORMED_DATA];

const MALFORMED_DATA: &str = "nfs.malformed_data";

/// Bytes of the mark before a record over TCP (RFC 5531 section 11).
const MARK: usize = 4;
const LAST_FRAGMENT: u32 = 0x8000_0000;
/// No fragment is longer; a length beyond it is no length.
const LONGEST: usize = 8 << 20;

/// Where the rest of a record too long to be held goes.
#[derive(Clone, Debug)]
struct Sink {
    handle: Vec<u8>,
    numbers: [(Field, u64); 2],
    offset: u64,
    left: usize,
}

#[derive(Debug, Default)]
struct Side {
    feed: Feed,
    sink: Option<Sink>,
    /// Fragments that are not the last of their record.
    fragments: Vec<u8>,
    lost: bool,
}

/// Follows one TCP connection or one pair of UDP ends.
#[derive(Debug, Default)]
pub struct Nfs {
    stream: bool,
    sides: [Side; 2],
    calls: Calls,
    /// Version of the last call, for frames.
    version: u32,
}

impl Nfs {
    /// One for TCP.
    #[must_use]
    pub fn tcp() -> Self {
        Self {
            stream: true,
            ..Self::default()
        }
    }

    /// One for UDP.
    #[must_use]
    pub fn udp() -> Self {
        Self::default()
    }

    fn record(
        &mut self,
        direction: Direction,
        fragments: &mut Vec<u8>,
        bytes: &[u8],
        missing: usize,
        out: &mut Transactions,
    ) -> Option<Sink> {
        frames::push(direction, bytes, MARK, &mut self.version, out);
        let (mark, body) = bytes.split_first_chunk::<MARK>()?;
        let last = u32::from_be_bytes(*mark) & LAST_FRAGMENT != 0;
        if last && fragments.is_empty() {
            return self.calls.message(direction, body, missing, out);
        }
        let room = out.limits().partial.saturating_sub(fragments.len());
        if body.len() > room || missing > 0 {
            out.counters.partial_exceeded += 1;
        }
        fragments.extend_from_slice(body.get(..room).unwrap_or(body));
        if last {
            let whole = core::mem::take(fragments);
            self.calls.message(direction, &whole, 0, out);
        }
        None
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
            self.calls.files.content(
                direction,
                &sink.handle,
                sink.offset,
                bytes,
                &sink.numbers,
                out,
            );
            sink.offset = sink.offset.saturating_add(bytes.len() as u64);
            sink.left -= bytes.len();
        }
    }
}

impl Parser for Nfs {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        if !self.stream {
            frames::push(direction, data, 0, &mut self.version, out);
            self.calls.message(direction, data, 0, out);
            return Status::Ok;
        }
        let Some(mut side_state) = self.sides.get_mut(direction.index()).map(core::mem::take)
        else {
            return Status::Failed;
        };
        let Side {
            feed,
            sink,
            fragments,
            lost,
        } = &mut side_state;
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
                    *sink = self.record(direction, fragments, bytes, missing, out);
                }
                Piece::Rest { bytes, .. } => self.pour(direction, sink, bytes, out),
                Piece::Skipped => *lost = true,
            }
        }
        feed.compact();
        if let Some(slot) = self.sides.get_mut(direction.index()) {
            *slot = side_state;
        }
        Status::Ok
    }

    fn gap(&mut self, direction: Direction, length: u64, _: &mut Transactions) -> Status {
        if let Some(Side {
            feed,
            sink,
            fragments,
            lost,
        }) = self.sides.get_mut(direction.index())
        {
            fragments.clear();
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
        self.calls.end(direction, out);
    }

    fn footprint(&self) -> usize {
        let sides: usize = self
            .sides
            .iter()
            .map(|side| side.feed.footprint() + side.fragments.capacity())
            .sum();
        size_of::<Self>() + sides + self.calls.footprint()
    }
}

/// Where the fragment at the front ends, or where the next may begin.
fn measure(bytes: &[u8], searching: bool) -> Measure {
    let Some(mark) = bytes.first_chunk::<MARK>() else {
        return Measure::More;
    };
    let length = usize::try_from(u32::from_be_bytes(*mark) & !LAST_FRAGMENT).unwrap_or(usize::MAX);
    if length <= LONGEST && (!searching || is_record(bytes)) {
        return Measure::Record(MARK + length);
    }
    let window = MARK + 12;
    match bytes.windows(window).skip(1).position(is_record) {
        Some(at) => Measure::Skip(at + 1),
        None if bytes.len() < window => Measure::More,
        None => Measure::Skip(bytes.len() + 1 - window),
    }
}

/// Whether a call, or an accepted reply, begins here. Enough of it has to be there.
fn is_record(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0x80, _, _, _, _, _, _, _, 0, 0, 0, 0, 0, 0, 0, 2, ..]
            | [0x80, _, _, _, _, _, _, _, 0, 0, 0, 1, 0, 0, 0, 0, ..]
    )
}

/// Whether a datagram is a call.
#[must_use]
pub fn probe_udp(_: Direction, data: &[u8]) -> Probe {
    if rpc::plausible(data) == Some(true) {
        Probe::Yes
    } else {
        Probe::No
    }
}

/// Whether a stream begins with a call.
#[must_use]
pub fn probe(_: Direction, data: &[u8]) -> Probe {
    match data {
        [] => Probe::NeedMore,
        [mark, ..] if mark & 0x7f != 0 => Probe::No,
        _ => match data.get(MARK..).and_then(rpc::plausible) {
            None => Probe::NeedMore,
            Some(true) => Probe::Yes,
            Some(false) => Probe::No,
        },
    }
}
