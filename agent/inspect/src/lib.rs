//! Hydrophone's detection engine: bytes in, findings out.
//!
//! Pure by construction: no I/O, no clock of its own, no container runtime, no JSON. Time comes
//! with each [`Packet`], identity is carried as integers that the agent resolves later. This is
//! what is fuzzed, benchmarked and replayed; the bytes may come from the kernel or from a file.
#![forbid(unsafe_code)]

pub mod anomaly;
mod behavior;
pub mod correlate;
pub mod decode;
pub mod engine;
pub mod event;
pub mod finding;
pub mod flow;
pub mod inspector;
pub mod packet;
pub mod protocol;
mod rarity;
pub mod rule;
pub mod signal;
pub mod signature;
pub mod translation;
pub mod views;

pub use anomaly::Anomaly;
pub use correlate::{BehaviorConfig, BehaviorStats, Correlator};
pub use event::{Event, EventTypes};
pub use finding::{
    ApplicationRecord, Context, Endpoint, Finding, FindingSink, FlowSummary, RawPacket,
};
pub use inspector::{Inspector, InspectorLimits, InspectorStats};
pub use packet::{Hook, LinkType, Owner, Packet, Process, Timestamp};
pub use signal::{FlowDirective, Signal, SignalSink};
pub use signature::Signature;
pub use translation::{Translation, TranslationEvidence, Tunnel, Vantage};
pub use views::{Paths, Views, ViewsStats};

#[cfg(test)]
#[path = "../tests/support/frames.rs"]
mod frames;
