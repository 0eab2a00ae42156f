//! EVE JSON, Suricata's event layout: one object a line, with `src_container` and `dst_container`
//! beside `src_ip` and `dest_ip`.

mod application;
mod events;
mod head;
mod local;
mod names;
mod owner;
mod process;

use std::{collections::BTreeMap, io};

use hydrophone_inspect::{Context, FlowSummary, Signature, Timestamp, finding::Evidence};
use serde::Serialize;

use super::{
    Alert, Naming,
    escape::{Base64, Formatter, Printable},
    time::EveTime,
};
use crate::{
    config::{self, PayloadFormat},
    telemetry::Stats,
};

pub use events::{Located, write_events};
pub(crate) use head::PodFields;
pub(super) use head::protocol_name;
use head::{Head, SensorFields};
pub use head::{LABELS_MAX, OTHERS_MAX};
pub use local::{local_type, write_local};
pub(crate) use owner::OwnerFields;

/// How an alert shows its payload.
#[derive(Clone, Copy, Debug)]
pub struct PayloadForm {
    /// Bytes that are shown; 0 shows none.
    pub max: usize,
    /// In which form.
    pub format: PayloadFormat,
}

impl From<&config::Alert> for PayloadForm {
    fn from(config: &config::Alert) -> Self {
        Self {
            max: config.payload.as_usize(),
            format: config.payload_format,
        }
    }
}

/// Longest event without what `alert.payload` and `alert.packet` ask for, in bytes: with a syslog
/// header it fits into a datagram (65,507 bytes of UDP over IPv4). All that two containers may choose
/// is bounded one by one; should it be longer together, the longest parts are left out.
pub const EVENT_MAX: usize = 60_000;

/// Appends an `alert` event without a line end.
///
/// # Errors
/// Serialization fails only if `out` does, which memory does not.
pub fn write_alert(
    alert: &Alert,
    naming: &Naming,
    payload: PayloadForm,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let mut event = AlertEvent::new(alert, naming, payload);
    let evidence = &event.evidence;
    let asked_for = evidence.payload.map_or(0, |bytes| bytes.0.len() * 2)
        + evidence
            .payload_printable
            .map_or(0, |bytes| bytes.0.len() * 2)
        + evidence.packet.map_or(0, |bytes| bytes.0.len() * 2);
    write_bounded(&mut event, EVENT_MAX + asked_for, out)
}

/// Appends a `stats` event without a line end.
///
/// # Errors
/// As [`write_alert`].
pub fn write_stats(
    stats: &Stats,
    naming: &Naming,
    now: Timestamp,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    write(
        &StatsEvent {
            timestamp: EveTime(now),
            event_type: "stats",
            sensor: SensorFields::new(naming),
            stats,
        },
        out,
    )
}

fn write<T: Serialize>(event: &T, out: &mut Vec<u8>) -> io::Result<()> {
    event.serialize(&mut serde_json::Serializer::with_formatter(out, Formatter))?;
    Ok(())
}

/// What has parts that may be long.
trait Reduce: Serialize {
    /// Leaves them out.
    fn reduce(&mut self);
}

/// Writes an event, reduced if it would be longer than `max` bytes.
fn write_bounded(event: &mut impl Reduce, max: usize, out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    write(event, out)?;
    if out.len() - start > max {
        out.truncate(start);
        event.reduce();
        write(event, out)?;
    }
    Ok(())
}

impl Reduce for AlertEvent<'_> {
    fn reduce(&mut self) {
        self.head.reduce();
        self.application = None;
    }
}

#[derive(Serialize)]
struct StatsEvent<'a> {
    timestamp: EveTime,
    event_type: &'static str,
    #[serde(flatten)]
    sensor: SensorFields<'a>,
    stats: &'a Stats,
}

#[derive(Serialize)]
struct AlertEvent<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    alert: AlertFields<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attack: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    behavior: Option<BehaviorFields<'a>>,
    #[serde(flatten)]
    application: Option<application::Object<'a>>,
    suppressed: u64,
    flow: FlowFields,
    #[serde(flatten)]
    evidence: EvidenceFields<'a>,
}

/// What the alert was raised for, byte by byte; nothing where nothing is asked for.
#[derive(Serialize)]
struct EvidenceFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Base64<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_printable: Option<Printable<'a>>,
    /// 1 when the payload is of a reassembled stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<Base64<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet_info: Option<PacketInfo>,
}

#[derive(Serialize)]
struct PacketInfo {
    linktype: u16,
}

impl<'a> EvidenceFields<'a> {
    fn new(context: &'a Context, form: PayloadForm) -> Self {
        let payload = context.payload.get(..form.max).unwrap_or(&context.payload);
        let payload = (!payload.is_empty()).then_some(payload);
        let packet = context.packet.as_ref();
        Self {
            payload: payload
                .filter(|_| form.format != PayloadFormat::Printable)
                .map(Base64),
            payload_printable: payload
                .filter(|_| form.format != PayloadFormat::Base64)
                .map(Printable),
            stream: payload.map(|_| u8::from(context.in_stream)),
            packet: packet.map(|packet| Base64(&packet.bytes)),
            packet_info: packet.map(|packet| PacketInfo {
                linktype: packet.link_type.number(),
            }),
        }
    }
}

impl<'a> AlertEvent<'a> {
    fn new(alert: &'a Alert, naming: &'a Naming, payload: PayloadForm) -> Self {
        let finding = &alert.finding;
        let context = &finding.context;
        let ends = [&alert.source, &alert.destination];
        let application = context.application.as_deref();
        Self {
            head: Head::new(
                "alert",
                context,
                ends,
                &alert.processes,
                alert.interface.as_deref(),
                naming,
            ),
            alert: AlertFields::new(&finding.signature),
            attack: &finding.signature.attack,
            behavior: finding.evidence.as_ref().map(BehaviorFields::new),
            application: application.map(application::objects),
            suppressed: alert.suppressed,
            flow: FlowFields::new(&context.flow),
            evidence: EvidenceFields::new(context, payload),
        }
    }
}

#[derive(Serialize)]
struct AlertFields<'a> {
    action: &'static str,
    gid: u32,
    signature_id: u32,
    rev: u32,
    signature: &'a str,
    category: &'a str,
    severity: u8,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<&'a str, Vec<&'a str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    references: Vec<String>,
}

impl<'a> AlertFields<'a> {
    fn new(signature: &'a Signature) -> Self {
        let mut metadata: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, value) in &signature.metadata {
            metadata.entry(key).or_default().push(value);
        }
        Self {
            action: "allowed",
            gid: signature.gid,
            signature_id: signature.sid,
            rev: signature.rev,
            signature: &signature.msg,
            category: &signature.classtype,
            severity: signature.severity,
            metadata,
            references: signature
                .references
                .iter()
                .map(|(kind, value)| format!("{kind},{value}"))
                .collect(),
        }
    }
}

#[derive(Serialize)]
struct BehaviorFields<'a> {
    summary: &'a str,
    count: u64,
    targets: u64,
    first: EveTime,
    last: EveTime,
}

impl<'a> BehaviorFields<'a> {
    fn new(evidence: &'a Evidence) -> Self {
        Self {
            summary: &evidence.summary,
            count: evidence.count,
            targets: evidence.targets,
            first: EveTime(evidence.first),
            last: EveTime(evidence.last),
        }
    }
}

#[derive(Serialize)]
struct FlowFields {
    pkts_toserver: u64,
    pkts_toclient: u64,
    bytes_toserver: u64,
    bytes_toclient: u64,
    start: EveTime,
}

impl FlowFields {
    fn new(flow: &FlowSummary) -> Self {
        Self {
            pkts_toserver: flow.packets_to_server,
            pkts_toclient: flow.packets_to_client,
            bytes_toserver: flow.bytes_to_server,
            bytes_toclient: flow.bytes_to_client,
            start: EveTime(flow.start),
        }
    }
}

#[cfg(test)]
#[path = "eve_tests.rs"]
mod tests;
