//! Links of a network namespace, by netlink.

use std::{fs::File, io, net::IpAddr, os::fd::AsFd as _, thread};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A link, seen from its own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Index.
    pub ifindex: u32,
    /// Name.
    pub name: String,
    /// A veth end.
    pub veth: bool,
    /// A bridge.
    pub bridge: bool,
    /// The bridge it is a port of; 0 for none.
    pub master: u32,
    /// veth: index of the other end, in the other end's namespace; 0 when not told.
    pub peer: u32,
    /// veth: whether the other end is in another namespace.
    pub peer_elsewhere: bool,
}

/// Links and addresses of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Links.
    pub links: Vec<Link>,
    /// Addresses with the index of their link.
    pub addresses: Vec<(u32, IpAddr)>,
}

impl Namespace {
    /// Reads the namespace of the calling thread.
    ///
    /// # Errors
    /// When netlink fails.
    pub fn read() -> io::Result<Self> {
        let socket = route_socket()?;
        let mut namespace = Self::default();
        dump(
            &socket,
            RouteNetlinkMessage::GetLink(LinkMessage::default()),
            |message| {
                if let RouteNetlinkMessage::NewLink(message) = message {
                    namespace.links.push(link(&message));
                }
            },
        )?;
        dump(
            &socket,
            RouteNetlinkMessage::GetAddress(AddressMessage::default()),
            |message| {
                if let RouteNetlinkMessage::NewAddress(message) = message {
                    namespace.addresses.extend(address(&message));
                }
            },
        )?;
        Ok(namespace)
    }

    /// Reads the namespace that `file` (`/proc/PID/ns/net`) stands for, from a thread of its own
    /// that enters it.
    ///
    /// # Errors
    /// When it cannot be entered (`CAP_SYS_ADMIN`) or netlink fails.
    pub fn read_of(file: &File) -> io::Result<Self> {
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                Self::read()
            });
            reader
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("namespace reader failed")))
        })
    }
}

/// Host-side ends of containers' links: veths whose other end is in another namespace.
pub fn container_links(links: &[Link]) -> impl Iterator<Item = &Link> {
    links.iter().filter(|link| link.veth && link.peer_elsewhere)
}

/// Devices over which a packet can only have come past a hooked ingress: the hooked links (`false`),
/// and the bridges (`true`) that have ports and only hooked ones.
pub fn covered(links: &[Link], hooked: impl Fn(u32) -> bool) -> Vec<(u32, bool)> {
    let mut covered = Vec::new();
    for link in links {
        if hooked(link.ifindex) {
            covered.push((link.ifindex, false));
        } else if link.bridge {
            let mut ports = links
                .iter()
                .filter(|port| port.master == link.ifindex)
                .peekable();
            if ports.peek().is_some() && ports.all(|port| hooked(port.ifindex)) {
                covered.push((link.ifindex, true));
            }
        }
    }
    covered
}

/// Tells when links or addresses of the calling thread's namespace change.
pub struct LinkMonitor {
    socket: Socket,
    buffer: Vec<u8>,
    /// Times the kernel dropped messages because they were not read in time. Harmless: every wake-up
    /// leads to a full read.
    pub overruns: u64,
}

impl LinkMonitor {
    /// Subscribes.
    ///
    /// # Errors
    /// When netlink fails.
    pub fn new() -> io::Result<Self> {
        const RTMGRP_LINK: u32 = 0x1;
        const RTMGRP_IPV4_IFADDR: u32 = 0x10;
        const RTMGRP_IPV6_IFADDR: u32 = 0x100;
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(
            0,
            RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
        ))?;
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(64 << 10),
            overruns: 0,
        })
    }

    /// Swallows what has arrived; the caller reads the namespace anew.
    pub fn drain(&mut self) {
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.overruns += 1,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

impl std::os::fd::AsFd for LinkMonitor {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn route_socket() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// Sends a dump request and hands each message of the answer to `each`.
fn dump(
    socket: &Socket,
    request: RouteNetlinkMessage,
    mut each: impl FnMut(RouteNetlinkMessage),
) -> io::Result<()> {
    let mut request = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(request));
    request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    loop {
        let (received, _) = socket.recv_from_full()?;
        let mut rest = received.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(inner) => each(inner),
                _ => {}
            }
            // Messages are aligned to 4 bytes.
            let step = length.max(16).saturating_add(3) & !3;
            rest = rest.get(step..).unwrap_or_default();
        }
    }
}

fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        ifindex: message.header.index,
        ..Link::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Controller(master) => link.master = *master,
            LinkAttribute::Link(peer) => link.peer = *peer,
            LinkAttribute::LinkNetNsId(_) => link.peer_elsewhere = true,
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(kind) = info {
                        link.veth |= *kind == InfoKind::Veth;
                        link.bridge |= *kind == InfoKind::Bridge;
                    }
                }
            }
            _ => {}
        }
    }
    link
}

fn address(message: &AddressMessage) -> Option<(u32, IpAddr)> {
    let mut found = None;
    for attribute in &message.attributes {
        match attribute {
            // On point-to-point links `Address` is the peer's and `Local` is ours.
            AddressAttribute::Local(address) => return Some((message.header.index, *address)),
            AddressAttribute::Address(address) => found = Some((message.header.index, *address)),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veth(ifindex: u32, master: u32) -> Link {
        Link {
            ifindex,
            name: format!("veth{ifindex}"),
            veth: true,
            master,
            peer: 2,
            peer_elsewhere: true,
            ..Link::default()
        }
    }

    #[test]
    fn a_bridge_is_covered_by_hooked_ports_only() {
        let bridge = |ifindex| Link {
            ifindex,
            bridge: true,
            ..Link::default()
        };
        let physical = Link {
            ifindex: 20,
            master: 11,
            ..Link::default()
        };
        let links = [
            bridge(10),
            veth(2, 10),
            veth(3, 10),
            bridge(11),
            veth(4, 11),
            physical,
            bridge(12),
        ];
        let all = covered(&links, |ifindex| (2..=4).contains(&ifindex));
        assert_eq!(all, [(10, true), (2, false), (3, false), (4, false)]);
        let some = covered(&links, |ifindex| ifindex == 2);
        assert_eq!(
            some,
            [(2, false)],
            "one port without a hook uncovers the bridge"
        );
    }

    #[test]
    fn only_veths_into_other_namespaces_lead_to_containers() {
        let near = Link {
            peer_elsewhere: false,
            ..veth(5, 0)
        };
        let dummy = Link {
            veth: false,
            ..veth(6, 0)
        };
        let links = [veth(2, 0), near, dummy];
        assert_eq!(
            container_links(&links)
                .map(|link| link.ifindex)
                .collect::<Vec<_>>(),
            [2]
        );
    }

    #[test]
    fn this_namespace_has_a_loopback() {
        let namespace = Namespace::read().unwrap();
        assert!(
            namespace
                .links
                .iter()
                .any(|link| link.ifindex == 1 && link.name == "lo")
        );
        let own = File::open("/proc/self/ns/net").unwrap();
        assert_eq!(Namespace::read_of(&own).unwrap(), namespace);
    }
}
