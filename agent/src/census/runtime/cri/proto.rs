//! The messages of CRI v1 that are needed, and their fields, with the tags of Kubernetes'
//! `staging/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto` (1.23 and later).
//!
//! Written by hand: a compiler for the whole interface would be the larger part of the build.

use std::collections::BTreeMap;

use prost::Message;

pub(super) const VERSION: &str = "/runtime.v1.RuntimeService/Version";
pub(super) const LIST_CONTAINERS: &str = "/runtime.v1.RuntimeService/ListContainers";
pub(super) const LIST_SANDBOXES: &str = "/runtime.v1.RuntimeService/ListPodSandbox";
pub(super) const CONTAINER_STATUS: &str = "/runtime.v1.RuntimeService/ContainerStatus";
pub(super) const SANDBOX_STATUS: &str = "/runtime.v1.RuntimeService/PodSandboxStatus";
pub(super) const EVENTS: &str = "/runtime.v1.RuntimeService/GetContainerEvents";

/// `ContainerState.CONTAINER_RUNNING`.
pub(super) const CONTAINER_RUNNING: i32 = 1;
/// `PodSandboxState.SANDBOX_READY`.
pub(super) const SANDBOX_READY: i32 = 0;
/// `NamespaceMode.NODE`.
pub(super) const MODE_NODE: i32 = 2;
/// `ContainerEventType.CONTAINER_STOPPED_EVENT`.
pub(super) const EVENT_STOPPED: i32 = 2;
/// `ContainerEventType.CONTAINER_DELETED_EVENT`.
pub(super) const EVENT_DELETED: i32 = 3;

/// A question without fields: `ListContainersRequest` and `ListPodSandboxRequest` without filter,
/// `GetEventsRequest`, `google.protobuf.Empty`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(in super::super) struct Nothing {}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct VersionRequest {
    #[prost(string, tag = "1")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct VersionResponse {
    #[prost(string, tag = "2")]
    pub(super) runtime_name: String,
    #[prost(string, tag = "3")]
    pub(super) runtime_version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) containers: Vec<Container>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) pod_sandbox_id: String,
    #[prost(message, optional, tag = "3")]
    pub(super) metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "4")]
    pub(super) image: Option<ImageSpec>,
    #[prost(string, tag = "5")]
    pub(super) image_ref: String,
    #[prost(int32, tag = "6")]
    pub(super) state: i32,
    #[prost(btree_map = "string, string", tag = "8")]
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ContainerMetadata {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ImageSpec {
    #[prost(string, tag = "1")]
    pub(super) image: String,
    /// Kubernetes 1.28 and later.
    #[prost(string, tag = "18")]
    pub(super) user_specified_image: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListPodSandboxResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) items: Vec<PodSandbox>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandbox {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<PodSandboxMetadata>,
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    #[prost(btree_map = "string, string", tag = "5")]
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) uid: String,
    #[prost(string, tag = "3")]
    pub(super) namespace: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ContainerStatusRequest {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
    #[prost(bool, tag = "2")]
    pub(super) verbose: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<ContainerStatus>,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) info: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerStatus {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<ContainerMetadata>,
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    #[prost(message, optional, tag = "8")]
    pub(super) image: Option<ImageSpec>,
    #[prost(string, tag = "9")]
    pub(super) image_ref: String,
    #[prost(btree_map = "string, string", tag = "12")]
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct PodSandboxStatusRequest {
    #[prost(string, tag = "1")]
    pub(super) pod_sandbox_id: String,
    #[prost(bool, tag = "2")]
    pub(super) verbose: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<PodSandboxStatus>,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) info: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxStatus {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<PodSandboxMetadata>,
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    #[prost(message, optional, tag = "5")]
    pub(super) network: Option<PodSandboxNetworkStatus>,
    #[prost(message, optional, tag = "6")]
    pub(super) linux: Option<LinuxPodSandboxStatus>,
    #[prost(btree_map = "string, string", tag = "7")]
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxNetworkStatus {
    #[prost(string, tag = "1")]
    pub(super) ip: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) additional_ips: Vec<PodIp>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct PodIp {
    #[prost(string, tag = "1")]
    pub(super) ip: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct LinuxPodSandboxStatus {
    #[prost(message, optional, tag = "1")]
    pub(super) namespaces: Option<Namespace>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Namespace {
    #[prost(message, optional, tag = "2")]
    pub(super) options: Option<NamespaceOption>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct NamespaceOption {
    #[prost(int32, tag = "1")]
    pub(super) network: i32,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ContainerEventResponse {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
    #[prost(int32, tag = "2")]
    pub(super) container_event_type: i32,
}
