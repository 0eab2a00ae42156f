//! Who is who: cgroup ids, links and addresses to containers, as an immutable snapshot.

pub mod identity;

pub use identity::{Container, Identity, Runtime, UnknownReason};
