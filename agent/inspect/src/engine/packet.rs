//! Tests of a packet's headers and of its flow's counters.

use super::Inspection;
use crate::{
    decode::{PacketView, Transport},
    rule::{FlagsTest, IntegerTest, PacketNumber, PacketTest, ProtocolOf, StreamSide, VlanLayer},
};

const SECOND: u64 = 1_000_000_000;

/// Whether one test passes. What the packet does not have fails.
pub(super) fn passes(test: &PacketTest, inspection: &Inspection<'_>) -> bool {
    let headers = inspection.headers;
    match test {
        PacketTest::Flags(test) => match headers.transport {
            Transport::Tcp { flags, .. } => test.matches(flags.0),
            _ => false,
        },
        PacketTest::PayloadSize(test) => test.matches(u64::from(headers.payload_length)),
        PacketTest::Number(number, test) => number_passes(*number, *test, inspection),
        PacketTest::SameIp => headers.source == headers.destination,
        PacketTest::StreamSize(side, test) => {
            let [client, server] = inspection.flow.stream;
            match side {
                StreamSide::Client => test.matches(client),
                StreamSide::Server => test.matches(server),
                StreamSide::Both => test.matches(client) && test.matches(server),
                StreamSide::Either => test.matches(client) || test.matches(server),
            }
        }
        PacketTest::Protocol(test) => {
            let flow = &inspection.flow;
            // An end that says nothing by which it is known speaks what the other does.
            let [client, server] = flow.differing.map(|spoken| spoken.or(flow.application));
            let failed = flow.application_failed;
            match test.of {
                ProtocolOf::Direction if flow.to_server => test.passes(&[client], failed),
                ProtocolOf::Direction => test.passes(&[server], failed),
                ProtocolOf::ToServer => test.passes(&[client], failed),
                ProtocolOf::ToClient => test.passes(&[server], failed),
                ProtocolOf::Either => test.passes(&[client, server], failed),
                ProtocolOf::Final => test.passes(&[flow.application], failed),
                ProtocolOf::Original => test.passes(&[flow.original.or(flow.application)], failed),
            }
        }
        PacketTest::Reputation(test) => test.matches(headers.source, headers.destination),
        PacketTest::StreamEvent(wanted) => wanted.intersects(&inspection.events),
        PacketTest::IpOption(_)
        | PacketTest::FragmentBits { .. }
        | PacketTest::DecodeEvent(_)
        | PacketTest::VlanId(..)
        | PacketTest::Checksum(..) => inspection.view.is_some_and(|view| wire(test, view)),
    }
}

/// Tests of headers as they were on the wire.
fn wire(test: &PacketTest, view: &PacketView<'_>) -> bool {
    match test {
        PacketTest::IpOption(None) => view.ip_options().next().is_some(),
        PacketTest::IpOption(Some(kind)) => view.has_ip_option(*kind),
        PacketTest::FragmentBits { bits, mode } => view.fragment_bits().is_some_and(|seen| {
            let test = FlagsTest {
                wanted: *bits,
                mask: 0xff,
                mode: *mode,
            };
            test.matches(seen)
        }),
        PacketTest::DecodeEvent(event) => event.raised(view),
        PacketTest::VlanId(test, layer) => {
            let tags = view.vlan.as_slice();
            let passes = |tag: &u16| test.matches(u64::from(*tag));
            match layer {
                VlanLayer::Any => tags.iter().any(passes),
                VlanLayer::All => !tags.is_empty() && tags.iter().all(passes),
                VlanLayer::At(at) => {
                    let from_end = usize::from(at.unsigned_abs());
                    let tag = if *at < 0 {
                        tags.len().checked_sub(from_end).and_then(|at| tags.get(at))
                    } else {
                        tags.get(from_end)
                    };
                    tag.is_some_and(passes)
                }
            }
        }
        PacketTest::Checksum(of, valid) => {
            let seen = match *of {
                "ipv4" => view.ipv4_checksum_valid(),
                "igmp" if view.protocol != Some(2) => None,
                "tcp" if view.protocol != Some(6) => None,
                "udp" if view.protocol != Some(17) => None,
                "icmp" if !matches!(view.protocol, Some(1 | 58)) => None,
                _ => view.checksum_valid(),
            };
            seen == Some(*valid)
        }
        _ => false,
    }
}

fn number_passes(number: PacketNumber, test: IntegerTest, inspection: &Inspection<'_>) -> bool {
    if let (PacketNumber::SctpChunkType, Some(view)) = (number, inspection.view) {
        return view
            .sctp_chunks()
            .any(|chunk| test.matches(u64::from(chunk.kind)));
    }
    number_of(number, inspection).is_some_and(|value| test.matches(value))
}

fn number_of(number: PacketNumber, inspection: &Inspection<'_>) -> Option<u64> {
    let headers = inspection.headers;
    let flow = &inspection.flow;
    let [to_server, to_client] = flow.packets;
    let [bytes_to_server, bytes_to_client] = flow.bytes;
    Some(match (number, headers.transport) {
        (PacketNumber::Ttl, _) => u64::from(headers.ttl),
        (PacketNumber::IpProtocol, _) => u64::from(headers.protocol),
        (PacketNumber::IcmpType, Transport::Icmp { kind, .. }) => u64::from(kind),
        (PacketNumber::IcmpCode, Transport::Icmp { code, .. }) => u64::from(code),
        (PacketNumber::IcmpId, Transport::Icmp { identifier, .. }) => u64::from(identifier),
        (PacketNumber::IcmpSequence, Transport::Icmp { sequence, .. }) => u64::from(sequence),
        (PacketNumber::TcpSequence, Transport::Tcp { sequence, .. }) => u64::from(sequence),
        (
            PacketNumber::TcpAcknowledgement,
            Transport::Tcp {
                acknowledgement, ..
            },
        ) => u64::from(acknowledgement),
        (PacketNumber::TcpWindow, Transport::Tcp { window, .. }) => u64::from(window),
        (PacketNumber::FlowAge, _) => flow.age / SECOND,
        (PacketNumber::FlowPackets, _) => to_server + to_client,
        (PacketNumber::FlowPacketsToServer, _) => to_server,
        (PacketNumber::FlowPacketsToClient, _) => to_client,
        (PacketNumber::FlowBytes, _) => bytes_to_server + bytes_to_client,
        (PacketNumber::FlowBytesToServer, _) => bytes_to_server,
        (PacketNumber::FlowBytesToClient, _) => bytes_to_client,
        (number, _) => return inspection.view.and_then(|view| wire_number(number, view)),
    })
}

fn wire_number(number: PacketNumber, view: &PacketView<'_>) -> Option<u64> {
    match number {
        PacketNumber::IpId => view.ip_id().map(u64::from),
        PacketNumber::Tos => view.tos().map(u64::from),
        PacketNumber::FragmentOffset => view.fragment_offset().map(u64::from),
        PacketNumber::Icmpv6Mtu => view.icmpv6_mtu().map(u64::from),
        PacketNumber::IgmpType => view.igmp_type().map(u64::from),
        PacketNumber::TcpMss => view.tcp_mss().map(u64::from),
        PacketNumber::TcpWindowScale => view.tcp_window_scale().map(u64::from),
        PacketNumber::SctpChunkCount => {
            view.sctp()?;
            Some(view.sctp_chunks().count() as u64)
        }
        PacketNumber::SctpTag => view.sctp_tag().map(u64::from),
        PacketNumber::VlanLayers => Some(view.vlan.as_slice().len() as u64),
        _ => None,
    }
}
