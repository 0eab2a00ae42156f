//! What OCI runtimes write to disk about their containers: for those that no API tells of.
//!
//! A directory of states is followed like an API: listed once, then asked about each cgroup that
//! appears. What it tells counts until an API tells more.

mod state;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::task::spawn_blocking;

use super::{
    api::{Api, ApiError, EventStream, Listed, Outbox, SessionError},
    follow::MAX_PENDING,
};
use crate::census::{dossier::Dossier, message::Told};
use state::Reader;

/// Pauses before a state is looked for again: the cgroup is there before it is written.
const AGAIN: [Duration; 6] = [
    Duration::from_millis(20),
    Duration::from_millis(30),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(300),
];

/// Asks for all that are there: no container has this id.
pub(in crate::census) const EVERYTHING: &str = "";

/// One directory of states.
pub(super) struct OciState {
    reader: Arc<Reader>,
}

impl Api for OciState {
    /// They mostly wait.
    const CONCURRENCY: usize = MAX_PENDING;

    async fn open(directory: &Path) -> Result<Self, ApiError> {
        let reader = Arc::new(Reader::new(directory.to_path_buf()));
        let opened = Self { reader };
        opened.ping().await?;
        Ok(opened)
    }

    fn version(&self) -> (String, String) {
        ("OCI".to_owned(), "state".to_owned())
    }

    /// The census asks about each cgroup that appears.
    fn events(&self) -> EventStream {
        Box::pin(futures_util::stream::pending())
    }

    async fn list(&self) -> Result<Vec<Listed>, ApiError> {
        let reader = Arc::clone(&self.reader);
        let told = blocking(move || Ok(reader.list())).await?;
        let listed = told.into_iter().map(|dossier| Listed {
            dossier,
            inspect: false,
        });
        Ok(listed.collect())
    }

    async fn inspect(&self, id: &str, outbox: &Outbox) -> Result<(), SessionError> {
        if id == EVERYTHING {
            for one in self.list().await? {
                outbox.dossier(one.dossier).await?;
            }
            return Ok(());
        }
        let mut pauses = AGAIN.iter();
        loop {
            let (reader, wanted) = (Arc::clone(&self.reader), id.to_owned());
            let found: Option<Dossier> = blocking(move || Ok(reader.find(&wanted))).await?;
            if let Some(dossier) = found {
                return Ok(outbox.dossier(dossier).await?);
            }
            match pauses.next() {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Ok(outbox.tell(Told::NotThere(id.to_owned())).await?),
            }
        }
    }

    async fn ping(&self) -> Result<(), ApiError> {
        let directory: PathBuf = self.reader.directory().to_path_buf();
        blocking(move || std::fs::read_dir(directory).map(drop)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    match spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(ApiError(error.to_string())),
        Err(error) => Err(ApiError(error.to_string())),
    }
}
