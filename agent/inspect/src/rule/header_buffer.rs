//! Headers of a packet that rules look into as bytes.

use crate::protocol::named;

named! {
    /// A header as bytes.
    HeaderBuffer {
        Ether: "ether.hdr",
        Ipv4: "ipv4.hdr",
        Ipv6: "ipv6.hdr",
        Tcp: "tcp.hdr",
        Udp: "udp.hdr",
        Icmpv4: "icmpv4.hdr",
        Icmpv6: "icmpv6.hdr",
        Igmp: "igmp.hdr",
        Sctp: "sctp.hdr",
        SctpChunkData: "sctp.chunk_data",
        IpSource: "ip.src",
        IpDestination: "ip.dst",
    }
}
