//! One loud link must not fill the way to the correlator with malformed packets.

use crate::{anomaly::Anomaly, packet::Timestamp};

const SLOTS: usize = 256;
/// A link raises one kind of anomaly at most this often, in nanoseconds. The occurrences between
/// are counted.
const INTERVAL: u64 = 100_000_000;

/// Remembers which link raised what last. Two that share a slot take turns.
#[derive(Debug)]
pub(super) struct Muffler {
    slots: Box<[(u32, u8, Timestamp)]>,
}

impl Default for Muffler {
    fn default() -> Self {
        Self {
            slots: vec![(u32::MAX, u8::MAX, Timestamp::default()); SLOTS].into_boxed_slice(),
        }
    }
}

impl Muffler {
    pub(super) fn admits(&mut self, ifindex: u32, anomaly: Anomaly, now: Timestamp) -> bool {
        let kind = anomaly as u8;
        let at = (ifindex as usize)
            .wrapping_mul(31)
            .wrapping_add(usize::from(kind))
            % SLOTS;
        let Some(slot) = self.slots.get_mut(at) else {
            return true;
        };
        if (slot.0, slot.1) == (ifindex, kind) && now.since(slot.2) < INTERVAL {
            return false;
        }
        *slot = (ifindex, kind, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_link_does_not_muffle_another() {
        let mut muffler = Muffler::default();
        let at = |milliseconds: u64| Timestamp(1_000_000_000 + milliseconds * 1_000_000);
        assert!(muffler.admits(7, Anomaly::UdpLength, at(0)));
        assert!(!muffler.admits(7, Anomaly::UdpLength, at(50)));
        assert!(muffler.admits(7, Anomaly::TcpFlags, at(50)));
        assert!(muffler.admits(8, Anomaly::UdpLength, at(50)));
        assert!(muffler.admits(7, Anomaly::UdpLength, at(100)));
    }
}
