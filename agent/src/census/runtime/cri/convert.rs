//! From CRI's messages to dossiers.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Deserialize;

use super::proto;
use crate::census::{
    dossier::Dossier,
    identity::{POD_CONTAINER, PodSandbox},
};

/// What the verbose part of an answer says (JSON under `info`, alike for containerd and CRI-O).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    /// Main process; 0 when it does not run.
    pub(super) pid: u32,
    #[serde(rename = "sandboxID")]
    pub(super) sandbox_id: String,
}

impl Info {
    pub(super) fn of(info: &BTreeMap<String, String>) -> Self {
        info.get("info")
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }
}

/// A pod's sandbox: who holds the network namespace of the pod's containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sandbox {
    pod: PodSandbox,
    labels: BTreeMap<String, String>,
    pid: u32,
    host_network: bool,
    addresses: Vec<IpAddr>,
}

impl Sandbox {
    pub(super) fn new(status: proto::PodSandboxStatus, info: &Info) -> Self {
        let network = status.network.unwrap_or_default();
        let additional = network.additional_ips.into_iter().map(|one| one.ip);
        let mode = status
            .linux
            .and_then(|linux| linux.namespaces)
            .and_then(|namespaces| namespaces.options)
            .map_or(0, |options| options.network);
        Self {
            pod: pod_of(status.id, status.metadata),
            labels: status.labels,
            pid: if status.state == proto::SANDBOX_READY {
                info.pid
            } else {
                0
            },
            host_network: mode == proto::MODE_NODE,
            addresses: std::iter::once(network.ip)
                .chain(additional)
                .filter_map(|address| address.parse().ok())
                .collect(),
        }
    }

    /// Whether its network is known.
    pub(super) fn is_settled(&self) -> bool {
        self.host_network || !self.addresses.is_empty()
    }

    pub(super) fn dossier(self) -> Dossier {
        Dossier {
            id: self.pod.sandbox_id.clone(),
            name: POD_CONTAINER.to_owned(),
            labels: self.labels,
            pid: self.pid,
            host_network: self.host_network,
            addresses: self.addresses,
            pod: Some(self.pod),
            complete: true,
            ..Dossier::default()
        }
    }
}

fn pod_of(sandbox_id: String, metadata: Option<proto::PodSandboxMetadata>) -> PodSandbox {
    let metadata = metadata.unwrap_or_default();
    PodSandbox {
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
        sandbox_id,
    }
}

fn image_of(image: Option<proto::ImageSpec>) -> String {
    let image = image.unwrap_or_default();
    if image.user_specified_image.is_empty() {
        image.image
    } else {
        image.user_specified_image
    }
}

pub(super) fn of_listed_sandbox(sandbox: proto::PodSandbox) -> Dossier {
    Dossier {
        id: sandbox.id.clone(),
        name: POD_CONTAINER.to_owned(),
        labels: sandbox.labels,
        pod: Some(pod_of(sandbox.id, sandbox.metadata)),
        ..Dossier::default()
    }
}

pub(super) fn of_listed_container(
    container: proto::Container,
    sandbox: Option<&proto::PodSandbox>,
) -> Dossier {
    Dossier {
        id: container.id,
        name: container.metadata.unwrap_or_default().name,
        image: image_of(container.image),
        image_digest: container.image_ref,
        labels: container.labels,
        pod: sandbox.map(|sandbox| pod_of(sandbox.id.clone(), sandbox.metadata.clone())),
        ..Dossier::default()
    }
}

pub(super) fn of_container(
    status: proto::ContainerStatus,
    info: &Info,
    sandbox: Option<&Sandbox>,
) -> Dossier {
    let runs = status.state == proto::CONTAINER_RUNNING;
    Dossier {
        id: status.id,
        name: status.metadata.unwrap_or_default().name,
        image: image_of(status.image),
        image_digest: status.image_ref,
        labels: status.labels,
        pid: if runs { info.pid } else { 0 },
        host_network: sandbox.is_some_and(|sandbox| sandbox.host_network),
        joins: sandbox.map(|sandbox| sandbox.pod.sandbox_id.clone()),
        addresses: sandbox
            .map(|sandbox| sandbox.addresses.clone())
            .unwrap_or_default(),
        pod: sandbox.map(|sandbox| sandbox.pod.clone()),
        complete: true,
        ..Dossier::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(network: i32) -> Sandbox {
        let status = proto::PodSandboxStatus {
            id: "box".to_owned(),
            metadata: Some(proto::PodSandboxMetadata {
                name: "web-0".to_owned(),
                uid: "11-22".to_owned(),
                namespace: "shop".to_owned(),
            }),
            state: proto::SANDBOX_READY,
            network: Some(proto::PodSandboxNetworkStatus {
                ip: "10.1.2.3".to_owned(),
                additional_ips: ["fd00::3", "nonsense"]
                    .map(|ip| proto::PodIp { ip: ip.to_owned() })
                    .into(),
            }),
            linux: Some(proto::LinuxPodSandboxStatus {
                namespaces: Some(proto::Namespace {
                    options: Some(proto::NamespaceOption { network }),
                }),
            }),
            labels: BTreeMap::new(),
        };
        let info = Info {
            pid: 7,
            sandbox_id: String::new(),
        };
        Sandbox::new(status, &info)
    }

    #[test]
    fn a_container_has_the_addresses_of_its_pod_and_joins_the_sandbox() {
        let status = proto::ContainerStatus {
            id: "abc".to_owned(),
            state: proto::CONTAINER_RUNNING,
            metadata: Some(proto::ContainerMetadata {
                name: "web".to_owned(),
            }),
            image: Some(proto::ImageSpec {
                image: "sha256:11".to_owned(),
                user_specified_image: "nginx:1.27".to_owned(),
            }),
            image_ref: "nginx@sha256:11".to_owned(),
            labels: BTreeMap::new(),
        };
        let answer = [(
            "info".to_owned(),
            r#"{"pid": 9, "sandboxID": "box", "runtimeSpec": {"a": [1]}}"#.to_owned(),
        )];
        let info = Info::of(&answer.into());
        assert_eq!((info.pid, info.sandbox_id.as_str()), (9, "box"));
        let dossier = of_container(status.clone(), &info, Some(&sandbox(0)));
        let expected = Dossier {
            id: "abc".to_owned(),
            name: "web".to_owned(),
            image: "nginx:1.27".to_owned(),
            image_digest: "nginx@sha256:11".to_owned(),
            pid: 9,
            joins: Some("box".to_owned()),
            addresses: vec!["10.1.2.3".parse().unwrap(), "fd00::3".parse().unwrap()],
            pod: Some(PodSandbox {
                namespace: "shop".to_owned(),
                name: "web-0".to_owned(),
                uid: "11-22".to_owned(),
                sandbox_id: "box".to_owned(),
            }),
            complete: true,
            ..Dossier::default()
        };
        assert_eq!(dossier, expected);
        let ended = proto::ContainerStatus { state: 2, ..status };
        assert_eq!(of_container(ended, &info, None).pid, 0);
    }

    #[test]
    fn a_sandbox_on_the_hosts_network_is_settled_without_addresses() {
        let dossier = sandbox(proto::MODE_NODE).dossier();
        assert!(dossier.host_network);
        assert_eq!((dossier.name.as_str(), dossier.pid), (POD_CONTAINER, 7));
        assert!(sandbox(proto::MODE_NODE).is_settled());
        let status = proto::PodSandboxStatus::default();
        assert!(!Sandbox::new(status, &Info::default()).is_settled());
    }

    #[test]
    fn what_is_not_json_says_nothing() {
        for text in ["", "[]", "{\"pid\": -1}", "{\"pid\": \"x\"}", "\u{0}"] {
            let info = Info::of(&[("info".to_owned(), text.to_owned())].into());
            assert_eq!((info.pid, info.sandbox_id.as_str()), (0, ""), "{text}");
        }
    }
}
