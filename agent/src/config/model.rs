//! Every key, with its default. `hydrophone.example.yaml` and `docs/configuration.md` are checked
//! against this.

use std::{collections::BTreeMap, path::PathBuf};

use hydrophone_inspect::flow::OverlapPolicy;
use serde::{Deserialize, Serialize};

use super::units::{ByteSize, Interval};

pub use super::events::EventType;
pub use super::selector::Selector;
pub use super::target::{SyslogFacility, SyslogTarget};
pub use crate::census::ServiceBy;

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is captured in the kernel.
    pub sensor: Sensor,
    /// Limits of the inspection threads.
    pub inspect: Inspect,
    /// Rule files.
    pub rules: Rules,
    /// Thresholds of the behaviour detectors.
    pub behavior: Behavior,
    /// Who is who.
    pub census: Census,
    /// Who was who.
    pub ledger: Ledger,
    /// Which alerts are written, and how.
    pub alert: Alert,
    /// What processes do beside the wire.
    pub local: Local,
    /// What is written beside alerts.
    pub events: Events,
    /// Where events go.
    pub sinks: Sinks,
    /// The agent's own log, on standard error.
    pub log: Log,
}

/// Section `sensor`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sensor {
    /// Ring buffers, each with its inspection thread: 1, 2, 4, 8 or 16; 0 is as many as there are
    /// CPUs.
    pub rings: u16,
    /// Size of one ring: a power of two, at least 256 KiB (one record may take 64 KiB).
    pub ring_size: ByteSize,
    /// Flows that the kernel keeps count of; the least recently used ones leave first.
    pub flow_table: u32,
    /// Bytes of each direction of a flow that are captured; what follows is counted only.
    pub capture_budget: ByteSize,
    /// Names of host-side links to hook, with `*` and `?`.
    pub include_links: Vec<String>,
    /// Names of host-side links to leave alone; wins over `include_links`.
    pub exclude_links: Vec<String>,
    /// Use `clsact` filters although the kernel has tcx.
    pub force_clsact: bool,
    /// A kernel object to load instead of the one built in.
    pub kernel_object: Option<PathBuf>,
}

impl Default for Sensor {
    fn default() -> Self {
        Self {
            rings: 0,
            ring_size: ByteSize::mib(16),
            flow_table: 65_536,
            capture_budget: ByteSize::kib(128),
            include_links: vec!["*".to_owned()],
            exclude_links: Vec::new(),
            force_clsact: false,
            kernel_object: None,
        }
    }
}

/// Section `inspect`: limits of each inspection thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inspect {
    /// Flows that are followed; the idlest leave first.
    pub flows: u32,
    /// After how long without a packet a TCP connection is over.
    pub timeout_established: Interval,
    /// The same before its handshake, and for all other protocols.
    pub timeout_short: Interval,
    /// The same after RST or both FIN.
    pub timeout_closed: Interval,
    /// Bytes of TCP streams that are kept.
    pub reassembly_memory: ByteSize,
    /// Bytes of one direction of a TCP stream that may wait for a missing segment.
    pub reassembly_pending: ByteSize,
    /// Bytes of a TCP stream that are matched at once; a match may not span more.
    pub window: ByteSize,
    /// Bytes of each direction that are captured beyond the budget when a rule has matched.
    pub evidence: ByteSize,
    /// Follow TCP connections whose handshake was not seen.
    pub midstream: bool,
    /// Take a connection of which only one side is seen as established.
    pub async_oneside: bool,
    /// What a wrong checksum means. On container links checksums are often not yet computed.
    pub checksums: Checksums,
    /// Search the encrypted part of TLS too. Its records are followed either way.
    pub encrypted: bool,
    /// Bytes of each body or file that are looked into.
    pub body_limit: ByteSize,
    /// Who wins where TCP segments that wait, or IPv4 fragments, overlap.
    #[serde(with = "super::overlap::Names")]
    pub overlap: OverlapPolicy,
}

/// What a wrong checksum means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Checksums {
    /// Nothing: the packet is inspected.
    #[default]
    Ignore,
    /// The receiver drops the packet, so its payload is not inspected.
    Validate,
}

impl Default for Inspect {
    fn default() -> Self {
        Self {
            flows: 65_536,
            timeout_established: Interval::seconds(600),
            timeout_short: Interval::seconds(60),
            timeout_closed: Interval::seconds(10),
            reassembly_memory: ByteSize::mib(64),
            reassembly_pending: ByteSize::kib(256),
            window: ByteSize::kib(16),
            evidence: ByteSize::kib(64),
            midstream: true,
            async_oneside: false,
            checksums: Checksums::Ignore,
            encrypted: false,
            body_limit: ByteSize::kib(128),
            overlap: OverlapPolicy::Linux,
        }
    }
}

/// Section `rules`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Rule files, in the Suricata rule language, beside the starter set.
    pub files: Vec<PathBuf>,
    /// Rule variables, e.g. `HOME_NET: "[172.16.0.0/12]"`; win over the built-in ones.
    pub variables: BTreeMap<String, String>,
    /// Leave out the starter set that is built in.
    pub no_default_rules: bool,
    /// What `$EXTERNAL_NET` and `$HOME_NET` mean where `variables` does not say.
    pub meaning: AddressMeaning,
    /// A `classification.config`, beside the classes that are built in.
    pub classification: Option<PathBuf>,
    /// What is known of addresses, for `iprep`.
    pub reputation: Reputation,
    /// Files in the form of `threshold.config`: which alerts are held back.
    pub threshold: Vec<PathBuf>,
}

/// Section `rules.reputation`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reputation {
    /// Lines of `id,short name,description`.
    pub categories: Option<PathBuf>,
    /// Lines of `address or network,category id,score`.
    pub files: Vec<PathBuf>,
}

/// What the address variables mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AddressMeaning {
    /// External is every container, task or host outside the service of the other end.
    #[default]
    Identity,
    /// External is every address that is not private, as elsewhere.
    Classic,
}

/// Section `behavior`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behavior {
    /// Ports of one host within `scan_window` that make a port scan.
    pub scan_ports: u32,
    /// Hosts within `scan_window` that make a sweep.
    pub sweep_hosts: u32,
    /// Window of scans and sweeps.
    pub scan_window: Interval,
    /// Unanswered SYNs to one service within `flood_window` that make a flood.
    pub flood_syns: u32,
    /// Window of floods.
    pub flood_window: Interval,
}

impl Default for Behavior {
    fn default() -> Self {
        Self {
            scan_ports: 20,
            sweep_hosts: 10,
            scan_window: Interval::seconds(60),
            flood_syns: 1_000,
            flood_window: Interval::seconds(10),
        }
    }
}

/// Section `census`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Census {
    /// Sockets of Docker Engine's API, which podman speaks, too; those that are not there are left
    /// out.
    pub docker_sockets: Vec<PathBuf>,
    /// Sockets on which containerd or CRI-O speak CRI; likewise.
    pub cri_sockets: Vec<PathBuf>,
    /// Directories in which OCI runtimes keep the states of their containers; likewise.
    pub oci_state: Vec<PathBuf>,
    /// How long a container that has gone stays known.
    pub retention: Interval,
    /// How long an alert waits for the name of a container that has just started.
    pub patience: Interval,
    /// What makes containers one service. The first that knows a service of either one decides.
    pub service_by: Vec<ServiceBy>,
    /// The cluster that this host is of, for every event.
    pub cluster: Option<String>,
    /// What this host is called in every event; the kernel's node name when it is not given.
    pub host: Option<String>,
}

impl Default for Census {
    fn default() -> Self {
        Self {
            docker_sockets: ["/var/run/docker.sock", "/run/podman/podman.sock"]
                .map(PathBuf::from)
                .into(),
            cri_sockets: [
                "/run/containerd/containerd.sock",
                "/run/crio/crio.sock",
                "/run/k3s/containerd/containerd.sock",
            ]
            .map(PathBuf::from)
            .into(),
            oci_state: crate::census::OCI_STATE.map(PathBuf::from).into(),
            retention: Interval::seconds(3_600),
            patience: Interval::milliseconds(300),
            service_by: ServiceBy::ORCHESTRATORS.to_vec(),
            cluster: None,
            host: None,
        }
    }
}

/// Section `ledger`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ledger {
    /// Whether it is kept.
    pub enabled: bool,
    /// Folder of its files.
    pub directory: PathBuf,
    /// Bytes that its files may take together; the oldest go first.
    pub budget: ByteSize,
    /// How long files are kept.
    pub retention: Interval,
    /// File with a key that lines are sealed with (HMAC), so that who has not the key cannot write
    /// them anew.
    pub key_file: Option<PathBuf>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            enabled: true,
            directory: PathBuf::from("/var/lib/hydrophone/ledger"),
            budget: ByteSize::mib(64),
            retention: Interval::seconds(90 * 86_400),
            key_file: None,
        }
    }
}

/// Section `local`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Local {
    /// Sockets of container runtimes beside those that are known and `census.docker_sockets`.
    pub runtime_sockets: Vec<PathBuf>,
    /// Containers that may use them.
    pub runtime_allow: Vec<Selector>,
    /// Containers that may open raw and packet sockets.
    pub raw_allow: Vec<Selector>,
}

/// Section `alert`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alert {
    /// What standard output gets.
    pub format: Format,
    /// Time between two `stats` events.
    pub stats_interval: Interval,
    /// Bytes of the matching payload that an alert carries; 0 leaves it out.
    pub payload: ByteSize,
    /// The form that the payload has.
    pub payload_format: PayloadFormat,
    /// Carry the packet that was the occasion, in base64.
    pub packet: bool,
    /// Findings that wait for the alert stage.
    pub queue: u32,
    /// Limit for each rule and pair of endpoints.
    pub storm: Storm,
}

impl Default for Alert {
    fn default() -> Self {
        Self {
            format: Format::Auto,
            stats_interval: Interval::seconds(60),
            payload: ByteSize::kib(1),
            payload_format: PayloadFormat::Printable,
            packet: false,
            queue: 8_192,
            storm: Storm::default(),
        }
    }
}

/// Section `events`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// Events that are written in EVE, e.g. `flow`, `http`, `fileinfo`.
    pub types: Vec<EventType>,
}

/// What standard output gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text on a terminal, EVE elsewhere.
    #[default]
    Auto,
    /// EVE JSON, one object a line.
    Eve,
    /// One readable line an alert, with colours on a terminal.
    Text,
}

/// The form of a payload in an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayloadFormat {
    /// `payload_printable`: what is not printable is a dot.
    #[default]
    Printable,
    /// `payload`: every byte.
    Base64,
    /// Both fields.
    Both,
}

/// Section `alert.storm`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storm {
    /// Alerts of one rule between the same two endpoints in one window; 0 switches the limit off.
    pub limit: u32,
    /// The window.
    pub window: Interval,
    /// Rule and endpoint pairs that are tracked at once.
    pub pairs: u32,
}

/// Ten show how an attack varies; a loop of thousands a second then costs one alert a second and
/// pair, with the count of what it stands for, so that neither a reader nor a sink is flooded.
impl Default for Storm {
    fn default() -> Self {
        Self {
            limit: 10,
            window: Interval::seconds(10),
            pairs: 4_096,
        }
    }
}

/// Section `sinks`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sinks {
    /// Standard output.
    pub stdout: Stdout,
    /// Syslog receivers.
    pub syslog: Syslog,
}

/// Section `sinks.stdout`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stdout {
    /// Whether events go there.
    pub enabled: bool,
    /// Events that wait for a slow reader; more are lost and counted.
    pub queue: u32,
}

impl Default for Stdout {
    fn default() -> Self {
        Self {
            enabled: true,
            queue: 8_192,
        }
    }
}

/// Section `sinks.syslog`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Syslog {
    /// Receivers: `unix:///dev/log`, `udp://host:514`, `tcp://host:601`.
    pub targets: Vec<SyslogTarget>,
    /// Facility of every message.
    pub facility: SyslogFacility,
    /// Events that wait for each receiver; more are lost and counted.
    pub queue: u32,
}

impl Default for Syslog {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            facility: SyslogFacility::Local0,
            queue: 8_192,
        }
    }
}

/// Section `log`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Least important level that is written.
    pub level: LogLevel,
}

/// Level of the agent's own log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What stops the agent or makes it blind.
    Error,
    /// What needs attention.
    Warn,
    /// Life cycle.
    #[default]
    Info,
    /// Detail for a fault report.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// As `tracing` names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
