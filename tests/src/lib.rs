//! Real containers, a real agent and the state of the host, for the end-to-end tests and for
//! `cargo xtask demo` and `bench`.
//!
//! Everything that a guard here starts or makes goes when the guard is dropped.

mod agent;
mod container;
mod engine;
mod event;
mod host;
pub mod ordinary;
mod process;
pub mod servers;

pub use agent::{Agent, Options};
pub use container::Container;
pub use engine::Engine;
pub use event::Event;
pub use host::{BpfObject, HostState, bpf_objects, wait_until_gone};
pub use process::{Output, program, run, wait_for};
