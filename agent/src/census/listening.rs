//! Sockets of a network namespace that wait for others, by sock_diag(7).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd as _,
};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use rustix::time::Timespec;

use super::netlink::readable;

/// A socket that waits for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listening {
    /// IP protocol: 6 or 17.
    pub protocol: u8,
    /// Port.
    pub port: u16,
    /// Address it is bound to; unspecified for any.
    pub address: IpAddr,
}

/// Sockets read from one namespace. A container can make them by the thousand.
const MAX: usize = 64;
/// From here on the kernel gives ports to UDP clients (`ip_local_port_range`): they wait for answers.
const EPHEMERAL: u16 = 32_768;
/// A dump ends in time; a kernel that does not answer is no reason to stand still.
const TIMEOUT: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};

const HEADER: usize = 16;
/// `struct inet_diag_req_v2` of linux/inet_diag.h.
const REQUEST: usize = 56;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const FLAGS: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Bits of the states of linux/tcp_states.h: LISTEN, and CLOSE, which a UDP socket without a peer has.
const LISTEN: u32 = 1 << 10;
const CLOSE: u32 = 1 << 7;

/// What waits in the network namespace of this thread, sorted, at most [`MAX`].
pub(super) fn listening_here() -> io::Result<Vec<Listening>> {
    let mut found = Vec::new();
    for (protocol, states) in [(libc::IPPROTO_TCP, LISTEN), (libc::IPPROTO_UDP, CLOSE)] {
        for family in [libc::AF_INET, libc::AF_INET6] {
            let protocol = u8::try_from(protocol).unwrap_or_default();
            let family = u8::try_from(family).unwrap_or_default();
            dump(family, protocol, states, &mut found)?;
        }
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(MAX);
    Ok(found)
}

fn dump(family: u8, protocol: u8, states: u32, found: &mut Vec<Listening>) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut request = Vec::with_capacity(HEADER + REQUEST);
    let length = u32::try_from(HEADER + REQUEST).unwrap_or_default();
    request.extend_from_slice(&length.to_ne_bytes());
    request.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend_from_slice(&FLAGS.to_ne_bytes());
    request.resize(HEADER, 0);
    request.extend_from_slice(&[family, protocol, 0, 0]);
    request.extend_from_slice(&states.to_ne_bytes());
    request.resize(HEADER + REQUEST, 0);
    socket.send(&request, 0)?;
    let mut buffer = Vec::with_capacity(64 << 10);
    loop {
        if !readable(socket.as_fd(), Some(&TIMEOUT))? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        buffer.clear();
        socket.recv(&mut buffer, 0)?;
        if take(&buffer, protocol, found) {
            return Ok(());
        }
    }
}

/// Takes the sockets out of a datagram; whether it was the last.
fn take(datagram: &[u8], protocol: u8, found: &mut Vec<Listening>) -> bool {
    let mut rest = datagram;
    while let Some((length, kind)) = header(rest) {
        let Some(payload) = rest.get(HEADER..length) else {
            return true;
        };
        match kind {
            // A kernel without udp_diag says so by an error: nothing is known then.
            NLMSG_DONE | NLMSG_ERROR => return true,
            SOCK_DIAG_BY_FAMILY => {
                let waits = |one: &Listening| protocol == 6 || one.port < EPHEMERAL;
                found.extend(
                    socket_of(payload, protocol)
                        .filter(waits)
                        .filter(|_| found.len() < 16 * MAX),
                );
            }
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    rest.len() == datagram.len()
}

fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    (length >= HEADER).then_some((length, kind))
}

/// `struct inet_diag_msg`: family, three bytes, then ports, source (16 octets) and destination.
fn socket_of(message: &[u8], protocol: u8) -> Option<Listening> {
    let family = i32::from(*message.first()?);
    let port = u16::from_be_bytes(*message.get(4..)?.first_chunk()?);
    let peer = u16::from_be_bytes(*message.get(6..)?.first_chunk()?);
    let source = message.get(8..)?;
    let address = if family == libc::AF_INET {
        IpAddr::from(Ipv4Addr::from(*source.first_chunk()?))
    } else {
        IpAddr::from(Ipv6Addr::from(*source.first_chunk()?))
    };
    (port != 0 && peer == 0).then_some(Listening {
        protocol,
        port,
        address,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_waits_here_is_listed_and_what_is_connected_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let six = TcpListener::bind("[::1]:0").unwrap();
        // A port that nobody else has, below those of clients.
        let udp = (20_000..30_000)
            .find_map(|port| UdpSocket::bind(("127.0.0.1", port)).ok())
            .unwrap();
        let asking = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut found = Vec::new();
        for (protocol, states) in [(6, LISTEN), (17, CLOSE)] {
            for family in [2, 10] {
                dump(family, protocol, states, &mut found).unwrap();
            }
        }
        let waits = |protocol, at: std::net::SocketAddr| {
            found.contains(&Listening {
                protocol,
                port: at.port(),
                address: at.ip(),
            })
        };
        assert!(waits(6, listener.local_addr().unwrap()), "{found:?}");
        assert!(waits(6, six.local_addr().unwrap()), "{found:?}");
        assert!(waits(17, udp.local_addr().unwrap()), "{found:?}");
        assert!(!waits(6, client.local_addr().unwrap()), "{found:?}");
        assert!(!waits(17, asking.local_addr().unwrap()), "{found:?}");
        assert!(listening_here().unwrap().len() <= MAX);
    }

    proptest! {
        #[test]
        fn any_datagram_is_taken(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = take(&bytes, 6, &mut Vec::new());
        }
    }
}
