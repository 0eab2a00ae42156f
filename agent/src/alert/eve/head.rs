//! What every event about traffic begins with: when, where, and who the two ends are.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr};

use hydrophone_inspect::{Context, Endpoint, Translation, Tunnel, packet::SocketId};
use serde::Serialize;

use super::{owner::OwnerFields, process::ProcessFields};

use crate::{
    alert::{
        Naming,
        escape::{Hostile, written},
        time::EveTime,
    },
    census::{
        Container, Identity, PodSandbox, Runtime, ServiceBy, UnknownReason,
        identity::{Evidence as IdentityEvidence, Host},
    },
    process::Report,
};

/// Where an event is from: part of every one.
#[derive(Serialize)]
pub(super) struct SensorFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Hostile<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Hostile<'a>>,
}

impl<'a> SensorFields<'a> {
    pub(super) fn new(naming: &'a Naming) -> Self {
        Self {
            host: naming.host.as_deref().map(Hostile),
            cluster: naming.cluster.as_deref().map(Hostile),
        }
    }
}

/// Labels of a container that an event carries; `labels_omitted` counts the others.
pub const LABELS_MAX: usize = 32;
/// Bytes of JSON that they may take together.
const LABELS_BYTES: usize = 4_096;
/// Other containers in the same namespace that an event names.
pub const OTHERS_MAX: usize = 8;

#[derive(Serialize)]
pub(super) struct Head<'a> {
    timestamp: EveTime,
    flow_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_iface: Option<Hostile<'a>>,
    event_type: &'static str,
    #[serde(flatten)]
    sensor: SensorFields<'a>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    nat: Option<NatFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel: Option<TunnelFields>,
    /// Labels, other containers and the objects of the application and of owners are left out:
    /// together they were too long.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    reduced: bool,
    src_container: EndpointIdentity<'a>,
    dst_container: EndpointIdentity<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_process: Option<ProcessFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dst_process: Option<ProcessFields<'a>>,
}

impl<'a> Head<'a> {
    /// `ends` are the source and the destination, `processes` those there.
    pub(super) fn new(
        event_type: &'static str,
        context: &Context,
        [source, destination]: [&'a Identity; 2],
        processes: &'a [Option<Report>; 2],
        interface: Option<&'a str>,
        naming: &'a Naming,
    ) -> Self {
        let [src_process, dst_process] = processes
            .each_ref()
            .map(|report| report.as_ref().map(ProcessFields::new));
        let by = &naming.service_by;
        let application = context.application.as_deref();
        let has_ports = protocol_has_ports(context.protocol);
        let port = |end: &Endpoint| has_ports.then_some(end.socket.port);
        Self {
            timestamp: EveTime(context.timestamp),
            flow_id: context.flow.id,
            in_iface: interface.map(Hostile),
            event_type,
            sensor: SensorFields::new(naming),
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
            nat: context
                .translation
                .as_deref()
                .map(|translation| NatFields::new(translation, has_ports)),
            tunnel: context.tunnel.as_deref().map(TunnelFields::new),
            reduced: false,
            src_container: EndpointIdentity::new(source, by),
            dst_container: EndpointIdentity::new(destination, by),
            src_process,
            dst_process,
        }
    }

    /// Leaves out what may be long, and says so.
    pub(super) fn reduce(&mut self) {
        self.reduced = true;
        for end in [&mut self.src_container, &mut self.dst_container] {
            if let EndpointIdentity::Container(container) = end {
                container.reduce();
            }
        }
    }

    /// With what was spoken, where no transaction says so.
    pub(super) fn speaking(self, app_proto: Option<&'static str>) -> Self {
        Self { app_proto, ..self }
    }
}

/// The two tuples of a translated connection, each from the client to the server.
#[derive(Serialize)]
struct NatFields {
    /// As the client sees it.
    original: Tuple,
    /// As the server does.
    translated: Tuple,
    by: &'static str,
}

#[derive(Serialize)]
struct Tuple {
    src_ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_port: Option<u16>,
    dest_ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
}

impl Tuple {
    fn new([source, destination]: [SocketId; 2], has_ports: bool) -> Self {
        Self {
            src_ip: source.address,
            src_port: has_ports.then_some(source.port),
            dest_ip: destination.address,
            dest_port: has_ports.then_some(destination.port),
        }
    }
}

impl NatFields {
    fn new(translation: &Translation, has_ports: bool) -> Self {
        Self {
            original: Tuple::new(translation.original, has_ports),
            translated: Tuple::new(translation.translated, has_ports),
            by: translation.by.name(),
        }
    }
}

/// The packet that carries this one, as Suricata tells it.
#[derive(Serialize)]
struct TunnelFields {
    #[serde(flatten)]
    outer: Tuple,
    proto: Cow<'static, str>,
    depth: u8,
}

impl TunnelFields {
    fn new(tunnel: &Tunnel) -> Self {
        let has_ports = protocol_has_ports(Some(tunnel.protocol));
        Self {
            outer: Tuple::new(tunnel.ends, has_ports),
            proto: protocol_name(Some(tunnel.protocol)),
            depth: tunnel.depth,
        }
    }
}

fn protocol_has_ports(protocol: Option<u8>) -> bool {
    matches!(protocol, Some(6 | 17 | 132))
}

/// As in `/etc/protocols`, which Suricata uses; three digits for what it leaves without a name.
pub(in crate::alert) fn protocol_name(protocol: Option<u8>) -> Cow<'static, str> {
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
pub(super) enum EndpointIdentity<'a> {
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
    pub(super) fn new(identity: &'a Identity, service_by: &[ServiceBy]) -> Self {
        match identity {
            Identity::Container { container, or, by } => Self::Container(Box::new(
                ContainerFields::new(container, or, *by, service_by),
            )),
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
pub(super) struct ContainerFields<'a> {
    id: Hostile<'a>,
    name: Hostile<'a>,
    image: Hostile<'a>,
    image_digest: Hostile<'a>,
    labels: BTreeMap<Cow<'a, str>, Hostile<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    labels_omitted: usize,
    #[serde(flatten)]
    owner: OwnerFields<'a>,
    runtime: Runtime,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<PodFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nested: Option<NestedFields<'a>>,
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

/// The pod that a container is in.
#[derive(Serialize)]
pub(crate) struct PodFields<'a> {
    namespace: Hostile<'a>,
    name: Hostile<'a>,
    uid: Hostile<'a>,
    sandbox_id: Hostile<'a>,
}

impl<'a> From<&'a PodSandbox> for PodFields<'a> {
    fn from(pod: &'a PodSandbox) -> Self {
        Self {
            namespace: Hostile(&pod.namespace),
            name: Hostile(&pod.name),
            uid: Hostile(&pod.uid),
            sandbox_id: Hostile(&pod.sandbox_id),
        }
    }
}

/// The container in this container that is meant.
#[derive(Serialize)]
struct NestedFields<'a> {
    id: Hostile<'a>,
    runtime: Runtime,
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

/// The labels that fit. Of those that are the same once they are cut there is one: no reader is to
/// see a member of an object twice.
fn labels(container: &Container) -> BTreeMap<Cow<'_, str>, Hostile<'_>> {
    let mut left = LABELS_BYTES;
    let mut labels = BTreeMap::new();
    for (key, value) in &container.labels {
        let rest = left.checked_sub(written(key) + written(value));
        let key = Hostile(key).bounded();
        match rest {
            Some(rest) if labels.len() < LABELS_MAX && !labels.contains_key(&key) => {
                left = rest;
                labels.insert(key, Hostile(value));
            }
            _ => {}
        }
    }
    labels
}

impl<'a> ContainerFields<'a> {
    /// Leaves out what may be long.
    fn reduce(&mut self) {
        self.labels_omitted += std::mem::take(&mut self.labels).len();
        self.owner.reduce();
        self.or.clear();
    }

    fn new(
        container: &'a Container,
        or: &'a [std::sync::Arc<Container>],
        by: IdentityEvidence,
        service_by: &[ServiceBy],
    ) -> Self {
        let labels = labels(container);
        Self {
            id: Hostile(&container.id),
            name: Hostile(&container.name),
            image: Hostile(&container.image),
            image_digest: Hostile(&container.image_digest),
            labels_omitted: container.labels.len() - labels.len(),
            labels,
            owner: OwnerFields::new(container, service_by),
            runtime: container.runtime,
            pod: container.pod.as_ref().map(PodFields::from),
            nested: container.nested.as_ref().map(|nested| NestedFields {
                id: Hostile(&nested.id),
                runtime: nested.runtime,
            }),
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
