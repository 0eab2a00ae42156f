//! HTTP/1.x (RFC 9110, RFC 9112), and what is still understood of HTTP/0.9.
//!
//! Servers and browsers accept more than the standard allows, and attackers know. So does this
//! parser: it reads what a lenient peer would read, and raises an event for what is odd.

mod body;
pub(in crate::protocol) mod coding;
mod event;
pub(in crate::protocol) mod head;
mod line;
pub(in crate::protocol) mod multipart;
pub(in crate::protocol) mod range;
mod request;
mod response;
pub(in crate::protocol) mod uri;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub use event::{EVENTS, FAILED_PROTOCOL_CHANGE};

use super::{AppProtocol, Buffer, Parser, Probe, Status, Transactions};
use crate::flow::Direction;
use request::Requests;
use response::Responses;

/// Methods of the IANA registry and of what is common besides.
const METHODS: &[&[u8]] = &[
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"CONNECT",
    b"TRACE",
    b"PATCH",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"VERSION-CONTROL",
    b"REPORT",
    b"CHECKOUT",
    b"CHECKIN",
    b"UNCHECKOUT",
    b"MKWORKSPACE",
    b"UPDATE",
    b"LABEL",
    b"MERGE",
    b"BASELINE-CONTROL",
    b"MKACTIVITY",
    b"ORDERPATCH",
    b"ACL",
    b"SEARCH",
    b"BIND",
    b"REBIND",
    b"UNBIND",
    b"LINK",
    b"UNLINK",
    b"MKCALENDAR",
    b"MKREDIRECTREF",
    b"UPDATEREDIRECTREF",
    b"PURGE",
    b"SUBSCRIBE",
    b"UNSUBSCRIBE",
    b"NOTIFY",
    b"M-SEARCH",
    b"BPROPFIND",
    b"BPROPPATCH",
    b"BCOPY",
    b"BMOVE",
    b"BDELETE",
    b"POLL",
    b"RPC_IN_DATA",
    b"RPC_OUT_DATA",
    b"CCM_POST",
    b"TRACK",
    b"DEBUG",
];

fn is_method(token: &[u8]) -> bool {
    METHODS.contains(&token)
}

/// Whether data begins as HTTP/1.x does, on any port: requests with a method, responses with `HTTP/`.
#[must_use]
pub fn probe(direction: Direction, data: &[u8]) -> Probe {
    let start = data
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or(data.len());
    let data = data.get(start..).unwrap_or_default();
    if data.is_empty() {
        return Probe::NeedMore;
    }
    match direction {
        Direction::ToClient => match response::begins_status_line(data) {
            Some(true) => Probe::Yes,
            Some(false) => Probe::No,
            None => Probe::NeedMore,
        },
        Direction::ToServer => {
            let end = data
                .iter()
                .position(|byte| matches!(byte, b' ' | b'\t'))
                .unwrap_or(data.len());
            let token = data.get(..end).unwrap_or_default();
            if end < data.len() {
                return if is_method(token) {
                    probe_target(data.get(end..).unwrap_or_default())
                } else {
                    Probe::No
                };
            }
            if METHODS.iter().any(|method| method.starts_with(token)) {
                Probe::NeedMore
            } else {
                Probe::No
            }
        }
    }
}

/// SIP and RTSP have methods of the same names; their targets tell.
fn probe_target(rest: &[u8]) -> Probe {
    let target = head::trim(rest).to_ascii_lowercase();
    for scheme in [b"sip:".as_slice(), b"sips:", b"rtsp:"] {
        if target.starts_with(scheme) {
            return Probe::No;
        }
        if scheme.starts_with(&target) {
            return Probe::NeedMore;
        }
    }
    Probe::Yes
}

/// A request that awaits its response.
#[derive(Debug)]
struct Awaiting {
    id: u64,
    method: Method,
    /// What the client offered to go on with.
    upgrade: Option<AppProtocol>,
    /// Normalised path of the target.
    path: Vec<u8>,
}

/// Methods that decide about framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Head,
    Connect,
    /// They have content.
    Content,
    Other,
}

/// Responses come in the order of the requests (RFC 9112, 9.3.2).
#[derive(Debug, Default)]
struct Exchange {
    awaiting: VecDeque<Awaiting>,
}

/// Adds bytes of a message to its frame. `over`: the next byte is not of this message.
fn frame(direction: Direction, bytes: &[u8], over: bool, out: &mut Transactions) {
    let frame = match direction {
        Direction::ToServer => Buffer::FrameHttp1Request,
        Direction::ToClient => Buffer::FrameHttp1Response,
    };
    // Empty lines between messages belong to none.
    if over && bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
        out.frames.more(direction, frame, bytes);
    } else {
        out.frames.append(direction, frame, bytes);
    }
    if over {
        out.frames.close(direction, frame);
    }
}

/// Follows one connection.
#[derive(Debug, Default)]
pub struct Http {
    exchange: Exchange,
    requests: Requests,
    responses: Responses,
}

impl Http {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Parser for Http {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        match direction {
            Direction::ToServer => self.requests.data(data, &mut self.exchange, out),
            Direction::ToClient => {
                if !data.is_empty() {
                    self.requests.answered(out);
                }
                let status = self.responses.data(data, &mut self.exchange, out);
                if status == Status::Ok && self.responses.take_refused() {
                    return self.requests.refused(&mut self.exchange, out);
                }
                status
            }
        }
    }

    fn gap(&mut self, direction: Direction, length: u64, out: &mut Transactions) -> Status {
        let survived = match direction {
            Direction::ToServer => self.requests.skip(length),
            Direction::ToClient => self.responses.skip(length),
        };
        if survived {
            return Status::Ok;
        }
        self.end(direction, out);
        Status::Failed
    }

    fn end(&mut self, direction: Direction, out: &mut Transactions) {
        match direction {
            Direction::ToServer => self.requests.end(&mut self.exchange, out),
            Direction::ToClient => self.responses.end(&mut self.exchange, out),
        }
    }

    fn take_rest(&mut self) -> Vec<(Direction, Vec<u8>)> {
        vec![
            (Direction::ToServer, self.requests.take_rest()),
            (Direction::ToClient, self.responses.take_rest()),
        ]
    }

    fn footprint(&self) -> usize {
        let awaiting: usize = self
            .exchange
            .awaiting
            .iter()
            .map(|awaiting| size_of::<Awaiting>() + awaiting.path.capacity())
            .sum();
        size_of::<Self>() + awaiting + self.requests.footprint() + self.responses.footprint()
    }
}
