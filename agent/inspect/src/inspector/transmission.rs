//! What TCP and the other protocols tell of a flow's beginning.

use crate::{
    decode::{Datagram, Transport},
    flow::{
        Direction, Flow,
        tcp::{self, SegmentHeader},
    },
    signal::{Attempt, Outcome},
};

/// The TCP header of a datagram.
pub(super) const fn segment_header<'a>(datagram: &Datagram<'a>) -> Option<SegmentHeader<'a>> {
    let Transport::Tcp {
        sequence,
        acknowledgement,
        flags,
        window,
        ..
    } = datagram.headers.transport
    else {
        return None;
    };
    Some(SegmentHeader {
        sequence,
        acknowledgement,
        flags,
        window,
        options: datagram.tcp_options,
        payload_length: datagram.headers.payload_length,
    })
}

/// See [`tcp::begins_anew`].
pub(super) fn begins_anew(flow: &mut Flow, from_low: bool, segment: &SegmentHeader<'_>) -> bool {
    let direction = flow.direction(from_low);
    tcp::begins_anew(flow, direction, segment)
}

/// What the first packet of either side of a flow without connections means. The packet has been
/// counted.
pub(super) const fn contact(
    flow: &Flow,
    direction: Direction,
    transport: &Transport,
) -> Option<(Attempt, Outcome)> {
    let attempt = match transport {
        Transport::Udp { .. } => Attempt::Udp,
        Transport::Icmp { kind: 8 | 128, .. } if matches!(direction, Direction::ToServer) => {
            Attempt::Echo
        }
        Transport::Icmp { kind: 0 | 129, .. } if matches!(direction, Direction::ToClient) => {
            Attempt::Echo
        }
        _ => return None,
    };
    if flow.sender(direction).packets != 1 {
        return None;
    }
    match direction {
        Direction::ToServer => Some((attempt, Outcome::Sent)),
        Direction::ToClient if flow.client.packets > 0 => Some((attempt, Outcome::Answered)),
        Direction::ToClient => None,
    }
}
