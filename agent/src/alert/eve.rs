//! EVE JSON, Suricata's event layout: one object a line, with `src_container` and `dst_container`
//! beside `src_ip` and `dest_ip`.

mod application;
mod names;

use std::{borrow::Cow, collections::BTreeMap, io, net::IpAddr};

use hydrophone_inspect::{
    Context, Endpoint, FlowSummary, Process, Signature, Timestamp, finding::Evidence,
};
use serde::Serialize;

use super::{
    Alert, comm,
    escape::{Base64, Formatter, Hostile, Printable},
    time::EveTime,
};
use crate::{
    census::{
        Container, Identity, Runtime, UnknownReason,
        identity::{Evidence as IdentityEvidence, Host},
    },
    config::{self, PayloadFormat},
    telemetry::Stats,
};

/// Labels of a container that an event carries; `labels_omitted` counts the others.
pub const LABELS_MAX: usize = 32;
/// Other containers in the same namespace that an event names.
pub const OTHERS_MAX: usize = 8;

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

/// Appends an `alert` event without a line end.
///
/// # Errors
/// Serialization fails only if `out` does, which memory does not.
pub fn write_alert(alert: &Alert, payload: PayloadForm, out: &mut Vec<u8>) -> io::Result<()> {
    write(&AlertEvent::new(alert, payload), out)
}

/// Appends a `stats` event without a line end.
///
/// # Errors
/// As [`write_alert`].
pub fn write_stats(stats: &Stats, now: Timestamp, out: &mut Vec<u8>) -> io::Result<()> {
    write(
        &StatsEvent {
            timestamp: EveTime(now),
            event_type: "stats",
            stats,
        },
        out,
    )
}

fn write<T: Serialize>(event: &T, out: &mut Vec<u8>) -> io::Result<()> {
    event.serialize(&mut serde_json::Serializer::with_formatter(out, Formatter))?;
    Ok(())
}

#[derive(Serialize)]
struct StatsEvent<'a> {
    timestamp: EveTime,
    event_type: &'static str,
    stats: &'a Stats,
}

#[derive(Serialize)]
struct AlertEvent<'a> {
    timestamp: EveTime,
    flow_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_iface: Option<Hostile<'a>>,
    event_type: &'static str,
    src_ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_port: Option<u16>,
    dest_ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
    proto: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_type: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_proto: Option<&'static str>,
    direction: &'static str,
    hook: &'static str,
    src_container: EndpointIdentity<'a>,
    dst_container: EndpointIdentity<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_process: Option<ProcessFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dst_process: Option<ProcessFields>,
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
    fn new(alert: &'a Alert, payload: PayloadForm) -> Self {
        let finding = &alert.finding;
        let context = &finding.context;
        let application = context.application.as_deref();
        let has_ports = protocol_has_ports(context.protocol);
        let port = |end: &Endpoint| has_ports.then_some(end.socket.port);
        Self {
            timestamp: EveTime(context.timestamp),
            flow_id: context.flow.id,
            in_iface: alert.interface.as_deref().map(Hostile),
            event_type: "alert",
            src_ip: context.source.socket.address,
            src_port: port(&context.source),
            dest_ip: context.destination.socket.address,
            dest_port: port(&context.destination),
            proto: protocol_name(context.protocol),
            icmp_type: context.icmp.map(|(kind, _)| kind),
            icmp_code: context.icmp.map(|(_, code)| code),
            tx_id: application.map(|record| record.transaction),
            app_proto: application.map(|record| record.protocol.name()),
            direction: if context.to_server {
                "to_server"
            } else {
                "to_client"
            },
            hook: context.hook.name(),
            src_container: EndpointIdentity::new(&alert.source),
            dst_container: EndpointIdentity::new(&alert.destination),
            src_process: context.source.owner.process.map(ProcessFields::new),
            dst_process: context.destination.owner.process.map(ProcessFields::new),
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

fn protocol_has_ports(protocol: Option<u8>) -> bool {
    matches!(protocol, Some(6 | 17 | 132))
}

/// As in `/etc/protocols`, which Suricata uses; three digits for what it leaves without a name.
pub(super) fn protocol_name(protocol: Option<u8>) -> Cow<'static, str> {
    match protocol {
        None => "ARP".into(),
        Some(1) => "ICMP".into(),
        Some(6) => "TCP".into(),
        Some(17) => "UDP".into(),
        Some(58) => "IPv6-ICMP".into(),
        Some(132) => "SCTP".into(),
        Some(other) => format!("{other:03}").into(),
    }
}

/// `kind` says which of the three it is: an end is never left out.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum EndpointIdentity<'a> {
    Container(Box<ContainerFields<'a>>),
    Host {
        hostname: Hostile<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cgroup_path: Option<Hostile<'a>>,
    },
    Unknown {
        reason: UnknownReason,
    },
}

impl<'a> EndpointIdentity<'a> {
    fn new(identity: &'a Identity) -> Self {
        match identity {
            Identity::Container { container, or, by } => {
                Self::Container(Box::new(ContainerFields::new(container, or, *by)))
            }
            Identity::Host(Host {
                hostname,
                cgroup_path,
            }) => Self::Host {
                hostname: Hostile(hostname),
                cgroup_path: cgroup_path.as_deref().map(Hostile),
            },
            Identity::Unknown(reason) => Self::Unknown { reason: *reason },
        }
    }
}

#[derive(Serialize)]
struct ContainerFields<'a> {
    id: Hostile<'a>,
    name: Hostile<'a>,
    image: Hostile<'a>,
    image_digest: Hostile<'a>,
    labels: BTreeMap<Hostile<'a>, Hostile<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    labels_omitted: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    compose_project: Option<Hostile<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compose_service: Option<Hostile<'a>>,
    runtime: Runtime,
    pid: u32,
    cgroup_id: u64,
    evidence: IdentityEvidence,
    /// Unix time in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    gone_since: Option<u64>,
    /// Why name, image and labels are empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<UnknownReason>,
    /// Others in the same network namespace that it could also be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    or: Vec<OtherContainer<'a>>,
}

#[derive(Serialize)]
struct OtherContainer<'a> {
    id: Hostile<'a>,
    name: Hostile<'a>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl<'a> ContainerFields<'a> {
    fn new(
        container: &'a Container,
        or: &'a [std::sync::Arc<Container>],
        by: IdentityEvidence,
    ) -> Self {
        let hostile = |(key, value): (&'a String, &'a String)| (Hostile(key), Hostile(value));
        Self {
            id: Hostile(&container.id),
            name: Hostile(&container.name),
            image: Hostile(&container.image),
            image_digest: Hostile(&container.image_digest),
            labels: container
                .labels
                .iter()
                .take(LABELS_MAX)
                .map(hostile)
                .collect(),
            labels_omitted: container.labels.len().saturating_sub(LABELS_MAX),
            compose_project: container.compose_project.as_deref().map(Hostile),
            compose_service: container.compose_service.as_deref().map(Hostile),
            runtime: container.runtime,
            pid: container.pid,
            cgroup_id: container.cgroup_id,
            evidence: by,
            gone_since: container.gone_since,
            unknown: container.unknown,
            or: or
                .iter()
                .take(OTHERS_MAX)
                .map(|other| OtherContainer {
                    id: Hostile(&other.id),
                    name: Hostile(&other.name),
                })
                .collect(),
        }
    }
}

#[derive(Serialize)]
struct ProcessFields {
    pid: u32,
    uid: u32,
    comm: String,
}

impl ProcessFields {
    fn new(process: Process) -> Self {
        Self {
            pid: process.pid,
            uid: process.uid,
            comm: comm(&process),
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
