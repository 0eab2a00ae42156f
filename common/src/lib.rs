//! What the kernel programs and the agent share: record layout, map keys, counter names.
//!
//! The boundary carries integers only: `#[repr(C)]`, explicit padding, sizes asserted at compile
//! time on both sides. User space reads a record through [`record::Record::decode`], which checks.
#![no_std]
#![forbid(unsafe_code)]

pub mod counter;
pub mod flow;
pub mod process;
pub mod record;

/// Layout version. The kernel object carries it in the global `LAYOUT_VERSION`; every record repeats it.
/// Bump it with any change to a type of this crate.
pub const LAYOUT_VERSION: u16 = 3;
