//! `cargo xtask run`: from a fresh clone to a running agent.

use std::{
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use hydrophone_tests::program;
use rustix::process::geteuid;

use crate::{
    command::build_agent,
    setup::{Group, setup},
};

/// Replaces this process by the agent; returns only if it cannot be started.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    setup(root, Group::Build)?;
    let agent = build_agent(root, "release")?;
    let mut command = if geteuid().is_root() {
        Command::new(&agent)
    } else {
        let Ok(sudo) = program("sudo") else {
            bail!(
                "the agent needs root to load its kernel programs; run as root:\n  {} run {}",
                agent.display(),
                arguments.join(" ")
            );
        };
        println!("the agent needs root to load its kernel programs: asking sudo");
        let mut command = Command::new(sudo);
        command.arg(&agent);
        command
    };
    let error = command.arg("run").args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", agent.display()))
}
