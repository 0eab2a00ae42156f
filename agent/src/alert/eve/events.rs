//! Events that are written on request: flows, transactions and files.

use std::{io, sync::Arc};

use hydrophone_inspect::{
    Context,
    event::{Event, EventKind, FlowEnd, TcpEnd},
    protocol::AppProtocol,
};
use serde::Serialize;

use super::{EVENT_MAX, FlowFields, Reduce, application, head::Head, write_bounded};
use crate::{
    alert::{Naming, time::EveTime},
    census::Identity,
    config::EventType,
    process::Report,
};

const SECOND: u64 = 1_000_000_000;

/// An event with both ends resolved.
#[derive(Clone, Debug)]
pub struct Located {
    /// What ended, and where.
    pub event: Box<Event>,
    /// Who is the source.
    pub source: Identity,
    /// Who is the destination.
    pub destination: Identity,
    /// The processes at the two.
    pub processes: [Option<Report>; 2],
    /// Link it was seen on.
    pub interface: Option<Arc<str>>,
}

/// Hands the lines of an event, without line ends, to `each`, with their `event_type`: one, or for
/// files one each. `out` is room to write them in.
///
/// # Errors
/// As [`super::write_alert`].
pub fn write_events(
    located: &Located,
    naming: &Naming,
    out: &mut Vec<u8>,
    each: &mut dyn FnMut(&'static str, &[u8]),
) -> io::Result<()> {
    let context = &located.event.context;
    let record = context.application.as_deref();
    let mut line = |of: EventType, body: Body<'_>| {
        out.clear();
        let ends = [&located.source, &located.destination];
        let head = Head::new(
            of.name(),
            context,
            ends,
            &located.processes,
            located.interface.as_deref(),
            naming,
        );
        let head = match &body {
            Body::Flow(flow) => head.speaking(flow.app_proto),
            Body::Application(_) => head,
        };
        write_bounded(&mut Line { head, body }, EVENT_MAX, out)?;
        each(of.name(), out);
        Ok(())
    };
    match (&located.event.kind, record) {
        (EventKind::Flow(end), _) => line(EventType::Flow, Body::Flow(FlowBody::new(context, end))),
        (EventKind::Transaction, Some(record)) => {
            let body = Body::Application(application::objects(record));
            line(EventType::of(record.protocol), body)
        }
        (EventKind::Files, Some(record)) => application::file_objects(record, context.to_server)
            .into_iter()
            .try_for_each(|objects| line(EventType::FileInfo, Body::Application(objects))),
        (_, None) => Ok(()),
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    #[serde(flatten)]
    body: Body<'a>,
}

impl Reduce for Line<'_> {
    fn reduce(&mut self) {
        self.head.reduce();
        if let Body::Application(objects) = &mut self.body {
            *objects = application::Object::default();
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Flow(FlowBody),
    Application(application::Object<'a>),
}

#[derive(Serialize)]
struct FlowBody {
    #[serde(skip)]
    app_proto: Option<&'static str>,
    flow: FlowEndFields,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<TcpFields>,
}

#[derive(Serialize)]
struct FlowEndFields {
    #[serde(flatten)]
    counters: FlowFields,
    end: EveTime,
    /// Seconds from the first packet to the last.
    age: u64,
    state: &'static str,
    reason: &'static str,
    alerted: bool,
}

impl FlowBody {
    fn new(context: &Context, end: &FlowEnd) -> Self {
        let unrecognised = end.unrecognised.then_some("failed");
        Self {
            app_proto: end.application.map(AppProtocol::name).or(unrecognised),
            flow: FlowEndFields {
                counters: FlowFields::new(&context.flow),
                end: EveTime(end.end),
                age: end.end.since(context.flow.start) / SECOND,
                state: end.state.name(),
                reason: end.reason.name(),
                alerted: end.alerted,
            },
            tcp: end.tcp.map(TcpFields::new),
        }
    }
}

/// All flags that were seen, in hexadecimal and by name; those that were not are left out.
#[derive(Serialize)]
struct TcpFields {
    tcp_flags: String,
    tcp_flags_ts: String,
    tcp_flags_tc: String,
    #[serde(flatten)]
    flags: std::collections::BTreeMap<&'static str, bool>,
    state: &'static str,
}

impl TcpFields {
    fn new(end: TcpEnd) -> Self {
        let all = end.to_server.0 | end.to_client.0;
        // In the order of their bits (RFC 9293 section 3.1).
        let names = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];
        Self {
            tcp_flags: format!("{all:02x}"),
            tcp_flags_ts: format!("{:02x}", end.to_server.0),
            tcp_flags_tc: format!("{:02x}", end.to_client.0),
            flags: names
                .into_iter()
                .enumerate()
                .filter(|(bit, _)| all >> bit & 1 == 1)
                .map(|(_, name)| (name, true))
                .collect(),
            state: end.state,
        }
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
