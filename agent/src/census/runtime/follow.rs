//! Follows one runtime: connects, lists, listens, asks, and tries again when it fails.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use futures_util::StreamExt;
use tokio::{
    sync::{Semaphore, mpsc::Receiver},
    task::JoinSet,
    time::sleep,
};

use super::api::{Api, ApiError, Event, Outbox, SessionError, within};
use crate::census::{
    message::{Message, Told},
    report::RuntimeState,
};

/// Inspections that wait or run; beyond that, events are read no further until some have ended.
pub(super) const MAX_PENDING: usize = 256;
/// How often a silent API is asked whether it still lives.
const PING: Duration = Duration::from_secs(30);
/// How often an absent socket is looked for.
const ABSENT: Duration = Duration::from_millis(500);
/// Shortest pause between two attempts on a socket that is there and does not answer.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
/// Longest such pause.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Follows the API behind one socket for as long as the census lives. `asked` are ids that the
/// census wants to know about.
pub(super) async fn follow<A: Api>(
    runtime: usize,
    socket: PathBuf,
    census: SyncSender<Message>,
    mut asked: Receiver<String>,
) {
    let outbox = Outbox { runtime, census };
    let mut backoff = MIN_BACKOFF;
    let mut was_absent = false;
    loop {
        let (state, pause) = if tokio::fs::try_exists(&socket).await.unwrap_or(false) {
            match session::<A>(&outbox, &socket, &mut asked, &mut backoff).await {
                SessionError::Ended => return,
                SessionError::Api(ApiError(reason)) => {
                    tracing::debug!(socket = %socket.display(), reason, "the runtime is not usable");
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

async fn session<A: Api>(
    outbox: &Outbox,
    socket: &Path,
    asked: &mut Receiver<String>,
    backoff: &mut Duration,
) -> SessionError {
    let api = match within(A::open(socket)).await {
        Ok(api) => api,
        Err(error) => return error.into(),
    };
    let mut session = Session {
        api: Arc::new(api),
        outbox: outbox.clone(),
        inspections: JoinSet::new(),
        permits: Arc::new(Semaphore::new(A::CONCURRENCY)),
    };
    match session.run(asked, backoff).await {
        Ok(()) => ApiError("the event stream ended".to_owned()).into(),
        Err(error) => error,
    }
}

/// One connection to the API.
struct Session<A> {
    api: Arc<A>,
    outbox: Outbox,
    inspections: JoinSet<Result<(), SessionError>>,
    permits: Arc<Semaphore>,
}

impl<A: Api> Session<A> {
    async fn run(
        &mut self,
        asked: &mut Receiver<String>,
        backoff: &mut Duration,
    ) -> Result<(), SessionError> {
        let mut events = self.api.events();
        self.list().await?;
        let (name, version) = self.api.version();
        let state = RuntimeState::Reachable { name, version };
        self.outbox.tell(Told::State(state)).await?;
        *backoff = MIN_BACKOFF;
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
                    // An answer that fails to come may be about one container, or the API's end.
                    match ended {
                        Ok(Err(SessionError::Ended)) => return Err(SessionError::Ended),
                        Ok(Err(SessionError::Api(_))) => within(self.api.ping()).await?,
                        Ok(Ok(())) | Err(_) => {}
                    }
                }
                _ = ping.tick() => within(self.api.ping()).await?,
            }
        }
    }

    /// Tells of all containers that are there.
    async fn list(&mut self) -> Result<(), SessionError> {
        let listed = within(self.api.list()).await?;
        let ids: BTreeSet<_> = listed.iter().map(|one| one.dossier.id.clone()).collect();
        for one in listed {
            let id = one.dossier.id.clone();
            self.outbox.dossier(one.dossier).await?;
            if one.inspect {
                self.inspect(id).await?;
            }
        }
        self.outbox.tell(Told::Listed(ids)).await?;
        while let Some(ended) = self.inspections.join_next().await {
            if let Ok(ended) = ended {
                ended?;
            }
        }
        Ok(())
    }

    async fn take(&mut self, event: Event) -> Result<(), SessionError> {
        match event {
            Event::Changed(id, told) => {
                // It is known even if the container has gone before it can be inspected.
                if let Some(dossier) = told {
                    self.outbox.dossier(*dossier).await?;
                }
                self.inspect(id).await?;
            }
            Event::Ended(id) => self.outbox.tell(Told::Ended(id)).await?,
            Event::Removed(id) => self.outbox.tell(Told::Removed(id)).await?,
            Event::Other => {}
        }
        Ok(())
    }

    /// Inspects a container beside everything else.
    async fn inspect(&mut self, id: String) -> Result<(), SessionError> {
        while self.inspections.len() >= MAX_PENDING {
            if let Some(Ok(ended)) = self.inspections.join_next().await {
                ended?;
            }
        }
        let (api, outbox) = (Arc::clone(&self.api), self.outbox.clone());
        let permits = Arc::clone(&self.permits);
        self.inspections.spawn(async move {
            let _permit = permits.acquire_owned().await;
            api.inspect(&id, &outbox).await
        });
        Ok(())
    }
}
