//! A Docker Engine of one's own.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    container::Container,
    host::HostLock,
    process::{Output, program, run, run_command, tail, wait_for},
};

/// Where the engine lives. Always the same, so that what a killed one has left is found.
const FOLDER: &str = "/var/lib/hydrophone-tests";
const BRIDGE: &str = "hydro0";
/// The network namespace of an engine that is apart.
const NAMESPACE: &str = "hydrophone-tests";
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(30);

/// A `dockerd` with its own data, socket, containerd and bridge. It leaves the host's packet filter
/// and every other engine alone. Only one of them is on the host at a time, as there can be only
/// one agent: who comes second waits.
#[derive(Debug)]
pub struct Engine {
    _lock: HostLock,
    daemon: Child,
    network: u8,
    is_apart: bool,
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
        Self::start_in(false)
    }

    /// The same in a network namespace of its own, as a host with a packet filter, translation and
    /// forwarding of its own, which go with the engine. An agent is started there too.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_apart() -> Result<Self> {
        Self::start_in(true)
    }

    fn start_in(is_apart: bool) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "a container engine needs root"
        );
        let lock = HostLock::take()?;
        sweep()?;
        fs::create_dir_all(FOLDER)?;
        for needed in ["containerd", "runc", "iptables"] {
            program(needed)?;
        }
        if is_apart {
            make_namespace()?;
        }
        let mut engine = Self {
            _lock: lock,
            daemon: launch(is_apart)?,
            network: free_network()?,
            is_apart,
        };
        engine.wait_until_ready()?;
        engine.make_network()?;
        engine.make_image()?;
        Ok(engine)
    }

    /// Sends the daemon a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.daemon.id().try_into()?).context("pid 0")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Kills the daemon and starts it anew, with another socket at the same path.
    ///
    /// # Errors
    /// When it does not come up again; with its log.
    pub fn restart(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.daemon.wait()?;
        // Its containerd would be found by this file, be it dead and only not waited for.
        let containerd = Path::new(FOLDER).join("exec/containerd");
        end_all(&containerd.join("containerd.toml").display().to_string())?;
        let _ = fs::remove_file(containerd.join("containerd.pid"));
        self.daemon = launch(self.is_apart)?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let log = Path::new(FOLDER).join("log");
        wait_for("dockerd answers", START, || {
            if let Some(status) = self.daemon.try_wait()? {
                anyhow::bail!("dockerd ended early, {status}");
            }
            Ok(self.docker(&["version"]).ok().map(drop))
        })
        .with_context(|| format!("its log ends with:\n{}", tail(&log, 40)))
    }

    fn make_network(&mut self) -> Result<()> {
        self.docker(&[
            "network",
            "create",
            "--ipv6",
            &format!("--subnet={}.0/24", ipv4_prefix(self.network)),
            &format!("--subnet=fd48:7964:726f:{:x}::/64", self.network),
            &format!("--opt=com.docker.network.bridge.name={BRIDGE}"),
            Self::NETWORK,
        ])?;
        let flag = fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables");
        if !self.is_apart && flag.is_ok_and(|flag| flag.trim() == "1") {
            let_through("-I")?;
        }
        Ok(())
    }

    /// A root file system that is little but links into the host's programs, which every container
    /// gets read-only: nothing is copied, nothing is pulled.
    fn make_image(&self) -> Result<()> {
        let root = Path::new(FOLDER).join("image");
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
        let archive = Path::new(FOLDER).join("image.tar");
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
            .env("DOCKER_CONFIG", Path::new(FOLDER))
            .env_remove("DOCKER_CONTEXT")
            .arg("--host")
            .arg(format!("unix://{}", self.socket().display()));
        Ok(client)
    }

    /// Runs a program on the engine's host: in its network namespace.
    ///
    /// # Errors
    /// When it is not installed or fails, with all that it wrote.
    pub fn on_host<S: AsRef<OsStr>>(&self, name: &str, arguments: &[S]) -> Result<Output> {
        let mut words = entering(self.is_apart)?;
        words.push(program(name)?.into());
        words.extend(arguments.iter().map(|word| word.as_ref().to_owned()));
        let (first, rest) = words.split_first().context("no program")?;
        run_command(Command::new(first).args(rest))
    }

    /// What a program is started with, so that it runs in the engine's network namespace.
    ///
    /// # Errors
    /// When `nsenter` is not installed.
    pub fn entering(&self) -> Result<Vec<OsString>> {
        entering(self.is_apart)
    }

    /// Starts a container that is called `name`, with further options for `docker run`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn run(&self, name: &str, options: &[&str], command: &[&str]) -> Result<Container<'_>> {
        Container::start(self, name, options, command)
    }

    /// Starts a container with a web server on port 80 and waits until it listens.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn run_web(&self, name: &str) -> Result<Container<'_>> {
        // A folder that every container has; `/hostname` is asked for in ordinary requests.
        let server = ["busybox", "httpd", "-f", "-p", "80", "-h", "/etc"];
        let web = self.run(name, &[], &server)?;
        web.wait_until_listening(80)?;
        Ok(web)
    }

    /// Starts a container that does nothing by itself, with further options for `docker run`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn run_idle(&self, name: &str, options: &[&str]) -> Result<Container<'_>> {
        self.run(name, options, &["busybox", "sleep", "1000000"])
    }

    /// Path of the API socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        Path::new(FOLDER).join("docker.sock")
    }

    /// A folder that goes with the engine.
    #[must_use]
    pub fn folder(&self) -> &Path {
        Path::new(FOLDER)
    }

    /// Name of the bridge that the containers are ports of.
    #[must_use]
    pub fn bridge(&self) -> &str {
        BRIDGE
    }

    /// The host's own address on the bridge.
    #[must_use]
    pub fn gateway(&self) -> String {
        format!("{}.1", ipv4_prefix(self.network))
    }

    fn remove_containers(&self) -> Result<()> {
        let all = self.docker(&["ps", "-aq"])?;
        let ids: Vec<&str> = all.stdout.lines().collect();
        if !ids.is_empty() {
            self.docker(&[&["rm", "-f", "-v"], ids.as_slice()].concat())?;
        }
        Ok(())
    }

    fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        wait_for("dockerd ends", STOP, || Ok(self.daemon.try_wait()?)).map(drop)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for outcome in [self.remove_containers(), self.terminate(), sweep()] {
            if let Err(error) = outcome {
                eprintln!("engine: {error:#}");
            }
        }
        // It has ended already unless it hung.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// Starts the daemon.
fn launch(is_apart: bool) -> Result<Child> {
    let at = |name: &str| Path::new(FOLDER).join(name);
    let log = File::options().create(true).append(true).open(at("log"))?;
    let filter: &[&str] = if is_apart {
        &["--experimental", "--ip6tables", "--userland-proxy=false"]
    } else {
        &[
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
        ]
    };
    // The daemon ends with us, however we end.
    Command::new(program("setpriv")?)
        .args(["--pdeathsig", "TERM", "--"])
        .args(entering(is_apart)?)
        .arg(program("dockerd")?)
        .arg("--data-root")
        .arg(at("root"))
        .arg("--exec-root")
        .arg(at("exec"))
        .arg("--host")
        .arg(format!("unix://{}", at("docker.sock").display()))
        .arg("--pidfile")
        .arg(at("pid"))
        .arg("--bridge=none")
        .args(filter)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start dockerd")
}

/// Takes away everything of an engine, also of one that was killed. Whoever calls has the host's
/// lock: nobody else uses it.
fn sweep() -> Result<()> {
    end_all(FOLDER)?;
    unmount_below(Path::new(FOLDER))?;
    if Path::new(FOLDER).exists() {
        fs::remove_dir_all(FOLDER)?;
    }
    // Both fail when there is nothing left to take away.
    while let_through("-D").is_ok() {}
    let _ = run("ip", &["link", "del", BRIDGE]);
    let _ = run("ip", &["netns", "del", NAMESPACE]);
    Ok(())
}

/// Kills all processes with `needle` in their command line.
fn end_all(needle: &str) -> Result<()> {
    for pid in processes_of(needle)? {
        // It has ended already when this fails.
        let _ = kill_process(pid, Signal::KILL);
    }
    wait_for("the engine's processes end", STOP, || {
        Ok(processes_of(needle)?.is_empty().then_some(()))
    })
}

/// A host in a network namespace: it forwards, and its loopback is up.
fn make_namespace() -> Result<()> {
    run("ip", &["netns", "add", NAMESPACE])?;
    let enter = entering(true)?;
    let (first, rest) = enter.split_first().context("no program")?;
    let setup = "ip link set lo up && cd /proc/sys/net \
                 && echo 1 > ipv4/ip_forward && echo 1 > ipv6/conf/all/forwarding";
    run_command(Command::new(first).args(rest).args(["sh", "-ec", setup])).map(drop)
}

/// Leaves the mounts alone, as `ip netns exec` does not: cgroups stay where they are.
fn entering(is_apart: bool) -> Result<Vec<OsString>> {
    if !is_apart {
        return Ok(Vec::new());
    }
    let namespace = format!("--net=/run/netns/{NAMESPACE}");
    Ok(vec![
        program("nsenter")?.into(),
        namespace.into(),
        "--".into(),
    ])
}

/// Processes that live and have `needle` in their command line, this one excepted.
fn processes_of(needle: &str) -> Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // What has ended meanwhile has none.
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        if command.contains(needle) && pid != rustix::process::getpid().as_raw_nonzero().get() {
            pids.extend(Pid::from_raw(pid));
        }
    }
    Ok(pids)
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

/// Inserts (`-I`) or deletes (`-D`) an exception for a host whose packet filter drops what it
/// forwards and is asked about bridged packets too.
fn let_through(action: &str) -> Result<()> {
    let rule = ["FORWARD", "-i", BRIDGE, "-o", BRIDGE, "-j", "ACCEPT"];
    for filter in ["iptables", "ip6tables"] {
        run(filter, &[&["-w", action][..], &rule].concat())?;
    }
    Ok(())
}

/// Number of a network that nothing on this host uses: `198.18.N.0/24` of the range for benchmarks
/// (RFC 2544) and a ULA.
fn free_network() -> Result<u8> {
    let used = run("ip", &["-o", "address"])?.stdout;
    (1..255)
        .find(|number| !used.contains(&format!(" {}.", ipv4_prefix(*number))))
        .context("all of 198.18.0.0/16 is in use on this host")
}

fn ipv4_prefix(number: u8) -> String {
    format!("198.18.{number}")
}
