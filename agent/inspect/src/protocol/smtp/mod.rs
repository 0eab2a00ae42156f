//! SMTP: commands and replies, and the mails between them (RFC 5321, RFC 3030).

mod client;
mod server;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::line::{Lines, WholeLines};
use super::mime::Mail;
use super::{Buffer, Parser, Probe, Stage, Status, Transaction, Transactions};
use crate::flow::Direction;

/// Events that are raised.
pub const EVENTS: &[&str] = &[
    "smtp.invalid_reply",
    "smtp.unable_to_match_reply_with_request",
    "smtp.max_command_line_len_exceeded",
    "smtp.max_reply_line_len_exceeded",
    "smtp.invalid_pipelined_sequence",
    "smtp.bdat_chunk_len_exceeded",
    "smtp.no_server_welcome_message",
    "smtp.tls_rejected",
    "smtp.data_command_rejected",
    "smtp.failed_protocol_change",
    "smtp.mime_invalid_base64",
    "smtp.mime_invalid_qp",
    "smtp.mime_long_line",
    "smtp.mime_long_enc_line",
    "smtp.mime_long_header_name",
    "smtp.mime_long_header_value",
    "smtp.mime_long_boundary",
    "smtp.mime_long_filename",
    "smtp.duplicate_fields",
    "smtp.unparsable_content",
];

/// RFC 5321, 4.5.3.1.4 and 4.5.3.1.5, without CR LF.
const LONG_LINE: usize = 510;
/// Bytes of one line that are kept.
const MAX_LINE: usize = 4_096;
/// Commands that wait for their replies.
const MAX_PENDING: usize = 1_024;

/// Whether data begins as SMTP does. The greeting may be that of FTP: what the client says decides.
#[must_use]
pub fn probe(direction: Direction, data: &[u8]) -> Probe {
    match direction {
        Direction::ToServer => {
            let verb = data.get(..5).unwrap_or(data);
            let known = |word: &[u8]| verb.eq_ignore_ascii_case(word);
            let begun = |word: &[u8]| {
                word.get(..verb.len())
                    .is_some_and(|front| front.eq_ignore_ascii_case(verb))
            };
            if known(b"EHLO ") || known(b"HELO ") || known(b"LHLO ") {
                Probe::Yes
            } else if begun(b"EHLO ") || begun(b"HELO ") || begun(b"LHLO ") {
                Probe::NeedMore
            } else {
                Probe::No
            }
        }
        Direction::ToClient => match data {
            [b'2', b'2', b'0', b' ' | b'-', rest @ ..] => {
                let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
                if line.windows(4).any(|word| word == b"SMTP") {
                    Probe::Yes
                } else {
                    Probe::NeedMore
                }
            }
            _ if b"220".starts_with(data) || data == b"220" => Probe::NeedMore,
            _ => Probe::No,
        },
    }
}

/// Commands whose replies change what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Data,
    /// What ends a mail or takes it back.
    Over,
    StartTls,
    Quit,
    Other,
}

#[derive(Debug)]
struct Pending {
    command: Command,
    transaction: u64,
}

/// What the client is sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Commands,
    /// DATA was sent and not answered.
    Waiting,
    Data,
    Chunk {
        left: u64,
        last: bool,
    },
}

/// Follows one connection.
#[derive(Debug)]
pub struct Smtp {
    commands: WholeLines,
    replies: WholeLines,
    body: Lines,
    mode: Mode,
    mail: Option<Box<Mail>>,
    helo: Option<Vec<u8>>,
    pending: VecDeque<Pending>,
    /// The transaction that commands belong to.
    current: Option<u64>,
    /// The one before, for what belongs to none.
    latest: Option<u64>,
    welcomed: bool,
    /// Bytes were lost: replies cannot be told to commands with certainty.
    lost: bool,
    after_chunk: bool,
    changed: bool,
}

impl Default for Smtp {
    fn default() -> Self {
        Self::new()
    }
}

impl Smtp {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            commands: WholeLines::default(),
            replies: WholeLines::default(),
            body: Lines::default(),
            mode: Mode::Commands,
            mail: None,
            helo: None,
            pending: VecDeque::new(),
            current: None,
            latest: None,
            welcomed: false,
            lost: false,
            after_chunk: false,
            changed: false,
        }
    }

    /// The transaction of the mail that is being prepared.
    fn transaction(&mut self, out: &mut Transactions) -> u64 {
        if let Some(id) = self.current
            && out.get(id).is_some()
        {
            return id;
        }
        let id = out.begin();
        self.current = Some(id);
        self.latest = Some(id);
        // Matched per transaction although it is said once.
        if let (Some(helo), Some(transaction)) = (&self.helo, out.get(id)) {
            transaction.push(Direction::ToServer, Buffer::SmtpHelo, helo);
        }
        id
    }

    /// The transaction being prepared, or else the latest.
    fn nearest(&mut self, out: &mut Transactions) -> u64 {
        match self.current.or(self.latest) {
            Some(id) if out.get(id).is_some() => id,
            _ => self.transaction(out),
        }
    }

    fn event(&mut self, direction: Direction, event: &'static str, out: &mut Transactions) {
        let id = self.nearest(out);
        if let Some(transaction) = out.get(id) {
            transaction.event(direction, event);
        }
    }

    fn wait(&mut self, command: Command, transaction: u64, out: &mut Transactions) {
        if self.pending.len() >= MAX_PENDING {
            self.pending.pop_front();
            self.lost = true;
            out.counters.pending_dropped += 1;
        }
        self.pending.push_back(Pending {
            command,
            transaction,
        });
    }

    /// Ends the mail that is coming, if there is one.
    fn mail_end(&mut self, out: &mut Transactions) {
        out.frames.close(Direction::ToServer, Buffer::FrameSmtpData);
        let Some(mut mail) = self.mail.take() else {
            return;
        };
        let Some(transaction) = self.current.and_then(|id| out.get(id)) else {
            return;
        };
        if let Some(piece) = self.body.rest() {
            mail.piece(&piece, transaction);
        }
        mail.end(transaction);
    }
}

fn finish(transaction: &mut Transaction) {
    transaction.advance(Direction::ToServer, Stage::Complete);
    transaction.advance(Direction::ToClient, Stage::Complete);
}

impl Parser for Smtp {
    fn data(&mut self, direction: Direction, data: &[u8], out: &mut Transactions) -> Status {
        if core::mem::take(&mut self.changed) {
            // The flow stage found that it is not TLS after all.
            self.event(direction, "smtp.failed_protocol_change", out);
        }
        match direction {
            Direction::ToServer => {
                self.client(data, out);
                Status::Ok
            }
            Direction::ToClient => self.server(data, out),
        }
    }

    fn gap(&mut self, direction: Direction, length: u64, out: &mut Transactions) -> Status {
        self.lost = true;
        if direction == Direction::ToClient {
            self.replies.clear();
            self.pending.clear();
            // The answer may have been lost: what comes decides.
            return Status::Ok;
        }
        self.pending.clear();
        self.body.clear();
        match &mut self.mode {
            Mode::Commands | Mode::Waiting => self.commands.clear(),
            Mode::Data => self.mail_end(out),
            Mode::Chunk { left, .. } if *left > length => {
                *left -= length;
                self.mail_end(out);
            }
            Mode::Chunk { .. } => {
                self.mail_end(out);
                self.mode = Mode::Commands;
            }
        }
        Status::Ok
    }

    fn end(&mut self, direction: Direction, out: &mut Transactions) {
        if direction == Direction::ToServer {
            self.mail_end(out);
        }
        for transaction in out.iter_mut() {
            transaction.advance(direction, Stage::Complete);
        }
    }

    fn footprint(&self) -> usize {
        size_of::<Self>()
            + self.commands.footprint()
            + self.replies.footprint()
            + self.body.footprint()
            + self
                .mail
                .as_ref()
                .map_or(0, |mail| size_of::<Mail>() + mail.footprint())
            + self.helo.as_ref().map_or(0, Vec::capacity)
            + self.pending.capacity() * size_of::<Pending>()
    }
}
