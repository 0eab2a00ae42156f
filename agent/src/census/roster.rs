//! The census' own state: which containers are there, what is known of each, who has gone.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use super::{
    awaited::Awaited,
    cgroup::{FoundContainer, path::is_below, tree},
    dossier::{Dossier, describe},
    identity::{Container, Runtime, UnknownReason},
    links::LinkTable,
    listening::Listening,
    snapshot::{Parts, Snapshot},
};

/// Bounds of what is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Seconds that a container which has gone stays known.
    pub(super) retention: u64,
    /// Containers that have gone and are kept.
    pub(super) gone: usize,
    /// Containers that are kept while they are there.
    pub(super) live: usize,
}

/// Network of a container, as seen from the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) inode: u64,
    pub(super) cookie: u64,
    pub(super) host: bool,
    pub(super) links: Vec<(u32, String)>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) macs: Vec<[u8; 6]>,
    pub(super) listening: Vec<Listening>,
    /// Indices, in there, of links in front of which no link of the host can be hooked.
    pub(super) bare: Vec<u32>,
}

/// One container that is there.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) found: FoundContainer,
    /// 0 until a process is found.
    pub(super) pid: u32,
    pub(super) network: Network,
    /// When it was first seen.
    pub(super) since: Instant,
    /// Whether this agent runs in it.
    is_own: bool,
    /// Runtimes (by place in the configuration) that do not know it.
    denied: BTreeSet<usize>,
    published: Option<Arc<Container>>,
}

/// What the runtimes' APIs can be asked now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runtimes {
    /// Those that answer, by place in the configuration.
    pub(super) reachable: BTreeSet<usize>,
    /// Those whose socket is there and that do not answer as they should.
    pub(super) unreachable: BTreeSet<usize>,
    /// Those of all that are no API: they tell what is on disk.
    pub(super) states: BTreeSet<usize>,
    /// Whether some have not been tried to the end yet.
    pub(super) undecided: bool,
}

/// All that the census keeps.
#[derive(Debug)]
pub(super) struct Roster {
    limits: Limits,
    hostname: Arc<str>,
    /// By cgroup path.
    members: HashMap<String, Member>,
    /// By container id.
    dossiers: HashMap<String, Dossier>,
    /// Oldest first.
    gone: VecDeque<Arc<Container>>,
    pub(super) runtimes: Runtimes,
    pub(super) links: Arc<LinkTable>,
    pub(super) host: Network,
    host_groups: Arc<HashMap<u64, Arc<str>>>,
    pub(super) awaited: Awaited,
    root_cgroup: u64,
    /// What did not fit: containers that are there, that have gone, and host cgroups.
    pub(super) dropped: u64,
}

/// Host cgroups kept by id.
const MAX_HOST_GROUPS: usize = 65_536;

impl Roster {
    pub(super) fn new(limits: Limits, hostname: Arc<str>, root_cgroup: u64) -> Self {
        Self {
            limits,
            hostname,
            members: HashMap::new(),
            dossiers: HashMap::new(),
            gone: VecDeque::new(),
            runtimes: Runtimes::default(),
            links: Arc::default(),
            host: Network::default(),
            host_groups: Arc::default(),
            awaited: Awaited::default(),
            root_cgroup,
            dropped: 0,
        }
    }

    /// Takes a container in; one with the same path but another cgroup id has gone then.
    /// Returns whether it is new.
    pub(super) fn admit(&mut self, found: FoundContainer, now: u64) -> bool {
        if let Some(member) = self.members.get(&found.path) {
            if member.found.cgroup_id == found.cgroup_id {
                return false;
            }
            let path = found.path.clone();
            self.dismiss(&path, now);
        }
        if self.members.len() >= self.limits.live {
            self.dropped += 1;
            return false;
        }
        let is_own = tree::holds(std::process::id(), &found.path);
        self.members.insert(
            found.path.clone(),
            Member {
                is_own,
                found,
                pid: 0,
                network: Network::default(),
                since: Instant::now(),
                denied: BTreeSet::new(),
                published: None,
            },
        );
        true
    }

    /// The container's cgroup has been removed: it has gone, and stays known.
    pub(super) fn dismiss(&mut self, path: &str, now: u64) {
        let Some(member) = self.members.remove(path) else {
            return;
        };
        let mut container = self.container_of(&member);
        container.gone_since = Some(now);
        container.pid = 0;
        self.bury(container);
    }

    /// A runtime says that a container has ended. One that lived too briefly for its cgroup to be
    /// seen is known by what the runtime told.
    pub(super) fn ended(&mut self, id: &str, now: u64) {
        let is_known = self.members.values().any(|member| member.found.id == id)
            || self.gone.iter().any(|container| container.id == id);
        if let Some(dossier) = self.dossiers.get(id).filter(|_| !is_known) {
            let mut container = Container {
                id: id.to_owned(),
                gone_since: Some(now),
                ..Container::default()
            };
            describe(&mut container, dossier);
            self.bury(container);
        }
    }

    fn bury(&mut self, container: Container) {
        if self.gone.len() >= self.limits.gone {
            self.gone.pop_front();
            self.dropped += 1;
        }
        if let Some(dossier) = self.dossiers.get_mut(&container.id) {
            // Others are not started again, and not every runtime tells that one is removed.
            dossier.removed |= !matches!(dossier.kind, Runtime::Docker | Runtime::Podman);
        }
        self.drop_removed(&container.id);
        if self.limits.gone > 0 {
            self.gone.push_back(Arc::new(container));
        }
    }

    /// Reconciles with a walk of the whole tree.
    pub(super) fn reconcile(&mut self, found: Vec<FoundContainer>, now: u64) {
        let there: BTreeSet<_> = found.iter().map(|found| found.path.clone()).collect();
        let left: Vec<_> = self
            .members
            .keys()
            .filter(|path| !there.contains(*path))
            .cloned()
            .collect();
        for path in left {
            self.dismiss(&path, now);
        }
        for found in found {
            self.admit(found, now);
        }
    }

    /// Sets the host's cgroups: path and id.
    pub(super) fn set_host_groups(&mut self, groups: Vec<(String, u64)>) {
        self.dropped += groups.len().saturating_sub(MAX_HOST_GROUPS) as u64;
        let groups = groups.into_iter().take(MAX_HOST_GROUPS);
        self.host_groups = Arc::new(groups.map(|(path, id)| (id, path.into())).collect());
    }

    /// The host's cgroups: path and id.
    pub(super) fn host_groups(&self) -> Vec<(Arc<str>, u64)> {
        let groups = self.host_groups.iter();
        groups.map(|(id, path)| (Arc::clone(path), *id)).collect()
    }

    /// A cgroup that was taken for the host's is a container's, and all below it.
    pub(super) fn take_from_host(&mut self, top: &str) {
        let is_part = |path: &str| is_below(path, top);
        if self.host_groups.values().any(|path| is_part(path)) {
            Arc::make_mut(&mut self.host_groups).retain(|_, path| !is_part(path));
        }
    }

    /// Adds one of the host's cgroups.
    pub(super) fn add_host_group(&mut self, path: &str, id: u64) {
        if self.host_groups.len() >= MAX_HOST_GROUPS {
            self.dropped += 1;
        } else if !self.host_groups.contains_key(&id) {
            Arc::make_mut(&mut self.host_groups).insert(id, path.into());
        }
    }

    /// Takes over what a runtime told. Completes those that have gone without it, too.
    pub(super) fn learn(&mut self, dossier: Dossier) {
        let id = dossier.id.clone();
        if dossier.from_state {
            // It has nothing to add.
            self.deny(dossier.runtime, &id);
        }
        if let Some(known) = self.dossiers.get_mut(&id) {
            if known.from_state && !dossier.from_state {
                *known = dossier;
            } else if !dossier.from_state || known.from_state {
                known.update(dossier);
            }
        } else if self.dossiers.len() >= self.limits.live.saturating_add(self.limits.gone) {
            self.dropped += 1;
            return;
        } else {
            self.dossiers.insert(id.clone(), dossier);
        }
        let Some(dossier) = self.dossiers.get(&id) else {
            return;
        };
        for container in &mut self.gone {
            if container.id == id && container.unknown.is_some() {
                let mut completed = Container::clone(container);
                describe(&mut completed, dossier);
                *container = Arc::new(completed);
            }
        }
    }

    /// A runtime does not know this container.
    pub(super) fn deny(&mut self, runtime: usize, id: &str) {
        for member in self.members.values_mut() {
            if member.found.id == id {
                member.denied.insert(runtime);
            }
        }
    }

    /// A runtime cannot be asked any more; what it denied it may know when it is back.
    pub(super) fn forget_denials(&mut self, runtime: usize) {
        for member in self.members.values_mut() {
            member.denied.remove(&runtime);
        }
    }

    /// Whether a container has this cgroup path.
    pub(super) fn has_path(&self, path: &str) -> bool {
        self.members.contains_key(path)
    }

    /// Whether some container is in v1 hierarchies only, whose changes nobody announces.
    pub(super) fn has_legacy(&self) -> bool {
        self.members
            .values()
            .any(|member| member.found.cgroup_id == 0)
    }

    /// Containers of which no runtime's API has told anything.
    pub(super) fn undescribed(&self) -> impl Iterator<Item = (&str, &BTreeSet<usize>)> {
        let is_told = |id: &str| self.dossiers.get(id).is_some_and(|told| !told.from_state);
        self.members
            .values()
            .filter(|member| !member.found.runtime.names_by_cgroup())
            .filter(move |member| !is_told(&member.found.id))
            .map(|member| (member.found.id.as_str(), &member.denied))
    }

    /// The main process that a runtime told; 0 when none did.
    pub(super) fn told_pid(&self, id: &str) -> u32 {
        self.dossiers.get(id).map_or(0, |dossier| dossier.pid)
    }

    pub(super) fn members(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.values_mut()
    }

    /// Ids and told pids, for a walk over [`Roster::members`] that needs both.
    pub(super) fn told_pids(&self) -> HashMap<String, u32> {
        self.members
            .values()
            .map(|member| (member.found.id.clone(), self.told_pid(&member.found.id)))
            .collect()
    }

    /// Forgets what has been gone for longer than the retention. `now` is Unix time in seconds.
    pub(super) fn expire(&mut self, now: u64) {
        while let Some(oldest) = self.gone.front() {
            let since = oldest.gone_since.unwrap_or(0);
            if now.saturating_sub(since) < self.limits.retention {
                break;
            }
            self.gone.pop_front();
        }
    }

    /// A runtime has removed a container: what it told is forgotten with the container's cgroup.
    pub(super) fn forget(&mut self, id: &str) {
        if let Some(dossier) = self.dossiers.get_mut(id) {
            dossier.removed = true;
        }
        self.drop_removed(id);
    }

    /// All containers that a runtime has now; what it told of others is forgotten.
    pub(super) fn listed(&mut self, runtime: usize, ids: &BTreeSet<String>) {
        let missing: Vec<_> = self
            .dossiers
            .values()
            .filter(|dossier| dossier.runtime == runtime && !ids.contains(&dossier.id))
            .map(|dossier| dossier.id.clone())
            .collect();
        for id in missing {
            self.forget(&id);
        }
    }

    fn drop_removed(&mut self, id: &str) {
        let removed = self.dossiers.get(id).is_some_and(|dossier| dossier.removed);
        if removed && !self.members.values().any(|member| member.found.id == id) {
            self.dossiers.remove(id);
        }
    }

    /// The state of things now. Containers that have not changed are shared with the last one.
    pub(super) fn publish(&mut self) -> Snapshot {
        let paths: Vec<_> = self.members.keys().cloned().collect();
        for path in paths {
            let Some(member) = self.members.get(&path) else {
                continue;
            };
            let container = self.container_of(member);
            if member.published.as_deref() != Some(&container)
                && let Some(member) = self.members.get_mut(&path)
            {
                member.published = Some(Arc::new(container));
            }
        }
        let mut live: Vec<_> = self
            .members
            .values()
            .filter_map(|member| member.published.clone())
            .collect();
        live.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Snapshot::new(Parts {
            hostname: Arc::clone(&self.hostname),
            live,
            gone: self.gone.iter().cloned().collect(),
            links: Arc::clone(&self.links),
            host_groups: Arc::clone(&self.host_groups),
            awaited: self.awaited.cgroups(),
            root_cgroup: self.root_cgroup,
            host_cookie: self.host.cookie,
            host_addresses: self.host.addresses.clone(),
            bare: self.bare(),
        })
    }

    /// Devices whose packets only the sockets' hooks see. What the agent itself sends is left out:
    /// an alert about an attack looks like one.
    fn bare(&self) -> BTreeSet<(u64, u32)> {
        self.members
            .values()
            .filter(|member| !member.is_own)
            .flat_map(|member| {
                let network = &member.network;
                let (owner, devices) = if network.host {
                    (member.found.cgroup_id, &self.host.bare)
                } else {
                    (network.cookie, &network.bare)
                };
                let known = devices.iter().filter(move |_| owner != 0);
                known.map(move |ifindex| (owner, *ifindex))
            })
            .collect()
    }

    fn container_of(&self, member: &Member) -> Container {
        let mut container = Container {
            id: member.found.id.clone(),
            runtime: member.found.runtime,
            pid: member.pid,
            cgroup_id: member.found.cgroup_id,
            cgroup_path: member.found.path.clone(),
            netns: member.network.inode,
            netns_cookie: member.network.cookie,
            host_network: member.network.host,
            links: member.network.links.clone(),
            addresses: member.network.addresses.clone(),
            macs: member.network.macs.clone(),
            listening: member.network.listening.clone(),
            unknown: Some(self.reason_of(member)),
            ..Container::default()
        };
        match self.dossiers.get(&member.found.id) {
            _ if member.found.runtime.names_by_cgroup() => {
                container.name.clone_from(&member.found.id);
                container.unknown = None;
            }
            Some(dossier) if self.is_meant(member) => {
                let reason = container.unknown;
                describe(&mut container, dossier);
                if dossier.from_state && dossier.name.is_empty() {
                    container.unknown = reason;
                }
            }
            Some(_) => container.unknown = Some(UnknownReason::NotInRuntime),
            None => {}
        }
        container
    }

    fn reason_of(&self, member: &Member) -> UnknownReason {
        let runtimes = &self.runtimes;
        if runtimes.undecided || !runtimes.reachable.is_subset(&member.denied) {
            UnknownReason::RuntimePending
        } else if !runtimes.unreachable.is_empty() {
            UnknownReason::RuntimeUnreachable
        } else if runtimes.reachable.is_subset(&runtimes.states) {
            UnknownReason::NoRuntimeApi
        } else {
            UnknownReason::NotInRuntime
        }
    }

    /// Whether a dossier with this member's id is about it. A user who may write a part of the
    /// tree (`user.slice`) may name a cgroup like another's container: the one elsewhere is meant.
    fn is_meant(&self, member: &Member) -> bool {
        let is_users = |path: &str| path.starts_with("user.slice/");
        !is_users(&member.found.path)
            || !self
                .members
                .values()
                .any(|other| other.found.id == member.found.id && !is_users(&other.found.path))
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
