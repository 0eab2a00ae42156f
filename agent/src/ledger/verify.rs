//! Walking the chain: is every line the one that was written, and is none missing?

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    Digest, Head,
    chain::{SealState, Sealer},
    record::{Line, Record},
    segment::{self, Read},
};

/// Breaks that are told one by one; all are counted.
const MAX_BREAKS: usize = 20;

/// A line that is not as it was written, or not where it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Break {
    /// File.
    pub file: PathBuf,
    /// Line in it, from 1.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

/// How the ledger stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Lines that were read.
    pub lines: u64,
    /// Files.
    pub segments: u64,
    /// Number of the first line that is there.
    pub first_seq: u64,
    /// The end of the chain.
    pub head: Head,
    /// The first breaks.
    pub breaks: Vec<Break>,
    /// All of them.
    pub break_count: u64,
    /// Lines sealed with the key.
    pub keyed: u64,
    /// Lines sealed with a key that was not given.
    pub unchecked: u64,
    /// The last line is not whole: the agent was killed while it wrote, or writes just now. The next
    /// start cuts it off.
    pub torn: bool,
    /// Times that an agent has cut off what was torn.
    pub cuts: u64,
    /// Whether the anchor is older than what is left: it proves nothing.
    pub anchor_dropped: bool,
}

impl Verdict {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.break_count == 0
    }
}

/// Checks lines one after the other.
#[derive(Debug)]
pub(super) struct Verifier {
    sealer: Sealer,
    anchor: Option<Head>,
    verdict: Verdict,
    /// The line before, when it could be read.
    last: Option<Head>,
    segment: Option<u64>,
    /// What the first line that is there says of the one before it, and where it is.
    first: Option<(Head, PathBuf)>,
    drops: Vec<Head>,
    torn: Option<(PathBuf, u64)>,
}

/// Drop records that are kept to be compared with the first line: the one that fits is among the
/// latest, or nothing is left to fit.
const MAX_DROPS: usize = 4_096;

/// Walks a whole ledger. `anchor`: a line that is known to have been there.
///
/// # Errors
/// When files cannot be read.
pub fn verify(directory: &Path, sealer: Sealer, anchor: Option<Head>) -> io::Result<Verdict> {
    let mut verifier = Verifier::new(sealer, anchor);
    segment::for_each_line(directory, |read| {
        let line = serde_json::from_slice(read.bytes).ok();
        verifier.take(&read, line.as_ref());
    })?;
    Ok(verifier.finish())
}

impl Verifier {
    pub(super) fn new(sealer: Sealer, anchor: Option<Head>) -> Self {
        Self {
            sealer,
            anchor,
            verdict: Verdict::default(),
            last: None,
            segment: None,
            first: None,
            drops: Vec::new(),
            torn: None,
        }
    }

    /// Takes the next line, and what could be read of it.
    pub(super) fn take(&mut self, read: &Read<'_>, line: Option<&Line>) {
        if let Some((file, line)) = self.torn.take() {
            self.broken(&file, line, "the line has no end");
        }
        if !read.whole {
            self.torn = Some((read.path.to_owned(), read.line));
            return;
        }
        self.verdict.lines += 1;
        match self.sealer.check(read.bytes) {
            SealState::Hashed if self.verdict.keyed > 0 => {
                self.at(read, "the seal is made without the key");
            }
            SealState::Hashed => {}
            SealState::Keyed => self.verdict.keyed += 1,
            SealState::NoKey => self.verdict.unchecked += 1,
            SealState::Broken => self.at(read, "the line is not the one that was sealed"),
        }
        let Some(line) = line else {
            self.at(read, "this is no line of a ledger");
            self.last = None;
            self.enter(read, None);
            return;
        };
        self.enter(read, Some(line));
        self.follow(read, line);
    }

    /// Each file begins with its number, and no number is left out.
    fn enter(&mut self, read: &Read<'_>, line: Option<&Line>) {
        let begins = match line.map(|line| &line.record) {
            Some(Record::Segment { number, .. }) => Some(*number),
            _ => None,
        };
        if self.segment == Some(read.segment) {
            if begins.is_some() {
                self.at(read, "a segment begins in the middle of a file");
            }
            return;
        }
        self.verdict.segments += 1;
        if self
            .segment
            .is_some_and(|before| before + 1 != read.segment)
        {
            self.at(read, "the file before this one is missing");
        }
        if line.is_some() && begins != Some(read.segment) {
            self.at(read, "the file does not begin as the segment of its name");
        }
        self.segment = Some(read.segment);
    }

    fn follow(&mut self, read: &Read<'_>, line: &Line) {
        let head = Head {
            seq: line.seq,
            hash: Digest::of(read.bytes),
        };
        let before = Head {
            seq: line.seq.saturating_sub(1),
            hash: line.prev,
        };
        match self.last {
            Some(last) if last.seq != before.seq => {
                let what = format!(
                    "line number {} follows on {}: lines are missing or moved",
                    line.seq, last.seq
                );
                self.at(read, &what);
            }
            Some(last) if last.hash != before.hash => {
                self.at(
                    read,
                    "the line before it is not the one that was there when it was written",
                );
            }
            _ => {}
        }
        if self.first.is_none() {
            self.first = Some((before, read.path.to_owned()));
            self.verdict.first_seq = line.seq;
        }
        if let Some(anchor) = self.anchor.filter(|anchor| anchor.seq == line.seq) {
            self.anchor = None;
            if anchor.hash != head.hash {
                self.at(read, "the line is not the one of the anchor");
            }
        }
        match line.record {
            Record::Dropped {
                last_seq,
                last_hash,
                ..
            } => {
                if self.drops.len() >= MAX_DROPS {
                    self.drops.remove(0);
                }
                self.drops.push(Head {
                    seq: last_seq,
                    hash: last_hash,
                });
            }
            Record::Cut { .. } => self.verdict.cuts += 1,
            _ => {}
        }
        self.last = Some(head);
        self.verdict.head = head;
    }

    fn at(&mut self, read: &Read<'_>, what: &str) {
        self.broken(read.path, read.line, what);
    }

    fn broken(&mut self, file: &Path, line: u64, what: &str) {
        self.verdict.break_count += 1;
        if self.verdict.breaks.len() < MAX_BREAKS {
            self.verdict.breaks.push(Break {
                file: file.to_owned(),
                line,
                what: what.to_owned(),
            });
        }
    }

    pub(super) fn finish(mut self) -> Verdict {
        self.verdict.torn = self.torn.is_some();
        if let Some((before, file)) = self.first.take() {
            let is_beginning = before == Head::default();
            if !is_beginning && !self.drops.contains(&before) {
                self.broken(
                    &file,
                    1,
                    "lines before it are missing, and no record says that they were dropped",
                );
            }
        }
        if let Some(anchor) = self.anchor {
            self.verdict.anchor_dropped = anchor.seq < self.verdict.first_seq;
            if !self.verdict.anchor_dropped {
                let what = format!(
                    "the ledger ends before line number {} of the anchor",
                    anchor.seq
                );
                let file = PathBuf::from(self.segment.map(segment::file_name).unwrap_or_default());
                self.broken(&file, 0, &what);
            }
        }
        self.verdict
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
