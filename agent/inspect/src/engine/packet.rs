//! Tests of a packet's headers and of its flow's counters.

use super::Inspection;
use crate::{
    decode::Transport,
    rule::{IntegerTest, PacketNumber, PacketTest, StreamSide},
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
        PacketTest::Protocol { negated, protocol } => {
            let flow = &inspection.flow;
            match protocol {
                None => flow.application_failed != *negated,
                // Nothing is known to be another protocol before it is known.
                Some(_) if flow.application.is_none() => *negated && flow.application_failed,
                wanted => (flow.application == *wanted) != *negated,
            }
        }
        PacketTest::IpOption(_)
        | PacketTest::FragmentBits { .. }
        | PacketTest::Event(..)
        | PacketTest::VlanId(..)
        | PacketTest::Checksum(..) => false,
    }
}

fn number_passes(number: PacketNumber, test: IntegerTest, inspection: &Inspection<'_>) -> bool {
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
        _ => return None,
    })
}
