//! LDAP over TCP and UDP (RFC 4511).

mod content;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::ber::{self, Elements, INTEGER, SEQUENCE};
use super::frames::BothFrames;
use super::{AppProtocol, Buffer, Field, Parser, Probe, Stage, Status, Transactions};
use crate::flow::Direction;

/// Events that are raised.
pub const EVENTS: &[&str] = &[
    "ldap.invalid_data",
    "ldap.request_not_found",
    "ldap.too_many_transactions",
];

/// Bytes of a message that are looked at.
const MAX_MESSAGE: usize = 4_096;
/// Requests without their last response.
const MAX_PENDING: usize = 256;
/// Responses of one request that are told apart, and the last one.
const MAX_RESPONSES: u64 = 400;
/// The name of the StartTLS operation (RFC 4511, 4.14.1).
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// Protocol operations (RFC 4511, 4.2).
const UNBIND: u8 = 2;
const ABANDON: u8 = 16;
const REQUESTS: &[u8] = &[0, UNBIND, 3, 6, 8, 10, 12, 14, ABANDON, EXTENDED];
const EXTENDED: u8 = 23;
const EXTENDED_RESPONSE: u8 = 24;
/// The number of a message that answers no other.
const UNSOLICITED: u64 = 0;
/// Responses after which others follow: entries, references and intermediate ones.
const NOT_LAST: &[u8] = &[4, 19, 25];
const RESPONSES: &[u8] = &[1, 4, 5, 7, 9, 11, 13, 15, 19, 24, 25];

/// Whether data begins as an LDAP message does.
#[must_use]
pub fn probe(direction: Direction, data: &[u8]) -> Probe {
    match ber::header(data) {
        Ok((SEQUENCE, _, 5..)) => {}
        Ok(_) | Err(ber::Missing::Never) => return Probe::No,
        Err(ber::Missing::More) => return Probe::NeedMore,
    }
    match (message(data), direction) {
        (Some(message), Direction::ToServer) if REQUESTS.contains(&message.operation) => Probe::Yes,
        (Some(message), Direction::ToClient) if RESPONSES.contains(&message.operation) => {
            Probe::Yes
        }
        (None, _) if data.len() < 16 => Probe::NeedMore,
        _ => Probe::No,
    }
}

#[derive(Debug)]
struct Message<'a> {
    id: u64,
    operation: u8,
    content: &'a [u8],
}

fn message(data: &[u8]) -> Option<Message<'_>> {
    let mut parts = Elements(Elements(data).content(SEQUENCE)?);
    let id = ber::unsigned(parts.content(INTEGER)?)?;
    let (tag, content) = parts.next()?;
    // [APPLICATION n].
    (tag & 0xc0 == 0x40).then_some(Message {
        id,
        operation: tag & 0x1f,
        content,
    })
}

#[derive(Debug)]
struct Pending {
    message: u64,
    transaction: u64,
    responses: u64,
    start_tls: bool,
}

/// Follows one connection, or one flow of datagrams.
#[derive(Debug, Default)]
pub struct Ldap {
    frames: BothFrames,
    /// Each datagram is whole messages.
    datagrams: bool,
    pending: VecDeque<Pending>,
}

impl Ldap {
    /// One for TCP; nothing was seen yet.
    #[must_use]
    pub fn tcp() -> Self {
        Self::default()
    }

    /// One for UDP.
    #[must_use]
    pub fn udp() -> Self {
        Self {
            datagrams: true,
            ..Self::default()
        }
    }

    fn request(&mut self, message: &Message<'_>, out: &mut Transactions) {
        let id = out.begin();
        let Some(transaction) = out.get(id) else {
            return;
        };
        let direction = Direction::ToServer;
        transaction.number(
            direction,
            Field::LdapRequestOperation,
            message.operation.into(),
        );
        // What is malformed ends what is pushed.
        let _ = content::request(message, transaction);
        transaction.advance(direction, Stage::Complete);
        if matches!(message.operation, UNBIND | ABANDON) {
            transaction.advance(Direction::ToClient, Stage::Complete);
            return;
        }
        if self.pending.len() >= MAX_PENDING {
            transaction.event(direction, "ldap.too_many_transactions");
            self.pending.pop_front();
            out.counters.pending_dropped += 1;
        }
        let name = Elements(message.content).find_tag(0x80);
        self.pending.push_back(Pending {
            message: message.id,
            transaction: id,
            responses: 0,
            start_tls: message.operation == EXTENDED && name == Some(START_TLS),
        });
    }

    fn response(&mut self, message: &Message<'_>, out: &mut Transactions) -> Status {
        let direction = Direction::ToClient;
        let at = self.pending.iter().position(|it| it.message == message.id);
        let Some((at, pending)) = at.and_then(|at| Some((at, self.pending.get_mut(at)?))) else {
            unasked(message, out);
            return Status::Ok;
        };
        pending.responses += 1;
        let (responses, start_tls) = (pending.responses, pending.start_tls);
        let last = !NOT_LAST.contains(&message.operation);
        if let Some(transaction) = out.get(pending.transaction) {
            if responses <= MAX_RESPONSES || last {
                let operation = message.operation.into();
                transaction.number(direction, Field::LdapResponsesOperation, operation);
                content::response(message, transaction);
            }
            if last {
                transaction.number(direction, Field::LdapResponsesCount, responses);
                transaction.advance(direction, Stage::Complete);
            }
        }
        if last {
            self.pending.remove(at);
            let result = Elements(message.content).next().map(|(_, result)| result);
            if start_tls && result == Some(&[0]) {
                return Status::Change(Some(AppProtocol::Tls));
            }
        }
        Status::Ok
    }
}

/// A response to nothing that was seen. A server may also notify without being asked (RFC 4511, 4.4).
fn unasked(message: &Message<'_>, out: &mut Transactions) {
    let direction = Direction::ToClient;
    let id = out.begin();
    if let Some(transaction) = out.get(id) {
        if message.id != UNSOLICITED || message.operation != EXTENDED_RESPONSE {
            transaction.event(direction, "ldap.request_not_found");
        }
        let operation = message.operation.into();
        transaction.number(direction, Field::LdapResponsesOperation, operation);
        content::response(message, transaction);
        transaction.number(direction, Field::LdapResponsesCount, 1);
        transaction.advance(Direction::ToServer, Stage::Complete);
        transaction.advance(direction, Stage::Complete);
    }
}

/// A transaction that says nothing but an event.
fn alone(direction: Direction, event: &'static str, out: &mut Transactions) {
    let id = out.begin();
    if let Some(transaction) = out.get(id) {
        transaction.event(direction, event);
        transaction.advance(Direction::ToServer, Stage::Complete);
        transaction.advance(Direction::ToClient, Stage::Complete);
    }
}

impl Parser for Ldap {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        let mut data = data;
        if self.datagrams {
            self.frames = BothFrames::default();
        }
        loop {
            let frames = self.frames.of(direction);
            let bytes = match frames.next(&mut data, MAX_MESSAGE, ber::length) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Status::Ok,
                Err(_) => {
                    alone(direction, "ldap.invalid_data", out);
                    return Status::Failed;
                }
            };
            out.frames.push(direction, Buffer::FrameLdapPdu, &bytes);
            let Some(message) = message(&bytes) else {
                alone(direction, "ldap.invalid_data", out);
                continue;
            };
            let status = match direction {
                Direction::ToServer => {
                    self.request(&message, out);
                    Status::Ok
                }
                Direction::ToClient => self.response(&message, out),
            };
            if status != Status::Ok {
                return status;
            }
        }
    }

    fn gap(&mut self, direction: Direction, length: u64, _out: &mut Transactions) -> Status {
        self.frames.gap(direction, length)
    }

    fn end(&mut self, direction: Direction, out: &mut Transactions) {
        for transaction in out.iter_mut() {
            transaction.advance(direction, Stage::Complete);
        }
    }

    fn footprint(&self) -> usize {
        let held = self.frames.footprint();
        size_of::<Self>() + held + self.pending.capacity() * size_of::<Pending>()
    }
}
