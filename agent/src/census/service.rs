//! The census thread: takes the news in, looks at the host, publishes what it knows.

use std::{
    collections::{BTreeSet, HashSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::mpsc::Sender;

use super::{
    CensusConfig,
    cgroup::{
        Cgroups, Declaration, FoundContainer, Group,
        path::{self, possible_id},
    },
    dossier::Dossier,
    message::{Message, Told, count},
    report::RuntimeState,
    roster::{Limits, Roster},
    runtime::EVERYTHING,
    shared::Shared,
    survey::{Stale, Surveyor},
};

/// How long news may gather before they are published.
const DEBOUNCE: Duration = Duration::from_millis(3);
/// How often everything is looked at again, announced or not.
const FULL: Duration = Duration::from_secs(30);

/// What the kernel calls this host (uname(2)).
#[must_use]
pub fn node_name() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}

/// The census thread's state.
pub(super) struct Service {
    roster: Roster,
    surveyor: Surveyor,
    shared: Arc<Shared>,
    /// Where to ask each runtime about an id.
    askers: Vec<Sender<String>>,
    /// What was asked and not answered yet.
    asked: HashSet<(usize, String)>,
    stale: Stale,
    walk: bool,
}

impl Service {
    pub(super) fn new(
        config: &CensusConfig,
        cgroups: Cgroups,
        legacy: Option<PathBuf>,
        shared: Arc<Shared>,
        askers: Vec<Sender<String>>,
    ) -> Self {
        let limits = Limits {
            retention: config.retention.as_secs(),
            gone: config.max_gone,
            live: config.max_live,
        };
        let hostname = config.host.clone().unwrap_or_else(node_name);
        let mut roster = Roster::new(limits, hostname.into(), cgroups.root_id());
        roster.runtimes.undecided = !askers.is_empty();
        roster.runtimes.states = shared.states();
        Self {
            roster,
            surveyor: Surveyor::new(cgroups, legacy),
            shared,
            askers,
            asked: HashSet::new(),
            stale: Stale::default(),
            walk: false,
        }
    }

    pub(super) fn run(mut self, news: &Receiver<Message>) {
        self.everything();
        self.refresh();
        let mut next_full = Instant::now() + FULL;
        let mut retry = None;
        loop {
            let due = retry.map_or(next_full, |at: Instant| at.min(next_full));
            match news.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(message) => {
                    let gathered = Instant::now() + DEBOUNCE;
                    let mut next = Some(message);
                    while let Some(message) = next {
                        if !self.take(message) {
                            return;
                        }
                        let left = gathered.saturating_duration_since(Instant::now());
                        next = news.recv_timeout(left).ok();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= next_full {
                next_full = Instant::now() + FULL;
                self.everything();
            }
            retry = self.refresh().map(|pause| Instant::now() + pause);
        }
    }

    /// Everything has to be looked at again, and every question asked again.
    fn everything(&mut self) {
        self.walk = true;
        self.stale.all = true;
        self.asked.clear();
        let runtimes = &self.roster.runtimes;
        for state in runtimes.reachable.intersection(&runtimes.states) {
            if let Some(asker) = self.askers.get(*state) {
                // A full queue is tried again next time.
                let _ = asker.try_send(EVERYTHING.to_owned());
            }
        }
    }

    /// Takes one piece of news in. `false` ends the thread.
    fn take(&mut self, message: Message) -> bool {
        match message {
            Message::Stop => return false,
            Message::Refresh => self.everything(),
            Message::Walk => self.walk = true,
            Message::Links(links) => self.stale.links.extend(links),
            Message::Group(Group::Container(found)) => {
                self.roster.admit(found, unix_now());
            }
            Message::Group(Group::Host { path, cgroup_id }) => {
                self.ask_states(&path, cgroup_id);
                self.roster.add_host_group(&path, cgroup_id);
            }
            Message::GroupGone(path) => {
                if self.surveyor.has_gone(&path) {
                    self.shared.cgroups.declared().remove(&path);
                    self.roster.dismiss(&path, unix_now());
                }
            }
            Message::Runtime(runtime, told) => self.hear(runtime, told),
        }
        true
    }

    fn hear(&mut self, runtime: usize, told: Told) {
        match told {
            Told::State(state) => self.set_state(runtime, state),
            Told::Dossier(dossier) => {
                self.asked.remove(&(runtime, dossier.id.clone()));
                if dossier.complete {
                    self.stale.containers.insert(dossier.id.clone());
                }
                self.roster.awaited.answered(runtime, &dossier.id);
                self.declare(&dossier);
                self.roster.learn(*dossier);
            }
            Told::Listed(ids) => self.roster.listed(runtime, &ids),
            Told::NotThere(id) => {
                self.asked.remove(&(runtime, id.clone()));
                self.roster.awaited.answered(runtime, &id);
                self.roster.deny(runtime, &id);
            }
            Told::Removed(id) => {
                self.walk |= self.roster.has_legacy();
                self.roster.forget(&id);
            }
            Told::Ended(id) => {
                self.walk |= self.roster.has_legacy();
                self.roster.ended(&id, unix_now());
            }
        }
    }

    fn set_state(&mut self, runtime: usize, state: RuntimeState) {
        let runtimes = &mut self.roster.runtimes;
        runtimes.reachable.remove(&runtime);
        runtimes.unreachable.remove(&runtime);
        match &state {
            RuntimeState::Reachable { .. } => {
                runtimes.reachable.insert(runtime);
            }
            RuntimeState::Unreachable(_) => {
                runtimes.unreachable.insert(runtime);
            }
            RuntimeState::Absent | RuntimeState::Connecting => {}
        }
        if !matches!(state, RuntimeState::Reachable { .. }) {
            self.roster.forget_denials(runtime);
            self.roster.awaited.unreachable(runtime);
        }
        self.asked.retain(|(other, _)| *other != runtime);
        let has_come = matches!(state, RuntimeState::Reachable { .. })
            && self.roster.runtimes.states.contains(&runtime);
        self.roster.runtimes.undecided = self.shared.set_runtime(runtime, state);
        if has_come {
            // Some of their states may not have been written when it was listed.
            for (path, cgroup_id) in self.roster.host_groups() {
                self.ask_states(&path, cgroup_id);
            }
        }
    }

    /// Looks at what is stale and publishes. Returns when to look again at the latest.
    fn refresh(&mut self) -> Option<Duration> {
        let now = unix_now();
        let counters = &self.shared.counters;
        if std::mem::take(&mut self.walk) {
            let skipped = self.surveyor.walk(&mut self.roster, now);
            counters.dropped.fetch_add(skipped, Ordering::Relaxed);
            let roster = &self.roster;
            let declared = self.shared.cgroups.declared();
            declared.retain(|top| roster.has_path(top));
        }
        let mut stale = std::mem::take(&mut self.stale);
        stale.host = counters.links_changed.swap(false, Ordering::Acquire);
        let retry = self.surveyor.networks(&mut self.roster, &stale);
        let failures = self.surveyor.take_failures();
        counters.failures.fetch_add(failures, Ordering::Relaxed);
        self.roster.expire(now);
        let dropped = std::mem::take(&mut self.roster.dropped);
        counters.dropped.fetch_add(dropped, Ordering::Relaxed);
        self.ask();
        self.shared.publish(self.roster.publish());
        retry
    }

    /// Asks the states on disk whether a cgroup, whose path says nothing, is a container's.
    fn ask_states(&mut self, path: &str, cgroup_id: u64) {
        let Some(id) = possible_id(path) else {
            return;
        };
        let runtimes = &self.roster.runtimes;
        let mut asked = BTreeSet::new();
        for state in runtimes.reachable.intersection(&runtimes.states) {
            match self.askers.get(*state).map(|to| to.try_send(id.to_owned())) {
                Some(Ok(())) => {
                    asked.insert(*state);
                }
                _ => count(&self.shared.counters.dropped),
            }
        }
        self.roster.awaited.add(id, cgroup_id, asked);
    }

    /// A state on disk names the cgroup of a container: where nothing else says so, it counts.
    fn declare(&mut self, dossier: &Dossier) {
        let Some((path, cgroup_id)) = self.surveyor.locate(&dossier.cgroups) else {
            return;
        };
        if path.is_empty() || path::classify(&path).is_some() {
            return;
        }
        let declared = self.shared.cgroups.declared().add(Declaration {
            top: path.clone(),
            id: dossier.id.clone(),
            runtime: dossier.kind,
        });
        if !declared {
            count(&self.shared.counters.dropped);
            return;
        }
        self.roster.take_from_host(&path);
        let found = FoundContainer {
            id: dossier.id.clone(),
            runtime: dossier.kind,
            path,
            cgroup_id,
            nested: None,
        };
        self.roster.admit(found, unix_now());
    }

    /// Asks each runtime that answers about containers that none has told of.
    fn ask(&mut self) {
        let reachable: BTreeSet<_> = self.roster.runtimes.reachable.clone();
        for (id, denied) in self.roster.undescribed() {
            for runtime in reachable.difference(denied) {
                let question = (*runtime, id.to_owned());
                if self.asked.contains(&question) {
                    continue;
                }
                // A full queue is asked again on the next round.
                if let Some(asker) = self.askers.get(*runtime)
                    && asker.try_send(id.to_owned()).is_ok()
                {
                    self.asked.insert(question);
                }
            }
        }
    }
}

/// Seconds since the Unix epoch.
fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}
