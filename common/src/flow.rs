//! The kernel's flow table: key, state and the budget of each direction.

use crate::record::OwnerRecord;

/// Key of a flow, the same for both directions: the end with the lower (address, port) is `low`.
///
/// `#[repr(C)]`, 48 bytes, no implicit padding: the map hashes its bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Address of the lower end, its bytes as they lie in memory. IPv4: the first four, the rest 0.
    pub low: [u64; 2],
    /// Address of the higher end.
    pub high: [u64; 2],
    /// Network namespace cookie for loopback traffic, else 0.
    pub scope: u64,
    /// Port of the lower end, network byte order; 0 where the protocol has none.
    pub low_port: u16,
    /// Port of the higher end.
    pub high_port: u16,
    /// IP protocol number; 0 for ARP.
    pub protocol: u8,
    /// One of the `FAMILY_…` constants.
    pub family: u8,
    /// Always 0.
    pub padding: u16,
}

impl FlowKey {
    /// Orders two ends into a key, and says which direction goes from `source` to `destination`
    /// (0: from `low`, 1: from `high`). Ports are in network byte order. Protocol, family and scope
    /// are left 0.
    ///
    /// Kernel and user space build their keys here, so that they agree. Any total order would do;
    /// words compare faster than bytes.
    #[inline(always)]
    #[must_use]
    pub const fn between(
        source: [u64; 2],
        destination: [u64; 2],
        source_port: u16,
        destination_port: u16,
    ) -> (Self, u8) {
        let [s0, s1] = source;
        let [d0, d1] = destination;
        let swap = if s0 != d0 {
            s0 > d0
        } else if s1 != d1 {
            s1 > d1
        } else {
            source_port > destination_port
        };
        let mut key = Self {
            low: source,
            high: destination,
            scope: 0,
            low_port: source_port,
            high_port: destination_port,
            protocol: 0,
            family: 0,
            padding: 0,
        };
        if swap {
            key.low = destination;
            key.high = source;
            key.low_port = destination_port;
            key.high_port = source_port;
            return (key, 1);
        }
        (key, 0)
    }

    /// An IPv4 address as the key holds it.
    #[inline(always)]
    #[must_use]
    pub const fn ipv4(address: [u8; 4]) -> [u64; 2] {
        let [a, b, c, d] = address;
        [u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]), 0]
    }

    /// An IPv6 address as the key holds it.
    #[inline(always)]
    #[must_use]
    pub const fn ipv6(address: [u8; 16]) -> [u64; 2] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = address;
        [
            u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            u64::from_ne_bytes([i, j, k, l, m, n, o, p]),
        ]
    }
}

/// Key of the table of bare devices: those of which no hooked link sees the packets, so that the socket
/// hooks do.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BareDevice {
    /// Cookie of a container's network namespace; in the host's, which it shares with others, the
    /// cgroup2 id of the container.
    pub owner: u64,
    /// Index of the device in that namespace.
    pub ifindex: u32,
    /// Always 0.
    pub padding: u32,
}

/// [`Direction::budget`]: nothing is recorded until the next connection.
pub const BUDGET_NONE: u64 = u64::MAX;
/// [`FlowKey::family`]: IPv4.
pub const FAMILY_IPV4: u8 = 4;
/// [`FlowKey::family`]: IPv6.
pub const FAMILY_IPV6: u8 = 6;
/// [`FlowKey::family`]: ARP; the addresses are the sender's and target's protocol addresses.
pub const FAMILY_ARP: u8 = 1;

/// One direction of a flow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// Packets at the hook that inspects this direction.
    pub packets: u64,
    /// Wire bytes of those, from the network header on.
    pub bytes: u64,
    /// First packet, `CLOCK_MONOTONIC` nanoseconds; 0 before it.
    pub first_ns: u64,
    /// Last packet.
    pub last_ns: u64,
    /// Since when `spent` counts.
    pub renewed_ns: u64,
    /// Bytes recorded since then.
    pub spent: u64,
    /// Bytes that may be recorded: 0 for the default, [`BUDGET_NONE`] for none until the next
    /// connection, else what the agent has set until the next renewal.
    pub budget: u64,
    /// Highest TCP sequence number after a segment's end, seen at socket egress.
    pub sequence_end: u32,
    /// OR of the TCP flags.
    pub tcp_flags: u8,
    /// Bit `1 << Hook` of each hook that inspects this direction.
    pub hooks: u8,
    /// Always 0.
    pub padding: u16,
    /// The end that sends in this direction.
    pub sender: OwnerRecord,
}

/// Value of the flow table. `directions[0]` goes from `low` to `high`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowState {
    /// Both directions.
    pub directions: [Direction; 2],
}

const _: () = assert!(size_of::<FlowKey>() == 48);
const _: () = assert!(size_of::<BareDevice>() == 16);
const _: () = assert!(size_of::<Direction>() == 104);
const _: () = assert!(size_of::<FlowState>() == 208);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_one_key() {
        let a = FlowKey::ipv4([10, 0, 0, 1]);
        let b = FlowKey::ipv4([10, 0, 0, 2]);
        for (sport, dport) in [(1, 2), (2, 1), (7, 7)] {
            let (there, forth) = FlowKey::between(a, b, sport, dport);
            let (back, reverse) = FlowKey::between(b, a, dport, sport);
            assert_eq!(there, back);
            assert_ne!(forth, reverse);
        }
        let (there, forth) = FlowKey::between(a, a, 1, 2);
        let (back, reverse) = FlowKey::between(a, a, 2, 1);
        assert_eq!(there, back);
        assert_ne!(forth, reverse);
    }
}
