//! A Docker Engine of one's own.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    container::Container,
    process::{Output, program, run, run_command, tail, wait_for},
};

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(30);

/// A `dockerd` with its own data, socket, containerd and bridge. It leaves the host's packet filter
/// and every other engine alone.
#[derive(Debug)]
pub struct Engine {
    folder: TempDir,
    daemon: Child,
    bridge: Bridge,
}

/// Where the containers meet: addresses from the range for benchmarks (RFC 2544) and a ULA.
#[derive(Debug)]
struct Bridge {
    name: String,
    ipv4: String,
    ipv6: String,
    /// Whether bridged packets pass the host's packet filter, so that an exception had to be made.
    filtered: bool,
}

impl Engine {
    /// Name of the network that containers join unless they are told otherwise.
    pub const NETWORK: &str = "hydrophone";
    /// Image whose `/usr` is the host's: every program that is installed here runs in it.
    pub const IMAGE: &str = "hydrophone/tools:1";

    /// Starts the engine, makes its network and image.
    ///
    /// # Errors
    /// When a program is missing, root is not ours, or the daemon does not come up; with its log.
    pub fn start() -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "a container engine needs root"
        );
        let folder = tempfile::Builder::new().prefix("hydrophone-").tempdir()?;
        let at = |name: &str| folder.path().join(name);
        let log = File::create(at("log"))?;
        for needed in ["containerd", "runc", "iptables"] {
            program(needed)?;
        }
        // The daemon ends with us, however we end.
        let daemon = Command::new(program("setpriv")?)
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program("dockerd")?)
            .arg("--data-root")
            .arg(at("root"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--host")
            .arg(format!("unix://{}", at("docker.sock").display()))
            .arg("--pidfile")
            .arg(at("pid"))
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .arg("--ip-forward=false")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start dockerd")?;
        let mut engine = Self {
            daemon,
            bridge: Bridge::free()?,
            folder,
        };
        engine.wait_until_ready()?;
        engine.make_network()?;
        engine.make_image()?;
        Ok(engine)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let log = self.folder.path().join("log");
        wait_for("dockerd answers", START, || {
            if let Some(status) = self.daemon.try_wait()? {
                anyhow::bail!("dockerd ended early, {status}");
            }
            Ok(self.docker(&["version"]).ok().map(drop))
        })
        .with_context(|| format!("its log ends with:\n{}", tail(&log, 40)))
    }

    fn make_network(&mut self) -> Result<()> {
        let bridge = &self.bridge;
        self.docker(&[
            "network",
            "create",
            "--ipv6",
            &format!("--subnet={}.0/24", bridge.ipv4),
            &format!("--subnet={}::/64", bridge.ipv6),
            &format!("--opt=com.docker.network.bridge.name={}", bridge.name),
            Self::NETWORK,
        ])?;
        self.bridge.let_through("-I")
    }

    /// A root file system that is little but links into the host's programs, which every container
    /// gets read-only: nothing is copied, nothing is pulled.
    fn make_image(&self) -> Result<()> {
        let root = self.folder.path().join("image");
        for folder in ["usr", "etc/alternatives", "tmp", "var/tmp", "root", "run"] {
            fs::create_dir_all(root.join(folder))?;
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{name}"), root.join(name))?;
        }
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/tmp:/bin/sh\n",
        )?;
        fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
        let archive = self.folder.path().join("image.tar");
        run(
            "tar",
            &[
                Path::new("-cf"),
                &archive,
                Path::new("-C"),
                &root,
                Path::new("."),
            ],
        )?;
        self.docker(&["import", &archive.display().to_string(), Self::IMAGE])?;
        Ok(())
    }

    /// Runs the client. Returns what it wrote.
    ///
    /// # Errors
    /// When it fails, with all that it wrote.
    pub fn docker(&self, arguments: &[&str]) -> Result<Output> {
        run_command(self.client()?.args(arguments))
    }

    /// The client, pointed at this engine.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn client(&self) -> Result<Command> {
        let mut client = Command::new(program("docker")?);
        client
            .env("DOCKER_CONFIG", self.folder.path())
            .env_remove("DOCKER_CONTEXT")
            .arg("--host")
            .arg(format!("unix://{}", self.socket().display()));
        Ok(client)
    }

    /// Starts a container that is called `name`, with further options for `docker run`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn run(&self, name: &str, options: &[&str], command: &[&str]) -> Result<Container<'_>> {
        Container::start(self, name, options, command)
    }

    /// Path of the API socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// A folder that goes with the engine.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Name of the bridge that the containers are ports of.
    #[must_use]
    pub fn bridge(&self) -> &str {
        &self.bridge.name
    }

    /// The host's own address on the bridge.
    #[must_use]
    pub fn gateway(&self) -> String {
        format!("{}.1", self.bridge.ipv4)
    }

    fn stop(&mut self) -> Result<()> {
        if let Ok(running) = self.docker(&["ps", "-aq"]) {
            let ids: Vec<&str> = running.stdout.lines().collect();
            if !ids.is_empty() {
                self.docker(&[&["rm", "-f", "-v"], ids.as_slice()].concat())?;
            }
        }
        self.docker(&["network", "rm", Self::NETWORK])?;
        self.bridge.let_through("-D")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("engine: {error:#}");
        }
        let pid = i32::try_from(self.daemon.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It has ended already when this fails.
            let _ = kill_process(pid, Signal::TERM);
        }
        let ended = wait_for("dockerd ends", STOP, || Ok(self.daemon.try_wait()?));
        if let Err(error) = ended {
            eprintln!("engine: {error:#}");
            let _ = self.daemon.kill();
            let _ = self.daemon.wait();
        }
        if let Err(error) = unmount_below(self.folder.path()) {
            eprintln!("engine: {error:#}");
        }
        // What the daemon has taken down itself is gone: nothing to do then.
        let _ = run("ip", &["link", "del", &self.bridge.name]);
    }
}

fn unmount_below(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut points: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter(|point| Path::new(point).starts_with(folder))
        .collect();
    points.reverse();
    for point in points {
        run("umount", &["--lazy", point])?;
    }
    Ok(())
}

impl Bridge {
    /// A bridge whose addresses nothing on this host uses.
    fn free() -> Result<Self> {
        let used = run("ip", &["-o", "address"])?.stdout;
        (1..255)
            .map(|number| Self {
                name: format!("hydro{number}"),
                ipv4: format!("198.18.{number}"),
                ipv6: format!("fd48:7964:726f:{number:x}"),
                filtered: fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables")
                    .is_ok_and(|flag| flag.trim() == "1"),
            })
            .find(|bridge| !used.contains(&format!(" {}.", bridge.ipv4)))
            .context("all of 198.18.0.0/16 is in use on this host")
    }

    /// Inserts (`-I`) or deletes (`-D`) the exception for a host whose filter drops what it forwards.
    fn let_through(&self, action: &str) -> Result<()> {
        if self.filtered {
            for filter in ["iptables", "ip6tables"] {
                let name = &self.name;
                run(
                    filter,
                    &[
                        "-w", action, "FORWARD", "-i", name, "-o", name, "-j", "ACCEPT",
                    ],
                )?;
            }
        }
        Ok(())
    }
}
