//! The kernel's account of packets.

use aya::maps::{MapData, PerCpuArray};
use hydrophone_common::counter::{self, Counter, Hook, Outcome};

use super::{ProbeError, names};

/// Totals of one hook, over all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookCounters {
    values: [u64; Counter::COUNT as usize],
}

impl HookCounters {
    /// One counter.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        self.values.get(counter as usize).copied().unwrap_or(0)
    }

    /// Sum of the counters with this outcome.
    #[must_use]
    pub fn sum(&self, outcome: Outcome) -> u64 {
        Counter::ALL
            .into_iter()
            .filter(|counter| counter.outcome() == outcome)
            .map(|counter| self.get(counter))
            .sum()
    }

    /// seen − (inspected + counted + lost): 0 but for packets under way while the map was read.
    #[must_use]
    pub fn unaccounted(&self) -> i128 {
        let parts = [Outcome::Inspected, Outcome::Counted, Outcome::Lost]
            .into_iter()
            .map(|outcome| i128::from(self.sum(outcome)))
            .sum::<i128>();
        i128::from(self.sum(Outcome::Seen)) - parts
    }
}

/// Reads the counters.
pub struct Counters {
    map: PerCpuArray<MapData, u64>,
}

impl Counters {
    pub(super) const fn new(map: PerCpuArray<MapData, u64>) -> Self {
        Self { map }
    }

    /// All counters of all hooks, in the order of [`Hook::ALL`].
    ///
    /// # Errors
    /// When the kernel refuses the look-up.
    pub fn read(&self) -> Result<[(Hook, HookCounters); 4], ProbeError> {
        let mut hooks = Hook::ALL.map(|hook| (hook, HookCounters::default()));
        for (hook, counters) in &mut hooks {
            for counter in Counter::ALL {
                let index = counter::index(*hook, counter);
                let per_cpu = self
                    .map
                    .get(&index, 0)
                    .map_err(|source| ProbeError::map(names::COUNTERS, source))?;
                if let Some(value) = counters.values.get_mut(counter as usize) {
                    *value = per_cpu.iter().sum();
                }
            }
        }
        Ok(hooks)
    }
}
