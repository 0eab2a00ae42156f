//! One packet of a flow against the rules.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    InspectorLimits, InspectorStats,
    application::Application,
    context::{context, excerpt, icmp, ports, reversed},
    transmission,
};
use crate::{
    anomaly::{Anomaly, AnomalySet},
    decode::{Datagram, Headers, PacketView, Transport},
    engine::{Engine, FlowView, Inspection, Memory, Rule, Scratch, Unit},
    finding::{ApplicationRecord, Context, RawPacket},
    flow::{Direction, Flow, tcp::Phase},
    packet::{Packet, Timestamp},
    protocol::{AppProtocol, Limits, Transaction, registry},
    signal::{Attempt, Contact, FlowDirective, Outcome, Signal, SignalSink},
};

/// The parts of an inspector that matching needs, for one packet.
pub(super) struct Evaluation<'a, S> {
    pub(super) engine: &'a Engine,
    pub(super) scratch: &'a mut Scratch,
    pub(super) stats: &'a mut InspectorStats,
    pub(super) limits: &'a InspectorLimits,
    pub(super) timestamp: Timestamp,
    /// The packet was put together from fragments.
    pub(super) fragmented: bool,
    /// The packet that is the occasion, if there is one.
    pub(super) view: Option<&'a PacketView<'a>>,
    /// The same as it was captured.
    pub(super) packet: Option<&'a Packet<'a>>,
    pub(super) sink: &'a mut S,
    /// What the stream hands out next is the whole packet, at which as such no rule has looked.
    pub(super) with_packet: bool,
}

impl<'a, S: SignalSink> Evaluation<'a, S> {
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
        if matches!(datagram.headers.transport, Transport::Udp { .. })
            && !datagram.payload.is_empty()
        {
            let ports = ports(flow);
            let limits = self.protocol_limits();
            let now = self.timestamp;
            let application = flow.application.get_or_insert_with(|| {
                Box::new(Application::new(registry::Transport::Udp, limits))
            });
            application.transactions.now = now.seconds();
            application.data(direction, datagram.payload, ports);
        }
        self.packet(flow, direction, datagram);
        let inspection = self.inspection(flow, direction, &datagram.headers, datagram.payload);
        self.transactions(flow, &inspection);
    }

    /// The limits of application protocols, with what the rules in force need.
    pub(super) fn protocol_limits(&self) -> Limits {
        Limits {
            hashes: self.limits.protocols.hashes || self.engine.wants_hashes(),
            frames: self.engine.frames(),
            ..self.limits.protocols
        }
    }

    /// Whether the flow's streams are looked at.
    pub(super) fn follows(&self, flow: &Flow) -> bool {
        self.limits.midstream || flow.reached() != Phase::MidStream
    }

    /// Whether the connection counts as one: by what was seen of it, and what is asked for.
    fn established(&self, flow: &Flow) -> bool {
        if flow.reached() != Phase::MidStream {
            return flow.established();
        }
        self.limits.midstream && (self.limits.async_oneside || flow.established())
    }

    /// Tells the application layer that nothing more comes in one direction.
    pub(super) fn end(&mut self, flow: &mut Flow, direction: Direction) {
        if let Some(application) = &mut flow.application {
            application.end(direction);
            let headers = flow.headers(direction);
            let inspection = self.inspection(flow, direction, &headers, &[]);
            self.transactions(flow, &inspection);
        }
    }

    /// The rules that look at single packets.
    pub(super) fn packet(
        &mut self,
        flow: &mut Flow,
        direction: Direction,
        datagram: &Datagram<'_>,
    ) {
        let inspection = self.inspection(flow, direction, &datagram.headers, datagram.payload);
        self.inspect(flow, &inspection);
    }

    /// The evaluation of these bytes as a packet of the flow.
    pub(super) fn inspection<'b>(
        &self,
        flow: &Flow,
        direction: Direction,
        headers: &'b Headers,
        data: &'b [u8],
    ) -> Inspection<'b>
    where
        'a: 'b,
    {
        let application = flow.application.as_ref();
        let stream = |direction| {
            let stream = flow.sender(direction).stream.as_ref();
            stream.map_or(0, |stream| stream.length())
        };
        Inspection {
            headers,
            now: self.timestamp,
            flow: FlowView {
                to_server: direction == Direction::ToServer,
                established: self.established(flow),
                fragmented: self.fragmented,
                application: application.and_then(|application| application.protocol()),
                differing: application.map_or([None; 2], |application| application.differing()),
                original: application.and_then(|application| application.original()),
                application_failed: application.is_some_and(|application| application.failed()),
                age: self.timestamp.since(flow.start),
                packets: [flow.client.packets, flow.server.packets],
                bytes: [flow.client.bytes, flow.server.bytes],
                stream: [stream(Direction::ToServer), stream(Direction::ToClient)],
            },
            unit: Unit::Packet,
            data,
            data_start: 0,
            fresh: 0,
            view: self.view,
            events: AnomalySet::default(),
            transaction: None,
        }
    }

    /// The rules that look at transactions, in the direction of `inspection` and then in the other:
    /// a message of one side can be what ends a transaction of the other.
    pub(super) fn transactions(&mut self, flow: &mut Flow, inspection: &Inspection<'_>) {
        let Some(mut application) = flow.application.take() else {
            return;
        };
        let protocol = application.protocol();
        for direction in [
            inspection.flow.direction(),
            inspection.flow.direction().reverse(),
        ] {
            let headers;
            let seen = if direction == inspection.flow.direction() {
                *inspection
            } else {
                headers = reversed(inspection.headers);
                Inspection {
                    headers: &headers,
                    flow: FlowView {
                        to_server: !inspection.flow.to_server,
                        ..inspection.flow
                    },
                    data: &[],
                    ..*inspection
                }
            };
            for transaction in application.transactions.all_mut() {
                if transaction.take_dirty(direction) {
                    self.transaction(flow, protocol, &seen, transaction);
                }
            }
        }
        self.tell(flow, &application, true);
        self.stats.protocols.add(application.settle());
        flow.application = Some(application);
    }

    fn transaction(
        &mut self,
        flow: &mut Flow,
        protocol: Option<AppProtocol>,
        inspection: &Inspection<'_>,
        transaction: &mut Transaction,
    ) {
        self.matching(flow, inspection, |engine, memory, found| {
            let mut found = |rule: &Arc<Rule>, transaction: &Transaction| {
                let protocol = transaction.protocol.or(protocol);
                let record = protocol.map(|it| ApplicationRecord::new(it, transaction));
                found(rule, record.map(Arc::new));
            };
            engine.inspect_transaction(inspection, transaction, memory, &mut found);
        });
    }

    pub(super) fn inspect(&mut self, flow: &mut Flow, inspection: &Inspection<'_>) {
        self.matching(flow, inspection, |engine, memory, found| {
            engine.inspect(inspection, memory, &mut |rule| found(rule, None));
        });
    }

    /// Has `run` match with what the flow remembers, and tells what it finds.
    pub(super) fn matching(
        &mut self,
        flow: &mut Flow,
        inspection: &Inspection<'_>,
        run: impl FnOnce(
            &Engine,
            &mut Memory<'_>,
            &mut dyn FnMut(&Arc<Rule>, Option<Arc<ApplicationRecord>>),
        ),
    ) {
        self.stats.inspections += 1;
        let direction = inspection.flow.direction();
        let mut matches = core::mem::take(&mut flow.sides_mut(direction).0.matches);
        let mut state = core::mem::take(&mut flow.state);
        let mut matched = 0;
        let mut found = |rule: &Arc<Rule>, application| {
            matched += 1;
            let payload = excerpt(inspection, self.limits.excerpt);
            let icmp = icmp(inspection.headers);
            self.sink.signal(Signal::Match {
                rule: Arc::clone(rule),
                context: Context {
                    application,
                    in_stream: inspection.unit == Unit::Stream,
                    packet: self
                        .packet
                        .and_then(|it| RawPacket::copy(it, self.limits.packet)),
                    ..context(flow, direction, self.timestamp, icmp, payload)
                },
            });
        };
        let mut memory = Memory {
            flow: &mut state,
            matches: &mut matches,
            scratch: self.scratch,
        };
        run(self.engine, &mut memory, &mut found);
        flow.state = state;
        flow.sides_mut(direction).0.matches = matches;
        if matched > 0 {
            self.stats.matches += matched;
            flow.alerted = true;
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

    pub(super) fn contact(&mut self, flow: &Flow, (attempt, outcome): (Attempt, Outcome)) {
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
    pub(super) fn anomaly(
        &mut self,
        flow: &mut Flow,
        direction: Direction,
        anomaly: Anomaly,
        data: &[u8],
    ) {
        self.stats.count(anomaly);
        let headers = flow.headers(direction);
        let mut events = AnomalySet::default();
        events.insert(anomaly);
        let inspection = Inspection {
            unit: Unit::StreamEvent,
            events,
            ..self.inspection(flow, direction, &headers, &[])
        };
        self.inspect(flow, &inspection);
        if !flow.first(anomaly) {
            return;
        }
        let data = data.get(..self.limits.excerpt).unwrap_or(data);
        let payload = Bytes::copy_from_slice(data);
        let context = Context {
            packet: self
                .packet
                .and_then(|it| RawPacket::copy(it, self.limits.packet)),
            ..context(flow, direction, self.timestamp, None, payload)
        };
        self.sink.signal(Signal::Anomaly { anomaly, context });
    }
}
