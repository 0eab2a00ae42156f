//! SSH, until it is encrypted (RFC 4253).
//!
//! A connection is one transaction.

mod kex;
#[cfg(test)]
mod tests;

use super::annotation::{RecordFrames as Frames, RecordNames};
use super::read::md5_hex;
use super::{Buffer, Parser, Probe, Stage, Status, Transaction, Transactions};
use crate::flow::Direction;

/// What `app-layer-event` may name.
pub const EVENTS: &[&str] = &[
    "ssh.invalid_banner",
    "ssh.long_banner",
    "ssh.invalid_record",
    "ssh.long_kex_record",
];

const PREFIX: &[u8] = b"SSH-";
/// Bytes of a banner, with its end (RFC 4253, section 4.2).
const MAX_BANNER: usize = 255;
/// Lines that a server may say before its banner.
const MAX_LINES: u8 = 16;
/// Bytes of a record's length, of that of its padding, and of the type of its message.
const HEADER: usize = 6;
/// Bytes of a key exchange: as many as Suricata puts together.
const MAX_KEX: u32 = 65_535;
const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;

/// The frames of a record: its header has the type of the message.
const RECORD: RecordNames = RecordNames {
    pdu: Buffer::FrameSshRecordPdu,
    header: Buffer::FrameSshRecordHdr,
    data: Buffer::FrameSshRecordData,
};

/// Whether a stream begins with a banner.
#[must_use]
pub fn probe(_direction: Direction, data: &[u8]) -> Probe {
    if data.starts_with(PREFIX) {
        Probe::Yes
    } else if PREFIX.starts_with(data) {
        Probe::NeedMore
    } else {
        Probe::No
    }
}

/// Follows one connection.
#[derive(Debug, Default)]
pub struct Ssh {
    id: Option<u64>,
    sides: [Side; 2],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// In the line that is the banner, or one before it.
    #[default]
    Banner,
    /// In a banner that is too long.
    LongBanner,
    /// In the header of a record.
    Header,
    /// In the key exchange.
    Kex,
    /// In a record that is not read.
    Skip,
    /// In what cannot be read.
    Over,
}

#[derive(Debug, Default)]
struct Side {
    state: State,
    lines: u8,
    /// The beginning of what is read next.
    held: Vec<u8>,
    /// Bytes of the record that are still to come.
    missing: u32,
    /// There was a key exchange already.
    exchanged: bool,
}

/// What is raised, pushed and reached.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Banner(Vec<u8>),
    Kex(Vec<u8>),
    Event(&'static str),
    Over,
}

impl Side {
    /// Takes the next step off the front of `data`.
    fn next(&mut self, data: &mut &[u8], partial: usize, frames: &mut Frames<'_>) -> Option<Step> {
        while !data.is_empty() {
            let step = match self.state {
                State::Banner => self.banner(data),
                State::LongBanner => {
                    let end = data.iter().position(|byte| *byte == b'\n');
                    take(data, end.map_or(data.len(), |end| end + 1));
                    if end.is_some() {
                        self.state = State::Header;
                    }
                    None
                }
                State::Header => self.header(data, partial, frames),
                State::Kex | State::Skip => self.record(data, frames),
                State::Over => {
                    *data = &[];
                    None
                }
            };
            if step.is_some() {
                return step;
            }
        }
        None
    }

    fn banner(&mut self, data: &mut &[u8]) -> Option<Step> {
        let room = MAX_BANNER - self.held.len().min(MAX_BANNER);
        let window = data.get(..room).unwrap_or(data);
        let end = window.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(window.len(), |end| end + 1);
        self.held.extend_from_slice(take(data, length));
        if end.is_none() && self.held.len() < MAX_BANNER {
            return None;
        }
        let line = core::mem::take(&mut self.held);
        if line.starts_with(PREFIX) {
            self.state = if end.is_some() {
                State::Header
            } else {
                State::LongBanner
            };
            return Some(Step::Banner(line));
        }
        self.lines += 1;
        if self.lines >= MAX_LINES {
            self.state = State::Over;
        }
        Some(Step::Event("ssh.invalid_banner"))
    }

    fn header(
        &mut self,
        data: &mut &[u8],
        partial: usize,
        frames: &mut Frames<'_>,
    ) -> Option<Step> {
        let wanted = HEADER - self.held.len().min(HEADER);
        self.held.extend_from_slice(take(data, wanted));
        let &[a, b, c, d, _padding, kind] = self.held.as_slice() else {
            return None;
        };
        frames.header(&self.held);
        self.held.clear();
        // The length has those of the padding and the type in it.
        let Some(missing) = u32::from_be_bytes([a, b, c, d]).checked_sub(2) else {
            self.state = State::Over;
            return Some(Step::Event("ssh.invalid_record"));
        };
        self.missing = missing;
        self.state = State::Skip;
        match kind {
            NEWKEYS => {
                self.state = State::Over;
                return Some(Step::Over);
            }
            KEXINIT if self.exchanged => {}
            KEXINIT => {
                let most = u32::try_from(partial).unwrap_or(u32::MAX).min(MAX_KEX);
                if missing > most {
                    return Some(Step::Event("ssh.long_kex_record"));
                }
                self.exchanged = true;
                self.state = State::Kex;
            }
            _ => {}
        }
        if missing == 0 {
            frames.data(&[], true);
            self.state = State::Header;
        }
        None
    }

    fn record(&mut self, data: &mut &[u8], frames: &mut Frames<'_>) -> Option<Step> {
        let piece = take(data, usize::try_from(self.missing).unwrap_or(usize::MAX));
        if self.state == State::Kex {
            self.held.extend_from_slice(piece);
        }
        let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        self.missing = self.missing.saturating_sub(length);
        frames.data(piece, self.missing == 0);
        if self.missing > 0 {
            return None;
        }
        let state = core::mem::replace(&mut self.state, State::Header);
        (state == State::Kex).then(|| Step::Kex(core::mem::take(&mut self.held)))
    }
}

/// Takes so many bytes off the front, or all.
fn take<'a>(data: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (piece, rest) = data.split_at_checked(length).unwrap_or((data, &[]));
    *data = rest;
    piece
}

impl Ssh {
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

    fn step(&mut self, direction: Direction, step: &Step, out: &mut Transactions) {
        let Some(transaction) = self.transaction(out) else {
            return;
        };
        match step {
            Step::Banner(line) => {
                if !push_banner(line, direction, transaction) {
                    // SSH 1 has other records.
                    self.side(direction).state = State::Over;
                }
            }
            Step::Kex(body) => {
                push_kex(body, direction, transaction);
                transaction.advance(direction, Stage::Headers);
            }
            Step::Event(event) => transaction.event(direction, event),
            Step::Over => {}
        }
        self.settle(direction, out);
    }

    /// Advances what cannot get any further.
    fn settle(&mut self, direction: Direction, out: &mut Transactions) {
        if self.side(direction).state != State::Over {
            return;
        }
        let both = self.sides.iter().all(|side| side.state == State::Over);
        if let Some(transaction) = self.transaction(out) {
            transaction.advance(direction, Stage::Headers);
            if both {
                transaction.advance(direction, Stage::Complete);
                transaction.advance(direction.reverse(), Stage::Complete);
            }
        }
    }
}

/// Pushes version and software, and says whether records of SSH 2 follow.
fn push_banner(line: &[u8], direction: Direction, transaction: &mut Transaction) -> bool {
    if line.len() >= MAX_BANNER {
        transaction.event(direction, "ssh.long_banner");
    }
    let text = line.get(PREFIX.len()..).unwrap_or_default();
    let mut parts = text.splitn(2, |byte| *byte == b'-');
    let version = parts.next().unwrap_or_default();
    let Some(software) = parts.next().filter(|_| !version.is_empty()) else {
        transaction.event(direction, "ssh.invalid_banner");
        return false;
    };
    let software = software
        .split(|byte| matches!(byte, b' ' | b'\r' | b'\n'))
        .next()
        .unwrap_or_default();
    transaction.push(direction, Buffer::SshProto, version);
    transaction.push(direction, Buffer::SshSoftware, software);
    // 1.99 is what servers call themselves that speak both.
    version.starts_with(b"2") || version == b"1.99"
}

fn push_kex(body: &[u8], direction: Direction, transaction: &mut Transaction) {
    let Some(hassh) = kex::hassh(body, direction) else {
        transaction.event(direction, "ssh.invalid_record");
        return;
    };
    let (string, hash) = match direction {
        Direction::ToServer => (Buffer::SshHasshString, Buffer::SshHassh),
        Direction::ToClient => (Buffer::SshHasshServerString, Buffer::SshHasshServer),
    };
    transaction.push(direction, string, &hassh);
    transaction.push(direction, hash, md5_hex(&hassh).as_bytes());
}

impl Parser for Ssh {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        let mut data = data;
        let partial = out.limits().partial;
        while let Some(step) =
            self.side(direction)
                .next(&mut data, partial, &mut Frames::new(direction, RECORD, out))
        {
            self.step(direction, &step, out);
        }
        Status::Ok
    }

    fn gap(&mut self, direction: Direction, length: u64, out: &mut Transactions) -> Status {
        let side = self.side(direction);
        match u32::try_from(length) {
            Ok(length) if side.state == State::Skip && length < side.missing => {
                side.missing -= length;
                Frames::new(direction, RECORD, out).cut();
            }
            // Where the next record begins cannot be known.
            _ => {
                side.state = State::Over;
                side.held = Vec::new();
                Frames::new(direction, RECORD, out).cut();
                self.settle(direction, out);
            }
        }
        Status::Ok
    }

    fn end(&mut self, direction: Direction, out: &mut Transactions) {
        if let Some(transaction) = self.id.and_then(|id| out.get(id)) {
            transaction.advance(direction, Stage::Complete);
        }
    }

    fn footprint(&self) -> usize {
        let held: usize = self.sides.iter().map(|side| side.held.capacity()).sum();
        size_of::<Self>() + held
    }
}
