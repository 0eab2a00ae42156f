//! gRPC over a Unix socket, for CRI and for containerd's own services.

use std::path::Path;

use futures_util::{Stream, StreamExt as _};
use prost::Message;
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::api::{ApiError, DEADLINE};

/// Longest answer that is taken, in bytes: what containerd itself is ready to send.
const MAX_ANSWER: usize = 16 << 20;

/// One connection.
#[derive(Clone)]
pub(super) struct Client {
    channel: Channel,
    /// containerd's namespace that is meant.
    namespace: Option<MetadataValue<Ascii>>,
}

impl Client {
    pub(super) async fn connect(socket: &Path) -> Result<Self, ApiError> {
        let path = socket
            .to_str()
            .ok_or_else(|| ApiError("the socket's path is not UTF-8".to_owned()))?;
        let channel = Endpoint::from_shared(format!("unix://{path}"))?
            .connect_timeout(DEADLINE)
            .connect()
            .await?;
        let namespace = None;
        Ok(Self { channel, namespace })
    }

    /// The same connection, for what is in a namespace of containerd's; `None` when no such
    /// namespace can be.
    pub(super) fn within(&self, namespace: &str) -> Option<Self> {
        Some(Self {
            channel: self.channel.clone(),
            namespace: Some(namespace.parse().ok()?),
        })
    }

    fn grpc(&self) -> Grpc<Channel> {
        Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    fn request<Q>(&self, question: Q) -> Request<Q> {
        let mut request = Request::new(question);
        if let Some(namespace) = &self.namespace {
            let metadata = request.metadata_mut();
            metadata.insert("containerd-namespace", namespace.clone());
        }
        request
    }

    /// Asks one question of the method at `path`.
    pub(super) async fn ask<Q, A>(&self, path: &'static str, question: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.grpc();
        let answer = tokio::time::timeout(DEADLINE, async {
            grpc.ready().await.map_err(|error| described(&error))?;
            let path = path.parse().map_err(|_| Status::internal(path))?;
            grpc.unary(self.request(question), path, ProstCodec::<Q, A>::default())
                .await
        });
        match answer.await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(elapsed) => Err(Status::deadline_exceeded(ApiError::from(elapsed).0)),
        }
    }

    /// Asks for a stream of answers. The question goes out with the first poll; a server may say
    /// nothing at all until it has something to tell.
    pub(super) fn stream<Q, A>(
        &self,
        path: &'static str,
        question: Q,
    ) -> impl Stream<Item = Result<A, Status>> + Send + use<Q, A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.grpc();
        let request = self.request(question);
        let opened = async move {
            grpc.ready().await.map_err(|error| described(&error))?;
            let path = path.parse().map_err(|_| Status::internal(path))?;
            let codec = ProstCodec::<Q, A>::default();
            let answers: Streaming<A> = grpc
                .server_streaming(request, path, codec)
                .await?
                .into_inner();
            Ok::<_, Status>(answers)
        };
        futures_util::stream::once(opened).flat_map(|opened| match opened {
            Ok(answers) => answers.left_stream(),
            Err(status) => futures_util::stream::iter([Err(status)]).right_stream(),
        })
    }
}

fn described(error: &tonic::transport::Error) -> Status {
    Status::unavailable(ApiError::from_chain(error).0)
}

impl ApiError {
    /// The error and all that it comes from: gRPC's own says little more than that it failed.
    fn from_chain(error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self(text)
    }
}

impl From<tonic::transport::Error> for ApiError {
    fn from(error: tonic::transport::Error) -> Self {
        Self::from_chain(&error)
    }
}

impl From<Status> for ApiError {
    fn from(status: Status) -> Self {
        Self(format!("{:?}: {}", status.code(), status.message()))
    }
}

/// Whether the server does not have such a service or method.
pub(super) fn is_unimplemented(status: &Status) -> bool {
    status.code() == Code::Unimplemented
}

/// Takes "there is no such thing" for an answer.
pub(super) fn if_found<T>(answer: Result<T, Status>) -> Result<Option<T>, Status> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(status),
    }
}
