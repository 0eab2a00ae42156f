//! What a finding tells of the packet that was its occasion.

use bytes::Bytes;

use crate::{
    decode::{Headers, Transport},
    engine::Inspection,
    finding::Context,
    flow::{Direction, Flow},
    packet::Timestamp,
    translation::likeness,
};

/// Ports of the client and of the server.
pub(super) const fn ports(flow: &Flow) -> [u16; 2] {
    [flow.client.socket.port, flow.server.socket.port]
}

/// The headers of a packet in the other direction.
pub(super) const fn reversed(headers: &Headers) -> Headers {
    let transport = match headers.transport {
        Transport::Tcp {
            source_port,
            destination_port,
            sequence,
            acknowledgement,
            flags,
            window,
        } => Transport::Tcp {
            source_port: destination_port,
            destination_port: source_port,
            sequence: acknowledgement,
            acknowledgement: sequence,
            flags,
            window,
        },
        Transport::Udp {
            source_port,
            destination_port,
        } => Transport::Udp {
            source_port: destination_port,
            destination_port: source_port,
        },
        other => other,
    };
    Headers {
        source: headers.destination,
        destination: headers.source,
        transport,
        ..*headers
    }
}

/// The part of what was evaluated that a finding shows: a little before the new bytes, and them.
pub(super) fn excerpt(inspection: &Inspection<'_>, most: usize) -> Bytes {
    let from = inspection.fresh.saturating_sub(most / 2);
    let data = inspection.data.get(from..).unwrap_or_default();
    Bytes::copy_from_slice(data.get(..most).unwrap_or(data))
}

pub(super) const fn icmp(headers: &Headers) -> Option<(u8, u8)> {
    match headers.transport {
        Transport::Icmp { kind, code, .. } => Some((kind, code)),
        _ => None,
    }
}

pub(super) fn context(
    flow: &Flow,
    direction: Direction,
    timestamp: Timestamp,
    icmp: Option<(u8, u8)>,
    payload: Bytes,
) -> Context {
    Context {
        timestamp,
        hook: flow.hook,
        ifindex: flow.ifindex,
        scope: flow.key.scope,
        protocol: Some(flow.key.protocol),
        icmp,
        source: flow.sender(direction).endpoint(),
        destination: flow.sender(direction.reverse()).endpoint(),
        to_server: direction == Direction::ToServer,
        flow: flow.summary(),
        vantage: flow.vantage(),
        likeness: likeness(flow),
        translation: None,
        tunnel: flow.tunnel.as_ref().map(|tunnel| {
            Box::new(match direction {
                Direction::ToServer => **tunnel,
                Direction::ToClient => tunnel.reversed(),
            })
        }),
        application: None,
        payload,
        in_stream: false,
        packet: None,
    }
}
