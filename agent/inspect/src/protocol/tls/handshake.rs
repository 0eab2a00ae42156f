//! Puts handshake messages together again, whatever records they were cut into.

/// Bytes of the type and the length before each message.
const HEADER: usize = 4;

pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const CLIENT_KEY_EXCHANGE: u8 = 16;
pub(super) const SERVER_HELLO_DONE: u8 = 14;

/// Whether a message is one of those that RFC 5246, RFC 8446 and their extensions have.
pub(super) const fn is_known(kind: u8) -> bool {
    matches!(kind, 0..=6 | 8 | 11..=16 | 20..=25 | 67 | 203 | 254)
}

/// The number under which rules know it (`ssl_state`).
pub(super) const fn state(kind: u8) -> Option<u64> {
    match kind {
        CLIENT_HELLO => Some(1),
        SERVER_HELLO => Some(2),
        CLIENT_KEY_EXCHANGE => Some(3),
        SERVER_KEY_EXCHANGE => Some(4),
        _ => None,
    }
}

const fn is_wanted(kind: u8) -> bool {
    matches!(kind, CLIENT_HELLO | SERVER_HELLO | CERTIFICATE)
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// One that is read.
    Whole(u8, Vec<u8>),
    /// One that only its type is of interest of; its body is skipped.
    Begun(u8),
    /// One that would be read, but is too long.
    TooLong,
}

/// Of one direction.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    header: Vec<u8>,
    body: Vec<u8>,
    /// Bytes of the body that are still to come.
    missing: usize,
    /// The type of the message whose body is kept.
    kept: Option<u8>,
}

impl Assembler {
    /// Takes the next message off the front of `data`.
    pub(super) fn next(&mut self, data: &mut &[u8], most: usize) -> Option<Message> {
        loop {
            let (piece, rest) = data.split_at_checked(self.missing).unwrap_or((data, &[]));
            *data = rest;
            self.missing -= piece.len();
            if self.kept.is_some() {
                self.body.extend_from_slice(piece);
            }
            if self.missing > 0 {
                return None;
            }
            if let Some(kind) = self.kept.take() {
                return Some(Message::Whole(kind, core::mem::take(&mut self.body)));
            }
            let (byte, rest) = data.split_first()?;
            *data = rest;
            self.header.push(*byte);
            if self.header.len() < HEADER {
                continue;
            }
            let message = self.begin(most);
            self.header.clear();
            if message.is_some() {
                return message;
            }
        }
    }

    fn begin(&mut self, most: usize) -> Option<Message> {
        let &[kind, a, b, c] = self.header.as_slice() else {
            return None;
        };
        self.missing = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if !is_wanted(kind) {
            return Some(Message::Begun(kind));
        }
        if self.missing > most {
            return Some(Message::TooLong);
        }
        self.kept = Some(kind);
        None
    }

    pub(super) const fn footprint(&self) -> usize {
        self.header.capacity() + self.body.capacity()
    }
}
