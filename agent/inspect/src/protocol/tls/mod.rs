//! TLS, and SSL as far as it still occurs (RFC 5246, RFC 8446, RFC 6101).
//!
//! A connection is one transaction. What is encrypted is skipped by the lengths of records.

mod certificate;
mod der;
pub(crate) mod fingerprint;
mod handshake;
mod heartbeat;
pub(crate) mod hello;
mod side;
mod sslv2;
#[cfg(test)]
mod tests;
pub(crate) mod time;

use handshake::{Assembler, Message};
use heartbeat::Heartbeats;
use hello::{Hello, Transport, is_version};
use side::Side;

use super::annotation::{RecordFrames, RecordNames};
use super::{Buffer, Field, Parser, Probe, Stage, Status, Transaction, Transactions};
use crate::flow::Direction;

/// What `app-layer-event` may name. That of too many records is known, but cannot happen: each
/// record takes its header from the packet.
pub const EVENTS: &[&str] = &[
    "tls.invalid_sslv2_header",
    "tls.invalid_tls_header",
    "tls.invalid_record_version",
    "tls.invalid_record_type",
    "tls.invalid_handshake_message",
    "tls.invalid_certificate",
    "tls.certificate_missing_element",
    "tls.certificate_unknown_element",
    "tls.certificate_invalid_length",
    "tls.certificate_invalid_string",
    "tls.error_message_encountered",
    "tls.invalid_ssl_record",
    "tls.heartbeat_message",
    "tls.overflow_heartbeat_message",
    "tls.invalid_heartbeat_message",
    "tls.dataleak_heartbeat_mismatch",
    "tls.multiple_sni_extensions",
    "tls.invalid_sni_type",
    "tls.invalid_sni_length",
    "tls.handshake_invalid_length",
    "tls.too_many_records_in_packet",
];

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HEARTBEAT: u8 = 24;

/// Bytes of a record's header.
const HEADER: usize = 5;
/// Bytes of a record's body, with what encryption adds (RFC 5246, section 6.2.3).
const MAX_RECORD: u16 = (1 << 14) + 2_048;
/// ClientHellos that are read: a second one is asked for by a server that wants another group.
const MAX_HELLOS: u8 = 4;

/// The frames of a record.
const RECORD: RecordNames = RecordNames {
    pdu: Buffer::FrameTlsPdu,
    header: Buffer::FrameTlsHdr,
    data: Buffer::FrameTlsData,
};

/// Whether a stream begins as TLS does, or as SSL 2.0.
#[must_use]
pub fn probe(direction: Direction, data: &[u8]) -> Probe {
    match *data {
        [HANDSHAKE | ALERT | HEARTBEAT] | [HANDSHAKE | ALERT | HEARTBEAT, 3] => Probe::NeedMore,
        [ALERT | HEARTBEAT, 3, minor, ..] if minor <= 4 => Probe::Yes,
        [HANDSHAKE, 3, minor, ref rest @ ..] if minor <= 4 => match rest {
            [] | [_] | [_, _] => Probe::NeedMore,
            // Those of either side: the flow may not have been seen from its beginning.
            [
                _,
                _,
                handshake::CLIENT_HELLO | handshake::SERVER_HELLO | handshake::CERTIFICATE,
                ..,
            ] => Probe::Yes,
            _ => Probe::No,
        },
        [first, ..] if first & 0x80 != 0 => sslv2::probe(direction, data),
        [] => Probe::NeedMore,
        _ => Probe::No,
    }
}

/// Follows one connection.
#[derive(Debug, Default)]
pub struct Tls {
    id: Option<u64>,
    sides: [Side; 2],
    heartbeats: Heartbeats,
    /// A ClientHello was asked for again, which TLS 1.3 alone does: there a ChangeCipherSpec means nothing.
    retried: bool,
    client_hellos: u8,
    server_hello: bool,
    /// Raised already: those that come after the transaction was over have one of their own.
    raised: Vec<&'static str>,
}

impl Tls {
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

    fn transaction<'a>(&mut self, out: &'a mut Transactions) -> Option<&'a mut Transaction> {
        let id = *self.id.get_or_insert_with(|| out.begin());
        out.get(id)
    }

    fn event(&mut self, direction: Direction, event: &'static str, out: &mut Transactions) {
        if self.raised.contains(&event) {
            return;
        }
        self.raised.push(event);
        if let Some(transaction) = self.transaction(out) {
            transaction.event(direction, event);
            return;
        }
        let id = out.begin();
        if let Some(transaction) = out.get(id) {
            transaction.event(direction, event);
            transaction.advance(direction, Stage::Complete);
            transaction.advance(direction.reverse(), Stage::Complete);
        }
    }

    /// Gives up on the connection.
    fn fail(
        &mut self,
        direction: Direction,
        events: &[&'static str],
        out: &mut Transactions,
    ) -> Status {
        for event in events {
            self.event(direction, event, out);
        }
        self.hide(Direction::ToServer, out);
        self.hide(Direction::ToClient, out);
        Status::Failed
    }

    /// Nothing of this direction can be read any more.
    fn hide(&mut self, direction: Direction, out: &mut Transactions) {
        let side = self.side(direction);
        side.opaque = true;
        side.head = Vec::new();
        self.encrypt(direction, out);
    }

    /// No handshake messages can be read in this direction any more.
    fn encrypt(&mut self, direction: Direction, out: &mut Transactions) {
        let side = self.side(direction);
        if side.encrypted {
            return;
        }
        side.encrypted = true;
        side.handshake = Assembler::default();
        let both = self.sides.iter().all(|side| side.encrypted);
        if let Some(transaction) = self.transaction(out) {
            transaction.advance(direction, Stage::Headers);
            if both {
                transaction.advance(direction, Stage::Complete);
                transaction.advance(direction.reverse(), Stage::Complete);
            }
        }
    }

    /// A record begins.
    fn begin(
        &mut self,
        direction: Direction,
        header: [u8; HEADER],
        out: &mut Transactions,
    ) -> Status {
        let [kind, major, minor, high, low] = header;
        let version = u16::from_be_bytes([major, minor]);
        let length = u16::from_be_bytes([high, low]);
        if !(CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&kind) {
            return self.fail(
                direction,
                &["tls.invalid_record_type", "tls.invalid_ssl_record"],
                out,
            );
        }
        if !is_version(version) {
            return self.fail(
                direction,
                &["tls.invalid_record_version", "tls.invalid_ssl_record"],
                out,
            );
        }
        if length > MAX_RECORD {
            return self.fail(
                direction,
                &["tls.invalid_tls_header", "tls.invalid_ssl_record"],
                out,
            );
        }
        let mut frames = RecordFrames::new(direction, RECORD, out);
        frames.header(&header);
        if length == 0 {
            frames.data(&[], true);
        }
        let retried = self.retried;
        let side = self.side(direction);
        side.started = true;
        side.kind = kind;
        side.length = length;
        side.missing = length;
        side.head.clear();
        if kind == APPLICATION_DATA || kind == CHANGE_CIPHER_SPEC && !retried {
            self.encrypt(direction, out);
        }
        Status::Ok
    }

    /// Bytes of a record's body.
    fn body(&mut self, direction: Direction, piece: &[u8], out: &mut Transactions) {
        let side = self.side(direction);
        match side.kind {
            HANDSHAKE if !side.encrypted => self.handshake(direction, piece, out),
            HEARTBEAT => {
                let before = side.head.len();
                let wanted = heartbeat::HEADER.saturating_sub(before);
                side.head
                    .extend_from_slice(piece.get(..wanted).unwrap_or(piece));
                let (length, encrypted) = (side.length, side.encrypted);
                if let (true, Ok(head)) = (
                    before < heartbeat::HEADER,
                    <[u8; heartbeat::HEADER]>::try_from(side.head.as_slice()),
                ) && let Some(event) =
                    self.heartbeats.message(direction, head, length, encrypted)
                {
                    self.event(direction, event, out);
                }
            }
            _ => {}
        }
    }

    fn handshake(&mut self, direction: Direction, piece: &[u8], out: &mut Transactions) {
        let mut piece = piece;
        let most = out.limits().partial;
        while !self.side(direction).encrypted
            && let Some(message) = self.side(direction).handshake.next(&mut piece, most)
        {
            match message {
                Message::TooLong => out.counters.partial_exceeded += 1,
                Message::Begun(handshake::SERVER_HELLO_DONE) => {
                    if let Some(transaction) = self.transaction(out) {
                        transaction.advance(direction, Stage::Headers);
                    }
                }
                Message::Begun(kind) => {
                    self.state(direction, kind, out);
                    if !handshake::is_known(kind) {
                        self.event(direction, "tls.invalid_handshake_message", out);
                        self.event(direction, "tls.invalid_ssl_record", out);
                        self.hide(direction, out);
                        return;
                    }
                }
                Message::Whole(kind, body) => {
                    self.state(direction, kind, out);
                    if !self.message(direction, kind, &body, out) {
                        self.event(direction, "tls.handshake_invalid_length", out);
                        self.event(direction, "tls.invalid_handshake_message", out);
                    }
                }
            }
        }
    }

    /// Tells of the messages that rules know as states of a connection.
    fn state(&mut self, direction: Direction, kind: u8, out: &mut Transactions) {
        let Some(state) = handshake::state(kind) else {
            return;
        };
        if let Some(transaction) = self.transaction(out) {
            transaction.number(direction, Field::TlsState, state);
        }
    }

    /// Reads one message, and says whether it could be read.
    fn message(
        &mut self,
        direction: Direction,
        kind: u8,
        body: &[u8],
        out: &mut Transactions,
    ) -> bool {
        match kind {
            handshake::CLIENT_HELLO => {
                let Some(hello) = Hello::client(body) else {
                    return false;
                };
                self.client_hellos = self.client_hellos.saturating_add(1);
                let number = self.client_hellos;
                if let Some(transaction) = self.transaction(out) {
                    match number {
                        1 => hello::push_client(&hello, Transport::Tcp, transaction),
                        2..=MAX_HELLOS => push_other_names(&hello, transaction),
                        _ => {}
                    }
                    transaction.advance(Direction::ToServer, Stage::Headers);
                }
            }
            handshake::SERVER_HELLO => {
                let Some(hello) = Hello::server(body) else {
                    return false;
                };
                if hello.is_retry() {
                    self.retried = true;
                } else if !core::mem::replace(&mut self.server_hello, true)
                    && let Some(transaction) = self.transaction(out)
                {
                    hello::push_server(&hello, transaction);
                }
            }
            _ => {
                let now = out.now;
                let readable = self.transaction(out).is_none_or(|transaction| {
                    let readable = certificate::push_chain(body, now, direction, transaction);
                    transaction.advance(direction, Stage::Headers);
                    readable
                });
                if !readable {
                    // What follows is no better.
                    self.event(direction, "tls.invalid_handshake_message", out);
                    self.hide(direction, out);
                }
            }
        }
        true
    }

    /// A message of SSL 2.0, whose header is as long as the length that it has.
    fn sslv2(&mut self, direction: Direction, data: &mut &[u8], out: &mut Transactions) -> Status {
        let most = out.limits().partial;
        let side = self.side(direction);
        let Some(message) = sslv2::next(&mut side.head, data) else {
            if side.head.len() > most {
                out.counters.partial_exceeded += 1;
                return self.fail(direction, &[], out);
            }
            return Status::Ok;
        };
        side.started = true;
        let now = out.now;
        let Some(transaction) = self.transaction(out) else {
            return Status::Ok;
        };
        match sslv2::push(&message, now, direction, transaction) {
            Ok(sslv2::Follows::Tls) => transaction.advance(direction, Stage::Headers),
            Ok(sslv2::Follows::Nothing) => {
                transaction.advance(direction, Stage::Headers);
                self.hide(direction, out);
            }
            Err(event) => return self.fail(direction, &[event], out),
        }
        Status::Ok
    }
}

/// Pushes the names of a ClientHello that are not those of the first: rules match a name once.
fn push_other_names(hello: &Hello<'_>, transaction: &mut Transaction) {
    let first = transaction
        .first(Direction::ToServer, Buffer::TlsSni)
        .map(<[u8]>::to_vec);
    let name = hello
        .extension(hello::SERVER_NAME)
        .and_then(|data| data.get(5..));
    if name != first.as_deref() {
        hello::push_names(hello, Transport::Tcp, transaction);
    }
}

impl Parser for Tls {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        let mut data = data;
        while let Some(first) = data.first() {
            let side = self.side(direction);
            if side.opaque {
                return Status::Ok;
            }
            if side.missing > 0 {
                let (piece, rest) = data
                    .split_at_checked(usize::from(side.missing))
                    .unwrap_or((data, &[]));
                data = rest;
                side.missing = u16::try_from(piece.len())
                    .map_or(0, |length| side.missing.saturating_sub(length));
                let over = side.missing == 0;
                let frame = match side.kind {
                    ALERT => Some(Buffer::FrameTlsAlert),
                    HEARTBEAT => Some(Buffer::FrameTlsHeartbeat),
                    _ => None,
                };
                RecordFrames::new(direction, RECORD, out).data(piece, over);
                if let Some(frame) = frame {
                    out.frames.append(direction, frame, piece);
                    if over {
                        out.frames.close(direction, frame);
                    }
                }
                self.body(direction, piece, out);
                continue;
            }
            if !side.head.is_empty() && !side.started
                || side.header.is_empty() && side.is_sslv2(*first)
            {
                match self.sslv2(direction, &mut data, out) {
                    Status::Ok => continue,
                    status => return status,
                }
            }
            if let Some(header) = side.header(&mut data) {
                match self.begin(direction, header, out) {
                    Status::Ok => {}
                    status => return status,
                }
            }
        }
        Status::Ok
    }

    fn gap(&mut self, direction: Direction, length: u64, out: &mut Transactions) -> Status {
        RecordFrames::new(direction, RECORD, out).cut();
        let side = self.side(direction);
        let readable = side.kind == HANDSHAKE && !side.encrypted;
        match u16::try_from(length) {
            // Within a record that is skipped anyway.
            Ok(length) if !readable && length <= side.missing => side.missing -= length,
            // Where the next record begins cannot be known.
            _ => self.hide(direction, out),
        }
        Status::Ok
    }

    fn end(&mut self, direction: Direction, out: &mut Transactions) {
        if let Some(id) = self.id
            && let Some(transaction) = out.get(id)
        {
            transaction.advance(direction, Stage::Complete);
        }
    }

    fn is_encrypted(&self) -> bool {
        let hidden = |side: &Side| side.encrypted && !side.opaque;
        self.sides.iter().all(hidden)
    }

    fn footprint(&self) -> usize {
        let sides: usize = self
            .sides
            .iter()
            .map(|side| side.header.capacity() + side.head.capacity() + side.handshake.footprint())
            .sum();
        size_of::<Self>() + sides + self.raised.capacity() * size_of::<&str>()
    }
}
