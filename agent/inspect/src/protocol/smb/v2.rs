//! SMB 2 and 3 (MS-SMB2 2.2).

use super::ntlmssp::utf8;
use super::state::{Asked, Place, State, What, conclude, event, logon, tree_name};
use super::{DUPLICATE_NEGOTIATE, MALFORMED_DATA, RECORD_OVERFLOW, Sink};
use crate::flow::Direction;
use crate::protocol::read::Reader;
use crate::protocol::{Buffer, Transactions};

const HEADER: usize = 64;
const VERSION: u64 = 2;

const NEGOTIATE: u16 = 0;
const SESSION_SETUP: u16 = 1;
const TREE_CONNECT: u16 = 3;
const CREATE: u16 = 5;
const CLOSE: u16 = 6;
const READ: u16 = 8;
const WRITE: u16 = 9;
const IOCTL: u16 = 11;
const QUERY_INFO: u16 = 16;
const SET_INFO: u16 = 17;

const RESPONSE: u32 = 1;
const ASYNC: u32 = 2;
const STATUS_PENDING: u32 = 0x103;
const STATUS_BUFFER_OVERFLOW: u32 = 0x8000_0005;
const PIPE_TRANSCEIVE: u32 = 0x0011_c017;
const SHARE_PIPE: u8 = 2;
/// Stands for the handle that the operation before in the chain opened.
const RELATED: [u8; 16] = [0xff; 16];

#[derive(Clone, Copy, Debug)]
struct Header {
    status: u32,
    command: u16,
    flags: u32,
    next: usize,
    id: u64,
    tree: u64,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::little(bytes.get(8..HEADER)?);
        let status = reader.u32()?;
        let command = reader.u16()?;
        reader.skip(2)?;
        let flags = reader.u32()?;
        let next = reader.length()?;
        let id = reader.u64()?;
        reader.skip(4)?;
        let tree = u64::from(reader.u32()?);
        Some(Self {
            status,
            command,
            flags,
            next,
            id,
            tree,
        })
    }

    const fn is_success(&self) -> bool {
        self.status == 0 || self.status == STATUS_BUFFER_OVERFLOW
    }
}

/// One message and those chained to it.
pub(super) fn message(
    state: &mut State,
    direction: Direction,
    mut message: &[u8],
    missing: usize,
    out: &mut Transactions,
) -> Option<Sink> {
    loop {
        let Some(header) = Header::parse(message) else {
            event(None, direction, MALFORMED_DATA, out);
            return None;
        };
        let (this, rest) = match header.next {
            0 => (message, None),
            next => match message.split_at_checked(next) {
                Some((this, rest)) if next >= HEADER && rest.starts_with(b"\xfeSMB") => {
                    (this, Some(rest))
                }
                _ => {
                    event(None, direction, RECORD_OVERFLOW, out);
                    (message, None)
                }
            },
        };
        let follows = if rest.is_none() { missing } else { 0 };
        let mut one = One {
            state,
            direction,
            header,
            message: this,
            follows,
            out,
        };
        let sink = if header.flags & RESPONSE == 0 {
            one.request()
        } else {
            one.response()
        };
        match rest {
            Some(rest) => message = rest,
            None => return sink,
        }
    }
}

/// One message on its way.
struct One<'a> {
    state: &'a mut State,
    direction: Direction,
    header: Header,
    message: &'a [u8],
    /// Bytes of the record that have not come.
    follows: usize,
    out: &'a mut Transactions,
}

impl<'a> One<'a> {
    fn body(&self, at: usize) -> Option<Reader<'a>> {
        Some(Reader::little(self.message.get(HEADER + at..)?))
    }

    /// Bytes that a message points at: 16-bit offset, then 16-bit length.
    fn pointed(&self, at: usize) -> Option<&'a [u8]> {
        let mut reader = self.body(at)?;
        let offset = usize::from(reader.u16()?);
        let length = usize::from(reader.u16()?);
        self.message.get(offset..)?.get(..length)
    }

    fn handle(&self, at: usize) -> Option<[u8; 16]> {
        let handle = self.body(at)?.array()?;
        match self.state.related {
            Some(related) if handle == RELATED => Some(related),
            _ => Some(handle),
        }
    }

    fn place(&self, handle: [u8; 16], offset: u64) -> Place {
        Place {
            handle,
            tree: self.header.tree,
            version: VERSION,
            offset,
        }
    }

    fn request(&mut self) -> Option<Sink> {
        let Header {
            command, id, tree, ..
        } = self.header;
        let mut sink = None;
        let mut transaction = None;
        let mut what = What::Plain;
        if command == WRITE {
            (what, sink) = self.write().unwrap_or((What::Plain, None));
        } else if command == READ {
            what = self.read().unwrap_or(What::Plain);
        } else if command == IOCTL
            && let Some(pipe) = self.transceive()
        {
            what = pipe;
        } else if command != QUERY_INFO && command != SET_INFO {
            let begun = State::begin(VERSION, self.direction, self.out);
            transaction = Some(begun);
            if let Some(told) = self.plain(begun) {
                what = told;
            } else {
                event(transaction, self.direction, MALFORMED_DATA, self.out);
            }
        }
        let asked = Asked {
            key: id,
            command,
            tree,
            transaction,
            what,
        };
        self.state.ask(asked, self.direction, self.out);
        sink
    }

    /// Requests that carry no content.
    fn plain(&mut self, transaction: u64) -> Option<What> {
        match self.header.command {
            NEGOTIATE if self.state.negotiate_again(1) => {
                event(
                    Some(transaction),
                    self.direction,
                    DUPLICATE_NEGOTIATE,
                    self.out,
                );
            }
            SESSION_SETUP => {
                let token = self.pointed(12)?;
                logon(transaction, self.direction, token, self.out);
            }
            TREE_CONNECT => {
                let name = utf8(self.pointed(4)?);
                let pipe = tree_name(transaction, self.direction, &name, self.out);
                return Some(What::Tree { name, pipe });
            }
            CREATE => {
                let name = utf8(self.pointed(44)?);
                if self.state.is_pipe_tree(self.header.tree) == Some(true)
                    && let Some(transaction) = self.out.get(transaction)
                {
                    transaction.push(self.direction, Buffer::SmbNamedPipe, &name);
                }
                self.state.related = None;
                return Some(What::Create { name });
            }
            CLOSE => {
                let handle = self.handle(8)?;
                self.state.close(&handle, self.out);
            }
            _ => {}
        }
        Some(What::Plain)
    }

    fn write(&mut self) -> Option<(What, Option<Sink>)> {
        let mut reader = self.body(2)?;
        let at = usize::from(reader.u16()?);
        let length = reader.length()?;
        let offset = reader.u64()?;
        let handle = self.handle(16)?;
        let place = self.place(handle, offset);
        let sink = self.content(&place, at, length)?;
        Some((What::Pipe { handle }, sink))
    }

    /// What a write or a read carries, and what follows of it.
    fn content(&mut self, place: &Place, at: usize, length: usize) -> Option<Option<Sink>> {
        let whole = self.message.len().saturating_add(self.follows);
        if at.saturating_add(length) > whole {
            event(None, self.direction, RECORD_OVERFLOW, self.out);
        }
        let data = self.message.get(at.min(self.message.len())..)?;
        let data = data.get(..length).unwrap_or(data);
        self.state.content(self.direction, place, data, self.out);
        let left = (length - data.len()).min(self.follows);
        Some((left > 0).then(|| Sink {
            handle: place.handle,
            tree: place.tree,
            version: VERSION,
            offset: place.offset.saturating_add(data.len() as u64),
            left,
        }))
    }

    fn read(&mut self) -> Option<What> {
        let offset = self.body(8)?.u64()?;
        let handle = self.body(16)?.array()?;
        Some(What::Read { handle, offset })
    }

    /// A call on a pipe: written and read in one.
    fn transceive(&mut self) -> Option<What> {
        if self.body(4)?.u32()? != PIPE_TRANSCEIVE {
            return None;
        }
        let handle = self.handle(8)?;
        let mut reader = self.body(24)?;
        let at = reader.length()?;
        let length = reader.length()?;
        let data = self.message.get(at..)?;
        let data = data.get(..length).unwrap_or(data);
        let place = self.place(handle, 0);
        self.state.pipe(self.direction, &place, data, self.out);
        Some(What::Pipe { handle })
    }

    fn response(&mut self) -> Option<Sink> {
        if self.header.status == STATUS_PENDING && self.header.flags & ASYNC != 0 {
            return None;
        }
        let Header { command, id, .. } = self.header;
        let asked = self.state.answered(id, command, self.direction, self.out)?;
        if self.header.flags & ASYNC != 0 {
            self.header.tree = asked.tree;
        }
        let sink = if self.header.is_success() {
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
                let told = self.body(2)?.u8()? == SHARE_PIPE;
                self.state.bind_tree(self.header.tree, *pipe || told);
                if told
                    && !*pipe
                    && let Some(transaction) = asked.transaction.and_then(|id| self.out.get(id))
                {
                    transaction.push(self.direction, Buffer::SmbNamedPipe, name);
                }
            }
            What::Create { name } => {
                let size = self.body(48)?.u64()?;
                let handle = self.body(64)?.array()?;
                let size = (size > 0).then_some(size);
                self.state.open(handle, asked.tree, name, size, self.out);
                self.state.related = Some(handle);
            }
            What::Read { handle, offset } => {
                let handle = match self.state.related {
                    Some(related) if *handle == RELATED => related,
                    _ => *handle,
                };
                let at = usize::from(self.body(2)?.u8()?);
                let length = self.body(4)?.length()?;
                let mut place = self.place(handle, *offset);
                place.tree = asked.tree;
                return self.content(&place, at, length)?;
            }
            What::Pipe { handle } if self.header.command == IOCTL => {
                let mut reader = self.body(32)?;
                let at = reader.length()?;
                let length = reader.length()?;
                let data = self.message.get(at..)?;
                let data = data.get(..length).unwrap_or(data);
                let place = self.place(*handle, 0);
                self.state.pipe(self.direction, &place, data, self.out);
            }
            _ => {}
        }
        None
    }
}
