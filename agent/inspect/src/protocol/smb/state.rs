//! What one connection has open, and what has been asked and not answered.

use std::collections::VecDeque;

use super::ntlmssp::{self, Logon};
use super::{FILE_OVERLAP, MALFORMED_NTLMSSP, REQUEST_TO_CLIENT, RESPONSE_TO_SERVER};
use crate::flow::Direction;
use crate::protocol::dcerpc::{self, Conversation};
use crate::protocol::record::Transfer;
use crate::protocol::{Buffer, Field, Stage, Transactions};

const MAX_TREES: usize = 64;
const MAX_HANDLES: usize = 128;
const MAX_ASKED: usize = 256;

/// What an answer is needed for.
#[derive(Debug)]
pub(super) enum What {
    Plain,
    Tree { name: Vec<u8>, pipe: bool },
    Create { name: Vec<u8> },
    Read { handle: [u8; 16], offset: u64 },
    Pipe { handle: [u8; 16] },
}

/// One request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) key: u64,
    pub(super) command: u16,
    pub(super) tree: u64,
    pub(super) transaction: Option<u64>,
    pub(super) what: What,
}

/// Where content belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) handle: [u8; 16],
    pub(super) tree: u64,
    pub(super) version: u64,
    pub(super) offset: u64,
}

#[derive(Debug)]
struct Handle {
    key: [u8; 16],
    name: Vec<u8>,
    size: Option<u64>,
    /// `None` while nothing tells.
    pipe: Option<bool>,
    conversation: Option<Box<Conversation>>,
    transfers: [Option<Transfer>; 2],
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Trees, and whether they are those of pipes.
    trees: VecDeque<(u64, bool)>,
    handles: VecDeque<Handle>,
    asked: VecDeque<Asked>,
    /// The handle that operations chained to its creation mean.
    pub(super) related: Option<[u8; 16]>,
    /// By version: whether a negotiation was seen.
    negotiated: [bool; 2],
}

impl State {
    /// Begins the transaction of a request.
    pub(super) fn begin(version: u64, direction: Direction, out: &mut Transactions) -> u64 {
        let id = out.begin();
        if let Some(transaction) = out.get(id) {
            for side in [Direction::ToServer, Direction::ToClient] {
                transaction.number(side, Field::SmbVersion, version);
            }
            if direction == Direction::ToClient {
                transaction.event(direction, REQUEST_TO_CLIENT);
            }
        }
        id
    }

    /// Remembers a request whose own direction is over.
    pub(super) fn ask(&mut self, asked: Asked, direction: Direction, out: &mut Transactions) {
        if let Some(transaction) = asked.transaction.and_then(|id| out.get(id)) {
            transaction.advance(direction, Stage::Complete);
        }
        if self.asked.len() >= MAX_ASKED
            && let Some(oldest) = self.asked.pop_front()
        {
            conclude(&oldest, direction.reverse(), out);
        }
        self.asked.push_back(asked);
    }

    /// The request that this answers. Its transaction is over when `last`.
    pub(super) fn answered(
        &mut self,
        key: u64,
        command: u16,
        direction: Direction,
        out: &mut Transactions,
    ) -> Option<Asked> {
        let at = self
            .asked
            .iter()
            .position(|asked| asked.key == key && asked.command == command)?;
        let asked = self.asked.remove(at)?;
        if direction == Direction::ToServer
            && let Some(transaction) = asked.transaction.and_then(|id| out.get(id))
        {
            transaction.event(direction, RESPONSE_TO_SERVER);
        }
        Some(asked)
    }

    /// Whether a negotiation of this version was seen before.
    pub(super) fn negotiate_again(&mut self, version: usize) -> bool {
        self.negotiated
            .get_mut(version)
            .is_some_and(|seen| core::mem::replace(seen, true))
    }

    pub(super) fn bind_tree(&mut self, tree: u64, pipe: bool) {
        self.trees.retain(|(known, _)| *known != tree);
        if self.trees.len() >= MAX_TREES {
            self.trees.pop_front();
        }
        self.trees.push_back((tree, pipe));
    }

    pub(super) fn is_pipe_tree(&self, tree: u64) -> Option<bool> {
        self.trees
            .iter()
            .find(|(known, _)| *known == tree)
            .map(|(_, pipe)| *pipe)
    }

    pub(super) fn open(
        &mut self,
        key: [u8; 16],
        tree: u64,
        name: &[u8],
        size: Option<u64>,
        out: &mut Transactions,
    ) {
        self.close(&key, out);
        if self.handles.len() >= MAX_HANDLES
            && let Some(mut oldest) = self.handles.pop_front()
        {
            finish(&mut oldest, out);
        }
        self.handles.push_back(Handle {
            key,
            name: name.to_vec(),
            size,
            pipe: self.is_pipe_tree(tree),
            conversation: None,
            transfers: [None, None],
        });
    }

    pub(super) fn close(&mut self, key: &[u8; 16], out: &mut Transactions) {
        if let Some(at) = self.handles.iter().position(|handle| handle.key == *key)
            && let Some(mut handle) = self.handles.remove(at)
        {
            finish(&mut handle, out);
        }
    }

    fn handle(&mut self, place: &Place, out: &mut Transactions) -> Option<&mut Handle> {
        let is_it = |handle: &Handle| handle.key == place.handle;
        if !self.handles.iter().any(is_it) {
            self.open(place.handle, place.tree, &[], None, out);
        }
        self.handles.iter_mut().find(|handle| is_it(handle))
    }

    /// Whether content of this handle is that of a pipe. Where the tree was not seen, the content tells.
    pub(super) fn is_pipe(&mut self, place: &Place, data: &[u8], out: &mut Transactions) -> bool {
        let Some(handle) = self.handle(place, out) else {
            return false;
        };
        if handle.pipe.is_none() && !data.is_empty() {
            handle.pipe = Some(dcerpc::is_unit(data));
        }
        handle.pipe == Some(true)
    }

    /// What was written to a handle or read from it.
    pub(super) fn content(
        &mut self,
        direction: Direction,
        place: &Place,
        data: &[u8],
        out: &mut Transactions,
    ) {
        if self.is_pipe(place, data, out) {
            self.pipe(direction, place, data, out);
            return;
        }
        if data.is_empty() {
            return;
        }
        let numbers = [(Field::SmbVersion, place.version)];
        let Some(handle) = self.handle(place, out) else {
            return;
        };
        let Some(slot) = handle.transfers.get_mut(direction.index()) else {
            return;
        };
        let transfer =
            slot.get_or_insert_with(|| Transfer::begin(direction, &handle.name, &numbers, out));
        if transfer.put(place.offset, data, &numbers, out) {
            transfer.event(FILE_OVERLAP, out);
        }
        // A file that is read again is one more file.
        if direction == Direction::ToClient
            && handle.size.is_some_and(|size| transfer.reached() >= size)
        {
            transfer.finish(out);
            *slot = None;
        }
    }

    /// What went through a pipe.
    pub(super) fn pipe(
        &mut self,
        direction: Direction,
        place: &Place,
        data: &[u8],
        out: &mut Transactions,
    ) {
        let numbers = [(Field::SmbVersion, place.version)];
        if let Some(handle) = self.handle(place, out) {
            handle.pipe = Some(true);
            handle
                .conversation
                .get_or_insert_with(|| Box::new(Conversation::with_numbers(&numbers)))
                .data(direction, data, out);
        }
    }

    /// Nothing more comes in this direction.
    pub(super) fn end(&mut self, direction: Direction, out: &mut Transactions) {
        for handle in &mut self.handles {
            if let Some(transfer) = handle
                .transfers
                .get_mut(direction.index())
                .and_then(Option::as_mut)
            {
                transfer.finish(out);
            }
            if let Some(conversation) = &mut handle.conversation {
                conversation.end(direction, out);
            }
        }
        if direction == Direction::ToClient {
            for asked in self.asked.drain(..) {
                conclude(&asked, direction, out);
            }
        }
    }

    pub(super) fn footprint(&self) -> usize {
        let handles: usize = self.handles.iter().map(Handle::footprint).sum();
        let asked: usize = self
            .asked
            .iter()
            .map(|asked| match &asked.what {
                What::Tree { name, .. } | What::Create { name } => name.capacity(),
                _ => 0,
            })
            .sum();
        handles
            + asked
            + self.asked.capacity() * size_of::<Asked>()
            + self.trees.capacity() * size_of::<(u64, bool)>()
    }
}

impl Handle {
    fn footprint(&self) -> usize {
        let transfers: usize = self
            .transfers
            .iter()
            .flatten()
            .map(Transfer::footprint)
            .sum();
        let conversation = self.conversation.as_ref().map_or(0, |of| of.footprint());
        size_of::<Self>() + self.name.capacity() + transfers + conversation
    }
}

fn finish(handle: &mut Handle, out: &mut Transactions) {
    for transfer in handle.transfers.iter_mut().flatten() {
        transfer.finish(out);
    }
    if let Some(conversation) = &mut handle.conversation {
        conversation.end(Direction::ToServer, out);
        conversation.end(Direction::ToClient, out);
    }
}

/// An answered request's transaction is over.
pub(super) fn conclude(asked: &Asked, direction: Direction, out: &mut Transactions) {
    if let Some(transaction) = asked.transaction.and_then(|id| out.get(id)) {
        transaction.advance(direction, Stage::Complete);
    }
}

/// Raises an event in a transaction of its own or in one that there is.
pub(super) fn event(
    transaction: Option<u64>,
    direction: Direction,
    event: &'static str,
    out: &mut Transactions,
) {
    let id = transaction.unwrap_or_else(|| {
        let id = out.begin();
        if let Some(transaction) = out.get(id) {
            transaction.advance(Direction::ToServer, Stage::Complete);
            transaction.advance(Direction::ToClient, Stage::Complete);
        }
        id
    });
    if let Some(transaction) = out.get(id) {
        transaction.event(direction, event);
    }
}

/// Tells what a request connects to: a share, or the tree of pipes.
pub(super) fn tree_name(
    transaction: u64,
    direction: Direction,
    name: &[u8],
    out: &mut Transactions,
) -> bool {
    let pipe = name
        .len()
        .checked_sub(4)
        .and_then(|at| name.get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case(b"IPC$"));
    let buffer = if pipe {
        Buffer::SmbNamedPipe
    } else {
        Buffer::SmbShare
    };
    if let Some(transaction) = out.get(transaction) {
        transaction.push(direction, buffer, name);
    }
    pipe
}

/// Tells who logs on.
pub(super) fn logon(transaction: u64, direction: Direction, token: &[u8], out: &mut Transactions) {
    match ntlmssp::logon(token) {
        Logon::Nothing => {}
        Logon::Malformed => event(Some(transaction), direction, MALFORMED_NTLMSSP, out),
        Logon::Names { user, domain } => {
            if let Some(transaction) = out.get(transaction) {
                transaction.push(direction, Buffer::SmbNtlmsspUser, &user);
                transaction.push(direction, Buffer::SmbNtlmsspDomain, &domain);
            }
        }
    }
}
