//! The thread that takes in what the kernel tells of calls, and looks at who made them before they go.

use std::{
    io,
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use hydrophone_common::process::{Call, ProcessEvent};
use rustix::process::setpriority_process;

use super::{
    Processes, lock,
    procfs::Dossier,
    table::Record,
    unix::target::{Target, file_of},
    watch::{News, Watch, until_nul},
};
use crate::{
    alert::FindingQueue,
    census::Census,
    config::Config,
    probe::{Clock, RingReader, Wake},
};

/// How long the thread sleeps at the most.
const IDLE: Duration = Duration::from_millis(500);
/// Nice value of the thread (`setpriority(2)` is about a thread in Linux).
const NICE: i32 = -10;
/// How often the clocks are read anew.
const CLOCK: Duration = Duration::from_secs(1);
/// How long the kernel may take to tell of a call of our own.
const TRIAL: Duration = Duration::from_millis(500);
/// News that may wait for the watch.
const NEWS: usize = 1_024;

/// Takes events in.
pub struct Follower {
    processes: Arc<Processes>,
    ring: RingReader,
    clock: Clock,
    read: Instant,
    own: u32,
    news: Option<SyncSender<News>>,
    /// Whether paths of Unix sockets come from the kernel as they should.
    reads_paths: bool,
}

/// The thread that judges what processes do. It ends when the follower has.
pub struct Watcher(JoinHandle<()>);

impl Watcher {
    /// Waits for its end.
    pub fn join(self) {
        let _ended = self.0.join();
    }
}

impl Follower {
    /// One that puts what it learns into `processes`.
    #[must_use]
    pub fn new(processes: Arc<Processes>, ring: RingReader) -> Self {
        Self {
            processes,
            ring,
            clock: Clock::now(),
            read: Instant::now(),
            own: std::process::id(),
            news: None,
            reads_paths: false,
        }
    }

    /// Connects to a path of our own, and says whether the kernel tells it: how its hook reads paths is
    /// no stable interface.
    pub fn try_paths(&mut self) -> bool {
        let path = format!("/proc/{}/hydrophone-asks-itself", self.own);
        let refused = UnixStream::connect(&path).is_err();
        let deadline = Instant::now() + TRIAL;
        while refused && !self.reads_paths && Instant::now() < deadline {
            let mut paths = Vec::new();
            let _ = self.ring.wait(TRIAL / 10);
            while let Some(raw) = self.next() {
                if let Some((Call::ConnectUnix, event)) = ProcessEvent::decode(&raw)
                    && event.pid == self.own
                {
                    paths.push(until_nul(event.path()).to_vec());
                }
                self.take(&raw);
            }
            self.reads_paths = paths.iter().any(|it| it == path.as_bytes());
        }
        self.reads_paths
    }

    /// Has what is worth telling told to `findings`, by a thread of its own.
    ///
    /// # Errors
    /// When the operating system has no thread to give.
    pub fn watch(
        &mut self,
        config: &Config,
        census: Arc<Census>,
        findings: FindingQueue,
    ) -> io::Result<Watcher> {
        let (news, inbox) = sync_channel(NEWS);
        let counts = Arc::clone(&self.processes.watched);
        let watch = Watch::new(config, census, findings, counts);
        let thread = thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || watch.run(&inbox))?;
        self.news = Some(news);
        Ok(Watcher(thread))
    }

    /// Starts the thread. It ends with the ring's shutdown.
    ///
    /// # Errors
    /// As [`Self::watch`].
    pub fn spawn(mut self) -> io::Result<JoinHandle<()>> {
        thread::Builder::new()
            .name("processes".to_owned())
            .spawn(move || self.run())
    }

    fn run(&mut self) {
        // Who is late finds nobody. Without CAP_SYS_NICE it stays as it was.
        if let Err(error) = setpriority_process(None, NICE) {
            tracing::debug!(%error, "the processes thread has no priority");
        }
        loop {
            match self.ring.wait(IDLE) {
                Ok(Wake::Shutdown) => break,
                Ok(Wake::Ready | Wake::TimedOut) => {}
                Err(error) => {
                    tracing::error!(%error, "processes are not followed any more");
                    break;
                }
            }
            if self.read.elapsed() >= CLOCK {
                (self.clock, self.read) = (Clock::now(), Instant::now());
            }
            while let Some(raw) = self.next() {
                self.take(&raw);
            }
        }
    }

    /// The next event, copied: what is done for one may take longer than its place should be held.
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut event = None;
        self.ring.next(|raw| event = Some(raw.to_vec()));
        event
    }

    fn take(&mut self, raw: &[u8]) {
        let processes = &self.processes;
        let Some((call, event)) = ProcessEvent::decode(raw) else {
            processes.malformed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let is_unix = call == Call::ConnectUnix;
        if is_unix && (event.pid == self.own || !self.reads_paths || event.path().is_empty()) {
            return;
        }
        // First of all: the process may be about to go.
        let target = is_unix.then(|| target_of(&event)).flatten();
        let dossier = Dossier::read(event.pid, event.timestamp_ns);
        let time = self.clock.wall(event.timestamp_ns);
        let record = lock(&processes.table).admit(call, &event, time, dossier);
        processes.changed.notify_all();
        if let Some(news) = news_of(call, &event, record, target)
            && let Some(watch) = &self.news
            && watch.try_send(news).is_err()
        {
            processes.watched.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn target_of(event: &ProcessEvent) -> Option<Target> {
    match event.path().split_first()? {
        (0, name) => Some(Target::Abstract {
            namespace: event.namespace,
            name: name.to_vec(),
        }),
        _ => file_of(event.pid, until_nul(event.path())),
    }
}

fn news_of(
    call: Call,
    event: &ProcessEvent,
    record: Arc<Record>,
    target: Option<Target>,
) -> Option<News> {
    /// `AF_INET`.
    const INET: u8 = 2;
    match call {
        Call::ConnectUnix => Some(News::Connects {
            record,
            target,
            path: event.path().to_vec(),
        }),
        Call::RawSocket => Some(News::Raw {
            record,
            family: if event.family == INET { "ipv4" } else { "ipv6" },
            protocol: event.protocol.into(),
        }),
        Call::Connect | Call::Bind | Call::Execute => None,
    }
}
