//! Starting other programs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// The cargo that runs this task, in the workspace.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    cargo
}

/// Runs a command to its end, its output being ours. `what` is what failed if it does.
pub(crate) fn check(command: &mut Command, what: &str) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("{what}: cannot start {command:?}"))?;
    ensure!(status.success(), "{what}: {status}");
    Ok(())
}

/// Runs a command to its end and returns its standard output; the rest of its output is ours.
pub(crate) fn output(command: &mut Command, what: &str) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{what}: cannot start {command:?}"))?;
    ensure!(output.status.success(), "{what}: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a command can be started and ends well. Its output is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Builds the agent, the kernel programs first. `profile` is `dev` or `release`.
pub(crate) fn build_agent(root: &Path, profile: &str) -> Result<PathBuf> {
    crate::build_ebpf::build_ebpf(root)?;
    let mut build = cargo(root);
    build.args(["build", "--locked", "--package", "hydrophone", "--profile"]);
    check(build.arg(profile), "the agent did not build")?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(root.join("target").join(folder).join("hydrophone"))
}
