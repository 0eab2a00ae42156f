//! Who is who at one moment: immutable, looked up without waiting.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use hydrophone_inspect::Owner;

use super::{
    Container, Identity, UnknownReason,
    identity::{Evidence, Host},
    links::Link,
};

/// All that is known at one moment.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) hostname: Arc<str>,
    pub(super) containers: Vec<Arc<Container>>,
    by_id: HashMap<String, Arc<Container>>,
    by_cgroup: HashMap<u64, Arc<Container>>,
    by_link: HashMap<u32, Vec<Arc<Container>>>,
    by_address: HashMap<IpAddr, Vec<Arc<Container>>>,
    host_addresses: HashSet<IpAddr>,
    pub(super) links: HashMap<u32, Arc<str>>,
}

impl Snapshot {
    /// Indexes what was found. Live containers win over those that have gone, the latest of the
    /// dead over earlier ones.
    pub(super) fn new(
        hostname: Arc<str>,
        mut containers: Vec<Arc<Container>>,
        host_links: &[Link],
        host_addresses: HashSet<IpAddr>,
    ) -> Self {
        // Live ones first, then the latest dead; owners of a namespace before those who share it.
        containers.sort_by_key(|c| {
            (
                std::cmp::Reverse(c.gone_since.unwrap_or(u64::MAX)),
                c.links.is_empty(),
                c.id.clone(),
            )
        });
        let mut snapshot = Self {
            hostname,
            containers: Vec::new(),
            by_id: HashMap::new(),
            by_cgroup: HashMap::new(),
            by_link: HashMap::new(),
            by_address: HashMap::new(),
            host_addresses,
            links: host_links
                .iter()
                .map(|link| (link.ifindex, link.name.as_str().into()))
                .collect(),
        };
        for container in &containers {
            snapshot
                .by_id
                .entry(container.id.clone())
                .or_insert_with(|| Arc::clone(container));
            if container.cgroup_id != 0 {
                let slot = snapshot.by_cgroup.entry(container.cgroup_id);
                slot.or_insert_with(|| Arc::clone(container));
            }
            for (ifindex, _) in &container.links {
                add(snapshot.by_link.entry(*ifindex).or_default(), container);
            }
            for address in &container.addresses {
                add(snapshot.by_address.entry(*address).or_default(), container);
            }
        }
        snapshot.containers = containers;
        snapshot
    }

    /// Everybody, the living first.
    #[must_use]
    pub fn containers(&self) -> &[Arc<Container>] {
        &self.containers
    }

    /// By full id.
    #[must_use]
    pub fn container(&self, id: &str) -> Option<&Arc<Container>> {
        self.by_id.get(id)
    }

    /// By the id of the container's top cgroup.
    #[must_use]
    pub fn by_cgroup(&self, cgroup_id: u64) -> Option<&Arc<Container>> {
        self.by_cgroup.get(&cgroup_id)
    }

    /// Who is at an end whose cgroup told nothing: by the link, else by the address.
    #[must_use]
    pub fn by_place(&self, owner: &Owner, address: IpAddr, scope: u64) -> Identity {
        if let Some(candidates) = self.by_link.get(&owner.ifindex) {
            return shared(candidates, Evidence::Link);
        }
        // On loopback every namespace has the same addresses.
        if scope != 0 || address.is_loopback() {
            return Identity::Unknown(UnknownReason::AddressAmbiguous);
        }
        if let Some(candidates) = self.by_address.get(&address) {
            let namespaces: HashSet<u64> = candidates.iter().map(|c| c.netns).collect();
            if namespaces.len() > 1 {
                return Identity::Unknown(UnknownReason::AddressAmbiguous);
            }
            return shared(candidates, Evidence::Address);
        }
        if self.host_addresses.contains(&address) {
            return self.host(None);
        }
        Identity::Unknown(UnknownReason::AddressNotLocal)
    }

    pub(super) fn host(&self, cgroup_path: Option<String>) -> Identity {
        Identity::Host(Host {
            hostname: Arc::clone(&self.hostname),
            cgroup_path,
        })
    }
}

/// Adds a container unless a live one (or, among the dead, a later one of another namespace) holds
/// the place.
fn add(holders: &mut Vec<Arc<Container>>, container: &Arc<Container>) {
    let superseded = holders
        .first()
        .is_some_and(|first| container.gone_since.is_some() && first.netns != container.netns);
    if !superseded {
        holders.push(Arc::clone(container));
    }
}

fn shared(candidates: &[Arc<Container>], by: Evidence) -> Identity {
    match candidates.split_first() {
        Some((container, or)) => Identity::Container {
            container: Arc::clone(container),
            or: or.to_vec(),
            by,
        },
        None => Identity::Unknown(UnknownReason::AddressNotLocal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::census::identity::Runtime;

    fn container(id: &str, netns: u64, cgroup_id: u64) -> Container {
        Container {
            id: id.to_owned(),
            name: id.to_owned(),
            image: String::new(),
            image_digest: String::new(),
            labels: std::collections::BTreeMap::new(),
            compose_project: None,
            compose_service: None,
            runtime: Runtime::Docker,
            pid: 1,
            cgroup_id,
            cgroup_path: String::new(),
            netns,
            host_network: false,
            links: vec![(u32::try_from(netns).unwrap(), format!("veth{netns}"))],
            addresses: vec![IpAddr::from([172, 18, 0, 5])],
            gone_since: None,
            unknown: None,
        }
    }

    fn snapshot(containers: Vec<Container>) -> Snapshot {
        let host = HashSet::from([IpAddr::from([172, 18, 0, 1])]);
        Snapshot::new(
            "node".into(),
            containers.into_iter().map(Arc::new).collect(),
            &[],
            host,
        )
    }

    fn name(identity: &Identity) -> &str {
        match identity {
            Identity::Container { container, .. } => &container.name,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_living_keep_address_and_link() {
        let gone = Container {
            gone_since: Some(100),
            netns: 7,
            ..container("old", 7, 1)
        };
        let live = Container {
            netns: 8,
            ..container("new", 7, 2)
        };
        let snapshot = snapshot(vec![gone, live]);
        let owner = Owner {
            ifindex: 7,
            ..Owner::default()
        };
        let address = IpAddr::from([172, 18, 0, 5]);
        assert_eq!(name(&snapshot.by_place(&owner, address, 0)), "new");
        assert_eq!(
            name(&snapshot.by_place(&Owner::default(), address, 0)),
            "new"
        );
        assert_eq!(
            snapshot.by_cgroup(1).unwrap().name,
            "old",
            "by its own cgroup it is still known"
        );
    }

    #[test]
    fn the_latest_of_the_dead_is_named() {
        let first = Container {
            gone_since: Some(100),
            ..container("first", 7, 1)
        };
        let second = Container {
            gone_since: Some(200),
            netns: 8,
            ..container("second", 7, 2)
        };
        let snapshot = snapshot(vec![first, second]);
        let identity = snapshot.by_place(&Owner::default(), IpAddr::from([172, 18, 0, 5]), 0);
        assert_eq!(name(&identity), "second");
    }

    #[test]
    fn those_who_share_a_namespace_are_all_named() {
        let owner = container("owner", 7, 1);
        let guest = Container {
            links: Vec::new(),
            ..container("guest", 7, 2)
        };
        let snapshot = snapshot(vec![guest, owner]);
        let identity = snapshot.by_place(&Owner::default(), IpAddr::from([172, 18, 0, 5]), 0);
        assert_eq!(name(&identity), "owner");
        assert!(matches!(identity, Identity::Container { or, .. } if or[0].name == "guest"));
    }

    #[test]
    fn what_is_not_known_says_why() {
        let twice = vec![container("a", 7, 1), container("b", 8, 2)];
        let snapshot = snapshot(twice);
        let resolve = |address, scope| snapshot.by_place(&Owner::default(), address, scope);
        let ambiguous = Identity::Unknown(UnknownReason::AddressAmbiguous);
        assert_eq!(resolve(IpAddr::from([172, 18, 0, 5]), 0), ambiguous);
        assert_eq!(resolve(IpAddr::from([127, 0, 0, 1]), 9), ambiguous);
        let elsewhere = Identity::Unknown(UnknownReason::AddressNotLocal);
        assert_eq!(resolve(IpAddr::from([192, 0, 2, 1]), 0), elsewhere);
        assert!(matches!(
            resolve(IpAddr::from([172, 18, 0, 1]), 0),
            Identity::Host(_)
        ));
    }
}
