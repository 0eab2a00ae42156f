//! What cgroupfs, procfs and netlink show of the containers: processes, namespaces, links and
//! addresses.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    cgroup::{Cgroups, tree},
    links::LinkTable,
    namespace::{Namespace, View, look_here},
    netlink::Connection,
    roster::{Member, Network, Roster},
};

/// How long a new container gets to have its links and addresses set up, and is looked at often.
const SETUP: Duration = Duration::from_secs(2);
/// How often it is looked at meanwhile.
const SETUP_INTERVAL: Duration = Duration::from_millis(25);

/// What has to be looked at again. The rest is as it was when last looked at.
#[derive(Debug, Default)]
pub(super) struct Stale {
    /// Everything.
    pub(super) all: bool,
    /// The host's links and addresses.
    pub(super) host: bool,
    /// Namespaces behind these links.
    pub(super) links: BTreeSet<u32>,
    /// These containers.
    pub(super) containers: HashSet<String>,
}

/// Looks at the host.
pub(super) struct Surveyor {
    cgroups: Cgroups,
    legacy: Option<PathBuf>,
    connection: Option<Connection>,
    own_inode: u64,
    /// By inode of the namespace.
    views: HashMap<u64, View>,
    /// Calls that failed since [`Surveyor::take_failures`].
    failures: u64,
    /// The host's links and addresses could be read when that was last tried.
    host_is_known: bool,
}

impl Surveyor {
    pub(super) fn new(cgroups: Cgroups, legacy: Option<PathBuf>) -> Self {
        Self {
            cgroups,
            legacy,
            connection: None,
            own_inode: Namespace::own().map_or(0, |own| own.inode),
            views: HashMap::new(),
            failures: 0,
            host_is_known: false,
        }
    }

    pub(super) fn take_failures(&mut self) -> u64 {
        std::mem::take(&mut self.failures)
    }

    /// Walks the cgroup trees and reconciles the roster with them. Returns how many directories
    /// were left out.
    pub(super) fn walk(&self, roster: &mut Roster, now: u64) -> u64 {
        let tree = tree::walk(self.cgroups.root(), "", self.cgroups.declared());
        let mut skipped = tree.skipped;
        let mut found = tree.containers;
        roster.set_host_groups(tree.host);
        if let Some(legacy) = &self.legacy {
            let known: HashSet<_> = found.iter().map(|found| found.id.clone()).collect();
            let tree = tree::walk(legacy, "", self.cgroups.declared());
            skipped += tree.skipped;
            found.extend(
                tree.containers
                    .into_iter()
                    .filter(|found| !known.contains(&found.id))
                    // Who is killed with its container's runtime leaves empty cgroups behind.
                    .filter(|found| tree::first_process(legacy, &found.path).is_some())
                    .map(|mut found| {
                        found.cgroup_id = 0;
                        found
                    }),
            );
        }
        roster.reconcile(found, now);
        skipped
    }

    /// Whether this cgroup is really not there: an announcement may be older than the cgroup that
    /// has the path now.
    pub(super) fn has_gone(&self, path: &str) -> bool {
        tree::id_of(&self.cgroups.root().join(path)).is_err()
    }

    /// The first of these cgroups that is there, as a path below the root, with its id: 0 when it is
    /// in the v1 hierarchy alone. They may begin with a mount point.
    pub(super) fn locate(&self, cgroups: &[String]) -> Option<(String, u64)> {
        let below = |root: &Path, cgroup: &str| {
            let inner = Path::new(cgroup).strip_prefix(root).ok();
            let path = inner.and_then(Path::to_str).unwrap_or(cgroup);
            let path = path.trim_matches('/');
            let is_plain = !path.split('/').any(|part| part.is_empty() || part == "..");
            is_plain.then(|| path.to_owned())
        };
        let there = |root: &Path| {
            cgroups.iter().find_map(|cgroup| {
                let path = below(root, cgroup)?;
                let id = tree::id_of(&root.join(&path)).ok()?;
                Some((path, id))
            })
        };
        there(self.cgroups.root()).or_else(|| {
            let (path, _) = there(self.legacy.as_deref()?)?;
            Some((path, 0))
        })
    }

    /// Looks at processes, namespaces and links. Returns after how long to look again when some
    /// container is still being set up.
    pub(super) fn networks(&mut self, roster: &mut Roster, stale: &Stale) -> Option<Duration> {
        if stale.all || stale.host || !self.host_is_known {
            self.host_is_known = self.host(roster);
        }
        let links = Arc::clone(&roster.links);
        let told = roster.told_pids();
        let mut in_setup = false;
        let mut seen = HashSet::new();
        let mut looked = HashSet::new();
        for member in roster.members() {
            let told = told.get(&member.found.id).copied().unwrap_or(0);
            member.pid = self.process_of(member, told);
            if member.pid != 0
                && let Ok(namespace) = Namespace::of_process(member.pid)
            {
                let inode = namespace.inode;
                let is_new = member.network.inode != inode;
                let unsettled =
                    member.network.addresses.is_empty() && member.since.elapsed() < SETUP;
                let touched = member
                    .network
                    .links
                    .iter()
                    .any(|(ifindex, _)| stale.links.contains(ifindex));
                let wanted = stale.all
                    || is_new
                    || unsettled
                    || touched
                    || stale.containers.contains(&member.found.id);
                let look = (wanted || !self.views.contains_key(&inode)) && looked.insert(inode);
                member.network = self.network(&namespace, &links, look);
            }
            seen.insert(member.network.inode);
            in_setup |= member.is_in_setup();
        }
        self.views.retain(|inode, _| seen.contains(inode));
        in_setup.then_some(SETUP_INTERVAL)
    }

    /// The host's own links and addresses; whether both could be read.
    fn host(&mut self, roster: &mut Roster) -> bool {
        let failures = self.failures;
        match self.connected(Connection::links) {
            Ok(links) => {
                if *roster.links != links {
                    roster.links = Arc::new(links);
                }
            }
            Err(error) => self.failed("the host's links", &error),
        }
        match look_here(None) {
            Ok(view) => {
                roster.host = Network {
                    inode: self.own_inode,
                    cookie: view.cookie,
                    host: true,
                    links: Vec::new(),
                    addresses: view.addresses,
                    macs: view.macs,
                    listening: view.listening,
                    bare: view.bare,
                }
            }
            Err(error) => self.failed("the host's addresses", &error),
        }
        self.failures == failures
    }

    /// The main process: the one that the runtime told, if it is the container's, else the one
    /// known, else the first found.
    fn process_of(&self, member: &Member, told: u32) -> u32 {
        let path = &member.found.path;
        for pid in [told, member.pid] {
            if pid != 0 && tree::holds(pid, path) {
                return pid;
            }
        }
        let root = if member.found.cgroup_id == 0 {
            self.legacy.as_deref()
        } else {
            Some(self.cgroups.root())
        };
        root.and_then(|root| tree::first_process(root, path))
            .unwrap_or(0)
    }

    fn network(&mut self, namespace: &Namespace, links: &LinkTable, look: bool) -> Network {
        let host = namespace.inode == self.own_inode;
        if look && !host {
            match Namespace::own().and_then(|host| namespace.look(host.as_fd())) {
                Ok(view) => {
                    self.views.insert(namespace.inode, view);
                }
                Err(error) => self.failed("a network namespace", &error),
            }
        }
        let view = self
            .views
            .get(&namespace.inode)
            .cloned()
            .unwrap_or_default();
        let links = if host {
            Vec::new()
        } else {
            self.links_to(namespace.as_fd(), links)
        };
        Network {
            inode: namespace.inode,
            cookie: view.cookie,
            host,
            links,
            addresses: view.addresses,
            macs: view.macs,
            listening: view.listening,
            bare: view.bare,
        }
    }

    /// The host's veths whose other end is in this namespace. The kernel numbers the namespaces
    /// that the host's links lead to: nothing that a container does in its own can forge it.
    fn links_to(&mut self, namespace: BorrowedFd<'_>, links: &LinkTable) -> Vec<(u32, String)> {
        let id = match self.connected(|connection| connection.nsid_of(namespace)) {
            Ok(id) => id,
            Err(error) => {
                self.failed("the number of a network namespace", &error);
                None
            }
        };
        links
            .values()
            .filter(|link| link.is_container_side() && link.peer_nsid == id)
            .map(|link| (link.ifindex, link.name.clone()))
            .collect()
    }

    /// Does something with the connection; a failure closes it, for its answers may be mixed up.
    fn connected<T>(
        &mut self,
        act: impl FnOnce(&mut Connection) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open()?,
        };
        let result = act(&mut connection)?;
        self.connection = Some(connection);
        Ok(result)
    }

    fn failed(&mut self, what: &str, error: &io::Error) {
        self.failures += 1;
        tracing::debug!(%error, "{what} cannot be read");
    }
}

impl Member {
    /// Whether it is new and not all of its network is there yet.
    fn is_in_setup(&self) -> bool {
        self.since.elapsed() < SETUP && !self.network.host && self.network.addresses.is_empty()
    }
}
