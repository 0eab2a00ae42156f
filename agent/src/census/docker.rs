//! What Docker Engine's API knows of its containers: once at start, then by its events.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    path::PathBuf,
    time::Duration,
};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    models::{ContainerInspectResponse, EventMessage},
    query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder},
};
use futures_util::StreamExt as _;
use tokio::{sync::mpsc, time};

/// A Docker that hangs must not hold up anything for longer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Waits between attempts to reach a Docker that is not there: first and longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// What Docker told of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dossier {
    /// Name without the leading slash.
    pub name: String,
    /// Image reference as the user gave it.
    pub image: String,
    /// Image id (`sha256:…`); empty when only an event told of the container.
    pub image_digest: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Main process; 0 when it is not running.
    pub pid: u32,
    /// The container whose network namespace it shares.
    pub shares_network_of: Option<String>,
    /// Addresses on Docker's networks.
    pub addresses: Vec<IpAddr>,
}

/// News from one Docker.
#[derive(Debug)]
pub enum News {
    /// The API answered, or stopped to.
    Reachable(PathBuf, Result<String, String>),
    /// A container has started or changed.
    Known(String, Box<Dossier>),
}

/// Follows the Docker behind `socket` for good. Ends when nobody listens any more.
pub async fn follow(socket: PathBuf, news: mpsc::Sender<News>) {
    let mut backoff = BACKOFF.0;
    loop {
        let error = match session(&socket, &news, &mut backoff).await {
            Ok(()) => "its event stream ended".to_owned(),
            Err(error) => error.to_string(),
        };
        if news
            .send(News::Reachable(socket.clone(), Err(error)))
            .await
            .is_err()
        {
            return;
        }
        time::sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF.1);
    }
}

async fn session(
    socket: &std::path::Path,
    news: &mpsc::Sender<News>,
    backoff: &mut Duration,
) -> anyhow::Result<()> {
    let address = socket.to_string_lossy();
    let docker = Docker::connect_with_unix(&address, DEADLINE.as_secs(), API_DEFAULT_VERSION)?;
    let version = time::timeout(DEADLINE, docker.version()).await??;
    let version = version
        .version
        .unwrap_or_else(|| "unknown version".to_owned());
    news.send(News::Reachable(socket.to_owned(), Ok(version)))
        .await?;
    *backoff = BACKOFF.0;

    // Events from before the listing on, so that none is missed in between.
    let now = crate::probe::Clock::wall_now().0 / 1_000_000_000;
    let filters = HashMap::from([("type", vec!["container", "network"])]);
    let options = EventsOptionsBuilder::default()
        .since(&now.to_string())
        .filters(&filters)
        .build();
    let listed = time::timeout(
        DEADLINE,
        docker.list_containers(Some(
            ListContainersOptionsBuilder::default().all(false).build(),
        )),
    )
    .await??;
    for id in listed.into_iter().filter_map(|summary| summary.id) {
        inspect(&docker, &id, None, news).await?;
    }
    let mut events = std::pin::pin!(docker.events(Some(options)));
    while let Some(event) = events.next().await {
        let event = event?;
        if let Some((id, fallback)) = concerned(event) {
            inspect(&docker, &id, fallback, news).await?;
        }
    }
    Ok(())
}

/// Which container an event is about, and what the event itself says of it.
fn concerned(event: EventMessage) -> Option<(String, Option<Dossier>)> {
    let action = event.action?;
    let actor = event.actor?;
    let mut attributes = actor.attributes.unwrap_or_default();
    match action.as_str() {
        "start" | "rename" | "update" => {
            let name = attributes.remove("name").unwrap_or_default();
            let image = attributes.remove("image").unwrap_or_default();
            let labels = attributes.into_iter().collect();
            Some((
                actor.id?,
                Some(Dossier {
                    name,
                    image,
                    labels,
                    ..Dossier::default()
                }),
            ))
        }
        "connect" | "disconnect" => Some((attributes.remove("container")?, None)),
        _ => None,
    }
}

/// Asks for a container's dossier; `fallback` stands in for one that has gone already.
async fn inspect(
    docker: &Docker,
    id: &str,
    fallback: Option<Dossier>,
    news: &mpsc::Sender<News>,
) -> anyhow::Result<()> {
    let answer = time::timeout(DEADLINE, docker.inspect_container(id, None)).await;
    let (id, dossier) = match answer {
        Ok(Ok(answer)) => (
            answer.id.clone().unwrap_or_else(|| id.to_owned()),
            Some(dossier(answer)),
        ),
        Ok(Err(_)) | Err(_) => (id.to_owned(), fallback),
    };
    if let Some(dossier) = dossier {
        news.send(News::Known(id, Box::new(dossier))).await?;
    }
    Ok(())
}

fn dossier(answer: ContainerInspectResponse) -> Dossier {
    let config = answer.config.unwrap_or_default();
    let mode = answer
        .host_config
        .and_then(|host| host.network_mode)
        .unwrap_or_default();
    let networks = answer
        .network_settings
        .and_then(|s| s.networks)
        .unwrap_or_default();
    let addresses = networks
        .into_values()
        .flat_map(|endpoint| [endpoint.ip_address, endpoint.global_ipv6_address])
        .flatten()
        .filter_map(|address| address.parse().ok())
        .collect();
    Dossier {
        name: answer
            .name
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned(),
        image: config.image.unwrap_or_default(),
        image_digest: answer.image.unwrap_or_default(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        pid: answer
            .state
            .and_then(|s| s.pid)
            .and_then(|pid| pid.try_into().ok())
            .unwrap_or(0),
        shares_network_of: mode.strip_prefix("container:").map(str::to_owned),
        addresses,
    }
}
