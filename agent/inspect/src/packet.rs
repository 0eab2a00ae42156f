//! What enters the engine: one captured packet and where it was seen.

use core::net::IpAddr;

/// Nanoseconds since the Unix epoch. The engine has no other clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Whole seconds since 1970.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Nanoseconds from `earlier` to `self`; 0 when `earlier` is later (clocks of two hooks differ).
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Where a packet was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Classifier on the host side of a container link, ingress: the container sends.
    LinkIngress,
    /// Classifier on the host side of a container link, egress: the container receives.
    LinkEgress,
    /// `cgroup_skb` egress at the cgroup2 root: a socket sends.
    SocketEgress,
    /// `cgroup_skb` ingress at the cgroup2 root: a socket receives.
    SocketIngress,
    /// A capture file.
    Capture,
}

impl Hook {
    /// The name that alerts and metrics use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinkIngress => "link_ingress",
            Self::LinkEgress => "link_egress",
            Self::SocketEgress => "socket_egress",
            Self::SocketIngress => "socket_ingress",
            Self::Capture => "capture",
        }
    }
}

/// The first header in [`Packet::bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkType {
    /// Ethernet II (DLT 1).
    Ethernet,
    /// IPv4 or IPv6, told apart by the version nibble (DLT 12, 101; `cgroup_skb`).
    RawIp,
    /// BSD loopback: a 4-byte address family in the writer's byte order (DLT 0).
    Null,
    /// Linux cooked capture v1 (DLT 113).
    LinuxSll,
    /// Linux cooked capture v2 (DLT 276).
    LinuxSll2,
    /// PPP, with or without address and control octets (DLT 9, 50).
    Ppp,
    /// Cisco HDLC (DLT 104).
    CiscoHdlc,
}

impl LinkType {
    /// Its number in capture files (`LINKTYPE_…` of the tcpdump project).
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Null => 0,
            Self::Ethernet => 1,
            Self::Ppp => 9,
            Self::RawIp => 101,
            Self::CiscoHdlc => 104,
            Self::LinuxSll => 113,
            Self::LinuxSll2 => 276,
        }
    }
}

/// The process that opened a socket, as seen in its own `connect` or `sendmsg` call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// Thread group id in the host's pid namespace.
    pub pid: u32,
    /// User id in the host's user namespace.
    pub uid: u32,
    /// `task_struct.comm`, NUL-padded. Set by the process itself: hostile text.
    pub comm: [u8; 16],
}

/// What the kernel knew of one end of a packet when it recorded it. 0 is "not known".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Owner {
    /// cgroup2 id of the socket at this end.
    pub cgroup_id: u64,
    /// Host-side link behind which this end is.
    pub ifindex: u32,
    /// The process that called `connect` or `sendmsg` at this end.
    pub process: Option<Process>,
}

impl Owner {
    /// Fills what `self` does not know from `other`.
    pub fn merge(&mut self, other: &Self) {
        if self.cgroup_id == 0 {
            self.cgroup_id = other.cgroup_id;
        }
        if self.ifindex == 0 {
            self.ifindex = other.ifindex;
        }
        if self.process.is_none() {
            self.process = other.process;
        }
    }
}

/// One packet as it was captured. Both ends are as the packet names them: `source` sent it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// When the hook saw it.
    pub timestamp: Timestamp,
    /// Which hook saw it.
    pub hook: Hook,
    /// The link it was seen on; 0 when there is none.
    pub ifindex: u32,
    /// The first header in `bytes`.
    pub link_type: LinkType,
    /// Tells apart equal tuples of different network namespaces (127.0.0.1 in every pod):
    /// 0 for packets on links of the host, the namespace's cookie for loopback traffic.
    pub scope: u64,
    /// Captured bytes, from the link header on; at most `wire_length`.
    pub bytes: &'a [u8],
    /// Length on the wire in bytes, from the same header on.
    pub wire_length: u32,
    /// The sending end.
    pub source: Owner,
    /// The receiving end.
    pub destination: Owner,
}

/// Address and port; port 0 where the protocol has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId {
    /// IPv4 or IPv6 address (an IPv4-mapped IPv6 address is kept as it came).
    pub address: IpAddr,
    /// Transport port in host byte order.
    pub port: u16,
}
