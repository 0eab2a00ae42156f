//! What each end of a flow was heard to speak, when that can be different things.

use crate::{
    flow::Direction,
    protocol::{
        AppProtocol, Probe,
        registry::{self, Transport},
    },
};

/// Bytes of each direction in which a protocol is looked for.
pub(super) const PROBED: usize = 4 << 10;

/// What each end speaks. What is spoken on top of a protocol is found later, for both ends.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// What an end speaks instead of what the flow is parsed as.
    pub(super) differing: [Option<AppProtocol>; 2],
    /// Whose words are still to be recognised, what the other end speaks, and what came so far.
    open: Option<(Direction, AppProtocol, Vec<u8>)>,
}

impl Heard {
    /// Nothing is listened to: what is spoken was agreed on.
    pub(super) fn settled() -> Self {
        Self::default()
    }

    /// One end was recognised; the other is listened to from its first byte.
    pub(super) fn first(&mut self, direction: Direction, protocol: AppProtocol) {
        self.open = Some((direction.reverse(), protocol, Vec::new()));
    }

    /// What the other end said next. Once it is clear what it speaks, the event that this is, if it does
    /// not fit.
    pub(super) fn second(
        &mut self,
        transport: Transport,
        direction: Direction,
        data: &[u8],
        ports: [u16; 2],
    ) -> Option<&'static str> {
        let (_, protocol, held) = self.open.as_mut().filter(|(of, ..)| *of == direction)?;
        let protocol = *protocol;
        if data.is_empty() {
            return None;
        }
        let room = PROBED.saturating_sub(held.len());
        let front = if held.is_empty() {
            data.get(..room).unwrap_or(data)
        } else {
            held.extend_from_slice(data.get(..room).unwrap_or(data));
            held.as_slice()
        };
        let (spoken, probe) = registry::recognise(transport, direction, front, ports);
        // A stream goes on where it stopped, a datagram is whole.
        let more = probe == Probe::NeedMore && transport == Transport::Tcp && front.len() < PROBED;
        if spoken.is_none() && more {
            if held.is_empty() {
                held.extend_from_slice(data);
            }
            return None;
        }
        self.open = None;
        let Some(spoken) = spoken else {
            return Some(registry::ONE_DIRECTION);
        };
        if spoken == protocol {
            return None;
        }
        if let Some(slot) = self.differing.get_mut(direction.index()) {
            *slot = Some(spoken);
        }
        Some(registry::MISMATCH)
    }

    /// Bytes of one end were not captured: how it began is not known.
    pub(super) fn gap(&mut self, direction: Direction) {
        self.open.take_if(|(of, ..)| *of == direction);
    }

    pub(super) fn footprint(&self) -> usize {
        self.open.as_ref().map_or(0, |(.., held)| held.capacity())
    }
}
