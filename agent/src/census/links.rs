//! Links of a network namespace: which lead to containers, and which the sensor covers.

use std::collections::BTreeMap;

/// What a link is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkKind {
    /// One end of a veth pair.
    Veth,
    /// A bridge.
    Bridge,
    /// What passes no other device of its namespace: macvlan, ipvlan, netkit, hardware. In a
    /// container's namespace no classifier of the host is in front of it.
    Direct,
    /// Anything else: loopback, and what sends through other devices, as tunnels do.
    Other,
}

/// One link, as rtnetlink(7) describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Interface index in its own network namespace.
    pub ifindex: u32,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: LinkKind,
    /// The bridge or bond that it is a port of.
    pub master: Option<u32>,
    /// Interface index of a veth's other end (`IFLA_LINK`), in the namespace `peer_nsid`.
    pub peer: Option<u32>,
    /// The other end's namespace (`IFLA_LINK_NETNSID`), as this namespace numbers it; `None` when
    /// it is in this one.
    pub peer_nsid: Option<i32>,
    /// Whether it is administratively up.
    pub up: bool,
}

impl Link {
    /// Whether this is the host's side of a container's link: a veth whose other end is in another
    /// namespace. One of which both ends are here leads from the host to the host.
    #[must_use]
    pub fn is_container_side(&self) -> bool {
        self.kind == LinkKind::Veth && self.peer_nsid.is_some()
    }
}

/// Of the links in a namespace, those in front of which there is no link of the host that can be
/// hooked. `host` is the number that the namespace has given to the host's.
#[must_use]
pub fn bare(links: &LinkTable, host: Option<i32>) -> Vec<u32> {
    let is_bare = |link: &&Link| match link.kind {
        LinkKind::Direct => true,
        // Its other end is elsewhere, in an overlay's namespace, say.
        LinkKind::Veth => link.peer_nsid.is_some() && link.peer_nsid != host,
        LinkKind::Bridge | LinkKind::Other => false,
    };
    let bare = links.values().filter(is_bare);
    bare.map(|link| link.ifindex).collect()
}

/// The links of one namespace by index.
pub type LinkTable = BTreeMap<u32, Link>;

/// A change of a namespace's links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// A link that was not there.
    Appeared(Link),
    /// A link's name, master, peer or state changed.
    Changed(Link),
    /// A link has gone, or left the namespace.
    Gone {
        /// Its index.
        ifindex: u32,
        /// Its last name.
        name: String,
    },
}

/// Devices over which a packet can only have come past a hooked ingress: the hooked links
/// (`false`), and the bridges (`true`) all of whose ports are hooked. A bridge with a physical
/// port, or with none, is not covered.
#[must_use]
pub fn covered(links: &LinkTable, hooked: impl Fn(u32) -> bool) -> Vec<(u32, bool)> {
    // For each link that has ports: whether all of them are hooked.
    let mut ports: BTreeMap<u32, bool> = BTreeMap::new();
    for link in links.values() {
        if let Some(master) = link.master {
            *ports.entry(master).or_insert(true) &= hooked(link.ifindex);
        }
    }
    let has_hooked_ports = |link: &Link| {
        link.kind == LinkKind::Bridge && ports.get(&link.ifindex).copied().unwrap_or(false)
    };
    links
        .values()
        .filter_map(|link| {
            let is_hooked = hooked(link.ifindex);
            (is_hooked || has_hooked_ports(link)).then_some((link.ifindex, !is_hooked))
        })
        .collect()
}

/// What has to be told to go from `known` to `now`. An index whose kind changed is another link:
/// it goes and appears.
#[must_use]
pub fn difference(known: &LinkTable, now: &LinkTable) -> Vec<LinkEvent> {
    let mut events = Vec::new();
    for (ifindex, link) in known {
        if now.get(ifindex).is_none_or(|new| new.kind != link.kind) {
            events.push(LinkEvent::Gone {
                ifindex: *ifindex,
                name: link.name.clone(),
            });
        }
    }
    for (ifindex, link) in now {
        match known.get(ifindex) {
            Some(old) if old == link => {}
            Some(old) if old.kind == link.kind => events.push(LinkEvent::Changed(link.clone())),
            _ => events.push(LinkEvent::Appeared(link.clone())),
        }
    }
    events
}

/// Applies an event to a table.
pub fn apply(table: &mut LinkTable, event: &LinkEvent) {
    match event {
        LinkEvent::Appeared(link) | LinkEvent::Changed(link) => {
            table.insert(link.ifindex, link.clone());
        }
        LinkEvent::Gone { ifindex, .. } => {
            table.remove(ifindex);
        }
    }
}

#[cfg(test)]
#[path = "links_tests.rs"]
mod tests;
