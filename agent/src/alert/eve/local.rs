//! Events about what is done on the host itself: no addresses, no flow.

use std::io;

use serde::Serialize;

use super::{
    AlertFields,
    head::{EndpointIdentity, SensorFields},
    process::ProcessFields,
    write,
};
use crate::alert::{
    Naming,
    escape::Hostile,
    local::{Local, Party, RawSocket, Subject, UnixSocket},
    time::EveTime,
};

/// Appends an `alert`, or where there is no signature a `unix` or `raw_socket` event, without a line
/// end.
///
/// # Errors
/// As [`super::write_alert`].
pub fn write_local(local: &Local, naming: &Naming, out: &mut Vec<u8>) -> io::Result<()> {
    write(&LocalEvent::new(local, naming), out)
}

/// `event_type` of what is no alert.
#[must_use]
pub const fn local_type(local: &Local) -> &'static str {
    match &local.subject {
        Subject::Unix(_) => "unix",
        Subject::Raw(_) => "raw_socket",
    }
}

#[derive(Serialize)]
struct LocalEvent<'a> {
    timestamp: EveTime,
    event_type: &'static str,
    #[serde(flatten)]
    sensor: SensorFields<'a>,
    src_container: EndpointIdentity<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dst_container: Option<EndpointIdentity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_process: Option<ProcessFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dst_process: Option<ProcessFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unix: Option<UnixFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_socket: Option<RawFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<AlertFields<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attack: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressed: Option<u64>,
}

#[derive(Serialize)]
struct UnixFields<'a> {
    path: Hostile<'a>,
    /// `MAJOR:MINOR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inode: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<Hostile<'a>>,
    seen: &'static str,
}

#[derive(Serialize)]
struct RawFields {
    family: &'static str,
    protocol: u16,
    seen: &'static str,
}

impl<'a> LocalEvent<'a> {
    fn new(local: &'a Local, naming: &'a Naming) -> Self {
        let signature = local.signature.as_deref();
        let process = |party: &'a Party| party.process.as_ref().map(ProcessFields::new);
        let destination = local.destination.as_ref();
        let (unix, raw_socket) = match &local.subject {
            Subject::Unix(socket) => (Some(UnixFields::new(socket)), None),
            Subject::Raw(socket) => (None, Some(RawFields::new(*socket))),
        };
        Self {
            timestamp: EveTime(local.timestamp),
            event_type: signature.map_or(local_type(local), |_| "alert"),
            sensor: SensorFields::new(naming),
            src_container: EndpointIdentity::new(&local.source.identity, &naming.service_by),
            dst_container: destination
                .map(|it| EndpointIdentity::new(&it.identity, &naming.service_by)),
            src_process: process(&local.source),
            dst_process: destination.and_then(process),
            unix,
            raw_socket,
            alert: signature.map(AlertFields::new),
            attack: signature.map_or(&[], |it| it.attack.as_slice()),
            suppressed: signature.map(|_| local.suppressed),
        }
    }
}

impl<'a> UnixFields<'a> {
    fn new(socket: &'a UnixSocket) -> Self {
        Self {
            path: Hostile(&socket.path),
            device: socket
                .device
                .map(|(major, minor)| format!("{major}:{minor}")),
            inode: socket.device.map(|_| socket.inode),
            runtime: socket.runtime.as_deref().map(Hostile),
            seen: socket.seen.name(),
        }
    }
}

impl RawFields {
    const fn new(socket: RawSocket) -> Self {
        Self {
            family: socket.family,
            protocol: socket.protocol,
            seen: socket.seen.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        alert::{fixtures, local::Seen, text},
        process::Report,
    };

    fn local(path: &str) -> Local {
        Local {
            signature: Some(fixtures::signature().into()),
            timestamp: fixtures::NOW,
            source: Party {
                identity: fixtures::identity(fixtures::container("web", 101)),
                process: Some(Report::bare(&fixtures::process(b"curl"))),
            },
            destination: Some(Party {
                identity: fixtures::host(),
                process: None,
            }),
            subject: Subject::Unix(UnixSocket {
                path: path.to_owned(),
                device: Some((254, 1)),
                inode: 77,
                runtime: Some("docker".into()),
                seen: Seen::Call,
            }),
            suppressed: 3,
        }
    }

    fn event(local: &Local) -> Value {
        let mut out = Vec::new();
        write_local(local, &Naming::default(), &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_socket_is_told_without_addresses() {
        let event = event(&local("/run/docker.sock"));
        assert_eq!(event["event_type"], "alert");
        assert_eq!(
            event["unix"],
            json!({
                "path": "/run/docker.sock", "device": "254:1", "inode": 77,
                "runtime": "docker", "seen": "call",
            })
        );
        assert_eq!(event["src_container"]["name"], "web");
        assert_eq!(event["dst_container"]["kind"], "host");
        assert_eq!(event["src_process"]["comm"], "curl");
        assert_eq!(event["suppressed"], 3);
        assert_eq!(event.get("src_ip"), None);
        assert_eq!(event.get("raw_socket"), None);
    }

    #[test]
    fn what_has_no_signature_is_an_event_of_its_kind() {
        let mut local = local("@abstract");
        local.signature = None;
        assert_eq!(event(&local)["event_type"], "unix");
        local.destination = None;
        local.subject = Subject::Raw(RawSocket {
            family: "packet",
            protocol: 3,
            seen: Seen::Table,
        });
        let event = event(&local);
        assert_eq!(event["event_type"], "raw_socket");
        assert_eq!(
            event["raw_socket"],
            json!({ "family": "packet", "protocol": 3, "seen": "table" })
        );
        let mut out = Vec::new();
        text::write_local(&local, false, &mut out).unwrap();
        assert!(out.is_empty(), "a terminal shows alerts only");
    }

    #[test]
    fn a_path_cannot_write_to_the_terminal() {
        let mut out = Vec::new();
        text::write_local(&local("/a\x1b[2J\n\u{202e}"), false, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "2026-11-23 20:23:10.123 HIGH   Shellshock in an HTTP header [1:9000001:2]  web → host \
             /a\\u{1b}[2J\\u{a}\\u{202e}  T1190  by curl[4300]  (+3 like it)"
        );
    }
}
