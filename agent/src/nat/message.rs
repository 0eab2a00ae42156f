//! Messages of nf_conntrack_netlink, as far as translations need them
//! (`include/uapi/linux/netfilter/nfnetlink_conntrack.h`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hydrophone_inspect::packet::SocketId;

/// `NFNL_SUBSYS_CTNETLINK`, the high byte of a message's type.
pub(super) const SUBSYSTEM: u8 = 1;
/// `IPCTNL_MSG_CT_NEW`, the low byte.
const NEW: u8 = 0;
/// `IPCTNL_MSG_CT_GET`.
pub(super) const GET: u8 = 1;
/// `IPCTNL_MSG_CT_DELETE`.
const DELETE: u8 = 2;

/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct nfgenmsg`.
const FAMILY_HEADER: usize = 4;
/// `NLA_TYPE_MASK`.
const TYPE: u16 = 0x3fff;

/// Attributes of a connection.
pub(super) const CTA_STATUS: u16 = 3;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
/// Attributes of a tuple.
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
/// Attributes of its addresses.
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
/// Attributes of its protocol.
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// One tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    /// The kernel's id of it.
    pub(super) id: u32,
    /// IP protocol number.
    pub(super) protocol: u8,
    /// Source and destination of its first packet, before any translation.
    pub(super) original: [SocketId; 2],
    /// The same after translation.
    pub(super) translated: [SocketId; 2],
}

impl Connection {
    /// Whether anything of it is changed on the way.
    pub(super) fn is_translated(&self) -> bool {
        self.original != self.translated
    }
}

/// What a message tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A connection is there.
    Begun(Connection),
    /// It is forgotten.
    Ended(Connection),
}

/// What a datagram held beside connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    /// `NLMSG_DONE`: nothing follows.
    pub(super) done: bool,
    /// `NLMSG_ERROR`: its number, 0 for an acknowledgement.
    pub(super) error: Option<i32>,
}

/// Splits a datagram into messages. What cannot be read is passed over.
pub(super) fn read(datagram: &[u8], mut take: impl FnMut(Change)) -> End {
    const NLMSG_ERROR: [u8; 2] = 2_u16.to_ne_bytes();
    const NLMSG_DONE: [u8; 2] = 3_u16.to_ne_bytes();
    const CONNTRACK_NEW: [u8; 2] = of_type(NEW);
    const CONNTRACK_DELETE: [u8; 2] = of_type(DELETE);
    let mut end = End::default();
    let mut rest = datagram;
    while let Some(&[l0, l1, l2, l3, t0, t1, ..]) = rest.first_chunk::<HEADER>() {
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        let Some(body) = rest.get(HEADER..length) else {
            break;
        };
        match [t0, t1] {
            NLMSG_DONE => end.done = true,
            NLMSG_ERROR => {
                end.error = body.first_chunk().map(|code| i32::from_ne_bytes(*code));
            }
            CONNTRACK_NEW => {
                if let Some(connection) = connection(body) {
                    take(Change::Begun(connection));
                }
            }
            CONNTRACK_DELETE => {
                if let Some(connection) = connection(body) {
                    take(Change::Ended(connection));
                }
            }
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    end
}

/// The type of a message of connection tracking, as it stands in memory.
const fn of_type(message: u8) -> [u8; 2] {
    u16::from_be_bytes([SUBSYSTEM, message]).to_ne_bytes()
}

/// A dump of all connections: `nlmsghdr` and `nfgenmsg` (any family).
pub(super) fn dump_request(sequence: u32) -> [u8; HEADER + FAMILY_HEADER] {
    /// `NLM_F_REQUEST | NLM_F_DUMP`.
    const FLAGS: u16 = 0x0301;
    let mut request = [0; HEADER + FAMILY_HEADER];
    let fields: [&[u8]; 4] = [
        &20_u32.to_ne_bytes(),
        &of_type(GET),
        &FLAGS.to_ne_bytes(),
        &sequence.to_ne_bytes(),
    ];
    for (byte, value) in request.iter_mut().zip(fields.concat()) {
        *byte = value;
    }
    request
}

fn connection(body: &[u8]) -> Option<Connection> {
    let attributes = body.get(FAMILY_HEADER..)?;
    let (protocol, original) = tuple(find(attributes, CTA_TUPLE_ORIG)?)?;
    let (_, [answering, answered]) = tuple(find(attributes, CTA_TUPLE_REPLY)?)?;
    let id = find(attributes, CTA_ID).and_then(|id| id.first_chunk());
    Some(Connection {
        id: id.map_or(0, |id| u32::from_be_bytes(*id)),
        protocol,
        original,
        translated: [answered, answering],
    })
}

/// Protocol, source and destination of a tuple. Ports are 0 where the protocol has none: ICMP
/// identifiers are left out, as they are from a flow's ends.
fn tuple(attributes: &[u8]) -> Option<(u8, [SocketId; 2])> {
    let addresses = find(attributes, CTA_TUPLE_IP)?;
    let protocol = find(attributes, CTA_TUPLE_PROTO)?;
    let end = |v4, v6, port| {
        Some(SocketId {
            address: address(addresses, v4, v6)?,
            port: find(protocol, port)
                .and_then(|port| port.first_chunk())
                .map_or(0, |port| u16::from_be_bytes(*port)),
        })
    };
    let number = *find(protocol, CTA_PROTO_NUM)?.first()?;
    let source = end(CTA_IP_V4_SRC, CTA_IP_V6_SRC, CTA_PROTO_SRC_PORT)?;
    let destination = end(CTA_IP_V4_DST, CTA_IP_V6_DST, CTA_PROTO_DST_PORT)?;
    Some((number, [source, destination]))
}

fn address(attributes: &[u8], v4: u16, v6: u16) -> Option<IpAddr> {
    if let Some(octets) = find(attributes, v4).and_then(|octets| octets.first_chunk::<4>()) {
        return Some(Ipv4Addr::from(*octets).into());
    }
    let octets = find(attributes, v6)?.first_chunk::<16>()?;
    Some(Ipv6Addr::from(*octets).into())
}

/// The value of the first attribute of a type (`struct nlattr`).
fn find(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    const LENGTH: usize = 4;
    let mut rest = attributes;
    while let Some(&[l0, l1, t0, t1]) = rest.first_chunk::<LENGTH>() {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = rest.get(LENGTH..length)?;
        if u16::from_ne_bytes([t0, t1]) & TYPE == wanted {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn tuple_attribute(kind: u16, protocol: u8, [source, destination]: [SocketId; 2]) -> Vec<u8> {
        let octets = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let first = if source.address.is_ipv4() { 1 } else { 3 };
        let addresses = [
            attribute(first, &octets(source.address)),
            attribute(first + 1, &octets(destination.address)),
        ];
        let protocol = [
            attribute(1, &[protocol]),
            attribute(2, &source.port.to_be_bytes()),
            attribute(3, &destination.port.to_be_bytes()),
        ];
        let nested = [
            attribute(1 | 0x8000, &addresses.concat()),
            attribute(2 | 0x8000, &protocol.concat()),
        ];
        attribute(kind | 0x8000, &nested.concat())
    }

    fn message(kind: u8, connection: &Connection) -> Vec<u8> {
        let [asking, server] = connection.translated;
        let body = [
            vec![2, 0, 0, 0],
            tuple_attribute(1, connection.protocol, connection.original),
            tuple_attribute(2, connection.protocol, [server, asking]),
            attribute(12, &connection.id.to_be_bytes()),
        ]
        .concat();
        let length = u32::try_from(HEADER + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(of_type(kind));
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes
    }

    pub(in crate::nat) fn end(address: &str) -> SocketId {
        let address: std::net::SocketAddr = address.parse().unwrap();
        SocketId {
            address: address.ip(),
            port: address.port(),
        }
    }

    pub(in crate::nat) fn published() -> Connection {
        Connection {
            id: 7,
            protocol: 6,
            original: [end("10.0.0.2:4000"), end("10.0.0.1:8080")],
            translated: [end("10.0.1.1:4000"), end("10.0.1.2:80")],
        }
    }

    #[test]
    fn connections_come_and_go() {
        let sixth = Connection {
            original: [end("[fd00::2]:1"), end("[fd00::1]:2")],
            translated: [end("[fd00::2]:1"), end("[fd01::2]:3")],
            ..published()
        };
        let mut bytes = message(NEW, &published());
        bytes.extend(message(DELETE, &sixth));
        let mut changes = Vec::new();
        assert_eq!(read(&bytes, |change| changes.push(change)), End::default());
        assert_eq!(changes, [Change::Begun(published()), Change::Ended(sixth)]);
        assert!(published().is_translated());
    }

    #[test]
    fn the_end_of_a_dump_and_errors_are_told() {
        let mut bytes = 16_u32.to_ne_bytes().to_vec();
        bytes.extend(3_u16.to_ne_bytes());
        bytes.extend([0; 10]);
        let done = End {
            done: true,
            error: None,
        };
        assert_eq!(read(&bytes, |_| ()), done);
        let mut bytes = 20_u32.to_ne_bytes().to_vec();
        bytes.extend(2_u16.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend((-1_i32).to_ne_bytes());
        assert_eq!(read(&bytes, |_| ()).error, Some(-1));
    }

    proptest! {
        #[test]
        fn any_datagram_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            read(&bytes, |_| ());
        }

        /// With damage in the middle of what is well-formed the attributes are reached.
        #[test]
        fn damaged_messages_are_read_without_panic(
            cut in 0_usize..200, place in 0_usize..200, value in any::<u8>()
        ) {
            let mut bytes = message(NEW, &published());
            let place = place % bytes.len();
            bytes[place] = value;
            bytes.truncate(bytes.len().saturating_sub(cut));
            read(&bytes, |_| ());
        }
    }
}
