//! What makes containers one service.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::census::Container;

/// A way to tell which containers are of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceBy {
    /// The same Compose project and service.
    Compose,
    /// The same Swarm service.
    Swarm,
    /// The same namespace, and there the same workload, or else application label.
    Kubernetes,
    /// The same cluster and family of task definitions.
    Ecs,
    /// The same namespace, job and task group.
    Nomad,
    /// The same image. Whoever runs two things of one image calls them one service by this.
    Image,
}

impl ServiceBy {
    /// The ways that rest on what an orchestrator told. An image is not among them: of strangers
    /// with the same base image it would say that they trust each other.
    pub const ORCHESTRATORS: [Self; 5] = [
        Self::Compose,
        Self::Swarm,
        Self::Kubernetes,
        Self::Ecs,
        Self::Nomad,
    ];
}

/// A service: what its containers have in common. Shown as `scope/name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Service<'a> {
    /// By what it is known.
    pub by: ServiceBy,
    /// Project, namespace or cluster; empty when there is none.
    pub scope: &'a str,
    /// Nomad's job; empty for all others.
    parent: &'a str,
    /// Its name there.
    pub name: &'a str,
}

impl fmt::Display for Service<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for prefix in [self.scope, self.parent] {
            if !prefix.is_empty() {
                write!(f, "{prefix}/")?;
            }
        }
        f.write_str(self.name)
    }
}

impl Container {
    /// The service that it is of, by the first of these ways that knows one. Containers are of one
    /// service if this is the same of both; `None` is no service, and never the same.
    #[must_use]
    pub fn service(&self, by: &[ServiceBy]) -> Option<Service<'_>> {
        by.iter().find_map(|by| self.service_by(*by))
    }

    fn service_by(&self, by: ServiceBy) -> Option<Service<'_>> {
        let owner = &*self.owner;
        let service = |scope, parent, name| Service {
            by,
            scope,
            parent,
            name,
        };
        let service = match by {
            ServiceBy::Compose => {
                let of = owner.compose.as_ref()?;
                service(&of.project, "", &of.service)
            }
            ServiceBy::Swarm => service("", "", &owner.swarm.as_ref()?.service),
            ServiceBy::Kubernetes => {
                let of = owner.kubernetes.as_ref()?;
                let workload = of.workload.as_ref().map(|workload| workload.name.as_str());
                // What nothing made and that names no application stands for itself.
                let name = workload.or(of.application.as_deref()).unwrap_or(&of.pod);
                service(&of.namespace, "", name)
            }
            ServiceBy::Ecs => {
                let of = owner.ecs.as_ref()?;
                service(&of.cluster, "", &of.family)
            }
            ServiceBy::Nomad => {
                let of = owner.nomad.as_ref()?;
                // An allocation whose job was not told stands for itself.
                let name = if of.job.is_empty() || of.group.is_empty() {
                    &of.allocation
                } else {
                    &of.group
                };
                service(&of.namespace, &of.job, name)
            }
            ServiceBy::Image => service("", "", &self.image),
        };
        (!service.name.is_empty()).then_some(service)
    }
}
