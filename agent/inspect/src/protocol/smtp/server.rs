//! What the server answers.

use super::super::AppProtocol;
use super::{
    Buffer, Command, Direction, LONG_LINE, MAX_LINE, Mode, Pending, Smtp, Status, Transactions,
    finish,
};

const TO_CLIENT: Direction = Direction::ToClient;

/// The code of a reply line, and whether it is the last line of the reply.
fn code(line: &[u8]) -> Option<(u16, bool)> {
    let (digits, rest) = line.split_at_checked(3)?;
    let last = match rest.first() {
        None | Some(b' ') => true,
        Some(b'-') => false,
        _ => return None,
    };
    // RFC 5321, 4.2.1.
    let [
        first @ b'2'..=b'5',
        second @ b'0'..=b'5',
        third @ b'0'..=b'9',
    ] = digits
    else {
        return None;
    };
    let digit = |byte: &u8| u16::from(byte - b'0');
    Some((digit(first) * 100 + digit(second) * 10 + digit(third), last))
}

impl Smtp {
    pub(super) fn server(&mut self, data: &[u8], out: &mut Transactions) -> Status {
        let mut data = data;
        while let Some(line) = self.replies.next(&mut data, MAX_LINE) {
            if line.cut || line.bytes.len() > LONG_LINE {
                self.event(TO_CLIENT, "smtp.max_reply_line_len_exceeded", out);
            }
            let frame = Buffer::FrameSmtpResponseLine;
            out.frames.push(TO_CLIENT, frame, &line.bytes);
            let bytes = line.bytes.trim_ascii_end();
            match code(bytes) {
                None => self.event(TO_CLIENT, "smtp.invalid_reply", out),
                Some((_, false)) => {}
                Some((code, true)) => {
                    let status = self.reply(code, out);
                    if status != Status::Ok {
                        return status;
                    }
                }
            }
        }
        Status::Ok
    }

    fn reply(&mut self, code: u16, out: &mut Transactions) -> Status {
        if !core::mem::replace(&mut self.welcomed, true) && !self.lost {
            if code == 220 {
                return Status::Ok;
            }
            self.event(TO_CLIENT, "smtp.no_server_welcome_message", out);
        }
        let Some(pending) = self.pending.pop_front() else {
            self.unasked(code, out);
            return Status::Ok;
        };
        let Pending {
            command,
            transaction,
        } = pending;
        match command {
            Command::Other => {}
            Command::Data => self.data_answered(code, transaction, out),
            Command::Over => {
                if let Some(transaction) = out.get(transaction) {
                    finish(transaction);
                }
            }
            Command::Quit => {
                for transaction in out.iter_mut() {
                    finish(transaction);
                }
            }
            Command::StartTls if code == 220 => {
                if let Some(transaction) = out.get(transaction) {
                    finish(transaction);
                }
                // What was said in the clear does not count any more (RFC 3207, 4.2).
                self.current = None;
                self.helo = None;
                self.changed = true;
                self.commands.clear();
                return Status::Change(Some(AppProtocol::Tls));
            }
            Command::StartTls => self.event(TO_CLIENT, "smtp.tls_rejected", out),
        }
        Status::Ok
    }

    fn unasked(&mut self, code: u16, out: &mut Transactions) {
        match (self.mode, code) {
            // The command may have been lost with bytes that were not captured.
            (Mode::Waiting, 354) => self.mode = Mode::Data,
            (Mode::Waiting, 400..) => self.mode = Mode::Commands,
            // The server may close at any time.
            (_, 421) => {}
            _ if self.lost => {}
            _ => self.event(TO_CLIENT, "smtp.unable_to_match_reply_with_request", out),
        }
    }

    fn data_answered(&mut self, code: u16, transaction: u64, out: &mut Transactions) {
        if code == 354 {
            if self.mode == Mode::Waiting {
                self.mode = Mode::Data;
            }
            return;
        }
        if let Some(transaction) = out.get(transaction) {
            transaction.event(TO_CLIENT, "smtp.data_command_rejected");
        }
        if self.current == Some(transaction) && matches!(self.mode, Mode::Waiting | Mode::Data) {
            // What comes next are commands again.
            self.mail_end(out);
            self.mode = Mode::Commands;
        }
    }
}
