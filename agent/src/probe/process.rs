//! What the kernel tells about processes: the events' ring, and the account of it.

use aya::maps::{MapData, PerCpuArray};
use hydrophone_common::process::EventCounter;

use super::{ProbeError, RingReader, names};

/// Events about processes, and which of their sources this kernel has.
pub struct ProcessEvents {
    /// The ring.
    pub ring: RingReader,
    /// What became of the events.
    pub counters: ProcessCounters,
    /// Sources that are extras.
    pub extras: Extras,
}

/// Hooks without which the agent does, each with why it is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extras {
    /// The raw tracepoint `sched_process_exec`.
    pub executions: Result<(), String>,
    /// `BPF_CGROUP_UNIX_CONNECT` (6.7). Whether its paths can be read is for the reader to try.
    pub unix: Result<(), String>,
}

/// Reads the account of events.
pub struct ProcessCounters {
    map: PerCpuArray<MapData, u64>,
}

impl ProcessCounters {
    pub(super) const fn new(map: PerCpuArray<MapData, u64>) -> Self {
        Self { map }
    }

    /// All counters, with their names.
    ///
    /// # Errors
    /// When the kernel refuses the look-up.
    pub fn read(&self) -> Result<[(&'static str, u64); 3], ProbeError> {
        let mut counters = EventCounter::ALL.map(|counter| (counter.name(), 0));
        for (index, (_, value)) in (0..).zip(&mut counters) {
            let per_cpu = self
                .map
                .get(&index, 0)
                .map_err(|source| ProbeError::map(names::PROCESS_COUNTERS, source))?;
            *value = per_cpu.iter().sum();
        }
        Ok(counters)
    }
}
