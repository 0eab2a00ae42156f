//! Who is who: cgroup ids, links and addresses to containers, as an immutable snapshot.
//!
//! Three threads look at the host and one task at each runtime's API: `announce` tells of links,
//! `watch` of cgroups, `runtime` of names; `service` puts together what they say and publishes a
//! [`Snapshot`]. Readers never wait for any of them.

mod announce;
mod awaited;
pub mod cgroup;
mod dossier;
pub mod identity;
pub mod links;
mod listening;
mod message;
mod monitor;
pub(crate) mod namespace;
mod netlink;
pub mod owner;
mod report;
mod roster;
mod runtime;
mod service;
mod shared;
mod snapshot;
mod survey;
mod watch;

use std::{
    collections::HashSet,
    fs, io,
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use hydrophone_inspect::packet::Owner;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::mpsc;

pub use identity::{
    Container, Evidence, Host, Identity, POD_CONTAINER, PodSandbox, Runtime, UnknownReason,
};
pub use links::{Link, LinkEvent, LinkKind};
pub use listening::Listening;
pub use monitor::LinkMonitor;
pub use owner::{Ownership, Service as ContainerService, ServiceBy};
pub use report::{CensusFigures, RuntimeApi, RuntimeReport, RuntimeState};
pub use service::node_name;
pub use shared::Listener;
pub use snapshot::Snapshot;

/// The kernel's cookie of the network namespace of the calling thread; 0 when it does not tell.
#[must_use]
pub fn own_namespace() -> u64 {
    namespace::cookie_here().unwrap_or_default()
}

use cgroup::{CgroupMounts, Cgroups};
use message::{Counters, Message};
use runtime::Source;
use service::Service;
use shared::Shared;
use watch::Watch;

/// How the census works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CensusConfig {
    /// Sockets of Docker Engine's API, which podman speaks, too. Those that are not there are
    /// looked for again.
    pub docker_sockets: Vec<PathBuf>,
    /// Sockets on which containerd or CRI-O speak CRI. Likewise.
    pub cri_sockets: Vec<PathBuf>,
    /// Directories in which OCI runtimes keep the states of their containers. Likewise.
    pub oci_state: Vec<PathBuf>,
    /// How long a container that has gone stays known.
    pub retention: Duration,
    /// How long an alert may wait for the name of a container that has just started.
    pub patience: Duration,
    /// What this host is called; the kernel's node name when it is not given.
    pub host: Option<String>,
    /// Containers that have gone and are kept; the oldest go first.
    pub max_gone: usize,
    /// Containers that are there and are kept; more are counted as dropped.
    pub max_live: usize,
}

impl Default for CensusConfig {
    fn default() -> Self {
        Self {
            docker_sockets: ["/var/run/docker.sock", "/run/podman/podman.sock"]
                .map(PathBuf::from)
                .into(),
            cri_sockets: [
                "/run/containerd/containerd.sock",
                "/run/crio/crio.sock",
                "/run/k3s/containerd/containerd.sock",
            ]
            .map(PathBuf::from)
            .into(),
            oci_state: OCI_STATE.map(PathBuf::from).into(),
            retention: Duration::from_secs(3_600),
            patience: Duration::from_millis(300),
            host: None,
            max_gone: 10_000,
            max_live: 10_000,
        }
    }
}

impl CensusConfig {
    /// The runtimes, each once although paths may lead to the same one.
    fn sources(&self) -> Vec<Source> {
        let mut seen = HashSet::new();
        let real = |path: &PathBuf| fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        [
            (RuntimeApi::Docker, &self.docker_sockets),
            (RuntimeApi::Cri, &self.cri_sockets),
            (RuntimeApi::OciState, &self.oci_state),
        ]
        .into_iter()
        .flat_map(|(api, sockets)| sockets.iter().map(move |socket| (api, socket)))
        .filter(|(_, socket)| seen.insert(real(socket)))
        .map(|(api, socket)| Source {
            api,
            socket: socket.clone(),
        })
        .collect()
    }
}

/// Where OCI runtimes keep their states: runc and youki by themselves, runc for containerd and for
/// Docker, crun, and the storage of podman and CRI-O.
pub const OCI_STATE: [&str; 6] = [
    "/run/runc",
    "/run/containerd/runc",
    "/run/docker/runtime-runc",
    "/run/crun",
    "/run/youki",
    "/var/lib/containers/storage/overlay-containers",
];

/// News that may wait for the census thread.
const QUEUE: usize = 4_096;
/// Questions that may wait for a runtime.
const QUESTIONS: usize = 1_024;

/// The census. Its threads end when it is dropped.
pub struct Census {
    shared: Arc<Shared>,
    news: SyncSender<Message>,
    patience: Duration,
    /// Runtimes and what they are to be asked, until [`Census::run`] takes them.
    followed: Mutex<Vec<(Source, mpsc::Receiver<String>)>>,
    stop: Arc<OwnedFd>,
    threads: Vec<JoinHandle<()>>,
}

impl Census {
    /// Starts looking at the host. What is there is known some milliseconds later; the runtimes
    /// are asked by [`Census::run`].
    ///
    /// # Errors
    /// When there is no cgroup2 hierarchy, the kernel does not announce links, or a thread cannot
    /// be made.
    pub fn new(config: &CensusConfig) -> io::Result<Self> {
        let cgroups = Cgroups::find()?;
        let legacy = CgroupMounts::read()?.legacy;
        let counters = Arc::<Counters>::default();
        let (news, inbox) = sync_channel(QUEUE);
        let sources = config.sources();
        let reports = sources
            .iter()
            .map(|source| RuntimeReport::new(source.api, source.socket.clone()))
            .collect();
        let (askers, asked): (Vec<_>, Vec<_>) =
            sources.iter().map(|_| mpsc::channel(QUESTIONS)).unzip();
        let shared = Shared::new(
            reports,
            Arc::clone(&counters),
            cgroups.clone(),
            news.clone(),
        );
        let mut census = Self {
            shared: Arc::new(shared),
            news: news.clone(),
            patience: config.patience,
            followed: Mutex::new(sources.into_iter().zip(asked).collect()),
            stop: Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?),
            threads: Vec::new(),
        };
        let monitor = LinkMonitor::new()?;
        let (census_news, link_counters) = (news.clone(), Arc::clone(&counters));
        census.spawn("census-links", move |stop| {
            announce::links(monitor, &census_news, &link_counters, stop.as_fd());
        })?;
        match Watch::open(cgroups.clone(), news, counters) {
            Ok(watch) => census.spawn("census-cgroups", move |stop| watch.run(stop.as_fd()))?,
            Err(error) => tracing::warn!(%error, "cgroups are not followed, only listed"),
        }
        let service = Service::new(config, cgroups, legacy, Arc::clone(&census.shared), askers);
        census.spawn("census", move |_| service.run(&inbox))?;
        Ok(census)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce(&OwnedFd) + Send + 'static) -> io::Result<()> {
        let stop = Arc::clone(&self.stop);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&stop))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Follows the runtimes. Never returns; drop it to end. Nothing but names, images and labels
    /// depends on it.
    pub async fn run(self: Arc<Self>) {
        let followed = {
            let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *followed)
        };
        // Ends with this future: dropping the set aborts its tasks.
        let mut followers = tokio::task::JoinSet::new();
        for (place, (source, asked)) in followed.into_iter().enumerate() {
            followers.spawn(source.follow(place, self.news.clone(), asked));
        }
        while followers.join_next().await.is_some() {}
        std::future::pending::<()>().await;
    }

    /// The cgroup2 hierarchy.
    #[must_use]
    pub fn cgroups(&self) -> &Cgroups {
        &self.shared.cgroups
    }

    /// Who is who now. Never blocks.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot()
    }

    /// Who is at one end of a flow ([`Snapshot::resolve`]). A cgroup id that no snapshot has is
    /// looked up in the cgroup tree, which takes some microseconds.
    #[must_use]
    pub fn resolve_now(&self, owner: &Owner, address: IpAddr, scope: u64) -> Identity {
        self.shared.resolve(owner, address, scope)
    }

    /// Like [`Census::resolve_now`], but waits up to [`CensusConfig::patience`] for the name of a
    /// container that has just started. Blocks: for alerts, not for packets. An end that could not
    /// be completed is not waited for again for some seconds.
    #[must_use]
    pub fn resolve(&self, owner: &Owner, address: IpAddr, scope: u64) -> Identity {
        self.shared
            .resolve_settled(owner, address, scope, self.patience)
    }

    /// Whether every runtime that is configured has been asked, and what it said is in the
    /// snapshot.
    #[must_use]
    pub fn is_informed(&self) -> bool {
        self.shared.is_informed()
    }

    /// Waits for a snapshot of which `done` is true; false when the time is over. Blocks.
    #[must_use]
    pub fn wait_for(&self, timeout: Duration, done: impl FnMut(&Snapshot) -> bool) -> bool {
        self.shared.wait_for(timeout, done)
    }

    /// Has every snapshot shown to a listener, beginning with the last one.
    pub fn listen(&self, listener: Box<dyn Listener>) {
        self.shared.listen(listener);
    }

    /// Has everything looked at again. Returns at once.
    pub fn look_again(&self) {
        // A queue that is full will be followed by a look anyway.
        let _ = self.news.try_send(Message::Refresh);
    }

    /// The runtimes' APIs, and whether they answer.
    #[must_use]
    pub fn runtimes(&self) -> Vec<RuntimeReport> {
        self.shared.runtimes()
    }

    /// Figures about the census itself.
    #[must_use]
    pub fn figures(&self) -> CensusFigures {
        self.shared.figures()
    }
}

impl Drop for Census {
    fn drop(&mut self) {
        // Should the queue be full, the end comes after what is in it.
        let _ = self.news.send(Message::Stop);
        let _ = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl crate::alert::Resolve for Census {
    fn resolve(&self, owner: &Owner, address: IpAddr, scope: u64) -> Identity {
        Self::resolve(self, owner, address, scope)
    }

    fn interface(&self, ifindex: u32) -> Option<Arc<str>> {
        self.snapshot().interface(ifindex)
    }
}
