//! The files: appending to the chain, beginning segments, dropping the oldest ones.
//!
//! Lines are handed to the kernel as they come, so an agent that is killed loses nothing; they are
//! brought to the disk (`fdatasync`) once a second, at the end of a segment, at start and stop, and
//! before old segments are removed: a host that loses power loses a second. A file that ends in
//! half a line, or in what is no line, is cut back to the last good one when it is opened, and the
//! chain goes on with a record of what was cut off.

use std::{
    collections::VecDeque,
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use serde::Serialize as _;

use super::{
    Digest, Head, Options, Stamp, Wall,
    chain::{SealState, Sealer},
    record::{DropReason, Line, Record},
    segment::{self, LastLine, file_name, named},
};
use crate::alert::escape::Formatter;

/// Segments that the budget is divided into: so much goes at once when it is full.
const SEGMENTS: u64 = 16;
/// Longest key that is read.
const MAX_KEY: u64 = 4_096;

/// The open ledger. One process has it at a time.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    /// Locked for as long as this lives.
    _lock: File,
    sealer: Sealer,
    boot: String,
    budget: u64,
    /// Microseconds.
    retention: u64,
    /// Oldest first; the last is the one that is written to.
    segments: VecDeque<Segment>,
    file: Option<File>,
    head: Head,
    /// Bytes of the current segment that carry older containers over.
    carried: u64,
    dirty: bool,
    buffer: Vec<u8>,
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    number: u64,
    bytes: u64,
    /// Of its last line.
    last: Wall,
    head: Head,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) records: u64,
    pub(super) written: u64,
    pub(super) syncs: u64,
    pub(super) segments_dropped: u64,
    pub(super) bytes_cut: u64,
}

/// What was cut off at the end of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Torn {
    segment: u64,
    bytes: u64,
    sha256: Digest,
}

/// The key of `ledger.key_file`; without one, lines are sealed by a hash.
///
/// # Errors
/// When the file cannot be read, or is empty.
pub fn sealer(key_file: Option<&Path>) -> io::Result<Sealer> {
    let Some(path) = key_file else {
        return Ok(Sealer::default());
    };
    let mut key = Vec::new();
    let read = |file: File| file.take(MAX_KEY).read_to_end(&mut key);
    File::open(path)
        .and_then(read)
        .map_err(|error| named(path, &error))?;
    while key.pop_if(|byte| byte.is_ascii_whitespace()).is_some() {}
    if key.is_empty() {
        return Err(io::Error::other(format!(
            "{}: there is no key in it",
            path.display()
        )));
    }
    Ok(Sealer::new(Some(key)))
}

/// Whether an agent has the ledger open.
#[must_use]
pub fn is_in_use(directory: &Path) -> bool {
    File::open(directory).is_ok_and(|file| {
        matches!(
            flock(&file, FlockOperation::NonBlockingLockShared),
            Err(rustix::io::Errno::WOULDBLOCK)
        )
    })
}

impl Store {
    /// Opens the ledger and cuts off what is torn. Makes the folder (mode 0700) when it is not
    /// there. `now` is the time of what has to be recorded about it.
    pub(super) fn open(options: &Options, boot: &str, now: Stamp) -> io::Result<Self> {
        let directory = options.directory.clone();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|error| named(&directory, &error))?;
        let lock = File::open(&directory)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            io::Error::other(format!(
                "{}: another agent writes there",
                directory.display()
            ))
        })?;
        let mut store = Self {
            sealer: sealer(options.key_file.as_deref())?,
            boot: boot.to_owned(),
            budget: options.budget,
            retention: u64::try_from(options.retention.as_micros()).unwrap_or(u64::MAX),
            directory,
            _lock: lock,
            segments: VecDeque::new(),
            file: None,
            head: Head::default(),
            carried: 0,
            dirty: false,
            buffer: Vec::new(),
            counts: Counts::default(),
        };
        let torn = store.find_segments()?;
        if let Some(last) = store.segments.back() {
            store.head = last.head;
            store.file = Some(append_to(&store.path(last.number))?);
        }
        for Torn {
            segment,
            bytes,
            sha256,
        } in torn
        {
            store.counts.bytes_cut += bytes;
            store.append(
                now,
                &[Record::Cut {
                    segment,
                    bytes,
                    sha256,
                }],
            )?;
        }
        Ok(store)
    }

    /// Reads the end of each segment. Those at the end of the ledger that have no good line at all
    /// are removed, and the last one that has is cut back to it.
    fn find_segments(&mut self) -> io::Result<Vec<Torn>> {
        let mut torn = Vec::new();
        let mut numbers = segment::list(&self.directory)?;
        while let Some(number) = numbers.pop() {
            let path = self.path(number);
            let length = fs::metadata(&path)?.len();
            let last = segment::last_line(&path, |line| self.is_good(line))?;
            let is_end = self.segments.is_empty();
            let end = last.as_ref().map_or(0, |last| last.end);
            if is_end && end < length {
                torn.push(cut_off(&path, number, end)?);
            }
            match last {
                Some(LastLine { line, bytes, end }) => self.segments.push_front(Segment {
                    number,
                    bytes: if is_end { end } else { length },
                    last: line.time,
                    head: Head {
                        seq: line.seq,
                        hash: Digest::of(&bytes),
                    },
                }),
                None if is_end => fs::remove_file(&path)?,
                // In the middle: `verify` will say so; it goes with its neighbours.
                None => self.segments.push_front(Segment {
                    number,
                    bytes: length,
                    last: Wall::default(),
                    head: Head::default(),
                }),
            }
        }
        torn.reverse();
        Ok(torn)
    }

    /// A line that this agent could have written, as far as its seal tells.
    fn is_good(&self, line: &[u8]) -> bool {
        self.sealer.check(line) != SealState::Broken
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(file_name(number))
    }

    /// The end of the chain.
    pub(super) const fn head(&self) -> Head {
        self.head
    }

    /// Segments, and their bytes together.
    pub(super) fn size(&self) -> (u64, u64) {
        let bytes = self.segments.iter().map(|segment| segment.bytes).sum();
        (self.segments.len() as u64, bytes)
    }

    /// Appends records, all of the same time, to the file. After a failure the file is as it was
    /// before, as far as the disk lets it, and the store must be opened anew.
    pub(super) fn append(&mut self, stamp: Stamp, records: &[Record]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        if self.segments.is_empty() {
            self.begin_segment(stamp, 0, &[])?;
        }
        self.write(stamp, records)
    }

    fn write(&mut self, stamp: Stamp, records: &[Record]) -> io::Result<()> {
        let mut head = self.head;
        self.buffer.clear();
        let mut line = Vec::new();
        for record in records {
            line.clear();
            head.seq += 1;
            Line {
                seq: head.seq,
                prev: head.hash,
                time: stamp.wall,
                boottime: stamp.boottime,
                record: record.clone(),
            }
            .serialize(&mut serde_json::Serializer::with_formatter(
                &mut line, Formatter,
            ))?;
            self.sealer.seal(&mut line);
            head.hash = Digest::of(&line);
            self.buffer.extend_from_slice(&line);
            self.buffer.push(b'\n');
        }
        let (Some(file), Some(segment)) = (&mut self.file, self.segments.back_mut()) else {
            return Err(io::Error::other("no segment is open"));
        };
        if let Err(error) = file.write_all(&self.buffer) {
            // Half a batch is no lie, but a torn line would be in the way of the next one.
            let _ = file.set_len(segment.bytes);
            return Err(error);
        }
        let written = self.buffer.len() as u64;
        segment.bytes += written;
        segment.last = segment.last.max(stamp.wall);
        segment.head = head;
        self.head = head;
        self.dirty = true;
        self.counts.written += written;
        self.counts.records += records.len() as u64;
        Ok(())
    }

    /// Whether the current segment has its size. One that is mostly made of what older ones had is
    /// given room for as much again.
    pub(super) fn is_segment_full(&self) -> bool {
        let target = (self.budget / SEGMENTS).max(2 * self.carried);
        self.segments
            .back()
            .is_some_and(|segment| segment.bytes >= target)
    }

    /// Begins a segment with what is open.
    pub(super) fn begin_segment(
        &mut self,
        stamp: Stamp,
        last_container: u64,
        carries: &[Record],
    ) -> io::Result<()> {
        self.sync()?;
        let number = self.segments.back().map_or(0, |last| last.number) + 1;
        let path = self.path(number);
        let file = File::options()
            .create_new(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| named(&path, &error))?;
        File::open(&self.directory)?.sync_all()?;
        self.file = Some(file);
        self.segments.push_back(Segment {
            number,
            bytes: 0,
            last: stamp.wall,
            head: self.head,
        });
        let count = carries.len() as u64;
        let mut records = vec![Record::Segment {
            number,
            boot: self.boot.clone(),
            last_container,
            carries: count,
        }];
        records.extend_from_slice(carries);
        self.write(stamp, &records)?;
        self.carried = self.segments.back().map_or(0, |segment| segment.bytes);
        Ok(())
    }

    /// Drops the oldest segments that are too many or too old, never the current one.
    pub(super) fn drop_old(&mut self, stamp: Stamp) -> io::Result<()> {
        // Room for what is written until the next time.
        let limit = self.budget - (self.budget / 32).min(256 << 10);
        let (_, mut bytes) = self.size();
        let mut count = 0;
        let mut why = DropReason::Age;
        let droppable = self.segments.len().saturating_sub(1);
        for segment in self.segments.iter().take(droppable) {
            let is_old = stamp.wall.0.saturating_sub(segment.last.0) > self.retention;
            if bytes > limit {
                why = DropReason::Budget;
            } else if !is_old {
                break;
            }
            bytes -= segment.bytes;
            count += 1;
        }
        let dropped: Vec<_> = self.segments.iter().take(count).copied().collect();
        let (Some(first), Some(last)) = (dropped.first(), dropped.last()) else {
            return Ok(());
        };
        let record = Record::Dropped {
            first: first.number,
            last: last.number,
            last_seq: last.head.seq,
            last_hash: last.head.hash,
            bytes: dropped.iter().map(|segment| segment.bytes).sum(),
            why,
        };
        self.write(stamp, &[record])?;
        self.sync()?;
        for segment in dropped {
            let path = self.path(segment.number);
            fs::remove_file(&path).map_err(|error| named(&path, &error))?;
            self.segments.pop_front();
            self.counts.segments_dropped += 1;
        }
        Ok(())
    }

    /// Brings what was written to the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let Some(file) = self.file.as_ref().filter(|_| self.dirty) {
            file.sync_data()?;
            self.counts.syncs += 1;
        }
        self.dirty = false;
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options()
        .append(true)
        .open(path)
        .map_err(|error| named(path, &error))
}

/// Cuts a file back to `end` bytes.
fn cut_off(path: &Path, number: u64, end: u64) -> io::Result<Torn> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|error| named(path, &error))?;
    file.seek(SeekFrom::Start(end))?;
    let mut hash = sha2::Sha256::default();
    let bytes = io::copy(&mut file, &mut HashWriter(&mut hash))?;
    file.set_len(end)?;
    file.sync_all()?;
    let sha256 = Digest(sha2::Digest::finalize(hash).into());
    Ok(Torn {
        segment: number,
        bytes,
        sha256,
    })
}

struct HashWriter<'a>(&'a mut sha2::Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        sha2::Digest::update(self.0, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
