//! Bytes to packets: kernel records and capture files become `inspect::Packet`.

pub mod capture;
pub mod kernel;
