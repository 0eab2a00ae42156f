//! Which protocols are recognised, and who parses them: the one place that knows all.

use super::{AppProtocol, Parser, Probe};
use crate::flow::Direction;

/// What carries a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

/// One protocol.
struct Entry {
    protocol: AppProtocol,
    transport: Transport,
    probe: fn(Direction, &[u8]) -> Probe,
    parser: fn() -> Box<dyn Parser>,
    /// Ports on which alone a weak probe is asked; empty is any.
    ports: &'static [u16],
}

/// In the order asked.
const ENTRIES: &[Entry] = &[];

/// The protocol that `data` begins as. Without one, whether more may tell.
pub(crate) fn recognise(
    transport: Transport,
    direction: Direction,
    data: &[u8],
    ports: [u16; 2],
) -> (Option<AppProtocol>, Probe) {
    let mut outcome = Probe::No;
    for entry in ENTRIES.iter().filter(|entry| entry.transport == transport) {
        let asked = entry.ports.is_empty() || entry.ports.iter().any(|port| ports.contains(port));
        if !asked {
            continue;
        }
        match (entry.probe)(direction, data) {
            Probe::Yes => return (Some(entry.protocol), Probe::Yes),
            Probe::NeedMore => outcome = Probe::NeedMore,
            Probe::No => {}
        }
    }
    (None, outcome)
}

/// A parser for a protocol, if there is one.
pub(crate) fn parser(protocol: AppProtocol, transport: Transport) -> Option<Box<dyn Parser>> {
    ENTRIES
        .iter()
        .find(|entry| entry.protocol == protocol && entry.transport == transport)
        .map(|entry| (entry.parser)())
}
