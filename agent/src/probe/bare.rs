//! Devices whose packets the socket hooks inspect, because no hooked link sees them.
#![expect(
    unsafe_code,
    reason = "aya wants plain-old-data promised for map types"
)]

use std::collections::BTreeSet;

use aya::{
    Pod,
    maps::{Array, HashMap, MapData},
};
use hydrophone_common::flow::BareDevice;

use super::{ProbeError, names};

#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct Key(BareDevice);
// SAFETY: `#[repr(C)]` integers without implicit padding (asserted in common).
unsafe impl Pod for Key {}

/// The kernel's table of such devices.
pub struct BareDevices {
    map: HashMap<MapData, Key, u32>,
    count: Array<MapData, u32>,
    /// What is in the map, by owner and index.
    known: BTreeSet<(u64, u32)>,
}

impl BareDevices {
    pub(super) const fn new(map: HashMap<MapData, Key, u32>, count: Array<MapData, u32>) -> Self {
        Self {
            map,
            count,
            known: BTreeSet::new(),
        }
    }

    /// Tells the kernel which devices there are: owner (see [`BareDevice::owner`]) and index.
    ///
    /// # Errors
    /// When the kernel refuses an update; the others are made.
    pub fn set(&mut self, wanted: &BTreeSet<(u64, u32)>) -> Result<(), ProbeError> {
        if self.known == *wanted {
            return Ok(());
        }
        let mut result = Ok(());
        let key = |(owner, ifindex): (u64, u32)| {
            Key(BareDevice {
                owner,
                ifindex,
                padding: 0,
            })
        };
        for device in self.known.difference(wanted) {
            // It is gone already when this fails.
            let _ = self.map.remove(&key(*device));
        }
        self.known.retain(|device| wanted.contains(device));
        for device in wanted {
            if self.known.contains(device) {
                continue;
            }
            match self.map.insert(key(*device), 1, 0) {
                Ok(()) => {
                    self.known.insert(*device);
                }
                Err(source) => result = Err(ProbeError::map(names::BARE, source)),
            }
        }
        let count = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        self.count
            .set(0, count, 0)
            .map_err(|source| ProbeError::map(names::BARE_COUNT, source))?;
        result
    }
}
