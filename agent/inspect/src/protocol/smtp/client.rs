//! What the client sends: commands and mails.

use super::super::line::{Ending, Piece, decimal, strip_prefix_ignore_case, word};
use super::super::mime::Mail;
use super::{Buffer, Command, Direction, LONG_LINE, MAX_LINE, Mode, Smtp, Stage, Transactions};

const TO_SERVER: Direction = Direction::ToServer;

/// Verbs that may follow a chunk (RFC 5321 and its extensions).
const VERBS: &[&[u8]] = &[
    b"HELO",
    b"EHLO",
    b"LHLO",
    b"MAIL",
    b"RCPT",
    b"DATA",
    b"BDAT",
    b"RSET",
    b"NOOP",
    b"QUIT",
    b"VRFY",
    b"EXPN",
    b"HELP",
    b"AUTH",
    b"STARTTLS",
    b"ETRN",
    b"TURN",
    b"XCLIENT",
];

impl Smtp {
    pub(super) fn client(&mut self, data: &[u8], out: &mut Transactions) {
        let mut data = data;
        while !data.is_empty() {
            match self.mode {
                Mode::Commands => {
                    let Some(line) = self.commands.next(&mut data, MAX_LINE) else {
                        return;
                    };
                    if line.cut || line.bytes.len() > LONG_LINE {
                        self.event(TO_SERVER, "smtp.max_command_line_len_exceeded", out);
                    }
                    let frame = Buffer::FrameSmtpCommandLine;
                    out.frames.push(TO_SERVER, frame, &line.bytes);
                    self.command(&line.bytes, out);
                }
                Mode::Waiting => {
                    // Nothing may be sent before the answer to DATA (RFC 2920, 3.1).
                    self.event(TO_SERVER, "smtp.invalid_pipelined_sequence", out);
                    self.mode = Mode::Data;
                }
                Mode::Data => {
                    let Some(piece) = self.body.next(&mut data, MAX_LINE) else {
                        return;
                    };
                    self.line_of_mail(piece, out);
                }
                Mode::Chunk { left, last } => self.chunk(left, last, &mut data, out),
            }
        }
    }

    fn line_of_mail(&mut self, mut piece: Piece<'_>, out: &mut Transactions) {
        for bytes in [&*piece.bytes, piece.ending.bytes()] {
            out.frames.append(TO_SERVER, Buffer::FrameSmtpData, bytes);
        }
        let ended = piece.ending != Ending::Open;
        if piece.first && ended && piece.bytes.as_ref() == b"." {
            self.mode = Mode::Commands;
            self.mail_over(out);
            return;
        }
        if piece.first && piece.bytes.first() == Some(&b'.') {
            piece.bytes = piece.bytes.get(1..).unwrap_or_default().to_vec().into();
        }
        self.give(&piece, out);
    }

    fn give(&mut self, piece: &Piece<'_>, out: &mut Transactions) {
        let transaction = self.current.and_then(|id| out.get(id));
        if let (Some(mail), Some(transaction)) = (&mut self.mail, transaction) {
            mail.piece(piece, transaction);
        }
    }

    fn mail_begin(&mut self, out: &mut Transactions) {
        if self.mail.is_none() {
            self.body.clear();
            let hashed = out.limits().hashes;
            self.mail = Some(Box::new(Mail::new(TO_SERVER, hashed)));
        }
    }

    fn mail_over(&mut self, out: &mut Transactions) {
        self.mail_end(out);
        let Some(id) = self.current.take() else {
            return;
        };
        self.wait(Command::Over, id, out);
        if let Some(transaction) = out.get(id) {
            transaction.advance(TO_SERVER, Stage::Complete);
        }
    }

    fn chunk(&mut self, left: u64, last: bool, data: &mut &[u8], out: &mut Transactions) {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
        let (mut front, rest) = data.split_at_checked(taken).unwrap_or((data, &[]));
        *data = rest;
        while let Some(piece) = self.body.next(&mut front, MAX_LINE) {
            self.give(&piece, out);
        }
        let left = left - taken as u64;
        self.mode = Mode::Chunk { left, last };
        if left == 0 {
            self.chunk_over(last, out);
        }
    }

    fn chunk_over(&mut self, last: bool, out: &mut Transactions) {
        self.mode = Mode::Commands;
        self.after_chunk = true;
        if last {
            self.mail_over(out);
        } else {
            let id = self.transaction(out);
            self.wait(Command::Other, id, out);
        }
    }

    fn command(&mut self, line: &[u8], out: &mut Transactions) {
        let (verb, rest) = word(line);
        let is = |name: &[u8]| verb.eq_ignore_ascii_case(name);
        if core::mem::take(&mut self.after_chunk) && !VERBS.iter().any(|name| is(name)) {
            // The chunk was longer than it said.
            self.event(TO_SERVER, "smtp.bdat_chunk_len_exceeded", out);
        }
        let last = self.pending.back().map(|pending| pending.command);
        if matches!(last, Some(Command::StartTls)) {
            // Has to be the last of a group (RFC 3207, 4).
            self.event(TO_SERVER, "smtp.invalid_pipelined_sequence", out);
        }
        if is(b"RSET") || is(b"QUIT") {
            return self.over(is(b"QUIT"), out);
        }
        let id = self.transaction(out);
        let mut command = Command::Other;
        if is(b"HELO") || is(b"EHLO") || is(b"LHLO") {
            self.helo(word(rest).0, id, out);
        } else if is(b"DATA") {
            self.mail_begin(out);
            self.mode = Mode::Waiting;
            command = Command::Data;
        } else if is(b"BDAT") {
            if self.bdat(rest, out) {
                return;
            }
        } else if is(b"STARTTLS") {
            command = Command::StartTls;
        } else if let Some(after) = strip_prefix_ignore_case(line, b"MAIL ") {
            self.address(after, b"FROM", Buffer::SmtpMailFrom, id, out);
        } else if let Some(after) = strip_prefix_ignore_case(line, b"RCPT ") {
            self.address(after, b"TO", Buffer::SmtpRcptTo, id, out);
        }
        self.wait(command, id, out);
    }

    /// RSET and QUIT end what was being prepared and begin nothing.
    fn over(&mut self, quit: bool, out: &mut Transactions) {
        self.mail_end(out);
        // One that is over and gone is not begun anew.
        let id = match self.current.take().or(self.latest) {
            Some(id) => id,
            None => self.transaction(out),
        };
        self.current = None;
        if let Some(transaction) = out.get(id) {
            transaction.advance(TO_SERVER, Stage::Complete);
        }
        let command = if quit { Command::Quit } else { Command::Over };
        self.wait(command, id, out);
    }

    fn helo(&mut self, name: &[u8], id: u64, out: &mut Transactions) {
        let Some(transaction) = out.get(id) else {
            return;
        };
        if name.is_empty() {
            transaction.event(TO_SERVER, "smtp.unparsable_content");
        } else if self.helo.is_some() {
            // EHLO and then HELO is how servers without extensions are met: only the first counts.
            transaction.event(TO_SERVER, "smtp.duplicate_fields");
        } else {
            transaction.push(TO_SERVER, Buffer::SmtpHelo, name);
            self.helo = Some(name.to_vec());
        }
    }

    fn address(
        &self,
        text: &[u8],
        word_of: &[u8],
        buffer: Buffer,
        id: u64,
        out: &mut Transactions,
    ) {
        let Some(transaction) = out.get(id) else {
            return;
        };
        let path = strip_prefix_ignore_case(text.trim_ascii_start(), word_of)
            .and_then(|rest| rest.trim_ascii_start().strip_prefix(b":"))
            .map(|rest| word(rest).0)
            .filter(|path| !path.is_empty());
        match path {
            None => transaction.event(TO_SERVER, "smtp.unparsable_content"),
            Some(_)
                if buffer == Buffer::SmtpMailFrom
                    && transaction.first(TO_SERVER, buffer).is_some() =>
            {
                transaction.event(TO_SERVER, "smtp.duplicate_fields");
            }
            Some(path) => transaction.push(TO_SERVER, buffer, path),
        }
    }

    /// Whether a chunk follows, whose end waits for the reply.
    fn bdat(&mut self, arguments: &[u8], out: &mut Transactions) -> bool {
        let (size, rest) = word(arguments);
        let Some(left) = decimal(size) else {
            self.event(TO_SERVER, "smtp.unparsable_content", out);
            return false;
        };
        let last = word(rest).0.eq_ignore_ascii_case(b"LAST");
        self.mail_begin(out);
        if left == 0 {
            self.chunk_over(last, out);
        } else {
            self.mode = Mode::Chunk { left, last };
        }
        true
    }
}
