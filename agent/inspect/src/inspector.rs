//! One thread's view of the traffic: packets in, signals out.

pub(crate) mod application;
mod context;
mod evaluate;
mod expected;
mod heard;
mod limits;
mod muffler;
mod segments;
mod tell;
mod transmission;

use std::sync::Arc;

pub use limits::{InspectorLimits, InspectorStats, Timeouts};

use crate::{
    anomaly::AnomalySet,
    decode::{self, Datagram, Decoded, Fragment, Frame, Headers, Inner, Network, PacketView},
    engine::{Engine, FlowMatches, FlowState, FlowView, Inspection, Memory, Rule, Scratch, Unit},
    event::EndReason,
    finding::{Context, Endpoint, FlowSummary, RawPacket},
    flow::{
        Direction, Flow, FlowKey,
        defrag::Defragmenter,
        table::{FlowIndex, FlowTable, Lifetime},
    },
    packet::{Owner, Packet, SocketId, Timestamp},
    signal::{Signal, SignalSink},
    translation::{Tunnel, Vantage, likeness_of_datagram},
};
use evaluate::Evaluation;
use expected::Expected;
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
    expected: Expected,
    stats: InspectorStats,
    /// Bytes that all streams hold.
    stream_memory: usize,
    now: Timestamp,
    /// The outermost packet, while one is inspected that is in another.
    tunnel: Option<Tunnel>,
}

impl Inspector {
    /// An inspector without flows.
    #[must_use]
    pub fn new(engine: Arc<Engine>, limits: InspectorLimits) -> Self {
        Self {
            engine,
            scratch: Scratch::default(),
            fragments: Defragmenter::new(limits.fragments).with_overlap(limits.overlap),
            limits,
            table: FlowTable::new(),
            muffler: Muffler::default(),
            expected: Expected::default(),
            stats: InspectorStats::default(),
            stream_memory: 0,
            now: Timestamp::default(),
            tunnel: None,
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

    /// Uses other rules from the next packet on. Flows, streams, transactions and what rules have set
    /// on them are kept; what was matched, wholly or in part, is forgotten.
    pub fn replace_engine(&mut self, engine: Arc<Engine>) {
        let frames = engine.frames();
        self.engine = engine;
        self.table.for_each(|flow| {
            flow.client.matches = Default::default();
            flow.server.matches = Default::default();
            flow.state.forget_rules();
            if let Some(application) = &mut flow.application {
                application.transactions.forget_rules(frames);
            }
        });
    }

    /// Inspects one packet.
    pub fn packet(&mut self, packet: &Packet<'_>, sink: &mut impl SignalSink) {
        self.stats.packets += 1;
        self.stats.bytes += u64::from(packet.wire_length);
        self.now = self.now.max(packet.timestamp);
        self.expire(EXPIRED_WITH_PACKET, EndReason::Timeout, sink);
        let frame = decode::decode_frame(packet);
        self.frame(packet, &frame, sink);
    }

    /// A packet as it was captured, or one that was in another.
    fn frame(&mut self, packet: &Packet<'_>, frame: &Frame<'_>, sink: &mut impl SignalSink) {
        let view = &frame.view;
        match &frame.decoded {
            Ok(Decoded::Datagram(datagram)) => self.datagram(packet, datagram, sink),
            Ok(Decoded::Fragment(fragment)) => self.fragment(packet, fragment, *view, sink),
            Ok(Decoded::Arp(_)) => {
                self.stats.arp += 1;
                self.without_flow_packet(packet, None, view, sink);
            }
            Ok(Decoded::Other(_)) => {
                self.stats.not_ip += 1;
                self.without_flow_packet(packet, None, view, sink);
            }
            Err(malformed) => self.without_flow_packet(packet, malformed.network, view, sink),
        }
    }

    /// Lets go of what has been idle for too long at `now`. To be called about once a second,
    /// so that it happens also when no packet comes.
    pub fn tick(&mut self, now: Timestamp, sink: &mut impl SignalSink) {
        self.now = self.now.max(now);
        self.expire(usize::MAX, EndReason::Timeout, sink);
        self.fragments.expire(self.now);
    }

    /// Concludes everything: no packet will follow.
    pub fn finish(&mut self, sink: &mut impl SignalSink) {
        self.expire(usize::MAX, EndReason::Shutdown, sink);
        self.fragments.expire(Timestamp(u64::MAX));
    }

    fn fragment(
        &mut self,
        packet: &Packet<'_>,
        fragment: &Fragment<'_>,
        mut view: PacketView<'_>,
        sink: &mut impl SignalSink,
    ) {
        self.stats.fragmented += 1;
        let inserted = self.fragments.insert(fragment, packet.scope, self.now);
        if let Some(anomaly) = inserted.anomaly {
            view.events.insert(anomaly);
        }
        self.without_flow_packet(packet, Some(fragment.network), &view, sink);
        if let Some((network, payload)) = inserted.datagram {
            let frame = decode::decode_reassembled(network, &payload, &view);
            self.frame(packet, &frame, sink);
        }
    }

    /// The packet in a datagram is a packet of its own, seen at the same place.
    fn inner(
        &mut self,
        outer: &Packet<'_>,
        headers: &Headers,
        inner: &Inner<'_>,
        depth: u8,
        sink: &mut impl SignalSink,
    ) {
        let frame = decode::decode_inner(inner, depth);
        // Its bytes stay those of the frame that was captured: the inner packet alone may have no
        // header that a capture file could name.
        let packet = Packet {
            wire_length: frame.view.length,
            ..*outer
        };
        let outermost = self.tunnel.is_none();
        self.tunnel.get_or_insert(Tunnel::new(headers));
        self.frame(&packet, &frame, sink);
        if outermost {
            self.tunnel = None;
        }
    }

    fn datagram(
        &mut self,
        packet: &Packet<'_>,
        datagram: &Datagram<'_>,
        sink: &mut impl SignalSink,
    ) {
        self.count(&datagram.view.events);
        let (mut key, from_low) = FlowKey::new(&datagram.headers, packet.scope);
        key.depth = datagram.view.depth;
        let mut index = self.flow(&key, from_low, &datagram.headers, sink);
        let segment = transmission::segment_header(datagram);
        if let Some(segment) = &segment
            && let Some(flow) = self.table.get_mut(index)
            && transmission::begins_anew(flow, from_low, segment)
        {
            self.stats.flows_replaced += 1;
            self.close(index, EndReason::Reused, sink);
            index = self.insert(&key, from_low, &datagram.headers);
        }
        let Some(flow) = self.table.get_mut(index) else {
            return;
        };
        let direction = flow.direction(from_low);
        record(flow, direction, packet, self.now);
        if let Some(segment) = &segment {
            flow.sides_mut(direction).0.flags.0 |= segment.flags.0;
        } else if direction == Direction::ToServer && flow.client.packets == 1 {
            flow.likeness = likeness_of_datagram(datagram);
        }
        let mut evaluation = Evaluation {
            engine: &self.engine,
            scratch: &mut self.scratch,
            stats: &mut self.stats,
            limits: &self.limits,
            timestamp: packet.timestamp,
            fragmented: datagram.view.reassembled,
            view: Some(&datagram.view),
            packet: Some(packet),
            sink,
            with_packet: false,
        };
        let held = flow.footprint();
        // With its first data, not when it begins: who transfers connects, and then says what.
        if flow.application.is_none() && !datagram.payload.is_empty() {
            let limits = evaluation.limits.protocols;
            flow.application = self.expected.take(flow, packet.scope, self.now, limits);
        }
        if let Some(segment) = &segment {
            evaluation.segment(flow, direction, segment, datagram);
        } else {
            evaluation.message(flow, direction, datagram);
        }
        self.expected.announce(flow, packet.scope, self.now);
        let holds = flow.footprint();
        let lifetime = flow.lifetime();
        self.stream_memory = self.stream_memory.saturating_sub(held) + holds;
        self.table.touch(index, lifetime, holds > 0);
        self.relieve(sink);
        if let Some(inner) = &datagram.inner {
            self.inner(packet, &datagram.headers, inner, datagram.view.depth, sink);
        }
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
            self.close(victim, EndReason::Forced, sink);
        }
        self.insert(key, from_low, headers)
    }

    fn insert(&mut self, key: &FlowKey, from_low: bool, headers: &Headers) -> FlowIndex {
        self.stats.flows_created += 1;
        let mut flow = Flow::new(*key, from_low, headers, self.now);
        if let Some(tunnel) = self.tunnel {
            let tunnel = match flow.direction(from_low) {
                Direction::ToServer => tunnel,
                Direction::ToClient => tunnel.reversed(),
            };
            let depth = key.depth;
            flow.tunnel = Some(Box::new(Tunnel { depth, ..tunnel }));
        }
        self.stream_memory += flow.footprint();
        self.table.insert(flow)
    }

    /// Ends at most `most` flows, those that have been idle for too long: at a shutdown, all.
    fn expire(&mut self, mut most: usize, reason: EndReason, sink: &mut impl SignalSink) {
        for lifetime in [Lifetime::Closed, Lifetime::Short, Lifetime::Established] {
            let timeout = match reason {
                EndReason::Shutdown => 0,
                _ => self.limits.timeouts.of(lifetime),
            };
            while let Some((index, last_seen)) = self.table.idlest(lifetime) {
                if most == 0 || self.now.since(last_seen) < timeout {
                    break;
                }
                most -= 1;
                self.stats.flows_expired += 1;
                self.close(index, reason, sink);
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
            self.conclude(index, false, sink);
            self.table.released(index);
        }
    }

    fn close(&mut self, index: FlowIndex, reason: EndReason, sink: &mut impl SignalSink) {
        self.conclude(index, true, sink);
        if let Some(flow) = self.table.remove(index) {
            self.stream_memory = self.stream_memory.saturating_sub(flow.footprint());
            if self.limits.events.flows {
                let event = tell::flow_event(&flow, self.now, reason);
                sink.signal(Signal::Event(Box::new(event)));
            }
        }
    }

    /// Has what still waits in the flow's streams matched, and frees their memory. When the flow is
    /// `over`, its application layer is told so; otherwise it gives up.
    fn conclude(&mut self, index: FlowIndex, over: bool, sink: &mut impl SignalSink) {
        let Some(flow) = self.table.get_mut(index) else {
            return;
        };
        let held = flow.footprint();
        let mut evaluation = Evaluation {
            engine: &self.engine,
            scratch: &mut self.scratch,
            stats: &mut self.stats,
            limits: &self.limits,
            timestamp: flow.last_seen,
            fragmented: false,
            view: None,
            packet: None,
            sink,
            with_packet: false,
        };
        for direction in [Direction::ToServer, Direction::ToClient] {
            evaluation.release(flow, direction);
        }
        if over {
            for direction in [Direction::ToServer, Direction::ToClient] {
                evaluation.end(flow, direction);
            }
        }
        evaluation.tell_unfinished(flow);
        if !over && let Some(application) = &mut flow.application {
            application.give_up();
        }
        self.stream_memory = self.stream_memory.saturating_sub(held) + flow.footprint();
    }

    /// A packet that has no flow: one that could not be decoded any further, a fragment, ARP, or
    /// no IP at all. `view` has all that is known of it, its events included.
    fn without_flow_packet(
        &mut self,
        packet: &Packet<'_>,
        network: Option<Network>,
        view: &PacketView<'_>,
        sink: &mut impl SignalSink,
    ) {
        self.count(&view.events);
        self.inspect_frame(packet, network, view, sink);
        for anomaly in view.events.iter().filter(|anomaly| anomaly.alerts()) {
            if self.muffler.admits(packet.ifindex, anomaly, self.now) {
                let context = without_flow(packet, network, self.limits.packet);
                sink.signal(Signal::Anomaly { anomaly, context });
            } else {
                self.stats.anomalies_muffled += 1;
            }
        }
    }

    /// The rules that look at packets, for one without a flow.
    fn inspect_frame(
        &mut self,
        packet: &Packet<'_>,
        network: Option<Network>,
        view: &PacketView<'_>,
        sink: &mut impl SignalSink,
    ) {
        const UNKNOWN: core::net::IpAddr = core::net::IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED);
        let headers = Headers {
            source: network.map_or(UNKNOWN, |network| network.source),
            destination: network.map_or(UNKNOWN, |network| network.destination),
            protocol: network.map_or(0, |network| network.protocol),
            ttl: network.map_or(0, |network| network.ttl),
            transport: decode::Transport::Other,
            payload_length: view.message_length,
        };
        let inspection = Inspection {
            headers: &headers,
            now: packet.timestamp,
            flow: FlowView {
                to_server: true,
                ..FlowView::default()
            },
            unit: Unit::Frame,
            data: view.payload(),
            data_start: 0,
            fresh: 0,
            view: Some(view),
            events: AnomalySet::default(),
            transaction: None,
        };
        let most = self.limits.packet;
        let mut matched = 0;
        let mut found = |rule: &Arc<Rule>| {
            matched += 1;
            sink.signal(Signal::Match {
                rule: Arc::clone(rule),
                context: without_flow(packet, network, most),
            });
        };
        let mut memory = Memory {
            flow: &mut FlowState::default(),
            matches: &mut FlowMatches::default(),
            scratch: &mut self.scratch,
        };
        self.engine.inspect(&inspection, &mut memory, &mut found);
        self.stats.inspections += 1;
        self.stats.matches += matched;
    }

    fn count(&mut self, events: &AnomalySet) {
        if !events.is_empty() {
            for anomaly in events.iter() {
                self.stats.count(anomaly);
            }
        }
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
    sender.hook = Some(packet.hook);
    sender.owner.merge(&packet.source);
    receiver.owner.merge(&packet.destination);
}

/// The context of a packet that could not be decoded far enough to have a flow, with a copy of at
/// most `most` bytes.
fn without_flow(packet: &Packet<'_>, network: Option<Network>, most: usize) -> Context {
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
        vantage: Vantage::default(),
        likeness: None,
        translation: None,
        tunnel: None,
        application: None,
        payload: bytes::Bytes::copy_from_slice(excerpt),
        in_stream: false,
        packet: RawPacket::copy(packet, most),
    }
}
