//! Who is who: cgroup ids, links and addresses to containers, as an immutable snapshot.
//!
//! A task follows the runtimes and the host and publishes a new [`Snapshot`] when something has
//! changed. Readers take the latest one without waiting.

mod build;
pub mod cgroup;
pub mod docker;
pub mod identity;
pub mod links;
mod snapshot;

use std::{
    collections::{HashMap, HashSet},
    io,
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use hydrophone_inspect::Owner;
use tokio::{
    sync::{Notify, mpsc},
    time,
};

pub use identity::{Container, Evidence, Host, Identity, Runtime, UnknownReason};
pub use snapshot::Snapshot;

use cgroup::Cgroups;
use docker::{Dossier, News};

/// A look at the host even when nothing was announced.
const IDLE: Duration = Duration::from_secs(5);
/// After news the host is looked at this often, for this long: a link is announced before the
/// container has its cgroup, addresses and name.
const SETTLE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// Dossiers kept of one host.
const MAX_DOSSIERS: usize = 16_384;
/// Containers whose name the alert stage has waited for in vain, so that it waits only once.
const MAX_WAITED: usize = 4_096;

/// What the census needs to know.
#[derive(Clone, Debug)]
pub struct CensusConfig {
    /// Sockets of Docker Engine's API.
    pub docker_sockets: Vec<PathBuf>,
    /// How long a container that has gone stays known.
    pub retention: Duration,
    /// How long an alert may wait for the name of a container that has just started.
    pub patience: Duration,
}

impl Default for CensusConfig {
    fn default() -> Self {
        Self {
            docker_sockets: vec![PathBuf::from("/var/run/docker.sock")],
            retention: Duration::from_secs(3_600),
            patience: Duration::from_millis(300),
        }
    }
}

/// Figures about the census itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CensusFigures {
    /// Looks at the host.
    pub looks: u64,
    /// Containers known now.
    pub containers: u64,
    /// Of those, gone.
    pub gone: u64,
    /// Dead containers forgotten before their time, for want of room.
    pub forgotten: u64,
}

/// The census. Shared by all who ask; [`Census::run`] keeps it true.
pub struct Census {
    config: CensusConfig,
    cgroups: Cgroups,
    snapshot: ArcSwap<Snapshot>,
    wake: Notify,
    published: (Mutex<u64>, Condvar),
    runtimes: Mutex<HashMap<PathBuf, Result<String, String>>>,
    waited: Mutex<HashSet<u64>>,
    looks: AtomicU64,
    forgotten: AtomicU64,
}

impl Census {
    /// Takes a first look at the host, without any runtime.
    ///
    /// # Errors
    /// When there is no cgroup2 hierarchy.
    pub fn new(config: CensusConfig) -> io::Result<Self> {
        let cgroups = Cgroups::find()?;
        let empty = Snapshot::new(cgroup::hostname().into(), Vec::new(), &[], HashSet::new());
        let census = Self {
            config,
            cgroups,
            snapshot: ArcSwap::from_pointee(empty),
            wake: Notify::new(),
            published: (Mutex::new(0), Condvar::new()),
            runtimes: Mutex::new(HashMap::new()),
            waited: Mutex::new(HashSet::new()),
            looks: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
        };
        census.look(&HashMap::new());
        Ok(census)
    }

    /// The cgroup2 hierarchy.
    #[must_use]
    pub fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }

    /// The latest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Asks for a new look, e.g. because a link has appeared. Returns at once.
    pub fn look_again(&self) {
        self.wake.notify_one();
    }

    /// Each Docker socket, with its version or why it cannot be asked.
    #[must_use]
    pub fn runtimes(&self) -> Vec<(PathBuf, Result<String, String>)> {
        let runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut runtimes: Vec<_> = runtimes
            .iter()
            .map(|(socket, state)| (socket.clone(), state.clone()))
            .collect();
        runtimes.sort();
        runtimes
    }

    /// Whether every runtime that is configured has been asked, and what it said is in the snapshot.
    #[must_use]
    pub fn is_informed(&self) -> bool {
        let asked = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
        let answering = asked.values().filter(|state| state.is_ok()).count();
        let all = self
            .config
            .docker_sockets
            .iter()
            .all(|socket| asked.contains_key(socket));
        drop(asked);
        let nameless = |container: &Arc<Container>| {
            container.gone_since.is_none() && container.unknown.is_some()
        };
        all && (answering == 0 || !self.snapshot.load().containers().iter().any(nameless))
    }

    /// Figures about the census itself.
    #[must_use]
    pub fn figures(&self) -> CensusFigures {
        let snapshot = self.snapshot.load();
        let gone = snapshot
            .containers()
            .iter()
            .filter(|c| c.gone_since.is_some())
            .count();
        CensusFigures {
            looks: self.looks.load(Ordering::Relaxed),
            containers: snapshot.containers().len() as u64,
            gone: gone as u64,
            forgotten: self.forgotten.load(Ordering::Relaxed),
        }
    }

    /// Follows runtimes and host. Never returns; drop it to end.
    pub async fn run(self: Arc<Self>) {
        let (sender, mut news) = mpsc::channel(1_024);
        // Ends with this future: dropping the set aborts its tasks.
        let mut followers = tokio::task::JoinSet::new();
        for socket in &self.config.docker_sockets {
            followers.spawn(docker::follow(socket.clone(), sender.clone()));
        }
        let mut dossiers: HashMap<String, Dossier> = HashMap::new();
        let mut settled = Instant::now();
        loop {
            let pause = if Instant::now() < settled {
                SETTLE.0
            } else {
                IDLE
            };
            tokio::select! {
                Some(first) = news.recv() => {
                    self.note(first, &mut dossiers);
                    while let Ok(next) = news.try_recv() {
                        self.note(next, &mut dossiers);
                    }
                    settled = Instant::now() + SETTLE.1;
                }
                () = self.wake.notified() => settled = Instant::now() + SETTLE.1,
                () = time::sleep(pause) => {}
            }
            // Reading procfs and entering namespaces blocks: not on the runtime's thread.
            let census = Arc::clone(&self);
            let task = tokio::task::spawn_blocking(move || {
                census.look(&dossiers);
                dossiers
            });
            match task.await {
                Ok(returned) => dossiers = returned,
                Err(error) => {
                    tracing::error!(%error, "the census failed to look at the host");
                    dossiers = HashMap::new();
                }
            }
        }
    }

    fn note(&self, news: News, dossiers: &mut HashMap<String, Dossier>) {
        match news {
            News::Reachable(socket, state) => {
                let mut runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
                let before = runtimes.insert(socket.clone(), state.clone());
                if before.as_ref().map(Result::is_ok) != Some(state.is_ok()) {
                    match state {
                        Ok(version) => {
                            tracing::info!(socket = %socket.display(), version, "following Docker");
                        }
                        Err(error) => {
                            tracing::debug!(socket = %socket.display(), error, "no Docker");
                        }
                    }
                }
            }
            News::Known(id, dossier) => {
                if dossiers.len() >= MAX_DOSSIERS {
                    let snapshot = self.snapshot.load();
                    dossiers.retain(|id, _| {
                        snapshot
                            .container(id)
                            .is_some_and(|c| c.gone_since.is_none())
                    });
                }
                dossiers.insert(id, *dossier);
            }
        }
    }

    /// Looks at the host and publishes what it sees.
    fn look(&self, dossiers: &HashMap<String, Dossier>) {
        let api = self
            .runtimes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .any(Result::is_ok);
        let previous = self.snapshot.load();
        let known = build::Knowledge {
            previous: &previous,
            dossiers,
            api,
            now: crate::probe::Clock::wall_now().0 / 1_000_000_000,
            retention: self.config.retention.as_secs(),
        };
        let (snapshot, forgotten) = build::look(&self.cgroups, &known);
        self.snapshot.store(Arc::new(snapshot));
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.forgotten.fetch_add(forgotten, Ordering::Relaxed);
        let (version, changed) = &self.published;
        *version.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        changed.notify_all();
    }

    /// Who is at one end of a flow: by cgroup, else by link, else by address.
    ///
    /// For alerts, not for packets: it may read cgroupfs, and it waits, once for each container and
    /// no longer than [`CensusConfig::patience`], for the name of one that has just started.
    #[must_use]
    pub fn resolve(&self, owner: &Owner, address: IpAddr, scope: u64) -> Identity {
        let identity = self.resolve_now(owner, address, scope);
        let Identity::Container { container, .. } = &identity else {
            return identity;
        };
        if container.unknown != Some(UnknownReason::NotInRuntime) || !self.first_wait(container) {
            return identity;
        }
        let deadline = Instant::now() + self.config.patience;
        let mut identity = identity;
        while matches!(&identity, Identity::Container { container, .. } if container.unknown.is_some())
            && self.wait_for_look(deadline)
        {
            identity = self.resolve_now(owner, address, scope);
        }
        identity
    }

    fn resolve_now(&self, owner: &Owner, address: IpAddr, scope: u64) -> Identity {
        let snapshot = self.snapshot.load();
        if owner.cgroup_id == 0 {
            return snapshot.by_place(owner, address, scope);
        }
        let found = |container: &Arc<Container>| Identity::Container {
            container: Arc::clone(container),
            or: Vec::new(),
            by: Evidence::Cgroup,
        };
        if let Some(container) = snapshot.by_cgroup(owner.cgroup_id) {
            return found(container);
        }
        let Some(path) = self.cgroups.path_of(owner.cgroup_id) else {
            // It has gone, unseen: the link or the address may still tell.
            let place = snapshot.by_place(owner, address, scope);
            return match place {
                Identity::Unknown(_) => Identity::Unknown(UnknownReason::CgroupGone),
                known => known,
            };
        };
        match cgroup::container_of(&path) {
            None => snapshot.host(Some(path)),
            Some(inside) => match snapshot.container(inside.id) {
                Some(container) => found(container),
                None => {
                    self.look_again();
                    found(&Arc::new(build::newcomer(
                        inside,
                        &path,
                        owner.cgroup_id,
                        self.has_api(),
                    )))
                }
            },
        }
    }

    fn has_api(&self) -> bool {
        let runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
        runtimes.values().any(Result::is_ok)
    }

    /// Whether this container has not been waited for before.
    fn first_wait(&self, container: &Container) -> bool {
        let mut waited = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        if waited.len() >= MAX_WAITED {
            waited.clear();
        }
        waited.insert(container.cgroup_id)
    }

    /// Waits for the next published snapshot; false when the deadline has passed.
    fn wait_for_look(&self, deadline: Instant) -> bool {
        let (version, changed) = &self.published;
        let guard = version.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = *guard;
        let left = deadline.saturating_duration_since(Instant::now());
        let (guard, _) = changed
            .wait_timeout_while(guard, left, |version| *version == seen)
            .unwrap_or_else(PoisonError::into_inner);
        *guard != seen
    }
}

impl crate::alert::Resolve for Census {
    fn resolve(&self, owner: &Owner, address: IpAddr, scope: u64) -> Identity {
        Self::resolve(self, owner, address, scope)
    }

    fn interface(&self, ifindex: u32) -> Option<Arc<str>> {
        self.snapshot.load().links.get(&ifindex).cloned()
    }
}
