//! One TCP segment: as a packet, as a part of its stream, and what the stream then hands out.

use super::{application::Application, context::ports, evaluate::Evaluation};
use crate::{
    decode::{Datagram, Headers, PacketView, TcpFlags},
    engine::{Inspection, Unit},
    flow::{
        Direction, Flow, StreamLimits, StreamStats,
        stream::{Event, Segment, Stream},
        tcp::{self, Phase, SegmentHeader},
    },
    protocol::registry,
    signal::SignalSink,
};

impl<S: SignalSink> Evaluation<'_, S> {
    /// A TCP segment.
    pub(super) fn segment(
        &mut self,
        flow: &mut Flow,
        mut direction: Direction,
        header: &SegmentHeader<'_>,
        datagram: &Datagram<'_>,
    ) {
        if self.corrupt() {
            self.packet(flow, direction, datagram);
            self.aside(flow, direction, datagram);
            return;
        }
        let before = flow.phase;
        let tracked = tcp::track(flow, direction, header);
        // The client goes on, so it was answered.
        if self.limits.async_oneside && (before, flow.phase) == (Phase::SynSent, Phase::MidStream) {
            flow.phase = Phase::Established;
        }
        // Who was heard first has not begun, where the beginning was not seen.
        if (before, flow.phase) == (Phase::None, Phase::MidStream)
            && direction == Direction::ToServer
            && registry::answers(registry::Transport::Tcp, datagram.payload, ports(flow))
        {
            flow.turn();
            direction = Direction::ToClient;
        }
        if let Some(contact) = tracked.contact {
            self.contact(flow, contact);
        }
        if let Some(anomaly) = tracked.anomaly {
            self.anomaly(flow, direction, anomaly, datagram.payload);
        }
        // What a reset carries is a note for people (RFC 9293 section 3.5.3), and no application
        // gets to see it.
        let streams = header.payload_length > 0 && !header.flags.any(TcpFlags::RST);
        if streams && self.follows(flow) {
            self.streamed(flow, direction, header, datagram);
        } else {
            self.packet(flow, direction, datagram);
            if streams {
                self.aside(flow, direction, datagram);
            }
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

    /// A segment with payload, as a packet and as a part of its stream.
    fn streamed(
        &mut self,
        flow: &mut Flow,
        direction: Direction,
        header: &SegmentHeader<'_>,
        datagram: &Datagram<'_>,
    ) {
        let segment = Segment {
            sequence: header.payload_sequence(),
            data: datagram.payload,
            wire: header.payload_length,
            edge: flow.sender(direction).tcp.edge,
        };
        let start = flow.sender(direction).tcp.start;
        let overlap = self.limits.overlap;
        let (sender, _) = flow.sides_mut(direction);
        let stream = sender.stream.get_or_insert_with(|| {
            let stream = Stream::new(start.unwrap_or(segment.sequence));
            Box::new(stream.with_overlap(overlap))
        });
        // What comes in its place is searched once, when the stream hands it out.
        self.with_packet = stream.continues_with(segment, &self.limits.streams);
        if !self.with_packet {
            self.packet(flow, direction, datagram);
        }
        self.stream(
            flow,
            direction,
            &datagram.headers,
            |stream, limits, stats, out| stream.segment(segment, limits, stats, out),
        );
        if core::mem::take(&mut self.with_packet) {
            self.packet(flow, direction, datagram);
        }
    }

    /// Whether no receiver takes the packet, where that is to be looked at.
    fn corrupt(&self) -> bool {
        // As elsewhere only of TCP: datagrams are inspected whatever it says.
        let wrong = |view: &PacketView<'_>| {
            view.protocol == Some(6) && view.checksum_valid() == Some(false)
        };
        self.limits.checksums && self.view.is_some_and(wrong)
    }

    /// A payload that has no place in a stream, for the rules that look at streams.
    fn aside(&mut self, flow: &mut Flow, direction: Direction, datagram: &Datagram<'_>) {
        if !datagram.payload.is_empty() {
            let data = datagram.payload;
            let event = Event::Aside { data, start: 0 };
            self.event(flow, direction, &datagram.headers, &event);
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
        match *event {
            Event::Window { data, start, fresh } => {
                self.window(flow, headers, data, start, fresh, direction);
            }
            Event::Aside { data, start } => {
                let inspection = Inspection {
                    unit: Unit::Stream,
                    data_start: start,
                    ..self.inspection(flow, direction, headers, data)
                };
                self.inspect(flow, &inspection);
            }
            Event::Anomaly(anomaly) => self.anomaly(flow, direction, anomaly, &[]),
        }
    }

    /// Bytes of a stream in their place: what follows `fresh` of these is new.
    fn window(
        &mut self,
        flow: &mut Flow,
        headers: &Headers,
        data: &[u8],
        start: u64,
        fresh: usize,
        direction: Direction,
    ) {
        let new = data.get(fresh..).unwrap_or_default();
        // As a packet it speaks what was known before it.
        let packet = self.inspection(flow, direction, headers, new);
        let packet = Inspection {
            flow: packet.flow.with_stream(start + fresh as u64),
            ..packet
        };
        let ports = ports(flow);
        let limits = self.protocol_limits();
        let application = flow
            .application
            .get_or_insert_with(|| Box::new(Application::new(registry::Transport::Tcp, limits)));
        application.transactions.now = self.timestamp.seconds();
        // Before and after: what turns out not to have the form is searched.
        let before = application.encrypted();
        application.stream(direction, start + fresh as u64, new, ports);
        let encrypted = before && application.encrypted() && !self.limits.encrypted;
        let view = self.inspection(flow, direction, headers, data);
        let inspection = Inspection {
            unit: Unit::Stream,
            data_start: start,
            fresh,
            flow: view.flow.with_stream(start + data.len() as u64),
            ..view
        };
        match (core::mem::take(&mut self.with_packet), encrypted) {
            (true, false) => {
                self.matching(flow, &packet, |engine, memory, found| {
                    engine.search_segment(&inspection, &packet, memory);
                    engine.inspect_packet(&packet, memory, &mut |rule| found(rule, None));
                });
                self.matching(flow, &inspection, |engine, memory, found| {
                    engine.inspect_stream(&inspection, memory, &mut |rule| found(rule, None));
                });
            }
            (true, true) => self.inspect(flow, &packet),
            (false, false) => self.inspect(flow, &inspection),
            (false, true) => {}
        }
        if encrypted {
            self.stats.encrypted_bytes += new.len() as u64;
        }
        self.transactions(flow, &inspection);
    }
}
