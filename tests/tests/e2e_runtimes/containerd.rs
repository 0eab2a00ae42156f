//! A containerd of one's own, with CRI and the bridge of Debian's CNI plugins.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use hydrophone_tests::{Engine, Output, program, run, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::cri::{self, Client, Id};

const START: Duration = Duration::from_secs(30);
const BRIDGE: &str = "hydrocni0";
/// Network of the pods: of the range for benchmarks (RFC 2544), apart from the engines'.
const SUBNET: &str = "198.19.77.0/24";
const CNI_PLUGINS: &str = "/usr/lib/cni";
/// The image of the sandboxes.
const PAUSE: &str = "docker.io/hydrophone/pause:1";
/// As the test asks for it and the runtime names it.
pub(crate) const IMAGE: &str = "docker.io/hydrophone/tools:1";
/// `NamespaceMode.NODE`.
const NODE: i32 = 2;

/// Lives in the engine's folder and beside the engine, which holds the host's lock and gives the
/// images.
pub(crate) struct Containerd<'a> {
    engine: &'a Engine,
    daemon: RefCell<Option<Child>>,
    /// Sandboxes to take away.
    sandboxes: RefCell<Vec<String>>,
    /// Chains of the NAT table that were there before.
    chains: Vec<String>,
}

impl<'a> Containerd<'a> {
    pub(crate) fn start(engine: &'a Engine) -> Result<Self> {
        ensure!(
            Path::new(CNI_PLUGINS).join("bridge").is_file(),
            "containernetworking-plugins is not installed: run `cargo xtask setup`"
        );
        fs::create_dir_all(engine.folder().join("cni"))?;
        let containerd = Self {
            engine,
            daemon: RefCell::new(None),
            sandboxes: RefCell::default(),
            chains: nat_chains()?,
        };
        containerd.configure()?;
        containerd.launch()?;
        containerd.load_images()?;
        Ok(containerd)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.engine.folder().join("containerd").join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.at("containerd.sock")
    }

    fn configure(&self) -> Result<()> {
        fs::create_dir_all(self.at("cni"))?;
        let at = |name: &str| self.at(name).display().to_string();
        fs::write(
            self.at("config.toml"),
            format!(
                r#"version = 2
root = "{root}"
state = "{state}"
[grpc]
address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{cni}"
"#,
                root = at("root"),
                state = at("state"),
                socket = at("containerd.sock"),
                opt = at("opt"),
                cni = at("cni"),
            ),
        )?;
        let network = json!({
            "cniVersion": "0.4.0",
            "name": "hydrophone",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": BRIDGE,
                    "isGateway": true,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": self.at("ipam"),
                        "ranges": [[{ "subnet": SUBNET }]],
                    },
                },
                { "type": "portmap", "capabilities": { "portMappings": true }, "snat": false },
            ],
        });
        fs::write(self.at("cni/10-hydrophone.conflist"), network.to_string())?;
        Ok(())
    }

    /// Starts the daemon and waits until CRI is answered.
    pub(crate) fn launch(&self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.at("log"))?;
        // It ends with us, however we end.
        let child = Command::new(program("setpriv")?)
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program("containerd")?)
            .arg("--config")
            .arg(self.at("config.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        *self.daemon.borrow_mut() = Some(child);
        let ready = wait_for("containerd answers", START, || {
            Ok(self.ctr(&["version"]).ok().and(self.client().ok()))
        });
        ready.map(drop).with_context(|| {
            let log = fs::read_to_string(self.at("log")).unwrap_or_default();
            format!("its log:\n{log}")
        })
    }

    fn client(&self) -> Result<Client> {
        let client = Client::connect(&self.socket())?;
        let _: Id = client.call("Version", Id::default())?;
        Ok(client)
    }

    /// The engine's image for containers, and one with nothing but a static busybox for sandboxes.
    fn load_images(&self) -> Result<()> {
        let root = self.at("pause");
        fs::create_dir_all(&root)?;
        fs::copy(program("busybox")?, root.join("busybox"))?;
        let (tar, images) = (self.at("pause.tar"), self.at("images.tar"));
        run(
            "tar",
            &[
                Path::new("-cf"),
                &tar,
                Path::new("-C"),
                &root,
                Path::new("busybox"),
            ],
        )?;
        let entrypoint = r#"--change=ENTRYPOINT ["/busybox", "sleep", "1000000"]"#;
        let (tar, images) = (tar.display().to_string(), images.display().to_string());
        self.engine
            .docker(&["import", entrypoint, &tar, "hydrophone/pause:1"])?;
        self.engine.docker(&[
            "save",
            "--output",
            &images,
            "hydrophone/pause:1",
            Engine::IMAGE,
        ])?;
        self.ctr(&["--namespace=k8s.io", "images", "import", &images])?;
        self.ctr(&["--namespace=default", "images", "import", &images])?;
        Ok(())
    }

    /// Runs containerd's own client.
    pub(crate) fn ctr(&self, arguments: &[&str]) -> Result<Output> {
        let address = format!("--address={}", self.socket().display());
        run("ctr", &[&[address.as_str()], arguments].concat())
    }

    /// Starts a pod.
    pub(crate) fn pod(&self, name: &str, options: &PodOptions) -> Result<Pod<'_>> {
        let (namespace, uid) = ("shop", format!("uid-of-{name}"));
        let text = str::to_owned;
        // As the kubelet labels its pods.
        let labels = BTreeMap::from([
            (text("io.kubernetes.pod.name"), text(name)),
            (text("io.kubernetes.pod.namespace"), text(namespace)),
            (text("io.kubernetes.pod.uid"), uid.clone()),
            (text("app"), text(name)),
        ]);
        let network = cri::NamespaceOption {
            network: if options.host_network { NODE } else { 0 },
        };
        let config = cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata {
                name: text(name),
                uid,
                namespace: text(namespace),
            }),
            // The host's own name stays as it is.
            hostname: if options.host_network {
                String::new()
            } else {
                text(name)
            },
            port_mappings: options
                .ports
                .iter()
                .map(|(host_port, container_port)| cri::PortMapping {
                    container_port: *container_port,
                    host_port: *host_port,
                })
                .collect(),
            labels,
            linux: Some(cri::LinuxPodSandboxConfig {
                cgroup_parent: "/hydrophone-cri".to_owned(),
                security_context: Some(cri::SecurityContext {
                    namespace_options: Some(network),
                }),
            }),
        };
        let request = cri::RunPodSandboxRequest {
            config: Some(config.clone()),
        };
        let sandbox: Id = self.client()?.call("RunPodSandbox", request)?;
        self.sandboxes.borrow_mut().push(sandbox.id.clone());
        Ok(Pod {
            containerd: self,
            id: sandbox.id,
            config,
        })
    }

    /// Sends the daemon a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let daemon = self.daemon.borrow();
        let child = daemon.as_ref().context("it does not run")?;
        kill_process(pid_of(child)?, signal)?;
        Ok(())
    }

    /// Kills the daemon; its containers go on.
    pub(crate) fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        if let Some(mut child) = self.daemon.borrow_mut().take() {
            child.wait()?;
        }
        Ok(())
    }

    /// Takes a pod away.
    pub(crate) fn remove(&self, sandbox: &str) -> Result<()> {
        let id = || Id {
            id: sandbox.to_owned(),
        };
        let client = self.client()?;
        let _: Id = client.call("StopPodSandbox", id())?;
        let _: Id = client.call("RemovePodSandbox", id())?;
        self.sandboxes.borrow_mut().retain(|other| other != sandbox);
        Ok(())
    }

    fn clean_up(&self) -> Result<()> {
        if self.daemon.borrow().is_none() {
            self.launch()?;
        }
        let sandboxes = self.sandboxes.borrow().clone();
        for sandbox in sandboxes {
            self.remove(&sandbox)?;
        }
        self.signal(Signal::TERM)?;
        if let Some(mut child) = self.daemon.borrow_mut().take() {
            child.wait()?;
        }
        let _ = run("ip", &["link", "del", BRIDGE]);
        remove_chains(&self.chains)
    }
}

impl Drop for Containerd<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.clean_up() {
            eprintln!("containerd: {error:#}");
        }
        if let Some(mut child) = self.daemon.borrow_mut().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn pid_of(child: &Child) -> Result<Pid> {
    Pid::from_raw(child.id().try_into()?).context("pid 0")
}

/// Names of the chains of the NAT table.
fn nat_chains() -> Result<Vec<String>> {
    let rules = run("iptables", &["-w", "-t", "nat", "-S"])?.stdout;
    let chains = rules.lines().filter_map(|line| line.strip_prefix("-N "));
    Ok(chains.map(str::to_owned).collect())
}

/// The portmap plugin leaves its common chains behind: takes away those that were not there before.
fn remove_chains(before: &[String]) -> Result<()> {
    let nat = |arguments: &[&str]| run("iptables", &[&["-w", "-t", "nat"], arguments].concat());
    let left: Vec<_> = nat_chains()?
        .into_iter()
        .filter(|chain| chain.starts_with("CNI-") && !before.contains(chain))
        .collect();
    for rule in nat(&["-S"])?.stdout.lines() {
        let jumps = left
            .iter()
            .any(|chain| rule.ends_with(&format!("-j {chain}")));
        if let Some(rule) = rule.strip_prefix("-A ").filter(|_| jumps) {
            let delete = format!("iptables -w -t nat -D {rule}");
            run("sh", &["-c", &delete])?;
        }
    }
    for action in ["-F", "-X"] {
        for chain in &left {
            nat(&[action, chain])?;
        }
    }
    Ok(())
}

/// How a pod is to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodOptions {
    pub(crate) host_network: bool,
    /// Ports of the host and of the pod that they lead to.
    pub(crate) ports: Vec<(i32, i32)>,
}

/// A running pod.
pub(crate) struct Pod<'a> {
    containerd: &'a Containerd<'a>,
    /// Id of the sandbox.
    pub(crate) id: String,
    config: cri::PodSandboxConfig,
}

impl Pod<'_> {
    pub(crate) fn name(&self) -> &str {
        self.config.metadata.as_ref().map_or("", |of| &of.name)
    }

    pub(crate) fn uid(&self) -> &str {
        self.config.metadata.as_ref().map_or("", |of| &of.uid)
    }

    /// Starts a container in it. Returns its id.
    pub(crate) fn run(&self, name: &str, command: &[&str]) -> Result<String> {
        let mut labels = self.config.labels.clone();
        labels.insert("io.kubernetes.container.name".to_owned(), name.to_owned());
        let options = self
            .config
            .linux
            .as_ref()
            .and_then(|linux| linux.security_context.as_ref()?.namespace_options.clone());
        let mount = |path: &str| cri::Mount {
            container_path: path.to_owned(),
            host_path: path.to_owned(),
            readonly: true,
        };
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: self.id.clone(),
            config: Some(cri::ContainerConfig {
                metadata: Some(cri::ContainerMetadata {
                    name: name.to_owned(),
                }),
                image: Some(cri::ImageSpec {
                    image: IMAGE.to_owned(),
                }),
                command: command.iter().map(|word| (*word).to_owned()).collect(),
                mounts: vec![mount("/usr"), mount("/etc/alternatives")],
                labels,
                linux: Some(cri::LinuxContainerConfig {
                    security_context: Some(cri::ContainerSecurityContext {
                        namespace_options: options,
                    }),
                }),
            }),
            sandbox_config: Some(self.config.clone()),
        };
        let client = self.containerd.client()?;
        let created: Id = client.call("CreateContainer", request)?;
        let _: Id = client.call("StartContainer", created.clone())?;
        Ok(created.id)
    }

    /// Runs a command in one of its containers to its end.
    pub(crate) fn exec(&self, container: &str, command: &[&str]) -> Result<Output> {
        let exec = ["--namespace=k8s.io", "tasks", "exec", "--exec-id=test"];
        let arguments = [&exec[..], &[container], command].concat();
        self.containerd.ctr(&arguments)
    }

    /// The pod's own address, by what its network namespace says.
    pub(crate) fn ipv4(&self, container: &str) -> Result<String> {
        let told = self.exec(container, &["ip", "-4", "-o", "address", "show", "eth0"])?;
        let address = told.stdout.split_whitespace().nth(3);
        let address = address.and_then(|text| text.split('/').next());
        Ok(address.context("no address")?.to_owned())
    }

    /// Main process of one of its containers, by containerd's own client.
    pub(crate) fn pid(&self, container: &str) -> Result<u32> {
        let tasks = self
            .containerd
            .ctr(&["--namespace=k8s.io", "tasks", "ls"])?;
        let line = tasks
            .stdout
            .lines()
            .find(|line| line.starts_with(container));
        let pid = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(pid.context("it does not run")?.parse()?)
    }
}
