//! Which process is at each end: looked at when the kernel tells of a call, on a thread of its own,
//! and asked by the alert stage. Never by an inspection thread.

mod follow;
mod judge;
mod procfs;
mod report;
mod resolver;
mod serving;
mod sockets;
mod table;
mod unix;
mod watch;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hydrophone_inspect::{Process, Timestamp};

use crate::probe::Clock;

pub use follow::{Follower, Watcher};
pub use procfs::{Ancestor, Dossier, Missing};
pub use report::{CANDIDATES_MAX, Candidate, Doubt, Report};
pub use resolver::HostResolver;
pub use serving::Place;

use serving::Servers;
use table::Table;
use watch::Counts;

/// How long an alert waits for a call that has not been looked at yet.
const PATIENCE: Duration = Duration::from_millis(100);

/// What is known of processes.
#[derive(Debug, Default)]
pub struct Processes {
    table: Mutex<Table>,
    changed: Condvar,
    servers: Mutex<Servers>,
    malformed: AtomicU64,
    watched: Arc<Counts>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Processes {
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
    pub fn figures(&self) -> [(&'static str, u64); 8] {
        let table = lock(&self.table);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let watched = &self.watched;
        [
            ("remembered", table.len() as u64),
            ("evicted", table.evicted),
            ("gone_before_look", table.missed),
            ("events_malformed", count(&self.malformed)),
            ("unix_connects", count(&watched.unix)),
            ("unix_server_unknown", count(&watched.unserved)),
            ("watch_lost", count(&watched.lost)),
            ("watch_failures", count(&watched.failures)),
        ]
    }
}
