//! Findings become events: both ends get their identity, storms are limited, EVE or text goes to
//! the sinks.

mod ends;
pub(crate) mod escape;
pub mod eve;
pub mod local;
mod naming;
mod pipeline;
pub mod sinks;
mod stage;
pub mod storm;
mod tally;
pub mod text;
pub(crate) mod time;

#[cfg(test)]
mod fixtures;

use std::{net::IpAddr, sync::Arc};

use hydrophone_inspect::{Context, Endpoint, Finding, Owner, Process};

use crate::{
    census::{Identity, UnknownReason},
    process::Report,
};

pub use naming::Naming;
pub use pipeline::{AlertThread, FindingQueue, spawn};
pub use sinks::{Overflow, Sink, SinkFormat};
pub use stage::AlertStage;
pub use tally::{EndCounts, SERVICES_MAX, ServiceTally};

/// Says who is at one end of a flow. Called once for each end of a finding, never for a packet.
pub trait Resolve {
    /// `owner` is what the kernel knew, `scope` the network namespace (see
    /// [`hydrophone_inspect::Packet::scope`]).
    fn resolve(&self, owner: &Owner, address: IpAddr, scope: u64) -> Identity;

    /// Name of a link of the host; `None` when it has none or has gone.
    fn interface(&self, ifindex: u32) -> Option<Arc<str>>;

    /// The process at one end; `None` when nothing is known of it.
    fn process(&self, ask: &Ask<'_>) -> Option<Report> {
        ask.end.owner.process.as_ref().map(Report::bare)
    }
}

/// What is asked about the process at one end of a flow.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The end.
    pub end: &'a Endpoint,
    /// The other one.
    pub peer: &'a Endpoint,
    /// Who is at `end`.
    pub identity: &'a Identity,
    /// The flow.
    pub context: &'a Context,
    /// Whether to look at the host for it: for alerts. Else only what is known already is told.
    pub patient: bool,
}

impl<T: Resolve + ?Sized> Resolve for Arc<T> {
    fn resolve(&self, owner: &Owner, address: IpAddr, scope: u64) -> Identity {
        (**self).resolve(owner, address, scope)
    }

    fn interface(&self, ifindex: u32) -> Option<Arc<str>> {
        (**self).interface(ifindex)
    }

    fn process(&self, ask: &Ask<'_>) -> Option<Report> {
        (**self).process(ask)
    }
}

/// Knows nobody: for capture files.
#[derive(Clone, Copy, Debug)]
pub struct CaptureResolver;

impl Resolve for CaptureResolver {
    fn resolve(&self, _owner: &Owner, _address: IpAddr, _scope: u64) -> Identity {
        Identity::Unknown(UnknownReason::CaptureFile)
    }

    fn interface(&self, _ifindex: u32) -> Option<Arc<str>> {
        None
    }
}

/// A finding with both ends resolved: what the formatters print.
#[derive(Clone, Debug)]
pub struct Alert {
    /// What was found, and where.
    pub finding: Finding,
    /// Who sent the matching packet.
    pub source: Identity,
    /// Who received it.
    pub destination: Identity,
    /// The processes at the two.
    pub processes: [Option<Report>; 2],
    /// Link it was seen on.
    pub interface: Option<Arc<str>>,
    /// Findings of the same rule between the same ends that this alert stands for beside itself.
    pub suppressed: u64,
}

/// The name that the process gave itself, up to the first NUL.
fn comm(process: &Process) -> String {
    let name = process
        .comm
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}
