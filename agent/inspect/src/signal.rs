//! What the flow stage of each inspector tells the correlator, which sees across flows.

use std::sync::Arc;

use crate::{
    anomaly::Anomaly, decode::TcpFlags, engine::Rule, event::Event, finding::Context,
    packet::SocketId,
};

/// One thing that happened in a flow.
#[derive(Clone, Debug)]
pub enum Signal {
    /// A rule matched.
    Match {
        /// The rule.
        rule: Arc<Rule>,
        /// Where.
        context: Context,
    },
    /// Somebody tried to reach somebody, or the other side answered.
    Contact(Contact),
    /// Malformed traffic.
    Anomaly {
        /// What was wrong.
        anomaly: Anomaly,
        /// Where.
        context: Context,
    },
    /// What [`crate::InspectorLimits::events`] asks for.
    Event(Box<Event>),
}

/// How one end tried to reach another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attempt {
    /// TCP SYN.
    Syn,
    /// TCP without any flag.
    Null,
    /// TCP with FIN alone.
    Fin,
    /// TCP with FIN, PSH and URG.
    Xmas,
    /// TCP with ACK, and perhaps FIN, outside a connection. Told only when it is refused: any
    /// connection that is older than the sensor begins so.
    Ack,
    /// UDP.
    Udp,
    /// ICMP or ICMPv6 echo request.
    Echo,
}

impl Attempt {
    /// The attempt that TCP flags other than SYN make, when they are the first of a flow.
    #[must_use]
    pub const fn of_flags(flags: TcpFlags) -> Option<Self> {
        const XMAS: u8 = TcpFlags::FIN | TcpFlags::PSH | TcpFlags::URG;
        const ACK: u8 = TcpFlags::ACK;
        const FIN_ACK: u8 = TcpFlags::FIN | TcpFlags::ACK;
        match flags.0 & !(TcpFlags::ECE | TcpFlags::CWR) {
            0 => Some(Self::Null),
            TcpFlags::FIN => Some(Self::Fin),
            XMAS => Some(Self::Xmas),
            ACK | FIN_ACK => Some(Self::Ack),
            _ => None,
        }
    }

    /// No honest stack sends it: whether it was answered does not matter.
    #[must_use]
    pub const fn is_odd(self) -> bool {
        matches!(self, Self::Null | Self::Fin | Self::Xmas)
    }
}

/// What became of an attempt so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was sent.
    Sent,
    /// The other side answered (SYN with ACK, echo reply, datagram).
    Answered,
    /// TCP: the client completed the handshake.
    Completed,
    /// The other side refused it (RST, ICMP port unreachable).
    Refused,
}

impl Signal {
    /// Where it comes from.
    pub(crate) const fn context(&self) -> &Context {
        match self {
            Self::Match { context, .. } | Self::Anomaly { context, .. } => context,
            Self::Contact(contact) => &contact.context,
            Self::Event(event) => &event.context,
        }
    }

    /// The same, to be completed.
    pub(crate) const fn context_mut(&mut self) -> &mut Context {
        match self {
            Self::Match { context, .. } | Self::Anomaly { context, .. } => context,
            Self::Contact(contact) => &mut contact.context,
            Self::Event(event) => &mut event.context,
        }
    }
}

/// One attempt, or what became of it: a few for each flow, however many packets it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// How.
    pub attempt: Attempt,
    /// What became of it.
    pub outcome: Outcome,
    /// Who and to whom: `source` is always the one that attempted. Its payload is empty.
    pub context: Context,
}

/// A wish about one direction of a flow, for the sensor that chooses what is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowDirective {
    /// The end that sends in this direction.
    pub source: SocketId,
    /// The end that receives.
    pub destination: SocketId,
    /// IP protocol number.
    pub protocol: u8,
    /// See [`crate::Packet::scope`].
    pub scope: u64,
    /// Bytes to capture from now on, whatever is left of the budget.
    pub more: u32,
}

/// Takes what an inspector has to tell. Must not block.
pub trait SignalSink {
    /// One signal.
    fn signal(&mut self, signal: Signal);

    /// One wish about capture. Dropping it costs evidence, not correctness.
    fn directive(&mut self, directive: FlowDirective) {
        let _ = directive;
    }
}

impl SignalSink for Vec<Signal> {
    fn signal(&mut self, signal: Signal) {
        self.push(signal);
    }
}
