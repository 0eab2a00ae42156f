//! SIP requests and responses over UDP and TCP (RFC 3261).
//!
//! Each message is a transaction of its own, over at once, as Suricata has it.

mod message;
mod sdp;
#[cfg(test)]
mod tests;

use super::line::{decimal, trim};
use super::{Parser, Probe, Status, Transaction, Transactions};
use crate::flow::Direction;
use crate::protocol::Stage;

/// Events that are raised.
pub const EVENTS: &[&str] = &["sip.incomplete_data", "sip.invalid_data"];

const INCOMPLETE: &str = "sip.incomplete_data";
const INVALID: &str = "sip.invalid_data";

/// Methods by which a flow is known (RFC 3261 and its extensions).
const METHODS: &[&str] = &[
    "REGISTER",
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "UPDATE",
    "REFER",
    "PRACK",
    "SUBSCRIBE",
    "NOTIFY",
    "PUBLISH",
    "MESSAGE",
    "INFO",
    "OPTIONS",
];

/// Whether data begins as a SIP message does.
#[must_use]
pub fn probe(_direction: Direction, data: &[u8]) -> Probe {
    let starts = METHODS.iter().map(|method| (method.as_bytes(), b' '));
    let mut more = false;
    for (word, after) in starts.chain([(&b"SIP"[..], b'/')]) {
        match (data.strip_prefix(word), word.starts_with(data)) {
            (Some([next, ..]), _) if *next == after => return Probe::Yes,
            (Some([]), _) | (_, true) => more = true,
            _ => {}
        }
    }
    if more { Probe::NeedMore } else { Probe::No }
}

/// One direction of a TCP connection.
#[derive(Debug, Default)]
struct Half {
    held: Vec<u8>,
    /// Bytes of `held` that were taken.
    taken: usize,
    /// Where the search for the end of the head goes on.
    searched: usize,
    /// Bytes of a body that are passed over.
    skip: u64,
    lost: bool,
}

/// Follows the messages of one flow.
#[derive(Debug)]
pub struct Sip {
    stream: bool,
    halves: [Half; 2],
}

impl Sip {
    /// Each piece of data is a datagram with one message.
    #[must_use]
    pub fn udp() -> Self {
        Self {
            stream: false,
            halves: Default::default(),
        }
    }

    /// Messages follow each other in streams.
    #[must_use]
    pub fn tcp() -> Self {
        Self {
            stream: true,
            halves: Default::default(),
        }
    }

    fn half(&mut self, direction: Direction) -> Option<&mut Half> {
        self.halves.get_mut(match direction {
            Direction::ToServer => 0,
            Direction::ToClient => 1,
        })
    }
}

/// Begins a transaction, lets it be filled and ends it.
fn whole(out: &mut Transactions, fill: impl FnOnce(&mut Transaction)) {
    let id = out.begin();
    if let Some(transaction) = out.get(id) {
        fill(transaction);
        transaction.advance(Direction::ToServer, Stage::Complete);
        transaction.advance(Direction::ToClient, Stage::Complete);
    }
}

/// Where the body begins: after the first empty line.
fn head_end(data: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += data.get(at..)?.iter().position(|byte| *byte == b'\n')? + 1;
        match data.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}

fn datagram(direction: Direction, data: &[u8], out: &mut Transactions) {
    // Keep-alives (RFC 5626, 4.4.1) are no messages.
    if trim(data).is_empty() || data.iter().all(|byte| *byte == 0) {
        return;
    }
    let end = head_end(data, 0);
    let (head, body) = data
        .split_at_checked(end.unwrap_or(data.len()))
        .unwrap_or((data, &[]));
    message::frames(direction, head, body, true, out);
    whole(out, |transaction| {
        if end.is_none() {
            transaction.event(direction, INCOMPLETE);
        }
        message::push(direction, head, body, transaction);
    });
}

impl Half {
    /// Takes whole messages off the front.
    fn stream(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        let mut data = data;
        let most = out.limits().partial;
        loop {
            while self.message(direction, most, out) {}
            let skipped = usize::try_from(self.skip)
                .unwrap_or(usize::MAX)
                .min(data.len());
            self.skip -= skipped as u64;
            if skipped > 0 {
                let more = data.get(..skipped).unwrap_or_default();
                message::more(direction, more, self.skip == 0, out);
            }
            data = data.get(skipped..).unwrap_or_default();
            if data.is_empty() {
                return Status::Ok;
            }
            self.held.drain(..self.taken.min(self.held.len()));
            self.taken = 0;
            let room = most.saturating_sub(self.held.len()).min(data.len());
            if room == 0 {
                out.counters.partial_exceeded += 1;
                whole(out, |transaction| transaction.event(direction, INVALID));
                self.held = Vec::new();
                return Status::Failed;
            }
            let (front, rest) = data.split_at_checked(room).unwrap_or((data, &[]));
            self.held.extend_from_slice(front);
            data = rest;
        }
    }

    /// Takes one message off, if it is whole. A body that is longer than what is held is cut.
    fn message(&mut self, direction: Direction, most: usize, out: &mut Transactions) -> bool {
        let held = self.held.get(self.taken..).unwrap_or_default();
        // Keep-alives between messages (RFC 5626, 4.4.1).
        let blank = held.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let blank = if self.searched == 0 { blank.count() } else { 0 };
        self.taken += blank;
        let held = held.get(blank..).unwrap_or_default();
        let Some(end) = head_end(held, self.searched) else {
            // The last bytes may be the first half of an empty line.
            self.searched = held.len().saturating_sub(3);
            return false;
        };
        let head = held.get(..end).unwrap_or_default();
        let length = message::content_length(head).unwrap_or(0);
        let room = (most - end.min(most)) as u64;
        let kept = usize::try_from(length.min(room)).unwrap_or(0);
        let Some(body) = held.get(end..end + kept) else {
            self.searched = end.saturating_sub(3);
            return false;
        };
        message::frames(direction, head, body, length == kept as u64, out);
        whole(out, |transaction| {
            message::push(direction, head, body, transaction);
        });
        self.taken += end + kept;
        self.skip = length - kept as u64;
        self.searched = 0;
        true
    }
}

impl Parser for Sip {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        if !self.stream {
            datagram(direction, data, out);
            return Status::Ok;
        }
        match self.half(direction) {
            Some(half) if !half.lost => {
                let status = half.stream(direction, data, out);
                half.lost = status == Status::Failed;
                status
            }
            _ => Status::Ok,
        }
    }

    fn gap(&mut self, direction: Direction, length: u64, _out: &mut Transactions) -> Status {
        let Some(half) = self.half(direction) else {
            return Status::Ok;
        };
        if half.taken >= half.held.len() && half.skip >= length {
            half.skip -= length;
            return Status::Ok;
        }
        // Where the next message begins is not known any more.
        half.lost = true;
        half.held = Vec::new();
        if self.halves.iter().all(|half| half.lost) {
            Status::Failed
        } else {
            Status::Ok
        }
    }

    fn end(&mut self, direction: Direction, out: &mut Transactions) {
        let Some(half) = self.half(direction) else {
            return;
        };
        let held = core::mem::take(&mut half.held);
        let rest = held.get(half.taken..).unwrap_or_default();
        half.taken = 0;
        datagram(direction, rest, out);
    }

    fn footprint(&self) -> usize {
        let held = self.halves.iter().map(|half| half.held.capacity());
        size_of::<Self>() + held.sum::<usize>()
    }
}

/// The value of `Content-Length`.
fn length(value: &[u8]) -> Option<u64> {
    decimal(trim(value))
}
