//! Keywords about who the two ends are. The engine knows only numbers: the stage that has names
//! decides them, by [`IdentityConditions::hold`].

use super::test::{Group, Target};
use crate::protocol::named;

named! {
    /// A text about one end. `src` is the end that sent what matched.
    IdentityBuffer {
        SourceContainerId: "src.container.id",
        SourceContainerName: "src.container.name",
        SourceContainerImage: "src.container.image",
        SourceContainerImageDigest: "src.container.image_digest",
        SourceContainerLabel: "src.container.label",
        SourceService: "src.service",
        SourceTask: "src.task",
        SourceComposeProject: "src.compose.project",
        SourceComposeService: "src.compose.service",
        SourceNamespace: "src.k8s.namespace",
        SourcePod: "src.k8s.pod",
        SourceWorkload: "src.k8s.workload",
        SourceEcsCluster: "src.ecs.cluster",
        SourceEcsFamily: "src.ecs.family",
        SourceProcess: "src.process.comm",
        DestinationContainerId: "dst.container.id",
        DestinationContainerName: "dst.container.name",
        DestinationContainerImage: "dst.container.image",
        DestinationContainerImageDigest: "dst.container.image_digest",
        DestinationContainerLabel: "dst.container.label",
        DestinationService: "dst.service",
        DestinationTask: "dst.task",
        DestinationComposeProject: "dst.compose.project",
        DestinationComposeService: "dst.compose.service",
        DestinationNamespace: "dst.k8s.namespace",
        DestinationPod: "dst.k8s.pod",
        DestinationWorkload: "dst.k8s.workload",
        DestinationEcsCluster: "dst.ecs.cluster",
        DestinationEcsFamily: "dst.ecs.family",
        DestinationProcess: "dst.process.comm",
    }
}

named! {
    /// A relation of the two ends.
    IdentityFlag {
        SamePod: "same_pod",
        SameService: "same_service",
        SameContainer: "same_container",
        SourceIsContainer: "src.is_container",
        DestinationIsContainer: "dst.is_container",
        SourceIsHost: "src.is_host",
        DestinationIsHost: "dst.is_host",
    }
}

/// What has to hold of the two ends before a match becomes a finding.
#[derive(Clone, Debug, Default)]
pub struct IdentityConditions {
    /// Tests of texts.
    pub groups: Vec<Group>,
    /// Relations, each wanted or not.
    pub flags: Vec<(IdentityFlag, bool)>,
    /// `$EXTERNAL_NET` stands on one side, by identity: the two ends are not of one service.
    pub external: bool,
}

impl IdentityConditions {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.flags.is_empty() && !self.external
    }

    /// Whether all hold. `texts` gives the texts of a buffer (several for labels, as `KEY=VALUE`),
    /// `relation` says whether a relation is known to hold.
    #[must_use]
    pub fn hold(
        &self,
        texts: &dyn Fn(IdentityBuffer) -> Vec<String>,
        relation: &dyn Fn(IdentityFlag) -> bool,
    ) -> bool {
        !(self.external && relation(IdentityFlag::SameService))
            && self
                .flags
                .iter()
                .all(|(flag, wanted)| relation(*flag) == *wanted)
            && self.groups.iter().all(|group| {
                let Target::Identity(buffer) = group.target else {
                    return true;
                };
                let texts = texts(buffer);
                texts
                    .iter()
                    .any(|text| crate::engine::group_matches(group, text.as_bytes()))
            })
    }
}
