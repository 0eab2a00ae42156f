//! One look at the host: cgroups, processes, namespaces and what runtimes told, into a snapshot.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    net::IpAddr,
    os::unix::fs::MetadataExt as _,
    sync::Arc,
};

use super::{
    Container, Runtime, UnknownReason,
    cgroup::{self, Cgroups, Found, PathOwner},
    docker::Dossier,
    links::{Namespace, container_links},
    snapshot::Snapshot,
};

/// Containers that have gone and are still known.
pub(super) const MAX_GONE: usize = 4_096;

/// What a look needs beside the host itself.
pub(super) struct Knowledge<'a> {
    pub(super) previous: &'a Snapshot,
    pub(super) dossiers: &'a HashMap<String, Dossier>,
    /// Whether some runtime's API answers.
    pub(super) api: bool,
    /// Unix time in seconds.
    pub(super) now: u64,
    /// Seconds that a container stays known after it has gone.
    pub(super) retention: u64,
}

/// Looks at the host. Returns the snapshot and how many dead containers were forgotten before their
/// time, for want of room.
pub(super) fn look(cgroups: &Cgroups, known: &Knowledge<'_>) -> (Snapshot, u64) {
    let host_netns = netns_of("self").unwrap_or(0);
    let host = Namespace::read().unwrap_or_default();
    let mut namespaces: HashMap<u64, Namespace> = HashMap::new();
    let mut live = Vec::new();
    for found in candidates(cgroups, known) {
        let mut container = container(cgroups, &found, known);
        if container.pid != 0 {
            place(&mut container, host_netns, &host, &mut namespaces);
        }
        live.push(container);
    }
    name_owners(&mut live, known.dossiers);
    let ids: HashSet<&str> = live.iter().map(|container| container.id.as_str()).collect();
    let (gone, forgotten) = gone(&ids, known);
    let addresses = host.addresses.iter().map(|(_, address)| *address).collect();
    let containers = live.into_iter().map(Arc::new).chain(gone).collect();
    let hostname = Arc::clone(&known.previous.hostname);
    (
        Snapshot::new(hostname, containers, &host.links, addresses),
        forgotten,
    )
}

/// Containers in the cgroup tree, and those that a runtime knows and the tree does not show (v1).
fn candidates(cgroups: &Cgroups, known: &Knowledge<'_>) -> Vec<Found> {
    let mut found = cgroups.containers();
    let seen: HashSet<String> = found.iter().map(|found| found.id.clone()).collect();
    for (id, dossier) in known.dossiers {
        let alive =
            dossier.pid != 0 && fs::exists(format!("/proc/{}", dossier.pid)).unwrap_or(false);
        if seen.contains(id) || !alive {
            continue;
        }
        let path = cgroup::path_of_process(dossier.pid).unwrap_or_default();
        let cgroup_id = if path.is_empty() {
            0
        } else {
            cgroups.id_of(&path).unwrap_or(0)
        };
        found.push(Found {
            id: id.clone(),
            runtime: Runtime::Docker,
            path,
            cgroup_id,
        });
    }
    found
}

fn container(cgroups: &Cgroups, found: &Found, known: &Knowledge<'_>) -> Container {
    let dossier = known.dossiers.get(&found.id);
    let running = dossier.map_or(0, |dossier| dossier.pid);
    let alive = running != 0 && fs::exists(format!("/proc/{running}")).unwrap_or(false);
    let pid = if alive {
        running
    } else {
        cgroups.first_process(&found.path).unwrap_or(0)
    };
    let mut container = unnamed(&found.id, found.runtime, known.api);
    container.pid = pid;
    container.cgroup_id = found.cgroup_id;
    container.cgroup_path.clone_from(&found.path);
    if let Some(dossier) = dossier {
        complete(&mut container, dossier);
    } else if let Some(before) = known.previous.container(&found.id)
        && before.unknown.is_none()
    {
        // The runtime has been asked before and does not answer now.
        let mut kept = Container::clone(before);
        kept.pid = pid;
        kept.gone_since = None;
        container = kept;
    }
    container
}

/// Copies what the runtime told.
pub(super) fn complete(container: &mut Container, dossier: &Dossier) {
    container.name.clone_from(&dossier.name);
    container.image.clone_from(&dossier.image);
    container.image_digest.clone_from(&dossier.image_digest);
    container.labels.clone_from(&dossier.labels);
    container.compose_project = dossier.labels.get("com.docker.compose.project").cloned();
    container.compose_service = dossier.labels.get("com.docker.compose.service").cloned();
    if container.addresses.is_empty() {
        container.addresses.clone_from(&dossier.addresses);
    }
    container.runtime = Runtime::Docker;
    container.unknown = None;
}

/// Finds the container's namespace, the host's links that lead there, and its addresses.
fn place(
    container: &mut Container,
    host_netns: u64,
    host: &Namespace,
    namespaces: &mut HashMap<u64, Namespace>,
) {
    let Some(netns) = netns_of(&container.pid.to_string()) else {
        return;
    };
    container.netns = netns;
    container.host_network = netns == host_netns;
    if container.host_network {
        container.addresses.clear();
        return;
    }
    let namespace = namespaces.entry(netns).or_insert_with(|| {
        File::open(format!("/proc/{}/ns/net", container.pid))
            .and_then(|file| Namespace::read_of(&file))
            .unwrap_or_default()
    });
    let peers: HashSet<u32> = namespace.links.iter().map(|link| link.peer).collect();
    container.links = container_links(&host.links)
        .filter(|link| peers.contains(&link.ifindex))
        .map(|link| (link.ifindex, link.name.clone()))
        .collect();
    let global = |address: &IpAddr| match address {
        IpAddr::V4(address) => !address.is_loopback(),
        IpAddr::V6(address) => !address.is_loopback(),
    };
    container.addresses = namespace
        .addresses
        .iter()
        .map(|(_, address)| *address)
        .filter(global)
        .collect();
}

/// Of containers that share a namespace, only its owner keeps the links, as far as a runtime tells.
fn name_owners(live: &mut [Container], dossiers: &HashMap<String, Dossier>) {
    for container in live {
        let guest = dossiers
            .get(&container.id)
            .is_some_and(|d| d.shares_network_of.is_some());
        if guest && !container.links.is_empty() {
            container.links.clear();
        }
    }
}

/// Those who were known before and are no more, and those who lived too briefly to be seen.
fn gone(live: &HashSet<&str>, known: &Knowledge<'_>) -> (Vec<Arc<Container>>, u64) {
    let mut gone: Vec<Arc<Container>> = known
        .previous
        .containers()
        .iter()
        .filter(|container| !live.contains(container.id.as_str()))
        .filter(|c| {
            c.gone_since
                .is_none_or(|at| known.now.saturating_sub(at) < known.retention)
        })
        .map(|container| bury(container, known))
        .collect();
    for (id, dossier) in known.dossiers {
        if live.contains(id.as_str()) || known.previous.container(id).is_some() {
            continue;
        }
        gone.push(Arc::new(short_lived(id, dossier, known.now)));
    }
    gone.sort_by_key(|container| std::cmp::Reverse(container.gone_since));
    let forgotten = gone.len().saturating_sub(MAX_GONE);
    gone.truncate(MAX_GONE);
    (gone, forgotten as u64)
}

fn bury(container: &Arc<Container>, known: &Knowledge<'_>) -> Arc<Container> {
    let dossier = known
        .dossiers
        .get(&container.id)
        .filter(|_| container.unknown.is_some());
    if container.gone_since.is_some() && dossier.is_none() {
        return Arc::clone(container);
    }
    let mut buried = Container::clone(container);
    if let Some(dossier) = dossier {
        complete(&mut buried, dossier);
    }
    buried.pid = 0;
    buried.gone_since.get_or_insert(known.now);
    Arc::new(buried)
}

fn short_lived(id: &str, dossier: &Dossier, now: u64) -> Container {
    let mut container = unnamed(id, Runtime::Docker, true);
    container.gone_since = Some(now);
    complete(&mut container, dossier);
    container
}

/// A container that the snapshot does not have yet, from its cgroup alone.
pub(super) fn newcomer(owner: PathOwner<'_>, path: &str, cgroup_id: u64, api: bool) -> Container {
    let mut container = unnamed(owner.id, owner.runtime, api);
    container.cgroup_id = cgroup_id;
    path.clone_into(&mut container.cgroup_path);
    container
}

fn unnamed(id: &str, runtime: Runtime, api: bool) -> Container {
    Container {
        id: id.to_owned(),
        name: String::new(),
        image: String::new(),
        image_digest: String::new(),
        labels: BTreeMap::new(),
        compose_project: None,
        compose_service: None,
        runtime,
        pid: 0,
        cgroup_id: 0,
        cgroup_path: String::new(),
        netns: 0,
        host_network: false,
        links: Vec::new(),
        addresses: Vec::new(),
        gone_since: None,
        unknown: Some(if api {
            UnknownReason::NotInRuntime
        } else {
            UnknownReason::NoRuntimeApi
        }),
    }
}

fn netns_of(process: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{process}/ns/net"))
        .ok()
        .map(|metadata| metadata.ino())
}
