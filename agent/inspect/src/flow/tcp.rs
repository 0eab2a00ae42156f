//! The state of a TCP connection, seen from between its ends (RFC 9293, as Linux does it).

use super::flow::{Direction, Flow};
use crate::{
    anomaly::Anomaly,
    decode::{TcpFlags, tcp_timestamps},
    signal::{Attempt, Outcome},
};

/// How far a connection has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not TCP, or nothing seen.
    #[default]
    None,
    /// First seen without its handshake.
    MidStream,
    /// The client sent SYN.
    SynSent,
    /// The server answered with SYN and ACK.
    SynReceived,
    /// The client acknowledged.
    Established,
    /// RST, or FIN of both sides.
    Closed,
}

/// What one side of a connection has said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Half {
    /// Sequence number of the first byte of its stream.
    pub(crate) start: Option<u32>,
    /// The greatest acknowledgement it has received.
    pub(crate) acknowledged: Option<u32>,
    /// Behind the greatest window it was offered.
    pub(crate) edge: Option<u32>,
    /// Window scale that its SYN announced, if any (RFC 7323 section 2); once that was seen.
    scale: Option<Option<u8>>,
    /// The sequence number behind its FIN.
    fin: Option<u32>,
    /// What its first segment was, when it had neither payload nor SYN.
    probe: Option<Attempt>,
    /// A SYN in the middle of the connection: perhaps the next one on the same ports.
    next_start: Option<u32>,
    /// SYNs that differed from the one before.
    syns: u8,
    /// The timestamp of its first SYN (RFC 7323 section 3).
    timestamp: Option<u32>,
    /// The sequence number of its RST, and how far the connection had come.
    reset: Option<(u32, Phase)>,
}

/// Different SYNs on the same ports that somebody may honestly send.
const MAX_SYNS: u8 = 11;

/// The header of one segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentHeader<'a> {
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: TcpFlags,
    pub(crate) window: u16,
    pub(crate) options: &'a [u8],
    /// Payload on the wire.
    pub(crate) payload_length: u32,
}

impl SegmentHeader<'_> {
    fn is(self, flags: u8) -> bool {
        const LOOKED_AT: u8 = TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST | TcpFlags::FIN;
        self.flags.0 & LOOKED_AT == flags
    }

    /// Sequence number of the first payload byte: SYN takes one itself.
    pub(crate) const fn payload_sequence(self) -> u32 {
        self.sequence
            .wrapping_add(self.flags.any(TcpFlags::SYN) as u32)
    }

    const fn end(self) -> u32 {
        self.payload_sequence()
            .wrapping_add(self.payload_length)
            .wrapping_add(self.flags.any(TcpFlags::FIN) as u32)
    }
}

/// What a segment meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tracked {
    pub(crate) contact: Option<(Attempt, Outcome)>,
    pub(crate) anomaly: Option<Anomaly>,
}

/// Whether the segment begins another connection on the ports of `flow`, so that a new flow is
/// due. Where there is a stream to lose, a SYN alone does not end it (RFC 5961 section 4), nor
/// after a reset, which may have been forged: only the answer to it does.
pub(crate) fn begins_anew(
    flow: &mut Flow,
    direction: Direction,
    segment: &SegmentHeader<'_>,
) -> bool {
    if matches!(
        flow.phase,
        Phase::None | Phase::SynSent | Phase::SynReceived
    ) {
        return false;
    }
    let disposable = flow.phase == Phase::Closed && flow.footprint() == 0;
    let probes = Attempt::of_flags(segment.flags).is_some_and(Attempt::is_odd);
    if disposable && (probes || segment.is(TcpFlags::SYN)) {
        return true;
    }
    let (sender, receiver) = flow.sides_mut(direction);
    let start = segment.payload_sequence();
    if segment.is(TcpFlags::SYN) && sender.tcp.start != Some(start) {
        sender.tcp.next_start = Some(start);
    }
    segment.is(TcpFlags::SYN | TcpFlags::ACK)
        && receiver.tcp.next_start == Some(segment.acknowledgement)
}

/// Follows one segment.
pub(crate) fn track(flow: &mut Flow, direction: Direction, segment: &SegmentHeader<'_>) -> Tracked {
    let mut tracked = Tracked::default();
    if echoes_nothing(flow, direction, segment) {
        tracked.anomaly = Some(Anomaly::TcpTimestamp);
        return tracked;
    }
    if segment.flags.any(TcpFlags::SYN) && segment.flags.any(TcpFlags::FIN | TcpFlags::RST) {
        tracked.anomaly = Some(Anomaly::TcpFlags);
        return tracked;
    }
    if segment.flags.any(TcpFlags::RST) {
        return reset(flow, direction, segment);
    }
    if goes_on(flow, direction, segment) {
        tracked.anomaly = Some(Anomaly::TcpResetIgnored);
    }
    if segment.flags.any(TcpFlags::SYN) {
        tracked.contact = synchronize(flow, direction, segment);
        if flow.phase == Phase::SynSent && flow.client.tcp.syns > MAX_SYNS {
            tracked.anomaly = Some(Anomaly::TcpSynFlood);
        }
    } else {
        tracked.contact = proceed(flow, direction, segment);
    }
    let (sender, receiver) = flow.sides_mut(direction);
    if segment.flags.any(TcpFlags::ACK) {
        acknowledge(&mut receiver.tcp, &sender.tcp, segment);
    }
    if segment.flags.any(TcpFlags::FIN) {
        sender.tcp.fin = Some(segment.end());
    }
    // The last acknowledgement is not captured when the budget is spent.
    let both = sender.tcp.fin.is_some() && receiver.tcp.fin.is_some();
    if both && (sender.tcp.finished() || receiver.tcp.finished()) {
        flow.shut();
    }
    tracked
}

/// Whether an answer to SYN echoes a timestamp that was not in one: Linux takes neither its ACK
/// nor its RST (`tcp_rcv_synsent_state_process`).
fn echoes_nothing(flow: &Flow, direction: Direction, segment: &SegmentHeader<'_>) -> bool {
    /// Timestamps count milliseconds or slower; SYN is sent again for a few minutes.
    const MAX_AHEAD: u32 = 1 << 20;
    if flow.phase != Phase::SynSent || direction == Direction::ToServer {
        return false;
    }
    let echo = tcp_timestamps(segment.options).map_or(0, |(_, echo)| echo);
    // Which of several SYNs is answered cannot be told.
    let sent = flow
        .client
        .tcp
        .timestamp
        .filter(|_| flow.client.tcp.syns == 1);
    echo != 0 && sent.is_some_and(|sent| echo.wrapping_sub(sent) > MAX_AHEAD)
}

/// Whether the segment acknowledges what the other side has sent after its RST: then that was
/// forged, and the connection is where it was.
fn goes_on(flow: &mut Flow, direction: Direction, segment: &SegmentHeader<'_>) -> bool {
    if flow.phase != Phase::Closed || !segment.flags.any(TcpFlags::ACK) {
        return false;
    }
    let other = &mut flow.sides_mut(direction).1.tcp;
    let Some((sequence, phase)) = other.reset else {
        return false;
    };
    let ahead = segment.acknowledgement.wrapping_sub(sequence);
    if ahead.cast_signed() <= 0 {
        return false;
    }
    other.reset = None;
    flow.phase = phase;
    true
}

impl Half {
    /// A FIN that the other side has acknowledged.
    fn finished(&self) -> bool {
        self.fin.is_some() && self.fin == self.acknowledged
    }

    /// The timestamp of its first SYN.
    pub(crate) const fn timestamp(&self) -> Option<u32> {
        self.timestamp
    }

    /// The greatest acknowledgement, without the place that FIN takes.
    pub(crate) fn acknowledged_data(&self) -> Option<u32> {
        let acknowledged = self.acknowledged?;
        Some(if self.finished() {
            acknowledged.wrapping_sub(1)
        } else {
            acknowledged
        })
    }
}

fn synchronize(
    flow: &mut Flow,
    direction: Direction,
    segment: &SegmentHeader<'_>,
) -> Option<(Attempt, Outcome)> {
    if !matches!(flow.phase, Phase::None | Phase::SynSent) {
        return None;
    }
    let (sender, receiver) = flow.sides_mut(direction);
    if segment.flags.any(TcpFlags::ACK) {
        sender.tcp.start = Some(segment.payload_sequence());
        sender.tcp.scale = Some(window_scale(segment.options));
        // The server says which SYN it took, should there have been several.
        if receiver.stream.is_none() {
            receiver.tcp.start = Some(segment.acknowledgement);
        }
        flow.phase = Phase::SynReceived;
        return Some((Attempt::Syn, Outcome::Answered));
    }
    if direction == Direction::ToClient {
        return None;
    }
    let start = segment.payload_sequence();
    let repeated = sender.tcp.start == Some(start);
    if !repeated {
        sender.tcp.syns = sender.tcp.syns.saturating_add(1);
        sender.tcp.timestamp = tcp_timestamps(segment.options).map(|(value, _)| value);
    }
    if sender.stream.is_none() {
        sender.tcp.start = Some(start);
    }
    sender.tcp.scale = Some(window_scale(segment.options));
    flow.phase = Phase::SynSent;
    (!repeated).then_some((Attempt::Syn, Outcome::Sent))
}

fn proceed(
    flow: &mut Flow,
    direction: Direction,
    segment: &SegmentHeader<'_>,
) -> Option<(Attempt, Outcome)> {
    match flow.phase {
        Phase::None => {
            flow.phase = Phase::MidStream;
            let attempt = Attempt::of_flags(segment.flags);
            flow.client.tcp.probe = attempt.filter(|_| segment.payload_length == 0);
            let attempt = attempt.filter(|attempt| attempt.is_odd())?;
            Some((attempt, Outcome::Sent))
        }
        // The answer was not seen.
        Phase::SynSent if direction == Direction::ToServer => {
            flow.phase = Phase::MidStream;
            None
        }
        Phase::SynReceived => {
            let expected = flow.server.tcp.start == Some(segment.acknowledgement);
            if segment.payload_length == 0 && (direction == Direction::ToClient || !expected) {
                return None;
            }
            flow.phase = Phase::Established;
            Some((Attempt::Syn, Outcome::Completed))
        }
        _ => None,
    }
}

fn reset(flow: &mut Flow, direction: Direction, segment: &SegmentHeader<'_>) -> Tracked {
    let refused = direction == Direction::ToClient;
    let contact = match flow.phase {
        Phase::SynSent if refused => {
            // Linux takes a reset in this state only if it acknowledges the SYN.
            let expected = flow.client.tcp.start;
            if segment.flags.any(TcpFlags::ACK) && expected == Some(segment.acknowledgement) {
                Some((Attempt::Syn, Outcome::Refused))
            } else {
                None
            }
        }
        Phase::MidStream if refused && flow.server.packets == 1 => {
            let probe = flow.client.tcp.probe;
            probe.map(|attempt| (attempt, Outcome::Refused))
        }
        Phase::None => None,
        // The client refuses something that the server has not sent. Nobody is there to close.
        Phase::SynSent => return Tracked::default(),
        Phase::Closed => return Tracked::default(),
        _ => {
            let (sender, _) = flow.sides_mut(direction);
            let stream = sender.stream.as_ref();
            let next = stream.map_or(sender.tcp.start, |stream| Some(stream.next_sequence()));
            let behind_gap = stream.is_some_and(|stream| stream.has_gaps());
            let sequence = segment.sequence;
            let valid = next.is_none_or(|next| {
                let ahead = sequence.wrapping_sub(next);
                ahead <= 1 || (behind_gap && ahead.cast_signed() > 0)
            }) || sender.tcp.acknowledged == Some(sequence);
            if !valid {
                return Tracked {
                    contact: None,
                    anomaly: Some(Anomaly::TcpResetSequence),
                };
            }
            None
        }
    };
    let before = flow.phase;
    flow.shut();
    flow.sides_mut(direction).0.tcp.reset = Some((segment.sequence, before));
    Tracked {
        contact,
        anomaly: None,
    }
}

/// Notes what `segment`, sent by `from`, acknowledges and offers to `to`.
fn acknowledge(to: &mut Half, from: &Half, segment: &SegmentHeader<'_>) {
    /// The largest scale (RFC 7323 section 2.3), when the handshake was not seen.
    const MAX_SCALE: u8 = 14;
    let acknowledgement = segment.acknowledgement;
    to.acknowledged = Some(later(to.acknowledged, acknowledgement));
    let scale = match (from.scale, to.scale) {
        _ if segment.flags.any(TcpFlags::SYN) => 0,
        // Scaling is on only if both sides announced it.
        (Some(None), _) | (_, Some(None)) => 0,
        (Some(Some(scale)), Some(Some(_))) => scale.min(MAX_SCALE),
        _ => MAX_SCALE,
    };
    let edge = acknowledgement.wrapping_add(u32::from(segment.window) << scale);
    to.edge = Some(later(to.edge, edge));
}

/// The later of two sequence numbers (RFC 9293 section 3.4).
fn later(known: Option<u32>, new: u32) -> u32 {
    known
        .filter(|known| known.wrapping_sub(new).cast_signed() > 0)
        .unwrap_or(new)
}

/// The window scale option of a SYN.
fn window_scale(mut options: &[u8]) -> Option<u8> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const WINDOW_SCALE: u8 = 3;
    loop {
        match options {
            [WINDOW_SCALE, 3, scale, ..] => return Some(*scale),
            [NO_OPERATION, rest @ ..] => options = rest,
            [] | [END, ..] => return None,
            [_, length, ..] => {
                options = options.get(usize::from(*length).max(2)..)?;
            }
            [_] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_scale_is_found_among_options() {
        assert_eq!(window_scale(&[2, 4, 5, 180, 1, 3, 3, 7]), Some(7));
        assert_eq!(window_scale(&[0, 3, 3, 7]), None, "behind the end");
        assert_eq!(window_scale(&[8, 200, 3, 3, 7]), None, "inside another");
        assert_eq!(
            window_scale(&[5, 0, 3, 3, 7]),
            Some(7),
            "a length of 0 is passed over"
        );
        assert_eq!(window_scale(&[3]), None);
        assert_eq!(window_scale(&[3, 3]), None);
    }

    #[test]
    fn the_edge_is_scaled_only_if_both_sides_said_so() {
        let segment = SegmentHeader {
            sequence: 0,
            acknowledgement: 100,
            flags: TcpFlags(TcpFlags::ACK),
            window: 10,
            options: &[],
            payload_length: 0,
        };
        let edge = |from: Option<Option<u8>>, to: Option<Option<u8>>| {
            let half = |scale| Half {
                scale,
                ..Half::default()
            };
            let mut receiver = half(to);
            acknowledge(&mut receiver, &half(from), &segment);
            receiver.edge
        };
        assert_eq!(edge(Some(Some(7)), Some(Some(2))), Some(100 + (10 << 7)));
        assert_eq!(edge(Some(Some(7)), Some(None)), Some(110));
        assert_eq!(edge(Some(None), Some(Some(2))), Some(110));
        assert_eq!(edge(Some(Some(200)), Some(Some(2))), Some(100 + (10 << 14)));
        assert_eq!(
            edge(Some(Some(7)), None),
            Some(100 + (10 << 14)),
            "not seen"
        );
    }

    #[test]
    fn sequence_numbers_compare_around_the_wrap() {
        assert_eq!(later(Some(u32::MAX - 5), 10), 10);
        assert_eq!(later(Some(10), u32::MAX - 5), 10);
        assert_eq!(later(None, 3), 3);
    }
}
