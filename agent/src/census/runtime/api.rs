//! What the follow-loop needs of a runtime's API.

use std::{
    future::Future,
    path::Path,
    pin::Pin,
    sync::mpsc::{SyncSender, TrySendError},
    time::Duration,
};

use futures_util::Stream;
use tokio::time::{sleep, timeout};

use crate::census::{
    dossier::Dossier,
    message::{Message, Told},
};

/// How long one answer may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// One runtime's API, connected.
pub(super) trait Api: Send + Sync + Sized + 'static {
    /// Inspections that run at the same time.
    const CONCURRENCY: usize = 8;

    /// Connects and asks for the version.
    fn open(socket: &Path) -> impl Future<Output = Result<Self, ApiError>> + Send;

    /// What it calls itself, and its version.
    fn version(&self) -> (String, String);

    /// What changes from the moment of [`Api::open`] on, or from the first poll where the API
    /// cannot tell of the past. Never ends where the API has no such stream.
    fn events(&self) -> EventStream;

    /// All containers that are there.
    fn list(&self) -> impl Future<Output = Result<Vec<Listed>, ApiError>> + Send;

    /// Tells all that is known of one container, or that there is no such container.
    fn inspect(
        &self,
        id: &str,
        outbox: &Outbox,
    ) -> impl Future<Output = Result<(), SessionError>> + Send;

    /// Asks for something small, to see whether it lives.
    fn ping(&self) -> impl Future<Output = Result<(), ApiError>> + Send;
}

/// Changes, as they are told.
pub(super) type EventStream = Pin<Box<dyn Stream<Item = Result<Event, ApiError>> + Send>>;

/// One container of a list.
pub(super) struct Listed {
    pub(super) dossier: Dossier,
    /// Whether more can be learnt by asking for it alone.
    pub(super) inspect: bool,
}

/// One change.
#[derive(Debug)]
pub(super) enum Event {
    /// Something about this container has changed; what the event itself tells, if anything.
    Changed(String, Option<Box<Dossier>>),
    /// The container's main process has ended.
    Ended(String),
    /// The container has been removed.
    Removed(String),
    /// Nothing of interest.
    Other,
}

/// The API does not answer as it should: why.
#[derive(Debug)]
pub(super) struct ApiError(pub(super) String);

impl From<tokio::time::error::Elapsed> for ApiError {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self(format!("no answer within {} s", DEADLINE.as_secs()))
    }
}

/// Why a session ended.
#[derive(Debug)]
pub(super) enum SessionError {
    /// The census has ended.
    Ended,
    /// The API does not answer as it should.
    Api(ApiError),
}

impl From<Ended> for SessionError {
    fn from(Ended: Ended) -> Self {
        Self::Ended
    }
}

impl From<ApiError> for SessionError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

/// Waits for an answer, but not for long.
pub(super) async fn within<T, E: Into<ApiError>>(
    answer: impl Future<Output = Result<T, E>> + Send,
) -> Result<T, ApiError> {
    timeout(DEADLINE, answer).await?.map_err(Into::into)
}

/// The census has ended.
pub(super) struct Ended;

/// The way to the census thread.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    pub(super) runtime: usize,
    pub(super) census: SyncSender<Message>,
}

impl Outbox {
    pub(super) async fn tell(&self, told: Told) -> Result<(), Ended> {
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

    pub(super) async fn dossier(&self, mut dossier: Dossier) -> Result<(), Ended> {
        dossier.runtime = self.runtime;
        self.tell(Told::Dossier(Box::new(dossier.bounded()))).await
    }
}
