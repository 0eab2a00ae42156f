//! Named events for traffic that breaks its protocol, or that no honest stack sends.

mod event;
mod set;

pub use event::{DecodeEvent, stream_event};
pub use set::{AnomalyCounts, AnomalySet};

/// Declares [`Anomaly`] from its table. Each row: number, whether it becomes a finding, name, the
/// names of Suricata's `decode-event` keyword that it answers, those of `stream-event`.
macro_rules! anomalies {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $alerts:ident, $name:literal,
       [$($decode:literal),*], [$($stream:literal),*];)*) => {
        /// What was wrong with a packet, a fragment or a stream. The number is part of the event's
        /// signature id ([`Anomaly::sid`]) and never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Anomaly {
            $($(#[$doc])* $variant = $number,)*
        }

        impl Anomaly {
            /// All of them, by number.
            pub const ALL: [Self; [$($number),*].len()] = [$(Self::$variant),*];

            /// The name that events, statistics and configuration use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether it becomes a finding. What honest traffic does too, when the sensor misses
            /// packets or at any time, is counted only, and is there for rules.
            #[must_use]
            pub const fn alerts(self) -> bool {
                match self {
                    $(Self::$variant => weight::$alerts,)*
                }
            }

            /// Names of Suricata's `decode-event` keyword that ask for it.
            #[must_use]
            pub const fn decode_events(self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant => &[$($decode),*],)*
                }
            }

            /// Names of Suricata's `stream-event` keyword that ask for it.
            #[must_use]
            pub const fn stream_events(self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant => &[$($stream),*],)*
                }
            }
        }
    };
}

/// The words of the table's second column.
#[expect(non_upper_case_globals, reason = "they read as words in the table")]
mod weight {
    pub(super) const alerts: bool = true;
    pub(super) const counted: bool = false;
}

anomalies! {
    /// The link header ends before its payload type.
    LinkHeaderTruncated = 0, alerts, "link_header_truncated", ["ethernet.pkt_too_small"], [];
    /// More VLAN tags than [`crate::decode::MAX_VLAN_TAGS`].
    VlanDepth = 1, alerts, "vlan_depth", ["vlan.too_many_layers"], [];
    /// ARP that is too short for the addresses it announces (RFC 826).
    ArpHeader = 2, alerts, "arp_header", ["arp.pkt_too_small"], [];
    /// Where IP has to be, the version nibble is neither 4 nor 6.
    IpVersion = 3, alerts, "ip_version", ["ipraw.invalid_ip_version", "ltnull.unsupported_type"], [];
    /// Fewer than 20 octets of IPv4.
    Ipv4HeaderTruncated = 4, alerts, "ipv4_header_truncated", ["ipv4.pkt_too_small"], [];
    /// IHL below 5 or beyond the packet (RFC 791 section 3.1).
    Ipv4HeaderLength = 5, alerts, "ipv4_header_length", ["ipv4.hlen_too_small"], [];
    /// Total length beyond the frame.
    Ipv4TotalLength = 6, alerts, "ipv4_total_length", ["ipv4.trunc_pkt"], [];
    /// An option runs past the header.
    Ipv4Options = 7, alerts, "ipv4_options", ["ipv4.opt_invalid", "ipv4.opt_invalid_len", "ipv4.opt_malformed"], [];
    /// Fewer than 40 octets of IPv6.
    Ipv6HeaderTruncated = 8, alerts, "ipv6_header_truncated", ["ipv6.pkt_too_small"], [];
    /// Payload length beyond the frame.
    Ipv6PayloadLength = 9, alerts, "ipv6_payload_length", ["ipv6.trunc_pkt"], [];
    /// An extension header, or what it announces, ends behind the packet.
    Ipv6ExtensionTruncated = 10, alerts, "ipv6_extension_truncated", ["ipv6.trunc_exthdr"], [];
    /// Too many extension headers, or one where RFC 8200 section 4.1 forbids it.
    Ipv6ExtensionChain = 11, alerts, "ipv6_extension_chain", [], [];
    /// A fragment that is not a multiple of 8 octets and not the last, or is empty.
    FragmentLength = 12, alerts, "fragment_length", ["ipv6.frag_invalid_length"], [];
    /// A fragment that ends behind octet 65,535 of its datagram ("ping of death").
    FragmentTooLarge = 13, alerts, "fragment_too_large", ["ipv4.frag_pkt_too_large", "ipv6.frag_pkt_too_large"], [];
    /// Fragments of one datagram overlap (RFC 5722, "teardrop").
    FragmentOverlap = 14, alerts, "fragment_overlap", ["ipv4.frag_overlap", "ipv6.frag_overlap"], [];
    /// Fewer than 20 octets of TCP.
    TcpHeaderTruncated = 15, alerts, "tcp_header_truncated", ["tcp.pkt_too_small"], [];
    /// Data offset below 5 (RFC 9293 section 3.1).
    TcpDataOffset = 16, alerts, "tcp_data_offset", ["tcp.hlen_too_small"], [];
    /// Fewer than 8 octets of UDP.
    UdpHeaderTruncated = 17, alerts, "udp_header_truncated", ["udp.hlen_too_small"], [];
    /// UDP length beyond the packet.
    UdpLength = 18, alerts, "udp_length", ["udp.pkt_too_small", "udp.hlen_invalid"], [];
    /// Fewer than 8 octets of ICMP or ICMPv6.
    IcmpHeaderTruncated = 19, alerts, "icmp_header_truncated", ["icmpv4.pkt_too_small", "icmpv6.pkt_too_small"], [];
    /// Fewer than 12 octets of SCTP.
    SctpHeaderTruncated = 20, alerts, "sctp_header_truncated", ["sctp.pkt_too_small"], [];
    /// The capture ends inside the headers. The sensor's limit, not the sender's doing.
    CaptureTooShort = 21, counted, "capture_too_short", [], [];
    /// Two segments carry different octets for the same place of a stream.
    StreamOverlapConflict = 22, alerts, "stream_overlap_conflict", [], ["reassembly_overlap_different_data"];
    /// Octets for a place of a stream that had been given up as lost.
    StreamLateData = 23, counted, "stream_late_data", [], ["reassembly_segment_before_base_seq"];
    /// RST whose sequence number is not the next one (RFC 5961 section 3.2).
    TcpResetSequence = 24, counted, "tcp_reset_sequence", [], ["rst_invalid_ack"];
    /// SYN together with FIN or RST.
    TcpFlags = 25, alerts, "tcp_flags", [], ["fin_syn"];
    /// Total length below the header's.
    Ipv4TotalLengthShort = 26, alerts, "ipv4_total_length_short", ["ipv4.iplen_smaller_than_hlen"], [];
    /// The payload type says IPv4, the version nibble does not.
    Ipv4Version = 27, alerts, "ipv4_version", ["ipv4.wrong_ip_version"], [];
    /// The payload type says IPv6, the version nibble does not.
    Ipv6Version = 28, alerts, "ipv6_version", ["ipv6.wrong_ip_version"], [];
    /// An IPv4 option that stands twice.
    Ipv4OptionDuplicate = 29, counted, "ipv4_option_duplicate", ["ipv4.opt_duplicate"], [];
    /// An IPv4 option that IANA does not list as in use.
    Ipv4OptionUnknown = 30, counted, "ipv4_option_unknown", ["ipv4.opt_unknown"], [];
    /// ICMPv6 in IPv4.
    Ipv4Icmpv6 = 31, counted, "ipv4_icmpv6", ["ipv4.icmpv6"], [];
    /// A fragment header on a whole packet (RFC 6946 allows it, RFC 8021 advises against it).
    Ipv6FragmentUseless = 32, counted, "ipv6_fragment_useless", ["ipv6.exthdr_useless_fh"], [];
    /// A second fragment header.
    Ipv6FragmentRepeated = 33, alerts, "ipv6_fragment_repeated", ["ipv6.exthdr_dupl_fh"], [];
    /// A second routing header.
    Ipv6RoutingRepeated = 34, counted, "ipv6_routing_repeated", ["ipv6.exthdr_dupl_rh"], [];
    /// A second header of hop-by-hop options.
    Ipv6HopByHopRepeated = 35, alerts, "ipv6_hop_by_hop_repeated", ["ipv6.exthdr_dupl_hh"], [];
    /// A third header of destination options (RFC 8200 section 4.1 allows two).
    Ipv6DestinationRepeated = 36, counted, "ipv6_destination_repeated", ["ipv6.exthdr_dupl_dh"], [];
    /// A second authentication header.
    Ipv6AuthenticationRepeated = 37, counted, "ipv6_authentication_repeated", ["ipv6.exthdr_dupl_ah"], [];
    /// An authentication header whose reserved field is not 0.
    Ipv6AuthenticationReserved = 38, counted, "ipv6_authentication_reserved", ["ipv6.exthdr_ah_res_not_null"], [];
    /// A routing header of type 0 (RFC 5095).
    Ipv6RoutingType0 = 39, counted, "ipv6_routing_type0", ["ipv6.rh_type_0"], [];
    /// An IPv6 option runs past its header.
    Ipv6OptionLength = 40, counted, "ipv6_option_length", ["ipv6.exthdr_invalid_optlen"], [];
    /// A hop-by-hop option that is not known.
    Ipv6HopByHopUnknown = 41, counted, "ipv6_hop_by_hop_unknown", ["ipv6.hopopts_unknown_opt"], [];
    /// Hop-by-hop options that are padding only.
    Ipv6HopByHopPadding = 42, counted, "ipv6_hop_by_hop_padding", ["ipv6.hopopts_only_padding"], [];
    /// A destination option that is not known.
    Ipv6DestinationUnknown = 43, counted, "ipv6_destination_unknown", ["ipv6.dstopts_unknown_opt"], [];
    /// Destination options that are padding only.
    Ipv6DestinationPadding = 44, counted, "ipv6_destination_padding", ["ipv6.dstopts_only_padding"], [];
    /// PadN without octets.
    Ipv6PaddingEmpty = 45, counted, "ipv6_padding_empty", ["ipv6.zero_len_padn"], [];
    /// A fragment header whose reserved field is not 0.
    Ipv6FragmentReserved = 46, counted, "ipv6_fragment_reserved", ["ipv6.fh_non_zero_reserved_field"], [];
    /// Octets behind "no next header" (RFC 8200 section 4.7).
    Ipv6DataAfterNone = 47, counted, "ipv6_data_after_none", ["ipv6.data_after_none_header"], [];
    /// A next header that IANA has not assigned.
    Ipv6UnknownNext = 48, counted, "ipv6_unknown_next", ["ipv6.unknown_next_header"], [];
    /// ICMP for IPv4 in IPv6.
    Ipv6Icmpv4 = 49, counted, "ipv6_icmpv4", ["ipv6.icmpv4"], [];
    /// A fragment with octets that were there before, the same.
    FragmentRepeat = 50, counted, "fragment_repeat", ["ipv4.frag_overlap", "ipv6.frag_overlap"], [];
    /// IPv4 in IPv6, fewer than 20 octets.
    Ipv4InIpv6Truncated = 51, counted, "ipv4_in_ipv6_truncated", ["ipv6.ipv4_in_ipv6_too_small"], [];
    /// IPv4 in IPv6 whose version nibble is not 4.
    Ipv4InIpv6Version = 52, counted, "ipv4_in_ipv6_version", ["ipv6.ipv4_in_ipv6_wrong_version"], [];
    /// IPv6 in IPv6, fewer than 40 octets.
    Ipv6InIpv6Truncated = 53, counted, "ipv6_in_ipv6_truncated", ["ipv6.ipv6_in_ipv6_too_small"], [];
    /// IPv6 in IPv6 whose version nibble is not 6.
    Ipv6InIpv6Version = 54, counted, "ipv6_in_ipv6_version", ["ipv6.ipv6_in_ipv6_wrong_version"], [];
    /// An ICMP type that is not known.
    IcmpUnknownType = 55, counted, "icmp_unknown_type", ["icmpv4.unknown_type", "icmpv6.unknown_type"], [];
    /// An ICMP code that its type does not have.
    IcmpUnknownCode = 56, counted, "icmp_unknown_code", ["icmpv4.unknown_code", "icmpv6.unknown_code"], [];
    /// An ICMP error that cites less than an IP header.
    IcmpEmbeddedTruncated = 57, counted, "icmp_embedded_truncated", ["icmpv4.ipv4_trunc_pkt", "icmpv6.ipv6_trunc_pkt"], [];
    /// An ICMP error that cites a packet of another IP version.
    IcmpEmbeddedVersion = 58, counted, "icmp_embedded_version", ["icmpv4.ipv4_unknown_ver", "icmpv6.ipv6_unknown_version"], [];
    /// A multicast listener message whose hop limit is not 1 (RFC 2710 section 3).
    Icmpv6ListenerHopLimit = 59, counted, "icmpv6_listener_hop_limit", ["icmpv6.mld_message_with_invalid_hl"], [];
    /// An ICMPv6 type that IANA has not assigned.
    Icmpv6Unassigned = 60, counted, "icmpv6_unassigned", ["icmpv6.unassigned_type"], [];
    /// An ICMPv6 type for private experimentation.
    Icmpv6Experiment = 61, counted, "icmpv6_experiment", ["icmpv6.experimentation_type"], [];
    /// Fewer than 8 octets of IGMP.
    IgmpTruncated = 62, counted, "igmp_truncated", ["igmp.pkt_too_small"], [];
    /// An IGMPv3 message that is shorter than its sources or groups.
    Igmpv3Truncated = 63, counted, "igmpv3_truncated", ["igmp.v3_pkt_too_small"], [];
    /// An IGMPv3 message with group records that end behind it.
    IgmpMalformed = 64, counted, "igmp_malformed", ["igmp.malformed"], [];
    /// Data offset beyond the packet.
    TcpHeaderBeyond = 65, alerts, "tcp_header_beyond", ["tcp.invalid_optlen"], [];
    /// A TCP option whose length is not that of its kind, or runs past the header.
    TcpOptionLength = 66, counted, "tcp_option_length", ["tcp.opt_invalid_len"], [];
    /// A TCP option that stands twice.
    TcpOptionDuplicate = 67, counted, "tcp_option_duplicate", ["tcp.opt_duplicate"], [];
    /// UDP length below 8.
    UdpLengthShort = 68, alerts, "udp_length_short", ["udp.len_invalid"], [];
    /// Less than the header of a Linux cooked capture.
    SllHeaderTruncated = 69, alerts, "sll_header_truncated", ["sll.pkt_too_small", "sll2.pkt_too_small"], [];
    /// Less than the header of BSD loopback.
    NullHeaderTruncated = 70, alerts, "null_header_truncated", ["ltnull.pkt_too_small"], [];
    /// Less than the header of Cisco HDLC.
    ChdlcHeaderTruncated = 71, counted, "chdlc_header_truncated", ["chdlc.pkt_too_small"], [];
    /// An EtherType that is not looked into.
    EthernetUnknownType = 72, counted, "ethernet_unknown_type", ["ethernet.unknown_ethertype"], [];
    /// A VLAN tag that ends behind the frame.
    VlanHeaderTruncated = 73, alerts, "vlan_header_truncated", ["vlan.header_too_small"], [];
    /// An EtherType behind a VLAN tag that is not looked into.
    VlanUnknownType = 74, counted, "vlan_unknown_type", ["vlan.unknown_type"], [];
    /// PPP without a protocol (RFC 1661 section 2).
    PppTruncated = 75, counted, "ppp_truncated", ["ppp.pkt_too_small"], [];
    /// PPP with too few octets for TCP/IP under Van Jacobson compression (RFC 1144).
    PppVjTruncated = 76, counted, "ppp_vj_truncated", ["ppp.vju_pkt_too_small"], [];
    /// PPP with fewer than 20 octets of IPv4.
    PppIpv4Truncated = 77, counted, "ppp_ipv4_truncated", ["ppp.ip4_pkt_too_small"], [];
    /// PPP with fewer than 40 octets of IPv6.
    PppIpv6Truncated = 78, counted, "ppp_ipv6_truncated", ["ppp.ip6_pkt_too_small"], [];
    /// PPP with a protocol that does not exist.
    PppType = 79, counted, "ppp_type", ["ppp.wrong_type"], [];
    /// PPP with a protocol that is not looked into.
    PppUnsupported = 80, counted, "ppp_unsupported", ["ppp.unsup_proto"], [];
    /// PPPoE that is shorter than its header or its length (RFC 2516).
    PppoeTruncated = 81, counted, "pppoe_truncated", ["pppoe.pkt_too_small"], [];
    /// PPPoE with a code that does not exist.
    PppoeCode = 82, counted, "pppoe_code", ["pppoe.wrong_code"], [];
    /// PPPoE discovery with a tag that ends behind it.
    PppoeTags = 83, counted, "pppoe_tags", ["pppoe.malformed_tags"], [];
    /// Fewer than 4 octets of GRE.
    GreTruncated = 84, counted, "gre_truncated", ["gre.pkt_too_small"], [];
    /// GRE of a version other than 0 and 1.
    GreVersion = 85, counted, "gre_version", ["gre.wrong_version"], [];
    /// GRE with recursion control (RFC 1701).
    GreV0Recursion = 86, counted, "gre_v0_recursion", ["gre.version0_recur"], [];
    /// GRE with reserved flags.
    GreV0Flags = 87, counted, "gre_v0_flags", ["gre.version0_flags"], [];
    /// A GRE header that ends behind the packet.
    GreV0Header = 88, counted, "gre_v0_header", ["gre.version0_hdr_too_big"], [];
    /// A GRE source route that ends behind the packet.
    GreV0Routes = 89, counted, "gre_v0_routes", ["gre.version0_malformed_sre_hdr"], [];
    /// PPTP with a checksum (RFC 2637 section 4.1).
    GreV1Checksum = 90, counted, "gre_v1_checksum", ["gre.version1_chksum"], [];
    /// PPTP with routing.
    GreV1Routing = 91, counted, "gre_v1_routing", ["gre.version1_route"], [];
    /// PPTP with strict source routing.
    GreV1SourceRoute = 92, counted, "gre_v1_source_route", ["gre.version1_ssr"], [];
    /// PPTP with recursion control.
    GreV1Recursion = 93, counted, "gre_v1_recursion", ["gre.version1_recur"], [];
    /// PPTP with reserved flags.
    GreV1Flags = 94, counted, "gre_v1_flags", ["gre.version1_flags"], [];
    /// PPTP without a key.
    GreV1NoKey = 95, counted, "gre_v1_no_key", ["gre.version1_no_key"], [];
    /// PPTP with something other than PPP.
    GreV1Protocol = 96, counted, "gre_v1_protocol", ["gre.version1_wrong_protocol"], [];
    /// A PPTP header that ends behind the packet.
    GreV1Header = 97, counted, "gre_v1_header", ["gre.version1_hdr_too_big"], [];
    /// An MPLS label stack that ends behind the frame (RFC 3032).
    MplsTruncated = 98, counted, "mpls_truncated", ["mpls.header_too_small", "mpls.pkt_too_small"], [];
    /// MPLS label 1 at the bottom of the stack.
    MplsRouterAlert = 99, counted, "mpls_router_alert", ["mpls.bad_label_router_alert"], [];
    /// MPLS label 3, which never stands in a packet.
    MplsImplicitNull = 100, counted, "mpls_implicit_null", ["mpls.bad_label_implicit_null"], [];
    /// A reserved MPLS label.
    MplsReserved = 101, counted, "mpls_reserved", ["mpls.bad_label_reserved"], [];
    /// MPLS with a payload that is not known by its first octet.
    MplsPayload = 102, counted, "mpls_payload", ["mpls.unknown_payload_type"], [];
    /// VXLAN with an EtherType that is not looked into.
    VxlanPayload = 103, counted, "vxlan_payload", ["vxlan.unknown_payload_type"], [];
    /// Geneve with a payload that is not looked into.
    GenevePayload = 104, counted, "geneve_payload", ["geneve.unknown_payload_type"], [];
    /// Less than the header of ERSPAN.
    ErspanTruncated = 105, counted, "erspan_truncated", ["erspan.header_too_small"], [];
    /// ERSPAN of an unknown version.
    ErspanVersion = 106, counted, "erspan_version", ["erspan.unsupported_version"], [];
    /// Less than the header of a network service header (RFC 8300).
    NshTruncated = 107, counted, "nsh_truncated", ["nsh.header_too_small"], [];
    /// A network service header of an unknown version.
    NshVersion = 108, counted, "nsh_version", ["nsh.unsupported_version"], [];
    /// A network service header whose length contradicts its type or the frame.
    NshHeaderLength = 109, counted, "nsh_header_length", ["nsh.bad_header_length"], [];
    /// A network service header of a reserved type.
    NshReservedType = 110, counted, "nsh_reserved_type", ["nsh.reserved_type"], [];
    /// A network service header of an unknown type.
    NshUnsupportedType = 111, counted, "nsh_unsupported_type", ["nsh.unsupported_type"], [];
    /// A network service header with a payload that is not looked into.
    NshPayload = 112, counted, "nsh_payload", ["nsh.unknown_payload"], [];
    /// ARP for something other than Ethernet.
    ArpHardware = 113, counted, "arp_hardware", ["arp.unsupported_hardware"], [];
    /// ARP for something other than IPv4.
    ArpProtocol = 114, counted, "arp_protocol", ["arp.unsupported_protocol"], [];
    /// ARP for Ethernet whose hardware addresses are not 6 octets.
    ArpHardwareSize = 115, alerts, "arp_hardware_size", ["arp.invalid_hardware_size"], [];
    /// ARP for IPv4 whose protocol addresses are not 4 octets.
    ArpProtocolSize = 116, alerts, "arp_protocol_size", ["arp.invalid_protocol_size"], [];
    /// ARP with an unknown operation.
    ArpOperation = 117, counted, "arp_operation", ["arp.unsupported_opcode"], [];
    /// More packets within packets than [`crate::decode::MAX_TUNNELS`].
    TooManyLayers = 118, counted, "too_many_layers", ["too_many_layers"], [];
    /// Fewer than 8 octets of ESP (RFC 4303 section 2).
    EspTruncated = 119, counted, "esp_truncated", ["esp.pkt_too_small"], [];
    /// Octets of a stream that the receiver has acknowledged were not seen.
    StreamGap = 120, counted, "stream_gap", [], ["reassembly_seq_gap"];
    /// A timestamp option that echoes what was never sent (RFC 7323 section 3.2).
    TcpTimestamp = 121, counted, "tcp_timestamp", [], ["pkt_invalid_timestamp"];
    /// Another of many different SYNs on the same ports.
    TcpSynFlood = 122, counted, "tcp_syn_flood", [], ["3whs_syn_flood"];
    /// The sender of an RST goes on: somebody else had sent it.
    TcpResetIgnored = 123, counted, "tcp_reset_ignored", [], ["suspected_rst_inject"];
    /// Less than the header of 802.1ah.
    BackboneTruncated = 124, counted, "backbone_truncated", ["ieee8021ah.header_too_small"], [];
    /// Less than a VN-Tag (802.1BR).
    VnTagTruncated = 125, counted, "vn_tag_truncated", ["vntag.header_too_small"], [];
    /// An EtherType behind a VN-Tag that is not looked into.
    VnTagUnknownType = 126, counted, "vn_tag_unknown_type", ["vntag.unknown_type"], [];
}

impl Anomaly {
    /// Signature ids of anomalies start here, those of behaviours end before.
    const SID_BASE: u32 = 1000;

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
