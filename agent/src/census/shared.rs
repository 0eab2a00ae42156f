//! What the census thread shares with those who ask it: the snapshot, and when it changes.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering, mpsc::SyncSender},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use hydrophone_inspect::packet::Owner;

use super::{
    cgroup::{Cgroups, FoundContainer, Group},
    identity::{Container, Evidence, Identity, Nested, UnknownReason},
    message::{Counters, Message, count},
    report::{CensusFigures, RuntimeApi, RuntimeReport, RuntimeState},
    snapshot::Snapshot,
};

/// cgroup ids whose meaning is remembered beside the snapshot.
const MAX_LOOKED_UP: usize = 4_096;
/// For how long an end that could not be completed is not waited for again.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// Shared state. Readers of the snapshot never wait; the locks are for the alert stage.
pub(super) struct Shared {
    snapshot: ArcSwap<Snapshot>,
    progress: Mutex<Progress>,
    changed: Condvar,
    runtimes: Mutex<Vec<RuntimeReport>>,
    pub(super) counters: Arc<Counters>,
    pub(super) cgroups: Cgroups,
    /// `None` is an id that no cgroup has.
    looked_up: Mutex<HashMap<u64, Option<Group>>>,
    given_up: Mutex<HashMap<(u64, u32), Instant>>,
    census: SyncSender<Message>,
    listeners: Mutex<Vec<Box<dyn Listener>>>,
}

/// Is shown every snapshot, in order, by the thread that made it: it must not wait for anything.
pub trait Listener: Send + Sync {
    /// A snapshot has been published.
    fn published(&self, snapshot: &Arc<Snapshot>);
}

impl<F: Fn(&Snapshot) + Send + Sync> Listener for F {
    fn published(&self, snapshot: &Arc<Snapshot>) {
        self(snapshot);
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The last snapshot was made after every runtime had been tried.
    settled: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(
        runtimes: Vec<RuntimeReport>,
        counters: Arc<Counters>,
        cgroups: Cgroups,
        census: SyncSender<Message>,
    ) -> Self {
        Self {
            snapshot: ArcSwap::default(),
            progress: Mutex::default(),
            changed: Condvar::new(),
            runtimes: Mutex::new(runtimes),
            counters,
            cgroups,
            looked_up: Mutex::default(),
            given_up: Mutex::default(),
            census,
            listeners: Mutex::default(),
        }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    pub(super) fn publish(&self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        let settled = !self.is_undecided();
        let mut progress = lock(&self.progress);
        self.snapshot.store(Arc::clone(&snapshot));
        count(&self.counters.refreshes);
        progress.settled = settled;
        for listener in &*lock(&self.listeners) {
            listener.published(&snapshot);
        }
        self.changed.notify_all();
    }

    /// Shows the listener the last snapshot, if one has been published, and all that follow.
    pub(super) fn listen(&self, listener: Box<dyn Listener>) {
        // No snapshot is published meanwhile.
        let _progress = lock(&self.progress);
        if self.counters.refreshes.load(Ordering::Relaxed) > 0 {
            listener.published(&self.snapshot.load());
        }
        lock(&self.listeners).push(listener);
    }

    /// Sets a runtime's state. Returns whether any has not been tried to the end yet.
    pub(super) fn set_runtime(&self, runtime: usize, state: RuntimeState) -> bool {
        if let Some(report) = lock(&self.runtimes).get_mut(runtime) {
            if report.state != state {
                tracing::info!(socket = %report.socket.display(), ?state, "container runtime");
            }
            report.state = state;
        }
        self.is_undecided()
    }

    /// Places of those that are no API but states on disk.
    pub(super) fn states(&self) -> BTreeSet<usize> {
        lock(&self.runtimes)
            .iter()
            .enumerate()
            .filter(|(_, report)| report.api == RuntimeApi::OciState)
            .map(|(place, _)| place)
            .collect()
    }

    fn is_undecided(&self) -> bool {
        lock(&self.runtimes)
            .iter()
            .any(|report| report.state == RuntimeState::Connecting)
    }

    pub(super) fn runtimes(&self) -> Vec<RuntimeReport> {
        lock(&self.runtimes).clone()
    }

    pub(super) fn figures(&self) -> CensusFigures {
        let snapshot = self.snapshot();
        let counters = &self.counters;
        CensusFigures {
            looks: counters.refreshes.load(Ordering::Relaxed),
            failures: counters.failures.load(Ordering::Relaxed),
            link_overruns: counters.link_overruns.load(Ordering::Relaxed),
            cgroup_overruns: counters.cgroup_overruns.load(Ordering::Relaxed),
            dropped: counters.dropped.load(Ordering::Relaxed),
            lookups: counters.lookups.load(Ordering::Relaxed),
            containers: snapshot.living().len() as u64,
            gone: snapshot.gone().len() as u64,
        }
    }

    /// Waits until `done` says so of a published snapshot; `false` when the time is over.
    fn wait_until(&self, deadline: Instant, mut done: impl FnMut(Progress) -> bool) -> bool {
        let mut progress = lock(&self.progress);
        loop {
            if done(*progress) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            progress = self
                .changed
                .wait_timeout(progress, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Whether every runtime has been tried, and nothing that one may still tell is missing.
    pub(super) fn is_informed(&self) -> bool {
        let pending = Some(UnknownReason::RuntimePending);
        lock(&self.progress).settled
            && self
                .snapshot
                .load()
                .living()
                .iter()
                .all(|one| one.unknown != pending)
    }

    pub(super) fn wait_for(
        &self,
        timeout: Duration,
        mut done: impl FnMut(&Snapshot) -> bool,
    ) -> bool {
        self.wait_until(Instant::now() + timeout, |_| done(&self.snapshot.load()))
    }

    /// Who is at one end, with a look at the cgroup tree for an id that the snapshot has not.
    pub(super) fn resolve(&self, owner: &Owner, address: IpAddr, scope: u64) -> Identity {
        let snapshot = self.snapshot();
        if !snapshot.knows_cgroup(owner.cgroup_id)
            && let Some(identity) = self.look_up(&snapshot, owner.cgroup_id)
        {
            return identity;
        }
        snapshot.resolve(owner, address, scope)
    }

    /// The same, and what is still on its way is waited for. Blocks for up to `timeout`.
    pub(super) fn resolve_settled(
        &self,
        owner: &Owner,
        address: IpAddr,
        scope: u64,
        timeout: Duration,
    ) -> Identity {
        let on_its_way = |identity: &Identity| match identity {
            Identity::Host(_) => self.snapshot.load().is_awaited(owner.cgroup_id),
            identity => is_on_its_way(identity),
        };
        let mut identity = self.resolve(owner, address, scope);
        let key = (owner.cgroup_id, owner.ifindex);
        if !on_its_way(&identity) || self.has_been_given_up(key) {
            return identity;
        }
        let arrived = self.wait_until(Instant::now() + timeout, |_| {
            identity = self.resolve(owner, address, scope);
            !on_its_way(&identity)
        });
        if !arrived {
            self.give_up(key);
        }
        identity
    }

    fn has_been_given_up(&self, key: (u64, u32)) -> bool {
        lock(&self.given_up)
            .get(&key)
            .is_some_and(|since| since.elapsed() < GIVEN_UP)
    }

    fn give_up(&self, key: (u64, u32)) {
        let mut given_up = lock(&self.given_up);
        if given_up.len() >= MAX_LOOKED_UP {
            given_up.clear();
        }
        given_up.insert(key, Instant::now());
    }

    fn look_up(&self, snapshot: &Snapshot, id: u64) -> Option<Identity> {
        match self.group_of(id)? {
            Group::Host { path, .. } => Some(snapshot.host(Some(&path))),
            Group::Container(mut found) => {
                let nested = found.nested.take();
                let known = snapshot.of_cgroup(found.cgroup_id).unwrap_or_else(|| {
                    // It is so new that the census has not heard of it.
                    let _ = self
                        .census
                        .try_send(Message::Group(Group::Container(found.clone())));
                    Identity::Container {
                        container: Arc::new(self.bare(found)),
                        or: Vec::new(),
                        by: Evidence::Cgroup,
                    }
                });
                Some(match nested {
                    Some(nested) => within(known, nested),
                    None => known,
                })
            }
        }
    }

    fn bare(&self, found: FoundContainer) -> Container {
        let can_be_asked = lock(&self.runtimes).iter().any(|report| {
            matches!(
                report.state,
                RuntimeState::Connecting | RuntimeState::Reachable { .. }
            )
        });
        Container {
            id: found.id,
            runtime: found.runtime,
            cgroup_id: found.cgroup_id,
            cgroup_path: found.path,
            unknown: Some(if can_be_asked {
                UnknownReason::RuntimePending
            } else {
                UnknownReason::NoRuntimeApi
            }),
            ..Container::default()
        }
    }

    /// What a cgroup id means. An id is never used twice: what was found stays true.
    fn group_of(&self, id: u64) -> Option<Group> {
        if let Some(known) = lock(&self.looked_up).get(&id) {
            return known.clone();
        }
        count(&self.counters.lookups);
        let group = self.cgroups.look_up(id);
        let mut looked_up = lock(&self.looked_up);
        if looked_up.len() >= MAX_LOOKED_UP {
            looked_up.clear();
        }
        looked_up.insert(id, group.clone());
        group
    }
}

/// The same container, with the one within it that is meant.
fn within(identity: Identity, nested: Nested) -> Identity {
    match identity {
        Identity::Container { container, or, by } => Identity::Container {
            container: Arc::new(Container {
                nested: Some(nested),
                ..Container::clone(&container)
            }),
            or,
            by,
        },
        other => other,
    }
}

/// Whether more will be known in a moment.
fn is_on_its_way(identity: &Identity) -> bool {
    match identity {
        Identity::Container { container, .. } => {
            container.unknown == Some(UnknownReason::RuntimePending)
        }
        Identity::Unknown(reason) => *reason == UnknownReason::LinkUnattributed,
        Identity::Host(_) => false,
    }
}
