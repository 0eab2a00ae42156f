//! DNS over UDP and TCP (RFC 1035, RFC 7766).
//!
//! A request and its response are transactions of their own, as in Suricata 8: each is over with
//! its message.

mod message;
#[cfg(test)]
mod tests;

use message::{Header, Message, Record};

use super::{Buffer, Field, Parser, Probe, Stage, Status, Transactions};
use crate::flow::Direction;

/// What `app-layer-event` may name.
pub const EVENTS: &[&str] = &[
    "dns.malformed_data",
    "dns.not_a_request",
    "dns.not_a_response",
    "dns.z_flag_set",
    "dns.invalid_opcode",
    "dns.name_too_long",
    "dns.infinite_loop",
    "dns.too_many_labels",
    "dns.invalid_authorities",
    "dns.invalid_additionals",
];

/// The first opcode that is not assigned (RFC 8490 has 6).
const OPCODES: u16 = 7;

/// Whether a datagram is a DNS message, in whatever direction: an end that was not seen from its
/// beginning may answer first.
#[must_use]
pub fn probe(_direction: Direction, data: &[u8]) -> Probe {
    let Some(header) = Header::of(data) else {
        return Probe::No;
    };
    match Message::parse(data) {
        Ok(message) if header.fits(data.len()) => {
            // What has no such opcode needs something else that speaks for it.
            if header.opcode() < OPCODES || !message.questions.is_empty() {
                Probe::Yes
            } else {
                Probe::No
            }
        }
        _ => Probe::No,
    }
}

/// As [`probe`], for the messages with a length before them that TCP carries. Of a message that
/// has not come whole the header decides.
#[must_use]
pub fn probe_tcp(direction: Direction, data: &[u8]) -> Probe {
    let Some((&[high, low], rest)) = data.split_first_chunk::<2>() else {
        return Probe::NeedMore;
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length < message::HEADER {
        return Probe::No;
    }
    if let Some(message) = rest.get(..length) {
        return probe(direction, message);
    }
    match Header::of(rest) {
        None => Probe::NeedMore,
        Some(header) if header.opcode() < OPCODES && header.fits(length) => Probe::Yes,
        Some(_) => Probe::No,
    }
}

/// Follows one flow.
#[derive(Debug)]
pub struct Dns {
    tcp: bool,
    /// Whether the first message was a response of the side that seems to be the client: the flow
    /// was not seen from its beginning, and the sides are the other way round.
    reversed: Option<bool>,
    sides: [Framing; 2],
}

/// Cuts the bytes of one side into messages.
#[derive(Debug, Default)]
struct Framing {
    prefix: Vec<u8>,
    message: Vec<u8>,
    /// Bytes of the message that are still to come.
    missing: usize,
    /// The message is longer than what may be held.
    oversized: bool,
    /// Where messages begin is not known any more.
    lost: bool,
}

impl Dns {
    /// A parser of datagrams.
    #[must_use]
    pub fn udp() -> Self {
        Self {
            tcp: false,
            reversed: None,
            sides: Default::default(),
        }
    }

    /// A parser of a stream of messages with their lengths.
    #[must_use]
    pub fn tcp() -> Self {
        Self {
            tcp: true,
            ..Self::udp()
        }
    }

    fn message(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) {
        if self.reversed.is_none()
            && let Some(header) = Header::of(data)
        {
            self.reversed = Some(header.is_response() == (direction == Direction::ToServer));
        }
        let direction = if self.reversed == Some(true) {
            direction.reverse()
        } else {
            direction
        };
        out.frames.push(direction, Buffer::FrameDnsPdu, data);
        let id = out.begin();
        let Some(transaction) = out.get(id) else {
            return;
        };
        read(data, direction, transaction);
        transaction.advance(direction, Stage::Complete);
        transaction.advance(direction.reverse(), Stage::Complete);
    }

    fn side(&mut self, direction: Direction) -> &mut Framing {
        let [to_server, to_client] = &mut self.sides;
        match direction {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        }
    }
}

impl Framing {
    /// Takes what completes a message off the front of `data`.
    fn next(&mut self, data: &mut &[u8], partial: usize, exceeded: &mut u64) -> Option<Vec<u8>> {
        loop {
            if self.missing == 0 {
                let (byte, rest) = data.split_first()?;
                *data = rest;
                self.prefix.push(*byte);
                if let &[high, low] = self.prefix.as_slice() {
                    self.prefix.clear();
                    self.missing = usize::from(u16::from_be_bytes([high, low]));
                    self.oversized = self.missing > partial;
                    *exceeded += u64::from(self.oversized);
                }
                continue;
            }
            let (piece, rest) = data.split_at_checked(self.missing).unwrap_or((data, &[]));
            *data = rest;
            self.missing -= piece.len();
            if !self.oversized {
                self.message.extend_from_slice(piece);
            }
            if self.missing > 0 {
                return None;
            }
            if !self.oversized {
                return Some(core::mem::take(&mut self.message));
            }
        }
    }

    fn gap(&mut self, length: u64) {
        self.message.clear();
        match usize::try_from(length) {
            Ok(length) if self.missing >= length && self.missing > 0 => {
                self.missing -= length;
                self.oversized = true;
            }
            _ => {
                *self = Self {
                    lost: true,
                    ..Self::default()
                }
            }
        }
    }
}

/// Pushes what a message has, whatever carried it.
pub(in crate::protocol) fn read(
    data: &[u8],
    direction: Direction,
    transaction: &mut super::Transaction,
) {
    match Message::parse(data) {
        Ok(message) => push(&message, direction, transaction),
        Err(_) => transaction.event(direction, "dns.malformed_data"),
    }
}

fn push(message: &Message, direction: Direction, transaction: &mut super::Transaction) {
    let header = message.header;
    let response = direction == Direction::ToClient;
    if header.is_response() != response {
        let event = if response {
            "dns.not_a_response"
        } else {
            "dns.not_a_request"
        };
        transaction.event(direction, event);
        return;
    }
    transaction.number(direction, Field::DnsOpcode, header.opcode().into());
    transaction.number(direction, Field::DnsRcode, header.rcode().into());
    for question in &message.questions {
        transaction.push(direction, Buffer::DnsQueriesRrname, &question.name);
        if response {
            transaction.push(direction, Buffer::DnsResponse, &question.name);
        } else {
            transaction.push(direction, Buffer::DnsQuery, &question.name);
            transaction.number(direction, Field::DnsRrtype, question.rrtype.into());
        }
    }
    for (buffer, records) in [
        (Buffer::DnsAnswersRrname, &message.answers),
        (Buffer::DnsAuthoritiesRrname, &message.authorities),
        (Buffer::DnsAdditionalsRrname, &message.additionals),
    ] {
        for Record {
            name,
            rrtype,
            target,
        } in records
        {
            transaction.push(direction, buffer, name);
            if !response {
                continue;
            }
            if buffer == Buffer::DnsAnswersRrname {
                transaction.number(direction, Field::DnsRrtype, (*rrtype).into());
            }
            transaction.push(direction, Buffer::DnsResponse, name);
            if let Some(target) = target {
                transaction.push(direction, Buffer::DnsResponse, target);
            }
        }
    }
    let odd = message.oddities;
    for (raised, event) in [
        (header.has_zero_flag(), "dns.z_flag_set"),
        (header.opcode() >= OPCODES, "dns.invalid_opcode"),
        (odd.truncated, "dns.name_too_long"),
        (odd.infinite_loop, "dns.infinite_loop"),
        (odd.too_many_labels, "dns.too_many_labels"),
        (odd.invalid_authorities, "dns.invalid_authorities"),
        (odd.invalid_additionals, "dns.invalid_additionals"),
    ] {
        if raised {
            transaction.event(direction, event);
        }
    }
}

impl Parser for Dns {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        if !self.tcp {
            self.message(direction, data, out);
            return Status::Ok;
        }
        let mut data = data;
        let partial = out.limits().partial;
        let side = self.side(direction);
        if side.lost {
            if probe_tcp(direction, data) == Probe::No {
                return Status::Ok;
            }
            side.lost = false;
        }
        while let Some(message) =
            self.side(direction)
                .next(&mut data, partial, &mut out.counters.partial_exceeded)
        {
            self.message(direction, &message, out);
        }
        Status::Ok
    }

    fn gap(&mut self, direction: Direction, length: u64, _out: &mut Transactions) -> Status {
        self.side(direction).gap(length);
        Status::Ok
    }

    fn end(&mut self, _direction: Direction, _out: &mut Transactions) {}

    fn footprint(&self) -> usize {
        size_of::<Self>()
            + self
                .sides
                .iter()
                .map(|side| side.prefix.capacity() + side.message.capacity())
                .sum::<usize>()
    }
}
