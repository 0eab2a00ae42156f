//! The Container Runtime Interface, which Kubernetes speaks with containerd and CRI-O, over gRPC.
//!
//! containerd's own services answer on the same socket: they tell of changes on every version, and
//! of containers that other clients than Kubernetes have made ([`super::containerd`]).

mod convert;
mod proto;

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt as _;
use tonic::Status;

use super::{
    api::{Api, ApiError, Event, EventStream, Listed, Outbox, SessionError},
    containerd::Containerd,
    rpc::{Client, if_found, is_unimplemented},
};
use crate::census::{dossier::Dossier, identity::Runtime, message::Told};
use convert::Sandbox;
pub(super) use proto::Nothing;

/// Sandboxes that are remembered.
const MAX_SANDBOXES: usize = 4_096;
/// Pauses before a runtime is asked again about a cgroup that it does not know: the cgroup of a
/// sandbox is there before CRI knows the sandbox.
const AGAIN: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1_500),
];

/// One connection to a runtime that speaks CRI.
pub(super) struct Cri {
    client: Client,
    /// Whether CRI itself is answered: a containerd that serves Docker alone has it switched off.
    has_cri: bool,
    containerd: Option<Containerd>,
    name: String,
    version: String,
    runtime: Runtime,
    sandboxes: Mutex<HashMap<String, Sandbox>>,
}

impl Api for Cri {
    async fn open(socket: &Path) -> Result<Self, ApiError> {
        let client = Client::connect(socket).await?;
        let containerd = Containerd::open(&client).await;
        let asked = client.ask(
            proto::VERSION,
            proto::VersionRequest {
                version: "v1".to_owned(),
            },
        );
        let (told, has_cri) = match asked.await {
            Ok(told) => (told, true),
            Err(status) if is_unimplemented(&status) && containerd.is_some() => {
                (proto::VersionResponse::default(), false)
            }
            Err(status) => return Err(status.into()),
        };
        let (name, version) = match &containerd {
            Some(containerd) => ("containerd".to_owned(), containerd.version().to_owned()),
            None => (told.runtime_name, told.runtime_version),
        };
        Ok(Self {
            runtime: runtime_of(&name),
            client,
            has_cri,
            containerd,
            name,
            version,
            sandboxes: Mutex::default(),
        })
    }

    fn version(&self) -> (String, String) {
        (self.name.clone(), self.version.clone())
    }

    fn events(&self) -> EventStream {
        match &self.containerd {
            Some(containerd) => containerd.events(),
            None => Box::pin(self.cri_events()),
        }
    }

    async fn list(&self) -> Result<Vec<Listed>, ApiError> {
        let mut listed = if self.has_cri {
            self.cri_list().await?
        } else {
            Vec::new()
        };
        if let Some(containerd) = &self.containerd {
            let known: HashSet<_> = listed.iter().map(|one| one.dossier.id.clone()).collect();
            let others = containerd.list().await?;
            listed.extend(
                others
                    .into_iter()
                    .filter(|one| !known.contains(&one.id))
                    .map(|dossier| Listed {
                        dossier,
                        inspect: false,
                    }),
            );
        }
        Ok(listed)
    }

    async fn inspect(&self, id: &str, outbox: &Outbox) -> Result<(), SessionError> {
        let mut pauses = AGAIN.iter();
        let found = loop {
            let found = self.find(id).await.map_err(ApiError::from)?;
            if !found.is_empty() {
                break found;
            }
            // containerd's own services know a container before its cgroup is there.
            match pauses.next().filter(|_| self.containerd.is_none()) {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Ok(outbox.tell(Told::NotThere(id.to_owned())).await?),
            }
        };
        for dossier in found {
            outbox.dossier(dossier).await?;
        }
        Ok(())
    }

    async fn ping(&self) -> Result<(), ApiError> {
        if let Some(containerd) = &self.containerd {
            return Ok(containerd.ping().await?);
        }
        let question = proto::VersionRequest::default();
        let _: proto::VersionResponse = self.client.ask(proto::VERSION, question).await?;
        Ok(())
    }
}

impl Cri {
    /// Events of runtimes that have them (CRI-O with `enable_pod_events`); without, the census
    /// asks about each cgroup that appears.
    fn cri_events(&self) -> impl futures_util::Stream<Item = Result<Event, ApiError>> + use<> {
        self.client.stream(proto::EVENTS, Nothing {}).flat_map(
            |told: Result<proto::ContainerEventResponse, Status>| match told {
                Err(status) if is_unimplemented(&status) => {
                    futures_util::stream::pending().left_stream()
                }
                told => futures_util::stream::iter([told.map(event_of).map_err(ApiError::from)])
                    .right_stream(),
            },
        )
    }

    async fn cri_list(&self) -> Result<Vec<Listed>, ApiError> {
        let sandboxes: proto::ListPodSandboxResponse =
            self.client.ask(proto::LIST_SANDBOXES, Nothing {}).await?;
        let containers: proto::ListContainersResponse =
            self.client.ask(proto::LIST_CONTAINERS, Nothing {}).await?;
        let pods: HashMap<_, _> = sandboxes
            .items
            .iter()
            .map(|sandbox| (sandbox.id.clone(), sandbox.clone()))
            .collect();
        let mut listed = Vec::new();
        for sandbox in sandboxes.items {
            listed.push(Listed {
                inspect: sandbox.state == proto::SANDBOX_READY,
                dossier: self.of_kind(convert::of_listed_sandbox(sandbox)),
            });
        }
        for container in containers.containers {
            let pod = pods.get(&container.pod_sandbox_id);
            listed.push(Listed {
                inspect: container.state == proto::CONTAINER_RUNNING,
                dossier: self.of_kind(convert::of_listed_container(container, pod)),
            });
        }
        Ok(listed)
    }

    fn of_kind(&self, dossier: Dossier) -> Dossier {
        Dossier {
            kind: self.runtime,
            ..dossier
        }
    }

    /// All that is known of a container or a sandbox, and of a sandbox that was learnt by the way.
    /// Empty when nothing is.
    async fn find(&self, id: &str) -> Result<Vec<Dossier>, Status> {
        if self.has_cri {
            let found = self.container(id).await?;
            if !found.is_empty() {
                return Ok(found);
            }
            if let Some(sandbox) = self.sandbox(id).await? {
                return Ok(vec![self.of_kind(sandbox.dossier())]);
            }
        }
        match &self.containerd {
            Some(containerd) => Ok(containerd.find(id).await?.into_iter().collect()),
            None => Ok(Vec::new()),
        }
    }

    async fn container(&self, id: &str) -> Result<Vec<Dossier>, Status> {
        let question = proto::ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: true,
        };
        let answer = self.client.ask(proto::CONTAINER_STATUS, question).await;
        let Some(answer) = if_found::<proto::ContainerStatusResponse>(answer)? else {
            return Ok(Vec::new());
        };
        let info = convert::Info::of(&answer.info);
        // Beginnings of ids are taken, too: that is another container then.
        let Some(status) = answer.status.filter(|status| status.id == id) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let sandbox = match self.remembered(&info.sandbox_id) {
            Some(sandbox) => Some(sandbox),
            None if info.sandbox_id.is_empty() => None,
            None => {
                let sandbox = self.sandbox(&info.sandbox_id).await?;
                let dossier = sandbox.clone().map(Sandbox::dossier);
                found.extend(dossier.map(|dossier| self.of_kind(dossier)));
                sandbox
            }
        };
        let dossier = convert::of_container(status, &info, sandbox.as_ref());
        found.push(self.of_kind(dossier));
        Ok(found)
    }

    async fn sandbox(&self, id: &str) -> Result<Option<Sandbox>, Status> {
        let question = proto::PodSandboxStatusRequest {
            pod_sandbox_id: id.to_owned(),
            verbose: true,
        };
        let answer = self.client.ask(proto::SANDBOX_STATUS, question).await;
        let Some(answer) = if_found::<proto::PodSandboxStatusResponse>(answer)? else {
            return Ok(None);
        };
        let info = convert::Info::of(&answer.info);
        let Some(status) = answer.status.filter(|status| status.id == id) else {
            return Ok(None);
        };
        let sandbox = Sandbox::new(status, &info);
        let mut sandboxes = self
            .sandboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if sandboxes.len() >= MAX_SANDBOXES {
            sandboxes.clear();
        }
        sandboxes.insert(id.to_owned(), sandbox.clone());
        Ok(Some(sandbox))
    }

    /// A sandbox that has its addresses does not change any more.
    fn remembered(&self, id: &str) -> Option<Sandbox> {
        let sandboxes = self
            .sandboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        sandboxes
            .get(id)
            .filter(|sandbox| sandbox.is_settled())
            .cloned()
    }
}

fn event_of(event: proto::ContainerEventResponse) -> Event {
    match event.container_event_type {
        proto::EVENT_STOPPED => Event::Ended(event.container_id),
        proto::EVENT_DELETED => Event::Removed(event.container_id),
        _ => Event::Changed(event.container_id, None),
    }
}

fn runtime_of(name: &str) -> Runtime {
    match name {
        "containerd" => Runtime::Containerd,
        "cri-o" => Runtime::CriO,
        "docker" => Runtime::Docker,
        _ => Runtime::Other,
    }
}
