//! Frames to headers. Every accessor is checked.

mod headers;

pub use headers::{Headers, TcpFlags, Transport};
