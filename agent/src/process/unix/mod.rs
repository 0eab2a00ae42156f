//! Unix sockets: which one is meant, and who serves it.

pub(super) mod diag;
pub(super) mod runtimes;
pub(super) mod servers;
pub(super) mod target;
