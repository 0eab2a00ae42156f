//! rtnetlink(7): dumps of links and addresses, the number of a namespace, and changes.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    nsid::{NsidAttribute, NsidMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::{
    event::{PollFd, PollFlags},
    time::Timespec,
};

use super::links::{Link, LinkKind, LinkTable};

/// Links read from one namespace. A container can make them by the thousand.
const MAX_LINKS: usize = 8_192;
/// Addresses read from one namespace.
const MAX_ADDRESSES: usize = 256;
/// The kernel writes at most 32 KiB into one datagram of a dump (`NLMSG_GOODSIZE`, `max_recvmsg_len`).
const BUFFER: usize = 64 * 1024;
/// How long the kernel gets to answer. It answers at once unless it waits for the rtnl lock.
const TIMEOUT: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};

/// A route socket in the network namespace of the thread that made it.
pub(super) struct Connection {
    socket: Socket,
    sequence: u32,
}

impl Connection {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// All links, at most [`MAX_LINKS`].
    pub(super) fn links(&mut self) -> io::Result<LinkTable> {
        let mut links = LinkTable::new();
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        self.request(request, NLM_F_DUMP, |message| {
            if let RouteNetlinkMessage::NewLink(message) = message
                && links.len() < MAX_LINKS
            {
                let link = link_of(&message);
                links.insert(link.ifindex, link);
            }
        })?;
        Ok(links)
    }

    /// All addresses but those of the loopback range, at most [`MAX_ADDRESSES`].
    pub(super) fn addresses(&mut self) -> io::Result<Vec<IpAddr>> {
        let mut addresses = Vec::new();
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        self.request(request, NLM_F_DUMP, |message| {
            if let RouteNetlinkMessage::NewAddress(message) = message
                && let Some(address) = address_of(&message)
                && !address.is_loopback()
                && addresses.len() < MAX_ADDRESSES
            {
                addresses.push(address);
            }
        })?;
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }

    /// MAC addresses (6 octets) of the links here, loopback and none left out, at most
    /// [`MAX_ADDRESSES`].
    pub(super) fn macs(&mut self) -> io::Result<Vec<[u8; 6]>> {
        let mut macs = Vec::new();
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        self.request(request, NLM_F_DUMP, |message| {
            if let RouteNetlinkMessage::NewLink(message) = message
                && let Some(mac) = mac_of(&message)
                && macs.len() < MAX_ADDRESSES
            {
                macs.push(mac);
            }
        })?;
        macs.sort_unstable();
        macs.dedup();
        Ok(macs)
    }

    /// The number that this namespace has given to another one; `None` when it has given none,
    /// which means that no link leads there.
    pub(super) fn nsid_of(&mut self, namespace: BorrowedFd<'_>) -> io::Result<Option<i32>> {
        let Ok(fd) = u32::try_from(namespace.as_raw_fd()) else {
            return Ok(None);
        };
        let mut message = NsidMessage::default();
        message.attributes.push(NsidAttribute::Fd(fd));
        let mut id = None;
        self.request(RouteNetlinkMessage::GetNsId(message), 0, |message| {
            if let RouteNetlinkMessage::NewNsId(message) = message {
                id = message
                    .attributes
                    .iter()
                    .find_map(|attribute| match attribute {
                        NsidAttribute::Id(id) if *id >= 0 => Some(*id),
                        _ => None,
                    });
            }
        })?;
        Ok(id)
    }

    /// Sends one request and hands over its answers, until the dump is done or, without
    /// `NLM_F_DUMP`, the answer is there.
    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        mut take: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let dump = flags & NLM_F_DUMP != 0;
        let mut done = false;
        let mut buffer = Vec::with_capacity(BUFFER);
        while !done {
            if !readable(self.as_fd(), Some(&TIMEOUT))? {
                return Err(io::ErrorKind::TimedOut.into());
            }
            buffer.clear();
            self.socket.recv(&mut buffer, 0)?;
            let sequence = self.sequence;
            let mut failure = None;
            for_each_message(&buffer, |message| {
                if message.header.sequence_number != sequence {
                    return;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(inner) => {
                        take(inner);
                        done |= !dump;
                    }
                    NetlinkPayload::Done(_) => done = true,
                    NetlinkPayload::Error(error) => {
                        done = true;
                        failure = error.code.map(|_| error.to_io());
                    }
                    _ => {}
                }
            });
            if let Some(failure) = failure {
                return Err(failure);
            }
        }
        Ok(())
    }
}

/// What a subscriber is told.
pub(super) enum Change {
    /// A link is there, new or changed.
    Link(Link),
    /// A link has gone.
    LinkGone(u32),
    /// Some address came or went.
    Address,
}

/// A socket that is told of every change of links and addresses in its namespace.
pub(super) struct Subscription {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Subscription {
    pub(super) fn open() -> io::Result<Self> {
        let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(
            0,
            u32::try_from(groups).unwrap_or_default(),
        ))?;
        socket.set_non_blocking(true)?;
        // A burst of a few hundred containers; where it does not fit, the kernel says so.
        socket.set_rx_buf_sz(1_048_576_i32)?;
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(BUFFER),
        })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads one datagram. `WouldBlock` when there is none; `ENOBUFS` when changes were lost.
    pub(super) fn read(&mut self, mut take: impl FnMut(Change)) -> io::Result<()> {
        self.buffer.clear();
        let (_, sender) = self.socket.recv_from(&mut self.buffer, 0)?;
        // Any process may send to this socket; only the kernel has port 0.
        if sender.port_number() != 0 {
            return Ok(());
        }
        for_each_message(&self.buffer, |message| match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message))
                if describes_link(&message) =>
            {
                take(Change::Link(link_of(&message)));
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(message))
                if describes_link(&message) =>
            {
                take(Change::LinkGone(message.header.index));
            }
            NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::NewAddress(_) | RouteNetlinkMessage::DelAddress(_),
            ) => take(Change::Address),
            _ => {}
        });
        Ok(())
    }
}

/// Waits until `fd` can be read; `false` when the time is over.
pub(super) fn readable(fd: BorrowedFd<'_>, timeout: Option<&Timespec>) -> io::Result<bool> {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    loop {
        match rustix::event::poll(&mut fds, timeout) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Splits a datagram into messages. One that cannot be read ends at its own length.
fn for_each_message(datagram: &[u8], mut take: impl FnMut(NetlinkMessage<RouteNetlinkMessage>)) {
    const HEADER: usize = 16;
    let mut rest = datagram;
    while let Some(length) = rest.first_chunk::<4>() {
        let length = usize::try_from(u32::from_ne_bytes(*length)).unwrap_or(usize::MAX);
        let Some(bytes) = rest.get(..length).filter(|_| length >= HEADER) else {
            return;
        };
        if let Ok(message) = NetlinkMessage::deserialize(bytes) {
            take(message);
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// A bridge reports its ports as links of family `AF_BRIDGE`: a port that leaves it is "deleted"
/// there and goes on living.
fn describes_link(message: &LinkMessage) -> bool {
    message.header.interface_family == AddressFamily::Unspec
}

fn link_of(message: &LinkMessage) -> Link {
    let mut link = Link {
        ifindex: message.header.index,
        name: String::new(),
        kind: LinkKind::Other,
        master: None,
        peer: None,
        peer_nsid: None,
        up: message.header.flags.contains(LinkFlags::Up),
    };
    let mut kind = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Controller(master) => link.master = (*master != 0).then_some(*master),
            LinkAttribute::Link(peer) => link.peer = (*peer != 0).then_some(*peer),
            LinkAttribute::LinkNetNsId(id) => link.peer_nsid = (*id >= 0).then_some(*id),
            LinkAttribute::LinkInfo(infos) => kind = kind_of(infos),
            _ => {}
        }
    }
    // Without a kind, what is not loopback is hardware.
    let is_loopback = message.header.flags.contains(LinkFlags::Loopback);
    link.kind = kind.unwrap_or(if is_loopback {
        LinkKind::Other
    } else {
        LinkKind::Direct
    });
    link
}

/// `None` for hardware, which has no kind.
fn kind_of(infos: &[LinkInfo]) -> Option<LinkKind> {
    infos.iter().find_map(|info| match info {
        LinkInfo::Kind(InfoKind::Veth) => Some(LinkKind::Veth),
        LinkInfo::Kind(InfoKind::Bridge) => Some(LinkKind::Bridge),
        LinkInfo::Kind(
            InfoKind::MacVlan | InfoKind::MacVtap | InfoKind::IpVlan | InfoKind::IpVtap,
        ) => Some(LinkKind::Direct),
        LinkInfo::Kind(InfoKind::Other(name)) if name == "netkit" => Some(LinkKind::Direct),
        LinkInfo::Kind(_) => Some(LinkKind::Other),
        _ => None,
    })
}

fn mac_of(message: &LinkMessage) -> Option<[u8; 6]> {
    let bytes = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Address(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok(),
            _ => None,
        });
    bytes.filter(|bytes| *bytes != [0; 6])
}

/// The interface's own address: `IFA_LOCAL` where there is one (on a point-to-point link
/// `IFA_ADDRESS` is the other end's), else `IFA_ADDRESS`.
fn address_of(message: &AddressMessage) -> Option<IpAddr> {
    let find = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| {
        message.attributes.iter().find_map(wanted)
    };
    find(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    })
    .or_else(|| {
        find(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_loopback_link_is_in_a_dump() {
        let mut connection = Connection::open().unwrap();
        let links = connection.links().unwrap();
        let loopback = links.get(&1).expect("lo has index 1");
        assert_eq!(
            (loopback.name.as_str(), loopback.kind),
            ("lo", LinkKind::Other)
        );
        let addresses = connection.addresses().unwrap();
        assert!(addresses.iter().all(|address| !address.is_loopback()));
    }

    #[test]
    fn a_namespace_without_a_link_to_it_has_no_number() {
        let own = std::fs::File::open("/proc/self/ns/net").unwrap();
        let mut connection = Connection::open().unwrap();
        assert_eq!(connection.nsid_of(own.as_fd()).unwrap(), None);
        let not_a_namespace = std::fs::File::open("/dev/null").unwrap();
        assert!(connection.nsid_of(not_a_namespace.as_fd()).is_err());
    }

    proptest! {
        #[test]
        fn any_datagram_is_split_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            for_each_message(&bytes, |_| ());
        }
    }
}
