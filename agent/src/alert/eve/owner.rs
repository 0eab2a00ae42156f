//! Whom a container belongs to, an object for each orchestrator that told something.

use serde::Serialize;

use crate::{
    alert::escape::{Name, short},
    census::{
        Container, ServiceBy,
        owner::{Compose, Ecs, Kubernetes, Nomad, Swarm, Workload, WorkloadKind},
    },
};

/// Part of `src_container` and `dst_container`.
#[derive(Serialize)]
pub(crate) struct OwnerFields<'a> {
    /// `scope/name`, as `census.service_by` has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes: Option<KubernetesFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ecs: Option<EcsFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nomad: Option<NomadFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    swarm: Option<SwarmFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compose: Option<ComposeFields<'a>>,
}

impl<'a> OwnerFields<'a> {
    /// Leaves all but the service out.
    pub(super) fn reduce(&mut self) {
        *self = Self {
            service: self.service.take(),
            kubernetes: None,
            ecs: None,
            nomad: None,
            swarm: None,
            compose: None,
        };
    }

    pub(crate) fn new(container: &'a Container, service_by: &[ServiceBy]) -> Self {
        let owner = &*container.owner;
        let service = container.service(service_by);
        Self {
            service: service.map(|service| short(&service.to_string()).into_owned()),
            kubernetes: owner.kubernetes.as_ref().map(KubernetesFields::new),
            ecs: owner.ecs.as_ref().map(EcsFields::new),
            nomad: owner.nomad.as_ref().map(NomadFields::new),
            swarm: owner.swarm.as_ref().map(SwarmFields::new),
            compose: owner.compose.as_ref().map(ComposeFields::new),
        }
    }
}

/// A text that was not told is left out.
fn told(text: &str) -> Option<Name<'_>> {
    (!text.is_empty()).then_some(Name(text))
}

#[derive(Serialize)]
struct KubernetesFields<'a> {
    namespace: Name<'a>,
    pod: Name<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod_uid: Option<Name<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Name<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<Name<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<WorkloadFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<Name<'a>>,
}

#[derive(Serialize)]
struct WorkloadFields<'a> {
    kind: WorkloadKind,
    name: Name<'a>,
    /// `label`, or `pod_name` when it is derived from that.
    by: &'static str,
}

impl<'a> KubernetesFields<'a> {
    fn new(of: &'a Kubernetes) -> Self {
        let workload = |of: &'a Workload| WorkloadFields {
            kind: of.kind,
            name: Name(&of.name),
            by: if of.told { "label" } else { "pod_name" },
        };
        Self {
            namespace: Name(&of.namespace),
            pod: Name(&of.pod),
            pod_uid: told(&of.uid),
            container: told(&of.container),
            sandbox: told(&of.sandbox),
            workload: of.workload.as_ref().map(workload),
            application: of.application.as_deref().map(Name),
        }
    }
}

#[derive(Serialize)]
struct EcsFields<'a> {
    cluster: Name<'a>,
    task: Name<'a>,
    task_arn: Name<'a>,
    family: Name<'a>,
    revision: Name<'a>,
    container: Name<'a>,
}

impl<'a> EcsFields<'a> {
    fn new(of: &'a Ecs) -> Self {
        Self {
            cluster: Name(&of.cluster),
            task: Name(of.task()),
            task_arn: Name(&of.task_arn),
            family: Name(&of.family),
            revision: Name(&of.revision),
            container: Name(&of.container),
        }
    }
}

#[derive(Serialize)]
struct NomadFields<'a> {
    allocation: Name<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<Name<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Name<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Name<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Name<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Name<'a>>,
}

impl<'a> NomadFields<'a> {
    fn new(of: &'a Nomad) -> Self {
        Self {
            allocation: Name(&of.allocation),
            namespace: told(&of.namespace),
            job: told(&of.job),
            group: told(&of.group),
            task: told(&of.task),
            node: told(&of.node),
        }
    }
}

#[derive(Serialize)]
struct SwarmFields<'a> {
    service: Name<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Name<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Name<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<Name<'a>>,
}

impl<'a> SwarmFields<'a> {
    fn new(of: &'a Swarm) -> Self {
        Self {
            service: Name(&of.service),
            task: told(&of.task),
            node: told(&of.node),
            stack: told(&of.stack),
        }
    }
}

#[derive(Serialize)]
struct ComposeFields<'a> {
    project: Name<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Name<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<Name<'a>>,
}

impl<'a> ComposeFields<'a> {
    fn new(of: &'a Compose) -> Self {
        Self {
            project: Name(&of.project),
            service: told(&of.service),
            number: told(&of.number),
        }
    }
}
