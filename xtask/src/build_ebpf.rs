//! `cargo xtask build-ebpf`: the kernel object, from whichever toolchain can build `core` for BPF.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

/// Version that links what this toolchain's LLVM emits.
const BPF_LINKER: &str = "0.10.3";

/// Builds the object and returns its path, `target/bpf/hydrophone.bpf.o`.
pub(crate) fn build_ebpf(root: &Path) -> Result<PathBuf> {
    let toolchain = Toolchain::detect()?;
    println!("kernel object: building with {}", toolchain.describe());
    let linker = bpf_linker(root)?;
    let build_dir = root.join("target/bpf-build");
    let arch = match env::consts::ARCH {
        "x86_64" => "x86_64",
        "aarch64" => "aarch64",
        other => bail!("no kernel programs for {other}: x86_64 and aarch64 are supported"),
    };
    let flags = format!(
        "-C debuginfo=2 -C link-arg=--btf -C linker={} --cfg bpf_target_arch=\"{arch}\"",
        linker.display()
    );
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(root.join("ebpf"))
        .env("RUSTFLAGS", flags)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .args(["build", "--locked", "--release", "-Z", "build-std=core"])
        .args(["--target", "bpfel-unknown-none", "--target-dir"])
        .arg(&build_dir);
    let status = cargo.status().context("cannot start cargo")?;
    ensure!(
        status.success(),
        "the kernel programs did not build (see above)"
    );

    let object = root.join("target/bpf/hydrophone.bpf.o");
    let built = build_dir.join("bpfel-unknown-none/release/hydrophone-ebpf");
    install(&built, &object)?;
    println!("kernel object: {}", object.display());
    Ok(object)
}

/// Copies only what has changed, so that the agent is not built again for nothing.
fn install(built: &Path, object: &Path) -> Result<()> {
    let bytes = fs::read(built).with_context(|| format!("cannot read {}", built.display()))?;
    if fs::read(object).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = object.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(object, bytes).with_context(|| format!("cannot write {}", object.display()))
}

/// A compiler with the source of its own `core`.
pub(crate) enum Toolchain {
    /// A rustup nightly with the component `rust-src`.
    Nightly,
    /// Debian's `rustc-web` with `rust-web-src`, or another compiler at `/usr/bin/rustc` with its source.
    Debian,
}

impl Toolchain {
    /// The one to use.
    pub(crate) fn detect() -> Result<Self> {
        if has_source(Command::new("rustc").args(["+nightly", "--print", "sysroot"])) {
            return Ok(Self::Nightly);
        }
        if has_source(Command::new("/usr/bin/rustc").args(["--print", "sysroot"])) {
            return Ok(Self::Debian);
        }
        bail!(
            "no Rust compiler with the source of `core` was found. Either\n  \
             rustup toolchain install nightly --component rust-src\nor, on Debian,\n  \
             apt-get install --no-install-recommends rustc-web rust-web-src\n\
             (`cargo xtask setup` does the latter)"
        )
    }

    fn describe(&self) -> &'static str {
        match self {
            Self::Nightly => "the rustup nightly and its rust-src",
            Self::Debian => "/usr/bin/rustc and its source (Debian's rustc-web, rust-web-src)",
        }
    }

    fn cargo(&self) -> Command {
        match self {
            Self::Nightly => {
                let mut cargo = Command::new("cargo");
                // Set by the cargo that runs this task: it would win over `+nightly`.
                cargo
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env_remove("RUSTC")
                    .arg("+nightly");
                cargo
            }
            Self::Debian => {
                let mut cargo = Command::new("cargo");
                // A stable compiler builds `core` when it is told that it may.
                cargo
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
        }
    }
}

fn has_source(print_sysroot: &mut Command) -> bool {
    print_sysroot
        .env_remove("RUSTUP_TOOLCHAIN")
        .output()
        .is_ok_and(|output| {
            let sysroot = String::from_utf8_lossy(&output.stdout);
            output.status.success()
                && Path::new(sysroot.trim())
                    .join("lib/rustlib/src/rust/library/core")
                    .is_dir()
        })
}

/// The linker, installed under `target/tools` if it is not there.
pub(crate) fn bpf_linker(root: &Path) -> Result<PathBuf> {
    let tools = root.join("target/tools");
    let linker = tools.join("bin/bpf-linker");
    if linker.is_file() {
        return Ok(linker);
    }
    println!(
        "bpf-linker {BPF_LINKER}: installing under {} (a minute or two)",
        tools.display()
    );
    let status = Command::new("cargo")
        .args([
            "install",
            "bpf-linker",
            "--version",
            BPF_LINKER,
            "--locked",
            "--root",
        ])
        .arg(&tools)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "bpf-linker did not install (see above)");
    Ok(linker)
}
