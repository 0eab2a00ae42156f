//! What is told on request when a transaction or a flow is over.

use std::sync::Arc;

use bytes::Bytes;

use super::{application::Application, context::context, evaluate::Evaluation};
use crate::{
    event::{EndReason, Event, EventKind, EventTypes, FlowEnd, FlowStage, TcpEnd},
    finding::{ApplicationRecord, Context},
    flow::{Direction, Flow, tcp::Phase},
    packet::Timestamp,
    signal::{Signal, SignalSink},
};

impl<S: SignalSink> Evaluation<'_, S> {
    /// Tells the transactions that are about to be let go of: those that are complete, or those
    /// that never will be.
    pub(super) fn tell(&mut self, flow: &Flow, application: &Application, complete: bool) {
        let types = self.limits.events;
        if types == EventTypes::NONE {
            return;
        }
        let spoken = application.protocol();
        for transaction in application.transactions.iter() {
            let Some(protocol) = transaction.protocol.or(spoken) else {
                continue;
            };
            let told = types.has_transactions(protocol);
            if (told || types.files) && transaction.is_complete() == complete {
                let record = ApplicationRecord::new(protocol, transaction);
                self.tell_record(flow, &Arc::new(record), told);
            }
        }
    }

    /// Tells the transactions of a flow of which nothing more comes.
    pub(super) fn tell_unfinished(&mut self, flow: &Flow) {
        if let Some(application) = &flow.application {
            self.tell(flow, application, false);
        }
    }

    fn tell_record(&mut self, flow: &Flow, record: &Arc<ApplicationRecord>, told: bool) {
        let timestamp = self.timestamp;
        let mut tell = |kind, direction| {
            let context = Context {
                application: Some(Arc::clone(record)),
                ..context(flow, direction, timestamp, None, Bytes::new())
            };
            self.sink
                .signal(Signal::Event(Box::new(Event { kind, context })));
        };
        // One that was begun for an event alone says nothing.
        if told && !record.is_empty() {
            tell(EventKind::Transaction, Direction::ToServer);
        }
        if self.limits.events.files {
            for direction in [Direction::ToServer, Direction::ToClient] {
                if record.has_files(direction) {
                    tell(EventKind::Files, direction);
                }
            }
        }
    }
}

/// The event of a flow that is over at `now`.
pub(super) fn flow_event(flow: &Flow, now: Timestamp, reason: EndReason) -> Event {
    let application = flow.application.as_ref();
    let state = match flow.phase {
        Phase::Closed => FlowStage::Closed,
        _ if flow.established() => FlowStage::Established,
        _ => FlowStage::New,
    };
    let tcp = TcpEnd {
        to_server: flow.client.flags,
        to_client: flow.server.flags,
        state: match flow.phase {
            Phase::None | Phase::MidStream if state == FlowStage::New => "none",
            Phase::SynSent => "syn_sent",
            Phase::SynReceived => "syn_recv",
            Phase::None | Phase::MidStream | Phase::Established => "established",
            Phase::Closed => "closed",
        },
    };
    Event {
        kind: EventKind::Flow(FlowEnd {
            end: flow.last_seen,
            state,
            reason,
            alerted: flow.alerted,
            application: application.and_then(|application| application.protocol()),
            unrecognised: application.is_some_and(|application| application.failed()),
            tcp: (flow.key.protocol == 6).then_some(tcp),
        }),
        context: context(flow, Direction::ToServer, now, None, Bytes::new()),
    }
}
