//! One thread's view of the traffic: packets in, signals out.

pub(crate) mod application;
mod evaluate;
mod limits;
mod muffler;
mod transmission;

use std::sync::Arc;

pub use limits::{InspectorLimits, InspectorStats, Timeouts};

use crate::{
    decode::{self, Datagram, Decoded, Headers, Malformed, Network},
    engine::{Engine, Scratch},
    finding::{Context, Endpoint, FlowSummary},
    flow::{
        Direction, Flow, FlowKey,
        defrag::Defragmenter,
        table::{FlowIndex, FlowTable, Lifetime},
    },
    packet::{Owner, Packet, SocketId, Timestamp},
    signal::{Signal, SignalSink},
};
use evaluate::Evaluation;
use muffler::Muffler;

/// Flows given up by age with one packet: more than the one that it can add, so that the table
/// shrinks while traffic goes on.
const EXPIRED_WITH_PACKET: usize = 4;

/// Decodes packets, follows flows, reassembles streams and has them matched. It owns its flows:
/// both directions of a flow must come to the same inspector, in the order of capture.
#[derive(Debug)]
pub struct Inspector {
    engine: Arc<Engine>,
    scratch: Scratch,
    limits: InspectorLimits,
    table: FlowTable,
    fragments: Defragmenter,
    muffler: Muffler,
    stats: InspectorStats,
    /// Bytes that all streams hold.
    stream_memory: usize,
    now: Timestamp,
}

impl Inspector {
    /// An inspector without flows.
    #[must_use]
    pub fn new(engine: Arc<Engine>, limits: InspectorLimits) -> Self {
        Self {
            engine,
            scratch: Scratch::default(),
            fragments: Defragmenter::new(limits.fragments),
            limits,
            table: FlowTable::new(),
            muffler: Muffler::default(),
            stats: InspectorStats::default(),
            stream_memory: 0,
            now: Timestamp::default(),
        }
    }

    /// What was done so far. Counters only grow, `flows` and `stream_memory` are of now.
    #[must_use]
    pub fn stats(&self) -> InspectorStats {
        InspectorStats {
            flows: self.table.len() as u64,
            stream_memory: self.stream_memory as u64,
            fragments: self.fragments.stats(),
            steps_exceeded: self.scratch.steps_exceeded,
            pending_dropped: self.scratch.pending_dropped,
            ..self.stats
        }
    }

    /// Uses other rules from the next packet on. Flows and streams are kept; what of a stream was
    /// matched in part is forgotten.
    pub fn replace_engine(&mut self, engine: Arc<Engine>) {
        self.engine = engine;
        self.table.for_each(|flow| {
            flow.client.matches = Default::default();
            flow.server.matches = Default::default();
        });
    }

    /// Inspects one packet.
    pub fn packet(&mut self, packet: &Packet<'_>, sink: &mut impl SignalSink) {
        self.stats.packets += 1;
        self.stats.bytes += u64::from(packet.wire_length);
        self.now = self.now.max(packet.timestamp);
        self.expire(EXPIRED_WITH_PACKET, sink);
        match decode::decode(packet) {
            Ok(Decoded::Datagram(datagram)) => self.datagram(packet, &datagram, false, sink),
            Ok(Decoded::Fragment(fragment)) => {
                self.stats.fragmented += 1;
                let inserted = self.fragments.insert(&fragment, packet.scope, self.now);
                if let Some(anomaly) = inserted.anomaly {
                    let network = Some(fragment.network);
                    self.malformed(packet, Malformed { anomaly, network }, sink);
                }
                if let Some((network, payload)) = inserted.datagram {
                    self.reassembled(packet, network, &payload, sink);
                }
            }
            Ok(Decoded::Arp(_)) => self.stats.arp += 1,
            Ok(Decoded::Other(_)) => self.stats.not_ip += 1,
            Err(malformed) => self.malformed(packet, malformed, sink),
        }
    }

    /// Lets go of what has been idle for too long at `now`. To be called about once a second,
    /// so that it happens also when no packet comes.
    pub fn tick(&mut self, now: Timestamp, sink: &mut impl SignalSink) {
        self.now = self.now.max(now);
        self.expire(usize::MAX, sink);
        self.fragments.expire(self.now);
    }

    /// Concludes everything: no packet will follow.
    pub fn finish(&mut self, sink: &mut impl SignalSink) {
        self.tick(Timestamp(u64::MAX), sink);
    }

    fn reassembled(
        &mut self,
        packet: &Packet<'_>,
        network: Network,
        payload: &[u8],
        sink: &mut impl SignalSink,
    ) {
        match decode::decode_reassembled(network, payload) {
            Ok(datagram) => self.datagram(packet, &datagram, true, sink),
            Err(malformed) => self.malformed(packet, malformed, sink),
        }
    }

    fn datagram(
        &mut self,
        packet: &Packet<'_>,
        datagram: &Datagram<'_>,
        fragmented: bool,
        sink: &mut impl SignalSink,
    ) {
        let (key, from_low) = FlowKey::new(&datagram.headers, packet.scope);
        let mut index = self.flow(&key, from_low, &datagram.headers, sink);
        let segment = transmission::segment_header(datagram);
        if let Some(segment) = &segment
            && let Some(flow) = self.table.get_mut(index)
            && transmission::begins_anew(flow, from_low, segment)
        {
            self.stats.flows_replaced += 1;
            self.close(index, sink);
            index = self.insert(&key, from_low, &datagram.headers);
        }
        let Some(flow) = self.table.get_mut(index) else {
            return;
        };
        let direction = flow.direction(from_low);
        record(flow, direction, packet, self.now);
        let mut evaluation = Evaluation {
            engine: &self.engine,
            scratch: &mut self.scratch,
            stats: &mut self.stats,
            limits: &self.limits,
            timestamp: packet.timestamp,
            fragmented,
            sink,
        };
        let held = flow.footprint();
        if let Some(segment) = &segment {
            evaluation.segment(flow, direction, segment, datagram);
        } else {
            evaluation.message(flow, direction, datagram);
        }
        let holds = flow.footprint();
        let lifetime = flow.lifetime();
        self.stream_memory = self.stream_memory.saturating_sub(held) + holds;
        self.table.touch(index, lifetime, holds > 0);
        self.relieve(sink);
    }

    /// The flow of a packet; a new one when there is none.
    fn flow(
        &mut self,
        key: &FlowKey,
        from_low: bool,
        headers: &Headers,
        sink: &mut impl SignalSink,
    ) -> FlowIndex {
        if let Some(index) = self.table.find(key) {
            return index;
        }
        while self.table.len() >= self.limits.flows.max(1) {
            let Some(victim) = self.table.victim() else {
                break;
            };
            self.stats.flows_evicted += 1;
            self.close(victim, sink);
        }
        self.insert(key, from_low, headers)
    }

    fn insert(&mut self, key: &FlowKey, from_low: bool, headers: &Headers) -> FlowIndex {
        self.stats.flows_created += 1;
        self.table
            .insert(Flow::new(*key, from_low, headers, self.now))
    }

    fn expire(&mut self, mut most: usize, sink: &mut impl SignalSink) {
        for lifetime in [Lifetime::Closed, Lifetime::Short, Lifetime::Established] {
            let timeout = self.limits.timeouts.of(lifetime);
            while let Some((index, last_seen)) = self.table.idlest(lifetime) {
                if most == 0 || self.now.since(last_seen) < timeout {
                    break;
                }
                most -= 1;
                self.stats.flows_expired += 1;
                self.close(index, sink);
            }
        }
    }

    /// Takes memory back from the idlest streams until the rest fits.
    fn relieve(&mut self, sink: &mut impl SignalSink) {
        while self.stream_memory > self.limits.streams.total {
            let Some(index) = self.table.idlest_holder() else {
                return;
            };
            self.stats.streams.window_released += 1;
            self.release(index, sink);
        }
    }

    fn close(&mut self, index: FlowIndex, sink: &mut impl SignalSink) {
        self.release(index, sink);
        if let Some(flow) = self.table.get_mut(index)
            && flow.application.is_some()
        {
            let mut evaluation = Evaluation {
                engine: &self.engine,
                scratch: &mut self.scratch,
                stats: &mut self.stats,
                limits: &self.limits,
                timestamp: flow.last_seen,
                fragmented: false,
                sink,
            };
            evaluation.end(flow, Direction::ToServer);
            evaluation.end(flow, Direction::ToClient);
        }
        self.table.remove(index);
    }

    /// Has what still waits in the flow's streams matched, and frees their memory.
    fn release(&mut self, index: FlowIndex, sink: &mut impl SignalSink) {
        let Some(flow) = self.table.get_mut(index) else {
            return;
        };
        let held = flow.footprint();
        if held > 0 {
            let mut evaluation = Evaluation {
                engine: &self.engine,
                scratch: &mut self.scratch,
                stats: &mut self.stats,
                limits: &self.limits,
                timestamp: flow.last_seen,
                fragmented: false,
                sink,
            };
            evaluation.release(flow, Direction::ToServer);
            evaluation.release(flow, Direction::ToClient);
            self.stream_memory = self.stream_memory.saturating_sub(held) + flow.footprint();
        }
        self.table.released(index);
    }

    fn malformed(&mut self, packet: &Packet<'_>, malformed: Malformed, sink: &mut impl SignalSink) {
        let anomaly = malformed.anomaly;
        self.stats.count(anomaly);
        if !self.muffler.admits(packet.ifindex, anomaly, self.now) {
            self.stats.anomalies_muffled += 1;
            return;
        }
        let context = without_flow(packet, malformed.network);
        sink.signal(Signal::Anomaly { anomaly, context });
    }
}

/// Counts a packet in its flow and notes who is at its ends.
fn record(flow: &mut Flow, direction: Direction, packet: &Packet<'_>, now: Timestamp) {
    flow.last_seen = now;
    flow.hook = packet.hook;
    flow.ifindex = packet.ifindex;
    let (sender, receiver) = flow.sides_mut(direction);
    sender.packets += 1;
    sender.bytes += u64::from(packet.wire_length);
    sender.owner.merge(&packet.source);
    receiver.owner.merge(&packet.destination);
}

/// The context of a packet that could not be decoded far enough to have a flow.
fn without_flow(packet: &Packet<'_>, network: Option<Network>) -> Context {
    const UNKNOWN: core::net::IpAddr = core::net::IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED);
    let endpoint = |address, owner: Owner| Endpoint {
        socket: SocketId { address, port: 0 },
        owner,
    };
    let excerpt = packet.bytes.get(..128).unwrap_or(packet.bytes);
    Context {
        timestamp: packet.timestamp,
        hook: packet.hook,
        ifindex: packet.ifindex,
        scope: packet.scope,
        protocol: network.map(|network| network.protocol),
        icmp: None,
        source: endpoint(
            network.map_or(UNKNOWN, |network| network.source),
            packet.source,
        ),
        destination: endpoint(
            network.map_or(UNKNOWN, |network| network.destination),
            packet.destination,
        ),
        to_server: true,
        flow: FlowSummary::default(),
        application: None,
        payload: bytes::Bytes::copy_from_slice(excerpt),
    }
}
