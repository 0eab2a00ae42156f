//! Container runtimes: one module for each API behind [`api::Api`], one loop that follows any of them.
//!
//! Runs beside everything else. Nobody waits for a runtime: it may be absent, hang, answer garbage,
//! or come back.

mod api;
mod containerd;
mod cri;
mod docker;
mod follow;
mod oci;
mod rpc;

use std::{future::Future, path::PathBuf, pin::Pin, sync::mpsc::SyncSender};

use tokio::sync::mpsc::Receiver;

use super::{message::Message, report::RuntimeApi};

pub(super) use oci::EVERYTHING;

/// One runtime to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) api: RuntimeApi,
    /// Its socket, or its directory of states.
    pub(super) socket: PathBuf,
}

impl Source {
    /// Follows it for as long as the census lives. `place` is its place in the configuration,
    /// `asked` are ids that the census wants to know about.
    pub(super) fn follow(
        self,
        place: usize,
        census: SyncSender<Message>,
        asked: Receiver<String>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match self.api {
            RuntimeApi::Docker => Box::pin(follow::follow::<docker::Docker>(
                place,
                self.socket,
                census,
                asked,
            )),
            RuntimeApi::OciState => Box::pin(follow::follow::<oci::OciState>(
                place,
                self.socket,
                census,
                asked,
            )),
            RuntimeApi::Cri => Box::pin(follow::follow::<cri::Cri>(
                place,
                self.socket,
                census,
                asked,
            )),
        }
    }
}
