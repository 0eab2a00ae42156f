//! A census that follows runtimes for as long as it is watched.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use hydrophone::census::{Census, CensusConfig, Container, Snapshot};
use tokio::sync::oneshot;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Watcher {
    pub(crate) census: Arc<Census>,
    _end: oneshot::Sender<()>,
}

impl Watcher {
    pub(crate) fn start(docker_sockets: Vec<PathBuf>, cri_sockets: Vec<PathBuf>) -> Result<Self> {
        Self::follow(&CensusConfig {
            docker_sockets,
            cri_sockets,
            oci_state: Vec::new(),
            ..CensusConfig::default()
        })
    }

    pub(crate) fn follow(config: &CensusConfig) -> Result<Self> {
        let census = Arc::new(Census::new(config)?);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (end, ended) = oneshot::channel::<()>();
        let followed = Arc::clone(&census);
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = followed.run() => {}
                    _ = ended => {}
                }
            });
        });
        Ok(Self { census, _end: end })
    }

    pub(crate) fn wait_for(&self, what: &str, done: impl FnMut(&Snapshot) -> bool) -> Result<()> {
        let census = &self.census;
        ensure!(
            census.wait_for(PATIENCE, done),
            "waited in vain: {what}\n{:#?}\n{:?}",
            census.snapshot().containers(),
            census.runtimes(),
        );
        Ok(())
    }

    /// Waits for a container of which `done` is true.
    pub(crate) fn find(
        &self,
        what: &str,
        done: impl Fn(&Container) -> bool,
    ) -> Result<Arc<Container>> {
        self.wait_for(what, |snapshot| {
            snapshot.containers().iter().any(|one| done(one))
        })?;
        let snapshot = self.census.snapshot();
        let found = snapshot.containers().iter().find(|one| done(one));
        found.cloned().context("it has just been there")
    }

    /// Waits until the container with this id has a name and a process.
    pub(crate) fn named(&self, id: &str) -> Result<Arc<Container>> {
        self.find(id, |one| {
            one.id == id && one.unknown.is_none() && one.pid != 0
        })
    }
}
