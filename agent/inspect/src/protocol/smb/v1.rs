//! SMB 1 (MS-CIFS 2.2).

use super::ntlmssp::utf8;
use super::state::{Asked, Place, State, What, conclude, event, logon, tree_name};
use super::{DUPLICATE_NEGOTIATE, MALFORMED_DATA, MALFORMED_DIALECTS, RECORD_OVERFLOW, Sink};
use crate::flow::Direction;
use crate::protocol::read::Reader;
use crate::protocol::{Buffer, Transactions};

const HEADER: usize = 32;
const VERSION: u64 = 1;

const CLOSE: u8 = 0x04;
const WRITE: u8 = 0x0b;
const TRANSACTION: u8 = 0x25;
const READ_ANDX: u8 = 0x2e;
const WRITE_ANDX: u8 = 0x2f;
const TRANSACTION2: u8 = 0x32;
const NEGOTIATE: u8 = 0x72;
const SESSION_SETUP_ANDX: u8 = 0x73;
const TREE_CONNECT_ANDX: u8 = 0x75;
const CREATE_ANDX: u8 = 0xa2;
const NO_ANDX: u8 = 0xff;
/// Commands that may follow one another in one message.
const CHAINED: [u8; 8] = [
    0x24,
    0x2d,
    READ_ANDX,
    WRITE_ANDX,
    SESSION_SETUP_ANDX,
    0x74,
    TREE_CONNECT_ANDX,
    CREATE_ANDX,
];
const MAX_CHAIN: usize = 8;

const REPLY: u8 = 0x80;
const UNICODE: u16 = 0x8000;
const STATUS_BUFFER_OVERFLOW: u32 = 0x8000_0005;
/// Function of a transaction that writes to a pipe and reads from it.
const TRANSACT_PIPE: u16 = 0x26;

/// One message and the commands chained in it.
pub(super) fn message(
    state: &mut State,
    direction: Direction,
    message: &[u8],
    missing: usize,
    out: &mut Transactions,
) -> Option<Sink> {
    let Some(mut one) = One::parse(state, direction, message, missing, out) else {
        event(None, direction, MALFORMED_DATA, out);
        return None;
    };
    let mut at = HEADER;
    let mut sink = None;
    for _ in 0..MAX_CHAIN {
        if one.select(at).is_none() {
            event(None, direction, MALFORMED_DATA, one.out);
            break;
        }
        sink = if one.reply {
            one.response()
        } else {
            one.request()
        };
        let Some([next, _, low, high]) = one.words.first_chunk::<4>() else {
            break;
        };
        let offset = usize::from(u16::from_le_bytes([*low, *high]));
        // Offsets only grow, so that a chain ends.
        if !CHAINED.contains(&one.command) || *next == NO_ANDX || offset <= at {
            break;
        }
        at = offset;
        one.command = *next;
    }
    sink
}

struct One<'a> {
    state: &'a mut State,
    direction: Direction,
    message: &'a [u8],
    missing: usize,
    out: &'a mut Transactions,
    command: u8,
    status: u32,
    reply: bool,
    unicode: bool,
    tree: u64,
    key: u64,
    words: &'a [u8],
    /// Where the bytes after the words begin.
    bytes_at: usize,
}

impl<'a> One<'a> {
    fn parse(
        state: &'a mut State,
        direction: Direction,
        message: &'a [u8],
        missing: usize,
        out: &'a mut Transactions,
    ) -> Option<Self> {
        let mut reader = Reader::little(message.get(4..HEADER)?);
        let command = reader.u8()?;
        let status = reader.u32()?;
        let flags = reader.u8()?;
        let flags2 = reader.u16()?;
        let pid_high = reader.u16()?;
        reader.skip(10)?;
        let tree = u64::from(reader.u16()?);
        let pid = reader.u16()?;
        reader.skip(2)?;
        let multiplex = reader.u16()?;
        Some(Self {
            state,
            direction,
            message,
            missing,
            out,
            command,
            status,
            reply: flags & REPLY != 0,
            unicode: flags2 & UNICODE != 0,
            tree,
            key: u64::from(pid_high) << 32 | u64::from(pid) << 16 | u64::from(multiplex),
            words: &[],
            bytes_at: 0,
        })
    }

    /// Turns to the command whose parameters begin there.
    fn select(&mut self, at: usize) -> Option<()> {
        let (&count, rest) = self.message.get(at..)?.split_first()?;
        let length = usize::from(count) * 2;
        self.words = rest.get(..length)?;
        self.bytes_at = at + 1 + length + 2;
        Some(())
    }

    fn word(&self, at: usize) -> Option<u16> {
        Reader::little(self.words.get(at..)?).u16()
    }

    fn long(&self, at: usize) -> Option<u32> {
        Reader::little(self.words.get(at..)?).u32()
    }

    fn bytes(&self) -> &'a [u8] {
        self.message.get(self.bytes_at..).unwrap_or_default()
    }

    /// The text that begins there in the message, up to its terminator.
    fn text(&self, mut at: usize) -> Option<Vec<u8>> {
        if self.unicode {
            at += at % 2;
            let raw = self.message.get(at..)?;
            let (units, _) = raw.as_chunks::<2>();
            let end = units.iter().position(|unit| *unit == [0, 0]);
            return Some(utf8(raw.get(..end.unwrap_or(units.len()) * 2)?));
        }
        let raw = self.message.get(at..)?;
        let end = raw.iter().position(|byte| *byte == 0);
        Some(raw.get(..end.unwrap_or(raw.len()))?.to_vec())
    }

    fn handle(&self, id: u16) -> [u8; 16] {
        let mut key = [0; 16];
        if let Some(start) = key.first_chunk_mut::<2>() {
            *start = id.to_le_bytes();
        }
        key
    }

    fn place(&self, handle: [u8; 16], offset: u64) -> Place {
        Place {
            handle,
            tree: self.tree,
            version: VERSION,
            offset,
        }
    }

    fn request(&mut self) -> Option<Sink> {
        let mut transaction = None;
        let mut sink = None;
        let told = match self.command {
            WRITE_ANDX => self.write_andx().map(|(what, rest)| {
                sink = rest;
                what
            }),
            READ_ANDX => self.read_andx(),
            TRANSACTION => self.transact_request(),
            TRANSACTION2 => Some(What::Plain),
            _ => {
                let begun = State::begin(VERSION, self.direction, self.out);
                transaction = Some(begun);
                self.plain(begun)
            }
        };
        if told.is_none() {
            event(transaction, self.direction, MALFORMED_DATA, self.out);
        }
        let asked = Asked {
            key: self.key,
            command: u16::from(self.command),
            tree: self.tree,
            transaction,
            what: told.unwrap_or(What::Plain),
        };
        self.state.ask(asked, self.direction, self.out);
        sink
    }

    fn plain(&mut self, transaction: u64) -> Option<What> {
        match self.command {
            NEGOTIATE => {
                if self.state.negotiate_again(0) {
                    let event_name = DUPLICATE_NEGOTIATE;
                    event(Some(transaction), self.direction, event_name, self.out);
                }
                if !are_dialects(self.bytes()) {
                    event(
                        Some(transaction),
                        self.direction,
                        MALFORMED_DIALECTS,
                        self.out,
                    );
                }
            }
            // Only the form with extended security has a token.
            SESSION_SETUP_ANDX if self.words.len() == 24 => {
                let length = usize::from(self.word(14)?);
                let token = self.bytes().get(..length).unwrap_or_default();
                logon(transaction, self.direction, token, self.out);
            }
            TREE_CONNECT_ANDX => {
                let password = usize::from(self.word(6)?);
                let name = self.text(self.bytes_at + password)?;
                let pipe = tree_name(transaction, self.direction, &name, self.out);
                return Some(What::Tree { name, pipe });
            }
            CREATE_ANDX => {
                let name = self.text(self.bytes_at)?;
                if self.state.is_pipe_tree(self.tree) == Some(true)
                    && let Some(transaction) = self.out.get(transaction)
                {
                    transaction.push(self.direction, Buffer::SmbNamedPipe, &name);
                }
                return Some(What::Create { name });
            }
            CLOSE => {
                let handle = self.handle(self.word(0)?);
                self.state.close(&handle, self.out);
            }
            WRITE => {
                let handle = self.handle(self.word(0)?);
                let place = self.place(handle, u64::from(self.long(4)?));
                let count = usize::from(self.word(2)?);
                self.content(&place, self.bytes_at + 3, count);
            }
            _ => {}
        }
        Some(What::Plain)
    }

    fn write_andx(&mut self) -> Option<(What, Option<Sink>)> {
        let handle = self.handle(self.word(4)?);
        let low = u64::from(self.long(6)?);
        let high = u64::from(self.long(24).unwrap_or(0));
        let length = usize::from(self.word(18)?) << 16 | usize::from(self.word(20)?);
        let at = usize::from(self.word(22)?);
        let place = self.place(handle, high << 32 | low);
        let sink = self.content(&place, at, length);
        Some((What::Pipe { handle }, sink))
    }

    /// What a write or a read carries, and what follows of it.
    fn content(&mut self, place: &Place, at: usize, length: usize) -> Option<Sink> {
        if at.saturating_add(length) > self.message.len().saturating_add(self.missing) {
            event(None, self.direction, RECORD_OVERFLOW, self.out);
        }
        let data = self.message.get(at..)?;
        let data = data.get(..length).unwrap_or(data);
        self.state.content(self.direction, place, data, self.out);
        let left = (length - data.len()).min(self.missing);
        (left > 0).then(|| Sink {
            handle: place.handle,
            tree: place.tree,
            version: VERSION,
            offset: place.offset.saturating_add(data.len() as u64),
            left,
        })
    }

    fn read_andx(&mut self) -> Option<What> {
        let handle = self.handle(self.word(4)?);
        let low = u64::from(self.long(6)?);
        let high = u64::from(self.long(20).unwrap_or(0));
        Some(What::Read {
            handle,
            offset: high << 32 | low,
        })
    }

    fn transact_request(&mut self) -> Option<What> {
        // The words before the setup, then function and handle.
        if self.word(28) != Some(TRANSACT_PIPE) {
            return Some(What::Plain);
        }
        let handle = self.handle(self.word(30)?);
        let length = usize::from(self.word(22)?);
        let at = usize::from(self.word(24)?);
        self.pipe(handle, at, length)?;
        Some(What::Pipe { handle })
    }

    fn pipe(&mut self, handle: [u8; 16], at: usize, length: usize) -> Option<()> {
        let data = self.message.get(at..)?;
        let data = data.get(..length).unwrap_or(data);
        let place = self.place(handle, 0);
        self.state.pipe(self.direction, &place, data, self.out);
        Some(())
    }

    fn response(&mut self) -> Option<Sink> {
        let asked =
            self.state
                .answered(self.key, u16::from(self.command), self.direction, self.out)?;
        let sink = if self.status == 0 || self.status == STATUS_BUFFER_OVERFLOW {
            self.success(&asked)
        } else {
            None
        };
        conclude(&asked, self.direction, self.out);
        sink
    }

    fn success(&mut self, asked: &Asked) -> Option<Sink> {
        match &asked.what {
            What::Tree { name, pipe } => {
                let told = self.bytes().starts_with(b"IPC");
                self.state.bind_tree(self.tree, *pipe || told);
                if told
                    && !*pipe
                    && let Some(transaction) = asked.transaction.and_then(|id| self.out.get(id))
                {
                    transaction.push(self.direction, Buffer::SmbNamedPipe, name);
                }
            }
            What::Create { name } => {
                let handle = self.handle(self.word(5)?);
                let size = Reader::little(self.words.get(55..)?).u64()?;
                let size = (size > 0).then_some(size);
                self.state.open(handle, asked.tree, name, size, self.out);
            }
            What::Read { handle, offset } => {
                let length = usize::from(self.word(14)?) << 16 | usize::from(self.word(10)?);
                let at = usize::from(self.word(12)?);
                let mut place = self.place(*handle, *offset);
                place.tree = asked.tree;
                return self.content(&place, at, length);
            }
            What::Pipe { handle } if self.command == TRANSACTION => {
                let length = usize::from(self.word(12)?);
                let at = usize::from(self.word(14)?);
                self.pipe(*handle, at, length)?;
            }
            _ => {}
        }
        None
    }
}

/// Whether this is a list of dialects: each a mark, a text and its terminator.
fn are_dialects(mut bytes: &[u8]) -> bool {
    while let Some((mark, rest)) = bytes.split_first() {
        let Some(end) = rest.iter().position(|byte| *byte == 0) else {
            return false;
        };
        if *mark != 2 {
            return false;
        }
        bytes = rest.get(end + 1..).unwrap_or_default();
    }
    true
}
