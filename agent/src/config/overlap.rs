//! The names of the overlap policies.

use hydrophone_inspect::flow::OverlapPolicy;
use serde::{Deserialize, Serialize};

/// Mirrors [`OverlapPolicy`], whose crate knows no configuration; serde has the compiler check
/// that nothing is missing.
#[derive(Serialize, Deserialize)]
#[serde(remote = "OverlapPolicy", rename_all = "kebab-case")]
pub(super) enum Names {
    Linux,
    First,
    Last,
    Bsd,
    BsdRight,
    OldLinux,
    Windows,
    Windows2k3,
    Vista,
    Solaris,
    Hpux,
    Hpux10,
    Irix,
    Macos,
}
