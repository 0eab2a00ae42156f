//! Who is who at one moment. Immutable: readers load it and never wait.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use hydrophone_inspect::packet::Owner;

use super::{
    identity::{Container, Evidence, Host, Identity, UnknownReason},
    links::LinkTable,
};

/// Containers of one network namespace, its owner first. Never empty.
type Sharers = Arc<[Arc<Container>]>;

/// What the census publishes.
#[derive(Debug, Default)]
pub struct Snapshot {
    hostname: Arc<str>,
    /// The living, then the gone, the latest first.
    containers: Vec<Arc<Container>>,
    /// How many of them live.
    living: usize,
    links: Arc<LinkTable>,
    by_cgroup: HashMap<u64, Arc<Container>>,
    host_groups: Arc<HashMap<u64, Arc<str>>>,
    /// Host cgroups that may turn out to be containers' in a moment.
    awaited: HashSet<u64>,
    /// A socket in the root cgroup may be a container's: one that is in v1 hierarchies only.
    undecided_root: Option<u64>,
    by_link: HashMap<u32, Option<Sharers>>,
    by_cookie: HashMap<u64, Sharers>,
    host_cookie: u64,
    by_address: HashMap<IpAddr, Claim>,
    bare: BTreeSet<(u64, u32)>,
}

/// Whose an address is.
#[derive(Clone, Debug)]
enum Claim {
    Host,
    Containers(Sharers),
    Several,
}

/// What a snapshot is made of.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) hostname: Arc<str>,
    pub(super) live: Vec<Arc<Container>>,
    /// Oldest first.
    pub(super) gone: Vec<Arc<Container>>,
    pub(super) links: Arc<LinkTable>,
    pub(super) host_groups: Arc<HashMap<u64, Arc<str>>>,
    pub(super) awaited: HashSet<u64>,
    pub(super) root_cgroup: u64,
    pub(super) host_cookie: u64,
    pub(super) host_addresses: Vec<IpAddr>,
    pub(super) bare: BTreeSet<(u64, u32)>,
}

impl Snapshot {
    /// Who is at one end of a flow.
    ///
    /// `owner` is what the kernel knew of that end, `address` its address as the packet names it,
    /// `scope` the cookie of the network namespace for loopback traffic (0 for none). The cgroup
    /// id decides; then the link; then the namespace; then the address.
    #[must_use]
    pub fn resolve(&self, owner: &Owner, address: IpAddr, scope: u64) -> Identity {
        if let Some(identity) = self.of_cgroup(owner.cgroup_id) {
            return identity;
        }
        let link = self
            .by_link
            .get(&owner.ifindex)
            .filter(|_| owner.ifindex != 0);
        if let Some(Some(sharers)) = link {
            return container(sharers, Evidence::Link);
        }
        if let Some(identity) = self.of_namespace(scope) {
            return identity;
        }
        // An address is whatever its sender writes into the packet: behind a link that leads
        // elsewhere, it may only speak for a container whose own links are not known.
        let identity = self.of_address(address);
        if owner.ifindex != 0 {
            let may_answer = match &identity {
                Identity::Container { container, .. } => container.links.is_empty(),
                _ => false,
            };
            if !may_answer {
                return Identity::Unknown(UnknownReason::LinkUnattributed);
            }
        }
        match identity {
            Identity::Unknown(_) if owner.cgroup_id != 0 => {
                Identity::Unknown(UnknownReason::CgroupGone)
            }
            identity => identity,
        }
    }

    /// Who the cgroup's processes are; `None` when this snapshot does not know the id, or the id
    /// says nothing.
    #[must_use]
    pub fn of_cgroup(&self, id: u64) -> Option<Identity> {
        if id == 0 || self.undecided_root == Some(id) {
            return None;
        }
        if let Some(container) = self.by_cgroup.get(&id) {
            return Some(Identity::Container {
                container: Arc::clone(container),
                or: Vec::new(),
                by: Evidence::Cgroup,
            });
        }
        let path = self.host_groups.get(&id)?;
        Some(self.host(Some(path)))
    }

    /// Whether the id is in this snapshot, or will say nothing however often one asks.
    #[must_use]
    pub fn knows_cgroup(&self, id: u64) -> bool {
        id == 0
            || self.undecided_root == Some(id)
            || self.by_cgroup.contains_key(&id)
            || self.host_groups.contains_key(&id)
    }

    /// The cookie of the host's network namespace; 0 when the kernel has none.
    #[must_use]
    pub const fn host_namespace(&self) -> u64 {
        self.host_cookie
    }

    /// Whether this cgroup, which looks like the host's, may turn out to be a container's: it is new,
    /// or those who may know have not answered.
    #[must_use]
    pub(super) fn is_awaited(&self, cgroup_id: u64) -> bool {
        self.awaited.contains(&cgroup_id) || !self.knows_cgroup(cgroup_id)
    }

    fn of_namespace(&self, cookie: u64) -> Option<Identity> {
        if cookie == 0 {
            return None;
        }
        if let Some(sharers) = self.by_cookie.get(&cookie) {
            return Some(container(sharers, Evidence::Namespace));
        }
        (cookie == self.host_cookie).then(|| self.host(None))
    }

    /// Who has this address.
    #[must_use]
    pub fn of_address(&self, address: IpAddr) -> Identity {
        match self.by_address.get(&address.to_canonical()) {
            Some(Claim::Host) => self.host(None),
            Some(Claim::Containers(sharers)) => container(sharers, Evidence::Address),
            Some(Claim::Several) => Identity::Unknown(UnknownReason::AddressAmbiguous),
            // Every namespace has the loopback addresses.
            None if address.to_canonical().is_loopback() => {
                Identity::Unknown(UnknownReason::AddressAmbiguous)
            }
            None => Identity::Unknown(UnknownReason::AddressNotLocal),
        }
    }

    /// The host, with the path of the cgroup that showed it.
    #[must_use]
    pub(super) fn host(&self, cgroup_path: Option<&str>) -> Identity {
        Identity::Host(Host {
            hostname: Arc::clone(&self.hostname),
            cgroup_path: cgroup_path.map(str::to_owned),
        })
    }

    /// Everybody: the living by name, then those that have gone, the latest first.
    #[must_use]
    pub fn containers(&self) -> &[Arc<Container>] {
        &self.containers
    }

    /// Devices whose packets only the sockets' hooks see: the cookie of the namespace, or in the
    /// host's the container's cgroup id, and the index there.
    #[must_use]
    pub const fn bare(&self) -> &BTreeSet<(u64, u32)> {
        &self.bare
    }

    /// Containers that are there.
    #[must_use]
    pub fn living(&self) -> &[Arc<Container>] {
        self.containers.get(..self.living).unwrap_or_default()
    }

    /// Containers that have gone and are still known, the latest first.
    #[must_use]
    pub fn gone(&self) -> &[Arc<Container>] {
        self.containers.get(self.living..).unwrap_or_default()
    }

    /// Name of a link of the host, or of one that led to a container that has gone.
    #[must_use]
    pub fn interface(&self, ifindex: u32) -> Option<Arc<str>> {
        if let Some(link) = self.links.get(&ifindex) {
            return Some(link.name.as_str().into());
        }
        let sharers = self.by_link.get(&ifindex)?.as_ref()?;
        sharers
            .iter()
            .flat_map(|container| &container.links)
            .find(|(index, _)| *index == ifindex)
            .map(|(_, name)| name.as_str().into())
    }

    pub(super) fn new(parts: Parts) -> Self {
        let live = sharers_of(&parts.live);
        // The latest to go comes first, so that it is the one that stays.
        let latest_first: Vec<_> = parts.gone.iter().rev().map(Arc::clone).collect();
        let gone = sharers_of(&latest_first);
        let v1_only = parts.live.iter().any(|container| container.cgroup_id == 0);
        Self {
            by_cgroup: by_cgroup(&parts.live, &latest_first),
            by_link: by_link(&parts.links, &live, &gone),
            by_cookie: by_cookie(&live, &gone),
            by_address: by_address(&parts.host_addresses, &live, &gone),
            hostname: parts.hostname,
            living: parts.live.len(),
            containers: parts.live.into_iter().chain(latest_first).collect(),
            links: parts.links,
            host_groups: parts.host_groups,
            awaited: parts.awaited,
            undecided_root: v1_only.then_some(parts.root_cgroup),
            host_cookie: parts.host_cookie,
            bare: parts.bare,
        }
    }
}

fn container(sharers: &Sharers, by: Evidence) -> Identity {
    match sharers.split_first() {
        Some((first, rest)) => Identity::Container {
            container: Arc::clone(first),
            or: rest.to_vec(),
            by,
        },
        None => Identity::Unknown(UnknownReason::LinkUnattributed),
    }
}

/// Groups containers by network namespace, in the order in which each namespace comes first. Those
/// in the host's are left out: links and addresses of the host tell nothing about them.
fn sharers_of(containers: &[Arc<Container>]) -> Vec<Sharers> {
    #[derive(PartialEq, Eq, Hash)]
    enum Key<'a> {
        Cookie(u64),
        Inode(u64),
        /// Namespace not known: the id of the container that owns it.
        Owner(&'a str),
    }
    let mut order: Vec<Vec<Arc<Container>>> = Vec::new();
    let mut places = HashMap::new();
    for container in containers
        .iter()
        .filter(|container| !container.host_network)
    {
        let key = match (container.netns_cookie, container.netns) {
            (0, 0) => Key::Owner(container.joins.as_deref().unwrap_or(&container.id)),
            (0, inode) => Key::Inode(inode),
            (cookie, _) => Key::Cookie(cookie),
        };
        let place = *places.entry(key).or_insert(order.len());
        match order.get_mut(place) {
            Some(sharers) => sharers.push(Arc::clone(container)),
            None => order.push(vec![Arc::clone(container)]),
        }
    }
    order
        .into_iter()
        .map(|mut sharers| {
            // The owner did not join another's namespace and was there first.
            sharers.sort_by_key(|container| {
                (container.joins.is_some(), container.pid == 0, container.pid)
            });
            sharers.into()
        })
        .collect()
}

fn by_cgroup(live: &[Arc<Container>], gone: &[Arc<Container>]) -> HashMap<u64, Arc<Container>> {
    let mut index = HashMap::with_capacity(live.len() + gone.len());
    for container in live.iter().chain(gone) {
        if container.cgroup_id != 0 {
            index
                .entry(container.cgroup_id)
                .or_insert_with(|| Arc::clone(container));
        }
    }
    index
}

/// `None` is a container-side link behind which no container is known.
fn by_link(links: &LinkTable, live: &[Sharers], gone: &[Sharers]) -> HashMap<u32, Option<Sharers>> {
    let mut index: HashMap<u32, Option<Sharers>> = HashMap::new();
    for sharers in live {
        for (ifindex, _) in sharers.iter().flat_map(|container| &container.links) {
            index
                .entry(*ifindex)
                .or_insert_with(|| Some(Arc::clone(sharers)));
        }
    }
    for sharers in gone {
        for (ifindex, name) in sharers.iter().flat_map(|container| &container.links) {
            // The link may outlive its container by a moment; another link that has got the
            // index since has another name.
            let reused = links.get(ifindex).is_some_and(|link| link.name != *name);
            if !reused {
                index
                    .entry(*ifindex)
                    .or_insert_with(|| Some(Arc::clone(sharers)));
            }
        }
    }
    for link in links.values().filter(|link| link.is_container_side()) {
        index.entry(link.ifindex).or_insert(None);
    }
    index
}

fn by_cookie(live: &[Sharers], gone: &[Sharers]) -> HashMap<u64, Sharers> {
    let mut index = HashMap::new();
    for sharers in live.iter().chain(gone) {
        for cookie in sharers.iter().map(|container| container.netns_cookie) {
            if cookie != 0 {
                index.entry(cookie).or_insert_with(|| Arc::clone(sharers));
            }
        }
    }
    index
}

fn by_address(host: &[IpAddr], live: &[Sharers], gone: &[Sharers]) -> HashMap<IpAddr, Claim> {
    // Per address: who was given it, and who merely has it. A container may give itself any
    // address, its neighbour's too: that counts only where nobody was given it.
    let mut given: BTreeMap<IpAddr, Vec<Claim>> = BTreeMap::new();
    let mut taken: BTreeMap<IpAddr, Vec<Claim>> = BTreeMap::new();
    for address in host {
        given.entry(*address).or_default().push(Claim::Host);
    }
    for sharers in live {
        let (assigned, own) = addresses_of(sharers);
        for (addresses, claims) in [(assigned, &mut given), (own, &mut taken)] {
            for address in addresses {
                let claim = Claim::Containers(Arc::clone(sharers));
                claims.entry(address).or_default().push(claim);
            }
        }
    }
    let mut index = HashMap::new();
    for (address, claims) in given.into_iter().chain(taken) {
        let mut claims = claims.into_iter();
        if let Some(first) = claims.next() {
            let claim = claims.next().map_or(first, |_| Claim::Several);
            index.entry(address.to_canonical()).or_insert(claim);
        }
    }
    for sharers in gone {
        let (assigned, own) = addresses_of(sharers);
        for address in assigned.into_iter().chain(own) {
            index
                .entry(address.to_canonical())
                .or_insert_with(|| Claim::Containers(Arc::clone(sharers)));
        }
    }
    index
}

/// The addresses that the runtime assigned to any of the sharers, and the others.
fn addresses_of(sharers: &Sharers) -> (HashSet<IpAddr>, HashSet<IpAddr>) {
    let assigned: HashSet<_> = sharers
        .iter()
        .flat_map(|container| container.assigned.iter().copied())
        .collect();
    let own = sharers
        .iter()
        .flat_map(|container| container.addresses.iter().copied())
        .filter(|address| !assigned.contains(address))
        .collect();
    (assigned, own)
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
