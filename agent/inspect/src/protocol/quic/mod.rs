//! QUIC, as far as everybody can read it: the Initial packets (RFC 9000, RFC 9001, RFC 9369).
//!
//! A packet with a long header is a transaction, as in Suricata, until its side has said hello.

mod crypto;
mod google;
mod header;
mod keys;
#[cfg(test)]
mod tests;

use crypto::{Crypto, Unreadable};
use header::{Kind, Packet, is_known, is_long};
use keys::Keys;

use super::read::md5_hex;
use super::tls::hello::{self, Hello, Transport};
use super::{Buffer, Field, Parser, Probe, Stage, Status, Transaction, Transactions};
use crate::flow::Direction;

/// What `app-layer-event` may name.
pub const EVENTS: &[&str] = &[
    "quic.failed_decrypt",
    "quic.error_on_data",
    "quic.error_on_header",
    "quic.crypto_frag_too_long",
];

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
/// Packets of one side that are looked at for its hello: each costs a decryption.
const MAX_PACKETS: u8 = 64;

/// Whether a datagram is one that begins a connection of a version that is known.
#[must_use]
pub fn probe(_direction: Direction, data: &[u8]) -> Probe {
    if google::version(data).is_some() {
        return Probe::Yes;
    }
    match Packet::parse(data) {
        Some(packet) if is_long(data) && is_known(packet.version) => match packet.kind {
            Kind::Unknown | Kind::Negotiation => Probe::No,
            _ => Probe::Yes,
        },
        _ => Probe::No,
    }
}

/// Follows one connection.
#[derive(Debug, Default)]
pub struct Quic {
    /// What the client first called the server: the keys of both sides come from it.
    id: Option<Vec<u8>>,
    sides: [Side; 2],
}

#[derive(Debug, Default)]
struct Side {
    crypto: Crypto,
    packets: u8,
    /// The hello was seen, or will not be.
    over: bool,
}

impl Quic {
    /// A parser of a connection that begins.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    const fn side(&mut self, direction: Direction) -> &mut Side {
        let [to_server, to_client] = &mut self.sides;
        match direction {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        }
    }

    /// The payload of an Initial packet. The client may begin anew with another identifier, after
    /// a Retry.
    fn open(&mut self, direction: Direction, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let open = |id: &[u8]| Keys::initial(packet.version, id, direction)?.open(packet);
        if let Some(payload) = self.id.as_deref().and_then(open) {
            return Some(payload);
        }
        if direction == Direction::ToClient {
            return None;
        }
        let payload = open(packet.destination)?;
        self.id = Some(packet.destination.to_vec());
        Some(payload)
    }

    fn initial(
        &mut self,
        direction: Direction,
        packet: &Packet<'_>,
        most: usize,
        transaction: &mut Transaction,
    ) {
        let Some(payload) = self.open(direction, packet) else {
            // Of a server whose client was not seen there are no keys.
            if self.id.is_some() || direction == Direction::ToServer {
                transaction.event(direction, "quic.failed_decrypt");
            }
            return;
        };
        let side = self.side(direction);
        match side.crypto.frames(&payload, most) {
            Ok(()) => {}
            Err(Unreadable::Malformed) => transaction.event(direction, "quic.error_on_data"),
            Err(Unreadable::TooLong) => {
                transaction.event(direction, "quic.crypto_frag_too_long");
                side.over = true;
            }
        }
        let Some((kind, body)) = side.crypto.message() else {
            return;
        };
        side.over = true;
        let hello = match (direction, kind) {
            (Direction::ToServer, CLIENT_HELLO) => Hello::client(&body),
            (Direction::ToClient, SERVER_HELLO) => Hello::server(&body),
            _ => None,
        };
        match hello {
            None => transaction.event(direction, "quic.error_on_data"),
            // The real one follows, and another of the client.
            Some(hello) if direction == Direction::ToClient && hello.is_retry() => {
                side.crypto.skip(body.len());
                side.over = false;
            }
            Some(hello) if direction == Direction::ToClient => {
                hello::push_server(&hello, transaction);
            }
            Some(hello) => hello::push_client(&hello, Transport::Quic, transaction),
        }
    }

    fn google(&mut self, direction: Direction, version: u32, data: &[u8], out: &mut Transactions) {
        let id = out.begin();
        let Some(transaction) = out.get(id) else {
            return;
        };
        push_version(direction, version, transaction);
        if let Some(hello) = google::hello(data) {
            self.side(direction).over = true;
            if let Some(name) = hello.name {
                transaction.push(direction, Buffer::TlsSni, name);
                transaction.push(direction, Buffer::QuicSni, name);
            }
            // The digits of the version are those behind the letter.
            let [_, digits @ ..] = version.to_be_bytes();
            let digits = digits.trim_ascii_start();
            let digits = digits.strip_prefix(b"0").unwrap_or(digits);
            let cyu = [digits, b",", &hello.tags].concat();
            transaction.push(direction, Buffer::QuicCyuString, &cyu);
            transaction.push(direction, Buffer::QuicCyuHash, md5_hex(&cyu).as_bytes());
            if let Some(user_agent) = hello.user_agent {
                transaction.push(direction, Buffer::QuicUserAgent, user_agent);
            }
        }
        complete(direction, transaction);
    }
}

fn push_version(direction: Direction, version: u32, transaction: &mut Transaction) {
    transaction.number(direction, Field::QuicVersion, version.into());
    transaction.push(direction, Buffer::QuicVersion, &version.to_be_bytes());
}

fn complete(direction: Direction, transaction: &mut Transaction) {
    transaction.advance(direction, Stage::Complete);
    transaction.advance(direction.reverse(), Stage::Complete);
}

impl Parser for Quic {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        let mut data = data;
        let most = out.limits().partial;
        while !data.is_empty() {
            let side = self.side(direction);
            side.over |= side.packets >= MAX_PACKETS;
            if side.over {
                side.crypto = Crypto::default();
                return Status::Ok;
            }
            side.packets += 1;
            if let Some(version) = google::version(data) {
                self.google(direction, version, data, out);
                return Status::Ok;
            }
            if !is_long(data) {
                return Status::Ok;
            }
            let id = out.begin();
            let Some(transaction) = out.get(id) else {
                return Status::Ok;
            };
            let Some(packet) = Packet::parse(data) else {
                transaction.event(direction, "quic.error_on_header");
                complete(direction, transaction);
                return Status::Ok;
            };
            data = packet.rest;
            push_version(direction, packet.version, transaction);
            match packet.kind {
                Kind::Initial => self.initial(direction, &packet, most, transaction),
                Kind::Retry => self.id = None,
                _ => {}
            }
            complete(direction, transaction);
        }
        Status::Ok
    }

    fn gap(&mut self, _direction: Direction, _length: u64, _out: &mut Transactions) -> Status {
        Status::Ok
    }

    fn end(&mut self, _direction: Direction, _out: &mut Transactions) {}

    fn footprint(&self) -> usize {
        let sides: usize = self.sides.iter().map(|side| side.crypto.footprint()).sum();
        size_of::<Self>() + sides + self.id.as_ref().map_or(0, Vec::capacity)
    }
}
