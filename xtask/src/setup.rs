//! `cargo xtask setup`: what is missing on a Debian host, installed or explained.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
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
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("podman", "podman"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
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
    ("systemd-analyze", "systemd"),
];

/// Servers and clients that the end-to-end tests start in containers, known in the same way, each with
/// the services that its package starts on the host.
const SERVER_PACKAGES: &[(&str, &str, &[&str])] = &[
    ("curl", "curl", &[]),
    ("nginx", "nginx-light", &["nginx"]),
    ("nghttpd", "nghttp2-server", &[]),
    ("etcd", "etcd-server", &["etcd"]),
    ("openssl", "openssl", &[]),
    ("redis-server", "redis-server", &["redis-server"]),
    ("/usr/lib/postgresql", "postgresql", &["postgresql"]),
    ("dnsmasq", "dnsmasq-base", &[]),
    ("dig", "bind9-dnsutils", &[]),
    (
        "/usr/lib/python3/dist-packages/aiosmtpd",
        "python3-aiosmtpd",
        &[],
    ),
    (
        "/usr/lib/python3/dist-packages/pyftpdlib",
        "python3-pyftpdlib",
        &[],
    ),
    ("smbd", "samba", &["smbd", "nmbd", "samba-ad-dc"]),
    ("smbclient", "smbclient", &[]),
    ("sshd", "openssh-server", &["ssh"]),
];

/// Makes sure that everything of `group` is there.
pub(crate) fn setup(root: &Path, group: Group) -> Result<()> {
    let mut packages = Vec::new();
    if build_ebpf::Toolchain::detect().is_err() {
        packages.extend(["rustc-web", "rust-web-src"]);
    }
    let mut services = Vec::new();
    if group >= Group::Test {
        packages.extend(missing_packages());
        for (_, package, brought) in SERVER_PACKAGES.iter().filter(|(file, ..)| is_missing(file)) {
            packages.push(package);
            services.extend_from_slice(brought);
        }
    }
    packages.dedup();
    if !packages.is_empty() {
        let quiet = QuietInstall::begin(!services.is_empty())?;
        install_packages(&packages)?;
        drop(quiet);
        disable(&services)?;
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
        .filter(|(file, _)| is_missing(file))
        .map(|(_, package)| *package)
}

fn is_missing(file: &str) -> bool {
    match Path::new(file).is_absolute() {
        true => !Path::new(file).exists(),
        false => program(file).is_err(),
    }
}

/// While it lives no package starts a service (Debian: `invoke-rc.d(8)`, `policy-rc.d`).
struct QuietInstall {
    wrote: bool,
}

impl QuietInstall {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    /// Writes the policy, unless it is not wanted or the host has one of its own, which stays.
    fn begin(wanted: bool) -> Result<Self> {
        let wrote = wanted && geteuid().is_root() && !Path::new(Self::POLICY).exists();
        if wrote {
            fs::write(Self::POLICY, "#!/bin/sh\nexit 101\n").context(Self::POLICY)?;
            fs::set_permissions(Self::POLICY, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { wrote })
    }
}

impl Drop for QuietInstall {
    fn drop(&mut self) {
        if self.wrote {
            // Nothing else is left to do about it.
            let _ = fs::remove_file(Self::POLICY);
        }
    }
}

/// Keeps the services of packages that were missing from starting with the host.
fn disable(services: &[&str]) -> Result<()> {
    for service in services {
        // A package without a script for it starts nothing.
        if Path::new("/etc/init.d").join(service).exists() {
            println!("setup: the service `{service}` stays off");
            let mut command = Command::new("update-rc.d");
            check(command.args([service, "disable"]), "update-rc.d")?;
        }
    }
    Ok(())
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
