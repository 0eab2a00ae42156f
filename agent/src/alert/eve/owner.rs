//! Whom a container belongs to, an object for each orchestrator that told something.

use serde::Serialize;

use crate::{
    alert::escape::Hostile,
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
    pub(crate) fn new(container: &'a Container, service_by: &[ServiceBy]) -> Self {
        let owner = &*container.owner;
        let service = container.service(service_by);
        Self {
            service: service.map(|service| Hostile(&service.to_string()).bounded()),
            kubernetes: owner.kubernetes.as_ref().map(KubernetesFields::new),
            ecs: owner.ecs.as_ref().map(EcsFields::new),
            nomad: owner.nomad.as_ref().map(NomadFields::new),
            swarm: owner.swarm.as_ref().map(SwarmFields::new),
            compose: owner.compose.as_ref().map(ComposeFields::new),
        }
    }
}

/// A text that was not told is left out.
fn told(text: &str) -> Option<Hostile<'_>> {
    (!text.is_empty()).then_some(Hostile(text))
}

#[derive(Serialize)]
struct KubernetesFields<'a> {
    namespace: Hostile<'a>,
    pod: Hostile<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod_uid: Option<Hostile<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Hostile<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<Hostile<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<WorkloadFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<Hostile<'a>>,
}

#[derive(Serialize)]
struct WorkloadFields<'a> {
    kind: WorkloadKind,
    name: Hostile<'a>,
    /// `label`, or `pod_name` when it is derived from that.
    by: &'static str,
}

impl<'a> KubernetesFields<'a> {
    fn new(of: &'a Kubernetes) -> Self {
        let workload = |of: &'a Workload| WorkloadFields {
            kind: of.kind,
            name: Hostile(&of.name),
            by: if of.told { "label" } else { "pod_name" },
        };
        Self {
            namespace: Hostile(&of.namespace),
            pod: Hostile(&of.pod),
            pod_uid: told(&of.uid),
            container: told(&of.container),
            sandbox: told(&of.sandbox),
            workload: of.workload.as_ref().map(workload),
            application: of.application.as_deref().map(Hostile),
        }
    }
}

#[derive(Serialize)]
struct EcsFields<'a> {
    cluster: Hostile<'a>,
    task: Hostile<'a>,
    task_arn: Hostile<'a>,
    family: Hostile<'a>,
    revision: Hostile<'a>,
    container: Hostile<'a>,
}

impl<'a> EcsFields<'a> {
    fn new(of: &'a Ecs) -> Self {
        Self {
            cluster: Hostile(&of.cluster),
            task: Hostile(of.task()),
            task_arn: Hostile(&of.task_arn),
            family: Hostile(&of.family),
            revision: Hostile(&of.revision),
            container: Hostile(&of.container),
        }
    }
}

#[derive(Serialize)]
struct NomadFields<'a> {
    allocation: Hostile<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<Hostile<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Hostile<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Hostile<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Hostile<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Hostile<'a>>,
}

impl<'a> NomadFields<'a> {
    fn new(of: &'a Nomad) -> Self {
        Self {
            allocation: Hostile(&of.allocation),
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
    service: Hostile<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Hostile<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Hostile<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<Hostile<'a>>,
}

impl<'a> SwarmFields<'a> {
    fn new(of: &'a Swarm) -> Self {
        Self {
            service: Hostile(&of.service),
            task: told(&of.task),
            node: told(&of.node),
            stack: told(&of.stack),
        }
    }
}

#[derive(Serialize)]
struct ComposeFields<'a> {
    project: Hostile<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Hostile<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<Hostile<'a>>,
}

impl<'a> ComposeFields<'a> {
    fn new(of: &'a Compose) -> Self {
        Self {
            project: Hostile(&of.project),
            service: told(&of.service),
            number: told(&of.number),
        }
    }
}
