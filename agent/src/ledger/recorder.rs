//! The thread that keeps the ledger. Nobody waits for it: a snapshot that finds its queue full is
//! counted, and the next one shows all but what came and changed in between.

use std::{
    fs, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    Head, Options, Stamp,
    writer::{Origin, Writer},
};
use crate::{
    alert::escape::Hostile,
    census::{Census, Listener, Snapshot},
    telemetry::Figures,
};

/// Snapshots that may wait. A disk that stalls for long costs intermediate states, not memory.
const QUEUE: usize = 64;
const TICK: Duration = Duration::from_secs(1);
/// How long the end may take.
const LAST: Duration = Duration::from_secs(3);
/// After a failure the ledger is opened anew, not at once.
const RETRY: Duration = Duration::from_secs(10);

/// What a `stats` event says of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Counts and sizes.
    #[serde(flatten)]
    pub figures: Figures,
    /// End of the chain, an anchor outside of this host; none while the ledger cannot be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
}

/// The ledger of a running agent.
#[derive(Debug)]
pub struct Ledger {
    feed: SyncSender<News>,
    thread: JoinHandle<()>,
    state: Arc<State>,
}

#[derive(Debug)]
enum News {
    Snapshot(Stamp, Arc<Snapshot>),
    Stop,
}

#[derive(Debug, Default)]
struct State {
    report: Mutex<Report>,
    /// Snapshots that found the queue full, all and those not yet recorded.
    lost: AtomicU64,
    unrecorded: AtomicU64,
    errors: AtomicU64,
}

/// What the census hands its snapshots to.
struct Feed {
    queue: SyncSender<News>,
    state: Arc<State>,
}

impl Listener for Feed {
    fn published(&self, snapshot: &Arc<Snapshot>) {
        let news = News::Snapshot(Stamp::now(), Arc::clone(snapshot));
        if self.queue.try_send(news).is_err() {
            self.state.lost.fetch_add(1, Ordering::Relaxed);
            self.state.unrecorded.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Ledger {
    /// Starts the thread and has the census feed it. A ledger that cannot be opened is tried again
    /// now and then and is no reason not to watch: it is logged and counted.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn start(options: Options, census: &Census) -> io::Result<Self> {
        let (feed, inbox) = sync_channel(QUEUE);
        let state = Arc::<State>::default();
        let keeper = Keeper {
            origin: Origin {
                host: rustix::system::uname()
                    .nodename()
                    .to_string_lossy()
                    .into_owned(),
                boot: boot_id(),
            },
            options,
            writer: None,
            retry: Instant::now(),
            last_error: String::new(),
            state: Arc::clone(&state),
        };
        let thread = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || keeper.run(&inbox))?;
        census.listen(Box::new(Feed {
            queue: feed.clone(),
            state: Arc::clone(&state),
        }));
        Ok(Self {
            feed,
            thread,
            state,
        })
    }

    /// Figures and head, whenever they are asked for.
    pub fn reporter(&self) -> impl Fn() -> Report + Send + 'static {
        let state = Arc::clone(&self.state);
        move || state.report()
    }

    /// Writes what is in the queue and that the agent ends. A disk that does not answer is waited for,
    /// three seconds at the most.
    pub fn stop(self) {
        let deadline = Instant::now() + LAST;
        let mut told = false;
        while !self.thread.is_finished() && Instant::now() < deadline {
            told = told || self.feed.try_send(News::Stop).is_ok();
            thread::sleep(Duration::from_millis(2));
        }
        if self.thread.is_finished() {
            let _ended = self.thread.join();
        } else {
            tracing::error!("the disk does not answer: the end of the ledger may be missing");
        }
    }
}

fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

impl State {
    fn report(&self) -> Report {
        let mut report = self
            .report
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for (name, count) in [("queue_lost", &self.lost), ("errors", &self.errors)] {
            report.figures.insert(name, count.load(Ordering::Relaxed));
        }
        report
    }
}

struct Keeper {
    options: Options,
    origin: Origin,
    writer: Option<Writer>,
    retry: Instant,
    last_error: String,
    state: Arc<State>,
}

impl Keeper {
    fn run(mut self, inbox: &Receiver<News>) {
        let mut next_tick = Instant::now();
        loop {
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + TICK;
                self.with_writer(|writer| writer.tick(Stamp::now()));
            }
            let left = next_tick.saturating_duration_since(Instant::now());
            match inbox.recv_timeout(left) {
                Ok(News::Snapshot(stamp, snapshot)) => {
                    let lost = self.state.unrecorded.swap(0, Ordering::Relaxed);
                    self.with_writer(|writer| {
                        writer.take(snapshot.living(), snapshot.gone(), lost, stamp)
                    });
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(News::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.with_writer(|writer| writer.stop(Stamp::now()));
                    return;
                }
            }
        }
    }

    /// Does something with the open ledger; opens it first when it is not.
    fn with_writer(&mut self, act: impl FnOnce(&mut Writer) -> io::Result<()>) {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None if Instant::now() < self.retry => return,
            None => match Writer::open(&self.options, &self.origin, Stamp::now()) {
                Ok(writer) => writer,
                Err(error) => return self.failed(&error),
            },
        };
        if let Err(error) = act(&mut writer) {
            return self.failed(&error);
        }
        let mut report = self
            .state
            .report
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *report = of(&writer);
        self.last_error.clear();
        self.writer = Some(writer);
    }

    /// The ledger is closed; it is reconciled with what is there when it can be opened again.
    fn failed(&mut self, error: &io::Error) {
        self.state.errors.fetch_add(1, Ordering::Relaxed);
        self.retry = Instant::now() + RETRY;
        let error = error.to_string();
        if error != self.last_error {
            let directory = self.options.directory.display();
            tracing::error!(%directory, error = %Hostile(&error), "the ledger cannot be written, trying again");
            self.last_error = error;
        }
        let mut report = self
            .state
            .report
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        report.head = None;
    }
}

fn of(writer: &Writer) -> Report {
    let store = &writer.store;
    let (segments, bytes) = store.size();
    let counts = store.counts;
    Report {
        figures: [
            ("records", counts.records),
            ("bytes_written", counts.written),
            ("syncs", counts.syncs),
            ("segments_dropped", counts.segments_dropped),
            ("bytes_cut", counts.bytes_cut),
            ("segments", segments),
            ("bytes", bytes),
        ]
        .into(),
        head: Some(store.head()),
    }
}
