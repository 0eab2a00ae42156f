//! Hydrophone's build, test and demo tasks.

mod build_ebpf;

use std::path::Path;

use anyhow::{Context as _, Result, bail};

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("no workspace root")?;
    match std::env::args().nth(1).as_deref() {
        Some("build-ebpf") => build_ebpf::build_ebpf(root).map(drop),
        _ => bail!("usage: cargo xtask build-ebpf"),
    }
}
