//! The links thread: owns the probe, hooks links as they come, lets go of those that leave.

use std::{
    collections::HashSet,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    census::{
        Link, LinkEvent, LinkMonitor,
        links::{LinkTable, covered},
    },
    config::Sensor,
    probe::{Probe, Shutdown, Wake, sweep_leftovers},
    telemetry,
};

/// A look at the links even when nothing was announced.
const IDLE: Duration = Duration::from_secs(5);

/// What the thread tells about itself.
#[derive(Debug, Default)]
pub(super) struct Figures {
    hooked: AtomicU64,
    hooked_total: AtomicU64,
    failed: AtomicU64,
    overruns: AtomicU64,
    delay_us_last: AtomicU64,
    delay_us_max: AtomicU64,
}

impl Figures {
    pub(super) fn snapshot(&self) -> telemetry::Figures {
        [
            ("links_hooked", &self.hooked),
            ("links_hooked_total", &self.hooked_total),
            ("links_failed", &self.failed),
            ("link_overruns", &self.overruns),
            ("hook_delay_us_last", &self.delay_us_last),
            ("hook_delay_us_max", &self.delay_us_max),
        ]
        .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
        .into()
    }
}

/// The running thread.
pub(super) struct Links {
    thread: JoinHandle<()>,
    figures: Arc<Figures>,
}

impl Links {
    pub(super) fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// Links that are hooked now.
    pub(super) fn attached(&self) -> u64 {
        self.figures.hooked.load(Ordering::Relaxed)
    }

    /// Waits until everything is detached.
    pub(super) fn join(self) {
        let _ended = self.thread.join();
    }
}

/// Hooks the links that are there, then starts the thread.
pub(super) fn start(probe: Probe, sensor: &Sensor, shutdown: Shutdown) -> io::Result<Links> {
    let figures = Arc::new(Figures::default());
    let monitor = LinkMonitor::new()?;
    let mut keeper = Keeper {
        probe,
        sensor: sensor.clone(),
        figures: Arc::clone(&figures),
        complained: HashSet::new(),
    };
    for link in container_links(monitor.links()) {
        let swept = sweep_leftovers(link.ifindex, &link.name);
        if swept > 0 {
            tracing::warn!(
                link = link.name,
                "removed filters that an earlier agent had left"
            );
        }
    }
    keeper.keep(monitor.links(), None);
    let thread = thread::Builder::new()
        .name("links".to_owned())
        .spawn(move || keeper.run(monitor, &shutdown))?;
    Ok(Links { thread, figures })
}

struct Keeper {
    probe: Probe,
    sensor: Sensor,
    figures: Arc<Figures>,
    /// Links that could not be hooked, so that each is complained about once.
    complained: HashSet<u32>,
}

impl Keeper {
    fn run(&mut self, mut monitor: LinkMonitor, shutdown: &Shutdown) {
        loop {
            let woken = match shutdown.wait(&monitor, IDLE) {
                Ok(Wake::Shutdown) => break,
                Ok(Wake::Ready) => Some(Instant::now()),
                Ok(Wake::TimedOut) => None,
                Err(error) => {
                    tracing::error!(%error, "links are no longer followed");
                    break;
                }
            };
            self.probe.drain_log();
            let events = monitor.drain();
            self.figures
                .overruns
                .store(monitor.overruns(), Ordering::Relaxed);
            for event in &events {
                // Another link may have got its index already.
                if let LinkEvent::Gone { ifindex, .. } = event {
                    self.let_go(*ifindex);
                }
            }
            if woken.is_none() || !events.is_empty() {
                self.keep(monitor.links(), woken);
            }
        }
        self.probe.detach_all();
    }

    /// Makes what is hooked equal to what should be.
    fn keep(&mut self, links: &LinkTable, announced: Option<Instant>) {
        let wanted: Vec<&Link> = container_links(links)
            .filter(|link| self.sensor.takes_link(&link.name))
            .collect();
        let present: HashSet<u32> = wanted.iter().map(|link| link.ifindex).collect();
        let gone: Vec<u32> = self
            .probe
            .attached()
            .filter(|ifindex| !present.contains(ifindex))
            .collect();
        for ifindex in gone {
            self.let_go(ifindex);
        }
        for link in wanted {
            if !self.probe.is_attached(link.ifindex) {
                self.hook(link, announced);
            }
        }
        let probe = &self.probe;
        let covered = covered(links, |ifindex| probe.is_attached(ifindex));
        if let Err(error) = self.probe.set_covered(covered) {
            tracing::error!(%error, "bridged packets may be inspected twice");
        }
        self.figures
            .hooked
            .store(self.probe.attached().count() as u64, Ordering::Relaxed);
    }

    fn let_go(&mut self, ifindex: u32) {
        self.complained.remove(&ifindex);
        self.probe.detach_link(ifindex);
    }

    fn hook(&mut self, link: &Link, announced: Option<Instant>) {
        match self.probe.attach_link(link.ifindex, &link.name) {
            Ok(()) => {
                self.complained.remove(&link.ifindex);
                self.figures.hooked_total.fetch_add(1, Ordering::Relaxed);
                if let Some(announced) = announced {
                    let delay = u64::try_from(announced.elapsed().as_micros()).unwrap_or(u64::MAX);
                    self.figures.delay_us_last.store(delay, Ordering::Relaxed);
                    self.figures
                        .delay_us_max
                        .fetch_max(delay, Ordering::Relaxed);
                    tracing::debug!(link = link.name, delay_us = delay, "hooked");
                }
            }
            Err(error) => {
                if self.complained.insert(link.ifindex) {
                    self.figures.failed.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(link = link.name, %error, "a container's link is not covered");
                }
            }
        }
    }
}

fn container_links(links: &LinkTable) -> impl Iterator<Item = &Link> {
    links.values().filter(|link| link.is_container_side())
}
