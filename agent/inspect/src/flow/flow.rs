//! One flow: who, how much, and in which state.

use core::num::NonZeroU64;

use super::tcp::{Half, Phase};
use super::{key::FlowKey, stream::Stream, table::Lifetime};
use crate::{
    anomaly::{Anomaly, AnomalySet},
    decode::{Headers, TcpFlags, Transport},
    engine::{FlowMatches, FlowState},
    finding::{Endpoint, FlowSummary},
    inspector::application::Application,
    packet::{Hook, Owner, SocketId, Timestamp},
    translation::Tunnel,
};

/// Which way a packet of a flow goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client, who began.
    ToServer,
    /// From the server.
    ToClient,
}

impl Direction {
    /// Its place in a pair: 0 is the client's, 1 the server's.
    #[must_use]
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The other one.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// One end of a flow, with what it sent.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) socket: SocketId,
    pub(crate) owner: Owner,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Where its last packet was seen.
    pub(crate) hook: Option<Hook>,
    /// All TCP flags that it has set.
    pub(crate) flags: TcpFlags,
    pub(crate) tcp: Half,
    /// Made by the first payload.
    pub(crate) stream: Option<Box<Stream>>,
    pub(crate) matches: FlowMatches,
}

impl Side {
    fn new(socket: SocketId) -> Self {
        Self {
            socket,
            owner: Owner::default(),
            packets: 0,
            bytes: 0,
            hook: None,
            flags: TcpFlags(0),
            tcp: Half::default(),
            stream: None,
            matches: FlowMatches::default(),
        }
    }

    pub(crate) const fn endpoint(&self) -> Endpoint {
        Endpoint {
            socket: self.socket,
            owner: self.owner,
        }
    }
}

/// Two ends that exchange packets.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) key: FlowKey,
    pub(crate) id: u64,
    pub(crate) start: Timestamp,
    pub(crate) last_seen: Timestamp,
    pub(crate) hook: Hook,
    pub(crate) ifindex: u32,
    pub(crate) client_is_low: bool,
    pub(crate) client: Side,
    pub(crate) server: Side,
    pub(crate) phase: Phase,
    /// How far the connection had come when it was closed.
    pub(crate) closed_in: Phase,
    /// What carries its packets, as the client sends it.
    pub(crate) tunnel: Option<Box<Tunnel>>,
    /// What the first datagram tells, where there are no connections.
    pub(crate) likeness: Option<NonZeroU64>,
    /// What rules have set.
    pub(crate) state: FlowState,
    /// Made by the first payload.
    pub(crate) application: Option<Box<Application>>,
    /// More capture was asked for after a match.
    pub(crate) evidence_asked: bool,
    /// A rule has matched.
    pub(crate) alerted: bool,
    /// Anomalies that were raised: each once in a flow.
    raised: AnomalySet,
}

impl Flow {
    /// A flow that begins with a packet of `headers`.
    pub(crate) fn new(key: FlowKey, from_low: bool, headers: &Headers, now: Timestamp) -> Self {
        let source_is_client = match headers.transport {
            Transport::Tcp { flags, .. } => !flags.all(TcpFlags::SYN | TcpFlags::ACK),
            // An answer whose request was not seen.
            Transport::Icmp { kind, .. } => {
                !matches!((headers.source.is_ipv4(), kind), (true, 0) | (false, 129))
            }
            _ => true,
        };
        let (source_port, destination_port) = headers.ports();
        let source = Side::new(SocketId {
            address: headers.source,
            port: source_port,
        });
        let destination = Side::new(SocketId {
            address: headers.destination,
            port: destination_port,
        });
        let (client, server) = if source_is_client {
            (source, destination)
        } else {
            (destination, source)
        };
        Self {
            key,
            id: key.flow_id(now.0),
            start: now,
            last_seen: now,
            hook: Hook::Capture,
            ifindex: 0,
            client_is_low: from_low == source_is_client,
            client,
            server,
            phase: Phase::default(),
            closed_in: Phase::default(),
            tunnel: None,
            likeness: None,
            state: FlowState::default(),
            application: None,
            evidence_asked: false,
            alerted: false,
            raised: AnomalySet::default(),
        }
    }

    /// The direction of a packet, by whether it comes from the lesser end of the key.
    pub(crate) const fn direction(&self, from_low: bool) -> Direction {
        if from_low == self.client_is_low {
            Direction::ToServer
        } else {
            Direction::ToClient
        }
    }

    /// The end that sends in `direction`.
    pub(crate) const fn sender(&self, direction: Direction) -> &Side {
        match direction {
            Direction::ToServer => &self.client,
            Direction::ToClient => &self.server,
        }
    }

    /// The sending and the receiving end.
    pub(crate) const fn sides_mut(&mut self, direction: Direction) -> (&mut Side, &mut Side) {
        match direction {
            Direction::ToServer => (&mut self.client, &mut self.server),
            Direction::ToClient => (&mut self.server, &mut self.client),
        }
    }

    /// Both ends were heard; for TCP, also that no handshake is under way.
    pub(crate) const fn established(&self) -> bool {
        let heard = self.client.packets > 0 && self.server.packets > 0;
        match self.reached() {
            Phase::None | Phase::MidStream => heard,
            Phase::SynSent | Phase::SynReceived => false,
            Phase::Established | Phase::Closed => true,
        }
    }

    /// How far the connection came: what it was before its end, too.
    pub(crate) const fn reached(&self) -> Phase {
        match self.phase {
            Phase::Closed => self.closed_in,
            phase => phase,
        }
    }

    /// Takes the one that was held for the client for the server.
    pub(crate) fn turn(&mut self) {
        if let Some(tunnel) = &mut self.tunnel {
            **tunnel = tunnel.reversed();
        }
        core::mem::swap(&mut self.client, &mut self.server);
        self.client_is_low = !self.client_is_low;
    }

    /// Ends the connection.
    pub(crate) fn shut(&mut self) {
        if self.phase != Phase::Closed {
            self.closed_in = core::mem::replace(&mut self.phase, Phase::Closed);
        }
    }

    pub(crate) const fn lifetime(&self) -> Lifetime {
        match self.phase {
            Phase::Closed => Lifetime::Closed,
            Phase::Established => Lifetime::Established,
            Phase::MidStream if self.established() => Lifetime::Established,
            Phase::None | Phase::MidStream | Phase::SynSent | Phase::SynReceived => Lifetime::Short,
        }
    }

    pub(crate) const fn summary(&self) -> FlowSummary {
        FlowSummary {
            id: self.id,
            start: self.start,
            packets_to_server: self.client.packets,
            packets_to_client: self.server.packets,
            bytes_to_server: self.client.bytes,
            bytes_to_client: self.server.bytes,
        }
    }

    /// Bytes of stream memory held.
    pub(crate) fn footprint(&self) -> usize {
        let held = |side: &Side| side.stream.as_ref().map_or(0, |stream| stream.footprint());
        let application = self.application.as_ref();
        held(&self.client)
            + held(&self.server)
            + application.map_or(0, |application| application.footprint())
    }

    /// Whether `anomaly` is the first of its kind in this flow.
    pub(crate) fn first(&mut self, anomaly: Anomaly) -> bool {
        self.raised.insert(anomaly)
    }

    /// Headers of a packet that was not seen, for what is delivered late.
    pub(crate) fn headers(&self, direction: Direction) -> Headers {
        let from = self.sender(direction);
        let to = self.sender(direction.reverse());
        Headers {
            source: from.socket.address,
            destination: to.socket.address,
            protocol: self.key.protocol,
            ttl: 0,
            transport: Transport::Tcp {
                source_port: from.socket.port,
                destination_port: to.socket.port,
                sequence: 0,
                acknowledgement: 0,
                flags: TcpFlags(TcpFlags::ACK),
                window: 0,
            },
            payload_length: 0,
        }
    }
}
