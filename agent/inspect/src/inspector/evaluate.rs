//! One packet of a flow against the rules.

use std::sync::Arc;

use bytes::Bytes;

use super::{InspectorLimits, InspectorStats, transmission};
use crate::{
    anomaly::Anomaly,
    decode::{Datagram, Headers, Transport},
    engine::{Engine, FlowView, Inspection, Scratch, Unit},
    finding::Context,
    flow::{
        Direction, Flow, StreamLimits, StreamStats,
        stream::{Event, Segment, Stream},
        tcp::{self, SegmentHeader},
    },
    packet::Timestamp,
    signal::{Attempt, Contact, FlowDirective, Outcome, Signal, SignalSink},
};

/// The parts of an inspector that matching needs, for one packet.
pub(super) struct Evaluation<'a, S> {
    pub(super) engine: &'a Engine,
    pub(super) scratch: &'a mut Scratch,
    pub(super) stats: &'a mut InspectorStats,
    pub(super) limits: &'a InspectorLimits,
    pub(super) timestamp: Timestamp,
    pub(super) sink: &'a mut S,
}

impl<S: SignalSink> Evaluation<'_, S> {
    /// A packet of any protocol but TCP.
    pub(super) fn message(
        &mut self,
        flow: &mut Flow,
        direction: Direction,
        datagram: &Datagram<'_>,
    ) {
        if let Some(contact) = transmission::contact(flow, direction, &datagram.headers.transport) {
            self.contact(flow, contact);
        }
        self.packet(flow, direction, datagram);
    }

    /// A TCP segment.
    pub(super) fn segment(
        &mut self,
        flow: &mut Flow,
        direction: Direction,
        header: &SegmentHeader<'_>,
        datagram: &Datagram<'_>,
    ) {
        let tracked = tcp::track(flow, direction, header);
        if let Some(contact) = tracked.contact {
            self.contact(flow, contact);
        }
        if let Some(anomaly) = tracked.anomaly {
            self.anomaly(flow, direction, anomaly, datagram.payload);
        }
        self.packet(flow, direction, datagram);
        let headers = &datagram.headers;
        if header.payload_length > 0 {
            let segment = Segment {
                sequence: header.payload_sequence(),
                data: datagram.payload,
                wire: header.payload_length,
                edge: flow.sender(direction).tcp.edge,
            };
            let start = flow.sender(direction).tcp.start;
            let (sender, _) = flow.sides_mut(direction);
            sender
                .stream
                .get_or_insert_with(|| Box::new(Stream::new(start.unwrap_or(segment.sequence))));
            self.stream(flow, direction, headers, |stream, limits, stats, out| {
                stream.segment(segment, limits, stats, out);
            });
        }
        let reverse = direction.reverse();
        if let Some(acknowledged) = flow.sender(reverse).tcp.acknowledged_data()
            && flow.sender(reverse).stream.is_some()
        {
            let headers = flow.headers(reverse);
            self.stream(flow, reverse, &headers, |stream, limits, stats, out| {
                stream.acknowledged(acknowledged, limits, stats, out);
            });
        }
    }

    /// Has what still waits in one direction matched, and frees its memory.
    pub(super) fn release(&mut self, flow: &mut Flow, direction: Direction) {
        if flow.sender(direction).stream.is_some() {
            let headers = flow.headers(direction);
            self.stream(flow, direction, &headers, |stream, limits, stats, out| {
                stream.release(limits, stats, out);
            });
        }
    }

    /// Applies `change` to one direction's stream and evaluates what it hands out.
    fn stream(
        &mut self,
        flow: &mut Flow,
        direction: Direction,
        headers: &Headers,
        change: impl FnOnce(&mut Stream, &StreamLimits, &mut StreamStats, &mut dyn FnMut(Event<'_>)),
    ) {
        let Some(mut stream) = flow.sides_mut(direction).0.stream.take() else {
            return;
        };
        let mut stats = core::mem::take(&mut self.stats.streams);
        change(
            &mut stream,
            &self.limits.streams,
            &mut stats,
            &mut |event| {
                self.event(flow, direction, headers, &event);
            },
        );
        self.stats.streams = stats;
        flow.sides_mut(direction).0.stream = Some(stream);
    }

    fn event(
        &mut self,
        flow: &mut Flow,
        direction: Direction,
        headers: &Headers,
        event: &Event<'_>,
    ) {
        let view = FlowView {
            to_server: direction == Direction::ToServer,
            established: flow.established(),
        };
        let inspection = |data, data_start, fresh| Inspection {
            headers,
            flow: view,
            unit: Unit::Stream,
            data,
            data_start,
            fresh,
        };
        match *event {
            Event::Window { data, start, fresh } => {
                self.inspect(flow, direction, &inspection(data, start, fresh));
            }
            Event::Aside { data, start } => {
                self.inspect(flow, direction, &inspection(data, start, 0));
            }
            Event::Anomaly(anomaly) => self.anomaly(flow, direction, anomaly, &[]),
        }
    }

    /// The rules that look at single packets.
    fn packet(&mut self, flow: &mut Flow, direction: Direction, datagram: &Datagram<'_>) {
        let inspection = Inspection {
            headers: &datagram.headers,
            flow: FlowView {
                to_server: direction == Direction::ToServer,
                established: flow.established(),
            },
            unit: Unit::Packet,
            data: datagram.payload,
            data_start: 0,
            fresh: 0,
        };
        self.inspect(flow, direction, &inspection);
    }

    fn inspect(&mut self, flow: &mut Flow, direction: Direction, inspection: &Inspection<'_>) {
        self.stats.inspections += 1;
        let mut matches = core::mem::take(&mut flow.sides_mut(direction).0.matches);
        let mut matched = 0;
        let Self {
            engine,
            scratch,
            sink,
            limits,
            ..
        } = self;
        let timestamp = self.timestamp;
        engine.inspect(inspection, &mut matches, scratch, &mut |rule| {
            matched += 1;
            let excerpt = excerpt(inspection, limits.excerpt);
            let icmp = icmp(inspection.headers);
            sink.signal(Signal::Match {
                rule: Arc::clone(rule),
                context: context(flow, direction, timestamp, icmp, excerpt),
            });
        });
        flow.sides_mut(direction).0.matches = matches;
        if matched > 0 {
            self.stats.matches += matched;
            self.ask_for_evidence(flow);
        }
    }

    /// Once in a flow: what follows an attack shows whether it went through.
    fn ask_for_evidence(&mut self, flow: &mut Flow) {
        if flow.evidence_asked || self.limits.evidence == 0 {
            return;
        }
        flow.evidence_asked = true;
        for direction in [Direction::ToServer, Direction::ToClient] {
            self.sink.directive(FlowDirective {
                source: flow.sender(direction).socket,
                destination: flow.sender(direction.reverse()).socket,
                protocol: flow.key.protocol,
                scope: flow.key.scope,
                more: self.limits.evidence,
            });
        }
    }

    fn contact(&mut self, flow: &Flow, (attempt, outcome): (Attempt, Outcome)) {
        let context = context(
            flow,
            Direction::ToServer,
            self.timestamp,
            None,
            Bytes::new(),
        );
        self.sink.signal(Signal::Contact(Contact {
            attempt,
            outcome,
            context,
        }));
    }

    /// Counts an anomaly of a flow, and tells the first of each kind.
    fn anomaly(&mut self, flow: &mut Flow, direction: Direction, anomaly: Anomaly, data: &[u8]) {
        self.stats.count(anomaly);
        if !flow.first(anomaly) {
            return;
        }
        let data = data.get(..self.limits.excerpt).unwrap_or(data);
        let payload = Bytes::copy_from_slice(data);
        let context = context(flow, direction, self.timestamp, None, payload);
        self.sink.signal(Signal::Anomaly { anomaly, context });
    }
}

/// The part of what was evaluated that a finding shows: a little before the new bytes, and them.
fn excerpt(inspection: &Inspection<'_>, most: usize) -> Bytes {
    let from = inspection.fresh.saturating_sub(most / 2);
    let data = inspection.data.get(from..).unwrap_or_default();
    Bytes::copy_from_slice(data.get(..most).unwrap_or(data))
}

const fn icmp(headers: &Headers) -> Option<(u8, u8)> {
    match headers.transport {
        Transport::Icmp { kind, code, .. } => Some((kind, code)),
        _ => None,
    }
}

fn context(
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
        payload,
    }
}
