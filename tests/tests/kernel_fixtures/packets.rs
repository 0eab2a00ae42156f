//! Frames by hand: the kernel programs must cope with what no library would build.

/// Ethernet II from 02::1 to 02::2.
pub(crate) fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A VLAN tag before `payload`, whose first header has type `ethertype`.
pub(crate) fn vlan(id: u16, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut tagged = id.to_be_bytes().to_vec();
    tagged.extend(ethertype.to_be_bytes());
    tagged.extend(payload);
    tagged
}

/// IPv4 without options, 10.0.0.1 to 10.0.0.2.
pub(crate) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_between([10, 0, 0, 1], [10, 0, 0, 2], 0, protocol, payload)
}

/// IPv4 with a fragment field (flags and offset).
pub(crate) fn ipv4_between(
    source: [u8; 4],
    destination: [u8; 4],
    fragment: u16,
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap_or(0);
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 1]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(source);
    packet.extend(destination);
    packet.extend(payload);
    packet
}

/// IPv6, fd00::1 to fd00::2.
pub(crate) fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    packet.extend([next_header, 64]);
    for last in [1, 2] {
        packet.push(0xfd);
        packet.extend([0; 14]);
        packet.push(last);
    }
    packet.extend(payload);
    packet
}

/// An IPv6 extension header of 8 bytes.
pub(crate) fn extension(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![next_header, 0, 1, 4, 0, 0, 0, 0];
    header.extend(payload);
    header
}

/// TCP without options from port 40000 to 80, with `flags`.
pub(crate) fn tcp(flags: u8, payload: &[u8]) -> Vec<u8> {
    tcp_between(40_000, 80, flags, payload)
}

pub(crate) fn tcp_between(sport: u16, dport: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = sport.to_be_bytes().to_vec();
    segment.extend(dport.to_be_bytes());
    segment.extend(1_000_u32.to_be_bytes());
    segment.extend(0_u32.to_be_bytes());
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    segment
}

/// UDP from port 40000 to 53.
pub(crate) fn udp(payload: &[u8]) -> Vec<u8> {
    let mut datagram = 40_000_u16.to_be_bytes().to_vec();
    datagram.extend(53_u16.to_be_bytes());
    datagram.extend(u16::try_from(8 + payload.len()).unwrap().to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

/// ARP request for 10.0.0.2 from 10.0.0.1.
pub(crate) fn arp() -> Vec<u8> {
    let mut message = vec![0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1];
    message.extend([0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    message
}
