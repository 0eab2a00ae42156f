//! The kernel side as the agent sees it: load, attach, rings, counters, budgets. All use of aya.

mod bare;
mod budget;
mod clock;
mod counters;
mod error;
mod instance;
mod links;
mod load;
mod log;
mod process;
mod qdisc;
mod ring;
mod unix;

pub use bare::BareDevices;
pub use budget::Budgets;
pub use clock::Clock;
pub use counters::{Counters, HookCounters};
pub use error::ProbeError;
pub use instance::Instance;
pub use links::{AttachMode, sweep_leftovers};
pub use load::{LoadOptions, Loaded, ObjectSource, Probe};
pub use process::{Extras, ProcessCounters, ProcessEvents};
pub use ring::{RingReader, Shutdown, Wake};

/// Names of the object's programs and maps: the only place that knows them.
mod names {
    pub(super) const LINK_INGRESS: &str = "hydro_link_in";
    pub(super) const LINK_EGRESS: &str = "hydro_link_out";
    pub(super) const SOCKET_EGRESS: &str = "hydro_sock_out";
    pub(super) const SOCKET_INGRESS: &str = "hydro_sock_in";
    pub(super) const SOCK_NEW: &str = "hydro_sock_new";
    pub(super) const SOCK_ADDR: [&str; 4] = [
        "hydro_connect4",
        "hydro_connect6",
        "hydro_sendmsg4",
        "hydro_sendmsg6",
    ];
    pub(super) const BOUND: [&str; 2] = ["hydro_bound4", "hydro_bound6"];
    pub(super) const EXECUTED: &str = "hydro_exec";
    /// The tracepoint that it is for.
    pub(super) const EXECUTIONS: &str = "sched_process_exec";
    pub(super) const UNIX: &str = "hydro_unix";
    pub(super) const PROCESS_EVENTS: &str = "PROCESS_EVENTS";
    pub(super) const PROCESS_COUNTERS: &str = "PROCESS_COUNTERS";
    pub(super) const RINGS: &str = "RINGS";
    pub(super) const FLOWS: &str = "FLOWS";
    pub(super) const COVERED: &str = "COVERED";
    pub(super) const BARE: &str = "BARE";
    pub(super) const BARE_COUNT: &str = "BARE_COUNT";
    pub(super) const COUNTERS: &str = "COUNTERS_MAP";
}
