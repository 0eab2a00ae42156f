//! `hydrophone containers`: who is who now, or was at a time.

use std::{
    io::{self, Write},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{Exit, Failure, ledger, options::ConfigOptions};
use crate::{
    alert::{
        escape::{self, Hostile},
        eve::{OwnerFields, PodFields},
    },
    census::{Census, CensusConfig, Container, ServiceBy, Snapshot, UnknownReason},
    config::Config,
};

/// How long to wait for the runtimes to tell names and images.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
pub(super) struct ContainersArgs {
    #[command(flatten)]
    config: ConfigOptions,

    /// Sort by what containers belong to, and show it first
    #[arg(long, value_name = "WHAT")]
    by: Option<GroupBy>,

    /// Only those that belong to this
    #[arg(long, value_name = "NAME", requires = "by")]
    only: Option<String>,

    /// A table, or JSON with one object a line
    #[arg(long, short, default_value = "text")]
    format: TableFormat,

    /// Who was there then, by the ledger: 2026-11-23T10:15:00Z, or -10m for ten minutes ago
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TableFormat {
    Text,
    Json,
}

/// What containers are grouped by.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum GroupBy {
    /// As census.service_by has it
    Service,
    /// Kubernetes namespace and pod
    Pod,
    /// Pod, ECS task, Nomad allocation or Swarm task
    Task,
    /// Kubernetes or Nomad namespace, Swarm stack or Compose project
    Namespace,
    /// Image reference
    Image,
}

impl GroupBy {
    /// What a container belongs to; empty when that is nothing.
    fn of(self, container: &Container, service_by: &[ServiceBy]) -> String {
        let owner = &container.owner;
        let group = match self {
            Self::Service => container
                .service(service_by)
                .map(|service| service.to_string()),
            Self::Pod => owner
                .kubernetes
                .as_ref()
                .map(|of| format!("{}/{}", of.namespace, of.pod)),
            Self::Task => owner.task().map(str::to_owned),
            Self::Namespace => owner.namespace().map(str::to_owned),
            Self::Image => Some(container.image.clone()),
        };
        group.unwrap_or_default()
    }
}

/// A container, with the group that was asked for.
type Grouped<'a> = (Option<String>, &'a Container);

/// The containers that are asked for, in the order of their groups, else in that of the snapshot.
fn grouped<'a>(
    args: &ContainersArgs,
    snapshot: &'a Snapshot,
    service_by: &[ServiceBy],
) -> Vec<Grouped<'a>> {
    let of = |container| args.by.map(|by| by.of(container, service_by));
    let mut containers: Vec<Grouped<'a>> = snapshot
        .containers()
        .iter()
        .map(|container| (of(container), &**container))
        .filter(|(group, _)| args.only.is_none() || *group == args.only)
        .collect();
    containers.sort_by(|(one, _), (other, _)| one.cmp(other));
    containers
}

pub(super) fn execute(args: &ContainersArgs) -> Result<Exit, Failure> {
    let config = args.config.load(Vec::new())?;
    if let Some(at) = &args.at {
        let json = args.format == TableFormat::Json;
        io::stdout().write_all(&ledger::containers_at(&config.ledger, at, json)?)?;
        return Ok(Exit::Ok);
    }
    let census = look(&config)?;
    let snapshot = census.snapshot();
    let service_by = &config.census.service_by;
    let containers = grouped(args, &snapshot, service_by);
    let mut out = Vec::new();
    match args.format {
        TableFormat::Text => write_table(&mut out, &containers, args.by.is_some())?,
        TableFormat::Json => write_json(&mut out, &containers, service_by)?,
    }
    io::stdout().write_all(&out)?;
    Ok(Exit::Ok)
}

/// A census that has heard the runtimes, or has given up on them.
pub(super) fn look(config: &Config) -> Result<Arc<Census>, Failure> {
    let census = Census::new(&CensusConfig::from(&config.census))
        .context("cannot look at the containers of this host")
        .map_err(|error| Failure::new(Exit::Prerequisite, error))?;
    let census = Arc::new(census);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    runtime.block_on(async {
        tokio::select! {
            () = Arc::clone(&census).run() => {}
            () = informed(&census) => {}
            () = tokio::time::sleep(PATIENCE) => {}
        }
    });
    Ok(census)
}

async fn informed(census: &Census) {
    while !census.is_informed() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Hostile<'a>>,
    id: Hostile<'a>,
    name: Hostile<'a>,
    image: Hostile<'a>,
    image_digest: Hostile<'a>,
    #[serde(flatten)]
    owner: OwnerFields<'a>,
    runtime: crate::census::Runtime,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<PodFields<'a>>,
    pid: u32,
    cgroup_id: u64,
    cgroup_path: Hostile<'a>,
    netns: u64,
    host_network: bool,
    links: Vec<LinkField<'a>>,
    addresses: &'a [IpAddr],
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<UnknownReason>,
}

#[derive(Serialize)]
struct LinkField<'a> {
    ifindex: u32,
    name: Hostile<'a>,
}

impl<'a> Row<'a> {
    fn new((group, container): &'a Grouped<'a>, service_by: &[ServiceBy]) -> Self {
        Self {
            group: group.as_deref().map(Hostile),
            id: Hostile(&container.id),
            name: Hostile(&container.name),
            image: Hostile(&container.image),
            image_digest: Hostile(&container.image_digest),
            owner: OwnerFields::new(container, service_by),
            runtime: container.runtime,
            pod: container.pod.as_ref().map(PodFields::from),
            pid: container.pid,
            cgroup_id: container.cgroup_id,
            cgroup_path: Hostile(&container.cgroup_path),
            netns: container.netns,
            host_network: container.host_network,
            links: container
                .links
                .iter()
                .map(|(ifindex, name)| LinkField {
                    ifindex: *ifindex,
                    name: Hostile(name),
                })
                .collect(),
            addresses: &container.addresses,
            unknown: container.unknown,
        }
    }
}

fn write_json(
    out: &mut Vec<u8>,
    containers: &[Grouped<'_>],
    service_by: &[ServiceBy],
) -> io::Result<()> {
    for container in containers {
        Row::new(container, service_by).serialize(&mut serde_json::Serializer::with_formatter(
            &mut *out,
            escape::Formatter,
        ))?;
        out.push(b'\n');
    }
    Ok(())
}

const HEADINGS: [&str; 10] = [
    "GROUP",
    "NAME",
    "POD",
    "ID",
    "RUNTIME",
    "IMAGE",
    "PID",
    "CGROUP",
    "LINKS",
    "ADDRESSES",
];

fn cells((group, container): &Grouped<'_>) -> [String; 10] {
    let dash = |text: String| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text
        }
    };
    let joined = |items: Vec<String>| dash(items.join(","));
    let links = if container.host_network {
        "(host network)".to_owned()
    } else {
        joined(
            container
                .links
                .iter()
                .map(|(_, name)| Hostile(name).to_string())
                .collect(),
        )
    };
    let id = container.id.get(..12).unwrap_or(&container.id);
    [
        dash(Hostile(group.as_deref().unwrap_or_default()).to_string()),
        dash(Hostile(&container.name).to_string()),
        dash(pod_of(container)),
        Hostile(id).to_string(),
        container.runtime.to_string(),
        dash(Hostile(&container.image).to_string()),
        container.pid.to_string(),
        container.cgroup_id.to_string(),
        links,
        joined(
            container
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect(),
        ),
    ]
}

fn pod_of(container: &Container) -> String {
    container.pod.as_ref().map_or_else(String::new, |pod| {
        format!("{}/{}", Hostile(&pod.namespace), Hostile(&pod.name))
    })
}

/// The first column only with groups.
fn write_table(
    out: &mut impl Write,
    containers: &[Grouped<'_>],
    with_groups: bool,
) -> io::Result<()> {
    if containers.is_empty() {
        return writeln!(out, "no container is running");
    }
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(containers.iter().map(cells));
    write_rows(out, &rows, usize::from(!with_groups))
}

/// Writes rows in columns as wide as they need, without the first `skipped`.
pub(super) fn write_rows<const N: usize>(
    out: &mut impl Write,
    rows: &[[String; N]],
    skipped: usize,
) -> io::Result<()> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let padded: Vec<String> = row
            .iter()
            .zip(widths)
            .skip(skipped)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        writeln!(out, "{}", padded.join("  ").trim_end())?;
    }
    Ok(())
}
