//! The capture budget of one flow, changed while it runs.
#![expect(
    unsafe_code,
    reason = "aya wants plain-old-data promised for map types"
)]

use aya::{
    Pod,
    maps::{HashMap, MapData},
};
use hydrophone_common::flow::{BUDGET_NONE, FlowKey, FlowState};

use super::{ProbeError, names};

#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct Key(FlowKey);
// SAFETY: `#[repr(C)]` integers without implicit padding (asserted in common).
unsafe impl Pod for Key {}

#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct State(FlowState);
// SAFETY: `#[repr(C)]` integers without implicit padding (asserted in common).
unsafe impl Pod for State {}

/// Changes budgets in the kernel's flow table.
pub struct Budgets {
    map: HashMap<MapData, Key, State>,
}

impl Budgets {
    pub(super) const fn new(map: HashMap<MapData, Key, State>) -> Self {
        Self { map }
    }

    /// Lets `more` bytes of `direction` (0: from the key's `low` end) be recorded from now until the
    /// budget is renewed; 0 ends the capture until the next connection. Returns whether the kernel
    /// (still) has the flow.
    ///
    /// The entry is read, changed and written back: packets that pass in between are missing from
    /// this flow's own counters, never from the account of packets.
    ///
    /// # Errors
    /// When the kernel refuses the update.
    pub fn set(&mut self, key: &FlowKey, direction: u8, more: u64) -> Result<bool, ProbeError> {
        let key = Key(*key);
        let Ok(State(mut state)) = self.map.get(&key, 0) else {
            return Ok(false);
        };
        if let Some(direction) = state.directions.get_mut(usize::from(direction)) {
            direction.budget = if more == 0 {
                BUDGET_NONE
            } else {
                direction.spent.saturating_add(more)
            };
        }
        self.map
            .insert(key, State(state), 0)
            .map_err(|source| ProbeError::map(names::FLOWS, source))?;
        Ok(true)
    }

    /// The kernel's state of a flow.
    #[must_use]
    pub fn get(&self, key: &FlowKey) -> Option<FlowState> {
        self.map.get(&Key(*key), 0).ok().map(|State(state)| state)
    }
}
