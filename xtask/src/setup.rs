//! `cargo xtask setup`: what is missing on a Debian host, installed or explained.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use hydrophone_tests::program;
use rustix::process::geteuid;

use crate::{
    build_ebpf,
    command::{cargo, check, succeeds},
};

/// Version that this workspace's compiler builds.
const NEXTEST: &str = "0.9.143";

/// What a task needs. Each group has what the ones before it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Group {
    /// Building the agent and its kernel programs.
    Build,
    /// Formatting, lints, unit tests.
    Unit,
    /// End-to-end tests, the demo, the benchmark.
    Test,
}

/// Debian packages of the end-to-end tests, each with a file name by which it is known: a program
/// in `PATH`, or an absolute path.
const TEST_PACKAGES: &[(&str, &str)] = &[
    ("docker", "docker.io"),
    ("dockerd", "docker.io"),
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("bpftool", "bpftool"),
    ("busybox", "busybox-static"),
    ("nmap", "nmap"),
    ("hping3", "hping3"),
    ("/usr/lib/python3/dist-packages/scapy", "python3-scapy"),
    ("iperf3", "iperf3"),
    ("redis-benchmark", "redis-tools"),
    ("tcpdump", "tcpdump"),
    ("rsyslogd", "rsyslog"),
];

/// Makes sure that everything of `group` is there.
pub(crate) fn setup(root: &Path, group: Group) -> Result<()> {
    let mut packages = Vec::new();
    if build_ebpf::Toolchain::detect().is_err() {
        packages.extend(["rustc-web", "rust-web-src"]);
    }
    if group >= Group::Test {
        packages.extend(missing_packages());
    }
    packages.dedup();
    if !packages.is_empty() {
        install_packages(&packages)?;
    }
    build_ebpf::Toolchain::detect()?;
    build_ebpf::bpf_linker(root)?;
    if group >= Group::Unit {
        rustup_components(root)?;
        nextest(root)?;
    }
    println!("setup: everything for `{group:?}` is there");
    Ok(())
}

fn missing_packages() -> impl Iterator<Item = &'static str> {
    TEST_PACKAGES
        .iter()
        .filter(|(file, _)| match Path::new(file).is_absolute() {
            true => !Path::new(file).exists(),
            false => program(file).is_err(),
        })
        .map(|(_, package)| *package)
}

fn install_packages(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    let install = format!("apt-get install --yes --no-install-recommends {names}");
    if program("apt-get").is_err() {
        bail!("this host is not Debian or its like; install what these packages have: {names}");
    }
    ensure!(
        geteuid().is_root(),
        "these packages are missing: {names}\nInstall them with\n  \
         sudo apt-get update && sudo {install}\nand run this again."
    );
    println!("setup: installing {names}");
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        check(&mut command, "apt-get")
    };
    apt_get(&["update", "--quiet"])?;
    let options = ["install", "--quiet", "--yes", "--no-install-recommends"];
    apt_get(&[&options, packages].concat())
}

fn rustup_components(root: &Path) -> Result<()> {
    let missing: Vec<&str> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(tool, _)| !succeeds(cargo(root).args([*tool, "--version"])))
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    println!("setup: adding the rustup components {names}");
    let mut rustup = Command::new("rustup");
    rustup
        .current_dir(root)
        .args(["component", "add"])
        .args(&missing);
    check(&mut rustup, &format!("this toolchain lacks {names}"))
}

fn nextest(root: &Path) -> Result<()> {
    if succeeds(
        cargo(root)
            .args(["nextest", "--version"])
            .env("PATH", path(root)?),
    ) {
        return Ok(());
    }
    let tools = root.join("target/tools");
    println!(
        "setup: cargo-nextest {NEXTEST}: building it under {}. This takes minutes; a \
         `cargo-nextest` in PATH would have been used",
        tools.display()
    );
    let mut install = cargo(root);
    install.args([
        "install",
        "cargo-nextest",
        "--locked",
        "--version",
        NEXTEST,
        "--root",
    ]);
    check(install.arg(tools), "cargo-nextest did not install")
}

/// `PATH` with the tools that were built here.
pub(crate) fn path(root: &Path) -> Result<std::ffi::OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let tools: PathBuf = root.join("target/tools/bin");
    env::join_paths(env::split_paths(&path).chain([tools]))
        .context("the workspace's path has a colon")
}
