//! The handshake of RFB, which VNC speaks (RFC 6143, section 7.1). One transaction for the connection.

use super::{Buffer, Field, Parser, Probe, Stage, Status, Transaction, Transactions};
use crate::flow::Direction;

/// `RFB xxx.yyy\n`.
const VERSION: usize = 12;
/// VNC authentication (RFC 6143, 7.2.2).
const VNC: u8 = 2;
const NONE: u8 = 1;
/// Size, pixel format, and the length of the name that follows (RFC 6143, 7.3.2).
const SERVER_INIT: usize = 24;
/// The result of authentication that succeeded (RFC 6143, 7.1.3).
const PASSED: u32 = 0;

/// Events that are raised.
pub const EVENTS: &[&str] = &[MALFORMED, UNIMPLEMENTED, UNKNOWN_RESULT];
const MALFORMED: &str = "rfb.malformed_message";
const UNIMPLEMENTED: &str = "rfb.unimplemented_security_type";
const UNKNOWN_RESULT: &str = "rfb.unknown_security_result";

/// Whether data begins as the handshake does.
#[must_use]
pub fn probe(_direction: Direction, data: &[u8]) -> Probe {
    let front = data.get(..4).unwrap_or(data);
    match b"RFB ".strip_prefix(front) {
        Some([]) => Probe::Yes,
        Some(_) => Probe::NeedMore,
        None => Probe::No,
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    ServerVersion,
    ClientVersion,
    /// Before 3.7 the server decides.
    TypeDecided,
    TypeCount,
    Types(usize),
    TypeChosen,
    Challenge,
    Response,
    Result,
    ClientInit,
    ServerInit,
    Name(usize),
    /// Sessions are not looked into.
    Over,
}

impl Step {
    /// Who sends it, and how many bytes it has.
    const fn expects(self) -> Option<(Direction, usize)> {
        Some(match self {
            Self::ServerVersion => (Direction::ToClient, VERSION),
            Self::ClientVersion => (Direction::ToServer, VERSION),
            Self::TypeDecided | Self::Result => (Direction::ToClient, 4),
            Self::TypeCount => (Direction::ToClient, 1),
            Self::Types(count) => (Direction::ToClient, count),
            Self::TypeChosen => (Direction::ToServer, 1),
            Self::Challenge => (Direction::ToClient, 16),
            Self::Response => (Direction::ToServer, 16),
            Self::ClientInit => (Direction::ToServer, 1),
            Self::ServerInit => (Direction::ToClient, SERVER_INIT),
            Self::Name(length) => (Direction::ToClient, length),
            Self::Over => return None,
        })
    }
}

/// Follows one connection.
#[derive(Debug, Default)]
pub struct Rfb {
    step: Step,
    /// Bytes that came before their turn: client and server may speak at once.
    held: [Vec<u8>; 2],
    minor: u8,
    transaction: Option<u64>,
}

/// Bytes that are held: more is no handshake.
const MAX_HELD: usize = 1_024;

impl Rfb {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn held(&mut self, direction: Direction) -> &mut Vec<u8> {
        let [to_server, to_client] = &mut self.held;
        match direction {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        }
    }

    /// The step that follows this one; `None` if it makes no sense.
    fn after(&mut self, bytes: &[u8], id: u64, out: &mut Transactions) -> Option<Step> {
        let last = bytes.last().copied().unwrap_or_default();
        let mut number = |direction, field, value| {
            if let Some(transaction) = out.get(id) {
                told(direction, field, value, transaction);
            }
        };
        Some(match self.step {
            Step::ServerVersion => bytes.starts_with(b"RFB ").then_some(Step::ClientVersion)?,
            Step::ClientVersion => {
                bytes.strip_prefix(b"RFB 003.00")?;
                self.minor = bytes.get(10)?.checked_sub(b'0')?;
                if self.minor < 7 {
                    Step::TypeDecided
                } else {
                    Step::TypeCount
                }
            }
            Step::TypeDecided => {
                number(Direction::ToClient, Field::RfbSecurityType, last.into());
                self.authentication(last)
            }
            // None: a reason follows, and the end.
            Step::TypeCount if last == 0 => Step::Over,
            Step::TypeCount => Step::Types(last.into()),
            Step::Types(_) => Step::TypeChosen,
            Step::TypeChosen => {
                number(Direction::ToServer, Field::RfbSecurityType, last.into());
                self.authentication(last)
            }
            Step::Challenge => Step::Response,
            Step::Response => Step::Result,
            Step::Result => {
                let value = u32::from_be_bytes(*bytes.first_chunk::<4>()?);
                number(Direction::ToClient, Field::RfbSecurityResult, value.into());
                if value == PASSED {
                    Step::ClientInit
                } else {
                    Step::Over
                }
            }
            Step::ClientInit => Step::ServerInit,
            Step::ServerInit => {
                let length = u32::from_be_bytes(*bytes.last_chunk::<4>()?);
                match usize::try_from(length).unwrap_or(usize::MAX) {
                    length @ 1..=MAX_HELD => Step::Name(length),
                    _ => Step::Over,
                }
            }
            Step::Name(_) => {
                if let Some(transaction) = out.get(id) {
                    transaction.push(Direction::ToClient, Buffer::RfbName, bytes);
                }
                Step::Over
            }
            Step::Over => Step::Over,
        })
    }

    const fn authentication(&self, kind: u8) -> Step {
        match kind {
            VNC => Step::Challenge,
            // Before 3.8 there is no result without authentication.
            NONE if self.minor >= 8 => Step::Result,
            NONE => Step::ClientInit,
            _ => Step::Over,
        }
    }

    fn finish(&mut self, out: &mut Transactions) {
        self.held = Default::default();
        if let Some(transaction) = self.transaction.and_then(|id| out.get(id)) {
            transaction.advance(Direction::ToServer, Stage::Complete);
            transaction.advance(Direction::ToClient, Stage::Complete);
        }
    }
}

/// Adds the type of security or the result of authentication, and says when it is not known.
fn told(direction: Direction, field: Field, value: u64, transaction: &mut Transaction) {
    transaction.number(direction, field, value);
    match (field, value) {
        (Field::RfbSecurityType, 1..=2) => {}
        (Field::RfbSecurityType, _) => transaction.event(direction, UNIMPLEMENTED),
        (_, 0..=2) => {}
        _ => transaction.event(direction, UNKNOWN_RESULT),
    }
}

impl Parser for Rfb {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        if self.step == Step::Over {
            return Status::Ok;
        }
        let id = *self.transaction.get_or_insert_with(|| out.begin());
        let held = self.held(direction);
        let room = MAX_HELD.saturating_sub(held.len());
        held.extend_from_slice(data.get(..room).unwrap_or(data));
        while let Some((from, count)) = self.step.expects() {
            let held = self.held(from);
            if held.len() < count {
                return Status::Ok;
            }
            let bytes: Vec<u8> = held.drain(..count).collect();
            out.frames.push(from, Buffer::FrameRfbPdu, &bytes);
            let Some(step) = self.after(&bytes, id, out) else {
                self.step = Step::Over;
                if let Some(transaction) = out.get(id) {
                    transaction.event(from, MALFORMED);
                }
                self.finish(out);
                return Status::Failed;
            };
            self.step = step;
        }
        self.finish(out);
        Status::Ok
    }

    fn gap(&mut self, _direction: Direction, _length: u64, out: &mut Transactions) -> Status {
        if self.step == Step::Over {
            return Status::Ok;
        }
        self.step = Step::Over;
        self.finish(out);
        Status::Failed
    }

    fn end(&mut self, direction: Direction, out: &mut Transactions) {
        if let Some(transaction) = self.transaction.and_then(|id| out.get(id)) {
            transaction.advance(direction, Stage::Complete);
        }
    }

    fn footprint(&self) -> usize {
        size_of::<Self>() + self.held.iter().map(Vec::capacity).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::Limits;

    use Direction::{ToClient, ToServer};

    #[test]
    fn kind_and_result_of_authentication_are_found() {
        let session: &[(Direction, &[u8])] = &[
            (ToClient, b"RFB 003.008\n"),
            (ToServer, b"RFB 003.008\n"),
            (ToClient, &[2, 1, 2]),
            (ToServer, &[2]),
            (ToClient, &[7; 16]),
            (ToServer, &[8; 16]),
            (ToClient, &[0, 0, 0, 1]),
        ];
        for size in [1, 100] {
            let mut rfb = Rfb::new();
            let mut out = Transactions::new(Limits::default());
            for (direction, bytes) in session {
                for chunk in bytes.chunks(size) {
                    assert_eq!(rfb.data(*direction, chunk, &mut out), Status::Ok);
                }
            }
            assert_eq!(
                out.last().unwrap().numbers(),
                [
                    (ToServer, Field::RfbSecurityType, 2),
                    (ToClient, Field::RfbSecurityResult, 1)
                ]
            );
            out.retire();
            assert!(out.is_empty());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..32)), 0..8)) {
            let mut rfb = Rfb::new();
            let mut out = Transactions::new(Limits::default());
            rfb.data(ToClient, b"RFB 003.008\n", &mut out);
            rfb.data(ToServer, b"RFB 003.008\n", &mut out);
            for (client, piece) in &pieces {
                let direction = if *client { ToServer } else { ToClient };
                let _ = probe(direction, piece);
                rfb.data(direction, piece, &mut out);
            }
        }
    }
}
