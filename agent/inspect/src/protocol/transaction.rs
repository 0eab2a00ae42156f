//! What one request and its response were made of, protocol by protocol in one form.

use core::ops::Range;

use super::file::Inspection;
use super::{AppProtocol, Buffer, Field, Limits};
use crate::flow::Direction;

/// How far one direction of a transaction has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing was seen, or not all of the head.
    #[default]
    Begun,
    /// All but bodies and files has been pushed.
    Headers,
    /// Nothing more will be pushed.
    Complete,
}

/// One piece of a transaction. Pieces of one buffer are matched one by one.
#[derive(Debug)]
pub struct Instance {
    /// Which.
    pub buffer: Buffer,
    /// Who sent it.
    pub direction: Direction,
    /// Where its bytes are: in the arena, or in a body of its own when it grows.
    place: Place,
    /// Bytes that were searched for patterns.
    scanned: usize,
    /// It was searched when it was whole.
    finished: bool,
}

#[derive(Debug)]
enum Place {
    Arena(Range<usize>),
    Body(Body),
}

/// A piece that grows.
#[derive(Debug, Default)]
struct Body {
    data: Vec<u8>,
    /// Bytes that came, kept or not.
    length: u64,
    closed: bool,
}

/// One exchange. Parsers push what they find; rules read it.
#[derive(Debug)]
pub struct Transaction {
    /// Number within the flow, from 0.
    pub id: u64,
    /// What was spoken, where the two ends have since agreed on something else.
    pub(crate) protocol: Option<AppProtocol>,
    arena: Vec<u8>,
    instances: Vec<Instance>,
    numbers: Vec<(Direction, Field, u64)>,
    events: Vec<(Direction, &'static str)>,
    stages: [Stage; 2],
    /// The sender's numbers are little endian.
    little_endian: [bool; 2],
    /// Pushed since the direction was last evaluated.
    dirty: [bool; 2],
    /// Pushed at all.
    pushed: [bool; 2],
    /// What the matching stage remembers; parsers leave it alone.
    pub(crate) matching: crate::engine::TransactionState,
    /// The file that each direction carries.
    files: [Option<Inspection>; 2],
    hashed: bool,
    bodies_max: usize,
    arena_max: usize,
    truncated: u64,
    /// Bytes that bodies have reserved.
    bodies: usize,
}

/// Instances, numbers or events of one transaction.
const MAX_INSTANCES: usize = 1_024;

impl Transaction {
    pub(super) fn new(id: u64, limits: &Limits) -> Self {
        Self {
            id,
            protocol: None,
            arena: Vec::new(),
            instances: Vec::new(),
            numbers: Vec::new(),
            events: Vec::new(),
            stages: [Stage::Begun; 2],
            little_endian: [false; 2],
            dirty: [false; 2],
            pushed: [false; 2],
            matching: Default::default(),
            files: [const { None }; 2],
            hashed: limits.hashes,
            bodies_max: limits.body,
            arena_max: limits.head,
            truncated: 0,
            bodies: 0,
        }
    }

    /// Adds a whole piece. What does not fit the transaction's budget is left out and counted.
    pub fn push(&mut self, direction: Direction, buffer: Buffer, bytes: &[u8]) {
        self.touch(direction);
        if self.instances.len() >= MAX_INSTANCES {
            self.truncated += bytes.len() as u64;
            return;
        }
        let room = self.arena_max.saturating_sub(self.arena.len());
        let kept = bytes.get(..room).unwrap_or(bytes);
        self.truncated += (bytes.len() - kept.len()) as u64;
        let start = self.arena.len();
        self.arena.extend_from_slice(kept);
        self.instances.push(Instance {
            buffer,
            direction,
            place: Place::Arena(start..self.arena.len()),
            scanned: 0,
            finished: false,
        });
    }

    /// Lets a piece grow: the open one of this buffer, or a new one.
    pub fn append(&mut self, direction: Direction, buffer: Buffer, bytes: &[u8]) {
        self.touch(direction);
        let most = self.bodies_max;
        if self.open(direction, buffer).is_none() {
            if self.instances.len() >= MAX_INSTANCES {
                self.truncated += bytes.len() as u64;
                return;
            }
            self.instances.push(Instance {
                buffer,
                direction,
                place: Place::Body(Body::default()),
                scanned: 0,
                finished: false,
            });
        }
        let Some(body) = self.open(direction, buffer) else {
            return;
        };
        let room = most.saturating_sub(body.data.len());
        let kept = bytes.get(..room).unwrap_or(bytes);
        let before = body.data.capacity();
        body.data.extend_from_slice(kept);
        body.length += bytes.len() as u64;
        let reserved = body.data.capacity() - before;
        self.bodies += reserved;
        self.truncated += (bytes.len() - kept.len()) as u64;
    }

    /// Ends the growing piece of this buffer, if there is one.
    pub fn close(&mut self, direction: Direction, buffer: Buffer) {
        if let Some(body) = self.open(direction, buffer) {
            body.closed = true;
            self.touch(direction);
        }
    }

    /// Begins a file that this direction carries. Its content follows by [`Self::file_data`].
    pub fn file_open(&mut self, direction: Direction, name: Option<&[u8]>) {
        self.file_close(direction);
        if let Some(name) = name {
            self.push(direction, Buffer::FileName, name);
        }
        self.append(direction, Buffer::FileData, &[]);
        if let Some(file) = self.files.get_mut(direction.index()) {
            *file = Some(Inspection::new(self.hashed));
        }
    }

    /// Content of the file that was begun last.
    pub fn file_data(&mut self, direction: Direction, data: &[u8]) {
        if self.open(direction, Buffer::FileData).is_none() {
            self.file_open(direction, None);
        }
        self.append(direction, Buffer::FileData, data);
        let file = self.files.get_mut(direction.index());
        let kind = file.and_then(Option::as_mut).and_then(|it| it.data(data));
        if let Some(kind) = kind {
            self.push(direction, Buffer::FileMagic, kind.as_bytes());
        }
    }

    /// Ends the file that was begun last, if there is one: its size and hashes become known.
    pub fn file_close(&mut self, direction: Direction) {
        if let Some(length) = self
            .open(direction, Buffer::FileData)
            .map(|body| body.length)
        {
            self.close(direction, Buffer::FileData);
            self.number(direction, Field::FileSize, length);
        }
        let file = self.files.get_mut(direction.index()).and_then(Option::take);
        let Some(mut file) = file else {
            return;
        };
        if let Some(kind) = file.kind() {
            self.push(direction, Buffer::FileMagic, kind.as_bytes());
        }
        if let Some(digests) = file.digests() {
            self.push(direction, Buffer::FileMd5, &digests.md5);
            self.push(direction, Buffer::FileSha1, &digests.sha1);
            self.push(direction, Buffer::FileSha256, &digests.sha256);
        }
    }

    fn open(&mut self, direction: Direction, buffer: Buffer) -> Option<&mut Body> {
        self.instances
            .iter_mut()
            .rev()
            .find_map(|instance| match &mut instance.place {
                Place::Body(body)
                    if instance.buffer == buffer
                        && instance.direction == direction
                        && !body.closed =>
                {
                    Some(body)
                }
                _ => None,
            })
    }

    /// Adds a number.
    pub fn number(&mut self, direction: Direction, field: Field, value: u64) {
        self.touch(direction);
        if self.numbers.len() < MAX_INSTANCES {
            self.numbers.push((direction, field, value));
        }
    }

    /// Adds a number that says nothing new when it comes again.
    pub(super) fn number_once(&mut self, direction: Direction, field: Field, value: u64) {
        if !self.numbers.contains(&(direction, field, value)) {
            self.number(direction, field, value);
        }
    }

    /// Adds an event, once (Suricata: `app-layer-event`), by the name that rules use.
    pub fn event(&mut self, direction: Direction, event: &'static str) {
        self.touch(direction);
        if self.events.len() < MAX_INSTANCES && !self.has_event(event) {
            self.events.push((direction, event));
        }
    }

    /// Says how far a direction has come; never back.
    pub fn advance(&mut self, direction: Direction, stage: Stage) {
        // Of a direction that nothing was pushed in there is nothing to look at.
        if self
            .pushed
            .get(direction.index())
            .is_some_and(|pushed| *pushed)
        {
            self.touch(direction);
        }
        if let Some(slot) = self.stages.get_mut(direction.index()) {
            *slot = stage.max(*slot);
        }
        if stage == Stage::Complete {
            self.file_close(direction);
            for instance in &mut self.instances {
                if let Place::Body(body) = &mut instance.place
                    && instance.direction == direction
                {
                    body.closed = true;
                }
            }
        }
    }

    /// How far a direction has come.
    #[must_use]
    pub fn stage(&self, direction: Direction) -> Stage {
        self.stages
            .get(direction.index())
            .copied()
            .unwrap_or_default()
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.stages == [Stage::Complete; 2]
    }

    /// Says that the numbers in what a direction sends are little endian, where a message tells.
    pub(super) fn set_little_endian(&mut self, direction: Direction) {
        if let Some(slot) = self.little_endian.get_mut(direction.index()) {
            *slot = true;
        }
    }

    /// Whether a message of this direction told that its numbers are little endian.
    pub(crate) fn is_little_endian(&self, direction: Direction) -> bool {
        self.little_endian.get(direction.index()) == Some(&true)
    }

    /// All pieces, in the order they came.
    #[must_use]
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// The bytes of a piece, as far as they have come.
    #[must_use]
    pub fn bytes<'a>(&'a self, instance: &'a Instance) -> &'a [u8] {
        match &instance.place {
            Place::Arena(range) => self.arena.get(range.clone()).unwrap_or_default(),
            Place::Body(body) => &body.data,
        }
    }

    /// The first piece of a buffer.
    #[must_use]
    pub fn first(&self, direction: Direction, buffer: Buffer) -> Option<&[u8]> {
        self.instances
            .iter()
            .find(|instance| instance.buffer == buffer && instance.direction == direction)
            .map(|instance| self.bytes(instance))
    }

    /// All numbers.
    #[must_use]
    pub fn numbers(&self) -> &[(Direction, Field, u64)] {
        &self.numbers
    }

    /// All events.
    #[must_use]
    pub fn events(&self) -> &[(Direction, &'static str)] {
        &self.events
    }

    /// Whether an event was raised in either direction.
    #[must_use]
    pub fn has_event(&self, event: &str) -> bool {
        self.events.iter().any(|(_, raised)| *raised == event)
    }

    /// Bytes that were left out for want of room.
    #[must_use]
    pub const fn truncated(&self) -> u64 {
        self.truncated
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let files: usize = self.files.iter().flatten().map(Inspection::footprint).sum();
        size_of::<Self>()
            + self.bodies
            + files
            + self.arena.capacity()
            + self.instances.capacity() * size_of::<Instance>()
    }

    /// Whether something was pushed since the last call for this direction.
    pub fn take_dirty(&mut self, direction: Direction) -> bool {
        self.dirty
            .get_mut(direction.index())
            .is_some_and(core::mem::take)
    }

    /// Says that the piece at this position was searched, as far as it has come.
    pub(crate) fn mark_scanned(&mut self, at: usize) {
        let length = self
            .instances
            .get(at)
            .map_or(0, |instance| self.bytes(instance).len());
        if let Some(instance) = self.instances.get_mut(at) {
            instance.scanned = length;
            instance.finished = instance.is_closed();
        }
    }

    /// Has all that has come looked at again: there are other rules.
    pub(super) fn forget_rules(&mut self) {
        self.matching = Default::default();
        for instance in &mut self.instances {
            instance.scanned = 0;
            instance.finished = false;
        }
    }

    /// Whether it is a frame and no exchange.
    #[must_use]
    pub fn is_frame(&self) -> bool {
        let first = self.instances.first();
        first.is_some_and(|instance| instance.buffer.is_frame())
    }

    fn touch(&mut self, direction: Direction) {
        let at = direction.index();
        if let (Some(dirty), Some(pushed)) = (self.dirty.get_mut(at), self.pushed.get_mut(at)) {
            *dirty = true;
            *pushed = true;
        }
    }
}

impl Instance {
    /// Whether no more bytes will come.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        match &self.place {
            Place::Arena(_) => true,
            Place::Body(body) => body.closed,
        }
    }

    /// Bytes that were searched for patterns.
    pub(crate) const fn scanned(&self) -> usize {
        self.scanned
    }

    /// Whether all of it was searched, and no more comes.
    pub(crate) const fn is_scanned(&self) -> bool {
        self.finished
    }

    /// Bytes that came, kept or not; `None` for a piece that does not grow.
    #[must_use]
    pub const fn length(&self) -> Option<u64> {
        match &self.place {
            Place::Arena(_) => None,
            Place::Body(body) => Some(body.length),
        }
    }
}
