//! Packets to flows, and TCP segments to streams.

pub(crate) mod defrag;
#[expect(clippy::module_inception, reason = "the flow of the flow stage")]
mod flow;
mod key;
mod memory;
mod overlap;
mod pending;
pub(crate) mod stream;
pub(crate) mod table;
pub(crate) mod tcp;

pub use defrag::{FragmentLimits, FragmentStats};
pub use flow::Direction;
pub(crate) use flow::Flow;
pub use key::FlowKey;
pub use memory::{StreamLimits, StreamStats};
pub use overlap::OverlapPolicy;
