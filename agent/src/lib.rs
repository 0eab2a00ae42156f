//! The Hydrophone agent: sensing, attribution, detection and alerts on one container host.
//!
//! Data moves one way: [`intake`] (kernel rings or a capture file) → `hydrophone_inspect` →
//! [`alert`]; [`census`] publishes who is who beside it, [`nat`] how connections are translated,
//! and [`ledger`] keeps who was who. `daemon` wires the stages.

pub mod alert;
pub mod census;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod intake;
pub mod ledger;
pub mod nat;
pub mod probe;
pub mod process;
pub mod telemetry;
