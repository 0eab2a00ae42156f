//! One agent a host.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
};

use rustix::net::sockopt::socket_peercred;

use super::ProbeError;

/// Abstract Unix socket: it goes with the process, however that ends.
const NAME: &str = "hydrophone-agent";

/// Held while this agent runs. A second one is refused.
#[derive(Debug)]
pub struct Instance {
    _listener: UnixListener,
}

impl Instance {
    /// Claims the host.
    ///
    /// # Errors
    /// [`ProbeError::AlreadyRunning`] with the pid of the other agent.
    pub fn claim() -> Result<Self, ProbeError> {
        let address = SocketAddr::from_abstract_name(NAME)
            .map_err(|source| ProbeError::io("instance lock", source))?;
        match UnixListener::bind_addr(&address) {
            Ok(listener) => Ok(Self {
                _listener: listener,
            }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(ProbeError::AlreadyRunning {
                    pid: holder(&address).unwrap_or(0),
                })
            }
            Err(source) => Err(ProbeError::io("instance lock", source)),
        }
    }
}

fn holder(address: &SocketAddr) -> Option<i32> {
    let stream = UnixStream::connect_addr(address).ok()?;
    Some(socket_peercred(&stream).ok()?.pid.as_raw_nonzero().get())
}
