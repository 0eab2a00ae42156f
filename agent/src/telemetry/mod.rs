//! The figures of a `stats` event, as plain values.

use std::collections::BTreeMap;

use hydrophone_common::counter::{Counter, Hook, Outcome};
use hydrophone_inspect::{Anomaly, BehaviorStats, InspectorStats, ViewsStats};
use serde::Serialize;

use crate::{alert::ServiceTally, census::CensusFigures, ledger, probe::HookCounters};

/// Figures by name.
pub type Figures = BTreeMap<&'static str, u64>;

/// What became of the packets that one hook saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounting {
    /// Packets that reached the hook.
    pub seen: u64,
    /// Packets that were handed to inspection.
    pub inspected: u64,
    /// Packets that were counted only, by reason (e.g. `budget`, `other_hook`).
    pub counted: Figures,
    /// Packets that should have been inspected, by what lost them (e.g. `ring_full`).
    pub lost: Figures,
}

impl Accounting {
    /// `seen - inspected - counted - lost`: 0 once the hook is at rest. The kernel's counters are
    /// read one by one while packets pass, so a few may be in between.
    #[must_use]
    pub fn unaccounted(&self) -> i128 {
        let sum = |figures: &Figures| figures.values().copied().map(i128::from).sum::<i128>();
        i128::from(self.seen) - i128::from(self.inspected) - sum(&self.counted) - sum(&self.lost)
    }
}

impl From<&HookCounters> for Accounting {
    fn from(counters: &HookCounters) -> Self {
        let figures = |outcome| {
            Counter::ALL
                .into_iter()
                .filter(|counter| counter.outcome() == outcome)
                .map(|counter| (counter.name(), counters.get(counter)))
                .collect()
        };
        Self {
            seen: counters.get(Counter::Seen),
            inspected: counters.get(Counter::Inspected),
            counted: figures(Outcome::Counted),
            lost: figures(Outcome::Lost),
        }
    }
}

impl From<CensusFigures> for Figures {
    fn from(figures: CensusFigures) -> Self {
        let CensusFigures {
            looks,
            containers,
            gone,
            failures,
            link_overruns,
            cgroup_overruns,
            dropped,
            lookups,
        } = figures;
        [
            ("looks", looks),
            ("containers", containers),
            ("gone", gone),
            ("failures", failures),
            ("link_overruns", link_overruns),
            ("cgroup_overruns", cgroup_overruns),
            ("dropped", dropped),
            ("lookups", lookups),
        ]
        .into()
    }
}

/// What the behaviours did and gave up.
#[must_use]
pub fn behavior(stats: &BehaviorStats) -> Figures {
    // Named one by one, so that a new counter is not forgotten.
    let BehaviorStats {
        contacts,
        actors_evicted,
        targets_refused,
        flood_targets_evicted,
        anomalies_evicted,
        suppressed,
        rate_filtered,
        below_threshold,
        thresholds_evicted,
        actors,
        targets,
    } = *stats;
    [
        ("contacts", contacts),
        ("actors_evicted", actors_evicted),
        ("targets_refused", targets_refused),
        ("flood_targets_evicted", flood_targets_evicted),
        ("anomalies_evicted", anomalies_evicted),
        ("suppressed", suppressed),
        ("rate_filtered", rate_filtered),
        ("below_threshold", below_threshold),
        ("thresholds_evicted", thresholds_evicted),
        ("actors", actors),
        ("targets", targets),
    ]
    .into()
}

/// What was done about connections that are seen twice.
#[must_use]
pub fn views(stats: &ViewsStats) -> Figures {
    let ViewsStats {
        translated,
        by_sequence,
        merged,
        held,
        hurried,
    } = *stats;
    [
        ("views_translated", translated),
        ("views_by_sequence", by_sequence),
        ("views_merged", merged),
        ("views_held", held),
        ("views_hurried", hurried),
    ]
    .into()
}

/// The kernel's account, by hook name.
#[must_use]
pub fn hooks(counters: &[(Hook, HookCounters)]) -> BTreeMap<&'static str, Accounting> {
    counters
        .iter()
        .map(|(hook, counters)| (hook.name(), counters.into()))
        .collect()
}

/// Sums over inspection threads. Anomalies that did not occur are left out.
#[must_use]
pub fn inspection(threads: &[InspectorStats]) -> Figures {
    let mut figures = Figures::new();
    let mut add = |name, value| *figures.entry(name).or_default() += value;
    for stats in threads {
        add("packets", stats.packets);
        add("bytes", stats.bytes);
        add("encrypted_bytes", stats.encrypted_bytes);
        add("arp", stats.arp);
        add("not_ip", stats.not_ip);
        add("fragmented", stats.fragmented);
        add("flows_created", stats.flows_created);
        add("flows_expired", stats.flows_expired);
        add("flows_evicted", stats.flows_evicted);
        add("flows", stats.flows);
        add("stream_memory", stats.stream_memory);
        add("inspections", stats.inspections);
        add("matches", stats.matches);
        add("stream_segments", stats.streams.segments);
        add("stream_out_of_order", stats.streams.out_of_order);
        add("stream_retransmissions", stats.streams.retransmissions);
        add("stream_out_of_window", stats.streams.out_of_window);
        add("stream_conflicts", stats.streams.conflicts);
        add("stream_gaps", stats.streams.gaps);
        add("stream_gap_bytes", stats.streams.gap_bytes);
        add("stream_pending_limit", stats.streams.pending_limit);
        add("stream_window_released", stats.streams.window_released);
        add("fragments_reassembled", stats.fragments.reassembled);
        add("fragments_timed_out", stats.fragments.timed_out);
        add("fragments_evicted", stats.fragments.evicted);
        add("fragments_run_limit", stats.fragments.run_limit);
        add("fragments_malformed", stats.fragments.malformed);
        add("fragments_not_captured", stats.fragments.not_captured);
        add("anomalies_muffled", stats.anomalies_muffled);
        add("rule_steps_exceeded", stats.steps_exceeded);
        add("rules_pending_dropped", stats.pending_dropped);
        let protocols = stats.protocols;
        add(
            "protocol_transactions_dropped",
            protocols.transactions_dropped,
        );
        add("protocol_pending_dropped", protocols.pending_dropped);
        add("protocol_partial_exceeded", protocols.partial_exceeded);
        add(
            "protocol_decompression_exceeded",
            protocols.decompression_exceeded,
        );
        add("protocol_bytes_left_out", protocols.bytes_left_out);
        for (anomaly, count) in Anomaly::ALL.iter().zip(stats.anomalies) {
            if count > 0 {
                add(anomaly.name(), count);
            }
        }
    }
    figures
}

impl Serialize for Accounting {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            seen: u64,
            inspected: u64,
            counted: &'a Figures,
            lost: &'a Figures,
            unaccounted: i128,
        }
        Fields {
            seen: self.seen,
            inspected: self.inspected,
            counted: &self.counted,
            lost: &self.lost,
            unaccounted: self.unaccounted(),
        }
        .serialize(serializer)
    }
}

/// What the stages before the alert stage report, gathered by who wires them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// Packets by hook name.
    pub hooks: BTreeMap<&'static str, Accounting>,
    /// Flows, reassembly, rules: summed over inspection threads.
    pub inspect: Figures,
    /// Who is who.
    pub census: Figures,
    /// Links and hooks.
    pub sensor: Figures,
    /// Who was who; `None` when no ledger is kept.
    pub ledger: Option<ledger::Report>,
    /// Processes.
    pub processes: Figures,
}

/// Counters of the alert stage. `findings = emitted + suppressed + held + conditions_not_met` at any
/// time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AlertFigures {
    /// Findings that reached the stage.
    pub findings: u64,
    /// Alerts that were written.
    pub emitted: u64,
    /// Findings that a written alert counts as `suppressed`.
    pub suppressed: u64,
    /// Findings that are held back and not yet counted in an alert.
    pub held: u64,
    /// Findings dropped because the two ends are not those that the rule is about.
    pub conditions_not_met: u64,
    /// Pairs that left the storm table early because it was full.
    pub storm_evicted: u64,
    /// Findings lost because the queue before the stage was full.
    pub queue_lost: u64,
    /// Other events, of `events.types`, that were written.
    pub events: u64,
    /// The same, lost because too many waited for the stage.
    pub events_lost: u64,
}

impl core::ops::Add for AlertFigures {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            findings: self.findings + other.findings,
            emitted: self.emitted + other.emitted,
            suppressed: self.suppressed + other.suppressed,
            held: self.held + other.held,
            conditions_not_met: self.conditions_not_met + other.conditions_not_met,
            storm_evicted: self.storm_evicted + other.storm_evicted,
            queue_lost: self.queue_lost + other.queue_lost,
            events: self.events + other.events,
            events_lost: self.events_lost + other.events_lost,
        }
    }
}

/// What did not reach the alert stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueLosses {
    /// Findings.
    pub findings: u64,
    /// Other events.
    pub events: u64,
}

/// Counters of one sink. `written + lost` is what it was given, less what still waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SinkFigures {
    /// Events that were handed to the operating system.
    pub written: u64,
    /// Events lost: queue full, receiver away, or message refused.
    pub lost: u64,
}

/// The body of a `stats` event.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    /// Seconds since the agent started.
    pub uptime: u64,
    /// Packets by hook name.
    pub hooks: BTreeMap<&'static str, Accounting>,
    /// Inspection threads.
    pub inspect: Figures,
    /// Links and hooks.
    pub sensor: Figures,
    /// Census.
    pub census: Figures,
    /// Ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<ledger::Report>,
    /// Processes.
    pub processes: Figures,
    /// Alert stage.
    pub alert: AlertFigures,
    /// Findings by the service at each end.
    pub services: ServiceTally,
    /// Sinks by name.
    pub sinks: BTreeMap<String, SinkFigures>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounting_shows_what_is_missing() {
        let mut accounting = Accounting {
            seen: 10,
            inspected: 5,
            counted: [("budget", 2), ("other_hook", 1)].into(),
            lost: [("ring_full", 2)].into(),
        };
        assert_eq!(accounting.unaccounted(), 0);
        accounting.seen = 12;
        assert_eq!(
            serde_json::to_string(&accounting).unwrap(),
            r#"{"seen":12,"inspected":5,"counted":{"budget":2,"other_hook":1},"lost":{"ring_full":2},"unaccounted":2}"#
        );
    }
}
