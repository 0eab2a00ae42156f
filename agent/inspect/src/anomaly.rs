//! Named events for traffic that breaks its protocol, or that no honest stack sends.

/// What was wrong with a packet, a fragment or a stream. The number is part of the event's
/// signature id ([`Anomaly::sid`]) and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Anomaly {
    /// The link header ends before its payload type.
    LinkHeaderTruncated = 0,
    /// More VLAN tags than [`crate::decode::MAX_VLAN_TAGS`].
    VlanDepth = 1,
    /// ARP that is too short or whose address lengths contradict its types (RFC 826).
    ArpHeader = 2,
    /// The version nibble is not that of the link's payload type.
    IpVersion = 3,
    /// Fewer than 20 octets of IPv4.
    Ipv4HeaderTruncated = 4,
    /// IHL below 5 or beyond the packet (RFC 791 section 3.1).
    Ipv4HeaderLength = 5,
    /// Total length below the header's or beyond the frame.
    Ipv4TotalLength = 6,
    /// An option runs past the header.
    Ipv4Options = 7,
    /// Fewer than 40 octets of IPv6.
    Ipv6HeaderTruncated = 8,
    /// Payload length beyond the frame.
    Ipv6PayloadLength = 9,
    /// An extension header ends behind the packet.
    Ipv6ExtensionTruncated = 10,
    /// Too many extension headers, or one where RFC 8200 section 4.1 forbids it.
    Ipv6ExtensionChain = 11,
    /// A fragment that is not a multiple of 8 octets and not the last, or is empty.
    FragmentLength = 12,
    /// A fragment that ends behind octet 65,535 of its datagram ("ping of death").
    FragmentTooLarge = 13,
    /// Fragments of one datagram overlap (RFC 5722, "teardrop").
    FragmentOverlap = 14,
    /// Fewer than 20 octets of TCP.
    TcpHeaderTruncated = 15,
    /// Data offset below 5 or beyond the packet (RFC 9293 section 3.1).
    TcpDataOffset = 16,
    /// Fewer than 8 octets of UDP.
    UdpHeaderTruncated = 17,
    /// UDP length below 8 or beyond the packet.
    UdpLength = 18,
    /// Fewer than 8 octets of ICMP or ICMPv6.
    IcmpHeaderTruncated = 19,
    /// Fewer than 12 octets of SCTP.
    SctpHeaderTruncated = 20,
    /// The capture ends inside the headers. The sensor's limit, not the sender's doing.
    CaptureTooShort = 21,
    /// Two segments carry different octets for the same place of a stream.
    StreamOverlapConflict = 22,
    /// Octets for a place of a stream that had been given up as lost.
    StreamLateData = 23,
    /// RST whose sequence number is not the next one (RFC 5961 section 3.2).
    TcpResetSequence = 24,
    /// SYN together with FIN or RST.
    TcpFlags = 25,
}

impl Anomaly {
    /// Signature ids of anomalies start here, those of behaviours end before.
    const SID_BASE: u32 = 1000;

    /// All of them, by number.
    pub const ALL: [Self; 26] = [
        Self::LinkHeaderTruncated,
        Self::VlanDepth,
        Self::ArpHeader,
        Self::IpVersion,
        Self::Ipv4HeaderTruncated,
        Self::Ipv4HeaderLength,
        Self::Ipv4TotalLength,
        Self::Ipv4Options,
        Self::Ipv6HeaderTruncated,
        Self::Ipv6PayloadLength,
        Self::Ipv6ExtensionTruncated,
        Self::Ipv6ExtensionChain,
        Self::FragmentLength,
        Self::FragmentTooLarge,
        Self::FragmentOverlap,
        Self::TcpHeaderTruncated,
        Self::TcpDataOffset,
        Self::UdpHeaderTruncated,
        Self::UdpLength,
        Self::IcmpHeaderTruncated,
        Self::SctpHeaderTruncated,
        Self::CaptureTooShort,
        Self::StreamOverlapConflict,
        Self::StreamLateData,
        Self::TcpResetSequence,
        Self::TcpFlags,
    ];

    /// The name that events, statistics and configuration use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinkHeaderTruncated => "link_header_truncated",
            Self::VlanDepth => "vlan_depth",
            Self::ArpHeader => "arp_header",
            Self::IpVersion => "ip_version",
            Self::Ipv4HeaderTruncated => "ipv4_header_truncated",
            Self::Ipv4HeaderLength => "ipv4_header_length",
            Self::Ipv4TotalLength => "ipv4_total_length",
            Self::Ipv4Options => "ipv4_options",
            Self::Ipv6HeaderTruncated => "ipv6_header_truncated",
            Self::Ipv6PayloadLength => "ipv6_payload_length",
            Self::Ipv6ExtensionTruncated => "ipv6_extension_truncated",
            Self::Ipv6ExtensionChain => "ipv6_extension_chain",
            Self::FragmentLength => "fragment_length",
            Self::FragmentTooLarge => "fragment_too_large",
            Self::FragmentOverlap => "fragment_overlap",
            Self::TcpHeaderTruncated => "tcp_header_truncated",
            Self::TcpDataOffset => "tcp_data_offset",
            Self::UdpHeaderTruncated => "udp_header_truncated",
            Self::UdpLength => "udp_length",
            Self::IcmpHeaderTruncated => "icmp_header_truncated",
            Self::SctpHeaderTruncated => "sctp_header_truncated",
            Self::CaptureTooShort => "capture_too_short",
            Self::StreamOverlapConflict => "stream_overlap_conflict",
            Self::StreamLateData => "stream_late_data",
            Self::TcpResetSequence => "tcp_reset_sequence",
            Self::TcpFlags => "tcp_flags",
        }
    }

    /// Signature id under [`crate::Signature::BEHAVIOR_GID`].
    #[must_use]
    pub const fn sid(self) -> u32 {
        Self::SID_BASE + self as u32
    }

    /// Position in [`Anomaly::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether it becomes a finding. What honest traffic does too when the sensor misses packets
    /// is counted only.
    #[must_use]
    pub const fn alerts(self) -> bool {
        !matches!(
            self,
            Self::CaptureTooShort | Self::StreamLateData | Self::TcpResetSequence
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_unique() {
        let mut names: Vec<_> = Anomaly::ALL.iter().map(|a| a.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Anomaly::ALL.len());
        for (at, anomaly) in Anomaly::ALL.iter().enumerate() {
            assert_eq!(anomaly.index(), at);
        }
    }
}
