//! What is only visible across flows: scans, sweeps and floods.
//!
//! Evidence is kept for each *actor*: the link behind which packets were sent, else the cgroup,
//! else the address. So forged source addresses from one container are still one actor.

mod actor;
mod attempts;
mod campaign;
mod flood;
mod roster;
mod scan;
mod signatures;

pub(crate) use actor::Actor;
pub(crate) use campaign::Campaign;
pub(crate) use flood::Floods;
pub(crate) use roster::Roster;
pub(crate) use scan::Scans;
pub(crate) use signatures::{Behavior, Signatures};

pub(crate) const SECOND: u64 = 1_000_000_000;

/// Thresholds and bounds of the behaviours. Times are in nanoseconds.
///
/// A target *failed* when it refused, or did not answer for [`Self::settle`]; one that has
/// answered while it was remembered never fails. Scans and sweeps are told only when at least
/// half of the distinct targets failed: scans mostly fail, services mostly answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BehaviorConfig {
    /// How long a distinct target of an actor is remembered: 60 s, so that one target every 3 s
    /// (`nmap -T2` waits 0.4 s) still adds up to [`Self::scan_ports`].
    pub window: u64,
    /// How long an answer may take: 1 s is the first retransmission timeout of Linux (RFC 6298).
    pub settle: u64,
    /// Distinct failed ports of one host that are a port scan. 20: more than a service that is
    /// down has, a fiftieth of what nmap tries by default.
    pub scan_ports: u32,
    /// The same for FIN, NULL, Xmas and refused ACK probes, which no honest stack sends in
    /// numbers. 5: one stray FIN after a restart of the sensor is not a scan.
    pub odd_ports: u32,
    /// Distinct failed hosts on one port (or by ICMP echo) that are a sweep. 12: in a bridged
    /// network only addresses that exist answer ARP and so are seen, hence far fewer than probed.
    pub sweep_hosts: u32,
    /// Distinct failed pairs of host and port that are a network scan although no single host or
    /// port stands out, as with randomised order.
    pub network_pairs: u32,
    /// SYN to one port of one host within [`Self::flood_window`] that were not completed. 1,000 in
    /// 10 s: a quarter of the default listen queue (`somaxconn` 4,096) within one SYN-ACK lifetime.
    /// Refused ones count a tenth: they cost the target little, and clients retry in loops.
    pub flood_unfinished: u64,
    /// See [`Self::flood_unfinished`]; at least 2 s.
    pub flood_window: u64,
    /// A campaign that goes on is told again at most this often.
    pub update_interval: u64,
    /// Actors that are remembered. When full, the oldest with a single target goes first, so
    /// that forged addresses push out each other and not the patient.
    pub actors: usize,
    /// Distinct targets that are remembered of one actor; the oldest goes first, but not before
    /// [`Self::settle`].
    pub targets_per_actor: usize,
    /// Distinct targets that are remembered of all actors; the idlest actor goes first.
    pub targets: usize,
    /// Ports of hosts whose SYN are counted.
    pub flood_targets: usize,
    /// Pairs of anomaly and actor of which the findings are limited.
    pub anomalies: usize,
}

impl Default for BehaviorConfig {
    fn default() -> Self {
        Self {
            window: 60 * SECOND,
            settle: SECOND,
            scan_ports: 20,
            odd_ports: 5,
            sweep_hosts: 12,
            network_pairs: 100,
            flood_unfinished: 1_000,
            flood_window: 10 * SECOND,
            update_interval: 60 * SECOND,
            actors: 4_096,
            targets_per_actor: 1_024,
            targets: 131_072,
            flood_targets: 4_096,
            anomalies: 1_024,
        }
    }
}

/// What the correlator did, and what it gave up to stay within its bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BehaviorStats {
    /// Contacts taken in.
    pub contacts: u64,
    /// Actors forgotten because [`BehaviorConfig::actors`] or [`BehaviorConfig::targets`] was
    /// reached.
    pub actors_evicted: u64,
    /// Targets not remembered because [`BehaviorConfig::targets_per_actor`] was reached.
    pub targets_refused: u64,
    /// Flood targets forgotten because [`BehaviorConfig::flood_targets`] was reached.
    pub flood_targets_evicted: u64,
    /// Limits forgotten because [`BehaviorConfig::anomalies`] was reached.
    pub anomalies_evicted: u64,
    /// Findings that a `suppress` held back.
    pub suppressed: u64,
    /// Findings that a `rate_filter` held back.
    pub rate_filtered: u64,
    /// Findings that a `threshold` or `event_filter` held back.
    pub below_threshold: u64,
    /// Counts of `threshold` that were given up for want of room.
    pub thresholds_evicted: u64,
    /// Actors that are remembered now.
    pub actors: u64,
    /// Distinct targets that are remembered now.
    pub targets: u64,
}
