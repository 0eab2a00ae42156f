//! Values that the tests of this module share.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use hydrophone_inspect::{
    Context, Endpoint, Finding, FlowSummary, Hook, Owner, Process, Signature, Timestamp, Vantage,
    decode::TcpFlags,
    event::{EndReason, Event, EventKind, FlowEnd, FlowStage, TcpEnd},
    finding::Evidence,
    packet::SocketId,
    protocol::AppProtocol,
};

use super::Alert;
use crate::{
    census::{
        Container, Identity, Ownership, Runtime, UnknownReason,
        identity::{Evidence as IdentityEvidence, Host},
        owner::Compose,
    },
    process::Report,
};

/// 2026-11-23T20:23:10.123456 UTC.
pub(super) const NOW: Timestamp = Timestamp(1_795_465_390_123_456_000);

pub(super) fn signature() -> Signature {
    Signature {
        gid: Signature::RULE_GID,
        sid: 9_000_001,
        rev: 2,
        msg: "Shellshock in an HTTP header".to_owned(),
        classtype: "web-application-attack".to_owned(),
        severity: 1,
        attack: vec!["T1190".to_owned()],
        metadata: vec![
            ("mitre_technique_id".to_owned(), "T1190".to_owned()),
            ("affected".to_owned(), "bash".to_owned()),
            ("affected".to_owned(), "busybox".to_owned()),
        ],
        references: vec![("cve".to_owned(), "2014-6271".to_owned())],
    }
}

pub(super) fn container(name: &str, cgroup_id: u64) -> Container {
    Container {
        id: format!("{cgroup_id:064x}"),
        name: name.to_owned(),
        image: format!("{name}:1"),
        image_digest: "sha256:00ff".to_owned(),
        labels: BTreeMap::from([("tier".to_owned(), "front".to_owned())]),
        owner: Arc::new(Ownership {
            compose: Some(Compose {
                project: "shop".to_owned(),
                service: name.to_owned(),
                number: "1".to_owned(),
            }),
            ..Ownership::default()
        }),
        runtime: Runtime::Docker,
        pid: 4_242,
        cgroup_id,
        cgroup_path: format!("docker/{cgroup_id:064x}"),
        netns: 4_026_532_000,
        links: vec![(12, "veth0".to_owned())],
        ..Container::default()
    }
}

pub(super) fn identity(container: Container) -> Identity {
    Identity::Container {
        container: Arc::new(container),
        or: Vec::new(),
        by: IdentityEvidence::Cgroup,
    }
}

pub(super) fn host() -> Identity {
    Identity::Host(Host {
        hostname: "node1".into(),
        cgroup_path: Some("system.slice/ssh.service".to_owned()),
    })
}

pub(super) const UNKNOWN: Identity = Identity::Unknown(UnknownReason::AddressNotLocal);

fn endpoint(address: [u8; 4], port: u16) -> Endpoint {
    Endpoint {
        socket: SocketId {
            address: address.into(),
            port,
        },
        owner: Owner::default(),
    }
}

pub(super) fn process(comm: &[u8]) -> Process {
    let mut padded = [0; 16];
    padded[..comm.len()].copy_from_slice(comm);
    Process {
        pid: 4_300,
        uid: 33,
        comm: padded,
    }
}

pub(super) fn finding() -> Finding {
    let mut source = endpoint([172, 17, 0, 2], 43_210);
    source.owner.process = Some(process(b"curl"));
    Finding {
        signature: Arc::new(signature()),
        context: Context {
            timestamp: NOW,
            hook: Hook::LinkIngress,
            ifindex: 12,
            scope: 0,
            protocol: Some(6),
            icmp: None,
            source,
            destination: endpoint([172, 17, 0, 3], 80),
            to_server: true,
            flow: FlowSummary {
                id: 77,
                start: Timestamp(NOW.0 - 2_000_000),
                packets_to_server: 4,
                packets_to_client: 3,
                bytes_to_server: 500,
                bytes_to_client: 300,
            },
            vantage: Vantage::Client,
            likeness: None,
            translation: None,
            tunnel: None,
            application: None,
            payload: Bytes::from_static(b"GET / HTTP/1.1\r\nUser-Agent: () { :;}; \x1b[2J\xff\r\n"),
            in_stream: true,
            packet: None,
        },
        evidence: None,
        conditions: None,
    }
}

pub(super) fn event() -> Box<Event> {
    let mut context = finding().context;
    context.payload = Bytes::new();
    Box::new(Event {
        kind: EventKind::Flow(FlowEnd {
            end: NOW,
            state: FlowStage::Closed,
            reason: EndReason::Timeout,
            alerted: true,
            application: Some(AppProtocol::Http),
            unrecognised: false,
            tcp: Some(TcpEnd {
                to_server: TcpFlags(0x1b),
                to_client: TcpFlags(0x12),
                state: "closed",
            }),
        }),
        context,
    })
}

pub(super) fn evidence() -> Evidence {
    Evidence {
        summary: "214 ports of one host in 1.2 s".to_owned(),
        count: 230,
        targets: 214,
        first: Timestamp(NOW.0 - 1_200_000_000),
        last: NOW,
    }
}

pub(super) fn alert() -> Alert {
    Alert {
        finding: finding(),
        source: identity(container("web", 101)),
        destination: identity(container("db", 102)),
        processes: [Some(Report::bare(&process(b"curl"))), None],
        interface: Some("veth0".into()),
        suppressed: 0,
    }
}
