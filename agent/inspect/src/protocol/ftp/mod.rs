//! FTP: commands, replies, and the data connections that they announce (RFC 959, RFC 2428).

mod address;
pub mod ftp_data;
#[cfg(test)]
mod tests;

use core::net::IpAddr;
use std::collections::VecDeque;

use super::line::{WholeLines, word};
use super::{AppProtocol, Buffer, Field, Parser, Probe, Stage, Status, Transactions};
use crate::flow::Direction;

/// Events that are raised (Suricata's `app-layer-event` names).
pub const EVENTS: &[&str] = &[
    "ftp.request_command_too_long",
    "ftp.response_command_too_long",
];

/// Bytes of one line that are kept (Suricata: `app-layer.protocols.ftp.max-line-length`).
const MAX_LINE: usize = 4_096;
/// Commands that wait for their replies.
const MAX_PENDING: usize = 256;
/// Announcements that nobody has taken.
const MAX_EXPECTATIONS: usize = 64;

/// Commands whose data goes over a connection of its own.
const TRANSFERS: &[&[u8]] = &[
    b"RETR", b"STOR", b"STOU", b"APPE", b"LIST", b"NLST", b"MLSD",
];

/// First commands by which a flow is known.
const OPENINGS: &[&[u8]] = &[
    b"USER ",
    b"FEAT\r\n",
    b"AUTH TLS\r\n",
    b"AUTH SSL\r\n",
    b"SYST\r\n",
    b"PORT ",
    b"PASV\r\n",
    b"EPSV\r\n",
    b"RETR ",
    b"STOR ",
    b"CWD ",
];

/// A connection for data that the two ends have agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Who is connected to; `None`: the same end as that of the control connection.
    pub address: Option<IpAddr>,
    /// The port that is connected to.
    pub port: u16,
    /// The server connects to the client.
    pub active: bool,
    /// What is transferred; empty for listings.
    pub file_name: Vec<u8>,
    /// The verb, in upper case.
    pub command: Vec<u8>,
}

/// Whether data begins as FTP does. The greeting may be that of SMTP: what the client says decides.
#[must_use]
pub fn probe(direction: Direction, data: &[u8]) -> Probe {
    match direction {
        Direction::ToServer => {
            let mut more = false;
            for opening in OPENINGS {
                let length = opening.len().min(data.len());
                let (front, start) = (data.get(..length), opening.get(..length));
                if front
                    .zip(start)
                    .is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
                {
                    if length == opening.len() {
                        return Probe::Yes;
                    }
                    more = true;
                }
            }
            if more { Probe::NeedMore } else { Probe::No }
        }
        Direction::ToClient => match data {
            [b'2', b'2', b'0', b' ' | b'-', rest @ ..] => {
                let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
                if line
                    .windows(3)
                    .any(|word| word.eq_ignore_ascii_case(b"FTP"))
                {
                    Probe::Yes
                } else {
                    Probe::NeedMore
                }
            }
            _ if b"220".starts_with(data) => Probe::NeedMore,
            _ => Probe::No,
        },
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Active,
    Passive,
    AuthTls,
    Other,
}

#[derive(Debug)]
struct Pending {
    kind: Kind,
    transaction: u64,
}

/// Follows one control connection.
#[derive(Debug, Default)]
pub struct Ftp {
    commands: WholeLines,
    replies: WholeLines,
    pending: VecDeque<Pending>,
    /// The transaction and the code of a reply of several lines.
    open: Option<(u64, [u8; 3])>,
    /// Where the next transfer goes: address, port, and whether the server connects.
    agreed: Option<(Option<IpAddr>, u16, bool)>,
    expectations: VecDeque<Expectation>,
}

impl Ftp {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The data connections that were announced since the last call.
    pub fn take_expectations(&mut self) -> Vec<Expectation> {
        self.expectations.drain(..).collect()
    }

    fn command(&mut self, line: &[u8], cut: bool, out: &mut Transactions) {
        let (verb, argument) = word(line);
        if verb.is_empty() {
            return;
        }
        let argument = argument.trim_ascii_end();
        let verb = verb.to_ascii_uppercase();
        let id = out.begin();
        if self.pending.len() >= MAX_PENDING {
            self.pending.pop_front();
            out.counters.pending_dropped += 1;
        }
        let Some(transaction) = out.get(id) else {
            return;
        };
        if cut {
            transaction.event(Direction::ToServer, "ftp.request_command_too_long");
        }
        transaction.push(Direction::ToServer, Buffer::FtpCommand, &verb);
        if !argument.is_empty() {
            transaction.push(Direction::ToServer, Buffer::FtpCommandData, argument);
        }
        let active = match verb.as_slice() {
            b"PORT" => address::host_port(argument),
            b"EPRT" => address::extended(argument),
            _ => None,
        };
        if let Some((address, port)) = active {
            self.agreed = Some((address, port, true));
            transaction.number(Direction::ToServer, Field::FtpDynamicPort, port.into());
            transaction.number(Direction::ToServer, Field::FtpMode, 1);
        }
        transaction.advance(Direction::ToServer, Stage::Complete);
        let kind = match verb.as_slice() {
            b"PORT" | b"EPRT" => Kind::Active,
            b"PASV" | b"EPSV" => Kind::Passive,
            b"AUTH" => Kind::AuthTls,
            _ => Kind::Other,
        };
        self.pending.push_back(Pending {
            kind,
            transaction: id,
        });
        if TRANSFERS.contains(&verb.as_slice()) {
            self.expect(verb, argument, out);
        }
    }

    fn expect(&mut self, command: Vec<u8>, argument: &[u8], out: &mut Transactions) {
        let Some((address, port, active)) = self.agreed.take() else {
            return;
        };
        if self.expectations.len() >= MAX_EXPECTATIONS {
            self.expectations.pop_front();
            out.counters.pending_dropped += 1;
        }
        let named = matches!(command.as_slice(), b"RETR" | b"STOR" | b"STOU" | b"APPE");
        self.expectations.push_back(Expectation {
            address,
            port,
            active,
            file_name: if named { argument.to_vec() } else { Vec::new() },
            command,
        });
    }

    /// Takes one line of a reply; says whether the protocol changes.
    fn reply(&mut self, line: &[u8], cut: bool, out: &mut Transactions) -> bool {
        let code = line.first_chunk::<3>().filter(|code| {
            let rest = line.get(3..).unwrap_or_default();
            code.iter().all(u8::is_ascii_digit) && matches!(rest.first(), None | Some(b' ' | b'-'))
        });
        let last = code.is_some() && line.get(3) != Some(&b'-');
        let front = self.pending.front().map(|pending| pending.transaction);
        // The greeting, and what nobody asked for, are transactions of their own.
        let (id, begun) = match (self.open, front) {
            (Some((id, begun)), _) => (id, Some(begun)),
            (None, Some(id)) => (id, None),
            (None, None) => (out.begin(), None),
        };
        // Within a reply of several lines only its own code ends it (RFC 959, 4.2).
        let ends = last && begun.is_none_or(|begun| code == Some(&begun));
        self.open = match (ends, begun.or(code.copied())) {
            (false, Some(begun)) => Some((id, begun)),
            _ => None,
        };
        if let Some(transaction) = out.get(id) {
            if cut {
                transaction.event(Direction::ToClient, "ftp.response_command_too_long");
            }
            if let Some(code) = code {
                transaction.push(Direction::ToClient, Buffer::FtpCompletionCode, code);
            }
            let text = if code.is_some() {
                line.get(4..)
            } else {
                Some(line)
            };
            transaction.push(
                Direction::ToClient,
                Buffer::FtpReply,
                text.unwrap_or_default(),
            );
        }
        match code {
            Some(code) if ends => self.answered(*code, line, id, out),
            _ => false,
        }
    }

    fn answered(&mut self, code: [u8; 3], line: &[u8], id: u64, out: &mut Transactions) -> bool {
        // Preliminary: another reply follows.
        if code.first() == Some(&b'1') {
            return false;
        }
        let asked = self.pending.front().is_some_and(|it| it.transaction == id);
        let pending = if asked {
            self.pending.pop_front()
        } else {
            None
        };
        let kind = pending.map_or(Kind::Other, |pending| pending.kind);
        let passive = match &code {
            b"227" => address::within_parentheses(line),
            b"229" => address::extended_reply(line),
            _ => None,
        };
        let Some(transaction) = out.get(id) else {
            return false;
        };
        if asked {
            transaction.number(Direction::ToClient, Field::FtpReplyReceived, 1);
        }
        match (kind, passive) {
            (Kind::Passive, Some((address, port))) => {
                self.agreed = Some((address, port, false));
                for direction in [Direction::ToServer, Direction::ToClient] {
                    transaction.number(direction, Field::FtpDynamicPort, port.into());
                    transaction.number(direction, Field::FtpMode, 0);
                }
            }
            (Kind::Active, _) => {
                // Rules on the port hold for the reply as well.
                let numbers = transaction.numbers().to_vec();
                for (_, field, value) in numbers {
                    if matches!(field, Field::FtpDynamicPort | Field::FtpMode) {
                        transaction.number(Direction::ToClient, field, value);
                    }
                }
                if code.first() != Some(&b'2') {
                    self.agreed = None;
                }
            }
            _ => {}
        }
        transaction.advance(Direction::ToServer, Stage::Complete);
        transaction.advance(Direction::ToClient, Stage::Complete);
        kind == Kind::AuthTls && matches!(&code, b"234" | b"334")
    }
}

impl Parser for Ftp {
    fn take_announced(&mut self) -> Vec<Expectation> {
        self.take_expectations()
    }

    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        let mut data = data;
        match direction {
            Direction::ToServer => {
                while let Some(line) = self.commands.next(&mut data, MAX_LINE) {
                    out.frames
                        .push(direction, Buffer::FrameFtpCommandLine, &line.bytes);
                    self.command(&line.bytes, line.cut, out);
                }
            }
            Direction::ToClient => {
                while let Some(line) = self.replies.next(&mut data, MAX_LINE) {
                    out.frames
                        .push(direction, Buffer::FrameFtpResponseLine, &line.bytes);
                    if self.reply(&line.bytes, line.cut, out) {
                        return Status::Change(Some(AppProtocol::Tls));
                    }
                }
            }
        }
        Status::Ok
    }

    fn gap(&mut self, direction: Direction, _length: u64, out: &mut Transactions) -> Status {
        match direction {
            Direction::ToServer => self.commands.clear(),
            Direction::ToClient => self.replies.clear(),
        }
        // Which reply answers which command is not known any more.
        self.pending.clear();
        self.open = None;
        for transaction in out.iter_mut() {
            transaction.advance(Direction::ToServer, Stage::Complete);
            transaction.advance(Direction::ToClient, Stage::Complete);
        }
        Status::Ok
    }

    fn end(&mut self, direction: Direction, out: &mut Transactions) {
        if direction == Direction::ToClient {
            while let Some(pending) = self.pending.pop_front() {
                if let Some(transaction) = out.get(pending.transaction) {
                    transaction.number(direction, Field::FtpReplyReceived, 0);
                }
            }
        }
        for transaction in out.iter_mut() {
            transaction.advance(direction, Stage::Complete);
        }
    }

    fn footprint(&self) -> usize {
        let expectations = self.expectations.iter();
        let names = expectations.map(|it| it.file_name.capacity() + it.command.capacity());
        size_of::<Self>()
            + self.commands.footprint()
            + self.replies.footprint()
            + self.pending.capacity() * size_of::<Pending>()
            + self.expectations.capacity() * size_of::<Expectation>()
            + names.sum::<usize>()
    }
}
