//! `hydrophone run`: watch this host.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::{
    Exit, Failure,
    options::{ConfigOptions, paths, spelled},
};
use crate::{
    config::{Format, Setting},
    daemon::{self, DaemonError},
};

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigOptions,

    /// Rule file in the Suricata rule language, beside the starter set; may be given again
    #[arg(long, short, value_name = "FILE")]
    rules: Vec<PathBuf>,

    /// Leave out the starter rules
    #[arg(long)]
    no_default_rules: bool,

    /// What standard output gets
    #[arg(long, short)]
    format: Option<Format>,

    /// Time between two `stats` events, e.g. 30s
    #[arg(long, value_name = "TIME")]
    stats_interval: Option<String>,

    /// Ring buffers, each with its inspection thread
    #[arg(long, value_name = "N")]
    rings: Option<u16>,

    /// Size of one ring, e.g. 16MiB
    #[arg(long, value_name = "SIZE")]
    ring_size: Option<String>,

    /// Flows that the kernel keeps count of
    #[arg(long, value_name = "N")]
    flow_table: Option<u32>,

    /// Bytes captured of each direction of a flow, e.g. 128KiB
    #[arg(long, value_name = "SIZE")]
    capture_budget: Option<String>,

    /// Use clsact filters although the kernel has tcx
    #[arg(long)]
    force_clsact: bool,

    /// Socket of Docker Engine's API; may be given again
    #[arg(long, value_name = "SOCKET")]
    docker_socket: Vec<PathBuf>,

    /// Syslog receiver: unix:///dev/log, udp://HOST:PORT or tcp://HOST:PORT; may be given again
    #[arg(long, value_name = "URL")]
    syslog: Vec<String>,

    /// Kernel object to load instead of the one built in
    #[arg(long, value_name = "FILE")]
    kernel_object: Option<PathBuf>,
}

pub(super) fn execute(args: &RunArgs) -> Result<Exit, Failure> {
    let config = args.config.load(args.settings())?;
    daemon::run(&config).map_err(|error| match error {
        DaemonError::Probe(error) => error.into(),
        error @ DaemonError::Rules(_) => Failure::new(Exit::Invalid, error),
        error @ DaemonError::Io { .. } => Failure::new(Exit::Failure, error),
    })?;
    Ok(Exit::Ok)
}

impl RunArgs {
    /// What was typed, over what the file and the environment say.
    fn settings(&self) -> Vec<Setting> {
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        let switch = |on: bool| on.then_some(Value::from(true));
        let syslog: Vec<Value> = self.syslog.iter().map(|url| url.as_str().into()).collect();
        [
            ("rules.files", "--rules", paths(&self.rules)),
            (
                "rules.no_default_rules",
                "--no-default-rules",
                switch(self.no_default_rules),
            ),
            (
                "alert.format",
                "--format",
                self.format.as_ref().map(spelled),
            ),
            (
                "alert.stats_interval",
                "--stats-interval",
                text(&self.stats_interval),
            ),
            ("sensor.rings", "--rings", self.rings.map(Value::from)),
            ("sensor.ring_size", "--ring-size", text(&self.ring_size)),
            (
                "sensor.flow_table",
                "--flow-table",
                self.flow_table.map(Value::from),
            ),
            (
                "sensor.capture_budget",
                "--capture-budget",
                text(&self.capture_budget),
            ),
            (
                "sensor.force_clsact",
                "--force-clsact",
                switch(self.force_clsact),
            ),
            (
                "census.docker_sockets",
                "--docker-socket",
                paths(&self.docker_socket),
            ),
            (
                "sinks.syslog.targets",
                "--syslog",
                (!syslog.is_empty()).then_some(syslog.into()),
            ),
            (
                "sensor.kernel_object",
                "--kernel-object",
                self.kernel_object
                    .as_ref()
                    .map(|path| path.display().to_string().into()),
            ),
        ]
        .into_iter()
        .filter_map(|(key, option, value)| Some(Setting::command_line(key, value?, option)))
        .collect()
    }
}
