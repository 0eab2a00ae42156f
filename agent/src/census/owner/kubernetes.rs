//! Pods, and the workloads that they are of.

use core::fmt;

use serde::Serialize;

use super::Labels;

/// A container of a pod. Namespace, pod, uid and container are what the kubelet gave the runtime
/// as labels (`io.kubernetes.…`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kubernetes {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid.
    pub uid: String,
    /// The container's name in the pod; empty for the sandbox itself.
    pub container: String,
    /// Id of the sandbox; empty when the runtime did not tell it.
    pub sandbox: String,
    /// What made the pod.
    pub workload: Option<Workload>,
    /// The application that the pod says it is of (`app.kubernetes.io/name`, `app` or `k8s-app`).
    pub application: Option<String>,
}

/// What made a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// Whether the name was told by a label, or is what its controller must have been called, by
    /// the pod's name.
    pub told: bool,
}

/// Kinds of controllers, as far as their labels tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum WorkloadKind {
    /// Through a ReplicaSet.
    Deployment,
    /// Pods with an ordinal.
    StatefulSet,
    /// One pod a node.
    DaemonSet,
    /// Pods that end. A CronJob's jobs are one each.
    Job,
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Kubernetes {
    pub(super) fn of(labels: &Labels<'_>) -> Option<Self> {
        let namespace = labels.get("io.kubernetes.pod.namespace")?.to_owned();
        let pod = labels.get("io.kubernetes.pod.name")?.to_owned();
        let application = ["app.kubernetes.io/name", "app", "k8s-app"];
        Some(Self {
            uid: labels.text("io.kubernetes.pod.uid"),
            container: labels.text("io.kubernetes.container.name"),
            // Of cri-dockerd.
            sandbox: labels.text("io.kubernetes.sandbox.id"),
            workload: Workload::of(labels, &pod),
            application: application
                .into_iter()
                .find_map(|key| labels.get(key))
                .map(str::to_owned),
            namespace,
            pod,
        })
    }
}

impl Workload {
    /// By the labels that each controller puts on its pods, and the names that it gives them
    /// (Kubernetes, "Well-Known Labels, Annotations and Taints").
    fn of(labels: &Labels<'_>, pod: &str) -> Option<Self> {
        let job = ["batch.kubernetes.io/job-name", "job-name"];
        if let Some(job) = job.into_iter().find_map(|key| labels.get(key)) {
            return Some(Self {
                kind: WorkloadKind::Job,
                name: job.to_owned(),
                told: true,
            });
        }
        let (kind, name) = if labels.get("statefulset.kubernetes.io/pod-name") == Some(pod) {
            (WorkloadKind::StatefulSet, without_ordinal(pod)?)
        } else if let Some(hash) = labels.get("pod-template-hash") {
            let replica_set = without_suffix(pod)?;
            let name = replica_set.strip_suffix(hash)?.strip_suffix('-')?;
            (WorkloadKind::Deployment, name)
        } else if labels.get("controller-revision-hash").is_some() {
            (WorkloadKind::DaemonSet, without_suffix(pod)?)
        } else {
            return None;
        };
        (!name.is_empty()).then(|| Self {
            kind,
            name: name.to_owned(),
            told: false,
        })
    }
}

/// `web` of `web-12`.
fn without_ordinal(pod: &str) -> Option<&str> {
    let (name, ordinal) = pod.rsplit_once('-')?;
    let is_ordinal = !ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit());
    is_ordinal.then_some(name)
}

/// `web` of `web-x7k2p`: controllers add five characters (apiserver, `names/generate.go`).
fn without_suffix(pod: &str) -> Option<&str> {
    let (name, suffix) = pod.rsplit_once('-')?;
    (suffix.len() == 5).then_some(name)
}
