//! The thread that follows what processes do beside the wire: connections of Unix sockets, raw and
//! packet sockets. It may wait for tables and descriptors; calls are looked at by another.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs::File,
    net::{IpAddr, Ipv4Addr},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use hydrophone_inspect::{Owner, Timestamp};

use super::{
    judge::{Judge, same},
    procfs::Dossier,
    report::Report,
    sockets,
    table::Record,
    unix::{
        runtimes::Runtimes,
        servers::{Connection, Tables},
        target::{Target, file_in, file_of},
    },
};
use crate::{
    alert::{
        FindingQueue,
        local::{Local, Party, RawSocket, Seen, Subject, UnixSocket},
    },
    census::{Census, Container, Identity, cgroup::tree},
    config::{self, EventType},
    probe::Clock,
};

/// How often the tables are looked at.
const TABLES: Duration = Duration::from_secs(2);
/// For how long the same is not told again from a table.
const TOLD: Duration = Duration::from_secs(600);
/// What has been told and is remembered for that.
const TOLD_MAX: usize = 16_384;

/// What a process did.
#[derive(Debug)]
pub(super) enum News {
    /// It connects a Unix socket.
    Connects {
        record: Arc<Record>,
        /// What it means; `None` when it had gone before that could be found out.
        target: Option<Target>,
        /// As it named it.
        path: Vec<u8>,
    },
    /// It has opened a raw IP socket.
    Raw {
        record: Arc<Record>,
        family: &'static str,
        protocol: u16,
    },
}

/// What the thread counts.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) unix: AtomicU64,
    pub(super) unserved: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) failures: AtomicU64,
}

/// The thread's state.
pub(super) struct Watch {
    census: Arc<Census>,
    findings: FindingQueue,
    judge: Judge,
    wants_events: bool,
    runtimes: Runtimes,
    tables: Tables,
    told: HashMap<Told, Instant>,
    counts: Arc<Counts>,
}

/// What has been told of a process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Told {
    Unix(u32, Target),
    Raw(u32, &'static str, u16),
}

impl Watch {
    pub(super) fn new(
        config: &config::Config,
        census: Arc<Census>,
        findings: FindingQueue,
        counts: Arc<Counts>,
    ) -> Self {
        let named = |name: &'static str| move |path: &PathBuf| (Arc::from(name), path.clone());
        let docker = config.census.docker_sockets.iter().map(named("docker"));
        let others = config.local.runtime_sockets.iter().map(named("configured"));
        Self {
            census,
            findings,
            judge: Judge::new(&config.local),
            wants_events: config.events.types.contains(&EventType::Unix),
            runtimes: Runtimes::new(docker.chain(others).collect()),
            tables: Tables::default(),
            told: HashMap::new(),
            counts,
        }
    }

    /// Until there is nobody who could send news.
    pub(super) fn run(mut self, news: &Receiver<News>) {
        let mut next = Instant::now();
        loop {
            match news.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(News::Connects {
                    record,
                    target,
                    path,
                }) => self.connects(&record, target, &path),
                Ok(News::Raw {
                    record,
                    family,
                    protocol,
                }) => self.opened(&record, family, protocol),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= next {
                let started = Instant::now();
                self.look();
                // Never more than a twentieth of a processor, however many namespaces there are.
                next = Instant::now() + TABLES.max(started.elapsed() * 20);
            }
        }
    }

    /// A call, told by the kernel.
    fn connects(&mut self, record: &Record, target: Option<Target>, path: &[u8]) {
        self.counts.unix.fetch_add(1, Ordering::Relaxed);
        let source = self.of_cgroup(record.cgroup_id);
        let Some(target) = target.or_else(|| self.within(&source, path)) else {
            return;
        };
        self.tell_unix(
            Party {
                identity: source,
                process: Some(record.report()),
            },
            &target,
            (path, Seen::Call),
            record.time,
        );
    }

    /// What a path means in a container, when the process that named it has gone.
    fn within(&self, identity: &Identity, path: &[u8]) -> Option<Target> {
        let Identity::Container { container, .. } = identity else {
            return None;
        };
        let is_absolute = path.first() == Some(&b'/');
        if !is_absolute || container.pid == 0 {
            return None;
        }
        let root = File::open(format!("/proc/{}/root", container.pid)).ok()?;
        file_in(&root, Path::new(OsStr::from_bytes(until_nul(path))))
    }

    fn tell_unix(
        &mut self,
        source: Party,
        target: &Target,
        (path, seen): (&[u8], Seen),
        timestamp: Timestamp,
    ) {
        let runtime = self.runtimes.of(target);
        let signature = match &runtime {
            Some(_) => self.judge.runtime(&source.identity),
            None => None,
        };
        if signature.is_none() && !self.wants_events {
            return;
        }
        let pids = self.namespaces();
        let servers = self.tables.servers(target, &pids);
        let destination = self.serving(&servers);
        match &destination {
            Some(destination) if same(&source.identity, &destination.identity) => return,
            None if signature.is_none() => {
                self.counts.unserved.fetch_add(1, Ordering::Relaxed);
                return;
            }
            _ => {}
        }
        let pid = source.process.as_ref().map_or(0, |it| it.pid);
        if seen == Seen::Call {
            self.remember(Told::Unix(pid, target.clone()));
        } else if self.has_told(&Told::Unix(pid, target.clone())) {
            return;
        }
        let (device, inode) = match target {
            Target::File { device, inode } => (Some(*device), *inode),
            Target::Abstract { .. } => (None, 0),
        };
        let subject = Subject::Unix(UnixSocket {
            path: shown(path),
            device,
            inode,
            runtime,
            seen,
        });
        let event = Local {
            signature: None,
            timestamp,
            source,
            destination,
            subject,
            suppressed: 0,
        };
        if self.wants_events {
            self.findings.local(event.clone());
        }
        if signature.is_some() {
            self.findings.local(Local { signature, ..event });
        }
    }

    /// Who serves a socket, by the processes that have it open.
    fn serving(&self, pids: &[u32]) -> Option<Party> {
        let report = Report::of_holders(pids)?;
        let dossier = report.dossier.as_deref()?;
        Some(Party {
            identity: self.of_process(dossier),
            process: Some(report),
        })
    }

    /// A raw IP socket, told by the kernel.
    fn opened(&mut self, record: &Record, family: &'static str, protocol: u16) {
        let identity = self.of_cgroup(record.cgroup_id);
        let Some(signature) = self.judge.raw(&identity, protocol) else {
            return;
        };
        self.remember(Told::Raw(record.pid, family, protocol));
        self.findings.local(Local {
            signature: Some(signature),
            timestamp: record.time,
            source: Party {
                identity,
                process: Some(record.report()),
            },
            destination: None,
            subject: Subject::Raw(RawSocket {
                family,
                protocol,
                seen: Seen::Call,
            }),
            suppressed: 0,
        });
    }

    /// Looks at what is there: connections that last, and what the kernel does not tell.
    fn look(&mut self) {
        let pids = self.namespaces();
        for connection in self.tables.new_connections(&pids) {
            self.lasting(&connection);
        }
        self.counts
            .failures
            .store(self.tables.failures, Ordering::Relaxed);
        let snapshot = self.census.snapshot();
        for container in snapshot.living() {
            self.look_for_raw(container);
        }
    }

    fn lasting(&mut self, connection: &Connection) {
        let Some(report) = Report::of_holders(&connection.clients) else {
            return;
        };
        let Some(dossier) = report.dossier.as_deref() else {
            return;
        };
        // We ask the runtimes ourselves, where we are in a container too.
        if dossier.pid == std::process::id() {
            return;
        }
        let target = target_of(connection);
        let Some(target) = target else {
            return;
        };
        let identity = self.of_process(dossier);
        let source = Party {
            identity,
            process: Some(report),
        };
        let name = &connection.server.name;
        self.tell_unix(source, &target, (name, Seen::Table), Clock::wall_now());
    }

    /// Raw and packet sockets that a container's processes have.
    fn look_for_raw(&mut self, container: &Arc<Container>) {
        if container.pid == 0 {
            return;
        }
        let found = sockets::raw_table(container.pid);
        if found.is_empty() {
            return;
        }
        let identity = self.of_cgroup(container.cgroup_id);
        let mut pids = Vec::new();
        if container.cgroup_id != 0 {
            let folder = self.census.cgroups().root().join(&container.cgroup_path);
            super::serving::members(&folder, 8, &mut pids);
        }
        for pid in pids {
            let held: HashSet<u64> = sockets::held_by(pid).into_iter().collect();
            for socket in found.iter().filter(|it| held.contains(&it.inode)) {
                self.has_raw(pid, &identity, socket);
            }
        }
    }

    fn has_raw(&mut self, pid: u32, identity: &Identity, socket: &sockets::RawRow) {
        let signature = if socket.family == "packet" {
            self.judge.packet(identity)
        } else {
            self.judge.raw(identity, socket.protocol)
        };
        let told = Told::Raw(pid, socket.family, socket.protocol);
        if signature.is_none() || self.has_told(&told) {
            return;
        }
        self.findings.local(Local {
            signature,
            timestamp: Clock::wall_now(),
            source: Party {
                identity: identity.clone(),
                process: Report::of_holders(&[pid]),
            },
            destination: None,
            subject: Subject::Raw(RawSocket {
                family: socket.family,
                protocol: socket.protocol,
                seen: Seen::Table,
            }),
            suppressed: 0,
        });
    }

    fn remember(&mut self, told: Told) {
        if self.told.len() >= TOLD_MAX {
            self.told.retain(|_, since| since.elapsed() < TOLD);
        }
        // When that did not make room: what is told once more than it should is no harm.
        if self.told.len() >= TOLD_MAX {
            self.told.clear();
        }
        self.told.insert(told, Instant::now());
    }

    /// Whether it has been told of late. It is, from now on.
    fn has_told(&mut self, told: &Told) -> bool {
        let known = self.told.get(told);
        if known.is_some_and(|since| since.elapsed() < TOLD) {
            return true;
        }
        self.remember(told.clone());
        false
    }

    /// A process in each network namespace that a container has, and one of the host's.
    fn namespaces(&self) -> Vec<u32> {
        let snapshot = self.census.snapshot();
        let containers = snapshot.living().iter().map(|it| it.pid);
        std::iter::once(std::process::id())
            .chain(containers.filter(|pid| *pid != 0))
            .collect()
    }

    fn of_process(&self, dossier: &Dossier) -> Identity {
        let folder = self.census.cgroups().root().join(&dossier.cgroup);
        self.of_cgroup(tree::id_of(&folder).unwrap_or(0))
    }

    fn of_cgroup(&self, cgroup_id: u64) -> Identity {
        let owner = Owner {
            cgroup_id,
            ..Owner::default()
        };
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        self.census.resolve(&owner, nowhere, 0)
    }
}

/// What a connection that is there goes to.
fn target_of(connection: &Connection) -> Option<Target> {
    let name = &connection.server.name;
    match (name.split_first(), connection.server.file) {
        (Some((0, rest)), _) => Some(Target::Abstract {
            namespace: connection.namespace,
            name: rest.to_vec(),
        }),
        // The server's own name for it, in the server's root. That is its file, unless it has been
        // replaced since.
        (Some(_), Some(_)) => {
            let target = file_of(*connection.servers.first()?, until_nul(name))?;
            (target.in_tables() == connection.server.file).then_some(target)
        }
        _ => None,
    }
}

/// A name up to its end.
pub(super) fn until_nul(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// As `ss` shows it: an `@` for the NUL of an abstract name.
fn shown(name: &[u8]) -> String {
    match name.split_first() {
        Some((0, rest)) => format!("@{}", String::from_utf8_lossy(rest)),
        _ => String::from_utf8_lossy(until_nul(name)).into_owned(),
    }
}
