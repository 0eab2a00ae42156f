//! DNS over UDP and TCP (RFC 1035, RFC 7766).
//!
//! A request and its response are transactions of their own, as in Suricata 8: each is over with
//! its message.

mod message;
mod names;
#[cfg(test)]
mod tests;

use message::{Header, Message, Record};

use super::{Field, Parser, Probe, Stage, Status, Transactions};
use crate::flow::Direction;

use names::{DNS, MDNS, Names};

/// What `app-layer-event` may name.
pub const EVENTS: &[&str] = &DNS.events();
/// The same of mDNS.
pub const MDNS_EVENTS: &[&str] = &MDNS.events();

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
    names: &'static Names,
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
            names: &DNS,
            reversed: None,
            sides: Default::default(),
        }
    }

    /// A parser of what is sent to all of a link (RFC 6762).
    #[must_use]
    pub fn multicast() -> Self {
        Self {
            names: &MDNS,
            // Answers go to all as well: who sent first says nothing.
            reversed: Some(false),
            ..Self::udp()
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
        out.frames.push(direction, self.names.frame, data);
        let id = out.begin();
        let Some(transaction) = out.get(id) else {
            return;
        };
        message(data, self.names, direction, transaction);
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
    message(data, &DNS, direction, transaction);
}

fn message(data: &[u8], names: &Names, direction: Direction, transaction: &mut super::Transaction) {
    match Message::parse(data) {
        Ok(message) => push(&message, names, direction, transaction),
        Err(_) => transaction.event(direction, names.malformed),
    }
}

fn push(
    message: &Message,
    names: &Names,
    direction: Direction,
    transaction: &mut super::Transaction,
) {
    let header = message.header;
    let response = header.is_response();
    if names.query.is_some() && response != (direction == Direction::ToClient) {
        let event = if response {
            names.not_a_request
        } else {
            names.not_a_response
        };
        transaction.event(direction, event);
        return;
    }
    transaction.number(direction, Field::DnsOpcode, header.opcode().into());
    transaction.number(direction, Field::DnsRcode, header.rcode().into());
    for question in &message.questions {
        transaction.push(direction, names.queries, &question.name);
        if response {
            transaction.push(direction, names.response, &question.name);
        } else {
            if let Some(query) = names.query {
                transaction.push(direction, query, &question.name);
            }
            transaction.number(direction, Field::DnsRrtype, question.rrtype.into());
        }
    }
    push_records(message, names, direction, transaction);
    let odd = message.oddities;
    for (raised, event) in [
        (header.has_zero_flag(), names.zero_flag),
        (header.opcode() >= OPCODES, names.opcode),
        (odd.truncated, names.too_long),
        (odd.infinite_loop, names.infinite_loop),
        (odd.too_many_labels, names.too_many_labels),
        (odd.invalid_authorities, names.authorities_invalid),
        (odd.invalid_additionals, names.additionals_invalid),
    ] {
        if raised {
            transaction.event(direction, event);
        }
    }
}

/// Pushes the names of the three sections of records.
fn push_records(
    message: &Message,
    names: &Names,
    direction: Direction,
    transaction: &mut super::Transaction,
) {
    let response = message.header.is_response();
    for (buffer, records) in [
        (names.answers, &message.answers),
        (names.authorities, &message.authorities),
        (names.additionals, &message.additionals),
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
            if buffer == names.answers {
                transaction.number(direction, Field::DnsRrtype, (*rrtype).into());
            }
            transaction.push(direction, names.response, name);
            if let Some(target) = target {
                transaction.push(direction, names.response, target);
            }
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
