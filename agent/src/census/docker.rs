//! Docker Engine's API: what it knows of its containers, now and as that changes.
//!
//! Runs beside everything else. Nobody waits for it: it may be absent, hang, or come back.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, TrySendError},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    errors::Error as ApiError,
    models::{
        ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum, EventMessage,
        EventMessageTypeEnum,
    },
    query_parameters::{
        EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    },
};
use futures_util::StreamExt;
use tokio::{
    sync::{Semaphore, mpsc::Receiver},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    dossier::Dossier,
    message::{Message, Told},
    report::RuntimeState,
};

/// How long one answer may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Inspections that run at the same time.
const CONCURRENCY: usize = 8;
/// Inspections that wait or run; beyond that, events are read no further until some have ended.
const MAX_PENDING: usize = 256;
/// How often a silent API is asked whether it still lives.
const PING: Duration = Duration::from_secs(30);
/// How often an absent socket is looked for.
const ABSENT: Duration = Duration::from_millis(500);
/// Longest pause between two attempts on a socket that is there and does not answer.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Image digests that are remembered.
const MAX_DIGESTS: usize = 4_096;

/// The way to the census thread.
#[derive(Clone)]
struct Outbox {
    runtime: usize,
    census: SyncSender<Message>,
}

/// The census has ended.
struct Ended;

impl Outbox {
    async fn tell(&self, told: Told) -> Result<(), Ended> {
        let mut message = Message::Runtime(self.runtime, told);
        loop {
            match self.census.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back)) => message = back,
                Err(TrySendError::Disconnected(_)) => return Err(Ended),
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn dossier(&self, mut dossier: Dossier) -> Result<(), Ended> {
        dossier.runtime = self.runtime;
        self.tell(Told::Dossier(Box::new(dossier.bounded()))).await
    }
}

/// Why a session ended.
enum SessionError {
    /// The census has ended.
    Ended,
    /// The API does not answer as it should.
    Api(String),
}

impl From<Ended> for SessionError {
    fn from(Ended: Ended) -> Self {
        Self::Ended
    }
}

impl From<ApiError> for SessionError {
    fn from(error: ApiError) -> Self {
        Self::Api(error.to_string())
    }
}

impl From<tokio::time::error::Elapsed> for SessionError {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::Api(format!("no answer within {} s", DEADLINE.as_secs()))
    }
}

/// Follows the API behind one socket for as long as the census lives. `asked` are ids that the
/// census wants to know about.
pub(super) async fn follow(
    runtime: usize,
    socket: PathBuf,
    census: SyncSender<Message>,
    mut asked: Receiver<String>,
) {
    let outbox = Outbox { runtime, census };
    let mut backoff = Duration::from_millis(250);
    let mut was_absent = false;
    loop {
        let (state, pause) = if tokio::fs::try_exists(&socket).await.unwrap_or(false) {
            match session(&outbox, &socket, &mut asked, &mut backoff).await {
                SessionError::Ended => return,
                SessionError::Api(reason) => {
                    tracing::debug!(socket = %socket.display(), reason, "Docker's API is not usable");
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                    (RuntimeState::Unreachable(reason), backoff)
                }
            }
        } else {
            (RuntimeState::Absent, ABSENT)
        };
        let is_absent = state == RuntimeState::Absent;
        if !(is_absent && was_absent) && outbox.tell(Told::State(state)).await.is_err() {
            return;
        }
        was_absent = is_absent;
        sleep(pause).await;
    }
}

async fn session(
    outbox: &Outbox,
    socket: &Path,
    asked: &mut Receiver<String>,
    backoff: &mut Duration,
) -> SessionError {
    match Session::open(outbox, socket).await {
        Ok(mut session) => {
            *backoff = Duration::from_millis(250);
            match session.run(asked).await {
                Ok(()) => SessionError::Api("the event stream ended".to_owned()),
                Err(error) => error,
            }
        }
        Err(error) => error,
    }
}

/// One connection to the API.
struct Session {
    docker: Docker,
    outbox: Outbox,
    /// Events from this moment on are wanted; Unix time in seconds.
    since: u64,
    inspections: JoinSet<Result<(), Ended>>,
    permits: Arc<Semaphore>,
    digests: Arc<Mutex<HashMap<String, String>>>,
    version: String,
}

impl Session {
    async fn open(outbox: &Outbox, socket: &Path) -> Result<Self, SessionError> {
        let path = socket
            .to_str()
            .ok_or_else(|| SessionError::Api("the socket's path is not UTF-8".to_owned()))?;
        // The API replays events since a given second: none is lost between the list and them.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_secs().saturating_sub(1));
        let docker = Docker::connect_with_unix(path, DEADLINE.as_secs(), API_DEFAULT_VERSION)?;
        let docker = timeout(DEADLINE, docker.negotiate_version()).await??;
        let version = timeout(DEADLINE, docker.version()).await??;
        Ok(Self {
            docker,
            outbox: outbox.clone(),
            since,
            inspections: JoinSet::new(),
            permits: Arc::new(Semaphore::new(CONCURRENCY)),
            digests: Arc::default(),
            version: version.version.unwrap_or_default(),
        })
    }

    async fn run(&mut self, asked: &mut Receiver<String>) -> Result<(), SessionError> {
        self.list().await?;
        let state = RuntimeState::Reachable {
            version: self.version.clone(),
        };
        self.outbox.tell(Told::State(state)).await?;
        let filters = HashMap::from([("type", vec!["container", "network"])]);
        let options = EventsOptionsBuilder::new()
            .since(&self.since.to_string())
            .filters(&filters)
            .build();
        // A handle of its own, so that the stream does not borrow the session.
        let docker = self.docker.clone();
        let mut events = pin!(docker.events(Some(options)));
        let mut ping = tokio::time::interval(PING);
        ping.reset();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    None => return Ok(()),
                    Some(event) => self.take(event?).await?,
                },
                id = asked.recv() => match id {
                    Some(id) => self.inspect(id).await?,
                    None => return Err(SessionError::Ended),
                },
                Some(ended) = self.inspections.join_next() => {
                    if let Ok(Err(Ended)) = ended {
                        return Err(SessionError::Ended);
                    }
                }
                _ = ping.tick() => {
                    timeout(DEADLINE, self.docker.ping()).await??;
                }
            }
        }
    }

    /// Tells of all containers that are there, those that do not run by what the list says.
    async fn list(&mut self) -> Result<(), SessionError> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let listed = timeout(DEADLINE, self.docker.list_containers(Some(options))).await??;
        let ids: BTreeSet<_> = listed.iter().filter_map(|one| one.id.clone()).collect();
        for summary in listed {
            let runs = summary.state == Some(ContainerSummaryStateEnum::RUNNING);
            let id = summary.id.clone().unwrap_or_default();
            self.outbox.dossier(of_summary(summary)).await?;
            if runs {
                self.inspect(id).await?;
            }
        }
        self.outbox.tell(Told::Listed(ids)).await?;
        while let Some(ended) = self.inspections.join_next().await {
            if let Ok(Err(Ended)) = ended {
                return Err(SessionError::Ended);
            }
        }
        Ok(())
    }

    async fn take(&mut self, event: EventMessage) -> Result<(), SessionError> {
        let Some(actor) = event.actor else {
            return Ok(());
        };
        let (Some(action), Some(id)) = (event.action, actor.id) else {
            return Ok(());
        };
        let attributes = actor.attributes.unwrap_or_default();
        match (event.typ, action.as_str()) {
            (Some(EventMessageTypeEnum::CONTAINER), "create" | "start" | "rename") => {
                // Name, image and labels are in the event itself: they are known even if the
                // container has gone before it can be inspected.
                self.outbox.dossier(of_event(&id, attributes)).await?;
                self.inspect(id).await?;
            }
            (Some(EventMessageTypeEnum::CONTAINER), "die") => {
                self.outbox.tell(Told::Ended(id)).await?;
            }
            (Some(EventMessageTypeEnum::CONTAINER), "destroy") => {
                self.outbox.tell(Told::Removed(id)).await?;
            }
            (Some(EventMessageTypeEnum::NETWORK), "connect" | "disconnect") => {
                if let Some(id) = attributes.get("container") {
                    self.inspect(id.clone()).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Inspects a container beside everything else.
    async fn inspect(&mut self, id: String) -> Result<(), Ended> {
        while self.inspections.len() >= MAX_PENDING {
            if let Some(Ok(Err(Ended))) = self.inspections.join_next().await {
                return Err(Ended);
            }
        }
        let inspection = Inspection {
            docker: self.docker.clone(),
            outbox: self.outbox.clone(),
            digests: Arc::clone(&self.digests),
        };
        let permits = Arc::clone(&self.permits);
        self.inspections.spawn(async move {
            let _permit = permits.acquire_owned().await;
            inspection.run(id).await
        });
        Ok(())
    }
}

/// One inspection.
struct Inspection {
    docker: Docker,
    outbox: Outbox,
    digests: Arc<Mutex<HashMap<String, String>>>,
}

impl Inspection {
    async fn run(self, id: String) -> Result<(), Ended> {
        let request = self
            .docker
            .inspect_container(&id, None::<InspectContainerOptions>);
        let mut dossier = match timeout(DEADLINE, request).await {
            Ok(Ok(response)) => of_inspection(response),
            Ok(Err(ApiError::DockerResponseServerError {
                status_code: 404, ..
            })) => return self.outbox.tell(Told::NotThere(id)).await,
            // The session's ping finds out whether the API is still there.
            Ok(Err(_)) | Err(_) => return Ok(()),
        };
        let image = dossier.image_digest.clone();
        if let Some(digest) = self.known_digest(&image) {
            dossier.image_digest = digest;
            return self.outbox.dossier(dossier).await;
        }
        // The digest takes another question; everything else is told before it.
        self.outbox.dossier(dossier.clone()).await?;
        if let Ok(Ok(inspected)) = timeout(DEADLINE, self.docker.inspect_image(&image)).await {
            let digest = inspected
                .repo_digests
                .unwrap_or_default()
                .into_iter()
                .next();
            dossier.image_digest = digest.unwrap_or_else(|| image.clone());
            self.remember_digest(image, dossier.image_digest.clone());
            self.outbox.dossier(dossier).await?;
        }
        Ok(())
    }

    fn known_digest(&self, image: &str) -> Option<String> {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.get(image).cloned()
    }

    fn remember_digest(&self, image: String, digest: String) {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if digests.len() >= MAX_DIGESTS {
            digests.clear();
        }
        digests.insert(image, digest);
    }
}

fn of_summary(summary: ContainerSummary) -> Dossier {
    let name = summary.names.unwrap_or_default().into_iter().next();
    Dossier {
        id: summary.id.unwrap_or_default(),
        name: plain_name(name),
        image: summary.image.unwrap_or_default(),
        image_digest: summary.image_id.unwrap_or_default(),
        labels: summary.labels.unwrap_or_default().into_iter().collect(),
        ..Dossier::default()
    }
}

/// Name, image and, as whatever else there is, labels.
fn of_event(id: &str, mut attributes: HashMap<String, String>) -> Dossier {
    let name = attributes.remove("name");
    let image = attributes.remove("image").unwrap_or_default();
    attributes.remove("oldName");
    Dossier {
        id: id.to_owned(),
        name: plain_name(name),
        image,
        labels: attributes.into_iter().collect(),
        ..Dossier::default()
    }
}

fn of_inspection(response: ContainerInspectResponse) -> Dossier {
    let config = response.config.unwrap_or_default();
    let pid = response.state.and_then(|state| state.pid).unwrap_or(0);
    let mode = response
        .host_config
        .and_then(|host| host.network_mode)
        .unwrap_or_default();
    let networks = response
        .network_settings
        .and_then(|settings| settings.networks)
        .unwrap_or_default();
    let addresses = networks
        .into_values()
        .flat_map(|endpoint| [endpoint.ip_address, endpoint.global_ipv6_address])
        .filter_map(|address| address?.parse().ok())
        .collect();
    Dossier {
        id: response.id.unwrap_or_default(),
        name: plain_name(response.name),
        image: config.image.unwrap_or_default(),
        image_digest: response.image.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        pid: u32::try_from(pid).unwrap_or(0),
        host_network: mode == "host",
        joins: mode.strip_prefix("container:").map(str::to_owned),
        addresses,
        complete: true,
        ..Dossier::default()
    }
}

/// A name without the slash that the API writes before it.
fn plain_name(name: Option<String>) -> String {
    let name = name.unwrap_or_default();
    name.strip_prefix('/').map(str::to_owned).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_tells_name_image_and_labels() {
        let attributes = [
            ("name", "web"),
            ("image", "nginx:1.27"),
            ("oldName", "/old"),
            ("com.docker.compose.service", "front"),
        ];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let dossier = of_event("id", attributes.into());
        assert_eq!(
            (dossier.name.as_str(), dossier.image.as_str()),
            ("web", "nginx:1.27")
        );
        assert_eq!(dossier.labels.len(), 1);
        assert!(!dossier.complete);
        assert_eq!(of_event("id", HashMap::new()).name, "");
    }

    #[test]
    fn an_inspection_is_read_and_what_it_lacks_is_empty() {
        let response: ContainerInspectResponse = serde_json::from_value(serde_json::json!({
            "Id": "abc",
            "Name": "/web",
            "Image": "sha256:11",
            "State": {"Pid": 77},
            "Config": {"Image": "nginx:1.27", "Labels": {"a": "b"}},
            "HostConfig": {"NetworkMode": "container:def"},
            "NetworkSettings": {"Networks": {
                "one": {"IPAddress": "172.29.7.2", "GlobalIPv6Address": "fd00::2"},
                "two": {"IPAddress": "", "GlobalIPv6Address": "nonsense"},
            }},
        }))
        .unwrap();
        let mut dossier = of_inspection(response);
        dossier.addresses.sort_unstable();
        let expected = Dossier {
            id: "abc".to_owned(),
            name: "web".to_owned(),
            image: "nginx:1.27".to_owned(),
            image_digest: "sha256:11".to_owned(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            pid: 77,
            joins: Some("def".to_owned()),
            addresses: vec!["172.29.7.2".parse().unwrap(), "fd00::2".parse().unwrap()],
            complete: true,
            ..Dossier::default()
        };
        assert_eq!(dossier, expected);
        let empty = of_inspection(ContainerInspectResponse::default());
        assert_eq!(
            empty,
            Dossier {
                complete: true,
                ..Dossier::default()
            }
        );
        let negative: ContainerInspectResponse =
            serde_json::from_value(serde_json::json!({"State": {"Pid": -1}})).unwrap();
        assert_eq!(of_inspection(negative).pid, 0);
    }
}
