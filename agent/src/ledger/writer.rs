//! The ledger as it is written: snapshots in, lines out. The caller has the clocks and the thread.

use std::{collections::BTreeMap, io, sync::Arc};

use super::{
    Options, Stamp, Wall,
    book::{Book, Open},
    record::{Line, Record},
    segment::{self, file_name},
    store::Store,
};
use crate::census::Container;

/// Without a line for so long a checkpoint is written: no more is lost of what is known at a crash.
pub(super) const CHECKPOINT: u64 = 60 * 1_000_000;
/// The wall clock is set by more than this in one go; less is a clock that is being adjusted.
const CLOCK_STEP: i64 = 500_000;

/// Who writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    pub(super) host: String,
    pub(super) boot: String,
}

/// The open ledger.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) store: Store,
    book: Book,
    /// When the line before this start was written; `None` for a new ledger, and once reconciled.
    last_seen: Option<Wall>,
    reconciled: bool,
    last: Stamp,
}

impl Writer {
    /// Opens or makes the ledger and records the start. What the host's new boot has ended is
    /// closed at once, the rest when the first snapshot comes.
    pub(super) fn open(options: &Options, origin: &Origin, now: Stamp) -> io::Result<Self> {
        let mut store = Store::open(options, &origin.boot, now)?;
        let before = Recovered::read(options)?;
        let mut book = Book::reopen(before.open, before.last_container);
        let mut records = vec![Record::Start {
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            boot: origin.boot.clone(),
            host: origin.host.clone(),
            config: options.config_digest,
            after_stop: before.stopped,
        }];
        if before.boot.is_some_and(|boot| boot != origin.boot) {
            records.extend(book.close_all(before.last_seen));
        }
        store.append(now, &records)?;
        store.sync()?;
        Ok(Self {
            store,
            book,
            last_seen: before.last_seen,
            reconciled: false,
            last: now,
        })
    }

    /// Takes a snapshot in: who is there and who has gone (latest first), at `now`. `lost` is how
    /// many snapshots before it were lost.
    pub(super) fn take(
        &mut self,
        living: &[Arc<Container>],
        gone: &[Arc<Container>],
        lost: u64,
        now: Stamp,
    ) -> io::Result<()> {
        let mut records = Vec::new();
        if lost > 0 {
            records.push(Record::Lost { snapshots: lost });
        }
        if !self.reconciled {
            self.reconciled = true;
            records.extend(self.book.reconcile(living, self.last_seen));
        }
        records.extend(self.book.take(living, gone, now.wall));
        self.write(&records, now)
    }

    /// Once a second: syncs, notices that the clock was set, writes a checkpoint when it is due and
    /// drops what is too old.
    pub(super) fn tick(&mut self, now: Stamp) -> io::Result<()> {
        if now.boottime.saturating_sub(self.last.boottime) >= CHECKPOINT {
            let open = self.book.len() as u64;
            self.write(&[Record::Checkpoint { open }], now)?;
        } else {
            self.write(&[], now)?;
        }
        self.store.sync()
    }

    /// Records that the agent ends.
    pub(super) fn stop(&mut self, now: Stamp) -> io::Result<()> {
        self.write(&[Record::Stop], now)?;
        self.store.sync()
    }

    fn write(&mut self, records: &[Record], now: Stamp) -> io::Result<()> {
        let step = now.offset().wrapping_sub(self.last.offset());
        if step.abs() > CLOCK_STEP {
            self.store.append(now, &[Record::Clock { step }])?;
            self.last = now;
        }
        if !records.is_empty() {
            self.store.append(now, records)?;
            self.last = now;
            if self.store.is_segment_full() {
                self.begin_segment(now)?;
            }
        }
        self.store.drop_old(now)
    }

    pub(super) fn begin_segment(&mut self, now: Stamp) -> io::Result<()> {
        let carries = self.book.carries();
        self.store.begin_segment(now, self.book.last(), &carries)
    }
}

/// What the end of the ledger says of the agent before.
#[derive(Debug, Default)]
struct Recovered {
    open: Vec<Open>,
    last_container: u64,
    /// Of its last line.
    last_seen: Option<Wall>,
    boot: Option<String>,
    stopped: bool,
}

impl Recovered {
    /// Reads the last two segments: each begins with all that was open, but for the last one that
    /// may be cut short.
    fn read(options: &Options) -> io::Result<Self> {
        let mut recovered = Self::default();
        let mut open = BTreeMap::new();
        let numbers = segment::list(&options.directory)?;
        for number in numbers.iter().skip(numbers.len().saturating_sub(2)) {
            let file = std::fs::File::open(options.directory.join(file_name(*number)))?;
            segment::lines(file, |_, bytes, _| {
                // Lines that were tampered with are for `verify`.
                if let Ok(line) = serde_json::from_slice::<Line>(bytes) {
                    recovered.take(line, &mut open);
                }
            })?;
        }
        recovered.open = open.into_values().collect();
        Ok(recovered)
    }

    fn take(&mut self, line: Line, open: &mut BTreeMap<u64, Open>) {
        if matches!(line.record, Record::Cut { .. }) {
            // This start has just written it.
            return;
        }
        self.stopped = matches!(line.record, Record::Stop);
        self.last_seen = Some(line.time);
        match line.record {
            Record::Segment {
                boot,
                last_container,
                ..
            } => {
                self.boot = Some(boot);
                self.last_container = self.last_container.max(last_container);
            }
            Record::Start { boot, .. } => self.boot = Some(boot),
            Record::Appear { container, facts } => {
                self.last_container = self.last_container.max(container);
                open.insert(container, Open::new(container, line.time, facts));
            }
            Record::Carry {
                container,
                since,
                facts,
            } => {
                open.insert(container, Open::new(container, since, facts));
            }
            Record::Change { container, facts } => {
                if let Some(open) = open.get_mut(&container) {
                    open.facts.apply(&facts);
                }
            }
            Record::Gone { container, .. } => {
                open.remove(&container);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
