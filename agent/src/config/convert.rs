//! Sections to the options of the rooms that they configure.

use std::thread;

use hydrophone_inspect::{BehaviorConfig, InspectorLimits, flow::StreamLimits};

use super::{Behavior, Census, Checksums, Config, EventType, Ledger, Sensor};
use crate::{
    census::CensusConfig,
    ledger,
    probe::{AttachMode, LoadOptions, ObjectSource},
};

/// Bytes of a packet that an alert carries: as many as a record of the kernel has.
const PACKET_MAX: usize = 64 << 10;

/// Most rings that the kernel object has room for.
const RINGS_MAX: u32 = 16;

impl From<&Sensor> for LoadOptions {
    fn from(sensor: &Sensor) -> Self {
        Self {
            object: match &sensor.kernel_object {
                Some(path) => ObjectSource::File(path.clone()),
                None => ObjectSource::Embedded,
            },
            rings: match sensor.rings {
                0 => rings_for(thread::available_parallelism().map_or(1, usize::from)),
                rings => rings.into(),
            },
            ring_bytes: u32::try_from(sensor.ring_size.0).unwrap_or(u32::MAX),
            flows: sensor.flow_table,
            capture_budget: sensor.capture_budget.0,
            attach: if sensor.force_clsact {
                AttachMode::Clsact
            } else {
                AttachMode::best()
            },
            ..Self::default()
        }
    }
}

/// The largest power of two up to `cpus`, within what the kernel object has room for.
fn rings_for(cpus: usize) -> u32 {
    let cpus = u32::try_from(cpus).unwrap_or(u32::MAX).clamp(1, RINGS_MAX);
    1 << cpus.ilog2()
}

impl From<&Census> for CensusConfig {
    fn from(census: &Census) -> Self {
        Self {
            docker_sockets: census.docker_sockets.clone(),
            cri_sockets: census.cri_sockets.clone(),
            oci_state: census.oci_state.clone(),
            retention: census.retention.0,
            patience: census.patience.0,
            host: census.host.clone(),
            ..Self::default()
        }
    }
}

impl From<&Config> for ledger::Options {
    fn from(config: &Config) -> Self {
        let Ledger {
            enabled: _,
            directory,
            budget,
            retention,
            key_file,
        } = &config.ledger;
        // What has no form is no configuration: this cannot fail.
        let text = serde_json::to_string(config).unwrap_or_default();
        Self {
            directory: directory.clone(),
            budget: budget.0,
            retention: retention.0,
            key_file: key_file.clone(),
            config_digest: ledger::Digest::of(text.as_bytes()),
        }
    }
}

impl From<&Behavior> for BehaviorConfig {
    fn from(behavior: &Behavior) -> Self {
        Self {
            window: behavior.scan_window.nanoseconds(),
            scan_ports: behavior.scan_ports,
            sweep_hosts: behavior.sweep_hosts,
            flood_unfinished: behavior.flood_syns.into(),
            flood_window: behavior.flood_window.nanoseconds(),
            ..Self::default()
        }
    }
}

impl From<&Config> for InspectorLimits {
    fn from(config: &Config) -> Self {
        let inspect = &config.inspect;
        let mut timeouts = Self::default().timeouts;
        timeouts.established = inspect.timeout_established.nanoseconds();
        timeouts.short = inspect.timeout_short.nanoseconds();
        timeouts.closed = inspect.timeout_closed.nanoseconds();
        Self {
            flows: usize::try_from(inspect.flows).unwrap_or(usize::MAX),
            timeouts,
            streams: StreamLimits {
                window: inspect.window.as_usize(),
                pending: inspect.reassembly_pending.as_usize(),
                total: inspect.reassembly_memory.as_usize(),
            },
            overlap: inspect.overlap,
            // More would be copied only to be cut off.
            excerpt: config.alert.payload.as_usize(),
            packet: if config.alert.packet { PACKET_MAX } else { 0 },
            midstream: inspect.midstream,
            async_oneside: inspect.async_oneside,
            encrypted: inspect.encrypted,
            checksums: inspect.checksums == Checksums::Validate,
            protocols: hydrophone_inspect::protocol::Limits {
                body: inspect.body_limit.as_usize(),
                ..Default::default()
            },
            events: EventType::asked(&config.events.types),
            evidence: evidence(inspect.evidence.0, config.sensor.capture_budget.0),
            ..Self::default()
        }
    }
}

/// What is asked for counts from what was captured so far and replaces the budget: with less than
/// the budget itself a match would shorten the capture.
fn evidence(beyond: u64, budget: u64) -> u32 {
    match beyond {
        0 => 0,
        beyond => u32::try_from(beyond.saturating_add(budget)).unwrap_or(u32::MAX),
    }
}

impl Sensor {
    /// Whether the link of this name is to be hooked.
    #[must_use]
    pub fn takes_link(&self, name: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        any(&self.include_links) && !any(&self.exclude_links)
    }
}

/// Shell-like match with `*` and `?`. Goes back to the last `*` only, so it takes at most
/// `pattern.len() * name.len()` steps.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut position) = (0, 0);
    let mut retry = None;
    while let Some(byte) = name.get(position) {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at, position));
                at += 1;
            }
            Some(expected) if expected == byte || *expected == b'?' => {
                at += 1;
                position += 1;
            }
            _ => match &mut retry {
                Some((star, from)) => {
                    *from += 1;
                    (at, position) = (*star + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern
        .get(at..)
        .unwrap_or_default()
        .iter()
        .all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*", "veth1", true),
            ("*", "", true),
            ("veth*", "veth1", true),
            ("veth*", "eth0", false),
            ("veth?", "veth12", false),
            ("v*h?2", "veth12", true),
            ("*eth*", "veth12", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn exclusion_wins() {
        let sensor = Sensor {
            exclude_links: vec!["cali*".to_owned()],
            ..Sensor::default()
        };
        assert!(sensor.takes_link("veth1"));
        assert!(!sensor.takes_link("cali1"));
    }

    /// What is not configured differently is as the room itself has it.
    #[test]
    fn defaults_are_those_of_the_rooms() {
        let config = Config::default();
        let limits = InspectorLimits::from(&config);
        let expected = InspectorLimits {
            excerpt: limits.excerpt,
            ..InspectorLimits::default()
        };
        assert_eq!(limits, expected);
        let census = CensusConfig::from(&config.census);
        let expected = CensusConfig::default();
        assert_eq!(
            (census.docker_sockets, census.cri_sockets, census.oci_state),
            (
                expected.docker_sockets,
                expected.cri_sockets,
                expected.oci_state
            )
        );
        assert_eq!(
            (census.retention, census.patience),
            (expected.retention, expected.patience)
        );
        let load = LoadOptions::from(&config.sensor);
        let expected = LoadOptions::default();
        assert_eq!(
            (load.flows, load.capture_budget),
            (expected.flows, expected.capture_budget)
        );
    }

    #[test]
    fn rings_are_a_power_of_two() {
        for (cpus, rings) in [(0, 1), (1, 1), (3, 2), (8, 8), (15, 8), (64, 16)] {
            assert_eq!(rings_for(cpus), rings);
        }
    }
}
