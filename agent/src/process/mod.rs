//! Which process is at each end: looked at when the kernel tells of a call, on a thread of its own,
//! and asked by the alert stage. Never by an inspection thread.

mod procfs;
mod report;
mod resolver;
mod serving;
mod sockets;
mod table;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use hydrophone_common::process::ProcessEvent;
use hydrophone_inspect::{Process, Timestamp};

use crate::probe::{Clock, RingReader, Wake};

pub use procfs::{Ancestor, Dossier, Missing};
pub use report::{CANDIDATES_MAX, Candidate, Doubt, Report};
pub use resolver::HostResolver;
pub use serving::Place;

use serving::Servers;
use table::Table;

/// How long an alert waits for a call that has not been looked at yet.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long the thread sleeps at the most.
const IDLE: Duration = Duration::from_millis(500);
/// How often the clocks are read anew.
const CLOCK: Duration = Duration::from_secs(1);

/// What is known of processes.
#[derive(Debug, Default)]
pub struct Processes {
    table: Mutex<Table>,
    changed: Condvar,
    servers: Mutex<Servers>,
    malformed: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Processes {
    /// Starts to take in what the kernel tells. The thread ends with the ring's shutdown.
    ///
    /// # Errors
    /// When the operating system has no thread to give.
    pub fn follow(self: &Arc<Self>, ring: RingReader) -> io::Result<JoinHandle<()>> {
        let processes = Arc::clone(self);
        thread::Builder::new()
            .name("processes".to_owned())
            .spawn(move || processes.run(ring))
    }

    fn run(&self, mut ring: RingReader) {
        let mut clock = Clock::now();
        let mut read = Instant::now();
        loop {
            match ring.wait(IDLE) {
                Ok(Wake::Shutdown) => break,
                Ok(Wake::Ready | Wake::TimedOut) => {}
                Err(error) => {
                    tracing::error!(%error, "processes are not followed any more");
                    break;
                }
            }
            if read.elapsed() >= CLOCK {
                (clock, read) = (Clock::now(), Instant::now());
            }
            while ring.next(|raw| self.take(raw, clock)) {}
        }
    }

    fn take(&self, raw: &[u8], clock: Clock) {
        let Some((call, event)) = ProcessEvent::decode(raw) else {
            self.malformed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        // First of all: the process may be about to go.
        let dossier = Dossier::read(event.pid, event.timestamp_ns);
        let time = clock.wall(event.timestamp_ns);
        lock(&self.table).admit(call, &event, time, dossier);
        self.changed.notify_all();
    }

    /// The process that opened a flow whose first packet was at `started`, as the kernel named it.
    /// `patient`: wait a moment for a call that has not been looked at yet, and look at a process whose
    /// call was not reported.
    #[must_use]
    pub fn caller(&self, process: &Process, started: Timestamp, patient: bool) -> Report {
        let deadline = Instant::now() + PATIENCE;
        let mut table = lock(&self.table);
        loop {
            if let Some(record) = table.caller(process, started) {
                return record.report();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !patient || left.is_zero() {
                break;
            }
            table = self
                .changed
                .wait_timeout(table, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(table);
        let mut report = Report::bare(process);
        report.doubt = Some(Doubt::NotReported);
        if patient {
            match Dossier::read_now(process.pid) {
                Ok(dossier) if Clock::now().wall(dossier.started()) <= started => {
                    report.dossier = Some(Arc::new(dossier));
                }
                Ok(_) => report.doubt = Some(Doubt::PidReused),
                Err(missing) => report.doubt = Some(missing.into()),
            }
        }
        report
    }

    /// The process that serves `local` at `place`, in the network namespace with that cookie.
    #[must_use]
    pub fn server(
        &self,
        place: Option<&Place<'_>>,
        namespace: u64,
        protocol: u8,
        [local, remote]: [SocketAddr; 2],
        patient: bool,
    ) -> Option<Report> {
        let found = place.and_then(|place| {
            let mut servers = lock(&self.servers);
            if patient {
                servers.find(place, protocol, local, remote)
            } else {
                servers.recall(place.pid, protocol, local)
            }
        });
        found.or_else(|| lock(&self.table).bound_to(namespace, protocol, local))
    }

    /// Figures for the `stats` event.
    #[must_use]
    pub fn figures(&self) -> [(&'static str, u64); 4] {
        let table = lock(&self.table);
        [
            ("remembered", table.len() as u64),
            ("evicted", table.evicted),
            ("gone_before_look", table.missed),
            ("events_malformed", self.malformed.load(Ordering::Relaxed)),
        ]
    }
}
