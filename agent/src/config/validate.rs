//! What a value must satisfy beyond its type.

use super::{Census, Config, Interval, Ledger, Origin, Setting, error::ConfigError};

/// Largest ring that makes sense: the kernel pins all of it.
const RING_SIZE_MAX: u64 = 1 << 30;
/// Room for a few records of the largest class (64 KiB and header).
const RING_SIZE_MIN: u64 = 256 << 10;

/// Everything that is wrong; the origin of each is that of the last setting of its key.
pub(super) fn validate(config: &Config, settings: &[Setting]) -> Vec<ConfigError> {
    let mut checks = Checks {
        settings,
        errors: Vec::new(),
    };
    sensor(config, &mut checks);
    paths(config, &mut checks);
    limits(config, &mut checks);
    census(&config.census, &mut checks);
    checks.errors
}

struct Checks<'a> {
    settings: &'a [Setting],
    errors: Vec<ConfigError>,
}

impl Checks<'_> {
    fn require(&mut self, holds: bool, key: &str, message: &str, hint: &str) {
        if holds {
            return;
        }
        let path: Vec<&str> = key.split('.').collect();
        let setting = self
            .settings
            .iter()
            .rev()
            .find(|setting| setting.path == path);
        self.errors.push(ConfigError {
            origin: setting.map_or(Origin::Default, |setting| setting.origin.clone()),
            key: key.to_owned(),
            message: message.to_owned(),
            hint: Some(hint.to_owned()),
        });
    }

    fn at_least_one(&mut self, value: u32, key: &str) {
        self.require(value > 0, key, "is 0", "write 1 or more");
    }

    fn not_zero(&mut self, value: Interval, key: &str) {
        self.require(
            !value.0.is_zero(),
            key,
            "is 0",
            "write a time span such as 10s",
        );
    }
}

fn sensor(config: &Config, checks: &mut Checks<'_>) {
    let sensor = &config.sensor;
    checks.require(
        sensor.rings == 0 || sensor.rings.is_power_of_two() && sensor.rings <= 16,
        "sensor.rings",
        "is not 1, 2, 4, 8 or 16",
        "write 0 for as many as there are CPUs",
    );
    checks.require(
        sensor.ring_size.0.is_power_of_two()
            && (RING_SIZE_MIN..=RING_SIZE_MAX).contains(&sensor.ring_size.0),
        "sensor.ring_size",
        &format!(
            "{} is not a power of two from 256KiB to 1GiB",
            sensor.ring_size
        ),
        "the kernel takes ring sizes of 2^n pages, e.g. 16MiB",
    );
    checks.require(
        (1_024..=16 << 20).contains(&sensor.flow_table),
        "sensor.flow_table",
        "is not from 1024 to 16777216",
        "each entry takes about 200 bytes of kernel memory",
    );
    checks.require(
        sensor.capture_budget.0 <= u64::from(u32::MAX),
        "sensor.capture_budget",
        "is more than 4GiB",
        "write 128KiB, or 0 to count only",
    );
    checks.require(
        !sensor.include_links.is_empty(),
        "sensor.include_links",
        "is empty: no link would be hooked",
        "write [\"*\"] for all container links",
    );
}

fn paths(config: &Config, checks: &mut Checks<'_>) {
    let census = &config.census;
    for (sockets, key, hint) in [
        (
            &census.docker_sockets,
            "census.docker_sockets",
            "write /var/run/docker.sock",
        ),
        (
            &census.cri_sockets,
            "census.cri_sockets",
            "write /run/containerd/containerd.sock",
        ),
        (
            &config.local.runtime_sockets,
            "local.runtime_sockets",
            "write it as the host has it, e.g. /run/user/1000/docker.sock",
        ),
        (&census.oci_state, "census.oci_state", "write /run/runc"),
    ] {
        for socket in sockets {
            checks.require(
                socket.is_absolute(),
                key,
                &format!("`{}` is not an absolute path", socket.display()),
                hint,
            );
        }
    }
}

fn census(census: &Census, checks: &mut Checks<'_>) {
    for (name, key) in [
        (&census.cluster, "census.cluster"),
        (&census.host, "census.host"),
    ] {
        let is_name =
            |name: &String| (1..=255).contains(&name.len()) && !name.chars().any(char::is_control);
        checks.require(
            name.as_ref().is_none_or(is_name),
            key,
            "is not a name of 1 to 255 bytes without control characters",
            "leave it out if there is none",
        );
    }
}

fn limits(config: &Config, checks: &mut Checks<'_>) {
    let Config {
        inspect,
        behavior,
        alert,
        sinks,
        ..
    } = config;
    checks.at_least_one(inspect.flows, "inspect.flows");
    checks.require(
        (1 << 10..=1 << 20).contains(&inspect.window.0),
        "inspect.window",
        "is not from 1KiB to 1MiB",
        "a match may not span more than this",
    );
    checks.require(
        inspect.reassembly_memory.0 >= 1 << 20,
        "inspect.reassembly_memory",
        "is less than 1MiB",
        "write 64MiB",
    );
    checks.require(
        inspect.reassembly_pending.0 <= inspect.reassembly_memory.0,
        "inspect.reassembly_pending",
        "is more than inspect.reassembly_memory",
        "one stream may not hold more than all of them",
    );
    checks.require(
        inspect.evidence.0 <= u64::from(u32::MAX),
        "inspect.evidence",
        "is more than 4GiB",
        "write 64KiB, or 0 to capture nothing more",
    );
    checks.not_zero(inspect.timeout_established, "inspect.timeout_established");
    checks.not_zero(inspect.timeout_short, "inspect.timeout_short");
    checks.not_zero(inspect.timeout_closed, "inspect.timeout_closed");
    for (value, key) in [
        (behavior.scan_ports, "behavior.scan_ports"),
        (behavior.sweep_hosts, "behavior.sweep_hosts"),
        (behavior.flood_syns, "behavior.flood_syns"),
    ] {
        checks.require(value >= 2, key, "is less than 2", "one event is no pattern");
    }
    checks.not_zero(behavior.scan_window, "behavior.scan_window");
    checks.not_zero(behavior.flood_window, "behavior.flood_window");
    ledger(&config.ledger, checks);
    checks.not_zero(alert.stats_interval, "alert.stats_interval");
    checks.not_zero(alert.storm.window, "alert.storm.window");
    checks.at_least_one(alert.storm.pairs, "alert.storm.pairs");
    checks.at_least_one(alert.queue, "alert.queue");
    checks.require(
        alert.payload.0 <= 64 << 10,
        "alert.payload",
        "is more than 64KiB",
        "syslog receivers cut long messages; 1KiB shows what matched",
    );
    checks.require(
        sinks.stdout.enabled || !sinks.syslog.targets.is_empty(),
        "sinks.stdout.enabled",
        "is false and there is no syslog target: no alert would go anywhere",
        "name a target in sinks.syslog.targets",
    );
    checks.at_least_one(sinks.stdout.queue, "sinks.stdout.queue");
    checks.at_least_one(sinks.syslog.queue, "sinks.syslog.queue");
}

fn ledger(ledger: &Ledger, checks: &mut Checks<'_>) {
    checks.require(
        ledger.directory.is_absolute(),
        "ledger.directory",
        "is not an absolute path",
        "write /var/lib/hydrophone/ledger",
    );
    checks.require(
        ledger.budget.0 >= 1 << 20,
        "ledger.budget",
        "is less than 1MiB",
        "64MiB hold some 30000 lives of containers; `enabled: false` keeps no ledger",
    );
    checks.not_zero(ledger.retention, "ledger.retention");
    checks.require(
        ledger
            .key_file
            .as_ref()
            .is_none_or(|path| path.is_absolute()),
        "ledger.key_file",
        "is not an absolute path",
        "write /etc/hydrophone/ledger.key",
    );
}
